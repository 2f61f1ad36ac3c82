"""Which sortings are read (phy, Kilosort), and how to take what is in those that are not."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from neurornn._core.errors import FileFormatError

#: Whose each spike is: as curated in phy, and as the sorter found it.
OWNERS = ("spike_clusters.npy", "spike_templates.npy")
#: Any of these stands for the whole folder of phy or Kilosort.
_DOORS = ("params.py", "spike_times.npy", *OWNERS)
#: What SpikeInterface writes beside the arrays of a sorting, a recording or an analysis of both.
_SPIKEINTERFACE = (
    *("numpysorting_info.json", "si_folder.json", "spikeinterface_info.json", "provenance.json"),
    *("provenance.pkl", "binary.json", "sorting_info.json"),
)


def is_phy(path: Path) -> bool:
    """Whether a folder holds sorted spikes in phy's layout, or a file is a door to such a one.

    Parameters
    ----------
    path : file, or folder.
    """
    folder = path
    if not path.is_dir():
        if path.name not in _DOORS:
            return False
        folder = path.parent
    there = [(folder / name).is_file() for name in ("spike_times.npy", *OWNERS)]
    # Open Ephys before 0.6 called its spikes so too, with the electrode of each.
    theirs = (folder / "spike_electrode_indices.npy").is_file()
    return there[0] and any(there[1:]) and not theirs


def refuse_sorting(path: Path) -> None:
    """Raise where a file or a folder belongs to a sorting that is not read.

    Parameters
    ----------
    path : file, or folder; not one that `is_phy` knows.

    Raises
    ------
    FileFormatError
        It is one; the message says how to take the spikes from it.
    """
    if path.is_dir():
        names = {entry.name for entry in path.iterdir()}
        _refuse_spikeinterface(path, names)
        if "spike_times.npy" in names or {"spike_clusters.npy", "params.py"} <= names:
            raise _half(path, names)
        return
    if path.suffix != ".npy":
        return
    if {"sample_index", "unit_index"} <= set(_fields(path)):
        raise _spikeinterface(path, path.parent, "the spikes of a SpikeInterface sorting")
    beside = {entry.name for entry in path.parent.iterdir()}
    if is_phy(path.parent):
        raise FileFormatError(
            f"{path.name} is one file of a folder of sorted spikes (phy, Kilosort)",
            "The folder, or its spike_times.npy, was needed; this alone is no recording",
            f'Open the folder: nr.open("{path.parent}")',
        )
    named = re.fullmatch(r"(spike_times|spike_clusters|spike_templates).*\.npy", path.name)
    if named or ("spike_times.npy" in beside and "params.py" in beside):
        raise _half(path, beside)


def is_spikeinterface(names: set[str]) -> list[str]:
    """Return which of the names in a folder are those of files of SpikeInterface."""
    return sorted(names & set(_SPIKEINTERFACE))


def _fields(path: Path) -> tuple[str, ...]:
    """Return the fields of a structured npy file, reading only its header."""
    try:
        with path.open("rb") as file:
            major, _ = np.lib.format.read_magic(file)
            read: Any = {
                1: np.lib.format.read_array_header_1_0,
                2: np.lib.format.read_array_header_2_0,
            }.get(major)
            dtype = read(file)[2] if read else None
    except Exception:
        # NumPy raises nearly everything on a damaged header; `read_npy` says what is wrong.
        return ()
    return tuple(getattr(dtype, "names", None) or ())


def _half(path: Path, names: set[str]) -> FileFormatError:
    if "spike_electrode_indices.npy" in names:
        return FileFormatError(
            f"{path.name} holds spikes that Open Ephys detected, in its binary format",
            "A recording was needed; these are not read yet",
            "Take them: t = numpy.load('spike_times.npy') / rate, with the rate of "
            "structure.oebin; then nr.data.from_spikes of the times of each unit",
        )
    owners = [n for n in OWNERS if n in names]
    lacking = [] if "spike_times.npy" in names else ["spike_times.npy"]
    lacking += [] if owners else ["spike_clusters.npy"]
    return FileFormatError(
        f"{path.name} looks like sorted spikes (phy, Kilosort)"
        + (f", and {' and '.join(lacking)} are missing" if lacking else ""),
        "spike_times.npy, which counts samples, and spike_clusters.npy (or spike_templates.npy), "
        "which says whose each spike is, were needed in one folder",
        "Copy them into it, with params.py, and open the folder; if these are times in s: "
        "nr.data.from_spikes([numpy.load(path)])",
    )


def _refuse_spikeinterface(path: Path, names: set[str]) -> None:
    attributes = _zarr_attributes(path)
    stated = " ".join(map(str, attributes)) + str(attributes.get("spikeinterface_info", ""))
    ours = names & set(_SPIKEINTERFACE)
    if not ours and "spikeinterface" not in stated.lower():
        return
    kind = "a sorting"
    if "binary.json" in names or "traces_cached_seg0.raw" in names:
        kind = "a recording of raw voltage"
    elif "sorting" in names or "analyzer" in json.dumps(attributes, default=str).lower():
        kind = "an analysis of a sorting"
    raise _spikeinterface(path, path, f"{kind} that SpikeInterface wrote")


def _spikeinterface(path: Path, folder: Path, what: str) -> FileFormatError:
    return FileFormatError(
        f"{path.name} holds {what}, which is not read yet",
        "A recording was needed; in a sorting, spikes.npy counts samples, and unit_index is a "
        "position in the list of units",
        f'Take the spikes: s = spikeinterface.load("{folder}"); then nr.data.from_spikes('
        "[s.get_unit_spike_train(u, return_times=True) for u in s.unit_ids], unit=s.unit_ids, "
        "t_start=0); of an analysis s.sorting; or divide sample_index by the sampling rate in Hz",
    )


def _zarr_attributes(folder: Path) -> dict[str, Any]:
    """Return the attributes of the root of a Zarr folder of format 2 or 3, or nothing."""
    for name in (".zattrs", "zarr.json"):
        try:
            found = json.loads((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(found, dict):
            inside = found.get("attributes", {}) if name == "zarr.json" else found
            return inside if isinstance(inside, dict) else {}
    return {}


def refuse_zarr(folder: Path) -> None:
    """Raise where a Zarr folder is no recording of ours: NWB, or arrays below the root.

    Parameters
    ----------
    folder : with ``.zgroup``, ``.zattrs`` or ``zarr.json`` in it.

    Raises
    ------
    FileFormatError
        It holds NWB as hdmf-zarr writes it, or groups and no array at its root.
    """
    attributes = _zarr_attributes(folder)
    if ".specloc" in attributes or "nwb_version" in attributes:
        stated = attributes.get("nwb_version")
        raise FileFormatError(
            f"{folder.name} is NWB {f'{stated} ' if stated else ''}in Zarr, as hdmf-zarr writes "
            "it: format 2 with object references, which need hdmf-zarr and an older zarr than "
            "this package",
            "NWB in HDF5 was needed, which holds the same",
            "Convert it where hdmf-zarr is installed: with NWBZarrIO(path, mode='r') as a, "
            "pynwb.NWBHDF5IO('session.nwb', mode='w') as b: b.export(src_io=a, write_args="
            "{'link_data': False})",
        )
    below = _children(folder)
    if any(kind == "array" for _, kind in below):
        return
    groups = [name for name, kind in below if kind == "group"]
    if not groups:
        return
    arrays = [
        f"{group}/{name}"
        for group in groups
        for name, kind in _children(folder / group)
        if kind == "array"
    ]
    raise FileFormatError(
        f"{folder.name} is a Zarr group with no array at its root; below lie "
        + (", ".join(arrays[:6]) if arrays else f"the groups {', '.join(groups[:6])}"),
        "The variables of one recording in one group were needed",
        f'Open the group that holds them: nr.open("{folder / groups[0]}"); or read the arrays '
        "with zarr.open and pass them to nr.data.from_traces or nr.data.from_spikes",
    )


def _children(folder: Path) -> list[tuple[str, str]]:
    """Return what lies in a Zarr group: name, and array or group."""
    out = []
    for place in sorted(p for p in folder.iterdir() if p.is_dir()):
        if (place / ".zarray").is_file():
            out.append((place.name, "array"))
        elif (place / ".zgroup").is_file():
            out.append((place.name, "group"))
        elif (place / "zarr.json").is_file():
            try:
                stated = json.loads((place / "zarr.json").read_text(encoding="utf-8"))
            except ValueError:
                continue
            kind = stated.get("node_type", "array") if isinstance(stated, dict) else "array"
            out.append((place.name, str(kind)))
    return out
