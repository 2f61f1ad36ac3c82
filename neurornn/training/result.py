"""What a fit returns: the model, its physical parameters with intervals, and how it went."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
import xarray as xr
from sklearn.metrics import r2_score

from neurornn._core.errors import DataError
from neurornn._core.report import Table, parameters_table
from neurornn._core.status import Status
from neurornn._core.units import format_number
from neurornn.data.rows import is_list_of_trials
from neurornn.io.shell import Result
from neurornn.models.base import RecurrentModel
from neurornn.models.rebuild import check_rebuilds, dtype_of, rebuilt, weights_of
from neurornn.training.batches import as_training_data
from neurornn.training.objectives import objective_named
from neurornn.training.regimes import regimes_told


@dataclass(frozen=True, kw_only=True, eq=False)
class FitResult(Result):
    """Result of `nr.fit`; made by the library only.

    Attributes
    ----------
    model : the fitted copy of the model that was given.
    parameters : Dataset
        Physical parameters, each ``name`` beside ``name_ci``; for a leaky network ``tau (hidden)``
        in the model's time unit, ``weight (hidden)`` = exp(-dt / tau), the share of the state that
        is kept from step to step, ``memory (hidden)`` = tau / dt in frames, and ``noise_sd
        (output)``.
    history : Dataset over ``epoch``: ``loss``, ``validation_loss``.
    status : how the fit ended; ``status.remedy`` says what to try.
    settings : arguments of the fit.
    provenance : versions, seed, fingerprint of the data.
    seeds : Dataset over ``seed``, or None
        All fits, where several were asked for (``n_seeds``): ``loss``, ``status`` and every
        physical parameter, with mean and sd over seeds in their attrs.
    regimes : Dataset over ``epoch``, or None
        What a `RegimeGuard` saw and did: ``regime``, ``exponent``, ``horizon``, ``action``.
    """

    model: RecurrentModel
    parameters: xr.Dataset
    history: xr.Dataset
    status: Status
    settings: Mapping[str, Any]
    provenance: Mapping[str, Any]
    seeds: xr.Dataset | None = None
    regimes: xr.Dataset | None = None

    def with_seeds(self, seeds: xr.Dataset) -> Self:
        """Return the same result beside the table of all seeds it was chosen from."""
        return replace(self, seeds=seeds)

    @property
    def loss(self) -> float:
        """Training loss of the model returned, without dropout and noise."""
        return self._loss_of("loss")

    @property
    def validation_loss(self) -> float:
        """Loss of the model returned on the validation part; NaN where there was none."""
        return self._loss_of("validation_loss")

    def _loss_of(self, name: str) -> float:
        """Of the weights returned; of the best epoch in files of older versions."""
        if name in self.provenance:
            return float(self.provenance[name])
        watched = self.history["validation_loss"].values
        of_choice = watched if np.isfinite(watched).any() else self.history["loss"].values
        best = int(np.nanargmin(of_choice)) if np.isfinite(of_choice).any() else -1
        return float(self.history[name].values[best])

    def predict(self, data: Any) -> xr.DataArray:
        """Return what the model expects of the targets, given the inputs.

        Parameters
        ----------
        data : as for `nr.fit`: windows, a pair ``(inputs, targets)``, lists of trials or a series;
            or inputs alone (trial, time, input).

        Returns
        -------
        DataArray (trial, time, output)
            Means of the distribution that was fitted: expected counts for ``"poisson"``,
            probabilities for ``"bernoulli"`` and ``"categorical"``. NaN where a trial of a list,
            or a window, was over before the longest.

        Raises
        ------
        KindError, ShapeError, UnitError, DataError
            Data that do not fit the model.
        """
        inputs, over = self._inputs_of(data)
        found = self._mean_on(inputs)
        # A trial that was over before the others predicts nothing.
        found[over] = torch.nan
        coords: dict[str, Any] = {"output": self.model.labels["output"]}
        time = (np.arange(found.shape[1]) + 1) * self.model.dt
        coords["time"] = ("time", time, {"units": self.model.time_unit})
        return xr.DataArray(
            found.numpy(),
            dims=("trial", "time", "output"),
            coords=coords,
            name="predicted",
            attrs={"long_name": f"mean under a {self.settings['objective']} likelihood"},
        )

    def score(self, data: Any) -> float:
        """Return R2 on data, over all targets that count, averaged over outputs.

        Parameters
        ----------
        data : as for `nr.fit`; never what it was fitted to, where the number is to be believed.

        Raises
        ------
        DataError
            No output has targets that change.
        """
        given = as_training_data(data, self.model)
        return r2_where(self._mean_on(given.inputs), given.targets, given.mask)

    def _inputs_of(self, data: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs (trial, time, input), and where a trial was over, (trial, time)."""
        pair = isinstance(data, tuple | list) and len(data) in (2, 3)
        series = isinstance(data, xr.DataArray) and "trial" not in data.dims
        if not (isinstance(data, xr.Dataset) or pair or series):
            inputs = self._precise().as_inputs(data)
            return inputs, torch.zeros(inputs.shape[:2], dtype=torch.bool)
        given = as_training_data(data, self.model)
        lists = [part for part in data[:2] if is_list_of_trials(part)] if pair else []
        if lists:
            ends = torch.tensor([len(trial) for trial in lists[-1]])
        elif pair:
            ends = torch.full((len(given.inputs),), given.inputs.shape[1])
        else:
            # Windows are filled up with zeros that do not count.
            active = given.mask.any(2) | (torch.nan_to_num(given.inputs) != 0).any(2)
            ends = (active * (torch.arange(active.shape[1]) + 1)).amax(1)
        return given.inputs, torch.arange(given.inputs.shape[1]) >= ends[:, None]

    def _precise(self) -> RecurrentModel:
        """A copy in float64 on the processor; the model itself stays as it is."""
        return copy.deepcopy(self.model).cpu().double().eval()

    def _mean_on(self, inputs: torch.Tensor) -> torch.Tensor:
        """Mean of the targets, in float64."""
        with torch.no_grad():
            output = self._precise()(inputs.cpu()).output
        return objective_named(self.settings["objective"]).mean(output)

    def _how_it_ended(self) -> str:
        """Say what the status means for this fit: Adam knows that the loss settled, no more."""
        by_adam = self.settings["optimizer"] == "adam" and not self.provenance.get("refined")
        if self.status is Status.OK and by_adam:
            return "The loss settled; that this is the maximum of the likelihood was not shown."
        return self.status.remedy

    def _report_table(self) -> Table:
        said = f"loss {format_number(self.loss)}"
        if np.isfinite(self.validation_loss):
            said += f", on the validation part {format_number(self.validation_loss)}"
        head = [
            f"status: {self.status}. {self._how_it_ended()}",
            f"{type(self.model).__name__} with "
            f"{sum(p.numel() for p in self.model.parameters())} weights; "
            f"{self.history.sizes['epoch']} epochs of {self.settings['optimizer']}; {said}",
        ]
        if "error" in self.provenance:
            head.append(f"error: {self.provenance['error']}")
        if self.seeds is not None:
            loss_of = self.seeds["loss"]
            head.append(
                f"the best of {self.seeds.sizes['seed']} seeds; {loss_of.attrs['long_name']}: "
                f"mean {format_number(loss_of.attrs['mean'])}, "
                f"sd {format_number(loss_of.attrs['sd'])}"
            )
        if self.regimes is not None:
            head += regimes_told(self.regimes)
        clock = self.parameters.get("clock")
        if clock is not None and bool((clock == "unresolved").any()):
            n = int((clock == "unresolved").sum())
            more = (
                "record faster"
                if getattr(self.model, "substeps", 2) > 1
                else ("raise substeps, or record faster")
            )
            head.append(
                f"{n} of {clock.size} time constants are shorter than 5 dt and move with the "
                f"clock: {more}"
            )
        return parameters_table(
            self.parameters.drop_vars("covariance", errors="ignore"), "Fit", head=head
        )

    def __repr__(self) -> str:
        parts = [f"FitResult({type(self.model).__name__}, status={self.status}"]
        for name in ("tau_decay", "tau_rise", "tau"):
            if name not in self.parameters:
                continue
            tau = self.parameters[name].values
            low, high = format_number(tau.min()), format_number(tau.max())
            span = low if low == high else f"{low} to {high}"
            parts.append(f"{name}={span} {self.model.time_unit}")
        return ", ".join(parts) + ")"

    def _methods_sentence(self) -> str:
        how = {"lbfgs": "L-BFGS", "adam": "Adam"}.get(self.settings["optimizer"], "no optimiser")
        said = (
            f"A {type(self.model).__name__} (dt = {self.model.dt:g} {self.model.time_unit}) was "
            f"fitted with neurornn by {how} to a {self.settings['objective']} likelihood"
        )
        if self.settings.get("teacher_forcing"):
            said += f" under teacher forcing ({self.settings['teacher_forcing']:g})"
        if self.settings.get("truncation"):
            said += (
                f", gradients truncated at {self.settings['truncation']:g} {self.model.time_unit}"
            )
        if self.status is Status.STOPPED_EARLY:
            said += ", stopped by a validation part"
        elif np.isfinite(self.history["validation_loss"].values).any():
            said += ", a validation part watched"
        if self.seeds is not None:
            said += f", the best of {self.seeds.sizes['seed']} seeds"
        if self.regimes is not None:
            said += ", its leading Lyapunov exponent and gradient horizon watched"
        if self.provenance.get("refined"):
            said += ", at the end by L-BFGS in coordinates whitened by its Fisher information"
        if self._has_intervals():
            said += (
                f"; intervals of time constants ({100 * self.settings['confidence_level']:g} %) "
                "come from its Fisher information with all other weights marginalised"
            )
        return said

    def _has_intervals(self) -> bool:
        names = [f"{p.name}_ci" for p in self.model.physical_parameters]
        return any(np.isfinite(self.parameters[n]).any() for n in names if n in self.parameters)

    _packages = ("numpy", "torch")

    def _papers_used(self) -> list[str]:
        optimiser = {"adam": ["kingma_2015"], "lbfgs": ["liu_1989"]}
        return [
            "paszke_2019",
            *optimiser.get(self.settings["optimizer"], []),
            *(["white_1982"] if self._has_intervals() else []),
        ]

    def _to_saved(self) -> dict[str, Any]:
        check_rebuilds(self.model)
        return {
            "settings": {
                "model_class": type(self.model).__name__,
                "model": self.model.settings,
                "model_dtype": dtype_of(self.model),
                "status": str(self.status),
                "fit": dict(self.settings),
                "provenance": dict(self.provenance),
            },
            "tables": {
                "parameters": self.parameters,
                "history": self.history,
                **({} if self.seeds is None else {"seeds": self.seeds}),
                **({} if self.regimes is None else {"regimes": self.regimes}),
            },
            "weights": weights_of(self.model),
        }

    @classmethod
    def _from_saved(cls, content: Any) -> Self:
        s = content.settings
        model = rebuilt(
            s["model_class"], s["model"], content.weights, s["model_dtype"], content.classes
        )
        return cls(
            model=model,
            parameters=content.tables["parameters"],
            history=content.tables["history"],
            status=Status(s["status"]),
            settings=s["fit"],
            provenance=s["provenance"],
            seeds=content.tables.get("seeds"),
            regimes=content.tables.get("regimes"),
        )


def r2_where(guess: torch.Tensor, targets: torch.Tensor, mask: torch.Tensor) -> float:
    """Return R2 over all targets that count, averaged over the outputs that change.

    Parameters
    ----------
    guess, targets, mask : (trial, time, output)

    Raises
    ------
    DataError
        No output has targets that change.
    """
    scores = []
    for o in range(targets.shape[2]):
        true, made = (part[..., o][mask[..., o]].numpy() for part in (targets, guess))
        # An output that does not change has no R2.
        if len(true) > 1 and np.ptp(true) > 0:
            scores.append(r2_score(true, made))
    if not scores:
        raise DataError(
            "No output has targets that change",
            "Targets that count and change were needed for a score",
            "Check the mask and the selection",
        )
    return float(np.mean(scores))
