"""Networks that are linear in pieces: every fixed point, by solving every piece."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from neurornn.dynamics.cells import Leaky

Array = NDArray[np.float64]

#: ReLU networks of more units have too many pieces to solve them one by one.
MOST_UNITS = 20
#: Units up to which pieces are left out by the thousand, many at a time, within a time limit.
MOST_BRANCHED = 40
#: Pieces solved at a time.
_CHUNK = 4096


def is_enumerable(cell: Any) -> bool:
    """Whether all pieces of a network can be solved."""
    # Several steps in one leave cycles of the step where they are too.
    if not isinstance(cell, Leaky) or cell.substeps > 1:
        return False
    linear = cell.nonlinearity == "linear"
    return linear or (cell.nonlinearity == "relu" and cell.n_state <= MOST_UNITS)


def is_branchable(cell: Any) -> bool:
    """Whether pieces of a network may be left out many at a time."""
    fits = isinstance(cell, Leaky) and cell.substeps == 1 and cell.nonlinearity == "relu"
    return fits and MOST_UNITS < cell.n_state <= MOST_BRANCHED


def branched(cell: Leaky, seconds: float | None) -> tuple[Array, int, int] | None:
    """Find every fixed point of a ReLU network by branch and bound; None where time ran out.

    Parameters
    ----------
    cell : with ReLU units, in either form.
    seconds : s, of wall time; None for no limit.

    Returns
    -------
    states : (point, hidden), every fixed point that is alone.
    n_lines : pieces that hold a whole line of points, or may.
    n_steps : linear programmes that were solved.

    Notes
    -----
    Units are taken as active, as silent, or as either, in which case ``h >= 0`` and ``h >= a`` is
    all that is asked for. Where a linear programme says that nothing fulfils that, all pieces that
    agree with it are left out; else a unit that is neither is decided, both ways.
    """
    n, weights, drive = cell.n_state, cell.weights, cell.drive
    began = time.monotonic()
    found, n_lines, n_steps = [], 0, 0
    stack = [np.full(n, -1)]
    while stack:
        if seconds is not None and time.monotonic() - began > seconds:
            return None
        taken = stack.pop()
        on, off, free = taken == 1, taken == 0, taken == -1
        # h - a >= 0 for those that may be either, h = a for the active, a <= 0 for the silent.
        rest = np.eye(n) - weights
        n_steps += 1
        answer = optimize.linprog(
            rest[free].sum(axis=0),
            A_ub=np.vstack([-rest[free], weights[off]]),
            b_ub=np.concatenate([-drive[free], -drive[off]]),
            A_eq=rest[on], b_eq=drive[on],
            bounds=[(0.0, 0.0 if o else None) for o in off],
        )  # fmt: skip
        if answer.status == 2:
            continue
        if free.any():
            h = answer.x if answer.x is not None else np.zeros(n)
            gap = np.where(free, np.minimum(h, h - weights @ h - drive), -1.0)
            unit = int(np.argmax(gap)) if gap.max() > 0 else int(np.flatnonzero(free)[0])
            for value in (0, 1):
                child = taken.copy()
                child[unit] = value
                stack.append(child)
            continue
        matrix = np.eye(n) - weights * on
        if abs(np.linalg.det(matrix)) <= 1e-13 * np.prod(np.linalg.norm(matrix, axis=1)):
            n_lines += _lines(on[None], matrix[None], drive)
            continue
        a = np.linalg.solve(matrix, drive)
        if ((a > 0) == on).all():
            found.append(np.where(on, a, 0.0) if cell.form == "rate" else a)
    return np.array(found).reshape(-1, n), n_lines, n_steps


def enumerated(cell: Leaky) -> tuple[Array, int]:
    """Solve every piece of a network that is linear in pieces.

    Parameters
    ----------
    cell : with ReLU or linear units, in either form.

    Returns
    -------
    states : (point, hidden), every fixed point that is alone.
    n_lines : pieces that hold a whole line of points, or may.

    Notes
    -----
    In each piece the active units S are known and ``h_S = (1 - W_SS)^-1 u_S`` is the one candidate
    (Curto, Degeratu & Itskov 2013, doi:10.1162/NECO_a_00504). It is a fixed point where exactly
    the units of S are driven above 0.
    """
    n, weights, drive = cell.n_state, cell.weights, cell.drive
    if cell.nonlinearity == "linear":
        active = np.ones((1, n), dtype=bool)
    else:
        active = (np.arange(2**n)[:, None] >> np.arange(n)) & 1 == 1
    # In both forms what drives the units is a = W f(a) + u, and f(a) is the state of a rate.
    kept, n_lines = [], 0
    for first in range(0, len(active), _CHUNK):
        on = active[first : first + _CHUNK]
        matrix = np.eye(n) - weights * on[:, None, :]
        # Beside the largest determinant that rows of these lengths can have (Hadamard).
        largest = np.prod(np.linalg.norm(matrix, axis=2), axis=1)
        regular = np.abs(np.linalg.det(matrix)) > 1e-13 * largest
        if not regular.all():
            if cell.nonlinearity == "linear":
                n_lines += _solvable(matrix[0], drive)
            else:
                n_lines += _lines(on[~regular], matrix[~regular], drive)
        if not regular.any():
            continue
        on, matrix = on[regular], matrix[regular]
        a = np.linalg.solve(matrix, np.broadcast_to(drive, (len(on), n))[:, :, None])[:, :, 0]
        right = np.ones(len(on), bool)
        if cell.nonlinearity != "linear":
            right = ((a > 0) == on).all(axis=1)
        f = np.where(on[right], a[right], 0.0)
        kept.append(f if cell.form == "rate" else a[right])
    return (np.concatenate(kept) if kept else np.zeros((0, n))), n_lines


def _lines(on: NDArray[np.bool_], matrix: Array, drive: Array) -> int:
    """How many pieces whose matrix is singular hold a whole line of points, or may.

    Parameters
    ----------
    on : (piece, unit), which units are active there; all where units are linear.
    matrix : (piece, unit, unit), of ``matrix a = drive``.
    drive : (unit,).

    Notes
    -----
    The equations have no solution; or their solutions ``a = best + N z`` miss the piece, in which
    a is above 0 for the active units and not for the others: for one z the bounds of all units
    leave nothing between them, for several a linear programme says so.
    """
    found, sign = 0, np.where(on, 1.0, -1.0)
    for first in range(0, len(on), _CHUNK):
        some = slice(first, first + _CHUNK)
        u, s, v = np.linalg.svd(matrix[some])
        null = s < 1e-12 * s[:, :1]
        null[:, -1] = True
        along = np.einsum("pij,i->pj", u, drive)
        solvable = (np.abs(np.where(null, along, 0.0)) < 1e-9 * (1 + np.abs(drive).max())).all(1)
        best = np.einsum("pj,pji->pi", np.where(null, 0.0, along / np.where(null, 1.0, s)), v)
        a, slope = sign[some] * best, sign[some] * v[:, -1]
        with np.errstate(divide="ignore", invalid="ignore"):
            border = -a / slope
        flat = np.abs(slope) < 1e-12
        lower = np.where(~flat & (slope > 0), border, -np.inf).max(axis=1)
        upper = np.where(~flat & (slope < 0), border, np.inf).min(axis=1)
        meets = (lower <= upper + 1e-9) & ~(flat & (a < -1e-9)).any(axis=1)
        one = null.sum(axis=1) == 1
        found += int((solvable & one & meets).sum())
        for k in np.flatnonzero(solvable & ~one):
            found += _meets(a[k], sign[some][k] * v[k][null[k]])
    return found


def _meets(a: Array, directions: Array) -> bool:
    """Whether ``a + z directions`` is above 0 in all units for some z, or may be."""
    n = len(directions)
    # Largest m with a + z directions >= m; m is bounded, so that there is an answer.
    answer = optimize.linprog(
        np.append(np.zeros(n), -1.0), A_ub=np.column_stack([-directions.T, np.ones(len(a))]),
        b_ub=a, bounds=[(None, None)] * n + [(None, 1.0)],
    )  # fmt: skip
    return bool(answer.status != 0 or -answer.fun > -1e-9)


def _solvable(matrix: Array, drive: Array) -> bool:
    best, *_ = np.linalg.lstsq(matrix, drive)
    return bool(np.abs(matrix @ best - drive).max() < 1e-9 * (1 + np.abs(drive).max()))
