"""The elements of a MATLAB file of version 5, looked over before anything is made of them.

scipy (1.17) trusts the sizes in these files: one that is damaged may ask it for any amount of
memory, or end the process. So each is compared here with the element that it lies in.
"""

import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

from neurornn._core.errors import FileFormatError
from neurornn.io.limits import check_size

#: Numbers of the format: elements, and classes of arrays.
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _OBJECT, _CHAR, _SPARSE, _FUNCTION, _OPAQUE = 1, 2, 3, 4, 5, 16, 17
_NUMERIC = range(6, 16)
#: Bytes of one value of an element.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8, 16: 1, 17: 2, 18: 4}
#: Bytes of one value of a class of arrays; of all others 8.
_BYTES = {7: 4, 8: 1, 9: 1, 10: 2, 11: 2, 12: 4, 13: 4}
#: What scipy has room for.
_MOST_AXES = 32
#: Of MATLAB are 31 or 63; some writers allow more.
_LONGEST_NAME = 4096
#: Text that is declared and not there is read as blanks.
_BLANKS = 2**20
_STEP = 2**20


class _Part:
    """Bytes in order, as they are in the file or unpacked, and how many of them are left."""

    def __init__(self, file: BinaryIO, left: int, packed: bool = False) -> None:
        self._file, self._left = file, left
        self._unpacker = zlib.decompressobj() if packed else None

    def read(self, n: int) -> bytes:
        if self._unpacker is None:
            return self._file.read(n)
        out = b""
        while len(out) < n:
            packed = self._unpacker.unconsumed_tail
            if not packed:
                packed = self._file.read(min(_STEP, self._left))
                self._left -= len(packed)
            if not packed:
                break
            out += self._unpacker.decompress(packed, n - len(out))
        return out

    def skip(self, n: int) -> None:
        if self._unpacker is None:
            self._file.seek(n, 1)
            return
        while n > 0:
            read = len(self.read(min(n, _STEP)))
            if not read:
                raise ValueError("a packed variable ends early")
            n -= read


