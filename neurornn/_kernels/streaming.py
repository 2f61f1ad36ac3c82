"""One bin of a decoder: counts to features, then a linear map, a filter or a likelihood.

Every function works in the arrays it is given and allocates nothing; a decoder's prediction on a
whole recording runs the same steps, so stream and batch cannot drift apart.
"""

import numpy as np
from numba import njit

from neurornn._kernels.filtering import kalman_covariance, kalman_mean

#: What the watch over the units says of each.
LIVE, SILENT, STUCK, NOISY, DROPPED = 0, 1, 2, 3, 4

#: Powers of a count that a feature may be made of.
POWERS = (0.5, 1.0, 1.5, 2.0)
#: Relative change in a step below which a covariance is taken for steady.
SETTLED = 1e-13

#: Mean size of a standard normal number: where the running mean of the watch begins.
USUAL_SIZE = 0.8
#: Bins that a unit may miss before it is stood in for like one that fell silent.
LONGEST_ABSENCE = 10.0
#: A feature counts for no more there: one absurd count is forgotten within seconds.
LARGEST_SIZE = 1000.0

# Division by zero gives infinity, as in NumPy: a check for it would keep loops from vectors.
_LOOPS = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(**_LOOPS)
def transform_counts(counts, power, out):
    """Write counts to one of `POWERS` to out, by roots and products alone."""
    if power == 0.5:
        for i in range(len(out)):
            out[i] = np.sqrt(counts[i])
    elif power == 1.0:
        for i in range(len(out)):
            out[i] = counts[i]
    elif power == 2.0:
        for i in range(len(out)):
            out[i] = counts[i] * counts[i]
    else:
        for i in range(len(out)):
            out[i] = counts[i] * np.sqrt(counts[i])


@njit(**_LOOPS)
def watch_units(counts, features, silent, same, last, recent, absent, limits, pace, verdict):
    """Judge every unit by the bins so far; see `prepare_bin`. No branches: vectors run through.

    Returns
    -------
    n_changed, n_out : verdicts that changed, and units that are not live.
    """
    n_changed, n_out = 0, 0
    for i in range(len(counts)):
        c, z, before = counts[i], features[i], verdict[i]
        known = c == c
        absent[i] = 0.0 if known else absent[i] + 1.0
        n = silent[i] + 1.0 if c == 0.0 else 0.0
        m = same[i] + 1.0 if (c == last[i]) & (c != 0.0) else 0.0
        size = recent[i] + pace * (min(abs(z), LARGEST_SIZE) - recent[i])
        silent[i] = n if known else silent[i]
        same[i] = m if known else same[i]
        last[i] = c if known else last[i]
        recent[i] = size if known else recent[i]
        found = NOISY if recent[i] > limits[2, i] else LIVE
        found = STUCK if same[i] > limits[1, i] else found
        found = SILENT if (silent[i] > limits[0, i]) | (absent[i] > LONGEST_ABSENCE) else found
        found = DROPPED if before == DROPPED else found
        verdict[i] = found
        n_changed += 1 if found != before else 0
        n_out += 1 if found != LIVE else 0
    return n_changed, n_out


