"""Whether events follow one another too fast to be told apart, and what their sizes count."""

from typing import NamedTuple

import numpy as np
from scipy import optimize

from neurornn.calcium.increments import neighbours
from neurornn.calcium.trace_model import Array, Frames

#: Events a frame, by the fourth cumulant of the steps, from which a cell counts as dense. Cells
#: of known truth in which they were not told apart lie above 0.2, real ones below 0.1.
_DENSE = 0.15
#: And the share of the noise that is left which filtered noise would leave.
_LEFT = 0.7
#: By how much in a frame events may describe the trace better: where they were told apart it is
#: more than 0.4.
_AS_WELL = 0.05
#: Share of the steps' variance that must not be noise: else they do not show how dense events are.
_OWN = 0.4
#: Smallest sizes over the lower quartile: sizes that are whole multiples of one size end at it.
_FLOOR = 0.77
#: Frames by which the lowest and the lower quartile of places within a frame differ.
_SMEAR = 0.3
#: Fewest events whose sizes can show that.
_FEWEST = 20
_PASSES = 8
#: Share of the frames that show an event from which strings of events are judged.
_NOT_RARE = 0.05
#: Multiples up to which sizes are looked at, and the share of them that must lie within a fourth
#: of one; of any sizes half would.
_WHOLE = 3
_WHOLE_SHARE = 0.8


def dense_events(
    y: Array, blocks: Frames, tau: float, noise: float, dt: float, length: float
) -> float | None:
    """Events in a frame, where they overlap so much that the trace is as well filtered noise.

    Parameters
    ----------
    y : (n,), baseline removed; NaN where a frame is missing.
    blocks : (block, 2), the gapless stretches.
    tau : s, where the search for its decay starts.
    noise : sd that the fit in question leaves, in the unit of y.
    dt : s.
    length : description length of the fit in question, natural units.

    Returns
    -------
    Equal events in a frame by the variance and skewness of the steps, a rough number; None where
    they do not overlap so.

    Notes
    -----
    The trace is described once more without any event: an exponentially filtered Gaussian process
    in white noise, by its spectrum (Whittle 1953, Ark. Mat. 2:423, doi:10.1007/BF02590998). Where
    that leaves far less noise than the events do, and the steps are near normal, events were not
    told apart. How many there are in a frame follows from the cumulants of the steps: shot noise
    of equal events has a fourth cumulant of its squared variance over their number, and the cube
    of its variance over the square of its third cumulant is their number, too (Rice 1944, Bell
    Syst. Tech. J. 23:282, doi:10.1002/j.1538-7305.1944.tb00874.x).
    """
    before, after = neighbours(y, blocks)
    if len(before) < 50 or not tau > 0 or not noise > 0:
        return None
    if _per_frame(after - np.exp(-dt / tau) * before, 0.0)[0] < _DENSE:
        # Without the share of the noise there are fewer still.
        return None
    gamma, white, other = _filtered_noise(y, blocks, float(np.exp(-dt / tau)), noise)
    if white > _LEFT * noise or other > length + _AS_WELL * len(before):
        return None
    fourth, third = _per_frame(after - gamma * before, float(np.hypot(1, gamma)) * white)
    return third if fourth > _DENSE else None


def shot_noise(y: Array, blocks: Frames, tau: float, noise: float, dt: float) -> float:
    """Equal events in a frame by the variance and skewness of the steps, a rough number.

    Parameters
    ----------
    y : (n,), baseline removed; NaN where a frame is missing.
    blocks : (block, 2), the gapless stretches.
    tau, dt : s.
    noise : sd of the white noise, in the unit of y.
    """
    before, after = neighbours(y, blocks)
    gamma = float(np.exp(-dt / tau))
    return _per_frame(after - gamma * before, float(np.hypot(1, gamma)) * noise)[1]


def _per_frame(steps: Array, white: float) -> tuple[float, float]:
    """Equal events in a frame by the fourth and by the third cumulant; large where normal."""
    steps = steps - steps.mean()
    second = float(np.mean(steps**2))
    own = max(second - white**2, 0.0)
    if own < _OWN * second:
        return 0.0, 0.0
    # Of a normal distribution a cumulant is 0; four standard errors show no single events.
    n = len(steps)
    fourth = max(float(np.mean(steps**4)) - 3 * second**2, 4 * np.sqrt(24 / n) * second**2)
    third = max(float(np.mean(steps**3)), 4 * np.sqrt(6 / n) * second**1.5)
    return own**2 / max(fourth, 1e-300), own**3 / max(third**2, 1e-300)


