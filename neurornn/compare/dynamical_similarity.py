"""Do two networks, or two sessions, do the same? Their linear dynamics compared, with a test."""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurornn._core.checks import check_confidence_level, check_count
from neurornn._core.confidence import draws_interval, to_dataset
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn._core.jobs import one_thread
from neurornn._core.quantities import Quantity
from neurornn._core.report import Table, parameters_table
from neurornn._core.rng import RNG, generator
from neurornn._core.status import Status
from neurornn.compare.alignment import align
from neurornn.data.samples import Samples, history
from neurornn.io.shell import TableResult
from neurornn.koopman.trajectories import as_trajectories

Array = NDArray[np.float64]

#: Fewest trials of each for a permutation to say something.
MIN_TRIALS = 5
#: Starts from eigenvectors for the rotation of one recording onto another.
_TURNED = 40
_OTHER_UNITS = (
    "the two have other units: trials cannot change sides, and other units alone lie beyond the "
    "ceiling; test the time scales instead, nr.compare.spectra(fit_modes(a), fit_modes(b))"
)


class DynamicalSimilarity(TableResult):
    """How alike the dynamics of two recordings are; made by `similarity`.

    Attributes
    ----------
    parameters : Dataset of one row
        ``distance`` (radians between the two linear maps, rotated to agree as well as they can);
        ``ceiling``, the same between halves of one recording, with its interval: what noise
        makes of a distance of 0; ``p_value`` of the hypothesis that the trials of both come from
        one system; ``status``.
    settings : how it was made; ``rotation``, (axis, axis), that lays the first on the second.
    """

    _papers: ClassVar[tuple[str, ...]] = ("ostrow_2023", "phipson_2010")
    _packages: ClassVar[tuple[str, ...]] = ("numpy", "scipy")
    _quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            name="distance", units="rad", long_name="angle between the dynamics",
            method="dynamical similarity analysis: linear maps of delayed frames, rotated to "
            "agree", reason="a distance is judged against its ceiling",
        ),
        Quantity(
            name="ceiling", units="rad", long_name="angle between halves of one recording",
            method="median over random halves of trials; quantiles of them",
        ),
        Quantity(
            name="p_value", units="1", long_name="probability of so large a distance by chance",
            method="trials change sides at random", reason="a probability",
        ),
    )  # fmt: skip

    @property
    def distance(self) -> float:
        """Angle between the dynamics, radians; 0 for the same up to a rotation."""
        return float(self.parameters["distance"])

    @property
    def p_value(self) -> float:
        """Probability of so large a distance if one system made both."""
        return float(self.parameters["p_value"])

    def _report_table(self) -> Table:
        s = self.settings
        head = [
            f"{s['n_trials']} and {s['n_trials_other']} trials; rank {s['rank']} of "
            f"{s['n_units']} and {s['n_units_other']} units, {s['n_delays']} frames a state; "
            f"{s['n_permutations']} permutations",
        ]
        return parameters_table(self.parameters, "Dynamical similarity", head=head)

    def __repr__(self) -> str:
        return f"DynamicalSimilarity(distance {self.distance:.3g} rad, p {self.p_value:.2g})"

    def _methods_sentence(self) -> str:
        s = self.settings
        test = (
            f"a test in which trials changed sides {s['n_permutations']} times"
            if np.isfinite(self.p_value)
            else "no test, for lack of common units"
        )
        return (
            f"Linear maps of rank {s['rank']} between frames of {s['n_delays']} delays were "
            f"compared by dynamical similarity analysis, with {test}"
        )


class _Moments(NamedTuple):
    """Moments of every trial in common axes: of frames, and of frames with those after them."""

    frames: Array
    steps: Array

    def map(self, trials: NDArray[np.intp]) -> Array:
        """Linear map of whitened frames, (axis, axis)."""
        now, then = self.frames[trials].sum(axis=0), self.steps[trials].sum(axis=0)
        values, vectors = np.linalg.eigh(now)
        root = vectors / np.sqrt(np.maximum(values, 1e-12 * values[-1]))
        # In axes in which the frames have unit moments, up to a rotation nobody can tell.
        half = root @ vectors.T
        return np.asarray(half @ then @ half)


