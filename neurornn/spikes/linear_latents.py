"""Counts behind several linear latents: a lower bound of the likelihood, and the climb on it.

The latents are stationary with covariance 1 and move by ``dz = -F z dt + noise``, where F is a
diagonal, one over time constants, plus a skew-symmetric part, rotations. Every stationary
Gaussian process of that many first-order modes has this form, up to rotations of z that the
loadings undo. What the counts tell of the latents is taken as Gaussian, the one that brings the
bound closest to the likelihood (Opper & Archambeau 2009; Gaussian variational).
"""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy.linalg import expm
from scipy.sparse.linalg import LinearOperator, cg

from neurornn._kernels.smoothing import poisson_sites, smooth

Array = NDArray[np.float64]

#: Sweeps between what counts tell and what it makes of the latents, and when they have settled.
_MOST_SWEEPS, _SETTLED = 60, 1e-4
_MOST_LOADING = 4.0


class Told(NamedTuple):
    """What counts tell of the latents: mean, covariance, covariance with the row before."""

    mean: Array
    covariance: Array
    across: Array


class LinearTop(NamedTuple):
    """Where the climb ended.

    Attributes
    ----------
    dynamics : (latent + pairs,), log of 1/s, and rotations, 1/s.
    level : (unit,), log mean count of a row.
    loading : (unit, latent).
    bound : nats, without factorials.
    done : whether the slope is 0.
    """

    dynamics: Array
    level: Array
    loading: Array
    bound: float
    done: bool

    @property
    def vector(self) -> Array:
        """All parameters in one."""
        return np.concatenate([self.dynamics, self.level, self.loading.ravel()])


class LinearLatents:
    """Bound of the likelihood of counts given dynamics, mean counts and loadings.

    Parameters
    ----------
    counts : (row, unit), NaN where none was observed.
    edges : (run + 1,), first row of each run, and the number of rows.
    dt : s.
    n_latent : latents.
    rotations : latents may turn into one another, all or the pairs that are named; else each has
        its own time constant.
    """

    def __init__(
        self, counts: Array, edges: NDArray[np.int64], dt: float, n_latent: int, *,
        rotations: bool | list[tuple[int, int]], offset: Array | None = None,
    ) -> None:  # fmt: skip
        self.known = np.isfinite(counts)
        self.counts = np.ascontiguousarray(np.nan_to_num(counts))
        self.edges = np.asarray(edges, dtype=np.int64)
        self.dt, self.n = dt, n_latent
        known_before = offset is not None and bool(np.any(offset))
        self.offset = np.ascontiguousarray(offset) if known_before else np.empty((0, 0))
        every = [(i, j) for i in range(n_latent) for j in range(i)]
        self.pairs = rotations if isinstance(rotations, list) else every if rotations else []
        self.n_units = counts.shape[1]
        self.total = self.counts.sum(axis=0)
        self.seen = self.known.sum(axis=0)
        self._warm: Told | None = None

    @property
    def n_dynamics(self) -> int:
        """Numbers that the dynamics have."""
        return self.n + len(self.pairs)

    def drift(self, dynamics: Array) -> Array:
        """F, (latent, latent), 1/s."""
        out = np.diag(np.exp(dynamics[: self.n]))
        for value, (i, j) in zip(dynamics[self.n :], self.pairs, strict=True):
            out[i, j], out[j, i] = value, -value
        return out

    def size_of(self, dynamics: Array, m: int) -> float:
        """What is a large change of one number of the dynamics."""
        if m < self.n:
            return 1.0
        return float(max(abs(dynamics[m]), np.exp(dynamics[: self.n]).min()))

    def step(self, dynamics: Array) -> tuple[Array, Array]:
        """Transition of a row and covariance of its noise."""
        transition = expm(-self.drift(dynamics) * self.dt)
        return np.ascontiguousarray(transition), np.eye(self.n) - transition @ transition.T

    def tell(
        self, dynamics: Array, level: Array, loading: Array, *, settled: float = _SETTLED
    ) -> tuple[Told, float, tuple[Array, Array, Array]]:
        """What the counts tell of the latents, the bound, and the sums that its slope needs."""
        transition, process = self.step(dynamics)
        loading = np.ascontiguousarray(loading)
        base = level - np.sum(loading**2, axis=1) / 2
        told = self._warm
        n_rows = len(self.counts)
        if told is None:
            # As if the latents were known to a quarter: a first step that is not too long.
            told = Told(
                np.zeros((n_rows, self.n)),
                np.broadcast_to(0.25 * np.eye(self.n), (n_rows, self.n, self.n)).copy(),
                np.zeros((n_rows, self.n, self.n)),
            )
        mean, covariance = told.mean, told.covariance
        last, kept = -np.inf, None
        for _ in range(_MOST_SWEEPS):
            sites = poisson_sites(
                self.counts, self.known, self.offset, base, loading, mean, covariance
            )
            information, evidence = sites[0], sites[1]
            if kept is not None:
                # The bound of the law that these sums belong to.
                bound = sites[2] - kept
                change = bound - last
                if 0 <= change < settled or abs(change) < settled:
                    break
                last = bound
            mean, covariance, across, log_mean = smooth(
                transition, process, information, evidence, self.edges
            )
            # Divergence from the law without counts.
            kept = (
                float(np.sum(evidence * mean))
                - 0.5 * float(np.einsum("tij,tij->", information, covariance))
                - 0.5 * float(np.einsum("ti,tij,tj->", mean, information, mean))
                - log_mean
            )
            told = Told(mean, covariance, across)
        bound = sites[2] - float(kept or 0.0)
        self._warm = told
        return told, bound, (sites[3], sites[4], sites[5])

    def value(self, x: Array, *, settled: float = _SETTLED) -> tuple[float, Array]:
        """Bound, nats, and its slope, of all parameters in one array."""
        k, n = self.n_dynamics, self.n_units
        dynamics, level, loading = x[:k], x[k : k + n], x[k + n :].reshape(n, self.n)
        told, bound, (rest, with_state, spread) = self.tell(
            dynamics, level, loading, settled=settled
        )
        by_loading = with_state - spread - loading * rest[:, None]
        moments = self._moments(told)
        by_dynamics = np.empty(k)
        h = 1e-4
        for m in range(k):
            size = h * self.size_of(dynamics, m)
            up, down = dynamics.copy(), dynamics.copy()
            up[m] += size
            down[m] -= size
            by_dynamics[m] = (self._of_step(up, moments) - self._of_step(down, moments)) / (
                2 * size
            )
        return bound, np.concatenate([by_dynamics, rest, by_loading.ravel()])

    def _moments(self, told: Told) -> tuple[Array, Array, Array, int]:
        """Sums over steps within runs: before-before, after-before, after-after, how many."""
        inner = np.ones(len(told.mean), dtype=bool)
        inner[self.edges[:-1]] = False
        at = np.flatnonzero(inner)
        after, before = told.mean[at], told.mean[at - 1]
        return (
            before.T @ before + told.covariance[at - 1].sum(axis=0),
            after.T @ before + told.across[at].sum(axis=0),
            after.T @ after + told.covariance[at].sum(axis=0),
            len(at),
        )

    def _of_step(self, dynamics: Array, moments: tuple[Array, Array, Array, int]) -> float:
        """Expected log probability of the steps, nats."""
        transition, process = self.step(dynamics)
        bb, ab, aa, n = moments
        rest = aa - transition @ ab.T - ab @ transition.T + transition @ bb @ transition.T
        return float(
            -0.5 * n * np.linalg.slogdet(process)[1]
            - 0.5 * np.trace(np.linalg.solve(process, rest))
        )

    def scale(self, x: Array) -> Array:
        """One over the error of each parameter if the latents were seen."""
        k, n = self.n_dynamics, self.n_units
        rate = np.exp(x[: self.n])
        duration = len(self.counts) * self.dt
        own = np.sqrt(np.maximum(duration * rate / 2, 1.0))
        turns = [np.sqrt(duration / (rate[i] + rate[j])) for i, j in self.pairs]
        spikes = np.sqrt(np.maximum(self.total, 1.0))
        out = np.concatenate([own, turns, spikes, np.repeat(spikes, self.n)])
        assert len(out) == k + n * (1 + self.n)
        return out

    def climb(
        self, dynamics: Array, level: Array, loading: Array, *, slowest: float,
        max_steps: int = 200, progress: Callable[[float], None] | None = None,
    ) -> LinearTop:  # fmt: skip
        """Climb to the top of the bound.

        Parameters
        ----------
        dynamics, level, loading : where to begin.
        slowest : s, longest time constant.
        max_steps : of the climb.
        progress : is told the bound after each step.
        """
        k, n = self.n_dynamics, self.n_units
        x = np.concatenate([dynamics, level, loading.ravel()])
        scale = self.scale(x)
        low, high = np.full(len(x), -np.inf), np.full(len(x), np.inf)
        low[: self.n], high[: self.n] = -np.log(slowest), np.log(5 / self.dt)
        low[self.n : k], high[self.n : k] = -np.pi / self.dt / 2, np.pi / self.dt / 2
        low[k + n :], high[k + n :] = -_MOST_LOADING, _MOST_LOADING

        def cost(u: Array) -> tuple[float, Array]:
            bound, slope = self.value(u / scale)
            if progress is not None:
                progress(bound)
            return (-bound, -slope / scale) if np.isfinite(bound) else (1e100, 0 * u)

        found = optimize.minimize(
            cost, np.clip(x, low, high) * scale, jac=True, method="L-BFGS-B",
            bounds=np.stack([low * scale, high * scale], axis=1),
            options={"maxcor": 30, "maxiter": max_steps, "ftol": 1e-10, "gtol": 1e-2},
        )  # fmt: skip
        best = found.x / scale
        slope = np.where((found.x <= low * scale) | (found.x >= high * scale), 0.0, found.jac)
        return LinearTop(
            best[:k], best[k : k + n], best[k + n :].reshape(n, self.n), -float(found.fun),
            bool(np.abs(slope).max() < 1.0 and found.nit < max_steps),
        )  # fmt: skip

    def covariance_of(self, top: LinearTop, wanted: Array, *, rtol: float = 1e-2) -> Array:
        """Covariance of combinations of the parameters, by differences of the slope.

        Parameters
        ----------
        top : the maximum.
        wanted : (combination, parameter).
        """
        x = top.vector
        scale = self.scale(x)
        base = self.value(x, settled=1e-6)[1]

        def curve(direction: Array) -> Array:
            size = 0.1 / max(float(np.linalg.norm(direction)), 1e-30)
            slope = self.value(x + size * direction / scale, settled=1e-6)[1]
            return np.asarray((base - slope) / scale / size)

        operator = LinearOperator((len(x), len(x)), matvec=curve, dtype=float)
        # Without a curve there is nothing to divide by; what comes of it is no interval.
        with np.errstate(all="ignore"):
            solved = np.stack(
                [cg(operator, w / scale, rtol=rtol, maxiter=60)[0] / scale for w in wanted]
            )
        out = solved @ wanted.T
        return np.asarray((out + out.T) / 2)

    def wanted(self, top: LinearTop) -> Array:
        """Dynamics one by one, then the log amplitude of each latent, (combination, parameter)."""
        k, n = self.n_dynamics, self.n_units
        out = np.zeros((k + self.n, k + n * (1 + self.n)))
        out[np.arange(k), np.arange(k)] = 1.0
        for m in range(self.n):
            own = np.zeros((n, self.n))
            own[:, m] = top.loading[:, m] / max(float(np.sum(top.loading[:, m] ** 2)), 1e-12)
            out[k + m, k + n :] = own.ravel()
        return out


