"""Sequential autoencoders: rates of a Lorenz population, and the time of an epoch.

Rates: settings in `timescale_settings`. Every method sees the training trials alone; the width of
the Gaussian and the number of principal components of the smoothed counts, on which a linear
account is built, are chosen on their last fifth; `PoissonDynamics` has five latents. The score is
the mean over units of 1 - SS(error) / SS(true rate), over all bins of the test trials.

An epoch: the network of the estimator's defaults beside the same written in plain torch: a
bidirectional `nn.GRU`, a loop over time for the generator, `nn.Linear` and `nn.functional`'s
Poisson loss, batches, masks, clipping and AdamW alike. Both in one process, in turn; the median of
ratios. The plain one starts from the weights of ours, and the loss of the first batch is the same.
"""

import time as clock
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import xarray as xr
from scipy.ndimage import gaussian_filter1d
from torch import Tensor, nn

import neurornn as nr
from neurornn.spikes.autoencoder_network import AutoencoderNetwork
from neurornn.spikes.autoencoder_training import Plan, Trainer, Trials, encoded

SEEDS = tuple(range(5))
RATE_COLUMNS = [
    "autoencoder", "gate", "goal", "PoissonDynamics", "components", "Gaussian", "held-out bits",
    "epochs", "fit, CPU s", "not ok",
]  # fmt: skip
SPEED_COLUMNS = ["ours, ms", "plain torch, ms", "ours / torch", "gate", "goal", "same loss to"]
#: bins, sd of the Gaussian; components of the linear account.
WIDTHS, COMPONENTS = (2, 3, 4, 5, 6, 8, 10, 12, 16), (1, 2, 3, 4, 5, 6, 8)
#: Trials, bins, units of an epoch; generator.
SHAPES = (
    (320, 100, 30, "leaky", False), (320, 100, 30, "gru", False), (320, 100, 30, "leaky", True),
    (200, 100, 100, "leaky", False),
)  # fmt: skip
REPEATS = 7


def lorenz_population(seed: int) -> xr.Dataset:
    """30 units of 10 Hz that follow Lorenz's system, 400 trials of 1 s in bins of 10 ms."""
    return nr.simulate.simulate_lorenz_population(rng=np.random.default_rng([seed, 26]))


def rate_rows() -> Iterator[list[str]]:
    """One row per seed, and their mean."""
    found = []
    for seed in SEEDS:
        rec = lorenz_population(seed)
        counts, truth = rec["counts"], rec["rate_true"].values
        n_train = counts.sizes["trial"] * 4 // 5
        train, test = counts[:n_train], counts[n_train:]
        begin = clock.process_time()
        vae = nr.spikes.SequentialAutoencoder(rng=seed).fit(train)
        spent = clock.process_time() - begin
        ours = r2(vae.rates(test).values, truth[n_train:])
        plain, linear = (
            r2(f(train.values, test.values) / 0.01, truth[n_train:]) for f in (smoothed, projected)
        )
        lds = nr.spikes.PoissonDynamics(5, intervals=False).fit(train)
        dynamics = r2(lds.rates(test).values, truth[n_train:])
        table = vae.parameters_
        values = [
            ours,
            dynamics,
            linear,
            plain,
            float(table["held_out_bits"].mean()),
            vae.n_epochs_,
            spent,
        ]
        found.append([*values, int((table["status"] != "ok").sum())])
        yield _row(f"seed {seed}", found[-1])
    yield _row("mean", [float(np.mean(column)) for column in zip(*found, strict=True)])


def _row(name: str, values: list[float]) -> list[str]:
    ours, dynamics, linear, plain, bits, epochs, spent, bad = values
    return [
        name, f"{ours:.3f}", ">= 0.85", "0.92", f"{dynamics:.3f}", f"{linear:.3f}",
        f"{plain:.3f}", f"{bits:.3f}", f"{epochs:.0f}", f"{spent:.0f}", f"{bad:g}",
    ]  # fmt: skip


