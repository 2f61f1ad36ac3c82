"""What a stream is to run: the ways along the letters that a model, or a pair of them, takes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn.sequences.contig_letters import ContigLetters
from neurornn.sequences.letter_networks import CompiledNetwork, LetterNetwork
from neurornn.sequences.stream_weights import StreamWeights, fitted


@dataclass(frozen=True)
class Leg:
    """One way along the letters: a network, and how it is made for an alphabet."""

    make: Callable[..., LetterNetwork]
    backward: bool
    one_lane: bool = False


@dataclass(frozen=True)
class Plan:
    """What is to run: legs, and what their outputs are called."""

    legs: tuple[Leg, ...]
    outputs: tuple[Any, ...]
    n_input: int
    dtype: np.dtype[Any]
    time_unit: str
    skips_ends: bool
    both_strands: bool
    source: str


def planned(model: Any, bidirectional: bool) -> Plan:
    """Say what is to run for a model, or for two of them."""
    pair = isinstance(model, tuple | list)
    if pair and (not bidirectional or len(model) != 2):
        raise KindError(
            f"{len(model)} models came with bidirectional={bidirectional}",
            "One model was needed, or a pair (forward, backward) with bidirectional=True",
            "Pass bidirectional=True, or one of them",
        )
    if not bidirectional:
        return _plan_of(model, 0)
    forward = _plan_of(model[0] if pair else model, 0)
    backward = _plan_of(model[1] if pair else model, len(forward.outputs))
    for one in (forward, backward):
        if len(one.legs) > 1:
            raise DataError(
                f"bidirectional=True was asked of a {one.source} that runs both ways by itself",
                "A model that runs one way was needed",
                "Leave bidirectional=True out",
            )
    if forward.n_input != backward.n_input or forward.dtype != backward.dtype:
        raise ShapeError(
            f"The forward model has {forward.n_input} inputs of {forward.dtype} and the backward "
            f"one {backward.n_input} of {backward.dtype}",
            "Two models of the same inputs and precision were needed",
            "Build them alike, or bring one over: model.double() or model.float()",
        )
    return replace(
        forward,
        legs=(*forward.legs, replace(backward.legs[0], backward=True)),
        outputs=(
            *(f"forward {o}" for o in forward.outputs),
            *(f"backward {o}" for o in backward.outputs),
        ),
    )


def _plan_of(model: Any, first: int) -> Plan:
    """Legs of one model, whose outputs go to the columns from `first` on."""
    model = fitted(model)
    weights: StreamWeights | None
    if isinstance(model, StreamWeights):
        weights = model
    else:
        from neurornn.sequences.model_networks import ModelNetwork, check_model
        from neurornn.sequences.model_runs import has_runs

        check_model(model)
        weights = StreamWeights.of(model) if has_runs(model) else None
    if weights is None:

        def make(kind: Any, fractions: bool, kept: list[int], n_lanes: int) -> ModelNetwork:
            return ModelNetwork(model, kind, fractions, kept, first)

        return Plan(
            (Leg(make, False, one_lane=True),),
            tuple(model.labels["output"]),
            model.n_input,
            np.dtype(str(next(model.parameters()).dtype).removeprefix("torch.")),
            model.time_unit,
            skips_ends=False,
            both_strands=False,
            source=type(model).__name__,
        )
    legs = []
    for run in weights.runs:
        shifted = replace(run, columns=tuple(first + c for c in run.columns))

        def compiled(
            kind: Any, fractions: bool, kept: list[int], n_lanes: int, run: Any = shifted
        ) -> CompiledNetwork:
            return CompiledNetwork(run, kind, fractions, kept, n_lanes)

        legs.append(Leg(compiled, run.backward))
    return Plan(
        tuple(legs),
        weights.outputs,
        weights.n_input,
        weights.dtype,
        weights.time_unit,
        skips_ends=weights.skips_ends,
        both_strands=any(run.complement for run in weights.runs),
        source=weights.source,
    )


def check_letters(plan: Plan, contigs: ContigLetters) -> None:
    """Refuse a model whose inputs are not the letters of the contigs."""
    if plan.n_input != len(contigs.kind.bases):
        raise ShapeError(
            f"The {plan.source} has {plan.n_input} inputs",
            f"{len(contigs.kind.bases)} were needed, one for each of {contigs.kind.bases}",
            "Build it with that n_input; other channels beside the letters cannot be streamed",
        )
    if plan.both_strands and contigs.kind.complement is None:
        raise KindError(
            f"A {plan.source} was to run along proteins",
            "DNA or RNA was needed: it reads the reverse complement as well",
            "Use a model of one direction",
        )
