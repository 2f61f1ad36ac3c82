"""Damage that keeps a file well formed: other values, types and sizes in the places of a tree."""

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io

Rng = np.random.Generator

#: What comes in the place of a value of a dict or a list.
_ODD: tuple[Any, ...] = (
    *(None, [], {}, "x", "", "NaN", -1, 0, 1e308, 2**63, 10**30, True, False, "3", float("nan")),
    *([1, 2], {"a": 1}, [None], [[1]], float("inf"), -5.5, "\udc80", [1e9, 1e9, 1e9]),
)
_LOST = object()


def changed(tree: Any, rng: Rng, odd: tuple[Any, ...] = _ODD) -> Any:
    """Return a tree of dicts and lists in which one place holds something else, or nothing."""
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in list(items):
            places.append((node, key))
            if isinstance(value, dict | list) and len(places) < 5000:
                walk(value)

    if not isinstance(tree, dict | list):
        return odd[int(rng.integers(len(odd)))]
    walk(tree)
    if not places or rng.random() < 0.03:
        return odd[int(rng.integers(len(odd)))]
    node, key = places[int(rng.integers(len(places)))]
    new = (_LOST, *odd)[int(rng.integers(len(odd) + 1))] if rng.random() < 0.8 else _LOST
    if new is not _LOST:
        node[key] = new
    elif isinstance(node, dict):
        del node[key]
    else:
        node.pop(key)
    return tree


def odd_array(value: Any, rng: Rng) -> Any:
    """Return an array of another type, shape or content than the one that is there."""
    a = np.asarray(value)
    numbers = a.astype(float) if a.dtype.kind in "biuf" else np.arange(3.0)
    spoiled = numbers.copy().reshape(-1)
    if spoiled.size:
        spoiled[int(rng.integers(spoiled.size))] = rng.choice([np.nan, np.inf, 1e308, -1e308, -1])
    choices: tuple[Callable[[], Any], ...] = (
        lambda: a[:0] if a.ndim else np.empty(0),
        lambda: np.float64(np.nan),
        lambda: np.array(b"text"),
        lambda: np.array([b"a", b"bc"]),
        lambda: a.T,
        lambda: a[..., None],
        lambda: numbers.astype("S12"),
        lambda: numbers + 1j,
        lambda: numbers > 0,
        lambda: -numbers,
        lambda: spoiled.reshape(numbers.shape),
        lambda: np.full(a.shape, np.nan),
        lambda: np.full(a.shape, 2**64 - 1, np.uint64),
        lambda: np.full(a.shape, -(2**63), np.int64),
        lambda: np.concatenate([a, a]) if a.ndim else np.array([a, a]),
        lambda: a[: len(a) // 2] if a.ndim else np.array([a, a, a]),
        lambda: a.reshape(-1)[:1].reshape(()) if a.size else np.int8(3),
        lambda: np.zeros(a.shape, [("t", "f8"), ("x", "i4")]),
        lambda: numbers.astype(np.float16),
        lambda: rng.permutation(a) if a.ndim else a,
        lambda: np.arange(5) * 10**6,
        lambda: np.empty((0, 4, 0)),
    )
    return choices[int(rng.integers(len(choices)))]()


# ------------------------------------------------------------------ HDF5


def _items(file: Any) -> list[str]:
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name))
    return found


def _datasets(file: Any) -> list[str]:
    return [name for name in _items(file) if isinstance(file[name], h5py.Dataset)]


def _any(names: list[str], rng: Rng) -> str:
    return names[int(rng.integers(len(names)))]


def _in_hdf5(change: Callable[[Any, Rng], None]) -> Callable[[Path, Rng], None]:
    def hit(path: Path, rng: Rng) -> None:
        with h5py.File(path, "r+") as file:
            change(file, rng)

    return hit


def _link_lost(file: Any, rng: Rng) -> None:
    del file[_any(_items(file), rng)]


def _put(file: Any, name: str, value: Any, keep: bool) -> None:
    """Put something in the place of an item, with its attributes or without."""
    kept = dict(file[name].attrs) if keep else {}
    del file[name]
    file[name] = value
    for key, attribute in kept.items():
        if key not in ("REFERENCE_LIST", "DIMENSION_LIST"):
            file[name].attrs[key] = attribute


def _values(file: Any, rng: Rng) -> None:
    name = _any(_datasets(file), rng)
    value = file[name][()]
    if h5py.check_ref_dtype(file[name].dtype) is not None:
        targets = _items(file)
        table = np.asarray(value).reshape(-1).copy()
        table[int(rng.integers(table.size))] = file[_any(targets, rng)].ref
        file[name][...] = table.reshape(np.shape(value))
        return
    if isinstance(value, bytes | str):
        value = np.array(b"x")
    _put(file, name, odd_array(value, rng), keep=rng.random() < 0.7)


def _in_place(file: Any, rng: Rng) -> None:
    """Spoil a few values and leave type and shape."""
    name = _any([n for n in _datasets(file) if file[n].dtype.kind in "biuf"], rng)
    value = np.array(file[name][()])
    flat = value.reshape(-1)
    for _ in range(int(rng.integers(1, 4))):
        new = rng.choice([0, 1, -1, 2**31 - 1, 10**6, 3])
        flat[int(rng.integers(flat.size))] = np.array(new).astype(value.dtype)
    file[name][...] = value


def _group_instead(file: Any, rng: Rng) -> None:
    name = _any(_items(file), rng)
    was_group = isinstance(file[name], h5py.Group)
    del file[name]
    if was_group:
        file[name] = np.arange(4.0)
    else:
        file.create_group(name)["x"] = 1.0


