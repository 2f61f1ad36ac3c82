"""GFF3 and GTF files into a table of features, with the sequences where the file holds them."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

import xarray as xr

from neurornn._core.checks import check_choice
from neurornn._core.errors import FileFormatError
from neurornn._core.warning import warn_user
from neurornn.data.features import features_from_records
from neurornn.data.origin import Part, sorted_parts
from neurornn.io.gff_rows import Row, read_rows
from neurornn.io.sources import check_source, explained
from neurornn.io.text_files import text_lines

if TYPE_CHECKING:
    from neurornn.data.sequence_sets import SequenceSet

#: Attributes of a product that is not the plain translation of its parts.
_EXCEPTIONS = ("transl_except", "ribosomal_slippage", "exception", "artificial_location")
_TRANS_SPLICED = "trans-splicing"


def read_gff(
    path: str | os.PathLike[str],
    *,
    join: str = "id",
    types: str | Sequence[str] | None = None,
) -> "xr.Dataset | SequenceSet":
    """Read the features of a GFF3 or GTF file.

    Parameters
    ----------
    path : .gff3, .gff or .gtf, plain or gzipped.
    join : ``"id"`` or ``"parent"``
        Which rows of a coding sequence are one feature. By the standard of GFF3 those of one ID,
        or of one Parent where they have no ID; ``"parent"`` for programs that give each row an ID
        of its own. Rows of GTF go by transcript_id.
    types : ``"CDS"``, or several, that are kept; all by default. Less of a large file is held.

    Returns
    -------
    Dataset over ``feature``
        As `neurornn.data.features_from_records` makes it, with ``score`` where the file states
        one. ``attrs["circular"]`` names the contigs that are circular, by ``Is_circular=true``. Of
        a GFF3 with a section ``##FASTA`` a SequenceSet that has them.

    Raises
    ------
    FileFormatError
        A row that cannot be read, with its line; no rows.

    Warns
    -----
    UserWarning
        Coding sequences whose rows have IDs of their own below one parent.

    Notes
    -----
    A coding sequence of GTF ends before its stop codon, one of GFF3 with it. The rows
    ``stop_codon`` of GTF are therefore added to the coding sequence of their transcript.
    ``partial=true`` without a range does not say which end is meant: both are then called partial.
    """
    source = check_source(path)
    check_choice(join, "join", ("id", "parent"))
    rows: list[Row] = []
    circular: dict[str, int] = {}
    genes: dict[str, tuple[str, str]] = {}
    wanted = {types} if isinstance(types, str) else set(types or ())
    passed = wanted | ({"stop_codon"} if "CDS" in wanted else set())
    is_gff3 = is_gtf = names_contigs = False
    sequences = None
    with explained(source, "GFF3 or GTF"), text_lines(source) as lines:
        for row in read_rows(lines, source.name):
            if isinstance(row, Row):
                said = row.attributes
                is_gff3 |= "ID" in said or "Parent" in said
                is_gtf |= "gene_id" in said
                if said.get("Is_circular", "").lower() == "true":
                    circular[row.contig] = row.end
                if "ID" in said:
                    genes[said["ID"]] = _own_gene(row), said.get("Parent", "").split(",")[0]
                if not wanted or row.type in passed:
                    rows.append(row)
            elif row[1].startswith("##sequence-region"):
                names_contigs = True
            elif row[1].startswith((">", "##FASTA")):
                ahead = [row] if row[1].startswith(">") else []
                sequences = _section(chain(ahead, lines), source.name)
    # A file that names its contigs, and nothing on them, is one of a genome without genes.
    if not (rows or genes or is_gtf or names_contigs) and sequences is None:
        raise FileFormatError(
            f"{source.name} holds no row",
            "Rows of nine columns, separated by tabs, were needed",
            "Is it a GFF3 or GTF file, and whole?",
        )
    is_gtf &= not is_gff3
    groups = _gtf_groups(rows) if is_gtf else _gff3_groups(rows, join, source.name)
    records, scores = [], []
    for group in groups:
        if wanted and group[0].type not in wanted:
            continue
        records.append(_record(group, circular.get(group[0].contig), genes, source.name))
        scores.append(group[0].score)
    features = features_from_records(records)
    features.attrs.update(
        source=source.name, format="GTF" if is_gtf else "GFF3", circular=sorted(circular)
    )
    if any(score not in (".", "") for score in scores):
        features["score"] = ("feature", [_number(score) for score in scores])
    if sequences is None:
        return features
    from neurornn.io.annotation import annotated

    return annotated(sequences, features, source=source.name)


def _number(score: str) -> float:
    try:
        return float(score)
    except ValueError:
        return float("nan")


def _section(lines: Iterator[tuple[int, str]], source: str) -> "SequenceSet":
    from neurornn.io.fasta import sequences_of

    return sequences_of(lines, source)


def _gff3_groups(rows: Sequence[Row], join: str, source: str) -> list[list[Row]]:
    """Rows that are one feature: of one ID, and coding sequences without one of one parent."""
    groups: dict[Any, list[Row]] = {}
    below: dict[tuple[str, str], dict[str, list[Row]]] = {}
    for k, row in enumerate(rows):
        own, parent = row.attributes.get("ID", ""), row.attributes.get("Parent", "")
        key: Any = (row.contig, row.type, own) if own else k
        if row.type == "CDS" and parent:
            if join == "parent" or not own:
                key = (row.contig, "CDS of", parent)
            else:
                below.setdefault((row.contig, parent), {}).setdefault(own, []).append(row)
        groups.setdefault(key, []).append(row)
    several = [parent for (_, parent), ids in below.items() if len(ids) > 1 and _are_apart(ids)]
    if several:
        warn_user(
            f"The rows CDS of {len(several)} parents of {source} have IDs of their own, those of "
            f"{several[0]!r} for one: each ID is a feature. If they are the exons of one coding "
            'sequence, pass join="parent".',
            UserWarning,
        )
    return list(groups.values())


def _are_apart(ids: dict[str, list[Row]]) -> bool:
    """Whether each has one row, and none overlaps another: products of one gene mostly do."""
    if any(len(own) > 1 for own in ids.values()):
        return False
    places = sorted((own[0].start, own[0].end) for own in ids.values())
    return all(a[1] <= b[0] for a, b in pairwise(places))


def _gtf_groups(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows that are one feature: coding sequences of one transcript, with their stop codons."""
    groups: dict[Any, list[Row]] = {}
    stops: dict[tuple[str, str], list[Row]] = {}
    for k, row in enumerate(rows):
        owner = (row.contig, row.attributes.get("transcript_id", ""))
        if row.type == "stop_codon" and owner[1]:
            stops.setdefault(owner, []).append(row)
        groups.setdefault(owner if row.type == "CDS" and owner[1] else k, []).append(row)
    for owner, added in stops.items():
        if owner in groups:
            groups[owner] = _with_stop(groups[owner], added)
    return list(groups.values())


