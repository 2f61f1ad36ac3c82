"""What phy and Kilosort say of the clusters: the tables ``cluster_*.tsv`` of a folder."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurornn._core.errors import FileFormatError
from neurornn._core.warning import warn_user
from neurornn.io.phy_folders import own_file
from neurornn.io.sources import explained
from neurornn.io.text_files import text_lines

#: The surest first. Older versions of phy write ``.csv``, with tabs.
_FILES = (
    *("cluster_group.tsv", "cluster_groups.csv", "cluster_group.csv"),
    *("cluster_KSLabel.tsv", "cluster_quality.tsv", "cluster_info.tsv"),
)
#: Columns, the one that decides first: what a person said, then what a program computed.
_COLUMNS = ("group", "quality", "KSLabel")
_IDS = ("cluster_id", "id")
#: What the words mean; of a word of one's own nothing is known.
_KINDS = {"good": "sorted", "mua": "multi-unit", "noise": "noise", "unsorted": "unsorted"}
#: Written for what is not filled in.
_NONE = ("", "nan", "none")


def kinds_of(words: dict[str, NDArray[Any]], n_units: int) -> NDArray[Any]:
    """Say what each cluster is: sorted, multi-unit, unsorted, noise or not stated.

    Parameters
    ----------
    words : column -> (unit,), as `labels_of` returns them.
    n_units : clusters.

    Examples
    --------
    >>> words = {"group": np.array(["", "noise"]), "KSLabel": np.array(["mua", "good"])}
    >>> kinds_of(words, 2).tolist()
    ['multi-unit', 'noise']
    """
    said = np.full(n_units, "", dtype=object)
    for name in reversed(_COLUMNS):
        if name in words:
            said = np.where(words[name] == "", said, words[name])
    return np.array([_KINDS.get(str(word).lower(), "not stated") for word in said], dtype=str)


def labels_of(folder: Path, unit: NDArray[Any]) -> tuple[dict[str, NDArray[Any]], list[int]]:
    """Return the labels of clusters, and which clusters have a label and no spike.

    Parameters
    ----------
    folder : path.
    unit : (unit,), numbers of the clusters that have spikes.

    Returns
    -------
    Column (``group``, ``quality``, ``KSLabel``) -> (unit,), empty where nothing is said; columns
    of which nothing is said are absent.

    Raises
    ------
    FileFormatError
        A table whose clusters cannot be read, or that says two things of one cluster.
    """
    found: dict[str, dict[int, tuple[str, str]]] = {name: {} for name in _COLUMNS}
    others: list[str] = []
    for name in _FILES:
        file = own_file(folder, name)
        if file is None:
            continue
        with explained(file, "table of clusters"):
            table = _table(file)
        for column, labels in table.items():
            for cluster, word in labels.items():
                first, where = found[column].setdefault(cluster, (word, name))
                if first != word:
                    others.append(
                        f"{column} of cluster {cluster} is {first!r} in {where} and {word!r} in "
                        f"{name}"
                    )
    if others:
        warn_user(
            f"In {folder.name} {others[0]}"
            + (f", and so on for {len(others) - 1} more" if len(others) > 1 else "")
            + ". One label for each cluster was needed; the first of the two was taken. Save the "
            "folder once more in phy, or take the old table away."
        )
    numbers = unit.tolist()
    known = set(numbers)
    idle = sorted({cluster for labels in found.values() for cluster in labels} - known)
    words = {
        name: np.array([labels.get(u, ("", ""))[0] for u in numbers], dtype=str)
        for name, labels in found.items()
        if known & set(labels)
    }
    return words, idle


def _table(file: Path) -> dict[str, dict[int, str]]:
    """Read the columns that are known: name -> cluster -> word."""
    out: dict[str, dict[int, str]] = {}
    with text_lines(file) as lines:
        _, head = next(lines, (0, ""))
        mark = "\t" if "\t" in head else ","
        names = [cell.strip() for cell in next(csv.reader([head], delimiter=mark), [])]
        ids = next((names.index(name) for name in _IDS if name in names), None)
        wanted = {
            k: known
            for k, name in enumerate(names)
            for known in _COLUMNS
            if name.lower() == known.lower()
        }
        if ids is None:
            raise FileFormatError(
                f"The first line of {file.name} is {head.strip()[:60]!r}",
                "The names of its columns, of which one is cluster_id, were needed",
                "It is damaged, or no table of clusters: take it out of the folder",
            )
        for number, line in lines:
            cells = next(csv.reader([line], delimiter=mark), [])
            if not any(cell.strip() for cell in cells):
                continue
            cluster = _cluster(cells[ids] if ids < len(cells) else "", number, file.name)
            for k, name in wanted.items():
                word = cells[k].strip() if k < len(cells) else ""
                if word.lower() in _NONE:
                    continue
                first = out.setdefault(name, {}).setdefault(cluster, word)
                if first != word:
                    raise FileFormatError(
                        f"Line {number} of {file.name} says {word!r} of cluster {cluster}, which "
                        f"is {first!r} above",
                        "One label for each cluster was needed",
                        "Remove the wrong line",
                    )
    return out


def _cluster(text: str, number: int, source: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise FileFormatError(
            f"Line {number} of {source} has the cluster {text[:40]!r}",
            "The number of a cluster was needed",
            "It is damaged, or was changed by hand: correct the line",
        ) from None
