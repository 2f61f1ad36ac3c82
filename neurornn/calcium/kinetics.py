"""The estimator of decay constants, events and rates from fluorescence alone."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from neurornn._core.checks import (
    check_confidence_level,
    check_count,
    check_interval,
    check_positive,
    find_blocks,
)
from neurornn._core.errors import UnitError
from neurornn._core.jobs import run_chunks
from neurornn._core.old_names import renamed
from neurornn._core.report import Table, parameters_table
from neurornn._core.status import Status
from neurornn._core.units import format_number
from neurornn.calcium.cell_chunks import draw_baseline, draw_calcium, fit_cells
from neurornn.calcium.indicators import compare_with_literature
from neurornn.calcium.kernel import Kernel
from neurornn.calcium.kinetics_tables import (
    QUANTITIES,
    gather_columns,
    tabulate_events,
    tabulate_parameters,
    tabulate_segments,
    with_double_exponential,
)
from neurornn.calcium.rates import EXPONENT, rate_of_events, rate_of_jumps
from neurornn.calcium.trace_model import Settings
from neurornn.calcium.trace_source import TraceSource
from neurornn.data.samples import Samples
from neurornn.io.saved import SavedContent
from neurornn.io.shell import Estimator, keep_names


class Kinetics(Estimator):
    """Decay constant, events and rate of every cell from fluorescence alone, with intervals.

    Parameters
    ----------
    penalty : noise sd
        How far an event must stand out of the noise to be counted. None weighs it by the rate of
        events that is found: about 3 at one in thirty frames, 3.5 at one in two hundred.
    tau_bounds : (lower, upper), s
        Where tau_decay is searched.
    tau_rise : bool, or s
        Fit a rise time where the data ask for one; False leaves it out, a number holds it.
    knot_spacing : s
        The baseline is piecewise linear with knots about this far apart; None for a constant.
    confidence_level : of every interval.
    n_jobs : processes; -1 for one per core.
    chunk_size : cells per chunk.
    progress : show a progress bar in a terminal or a notebook, or a callable ``(done, total)``.

    Attributes
    ----------
    parameters_ : Dataset over ``unit``
        ``tau_decay`` (s), ``tau_rise``, ``time_to_peak``, ``half_rise`` (s, the last two from the
        event on; NaN where ``rise_status`` says not_resolved), ``amplitude``, ``noise_sd``,
        ``baseline`` (unit of the trace), ``snr``, ``event_rate`` (Hz), each with ``_ci``;
        ``status``, ``rise_status``;
        ``covariance`` of the two time constants (s^2).
    events_ : Dataset over ``event``
        ``event_time`` (s), ``event_size`` (unit of the trace), ``event_probability`` (that it is
        one and not noise), ``event_unit``, ``event_frame``.
    segments_ : Dataset over ``segment``
        What every start of a decay adds, and the knots of the baselines: enough to draw
    calcium_ : DataArray (time, unit), the denoised trace without its baseline, and
    baseline_ : DataArray (time, unit), whenever they are asked for.

    Notes
    -----
    Model: ``y_k = b_k + sum_j A_j h(t_k - t_j) + noise`` with the response ``h`` proportional to
    ``exp(-t / tau_decay) - exp(-t / tau_rise)``, or to ``exp(-t / tau_decay)`` where nothing
    speaks for a rise. Where a paper writes ``(1 - exp(-t / s)) exp(-t / tau_decay)``, its s is
    ``1 / (1 / tau_rise - 1 / tau_decay)``. Between events the trace is a sum of two exponentials,
    so sizes and times within the frame drop out in closed form and the likelihood of the two time
    constants is left; for the rise that is told, it is averaged over times and merged events.
    A rise is called resolved where it improves on none by a deviance of 2.7. An event found in
    frame k lies in ``((k - 1)·dt, k·dt]``; with a rise its two sizes tell when, otherwise it is
    put in the middle; its size is the peak of a response that started there. ``frame_delay`` of
    the trace (s, by default half a frame) is taken off. Reliable from a signal-to-noise ratio of 5
    (peak of one event over noise sd) and four frames per decay. At a ratio of 3 a rise shorter
    than a frame can lengthen tau_decay by some per cent; below 10 Hz events that merge within a
    frame move it by 3 %. Every gap in the time axis starts a baseline of its own.

    ``event_rate`` counts what a frame hides: of events dealt out at random some fall into one
    frame. Where sizes are whole multiples of one size, ``amplitude`` is that size and an event
    counts by its size. Where small events were left out, the interval reaches from the events that
    were kept to what all of them are by size. Where filtered noise describes the trace far better
    than events do, the status is events_overlap: there are no intervals, and the rate is a rough
    number from the skewness of the steps.

    Where more than 15 % of the events are smaller than half the typical one (bursts, tails that
    one exponential does not describe), events below half of it are not counted. The interval of
    tau_decay is the profile likelihood's, widened by what groups of events disagree, by what the
    choice of faint events moves it, and, where the residual is autocorrelated and the model so
    not the whole truth, by a model error of 7 % and of 0.8 times what the choice of the smallest
    event changes: constants found on 71 cells with recorded spikes.

    References
    ----------
    Killick et al. 2012, JASA 107:1590, doi:10.1080/01621459.2012.737745 (optimal partitioning);
    Golub & Pereyra 1973, SIAM J. Numer. Anal. 10:413, doi:10.1137/0710036 (variable projection);
    Venzon & Moolgavkar 1988, Applied Statistics 37:87, doi:10.2307/2347496 (profile intervals).

    Examples
    --------
    >>> import neurornn as nr
    >>> rec = nr.simulate.simulate_calcium(1, 200.0, 30.0, tau_decay=0.5, snr=10, rng=0)
    >>> kin = nr.calcium.Kinetics().fit(rec["dff"])
    >>> bool(abs(kin.parameters_["tau_decay"][0] - 0.5) < 0.02)
    True
    """

    _quantities = QUANTITIES
    _renamed: ClassVar[Mapping[str, str]] = {"rise": "tau_rise"}
    _tables: ClassVar[Mapping[str, str]] = {
        "parameters": "parameters_",
        "events": "events_",
        "segments": "segments_",
    }
    _kept: ClassVar[Mapping[str, str]] = {
        "sampling_rate": "sampling_rate_",
        "indicator": "indicator_",
        "frame_delay": "_frame_delay",
    }
    _papers = ("killick_2012", "golub_1973", "venzon_1988")

    def __init__(
        self,
        *,
        penalty: float | None = None,
        tau_bounds: tuple[float, float] = (0.005, 20.0),
        tau_rise: bool | float = True,
        knot_spacing: float | None = 60.0,
        confidence_level: float = 0.95,
        n_jobs: int = 1,
        chunk_size: int = 8,
        progress: bool | Callable[[int, int], None] = False,
    ) -> None:
        self.penalty = penalty
        self.tau_bounds = tau_bounds
        self.tau_rise = tau_rise
        self.knot_spacing = knot_spacing
        self.confidence_level = confidence_level
        self.n_jobs = n_jobs
        self.chunk_size = chunk_size
        self.progress = progress

    @renamed(partial="checkpoint")
    def fit(
        self,
        X: Any,
        y: None = None,
        *,
        sampling_rate: float | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        client: Any = None,
    ) -> Self:
        """Fit every cell.

        Parameters
        ----------
        X : DataArray (time, unit), for example ``recording["dff"]``, or array (time, unit)
            dF/F or fluorescence; NaN marks a missing frame; a gap in the time axis starts afresh.
        y : ignored.
        sampling_rate : Hz, needed for a plain array.
        checkpoint : folder for finished chunks: a killed run that is repeated with the same folder
            continues where it stopped and ends with the same numbers.
        client : ``dask.distributed.Client`` to run the chunks on.

        Returns
        -------
        self

        Raises
        ------
        KindError, ShapeError, UnitError, DataError
            Each says what came, what was needed and what to do.
        """
        check_count(self.chunk_size, "chunk_size")
        check_count(self.n_jobs, "n_jobs", least=-1_000_000)
        source = TraceSource(
            X, sampling_rate, self.chunk_size, min_frames=20, on_cluster=client is not None
        )
        traces = source.traces
        settings = self._settings(traces)
        key = None
        if checkpoint is not None:
            key = source.key(tuple(settings), self.chunk_size)
        results = run_chunks(
            fit_cells,
            source,
            shared=(traces.clock, traces.blocks, settings),
            n_jobs=self.n_jobs,
            client=client,
            progress=self.progress,
            label="cells",
            checkpoint=checkpoint,
            key=key,
        )
        self._collect(results, traces, X)
        return self

    def _settings(self, traces: Samples) -> Settings:
        low, high = check_interval(self.tau_bounds, "tau_bounds", "s")
        if low > 2:
            raise UnitError(
                f"tau_bounds is {self.tau_bounds} s",
                "Bounds in s were needed that hold the decay of an indicator",
                "Are these ms? Then divide them by 1000",
            )
        check_confidence_level(self.confidence_level)
        if self.knot_spacing is not None:
            spacing = check_positive(self.knot_spacing, "knot_spacing", "s")
            if spacing * traces.sampling_rate < 1:
                raise UnitError(
                    f"knot_spacing is {spacing:g} s, and a frame {1 / traces.sampling_rate:g} s",
                    "A spacing of many frames, in s, was needed",
                    "Pass 60.0, or None for a baseline that stays",
                )
        return Settings(
            dt=1 / traces.sampling_rate,
            penalty=np.nan if self.penalty is None else check_positive(self.penalty, "penalty"),
            tau_bounds=(low, high),
            knot_spacing=self._spacing(),
            confidence_level=float(self.confidence_level),
            rise=self._fits_rise(),
            held_rise=self._held_rise(),
        )

    def _fits_rise(self) -> bool:
        return isinstance(self.tau_rise, bool | np.bool_) and bool(self.tau_rise)

    def _held_rise(self) -> float:
        """Rise that is not fitted (s); 0 for none."""
        if isinstance(self.tau_rise, bool | np.bool_):
            return 0.0
        rise = check_positive(self.tau_rise, "tau_rise", "s")
        if rise >= self.tau_bounds[1]:
            raise UnitError(
                f"tau_rise is {rise:g} s",
                f"A rise in s below the longest decay, {self.tau_bounds[1]:g} s, was needed",
                "Is this ms? Then divide it by 1000",
            )
        return rise

    def _collect(
        self, results: list[dict[str, NDArray[Any]]], traces: Samples, source: Any
    ) -> None:
        settings, columns = self._settings(traces), gather_columns(results, source)
        attrs = dict(source.attrs) if isinstance(source, xr.DataArray) else {}
        units = str(attrs.get("units") or "1")
        self._frame_delay = float(attrs.get("frame_delay", 0.5 / traces.sampling_rate))
        self.parameters_ = tabulate_parameters(columns, traces, settings, units)
        self.segments_ = tabulate_segments(columns, traces, units)
        self.events_ = tabulate_events(columns, traces, units, self._frame_delay)
        self.sampling_rate_ = traces.sampling_rate
        self.indicator_ = attrs.get("indicator")
        self._trace = source
        self.n_features_in_ = len(traces.unit)
        keep_names(self, traces.unit)

    @property
    def calcium_(self) -> xr.DataArray:
        """Denoised trace without its baseline, (time, unit), drawn from the events."""
        return self.drawn("calcium")

    @property
    def baseline_(self) -> xr.DataArray:
        """Baseline of every cell, (time, unit), drawn from its knots."""
        return self.drawn("baseline")

    def drawn(self, name: str, units: Any = None) -> xr.DataArray:
        """Draw calcium or baseline of some units only.

        Parameters
        ----------
        name : ``"calcium"`` or ``"baseline"``.
        units : positions of the units; all by default.

        Returns
        -------
        DataArray (time, unit), in the unit of the trace
        """
        check_is_fitted(self, "parameters_")
        table = self.segments_
        time = table["time"].values
        which = np.arange(table.sizes["unit"]) if units is None else np.atleast_1d(units)
        if name == "baseline":
            heights = table["knot_height"].values[which]
            values = draw_baseline(time, heights, self._spacing(), 1 / self.sampling_rate_)
        else:
            dt = 1 / self.sampling_rate_
            blocks = find_blocks(time, dt)
            owner, rise = table["segment_unit"].values, table["kernel_rise"].values
            columns = [table[v].values for v in ("segment_frame", "decaying", "rising")]
            tau = self.parameters_["tau_decay"].values
            values = np.empty((len(time), len(which)))
            for j, k in enumerate(which):
                # Starts stand in the order of their units.
                own = slice(*np.searchsorted(owner, [k, k + 1]))
                kernel = Kernel.of_rise(float(tau[k]), float(rise[k]))
                frames, jumps, rises = (c[own] for c in columns)
                values[:, j] = draw_calcium(len(time), blocks, frames, jumps, rises, kernel, dt)
        return xr.DataArray(
            values,
            dims=("time", "unit"),
            coords={"time": table["time"], "unit": table["unit"].values[which]},
            attrs={"units": table.attrs["units"], "sampling_rate": self.sampling_rate_},
            name=name,
        )

    def _spacing(self) -> float:
        return np.inf if self.knot_spacing is None else float(self.knot_spacing)

    def compare_to(self, indicator: str | None = None) -> Table:
        """Set tau_decay of the cells beside the published constants of an indicator.

        Parameters
        ----------
        indicator : for example ``"jGCaMP8s"``; None for the one stated with the data.

        Returns
        -------
        Table
            Constants of the sensor, kernels in vivo and defaults of pipelines, each with whether
            the median over the cells lies below, within or above.
        """
        check_is_fitted(self, "parameters_")
        name = self.indicator_ if indicator is None else indicator
        return compare_with_literature(self.parameters_, name)

    def predict_rate(
        self,
        bin_size: float = 0.04,
        *,
        time: ArrayLike | None = None,
        trace: Any = None,
        events_only: bool = False,
        exponent: float = EXPONENT,
    ) -> xr.DataArray:
        """Event rate in bins.

        Parameters
        ----------
        bin_size : s.
        time : (time,), s
            Ends of the bins; by default equal bins inside each recorded stretch.
        trace : what was passed to `fit`
            Needed after `neurornn.load`: a fit keeps a reference to its trace, a file does not.

        Other Parameters
        ----------------
        events_only : bool
            Count `events_` by their size over the cell's amplitude: sparse, and without what
            stands out too little to be one.
        exponent : of what a frame adds to the calcium. Fluorescence grows faster than the number
            of spikes: 0.7 scores best on real cells; 1 for a linear indicator.

        Returns
        -------
        DataArray (time, unit), Hz
            Bin k stands for ``((k - 1)·dt, k·dt]``. A cell without events has rate 0, one whose
            trace could not be used NaN. On average as many events a second as `events_` has, each
            counted by its size over the amplitude.

        Notes
        -----
        The trace without its baseline is deconvolved with the cell's own decay: the best
        non-negative jump of every frame, less a quarter of the noise sd, spread evenly over the
        frame. Half a frame is taken off the stamps (``attrs["frame_delay"]`` of the trace, s, says
        otherwise: 0 for frames that sample the moment of their stamp), and the time to half of
        the rise, at most 30 ms.
        """
        check_is_fitted(self, "parameters_")
        where = {"bin_size": bin_size} if time is None else {"time": time}
        if events_only:
            return rate_of_events(self, where)
        return rate_of_jumps(self, self._trace if trace is None else trace, where, exponent)

    def write_html(
        self,
        path: str | os.PathLike[str],
        trace: Any,
        *,
        units: Any = None,
        title: str | None = None,
    ) -> Path:
        """Write one HTML page with the table, pictures, checks and methods, for a lab book.

        Parameters
        ----------
        path : of the file to write, for example ``"report.html"``.
        trace : what was passed to `fit`.
        units : labels of the cells to draw; by default some good ones and every kind of bad one.
        title : heading; by default says what was fitted.

        Returns
        -------
        Path
        """
        from neurornn.calcium.html_page import write_html

        return write_html(self, trace, path, units=units, title=title)

    def denoised(self) -> xr.DataArray:
        """Return the fitted trace, calcium plus baseline, (time, unit)."""
        check_is_fitted(self, "parameters_")
        out = self.calcium_ + self.baseline_
        return out.assign_attrs(self.calcium_.attrs).rename("denoised")

    def report(self, *, truth: ArrayLike | None = None) -> str:
        """Return the table of cells as text.

        Parameters
        ----------
        truth : (unit,), s
            Known time constants, printed in a column of their own.
        """
        return self._report_table(truth).to_text()

    def _report_table(self, truth: ArrayLike | None = None) -> Table:
        check_is_fitted(self, "parameters_")
        table = self.parameters_
        ok = int((table["status"] == str(Status.OK)).sum())
        tau = table["tau_decay"].where(table["status"] == str(Status.OK))
        head = [
            f"{ok} of {table.sizes['unit']} cells ok; "
            f"{self.sampling_rate_:.4g} Hz; intervals {100 * self.confidence_level:g} %"
        ]
        if ok:
            head.append(f"median tau_decay of the ok cells {format_number(float(tau.median()))} s")
        shown = table.drop_vars(["rise_status", "baseline", "baseline_ci", "covariance"])
        if not np.isfinite(table["time_to_peak"]).any():
            times = ("time_to_peak", "half_rise")
            shown = shown.drop_vars([f"{t}{end}" for t in times for end in ("", "_ci")])
        extra = None
        if truth is not None:
            extra = xr.Dataset({"truth": ("unit", np.asarray(truth, float), {"units": "s"})})
        return parameters_table(
            shown,
            "Kinetics: decay constants from fluorescence",
            head=head,
            extra=extra,
        )

    def __repr__(self) -> str:
        text = super().__repr__()
        if not hasattr(self, "parameters_"):
            return text
        return f"{text}: {self._report_table().head[0]}"

    def _methods_sentence(self) -> str:
        low, high = self.tau_bounds
        weight = "a penalty weighed by their rate"
        if self.penalty is not None:
            weight = f"a penalty of {self.penalty:g} noise s.d."
        baseline = "constant" if self.knot_spacing is None else "piecewise-linear"
        rise = ""
        if self._fits_rise():
            rise = (
                "; rise time constants are those of the double exponential, from a likelihood "
                "averaged over the times of events"
            )
        elif self._held_rise():
            rise = f"; the rise of the double exponential was held at {self._held_rise():g} s"
        return (
            "Decay time constants were estimated from fluorescence with neurornn's Kinetics: "
            f"events by optimal partitioning ({weight}), event sizes "
            f"and a {baseline} baseline eliminated by variable projection, tau searched in "
            f"[{low:g}, {high:g}] s, and {100 * self.confidence_level:g} % intervals from the "
            "profile likelihood, widened where the decays were misspecified" + rise
        )

    def _settings_to_save(self) -> dict[str, Any]:
        return {**super()._settings_to_save(), "progress": False}

    def _after_load(self, content: SavedContent) -> None:
        # A fit keeps a reference to its trace, a file does not.
        self._trace = None
        with_double_exponential(self.parameters_, self.segments_)
        self.n_features_in_ = self.parameters_.sizes["unit"]
        keep_names(self, self.parameters_["unit"].values)
