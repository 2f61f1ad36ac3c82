"""Likelihood of counts behind one latent of known law: exact, by sums over a grid of its values.

The latent is an Ornstein-Uhlenbeck process of sd 1. The count of a unit in a bin is Poisson given
the mean of the latent over the bin, which the values at both edges of the bin tell but for a small
rest (`nodes`); or, for counts that were simulated with one rate for each bin, given the value at
the bin. Sums over an even grid are exact to many digits for smooth laws, so what is climbed is the
likelihood itself, not an approximation of it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy.sparse.linalg import LinearOperator, cg

from neurornn._kernels.hidden_latent import forward_backward
from neurornn.spikes.latent_steps import matrices_of, pairs_of, steps_of

Array = NDArray[np.float64]

#: The grid reaches so many sd of the latent to both sides.
_REACH = 4.8
#: Of the sd of the narrowest law that is summed: the error of the sum is exp(-2 pi^2 / 1.32^2).
_STEP = 1.32
#: States come in eights, as loops of the processor do.
_WIDEST, _MOST_STATES, _EIGHT = 0.65, 128, 8
#: Rest of the latent within a bin that needs no nodes, in parts of what one bin tells of it.
_SMALL_REST = 0.06
#: The same where counts tell more than this of the latent in a time constant.
_SMALL_REST_OF_MUCH, _MUCH_TOLD = 0.003, 5.0
_N_NODES = 5
#: Largest gradient at the top, in errors of a parameter if the latent were seen.
_TOLERANCE = 1e-3
#: The same that a climb which ended early may leave.
_LEFT_OVER = 0.3
#: A chance below this is none: numbers without all their digits take long.
_NOTHING = 1e-200
#: Loadings that a climb cannot leave.
_MOST_LOADING = 4.0


class CountRows(NamedTuple):
    """Counts as the likelihood takes them.

    Attributes
    ----------
    counts : (row, unit), 0 where none was observed.
    edges : (run + 1,), first row of each run, and the number of rows.
    dt : s, of a row.
    pattern : (row,), which of the patterns a row has.
    known : (pattern, unit), 1 where the unit was observed.
    offset : (pattern, unit), log of the rate that is known beforehand, over its mean.
    lost : (row, unit), share of the row in which the unit could not fire; None for none.
    apart : rows are not added up: their patterns would multiply.
    """

    counts: Array
    edges: NDArray[np.int64]
    dt: float
    pattern: NDArray[np.int64]
    known: Array
    offset: Array
    lost: Array | None = None
    apart: bool = False

    @property
    def n_units(self) -> int:
        """Number of units."""
        return self.counts.shape[1]

    @property
    def observed(self) -> Array:
        """1 where a count was observed, (row, unit)."""
        return self.known[self.pattern]

    @property
    def exposure(self) -> Array:
        """Rows of each unit, each times what is known of its rate beforehand, (unit,)."""
        return np.asarray(self.often @ (self.known * np.exp(self.offset)))

    @property
    def often(self) -> Array:
        """How many rows each pattern has, (pattern,)."""
        if len(self.known) == 1:
            return np.array([float(len(self.counts))])
        return np.bincount(self.pattern, minlength=len(self.known)).astype(float)

    @property
    def duration(self) -> float:
        """Time in rows, s."""
        return len(self.counts) * self.dt


class Climb(NamedTuple):
    """Where a climb ended: log tau (s), log mean counts and loadings; log-likelihood, nats."""

    log_tau: float
    level: Array
    loading: Array
    value: float
    done: bool
    within: bool

    @property
    def vector(self) -> Array:
        """All parameters, (1 + 2 unit,)."""
        return np.concatenate([[self.log_tau], self.level, self.loading])


def within_row(ratio: float, within: bool) -> tuple[float, float, float, float]:
    """How the mean of the latent over a row hangs on its values at the edges.

    Parameters
    ----------
    ratio : length of the row over the time constant.
    within : the latent moves within the row; else the row sees its value at the end.

    Returns
    -------
    left, right : weights of the values before and after the row.
    rest : variance of what they leave open.
    whole : variance of the mean over the row.
    """
    if not within:
        return 0.0, 1.0, 0.0, 1.0
    if ratio < 1e-3:
        return 0.5, 0.5, ratio / 6, 1 - ratio / 3
    share = np.tanh(ratio / 2) / ratio
    whole = 2 * (ratio - 1 + np.exp(-ratio)) / ratio**2
    rest = whole - 2 * share**2 * (1 + np.exp(-ratio))
    return float(share), float(share), float(max(rest, 0.0)), float(whole)


class OneLatent:
    """Likelihood of counts given the time constant, the mean counts and the loadings.

    Parameters
    ----------
    rows : the counts.
    within : the latent moves within a row.
    """

    def __init__(self, rows: CountRows, *, within: bool = True) -> None:
        self.rows, self.within = rows, within
        self.total = rows.counts.sum(axis=0)
        walked = (rows.counts, rows.edges, rows.pattern, len(rows.known))
        self.steps = self.single = steps_of(*walked, own=rows.lost is None)
        if self.steps.most > 1:
            self.single = steps_of(*walked, together=False)
        # Times what is known of its rate.
        shown = rows.known * np.exp(rows.offset)
        self.lost = None if rows.lost is None else rows.lost * shown[rows.pattern]
        self.grid = np.linspace(-_REACH, _REACH, 24)
        self.n_nodes = 1
        self._last: tuple[Any, float, Array, bool] | None = None

    def set_grid(self, log_tau: float, loading: Array) -> None:
        """Choose grid and nodes fine enough for a time constant and loadings."""
        rows = self.rows
        ratio = rows.dt / float(np.exp(log_tau))
        keep = float(np.exp(-2 * ratio))
        told = float(loading**2 @ self.total) / max(len(rows.counts), 1)
        spread = 1.0
        for _ in range(200):
            spread = 1 / (1 / (keep * spread + 1 - keep) + told)
        narrow = 1 / np.sqrt(1 / spread + 1 / (1 - keep))
        step = min(_STEP * float(narrow), _WIDEST)
        eights = np.ceil((2 * _REACH / step + 1) / _EIGHT - 1e-9)
        n = int(min(_EIGHT * eights, _MOST_STATES))
        self.grid = np.linspace(-_REACH, _REACH, n)
        rest = within_row(ratio, self.within)[2]
        small = _SMALL_REST if told < _MUCH_TOLD * ratio else _SMALL_REST_OF_MUCH
        self.n_nodes = 1 if told * rest < small else 3 if told * rest < _SMALL_REST else _N_NODES

    def value(
        self, log_tau: float, level: Array, loading: Array, *, slope: bool = True
    ) -> tuple[float, Array]:
        """Log-likelihood, nats, without factorials, and its slope, (1 + 2 unit,).

        Where a climb went too far, it is minus infinity and the slope 0.
        """
        # A climb ends where it has just been, and its interval begins there.
        at = (log_tau, level.tobytes(), loading.tobytes(), len(self.grid), self.n_nodes)
        if self._last is not None and self._last[0] == at and (not slope or self._last[3]):
            return self._last[1], self._last[2].copy()
        # Far out numbers run over; what comes of it is refused below.
        with np.errstate(all="ignore"):
            found, by = self._value(log_tau, level, loading, slope)
        if not np.isfinite(found) or not np.isfinite(by).all():
            return -np.inf, np.zeros(1 + 2 * self.rows.n_units)
        self._last = (at, found, by, slope)
        return found, by.copy()

    def _value(
        self, log_tau: float, level: Array, loading: Array, slope: bool
    ) -> tuple[float, Array]:
        rows, grid = self.rows, self.grid
        parts = self._parts(log_tau, level, loading)
        prior = np.exp(-(grid**2) / 2)
        together = self.n_nodes == 1 and self.lost is None
        steps = self.steps if together else self.single
        counts = rows.counts if steps.most == 1 else rows.counts[steps.last]
        drive = counts @ loading
        # Spikes are in the matrices of steps already, or weigh what the steps meet.
        inside = len(steps.counts) > 0
        size = float(loading[0]) if inside else 0.0
        matrices = matrices_of(
            steps, parts.kernel, np.exp(size * parts.left * grid),
            np.exp(size * parts.right * grid),
        )  # fmt: skip
        spare = np.empty((0, 0, 0))
        if self.lost is not None:
            rates = self._rates(level, loading, parts)
            spare = np.exp(np.stack([self.lost @ r for r in rates]))
        found, before, after, mean, law, pairs, wander, fine = forward_backward(
            0 * drive if inside else drive, steps.which, steps.edges, steps.place, matrices.all,
            prior / prior.sum(), grid, parts.left, parts.right, parts.nodes, spare, slope,
        )  # fmt: skip
        if not fine:
            return -np.inf, np.zeros(1 + 2 * rows.n_units)
        lift = -(loading**2) * parts.seen / 2
        known_part = sum(
            float(rows.counts[rows.pattern == p].sum(axis=0) @ rows.offset[p])
            for p in (range(len(rows.known)) if rows.offset.any() else ())
        )
        found += float(self.total @ (level + lift)) + known_part
        if not slope:
            return found, np.empty(0)
        if not len(pairs):
            pairs, spiking, wander = pairs_of(steps, drive, before, after, matrices, parts.nodes)
        along, aside = mean @ counts, wander @ counts
        if inside:
            seen_by = parts.left * grid[:, None] + parts.right * grid
            along = np.array([float(np.sum(steps.counts @ (spiking * seen_by).sum(axis=(1, 2))))])
            pairs[0, 0] += spiking.sum(axis=0)
        visits = self._collapsed(pairs)  # (pattern, node, value)
        by_level, by_loading = self.total.copy(), along + aside - self.total * loading * parts.seen
        for p in range(len(visits)):
            for q, node in enumerate(parts.nodes):
                # (value, unit)
                rate = parts.rates[p][q]
                often = visits[p, q]
                by_level -= often @ rate
                seen = (often * (parts.values + node)) @ rate
                by_loading -= seen - (often @ rate) * loading * parts.seen
        # Time that was lost takes off what a rate costs.
        spared = None if self.lost is None else [self.lost.T @ one for one in law]
        if spared is not None:
            for one, rate, node in zip(spared, rates, parts.nodes, strict=True):
                often = one * rate
                by_level += often.sum(axis=1)
                by_loading += often @ (parts.values + node)
                by_loading -= often.sum(axis=1) * loading * parts.seen
        h = 1e-4
        ends = [
            self._expected(
                log_tau + a * h, level, loading, pairs, visits, along, aside, parts, spared
            )
            for a in (1, -1)
        ]
        return found, np.concatenate([[(ends[0] - ends[1]) / (2 * h)], by_level, by_loading])

    def _parts(self, log_tau: float, level: Array, loading: Array) -> "_Parts":
        rows, grid = self.rows, self.grid
        ratio = rows.dt / float(np.exp(log_tau))
        left, right, rest, whole = within_row(ratio, self.within)
        if self.n_nodes == 1:
            nodes, weights, seen = np.zeros(1), np.ones(1), whole - rest
        else:
            points, masses = np.polynomial.hermite_e.hermegauss(self.n_nodes)
            nodes, weights, seen = points * np.sqrt(rest), masses / masses.sum(), whole
        values = self._values(left, right)
        base = level - loading**2 * seen / 2
        rates, kernel = [], []
        step = _log_step(grid, float(np.exp(-ratio)))
        for p in range(len(rows.known)):
            shown = rows.known[p] * np.exp(rows.offset[p])
            each = [
                np.exp(np.minimum(base + np.outer(values + e, loading), 50.0)) * shown
                for e in nodes
            ]
            rates.append(each)
            kernel.append(
                [
                    w * np.exp(step - self._spread(r.sum(axis=1)))
                    for w, r in zip(weights, each, strict=True)
                ]
            )
        kernels = np.array(kernel)
        kernels[kernels < _NOTHING] = 0.0
        return _Parts(left, right, nodes, values, seen, rates, kernels)

    def _expected(
        self, log_tau: float, level: Array, loading: Array, pairs: Array, visits: Array,
        along: Array, aside: Array, before: "_Parts", spared: list[Array] | None,
    ) -> float:  # fmt: skip
        """Expected complete log-likelihood at another time constant, up to a constant."""
        parts = self._parts(log_tau, level, loading)
        step = _log_step(self.grid, float(np.exp(-self.rows.dt / np.exp(log_tau))))
        out = float(np.sum(pairs.sum(axis=(0, 1)) * step))
        scale = parts.right / before.right
        out += float(loading @ along) * scale
        if self.n_nodes > 1:
            out += float(loading @ aside) * float(parts.nodes[-1] / before.nodes[-1])
        out -= float(self.total @ loading**2) * parts.seen / 2
        for p in range(len(visits)):
            for q in range(len(parts.nodes)):
                out -= float(visits[p, q] @ parts.rates[p][q].sum(axis=1))
        if spared is not None:
            rates = self._rates(level, loading, parts)
            out += sum(float(np.sum(one * r)) for one, r in zip(spared, rates, strict=True))
        return out

    def _rates(self, level: Array, loading: Array, parts: "_Parts") -> list[Array]:
        """Counts of a row that each value the rates see makes, of each node, (unit, value)."""
        base = (level - loading**2 * parts.seen / 2)[:, None]
        return [
            np.exp(np.minimum(base + np.outer(loading, parts.values + e), 50.0))
            for e in parts.nodes
        ]

    def _values(self, left: float, right: float) -> Array:
        """What the rates can see, (value,): of a sum on an even grid, each once."""
        grid = self.grid
        if not self.within:
            return right * grid
        step = grid[1] - grid[0]
        return np.asarray(left * (2 * grid[0] + step * np.arange(2 * len(grid) - 1)))

    def _spread(self, of_values: Array) -> Array:
        """From what the rates see to pairs of values before and after."""
        n = len(self.grid)
        if not self.within:
            return np.broadcast_to(of_values, (n, n))
        i = np.arange(n)
        return np.asarray(of_values[i[:, None] + i[None, :]])

    def _collapsed(self, pairs: Array) -> Array:
        """Visits by what the rates see, (pattern, node, value)."""
        if not self.within:
            return np.asarray(pairs.sum(axis=2))
        n = len(self.grid)
        i = np.arange(n)
        at = (i[:, None] + i[None, :]).ravel()
        return np.array([[np.bincount(at, b.ravel(), 2 * n - 1) for b in a] for a in pairs])

    def climb(
        self, log_tau: float, level: Array, loading: Array, *, bounds: tuple[float, float],
        fixed: bool = False,
    ) -> Climb:  # fmt: skip
        """Climb to the top of the likelihood.

        Parameters
        ----------
        log_tau, level, loading : where to begin.
        bounds : of log tau.
        fixed : hold the time constant.
        """
        n = self.rows.n_units
        at = np.concatenate([[np.clip(log_tau, *bounds)], level, loading])
        for _ in range(6):
            self.set_grid(at[0], at[1 + n :])
            scale = self._scale(at)
            low = np.concatenate([[bounds[0]], at[1 : 1 + n] - 5.0, np.full(n, -_MOST_LOADING)])
            high = np.concatenate([[bounds[1]], at[1 : 1 + n] + 5.0, np.full(n, _MOST_LOADING)])
            if fixed:
                low[0] = high[0] = at[0]

            def cost(u: Array, scale: Array = scale) -> tuple[float, Array]:
                x = u / scale
                value, slope = self.value(x[0], x[1 : 1 + n], x[1 + n :])
                return (-value, -slope / scale) if np.isfinite(value) else (1e100, 0 * u)

            found = optimize.minimize(
                cost, at * scale, jac=True, method="L-BFGS-B",
                bounds=np.stack([low * scale, high * scale], axis=1),
                options={"maxcor": 30, "maxiter": 200, "ftol": 1e-13, "gtol": _TOLERANCE},
            )  # fmt: skip
            new = found.x / scale
            settled = abs(new[0] - at[0]) * scale[0] < 0.05
            at = new
            if settled or fixed:
                break
        inside = (found.x > low * scale) & (found.x < high * scale)
        done = bool(np.abs(found.jac[inside]).max(initial=0.0) < _LEFT_OVER)
        return Climb(
            float(at[0]), at[1 : 1 + n], at[1 + n :], -float(found.fun), done, self.within
        )

    def _scale(self, at: Array) -> Array:
        """One over the error of each parameter if the latent were seen."""
        spikes = np.sqrt(np.maximum(self.total, 1.0))
        own = np.sqrt(max(self.rows.duration / np.exp(at[0]) / 2, 1.0))
        return np.concatenate([[own], spikes, spikes])

    def solve_information(self, top: Climb, wanted: Array) -> Array:
        """Solve (information of all parameters) x = wanted, (1 + 2 unit, k), by differences."""
        n = self.rows.n_units
        self.set_grid(top.log_tau, top.loading)
        at, scale = top.vector, self._scale(top.vector)
        base = self.value(at[0], at[1 : 1 + n], at[1 + n :])[1]

        def curve(direction: Array) -> Array:
            size = 0.05 / max(float(np.linalg.norm(direction)), 1e-30)
            x = at + size * direction / scale
            slope = self.value(x[0], x[1 : 1 + n], x[1 + n :])[1]
            return np.asarray((base - slope) / scale / size)

        if n == 1:
            # As many numbers as a solver would take steps.
            by = np.stack([curve(unit) for unit in np.eye(3)])
            with np.errstate(all="ignore"):
                try:
                    found = np.linalg.solve((by + by.T) / 2, wanted / scale[:, None])
                except np.linalg.LinAlgError:
                    return np.full_like(wanted, np.nan)
            return np.asarray(found / scale[:, None])
        operator = LinearOperator((2 * n + 1, 2 * n + 1), matvec=curve, dtype=float)
        out = np.empty_like(wanted)
        # Without a curve there is nothing to divide by; what comes of it is no interval.
        with np.errstate(all="ignore"):
            for k in range(wanted.shape[1]):
                out[:, k] = cg(operator, wanted[:, k] / scale, rtol=1e-3, maxiter=40)[0] / scale
        return out

    def deviance_along(self, top: Climb, direction: Array) -> Callable[[float], float]:
        """Minus twice the log-likelihood as a function of log tau, along a ridge.

        Parameters
        ----------
        top : the maximum.
        direction : how all parameters move with log tau: where the likelihood is highest given
            log tau, to first order.
        """
        n = self.rows.n_units

        def deviance(log_tau: float) -> float:
            x = top.vector + (log_tau - top.log_tau) * direction
            self.set_grid(log_tau, top.loading)
            found = self.value(log_tau, x[1 : 1 + n], x[1 + n :], slope=False)[0]
            return -2 * found if np.isfinite(found) else 1e12

        return deviance


class _Parts(NamedTuple):
    left: float
    right: float
    nodes: Array
    values: Array
    seen: float
    rates: list[Any]
    kernel: Array


def _log_step(grid: Array, keep: float) -> Array:
    """Log probability from each value of the latent to each, (state, state)."""
    gap = grid[None, :] - keep * grid[:, None]
    out = -(gap**2) / (2 * (1 - keep**2))
    most = out.max(axis=1, keepdims=True)
    return np.asarray(out - most - np.log(np.exp(out - most).sum(axis=1, keepdims=True)))