def similarity(
    a: Any,
    b: Any,
    dt: float | None = None,
    *,
    rank: int = 6,
    n_delays: int = 4,
    n_permutations: int = 199,
    n_halves: int = 40,
    align_units: bool | str = "auto",
    confidence_level: float = 0.95,
    rng: RNG = 0,
) -> DynamicalSimilarity:
    """Compare the dynamics of two networks or sessions, and test whether they differ.

    Parameters
    ----------
    a, b : (trial, time, unit), lists of arrays (time, unit), or DataArrays; states of networks or
        recordings, at one clock.
    dt : s, between frames; only needed where the data have no clock, and then not told in s.
    rank : principal axes of delayed frames.
    n_delays : frames that make one state.
    n_permutations : of the test; the smallest p-value is 1 / (n_permutations + 1).
    n_halves : random halves for the ceiling.
    align_units : whether the maps are rotated onto one another; ``"auto"`` where the units differ
        in number or in name. With common units they need not be, and more is seen.
    confidence_level : of the ceiling.
    rng : int, Generator or None.

    Returns
    -------
    DynamicalSimilarity

    Raises
    ------
    KindError, ShapeError, UnitError, DataError
        Data of other clocks, too few trials, a rank above what there is.

    Notes
    -----
    Dynamical similarity analysis (Ostrow et al. 2023): a linear map is fitted to principal axes of
    delayed frames of each, whitened, and the maps are compared as ``min |C A C' - B|`` over
    rotations C, given as the angle between them. With the units in common the axes are common too
    and C is left out. A distance is never 0 under noise: the ceiling tells how far halves of one
    recording are apart, and the test how often trials that change sides at random are as far
    apart (Phipson & Smyth 2010), which is exact where trials are exchangeable under one system.

    There is no test across other units: trials cannot change sides, and the ceiling, made of
    halves of one recording, knows neither what other units see of the same states nor their
    noise, which shrink a linear map differently. The same system seen by others then lies beyond
    the ceiling. Eigenvalues do not depend on who looks on: where the recordings are sums of modes,
    `spectra` of modes fitted to both has a test that holds.

    References
    ----------
    Ostrow, Eisen, Kozachkov & Fiete 2023, NeurIPS 36, arXiv:2306.10168.

    Examples
    --------
    >>> from neurornn.simulate import simulate_oscillators
    >>> run = simulate_oscillators(n_trials=20, noise_sd=0.2, rng=0)["series"]
    >>> same = similarity(run[:10], run[10:], rank=5)
    >>> same.p_value > 0.05
    True
    """
    level = check_confidence_level(confidence_level)
    rank, n_delays = check_count(rank, "rank"), check_count(n_delays, "n_delays")
    n_permutations = check_count(n_permutations, "n_permutations")
    first = as_trajectories(a, dt, "a", timeless=True)
    second = as_trajectories(b, dt, "b", timeless=True)
    if abs(first.sampling_rate / second.sampling_rate - 1) > 0.02:
        raise DataError(
            f"a has a frame every {first.dt:g} s and b every {second.dt:g} s",
            "One clock, the same to 2 %, was needed",
            "Bring one of them onto the frames of the other, with data.resample_to",
        )
    common = first.values.shape[1] == second.values.shape[1] and (
        not (first.units_named and second.units_named) or np.array_equal(first.unit, second.unit)
    )
    if align_units != "auto":
        if not isinstance(align_units, bool):
            raise KindError(
                f"align_units is {align_units!r}",
                "True, False or 'auto' was needed",
                "Leave it out",
            )
        if not align_units and not common:
            raise ShapeError(
                f"a has {first.values.shape[1]} units and b {second.values.shape[1]}, or others",
                "The same units in the same order were needed with align_units=False",
                "Pass align_units=True",
            )
    rotate = not common if align_units == "auto" else bool(align_units)
    draw = generator(rng)
    laid = [_laid(s, n_delays) for s in (first, second)]
    for name, trials in zip("ab", laid, strict=True):
        if len(trials) < 2:
            raise DataError(
                f"{name} has {len(trials)} trials of more than {n_delays + 1} complete frames",
                "At least 2 trials of each, and 5 for the test, were needed",
                "Cut a long recording into trials",
            )
    with one_thread():
        return _compared(first, second, laid, rank, n_delays, n_permutations, n_halves,
                         rotate, common, level, draw)  # fmt: skip


def _laid(samples: Samples, n_delays: int) -> list[Array]:
    """Delayed frames of each trial that is complete; gaps cut it."""
    found = []
    for stretch in samples.stretches:
        x = np.asarray(samples.values[stretch], dtype=np.float64)
        usable = np.asarray(np.isfinite(x).all(axis=1))
        if usable.sum() < n_delays + 2:
            continue
        frames = history(np.where(usable[:, None], x, np.nan), n_delays)[n_delays - 1 :]
        found.append(frames)
    return found


