"""What the name of an index says of its unit: ``time_ms``, ``t (s)``, ``minutes``."""

import re

from neurornn._core.errors import UnitError
from neurornn._core.units import seconds_per

#: Seconds in a unit, for spellings of those that `seconds_per` knows and of those beside them.
_SECONDS = {
    **dict.fromkeys(("ns", "nsec", "nsecs", "nano", "nanos", "nanosecond", "nanoseconds"), 1e-9),
    **dict.fromkeys(("usec", "usecs", "micro", "micros", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("msecs", "milli", "millis", "milliseconds"), 1e-3),
    **dict.fromkeys(("secs", "seconds"), 1.0),
    **dict.fromkeys(("mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
}
_TIME = {"time", "times", "t", "ts", "timestamp", "timestamps", "stamp", "stamps", "elapsed"}
#: Words beside a time word that change nothing of its unit.
_BESIDE = {"in", "since", "from", "start", "onset", "frame", "trial", "session", "recording"}
#: Whole numbers under such a word count rows, with a time word before it or without.
_COUNTING = {
    *("bin", "bins", "index", "idx", "step", "steps", "frame", "frames", "point", "points"),
    *("timepoint", "timepoints", "sample", "samples", "id", "no", "number", "window"),
}
#: Units of which no one knows how many seconds they are, or that no recording is in.
_NO_SECONDS = {
    *("d", "day", "days", "week", "weeks", "year", "years", "ps", "ticks", "tick"),
    *("sample", "samples", "frame", "frames", "hz", "khz"),
}


def seconds_of_name(title: str, whole: bool) -> float | None:
    """Return how many seconds one step of an index is by its name, or None for numbers of rows.

    Parameters
    ----------
    title : name of the index; empty where it has none.
    whole : the index holds whole numbers.

    Raises
    ------
    UnitError
        The name says time, or a unit, and not which: nothing is taken for seconds by chance.

    Examples
    --------
    >>> seconds_of_name("time_ms", True), seconds_of_name("", False), seconds_of_name("", True)
    (0.001, 1.0, None)
    """
    words = _words(title)
    timely = any(w in _TIME for w in words)
    rest = [w for w in words if w not in _TIME | _BESIDE]
    unit = _seconds(words[-1]) if words else None
    understood = not rest or (unit is not None and rest == words[-1:])
    # A bare "frame" or "trial" says nothing of time.
    if words and understood and (timely or unit is not None):
        return 1.0 if unit is None else unit
    if whole and any(w in _COUNTING for w in words):
        return None
    other = unit not in (None, 1.0) or bool(words and words[-1] in _NO_SECONDS)
    if timely or other:
        raise UnitError(
            f"The index of the DataFrame is called {title!r}, in a unit that is not known",
            "Times in ns, us, ms, s, min or h were needed, under a name that says so: time_ms",
            "Convert it to s, and call it time; number the rows where these are no times: "
            "table.reset_index(drop=True)",
        )
    return None if whole else 1.0


def _seconds(word: str) -> float | None:
    found = _SECONDS.get(word)
    return seconds_per(word) if found is None else found


def _words(title: str) -> list[str]:
    """Split a name at marks and at capitals: ``time [ms]``, ``timeMs``, ``timems``."""
    # Both signs for micro.
    plain = re.sub("[\u00b5\u03bc]", "u", title)
    plain = re.sub(r"([a-z])([A-Z])", r"\1 \2", plain).lower()
    plain = re.sub(r"\btime[ _]stamp", "timestamp", plain)
    words: list[str] = []
    for word in re.findall(r"[^\W_]+", plain):
        joined = re.fullmatch(r"(timestamps?|times?|t)(\w+)", word)
        whole = word in _TIME or _seconds(word) is not None
        if joined and not whole and _seconds(joined[2]) is not None:
            words += [joined[1], joined[2]]
        else:
            words.append(word)
    return words
