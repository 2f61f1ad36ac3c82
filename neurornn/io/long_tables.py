"""Long tables: one row per frame and cell, with the time, the cell and its value."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurornn._core.errors import DataError, FileFormatError
from neurornn.io.clocks import is_frame_rate, plain
from neurornn.io.spike_lists import is_owner
from neurornn.io.table_columns import is_index, is_unnamed, may_be_clock
from neurornn.io.text_tables import Layout, read_parts

#: What melt of pandas calls the column with the names of the others.
_MELTED = ("variable",)


@dataclass(frozen=True, kw_only=True)
class LongTable:
    """A long table, turned: one row per frame and one column per cell.

    Attributes
    ----------
    clock : name of the column of times, or of frame numbers.
    stamps : (time,), what it holds, each once.
    is_count : whether they are frame numbers.
    labels : of the cells.
    values : name of a column -> (time, cell).
    """

    clock: str
    stamps: NDArray[np.float64]
    is_count: bool
    labels: list[str]
    values: dict[str, NDArray[np.float64]]


def long_columns(layout: Layout) -> tuple[int, int, list[int]] | None:
    """Return which columns of a long table hold the times, the cells and the values.

    Parameters
    ----------
    layout : of the table.

    Returns
    -------
    None where the names are not those of a long table.
    """
    names = layout.columns
    if not layout.named or not 3 <= len(names) <= 8:
        return None
    owners = [k for k, c in enumerate(names) if is_owner(c) or plain(c) in _MELTED]
    clocks = [k for k, c in enumerate(names) if may_be_clock(c)]
    counts = [k for k, c in enumerate(names) if is_index(c) and not is_unnamed(c)]
    if len(owners) != 1 or len(clocks) > 1 or not (clocks or len(counts) == 1):
        return None
    used = {owners[0], *clocks, *counts}
    rest = [
        k
        for k, c in enumerate(names)
        if k not in used and not is_unnamed(c) and not is_frame_rate(c)
    ]
    return ((clocks or counts)[0], owners[0], rest) if rest else None


def read_long(source: Path, layout: Layout) -> LongTable | None:
    """Read a long table, or return None where its times do not come again for every cell.

    Parameters
    ----------
    source : the file.
    layout : of the table, with names as `long_columns` finds them.

    Raises
    ------
    FileFormatError, DataError
        Text in place of a number; a cell with two values at one time; cells that have hardly any
        time in common.
    """
    places = long_columns(layout)
    if places is None:
        return None
    clock, owner, rest = places
    others = [k for k in range(len(layout.columns)) if k not in {clock, owner, *rest}]
    parts = []
    for part, _ in read_parts(source, layout, frozenset({owner, *others})):
        parts.append(part[[clock, owner, *rest]])
    if not parts:
        return None
    table = pd.concat(parts, ignore_index=True)
    name = layout.columns[clock]
    stamps = table[clock].to_numpy(dtype=float)
    repeats = len(np.unique(stamps)) < len(stamps)
    if not repeats and not _is_text(table[owner]):
        return None
    if not np.isfinite(stamps).all() or table[owner].isna().any():
        row = int(np.argmax(~np.isfinite(stamps) | table[owner].isna().to_numpy()))
        raise DataError(
            f"Row {row + 1} of {source.name} lacks its {name or 'time'}, or its cell",
            "The time and the cell of every value were needed",
            "Remove the row, or fill it in",
        )
    cells, labels = pd.factorize(table[owner].map(_label))
    known, place = np.unique(stamps, return_inverse=True)
    twice = pd.Series(place.astype(np.int64) * len(labels) + cells).duplicated().to_numpy()
    if twice.any():
        row = int(np.argmax(twice))
        raise DataError(
            f"Row {row + 1} of {source.name} is the second of cell {labels[cells[row]]} at "
            f"{name} {stamps[row]:g}",
            "One value for each cell and time was needed",
            "Does the table hold several trials or planes? Save one of them, or a clock that "
            "rises through all",
        )
    most = int(np.bincount(cells).max())
    if len(known) > 1.5 * most:
        raise DataError(
            f"The {len(labels)} cells of {source.name} have {len(known)} different times, and no "
            f"cell more than {most}",
            "Cells on one clock were needed",
            "Save the cells of each clock in a file of their own, or round the times to frames",
        )
    is_count = not may_be_clock(name)
    if is_count and len(known) > 1 and np.all(known == np.round(known)):
        # Frames that no cell has are missing, and not absent.
        whole = np.arange(known[0], known[-1] + 1)
        if len(whole) > 2 * len(known):
            raise DataError(
                f"{name} of {source.name} goes from {known[0]:g} to {known[-1]:g} in "
                f"{len(known)} steps",
                "Numbers of frames, one after the other, were needed",
                "Give the times in s in a column `time`",
            )
        place = (known[place] - known[0]).astype(np.int64)
        known = whole
    values = {}
    for k in rest:
        column = table[k]
        if _is_text(column):
            raise FileFormatError(
                f"The column {layout.columns[k]!r} of {source.name} holds text",
                "Numbers were needed",
                "Remove the column",
            )
        grid = np.full((len(known), len(labels)), np.nan)
        grid[place, cells] = column.to_numpy(dtype=float)
        values[layout.columns[k]] = grid
    return LongTable(
        clock=name,
        stamps=known.astype(float),
        is_count=is_count,
        labels=[str(c) for c in labels],
        values=values,
    )


def _is_text(column: Any) -> bool:
    return bool(pd.to_numeric(column, errors="coerce").isna().any())


def _label(cell: Any) -> str:
    """Return the label of a cell as it is written; 3.0 and 3 are the same one."""
    text = str(cell).strip()
    return text.removesuffix(".0") if text.endswith(".0") and text[:-2].isdigit() else text
