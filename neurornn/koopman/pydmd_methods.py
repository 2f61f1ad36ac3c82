"""PyDMD's classes, each fitted as it is and read in units of seconds.

What a class calls an eigenvalue differs: a factor per frame, a rate per second, or a finite
difference of one. Each reader below knows which, and undoes it.
"""

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurornn._core.errors import DataError

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
#: A conjugate partner is this near, as a share of the eigenvalue; bags differ by less.
_PARTNER = 1e-2
#: An imaginary part below this share of an eigenvalue is rounding.
_REAL = 1e-9
#: Modes of a window smaller than this share of the largest are what rounding left.
_ROUNDING = 1e-10


class Job(NamedTuple):
    """What is to be fitted.

    Attributes
    ----------
    states : one array (unit, time) for each trajectory.
    dt : s, between frames.
    rank : eigenvalues; a share of the energy below 1; 0 for PyDMD's own threshold.
    options : of the class of PyDMD.
    inputs : (input, time), of the only trajectory.
    derivatives : (unit, time), unit of the data per second, of the only trajectory.
    fixed_point : (unit,).
    seed : of what the class draws.
    """

    states: list[Array]
    dt: float
    rank: float
    options: Mapping[str, Any]
    inputs: Array | None
    derivatives: Array | None
    fixed_point: Array
    seed: int

    @property
    def pairs(self) -> tuple[Array, Array]:
        """Frames that have a next one, and those next ones: (unit, pair) each."""
        now = np.concatenate([x[:, :-1] for x in self.states], axis=1)
        return now, np.concatenate([x[:, 1:] for x in self.states], axis=1)


class Modes(NamedTuple):
    """Modes read from a class, conjugates as one.

    Attributes
    ----------
    rates : (mode,), 1/s; the upper member of a pair.
    looks : (mode, unit), complex: contribution to the first frame, of which the real part is seen.
    rate_sd, turn_sd, size_sd : (mode,), standard errors of the real part and of the imaginary one,
        1/s, and of the length of `looks`; NaN where the class gives none.
    paired : (mode,), False for a complex one whose conjugate is missing.
    level : (mode,), of a multiresolution analysis; 0 elsewhere.
    start : (mode,), s, from the first frame to that of the window.
    """

    rates: Complex
    looks: Complex
    rate_sd: Array
    turn_sd: Array
    size_sd: Array
    paired: NDArray[np.bool_]
    level: NDArray[np.int64]
    start: Array


class Found(NamedTuple):
    """What a class found, and how it is to be read.

    Attributes
    ----------
    estimator : object of PyDMD.
    modes : in seconds.
    n_eigenvalues : that the class took, conjugates counted twice.
    fastest : Hz, above which a mode may be another one.
    units : how the eigenvalues were brought to 1/s.
    no_interval : why there are no intervals, where there are none.
    interval : how the intervals are formed, where there are some.
    sized : whether `looks` have a length in the unit of the data.
    """

    estimator: Any
    modes: Modes
    n_eigenvalues: int
    fastest: float
    units: str
    no_interval: str = "the method gives no standard error; fit_modes does"
    interval: str = ""
    sized: bool = True


@dataclass(frozen=True, kw_only=True)
class Method:
    """One method of the front: its class in PyDMD and how it is fitted and read.

    Parameters
    ----------
    cls : name of the class in PyDMD.
    title : for a sentence.
    read : fits and reads it.
    papers : keys of `papers.PAPERS`.
    defaults : options that differ from PyDMD's.
    delays : option that says how many frames are laid side by side.
    several : takes several trajectories.
    """

    cls: str
    title: str
    read: Callable[[Any, Job], Found]
    papers: tuple[str, ...]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    delays: str = ""
    several: bool = False


# Eigenvalues to rates --------------------------------------------------------------------------


