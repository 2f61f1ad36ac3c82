"""What a column of a table is, by its name: frame times, a number of rows, a flag, or a trace."""

import re
import unicodedata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurornn._core.checks import FASTEST_RATE, SLOWEST_FRAME
from neurornn.io.clocks import STATED_UNIT, is_time, plain, rises_evenly, stated_unit, unit_in_name

#: Columns that number the rows, blanks, marks and case aside.
_COUNTERS = re.compile(
    r"(?:item|frame|image|img|sample|row|scan|volume|slice|bild|zeile|trame|cuadro)s?"
    r"(?:index|idx|counter|count|number|num|no|nr|n|id)?s?|index|idx|counter|unnamed0|nr|no"
)
#: Columns that go with the frames and are no traces: lights, switches, what the animal does.
_BESIDE = re.compile(
    r"(?:led|laser|light)?(?:state|flag)s?\d*|led\d*|flags?|ttl(?:in|out)?\d*|trigger\d*|trig\d*"
    r"|sync\d*|stim(?:ulus|ulation)?(?:on|state)?\d*|(?:digital)?(?:in|out)puts?\d*|digital(?:io)?\d*"
    r"|gpio\d*|shutter|licks?|licking|rewards?|valve\d*|laser\d*|(?:running|wheel|walking)?speed"
    r"|velocity|pupil(?:area|diameter|size)?|temperature|trial(?:no|nr|number|index|id)?"
)
#: Time in other languages, and compounds that end in it; matched where a column rises as well.
_WORDS = re.compile(
    r"^(?:[a-z]+[ _.]?)?(?:time[ _]?stamps?|times?)"
    r"|^(?:zeit(?:punkte?|stempel|en)?|temps|horodatage|tiempos?|tempo|tempi|tijd|tid|tids"
    r"|czas|čas|cas|aika|idő|ido|timp|vreme|zaman|waktu|χρόνος|время|час|時間|时间|時刻|时刻|시간|समय"
    r"|الوقت|زمن)",
    re.IGNORECASE,
)
_FOREIGN_UNITS = {
    **dict.fromkeys(("sek", "sek.", "sekunde", "sekunden", "seg", "seg.", "segundos"), "s"),
    **dict.fromkeys(("secondes", "seconde", "secondi", "sekund", "seconden", "秒", "초"), "s"),
    **dict.fromkeys(("с", "сек", "сек.", "секунды"), "s"),
    **dict.fromkeys(("millisekunden", "milisegundos", "millisecondes", "millisecondi"), "ms"),
    **dict.fromkeys(("milliseconden", "ミリ秒", "毫秒", "밀리초", "мс"), "ms"),
    **dict.fromkeys(("minuten", "minutos", "minuti", "мин", "分"), "min"),
}
_UNIT_ALONE = re.compile(r"^(s|ms|us|min|sec|msec|secs)$", re.IGNORECASE)
_BRACKETS = re.compile(r"^(.*?)[ _.,/]*[(\[]\s*([^)\]]*?)\s*[)\]]$|^(.*?)[ _.,/]+([^ _.,/]+)$")
#: What ImageJ measures of a region besides its mean, in lower case.
_MEASURES = (
    *("area", "min", "max", "stddev", "mode", "median", "intden", "rawintden", "x", "y", "xm"),
    *("ym", "bx", "by", "width", "height", "perim", "circ", "feret", "ar", "round", "solidity"),
    *("skew", "kurt", "slice", "%area", "major", "minor", "angle"),
)
#: A flag that nothing but its values tells is one of two whole numbers.
_STEM = re.compile(r"\d+")


def is_index(name: str) -> bool:
    """Whether a column of that name numbers the rows; one without a name does."""
    return not name.strip() or _COUNTERS.fullmatch(plain(name)) is not None


def is_unnamed(name: str) -> bool:
    """Whether a column has no name, or the one that pandas makes up."""
    return not name.strip() or plain(name) == "unnamed0"


def is_beside(name: str) -> bool:
    """Whether a column of that name goes with the frames and is no trace."""
    return _BESIDE.fullmatch(plain(name)) is not None


def may_be_clock(name: str) -> bool:
    """Whether a column of that name may hold frame times, in any usual language."""
    text = _usual(name)
    if is_time(text) or _UNIT_ALONE.match(text):
        return True
    word, unit = _parts(text)
    found = _WORDS.match(word)
    return found is not None and (
        found.end() == len(word) or (unit is None and not word.isascii())
    )


def clock_unit(name: str) -> str | None:
    """Return the unit of time that a name states, or None.

    Examples
    --------
    >>> clock_unit("Zeit (ms)"), clock_unit("時間（秒）"), clock_unit("Temps")
    ('ms', 's', None)
    """
    text = _usual(name)
    stated = unit_in_name(text) if is_time(text) else None
    if stated is not None:
        return _FOREIGN_UNITS.get(stated.lower(), stated)
    if _UNIT_ALONE.match(text):
        return text
    return _parts(text)[1]


