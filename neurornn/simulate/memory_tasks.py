"""Tasks with a delay, over which something has to be held: one of several, a number, an angle."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurornn._core.checks import (
    check_choice,
    check_count,
    check_number,
    check_numbers,
    check_positive,
)
from neurornn._core.errors import DataError, ShapeError
from neurornn._core.rng import RNG, generator
from neurornn.simulate.task_trials import Duration, Phases, noise, task_windows

#: Base and comparison frequency, Hz: 8 Hz apart, and each frequency in between is both the higher
#: and the lower one, so that neither alone tells the answer.
PAIRS = (
    (18.0, 10.0), (22.0, 14.0), (26.0, 18.0), (30.0, 22.0), (34.0, 26.0),
    (10.0, 18.0), (14.0, 22.0), (18.0, 26.0), (22.0, 30.0), (26.0, 34.0),
)  # fmt: skip


def delayed_match(
    n_trials: int = 256,
    dt: float = 0.02,
    *,
    n_categories: int = 2,
    fixation: Duration = 0.3,
    sample: Duration = 0.5,
    delay: Duration = 1.0,
    test: Duration = 0.5,
    decision: Duration = 0.9,
    p_match: float = 0.5,
    noise_sd: float = 0.0,
    rng: RNG = None,
) -> xr.Dataset:
    """Simulate delayed match to sample: say whether the test is of the kind of the sample.

    Parameters
    ----------
    n_trials : trials.
    dt : s, of a step.
    n_categories : things that can be shown, each on an input of its own.
    fixation, sample, delay, test, decision : s, of each phase; a pair (shortest, longest) is a
        range in which each trial draws its own.
    p_match : probability that both are the same.
    noise_sd : of the noise of each input, in units of its signal over one second.
    rng : int, Generator or None.

    Returns
    -------
    Dataset
        Windows as `nr.fit` takes them: ``inputs (trial, time, input)``, 1 on the channel of what
        is shown; ``targets (trial, time, output)``, 1 for a match and -1 for none in the decision,
        0 before; ``mask (trial, time, output)``, False during the test, when the answer may come
        early, and after the end of a trial. Beside them ``sample_category``, ``test_category
        (trial)`` and ``delay (trial)``, s.

    Raises
    ------
    DataError, KindError
        Sizes, durations or probabilities that cannot be.

    Warns
    -----
    UnitWarning
        Durations that look like ms.

    Notes
    -----
    Over the delay, without input, a network holds one of `n_categories` states apart
    (``attrs["n_memories"]``): stable points, where the delay varies from trial to trial. A delay
    of one length can be bridged by passing states as well. Phases are by default those of the task
    in neurogym; the task is that of Miller, Erickson & Desimone 1996, Journal of Neuroscience
    16:5154, doi:10.1523/JNEUROSCI.16-16-05154.1996.

    Examples
    --------
    >>> task = delayed_match(8, delay=(0.5, 1.5), rng=0)
    >>> dict(task["inputs"].sizes)
    {'trial': 8, 'time': 185, 'input': 2}
    """
    n_trials, dt = check_count(n_trials, "n_trials"), check_positive(dt, "dt", "s")
    n_categories = check_count(n_categories, "n_categories", least=2)
    p_match = check_number(p_match, "p_match", least=0.0, most=1.0)
    noise_sd = check_number(noise_sd, "noise_sd", least=0.0)
    rng = generator(rng)
    first = rng.integers(n_categories, size=n_trials)
    match = rng.random(n_trials) < p_match
    other = (first + rng.integers(1, n_categories, size=n_trials)) % n_categories
    second = np.where(match, first, other)
    phases = Phases(
        n_trials, dt, rng, fixation=fixation, sample=sample, delay=delay, test=test,
        decision=decision,
    )  # fmt: skip
    shown = [
        phases.during("sample") & (first == k)[:, None]
        | phases.during("test") & (second == k)[:, None]
        for k in range(n_categories)
    ]
    answers = phases.during("decision")
    return task_windows(
        {f"category_{k}": on + noise(on.shape, noise_sd, dt, rng) for k, on in enumerate(shown)},
        {"match": np.where(answers, np.where(match, 1.0, -1.0)[:, None], 0.0)},
        answers | phases.during("fixation", "sample", "delay"),
        dt,
        {
            "sample_category": (first, "1", "category of the sample"),
            "test_category": (second, "1", "category of the test"),
            "delay": (phases.length("delay"), "s", "length of the delay"),
        },
        source="simulated by neurornn.simulate.delayed_match",
        structure="points",
        n_memories=n_categories,
    )


def parametric_memory(
    n_trials: int = 256,
    dt: float = 0.02,
    *,
    pairs: Sequence[Sequence[float]] = PAIRS,
    fixation: Duration = 0.5,
    first: Duration = 0.5,
    delay: Duration = 3.0,
    second: Duration = 0.5,
    decision: Duration = 0.5,
    noise_sd: float = 0.0,
    rng: RNG = None,
) -> xr.Dataset:
    """Simulate the discrimination of two frequencies: say whether the first one was higher.

    Parameters
    ----------
    n_trials : trials.
    dt : s, of a step.
    pairs : (pair, 2), Hz, of the first and the second stimulus, one pair drawn for each trial.
    fixation, first, delay, second, decision : s, of each phase; a pair (shortest, longest) is a
        range in which each trial draws its own.
    noise_sd : of the noise of each input, in its units over one second.
    rng : int, Generator or None.

    Returns
    -------
    Dataset
        Windows as `nr.fit` takes them: ``inputs (trial, time, input)``, one channel that grows and
        one that falls with the frequency, ``(1 + x) / 2`` and ``(2 - x) / 2`` where x goes from 0
        at the lowest frequency of `pairs` to 1 at the highest, and 0 where nothing is felt;
        ``targets (trial, time, output)``, 1 where the first was higher and -1 where it was lower
        in the decision, 0 before; ``mask (trial, time, output)``, False during the second stimulus
        and after the end of a trial. Beside them ``first_frequency``, ``second_frequency
        (trial)``, Hz, and ``delay (trial)``, s.

    Raises
    ------
    DataError, KindError, ShapeError
        Sizes, durations or frequencies that cannot be, two equal frequencies.

    Warns
    -----
    UnitWarning
        Durations that look like ms.

    Notes
    -----
    Over the delay a number is held: a line of states along which nothing moves, or that is so slow
    that it does not matter, ordered by the first frequency. Of ``attrs["n_memories"]`` frequencies
    a network may hold as many points along that line instead. The task is that of Romo, Brody,
    Hernandez & Lemus 1999, Nature 399:470, doi:10.1038/20939; two populations of opposite tuning
    that solve it are in Machens, Romo & Brody 2005, Science 307:1121, doi:10.1126/science.1104171.

    Examples
    --------
    >>> task = parametric_memory(8, rng=0)
    >>> dict(task["inputs"].sizes)
    {'trial': 8, 'time': 250, 'input': 2}
    """
    n_trials, dt = check_count(n_trials, "n_trials"), check_positive(dt, "dt", "s")
    noise_sd = check_number(noise_sd, "noise_sd", least=0.0)
    hertz = _pairs_of(pairs)
    rng = generator(rng)
    f1, f2 = hertz[rng.integers(len(hertz), size=n_trials)].T
    phases = Phases(
        n_trials, dt, rng, fixation=fixation, first=first, delay=delay, second=second,
        decision=decision,
    )  # fmt: skip
    felt = phases.during("first", "second")
    low, high = hertz.min(), hertz.max()
    frequency = np.where(phases.during("first"), f1[:, None], f2[:, None])
    x = (frequency - low) / (high - low)
    answers = phases.during("decision")
    return task_windows(
        {
            "rising": np.where(felt, (1 + x) / 2, 0.0) + noise(felt.shape, noise_sd, dt, rng),
            "falling": np.where(felt, (2 - x) / 2, 0.0) + noise(felt.shape, noise_sd, dt, rng),
        },
        {"first_higher": np.where(answers, np.sign(f1 - f2)[:, None], 0.0)},
        answers | phases.during("fixation", "first", "delay"),
        dt,
        {
            "first_frequency": (f1, "Hz", "frequency of the first stimulus"),
            "second_frequency": (f2, "Hz", "frequency of the second stimulus"),
            "delay": (phases.length("delay"), "s", "length of the delay"),
        },
        source="simulated by neurornn.simulate.parametric_memory",
        structure="line",
        dimension=1,
        n_memories=len(np.unique(hertz[:, 0])),
    )


def _pairs_of(pairs: Any) -> Any:
    hertz = check_numbers(pairs, "pairs", missing=False)
    if hertz.ndim != 2 or hertz.shape[1] != 2 or not len(hertz):
        raise ShapeError(
            f"pairs has shape {hertz.shape}",
            "Pairs of a first and a second frequency, (pair, 2), in Hz were needed",
            "Pass for example pairs=[(18, 10), (10, 18)]",
        )
    same = hertz[:, 0] == hertz[:, 1]
    if same.any() or (hertz <= 0).any():
        k = int(np.argmax(same | (hertz <= 0).any(axis=1)))
        raise DataError(
            f"Pair {k} is ({hertz[k, 0]:g}, {hertz[k, 1]:g}) Hz",
            "Two different frequencies above 0 were needed",
            "Of equal ones neither is higher: leave that pair out",
        )
    return hertz


def ring_memory(
    n_trials: int = 256,
    dt: float = 0.02,
    *,
    fixation: Duration = 0.3,
    cue: Duration = 0.5,
    delay: Duration = (0.5, 2.0),
    response: Duration = 0.5,
    report: str = "delay",
    n_angles: int | None = None,
    noise_sd: float = 0.0,
    rng: RNG = None,
) -> xr.Dataset:
    """Simulate the memory of an angle: a place on a circle is shown, held and told.

    Parameters
    ----------
    n_trials : trials.
    dt : s, of a step.
    fixation, cue, delay, response : s, of each phase; a pair (shortest, longest) is a range in
        which each trial draws its own.
    report : ``"delay"``: the angle is told from the end of the cue on; ``"response"``: only when
        the third input asks for it.
    n_angles : so many equally spaced angles from 0 on; by default any angle.
    noise_sd : of the noise of the first two inputs, in units of the cue over one second.
    rng : int, Generator or None.

    Returns
    -------
    Dataset
        Windows as `nr.fit` takes them: ``inputs (trial, time, input)``, cosine and sine of the
        angle during the cue, and 1 during the response; ``targets (trial, time, output)``, cosine
        and sine, and 0 before they are to be told; ``mask (trial, time, output)``, False after the
        end of a trial and, where the delay is reported, during the cue. Beside them ``angle
        (trial)``, rad, from 0 to 2 pi, and ``delay (trial)``, s.

    Raises
    ------
    DataError, KindError, NameUnknownError
        Sizes or durations that cannot be, a report of another name.

    Warns
    -----
    UnitWarning
        Durations that look like ms.

    Notes
    -----
    Over the delay an angle is held: a ring of states along which nothing moves. Trained networks
    have few points on a ring that is slow between them (Sagodi et al. 2024, arXiv:2408.00109).
    The ring goes back to Zhang 1996, Journal of Neuroscience 16:2112,
    doi:10.1523/JNEUROSCI.16-06-02112.1996; the task is that of Funahashi, Bruce & Goldman-Rakic
    1989, Journal of Neurophysiology 61:331, doi:10.1152/jn.1989.61.2.331, who showed 8 angles.

    Examples
    --------
    >>> task = ring_memory(8, delay=1.0, rng=0)
    >>> dict(task["targets"].sizes)
    {'trial': 8, 'time': 115, 'output': 2}
    """
    n_trials, dt = check_count(n_trials, "n_trials"), check_positive(dt, "dt", "s")
    report = check_choice(report, "report", ("delay", "response"))
    noise_sd = check_number(noise_sd, "noise_sd", least=0.0)
    rng = generator(rng)
    angle = 2 * np.pi * rng.random(n_trials)
    if n_angles is not None:
        n_angles = check_count(n_angles, "n_angles")
        angle = 2 * np.pi * rng.integers(n_angles, size=n_trials) / n_angles
    phases = Phases(
        n_trials, dt, rng, fixation=fixation, cue=cue, delay=delay, response=response
    )  # fmt: skip
    shown, asked = phases.during("cue"), phases.during("response")
    told, quiet = asked, phases.during("fixation", "cue", "delay")
    if report == "delay":
        told, quiet = phases.during("delay", "response"), phases.during("fixation")
    place = {"cos": np.cos(angle)[:, None], "sin": np.sin(angle)[:, None]}
    return task_windows(
        {
            **{k: v * shown + noise(shown.shape, noise_sd, dt, rng) for k, v in place.items()},
            "go": asked.astype(float),
        },
        {k: v * told for k, v in place.items()},
        told | quiet,
        dt,
        {
            "angle": (angle, "rad", "angle that was shown"),
            "delay": (phases.length("delay"), "s", "length of the delay"),
        },
        source="simulated by neurornn.simulate.ring_memory",
        structure="ring",
        dimension=1,
    )
