"""Colours and axes that all pictures share."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_number
from neurornn._core.errors import DataError

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


def shown_range(
    time: NDArray[np.float64], t_start: float | None, t_stop: float | None
) -> tuple[NDArray[np.bool_], float, float]:
    """Which rows of a clock are drawn, and the range.

    Parameters
    ----------
    time : (time,), s.
    t_start, t_stop : s; None for the first and the last stamp.

    Raises
    ------
    KindError, DataError
        Not numbers; no row in the range.
    """
    low = float(time[0]) if t_start is None else check_number(t_start, "t_start", "s")
    high = float(time[-1]) if t_stop is None else check_number(t_stop, "t_stop", "s")
    shown = (time >= low) & (time <= high)
    if not shown.any():
        raise DataError(
            f"No row lies between t_start {t_start} and t_stop {t_stop}",
            f"A range within {time[0]:g} to {time[-1]:g} was needed",
            "Leave t_start and t_stop out to draw everything",
        )
    return shown, low, high
