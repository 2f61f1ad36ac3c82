"""Beliefs on a regular grid over the simplex: interpolation, and values of what can be done.

The simplex of K states is cut into congruent pieces (Freudenthal's triangulation) with corners at
multiples of 1 / M; a belief is the mean of K corners (Lovejoy 1991, Operations Research 39:162,
doi:10.1287/opre.39.1.162).
"""

import numpy as np
from numba import njit

_LOOPS = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(**_LOOPS)
def corners(belief, resolution, choose, index, weight):
    """Write a belief as a mean of corners.

    Parameters
    ----------
    belief : (state,), sums to 1. resolution : M.
    choose : (M + K, K + 1), binomial coefficients.
    index, weight : (state,), of the corners; filled.
    """
    n = len(belief)
    base, rest = np.empty(n), np.empty(n)
    order = np.empty(n, np.int64)
    tail = 0.0
    for i in range(n - 1, -1, -1):
        tail += belief[i]
        x = resolution * tail
        if i == 0:
            x = float(resolution)
        # A whole number that rounding has moved.
        near = np.rint(x)
        if abs(x - near) < 1e-9:
            x = near
        x = min(max(x, 0.0), float(resolution))
        base[i] = np.floor(x)
        rest[i] = x - base[i]
        order[i] = i
    # Largest remainder first; equal ones in their order.
    for i in range(1, n):
        k, j = order[i], i - 1
        while j >= 0 and rest[order[j]] < rest[k]:
            order[j + 1] = order[j]
            j -= 1
        order[j + 1] = k
    for v in range(n):
        if v > 0:
            base[order[v - 1]] += 1.0
        above = 1.0 if v == 0 else rest[order[v - 1]]
        # The first coordinate never moves: its remainder is 0 and comes last.
        weight[v] = above - rest[order[v]]
        rank = 0
        if weight[v] > 0.0:
            for i in range(1, n):
                rank += choose[int(base[i]) + n - 1 - i, n - i]
        index[v] = rank


@njit(**_LOOPS)
def lookahead(beliefs, transition, likelihood, gain, bonus, resolution, choose):
    """What every action and observation leads to from every belief.

    Parameters
    ----------
    beliefs : (point, state), of states that go on.
    transition : (action, state, next), likewise; rows sum to less than 1 where an episode may end.
    likelihood : (action, observation, state), of an observation in the state after the step.
    gain : (action, state), expected reward of the step itself. bonus : (observation,).

    Returns
    -------
    reward : (point, action), expected.
    chance : (point, action, observation), with which the episode goes on and that is seen.
    index, weight : (point, action, observation, state), the belief that follows.
    """
    n_points, n = beliefs.shape
    n_actions, n_seen = likelihood.shape[:2]
    reward = np.zeros((n_points, n_actions))
    chance = np.zeros((n_points, n_actions, n_seen))
    index = np.zeros((n_points, n_actions, n_seen, n), np.int32)
    weight = np.zeros((n_points, n_actions, n_seen, n))
    ahead, after, where = np.empty(n), np.empty(n), np.empty(n, np.int64)
    share = np.empty(n)
    for p in range(n_points):
        for a in range(n_actions):
            for k in range(n):
                ahead[k] = 0.0
            for j in range(n):
                reward[p, a] += beliefs[p, j] * gain[a, j]
                for k in range(n):
                    ahead[k] += beliefs[p, j] * transition[a, j, k]
            for o in range(n_seen):
                total = 0.0
                for k in range(n):
                    after[k] = ahead[k] * likelihood[a, o, k]
                    total += after[k]
                if total <= 0.0:
                    continue
                chance[p, a, o] = total
                reward[p, a] += total * bonus[o]
                for k in range(n):
                    after[k] /= total
                corners(after, resolution, choose, where, share)
                for k in range(n):
                    index[p, a, o, k] = where[k]
                    weight[p, a, o, k] = share[k]
    return reward, chance, index, weight


@njit(**_LOOPS)
def backup(value, discount, reward, chance, index, weight, best):
    """Value of each action at each point, given the value a step later; the best into `best`.

    Parameters
    ----------
    value : (corner,). discount : of a step.
    reward, chance, index, weight : from `lookahead`.
    best : (point, action), filled.
    """
    n_points, n_actions, n_seen, n = index.shape
    for p in range(n_points):
        for a in range(n_actions):
            total = 0.0
            for o in range(n_seen):
                if chance[p, a, o] > 0.0:
                    later = 0.0
                    for k in range(n):
                        later += weight[p, a, o, k] * value[index[p, a, o, k]]
                    total += chance[p, a, o] * later
            best[p, a] = reward[p, a] + discount * total