class _Walk:
    """Goes through the elements of one variable."""

    def __init__(self, part: _Part, order: str, name: str, deepest: int) -> None:
        self._part, self._order, self._source = part, order, name
        self._deepest, self._depth = deepest, 0
        self._title = ""

    def _damaged(self, what: str) -> FileFormatError:
        return FileFormatError(
            f"{self._source} looks like MATLAB but {what}"
            + (f" (in the variable {self._title})" if self._title else ""),
            "Sizes that agree with each other and with the file were needed",
            "It is cut short or damaged: copy it again",
        )

    def _take(self, n: int) -> bytes:
        found = self._part.read(n)
        if len(found) < n:
            raise self._damaged("ends inside a variable")
        return found

    def tag(self, left: int) -> tuple[int, int, bytes | None, int]:
        """Return kind and size of an element, its bytes where they are few, and what it takes."""
        if left < 8:
            raise self._damaged(f"an element begins {left} bytes before the end of its variable")
        head = self._take(8)
        first, size = struct.unpack(self._order + "II", head)
        if first >> 16:
            size = first >> 16
            if size > 4:
                raise self._damaged(f"a short element declares {size} bytes")
            return first & 0xFFFF, size, head[4 : 4 + size], 8
        whole = 8 + size + (0 if first == _COMPRESSED else -size % 8)
        # The padding at the very end may be missing.
        if 8 + size > left:
            raise self._damaged(f"an element declares {size} bytes where {left - 8} are left")
        return first, size, None, min(whole, left)

    def _content(self, left: int, most: int, what: str) -> tuple[int, bytes, int]:
        """Read a small element whole: its kind, bytes, and what it takes."""
        kind, size, inside, whole = self.tag(left)
        if size > most:
            raise self._damaged(f"{what} take {size} bytes")
        if inside is None:
            inside = self._take(whole - 8)[:size]
        return kind, inside, whole

    def _values(self, left: int) -> tuple[int, int]:
        """Pass over an element of numbers: how many there are, and what it takes."""
        kind, size, inside, whole = self.tag(left)
        if kind not in _SIZES:
            raise self._damaged(f"an element of unknown kind {kind} stands for values")
        if inside is None:
            self._part.skip(whole - 8)
        return size // _SIZES[kind], whole

    def matrix(self, left: int) -> int:
        """Go through an array of `left` bytes, and what lies in it."""
        if not left:
            return 0
        self._depth += 1
        if self._depth > self._deepest:
            raise FileFormatError(
                f"{self._title} of {self._source} lies in more than {self._deepest} structs and "
                "cells",
                "A file that MATLAB has written was needed",
                "It is damaged: copy it again, or save the traces as a matrix of their own",
            )
        rest = self._array(left)
        if rest:
            self._part.skip(rest)
        self._depth -= 1
        return left

    def _array(self, left: int) -> int:
        _, flags, used = self._content(left, 64, "the flags of an array")
        if len(flags) < 8:
            raise self._damaged(f"the flags of an array are {len(flags)} bytes")
        (word,) = struct.unpack(self._order + "I", flags[:4])
        kind, is_complex = word & 0xFF, bool(word & 0x800)
        left -= used
        if kind == _OPAQUE:
            for _ in range(3):
                left -= self._content(left, _LONGEST_NAME, "the names of an object")[2]
            return left - self._inner(left)
        number, axes, used = self._content(left, 4 * _MOST_AXES, "the axes of an array")
        left -= used
        if _SIZES.get(number) != 4 or len(axes) % 4 or not axes:
            raise self._damaged(f"the axes of an array are {len(axes)} bytes of kind {number}")
        shape = struct.unpack(f"{self._order}{len(axes) // 4}i", axes)
        _, name, used = self._content(left, _LONGEST_NAME, "the name of a variable")
        left -= used
        self._title = self._title or name.decode("latin-1").strip("\0")
        if min(shape) < 0:
            raise self._damaged(f"an array has the shape {shape}")
        return self._body(kind, shape, is_complex, left)

    def _body(self, kind: int, shape: tuple[int, ...], is_complex: bool, left: int) -> int:
        n = math.prod(shape)
        if kind in _NUMERIC:
            for _ in range(1 + is_complex):
                there, used = self._values(left)
                left -= used
                if there != n:
                    size = n * _BYTES.get(kind, 8)
                    check_size(size, f"{self._title} {shape}", self._source)
                    raise self._damaged(f"an array of shape {shape} holds {there} values")
        elif kind == _CHAR:
            there, used = self._values(left)
            left -= used
            if n > max(there, 0 if there else _BLANKS):
                raise self._damaged(f"text of shape {shape} holds {there} letters")
        elif kind == _SPARSE:
            left = self._sparse(shape, is_complex, left)
        elif kind in (_CELL, _STRUCT, _OBJECT):
            if kind == _OBJECT:
                left -= self._content(left, _LONGEST_NAME, "the name of a class")[2]
            n_fields = 1
            if kind != _CELL:
                n_fields, used = self._fields(left)
                left -= used
            # An empty one takes the eight bytes of its tag.
            if n * max(n_fields, 1) > left // 8 and n * n_fields:
                raise self._damaged(f"{n * n_fields} cells or fields lie in {left} bytes")
            if n > left + _BLANKS:
                raise self._damaged(f"an array of structs without fields has the shape {shape}")
            for _ in range(n * n_fields):
                left -= self._inner(left)
        elif kind == _FUNCTION:
            left -= self._inner(left)
        else:
            raise self._damaged(f"an array is of the unknown class {kind}")
        return left

    def _fields(self, left: int) -> tuple[int, int]:
        kind, word, used = self._content(left, 8, "the length of the names of fields")
        length = struct.unpack(self._order + "i", word[:4])[0] if len(word) >= 4 else 0
        if kind not in (5, 6) or not 0 < length <= _LONGEST_NAME:
            raise self._damaged(f"names of fields have {length} letters")
        number, size, inside, whole = self.tag(left - used)
        if _SIZES.get(number) != 1 or size % length:
            raise self._damaged(f"names of fields of {length} letters take {size} bytes")
        if inside is None:
            self._part.skip(whole - 8)
        return size // length, used + whole

    def _sparse(self, shape: tuple[int, ...], is_complex: bool, left: int) -> int:
        counts = []
        for _ in range(3 + is_complex):
            there, used = self._values(left)
            counts.append(there)
            left -= used
        rows, columns, values = counts[0], counts[1], counts[2:]
        if len(shape) != 2 or columns != shape[1] + 1 or min(values) > rows:
            raise self._damaged(
                f"a sparse array of shape {shape} has {rows} row numbers, {columns} columns and "
                f"{values} values"
            )
        return left

    def _inner(self, left: int) -> int:
        kind, size, inside, whole = self.tag(left)
        if kind != _MATRIX or inside is not None:
            raise self._damaged(f"an element of kind {kind} stands for an array")
        self.matrix(size)
        self._part.skip(whole - 8 - size)
        return whole


def check_v5(path: Path, deepest: int) -> None:
    """Compare the sizes in a file of version 5 with each other, with the file and with the limit.

    Parameters
    ----------
    path : .mat file; of another version nothing is looked at.
    deepest : structs and cells that may lie in each other.

    Raises
    ------
    FileFormatError
        A size that cannot be; more than is allowed.
    """
    total = 0
    with path.open("rb") as file:
        head = file.read(128)
        if not head.startswith(b"MATLAB 5.0"):
            return
        order = "<" if head[126:128] == b"IM" else ">"
        room = path.stat().st_size
        while room - file.tell() >= 8:
            left = room - file.tell()
            part = _Part(file, left)
            kind, size, _, whole = _Walk(part, order, path.name, deepest).tag(left)
            start = file.tell()
            if kind == _COMPRESSED:
                part = _Part(file, size, packed=True)
                kind, size, _, _ = _Walk(part, order, path.name, deepest).tag(2**32 + 8)
            total += size
            check_size(total, "Everything", path.name)
            walk = _Walk(part, order, path.name, deepest)
            if kind != _MATRIX:
                raise walk._damaged(f"an element of kind {kind} stands for a variable")
            walk.matrix(size)
            file.seek(start + whole - 8)
