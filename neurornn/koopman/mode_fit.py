"""One fit of modes: axes, starts, the climb, the noise, and what follows for each mode."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurornn._core.errors import DataError
from neurornn.data.samples import Samples
from neurornn.koopman.exponentials import (
    Array,
    Trajectory,
    eigenvalues_of,
    functions_of,
    rates_of,
    slopes_of,
)
from neurornn.koopman.likelihood import (
    Climbed,
    Free,
    Shared,
    State,
    climb,
    covariance_of,
    kept_stable,
)
from neurornn.koopman.starts import delays_for, first_guesses

#: Rows that are read at a time, so that a large recording is never copied.
_PIECE = 4096
#: Share of the power below which what is left is rounding.
_NO_NOISE = 1e-20
#: Most starts that are climbed from.
_STARTS = 2
#: Correlation of neighbouring residuals below which no other start is tried.
_WHITE = 0.1
#: Ranks that are tried where none is given.
MAX_RANK = 12


class Axes(NamedTuple):
    """The axes that are fitted, and what lies outside them.

    Attributes
    ----------
    axes : (unit, axis), orthonormal, those of most power first.
    power : (unit,), sum of squares along all axes, largest first.
    squares : (unit,), sum of squares of each unit.
    usable : (row,), rows in which every unit was recorded.
    """

    axes: Array
    power: Array
    squares: Array
    usable: NDArray[np.bool_]


class ModeFit(NamedTuple):
    """What a fit found, in the unit of time of the data.

    Attributes
    ----------
    rates : (rank,), of the blocks of two, and their `covariance`.
    coefficients : (trajectory, rank, unit), of the functions that span each.
    slopes : (trajectory, rank, unit, rank), how these move with the rates.
    inverses : (trajectory, rank, rank), inverse moments of the functions.
    amplitude, amplitude_sd : (rank,), of each mode; both members of a pair alike.
    noise : (unit,), sd of the noise of a frame.
    correlation : of the residual of one frame with the next.
    n_delays, settled, explained : of the start; of the search; share of the power.
    criterion : Bayesian information criterion; the lowest is the best rank.
    """

    rates: Array
    covariance: Array
    coefficients: Array
    slopes: Array
    inverses: Array
    amplitude: Array
    amplitude_sd: Array
    noise: Array
    correlation: float
    n_delays: int
    settled: bool
    explained: float
    criterion: float


def axes_of(samples: Samples, n_axis: int) -> Axes:
    """Principal axes about zero, from one pass over the rows, a piece at a time."""
    values = samples.values
    n = values.shape[1]
    usable = np.empty(len(values), dtype=bool)
    gram = np.zeros((n, n))
    for a in range(0, len(values), _PIECE):
        piece = values[a : a + _PIECE]
        usable[a : a + _PIECE] = ok = np.isfinite(piece).all(axis=1)
        x = np.asarray(piece if ok.all() else piece[ok], dtype=np.float64)
        gram += x.T @ x
    power, vectors = np.linalg.eigh(gram)
    return Axes(
        vectors[:, ::-1][:, :n_axis], np.maximum(power[::-1], 0.0), np.diag(gram).copy(), usable
    )


def trajectories_of(samples: Samples, axes: Axes) -> list[Trajectory]:
    """Trajectories of two frames or more, in the axes; rows count steps from the first frame."""
    values, found = samples.values, []
    step = np.rint(samples.clock / samples.dt).astype(np.int64)
    for stretch in samples.stretches:
        inside = np.flatnonzero(axes.usable[stretch]) + stretch.start
        if len(inside) < 2:
            continue
        projected = np.empty((len(inside), axes.axes.shape[1]))
        for a in range(0, len(inside), _PIECE):
            rows = inside[a : a + _PIECE]
            piece = values[rows[0] : rows[-1] + 1]
            piece = piece if len(piece) == len(rows) else piece[rows - rows[0]]
            projected[a : a + _PIECE] = np.asarray(piece, dtype=np.float64) @ axes.axes
        found.append(Trajectory(step[inside], projected))
    return found


def fit_rank(
    samples: Samples,
    axes: Axes,
    trajectories: list[Trajectory],
    rank: int,
    *,
    n_delays: int | None,
    stable: bool,
) -> ModeFit:
    """Fit so many modes.

    Raises
    ------
    DataError
        Fewer frames than unknowns, or no start could be computed.
    """
    inside = [t._replace(values=t.values[:, :rank]) for t in trajectories]
    n_axis = inside[0].values.shape[1]
    n_frames = sum(len(t.rows) for t in inside)
    n_linear = rank * n_axis if len(inside) == 1 else rank * (n_axis + len(inside) - 1)
    if n_frames * n_axis < 2 * (rank + n_linear) or max(len(t.rows) for t in inside) <= rank:
        raise DataError(
            f"{n_frames} complete frames in {len(inside)} trajectories came for rank {rank}",
            f"A trajectory of more than {rank} frames, and twice as many numbers as the "
            f"{rank + n_linear} unknowns, were needed",
            "Pass a lower rank, or record for longer",
        )
    last = int(max(t.rows[-1] for t in inside))
    span = last * samples.dt
    time = np.arange(last + 1) / last
    problem = Free(time, inside, rank) if len(inside) == 1 else Shared(time, inside, rank)
    starts: list[tuple[float, Array, int]] = []
    for delays in delays_for(n_delays, rank, n_axis, max(len(t.rows) for t in inside)):
        for values, looks in first_guesses(inside, rank, delays, 1 / last):
            x = _start(values, looks, shared=len(inside) > 1)
            state = problem.at(kept_stable(x, rank) if stable else x)
            if state is not None:
                starts.append((state.cost, x, delays))
    best, delays = None, 0
    for _, x, tried in sorted(starts, key=lambda s: s[0])[:_STARTS]:
        found = climb(problem, x, stable=stable)
        if found is not None and (best is None or found.state.cost < best.state.cost):
            best, delays = found, tried
        # A maximum that is not the highest leaves something that the next frame knows of.
        if best is not None and _correlation(_residuals(problem, best), inside) < _WHITE:
            break
    if best is None:
        raise DataError(
            f"No linear map of rank {rank} could be computed from these frames",
            "Stretches of complete frames in which the units change were needed",
            "Pass a lower rank, or other n_delays",
        )
    return _finished(samples, axes, inside, problem, best, delays, span)


def _start(
    values: NDArray[np.complex128], looks: NDArray[np.complex128], *, shared: bool
) -> Array:
    rates = rates_of(values)
    if not shared:
        return rates
    # The columns of a block: its eigenvectors are (1, i sqrt(w)) or (1, +-sqrt(-w)).
    block_values = eigenvalues_of(rates)
    order = [int(np.argmin(np.abs(values - v))) for v in block_values]
    n_pair = len(rates) // 2
    columns = np.empty((len(looks), len(rates)))
    for b in range(n_pair):
        w = rates[2 * b + 1]
        root = np.sqrt(max(abs(w), 1e-12))
        first, second = looks[:, order[2 * b]], looks[:, order[2 * b + 1]]
        if w > 0:
            columns[:, 2 * b], columns[:, 2 * b + 1] = first.real, first.imag / root
        else:
            columns[:, 2 * b] = (first.real + second.real) / 2
            columns[:, 2 * b + 1] = (first.real - second.real) / (2 * root)
    if len(rates) % 2:
        columns[:, -1] = looks[:, order[-1]].real
    return np.concatenate([rates, columns.ravel()])


def _finished(
    samples: Samples,
    axes: Axes,
    inside: list[Trajectory],
    problem: Free | Shared,
    best: Climbed,
    delays: int,
    span: float,
) -> ModeFit:
    r, state = problem.rank, best.state
    n_axis = inside[0].values.shape[1]
    n_frames = sum(len(t.rows) for t in inside)
    n_linear = r * n_axis if len(inside) == 1 else r * (n_axis + len(inside) - 1)
    residuals = _residuals(problem, best)
    dof = max(n_frames - (r + n_linear) / n_axis, 1.0)
    noise = sum(e.T @ e for e in residuals) / dof
    covariance = covariance_of(problem, best, noise)
    correlation = _correlation(residuals, inside)
    widened = _widened(best.x[:r], correlation, float(problem.time[1] - problem.time[0]))
    covariance[:r] *= widened[:, None]
    covariance[:, :r] *= widened
    sizes, gradients, by_rate = _amplitudes(best.x[:r], state.coefficients)
    sd = _amplitude_sd(problem, best, covariance, noise, gradients, by_rate)
    basis = axes.axes[:, :n_axis]
    # All that follows is told in the unit of time of the data.
    scale = np.full(r, 1 / span)
    scale[1 : 2 * (r // 2) : 2] = 1 / span**2
    look = np.full(r, 1.0)
    look[1 : 2 * (r // 2) : 2] = 1 / span
    coefficients = np.stack([b @ basis.T for b in state.coefficients])
    slopes = np.stack(
        [
            np.einsum("kia,ua->iuk", -(inv @ gram[:r] @ slopes_of(b, r)), basis)
            for (gram, _), b, inv in zip(
                state.sums, state.coefficients, _function_inverses(state, r), strict=True
            )
        ]
    )
    inverses = np.stack(_function_inverses(state, r))
    outside = np.maximum(axes.squares.sum() - axes.power[:n_axis].sum(), 0.0)
    per_unit = _unit_noise(axes, basis, noise, n_frames)
    n_all = n_frames * len(axes.squares)
    unknowns = r + r * len(axes.squares) + r * (len(inside) - 1)
    left = max(state.cost, 0.0) + outside
    criterion = n_all * np.log(max(left, 1e-300) / n_all) + unknowns * np.log(n_all)
    # f2 is in units of the span: its coefficients are per that unit.
    return ModeFit(
        rates=best.x[:r] * scale,
        covariance=covariance[:r, :r] * np.outer(scale, scale),
        coefficients=coefficients * look[:, None],
        slopes=slopes * look[:, None, None] / scale,
        inverses=inverses * np.outer(look, look),
        amplitude=sizes,
        amplitude_sd=sd,
        noise=per_unit,
        correlation=correlation,
        n_delays=delays,
        settled=best.settled,
        explained=1 - left / max(axes.squares.sum(), 1e-300),
        criterion=float(criterion),
    )


def _function_inverses(state: State, rank: int) -> list[Array]:
    found = []
    for gram, _ in state.sums:
        size = np.sqrt(np.maximum(np.diag(gram)[:rank], 1e-300))
        scale = np.outer(size, size)
        found.append(np.linalg.pinv(gram[:rank, :rank] / scale, 1e-13, True) / scale)
    return found


def _residuals(problem: Free | Shared, best: Climbed) -> list[Array]:
    functions = functions_of(problem.time, best.x[: problem.rank])[:, : problem.rank]
    return [
        t.values - functions[t.rows] @ b
        for t, b in zip(problem.trajectories, best.state.coefficients, strict=True)
    ]


def _correlation(residuals: list[Array], inside: list[Trajectory]) -> float:
    """Of the residual of one frame with that of the next, over all axes, pooled."""
    products, squares = 0.0, 0.0
    for e, t in zip(residuals, inside, strict=True):
        next_to = np.flatnonzero(np.diff(t.rows) == 1)
        products += float(np.sum(e[next_to] * e[next_to + 1]))
        squares += float(np.sum(e[next_to] ** 2) + np.sum(e[next_to + 1] ** 2)) / 2
    # What rounding leaves is no noise.
    floor = _NO_NOISE * sum(float(np.sum(t.values**2)) for t in inside)
    return products / squares if squares > floor else 0.0


def _widened(rates: Array, correlation: float, dt: float) -> Array:
    """Factor on the standard error of each rate where the noise of neighbouring frames is alike.

    That of noise of one step of memory, at the frequency at which the mode swings; never below 1.
    """
    n_pair = len(rates) // 2
    w = np.repeat(np.maximum(rates[1 : 2 * n_pair : 2], 0.0), 2)
    turn = np.concatenate([np.sqrt(w), np.zeros(len(rates) % 2)]) * dt
    rho = min(max(correlation, 0.0), 0.999)
    power = (1 - rho**2) / (1 + rho**2 - 2 * rho * np.cos(turn))
    return np.sqrt(np.maximum(power, 1.0))


def _amplitudes(rates: Array, coefficients: list[Array]) -> tuple[Array, list[Array], Array]:
    """Size of each mode at the start, root mean square over trajectories; its slopes.

    Returns
    -------
    (rank,); per trajectory (mode, rank, axis) in the coefficients; (mode, rank) in the rates.
    """
    r, n_traj = len(rates), len(coefficients)
    n_pair = r // 2
    squares = np.zeros(r)
    by_b = [np.zeros((r, *b.shape)) for b in coefficients]
    by_rate = np.zeros((r, r))
    for j, b in enumerate(coefficients):
        for p in range(n_pair):
            i, k = 2 * p, 2 * p + 1
            w = rates[k]
            if w > 0:
                squares[[i, k]] += np.sum(b[i] ** 2) + np.sum(b[k] ** 2) / w
                for m in (i, k):
                    by_b[j][m, i], by_b[j][m, k] = 2 * b[i], 2 * b[k] / w
                    by_rate[m, k] -= np.sum(b[k] ** 2) / w**2
                continue
            q = np.sqrt(max(-w, 1e-300))
            for m, sign in ((i, 1.0), (k, -1.0)):
                v = (b[i] + sign * b[k] / q) / 2
                squares[m] += np.sum(v**2)
                by_b[j][m, i], by_b[j][m, k] = v, sign * v / q
                by_rate[m, k] += sign * np.sum(v * b[k]) / (2 * q**3)
        if r % 2:
            squares[-1] += np.sum(b[-1] ** 2)
            by_b[j][-1, -1] = 2 * b[-1]
    size = np.sqrt(squares / n_traj)
    chain = 1 / (2 * np.maximum(size, 1e-300) * n_traj)
    return size, [g * chain[:, None, None] for g in by_b], by_rate * chain[:, None]


def _amplitude_sd(
    problem: Free | Shared,
    best: Climbed,
    covariance: Array,
    noise: Array,
    gradients: list[Array],
    by_rate: Array,
) -> Array:
    """Standard error of the sizes: what the rates and looks leave open, and the noise besides."""
    r, n = problem.rank, len(best.x)
    total = np.zeros((r, n))
    total[:, :r] = by_rate
    own = np.zeros(r)
    pieces = problem.influence(best.x, best.state)
    for (k, _, _), gradient, inverse, sums in zip(
        pieces, gradients, best.state.inverses, best.state.sums, strict=True
    ):
        if isinstance(problem, Shared):
            # With the starts eliminated, the slopes in the coefficients of the functions.
            total += np.einsum("mia,nia->mn", gradient, k[:, :r])
            by_start = np.einsum("mia,ias->ms", gradient, problem.spread(best.x))
            level = np.trace(noise) / len(noise)
            own += level * np.einsum("ms,st,mt->m", by_start, inverse, by_start)
        else:
            moved = -(inverse @ sums.gram[:r] @ k)
            total += np.einsum("mia,nia->mn", gradient, moved)
            own += np.einsum("mia,ij,ab,mjb->m", gradient, inverse, noise, gradient)
    return np.sqrt(np.maximum(np.einsum("mn,nk,mk->m", total, covariance, total) + own, 0.0))


def _unit_noise(axes: Axes, basis: Array, noise: Array, n_frames: int) -> Array:
    """Sd of the noise of each unit: what the fit leaves inside the axes, and what lies outside."""
    inside = np.einsum("ua,ab,ub->u", basis, noise, basis)
    kept = np.einsum("ua,a,ua->u", basis, axes.power[: basis.shape[1]], basis)
    outside = np.maximum(axes.squares - kept, 0.0) / max(n_frames, 1)
    return np.sqrt(np.maximum(inside + outside, 0.0))
