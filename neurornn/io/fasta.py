"""FASTA files, plain or gzipped, into a set of sequences."""

import gzip
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from neurornn._core.errors import FileFormatError, MissingDependencyError
from neurornn.io.sources import check_source, explained

if TYPE_CHECKING:
    from neurornn.data.sequence_sets import SequenceSet


def read_fasta(path: str | os.PathLike[str], *, alphabet: str | None = None) -> "SequenceSet":
    """Read the sequences of a FASTA file.

    Parameters
    ----------
    path : .fa, .fasta, or gzipped.
    alphabet : ``"dna"``, ``"rna"`` or ``"protein"``; by default told from the letters: U without
        T is RNA, a letter outside the IUPAC nucleotide code is protein.

    Returns
    -------
    SequenceSet
        Each named by the first word of its header line.

    Raises
    ------
    FileFormatError
        No records, or a damaged file.
    MissingDependencyError
        biopython is not installed.
    """
    source = check_source(path)
    try:
        from Bio.SeqIO.FastaIO import SimpleFastaParser
    except ImportError as error:
        raise MissingDependencyError(
            f"{source.name} is a FASTA file and biopython is not installed",
            "The extra `sequences` was needed",
            'Install it: pip install "neurornn[sequences]"',
        ) from error
    from neurornn.data.sequence_sets import SequenceSet

    with source.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    opener = gzip.open if zipped else open
    with explained(source, "FASTA"), opener(source, "rt", encoding="utf-8") as handle:
        records = [(title, letters) for title, letters in SimpleFastaParser(handle) if letters]
    if not records:
        raise FileFormatError(
            f"{source.name} holds no FASTA record with letters",
            "Lines that start with > and sequences below them were needed",
            "Is it a FASTA file, and whole?",
        )
    names = [(title.split() or [f"sequence {k}"])[0] for k, (title, _) in enumerate(records)]
    sequences = [letters for _, letters in records]
    return SequenceSet.from_sequences(
        names, sequences, alphabet=alphabet or guess_alphabet(sequences)
    )


def guess_alphabet(sequences: Iterable[str]) -> str:
    """Tell DNA, RNA and protein apart by the letters in use.

    Parameters
    ----------
    sequences : strings; all are looked at.

    Examples
    --------
    >>> guess_alphabet(["ACGTN"]), guess_alphabet(["ACGU"]), guess_alphabet(["MKLV"])
    ('dna', 'rna', 'protein')
    """
    letters: set[str] = set()
    for sequence in sequences:
        letters |= set(sequence.upper())
    if letters - set("ACGTUNRYSWKMBDHV-."):
        return "protein"
    return "rna" if "U" in letters and "T" not in letters else "dna"
