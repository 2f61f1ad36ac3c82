"""Names of contigs: which sequence a name means, and what to do where none has it."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from neurornn._core.errors import NameUnknownError, nearest

#: Names of the mitochondrion, as different sources call it.
_MITOCHONDRION = {"m", "mt"}
#: Names that are looked through for a near one.
_MOST = 10_000


def contig_key(name: str) -> str:
    """Return what two spellings of one contig have in common.

    Parameters
    ----------
    name : ``"chr1"`` and ``"1"`` are alike, ``"chrM"`` and ``"MT"``, ``"NC_000913.3"`` and
        ``"NC_000913"``.

    Examples
    --------
    >>> contig_key("chr1"), contig_key("1"), contig_key("NC_000913.3"), contig_key("chrMT")
    ('1', '1', 'nc_000913', 'm')
    """
    key = name.strip().lower()
    if len(key) > 3 and key.startswith("chr"):
        key = key[3:].lstrip("_") or key
    head, dot, version = key.rpartition(".")
    if dot and version.isdigit() and len(head) > 3:
        key = head
    return "m" if key in _MITOCHONDRION else key


def matched_names(asked: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """Find the contigs that go by another spelling in a file of sequences.

    Parameters
    ----------
    asked : names of contigs, of an annotation for example.
    names : of the sequences.

    Returns
    -------
    dict
        Name that was asked -> name of the only sequence it can mean; names that are known as they
        are, mean several or none are left out.
    """
    known = list(names)
    by_key: dict[str, list[str]] = {}
    for name in known:
        by_key.setdefault(contig_key(name), []).append(name)
    exact = set(known)
    found = {}
    for name in dict.fromkeys(asked):
        same = by_key.get(contig_key(name), [])
        if name not in exact and len(set(same)) == 1:
            found[name] = same[0]
    return found


def contig_row(names: NDArray[np.str_], name: str) -> int:
    """Return which sequence has a name.

    Parameters
    ----------
    names : (sequence,).
    name : of one of them; where several have it, the first is meant.

    Raises
    ------
    NameUnknownError
        No sequence has it; the same contig under another spelling, or the nearest name, is
        offered.
    """
    found = np.flatnonzero(names == name)
    if len(found):
        return int(found[0])
    some = [str(n) for n in names[:_MOST]]
    other = matched_names([name], some).get(name)
    raise NameUnknownError(
        f"There is no sequence {name!r} among {len(names)}",
        "The name of one of them was needed",
        f"The file calls it {other!r}: pass that" if other else nearest(name, some),
    )


def contig_rows(names: NDArray[np.str_], contigs: Sequence[str] | NDArray[np.str_]) -> NDArray:
    """Return which sequence each contig is, (contig,); -1 where there is none.

    Parameters
    ----------
    names : (sequence,).
    contigs : (contig,).
    """
    places = {str(name): k for k, name in reversed(list(enumerate(names)))}
    unique, inverse = np.unique(np.asarray(contigs, dtype=str), return_inverse=True)
    rows = np.array([places.get(str(c), -1) for c in unique], dtype=np.int64)
    return rows[inverse.reshape(-1)] if len(unique) else np.empty(0, dtype=np.int64)
