"""One door for every file: look at its content, choose the reader."""

import gzip
import importlib
import inspect
import os
import re
import zipfile
from pathlib import Path
from typing import Any

from neurornn._core.errors import FileFormatError, KindError, NameUnknownError, nearest
from neurornn.data.foreign import described, kind_of
from neurornn.io.gff_rows import looks_like_rows
from neurornn.io.limits import hard_items, reading_limits
from neurornn.io.sortings import is_phy, refuse_sorting, refuse_zarr
from neurornn.io.sources import SUPPORTED, check_source, explained
from neurornn.io.suite2p_folders import is_plane_file
from neurornn.io.text_files import encoding_of

_HDF5 = b"\x89HDF\r\n\x1a\n"

#: Format -> (module, reader), and the first bytes or the suffix that tell it, where those do.
_READERS: dict[str, tuple[str, ...]] = {
    "nwb": ("nwb", "read_nwb"),
    "matlab": ("matlab", "read_matlab"),
    "netcdf": ("netcdf", "read_netcdf"),
    "zarr": ("netcdf", "read_zarr"),
    "suite2p": ("suite2p", "read_suite2p"),
    "caiman": ("caiman", "read_caiman"),
    "minian": ("minian", "read_minian"),
    "hdf5": ("hdf5", "read_hdf5"),
    "npy": ("numpy_files", "read_npy"),
    "npz": ("numpy_files", "read_npz"),
    "delimited": ("delimited", "read_delimited"),
    "phy": ("phy", "read_phy"),
    "trodes": ("trodes", "read_trodes"),
    "fasta": ("fasta", "read_fasta"),
    "genbank": ("genbank", "read_genbank"),
    "two_bit": ("two_bit", "read_two_bit", "\x43\x27\x41\x1a", "\x1a\x41\x27\x43", ".2bit"),
    "gff": ("gff", "read_gff"),
    "bed": ("bed", "read_bed"),
    "vcf": ("vcf", "read_vcf"),
    "vendor": ("vendor", "read_vendor"),
}

_FASTA = (".fa", ".fasta", ".fna", ".faa", ".ffn")
_GENBANK = (".gb", ".gbk", ".gbff", ".genbank")

#: First bytes of formats that are met under a wrong name, so that the message can say what came.
_STRANGERS = (
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"II*\x00", "a TIFF picture or movie"),
    (b"MM\x00*", "a TIFF picture or movie"),
    (b"\xd0\xcf\x11\xe0", "a workbook of old Excel, or another Office file; save it as CSV"),
    (b"<!DOCTYPE", "a web page; was it saved in place of a download?"),
    (b"<html", "a web page; was it saved in place of a download?"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself; run git lfs pull"),
)


