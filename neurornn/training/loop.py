"""The training loop: a copy of the model is fitted, the result is frozen."""

import copy
import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import xarray as xr

from neurornn._core.confidence import Estimate, scale_interval, to_dataset
from neurornn._core.errors import ConvergenceWarning, DataError, KindError, ResumeError
from neurornn._core.files import fingerprint
from neurornn._core.jobs import progress_bar
from neurornn._core.report import versions
from neurornn._core.rng import RNG, derived_seed, seed_of
from neurornn._core.status import Status
from neurornn.models.base import RecurrentModel
from neurornn.training.batches import TrainingData, as_training_data
from neurornn.training.checkpoint import read_checkpoint, write_checkpoint
from neurornn.training.curvature import (
    Intervals,
    no_intervals,
    nuisance_shift,
    physical_intervals,
)
from neurornn.training.objectives import Objective, masked_mean, objective_named, profiled_mean
from neurornn.training.result import FitResult

#: Models with at most so many weights are fitted by L-BFGS on all data at once.
LBFGS_MAX_PARAMETERS = 500
#: Fewer epochs of Adam are never called converged.
MIN_EPOCHS = 20
#: L-BFGS iterations that count as one epoch.
_ITERATIONS = 10


def fit(
    model: RecurrentModel,
    data: Any,
    *,
    validation: Any = None,
    max_epochs: int = 300,
    rng: RNG = 0,
    objective: str = "gaussian",
    optimizer: str = "auto",
    learning_rate: float | None = None,
    batch_size: int = 32,
    clip_norm: float | None = 1.0,
    weight_decay: float = 0.0,
    patience: int = 30,
    tolerance: float = 1e-8,
    confidence_level: float = 0.95,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    checkpoint_every: int = 10,
    progress: bool | Callable[[int, int], None] = False,
    intervals: bool = True,
    strict: bool = False,
) -> FitResult:
    """Fit a model and read its time constants with intervals.

    Parameters
    ----------
    model : RecurrentModel
        Not changed; a copy is trained.
    data : windows from `nr.data.windows`, ``(inputs, targets)`` or ``(inputs, targets, mask)`` of
        (trial, time, ...), or a DataArray (time, unit), whose next frame is then predicted.
        For a `models.CalciumRNN` the inputs are the stimulus, or None, and the targets the
        fluorescence, NaN where a frame is missing.
    validation : the same, or None
        Watched for early stopping; its best weights are kept.
    max_epochs : passes over the data; for L-BFGS ten iterations each.
    rng : int, Generator or None
        For the order of the trials; the same seed gives the same bits.
    objective : ``"gaussian"``, ``"poisson"`` (output: log rate) or ``"bernoulli"`` (log odds).

    Other Parameters
    ----------------
    optimizer : ``"auto"``, ``"lbfgs"``, ``"adam"``
        Auto takes L-BFGS (float64, all data at once) for small models without minibatches, Adam
        otherwise.
    learning_rate : of Adam at the start; falls to 1 % along a cosine. Default 0.01.
    batch_size : trials per step of Adam.
    clip_norm : largest norm of a gradient of Adam; None for no limit.
    weight_decay : as in AdamW.
    patience : epochs without a better validation loss after which the fit stops.
    tolerance : relative change of the loss over an epoch at which L-BFGS has converged.
    confidence_level : of the intervals.
    checkpoint : folder for checkpoints, each whole or absent.
    resume : go on from the checkpoint where there is one; the result is that of a run that was
        never interrupted, bit for bit.
    checkpoint_every : epochs.
    progress : show a progress bar in a terminal, or a callable ``(epoch, max_epochs)``.
    intervals : form intervals; without them the parameters come with NaN and the reason.
    strict : raise instead of warning where the fit did not converge.

    Returns
    -------
    FitResult

    Raises
    ------
    KindError, ShapeError, UnitError, DataError
        Data that do not fit the model.
    ResumeError
        A checkpoint of another fit is in the folder, or one is there and `resume` is not set.

    Warns
    -----
    ConvergenceWarning
        Where the status is not ok or stopped_early.

    References
    ----------
    Kingma & Ba 2015, ICLR, arXiv:1412.6980; Liu & Nocedal 1989, Mathematical Programming 45:503,
    doi:10.1007/BF01589116.
    """
    if not isinstance(model, RecurrentModel):
        raise KindError(
            f"model is a {type(model).__name__}",
            "A model from nr.models was needed",
            "For example nr.models.LeakyRNN(n_input=2, n_hidden=64, n_output=2, dt=0.01)",
        )
    train = as_training_data(data, model)
    watch = None if validation is None else as_training_data(validation, model, "validation")
    n_weights = sum(p.numel() for p in model.parameters() if p.requires_grad)
    if optimizer == "auto":
        optimizer = "lbfgs" if n_weights <= LBFGS_MAX_PARAMETERS else "adam"
    if optimizer not in ("lbfgs", "adam") or int(max_epochs) < 1:
        raise DataError(
            f"optimizer is {optimizer!r} and max_epochs {max_epochs}",
            "optimizer 'auto', 'lbfgs' or 'adam' and at least one epoch were needed",
            "Check the spelling",
        )
    settings = {
        "optimizer": optimizer,
        "objective": objective,
        "max_epochs": int(max_epochs),
        "rng": seed_of(rng),
        "learning_rate": 0.01 if learning_rate is None else float(learning_rate),
        "batch_size": int(batch_size),
        "clip_norm": clip_norm,
        "weight_decay": float(weight_decay),
        "patience": int(patience),
        "tolerance": float(tolerance),
        "confidence_level": float(confidence_level),
        "intervals": bool(intervals),
    }
    run = _Run(model, train, watch, objective_named(objective), settings)
    if checkpoint is not None:
        run.resume(checkpoint, resume)
    with (
        torch.random.fork_rng(devices=[]),
        progress_bar(int(max_epochs), run.epoch, progress, "epochs") as tick,
    ):
        while run.status is None:
            run.one_epoch()
            if checkpoint is not None and (
                run.status is not None or run.epoch % max(1, checkpoint_every) == 0
            ):
                run.save(checkpoint)
            tick()
    return run.result(strict)


