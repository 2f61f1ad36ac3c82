"""What a look at a trace tells before any fit: tops cut off, no noise, upside down."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Fraction of the frames, and number of them, at the largest value above which a trace is clipped.
SHARE, FEWEST = 0.01, 10
#: What is left of second differences when each is told from the one before; noise leaves all.
_NO_NOISE = 1e-3
#: Steps of so many sd are sharp; their cubes must sum to so many times as much downward, and more
#: than so few must be there.
_SHARP = 5.0
_MOST_DOWN, _FEWEST_DOWN = 3, 10


def is_clipped(trace: ArrayLike) -> bool:
    """Whether the tops of a trace were cut off, by a camera or a converter at its limit.

    Parameters
    ----------
    trace : (time,), any unit
        NaN where a frame is missing.

    Returns
    -------
    bool
        True where more than 1 % of the frames, and at least 10, sit at exactly the largest value,
        and more than twice as many as at the next lower one. A trace that never changes is not
        clipped.

    Notes
    -----
    Noise makes no two frames alike, so frames that share the largest value were cut off there,
    unless the scale is coarse: then they share lower values as well, and the largest is rare.
    A trace that was divided by a moving baseline, smoothed or resampled has no ties left: look at
    it before that. Cutting the tops off makes events look small and slow.

    Examples
    --------
    >>> import numpy as np
    >>> noise = np.random.default_rng(0).standard_normal(1000)
    >>> is_clipped(noise), is_clipped(np.minimum(noise, 1.5))
    (False, True)
    """
    values = np.asarray(trace, dtype=np.float64).ravel()
    seen = values[~np.isnan(values)]
    if not len(seen):
        return False
    top = seen.max()
    below = seen[seen < top]
    n_top = len(seen) - len(below)
    if not len(below) or n_top < FEWEST or n_top <= SHARE * len(seen):
        return False
    return bool(n_top > 2 * np.count_nonzero(below == below.max()))


def is_noise_free(y: NDArray[np.float64], blocks: NDArray[np.int64]) -> bool:
    """Whether a trace is a sum of decays and nothing else.

    Parameters
    ----------
    y : (n,); NaN where a frame is missing.
    blocks : (block, 2), the gapless stretches.

    Notes
    -----
    Second differences take level and slope away; of a decay each is the same share of the one
    before, of noise it is anything.
    """
    ahead, behind = [np.empty(0)], [np.empty(0)]
    for a, b in blocks:
        curve = np.diff(y[a:b], 2)
        behind.append(curve[:-1])
        ahead.append(curve[1:])
    x, z = np.concatenate(behind), np.concatenate(ahead)
    known = ~(np.isnan(x) | np.isnan(z)) & (x != 0)
    if known.sum() < 20:
        return False
    x, z = x[known], z[known]
    share = float(np.median(z / x))
    return bool(np.median(np.abs(z - share * x)) < _NO_NOISE * np.median(np.abs(x)))


def goes_down(y: NDArray[np.float64], blocks: NDArray[np.int64]) -> bool:
    """Whether the sharp steps of a trace lead down, as where fluorescence falls with calcium.

    Parameters
    ----------
    y : (n,); NaN where a frame is missing.
    blocks : (block, 2), the gapless stretches.

    Notes
    -----
    An event comes faster than it goes, so the largest steps lead its way: their cubes are summed.
    """
    up, down, n_down = 0.0, 0.0, 0
    for lag in (1, 2, 3):
        steps = np.concatenate([y[a + lag : b] - y[a : max(b - lag, a)] for a, b in blocks])
        steps = steps[~np.isnan(steps)]
        if not len(steps):
            continue
        sd = 1.4826 * float(np.median(np.abs(steps - np.median(steps))))
        up += float(np.sum(steps[steps > _SHARP * sd] ** 3))
        down -= float(np.sum(steps[steps < -_SHARP * sd] ** 3))
        n_down += int(np.sum(steps < -_SHARP * sd))
    return down > _MOST_DOWN * up and n_down > _FEWEST_DOWN
