"""GenBank files: sequences with their features, circular or linear."""

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import xarray as xr

from neurornn._core.errors import DataError, FileFormatError, MissingDependencyError
from neurornn._core.warning import warn_user
from neurornn.data.features import features_from_records
from neurornn.data.origin import read_across
from neurornn.io.annotation import annotated
from neurornn.io.sources import check_source, explained
from neurornn.io.text_files import text_lines

if TYPE_CHECKING:
    from neurornn.data.sequence_sets import SequenceSet

#: Qualifiers that give a feature its name, the first that is there.
_NAMES = ("locus_tag", "protein_id", "label", "standard_name", "gene", "db_xref")
#: Qualifiers of a product that is not the plain translation of its parts.
_EXCEPTIONS = ("transl_except", "ribosomal_slippage", "exception", "artificial_location")


def read_genbank(
    path: str | os.PathLike[str],
    *,
    annotation: "str | os.PathLike[str] | xr.Dataset | SequenceSet | None" = None,
    contig_names: Mapping[str, str] | str | None = None,
    circular: bool | Sequence[str] | None = None,
) -> "SequenceSet":
    """Read the sequences and features of a GenBank file.

    Parameters
    ----------
    path : .gb, .gbk or .gbff, plain or gzipped; any number of records.
    annotation : file (GFF3, GTF, BED) or Dataset over ``feature``, in place of the features here.
    contig_names : name in the annotation -> name in this file; ``"match"`` finds other spellings.
    circular : bool for all, or the names of those that are; the LOCUS line says it by default.

    Returns
    -------
    SequenceSet
        Named as VERSION says (``NC_000913.3``), with ``features``, ``circular`` from the LOCUS
        line, and the group ``organism``. All letters are upper case.

    Raises
    ------
    FileFormatError
        A damaged file, a record without letters, or two records of one name.
    MissingDependencyError
        biopython is not installed.

    Warns
    -----
    UserWarning
        Features that lie in other records or whose place cannot be read; they are left out.
    """
    source = check_source(path)
    try:
        from Bio import SeqIO
    except ImportError as error:
        raise MissingDependencyError(
            f"{source.name} is a GenBank file and biopython is not installed",
            "The extra `sequences` was needed",
            'Install it: pip install "neurornn[sequences]"',
        ) from error
    from neurornn.data.sequence_sets import SequenceSet

    records, said = [], []
    with explained(source, "GenBank"), text_lines(source) as lines:
        numbered = _Lines(lines)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                records = list(SeqIO.parse(numbered, "genbank"))
            except ValueError as error:
                if numbered.failure:
                    raise numbered.failure from error
                raise FileFormatError(
                    f"{source.name} could not be read at line {numbered.number}: {error}",
                    "A whole GenBank record, from LOCUS to //, was needed",
                    "Is the file cut short? Download it again",
                ) from error
        said = [str(w.message) for w in caught]
    if not records:
        raise FileFormatError(
            f"{source.name} holds no record",
            "A record that begins with LOCUS and ends with // was needed",
            "Is it a GenBank file, and whole?",
        )
    wrong_length = [text for text in said if "sequence length" in text.lower()]
    if wrong_length:
        raise FileFormatError(
            f"{source.name} is not as long as its LOCUS line says: {wrong_length[0]}",
            "As many letters as LOCUS states were needed",
            "Was it cut short, or edited by hand? Download it again",
        )
    twice = [name for name, n in Counter(r.id for r in records).items() if n > 1]
    if twice:
        raise FileFormatError(
            f"{source.name} holds several records called {twice[0]!r}",
            "A name of its own for each record was needed: features go by name",
            "Were two files joined? Remove the copy, or change VERSION of one",
        )
    letters = [_letters(record, source.name) for record in records]
    sequences = SequenceSet.from_sequences(
        [record.id for record in records],
        letters,
        _alphabet(records, letters, source.name),
        groups={"organism": [str(r.annotations.get("organism", "")) for r in records]},
        features=features_from_records(_features(records, said, source.name)),
        circular=[record.annotations.get("topology") == "circular" for record in records],
    )
    if annotation is None and circular is None:
        return sequences
    return annotated(sequences, annotation, contig_names=contig_names, circular=circular)


class _Lines:
    """Numbered lines as a file that biopython reads from."""

    def __init__(self, lines: Iterator[tuple[int, str]]) -> None:
        self._lines = lines
        self.number = 0
        self.failure: Exception | None = None

    def readline(self) -> str:
        try:
            self.number, line = next(self._lines, (self.number, ""))
        except Exception as error:
            self.failure = error
            raise
        return line

    def read(self, size: int = 0) -> str:
        return ""

    def close(self) -> None:
        """Leave closing to whoever opened it."""

    def __iter__(self) -> Iterator[str]:
        return iter(self.readline, "")


