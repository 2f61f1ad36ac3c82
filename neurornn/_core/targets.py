"""Where a result may stand: what is there already is looked at before anything is written."""

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from neurornn._core.errors import FileWriteError, KindError

#: Says of a path why it must not be replaced; None where it is a result of ours.
Recogniser = Callable[[Path], str | None]

#: Files that desktops leave in any folder they show; nobody's work.
LITTER = frozenset({".DS_Store", "Thumbs.db"})
#: Names of our scratch folders begin so; see `files.atomic_path`.
SCRATCH = ".neurornn-"


def check_target(
    path: str | os.PathLike[str],
    *,
    folder: bool = False,
    ours: Recogniser | None = None,
    inputs: Iterable[str | os.PathLike[str]] = (),
    overwrite: bool = False,
) -> Path:
    """Return where a result may be written, or raise before anything is.

    Parameters
    ----------
    path : where the file or folder is to stand; ``~`` is the home folder, links are followed.
    folder : whether a folder is to be written.
    ours : says why what stands there must not be replaced; None where it may. By default nothing
        may be.
    inputs : files and folders that are read; the result is none of them and holds none of them.
    overwrite : replace a file whatever it holds. A folder is replaced only if it is ours.

    Returns
    -------
    path : absolute, without links

    Raises
    ------
    KindError
        `path` is no text and no path.
    FileWriteError
        No name, a folder that everything stands in, a name that is too long, something of
        somebody else's, a file where a folder is to be written or the other way round, an input,
        or a place that cannot be written.
    """
    what = "folder" if folder else "file"
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        raise KindError(
            f"The place to write to is {path!r}, a {type(path).__name__}",
            f"The path of a {what} as text was needed",
            "Put it in quotes",
        )
    try:
        return _checked(os.fspath(path), what, ours, inputs, overwrite)
    except FileWriteError:
        raise
    except OSError as error:
        raise FileWriteError(
            f"{path} cannot be looked at: {error.strerror or error}",
            "A place that you may read and write was needed",
            "Choose another folder; nothing was touched",
        ) from error


def _checked(
    text: str,
    what: str,
    ours: Recogniser | None,
    inputs: Iterable[str | os.PathLike[str]],
    overwrite: bool,
) -> Path:
    _check_name(text, what)
    place = _followed(text)
    home = os.path.realpath(os.path.expanduser("~"))
    if place == Path(place.anchor) or os.path.realpath(place) == home:
        raise _refused(text, f"is {place}, which holds everything else", "", what)
    if _holds(place, _work_folder()):
        raise _refused(text, f"is {place}, the folder you work in, or holds it", "", what)
    for given in inputs:
        if _holds(place, Path(os.path.realpath(given))):
            raise _refused(
                text,
                f"is {given}, which is read, or holds it",
                "an input is never replaced by a result",
                what,
            )
    _check_room(place, text, what)
    if os.path.lexists(place):
        _check_standing(place, text, what, ours, overwrite)
    return place


def check_container(folder: str | os.PathLike[str]) -> None:
    """Raise where several results cannot be written into a folder, which may hold other things.

    Parameters
    ----------
    folder : may be absent.

    Raises
    ------
    KindError, FileWriteError
        No path, no name, or the folder that holds everything.
    """
    if not isinstance(folder, str | os.PathLike) or not str(os.fspath(folder)).strip():
        raise _refused(str(folder), "is no name of a folder", "", "folder")
    place = _followed(os.fspath(folder))
    if place == Path(place.anchor):
        raise _refused(os.fspath(folder), f"is {place}, which holds everything else", "", "folder")


def check_apart(targets: Iterable[str | os.PathLike[str]]) -> None:
    """Raise `FileWriteError` where two results of one call are to stand in one place.

    Parameters
    ----------
    targets : paths of files and folders; a file inside another result's folder does not do
        either, since saving that result again would have to remove it.
    """
    places = [(os.fspath(t), _followed(os.fspath(t))) for t in targets]
    for k, (name, place) in enumerate(places):
        for other, there in places[k + 1 :]:
            if place == there or place in there.parents or there in place.parents:
                raise FileWriteError(
                    f"{name} and {other} are to be written to one place",
                    "A place of its own was needed for each result",
                    "Give one of them another name",
                )


def check_own_folder(folder: str | os.PathLike[str], own: Callable[[str], bool]) -> None:
    """Raise `FileWriteError` where a folder of intermediate results holds anything else.

    Parameters
    ----------
    folder : may be absent.
    own : whether an entry of that name is of our making.
    """
    if isinstance(folder, str | os.PathLike) and os.path.isfile(folder):
        raise _in_the_way(os.fspath(folder), Path(folder))
    place = check_target(folder, folder=True, ours=lambda _: None)
    if not os.path.isdir(place):
        return
    others = [n for n in sorted(os.listdir(place)) if not (own(n) or is_scratch(n))]
    others = [n for n in others if n not in LITTER]
    if others:
        raise FileWriteError(
            f"{folder} holds {shortened(others)} besides intermediate results",
            "A folder of its own was needed: what is finished is removed from it later",
            f"Pass a new name, for example {os.path.join(os.fspath(folder), 'run')}",
        )


