"""A recurrent network as a point process: its state is what it knows of the past."""

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from neurornn._core.checks import (
    check_choice,
    check_confidence_level,
    check_count,
    check_number,
    check_positive,
)
from neurornn._core.confidence import delta_interval, to_dataset
from neurornn._core.errors import ConvergenceWarning, DataError
from neurornn._core.quantities import Quantity
from neurornn._core.report import Table, parameters_table
from neurornn._core.rng import RNG, generator
from neurornn._core.status import Status
from neurornn._core.units import format_number
from neurornn.data.samples import Samples
from neurornn.io.saved import SavedContent
from neurornn.io.shell import keep_names
from neurornn.spikes.account import SpikeAccount, stretched_intervals
from neurornn.spikes.binned import BinnedSpikes
from neurornn.spikes.design import Design, lay_out
from neurornn.spikes.glm_fit import per_row
from neurornn.spikes.network_simulation import draw_from_network
from neurornn.spikes.simulation import stimulus_for
from neurornn.spikes.unit_fit import FEWEST

Array = NDArray[np.float64]

CELLS = ("leaky", "gru", "lstm", "vanilla")
#: Share of a training window that only warms the state up.
_WARM_UP = 0.2
#: Blocks of what is held out, for the interval of its score.
_BLOCKS = 10
_HELD_OUT = "on stretches that the training did not see; Student's t over their blocks"


