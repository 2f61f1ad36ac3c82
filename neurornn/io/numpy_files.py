"""NumPy files: npy arrays, npz archives, and the ground-truth layout of imaging with spikes."""

import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_count
from neurornn._core.errors import FileFormatError
from neurornn.io.arrays import (
    TrialTraces,
    indicator_of,
    recording_from_arrays,
    recording_from_trials,
    trace_name,
)
from neurornn.io.clocks import one_rate, rates_in
from neurornn.io.limits import check_npy, check_npz
from neurornn.io.pynapple_files import pynapple_kind, recording_of_pynapple
from neurornn.io.sources import check_source, explained, stamped


def read_npy(
    path: str | os.PathLike[str],
    *,
    sampling_rate: float | None = None,
    name: str | None = None,
    axes: Sequence[str] | None = None,
    indicator: str | None = None,
) -> xr.Dataset:
    """Read traces from an npy file.

    Parameters
    ----------
    path : file with an array (time, unit) or (unit, time); called as Suite2p calls them
        (``F.npy``, ``F_chan2.npy``), (unit, time).
    sampling_rate : Hz; an npy file cannot state it.
    name : ``"dff"`` or ``"fluorescence"``; by default read off the file name.
    axes : as stored; by default the longer axis is time.
    indicator : by default read off the file name.

    Raises
    ------
    FileFormatError, UnitError, ShapeError
        A damaged or pickled file, no rate, or axes that cannot be told apart.
    """
    source = check_source(path)
    rate = None if sampling_rate is None else one_rate(sampling_rate, "sampling_rate=")
    array = load_npy(source)
    if axes is None and source.stem == "F" and array.ndim == 2:
        axes = ("unit", "time")
    recording = recording_from_arrays(
        {source.stem: array},
        source=source.name,
        variable=source.stem,
        name=name or trace_name(source.stem),
        sampling_rate=rate,
        axes=axes,
        indicator=indicator or indicator_of(source.name, source.parent.name),
    )
    return stamped(recording, source, "npy")


def load_npy(source: Path, *, on_disk: bool = False) -> NDArray[Any]:
    """Load the array of an npy file, after a look at what its header declares.

    Parameters
    ----------
    source : file that is there.
    on_disk : whether its values stay on disk until they are used.

    Raises
    ------
    FileFormatError
        A damaged file, Python objects, or more bytes than are allowed.
    """
    with explained(source, "npy"):
        with source.open("rb") as file:
            check_npy(file, source.stat().st_size, "The array", source.name)
        mode: Any = "r" if on_disk else None
        return np.asarray(
            _refuse_objects(source, lambda: np.load(source, mode, allow_pickle=False))
        )


