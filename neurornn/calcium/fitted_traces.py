"""Traces beside what was fitted to them, and cuts around their events."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import stats

from neurornn._core.checks import check_positive
from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError, nearest
from neurornn.calcium.fitted import FittedKinetics
from neurornn.calcium.trace_source import TraceSource
from neurornn.simulate.calcium import calcium_kernel

Array = NDArray[np.float64]

#: The residual of the trace that was fitted is no larger than noise_sd; one beyond this many
#: times it belongs to another trace.
_FOREIGN = 2.0
_MAX_LAGS = 300


class FittedTrace(NamedTuple):
    """One trace beside what was fitted to it.

    Attributes
    ----------
    label : of the unit.
    y, time, calcium, baseline : (n,); NaN in `y` where a frame is missing.
    blocks : (block, 2), the gapless stretches.
    dt : s.
    row : table of parameters of this unit alone.
    event_frame, event_time, event_size : (event,)
        The times on the clock of the frames: ``frame_delay`` is not taken off.
    name, units : of the trace.
    """

    label: Any
    y: Array
    time: Array
    calcium: Array
    baseline: Array
    blocks: NDArray[np.int64]
    dt: float
    row: xr.Dataset
    event_frame: NDArray[np.int64]
    event_time: Array
    event_size: Array
    name: str
    units: str

    @property
    def residual(self) -> Array:
        """Trace minus fit, (n,)."""
        return self.y - self.baseline - self.calcium

    @property
    def constants(self) -> tuple[float, float]:
        """Decay and rise (s); a rise of 0 where none was resolved."""
        return float(self.row["tau_decay"]), float(np.nan_to_num(self.row["tau_rise"].item()))


def check_match(time: Array, labels: Any, fitted_time: Array, fitted_labels: Any) -> None:
    """Refuse a trace whose clock or labels are not those of the fit.

    Parameters
    ----------
    time, fitted_time : (time,), s.
    labels, fitted_labels : (unit,)
    """
    given = len(time), len(labels)
    fitted = len(fitted_time), len(fitted_labels)
    if given != fitted:
        raise ShapeError(
            f"trace has {given[0]} frames of {given[1]} units",
            f"The trace that was fitted, {fitted[0]} frames of {fitted[1]} units, was needed",
            "Pass the same variable as to fit, uncut",
        )
    if list(labels) != list(fitted_labels):
        raise ShapeError(
            f"The units of trace are {_few(labels)}",
            f"Those of the fit, {_few(fitted_labels)}, were needed in the same order",
            "Select them: trace.sel(unit=kinetics.parameters_['unit'])",
        )
    # Half a frame: a time axis that was stored in single precision still fits.
    half = 0.5 * float(np.median(np.diff(fitted_time)))
    if np.max(np.abs(time - fitted_time)) > half:
        raise ShapeError(
            f"trace runs from {time[0]:g} to {time[-1]:g} s",
            f"The time axis of the fit, {fitted_time[0]:g} to {fitted_time[-1]:g} s, was needed",
            "Pass the same variable as to fit, uncut",
        )


class FittedTraces:
    """Traces matched with the kinetics that were fitted to them; the match is checked once.

    Parameters
    ----------
    kinetics : fitted.
    trace : what was passed to its ``fit``.
    """

    def __init__(self, kinetics: FittedKinetics, trace: Any) -> None:
        if not hasattr(kinetics, "parameters_"):
            raise KindError(
                f"kinetics is {kinetics!r}",
                "A fitted Kinetics was needed",
                "Call fit before: kin = Kinetics().fit(trace)",
            )
        # Only what is asked for is read and drawn: a recording may be larger than memory.
        source = TraceSource(trace, kinetics.sampling_rate_, 1, min_frames=4, name="trace")
        table = kinetics.segments_
        time, labels = table["time"].values, kinetics.parameters_["unit"].values
        check_match(source.traces.clock, source.traces.unit, time, labels)
        self._source, self._labels, self._kinetics = source, labels, kinetics
        # Back on the clock of the frames; a fit saved by 0.1 left its events there.
        self._frame_delay = float(kinetics.events_.attrs.get("frame_delay", 0.0))
        self.dt = 1 / kinetics.sampling_rate_
        self.time = time
        self.name = str(getattr(trace, "name", None) or "trace")
        self.units = str(table.attrs.get("units", "1"))

    def position(self, unit: Any) -> int:
        """Column of a unit; the first one for None."""
        if unit is None:
            return 0
        where = np.flatnonzero(self._labels == unit)
        if not len(where):
            raise NameUnknownError(
                f"There is no unit {unit!r}",
                "The label of a unit was needed",
                nearest(str(unit), map(str, self._labels)),
            )
        return int(where[0])

    def of(self, unit: Any = None) -> FittedTrace:
        """Pick one unit.

        Raises
        ------
        DataError
            The unit has no fit (no data, constant), or its trace is not the one that was fitted.
        """
        k = self.position(unit)
        row, events = self._kinetics.parameters_.isel(unit=k), self._kinetics.events_
        mine = events["event_unit"].values == k
        calcium, baseline = (
            self._kinetics.drawn(name, [k]).values[:, 0] for name in ("calcium", "baseline")
        )
        one = FittedTrace(
            label=self._labels[k],
            y=self._source[k].values[:, 0],
            time=self.time,
            calcium=calcium,
            baseline=baseline,
            blocks=self._source.traces.blocks,
            dt=self.dt,
            row=row,
            event_frame=events["event_frame"].values[mine],
            event_time=events["event_time"].values[mine] + self._frame_delay,
            event_size=events["event_size"].values[mine],
            name=self.name,
            units=self.units,
        )
        noise = float(row["noise_sd"])
        if not np.isfinite(noise) or noise <= 0:
            raise DataError(
                f"Unit {one.label} has status {row['status'].item()} and no fit",
                "A unit with a fitted trace was needed",
                "Choose a unit whose noise_sd is a number",
            )
        rms = float(np.sqrt(np.nanmean(one.residual**2)))
        if not rms <= _FOREIGN * noise:
            raise DataError(
                f"The fit misses the trace of unit {one.label} by {rms:.3g} on average, "
                f"with a noise_sd of {noise:.3g}",
                "The trace that was fitted was needed",
                "Pass the same variable as to fit, for example dff and not fluorescence",
            )
        return one


def offsets_of(one: FittedTrace, before: float | None, after: float | None) -> NDArray[np.int64]:
    """Frames of the average, counted from the frame of the event."""
    tau, rise = one.constants
    tau = tau if np.isfinite(tau) else 1.0
    early = 0.5 * tau if before is None else check_positive(before, "before", "s")
    late = 4 * tau + 2 * rise if after is None else check_positive(after, "after", "s")
    n_early, n_late = (round(t / one.dt) for t in (early, late))
    if before is None:
        n_early = int(np.clip(n_early, 3, _MAX_LAGS // 4))
    if after is None:
        n_late = int(np.clip(n_late, 6, _MAX_LAGS))
    n = len(one.y)
    return np.arange(-min(n_early, n), min(n_late, n))


def around(
    one: FittedTrace, offsets: NDArray[np.int64], residual: Array | None = None
) -> tuple[Array, Array, NDArray[np.bool_], Array]:
    """Cut around every event: residual, own response, what was seen, delay within the frame.

    Returns
    -------
    rows, own : (event, lag)
    seen : (event, lag)
    delays : (event,), s.
    """
    residual = one.residual if residual is None else residual
    frames = one.event_frame[:, None] + offsets
    inside = np.clip(frames, 0, len(one.y) - 1)
    block = np.searchsorted(one.blocks[:, 0], np.arange(len(one.y)), side="right")
    seen = (frames == inside) & (block[inside] == block[one.event_frame][:, None])
    rows = residual[inside]
    seen &= ~np.isnan(rows)
    delays = one.time[one.event_frame] - one.event_time
    return rows, responses(one, offsets, *one.constants), seen, delays


def responses(one: FittedTrace, offsets: NDArray[np.int64], tau: float, rise: float) -> Array:
    """Fitted response of every event at the frames around it, (event, lag)."""
    if not len(one.event_frame):
        return np.zeros((0, len(offsets)))
    delays = one.time[one.event_frame] - one.event_time
    lags = offsets * one.dt + delays[:, None]
    return one.event_size[:, None] * calcium_kernel(lags, tau, rise)


def weighted(
    rows: Array, weight: Array, confidence_level: float
) -> tuple[Array, Array, NDArray[np.int64]]:
    """Regression of the rows on their weights through 0, and its robust interval, per column."""
    known = ~np.isnan(rows)
    n = known.sum(axis=0)
    w = np.where(known, weight[:, None], 0.0)
    filled = np.where(known, rows, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        total = (w**2).sum(axis=0)
        mean = (w * filled).sum(axis=0) / total
        stray = w * (filled - w * mean)
        stderr = np.sqrt((stray**2).sum(axis=0) * n / np.maximum(n - 1, 1)) / total
        q = stats.t.ppf(0.5 + confidence_level / 2, np.maximum(n - 1, 1))
        ci = np.stack([mean - q * stderr, mean + q * stderr], axis=-1)
    ci[n < 3] = np.nan
    return mean, ci, n


def poles(one: FittedTrace) -> list[float]:
    """Rates of the two exponentials of a response (1/s); one where there is no rise."""
    tau, rise = one.constants
    return [1 / tau] if rise <= 0 else [1 / tau, 1 / rise]


def stretches(one: FittedTrace, known: NDArray[np.bool_]) -> Iterator[tuple[int, Array, Array]]:
    """First frame of each stretch between events, its exponentials, an orthonormal basis."""
    longest = int(np.clip(np.ceil(8 * one.constants[0] / one.dt), 2, 4000))
    powers = np.exp(-np.outer(np.arange(longest) * one.dt, poles(one)))
    starts = np.unique(np.concatenate([one.blocks[:, 0], one.event_frame]))
    ends = np.append(starts[1:], len(one.y))
    for begin, end in zip(starts, np.minimum(ends, starts + longest), strict=True):
        seen = known[begin:end]
        if seen.any():
            mine = powers[: end - begin] * seen[:, None]
            yield int(begin), mine, np.linalg.qr(mine)[0]


def _few(labels: Any) -> str:
    shown = ", ".join(str(v) for v in labels[:4])
    return shown + (f", ... ({len(labels)})" if len(labels) > 4 else "")