def _filtered_noise(
    y: Array, blocks: Frames, gamma: float, noise: float
) -> tuple[float, float, float]:
    """Filtered noise by its spectrum: decay of a frame, sd of the white part, its length."""
    level = np.zeros(len(y))
    for a, b in blocks:
        seen = y[a:b][~np.isnan(y[a:b])]
        level[a:b] = seen.mean() if len(seen) else 0.0
    flat = np.nan_to_num(y - level)
    power = np.abs(np.fft.rfft(flat)[1:]) ** 2 / max(int(np.sum(~np.isnan(y))), 1)
    cosine = np.cos(2 * np.pi * np.arange(1, len(power) + 1) / len(flat))

    def misfit(x: Array) -> float:
        g = 1 / (1 + np.exp(-x[0]))
        spectrum = np.exp(x[1]) + np.exp(x[2]) / (1 - 2 * g * cosine + g**2)
        return float(np.sum(np.log(spectrum) + power / spectrum))

    driven = max(float(np.var(flat)) * (1 - gamma**2), 1e-12)
    start = np.array([np.log(gamma / (1 - gamma)), 2 * np.log(noise), np.log(driven)])
    options = {"xatol": 1e-3, "fatol": 1e-2, "maxiter": 400}
    with np.errstate(over="ignore"):
        found = optimize.minimize(misfit, start, method="Nelder-Mead", options=options)
    best = found.x
    # Half of the frames' squares over their variance are in both descriptions.
    length = float(found.fun) - len(power)
    return float(1 / (1 + np.exp(-best[0]))), float(np.exp(best[1] / 2)), length


def has_floor(sizes: Array, frames: float) -> bool:
    """Whether sizes end at a smallest one, as whole multiples of one size do.

    Parameters
    ----------
    sizes : (event,)
    frames : in one decay. When within its frame an event was smears its size by half a frame.
    """
    if len(sizes) < _FEWEST:
        return False
    lowest, low, few, quarter = np.percentile(sizes, [3, 5, 12, 25])
    floor = _FLOOR * np.exp(-_SMEAR / frames)
    if low > floor * quarter:
        return True
    # Where one in five is the smallest kind the lower quartile is not; but then sizes are whole.
    share = sizes / unit_size(sizes)
    share = share[share < _WHOLE + 0.5]
    whole = np.mean(np.abs(share - np.round(share)) < 0.25)
    return bool(lowest > floor * few and len(share) >= _FEWEST and whole > _WHOLE_SHARE)


def unit_size(sizes: Array) -> float:
    """Mean size of the smallest kind of event, where sizes are whole multiples of one."""
    unit = float(np.percentile(sizes, 10))
    for _ in range(_PASSES):
        unit = float(np.mean(sizes[sizes < 1.5 * unit]))
    return unit


class Count(NamedTuple):
    """How many events there were: the best number, the least and the most that is believed."""

    best: float
    least: float
    most: float


def apart(n_events: float, n_frames: float) -> float:
    """Events of which so many frames show one, were they dealt out at random.

    Two events of one frame are seen as one: of ``n`` in ``f`` frames ``f (1 - exp(-n / f))`` are.
    """
    if n_frames <= 0:
        return float(n_events)
    share = min(n_events / n_frames, 1 - 1e-6)
    return float(-n_frames * np.log1p(-share))


def strung_together(frames: Frames, n_frames: int) -> bool:
    """Whether events follow one another within two frames more often than by chance.

    Parameters
    ----------
    frames : (event,), increasing.
    n_frames : in which there could have been one.

    Notes
    -----
    Where they do and are not rare, a burst is as dense as the frames, and how many spikes fell
    into each of its frames is not known.
    """
    share = len(frames) / max(n_frames, 1)
    if share < _NOT_RARE or len(frames) < _FEWEST:
        return False
    by_chance = 1 - (1 - share) ** 2
    return bool(np.mean(np.diff(frames) <= 2) > 1.2 * by_chance + 0.05)