@njit(**_LOOPS)
def prepare_bin(
    counts, power, lowest, centre, inverse, smooth, features, watched, limits, verdict, fill,
    smoothing, pace, watch_pace,
):  # fmt: skip
    """Turn the counts of a bin into features, and watch over the units.

    A feature is the z-score of a power of the count. A unit that fell silent, is stuck at a value
    or fires as it never did is told from the others and stood in for.

    Parameters
    ----------
    counts : (unit,)
        NaN where a unit was not recorded; what is below `lowest` or infinite becomes NaN.
    power : of the count, one of `POWERS`.
    centre, inverse : (unit,)
        Mean and inverse sd of the transformed count; followed where `pace` is above 0. An inverse
        of 0 marks a unit without information.
    smooth : (unit,), features smoothed so far; replaced.
    features : (unit,); replaced.
    watched : (5, unit)
        Bins without a spike so far, bins at one same count so far, the count before, running mean
        of the size of the feature, bins so far in which it was not recorded; replaced.
    limits : (5, unit)
        Longest silence, longest stay at one count, largest running mean that are believed; the
        size that a feature is cut to, its count being NaN from there on; the largest inverse sd
        that is followed.
    verdict : (unit,), `LIVE`, `SILENT`, ...; replaced, but for `DROPPED`, which stays.
    fill : (unit, unit)
        Expected feature of a unit that is not live from those of the others, or (0, 0) for 0.
    smoothing : share of the smoothed feature that is kept from bin to bin.
    pace : share of centre and variance that is replaced in a bin.
    watch_pace : share of the running mean that is replaced in a bin; 0 to keep all verdicts.

    Returns
    -------
    n_changed : verdicts that changed.
    n_invalid : counts below `lowest` or infinite, or so large that their feature is infinite.
    """
    n, n_changed, n_invalid, n_missing, n_out = len(counts), 0, 0, 0, 0
    n_large = 0
    for i in range(n):
        # An infinite count would stay in the state of a filter for ever.
        low = (counts[i] < lowest) | (abs(counts[i]) == np.inf)
        n_invalid += 1 if low else 0
        counts[i] = np.nan if low else counts[i]
        n_missing += 1 if counts[i] != counts[i] else 0
    transform_counts(counts, power, features)
    for i in range(n):
        z = (features[i] - centre[i]) * inverse[i]
        n_large += 1 if abs(z) >= limits[3, i] else 0
        features[i] = z
    if n_large:
        for i in range(n):
            if abs(features[i]) == np.inf:
                n_invalid, n_missing = n_invalid + 1, n_missing + 1
                counts[i] = features[i] = np.nan
    if watch_pace > 0:
        n_changed, n_out = watch_units(
            counts, features, watched[0], watched[1], watched[2], watched[3], watched[4], limits,
            watch_pace, verdict,
        )  # fmt: skip
    else:
        for i in range(n):
            n_out += 1 if verdict[i] != LIVE else 0
    if n_large:
        for i in range(n):
            z, most = features[i], limits[3, i]
            if abs(z) > most:
                # No likelihood is that of a count like this.
                counts[i] = np.nan
                features[i] = most if z > 0 else -most
    if pace > 0:
        follow_units(features, verdict, pace, limits[4], centre, inverse)
    if n_missing or n_out:
        for i in range(n):
            kept = (features[i] == features[i]) & (verdict[i] == LIVE)
            features[i] = features[i] if kept else 0.0
    # A verdict that changed in this bin has no stand-in yet: the caller makes one and fills.
    if n_out and not n_changed:
        fill_in(verdict, fill, features)
    if smoothing > 0 and not n_changed:
        smooth_in(smoothing, smooth, features)
    return n_changed, n_invalid


@njit(**_LOOPS)
def follow_units(features, verdict, pace, largest, centre, inverse):
    """Move mean and variance of live and noisy units a little towards this bin.

    A noisy one is followed because its noise may be what was followed before: the sd shrinks in a
    long pause, and the first spikes after it are large in such an sd. `largest` (unit,) is the
    inverse sd that is not exceeded.
    """
    for i in range(len(features)):
        z = features[i]
        followed = verdict[i] == LIVE or verdict[i] == NOISY
        if not followed or inverse[i] == 0 or np.isnan(z):
            continue
        sd = 1 / inverse[i]
        centre[i] += pace * z * sd
        inverse[i] = min(1 / (sd * np.sqrt(max(1 + pace * (z * z - 1), 1e-6))), largest[i])


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def fill_in(verdict, fill, features):
    """Put the expected feature in for every unit that is not live.

    The columns of `fill` of those units are 0, so that what is put in for one does not count for
    the next.
    """
    if not len(fill):
        return
    for i in range(len(features)):
        if verdict[i] != LIVE:
            total, row = 0.0, fill[i]
            for j in range(len(features)):
                total += row[j] * features[j]
            features[i] = total


