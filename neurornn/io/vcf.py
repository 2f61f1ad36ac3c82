"""VCF files into a table of variants."""

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurornn._core.errors import DataError, FileFormatError
from neurornn.data.contigs import contig_rows
from neurornn.data.feature_tables import lost_contigs
from neurornn.io.annotation import renamed_contigs
from neurornn.io.sources import check_source, explained
from neurornn.io.text_files import text_lines

if TYPE_CHECKING:
    from neurornn.data.sequence_sets import SequenceSet

_LETTERS = re.compile(r"[ACGTUNRYSWKMBDHV]+", re.IGNORECASE)


def read_vcf(
    path: str | os.PathLike[str],
    *,
    reference: "SequenceSet | None" = None,
    contig_names: Mapping[str, str] | str | None = None,
) -> xr.Dataset:
    """Read the variants of a VCF file, one row for each alternative allele.

    Parameters
    ----------
    path : .vcf, plain or gzipped. Genotypes are not read.
    reference : sequences that the variants were called on; REF is compared with them.
    contig_names : name in the file -> name of the sequence of `reference`; ``"match"`` finds
        other spellings (chr1 and 1).

    Returns
    -------
    Dataset over ``variant``
        ``contig``, ``position`` (bp, 0-based), ``ref``, ``alt``, ``id``, ``quality`` (NaN where
        missing), ``filter``, ``kind`` (``snv``, ``mnv``, ``insertion``, ``deletion``, ``complex``,
        ``symbolic``, ``reference``), ``is_symbolic``, ``record``, the row of the file, which the
        alleles of a site share, and ``line``, the number of its line.

    Raises
    ------
    FileFormatError
        A line that cannot be read, with its number; no heading.
    NameUnknownError, DataError
        A contig that the reference does not have, or a REF that is not what stands there.

    Notes
    -----
    Alleles stay as the file writes them, neither trimmed nor moved. ``<DEL>``, ``*`` and
    breakends are symbolic: `alt` holds no letters. ``.`` is no alternative: kind ``reference``.
    """
    source = check_source(path)
    rows: list[tuple[Any, ...]] = []
    heading = False
    with explained(source, "VCF"), text_lines(source) as lines:
        n_records = 0
        for number, raw in lines:
            line = raw.rstrip("\r\n")
            if line.startswith("#CHROM"):
                heading = True
            if line.startswith("#") or not line.strip():
                continue
            if not heading:
                raise FileFormatError(
                    f"Line {number} of {source.name} comes before the heading: {line[:40]!r}",
                    "A line that begins with #CHROM was needed before the variants",
                    "Was the head of the file lost?",
                )
            rows.extend((*row, n_records, number) for row in _alleles(line, number, source.name))
            n_records += 1
    if not heading:
        raise FileFormatError(
            f"{source.name} holds no heading",
            "A line that begins with #CHROM was needed",
            "Is it a VCF file, and whole?",
        )
    columns = list(zip(*rows, strict=True)) if rows else [()] * 10
    contig, position, ref, alt, name, quality, passed, kind, record, line_number = columns
    table = xr.Dataset(
        {
            "contig": ("variant", np.asarray(contig, dtype=str)),
            "position": ("variant", np.asarray(position, dtype=np.int64), {"units": "bp"}),
            "ref": ("variant", np.asarray(ref, dtype=str)),
            "alt": ("variant", np.asarray(alt, dtype=str)),
            "id": ("variant", np.asarray(name, dtype=str)),
            "quality": ("variant", np.asarray(quality, dtype=float), {"long_name": "QUAL"}),
            "filter": ("variant", np.asarray(passed, dtype=str)),
            "kind": ("variant", np.asarray(kind, dtype=str)),
            "is_symbolic": ("variant", np.asarray([k == "symbolic" for k in kind], dtype=bool)),
            "record": ("variant", np.asarray(record, dtype=np.int64)),
            "line": ("variant", np.asarray(line_number, dtype=np.int64)),
        },
        attrs={
            "convention": "position is 0-based",
            "source": source.name,
            "format": "VCF",
        },
    )
    if reference is not None:
        names = [str(n) for n in reference.names]
        other = renamed_contigs(list(dict.fromkeys(contig)), names, contig_names)
        if other:
            renamed = np.asarray([other.get(c, c) for c in contig], dtype=str)
            table["contig"] = ("variant", renamed)
        check_reference(table, reference)
    return table


