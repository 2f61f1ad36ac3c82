"""Mutations of proteins from the sequence alone, beside what the bench has measured.

Mega-scale: 110,650 single substitutions in 107 domains of 56 families (Tsuboyama et al. 2023, the
cut of Hermans et al. 2024; positive = destabilising). Five folds of whole families, scikit-learn's
`GroupKFold` in the order of the file. The score is Spearman's correlation within each domain, the
mean over all 107 domains, with an interval of a bootstrap over families (`N_RESAMPLES`, seed 0).
Peers with the same sequences: ridge on one-hot letters (the wild type, the mutant, the pair, and
five residues on either side; its penalty by groups within the training part) and scikit-learn's
gradient boosting on the same letters as categories (200 trees of 15 leaves, at least 50 rows
each); the same boosting with random folds is what a random split would report. Values of MSA and
structure methods are those that come with the file, and the trivial baseline is minus BLOSUM62.

Points elsewhere: trained on all of mega-scale, then Ssym direct and inverse (342 each; places from
the pairs of sequences that differ by one residue, otherwise from the numbering of the protein),
FireProt test, S2647, and p53 (42, in the file called myoglobin). Signs are turned to positive =
destabilising. All rows count; those whose residue cannot be found in the sequence are printed as
the yield and score as the mean of the others. Spearman's correlation over all rows of a set, with
a bootstrap over proteins, and the mean within proteins of ten variants and more.

Settings were chosen on folds of mega-scale alone. FireProt's training part serves as a second
training set for its own test part.

Deep mutational scans, the four of nn4dms: singles by random folds, by whole positions, and the
worse half for training with the better one for the test. Ridge on one-hot letters beside.
"""

import gzip
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from scipy.stats import spearmanr
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold

from neurornn._core.confidence import bootstrap_interval
from neurornn._core.errors import FileMissingError
from neurornn.data.substitutions import matching_start

AMINO = "ACDEFGHIKLMNPQRSTVWY"
N_FOLDS, SEED, N_RESAMPLES, REACH = 5, 0, 2000, 5
#: Of so many variants one is predicted from both ways: every mutant is a sequence of its own.
SPARSE = 50
PENALTIES = (3.0, 10.0, 30.0, 100.0, 300.0)
FAMILY_COLUMNS = [
    "variants", "mean within domain", "interval", "median", "all rows", "CPU (min)",
    "gate", "goal",
]  # fmt: skip
POINT_COLUMNS = [
    "rows", "found", "all rows", "interval", "within proteins", "bias of both ways",
    "gate", "goal",
]  # fmt: skip


class Variants(NamedTuple):
    """Measured variants, positive = destabilising.

    Attributes
    ----------
    protein, wild, mutation : (variant,). ddg : (variant,). family : (variant,).
    """

    protein: NDArray[Any]
    wild: NDArray[Any]
    mutation: NDArray[Any]
    ddg: NDArray[np.float64]
    family: NDArray[Any]


def home(name: str) -> Path:
    """Folder of a set."""
    root = os.environ.get("NEURORNN_DATA_DIR", "")
    folder = Path(root) / "sequences" / name
    if not root or not folder.is_dir():
        raise FileMissingError(
            f"{name} is not here", "A folder of protein variants was needed",
            "Set NEURORNN_DATA_DIR to the folder that holds sequences/" + name,
        )  # fmt: skip
    return folder


@lru_cache
def megascale() -> tuple[Variants, pd.DataFrame]:
    """Singles of the 107 domains, and the peers' values that come with them."""
    folder = home("megascale_evostability")
    table = pd.read_csv(folder / "ddg_single_mutants.csv.gz")
    table = table[table.subset == "D"].reset_index(drop=True)
    letters: dict[str, str] = {}
    with gzip.open(folder / "wt_sequences.fasta.gz", "rt") as file:
        for line in file:
            if line.startswith(">"):
                name = line[1:].strip()
                letters[name] = ""
            else:
                letters[name] += line.strip()
    family = pd.read_csv(folder / "families.csv").set_index("protein_id")["family"]
    found = Variants(
        table.protein_id.to_numpy(str),
        table.protein_id.map(letters).to_numpy(str),
        table.mutation_fasta.to_numpy(str),
        table.DDG.to_numpy(float),
        table.protein_id.map(family).to_numpy(str),
    )
    return found, table


