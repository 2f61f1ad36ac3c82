"""Colours and axes that all pictures share."""

from typing import Any

import xarray as xr

#: Colour-blind safe: grey for data, blue for a fit, vermilion for events and truths.
DATA, FIT, EVENT = "#8a8a8a", "#0072b2", "#d55e00"
#: For several ranges in one picture; told apart from the three above.
RANGES = ("#d55e00", "#009e73", "#cc79a7", "#e69f00")


def new_axes(ax: Any, size: tuple[float, float]) -> Any:
    """Return the axes given, or those of a new figure without top and right spines."""
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=size, layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def unit_label(variable: xr.DataArray, name: object) -> str:
    """Axis label: the name, and the unit where there is one."""
    units = str(variable.attrs.get("units", "1"))
    return str(name) if units in ("1", "") else f"{name} ({units})"
