"""One fit under way: its state, its epochs, and how it is written and taken up again."""

import copy
import os
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
import xarray as xr

from neurornn._core.errors import ConvergenceWarning, DataError
from neurornn._core.files import fingerprint
from neurornn._core.report import versions
from neurornn._core.rng import derived_seed
from neurornn._core.status import Status
from neurornn._core.warning import warn_user
from neurornn.models.base import RecurrentModel
from neurornn.training.batches import TrainingData
from neurornn.training.checkpoint import read_checkpoint, write_checkpoint
from neurornn.training.inference import infer
from neurornn.training.objectives import (
    Objective,
    masked_mean,
    profiled_mean,
    start_at_the_mean,
)
from neurornn.training.passes import Passes, run_forced, segment_gradient, stretches
from neurornn.training.regimes import SLOWER, RegimeGuard
from neurornn.training.result import FitResult
from neurornn.training.settings import FitSettings

#: Grows when the same arguments lead to another fit: a checkpoint of the older one is refused.
_METHOD = 2
#: Fewer epochs of Adam are never called converged.
MIN_EPOCHS = 20
#: L-BFGS iterations that count as one epoch.
_ITERATIONS = 10
#: The plateau schedule: factor on the learning rate, and the share of the patience it waits.
_PLATEAU_FACTOR, _PLATEAU_WAIT = 0.3, 0.3
#: As low as the cosine schedule ends: a rate of nothing would look settled.
_PLATEAU_LEAST = 0.01


class StepHooks(Protocol):
    """What takes part in the steps of the optimiser: penalties, replay, projections."""

    def before(self, run: "Run") -> None:
        """Add to the gradients, which are there, before they are clipped."""

    def after(self, run: "Run") -> None:
        """Correct the weights, which have moved."""


