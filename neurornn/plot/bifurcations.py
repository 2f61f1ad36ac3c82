"""Fixed points over a parameter: where they are, which hold, and where they meet."""

from typing import Any

import numpy as np

from neurornn._core.errors import ShapeError
from neurornn.plot.style import DATA, EVENT, FIT, new_axes

_MARKS = {
    "fold": "o", "pitchfork": "^", "transcritical": "X", "Hopf": "s", "flip": "D",
    "border collision": "P",
}  # fmt: skip


def bifurcation(diagram: Any, *, hidden: int = 0, ax: Any = None) -> Any:
    """Draw a bifurcation diagram: one state of every fixed point over the parameter.

    Parameters
    ----------
    diagram : `dynamics.BifurcationDiagram`
        Stable points are drawn solid and blue, others broken and grey; bifurcations are marked.
    hidden : label of the state to draw.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes

    Raises
    ------
    ShapeError
        There is no such state.
    """
    points, marks = diagram.points, diagram.bifurcations
    if hidden not in points["hidden"].values:
        raise ShapeError(
            f"hidden {hidden} of {points.sizes['hidden']} was asked for",
            "The label of a state was needed",
            f"Pass a number below {points.sizes['hidden']}",
        )
    ax = new_axes(ax, (4.8, 3.6))
    value = points["value"].values
    states, n_unstable = points["state"].sel(hidden=hidden).values, points["n_unstable"].values
    folds = marks.sel(hidden=hidden)
    named: set[str] = set()
    for label, chosen, colour, style in (
        ("unstable", n_unstable > 0, DATA, (0, (4, 2))),
        ("stable", n_unstable == 0, FIT, "-"),
    ):
        for y, there in zip(states, chosen, strict=True):
            if there.any():
                shown = label if label not in named else f"_{label}"
                named.add(label)
                ax.plot(value, np.where(there, y, np.nan), color=colour, ls=style, lw=1.5,
                        label=shown, gid=label)  # fmt: skip
    for kind, marker in _MARKS.items():
        here = folds["kind"].values == kind
        if here.any():
            ax.plot(folds["value"].values[here], folds["state"].values[here], marker, ms=5,
                    color=EVENT, label=kind, zorder=3)  # fmt: skip
    ax.set(xlabel=points["value"].attrs["long_name"], ylabel=f"state of unit {hidden}")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False,
              fontsize="small")  # fmt: skip
    return ax
