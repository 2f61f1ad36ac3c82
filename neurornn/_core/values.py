"""Numbers, arrays and labels, whatever came: brought to one form, or refused in three parts.

Everybody takes these from `neurornn._core.checks`.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from numbers import Real
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.errors import (
    DataError,
    KindError,
    NameUnknownError,
    ShapeError,
    UnitError,
    nearest,
)

#: A value beyond this is taken for a fill value: netCDF writes 9.97e36, others the largest float.
_LARGEST = 1e30


def check_number(
    value: Any,
    name: str,
    unit: str = "1",
    *,
    above: float = -np.inf,
    least: float = -np.inf,
    below: float = np.inf,
    most: float = np.inf,
) -> float:
    """Return `value` as a float, or raise where it is not one finite number in a range.

    Parameters
    ----------
    value : what came; text, truth values, complex numbers and arrays of several are refused.
    name : what the number is called in messages.
    unit : of the number. What bears a unit of its own (quantities, pint) is converted to it.
    above, least, below, most : limits, of which `least` and `most` are themselves allowed.

    Raises
    ------
    KindError, DataError, UnitError
        Not a number; not finite, or out of the range; in a unit that does not convert.
    """
    inside = type(value) in (float, int) and -_LARGEST < value < _LARGEST
    if inside and above < value < below and least <= value <= most:
        # The usual case; NaN is on neither side of anything.
        return float(value)
    limits = [
        f"{word} {limit:g}"
        for word, limit in (("above", above), ("of at least", least), ("below", below),
                            ("of at most", most))
        if np.isfinite(limit)
    ]  # fmt: skip
    needed = " ".join(
        ["A finite number", " and ".join(limits), "" if unit == "1" else f"in {unit}"]
    )
    needed = " ".join(needed.split()) + " was needed"
    plain = _one_value(_in_unit(value, unit, name))
    if not isinstance(plain, Real) or isinstance(plain, bool | np.bool_):
        raise KindError(
            f"{name} is {_shown(value)}, a {type(value).__name__}",
            needed,
            f"Pass {name} as a plain number",
        )
    try:
        number = float(plain)
    except OverflowError:
        number = np.inf
    inside = above < number < below and least <= number <= most
    if not (np.isfinite(number) and inside):
        raise DataError(
            f"{name} is {number:g}",
            needed,
            f"Check {name}" + (", and pass one in that range" if unit == "1" else " and its unit"),
        )
    return number


def check_confidence_level(value: Any) -> float:
    """Return the level of an interval, a share above 0 and below 1, or raise."""
    return check_number(value, "confidence_level", above=0.0, below=1.0)


def check_positive(value: Any, name: str, unit: str = "1") -> float:
    """Return `value` as a float, or raise where it is not a finite number above zero."""
    return check_number(value, name, unit, above=0.0)


def check_count(value: Any, name: str, least: int = 1, most: float = 1e9) -> int:
    """Return a whole number of at least `least` and at most `most`, or raise."""
    plain = _one_value(_in_unit(value, "1", name))
    is_number = isinstance(plain, Real) and not isinstance(plain, bool | np.bool_)
    if is_number and least <= plain <= most and int(plain) == plain:
        return int(plain)
    kind = DataError if is_number else KindError
    needed = f"A whole number of at least {least}"
    if is_number and plain > most:
        needed += f" and at most {most:g}"
    raise kind(
        f"{name} is {_shown(value)}",
        f"{needed} was needed",
        f"Check {name}, and pass a whole number",
    )


def check_interval(value: Any, name: str, unit: str = "1") -> tuple[float, float]:
    """Return (lower, upper), both above 0 and in this order, or raise."""
    try:
        pair = tuple(value) if not isinstance(value, str | bytes) else ()
    except TypeError:
        pair = ()
    if len(pair) != 2:
        raise KindError(
            f"{name} is {_shown(value)}",
            f"A lower and an upper bound{'' if unit == '1' else f' in {unit}'} were needed",
            f"Pass for example {name}=(0.01, 5.0)",
        )
    low, high = (check_positive(v, f"{name}[{k}]", unit) for k, v in enumerate(pair))
    if not low < high:
        raise DataError(
            f"{name} is ({low:g}, {high:g})",
            "A lower and a larger upper bound were needed",
            "Check the order: lower, then upper",
        )
    return low, high


def check_choice(value: Any, name: str, known: Iterable[str]) -> str:
    """Return one of the known names, or raise and offer the nearest."""
    names = list(known)
    if isinstance(value, str) and value in names:
        return str(value)
    raise NameUnknownError(
        f"{name} is {_shown(value)}",
        f"One of {', '.join(map(repr, names))} was needed",
        nearest(str(value)[:40], names),
    )


def _one_value(value: Any) -> Any:
    """What an array or tensor of no dimensions holds; everything else as it came."""
    if isinstance(getattr(value, "dtype", None), np.dtype) and value.dtype.kind in "mM":
        # A span of time counts as a whole number for Python.
        return None
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return value.item()
    return value


def _has_unit(value: Any) -> bool:
    """Whether something bears a unit of its own, as the quantities of several packages do."""
    return hasattr(value, "magnitude") and (hasattr(value, "rescale") or hasattr(value, "units"))


def _in_unit(value: Any, unit: str, name: str) -> Any:
    """Return what bears a unit as plain numbers in another one; everything else as it came."""
    if not _has_unit(value):
        return value
    if str(getattr(value, "units", "")) in ("1.0 dimensionless", "dimensionless"):
        return np.asarray(value.magnitude)
    convert = getattr(value, "rescale", None) or getattr(value, "to", None)
    try:
        if convert is None:
            raise TypeError("no way to convert it is known")
        return np.asarray(convert("dimensionless" if unit == "1" else unit).magnitude)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        came = getattr(getattr(value, "dimensionality", None), "string", None)
        came = str(getattr(value, "units", "no unit")) if came is None else came
        plain = "Pass plain numbers: those of times in s, x.rescale('s').magnitude, of other "
        raise UnitError(
            f"{name} is in {came}",
            f"A number without a unit{'' if unit == '1' else f', or one in {unit},'} was needed",
            f"{plain}values x.magnitude",
        ) from error


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:
        # Python prints no whole number of more than 4300 digits.
        text = f"a very large {type(value).__name__}"
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "..."


def check_numbers(
    values: Any, name: str, *, missing: bool | None = None, keep_single: bool = False
) -> NDArray[np.float64]:
    """Return real numbers as an array of float64, or raise; every array comes in through here.

    Parameters
    ----------
    values : array, DataArray, tensor, list, table of pandas; what is masked becomes NaN.
    name : what the values are called in messages.
    missing : whether NaN may stand for a missing value. Infinite and fill values are refused
        either way; None asks for none of this.
    keep_single : leave float32 as it is, for who reads a large array piece by piece.

    Raises
    ------
    KindError, ShapeError, DataError, UnitError
        Not numbers; parts of unequal shape; values that are not finite; numbers that bear a unit
        of their own, since this place does not know which was needed.
    """
    if type(values) is not np.ndarray:
        values = _without_unit(values, name)
    if isinstance(values, np.ndarray) and values.dtype.kind in "iuf":
        # The usual case, without a look at anything else.
        array = values
    else:
        array = _plain_array(values, name)
    single = keep_single and getattr(array, "dtype", None) == np.float32
    numbers = array if single else np.asarray(array, dtype=np.float64)
    if isinstance(values, np.ma.MaskedArray):
        numbers = np.where(np.ma.getmaskarray(values), np.nan, numbers)
    if missing is not None:
        check_finite_or_missing(numbers, name)
        if not missing and np.isnan(numbers).any():
            raise DataError(
                f"{name} holds {int(np.isnan(numbers).sum())} NaN",
                "Finite numbers were needed",
                "Leave those entries out, or fill them",
            )
    return numbers


def _without_unit(values: Any, name: str) -> Any:
    """Refuse what bears a unit, itself or in what it holds: NumPy would drop it in silence."""
    inside: Any = values
    for _ in range(3):
        if isinstance(inside, list | tuple) and len(inside):
            inside = inside[0]
    if inside is not values and _has_unit(inside):
        _in_unit(inside, "1", name)
    return _in_unit(values, "1", name)


def check_rows(values: Any, name: str) -> NDArray[Any]:
    """Return rows of numbers (of their own type; NaN may stand) or of words, or raise."""
    array = values.values if isinstance(values, xr.DataArray) else values
    if isinstance(array, list | tuple) and all(isinstance(x, str) for x in array) and len(array):
        array = np.array(array)
    kind = array.dtype.kind if isinstance(array, np.ndarray) else ""
    if kind == "O" and array.size and all(isinstance(x, str) for x in array.ravel()):
        array, kind = array.astype(str), "U"
    if kind == "U":
        return np.asarray(array)
    if kind not in tuple("biuf") or isinstance(array, np.ma.MaskedArray):
        array = check_numbers(values, name)
    if array.ndim == 0:
        raise ShapeError(
            f"{name} is a single value, {_shown(values)}",
            "A row for each bin or trial was needed",
            f"Pass {name} as an array (row, ...)",
        )
    if array.dtype.kind == "f":
        check_finite_or_missing(array, name)
    return np.asarray(array)


def check_rng(rng: Any) -> Any:
    """Return what random numbers are drawn from: a whole number, a generator or None."""
    if rng is None or isinstance(
        rng, np.random.Generator | np.random.SeedSequence | np.random.BitGenerator
    ):
        return rng
    return check_count(rng, "rng", 0, 2**64 - 1)


def _plain_array(values: Any, name: str) -> NDArray[Any]:
    """Bring what may hold numbers to an array of them."""
    not_numbers = KindError(
        f"{name} is a {type(values).__name__} that is not an array of real numbers",
        "Real numbers were needed",
        "Open a file with nr.open, or pass a NumPy array or a DataArray",
    )
    if hasattr(values, "toarray") or getattr(values, "is_sparse", False):
        raise KindError(
            f"{name} is a sparse {type(values).__name__}",
            "A dense array was needed; sparse data is not supported",
            f"Pass {name}.toarray(), or {name}.to_dense()",
        )
    if isinstance(values, xr.Dataset | Mapping | Set | str | bytes | None):
        raise not_numbers
    if hasattr(values, "detach"):
        # A tensor, which this room does not know.
        values = values.detach().cpu()
        values = values.double() if values.is_floating_point() else values
    try:
        array = np.asarray(values.values if isinstance(values, xr.DataArray) else values)
    except (TypeError, OverflowError, RecursionError):
        raise not_numbers from None
    except ValueError:
        raise ShapeError(
            f"{name} is a {type(values).__name__} whose parts differ in shape",
            "One array of numbers was needed",
            "Pass parts of equal length, or one array per trial",
        ) from None
    if array.dtype.kind == "O":
        # Text that reads like a number is no number.
        if not all(isinstance(x, Real | np.bool_) for x in array.ravel()):
            raise not_numbers
        try:
            array = array.astype(np.float64)
        except OverflowError:
            raise DataError(
                f"{name} holds whole numbers beyond the largest float",
                "Numbers below 1e308 were needed",
                "Check the values",
            ) from None
    if array.dtype.kind in "mM":
        raise UnitError(
            f"{name} holds {array.dtype} values",
            "Real numbers were needed; times in s as floats",
            f'Convert them: {name} / np.timedelta64(1, "s")',
        )
    if array.dtype.kind not in "biuf":
        raise not_numbers
    return array


def check_labels(labels: Any, name: str, *, missing: bool = False) -> NDArray[Any]:
    """Return labels of one kind, or raise; NaN and None may stand where `missing` is set."""
    if isinstance(labels, Mapping | Set | Iterator | str | bytes | None):
        raise KindError(
            f"{name} is a {type(labels).__name__}",
            "An array or a list of labels was needed",
            f"Pass {name} as one label for each row",
        )
    if hasattr(labels, "detach"):
        labels = check_numbers(labels, name)
    if isinstance(labels, list | tuple) and any(isinstance(x, str) for x in labels):
        # NumPy would make words of the numbers among them.
        labels = np.array(labels, dtype=object)
        if all(isinstance(x, str) for x in labels.ravel()):
            labels = labels.astype(str)
    try:
        found = np.asarray(labels.values if isinstance(labels, xr.DataArray) else labels)
    except (TypeError, ValueError, RuntimeError):
        raise KindError(
            f"{name} is a {type(labels).__name__} that is no array of labels",
            "One label for each row was needed",
            "Pass numbers or words",
        ) from None
    flat = found.ravel()
    absent = np.zeros(flat.shape, dtype=bool)
    if found.dtype.kind in "fcmM":
        absent = np.asarray(flat != flat)
    elif found.dtype.kind == "O":
        absent = np.array([x is None or (isinstance(x, float) and x != x) for x in flat], bool)
    if absent.any() and not missing:
        raise DataError(
            f"{int(absent.sum())} of {flat.size} {name} are missing, NaN or None",
            "A label for each row was needed",
            "Leave those rows out, or give them a label of their own such as 'none'",
        )
    kinds = {type(x) for x in flat[~absent]} if found.dtype.kind == "O" else set()
    numbers = all(issubclass(k, Real) for k in kinds)
    words = len(kinds) == 1 and issubclass(next(iter(kinds)), str | bytes)
    if not (numbers or words) or found.dtype.kind not in "biufUSOmM":
        raise KindError(
            f"{name} holds {', '.join(sorted(k.__name__ for k in kinds)) or found.dtype}",
            "Labels of one kind were needed, numbers or words",
            "Convert them, for example [str(label) for label in labels]",
        )
    return found


def check_finite_or_missing(array: NDArray[np.float64], name: str) -> None:
    """Raise `DataError` for infinite values and for fill values of files; NaN may stand."""
    # One pass; NaN is passed over.
    top = np.fmax.reduce(np.abs(array), axis=None, initial=0.0)
    if top <= _LARGEST:
        return
    if np.isinf(top):
        raise DataError(
            f"{name} holds {int(np.isinf(array).sum())} infinite values",
            "Finite values were needed, or NaN where a frame is missing",
            "Replace them: np.where(np.isinf(x), np.nan, x)",
        )
    raise DataError(
        f"{name} holds values as large as {top:.3g}",
        f"Values below {_LARGEST:g} were needed, or NaN where a frame is missing",
        f"Are these fill values of a file? Then np.where(np.abs(x) > {_LARGEST:g}, np.nan, x)",
    )
