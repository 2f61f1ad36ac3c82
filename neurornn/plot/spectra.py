"""Eigenvalues of what was linearised: where modes grow, decay and turn."""

from typing import Any

import numpy as np
import xarray as xr

from neurornn._core.errors import ShapeError
from neurornn.plot.style import DATA, EVENT, FIT, new_axes


def eigenvalues(points: Any, *, point: int | None = None, ax: Any = None) -> Any:
    """Draw the eigenvalues of fixed points in the complex plane, with the unit circle.

    Parameters
    ----------
    points : `dynamics.FixedPoints`, or its table
        Modes of stable points are blue; of others, those that grow vermilion and the rest grey.
    point : number of the one to draw; by default all.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes

    Raises
    ------
    ShapeError
        There is no point, or none of that number.
    """
    table = points if isinstance(points, xr.Dataset) else points.parameters
    labels = table["point"].values.tolist()
    if not labels or (point is not None and point not in labels):
        raise ShapeError(
            f"point {point} of {len(labels)} points was asked for",
            "The number of a fixed point was needed",
            f"Known: {', '.join(map(str, labels)) or 'there is none'}",
        )
    shown = table if point is None else table.sel(point=[point])
    ax = new_axes(ax, (4.2, 4.0))
    turn = np.linspace(0, 2 * np.pi, 400)
    ax.plot(np.cos(turn), np.sin(turn), color="black", lw=0.8, label="_circle")
    real, imaginary = shown["eigenvalue_real"].values, shown["eigenvalue_imag"].values
    grows = np.hypot(real, imaginary) > 1
    stable = np.broadcast_to((shown["n_unstable"].values == 0)[:, None], grows.shape)
    for label, chosen, colour in (
        ("stable points", stable, FIT),
        ("saddles: modes that decay", ~stable & ~grows, DATA),
        ("saddles: modes that grow", ~stable & grows, EVENT),
    ):
        if chosen.any():
            ax.plot(real[chosen], imaginary[chosen], "o", color=colour, ms=4, alpha=0.7,
                    mew=0, label=label)  # fmt: skip
    ax.set(xlabel="real part", ylabel="imaginary part", aspect="equal")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, fontsize="small")
    return ax
