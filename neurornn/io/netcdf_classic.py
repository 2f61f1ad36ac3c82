"""The header of a netCDF 3 file, looked over before scipy makes room for what it declares."""

import math
import struct
from pathlib import Path
from typing import BinaryIO

from neurornn._core.errors import FileFormatError

_DIMENSION, _VARIABLE, _ATTRIBUTE = 10, 11, 12
#: Bytes of one value of a type.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8}
#: Records of a file that is still being written.
_OPEN_END = 2**32 - 1


class _Header:
    """Reads the header in order and stops at the first size that cannot be."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._source = file, path.name
        self._room = path.stat().st_size
        self._wide = file.read(4)[3:] == b"\x02"
        records = self._number()
        # A file that was not closed does not know them: what is there is taken then.
        self._records = 0 if records == _OPEN_END else records

    def _refuse(self, what: str) -> FileFormatError:
        return FileFormatError(
            f"{self._source} looks like netCDF but could not be read: {what}",
            "Sizes that agree with the file were needed",
            "It is cut short or damaged: copy it again",
        )

    def _take(self, n: int) -> bytes:
        # Values are filled up to four bytes.
        padded = n + -n % 4
        left = self._room - self._file.tell()
        if padded > left:
            raise self._refuse(f"{n} bytes of its header are declared where {left} are left")
        return self._file.read(padded)[:n]

    def _number(self) -> int:
        return int(struct.unpack(">I", self._take(4))[0])

    def _count(self, mark: int, least: int) -> int:
        """Read how many items a list has, of at least so many bytes each."""
        found, n = self._number(), self._number()
        if found not in (0, mark) or (not found and n):
            raise self._refuse(f"a list begins with {found}")
        if n * least > self._room - self._file.tell():
            raise self._refuse(f"a list declares {n} items")
        return n

    def _attributes(self) -> None:
        for _ in range(self._count(_ATTRIBUTE, 12)):
            self._take(self._number())
            self._values()

    def _values(self) -> None:
        kind, n = self._number(), self._number()
        if kind not in _SIZES:
            raise self._refuse(f"an attribute is of the unknown type {kind}")
        self._take(n * _SIZES[kind])

    def check(self) -> None:
        lengths = []
        for _ in range(self._count(_DIMENSION, 8)):
            self._take(self._number())
            lengths.append(self._number())
        self._attributes()
        for _ in range(self._count(_VARIABLE, 28)):
            self._variable(lengths)

    def _variable(self, lengths: list[int]) -> None:
        name = self._take(self._number()).decode("latin-1")
        n_axes = self._number()
        if 4 * n_axes > self._room:
            raise self._refuse(f"{name} has {n_axes} axes")
        axes = [self._number() for _ in range(n_axes)]
        self._attributes()
        kind = self._number()
        self._number()  # its size, which the axes give too
        begin = struct.unpack(">Q" if self._wide else ">I", self._take(8 if self._wide else 4))[0]
        if kind not in _SIZES or any(k >= len(lengths) for k in axes):
            raise self._refuse(f"{name} is of the type {kind} on the axes {axes}")
        # An axis that grows has the length 0, and comes first.
        shape = [lengths[k] or self._records for k in axes[:1]] + [lengths[k] for k in axes[1:]]
        size = math.prod(shape) * _SIZES[kind]
        if size and begin + size > self._room:
            raise self._refuse(
                f"{name} {tuple(shape)} declares {size} bytes from byte {begin} of {self._room}"
            )


def check_classic(path: Path) -> None:
    """Compare the sizes in the header of a netCDF 3 file with the file.

    Parameters
    ----------
    path : file that begins with ``CDF``.

    Raises
    ------
    FileFormatError
        A size that cannot be.
    """
    with path.open("rb") as file:
        _Header(file, path).check()
