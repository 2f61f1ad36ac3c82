"""What all commands that open a file share: every option of `nr.open`, and its messages."""

import re
from typing import Any

#: Options of `nr.open`: name -> type, what it is.
OPENING = {
    "sampling_rate": (float, "Hz, where the file states none"),
    "variable": (str, "name of the traces in the file (MATLAB, npz, HDF5, CaImAn)"),
    "series": (str, "name of the series of traces (NWB)"),
    "plane": (str, "number of the plane, or all (Suite2p)"),
    "neuropil": (float, "coefficient of the neuropil that is taken off (Suite2p)"),
    "only_cells": (bool, "leave out what is no cell (Suite2p, CSV)"),
    "override_rate": (bool, "take --sampling-rate against the file (Suite2p, CaImAn)"),
    "axes": (str, "order of the axes, for example unit,time (MATLAB, npz, HDF5)"),
    "time_unit": (str, "unit of the times, for example ms (CSV)"),
    "unit_column": (str, "name of the column with the units (CSV)"),
    "unit_variable": (str, "name of the labels of units (MATLAB, npz, HDF5)"),
    "rows": (str, "what a row is, for example cells (CSV)"),
    "segment": (int, "number of the segment (vendor formats)"),
    "block": (int, "number of the block (vendor formats)"),
    "stream": (str, "name of the stream (vendor formats)"),
    "gap_tolerance": (float, "ms, of pauses that are none (vendor formats)"),
    "indicator": (str, "for example jGCaMP8s"),
    "max_size": (float, "bytes that the recording may take in memory"),
    "follow_links": (bool, "follow links out of the file"),
}


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
    if "axes" in given:
        given["axes"] = tuple(part.strip() for part in given["axes"].split(","))
    return nr.open(a.file, **given)


def in_words_of_the_door(message: str, arguments: Any) -> str:
    """Return a message of the library with its arguments as options of the command.

    Parameters
    ----------
    message : for example ``Pass sampling_rate=30.0``.
    arguments : of the command; names that are none of them stay as they are.
    """
    known = [k for k in vars(arguments) if not k.startswith("_")]
    value = r"(\"[^\"]*\"|'[^']*'|[^\s,;:)\]]*[^\s,;:)\].])?"

    def said(found: re.Match[str]) -> str:
        option = f"--{found[1].replace('_', '-')}"
        return option if found[2] is None or found[2] == "True" else f"{option} {found[2]}"

    return re.sub(rf"(?<![\w.-])({'|'.join(map(re.escape, known))})={value}", said, message)