def _moments(trials: list[Array], axes: Array, mean: Array) -> _Moments:
    frames, steps = [], []
    for x in trials:
        z = (x - mean) @ axes
        good = np.asarray(np.isfinite(z).all(axis=1))
        pair = good[:-1] & good[1:]
        now, then = z[:-1][pair], z[1:][pair]
        frames.append(now.T @ now)
        steps.append(now.T @ then)
    return _Moments(np.array(frames), np.array(steps))


def _axes(trials: Sequence[Array], rank: int) -> tuple[Array, Array]:
    rows = np.concatenate(trials)
    rows = rows[np.isfinite(rows).all(axis=1)]
    if rank > min(rows.shape):
        raise DataError(
            f"rank is {rank} of {rows.shape[1]} delayed units and {len(rows)} frames",
            f"At most {min(rows.shape)} was needed",
            "Pass a lower rank or more n_delays",
        )
    mean = rows.mean(axis=0)
    centred = rows - mean
    return np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :rank], mean


def _compared(
    first: Samples,
    second: Samples,
    laid: list[list[Array]],
    rank: int,
    n_delays: int,
    n_permutations: int,
    n_halves: int,
    rotate: bool,
    common: bool,
    level: float,
    draw: np.random.Generator,
) -> DynamicalSimilarity:
    n_a, n_b = map(len, laid)
    if common:
        # One set of axes, from both, so that trials can change sides.
        axes, mean = _axes([*laid[0], *laid[1]], rank)
        pooled = _moments([*laid[0], *laid[1]], axes, mean)
        sides = [pooled, pooled]
        members = [np.arange(n_a), n_a + np.arange(n_b)]
    else:
        sides = [_moments(x, *_axes(x, rank)) for x in laid]
        members = [np.arange(n_a), np.arange(n_b)]

    def angle(x: Array, y: Array, n_turned: int = 0) -> float:
        if rotate:
            # Halves of one recording have common axes, near which the best rotation is.
            return align(x, y, n_turned=n_turned, rng=np.random.default_rng(0)).angle
        cosine = np.sum(x * y) / max(float(np.linalg.norm(x) * np.linalg.norm(y)), 1e-300)
        return float(np.arccos(np.clip(cosine, -1, 1)))

    maps = [side.map(m) for side, m in zip(sides, members, strict=True)]
    distance = angle(maps[0], maps[1], _TURNED)
    rotation = np.eye(rank)
    if rotate:
        rotation = align(maps[0], maps[1], n_turned=_TURNED, rng=np.random.default_rng(0)).rotation
    halves = []
    for _ in range(n_halves):
        # Each half as many trials as it can have: the ceiling is a little high.
        k = int(draw.integers(2))
        order = draw.permutation(members[k])
        halves.append(
            angle(sides[k].map(order[: len(order) // 2]), sides[k].map(order[len(order) // 2 :]))
        )
    p, status = float("nan"), str(Status.OK)
    reason = "a probability"
    if not common:
        reason = _OTHER_UNITS
    elif min(n_a, n_b) < MIN_TRIALS:
        reason = f"fewer than {MIN_TRIALS} trials of each"
        status = str(Status.TOO_SHORT)
    else:
        everyone = np.arange(n_a + n_b)
        as_far = 0
        for _ in range(n_permutations):
            order = draw.permutation(everyone)
            as_far += angle(pooled.map(order[:n_a]), pooled.map(order[n_a:])) >= distance - 1e-12
        p = (as_far + 1) / (n_permutations + 1)
    of = DynamicalSimilarity.quantity
    table = to_dataset(
        [
            of("distance").of(distance),
            of("ceiling").of(np.median(halves), draws_interval(halves, level)),
            of("p_value").of(p, reason=reason),
        ],
        confidence_level=level,
        status=status,
    )
    settings = {
        "rank": rank, "n_delays": n_delays, "n_permutations": n_permutations,
        "n_trials": n_a, "n_trials_other": n_b,
        "n_units": int(first.values.shape[1]), "n_units_other": int(second.values.shape[1]),
        "rotated": rotate, "confidence_level": level, "rotation": rotation.tolist(),
    }  # fmt: skip
    return DynamicalSimilarity(table, settings)
