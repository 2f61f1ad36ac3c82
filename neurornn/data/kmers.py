"""Copies and shared stretches of sequences: k-mers hashed all at once."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components

from neurornn.data.alphabets import ALPHABETS
from neurornn.data.sequence_sets import SequenceSet

_SPLITMIX = np.uint64(0x9E3779B97F4A7C15)


class Kmers(NamedTuple):
    """Distinct k-mers of each sequence: `hashes` (kmer,), uint64, and `owner` (kmer,), its row."""

    hashes: NDArray[np.uint64]
    owner: NDArray[np.int64]


def hash_kmers(sequences: SequenceSet, k: int, *, in_place: bool = False) -> Kmers:
    """Hash every stretch of `k` letters; stretches with an ambiguous letter are left out.

    Parameters
    ----------
    sequences : (sequence,).
    k : letters.
    in_place : the same letters at another place of a sequence are another k-mer.

    Notes
    -----
    64-bit hashes of a polynomial over random letter codes: among n k-mers the chance of one false
    match is about n²/2⁶⁵, 3e-6 for ten million.
    """
    codes, n_bases = sequences.flat_codes(), len(ALPHABETS[sequences.alphabet].bases)
    lengths = sequences.lengths
    n_windows = len(codes) - k + 1
    if n_windows <= 0:
        return Kmers(np.empty(0, np.uint64), np.empty(0, np.int64))
    letters = np.random.default_rng(20).integers(2**63, size=256, dtype=np.uint64)
    base = _SPLITMIX | np.uint64(1)
    with np.errstate(over="ignore"):
        hashes = _hash_windows(letters[codes], base, k)
    owner = np.repeat(np.arange(len(sequences)), lengths)
    # A window ends where its sequence ends, and holds only letters that are known.
    known = np.concatenate([[0], np.cumsum(codes >= n_bases)])
    keep = (owner[:n_windows] == owner[k - 1 :]) & (known[k:] == known[:-k])
    if in_place:
        first = np.cumsum(lengths) - lengths
        place = np.arange(n_windows) - first[owner[:n_windows]]
        salt = np.random.default_rng(21).integers(2**63, size=int(lengths.max()), dtype=np.uint64)
        hashes = hashes ^ salt[place]
    return Kmers(hashes[keep], owner[:n_windows][keep])


def _hash_windows(letters: NDArray[np.uint64], base: np.uint64, k: int) -> NDArray[np.uint64]:
    """Polynomial hash of every window of `k` letters, by doubling: log2(k) passes."""
    result: NDArray[np.uint64] | None = None
    done, power, width, factor = 0, letters, 1, base
    n = len(letters) - k + 1
    shift = np.uint64(1)
    while True:
        if k & width:
            piece = power[done : done + n]
            result = piece * shift if result is None else result + piece * shift
            shift = shift * factor
            done += width
        if 2 * width > k:
            break
        power = power[:-width] + power[width:] * factor
        factor = factor * factor
        width *= 2
    assert result is not None
    return result


def sharing(train: SequenceSet, test: SequenceSet, k: int) -> NDArray[np.bool_]:
    """Which test sequences hold at least one `k`-mer of a training sequence, (sequence,)."""
    seen, asked = np.unique(hash_kmers(train, k).hashes), hash_kmers(test, k)
    shared = np.zeros(len(test), dtype=bool)
    if len(seen) and len(asked.hashes):
        at = np.minimum(np.searchsorted(seen, asked.hashes), len(seen) - 1)
        shared[asked.owner[seen[at] == asked.hashes]] = True
    return shared


class Nearest(NamedTuple):
    """The most similar training sequence of each: `share` (sequence,) of k-mers, and its `row`."""

    share: NDArray[np.float64]
    row: NDArray[np.int64]


def nearest_by_kmers(
    train: SequenceSet, test: SequenceSet, k: int, *, in_place: bool = False, same: bool = False
) -> Nearest:
    """Find the training sequence that holds most of the k-mers of each test sequence.

    Parameters
    ----------
    train, test : (sequence,).
    k : letters.
    in_place : a k-mer counts where it stands at the same place of both; else at any place and,
        of DNA, on either strand.
    same : both are one set; a sequence is not compared with itself.

    Returns
    -------
    Share of the distinct k-mers of each test sequence, and row of the training sequence, -1 where
    none shares one.

    Notes
    -----
    k-mers of more than 200 training sequences, repeats, are left out of what is shared.
    """
    forward = _found_in(train, test, k, in_place, same)
    if in_place or train.alphabet != "dna":
        return forward
    turned = _found_in(train, test.reverse_complement(), k, in_place, same)
    better = turned.share > forward.share
    return Nearest(
        np.where(better, turned.share, forward.share), np.where(better, turned.row, forward.row)
    )


#: Training sequences of a k-mer beyond which it is a repeat, and test sequences at a time.
_REPEAT, _BLOCK = 200, 500


def _found_in(
    train: SequenceSet, test: SequenceSet, k: int, in_place: bool, same: bool
) -> Nearest:
    one, other = (_distinct(s, k, in_place) for s in (train, test))
    share, row = np.zeros(len(test)), np.full(len(test), -1)
    known, column, count = np.unique(one.hashes, return_inverse=True, return_counts=True)
    if not len(known) or not len(other.hashes):
        return Nearest(share, row)
    few = count[column] <= _REPEAT
    table = csr_matrix(
        (np.ones(int(few.sum()), np.float32), (one.owner[few], column[few])),
        shape=(len(train), len(known)),
    ).T.tocsr()
    total = np.bincount(other.owner, minlength=len(test))
    at = np.minimum(np.searchsorted(known, other.hashes), len(known) - 1)
    hit = known[at] == other.hashes
    asked = csr_matrix(
        (np.ones(int(hit.sum()), np.float32), (other.owner[hit], at[hit])),
        shape=(len(test), len(known)),
    )
    for first in range(0, len(test), _BLOCK):
        shared = (asked[first : first + _BLOCK] @ table).tocoo()
        a, b, n = shared.row + first, shared.col, shared.data
        if same:
            a, b, n = (v[a != b] for v in (a, b, n))
        order = np.lexsort((n, a))
        last = np.flatnonzero(np.diff(a[order], append=-1) != 0)
        best = order[last]
        share[a[best]] = n[best] / total[a[best]]
        row[a[best]] = b[best]
    return Nearest(share, row)


def _distinct(sequences: SequenceSet, k: int, in_place: bool) -> Kmers:
    """Every k-mer of each sequence once; in place, the same k-mer elsewhere is another."""
    found = hash_kmers(sequences, k, in_place=in_place)
    order = np.lexsort((found.hashes, found.owner))
    hashes, owner = found.hashes[order], found.owner[order]
    new = np.r_[True, (np.diff(hashes) != 0) | (np.diff(owner) != 0)] if len(hashes) else []
    keep = np.asarray(new, dtype=bool)
    return Kmers(hashes[keep], owner[keep])


def cluster_by_kmers(sequences: SequenceSet, k: int) -> NDArray[np.int64]:
    """Label sequences so that any two with a common `k`-mer, or equal, have the same label.

    Parameters
    ----------
    sequences : (sequence,).
    k : letters. Choose it long enough that chance does not join strangers: 40 for DNA.

    Returns
    -------
    (sequence,) : number of the cluster.
    """
    table = hash_kmers(sequences, k)
    order = np.argsort(table.hashes, kind="stable")
    same = table.hashes[order][1:] == table.hashes[order][:-1]
    one, other = table.owner[order][:-1][same], table.owner[order][1:][same]
    twins = copies([s.upper() for s in sequences])
    first = np.unique(twins, return_index=True)[1]
    one = np.concatenate([one, np.arange(len(twins))])
    other = np.concatenate([other, first[twins]])
    n = len(sequences)
    links = coo_matrix((np.ones(len(one), dtype=np.int8), (one, other)), shape=(n, n))
    return connected_components(links, directed=False)[1].astype(np.int64)


def copies(rows: "NDArray | list[str]") -> NDArray[np.int64]:
    """Number the distinct rows, (row,): equal rows have equal numbers.

    Parameters
    ----------
    rows : (row, ...) or strings.
    """
    if isinstance(rows, list):
        seen: dict[str, int] = {}
        return np.array([seen.setdefault(row, len(seen)) for row in rows], dtype=np.int64)
    flat = np.ascontiguousarray(rows.reshape(len(rows), -1))
    if flat.dtype.kind == "f":
        flat = flat + 0.0  # -0.0 equals 0.0
    keys = flat.view(np.dtype((np.void, flat.dtype.itemsize * flat.shape[1]))).ravel()
    return np.unique(keys, return_inverse=True)[1].ravel()


def kmer_counts(sequences: SequenceSet, k: int) -> NDArray[np.float64]:
    """Frequency of each of the bases**k k-mers in each sequence, (sequence, kmer)."""
    n_bases = len(ALPHABETS[sequences.alphabet].bases)
    codes = sequences.flat_codes().astype(np.int64)
    n = len(codes) - k + 1
    owner = np.repeat(np.arange(len(sequences)), sequences.lengths)
    if n <= 0:
        return np.zeros((len(sequences), n_bases**k))
    word = np.zeros(n, dtype=np.int64)
    known = np.ones(n, dtype=bool)
    for j in range(k):
        word = word * n_bases + codes[j : j + n]
        known &= codes[j : j + n] < n_bases
    known &= owner[:n] == owner[k - 1 :]
    cells = np.bincount(
        owner[:n][known] * n_bases**k + word[known], minlength=len(sequences) * n_bases**k
    ).reshape(len(sequences), -1)
    return cells / np.maximum(cells.sum(axis=1, keepdims=True), 1)