def family_folds(data: Variants) -> NDArray[np.int64]:
    """Fold of every variant, whole families together."""
    first = pd.DataFrame({"protein": data.protein, "family": data.family}).drop_duplicates()
    fold = np.zeros(len(first), dtype=np.int64)
    for k, (_, test) in enumerate(GroupKFold(N_FOLDS).split(first, groups=first.family)):
        fold[test] = k
    return pd.Series(data.protein).map(dict(zip(first.protein, fold, strict=True))).to_numpy()


def place_of(data: Variants) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[Any]]:
    """Place, letter before and letter after of single substitutions."""
    place = np.array([int(m[1:-1]) - 1 for m in data.mutation])
    return place, np.array([m[0] for m in data.mutation]), np.array([m[-1] for m in data.mutation])


def codes(data: Variants) -> NDArray[np.int64]:
    """Codes (variant, 2 + 2 * REACH) of the wild type, the mutant and the residues around."""
    place, before, after = place_of(data)
    look = {a: k for k, a in enumerate(AMINO)}
    out = np.full((len(place), 2 + 2 * REACH), 20)
    out[:, 0] = [look[a] for a in before]
    out[:, 1] = [look[a] for a in after]
    for column, offset in enumerate(o for o in range(-REACH, REACH + 1) if o):
        for row, (wild, at) in enumerate(zip(data.wild, place, strict=True)):
            if 0 <= at + offset < len(wild):
                out[row, 2 + column] = look.get(wild[at + offset], 20)
    return out


def one_hot(table: NDArray[np.int64]) -> Any:
    """Sparse columns: each letter, and the pair of the wild type and the mutant."""
    n = np.arange(len(table))
    parts = [
        csr_matrix((np.ones(len(n)), (n, table[:, c])), (len(n), 21))
        for c in range(table.shape[1])
    ]
    pair = table[:, 0] * 21 + table[:, 1]
    parts.append(csr_matrix((np.ones(len(n)), (n, pair)), (len(n), 441)))
    return hstack(parts).tocsr()


def fit_ridge(data: Variants) -> Callable[[Variants], NDArray[np.float64]]:
    """Ridge on one-hot letters; the penalty by three folds of whole families."""
    x, y = one_hot(codes(data)), data.ddg
    n_groups = len(np.unique(data.family))
    loss = np.zeros(len(PENALTIES))
    if n_groups >= 3:
        for train, test in GroupKFold(3).split(x, groups=data.family):
            for k, penalty in enumerate(PENALTIES):
                model = Ridge(penalty).fit(x[train], y[train])
                loss[k] += np.square(model.predict(x[test]) - y[test]).sum()
    best = Ridge(PENALTIES[int(np.argmin(loss))]).fit(x, y)
    return lambda other: best.predict(one_hot(codes(other)))


def fit_boosting(data: Variants) -> Callable[[Variants], NDArray[np.float64]]:
    """Gradient boosting on the same letters as categories."""
    model = HistGradientBoostingRegressor(
        max_iter=200, max_leaf_nodes=15, min_samples_leaf=50, random_state=SEED,
        categorical_features=list(range(2 + 2 * REACH)),
    ).fit(codes(data), data.ddg)  # fmt: skip
    return lambda other: model.predict(codes(other))


def unlike(data: Variants) -> NDArray[np.float64]:
    """Minus BLOSUM62 of the two letters."""
    from Bio.Align import substitution_matrices

    table = substitution_matrices.load("BLOSUM62")
    _, before, after = place_of(data)
    return -np.array([table[a][b] for a, b in zip(before, after, strict=True)], dtype=float)


def take(data: Variants, rows: NDArray[Any]) -> Variants:
    """Return some of the variants."""
    return Variants(*(column[rows] for column in data))