class _Run:
    """One fit under way; its whole state can be written and read back."""

    def __init__(
        self,
        model: RecurrentModel,
        train: TrainingData,
        watch: TrainingData | None,
        objective: Objective,
        settings: dict[str, Any],
    ) -> None:
        self.settings, self.objective = settings, objective
        self.given_dtype = next(model.parameters()).dtype
        self.dtype = torch.float64 if settings["optimizer"] == "lbfgs" else self.given_dtype
        self.data_key = fingerprint(
            train.inputs.numpy(), train.targets.numpy(), train.mask.numpy()
        )
        given = {k: v.detach().cpu().numpy() for k, v in model.state_dict().items()}
        self.key = fingerprint(
            self.data_key,
            [] if watch is None else [watch.inputs.numpy(), watch.targets.numpy()],
            settings,
            type(model).__name__,
            model.settings,
            given,
        )
        self.model = copy.deepcopy(model).to(self.dtype).train()
        self.model.prepare(train.inputs.to(self.dtype))
        self.train = train.to(self.dtype)
        self.watch = None if watch is None else watch.to(self.dtype)
        self.weights = [p for p in self.model.parameters() if p.requires_grad]
        self.epoch = 0
        self.status: Status | None = None
        self.loss: list[float] = []
        self.validation_loss: list[float] = []
        self.best = np.inf
        self.best_epoch = 0
        self.best_weights = self._copy_weights()
        self.optimizer = self._make_optimizer()

    def _make_optimizer(self) -> torch.optim.Optimizer:
        if self.settings["optimizer"] == "lbfgs":
            return torch.optim.LBFGS(
                self.weights,
                max_iter=_ITERATIONS,
                history_size=30,
                tolerance_grad=1e-12,
                tolerance_change=1e-14,
                line_search_fn="strong_wolfe",
            )
        return torch.optim.AdamW(
            self.weights,
            lr=self.settings["learning_rate"],
            weight_decay=self.settings["weight_decay"],
        )

    def _copy_weights(self) -> dict[str, torch.Tensor]:
        return {k: v.detach().clone() for k, v in self.model.state_dict().items()}

    def _loss_on(self, data: TrainingData) -> torch.Tensor:
        loss = self.objective.loss(self.model(data.inputs).output, data.targets)
        if self.model.observes_targets and self.objective.name == "gaussian":
            # Cells share parameters: each counts by its own noise, as in the intervals.
            return profiled_mean(loss, data.mask)
        return masked_mean(loss, data.mask)

    def one_epoch(self) -> None:
        """Train for one epoch, note the losses, decide whether to go on."""
        torch.manual_seed(derived_seed(self.settings["rng"], self.epoch))
        loss = self._lbfgs_epoch() if self.settings["optimizer"] == "lbfgs" else self._adam_epoch()
        self.epoch += 1
        if not np.isfinite(loss) or not all(bool(p.isfinite().all()) for p in self.weights):
            self.status = Status.DIVERGED
            self.loss.append(loss)
            self.validation_loss.append(np.nan)
            return
        self.loss.append(loss)
        watched = loss
        if self.watch is not None:
            with torch.no_grad():
                watched = float(self._loss_on(self.watch))
        self.validation_loss.append(watched if self.watch is not None else np.nan)
        if watched < self.best:
            self.best, self.best_epoch = watched, self.epoch
            self.best_weights = self._copy_weights()
        if self._settled():
            self.status = Status.OK
        elif self.watch is not None and self.epoch - self.best_epoch >= self.settings["patience"]:
            self.status = Status.STOPPED_EARLY
        elif self.epoch >= self.settings["max_epochs"]:
            self.status = self._at_the_end()

    def _lbfgs_epoch(self) -> float:
        def closure() -> torch.Tensor:
            self.optimizer.zero_grad()
            loss = self._loss_on(self.train)
            loss.backward()
            return loss

        self.optimizer.step(closure)
        with torch.no_grad():
            return float(self._loss_on(self.train))

    def _adam_epoch(self) -> float:
        s = self.settings
        progress = self.epoch / s["max_epochs"]
        rate = s["learning_rate"] * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * progress)))
        for group in self.optimizer.param_groups:
            group["lr"] = float(rate)
        order = torch.from_numpy(
            np.random.default_rng(derived_seed(s["rng"], self.epoch, 1)).permutation(
                len(self.train.inputs)
            )
        )
        total, count = 0.0, 0
        for trials in order.split(s["batch_size"]):
            batch = self.train.pick(trials)
            n = int(batch.mask.sum())
            if n == 0:
                continue
            self.optimizer.zero_grad()
            loss = self._loss_on(batch)
            loss.backward()
            if s["clip_norm"] is not None:
                torch.nn.utils.clip_grad_norm_(self.weights, s["clip_norm"])
            self.optimizer.step()
            total, count = total + n * float(loss.detach()), count + n
        return total / max(count, 1)

    def _settled(self) -> bool:
        """L-BFGS: the loss no longer moves over two epochs."""
        if self.settings["optimizer"] != "lbfgs" or len(self.loss) < 3:
            return False
        a, b, c = self.loss[-3:]
        small = self.settings["tolerance"] * max(abs(c), 1e-12)
        return abs(a - b) <= small and abs(b - c) <= small

    def _at_the_end(self) -> Status:
        """Adam ends on its schedule: converged where its second half gained less than 1 %.

        The learning rate falls to nothing at the end of any schedule, so a shorter tail would
        always look settled.
        """
        if self.settings["optimizer"] == "lbfgs" or len(self.loss) < MIN_EPOCHS:
            return Status.NOT_CONVERGED
        tail = self.loss[len(self.loss) // 2 :]
        gained = (tail[0] - min(tail)) / max(abs(tail[0]), 1e-12)
        return Status.OK if gained < 0.01 else Status.NOT_CONVERGED

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
                "weights": self._copy_weights(),
                "optimizer": self.optimizer.state_dict(),
            },
        )

    def resume(self, folder: str | os.PathLike[str], wanted: bool) -> None:
        """Take up the state in a folder, where there is one."""
        if not wanted:
            from neurornn.training.checkpoint import NAME

            if os.path.exists(os.path.join(folder, NAME)):
                raise ResumeError(
                    f"{folder} already holds a checkpoint",
                    "An empty folder, or resume=True, was needed",
                    "Pass resume=True to go on from it, or delete it to start afresh",
                )
            return
        state = read_checkpoint(folder, self.key)
        if state is None:
            return
        self.epoch, self.loss = state["epoch"], state["loss"]
        self.validation_loss, self.best = state["validation_loss"], state["best"]
        self.best_epoch, self.best_weights = state["best_epoch"], state["best_weights"]
        self.status = None if state["status"] is None else Status(state["status"])
        self.model.load_state_dict(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _noise(self, model: RecurrentModel, data: TrainingData) -> tuple[torch.Tensor, np.ndarray]:
        """Variance of the residuals of every output, with its degrees of freedom."""
        with torch.no_grad():
            output = model(data.inputs).output
        variance = torch.ones(output.shape[2], dtype=torch.float64)
        dof = np.zeros(len(variance))
        if self.objective.name == "gaussian":
            # A linear read-out uses up one degree of freedom per weight and output.
            squares = torch.where(data.mask, (output - data.targets) ** 2, 0.0).sum((0, 1))
            count = data.mask.sum((0, 1)).double()
            free = sum(p.numel() for p in self.weights) / output.shape[2]
            dof = (count - free).numpy()
            variance = squares / torch.where(count > free, count - free, torch.nan)
            variance = torch.clamp(variance, min=1e-300)
        return variance, dof

    def result(self, strict: bool) -> FitResult:
        """Freeze the run: best weights, noise, intervals, table."""
        status = self.status or Status.FAILED
        self.model.load_state_dict(self.best_weights)
        precise = copy.deepcopy(self.model).double().eval()
        data = self.train.to(torch.float64)
        variance, dof = self._noise(precise, data)
        if self.objective.name == "gaussian" and bool(variance.isfinite().all()):
            shift = nuisance_shift(precise, data, variance)
            for one in (precise, self.model) if shift else ():
                with torch.no_grad():
                    for name, p in one.named_parameters():
                        p.add_(shift.get(name, torch.zeros(())).to(p.dtype))
            if shift:
                variance, dof = self._noise(precise, data)
        level = self.settings["confidence_level"]
        if not bool(variance.isfinite().all()):
            intervals = no_intervals(precise, "there are no more data than weights")
        elif self.settings["intervals"]:
            intervals = physical_intervals(precise, data, self.objective, variance, level)
        else:
            intervals = no_intervals(precise, "intervals=False was asked for")
        table = _parameters(precise, intervals, variance, dof, self.objective, self.settings)
        if status not in (Status.OK, Status.STOPPED_EARLY):
            text = f"The fit ended with status {status}. {status.remedy}"
            if strict:
                raise DataError(text, "A converged fit was asked for (strict=True)", status.remedy)
            warnings.warn(text, ConvergenceWarning, stacklevel=3)
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
            model=self.model.to(self.given_dtype).eval(),
            parameters=table,
            history=history,
            status=status,
            settings=self.settings,
            provenance={**versions("torch", "numpy"), "data": self.data_key},
        )


