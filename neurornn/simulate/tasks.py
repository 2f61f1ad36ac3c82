"""Tasks whose solution is known: what a network that solves them must have learned."""

import numpy as np
import xarray as xr

from neurornn._core.checks import check_count, check_number, check_positive
from neurornn._core.rng import RNG, generator


def flip_flop(
    n_bits: int = 3,
    n_trials: int = 256,
    duration: float = 0.64,
    dt: float = 0.01,
    *,
    p: float = 0.2,
    rng: RNG = None,
) -> xr.Dataset:
    """Simulate the n-bit flip-flop: remember the sign of the last pulse on each of n channels.

    Parameters
    ----------
    n_bits : channels, each with a memory of its own.
    n_trials : trials.
    duration : s, of a trial.
    dt : s, of a step.
    p : probability of a pulse on a channel in a step; its sign is drawn anew.
    rng : int, Generator or None.

    Returns
    -------
    Dataset
        Windows as `nr.fit` takes them: ``inputs (trial, time, input)``, pulses of -1 and 1, and
        ``targets (trial, time, output)``, the sign of the last pulse. Every channel has a pulse in
        the first step.

    Raises
    ------
    DataError, KindError
        Sizes or probabilities that cannot be.

    Notes
    -----
    A network that holds all ``2**n_bits`` memories as points, independently of one another, has
    ``3**n_bits`` fixed points without input: stable ones at the corners of a cube, and saddles in
    the middle of its edges, faces and volume (Sussillo & Barak 2013, Neural Computation 25:626,
    doi:10.1162/NECO_a_00409).

    Examples
    --------
    >>> task = flip_flop(3, n_trials=4, duration=0.2, rng=0)
    >>> dict(task["targets"].sizes)
    {'trial': 4, 'time': 20, 'output': 3}
    """
    n_bits, n_trials = check_count(n_bits, "n_bits"), check_count(n_trials, "n_trials")
    dt = check_positive(dt, "dt", "s")
    n_steps = max(round(check_positive(duration, "duration", "s") / dt), 1)
    p = check_number(p, "p", least=0.0, most=1.0)
    rng = generator(rng)
    pulses = rng.random((n_trials, n_steps, n_bits)) < p
    pulses[:, 0] = True
    inputs = np.where(pulses, rng.choice([-1.0, 1.0], pulses.shape), 0.0)
    steps = np.arange(n_steps)[:, None]
    last = np.maximum.accumulate(np.where(pulses, steps, 0), axis=1)
    targets = np.take_along_axis(inputs, last, axis=1)
    return xr.Dataset(
        {
            "inputs": (("trial", "time", "input"), inputs, {"units": "1"}),
            "targets": (("trial", "time", "output"), targets, {"units": "1"}),
        },
        coords={"time": ("time", (np.arange(n_steps) + 1) * dt, {"units": "s"})},
        attrs={
            "dt": dt, "time_unit": "s", "source": "simulated by neurornn.simulate.flip_flop",
            "n_points": 3**n_bits, "n_stable": 2**n_bits,
        },
    )  # fmt: skip
