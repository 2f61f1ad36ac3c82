"""What lies in a MATLAB file: structs and cells as one tree, and how its arrays are named."""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurornn._core.errors import FileFormatError, NameUnknownError, nearest
from neurornn.io.arrays import TRACES, numeric
from neurornn.io.clocks import is_interval, is_rate, is_time, plain, statement
from neurornn.io.hdf5 import gaps_of
from neurornn.io.limits import check_hdf5, check_size, datasets, hard_items
from neurornn.io.matlab_v5 import check_v5
from neurornn.io.spike_lists import is_owner, is_spike_times

#: Bytes of one value of a MATLAB class.
_SIZES = {"int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "single": 4}
#: Structs in structs; those of people are a few deep, and Python stops at a thousand calls.
_DEEPEST = 100
#: Arrays of a tree. A few bytes can name one cell over and over, in cells of cells.
_MOST = 1_000_000
#: Arrays that a message lists.
_LISTED = 20
#: Signals whose rate is not that of the traces.
_OTHERS = re.compile(
    r"ephys|lfp|eeg|emg|ecg|wheel|cam|video|audio|daq|stim|behav|lick|track|spike|raw", re.I
)


class StructArray(list[Any]):
    """The elements of an array of structs, in the order of MATLAB; a plain list is a cell."""


# ------------------------------------------------------------------ loading


def load_matlab(path: Path) -> dict[str, Any]:
    """Load a MATLAB file into arrays, text, lists (cells, arrays of structs) and dicts (structs).

    Parameters
    ----------
    path : .mat file, v4 to v7.3.

    Raises
    ------
    FileFormatError
        More than is allowed; cells of version 7.3 that lie in themselves.
    """
    import h5py

    if h5py.is_hdf5(path):
        with h5py.File(path, "r") as file:
            check_hdf5(file, path.name, everything=True)
            tree = _Tree(file, path)
            inside = hard_items(file).items()
            return {k: tree.load(v, k) for k, v in inside if not k.startswith("#")}
    import scipy.io

    check_v5(path, _DEEPEST)
    for name, shape, kind in scipy.io.whosmat(path):
        check_size(math.prod(shape) * _SIZES.get(kind, 8), f"{name} {tuple(shape)}", path.name)
    content = scipy.io.loadmat(path)
    return {k: _from_v5(v) for k, v in content.items() if not k.startswith("__")}


def gaps_in(path: Path) -> dict[str, FileFormatError]:
    """Return the arrays of a file of version 7.3 that were not written to their end.

    Parameters
    ----------
    path : .mat file.
    """
    import h5py

    if not h5py.is_hdf5(path):
        return {}
    found: dict[str, FileFormatError] = {}
    with h5py.File(path, "r") as file:
        for key, item in datasets(file):
            if not key.startswith("#") and "MATLAB_empty" not in item.attrs:
                found |= gaps_of(item, key, path.name)
    return found


def _from_v5(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.names is not None:
        structs = StructArray(
            {n: _from_v5(item[n]) for n in value.dtype.names} for item in value.ravel(order="F")
        )
        return structs[0] if len(structs) == 1 else structs
    if value.dtype == object:
        return [_from_v5(item) for item in value.ravel(order="F")]
    if value.dtype.kind == "U":
        return str(value.ravel()[0]) if value.size else ""
    return value


class _Tree:
    """Loads groups and references of a file of version 7.3, each object once."""

    def __init__(self, file: Any, path: Path) -> None:
        self._file, self._source = file, path.name
        self._room = path.stat().st_size
        self._references = 0
        self._done: dict[tuple[int, int], Any] = {}
        self._open: set[tuple[int, int]] = set()

    def load(self, item: Any, path: str) -> Any:
        """Load a group or data set; `path` says where it was met."""
        import h5py

        about = h5py.h5o.get_info(item.id)
        place = (about.fileno, about.addr)
        if place in self._open:
            raise FileFormatError(
                f"{path} of {self._source} lies in itself: {item.name} holds a reference, or a "
                "link, to what it is part of",
                "Structs and cells that end were needed",
                "MATLAB does not write such a file: it is damaged, copy it again",
            )
        if len(self._open) > _DEEPEST:
            raise FileFormatError(
                f"{path[:60]}... of {self._source} lies in more than {_DEEPEST} structs and cells",
                "A file that MATLAB has written was needed",
                "It is damaged: copy it again, or save the traces as a matrix of their own",
            )
        if place not in self._done:
            self._open.add(place)
            try:
                self._done[place] = self._load(item, path)
            finally:
                self._open.remove(place)
        return self._done[place]

    def _load(self, item: Any, path: str) -> Any:
        import h5py

        if isinstance(item, h5py.Group):
            inside = {k: self.load(v, f"{path}.{k}") for k, v in hard_items(item).items()}
            return _structs(item, inside)
        kind = item.attrs.get("MATLAB_class", b"")
        kind = kind.decode() if isinstance(kind, bytes) else str(kind)
        if item.attrs.get("MATLAB_empty", 0):
            return [] if kind == "cell" else "" if kind == "char" else np.empty((0, 0))
        if h5py.check_ref_dtype(item.dtype) is not None:
            self._references += int(item.size)
            # Each one leads to an object, which takes more than a byte of the file.
            if self._references > self._room:
                raise FileFormatError(
                    f"{path} of {self._source} declares {item.size} cells in a file of "
                    f"{self._room} bytes",
                    "As many cells as are there were needed",
                    "It is cut short or damaged: copy it again",
                )
            cells = item[()].ravel()
            return [self.load(self._file[r], f"{path}{{{k}}}") for k, r in enumerate(cells, 1)]
        # HDF5 stores the axes of a MATLAB matrix in reverse order.
        value = np.asarray(item[()]).T
        if kind == "char":
            return "".join(chr(code) for code in value.ravel(order="C"))
        return value


def _structs(group: Any, inside: dict[str, Any]) -> Any:
    """Turn fields that hold one value for each struct of an array into those structs."""
    import h5py

    fields = [group[k] for k in inside]
    # The fields of one struct have a class, cells too; those of an array of structs have none.
    spread = [
        isinstance(f, h5py.Dataset)
        and h5py.check_ref_dtype(f.dtype) is not None
        and "MATLAB_class" not in f.attrs
        for f in fields
    ]
    if not spread or not all(spread) or len({f.shape for f in fields}) > 1 or group.name == "/":
        return inside
    n = len(next(iter(inside.values())))
    return StructArray({name: values[k] for name, values in inside.items()} for k in range(n))


# ------------------------------------------------------------------ names


def leaves(tree: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return everything in a tree that is no struct and no cell: path -> value.

    Parameters
    ----------
    tree : as `load_matlab` returns it.
    source : name of the file, for messages.

    Returns
    -------
    Paths such as ``exp/trial{2}/dff``; structs stand before a slash, as groups of HDF5 do.
    """
    found: dict[str, Any] = {}
    for path, value in _walk(tree, ""):
        found[path] = value
        if len(found) > _MOST:
            raise FileFormatError(
                f"{source} holds more than {_MOST:,} arrays in its structs and cells",
                "A file whose arrays can be listed was needed",
                "It is damaged, or one array was saved value by value: save it as a matrix",
            )
    return found


def _walk(value: Any, path: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    if depth > _DEEPEST:
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _walk(item, f"{path}/{key}" if path else key, depth + 1)
    elif isinstance(value, list):
        left, right = "()" if isinstance(value, StructArray) else "{}"
        for k, item in enumerate(value, start=1):
            yield from _walk(item, f"{path}{left}{k}{right}", depth + 1)
    else:
        yield path, value


def spelled(path: str) -> str:
    """Return a path as one writes it in MATLAB.

    Examples
    --------
    >>> spelled("exp/trial{2}/dff")
    'exp.trial{2}.dff'
    """
    return path.replace("/", ".")


def without_numbers(path: str) -> str:
    """Return a path without the numbers of cells and structs.

    Examples
    --------
    >>> without_numbers("exp/trial{2}/dff")
    'exp/trial/dff'
    """
    return re.sub(r"[({]\d+[)}]", "", path)


def find_arrays(flat: Mapping[str, Any], variable: str, source: str) -> list[str]:
    """Return the paths of the arrays that a name stands for: one, or those of all trials.

    Parameters
    ----------
    flat : path -> value.
    variable : as one writes it in MATLAB, ``exp.trial{2}.dff``; ``exp/dff`` as in HDF5; the last
        part alone where it is the only one; without the numbers for every cell, or struct.
    source : name of the file, for messages.

    Raises
    ------
    NameUnknownError
        No array, or several, of that name.
    """
    arrays = numeric(flat)
    wanted = variable.strip().replace(".", "/").replace(" ", "").strip("/")
    # Structs and cells are often both written with round brackets.
    wanted = re.sub(r"[({]([\d,]+)[)}]", r"<\1>", wanted)
    plainly = {re.sub(r"[({](\d+)[)}]", r"<\1>", k): k for k in arrays}
    if wanted in plainly:
        return [plainly[wanted]]
    ends = [k for p, k in plainly.items() if p.endswith("/" + wanted)]
    if len(ends) == 1:
        return ends
    groups: dict[str, list[str]] = {}
    for k in arrays:
        name = without_numbers(k)
        if name == wanted or name.endswith("/" + wanted):
            groups.setdefault(name, []).append(k)
    if wanted in groups:
        return groups[wanted]
    if len(groups) == 1:
        return next(iter(groups.values()))
    names = [spelled(k) for k in groups or ()]
    raise NameUnknownError(
        f"{source} has no numeric variable {variable!r}"
        if not names
        else f"{variable!r} may be any of {', '.join(names[:_LISTED])} of {source}",
        f"One of its numeric variables was needed: {listing(arrays)}",
        f'Pass variable="{names[0]}"'
        if names
        else nearest(variable, sorted({spelled(without_numbers(k)) for k in arrays})),
    )


def listing(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Name arrays with their shapes; of the cells of one name the first, and how many more."""
    groups: dict[str, list[str]] = {}
    for k in arrays:
        groups.setdefault(without_numbers(k), []).append(k)
    shown = [
        f"{spelled(keys[0])} {arrays[keys[0]].shape} {arrays[keys[0]].dtype}"
        + (f" and {len(keys) - 1} more" if len(keys) > 1 else "")
        for keys in groups.values()
    ]
    rest = [f"... {len(shown) - _LISTED} more"] if len(shown) > _LISTED else []
    return ", ".join([*shown[:_LISTED], *rest]) or "none"


def choose_array(flat: Mapping[str, Any], source: str) -> str | None:
    """Return the path of the one array that must be the traces.

    Parameters
    ----------
    flat : path -> value.
    source : name of the file, for messages.

    Returns
    -------
    None where only matrices outside of structs and cells, or spikes, come into question.

    Raises
    ------
    NameUnknownError
        Several arrays in structs and cells, and no way to choose.
    """
    arrays = numeric(flat)
    inside = {k: v for k, v in arrays.items() if re.search(r"[/({]", k) and _may_be_traces(k, v)}
    known = [k for k in arrays if k.split("/")[-1].lower() in TRACES]
    if len(known) == 1:
        return known[0]
    if not inside or any(is_spike_times(without_numbers(k)) for k in arrays):
        return None
    top = [k for k, v in arrays.items() if k not in inside and _may_be_traces(k, v)]
    largest = max(v.size for v in inside.values())
    if not known and len(top) == 1 and arrays[top[0]].size > largest:
        return top[0]
    if not known and not top and len(inside) == 1:
        return next(iter(inside))
    first = (known or [max(inside, key=lambda k: inside[k].size)])[0]
    trials = [k for k in inside if without_numbers(k) == without_numbers(first)]
    whole = spelled(without_numbers(first))
    raise NameUnknownError(
        f"{source} holds these numeric variables: {listing(arrays)}",
        "The name of the one that holds the traces was needed",
        f'Pass it: nr.open("{source}", variable="{spelled(first)}")'
        + (f', or variable="{whole}" for all {len(trials)} of them' if len(trials) > 1 else ""),
    )


def _may_be_traces(key: str, value: NDArray[Any]) -> bool:
    last = without_numbers(key)
    named = is_time(last) or is_rate(last) or is_spike_times(last) or is_owner(last)
    return not named and value.ndim == 2 and value.size > 3 and "/ops/" not in f"/{key}"


def rates_elsewhere(flat: Mapping[str, Any], key: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what structs that the traces do not lie in state about the rate.

    Parameters
    ----------
    flat : path -> value.
    key : path of the traces.

    Returns
    -------
    sure : name -> rate, where one struct, or several that agree, describe the recording: they
        hold numbers and text and no arrays, and are not called after another signal.
    offered : name -> rate of all others.
    """
    sizes: dict[str, int] = {}
    for k, v in flat.items():
        folder = k.rpartition("/")[0]
        if isinstance(v, np.ndarray) and v.dtype.kind in "biuf":
            sizes[folder] = max(sizes.get(folder, 0), int(v.size))
    sure: dict[str, Any] = {}
    offered: dict[str, Any] = {}
    for k, v in flat.items():
        folder = k.rpartition("/")[0]
        single = isinstance(v, np.ndarray) and v.size == 1 and v.dtype.kind in "iuf"
        if not folder or not single or plain(k) == "rate" or key.startswith(folder + "/"):
            continue
        if not (is_rate(k) or is_interval(k)):
            continue
        stated = statement(k, float(v.ravel()[0]), spelled(k))
        # A position or a size may be a few numbers; a signal is more.
        described = sizes.get(folder, 0) <= 16 and not _OTHERS.search(k)
        (sure if described else offered).update(stated)
    return sure, offered
