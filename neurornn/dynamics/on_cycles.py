"""Lyapunov exponents of trajectories that come to cycles, from the Floquet multipliers there.

Along a trajectory the exponents of a cycle come out as means over turns, of which no run holds a
whole number, and a slow approach falls as one over time. The cycle itself has none of that: its
multipliers over a turn are what pushes grow by, for ever.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurornn.dynamics.cycles import Cycle, cycle_through
from neurornn.dynamics.maps import StateMap
from neurornn.dynamics.motion import in_time, returning
from neurornn.dynamics.tangents import Tangents

Array = NDArray[np.float64]

#: States up to which cycles are looked for: products of larger Jacobians take longer than a run.
MOST_STATES = 256
#: Steps in which a trajectory settles before it is asked whether it is on a cycle that is known,
#: and by how much of the extent of the cycle it may then miss it.
_SETTLE, _ON = 4_000, 2e-3
#: Error of the entries of a product of Jacobians, as a share of the largest of them.
_ROUNDING = 1e-12
#: A multiplier is lost where it may be off by more than this share of itself.
_LOST = 0.01


class OnCycles(NamedTuple):
    """The exponents of trajectories that all come to cycles.

    Attributes
    ----------
    exponents : (trajectory, order), largest first; NaN where the multiplier is lost to rounding.
    errors : (order,), how far an exponent may be off.
    told : regime, reason and period as `motion` tells them; ``turn``, how long a turn takes on the
        longest closed curve, 0 for orbits of whole steps.
    """

    exponents: Array
    errors: Array
    told: dict[str, Any]


def read_on_cycles(state_map: StateMap, found: Tangents, n_exponents: int) -> OnCycles | None:
    """Find the cycles to which trajectories come, and read the exponents there.

    Parameters
    ----------
    state_map : see `neurornn.dynamics.maps`.
    found : the trajectories; those that left are not looked at.
    n_exponents : how many, the largest first.

    Returns
    -------
    OnCycles, or None
        None where one of the trajectories comes to no stable cycle that can be found, or where
        some cycles take whole steps and others are closed curves.
    """
    if state_map.cell.n_state > MOST_STATES:
        return None
    ends = found.end[found.stayed]
    first = cycle_through(state_map, ends[0])
    if first is None:
        return None
    cycles, which, h = [first], [0], ends
    for _ in range(_SETTLE):
        h = state_map.cell.step(h)
    for state, end in zip(h[1:], ends[1:], strict=True):
        own = next((k for k, cycle in enumerate(cycles) if _is_on(state, cycle)), None)
        if own is None:
            another = cycle_through(state_map, end)
            if another is None:
                return None
            # Some have not settled, and come to one that is known all the same.
            own = next((k for k, cycle in enumerate(cycles) if _same(another, cycle)), len(cycles))
            cycles += [another] if own == len(cycles) else []
        which.append(own)
    curves = [cycle.trivial is not None for cycle in cycles]
    if any(curves) != all(curves):
        return None
    dt = state_map.dt
    read = [_read(cycle, dt, n_exponents) for cycle in cycles]
    exponents, errors = np.array([r[0] for r in read])[which], np.array([r[1] for r in read])
    turns = np.array([cycle.period for cycle in cycles])
    if not curves[0]:
        told = returning(turns[which].astype(np.int64), dt * exponents[:, 0])
        return OnCycles(exponents, errors.max(axis=0), {**told, "turn": 0.0})
    turn = float(turns.max()) * dt
    many = "the curve" if len(cycles) == 1 else f"each of {len(cycles)} curves"
    upto = "" if np.ptp(turns) <= 1e-6 * turns.max() else "up to "
    why = f"one exponent is 0, along {many}, on which a turn takes "
    why += f"{upto}{in_time(turn, state_map.time_unit)}"
    return OnCycles(
        exponents, errors.max(axis=0),
        {"regime": "limit cycle", "reason": why, "period": 0, "turn": turn},
    )  # fmt: skip


def _same(a: Cycle, b: Cycle) -> bool:
    return abs(a.period - b.period) <= 1e-6 * b.period and _is_on(a.states[0], b)


def _is_on(state: Array, cycle: Cycle) -> bool:
    """Whether a state lies on a cycle, up to what is left of its approach."""
    at, after = cycle.states, np.roll(cycle.states, -1, axis=0)
    extent = float(np.linalg.norm(at - at.mean(axis=0), axis=1).max())
    if cycle.trivial is None:
        # An orbit of whole steps is nowhere between its states.
        return bool(np.linalg.norm(at - state, axis=1).min() <= _ON * extent)
    along = after - at
    share = np.sum((state - at) * along, axis=1) / np.maximum(np.sum(along**2, axis=1), 1e-300)
    nearest = at + np.clip(share, 0.0, 1.0)[:, None] * along
    return bool(np.linalg.norm(nearest - state, axis=1).min() <= _ON * extent)


def _read(cycle: Cycle, dt: float, n_exponents: int) -> tuple[Array, Array]:
    """Exponents of a cycle, and by how much each may be off; NaN where no digit is left."""
    size = np.abs(cycle.multipliers)
    turn = cycle.period * dt
    # How good polynomials between steps are is told by the multiplier along the curve, which is 1,
    # and by how far the curve misses itself after some turns.
    off = 0.0 if cycle.trivial is None else abs(cycle.multipliers[cycle.trivial] - 1)
    error = max(10 * float(off), cycle.residual, _ROUNDING) * max(1.0, float(size[0]))
    if cycle.trivial is not None:
        size = np.append(1.0, np.delete(size, cycle.trivial))
    size = size[:n_exponents]
    with np.errstate(divide="ignore"):
        lost = error > _LOST * size
        exponents = np.where(lost, np.nan, np.log(size) / turn)
        errors = np.where(lost, np.nan, np.log1p(error / np.where(lost, 1.0, size)) / turn)
    return exponents, errors
