"""Published time constants of calcium indicators, in three kinds that must not be mixed."""

import difflib
from dataclasses import dataclass

import numpy as np
import xarray as xr

from neurornn._core.errors import DataError, KindError, NameUnknownError, nearest
from neurornn._core.report import Table
from neurornn._core.status import Status
from neurornn._core.units import format_number

#: The kinds of constants, and what each is.
KINDS = {
    "sensor": "the response of the indicator itself to a single action potential",
    "in_vivo_kernel": "the average response to a spike, or to a stimulus, in a living brain",
    "pipeline_default": "a setting that an analysis pipeline recommends; not a measurement",
}

_DRAFT = "physiological defaults of MLspike as listed in the jGCaMP8 paper's draft"
_HALF = "half-rise times in the jGCaMP8 paper's draft"
_CELLS = "least-squares double exponential, cells with recorded spikes, 30-s high pass"
_AKERBOOM = "Akerboom et al. 2012, Fig. 8, PMC3482105"
_SUITE2P = "Suite2p documentation"
_ALLEN = "event decay table of the Allen pipeline (ophys_etl)"


@dataclass(frozen=True, kw_only=True)
class Constant:
    """One published constant of an indicator.

    Parameters
    ----------
    kind : ``"sensor"``, ``"in_vivo_kernel"`` or ``"pipeline_default"``.
    quantity : ``"tau_decay"``, ``"tau_rise"``, ``"half_decay"`` or ``"half_rise"``
        A half time is a time constant times log 2 where the course is exponential.
    value : s, or None where only a range is stated.
    low, high : s, the range or spread that is stated; None where none is.
    source : where the number stands.
    note : preparation, or what the range is.
    """

    kind: str
    quantity: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    source: str
    note: str = ""

    #: Unit of every number here.
    unit = "s"

    def bounds(self) -> tuple[float, float]:
        """Range of the constant (s); the value twice where no range is stated."""
        middle = np.nan if self.value is None else self.value
        low = middle if self.low is None else self.low
        high = middle if self.high is None else self.high
        return float(low), float(high)

    def tau_bounds(self) -> tuple[float, float] | None:
        """Range as a decay time constant (s): a half-decay over log 2; None for a rise."""
        if self.quantity not in ("tau_decay", "half_decay"):
            return None
        factor = 1 / np.log(2) if self.quantity == "half_decay" else 1.0
        low, high = self.bounds()
        return float(low * factor), float(high * factor)

    def text(self) -> str:
        """The number with its range in s, with the digits that were stated."""
        low, high = self.bounds()
        span = f"{low:.4g} to {high:.4g}"
        if self.value is None:
            return span
        return f"{self.value:.4g}" + ("" if low == high else f" [{span}]")


@dataclass(frozen=True, kw_only=True)
class Indicator:
    """What is published about the kinetics of one indicator.

    Attributes
    ----------
    name : as its authors write it.
    sensor, in_vivo_kernel, pipeline_default : constants of each kind; empty where none is known.
    """

    name: str
    sensor: tuple[Constant, ...]
    in_vivo_kernel: tuple[Constant, ...]
    pipeline_default: tuple[Constant, ...]

    @property
    def constants(self) -> tuple[Constant, ...]:
        """All of them, sensor first."""
        return self.sensor + self.in_vivo_kernel + self.pipeline_default

    def report(self) -> str:
        """Return the constants with their sources as text."""
        return _table([self], self.name).to_text()

    def _repr_html_(self) -> str:
        return _table([self], self.name).to_html()


def _of(name: str, *constants: Constant) -> Indicator:
    def of_kind(kind: str) -> tuple[Constant, ...]:
        return tuple(c for c in constants if c.kind == kind)

    return Indicator(
        name=name,
        sensor=of_kind("sensor"),
        in_vivo_kernel=of_kind("in_vivo_kernel"),
        pipeline_default=of_kind("pipeline_default"),
    )


def _sensor(tau: float, rise: float, half: float, sd: float, note: str = "") -> list[Constant]:
    """Decay and rise of the sensor, and its half-rise with the spread around it."""
    return [
        Constant(kind="sensor", quantity="tau_decay", value=tau, source=_DRAFT),
        Constant(kind="sensor", quantity="tau_rise", value=rise, source=_DRAFT),
        Constant(
            kind="sensor",
            quantity="half_rise",
            value=half,
            low=round(half - sd, 6),
            high=round(half + sd, 6),
            source=_HALF,
            note=note or "range: +- as stated",
        ),
    ]


