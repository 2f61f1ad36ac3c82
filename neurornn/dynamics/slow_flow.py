"""The slow flow: how states move once all but their few slowest modes have died out.

A curve is all there is where one mode is far slower than the next. Networks that were trained to
remember often have a few modes of some seconds, folds, or points to which values spiral: there the
flow on the slow manifold, of three dimensions at most, says where a value goes. It is read off
trajectories that start beside the given ones: after a while they lie on the manifold, and each
place with its neighbours gives a smooth piece of it, and of the motion on it (moving least squares
on a manifold, Sober & Levin 2020, doi:10.1007/s00365-019-09489-8).
"""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.spatial import cKDTree

from neurornn.dynamics.manifolds import size_of

Array = NDArray[np.float64]

#: Dimensions of the manifold at most.
MOST_MODES = 3
#: Time constants of the first mode that is not followed, for which states are left before they
#: count as on the manifold: 2 % of it are left. And the time of a stride in these.
_WAIT, _STRIDE = 4.0, 0.5
#: So many trajectories start beside the given states, at this share of the size of all of them.
_TRAJECTORIES, _BESIDE = 1024, 0.2
#: Strides that are looked at one by one, and the factor by which looks lie further apart later.
_CLOSE, _SPREAD = 30, 1.3
#: Nodes at most, and numbers in all of them.
_MOST_NODES, _MOST_NUMBERS = 2000, 200_000
#: Nodes next to a state through which the piece of the manifold there is laid: six times as many
#: as a polynomial of degree two in three directions has terms.
_NEIGHBOURS = 60
#: Directions near a state that are looked at, and the spread, as a share of the first one's, down
#: to which a direction that the others do not explain by their squares is along the manifold.
_CANDIDATES, _BENT = 6, 0.05
#: Directions that are told apart: those whose spread is no smaller a share of the first one's.
_FLAT, _MOST_AXES = 1e-6, 24
#: Strides over which what it says is compared with trajectories that were left out.
_CHECKED = 100
#: A flow that tells how far other trajectories move no better than to this share is not kept.
TRUSTED = 0.2


class SlowFlow(NamedTuple):
    """Places on a slow manifold, and where they have moved a stride later.

    Attributes
    ----------
    states : (node, state).
    moved : (node, state), how far each moves in a stride.
    stride : steps.
    error : how well it tells how far trajectories move that were left out, as a share.
    """

    states: Array
    moved: Array
    stride: int
    error: float

    def variables(self) -> dict[str, Any]:
        """Make variables of a Dataset of it."""
        one = {"units": "1"}
        dims = ("node", "hidden")
        return {
            "node_state": (dims, self.states, {**one, "long_name": "state on the slow manifold"}),
            "node_moved": (dims, self.moved, {**one, "long_name": "how far it moves in a stride"}),
            "stride": ((), self.stride, {**one, "long_name": "steps of a stride"}),
            "flow_error": ((), self.error, {**one, "long_name": "share by which others differ"}),
        }


def flow_of(manifold: xr.Dataset) -> SlowFlow | None:
    """Take the slow flow from a Dataset, where it is there."""
    if "node" not in manifold.dims:
        return None
    states, moved = manifold["node_state"].values, manifold["node_moved"].values
    return SlowFlow(states, moved, int(manifold["stride"]), float(manifold["flow_error"]))


