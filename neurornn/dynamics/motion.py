"""What trajectories do in the long run: rest, come back, go round, part for ever."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from neurornn._core.units import format_number
from neurornn.dynamics.maps import StateMap
from neurornn.dynamics.tangents import Tangents

Array = NDArray[np.float64]

#: Log of what a push must grow by during a whole trajectory to be called chaos: a hundredfold. On
#: a closed curve it comes and goes by less.
HUNDREDFOLD = float(np.log(100))
#: An exponent is 0 where its interval holds 0 and a push changes by less than this share while the
#: state moves by its own size; and where others are so many times further from 0.
STILL, APART = 0.05, 5
#: A state that comes back so near, as a share of its size, stands still or has a period; and one
#: that is still on its way has settled where what is left of the way is below the second figure.
BACK, SETTLED = 1e-9, 1e-3
#: Longest period of an orbit that is looked for, in steps.
LONGEST_PERIOD = 256


def periods_and_pace(
    state_map: StateMap, found: Tangents, growth: Array
) -> tuple[NDArray[np.int64], float]:
    """Steps after which each trajectory is back where it was, 0 where it is not; and its pace.

    The pace is how many times its own size a state moves in a unit of time.

    Parameters
    ----------
    growth : (trajectory, block), of the leading direction in a unit of time.
    """
    h, size, leading = found.end, found.size, growth.mean(axis=1)
    rate = np.exp(np.minimum(leading * state_map.dt, 0.0))
    period, here, path = np.zeros(len(h), dtype=np.int64), h, np.zeros(len(h))
    with np.errstate(all="ignore"):
        for k in range(1, LONGEST_PERIOD + 1):
            before, h = h, state_map.cell.step(h)
            path += np.linalg.norm(h - before, axis=1)
            away = np.linalg.norm(h - here, axis=1)
            # Of an approach by a share each time, all that is left is a geometric sum.
            rest = away / np.maximum(1 - rate**k, 1e-12)
            back = (away <= BACK * size) | ((leading < 0) & (rest <= SETTLED * size))
            period[back & (period == 0)] = k
            if (period[found.stayed] > 0).all():
                break
        pace = np.median((path / size)[found.stayed]) / (k * state_map.dt)
    return period, float(pace)


def read_at_rest(
    state_map: StateMap, found: Tangents, growth: Array, still: NDArray[np.bool_]
) -> None:
    """Put in the exponents of trajectories that come to rest: logs of the eigenvalues there.

    Directions whose exponents are near each other turn into place for longer than anyone waits;
    where the state rests nothing need be waited for. `growth`, (trajectory, block, exponent), is
    written to where `still`, (trajectory,), is True.
    """
    h, size = found.end[still], found.size[still]
    at = h
    with np.errstate(all="ignore"):
        for _ in range(20):
            moved, step = state_map.cell.newton(at)
            on = np.linalg.norm(moved, axis=1) > 1e-14 * size
            at = np.where(on[:, None], at + step, at)
        near = np.linalg.norm(at - h, axis=1) <= 10 * SETTLED * size
        values = np.full(h.shape, np.nan)
        if near.any():
            _, jacobian = state_map.cell.step_and_jacobian(at[near])
            values[near] = np.abs(np.linalg.eigvals(jacobian))
            norm = np.linalg.norm(jacobian, axis=(1, 2))
            # An eigenvalue that is 0 comes out as rounding.
            values[near] = np.where(values[near] > 4e-16 * norm[:, None], values[near], 0.0)
        log = np.log(-np.sort(-values, axis=1)[:, : growth.shape[2]]) / state_map.dt
    growth[np.flatnonzero(still)[near]] = log[near, None]


def are_zero(ci: Array, pace: float) -> NDArray[np.bool_]:
    """Whether exponents are 0 for all that can be told, and no other is nearly so, (order,).

    Parameters
    ----------
    ci : (order, bound).
    pace : how many times its own size a state moves in a unit of time.
    """
    reach = np.abs(ci).max(axis=1)
    zero = (ci[:, 0] <= 0) & (ci[:, 1] >= 0) & (reach < STILL * pace)
    others = np.abs(ci[~zero]).min(axis=1)
    if zero.any() and (others < APART * reach[zero].max()).any():
        return np.zeros(len(ci), dtype=bool)
    return np.asarray(zero)


def regime_of(
    state_map: StateMap,
    found: Tangents,
    periods: NDArray[np.int64],
    leading: Array,
    exponent: Array,
    ci: Array,
    zero: NDArray[np.bool_],
) -> dict[str, Any]:
    """Name what the network does without a series of inputs, and say why.

    Parameters
    ----------
    periods : (trajectory,), of those that stayed; not all of them come back.
    leading : (trajectory,), the leading exponent of each.
    exponent, ci, zero : (order,), (order, bound), (order,); `zero` as of `are_zero`.
    """
    unit, stayed = state_map.time_unit, found.stayed
    duration = found.n_steps * state_map.dt
    low, high = ci[0]
    told = {"period": 0}

    def undecided(why: str) -> dict[str, Any]:
        return {**told, "regime": "undecided", "reason": why}

    if np.ptp(leading) * duration > HUNDREDFOLD and _differ(found.growth[stayed, :, 0]):
        a, b = (format_number(x) for x in (leading.min(), leading.max()))
        return undecided(
            f"trajectories do not agree, with leading exponents from {a} to {b} "
            f"{'a step' if unit == '1' else per(unit)}: several attractors, or too short a run. "
            "Pass starts= of one, or raise n_steps"
        )
    if (periods > 0).any():
        n = int((periods > 0).sum())
        return undecided(
            f"{n} of {len(periods)} trajectories come back to the same states and the others do "
            "not. Pass starts= of one kind, or raise n_transient"
        )
    if low > 0 and exponent[0] * duration > HUNDREDFOLD:
        if np.median(found.moved_out[stayed]) > 100:
            return undecided("the states themselves grow without end, with what lies beside them")
        why = f"neighbours part by a factor e in {in_time(1 / exponent[0], unit)}"
        return {**told, "regime": "chaos", "reason": why}
    if zero[0]:
        n = int(zero.sum())
        if n > 1:
            why = f"{n} exponents are 0 and the state moves on"
            return {**told, "regime": "quasi-periodic", "reason": why}
        if len(exponent) == 1 < state_map.cell.n_state:
            return undecided("the leading exponent is 0; pass n_exponents=2 to see the next")
        why = "one exponent is 0, along the curve, and the state moves on"
        return {**told, "regime": "limit cycle", "reason": why}
    if high < 0:
        return undecided(
            "the leading exponent is below 0 and the state has not settled. Raise n_transient"
        )
    return undecided(
        "the leading exponent is not told from 0, or other exponents from those that are 0. Raise "
        "n_steps"
    )


def returning(periods: NDArray[np.int64], growth: Array) -> dict[str, Any]:
    """What is said of trajectories that all come back to the same states.

    Parameters
    ----------
    periods : (trajectory,), in steps.
    growth : (trajectory,), of the leading direction in a step.
    """
    still = periods == 1
    if still.any() and not still.all():
        return {
            "regime": "undecided", "period": 0,
            "reason": f"{int(still.sum())} of {len(still)} trajectories come to rest and the "
            "others move in orbits. Pass starts= of one kind",
        }  # fmt: skip
    kind = "fixed point" if still.all() else "limit cycle"
    longest = int(periods.max())
    why = "the state comes to rest"
    if kind == "limit cycle":
        same = "" if (periods == longest).all() else "up to "
        why = f"the state comes back after {same}{longest} steps"
    # There is no scatter at rest, and logs are good to ten digits.
    if growth.max() > 1e-9:
        why += ", from where it would be driven off: start elsewhere for what is stable"
    elif growth.max() > -1e-9:
        why += ", with an exponent of 0: one of a whole line of them, or a bifurcation"
    return {"regime": kind, "reason": why, "period": longest}


def driven_regime(state_map: StateMap, exponent: Array, ci: Array) -> dict[str, Any]:
    """Name what the network does under a series of inputs, and say why: the leading exponent."""
    low, high = ci[0]
    after = in_time(1 / max(abs(float(exponent[0])), 1e-300), state_map.time_unit)
    if low > 0:
        regime, why = "driven: chaotic", f"neighbours part by a factor e in {after}"
    elif high < 0 or exponent[0] == -np.inf:
        regime = "driven: stable"
        why = f"where it started is forgotten, by a factor e in {after}"
    else:
        regime, why = "undecided", "the interval of the leading exponent holds 0; a longer series"
        why += " narrows it"
    return {"regime": regime, "reason": why, "period": 0}


def _differ(growth: Array) -> bool:
    """Whether trajectories differ in their growth by more than their own blocks, (_, block)."""
    blocks = growth.reshape(len(growth), 8, -1).mean(axis=2)
    within = blocks.var(axis=1, ddof=1).mean()
    between = 8 * blocks.mean(axis=1).var(ddof=1) if len(blocks) > 1 else 0.0
    if within == 0:
        return bool(between > 0)
    n = len(blocks)
    return bool(stats.f.sf(between / within, max(n - 1, 1), 7 * n) < 1e-4)


def per(unit: str) -> str:
    """Symbol of a rate: ``"1/s"``, or ``"1"`` where time is counted in steps."""
    return "1" if unit == "1" else f"1/{unit}"


def in_time(value: float, unit: str) -> str:
    """Print a length of time."""
    return f"{format_number(value)} {'steps' if unit == '1' else unit}"
