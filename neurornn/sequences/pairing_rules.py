"""What needs no network: rules that name an acceptor by where it stands, and chance."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurornn.sequences.pairing_windows import BEFORE, Windows

#: bp, shortest intron that the rule of the first AG allows.
SHORTEST = 40
#: bp, largest distance from the end that is tried.
_FURTHEST = 60


def first_beyond(windows: Windows, shortest: int = SHORTEST) -> NDArray[np.int64]:
    """Position of the first AG that leaves an intron so long, (window,); -1 where there is none.

    Parameters
    ----------
    windows : with their candidates. shortest : bp, of an intron.
    """
    allowed = windows.is_candidate.copy()
    allowed[:, : max(BEFORE + shortest - 2, 0)] = False
    return np.where(allowed.any(axis=1), allowed.argmax(axis=1), -1)


def nearest_to_end(windows: Windows, distance: int) -> NDArray[np.int64]:
    """Position of the AG that leaves about so many bp behind it, (window,); -1 without an AG.

    Parameters
    ----------
    windows : with their candidates. distance : bp, from the G of the AG to the window's end.
    """
    place = np.arange(windows.codes.shape[1])
    off = np.abs(windows.stop[:, None] - 2 - distance - place).astype(float)
    off[~windows.is_candidate] = np.inf
    return np.where(windows.is_candidate.any(axis=1), off.argmin(axis=1), -1)


def best_distance(windows: Windows, acceptors: NDArray[np.int64]) -> int:
    """Distance from the end, bp, at which most acceptors are named.

    Parameters
    ----------
    windows : with their candidates. acceptors : (window,), positions of the true ones.
    """
    share = [np.mean(nearest_to_end(windows, d) == acceptors) for d in range(_FURTHEST + 1)]
    return int(np.argmax(share))


def hits(
    windows: Sequence[Windows],
    acceptors: Sequence[NDArray[np.int64]],
    log_probabilities: Sequence[NDArray[np.float64]],
) -> tuple[NDArray[np.float64], int]:
    """What was named rightly in some parts of the windows.

    Parameters
    ----------
    windows, acceptors : of each part, and the positions of the true acceptors.
    log_probabilities : of each part, (window, position), of the networks.

    Returns
    -------
    (window, 4), whether the networks, `first_beyond` and `nearest_to_end` were right, and the
    chance of an AG drawn at random; and the distance from the end, bp: the median over the parts
    of what is best there, so that the rule is not beaten for want of a good distance.
    """
    distance = round(
        float(np.median([best_distance(w, a) for w, a in zip(windows, acceptors, strict=True)]))
    )
    found = [
        np.stack(
            [
                said.argmax(axis=1) == true,
                first_beyond(part) == true,
                nearest_to_end(part, distance) == true,
                1 / part.is_candidate.sum(axis=1),
            ],
            axis=1,
        )
        for part, true, said in zip(windows, acceptors, log_probabilities, strict=True)
    ]
    return np.concatenate(found), distance
