"""Whether the tops of a trace were cut off."""

import numpy as np
from numpy.typing import ArrayLike

#: Fraction of the frames, and number of them, at the largest value above which a trace is clipped.
SHARE, FEWEST = 0.01, 10


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
