"""Where the outputs of a stream go, piece by piece: memory, an array of the user's, or a file."""

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.errors import DataError, FileFormatError, KindError, ShapeError
from neurornn._core.files import atomic_path
from neurornn.io.netcdf import write_groups

Array = NDArray[Any]

#: Variables of a stream -> the dimension of their columns.
COLUMNS = {"outputs": "output", "states": "state"}
#: Rows of a netCDF file that lie in one piece.
_ROWS = 8192
#: Bytes of a disk that are left free.
_SPARE = 1_000_000


class Table:
    """Rows of all sequences, one sequence after the other, in memory or in a file.

    Parameters
    ----------
    rows : (row, column), anything that slices read and write as they do an array.
    """

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def put(self, start: int, values: Array, columns: list[int], add: bool) -> None:
        """Write some rows, or add to what stands there.

        Parameters
        ----------
        start : first row.
        values : (row, column).
        columns : where its columns go, rising.
        add : another run has written to the same columns.
        """
        if not columns or not len(values):
            return
        across: Any = columns
        if columns[-1] - columns[0] == len(columns) - 1:
            across = slice(columns[0], columns[-1] + 1)
        place = (slice(start, start + len(values)), across)
        # A sum of two does not depend on which of them came first.
        self.rows[place] = self.rows[place] + values if add else values


class _RowsOfFile:
    """Rows of a .npy file, of which only those at hand are mapped to memory."""

    def __init__(self, path: Path, shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
        self.path, self.shape, self.dtype = path, shape, dtype
        with path.open("wb") as file:
            header = np.lib.format.header_data_from_array_1_0(np.empty((0, shape[1]), dtype))
            np.lib.format.write_array_header_1_0(file, {**header, "shape": shape})
            self.begin = file.tell()
            file.truncate(self.begin + shape[0] * shape[1] * dtype.itemsize)

    def _mapped(self, rows: slice) -> Array:
        n, row = rows.stop - rows.start, self.shape[1] * self.dtype.itemsize
        where = self.begin + rows.start * row
        return np.memmap(self.path, self.dtype, "r+", where, (n, self.shape[1]))

    def __getitem__(self, place: tuple[slice, Any]) -> Array:
        return np.array(self._mapped(place[0])[:, place[1]])

    def __setitem__(self, place: tuple[slice, Any], values: Array) -> None:
        self._mapped(place[0])[:, place[1]] = values


@contextmanager
def tables(
    out: Any,
    labelled: xr.Dataset,
    along: str,
    dtype: np.dtype[Any],
    widths: Mapping[str, int],
    n_rows: int,
    overwrite: bool,
) -> Iterator[dict[str, Table]]:
    """Give a table for each variable; a file stands whole at its place once the block ends well.

    Parameters
    ----------
    out : None, an array (row, output), or the path of a .nc or .npy file.
    labelled : labels and attrs of the result, without its large variables.
    along : the dimension of the rows.
    dtype : of the variables.
    widths : variable -> columns.
    n_rows : letters of all sequences.
    overwrite : replace a file that stands there.
    """
    if out is None:
        yield {name: Table(np.zeros((n_rows, n), dtype)) for name, n in widths.items()}
    elif not isinstance(out, str | os.PathLike):
        yield {"outputs": Table(_checked_array(out, (n_rows, widths["outputs"]), dtype, widths))}
    elif file_kind(out, widths) == ".npy":
        with atomic_path(out, overwrite=overwrite) as temporary:
            _check_space(temporary, n_rows * sum(widths.values()) * dtype.itemsize)
            shape = (n_rows, widths["outputs"])
            yield {"outputs": Table(_RowsOfFile(temporary, shape, dtype))}
    else:
        import h5netcdf

        with atomic_path(out, overwrite=overwrite) as temporary:
            _check_space(temporary, n_rows * sum(widths.values()) * dtype.itemsize)
            write_groups(temporary, {"/": labelled})
            with h5netcdf.File(temporary, "a") as file:
                file.dimensions[along] = n_rows
                made = {}
                for name, n in widths.items():
                    if COLUMNS[name] not in file.dimensions:
                        file.dimensions[COLUMNS[name]] = n
                    pieces = {"chunks": (min(_ROWS, n_rows), n)} if n_rows else {}
                    made[name] = file.create_variable(
                        name, (along, COLUMNS[name]), dtype, **pieces
                    )
                yield {name: Table(rows) for name, rows in made.items()}


def file_kind(out: Any, widths: Mapping[str, int]) -> str:
    """Return ``".nc"`` or ``".npy"``, or say what a stream writes."""
    suffix = Path(os.fspath(out)).suffix.lower()
    if suffix not in (".nc", ".npy"):
        raise FileFormatError(
            f"out is {os.fspath(out)!r}",
            "A path that ends in .nc or .npy, an array or None was needed",
            "Pass for example out='outputs.nc'",
        )
    if suffix == ".npy" and len(widths) > 1:
        raise DataError(
            f"{os.fspath(out)!r} was to hold outputs and states",
            "A .nc file was needed: a .npy file holds one array",
            "Pass out='outputs.nc', or leave states=True out",
        )
    return suffix


def _check_space(path: Path, size: int) -> None:
    """Refuse before anything is written: a file that fills a disk up can end the process."""
    free = shutil.disk_usage(path.parent).free
    if size + _SPARE > free:
        raise OSError(errno.ENOSPC, f"{size} bytes were to be written and {free} are free")


def _checked_array(
    out: Any, shape: tuple[int, int], dtype: np.dtype[Any], widths: Mapping[str, int]
) -> Array:
    if len(widths) > 1:
        raise DataError(
            "An array came as out together with states=True",
            "A .nc file or None was needed for both",
            "Pass out='outputs.nc', or leave states=True out",
        )
    if not isinstance(out, np.ndarray):
        raise KindError(
            f"out is a {type(out).__name__}",
            "An array (row, output), a path or None was needed",
            f"Make one: np.empty({shape}, np.{dtype})",
        )
    if out.shape != shape or out.dtype != dtype or not out.flags.writeable:
        raise ShapeError(
            f"out has shape {out.shape} of {out.dtype}"
            + ("" if out.flags.writeable else ", not to be written"),
            f"{shape} of {dtype} was needed: a row for each letter, contigs one after the other",
            f"Make it anew: np.empty({shape}, np.{dtype})",
        )
    return out
