"""What pynapple writes with ``save``: npz archives of plain arrays and of Python objects.

Times, spikes, keys and supports are plain arrays. Metadata, and labels that are text, are stored
as pickle: they are left out and named, as unpickling can run any code.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.errors import FileFormatError
from neurornn.data.pynapple_objects import from_pynapple
from neurornn.io.clocks import agreed_rate

#: Kind -> what a file of it holds, the surer first; files of old versions do not name their kind.
_KINDS = {
    "TsGroup": {"t", "start", "end", "index"},
    "TsdFrame": {"t", "d", "start", "end", "columns"},
    "TsdTensor": {"t", "d", "start", "end"},
    "Tsd": {"t", "d", "start", "end"},
    "Ts": {"t", "start", "end"},
    "IntervalSet": {"start", "end"},
}
_OWN = {"t", "d", "start", "end", "index", "columns", "keys", "type", "rate", "_metadata"}


class _Support:
    """Ranges, as an IntervalSet has them."""

    def __init__(self, bag: Mapping[str, NDArray[Any]], metadata: Any = None) -> None:
        self.start, self.end = np.atleast_1d(bag["start"]), np.atleast_1d(bag["end"])
        self.metadata = metadata


class _Times:
    """Times, as a Ts has them."""

    def __init__(self, t: NDArray[Any], time_support: _Support) -> None:
        self.t, self.time_support = t, time_support


class _Values(_Times):
    """Values over time, as a Tsd, TsdFrame or TsdTensor has them."""

    def __init__(
        self, t: NDArray[Any], time_support: _Support, values: NDArray[Any], columns: Any = None
    ) -> None:
        super().__init__(t, time_support)
        self.values, self.columns, self.metadata = values, columns, None


class _Group(dict[Any, _Times]):
    """Members under their keys, as a TsGroup has them."""

    time_support: _Support
    metadata: Mapping[str, NDArray[Any]] | None = None


def pynapple_kind(names: Sequence[str], stated: str | None) -> str | None:
    """Return what pynapple has saved in an archive, or None where it is none of its files.

    Parameters
    ----------
    names : of the members.
    stated : what the member ``type`` says, where there is one.
    """
    if stated is not None:
        return stated if stated in _KINDS and set(names) >= _KINDS[stated] else None
    # Without it the names must be those of pynapple and no others.
    if not set(names) <= _OWN or not set(names) >= {"start", "end"}:
        return None
    return next(kind for kind, needed in _KINDS.items() if set(names) >= needed)


def recording_of_pynapple(
    kind: str,
    bag: Mapping[str, NDArray[Any]],
    left: Sequence[str],
    *,
    source: Path,
    name: str | None,
    sampling_rate: float | None,
) -> xr.Dataset:
    """Make a recording of a file that pynapple wrote.

    Parameters
    ----------
    kind : as `pynapple_kind` says.
    bag : the members that are plain arrays.
    left : names of the members that are Python objects.
    source : the file.
    name : of the values of a Tsd or TsdFrame.
    sampling_rate : Hz; compared with the times.

    Raises
    ------
    FileFormatError, ShapeError, UnitError, DataError
        A member that is needed is an object, or of another length; a TsdTensor; another rate.
    """
    missing = sorted(_KINDS[kind] - set(bag) - {"columns"})
    if missing:
        raise FileFormatError(
            f"{', '.join(missing)} of {source.name}, a {kind} of pynapple, is stored as pickle",
            "Plain arrays were needed: unpickling can run any code",
            "Load it with pynapple, and pass it to nr.data.from_pynapple",
        )
    lengths = {
        k: len(np.atleast_1d(bag[k])) for k in ("t", "d", "index", "start", "end") if k in bag
    }
    for first, other in (("t", "d"), ("t", "index"), ("start", "end")):
        if first in lengths and lengths.get(other, lengths[first]) != lengths[first]:
            raise FileFormatError(
                f"{source.name} holds {lengths[first]} {first} and {lengths[other]} {other}",
                "As many of the one as of the other were needed",
                "Save it again; was the archive put together by hand?",
            )
    recording = from_pynapple(_object(kind, bag), name=name)
    if sampling_rate is not None and "t" in bag and "d" in bag:
        agreed_rate({"sampling_rate=": sampling_rate}, bag["t"], source=source.name)
    if not left:
        return recording
    known = recording.attrs.get("not_read")
    said = (
        f"{', '.join(left)} (Python objects, stored as pickle; "
        f"nr.data.from_pynapple(pynapple.load_file({source.name!r})) keeps them)"
    )
    return recording.assign_attrs(not_read=f"{known}, {said}" if known else said)


def _object(kind: str, bag: Mapping[str, NDArray[Any]]) -> Any:
    if kind == "IntervalSet":
        rest = {k: v for k, v in bag.items() if k not in _OWN}
        return _Support(bag, rest)
    support = _Support(bag)
    if kind == "Ts":
        return _Times(bag["t"], support)
    if kind == "TsGroup":
        return _group(bag, support)
    values = bag["d"]
    columns = bag.get("columns")
    if values.ndim == 2 and (columns is None or len(columns) != values.shape[1]):
        columns = np.arange(values.shape[1])
    return _Values(bag["t"], support, values, columns)


def _group(bag: Mapping[str, NDArray[Any]], support: _Support) -> _Group:
    index = bag["index"]
    keys = np.unique(index) if "keys" not in bag else bag["keys"]
    out = _Group()
    for key in keys.tolist():
        own = index == key
        times = bag["t"][own]
        out[key] = _Values(times, support, bag["d"][own]) if "d" in bag else _Times(times, support)
    out.time_support = support
    out.metadata = {k: v for k, v in bag.items() if k not in _OWN and v.shape == (len(out),)}
    return out
