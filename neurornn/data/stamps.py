"""What the time stamps of frames say of their rate."""

import numpy as np
from numpy.typing import NDArray

from neurornn._core.checks import find_blocks


def rate_of_stamps(time: NDArray[np.float64]) -> float:
    """Frame rate in Hz over the whole line of frame times, not of the median step.

    Parameters
    ----------
    time : (time,), s, increasing, at least two. What lies between two stretches does not count.

    Examples
    --------
    >>> rate_of_stamps(np.round(np.arange(301) / 30, 3))  # stamps in whole ms: 33, 33, 34, ...
    30.0
    """
    blocks = find_blocks(time, float(np.median(np.diff(time))))
    taken = time[blocks[:, 1] - 1] - time[blocks[:, 0]]
    # Lost frames cut the line into stretches; a stamp is off by a tick only at their ends.
    # Ten digits: the rounding of sums of stamps is no property of the camera.
    return float(f"{(len(time) - len(blocks)) / taken.sum():.10g}")