def within(data: Variants, score: NDArray[np.float64], least: int = 10) -> pd.DataFrame:
    """Spearman's correlation within each protein, with its family."""
    frame = pd.DataFrame({
        "protein": data.protein, "family": data.family, "ddg": data.ddg, "score": score,
    })  # fmt: skip
    rows = [
        (name, part.family.iloc[0], spearmanr(part.ddg, part.score).statistic)
        for name, part in frame.groupby("protein")
        if len(part) >= least
    ]
    return pd.DataFrame(rows, columns=["protein", "family", "rho"]).fillna({"rho": 0.0})


def over_families(scores: pd.DataFrame) -> tuple[float, NDArray[np.float64]]:
    """Mean over proteins, and its interval when whole families are drawn."""
    groups = [g.rho.to_numpy() for _, g in scores.groupby("family")]
    table = np.array([[len(g), g.sum()] for g in groups])
    ci = bootstrap_interval(
        table, lambda t: float(t[:, 1].sum() / t[:, 0].sum()), n_resamples=N_RESAMPLES, rng=SEED
    )
    return float(scores.rho.mean()), ci


def _row(
    name: str, data: Variants, score: NDArray[np.float64], cpu: float | None, gate: str, goal: str
) -> list[str]:
    scores = within(data, score)
    mean, (low, high) = over_families(scores)
    whole = spearmanr(data.ddg, score).statistic
    return [
        name, str(int(np.isfinite(score).sum())), f"{mean:.3f}", f"{low:.3f} to {high:.3f}",
        f"{scores.rho.median():.3f}", f"{whole:.3f}",
        "-" if cpu is None else f"{cpu / 60:.1f}", gate, goal,
    ]  # fmt: skip


def out_of_fold(
    data: Variants, fold: NDArray[np.int64], fit: Callable[[Variants], Callable[[Variants], Any]]
) -> tuple[NDArray[np.float64], float]:
    """Scores of variants whose family no fold has seen, and CPU seconds of all fits."""
    score, begin = np.full(len(fold), np.nan), time.process_time()
    for k in range(N_FOLDS):
        model = fit(take(data, fold != k))
        score[fold == k] = model(take(data, fold == k))
    return score, time.process_time() - begin


def point_mutants(name: str) -> tuple[Variants, NDArray[np.bool_], Variants | None]:
    """Variants of a set of point mutants, which rows were found, and the inverse of Ssym."""
    folder = home("ddg_point_mutants")
    if name == "Ssym":
        return _ssym(folder)
    if name == "S2647":
        table = pd.read_csv(folder / "OK_S2647.csv")
        letters = _fasta(folder / "S2647_data.txt")
        wild = [letters.get(f"{p}_{c}", "") for p, c in zip(table.PDBID, table.CHAIN, strict=True)]
        place = table["SEQ Position"].to_numpy()
        before, after = table.WILD_RES.to_numpy(str), table.MUTANT_RES.to_numpy(str)
        ddg, protein = -table.EXP_DDG.to_numpy(float), table.PDBID.to_numpy(str)
    elif name == "p53":
        table = pd.read_csv(folder / "myoglobin_clean.csv.gz")
        wild, protein = list(table.SEQ), table.PDB.to_numpy(str)
        start = matching_start(wild[0], list(table.MUT))
        number = table.MUT.str[1:-1].astype(int).to_numpy()
        place = number - (start if start is not None else 1) + 1
        before, after = table.MUT.str[0].to_numpy(str), table.MUT.str[-1].to_numpy(str)
        ddg = -table.DDG.to_numpy(float)
    else:
        part = name.removeprefix("FireProt ")
        table = pd.read_csv(folder / f"fireprot_{part}.csv.gz")
        table = table[np.isfinite(table.ddG)]
        wild, protein = list(table.pdb_sequence), table.pdb_id_corrected.to_numpy(str)
        place = table.pdb_position.to_numpy(int) + 1
        before, after = table.wild_type.to_numpy(str), table.mutation.to_numpy(str)
        ddg = table.ddG.to_numpy(float)
    return _made(protein, wild, place, before, after, ddg), _found(wild, place, before), None


