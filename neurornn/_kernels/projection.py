"""Closed-form elimination of event sizes and baseline; what is left depends on the kinetics.

Between two events the calcium is ``c gamma^i - d rho^i``: the decay ``gamma = exp(-dt / tau)``
and the rise ``rho = exp(-dt (1 / tau + 1 / tau_rise))``. An event within the frame adds p to c and
q to d, with ``phi p <= q <= p`` and ``phi = exp(-dt / tau_rise)``: two sizes in a cone are a free
size and a free time within the frame. ``rho < 0`` leaves the rise out: one free size per event.
"""

import numpy as np
from numba import njit

#: Share of the rise's own direction below which a stretch cannot tell it from the decay.
_ALIKE = 1e-10
#: What has decayed to this counts as nothing, long before numbers lose digits and speed.
_NOTHING = 1e-100


@njit(cache=True, nogil=True)
def stretch_sums(y, begin, end, gamma, rho):
    """Running sums of one stretch: pp, pq, qq, py, qy, yy of decay p, rise q and data y."""
    p, q = 1.0, 1.0 if rho >= 0.0 else 0.0
    pp, pq, qq, py, qy, yy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(begin, end):
        value = y[i]
        if not np.isnan(value):
            pp += p * p
            py += p * value
            yy += value * value
            if q > 0.0:
                pq += p * q
                qq += q * q
                qy += q * value
        p = p * gamma if p > _NOTHING else 0.0
        q = q * rho if q > _NOTHING else 0.0
    return pp, pq, qq, py, qy, yy


@njit(cache=True, nogil=True)
def fit_stretch(sums, rho, phi, carry_slow, carry_fast, free):
    """Sizes of one stretch by least squares, inside the cone unless `free`.

    Returns
    -------
    slow, fast : sizes c and d.
    square : residual sum of squares.
    ratio : q / p where it had to be held at an edge of the cone; -1 where both sizes are free, -2
        where there is one size (no rise, or too short a stretch to tell).
    """
    pp, pq, qq, py, qy, yy = sums
    if pp <= 0.0:
        return carry_slow, carry_fast, 0.0, -2.0
    rest = qq - pq * pq / pp
    if rho < 0.0:
        return py / pp, 0.0, yy - py * py / pp, -2.0
    if rest > _ALIKE * qq:
        ry = qy - pq / pp * py
        fast = -ry / rest
        slow = py / pp + pq / pp * fast
        square = yy - py * py / pp - ry * ry / rest
        if free:
            return slow, fast, square, -1.0
        p, q = slow - carry_slow, fast - carry_fast
        if p > 0.0 and phi * p <= q <= p:
            return slow, fast, square, -1.0
    elif free:
        return py / pp, 0.0, yy - py * py / pp, -2.0
    # Outside the cone: the better of its two edges.
    left = yy - 2 * carry_slow * py + 2 * carry_fast * qy
    left += carry_slow * carry_slow * pp - 2 * carry_slow * carry_fast * pq
    left += carry_fast * carry_fast * qq
    best, size, ratio = np.inf, 0.0, phi
    for r in (phi, 1.0):
        vv = pp - 2 * r * pq + r * r * qq
        vy = py - r * qy - carry_slow * (pp - r * pq) + carry_fast * (pq - r * qq)
        square = left - vy * vy / vv if vv > 1e-300 else left
        if square < best:
            best, ratio = square, r
            size = vy / vv if vv > 1e-300 else 0.0
    return carry_slow + size, carry_fast + ratio * size, best, ratio


@njit(cache=True, nogil=True)
def baseline_sums(y, knot, fraction, n_knots):
    """What the normal equations of the baseline hold before any size is eliminated.

    Returns
    -------
    gram : (n_knots, n_knots)
    cross : (n_knots,)
    energy : (n + 1,), running sum of the squares of y.
    """
    n = len(y)
    gram, cross = np.zeros((n_knots, n_knots)), np.zeros(n_knots)
    energy = np.zeros(n + 1)
    for i in range(n):
        value = y[i]
        energy[i + 1] = energy[i]
        if np.isnan(value):
            continue
        k, f = knot[i], fraction[i]
        energy[i + 1] += value * value
        cross[k] += (1 - f) * value
        gram[k, k] += (1 - f) * (1 - f)
        if k + 1 < n_knots:
            cross[k + 1] += f * value
            gram[k + 1, k + 1] += f * f
            gram[k, k + 1] += f * (1 - f)
            gram[k + 1, k] += f * (1 - f)
    return gram, cross, energy


