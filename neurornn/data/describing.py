"""What a recording holds, laid out as a table."""

import numpy as np
import xarray as xr

from neurornn._core.checks import find_blocks
from neurornn._core.report import Table
from neurornn._core.units import format_number
from neurornn.data.recording import sampling_rate_of


def describe(recording: xr.Dataset, title: str = "recording") -> Table:
    """Lay out what a recording holds: variables, axes, units, rates, gaps, missing frames.

    Parameters
    ----------
    recording : Dataset.
    title : first line of the table.
    """
    rows = []
    for name, variable in recording.data_vars.items():
        dims = ", ".join(f"{d} {n}" for d, n in variable.sizes.items())
        unit = str(variable.attrs.get("units", ""))
        rows.append([str(name), dims, str(variable.dtype), unit, _remark(recording, variable)])
    head = [f"{k}: {v}" for k, v in recording.attrs.items() if isinstance(v, str | int | float)]
    return Table(
        title=title, columns=["variable", "axes", "type", "unit", "remark"], rows=rows, head=head
    )


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