def _made(
    protein: Any, wild: list[str], place: Any, before: Any, after: Any, ddg: Any
) -> Variants:
    mutation = [f"{a}{p}{b}" for a, p, b in zip(before, place, after, strict=True)]
    return Variants(
        np.asarray(protein),
        np.array(wild, dtype=str),
        np.array(mutation),
        ddg,
        np.asarray(protein),
    )


def _found(wild: list[str], place: Any, before: Any) -> NDArray[np.bool_]:
    return np.array([
        bool(1 <= p <= len(w) and w[p - 1] == a)
        for w, p, a in zip(wild, place, before, strict=True)
    ])  # fmt: skip


def _fasta(path: Path) -> dict[str, str]:
    letters: dict[str, str] = {}
    name = ""
    for line in path.read_text().splitlines():
        if line.startswith(">"):
            name = line.split("|")[1] if "|" in line else line[1:].strip()
            letters[name] = ""
        elif name:
            letters[name] += line.strip()
    return letters


def _ssym(folder: Path) -> tuple[Variants, NDArray[np.bool_], Variants]:
    """Direct and inverse mutations; the place is where the pair of sequences differs."""
    one = pd.read_csv(folder / "ssym-5fold_clean_dir.csv.gz")
    other = pd.read_csv(folder / "ssym-5fold_clean_inv.csv.gz")
    number = one.MUT.str[1:-1].astype(int).to_numpy()
    before, after = one.MUT.str[0].to_numpy(str), one.MUT.str[-1].to_numpy(str)
    place = np.zeros(len(one), dtype=int)
    for k, (a, b) in enumerate(zip(one.SEQ, other.SEQ, strict=True)):
        at = [i for i in range(len(a)) if len(a) == len(b) and a[i] != b[i]]
        if len(at) == 1 and a[at[0]] == before[k]:
            place[k] = at[0] + 1
    for name in one.PDB.unique():
        rows = np.flatnonzero(name == one.PDB)
        known = rows[place[rows] > 0]
        if len(known):
            shift = np.bincount(number[known] - place[known] + 1000).argmax() - 1000
        else:
            start = matching_start(one.SEQ[rows[0]], list(one.MUT[rows]))
            if start is None:
                continue
            shift = start - 1
        rest = rows[place[rows] == 0]
        place[rest] = number[rest] - shift
    wild = list(one.SEQ)
    found = _found(wild, place, before)
    direct = _made(one.PDB.to_numpy(str), wild, place, before, after, -one.DDG.to_numpy(float))
    mutant = [
        w[: p - 1] + b + w[p:] if ok else w
        for w, p, b, ok in zip(wild, place, after, found, strict=True)
    ]
    inverse = _made(one.PDB.to_numpy(str), mutant, place, after, before, one.DDG.to_numpy(float))
    return direct, found, inverse


def family_rows() -> Iterator[list[str]]:
    """One row per method, families held out."""
    data, table = megascale()
    fold = family_folds(data)
    yield _row("minus BLOSUM62", data, unlike(data), None, "-", "-")
    for title, column, sign in (
        ("LOR (MSA), of the file", "LOR", 1), ("GEMME (MSA), of the file", "GEMME_epi", 1),
        ("ArDCA (MSA), of the file", "ArDCA", 1), ("1 - RSA (structure), of the file", "RSA", -1),
        ("PoPMuSiC (structure), of the file", "PoPMuSiC", 1),
    ):  # fmt: skip
        yield _row(title, data, sign * table[column].to_numpy(float), None, "-", "-")
    for title, fit in (("ridge", fit_ridge), ("gradient boosting", fit_boosting)):
        yield _row(title, data, *out_of_fold(data, fold, fit), "-", "-")
    shuffled = np.random.default_rng(SEED).permutation(np.arange(len(fold)) % N_FOLDS)
    yield _row(
        "gradient boosting, RANDOM folds",
        data,
        *out_of_fold(data, shuffled, fit_boosting),
        "-",
        "-",
    )


