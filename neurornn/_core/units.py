"""Units as symbols in ``attrs["units"]``, and one way to print a number with its unit."""

import math
import re

from neurornn._core.errors import UnitError, nearest

#: The symbols used throughout; words ("seconds") are never written, because xarray would
#: turn them into timedelta on reading.
SYMBOLS = ("s", "ms", "Hz", "bp", "aa", "1", "px", "cm", "cm/s", "bits", "nats", "degC", "frame")

#: What compound units may be made of beside these: ``1/s``, ``s^2``, ``bit/s``, ``cm/s^2``.
_BASES = frozenset(
    [*SYMBOLS, "us", "min", "h", "day", "kHz", "bit", "nat", "spike", "rad", "deg", "m", "mm",
     "um", "nm", "M", "mM", "uM", "nM", "V", "mV", "uV", "A", "nA", "pA", "a.u.", "%", "trial",
     "event", "kcal", "kJ", "mol"]
)  # fmt: skip

_NAMES = {
    "seconds": "s",
    "second": "s",
    "sec": "s",
    "milliseconds": "ms",
    "millisecond": "ms",
    "msec": "ms",
    "hertz": "Hz",
    "hz": "Hz",
}

_TO_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "min": 60.0}


def symbol(unit: str) -> str:
    """Return the symbol of a unit given as a symbol or an English word.

    Examples
    --------
    >>> symbol("seconds")
    's'
    """
    return _NAMES.get(unit.strip().lower(), unit.strip())


def check_unit(unit: str, name: str = "units") -> str:
    """Return a unit that is a symbol of the package or made of some, or raise.

    Parameters
    ----------
    unit : for example ``"s"``, ``"1/s"`` or ``"cm/s^2"``.
    name : of the quantity, for the message.

    Raises
    ------
    UnitError

    Examples
    --------
    >>> check_unit("1/s")
    '1/s'
    """
    parts = re.split(r"[/*·]", unit) if isinstance(unit, str) else [""]
    if unit not in _BASES and not all(re.sub(r"\^-?\d+$", "", p) in _BASES for p in parts):
        raise UnitError(
            f"The unit of {name} is {unit!r}",
            "A symbol was needed, for example s, Hz, bp or 1, or one made of some, as cm/s",
            nearest(str(unit), sorted(_BASES)),
        )
    return unit


def seconds_per(unit: str) -> float | None:
    """Seconds in one of `unit`, or None where the unit is not a time."""
    return _TO_SECONDS.get(symbol(unit))


def format_number(value: float, digits: int = 3) -> str:
    """Print a number to so many significant digits, never in a longer form than needed.

    Examples
    --------
    >>> format_number(0.49873), format_number(float("nan")), format_number(12345.6)
    ('0.499', '-', '12346')
    """
    value = float(value)
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if exponent < -4 or exponent >= 6:
        return f"{value:.{digits - 1}e}"
    return f"{value:.{max(0, digits - 1 - exponent)}f}"


def format_quantity(
    value: float, unit: str = "1", lower: float | None = None, upper: float | None = None
) -> str:
    """Print a value, its interval where there is one, and its unit.

    Examples
    --------
    >>> format_quantity(0.5, "s", 0.48, 0.521)
    '0.500 [0.480, 0.521] s'
    """
    text = format_number(value)
    if lower is not None and upper is not None and not (math.isnan(lower) or math.isnan(upper)):
        text += f" [{format_number(lower)}, {format_number(upper)}]"
    return text if unit in ("1", "") else f"{text} {unit}"


def counted(n: int, thing: str) -> str:
    """Say how many things there are: ``"1 point"``, ``"2 points"``.

    Parameters
    ----------
    n : how many.
    thing : the word for one.
    """
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"
