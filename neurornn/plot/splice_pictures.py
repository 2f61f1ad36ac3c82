"""Pictures of the pairing of splice sites: accuracy against distance, candidates of a donor."""

from typing import Any

import numpy as np
import xarray as xr

from neurornn._core.errors import ShapeError
from neurornn.plot.style import DATA, EVENT, FIT, RANGES, new_axes

#: One look for each cell, in the order in which they come.
_COLOURS = (FIT, EVENT, *RANGES[1:], "#56b4e9")
_MARKERS = "osD^vP"


def _has(table: Any, names: set[str], what: str) -> xr.Dataset:
    if not isinstance(table, xr.Dataset) or not names <= set(table.variables):
        holds = ", ".join(map(str, getattr(table, "data_vars", {}))) or "no variables"
        raise ShapeError(
            f"The table has {holds}", f"{', '.join(sorted(names))} were needed", f"Pass {what}"
        )
    return table


def pairing_accuracy(table: xr.Dataset, *, ax: Any = None) -> Any:
    """Draw how often donors and acceptors are paired against the distance between them.

    Parameters
    ----------
    table : as `sequences.memory_against_distance` returns it. Bands are intervals over seeds, the
        dashed line is chance. A short line at the top marks the horizon of the gradient of a
        cell, an arrow there a horizon beyond the longest lag that was looked at.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes

    Raises
    ------
    ShapeError
        Another table.
    """
    wanted = {"accuracy", "accuracy_ci", "horizon", "chance", "cell", "distance"}
    table = _has(table, wanted, "the result of sequences.memory_against_distance")
    ax = new_axes(ax, (6.5, 4.2))
    distance = table["distance"].values.astype(float)
    for k, cell in enumerate(table["cell"].values.tolist()):
        one = table.sel(cell=cell)
        known = np.isfinite(one["accuracy"].values)
        if not known.any():
            continue
        colour, marker = _COLOURS[k % len(_COLOURS)], _MARKERS[k % len(_MARKERS)]
        ax.plot(
            distance[known], one["accuracy"].values[known], color=colour, marker=marker, ms=5,
            lw=1.5, label=cell,
        )  # fmt: skip
        low, high = one["accuracy_ci"].values[known].T
        ax.fill_between(distance[known], low, high, color=colour, alpha=0.15, lw=0)
        horizon = float(one["horizon"])
        # Each cell has a height of its own, so that equal horizons are all seen.
        top = 1.06 + 0.035 * k
        if np.isfinite(horizon):
            ax.plot([horizon] * 2, [top - 0.016, top + 0.016], color=colour, lw=2.5)
        elif np.isinf(horizon):
            ax.plot(distance[-1], top, color=colour, marker=">", ms=5, ls="none")
    ax.axhline(float(table["chance"]), color=DATA, ls="--", lw=1)
    n = table.sizes["cell"]
    for height, text in ((float(table["chance"]), "chance"), (1.06 + 0.0175 * (n - 1), "horizon")):
        # Beside the axes, where no line is.
        where = ax.get_yaxis_transform()
        ax.text(1.01, height, text, color=DATA, fontsize=8, va="center", transform=where)
    ax.set_xscale("log")
    ax.set_ylim(0, 1.1 + 0.035 * n)
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.set_xlabel("distance from donor to acceptor (bp)")
    ax.set_ylabel("right acceptor first")
    ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax


def acceptor_candidates(table: xr.Dataset, *, acceptor: int | None = None, ax: Any = None) -> Any:
    """Draw the candidates of one donor, each with its probability.

    Parameters
    ----------
    table : of one donor, as `sequences.SplicePairing.rank` returns it.
    acceptor : bp from the donor to the true acceptor, marked where it is known.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes

    Raises
    ------
    ShapeError
        Another table.
    """
    wanted = {"acceptor", "probability", "probability_ci"}
    table = _has(table, wanted, "the result of sequences.SplicePairing(...).rank(donor)")
    ax = new_axes(ax, (6.5, 2.6))
    place, chance = table["acceptor"].values, table["probability"].values
    low, high = table["probability_ci"].values.T
    ax.vlines(place, 0, chance, color=FIT, lw=2)
    ax.plot(place, chance, "o", color=FIT, ms=5)
    if np.isfinite(low).all():
        ax.vlines(place, low, high, color=FIT, lw=6, alpha=0.25)
    if acceptor is not None:
        ax.axvline(acceptor, color=EVENT, ls="--", lw=1)
        ax.text(
            acceptor, 1.04, " true acceptor", color=EVENT, fontsize=8, va="bottom", ha="center"
        )
    ax.set_xlim(0, max(place.max(), acceptor or 0) * 1.08 + 5)
    ax.set_ylim(0, 1.02)
    ax.set_xlabel("AG, distance from the donor (bp)")
    ax.set_ylabel("probability")
    return ax
