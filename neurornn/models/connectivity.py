"""Who is connected to whom: masks, regions, signs after Dale, and what each block does.

A weight matrix is ``(hidden, hidden_)``: row the unit that receives, column the unit that sends.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import check_numbers
from neurornn._core.errors import DataError, ShapeError


def connection_mask(
    n_hidden: int,
    connections: ArrayLike | None,
    regions: Sequence[Any] | None,
    region_connections: ArrayLike | None,
    self_connections: bool,
) -> NDArray[np.bool_] | None:
    """Return where a weight may differ from 0, (hidden, hidden_); None where everywhere.

    Parameters
    ----------
    n_hidden : units.
    connections : (hidden, hidden_), 0 where there is no connection.
    regions : (hidden,), the label of each unit.
    region_connections : (region, region_), 0 where a region does not project to another; regions
        in the order in which their labels first appear.
    self_connections : let a unit drive itself.

    Raises
    ------
    ShapeError, DataError
        Sizes that do not fit, region_connections without regions.
    """
    mask = np.ones((n_hidden, n_hidden), dtype=bool)
    if connections is not None:
        given = check_numbers(connections, "connections", missing=False)
        if given.shape != mask.shape:
            raise ShapeError(
                f"connections has shape {given.shape}",
                f"A mask (hidden, hidden_) of {mask.shape} was needed",
                "Row: the unit that receives; column: the unit that sends",
            )
        mask &= given != 0
    if regions is not None:
        names, index = region_index(regions, n_hidden)
        if region_connections is not None:
            blocks = check_numbers(region_connections, "region_connections", missing=False)
            if blocks.shape != (len(names), len(names)):
                raise ShapeError(
                    f"region_connections has shape {blocks.shape}",
                    f"{len(names)} by {len(names)} entries were needed for {', '.join(names)}",
                    "Row: the region that receives; column: the region that sends",
                )
            mask &= (blocks != 0)[np.ix_(index, index)]
    elif region_connections is not None:
        raise DataError(
            "region_connections came without regions",
            "The region of each unit was needed",
            'Pass for example regions=["V1"] * 40 + ["PPC"] * 24',
        )
    if not self_connections:
        np.fill_diagonal(mask, False)
    return None if mask.all() else mask


def region_index(regions: Sequence[Any], n_hidden: int) -> tuple[list[str], NDArray[np.intp]]:
    """Names of the regions in the order of their first unit, and the region of each unit."""
    labels = [str(r) for r in regions]
    if len(labels) != n_hidden:
        raise ShapeError(
            f"{len(labels)} labels came for regions or groups",
            f"One for each of the {n_hidden} hidden units was needed",
            "Check n_hidden",
        )
    names = list(dict.fromkeys(labels))
    return names, np.array([names.index(label) for label in labels])


def unit_signs(n_hidden: int, excitatory: ArrayLike | None) -> NDArray[np.float64] | None:
    """Return +1 for units that excite and -1 for units that inhibit; None without Dale's law.

    Parameters
    ----------
    n_hidden : units.
    excitatory : share of units that excite, the first ones; or (hidden,), true where one does.
    """
    if excitatory is None:
        return None
    given = np.asarray(excitatory)
    if given.ndim == 0:
        share = float(given)
        if not 0 <= share <= 1:
            raise DataError(
                f"excitatory is {share:g}",
                "A share between 0 and 1, or one true or false per hidden unit, was needed",
                "Pass for example excitatory=0.8",
            )
        given = np.arange(n_hidden) < round(share * n_hidden)
    if given.shape != (n_hidden,):
        raise ShapeError(
            f"excitatory has shape {given.shape}",
            f"One value for each of the {n_hidden} hidden units was needed",
            "Check n_hidden",
        )
    return np.where(given.astype(bool), 1.0, -1.0)


def block_table(
    weights: NDArray[Any], mask: NDArray[np.bool_] | None, regions: Sequence[Any]
) -> xr.Dataset:
    """Say what every region sends to every other.

    Parameters
    ----------
    weights : (hidden, hidden_)
    mask : (hidden, hidden_), true where connected; None for everywhere.
    regions : (hidden,), labels.

    Returns
    -------
    Dataset over ``region`` (receives) and ``region_`` (sends)
        ``n_connections``; ``mean_weight``, ``weight_sd`` over the connections, NaN where there is
        none; ``gain``, the largest singular value of the block: by how much a pattern of activity
        of the sender can grow.
    """
    names, index = region_index(regions, len(weights))
    shape = (len(names), len(names))
    connected = np.ones(weights.shape, dtype=bool) if mask is None else mask
    count = np.zeros(shape, dtype=int)
    mean, sd, gain = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape)
    for i in range(len(names)):
        for j in range(len(names)):
            where = np.ix_(index == i, index == j)
            values = weights[where][connected[where]]
            count[i, j] = values.size
            if values.size:
                mean[i, j], sd[i, j] = values.mean(), values.std()
                gain[i, j] = np.linalg.norm(np.where(connected[where], weights[where], 0.0), 2)
    dims = ("region", "region_")
    return xr.Dataset(
        {
            "n_connections": (dims, count, {"units": "1"}),
            "mean_weight": (dims, mean, {"units": "1", "long_name": "mean weight"}),
            "weight_sd": (dims, sd, {"units": "1", "long_name": "sd of the weights"}),
            "gain": (dims, gain, {"units": "1", "long_name": "largest singular value"}),
        },
        coords={"region": names, "region_": names},
    )