class RecurrentPointProcess(SpikeAccount):
    """Spikes as a point process whose rate is read from the state of a recurrent network.

    Parameters
    ----------
    stimulus : name of a variable of the recording that drives the units; None for none.
    cell : ``"leaky"``, with a time constant for each hidden unit, ``"gru"``, ``"lstm"`` or
        ``"vanilla"``.
    n_hidden : hidden units.
    bin_size : s.

    Other Parameters
    ----------------
    feedback : the network sees what the units fired. Without, its rates follow stimulus and time
        alone, as those of a PSTH do.
    history : s; the network is shown the past of every unit through raised cosines as well. By
        default it sees the counts of the last bin alone, and keeps the rest itself.
    n_history : raised cosines of each unit.
    stimulus_duration : s; the network is shown the stimulus through raised cosines over so long.
        By default as it is in the bin.
    n_stimulus : raised cosines of each feature.
    distribution : of the count of a bin: ``"poisson"``, ``"bernoulli"`` for one spike at most, or
        ``"auto"``, the latter where no bin holds two spikes of a unit.
    window : s, length of a training window.
    validation_fraction : of the time, in stretches, held out to end the training and to score it.
    max_epochs : passes over the data.
    learning_rate, weight_decay : of Adam.
    batch_size : windows of a step.
    dropout : probability of a hidden unit to be dropped on its way out, in training; not of
        ``"vanilla"``.
    patience : epochs without a better score of what is held out, after which the training ends.
    unit : labels of the units to be fitted; all by default.
    confidence_level : of the interval of the score.
    rng : int, Generator or None: initial weights, order of the windows.
    progress : show a bar.

    Attributes
    ----------
    parameters_ : Dataset
        ``held_out_bits (unit)``, bits per spike on what was held out, with its interval;
        ``tau (hidden)``, s, of leaky units; ``status (unit)``.
    result_ : FitResult of the network; None once loaded.
    distribution_ : of the count of a bin that was used.

    Notes
    -----
    Output is the log of the expected count, or the log odds of a spike; what goes in for bin k are
    the stimulus of bin k and the counts of bin k - 1, so that the rate is one given the past. One
    network serves all units. Each run begins at rest.

    References
    ----------
    Pandarinath et al. 2018, Nat. Methods 15:805, doi:10.1038/s41592-018-0109-9 (networks behind
    Poisson counts); Truccolo et al. 2005, doi:10.1152/jn.00697.2004.

    Examples
    --------
    >>> from neurornn.simulate import simulate_spike_trains
    >>> rec = simulate_spike_trains(duration=20.0, rng=0)
    >>> rnn = RecurrentPointProcess(n_hidden=4, bin_size=0.002, max_epochs=2).fit(rec)
    >>> rnn.rates(rec).sizes["time"]
    10000
    """

    _quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            name="held_out_bits", units="bits", dims=("unit",),
            long_name="bits per spike above a constant rate", method=_HELD_OUT,
            reason="too few spikes were held out",
        ),
        Quantity(
            name="tau", units="s", dims=("hidden",), long_name="time constant of a hidden unit",
            method="trained", reason="training that ends early has no curvature to read",
        ),
    )  # fmt: skip
    _tables: ClassVar[Mapping[str, str]] = {"parameters": "parameters_", "scale": "scale_"}
    _kept: ClassVar[Mapping[str, str]] = {
        "features": "features_", "duration": "duration_", "distribution": "distribution_",
        "n_epochs": "n_epochs_",
    }  # fmt: skip
    _papers: ClassVar[tuple[str, ...]] = ("truccolo_2005", "kingma_2015")
    _packages: ClassVar[tuple[str, ...]] = ("numpy", "torch")

    def __init__(
        self,
        stimulus: str | None = None,
        *,
        cell: str = "leaky",
        n_hidden: int = 16,
        bin_size: float = 0.001,
        feedback: bool = True,
        history: float | None = None,
        n_history: int = 8,
        stimulus_duration: float | None = None,
        n_stimulus: int = 10,
        distribution: str = "auto",
        window: float = 1.0,
        validation_fraction: float = 0.15,
        max_epochs: int = 60,
        learning_rate: float = 0.005,
        weight_decay: float = 1e-3,
        batch_size: int = 16,
        dropout: float = 0.0,
        patience: int = 10,
        unit: Any = None,
        confidence_level: float = 0.95,
        rng: RNG = 0,
        progress: bool = False,
    ) -> None:
        self.stimulus = stimulus
        self.cell = cell
        self.n_hidden = n_hidden
        self.bin_size = bin_size
        self.feedback = feedback
        self.history = history
        self.n_history = n_history
        self.stimulus_duration = stimulus_duration
        self.n_stimulus = n_stimulus
        self.distribution = distribution
        self.window = window
        self.validation_fraction = validation_fraction
        self.max_epochs = max_epochs
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.dropout = dropout
        self.patience = patience
        self.unit = unit
        self.confidence_level = confidence_level
        self.rng = rng
        self.progress = progress

    def fit(self, X: Any, y: None = None, *, stimulus: Any = None) -> Self:
        """Train the network.

        Parameters
        ----------
        X : a recording with spikes, or counts, as `PointProcess.fit` takes them.
        y : not used.
        stimulus : (row,) or (row, feature), one row for each bin, in place of the variable that
            the setting names.

        Returns
        -------
        self

        Raises
        ------
        KindError, ShapeError, DataError, NameUnknownError, UnitError
            Spikes, counts, labels or a stimulus that do not fit; too few spikes.
        """
        import torch

        from neurornn import models
        from neurornn.training.batches import as_training_data
        from neurornn.training.one import fit_one
        from neurornn.training.settings import FitSettings

        self._check()
        bins, shown = self._take(X, stimulus, fitted=False)
        wanted = bins.positions(self.unit)
        self.sources_, self.units_ = bins.unit, bins.unit[wanted]
        keep_names(self, bins.unit if bins.units_named else None)
        self.n_features_in_, self.duration_ = len(bins.unit), float(bins.duration)
        self._shown = shown
        most = max(len(bins.rows[k]) for k in wanted)
        if most < FEWEST:
            raise DataError(
                f"At most {most} spikes of a unit came",
                f"{FEWEST} or more of one unit were needed",
                "Record for longer, or select units that fire",
            )
        self.distribution_ = self.distribution
        if self.distribution == "auto":
            alone = all(np.all(np.diff(bins.rows[k]) > 0) for k in wanted)
            self.distribution_ = "bernoulli" if alone else "poisson"
        inputs, targets = self._inputs(bins, shown), self._targets(bins, wanted)
        spread = np.where(inputs.std(axis=0) > 1e-9, inputs.std(axis=0), 1.0)
        self.scale_ = xr.Dataset(
            {"centre": ("input", inputs.mean(axis=0)), "scale": ("input", spread)},
            coords={"source": bins.unit},
        )
        held = self._held_out(bins)
        train, watch = (self._windows(bins, inputs, targets, part) for part in (~held, held))
        seed = int(generator(self.rng).integers(2**31 - 1))
        model = self._model(models, inputs.shape[1], len(wanted), seed)
        with torch.no_grad():
            mean = np.nanmean(np.where(held[:, None], np.nan, targets), axis=0)
            mean = np.clip(mean, 0.5 / len(targets), None)
            start = np.log(mean / (1 - np.minimum(mean, 0.99))) if self._one else np.log(mean)
            model.output_bias.copy_(torch.tensor(start, dtype=model.output_bias.dtype))
        settings = FitSettings(
            max_epochs=check_count(self.max_epochs, "max_epochs"), optimizer="adam",
            objective="bernoulli" if self._one else "poisson", learning_rate=self.learning_rate,
            weight_decay=self.weight_decay, batch_size=min(self.batch_size, len(train[0])),
            patience=check_count(self.patience, "patience"), rng=seed, refine=False,
            intervals=False,
        )  # fmt: skip
        with warnings.catch_warnings():
            # The schedule ends the training; its worth is measured on what is held out.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.result_: Any = fit_one(
                model, as_training_data(train, model), as_training_data(watch, model), settings,
                progress=self.progress,
            )  # fmt: skip
        self._network = self.result_.model
        self.n_epochs_ = int(self.result_.history.sizes["epoch"])
        self.parameters_ = self._table(bins, shown, wanted, held)
        return self

    def _check(self) -> None:
        check_confidence_level(self.confidence_level)
        check_choice(self.cell, "cell", CELLS)
        check_choice(self.distribution, "distribution", ("auto", "poisson", "bernoulli"))
        check_count(self.n_hidden, "n_hidden", most=100_000)
        check_number(self.validation_fraction, "validation_fraction", above=0.0, below=0.5)
        if check_number(self.dropout, "dropout", least=0.0, below=1.0) and self.cell == "vanilla":
            raise DataError(
                f"dropout={self.dropout:g} came with cell='vanilla'",
                "A cell with dropout was needed", "Pass cell='leaky', 'gru' or 'lstm'",
            )  # fmt: skip
        for name in ("window", "history", "stimulus_duration"):
            if getattr(self, name) is not None:
                check_positive(getattr(self, name), name, "s")

    def _inputs(self, bins: BinnedSpikes, shown: Array | None) -> Array:
        """What the network sees of each bin, (row, input): none of it of the bin's own spikes."""
        n = len(bins.unit)
        past = self.history if self.feedback else None
        layout = lay_out(
            bin_size=float(self.bin_size),
            features=list(self.features_) if self.stimulus_duration is not None else [],
            stimulus_duration=float(self.stimulus_duration or self.bin_size),
            n_stimulus=self.n_stimulus, n_trial=0, n_trial_bins=1,
            sources=[(k, str(u)) for k, u in enumerate(bins.unit.tolist())] if past else [],
            coupling_duration=float(past or self.bin_size), n_coupling=self.n_history, own=None,
            history=0.0, n_history=1,
        )  # fmt: skip
        columns = [Design(layout, bins, shown).block(slice(0, bins.n_rows))[:, 1:]]
        if shown is not None and self.stimulus_duration is None:
            columns.append(shown)
        counts = np.stack([bins.counts(k) for k in range(n)], axis=1)
        if not self.feedback:
            # A network needs an input: one that says nothing, where nothing is shown.
            return np.concatenate(
                [
                    *columns,
                    *([] if columns[0].size or shown is not None else [np.ones((bins.n_rows, 1))]),
                ],
                axis=1,
            )
        last = np.zeros_like(counts)
        last[1:] = np.where((bins.run[1:] == bins.run[:-1])[:, None], counts[:-1], 0.0)
        return np.concatenate([*columns, last], axis=1)

    def _targets(self, bins: BinnedSpikes, wanted: list[int]) -> Array:
        found = np.stack([bins.counts(k) for k in wanted], axis=1)
        found = np.minimum(found, 1.0) if self._one else found
        seen = np.stack([bins.usable(k) for k in wanted], axis=1)
        return np.where(seen, found, np.nan)

    def _held_out(self, bins: BinnedSpikes) -> NDArray[np.bool_]:
        """Bins that are held out: whole runs where there are many, else stretches of time."""
        runs = np.unique(bins.run)
        every = max(round(1 / self.validation_fraction), 2)
        if len(runs) >= 2 * every:
            return np.asarray(np.isin(bins.run, runs[every - 1 :: every]))
        n, parts = bins.n_rows, 4
        length = max(int(n * self.validation_fraction / parts), 1)
        held = np.zeros(n, dtype=bool)
        for k in range(1, parts + 1):
            end = round(n * k / parts)
            held[end - length : end] = True
        return held

    def _windows(
        self, bins: BinnedSpikes, inputs: Array, targets: Array, keep: NDArray[np.bool_]
    ) -> tuple[Array, Array, NDArray[np.bool_]]:
        scale = self.scale_
        samples = Samples(
            (inputs - scale["centre"].values) / scale["scale"].values, bins.run,
            np.arange(inputs.shape[1]), targets,
        ).pick(keep)  # fmt: skip
        n_rows = max(round(self.window / self.bin_size), 2)
        longest = int(np.diff(samples.blocks, axis=1).max())
        whole = longest <= n_rows
        warm = 0 if whole else int(_WARM_UP * n_rows)
        cut = samples.windows(min(n_rows, longest), warm, whole=whole)
        return cut.values, cut.targets, cut.mask

    def _model(self, models: Any, n_input: int, n_output: int, seed: int) -> Any:
        dt, n = float(self.bin_size), self.n_hidden
        common = {"dt": dt, "rng": seed}
        if self.cell == "vanilla":
            return models.VanillaRNN(n_input, n, n_output, **common)
        common["dropout"] = self.dropout
        if self.cell == "leaky":
            # From a bin to what a window holds, evenly over decades.
            tau = np.geomspace(dt, max(self.window, 5 * dt), n)
            return models.LeakyRNN(n_input, n, n_output, tau=tau, **common)
        kind = models.GRU if self.cell == "gru" else models.LSTM
        return kind(n_input, n, n_output, **common)

    def _table(
        self, bins: BinnedSpikes, shown: Array | None, wanted: list[int], held: NDArray[np.bool_]
    ) -> xr.Dataset:
        self._last: Any = None
        value, ci = np.full(len(wanted), np.nan), np.full((len(wanted), 2), np.nan)
        status = []
        for k, position in enumerate(wanted):
            y, level = bins.counts(position), np.log(self._hazard(bins, shown, k))
            use = held & bins.usable(position)
            n = y[use].sum()
            status.append(str(Status.OK if n >= FEWEST else Status.TOO_FEW_EVENTS))
            if n < FEWEST:
                continue
            gain = per_row(y[use], level[use], self._one)[0]
            constant = n / use.sum()
            constant = -np.log1p(-constant) if self._one else constant
            gain = gain - per_row(y[use], np.full(use.sum(), np.log(constant)), self._one)[0]
            blocks = np.array([b.sum() for b in np.array_split(gain, _BLOCKS)])
            scale = _BLOCKS / n / np.log(2)
            value[k] = blocks.mean() * scale
            error = blocks.std(ddof=1) / np.sqrt(_BLOCKS) * scale
            ci[k] = delta_interval(value[k], error, self.confidence_level, dof=_BLOCKS - 1)
        estimates = [self.quantity("held_out_bits").of(value, ci)]
        if self.cell == "leaky":
            network: Any = self._network
            tau = network.tau.detach().double().cpu().numpy()
            estimates.append(self.quantity("tau").of(np.broadcast_to(tau, (self.n_hidden,))))
        return to_dataset(
            estimates, confidence_level=self.confidence_level, coords={"unit": self.units_},
            status=status, status_dims=("unit",),
        )  # fmt: skip

    def _hazard(self, bins: BinnedSpikes, shown: Array | None, k: int) -> Array:
        """Expected count of fitted unit k in each bin, or its hazard, (row,)."""
        # All units come out of one run of the network: it is kept until other bins come.
        last = getattr(self, "_last", None)
        if last is None or last[0] is not bins:
            self._last = last = (bins, self._outputs(bins, shown))
        out = last[1][:, k]
        # -log(1 - p) of log odds is a softplus.
        found = np.logaddexp(0.0, out) if self._one else np.exp(np.minimum(out, 50.0))
        return np.asarray(np.maximum(found, 1e-300))

    def _outputs(self, bins: BinnedSpikes, shown: Array | None) -> Array:
        import torch

        x = self._inputs(bins, shown)
        x = (x - self.scale_["centre"].values) / self.scale_["scale"].values
        kind = next(self._network.parameters()).dtype
        edges = np.append(np.flatnonzero(np.diff(bins.run, prepend=-1)), bins.n_rows)
        lengths = np.diff(edges)
        out = np.empty((bins.n_rows, len(self.units_)))
        with torch.no_grad():
            # Runs of one length go side by side.
            for length in np.unique(lengths):
                rows = edges[:-1][lengths == length][:, None] + np.arange(length)
                found = self._network(torch.tensor(x[rows], dtype=kind)).output
                out[rows] = found.double().cpu().numpy()
        return out

    def _mean_counts(self, bins: BinnedSpikes, shown: Array | None, k: int) -> Array:
        mean = self._hazard(bins, shown, k)
        return -np.expm1(-mean) if self._one else mean

    def _log_likelihood(self, bins: BinnedSpikes, shown: Array | None, k: int) -> float:
        position = self._positions(bins)[k]
        level = np.log(self._hazard(bins, shown, k))
        use = bins.usable(position)
        return float(per_row(bins.counts(position)[use], level[use], self._one)[0].sum())

    def _rescaled(
        self, bins: BinnedSpikes, shown: Array | None, k: int, rng: np.random.Generator
    ) -> Array:
        position = self._positions(bins)[k]
        mean = np.where(bins.usable(position), self._hazard(bins, shown, k), 0.0)
        return stretched_intervals(mean, bins.rows[position], bernoulli=self._one, rng=rng)

    def simulate(
        self, duration: float | None = None, *, stimulus: Any = None, rng: RNG = None
    ) -> xr.Dataset:
        """Draw spikes from the network, each bin from what it drew before.

        Parameters
        ----------
        duration : s; by default that of the fit, or of the stimulus.
        stimulus : (row,) or (row, feature), one row for each bin; by default, until the model is
            saved, that of the fit.
        rng : int, Generator or None.

        Returns
        -------
        Dataset
            A recording with spikes of the units that were fitted; those that were not stay silent.

        Raises
        ------
        NotFittedError, ShapeError, DataError
        """
        check_is_fitted(self, "parameters_")
        shown, n_rows = stimulus_for(self, stimulus, duration)
        return draw_from_network(self, shown, n_rows, generator(rng))

    def _report_table(self) -> Table:
        head = [
            f"{self.cell} network of {self.n_hidden}, {len(self.units_)} units, "
            f"{format_number(self.duration_)} s in bins of {format_number(self.bin_size)} s, "
            f"{self.n_epochs_} epochs; counts are {self.distribution_}"
        ]
        return parameters_table(self.parameters_, "Recurrent point process", head=head)

    def _methods_sentence(self) -> str:
        return (
            f"The spikes of {len(self.units_)} units in bins of {format_number(self.bin_size)} s "
            f"were modelled by a {self.cell} network of {self.n_hidden} units with "
            f"{self.distribution_} outputs"
        )

    def _to_saved(self) -> dict[str, Any]:
        from neurornn.models.rebuild import dtype_of, weights_of

        content = super()._to_saved()
        network = {
            "class": type(self._network).__name__, "settings": dict(self._network.settings),
            "dtype": dtype_of(self._network),
        }  # fmt: skip
        content["settings"]["network"] = network
        content["weights"] = weights_of(self._network)
        return content

    def _after_load(self, content: SavedContent) -> None:
        from neurornn.models.rebuild import rebuilt

        network = content.settings["network"]
        self._network = rebuilt(
            network["class"], network["settings"], content.weights or {}, network["dtype"]
        )
        self.units_ = self.parameters_["unit"].values
        self.features_ = [str(f) for f in np.atleast_1d(self.features_)]
        self.sources_ = self.scale_["source"].values
        self.n_features_in_ = len(self.sources_)
        self._shown, self.result_ = None, None
