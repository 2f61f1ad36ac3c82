"""The last stretch to the maximum of the likelihood, in coordinates in which it is round."""

import contextlib
import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch.linalg import LinAlgError  # type: ignore[attr-defined]

from neurornn._core.errors import DataError
from neurornn._core.jobs import progress_bar
from neurornn.models.base import RecurrentModel
from neurornn.training.batches import TrainingData
from neurornn.training.curvature import FEW_PARAMETERS, MAX_PARAMETERS, information
from neurornn.training.objectives import Objective, masked_mean, profiled_mean
from neurornn.training.scores import MAX_SAMPLED, sampled_fisher

#: Root mean square of the score per direction, in standard errors, at which the search ends, and
#: below which the maximum counts as reached: estimates are then off by that share of their error.
_GOAL, _REACHED = 0.01, 0.1
#: Scores per weight for the metric, and so many more than weights; fewer values than so many per
#: weight are not refined on.
_SAMPLES, _MORE, _VALUES = 2, 1000, 5
#: Evaluations of the likelihood in each round, rounds.
_EVALUATIONS, _ROUNDS = 150, 10
#: A round must bring the score below this share of where it stood two rounds before: along a
#: valley in which weights trade against one another it never ends, and nothing is learned there.
_FALLS_TO = 0.5
#: Added to the metric, as a share of its diagonal: what is less determined than that stays put.
_RIDGE = 1e-7


class _Enough(Exception):
    """The score is small enough."""


def go_to_maximum(
    model: RecurrentModel,
    data: TrainingData,
    objective: Objective,
    rng: int,
    progress: bool = False,
) -> bool | None:
    """Move a model that is near the maximum of its likelihood onto it.

    Parameters
    ----------
    model : changed in place.
    data : of the fit, double precision.
    objective : observation model; the Gaussian with a noise variance of each output of its own.
    rng : seed of the drawn scores.
    progress : show a bar in a terminal or a notebook.

    Returns
    -------
    bool or None
        Whether the maximum was reached; None where the model is too large, or the data too few, or
        the model has corrections of its own, and nothing was done.

    Notes
    -----
    A first-order optimiser ends where progress is slow, not where the score is zero; a time
    constant can then be off by many of its standard errors. L-BFGS is run in coordinates whitened
    by the Fisher information, in which the likelihood is nearly a round bowl (Amari 1998,
    doi:10.1162/089976698300017746, for the metric).
    """
    free = [p for p in model.parameters() if p.requires_grad]
    n_weights = sum(p.numel() for p in free)
    if n_weights > MAX_SAMPLED or model.covariance_weights or not n_weights:
        return None
    if int(data.mask.sum()) < _VALUES * n_weights:
        return None
    search = _Search(model, data, objective)
    scores: list[float] = []
    with progress_bar(_ROUNDS * _EVALUATIONS, 0, progress, "last stretch") as search.tick:
        while len(scores) < _ROUNDS and _goes_on(scores):
            try:
                scores.append(search.run(rng + len(scores)))
            except (LinAlgError, DataError):
                break
    score = scores[-1] if scores else np.inf
    search.take(model)
    return bool(score < _REACHED)


def _goes_on(scores: list[float]) -> bool:
    """Whether the score is still to fall, and still falls."""
    if scores and scores[-1] < _GOAL * 2:
        return False
    return len(scores) < 3 or scores[-1] < _FALLS_TO * scores[-3]


