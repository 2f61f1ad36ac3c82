"""Old names of arguments: they work for two releases, and say what they are called now."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from neurornn._core.errors import DataError
from neurornn._core.warning import warn_user


def renamed(*gone: str, **names: str) -> Callable[[Any], Any]:
    """Let a function take arguments by the names that they had.

    Parameters
    ----------
    *gone : arguments without a meaning today: they warn, and are passed over.
    **names : old name -> name today.

    Returns
    -------
    A decorator. The signature is that of today; what else is taken stands in ``old_names``.
    """

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def with_old_names(*args: Any, **kwargs: Any) -> Any:
            if not (kwargs.keys() & names.keys() or kwargs.keys() & set(gone)):
                return function(*args, **kwargs)
            where = function.__qualname__.removesuffix(".__init__")
            return function(*args, **new_names(kwargs, names, where, gone=gone))

        with_old_names.old_names = (*names, *gone)  # type: ignore[attr-defined]
        return with_old_names

    return decorate


def new_names(
    given: Mapping[str, Any],
    names: Mapping[str, str],
    where: str,
    *,
    gone: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Return arguments by the names of today, with a warning for each that came by an old one.

    Parameters
    ----------
    given : name -> value.
    names : old name -> name today.
    where : what took the arguments, for the warning.
    gone : names that are passed over.

    Raises
    ------
    DataError
        The old and the new name of the same argument came.
    """
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name in gone:
            warn_user(f"{name}= of {where} has no meaning any more; leave it out.", FutureWarning)
            continue
        today = names.get(name, name)
        if today != name:
            if today in given:
                raise DataError(
                    f"{name}= and {today}= came for {where}",
                    f"One of them was needed: {name} is the old name of {today}",
                    f"Leave {name}= out",
                )
            warn_renamed(f"{name}=", f"{today}=", where)
        found[today] = value
    return found


def warn_renamed(name: str, today: str, where: str) -> None:
    """Say what a name is called now.

    Parameters
    ----------
    name, today : the old one and the new one.
    where : what has it.
    """
    told = f"{name} of {where} is now called {today}; the old name goes in the release after the "
    warn_user(told + "next.", FutureWarning)
