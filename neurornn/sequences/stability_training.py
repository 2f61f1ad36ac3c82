"""Training of stability networks, and the plain models that are scored beside them."""

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from neurornn._core.errors import ConvergenceWarning
from neurornn._core.rng import derived_seed
from neurornn.data.baselines import simple_features
from neurornn.data.kmers import kmer_counts
from neurornn.data.sequence_sets import SequenceSet
from neurornn.sequences.stability_network import CHUNK, ProteinReader
from neurornn.training.loop import fit

#: Proteins of a step of Adam, passes without a better loss of the held-out part that end it.
_BATCH_SIZE, _PATIENCE = 64, 6
_WEIGHT_DECAY = 0.01
#: Penalties of the ridges on composition and length, and on pairs of letters.
_ALPHA, _ALPHA_PAIRS = 1.0, 100.0
#: The plain models, in the order of their columns.
BASELINES = ("ridge", "pairs", "trees")


class Lessons(NamedTuple):
    """What was learned, and what is said of proteins that were held out.

    Attributes
    ----------
    networks : one for each part that was held out.
    erased : for each network what `erasure` gives, or None.
    rows : (row,), proteins that were held out of one network.
    predicted : (row,), of the network that did not see it.
    plain : (baseline, row), of the models of `BASELINES` that did not see it.
    loss, validation_loss : (network, epoch), NaN after the last epoch.
    """

    networks: list[ProteinReader]
    erased: list[NDArray[np.float64] | None]
    rows: NDArray[np.int64]
    predicted: NDArray[np.float64]
    plain: NDArray[np.float64]
    loss: NDArray[np.float64]
    validation_loss: NDArray[np.float64]


def scores_within(tm: NDArray[np.float64], species: NDArray[np.int64]) -> NDArray[np.float64]:
    """Normal score of each melting point among those of its species, (protein,), unit 1.

    Parameters
    ----------
    tm : (protein,), degC. species : (protein,), numbers.
    """
    out = np.empty(len(tm))
    for k in np.unique(species):
        own = species == k
        out[own] = ndtri((rankdata(tm[own]) - 0.5) / own.sum())
    return out


def plain_predictions(
    train: SequenceSet, target: NDArray[np.float64], test: SequenceSet, kind: str
) -> NDArray[np.float64]:
    """Predict by a model without a network, (protein,).

    Parameters
    ----------
    train : proteins. target : (protein,). test : other proteins.
    kind : ``"ridge"`` or ``"trees"`` on composition and length, ``"pairs"``: ridge on pairs of
        letters.
    """
    if kind == "pairs":
        a, b = (np.hstack([simple_features(s)[0], kmer_counts(s, 2)]) for s in (train, test))
        model = make_pipeline(StandardScaler(), Ridge(alpha=_ALPHA_PAIRS))
    else:
        a, b = (simple_features(s)[0] for s in (train, test))
        model = (
            make_pipeline(StandardScaler(), Ridge(alpha=_ALPHA))
            if kind == "ridge"
            else HistGradientBoostingRegressor(early_stopping=False, random_state=0)
        )
    return np.asarray(model.fit(a, target).predict(b), dtype=np.float64)


