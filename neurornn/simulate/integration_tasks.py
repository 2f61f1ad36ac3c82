"""Tasks that add up: the integral of a number, and of one of two streams of evidence."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from neurornn._core.checks import (
    check_choice,
    check_count,
    check_number,
    check_numbers,
    check_positive,
)
from neurornn._core.errors import DataError
from neurornn._core.rng import RNG, generator
from neurornn.simulate.task_trials import Duration, Phases, noise, task_steps, task_windows


def line_integrator(
    n_trials: int = 256,
    duration: float = 2.0,
    dt: float = 0.02,
    *,
    drive: str = "noise",
    spread: float = 1.0,
    onset: Duration = (0.0, 0.5),
    pulse: float = 0.2,
    rng: RNG = None,
) -> xr.Dataset:
    """Simulate the integral of a number: of noise, or of one pulse whose area is then held.

    Parameters
    ----------
    n_trials : trials.
    duration : s, of a trial.
    dt : s, of a step.
    drive : ``"noise"``, all through the trial, or ``"pulse"``.
    spread : of the integral: its sd at the end of noise, or the largest area of a pulse, whose
        areas are drawn uniformly from ``-spread`` to ``spread``.
    onset : s, before the pulse; a pair (shortest, longest) is a range in which each trial draws
        its own.
    pulse : s, length of the pulse.
    rng : int, Generator or None.

    Returns
    -------
    Dataset
        Windows as `nr.fit` takes them: ``inputs (trial, time, input)``, 1/s, and ``targets (trial,
        time, output)``, their integral from the start to the end of each step. Every step counts.
        Beside them ``total (trial)``, the integral at the end.

    Raises
    ------
    DataError, KindError, NameUnknownError
        Sizes or durations that cannot be, a drive of another name, a pulse that does not end
        within the trial.

    Warns
    -----
    UnitWarning
        Durations that look like ms.

    Notes
    -----
    A network that solves it has a line of states without input along which nothing moves: one
    eigenvalue at 1, a time constant without end, and all others inside the circle (Seung 1996,
    PNAS 93:13339, doi:10.1073/pnas.93.23.13339). Trained ones have a few points on it and drift
    slowly between them, which fixed points and slow points tell (Sussillo & Barak 2013, Neural
    Computation 25:626, doi:10.1162/NECO_a_00409).

    Examples
    --------
    >>> task = line_integrator(4, 1.0, drive="pulse", rng=0)
    >>> held = task["targets"][:, -1, 0]
    >>> bool(np.allclose(held, task["total"]))
    True
    """
    n_trials, dt = check_count(n_trials, "n_trials"), check_positive(dt, "dt", "s")
    drive = check_choice(drive, "drive", ("noise", "pulse"))
    spread = check_positive(spread, "spread")
    n_steps = task_steps(duration, dt)
    rng = generator(rng)
    if drive == "noise":
        # White noise whose integral over the trial has this sd.
        fed = noise((n_trials, n_steps), spread / np.sqrt(n_steps * dt), dt, rng)
    else:
        area = rng.uniform(-spread, spread, n_trials)
        phases = Phases(n_trials, dt, rng, ("onset",), onset=onset, pulse=pulse)
        if phases.n_steps > n_steps:
            raise DataError(
                f"onset and pulse take up to {phases.n_steps * dt:g} s of {n_steps * dt:g} s",
                "A pulse that ends within the trial was needed",
                "Pass a longer duration or a shorter onset",
            )
        shown = np.zeros((n_trials, n_steps), dtype=bool)
        shown[:, : phases.n_steps] = phases.during("pulse")
        fed = shown * (area / phases.length("pulse"))[:, None]
    held = np.cumsum(fed, axis=1) * dt
    made = task_windows(
        {"drive": fed}, {"integral": held}, None, dt,
        {"total": (held[:, -1].copy(), "1", "integral at the end")},
        source="simulated by neurornn.simulate.line_integrator",
        structure="line", dimension=1,
    )  # fmt: skip
    made["inputs"].attrs["units"] = "1/s"
    return made


def context_integration(
    n_trials: int = 256,
    dt: float = 0.02,
    *,
    coherences: Sequence[float] = (0.05, 0.15, 0.5),
    fixation: Duration = 0.3,
    stimulus: Duration = 0.75,
    delay: Duration = 0.3,
    decision: Duration = 0.3,
    noise_sd: float = 0.1,
    rng: RNG = None,
) -> xr.Dataset:
    """Simulate context-dependent integration: two noisy streams, of which a cue names one.

    Parameters
    ----------
    n_trials : trials.
    dt : s, of a step.
    coherences : strengths of the evidence; each stream draws one, and a sign, on its own.
    fixation, stimulus, delay, decision : s, of each phase; a pair (shortest, longest) is a range
        in which each trial draws its own.
    noise_sd : of the noise of the streams during the stimulus, of its integral over one second:
        per step it is ``noise_sd / sqrt(dt)``.
    rng : int, Generator or None.

    Returns
    -------
    Dataset
        Windows as `nr.fit` takes them: ``inputs (trial, time, input)``, motion and colour, which
        are the coherence and noise during the stimulus, and a cue for each, of which one is 1
        through the whole trial; ``targets (trial, time, output)``, the sign of the coherence of
        the stream that is cued, in the decision, and 0 in fixation; ``mask (trial, time,
        output)``, False between them and after the end of a trial. Beside them ``motion``,
        ``colour``, the coherences with their signs, and ``context (trial)``, 0 for motion and 1
        for colour.

    Raises
    ------
    DataError, KindError, ShapeError
        Sizes or durations that cannot be, a coherence of 0, which has no sign.

    Warns
    -----
    UnitWarning
        Durations that look like ms.

    Notes
    -----
    Under each of the two cues (``attrs["n_contexts"]``) a network has a line of states along which
    what was seen adds up, and its own direction that selects which stream moves it. Hold the cue:
    ``find_fixed_points(model, inputs=[0, 0, 1, 0])``. The task is that of Mante, Sussillo, Shenoy
    & Newsome 2013, Nature 503:78, doi:10.1038/nature12742.

    Examples
    --------
    >>> task = context_integration(6, rng=0)
    >>> task["input"].values.tolist()
    ['motion', 'colour', 'motion_cue', 'colour_cue']
    """
    n_trials, dt = check_count(n_trials, "n_trials"), check_positive(dt, "dt", "s")
    noise_sd = check_number(noise_sd, "noise_sd", least=0.0)
    strength = np.atleast_1d(check_numbers(coherences, "coherences", missing=False)).ravel()
    if not strength.size or (strength <= 0).any():
        raise DataError(
            f"coherences is {strength.tolist()}",
            "Strengths above 0 were needed; each trial draws their signs",
            "Pass for example coherences=(0.05, 0.15, 0.5)",
        )
    rng = generator(rng)
    motion, colour = rng.choice(strength, (2, n_trials)) * rng.choice([-1.0, 1.0], (2, n_trials))
    context = rng.integers(2, size=n_trials)
    phases = Phases(
        n_trials, dt, rng, fixation=fixation, stimulus=stimulus, delay=delay, decision=decision
    )
    seen, answers = phases.during("stimulus"), phases.during("decision")
    present = np.ones(seen.shape)
    choice = np.sign(np.where(context == 0, motion, colour))
    return task_windows(
        {
            **{
                name: seen * (level[:, None] + noise(seen.shape, noise_sd, dt, rng))
                for name, level in (("motion", motion), ("colour", colour))
            },
            "motion_cue": present * (context == 0)[:, None],
            "colour_cue": present * (context == 1)[:, None],
        },
        {"choice": answers * choice[:, None]},
        answers | phases.during("fixation"),
        dt,
        {
            "motion": (motion, "1", "coherence of the motion"),
            "colour": (colour, "1", "coherence of the colour"),
            "context": (context, "1", "stream that counts: 0 motion, 1 colour"),
            "delay": (phases.length("delay"), "s", "length of the delay"),
        },
        source="simulated by neurornn.simulate.context_integration",
        structure="line",
        dimension=1,
        n_contexts=2,
    )