def _letters(record: Any, source: str) -> str:
    from Bio.Seq import UndefinedSequenceError

    try:
        letters = str(record.seq)
    except UndefinedSequenceError:
        letters = ""
    if not letters:
        raise FileFormatError(
            f"The record {record.id!r} of {source} has no letters",
            "A record with its sequence, below ORIGIN, was needed",
            "It may only list its contigs: download the full record (GenBank (full), gbwithparts)",
        )
    return letters


def _alphabet(records: list[Any], letters: list[str], source: str) -> str:
    """One alphabet for all records: molecules of RNA are mostly written with T."""
    kinds = {
        "protein" if r.annotations.get("molecule_type") == "protein" else
        "rna" if "U" in text and "T" not in text else "dna"
        for r, text in zip(records, letters, strict=True)
    }  # fmt: skip
    if len(kinds) > 1:
        raise DataError(
            f"{source} holds {' and '.join(sorted(kinds))}",
            "Records of one alphabet were needed",
            "Split the file, and open each part",
        )
    return kinds.pop()


def _features(records: list[Any], said: list[str], source: str) -> Iterator[dict[str, Any]]:
    """Go through the features that have a place in their record; warn of the others."""
    elsewhere: list[str] = []
    for record in records:
        length = len(record.seq)
        turns = record.annotations.get("topology") == "circular"
        for feature in record.features:
            place = feature.location
            if place is None or any(part.ref for part in place.parts):
                elsewhere.append(f"{_called(feature)} of {record.id}")
                continue
            yield _as_record(feature, record.id, length if turns else None, source)
    # Of a place that cannot be read biopython warns, and some of these have no feature left.
    # One that ends before it starts is read across the origin.
    turned = [text for text in said if "origin wrapping" in text]
    lost = [text for text in said if "location" in text.lower() and text not in turned]
    if elsewhere or lost:
        warn_user(
            f"{max(len(elsewhere), len(lost))} features of {source} are left out, "
            f"{(elsewhere or lost)[0]} for one: they lie in another record, or their place cannot "
            "be read.",
            UserWarning,
        )
    if turned:
        place = turned[0].partition("'")[2].partition("'")[0]
        warn_user(
            f"{len(turned)} features of {source} end before they start, {place} for one: they are "
            "read across the origin. Is the place right?",
            UserWarning,
        )


def _called(feature: Any) -> str:
    return f"{feature.type} {_name(feature.qualifiers)}".rstrip()


def _name(qualifiers: dict[str, list[str]]) -> str:
    return next((qualifiers[key][0] for key in _NAMES if qualifiers.get(key)), "")


def _as_record(feature: Any, contig: str, length: int | None, source: str) -> dict[str, Any]:
    from Bio.SeqFeature import AfterPosition, BeforePosition

    # biopython gives parts in the order of reading, for both ways to write the reverse strand.
    places = feature.location.parts
    said = feature.qualifiers
    try:
        parts = [(int(p.start), int(p.end), -1 if p.strand == -1 else 1) for p in places]
        phase = int(said.get("codon_start", ["1"])[0]) - 1
        code = int(said.get("transl_table", ["0"])[0])
        if phase not in (0, 1, 2):
            raise ValueError(f"/codon_start is {phase + 1}")
    except (TypeError, ValueError) as error:
        raise FileFormatError(
            f"The {_called(feature)} of {contig} in {source} cannot be read: {error}",
            "Places and /transl_table that are numbers, and a /codon_start of 1, 2 or 3, were "
            "needed",
            "Correct the entry, or remove it",
        ) from error
    if length is not None:
        parts = read_across(parts, length)
    first, last = places[0], places[-1]
    strands = {part[2] for part in parts}
    return {
        "contig": contig,
        "type": feature.type,
        "parts": parts,
        "strand": parts[0][2] if len(strands) == 1 and feature.location.strand else 0,
        "phase": phase,
        "is_partial_5": isinstance(first.end, AfterPosition)
        if first.strand == -1
        else isinstance(first.start, BeforePosition),
        "is_partial_3": isinstance(last.start, BeforePosition)
        if last.strand == -1
        else isinstance(last.end, AfterPosition),
        "is_pseudo": "pseudo" in said or "pseudogene" in said,
        "genetic_code": code,
        "name": _name(said),
        "gene": said.get("gene", [""])[0],
        "product": said.get("product", [""])[0],
        "translation_exception": any(key in said for key in _EXCEPTIONS),
    }
