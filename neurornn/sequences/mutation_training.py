"""Training of `MutationModel`: families held out, two numbers to kcal/mol, intervals."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.stats import rankdata
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold

from neurornn._core.confidence import growing_halfwidth
from neurornn._core.errors import DataError
from neurornn.data.kmers import cluster_by_kmers
from neurornn.data.residue_scales import RESIDUES
from neurornn.data.sequence_sets import SequenceSet
from neurornn.sequences.mutation_network import (
    CostNetwork,
    Variants,
    costs_of,
    read_variants,
    take_variants,
    train_costs,
)
from neurornn.sequences.mutation_trees import Trees, mutant_rows, train_trees

#: Letters of a stretch that relatives share and strangers do not.
_KMER = 10
#: Single substitutions below which no trees are grown.
_SINGLES = 100
#: Residues below which those of one family are not held out, but variants.
_PLACES = 10
#: Variants below which a protein has no scale of its own.
_OWN = 10
#: Residues on either side, and the penalty, of the ridge that stands beside.
_REACH, _PENALTY = 5, 10.0


class Learned(NamedTuple):
    """What `learn` gives.

    Attributes
    ----------
    networks : trained on all variants. trees : grown on all single substitutions, or None.
    loss : (network, step).
    family : (variant,), labels of what was held out together.
    has_families : whether there were several.
    held_out, ridge, pair : (variant,), kcal/mol, of models that had not seen the family.
    scale, tree_scale, offset : kcal/mol of a cost of 1 of networks and of trees, and of a change.
    halfwidth, growth : of the interval.
    """

    networks: list[CostNetwork]
    trees: Trees | None
    loss: NDArray[np.float64]
    family: NDArray[Any]
    has_families: bool
    held_out: NDArray[np.float64]
    ridge: NDArray[np.float64]
    pair: NDArray[np.float64]
    scale: float
    tree_scale: float
    offset: float
    halfwidth: float
    growth: float


def learn(
    sequences: Sequence[str], placed: Sequence[tuple[tuple[int, str], ...]],
    values: NDArray[np.float64], family: NDArray[Any] | None, *, n_seeds: int, n_folds: int,
    n_steps: int, level: float, seed: int, tick: Callable[[], Any],
    features: Callable[[str], NDArray[np.float32]],
    columns: Callable[[str], NDArray[np.float64]],
) -> Learned:  # fmt: skip
    """Train on all variants, and on those of all families but a fold of them.

    Parameters
    ----------
    sequences, placed, values, family : (variant,), see `MutationModel.fit`.
    n_seeds, n_folds, n_steps : networks, folds, steps of each. level : of the intervals.
    seed : of all. tick : is called after each network. features, columns : of a wild type, for
        the networks and for the trees.
    """
    starts: dict[str, int] = {}
    blocks, places = [], []
    for s in sequences:
        if s not in starts:
            starts[s] = sum(len(b) for b in blocks)
            blocks.append(features(s))
            places.append(columns(s))
    table = np.concatenate(blocks)
    variants = read_variants(sequences, placed, starts)
    own, _ = _around(list(starts))
    rows = mutant_rows(np.concatenate(places)[variants.row], variants.letter, own[variants.row])
    groups, has_families = _groups(list(starts), variants, family)
    fold = np.zeros(len(values), dtype=np.int64)
    n_groups = len(np.unique(groups))
    if n_groups < 2:
        raise DataError(
            "All variants are at one residue of one protein",
            "Several residues, or several families, were needed to hold some out",
            "Add variants at other residues",
        )
    wanted, n_folds = n_folds, min(n_folds, n_groups)
    for k, (_, test) in enumerate(GroupKFold(n_folds).split(values, groups=groups)):
        fold[test] = k
    scaled = _scaled(values, variants, len(starts))
    of_protein = np.empty(len(starts), dtype=object)
    of_protein[variants.protein] = groups if has_families else 0
    _, which, count = np.unique(of_protein.astype(str), return_inverse=True, return_counts=True)
    # A family of twenty counts as four or five strangers: its members repeat one another.
    weights = 1 / np.sqrt(count[which])
    letters = _one_hot(list(starts), variants, len(values))
    costs, branches, ridge, pair = (np.zeros(len(values)) for _ in range(4))
    for k in range(n_folds):
        train, test = fold != k, fold == k
        network, _ = train_costs(
            table, take_variants(variants, train), scaled, weights, n_steps=n_steps, seed=seed + k
        )
        costs[test] = _total(network, table, variants)[test]
        grown = _grow(rows, variants, scaled, train, seed + k)
        if grown is not None:
            branches[test] = _sums(grown, rows, variants, test)
        ridge[test] = Ridge(_PENALTY).fit(letters[train], values[train]).predict(letters[test])
        pair[test] = _pairs(list(starts), variants, values, train)[test]
        tick()
    for _ in range(n_folds, wanted):
        tick()
    scale, tree_scale, offset = _to_energy(costs, branches, variants, scaled, values)
    held_out = offset * variants.n_changed + scale * costs + tree_scale * branches
    changed = variants.n_changed > 0
    growth, half = growing_halfwidth(
        (values - held_out)[changed], np.abs(held_out)[changed], level
    )
    networks, losses = [], []
    for k in range(n_seeds):
        network, loss = train_costs(
            table, variants, scaled, weights, n_steps=n_steps, seed=seed + n_folds + k
        )
        networks.append(network)
        losses.append(loss)
        tick()
    everything = np.ones(len(values), dtype=bool)
    trees = _grow(rows, variants, scaled, everything, seed) if tree_scale else None
    return Learned(
        networks, trees, np.array(losses), groups if has_families else variants.protein,
        has_families, held_out, ridge, pair, scale, tree_scale, offset, half, growth,
    )  # fmt: skip


def _groups(
    proteins: list[str], variants: Variants, family: NDArray[Any] | None
) -> tuple[NDArray[Any], bool]:
    """Label of what is held out together, per variant, and whether these are families."""
    if family is None:
        names = [f"p{k}" for k in range(len(proteins))]
        found = SequenceSet.from_sequences(names, proteins, alphabet="protein")
        family = cluster_by_kmers(found, _KMER)[variants.protein]
    if len(np.unique(family)) > 1:
        return np.asarray(family), True
    # Of one family whole residues are held out; of several changes the first one decides.
    place = np.full(len(variants.protein), -1, dtype=np.int64)
    place[variants.variant[::-1]] = variants.row[::-1]
    if len(np.unique(place)) < _PLACES:
        # Of a few residues none can be done without: what is foretold is how they act together.
        return np.arange(len(place)), False
    return place, False


def _scaled(
    values: NDArray[np.float64], variants: Variants, n_proteins: int
) -> NDArray[np.float64]:
    """Values within each protein, of a standard deviation of 1: ranks of single substitutions.

    Assays end at a floor and at a ceiling, which ranks do not feel. Ranks of several substitutions
    at once are not sums of those of each, so proteins with such variants keep their values.
    """
    whole = float(values.std())
    scaled = values / whole
    for k in range(n_proteins):
        mine = np.flatnonzero(variants.protein == k)
        own = values[mine]
        if len(own) < _OWN or own.std() <= 0.1 * whole:
            continue
        if (variants.n_changed[mine] == 1).all():
            # The middle of an interval that a uniform variable of variance 1 fills.
            scaled[mine] = np.sqrt(12) * ((rankdata(own) - 0.5) / len(own) - 0.5)
        else:
            scaled[mine] = own / own.std()
    return scaled


def _total(
    network: CostNetwork, table: NDArray[np.float32], variants: Variants
) -> NDArray[np.float64]:
    costs = costs_of([network], table)[variants.row, variants.letter]
    return np.bincount(variants.variant, weights=costs, minlength=len(variants.protein))


def _grow(
    rows: NDArray[np.float64], variants: Variants, values: NDArray[np.float64],
    train: NDArray[np.bool_], seed: int,
) -> Trees | None:  # fmt: skip
    """Trees of the single substitutions among some variants; None of too few."""
    single = (train & (variants.n_changed == 1))[variants.variant]
    if single.sum() < _SINGLES:
        return None
    of = variants.variant[single]
    return train_trees(rows[single], values[of], variants.protein[of], seed)


def _sums(
    trees: Trees, rows: NDArray[np.float64], variants: Variants, some: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Sum over the changes of each of some variants."""
    mine = some[variants.variant]
    found = np.bincount(
        variants.variant[mine], weights=trees.predict(rows[mine]), minlength=len(some)
    )
    return np.asarray(found[some])


