"""The baseline of populations: counts under a Gaussian, a regression for what is hidden."""

from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import (
    check_choice,
    check_confidence_level,
    check_number,
    check_positive,
)
from neurornn._core.confidence import draws_interval, to_dataset
from neurornn._core.errors import DataError
from neurornn._core.jobs import one_thread
from neurornn._core.quantities import Quantity
from neurornn._core.rng import generator
from neurornn._core.status import Status
from neurornn.data.samples import blocks_of
from neurornn.io.saved import SavedContent
from neurornn.spikes.columns import expected_counts, poisson_weights
from neurornn.spikes.gaussian_rates import (
    mean_counts,
    smoothed_counts,
    try_on_others,
    try_on_own,
    widths_between,
)
from neurornn.spikes.held_out import blocks_of_rows
from neurornn.spikes.population import Population, PopulationAccount, take_population
from neurornn.spikes.population_score import FEW, FEWEST, times_drawn

Array = NDArray[np.float64]

_N_BLOCKS = 20
#: Widths beside the best one of observed units that are tried for hidden ones: to an eighth of it,
#: and to one and a half of it.
_NARROWER, _WIDER = 6, 1
REMEDIES = {
    "wide": (
        "The widest Gaussian that fits was best: rates hardly vary, or more slowly than trials "
        "last. Read the mean rates, or pass width= in s."
    ),
    "narrow": (
        "The narrowest Gaussian was best: rates vary within a few bins. Count in smaller bins."
    ),
}


