"""Which reader of neo opens a file or a folder, and what it wants to be called with."""

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neurornn._core.errors import FileFormatError, NameUnknownError

#: Never used: a pickle runs code when opened, and the Elphy reader evaluates text of the file.
_UNSAFE = ("PickleIO", "ElphyIO")
#: They claim a file by its name alone, whatever is in it (raw numbers of a shape that nobody has
#: stated, any text, any array), or what this package reads itself.
_CLAIM_ALL = (
    *("RawBinarySignalIO", "AsciiSignalIO", "AsciiSpikeTrainIO", "AsciiImageIO", "ExampleIO"),
    *("NeoMatlabIO", "NWBIO", "PhyIO", "KlustaKwikIO", "TiffIO", "NestIO", "NeuroshareIO"),
)
#: Name in neo -> how to install what it needs.
EXTRAS = {
    "NixIO": 'python -m pip install "neurornn[nix]"',
    "Plexon2IO": 'python -m pip install "neo[plexon2]"; away from Windows it also needs Wine',
    "EDFIO": 'python -m pip install "neo[edf]"',
    "CedIO": 'python -m pip install "neo[ced]"',
    "MedIO": 'python -m pip install "neo[med]"',
    "IgorIO": 'python -m pip install "neo[igorproio]"',
    "KwikIO": 'python -m pip install "neo[kwikio]"',
    "NeuralynxIO": 'python -m pip install "neo[neuralynx]"',
}
#: Readers that can be told how long a gap between records is no pause.
GAP_TOLERANCE = ("NeuralynxIO", "BlackrockIO")
#: Folders are searched to this depth (a day, a session, a node, an experiment, a recording), and
#: at most so many entries, so that opening the root of a disk ends.
_DEPTH, _MOST_ENTRIES = 5, 20_000

_NEURALYNX = (".ncs", ".nse", ".ntt", ".nev")
_TDT = (".tbk", ".tdx", ".tev", ".tsq", ".tin", ".tnt", ".sev")


@dataclass(frozen=True)
class Source:
    """A recording and the reader that opens it.

    Attributes
    ----------
    reader : name in `neo.io`; or ``"Plexon"`` or ``"Neuralynx events"``, which are ours.
    path : what the reader is given, a file or a folder.
    options : what it is called with besides.
    only : files to show the reader alone, in a folder made for it; none where it may see all.
    events : files of events that are read beside it, as neo cannot read all of them.
    """

    reader: str
    path: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    only: tuple[Path, ...] = ()
    events: tuple[Path, ...] = ()


def sources_of(path: Path) -> list[Source]:
    """Return the readers that can open a file or a folder, the surest first.

    Parameters
    ----------
    path : file, or folder.

    Returns
    -------
    Nothing where none can.

    Raises
    ------
    NameUnknownError, FileFormatError
        A folder of several recordings; data without the header that belongs to them.
    """
    if path.is_dir():
        return _of_folder(path)
    suffix = path.suffix.lower()
    if suffix in _NEURALYNX and is_neuralynx(path):
        return [_neuralynx(path.parent, [path], alone=True)]
    if suffix == ".nev" or re.fullmatch(r"\.ns[1-9]", suffix):
        return [Source("BlackrockIO", path)]
    if suffix == ".plx":
        return [Source("Plexon", path)]
    if suffix in (".continuous", ".spikes"):
        return [Source("OpenEphysIO", path.parent, only=(path,))]
    if path.name == "structure.oebin":
        _check_open_ephys(path.parent)
        return [Source("OpenEphysBinaryIO", path.parent)]
    if suffix in (".bin", ".meta"):
        return _of_spikeglx_file(path)
    if suffix in _TDT and any(f.suffix.lower() == ".tsq" for f in path.parent.iterdir()):
        return [_tdt_block(path.parent)]
    if suffix == ".nix" or (suffix == ".h5" and is_nix(path)):
        return [Source("NixIO", path, {"mode": "ro"})]
    if suffix == ".dat":
        return _of_dat(path)
    return [Source(io.__name__, path) for io in _candidates(path)]


def _candidates(path: Path) -> list[Any]:
    import neo.io

    try:
        found = neo.io.list_candidate_ios(str(path))
    except (OSError, ValueError):  # no reader claims it
        return []
    wanted = [io for io in found if io.__name__ not in (*_UNSAFE, *_CLAIM_ALL)]
    # A folder's reader that claims a file by its ending has its own rule above.
    return [io for io in wanted if io.mode == "file" and io.__name__ not in ("NixIO", "NixIOFr")]


