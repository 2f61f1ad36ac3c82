"""Training of pairing networks: genes are held out, each from one network."""

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import expit, logit

from neurornn._core.confidence import delta_interval
from neurornn._core.errors import ConvergenceWarning
from neurornn._core.rng import derived_seed
from neurornn.data.kmers import cluster_by_kmers
from neurornn.data.sequence_sets import SequenceSet
from neurornn.sequences.pairing_network import PairReader
from neurornn.sequences.pairing_windows import (
    Pairs,
    Windows,
    cropped,
    shortened,
    windows_of,
)
from neurornn.training.loop import fit

#: Windows of a step of Adam, and how many passes without a better validation loss end it.
_BATCH_SIZE, _PATIENCE = 64, 4
_WEIGHT_DECAY = 0.01
#: Letters of a stretch that near copies share and strangers do not.
_KMER = 30
#: Probabilities are kept this far from 0 and 1 where log odds are formed.
_LEAST = 1e-12


class Lessons(NamedTuple):
    """What was learned, and what a network says of introns that it was not trained on.

    Attributes
    ----------
    networks : one for each part that was held out.
    windows, acceptors, log_probabilities : of each part, as it was cropped, with the true
        acceptors and what the network without it says.
    loss, validation_loss : (network, epoch), nats per window, NaN after the last epoch.
    """

    networks: list[PairReader]
    windows: list[Windows]
    acceptors: list[NDArray[np.int64]]
    log_probabilities: list[NDArray[np.float64]]
    loss: NDArray[np.float64]
    validation_loss: NDArray[np.float64]


def families(pairs: Pairs) -> NDArray[np.int64]:
    """Number of the family of each intron, (pair,): one gene, or letters in common.

    Introns whose windows share 30 letters are copies of one another, and stay together like those
    of one gene.
    """
    texts = ["".join(row) for row in zip(*pairs[:3], strict=True)]
    names = [f"w{k}" for k in range(len(texts))]
    least = min(map(len, texts))
    copies = cluster_by_kmers(SequenceSet.from_sequences(names, texts), min(_KMER, least))
    n_genes = int(pairs.group.max()) + 1
    n = n_genes + int(copies.max()) + 1
    edges = coo_array((np.ones(len(texts)), (pairs.group, n_genes + copies)), shape=(n, n))
    found = connected_components(edges, directed=False)[1][pairs.group]
    return np.unique(found, return_inverse=True)[1].astype(np.int64)


def learn(
    pairs: Pairs, parts: Sequence[NDArray[np.int64]], *, flank: tuple[int, int], carry: bool,
    n_hidden: int, n_channels: int, letter_dropout: float, shorten: float,
    max_epochs: int, learning_rate: float,
    seed: int, tick: Callable[[], None] = lambda: None,
) -> Lessons:  # fmt: skip
    """Train one network without each part, stopped by its loss on that part.

    Parameters
    ----------
    pairs : introns with their exons. parts : rows held out, for each network. seed : of weights,
        orders and crops. tick : called after every network.
    flank, carry, n_hidden, n_channels, letter_dropout, shorten, max_epochs, learning_rate : see
        `SplicePairing`.
    """
    networks, held_out, truths, said = [], [], [], []
    losses = np.full((2, len(parts), max_epochs), np.nan)
    for k, held in enumerate(parts):
        rest = np.setdiff1d(np.arange(len(pairs.intron)), held)
        draw = np.random.default_rng(derived_seed(seed, k, 2))
        seen = cropped(pairs, flank, draw)._replace(intron=list(pairs.intron))
        learned = shortened(seen.rows(rest), shorten, draw)
        for row, intron in zip(rest, learned.intron, strict=True):
            seen.intron[row] = intron
        windows, acceptors = windows_of(seen)
        model = PairReader(
            5, n_hidden, carry=carry, n_channels=n_channels, letter_dropout=letter_dropout,
            rng=derived_seed(seed, k) % 2**30,
        )  # fmt: skip
        with warnings.catch_warnings():
            # The learning rate ends at nothing and the best weights are kept: the epochs are all.
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = fit(
                model, _targets(windows, acceptors, rest),
                validation=_targets(windows, acceptors, held), objective="poisson",
                optimizer="adam", max_epochs=max_epochs, learning_rate=learning_rate,
                weight_decay=_WEIGHT_DECAY, batch_size=min(_BATCH_SIZE, len(rest)),
                patience=_PATIENCE, refine=False, intervals=False, segment_duration=None,
                rng=derived_seed(seed, k, 1) % 2**30,
            )  # fmt: skip
        network = found.model
        assert isinstance(network, PairReader)
        networks.append(network)
        part = Windows(*(column[held] for column in windows))
        held_out.append(part)
        truths.append(acceptors[held])
        said.append(log_probabilities_of([network], part)[0])
        for j, (name, rows) in enumerate((("loss", rest), ("validation_loss", held))):
            values = found.history[name].values
            # The expected counts of a window sum to 1.
            losses[j, k, : len(values)] = values * windows.is_candidate[rows].sum() / len(rows) - 1
        tick()
    return Lessons(networks, held_out, truths, said, *losses)


def _targets(
    windows: Windows, acceptors: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Inputs and targets, which count at candidates alone."""
    targets = np.where(windows.is_candidate[rows], 0.0, np.nan).astype(np.float32)
    targets[np.arange(len(rows)), acceptors[rows]] = 1.0
    return windows.inputs(rows), targets[..., None]


def log_probabilities_of(networks: Sequence[PairReader], windows: Windows) -> NDArray[np.float64]:
    """Log probability of every place by each network, (network, window, position).

    What is no candidate has -1e9.
    """
    order = np.argsort(windows.stop, kind="stable")
    found = np.full((len(networks), *windows.codes.shape), -1e9)
    with torch.no_grad():
        # Windows of about one length together: less padding.
        for first in range(0, len(order), 256):
            rows = order[first : first + 256]
            size = int(windows.stop[rows].max())
            x = torch.from_numpy(windows.inputs(rows)[:, :size])
            for k, network in enumerate(networks):
                found[k, rows, :size] = network.eval()(x).output[..., 0].double().numpy()
    return found


def chances(
    log_probabilities: NDArray[np.float64], row: NDArray[np.int64], confidence_level: float
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Probability of each candidate by all networks, and its interval over them.

    Parameters
    ----------
    log_probabilities : (network, candidate). row : (candidate,), ascending, number of its window.
    confidence_level : of the interval.

    Returns
    -------
    (candidate,) and (candidate, 2), or None of one network
        The probability is that of the mean log probability; the interval is Student's of the log
        odds.
    """
    first = np.flatnonzero(np.r_[True, np.diff(row) > 0])
    size = np.diff(np.r_[first, len(row)])
    mean = log_probabilities.mean(axis=0)
    weight = np.exp(mean - np.repeat(np.maximum.reduceat(mean, first), size))
    probability = weight / np.repeat(np.add.reduceat(weight, first), size)
    n = len(log_probabilities)
    if n < 2:
        return probability, None
    odds = logit(np.clip(np.exp(log_probabilities), _LEAST, 1 - _LEAST))
    stderr = odds.std(axis=0, ddof=1) / np.sqrt(n)
    middle = logit(np.clip(probability, _LEAST, 1 - _LEAST))
    return probability, expit(delta_interval(middle, stderr, confidence_level, dof=n - 1))
