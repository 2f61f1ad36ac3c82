"""Folders of spike sorters and of SpikeInterface: what they are, and how to take their spikes."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from neurornn._core.errors import FileFormatError

#: Files that only a sorting in phy's layout has (Kilosort, phy, and what exports to them).
_PHY = ("spike_times.npy", "spike_clusters.npy", "spike_templates.npy")
#: What SpikeInterface writes beside the arrays of a sorting, a recording or an analysis of both.
_SPIKEINTERFACE = (
    *("numpysorting_info.json", "si_folder.json", "spikeinterface_info.json", "provenance.json"),
    *("provenance.pkl", "binary.json", "sorting_info.json"),
)


def refuse_sorting(path: Path) -> None:
    """Raise where a file or a folder belongs to a sorting, which is not read yet.

    Parameters
    ----------
    path : file, or folder.

    Raises
    ------
    FileFormatError
        It is one; the message says how to take the spikes from it.
    """
    if path.is_dir():
        names = {entry.name for entry in path.iterdir()}
        _refuse_spikeinterface(path, names)
        if "spike_times.npy" in names or {"spike_clusters.npy", "params.py"} <= names:
            raise _phy(path, path)
        return
    if path.suffix != ".npy":
        return
    beside = {entry.name for entry in path.parent.iterdir()}
    named = path.name in _PHY or re.fullmatch(r"(spike_times|spike_clusters).*\.npy", path.name)
    if named or ("spike_times.npy" in beside and {"params.py", "spike_clusters.npy"} & beside):
        raise _phy(path, path.parent)
    if {"sample_index", "unit_index"} <= set(_fields(path)):
        raise _spikeinterface(path, path.parent, "the spikes of a SpikeInterface sorting")


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


def _phy(path: Path, folder: Path) -> FileFormatError:
    rate = _rate_of_params(folder / "params.py")
    shown = f"{rate:g}" if rate else "sample_rate of params.py"
    what = "is a folder" if path.is_dir() else "is one file of a folder"
    return FileFormatError(
        f"{path.name} {what} of sorted spikes (phy, Kilosort), which is not read yet: "
        "spike_times.npy counts samples, and spike_clusters.npy says whose each spike is",
        "A recording was needed; spike times are no fluorescence",
        "Take the spikes: t = np.load('spike_times.npy').ravel() / "
        f"{shown}; c = np.load('spike_clusters.npy').ravel(); then nr.data.from_spikes("
        "[t[c == k] for k in np.unique(c)], unit=np.unique(c), t_start=0); cluster_group.tsv "
        "says which clusters are good",
    )


def _rate_of_params(path: Path) -> float | None:
    # Read as text: params.py is a program, and none is run.
    if not path.is_file():
        return None
    found = re.search(
        r"^\s*sample_rate\s*=\s*([0-9.eE+]+)", path.read_text("utf-8", "replace"), re.MULTILINE
    )
    try:
        return float(found[1]) if found else None
    except ValueError:
        return None


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