def _with_stop(coding: list[Row], stop: list[Row]) -> list[Row]:
    """Rows of a coding sequence and of its stop codon, those that touch made one."""
    inside = all(any(c.start <= s.start and s.end <= c.end for c in coding) for s in stop)
    if inside:
        return coding
    merged: list[Row] = []
    for row in sorted([*coding, *stop], key=lambda r: r.start):
        if merged and "stop_codon" in (row.type, merged[-1].type) and merged[-1].end >= row.start:
            last = merged.pop()
            own = last if last.type == "CDS" else row
            row = _placed(own, last.start, max(last.end, row.end))
        merged.append(row)
    # The first row stands for the feature in what is not its place.
    first = next(row for row in merged if row.type == "CDS")
    return [first, *(row for row in merged if row is not first)]


def _placed(row: Row, start: int, end: int) -> Row:
    return replace(row, start=start, end=end)


def _own_gene(row: Row) -> str:
    said = row.attributes
    named = said.get("Name", "") if row.type.endswith("gene") else ""
    return said.get("gene") or said.get("gene_name") or named


def _gene_of(name: str, genes: Mapping[str, tuple[str, str]]) -> str:
    """Name of the gene of an ID, its own or that of what it lies below."""
    seen: set[str] = set()
    while name in genes and name not in seen:
        seen.add(name)
        own, name = genes[name]
        if own:
            return own
    return ""