class Pieces:
    """A manifold through its nodes: near each state a polynomial of degree two.

    Parameters
    ----------
    flow : the nodes.
    """

    def __init__(self, flow: SlowFlow) -> None:
        self.center = flow.states.mean(axis=0)
        _, size, axes = np.linalg.svd(flow.states - self.center, full_matrices=False)
        self.axes = axes[: max(1, int((size[:_MOST_AXES] > _FLAT * size[0]).sum()))]
        self.x = (flow.states - self.center) @ self.axes.T
        self.moved = flow.moved @ self.axes.T
        self.tree = cKDTree(self.x)
        self.pairs = np.triu_indices(MOST_MODES)

    def at(self, x: Array) -> tuple[Array, Array]:
        """Places on the manifold near others, and how far these move in a stride, (n, axis)."""
        away, near = self.tree.query(x, min(_NEIGHBOURS, len(self.x)))
        radius = np.maximum(away[:, -1:], 1e-300)
        weight = np.maximum(1 - (away / radius) ** 2, 1e-3) ** 2
        weight /= weight.sum(axis=1, keepdims=True)
        around = self.x[near]
        origin = np.einsum("ij,ijk->ik", weight, around)
        off = around - origin[:, None]
        _, axes = np.linalg.eigh(np.einsum("ij,ijk,ijl->ikl", weight, off, off, optimize=True))
        axes = axes[:, :, ::-1][:, :, :_CANDIDATES]
        along, here = self._unbent(off @ axes, ((x - origin)[:, None] @ axes)[:, 0], weight)
        values = np.concatenate([around, self.moved[near]], axis=2)
        found = _fitted(self._terms(along), values, weight, self._terms(here))
        k = x.shape[1]
        return found[:, :k], found[:, k:]

    def _unbent(self, off: Array, x: Array, weight: Array) -> tuple[Array, Array]:
        """Coordinates along the manifold, of neighbours and of a state among them.

        A sheet that bends spreads in a third direction too, which is none along it: what the
        directions before explain is taken away from each, and what is left by a small share is
        the next order of the bending. Of a direction across, nothing would hold a state on the
        manifold.
        """
        n = len(off)
        along, here = np.zeros((*off.shape[:2], MOST_MODES)), np.zeros((n, MOST_MODES))
        count, first = np.zeros(n, dtype=np.int64), np.zeros(n)
        for k in range(off.shape[2]):
            left, mine = off[:, :, k : k + 1], x[:, k : k + 1]
            if k:
                terms = self._terms(along)
                mine = mine - _fitted(terms, left, weight, self._terms(here))
                left = left - _fitted(terms, left, weight, terms)
            spread = np.sqrt(np.einsum("ij,ij->i", weight, left[:, :, 0] ** 2))
            first = spread if k == 0 else first
            row = np.flatnonzero((count < MOST_MODES) & (spread > _BENT * first))
            reach = np.abs(left[row, :, 0]).max(axis=1, initial=1e-300)
            along[row, :, count[row]] = left[row, :, 0] / reach[:, None]
            # Beyond the neighbours nothing is known, and a polynomial may say anything.
            here[row, count[row]] = np.clip(mine[row, 0] / reach, -1.0, 1.0)
            count[row] += 1
        return along, here

    def _terms(self, along: Array) -> Array:
        i, j = self.pairs
        one = np.ones((*along.shape[:-1], 1))
        return np.concatenate([one, along, along[..., i] * along[..., j]], axis=-1)

    def followed(self, starts: Array, steps: Array) -> Array:
        """States on the manifold after so many strides, (time, start, state), from its nearest.

        Parameters
        ----------
        starts : (start, state).
        steps : (time,), strides from 0 on, whole or not.
        """
        x = (starts - self.center) @ self.axes.T
        path = []
        for _ in range(int(np.ceil(steps.max(initial=0.0))) + 2):
            on, moved = self.at(x)
            path.append(on)
            x = on + moved
        along = CubicSpline(np.arange(len(path)), np.array(path), axis=0)(steps)
        return np.asarray(along @ self.axes + self.center)


def _fitted(terms: Array, values: Array, weight: Array, at: Array) -> Array:
    """Values that a polynomial takes elsewhere, fitted by least squares.

    Parameters
    ----------
    terms, values : (n, neighbour, term) and (n, neighbour, value).
    weight : (n, neighbour).
    at : (n, term) or (n, place, term), where it is taken.
    """
    weighted = np.transpose(terms * weight[:, :, None], (0, 2, 1))
    # Directions that there are none of have no slope.
    matrix = weighted @ terms + 1e-12 * np.eye(terms.shape[2])
    found = np.linalg.solve(matrix, weighted @ values)
    return np.asarray(at @ found if at.ndim == 3 else (at[:, None] @ found)[:, 0])