def fit_ours(data: Variants, **settings: Any) -> Any:
    """`MutationModel` with its own settings."""
    import neurornn as nr

    return nr.sequences.MutationModel(rng=SEED, **settings).fit(
        list(data.wild), list(data.mutation), data.ddg, family=data.family
    )


@lru_cache
def _ours_out_of_fold() -> tuple[
    NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float
]:
    """Predictions, those from both ways, half-widths, CPU seconds of fits and predictions."""
    data, _ = megascale()
    fold = family_folds(data)
    one, both, half = (np.full(len(fold), np.nan) for _ in range(3))
    seconds = 0.0
    for k in range(N_FOLDS):
        begin = time.process_time()
        model = fit_ours(take(data, fold != k))
        test = take(data, fold == k)
        wild, mutation = list(test.wild), list(test.mutation)
        one[fold == k] = model.predict(wild, mutation)
        low, high = model.predict_interval(wild, mutation).T
        seconds += time.process_time() - begin
        half[fold == k] = (high - low) / 2
        some = np.flatnonzero(fold == k)[::SPARSE]
        both[some] = model.predict(
            list(data.wild[some]), list(data.mutation[some]), reference="both"
        )
    return one, both, half, seconds


def our_rows() -> Iterator[list[str]]:
    """Ours: counted from the natural sequence, and the mean of both ways."""
    data, _ = megascale()
    one, both, _, seconds = _ours_out_of_fold()
    yield _row("MutationModel", data, one, seconds, ">= .54 in 15 min", ".60 in 5 min")
    some = np.isfinite(both)
    part = take(data, some)
    for title, score in (("MutationModel", one), ('MutationModel, reference="both"', both)):
        yield _row(f"{title}, one variant in {SPARSE}", part, score[some], None, "-", "-")


def interval_rows() -> Iterator[list[str]]:
    """Share of the variants of unseen families that the 90 % interval holds."""
    data, _ = megascale()
    fold = family_folds(data)
    one, _, half, _ = _ours_out_of_fold()
    inside = np.abs(one - data.ddg) <= half
    trivial = np.abs(data.ddg - np.median(data.ddg)) <= np.quantile(
        np.abs(data.ddg - np.median(data.ddg)), 0.9
    )
    spread = float(np.quantile(np.abs(data.ddg - np.median(data.ddg)), 0.9))
    names = pd.Series(inside).groupby(data.family).agg(["mean", "size"])
    table = np.stack([names["mean"] * names["size"], names["size"]], axis=1)
    low, high = bootstrap_interval(
        table, lambda t: float(t[:, 0].sum() / t[:, 1].sum()), n_resamples=N_RESAMPLES, rng=SEED
    )
    yield [
        "all folds", str(len(inside)), f"{inside.mean():.3f}", f"{low:.3f} to {high:.3f}",
        f"{half.mean():.2f}", f"{spread:.2f} holds {trivial.mean():.3f}", ".86-.94", ".88-.92",
    ]  # fmt: skip
    for k in range(N_FOLDS):
        rows = fold == k
        yield [
            f"fold {k + 1}", str(int(rows.sum())), f"{inside[rows].mean():.3f}", "-",
            f"{half[rows].mean():.2f}", "-", "-", "-",
        ]  # fmt: skip


def _point_row(
    title: str, data: Variants, found: NDArray[np.bool_], score: NDArray[np.float64], bias: str,
    gate: str, goal: str,
) -> list[str]:  # fmt: skip
    """One set of point mutants by one method; rows that were not found get the mean."""
    whole = np.where(found, score, score[found].mean())
    rho = spearmanr(data.ddg, whole).statistic
    groups = [np.flatnonzero(data.protein == n) for n in np.unique(data.protein)]
    interval = "-"
    if len(groups) > 2:
        draw = np.random.default_rng(SEED)
        drawn = []
        for _ in range(500):
            rows = np.concatenate(
                [groups[g] for g in draw.integers(len(groups), size=len(groups))]
            )
            drawn.append(spearmanr(data.ddg[rows], whole[rows]).statistic)
        interval = "{:.3f} to {:.3f}".format(*np.quantile(drawn, [0.025, 0.975]))
    own = within(data, whole)
    return [
        title, str(len(found)), str(int(found.sum())), f"{rho:.3f}", interval,
        f"{own.rho.mean():.3f} of {len(own)}", bias, gate, goal,
    ]  # fmt: skip