def r2(rates: np.ndarray, truth: np.ndarray) -> float:
    """Mean over units of the share of the variance of the rate that is explained."""
    left = ((rates - truth) ** 2).sum(axis=(0, 1))
    return float((1 - left / ((truth - truth.mean(axis=(0, 1))) ** 2).sum(axis=(0, 1))).mean())


def smoothed(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Counts under a Gaussian, whose width tells the other half of the spikes best."""
    return gaussian_filter1d(test.astype(float), _width(train), axis=1)


def _halves(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spikes that are left to one half or the other by chance: Poisson, of half the rate."""
    one = np.random.default_rng(0).binomial(counts, 0.5)
    return one, counts - one


def _poisson(rate: np.ndarray, counts: np.ndarray) -> float:
    rate = np.maximum(rate, 1e-4)
    return float((counts * np.log(rate) - rate).sum())


def _width(train: np.ndarray) -> int:
    one, other = _halves(train)
    scores = [_poisson(gaussian_filter1d(one.astype(float), s, axis=1), other) for s in WIDTHS]
    return WIDTHS[int(np.argmax(scores))]


def projected(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Smoothed counts on their first principal components: the linear account."""
    n = len(train) * 4 // 5
    one, other = _halves(train[n:])
    best: tuple[float, int, int] = (-np.inf, 0, 0)
    for width in WIDTHS:
        for k in COMPONENTS:
            # Halves have half the rate, so that what projects them is learned at half of it.
            score = _poisson(2 * _on_components(train[:n] / 2, one, width, k) / 2, other)
            best = max(best, (score, width, k))
    return _on_components(train, test, *best[1:])


def _on_components(train: np.ndarray, test: np.ndarray, width: int, k: int) -> np.ndarray:
    known, new = (gaussian_filter1d(x.astype(float), width, axis=1) for x in (train, test))
    mean = known.mean(axis=(0, 1))
    rows = (known - mean).reshape(-1, known.shape[2])
    axes = np.linalg.eigh(rows.T @ rows)[1][:, -k:]
    return np.asarray(np.maximum((new - mean) @ axes @ axes.T + mean, 0.0))


class PlainNetwork(nn.Module):
    """The network as a user of torch would write it."""

    def __init__(self, ours: AutoencoderNetwork) -> None:
        super().__init__()
        s = ours.settings
        n_units, n, self.n_initial = s["n_units"][0], s["n_hidden"], s["n_initial"]
        self.encoder = nn.GRU(n_units, s["n_encoder"], batch_first=True, bidirectional=True)
        self.posterior = nn.Linear(2 * s["n_encoder"], 2 * self.n_initial)
        self.start = nn.Linear(self.n_initial, n)
        self.leaky, self.n_inputs = s["generator"] == "leaky", s["n_inputs"]
        if self.leaky:
            self.recurrent = nn.Linear(n, n)
            self.log_tau = nn.Parameter(torch.log(torch.as_tensor(ours.generator.tau.detach())))
            self.fed = nn.Linear(max(self.n_inputs, 1), n, bias=False)
        else:
            self.cell = nn.GRUCell(max(self.n_inputs, 1), n)
        self.factors = nn.Linear(n, s["n_latent"], bias=False)
        self.rates = nn.Linear(s["n_latent"], n_units)
        if self.n_inputs:
            self.inputs = nn.Linear(2 * s["n_encoder"], 2 * self.n_inputs)
            self.log_input_tau = nn.Parameter(ours.log_input_tau.detach().clone())
            self.log_input_sd = nn.Parameter(ours.log_input_sd.detach().clone())
        self.dt = s["dt"]
        self._take(ours)

    @torch.no_grad()
    def _take(self, ours: AutoencoderNetwork) -> None:
        """Weights of ours."""
        for end, half in (("", ours.ahead), ("_reverse", ours.behind)):
            for name, value in half.layers[0].state_dict().items():
                getattr(self.encoder, name + end).copy_(value)
        both = (ours.ahead, ours.behind)
        self.posterior.weight.copy_(torch.cat([h.output_weight for h in both], 1))
        self.posterior.bias.copy_(ours.ahead.output_bias + ours.behind.output_bias)
        self.start.weight.copy_(ours.start_weight)
        self.start.bias.copy_(ours.start_bias)
        made: Any = ours.generator
        if self.leaky:
            self.recurrent.weight.copy_(made.recurrent_weight)
            self.recurrent.bias.copy_(made.bias)
            if self.n_inputs:
                self.fed.weight.copy_(made.input_weight)
        else:
            for name, value in made.layers[0].state_dict().items():
                getattr(self.cell, name.removesuffix("_l0")).copy_(value)
        self.factors.weight.copy_(made.output_weight)
        self.rates.weight.copy_(ours.read_out[0])
        self.rates.bias.copy_(ours.offset[0])
        if self.n_inputs:
            self.inputs.weight.copy_(ours.input_weight)
            self.inputs.bias.copy_(ours.input_bias)

    def forward(self, seen: Tensor, noise: tuple[Tensor, Tensor | None]) -> tuple[Tensor, Tensor]:
        """Log rates and divergence from the prior."""
        states, last = self.encoder(seen)
        mean, log_variance = self.posterior(torch.cat([last[0], last[1]], 1)).chunk(2, 1)
        log_variance = log_variance.clamp(-12, 4)
        h = self.start(mean + torch.exp(0.5 * log_variance) * noise[0])
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1)
        fed = seen.new_zeros(*seen.shape[:2], 1)
        if self.n_inputs and noise[1] is not None:
            u, spread = self.inputs(states).chunk(2, 2)
            spread = (spread + 2 * self.log_input_sd).clamp(-12, 4)
            fed = u + torch.exp(0.5 * spread) * noise[1]
            keep = torch.exp(-self.dt / self.log_input_tau.exp())
            before = nn.functional.pad(u[:, :-1], (0, 0, 1, 0))
            wide = nn.functional.pad(spread[:, :-1].exp(), (0, 0, 1, 0))
            share = torch.cat([torch.zeros_like(keep)[None], keep.expand(u.shape[1] - 1, -1)])
            variance = (2 * self.log_input_sd).exp() * (1 - share**2)
            square = (u - share * before) ** 2 + spread.exp() + share**2 * wide
            each = square / variance - 1 - spread + variance.log()
            kl = kl + 0.5 * each.sum((1, 2))
        steps = []
        if self.leaky:
            alpha = -torch.expm1(-self.dt / self.log_tau.exp())
            driven = self.fed(fed) if self.n_inputs else None
            for t in range(seen.shape[1]):
                towards = self.recurrent(torch.tanh(h))
                if driven is not None:
                    towards = towards + driven[:, t]
                h = h + alpha * (towards - h)
                steps.append(torch.tanh(h))
        else:
            for t in range(seen.shape[1]):
                h = self.cell(fed[:, t], h)
                steps.append(h)
        return self.rates(self.factors(torch.stack(steps, 1))).clamp(-16, 5), kl


class PlainTrainer:
    """An epoch of it: batches, masks, loss, clipping and optimiser as ours has them."""

    def __init__(self, ours: Trainer) -> None:
        self.ours, self.network = ours, PlainNetwork(ours.network)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=ours.plan.learning_rate, betas=(0.9, 0.99),
            weight_decay=ours.plan.weight_decay,
        )  # fmt: skip

    def loss_of(
        self, counts: Tensor, kept: Tensor, noise: tuple[Tensor, Tensor | None], weight: float
    ) -> Tensor:
        """Bound, nats per spike."""
        network, share = self.ours.network, 1 - self.ours.plan.coordinated_dropout
        seen = (counts - network.centre_0) / network.scale_0 * kept / share
        log_rates, kl = self.network(seen, noise)
        lost = nn.functional.poisson_nll_loss(log_rates, counts, reduction="none")
        lost = lost[~kept].mean() * counts[0].numel()
        found: Tensor = (lost + weight * kl.mean()) * self.ours.scale
        return found

    def one_epoch(self) -> None:
        """One pass, and a look at what is held out."""
        plan, trials = self.ours.plan, self.ours.train[0]
        for part in torch.randperm(len(trials)).split(plan.batch_size):
            counts = trials.counts[part]
            kept = torch.rand(counts.shape) >= plan.coordinated_dropout
            most = torch.rand(len(part), 1, 1) * 2 * plan.unit_dropout
            kept &= torch.rand(len(part), 1, counts.shape[2]) >= most
            start = torch.randn(len(part), self.network.n_initial)
            fed = torch.randn(*counts.shape[:2], max(self.network.n_inputs, 1))
            loss = self.loss_of(counts, kept, (start, fed), 1.0)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.network.parameters(), plan.clip_norm or np.inf)
            self.optimizer.step()
        watch = self.ours.watch[0].counts
        with torch.no_grad():
            start = torch.zeros(len(watch), self.network.n_initial)
            fed = torch.zeros(*watch.shape[:2], max(self.network.n_inputs, 1))
            self.loss_of(watch, self.ours.masks[0], (start, fed), 0.0)


def speed_rows() -> Iterator[list[str]]:
    """Epochs in turn; the median of ratios."""
    for n_trials, n_steps, n_units, generator, controller in SHAPES:
        ours, plain, same = _pair(n_trials, n_steps, n_units, generator, controller)
        times = []
        for _ in range(REPEATS + 1):
            spent = []
            for trainer in (ours, plain):
                begin = clock.perf_counter()
                trainer.one_epoch()
                spent.append(clock.perf_counter() - begin)
            times.append(spent)
        # The first round warms caches up.
        t = np.array(times[1:])
        name = f"{n_trials} trials of {n_steps} bins, {n_units} units, {generator} generator"
        yield [
            name + (", controller" if controller else ""),
            *(f"{1000 * m:.0f}" for m in np.median(t, axis=0)),
            f"{np.median(t[:, 0] / t[:, 1]):.2f}", "<= 0.6", "0.4", f"{same:.0e}",
        ]  # fmt: skip


def _pair(
    n_trials: int, n_steps: int, n_units: int, generator: str, controller: bool
) -> tuple[Trainer, PlainTrainer, float]:
    """Trainers of the two, and how far the loss of one batch is apart."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.1, (n_trials, n_steps, n_units)).astype(float)
    model = nr.spikes.SequentialAutoencoder(generator=generator, controller=controller)
    model.fitted_bin_size_, model.seed_ = 0.01, 0
    plan: Plan = model._plan()
    network = AutoencoderNetwork(
        [n_units], dt=0.01, n_latent=model.n_latent, n_initial=model.n_initial,
        n_encoder=model.n_encoder, n_hidden=model.n_hidden,
        n_inputs=model.n_inputs if controller else 0, generator=generator, tau=model._tau(),
        seed=0,
    )  # fmt: skip
    network.set_level(0, np.full(n_units, 0.1))
    lengths = np.full(n_trials, n_steps)
    n_train = round(0.85 * n_trials)
    train, watch = (
        Trials.of(counts[part], lengths[part], 0)
        for part in (slice(n_train), slice(n_train, None))
    )
    ours = Trainer(network, [train], [watch], plan)
    plain = PlainTrainer(ours)
    batch = train.pick(np.arange(plan.batch_size))
    kept, noise = ours._kept(batch), ours.noise(batch)
    with torch.no_grad():
        told = encoded(network, batch, kept, 1 - plan.coordinated_dropout)
        log_rates = ours._log_rates(told, batch, noise)
        fit = ours._misfit(log_rates, batch, kept) / len(batch)
        mine = float((fit + network.divergence(told).mean()) * ours.scale)
        theirs = float(plain.loss_of(batch.counts, kept, noise, 1.0))
    return ours, plain, max(abs(mine / theirs - 1), 1e-16)
