"""Errors in three parts: what came, what was needed, what to do."""

import difflib
from collections.abc import Iterable


class ThreePartError(Exception):
    """An error that says what came, what was needed and what to do.

    Parameters
    ----------
    came : what the call received, with its numbers.
    needed : what would have been accepted.
    remedy : what to do about it.
    """

    def __init__(self, came: str, needed: str, remedy: str) -> None:
        super().__init__(came, needed, remedy)
        self.came = came
        self.needed = needed
        self.remedy = remedy

    def __str__(self) -> str:
        return " ".join(_sentence(part) for part in (self.came, self.needed, self.remedy))


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "?", "!")) else text + "."


class DataError(ThreePartError, ValueError):
    """The values cannot be used: empty, constant, not finite, too short."""


class ShapeError(ThreePartError, ValueError):
    """The axes or sizes do not fit."""


class UnitError(ThreePartError, ValueError):
    """A time or a rate is in another unit than the one asked for."""


class SplitError(ThreePartError, ValueError):
    """A window crosses a split edge or a join between trials."""


class KindError(ThreePartError, TypeError):
    """A thing of the wrong kind came."""


class NameUnknownError(ThreePartError, KeyError):
    """A name that is not known; the nearest known one is offered."""

    __str__ = ThreePartError.__str__


class FileFormatError(ThreePartError, ValueError):
    """A file cannot be read: damaged, of another format, or of an unknown layout."""


class FileMissingError(ThreePartError, FileNotFoundError):
    """A file that is not there."""

    __str__ = ThreePartError.__str__


class FileWriteError(ThreePartError, OSError):
    """A file cannot be written; whatever stood there before still stands."""

    __str__ = ThreePartError.__str__


class ResumeError(ThreePartError, ValueError):
    """Partial results on disk belong to other data or other settings."""


class MissingDependencyError(ThreePartError, ImportError):
    """An optional package is not installed."""

    __str__ = ThreePartError.__str__


class ConvergenceWarning(UserWarning):
    """A fit ended before its optimum; the status says what to try."""


class UnitWarning(UserWarning):
    """A number looks as if it were in another unit."""


class AxisWarning(UserWarning):
    """An array looks as if its axes came in another order."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Offer the nearest known name.

    Parameters
    ----------
    name : the unknown name.
    known : the names that exist.

    Returns
    -------
    A sentence: ``Did you mean 'dff'?`` or the list of the names that exist.
    """
    names = sorted(str(k) for k in known)
    close = difflib.get_close_matches(str(name), names, n=1)
    if close:
        return f"Did you mean {close[0]!r}?"
    return "Known names: " + (", ".join(names) if names else "none") + "."