def per_step(factors: Complex, step: float) -> Complex:
    """Rates, 1/s, of factors per step of so many seconds."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.asarray(factors, dtype=complex)) / step)


def per_difference(slopes: Complex, dt: float) -> Complex:
    """Rates, 1/s, of slopes by central differences, which are sinh(rate dt) / dt of exponentials.

    Frequencies above a quarter of the sampling rate look like those below.
    """
    return np.asarray(np.arcsinh(np.asarray(slopes, dtype=complex) * dt) / dt)


def as_modes(
    values: Complex,
    convert: Callable[[Complex], Complex],
    looks: Complex,
    sd: Array | None = None,
    size_sd: Array | None = None,
    *,
    level: int = 0,
    start: float = 0.0,
) -> Modes:
    """Lay conjugates together, before anything is converted.

    Parameters
    ----------
    values : eigenvalues as the class has them: of a real matrix, so in conjugate pairs.
    convert : to 1/s.
    looks : (unit, eigenvalue).
    sd, size_sd : of the eigenvalues in 1/s, all directions of the plane together; of sizes.
    """
    values = np.asarray(values, dtype=complex)
    blank = np.full(len(values), np.nan)
    sd = blank if sd is None else sd
    size_sd = blank if size_sd is None else size_sd
    swings = np.abs(values.imag) > _REAL * np.abs(values)
    lower = [k for k in np.flatnonzero(swings) if values[k].imag < 0]
    rows: list[tuple[complex, Any, float, float, float, bool]] = []
    for k in np.flatnonzero(~swings | (values.imag > 0)):
        if not swings[k]:
            rows.append((values[k].real, looks[:, k], sd[k], np.nan, size_sd[k], True))
            continue
        near = [abs(values[j].conj() - values[k]) for j in lower]
        best = int(np.argmin(near)) if near else 0
        if not near or near[best] > _PARTNER * abs(values[k]):
            own = sd[k] / np.sqrt(2)
            rows.append((values[k], looks[:, k], own, own, size_sd[k], False))
            continue
        j = lower.pop(best)
        # The spread of a complex number is that of its two parts together.
        each = (sd[k] + sd[j]) / 2 / np.sqrt(2)
        middle = (values[k] + values[j].conj()) / 2
        look = looks[:, k] + looks[:, j].conj()
        rows.append((middle, look, each, each, size_sd[k] + size_sd[j], True))
    for j in lower:
        own = sd[j] / np.sqrt(2)
        rows.append((values[j].conj(), looks[:, j].conj(), own, own, size_sd[j], False))
    n = len(rows)
    return Modes(
        rates=convert(np.array([r[0] for r in rows], dtype=complex)),
        looks=np.array([r[1] for r in rows], dtype=complex).reshape(n, len(looks)),
        rate_sd=np.array([r[2] for r in rows], dtype=float),
        turn_sd=np.array([r[3] for r in rows], dtype=float),
        size_sd=np.array([r[4] for r in rows], dtype=float),
        paired=np.array([r[5] for r in rows], dtype=bool),
        level=np.full(n, level),
        start=np.full(n, start),
    )


def _at_starts(modes: Complex, starts: list[Array]) -> Complex:
    """Contributions to first frames, root mean square over trajectories, (unit, eigenvalue)."""
    sizes = np.linalg.lstsq(modes, np.stack(starts, axis=1).astype(complex), rcond=None)[0]
    if len(starts) == 1:
        return np.asarray(modes * sizes[:, 0])
    return np.asarray(modes * np.sqrt(np.mean(np.abs(sizes) ** 2, axis=1)))


def _svd_rank(rank: float) -> float:
    return rank if 0 < rank < 1 else int(rank)


# The classes -----------------------------------------------------------------------------------


def _exact(cls: Any, job: Job) -> Found:
    made = cls(svd_rank=_svd_rank(job.rank), **job.options)
    if len(job.states) == 1:
        made.fit(job.states[0])
        looks = made.modes * made.dynamics[:, 0]
    else:
        made.fit(*job.pairs)
        looks = _at_starts(made.modes, [x[:, 0] for x in job.states])
    modes = as_modes(made.eigs, lambda v: per_step(v, job.dt), looks)
    return Found(made, modes, len(made.eigs), 0.5 / job.dt, "factors per frame: log over dt")


def _bop(cls: Any, job: Job) -> Found:
    made = cls(svd_rank=_svd_rank(job.rank), **job.options)
    x = job.states[0]
    made.fit(x, np.arange(x.shape[1]) * job.dt)
    n_bags, size = made.num_trials, made.trial_size
    share = int(size * x.shape[1]) / x.shape[1] if size < 1 else size / x.shape[1]
    found: dict[str, Any] = {"no_interval": "no bags were drawn: num_trials is below 2"}
    sd = size_sd = None
    if n_bags > 1 and share < 1:
        # What the frames left out make of the spread: that of a jackknife that deletes many.
        factor = 1 / np.sqrt(1 / share - 1)
        sd, size_sd = factor * made.eigenvalues_std, factor * np.abs(made.amplitudes_std)
        found = {
            "interval": f"sd over {n_bags} bags of {100 * share:.3g} % of the frames, drawn "
            "without replacement, over sqrt(1 / share - 1) (jackknife), for white noise",
        }
    elif n_bags > 1:
        found["no_interval"] = "every bag holds all frames"
    looks = made.modes * made.dynamics[:, 0]
    modes = as_modes(made.eigs, lambda v: v, looks, sd, size_sd)
    return Found(
        made, modes, len(made.eigs), 0.5 / job.dt, "rates per second, as the class has them",
        **found,
    )  # fmt: skip


def _hankel(cls: Any, job: Job) -> Found:
    made = cls(svd_rank=_svd_rank(job.rank), **job.options)
    x = job.states[0]
    made.fit(x)
    # The first rows of the delayed frames are the frames themselves.
    looks = (made.modes * made.dynamics[:, 0])[: len(x)]
    modes = as_modes(made.eigs, lambda v: per_step(v, job.dt), looks)
    return Found(made, modes, len(made.eigs), 0.5 / job.dt, "factors per frame: log over dt")


def _havok(cls: Any, job: Job) -> Found:
    from pydmd import BOPDMD

    forced = job.options.get("num_chaos", 1)
    if job.options.get("structured", False):
        raise DataError(
            "structured=True came",
            "One set of singular vectors was needed: PyDMD subtracts two, whose signs are chance",
            "Leave structured out",
        )
    # The rank that is asked for is that of the linear part.
    rank = job.rank + forced if job.rank >= 1 else job.rank
    made = cls(svd_rank=_svd_rank(rank), **job.options)
    x = job.states[0]
    made.fit(x, job.dt)
    values, vectors = np.linalg.eig(made.A)
    n_linear = len(values)
    looks = (made.modes[: len(x), :n_linear] * made.singular_vals[:n_linear]) @ vectors
    if isinstance(job.options.get("dmd"), BOPDMD):
        convert, fastest = (lambda v: v), 0.5 / job.dt
        units = "rates per second, as the class has them"
    else:
        convert, fastest = (lambda v: per_difference(v, job.dt)), 0.25 / job.dt
        units = "slopes by central differences: asinh(slope dt) / dt"
    modes = as_modes(values, convert, looks.astype(complex))
    units += f"; of the linear part, which {forced} of the delay coordinates force"
    return Found(made, modes, n_linear, fastest, units, sized=False)


def _control(cls: Any, job: Job) -> Found:
    made = cls(svd_rank=_svd_rank(job.rank), **job.options)
    assert job.inputs is not None
    lag = int(job.options.get("lag", 1))
    # An input is held from its frame to the next one: the last has no next one.
    made.fit(job.states[0], job.inputs[:, :-lag])
    step = lag * job.dt
    looks = made.modes * made.dynamics[:, 0]
    modes = as_modes(made.eigs, lambda v: per_step(v, step), looks)
    of = "factors per frame: log over dt"
    units = of if lag == 1 else f"factors per {lag} frames: log over {lag} dt"
    return Found(made, modes, len(made.eigs), 0.5 / step, units)


def _lando(cls: Any, job: Job) -> Found:
    made = cls(svd_rank=_svd_rank(job.rank), **job.options)
    slopes = job.derivatives is not None
    if slopes:
        made.fit(job.states[0], job.derivatives)
    elif len(job.states) == 1:
        made.fit(job.states[0])
    else:
        made.fit(*job.pairs)
    made.analyze_fixed_point(job.fixed_point)
    looks = _at_starts(made.modes, [x[:, 0] - job.fixed_point for x in job.states])
    modes = as_modes(made.eigs, lambda v: v if slopes else per_step(v, job.dt), looks)
    units = "rates per second, of the derivatives" if slopes else "factors per frame: log over dt"
    return Found(made, modes, len(made.eigs), 0.5 / job.dt, units)


def _multiresolution(cls: Any, job: Job) -> Found:
    from pydmd import DMD

    options = dict(job.options)
    inner = options.pop("dmd", None)
    made = cls(dmd=DMD(svd_rank=_svd_rank(job.rank)) if inner is None else inner, **options)
    x = job.states[0]
    made.fit(x)
    parts: list[Modes] = []
    at: dict[int, int] = {}
    for level, _, one in made.enumerate():
        first = at.get(level, 0)
        at[level] = first + one.snapshots.shape[1]
        if not len(one.eigs):
            continue
        # No level leaves out frames: a step is dt on all of them.
        looks = (one.modes * one.dynamics[:, 0])[: len(x)]
        parts.append(
            as_modes(
                one.eigs, lambda v: per_step(v, job.dt), looks, level=level, start=first * job.dt
            )
        )
    if not parts:
        raise DataError(
            "No window holds a mode slow enough for it",
            "Modes that turn at most max_cycles times in a window were needed",
            "Pass a higher max_level or max_cycles",
        )
    modes = Modes(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    size = np.linalg.norm(modes.looks, axis=1)
    keep = size > _ROUNDING * size.max()
    modes = Modes(*(column[keep] for column in modes))
    n = int(sum(len(one.eigs) for *_, one in made.enumerate()))
    units = "factors per frame on every level: log over dt"
    return Found(made, modes, n, 0.5 / job.dt, units)


@contextlib.contextmanager
def quiet(seed: int) -> Iterator[list[str]]:
    """Keep what PyDMD warns and prints, and give the state of NumPy's old generator back.

    BOPDMD and LANDO draw from that generator, and take no other.
    """
    said: list[str] = []
    state = np.random.get_state()  # noqa: NPY002
    # Its first log line would give the root logger a handler.
    handlers = logging.root.handlers[:]
    printed = io.StringIO()
    try:
        np.random.seed(seed)  # noqa: NPY002
        with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(printed):
            warnings.simplefilter("always")
            yield said
        kinds = (UserWarning, RuntimeWarning)
        told = [str(w.message) for w in caught if issubclass(w.category, kinds)]
        lines = [" ".join(t.split()) for t in (*told, printed.getvalue())]
        # The same about every window, with another number, is told once.
        once = {re.sub(r"[\d.]+", "", t): t for t in reversed(lines) if t}
        said += reversed(once.values())
    finally:
        np.random.set_state(state)  # noqa: NPY002
        logging.root.handlers[:] = handlers


METHODS: dict[str, Method] = {
    "exact": Method(
        cls="DMD", title="exact dynamic mode decomposition", read=_exact,
        papers=("schmid_2010", "tu_2014"), defaults={"exact": True}, several=True,
    ),
    "bop": Method(
        cls="BOPDMD", title="bagging, optimized dynamic mode decomposition", read=_bop,
        papers=("askham_2018", "sashidhar_2022"),
        # Sorted by the real part, as "auto" may, conjugates swap between bags.
        defaults={"num_trials": 100, "eig_sort": "imag"},
    ),
    "hankel": Method(
        cls="HankelDMD", title="Hankel dynamic mode decomposition", read=_hankel,
        papers=("arbabi_2017",), defaults={"d": 10}, delays="d",
    ),
    "havok": Method(
        cls="HAVOK", title="the Hankel alternative view of Koopman", read=_havok,
        papers=("brunton_2017",), delays="delays",
    ),
    "control": Method(
        cls="DMDc", title="dynamic mode decomposition with control", read=_control,
        papers=("proctor_2016",),
    ),
    "lando": Method(
        cls="LANDO", title="linear and nonlinear disambiguation optimization", read=_lando,
        papers=("baddoo_2022",), several=True,
    ),
    "multiresolution": Method(
        cls="MrDMD", title="multiresolution dynamic mode decomposition", read=_multiresolution,
        papers=("kutz_2016",),
    ),
}  # fmt: skip
