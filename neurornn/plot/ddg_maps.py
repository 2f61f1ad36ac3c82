"""Maps of what mutations do to stability, with what was measured beside it; calibration."""

from typing import Any

import numpy as np
import xarray as xr

from neurornn._core.errors import ShapeError
from neurornn.data.substitutions import read_substitutions
from neurornn.plot.style import DATA, FIT, new_axes, unit_label

#: Residues in the order of their character: hydrophobic, aromatic, polar, charged, special.
_ORDER = "AVILMCFWYTSNQHKRDEGP"
#: Bins of predictions in the picture of calibration, and variants below which one is not drawn.
_BINS, _FEWEST = 10, 5


def ddg_map(table: xr.Dataset, measured: xr.Dataset | None = None, *, ax: Any = None) -> Any:
    """Draw what every residue at every position does to stability, measured beside predicted.

    Parameters
    ----------
    table : of `sequences.MutationModel.mutate_all`.
    measured : of `io.read_mutations`, of the same protein: single substitutions are drawn in the
        right half of each cell, predictions in the left half. Scores that are no free energies are
        turned and stretched to the spread of the predictions, which the bar then says.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes
        Red where the protein loses stability, blue where it gains; the wild type is a dot.

    Raises
    ------
    ShapeError
        Another table.
    """
    if not isinstance(table, xr.Dataset) or not {"ddg", "wild_type"} <= set(table.variables):
        raise ShapeError(
            f"A {type(table).__name__} came without ddg and wild_type",
            "The table of MutationModel.mutate_all was needed, over position and residue",
            "Pass model.mutate_all(sequence)",
        )
    order = [r for r in _ORDER if r in table["residue"].values]
    costs = table["ddg"].sel(residue=order).transpose("residue", "position").values
    at = table["position"].values
    drawn, label = costs, unit_label(table["ddg"], "change of folding free energy")
    if measured is not None:
        other, stretched = _measured(table, measured, order, costs)
        drawn = np.stack([costs, other], axis=-1).reshape(len(order), -1)
        label += "; left predicted, right measured" + (", stretched" if stretched else "")
    known = np.abs(drawn[np.isfinite(drawn)])
    top = float(np.quantile(known, 0.99)) if len(known) else 1.0
    top = top if top > 0 else 1.0
    wide = 0.16 * len(at) * (1 if measured is None else 1.6) + 1.8
    ax = new_axes(ax, (min(max(4.0, wide), 18.0), 4.6))
    image = ax.imshow(
        drawn, cmap="RdBu_r", vmin=-top, vmax=top, aspect="auto", interpolation="nearest",
        extent=(at[0] - 0.5, at[-1] + 0.5, len(order) - 0.5, -0.5),
    )  # fmt: skip
    wild = table["wild_type"].values.astype(str)
    own = [(p, order.index(w)) for p, w in zip(at, wild, strict=True) if w in order]
    ax.plot([p for p, _ in own], [r for _, r in own], ".", color="#222222", ms=3)
    ax.set_facecolor("#dddddd")
    ax.set_yticks(range(len(order)), order)
    ax.set_xlabel("residue")
    ax.set_ylabel("becomes")
    bar = ax.figure.colorbar(image, ax=ax, pad=0.01, extend="both")
    bar.set_label(label)
    return ax


def _measured(
    table: xr.Dataset, measured: xr.Dataset, order: list[str], costs: Any
) -> tuple[Any, bool]:
    """Measured singles in the form of the map, and whether they were stretched."""
    stretched = "ddg" not in measured
    value = -measured["fitness"].values if stretched else measured["ddg"].values
    found = np.full(costs.shape, np.nan)
    rows = {int(p): k for k, p in enumerate(table["position"].values)}
    wild = table["wild_type"].values.astype(str)
    for text, v in zip(measured["mutation"].values.astype(str), value, strict=True):
        changes = read_substitutions(text)
        if len(changes) != 1:
            continue
        (change,) = changes
        if change.number not in rows or wild[rows[change.number]] != change.wild:
            raise ShapeError(
                f"{change} was measured, and the table has another residue there",
                "Variants of the protein of the table were needed",
                "Select the variants of this protein",
            )
        found[order.index(change.mutant), rows[change.number]] = v
    if stretched and np.isfinite(found).sum() > 1:
        both = np.isfinite(found) & np.isfinite(costs)
        spread = np.std(found[both])
        centred = found - np.mean(found[both])
        found = centred / (spread if spread > 0 else 1) * np.std(costs[both])
        found += np.mean(costs[both])
    return found, stretched


def ddg_calibration(held_out: xr.Dataset, *, ax: Any = None) -> Any:
    """Draw measured against predicted changes of variants whose families were held out.

    Parameters
    ----------
    held_out : ``model.held_out_`` of a fitted `sequences.MutationModel`.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes
        A point for every tenth of the predictions: mean of what was measured, with the range of
        the middle 80 %, and a line of equal values.

    Raises
    ------
    ShapeError
        Another table.
    """
    if not isinstance(held_out, xr.Dataset) or not {"predicted", "measured"} <= set(held_out):
        raise ShapeError(
            f"A {type(held_out).__name__} came without predicted and measured",
            "The variants that were held out of a MutationModel were needed",
            "Pass model.held_out_",
        )
    predicted, measured = (held_out[n].values for n in ("predicted", "measured"))
    edges = np.quantile(predicted, np.linspace(0, 1, _BINS + 1))
    which = np.clip(np.searchsorted(edges, predicted, side="right") - 1, 0, _BINS - 1)
    bins = [k for k in range(_BINS) if (which == k).sum() >= _FEWEST]
    x = [float(predicted[which == k].mean()) for k in bins]
    y = [float(measured[which == k].mean()) for k in bins]
    low, high = (
        np.array([np.quantile(measured[which == k], q) for k in bins]) for q in (0.1, 0.9)
    )
    ax = new_axes(ax, (4.2, 3.8))
    ax.vlines(x, low, high, color=FIT, lw=1, label="middle 80 %")
    ax.plot(x, y, "o", color=FIT, ms=4, label="mean")
    ends = [min([*x, *y], default=0), max([*x, *y], default=1)]
    ax.plot(ends, ends, color=DATA, lw=1, label="equal")
    ax.set_xlabel(unit_label(held_out["predicted"], "predicted change"))
    ax.set_ylabel(unit_label(held_out["measured"], "measured change"))
    ax.legend(frameon=False)
    return ax
