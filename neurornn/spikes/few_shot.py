"""Co-smoothing with few trials to learn the read-out from: what invented latents do not pass."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import check_confidence_level, check_count, check_number
from neurornn._core.errors import DataError
from neurornn._core.jobs import one_thread
from neurornn._core.rng import RNG, generator
from neurornn.spikes.columns import expected_counts, poisson_weights
from neurornn.spikes.held_out import (
    counts_for,
    number_blocks,
    told_latents,
    two_sides,
    without,
)
from neurornn.spikes.population_score import (
    FEWEST,
    PopulationScore,
    bits_of,
    interval_of,
    likelihood_sums,
    score_tables,
    times_drawn,
)

Array = NDArray[np.float64]


def few_shot_co_smoothing(
    model: Any,
    counts: Any,
    held_in: ArrayLike | None,
    held_out: ArrayLike,
    *,
    n_shots: int | Sequence[int] = 8,
    n_draws: int = 20,
    penalty: float = 1.0,
    confidence_level: float = 0.95,
    rng: RNG = 0,
) -> PopulationScore:
    """Score units that are told from a model's latents, by read-outs learned from few trials.

    Parameters
    ----------
    model : a fitted model of a population of this room, or anything whose ``latents(counts)``
        gives (..., latent) for counts of which hidden units are NaN.
    counts : trials that were not those of the fit, as for `co_smoothing`.
    held_in, held_out : labels of units, as for `co_smoothing`.
    n_shots : trials that a read-out is learned from; several for a curve.
    n_draws : random draws of so many trials. Each is scored on all trials that are not in it.
    penalty : nats, of half the squared weight of a latent of sd 1 in the log rate.
    confidence_level : of the interval.
    rng : of draws and bootstrap.

    Returns
    -------
    PopulationScore
        ``parameters["bits_per_spike"]`` over ``n_shots``, the mean over draws, with its interval
        from resampled trials and draws, and ``units`` with the bits of each unit.

    Raises
    ------
    KindError, NameUnknownError, DataError, ShapeError
        No latents; units that are not there; no trials, or fewer than are asked for and two more.

    Notes
    -----
    Latents come from the units held in. A log-linear Poisson regression leads from them to the
    held-out units on few trials. Latents that hold more than the population does need more trials
    until the read-out finds what matters: among models of the same co-smoothing, the one without
    invented dynamics has the higher score. Compare models on the same counts, units and rng.

    References
    ----------
    Dabholkar & Barak 2025, PLoS Comput. Biol. 21:e1013789, doi:10.1371/journal.pcbi.1013789.

    Examples
    --------
    >>> import neurornn as nr
    >>> rec = nr.simulate.simulate_latent_population(20, 1.0, n_trials=60, tau=0.3, rng=0)
    >>> train, test = nr.data.split_trials(rec["counts"], (0.5, 0.5), rng=0)
    >>> model = nr.spikes.SmoothedRates().fit(train)
    >>> score = few_shot_co_smoothing(model, test, None, [0, 1, 2], n_shots=(2, 20), n_draws=5)
    >>> bool(score.bits_per_spike[1] > score.bits_per_spike[0])
    True
    """
    check_confidence_level(confidence_level)
    check_number(penalty, "penalty", least=0.0)
    n_draws = check_count(n_draws, "n_draws")
    shots = np.array([check_count(k, "n_shots") for k in np.atleast_1d(n_shots)])
    population = counts_for(model, counts, "latents")
    inside, out = two_sides(held_in, held_out, population.unit)
    hidden = np.ones((population.samples.n_rows, len(population.unit)), dtype=bool)
    hidden[:, inside] = False
    latents = told_latents(model, without(population, hidden), population)
    seen = population.counts[:, out]
    usable = np.asarray(np.isfinite(seen).any(axis=1) & np.isfinite(latents).all(axis=1))
    seen = np.where(usable[:, None], seen, np.nan)
    trial, n_trials = number_blocks(population.trials, usable)
    if n_trials < int(shots.max()) + 2:
        raise DataError(
            f"n_shots goes up to {shots.max()}, and {n_trials} trials came",
            "Two trials more than read-outs are learned from were needed",
            "Pass fewer n_shots or more trials; cut a long recording into a list of trials",
        )
    draw = generator(rng)
    latents, seen, trial = latents[usable], seen[usable], trial[usable]
    # (shots, draw, trial, term, unit); 0 for the trials that a read-out was learned from.
    sums = np.zeros((len(shots), n_draws, n_trials, 3, len(out)))
    with one_thread():
        for k, n in enumerate(shots):
            for d in range(n_draws):
                taken = np.isin(trial, draw.choice(n_trials, n, replace=False))
                weights = poisson_weights(latents[taken], seen[taken], penalty)
                sums[k, d] = likelihood_sums(
                    expected_counts(latents[~taken], weights), seen[~taken], trial[~taken],
                    n_trials,
                )  # fmt: skip
    if not sums[:, :, :, 1].any():
        raise DataError(
            "The held-out units fired no spike", "At least one was needed",
            "Hold units out that fire, or score more trials",
        )  # fmt: skip
    whole = sums.sum(axis=2)
    value, each = _mean(bits_of(whole)), _mean(bits_of(whole, each=True))
    enough = n_trials >= FEWEST and n_draws >= 2
    times = times_drawn(n_trials, draw)
    picks = draw.integers(n_draws, size=(len(times), n_draws))
    found, found_each = [], []
    for weight, pick in zip(times, picks, strict=True):
        again = np.einsum("t,kdtsu->kdsu", weight, sums[:, pick])
        found.append(_mean(bits_of(again)))
        found_each.append(_mean(bits_of(again, each=True)))
    parameters, units = score_tables(
        ("bits_per_spike", value, interval_of(np.array(found), confidence_level, known=enough)),
        ("unit_bits_per_spike", each.T,
         np.swapaxes(interval_of(np.array(found_each), confidence_level, known=enough), 0, 1)),
        unit=population.unit[out], confidence_level=confidence_level,
        bad=("below_constant", "silent"), shots=shots,
        method=f"mean over {n_draws} draws; percentile bootstrap over {n_trials} trials and draws",
    )  # fmt: skip
    return PopulationScore(
        parameters,
        {
            "score": "few-shot co-smoothing", "n_held_in": len(inside), "n_draws": n_draws,
            "penalty": float(penalty), "model": type(model).__name__,
            "n_latent": int(latents.shape[1]), "bin_size": float(population.bin_size),
            "n_scored": len(out), "n_spikes": int(np.nansum(seen)), "n_trials": n_trials,
            "confidence_level": float(confidence_level),
        },
        units=units,
    )  # fmt: skip


def _mean(values: Array) -> Array:
    """Mean over draws, the second axis, of those that have a value; NaN where none has."""
    known = np.isfinite(values)
    n = known.sum(axis=1)
    total = np.where(known, values, 0.0).sum(axis=1)
    return np.asarray(np.where(n > 0, total / np.maximum(n, 1), np.nan))
