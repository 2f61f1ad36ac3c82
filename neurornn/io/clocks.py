"""One clock for every reader: the rates and the frame times that a file and a call state."""

import posixpath
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurornn._core.checks import (
    FASTEST_RATE,
    SLOWEST_FRAME,
    check_frame_times,
    check_sampling_rate,
)
from neurornn._core.errors import DataError, NameUnknownError, ThreePartError, UnitError, nearest
from neurornn._core.units import seconds_per
from neurornn.data.recording import rate_of_stamps

#: What to do about two rates where the program may have written a rate that nobody set.
OVERRIDE = (
    "Correct the wrong one; if the rate in the file was never set, add override_rate=True to "
    "sampling_rate="
)
#: Other spellings of units; of the micro sign there are two.
_SPELLED = {
    **{"secs": "s", "minute": "min", "minutes": "min", "millisecond": "ms"},
    **dict.fromkeys(("µs", "μs", "usec", "microsecond", "microseconds"), "us"),
}
#: Two rates agree up to this share.
TOLERANCE = 0.02
#: A column of fewer rows is not taken for a clock.
_LEAST_ROWS = 10

_UNITS = r"(s|secs?|seconds?|ms|msec|milliseconds?|us|min|minutes?)"
_NO_UNITS = r"(samples?|frames?|ticks?|h|hours?)"
#: The unit behind the name of a time: ``_ms``, ``(ms)``, ``/ms``, ``..ms.`` as R writes it,
#: ``_in_ms``, ``Sec``; others are found too, to be refused.
STATED_UNIT = (
    rf"(?:[ _.]+{_UNITS}\.?|[ _.]*[\(\[]\s*([^\)\]]*?)\s*[\)\]]|[ _.]+{_NO_UNITS}\.?"
    rf"|\s*[,/]\s*{_UNITS}|[ _.]+in[ _.]+{_UNITS}"
    r"|(?-i:(Secs?|Seconds?|S|Ms|Msec|MS|Milliseconds?|Min|Minutes?|secs?|seconds?|ms|msec)))?"
)
_TIME = re.compile(
    r"^(?:(?:fluo|elapsed|imaging|recording|system|acquisition|relative)[ _.]?)?"
    r"(?:times?(?:[ _.]+(?:since|from|after)[ _.]+(?:the[ _.]+)?"
    r"(?:start|beginning|onset|first[ _.]+frame|recording(?:[ _.]+(?:start|onset))?|zero|t0))?"
    r"|t|time[ _.]?stamps?|frame[ _.]?times?|sample[ _.]?times?)"
    rf"{STATED_UNIT}$",
    re.IGNORECASE,
)
#: Further names of times; a single number of that name is something else.
_ALSO_TIME = re.compile(rf"^(?:ts|elapsed){STATED_UNIT}$", re.IGNORECASE)
_UNIT = re.compile(r"^(seconds|secs?|milliseconds|msec)$", re.IGNORECASE)
#: The time from one frame to the next, which states a rate.
_INTERVAL = re.compile(
    r"^(?:dt|ts|(?:frame|sampl(?:e|ing)|imaging)[ _.-]?(?:period|interval)|time[ _.-]?step)"
    rf"{STATED_UNIT}$",
    re.IGNORECASE,
)
_RATES = (
    "samplingrate",
    "samplerate",
    "samplingfrequency",
    "samplefrequency",
    "fs",
    "framerate",
    "imagingrate",
    "fps",
    "rate",
)


def plain(name: Any) -> str:
    """Return a name without its folders, in lower case, without blanks, marks and underscores.

    Examples
    --------
    >>> plain("results/Frame rate (Hz)"), plain("Unit_ID ")
    ('framerate', 'unitid')
    """
    last = posixpath.basename(str(name)).lower()
    return re.sub(r"[^a-z0-9]", "", re.sub(r"[\s_]*[\(\[]?hz[\)\]]?\s*$", "", last))


def _matched(name: Any) -> re.Match[str] | None:
    """Match the name of a time, of which ``Time/s`` is one and ``folder/time`` another."""
    text = str(name).strip()
    for last in (text, posixpath.basename(text).strip()):
        found = _TIME.match(last) or _ALSO_TIME.match(last)
        if found:
            return found
    return None


