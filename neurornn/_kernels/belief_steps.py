"""Steps of processes with a hidden state, and of the exact belief, for many episodes at once.

Every episode draws from a stream of its own, SplitMix64 (Steele, Lea & Flood 2014, OOPSLA,
doi:10.1145/2660193.2660195), so that it is the same whatever runs beside it.
"""

import numpy as np
from numba import njit

_LOOPS = {"cache": True, "nogil": True, "error_model": "numpy"}
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11))


@njit(**_LOOPS)
def uniform(streams, i):
    """Draw from 0 up to 1; `streams` (episode,) uint64 moves on at i."""
    z = streams[i] + _GOLDEN
    streams[i] = z
    z = (z ^ (z >> _SHIFTS[0])) * _FIRST
    z = (z ^ (z >> _SHIFTS[1])) * _SECOND
    z = z ^ (z >> _SHIFTS[2])
    return np.float64(z >> _SHIFTS[3]) * 2.0**-53


@njit(**_LOOPS)
def normal(streams, i):
    """Draw from the standard normal by the polar method of Marsaglia; one of the pair is used."""
    while True:
        x, y = 2.0 * uniform(streams, i) - 1.0, 2.0 * uniform(streams, i) - 1.0
        square = x * x + y * y
        if 0.0 < square < 1.0:
            return x * np.sqrt(-2.0 * np.log(square) / square)


@njit(**_LOOPS)
def _drawn(chances, u):
    """Index of a row of probabilities at u; never one that is impossible."""
    total, last = 0.0, 0
    for k in range(len(chances)):
        if chances[k] > 0.0:
            total += chances[k]
            last = k
            if u < total:
                return k
    return last


@njit(**_LOOPS)
def _normalise(belief, ending):
    """Scale the belief in states that go on to a sum of 1; the others have none."""
    total = 0.0
    for k in range(len(belief)):
        if ending[k]:
            belief[k] = 0.0
        total += belief[k]
    for k in range(len(belief)):
        belief[k] /= total


@njit(**_LOOPS)
def _moved(i, action, streams, transition, reward, state, belief, ahead):
    """Take the hidden state and the belief over one step; return what it brings."""
    before = state[i]
    after = _drawn(transition[action, before], uniform(streams, i))
    state[i] = after
    n = belief.shape[1]
    for k in range(n):
        ahead[k] = 0.0
    for j in range(n):
        if belief[i, j] > 0.0:
            for k in range(n):
                ahead[k] += belief[i, j] * transition[action, j, k]
    for k in range(n):
        belief[i, k] = ahead[k]
    return reward[action, before, after]


@njit(**_LOOPS)
def begin_discrete(streams, initial, emission, ending, state, belief, seen):
    """Draw first states and first observations.

    Parameters
    ----------
    streams : (episode,) uint64. initial : (state,). emission : (state, observation), of the first
        observation. ending : (state,), bool.
    state : (episode,), belief : (episode, state), seen : (episode,); filled.
    """
    for i in range(len(streams)):
        state[i] = _drawn(initial, uniform(streams, i))
        seen[i] = _drawn(emission[state[i]], uniform(streams, i))
        for k in range(len(initial)):
            belief[i, k] = initial[k] * emission[k, seen[i]]
        _normalise(belief[i], ending)


@njit(**_LOOPS)
def step_discrete(
    actions, streams, active, transition, emission, reward, bonus, ending, state, belief, seen,
    gained, ended,
):  # fmt: skip
    """Take one step of every episode that is active, and of its exact belief.

    Parameters
    ----------
    actions : (episode,). streams : (episode,) uint64. active : (episode,), bool.
    transition : (action, state, next). emission : (action, state, observation), of the state after
        the step. reward : (action, state, next). bonus : (observation,). ending : (state,), bool.
    state, belief, seen, gained, ended : (episode, ...); replaced where active.
    """
    ahead = np.empty(belief.shape[1])
    for i in range(len(actions)):
        gained[i] = 0.0
        if not active[i]:
            continue
        a = actions[i]
        gained[i] = _moved(i, a, streams, transition, reward, state, belief, ahead)
        o = _drawn(emission[a, state[i]], uniform(streams, i))
        seen[i] = o
        gained[i] += bonus[o]
        ended[i] = ending[state[i]]
        if ended[i]:
            belief[i] = 0.0
            belief[i, state[i]] = 1.0
            continue
        for k in range(belief.shape[1]):
            belief[i, k] *= emission[a, k, o]
        _normalise(belief[i], ending)


