"""Naive Bayes with a memory: spike counts to place, or to one of several targets."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from neurornn._core.checks import check_number, check_positive
from neurornn._core.confidence import Estimate, to_dataset
from neurornn._core.errors import DataError
from neurornn._core.status import Status
from neurornn.data.samples import Samples
from neurornn.decode.base import (
    Decoder,
    Learned,
    MovementDecoder,
    Stretch,
    cut,
    run_machine,
)
from neurornn.decode.machines import Machine, PosteriorMachine
from neurornn.decode.wiener import mean_r2
from neurornn.io.saved import SavedContent

#: Widths of the smoothing of rate maps that are tried, cells.
WIDTHS = (0.7, 1.0, 1.5, 2.0, 3.0, 4.0)
#: Cells along the longer side of the room.
CELLS_ACROSS = 40
#: Most cells of a map: more are the work of a position far away.
MOST_CELLS = 1_000_000
#: Seconds at the unit's mean rate that are added to every target.
PRIOR_SECONDS = 0.5
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
    signal, watch, n_folds, confidence_level
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
        watch: bool = True,
        stand_in: str = "mean",
        n_folds: int = 5,
        confidence_level: float = 0.9,
    ) -> None:
        self.bin_size = bin_size
        self.cell_size = cell_size
        self.map_width = map_width
        self.movement_prior = movement_prior
        self.estimate = estimate
        self.signal = signal
        self.smoothing = smoothing
        self.adaptation_tau = adaptation_tau
        self.watch = watch
        self.stand_in = stand_in
        self.n_folds = n_folds
        self.confidence_level = confidence_level

    _usual_width = 0.1
    _papers: ClassVar[tuple[str, ...]] = ("brown_1998", "zhang_1998")

    def _learn(self, bins: Samples) -> Learned:
        _only_counts(self)
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
        return _rates(machine, self.bin_size_, "place", coords)

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


def _rates(
    machine: Machine, bin_size: float, dim: str, coords: Mapping[Hashable, Any]
) -> xr.DataArray:
    """Rates behind the likelihood of a machine, (unit, `dim`), Hz."""
    return xr.DataArray(
        machine.arrays["expected"] / bin_size,
        dims=("unit", dim),
        coords=coords,
        attrs={"units": "Hz", "long_name": "firing rate"},
    )


def _only_counts(decoder: Decoder) -> None:
    if decoder.signal != "counts" or decoder.smoothing or decoder.adaptation_tau is not None:
        raise DataError(
            f"signal is {decoder.signal!r}, smoothing {decoder.smoothing} and adaptation_tau "
            f"{decoder.adaptation_tau}",
            "Counts as they are were needed: their likelihood is Poisson",
            "Leave these settings at their defaults",
        )


class LabelDecoder(ClassifierMixin, Decoder):
    """Base of decoders of labels; the outputs of a stream are chances, one per class.

    A chance has no error of its own: ``sd`` and ``interval`` of such a stream are NaN.
    """

    _labelled = True

    def _begin(self, bins: Samples, one: bool) -> None:
        super()._begin(bins, one)
        labels = bins.targets
        assert labels is not None
        if labels.ndim != 1:
            labels = labels.reshape(len(labels), -1)
            if labels.shape[1] != 1:
                raise DataError(
                    f"targets has shape {labels.shape}",
                    "One label for each bin was needed",
                    "Pass (time,) labels",
                )
            labels = labels[:, 0]
        if labels.dtype.kind == "f" and np.any(labels != np.round(labels)):
            raise DataError(
                f"Unknown label type: the targets are numbers such as {labels[0]:g}",
                "Labels of classes were needed, text or whole numbers",
                "For numbers take a KalmanFilter or a RecurrentDecoder",
            )
        self.classes_, self._codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(
                f"All {len(labels)} bins carry one label, {self.classes_[0]!r}: only one class",
                "At least two classes were needed",
                "Add another target, or bins without intention under a label of their own",
            )
        self.outputs_ = self.classes_

    def predict(
        self, counts: Any, *, trials: ArrayLike | None = None, return_interval: bool = False
    ) -> Any:
        """Return the label with the highest chance in every bin, (time,).

        Where no unit was recorded it is that of the bin before, as in the stream: a label cannot
        be missing. `predict_proba` is NaN there.

        Parameters
        ----------
        counts : as for `fit`.
        trials : (time,), label of the trial of each bin.
        return_interval : not for labels.
        """
        if return_interval:
            raise DataError(
                "An interval of a label was asked for",
                "return_interval=False was needed",
                "Take the chances from predict_proba",
            )
        check_is_fitted(self, "scores_")
        chances, _ = self._run(self._bins_of(counts, trials), False)
        return self.classes_[chances.argmax(axis=1)]

    def predict_proba(
        self, counts: Any, *, trials: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """Return the chance of every class in every bin, (time, class).

        NaN where no unit was recorded.
        """
        check_is_fitted(self, "scores_")
        bins = self._bins_of(counts, trials)
        chances, _ = self._run(bins, False)
        chances[~bins.seen] = np.nan
        return chances

    def score(self, counts: Any, targets: Any, *, trials: ArrayLike | None = None) -> float:
        """Return the share of bins with the right label, of those in which a unit was recorded."""
        check_is_fitted(self, "scores_")
        bins = self._bins_of(counts, trials, targets)
        chosen = self.classes_[self._run(bins, False)[0].argmax(axis=1)]
        right, seen = chosen == np.asarray(bins.targets).ravel(), bins.seen
        if not seen.any():
            raise DataError(
                "No bin has a unit that was recorded",
                "At least one bin with counts was needed for a score",
                "Check the counts for NaN",
            )
        return float(np.mean(right[seen]))

    def _account(self, bins: Samples, learned: Learned) -> None:
        known = np.isfinite(learned.held_out).all(axis=1)
        chances, codes = learned.held_out[known], self._codes[known]
        right = chances.argmax(axis=1) == codes
        loss = -np.log(np.maximum(chances[np.arange(len(codes)), codes], 1e-12))
        n = len(self.classes_)
        own = [right[codes == k].mean() if (codes == k).any() else np.nan for k in range(n)]
        self._rms, self._reach = np.full(n, np.nan), np.full(n, np.nan)
        self._growth, self._usual = np.zeros(n), np.stack([np.zeros(n), np.ones(n)])
        self.chosen_ = learned.chosen
        how = self._held_out_how()
        why = "a score of blocks, not an estimate"
        self.scores_ = to_dataset(
            [
                Estimate(
                    name="recall", value=np.array(own), units="1", method=how, reason=why,
                    long_name="share of the bins of a class that are found", dims=("output",),
                ),
                Estimate(
                    name="accuracy", value=float(right.mean()) if len(right) else np.nan,
                    units="1", long_name="share of right labels", method=how, reason=why,
                ),
                Estimate(
                    name="log_loss", value=float(loss.mean()) if len(loss) else np.nan,
                    units="nats", long_name="mean of -log chance of the true class", method=how,
                    reason=why,
                ),
            ],
            confidence_level=self.confidence_level,
            coords={"output": [str(c) for c in self.classes_]},
            status=[str(Status.OK)] * n,
            status_dims=("output",),
        )  # fmt: skip

    def _after_load(self, content: SavedContent) -> None:
        super()._after_load(content)
        self.classes_ = self.outputs_
        # Older files hold numbers here.
        self._rms, self._reach = (np.full(len(self.classes_), np.nan) for _ in range(2))


class TargetDecoder(LabelDecoder):
    """One of several targets from spike counts: Poisson naive Bayes that gathers evidence.

    Parameters
    ----------
    bin_size : s, width of the bins. By default that which labelled counts state, or else 0.1 with
        a warning.
    switching : chance that the target changes in a bin, or ``"auto"`` for that of the training
        labels. Bins without intention are a class like any other, under a label of their own.
    signal, smoothing, adaptation_tau, watch, stand_in, n_folds, confidence_level
        As for `PlaceDecoder`.

    Attributes
    ----------
    classes_ : labels.
    rates_ : DataArray (unit, target), Hz.
    scores_ : ``recall`` per class, ``accuracy`` and ``log_loss`` on held-out blocks.

    References
    ----------
    Santhanam et al. 2006, Nature 442:195, doi:10.1038/nature04968 (Poisson maximum likelihood).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> target = np.repeat(np.tile(["left", "none", "right"], 40), 10)
    >>> rates = {"left": [8, 1, 2], "none": [1, 1, 2], "right": [1, 8, 2]}
    >>> counts = rng.poisson(0.1 * np.array([rates[t] for t in target]))
    >>> TargetDecoder(bin_size=0.1).fit(counts[:900], target[:900]).score(
    ...     counts[900:], target[900:]) > 0.6
    True
    """

    def __init__(
        self,
        bin_size: float | None = None,
        *,
        switching: float | str = "auto",
        signal: str = "counts",
        smoothing: float = 0.0,
        adaptation_tau: float | None = None,
        watch: bool = True,
        stand_in: str = "mean",
        n_folds: int = 5,
        confidence_level: float = 0.9,
    ) -> None:
        self.bin_size = bin_size
        self.switching = switching
        self.signal = signal
        self.smoothing = smoothing
        self.adaptation_tau = adaptation_tau
        self.watch = watch
        self.stand_in = stand_in
        self.n_folds = n_folds
        self.confidence_level = confidence_level

    _usual_width = 0.1
    _papers: ClassVar[tuple[str, ...]] = ("santhanam_2006",)
    _settled = "set or read off the training labels"

    def _learn(self, bins: Samples) -> Learned:
        _only_counts(self)
        preparation, stretches = self._prepared(bins)
        held_out = np.full((len(bins.values), len(self.classes_)), np.nan)
        everything = np.arange(len(bins.values))
        for train, test in self._folds(bins, 1):
            if len(np.unique(self._codes[train])) == len(self.classes_):
                machine = self._machine_of(bins, train)
                held_out[test] = run_machine(machine, cut(stretches, test))[0]
        machine = self._machine_of(bins, everything)
        self.rates_ = self._rates_of(machine)
        n = len(self.classes_)
        chosen = {"switching": machine.settings["jump"] * (n - 1) / n}
        return Learned(machine, preparation, held_out, np.ones_like(held_out), chosen)

    def _rates_of(self, machine: Machine) -> xr.DataArray:
        return _rates(
            machine, self.bin_size_, "target", {"unit": self.units_, "target": self.classes_}
        )

    def _after_load(self, content: SavedContent) -> None:
        super()._after_load(content)
        self.rates_ = self._rates_of(self._machine)

    def _given_switching(self) -> float:
        given = self.switching
        if isinstance(given, int | float | np.number) and 0 <= given <= 1:
            return float(given)
        raise DataError(
            f"switching is {given!r}",
            "A chance from 0 to 1, or 'auto', was needed",
            "Pass the bin size over the mean time at a target",
        )

    def _machine_of(self, bins: Samples, rows: NDArray[np.intp]) -> PosteriorMachine:
        codes, counts, run = self._codes[rows], bins.values[rows], bins.run[rows]
        n = len(self.classes_)
        together = np.eye(n)[codes]
        known = np.isfinite(counts)
        spikes, exposure = np.nan_to_num(counts).T @ together, known.T.astype(float) @ together
        mean = spikes.sum(axis=1, keepdims=True) / np.maximum(
            exposure.sum(axis=1, keepdims=True), 1
        )
        prior = PRIOR_SECONDS / self.bin_size_
        expected = np.maximum((spikes + prior * mean) / (exposure + prior), 1e-6)
        follows = (run[1:] == run[:-1]) & (np.diff(rows) == 1)
        if self.switching == "auto":
            # Half a switch more than was seen: labels that never change within a trial would leave
            # the decoder without a way back in a stream that nobody resets.
            switched = float(np.sum(codes[1:][follows] != codes[:-1][follows]))
            jump = (switched + 0.5) / (float(np.sum(follows)) + 1.0) * n / (n - 1)
        else:
            jump = self._given_switching() * n / (n - 1)
        arrays = {
            "starts": np.arange(n + 1), "sources": np.arange(n), "chances": np.ones(n),
            "log_rates": np.log(expected), "expected": expected, "values": np.eye(n),
            "prior": np.bincount(codes, minlength=n) / len(codes),
        }  # fmt: skip
        return PosteriorMachine(arrays, {"jump": min(jump, 1.0), "estimate": "mean"})
