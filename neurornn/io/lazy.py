"""Values that stay on disk until they are used: damage that is met then is explained too."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray, BackendEntrypoint
from xarray.core import indexing

from neurornn.io.sources import explained


class _Explained(BackendArray):
    """Values of a variable that are on disk; what goes wrong as they are read is explained."""

    def __init__(self, variable: xr.Variable, path: Path, format: str) -> None:
        self.shape, self.dtype = variable.shape, variable.dtype
        self._variable, self._path, self._format = variable, path, format

    def __getitem__(self, key: Any) -> Any:
        support = indexing.IndexingSupport.OUTER
        return indexing.explicit_indexing_adapter(key, self.shape, support, self._read)

    def _read(self, key: tuple[Any, ...]) -> Any:
        with explained(self._path, self._format):
            values = self._variable[key].values
            wanted = _shape_of(key, self.shape)
            if values.shape != wanted:
                raise ValueError(f"values of shape {wanted} came as {values.shape}")
            return values


def _shape_of(key: tuple[Any, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of what a key takes out of an array."""
    out = []
    for part, n in zip(key, shape, strict=True):
        if isinstance(part, slice):
            out.append(len(range(*part.indices(n))))
        elif np.ndim(part):
            out.append(len(part))
    return tuple(out)


class _Told(BackendEntrypoint):
    """Opens a file as another engine does, with its variables as `_Explained`."""

    description = "Another engine of xarray, with errors in three parts"

    def open_dataset(  # type: ignore[override]  # xarray leaves the options to the engine
        self,
        filename_or_obj: Path,
        *,
        drop_variables: Any = None,
        inner: str,
        format: str,
        options: dict[str, Any],
    ) -> xr.Dataset:
        path = Path(filename_or_obj)
        opened = xr.open_dataset(path, engine=inner, cache=False, **options)  # type: ignore[arg-type]
        odd = [name for name in opened.dims if not isinstance(name, str)]
        if odd:
            raise ValueError(f"an axis is called {odd[0]!r}, which is no text")
        variables = {}
        for name, variable in opened.variables.items():
            if name not in opened.xindexes:
                held = indexing.LazilyIndexedArray(_Explained(variable, path, format))
                variable = xr.Variable(
                    variable.dims, held, variable.attrs, variable.encoding, fastpath=True
                )
            variables[name] = variable
        coords = {name: variables.pop(name) for name in opened.coords}
        table = xr.Dataset(variables, coords, opened.attrs)
        table.encoding = opened.encoding
        table.set_close(opened.close)
        return table


def open_lazily(
    path: Path, engine: str, format: str, *, chunks: Any, **options: Any
) -> xr.Dataset:
    """Open a file or store without reading its values; what is wrong with them is said later.

    Parameters
    ----------
    path : file, or Zarr folder.
    engine : of xarray.
    format : as a person would call it, for messages.
    chunks : as in `xarray.open_dataset`; None for arrays that are read when they are asked for.
    **options : for that engine.
    """
    return xr.open_dataset(
        path, engine=_Told, chunks=chunks, inner=engine, format=format, options=options
    )
