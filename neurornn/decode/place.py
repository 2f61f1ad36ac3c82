"""Naive Bayes with a memory: spike counts to a place."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from neurornn._core.checks import check_number, check_positive
from neurornn._core.errors import DataError
from neurornn.data.samples import Samples
from neurornn.decode.machines import Machine, PosteriorMachine
from neurornn.decode.movement import MovementDecoder
from neurornn.decode.setting_checks import only_counts
from neurornn.decode.stretches import Learned, Stretch, cut, run_machine
from neurornn.decode.wiener import mean_r2
from neurornn.io.saved import SavedContent

#: Widths of the smoothing of rate maps that are tried, cells.
WIDTHS = (0.7, 1.0, 1.5, 2.0, 3.0, 4.0)
#: Cells along the longer side of the room.
CELLS_ACROSS = 40
#: Most cells of a map: more are the work of a position far away.
MOST_CELLS = 1_000_000
#: Chance of a jump to any place in a bin.
JUMP = 1e-4


class PlaceDecoder(MovementDecoder):
    """Position from spike counts: Poisson rate maps, and a prior of how the animal moves.

    Parameters
    ----------
    bin_size : s, width of the bins. By default that which labelled counts state, or else 0.1 with
        a warning.
    cell_size : unit of the position
        Side of a cell of the map; None for a fortieth of the longer side of the room.
    map_width : sd of the Gaussian that smooths the maps, in the unit of the position, or
        ``"auto"`` for the best on held-out blocks.
    movement_prior : carry the posterior from bin to bin; False decodes every bin by itself.
    estimate : ``"mean"`` of the posterior, or its ``"mode"``.
    adaptation_tau, smoothing : kept at None and 0: the counts themselves are read.
    signal, monitor_units, n_folds, confidence_level
        As for `WienerFilter`. A unit that is lost is left out of the likelihood.

    Attributes
    ----------
    scores_ : Dataset over ``output``
        ``r2`` and ``rmse`` (unit of the position) on held-out blocks; ``status``.
    maps_ : DataArray (unit, place), Hz, with the coordinates ``x_position``, ... of the places.
    chosen_ : what was chosen on held-out blocks.

    Notes
    -----
    Counts are Poisson with the rate of the map at the animal's place, independent of each other
    given the place; the place takes a Gaussian step in each bin, as wide as in the training data,
    among the places that were visited. Map and occupancy are smoothed alike, and one bin at the
    unit's mean rate is added at every place, smoothed like a bin that was spent there. A unit
    without a spike in training has a flat map: it says nothing of the place.

    References
    ----------
    Brown et al. 1998, J Neurosci 18:7411, doi:10.1523/JNEUROSCI.18-18-07411.1998; Zhang et al.
    1998, J Neurophysiol 79:1017, doi:10.1152/jn.1998.79.2.1017.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> place = 50 + 50 * np.sin(np.arange(3000) * 0.02)[:, None]
    >>> rates = 10 * np.exp(-((place - np.linspace(0, 100, 15)) ** 2) / 200)
    >>> counts = rng.poisson(0.1 * rates)
    >>> PlaceDecoder(bin_size=0.1).fit(counts[:2000], place[:2000]).score(
    ...     counts[2000:], place[2000:]) > 0.9
    True
    """

    cell_size: float | None
    map_width: float | str
    movement_prior: bool
    estimate: str

    def __init__(
        self,
        bin_size: float | None = None,
        *,
        cell_size: float | None = None,
        map_width: float | str = "auto",
        movement_prior: bool = True,
        estimate: str = "mean",
        signal: str = "counts",
        smoothing: float = 0.0,
        adaptation_tau: float | None = None,
        monitor_units: bool = True,
        impute: str = "mean",
        n_folds: int = 5,
        confidence_level: float = 0.9,
    ) -> None:
        self._keep(locals())

    _usual_width = 0.1
    _papers: ClassVar[tuple[str, ...]] = ("brown_1998", "zhang_1998")

    def _learn(self, bins: Samples) -> Learned:
        only_counts(self)
        if not isinstance(self.estimate, str) or self.estimate not in ("mean", "mode"):
            raise DataError(
                f"estimate is {self.estimate!r}", "'mean' or 'mode' was needed", "Pass 'mean'"
            )
        preparation, stretches = self._prepared(bins)
        room = _Room(bins, self.cell_size)
        widths: Sequence[float] = [w * room.side for w in WIDTHS]
        if not (isinstance(self.map_width, str) and self.map_width == "auto"):
            # Narrower than a hundredth of a cell is no smoothing, wider than the room no map.
            widths = [
                check_number(
                    self.map_width, "map_width", bins.units or "1", least=room.side / 100,
                    most=100 * room.side * max(room.shape),
                )
            ]  # fmt: skip
        folds = list(self._folds(bins, 1))
        best: tuple[float, float, Any, Any] | None = None
        for width in widths:
            held_out = np.full(room.position.shape, np.nan)
            spread = np.ones(room.position.shape)
            for train, test in folds:
                machine = self._machine_of(room, bins, stretches, train, width)
                held_out[test], spread[test] = run_machine(machine, cut(stretches, test))
            score = mean_r2(bins.targets, held_out)
            if best is None or not score <= best[0]:
                best = (score, width, held_out, spread)
        assert best is not None
        _, width, held_out, spread = best
        machine = self._machine_of(room, bins, stretches, np.arange(len(bins.values)), width)
        self.maps_ = self._maps_of(machine)
        return Learned(machine, preparation, held_out, spread, {"map_width": width})

    def _maps_of(self, machine: Machine) -> xr.DataArray:
        coords: dict[Hashable, Any] = {"unit": self.units_}
        for axis, at in zip("xyz", machine.arrays["values"].T, strict=False):
            coords[f"{axis}_position"] = ("place", at)
        return rates_of(machine, self.bin_size_, "place", coords)

    def _after_load(self, content: SavedContent) -> None:
        super()._after_load(content)
        self.maps_ = self._maps_of(self._machine)

    def _machine_of(
        self,
        room: "_Room",
        bins: Samples,
        stretches: Sequence[Stretch],
        rows: NDArray[np.intp],
        width: float,
    ) -> PosteriorMachine:
        used = np.zeros(len(room.cell), dtype=bool)
        used[rows] = True
        used &= room.cell >= 0
        places, expected = room.maps(bins.values, used, width)
        values = room.centres[places]
        n = len(values)
        if self.movement_prior:
            starts, sources, chances = room.steps(values, used, bins.run)
            jump = JUMP
        else:
            starts, sources, chances = np.arange(n + 1), np.arange(n), np.ones(n)
            jump = 1.0
        arrays = {
            "starts": starts, "sources": sources, "chances": chances,
            "log_rates": np.log(expected), "expected": expected, "values": values,
            "prior": np.full(n, 1 / n),
        }  # fmt: skip
        settings = {
            "jump": jump, "estimate": self.estimate, "least_spread": room.side / np.sqrt(12),
        }  # fmt: skip
        return PosteriorMachine(arrays, settings)


class _Room:
    """A grid over the positions that were visited."""

    def __init__(self, bins: Samples, side: float | None) -> None:
        assert bins.targets is not None
        self.position = bins.targets
        known = np.isfinite(self.position).all(axis=1)
        low, high = self.position[known].min(axis=0), self.position[known].max(axis=0)
        if self.position.shape[1] > 3:
            raise DataError(
                f"The position has {self.position.shape[1]} axes",
                "One, two or three were needed",
                "Pass the position alone; velocities are for a KalmanFilter",
            )
        reach = float((high - low).max())
        self.side = reach / CELLS_ACROSS if side is None else check_positive(side, "cell_size")
        if not self.side < reach:
            raise DataError(
                f"cell_size is {self.side:g} in a room of {reach:g}",
                "A cell smaller than the room was needed",
                "Check the unit of cell_size",
            )
        n_cells = float(np.prod(np.floor((high - low) / self.side) + 1))
        if n_cells > MOST_CELLS:
            raise DataError(
                f"cell_size is {self.side:g} in a room of {reach:g}, {n_cells:.3g} cells",
                f"At most {MOST_CELLS} cells were needed",
                "Pass a larger cell_size; does one position lie far outside the room?",
            )
        self.shape = tuple(np.floor((high - low) / self.side).astype(int) + 1)
        index = np.floor((np.where(known[:, None], self.position, low) - low) / self.side)
        index = np.clip(index.astype(int), 0, np.array(self.shape) - 1)
        self.cell = np.where(known, np.ravel_multi_index(tuple(index.T), self.shape), -1)
        grid = np.stack(np.unravel_index(np.arange(int(np.prod(self.shape))), self.shape), axis=1)
        self.centres = low + (grid + 0.5) * self.side

    def maps(
        self, counts: NDArray[np.float64], used: NDArray[np.bool_], width: float
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Places that were visited, and the expected count of each unit there (unit, place)."""
        n_cells = len(self.centres)
        cell, seen = self.cell[used], counts[used]
        visited = np.bincount(cell, minlength=n_cells)
        places = np.flatnonzero(visited)
        sd = width / self.side
        expected = np.empty((counts.shape[1], len(places)))
        for i in range(counts.shape[1]):
            known = np.isfinite(seen[:, i])
            here = np.bincount(cell[known], minlength=n_cells).astype(float)
            spikes = np.bincount(cell[known], weights=seen[known, i], minlength=n_cells)
            over = [
                ndimage.gaussian_filter(x.reshape(self.shape), sd, mode="constant").ravel()[places]
                for x in (spikes, here)
            ]
            mean = float(spikes.sum()) / max(float(here.sum()), 1.0)
            # One bin, of which a smoothed map holds as much as one bin spreads over cells.
            share = 1.0 / (2 * sd * np.sqrt(np.pi)) ** len(self.shape)
            if not spikes.any():
                # Over unequal occupancies even nothing is no flat map.
                expected[i] = 0.0
                continue
            expected[i] = (over[0] + share * mean) / (over[1] + share)
        return places, np.maximum(expected, 1e-9)

    def steps(
        self, values: NDArray[np.float64], used: NDArray[np.bool_], run: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Chances to come to each place from those near it, as sparse rows."""
        both = used[1:] & used[:-1] & (run[1:] == run[:-1])
        moved = np.diff(self.position, axis=0)[both]
        sd = float(np.sqrt(np.mean(moved**2))) if len(moved) else self.side
        sd = max(sd, self.side / 2)
        near = cKDTree(values).query_ball_point(values, 4 * sd)
        chances = [np.exp(-((values[k] - values[j]) ** 2).sum(axis=1) / (2 * sd**2))
                   for k, j in enumerate(near)]  # fmt: skip
        starts = np.concatenate([[0], np.cumsum([len(j) for j in near])]).astype(np.int64)
        sources = np.concatenate(near).astype(np.int64)
        flat = np.concatenate(chances)
        # What leaves a place sums to 1.
        leaving = np.bincount(sources, weights=flat, minlength=len(values))
        return starts, sources, flat / leaving[sources]


def rates_of(
    machine: Machine, bin_size: float, dim: str, coords: Mapping[Hashable, Any]
) -> xr.DataArray:
    """Rates behind the likelihood of a machine, (unit, `dim`), Hz."""
    return xr.DataArray(
        machine.arrays["expected"] / bin_size,
        dims=("unit", dim),
        coords=coords,
        attrs={"units": "Hz", "long_name": "firing rate"},
    )