@njit(cache=True, nogil=True)
def project_decays(
    y, starts, is_free, gamma, rho, phi, knot, fraction, n_knots, gram, cross, energy
):
    """Normal equations of the baseline once the sizes of every stretch have been eliminated.

    Parameters
    ----------
    y : (n,), the last baseline removed; NaN where a frame is missing.
    starts : (m,), increasing, ``starts[0] == 0``
        First frame of each stretch.
    is_free : (m,), bool; stretches that begin a block and carry nothing over.
    gamma, rho, phi : see the module.
    knot : (n,), int64
        The knot at or before each frame; the baseline is piecewise linear between knots.
    fraction : (n,)
        How far a frame lies towards the next knot, in [0, 1).
    n_knots : number of knots.
    gram, cross, energy : see `baseline_sums`; not changed.

    Returns
    -------
    gram : (n_knots, n_knots)
    cross : (n_knots,)
    square : the residual sum of squares for no change of the baseline
        ``square - cross @ solve(gram, cross)`` is the profiled residual sum of squares, for the
        edges of the cone that hold now.
    lost : number of sizes that were eliminated.

    References
    ----------
    Golub & Pereyra 1973, SIAM J. Numer. Anal. 10:413, doi:10.1137/0710036 (variable projection).
    """
    n, m = len(y), len(starts)
    gram, cross = gram.copy(), cross.copy()
    shape, other = np.zeros(n_knots), np.zeros(n_knots)
    total, lost = 0.0, 0
    carry_slow, carry_fast = 0.0, 0.0
    for s in range(m):
        begin = starts[s]
        end = starts[s + 1] if s + 1 < m else n
        first, last = knot[begin], min(knot[end - 1] + 1, n_knots - 1)
        for k in range(first, last + 1):
            shape[k] = 0.0
            other[k] = 0.0
        p, q = 1.0, 1.0 if rho >= 0.0 else 0.0
        pp, pq, qq, py, qy = 0.0, 0.0, 0.0, 0.0, 0.0
        i = begin
        while i < end:
            # As long as the knot is the same, its sums stay in registers.
            k = knot[i]
            sp, fp, sq, fq = 0.0, 0.0, 0.0, 0.0
            while i < end and knot[i] == k:
                value = y[i]
                if not np.isnan(value):
                    f = fraction[i]
                    pp += p * p
                    py += p * value
                    sp += p
                    fp += f * p
                    if q > 0.0:
                        pq += p * q
                        qq += q * q
                        qy += q * value
                        sq += q
                        fq += f * q
                p = p * gamma if p > _NOTHING else 0.0
                q = q * rho if q > _NOTHING else 0.0
                i += 1
            shape[k] += sp - fp
            other[k] += sq - fq
            if k + 1 < n_knots:
                shape[k + 1] += fp
                other[k + 1] += fq
        sums = (pp, pq, qq, py, qy, energy[end] - energy[begin])
        if is_free[s]:
            carry_slow, carry_fast = 0.0, 0.0
        slow, fast, square, ratio = fit_stretch(sums, rho, phi, carry_slow, carry_fast, is_free[s])
        total += square
        lost += _eliminate(
            gram, cross, shape, other, first, last, sums, ratio, carry_slow, carry_fast
        )
        carry_slow = slow * gamma ** (end - begin)
        carry_fast = fast * rho ** (end - begin) if rho >= 0.0 else 0.0
    return gram, cross, total, lost


@njit(cache=True, nogil=True)
def decay_tables(longest, gamma, rho):
    """Powers of the two poles and their running sums, ``(longest + 1, 9)``.

    Columns: the powers p and q; the sums over the frames before of pp, pq, qq, p, q, ip and iq.
    """
    out = np.zeros((longest + 1, 9))
    p, q = 1.0, 1.0 if rho >= 0.0 else 0.0
    for i in range(longest + 1):
        out[i, 0], out[i, 1] = p, q
        if i < longest:
            out[i + 1, 2] = out[i, 2] + p * p
            out[i + 1, 3] = out[i, 3] + p * q
            out[i + 1, 4] = out[i, 4] + q * q
            out[i + 1, 5] = out[i, 5] + p
            out[i + 1, 6] = out[i, 6] + q
            out[i + 1, 7] = out[i, 7] + i * p
            out[i + 1, 8] = out[i, 8] + i * q
        p = p * gamma if p > _NOTHING else 0.0
        q = q * rho if q > _NOTHING else 0.0
    return out


