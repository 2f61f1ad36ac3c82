"""Rows of GFF3 and GTF: nine columns, and attributes in two manners."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from sys import intern
from urllib.parse import unquote

from neurornn._core.errors import FileFormatError

_PAIR = r'\s*([^\s;"]+)\s+(?:"([^"]*)"|([^\s;"]+))\s*(?:;|$)'
_GTF_PAIR, _GTF_PAIRS = re.compile(_PAIR), re.compile(rf"(?:{_PAIR})*[\s;]*")
#: Attributes that are used; of large files no others are kept.
_KEPT = frozenset(
    (
        *("ID", "Parent", "Name", "Is_circular", "locus_tag", "gene", "product", "tag", "part"),
        *("gene_name", "gene_id", "transcript_id", "exon_id", "gene_biotype", "gene_type"),
        *("partial", "start_range", "end_range", "pseudo", "pseudogene", "transl_table"),
        *("transl_except", "exception", "ribosomal_slippage", "artificial_location"),
    )
)
#: A row as GFF3 and GTF write it: places, score, strand, phase.
_ROW = re.compile(r"[^\t]+\t[^\t]*\t[^\t]+\t\d+\t\d+\t[^\t]*\t[+.?-]\t[.012]\t")


@dataclass(frozen=True, slots=True)
class Row:
    """One row, its place 0-based and half-open.

    Parameters
    ----------
    line : number in the file, from 1.
    contig, type : text.
    start, end : bp.
    score : text of the column.
    strand : 1, -1, or 0 where not stated.
    phase : bp.
    attributes : name -> value, of those that are used; several of one name joined by commas.
    """

    line: int
    contig: str
    type: str
    start: int
    end: int
    score: str
    strand: int
    phase: int
    attributes: dict[str, str]


def looks_like_rows(text: str) -> bool:
    """Whether the first line that is no comment is a row of GFF3 or GTF.

    Parameters
    ----------
    text : the beginning of a file.
    """
    if text.startswith("##gff-version"):
        return True
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            return bool(_ROW.match(line))
    return False


def read_rows(lines: Iterator[tuple[int, str]], source: str) -> Iterator[Row | tuple[int, str]]:
    """Go through the rows, and the directives as they are, up to a section of sequences.

    Parameters
    ----------
    lines : number and text of each.
    source : name of the file, for messages.

    Yields
    ------
    Row, or the number and text of a line that begins with ``##`` or ``>``; after ``##FASTA`` or a
    ``>`` nothing more is taken from `lines`.
    """
    for number, raw in lines:
        line = raw.rstrip("\r\n")
        if line.startswith("##") or line.startswith(">"):
            yield number, line
            if line.startswith((">", "##FASTA")):
                return
        elif line.strip() and not line.startswith("#"):
            yield _row(number, line, source)


def _row(number: int, line: str, source: str) -> Row:
    cells = line.split("\t")
    if len(cells) not in (8, 9):
        raise FileFormatError(
            f"Line {number} of {source} has {len(cells)} columns: {line[:60]!r}",
            "Nine columns, separated by tabs, were needed",
            "Were tabs turned into spaces, or was the line cut?",
        )
    contig, _, kind, first, last, score, sign, phase, *rest = cells
    try:
        start, end = int(first) - 1, int(last)
    except ValueError:
        raise FileFormatError(
            f"Line {number} of {source} starts at {first!r} and ends at {last!r}",
            "Whole numbers, counted from 1, were needed in columns 4 and 5",
            "Is it GFF3 or GTF? BED has its places in columns 2 and 3",
        ) from None
    if start < 0 or end <= start:
        raise FileFormatError(
            f"Line {number} of {source} starts at {first} and ends at {last}",
            "A start of at least 1, and an end that is not before it, were needed on both strands",
            "Order the two; across the origin of a circular sequence add its length to the end",
        )
    if sign not in ("+", "-", ".", "?") or phase not in ("0", "1", "2", "."):
        raise FileFormatError(
            f"Line {number} of {source} has strand {sign!r} and phase {phase!r}",
            "A strand of + - . or ?, and a phase of 0, 1, 2 or ., were needed",
            "Look at columns 7 and 8",
        )
    return Row(
        number,
        intern(_decoded(contig)),
        intern(_decoded(kind)),
        start,
        end,
        score,
        {"+": 1, "-": -1}.get(sign, 0),
        0 if phase == "." else int(phase),
        attributes_of(rest[0] if rest else "", number, source, _KEPT),
    )


def attributes_of(
    text: str, number: int = 0, source: str = "", kept: frozenset[str] | None = None
) -> dict[str, str]:
    """Return the attributes of a row.

    Parameters
    ----------
    text : ``ID=a;Name=b`` of GFF3, percent-encoded, or ``gene_id "a"; gene_name "b";`` of GTF.
    number, source : line and file, for messages.
    kept : names of those that are returned; all by default.

    Examples
    --------
    >>> attributes_of("ID=a;product=1%2C2-diol"), attributes_of('gene_id "a"; level 2;')
    ({'ID': 'a', 'product': '1,2-diol'}, {'gene_id': 'a', 'level': '2'})
    """
    text = text.strip()
    if not text or text == ".":
        return {}
    pairs: list[tuple[str, str]] = []
    if re.match(r"[^\s;=\"]+=", text):
        for pair in text.split(";"):
            name, equals, value = pair.partition("=")
            if not pair.strip():
                continue
            if not equals:
                raise FileFormatError(
                    f"Line {number} of {source} has the attribute {pair.strip()!r} without value",
                    "Attributes as name=value, separated by semicolons, were needed",
                    "A semicolon in a value is written %3B",
                )
            pairs.append((_decoded(name.strip()), _decoded(value.strip())))
    elif _GTF_PAIRS.fullmatch(text):
        pairs = [(name, quoted or bare) for name, quoted, bare in _GTF_PAIR.findall(text)]
    else:
        raise FileFormatError(
            f"Line {number} of {source} has attributes that cannot be read: {text[:60]!r}",
            'name=value; of GFF3, or name "value"; of GTF, was needed',
            "Look at column 9",
        )
    found: dict[str, str] = {}
    for name, value in pairs:
        if kept is None or name in kept:
            found[name] = f"{found[name]},{value}" if name in found else intern(value)
    return found


def _decoded(text: str) -> str:
    return unquote(text) if "%" in text else text
