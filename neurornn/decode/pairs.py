"""True and decoded values side by side, checked, without NaN, in blocks for the bootstrap."""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_count, check_numbers
from neurornn._core.errors import DataError, ShapeError


class Pair(NamedTuple):
    """True and decoded rows, whole ones only, and their consecutive blocks.

    Attributes
    ----------
    true, predicted : (row, output).
    edges : (block + 1,), first row of each block, and one past the last row.
    output : labels of the outputs.
    n_left_out : rows with NaN.
    units : of the outputs.
    """

    true: NDArray[np.float64]
    predicted: NDArray[np.float64]
    edges: NDArray[np.intp]
    output: list[Any]
    n_left_out: int
    units: str

    def blocks(self, rows: NDArray[Any]) -> list[NDArray[Any]]:
        """Cut something with as many rows into the blocks."""
        return np.split(rows, self.edges[1:-1])


def as_pair(
    true: Any, predicted: Any, units: str | None, n_blocks: int, default: str = "1"
) -> Pair:
    """Check true and decoded values (time,) or (time, output) and drop rows with NaN.

    Parameters
    ----------
    units : of both; by default those of `true`, else `default`.
    n_blocks : consecutive blocks of whole rows, about equally long.
    """
    if isinstance(true, xr.DataArray) and isinstance(predicted, xr.DataArray):
        _check_clocks(true, predicted)
    arrays = []
    for name, given in (("true", true), ("predicted", predicted)):
        if isinstance(given, xr.DataArray) and "time" in given.dims:
            given = given.transpose("time", ...)
        array = check_numbers(given, name, missing=True)
        if array.ndim not in (1, 2) or not array.size:
            raise ShapeError(
                f"{name} has shape {array.shape}",
                "(time,) or (time, output) was needed",
                "Put trials one after the other first: x.reshape(-1, n_output)",
            )
        arrays.append(array.reshape(len(array), -1))
    y, p = arrays
    if y.shape != p.shape:
        raise ShapeError(
            f"true has (time, output) {y.shape} and predicted {p.shape}",
            "As many rows and outputs in both were needed",
            "Decode the same bins: a decoder with a history may drop the first rows",
        )
    whole = np.asarray(np.isfinite(np.hstack([y, p])).all(axis=1))
    y, p = y[whole], p[whole]
    if len(y) < 2:
        raise DataError(
            f"{len(y)} of {len(whole)} rows are without NaN",
            "At least 2 whole rows were needed",
            "Check the decoder's output and the alignment of the clocks",
        )
    n = min(check_count(n_blocks, "n_blocks"), len(y))
    labels: list[Any] = list(range(y.shape[1]))
    if isinstance(true, xr.DataArray):
        units = true.attrs.get("units") if units is None else units
        inner = [d for d in true.dims if d != "time"]
        if len(inner) == 1 and inner[0] in true.coords:
            labels = true[inner[0]].values.tolist()
    edges = np.linspace(0, len(y), n + 1).round().astype(np.intp)
    return Pair(y, p, edges, labels, int(np.sum(~whole)), default if units is None else units)


def _check_clocks(true: xr.DataArray, predicted: xr.DataArray) -> None:
    if "time" not in true.coords or "time" not in predicted.coords:
        return
    a, b = (check_numbers(x["time"].values, "time", missing=False) for x in (true, predicted))
    if a.shape != b.shape or len(a) < 2:
        return
    # Half a bin apart is another bin.
    worst = float(np.abs(a - b).max())
    if worst > 0.5 * float(np.median(np.diff(a))):
        raise ShapeError(
            f"The time stamps of true and predicted differ by up to {worst:g} s",
            "The same bins in both were needed",
            "Select them with predicted.sel(time=true['time'])",
        )