def open(
    path: str | os.PathLike[str],
    *,
    sampling_rate: float | None = None,
    max_size: float | None = None,
    follow_links: bool | None = None,
    **options: Any,
) -> Any:
    """Open a recording, or a set of sequences, whatever its format.

    Parameters
    ----------
    path : file, or folder (Suite2p; Minian; Zarr; phy or Kilosort; Trodes; a session of a
        vendor format).
        The reader is chosen by content; the extension decides only where content does not.
    sampling_rate : Hz; needed where the file states neither a frame rate nor frame times.
    max_size : bytes
        That the recording may take in memory, 8 GiB by default. A file that declares more, or
        unpacks to more, is refused before it is read.
    follow_links : whether links out of the file or folder are followed (HDF5 links, raw data
        and virtual data sets in other files; symbolic links in folders); by default an error
        names them.
    **options
        Passed to the reader, and named by it where unknown: ``variable`` and ``axes`` (MATLAB,
        npz, HDF5, CaImAn), ``series`` (NWB), ``plane``, ``neuropil`` and ``only_cells``
        (Suite2p), ``override_rate`` (Suite2p, CaImAn), ``chunks`` (netCDF, Zarr), ``time_unit``,
        ``header``, ``unit_column``, ``rows`` and ``only_cells`` (CSV), ``unit_variable``
        (MATLAB, npz, HDF5),
        ``segment``, ``block``, ``stream``, ``gap_tolerance``, ``noise`` and ``reader_options``
        (vendor formats; ``noise`` for phy too), ``alphabet`` and ``lazy`` (FASTA),
        ``annotation``, ``contig_names`` and ``circular`` (FASTA, 2bit, GenBank), ``join`` and
        ``types`` (GFF3, GTF), ``reference`` (VCF), ``name`` and ``indicator`` of the traces.

    Returns
    -------
    xarray.Dataset
        The recording, times in s; the attrs hold the name of the file and its format. FASTA,
        2bit and GenBank give a `neurornn.data.SequenceSet`, GFF3, GTF and BED a table of features
        as `neurornn.data.features_from_records` makes it, VCF a table of variants.

    Raises
    ------
    KindError
        An object in memory, of pynapple, neo or pandas; it says what takes it.
    FileMissingError, FileFormatError
        No such file; a damaged file or one of an unknown format; a file beyond `max_size`, or
        one with links out of it.
    UnitError
        No frame rate, several that differ by more than 2 %, or times that look like ms or frame
        numbers.
    NameUnknownError
        Several possible variables, or an option that the reader does not have.

    Examples
    --------
    >>> import neurornn as nr
    >>> recording = nr.open("session.nwb")  # doctest: +SKIP
    >>> traces = nr.open("traces.mat", sampling_rate=30.0)  # doctest: +SKIP
    """
    if kind_of(path) in FROM_OBJECTS:
        raise _no_file(path)
    source = check_source(path, folder=True)
    with reading_limits(max_size=max_size, follow_links=follow_links):
        return _read(source, sampling_rate, options)


#: Kinds of objects that are no files, and what makes recordings of them.
FROM_OBJECTS = {
    **dict.fromkeys(("group", "ts", "tsd", "frame", "tensor", "intervals"), "from_pynapple"),
    **dict.fromkeys(("train", "analog", "irregular", "event", "epoch"), "from_neo"),
    **dict.fromkeys(("segment", "block"), "from_neo"),
    **dict.fromkeys(("table", "column"), "from_traces"),
}


def _no_file(thing: Any) -> KindError:
    return KindError(
        f"{described(thing)[:1].upper()}{described(thing)[1:]} came as a path",
        "The name of a file or folder, as text or a Path, was needed",
        f"It is in memory already: nr.data.{FROM_OBJECTS[str(kind_of(thing))]}(...) makes a "
        "recording of it",
    )


def _read(source: Path, sampling_rate: float | None, options: dict[str, Any]) -> Any:
    function, reader = _reader_of(source)
    if sampling_rate is not None:
        options["sampling_rate"] = sampling_rate
    known = _options_of(reader)
    for option in options:
        if option not in known:
            raise NameUnknownError(
                f"{source.name} was opened with {option}=, which {function} does not have",
                f"Its options were needed: {', '.join(known) or 'none'}",
                nearest(option, known),
            )
    return reader(source, **options)


def _reader_of(source: Path) -> tuple[str, Any]:
    """Name and function of the reader of a file."""
    module, function = _READERS[detect_format(source)][:2]
    return function, getattr(importlib.import_module(f"neurornn.io.{module}"), function)


def _options_of(reader: Any) -> list[str]:
    return list(inspect.signature(reader).parameters)[1:]


def reader_options(path: str | os.PathLike[str]) -> list[str]:
    """Return the options that the reader of a file has beside those of `open`.

    Parameters
    ----------
    path : file or folder.
    """
    return _options_of(_reader_of(check_source(path, folder=True))[1])


def _told_by_its_mark(source: Path, head: bytes) -> str | None:
    """Format whose first bytes or suffix are these, where a reader says so."""
    for name, (_, _, *marks) in _READERS.items():
        for mark in marks:
            if source.name.lower().endswith(mark) or head.startswith(mark.encode("latin-1")):
                return name
    return None