@njit(cache=True, nogil=True)
def smooth_in(smoothing, smooth, features):
    """Replace the features by their exponential average over time."""
    for i in range(len(features)):
        smooth[i] = smoothing * smooth[i] + (1 - smoothing) * features[i]
        features[i] = smooth[i]


@njit(**_LOOPS)
def survey_units(counts, power, centre, inverse, watch_pace, limits):
    """Longest silence, longest stay at one count, largest running mean of units that are well.

    Parameters
    ----------
    counts : (time, unit), NaN where a unit was not recorded.
    power, centre, inverse, watch_pace : as for `prepare_bin`.
    limits : (3, unit), raised to what is found.
    """
    n_bins, n = counts.shape
    features, watched = np.empty(n), np.zeros((5, n))
    watched[3] = USUAL_SIZE
    verdict, believed = np.zeros(n, np.int64), np.full((3, n), np.inf)
    for t in range(n_bins):
        transform_counts(counts[t], power, features)
        for i in range(n):
            features[i] = (features[i] - centre[i]) * inverse[i]
        watch_units(
            counts[t], features, watched[0], watched[1], watched[2], watched[3], watched[4],
            believed, watch_pace, verdict,
        )  # fmt: skip
        for i in range(n):
            limits[0, i] = max(limits[0, i], watched[0, i])
            limits[1, i] = max(limits[1, i], watched[1, i])
            limits[2, i] = max(limits[2, i], watched[3, i])


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def lagged_step(features, weights, pending, out):
    """One bin of a linear map of the last bins: ``out = sum_l weights[l] features[t - l]``.

    Parameters
    ----------
    features : (unit,)
    weights : (lag * output, unit), of the present bin first.
    pending : (lag, output)
        What bins already seen contribute to this output and those to come; moved on by one.
    out : (output,)
    """
    n_lags, n_out = pending.shape
    flat = pending.reshape(n_lags * n_out)
    for k in range(len(flat)):
        row, total = weights[k], 0.0
        for i in range(len(features)):
            total += row[i] * features[i]
        flat[k] += total
    for o in range(n_out):
        out[o] = flat[o]
    for k in range(len(flat) - n_out):
        flat[k] = flat[k + n_out]
    for k in range(len(flat) - n_out, len(flat)):
        flat[k] = 0.0


@njit(cache=True, nogil=True)
def linear_bin(
    features, weights, bias, coefficients, exponents, size, bounds, pending, between, powers, out
):
    """One bin of a Wiener filter, and of the polynomial behind it in a cascade.

    Parameters
    ----------
    features, weights, pending : as for `lagged_step`.
    bias : (output,)
    coefficients : (output, term); (output, 0) for a filter alone.
    exponents : (term, output)
        A term is the product of the filter's outputs, each to its exponent.
    size : (output,), by which the filter's outputs are divided before.
    bounds : (2, output)
        The filter's outputs are kept within them: a polynomial is nowhere beyond its data.
    between, powers : (output,), (output, degree + 1), scratch.
    out : (output,)
    """
    lagged_step(features, weights, pending, between)
    if not coefficients.shape[1]:
        for o in range(len(out)):
            out[o] = between[o] + bias[o]
        return
    for o in range(len(out)):
        x = min(max(between[o] + bias[o], bounds[0, o]), bounds[1, o]) / size[o]
        powers[o, 0] = 1.0
        for k in range(1, powers.shape[1]):
            powers[o, k] = powers[o, k - 1] * x
        out[o] = 0.0
    for k in range(len(exponents)):
        term = 1.0
        for o in range(len(out)):
            term *= powers[o, exponents[k, o]]
        for o in range(len(out)):
            out[o] += coefficients[o, k] * term