def _alleles(line: str, number: int, source: str) -> list[tuple[Any, ...]]:
    cells = line.split("\t")
    if len(cells) < 5:
        raise FileFormatError(
            f"Line {number} of {source} has {len(cells)} columns: {line[:60]!r}",
            "Eight or more columns, separated by tabs, were needed",
            "Were tabs turned into spaces, or was the line cut?",
        )
    contig, place, name, ref, alts, *rest = cells
    quality, passed = (*rest, ".", ".")[:2] if len(rest) < 2 else rest[:2]
    try:
        position, score = int(place) - 1, float("nan") if quality == "." else float(quality)
    except ValueError:
        raise FileFormatError(
            f"Line {number} of {source} has position {place!r} and quality {quality!r}",
            "A whole number, and a number or ., were needed in columns 2 and 6",
            "Is it a VCF file, and was the line changed by hand?",
        ) from None
    if not _LETTERS.fullmatch(ref):
        raise FileFormatError(
            f"Line {number} of {source} has REF {ref[:40]!r}",
            "Letters of DNA were needed",
            "Look at column 4",
        )
    if not all(alts.split(",")):
        raise FileFormatError(
            f"Line {number} of {source} has ALT {alts[:40]!r}",
            "One allele or several with commas between them, or ., were needed",
            "Look at column 5: is there a comma too many?",
        )
    name, passed = (text if text != "." else "" for text in (name, passed))
    return [
        (contig, position, ref, alt, name, score, passed, kind_of(ref, alt))
        for alt in alts.split(",")
    ]


def kind_of(ref: str, alt: str) -> str:
    """Say what a variant does.

    Parameters
    ----------
    ref, alt : alleles.

    Examples
    --------
    >>> [kind_of(*pair.split()) for pair in ("A G", "AC GT", "A AT", "AT A", "AT GCC", "A <DEL>")]
    ['snv', 'mnv', 'insertion', 'deletion', 'complex', 'symbolic']
    """
    if alt == ".":
        return "reference"
    if not _LETTERS.fullmatch(alt):
        return "symbolic"
    if len(ref) == len(alt):
        return "snv" if len(ref) == 1 else "mnv"
    short, long = sorted((ref.upper(), alt.upper()), key=len)
    # Letters that both have at the ends: what is left of the shorter allele is replaced.
    head = _in_common(short, long)
    tail = _in_common(short[head:][::-1], long[::-1])
    if head + tail < len(short):
        return "complex"
    return "insertion" if len(alt) > len(ref) else "deletion"


def _in_common(one: str, other: str) -> int:
    """How many letters two texts begin with in common."""
    return next((k for k, (a, b) in enumerate(zip(one, other)) if a != b), len(one))  # noqa: B905


def check_reference(variants: xr.Dataset, sequences: "SequenceSet") -> None:
    """Raise where variants do not go with sequences.

    Parameters
    ----------
    variants : Dataset over ``variant``.
    sequences : that they should have been called on.

    Raises
    ------
    NameUnknownError
        A contig that is not among the sequences; another spelling is offered.
    DataError
        A place beyond the end, or a REF that is not what stands there, in either case.
    """
    contigs = variants["contig"].values
    rows = contig_rows(sequences.names, contigs)
    if np.any(rows < 0):
        lost = np.unique(contigs[rows < 0]).tolist()
        raise lost_contigs(lost, [str(n) for n in sequences.names], "Variants")
    places = variants["position"].values
    for k, (row, ref) in enumerate(zip(rows, variants["ref"].values.tolist(), strict=True)):
        start, length = int(places[k]), int(sequences.lengths[row])
        inside = start >= 0 and start + len(ref) <= length
        there = sequences.bytes_of(int(row), start, start + len(ref)).tobytes() if inside else b""
        if there.decode("ascii").upper() != ref.upper():
            found = f"has {there.decode('ascii')!r}" if inside else f"goes from 1 to {length}"
            told = ""
            if {"line", "record"} <= set(variants):
                line, record = (int(variants[n][k]) for n in ("line", "record"))
                told = f" (line {line} of the VCF file, record {record + 1})"
            raise DataError(
                f"REF of the variant at {contigs[k]}:{start + 1} is {ref!r}, and the sequence "
                f"{found}{told}",
                "Variants of this very reference were needed",
                "Was it called on another assembly (hg19, hg38)?",
            )
