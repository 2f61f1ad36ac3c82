"""Steps of an audit that need no target: copies, shared stretches, test rows seen in training."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurornn.data.audit_ledger import Ledger
from neurornn.data.audit_report import AuditStatus
from neurornn.data.kmers import cluster_by_kmers, copies, sharing
from neurornn.data.sequence_sets import SequenceSet

#: Letters beyond which k-mers are not hashed (about 2 GB of work space).
MAX_LETTERS = 50_000_000


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