@njit(**_LOOPS)
def mark_left_out(features, counts, verdict, by_bin, left_out):
    """Say which units an observation must do without, and whether these are others than before.

    Parameters
    ----------
    features, counts, verdict : (unit,), of this bin.
    by_bin : whether a unit that is missing in this bin alone is left out as well.
    left_out : (unit,), 1 for those left out; replaced.
    """
    changed = False
    for i in range(len(verdict)):
        # A count too large to be one is missing as well, but its feature stands at its limit.
        missing = by_bin & (counts[i] != counts[i]) & (features[i] == 0.0)
        out = 1 if (verdict[i] != LIVE) | missing else 0
        changed |= out != left_out[i]
        left_out[i] = out
    return changed


@njit(cache=True, nogil=True)
def kalman_bin(
    features, weights, pending, matrices, vectors, settled, recorded, read, bias, out, seen
):
    """One bin of a Kalman filter on the features of the last bins.

    Few arrays, because each costs a call from Python some tens of nanoseconds.

    Parameters
    ----------
    features, weights, pending : as for `lagged_step`; the output is ``H' R^-1 y``.
    matrices : (9, state, state)
        Transition, process and information as for `kalman_covariance`; zeros, the information of
        a bin that was not recorded; the covariance that a long run comes to, NaN where it is not
        known; the covariance as it is, replaced; three for scratch.
    vectors : (6, state)
        Offset; the state, replaced; evidence and two more for scratch; ``H' R^-1 d`` of what the
        features are where the state is 0.
    settled : (1,)
        1 once the covariance is that of a long run, replaced; 2 where it is kept so for good.
    recorded : (lag + 1,)
        Which of the last bins were recorded, the oldest first, moved on by one: an observation
        counts `lag` bins after it was made.
    read, bias, out : (output, state), (output,), (output,)
        The output is ``read state + bias``.
    seen : False where the bin was not recorded: the state is only carried on.
    """
    lag = len(recorded) - 1
    for k in range(lag):
        recorded[k] = recorded[k + 1]
    recorded[lag] = seen
    seen = recorded[0]
    transition, process, covariance = matrices[0], matrices[1], matrices[5]
    information = matrices[2] if seen else matrices[3]
    offset, state, evidence = vectors[0], vectors[1], vectors[2]
    lagged_step(features, weights, pending, evidence)
    if seen:
        for k in range(len(evidence)):
            evidence[k] -= vectors[5, k]
    else:
        evidence[:] = 0.0
        settled[0] = 2 if settled[0] == 2 else 0
    if not settled[0]:
        change = kalman_covariance(transition, process, information, covariance, matrices[6:])
        if seen and change <= SETTLED:
            if matrices[4, 0, 0] == matrices[4, 0, 0]:
                covariance[:] = matrices[4]
            settled[0] = 1
    kalman_mean(transition, offset, covariance, information, evidence, state, vectors[3:5])
    read_state(state, read, bias, out)


@njit(cache=True, nogil=True)
def read_state(state, read, bias, out):
    """Read the output from the state: ``out = read state + bias``."""
    for o in range(len(out)):
        total = bias[o]
        for j in range(len(state)):
            total += read[o, j] * state[j]
        out[o] = total


@njit(cache=True, nogil=True)
def poisson_evidence(counts, verdict, log_rates, expected, log_likelihood):
    """Log-likelihood of the counts of live units in every state, up to a constant.

    Parameters
    ----------
    counts : (unit,), NaN where a unit was not recorded.
    verdict : (unit,), only live units count.
    log_rates, expected : (unit, state), log of the expected count and the count itself.
    log_likelihood : (state,), replaced.
    """
    for k in range(len(log_likelihood)):
        log_likelihood[k] = 0.0
    for i in range(len(counts)):
        c = counts[i]
        if verdict[i] != 0 or np.isnan(c):
            continue
        rates, means = log_rates[i], expected[i]
        for k in range(len(log_likelihood)):
            log_likelihood[k] += c * rates[k] - means[k]
