"""Pictures of a variable that nobody measured: how much of it is read, and its course in time."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurornn._core.errors import ShapeError
from neurornn.plot.beliefs import draw_sources
from neurornn.plot.style import DATA, EVENT, FIT, RANGES, new_axes, shown_range, unit_label


def hidden_sources(table: xr.Dataset, *, variable: str | None = None, ax: Any = None) -> Any:
    """Draw how well each source tells a hidden variable.

    Parameters
    ----------
    table : ``nr.compare.hidden_variable(...).parameters``. Dots are R2 of the linear reading with
        their intervals, rings those of a network of one hidden layer.
    variable : which; by default the first.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes

    Raises
    ------
    ShapeError
        Another table, a variable that it does not have.
    """
    wanted = {"linear_r2", "linear_r2_ci", "nonlinear_r2", "source", "variable"}
    chosen = _chosen(table, wanted, variable, "parameters")
    ax = draw_sources(table.sel(variable=chosen), ax)
    # What is worse than nothing known is drawn at the edge, or it would squeeze all else.
    ax.set_xlim(left=max(ax.get_xlim()[0], -0.25))
    if ax.get_legend() is not None:
        # The network stands at the right, the controls below.
        ax.legend(frameon=False, fontsize=8, loc="upper left")
    ax.set_xlabel(f"R2 of '{chosen}'")
    return ax


def hidden_course(
    table: xr.Dataset,
    *,
    variable: str | None = None,
    trial: int = 0,
    sources: Sequence[str] = ("network", "inputs"),
    t_start: float | None = None,
    t_stop: float | None = None,
    ax: Any = None,
) -> Any:
    """Draw a hidden variable in time, beside what is read of it.

    Parameters
    ----------
    table : ``nr.compare.hidden_variable(...).reading``.
    variable : which; by default the first.
    trial : which of the windows held out, counted from 0.
    sources : whose reading; the network's is drawn in blue, the first of the others in grey.
    t_start, t_stop : s, since the start of the window; by default all.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes

    Raises
    ------
    ShapeError, DataError
        Another table, a variable, source or trial that it does not have; an empty range.
    """
    wanted = {"true", "read", "source", "variable", "trial", "time"}
    chosen = _chosen(table, wanted, variable, "reading")
    known = [str(s) for s in table["source"].values]
    strange = [s for s in sources if s not in known]
    if strange or not 0 <= trial < table.sizes["trial"]:
        raise ShapeError(
            f"sources are {', '.join(sources)}, trial is {trial}",
            f"Some of {', '.join(known)}, and a trial from 0 to {table.sizes['trial'] - 1}, "
            "were needed",
            "Check the names",
        )
    one = table.sel(variable=chosen).isel(trial=trial)
    time = one["time"].values
    shown, low, high = shown_range(time, t_start, t_stop)
    ax = new_axes(ax, (7.0, 2.8))
    ax.plot(time[shown], one["true"].values[shown], color=EVENT, lw=3, alpha=0.6, label="truth")
    colours = iter([DATA, *RANGES[1:]] + [DATA] * len(sources))
    for source in sources:
        own = source == "network"
        ax.plot(
            time[shown], one["read"].sel(source=source).values[shown],
            color=FIT if own else next(colours), lw=1.3, zorder=3 if own else 2,
            label="read from the state" if own else source,
        )  # fmt: skip
    ax.set_xlim(low, high)
    ax.set_xlabel(unit_label(one["time"], "time"))
    ax.set_ylabel(unit_label(one["true"], chosen.replace("_", " ")))
    ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax


def _chosen(table: Any, wanted: set[str], variable: str | None, name: str) -> str:
    if not isinstance(table, xr.Dataset) or not wanted <= set(table.variables):
        raise ShapeError(
            f"The table is a {type(table).__name__} without {', '.join(sorted(wanted))}",
            "A table of a hidden variable was needed",
            f"Pass nr.compare.hidden_variable(...).{name}",
        )
    names = [str(v) for v in np.atleast_1d(table["variable"].values)]
    chosen = names[0] if variable is None else variable
    if chosen not in names:
        raise ShapeError(
            f"variable is {chosen!r}", f"One of {', '.join(names)} was needed", "Check the name"
        )
    return chosen
