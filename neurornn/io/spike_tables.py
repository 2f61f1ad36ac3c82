"""Lists of spikes in text tables: one row per spike, its time and its unit."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.errors import DataError, NameUnknownError, UnitError
from neurornn.data.recording import from_spikes
from neurornn.io.clocks import plain
from neurornn.io.sources import explained
from neurornn.io.spike_lists import choose_owner, is_owner, is_spike_times, refuse_samples
from neurornn.io.text_tables import Layout, Rows, read_parts


class _Labels:
    """The labels of a column: each different one once, and its number for every spike."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._numbers: list[NDArray[np.int32]] = [np.empty(0, np.int32)]

    def add(self, cells: pd.Series) -> NDArray[np.bool_]:
        """Append labels; return where one is missing."""
        codes, different = pd.factorize(cells)
        texts = [str(text).strip() for text in different]
        # The last one is for a cell without text: pandas gives it the number -1.
        numbers = [self._known.setdefault(t, len(self._known)) if t else -1 for t in texts] + [-1]
        found = np.array(numbers, dtype=np.int32)[codes]
        self._numbers.append(found)
        return np.asarray(found < 0)

    def finish(self) -> tuple[NDArray[Any], NDArray[np.int32]]:
        """Return the labels in order, and the place of the label of each spike among them."""
        labels = as_labels(list(self._known))
        order = np.argsort(labels, kind="stable")
        place = np.empty(len(labels), dtype=np.int32)
        place[order] = np.arange(len(labels), dtype=np.int32)
        return labels[order], place[np.concatenate(self._numbers)]


def read_spikes(
    source: Path,
    layout: Layout,
    *,
    index: frozenset[str],
    factor: float | None,
    unit_column: str | None,
    rate: float | None,
) -> xr.Dataset:
    """Read a list of spikes part by part.

    Parameters
    ----------
    source : the file.
    layout : of its cells.
    index : names, as `plain` gives them, of columns that only number the rows.
    factor : s in one unit of the spike times; None where nothing states the unit.
    unit_column : the column that holds the unit of each spike, as the caller states it.
    rate : Hz, as the caller states it; whole numbers are then samples.

    Raises
    ------
    NameUnknownError
        Several columns of spike times; no column, or more than one, that could be the unit.
    DataError, UnitError
        No spike; a spike without a time or a unit, its line is named; times in samples.
    """
    columns = layout.columns
    clocks = [k for k, c in enumerate(columns) if is_spike_times(c)]
    if len(clocks) > 1:
        raise NameUnknownError(
            f"{source.name} has several columns of spike times: "
            f"{', '.join(repr(columns[k]) for k in clocks)}",
            "One column of times, one row per spike, was needed",
            "Put them below each other, with their units in a second column",
        )
    clock = clocks[0]
    others = [k for k in range(len(columns)) if k != clock]
    numbering = [k for k in others if plain(columns[k]) in index and not is_owner(columns[k])]
    if unit_column is not None:
        # Whether it is there is found out before anything is read.
        held = [columns.index(_owner(source, {columns[k]: None for k in others}, unit_column))]
    else:
        held = [k for k in others if is_owner(columns[k])]
        if not held and len(numbering) < len(others):
            _owner(source, {columns[k]: None for k in others if k not in numbering}, None)
    numbering = [k for k in numbering if k not in held]
    text = frozenset(others) - frozenset(numbering)
    times = Rows(1, layout.room)
    labels = {k: _Labels() for k in held}
    last: dict[int, float] = {}
    for part, lines in _parts(source, layout, text):
        _refuse(~np.isfinite(part[clock].to_numpy(float)), lines, source, "spike time")
        times.add(part[[clock]])
        for k in held:
            _refuse(labels[k].add(part[k]), lines, source, "unit")
        for k in numbering:
            count = part[k].to_numpy(float)
            if np.any(np.diff(count, prepend=last.get(k, count[0] - 1)) != 1):
                _owner(source, {columns[k] or "the one without a name": None}, None)
            last[k] = float(count[-1])
    values = times.finish()[:, 0].astype(float, copy=False)
    if not len(values):
        raise DataError(
            f"{source.name} has 0 rows below {', '.join(map(repr, columns))}",
            "At least one spike was needed",
            "Was the file cut? For a recording without spikes use nr.data.from_spikes",
        )
    if rate is not None and factor is None and len(values) > 1 and _is_whole(values):
        raise UnitError(
            f"The {len(values)} spike times of {source.name} are whole numbers, up to "
            f"{values.max():g}, and sampling_rate is {rate:g} Hz",
            "Spike times in s were needed",
            "If they are samples, divide them by the rate; if they are s, leave sampling_rate out",
        )
    if factor is None:
        refuse_samples(values, columns[clock], source.name)
    values = values if factor in (None, 1.0) else values * factor
    if not held:
        return from_spikes([values])
    finished = {columns[k]: labels[k].finish() for k in held}
    del times, labels
    owner = _owner(source, {c: places for c, (_, places) in finished.items()}, unit_column)
    names, places = finished.pop(owner)
    finished.clear()
    order = np.argsort(places, kind="stable")
    stops = np.cumsum(np.bincount(places, minlength=len(names)))
    values = values[order]
    del order, places
    return from_spikes(np.split(values, stops[:-1]), unit=names)


def _parts(source: Path, layout: Layout, text: frozenset[int]) -> Any:
    with explained(source, "a text table"):
        yield from read_parts(source, layout, text)


def _owner(source: Path, columns: dict[str, Any], unit_column: str | None) -> str:
    arrays = {c: np.empty(0) if v is None else v for c, v in columns.items()}
    owner = choose_owner(arrays, unit_column, source.name, "unit_column")
    assert owner is not None
    return owner


def _is_whole(values: NDArray[np.float64]) -> bool:
    return bool(np.all(values[:1000] == np.round(values[:1000]))) and bool(
        np.all(values == np.round(values))
    )


def _refuse(missing: NDArray[np.bool_], lines: NDArray[np.int64], source: Path, what: str) -> None:
    if missing.any():
        k = int(np.argmax(missing))
        raise DataError(
            f"Line {lines[k]} of {source.name} has no {what}",
            "A time in s and a unit for every spike were needed",
            "Remove that spike, or restore what is missing",
        )


def as_labels(texts: list[str]) -> NDArray[Any]:
    """Return labels as numbers where no two of them become one by it, else as text.

    Examples
    --------
    >>> as_labels(["3", "1"]).tolist(), as_labels(["01", "1"]).tolist()
    ([3, 1], ['01', '1'])
    """
    try:
        numbers = np.array([float(t) for t in texts])
    except ValueError:
        return np.array(texts, dtype=str)
    if len(np.unique(numbers)) < len(texts) or not np.isfinite(numbers).all():
        return np.array(texts, dtype=str)
    whole = np.all(numbers == np.round(numbers)) and np.all(np.abs(numbers) < 2**53)
    return numbers.astype(np.int64) if whole else numbers
