"""Tables of kinetics from what was found in every cell: parameters, segments and events."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.confidence import rate_interval, scale_interval, to_dataset
from neurornn._core.quantities import OF_DATA, Quantity
from neurornn._core.status import Status
from neurornn.calcium.cell_chunks import mean_baseline
from neurornn.calcium.kernel import Kernel
from neurornn.calcium.trace_model import Settings
from neurornn.data.recording import TIME_CONVENTION
from neurornn.data.samples import Samples

_METHOD = "segmentation into events, sizes and baseline eliminated, profile likelihood"
_OF_RISE = (
    "likelihood averaged over the times of events and over events that merged, at that decay"
)
_OF_BOTH = "from tau_decay and tau_rise, the interval from their covariance"
_OWN_METHOD = {"tau_rise": _OF_RISE, "time_to_peak": _OF_BOTH, "half_rise": _OF_BOTH}
_NO_RISE = "the rise is not resolved: it leaves no trace between the frames"
_HELD = "the rise was held, not fitted"
#: What ``kernel_rise`` is the second time constant of; without it, of an older file, it was the
#: ``tau`` of ``(1 - exp(-t / tau)) exp(-t / tau_decay)``.
RISE_FORM = "exp(-t / tau_decay) - exp(-t / kernel_rise)"
_FEW = "there are too few events for an interval of their median, or they were not told apart"

#: What is told of every cell, in the order of the columns.
QUANTITIES = tuple(
    Quantity(
        name=name, units=units, long_name=said, method=_OWN_METHOD.get(name, _METHOD),
        dims=("unit",), reason=why,
    )
    for name, units, said, why in (
        ("tau_decay", "s", "time constant of the decay", "the status is not ok"),
        ("tau_rise", "s", "time constant of the rise, of the double exponential", _NO_RISE),
        ("time_to_peak", "s", "time from an event to the peak of its response", _NO_RISE),
        ("half_rise", "s", "time from an event to half of the peak of its response", _NO_RISE),
        ("amplitude", OF_DATA, "median size of an event", _FEW),
        ("noise_sd", OF_DATA, "standard deviation of the noise of one frame",
         "the trace could not be fitted"),
        ("baseline", OF_DATA, "mean of the baseline over the recording", ""),
        ("snr", "1", "amplitude over noise_sd", _FEW),
        ("event_rate", "Hz", "events per second of recorded time",
         "no frame was seen, or events were not told apart"),
    )
)  # fmt: skip

#: What `fit_cells` returns, by name.
Columns = dict[str, NDArray[Any]]


def gather_columns(results: Sequence[Columns], source: Any) -> Columns:
    """What was found in the cells of all chunks.

    Parameters
    ----------
    results : of `fit_cells`, chunk by chunk.
    source : what was fitted. A cell that its ``status`` calls cut, or without F0, is called so
        here as well and loses its intervals.
    """
    columns = {k: np.concatenate([r[k] for r in results], axis=0) for k in results[0]}
    if isinstance(source, xr.DataArray) and "status" in source.coords:
        # Whoever made dF/F has seen the counts, in which a clipped top or a lost F0 shows.
        before = np.atleast_1d(source["status"].values)
        told = np.isin(before, [str(Status.CLIPPED), str(Status.BASELINE_NEAR_ZERO)])
        cut = told & (columns["status"] == "ok")
        columns["status"] = np.where(cut, before, columns["status"])
        for name in ("tau_ci", "rise_ci", "time_to_peak_ci", "half_rise_ci", "covariance"):
            columns[name][cut] = np.nan
    return columns


def tabulate_parameters(
    columns: Columns, traces: Samples, settings: Settings, units: str
) -> xr.Dataset:
    """`Kinetics.parameters_`; `units` is that of the trace."""
    column, level = columns.__getitem__, settings.confidence_level
    dims = ("unit",)
    seconds = column("n_seen") / traces.sampling_rate
    held = settings.held_rise
    rate = column("n_events")[:, 0] / np.where(seconds > 0, seconds, np.nan)
    baseline = mean_baseline(traces.clock, column("heights"), settings.knot_spacing, settings.dt)
    found = {
        "tau_decay": (column("tau"), column("tau_ci")),
        "tau_rise": (
            np.full_like(column("rise"), held) if held else column("rise"),
            column("rise_ci"),
        ),
        "time_to_peak": (column("time_to_peak"), column("time_to_peak_ci")),
        "half_rise": (column("half_rise"), column("half_rise_ci")),
        "amplitude": (column("amplitude"), column("amplitude_ci")),
        "noise_sd": (
            column("noise_sd"), scale_interval(column("noise_sd"), column("dof"), level),
        ),
        "baseline": (baseline, None),
        "snr": (
            column("amplitude") / column("noise_sd"),
            column("amplitude_ci") / column("noise_sd")[:, None],
        ),
        "event_rate": (rate, _rate_bounds(column("n_events"), seconds, level)),
    }  # fmt: skip
    reason = {"reason": _NO_RISE if settings.rise else _HELD}
    why = dict.fromkeys(("tau_rise", "time_to_peak", "half_rise"), reason)
    table = to_dataset(
        [q.of(*found[q.name], units=units, **why.get(q.name, {})) for q in QUANTITIES],
        confidence_level=level,
        coords={"unit": ("unit", traces.unit)},
        status=column("status"),
        status_dims=dims,
        covariance=column("covariance"),
        covariance_names=["tau_decay", "tau_rise"],
        covariance_dims=dims,
    )
    table["rise_status"] = (
        dims,
        np.where(
            np.isfinite(column("rise")) & settings.rise,
            "ok",
            "not_resolved" if settings.rise else "held",
        ),
        {"long_name": "whether a rise time was resolved, or held"},
    )
    table["residual_autocorrelation"] = (
        dims,
        column("autocorrelation"),
        {
            "units": "1",
            "long_name": "mean autocorrelation of the residual over lags of 1 to 3 frames",
        },
    )
    return table


def with_double_exponential(parameters: xr.Dataset, segments: xr.Dataset) -> None:
    """Turn tables of a file that has the rise as that of (1 - exp(-t / rise)) exp(-t / tau_decay).

    The curve is the same; the intervals are those of the old constant at the best decay. Times to
    the peak and to half of it follow, without intervals.
    """
    if "form" in segments["kernel_rise"].attrs:
        return
    tau, old = parameters["tau_decay"].values, parameters["tau_rise"].values

    def of(lag: NDArray[np.float64], tau: NDArray[np.float64]) -> NDArray[np.float64]:
        return tau * lag / (tau + lag)

    slopes = np.zeros((len(tau), 2, 2))
    slopes[:, 0, 0] = 1.0
    slopes[:, 1, 0], slopes[:, 1, 1] = (old / (tau + old)) ** 2, (tau / (tau + old)) ** 2
    covariance, lags = parameters["covariance"].values, segments["kernel_rise"].values
    two = np.isfinite(covariance).all((1, 2)) & np.isfinite(slopes).all((1, 2))
    covariance[two] = slopes[two] @ covariance[two] @ slopes[two].transpose(0, 2, 1)
    parameters["tau_rise"].values = of(old, tau)
    parameters["tau_rise_ci"].values = of(parameters["tau_rise_ci"].values, tau[:, None])
    kernels = [
        Kernel(t, g) if np.isfinite(t * r) else None
        for t, g, r in zip(tau, lags, old, strict=True)
    ]
    level = float(parameters["tau_decay_ci"].attrs["ci_prob"])
    for name in ("time_to_peak", "half_rise"):
        values = np.array([np.nan if k is None else getattr(k, name) for k in kernels])
        (quantity,) = (q for q in QUANTITIES if q.name == name)
        told = to_dataset(
            [quantity.of(values, None)],
            confidence_level=level,
            coords={"unit": parameters["unit"]},
        )
        parameters[name], parameters[f"{name}_ci"] = told[name], told[f"{name}_ci"]
    segments["kernel_rise"].values = of(lags, tau)
    segments["kernel_rise"].attrs["form"] = RISE_FORM


def tabulate_segments(columns: Columns, traces: Samples, units: str) -> xr.Dataset:
    """`Kinetics.segments_`; `units` is that of the trace."""
    column = columns.__getitem__
    return xr.Dataset(
        {
            "segment_frame": ("segment", column("start_frame")),
            "segment_unit": ("segment", column("start_unit")),
            "decaying": ("segment", column("start_jump"), {"units": units}),
            "rising": ("segment", column("start_rise"), {"units": units}),
            "kernel_rise": ("unit", column("kernel_rise"), {"units": "s", "form": RISE_FORM}),
            "knot_height": (("unit", "knot"), column("heights"), {"units": units}),
        },
        coords={
            "unit": ("unit", traces.unit),
            "time": ("time", traces.clock, {"units": "s", "convention": TIME_CONVENTION}),
        },
        attrs={"units": units},
    )


def tabulate_events(
    columns: Columns, traces: Samples, units: str, frame_delay: float
) -> xr.Dataset:
    """`Kinetics.events_`; `units` is that of the trace, its stamps are `frame_delay` (s) late."""
    column = columns.__getitem__
    chosen = column("start_is_event")
    frame = column("start_frame")[chosen]
    return xr.Dataset(
        {
            "event_time": (
                "event",
                traces.clock[frame] - column("start_delay")[chosen] - frame_delay,
                {"units": "s"},
            ),
            "event_size": ("event", column("start_size")[chosen], {"units": units}),
            "event_probability": (
                "event",
                column("start_probability")[chosen],
                {"units": "1", "long_name": "probability of an event, given the others"},
            ),
            "event_unit": ("event", column("start_unit")[chosen]),
            "event_frame": ("event", frame),
        },
        coords={"unit": ("unit", traces.unit)},
        attrs={
            "convention": TIME_CONVENTION
            + "; an event without a time in it is put in its middle; event_time is earlier "
            "than that by frame_delay",
            "frame_delay": frame_delay,
        },
    )


def _rate_bounds(
    counts: NDArray[np.float64], seconds: NDArray[np.float64], level: float
) -> NDArray[np.float64]:
    """Poisson interval from the least to the most events that are believed, (unit, 2), Hz."""
    least, most = (rate_interval(counts[:, k], seconds, level) for k in (1, 2))
    return np.stack([least[:, 0], most[:, 1]], axis=1)