# Sums may be taken in any order, which lets the machine take several terms at once.
@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _weighted_sum(y, begin, end, weights):
    total = 0.0
    for i in range(end - begin):
        total += weights[i] * y[begin + i]
    return total


@njit(cache=True, nogil=True)
def project_seen(
    y, starts, is_free, gamma, rho, phi, knot, fraction, n_knots, gram, cross, energy
):
    """`project_decays` for a trace without missing frames, from tables instead of loops."""
    n, m = len(y), len(starts)
    gram, cross = gram.copy(), cross.copy()
    longest = n - starts[m - 1]
    for s in range(m - 1):
        longest = max(longest, starts[s + 1] - starts[s])
    tables = decay_tables(longest, gamma, rho)
    decay, rise = tables[:, 0].copy(), tables[:, 1].copy()
    # After so many frames nothing of a rise is left.
    risen = 0
    while risen < longest and rise[risen] > 1e-18:
        risen += 1
    shape, other = np.zeros(n_knots), np.zeros(n_knots)
    total, lost = 0.0, 0
    carry_slow, carry_fast = 0.0, 0.0
    for s in range(m):
        begin = starts[s]
        end = starts[s + 1] if s + 1 < m else n
        length = end - begin
        first, last = knot[begin], min(knot[end - 1] + 1, n_knots - 1)
        for k in range(first, last + 1):
            shape[k] = 0.0
            other[k] = 0.0
        at = begin
        while at < end:
            k = knot[at]
            until = end
            if knot[end - 1] != k:
                until = at
                while knot[until] == k:
                    until += 1
            a, b = at - begin, until - begin
            # The fraction grows evenly from frame to frame.
            slope = fraction[at + 1] - fraction[at] if until - at > 1 else 0.0
            base = fraction[at] - slope * a
            sp, sq = tables[b, 5] - tables[a, 5], tables[b, 6] - tables[a, 6]
            fp = base * sp + slope * (tables[b, 7] - tables[a, 7])
            fq = base * sq + slope * (tables[b, 8] - tables[a, 8])
            shape[k] += sp - fp
            other[k] += sq - fq
            if k + 1 < n_knots:
                shape[k + 1] += fp
                other[k + 1] += fq
            at = until
        pp, pq, qq = tables[length, 2], tables[length, 3], tables[length, 4]
        py = _weighted_sum(y, begin, end, decay)
        qy = _weighted_sum(y, begin, min(end, begin + risen), rise) if rho >= 0.0 else 0.0
        sums = (pp, pq, qq, py, qy, energy[end] - energy[begin])
        if is_free[s]:
            carry_slow, carry_fast = 0.0, 0.0
        slow, fast, square, ratio = fit_stretch(sums, rho, phi, carry_slow, carry_fast, is_free[s])
        total += square
        lost += _eliminate(
            gram, cross, shape, other, first, last, sums, ratio, carry_slow, carry_fast
        )
        carry_slow = slow * decay[length]
        carry_fast = fast * rise[length]
    return gram, cross, total, lost


@njit(cache=True, nogil=True)
def _eliminate(gram, cross, shape, other, first, last, sums, ratio, carry_slow, carry_fast):
    """Take the sizes of one stretch out of the normal equations; how many there were."""
    pp, pq, qq, py, qy, _ = sums
    if pp <= 0.0:
        return 0
    if ratio >= 0.0:
        vv = pp - 2 * ratio * pq + ratio * ratio * qq
        vy = py - ratio * qy
        vy -= carry_slow * (pp - ratio * pq) - carry_fast * (pq - ratio * qq)
        for k in range(first, last + 1):
            cross[k] -= carry_slow * shape[k] - carry_fast * other[k]
            shape[k] -= ratio * other[k]
        if vv > 1e-300:
            for k in range(first, last + 1):
                cross[k] -= shape[k] * vy / vv
                for j in range(first, last + 1):
                    gram[k, j] -= shape[k] * shape[j] / vv
        return 1
    for k in range(first, last + 1):
        cross[k] -= shape[k] * py / pp
        for j in range(first, last + 1):
            gram[k, j] -= shape[k] * shape[j] / pp
    if ratio != -1.0:
        return 1
    # The rise after the decay has been projected out of it.
    rest = qq - pq * pq / pp
    ry = qy - pq / pp * py
    for k in range(first, last + 1):
        other[k] -= pq / pp * shape[k]
    for k in range(first, last + 1):
        cross[k] -= other[k] * ry / rest
        for j in range(first, last + 1):
            gram[k, j] -= other[k] * other[j] / rest
    return 2