def detect_format(path: str | os.PathLike[str]) -> str:
    """Tell the format of a file or folder from its content.

    Parameters
    ----------
    path : file or folder that exists.

    Returns
    -------
    format : str
        One of ``nwb``, ``suite2p``, ``caiman``, ``minian``, ``matlab``, ``netcdf``, ``zarr``,
        ``hdf5``, ``npy``, ``npz``, ``delimited``, ``phy``, ``trodes``, ``fasta``, ``genbank``,
        ``two_bit``, ``gff``, ``bed``, ``vcf`` and ``vendor``.

    Raises
    ------
    FileFormatError
        An unknown or a refused format.
    """
    source = Path(path)
    if source.is_dir():
        return _detect_folder(source)
    with source.open("rb") as file:
        head = file.read(4096)
    if source.suffix.lower() in (".pkl", ".pickle") or _is_pickle(head):
        raise FileFormatError(
            f"{source.name} is a pickle",
            f"One of these was needed: {SUPPORTED}. Opening a pickle can run any code, so none is",
            "Save the arrays in it as npz or netCDF where they were made",
        )
    for mark, what in _STRANGERS:
        if head.startswith(mark):
            raise FileFormatError(
                f"{source.name} is {what}",
                f"One of these was needed: {SUPPORTED}",
                "Look for the recording itself",
            )
    told = _told_by_its_mark(source, head)
    if told is not None:
        return told
    if is_phy(source):
        return "phy"
    if head.startswith(b"MATLAB 5.0 MAT-file") or head.startswith(b"MATLAB 7.3 MAT-file"):
        return "matlab"
    if any(head[offset:].startswith(_HDF5) for offset in (0, 512, 1024, 2048)):
        return _detect_hdf5(source)
    if head.startswith(b"\x93NUMPY"):
        refuse_sorting(source)
        if is_plane_file(source):
            return "suite2p"
        return "npy"
    if head[:3] == b"CDF" and head[3:4] in (b"\x01", b"\x02"):
        return "netcdf"
    if head.startswith(b"PK\x03\x04"):
        return _detect_zip(source)
    if head.startswith(b"\x1f\x8b"):
        with explained(source, "gzip"), gzip.open(source, "rb") as file:
            head = file.read(4096)
    return _detect_text(source, head)


def _is_pickle(head: bytes) -> bool:
    return (
        len(head) > 2
        and head[0] == 0x80
        and head[1] in (2, 3, 4, 5)
        and head[2] in b"\x95}](cN\x8c"
    )


def _detect_hdf5(source: Path) -> str:
    import h5py

    with explained(source, "HDF5"), h5py.File(source, "r") as file:
        if file.attrs.get("format", b"") in (b"nix", "nix"):
            return "vendor"
        if "nwb_version" in file.attrs or file.attrs.get("neurodata_type") == "NWBFile":
            return "nwb"
        if {"unit_id", "frame"} <= set(file) and {"C", "YrA"} & set(file):
            return "minian"
        inside = hard_items(file)
        estimates = inside.get("estimates")
        if isinstance(estimates, h5py.Group) and {"F_dff", "C", "YrA"} & set(estimates):
            return "caiman"
        scales = any(
            isinstance(item, h5py.Dataset) and item.attrs.get("CLASS") == b"DIMENSION_SCALE"
            for item in inside.values()
        )
        if scales or "_NCProperties" in file.attrs or "neurornn_saved" in file.attrs:
            return "netcdf"
        return "hdf5"


