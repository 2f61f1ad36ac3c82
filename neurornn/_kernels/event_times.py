"""Likelihood of a rise and a decay with the times of events averaged over, compiled.

An event that was found in frame k may have been in a frame before or after it, anywhere within the
frame, and may be two: each of these is a linear model of one or two sizes, whose squares follow
from running sums, and the likelihood of a stretch is the mean over them.
"""

import numpy as np
from numba import njit

from neurornn._kernels.projection import fit_stretch, stretch_sums

#: An event found in frame k may have begun so many frames before and after it, and a second one so
#: many frames after the first.
BEFORE, AFTER, APART = 2, 1, 5
#: Moments within a frame that stand for all: for one event, and for each of two.
_MOMENTS, _OF_TWO = 9, 3
#: Log share of the likelihood below which a pair is looked at in the middle of its frames alone.
_FAINT = -4.0
#: And below which nothing counts.
_NOTHING = -14.0


@njit(cache=True, nogil=True)
def marginal_likelihoods(y, starts, is_free, gamma, rho, phi, noise, share, size):
    """Log likelihood of every stretch, averaged over the times of its event, or of two.

    Parameters
    ----------
    y : (n,), baseline removed; NaN where a frame is missing.
    starts : (m,), frames in which events were found, and the first frames of blocks.
    is_free : (m,), whether a start is that of a block, whose sizes are free.
    gamma, rho, phi : decay, rise and their ratio in one frame, ``rho = gamma phi``.
    noise : sd of a frame.
    share : prior of a second event in a given frame.
    size : of the decaying part of an event, the width of the prior of its size.

    Returns
    -------
    (m,), up to a constant.

    Notes
    -----
    What earlier events left is that of the fit at these kinetics. The windows of neighbouring
    stretches meet `BEFORE` frames before the later start.
    """
    n, m = len(y), len(starts)
    moments = np.exp(np.log(phi) * (np.arange(_MOMENTS) + 0.5) / _MOMENTS)
    of_two = np.exp(np.log(phi) * (np.arange(_OF_TWO) + 0.5) / _OF_TWO)
    most = BEFORE + AFTER + APART + 1
    sums = np.empty((most, 6))
    logs = np.empty(most * (_MOMENTS + APART * _OF_TWO * _OF_TWO))
    out = np.zeros(m)
    precision, log_pair = 0.5 / noise**2, np.log(share)
    log_size = np.log(np.sqrt(2 * np.pi) * noise / size)
    # What earlier events leave at the start of a stretch, and of its window.
    slow_carry, fast_carry, slow_window, fast_window = 0.0, 0.0, 0.0, 0.0
    for s in range(m):
        begin = starts[s]
        window = begin
        if not is_free[s]:
            window = max(begin - BEFORE, starts[s - 1] + 1)
        following = starts[s + 1] if s + 1 < m else n
        end = following
        if s + 1 < m and not is_free[s + 1]:
            end = max(following - BEFORE, begin + 1)
        if is_free[s]:
            slow_carry, fast_carry = 0.0, 0.0
        whole = stretch_sums(y, begin, following, gamma, rho)
        slow, fast, _, _ = fit_stretch(whole, rho, phi, slow_carry, fast_carry, is_free[s])
        if is_free[s]:
            pp, pq, qq, py, qy, yy = stretch_sums(y, window, end, gamma, rho)
            square = yy - 2 * (slow * py - fast * qy)
            square += slow * slow * pp - 2 * slow * fast * pq + fast * fast * qq
            out[s] = -precision * square
        else:
            n_places = min(most, end - window)
            _sums_from(y, window, end, n_places, gamma, rho, slow_window, fast_window, sums)
            n_logs = _weigh(
                sums, n_places, begin - window + AFTER, end - window, gamma, rho, moments,
                of_two, precision, log_pair, log_size, logs,
            )  # fmt: skip
            out[s] = -precision * sums[0, 5]
            if n_logs > 0:
                highest = logs[:n_logs].max()
                total = 0.0
                for k in range(n_logs):
                    if logs[k] > highest + _NOTHING:
                        total += np.exp(logs[k] - highest)
                out[s] += highest + np.log(total)
        slow_carry = slow * gamma ** (following - begin)
        fast_carry = fast * rho ** (following - begin)
        slow_window = slow * gamma ** (end - begin)
        fast_window = fast * rho ** (end - begin)
    return out


