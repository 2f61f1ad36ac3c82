"""The planes of a run of Suite2p, as arrays, and the one recording that they make."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.errors import DataError, ShapeError
from neurornn._core.warning import warn_user
from neurornn.data.recording import from_traces
from neurornn.io.arrays import no_rate
from neurornn.io.clocks import OVERRIDE, agreed_rate

#: Arrays of a run that are named and not read.
NOT_READ = ("spks", "F_chan2", "Fneu_chan2", "redcell", "stat")
#: All of a plane, or of all planes, as a MATLAB file.
FALL = "Fall.mat"
#: Share of the neuropil that Suite2p takes where nobody sets another.
_USUAL_SHARE = 0.7


@dataclass(frozen=True, kw_only=True)
class Plane:
    """One plane of a run, or several that Suite2p has put together.

    Attributes
    ----------
    name : as its folder is called.
    traces : (ROI, frame), ``F``.
    around : (ROI, frame), ``Fneu``, or None.
    chosen : rows of the ROIs that are read.
    probability : (ROI,), that it is a cell, or None.
    settings : file -> what it states.
    not_read : what else there is.
    numbers : (ROI,), the plane of each, or None where it is one.
    lengths : (ROI,), frames that were recorded, or None where all were.
    """

    name: str
    traces: NDArray[Any]
    around: NDArray[Any] | None
    chosen: NDArray[np.int64]
    probability: NDArray[np.float64] | None
    settings: Mapping[str, Mapping[str, Any]]
    not_read: tuple[str, ...] = ()
    numbers: NDArray[np.int64] | None = None
    lengths: NDArray[np.int64] | None = None


def plane_of(
    name: str,
    traces: NDArray[Any],
    around: NDArray[Any] | None,
    table: NDArray[Any] | None,
    settings: Mapping[str, Mapping[str, Any]],
    *,
    only_cells: bool,
    not_read: tuple[str, ...] = (),
    numbers: NDArray[np.int64] | None = None,
    lengths: NDArray[np.int64] | None = None,
    suffix: str = "",
    check_frames: bool = True,
) -> Plane:
    """Check that arrays belong together, and choose the cells.

    Parameters
    ----------
    name : of the plane, for messages.
    traces, around, settings, not_read, numbers, lengths : as in `Plane`.
    table : (ROI, 2), ``iscell``: 1 for a cell, and its probability; or None.
    only_cells : whether to leave out what is marked as no cell.
    suffix : of the names of the arrays in messages, ``".npy"`` of files.
    check_frames : whether ``nframes`` of the settings is the number of frames.

    Raises
    ------
    ShapeError, DataError
        Arrays of other ROIs or frames; marks that are none.
    """
    for array, title in ((traces, "F"), (around, "Fneu")):
        if array is None:
            continue
        if array.ndim != 2 or not array.size or array.shape != traces.shape:
            raise _mismatch(title + suffix, array, traces, suffix)
    if check_frames:
        _check_frames(flat(settings), traces, suffix)
    chosen, probability = _cells(table, traces, only_cells, suffix)
    return Plane(
        name=name,
        traces=traces,
        around=around,
        chosen=chosen,
        probability=probability,
        settings=settings,
        not_read=not_read,
        numbers=numbers,
        lengths=lengths,
    )


def plane_of_fall(
    bag: Mapping[str, Any], beside: Mapping[str, Mapping[str, Any]], *, only_cells: bool
) -> Plane:
    """Take a plane out of the variables of ``Fall.mat``.

    Parameters
    ----------
    bag : variables, structs as dicts.
    beside : settings in the folder of the file, where its own are not complete.
    only_cells : whether to leave out what is marked as no cell.

    Notes
    -----
    Suite2p 1.x overwrites ``ops.extraction``, which holds the neuropil coefficient, by the time
    that the extraction took, and leaves ``ops`` of a combined file without ``fs``. So settings
    that lie beside the file count too.
    """
    own = bag.get("ops")
    ops = _plain_struct(own) if isinstance(own, Mapping) else {}
    stats = bag.get("stat")
    marks = (
        [s.get("iplane") for s in stats if isinstance(s, Mapping)]
        if isinstance(stats, list)
        else []
    )
    known = [int(m.ravel()[0]) for m in marks if isinstance(m, np.ndarray) and m.size == 1]
    traces, around = _floats(bag["F"]), _floats(bag.get("Fneu"))
    numbers = np.array(known, np.int64) if known and len(known) == len(bag["F"]) else None
    return plane_of(
        FALL,
        traces if traces is not None else np.empty((0, 0)),
        around,
        _floats(bag.get("iscell")),
        {**beside, "ops": ops},
        only_cells=only_cells,
        not_read=tuple(n for n in NOT_READ if n in bag),
        numbers=numbers,
        lengths=None if numbers is None or traces is None else recorded_frames(traces, around),
        # Of planes that were put together, it is the number of frames of the last one.
        check_frames=numbers is None,
    )


def is_complete(bag: Mapping[str, Any]) -> bool:
    """Whether ``Fall.mat`` states the frame rate and the neuropil coefficient itself."""
    ops = bag.get("ops")
    if not isinstance(ops, Mapping) or "fs" not in ops:
        return False
    extraction = ops.get("extraction")
    return "neucoeff" in ops or (
        isinstance(extraction, Mapping) and "neuropil_coefficient" in extraction
    )


def is_fall(bag: Mapping[str, Any]) -> bool:
    """Whether variables are those of ``Fall.mat``: ``F``, ``Fneu`` and ``iscell`` of one shape."""
    f, around, marks = (bag.get(k) for k in ("F", "Fneu", "iscell"))
    return (
        isinstance(f, np.ndarray)
        and isinstance(around, np.ndarray)
        and isinstance(marks, np.ndarray)
        and f.ndim == 2
        and {"ops", "stat", "spks"} & set(bag) != set()
    )


def recording_of(
    planes: Sequence[Plane],
    *,
    source: str,
    sampling_rate: float | None,
    neuropil: float | None,
    override_rate: bool,
    indicator: str | None,
) -> xr.Dataset:
    """Make one recording of the planes of a run.

    Parameters
    ----------
    planes : one, or several; those without a cell are left out and named.
    source : name of what was opened, for messages.
    sampling_rate : Hz, as it was passed.
    neuropil : share that was passed; None for what the run has used.
    override_rate : whether `sampling_rate` replaces what the run states.
    indicator : for the attrs.
    """
    used = [p for p in planes if len(p.chosen)]
    if not used:
        count = sum(len(p.traces) for p in planes)
        raise DataError(
            f"iscell marks none of {count} ROIs of {source} as a cell",
            "At least one cell was needed",
            "Pass only_cells=False to read every ROI, or curate them in Suite2p",
        )
    several = len(planes) > 1
    rates: dict[str, Any] = {"sampling_rate=": sampling_rate}
    if not (override_rate and sampling_rate is not None):
        for p in planes:
            before = f"{p.name}/" if several else ""
            rates |= {f"fs in {before}{file}": s.get("fs") for file, s in p.settings.items()}
    rate = agreed_rate(rates, source=source, remedy=OVERRIDE)
    n_frames = max(p.traces.shape[1] for p in used)
    if rate is None:
        raise no_rate(source, f"{sum(len(p.traces) for p in planes)} ROIs ({n_frames} frames)")
    shares = [share_of(p, neuropil, several) for p in used]
    units = np.concatenate([p.chosen for p in used])
    width = len(units)
    kind = np.result_type(*(p.traces.dtype for p in used))
    values = np.full((n_frames, width), np.nan, kind)
    with_neuropil = all(p.around is not None for p in used)
    around = np.full((n_frames, width), np.nan, kind) if with_neuropil else None
    column = 0
    for p, share in zip(used, shares, strict=True):
        for k in p.chosen:
            n = p.traces.shape[1] if p.lengths is None else int(p.lengths[k])
            values[:n, column] = p.traces[k, :n]
            if p.around is not None:
                values[:n, column] -= kind.type(share) * p.around[k, :n]
                if around is not None:
                    around[:n, column] = p.around[k, :n]
            column += 1
    numbers = _numbers(used, several)
    labels: Any = units
    if several:
        labels = [f"{p}.{k}" for p, k in zip(numbers or [], units, strict=True)]
    recording = from_traces(
        values,
        sampling_rate=rate,
        name="fluorescence",
        value_unit="a.u.",
        indicator=indicator,
        unit=labels,
    )
    if numbers is not None:
        recording = recording.assign_coords(plane=("unit", np.array(numbers, np.int64)))
    if several:
        recording = recording.assign_coords(roi=("unit", units))
    if len(set(shares)) == 1:
        recording["fluorescence"].attrs["neuropil_coefficient"] = shares[0]
    else:
        each = np.concatenate(
            [np.full(len(p.chosen), s) for p, s in zip(used, shares, strict=True)]
        )
        recording = recording.assign_coords(neuropil_coefficient=("unit", each))
    if around is not None:
        recording["neuropil"] = (
            ("time", "unit"),
            around,
            {"units": "a.u.", "sampling_rate": rate, "long_name": "neuropil, not subtracted"},
        )
    if all(p.probability is not None for p in used):
        recording["is_cell_probability"] = (
            "unit",
            np.concatenate([p.probability[p.chosen] for p in used if p.probability is not None]),
            {"units": "1", "long_name": "probability that the ROI is a cell, of Suite2p"},
        )
    return recording.assign_attrs(_about(planes, used))


def _about(planes: Sequence[Plane], used: Sequence[Plane]) -> dict[str, Any]:
    about: dict[str, Any] = {}
    if len(planes) > 1:
        about["planes"] = ", ".join(p.name for p in used)
        about["planes_without_cells"] = ", ".join(p.name for p in planes if not len(p.chosen))
    else:
        about["plane"] = used[0].name
    for name, key in (("suite2p_tau", "tau"), ("n_planes", "nplanes")):
        stated = {_number(flat(p.settings).get(key)) for p in used} - {None}
        if len(stated) == 1:
            about[name] = stated.pop()
    names = [n for p in planes for n in p.not_read]
    about["not_read"] = ", ".join(dict.fromkeys(names))
    return {k: v for k, v in about.items() if v}


def _numbers(used: Sequence[Plane], several: bool) -> list[int] | None:
    if several:
        return [int(p.name.removeprefix("plane")) for p in used for _ in p.chosen]
    own = used[0].numbers
    return None if own is None else [int(n) for n in own[used[0].chosen]]


def share_of(plane: Plane, passed: float | None, several: bool = False) -> float:
    """Return the share of the neuropil to subtract: as passed, else as the run has taken it.

    Parameters
    ----------
    plane : with its settings.
    passed : share, or None.
    several : whether the plane is one of several, for messages.

    Raises
    ------
    DataError
        Two files of one plane that state different shares, or one that is none.

    Notes
    -----
    1.x keeps it as ``extraction: neuropil_coefficient``, older versions as ``neucoeff``. Where
    neither is stated, the share that Suite2p takes by itself is used; of ``Fall.mat``, in which
    Suite2p 1.x loses the coefficient of every run, with a warning.
    """
    title = f" of {plane.name}" if several else ""
    if passed is not None:
        if not 0 <= passed <= 2:
            raise DataError(
                f"neuropil is {passed}",
                "The share of the neuropil trace to subtract, from 0 to 2, was needed",
                "Pass neuropil=0.7, 0 for none, or leave it out for what the run has taken",
            )
        return passed
    stated: dict[str, float] = {}
    for file, settings in plane.settings.items():
        extraction = settings.get("extraction")
        nested = extraction if isinstance(extraction, Mapping) else {}
        for key, value in (
            ("extraction/neuropil_coefficient", nested.get("neuropil_coefficient")),
            ("neucoeff", settings.get("neucoeff")),
        ):
            if value is None:
                continue
            number = _number(value)
            if number is None or not 0 <= number <= 2:
                raise DataError(
                    f"{key} in {file}{title} is {value!r}"[:100],
                    "The share of the neuropil trace that was subtracted, from 0 to 2, was needed",
                    "Pass it: neuropil=0.7, or 0 for none",
                )
            stated[f"{key} in {file}"] = number
    if len(set(stated.values())) > 1:
        said = " and ".join(f"{v:g} ({k})" for k, v in stated.items())
        raise DataError(
            f"Two neuropil coefficients came{title}: {said}",
            "One was needed",
            "Pass the one that is right: neuropil=0.7",
        )
    if stated:
        return next(iter(stated.values()))
    if plane.name == FALL:
        warn_user(
            f"{FALL} does not state the neuropil coefficient of its run (Suite2p 1.x loses it), "
            f"so {_USUAL_SHARE:g} was taken, which is what Suite2p takes by itself. Open the "
            "folder of the run, which states it, or pass neuropil=",
        )
    return _USUAL_SHARE


def flat(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return all settings as one dict; what ``ops`` states decides."""
    return {k: v for own in settings.values() for k, v in own.items()}


