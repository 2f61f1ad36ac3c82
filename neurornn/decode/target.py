"""One of several targets from spike counts: naive Bayes that gathers evidence."""

from typing import ClassVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.errors import DataError
from neurornn.data.samples import Samples
from neurornn.decode.labels import LabelDecoder
from neurornn.decode.machines import Machine, PosteriorMachine
from neurornn.decode.place import rates_of
from neurornn.decode.setting_checks import only_counts
from neurornn.decode.stretches import Learned, cut, run_machine
from neurornn.io.saved import SavedContent

#: Seconds at the unit's mean rate that are added to every target.
PRIOR_SECONDS = 0.5


class TargetDecoder(LabelDecoder):
    """One of several targets from spike counts: Poisson naive Bayes that gathers evidence.

    Parameters
    ----------
    bin_size : s, width of the bins. By default that which labelled counts state, or else 0.1 with
        a warning.
    switching : probability that the target changes in a bin, or ``"auto"`` for that of the
        training labels. Bins without intention are a class like any other, under a label of
        their own.
    signal, smoothing, adaptation_tau, monitor_units, impute, n_folds, confidence_level
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

    switching: float | str

    def __init__(
        self,
        bin_size: float | None = None,
        *,
        switching: float | str = "auto",
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
    _papers: ClassVar[tuple[str, ...]] = ("santhanam_2006",)
    _settled = "set or read off the training labels"

    def _learn(self, bins: Samples) -> Learned:
        only_counts(self)
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
        return rates_of(
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
            "A probability from 0 to 1, or 'auto', was needed",
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
