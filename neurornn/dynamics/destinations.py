"""What trajectories have come to: points, slow manifolds, cycles and the rest, row by row."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from neurornn.dynamics.cycles import cycle_through
from neurornn.dynamics.manifolds import (
    RELAX,
    Curve,
    Pace,
    curve_through,
    floor_of,
    flowed,
    nearest,
    parts,
    relaxed,
    settled,
    size_of,
    slow_modes,
    thinned,
)
from neurornn.dynamics.maps import StateMap

Array = NDArray[np.float64]

#: A state that moves by more than this share of the size of the cloud, in the time in which it
#: comes to a manifold, is under way and does not rest.
MOVING = 0.2
#: Share of what is stored that is lost after the lifetime of a memory.
LOST = float(1 - np.exp(-1))
#: States whose eigenvalues are looked at at most.
_LOOKED_AT = 64


def rows_of(
    state_map: StateMap,
    begun: Array,
    seen: list[tuple[int, Array]],
    rng: np.random.Generator,
    exponents: Callable[[Array], Any],
) -> list[dict[str, Any]]:
    """What trajectories came to, as rows of the table; `seen` are states after some steps."""
    ended = seen[-1][1]
    cell, n = state_map.cell, len(ended)
    pace = slow_modes(cell, ended[rng.permutation(n)[:_LOOKED_AT]])
    window = int(np.clip(np.ceil(pace.across), 50, 2000))
    # The farthest that a state gets from where it was, beside the size of all of them.
    size, h, far = size_of(ended), ended, np.zeros(n)
    low, high = ended.copy(), ended.copy()
    for _ in range(window):
        h = cell.step(h)
        far = np.maximum(far, np.linalg.norm(h - ended, axis=1))
        low, high = np.minimum(low, h), np.maximum(high, h)
    orbit = np.linalg.norm(high - low, axis=1)
    scale = max(size, float(np.median(orbit)), 1e-300)
    tiny = 1e-7 * (1 + np.abs(ended).max())
    moving = (far > MOVING * scale) & (far > tiny)
    found = []
    if (~moving).any():
        looks = [(k, states[~moving]) for k, states in seen]
        rows = _resting(state_map, begun[~moving], looks, n)
        # A cycle may be slow on a part of its way: states leave that part, and none a manifold.
        leaving = _leave(state_map, rows, ended[~moving])
        if leaving.mean() > 0.05:
            moving[:] = True
        else:
            found += rows
    if moving.any() and found:
        moving[moving] = ~_come_late(state_map.cell, found, ended[moving], n, seen[-1][0], window)
    if moving.any():
        found += _going(state_map, ended[moving], n, exponents)
    return sorted(found, key=lambda f: -f["share"])


def _come_late(
    cell: Any, rows: list[dict[str, Any]], states: Array, n: int, n_steps: int, window: int
) -> NDArray[np.bool_]:
    """Whether states that were on the way, past a saddle say, come to known lines and rings.

    They are given the same time once more, and are counted to the row to which they have come.
    """
    curves = [row["curve"] for row in rows if row["kind"] in ("line", "ring")]
    come = np.zeros(len(states), dtype=bool)
    if not curves or len(curves) < len(rows):
        return come
    h = states
    for _ in range(n_steps):
        h = cell.step(h)
    far, later = np.zeros(len(h)), h
    for _ in range(window):
        later = cell.step(later)
        far = np.maximum(far, np.linalg.norm(later - h, axis=1))
    lengths = np.array([[curve.length] for curve in curves])
    off = np.array([nearest(curve, h)[1] for curve in curves]) / lengths
    # At rest where others rest, or as slow as they are; a cycle goes on.
    come = (off.min(axis=0) < 0.01) & (far < MOVING * lengths[off.argmin(axis=0), 0])
    for k in off.argmin(axis=0)[come]:
        rows[k]["share"] += 1 / n
    return np.asarray(come)


def _leave(state_map: StateMap, rows: list[dict[str, Any]], ended: Array) -> NDArray[np.bool_]:
    """Whether states run off the lines and rings that they are said to have come to."""
    curves = [row["curve"] for row in rows if row["kind"] in ("line", "ring")]
    if not curves or len(curves) < len(rows):
        return np.zeros(len(ended), dtype=bool)
    pace = slow_modes(state_map.cell, ended[:_LOOKED_AT])
    h, gone = ended, np.zeros(len(ended), dtype=bool)
    before: Array | None = None
    is_line = len(curves) == 1 and not curves[0].is_ring
    # They may come back to it, at its other end: a look now and then.
    for _ in range(25):
        for _ in range(int(np.clip(pace.along / 5, 10, 200))):
            h = state_map.cell.step(h)
        found = [nearest(curve, h) for curve in curves]
        lengths = np.array([[curve.length] for curve in curves])
        share = np.array([off for _, off in found]) / lengths
        gone |= share.min(axis=0) > 0.1
        at = (np.array([position for position, _ in found]) / lengths)[
            share.argmin(axis=0), np.arange(len(h))
        ]
        if before is not None and is_line:
            gone |= np.abs(at - before) > 0.5
        before = at
    return gone


def _resting(
    state_map: StateMap, begun: Array, seen: list[tuple[int, Array]], n: int
) -> list[dict[str, Any]]:
    """Points, or manifolds along which states move slowly."""
    cell, ended = state_map.cell, seen[-1][1]
    # States may have come to a manifold and left it again, for points on it: the first look at
    # which they have had the time to come to what they lie on.
    for k, states in seen:
        pace = slow_modes(cell, states[:_LOOKED_AT])
        if not pace.dimension or k < RELAX * pace.across / 2:
            continue
        for looks in ((1, 1, 3), (RELAX,)):
            late = [states for steps, states in seen if steps >= RELAX * pace.across]
            cloud, size = _cloud(cell, begun, pace, looks, late)
            # Few places for many states: points, each with a slow mode of its own.
            if len(cloud) <= max(8, len(begun) // 8):
                break
            if size < 1e-6 * (1 + np.abs(cloud).max()):
                break
            pieces = parts(cell, cloud, pace)
            # Each trajectory belongs to the piece that is nearest in the end.
            away = np.array([cdist(ended, piece).min(axis=1) for piece in pieces])
            mine = np.bincount(away.argmin(axis=0), minlength=len(pieces)) / n
            made = []
            for piece, share in zip(pieces, mine, strict=True):
                if len(piece) >= max(8, len(cloud) // 50):
                    row = _manifold(state_map, piece, pace, float(share))
                    made += [] if row is None else [row]
            if made:
                return made
    return [_points(state_map, ended, len(ended) / n)]


def _cloud(
    cell: Any, begun: Array, pace: Pace, looks: Sequence[float], late: list[Array]
) -> tuple[Array, float]:
    """States on the manifold to which trajectories come, none near another, and their size.

    Early looks show the ends that states leave for points on the manifold, late ones the points.
    """
    h, found = begun, []
    for wait in looks:
        h = relaxed(cell, h, int(np.ceil(wait * pace.across)))
        on, good = settled(cell, h, pace)
        found.append(on[good])
    cloud = np.concatenate(found)
    if not len(cloud):
        return cloud, 0.0
    size = size_of(found[-1] if len(found[-1]) else cloud)
    for h in late:
        on, good = settled(cell, thinned(h, 2e-3 * size), pace)
        cloud = np.concatenate([cloud, on[good]])
    return thinned(cloud, 2e-3 * size), size


def _points(state_map: StateMap, ended: Array, share: float) -> dict[str, Any]:
    """The row of points at which states come to rest."""
    stable = _stable_points(state_map.cell, ended)
    if not len(stable):
        return {"kind": "undecided", "share": share}
    slowest = np.abs(state_map.cell.eigenvalues(stable)).max()
    return {
        "kind": "point" if len(stable) == 1 else "points", "dimension": 0, "share": share,
        # One point tells nothing of where a state came from.
        "n_points": len(stable), "lifetime": np.inf if len(stable) > 1 else np.nan,
        "across": -state_map.dt / np.log(max(slowest, 1e-300)),
    }  # fmt: skip


def _stable_points(cell: Any, states: Array) -> Array:
    """Stable fixed points near states, by Newton steps that stay near."""
    at, scale = states, 1 + np.abs(states).max()
    for _ in range(30):
        moved, step = cell.newton(at)
        on = np.linalg.norm(moved, axis=1) > 1e-14 * (1 + np.linalg.norm(at, axis=1))
        at = np.where(on[:, None] & np.isfinite(step), at + step, at)
    near = np.linalg.norm(at - states, axis=1) < 0.1 * scale
    moved = np.linalg.norm(cell.step(at) - at, axis=1)
    distinct = thinned(at[near & (moved < 1e-11 * scale)], 1e-6 * scale)
    if not len(distinct):
        return distinct
    return np.asarray(distinct[np.abs(cell.eigenvalues(distinct)).max(axis=1) < 1])


def _manifold(
    state_map: StateMap, cloud: Array, pace: Pace, share: float
) -> dict[str, Any] | None:
    """The row of a line, a ring or a plane; None where one slow mode makes no curve."""
    cell, dt = state_map.cell, state_map.dt
    row: dict[str, Any] = {
        "share": share, "dimension": pace.dimension, "across": pace.across * dt,
    }  # fmt: skip
    if pace.dimension > 1:
        return row | _sheet(state_map, cloud, pace)
    curve = curve_through(cell, cloud, pace)
    if curve is None:
        return None
    slow = np.abs(curve.speed)
    floor = floor_of(cell, curve)
    # The rate along the manifold: how the drift changes from place to place.
    slope = curve.interpolated(curve.speed)(curve.position, 1)
    rate = max(float(np.sqrt(np.mean(slope**2))), floor / curve.length)
    lifetime, at_least = _lifetime(curve, floor)
    crossings = np.flatnonzero((curve.speed > 0) & (np.roll(curve.speed, -1) <= 0))
    ends = 0
    if not curve.is_ring:
        crossings = crossings[crossings < len(curve.speed) - 1]
        # What is driven against an end rests there only where a point is.
        outward = np.array([curve.speed[0] < 0, curve.speed[-1] > 0])
        ends = len(_stable_points(cell, curve.states[[0, -1]][outward])) if outward.any() else 0
    n_points = len(crossings) + ends if slow.max() > floor else 0
    return row | {
        "kind": "ring" if curve.is_ring else "line", "n_points": n_points,
        "lifetime": lifetime * dt, "at_least": at_least,
        "drift": float(np.sqrt(np.mean(slow**2))) / curve.length / dt,
        "fastest_drift": float(slow.max()) / curve.length / dt,
        "rate_ratio": rate * pace.across, "curve": curve,
    }  # fmt: skip


def _lifetime(curve: Curve, floor: float) -> tuple[float, bool]:
    """Steps after which 1 - 1/e of what is stored is gone, and whether it is only a least time."""
    at = curve.position
    spread = float(np.sqrt(np.mean((at - at.mean()) ** 2)))
    fastest = float(np.abs(curve.speed).max())
    if fastest <= floor:
        return LOST * spread / floor, True
    times = np.concatenate([[0.0], np.geomspace(0.01, 1e3, 80)]) * spread / fastest
    moved = np.sqrt(np.mean((flowed(curve, at, times) - at) ** 2, axis=1))
    # Where all have come to the points on it no more is lost; round a ring they may go on.
    wanted = LOST * (min(float(moved[-1]), spread) if curve.is_ring else float(moved[-1]))
    k = int(np.flatnonzero(moved >= wanted)[0])
    share = (wanted - moved[k - 1]) / (moved[k] - moved[k - 1])
    return float(times[k - 1] + share * (times[k] - times[k - 1])), False


def _sheet(state_map: StateMap, cloud: Array, pace: Pace) -> dict[str, Any]:
    """What is told of a manifold of more than one dimension, from states that run on along it."""
    cell, dt = state_map.cell, state_map.dt
    size = size_of(cloud)
    moved = np.linalg.norm(cell.step(cloud) - cloud, axis=1)
    h, steps, at_least = cloud, 0, True
    while steps < 20_000:
        h, steps = cell.step(h), steps + 1
        if np.sqrt(np.mean(np.sum((h - cloud) ** 2, axis=1))) >= LOST * size:
            at_least = False
            break
    speed = float(np.sqrt(np.mean(moved**2)))
    return {
        "kind": "plane", "lifetime": steps * dt,
        "n_points": len(_stable_points(cell, h)),
        "at_least": at_least, "drift": speed / size / dt,
        "fastest_drift": float(moved.max()) / size / dt, "rate_ratio": pace.across / pace.along,
    }  # fmt: skip


def _going(
    state_map: StateMap, ended: Array, n: int, exponents: Callable[[Array], Any]
) -> list[dict[str, Any]]:
    """Cycles, tori and chaos: what does not come to rest."""
    found: list[dict[str, Any]] = []
    left = np.arange(len(ended))
    for _ in range(8):
        if not len(left):
            return found
        cycle = cycle_through(state_map, ended[left[0]])
        if cycle is not None:
            others = np.abs(cycle.multipliers)
            if cycle.trivial is not None:
                others = np.delete(others, cycle.trivial)
            size = size_of(cycle.states)
            apart = float(np.linalg.norm(np.diff(cycle.states, axis=0), axis=1).max())
            near = max(2 * apart, 1e-3 * size)
            reach = np.linalg.norm(ended[left][:, None] - cycle.states, axis=2).min(axis=1)
            kept = float(others.max()) if len(others) else 0.0
            if (reach > near).any() and 0 < kept < 1:
                # Those that come to it slowly are given the time.
                n_more = int(min(cycle.period * np.ceil(-7 / np.log(kept)), 20_000))
                h = ended[left]
                for _ in range(n_more):
                    h = state_map.cell.step(h)
                ended = ended.copy()
                ended[left] = h
                reach = np.linalg.norm(h[:, None] - cycle.states, axis=2).min(axis=1)
            mine = reach < near
            mine[0] = True
            known = next((f for f in found if _same_cycle(f, cycle, state_map.dt)), None)
            left, share = left[~mine], mine.sum() / n
            if known is not None:
                known["share"] += share
                continue
            found.append({
                "kind": "limit cycle", "dimension": 1, "share": share, "n_points": 0,
                "period": cycle.period * state_map.dt,
                "floquet": float(others.max()) if len(others) else np.nan,
                "curve": _round(state_map.cell, cycle.states),
            })  # fmt: skip
            continue
        spectrum = exponents(ended[left])
        # What comes to a point slowly, turning as it does, is at rest in the end.
        resting = float(spectrum.exponents[0]) < 0 and spectrum.regime != "chaos"
        if resting and len(_stable_points(state_map.cell, ended[left])):
            return [*found, _points(state_map, ended[left], len(left) / n)]
        # A cycle that does not come back is none.
        kind = spectrum.regime if spectrum.regime in ("quasi-periodic", "chaos") else "undecided"
        dimension = spectrum.kaplan_yorke_dimension
        found.append({
            "kind": kind, "share": len(left) / n, "n_points": 0,
            "dimension": round(dimension) if np.isfinite(dimension) else 0,
        })  # fmt: skip
        return found
    # So many cycles were looked for and no more.
    return [*found, {"kind": "undecided", "share": len(left) / n}] if len(left) else found


def _round(cell: Any, states: Array) -> Curve:
    """A cycle as a curve: places one after the other in time, and how far each moves in a step."""
    around = np.vstack([states, states[:1]])
    position = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(around, axis=0), axis=1))])
    speed = np.linalg.norm(cell.step(states) - states, axis=1)
    return Curve(states, position[:-1], speed, True, float(position[-1]))


def _same_cycle(row: dict[str, Any], cycle: Any, dt: float) -> bool:
    """Whether a cycle that was found before is the same, to which states come slowly."""
    if row["kind"] != "limit cycle" or abs(row["period"] / (cycle.period * dt) - 1) > 1e-3:
        return False
    there = row["curve"].states
    away = np.linalg.norm(cycle.states[:, None] - there, axis=2).min(axis=1).max()
    return bool(away < 0.05 * size_of(there))