def _to_energy(
    costs: NDArray[np.float64], branches: NDArray[np.float64], variants: Variants,
    scaled: NDArray[np.float64], values: NDArray[np.float64],
) -> tuple[float, float, float]:  # fmt: skip
    """kcal/mol of a cost of 1 of networks and of trees, neither below 0, and of a change.

    How much either says is decided within proteins, by the values that both were taught; one
    factor and one number a change then make energies of it.
    """
    said, n_changed = [costs, branches], variants.n_changed
    for kept in ([0, 1], [0], [1]):
        if not all(np.ptp(said[k]) > 0 for k in kept):
            continue
        columns = np.stack([_centred(said[k], variants.protein) for k in kept], axis=1)
        share, *_ = np.linalg.lstsq(columns, _centred(scaled, variants.protein), rcond=None)
        if not (share > 0).all():
            continue
        both = np.sum([w * said[k] for w, k in zip(share, kept, strict=True)], axis=0)
        (factor, offset), *_ = np.linalg.lstsq(
            np.stack([both, n_changed], axis=1), values, rcond=None
        )
        if factor > 0:
            scales = [0.0, 0.0]
            for k, w in zip(kept, share, strict=True):
                scales[k] = float(factor * w)
            return scales[0], scales[1], float(offset)
    # Nothing was learned that holds in what was held out: say the mean of all.
    return 0.0, 0.0, float(values.sum() / max(n_changed.sum(), 1))