def is_time(name: Any) -> bool:
    """Whether a variable, or a column, of that name holds frame times."""
    last = posixpath.basename(str(name)).strip()
    return _matched(name) is not None or _UNIT.match(last) is not None


def is_single_time(name: Any) -> bool:
    """Whether even a single number of that name must be a frame time: not ``t`` or ``ts``."""
    last = posixpath.basename(str(name)).strip()
    return is_time(name) and plain(name) != "t" and not _ALSO_TIME.match(last)


def unit_in_name(name: Any) -> str | None:
    """Return the unit that the name of frame times states, or None: ``time_ms`` states ``ms``."""
    last = posixpath.basename(str(name)).strip()
    found = _matched(name)
    if found is None and _UNIT.match(last):
        return last
    return stated_unit(found) if found else None


def stated_unit(found: re.Match[str]) -> str | None:
    """Return what `STATED_UNIT` has matched, or None where no unit was stated."""
    return next((unit for unit in found.groups() if unit is not None), None)


def is_rate(name: Any) -> bool:
    """Whether a variable, a column or an attribute of that name holds a frame rate."""
    return plain(name) in _RATES


def is_frame_rate(name: Any) -> bool:
    """Whether a name can be nothing but a frame rate: ``rate`` alone may be one of anything."""
    return is_rate(name) and plain(name) != "rate"


def is_interval(name: Any) -> bool:
    """Whether a single number of that name is the time from frame to frame: ``dt``."""
    return _INTERVAL.match(posixpath.basename(str(name)).strip()) is not None


def statement(name: Any, value: Any, where: str | None = None) -> dict[str, Any]:
    """Return what a name and its value state about the frame rate, or nothing.

    Parameters
    ----------
    name : of a variable, an attribute or a comment: ``"fs"``, ``"frame_period"``.
    value : as found; of an interval only a single number counts.
    where : what to call it in messages; by default its name.

    Returns
    -------
    What states it -> rate in Hz, as `agreed_rate` takes it.

    Raises
    ------
    UnitError
        An interval above 2 s or below 1 us, in a unit that is not stated.

    Examples
    --------
    >>> statement("frame_rate", 30.0), statement("dt_ms", 20.0), statement("gain", 1.0)
    ({'frame_rate': 30.0}, {'1/dt_ms': 50.0}, {})
    """
    where = str(name) if where is None else where
    if is_rate(name):
        return {where: value}
    found = _INTERVAL.match(posixpath.basename(str(name)).strip())
    number = np.asarray(None if isinstance(value, list | dict) else value)
    if found is None or number.size != 1 or number.dtype.kind not in "iuf":
        return {}
    unit = stated_unit(found)
    step = float(number.reshape(())) * seconds_in(unit or "s")
    if not 1 / FASTEST_RATE <= step <= SLOWEST_FRAME and unit is None:
        raise UnitError(
            f"{where} is {step:g}, the time from one frame to the next",
            f"A time in s, from {1 / FASTEST_RATE:g} to {SLOWEST_FRAME:g}, was needed",
            f"If it is in ms, call it {name}_ms; if it is something else, rename it",
        )
    return {f"1/{where}": 1 / step if step else 0.0}


def rises_evenly(values: NDArray[Any]) -> bool:
    """Whether a column rises from row to row in equal steps, as a clock or a row number does.

    Parameters
    ----------
    values : (time,); what is missing is left out.

    Returns
    -------
    True where at least ten values strictly increase, and nine in ten steps are within 1 % of the
    median step (frames may be lost), or no value is more than 0.6 steps away from a straight line
    (times may be rounded).
    """
    if len(values) < _LEAST_ROWS or values.dtype.kind not in "iuf":
        return False
    if np.any(np.diff(values[:_LEAST_ROWS].astype(float)) <= 0):
        # Nearly all traces end here.
        return False
    known = values[np.isfinite(values)].astype(float)
    steps = np.diff(known)
    if len(known) < _LEAST_ROWS or not np.all(steps > 0):
        return False
    median = float(np.median(steps))
    equal = float(np.mean(np.abs(steps - median) <= 0.01 * median))
    line = np.linspace(known[0], known[-1], len(known))
    straight = bool(np.max(np.abs(known - line)) <= 0.6 * float(np.mean(steps)))
    return equal >= 0.9 or straight


