"""What all commands that open a file share: every option of `nr.open`, and its messages."""

import re
from typing import Any

#: Options of `nr.open`: name -> type, what it is. Those that hold a mapping are Python's alone
#: (``chunks``, ``reader_options``, ``contig_names``), but for ``rows``.
OPENING = {
    "sampling_rate": (float, "Hz, where the file states none"),
    "variable": (str, "name of the traces in the file (MATLAB, npz, HDF5, CaImAn)"),
    "series": (str, "name of the series of traces, units, or all; several with commas (NWB)"),
    "plane": (str, "number of the plane, or combined (Suite2p)"),
    "neuropil": (float, "coefficient of the neuropil that is taken off (Suite2p)"),
    "only_cells": (bool, "leave out what is no cell (Suite2p, CaImAn, CSV)"),
    "override_rate": (bool, "take --sampling-rate against the file (Suite2p, CaImAn)"),
    "axes": (str, "order of the axes, for example unit,time (MATLAB, npz, HDF5)"),
    "time_unit": (str, "unit of the times, for example ms (CSV)"),
    "header": (bool, "whether the first line holds names (CSV)"),
    "unit_column": (str, "name of the column with the units (CSV)"),
    "rows": (str, "read only rows with this value, for example LedState=2 (CSV)"),
    "unit_variable": (str, "name of the labels of units (MATLAB, npz, HDF5)"),
    "day": (int, "number of the day, from 1 (nested cells of MATLAB)"),
    "epoch": (int, "number of the epoch, from 1 (nested cells of MATLAB)"),
    "group": (str, "name of the group (netCDF)"),
    "segment": (int, "number of the segment, from 0 (vendor formats)"),
    "block": (int, "number of the block, from 0 (vendor formats)"),
    "stream": (str, "name of the stream, or none; several with commas (vendor formats)"),
    "gap_tolerance": (float, "s; longer pauses between records are gaps (vendor formats)"),
    "noise": (bool, "read what the system or the sorter calls noise too (vendor formats, phy)"),
    "alphabet": (str, "of the sequences (FASTA)"),
    "annotation": (str, "GFF3, GTF or BED file with the genes (FASTA, 2bit, GenBank)"),
    "circular": (bool, "all contigs are circular, or none is (FASTA, 2bit, GenBank)"),
    "lazy": (bool, "leave the letters on disk (FASTA, 2bit)"),
    "join": (str, "which rows of GFF3 are one feature: id or parent"),
    "types": (str, "of the features that are kept, with commas (GFF3, GTF)"),
    "type": (str, "what the rows of a BED file are, for example CDS"),
    "name": (str, "what the traces are called"),
    "indicator": (str, "for example jGCaMP8s"),
    "max_size": (float, "bytes that the recording may take in memory"),
    "follow_links": (bool, "follow links out of the file"),
}
#: Of these several may be named, with commas between.
_LISTS = ("axes", "series", "stream", "types")


def add_option(parser: Any, name: str, kind: Any, said: str, default: Any = None) -> None:
    """Add an option that may be spelt with either dash."""
    spelt = [f"--{name}"]
    if "_" in name:
        spelt.append(f"--{name.replace('_', '-')}")
    kind = kind if default is not None else kind | None
    parser.add_argument(*spelt, type=kind, default=default, help=said)


def add_opening(parser: Any) -> None:
    """Add the file and every option of `nr.open`."""
    parser.add_argument("file", type=str)
    for name, (kind, said) in OPENING.items():
        add_option(parser, name, kind, said)


def opened(a: Any) -> Any:
    """Open the file of a command with the options that were passed."""
    import neurornn as nr

    given = {name: a[name] for name in OPENING if a[name] is not None}
    if "variable" in given and "variable" not in nr.io.reader_options(a.file):
        # This reader gives all that there is; the command picks one of them.
        del given["variable"]
    if "plane" in given and given["plane"].isdigit():
        given["plane"] = int(given["plane"])
    if "rows" in given:
        given["rows"] = _rows_of(given["rows"])
    for name in _LISTS:
        parts = [part.strip() for part in given.get(name, "").split(",")]
        if len(parts) > 1:
            given[name] = parts
    return nr.open(a.file, **given)


def _rows_of(said: str) -> dict[str, float]:
    """Column and value of ``COLUMN=VALUE``, several with commas between."""
    from neurornn._core.errors import DataError

    found = {}
    for part in said.split(","):
        column, _, value = part.rpartition("=")
        try:
            found[column.strip()] = float(value)
        except ValueError:
            column = ""
        if not column.strip():
            raise DataError(
                f"rows is {said!r}",
                "The name of a column and a number were needed, COLUMN=VALUE",
                "Pass for example --rows LedState=2",
            )
    return found


def in_words_of_the_door(message: str, arguments: Any) -> str:
    """Return a message of the library with its arguments as options of the command.

    Parameters
    ----------
    message : for example ``Pass sampling_rate=30.0``.
    arguments : of the command; names that are none of them stay as they are.
    """
    known = [k for k in vars(arguments) if not k.startswith("_")]
    # A way that commands do not have.
    message = message.replace(" or pass overwrite=True,", "")
    value = r"(\"[^\"]*\"|'[^']*'|[^\s,;:)\]]*[^\s,;:)\].])?"

    def said(found: re.Match[str]) -> str:
        option = f"--{found[1].replace('_', '-')}"
        return option if found[2] is None or found[2] == "True" else f"{option} {found[2]}"

    return re.sub(rf"(?<![\w.-])({'|'.join(map(re.escape, known))})={value}", said, message)
