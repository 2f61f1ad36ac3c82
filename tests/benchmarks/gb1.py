"""GB1, four sites mutated at once (FLIP): fitness by split, beside a ridge on letters.

Settings, fixed before any model was tried: the splits and their test sets are FLIP's, version of
the registry; Spearman correlation over the test set with a bootstrap interval over variants (500
resamples, seed 0); `MutationModel` with its own settings and rng=0, taught by the training set,
fitness turned so that positive is damaged; a ridge of penalty 1 on the letters of the sites that
vary; the number of substitutions alone as the trivial baseline. A split whose training set is too
small for the model counts as refused. Costs of substitutions add up in `MutationModel`, so that
epistasis, which this set was made to show, is out of its reach.

Not blind: that variants are held out where few residues vary was asked for by a first run, whose
weights of networks and trees, from residues held out, told nothing here (.266 for two_vs_rest).
"""

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge

from neurornn._core.confidence import bootstrap_interval
from neurornn._core.errors import DataError

SPLITS = ("one_vs_rest", "two_vs_rest", "three_vs_rest", "low_vs_high", "sampled")
SEED, N_RESAMPLES, PENALTY = 0, 500, 1.0
COLUMNS = [
    "trained on", "tested on", "MutationModel", "ridge on letters",
    "number of substitutions", "MutationModel.shipped(), never seen",
]  # fmt: skip


def _table(split: str) -> pd.DataFrame:
    folder = Path(os.environ["NEURORNN_DATA_DIR"]) / "sequences" / "flip_gb1"
    with (
        zipfile.ZipFile(folder / "splits.zip") as archive,
        archive.open(f"splits/{split}.csv") as f,
    ):
        return pd.read_csv(f)


def _mutations(wild: str, sequences: list[str]) -> list[str]:
    changes = (
        ":".join(f"{a}{i + 1}{b}" for i, (a, b) in enumerate(zip(wild, s, strict=True)) if a != b)
        for s in sequences
    )
    return [c or "WT" for c in changes]


def _letters(sequences: list[str], places: NDArray[np.int64]) -> NDArray[np.float64]:
    kinds = sorted({s[p] for s in sequences for p in places})
    table = [[float(s[p] == k) for p in places for k in kinds] for s in sequences]
    return np.array(table)


def _said(measured: NDArray[np.float64], predicted: NDArray[np.float64]) -> str:
    if np.ptp(predicted) == 0:
        return "constant"
    pairs = np.stack([measured, predicted], axis=1)
    low, high = bootstrap_interval(
        pairs, lambda t: float(spearmanr(t[:, 0], t[:, 1]).statistic),
        n_resamples=N_RESAMPLES, rng=SEED,
    )  # fmt: skip
    return f"{spearmanr(measured, predicted).statistic:.3f} [{low:.3f}, {high:.3f}]"


def rows() -> Iterator[list[str]]:
    """A row for each split of FLIP."""
    import neurornn as nr

    shipped = nr.sequences.MutationModel.shipped()
    for split in SPLITS:
        table = _table(split)
        # Fitness is over that of the wild type, which has 1 exactly and no substitution.
        wild = str(table["sequence"][0])
        sequences = table["sequence"].tolist()
        texts = np.array(_mutations(wild, sequences))
        assert texts[0] == "WT" and table["target"][0] == 1
        damage = -table["target"].to_numpy(float)
        train = (table["set"] == "train").to_numpy()
        places = np.flatnonzero([len({s[i] for s in sequences}) > 1 for i in range(len(wild))])
        letters = _letters(sequences, places)
        ridge = Ridge(PENALTY).fit(letters[train], damage[train]).predict(letters[~train])
        counted = np.array([0 if t == "WT" else t.count(":") + 1 for t in texts])
        try:
            model = nr.sequences.MutationModel(rng=SEED).fit(
                wild, list(texts[train]), damage[train]
            )
            ours = _said(damage[~train], model.predict(wild, list(texts[~train])))
        except DataError as error:
            ours = f"refused: {error.came}"
        yield [
            split, str(int(train.sum())), str(int((~train).sum())), ours,
            _said(damage[~train], ridge), _said(damage[~train], counted[~train].astype(float)),
            _said(damage[~train], shipped.predict(wild, list(texts[~train]))),
        ]  # fmt: skip