def is_scratch(name: str) -> bool:
    """Whether an entry of that name is a scratch folder of ours."""
    return name.startswith(SCRATCH)


def shortened(names: list[str], most: int = 3) -> str:
    """Name the first few entries of a folder, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def folder_content(folder: Path) -> str:
    """Say in words what a folder holds."""
    names = sorted(os.listdir(folder))
    if not names:
        return "an empty folder"
    return f"a folder with {shortened(names)}"


def _check_name(text: str, what: str) -> None:
    last = os.path.basename(text.rstrip("/" + os.sep)) if text.strip("/" + os.sep) else ""
    if not text.strip():
        raise _refused(text, "is an empty name", "", what)
    if "\0" in text:
        raise _refused(text, "holds a NUL character", "", what)
    if last in ("", ".", ".."):
        raise _refused(text, "names no file or folder of its own", "", what)
    if what == "file" and text.endswith(("/", os.sep)):
        raise _refused(text, "ends as the name of a folder", "a single file is written", what)
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise _refused(text, "cannot be spelt in this file system", "", what) from None


def _followed(text: str) -> Path:
    try:
        return Path(os.path.realpath(Path(text).expanduser()))
    except (OSError, RuntimeError, ValueError) as error:
        raise _refused(text, f"cannot be followed: {error}", "", "file") from None


def _work_folder() -> Path:
    try:
        return Path(os.path.realpath("."))
    except FileNotFoundError:
        # It was removed under us: then nothing in it can be lost.
        return Path("removed")


def _holds(place: Path, other: Path) -> bool:
    if place == other or place in other.parents:
        return True
    # The same file by another spelling (a mount, a file system that does not tell case apart).
    try:
        return os.path.samefile(place, other)
    except OSError:
        return False


def _check_room(place: Path, text: str, what: str) -> None:
    """Look at the folders above: they exist or can be made, and the name fits."""
    above = place.parent
    while not os.path.lexists(above) and above != above.parent:
        above = above.parent
    if not os.path.isdir(above):
        raise _in_the_way(text, above)
    longest = _limit(above, "PC_NAME_MAX", 255)
    for part in place.relative_to(above).parts:
        if len(os.fsencode(part)) > longest:
            raise _refused(
                f"{part[:20]}...",
                f"is a name of {len(os.fsencode(part))} bytes",
                f"at most {longest} are possible there",
                what,
            )
    if not os.access(above, os.W_OK | os.X_OK):
        raise FileWriteError(
            f"{text} could not be written: permission was denied",
            "A folder that you may write to was needed",
            "Choose a folder you may write to; nothing was written",
        )


def _in_the_way(text: str, file: Path) -> FileWriteError:
    return FileWriteError(
        f"{text} could not be written: part of the path is a file, {file}",
        "A path that can be written was needed",
        "Choose another folder; nothing was written",
    )


def _limit(folder: Path, name: str, otherwise: int) -> int:
    try:
        return os.pathconf(folder, name)
    except (AttributeError, ValueError, OSError):
        return otherwise


def _check_standing(
    place: Path, text: str, what: str, ours: Recogniser | None, overwrite: bool
) -> None:
    try:
        mode = os.lstat(place).st_mode
    except FileNotFoundError:
        # Another writer is putting its own in place: at this moment nothing stands there.
        return
    if stat.S_ISDIR(mode) != (what == "folder"):
        there = folder_content(place) if stat.S_ISDIR(mode) else "a file"
        raise _refused(text, f"is {there}", f"a {what} is written and never replaces it", what)
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise _refused(
            text, "is a device, a pipe or a link that leads nowhere", "it cannot be replaced", what
        )
    if not mode & stat.S_IWUSR:
        raise _refused(text, "is write-protected", "it is not replaced", what)
    if overwrite and what == "file":
        return
    reason = "is there already" if ours is None else ours(place)
    if reason is not None:
        way = " or pass overwrite=True," if what == "file" else ""
        raise FileWriteError(
            f"{text} {reason}",
            f"A new name, or a result of the same kind written by neurornn, was needed: "
            f"{'a folder' if what == 'folder' else 'a file'} of yours is never replaced",
            f"Choose another name,{way} or move away what stands there; nothing was touched",
        )


def _refused(text: str, came: str, why: str, what: str) -> FileWriteError:
    shown = text if text.strip() else repr(text)
    return FileWriteError(
        f"{shown} {came}" + (f", and {why}" if why else ""),
        f"The path of a {what} of its own was needed",
        f"Give it a name, for example {'results/fit' if what == 'folder' else 'results/fit.nc'}; "
        "nothing was touched",
    )