@njit(cache=True, nogil=True)
def profile_squares(
    y, starts, is_free, gamma, rho, phi, knot, fraction, n_knots, missing, gram, cross, energy
):
    """Residual sum of squares with every size and the baseline at their best.

    Parameters
    ----------
    missing : whether any frame is; the others see `project_decays`.

    Returns
    -------
    square : residual sum of squares.
    step : (n_knots,), what the heights of the baseline gain.
    lost : number of sizes that were eliminated.
    """
    if missing:
        gram, cross, square, lost = project_decays(
            y, starts, is_free, gamma, rho, phi, knot, fraction, n_knots, gram, cross, energy
        )
    else:
        gram, cross, square, lost = project_seen(
            y, starts, is_free, gamma, rho, phi, knot, fraction, n_knots, gram, cross, energy
        )
    # Knots that no frame tells from an event's decay stay where they are.
    ridge = 1e-9 * (1 + np.trace(gram) / n_knots)
    for k in range(n_knots):
        gram[k, k] += ridge
    step = _solved_in_parts(gram, cross)
    return square - cross @ step, step, lost


@njit(cache=True, nogil=True)
def _solved_in_parts(gram, cross):
    """Solution of the normal equations; knots of different stretches have nothing in common."""
    n = len(cross)
    out = np.empty(n)
    begin = 0
    while begin < n:
        reach, k = begin, begin
        while k <= reach:
            for j in range(n - 1, reach, -1):
                if gram[k, j] != 0.0:
                    reach = j
                    break
            k += 1
        end = reach + 1
        # Copies of slices stay contiguous, as the solver wants them.
        out[begin:end] = np.linalg.solve(gram[begin:end, begin:end].copy(), cross[begin:end])
        begin = end
    return out


@njit(cache=True, nogil=True)
def decay_sizes(y, starts, is_free, gamma, rho, phi):
    """Sizes, trace and residual sum of squares of every stretch, baseline removed before.

    Returns
    -------
    jumps : (m,), what each start adds to the decaying part (for a free one, all of it).
    rises : (m,), what it adds to the rising part.
    trace : (n,)
    squares : (m,), residual sum of squares within each stretch.
    """
    n, m = len(y), len(starts)
    jumps, rises, squares, trace = np.zeros(m), np.zeros(m), np.zeros(m), np.empty(n)
    carry_slow, carry_fast = 0.0, 0.0
    for s in range(m):
        begin = starts[s]
        end = starts[s + 1] if s + 1 < m else n
        if is_free[s]:
            carry_slow, carry_fast = 0.0, 0.0
        sums = stretch_sums(y, begin, end, gamma, rho)
        slow, fast, square, _ = fit_stretch(sums, rho, phi, carry_slow, carry_fast, is_free[s])
        jumps[s], rises[s], squares[s] = slow - carry_slow, fast - carry_fast, square
        p, q = slow, fast
        for i in range(begin, end):
            trace[i] = p - q
            p *= gamma
            q *= rho
        carry_slow = p
        carry_fast = q if rho >= 0.0 else 0.0
    return jumps, rises, trace, squares


@njit(cache=True, nogil=True)
def draw_decays(n, starts, jumps, rises, is_free, gamma, rho):
    """Trace of given events, (n,): what `decay_sizes` returns for the sizes it returns."""
    trace = np.zeros(n)
    m = len(starts)
    slow, fast = 0.0, 0.0
    for s in range(m):
        if is_free[s]:
            slow, fast = 0.0, 0.0
        slow += jumps[s]
        fast += rises[s]
        end = starts[s + 1] if s + 1 < m else n
        for i in range(starts[s], end):
            trace[i] = slow - fast
            slow *= gamma
            fast = fast * rho if rho >= 0.0 else 0.0
    return trace


