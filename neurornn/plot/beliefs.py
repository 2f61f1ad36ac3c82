"""Pictures of beliefs: how much of them is read from where, and one episode as it went."""

from typing import Any

import numpy as np
import xarray as xr

from neurornn._core.errors import ShapeError
from neurornn.plot.style import DATA, EVENT, FIT, RANGES, new_axes


def belief_sources(table: xr.Dataset, *, question: str | None = None, ax: Any = None) -> Any:
    """Draw how well each source tells the log odds of the exact belief.

    Parameters
    ----------
    table : ``nr.compare.belief(...).parameters``. Dots are R2 of the linear reading with their
        intervals, rings those of a network of one hidden layer.
    question : which; by default the first.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes

    Raises
    ------
    ShapeError
        Another table, a question that it does not have.
    """
    wanted = {"linear_r2", "linear_r2_ci", "nonlinear_r2", "source", "question"}
    if not isinstance(table, xr.Dataset) or not wanted <= set(table.variables):
        raise ShapeError(
            f"The table is a {type(table).__name__} without {', '.join(sorted(wanted))}",
            "R2 over source and question was needed",
            "Pass nr.compare.belief(...).parameters",
        )
    names = [str(q) for q in table["question"].values]
    chosen = names[0] if question is None else question
    if chosen not in names:
        raise ShapeError(
            f"question is {chosen!r}", f"One of {', '.join(names)} was needed", "Check the name"
        )
    ax = draw_sources(table.sel(question=chosen), ax)
    ax.set_xlabel(f"R2 of the log odds of '{chosen}'")
    return ax


def draw_sources(one: xr.Dataset, ax: Any) -> Any:
    """Draw R2 over ``source``: dots of the linear reading with intervals, rings of the other."""
    ax = new_axes(ax, (6.5, 3.2))
    labels = [str(s) for s in one["source"].values]
    place = np.arange(len(labels))[::-1]
    low, high = one["linear_r2_ci"].transpose("source", "ci_bound").values.T
    colours = [FIT if s == "network" else DATA for s in labels]
    ax.hlines(place, low, high, color=colours, lw=2)
    ax.scatter(one["linear_r2"].values, place, color=colours, s=30, zorder=3, label="linear")
    bent = one["nonlinear_r2"].values
    if np.isfinite(bent).any():
        ax.scatter(bent, place, facecolors="none", edgecolors=colours, s=45, label="one layer")
        ax.legend(frameon=False, fontsize=8, loc="lower left")
    ax.set_yticks(place, labels)
    return ax


def belief_course(table: xr.Dataset, *, question: str | None = None, ax: Any = None) -> Any:
    """Draw the belief along one episode: exact, and as it is read from a network.

    Parameters
    ----------
    table : over ``time`` and ``question``: ``exact`` and ``read``, probabilities, and ``truth``,
        whether it was so, drawn as a band.
    question : which; by default the first.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes

    Raises
    ------
    ShapeError
        Another table.
    """
    wanted = {"exact", "read", "truth", "time", "question"}
    if not isinstance(table, xr.Dataset) or not wanted <= set(table.variables):
        raise ShapeError(
            f"The table is a {type(table).__name__} without {', '.join(sorted(wanted))}",
            "Beliefs over time and question were needed",
            "Pass a Dataset with exact, read and truth (time, question)",
        )
    chosen = str(table["question"].values[0]) if question is None else question
    if chosen not in table["question"].values.tolist():
        raise ShapeError(
            f"question is {chosen!r}",
            f"One of {', '.join(map(str, table['question'].values))} was needed",
            "Check the name",
        )
    one = table.sel(question=chosen)
    ax = new_axes(ax, (6.5, 2.6))
    time = one["time"].values
    ax.fill_between(
        time, 0, one["truth"].values.astype(float), step="mid", color=RANGES[3], alpha=0.25, lw=0,
        label="it was so",
    )  # fmt: skip
    ax.plot(time, one["exact"].values, color=EVENT, lw=2.5, alpha=0.7, label="exact belief")
    ax.plot(time, one["read"].values, color=FIT, lw=1.3, marker="o", ms=3, label="read from state")
    unit = one["time"].attrs.get("units", "")
    ax.set_xlabel(f"time ({unit})" if unit else "time")
    ax.set_ylabel(f"probability of\n{chosen}")
    ax.set_ylim(-0.02, 1.05)
    ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax
