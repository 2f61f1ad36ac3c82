"""What objects of pynapple, neo, quantities and pandas are, told by what they have.

None of these packages is imported: an object is known by its attributes, so that none needs to be
installed and a subclass, or a stand-in of another lab, is known too.
"""

from collections.abc import Iterable, Mapping, Sized
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.errors import KindError, UnitError
from neurornn.data.index_names import seconds_of_name

#: What `kind_of` says, in words for messages.
KINDS = {
    "group": "TsGroup (pynapple)",
    "ts": "Ts (pynapple)",
    "tsd": "Tsd (pynapple)",
    "frame": "TsdFrame (pynapple)",
    "tensor": "TsdTensor (pynapple)",
    "intervals": "IntervalSet (pynapple)",
    "train": "SpikeTrain (neo)",
    "analog": "AnalogSignal (neo)",
    "irregular": "IrregularlySampledSignal (neo)",
    "event": "Event (neo)",
    "epoch": "Epoch (neo)",
    "segment": "Segment (neo)",
    "block": "Block (neo)",
    "quantity": "array with a unit (quantities)",
    "table": "DataFrame (pandas)",
    "column": "Series (pandas)",
}
#: What holds the spikes of one unit, alone.
ONE_TRAIN = ("ts", "train")


def kind_of(thing: Any) -> str | None:
    """Return which of `KINDS` something is, or None for all else.

    Parameters
    ----------
    thing : anything; arrays of NumPy and of xarray are none of them.

    Examples
    --------
    >>> kind_of([1.0, 2.0]), kind_of(np.zeros(3))
    (None, None)
    """
    if type(thing) is np.ndarray or isinstance(thing, xr.Dataset | xr.DataArray | str | bytes):
        return None
    if isinstance(thing, type | int | float | complex | list | tuple | slice):
        return None
    if hasattr(thing, "rescale") and hasattr(thing, "magnitude"):
        return _kind_of_quantity(thing)
    if hasattr(thing, "segments"):
        return "block"
    if hasattr(thing, "spiketrains") and hasattr(thing, "analogsignals"):
        return "segment"
    if hasattr(thing, "time_support"):
        return _kind_of_series(thing)
    if isinstance(thing, Mapping):
        return None
    if hasattr(thing, "end") and _is_array(getattr(thing, "start", None)):
        return "intervals"
    if hasattr(thing, "to_numpy") and hasattr(thing, "index") and hasattr(thing, "iloc"):
        return "table" if hasattr(thing, "columns") else "column"
    return None


def _kind_of_quantity(thing: Any) -> str:
    if hasattr(thing, "durations"):
        return "epoch"
    if hasattr(thing, "labels"):
        return "event"
    if hasattr(thing, "waveforms") or (np.ndim(thing) == 1 and hasattr(thing, "t_stop")):
        return "train"
    if hasattr(thing, "sampling_rate"):
        return "analog"
    return "irregular" if hasattr(thing, "times") else "quantity"


def _kind_of_series(thing: Any) -> str | None:
    if hasattr(thing, "keys") and hasattr(thing, "__getitem__") and not hasattr(thing, "t"):
        return "group"
    if not hasattr(thing, "t"):
        return None
    values = values_of(thing)
    if values is None:
        return "ts"
    return {1: "tsd", 2: "frame"}.get(values.ndim, "tensor")


def values_of(series: Any) -> NDArray[Any] | None:
    """Return the values of a Tsd, TsdFrame or TsdTensor, or None of a Ts."""
    for name in ("values", "d"):
        found = getattr(series, name, None)
        if found is not None and not callable(found):
            return np.asarray(found)
    return None


def described(thing: Any) -> str:
    """Say in words what something is, for messages."""
    kind = kind_of(thing)
    if kind is not None:
        return f"a {KINDS[kind]}"
    inside = ""
    if isinstance(thing, list | tuple) and len(thing):
        inside = f" of {len(thing)}, the first a {type(thing[0]).__name__}"
    elif isinstance(thing, Mapping) and len(thing):
        key, value = next(iter(thing.items()))
        inside = f" of {len(thing)}, {key!r} being a {type(value).__name__}"
    return f"a {type(thing).__name__}{inside}"


