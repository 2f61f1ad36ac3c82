"""Steps of an audit that need no target: copies, shared stretches, test rows seen in training."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurornn.data.audit_ledger import Ledger
from neurornn.data.audit_report import AuditStatus
from neurornn.data.kmers import cluster_by_kmers, copies, nearest_by_kmers, sharing
from neurornn.data.sequence_sets import SequenceSet

#: Letters beyond which k-mers are not hashed (about 2 GB of work space).
MAX_LETTERS = 50_000_000
#: Letters of the k-mers by which near copies are told, by alphabet, and of those in place.
NEAR_KMER = {"dna": 21, "rna": 21, "protein": 6}
_PLACED_KMER = 8
#: Share of its k-mers from which a sequence is a near copy, and a twin in place.
_NEAR, _TWIN = 0.5, 0.2
#: Shares of the rows below which near copies and twins are told without a change of status.
_SOME = 0.005


def number_copies(data: Any) -> NDArray[np.int64]:
    """Number the distinct rows; case (soft-masking) does not make a sequence another one."""
    return copies([s.upper() for s in data] if isinstance(data, SequenceSet) else data)


def look_for_copies(
    ledger: Ledger, data: Any, classes: NDArray[Any] | None, ordered: bool
) -> None:
    """Count rows that repeat an earlier row, and sets of equal rows whose labels differ.

    Parameters
    ----------
    data : SequenceSet or array (row, ...).
    classes : (row,), labels of a classification, or None.
    ordered : whether rows are bins of a recording, where equal counts are no leak.
    """
    number = number_copies(data)
    sizes = np.bincount(number)
    n, repeated, n_sets = len(data), len(data) - len(sizes), int(np.sum(sizes > 1))
    ledger.count("duplicate_rows", repeated, "rows that repeat an earlier row")
    ledger.count("duplicate_sets", n_sets, "sets of equal rows")
    if classes is not None:
        pairs = np.stack([number, np.unique(classes, return_inverse=True)[1]])
        torn = int(np.sum(np.bincount(np.unique(pairs, axis=1)[0]) > 1))
        ledger.count("conflicting_sets", torn, "sets of equal rows with different labels")
        if torn:
            ledger.finding(
                f"{torn} of the {n_sets} sets of equal rows carry different labels: no model can "
                "get them right."
            )
    if repeated and ordered:
        ledger.finding(
            f"{repeated} of {n} bins equal an earlier bin: usual for sparse counts, and no leak "
            "in themselves."
        )
    elif repeated:
        ledger.clusters = number
        ledger.finding(
            f"{repeated} of {n} rows repeat an earlier row ({sizes[sizes > 1].sum()} rows in "
            f"{n_sets} sets of equal rows): a random split tests on training data.",
            AuditStatus.COPIES,
        )


def look_for_shared_kmers(ledger: Ledger, sequences: SequenceSet, kmer: int) -> None:
    """Find families: sequences linked by a common stretch of `kmer` letters."""
    n, letters = len(sequences), int(sequences.lengths.sum())
    if letters > MAX_LETTERS:
        ledger.finding(
            f"Shared {kmer}-mers were not looked for: {letters} letters are more than "
            f"{MAX_LETTERS}. Audit a part, sequences[:k]."
        )
        return
    n_in_sets = 0
    if ledger.clusters is not None:
        copied = np.bincount(ledger.clusters)
        n_in_sets = int(copied[copied > 1].sum())
    ledger.clusters = cluster_by_kmers(sequences, kmer)
    sizes = np.bincount(ledger.clusters)
    linked = int(sizes[sizes > 1].sum())
    ledger.fraction("shared_kmer", linked, n, f"rows that share a {kmer}-mer with another row")
    if linked > n_in_sets:
        ledger.finding(
            f"{linked} of {n} sequences ({100 * linked / n:.1f} %) share at least one {kmer}-mer "
            f"with another; the largest family has {sizes.max()}.",
            AuditStatus.COPIES,
        )


def look_for_near_copies(
    ledger: Ledger,
    train: SequenceSet,
    test: SequenceSet | None,
    classes: tuple[NDArray[Any], NDArray[Any]] | None,
) -> None:
    """Count rows half of whose short k-mers lie in one other row, and twins place by place.

    Parameters
    ----------
    train : rows, or the training rows. test : the test rows, or None to compare rows of `train`.
    classes : of the rows of both, for a classification, or None.
    """
    same, asked = test is None, train if test is None else test
    if int(train.lengths.sum() + asked.lengths.sum()) > MAX_LETTERS or not len(asked):
        return
    k = NEAR_KMER[train.alphabet]
    where = "another row" if same else "one training row"
    prefix = "" if same else "test_"
    near = nearest_by_kmers(train, asked, k, same=same)
    hits, n = int(np.sum((near.share >= _NEAR) & _others(asked, train, near.row))), len(asked)
    ledger.fraction(
        f"{prefix}near_copies", hits, n, f"rows with half of their {k}-mers in {where}, no copies"
    )
    if hits > _SOME * n:
        ledger.finding(
            f"{hits} of {n} {'rows' if same else 'test rows'} are near copies: half of their "
            f"{k}-mers, on either strand of DNA, lie in {where}.",
            AuditStatus.COPIES,
        )
    if (
        classes is None
        or train.alphabet == "protein"
        or np.ptp(np.r_[train.lengths, asked.lengths]) > 0
    ):
        return
    who = "rows" if same else "test rows"
    twin = nearest_by_kmers(train, asked, _PLACED_KMER, in_place=True, same=same)
    twins = (twin.share >= _TWIN) & _others(asked, train, twin.row)
    ledger.fraction(f"{prefix}twins", int(twins.sum()), n, f"rows like {where}, place by place")
    torn = int(np.sum(twins & (classes[0][twin.row] != classes[1])))
    ledger.fraction(
        f"{prefix}opposite_twins", torn, n, f"rows like {where} of another class, by place"
    )
    if twins.sum() > _SOME * n:
        ledger.finding(
            f"{twins.sum()} of {n} {who} have a twin: {100 * _TWIN:.0f} % of their "
            f"{_PLACED_KMER}-mers stand at the same places of {where}, {torn} of them of "
            "another class."
            + (" Were rows of one class made from rows of the other?" if torn > _SOME * n else ""),
            AuditStatus.COPIES,
        )


def _others(asked: SequenceSet, train: SequenceSet, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which sequences have a nearest one that is no copy letter by letter: that has been told."""
    return np.array([
        row >= 0 and letters.upper() != train[row].upper()
        for letters, row in zip(asked, rows.tolist(), strict=True)
    ])  # fmt: skip


def look_for_overlap(ledger: Ledger, train: Any, test: Any, kmer: int) -> None:
    """Count test rows that training holds already, wholly or in a stretch of `kmer` letters."""
    n_test = len(test)
    number = number_copies(_joined(train, test))
    n_copies = int(np.isin(number[len(train) :], number[: len(train)]).sum())
    ledger.count("test_copies", n_copies, "test rows that are copies of a training row")
    text = f"{n_copies} of {n_test} test rows are copies of a training row"
    shared = n_copies
    if isinstance(test, SequenceSet):
        shared = int(sharing(train, test, kmer).sum())
        ledger.fraction(
            "test_shared_kmer", shared, n_test, f"test rows that share a {kmer}-mer with training"
        )
        percent = f"{100 * shared / n_test:.1f} %"
        text += f"; {shared} ({percent}) share at least one {kmer}-mer with training"
    if n_copies or shared:
        ledger.finding(
            text + ": drop them from the test set, or split again by cluster.", AuditStatus.COPIES
        )


def _joined(train: Any, test: Any) -> Any:
    if not isinstance(train, SequenceSet):
        return np.concatenate([train, test])
    return SequenceSet.from_sequences([*train.names, *test.names], [*train, *test], train.alphabet)
