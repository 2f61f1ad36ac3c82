"""One audit for recordings, genomes and proteins: copies, confounders, and the honest split."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import (
    check_confidence_level,
    check_count,
    check_labels,
    check_rng,
    check_rows,
)
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn._core.rng import RNG, generator
from neurornn.data.alphabets import ALPHABETS
from neurornn.data.audit_baselines import score_features, score_labels
from neurornn.data.audit_copies import (
    look_for_copies,
    look_for_near_copies,
    look_for_overlap,
    look_for_shared_kmers,
)
from neurornn.data.audit_decoding import (
    check_features,
    decode_groups,
    penultimate_features,
    score_predictions,
)
from neurornn.data.audit_ledger import Ledger
from neurornn.data.audit_report import AuditReport, AuditStatus
from neurornn.data.baselines import task_of
from neurornn.data.sequence_sets import SequenceSet

_GRAVITY = (AuditStatus.CONFOUNDED, AuditStatus.LEAKS, AuditStatus.COPIES)


def audit(
    X: Any = None,
    y: ArrayLike | None = None,
    *,
    groups: Mapping[str, ArrayLike] | None = None,
    test: Any = None,
    features: ArrayLike | None = None,
    model: Any = None,
    predictions: ArrayLike | None = None,
    kmer: int | None = None,
    task: str | None = None,
    n_splits: int = 5,
    confidence_level: float = 0.95,
    rng: RNG = 0,
) -> AuditReport:
    """Look for what makes a score too good: copies, shared stretches, labels that give the answer.

    Parameters
    ----------
    X : SequenceSet, list of sequences, array (row, ...), or DataArray (time, unit)
        None where only targets and labels are at hand.
    y : (row,) or (row, output)
        Targets; without them copies and shared stretches are still found.
    groups : name -> (row,)
        Labels that a model could hide behind: species, family, animal, session, day. The
        ``groups`` of a SequenceSet are used by default.
    test : another set like `X`, or row numbers or a mask of the test rows in it.
    features : (row, feature), what your model reads; how well each group is decoded from them is
        told beside chance.
    model : a fitted model with ``transform(X)``, or a function of X, for the features that it
        hands to its last layer.
    predictions : your model's, the shape of `y`, each of a row that it had not seen; they are
        scored beside what a label alone gives, and within its labels.
    kmer : letters of a stretch that no two independent sequences share by chance; by default 40
        for DNA and RNA and 10 for proteins.

    Other Parameters
    ----------------
    task : ``"regression"`` or ``"classification"``; by default told from `y`.
    n_splits : folds of every baseline.
    confidence_level : of the intervals.
    rng : int, Generator or None.

    Returns
    -------
    AuditReport
        ``parameters``, ``findings`` and ``honest_split``; ``clusters`` labels rows that must stay
        together. Printing it shows everything.

    Notes
    -----
    Scores are out of fold and pooled over all rows; their intervals come from a bootstrap over
    folds. ``duplicate_rows`` counts rows that repeat an earlier row; a near copy has half of its
    21-mers (proteins: 6-mers) in one other row.

    A group is decoded by a logistic regression and by boosted trees that count every label alike,
    out of fold: balanced accuracy, beside 1 over the number of labels. What tells about the target
    and is decoded as well is what a model may read instead of the physics; melting points of
    proteins and their species are the known case.

    References
    ----------
    Garcia Lopez et al. 2025, doi:10.1002/prot.70019 (melting points and species).

    Examples
    --------
    >>> report = audit(["ACGTACGT", "ACGTACGT", "TTTTACCC"], kmer=8)
    >>> int(report.parameters["duplicate_rows"]), report.split
    (1, 'clusters')
    """
    check_confidence_level(confidence_level)
    check_count(n_splits, "n_splits", 2)
    rng = check_rng(rng)
    data, what = _as_data(X)
    targets = None if y is None else _as_targets(y)
    if groups is None and isinstance(data, SequenceSet):
        groups = data.groups
    labels = {str(k): check_labels(v, str(k)) for k, v in (groups or {}).items()}
    n = _n_rows(data, targets, labels)
    ordered = isinstance(X, xr.DataArray) and "time" in X.dims[:1]
    sequences = data if isinstance(data, SequenceSet) else None
    if kmer is None:
        kmer = 10 if sequences is not None and sequences.alphabet == "protein" else 40
    kind = None if targets is None else task_of(targets, task)
    if targets is not None and kind == "classification":
        _check_classes(targets)
    ledger = Ledger(confidence_level=confidence_level, rng=generator(rng))
    if data is not None:
        look_for_copies(ledger, data, targets if kind == "classification" else None, ordered)
    classes = targets if kind == "classification" and targets.ndim == 1 else None  # type: ignore[union-attr]
    if sequences is not None:
        look_for_shared_kmers(ledger, sequences, kmer)
        look_for_near_copies(ledger, sequences, None, _both(classes, classes))
    if test is not None:
        parts = _as_parts(data, what, test)
        look_for_overlap(ledger, *parts, kmer)
        if sequences is not None:
            chosen = _test_rows(test, len(sequences))
            own = (None, None) if classes is None or chosen is None else (
                classes[~chosen], classes[chosen]
            )  # fmt: skip
            look_for_near_copies(ledger, *parts, _both(*own))
    if targets is not None:
        assert kind is not None
        varied = sequences is not None and np.ptp(sequences.lengths) > 0
        lengths = sequences.lengths if sequences is not None and varied else None
        score_labels(ledger, targets, kind, labels, lengths, n_splits)
        if data is not None:
            score_features(ledger, data, targets, kind, labels, n_splits, ordered)
        if predictions is not None:
            score_predictions(
                ledger, np.asarray(predictions), targets, kind, labels, n_splits
            )  # fmt: skip
    sources = {}
    if features is not None:
        sources["the features"] = check_features(features, n, "features")
    if model is not None:
        given = penultimate_features(model, X)
        sources["the model's features"] = check_features(given, n, "features of the model")
    decode_groups(ledger, sources, labels, n_splits)
    split, sentence = _honest(ledger, ordered, list(labels))
    statuses = tuple(s for s in _GRAVITY if s in ledger.found) or (AuditStatus.CLEAN,)
    return AuditReport(
        title=f"Audit of {n} {what}",
        parameters=ledger.table(),
        status=statuses[0],
        statuses=statuses,
        findings=tuple(ledger.findings),
        split=split,
        honest_split=sentence,
        clusters=ledger.clusters,
        settings={"kmer": kmer, "n_splits": n_splits},
    )


def _honest(ledger: Ledger, ordered: bool, groups: list[str]) -> tuple[str, str]:
    """Name the split to use, and say why."""
    copied = AuditStatus.COPIES in ledger.found
    if ledger.confounders:
        name = max(ledger.confounders)[1]
        also = " Keep copies together as well (report.clusters)." if copied else ""
        return name, (
            f"hold out whole labels of {name}, data.split_groups(X, {name}) or sklearn's "
            f"GroupKFold, because {name} tells about y.{also}"
        )
    if ordered:
        return "blocked", (
            "consecutive stretches with a gap, data.split_blocks or data.BlockedSplit, because "
            "rows follow one another in time."
        )
    if copied:
        return "clusters", (
            "data.split_groups(X, report.clusters), because rows repeat one another, whole or in "
            "part."
        )
    text = "a random split will do as far as these checks see"
    if groups:
        named = " or ".join(groups)
        return "random", f"{text}; for a claim about a new {named} still hold whole labels out."
    return "random", f"{text}; no groups were given."


def _both(
    one: NDArray[Any] | None, other: NDArray[Any] | None
) -> tuple[NDArray[Any], NDArray[Any]] | None:
    return None if one is None or other is None else (one, other)


def _test_rows(test: Any, n: int) -> NDArray[np.bool_] | None:
    """Which rows are the test, where it came as row numbers or a mask."""
    rows = np.asarray(test) if not isinstance(test, SequenceSet) else np.empty(0, dtype="U1")
    if rows.ndim != 1 or rows.dtype.kind not in "iub":
        return None
    chosen = np.zeros(n, dtype=bool)
    chosen[rows] = True
    return chosen


def _as_parts(data: Any, what: str, test: Any) -> tuple[Any, Any]:
    """Return the training and the test rows, from another set or from row numbers or a mask."""
    chosen = None if data is None else _test_rows(test, len(data))
    if chosen is not None:
        return data[~chosen], data[chosen]
    is_set = isinstance(data, SequenceSet)
    other, kind = _as_data(test, data.alphabet if is_set else None)
    if data is None or isinstance(other, SequenceSet) != is_set:
        raise KindError(
            f"test holds {kind} and X {what if data is not None else 'nothing'}",
            "The same kind of rows in both, or row numbers or a mask, was needed",
            "Pass test=np.flatnonzero(is_test) for rows of X",
        )
    return data, other


def _as_targets(y: ArrayLike) -> NDArray[Any]:
    targets = check_rows(y, "y")
    if targets.ndim > 2 or 0 in targets.shape or (targets.dtype.kind == "U" and targets.ndim > 1):
        raise ShapeError(
            f"y has shape {targets.shape}",
            "One target, or one row of outputs, for each row was needed",
            "Reshape it: y.reshape(len(y), -1)",
        )
    if targets.dtype.kind == "f" and not np.isfinite(targets).all():
        raise DataError(
            f"y holds {np.sum(~np.isfinite(targets))} values that are not finite",
            "A target for every row was needed",
            "Select the rows with a target: X[keep], y[keep]",
        )
    return targets[:, 0] if targets.ndim == 2 and targets.shape[1] == 1 else targets


def _check_classes(targets: NDArray[Any]) -> None:
    """Raise where there are so many classes that none can be learned and held out."""
    n = len(np.unique(targets))
    if n > len(targets) / 2:
        raise DataError(
            f"y holds {n} different classes in {len(targets)} rows",
            "At least two rows of a class, on average, were needed",
            'If these are numbers, pass y.astype(float), or task="regression"',
        )


def _as_data(X: Any, alphabet: str | None = None) -> tuple[Any, str]:
    if X is None:
        return None, "rows"
    if isinstance(X, xr.Dataset):
        raise KindError(
            f"A whole recording came, with variables {', '.join(map(str, X.data_vars))}",
            "One variable, an array, or a SequenceSet was needed",
            "Pass counts = data.bin_spikes(recording, 0.05), or recording['dff']",
        )
    if isinstance(X, SequenceSet):
        return X, f"{X.alphabet} sequences"
    if isinstance(X, np.ndarray) and X.dtype.kind == "S":
        X = np.char.decode(X, "latin-1")
    values = check_rows(X, "X")
    if values.dtype.kind == "U":
        strings = [str(s) for s in values.ravel()]
        if alphabet is None:
            letters = set("".join(strings).upper())
            fits = [k for k, a in ALPHABETS.items() if letters <= set(a.order)]
            alphabet = fits[0] if fits else "protein"
        made = SequenceSet.from_sequences([str(k) for k in range(len(strings))], strings, alphabet)
        return made, f"{alphabet} sequences"
    if values.dtype.kind not in "biuf" or values.ndim < 2 or 0 in values.shape:
        raise ShapeError(
            f"X has shape {values.shape} and type {values.dtype}",
            "Sequences, or an array (row, feature) of numbers, was needed",
            "Pass X.reshape(-1, 1) for a single feature",
        )
    return values, "bins" if isinstance(X, xr.DataArray) and X.dims[0] == "time" else "rows"


def _n_rows(data: Any, y: NDArray[Any] | None, groups: dict[str, NDArray[Any]]) -> int:
    sizes = {name: len(labels) for name, labels in groups.items()}
    sizes |= {} if y is None else {"y": len(y)}
    sizes |= {} if data is None else {"X": len(data)}
    lengths = set(sizes.values())
    n = lengths.pop() if len(lengths) == 1 else 0
    if n < 2:
        raise ShapeError(
            "Lengths came as " + (", ".join(f"{k} {n}" for k, n in sizes.items()) or "nothing"),
            "X, y and every group of one length, at least 2 rows, were needed",
            "Select the same rows of all of them",
        )
    return n