def read_npz(
    path: str | os.PathLike[str],
    *,
    sampling_rate: float | None = None,
    variable: str | None = None,
    name: str | None = None,
    axes: Sequence[str] | None = None,
    indicator: str | None = None,
    unit_variable: str | None = None,
) -> xr.Dataset:
    """Read a recording from an npz archive.

    Parameters
    ----------
    path : archive of arrays
        Where it holds ``n_trials`` and ``dff_0, t0_s_0, t_end_s_0, spikes_s_0, ...`` the trials
        are joined on one clock. What pynapple saves (TsGroup, Ts, Tsd, TsdFrame, IntervalSet) is
        read as `neurornn.data.from_pynapple` reads it; metadata, and labels that are text, are
        pickled there, and named in ``not_read``. Else one array holds the traces.
    sampling_rate : Hz; needed where the archive holds neither a rate nor frame times.
    variable : which array holds the traces; needed where their names do not tell.
    name, axes, indicator : as in `read_npy`.
    unit_variable : which array holds the unit of each of the ``spike_times``; needed where names
        do not tell.

    Raises
    ------
    FileFormatError, NameUnknownError, UnitError, ShapeError, DataError
        A damaged archive or arrays that need pickle; an unknown `variable`; no rate, or several
        that differ; arrays of other lengths than the traces or the spikes.
    """
    source = check_source(path)
    if sampling_rate is not None:
        sampling_rate = one_rate(sampling_rate, "sampling_rate=")
    with explained(source, "npz"):
        kind, left = _pynapple(source) if variable is None else (None, [])
        bag = _refuse_objects(source, lambda: _members(source, left))
    if kind is not None:
        with explained(source, f"npz of pynapple, {kind}"):
            recording = recording_of_pynapple(
                kind, bag, left, source=source, name=name, sampling_rate=sampling_rate
            )
        return stamped(recording, source, f"npz (pynapple {kind})")
    indicator = indicator or indicator_of(source.name, source.parent.name)
    if variable is None and {"n_trials", "dff_0"} <= set(bag):
        stated = np.asarray(bag["n_trials"])
        if stated.size != 1:
            raise FileFormatError(
                f"n_trials of {source.name} holds {stated.size} values",
                "The number of trials was needed",
                "Save it again, with n_trials as one whole number",
            )
        n_trials = check_count(stated.ravel()[0].item(), "n_trials")
        last = max(int(k[4:]) for k in bag if re.fullmatch(r"dff_\d+", k)) + 1
        if last != n_trials:
            raise FileFormatError(
                f"n_trials of {source.name} is {n_trials} and its trials reach dff_{last - 1}",
                f"dff_0 to dff_{n_trials - 1} were needed",
                "Save it again; was a trial lost?",
            )
        with explained(source, "npz with trials"):
            trials = [_trial(bag, k) for k in range(n_trials)]
            recording = recording_from_trials(
                trials,
                indicator=indicator,
                rates={"sampling_rate=": sampling_rate, **rates_in(bag)},
                source=source.name,
            )
        return stamped(recording, source, "npz (trials)", sampling_rate)
    recording = recording_from_arrays(
        bag,
        source=source.name,
        variable=variable,
        name=name,
        sampling_rate=sampling_rate,
        axes=axes,
        indicator=indicator,
        unit_variable=unit_variable,
    )
    return stamped(recording, source, "npz", sampling_rate)


def _pynapple(source: Path) -> tuple[str | None, list[str]]:
    """Return what pynapple has saved here, if it has, and which members are Python objects."""
    check_npz(source)
    with np.load(source, allow_pickle=False) as archive:
        names = list(archive.files)
        stated = None
        if "type" in names:
            known = _plain_member(archive, "type")
            if known is None or known.dtype.kind != "U" or known.size != 1:
                return None, []
            stated = str(known.ravel()[0])
        kind = pynapple_kind(names, stated)
        if kind is None:
            return None, []
        return kind, [name for name in names if _plain_member(archive, name) is None]


def _plain_member(archive: Any, name: str) -> NDArray[Any] | None:
    """Return a member of an archive, or None where it is pickled."""
    try:
        return np.asarray(archive[name])
    except ValueError as error:
        if "pickle" not in str(error).lower():
            raise
        return None


def _members(source: Path, left: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
    check_npz(source)
    with zipfile.ZipFile(source) as archive:
        broken = archive.testzip()
        if broken is not None:
            raise zipfile.BadZipFile(f"the member {broken} fails its checksum")
    with np.load(source, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files if key not in left}


def _refuse_objects(source: Path, load: Any) -> Any:
    try:
        return load()
    except ValueError as error:
        if "pickle" not in str(error).lower():
            raise
        raise FileFormatError(
            f"{source.name} holds arrays of Python objects, which are stored as pickle",
            "Plain arrays of numbers or text were needed: unpickling can run any code",
            "Save the parts as numeric arrays: np.savez(path, dff=..., time=...)",
        ) from error


def _trial(bag: Mapping[str, NDArray[Any]], k: int) -> TrialTraces:
    dff = bag[f"dff_{k}"]
    if f"t_s_{k}" in bag:
        time = np.asarray(bag[f"t_s_{k}"], dtype=float)
    else:
        # First and last stamp, not the nominal rate: a rate taken from stamps rounded to clock
        # ticks is off by up to 0.06 %, ten frames over a trial.
        time = np.linspace(float(bag[f"t0_s_{k}"]), float(bag[f"t_end_s_{k}"]), len(dff))
    spikes = bag.get(f"spikes_s_{k}")
    return TrialTraces(
        time=time,
        values=dff,
        spike_times=None if spikes is None else np.asarray(spikes, dtype=float),
    )
