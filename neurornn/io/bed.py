"""BED files, of 3 to 12 columns, into a table of features."""

import os
import re
from typing import Any

import xarray as xr

from neurornn._core.errors import FileFormatError
from neurornn.data.features import features_from_records
from neurornn.io.sources import check_source, explained
from neurornn.io.text_files import text_lines


def read_bed(path: str | os.PathLike[str], *, type: str = "region") -> xr.Dataset:
    """Read the intervals of a BED file.

    Parameters
    ----------
    path : .bed, plain or gzipped; lines ``track``, ``browser`` and ``#`` are passed over.
    type : what the features are called, as BED does not say.

    Returns
    -------
    Dataset over ``feature``
        As `neurornn.data.features_from_records` makes it: BED is 0-based and half-open too. Blocks
        are parts, in the order of reading. With ``score``, ``thick_start`` and ``thick_end`` where
        the file has those columns.

    Raises
    ------
    FileFormatError
        A line that cannot be read, with its number; no lines.
    """
    source = check_source(path)
    records: list[dict[str, Any]] = []
    more: dict[str, list[float]] = {"score": [], "thick_start": [], "thick_end": []}
    width = 0
    with explained(source, "BED"), text_lines(source) as lines:
        for number, raw in lines:
            line = raw.strip()
            if not line or re.match(r"#|track\b|browser\b", line):
                continue
            cells = line.split("\t") if "\t" in line else line.split()
            width = width or len(cells)
            if len(cells) != width or len(cells) < 3:
                raise FileFormatError(
                    f"Line {number} of {source.name} has {len(cells)} columns"
                    + (f", those before it {width}" if width >= 3 else ""),
                    "Three or more columns, as many in each line, were needed",
                    "Was the line cut? Columns are separated by tabs",
                )
            records.append(_interval(cells, number, source.name, type))
            if width > 4:
                more["score"].append(_score(cells[4]))
            if width > 7:
                more["thick_start"].append(_whole(cells[6], number, source.name))
                more["thick_end"].append(_whole(cells[7], number, source.name))
    if not records:
        raise FileFormatError(
            f"{source.name} holds no interval",
            "Lines of a name, a start and an end were needed",
            "Is it a BED file, and whole?",
        )
    features = features_from_records(records)
    for name, values in more.items():
        if values:
            features[name] = ("feature", values)
    for name in ("thick_start", "thick_end"):
        if name in features:
            features[name] = features[name].astype("int64").assign_attrs(units="bp")
    return features.assign_attrs(source=source.name, format="BED")


def _whole(text: str, number: int, source: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise FileFormatError(
            f"Line {number} of {source} has {text!r} where a place should be",
            "Whole numbers were needed, in columns 2 and 3 among others",
            "Is it BED? GFF3 and GTF have their places in columns 4 and 5; a line of headings "
            "begins with #",
        ) from None


def _score(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _interval(cells: list[str], number: int, source: str, kind: str) -> dict[str, Any]:
    start, end = (_whole(cell, number, source) for cell in cells[1:3])
    if not 0 <= start <= end:
        raise FileFormatError(
            f"Line {number} of {source} starts at {start} and ends at {end}",
            "A start of at least 0, and an end that is not before it, were needed",
            "BED counts from 0 and is half-open: the first base is 0 to 1",
        )
    strand = {"+": 1, "-": -1}.get(cells[5], 0) if len(cells) > 5 else 0
    parts = [(start, end)]
    if len(cells) > 11:
        sizes, offsets = (
            [_whole(c, number, source) for c in cell.split(",") if c.strip()]
            for cell in cells[10:12]
        )
        if not len(sizes) == len(offsets) == _whole(cells[9], number, source) > 0:
            raise FileFormatError(
                f"Line {number} of {source} states {cells[9]} blocks, with {len(sizes)} sizes and "
                f"{len(offsets)} starts",
                "One size and one start for each block were needed",
                "Look at columns 10 to 12; starts count from the start of the line",
            )
        parts = [
            (start + offset, start + offset + size)
            for offset, size in zip(offsets, sizes, strict=True)
        ]
        if min(p[0] for p in parts) < start or max(p[1] for p in parts) > end:
            raise FileFormatError(
                f"Line {number} of {source} has blocks from {min(p[0] for p in parts)} to "
                f"{max(p[1] for p in parts)}, and goes from {start} to {end}",
                "Blocks inside the line were needed",
                "Starts of blocks in column 12 count from the start of the line",
            )
    return {
        "contig": cells[0],
        "type": kind,
        "start": start,
        "end": end,
        "parts": parts[::-1] if strand < 0 else parts,
        "strand": strand,
        "name": cells[3] if len(cells) > 3 and cells[3] != "." else "",
    }