def _usual(name: str) -> str:
    """Return a name with the usual brackets in place of wide ones."""
    return unicodedata.normalize("NFKC", name).strip()


def _parts(text: str) -> tuple[str, str | None]:
    """Return the word and the unit of a name such as ``Zeit (ms)``."""
    found = _BRACKETS.match(text)
    if not found:
        return text, None
    word, unit = (found[1], found[2]) if found[1] is not None else (found[3], found[4])
    known = _FOREIGN_UNITS.get(unit.lower())
    if known is None:
        match = re.fullmatch(f"x{STATED_UNIT}", f"x ({unit})", re.IGNORECASE)
        usual = _UNIT_ALONE.match(unit) or unit.lower() in ("seconds", "second", "milliseconds")
        known = stated_unit(match) if match and usual else None
    word = re.sub(r"[ _.]+(?:in|en|em)$", "", word.strip())
    return (word, known) if known is not None else (text, None)


def is_clock_without_name(count: NDArray[Any] | None) -> bool:
    """Whether a column without a name holds frame times in s: its steps are not whole.

    Parameters
    ----------
    count : (time,).
    """
    if count is None or len(count) < 2 or not np.isfinite(count).all():
        return False
    steps = np.diff(count)
    if np.any(steps <= 0) or np.all(count == np.round(count)):
        return False
    return bool(1 / FASTEST_RATE <= np.median(steps) < SLOWEST_FRAME)


def is_row_number(count: NDArray[Any]) -> bool:
    """Whether a column counts the rows one by one, from 0 or 1."""
    return len(count) > 1 and bool(count[0] in (0, 1) and np.all(np.diff(count) == 1))


def flags_among(values: NDArray[Any], labels: list[str]) -> list[int]:
    """Return the columns that are flags by their values, in a table of traces.

    Parameters
    ----------
    values : (time, column).
    labels : names of the columns.

    Notes
    -----
    A flag has two values, both whole, or a few that take turns, where the other columns have
    fractions, and a name that is not one of a row of names (``C01``, ``C02``): a cell whose
    events are 0 and 1 has.
    """
    if values.dtype.kind != "f" or values.shape[1] < 2:
        return []
    head = values[: 2**12]
    whole = [k for k in range(values.shape[1]) if bool(np.all(_is_whole(head[:, k])))]
    if len(whole) == values.shape[1]:
        return []
    stems = [_STEM.sub("#", label) for label in labels]
    found = []
    for k in whole:
        row_of_names = stems.count(stems[k]) > 1 or stems[k] == "#"
        if row_of_names or not _is_whole(values[:, k]).all():
            continue
        if len(_known(values[:, k])) == 2 or alternates(values[:, k]):
            found.append(k)
    return found


def measures_among(labels: list[str]) -> list[int]:
    """Return the columns that describe regions in a table of ImageJ, in which means are traces.

    Parameters
    ----------
    labels : names of the columns: ``Area1``, ``Mean1``, ``Min1``, ``Max1``, ``Area2``, ...
    """
    stems = [re.sub(r"[ _]*\d*$", "", label).rstrip(".").lower() for label in labels]
    others = [k for k, stem in enumerate(stems) if stem != "mean"]
    known = all(stems[k] in _MEASURES for k in others)
    return others if known and 0 < len(others) < len(labels) else []


def _known(column: NDArray[Any]) -> NDArray[Any]:
    return np.unique(column[np.isfinite(column)])


def _is_whole(column: NDArray[Any]) -> NDArray[np.bool_]:
    return np.isnan(column) | (column == np.round(column))


def alternates(column: NDArray[Any]) -> tuple[float, ...]:
    """Return the values that a flag takes in turn from row to row, or nothing.

    Parameters
    ----------
    column : (time,); of lights that are switched from frame to frame.
    """
    if len(column) < 12 or not np.isfinite(column).all():
        return ()
    for period in (2, 3, 4):
        first = column[:period]
        # A frame may be lost here and there; nine in ten rows follow the turn.
        share = float(np.mean(column[period:] == column[:-period]))
        if len(set(first.tolist())) == period and share >= 0.9 and len(_known(column)) == period:
            return tuple(float(v) for v in _known(column))
    return ()


def rises(column: NDArray[Any]) -> bool:
    """Whether a column rises as frame times do: evenly, or with frames missing."""
    if len(column) < 2 or not np.isfinite(column).all():
        return False
    return rises_evenly(column) or bool(np.all(np.diff(column) > 0))
