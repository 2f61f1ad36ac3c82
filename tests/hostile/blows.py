"""Ways to damage a file or a folder, seeded: bytes, text, JSON, archives, files of a folder."""

import gzip
import json
import re
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.hostile import trees

Rng = np.random.Generator
Hit = Callable[[bytearray, Rng], None]


class Blow(NamedTuple):
    """A kind of damage: which files it can be done to, and how it is done."""

    fits: Callable[[Path], bool]
    hit: Callable[[Path, Rng], Any]


# ------------------------------------------------------------------ bytes

_COUNTS = (0, 1, -1, 255, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, -(2**31))


def _at(raw: bytearray, rng: Rng) -> int:
    """Choose a place: half of them in the first 4 KiB, where most headers lie."""
    return int(rng.integers(max(1, min(len(raw), 4096 if rng.random() < 0.5 else len(raw)))))


def _run(raw: bytearray, rng: Rng) -> tuple[int, int]:
    start = _at(raw, rng)
    longest = max(2, len(raw) // 3)
    return start, min(len(raw), start + int(2 ** rng.uniform(0, np.log2(longest))))


def _bit(raw: bytearray, rng: Rng) -> None:
    raw[_at(raw, rng)] ^= 1 << int(rng.integers(8))


def _bits(raw: bytearray, rng: Rng) -> None:
    for _ in range(int(rng.integers(2, 12))):
        _bit(raw, rng)


def _over(fill: int | None) -> Hit:
    def hit(raw: bytearray, rng: Rng) -> None:
        a, b = _run(raw, rng)
        raw[a:b] = rng.bytes(b - a) if fill is None else bytes([fill]) * (b - a)

    return hit


def _cut(raw: bytearray, rng: Rng) -> None:
    del raw[_at(raw, rng) :]


def _lost(raw: bytearray, rng: Rng) -> None:
    a, b = _run(raw, rng)
    del raw[a:b]


def _doubled(raw: bytearray, rng: Rng) -> None:
    a, b = _run(raw, rng)
    raw[b:b] = raw[a:b]


def _swapped(raw: bytearray, rng: Rng) -> None:
    a, b = _run(raw, rng)
    c = int(rng.integers(max(1, len(raw) - (b - a))))
    raw[a:b], raw[c : c + b - a] = raw[c : c + b - a], raw[a:b]


def _inserted(raw: bytearray, rng: Rng) -> None:
    a = _at(raw, rng)
    raw[a:a] = rng.bytes(int(rng.integers(1, 600)))


def _counter(raw: bytearray, rng: Rng) -> None:
    """Put a count that is none in the place of 1 to 8 bytes, often where a number is small."""
    size = int(rng.choice([1, 2, 4, 4, 8]))
    value = int(rng.choice(_COUNTS)) & (2 ** (8 * size) - 1)
    at = min(_at(raw, rng), max(0, len(raw) - size))
    at -= at % size
    raw[at : at + size] = value.to_bytes(size, "little" if rng.random() < 0.8 else "big")


def _real(raw: bytearray, rng: Rng) -> None:
    value = float(rng.choice([np.nan, np.inf, -1.0, 0.0, 1e308, 5e-324]))
    at = _at(raw, rng) // 8 * 8
    raw[at : at + 8] = struct.pack("<d", value)


_BYTES: dict[str, Hit] = {
    "a bit": _bit,
    "bits": _bits,
    "random bytes": _over(None),
    "zeros": _over(0),
    "ones": _over(255),
    "cut off": _cut,
    "a part lost": _lost,
    "a block twice": _doubled,
    "blocks swapped": _swapped,
    "bytes put in": _inserted,
    "a count": _counter,
    "a number": _real,
}

# ------------------------------------------------------------------ text

_NUMBER = re.compile(rb"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_WORD = re.compile(rb"[A-Za-z_][A-Za-z0-9_]{2,}")
_INSTEAD = (
    *(b'"3"', b"NaN", b"1e308", b"", b"-1", b"0", b"inf", b"99999999999999999999", b"x", b"None"),
    *(b'"', b"-1e308", b"2147483648", b"1,5", b"1.5.2", b"0x10", b"\xff", b"[]", b"1e-320", b"'"),
)


def _place(found: list[Any], rng: Rng) -> tuple[int, int]:
    chosen = found[int(rng.integers(len(found)))]
    return chosen.span()


def _replaced(pattern: re.Pattern[bytes]) -> Hit:
    """Put something else in the place of a match; a file that is not text keeps its length."""

    def hit(raw: bytearray, rng: Rng) -> None:
        found = list(pattern.finditer(bytes(raw[:65536])))
        if not found:
            return _bit(raw, rng)
        a, b = _place(found, rng)
        new = _INSTEAD[int(rng.integers(len(_INSTEAD)))]
        if b"\0" in raw:
            new = new[: b - a].ljust(b - a)
        raw[a:b] = new
        return None

    return hit


def _several(pattern: re.Pattern[bytes]) -> Hit:
    def hit(raw: bytearray, rng: Rng) -> None:
        for _ in range(5):
            _replaced(pattern)(raw, rng)

    return hit


def _lines(change: Callable[[list[bytes], Rng], None]) -> Hit:
    def hit(raw: bytearray, rng: Rng) -> None:
        lines = bytes(raw).splitlines(keepends=True)
        change(lines, rng)
        raw[:] = b"".join(lines)

    return hit


def _line_lost(lines: list[bytes], rng: Rng) -> None:
    del lines[int(rng.integers(len(lines)))]


def _line_twice(lines: list[bytes], rng: Rng) -> None:
    lines.insert(int(rng.integers(len(lines))), lines[int(rng.integers(len(lines)))])


def _first_twice(lines: list[bytes], rng: Rng) -> None:
    lines.insert(int(rng.integers(len(lines))), lines[0])


def _line_joined(lines: list[bytes], rng: Rng) -> None:
    k = int(rng.integers(len(lines)))
    lines[k] = lines[k].rstrip(b"\r\n")


def _separators(raw: bytearray, rng: Rng) -> None:
    old, new = rng.choice([b",", b";", b"\t", b" ", b"=", b":", b"\n", b'"'], 2, replace=False)
    if rng.random() < 0.5:
        raw[:] = bytes(raw).replace(bytes(old), bytes(new))
    else:
        found = [m.start() for m in re.finditer(re.escape(bytes(old)), bytes(raw))]
        if found:
            k = int(rng.choice(found))
            raw[k : k + 1] = bytes(new)


_TEXT: dict[str, Hit] = {
    "a number in the text": _replaced(_NUMBER),
    "numbers in the text": _several(_NUMBER),
    "a word of the text": _replaced(_WORD),
    "a line lost": _lines(_line_lost),
    "a line twice": _lines(_line_twice),
    "the first line again": _lines(_first_twice),
    "two lines in one": _lines(_line_joined),
    "separators": _separators,
}


def _is_text(path: Path) -> bool:
    head = path.read_bytes()[:4096]
    return sum(32 <= c < 127 or c in (9, 10, 13) for c in head) > 0.5 * len(head) > 0


# ------------------------------------------------------------------ archives and JSON


def _on_bytes(hit: Hit) -> Callable[[Path, Rng], None]:
    def on_file(path: Path, rng: Rng) -> None:
        raw = bytearray(path.read_bytes())
        if raw:
            hit(raw, rng)
            path.write_bytes(raw)

    return on_file


def _inside_gzip(path: Path, rng: Rng) -> None:
    raw = bytearray(gzip.decompress(path.read_bytes()))
    hits = [*_BYTES.values(), *_TEXT.values()]
    hits[int(rng.integers(len(hits)))](raw, rng)
    path.write_bytes(gzip.compress(bytes(raw)))


def _inside_zip(path: Path, rng: Rng) -> None:
    with zipfile.ZipFile(path) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    names = list(held)
    name = names[int(rng.integers(len(names)))]
    if rng.random() < 0.15:
        del held[name]
    elif rng.random() < 0.2:
        held[name] = held[names[int(rng.integers(len(names)))]]
    else:
        raw = bytearray(held[name])
        hits = [*_BYTES.values(), _replaced(_NUMBER)]
        hits[int(rng.integers(len(hits)))](raw, rng)
        held[name] = bytes(raw)
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in held.items():
            archive.writestr(member, content)


def _json(path: Path, rng: Rng) -> None:
    tree = trees.changed(json.loads(path.read_text()), rng)
    path.write_text(json.dumps(tree, default=str))


def _is_json(path: Path) -> bool:
    return path.read_bytes()[:1] in (b"{", b"[")


def _starts(*marks: bytes) -> Callable[[Path], bool]:
    return lambda path: path.read_bytes()[:8].startswith(marks)


def _is_hdf5(path: Path) -> bool:
    head = path.read_bytes()[:1024]
    return any(head[k : k + 4] == b"\x89HDF" for k in (0, 512))


#: Kinds of damage to one file.
OF_FILES: dict[str, Blow] = {
    **{name: Blow(lambda path: True, _on_bytes(hit)) for name, hit in _BYTES.items()},
    **{name: Blow(_is_text, _on_bytes(hit)) for name, hit in _TEXT.items()},
    "inside the gzip": Blow(_starts(b"\x1f\x8b"), _inside_gzip),
    "inside the zip": Blow(_starts(b"PK"), _inside_zip),
    "inside the zip, again": Blow(_starts(b"PK"), _inside_zip),
    "a value of JSON": Blow(_is_json, _json),
    "a key of JSON": Blow(_is_json, _json),
    **{f"HDF5: {name}": Blow(_is_hdf5, hit) for name, hit in trees.OF_HDF5.items()},
    "an array of npy": Blow(_starts(b"\x93NUMPY"), trees.npy),
    "an array of npz": Blow(_starts(b"PK"), trees.npz),
    "a variable of MATLAB": Blow(_starts(b"MATLAB 5"), trees.mat),
    "variables of MATLAB": Blow(_starts(b"MATLAB 5"), trees.mat),
}

# ------------------------------------------------------------------ folders


def files_in(folder: Path) -> list[Path]:
    """Return the files below a folder, in a fixed order."""
    return sorted(p for p in folder.rglob("*") if p.is_file())


def _one(folder: Path, rng: Rng) -> Path:
    files = files_in(folder)
    return files[int(rng.integers(len(files)))]


def _two(folder: Path, rng: Rng) -> tuple[Path, Path]:
    files = files_in(folder)
    a, b = rng.choice(len(files), 2, replace=False)
    return files[a], files[b]


def _trade(folder: Path, rng: Rng) -> None:
    a, b = _two(folder, rng)
    one, other = a.read_bytes(), b.read_bytes()
    a.write_bytes(other)
    b.write_bytes(one)


def _copied_over(folder: Path, rng: Rng) -> None:
    a, b = _two(folder, rng)
    shutil.copy(a, b)


def _now_a_folder(folder: Path, rng: Rng) -> None:
    path = _one(folder, rng)
    path.unlink()
    path.mkdir()


def _copied_beside(folder: Path, rng: Rng) -> None:
    path = _one(folder, rng)
    shutil.copy(path, path.with_name(f"2{path.name}"))


#: Kinds of damage to a folder of several files.
OF_FOLDERS: dict[str, Callable[[Path, Rng], Any]] = {
    "a file missing": lambda folder, rng: _one(folder, rng).unlink(),
    "a file empty": lambda folder, rng: _one(folder, rng).write_bytes(b""),
    "two files swapped": _trade,
    "a file over another": _copied_over,
    "a folder in place of a file": _now_a_folder,
    "a file twice": _copied_beside,
}


def is_well_formed(kind: str) -> bool:
    """Whether a kind of damage reads the file first, which must still be whole then."""
    return kind.startswith("HDF5") or "MATLAB" in kind or " of np" in kind or "JSON" in kind


def kinds_for(folder: Path) -> list[str]:
    """Return the kinds of damage that can be done to what lies in a folder."""
    files = files_in(folder)
    found = [name for name, blow in OF_FILES.items() if any(map(blow.fits, files))]
    return found + (list(OF_FOLDERS) if len(files) > 1 else [])


def strike(folder: Path, kind: str, rng: Rng) -> str:
    """Damage what lies in a folder; say what was done."""
    if kind in OF_FOLDERS and len(files_in(folder)) > 1:
        OF_FOLDERS[kind](folder, rng)
        return kind
    blow = OF_FILES.get(kind, OF_FILES["a bit"])
    files = [p for p in files_in(folder) if p.stat().st_size and blow.fits(p)]
    if not files:
        return "nothing"
    sizes = np.array([p.stat().st_size for p in files], dtype=float)
    # Half by size, half evenly: small files matter as much.
    share = sizes / sizes.sum() if rng.random() < 0.3 else np.full(len(files), 1 / len(files))
    path = files[int(rng.choice(len(files), p=share))]
    try:
        blow.hit(path, rng)
    except Exception as error:
        # Such damage cannot be done to what is there: a plainer one is.
        _on_bytes(_bit)(path, rng)
        return f"a bit ({kind}: {type(error).__name__}) of {path.name}"
    return f"{kind} of {path.name}"