def _cells(
    table: NDArray[Any] | None, traces: NDArray[Any], only_cells: bool, suffix: str
) -> tuple[NDArray[np.int64], NDArray[np.float64] | None]:
    everything = np.arange(len(traces), dtype=np.int64)
    if table is None:
        return everything, None
    if table.ndim not in (1, 2) or not table.size or len(table) != len(traces):
        raise _mismatch(f"iscell{suffix}", table, traces, suffix)
    table = table.reshape(len(table), -1)
    flags = table[:, 0]
    if not np.isin(flags, (0, 1)).all():
        k = int(np.argmax(~np.isin(flags, (0, 1))))
        raise DataError(
            f"iscell{suffix} marks ROI {k} with {flags[k]:g}",
            "1 for a cell and 0 for none were needed",
            f"Curate the ROIs again, or rename iscell{suffix} and pass only_cells=False",
        )
    probability = table[:, 1].astype(float) if table.shape[1] > 1 else None
    return everything[flags > 0] if only_cells else everything, probability


def _check_frames(settings: Mapping[str, Any], traces: NDArray[Any], suffix: str) -> None:
    """Compare the frames of F with those that Suite2p says it has registered."""
    n = _number(settings.get("nframes"))
    if n is None or n == traces.shape[1] or n < 1:
        return
    turned = n == traces.shape[0]
    raise ShapeError(
        f"F{suffix} has shape {traces.shape} and nframes in the settings is {n:g}",
        "An array (ROI, frame) with a column for every frame was needed",
        f"F{suffix} was stored transposed: save F.T, and Fneu.T, in their place"
        if turned
        else f"Was F{suffix} cut, or is it of another run? Copy the folder again, or run the "
        "extraction again",
    )


