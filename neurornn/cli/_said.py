"""What a command says: text for people, and the same as plain values for other programs."""

import math
from typing import Any, NamedTuple

import numpy as np
import xarray as xr


class Said(NamedTuple):
    """Outcome of a command.

    Attributes
    ----------
    text : for people.
    data : for ``--json``: dicts, lists, text and numbers.
    """

    text: str
    data: Any


def as_plain(value: Any) -> Any:
    """Return what JSON can hold; a number that is none becomes null.

    Parameters
    ----------
    value : a table becomes a dict of its variables, each with ``dims``, ``units`` and ``values``.
    """
    if isinstance(value, xr.Dataset):
        return {str(k): as_plain(v) for k, v in value.variables.items()}
    if isinstance(value, xr.DataArray | xr.Variable):
        found = {"dims": list(map(str, value.dims)), "values": as_plain(value.values)}
        return found | ({"units": value.attrs["units"]} if "units" in value.attrs else {})
    if isinstance(value, np.ndarray):
        return as_plain(value.tolist())
    if isinstance(value, np.generic):
        return as_plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(k): as_plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [as_plain(v) for v in value]
    return value if value is None or isinstance(value, int | bool) else str(value)