def _centred(values: NDArray[np.float64], protein: NDArray[np.int64]) -> NDArray[np.float64]:
    """Values less the mean of their protein."""
    count = np.maximum(np.bincount(protein), 1)
    return np.asarray(values - (np.bincount(protein, weights=values) / count)[protein])


def _around(proteins: list[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Codes of every residue and of those around it, of proteins one behind the other."""
    look = {a: k for k, a in enumerate(RESIDUES)}
    own, near = [], []
    for protein in proteins:
        codes = np.array([look.get(a, 20) for a in protein])
        wide = np.concatenate([[20] * _REACH, codes, [20] * _REACH])
        own.append(codes)
        near.append(np.lib.stride_tricks.sliding_window_view(wide, 2 * _REACH + 1))
    return np.concatenate(own), np.concatenate(near)


def _one_hot(proteins: list[str], variants: Variants, n: int) -> Any:
    """One-hot letters of the changes of each variant and of what is around them, summed up."""
    own, near = _around(proteins)
    wild, mutant = own[variants.row], variants.letter
    columns = [mutant, 20 + wild, 41 + 21 * wild + mutant]
    columns += [482 + 21 * k + near[variants.row, k] for k in range(near.shape[1])]
    table = np.stack(columns, axis=1)
    rows = np.repeat(variants.variant, table.shape[1])
    width = 482 + 21 * near.shape[1]
    return csr_matrix((np.ones(table.size), (rows, table.ravel())), shape=(n, width))


def _pairs(
    proteins: list[str], variants: Variants, values: NDArray[np.float64], train: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Mean value of each pair of residues in training, shared out among the changes."""
    own, _ = _around(proteins)
    pair = own[variants.row] * 21 + variants.letter
    each = (values / np.maximum(variants.n_changed, 1))[variants.variant]
    used = train[variants.variant]
    count = np.bincount(pair[used], minlength=441)
    total = np.bincount(pair[used], weights=each[used], minlength=441)
    whole = each[used].mean()
    mean = (total + whole) / (count + 1)
    return np.bincount(variants.variant, weights=mean[pair], minlength=len(values))