def start_of(
    counts: Array, edges: NDArray[np.int64], dt: float, n_latent: int
) -> tuple[Array, Array, Array]:
    """Where to begin, from converted covariances at short and at longer lags.

    Returns
    -------
    time constants (latent,), s; log mean counts (unit,); loadings (unit, latent).
    """
    mean = np.nanmean(counts, axis=0)
    safe = np.maximum(mean, 1e-9)
    rest = np.nan_to_num(counts / safe - 1)
    lags = np.unique(np.round(np.geomspace(1, max(0.3 / dt, 12), 12)).astype(int))
    lags = lags[lags < np.diff(edges).max() - 1]
    if not len(lags):
        # Runs of a bin or two have no lags to read.
        draw = np.random.default_rng(0).standard_normal((counts.shape[1], n_latent)) * 0.2
        return np.geomspace(3 * dt, 30 * dt, n_latent), np.log(safe), draw
    found = []
    for lag in lags:
        total, n = np.zeros((counts.shape[1],) * 2), 0
        for a, b in pairwise(edges.tolist()):
            if b - a > lag:
                total += rest[a : b - lag].T @ rest[a + lag : b]
                n += int(b - a - lag)
        both = (total + total.T) / 2 / max(n, 1)
        found.append(np.log1p(np.maximum(both, -0.9)))
    weights = 1 / np.sqrt(lags)
    middle = np.tensordot(weights / weights.sum(), np.array(found), axes=1)
    vector = np.linalg.eigh(middle)[1]
    axes = vector[:, ::-1][:, : min(n_latent, counts.shape[1])]
    # In the plane of the strongest axes, exponentials of the lag that share their directions.
    small = np.array([axes.T @ c @ axes for c in found])
    early, late = (
        small[: max(len(lags) // 3, 1)].mean(axis=0),
        small[len(lags) // 3 :].mean(axis=0),
    )
    base = (early + early.T) / 2
    size, turn = np.linalg.eigh(base)
    root = turn * np.sqrt(np.maximum(size, 1e-3))
    inside = np.linalg.solve(root, np.linalg.solve(root, (late + late.T) / 2).T)
    _, own = np.linalg.eigh((inside + inside.T) / 2)
    direction = root @ own
    loading = axes @ direction
    curves = np.stack(
        [np.diag(np.linalg.solve(direction, np.linalg.solve(direction, c).T)) for c in small]
    )
    tau = np.empty(direction.shape[1])
    grid = np.geomspace(dt, max(3 * lags.max() * dt, 10 * dt), 60)
    shape = np.exp(-lags[:, None] * dt / grid)
    for k in range(len(tau)):
        fit = [
            np.linalg.lstsq(shape[:, [g]], curves[:, k], rcond=None)[1].sum()
            for g in range(len(grid))
        ]
        tau[k] = grid[int(np.argmin(fit))]
    n_more = n_latent - len(tau)
    if n_more:
        more = np.random.default_rng(0).standard_normal((counts.shape[1], n_more)) * 0.2
        loading = np.concatenate([loading, more], axis=1)
        tau = np.concatenate([tau, np.geomspace(3 * dt, 30 * dt, n_more)])
    # Two of the same would never part.
    order = np.argsort(tau)
    for a, b in pairwise(order.tolist()):
        tau[b] = max(tau[b], 1.15 * tau[a])
    return tau, np.log(safe), np.clip(loading, -2.0, 2.0)