@njit(cache=True, nogil=True)
def _sums_from(y, window, end, n_places, gamma, rho, slow, fast, sums):
    """Running sums from each of the first frames of a window on, what was left taken off."""
    last = window + n_places - 1
    sums[n_places - 1] = np.array(stretch_sums(y, last, end, gamma, rho))
    for k in range(n_places - 2, -1, -1):
        pp, pq, qq, py, qy, yy = sums[k + 1]
        value = y[window + k]
        one = 0.0 if np.isnan(value) else 1.0
        seen = 0.0 if np.isnan(value) else value
        sums[k, 0] = one + gamma * gamma * pp
        sums[k, 1] = one + gamma * rho * pq
        sums[k, 2] = one + rho * rho * qq
        sums[k, 3] = seen + gamma * py
        sums[k, 4] = seen + rho * qy
        sums[k, 5] = seen * seen + yy
    pp, pq, qq, py, qy, _ = sums[0]
    sums[0, 5] -= 2 * (slow * py - fast * qy)
    sums[0, 5] += slow * slow * pp - 2 * slow * fast * pq + fast * fast * qq
    for k in range(n_places):
        sums[k, 3] -= slow * sums[k, 0] - fast * sums[k, 1]
        sums[k, 4] -= slow * sums[k, 1] - fast * sums[k, 2]
        slow, fast = slow * gamma, fast * rho


@njit(cache=True, nogil=True)
def _weigh(
    sums, n_places, last, length, gamma, rho, moments, of_two, precision, log_pair, log_size, logs
):
    """Fill in the log weights of one event and of two at all times; how many there are."""
    n, best = 0, -np.inf
    n_first = min(n_places, last + 1)
    log_moment, log_of_two = -np.log(_MOMENTS), -np.log(_OF_TWO)
    for p in range(n_first):
        for k in range(_MOMENTS):
            square, cross = _against(sums[p], moments[k])
            if square > 0.0:
                logs[n] = precision * max(cross, 0.0) ** 2 / square + log_moment
                best = max(best, logs[n])
                n += 1
    middle = of_two[_OF_TWO // 2]
    for p in range(n_first):
        slow, fast = 1.0, 1.0
        for q in range(p + 1, min(p + APART + 1, n_places)):
            slow, fast = slow * gamma, fast * rho
            if length - q < 2:
                break
            gain, own = _gain_of_two(sums[p], sums[q], middle, middle, slow, fast)
            if precision * gain + log_pair < best + _NOTHING:
                continue
            weight = precision * gain + log_pair + min(log_size - 0.5 * np.log(own), 0.0)
            if weight < best + _FAINT:
                if gain > 0.0:
                    logs[n] = weight
                    n += 1
                continue
            for k in range(_OF_TWO):
                for j in range(_OF_TWO):
                    gain, own = _gain_of_two(sums[p], sums[q], of_two[k], of_two[j], slow, fast)
                    if gain > 0.0:
                        weight = precision * gain + log_pair + 2 * log_of_two
                        logs[n] = weight + min(log_size - 0.5 * np.log(own), 0.0)
                        n += 1
    return n


@njit(cache=True, nogil=True)
def _against(sums, ratio):
    """Squares of the response to an event at a moment, and its product with the data."""
    square = sums[0] - 2 * ratio * sums[1] + ratio * ratio * sums[2]
    return square, sums[3] - ratio * sums[4]


@njit(cache=True, nogil=True)
def _gain_of_two(first, second, early, late, slow, fast):
    """Squares that two events save, sizes at their best, and those of the second beside the first.

    The former is 0 where a size is not above 0. `slow` and `fast` are what decay and rise of the
    first leave at the second.
    """
    a, x = _against(first, early)
    b, z = _against(second, late)
    both = slow * (second[0] - late * second[1]) - early * fast * (second[1] - late * second[2])
    det = a * b - both * both
    if det <= 1e-10 * a * b:
        return 0.0, 1.0
    one, other = (b * x - both * z) / det, (a * z - both * x) / det
    if one <= 0.0 or other <= 0.0:
        return 0.0, 1.0
    return one * x + other * z, det / a
