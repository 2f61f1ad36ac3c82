"""What a step of a new task will do to an earlier one, foreseen before it and measured after."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurornn.training.batches import TrainingData
from neurornn.training.continual_remedies import Remedy
from neurornn.training.run import Run

#: Columns of what is measured at a step, for each earlier task.
MEASURED = ("overlap", "forgetting", "cosine", "share")
#: Trials of an earlier task on which the overlap is formed.
_TRIALS = 64
#: Share of the step along which outputs are followed to both sides, for their derivative.
_NUDGE = 0.1
#: Share of the curvature of a task that its sensitive subspace holds, and most directions of it.
_HELD, _MOST = 0.95, 100


def sensitive_subspace(scores: Tensor) -> NDArray[np.float32]:
    """Directions of the weights along which the outputs of a task change, orthonormal.

    Parameters
    ----------
    scores : (sample, weight), see `fisher_scores`.

    Returns
    -------
    (direction, weight)
        The leading ones of their second moment, that hold 95 % of its trace; at most 100.
    """
    x = scores.double()
    # Fewer samples than weights: the small side is the one to decompose.
    values, vectors = torch.linalg.eigh(x @ x.T)
    values, vectors = values.flip(0).clamp(min=0.0), vectors.flip(1)
    held = torch.cumsum(values, 0) / values.sum().clamp(min=1e-300)
    n = min(int((held < _HELD).sum()) + 1, _MOST, int((values > 1e-12 * values[0]).sum()) or 1)
    basis = (vectors[:, :n] / values[:n].clamp(min=1e-300).sqrt()).T @ x
    return basis.float().numpy()


class OverlapWatch:
    """Looks on while a task is learned; passes everything on to the remedy.

    Parameters
    ----------
    remedy : that takes part, or None.
    learned, scored : of each earlier task, trials on which the overlap is formed before a step,
        and trials on which forgetting is measured across it.
    bases : of each earlier task, its sensitive subspace (direction, weight).
    at : numbers of the steps that are looked at, from 0 on.
    """

    def __init__(
        self,
        remedy: Remedy | None,
        learned: Sequence[TrainingData],
        scored: Sequence[TrainingData],
        bases: Sequence[NDArray[np.float32]],
        at: Sequence[int],
    ) -> None:
        self.remedy = remedy
        self.learned = [d.pick(torch.arange(min(_TRIALS, len(d.inputs)))) for d in learned]
        self.scored, self.bases, self.at = list(scored), list(bases), set(map(int, at))
        self.step = -1
        self.rows: list[list[list[float]]] = []
        self.task_gradient: Tensor | None = None
        self.old: list[Tensor] = []

    def before(self, run: Run) -> None:
        """Keep the gradient of the new task and the weights."""
        self.step += 1
        if self.step in self.at:
            self.task_gradient = _joined(p.grad for p in run.weights)
            self.old = [p.detach().clone() for p in run.weights]
        if self.remedy is not None:
            self.remedy.before(run)

    def after(self, run: Run) -> None:
        """Form the overlap where the step began; measure what it cost."""
        if self.remedy is not None:
            self.remedy.after(run)
        if self.step not in self.at:
            return
        assert self.task_gradient is not None
        run.model.eval()
        new = [p.detach().clone() for p in run.weights]
        step = [b - a for a, b in zip(self.old, new, strict=True)]
        lost = [_value(run, d) for d in self.scored]
        _put(run, self.old)
        lost = [after - _value(run, d) for after, d in zip(lost, self.scored, strict=True)]
        moved = _joined(step)
        row = []
        for data, basis, forgotten in zip(self.learned, self.bases, lost, strict=True):
            slope = _gradient(run, data)
            bend = self._curvature(run, data, step)
            row.append([
                float(slope @ moved) + 0.5 * bend, forgotten,
                _cosine(slope, self.task_gradient), _share(moved, basis),
            ])  # fmt: skip
        _put(run, new)
        run.model.train()
        self.rows.append(row)

    def _curvature(self, run: Run, data: TrainingData, step: list[Tensor]) -> float:
        """Second derivative of the loss along the step, by the derivatives of the outputs."""
        outputs = []
        with torch.no_grad():
            for sign in (_NUDGE, -_NUDGE):
                _put(run, [a + sign * s for a, s in zip(self.old, step, strict=True)])
                outputs.append(run.model(data.inputs).output)
            _put(run, self.old)
            slope = (outputs[0] - outputs[1]) / (2 * _NUDGE)
            middle = 0.5 * (outputs[0] + outputs[1])
            bend = run.objective.information(middle) * slope**2
            if run.objective.name == "categorical":
                mean = (run.objective.mean(middle) * slope).sum(-1, keepdim=True)
                bend = run.objective.mean(middle) * (slope - mean) ** 2
            return float(torch.where(data.mask, bend, 0.0).sum() / data.mask.sum())

    def table(self) -> NDArray[np.float64]:
        """What was measured, (step, task, column), columns as in `MEASURED`."""
        return np.array(self.rows, dtype=float).reshape(-1, len(self.learned), len(MEASURED))


def _joined(parts: object) -> Tensor:
    return torch.cat([p.detach().double().flatten() for p in parts])  # type: ignore[attr-defined]


def _put(run: Run, values: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for p, v in zip(run.weights, values, strict=True):
            p.copy_(v)


def _value(run: Run, data: TrainingData) -> float:
    with torch.no_grad():
        return float(run.loss_on(data))


def _gradient(run: Run, data: TrainingData) -> Tensor:
    loss = run.loss_on(data)
    found = torch.autograd.grad(loss, run.weights, allow_unused=True)
    return _joined(
        torch.zeros_like(p) if g is None else g for g, p in zip(found, run.weights, strict=True)
    )


def _cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()).clamp(min=1e-300))


def _share(moved: Tensor, basis: NDArray[np.float32]) -> float:
    """Share of the squared length of a step that lies in a subspace."""
    inside = torch.from_numpy(basis).double() @ moved
    return float((inside**2).sum() / (moved**2).sum().clamp(min=1e-300))