def is_neuralynx(path: Path) -> bool:
    """Whether a file begins as those of Neuralynx do; ``.nev`` is Blackrock's ending too."""
    with path.open("rb") as file:
        return b"Neuralynx" in file.read(256)


def is_nix(path: Path) -> bool:
    """Whether an HDF5 file says that it is NIX."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            stated = file.attrs.get("format", b"")
    except OSError:
        return False
    return bytes(stated, "utf-8") == b"nix" if isinstance(stated, str) else stated == b"nix"


def _of_spikeglx_file(path: Path) -> list[Source]:
    pair = (path.with_suffix(".bin"), path.with_suffix(".meta"))
    if all(p.is_file() for p in pair) and "nSavedChans" in _text(pair[1]):
        return [Source("SpikeGLXIO", path.parent, only=pair)]
    if path.suffix.lower() == ".meta" or re.search(r"\.(ap|lf|nidq|obx)$", path.stem):
        other = pair[1] if path.suffix.lower() == ".bin" else pair[0]
        raise FileFormatError(
            f"{path.name} is one half of a SpikeGLX recording, and {other.name} is not beside it",
            "The .bin with the samples and the .meta with their rate, channels and gains were "
            "needed, under one name",
            "Copy it into the same folder",
        )
    raise raw_numbers(path)


def _of_dat(path: Path) -> list[Source]:
    home = next((p for p in path.parents[:4] if (p / "structure.oebin").is_file()), None)
    if home is not None:
        _check_open_ephys(home)
        return [Source("OpenEphysBinaryIO", home)]
    if path.with_suffix(".xml").is_file():
        return [Source("NeuroScopeIO", path.with_suffix(".xml"))]
    for header in ("info.rhd", "info.rhs"):
        if (path.parent / header).is_file():
            return [Source("IntanIO", path.parent / header)]
    raise raw_numbers(path)


def raw_numbers(path: Path) -> FileFormatError:
    """Return the error for samples without a header."""
    return FileFormatError(
        f"{path.name} holds bytes without a header: nothing says how many channels they are, at "
        "what rate, in what type and unit",
        "A recording with its header was needed (SpikeGLX: a .meta beside the .bin; Open Ephys: "
        "structure.oebin; Intan: info.rhd; NeuroScope: an .xml of the same name)",
        "If you know them: x = numpy.memmap(path, dtype='int16', mode='r').reshape(-1, n_channels)"
        ", then nr.data.from_traces(gain * x[a:b], sampling_rate=...)",
    )


def _text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(65536).decode("latin-1")


# ------------------------------------------------------------------ folders


def _of_folder(folder: Path) -> list[Source]:
    found = _recordings_in(folder, _entries(folder))
    if len(found) > 1:
        shown = ", ".join(f"{s.reader.removesuffix('IO')} {_name(s, folder)}" for s in found[:5])
        raise NameUnknownError(
            f"{folder.name} holds {len(found)} recordings: {shown}"
            + (", ..." if len(found) > 5 else ""),
            "One recording was needed",
            f'Open one: nr.open("{_opened_by(found[0])}")',
        )
    return found


def _opened_by(source: Source) -> Path:
    return source.only[0] if source.only else source.path


def _name(source: Source, folder: Path) -> str:
    at = _opened_by(source)
    return str(at.relative_to(folder)) if at.is_relative_to(folder) else str(at)


def _entries(folder: Path) -> list[Path]:
    out: list[Path] = []
    base = len(folder.parts)
    for root, folders, files in os.walk(folder):
        if len(Path(root).parts) - base >= _DEPTH:
            folders.clear()
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        out += [Path(root) / f for f in sorted(files) if not f.startswith(".")]
        if len(out) > _MOST_ENTRIES:
            break
    return out


def _recordings_in(folder: Path, files: list[Path]) -> list[Source]:
    """Return the recordings below a folder: one for each session, whatever its parts."""
    found: list[Source] = []
    ending: dict[Path, list[Path]] = {}
    for f in files:
        ending.setdefault(f.parent, []).append(f)
    for place, here in ending.items():
        kinds = {f.suffix.lower() for f in here}
        lynx = [f for f in here if f.suffix.lower() in _NEURALYNX and is_neuralynx(f)]
        if lynx:
            found.append(_neuralynx(place, lynx))
        black = {
            f.with_suffix("")
            for f in here
            if f not in lynx and re.fullmatch(r"\.(nev|ns[1-9])", f.suffix.lower())
        }
        for stem in sorted(black):
            file = next(f for f in here if f.with_suffix("") == stem and f not in lynx)
            found.append(Source("BlackrockIO", file))
        if ".continuous" in kinds or ".spikes" in kinds:
            found.append(Source("OpenEphysIO", place))
        if ".tsq" in kinds:
            found.append(_tdt_block(place))
        found += [Source("Plexon", f) for f in here if f.suffix.lower() == ".plx"]
        found += [Source("NixIO", f, {"mode": "ro"}) for f in here if f.suffix.lower() == ".nix"]
    oebin = [f.parent for f in files if f.name == "structure.oebin"]
    for place in oebin:
        _check_open_ephys(place)
    homes = dict.fromkeys(_open_ephys_session(place, folder) for place in oebin)
    found += [Source("OpenEphysBinaryIO", home) for home in homes]
    known = set(files)
    pairs = {f for f in files if f.suffix == ".meta" and f.with_suffix(".bin") in known}
    if any("nSavedChans" in _text(f) for f in pairs):
        runs = {re.sub(r"(_g\d+|\.).*$", "", f.name) for f in pairs}
        if len(runs) == 1:
            found.append(Source("SpikeGLXIO", folder))
        else:
            for run in sorted(runs):
                meta = min(f for f in pairs if f.name.startswith(run))
                pair = (meta.with_suffix(".bin"), meta)
                found.append(Source("SpikeGLXIO", meta.parent, only=pair))
    tanks = {s.path.parent.parent for s in found if s.reader == "TdtIO"}
    if len(tanks) == 1 and sum(s.reader == "TdtIO" for s in found) > 1:
        # Blocks of one tank are its segments.
        found = [s for s in found if s.reader != "TdtIO"] + [Source("TdtIO", tanks.pop())]
    return found


def _neuralynx(folder: Path, files: list[Path], *, alone: bool = False) -> Source:
    events = tuple(f for f in files if f.suffix.lower() == ".nev")
    if len(events) == len(files):
        return Source("Neuralynx events", folder, events=events)
    names = [f.name for f in files] if alone else None
    options: dict[str, Any] = {"keep_original_times": True}
    options |= {"include_filenames": names} if alone else {}
    # neo finds no events in a .nev whose header numbers a channel, and raises.
    options |= {"exclude_filenames": [f.name for f in events]} if events else {}
    return Source("NeuralynxIO", folder, options, events=events)


def _check_open_ephys(place: Path) -> None:
    place = place.absolute()
    if re.fullmatch(r"recording\d+", place.name) and re.fullmatch(
        r"experiment\d+", place.parent.name
    ):
        return
    raise FileFormatError(
        f"{place.parent.name}/{place.name} holds an Open Ephys recording (structure.oebin) under "
        "names that Open Ephys does not give",
        "A folder recording1 (or 2, ...) in a folder experiment1 (or 2, ...) was needed: the "
        "reader takes their numbers",
        "Give the folders their names back, and open the one above them",
    )


def _open_ephys_session(place: Path, folder: Path) -> Path:
    """Go from the folder of a recording up to that of its session, but not above `folder`."""
    for above in (r"recording\d+", r"experiment\d+", r"Record Node.*"):
        if place != folder and re.fullmatch(above, place.name):
            place = place.parent
    return place


def _tdt_block(folder: Path) -> Source:
    names = [f for f in sorted(folder.iterdir()) if f.suffix.lower() in _TDT]
    index = next(f for f in names if f.suffix.lower() == ".tsq")
    # neo looks for endings in this case, and for a .Tdx that it does not read; files that were
    # copied through Windows may bear any.
    odd = any(f.suffix != _tdt_ending(f) for f in names)
    odd |= not any(f.suffix.lower() == ".tdx" for f in names)
    return Source("TdtIO", index, only=tuple(names) if odd else ())


def _tdt_ending(file: Path) -> str:
    ending = file.suffix.lower()
    return {".tbk": ".Tbk", ".tdx": ".Tdx"}.get(ending, ending)


@contextmanager
def shown_to_reader(source: Source) -> Iterator[Path]:
    """Give the path to call a reader with: a folder with `Source.only` in it, where it is set.

    Parameters
    ----------
    source : what to open.

    Notes
    -----
    Readers of folders read all that lies in them. To read one file, it is linked, not copied,
    into a folder that holds nothing else. Where links cannot be made, the whole folder is read.
    """
    if not source.only:
        yield source.path
        return
    tdt = source.reader == "TdtIO"
    with tempfile.TemporaryDirectory(prefix="neurornn-") as made:
        try:
            for file in source.only:
                ending = _tdt_ending(file) if tdt else file.suffix
                (Path(made) / f"{file.stem}{ending}").symlink_to(file.resolve())
            if tdt:
                (Path(made) / f"{source.path.stem}.Tdx").touch()
        except OSError:
            yield source.path
            return
        yield Path(made) / f"{source.path.stem}.tsq" if tdt else Path(made)
