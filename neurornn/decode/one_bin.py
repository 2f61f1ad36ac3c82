"""The counts of one bin as they come from a rig: brought to an array, or refused with words."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_numbers
from neurornn._core.errors import DataError, KindError, ShapeError


def as_row(counts: Any, units: list[Any]) -> NDArray[Any]:
    """Bring what is no plain array to one; the slow way in."""
    if isinstance(counts, xr.DataArray):
        check_labels(counts, units)
        return np.asarray(counts.values)
    if isinstance(counts, np.ma.MaskedArray):
        return np.where(np.ma.getmaskarray(counts), np.nan, np.ma.getdata(counts))
    if hasattr(counts, "detach"):
        return check_numbers(counts, "counts")
    try:
        row = np.asarray(counts)
        return row.astype(float) if row.dtype.kind == "O" else row
    except (TypeError, ValueError, OverflowError):
        raise wrong_counts(counts, len(units)) from None


def check_labels(counts: xr.DataArray, units: list[Any]) -> None:
    """Refuse a DataArray whose units are labelled as others than those of the fit."""
    if "unit" not in counts.dims or "unit" not in counts.coords:
        return
    given = counts["unit"].values.tolist()
    if given != units and len(given) == len(units):
        raise DataError(
            f"The units are {given[0]} to {given[-1]}, another selection or order than at the fit",
            f"The units of the fit were needed, in their order, {units[0]} to {units[-1]}",
            "counts.sel(unit=decoder.units_) puts them in order",
        )


def wrong_buffer(out: Any, n_outputs: int) -> Exception:
    """What is said of a buffer that does not fit the outputs."""
    return ShapeError(
        f"out has shape {np.shape(out)} and holds {getattr(out, 'dtype', type(out).__name__)}",
        f"An array of {n_outputs} floats, ({n_outputs},), was needed",
        f"Make it once with np.zeros({n_outputs})",
    )


def wrong_counts(counts: Any, n_units: int) -> Exception:
    """What is said of counts that are not those of one bin."""
    try:
        shape, dtype = np.shape(counts), np.asarray(counts).dtype
    except (ValueError, TypeError):
        shape, dtype = "none: its parts differ", np.dtype(object)
    if not isinstance(counts, np.ndarray | list | tuple | xr.DataArray):
        return KindError(
            f"counts is a {type(counts).__name__}",
            f"The counts of one bin, ({n_units},), were needed",
            "Pass an array, or None for a bin that was not recorded",
        )
    if dtype.kind not in "fiubO" or shape == (n_units,):
        return KindError(
            f"counts holds {dtype} values",
            f"The counts of one bin as real numbers, ({n_units},), were needed",
            "Convert them, NaN where a unit was not recorded",
        )
    return ShapeError(
        f"counts has shape {shape}",
        f"The counts of one bin of the {n_units} units of the fit, ({n_units},), were needed",
        "Give every unit a place, NaN where it was not recorded; run(counts) takes (time, unit)",
    )
