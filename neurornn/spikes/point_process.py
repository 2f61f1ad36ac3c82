"""Point processes: spikes from stimulus, own past and other units, as a log-linear rate."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from neurornn._core.checks import (
    check_choice,
    check_confidence_level,
    check_count,
    check_number,
    check_positive,
)
from neurornn._core.errors import ConvergenceWarning, DataError
from neurornn._core.jobs import one_thread, progress_bar
from neurornn._core.quantities import Quantity
from neurornn._core.report import Table, parameters_table
from neurornn._core.rng import RNG, generator
from neurornn._core.units import format_number
from neurornn._core.warning import warn_user
from neurornn.io.saved import SavedContent
from neurornn.io.shell import keep_names
from neurornn.spikes.account import SpikeAccount, stretched_intervals
from neurornn.spikes.binned import BinnedSpikes
from neurornn.spikes.design import Design, Layout, lay_out
from neurornn.spikes.exponential_fit import (
    ExponentialFit,
    continuous_log_likelihood,
    longest_piece,
    predictable_counts,
    rescaled_intervals,
)
from neurornn.spikes.glm_fit import log_likelihood_at, per_row
from neurornn.spikes.glm_tables import Fitted, filters_of, table_of_units, weights_table
from neurornn.spikes.simulation import simulate_from
from neurornn.spikes.unit_fit import (
    FEWEST_KEPT,
    FitSettings,
    check_in_bins,
    drift_state,
    fit_unit,
    followed,
)

Array = NDArray[np.float64]

_EXPONENTIAL = "recovery and adaptation as two exponentials, by maximum likelihood in exact time"
_WALD = "interval from the curvature of the likelihood, on the log scale"


class PointProcess(SpikeAccount):
    """Spikes as a point process: a rate that knows stimulus, own past and other units.

    Parameters
    ----------
    stimulus : name of a variable of the recording that drives the units; None for none. An array
        may be passed to `fit` instead.
    history : s, how far back own spikes matter; None for a Poisson account, which knows no past.
        With exponentials no time constant is longer than twice that.
    coupling : True for filters from all other units, a list of labels for some, False for none.
    bin_size : s.

    Other Parameters
    ----------------
    history_basis : ``"exponential"``, a dead time and two exponentials in exact time, each with
        its time constant; or ``"raised_cosine"``, a free filter in bins.
    stimulus_duration, coupling_duration : s, longest lags.
    n_stimulus, n_history, n_coupling : raised cosines of each filter.
    n_trial_time : bumps over the time since the start of each interval, the smooth PSTH of a
        trial; 0 for none.
    distribution : of the count of a bin where the history is no exponential: ``"poisson"``, or
        ``"bernoulli"`` for one spike at most, with probability ``1 - exp(-rate * bin_size)``;
        ``"auto"`` is the latter where no bin of a unit that is fitted holds two spikes.
    penalty : of half the squared weights over the inverse variance of their columns, in nats;
        ``"auto"`` chooses by the likelihood of blocks of time held out. The past in exponentials
        is not penalised.
    forgetting : s; weights go on learning from every bin once it is over, and forget with this
        time constant: for cells that drift. None for weights that stay; ``"auto"`` chooses by
        how well the second half of the data would have been forecast.
    renewal : correct the rate by the time since the last spike, stretched by the rate: a free
        hazard in place of the exponential one (a conditional renewal model).
    unit : labels of the units to be fitted; all by default.
    max_rows : bins without a spike of the unit that are drawn to stand for all; None for all bins.
    n_folds : blocks for ``penalty="auto"``.
    confidence_level : of the intervals.
    rng : int, Generator or None, for what is drawn.
    progress : show a bar over units.

    Attributes
    ----------
    parameters_ : Dataset over ``unit``
        ``baseline_rate`` (Hz, without stimulus and past), ``refractory_period``,
        ``tau_recovery``, ``tau_adaptation`` (s), ``gain_recovery``, ``gain_adaptation`` (log gain
        at a spike), each with its interval; ``status``.
    filters_ : Dataset
        ``stimulus_filter (unit, feature, lag)``, ``history_filter (unit, lag)``,
        ``coupling_filter (unit, source, lag)``, log gains, each with its interval.
    weights_ : Dataset over (unit, term), weights of the columns with their standard errors.
    penalty_ : (unit,), penalties that were used.
    distribution_ : of the count of a bin that was used.

    Notes
    -----
    ``log rate = b + k * stimulus + own past + coupling``. With exponentials the own past is
    ``sum over own spikes of gain_recovery * exp(-age / tau_recovery) + gain_adaptation *
    exp(-age / tau_adaptation)``, and the rate is 0 within the dead time; intervals and stimulus
    are integrated in pieces of a bin that no spike cuts. Else counts of bins are a generalised
    linear model (Truccolo et al. 2005). A run begins as if nothing had come before.

    With ``forgetting`` the weights follow Eden et al. 2004 with an exponential window; the
    renewal correction is that of Pillow 2009, with a hazard free in 40 classes.

    References
    ----------
    Truccolo et al. 2005, J. Neurophysiol. 93:1074, doi:10.1152/jn.00697.2004;
    Pillow et al. 2008, Nature 454:995, doi:10.1038/nature07140;
    Eden et al. 2004, Neural Comput. 16:971, doi:10.1162/089976604773135069;
    Pillow 2009, NeurIPS 22 (conditional renewal models).

    Examples
    --------
    >>> from neurornn.simulate import simulate_spike_trains
    >>> rec = simulate_spike_trains(duration=100.0, rng=0)
    >>> glm = PointProcess(history=0.2).fit(rec)
    >>> bool(abs(glm.parameters_["refractory_period"][0] - 0.003) < 0.001)
    True
    """

    _quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            name="baseline_rate", units="Hz", dims=("unit",),
            long_name="rate without stimulus and past", method=f"maximum likelihood; {_WALD}",
        ),
        Quantity(
            name="refractory_period", units="s", dims=("unit",), long_name="dead time",
            method="shortest interval less what it took to see a spike; the integral of the rate "
            "in between is exponential",
        ),
        Quantity(
            name="tau_recovery", units="s", dims=("unit",),
            long_name="time constant of the recovery", method=f"{_EXPONENTIAL}; {_WALD}",
        ),
        Quantity(
            name="gain_recovery", units="1", dims=("unit",),
            long_name="log gain at a spike that recovers",
            method=f"{_EXPONENTIAL}; interval from the curvature of the likelihood",
        ),
        Quantity(
            name="tau_adaptation", units="s", dims=("unit",),
            long_name="time constant of the adaptation", method=f"{_EXPONENTIAL}; {_WALD}",
        ),
        Quantity(
            name="gain_adaptation", units="1", dims=("unit",),
            long_name="log gain at a spike that adapts",
            method=f"{_EXPONENTIAL}; interval from the curvature of the likelihood",
        ),
    )  # fmt: skip
    _tables: ClassVar[Mapping[str, str]] = {
        "parameters": "parameters_", "filters": "filters_", "weights": "weights_",
    }  # fmt: skip
    _kept: ClassVar[Mapping[str, str]] = {
        "features": "features_", "n_trial_bins": "n_trial_bins_", "duration": "duration_",
        "exact": "exact_", "distribution": "distribution_",
    }  # fmt: skip
    _papers: ClassVar[tuple[str, ...]] = ("truccolo_2005", "pillow_2008")
    _packages: ClassVar[tuple[str, ...]] = ("numpy", "scipy")

    def __init__(
        self,
        stimulus: str | None = None,
        *,
        history: float | None = 0.2,
        coupling: bool | Sequence[Any] = False,
        bin_size: float = 0.001,
        history_basis: str = "exponential",
        stimulus_duration: float = 0.2,
        coupling_duration: float = 0.1,
        n_stimulus: int = 10,
        n_history: int = 8,
        n_coupling: int = 4,
        n_trial_time: int = 0,
        distribution: str = "auto",
        penalty: float | str = 0.0,
        forgetting: float | str | None = None,
        renewal: bool = False,
        unit: Any = None,
        max_rows: int | None = None,
        n_folds: int = 5,
        confidence_level: float = 0.95,
        rng: RNG = 0,
        progress: bool = False,
    ) -> None:
        self.stimulus = stimulus
        self.history = history
        self.coupling = coupling
        self.bin_size = bin_size
        self.history_basis = history_basis
        self.stimulus_duration = stimulus_duration
        self.coupling_duration = coupling_duration
        self.n_stimulus = n_stimulus
        self.n_history = n_history
        self.n_coupling = n_coupling
        self.n_trial_time = n_trial_time
        self.distribution = distribution
        self.penalty = penalty
        self.forgetting = forgetting
        self.renewal = renewal
        self.unit = unit
        self.max_rows = max_rows
        self.n_folds = n_folds
        self.confidence_level = confidence_level
        self.rng = rng
        self.progress = progress

    def fit(self, X: Any, y: None = None, *, stimulus: Any = None) -> Self:
        """Fit every unit.

        Parameters
        ----------
        X : a recording with spikes, or whatever `neurornn.data.from_spikes` takes; or counts,
            (time, unit), (trial, time, unit), or a list of (time, unit), in bins of `bin_size`.
        y : not used.
        stimulus : (row,) or (row, feature), one row for each bin, in place of the variable that
            the setting names.

        Returns
        -------
        self

        Raises
        ------
        KindError, ShapeError, DataError, NameUnknownError, UnitError
            Spikes, counts, labels or a stimulus that do not fit; settings that exclude others.

        Warns
        -----
        ConvergenceWarning
            A unit whose climb did not end.
        """
        self._check_settings()
        bins, shown = self._take(X, stimulus, fitted=False)
        wanted = bins.positions(self.unit)
        self.distribution_ = self.distribution
        if self.distribution == "auto":
            alone = all(np.all(np.diff(bins.rows[k]) > 0) for k in wanted)
            self.distribution_ = "bernoulli" if alone and not self.max_rows else "poisson"
        settings = self._check_settings()
        sources = bins.positions(self.coupling, "coupling")
        self.sources_, self.units_ = bins.unit, bins.unit[wanted]
        keep_names(self, bins.unit if bins.units_named else None)
        self.n_features_in_ = len(bins.unit)
        self.duration_, self.exact_ = float(bins.duration), bool(bins.exact)
        self.n_trial_bins_ = int(np.bincount(bins.run).max()) if self.n_trial_time else 1
        self._shown = shown
        draw = generator(self.rng)
        shared: dict[str, Array] = {}
        fits: list[Fitted] = []
        with (
            one_thread(),
            progress_bar(len(wanted), 0, bool(self.progress), "units") as tick,
        ):
            for position in wanted:
                layout = self._layout(bins.unit, position, sources)
                fits.append(fit_unit(bins, position, layout, shown, settings, shared, draw))
                tick()
        labels = bins.unit[wanted]
        self.parameters_ = table_of_units(fits, labels, self._quantities, settings)
        self.filters_ = filters_of(
            fits, labels, bins.unit, self.features_, float(self.bin_size), settings
        )
        self.weights_ = weights_table(fits, labels, bins.unit)
        open_ends = [str(u) for u, f in zip(labels, fits, strict=True) if f.status ==
                     "not_converged"]  # fmt: skip
        if open_ends:
            warn_user(
                f"The fits of {len(open_ends)} units ({', '.join(open_ends[:5])}) did not come to "
                "rest. Pass a larger penalty, or fewer functions.",
                ConvergenceWarning,
            )
        return self

    def _check_settings(self) -> FitSettings:
        check_confidence_level(self.confidence_level)
        check_choice(self.history_basis, "history_basis", ("exponential", "raised_cosine"))
        check_choice(self.distribution, "distribution", ("auto", "poisson", "bernoulli"))
        history = None
        if self.history is not None:
            history = check_positive(self.history, "history", "s")
        exponential = history is not None and self.history_basis == "exponential"
        if exponential and history is not None:
            check_in_bins("history", history, 1, float(self.bin_size))
        drifts = self.forgetting is not None or bool(self.renewal)
        if isinstance(self.forgetting, str):
            check_choice(self.forgetting, "forgetting", ("auto",))
        elif self.forgetting is not None:
            window = check_positive(self.forgetting, "forgetting", "s")
            check_in_bins("forgetting", window, FEWEST_KEPT, float(self.bin_size))
        if exponential and (drifts or self.distribution == "bernoulli" or self.max_rows):
            what = (
                "forgetting" if self.forgetting is not None else "renewal" if self.renewal
                else "max_rows" if self.max_rows else "distribution='bernoulli'"
            )  # fmt: skip
            raise DataError(
                f"{what} came with a history in exponentials",
                "A history in bins was needed, or none",
                "Pass history_basis='raised_cosine'",
            )
        if self.max_rows and (drifts or self.distribution == "bernoulli"):
            raise DataError(
                "max_rows came with forgetting, renewal or distribution='bernoulli'",
                "All bins are needed for those", "Leave max_rows out",
            )  # fmt: skip
        penalty: float | None = None
        if isinstance(self.penalty, str):
            check_choice(self.penalty, "penalty", ("auto",))
        else:
            penalty = check_number(self.penalty, "penalty", least=0)
        return FitSettings(
            bin_size=float(self.bin_size), history=history, exponential=exponential,
            bernoulli=self._one, penalty=penalty,
            forgetting=self.forgetting, renewal=bool(self.renewal),
            max_rows=None if self.max_rows is None else check_count(self.max_rows, "max_rows"),
            n_folds=check_count(self.n_folds, "n_folds", 2),
            confidence_level=float(self.confidence_level),
        )  # fmt: skip

    def _layout(self, units: NDArray[Any], position: int, sources: list[int]) -> Layout:
        free = self.history is not None and self.history_basis == "raised_cosine"
        return lay_out(
            bin_size=float(self.bin_size),
            features=list(self.features_),
            stimulus_duration=check_positive(self.stimulus_duration, "stimulus_duration", "s"),
            n_stimulus=check_count(self.n_stimulus, "n_stimulus"),
            n_trial=check_count(self.n_trial_time, "n_trial_time", 0),
            n_trial_bins=self.n_trial_bins_,
            sources=[(j, str(units[j])) for j in sources if j != position],
            coupling_duration=check_positive(self.coupling_duration, "coupling_duration", "s"),
            n_coupling=check_count(self.n_coupling, "n_coupling"),
            own=(position, str(units[position])) if free else None,
            history=float(self.history or 0.0),
            n_history=check_count(self.n_history, "n_history"),
        )

    def _design(
        self, bins: BinnedSpikes, shown: Array | None, k: int
    ) -> tuple[Design, int, Array]:
        """Design, position and weights of fitted unit k."""
        position = self._positions(bins)[k]
        sources = bins.positions(self.coupling, "coupling")
        layout = self._layout(bins.unit, position, sources)
        weights = self.weights_["weight"].values[k]
        return Design(layout, bins, shown), position, weights[: layout.n_columns]

    @property
    def penalty_(self) -> xr.DataArray:
        """Penalty of each unit, (unit,)."""
        check_is_fitted(self, "weights_")
        return self.weights_["penalty"]

    def _exponential(self, k: int, weights: Array) -> ExponentialFit | None:
        """What a spike of fitted unit k leaves, where that is two exponentials."""
        if self.history is None or self.history_basis != "exponential":
            return None
        kept = self.weights_.isel(unit=k)
        moved = weights.copy()
        moved[0] -= np.log(self.bin_size)
        return ExponentialFit(
            moved, kept["past_gain"].values, kept["past_tau"].values, np.empty((0, 0)),
            float(kept["dead_time"]), (0.0, 0.0), 0.0, True, np.zeros(2, dtype=bool),
            longest_piece(self.history),
        )  # fmt: skip

    def _mean_counts(self, bins: BinnedSpikes, shown: Array | None, k: int) -> Array:
        design, position, weights = self._design(bins, shown, k)
        past = self._exponential(k, weights)
        if past is not None:
            return predictable_counts(design, bins, position, past)
        mean = self._hazard(design, bins, position, k, weights)
        return -np.expm1(-mean) if self._one else mean

    def _hazard(
        self, design: Design, bins: BinnedSpikes, position: int, k: int, weights: Array
    ) -> Array:
        if self.forgetting is None and not self.renewal:
            return np.asarray(np.exp(np.minimum(design.times(weights), 50.0)))
        return followed(
            design, bins.counts(position), weights, drift_state(self.weights_, k),
            self._check_settings(), bins.usable(position),
        )[0]  # fmt: skip

    def _log_likelihood(self, bins: BinnedSpikes, shown: Array | None, k: int) -> float:
        design, position, weights = self._design(bins, shown, k)
        past = self._exponential(k, weights)
        if past is not None:
            return continuous_log_likelihood(design, bins, position, past)
        y = bins.counts(position)
        usable = bins.usable(position)
        bernoulli = self._one
        if self.forgetting is None and not self.renewal and usable.all():
            return log_likelihood_at(design, y, weights, bernoulli)
        level = np.log(np.maximum(self._hazard(design, bins, position, k, weights), 1e-300))
        return float(per_row(y, level, bernoulli)[0][usable].sum())

    def _constant(self, n_spikes: int, n_rows: int) -> float:
        if self.history is not None and self.history_basis == "exponential":
            return n_spikes * np.log(n_spikes / (n_rows * self.bin_size)) - n_spikes
        return super()._constant(n_spikes, n_rows)

    def _rescaled(
        self, bins: BinnedSpikes, shown: Array | None, k: int, rng: np.random.Generator
    ) -> Array:
        design, position, weights = self._design(bins, shown, k)
        past = self._exponential(k, weights)
        if past is not None:
            return rescaled_intervals(design, bins, position, past)
        mean = self._hazard(design, bins, position, k, weights)
        mean = np.where(bins.usable(position), mean, 0.0)
        return stretched_intervals(mean, bins.rows[position], bernoulli=self._one, rng=rng)

    def simulate(
        self, duration: float | None = None, *, stimulus: Any = None, rng: RNG = None
    ) -> xr.Dataset:
        """Draw spikes from the fitted model.

        Parameters
        ----------
        duration : s; by default that of the fit, or of the stimulus.
        stimulus : (row,) or (row, feature), one row for each bin; by default, until the model is
            saved, that of the fit.
        rng : int, Generator or None.

        Returns
        -------
        Dataset
            A recording with spikes of the units that were fitted. Filters from units that were
            not fitted stay without effect. With exponentials spikes fall in exact time, else
            anywhere in their bin.

        Raises
        ------
        NotFittedError, ShapeError, DataError
            No stimulus for a model that needs one; spikes that feed themselves without end.
        """
        check_is_fitted(self, "parameters_")
        return simulate_from(self, duration, stimulus, rng)

    def _report_table(self) -> Table:
        n = self.sizes()
        head = [
            f"{n['units']} of {n['sources']} units, {format_number(self.duration_)} s in bins of "
            f"{format_number(self.bin_size)} s; past: {self._past_said()}"
        ]
        return parameters_table(self.parameters_, "Point process", head=head)

    def sizes(self) -> dict[str, int]:
        """Numbers of units fitted, of units that came, and of features of the stimulus."""
        check_is_fitted(self, "parameters_")
        return {
            "units": len(self.units_), "sources": len(self.sources_),
            "features": len(self.features_),
        }  # fmt: skip

    def _past_said(self) -> str:
        if self.history is None:
            return "none (Poisson)"
        if self.history_basis == "exponential":
            return "dead time and two exponentials"
        return f"{self.n_history} raised cosines over {format_number(self.history)} s"

    def _methods_sentence(self) -> str:
        parts = ["a constant rate"]
        if self.features_:
            parts.append(f"a stimulus filter over {format_number(self.stimulus_duration)} s")
        if self.coupling is not False:
            parts.append("filters from other units")
        said = f"The spikes of {len(self.units_)} units were modelled as point processes"
        said += f" in bins of {format_number(self.bin_size)} s with {', '.join(parts)}"
        said += f"; own past: {self._past_said()}"
        if self.forgetting is not None:
            said += "; weights went on learning, with an exponential window"
        if self.renewal:
            said += "; the hazard of rescaled intervals was left free"
        return said

    def _papers_used(self) -> list[str]:
        found = list(self._papers)
        found += ["eden_2004"] if self.forgetting is not None else []
        return found + (["pillow_2009"] if self.renewal else [])

    def _after_load(self, content: SavedContent) -> None:
        self.units_ = self.parameters_["unit"].values
        self.sources_ = self.weights_["source"].values
        self.features_ = [str(f) for f in np.atleast_1d(self.features_)]
        self.n_features_in_ = len(self.sources_)
        self._shown = None
