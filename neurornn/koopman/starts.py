"""Where the search for rates begins: dynamic mode decomposition of delayed frames.

What comes out is a start, not an estimate: frames that are missing are drawn in as straight lines
here, and here alone.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from neurornn.koopman.exponentials import Array, Trajectory

Complex = NDArray[np.complex128]

#: Decay per frame beyond which no start is.
_FASTEST = 3.0
#: Delays that are tried where none are given; a number that no series holds is left out.
DELAYS = (1, 8, 24)


def delays_for(n_delays: int | None, rank: int, n_axis: int, longest: int) -> list[int]:
    """Numbers of delays to try: enough for the rank, few enough for the longest trajectory."""
    least = -(-rank // n_axis)
    if n_delays is not None:
        return [max(n_delays, least)]
    fitting = [d for d in DELAYS if least <= d <= max(longest // 4, 1)]
    return fitting or [max(least, 1)]


def first_guesses(
    trajectories: list[Trajectory], rank: int, n_delays: int, dt: float
) -> Iterator[tuple[Complex, Complex]]:
    """Yield eigenvalues (rank,) per unit of time and looks (axis, rank) of linear maps.

    Parameters
    ----------
    trajectories : in the axes that are fitted.
    n_delays : frames of a delayed frame.
    dt : between frames, in the unit of time of the eigenvalues.

    Notes
    -----
    The first is a map by total least squares, which noise shrinks less (Hemati et al. 2017,
    doi:10.1007/s00162-017-0432-2); the second has frames before as instruments, which noise
    shrinks not at all but which is rougher.
    """
    n_axis = trajectories[0].values.shape[1]
    windows = []
    for rows, values in trajectories:
        filled = _filled(rows, values)
        if len(filled) > n_delays:
            view = sliding_window_view(filled, n_delays, axis=0)
            windows.append(view.transpose(0, 2, 1).reshape(len(view), -1))
    if not windows or sum(map(len, windows)) <= rank:
        return
    gram = sum(w.T @ w for w in windows)
    axes = np.linalg.eigh(gram)[1][:, ::-1][:, :rank]
    if axes.shape[1] < rank:
        return
    inside = [w @ axes for w in windows]
    before = np.concatenate([z[:-1] for z in inside])
    after = np.concatenate([z[1:] for z in inside])
    newest = axes.reshape(n_delays, n_axis, rank)[-1]
    both = np.hstack([before, after])
    turned = np.linalg.eigh(both.T @ both)[1][:, ::-1][:, :rank]
    maps = []
    upper, lower = turned[:rank], turned[rank:]
    if np.linalg.cond(upper) < 1e10:
        maps.append((lower @ np.linalg.inv(upper)).T)
    early = [z[: -n_delays - 1] for z in inside]
    if sum(map(len, early)) > 2 * rank:
        e = np.concatenate(early)
        now = np.concatenate([z[n_delays:-1] for z in inside if len(z) > n_delays + 1])
        then = np.concatenate([z[n_delays + 1 :] for z in inside if len(z) > n_delays + 1])
        moment = e.T @ now
        if np.linalg.cond(moment) < 1e10:
            maps.append(np.linalg.solve(moment, e.T @ then))
    for step in maps:
        values, vectors = np.linalg.eig(step.T)
        if not np.isfinite(values).all() or np.any(values == 0):
            continue
        yield _resolved(values, dt), newest @ vectors


def _resolved(values: NDArray[Any], dt: float) -> Complex:
    """Rates of eigenvalues of a step; one that flips its sign is taken as half a turn a frame."""
    found = np.log(np.abs(values)) / dt + 1j * np.angle(values) / dt
    flips = (np.abs(values.imag) < 1e-12 * np.abs(values)) & (values.real < 0)
    # Alone, it is no conjugate pair: a fast decay says nothing that the search could not undo.
    found = np.where(flips, found.real - 1 / dt, found)
    return np.asarray(np.maximum(found.real, -_FASTEST / dt) + 1j * found.imag)


def _filled(rows: NDArray[np.int64], values: Array) -> Array:
    if rows[-1] - rows[0] + 1 == len(rows):
        return values
    grid = np.arange(rows[0], rows[-1] + 1)
    return np.column_stack([np.interp(grid, rows, column) for column in values.T])
