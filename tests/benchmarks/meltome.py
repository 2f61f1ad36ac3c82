"""Melting points of proteins: stability, or the species that a protein came from?

Apparent melting points of lysates (Meltome Atlas, Jarzab et al. 2020,
doi:10.1038/s41592-020-0801-4) of the three species whose proteomes are here, joined by accession:
E. coli 1556, B. subtilis 1295, yeast 1920 proteins. Seed 0 throughout.

`meltome_audit`: the ridge of `data.audit` on composition and length, five random folds and
leave-species-out, scores pooled; the species from the same columns, accuracy out of fold.

`meltome_species`: each species is the test once, the other two are the training. The score is the
Spearman correlation within the test species, mean over the three; a constant within a species,
which is all that the label can say, has 0. Intervals are of a bootstrap over proteins (500
draws). The species is then decoded from the penultimate features of each of the
three trained models, of all 4771 proteins, the species that it has not seen among them: balanced
accuracy out of five stratified folds (chance 1/3) of a logistic regression with balanced weights
on scaled columns, and of gradient-boosted trees (100 of scikit-learn's defaults, balanced). The
gate counts the worst of the three models and two probes, on features as `transform` gives them
without a word about species.

Beside it: ridge on composition and length (penalty 1 on columns scaled), ridge on pairs of
letters (penalty 100), gradient-boosted trees on composition and length, each once on melting
points as they are and once on the target of the model, the normal score within a species.
"""

import time
import warnings
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

import neurornn as nr
from neurornn._core.confidence import bootstrap_interval
from neurornn.data.audit_decoding import PROBES, decodability
from neurornn.data.baselines import simple_features
from neurornn.data.sequence_sets import SequenceSet
from neurornn.sequences.stability import within_species
from neurornn.sequences.stability_training import plain_predictions, scores_within

SEED = 0
AUDIT_COLUMNS = ["measured", "interval", "expected", "gate"]
COLUMNS = [
    "n", "Spearman within", "interval", "E. coli", "B. subtilis", "yeast", "decoded, linear",
    "decoded, trees", "gate", "CPU s of a fit",
]  # fmt: skip
SPECIES = ("Escherichia coli", "Bacillus subtilis", "Saccharomyces cerevisiae")
PLAIN = {
    "ridge on composition": "ridge", "ridge on pairs": "pairs", "boosted trees": "trees",
}  # fmt: skip


@lru_cache
def proteins() -> tuple[SequenceSet, NDArray[np.float64], NDArray[np.int64]]:
    """Proteins of the three species, their melting points, and the number of the species."""
    found = nr.io.read_melting_points(nr.fetch("meltome"))
    number = np.array([SPECIES.index(s) for s in found.groups["species"]])
    return found, found.labels["tm"], number


def audit_rows() -> Iterator[list[str]]:
    """What the audit says, beside what was measured before it was written."""
    found, tm, _ = proteins()
    report = nr.data.audit(found, tm, features=simple_features(found)[0]).parameters
    for text, name, where, expected, gate in (
        ("composition and length, random split, Spearman", "features_random_spearman", {},
         0.403, "within .03"),
        ("composition and length, leave-species-out, Spearman", "features_held_out_spearman",
         {"held_out": "species"}, -0.169, "within .03"),
        ("species alone, Spearman", "label_only_spearman", {"group": "species"}, None, ""),
        ("species from composition and length, accuracy", "label_readable",
         {"readable": "species"}, 0.793, "within .03"),
        ("species from composition and length, balanced accuracy, linear", "group_decodable",
         {"probe": "linear"}, None, ""),
        ("species from composition and length, balanced accuracy, trees", "group_decodable",
         {"probe": "trees"}, None, ""),
    ):  # fmt: skip
        value = float(np.ravel(report[name].sel(where).values)[0])
        low, high = np.ravel(report[f"{name}_ci"].sel(where).values)[:2]
        yield [
            text, f"{value:.3f}", f"{low:.3f} to {high:.3f}",
            "" if expected is None else f"{expected:.3f}", gate,
        ]  # fmt: skip


def _row(name: str, scores: NDArray[np.float64], rest: list[str]) -> list[str]:
    """Score of predictions of every protein, each by a model that had not seen its species."""
    _, tm, number = proteins()
    table = np.stack([scores, tm, number], axis=1)
    low, high = bootstrap_interval(table, within_species, n_resamples=500, rng=SEED)
    each = [within_species(table[number == k]) for k in range(len(SPECIES))]
    return [
        name, str(len(tm)), f"{np.mean(each):.3f}", f"{low:.3f}-{high:.3f}",
        *(f"{v:.3f}" for v in each), *rest,
    ]  # fmt: skip


def rows() -> Iterator[list[str]]:
    """The model, then plain models, then the species alone."""
    found, tm, number = proteins()
    scores, decoded, seconds = np.full(len(tm), np.nan), [], []
    for k in range(len(SPECIES)):
        rest, test = np.flatnonzero(number != k), np.flatnonzero(number == k)
        begun = time.process_time()
        model = nr.sequences.StabilityModel(rng=SEED).fit(
            found[rest], tm[rest], species=number[rest]
        )
        seconds.append(time.process_time() - begun)
        scores[test] = model.predict(found[test])
        features = model.transform(found)
        decoded.append([decodability(features, number, kind, rng=SEED)[0] for kind in PROBES])
    worst = np.max(decoded, axis=0)
    yield _row(
        "StabilityModel", scores,
        [f"{worst[0]:.3f}", f"{worst[1]:.3f}", ">= .28, <= .60", f"{max(seconds):.0f}"],
    )  # fmt: skip
    whole = simple_features(found)[0]
    plain = [f"{decodability(whole, number, kind, rng=SEED)[0]:.3f}" for kind in PROBES]
    for name, kind in PLAIN.items():
        for what in ("melting points", "normal scores"):
            scores, seconds = np.full(len(tm), np.nan), []
            for k in range(len(SPECIES)):
                rest, test = np.flatnonzero(number != k), np.flatnonzero(number == k)
                y = tm[rest] if what == "melting points" else scores_within(tm[rest], number[rest])
                begun = time.process_time()
                scores[test] = plain_predictions(found[rest], y, found[test], kind)
                seconds.append(time.process_time() - begun)
            own = plain if kind != "pairs" else ["-", "-"]
            yield _row(f"{name}, {what}", scores, [*own, "", f"{max(seconds):.0f}"])
    yield _row("species alone", np.zeros(len(tm)), ["1", "1", "", "0"])


def curve_rows() -> Iterator[list[str]]:
    """Score in a species never seen by the number of species in the training."""
    found, tm, number = proteins()
    labels = np.array(SPECIES)[number]
    model = nr.sequences.StabilityModel(rng=SEED)
    with warnings.catch_warnings():
        # One species is what the first point of the curve is about.
        warnings.simplefilter("ignore")
        table = nr.sequences.species_curve(model, found, tm, labels)
    for size in table["n_species"].values:
        one = table.sel(n_species=size)
        each = [f"{float(one['score_of'].sel(held_out=s)):.3f}" for s in SPECIES]
        low, high = one["score_ci"].values
        yield [
            str(size), str(int(one["n_fits"])), f"{float(one['score']):.3f}",
            f"{low:.3f}-{high:.3f}", *each,
        ]  # fmt: skip


CURVE_COLUMNS = ["fits", "Spearman within", "interval", "E. coli", "B. subtilis", "yeast"]
