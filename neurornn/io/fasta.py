"""FASTA files, plain or gzipped, into a set of sequences."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from neurornn._core.checks import check_choice
from neurornn._core.errors import DataError, FileFormatError, MissingDependencyError
from neurornn._core.warning import warn_user
from neurornn.data.alphabets import ALPHABETS
from neurornn.io.annotation import annotated
from neurornn.io.fasta_index import is_large, read_indexed
from neurornn.io.sources import check_source, explained
from neurornn.io.text_files import text_lines

_STRAY = re.compile(r"[^A-Za-z*.-]")
_NO_BASE = re.compile(r"[^ACGTUNRYSWKMBDHV.-]", re.IGNORECASE)

#: Letters below which nucleotides and a peptide of A, C, G and T are not told apart.
SHORT = 8

if TYPE_CHECKING:
    from neurornn.data.sequence_sets import SequenceSet


def read_fasta(
    path: str | os.PathLike[str],
    *,
    alphabet: str | None = None,
    annotation: Any = None,
    contig_names: Mapping[str, str] | str | None = None,
    circular: bool | Sequence[str] | None = None,
    lazy: bool | None = None,
) -> "SequenceSet":
    """Read the sequences of a FASTA file.

    Parameters
    ----------
    path : .fa, .fasta, or compressed by gzip or bgzip.
    alphabet : ``"dna"``, ``"rna"`` or ``"protein"``; by default told from the letters: U without
        T is RNA, a letter outside the IUPAC nucleotide code is protein; where only a few letters
        decide, it has to be stated.
    annotation : file (GFF3, GTF, BED, GenBank) or Dataset over ``feature`` of these sequences.
    contig_names : name in the annotation -> name in the FASTA file; ``"match"`` finds other
        spellings (chr1 and 1).
    circular : bool for all, or the names of those that are.
    lazy : bool
        Leave the letters on disk until they are asked for, by an index as samtools makes it; by
        default from 256 MiB on (64 MiB with bgzip). A file compressed by plain gzip has no index.

    Returns
    -------
    SequenceSet
        Each named by the first word of its header line; a record without letters has length 0.

    Raises
    ------
    FileFormatError
        No records, none with letters, text before the first, or a damaged file.
    DataError
        A character that is no letter of the alphabet, with its record and position. Letters that
        stay on disk are looked at when they are coded.
    MissingDependencyError
        biopython or pyfaidx is not installed.

    Warns
    -----
    UserWarning
        Names that occur twice, records without letters, or short sequences that may be nucleotides
        or peptides.
    """
    source = check_source(path)
    check_choice(alphabet or "dna", "alphabet", ALPHABETS)
    sequences = None
    if lazy or (lazy is None and is_large(source)):
        sequences = read_indexed(source, alphabet, told_alphabet, fall_back=lazy is None)
    if sequences is None:
        with explained(source, "FASTA"), text_lines(source) as lines:
            sequences = sequences_of(lines, source.name, alphabet)
    if annotation is None and circular is None:
        return sequences
    return annotated(sequences, annotation, contig_names=contig_names, circular=circular)


def sequences_of(
    lines: Iterator[tuple[int, str]], source: str, alphabet: str | None = None
) -> "SequenceSet":
    """Return the sequences of the lines of a FASTA file.

    Parameters
    ----------
    lines : number and text of each.
    source : name of the file, for messages.
    alphabet : name; told from the letters by default.
    """
    try:
        from Bio.SeqIO.FastaIO import SimpleFastaParser
    except ImportError as error:
        raise MissingDependencyError(
            f"{source} is a FASTA file and biopython is not installed",
            "The extra `sequences` was needed",
            'Install it: pip install "neurornn[sequences]"',
        ) from error
    from neurornn.data.sequence_sets import SequenceSet

    records = list(SimpleFastaParser(_from_first_record(lines, source)))
    names = [(title.split() or [f"sequence {k}"])[0] for k, (title, _) in enumerate(records)]
    sequences = [letters for _, letters in records]
    if not any(sequences):
        which = f"the record {names[0]!r} without letters" if records else "no record"
        raise FileFormatError(
            f"{source} holds {which}",
            "Lines that start with > and sequences below them were needed",
            "Is it a FASTA file, and whole?",
        )
    _say_what_is_odd(names, sequences, source)
    for name, letters in zip(names, sequences, strict=True):
        stray = _STRAY.search(letters)
        if stray:
            raise DataError(
                f"{name} of {source} holds {stray[0]!r} at position {stray.start()}",
                "Letters, and - . * for gaps and stops, were needed",
                "Remove it; digits are often line numbers, and a > in a line a lost line end",
            )
    kind = told_alphabet(names, sequences, source) if alphabet is None else alphabet
    return SequenceSet.from_sequences(names, sequences, alphabet=kind)


def told_alphabet(names: Sequence[str], sequences: Sequence[str], source: str) -> str:
    """Tell the alphabet by the letters; raise where few of them decide.

    Parameters
    ----------
    names, sequences : as many of each.
    source : name of the file, for messages.
    """
    alphabet = guess_alphabet(sequences)
    _refuse_doubt(names, sequences, alphabet, source)
    longest = max(map(len, sequences))
    if alphabet != "protein" and longest < SHORT:
        warn_user(
            f"The longest sequence of {source} has {longest} letters, all of them "
            f"nucleotides: it is taken for {alphabet}. Are these peptides? Then pass "
            'alphabet="protein".',
            UserWarning,
        )
    return alphabet


def _say_what_is_odd(names: Sequence[str], sequences: Sequence[str], source: str) -> None:
    """Warn of names that occur twice, and of records without letters."""
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice:
        warn_user(
            f"{len(twice)} names of {source} occur more than once, {twice[0]!r} for one: by name "
            "only the first is found. Give each record a name of its own.",
            UserWarning,
        )
    empty = [name for name, letters in zip(names, sequences, strict=True) if not letters]
    if empty:
        warn_user(
            f"{len(empty)} records of {source} have no letters, {empty[0]!r} for one: they keep "
            "their rows, of length 0. Is the file whole?",
            UserWarning,
        )


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
        masked = sum(s.upper().count("X") for s in sequences)
        if found[0] in "Xx" and all(c in "Xx" for s in sequences for c in _NO_BASE.findall(s)):
            raise DataError(
                f"{names[k]} of {source} holds {found[0]!r} at position {found.start()}, and "
                f"{masked} of all {total} letters are X: DNA that a masking program went over",
                "N for a base that is not known was needed",
                'Replace X by N, for example sed "/^>/!s/[Xx]/N/g"; if these are amino acids, '
                'pass alphabet="protein"',
            )
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
