"""Finding states that a map leaves where they are: starts, Newton steps, certificates, merging."""

import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurornn.dynamics.compiled_search import compiled
from neurornn.dynamics.latent import searched_in

Array = NDArray[np.float64]

#: ``q = |F(h) - h|^2 / 2`` below which a state is a fixed point and above which it is none.
CONVERGED = 1e-24
#: Newton steps, and halvings of one, before a start is given up.
N_STEPS, N_HALVINGS = 40, 5
#: Smallest singular value of ``1 - J`` below which a point without a certificate is degenerate,
#: not isolated to first order. At a fold, where two points meet, q = 1e-26 leaves about 1e-6.
DEGENERATE = 1e-5
#: Radius within which the second derivative is bounded for a certificate.
RADIUS = 0.25
#: Steps that seeds run forward.
FORWARD = (3, 10, 40)
_EPS = float(np.finfo(float).eps)


class Found(NamedTuple):
    """Distinct fixed points.

    Attributes
    ----------
    states : (point, state).
    q : (point,), ``|F(h) - h|^2 / 2``.
    jacobian : (point, state, state).
    gap : (point,), smallest singular value of ``1 - J``.
    certified : (point,), whether existence and uniqueness are shown.
    radius : (point,), within which there is no other fixed point; NaN where not certified.
    """

    states: Array
    q: Array
    jacobian: Array
    gap: Array
    certified: NDArray[np.bool_]
    radius: Array

    @property
    def degenerate(self) -> NDArray[np.bool_]:
        """Whether a point may be on a line of points or at a bifurcation, (point,)."""
        return (self.gap < DEGENERATE) & ~self.certified

    @property
    def index(self) -> NDArray[np.int64]:
        """Sign of ``det(1 - J)``, (point,); 0 where degenerate."""
        if not len(self.states):
            return np.zeros(0, np.int64)
        sign, _ = np.linalg.slogdet(np.eye(self.states.shape[1]) - self.jacobian)
        return np.where(self.degenerate, 0, sign).astype(np.int64)


def newton(cell: Any, starts: Array, known: Found | None = None) -> Array:
    """Run damped Newton steps from many starts at once; return the states that converged.

    Parameters
    ----------
    cell : see `neurornn.dynamics.cells`.
    starts : (start, state).
    known : points found before. A start that comes into the ball from which Newton steps are known
        to end in one of them is left out: a third of the radius of its certificate lies within
        ``2 / (3 beta L)`` (Rheinboldt 1978, Banach Center Publ. 3:129).
    """
    inner = searched_in(cell)
    h = np.array(starts if inner is cell else inner.inner(starts))
    loop = compiled(inner)
    if loop is None:
        ended_in = _ends(cell, inner, h, known)
    else:
        near = _balls(cell, known)
        ended_in = loop.converged(
            h, *near, n_steps=N_STEPS, n_halvings=N_HALVINGS, finest=inner.finest
        )
    return ended_in if inner is cell else np.asarray(inner.lift(ended_in))


def _ends(cell: Any, inner: Any, h: Array, known: Found | None) -> Array:
    """The states in which steps from all starts together end, in the numbers of `inner`."""
    done: list[Array] = []
    at, reach = _balls(cell, known)
    for _ in range(N_STEPS):
        if len(at):
            h = h[~_within_one(h if inner is cell else inner.lift(h), at, reach)]
        if not len(h):
            break
        r, d = inner.newton(h)
        q = 0.5 * np.einsum("ij,ij->i", r, r)
        ended = q < inner.finest
        if ended.any():
            done.append(h[ended])
        keep = np.isfinite(q) & ~ended
        h, moved = _damped(inner, h[keep], d[keep], q[keep])
        # What no step along the Newton direction improves lies in a valley that ends above 0, or
        # is as near to 0 as rounding lets it come.
        near = ~moved & (q[keep] < 100 * inner.finest)
        if near.any():
            done.append(h[near])
        h = h[moved]
        if not len(h):
            break
    return np.concatenate(done) if done else np.zeros((0, inner.n_state))


