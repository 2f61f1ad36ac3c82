"""Maps between functions of the states: least squares, instruments, and whole trajectories."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurornn._core.errors import DataError
from neurornn.koopman.exponentials import eigenvalues_of
from neurornn.koopman.mode_fit import axes_of, fit_rank, trajectories_of
from neurornn.koopman.mode_table import complex_sizes
from neurornn.koopman.trajectories import as_trajectories

Array = NDArray[np.float64]


class Lifted(NamedTuple):
    """A map between functions.

    Attributes
    ----------
    transition : (term, term), ``f(x') = f(x) @ transition``.
    readout : (term, variable).
    input_weight : (input, term), or None.
    n_pairs : frames that have one after them.
    """

    transition: Array
    readout: Array
    input_weight: Array | None
    n_pairs: int


def lifted_map(
    lifted: list[Array],
    fed: list[Array] | None,
    states: list[Array],
    *,
    noise: str,
    penalty: float,
    dt: float,
) -> Lifted:
    """Fit the map.

    Parameters
    ----------
    lifted : functions of each trajectory, (time, term), the constant first where there is one.
    fed : (time, input) of each, or None.
    states : (time, variable) of each.
    noise : see `EDMD`.
    penalty : of squared weights per frame, over the mean square of the functions.
    dt : s.

    Raises
    ------
    DataError
        Fewer pairs of frames than unknowns of one function.
    """
    before, after, driving, early = [], [], [], []
    lag = 1 if noise == "instruments" else 0
    for k, f in enumerate(lifted):
        a, b = f[lag:-1], f[lag + 1 :]
        good = np.isfinite(a).all(axis=1) & np.isfinite(b).all(axis=1)
        if lag:
            z = f[: -1 - lag]
            good &= np.isfinite(z).all(axis=1)
        if fed is not None:
            u = fed[k][lag:-1]
            good &= np.isfinite(u).all(axis=1)
            driving.append(u[good])
        before.append(a[good])
        after.append(b[good])
        if lag:
            early.append(z[good])
    x, y = np.concatenate(before), np.concatenate(after)
    size = x.shape[1] + (driving[0].shape[1] if driving else 0)
    if len(x) < size + 1:
        raise DataError(
            f"{len(x)} pairs of complete frames came for {size} functions and inputs",
            f"More than {size} were needed",
            "Lower the degree, or record for longer",
        )
    readout = _readout(lifted, states, penalty)
    if noise == "trajectories":
        return Lifted(_along(lifted, dt), readout, None, len(x))
    u = np.concatenate(driving) if driving else np.empty((len(x), 0))
    columns = np.hstack([x, u])
    z = np.hstack([np.concatenate(early), u]) if lag else columns
    scale = np.maximum(np.sqrt(np.mean(columns**2, axis=0)), 1e-300)
    left, right = z / scale, columns / scale
    moments = left.T @ right / len(x)
    ridge = penalty * np.eye(size)
    if lag:
        # Two stages: the instruments predict the functions, whose prediction has no noise.
        inner = np.linalg.pinv(left.T @ left / len(x) + ridge, 1e-12, True)
        moments, target = moments.T @ inner @ moments, moments.T @ inner @ (left.T @ y) / len(x)
    else:
        target = left.T @ y / len(x)
    weights = np.linalg.lstsq(moments + ridge, target, rcond=1e-14)[0] / scale[:, None]
    n = x.shape[1]
    return Lifted(weights[:n], readout, weights[n:] if driving else None, len(x))


def _readout(lifted: list[Array], states: list[Array], penalty: float) -> Array:
    f, x = np.concatenate(lifted), np.concatenate(states)
    good = np.isfinite(f).all(axis=1) & np.isfinite(x).all(axis=1)
    f, x = f[good], x[good]
    scale = np.maximum(np.sqrt(np.mean(f**2, axis=0)), 1e-300)
    moments = (f / scale).T @ (f / scale) / len(f) + penalty * np.eye(f.shape[1])
    found = np.linalg.lstsq(moments, (f / scale).T @ x / len(f), rcond=1e-14)[0]
    return np.asarray(found / scale[:, None])


def _along(lifted: list[Array], dt: float) -> Array:
    """Map whose eigenvalues and looks are those of highest likelihood of whole trajectories."""
    first = np.concatenate(lifted)
    constant = np.nanstd(first, axis=0) == 0
    moving = np.flatnonzero(~constant)
    rank = len(moving)
    scale = np.sqrt(np.nanmean(first[:, moving] ** 2, axis=0))
    samples = as_trajectories([f[:, moving] / scale for f in lifted], dt, "the functions")
    axes = axes_of(samples, rank)
    trajectories = trajectories_of(samples, axes)
    fit = fit_rank(samples, axes, trajectories, rank, n_delays=1, stable=False)
    sizes = complex_sizes(fit)
    strongest = np.argmax(np.sum(np.abs(sizes) ** 2, axis=2), axis=0)
    looks = sizes[strongest, np.arange(rank)]
    if np.linalg.cond(looks) > 1e8:
        raise DataError(
            f"The {rank} functions do not close among themselves: two modes look the same",
            "Functions that move linearly among themselves were needed",
            "Pass fewer functions, or measurement_noise='instruments'",
        )
    steps = np.exp(eigenvalues_of(fit.rates) * dt)
    # Rows move by f(x') = f(x) @ K, so that a look is a left eigenvector.
    inner = np.linalg.solve(looks, steps[:, None] * looks).real
    found = np.zeros((first.shape[1], first.shape[1]))
    found[np.ix_(moving, moving)] = inner / scale[:, None] * scale
    if constant.any():
        at = np.flatnonzero(constant)
        found[at, at] = 1.0
    return found
