"""Hostile arrays and numbers, seeded: each kind is made from a good array of the same place."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
import torch
import xarray as xr

Maker = Callable[[Any, np.random.Generator], Any]


def plain(base: Any) -> np.ndarray:
    """The numbers of a good argument: an array, a DataArray, or a list of arrays."""
    if isinstance(base, xr.Dataset):
        base = next(iter(base.data_vars.values()))
    if isinstance(base, list):
        return np.asarray(base[0])
    return np.asarray(base)


def _with(base: Any, rng: np.random.Generator, value: Any, share: float = 0.0) -> np.ndarray:
    """A copy as floats in which one entry, or a share of them, is replaced."""
    out = np.array(plain(base), dtype=float)
    flat = out.reshape(-1)
    if not flat.size:
        return out
    n = max(1, round(share * flat.size))
    flat[rng.choice(flat.size, n, replace=False)] = value
    return out


def _labelled(base: Any, time: Any = None, dims: Any = None, **coords: Any) -> xr.DataArray:
    if isinstance(base, xr.DataArray) and dims is None:
        changed = base.copy()
        named = {} if time is None or "time" not in base.dims else {"time": time(base)}
        return changed.assign_coords(**named, **coords)
    values = plain(base)
    names = dims or ("time", "unit", "trial", "more")[: values.ndim]
    array = xr.DataArray(values, dims=names)
    if time is not None and "time" in array.dims:
        array = array.assign_coords(time=time(array))
    return array.assign_coords(**coords)


def _steps(array: xr.DataArray) -> np.ndarray:
    return (np.arange(array.sizes["time"]) + 1) * 0.05


def _gap(size: float) -> Maker:
    def stamps(array: xr.DataArray) -> np.ndarray:
        known = array["time"].values if "time" in array.coords else _steps(array)
        time = np.array(known, dtype=float)
        time[len(time) // 2 :] += size
        return time

    return lambda base, rng: _labelled(base, stamps)


def _time(make: Callable[[xr.DataArray], Any]) -> Maker:
    return lambda base, rng: _labelled(base, make)


def _nan_time(array: xr.DataArray) -> np.ndarray:
    time = _steps(array)
    time[len(time) // 2 :][:1] = np.nan
    return time


def _duplicated(base: Any, rng: np.random.Generator) -> xr.DataArray:
    array = _labelled(base)
    last = array.dims[-1] if array.dims else None
    return array if last is None else array.assign_coords({last: np.zeros(array.sizes[last])})


def _structured(base: Any, rng: np.random.Generator) -> np.ndarray:
    return np.zeros(plain(base).shape, dtype=[("t", "f8"), ("x", "i4")])


def _ragged(base: Any, rng: np.random.Generator) -> list[Any]:
    rows = [np.atleast_1d(row).tolist() for row in np.atleast_1d(plain(base))[:6]]
    return [row[: 1 + k % 2] if len(row) > 1 else row * (1 + k % 2) for k, row in enumerate(rows)]


def _uneven(base: Any, rng: np.random.Generator) -> list[Any]:
    a = np.atleast_2d(plain(base))
    return [a, a[: len(a) // 2], a[:, :1]]


def _frame(base: Any, rng: np.random.Generator) -> pd.DataFrame:
    a = plain(base)
    return pd.DataFrame(a.reshape(len(a), -1) if a.ndim else [[float(a)]])


def _text_frame(base: Any, rng: np.random.Generator) -> pd.DataFrame:
    return _frame(base, rng).astype(object).assign(name="x")


def _masked(share: float) -> Maker:
    def make(base: Any, rng: np.random.Generator) -> Any:
        a = np.array(plain(base), dtype=float)
        mask = rng.random(a.shape) < share
        return np.ma.masked_array(np.where(mask, -999.0, a), mask=mask)

    return make


def _cast(dtype: Any) -> Maker:
    def make(base: Any, rng: np.random.Generator) -> Any:
        with np.errstate(all="ignore"):
            return plain(base).astype(dtype)

    return make


def _text(base: Any, rng: np.random.Generator) -> np.ndarray:
    return np.full(plain(base).shape, "spike", dtype="U8")


def _object_with(value: Any) -> Maker:
    def make(base: Any, rng: np.random.Generator) -> Any:
        a = plain(base).astype(object)
        if a.size:
            a.reshape(-1)[0] = value
        return a

    return make


def _strided(base: Any, rng: np.random.Generator) -> np.ndarray:
    a = plain(base)
    return np.repeat(a, 2, axis=0)[::2] if a.ndim else a


def _read_only(base: Any, rng: np.random.Generator) -> np.ndarray:
    a = plain(base).copy()
    a.setflags(write=False)
    return a


def _reversed_twice(base: Any, rng: np.random.Generator) -> np.ndarray:
    a = plain(base)
    return np.ascontiguousarray(a[::-1])[::-1] if a.ndim else a


def _self_holding(base: Any, rng: np.random.Generator) -> list[Any]:
    out: list[Any] = []
    out.append([out])
    return out


#: Good numbers in an odd layout: these must be taken.
LAYOUTS: dict[str, Maker] = {
    "read-only": _read_only,
    "Fortran order": lambda b, r: np.asfortranarray(plain(b)),
    "negative strides": _reversed_twice,
    "every other row": _strided,
    "big-endian": lambda b, r: plain(b).astype(plain(b).dtype.newbyteorder(">")),
    "float32": lambda b, r: plain(b).astype(np.float32),
    "masked, nothing under it": _masked(0.0),
}

KINDS: dict[str, Maker] = {
    "no rows": lambda b, r: plain(b)[:0] if plain(b).ndim else np.empty(0),
    "no columns": lambda b, r: plain(b)[..., :0] if plain(b).ndim else np.empty((0, 0)),
    "0-d": lambda b, r: np.array(1.5),
    "a number": lambda b, r: 3.5,
    "NaN alone": lambda b, r: float("nan"),
    "one row": lambda b, r: np.atleast_1d(plain(b))[:1],
    "two rows": lambda b, r: np.atleast_1d(plain(b))[:2],
    "an axis more behind": lambda b, r: plain(b)[..., None],
    "an axis more in front": lambda b, r: plain(b)[None],
    "flat": lambda b, r: plain(b).ravel(),
    "transposed": lambda b, r: plain(b).T,
    "a row less": lambda b, r: np.atleast_1d(plain(b))[:-1],
    "a column more": lambda b, r: np.concatenate([plain(b)] * 2, axis=-1) if plain(b).ndim else b,
    "object numbers": lambda b, r: plain(b).astype(object),
    "object with None": _object_with(None),
    "object with text": _object_with("x"),
    "object with a list": _object_with([1, 2]),
    "object with a huge int": _object_with(10**400),
    "text": _text,
    "numbers as text": lambda b, r: plain(b).astype(str),
    "bytes": lambda b, r: np.full(plain(b).shape, b"ab"),
    "a word": lambda b, r: "hello",
    "a byte string": lambda b, r: b"\x00\xff",
    "complex": lambda b, r: plain(b) + 1j,
    "bool": lambda b, r: plain(b).astype(float) > 0,
    "datetime64": lambda b, r: np.full(plain(b).shape, np.datetime64("2020-01-01T00:00:00", "ns")),
    "timedelta64": lambda b, r: np.full(plain(b).shape, np.timedelta64(3, "ms")),
    "NaT": lambda b, r: np.full(plain(b).shape, np.datetime64("NaT")),
    "structured": _structured,
    "all NaN": lambda b, r: _with(b, r, np.nan, 1.0),
    "one NaN": lambda b, r: _with(b, r, np.nan),
    "a third NaN": lambda b, r: _with(b, r, np.nan, 0.33),
    "one inf": lambda b, r: _with(b, r, np.inf),
    "one -inf": lambda b, r: _with(b, r, -np.inf),
    "all inf": lambda b, r: _with(b, r, np.inf, 1.0),
    "one netCDF fill value": lambda b, r: _with(b, r, 9.969209968386869e36),
    "a third netCDF fill values": lambda b, r: _with(b, r, 9.969209968386869e36, 0.33),
    "one 1e300": lambda b, r: _with(b, r, 1e300),
    "one largest float": lambda b, r: _with(b, r, np.finfo(float).max),
    "one least float": lambda b, r: _with(b, r, -np.finfo(float).max),
    "all 1e300": lambda b, r: _with(b, r, 1e300, 1.0),
    "huge uint64": lambda b, r: np.full(plain(b).shape, 2**64 - 1, dtype=np.uint64),
    "one huge uint64": lambda b, r: _with(b, r, 2.0**63, 0.0).astype(np.uint64),
    "least int64": lambda b, r: np.full(plain(b).shape, np.iinfo(np.int64).min),
    "overflowed int8": lambda b, r: (np.arange(plain(b).size).reshape(plain(b).shape) * 77).astype(
        np.int8
    ),
    "float16 overflow": lambda b, r: np.full(plain(b).shape, 1e6).astype(np.float16),
    "long double": _cast(np.longdouble),
    "denormals": lambda b, r: np.full(plain(b).shape, 5e-324),
    "zeros": lambda b, r: np.zeros(plain(b).shape),
    "constant": lambda b, r: np.ones(plain(b).shape),
    "negative": lambda b, r: -np.abs(plain(b).astype(float)) - 1,
    "masked": _masked(0.2),
    "all masked": _masked(1.1),
    "np.matrix": lambda b, r: np.asmatrix(
        np.atleast_2d(plain(b)).reshape(len(np.atleast_2d(plain(b))), -1)
    ),
    "DataArray, wrong dims": lambda b, r: _labelled(b, dims=tuple("abcd"[: plain(b).ndim])),
    "DataArray, duplicate labels": _duplicated,
    "DataArray, no coords": lambda b, r: _labelled(xr.DataArray(plain(b)).values),
    "DataArray, time backwards": _time(lambda a: _steps(a)[::-1]),
    "DataArray, one NaN in time": _time(_nan_time),
    "DataArray, time stands still": _time(lambda a: np.zeros(a.sizes["time"])),
    "DataArray, datetime time": _time(
        lambda a: np.datetime64("2020-01-01", "ns") + np.arange(a.sizes["time"])
    ),
    "DataArray, text time": _time(lambda a: [f"t{k}" for k in range(a.sizes["time"])]),
    "DataArray, gap of 1e6 s": _gap(1e6),
    "DataArray, gap of 30 days": _gap(30 * 86400.0),
    "DataArray, gap of 1e12 s": _gap(1e12),
    "DataArray, rate as text": lambda b, r: _labelled(b).assign_attrs(sampling_rate="fast"),
    "DataArray, rate 0": lambda b, r: _labelled(b).assign_attrs(sampling_rate=0.0),
    "DataArray, bin size NaN": lambda b, r: _labelled(b).assign_attrs(bin_size=np.nan),
    "Dataset": lambda b, r: xr.Dataset({"x": _labelled(b)}),
    "ragged list": _ragged,
    "list of unequal arrays": _uneven,
    "empty list": lambda b, r: [],
    "list of empty lists": lambda b, r: [[], []],
    "None": lambda b, r: None,
    "set": lambda b, r: {1.0, 2.0},
    "generator": lambda b, r: (x for x in (1.0, 2.0)),
    "dict": lambda b, r: {"a": plain(b)},
    "function": lambda b, r: abs,
    "object": lambda b, r: object(),
    "list that holds itself": _self_holding,
    "DataFrame": _frame,
    "DataFrame with text": _text_frame,
    "Series": lambda b, r: pd.Series(plain(b).ravel()),
    "sparse": lambda b, r: scipy.sparse.csr_array(
        np.atleast_2d(np.nan_to_num(plain(b).astype(float))).reshape(
            len(np.atleast_2d(plain(b))), -1
        )
    ),
    "tensor with gradient": lambda b, r: torch.as_tensor(plain(b).astype(float)).requires_grad_(),
    "bfloat16 tensor": lambda b, r: torch.as_tensor(plain(b).astype(float)).to(torch.bfloat16),
    "sparse tensor": lambda b, r: torch.as_tensor(plain(b).astype(float)).to_sparse(),
    **LAYOUTS,
}

#: Kinds of numbers in the place of a number.
SCALARS: dict[str, Any] = {
    "NaN": float("nan"), "inf": float("inf"), "-inf": float("-inf"), "0": 0, "-1": -1,
    "1e300": 1e300, "1e-300": 1e-300, "1e9": 1e9, "10**400": 10**400, "0.5": 0.5,
    "text": "fast", "number as text": "0.1", "bytes": b"1", "None": None, "True": True,
    "complex": 1j, "two numbers": np.array([0.1, 0.2]), "0-d array": np.array(0.1),
    "one number in a list": [0.1], "empty list": [], "dict": {"a": 1}, "tuple": (1.0, 2.0),
    "datetime64": np.datetime64("2020-01-01"), "timedelta64": np.timedelta64(3, "s"),
    "NaN float32": np.float32("nan"), "object": object(), "function": abs, "-0.0": -0.0,
}  # fmt: skip
