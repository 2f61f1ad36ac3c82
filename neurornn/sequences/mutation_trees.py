"""Boosted trees that stand beside the networks of `MutationModel`, as plain arrays."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.ensemble import HistGradientBoostingRegressor

from neurornn.sequences.mutation_network import LETTERS
from neurornn.sequences.residue_network import (
    EDGE,
    ResidueNetwork,
    residue_codes,
    residue_features,
)

#: Residues on either side that are read one by one, and windows over which means are taken.
_REACH, _MEANS = 8, (3, 5, 8)
#: Degrees from one residue to the next at which the side chains of a helix (100), a tighter or a
#: wider turn, and a strand (160 to 180) lie on one side.
_ANGLES = (100.0, 120.0, 160.0, 180.0)
#: Scales of single neighbours; that of the moments is hydrophobicity by octanol, see `LETTERS`.
_SINGLE, _MOMENT = (0, 1, 2, 3, 4, 6), 6
#: Settings of the boosting; at least so many variants a leaf, or this share of all.
_TREES, _RATE, _LEAVES, _LEAF, _LEAF_SHARE = 200, 0.06, 15, 100, 0.05


class Trees(NamedTuple):
    """Trees as arrays over (tree, node); children come behind their parents.

    Attributes
    ----------
    feature, left, right : numbers. threshold, value : what is compared; what a leaf adds.
    is_leaf : whether a node ends. base : what all begin with.
    """

    feature: NDArray[np.int16]
    left: NDArray[np.int16]
    right: NDArray[np.int16]
    threshold: NDArray[np.float64]
    value: NDArray[np.float64]
    is_leaf: NDArray[np.bool_]
    base: NDArray[np.float64]

    def predict(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum over trees, (row,).

        Parameters
        ----------
        x : (row, feature).
        """
        total = np.full(len(x), float(self.base[0]))
        rows = np.arange(len(x))
        for k in range(len(self.feature)):
            node = np.zeros(len(x), dtype=np.int16)
            while not (ends := self.is_leaf[k, node]).all():
                goes_left = x[rows, self.feature[k, node]] <= self.threshold[k, node]
                child = np.where(goes_left, self.left[k, node], self.right[k, node])
                node = np.where(ends, node, child).astype(np.int16)
            total += self.value[k, node]
        return total


def place_columns(network: ResidueNetwork, sequence: str) -> NDArray[np.float64]:
    """What is around each residue of a protein, (residue, column).

    Parameters
    ----------
    network : reads the residues before and behind. sequence : letters.
    """
    codes = residue_codes(sequence)[1:-1]
    scales = LETTERS[:, EDGE:]
    n, near = len(codes), 2 * _REACH + 1
    padded = np.concatenate([np.full(_REACH, EDGE), codes, np.full(_REACH, EDGE)])
    inside = np.concatenate([np.zeros(_REACH), np.ones(n), np.zeros(_REACH)])
    views = np.lib.stride_tricks.sliding_window_view
    around = scales[views(padded, near)]
    there = views(inside, near).copy()
    there[:, _REACH] = 0
    others = [k for k in range(near) if k != _REACH]
    columns = [around[:, others][:, :, _SINGLE].reshape(n, -1)]
    for reach in _MEANS:
        cut = slice(_REACH - reach, _REACH + reach + 1)
        weight = there[:, cut, None]
        mean = (around[:, cut] * weight).sum(1) / np.maximum(weight.sum(1), 1)
        columns.append(mean)
    wet = around[:, :, _MOMENT] * there
    offset = np.arange(-_REACH, _REACH + 1)
    for angle in np.deg2rad(_ANGLES):
        for reach in (4, _REACH):
            kept = wet * (np.abs(offset) <= reach)
            cos, sin = kept @ np.cos(angle * offset), kept @ np.sin(angle * offset)
            columns.append(np.stack([cos, np.hypot(cos, sin)], axis=1))
    place = np.arange(n)
    columns.append(
        np.stack([place, n - 1 - place, np.minimum(place, n - 1 - place), place / n], axis=1)
    )
    own = LETTERS[codes]
    columns.append(np.tile([n, *own.mean(0)], (n, 1)))
    chance = residue_features(network, sequence)[:, -EDGE:].astype(float)
    columns += [np.exp(chance) @ scales[:EDGE], chance, own[:, EDGE:]]
    return np.hstack(columns)


def mutant_rows(
    columns: NDArray[np.float64], letters: NDArray[np.int64], wild: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Columns of substitutions, (substitution, feature).

    Parameters
    ----------
    columns : (substitution, column), of the place. letters, wild : codes afterwards and before.
    """
    scales = LETTERS[:, EDGE:]
    n_scales = scales.shape[1]
    chance = columns[:, -n_scales - EDGE : -n_scales]
    rows = np.arange(len(letters))
    before = np.where(wild < EDGE, chance[rows, np.minimum(wild, EDGE - 1)], 0.0)
    return np.hstack([
        columns[:, : -n_scales - EDGE], columns[:, -n_scales:], scales[letters],
        scales[letters] - scales[wild], before[:, None], chance[rows, letters][:, None],
    ])  # fmt: skip


def train_trees(
    x: NDArray[np.float64], values: NDArray[np.float64], protein: NDArray[Any], seed: int
) -> Trees:
    """Train on ranks within each protein, from 0 to 1, less a half.

    Parameters
    ----------
    x : (variant, feature). values, protein : (variant,). seed : of the boosting.
    """
    target = np.zeros(len(values))
    for name in np.unique(protein):
        mine = np.flatnonzero(protein == name)
        target[mine] = (rankdata(values[mine]) - 0.5) / len(mine) - 0.5
    model = HistGradientBoostingRegressor(
        max_iter=_TREES, learning_rate=_RATE, max_leaf_nodes=_LEAVES, max_features=0.3,
        min_samples_leaf=min(_LEAF, max(2, int(_LEAF_SHARE * len(values)))),
        l2_regularization=1.0, early_stopping=False, random_state=seed,
    ).fit(x, target)  # fmt: skip
    nodes = [tree[0].nodes for tree in model._predictors]
    most = max(len(n) for n in nodes)

    def padded(name: str, kind: Any) -> NDArray[Any]:
        out = np.zeros((len(nodes), most), dtype=kind)
        for k, n in enumerate(nodes):
            out[k, : len(n)] = n[name]
        return out

    return Trees(
        padded("feature_idx", np.int16), padded("left", np.int16), padded("right", np.int16),
        padded("num_threshold", np.float64), padded("value", np.float64),
        padded("is_leaf", np.bool_), np.asarray(model._baseline_prediction, float).reshape(-1)[:1],
    )  # fmt: skip
