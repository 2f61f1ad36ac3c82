"""The mean event of a cell, freed of its neighbours, beside the fitted kernel."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.confidence import CI_BOUND, delta_interval
from neurornn.calcium.fitted import FittedKinetics
from neurornn.calcium.fitted_traces import (
    Array,
    FittedTrace,
    FittedTraces,
    around,
    offsets_of,
    responses,
    weighted,
)


def event_average(
    kinetics: FittedKinetics,
    trace: Any,
    unit: Any = None,
    *,
    before: float | None = None,
    after: float | None = None,
    scaled: bool = False,
) -> xr.Dataset:
    """Average the events of one cell, freed of their neighbours, beside the fitted kernel.

    Parameters
    ----------
    kinetics : fitted `Kinetics`.
    trace : DataArray or array (time, unit)
        What was passed to ``fit``.
    unit : label of the unit; by default the first.
    before, after : s
        Reach of the average on either side of the event; by default half a decay time and
        four decay times.
    scaled : average per unit of event size
        The weighted mean ``sum(size·y) / sum(size^2)``, in which an event counts by how much it
        tells; otherwise the plain mean in the unit of the trace.

    Returns
    -------
    Dataset over ``lag`` (s)
        ``mean`` with ``mean_ci``, pointwise over events; ``kernel``, the mean of the fitted
        responses, with ``kernel_ci`` from the intervals of the time constants; ``n_events``
        that were seen at each lag. All NaN for a cell without events.

    Notes
    -----
    What is averaged is the partial residual, the trace minus the baseline minus the responses to
    all other events. Events that overlap do not smear it, so it decays as the kernel does where
    the kernel is right. Lags are those of the frames; frames of another stretch than the event's
    and missing ones are left out. Each event has its fitted size, so the mean is held to the
    kernel by the fit: where the shape is wrong it crosses the kernel rather than leave it.

    Examples
    --------
    >>> import neurornn as nr
    >>> rec = nr.simulate.simulate_calcium(1, 120.0, 30.0, tau_decay=0.5, snr=10, rng=0)
    >>> kin = nr.calcium.Kinetics().fit(rec["dff"])
    >>> table = nr.calcium.event_average(kin, rec["dff"])
    >>> bool(abs(table["mean"] - table["kernel"]).max() < 0.1)
    True
    """
    return average_of(
        FittedTraces(kinetics, trace).of(unit),
        confidence_level=float(kinetics.confidence_level),
        before=before,
        after=after,
        scaled=scaled,
    )


def average_of(
    one: FittedTrace,
    *,
    confidence_level: float,
    before: float | None = None,
    after: float | None = None,
    scaled: bool = False,
) -> xr.Dataset:
    """Average the events of one trace; see `event_average`."""
    offsets = offsets_of(one, before, after)
    rows, own, seen, lags = around(one, offsets)
    size = one.event_size
    weight = size if scaled else np.ones(len(size))
    mean, ci, n = weighted(np.where(seen, rows + own, np.nan), weight, confidence_level)
    kernel, _, _ = weighted(np.where(seen, own, np.nan), weight, confidence_level)
    kernel = np.where(n > 0, kernel, np.nan)
    units = "1" if scaled else one.units
    common = {"units": units, "method": "partial residual, averaged over events"}
    level = {"ci_kind": "confidence", "ci_prob": confidence_level}
    reason = "fewer than 3 events" if len(size) < 3 else ""
    lag = offsets * one.dt + (one.dt / 2 if not len(size) else float(np.mean(lags)))
    table = xr.Dataset(
        {
            "mean": ("lag", mean, {**common, "long_name": "mean event"}),
            "mean_ci": (
                ("lag", CI_BOUND),
                ci,
                {**common, **level, "long_name": "interval over events", "reason": reason},
            ),
            "kernel": ("lag", kernel, {**common, "long_name": "fitted kernel"}),
            "kernel_ci": (
                ("lag", CI_BOUND),
                _kernel_band(one, offsets, seen, weight, kernel, confidence_level),
                {**common, **level, "long_name": "interval of the fitted kernel"},
            ),
            "n_events": ("lag", n, {"units": "1", "long_name": "events seen at this lag"}),
        },
        coords={
            "lag": ("lag", lag, {"units": "s", "long_name": "time since the event"}),
            CI_BOUND: ["lower", "upper"],
        },
        attrs={
            "unit": str(one.label),
            "n_events": len(size),
            "scaled": int(scaled),
            "status": str(one.row["status"].item()),
        },
    )
    for name in ("tau_decay", "tau_rise"):
        table.attrs[name] = float(one.row[name])
        table.attrs[f"{name}_ci"] = one.row[f"{name}_ci"].values
    return table


def _kernel_band(
    one: FittedTrace,
    offsets: NDArray[np.int64],
    seen: NDArray[np.bool_],
    weight: Array,
    kernel: Array,
    confidence_level: float,
) -> Array:
    """Band of the mean response: from the covariance where there is a rise, else from tau_ci."""
    tau, rise = one.constants

    def mean_response(tau: float, rise: float) -> Array:
        own = np.where(seen, responses(one, offsets, tau, rise), np.nan)
        return weighted(own, weight, confidence_level)[0]

    band = np.full((len(offsets), 2), np.nan)
    covariance = one.row["covariance"].values
    bounds = one.row["tau_decay_ci"].values
    if not len(one.event_frame) or not np.isfinite(bounds).all():
        return band
    if rise > 0 and np.isfinite(covariance).all():
        # A step far below any interval and far above rounding.
        steps = 1e-4 * np.array([tau, rise])
        slopes = np.stack(
            [
                (mean_response(tau + a, rise + b) - mean_response(tau - a, rise - b))
                / (2 * (a + b))
                for a, b in ((steps[0], 0.0), (0.0, steps[1]))
            ]
        )
        variance = np.einsum("il,ij,jl->l", slopes, covariance, slopes)
        return delta_interval(kernel, np.sqrt(np.maximum(variance, 0.0)), confidence_level)
    edges = np.stack([mean_response(float(t), rise) for t in bounds])
    return np.stack([edges.min(axis=0), edges.max(axis=0)], axis=-1)