class _Search:
    """Maximum of the likelihood over the weights of a copy, in whitened coordinates."""

    def __init__(self, model: RecurrentModel, data: TrainingData, objective: Objective) -> None:
        self.model = copy.deepcopy(model).double().train()
        self.free = [p for p in self.model.parameters() if p.requires_grad]
        self.data, self.objective = data, objective
        self.count = data.mask.sum((0, 1)).clamp(min=1).double()
        self.tick: Callable[[], None] = lambda: None

    def loss(self) -> torch.Tensor:
        """Minus the log-likelihood, up to constants, noise variances at their best."""
        output = self.model(self.data.inputs).output
        loss = self.objective.loss(output, self.data.targets)
        mean = profiled_mean if self.objective.name == "gaussian" else masked_mean
        return mean(loss, self.data.mask) * self.data.mask.sum()

    def values(self) -> torch.Tensor:
        """All free weights in a row."""
        return torch.cat([p.detach().flatten() for p in self.free])

    def put(self, values: torch.Tensor) -> None:
        """Set all free weights."""
        k = 0
        with torch.no_grad():
            for p in self.free:
                p.copy_(values[k : k + p.numel()].reshape(p.shape))
                k += p.numel()

    def metric(self, seed: int) -> torch.Tensor:
        """Lower Cholesky factor of the information at the weights at hand."""
        with torch.no_grad():
            output = self.model(self.data.inputs).output
            square = torch.where(self.data.mask, (output - self.data.targets) ** 2, 0.0)
            variance = (square.sum((0, 1)) / self.count).clamp(min=1e-12)
        if self.objective.name != "gaussian":
            variance = torch.ones_like(variance)
        n = len(self.values())
        precise = (torch.float64,) if n <= MAX_PARAMETERS else (torch.float32, torch.float64)
        for dtype in precise:
            found = self._information(variance, seed, dtype)
            diagonal = found.diagonal()
            floor = diagonal.max() * 1e-12
            found += torch.diag(_RIDGE * diagonal.clamp(min=floor) + floor)
            lower, failed = torch.linalg.cholesky_ex(found)
            if not int(failed):
                return lower
        raise LinAlgError("the information is not positive")

    def _information(self, variance: torch.Tensor, seed: int, dtype: torch.dtype) -> torch.Tensor:
        """From the Jacobian where it is quick, else from scores: it need not be exact here."""
        n = len(self.values())
        plain = copy.deepcopy(self.model).eval()
        if n <= FEW_PARAMETERS or (plain.observes_targets and n <= MAX_PARAMETERS):
            weights = {k: p.detach() for k, p in plain.named_parameters() if p.requires_grad}
            return information(plain, weights, self.data, self.objective, variance)[0]
        return sampled_fisher(
            plain.to(dtype),
            self.data.to(dtype),
            self.objective,
            variance,
            n_samples=max(_SAMPLES * n, n + _MORE),
            rng=seed,
        ).fisher

    def run(self, seed: int) -> float:
        """One round; return the root mean square score at the end, in standard errors."""
        lower, base = self.metric(seed), self.values()
        n = len(base)
        best: list[Any] = [np.inf, base.clone(), np.inf]

        def evaluate(z: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            self.tick()
            step = torch.linalg.solve_triangular(lower.T, torch.from_numpy(z)[:, None], upper=True)
            self.put(base + step[:, 0])
            for p in self.free:
                p.grad = None
            loss = self.loss()
            loss.backward()
            if not bool(torch.isfinite(loss)):
                return 1e300, np.zeros(n)
            row = torch.cat(
                [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in self.free]
            )
            score = torch.linalg.solve_triangular(lower, row[:, None], upper=False)[:, 0]
            size = float(score.norm()) / n**0.5
            value = float(loss.detach())
            if value < best[0]:
                best[:] = [value, self.values().clone(), size]
            if size < _GOAL:
                raise _Enough
            return value, score.numpy()

        with contextlib.suppress(_Enough):
            minimize(
                evaluate,
                np.zeros(n),
                jac=True,
                method="L-BFGS-B",
                options={"maxcor": 30, "maxfun": _EVALUATIONS, "ftol": 1e-15, "gtol": 1e-9},
            )
        self.put(best[1])
        return float(best[2])

    def take(self, model: RecurrentModel) -> None:
        """Give the weights found to a model."""
        with torch.no_grad():
            for mine, theirs in zip(self.model.parameters(), model.parameters(), strict=True):
                theirs.copy_(mine)