def _record(
    group: list[Row], length: int | None, genes: Mapping[str, tuple[str, str]], source: str
) -> dict[str, Any]:
    row = group[0]
    said = row.attributes
    strands = {r.strand for r in group}
    parts: list[Part] = [(r.start, r.end, r.strand or 1) for r in group]
    if said.get("exception") == _TRANS_SPLICED or (len(strands) > 1 and len(group) > 1):
        numbered = [r.attributes.get("part", "").split("/")[0] for r in group]
        if all(n.isdigit() for n in numbered):
            order = sorted(range(len(group)), key=lambda k: int(numbered[k]))
            parts = [parts[k] for k in order]
    else:
        parts = sorted_parts(parts, length)
    strand = row.strand if len(strands) == 1 else 0
    # The phase that counts is that of the row that is read first.
    five = parts[0][1] if parts[0][2] < 0 else parts[0][0]
    begins = {five, five - (length or 0)}
    first = next((r for r in group if (r.end if r.strand < 0 else r.start) in begins), row)
    low, high = _partial(group)
    try:
        code = int(said.get("transl_table", 0))
    except ValueError:
        raise FileFormatError(
            f"Line {row.line} of {source} has the genetic code {said['transl_table']!r}",
            "A number was needed in transl_table",
            "Correct or remove it",
        ) from None
    above = said.get("ID") or said.get("Parent", "").split(",")[0]
    gene = said.get("gene") or said.get("gene_name") or _gene_of(above, genes)
    tags = said.get("tag", "").split(",")
    biotype = said.get("gene_biotype") or said.get("gene_type") or ""
    return {
        "contig": row.contig,
        "type": row.type,
        "parts": parts,
        "strand": strand,
        "phase": first.phase,
        "is_partial_5": (high if strand < 0 else low) or "cds_start_NF" in tags,
        "is_partial_3": (low if strand < 0 else high) or "cds_end_NF" in tags,
        "is_pseudo": said.get("pseudo", "").lower() == "true"
        or "pseudogene" in said
        or row.type == "pseudogene"
        or "pseudogene" in biotype,
        "genetic_code": code,
        "name": _name(said, row.type),
        "gene": gene or said.get("gene_id", ""),
        "product": said.get("product", ""),
        "translation_exception": any(
            key in said and said[key] != _TRANS_SPLICED for key in _EXCEPTIONS
        ),
    }


def _name(said: dict[str, str], kind: str) -> str:
    if "ID" in said or "Name" in said or "locus_tag" in said or "Parent" in said:
        keys: tuple[str, ...] = ("locus_tag", "ID", "Name", "Parent")
    elif kind == "exon":
        keys = ("exon_id", "transcript_id", "gene_id")
    else:
        keys = ("gene_id",) if kind == "gene" else ("transcript_id", "gene_id")
    return next((said[key] for key in keys if said.get(key)), "")


def _partial(group: list[Row]) -> tuple[bool, bool]:
    """Whether the feature is cut at its lower and at its upper end."""
    low = high = stated = False
    for row in group:
        said = row.attributes
        begins, ends = said.get("start_range", ""), said.get("end_range", "")
        low |= begins.startswith(".")
        high |= ends.endswith(".")
        sides = said.get("partial", "")
        stated |= sides.lower() == "true"
        # As Prodigal writes it: one digit for each side.
        if len(sides) == 2 and set(sides) <= {"0", "1"}:
            low, high = low or sides[0] == "1", high or sides[1] == "1"
    return (True, True) if stated and not (low or high) else (low, high)
