"""Training of the network that reads open frames, on genomes whose genes are known.

The loop is not that of `nr.fit`: a loss there is a sum over the steps of a trial, and here it is
one of a frame, over starts that compete with one another and with no gene at all.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neurornn._kernels.frame_network import N_READINGS, frame_readings
from neurornn._kernels.open_frames import N_PAIRS
from neurornn.models.leaky import LeakyRNN
from neurornn.sequences.gene_annotation import annotated_frames
from neurornn.sequences.gene_network import BOUND, CODON, N_RESIDUES, GeneNetwork
from neurornn.sequences.genome_adapting import Adapted, TypicalUsage, background_of, gc_of
from neurornn.sequences.open_frames import OpenFrames, code_tables
from neurornn.sequences.start_model import N_FEATURES

#: Codons of a batch, filled ones included.
_BATCH = 60_000
#: Frames for which a loss of 1 nat each has a gradient of 1.
_SCALE = 100.0
_CLIP_NORM = 1.0
#: bp, from which length constants start, evenly over decades.
_SHORTEST_TAU, _LONGEST_TAU = 6.0, 1500.0
#: Log odds with which the training starts: of a gene, and of what tells its start.
_FIRST_LEVEL = -4.0
_FIRST_STARTS = (0.0, -1.5, -2.0, 0.0, 1.0, 0.8, 0.3, 0.3)


class Lesson(NamedTuple):
    """One genome to learn from.

    Attributes
    ----------
    frames : its candidates. adapted : what was learned from its bare sequence.
    label : (frame,), 1, 0 or -1. start : (frame,), candidate of the true start or -1.
    """

    frames: OpenFrames
    adapted: Adapted
    label: NDArray[np.int8]
    start: NDArray[np.int64]


def lesson(frames: OpenFrames, adapted: Adapted, features: object) -> Lesson:
    """Make a lesson of a genome and its annotation."""
    found = annotated_frames(frames, features)  # type: ignore[arg-type]
    return Lesson(frames, adapted, found.label, found.start)


class FrameReader(nn.Module):
    """The network as it is trained: log odds of every candidate of some frames.

    Parameters
    ----------
    n_hidden : units. seed : of the first weights.
    """

    def __init__(self, n_hidden: int, seed: int) -> None:
        super().__init__()
        self.network = LeakyRNN(
            N_RESIDUES - 1 + N_READINGS, n_hidden, 1, dt=CODON,
            tau=np.geomspace(_SHORTEST_TAU, _LONGEST_TAU, n_hidden), tau_bounds=(3.0, 1e4),
            time_unit="bp", rng=seed,
        )  # fmt: skip
        self.straight = nn.Parameter(torch.zeros(N_RESIDUES - 1 + N_READINGS))
        self.start_read = nn.Parameter(torch.tensor(_FIRST_STARTS))
        self.level = nn.Parameter(torch.tensor(_FIRST_LEVEL))
        with torch.no_grad():
            self.network.output_weight.mul_(0.3)
            self.straight[N_RESIDUES - 1] = 1.0

    def forward(self, inputs: Tensor, step: Tensor, starts: Tensor) -> Tensor:
        """Log odds of candidates, (frame, candidate); -1e9 where there is none.

        Parameters
        ----------
        inputs : (frame, step, input). step : (frame, candidate), -1 for none.
        starts : (frame, candidate, 8), what tells them.
        """
        output: Tensor = self.network(inputs).output
        read = output[..., 0] + inputs @ self.straight
        total = torch.gather(torch.cumsum(read, 1), 1, step.clamp(min=0))
        total = total + starts @ self.start_read + self.level
        return torch.where(step >= 0, total, -1e9)

    def arrays(self, typical: TypicalUsage, about: dict[str, object]) -> GeneNetwork:
        """Return the network as plain arrays."""
        n, w = N_RESIDUES - 1, self.network
        straight = self.straight.detach().numpy()
        bias = w.bias.detach().numpy()
        into = w.input_weight.detach().numpy().T
        across = w.weights()
        assert across is not None
        return GeneNetwork(
            residue_input=np.concatenate([into[:n], np.zeros((1, into.shape[1]))]).astype("f4")
            + bias,
            reading_input=into[n:].astype("f4"),
            across=across.detach().numpy().T.astype("f4"),
            tau=w.tau.detach().numpy().astype("f4"),
            read=w.output_weight.detach().numpy()[0].astype("f4"),
            residue_read=(
                np.r_[straight[:n], 0] + w.output_bias.detach().numpy()[0]
            ).astype("f4"),
            reading_read=straight[n:].astype("f4"),
            start_read=self.start_read.detach().numpy().astype("f4"),
            level=float(self.level.detach()), typical=typical, about=dict(about),
        )  # fmt: skip


def loss_of(scores: Tensor, label: Tensor, start: Tensor) -> Tensor:
    """Minus the log-likelihood of what is known of each frame, (frame,).

    Parameters
    ----------
    scores : (frame, candidate), log odds against no gene.
    label : (frame,), 1 or 0. start : (frame,), which candidate is the true start; -1 for unknown.

    Notes
    -----
    A frame holds no gene, with weight 1, or one that begins at one of its candidates, each with
    the exponential of its log odds.
    """
    none = torch.zeros(len(scores), 1, dtype=scores.dtype)
    whole = torch.logsumexp(torch.cat([none, scores], 1), 1)
    known = torch.gather(scores, 1, start.clamp(min=0)[:, None])[:, 0]
    any_start = torch.logsumexp(scores, 1)
    gene = torch.where(start >= 0, known, any_start)
    return torch.where(label == 1, whole - gene, whole)


def train_network(
    lessons: Sequence[Lesson], *, n_hidden: int, max_epochs: int, learning_rate: float, seed: int,
    tick: Callable[[], None] = lambda: None,
) -> tuple[FrameReader, list[float]]:  # fmt: skip
    """Train on all frames of some genomes.

    Parameters
    ----------
    lessons : the genomes. n_hidden : units. max_epochs : passes over all frames.
    learning_rate : of Adam at the start; it falls along a cosine.
    seed : of the first weights and of the order. tick : called after each epoch.

    Returns
    -------
    reader : the network. history : mean loss of each epoch, nats per frame.
    """
    draw = np.random.default_rng(seed)
    reader = FrameReader(n_hidden, seed)
    optimiser = torch.optim.Adam(reader.parameters(), lr=learning_rate)
    used = [np.flatnonzero(x.label >= 0) for x in lessons]
    history: list[float] = []
    n_steps, step = 0, 0
    for _ in range(max_epochs):
        plan = [
            (x, b) for x, rows in zip(lessons, used, strict=True) for b in _batches(x, rows, draw)
        ]
        draw.shuffle(plan)  # type: ignore[arg-type]
        n_steps = n_steps or len(plan) * max_epochs
        total, count = 0.0, 0
        for x, rows in plan:
            loss = loss_of(reader(*_tensors(x, rows)), *_answers(x, rows)).sum()
            for group in optimiser.param_groups:
                group["lr"] = learning_rate * 0.5 * (1 + np.cos(np.pi * min(step / n_steps, 1)))
            optimiser.zero_grad()
            (loss / _SCALE).backward()
            nn.utils.clip_grad_norm_(reader.parameters(), _CLIP_NORM)
            optimiser.step()
            step += 1
            total, count = total + float(loss.detach()), count + len(rows)
        history.append(total / count)
        tick()
    return reader, history


def typical_usage(lessons: Sequence[Lesson]) -> TypicalUsage:
    """How the true genes of each genome use pairs of codons."""
    pairs, gc = np.empty((len(lessons), N_PAIRS)), np.empty(len(lessons))
    for k, x in enumerate(lessons):
        chosen = np.zeros(len(x.frames.start), bool)
        chosen[x.start[(x.label == 1) & (x.start >= 0)]] = True
        counts = x.frames.pairs_within(chosen) + 0.5
        pairs[k], gc[k] = counts / counts.sum(), gc_of(background_of(x.frames))
    # As they are saved: in single precision.
    return TypicalUsage(
        pairs.astype(np.float32).astype(float), gc.astype(np.float32).astype(float)
    )


def _n_steps(x: Lesson, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return x.frames.step[x.frames.frames[rows, 3] - 1] + 1


def _batches(
    x: Lesson, rows: NDArray[np.int64], draw: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Frames of about one length together."""
    size = _n_steps(x, rows)
    order = np.argsort(size + draw.uniform(0, 8, len(rows)))
    out, begun = [], 0
    for k in range(1, len(rows) + 1):
        if k == len(rows) or size[order[begun : k + 1]].max() * (k + 1 - begun) > _BATCH:
            out.append(rows[order[begun:k]])
            begun = k
    return out


