"""Rates by a Gaussian over the bins of each trial, and how wide it has to be."""

from collections import defaultdict
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d
from scipy.signal import oaconvolve

from neurornn.spikes.columns import expected_counts, poisson_weights
from neurornn.spikes.population_score import likelihood_sums

Array = NDArray[np.float64]

#: Widths that are tried, s, and how many of them between two that differ by a factor of 2.
_NARROWEST, _WIDEST, _PER_OCTAVE = 0.005, 2.0, 2
#: Standard deviations at which the Gaussian ends.
_REACH = 4.0
#: Spikes at the mean rate that are added to those under the Gaussian: no rate is 0.
_HALF = 0.5
#: Groups of units when the width for hidden units is looked for; most units of one that are told,
#: most that they are told from, most rows of a regression.
_N_GROUPS, _MOST_TOLD, _MOST_TELLING, _MOST_ROWS = 4, 8, 60, 8_000


class Tried(NamedTuple):
    """Widths that were tried.

    Attributes
    ----------
    grid : (width,), s, evenly spaced in their logarithm.
    gain : (width, block), log-likelihood, nats.
    """

    grid: Array
    gain: Array

    @property
    def best(self) -> int:
        """Position of the best one."""
        return int(np.argmax(self.gain.sum(axis=1)))

    def width(self, weight: Array | None = None) -> float:
        """Width of the largest likelihood, s; of blocks that count so often."""
        if len(self.grid) == 1:
            return float(self.grid[0])
        total = self.gain.sum(axis=1) if weight is None else self.gain @ weight
        return float(np.exp(peak_of(np.log(self.grid), total)))


def widths_between(bin_size: float, longest: float) -> Array:
    """Widths to try, s, for bins and the longest trial, s."""
    low = max(_NARROWEST, bin_size / 2)
    high = max(min(_WIDEST, longest), 2 * low)
    return np.geomspace(low, high, round(_PER_OCTAVE * np.log2(high / low)) + 1)


def try_on_own(
    counts: Array, trials: list[slice], bin_size: float, grid: Array, block: NDArray[np.int64],
    n_blocks: int,
) -> Tried:  # fmt: skip
    """Score widths by the likelihood of each count under the rate of the bins beside it.

    Parameters
    ----------
    counts : (row, unit), NaN where none was observed.
    trials : rows of each gapless run.
    bin_size : s.
    grid : (width,), s.
    block : (row,), number of the block, and how many there are.
    """
    mean = mean_counts(counts)
    gain = [
        likelihood_sums(
            smoothed_counts(counts, trials, width / bin_size, mean, leave_out=True), counts,
            block, n_blocks,
        )[:, 0].sum(axis=1)
        for width in grid
    ]  # fmt: skip
    return Tried(grid, np.array(gain))


def try_on_others(
    counts: Array, trials: list[slice], bin_size: float, grid: Array, block: NDArray[np.int64],
    n_blocks: int, penalty: float, draw: np.random.Generator,
) -> Tried:  # fmt: skip
    """Score widths by the likelihood of units told from others, on blocks left out of the fit.

    Parameters
    ----------
    counts, trials, bin_size, grid, block, n_blocks : as for `try_on_own`; two blocks or more.
    penalty : of the regression, nats.
    draw : which units are told together, and rows where there are many.

    Notes
    -----
    Units are dealt out over four groups, each of which is told from the others: two on the even
    blocks by regressions on the odd ones, two the other way.
    """
    order = draw.permutation(np.flatnonzero(np.nansum(counts, axis=0) > 0))
    groups = [order[k :: min(_N_GROUPS, len(order))] for k in range(min(_N_GROUPS, len(order)))]
    gain = np.zeros((len(grid), n_blocks))
    for side, group in enumerate(groups):
        telling = order[~np.isin(order, group)][:_MOST_TELLING]
        told = group[:_MOST_TOLD]
        known = np.isfinite(counts[:, telling]).all(axis=1)
        rows = np.flatnonzero(known & (block % 2 != side % 2))
        if len(rows) > _MOST_ROWS:
            rows = np.sort(draw.choice(rows, _MOST_ROWS, replace=False))
        scored = np.flatnonzero(known & (block % 2 == side % 2))
        own, mean = counts[:, telling], mean_counts(counts[:, telling])
        for k, width in enumerate(grid):
            level = np.log(smoothed_counts(own, trials, width / bin_size, mean))
            weights = poisson_weights(level[rows], counts[rows][:, told], penalty)
            sums = likelihood_sums(
                expected_counts(level[scored], weights), counts[scored][:, told], block[scored],
                n_blocks,
            )  # fmt: skip
            gain[k] += sums[:, 0].sum(axis=1)
    return Tried(grid, gain)


def mean_counts(counts: Array) -> Array:
    """Mean count of each unit, (unit,); that of half a spike where there is none."""
    known = np.isfinite(counts)
    total = np.where(known, counts, 0.0).sum(axis=0)
    return np.asarray(np.maximum(total, _HALF) / np.maximum(known.sum(axis=0), 1))


def smoothed_counts(
    counts: Array, trials: list[slice], sd: float, mean: Array, *, leave_out: bool = False
) -> Array:
    """Expected counts, (row, unit), by a Gaussian over the bins of each trial that were observed.

    Parameters
    ----------
    counts : (row, unit), NaN where none was observed.
    trials : rows of each gapless run.
    sd : of the Gaussian, bins.
    mean : (unit,), mean counts, which half a spike is added at.
    leave_out : each bin from all others alone.
    """
    reach = max(int(np.ceil(_REACH * sd)), 1)
    at = np.arange(-reach, reach + 1)
    taps = np.exp(-0.5 * (at / sd) ** 2)
    if leave_out:
        taps[reach] = 0.0
    # Of so many bins the Gaussian is worth, the sum of its squares says: spikes under it count so.
    worth = taps.sum() / max(float((taps**2).sum()), 1e-300)
    known = np.isfinite(counts)
    whole = bool(known.all())
    values = np.where(known, counts, 0.0)
    out = np.empty(counts.shape)
    alike: dict[int, list[slice]] = defaultdict(list)
    for trial in trials:
        alike[trial.stop - trial.start].append(trial)
    for n, some in alike.items():
        own = taps[max(reach - n + 1, 0) : reach + n]
        rows = np.concatenate([np.arange(t.start, t.stop) for t in some])
        x = values[rows].reshape(len(some), n, -1)
        seen = np.ones((1, n, 1)) if whole else known[rows].reshape(x.shape).astype(float)
        spikes, bins = worth * _under(x, own), worth * _under(seen, own)
        found = (spikes + _HALF) / (bins + _HALF / mean)
        out[rows] = found.reshape(len(rows), -1)
    return out


def _under(values: Array, taps: Array) -> Array:
    """Sum of values (trial, time, unit) under taps over time."""
    if len(taps) > 64:
        middle = len(taps) // 2
        wide = oaconvolve(values, taps[None, :, None], axes=1)
        # What the transform leaves of a 0 may lie below it.
        return np.maximum(wide[:, middle : middle + values.shape[1]], 0.0)
    return np.asarray(convolve1d(values, taps, axis=1, mode="constant"))


def peak_of(at: Array, values: Array) -> float:
    """Where a curve that is known at even places is largest, by a parabola through its top."""
    k = int(np.argmax(values))
    if k in (0, len(values) - 1):
        return float(at[k])
    left, top, right = values[k - 1 : k + 2]
    if 2 * top <= left + right:
        return float(at[k])
    return float(at[k] + 0.5 * (at[1] - at[0]) * (left - right) / (left - 2 * top + right))
