"""Scores of models of a population, with intervals: what co-smoothing and its kin return."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.confidence import draws_interval, to_dataset
from neurornn._core.quantities import Quantity
from neurornn._core.report import Table, parameters_table
from neurornn._core.status import Status
from neurornn.io.shell import TableResult

Array = NDArray[np.float64]

N_RESAMPLES = 999
#: Fewest trials, or blocks, that an interval is made of.
FEWEST = 3
FEW = "fewer than 3 trials or blocks"

REMEDIES = {
    "below_constant": (
        "The rates say less of the spikes than each unit's mean rate does. Check units and bins; "
        "a simpler model, or more trials for the fit."
    ),
    "silent": "No spike was to be told. Leave the unit out, or score more trials.",
    "below_mean": (
        "The rates are further from the PSTH than its mean over time and conditions. Check the "
        "labels of the conditions, and that rates are in Hz."
    ),
    "constant": "The PSTH does not vary. Leave the unit out, or smooth less.",
}


class PopulationScore(TableResult):
    """How well rates tell spikes that the model did not see.

    Made by `co_smoothing`, `few_shot_co_smoothing`, `forward_prediction` and `psth_r2`.

    Attributes
    ----------
    parameters : Dataset
        ``bits_per_spike``, over ``n_shots`` where few-shot, or ``psth_r2``; each with its
        interval, and ``status``.
    units : Dataset over ``unit``
        The same of each unit that was scored: ``unit_bits_per_spike`` or ``unit_r2``.
    settings : how it was made; ``score`` is its name.
    """

    _tables: ClassVar[Sequence[str]] = ("parameters", "units")
    _packages: ClassVar[tuple[str, ...]] = ("numpy", "scipy")
    _quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            name="bits_per_spike", units="bits", reason=FEW,
            long_name="log-likelihood per spike above each unit's mean rate",
        ),
        Quantity(
            name="unit_bits_per_spike", units="bits", dims=("unit",), reason=FEW,
            long_name="log-likelihood per spike of the unit above its mean rate",
        ),
        Quantity(
            name="psth_r2", units="1", reason="fewer than 3 trials of a condition",
            long_name="share of the PSTH's variance that the mean rates explain, mean over units",
        ),
        Quantity(
            name="unit_r2", units="1", dims=("unit",),
            reason="fewer than 3 trials of a condition",
            long_name="share of the variance of the unit's PSTH that the mean rates explain",
        ),
    )  # fmt: skip
    units: xr.Dataset

    @property
    def bits_per_spike(self) -> xr.DataArray:
        """Bits per spike of all units that were scored."""
        return self.parameters["bits_per_spike"]

    def __repr__(self) -> str:
        return self.report()

    def _report_table(self) -> Table:
        s = self.settings
        what = f"{s['n_scored']} units"
        head = f"{what} told, {s['n_spikes']} spikes in {s['n_trials']} trials"
        title = str(s["score"])
        return parameters_table(self.parameters, title[0].upper() + title[1:], head=[head])

    def _papers_used(self) -> Sequence[str]:
        few = ("dabholkar_2025",) if self.settings["score"] == "few-shot co-smoothing" else ()
        return ("pei_2021", *few)

    def _methods_sentence(self) -> str:
        s = self.settings
        more = {
            "co-smoothing": (
                f"{s['n_scored']} held-out units were told from {s.get('n_held_in')} others and "
                "scored in bits per spike (co-smoothing)"
            ),
            "few-shot co-smoothing": (
                f"{s['n_scored']} held-out units were told by Poisson regression from latents of "
                f"{s.get('n_held_in')} others, fitted on few trials, {s.get('n_draws')} draws of "
                "them, and scored in bits per spike on the rest (few-shot co-smoothing)"
            ),
            "forward prediction": (
                f"The last {s.get('duration')} s of each trial were told from what came before "
                "and scored in bits per spike (forward prediction)"
            ),
            "PSTH R2": (
                f"Rates, averaged over the trials of each of {s.get('n_conditions')} conditions, "
                "were compared with PSTHs smoothed by a Gaussian of "
                f"{s.get('smoothing')} s (R2, mean over units)"
            ),
        }
        level = f"{100 * s['confidence_level']:g} % intervals from resampled trials or blocks"
        return f"{more[str(s['score'])]}, in bins of {s['bin_size']:g} s, with {level}"


def likelihood_sums(mean: Array, counts: Array, block: NDArray[np.int64], n_blocks: int) -> Array:
    """Sums over the rows of each block that bits per spike are made of.

    Parameters
    ----------
    mean : (row, unit), spikes expected.
    counts : (row, unit), NaN where none is scored.
    block : (row,), number of the block.
    n_blocks : blocks.

    Returns
    -------
    (block, 3, unit): log-likelihood without factorials, nats; spikes; bins.
    """
    known = np.isfinite(counts)
    n = np.where(known, counts, 0.0)
    rate = np.where(known, np.where(mean == 0, 1e-9, mean), 1.0)
    out = np.zeros((n_blocks, 3, counts.shape[1]))
    for k, values in enumerate((np.where(known, n * np.log(rate) - rate, 0.0), n, 1.0 * known)):
        np.add.at(out[:, k], block, values)
    return out


def bits_of(sums: Array, *, each: bool = False) -> Array:
    """Bits per spike above the mean rate of the same rows.

    Parameters
    ----------
    sums : (..., 3, unit), as `likelihood_sums` gives them, added up over blocks.
    each : of each unit, (..., unit), instead of all together, (...).
    """
    fit, n, bins = np.moveaxis(sums, -2, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        null = np.where(n > 0, n * np.log(n / bins) - n, 0.0)
        gain = fit - null
        if each:
            return np.asarray(np.where(n > 0, gain / n, np.nan) / np.log(2))
        return np.asarray(gain.sum(axis=-1) / n.sum(axis=-1) / np.log(2))


def times_drawn(n: int, draw: np.random.Generator) -> NDArray[np.int64]:
    """How often each of so many trials or blocks is in each resample, (resample, trial)."""
    return draw.multinomial(n, np.full(n, 1 / n), size=N_RESAMPLES)


def bits_interval(sums: Array, times: NDArray[np.int64], confidence_level: float) -> Array:
    """Interval of bits per spike from resampled blocks, (2,); NaN where there is none.

    Parameters
    ----------
    sums : (block, 3, unit), as `likelihood_sums` gives them.
    times : (resample, block), how often each block is in each.
    confidence_level : of the interval.

    Notes
    -----
    Bootstrap-t: what is resampled is the distance from the score in standard errors of the
    resample, by the influence of each block. Spikes of few trials carry most of a score, and the
    percentiles of resampled scores cover too little then.

    References
    ----------
    Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 12.5.
    """
    n_blocks = len(sums)
    own = sums[:, :, sums[:, 1].sum(axis=0) > 0]
    if n_blocks < FEWEST or not own.shape[2]:
        return np.full(2, np.nan)
    value, error = _with_error(own, np.ones((1, n_blocks)))
    found, each = _with_error(own, times.astype(np.float64))
    usable = np.isfinite(found) & (each > 0)
    if not usable.sum() > len(times) / 2:
        return np.full(2, np.nan)
    low, high = draws_interval((found[usable] - value) / each[usable], confidence_level)
    return np.array([value[0] - high * error[0], value[0] - low * error[0]])


def _with_error(sums: Array, weight: Array) -> tuple[Array, Array]:
    """Bits per spike of blocks that count so often, and their standard errors, (resample,)."""
    fit, n, bins = (sums[:, k] for k in range(3))
    value = bits_of(np.tensordot(weight, sums, axes=1)) * np.log(2)
    spikes, width = weight @ n, weight @ bins
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = spikes / width
        log_rate = np.where(rate > 0, np.log(rate), 0.0)
        # What a block adds to the gain of the fit, less what its spikes and bins make of the mean.
        away = fit.sum(axis=1) - log_rate @ n.T + rate @ bins.T - value[:, None] * n.sum(axis=1)
        total = (weight * away**2).sum(axis=1) * len(sums) / (len(sums) - 1)
        return value / np.log(2), np.sqrt(total) / spikes.sum(axis=1) / np.log(2)


def interval_of(draws: Array, confidence_level: float, *, known: bool) -> Array:
    """Interval of (draw, ...) resamples, (..., 2); NaN where there is none."""
    if not known:
        return np.full((*draws.shape[1:], 2), np.nan)
    return np.asarray(draws_interval(draws, confidence_level))


def score_tables(
    whole: tuple[str, Any, Array],
    single: tuple[str, Array, Array],
    *,
    unit: NDArray[Any],
    method: str,
    confidence_level: float,
    bad: tuple[str, str],
    shots: NDArray[np.int64] | None = None,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Tables of a score of all units, and of each.

    Parameters
    ----------
    whole : name, value, interval; over ``n_shots`` where `shots` came.
    single : the same over ``unit``, and shots.
    unit : labels of the units.
    method : how value and interval were made.
    confidence_level : of the intervals.
    bad : status of a value of 0 or below, and of one that is missing.
    shots : numbers of trials.
    """
    along = () if shots is None else ("n_shots",)
    coords: dict[Any, Any] = {} if shots is None else {"n_shots": shots}
    tables = []
    for (name, value, ci), dims in ((whole, along), (single, ("unit", *along))):
        quantity = PopulationScore.quantity(name)
        values = np.asarray(value)
        status = np.where(np.isnan(values), bad[1], np.where(values > 0, str(Status.OK), bad[0]))
        tables.append(
            to_dataset(
                [quantity.of(values, ci, method=method, dims=dims)],
                confidence_level=confidence_level,
                coords={**coords, **({"unit": unit} if "unit" in dims else {})},
                status=status, status_dims=dims, remedies=REMEDIES,
            )
        )  # fmt: skip
    return tables[0], tables[1]
