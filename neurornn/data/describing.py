"""What a recording, or a set of sequences, holds, laid out as a table."""

import numpy as np
import xarray as xr

from neurornn._core.checks import find_blocks
from neurornn._core.report import Table
from neurornn._core.units import format_number
from neurornn.data.recording import sampling_rate_of
from neurornn.data.sequence_sets import SequenceSet

#: Sequences of which each has a row, and letters that are counted for it.
_MOST_ROWS, _MOST_LETTERS = 20, 50_000_000


def describe(recording: xr.Dataset | SequenceSet, title: str = "recording") -> Table:
    """Lay out what is there: variables, axes, units, rates, gaps, missing frames; or sequences.

    Parameters
    ----------
    recording : Dataset, or a set of sequences: lengths, shares of G and C and of unknown letters,
        and what lies on them.
    title : first line of the table.
    """
    if isinstance(recording, SequenceSet):
        return _of_sequences(recording, title)
    rows = []
    for name, variable in recording.data_vars.items():
        dims = ", ".join(f"{d} {n}" for d, n in variable.sizes.items())
        unit = str(variable.attrs.get("units", ""))
        rows.append([str(name), dims, str(variable.dtype), unit, _remark(recording, variable)])
    head = [f"{k}: {v}" for k, v in recording.attrs.items() if isinstance(v, str | int | float)]
    return Table(
        title=title, columns=["variable", "axes", "type", "unit", "remark"], rows=rows, head=head
    )


def _of_sequences(sequences: SequenceSet, title: str) -> Table:
    n, sizes = len(sequences), sequences.lengths
    unit = "aa" if sequences.alphabet == "protein" else "bp"
    total = int(sizes.sum())
    head = [f"{n} {sequences.alphabet} sequences of {total} {unit} in all"]
    if sequences.features is not None:
        kinds, count = np.unique(sequences.features["type"].values, return_counts=True)
        order = np.argsort(-count, kind="stable")
        head.append("features: " + ", ".join(f"{kinds[k]} {count[k]}" for k in order))
    longest = np.argsort(-sizes, kind="stable")[:_MOST_ROWS]
    rows = []
    for k in np.sort(longest):
        remark = ["circular"] if sequences.circular[k] else []
        if unit == "bp" and 0 < sizes[k] <= _MOST_LETTERS:
            letters = np.bincount(np.minimum(sequences[[k]].flat_codes(), 4), minlength=5)
            known = int(letters[:4].sum())
            if known:
                remark.append(f"{100 * int(letters[1] + letters[2]) / known:.1f} % G and C")
            if letters[4]:
                remark.append(f"{int(letters[4])} unknown")
        on_it = ""
        if sequences.features is not None:
            on_it = str(int((sequences.features["contig"].values == sequences.names[k]).sum()))
        rows.append([str(sequences.names[k]), str(int(sizes[k])), unit, on_it, ", ".join(remark)])
    notes = [f"{n - len(rows)} shorter ones are not shown"] if n > len(rows) else []
    columns = ["sequence", "length", "unit", "features", "remark"]
    return Table(title=title, columns=columns, rows=rows, head=head, notes=notes)


def _remark(recording: xr.Dataset, variable: xr.DataArray) -> str:
    remarks = []
    if "time" in variable.dims and "time" in recording.coords and variable.sizes["time"] > 1:
        time = recording["time"].values
        rate = sampling_rate_of(variable)
        remarks.append(f"{format_number(rate)} Hz")
        blocks = find_blocks(time, 1 / rate)
        remarks.append(f"{format_number(len(time) / rate)} s")
        if len(blocks) > 1:
            remarks.append(f"{len(blocks)} stretches")
    if "indicator" in variable.attrs:
        remarks.append(str(variable.attrs["indicator"]))
    if variable.dtype.kind == "f" and variable.size and variable.chunks is None:
        values = variable.values
        missing = float(np.isnan(values).mean())
        if missing:
            remarks.append(f"{100 * missing:.1f} % missing")
        if missing < 1:
            low, high = np.nanmin(values), np.nanmax(values)
            remarks.append(f"{format_number(low)} to {format_number(high)}")
    return ", ".join(remarks)
