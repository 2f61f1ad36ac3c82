"""Pictures of lifelong learning: what is left of each task, and what was foreseen."""

from typing import Any

import numpy as np
import xarray as xr

from neurornn._core.errors import ShapeError
from neurornn.plot.style import DATA, FIT, RANGES, new_axes


def forgetting_matrix(table: xr.Dataset, *, quantity: str = "kept", ax: Any = None) -> Any:
    """Draw what is left of each task after each task that was learned.

    Parameters
    ----------
    table : ``nr.training.fit_sequence(...).forgetting``, over ``after`` and ``task``. Blue is all
        of it, white nothing; the number stands in each field. Above the diagonal a task had not
        been learned yet.
    quantity : ``"kept"``, of the score when just learned, ``"score"`` or ``"kept_of_alone"``.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes

    Raises
    ------
    ShapeError
        Another table, a quantity that it does not have.
    """
    fits = isinstance(table, xr.Dataset) and {"after", "task"} <= set(table.coords)
    if not fits or quantity not in table or table[quantity].dims != ("after", "task"):
        raise ShapeError(
            f"The table is a {type(table).__name__} without {quantity} (after, task)",
            "What is left of each task after each was needed",
            "Pass nr.training.fit_sequence(...).forgetting",
        )
    values = table[quantity].values
    names = [str(n) for n in table["task"].values]
    size = 1.2 + 0.85 * len(names)
    ax = new_axes(ax, (size + 1.0, size))
    from matplotlib.colors import LinearSegmentedColormap

    shades = LinearSegmentedColormap.from_list("kept", ["white", FIT])
    ax.imshow(np.clip(values, 0, 1), cmap=shades, vmin=0, vmax=1)
    for k, row in enumerate(values):
        for j, value in enumerate(row):
            if np.isfinite(value):
                colour = "white" if value > 0.6 else "black"
                ax.text(j, k, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=9)
    ax.set_xticks(range(len(names)), names, rotation=30, ha="right")
    ax.set_yticks(range(len(names)), [str(n) for n in table["after"].values])
    ax.set_xlabel("task")
    ax.set_ylabel("after learning")
    ax.set_title(str(table[quantity].attrs.get("long_name", quantity)), fontsize=9)
    return ax


def foreseen_forgetting(table: xr.Dataset, *, seed: int = 0, ax: Any = None) -> Any:
    """Draw what steps cost earlier tasks against what was to be expected before each.

    Parameters
    ----------
    table : ``nr.training.fit_sequence(...).overlap``. A dot is one step and one earlier task; the
        line is where both are the same.
    seed : number of the seed.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes

    Raises
    ------
    ShapeError
        Another table, a seed that it does not have.
    """
    wanted = {"overlap", "forgetting", "seed", "task"}
    if not isinstance(table, xr.Dataset) or not wanted <= set(table.variables):
        raise ShapeError(
            f"The table is a {type(table).__name__} without {', '.join(sorted(wanted))}",
            "Steps and what they cost were needed",
            "Pass nr.training.fit_sequence(...).overlap",
        )
    if seed not in table["seed"].values:
        raise ShapeError(
            f"seed is {seed}",
            f"One of {table['seed'].values.tolist()} was needed",
            "Check the number of the seed",
        )
    one = table.sel(seed=seed)
    ax = new_axes(ax, (4.6, 3.6))
    colours = [FIT, *RANGES]
    shown = []
    for k, name in enumerate(one["task"].values):
        x, y = (one[v].sel(task=name).values.ravel() for v in ("overlap", "forgetting"))
        both = np.isfinite(x) & np.isfinite(y)
        if both.any():
            ax.scatter(x[both], y[both], s=12, color=colours[k % len(colours)], label=str(name))
            shown += [x[both], y[both]]
    if shown:
        ends = [min(v.min() for v in shown), max(v.max() for v in shown)]
        ax.plot(ends, ends, color=DATA, lw=1, zorder=0)
        ax.legend(title="earlier task", frameon=False, fontsize=8)
    # Most steps cost little, a few much.
    ax.set_xscale("symlog", linthresh=1e-4)
    ax.set_yscale("symlog", linthresh=1e-4)
    ax.set_xlabel("expected change of its loss, before the step")
    ax.set_ylabel("change of its loss")
    return ax
