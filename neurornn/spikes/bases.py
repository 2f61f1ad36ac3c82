"""Bumps that filters are made of."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_bin_size, check_choice, check_count, check_positive
from neurornn._core.errors import DataError

Array = NDArray[np.float64]


def raised_cosines(
    n_functions: int,
    duration: float,
    bin_size: float,
    *,
    spacing: str = "log",
    first_lag: int = 1,
) -> xr.DataArray:
    """Return raised cosines over lags: narrow close to the present, wide further back.

    Parameters
    ----------
    n_functions : bumps.
    duration : s, longest lag.
    bin_size : s.
    spacing : ``"log"`` of the lag, or ``"linear"``.
    first_lag : bins; 1 for what a spike leaves behind, 0 for a stimulus that acts at once.

    Returns
    -------
    DataArray (lag, function), lag in s; every bump has its highest value, 1, at its centre.

    Raises
    ------
    DataError
        More bumps than lags.

    References
    ----------
    Pillow et al. 2008, Nature 454:995, doi:10.1038/nature07140.

    Examples
    --------
    >>> bumps = raised_cosines(5, 0.1, 0.001)
    >>> bumps.shape, round(float(bumps.sum("function").values[2:40].min()), 3)
    ((100, 5), 1.0)
    """
    n = check_count(n_functions, "n_functions")
    check_choice(spacing, "spacing", ("log", "linear"))
    width = check_bin_size(bin_size)
    n_lags = round(check_positive(duration, "duration", "s") / width) + (first_lag == 0)
    if n_lags < n:
        raise DataError(
            f"{n} bumps came for {n_lags} lags of {width:g} s",
            "At least one lag for each bump was needed",
            "Pass a longer duration, smaller bins or fewer bumps",
        )
    lags = np.arange(first_lag, first_lag + n_lags, dtype=float)
    # Logarithms of bins: the shift keeps the first bumps wider than a bin.
    place = np.log(lags + max(1.0, n_lags / 60.0)) if spacing == "log" else lags
    if n == 1:
        values = np.ones((n_lags, 1))
    else:
        # The last bump ends where the lags do; the first is at its highest at the first lag.
        step = (place[-1] - place[0]) / n
        centres = place[0] + step * np.arange(n)
        distance = np.clip((place[:, None] - centres) / step, -1.0, 1.0)
        values = 0.5 + 0.5 * np.cos(np.pi * distance)
    return xr.DataArray(
        values,
        dims=("lag", "function"),
        coords={"lag": ("lag", lags * width, {"units": "s"}), "function": np.arange(n)},
        name="raised_cosines",
        attrs={"units": "1", "long_name": "raised cosine bumps"},
    )


def steps_in_trial(n_functions: int, n_bins: int) -> Array:
    """Raised cosines over the bins of a trial, (bin, function), that add up to 1 everywhere."""
    if n_functions == 1:
        return np.ones((n_bins, 1))
    centres = np.linspace(0, n_bins - 1, n_functions)
    step = max(centres[1] - centres[0], 1e-9)
    distance = np.clip((np.arange(n_bins)[:, None] - centres) / step, -1.0, 1.0)
    return np.asarray(0.5 + 0.5 * np.cos(np.pi * distance))
