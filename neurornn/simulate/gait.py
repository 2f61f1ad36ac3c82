"""Walking: joints of a phase that drifts, and a load of the last strides that has to be kept."""

import numpy as np
import xarray as xr

from neurornn._core.checks import check_count, check_number, check_positive, check_rng
from neurornn._core.errors import DataError
from neurornn._core.rng import RNG, generator
from neurornn.simulate.known_memory import memory_steps, window_mean, with_truth
from neurornn.simulate.task_trials import duration_range, task_windows

#: Joint -> offset, and amplitude and phase of the first and the second harmonic, rad.
_JOINTS = {
    "hip": (0.15, (0.35, 0.0), (0.05, 0.8)),
    "knee": (0.45, (0.35, 2.2), (0.30, 0.6)),
    "ankle": (0.0, (0.12, 3.8), (0.14, 1.9)),
}
#: Steps of a stride at least.
_FEWEST = 8


def simulate_gait(
    n_trials: int = 128,
    duration: float = 5.0,
    dt: float = 0.01,
    *,
    memory: float = 2.0,
    stride: float = 1.1,
    phase_drift: float = 0.3,
    noise_sd: float = 0.02,
    rng: RNG = None,
) -> xr.Dataset:
    """Simulate walking, and a task whose answer needs the loads of the last seconds.

    Parameters
    ----------
    n_trials : trials.
    duration : s, of a trial.
    dt : s.
    memory : s, over which loads count; no input from before matters.
    stride : s, mean duration of a stride; 8 steps or more.
    phase_drift : rad, sd of the phase against a steady walk after 1 s; it grows with the root of
        time.
    noise_sd : rad, of the measured angles.
    rng : int, Generator or None.

    Returns
    -------
    Dataset
        Windows as `nr.fit` takes them: ``inputs (trial, time, input)``, the angles of ``hip``,
        ``knee`` and ``ankle`` in rad, and ``load``, 0 but for the step in which a foot strikes the
        ground, where it is by how much the load differs from its mean, in sd; ``targets (trial,
        time, output)``, the sum of the loads over the last `memory`, this step included, over the
        strides that it holds on average; ``mask``, False until a trial holds a whole memory.
        Beside them ``phase (trial, time)``, rad, and the truth: ``attrs["memory"]`` (s) and
        ``attrs["memory_steps"]``; ``linear_r2 (window)``, what is told by a shorter window.

    Raises
    ------
    DataError, KindError
        Sizes that cannot be; a memory longer than a trial.

    Warns
    -----
    UnitWarning
        Durations that look like ms.

    Notes
    -----
    The phase advances by ``2 pi dt / stride`` and a step of a random walk; a foot strikes where
    it comes round for the first time. Each joint has two harmonics of it. Loads are independent
    of each other and of the phase, with mean 0: from the last m of M steps the best prediction of
    any kind has R2 = m / M, and from M it is exact. The angles tell nothing of the load. They are
    what a network has to leave aside.

    Examples
    --------
    >>> gait = simulate_gait(4, rng=0)
    >>> dict(gait["inputs"].sizes), gait.attrs["memory_steps"]
    ({'trial': 4, 'time': 500, 'input': 4}, 200)
    """
    n_trials, dt = check_count(n_trials, "n_trials"), check_positive(dt, "dt", "s")
    n_memory, n_steps = memory_steps(n_trials, memory, duration, dt)
    duration_range(check_positive(stride, "stride", "s"), "stride")
    phase_drift = check_number(phase_drift, "phase_drift", "rad", least=0.0, most=2.0)
    noise_sd = check_number(noise_sd, "noise_sd", "rad", least=0.0, most=10.0)
    if stride < _FEWEST * dt:
        raise DataError(
            f"stride is {stride:g} s and dt {dt:g} s",
            f"A stride of {_FEWEST} steps or more was needed",
            f"Pass a dt up to {stride / _FEWEST:g} s, or a longer stride",
        )
    draw = generator(check_rng(rng))
    shape = (n_trials, n_memory - 1 + n_steps)
    moved = 2 * np.pi * dt / stride + phase_drift * np.sqrt(dt) * draw.standard_normal(shape)
    phase = 2 * np.pi * draw.random((n_trials, 1)) + np.cumsum(moved, axis=1)
    turns = np.floor(np.maximum.accumulate(phase, axis=1) / (2 * np.pi))
    strikes = np.diff(turns, axis=1, prepend=turns[:, :1]) > 0
    load = np.where(strikes, draw.standard_normal(shape), 0.0)
    # The sum over the window, over the strides that it holds on average.
    target = window_mean(load, n_memory) * (stride / dt)
    phase, load = (v[:, n_memory - 1 :] for v in (phase, load))
    joints = {
        name: offset
        + first[0] * np.cos(phase - first[1])
        + second[0] * np.cos(2 * phase - second[1])
        + noise_sd * draw.standard_normal(phase.shape)
        for name, (offset, first, second) in _JOINTS.items()
    }
    counts = np.tile(np.arange(n_steps) >= n_memory - 1, (n_trials, 1))
    task = task_windows(
        {**joints, "load": load}, {"mean_load": target}, counts, dt, {},
        source="simulated by neurornn.simulate.simulate_gait", stride=float(stride),
        phase_drift=phase_drift, noise_sd=noise_sd,
    )  # fmt: skip
    told = {"units": "rad", "long_name": "phase of the walk"}
    task["phase"] = (("trial", "time"), phase, told)
    return with_truth(task, n_memory, np.arange(1, n_memory + 1) / n_memory)