def _kernel(tau: float, low: float, high: float, note: str = "") -> Constant:
    return Constant(
        kind="in_vivo_kernel",
        quantity="tau_decay",
        value=tau,
        low=low,
        high=high,
        source=_CELLS,
        note=f"{note}, median over cells" if note else "median over cells",
    )


def _default(source: str, low: float, high: float | None = None, note: str = "") -> Constant:
    return Constant(
        kind="pipeline_default",
        quantity="tau_decay",
        value=low if high is None else None,
        low=None if high is None else low,
        high=high,
        source=source,
        note=note,
    )


def _half_decay(value: float) -> Constant:
    return Constant(
        kind="in_vivo_kernel",
        quantity="half_decay",
        value=value,
        source=_AKERBOOM,
        note="after a stimulus",
    )


_ALL = (
    _of("OGB-1", _half_decay(1.51)),
    _of("GCaMP3", _half_decay(0.52)),
    _of("GCaMP5G", _half_decay(0.51)),
    _of("GCaMP5K", _half_decay(0.57)),
    _of(
        "GCaMP6s",
        *_sensor(1.87, 0.070, 0.075, 0.009),
        _kernel(1.38, 1.1, 1.9, "AAV, with a rise of 0.2 s"),
        _kernel(0.71, 0.46, 0.82, "transgenic, with a rise of 0.2 s"),
        _default(_SUITE2P, 1.25, 1.5),
        _default(_ALLEN, 0.715, 0.74, "transgenic"),
    ),
    _of(
        "GCaMP6f",
        *_sensor(0.76, 0.0156, 0.056, 0.009, "AAV, range: +- as stated"),
        Constant(
            kind="in_vivo_kernel",
            quantity="half_rise",
            value=0.020,
            source=_HALF,
            note="transgenic, about",
        ),
        Constant(
            kind="in_vivo_kernel",
            quantity="half_rise",
            value=0.090,
            source=_HALF,
            note="zebrafish",
        ),
        _kernel(0.72, 0.60, 0.73, "AAV"),
        _kernel(0.37, 0.33, 0.56, "transgenic"),
        _default(_SUITE2P, 0.7),
        _default(_ALLEN, 0.31, 0.52, "by Cre line"),
    ),
    _of(
        "jGCaMP7f",
        *_sensor(0.129, 0.0153, 0.017, 0.003),
        _kernel(0.46, 0.38, 0.68),
    ),
    _of(
        "jGCaMP8f",
        *_sensor(0.057, 0.00296, 0.0064, 0.0020),
        _kernel(0.29, 0.25, 0.35),
    ),
    _of(
        "jGCaMP8m",
        *_sensor(0.107, 0.00331, 0.0058, 0.0014),
        _kernel(0.32, 0.28, 0.42),
        _default(_ALLEN, 0.4),
    ),
    _of(
        "jGCaMP8s",
        *_sensor(0.267, 0.00472, 0.0074, 0.0026),
        _kernel(0.60, 0.52, 0.79),
        _default(_ALLEN, 0.7),
    ),
)


def _plain(name: str) -> str:
    """Spelling without case, dashes, blanks, the j of jGCaMP and the GCaMP itself."""
    letters = "".join(c for c in str(name).lower() if c.isalnum())
    return letters.removeprefix("j").removeprefix("gcamp")


_BY_NAME = {_plain(i.name): i for i in _ALL}