def _scores(method: Any, data: Variants, found: NDArray[np.bool_]) -> NDArray[np.float64]:
    score = np.full(len(found), np.nan)
    score[found] = method(take(data, found))
    return score


def point_rows() -> Iterator[list[str]]:
    """Point mutants of other proteins, by what mega-scale alone has taught."""
    import neurornn as nr

    data, _ = megascale()
    model = nr.sequences.MutationModel.shipped()
    ridge = fit_ridge(data)
    methods = {
        "MutationModel.shipped()": lambda v: model.predict(list(v.wild), list(v.mutation)),
        "ridge": ridge,
        "minus BLOSUM62": unlike,
    }
    gates = {"Ssym": (">= .40", ".50")}
    for name in ("Ssym", "FireProt test", "S2647", "p53"):
        points, found, inverse = point_mutants(name)
        for title, method in methods.items():
            score, bias = _scores(method, points, found), "-"
            if inverse is not None:
                back = take(inverse, found)
                if title.startswith("Mutation"):
                    # The natural protein is that of the direct mutation, for both ways.
                    other = model.predict(
                        list(back.wild), list(back.mutation), reference=list(points.wild[found])
                    )
                else:
                    other = method(back)
                bias = f"{np.mean(score[found] + other) / 2:.3f}"
            gate = gates.get(name, ("-", "-")) if title.startswith("Mutation") else ("-", "-")
            yield _point_row(f"{name}, {title}", points, found, score, bias, *gate)
        if inverse is not None:
            score = _scores(
                lambda v: model.predict(list(v.wild), list(v.mutation), reference="both"),
                points, found,
            )  # fmt: skip
            yield _point_row(
                f'{name}, MutationModel, reference="both"', points, found, score, "0.000", "-", "-"
            )
    train, found_train, _ = point_mutants("FireProt train")
    test, found, _ = point_mutants("FireProt test")
    both = take(train, found_train)
    for title, fit in (("MutationModel", _fitted_ours), ("ridge", fit_ridge)):
        score = _scores(fit(both), test, found)
        yield _point_row(f"FireProt train to test, {title}", test, found, score, "-", "-", "-")


def _fitted_ours(data: Variants) -> Callable[[Variants], NDArray[np.float64]]:
    model = fit_ours(data)
    return lambda other: model.predict(list(other.wild), list(other.mutation))


def _scan(name: str) -> Variants:
    """Single substitutions of a scan, turned so that positive is damaged."""
    folder = home("dms_nn4dms")
    letters: dict[str, tuple[str, int]] = {}
    for line in (folder / "wt.fasta").read_text().splitlines():
        if line.startswith(">"):
            title, offset = line[1:].split()
            shift = int(offset.partition("=")[2])
        else:
            letters[title] = (line.strip(), shift)
    table = pd.read_csv(folder / f"{name}.tsv.gz", sep="\t")
    table = table[(table.num_mutations == 1) & np.isfinite(table.score)]
    table = table[~table.variant.str.contains(r"\*")]
    wild, shift = letters[name]
    place = table.variant.str[1:-1].astype(int).to_numpy() - shift + 1
    n = len(table)
    return _made(
        np.full(n, name), [wild] * n, place, table.variant.str[0].to_numpy(),
        table.variant.str[-1].to_numpy(), -table.score.to_numpy(float),
    )  # fmt: skip