def is_trains(thing: Any) -> bool:
    """Whether something holds the spike trains of units: not counts, and not plain lists.

    Parameters
    ----------
    thing : a TsGroup, a Ts, a SpikeTrain; a dict or a list of them; a dict of 1-D arrays.
    """
    if isinstance(thing, xr.Dataset | xr.DataArray | np.ndarray) and kind_of(thing) is None:
        return False
    if kind_of(thing) in ("group", *ONE_TRAIN):
        return True
    if isinstance(thing, Mapping):
        return bool(len(thing)) and all(_is_train(v) for v in thing.values())
    if kind_of(thing) is not None or isinstance(thing, str | bytes) or hasattr(thing, "dtype"):
        # Arrays of other packages, sparse ones among them, are not looked through.
        return False
    if isinstance(thing, Iterable) and isinstance(thing, Sized) and len(thing):
        return all(kind_of(v) in ONE_TRAIN for v in thing)
    return False


def _is_train(value: Any) -> bool:
    if kind_of(value) in (*ONE_TRAIN, "tsd", "quantity", "column"):
        return True
    if kind_of(value) is not None or isinstance(value, str | bytes | Mapping | xr.Dataset):
        return False
    try:
        return np.ndim(value) == 1
    except (TypeError, ValueError):
        return False


def in_unit(quantity: Any, unit: str, name: str) -> NDArray[np.float64]:
    """Return what has a unit of its own in another one.

    Parameters
    ----------
    quantity : of the package quantities, or what behaves alike: ``rescale``, ``magnitude``.
    unit : ``"s"`` or ``"Hz"``; rates in 1/ms become Hz.
    name : what it is called in messages.

    Raises
    ------
    UnitError
        Of another kind: a voltage as a time.
    """
    try:
        return np.asarray(quantity.rescale(unit).magnitude, dtype=np.float64)
    except (ValueError, TypeError) as error:
        came = getattr(getattr(quantity, "dimensionality", None), "string", "no unit")
        raise UnitError(
            f"{name} is in {came}",
            f"Something that converts to {unit} was needed",
            f"Check its unit; a plain array in {unit} is taken as it is",
        ) from error


def number_in(quantity: Any, unit: str, name: str) -> float:
    """Return one number with a unit in another one, as `in_unit` does."""
    return float(in_unit(quantity, unit, name).reshape(-1)[0])


def index_times(table: Any) -> NDArray[np.float64] | None:
    """Return the times (s) in the index of a DataFrame or Series, or None where it numbers rows.

    Parameters
    ----------
    table : of pandas.

    Returns
    -------
    (row,), s : from an index of spans of time, of decimal numbers, or with a name that says time
        (``"time_ms"`` is converted, see `neurornn.data.index_names`). Whole numbers under any
        other name are numbers of rows.

    Raises
    ------
    UnitError
        Dates: a recording has no calendar. A name that says time, or ends in a
        unit, of which it is not known how many seconds it is.
    KindError
        An index of several levels.
    """
    index = table.index
    if type(index).__name__ == "RangeIndex":
        return None
    if getattr(index, "nlevels", 1) > 1:
        raise KindError(
            f"The index of the DataFrame has {index.nlevels} levels",
            "One level, the times in s, was needed",
            "Put the others into columns: table.reset_index(...)",
        )
    stamps = np.asarray(index)
    if stamps.dtype.kind == "M":
        raise UnitError(
            f"The index of the DataFrame holds dates, the first {stamps[0]}"
            if len(stamps)
            else "The index of the DataFrame holds dates",
            "Times in s were needed",
            "Count from the start: table.index = (table.index - table.index[0]).total_seconds()",
        )
    if stamps.dtype.kind == "m":
        return np.asarray(stamps / np.timedelta64(1, "ns"), dtype=float) * 1e-9
    title = "" if index.name is None else str(index.name).strip()
    if stamps.dtype.kind not in "iuf":
        return None
    factor = seconds_of_name(title, stamps.dtype.kind in "iu")
    if factor is None:
        return None
    return stamps.astype(float) * factor


def kept_columns(table: Any, n: int) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Return the columns of a table of labels as numbers or text, and the names of all others.

    Parameters
    ----------
    table : metadata of pynapple (a DataFrame, or a dict), array annotations of neo (a dict).
    n : rows that each column must have.
    """
    if table is None:
        return {}, []
    names = getattr(table, "columns", None)
    names = list(table.keys()) if names is None else list(names)
    kept, left = {}, []
    for name in names:
        try:
            column = np.asarray(table[name])
        except ValueError:  # rows of unequal length
            column = np.empty(0)
        if column.dtype.kind == "O" and all(isinstance(v, str) for v in column.ravel()):
            column = column.astype(str)
        if column.shape == (n,) and column.dtype.kind in "biufU":
            kept[str(name)] = column
        else:
            left.append(str(name))
    return kept, left


def _is_array(value: Any) -> bool:
    return not callable(value) and isinstance(value, list | np.ndarray) and np.ndim(value) == 1