def indicator(name: str) -> Indicator:
    """Published time constants of an indicator.

    Parameters
    ----------
    name : for example ``"GCaMP6f"``, ``"jgcamp8s"`` or ``"8s"``
        Case, dashes and the j do not matter.

    Returns
    -------
    Indicator
        Constants in three kinds (s), each with its source.

    Raises
    ------
    NameUnknownError
        With the nearest known name.

    Examples
    --------
    >>> found = indicator("jgcamp8s")
    >>> found.name, found.sensor[0].value, found.in_vivo_kernel[0].bounds()
    ('jGCaMP8s', 0.267, (0.52, 0.79))
    """
    if not isinstance(name, str):
        raise KindError(
            f"name is {name!r}, a {type(name).__name__}",
            "The name of an indicator was needed",
            'Pass for example "GCaMP6f"; list_indicators() shows all',
        )
    plain = _plain(name)
    if plain in _BY_NAME:
        return _BY_NAME[plain]
    close = difflib.get_close_matches(plain, _BY_NAME, n=1, cutoff=0.4)
    shown = _BY_NAME[close[0]].name if close else name
    raise NameUnknownError(
        f"There are no constants of {name!r}",
        "An indicator with published constants was needed",
        nearest(shown, [i.name for i in _ALL]),
    )


def list_indicators() -> Table:
    """Published time constants of every indicator, with their kinds and sources.

    Returns
    -------
    Table
        ``print(list_indicators().to_text())``.
    """
    return _table(_ALL, "Time constants of calcium indicators")


def compare_with_literature(parameters: xr.Dataset, name: str | None) -> Table:
    """Set the decay constants of a population beside the published ones, kind by kind.

    Parameters
    ----------
    parameters : table of `Kinetics`, with ``tau_decay`` (s), its ``_ci`` and ``status``.
    name : of the indicator; None raises.

    Returns
    -------
    Table
        For each published decay constant whether the median over the cells that are ok lies
        below, within or above, and how many of their intervals reach it.

    Notes
    -----
    The median is within a range where it lies in it, and within a single number where the
    intervals of at least half of the cells hold that number.
    """
    if name is None:
        raise DataError(
            "No indicator is stated with the data",
            "The name of an indicator was needed",
            'Pass it, compare_to("jGCaMP8s"), or set .attrs["indicator"] of the traces before fit',
        )
    known = indicator(name)
    ok = parameters["status"].values == str(Status.OK)
    taus = parameters["tau_decay"].values[ok]
    ci = parameters["tau_decay_ci"].values[ok]
    median = float(np.median(taus)) if len(taus) else np.nan
    rows = []
    for constant in known.constants:
        bounds = constant.tau_bounds()
        if bounds is None:
            continue
        low, high = bounds
        reached = np.array((ci[:, 0] <= high) & (ci[:, 1] >= low))
        shown = f"{low:.3g}" + ("" if low == high else f" to {high:.3g}")
        note = constant.note
        if constant.quantity == "half_decay":
            note = f"{note}, half-decay over log 2"
        rows.append(
            [
                constant.kind,
                shown,
                _verdict(median, low, high, reached),
                f"{int(reached.sum())} of {len(reached)}",
                "; ".join(t for t in (note, constant.source) if t),
            ]
        )
    absent = [k for k in KINDS if not getattr(known, k)]
    cells = f"{len(taus)} of {len(ok)} cells ok, "
    return Table(
        title=f"tau_decay against the literature of {known.name}",
        columns=["kind", "tau_decay (s)", "median of the cells", "intervals that reach it", "of"],
        rows=rows,
        head=[cells + f"median tau_decay {format_number(median)} s"],
        notes=[
            "tau_decay of Kinetics is the decay of the events in these cells: compare it with "
            "in_vivo_kernel.",
            *(f"{kind}: {meaning}" for kind, meaning in KINDS.items()),
            *(f"{kind}: none published here for {known.name}" for kind in absent),
        ],
    )


def _verdict(median: float, low: float, high: float, reached: np.ndarray) -> str:
    if np.isnan(median):
        return "-"
    if low <= median <= high or (low == high and reached.mean() >= 0.5):
        return "within"
    if median < low:
        return f"below, {format_number(median / low)} times"
    return f"above, {format_number(median / high)} times"


def _table(indicators: tuple[Indicator, ...] | list[Indicator], title: str) -> Table:
    rows = [
        [i.name, c.kind, c.quantity, c.text(), c.note, c.source]
        for i in indicators
        for c in i.constants
    ]
    return Table(
        title=title,
        columns=["indicator", "kind", "quantity", "value (s)", "note", "source"],
        rows=rows,
        notes=[f"{kind}: {meaning}" for kind, meaning in KINDS.items()],
    )
