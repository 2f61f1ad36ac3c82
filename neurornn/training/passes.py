"""How gradients are taken over time: whole trials, exact segments, truncated, teacher-forced."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from neurornn._core.errors import DataError, KindError
from neurornn._core.old_names import renamed
from neurornn.models.base import ModelOutput, RecurrentModel
from neurornn.training.batches import TrainingData, as_training_data

#: Loss of some steps: (output, data of those steps) -> sum over the entries that count.
SummedLoss = Callable[[Tensor, TrainingData], Tensor]
#: States of a batch beyond so many bytes are not all held: exact segments are used instead.
_MAX_BYTES = 2.5e8


class Passes(NamedTuple):
    """How to go through time, in steps.

    Attributes
    ----------
    truncation : gradients do not reach back further than the start of such a stretch, and a step
        of the optimiser is taken for each; None for no limit.
    segment : length of the stretches whose states are held at a time, the gradient exact; None to
        hold all states.
    forcing : share of the output error that is taken out of the state, 0 for none.
    forcing_interval : steps from one correction to the next.
    """

    truncation: int | None = None
    segment: int | None = None
    forcing: float = 0.0
    forcing_interval: int = 1


def make_passes(
    model: RecurrentModel,
    n_trials: int,
    n_steps: int,
    *,
    truncation: float | None,
    segment_duration: float | str | None,
    teacher_forcing: float,
    forcing_interval: float | None,
) -> Passes:
    """Turn what the user asked for, in s, into steps.

    Parameters
    ----------
    model : to be trained.
    n_trials, n_steps : of a batch.
    truncation, segment_duration, forcing_interval : in the model's time unit. A segment may be
        ``"auto"``: none where the states of a batch take less than 250 MB.
    teacher_forcing : between 0 and 1.

    Raises
    ------
    DataError, KindError
        Durations shorter than a step, a model that cannot be run in stretches.
    """
    dt, unit = model.dt, model.time_unit

    def steps(value: float | None, name: str) -> int | None:
        if value is None:
            return None
        if not value >= 0.5 * dt:
            raise DataError(
                f"{name} is {value} {unit}",
                f"At least one step, {dt:g} {unit}, was needed",
                f"Pass for example {name}={100 * dt:g}",
            )
        found = max(1, round(value / dt))
        return None if found >= n_steps and name != "forcing_interval" else found

    if not 0 <= teacher_forcing <= 1:
        raise DataError(
            f"teacher_forcing is {teacher_forcing}",
            "A share between 0 (none) and 1 was needed",
            "Pass for example teacher_forcing=1.0 with forcing_interval in s",
        )
    if isinstance(segment_duration, str) and segment_duration != "auto":
        raise DataError(
            f"segment_duration is {segment_duration!r}",
            f"A duration in {unit}, 'auto' or None was needed",
            "Leave it at 'auto'",
        )
    in_stretches = not (model.observes_targets or model.looks_ahead)
    drops = any(isinstance(m, nn.Dropout) and m.p > 0 for m in model.modules())
    if segment_duration == "auto":
        # States, activity and their gradients, single precision.
        needed = 12.0 * n_trials * n_steps * max(model.n_hidden, 1)
        segment = None
        other_way = truncation is not None or teacher_forcing or drops
        if in_stretches and needed > _MAX_BYTES and not other_way:
            segment = max(1, min(n_steps, int(n_steps * _MAX_BYTES / 8 / needed)))
    else:
        segment = steps(segment_duration, "segment_duration")  # type: ignore[arg-type]
    cut = steps(truncation, "truncation")
    if (segment or cut or teacher_forcing) and not in_stretches:
        raise KindError(
            f"{type(model).__name__} was to be run in stretches",
            "A model whose state carries all there is from step to step was needed",
            "Leave truncation, segment_duration and teacher_forcing out",
        )
    if sum(x is not None for x in (segment, cut)) + bool(teacher_forcing) > 1:
        raise DataError(
            "More than one of truncation, segment_duration and teacher_forcing came",
            "One of them was needed",
            "Exact segments save memory alone; truncation shortens the gradient",
        )
    if segment and drops:
        raise DataError(
            "segment_duration came for a model with dropout",
            "One mask for the whole of a sequence was needed, a segment would draw its own",
            "Set dropout=0, or leave segment_duration out",
        )
    interval = steps(forcing_interval, "forcing_interval") or 1
    return Passes(cut, segment, float(teacher_forcing), interval)


def stretches(data: TrainingData, length: int) -> Iterator[TrainingData]:
    """Cut the steps of all trials into consecutive stretches."""
    n_steps = data.targets.shape[1]
    for k in range(0, n_steps, length):
        part = slice(k, min(k + length, n_steps))
        yield TrainingData(data.inputs[:, part], data.targets[:, part], data.mask[:, part])


def run_forced(
    model: RecurrentModel, data: TrainingData, passes: Passes
) -> tuple[ModelOutput, Tensor]:
    """Run a model whose state is pulled towards the targets at intervals.

    Parameters
    ----------
    model : with a linear read-out of its states, or none.
    data : targets and mask are used for the corrections.
    passes : `forcing` and `forcing_interval`.

    Returns
    -------
    ModelOutput, before the correction of each step; mask (trial, time, output) of the outputs that
    are predictions: not those of the first step, which only finds the state.

    Notes
    -----
    The state is moved by ``forcing * C^+ (target - output)``, the least change that takes that
    share of the error out. With an interval of 1 this is generalised teacher forcing (Hess,
    Monfared, Brenner & Durstewitz 2023, arXiv:2306.04406), with ``forcing=1`` and longer intervals
    sparse teacher forcing (Mikhaeil, Monfared & Durstewitz 2022, arXiv:2110.07238): it keeps
    gradients finite on chaotic data, which the free model cannot follow for long.
    """
    back = model.read_back()
    outputs, all_states = [], []
    state = model.start_from(data.inputs[:, :1])
    n_steps, begin = data.targets.shape[1], 0
    while begin < n_steps:
        # The first step stands alone: the state is found from what is observed in it.
        length = 1 if begin == 0 else passes.forcing_interval
        part = slice(begin, min(begin + length, n_steps))
        states, state = model.scan(data.inputs[:, part], state)
        output = model.read(states, data.inputs[:, part])
        last = min(begin + length, n_steps) - 1
        error = torch.where(data.mask[:, last], data.targets[:, last] - output[:, -1], 0.0)
        strength = 1.0 if begin == 0 else passes.forcing
        state = state + strength * (error @ back.T)
        outputs.append(output)
        all_states.append(states)
        begin += length
    mask = data.mask.clone()
    mask[:, 0] = False
    return ModelOutput(torch.cat(outputs, 1), torch.cat(all_states, 1)), mask


@renamed(share="teacher_forcing", interval="forcing_interval")
def follow(
    model: RecurrentModel,
    data: Any,
    *,
    teacher_forcing: float = 1.0,
    forcing_interval: float | None = None,
) -> ModelOutput:
    """Let a model follow observed data, and find the states from which it can go on by itself.

    Parameters
    ----------
    model : with a linear read-out of its states, or none.
    data : as for `nr.fit`.
    teacher_forcing : share of the output error that is taken out of the state at each correction.
    forcing_interval : in the model's time unit, between corrections; by default every step.

    Returns
    -------
    ModelOutput
        ``output`` before each correction: predictions, from the second step on; ``states`` as
        predicted. ``model.free_run(n, found.states[:, -1])`` goes on from the last step.

    Raises
    ------
    KindError
        The output is not a linear function of the state.

    Examples
    --------
    >>> import neurornn as nr
    >>> series = nr.simulate.simulate_system("pendulum", 5.0, 0.1, rng=0)["series"].values
    >>> model = nr.models.LeakyRNN(0, 8, 2, dt=0.1, tau=0.5, rng=0)
    >>> found = follow(model, (None, series))
    >>> model.free_run(20, found.states[:, -1]).output.shape
    torch.Size([1, 20, 2])
    """
    given = as_training_data(data, model)
    passes = make_passes(
        model,
        *given.targets.shape[:2],
        truncation=None,
        segment_duration=None,
        teacher_forcing=teacher_forcing,
        forcing_interval=forcing_interval,
    )
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            return run_forced(model, given.to(next(model.parameters()).dtype), passes)[0]
    finally:
        model.train(was_training)


def segment_gradient(
    model: RecurrentModel, data: TrainingData, loss: SummedLoss, length: int
) -> Tensor:
    """Add the exact gradient of a summed loss to ``.grad``, holding one segment of states.

    Parameters
    ----------
    model : run on from its own state.
    data : whole trials.
    loss : sum over the entries of some steps.
    length : steps of a segment.

    Returns
    -------
    the summed loss, detached

    Notes
    -----
    Forward without a graph, keeping the state at the start of every segment; then each segment is
    run again from the last to the first, its own loss and the gradient that comes back from the
    next one together. The price is one more forward pass (Griewank & Walther 2000,
    doi:10.1145/347837.347846).
    """
    parts = list(stretches(data, length))
    weights = [p for p in model.parameters() if p.requires_grad]
    kept, draws = [], []
    with torch.no_grad():
        state = model.start_from(data.inputs[:, :1])
        for part in parts:
            kept.append(state)
            draws.append(torch.get_rng_state())
            _, state = model.scan(part.inputs, state)
            # The states of the segment are freed; this one must not keep them alive.
            state = state.clone()
    after = torch.get_rng_state()
    # Sums over many segments, in double precision whatever the model's.
    sums: list[Tensor | None] = [None] * len(weights)
    total = torch.zeros((), dtype=torch.float64, device=state.device)
    carried = torch.zeros_like(state)
    for k in range(len(parts) - 1, -1, -1):
        # The same noise and dropout as on the way forward.
        torch.set_rng_state(draws[k])
        start = (
            model.start_from(data.inputs[:, :1]) if k == 0 else kept[k].detach().requires_grad_()
        )
        states, last = model.scan(parts[k].inputs, start)
        part_loss = loss(model.read(states, parts[k].inputs), parts[k])
        wanted = weights if k == 0 else [*weights, start]
        ends, pulls = [part_loss], [torch.ones_like(part_loss)]
        if last.requires_grad:
            ends, pulls = [*ends, last], [*pulls, carried]
        grads = torch.autograd.grad(ends, wanted, pulls, allow_unused=True)
        for j, g in enumerate(grads[: len(weights)]):
            if g is not None:
                so_far = sums[j]
                sums[j] = g.double() if so_far is None else so_far + g
        if k:
            carried = torch.zeros_like(kept[k]) if grads[-1] is None else grads[-1]
        total += part_loss.detach()
        kept[k] = state
    for p, total_of in zip(weights, sums, strict=True):
        if total_of is not None:
            whole = total_of.to(p.dtype).contiguous()
            p.grad = whole if p.grad is None else p.grad + whole
    torch.set_rng_state(after)
    return total
