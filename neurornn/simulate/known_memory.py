"""A task of a memory that is known: the mean over the last steps, and what less of them tells."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.linalg import solve_toeplitz

from neurornn._core.checks import check_positive
from neurornn._core.errors import DataError
from neurornn.simulate.task_trials import duration_range, task_steps

Array = NDArray[np.float64]
#: Steps of a memory at most: the closed form is solved for every shorter window.
_MOST = 1000
#: Steps of all trials together, at most.
_LARGEST = 20_000_000


def memory_steps(n_trials: int, memory: float, duration: float, dt: float) -> tuple[int, int]:
    """Check a memory against the trials that have to hold it.

    Parameters
    ----------
    n_trials : trials.
    memory, duration : s, of the window that matters and of a trial.
    dt : s.

    Returns
    -------
    n_memory, n_steps : steps of both.

    Raises
    ------
    DataError
        A memory below two steps, of more than 1,000 steps, or longer than the trial; more steps
        than can be held.
    """
    n_steps = task_steps(duration, dt)
    if n_trials * n_steps > _LARGEST:
        raise DataError(
            f"n_trials is {n_trials} and a trial has {n_steps} steps",
            f"At most {_LARGEST} steps of all trials together were needed",
            "Pass fewer trials, a shorter duration or a longer dt",
        )
    duration_range(check_positive(memory, "memory", "s"), "memory")
    ratio = memory / dt
    if ratio > n_steps + 0.5:
        raise DataError(
            f"memory is {memory:g} s and a trial {n_steps * dt:g} s",
            "A memory that a trial holds was needed: targets count from its end on",
            f"Pass a memory up to {n_steps * dt:g} s, or a longer duration",
        )
    if not 2 <= round(ratio) <= _MOST:
        raise DataError(
            f"memory is {memory:g} s and dt {dt:g} s, {ratio:.3g} steps",
            f"A memory of 2 to {_MOST} steps was needed",
            f"Pass a memory between {2 * dt:g} and {_MOST * dt:g} s, or another dt",
        )
    return round(ratio), n_steps


def window_mean(values: Array, n_memory: int) -> Array:
    """Mean over the last steps, the present one among them.

    Parameters
    ----------
    values : (trial, n_memory - 1 + time), steps from before a trial first.
    n_memory : steps.

    Returns
    -------
    ndarray (trial, time)
    """
    windows = np.lib.stride_tricks.sliding_window_view(values, n_memory, axis=1)
    return np.asarray(windows.mean(axis=2))


def linear_r2(covariance: Array) -> Array:
    """R2 of the best linear prediction of a mean over M steps from the last 1, 2, ... M of them.

    Parameters
    ----------
    covariance : (M,), of the stationary series at lags 0 to M - 1.

    Returns
    -------
    ndarray (M,), the last of them 1.

    Notes
    -----
    With the Toeplitz matrix R of the last m steps and the covariances c of those with the mean,
    R2 is ``c R^-1 c`` over the variance of the mean (normal equations of Wiener's filter).
    """
    n = len(covariance)
    lags = np.abs(np.arange(n)[:, None] - np.arange(n))
    cross = covariance[lags].mean(axis=1)
    variance = cross.mean()
    told = [
        cross[:m] @ solve_toeplitz(covariance[:m], cross[:m]) / variance for m in range(1, n + 1)
    ]
    return np.asarray(told)


def with_truth(task: xr.Dataset, n_memory: int, r2: Array) -> xr.Dataset:
    """Carry the truth of a memory with its task.

    Parameters
    ----------
    task : windows.
    n_memory : steps.
    r2 : (window,), of the best linear prediction from so many steps.
    """
    dt = float(task.attrs["dt"])
    told = {"units": "1", "long_name": "R2 of the best linear prediction from a shorter window"}
    task["linear_r2"] = ("window", r2, told)
    task = task.assign_coords(window=("window", np.arange(1, n_memory + 1) * dt, {"units": "s"}))
    task.attrs.update(memory=n_memory * dt, memory_steps=n_memory)
    return task