def _parameters(
    model: RecurrentModel,
    intervals: dict[str, Intervals],
    variance: torch.Tensor,
    dof: np.ndarray,
    objective: Objective,
    settings: dict[str, Any],
) -> xr.Dataset:
    """Lay the physical parameters out as a table."""
    method = f"maximum {objective.name} likelihood; interval from its Fisher information"
    if model.covariance_weights:
        method = method.replace("maximum", "restricted maximum", 1)
    estimates: list[Estimate] = []
    dims: tuple[str, ...] = ()
    status = None
    covariance = None
    names: list[str] = []
    statuses = {}
    for p in model.physical_parameters:
        found = intervals[p.name]
        value = getattr(model, p.name).detach().numpy()
        estimates.append(
            Estimate(
                name=p.name,
                value=value,
                ci=found.ci,
                units=p.units,
                long_name=p.long_name,
                method=method,
                dims=p.dims,
                reason=found.reason,
            )
        )
        if status is None:
            # The first parameter is the one the fit is made for; the others have their own.
            dims, status, names = p.dims, found.status, [p.name]
            covariance = found.variance[..., None, None]
        else:
            statuses[f"{p.name}_status"] = (p.dims, found.status, {"long_name": "status"})
        if p.name != "tau":
            continue
        for name, units, long_name, of in (
            (
                "weight",
                "1",
                "share of the state kept in a step, exp(-dt / tau)",
                lambda t: np.exp(-model.dt / t),
            ),
            ("memory", "frame", "time constant in steps, tau / dt", lambda t: t / model.dt),
        ):
            estimates.append(
                Estimate(
                    name=name,
                    value=of(value),
                    ci=of(found.ci),
                    units=units,
                    long_name=long_name,
                    method=f"from {p.name}",
                    dims=p.dims,
                    reason=found.reason,
                )
            )
    if objective.name == "gaussian":
        estimates.append(
            Estimate(
                name="noise_sd",
                value=np.sqrt(variance.numpy()),
                ci=scale_interval(np.sqrt(variance.numpy()), dof, settings["confidence_level"]),
                units="1",
                long_name="standard deviation of the residuals",
                method=method,
                dims=("output",),
                reason="there are no more data than weights",
            )
        )
    table = to_dataset(
        estimates,
        confidence_level=settings["confidence_level"],
        coords={"hidden": np.arange(model.n_hidden), "output": np.arange(model.n_output)},
        status=status,
        status_dims=dims,
        covariance=covariance,
        covariance_names=names,
        covariance_dims=dims,
    )
    return table.assign(statuses)