def learn(
    sequences: SequenceSet, x: NDArray[np.float32], target: NDArray[np.float64],
    species: NDArray[np.int64], parts: Sequence[NDArray[np.int64]], *, n_hidden: int,
    n_features: int, reversal: float, max_epochs: int, learning_rate: float, seed: int,
    tick: Callable[[], None] = lambda: None,
) -> Lessons:  # fmt: skip
    """Train one network without each part, stopped by its loss on that part.

    Parameters
    ----------
    sequences : (protein,). x : (protein, stretch, column), of them.
    target : (protein,), normal scores. species : (protein,), numbers from 0.
    parts : rows held out, for each network. seed : of weights and orders.
    tick : called after every network.
    n_hidden, n_features, reversal, max_epochs, learning_rate : see `StabilityModel`.
    """
    n_species = int(species.max()) + 1
    told = n_species if n_species > 1 and reversal > 0 else 0
    networks, erased, predicted, plain, losses = [], [], [], [], []
    for k, held in enumerate(parts):
        rest = np.setdiff1d(np.arange(len(x)), held)
        model = ProteinReader(
            x.shape[2], n_hidden, 1 + told, n_features=n_features + max(told - 1, 0),
            reversal=reversal, rng=derived_seed(seed, k) % 2**30,
        )  # fmt: skip
        own = species if told else None
        with warnings.catch_warnings():
            # The learning rate ends at nothing and the best weights are kept: the epochs are all.
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = fit(
                model, _targets(x, target, rest, own, told),
                validation=_targets(x, target, held, None, told), optimizer="adam",
                max_epochs=max_epochs, learning_rate=learning_rate, weight_decay=_WEIGHT_DECAY,
                batch_size=min(_BATCH_SIZE, len(rest)), patience=_PATIENCE, refine=False,
                intervals=False, segment_duration=None, rng=derived_seed(seed, k, 1) % 2**30,
            )  # fmt: skip
        network = found.model
        assert isinstance(network, ProteinReader)
        networks.append(network)
        erased.append(None)
        if told:
            erased[k] = erasure(read([network], x[rest], [None])[1], species[rest])
        predicted.append(read([network], x[held], erased[k:])[0])
        plain.append([
            plain_predictions(sequences[rest], target[rest], sequences[held], kind)
            for kind in BASELINES
        ])  # fmt: skip
        losses.append([found.history[n].values for n in ("loss", "validation_loss")])
        tick()
    table = np.full((2, len(parts), max_epochs), np.nan)
    for k, pair in enumerate(losses):
        for j in (0, 1):
            table[j, k, : len(pair[j])] = pair[j]
    return Lessons(
        networks, erased, np.concatenate(parts), np.concatenate(predicted),
        np.concatenate(plain, axis=1), *table,
    )  # fmt: skip


def _targets(
    x: NDArray[np.float32], target: NDArray[np.float64], rows: NDArray[np.int64],
    species: NDArray[np.int64] | None, n_species: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:  # fmt: skip
    """Inputs and targets, which count at the first step; without `species` the stability alone."""
    targets = np.full((len(rows), x.shape[1], 1 + n_species), np.nan, np.float32)
    targets[:, 0, 0] = target[rows]
    if species is not None:
        targets[:, 0, 1:] = species[rows, None] == np.arange(n_species)
    return x[rows], targets


def read(
    networks: Sequence[ProteinReader],
    x: NDArray[np.float32],
    erased: Sequence[NDArray[np.float64] | None],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean prediction, (protein,), and features of all networks, (protein, feature).

    Parameters
    ----------
    networks : trained. x : (protein, stretch, column). erased : of each network, see `erasure`.
    """
    total, features = np.zeros(len(x)), []
    for network, map_ in zip(networks, erased, strict=True):
        with torch.no_grad():
            network.eval()
            pieces = [network.features(p) for p in torch.as_tensor(x).split(CHUNK)]
            z = torch.cat(pieces).double().numpy()
        if map_ is not None:
            z = (z - map_[0]) @ map_[1:].T + map_[0]
        weight, bias = network.out.weight[0], network.out.bias[0]
        total += z @ weight.detach().double().numpy() + float(bias.detach())
        features.append(z)
    return total / len(networks), np.hstack(features)


def erasure(
    features: NDArray[np.float64], species: NDArray[np.int64]
) -> NDArray[np.float64] | None:
    """Return the map that takes the means of species out of features, and changes them least.

    Parameters
    ----------
    features : (protein, feature). species : (protein,), numbers.

    Returns
    -------
    (1 + feature, feature), the mean of the features and the matrix that what differs from it is
    multiplied by; None for one species. Afterwards all species have one mean, so that no linear
    classifier tells them apart (Belrose et al. 2023, arXiv:2306.03819).
    """
    labels = np.unique(species)
    if len(labels) < 2:
        return None
    mean = features.mean(axis=0)
    centred = features - mean
    value, vector = np.linalg.eigh(centred.T @ centred / len(features))
    # Directions in which nothing varies have nothing to erase.
    some = value > 1e-9 * value.max()
    root = np.sqrt(value[some])
    whiten, colour = (vector[:, some] / root).T, vector[:, some] * root
    means = np.stack([centred[species == k].mean(axis=0) for k in labels]) @ whiten.T
    _, size, axes = np.linalg.svd(means, full_matrices=False)
    axes = axes[size > 1e-9 * max(size.max(), 1e-30)]
    matrix = np.eye(len(mean)) - colour @ axes.T @ axes @ whiten
    return np.vstack([mean, matrix])