def _tensors(x: Lesson, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, steps of candidates, and what tells starts, of some frames."""
    _, _, residue = code_tables(x.frames.code)
    size = _n_steps(x, rows)
    inputs = np.zeros((len(rows), int(size.max()), N_RESIDUES - 1 + N_READINGS), np.float32)
    found = x.frames.frames[rows]
    count = found[:, 3] - found[:, 2]
    step = np.full((len(rows), int(count.max())), -1)
    starts = np.zeros((*step.shape, N_FEATURES), np.float32)
    tables = x.adapted.tables.astype(np.float32)
    readings = np.zeros((int(size.max()), N_READINGS), np.float32)
    kinds = np.zeros(int(size.max()), np.int64)
    for k, (last, _, a, b) in enumerate(found):
        codons = x.frames.layout.codons[x.frames.frame_strand[rows[k]]]
        n = size[k]
        frame_readings(codons, residue, tables, np.float32(BOUND), last, n, readings, kinds)
        inputs[k, :n, N_RESIDUES - 1 :] = readings[:n]
        known = np.flatnonzero(kinds[:n] < N_RESIDUES - 1)
        inputs[k, known, kinds[known]] = 1
        step[k, : b - a] = x.frames.step[a:b]
        starts[k, : b - a] = x.adapted.features[a:b]
    return torch.from_numpy(inputs), torch.from_numpy(step), torch.from_numpy(starts)


def _answers(x: Lesson, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Labels, and which candidate of each frame is its start."""
    start = x.start[rows]
    start = np.where(start >= 0, start - x.frames.frames[rows, 2], -1)
    return torch.from_numpy(x.label[rows].astype(np.int64)), torch.from_numpy(start)
