"""What training a policy returns: the network, its return beside the ceiling, and how it went."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import xarray as xr

from neurornn._core.confidence import Estimate, bootstrap_interval, to_dataset
from neurornn._core.quantities import Quantity
from neurornn._core.report import Table, parameters_table
from neurornn._core.status import Status
from neurornn._core.units import format_number
from neurornn.models.base import RecurrentModel
from neurornn.training.policy_returns import evaluated
from neurornn.training.result import FitResult

#: Share of a training after which a policy is compared with the last one, and the share of the
#: return by which it may still have risen.
LATE, RISE = 0.8, 0.02
#: What `not_converged` means here.
REMEDY = (
    "The return still rose, or one action is taken always. Try more iterations, a larger entropy, "
    "or other seeds."
)
_NO_LIKELIHOOD = "a policy has no likelihood from which an interval could be read"


@dataclass(frozen=True, kw_only=True, eq=False)
class PolicyResult(FitResult):
    """Result of `fit_policy`; made by the library only.

    Attributes
    ----------
    model : the trained copy; its outputs are a number for each action, and the value.
    parameters : Dataset
        ``mean_return`` with its interval over episodes, discounted, in the unit of the rewards,
        each action the most probable one, on episodes of their own; ``ceiling``, the optimum on
        the exact belief, from above; ``share`` of the ceiling; physical parameters of the network.
    history : Dataset over ``epoch``, an iteration each: ``mean_return`` of the episodes played,
        with drawn actions; ``loss``, ``value_loss``, ``entropy`` (nat), ``length`` (steps).
    status : ``not_converged`` where the return still rose, or one action is taken always.
    settings, provenance : arguments; versions, seed.
    seeds : Dataset over ``seed``, or None: ``mean_return``, ``share`` and ``status`` of each.
    regimes : None; a `RegimeGuard` watches `nr.fit`.
    """

    _quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            name="mean_return", units="1", long_name="discounted return of an episode",
            method="mean over episodes of their own, the most probable action each time; interval "
            "by bootstrap over episodes",
        ),
        Quantity(
            name="ceiling", units="1", long_name="optimum on the exact belief, from above",
            method="value iteration on a grid of beliefs", reason="a bound",
        ),
        Quantity(
            name="share", units="1", long_name="return over ceiling",
            method="return and its interval over the ceiling",
        ),
    )  # fmt: skip

    @property
    def mean_return(self) -> float:
        """Discounted return of an episode."""
        return float(self.parameters["mean_return"])

    @property
    def ceiling(self) -> float:
        """Optimum on the exact belief, from above; NaN where it is not known."""
        return float(self.parameters["ceiling"])

    def predict(self, data: Any) -> xr.DataArray:
        """Return the probability of each action.

        Parameters
        ----------
        data : (trial, time, input), inputs of the network: observation and last action one-hot.

        Returns
        -------
        DataArray (trial, time, action)
        """
        with torch.no_grad():
            output = self._precise()(data).output[..., :-1]
        time = (np.arange(output.shape[1]) + 1) * self.model.dt
        return xr.DataArray(
            torch.softmax(output, dim=-1).numpy(),
            dims=("trial", "time", "action"),
            coords={"time": ("time", time, {"units": self.model.time_unit})},
            name="probability",
            attrs={"units": "1", "long_name": "probability of the action"},
        )

    def score(self, data: Any) -> float:
        """Return the mean discounted return on episodes of a task.

        Parameters
        ----------
        data : the task.
        """
        return float(evaluated(self.model, data, self.settings, path=4).mean())

    def _how_it_ended(self) -> str:
        return REMEDY if self.status is Status.NOT_CONVERGED else "The return settled."

    def _report_table(self) -> Table:
        last = self.history.isel(epoch=-1)
        head = [
            f"status: {self.status}. {self._how_it_ended()}",
            f"{type(self.model).__name__} with "
            f"{sum(p.numel() for p in self.model.parameters())} weights; "
            f"{self.history.sizes['epoch']} iterations of {self.settings['n_episodes']} episodes; "
            f"entropy of the actions at the end {format_number(float(last['entropy']))} nat",
        ]
        if "error" in self.provenance:
            head.append(f"error: {self.provenance['error']}")
        if self.seeds is not None:
            of = self.seeds["mean_return"]
            head.append(
                f"the best of {self.seeds.sizes['seed']} seeds; return: mean "
                f"{format_number(of.attrs['mean'])}, sd {format_number(of.attrs['sd'])}"
            )
        return parameters_table(self.parameters, "Policy", head=head)

    def __repr__(self) -> str:
        said = f"PolicyResult({type(self.model).__name__}, return={self.mean_return:.4g}"
        if np.isfinite(self.ceiling):
            said += f" of {self.ceiling:.4g}"
        return f"{said}, status={self.status})"

    def _methods_sentence(self) -> str:
        s = self.settings
        said = (
            f"A {type(self.model).__name__} was trained with neurornn as a policy by proximal "
            f"policy optimisation ({s['n_iterations']} iterations of {s['n_episodes']} episodes, "
            f"discount {s['discount']:g}, entropy bonus {s['entropy']:g} falling to 0)"
        )
        if self.seeds is not None:
            said += f", the best of {self.seeds.sizes['seed']} seeds"
        return said

    def _papers_used(self) -> list[str]:
        grid = ["lovejoy_1991"] if np.isfinite(self.ceiling) else []
        return ["paszke_2019", "kingma_2015", "schulman_2016", "schulman_2017", *grid]


def policy_table(
    model: RecurrentModel,
    returns: np.ndarray,
    ceiling: float,
    why_none: str,
    confidence_level: float,
    seed: int,
) -> xr.Dataset:
    """Lay out what a policy gains, beside its ceiling.

    Parameters
    ----------
    model : trained.
    returns : (episode,), discounted.
    ceiling : NaN where it is not known, and then `why_none` says why.
    """
    mean = float(returns.mean())
    ci = np.array(
        bootstrap_interval(returns, confidence_level=confidence_level, rng=seed), dtype=float
    )
    gain, top, share = PolicyResult._quantities
    over = mean / ceiling if ceiling > 0 else np.nan
    known = np.isfinite(over)
    few = "" if np.isfinite(ci).all() else "fewer than 3 episodes"
    no_share = why_none or "the ceiling is not above 0, and a share of it means nothing"
    estimates = [
        gain.of(mean, ci, reason=few),
        top.of(ceiling, None, reason=why_none or top.reason),
        share.of(over, ci / ceiling if known else ci * np.nan, reason=few if known else no_share),
    ]
    estimates += [
        Estimate(
            name=p.name,
            value=model.physical_value(p).detach().cpu().double().numpy(),
            units=p.units,
            long_name=p.long_name,
            method="learned with the weights",
            dims=p.dims,
            reason=_NO_LIKELIHOOD,
        )
        for p in model.physical_parameters
    ]
    used = {d for p in model.physical_parameters for d in p.dims}
    coords: dict[Hashable, Any] = {k: np.array(v) for k, v in model.labels.items() if k in used}
    return to_dataset(estimates, confidence_level=confidence_level, coords=coords)


def policy_status(late: np.ndarray, last: np.ndarray, one_action: bool) -> Status:
    """Whether a policy settled: it changes its action, and the last fifth brought little more.

    Parameters
    ----------
    late, last : (episode,), returns of the most probable actions on the same episodes, after
        four fifths of the training, and at its end.
    one_action : the same action is taken at every step of every episode.
    """
    if one_action or len(late) != len(last) or len(late) < 3:
        return Status.NOT_CONVERGED
    rise = last - late
    sure = rise.mean() > 3 * rise.std() / np.sqrt(len(rise))
    return Status.NOT_CONVERGED if sure and rise.mean() > RISE * abs(last.mean()) else Status.OK