def fit_slow_flow(
    cell: Any, begun: Array, ended: Array, n_steps: int, rng: np.random.Generator
) -> SlowFlow | None:
    """Read the slow flow off trajectories that start beside others; None where there is none.

    Parameters
    ----------
    cell : see `neurornn.dynamics.cells`.
    begun, ended : (n, state), where trajectories start that stay within bounds, and end.
    n_steps : for how long they are run.
    rng : draws the starts.
    """
    n_state = begun.shape[1]
    if n_state <= MOST_MODES:
        return None
    size = max(size_of(begun), size_of(ended))
    n = int(np.clip(_MOST_NUMBERS // n_state, 64, _TRAJECTORIES))
    h = begun[rng.integers(len(begun), size=n)]
    h = h + _BESIDE * size / np.sqrt(n_state) * rng.standard_normal(h.shape)
    wait, stride = _times(cell, h, n_steps)
    looks = _looks(wait, stride, n_steps)
    kept, after, at = [], [], set(looks)
    with np.errstate(all="ignore"):
        for k in range(looks[-1] + stride + 1):
            if k in at:
                kept.append(h)
            if k - stride in at:
                after.append(h)
            h = cell.step(h)
    states, later = np.array(kept), np.array(after)
    good = np.isfinite(states).all(axis=(0, 2)) & np.isfinite(later).all(axis=(0, 2))
    good &= (np.abs(later) < 1e8).all(axis=(0, 2))
    states, later = states[:, good], later[:, good]
    # Some trajectories are left out, to see what the flow says of them.
    n_out = max(states.shape[1] // 8, 1)
    inside = states[:, n_out:].reshape(-1, n_state), later[:, n_out:].reshape(-1, n_state)
    if len(inside[0]) < 4 * _NEIGHBOURS or size_of(inside[0]) < 1e-6 * (1 + np.abs(ended).max()):
        return None
    most = int(np.clip(_MOST_NUMBERS // n_state, 200, _MOST_NODES))
    nodes = _scattered(inside[0], most, rng)
    flow = SlowFlow(inside[0][nodes], (inside[1] - inside[0])[nodes], stride, 0.0)
    # From when what is not followed has died out on them: what is left there hides a slow drift.
    first = int(np.argmin(np.abs(np.array(looks) - 2 * wait)))
    strides = (np.array(looks[first:]) - looks[first]) / stride
    strides = strides[strides <= _CHECKED]
    told = Pieces(flow).followed(states[first, :n_out], strides)
    moved = states[first : first + len(strides), :n_out] - states[first, :n_out]
    off = np.linalg.norm(told - told[0] - moved, axis=2).mean()
    error = float(off / max(np.linalg.norm(moved, axis=2).mean(), 1e-300))
    return flow._replace(error=error) if error < TRUSTED else None


def _times(cell: Any, begun: Array, n_steps: int) -> tuple[int, int]:
    """Steps until states are on the manifold, and those of a stride."""
    h = begun[:32]
    with np.errstate(all="ignore"):
        for _ in range(min(25, n_steps)):
            h = cell.step(h)
    h = h[np.isfinite(h).all(axis=1) & (np.abs(h) < 1e8).all(axis=1)]
    size = np.abs(cell.eigenvalues(h)) if len(h) else np.ones((1, begun.shape[1]))
    rate = np.median(np.sort(np.abs(np.log(np.maximum(size, 1e-300))), axis=1), axis=0)
    next_one = float(np.maximum(rate[MOST_MODES], 1e-12))
    wait = int(np.ceil(min(_WAIT / next_one, n_steps / 4)))
    return wait, int(np.ceil(min(_STRIDE / next_one, max(n_steps / 100, 1.0))))


def _looks(wait: int, stride: int, n_steps: int) -> list[int]:
    """Steps at which states are looked at: one by one, then further and further apart."""
    looks, gap = [wait], float(stride)
    while looks[-1] + gap + stride <= n_steps:
        looks.append(looks[-1] + round(gap))
        if len(looks) > _CLOSE:
            gap *= _SPREAD
    return looks


def _scattered(states: Array, most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """So many of the states, each as far from those before it as can be."""
    left = rng.permutation(len(states))[: 4 * most]
    x = states[left]
    away = np.full(len(x), np.inf)
    kept = [0]
    while len(kept) < min(most, len(x)):
        away = np.minimum(away, np.sum((x - x[kept[-1]]) ** 2, axis=1))
        one = int(np.argmax(away))
        if away[one] <= 0:
            break
        kept.append(one)
    return np.asarray(left[kept])
