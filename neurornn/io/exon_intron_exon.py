"""Introns with the exons on either side, one a line of a text file."""

import os
import re
from typing import Any

import numpy as np
import xarray as xr

from neurornn._core.errors import FileFormatError
from neurornn.io.sources import check_source, explained
from neurornn.io.text_files import text_lines

_LETTERS = re.compile(r"[ACGTUN]+", re.IGNORECASE)
_COLUMNS = ("upstream_exon", "intron", "downstream_exon")


def read_exon_intron_exon(path: str | os.PathLike[str]) -> xr.Dataset:
    """Read introns with their exons from a text file of 3 to 5 columns.

    Parameters
    ----------
    path : .txt or .tsv, plain or gzipped; lines that begin with ``#`` are passed over
        Columns are the end of the upstream exon, the whole intron and the start of the downstream
        exon, in the order of reading; then, where they are there, how often the junction was seen,
        and the gene.

    Returns
    -------
    Dataset over ``pair``
        ``upstream_exon``, ``intron``, ``downstream_exon``, letters as they stand in the file; with
        ``count`` and ``gene`` where the file has those columns.

    Raises
    ------
    FileFormatError
        A line that cannot be read, with its number; no lines.
    """
    source = check_source(path)
    columns: list[list[Any]] = [[], [], [], [], []]
    width = 0
    with explained(source, "exon-intron-exon"), text_lines(source) as lines:
        for number, raw in lines:
            line = raw.strip()
            if not line or line.startswith("#"):
                continue
            cells = line.split()
            width = width or len(cells)
            if len(cells) != width or not 3 <= width <= 5:
                raise FileFormatError(
                    f"Line {number} of {source.name} has {len(cells)} columns"
                    + (f", those before it {width}" if len(cells) != width else ""),
                    "Exon, intron and exon were needed, then count and gene if anything",
                    "Was the line cut? Columns are separated by tabs or blanks",
                )
            for name, letters in zip(_COLUMNS, cells, strict=False):
                if not _LETTERS.fullmatch(letters):
                    raise FileFormatError(
                        f"Line {number} of {source.name} has {letters[:20]!r} as {name}",
                        "Letters of DNA or RNA were needed",
                        "Is the order exon, intron, exon?",
                    )
            if width > 3 and not cells[3].isdecimal():
                raise FileFormatError(
                    f"Line {number} of {source.name} has {cells[3]!r} as count",
                    "A whole number was needed in column 4",
                    "Leave out column 4 and those behind it, or put counts there",
                )
            for column, cell in zip(columns, cells, strict=False):
                column.append(cell)
    if not width:
        raise FileFormatError(
            f"{source.name} holds no intron",
            "Lines of an exon, an intron and an exon were needed",
            "Is the file whole?",
        )
    table = xr.Dataset(
        {name: ("pair", np.array(v)) for name, v in zip(_COLUMNS, columns, strict=False)},
        attrs={"source": source.name, "format": "exon-intron-exon"},
    )
    if width > 3:
        count = np.array(columns[3], dtype=np.int64)
        table["count"] = ("pair", count, {"units": "1", "long_name": "reads over the junction"})
    if width > 4:
        table["gene"] = ("pair", np.array(columns[4]))
    return table
