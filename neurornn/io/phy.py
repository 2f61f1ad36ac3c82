"""Sorted spikes in phy's layout, as Kilosort 2 to 4 and phy leave them."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.errors import DataError, FileFormatError, ShapeError, UnitWarning
from neurornn._core.warning import warn_user
from neurornn.data.observation import just_before
from neurornn.data.recording import from_spikes
from neurornn.io.phy_folders import rate_of, whole_numbers
from neurornn.io.phy_labels import kinds_of, labels_of
from neurornn.io.phy_places import places_of
from neurornn.io.sortings import OWNERS, is_phy, is_spikeinterface
from neurornn.io.sources import check_source, explained, stamped

#: s; a step back that is longer is no matter of order but of a clock that began again.
_BACK = 1.0
_CLOCK = (
    "counts from the first sample of the file that was sorted, at {rate:.12g} Hz; where that file "
    "begins on the clock of the rig does not stand here (the file of a SpikeGLX run begins "
    "firstSample / rate after the run)"
)


def read_phy(
    path: str | os.PathLike[str],
    *,
    sampling_rate: float | None = None,
    noise: bool = False,
) -> xr.Dataset:
    """Read sorted spikes from a folder of phy or Kilosort 2 to 4.

    Parameters
    ----------
    path : the folder, or its ``params.py``, ``spike_times.npy`` or ``spike_clusters.npy``.
    sampling_rate : Hz, of the samples; needed where ``params.py`` does not state it.
    noise : read the clusters that were called noise too.

    Returns
    -------
    Dataset with ``spike_times (spike)`` in s. Units bear the number of their cluster, as it was
    curated (``spike_clusters.npy``; else ``spike_templates.npy``). ``unit_kind (unit)`` is
    sorted (good), multi-unit (mua), unsorted, noise, or not stated; the words themselves stand in
    ``group``, ``KSLabel`` and ``quality``. ``channel`` is the row of the recording in which the
    mean template is largest, from 0, and ``depth`` (um) the y of that channel. The attrs say
    what was left out (``not_read``).

    Raises
    ------
    FileFormatError
        A file is missing, damaged, or a link out of the folder; nothing but noise.
    UnitError
        No rate, or two that differ.
    ShapeError, DataError
        Clusters of another number of spikes; times that are no sample numbers.

    Notes
    -----
    A cluster is of the kind that its ``group`` says, where it was curated, then its ``quality``,
    then ``KSLabel``. Times are sample numbers divided by the rate, so 0 s is the first sample of
    the file that was sorted. ``kept_spikes.npy`` belongs to another list of spikes and is not
    used. ``params.py`` is read as text: it is a program, and none is run.
    """
    source = check_source(path, folder=True).absolute()
    folder = source if source.is_dir() else source.parent
    if not is_phy(folder):
        raise FileFormatError(
            f"{source.name} is no folder of phy or Kilosort",
            "spike_times.npy and spike_clusters.npy were needed in it",
            "Open it with nr.open, which looks at what it is",
        )
    with explained(source, "phy"):
        recording = _read(folder, rate_of(folder, sampling_rate), noise)
    return stamped(recording, source, "phy")


def _read(folder: Path, rate: float, noise: bool) -> xr.Dataset:
    samples = _samples(folder, rate)
    clusters = next(c for name in OWNERS if (c := whole_numbers(folder, name)) is not None)
    _same_length(folder, samples, clusters, "spike_clusters.npy")
    order = _by_cluster(clusters)
    times = samples[order] / rate
    start = just_before(0.0) if samples.min() == 0 else 0.0
    del samples
    clusters = clusters[order]
    opens = np.flatnonzero(np.concatenate([[True], clusters[1:] != clusters[:-1]]))
    unit = clusters[opens].astype(np.int64)
    del clusters
    counts = np.diff(np.append(opens, len(times)))
    coords: dict[str, Any] = {}
    words, idle = labels_of(folder, unit)
    kinds = kinds_of(words, len(unit))
    about = "what was said of the cluster: good is sorted, mua is multi-unit"
    coords["unit_kind"] = ("unit", kinds, {"long_name": about})
    coords |= {name: ("unit", values) for name, values in words.items()}
    templates = whole_numbers(folder, "spike_templates.npy")
    if templates is not None:
        _same_length(folder, times, templates, "spike_templates.npy")
        coords |= places_of(folder, templates[order], opens)
    del order, templates
    left = []
    keep = np.full(len(unit), True) if noise else kinds != "noise"
    if not keep.all():
        gone = [f"{u} ({n} spikes)" for u, n in zip(unit[~keep], counts[~keep], strict=True)]
        left.append(f"noise, which noise=True reads: {', '.join(gone)}")
    if not keep.any():
        raise FileFormatError(
            f"{folder.name} holds nothing but noise: {len(unit)} clusters",
            "At least one cluster that is not called noise was needed",
            "Read them with noise=True",
        )
    if idle:
        left.append(f"labels of clusters that have no spike: {', '.join(map(str, idle))}")
    others = is_spikeinterface({entry.name for entry in folder.iterdir()})
    if others:
        left.append(f"what SpikeInterface wrote into the same folder: {', '.join(others)}")
    trains = np.split(times, opens[1:])
    # How long the file is stands in none of these files, but all of it up to here was sorted.
    last = float(times.max())
    recording = from_spikes(
        [train for train, kept in zip(trains, keep, strict=True) if kept],
        unit=unit[keep],
        t_start=start,
        t_stop=last,
    )
    recording["start"].attrs["chosen"] = "0 s: the first sample of the file that was sorted"
    recording["stop"].attrs["chosen"] = (
        f"last spike, at {last:.12g} s: how long the file is does not stand in the folder"
    )
    recording = recording.assign_coords(
        {name: (c[0], c[1][keep], *c[2:]) for name, c in coords.items()}
    )
    recording.attrs["clock"] = _CLOCK.format(rate=rate)
    if left:
        recording.attrs["not_read"] = ", ".join(left)
    return recording


def _samples(folder: Path, rate: float) -> NDArray[np.integer[Any]]:
    """Return the sample of each spike, looked over."""
    samples = whole_numbers(folder, "spike_times.npy")
    assert samples is not None
    if not len(samples):
        raise FileFormatError(
            f"spike_times.npy of {folder.name} holds no spike",
            "At least one spike was needed",
            "Did the sorter run to its end?",
        )
    if samples.min() < 0:
        n = int(np.sum(samples < 0))
        raise DataError(
            f"{n} of {len(samples)} spikes of {folder.name} lie before the first sample, the "
            f"earliest at sample {samples.min()}",
            "Samples that count from 0 were needed",
            "Were times taken off that another clock had added? Sort again, or take those spikes "
            "out of all of spike_*.npy",
        )
    falls = np.flatnonzero(samples[1:] < samples[:-1])
    steps = samples[falls].astype(np.int64) - samples[falls + 1].astype(np.int64)
    if len(falls) and steps.max() > _BACK * rate:
        k = int(falls[np.argmax(steps)])
        warn_user(
            f"The spikes of {folder.name} go back from {samples[k] / rate:.12g} to "
            f"{samples[k + 1] / rate:.12g} s, as spike {k + 1} of {len(samples)}. Samples of one "
            "recording, in order, were needed; they were sorted. Were two sessions put one behind "
            "the other? Then they lie on top of each other: shift the samples of the second.",
            UnitWarning,
        )
    return samples


def _by_cluster(clusters: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """Return the order of spikes cluster after cluster, each in the order of the file."""
    if clusters.min() >= 0 and clusters.max() < 2**16:
        # Short numbers are sorted in half the time.
        clusters = clusters.astype(np.uint16)
    return np.argsort(clusters, kind="stable")


def _same_length(folder: Path, spikes: NDArray[Any], others: NDArray[Any], name: str) -> None:
    if len(spikes) == len(others):
        return
    raise ShapeError(
        f"{name} of {folder.name} has {len(others)} entries for the {len(spikes)} spikes of "
        "spike_times.npy",
        "One entry for each spike was needed",
        "One of them is of another run, or cut short: copy the folder again",
    )
