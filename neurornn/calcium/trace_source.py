"""Where the cells of a chunk are read from: an array in memory, a file or a cluster behind it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_finite_or_missing
from neurornn._core.errors import DataError, ShapeError
from neurornn._core.files import fingerprint
from neurornn._core.jobs import chunk_slices
from neurornn.data.labelled import as_labelled
from neurornn.data.samples import Samples
from neurornn.data.series import as_series


class Chunk(NamedTuple):
    """What `fit_cells` is called with for one chunk.

    Attributes
    ----------
    values : (time, unit), float64, or a Dask array of the same shape.
    first_unit : position of its first unit among all.
    """

    values: Any
    first_unit: int


class TraceSource(Sequence[Chunk]):
    """The traces of a recording, cut into chunks of cells that are read when they are asked for.

    Parameters
    ----------
    data : see `Kinetics.fit`. What is in memory is checked at once; a variable that is still in
        its file (opened lazily), on a Dask cluster, or memory-mapped is read chunk by chunk.
    sampling_rate : Hz, or None.
    chunk_size : cells per chunk.
    min_frames : fewest frames that are accepted.
    name : what the data are called in messages.
    on_cluster : leave the chunks of a Dask array to the workers of a client.
    """

    def __init__(
        self,
        data: Any,
        sampling_rate: float | None,
        chunk_size: int,
        *,
        min_frames: int,
        on_cluster: bool = False,
        name: str = "fluorescence",
    ) -> None:
        data = as_labelled(data)
        self.is_lazy = _is_lazy(data)
        self._on_cluster = on_cluster
        if self.is_lazy:
            _check_shape(data.shape, isinstance(data, xr.DataArray))
            # The clock and the labels are checked with a stand-in of one unit.
            self._data = data.transpose("time", "unit") if isinstance(data, xr.DataArray) else data
            head = as_series(
                _stand_in(self._data),
                sampling_rate=sampling_rate,
                min_frames=min_frames,
                name=name,
            )
            labels = np.arange(self._data.shape[1])
            if isinstance(data, xr.DataArray) and "unit" in data.coords:
                labels = data["unit"].values
            self.traces = head._replace(values=np.empty((len(head.clock), 0)), unit=labels)
        else:
            self.traces = as_series(
                data, sampling_rate=sampling_rate, min_frames=min_frames, name=name
            )
        self._slices = chunk_slices(len(self.traces.unit), chunk_size)

    def __len__(self) -> int:
        return len(self._slices)

    def __getitem__(self, k: Any) -> Any:
        s = self._slices[k]
        if not self.is_lazy:
            return Chunk(np.ascontiguousarray(self.traces.values[:, s]), s.start)
        part = self._data[:, s]
        if self._on_cluster and _is_dask(part):
            return Chunk(part.data.rechunk(part.shape), s.start)
        return Chunk(read_chunk(part), s.start)

    def key(self, *settings: object) -> str:
        """Hash of everything that decides about the results, the data read chunk by chunk."""
        traces: Samples = self.traces
        if not self.is_lazy:
            return fingerprint(traces.values, traces.clock, *settings)
        hashes = [fingerprint(read_chunk(self._data[:, s])) for s in self._slices]
        return fingerprint(hashes, traces.clock, *settings)


def _check_shape(shape: tuple[int, ...], has_named_axes: bool) -> None:
    if 0 in shape:
        raise DataError(
            f"fluorescence is empty, shape {shape}",
            "At least 20 frames of one unit were needed",
            "Check the selection of units and of time",
        )
    if not has_named_axes and shape[0] < min(shape[1], 500):
        raise ShapeError(
            f"fluorescence has {shape[0]} frames of {shape[1]} units",
            "Time along the first axis, (time, unit), was needed",
            "If the axes are (unit, time), pass its transpose",
        )


def read_chunk(part: Any) -> NDArray[np.float64]:
    """Values of a few units as float64, checked."""
    values = np.ascontiguousarray(np.asarray(part), dtype=np.float64)
    check_finite_or_missing(values, "fluorescence")
    return values


def _is_dask(data: Any) -> bool:
    return isinstance(data, xr.DataArray) and data.chunks is not None


def _is_lazy(data: Any) -> bool:
    if isinstance(data, xr.DataArray):
        return set(data.dims) == {"time", "unit"} and not data.variable._in_memory
    return isinstance(data, np.memmap) and data.ndim == 2 and data.dtype.kind in "iuf"


def _stand_in(data: Any) -> Any:
    """One unit that changes over time, with the clock and the attributes of the data."""
    ramp = np.arange(data.shape[0], dtype=float)[:, None]
    if not isinstance(data, xr.DataArray):
        return ramp
    coords = {"time": data["time"]} if "time" in data.coords else {}
    return xr.DataArray(ramp, dims=("time", "unit"), coords=coords, attrs=data.attrs)
