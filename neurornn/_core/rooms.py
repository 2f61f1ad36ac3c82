"""The public names of a room: loaded when first used, and a misspelt or planned one says so."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import lazy_loader

Names = tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]


def room(
    package: str, names: Mapping[str, Sequence[str]] | None = None, planned: Sequence[str] = ()
) -> Names:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` of a room.

    Parameters
    ----------
    package : ``__name__`` of the room.
    names : file -> public names that stand in it.
    planned : names that are promised and do not stand yet.
    """
    files = {k: list(v) for k, v in (names or {}).items()}
    return _with_help(package, lazy_loader.attach(package, submod_attrs=files), planned)


def house(package: str, file: str) -> Names:
    """Return the same for the package itself, whose names stand in its stub file."""
    return _with_help(package, lazy_loader.attach_stub(package, file), ())


def _with_help(package: str, found: Names, planned: Sequence[str]) -> Names:
    load, listed, public = found

    def named(name: str) -> Any:
        if name in public or name.startswith("_"):
            return load(name)
        try:
            return load(name)
        except AttributeError:
            pass
        short = package.replace("neurornn", "nr", 1)
        if name in planned:
            raise AttributeError(
                f"{short}.{name} is planned and does not stand yet: see Status in the README for "
                "what does"
            )
        from neurornn._core.errors import nearest

        hint = nearest(name, [*public, *planned])
        raise AttributeError(f"{short} has no {name!r}. {hint}", name=name)

    return named, listed, public