def _detect_zip(source: Path) -> str:
    with explained(source, "npz"), zipfile.ZipFile(source) as archive:
        names = archive.namelist()
    if names and all(name.endswith(".npy") for name in names):
        return "npz"
    if "xl/workbook.xml" in names:
        raise FileFormatError(
            f"{source.name} is a workbook of Excel",
            f"One of these was needed: {SUPPORTED}",
            "Save its sheet as CSV, or with pandas: "
            'pandas.read_excel(path).to_csv("traces.csv", index=False)',
        )
    raise FileFormatError(
        f"{source.name} is a zip archive of {len(names)} files that are not npy",
        f"One of these was needed: {SUPPORTED}",
        "Unpack it and open the recording inside",
    )


def _detect_text(source: Path, head: bytes) -> str:
    first = head.decode(encoding_of(head) or "utf-8", "replace").removeprefix("\ufeff").lstrip()
    is_text = "\x00" not in first
    suffix = source.suffix.lower()
    inner = source.with_suffix("").suffix.lower() if suffix == ".gz" else suffix
    if first.startswith("<Start settings>"):
        return "trodes"
    if (is_text and first.startswith(">")) or inner in _FASTA:
        return "fasta"
    if (is_text and first.startswith("LOCUS ")) or inner in _GENBANK:
        return "genbank"
    told = _detect_annotation(first, inner) if is_text else None
    if told is not None:
        return told
    if first.startswith("BCF"):
        raise FileFormatError(
            f"{source.name} is a BCF file",
            f"One of these was needed: {SUPPORTED}",
            f"Write it as VCF: bcftools view {source.name} -o variants.vcf.gz -O z",
        )
    # Under these names damage is told with its line.
    named = inner in (".csv", ".tsv", ".txt")
    if named or (is_text and suffix in (".gz", ".dat", "")):
        return "delimited"
    from neurornn.io.neo_readers import sources_of

    if suffix == ".mat":
        return "matlab"
    if sources_of(source):
        return "vendor"
    raise FileFormatError(
        f"{source.name} starts with {head[:8]!r}, which is no known format"
        + (f", although its name says {suffix}" if suffix else ""),
        f"One of these was needed: {SUPPORTED}",
        "Is it damaged or renamed? Otherwise export it to NWB or CSV",
    )


def _detect_annotation(first: str, suffix: str) -> str | None:
    """Format of a text file of features or variants, by its first lines or its name."""
    if first.startswith("##fileformat=VCF") or suffix == ".vcf":
        return "vcf"
    if looks_like_rows(first) or suffix in (".gff", ".gff3", ".gtf"):
        return "gff"
    if re.match(r"track (name|type|desc)|browser (pos|hide|pack)", first) or suffix == ".bed":
        return "bed"
    return None


def _detect_folder(folder: Path) -> str:
    from neurornn.io.minian import is_minian

    names = {entry.name for entry in folder.iterdir()}
    if is_minian(folder):
        return "minian"
    if is_phy(folder):
        return "phy"
    refuse_sorting(folder)
    if names & {"zarr.json", ".zgroup", ".zattrs", ".zmetadata"}:
        refuse_zarr(folder)
        return "zarr"
    if any(name.endswith(".videoPositionTracking") for name in names):
        return "trodes"
    planes = any(re.fullmatch(r"plane\d+", name) and (folder / name).is_dir() for name in names)
    if {"F.npy", "iscell.npy"} & names or planes or (folder / "suite2p").is_dir():
        return "suite2p"
    from neurornn.io.neo_readers import sources_of

    remedy = "Open one file in it"
    if "settings.json" not in names and sources_of(folder):
        return "vendor"
    if "settings.json" in names:
        came = f"{folder.name} holds a saved result, not a recording"
        remedy = f'Load it with nr.load("{folder.name}")'
    else:
        shown = ", ".join(sorted(names)[:5]) or "nothing"
        came = f"{folder.name} is a folder of {len(names)} entries ({shown}) of no known layout"
        if names:
            remedy = f'Open one file in it, for example nr.open("{folder / min(names)}")'
    raise FileFormatError(
        came,
        "A file, or a folder of Suite2p, Minian, Zarr, phy, Trodes or a vendor format was needed",
        remedy,
    )