def scan_rows() -> Iterator[list[str]]:
    """Four scans: random folds, whole positions held out, and the damaged half to the other."""
    import neurornn as nr

    shipped = nr.sequences.MutationModel.shipped()
    for name in ("avgfp", "bgl3", "pab1", "ube4b"):
        data = _scan(name)
        place, _, _ = place_of(data)
        n = len(place)
        draw = np.random.default_rng(SEED)
        random = draw.permutation(np.arange(n) % N_FOLDS)
        positions = np.unique(place)
        of_place = dict(
            zip(positions, draw.permutation(np.arange(len(positions)) % N_FOLDS), strict=True)
        )
        by_place = np.array([of_place[p] for p in place])
        never = shipped.predict(list(data.wild), list(data.mutation))
        yield [
            f"{name}, never seen, MutationModel.shipped()", str(n),
            f"{spearmanr(data.ddg, never).statistic:.3f}",
            f"{spearmanr(data.ddg, unlike(data)).statistic:.3f}",
        ]  # fmt: skip
        for split, fold in (("random", random), ("whole positions", by_place)):
            found = []
            for fit in (_fitted_ours, fit_ridge):
                score, _ = out_of_fold(data, fold, fit)
                found.append(f"{spearmanr(data.ddg, score).statistic:.3f}")
            yield [f"{name}, {split}", str(n), *found]
        low = data.ddg > np.median(data.ddg)
        found = []
        for fit in (_fitted_ours, fit_ridge):
            score = fit(take(data, low))(take(data, ~low))
            found.append(f"{spearmanr(data.ddg[~low], score).statistic:.3f}")
        yield [f"{name}, low to high", str(int((~low).sum())), *found]


_ALONE = """
import resource, sys, time
import neurornn as nr
model = nr.sequences.MutationModel.shipped()
model.mutate_all("MKTAYIAKQR")
begin = time.process_time()
model.mutate_all(sys.argv[1])
took = time.process_time() - begin
print(took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def speed_rows() -> Iterator[list[str]]:
    """All mutants of a domain against the batched naive pass, and those of a long protein."""
    import torch

    import neurornn as nr
    from neurornn.sequences.mutation_network import costs_of, protein_features

    draw = np.random.default_rng(SEED)
    model = nr.sequences.MutationModel.shipped()
    short, long = ("".join(draw.choice(list(AMINO), n)) for n in (65, 500))

    def naive() -> NDArray[np.float64]:
        """Every mutant alone through the same networks, in batches of 64, read at its place."""
        table = np.zeros((len(short), 20))
        todo = [(i, k) for i in range(len(short)) for k in range(20) if AMINO[k] != short[i]]
        reader = model._reader
        with torch.no_grad():
            for start in range(0, len(todo), 64):
                part = todo[start : start + 64]
                mutants = [short[:i] + AMINO[k] + short[i + 1 :] for i, k in part]
                coded = [[20, *(AMINO.index(a) for a in m), 20] for m in mutants]
                reader.states(torch.tensor(coded))
        features = protein_features(reader, short)
        costs = costs_of(model._networks, features)
        for i, k in todo:
            table[i, k] = costs[i, k]
        return table

    model.mutate_all(short)
    ratios, times = [], []
    for _ in range(9):
        begin = time.process_time()
        naive()
        middle = time.process_time()
        model.mutate_all(short)
        end = time.process_time()
        ratios.append((middle - begin) / (end - middle))
        times.append(end - middle)
    yield [
        "65 residues, all mutants", f"{np.median(times):.3f}", f"{np.median(ratios):.1f}",
        f"{min(ratios):.1f} to {max(ratios):.1f}", ">= 1.3", "2",
    ]  # fmt: skip
    # In a process of its own, from the import on.
    said = subprocess.run(
        [sys.executable, "-c", _ALONE, long], capture_output=True, text=True, check=True
    ).stdout.split()
    yield [
        "500 residues, all mutants", f"{float(said[0]):.3f}", "-",
        f"{float(said[1]):.0f} MB with all imports", "10 s, 500 MB", "3 s",
    ]  # fmt: skip


SCAN_COLUMNS = ["variants", "MutationModel", "ridge (or minus BLOSUM62)"]
INTERVAL_COLUMNS = [
    "variants", "held", "interval over families", "half-width (kcal/mol)",
    "one width for all (kcal/mol)", "gate", "goal",
]  # fmt: skip
SPEED_COLUMNS = ["CPU (s)", "times faster", "range, memory", "gate", "goal"]