def _declared(file: Any, rng: Rng) -> None:
    """Declare far more than is there."""
    name = _any(_datasets(file), rng)
    item = file[name]
    kept, dtype = dict(item.attrs), item.dtype
    shape = tuple(int(rng.choice([3, 10**4, 10**7, 10**9])) for _ in range(max(1, item.ndim)))
    del file[name]
    made = file.create_dataset(name, shape, dtype, chunks=tuple(min(n, 50) for n in shape))
    for key, attribute in kept.items():
        if key not in ("REFERENCE_LIST", "DIMENSION_LIST"):
            made.attrs[key] = attribute


def _holder(file: Any, rng: Rng) -> Any:
    found = [x for x in [file, *(file[n] for n in _items(file))] if len(x.attrs)]
    return found[int(rng.integers(len(found)))]


def _attribute_lost(file: Any, rng: Rng) -> None:
    item = _holder(file, rng)
    del item.attrs[_any(list(item.attrs), rng)]


def _attribute(file: Any, rng: Rng) -> None:
    item = _holder(file, rng)
    key = _any(list(item.attrs), rng)
    texts = ("", "x", "json:{", "json:[1]", "NaN", "1e308", "\u00e9" * 9)
    if rng.random() < 0.4:
        item.attrs[key] = texts[int(rng.integers(len(texts)))]
    elif rng.random() < 0.1:
        item.attrs[key] = h5py.Empty("f8")
    else:
        old = item.attrs[key]
        item.attrs[key] = odd_array(old if isinstance(old, np.ndarray | np.generic) else 1, rng)


def _trade(file: Any, rng: Rng) -> None:
    names = _items(file)
    a, b = _any(names, rng), _any(names, rng)
    if a == b or a.startswith(f"{b}/") or b.startswith(f"{a}/"):
        return _link_lost(file, rng)
    file.move(a, "kept aside")
    file.move(b, a)
    file.move("kept aside", b)
    return None


def _link_back(file: Any, rng: Rng) -> None:
    """Put a link in the place of an item: to itself, to another item, or to a group above."""
    name = _any(_items(file), rng)
    parent = file[name].parent
    last = name.rpartition("/")[2]
    del parent[last]
    kind = int(rng.integers(4))
    if kind == 0:
        parent[last] = h5py.SoftLink(f"/{name}")
    elif kind == 1:
        parent[last] = h5py.SoftLink("/not/there")
    elif kind == 2:
        parent[last] = parent
    else:
        parent[last] = file[_any(_items(file), rng)]


#: Kinds of damage to an HDF5 file that leave it well formed.
OF_HDF5: dict[str, Callable[[Path, Rng], None]] = {
    "an item lost": _in_hdf5(_link_lost),
    "other values": _in_hdf5(_values),
    "other values again": _in_hdf5(_values),
    "a few values": _in_hdf5(_in_place),
    "a group for an array": _in_hdf5(_group_instead),
    "a size declared": _in_hdf5(_declared),
    "an attribute lost": _in_hdf5(_attribute_lost),
    "an attribute": _in_hdf5(_attribute),
    "an attribute, again": _in_hdf5(_attribute),
    "items swapped": _in_hdf5(_trade),
    "a link": _in_hdf5(_link_back),
}

# ------------------------------------------------------------------ npy, npz, MATLAB

_PICKLED: tuple[Any, ...] = (
    *_ODD, {1, 2}, np.arange(3), np.array(["a"], object), b"x", datetime.datetime(2020, 1, 1),
    np.float64("nan"), np.zeros((2, 0)), (1, (2, [3])),
)  # fmt: skip


def npy(path: Path, rng: Rng) -> None:
    """Save another array; of a dict, one with another value."""
    value = np.load(path, allow_pickle=True)
    if value.dtype == object:
        plain = value.item() if value.ndim == 0 else list(value)
        np.save(path, np.array(changed(plain, rng, _PICKLED), dtype=object), allow_pickle=True)
    else:
        np.save(path, odd_array(value, rng), allow_pickle=False)


def npz(path: Path, rng: Rng) -> None:
    """Save the archive with another array in the place of one."""
    with np.load(path) as archive:
        held = {k: archive[k] for k in archive.files}
    name = _any(list(held), rng)
    held[name] = odd_array(held[name], rng)
    np.savez(path, **held)


def mat(path: Path, rng: Rng) -> None:
    """Save the variables with another value in the place of one, in structs and cells too."""
    held = {k: v for k, v in scipy.io.loadmat(path).items() if not k.startswith("__")}
    name = _any(list(held), rng)
    if rng.random() < 0.1:
        del held[name]
    else:
        held[name] = _other(held[name], rng)
    scipy.io.savemat(path, held or {"nothing": np.zeros((0, 0))})


def _other(value: Any, rng: Rng) -> Any:
    if isinstance(value, np.ndarray) and value.dtype.names and rng.random() < 0.9:
        field = value.dtype.names[int(rng.integers(len(value.dtype.names)))]
        at = tuple(int(rng.integers(n)) for n in value.shape)
        value[at][field] = _other(value[at][field], rng)
        return value
    if isinstance(value, np.ndarray) and value.dtype == object and value.size:
        at = tuple(int(rng.integers(n)) for n in value.shape)
        value[at] = _other(value[at], rng)
        return value
    return odd_array(value if isinstance(value, np.ndarray) else 1, rng)
