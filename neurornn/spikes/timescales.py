"""Intrinsic time constants of spiking: how long a rate remembers, in s."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import (
    check_choice,
    check_confidence_level,
    check_count,
    check_number,
)
from neurornn._core.confidence import to_dataset
from neurornn._core.errors import DataError
from neurornn._core.jobs import one_thread, run_chunks
from neurornn._core.quantities import Quantity
from neurornn._core.report import Table, parameters_table
from neurornn._core.rng import RNG, generator
from neurornn._core.units import format_number
from neurornn.io.saved import SavedContent
from neurornn.io.shell import Estimator
from neurornn.spikes.population import take_population
from neurornn.spikes.timescale_fit import REMEDIES
from neurornn.spikes.timescale_records import fit_counts, fit_units

Array = NDArray[np.float64]

_HOW = (
    "maximum likelihood of counts that are Poisson given a latent Ornstein-Uhlenbeck process; "
    "profile likelihood"
)
_WHY = "no time constant was found, or the data do not bound it on one side"
_UNITS_AT_ONCE = 8
_OF_EACH = ("tau", "tau_ci", "amplitude", "amplitude_ci", "frequency", "frequency_ci")


class Timescales(Estimator):
    """Intrinsic time constants of units or of a population, with the link and the noise undone.

    Parameters
    ----------
    n_timescales : time constants of each unit or population; ``"auto"`` chooses.
    pooled : units share their time constants, and what happens to one happens to all; else each
        unit is fitted alone.
    oscillation : one pair of latents more, which turn at a frequency.
    refractory_period : s, dead time after each spike, in which its unit cannot fire, as
        `PointProcess` estimates it. Bins must not be shorter.
    bin_size : s, in which spike times are counted; None takes that of the counts.

    Other Parameters
    ----------------
    max_timescales : most that ``"auto"`` chooses.
    confidence_level : of the intervals.
    n_jobs : processes for units.
    rng : int, Generator or None: draws of the test against counts without dynamics.
    progress : show a bar.

    Attributes
    ----------
    parameters_ : Dataset
        ``tau`` (s) and ``amplitude``, sd of the log rate, each with its interval, over ``unit``,
        or over ``timescale`` where pooled, from short to long; ``naive_tau`` (s), what an
        exponential fitted to the autocorrelation of the counts says; ``chance`` of as much
        without dynamics; ``status``; ``covariance`` of tau.
    autocorrelation_ : Dataset over ``lag`` (s)
        Covariance of log rates that the counts show, ``log_covariance`` with its interval, that
        of the fit, ``fitted``, and ``naive``.
    loadings_ : Dataset
        ``loading (unit, timescale)``, sd of each unit's log rate that comes from a latent.
    choice_ : Dataset over ``n_timescales``
        ``bic`` and ``weight``, how sure the choice is; empty unless it was made.

    Notes
    -----
    Counts are Poisson; their log rate is a constant plus latents that forget exponentially. For
    one time constant the likelihood is exact: it is summed over a grid of the latent's values. For
    more it is a Gaussian variational bound. Both undo what makes time constants from the
    autocorrelation of counts too short: the link, the noise of spiking, and the mean that short
    trials take away. Counts are those of bins in which the latent moves; counts that were
    simulated with one rate for each bin are recognised where that matters. With more than one time
    constant, or an oscillation, each bin has one rate: let bins be short against the fastest.

    With a dead time, counts are Poisson over the time in which the unit could fire: of each bin,
    what its spikes and those of the bin before leave. Without it, units that fire fast look
    steadier than they are: amplitudes come out too small, time constants too long.

    With trials, a rate that follows the time in the trial is told from one of the network's own:
    it is taken as known, and what is left must vary beyond it.

    Where the tests find a latent in single units and none that they share, a pooled fit is of
    units with latents of their own and one time constant.

    References
    ----------
    Kitagawa 1987, doi:10.1080/01621459.1987.10478534 (sums over a grid); Murray et al. 2014,
    doi:10.1038/nn.3862 (intrinsic time scales); Buesing, Macke & Sahani 2012 (converted moments).

    Examples
    --------
    >>> from neurornn.simulate import simulate_latent_population
    >>> rec = simulate_latent_population(20, 60.0, tau=0.1, rng=0)
    >>> fit = Timescales(pooled=True).fit(rec["counts"])
    >>> low, high = fit.parameters_["tau_ci"].values[0]
    >>> bool(low < 0.1 < high)
    True
    """

    _quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            name="tau", units="s", dims=("unit",), long_name="intrinsic time constant",
            method=_HOW, reason=_WHY,
        ),
        Quantity(
            name="amplitude", units="1", dims=("unit",), long_name="sd of the log rate",
            method="maximum likelihood; curvature, log scale", reason=_WHY,
        ),
        Quantity(
            name="frequency", units="Hz", dims=("unit",), long_name="frequency of the oscillation",
            method="Gaussian variational bound; curvature", reason="this latent does not turn",
        ),
        Quantity(
            name="naive_tau", units="s", dims=("unit",),
            long_name="time constant of the autocorrelation of counts",
            method="exponential fitted from the first lag on; median over units where pooled",
            reason="it has no interval that could be trusted",
        ),
        Quantity(
            name="chance", units="1", dims=("unit",), long_name="chance of as much by chance",
            method="covariances over time against those of counts without dynamics",
            reason="a probability has no interval",
        ),
    )  # fmt: skip
    _tables: ClassVar[Mapping[str, str]] = {
        "parameters": "parameters_", "autocorrelation": "autocorrelation_",
        "loadings": "loadings_", "choice": "choice_",
    }  # fmt: skip
    _kept: ClassVar[Mapping[str, str]] = {
        "duration": "duration_", "fitted_bin_size": "fitted_bin_size_", "n_units": "n_units_",
    }  # fmt: skip
    _papers: ClassVar[tuple[str, ...]] = ("kitagawa_1987", "murray_2014", "buesing_2012")
    _packages: ClassVar[tuple[str, ...]] = ("numpy", "scipy", "numba")

    def __init__(
        self,
        n_timescales: int | str = 1,
        *,
        pooled: bool = False,
        oscillation: bool = False,
        refractory_period: float = 0.0,
        bin_size: float | None = None,
        max_timescales: int = 3,
        confidence_level: float = 0.95,
        n_jobs: int = 1,
        rng: RNG = 0,
        progress: bool = False,
    ) -> None:
        self.n_timescales = n_timescales
        self.pooled = pooled
        self.oscillation = oscillation
        self.refractory_period = refractory_period
        self.bin_size = bin_size
        self.max_timescales = max_timescales
        self.confidence_level = confidence_level
        self.n_jobs = n_jobs
        self.rng = rng
        self.progress = progress

    def fit(self, X: Any, y: None = None) -> Self:
        """Fit every unit, or all together.

        Parameters
        ----------
        X : counts, DataArray (time, unit) or (trial, time, unit) with ``bin_size`` (s) in its
            attrs, arrays of these shapes, or a list of (time, unit) for trials of any lengths; or
            a recording or spike trains, counted in bins of the setting `bin_size`. NaN was not
            observed.
        y : not used.

        Returns
        -------
        self

        Raises
        ------
        KindError, ShapeError, DataError, UnitError
            What is no counts, or has no bin size, or two; a dead time longer than a bin, or than
            the spikes allow.
        """
        level = check_confidence_level(self.confidence_level)
        most = check_count(self.max_timescales, "max_timescales")
        if isinstance(self.n_timescales, str):
            check_choice(self.n_timescales, "n_timescales", ("auto",))
            numbers = list(range(1, most + 1))
        else:
            numbers = [check_count(self.n_timescales, "n_timescales")]
        given = X if self.pooled else _UnitChunks(X, self.bin_size)
        first = take_population(X, self.bin_size) if self.pooled else given.first
        (first if self.pooled else first._replace(unit=given.unit)).name(self)
        self.n_units_ = len(self.units_)
        self.duration_ = float(first.samples.n_rows * first.bin_size)
        dead = self._dead_time(first.bin_size)
        seed = int(generator(self.rng).integers(2**31))
        shared = (first.edges, first.bin_size, numbers, bool(self.oscillation), level, dead, seed)
        if self.pooled:
            with one_thread():
                parts = [fit_counts(first.counts, *shared)]
        else:
            parts = run_chunks(
                fit_units, given, shared=shared, n_jobs=self.n_jobs, progress=self.progress,
                label="units",
            )  # fmt: skip
        found = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
        self._tell(found, level)
        return self

    def _dead_time(self, bin_size: float) -> float:
        """Refractory time, s, no longer than a bin."""
        dead = check_number(self.refractory_period, "refractory_period", least=0.0)
        if dead > bin_size * (1 + 1e-9):
            raise DataError(
                f"refractory_period is {dead:g} s, and bins are of {bin_size:g} s",
                "A dead time no longer than a bin, in s, was needed",
                f"Count in bins of {dead:g} s or more, or give refractory_period in s, not ms",
            )
        return dead

    def _tell(self, found: dict[str, Array], level: float) -> None:
        """Make the tables of what was found, (fit, ...)."""
        if self.pooled:
            n = max(int(np.isfinite(found["tau"][0]).sum()), 1)
            found["loading"] = found["loading"][:, :, :n]
            for name in _OF_EACH:
                found[name] = found[name][:, :n]
        several = found["tau"].shape[1] > 1
        lead: tuple[str, ...] = () if self.pooled else ("unit",)
        each = (*lead, "timescale") if self.pooled or several else lead

        def shaped(values: Array, *, per_timescale: bool = True) -> Array:
            out = values[0] if self.pooled else values
            if per_timescale and "timescale" not in each:
                out = out[:, 0]
            return np.asarray(out)

        of = self.quantity
        estimates = [
            of("tau").of(shaped(found["tau"]), shaped(found["tau_ci"]), dims=each),
            of("amplitude").of(
                shaped(found["amplitude"]), shaped(found["amplitude_ci"]), dims=each
            ),
        ]  # fmt: skip
        if self.oscillation:
            estimates.append(
                of("frequency").of(
                    shaped(found["frequency"]), shaped(found["frequency_ci"]), dims=each
                )
            )
        estimates += [
            of("naive_tau").of(shaped(found["naive_tau"], per_timescale=False), dims=lead),
            of("chance").of(shaped(found["chance"], per_timescale=False), dims=lead),
        ]
        coords: dict[Any, Any] = {}
        if not self.pooled:
            coords["unit"] = self.units_
        if "timescale" in each:
            coords["timescale"] = np.arange(found["tau"].shape[1])
        n = found["tau"].shape[1]
        names = [f"tau[{k}]" for k in range(n)] if several else ["tau"]
        covariance = shaped(found["covariance"][:, :n, :n], per_timescale=False)
        self.parameters_ = to_dataset(
            estimates, confidence_level=level, coords=coords,
            status=shaped(found["status"], per_timescale=False), status_dims=lead,
            remedies=REMEDIES, covariance=covariance,
            covariance_names=names, covariance_dims=lead,
        )  # fmt: skip
        self.loadings_ = xr.Dataset(
            {"loading": (("unit", "timescale"), found["loading"].reshape(self.n_units_, -1),
                         {"units": "1", "long_name": "sd of the log rate from each latent"})},
            {"unit": self.units_, "timescale": np.arange(found["tau"].shape[1])},
        )  # fmt: skip
        lags = found["lag"][0]
        curve = (*lead, "lag")
        about = {"units": "1"}
        self.autocorrelation_ = xr.Dataset(
            {
                "log_covariance": (curve, shaped(found["log_covariance"], per_timescale=False),
                                   about | {"long_name": "covariance of log rates"}),
                "log_covariance_ci": ((*curve, "ci_bound"),
                                      shaped(found["log_covariance_ci"], per_timescale=False),
                                      about | {"ci_prob": level}),
                "fitted": (curve, shaped(found["fitted"], per_timescale=False),
                           about | {"long_name": "fit"}),
                "naive": (curve, shaped(found["naive"], per_timescale=False),
                          about | {"long_name": "exponential of the autocorrelation of counts"}),
            },
            {"lag": ("lag", lags, {"units": "s", "long_name": "lag"}),
             "ci_bound": ["lower", "upper"]} | ({} if self.pooled else {"unit": self.units_}),
        )  # fmt: skip
        numbers = np.arange(1, found["bic"].shape[1] + 1)
        self.choice_ = xr.Dataset(
            {
                "bic": ((*lead, "n_timescales"), shaped(found["bic"], per_timescale=False),
                        {"units": "nats", "long_name": "minus the log-likelihood, and its price"}),
                "weight": ((*lead, "n_timescales"), shaped(found["weight"], per_timescale=False),
                           {"units": "1", "long_name": "weight of the choice"}),
            },
            {"n_timescales": numbers} | ({} if self.pooled else {"unit": self.units_}),
        )  # fmt: skip

    def _report_table(self) -> Table:
        what = "all together" if self.pooled else "each alone"
        head = [
            f"{self.n_units_} units, {what}; {format_number(self.duration_)} s in bins of "
            f"{format_number(self.fitted_bin_size_)} s"
        ]
        table = self.parameters_
        if self.pooled and np.isfinite(table["naive_tau"]) and np.isfinite(table["tau"]).all():
            head.append(
                "The autocorrelation of the counts would say "
                f"{format_number(float(table['naive_tau']))} s"
            )
        if isinstance(self.n_timescales, str) and self.pooled:
            weight = self.choice_["weight"].values
            n = int(np.nanargmax(weight)) + 1 if np.isfinite(weight).any() else 0
            if n:
                head.append(
                    f"{n} time constant{'s' if n > 1 else ''} chosen, weight {weight[n - 1]:.2f}"
                )
        return parameters_table(table, "Intrinsic time constants", head=head)

    def _methods_sentence(self) -> str:
        what = "shared by" if self.pooled else "of each of"
        return (
            f"Intrinsic time constants {what} {self.n_units_} units were estimated by maximum "
            f"likelihood of spike counts in bins of {self.fitted_bin_size_:g} s, "
            "Poisson given latent Ornstein-Uhlenbeck processes behind an exponential link"
            + (f", with a dead time of {dead:g} s" if (dead := self.refractory_period) else "")
        )

    def _after_load(self, content: SavedContent) -> None:
        self.units_ = self.loadings_["unit"].values
        self.n_features_in_ = len(self.units_)


class _UnitChunks(Sequence[Any]):
    """Counts of a few units at a time, made when they are asked for."""

    def __init__(self, X: Any, bin_size: float | None) -> None:
        sliced = isinstance(X, np.ndarray) and X.ndim >= 2
        if isinstance(X, xr.DataArray):
            sliced = X.dims[-1] == "unit" and X.ndim >= 2
        self._sliced, self._bin_size = sliced, bin_size
        if sliced:
            self._given: Any = X
            n = int(X.shape[-1])
            named = isinstance(X, xr.DataArray) and "unit" in X.coords
            # Units that were not observed at all are no counts by themselves.
            part = X[..., :_UNITS_AT_ONCE]
            self.first = take_population(X if _all_missing(part) else part, bin_size)
            self.unit = X["unit"].values if named else np.arange(n)
        else:
            self.first = self._given = take_population(X, bin_size)
            self.unit = self.first.unit
            n = len(self.unit)
        self._starts = list(range(0, n, _UNITS_AT_ONCE))

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, k: Any) -> Any:
        a = self._starts[k]
        if self._sliced:
            part = self._given[..., a : a + _UNITS_AT_ONCE]
            counts = np.full((self.first.samples.n_rows, part.shape[-1]), np.nan)
            if not _all_missing(part):
                counts = take_population(part, self._bin_size).counts
        else:
            counts = self._given.counts[:, a : a + _UNITS_AT_ONCE]
        return np.ascontiguousarray(counts), a


def _all_missing(values: Any) -> bool:
    """Whether numbers are all NaN."""
    numbers = np.asarray(values)
    return numbers.dtype.kind == "f" and numbers.size > 0 and bool(np.isnan(numbers).all())