def _mismatch(name: str, array: NDArray[Any], traces: NDArray[Any], suffix: str) -> ShapeError:
    return ShapeError(
        f"{name} has shape {array.shape} and F{suffix} {traces.shape}",
        "Arrays of the same ROIs, each (ROI, frame), were needed",
        "Are the files of one run? Copy the folder again",
    )


def _plain_struct(struct: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the single numbers of a struct of MATLAB, which are matrices there, into numbers."""
    return {
        k: _plain_struct(v)
        if isinstance(v, Mapping)
        else v.ravel()[0].item()
        if isinstance(v, np.ndarray) and v.size == 1 and v.dtype.kind in "biuf"
        else v
        for k, v in struct.items()
    }


def _floats(value: Any) -> NDArray[Any] | None:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf" or not value.size:
        return None
    return value if value.dtype.kind == "f" else value.astype(float)


def _number(value: Any) -> float | None:
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if real and math.isfinite(value) else None


def recorded_frames(traces: NDArray[Any], around: NDArray[Any] | None) -> NDArray[np.int64] | None:
    """Return the frames of each ROI of planes put together, or None where none was filled up.

    Parameters
    ----------
    traces, around : (ROI, frame), ``F`` and ``Fneu`` or None.

    Notes
    -----
    Suite2p fills up the shorter planes with zeros in F and Fneu alike. A weighted mean of pixels
    is not exactly 0 in both, so a row of such frames at the end is what was filled up.
    """
    if (
        traces.ndim != 2
        or not traces.size
        or (around is not None and around.shape != traces.shape)
    ):
        return None
    filled = traces == 0
    if around is not None:
        filled &= around == 0
    n = traces.shape[1]
    seen = ~filled[:, ::-1]
    length = np.where(seen.any(axis=1), n - seen.argmax(axis=1), n).astype(np.int64)
    # Frames that are black in every ROI were recorded so.
    known = seen.any(axis=1)
    return length if known.any() and length[known].max() == n and length.min() < n else None