@njit(**_LOOPS)
def _measured(
    i, streams, means, sds, inverse, groups, presence, is_log, live, state, belief, seen, fit
):
    """Measure what happens to be measured, and weigh the belief in the live states by it."""
    s = state[i]
    n_channels, n_live = means.shape[1], len(live)
    for q in range(n_live):
        fit[q] = 0.0
    for g in range(presence.shape[0]):
        there = uniform(streams, i) < presence[g, s]
        for q in range(n_live):
            share = presence[g, live[q]]
            belief[i, live[q]] *= share if there else 1.0 - share
        for j in range(n_channels):
            if groups[j] != g:
                continue
            if not there:
                seen[i, j] = np.nan
                continue
            value = means[s, j] + sds[j] * normal(streams, i)
            seen[i, j] = np.exp(value) if is_log[j] else value
            precision = inverse[j]
            for q in range(n_live):
                away = (value - means[live[q], j]) * precision
                fit[q] -= 0.5 * away * away
    most = -np.inf
    for q in range(n_live):
        if belief[i, live[q]] > 0.0:
            most = max(most, fit[q])
    total = 0.0
    for q in range(n_live):
        k = live[q]
        if belief[i, k] > 0.0:
            belief[i, k] *= np.exp(fit[q] - most)
            total += belief[i, k]
    total = 1.0 / total
    for q in range(n_live):
        belief[i, live[q]] *= total


@njit(**_LOOPS)
def begin_measured(
    streams, initial, means, sds, groups, presence, is_log, ending, state, belief, seen
):
    """Draw first states and first measurements; arguments as for `step_measured`."""
    fit, inverse, live = np.empty(len(initial)), 1.0 / sds, np.flatnonzero(~ending)
    for i in range(len(streams)):
        state[i] = _drawn(initial, uniform(streams, i))
        belief[i] = initial
        _measured(
            i, streams, means, sds, inverse, groups, presence, is_log, live, state, belief, seen,
            fit,
        )  # fmt: skip


@njit(**_LOOPS)
def step_measured(
    actions, streams, active, transition, reward, means, sds, groups, presence, is_log, ending,
    state, belief, seen, gained, ended,
):  # fmt: skip
    """Take one step of every episode that is active, and of its exact belief.

    Parameters
    ----------
    means : (state, channel), sds : (channel,), of the values, or of their logs where `is_log`.
    groups : (channel,), channels that are measured together. presence : (group, state),
        probability that they are. seen : (episode, channel), NaN where nothing was measured.
    actions, streams, active, transition, reward, ending, state, belief, gained, ended : as for
        `step_discrete`.
    """
    n = belief.shape[1]
    ahead, fit = np.empty(n), np.empty(n)
    inverse, live = 1.0 / sds, np.flatnonzero(~ending)
    for i in range(len(actions)):
        gained[i] = 0.0
        if not active[i]:
            continue
        a, before = actions[i], state[i]
        after = _drawn(transition[a, before], uniform(streams, i))
        state[i] = after
        gained[i] = reward[a, before, after]
        ended[i] = ending[after]
        if ended[i]:
            for k in range(n):
                belief[i, k] = 0.0
            belief[i, after] = 1.0
            for j in range(seen.shape[1]):
                seen[i, j] = np.nan
            continue
        for k in live:
            total = 0.0
            for j in live:
                total += belief[i, j] * transition[a, j, k]
            ahead[k] = total
        for k in live:
            belief[i, k] = ahead[k]
        _measured(
            i, streams, means, sds, inverse, groups, presence, is_log, live, state, belief, seen,
            fit,
        )  # fmt: skip
