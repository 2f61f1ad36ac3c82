"""Recurrent decoders: leaky networks, GRU and LSTM, trained in torch, run without it."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from neurornn._core.rng import RNG
from neurornn.data.samples import Samples
from neurornn.decode.base import Decoder
from neurornn.decode.labels import LabelDecoder
from neurornn.decode.machines import ChanceMachine, Machine, NetworkMachine
from neurornn.decode.movement import MovementDecoder
from neurornn.decode.network_training import machine_arrays, models_of, train_networks
from neurornn.decode.stretches import Learned
from neurornn.decode.wiener import mean_r2
from neurornn.io.saved import SavedContent


class _Networks(Decoder):
    """What recurrent decoders of numbers and of labels say of themselves, and keep in files."""

    _settled = "set by the schedule of the training"
    #: What one network is scored by.
    _score_name: str

    cell: str
    n_hidden: int
    n_seeds: int
    max_epochs: int | str
    window: int
    learning_rate: float
    weight_decay: float
    dropout: float
    unit_dropout: float
    tau: float | None
    power: float
    validation_fraction: float
    rng: RNG
    checkpoint: str | os.PathLike[str] | None
    progress: bool | Callable[[int, int], None]

    def _trained(self, bins: Samples, targets: NDArray[np.float64], objective: str) -> Learned:
        found = train_networks(self, bins, targets, objective)
        self.seed_scores_ = found.seed_scores
        if found.tau is not None:
            self.tau_ = found.tau
        return found.learned

    def networks(self) -> list[Any]:
        """Return the trained networks as models, for example for `nr.dynamics.find_fixed_points`.

        Returns
        -------
        list of `LeakyRNN`, `GRU` or `LSTM`
            One for each seed (and output, where these have networks of their own), whose step is a
            bin. Inputs are features as the decoder prepares them; an input of 0 is a bin in which
            no unit fires. Outputs are in the unit of the targets.

        Raises
        ------
        NotFittedError
        """
        check_is_fitted(self, "seed_scores_")
        return models_of(self._machine, self.bin_size_)

    def _held_out_how(self) -> str:
        return f"{100 * self.validation_fraction:g} % of the bins, held out in a few stretches"

    def _report_table(self) -> Any:
        table, s = super()._report_table(), self.seed_scores_.values
        sd = f" +- {np.std(s, ddof=1):.3f}" if len(s) > 1 else ""
        line = f"{self._score_name} of one network: {s.mean():.3f}{sd} ({len(s)} seeds)"
        return replace(table, notes=[*table.notes, line])

    def _settings_to_save(self) -> dict[str, Any]:
        given = super()._settings_to_save()
        rng = given["rng"] if isinstance(given["rng"], int) else None
        return {**given, "rng": rng, "checkpoint": None, "progress": False}

    def _to_saved(self) -> dict[str, Any]:
        saved = super()._to_saved()
        extra = {"seed_scores": self.seed_scores_}
        if self.cell == "leaky":
            extra["tau"] = self.tau_
        saved["tables"]["seeds"] = xr.Dataset(extra)
        return saved

    def _after_load(self, content: SavedContent) -> None:
        super()._after_load(content)
        seeds = content.tables["seeds"]
        self.seed_scores_ = seeds["seed_scores"]
        if "tau" in seeds:
            self.tau_ = seeds["tau"]


class RecurrentDecoder(_Networks, MovementDecoder):
    """Recurrent decoder: networks that listen to the history of the counts.

    Parameters
    ----------
    cell : ``"leaky"`` (units with a time constant in s), ``"gru"`` or ``"lstm"``.
    bin_size : s, width of the bins. By default that which labelled counts state, or else 0.05 with
        a warning.
    n_hidden : units of the network.
    n_seeds : networks that are trained, each from its own seed; the decoder is their mean.
    separate : train a network for every output, instead of one for all; twice the time, and with
        unit dropout better on movements that were not in the training.
    max_epochs : passes over the data; ``"auto"`` takes 40, or more where that makes fewer than
        2000 steps.
    window : bins of a training window, a fifth of which only warms the state up.
    learning_rate, weight_decay : of Adam; the rate falls to nothing along a cosine.
    dropout : probability of a hidden unit to be dropped before the read-out.
    unit_dropout : largest share of the recorded units that is silenced in a training window
        (`models.UnitDropout`): the decoder learns to go on without them, and scores higher on
        movements like those of the training. Set 0 where it must carry over to movements that were
        not in the training: a network that knows what usually comes then trusts it too much.
    tau : s
        Where the time constants of leaky units start, or the bias of the gates; None for a spread
        from the bin size to 1 s (leaky), and torch's own start (gru, lstm).
    power, signal, smoothing, adaptation_tau, monitor_units, impute, confidence_level
        As for `WienerFilter`; no powers are tried.
    validation_fraction : of the bins, held out in a few stretches
        Errors are measured and intervals calibrated there; nothing is chosen there.
    rng : int, Generator or None.
    checkpoint : path
        Folder in which every training is kept; a fit that was killed goes on from there.
    progress : show a progress bar in a terminal or a notebook, or a callable ``(done, total)``.

    Attributes
    ----------
    scores_ : Dataset over ``output``
        ``r2`` and ``rmse`` (unit of the target) of the mean of the networks on held-out bins.
    seed_scores_ : DataArray (seed,), R2 of every network by itself on the held-out bins.
    tau_ : DataArray (seed, hidden), s
        Time constants of a leaky decoder; the units of separate networks one after the other.
    chosen_ : epochs and the like.

    Notes
    -----
    The interval is as wide as held-out errors ask for, and wider where the networks disagree:
    errors are divided by ``sqrt(rms^2 + variance over networks)`` before they are ranked.
    Counts become z-scores; windows of them are shuffled and carry a warm-up, so that the state at
    a scored bin has a history. The stream and ``predict`` run the trained weights in compiled
    steps without torch: causal, with a state, without look-ahead.

    References
    ----------
    Sussillo et al. 2012, J Neural Eng 9:026027, doi:10.1088/1741-2560/9/2/026027; Glaser et al.
    2020, eNeuro 7, doi:10.1523/ENEURO.0506-19.2020; Sussillo et al. 2016, Nat Commun 7:13749,
    doi:10.1038/ncomms13749 (robustness).
    """

    separate: bool

    def __init__(
        self,
        cell: str = "lstm",
        *,
        bin_size: float | None = None,
        n_hidden: int = 200,
        n_seeds: int = 3,
        separate: bool = False,
        max_epochs: int | str = "auto",
        window: int = 50,
        learning_rate: float = 3e-3,
        weight_decay: float = 1e-4,
        dropout: float = 0.3,
        unit_dropout: float = 0.6,
        tau: float | None = None,
        power: float = 0.5,
        signal: str = "counts",
        smoothing: float = 0.0,
        adaptation_tau: float | None = None,
        monitor_units: bool = True,
        impute: str = "expected",
        validation_fraction: float = 0.1,
        n_folds: int = 5,
        confidence_level: float = 0.9,
        rng: RNG = 0,
        checkpoint: str | os.PathLike[str] | None = None,
        progress: bool | Callable[[int, int], None] = False,
    ) -> None:
        self._keep(locals())

    _papers: ClassVar[tuple[str, ...]] = ("sussillo_2012", "glaser_2020", "sussillo_2016")

    _score_name = "R2"

    @property
    def _apart(self) -> bool:
        return bool(self.separate)

    def _learn(self, bins: Samples) -> Learned:
        y = bins.targets
        assert y is not None
        self._centre, self._scale = np.nanmean(y, axis=0), np.nanstd(y, axis=0)
        scaled = (y - self._centre) / self._scale
        return self._trained(bins, scaled, "gaussian")

    def _machine_of(self, models: Sequence[Any], silent: NDArray[np.float64]) -> Machine:
        return NetworkMachine(*machine_arrays(models, self._scale, self._centre, silent))

    def _score_of(self, bins: Samples, held_out: NDArray[np.float64]) -> float:
        return mean_r2(bins.targets, held_out)


class RecurrentClassifier(_Networks, LabelDecoder):
    """Recurrent decoder of labels: one of several targets, or none, in every bin.

    Parameters, but for `separate`, and attributes are those of `RecurrentDecoder`, with
    ``recall``, ``accuracy`` and ``log_loss`` in ``scores_`` and ``classes_`` for the labels.
    Bins without intention are a class like any other, under a label of their own. `n_folds` is
    there because all decoders have it; the held-out bins are those of `validation_fraction`.

    References
    ----------
    Willett et al. 2021, Nature 593:249, doi:10.1038/s41586-021-03506-2.
    """

    def __init__(
        self,
        cell: str = "gru",
        *,
        bin_size: float | None = None,
        n_hidden: int = 100,
        n_seeds: int = 3,
        max_epochs: int | str = "auto",
        window: int = 50,
        learning_rate: float = 3e-3,
        weight_decay: float = 1e-4,
        dropout: float = 0.3,
        unit_dropout: float = 0.6,
        tau: float | None = None,
        power: float = 0.5,
        signal: str = "counts",
        smoothing: float = 0.0,
        adaptation_tau: float | None = None,
        monitor_units: bool = True,
        impute: str = "expected",
        validation_fraction: float = 0.1,
        n_folds: int = 5,
        confidence_level: float = 0.9,
        rng: RNG = 0,
        checkpoint: str | os.PathLike[str] | None = None,
        progress: bool | Callable[[int, int], None] = False,
    ) -> None:
        self._keep(locals())

    _papers: ClassVar[tuple[str, ...]] = ("willett_2021",)
    _score_name = "accuracy"
    _apart = False

    def _learn(self, bins: Samples) -> Learned:
        return self._trained(bins, np.eye(len(self.classes_))[self._codes], "categorical")

    def _machine_of(self, models: Sequence[Any], silent: NDArray[np.float64]) -> Machine:
        n = len(self.classes_)
        return ChanceMachine(*machine_arrays(models, np.ones(n), np.zeros(n), silent))

    def _score_of(self, bins: Samples, held_out: NDArray[np.float64]) -> float:
        known = np.isfinite(held_out).all(axis=1)
        return float(np.mean(held_out[known].argmax(axis=1) == self._codes[known]))
