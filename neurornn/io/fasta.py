"""FASTA files, plain or gzipped, into a set of sequences."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from neurornn._core.errors import DataError, FileFormatError, MissingDependencyError
from neurornn.io.sources import check_source, explained
from neurornn.io.text_files import text_lines

_STRAY = re.compile(r"[^A-Za-z*.-]")
_NO_BASE = re.compile(r"[^ACGTUNRYSWKMBDHV.-]", re.IGNORECASE)

if TYPE_CHECKING:
    from neurornn.data.sequence_sets import SequenceSet


def read_fasta(path: str | os.PathLike[str], *, alphabet: str | None = None) -> "SequenceSet":
    """Read the sequences of a FASTA file.

    Parameters
    ----------
    path : .fa, .fasta, or gzipped.
    alphabet : ``"dna"``, ``"rna"`` or ``"protein"``; by default told from the letters: U without
        T is RNA, a letter outside the IUPAC nucleotide code is protein; where only a few letters
        decide, it has to be stated.

    Returns
    -------
    SequenceSet
        Each named by the first word of its header line.

    Raises
    ------
    FileFormatError
        No records, one without letters, text before the first, or a damaged file.
    DataError
        A character that is no letter of the alphabet, with its record and position.
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

    with explained(source, "FASTA"), text_lines(source) as lines:
        records = list(SimpleFastaParser(_from_first_record(lines, source.name)))
    names = [(title.split() or [f"sequence {k}"])[0] for k, (title, _) in enumerate(records)]
    sequences = [letters for _, letters in records]
    empty = next((k for k, letters in enumerate(sequences) if not letters), None)
    if empty is not None or not records:
        which = "no record" if empty is None else f"the record {names[empty]!r} without letters"
        raise FileFormatError(
            f"{source.name} holds {which}",
            "Lines that start with > and sequences below them were needed",
            "Is it a FASTA file, and whole?",
        )
    for name, letters in zip(names, sequences, strict=True):
        stray = _STRAY.search(letters)
        if stray:
            raise DataError(
                f"{name} of {source.name} holds {stray[0]!r} at position {stray.start()}",
                "Letters, and - . * for gaps and stops, were needed",
                "Remove it; digits are often line numbers, and a > in a line a lost line end",
            )
    if alphabet is None:
        alphabet = guess_alphabet(sequences)
        _refuse_doubt(names, sequences, alphabet, source.name)
    return SequenceSet.from_sequences(names, sequences, alphabet=alphabet)


def _from_first_record(lines: Iterator[tuple[int, str]], source: str) -> Iterator[str]:
    """Leave out comments; raise for text that no record claims."""
    begun = False
    for number, line in lines:
        begun = begun or line.startswith(">")
        if line.startswith(";") or (not begun and (not line.strip() or line.startswith("#"))):
            continue
        if not begun:
            raise FileFormatError(
                f"Line {number} of {source} comes before the first record: {line.strip()[:40]!r}",
                "A line that starts with > was needed, or with ; for a comment",
                "Is a letter before the >, or was the head of the file lost?",
            )
        yield line


def _refuse_doubt(
    names: Sequence[str], sequences: Sequence[str], alphabet: str, source: str
) -> None:
    """Raise where a few letters, or their absence, decide between nucleotides and amino acids."""
    total = sum(map(len, sequences))
    bases = sum(s.upper().count(base) for s in sequences for base in "ACGTUN-.")
    if alphabet == "protein" and total >= 8 and bases >= 0.8 * total:
        k, found = next((k, m) for k, s in enumerate(sequences) if (m := _NO_BASE.search(s)))
        raise DataError(
            f"{names[k]} of {source} holds {found[0]!r} at position {found.start()}, and "
            f"{bases} of all {total} letters are bases",
            "Letters of one alphabet were needed",
            'Correct it; if these are amino acids, pass alphabet="protein"',
        )
    if alphabet != "protein" and bases < 0.5 * total:
        raise DataError(
            f"{bases} of the {total} letters of {source} are A, C, G, T, U or N; the others stand "
            "for several bases, or for amino acids",
            "A statement of the alphabet was needed",
            'Pass alphabet="protein" or alphabet="dna"',
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
