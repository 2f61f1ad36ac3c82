"""From dF/F of an indicator that binds cooperatively and saturates back to calcium."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import check_number, check_numbers, check_positive
from neurornn._core.errors import DataError, UnitWarning
from neurornn._core.warning import warn_user
from neurornn.data.series import as_series

#: A resting or half-saturating calcium below this (nM) is taken for micromolar.
_SMALLEST_NANOMOLAR = 5.0
#: More of anything, nM, than there is room for: 1000 mol/l.
MOST_NANOMOLAR = 1e12
#: Hill coefficients of indicators are near 2.
LARGEST_HILL = 100.0


def hill_fluorescence(
    calcium: ArrayLike,
    *,
    hill: float,
    dissociation: float,
    dynamic_range: float,
    resting: float,
) -> NDArray[np.float64]:
    """Fluorescence change of an indicator at a given calcium, dF/F.

    Parameters
    ----------
    calcium : any shape, nM
        Above rest; the resting calcium is added to it.
    hill : exponent; 1 for one binding site, 2 to 3 for most GCaMPs.
    dissociation : nM
        Calcium at which half of the indicator is bound.
    dynamic_range : fluorescence when all of it is bound over that when none is.
    resting : nM

    Returns
    -------
    array, the shape of `calcium`, dF/F (1)

    Notes
    -----
    ``F(c) = 1 + (R - 1) c^n / (c^n + K^n)`` and ``dF/F = F(c_rest + calcium) / F(c_rest) - 1``.

    See Also
    --------
    linearise : the way back.

    References
    ----------
    Chen et al. 2013, Nature 499:295, doi:10.1038/nature12354 (Hill exponents of GCaMP6).
    """
    check_positive(hill, "hill")
    total = check_numbers(calcium, "calcium", missing=True) + resting

    def bright(c: Any) -> Any:
        bound = np.maximum(c, 0.0) ** hill
        return 1 + (dynamic_range - 1) * bound / (bound + dissociation**hill)

    return np.asarray(bright(total) / bright(resting) - 1)


def linearise(
    trace: Any,
    *,
    hill: float,
    dissociation: float,
    dynamic_range: float,
    resting: float,
    sampling_rate: float | None = None,
) -> xr.DataArray:
    """Calcium from dF/F by inverting the Hill curve of the indicator.

    A decay constant fitted to dF/F of an indicator that saturates, or binds several ions at once,
    is that of the brightness and depends on how large events are; that of calcium does not.

    Parameters
    ----------
    trace : DataArray (time, unit) or array (time, unit), dF/F (1, not %)
    hill, dissociation, dynamic_range, resting : see `hill_fluorescence`.
    sampling_rate : Hz, needed for a plain array.

    Returns
    -------
    DataArray (time, unit), nM
        Calcium above rest; NaN where the trace is darker than the indicator without calcium or
        brighter than it can be, with a warning where that is more than 1 % of the frames.

    Raises
    ------
    DataError
        A dynamic range of 1 or less, or constants that are not positive.

    Notes
    -----
    The noise of the result grows towards saturation, where a small change of brightness is a
    large one of calcium: intervals of `Kinetics` are widened by what that costs, but a trace
    that spends its events there has lost its decay.

    Examples
    --------
    >>> import numpy as np
    >>> curve = dict(hill=2.0, dissociation=300.0, dynamic_range=30.0, resting=50.0)
    >>> bright = hill_fluorescence(np.array([[0.0], [100.0], [200.0], [0.0]]), **curve)
    >>> linearise(bright, sampling_rate=10.0, **curve).values.ravel().round(6)
    array([  0., 100., 200.,   0.])
    """
    for name, value in (("hill", hill), ("dissociation", dissociation), ("resting", resting)):
        check_positive(value, name)
    hill, dissociation, resting = float(hill), float(dissociation), float(resting)
    dynamic_range = check_number(dynamic_range, "dynamic_range")
    check_number(hill, "hill", most=LARGEST_HILL, least=1 / LARGEST_HILL)
    for name, value in (("dissociation", dissociation), ("resting", resting)):
        check_number(value, name, "nM", most=1e9)
    if not dynamic_range > 1:
        raise DataError(
            f"dynamic_range is {dynamic_range}",
            "Fluorescence with all indicator bound over that with none, above 1, was needed",
            "Look it up for the indicator: 53 for GCaMP6f in vitro, say",
        )
    for name, value in (("dissociation", dissociation), ("resting", resting)):
        if value < _SMALLEST_NANOMOLAR:
            warn_user(
                f"{name} is {value:g} nM. Is this micromolar? Then multiply it by 1000.",
                UnitWarning,
            )
    traces = as_series(trace, sampling_rate=sampling_rate, name="trace")
    at_rest = resting**hill / (resting**hill + dissociation**hill)
    dark = 1 + (dynamic_range - 1) * at_rest
    bound = ((1 + traces.values) * dark - 1) / (dynamic_range - 1)
    outside = (bound <= 0) | (bound >= 1)
    inside = np.where(outside, np.nan, bound)
    with np.errstate(over="ignore"):
        calcium = dissociation * (inside / (1 - inside)) ** (1 / hill) - resting
    # At the ends of a flat curve a value beyond all molars is no value.
    outside |= ~(calcium < MOST_NANOMOLAR) & ~np.isnan(calcium)
    calcium = np.where(outside, np.nan, calcium)
    seen = ~np.isnan(traces.values)
    lost = float(np.sum(outside & seen)) / max(int(seen.sum()), 1)
    if lost > 0.01:
        warn_user(
            f"{100 * lost:.1f} % of the frames are darker or brighter than an indicator with "
            "these constants can be, and count as missing. Is the trace in %? Is its baseline "
            "too high?",
            UnitWarning,
        )
    attrs = dict(trace.attrs) if isinstance(trace, xr.DataArray) else {}
    attrs.update(
        units="nM",
        long_name="calcium above rest",
        sampling_rate=traces.sampling_rate,
        method=f"Hill curve inverted: n {hill:g}, K {dissociation:g} nM, "
        f"range {dynamic_range:g}, rest {resting:g} nM",
    )
    coords: dict[Any, Any] = {"time": ("time", traces.clock, {"units": "s"}), "unit": traces.unit}
    if isinstance(trace, xr.DataArray) and "status" in trace.coords:
        # Whether a cell was clipped is still to be known.
        coords["status"] = ("unit", np.atleast_1d(trace["status"].values))
    return xr.DataArray(
        calcium,
        dims=("time", "unit"),
        coords=coords,
        attrs=attrs,
        name="calcium",
    )
