"""Training of a sequential autoencoder: coordinated dropout, warm-up, and a watch on trials."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neurornn._core.status import Status
from neurornn.spikes.autoencoder_network import AutoencoderNetwork, Posterior

#: Epochs over which the learning rate rises, and the share of it that is left at the end.
_RISE, _LAST = 5, 0.02
#: So often a fit that has become infinite goes back to its last good weights, more slowly.
_RETRIES = 3
#: Nats per spike by which the loss of what is held out never rises within one epoch.
_BLOW_UP = 2.0
#: Of the weights that are kept: a running mean, over so many of the last steps.
_AVERAGED = 100.0
#: Folds in which what is held out is masked to be scored: each bin once.
FOLDS = 4


class Trials(NamedTuple):
    """Windows of one session, filled up to the longest.

    Attributes
    ----------
    counts : (trial, time, unit), 0 where missing.
    known : (trial, time, unit), True where observed; None where all is.
    lengths : (trial,), bins of each; None where all are alike.
    session : its number.
    """

    counts: Tensor
    known: Tensor | None
    lengths: Tensor | None
    session: int

    @classmethod
    def of(cls, counts: NDArray[Any], lengths: NDArray[np.int64], session: int) -> Self:
        """Trials of counts (trial, time, unit) that are NaN where none was observed."""
        missing = np.isnan(counts)
        values = torch.tensor(np.where(missing, 0.0, counts), dtype=torch.float32)
        known = torch.from_numpy(~missing) if missing.any() else None
        alike = bool((lengths == counts.shape[1]).all())
        return cls(values, known, None if alike else torch.as_tensor(lengths), session)

    def __len__(self) -> int:
        return len(self.counts)

    def pick(self, index: Any) -> "Trials":
        """Trials of these numbers, cut to the longest of them."""
        lengths = None if self.lengths is None else self.lengths[index]
        n = self.counts.shape[1] if lengths is None else int(lengths.max())
        known = None if self.known is None else self.known[index, :n]
        if lengths is not None and bool((lengths == n).all()):
            lengths = None
        return Trials(self.counts[index, :n], known, lengths, self.session)

    @property
    def n_spikes(self) -> float:
        """Spikes of a trial, at least 1."""
        return max(float(self.counts.sum()) / max(len(self), 1), 1.0)


class Plan(NamedTuple):
    """How to train.

    Attributes
    ----------
    max_epochs, batch_size, learning_rate, patience : as they say.
    weight_decay : on the recurrent weights of the generator.
    clip_norm : largest norm of a gradient of the loss in nats per spike; None for no limit.
    coordinated_dropout : share of the counts that the encoder does not see, which are scored.
    unit_dropout : mean share of the units that it does not see in a trial.
    kl_weight, kl_epochs : weight of the divergence from the prior; epochs over which it rises.
    seed : of everything that is drawn.
    """

    max_epochs: int
    batch_size: int
    learning_rate: float
    patience: int
    weight_decay: float
    clip_norm: float | None
    coordinated_dropout: float
    unit_dropout: float
    kl_weight: float
    kl_epochs: int
    seed: int


class Poisson(torch.autograd.Function):
    """Sum of ``weight (exp(l) - y l)`` over log rates l and counts y, in one pass each way."""

    @staticmethod
    def forward(ctx: Any, log_rate: Tensor, counts: Tensor, weight: Tensor) -> Tensor:
        """Sum of the loss."""
        expected = torch.exp(log_rate)
        ctx.save_for_backward(expected, counts, weight)
        return torch.dot(
            torch.addcmul(expected, counts, log_rate, value=-1).flatten(), weight.flatten()
        )

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """Gradient of the log rates alone."""
        expected, counts, weight = ctx.saved_tensors
        return (expected - counts).mul_(weight).mul_(grad), None, None


class Trainer:
    """One fit under way.

    Parameters
    ----------
    network : is trained in place.
    train, watch : trials of each session; those of the second end the training.
    plan : how.
    """

    def __init__(
        self, network: AutoencoderNetwork, train: list[Trials], watch: list[Trials], plan: Plan
    ) -> None:
        self.network, self.train, self.watch, self.plan = network, train, watch, plan
        self.draw = torch.Generator().manual_seed(plan.seed)
        self.scale = float(1 / np.mean([t.n_spikes for t in train]))
        self.masks = [self._kept(t) for t in watch]
        self.epoch, self.slower, self.failures = 0, 1.0, 0
        self.status: Status | None = None
        self.loss: list[float] = []
        self.validation_loss: list[float] = []
        self.best, self.best_epoch = np.inf, 0
        self.weights = [p for p in network.parameters() if p.requires_grad]
        self.averaged, self.steps = [p.detach().clone() for p in self.weights], 0
        self.best_weights = [p.clone() for p in self.averaged]
        self.optimizer = self._make_optimizer()

    def _make_optimizer(self) -> torch.optim.Optimizer:
        ends = ("recurrent_weight", "weight_hh_l0")
        named = [(n, p) for n, p in self.network.named_parameters() if p.requires_grad]
        held = [p for n, p in named if n.startswith("generator.") and n.endswith(ends)]
        rest = [p for n, p in named if not (n.startswith("generator.") and n.endswith(ends))]
        return torch.optim.AdamW(
            [
                {"params": held, "weight_decay": self.plan.weight_decay},
                {"params": rest, "weight_decay": 0.0},
            ],
            lr=self.plan.learning_rate, betas=(0.9, 0.99), fused=True,
        )  # fmt: skip

    def run(self, tick: Callable[[], None]) -> None:
        """Train to the end; the best weights are then those of the network."""
        while self.status is None:
            self.one_epoch()
            tick()
        self._set(self.best_weights)

    @torch.no_grad()
    def _set(self, weights: list[Tensor]) -> None:
        """Give the network these weights."""
        for p, w in zip(self.weights, weights, strict=True):
            p.copy_(w)

    @torch.no_grad()
    def _average(self) -> None:
        """Take a step into the running mean of the weights."""
        self.steps += 1
        share = 1 / min(self.steps, _AVERAGED)
        torch._foreach_lerp_(self.averaged, list[Tensor](self.weights), share)

    def one_epoch(self) -> None:
        """One pass over the data and a look at what is held out."""
        before = [p.detach().clone() for p in self.weights]
        averaged_before = [p.clone() for p in self.averaged]
        rate = self._learning_rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        weight = self.plan.kl_weight * min(1.0, (self.epoch + 1) / max(self.plan.kl_epochs, 1))
        losses, sizes, good = [], [], True
        for trials in self._batches():
            self.optimizer.zero_grad()
            loss = self.loss_of(trials, self._kept(trials), weight)
            loss.backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.clip_grad_norm_(
                self.network.parameters(),
                np.inf if self.plan.clip_norm is None else self.plan.clip_norm,
            )
            if not bool(torch.isfinite(norm)):
                good = False
                break
            self.optimizer.step()
            self._average()
            losses.append(float(loss.detach()))
            sizes.append(len(trials))
        watched = self._watched_on_average() if good else np.nan
        last = self.validation_loss[-1] if self.validation_loss else np.inf
        if not np.isfinite(watched) or watched > last + _BLOW_UP:
            self.averaged = averaged_before
            self._go_back(before)
            return
        self.loss.append(float(np.average(losses, weights=sizes)))
        self.validation_loss.append(watched)
        self.epoch += 1
        if watched < self.best:
            self.best, self.best_epoch = watched, self.epoch
            self.best_weights = [p.clone() for p in self.averaged]
        since = self.epoch - max(self.best_epoch, self.plan.kl_epochs)
        if self.epoch >= self.plan.max_epochs:
            self.status = Status.OK
        elif since >= self.plan.patience:
            self.status = Status.STOPPED_EARLY

    def _learning_rate(self) -> float:
        done = self.epoch / self.plan.max_epochs
        fall = _LAST + (1 - _LAST) * 0.5 * (1 + np.cos(np.pi * done))
        rise = min(1.0, (self.epoch + 1) / _RISE)
        return float(self.plan.learning_rate * fall * rise * self.slower)

    def _watched_on_average(self) -> float:
        """Loss of what is held out with the running mean of the weights."""
        now = [p.detach().clone() for p in self.weights]
        self._set(self.averaged)
        found = self._watched()
        self._set(now)
        return found

    def _go_back(self, weights: list[Tensor]) -> None:
        """After a loss that is not finite: last weights, half the rate; in the end give up."""
        self.failures += 1
        self.slower *= 0.5
        self._set(weights)
        self.optimizer = self._make_optimizer()
        if self.failures > _RETRIES:
            self.status = Status.DIVERGED

    def _batches(self) -> Iterator[Trials]:
        """Batches of all sessions, each of one session, in random order."""
        size, todo = self.plan.batch_size, []
        for k, trials in enumerate(self.train):
            order = torch.randperm(len(trials), generator=self.draw)
            todo += [(k, part) for part in order.split(size)]
        for j in torch.randperm(len(todo), generator=self.draw).tolist():
            k, part = todo[j]
            yield self.train[k].pick(part)

    def _kept(self, trials: Trials) -> Tensor:
        """Which counts the encoder sees, (trial, time, unit): the others are scored."""
        share, (n, _, n_units) = self.plan.coordinated_dropout, trials.counts.shape
        kept = torch.rand(trials.counts.shape, generator=self.draw) >= share
        if self.plan.unit_dropout > 0 and n_units > 1:
            # Few units in one trial, many in another.
            most = torch.rand(n, 1, 1, generator=self.draw) * 2 * self.plan.unit_dropout
            kept &= torch.rand(n, 1, n_units, generator=self.draw) >= most
        return kept if trials.known is None else kept & trials.known

    def noise(self, trials: Trials) -> tuple[Tensor, Tensor | None]:
        """Standard normal numbers behind one draw from the posterior."""
        n, n_steps, _ = trials.counts.shape
        sizes = self.network.settings
        start = torch.randn(n, sizes["n_initial"], generator=self.draw)
        if not sizes["n_inputs"]:
            return start, None
        return start, torch.randn(n, n_steps, sizes["n_inputs"], generator=self.draw)

    def loss_of(self, trials: Trials, kept: Tensor, kl_weight: float) -> Tensor:
        """Bound on the log likelihood of trials, in nats per spike, from counts not seen."""
        told = encoded(self.network, trials, kept, 1 - self.plan.coordinated_dropout)
        log_rates = self._log_rates(told, trials, self.noise(trials))
        divergence = self.network.divergence(told, trials.lengths).mean()
        fit = self._misfit(log_rates, trials, kept)
        return (fit / len(trials) + kl_weight * divergence) * self.scale

    def _log_rates(
        self, told: Posterior, trials: Trials, noise: tuple[Tensor, Tensor | None] | None
    ) -> Tensor:
        factors, _ = self.network.generate(*told.drawn(noise), trials.counts.shape[1])
        return self.network.log_rates(factors, trials.session)

    def _misfit(self, log_rates: Tensor, trials: Trials, kept: Tensor) -> Tensor:
        """Poisson loss of counts that were not seen, as if of all, nats."""
        # Without coordinated dropout everything is scored, as in a plain autoencoder.
        kept = kept if self.plan.coordinated_dropout else torch.zeros_like(kept)
        weight = scored(trials, kept).float()
        n_known = trials.counts.numel() if trials.known is None else int(trials.known.sum())
        weight *= n_known / max(float(weight.sum()), 1.0)
        found: Tensor = Poisson.apply(log_rates, trials.counts, weight)  # type: ignore[no-untyped-call]
        return found

    @torch.no_grad()
    def _watched(self) -> float:
        """Loss of what is held out, of counts not seen, nats per spike."""
        lost = spikes = 0.0
        for trials, kept in zip(self.watch, self.masks, strict=True):
            told = encoded(self.network, trials, kept, 1 - self.plan.coordinated_dropout)
            log_rates = self._log_rates(told, trials, None)
            lost += float(self._misfit(log_rates, trials, kept))
            spikes += trials.n_spikes * len(trials)
        return lost / spikes


def scored(trials: Trials, kept: Tensor) -> Tensor:
    """Counts that are known and were not seen, (trial, time, unit)."""
    return ~kept if trials.known is None else trials.known & ~kept


def encoded(
    network: AutoencoderNetwork, trials: Trials, kept: Tensor | None, share: float = 1.0
) -> Posterior:
    """Posterior of trials from the counts that are kept.

    Parameters
    ----------
    kept : (trial, time, unit), None for all that are known.
    share : of the counts that are kept at random; the others are made up for.
    """
    seen = network.standard(trials.counts, trials.session)
    mask = trials.known if kept is None else kept
    if mask is not None:
        seen = seen * (mask / share)
    return network.encode(seen, trials.session, trials.lengths)
