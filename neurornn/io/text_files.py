"""Text files line by line, plain or gzipped, in UTF-8 or with a mark of their encoding."""

import codecs
import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neurornn._core.errors import FileFormatError
from neurornn.io.limits import counted

#: Byte-order marks; those of UTF-32 begin as those of UTF-16 do, so they come first.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def encoding_of(head: bytes) -> str | None:
    """Return the encoding that a byte-order mark states, or None where there is no mark.

    Parameters
    ----------
    head : first bytes of the file.
    """
    return next((name for mark, name in _MARKS if head.startswith(mark)), None)


def is_gzip(path: Path) -> bool:
    """Whether a file is gzipped."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


@contextmanager
def text_lines(path: Path) -> Iterator[Iterator[tuple[int, str]]]:
    """Go through the lines of a text file: their number, from 1, and their text.

    Parameters
    ----------
    path : plain, or gzipped; nothing but the line at hand is held.

    Raises
    ------
    FileFormatError
        A NUL byte, or bytes that are no text; the line is named. A gzipped file that unpacks to
        more than the limit.
    """
    raw: io.BufferedReader
    if is_gzip(path):
        raw = counted(gzip.GzipFile(path, "rb"), path.name)
    else:
        raw = path.open("rb")
    with raw:
        head = raw.peek(4)
        encoding = encoding_of(head) or "utf-8"
        # Bytes that are not UTF-8 come out as lone surrogates, so that their line can be named.
        errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"
        with io.TextIOWrapper(raw, encoding=encoding, errors=errors) as text:
            yield _checked(text, path.name, encoding)


def _checked(text: io.TextIOWrapper, source: str, encoding: str) -> Iterator[tuple[int, str]]:
    number = 0
    try:
        for number, line in enumerate(text, start=1):
            if "\x00" in line:
                raise FileFormatError(
                    f"Line {number} of {source} holds a NUL byte, at character "
                    f"{line.index(chr(0)) + 1}",
                    "Text was needed",
                    "It is damaged, or in UTF-16 without a byte-order mark: copy it again, or "
                    "save it as UTF-8",
                )
            if not line.isascii():
                _refuse_bytes(line, number, source)
            yield number, line
    except UnicodeError as error:
        raise FileFormatError(
            f"{source} is no longer {encoding.upper()} after line {number}: {error}",
            "Text in one encoding was needed",
            "It is damaged or cut short: copy it again, or save it as UTF-8",
        ) from error


def _refuse_bytes(line: str, number: int, source: str) -> None:
    lone = [c for c in line if "\ud800" <= c <= "\udfff"]
    if lone:
        raise FileFormatError(
            f"Line {number} of {source} holds the byte 0x{ord(lone[0]) - 0xDC00:02x}, which is no "
            "text in UTF-8",
            "Text in UTF-8 was needed",
            "Save the file as UTF-8; if it is not text of another encoding, it is damaged",
        )
