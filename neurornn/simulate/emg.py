"""Two muscles that fire in bursts: noisy EMG, and the balance of their envelopes."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_count, check_number, check_positive, check_rng
from neurornn._core.rng import RNG, generator
from neurornn.simulate.known_memory import linear_r2, memory_steps, window_mean, with_truth
from neurornn.simulate.task_trials import duration_range, task_windows

MUSCLES = ("flexor", "extensor")
#: Mean of the rectified standard normal.
_RECTIFIED = np.sqrt(2 / np.pi)


def simulate_emg(
    n_trials: int = 128,
    duration: float = 1.0,
    dt: float = 0.005,
    *,
    memory: float = 0.15,
    burst: float = 0.1,
    pause: float = 0.15,
    rest: float = 0.1,
    rng: RNG = None,
) -> xr.Dataset:
    """Simulate rectified EMG in bursts, and a task whose answer is its envelope.

    Parameters
    ----------
    n_trials : trials.
    duration : s, of a trial.
    dt : s.
    memory : s, over which the envelope is formed; no input from before matters.
    burst, pause : s, mean duration of activity and of rest.
    rest : amplitude at rest over that in a burst, 0 to 1.
    rng : int, Generator or None.

    Returns
    -------
    Dataset
        Windows as `nr.fit` takes them: ``inputs (trial, time, input)``, rectified EMG of
        ``flexor`` and ``extensor``, in sd of the raw EMG in a burst; ``targets (trial, time,
        output)``, the mean of the first less that of the second over the last `memory`, this step
        included; ``mask``, False until a trial holds a whole memory. Beside them ``drive (trial,
        time, input)``, the sd that each step was drawn with, and the truth: ``attrs["memory"]``
        (s) and ``attrs["memory_steps"]``; ``linear_r2 (window)``, what is told by a shorter
        window.

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
    Raw EMG is white noise with an sd that jumps between `rest` and 1, after exponentially
    distributed times. Its absolute value has a covariance in closed form: at lag 0 ``E[a^2] -
    2/pi E[a]^2``, at lag k ``2/pi p (1 - p) (1 - rest)^2 q^k``, with the sd a, the share of
    time p in bursts, and q = 1 - (chance to begin) - (chance to end). Hence `linear_r2`: a window
    of the memory is exact, and what a shorter one loses is known.

    Noise with a changing sd as a model of EMG goes back to Hogan & Mann 1980, IEEE Trans. Biomed.
    Eng. 27:382, doi:10.1109/TBME.1980.326652.

    Examples
    --------
    >>> emg = simulate_emg(4, rng=0)
    >>> dict(emg["inputs"].sizes), emg.attrs["memory_steps"]
    ({'trial': 4, 'time': 200, 'input': 2}, 30)
    """
    n_trials, dt = check_count(n_trials, "n_trials"), check_positive(dt, "dt", "s")
    n_memory, n_steps = memory_steps(n_trials, memory, duration, dt)
    for name, value in (("burst", burst), ("pause", pause)):
        duration_range(check_positive(value, name, "s"), name)
    rest = check_number(rest, "rest", least=0.0, most=1.0)
    draw = generator(check_rng(rng))
    shape = (n_trials, n_memory - 1 + n_steps, len(MUSCLES))
    begins, ends = (-np.expm1(-dt / tau) for tau in (pause, burst))
    active = np.empty(shape, bool)
    active[:, 0] = draw.random((n_trials, len(MUSCLES))) < begins / (begins + ends)
    for k in range(1, shape[1]):
        u = draw.random((n_trials, len(MUSCLES)))
        active[:, k] = np.where(active[:, k - 1], u >= ends, u < begins)
    drive = np.where(active, 1.0, rest)
    rectified = np.abs(drive * draw.standard_normal(shape))
    target = window_mean(rectified[..., 0] - rectified[..., 1], n_memory)
    drive, rectified = (v[:, n_memory - 1 :] for v in (drive, rectified))
    counts = np.tile(np.arange(n_steps) >= n_memory - 1, (n_trials, 1))
    task = task_windows(
        {name: rectified[..., k] for k, name in enumerate(MUSCLES)}, {"balance": target}, counts,
        dt, {}, source="simulated by neurornn.simulate.simulate_emg", burst=float(burst),
        pause=float(pause), rest=rest,
    )  # fmt: skip
    told = {"units": "1", "long_name": "sd of the raw EMG, over that in a burst"}
    task["drive"] = (("trial", "time", "input"), drive, told)
    return with_truth(task, n_memory, linear_r2(_covariance(n_memory, begins, ends, rest)))


def _covariance(n_lags: int, begins: float, ends: float, rest: float) -> NDArray[np.float64]:
    """Covariance of rectified EMG at lags from 0 on.

    Parameters
    ----------
    begins, ends : chance in a step that a burst begins or ends.
    """
    share = begins / (begins + ends)
    found = (
        _RECTIFIED**2
        * (share * (1 - share) * (1 - rest) ** 2)
        * (1 - begins - ends) ** np.arange(n_lags)
    )
    mean = share + (1 - share) * rest
    found[0] = share + (1 - share) * rest**2 - _RECTIFIED**2 * mean**2
    return np.asarray(found)
