"""Linear latent dynamics behind the counts of a population, in s and Hz."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_choice, check_confidence_level, check_count
from neurornn._core.confidence import delta_interval, to_dataset
from neurornn._core.errors import DataError
from neurornn._core.jobs import one_thread, progress_bar
from neurornn._core.quantities import Quantity
from neurornn._core.report import Table, parameters_table
from neurornn._core.status import Status
from neurornn._core.units import format_number
from neurornn.data.samples import parts_in_order
from neurornn.io.saved import SavedContent
from neurornn.spikes.account import bits_per_spike
from neurornn.spikes.linear_latents import LinearLatents, LinearTop, start_of
from neurornn.spikes.population import Population, PopulationAccount, take_population
from neurornn.spikes.timescale_fit import NO_TOP, REMEDIES, TOO_SLOW, TOO_WEAK, VAGUE

Array = NDArray[np.float64]

_HOW = "Gaussian variational bound of the likelihood; curvature"
#: Longest time constant, in lengths of the longest run.
_SLOWEST = 20.0
#: Of the trials, or of the time, held out to choose the number of latents.
_HELD_OUT = 0.2
#: One unit in so many is hidden where the held-out counts are predicted.
_HIDDEN = 5
#: Steps of a climb that only serves the choice.
_FEW_STEPS = 40
#: Fewest spikes of a unit that is fitted.
_FEWEST = 10
#: Log of the spikes expected in a bin.
_LARGEST = 60.0


class PoissonDynamics(PopulationAccount):
    """Linear dynamics of latent variables behind Poisson counts: the linear account.

    Parameters
    ----------
    n_latent : latents; ``"auto"`` chooses by counts of hidden units that are held out.
    rotations : latents may turn into one another, which makes modes with a frequency; else each
        has a time constant of its own.
    bin_size : s, in which spike times are counted; None takes that of the counts.

    Other Parameters
    ----------------
    max_latent : most latents that ``"auto"`` tries.
    max_steps : of the climb.
    confidence_level : of the intervals.
    intervals : form intervals; they take about as long as the fit.
    progress : show a bar.

    Attributes
    ----------
    parameters_ : Dataset over ``mode``
        ``tau`` (s) and ``frequency`` (Hz), each with its interval, from slow to fast; ``status``.
    loadings_ : Dataset
        ``loading (unit, latent)``, change of the log rate per sd of a latent; ``rate (unit)``, Hz;
        ``highest_rate (unit)``, Hz, of the fullest bin: rates beyond it, and beyond those of the
        counts that are given, are held down to it.
    dynamics_ : Dataset
        ``drift (latent, latent_)``, 1/s: ``dz = -drift z dt + noise``, with covariance 1.
    choice_ : Dataset over ``n_latent``
        ``held_out_bits``, bits per spike of hidden units; empty unless a choice was made.

    Notes
    -----
    The latents are stationary with covariance 1, and the log rate is a constant plus their
    weighted sum, one for each bin: let bins be short against the fastest mode. The drift is a
    diagonal, one over time constants, plus a skew-symmetric part; every stationary process of so
    many first-order modes has that form. What counts tell of the latents is taken as Gaussian, the
    one that brings the bound closest to the likelihood, which is then climbed in all parameters at
    once.

    References
    ----------
    Macke et al. 2011, NeurIPS 24; Opper & Archambeau 2009, doi:10.1162/neco.2008.08-07-592;
    Buesing, Macke & Sahani 2012, NeurIPS 25 (where the climb begins).

    Examples
    --------
    >>> from neurornn.simulate import simulate_latent_population
    >>> rec = simulate_latent_population(20, 60.0, tau=[0.05, 0.4], rng=0)
    >>> lds = PoissonDynamics(n_latent=2, rotations=False).fit(rec["counts"])
    >>> lds.rates(rec["counts"]).dims
    ('time', 'unit')
    """

    _quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            name="tau", units="s", dims=("mode",), long_name="time constant of a mode",
            method=f"{_HOW}, log scale", reason="the bound is not curved on all sides",
        ),
        Quantity(
            name="frequency", units="Hz", dims=("mode",), long_name="frequency of a mode",
            method=_HOW, reason="this mode does not turn",
        ),
    )  # fmt: skip
    _tables: ClassVar[Mapping[str, str]] = {
        "parameters": "parameters_", "loadings": "loadings_", "dynamics": "dynamics_",
        "choice": "choice_",
    }  # fmt: skip
    _kept: ClassVar[Mapping[str, str]] = {
        "duration": "duration_", "fitted_bin_size": "fitted_bin_size_", "bound": "bound_",
    }  # fmt: skip
    _papers: ClassVar[tuple[str, ...]] = ("macke_2011", "opper_2009", "buesing_2012")
    _packages: ClassVar[tuple[str, ...]] = ("numpy", "scipy", "numba")

    def __init__(
        self,
        n_latent: int | str = 3,
        *,
        rotations: bool = True,
        bin_size: float | None = None,
        max_latent: int = 8,
        max_steps: int = 200,
        confidence_level: float = 0.95,
        intervals: bool = True,
        progress: bool = False,
    ) -> None:
        self.n_latent = n_latent
        self.rotations = rotations
        self.bin_size = bin_size
        self.max_latent = max_latent
        self.max_steps = max_steps
        self.confidence_level = confidence_level
        self.intervals = intervals
        self.progress = progress

    def fit(self, X: Any, y: None = None) -> Self:
        """Fit dynamics and loadings.

        Parameters
        ----------
        X : counts, DataArray (time, unit) or (trial, time, unit) with ``bin_size`` (s) in its
            attrs, arrays of these shapes, or a list of (time, unit) for trials of any lengths; or
            a recording or spike trains, counted in bins of the setting `bin_size`.
        y : not used.

        Returns
        -------
        self

        Raises
        ------
        KindError, ShapeError, DataError, UnitError
            What is no counts, has no bin size or two, or no more units that fire than latents.
        """
        level = check_confidence_level(self.confidence_level)
        most = check_count(self.max_latent, "max_latent")
        steps = check_count(self.max_steps, "max_steps")
        if isinstance(self.n_latent, str):
            check_choice(self.n_latent, "n_latent", ("auto",))
        population = take_population(X, self.bin_size)
        counts = population.counts
        active = np.nansum(counts, axis=0) >= _FEWEST
        n_needed = 1 if isinstance(self.n_latent, str) else check_count(self.n_latent, "n_latent")
        if active.sum() < n_needed:
            raise DataError(
                f"{int(active.sum())} of {len(active)} units fired {_FEWEST} spikes",
                f"At least as many as latents, {n_needed}, were needed",
                "Ask for fewer latents, or record for longer",
            )
        population.name(self)
        self.duration_ = float(len(counts) * population.bin_size)
        edges = population.edges
        with one_thread():
            n = self._choose(population, active, min(most, int(active.sum())), n_needed)
            with progress_bar(steps, 0, self.progress, "climb") as tick:
                model, top = self._climb(counts[:, active], edges, n, steps, lambda _: tick())
            covariance = None
            if self.intervals:
                wanted = np.eye(model.n_dynamics, len(top.vector))
                covariance = model.covariance_of(top, wanted)
        self.bound_ = float(top.bound)
        self._tell(model, top, covariance, active, edges, level)
        about = {"units": "Hz", "long_name": "spikes of the fullest bin over its width"}
        highest = fullest(counts) / self.fitted_bin_size_
        self.loadings_["highest_rate"] = ("unit", highest, about)
        return self

    def _climb(
        self, counts: Array, edges: NDArray[np.int64], n: int, steps: int, progress: Any = None
    ) -> tuple[LinearLatents, LinearTop]:
        dt = self.fitted_bin_size_
        model = LinearLatents(counts, edges, dt, n, rotations=bool(self.rotations))
        tau, level, loading = start_of(counts, edges, dt, n)
        # Not at 0, where the slope of a rotation may vanish.
        turns = 0.05 / tau.max() * (1 + np.arange(len(model.pairs)) % 3)
        top = model.climb(
            np.concatenate([-np.log(tau), turns]), level, loading,
            slowest=_SLOWEST * float(np.diff(edges).max()) * dt, max_steps=steps,
            progress=progress,
        )  # fmt: skip
        return model, top

    def _choose(
        self, population: Population, active: NDArray[np.bool_], most: int, n_needed: int
    ) -> int:
        """Number of latents, by counts of hidden units in what was held out."""
        if not isinstance(self.n_latent, str):
            self.choice_ = xr.Dataset(
                {"held_out_bits": ("n_latent", np.full(1, np.nan), {"units": "bits"})},
                {"n_latent": [n_needed]},
            )
            return n_needed
        n_active = int(active.sum())
        if n_active < 2:
            raise DataError(
                "n_latent is 'auto', and one unit fires",
                "At least two were needed: hidden units are what the number is chosen by",
                "Pass a number, such as n_latent=1",
            )
        train, held = _split(population)
        # One of so many, or the last one of few.
        hidden = np.arange(n_active) % _HIDDEN == min(_HIDDEN, n_active) - 1
        bits = np.full(most, np.nan)
        dt = self.fitted_bin_size_
        for n in range(1, most + 1):
            model, top = self._climb(train.counts[:, active], train.edges, n, _FEW_STEPS)
            truth = held.counts[:, active]
            seen = np.where(hidden, np.nan, truth)
            rates, _ = infer(
                seen, held.edges, dt, top.level, top.loading, model.drift(top.dynamics)
            )
            rates = np.minimum(rates, fullest(train.counts[:, active]) / dt)
            bits[n - 1] = bits_per_spike(rates[:, hidden] * dt, truth[:, hidden])
            # Two more that bring nothing, and the rest will not either.
            if n >= 3 and np.nanmax(bits[: n - 2]) >= np.nanmax(bits[n - 2 : n]):
                break
        self.choice_ = xr.Dataset(
            {"held_out_bits": ("n_latent", bits, {"units": "bits", "long_name": "bits per spike "
                                                  "of hidden units that were held out"})},
            {"n_latent": np.arange(1, most + 1)},
        )  # fmt: skip
        return int(np.nanargmax(bits)) + 1

    def _tell(
        self, model: LinearLatents, top: LinearTop, covariance: Array | None,
        active: NDArray[np.bool_], edges: NDArray[np.int64], level: float,
    ) -> None:  # fmt: skip
        n, k = model.n, model.n_dynamics
        tau, frequency = modes_of(model.drift(top.dynamics))
        tau_ci, frequency_ci = np.full((n, 2), np.nan), np.full((n, 2), np.nan)
        good = covariance is not None and bool(
            np.isfinite(covariance).all() and (np.diag(covariance) > 0).all()
        )
        whole = np.full((n, n), np.nan)
        if good and covariance is not None:
            slope = np.empty((2, n, k))
            for m in range(k):
                h = 1e-4 * model.size_of(top.dynamics, m)
                step = np.zeros(k)
                step[m] = h
                up, down = (modes_of(model.drift(top.dynamics + a * step)) for a in (1, -1))
                slope[0, :, m] = (np.log(up[0]) - np.log(down[0])) / (2 * h)
                slope[1, :, m] = (up[1] - down[1]) / (2 * h)
            whole = slope[0] @ covariance @ slope[0].T * np.outer(tau, tau)
            errors = [np.sqrt(np.maximum(np.diag(s @ covariance @ s.T), 0.0)) for s in slope]
            tau_ci = delta_interval(tau, tau * errors[0], level, log=True)
            turns = frequency > 0
            frequency_ci[turns] = delta_interval(frequency, errors[1], level)[turns]
        slowest = _SLOWEST * float(np.diff(edges).max()) * model.dt
        fine = top.done and (good or not self.intervals)
        code = str(Status.OK if fine else NO_TOP)
        with np.errstate(invalid="ignore"):
            vague = tau_ci[:, 1] > VAGUE * tau_ci[:, 0]
        tau_ci[vague], frequency_ci[vague] = np.nan, np.nan
        status = [
            TOO_SLOW if t > 0.98 * slowest
            else TOO_WEAK if v and code == Status.OK else code
            for t, v in zip(tau, vague, strict=True)
        ]  # fmt: skip
        dt = self.fitted_bin_size_
        self.parameters_ = to_dataset(
            [
                self.quantity("tau").of(tau, tau_ci),
                self.quantity("frequency").of(frequency, frequency_ci),
            ],
            confidence_level=level, coords={"mode": np.arange(n)}, status=status,
            status_dims=("mode",), remedies=REMEDIES, covariance=whole,
            covariance_names=[f"tau[{m}]" for m in range(n)],
        )  # fmt: skip
        loading, rate = np.zeros((len(active), n)), np.full(len(active), np.nan)
        loading[active] = top.loading
        rate[active] = np.exp(top.level) / dt
        # Half a spike in all, of a unit that all but did not fire.
        rate[~active] = 0.5 / self.duration_
        self.loadings_ = xr.Dataset(
            {
                "loading": (("unit", "latent"), loading,
                            {"units": "1", "long_name": "log rate per sd of a latent"}),
                "rate": ("unit", rate, {"units": "Hz", "long_name": "mean rate"}),
            },
            {"unit": self.units_, "latent": np.arange(n)},
        )  # fmt: skip
        self.dynamics_ = xr.Dataset(
            {"drift": (("latent", "latent_"), model.drift(top.dynamics),
                       {"units": "1/s", "long_name": "dz = -drift z dt + noise"})},
            {"latent": np.arange(n), "latent_": np.arange(n)},
        )  # fmt: skip

    def _infer(self, population: Population) -> tuple[Array, Array]:
        dt = self.fitted_bin_size_
        level = np.log(self.loadings_["rate"].values * dt)
        rates, latents = infer(
            population.counts, population.edges, dt, level, self.loadings_["loading"].values,
            self.dynamics_["drift"].values,
        )  # fmt: skip
        if "highest_rate" in self.loadings_:
            seen = fullest(population.counts) / dt
            rates = np.minimum(rates, np.maximum(self.loadings_["highest_rate"].values, seen))
        return rates, latents

    def _report_table(self) -> Table:
        n = self.loadings_.sizes["latent"]
        head = [
            f"{len(self.units_)} units, {n} latents, {format_number(self.duration_)} s in bins of "
            f"{format_number(self.fitted_bin_size_)} s"
        ]
        if isinstance(self.n_latent, str):
            bits = float(self.choice_["held_out_bits"].sel(n_latent=n))
            head.append(f"{n} latents chosen: {bits:.3f} bits per spike of hidden units")
        return parameters_table(self.parameters_, "Linear latent dynamics", head=head)

    def _methods_sentence(self) -> str:
        return (
            f"Counts of {len(self.units_)} units in bins of "
            f"{self.fitted_bin_size_:g} s were modelled as Poisson given "
            f"{self.loadings_.sizes['latent']} latents with linear dynamics"
        )

    def _after_load(self, content: SavedContent) -> None:
        self.units_ = self.loadings_["unit"].values
        self.n_features_in_ = len(self.units_)


def infer(
    counts: Array, edges: NDArray[np.int64], dt: float, level: Array, loading: Array, drift: Array
) -> tuple[Array, Array]:
    """Rates of all units, Hz, (row, unit), and latents (row, latent), given what was observed."""
    n = len(drift)
    pairs = [(i, j) for i in range(n) for j in range(i)]
    model = LinearLatents(counts, edges, dt, n, rotations=pairs)
    dynamics = np.concatenate([np.log(np.diag(drift)), [drift[i, j] for i, j in pairs]])
    told, _, _ = model.tell(dynamics, level, loading, settled=1e-6)
    spread = np.einsum("ui,tij,uj->tu", loading, told.covariance, loading, optimize=True)
    base = level - np.sum(loading**2, axis=1) / 2
    # Beyond this no rate is one, and the exponential overflows.
    log_rate = np.minimum(base + told.mean @ loading.T + spread / 2, _LARGEST)
    return np.exp(log_rate) / dt, told.mean


def fullest(counts: Array) -> Array:
    """Spikes of the fullest bin of each unit, at least one, (unit,).

    Parameters
    ----------
    counts : (row, unit), NaN where not observed.

    Notes
    -----
    The mean of an exponential of what is hardly known runs away: of a cell with a place field,
    told by others, it can be beyond any number of spikes. No rate is said above that of this bin.
    """
    return np.asarray(np.maximum(np.where(np.isnan(counts), 0.0, counts).max(axis=0), 1.0))


def modes_of(drift: Array) -> tuple[Array, Array]:
    """Time constants, s, and frequencies, Hz, of the modes of a drift, from slow to fast."""
    value = np.linalg.eigvals(drift)
    order = np.lexsort((-value.imag, np.round(value.real, 9)))
    value = value[order]
    return 1 / value.real, np.abs(value.imag) / (2 * np.pi)


def _split(population: Population) -> list[Population]:
    """What is fitted, and what is held out: the last trials, or the last stretch of time."""
    blocks, n_rows = population.samples.blocks, population.samples.n_rows
    shares = (1 - _HELD_OUT, _HELD_OUT)
    if len(blocks) >= 1 / _HELD_OUT:
        which = parts_in_order(len(blocks), shares, what="trials")
        trial = np.repeat(np.arange(len(blocks)), np.diff(blocks, axis=1)[:, 0])
        kept = [np.isin(trial, part) for part in which]
    else:
        kept = [np.isin(np.arange(n_rows), p) for p in parts_in_order(n_rows, shares)]
    return [population._replace(samples=population.samples.pick(k)) for k in kept]