class SmoothedRates(PopulationAccount):
    """Rates of a population by smoothing: what a model of latents has to do better than.

    Parameters
    ----------
    bin_size : s; None takes that of the counts.
    width : s, sd of the Gaussian; ``"auto"`` chooses it by cross-validated likelihood, once for
        units that are observed and once for those that are told from others.
    penalty : nats, of half the squared weight of a unit in the regression.
    confidence_level : of the interval of the width.
    rng : of the bootstrap, and of the units that are told when a width is looked for.

    Attributes
    ----------
    parameters_ : Dataset
        ``width`` and ``hidden_width`` (s), each with its interval, and ``status``.
    widths_ : Dataset over ``width``
        ``log_likelihood`` of each that was tried, nats per spike.
    units_, fitted_bin_size_ : labels of the units, and their bins, s.

    Notes
    -----
    The rate of a unit that is observed is that of its own spikes under a Gaussian of bins of its
    trial, with half a spike at its mean rate added. A width is scored by the likelihood of each
    count under a rate that leaves that bin out. Units that are hidden are told by a Poisson
    regression on the log rates of those that are not, as in the smoothing baseline of the Neural
    Latents Benchmark; it is fitted on the counts of the fit, which are kept, when it is asked for,
    and says no rate above the highest that it says of them.
    Many units together bear a narrower Gaussian than one alone: ``hidden_width`` is the best on
    every other trial for units told from others. Latents are the log rates of the units that were
    observed.

    References
    ----------
    Pei et al. 2021, NeurIPS Datasets and Benchmarks, arXiv:2109.04463.

    Examples
    --------
    >>> import neurornn as nr
    >>> rec = nr.simulate.simulate_latent_population(10, 1.0, n_trials=40, rng=0)
    >>> model = SmoothedRates().fit(rec["counts"])
    >>> 0.02 < float(model.parameters_["width"]) < 0.3
    True
    >>> model.rates(rec["counts"].sel(unit=[0, 1, 2])).sizes["unit"]
    10
    """

    _quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            name="width", units="s", long_name="sd of the Gaussian that smooths the counts",
            method="likelihood of each count given the others; percentile bootstrap over trials",
            reason=FEW,
        ),
        Quantity(
            name="hidden_width", units="s", reason=FEW,
            long_name="sd of the Gaussian before the regression that tells hidden units",
            method="likelihood of units told from others on blocks left out; percentile bootstrap",
        ),
    )  # fmt: skip
    _tables: ClassVar[dict[str, str]] = {
        "parameters": "parameters_", "widths": "widths_", "training": "training_",
    }  # fmt: skip
    _kept: ClassVar[dict[str, str]] = {"units": "units_", "bin_size": "fitted_bin_size_"}
    _papers: ClassVar[tuple[str, ...]] = ("pei_2021",)

    def __init__(
        self,
        bin_size: float | None = None,
        *,
        width: float | str = "auto",
        penalty: float = 1.0,
        confidence_level: float = 0.95,
        rng: Any = 0,
    ) -> None:
        self.bin_size = bin_size
        self.width = width
        self.penalty = penalty
        self.confidence_level = confidence_level
        self.rng = rng

    def fit(self, X: Any, y: Any = None) -> Self:
        """Choose the width, and keep the counts for the regressions.

        Parameters
        ----------
        X : counts (time, unit) or (trial, time, unit), a list of trials, or spikes.
        y : ignored.

        Raises
        ------
        DataError, ShapeError, UnitError
            No counts, or no spike.
        """
        check_confidence_level(self.confidence_level)
        check_number(self.penalty, "penalty", least=0.0)
        population = take_population(X, self.bin_size)
        counts = population.counts
        if not np.nansum(counts) > 0:
            raise DataError(
                f"{counts.shape[1]} units came without a spike", "At least one spike was needed",
                "Check the selection",
            )  # fmt: skip
        self.units_ = np.asarray(population.unit)
        self.fitted_bin_size_ = population.bin_size
        stored = np.where(np.isfinite(counts), counts, -1).astype(np.int32)
        self.training_ = xr.Dataset(
            {"counts": (("row", "unit"), stored, {"units": "1", "long_name": "-1 is unknown"}),
             "run": ("row", population.samples.run)}
        )  # fmt: skip
        with one_thread():
            self._choose(population)
        self._prepare()
        return self

    def _choose(self, population: Population) -> None:
        counts, bin_size = population.counts, population.bin_size
        draw = generator(self.rng)
        known = np.isfinite(counts)
        block, n_blocks = blocks_of_rows(population, _N_BLOCKS, np.asarray(known.any(axis=1)))
        given = not isinstance(self.width, str)
        if given:
            grid = np.array([check_positive(self.width, "width", "s")])
        else:
            check_choice(self.width, "width", ("auto",))
            longest = max(t.stop - t.start for t in population.trials) * bin_size
            grid = widths_between(bin_size, longest)
        several = int((np.where(known, counts, 0.0).sum(axis=0) > 0).sum()) > 1
        trials = population.trials
        own = others = try_on_own(counts, trials, bin_size, grid, block, n_blocks)
        if not given and several and n_blocks > 1:
            near = grid[max(own.best - _NARROWER, 0) : own.best + _WIDER + 1]
            others = try_on_others(
                counts, trials, bin_size, near, block, n_blocks, float(self.penalty), draw
            )
        estimates, status = [], str(Status.OK)
        for name, tried in (("width", own), ("hidden_width", others)):
            ci, n = np.full(2, np.nan), tried.gain.shape[1]
            if not given and n >= FEWEST:
                drawn = np.array([tried.width(w) for w in times_drawn(n, draw)])
                ci = draws_interval(drawn, self.confidence_level)
            reason = "the width was given" if given else FEW
            estimates.append(self.quantity(name).of(tried.width(), ci, reason=reason))
        if not given and own.best in (0, len(grid) - 1):
            status = "narrow" if own.best == 0 else "wide"
        self.parameters_ = to_dataset(
            estimates, confidence_level=self.confidence_level, status=status, remedies=REMEDIES
        )
        about = {"units": "nats", "long_name": "log-likelihood per spike"}
        n_spikes = float(np.where(known, counts, 0.0).sum())
        self.widths_ = xr.Dataset(
            {"log_likelihood": ("width", own.gain.sum(axis=1) / n_spikes, about)},
            coords={"width": ("width", grid, {"units": "s"})},
        )

    def _after_load(self, content: SavedContent) -> None:
        self._prepare()

    def _prepare(self) -> None:
        """Make what follows from the counts of the fit."""
        stored = self.training_["counts"].values.astype(np.float64)
        self._counts = np.where(stored < 0, np.nan, stored)
        run = self.training_["run"].values
        self._trials = [slice(a, b) for a, b in blocks_of(run).tolist()]
        self._mean = mean_counts(self._counts)
        self._told: dict[bytes, tuple[Array, Array]] = {}

    def _sd(self, name: str) -> float:
        """A width in bins."""
        return float(self.parameters_[name]) / self.fitted_bin_size_

    def _infer(self, population: Population) -> tuple[Array, Array]:
        counts, trials = population.counts, population.trials
        seen = np.asarray(np.isfinite(counts).any(axis=0))
        own = smoothed_counts(counts[:, seen], trials, self._sd("width"), self._mean[seen])
        rates = np.empty(counts.shape)
        rates[:, seen] = own
        level = np.log(own)
        if not seen.all():
            sd = self._sd("hidden_width")
            key = seen.tobytes()
            if key not in self._told:
                of_fit = smoothed_counts(self._counts[:, seen], self._trials, sd, self._mean[seen])
                told = np.log(of_fit)
                weights = poisson_weights(told, self._counts[:, ~seen], float(self.penalty))
                # An exponential told beyond what was seen runs away: no rate above those of the
                # fit.
                self._told[key] = weights, expected_counts(told, weights).max(axis=0)
            weights, highest = self._told[key]
            level = np.log(smoothed_counts(counts[:, seen], trials, sd, self._mean[seen]))
            rates[:, ~seen] = np.minimum(expected_counts(level, weights), highest)
        return rates / self.fitted_bin_size_, level

    def _methods_sentence(self) -> str:
        chosen = "chosen by cross-validated likelihood" if self.width == "auto" else "given"
        return (
            f"Counts in bins of {self.fitted_bin_size_:g} s were smoothed by a Gaussian with an "
            f"sd of {float(self.parameters_['width']):.3g} s ({chosen}); hidden units were told "
            "by Poisson regression on the log rates of the others"
        )
