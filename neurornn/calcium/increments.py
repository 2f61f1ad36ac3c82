"""Decay, level and noise of a busy trace from its steps: most frames merely decay."""

from typing import NamedTuple

import numpy as np

from neurornn.calcium.trace_model import Array, Frames

#: Share of the steps that the densest part of their distribution is looked for with.
_SHARE = 0.2
_MAX_ROUNDS = 12
#: Frames looked at: more say no more about where to start.
_MOST_FRAMES = 6000
#: Steps within so many sd of the mode are decays.
_INSIDE = 2.5
_GAMMA_BOUNDS = (0.05, 0.9998)


class Decays(NamedTuple):
    """What the frames without an event say: decay (s), level and noise in units of the trace."""

    tau: float
    level: float
    noise: float


def decays_of(y: Array, blocks: Frames, tau: float, dt: float) -> Decays | None:
    """Find the decay that most frames follow.

    Parameters
    ----------
    y : (n,); NaN where a frame is missing.
    blocks : (block, 2), the gapless stretches.
    tau : s, where the search starts.
    dt : s.

    Returns
    -------
    Decays, or None where too few frames follow one another.

    Notes
    -----
    Without an event ``y_k = g y_(k-1) + (1 - g) level + noise``; an event only adds to it. The
    line is that of the mode of the steps, refined by least squares over the steps beside it, as a
    regression on the mode (Yao & Li 2014, Scand. J. Stat. 41:656, doi:10.1111/sjos.12054). Needs
    a frame without an event now and then, however many events there are: where they follow one
    another faster than they decay, neither the lowest frames nor the median step show level and
    noise.
    """
    before, after = neighbours(y, blocks)
    if len(before) < 20:
        return None
    gamma, spread, crossing = float(np.exp(-dt / tau)), 0.0, 0.0
    for _ in range(_MAX_ROUNDS):
        steps = after - gamma * before
        mode = _mode(steps)
        left = mode - steps[steps < mode]
        spread = 1.4826 * float(np.median(left)) if len(left) else 0.0
        keep = np.abs(steps - mode) <= _INSIDE * spread
        x, z = before[keep], after[keep]
        across = x - x.mean() if len(x) else x
        if len(x) < 10 or not float(across @ across) > 0 or not spread > 0:
            return None
        slope = float(across @ (z - z.mean())) / float(across @ across)
        new = float(np.clip(slope, *_GAMMA_BOUNDS))
        crossing = float(z.mean() - new * x.mean())
        moved, gamma = abs(new - gamma), new
        if moved < 1e-5:
            break
    return Decays(
        tau=-dt / float(np.log(gamma)),
        level=crossing / (1 - gamma),
        noise=spread / float(np.sqrt(1 + gamma**2)),
    )


def neighbours(y: Array, blocks: Frames) -> tuple[Array, Array]:
    """Frames that follow one another, first and second."""
    first = np.concatenate([y[a : b - 1] for a, b in blocks])
    second = np.concatenate([y[a + 1 : b] for a, b in blocks])
    seen = np.flatnonzero(~(np.isnan(first) | np.isnan(second)))
    if len(seen) > _MOST_FRAMES:
        seen = seen[np.linspace(0, len(seen) - 1, _MOST_FRAMES).astype(int)]
    return first[seen], second[seen]


def _mode(values: Array) -> float:
    """Median of the narrowest interval that holds a share of the values."""
    ordered = np.sort(values)
    n = max(int(_SHARE * len(ordered)), 5)
    widths = ordered[n:] - ordered[:-n]
    at = int(np.argmin(widths))
    return float(np.median(ordered[at : at + n + 1]))
