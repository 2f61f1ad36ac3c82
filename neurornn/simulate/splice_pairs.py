"""A donor of one of several kinds, and far away acceptors of all kinds: memory on DNA."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_count
from neurornn._core.rng import RNG, generator
from neurornn.simulate.dna import BASES

#: bp before the donor, and between two acceptors, fewest and most.
_LEAD, _SPACE = (4, 20), (2, 6)
_A, _G, _T = (BASES.index(c) for c in "AGT")
#: Fewest bp from a GT to the first AG: the letters of their kinds lie between them.
SHORTEST = 6


def simulate_splice_pairs(
    n_sequences: int = 64, distance: int = 100, *, n_kinds: int = 4, rng: RNG = None
) -> xr.Dataset:
    """Simulate donors whose acceptor is told by a letter that lies at the donor, far away.

    Parameters
    ----------
    n_sequences : size of the set.
    distance : bp, from the donor's GT to the AG of the first acceptor, 6 at least; the right one
        stands there or up to 27 bp further.
    n_kinds : 2 to 4, kinds of donors and of acceptors; each sequence has one acceptor of each.
    rng : int, Generator or None

    Returns
    -------
    Dataset
        ``letters (sequence, position)`` (bytes), ``one_hot (sequence, base, position)``,
        ``donor (sequence)``, where the GT begins, ``acceptor (sequence, candidate)``, where each
        AG begins, in their order, and the truth: ``kind (sequence)``, that of the donor,
        ``acceptor_kind (sequence, candidate)``, ``right (sequence)``, the candidate of the donor's
        kind, and ``distance_true (sequence)``, from the donor to it. Positions are in bp, 0-based.

    Raises
    ------
    DataError
        A distance of fewer than 6 bp, or a number of kinds that there are no letters for.

    Notes
    -----
    The letter behind the donor's GT is its kind, and the letter before an acceptor's AG is that of
    the acceptor: GTC belongs to CAG. There is no other GT and no other AG in a sequence; all other
    letters are drawn at random from what that leaves. Places are drawn first, the acceptors 5 to 9
    bp apart, and kinds are dealt out to them afterwards. So neither the place of an acceptor nor
    its rank nor the length of the sequence tells which one is right, and a reader that forgets the
    donor is right once in `n_kinds`.

    Examples
    --------
    >>> task = simulate_splice_pairs(3, 200, rng=0)
    >>> letters = task["letters"].values[0].tobytes().decode()
    >>> start, right = int(task["donor"][0]), int(task["acceptor"][0, task["right"][0]])
    >>> letters[start : start + 2], letters[right : right + 2]
    ('GT', 'AG')
    >>> letters[start + 2] == letters[right - 1], int(task["acceptor"][0, 0]) - start
    (True, 200)
    """
    n = check_count(n_sequences, "n_sequences")
    distance = check_count(distance, "distance", SHORTEST)
    n_kinds = check_count(n_kinds, "n_kinds", 2, len(BASES))
    draw = generator(rng)
    kind = draw.integers(n_kinds, size=n)
    order = np.argsort(draw.random((n, n_kinds)), axis=1)
    right = np.argmax(order == kind[:, None], axis=1)
    donor = draw.integers(_LEAD[0], _LEAD[1] + 1, size=n)
    apart = 3 + draw.integers(_SPACE[0], _SPACE[1] + 1, size=(n, n_kinds - 1))
    offset = np.concatenate([np.zeros((n, 1), int), np.cumsum(apart, axis=1)], axis=1)
    acceptor = donor[:, None] + distance + offset
    # Sequences are equally long, with letters behind the last acceptor.
    length = _LEAD[1] + distance + (n_kinds - 1) * (_SPACE[1] + 3) + 8
    given = np.full((n, length), -1)
    rows = np.arange(n)
    for k, code in ((0, _G), (1, _T), (2, kind)):
        given[rows, donor + k] = code
    for j in range(n_kinds):
        for k, code in ((-1, order[:, j]), (0, _A), (1, _G)):
            given[rows, acceptor[:, j] + k] = code
    codes = _filled(given, draw)
    text = np.frombuffer(BASES.encode(), dtype="S1")
    in_bp = {"units": "bp"}
    return xr.Dataset(
        {
            "letters": (("sequence", "position"), text[codes]),
            "one_hot": (
                ("sequence", "base", "position"),
                (codes[:, None, :] == np.arange(4)[None, :, None]).astype(np.uint8),
            ),
            "donor": ("sequence", donor, in_bp),
            "acceptor": (("sequence", "candidate"), acceptor, in_bp),
            "kind": ("sequence", kind),
            "acceptor_kind": (("sequence", "candidate"), order),
            "right": ("sequence", right),
            "distance_true": ("sequence", acceptor[np.arange(n), right] - donor, in_bp),
        },
        coords={"base": list(BASES), "position": ("position", np.arange(length), in_bp)},
        attrs={"source": "simulated by neurornn.simulate.simulate_splice_pairs"},
    )


def _filled(given: NDArray[np.int64], draw: np.random.Generator) -> NDArray[np.int64]:
    """Draw every letter that is not given (-1), so that no further AG and no further GT arises."""
    n, length = given.shape
    codes = given.copy()
    chance = draw.random((n, length), dtype=np.float32)
    rows = np.arange(n)
    free = given < 0
    after = np.concatenate([given[:, 1:], np.full((n, 1), -1)], axis=1)
    for k in range(length):
        allowed = np.ones((n, len(BASES)), bool)
        if k:
            allowed[codes[:, k - 1] == _A, _G] = False
            allowed[codes[:, k - 1] == _G, _T] = False
        allowed[after[:, k] == _G, _A] = False
        allowed[after[:, k] == _T, _G] = False
        up_to = np.cumsum(allowed, axis=1)
        drawn = np.argmax(up_to > (chance[:, k] * up_to[:, -1])[:, None], axis=1)
        codes[rows, k] = np.where(free[:, k], drawn, given[:, k])
    return codes