@njit(cache=True, nogil=True)
def refine_starts(y, starts, is_free, gamma, rho, phi, reach, n_sweeps):
    """Move every event to the frame within `reach` where it fits best inside its cone.

    The two stretches that meet at the event are fitted anew for every place; sweeps run until
    nothing moves. `starts` is changed in place.
    """
    n, m = len(y), len(starts)
    left, right = np.empty((2 * reach + 1, 6)), np.empty((2 * reach + 1, 6))
    for _ in range(n_sweeps):
        moved = False
        carry_slow, carry_fast = 0.0, 0.0
        for s in range(1, m):
            begin = starts[s - 1]
            end = starts[s + 1] if s + 1 < m else n
            if is_free[s - 1]:
                carry_slow, carry_fast = 0.0, 0.0
            reached = 0 if is_free[s] else reach
            low, high = max(begin + 1, starts[s] - reached), min(end - 1, starts[s] + reached)
            _sums_up_to(y, begin, low, high, gamma, rho, left)
            _sums_from(y, low, high, end, gamma, rho, right)
            best, place = np.inf, starts[s]
            best_slow, best_fast = 0.0, 0.0
            # The present place first: another one must be better, not just as good.
            for step in range(2 * reached + 1):
                at = starts[s] + (step + 1) // 2 * (1 if step % 2 else -1)
                if at < low or at > high:
                    continue
                a, b, one, _ = fit_stretch(
                    _row(left, at - low), rho, phi, carry_slow, carry_fast, is_free[s - 1]
                )
                a *= gamma ** (at - begin)
                b *= rho ** (at - begin)
                _, _, two, _ = fit_stretch(_row(right, at - low), rho, phi, a, b, is_free[s])
                if one + two < best - 1e-9:
                    best, place, best_slow, best_fast = one + two, at, a, b
            if place != starts[s]:
                starts[s] = place
                moved = True
            carry_slow, carry_fast = best_slow, best_fast
        if not moved:
            break
    return starts


@njit(cache=True, nogil=True, inline="always")
def _row(sums, k):
    return sums[k, 0], sums[k, 1], sums[k, 2], sums[k, 3], sums[k, 4], sums[k, 5]


@njit(cache=True, nogil=True)
def _sums_up_to(y, begin, low, high, gamma, rho, out):
    """Row k of `out`: the sums of `stretch_sums` from `begin` to ``low + k``."""
    p, q = 1.0, 1.0 if rho >= 0.0 else 0.0
    pp, pq, qq, py, qy, yy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(begin, high + 1):
        if i >= low:
            k = i - low
            out[k, 0], out[k, 1], out[k, 2] = pp, pq, qq
            out[k, 3], out[k, 4], out[k, 5] = py, qy, yy
        value = y[i]
        if not np.isnan(value):
            pp += p * p
            py += p * value
            yy += value * value
            if q > 0.0:
                pq += p * q
                qq += q * q
                qy += q * value
        p = p * gamma if p > _NOTHING else 0.0
        q = q * rho if q > _NOTHING else 0.0


@njit(cache=True, nogil=True)
def _sums_from(y, low, high, end, gamma, rho, out):
    """Row k of `out`: the sums of `stretch_sums` from ``low + k`` to `end`."""
    pp, pq, qq, py, qy, yy = stretch_sums(y, high, end, gamma, rho)
    fast = max(rho, 0.0)
    weight = 1.0 if rho >= 0.0 else 0.0
    for i in range(high, low - 1, -1):
        if i < high:
            # One frame more at the front: all others have decayed by one frame.
            pp, pq, qq = gamma * gamma * pp, gamma * fast * pq, fast * fast * qq
            py, qy = gamma * py, fast * qy
            value = y[i]
            if not np.isnan(value):
                pp += 1.0
                py += value
                yy += value * value
                pq += weight
                qq += weight
                qy += weight * value
        k = i - low
        out[k, 0], out[k, 1], out[k, 2] = pp, pq, qq
        out[k, 3], out[k, 4], out[k, 5] = py, qy, yy
