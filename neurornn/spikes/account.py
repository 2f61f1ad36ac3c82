"""What all models of spikes share: rates from the past, likelihood, bits per spike."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln
from sklearn.utils.validation import check_is_fitted

from neurornn._core.checks import check_numbers
from neurornn._core.errors import DataError, ShapeError
from neurornn._core.jobs import one_thread
from neurornn._core.rng import RNG, generator
from neurornn.io.shell import Estimator
from neurornn.spikes.binned import BinnedSpikes, bin_for_model, stimulus_at_bins

Array = NDArray[np.float64]


def bits_per_spike(rates: ArrayLike, counts: ArrayLike) -> float:
    """Bits per spike of predicted rates above a constant rate.

    Parameters
    ----------
    rates : (..., unit), spikes expected in each bin; (time,) for one unit.
    counts : the same, spikes observed; NaN where nothing was.

    Returns
    -------
    float
        Poisson log-likelihood of the rates minus that of each unit's mean count, over the number
        of spikes of all units and ln 2.

    Raises
    ------
    ShapeError, DataError
        Arrays of two shapes; rates below 0, no spike.

    Notes
    -----
    As the Neural Latents Benchmark defines it: the mean is that of the counts which are scored,
    and a rate of 0 counts as 1e-9.

    References
    ----------
    Pei et al. 2021, NeurIPS Datasets and Benchmarks, arXiv:2109.04463.

    Examples
    --------
    >>> round(bits_per_spike([[0.5], [1.5]], [[0], [2]]), 3)
    0.585
    """
    mean = check_numbers(rates, "rates", missing=True)
    seen = check_numbers(counts, "counts", missing=True)
    if mean.shape != seen.shape or mean.ndim == 0:
        raise ShapeError(
            f"rates has shape {mean.shape}, counts {seen.shape}",
            "One expected count for each count, with units along the last axis, was needed",
            "Multiply rates in Hz by the bin size, and select the same bins",
        )
    if mean.ndim == 1:
        mean, seen = mean[:, None], seen[:, None]
    known = np.isfinite(seen)
    n_spikes = float(np.nansum(seen))
    if np.any(mean[known] < 0) or not np.isfinite(mean[known]).all() or n_spikes <= 0:
        raise DataError(
            f"rates goes down to {np.nanmin(mean):g}, and {n_spikes:g} spikes came",
            "Finite rates of 0 or more, and at least one spike, were needed",
            "Check the rates; score units that fire",
        )
    flat = tuple(range(seen.ndim - 1))
    null = np.broadcast_to(np.nanmean(seen, axis=flat, keepdims=True), seen.shape)
    return float(
        (_poisson(mean, seen, known) - _poisson(null, seen, known)) / n_spikes / np.log(2)
    )


def _poisson(mean: Array, counts: Array, known: NDArray[np.bool_]) -> float:
    rate = np.where(mean[known] == 0, 1e-9, mean[known])
    n = counts[known]
    return float(np.sum(n * np.log(rate) - rate - gammaln(n + 1)))


class SpikeAccount(Estimator):
    """Base of models of spikes: settings ``bin_size`` and ``stimulus``, and a hook or two.

    A subclass gives `_mean_counts`, and may give its own `_log_likelihood` and `_rescaled`.
    """

    bin_size: float
    stimulus: Any
    #: Labels of the units that were fitted, and of all that may drive them.
    units_: NDArray[Any]
    sources_: NDArray[Any]
    features_: list[str]

    def _take(self, X: Any, stimulus: Any, *, fitted: bool) -> tuple[BinnedSpikes, Array | None]:
        """Spikes in bins, and the stimulus on them, checked against those of the fit."""
        bins = bin_for_model(X, self.bin_size)
        shown = stimulus_at_bins(X, self.stimulus if stimulus is None else stimulus, bins)
        if not fitted:
            self.features_ = [] if shown is None else shown[1]
            return bins, None if shown is None else shown[0]
        missing = [u for u in self.sources_.tolist() if u not in bins.unit.tolist()]
        if missing:
            raise DataError(
                f"Units {', '.join(map(repr, missing[:5]))} of the fit did not come",
                f"Spikes of all {len(self.sources_)} units of the fit were needed",
                "Pass the recording with the units of the fit",
            )
        order = [bins.unit.tolist().index(u) for u in self.sources_.tolist()]
        if order != list(range(len(bins.unit))):
            bins = bins._replace(
                rows=[bins.rows[k] for k in order], times=[bins.times[k] for k in order],
                unit=bins.unit[order],
                known=None if bins.known is None else bins.known[:, order],
            )  # fmt: skip
        n_shown = 0 if shown is None else shown[0].shape[1]
        if n_shown != len(self.features_):
            raise ShapeError(
                f"A stimulus with {n_shown} features came; the fit had {len(self.features_)}",
                "The stimulus of the fit was needed",
                "Pass stimulus= with one row for each bin, or the recording that holds it",
            )
        return bins, None if shown is None else shown[0]

    @property
    def _one(self) -> bool:
        """Whether a bin holds one spike at most."""
        return getattr(self, "distribution_", "poisson") == "bernoulli"

    def _positions(self, bins: BinnedSpikes) -> list[int]:
        listed = bins.unit.tolist()
        return [listed.index(u) for u in self.units_.tolist()]

    def _mean_counts(self, bins: BinnedSpikes, shown: Array | None, k: int) -> Array:
        """Spikes that fitted unit k is expected to fire in each bin, given all before, (row,)."""
        raise NotImplementedError

    def _log_likelihood(self, bins: BinnedSpikes, shown: Array | None, k: int) -> float:
        """Log-likelihood of the spikes of fitted unit k, nats, and none of its own counting."""
        raise NotImplementedError

    def _rescaled(
        self, bins: BinnedSpikes, shown: Array | None, k: int, rng: np.random.Generator
    ) -> Array:
        """Intervals of fitted unit k in time stretched by its rate, (interval,)."""
        raise NotImplementedError

    def rates(self, X: Any, *, stimulus: Any = None) -> xr.DataArray:
        """Return the rate in each bin, given the stimulus and all that was fired before the bin.

        Parameters
        ----------
        X : a recording, or counts, as for `fit`.
        stimulus : (row,) or (row, feature), where it does not come with X.

        Returns
        -------
        DataArray (time, unit), Hz.

        Raises
        ------
        NotFittedError, DataError, ShapeError
            Units or a stimulus other than those of the fit.
        """
        check_is_fitted(self, "parameters_")
        bins, shown = self._take(X, stimulus, fitted=True)
        with one_thread():
            found = [self._mean_counts(bins, shown, k) for k in range(len(self.units_))]
        return xr.DataArray(
            np.stack(found, axis=1) / self.bin_size,
            dims=("time", "unit"),
            coords={"time": ("time", bins.stamps, {"units": "s"}), "unit": self.units_},
            name="rate",
            attrs={
                "units": "Hz", "long_name": "rate given the past", "bin_size": self.bin_size,
            },
        )  # fmt: skip

    def log_likelihood(self, X: Any, *, stimulus: Any = None) -> xr.DataArray:
        """Return the log-likelihood of spikes given their past, nats.

        Parameters
        ----------
        X : a recording, or counts, as for `fit`.
        stimulus : (row,) or (row, feature), where it does not come with X.

        Returns
        -------
        DataArray (unit,), nats; of spike times in s where the model is one of continuous time,
        else of counts, without factorials.

        Raises
        ------
        NotFittedError, DataError, ShapeError
        """
        check_is_fitted(self, "parameters_")
        bins, shown = self._take(X, stimulus, fitted=True)
        with one_thread():
            found = [self._log_likelihood(bins, shown, k) for k in range(len(self.units_))]
        return self._of_units(np.array(found), "nats", "log-likelihood given the past")

    def bits_per_spike(self, X: Any, *, stimulus: Any = None) -> xr.DataArray:
        """Return what a spike is worth: log-likelihood above a constant rate, bits per spike.

        Parameters
        ----------
        X : a recording, or counts, as for `fit`.
        stimulus : (row,) or (row, feature), where it does not come with X.

        Returns
        -------
        DataArray (unit,), bits; NaN for a unit without a spike. The constant rate is that of the
        spikes that are scored.

        Raises
        ------
        NotFittedError, DataError, ShapeError

        See Also
        --------
        neurornn.spikes.bits_per_spike : the same of arrays of rates and counts.
        """
        check_is_fitted(self, "parameters_")
        bins, shown = self._take(X, stimulus, fitted=True)
        out = np.full(len(self.units_), np.nan)
        with one_thread():
            for k, position in enumerate(self._positions(bins)):
                n = len(bins.rows[position])
                if n:
                    own = self._log_likelihood(bins, shown, k)
                    null = self._constant(n, int(bins.usable(position).sum()))
                    out[k] = (own - null) / n / np.log(2)
        return self._of_units(out, "bits", "log-likelihood per spike above a constant rate")

    def _constant(self, n_spikes: int, n_rows: int) -> float:
        """Log-likelihood of a constant rate, as `_log_likelihood` counts it."""
        if self._one:
            share = n_spikes / n_rows
            return n_spikes * np.log(share) + (n_rows - n_spikes) * np.log1p(-share)
        return n_spikes * np.log(n_spikes / n_rows) - n_spikes

    def _of_units(self, values: Array, units: str, said: str) -> xr.DataArray:
        return xr.DataArray(
            values, dims="unit", coords={"unit": self.units_},
            attrs={"units": units, "long_name": said},
        )  # fmt: skip


def stretched_intervals(
    mean: Array, rows: NDArray[np.int64], *, bernoulli: bool, rng: RNG
) -> Array:
    """Return intervals between spikes in time stretched by the rate, corrected for bins.

    Parameters
    ----------
    mean : (row,), spikes expected in each bin; with `bernoulli` the hazard of the bin,
        ``-log(1 - probability)``.
    rows : (spike,), bin of each spike, rising.
    bernoulli : a bin holds one spike at most; else counts are Poisson.
    rng : where in its bin a spike falls is drawn.

    Returns
    -------
    (interval,), exponential with mean 1 if the model holds; the first is from the first bin on,
    and joins are closed up.

    References
    ----------
    Haslinger, Pipa & Brown 2010, Neural Comput. 22:2477, doi:10.1162/NECO_a_00015.
    """
    draw = generator(rng)
    before = np.concatenate([[0.0], np.cumsum(mean)])
    own = mean[rows]
    share = draw.random(len(rows))
    if bernoulli:
        # Of a bin that fired, the first event; the next interval begins with the next bin.
        into = -np.log1p(share * np.expm1(-own))
        begun = np.concatenate([[0.0], before[rows[:-1] + 1]]) if len(rows) else np.empty(0)
        return np.asarray(before[rows] + into - begun)
    at = np.sort(before[rows] + share * own)
    return np.diff(at, prepend=0.0)