def _balls(cell: Any, known: Found | None) -> tuple[Array, Array]:
    """Balls from which Newton steps are known to end in a point that is known: middles, radii."""
    if known is None:
        return np.zeros((0, cell.n_state)), np.zeros(0)
    return known.states[known.certified], known.radius[known.certified] / 3


def _within_one(h: Array, at: Array, reach: Array) -> NDArray[np.bool_]:
    """Whether a state lies in one of some balls."""
    squared = (
        np.einsum("ij,ij->i", h, h)[:, None] - 2 * h @ at.T + np.einsum("ij,ij->i", at, at)
    )  # fmt: skip
    return np.asarray((squared < reach**2 - 1e-12).any(axis=1))


def _damped(cell: Any, h: Array, d: Array, q: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Take the longest of some shortened steps that lowers q; tell where none does."""
    limit = 10.0 * (1.0 + np.linalg.norm(h, axis=1))
    size = np.linalg.norm(d, axis=1)
    d = d * np.minimum(1.0, limit / np.maximum(size, 1e-300))[:, None]
    new, left, share = h.copy(), np.arange(len(h)), 1.0
    for _ in range(N_HALVINGS + 1):
        if not len(left):
            break
        tried = h[left] + share * d[left]
        if cell.box is not None:
            # Outside of what can be reached a gate may round to 1 and call any state fixed.
            np.clip(tried, *cell.box, out=tried)
        away = cell.step(tried) - tried
        good = 0.5 * np.einsum("ij,ij->i", away, away) < q[left]
        new[left[good]] = tried[good]
        left = left[~good]
        share /= 3.0
    moved = np.ones(len(h), dtype=bool)
    moved[left] = False
    return new, moved


def certified(cell: Any, states: Array) -> Found:
    """Look at fixed points one by one: Jacobian, distance to degeneracy, certificate.

    Parameters
    ----------
    cell : see `neurornn.dynamics.cells`.
    states : (point, state), converged.

    Notes
    -----
    Newton-Kantorovich (Kantorovich 1948; Ortega 1968, doi:10.2307/2313804): where ``beta`` bounds
    the inverse of ``1 - J``, ``eta`` the next Newton step and L the change of J within the radius,
    and ``beta eta L <= 1/2``, there is a fixed point within ``(1 - s) / (beta L)``, and no other
    within ``(1 + s) / (beta L)``, ``s = sqrt(1 - 2 beta eta L)``. A bound of what rounding does to
    ``F(h) - h`` is part of eta.
    """
    n = cell.n_state
    if not len(states):
        none = np.zeros(0)
        return Found(states, none, np.zeros((0, n, n)), none, none.astype(bool), none)
    f, j = cell.step_and_jacobian(states)
    r = f - states
    q = 0.5 * np.sum(r * r, axis=1)
    gap = np.linalg.svd(np.eye(n) - j, compute_uv=False)[:, -1]
    rounding = 64 * _EPS * n * (1.0 + np.linalg.norm(states, axis=1))
    beta = (1 + 1e-9) / np.maximum(gap - 64 * _EPS * n, 1e-300)
    eta = beta * (np.linalg.norm(r, axis=1) + rounding)
    bend = cell.curvature(states, RADIUS)
    if bend is None:
        unknown = np.full(len(states), np.nan)
        return Found(states, q, j, gap, np.zeros(len(states), bool), unknown)
    bend = np.maximum(bend, 1e-300)
    # Up to the next kink a network that is linear in pieces does not bend at all.
    smooth = cell.smooth_within(states)
    most = np.full(len(states), RADIUS) if smooth is None else smooth
    with np.errstate(over="ignore", invalid="ignore"):
        ratio = beta * eta * bend
        s = np.sqrt(np.maximum(1 - 2 * ratio, 0.0))
        inner = 2 * eta / (1 + s)
        outer = np.minimum((1 + s) / (beta * bend), most)
    shown = (ratio <= 0.5) & (inner <= most) & (inner < outer)
    return Found(states, q, j, gap, shown, np.where(shown, outer, np.nan))


def merged(cell: Any, states: Array, known: Found | None = None) -> Found:
    """Look at the fixed points among many states that converged, each once.

    Two are one where one lies within the radius in which the certificate of the other leaves room
    for no second; without a certificate, where they are nearer than their own errors. Where a
    point is degenerate that error is anything, and it stands for others of its kind alone.

    Parameters
    ----------
    cell : see `neurornn.dynamics.cells`.
    states : (point, state), converged.
    known : points that were looked at before, which come first.
    """
    # Many came to the same point: those that agree to 1e-6 are looked at once.
    _, first = np.unique(np.round(states / 1e-6), axis=0, return_index=True)
    found = certified(cell, states[first])
    if known is not None:
        found = Found(*(np.concatenate(pair) for pair in zip(known, found, strict=True)))
    f = cell.step(found.states)
    error = np.linalg.norm(f - found.states, axis=1) / np.maximum(found.gap, 1e-12)
    floor = 1e-9 * (1 + np.linalg.norm(found.states, axis=1))
    reach = np.where(found.certified, found.radius, np.maximum(1e3 * error, floor))
    degenerate = found.degenerate
    kept, left = [], np.arange(len(found.states))
    while len(left):
        one = left[0]
        away = np.linalg.norm(found.states[left] - found.states[one], axis=1)
        kept.append(one)
        same = away <= reach[one]
        if degenerate[one]:
            same &= degenerate[left]
        same[0] = True
        left = left[~same]
    return Found(*(each[kept] for each in found))


class Budget:
    """Time and starts that a search may take.

    Parameters
    ----------
    max_starts : in all.
    seconds : of wall time; None for no limit.
    """

    def __init__(self, max_starts: int, seconds: float | None) -> None:
        self.max_starts, self.seconds = max_starts, seconds
        self.began = time.monotonic()

    def is_over(self, n_starts: int) -> bool:
        """Whether so many starts are all that there may be, or the time is up."""
        late = self.seconds is not None and time.monotonic() - self.began > self.seconds
        return late or n_starts >= self.max_starts


def run_forward(cell: Any, n: int, rng: np.random.Generator) -> Array:
    """Draw states that ran on for some steps, near attractors and on the way to them.

    Parameters
    ----------
    cell : see `neurornn.dynamics.cells`.
    n : how many.
    rng : what is drawn from.
    """
    h = cell.spread(rng, n)
    n_steps = np.sort(np.resize(FORWARD[::-1], n))
    loop = compiled(searched_in(cell))
    if loop is not None:
        h = loop.later(h, n_steps)
    for k in range(0 if loop is not None else FORWARD[-1]):
        # Those before these have stopped.
        rows = slice(int(np.searchsorted(n_steps, k, side="right")), None)
        h[rows] = cell.step(h[rows])
    h = h[np.isfinite(h).all(axis=1)]
    # A drop of noise takes a state off the manifold on which it ended.
    return np.asarray(h + 0.05 * rng.standard_normal(h.shape))


def draw_starts(cell: Any, n: int, rng: np.random.Generator, known: Array, source: Array) -> Array:
    """Draw starts: all over, and between points and states that are known.

    Parameters
    ----------
    cell : see `neurornn.dynamics.cells`.
    n : how many.
    rng : what is drawn from.
    known : (point, state), fixed points so far; saddles lie in the middle of some of them.
    source : (number, state), states that ran on, or came from the user.
    """
    some = cell.spread(rng, max(n // 3, 1))
    left = n - len(some)
    pool = known if len(known) > 1 else np.concatenate([known, source])
    if not len(pool) or left < 1:
        return some
    # Means of two, four and eight: middles of edges, faces and cubes.
    picked = pool[rng.integers(len(pool), size=(left, 8))]
    n_picked = rng.choice([2, 3, 4, 8], left)
    counted = np.arange(8) < n_picked[:, None]
    between = np.einsum("nks,nk->ns", picked, counted) / n_picked[:, None]
    if len(source):
        alone = rng.random(left) < 0.25
        between[alone] = source[rng.integers(len(source), size=int(alone.sum()))]
    return np.concatenate([some, between + 0.1 * rng.standard_normal(between.shape)])
