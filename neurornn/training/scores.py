"""Scores of single trials: the gradient of each trial's log-likelihood, all trials at once.

From many of them, under targets drawn from the model itself, comes the Fisher information of
models too large for a full Jacobian.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vjp, vmap

from neurornn._core.rng import derived_seed
from neurornn.models.base import RecurrentModel
from neurornn.models.gates import GatedRNN
from neurornn.models.leaky import LeakyRNN
from neurornn.models.recurrence import run_leaky
from neurornn.training.batches import TrainingData
from neurornn.training.objectives import Objective, draw_targets

#: Models with more weights get no Fisher matrix: at 20,000 it takes 3 GB and some minutes.
MAX_SAMPLED = 20_000
#: Entries of the scores held at a time, 256 MB in double precision.
_MAX_ENTRIES = 3.2e7


class Sampled(NamedTuple):
    """Fisher information as the mean of outer products of scores.

    Attributes
    ----------
    fisher : (weight, weight), of all the data, double precision.
    n_samples : independent scores that went into it.
    """

    fisher: Tensor
    n_samples: int

    def inverse_factor(self) -> float:
        """Take the bias out of its inverse: that of a Wishart matrix is n / (n - p - 1) large."""
        return (self.n_samples - len(self.fisher) - 1) / self.n_samples

    def sandwich(self, raw: Tensor, trace: Tensor, plain: Tensor) -> Tensor:
        """Take the bias out of the diagonal of ``C M C``.

        Parameters
        ----------
        raw : (weight,), that diagonal with C the inverse after `inverse_factor`.
        trace : of ``C M``.
        plain : (weight,), the diagonal of C.

        Notes
        -----
        From the second moment of an inverse Wishart matrix (von Rosen 1988, Scand. J. Stat.
        15:97): the error of C adds a share of C itself.
        """
        free = self.n_samples - len(self.fisher)
        found = (raw * free * (free - 3) / (free - 1) - trace * plain) / (free - 1)
        return found.clamp(min=0.0)


def trial_scores(model: RecurrentModel, inputs: Tensor, pull: Tensor) -> Tensor:
    """Gradient of ``sum(pull * output)`` of every trial with respect to the free weights.

    Parameters
    ----------
    model : any.
    inputs : (trial, time, input)
    pull : (trial, time, output), derivative of each trial's log-likelihood by the output.

    Returns
    -------
    (trial, weight), weights in the order of `model.parameters()` that are learned.
    """
    free = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}
    if isinstance(model, LeakyRNN) and model.recurrent:
        found = _leaky_scores(model, inputs, pull)
    elif isinstance(model, GatedRNN):
        return _scores_one_by_one(model, inputs, pull)
    else:
        rest = {n: b.detach() for n, b in model.state_dict().items() if n not in free}

        def one(weights: dict[str, Tensor], x: Tensor, c: Tensor) -> Tensor:
            out = functional_call(model, {**rest, **weights}, (x[None],)).output
            return (out[0] * c).sum()

        found = vmap(grad(one), in_dims=(None, 0, 0))(free, inputs, pull)
    return torch.cat([found[n].reshape(len(inputs), -1) for n in free], 1)


def _scores_one_by_one(model: RecurrentModel, inputs: Tensor, pull: Tensor) -> Tensor:
    """`trial_scores` of models whose layers do not take many sets of weights at once."""
    weights = [p for p in model.parameters() if p.requires_grad]
    rows = []
    for x, c in zip(inputs, pull, strict=True):
        found = torch.autograd.grad((model(x[None]).output[0] * c).sum(), weights)
        rows.append(torch.cat([g.flatten() for g in found]))
    return torch.stack(rows)


class _Equation(nn.Module):
    """What stands in the equation of a leaky network, made from its weights."""

    def __init__(self, model: LeakyRNN) -> None:
        super().__init__()
        self.model = model

    def forward(self) -> dict[str, Tensor]:
        m = self.model
        made = {"alpha": m.alpha(), "recurrent": m.weights(), "bias": m.bias}
        made["input"] = m.input_weight
        if m.initial_state != "zero":
            made["start"] = m.first_state
        if m.initial_state == "input":
            made["first"] = m.first_weight
        if m.readout == "linear":
            made["read"], made["offset"] = m.output_weight, m.output_bias
        # Weights that stand there as they are must not come out as the very same tensors.
        return {name: x.clone() for name, x in made.items() if x is not None}


def _leaky_scores(model: LeakyRNN, inputs: Tensor, pull: Tensor) -> dict[str, Tensor]:
    """`trial_scores` from one run of the network's own adjoint, and a product per trial.

    First with respect to what stands in the equation (W, U, b, alpha, start, read-out), then
    through how those are made from the weights.
    """
    free = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}
    m = model.substeps

    def equation(weights: dict[str, Tensor]) -> dict[str, Tensor]:
        return functional_call(_Equation(model), {f"model.{n}": p for n, p in weights.items()}, ())

    with torch.no_grad():
        made = {name: x.detach() for name, x in equation(free).items()}
        seen = inputs.transpose(0, 1)
        drive = nn.functional.linear(seen, made["input"], made["bias"])
        if m > 1:
            drive, seen = drive.repeat_interleave(m, 0), seen.repeat_interleave(m, 0)
        start = model.start_from(inputs).detach().clone()
    moved = torch.zeros_like(drive)
    for x in (drive, start, moved):
        x.requires_grad_()
    with torch.enable_grad():
        states = run_leaky(
            drive, made["recurrent"], made["alpha"], start, model.nonlinearity, model.form, moved
        )
        shown = states[m - 1 :: m].transpose(0, 1)
        output = model.read(shown, inputs)
        by_drive, by_state, by_start = torch.autograd.grad(output, [drive, moved, start], pull)
    with torch.no_grad():
        before = torch.cat([start[None], states[:-1]])
        sent = before if model.form == "rate" else model._f(before)
        across = by_drive.permute(1, 2, 0)
        found = {
            "alpha": (by_state * (states - before) / made["alpha"]).sum(0),
            "recurrent": torch.bmm(across, sent.transpose(0, 1)),
            "input": torch.bmm(across, seen.transpose(0, 1)),
            "bias": by_drive.sum(0),
            "start": by_start,
            "first": by_start[:, :, None] * inputs[:, :1],
        }
        if model.readout == "linear":
            read = shown if model.form == "rate" else model._f(shown)
            found["read"] = torch.bmm(pull.transpose(1, 2), read)
            found["offset"] = pull.sum(1)
    _, back = vjp(equation, free)  # type: ignore[misc]
    return vmap(back)({name: found[name] for name in made})[0]


def sampled_fisher(
    model: RecurrentModel,
    data: TrainingData,
    objective: Objective,
    variance: Tensor,
    *,
    n_samples: int,
    rng: int = 0,
) -> Sampled:
    """Estimate the Fisher information from scores under targets drawn from the model.

    Parameters
    ----------
    model : at its maximum of the likelihood; single precision will do.
    data : inputs and mask; the targets are not looked at.
    objective : observation model.
    variance : (output,), of the Gaussian noise; ones otherwise.
    n_samples : scores, at least; rounded up to whole passes over the trials.
    rng : seed.

    Returns
    -------
    Sampled

    Notes
    -----
    The covariance of the score is the information. The score of a trial whose targets are drawn
    anew is one sample of it; ``n`` of them give any variance in its inverse with a relative sd of
    ``sqrt(2 / (n - p))``, p the number of weights, however ill-conditioned the information is.
    """
    n_trials = len(data.inputs)
    with torch.no_grad():
        output = model(data.inputs).output
    p = sum(w.numel() for w in model.parameters() if w.requires_grad)
    fisher = torch.zeros(p, p, dtype=torch.float64)
    # One long product for many scores: short ones are bound by memory.
    together = max(1, int(_MAX_ENTRIES / p))
    n_passes = -(-n_samples // n_trials)
    draw = torch.Generator().manual_seed(derived_seed(rng, 11))
    waiting: list[Tensor] = []
    for k in range(n_passes):
        drawn = draw_targets(objective, output, variance, draw)
        pull = torch.where(
            data.mask, (drawn - objective.mean(output)) / variance.to(output.dtype), 0.0
        )
        for some in torch.arange(n_trials).split(together):
            waiting.append(trial_scores(model, data.inputs[some], pull[some]))
            is_last = k == n_passes - 1 and int(some[-1]) == n_trials - 1
            if is_last or sum(map(len, waiting)) + n_trials > together:
                scores = torch.cat(waiting)
                fisher += (scores.T @ scores).double()
                waiting = []
    return Sampled(fisher / n_passes, n_passes * n_trials)
