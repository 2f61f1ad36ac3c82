"""Training of splice-site networks: parts of the windows are held out, each from one network."""

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression

from neurornn._core.errors import ConvergenceWarning
from neurornn._core.rng import derived_seed
from neurornn.sequences.splice_network import SiteReader
from neurornn.training.loop import fit

#: Windows of a step of Adam, and how many passes without a better validation loss end it.
_BATCH_SIZE, _PATIENCE = 64, 5
_WEIGHT_DECAY = 0.01
#: Strength of the penalty of the logistic regression that is scored beside.
_C = 0.1
#: The same where labels are guessed.
_C_OWN = 0.01
#: Largest and smallest temperature.
_TEMPERATURES = (0.05, 20.0)


class Lessons(NamedTuple):
    """What was learned, and what networks say of windows that they were not trained on.

    Attributes
    ----------
    networks : one for each part that was held out.
    rows : (row,), windows that were held out of one network.
    log_odds : (row,), of the network that did not see it.
    logistic : (row,), log odds of a logistic regression that did not see it.
    loss, validation_loss : (network, epoch), nats per window, NaN after the last epoch.
    """

    networks: list[SiteReader]
    rows: NDArray[np.int64]
    log_odds: NDArray[np.float64]
    logistic: NDArray[np.float64]
    loss: NDArray[np.float64]
    validation_loss: NDArray[np.float64]


def held_out_parts(
    clusters: NDArray[np.int64], labels: NDArray[np.int64], n_parts: int, fraction: float,
    draw: np.random.Generator,
) -> list[NDArray[np.int64]]:  # fmt: skip
    """Parts of the windows, none of whose clusters lies in two of them, (row,) each.

    Parameters
    ----------
    clusters : (window,), windows of one cluster stay together. labels : (window,), 0 or 1.
    n_parts : how many. fraction : of the windows in each; as many sites as decoys by share.
    draw : for the order of the clusters.
    """
    n = len(clusters)
    order = draw.permutation(clusters.max() + 1)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    # Clusters in a random order, sites and decoys apart, each part a stretch of both.
    is_site = np.zeros(len(order), np.int64)
    is_site[clusters[labels == 1]] = 1
    parts: list[list[NDArray[np.int64]]] = [[] for _ in range(n_parts)]
    for kind in (0, 1):
        rows = np.flatnonzero(is_site[clusters] == kind)
        rows = rows[np.argsort(rank[clusters[rows]], kind="stable")]
        first = np.flatnonzero(np.r_[True, np.diff(clusters[rows]) != 0])
        place = np.empty(len(rows))
        # Where the cluster begins tells the part of all of it.
        place[:] = np.repeat(first, np.diff(np.r_[first, len(rows)])) / max(len(rows), 1)
        part = np.floor(place / fraction).astype(np.int64)
        for k in range(n_parts):
            parts[k].append(rows[part == k])
    found = [np.sort(np.concatenate(p)) for p in parts]
    assert sum(map(len, found)) <= n
    return found


