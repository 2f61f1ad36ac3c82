"""Gapless stretches of features, what is learned from them, and a machine run over them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurornn.decode.machines import Machine
from neurornn.decode.preparation import Preparation


class Stretch(NamedTuple):
    """A gapless stretch: features (time, unit), counts (time, unit), targets (time, output)."""

    features: NDArray[np.float64]
    counts: NDArray[np.float64]
    targets: NDArray[Any]


class Learned(NamedTuple):
    """What a decoder learned.

    Attributes
    ----------
    machine : the running part.
    preparation : counts to features.
    held_out : (time, output), predictions of bins by a decoder that had not seen them; NaN where
        there are none.
    spread : (time, output), the machine's own idea of the sd of these predictions.
    chosen : name -> what was chosen on held-out blocks.
    """

    machine: Machine
    preparation: Preparation
    held_out: NDArray[np.float64]
    spread: NDArray[np.float64]
    chosen: dict[str, Any]


def run_machine(
    machine: Machine, stretches: Sequence[Stretch]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Outputs and spreads of a machine over stretches, each from the start: (time, output)."""
    n = sum(len(s.features) for s in stretches)
    out, spread = np.empty((n, machine.n_outputs)), np.empty((n, machine.n_outputs))
    t = 0
    for stretch in stretches:
        machine.reset()
        live = np.zeros(stretch.features.shape[1], np.int64)
        for z, c in zip(stretch.features, stretch.counts, strict=True):
            machine.step(z, c, live, True)
            out[t] = machine.out
            machine.spread(spread[t])
            t += 1
    return out, spread


def cut(stretches: Sequence[Stretch], rows: NDArray[Any]) -> list[Stretch]:
    """The parts of stretches at some rows, counted over all; a hole ends a stretch."""
    keep = np.zeros(sum(len(s.features) for s in stretches), dtype=bool)
    keep[rows] = True
    out, begin = [], 0
    for s in stretches:
        inside = keep[begin : begin + len(s.features)]
        begin += len(s.features)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]])))
        out += [
            Stretch(s.features[a:b], s.counts[a:b], s.targets[a:b])
            for a, b in zip(edges[::2], edges[1::2], strict=True)
        ]
    return out
