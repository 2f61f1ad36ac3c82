"""Data sets by name: their cards, where their files are, and whether they are the right ones."""

import hashlib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neurornn._core.errors import FileFormatError, FileMissingError, NameUnknownError, nearest
from neurornn._core.report import Table
from neurornn.io.sources import explained

#: Names the folder that holds data sets fetched by hand, laid out as the cards say.
DATA_DIR = "NEURORNN_DATA_DIR"

#: Files whose checksum was found right, by path, size and time of change: each is hashed once.
_checked: dict[tuple[str, int, int], str] = {}


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is known about a data set.

    Attributes
    ----------
    name, title : how it is fetched and what it is.
    source : public address of where it came from.
    licence : as far as it is known; "check" where it is not.
    doi, cite : the paper, and how to cite it.
    species, units : of the recording.
    note : layout, rates that the files do not state, caveats.
    folder : relative to the data folder.
    files : path relative to `folder` -> ``sha256`` and, where the very file is public, ``url``.
    simulated : whether it was made by a simulation of this package.
    place : folder of the card itself.
    """

    name: str
    title: str
    source: str
    licence: str
    files: Mapping[str, Mapping[str, str]]
    doi: str = ""
    cite: str = ""
    species: str = ""
    units: str = ""
    note: str = ""
    folder: str = ""
    simulated: bool = False
    place: Path = field(default=Path(), repr=False)


def fetch(name: str) -> Path:
    """Return the path of a data set, checked against its card.

    Parameters
    ----------
    name : of a card, see `list_datasets`.

    Returns
    -------
    Path
        The file, or the folder where the set has several.

    Notes
    -----
    Files are looked for in the folder that the environment variable NEURORNN_DATA_DIR names,
    then beside the card (simulated samples), then in the download cache; a file with a public
    address of its own is downloaded. Every file is compared with the sha256 of its card once.

    Raises
    ------
    NameUnknownError
        No such data set; the nearest name is offered.
    FileMissingError
        Not here and not to be had by itself; says where to get it and where to put it.
    FileFormatError
        A file that is not the one that the card describes.
    """
    card = read_card(name)
    found = [_find(card, file, dict(entry)) for file, entry in card.files.items()]
    if len(found) == 1:
        return found[0]
    return _common(found, list(card.files))


def list_datasets() -> Table:
    """List the data sets that can be fetched.

    Returns
    -------
    Table
        Name, title, species, licence, and whether it is here already.
    """
    rows = []
    for card in _cards().values():
        here = all(any(p.exists() for p in _places(card, file)) for file in card.files)
        rows.append([card.name, card.title, card.species, card.licence, "yes" if here else "no"])
    return Table(
        title="data sets",
        columns=["name", "title", "species", "licence", "here"],
        rows=rows,
        notes=["nr.fetch(name) gives the path; the card of each names its source and citation."],
    )


def read_card(name: str) -> Card:
    """Return the card of a data set.

    Parameters
    ----------
    name : see `list_datasets`.
    """
    cards = _cards()
    if name not in cards:
        raise NameUnknownError(
            f"There is no data set called {name!r}",
            "The name of a card was needed",
            nearest(name, cards),
        )
    return cards[name]


def cards_folder() -> Path:
    """Return the folder of the cards: inside the wheel, or at the top of a checkout."""
    package = Path(__file__).resolve().parents[1]
    bundled = package / "_datasets"
    return bundled if bundled.is_dir() else package.parent / "datasets"


def _cards() -> dict[str, Card]:
    return {card.name: card for card in map(_parse, sorted(cards_folder().glob("*.toml")))}


def _parse(path: Path) -> Card:
    with explained(path, "a data set card"):
        content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        # A bundled sample names its one file, which lies beside the card.
        if "file" in content:
            content["files"] = {content.pop("file"): {"sha256": content.pop("sha256", "")}}
        known = set(Card.__dataclass_fields__) - {"place"}
        return Card(**{k: v for k, v in content.items() if k in known}, place=path.parent)


def _places(card: Card, file: str) -> Iterator[Path]:
    if os.environ.get(DATA_DIR):
        yield Path(os.environ[DATA_DIR]).expanduser() / card.folder / file
    yield card.place / file
    # Asked last: what downloads is not imported for what is here.
    yield _cache() / card.name / file


def _cache() -> Path:
    import pooch

    return Path(pooch.os_cache("neurornn"))


def _find(card: Card, file: str, entry: dict[str, str]) -> Path:
    for place in _places(card, file):
        if place.is_file():
            _check(place, entry.get("sha256", ""), card)
            return place
    url = entry.get("url")
    if not url:
        raise FileMissingError(
            f"{file} of the data set {card.name!r} is not on this machine",
            f"It was needed under ${DATA_DIR}/{card.folder} (licence: {card.licence})",
            f"Get it from {card.source}, put it there, and set {DATA_DIR}",
        )
    return _download(card, file, url, entry.get("sha256", ""))


def _download(card: Card, file: str, url: str, sha256: str) -> Path:
    import pooch

    target = _cache() / card.name / file
    try:
        path = pooch.retrieve(
            url,
            known_hash=f"sha256:{sha256}" if sha256 else None,
            fname=target.name,
            path=target.parent,
        )
    except Exception as error:  # pooch passes on whatever the network library raises
        raise FileMissingError(
            f"{file} of the data set {card.name!r} could not be downloaded: {error}",
            f"The file at {url} with the sha256 of the card was needed",
            f"Try again, or get it by hand and put it under ${DATA_DIR}/{card.folder}",
        ) from error
    return Path(path)


def _check(path: Path, sha256: str, card: Card) -> None:
    if not sha256:
        return
    status = path.stat()
    key = (str(path), status.st_size, status.st_mtime_ns)
    if key not in _checked:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        _checked[key] = digest.hexdigest()
    if _checked[key] != sha256:
        raise FileFormatError(
            f"{path.name} has sha256 {_checked[key][:16]}...",
            f"The file of {card.name!r} has sha256 {sha256[:16]}...",
            "It is another version or damaged: remove it and fetch again",
        )


def _common(found: list[Path], files: list[str]) -> Path:
    roots = {
        path.parents[len(Path(file).parts) - 1] for path, file in zip(found, files, strict=True)
    }
    if len(roots) == 1:
        return roots.pop()
    raise FileMissingError(
        f"The files of the set lie in {len(roots)} places: {', '.join(sorted(map(str, roots)))}",
        "All of them in one folder were needed",
        f"Complete one of the folders, or remove it from {DATA_DIR}",
    )