def learn(
    x: NDArray[np.float32], labels: NDArray[np.int64], parts: Sequence[NDArray[np.int64]], *,
    site: int, n_hidden: int, n_channels: int, max_epochs: int,
    learning_rate: float, seed: int, tick: Callable[[], None] = lambda: None,
) -> Lessons:  # fmt: skip
    """Train one network without each part, stopped by its loss on that part.

    Parameters
    ----------
    x : (window, position, base), one-hot. labels : (window,). parts : rows held out, for each
        network. site : where it begins in `x`. seed : of weights and orders. tick : called after
        every network.
    n_hidden, n_channels, max_epochs, learning_rate : see `SpliceSites`.
    """
    networks, log_odds, logistic, losses = [], [], [], []
    for k, held in enumerate(parts):
        rest = np.setdiff1d(np.arange(len(x)), held)
        model = SiteReader(
            x.shape[2], n_hidden, 1, site=site, length=x.shape[1], n_channels=n_channels,
            rng=derived_seed(seed, k) % 2**30,
        )  # fmt: skip
        with warnings.catch_warnings():
            # The learning rate ends at nothing and the best weights are kept: the epochs are all.
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = fit(
                model, _targets(x, labels, rest, site), validation=_targets(x, labels, held, site),
                objective="bernoulli", optimizer="adam", max_epochs=max_epochs,
                learning_rate=learning_rate, weight_decay=_WEIGHT_DECAY, batch_size=min(
                    _BATCH_SIZE, len(rest)
                ), patience=_PATIENCE, refine=False, intervals=False, segment_duration=None,
                rng=derived_seed(seed, k, 1) % 2**30,
            )  # fmt: skip
        network = found.model
        assert isinstance(network, SiteReader)
        networks.append(network)
        log_odds.append(log_odds_of([network], x[held]))
        plain = LogisticRegression(C=_C, max_iter=2000)
        plain.fit(x[rest].reshape(len(rest), -1), labels[rest])
        logistic.append(plain.decision_function(x[held].reshape(len(held), -1)))
        losses.append([found.history[n].values for n in ("loss", "validation_loss")])
        tick()
    table = np.full((2, len(parts), max_epochs), np.nan)
    for k, pair in enumerate(losses):
        for j in (0, 1):
            table[j, k, : len(pair[j])] = pair[j]
    return Lessons(
        networks, np.concatenate(parts), np.concatenate(log_odds), np.concatenate(logistic), *table
    )


def _targets(
    x: NDArray[np.float32], labels: NDArray[np.int64], rows: NDArray[np.int64], site: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Inputs and targets, which count at the site alone."""
    targets = np.full((len(rows), x.shape[1], 1), np.nan, np.float32)
    targets[:, site, 0] = labels[rows]
    return x[rows], targets


def log_odds_of(networks: Sequence[SiteReader], x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean log odds of some networks, (window,), of one-hot windows (window, position, base)."""
    total = np.zeros(len(x))
    with torch.no_grad():
        for network in networks:
            found = network.eval()(x).output[:, network.site, 0]
            total += found.double().numpy()
    return total / len(networks)


def temperature_of(log_odds: NDArray[np.float64], labels: NDArray[np.float64]) -> float:
    """Temperature at which log odds divided by it have the largest likelihood.

    Parameters
    ----------
    log_odds : (window,), of windows that were not trained on. labels : (window,), 0 or 1.
    """

    def loss(log_temperature: float) -> float:
        z = log_odds / np.exp(log_temperature)
        return float(np.mean(np.logaddexp(0, z) - labels * z))

    low, high = np.log(_TEMPERATURES)
    best = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(best.x))


def own_labels(
    x: NDArray[np.float32], log_odds: NDArray[np.float64], share: float, *, n_rounds: int = 6,
    certain: float = 0.8,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:  # fmt: skip
    """Label windows of another kind by what sets the surest of them apart, without being told.

    Parameters
    ----------
    x : (window, position, base), one-hot. log_odds : (window,), of a model of the first kind.
    share : of sites among the windows. n_rounds : of labelling. certain : share of the windows
        that is labelled in a round: of most log odds as sites, of least as decoys.

    Returns
    -------
    rows : (row,), windows that have a label in the end. labels : (row,), 0 or 1.

    Notes
    -----
    In every round a logistic regression learns from the labels of the one before and gives all
    windows new log odds (self-training: Yarowsky 1995).
    """
    flat = x.reshape(len(x), -1)
    score = log_odds
    for k in range(n_rounds + 1):
        order = np.argsort(score, kind="stable")
        n_decoys = max(round(certain * (1 - share) * len(x)), 1)
        n_sites = max(round(certain * share * len(x)), 1)
        rows = np.concatenate([order[:n_decoys], order[-n_sites:]])
        labels = np.repeat([0, 1], [n_decoys, n_sites])
        if k == n_rounds:
            break
        plain = LogisticRegression(C=_C_OWN, max_iter=2000).fit(flat[rows], labels)
        score = plain.decision_function(flat)
    sorted_ = np.argsort(rows)
    return rows[sorted_], labels[sorted_]
