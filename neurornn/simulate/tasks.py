"""Tasks whose solution is known: what a network that solves them must have learned."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from neurornn._core.checks import (
    check_count,
    check_interval,
    check_number,
    check_numbers,
    check_positive,
)
from neurornn._core.errors import DataError
from neurornn._core.rng import RNG, generator
from neurornn.simulate.task_trials import (
    Duration,
    Phases,
    check_lasts,
    duration_range,
    task_steps,
    task_windows,
)


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


def sine_generator(
    n_trials: int = 256,
    duration: float = 2.0,
    dt: float = 0.01,
    *,
    frequency: tuple[float, float] = (1.0, 5.0),
    n_levels: int = 51,
    rng: RNG = None,
) -> xr.Dataset:
    """Simulate a generator of sines whose frequency a constant input sets.

    Parameters
    ----------
    n_trials : trials; each draws one of the levels.
    duration : s, of a trial.
    dt : s, of a step.
    frequency : (lowest, highest), Hz.
    n_levels : levels of the input, equally spaced, and frequencies with them.
    rng : int, Generator or None.

    Returns
    -------
    Dataset
        Windows as `nr.fit` takes them: ``inputs (trial, time, input)``, constant, level j of n is
        ``j / n + 0.25`` for j from 1 to n; ``targets (trial, time, output)``, ``sin(2 pi f t)``
        from phase 0 at t = 0 on. Every step counts. Beside them ``frequency (trial)``, Hz.

    Raises
    ------
    DataError, KindError
        Sizes or durations that cannot be, a frequency that the clock cannot show.

    Warns
    -----
    UnitWarning
        A duration that looks like ms.

    Notes
    -----
    Under each level of the input a network has one cycle around one unstable point
    (``attrs["n_cycles"]`` for one level), whose leading pair of eigenvalues turns by nearly
    ``2 pi f dt`` in a step: ``find_fixed_points(model, inputs=[level])`` tells the frequency in
    Hz. The task is that of Sussillo & Barak 2013, Neural Computation 25:626,
    doi:10.1162/NECO_a_00409, who used 51 levels.

    Examples
    --------
    >>> task = sine_generator(4, 1.0, rng=0)
    >>> dict(task["targets"].sizes)
    {'trial': 4, 'time': 100, 'output': 1}
    """
    n_trials, dt = check_count(n_trials, "n_trials"), check_positive(dt, "dt", "s")
    n_steps = task_steps(duration, dt)
    n_levels = check_count(n_levels, "n_levels")
    low, high = check_interval(frequency, "frequency", "Hz")
    if high >= 1 / (2 * dt):
        raise DataError(
            f"frequency reaches {high:g} Hz and dt is {dt:g} s",
            f"Frequencies below half the rate of the clock, {1 / (2 * dt):g} Hz, were needed",
            "Pass a shorter dt or lower frequencies",
        )
    rng = generator(rng)
    drawn = rng.integers(n_levels, size=n_trials)
    hertz = np.linspace(low, high, n_levels)[drawn]
    level = (drawn + 1) / n_levels + 0.25
    time = (np.arange(n_steps) + 1) * dt
    return task_windows(
        {"level": np.repeat(level[:, None], n_steps, 1)},
        {"sine": np.sin(2 * np.pi * hertz[:, None] * time)},
        None,
        dt,
        {"frequency": (hertz, "Hz", "frequency of the sine")},
        source="simulated by neurornn.simulate.sine_generator",
        structure="cycle",
        dimension=1,
        n_cycles=1,
    )


def ready_set_go(
    n_trials: int = 256,
    dt: float = 0.01,
    *,
    interval: Duration = (0.5, 1.0),
    gains: Sequence[float] = (1.0, 1.5),
    fixation: Duration = (0.2, 0.5),
    pulse: float = 0.05,
    rng: RNG = None,
) -> xr.Dataset:
    """Simulate Ready-Set-Go: an interval between two pulses is measured and produced again.

    Parameters
    ----------
    n_trials : trials.
    dt : s, of a step.
    interval : s, from the start of Ready to the start of Set; a pair (shortest, longest) is a
        range in which each trial draws its own.
    gains : what is to be produced is the interval times the gain; each trial draws one.
    fixation : s, before Ready; a pair is a range.
    pulse : s, length of Ready and of Set.
    rng : int, Generator or None.

    Returns
    -------
    Dataset
        Windows as `nr.fit` takes them: ``inputs (trial, time, input)``, 1 during Ready and Set,
        and the gain through the whole trial; ``targets (trial, time, output)``, a ramp, 0 up to
        Set and then ``(t - t_set) / (gain * interval)``, which comes to 1 at Go; ``mask (trial,
        time, output)``, False after Go. Beside them ``interval`` and ``production (trial)``, s,
        and ``gain (trial)``.

    Raises
    ------
    DataError, KindError
        Sizes or durations that cannot be, pulses that run into one another, gains not above 0.

    Warns
    -----
    UnitWarning
        Durations that look like ms.

    Notes
    -----
    The interval is held as a place along a line of states, and after Set it sets how fast the
    state moves: speed falls as 1 / (gain * interval), while the path stays nearly the same. The
    gain moves the whole line. The task is that of Remington, Narain, Hosseini & Jazayeri 2018,
    Neuron 98:1005, doi:10.1016/j.neuron.2018.05.020, with a straight ramp instead of a bent one.

    Examples
    --------
    >>> task = ready_set_go(4, interval=0.5, gains=[2.0], rng=0)
    >>> task["production"].values.tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    n_trials, dt = check_count(n_trials, "n_trials"), check_positive(dt, "dt", "s")
    pulse = check_positive(pulse, "pulse", "s")
    check_lasts(pulse, "pulse", dt)
    known = np.atleast_1d(check_numbers(gains, "gains", missing=False)).ravel()
    if not known.size or (known <= 0).any():
        raise DataError(
            f"gains is {known.tolist()}",
            "Gains above 0 were needed",
            "Pass for example gains=(1.0, 1.5)",
        )
    shortest, longest = duration_range(interval, "interval")
    n_pulse = int(np.rint(pulse / dt))
    if np.rint(shortest / dt) <= n_pulse:
        raise DataError(
            f"interval is from {shortest:g} s on and pulse {pulse:g} s",
            "An interval longer than a pulse was needed: Ready ends before Set",
            "Pass a longer interval or a shorter pulse",
        )
    rng = generator(rng)
    gain = rng.choice(known, n_trials)
    phases = Phases(n_trials, dt, rng, fixation=fixation, interval=interval)
    measured = phases.length("interval")
    production = gain * measured
    ready, go_set = phases.edges[1][:, None], phases.edges[2][:, None]
    # As long as the longest that could be drawn.
    n_steps = phases.n_steps + int(np.ceil(np.rint(longest / dt) * known.max() - 1e-6))
    step = np.arange(n_steps)
    on = [(step >= start) & (step < start + n_pulse) for start in (ready, go_set)]
    since_set = (step + 1 - go_set) * dt
    # Half a thousandth of a step for rounding.
    before_go = since_set <= production[:, None] + 5e-4 * dt
    return task_windows(
        {
            "pulse": (on[0] | on[1]).astype(float),
            "gain": np.repeat(gain[:, None], n_steps, 1),
        },
        {"ramp": np.maximum(since_set, 0.0) / production[:, None]},
        before_go,
        dt,
        {
            "interval": (measured, "s", "from Ready to Set"),
            "production": (production, "s", "from Set to Go"),
            "gain": (gain, "1", "production over interval"),
        },
        source="simulated by neurornn.simulate.ready_set_go",
        structure="line",
        dimension=1,
    )