def refuse_clock(values: NDArray[Any], title: str, source: str, remedy: str) -> None:
    """Raise where what would be read as a trace rises as evenly as a clock.

    Parameters
    ----------
    values : (time,).
    title : what it is called in messages.
    source : name of the file.
    remedy : how to tell the reader that it is a clock.

    Raises
    ------
    UnitError
        It rises in equal steps.
    """
    if not rises_evenly(values):
        return
    known = values[np.isfinite(values)]
    shown = ", ".join(f"{v:g}" for v in known[:3])
    step = float(np.median(np.diff(known.astype(float))))
    raise UnitError(
        f"{title} of {source} rises evenly, {shown}, ... to {known[-1]:g}, by {step:g} from row "
        "to row: a clock, or a number of rows, but not known as one",
        "Traces, and frame times that are called time, were needed",
        f"{remedy}; if it is a trace after all, pass the array to nr.data.from_traces",
    )


def seconds_in(unit: Any) -> float:
    """Seconds in one of `unit`.

    Parameters
    ----------
    unit : ``"s"``, ``"ms"``, ``"us"`` or ``"min"``, or a word for it.

    Raises
    ------
    NameUnknownError
        No unit of time.
    """
    spelled = str(unit).strip().lower()
    spelled = _SPELLED.get(spelled, spelled)
    factor = seconds_per(spelled) if isinstance(unit, str) else None
    if factor is None:
        raise NameUnknownError(
            f"{unit!r} came as a unit of time",
            'A unit of time was needed: "s", "ms", "us" or "min"',
            nearest(str(unit), ["s", "ms", "us", "min"]),
        )
    return factor


def mean_rate(time: NDArray[np.float64]) -> float:
    """Frame rate in Hz over all frames; stamps rounded to a clock tick do not bias it.

    Parameters
    ----------
    time : (time,), s; where frames are missing, what lies between two stretches is left out.
    """
    if len(time) < 2:
        raise DataError(
            f"A trial has {len(time)} frame(s)",
            "At least two frames were needed to know the frame rate",
            "Drop that trial from the file",
        )
    step = float(np.median(np.diff(time)))
    return rate_of_stamps(np.asarray(time, dtype=float)) if step > 0 else np.nan


def one_rate(value: Any, where: str, source: str = "") -> float:
    """Return a frame rate in Hz as a file or a call states it.

    Parameters
    ----------
    value : a number, or an array of values that agree to 2 %: one of each trial, or frame.
    where : what states it, for messages: ``"sampling_rate="``, ``"fs"``.
    source : name of the file, for messages.

    Raises
    ------
    UnitError, KindError, DataError
        Text, several values, no value; not finite, not positive, or no rate in Hz.
    """
    origin = f"{where} of {source}" if source and not where.endswith("=") else where.rstrip("=")
    found = np.asarray(None if isinstance(value, list) else value)
    if found.dtype.kind not in "iuf" or not found.size:
        what = f"{value!r}"[:60] if found.size else "empty"
        raise UnitError(
            f"{origin} is {what}, not a number",
            "One frame rate in Hz, as a number, was needed",
            "Correct it, or leave it out and pass sampling_rate=30.0",
        )
    different = np.unique(found)
    # NaN is the largest of the values that np.unique gives; it is refused below.
    if not different[-1] <= (1 + TOLERANCE) * different[0] and len(different) > 1:
        shown = ", ".join(f"{v:g}" for v in different[:4])
        raise UnitError(
            f"{origin} holds {len(different)} different values: {shown}"
            + (", ..." if len(different) > 4 else ""),
            "One frame rate in Hz for the whole recording was needed",
            "Correct it, or give the frame times in place of a rate",
        )
    try:
        return check_sampling_rate(float(np.median(found)))
    except ThreePartError as error:
        came = error.came.replace("sampling_rate", origin, 1)
        raise type(error)(came, error.needed, error.remedy) from None


