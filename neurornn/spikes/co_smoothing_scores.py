"""How well a model of a population tells what it did not see: units, and the end of trials."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d

from neurornn._core.checks import (
    check_confidence_level,
    check_labels,
    check_number,
    check_numbers,
    check_positive,
)
from neurornn._core.errors import DataError, ShapeError
from neurornn._core.rng import RNG, generator
from neurornn.spikes.account import bits_per_spike
from neurornn.spikes.held_out import (
    blocks_of_rows,
    counts_for,
    positions_of,
    told_rates,
    two_sides,
    without,
)
from neurornn.spikes.population import Population, take_population
from neurornn.spikes.population_score import (
    FEWEST,
    PopulationScore,
    bits_interval,
    interval_of,
    likelihood_sums,
    score_tables,
    times_drawn,
)

Array = NDArray[np.float64]


def co_smoothing(
    model: Any,
    counts: Any,
    held_in: ArrayLike | None,
    held_out: ArrayLike,
    *,
    n_blocks: int = 20,
    confidence_level: float = 0.95,
    rng: RNG = 0,
) -> PopulationScore:
    """Score the rates of units that a model does not see, told from those that it sees.

    Parameters
    ----------
    model : fitted on all units: `SmoothedRates` or another model of a population of this room, or
        anything whose ``rates(counts)`` gives Hz for counts of which hidden units are NaN.
    counts : better not those of the fit; DataArray (trial, time, unit) or (time, unit) with
        ``bin_size`` (s) in its attrs, a list of trials, or spikes.
    held_in : labels of units that the model sees; None for all but those held out.
    held_out : labels of units that are hidden and scored. Units on neither side are hidden, and
        not scored.
    n_blocks : into so many parts a recording of fewer trials is cut for the interval; each must
        be much longer than the memory of the population.
    confidence_level : of the intervals.
    rng : of the bootstrap.

    Returns
    -------
    PopulationScore
        ``parameters["bits_per_spike"]`` with its interval, from resampled trials or blocks, and
        ``units`` with the bits of each unit.

    Raises
    ------
    KindError, NameUnknownError, DataError, ShapeError
        No model of a population; units that are not there, or on both sides; no spike to tell.

    See Also
    --------
    few_shot_co_smoothing : the same, with little to learn the read-out from.
    neurornn.spikes.bits_per_spike : of arrays.

    Notes
    -----
    The co-smoothing of the Neural Latents Benchmark: Poisson log-likelihood of the held-out units
    over that of each one's mean count, over the number of their spikes and ln 2. The interval is
    that of the model as it is, not of another fit.

    References
    ----------
    Pei et al. 2021, NeurIPS Datasets and Benchmarks, arXiv:2109.04463.

    Examples
    --------
    >>> import neurornn as nr
    >>> rec = nr.simulate.simulate_latent_population(20, 1.0, n_trials=60, tau=0.3, rng=0)
    >>> train, test = nr.data.split_trials(rec["counts"], (0.7, 0.3), rng=0)
    >>> units = test["unit"].values
    >>> held_in, held_out = nr.data.split_groups(units, units, fractions=(0.75, 0.25), rng=0)
    >>> model = nr.spikes.SmoothedRates().fit(train)
    >>> float(co_smoothing(model, test, held_in, held_out).bits_per_spike) > 0
    True
    """
    check_confidence_level(confidence_level)
    population = counts_for(model, counts)
    inside, out = two_sides(held_in, held_out, population.unit)
    hidden = np.ones((population.samples.n_rows, len(population.unit)), dtype=bool)
    hidden[:, inside] = False
    rates = told_rates(model, without(population, hidden), population)
    return _scored(
        population, rates, population.counts, out, n_blocks, confidence_level, rng,
        {"score": "co-smoothing", "n_held_in": len(inside), "model": type(model).__name__},
    )  # fmt: skip


def forward_prediction(
    model: Any,
    counts: Any,
    duration: float,
    *,
    units: ArrayLike | None = None,
    n_blocks: int = 20,
    confidence_level: float = 0.95,
    rng: RNG = 0,
) -> PopulationScore:
    """Score the rates at the end of each trial, told from what came before.

    Parameters
    ----------
    model : as for `co_smoothing`.
    counts : as for `co_smoothing`.
    duration : s, at the end of each trial, that is hidden from the model and scored.
    units : labels of the units that are scored; None for all.
    n_blocks : as for `co_smoothing`.
    confidence_level : of the intervals.
    rng : of the bootstrap.

    Returns
    -------
    PopulationScore
        As `co_smoothing` returns it.

    Raises
    ------
    KindError, NameUnknownError, DataError, ShapeError
        No model of a population; a duration as long as the trials, or shorter than a bin.

    References
    ----------
    Pei et al. 2021, NeurIPS Datasets and Benchmarks, arXiv:2109.04463.

    Examples
    --------
    >>> import neurornn as nr
    >>> rec = nr.simulate.simulate_latent_population(20, 1.0, n_trials=80, tau=0.5, rng=0)
    >>> train, test = nr.data.split_trials(rec["counts"], (0.7, 0.3), rng=0)
    >>> model = nr.spikes.SmoothedRates().fit(train)
    >>> found = forward_prediction(model, test, 0.2)
    >>> found.settings["n_trials"], found.settings["n_scored"]
    (24, 20)
    """
    check_confidence_level(confidence_level)
    population = counts_for(model, counts)
    n_last = round(check_positive(duration, "duration", "s") / population.bin_size)
    observed = population.counts
    seen = np.asarray(np.isfinite(observed).any(axis=1))
    last = np.zeros(len(seen), dtype=bool)
    shortest = min((int(seen[t].sum()) for t in population.trials if seen[t].any()), default=0)
    if not 1 <= n_last < shortest:
        raise DataError(
            f"duration is {duration:g} s, {n_last} bins of {population.bin_size:g} s; the "
            f"shortest trial has {shortest} bins",
            "At least one bin, and a trial that is longer, was needed",
            f"Pass a duration below {shortest * population.bin_size:g} s",
        )
    for trial in population.trials:
        last[trial.start + np.flatnonzero(seen[trial])[-n_last:]] = True
    chosen = np.arange(len(population.unit))
    if units is not None:
        chosen = positions_of(units, population.unit, "units")
    hidden = np.broadcast_to(last[:, None], observed.shape)
    rates = told_rates(model, without(population, hidden), population)
    return _scored(
        population, rates, np.where(hidden, observed, np.nan), chosen, n_blocks, confidence_level,
        rng, {"score": "forward prediction", "duration": float(duration),
              "model": type(model).__name__},
    )  # fmt: skip


def psth_r2(
    rates: Any,
    counts: Any,
    conditions: ArrayLike,
    *,
    count_conditions: ArrayLike | None = None,
    smoothing: float = 0.05,
    confidence_level: float = 0.95,
    rng: RNG = 0,
) -> PopulationScore:
    """Compare rates, averaged over the trials of each condition, with PSTHs of the spikes.

    Parameters
    ----------
    rates : (trial, time, unit), Hz, as models of a population give them.
    counts : (trial, time, unit), DataArray with ``bin_size`` (s) in its attrs, or an array, whose
        bins are then those of the rates.
    conditions : (trial,), label of the condition of each trial of the rates.
    count_conditions : the same of the counts, where their trials are others: the benchmark takes
        PSTHs from all trials, rates from those of the test. Conditions that no trial of the rates
        has are left out.
    smoothing : s, sd of the Gaussian that smooths the PSTHs; 0 for none.
    confidence_level : of the intervals.
    rng : of the bootstrap.

    Returns
    -------
    PopulationScore
        ``parameters["psth_r2"]``, mean over units, with its interval from trials that are drawn
        anew within each condition, and ``units`` with the R2 of each.

    Raises
    ------
    ShapeError, DataError
        Arrays that do not go together; labels of no trial.

    Notes
    -----
    The match to PSTH of the Neural Latents Benchmark: R2 of each unit over bins and conditions,
    and the mean over units. PSTHs of few trials are noisy, and hold the R2 of the truth below 1.

    References
    ----------
    Pei et al. 2021, NeurIPS Datasets and Benchmarks, arXiv:2109.04463.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> means = 20 * (1 + np.sin(np.arange(50) / 8 + np.arange(2)[:, None]))  # condition, time
    >>> label = np.arange(200) % 2
    >>> counts = rng.poisson(0.01 * means[label][:, :, None], (200, 50, 3))
    >>> rates = xr.DataArray(np.repeat(means[label][:, :, None], 3, axis=2),
    ...                      dims=("trial", "time", "unit"), attrs={"bin_size": 0.01})
    >>> float(psth_r2(rates, counts, label, smoothing=0.02).parameters["psth_r2"]) > 0.9
    True
    """
    check_confidence_level(confidence_level)
    check_number(smoothing, "smoothing", "s", least=0.0)
    width = rates.attrs.get("bin_size") if isinstance(rates, xr.DataArray) else None
    population = take_population(counts, None if width is None else float(width))
    seen = _of_trials(population.given, "counts")
    told = _of_trials(rates, "rates")
    labels = _conditions(conditions, told, "conditions")
    own = labels if count_conditions is None else _conditions(
        count_conditions, seen, "count_conditions"
    )  # fmt: skip
    if seen.shape[1:] != told.shape[1:] or len(own) != len(seen):
        raise ShapeError(
            f"rates has shape {told.shape}, counts {seen.shape}, with {len(own)} conditions",
            "The same bins and units, and a condition for each trial, was needed",
            "Bring them onto the same bins; pass count_conditions for counts of other trials",
        )
    names = [c for c in dict.fromkeys(labels.tolist()) if c in set(own.tolist())]
    if not names:
        raise DataError(
            "No condition of the rates is one of the counts",
            "At least one in both was needed", "Check the labels",
        )  # fmt: skip
    sd = smoothing / population.bin_size
    smooth = seen / population.bin_size
    if sd > 0:
        # Smoothed before the mean, which is the same and lets trials be drawn anew below.
        smooth = _smoothed(smooth, sd)
    groups = [(np.flatnonzero(labels == c), np.flatnonzero(own == c)) for c in names]

    def r2_of(picks: list[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> Array:
        guess = np.concatenate([_mean_seen(told[a]) for a, _ in picks])
        truth = np.concatenate([_mean_seen(smooth[b]) for _, b in picks])
        return _r2(truth, guess)

    each = r2_of(groups)
    finite = np.isfinite(each)
    draw = generator(rng)
    few = min(min(len(a), len(b)) for a, b in groups) < FEWEST
    drawn = np.full((2, len(each)), np.nan)
    if not few:
        same = count_conditions is None
        found = []
        for _ in range(_N_PSTHS):
            picks = []
            for a, b in groups:
                one = draw.choice(a, len(a))
                picks.append((one, one if same else draw.choice(b, len(b))))
            found.append(r2_of(picks))
        drawn = np.array(found)
    parameters, units = score_tables(
        ("psth_r2", each[finite].mean() if finite.any() else np.nan,
         interval_of(drawn[:, finite].mean(axis=1) if finite.any() else drawn[:, 0],
                     confidence_level, known=not few)),
        ("unit_r2", each, interval_of(drawn, confidence_level, known=not few)),
        unit=population.unit, confidence_level=confidence_level, bad=("below_mean", "constant"),
        method=f"{len(names)} conditions; percentile bootstrap over the trials of each",
    )  # fmt: skip
    return PopulationScore(
        parameters,
        {
            "score": "PSTH R2", "smoothing": float(smoothing), "n_conditions": len(names),
            "bin_size": float(population.bin_size), "n_scored": len(each),
            "n_spikes": int(np.nansum(seen)), "n_trials": len(seen),
            "confidence_level": float(confidence_level),
        },
        units=units,
    )  # fmt: skip


#: Resamples of trials for an R2, each of which averages all conditions anew.
_N_PSTHS = 199


def _scored(
    population: Population, rates: Array, counts: Array, units: NDArray[np.int64], n_blocks: int,
    confidence_level: float, rng: RNG, settings: dict[str, Any],
) -> PopulationScore:  # fmt: skip
    """Bits per spike of some units of (row, unit) rates in Hz and counts, with intervals."""
    mean, seen = rates[:, units] * population.bin_size, counts[:, units]
    known = np.isfinite(seen)
    if not np.isfinite(mean[known]).all():
        raise DataError(
            f"{int((~np.isfinite(mean[known])).sum())} rates that are scored are not finite",
            "A rate for every bin that is scored was needed",
            "Check the model; leave out bins that it cannot tell, as NaN",
        )
    value = bits_per_spike(mean, seen)
    block, n = blocks_of_rows(population, n_blocks, np.asarray(known.any(axis=1)))
    sums = likelihood_sums(mean, seen, block, n)
    fired = sums[:, 1].sum(axis=0) > 0
    each = np.full(len(units), np.nan)
    for k in np.flatnonzero(fired):
        each[k] = bits_per_spike(mean[:, k], seen[:, k])
    times = times_drawn(n, generator(rng))
    ci = bits_interval(sums, times, confidence_level)
    ci_each = [bits_interval(sums[:, :, [k]], times, confidence_level) for k in range(len(units))]
    parameters, single = score_tables(
        ("bits_per_spike", value, ci),
        ("unit_bits_per_spike", each, np.array(ci_each)),
        unit=population.unit[units], confidence_level=confidence_level,
        bad=("below_constant", "silent"),
        method=f"bootstrap-t over {n} trials or blocks",
    )  # fmt: skip
    return PopulationScore(
        parameters,
        {
            **settings, "bin_size": float(population.bin_size), "n_scored": len(units),
            "n_spikes": int(np.nansum(seen)), "n_trials": len(population.trials),
            "confidence_level": float(confidence_level),
        },
        units=single,
    )  # fmt: skip


def _of_trials(values: Any, name: str) -> Array:
    found = check_numbers(values, name, missing=True)
    if found.ndim != 3:
        raise ShapeError(
            f"{name} has shape {found.shape}",
            "Trials of one length, (trial, time, unit), were needed",
            "Cut them around an event: data.bin_spikes(rec, 0.02, trials=...)",
        )  # fmt: skip
    return found


def _conditions(labels: ArrayLike, values: Array, name: str) -> NDArray[Any]:
    found = np.asarray(check_labels(labels, name))
    if found.shape != (len(values),):
        raise ShapeError(
            f"{name} has shape {found.shape} for {len(values)} trials",
            "One label for each trial was needed", "Pass the condition of every trial",
        )  # fmt: skip
    return found


def _smoothed(values: Array, sd: float) -> Array:
    """Gaussian over time, of what was observed alone."""
    known = np.isfinite(values)
    weight = gaussian_filter1d(known.astype(float), sd, axis=1, mode="constant")
    found = gaussian_filter1d(np.where(known, values, 0.0), sd, axis=1, mode="constant")
    return np.where(known, found / np.maximum(weight, 1e-300), np.nan)


def _mean_seen(values: Array) -> Array:
    """Mean over the first axis of what is known, NaN where nothing is."""
    known = np.isfinite(values)
    n = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.asarray(np.where(n > 0, total / np.maximum(n, 1), np.nan))


def _r2(truth: Array, guess: Array) -> Array:
    """R2 of each column over its rows that are known, (unit,); NaN for one that does not vary."""
    known = np.isfinite(truth) & np.isfinite(guess)
    middle = np.where(known, truth, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    around = np.where(known, truth - middle, 0.0)
    away = np.where(known, truth - guess, 0.0)
    total = (around**2).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > 0, 1 - (away**2).sum(axis=0) / total, np.nan)
