"""All units together: one train of all spikes, which unit fired, and pairs that fire together."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import stats

from neurornn.spikes.account import stretched_intervals
from neurornn.spikes.binned import BinnedSpikes

Array = NDArray[np.float64]

#: Fewest intervals, or spikes, that are tested.
FEWEST_TESTED = 20
#: Length of the bins in which two units are compared, s.
_TOGETHER = 0.01
#: Fewest times that two units are expected to fire together, for the pair to be tested.
_FEWEST_TOGETHER = 5.0
#: Cells (unit, bin of that length) above which pairs of units are not compared.
_MOST_PAIRED = 5e7


class Crowd:
    """All units together, of which each is added in turn.

    Parameters
    ----------
    bins : of the spikes.
    positions : of the units that are tested.
    """

    def __init__(self, bins: BinnedSpikes, positions: list[int]) -> None:
        self.bins, self.positions = bins, positions
        spikes = [bins.rows[p] for p in positions]
        rows = np.concatenate([*spikes, np.empty(0, np.int64)])
        owner = np.repeat(np.arange(len(positions)), [len(s) for s in spikes])
        order = np.argsort(rows, kind="stable")
        self.rows, self.owner = rows[order], owner[order]
        self.total = np.zeros(bins.n_rows)
        # Expected at each spike: of units before its own, and of its own.
        self.below, self.own = np.zeros(len(rows)), np.zeros(len(rows))
        wide = max(round(_TOGETHER / bins.bin_size), 1)
        self.edges = np.arange(0, bins.n_rows, wide)
        self.paired = len(positions) > 1 and len(positions) * len(self.edges) <= _MOST_PAIRED
        size = (len(positions), len(self.edges)) if self.paired else (0, 0)
        self.left, self.expected = np.empty(size), np.empty(size)

    def add(self, k: int, mean: Array) -> None:
        """Add a unit by the spikes that it is expected to fire in each bin, (row,)."""
        if len(self.positions) < 2:
            return
        self.total += mean
        at = mean[self.rows]
        self.below += np.where(k < self.owner, at, 0.0)
        self.own += np.where(k == self.owner, at, 0.0)
        if self.paired:
            counts = self.bins.counts(self.positions[k])
            self.expected[k] = np.add.reduceat(mean, self.edges)
            self.left[k] = np.add.reduceat(counts, self.edges) - self.expected[k]

    def together(self) -> Array:
        """How much more often two units fired together than expected, (unit, unit), in sd."""
        n = len(self.positions)
        if not self.paired:
            return np.full((n, n), np.nan)
        both = self.expected @ self.expected.T
        # Of a few that fall together by chance no standard deviation tells.
        spread = np.where(both >= _FEWEST_TOGETHER, np.sqrt(np.maximum(both, 1e-12)), np.nan)
        out = (self.left @ self.left.T) / spread
        np.fill_diagonal(out, np.nan)
        return np.asarray(out)

    def told(
        self, together: Array, labels: NDArray[Any], confidence_level: float,
        rng: np.random.Generator,
    ) -> xr.Dataset:  # fmt: skip
        """All units as one train, and which of them fired."""
        pairs = xr.Dataset(
            {"together": (("unit", "unit_"), together, {"units": "1"})},
            coords={"unit": labels, "unit_": labels},
        )
        if len(self.positions) < 2 or len(self.rows) < FEWEST_TESTED:
            return pairs
        ground = stretched_intervals(self.total, self.rows, bernoulli=False, rng=rng)
        share = self.below + rng.random(len(self.rows)) * self.own
        marks = np.clip(share / np.maximum(self.total[self.rows], 1e-300), 0.0, 1.0)
        found = [stats.kstest(u, "uniform") for u in (-np.expm1(-ground), marks)]
        band = float(stats.kstwo.ppf(confidence_level, len(self.rows)))
        about = {"units": "1"}
        return pairs.assign(
            population_statistic=("test", [float(f.statistic) for f in found], about),
            population_band=("test", [band, band], about),
            population_p_value=("test", [float(f.pvalue) for f in found], about),
        ).assign_coords(test=["ground", "marks"])