def agreed_rate(
    rates: Mapping[str, Any],
    time: NDArray[Any] | None = None,
    *,
    source: str,
    time_name: str = "time",
    in_seconds: bool = False,
    remedy: str = "Correct the wrong one, or leave it out; are the times in s?",
) -> float | None:
    """Return the one frame rate (Hz) that everything states, or None where nothing does.

    Parameters
    ----------
    rates : what states it -> value as found, or None: ``{"sampling_rate=": 30, "fs": ...}``.
    time : (time,), s; frame times. Where they agree with the rates, theirs is the finer one.
    source : name of the file, for messages.
    time_name : what the frame times are called.
    remedy : what to do about two rates that differ.
    in_seconds : whether something says that the frame times are in s: a unit in the name or an
        option.

    Raises
    ------
    UnitError
        Two rates that differ by more than 2 %; frame numbers in place of frame times.
    ShapeError, DataError, KindError
        Times that do not increase, or a rate that is none.
    """
    stated = [
        (where, one_rate(value, where, source))
        for where, value in rates.items()
        if value is not None
    ]
    for where, rate in stated[1:]:
        _compare(stated[0], (where, rate), source, remedy)
    if time is None:
        return stated[0][1] if stated else None
    stamps = check_frame_times(time, f"{time_name} of {source}")
    if len(stamps) < 2:
        return stated[0][1] if stated else None
    if is_counting(stamps):
        _refuse_numbers(stamps, stated, f"{time_name} of {source}", in_seconds)
    from_time = mean_rate(stamps)
    for statement in stated:
        _compare(statement, (time_name, from_time), source, remedy)
    return check_sampling_rate(from_time)


def is_counting(time: NDArray[Any]) -> bool:
    """Whether frame times are whole numbers one apart, as frame numbers are, or seconds."""
    whole = np.all(time == np.round(time))
    return len(time) > 1 and bool(whole and np.median(np.diff(time)) == 1)


def _refuse_numbers(
    stamps: NDArray[np.float64], stated: list[tuple[str, float]], name: str, in_seconds: bool
) -> None:
    shown = ", ".join(f"{s:g}" for s in stamps[:3])
    other = next((s for s in stated if abs(s[1] - 1) > TOLERANCE), None)
    if other is not None:
        raise UnitError(
            f"{name} counts {shown}, ..., which is 1 Hz, and {_said(other)}",
            "Frame times in s and a rate that agree to 2 % were needed",
            f"If these are frame numbers, divide them by {other[1]:g} or drop them; if one frame "
            "was taken each second, correct the rate",
        )
    if not stated and not in_seconds:
        raise UnitError(
            f"{name} counts {shown}, ... and no frame rate is stated",
            "Frame times in s were needed",
            "If these are frame numbers, divide them by the frame rate in Hz, or drop them and "
            "pass sampling_rate=; if one frame was taken each second, pass sampling_rate=1.0",
        )


def _said(statement: tuple[str, float]) -> str:
    where, rate = statement
    return f"{where}{'' if where.endswith('=') else ' says '}{rate:g}" + " Hz"


def _compare(
    first: tuple[str, float], second: tuple[str, float], source: str, remedy: str
) -> None:
    if abs(first[1] / second[1] - 1) <= TOLERANCE:
        return
    raise UnitError(
        f"Two rates came for {source}: {first[1]:g} Hz ({first[0]}) and {second[1]:g} Hz "
        f"({second[0]})",
        "One frame rate was needed, the same to 2 %",
        remedy,
    )


def rates_in(
    bag: Mapping[str, Any], *, near: str = "", n_units: int | None = None
) -> dict[str, Any]:
    """Return what the variables of a file state about the frame rate: name -> value as found.

    Parameters
    ----------
    bag : name, with its folders, to value.
    near : path of the traces; rates in other folders than theirs and those above are of other
        signals.
    n_units : number of units; so many different values called ``rate`` are firing rates.
    """
    found = {}
    for key, value in bag.items():
        if key == near or not is_beside(key, near):
            continue
        if not is_rate(key):
            found.update(statement(key, value))
            continue
        if isinstance(value, Mapping):
            continue
        if plain(key) == "rate" and isinstance(value, np.ndarray):
            table = value.ndim > 1 and min(value.shape) > 1
            each = n_units is not None and 1 < n_units == value.size
            if table or (each and len(np.unique(value)) > 1):
                continue
        found[key] = value
    return found


def is_beside(key: str, near: str) -> bool:
    """Whether a variable lies in the folder of another one, or in a folder above it."""
    folder = posixpath.dirname(key)
    return not folder or near.startswith(folder + "/")
