"""A sequential autoencoder of spikes: single-trial rates from a generator in seconds."""

from collections.abc import Hashable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import (
    check_choice,
    check_confidence_level,
    check_count,
    check_interval,
    check_number,
    check_positive,
    check_rng,
)
from neurornn._core.confidence import to_dataset
from neurornn._core.errors import ConvergenceWarning
from neurornn._core.jobs import one_thread, progress_bar
from neurornn._core.quantities import Quantity
from neurornn._core.report import Table, parameters_table
from neurornn._core.rng import RNG, generator
from neurornn._core.status import Status
from neurornn._core.units import format_number
from neurornn._core.warning import warn_user
from neurornn.io.saved import SavedContent
from neurornn.spikes.autoencoder_sessions import ONE, SessionAccount, are_sessions, joined_labels
from neurornn.spikes.autoencoder_windows import Cut, hold_out
from neurornn.spikes.population import Population
from neurornn.spikes.unit_fit import FEWEST

Array = NDArray[np.float64]

GENERATORS = ("leaky", "gru")
#: Trials over which the gates of a generator are read.
_READ = 64
_HELD_OUT = (
    "of counts that were masked, each once, on trials that the training did not see; Student's t "
    "over their blocks"
)


class SequentialAutoencoder(SessionAccount):
    """Rates of single trials from a recurrent network that generates them: the idea of LFADS.

    Parameters
    ----------
    n_latent : factors, from which the log rates of all units are read.
    generator : ``"leaky"``, with a time constant for each hidden unit, or ``"gru"``, whose update
        gates are read as time constants.
    n_hidden : hidden units of the generator.
    controller : infer inputs that drive the generator within a trial. Without, a trial follows
        from its start alone.
    bin_size : s; by default that of the counts.

    Other Parameters
    ----------------
    n_encoder : hidden units of each direction of the encoder.
    n_initial : variables that set the start of the generator.
    n_inputs : inferred inputs, with `controller`.
    tau : (shortest, longest), s, between which the time constants of the hidden units start,
        evenly over decades; by default 2 bins and a window.
    window : s. Trials of more than one and a half windows, and recordings without trials, are cut
        into windows that overlap by a quarter; the rates of two fade into each other.
    validation_fraction : of the trials, held out to end the training and to score it; of the time
        where there are fewer than eight trials.
    max_epochs : passes over the data.
    batch_size : windows of a step.
    learning_rate : of Adam at the start; it falls along a cosine.
    patience : epochs without a better score of what is held out after which the training ends.
    weight_decay : of the recurrent weights of the generator, as in AdamW.
    clip_norm : largest norm of a gradient of the loss in nats per spike; None for no limit.
    coordinated_dropout : share of the counts that the encoder does not see in training. They are
        what is scored, so that nothing is gained by copying a count into its rate.
    unit_dropout : mean share of the units that it does not see in a trial at all, so that it
        learns to tell units that were not observed from the others.
    kl_weight : of the divergence of posterior and prior.
    kl_epochs : over which that weight rises to its value.
    n_draws : from the posterior, over which rates are averaged.
    confidence_level : of the interval of the score, and of rates.
    rng : int, Generator or None: initial weights, trials held out, everything that is drawn.
    progress : show a bar.

    Attributes
    ----------
    parameters_ : Dataset
        ``held_out_bits (unit)``, bits per spike on counts that were not seen, with its interval;
        ``tau (hidden)``, s, of the units of the generator; ``status (unit)``; with several
        sessions ``session (unit)``.
    history_ : Dataset
        ``loss`` and ``validation_loss`` of each epoch, nats per spike.
    sessions_ : names of the sessions, empty where counts came without.

    Notes
    -----
    An encoder, two gated networks that run ahead and back over a trial, gives a normal posterior
    of the start of the generator; from there the generator runs by itself. Its read-out, the
    factors, gives the log rate of each unit, and counts are Poisson. What is maximised is the
    evidence lower bound, where only those counts count that the encoder did not see; what is kept
    is a running mean of the weights. Where the loss is no longer finite, or leaps, the fit goes
    back to its last weights at half the learning rate; where that does not help, it ends with the
    status ``diverged``.

    Inferred inputs have a first-order autoregression as prior, with time constants that are
    learned. They are told by the encoder alone, which, other than in the paper, does not see the
    factors: all of a trial runs in three compiled loops.

    A unit that is NaN throughout was not observed, and is told from the others. Missing bins at
    the end of a trial are not read; the generator runs on through them, a forecast.

    References
    ----------
    Pandarinath et al. 2018, Nat. Methods 15:805, doi:10.1038/s41592-018-0109-9;
    Keshtkaran & Pandarinath 2019, NeurIPS 32, arXiv:1908.07896 (coordinated dropout).

    Examples
    --------
    >>> from neurornn.simulate import simulate_latent_population
    >>> counts = simulate_latent_population(8, 0.5, n_trials=20, rng=0)["counts"]
    >>> vae = SequentialAutoencoder(3, n_hidden=16, n_encoder=16, max_epochs=2).fit(counts)
    >>> vae.rates(counts).dims, vae.latents(counts).sizes["latent"]
    (('trial', 'time', 'unit'), 3)
    """

    _quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            name="held_out_bits", units="bits", dims=("unit",),
            long_name="bits per spike above a constant rate", method=_HELD_OUT,
            reason="too few spikes, or a single trial, were held out",
        ),
        Quantity(
            name="tau", units="s", dims=("hidden",),
            long_name="time constant of a hidden unit of the generator", method="trained",
            reason="training that ends early has no curvature to read",
        ),
    )  # fmt: skip
    _tables: ClassVar[Mapping[str, str]] = {"parameters": "parameters_", "history": "history_"}
    _kept: ClassVar[Mapping[str, str]] = {
        "session_units": "session_units_", "fitted_bin_size": "fitted_bin_size_",
        "n_epochs": "n_epochs_", "n_trials": "n_trials_", "fit_status": "fit_status_",
        "seed": "seed_",
    }  # fmt: skip
    _papers: ClassVar[tuple[str, ...]] = ("pandarinath_2018", "keshtkaran_2019", "kingma_2015")
    _packages: ClassVar[tuple[str, ...]] = ("numpy", "torch")

    def __init__(
        self,
        n_latent: int = 8,
        *,
        generator: str = "leaky",
        n_hidden: int = 64,
        controller: bool = False,
        bin_size: float | None = None,
        n_encoder: int = 64,
        n_initial: int = 16,
        n_inputs: int = 2,
        tau: tuple[float, float] | None = None,
        window: float = 1.0,
        validation_fraction: float = 0.15,
        max_epochs: int = 200,
        batch_size: int = 32,
        learning_rate: float = 0.004,
        patience: int = 60,
        weight_decay: float = 1e-4,
        clip_norm: float | None = 0.1,
        coordinated_dropout: float = 0.5,
        unit_dropout: float = 0.2,
        kl_weight: float = 0.5,
        kl_epochs: int = 50,
        n_draws: int = 32,
        confidence_level: float = 0.95,
        rng: RNG = 0,
        progress: bool = False,
    ) -> None:
        self.n_latent = n_latent
        self.generator = generator
        self.n_hidden = n_hidden
        self.controller = controller
        self.bin_size = bin_size
        self.n_encoder = n_encoder
        self.n_initial = n_initial
        self.n_inputs = n_inputs
        self.tau = tau
        self.window = window
        self.validation_fraction = validation_fraction
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.patience = patience
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm
        self.coordinated_dropout = coordinated_dropout
        self.unit_dropout = unit_dropout
        self.kl_weight = kl_weight
        self.kl_epochs = kl_epochs
        self.n_draws = n_draws
        self.confidence_level = confidence_level
        self.rng = rng
        self.progress = progress

    def fit(self, X: Any, y: None = None) -> Self:
        """Train the network.

        Parameters
        ----------
        X : counts (time, unit) or (trial, time, unit) with ``bin_size`` (s) in their attrs, a list
            of (time, unit) of any lengths, or a recording, counted in bins of the setting
            `bin_size`; NaN where nothing was observed. Several sessions, each with units of its
            own, are a dict of these by their names.
        y : not used.

        Returns
        -------
        self

        Raises
        ------
        KindError, ShapeError, DataError, UnitError
            No counts, no bin size or two, too few trials or too short ones.

        Warns
        -----
        ConvergenceWarning
            The training diverged; the best weights before are kept.
        """
        from neurornn.spikes.autoencoder_network import AutoencoderNetwork
        from neurornn.spikes.autoencoder_training import Trainer, Trials

        self._check()
        given = dict(X) if are_sessions(X) else {ONE: X}
        taken = self._take_all(given)
        self.sessions_ = list(given) if are_sessions(X) else []
        first = next(iter(taken.values()))
        first.name(self)
        self.session_units_ = {name: p.unit.tolist() for name, p in taken.items()}
        draw = np.random.default_rng(_seed_sequence(self.rng))
        n_window = self._n_window()
        train, watch, means = [], [], []
        for k, population in enumerate(taken.values()):
            counts, parts = population.counts, hold_out(
                population, self.validation_fraction, n_window, draw
            )  # fmt: skip
            train.append(_trials(Trials, parts[0], counts, k))
            watch.append(_trials(Trials, parts[1], counts, k))
            seen = np.isfinite(counts).sum(axis=0)
            # A silent unit has a rate below one spike in all that was seen.
            means.append(np.maximum(np.nansum(counts, axis=0), 0.5) / np.maximum(seen, 1))
        self.n_trials_ = sum(len(p.trials) for p in taken.values())
        self.seed_ = int(draw.integers(2**31 - 1))
        bounds = self._tau()
        network = AutoencoderNetwork(
            [len(p.unit) for p in taken.values()], dt=self.fitted_bin_size_,
            n_latent=int(self.n_latent), n_initial=int(self.n_initial),
            n_encoder=int(self.n_encoder), n_hidden=int(self.n_hidden),
            n_inputs=int(self.n_inputs) if self.controller else 0, generator=self.generator,
            tau=bounds, seed=self.seed_,
        )  # fmt: skip
        for k, mean in enumerate(means):
            network.set_level(k, mean)
        self._network: Any = network
        with one_thread():
            trainer = Trainer(network, train, watch, self._plan())
            with progress_bar(int(self.max_epochs), 0, self.progress, "epochs") as tick:
                trainer.run(tick)
            self._finish(trainer, train, watch)
        return self

    def _plan(self) -> Any:
        from neurornn.spikes.autoencoder_training import Plan

        return Plan(
            max_epochs=int(self.max_epochs), batch_size=int(self.batch_size),
            learning_rate=float(self.learning_rate), patience=int(self.patience),
            weight_decay=float(self.weight_decay),
            clip_norm=None if self.clip_norm is None else float(self.clip_norm),
            coordinated_dropout=float(self.coordinated_dropout),
            unit_dropout=float(self.unit_dropout), kl_weight=float(self.kl_weight),
            kl_epochs=int(self.kl_epochs), seed=self.seed_,
        )  # fmt: skip

    def _finish(self, trainer: Any, train: list[Any], watch: list[Any]) -> None:
        """Table, history and status of a training that has ended."""
        from neurornn.spikes.autoencoder_inference import score_held_out, time_constants

        network = self._network.eval()
        self.fit_status_, self.n_epochs_ = str(trainer.status), trainer.epoch
        if trainer.status == Status.DIVERGED:
            warn_user(
                f"The fit ended with status {trainer.status}. {trainer.status.remedy}",
                ConvergenceWarning,
            )
        epochs = np.arange(1, len(trainer.loss) + 1)
        about = {"units": "1", "long_name": "nats per spike of counts that were not seen"}
        self.history_ = xr.Dataset(
            {
                "loss": ("epoch", np.array(trainer.loss), about),
                "validation_loss": ("epoch", np.array(trainer.validation_loss), about),
            },
            coords={"epoch": epochs},
        )
        values, intervals, status = [], [], []
        for one, seen in zip(watch, train, strict=True):
            found = score_held_out(
                network, one, seed=self.seed_, confidence_level=self.confidence_level
            )
            few = found.n_spikes < FEWEST
            values.append(np.where(few, np.nan, found.bits))
            intervals.append(np.where(few[:, None], np.nan, found.interval))
            never = _never_known(seen)
            for k in range(len(few)):
                code = Status.TOO_FEW_EVENTS if few[k] else Status.OK
                code = Status.NO_DATA if never[k] else code
                status.append(str(Status.DIVERGED if trainer.status == Status.DIVERGED else code))
        tau = time_constants(network, train[0].pick(np.arange(min(_READ, len(train[0])))))
        method = "trained" if self.generator == "leaky" else "median of -dt / log(gate) over steps"
        labels: dict[Hashable, Any] = {"unit": joined_labels(list(self.session_units_.values()))}
        if self.sessions_:
            of = np.repeat(self.sessions_, [len(u) for u in self.session_units_.values()])
            labels["session"] = ("unit", of)
        self.parameters_ = to_dataset(
            [
                self.quantity("held_out_bits").of(
                    np.concatenate(values), np.concatenate(intervals)
                ),
                self.quantity("tau").of(tau, method=method),
            ],
            confidence_level=self.confidence_level, coords=labels, status=status,
            status_dims=("unit",),
        )  # fmt: skip

    def _check(self) -> None:
        check_confidence_level(self.confidence_level)
        check_choice(self.generator, "generator", GENERATORS)
        check_rng(self.rng)
        for name in ("n_latent", "n_hidden", "n_encoder", "n_initial", "n_inputs", "n_draws"):
            check_count(getattr(self, name), name, most=100_000)
        for name in ("max_epochs", "batch_size", "patience"):
            check_count(getattr(self, name), name)
        check_count(self.kl_epochs, "kl_epochs", 0)
        check_positive(self.window, "window", "s")
        check_positive(self.learning_rate, "learning_rate")
        check_number(self.validation_fraction, "validation_fraction", above=0.0, below=0.5)
        check_number(self.coordinated_dropout, "coordinated_dropout", least=0.0, below=1.0)
        check_number(self.unit_dropout, "unit_dropout", least=0.0, most=0.5)
        for name in ("weight_decay", "kl_weight"):
            check_number(getattr(self, name), name, least=0.0)
        if self.clip_norm is not None:
            check_positive(self.clip_norm, "clip_norm")
        if self.tau is not None:
            check_interval(self.tau, "tau", "s")

    def _n_window(self) -> int:
        """Bins of a window."""
        return max(round(self.window / self.fitted_bin_size_), 2)

    def _tau(self) -> tuple[float, float]:
        if self.tau is not None:
            return check_interval(self.tau, "tau", "s")
        return 2 * self.fitted_bin_size_, max(self.window, 4 * self.fitted_bin_size_)

    def _tell(self, population: Population, confidence_level: float | None) -> Any:
        from neurornn.spikes.autoencoder_inference import tell

        n_draws = int(self.n_draws)
        found = tell(
            self._network, population.counts, population.samples.blocks, self._session(),
            n_window=self._n_window(), seed=self.seed_, confidence_level=confidence_level,
            n_draws=n_draws if confidence_level is None else max(n_draws, 200),
        )  # fmt: skip
        # Of a unit that never was observed nothing was learned.
        own = [str(s) == Status.NO_DATA for s in self._of_session(self.parameters_["status"])]
        found.counts[:, own] = np.nan
        if found.interval is not None:
            found.interval[:, own] = np.nan
        return found

    def _report_table(self) -> Table:
        n_units = sum(len(u) for u in self.session_units_.values())
        several = f" of {len(self.sessions_)} sessions" if len(self.sessions_) > 1 else ""
        head = [
            f"{self.generator} generator of {self.n_hidden}, {self.n_latent} factors, {n_units} "
            f"units{several}, {self.n_trials_} trials in bins of "
            f"{format_number(self.fitted_bin_size_)} s, {self.n_epochs_} epochs"
        ]
        return parameters_table(self.parameters_, "Sequential autoencoder", head=head)

    def _methods_sentence(self) -> str:
        n_units = sum(len(u) for u in self.session_units_.values())
        inputs = f" and {self.n_inputs} inferred inputs" if self.controller else ""
        return (
            f"The counts of {n_units} units in bins of {self.fitted_bin_size_:g} s "
            f"were modelled by a sequential autoencoder with a {self.generator} generator of "
            f"{self.n_hidden} units, {self.n_latent} factors{inputs}, Poisson outputs and "
            "coordinated dropout"
        )

    def _to_saved(self) -> dict[str, Any]:
        content = super()._to_saved()
        content["settings"]["network"] = dict(self._network.settings)
        content["settings"]["sessions"] = list(self.sessions_)
        content["weights"] = {
            k: np.ascontiguousarray(v.detach().numpy())
            for k, v in self._network.state_dict().items()
        }
        return content

    def _after_load(self, content: SavedContent) -> None:
        import torch

        from neurornn.spikes.autoencoder_network import AutoencoderNetwork

        network = AutoencoderNetwork(**content.settings["network"])
        network.load_state_dict(
            {k: torch.as_tensor(np.asarray(v)) for k, v in (content.weights or {}).items()}
        )
        self._network = network.eval()
        self.sessions_ = [str(s) for s in content.settings["sessions"]]
        self.units_ = np.asarray(next(iter(self.session_units_.values())))
        self.n_features_in_ = len(self.units_)


def _trials(kind: Any, windows: Cut, counts: Array, session: int) -> Any:
    return kind.of(windows.of(counts), windows.lengths, session)


def _never_known(trials: Any) -> NDArray[np.bool_]:
    """Units of which nothing was observed, (unit,)."""
    if trials.known is None:
        return np.zeros(trials.counts.shape[2], dtype=bool)
    return np.asarray(~trials.known.numpy().any(axis=(0, 1)))


def _seed_sequence(rng: RNG) -> Any:
    """What a fit draws from, which leaves an integer seed as it is."""
    return generator(rng)