class Run:
    """One fit under way; its whole state can be written and read back.

    Parameters
    ----------
    hooks : what takes part in the steps of Adam.
    guard : what may slow or stop it, begun for these data.
    """

    def __init__(
        self,
        model: RecurrentModel,
        train: TrainingData,
        watch: TrainingData | None,
        objective: Objective,
        passes: Passes,
        settings: FitSettings,
        hooks: StepHooks | None = None,
        guard: RegimeGuard | None = None,
    ) -> None:
        self.settings, self.objective, self.passes = settings, objective, passes
        self.hooks, self.guard = hooks, guard
        self.given_dtype = next(model.parameters()).dtype
        self.dtype = torch.float64 if settings.optimizer == "lbfgs" else self.given_dtype
        self.data_key = fingerprint(
            train.inputs.numpy(), train.targets.numpy(), train.mask.numpy()
        )
        given = {k: v.detach().cpu().double().numpy() for k, v in model.state_dict().items()}
        self.key = fingerprint(
            _METHOD,
            self.data_key,
            [] if watch is None else [x.numpy() for x in watch],
            [n for n, p in model.named_parameters() if not p.requires_grad],
            settings.as_dict(),
            type(model).__name__,
            model.settings,
            given,
            *([] if guard is None else [guard.settings]),
        )
        self.device = next(model.parameters()).device
        self.model = copy.deepcopy(model).to(self.dtype).train()
        self.train = train.to(self.dtype, str(self.device))
        self.model.prepare(self.train.inputs)
        self.watch = None if watch is None else watch.to(self.dtype, str(self.device))
        self.weights = [p for p in self.model.parameters() if p.requires_grad]
        self.epoch = 0
        self.status: Status | None = None
        self.loss: list[float] = []
        self.validation_loss: list[float] = []
        self.best = np.inf
        self.best_epoch = 0
        self.rate_factor, self.rate_epoch = 1.0, 0
        self._start_at_the_mean()
        self.best_weights = self._copy_weights()
        self.optimizer = self._make_optimizer()

    def _start_at_the_mean(self) -> None:
        """Let a fresh read-out start at the mean of the targets, where that is a better start."""
        bias: Any = getattr(self.model, "output_bias", None)
        free = isinstance(bias, torch.nn.Parameter) and bias.requires_grad
        # What a model of its own targets reads out is not what is observed.
        if not free or self.model.observes_targets or bool(bias.any()):
            return
        self.model.eval()
        before = self._value_on(self.train)
        start_at_the_mean(self.objective, bias, self.train.targets, self.train.mask)
        if not self._value_on(self.train) < before:
            # Weights that were set by hand reach the mean by themselves.
            with torch.no_grad():
                bias.zero_()
        self.model.train()

    def _make_optimizer(self) -> torch.optim.Optimizer:
        if self.settings.optimizer == "lbfgs":
            return torch.optim.LBFGS(
                self.weights,
                max_iter=_ITERATIONS,
                history_size=30,
                tolerance_grad=1e-12,
                tolerance_change=1e-14,
                line_search_fn="strong_wolfe",
            )
        # Decay would draw a time constant to the middle of its bounds: it is for weights alone.
        physical = {p.unbounded for p in self.model.physical_parameters}
        named = [(n, p) for n, p in self.model.named_parameters() if p.requires_grad]
        decay = self.settings.weight_decay
        groups: list[dict[str, Any]] = [
            {"params": [p for n, p in named if n not in physical], "weight_decay": decay},
            {"params": [p for n, p in named if n in physical], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW([g for g in groups if g["params"]], lr=self.settings.rate)

    def _copy_weights(self) -> dict[str, torch.Tensor]:
        return {k: v.detach().clone() for k, v in self.model.state_dict().items()}

    def _summed(self, output: torch.Tensor, data: TrainingData) -> torch.Tensor:
        loss = self.objective.loss(output, data.targets)
        return torch.where(data.mask, loss, 0.0).sum()

    def loss_on(self, data: TrainingData, model: RecurrentModel | None = None) -> torch.Tensor:
        """Loss on data, with its gradient; of the model under training, or of another."""
        model = self.model if model is None else model
        if self.passes.forcing:
            out, mask = run_forced(model, data, self.passes)
            return masked_mean(self.objective.loss(out.output, data.targets), mask)
        loss = self.objective.loss(model(data.inputs).output, data.targets)
        if model.observes_targets and self.objective.name == "gaussian":
            # Cells share parameters: each counts by its own noise, as in the intervals.
            return profiled_mean(loss, data.mask)
        return masked_mean(loss, data.mask)

    def _value_on(self, data: TrainingData, model: RecurrentModel | None = None) -> float:
        """Loss without its gradient, in stretches where states are not all held."""
        model = self.model if model is None else model
        with torch.no_grad():
            if self.passes.segment is None:
                return float(self.loss_on(data, model))
            state, total = model.start_from(data.inputs[:, :1]), 0.0
            for part in stretches(data, self.passes.segment):
                states, state = model.scan(part.inputs, state)
                total += float(self._summed(model.read(states, part.inputs), part))
            return total / float(data.mask.sum())

    def _watched_loss(self) -> float:
        """Validation loss, without dropout and noise, as the model would be used."""
        self.model.eval()
        assert self.watch is not None
        found = self._value_on(self.watch)
        self.model.train()
        return found

    def one_epoch(self) -> None:
        """Train for one epoch, note the losses, decide whether to go on."""
        torch.manual_seed(derived_seed(self.settings.seed, self.epoch))
        loss = self._lbfgs_epoch() if self.settings.optimizer == "lbfgs" else self._adam_epoch()
        self.epoch += 1
        if not np.isfinite(loss) or not all(bool(p.isfinite().all()) for p in self.weights):
            self.status = Status.DIVERGED
            self.loss.append(loss)
            self.validation_loss.append(np.nan)
            return
        self.loss.append(loss)
        watched = loss
        if self.watch is not None:
            watched = self._watched_loss()
        self.validation_loss.append(watched if self.watch is not None else np.nan)
        if watched < self.best:
            self.best, self.best_epoch = watched, self.epoch
            self.best_weights = self._copy_weights()
        self._adapt()
        if self._settled():
            self.status = Status.OK
        elif self.watch is not None and self.epoch - self.best_epoch >= self.settings.patience:
            self.status = Status.STOPPED_EARLY
        elif self.epoch >= self.settings.max_epochs:
            self.status = self._at_the_end()

    def seen(self) -> tuple[int, RecurrentModel, dict[str, float]]:
        """Number of the last epoch, a copy of the model after it, and its losses."""
        model = copy.deepcopy(self.model).eval()
        row = {"loss": self.loss[-1], "validation_loss": self.validation_loss[-1]}
        return self.epoch, model, row

    def be_guarded(self) -> None:
        """Let the guard look, and slow or stop where it says so."""
        assert self.guard is not None
        epoch, model, row = self.seen()
        row["learning_rate"] = self.optimizer.param_groups[0]["lr"]
        said = self.guard(epoch, model, row, ended=self.status is not None)
        if said == "slowed":
            lower = max(self.rate_factor * SLOWER, _PLATEAU_LEAST)
            self.rate_factor, self.rate_epoch = lower, self.epoch
        elif said == "stopped":
            self.status = Status.LEFT_REGIME

    def _lbfgs_epoch(self) -> float:
        def closure() -> Any:
            self.optimizer.zero_grad()
            return self._gradient(self.train)[0]

        self.optimizer.step(closure)
        return self._value_on(self.train)

    def _gradient(self, batch: TrainingData) -> tuple[torch.Tensor, int]:
        """Add the gradient of the mean loss over a batch; return the loss and what it counts."""
        count = int(batch.mask.sum())
        if self.passes.segment is None:
            loss = self.loss_on(batch)
            loss.backward()
            return loss.detach(), count
        total = segment_gradient(self.model, batch, self._summed, self.passes.segment)
        for p in self.weights:
            if p.grad is not None:
                p.grad /= count
        return total / count, count

    def _learning_rate(self) -> float:
        s = self.settings
        rate = s.rate * self.rate_factor
        if s.schedule == "cosine":
            done = self.epoch / s.max_epochs
            rate *= 0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * done))
        if self.epoch < s.warmup_epochs:
            rate *= (self.epoch + 1) / (s.warmup_epochs + 1)
        return float(rate)

    def _adam_epoch(self) -> float:
        s = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        order = torch.from_numpy(
            np.random.default_rng(derived_seed(s.seed, self.epoch, 1)).permutation(
                len(self.train.inputs)
            )
        )
        total, count = 0.0, 0
        for trials in order.split(s.batch_size):
            for loss, n in self._steps(self.train.pick(trials)):
                total, count = total + n * loss, count + n
        return total / max(count, 1)

    def _steps(self, batch: TrainingData) -> Iterator[tuple[float, int]]:
        """Take the steps of one batch: one, or one for each stretch of a truncated run."""
        if self.passes.truncation is None:
            if not bool(batch.mask.any()):
                return
            self.optimizer.zero_grad()
            loss, n = self._gradient(batch)
            self._move()
            yield float(loss), n
            return
        state = self.model.start_from(batch.inputs[:, :1])
        for part in stretches(batch, self.passes.truncation):
            states, last = self.model.scan(part.inputs, state)
            n = int(part.mask.sum())
            if n:
                self.optimizer.zero_grad()
                mean = self._summed(self.model.read(states, part.inputs), part) / n
                mean.backward()
                self._move()
                yield float(mean.detach()), n
            # The state is carried on, its history is not.
            state = last.detach()

    def _move(self) -> None:
        if self.hooks is not None:
            self.hooks.before(self)
        if self.settings.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.weights, self.settings.clip_norm)
        self.optimizer.step()
        if self.hooks is not None:
            self.hooks.after(self)

    def _adapt(self) -> None:
        """Lower the learning rate where the loss has stood still for a while."""
        wait = max(1, round(_PLATEAU_WAIT * self.settings.patience))
        since = self.epoch - max(self.best_epoch, self.rate_epoch)
        if self.settings.schedule == "plateau" and since >= wait:
            lower = max(self.rate_factor * _PLATEAU_FACTOR, _PLATEAU_LEAST)
            self.rate_factor, self.rate_epoch = lower, self.epoch

    def _settled(self) -> bool:
        """L-BFGS: the loss no longer moves over two epochs."""
        if self.settings.optimizer != "lbfgs" or len(self.loss) < 3:
            return False
        a, b, c = self.loss[-3:]
        small = self.settings.tolerance * max(abs(c), 1e-12)
        return abs(a - b) <= small and abs(b - c) <= small

    def _at_the_end(self) -> Status:
        """Adam ends on its schedule: converged where its second half gained less than 1 %.

        Or less than a thousandth of the first loss, where data without noise let it fall to 0. The
        learning rate falls to nothing at the end of any schedule, so a shorter tail would
        always look settled.
        """
        if self.settings.optimizer == "lbfgs" or len(self.loss) < MIN_EPOCHS:
            return Status.NOT_CONVERGED
        tail = self.loss[len(self.loss) // 2 :]
        gained = tail[0] - min(tail)
        settled = gained < 0.01 * abs(tail[0]) or gained < 1e-3 * abs(self.loss[0])
        return Status.OK if settled else Status.NOT_CONVERGED

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the state of the run."""
        write_checkpoint(
            folder,
            self.key,
            {
                "epoch": self.epoch,
                "status": None if self.status is None else str(self.status),
                "loss": self.loss,
                "validation_loss": self.validation_loss,
                "best": float(self.best),
                "best_epoch": self.best_epoch,
                "best_weights": self.best_weights,
                "rate_factor": self.rate_factor,
                "rate_epoch": self.rate_epoch,
                "weights": self._copy_weights(),
                "optimizer": self.optimizer.state_dict(),
                **({} if self.guard is None else {"guard": self.guard.state}),
            },
        )

    def resume(self, folder: str | os.PathLike[str]) -> None:
        """Take up the state in a folder, where there is one."""
        state = read_checkpoint(folder, self.key)
        if state is None:
            return
        self.epoch, self.loss = state["epoch"], state["loss"]
        self.validation_loss, self.best = state["validation_loss"], state["best"]
        self.best_epoch, self.best_weights = state["best_epoch"], state["best_weights"]
        self.rate_factor, self.rate_epoch = state["rate_factor"], state["rate_epoch"]
        self.status = None if state["status"] is None else Status(state["status"])
        self.model.load_state_dict(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.guard is not None:
            self.guard.state = state["guard"]

    def _losses(self, model: RecurrentModel) -> dict[str, float]:
        """Losses of the model that is returned, as it is used: without dropout and noise."""
        found = {"loss": self._value_on(self.train.to(torch.float64, "cpu"), model)}
        if self.watch is not None:
            found["validation_loss"] = self._value_on(self.watch.to(torch.float64, "cpu"), model)
        return found

    def result(self, strict: bool, progress: bool = False) -> FitResult:
        """Freeze the run: best weights, noise, intervals, table."""
        status = self.status or Status.FAILED
        self.model.load_state_dict(self.best_weights)
        self.model.cpu()
        found = infer(
            self.model,
            self.train.to(torch.float64),
            self.objective,
            self.passes,
            self.settings,
            status,
            watched=self.watch is not None,
            progress=progress,
        )
        status = found.status
        if status not in (Status.OK, Status.STOPPED_EARLY):
            text = f"The fit ended with status {status}. {status.remedy}"
            if strict:
                raise DataError(text, "A converged fit was asked for (strict=True)", status.remedy)
            warn_user(text, ConvergenceWarning)
        n_epochs = len(self.loss)
        history = xr.Dataset(
            {
                "loss": ("epoch", np.array(self.loss), {"long_name": "training loss"}),
                "validation_loss": ("epoch", np.array(self.validation_loss)),
            },
            coords={"epoch": np.arange(1, n_epochs + 1)},
        )
        for p in self.model.parameters():
            p.grad = None
        return FitResult(
            model=self.model.to(self.device, self.given_dtype).eval(),
            parameters=found.parameters,
            history=history,
            status=status,
            settings=self.settings.as_dict(),
            provenance={
                **versions("torch", "numpy"),
                "data": self.data_key,
                "refined": found.refined,
                **self._losses(found.precise),
            },
            regimes=None if self.guard is None else self.guard.table,
        )
