"""Renewal processes: intervals that are independent, the plainest account of a past."""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import optimize, special, stats
from sklearn.utils.validation import check_is_fitted

from neurornn._core.checks import check_choice, check_confidence_level, check_positive
from neurornn._core.confidence import delta_interval, to_dataset
from neurornn._core.quantities import Quantity
from neurornn._core.report import Table, parameters_table
from neurornn._core.rng import RNG, generator
from neurornn._core.status import Status
from neurornn._core.units import format_number
from neurornn.data.recording import from_spikes
from neurornn.io.saved import SavedContent
from neurornn.io.shell import keep_names
from neurornn.spikes.account import SpikeAccount
from neurornn.spikes.binned import BinnedSpikes
from neurornn.spikes.unit_fit import FEWEST

Array = NDArray[np.float64]

KINDS = ("gamma", "inverse_gaussian")
_HOW = "maximum likelihood of intervals within a run, the last one censored; curvature, log scale"


#: Spikes that are closer, s, came at the same time.
_AT_ONCE = 1e-6
#: Largest shape, of intervals that all but agree.
_MOST_SHAPE = 1e6


class _Waits(NamedTuple):
    """Intervals within runs, s, and the time after the last spike of each run."""

    whole: Array
    cut: Array


class RenewalProcess(SpikeAccount):
    """Spikes whose intervals are independent of one another: gamma, or inverse Gaussian.

    Parameters
    ----------
    kind : ``"gamma"`` or ``"inverse_gaussian"``.
    bin_size : s, of rates and of the time that is recorded.
    confidence_level : of the intervals.

    Attributes
    ----------
    parameters_ : Dataset over ``unit``
        ``rate`` (Hz) and ``shape``, each with its interval; the coefficient of variation of the
        intervals is ``shape ** -0.5``, and shape 1 of gamma is Poisson; ``status``.

    Notes
    -----
    The first spike of a run comes as if the train had run for long: its time to the start of the
    run is not used. Likelihoods are those of intervals in continuous time, s; spikes at the same
    time count as half a bin apart.

    References
    ----------
    Barbieri et al. 2001, J. Neurosci. Methods 105:25, doi:10.1016/S0165-0270(00)00344-7.

    Examples
    --------
    >>> from neurornn.simulate import simulate_renewal
    >>> model = RenewalProcess().fit(simulate_renewal(duration=300.0, shape=3.0, rng=0))
    >>> low, high = model.parameters_["shape_ci"].values[0]
    >>> bool(low < 3.0 < high)
    True
    """

    stimulus = None
    _quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            name="rate", units="Hz", dims=("unit",), long_name="rate", method=_HOW,
            reason="too few spikes",
        ),
        Quantity(
            name="shape", units="1", dims=("unit",), long_name="shape of the intervals",
            method=_HOW, reason="too few spikes",
        ),
    )  # fmt: skip
    _kept: ClassVar[Mapping[str, str]] = {"duration": "duration_"}
    _papers: ClassVar[tuple[str, ...]] = ("barbieri_2001",)
    _packages: ClassVar[tuple[str, ...]] = ("numpy", "scipy")

    def __init__(
        self, kind: str = "gamma", *, bin_size: float = 0.001, confidence_level: float = 0.95
    ) -> None:
        self.kind = kind
        self.bin_size = bin_size
        self.confidence_level = confidence_level

    def fit(self, X: Any, y: None = None) -> Self:
        """Fit every unit.

        Parameters
        ----------
        X : a recording with spikes, or whatever `neurornn.data.from_spikes` takes.
        y : not used.

        Returns
        -------
        self

        Raises
        ------
        KindError, DataError, UnitError
        """
        check_choice(self.kind, "kind", KINDS)
        level = check_confidence_level(self.confidence_level)
        bins, _ = self._take(X, None, fitted=False)
        self.sources_ = self.units_ = bins.unit
        keep_names(self, bins.unit if bins.units_named else None)
        self.n_features_in_, self.duration_ = len(bins.unit), float(bins.duration)
        n = len(bins.unit)
        value, ci = np.full((2, n), np.nan), np.full((2, n, 2), np.nan)
        status = []
        for k in range(n):
            waits = _waits(bins, k)
            if len(waits.whole) < FEWEST:
                status.append(str(Status.TOO_FEW_EVENTS if len(bins.rows[k]) else Status.NO_DATA))
                continue
            found, error, done = self._climb(waits)
            status.append(str(Status.OK if done else Status.NOT_CONVERGED))
            value[:, k] = np.exp(found)
            for m in range(2):
                at = float(value[m, k])
                ci[m, k] = delta_interval(at, at * error[m], level, log=True)
        estimates = [q.of(value[m], ci[m]) for m, q in enumerate(self._quantities)]
        self.parameters_ = to_dataset(
            estimates, confidence_level=level, coords={"unit": bins.unit}, status=status,
            status_dims=("unit",),
        )  # fmt: skip
        return self

    def _climb(self, waits: _Waits) -> tuple[Array, Array, bool]:
        mean, spread = float(waits.whole.mean()), float(waits.whole.std())
        start = np.log([1 / mean, np.clip((mean / max(spread, 1e-9 * mean)) ** 2, 0.1, 1e3)])

        def cost(theta: Array) -> float:
            shape = min(float(np.exp(min(theta[1], 50.0))), _MOST_SHAPE)
            return -self._of(waits, float(np.exp(theta[0])), shape)

        found = optimize.minimize(
            cost, start, method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-8}
        )
        # Differences of a smooth likelihood: steps of a hundredth of an error are right to 1e-4.
        h = 0.1 / np.sqrt(len(waits.whole))
        curve = np.empty((2, 2))
        unit = np.eye(2) * h
        for i in range(2):
            for j in range(2):
                corners = [
                    cost(found.x + a * unit[i] + b * unit[j])
                    for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1))
                ]
                curve[i, j] = (corners[0] - corners[1] - corners[2] + corners[3]) / (4 * h * h)
        if not found.x[1] < np.log(_MOST_SHAPE) - 2 * h:
            # A clock: no shape is large enough, and no error is known.
            top = np.array([found.x[0], min(found.x[1], np.log(_MOST_SHAPE))])
            return top, np.full(2, np.nan), False
        error = np.sqrt(np.maximum(np.diag(np.linalg.inv(curve)), 0.0))
        return np.asarray(found.x), error, bool(found.success)

    def _of(self, waits: _Waits, rate: float, shape: float) -> float:
        """Log-likelihood of intervals, nats."""
        law = self._law(rate, shape)
        return float(law.logpdf(waits.whole).sum() + law.logsf(waits.cut).sum())

    def _law(self, rate: float, shape: float) -> Any:
        if self.kind == "gamma":
            return stats.gamma(shape, scale=1 / (rate * shape))
        # Of mean m and shape l, scipy's is invgauss(m / l, scale=l).
        return stats.invgauss(1 / shape, scale=shape / rate)

    def _of_unit(self, k: int) -> Any:
        table = self.parameters_.isel(unit=k)
        return self._law(float(table["rate"]), float(table["shape"]))

    def _log_survival(self, k: int, age: Array) -> Array:
        """Log of the probability that no spike came for so long, s; NaN without a fit."""
        if not np.isfinite(self.parameters_["rate"].values[k]):
            return np.full(np.shape(age), np.nan)
        # Far out the tail runs out of digits, which is met below.
        with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
            found = np.asarray(self._of_unit(k).logsf(age))
        if self.kind == "gamma":
            table = self.parameters_.isel(unit=k)
            rate, shape = float(table["rate"]), float(table["shape"])
            x = np.maximum(rate * shape * age, 1e-300)
            # Far out, where the tail has run out of digits: Gamma(a, x) ~ x^(a-1) e^-x.
            far = (shape - 1) * np.log(x) - x - special.gammaln(shape)
            return np.where(np.isfinite(found), found, far)
        return np.where(np.isfinite(found), found, -1e300)

    def _mean_counts(self, bins: BinnedSpikes, shown: Array | None, k: int) -> Array:
        position = self._positions(bins)[k]
        times, rows = bins.times[position], bins.rows[position]
        before = np.searchsorted(rows, np.arange(bins.n_rows))
        first = np.searchsorted(rows, bins.first_row)
        rate = float(self.parameters_["rate"][k])
        last = np.where(before > first, times[np.maximum(before - 1, 0)] if len(times) else 0.0,
                        np.nan)  # fmt: skip
        age = bins.starts - last
        spent = self._log_survival(k, np.maximum(age, 0.0)) - self._log_survival(
            k, np.maximum(age, 0.0) + bins.bin_size
        )
        # Before the first spike of a run nothing is known but the rate.
        return np.where(np.isfinite(age), np.maximum(spent, 0.0), rate * bins.bin_size)

    def _log_likelihood(self, bins: BinnedSpikes, shown: Array | None, k: int) -> float:
        table = self.parameters_.isel(unit=k)
        position = self._positions(bins)[k]
        waits = _waits(bins, position)
        rate = float(table["rate"])
        # The first spike of each run: of a rate, up to it.
        first = _first_waits(bins, position)
        own = self._of(waits, rate, float(table["shape"]))
        return own + len(first[0]) * np.log(rate) - rate * float(first[1])

    def _constant(self, n_spikes: int, n_rows: int) -> float:
        return n_spikes * np.log(n_spikes / (n_rows * self.bin_size)) - n_spikes

    def _rescaled(
        self, bins: BinnedSpikes, shown: Array | None, k: int, rng: np.random.Generator
    ) -> Array:
        return -self._log_survival(k, _waits(bins, self._positions(bins)[k]).whole)

    def simulate(self, duration: float | None = None, *, rng: RNG = None) -> xr.Dataset:
        """Draw spikes from the fitted model.

        Parameters
        ----------
        duration : s; by default that of the fit.
        rng : int, Generator or None.

        Returns
        -------
        Dataset
            A recording of spikes.

        Raises
        ------
        NotFittedError
        """
        check_is_fitted(self, "parameters_")
        draw = generator(rng)
        seconds = self.duration_ if duration is None else check_positive(duration, "duration", "s")
        trains = []
        for k in range(len(self.units_)):
            rate = float(self.parameters_["rate"][k])
            if not np.isfinite(rate):
                trains.append(np.empty(0))
                continue
            lead, times = 50 / rate, np.empty(0)
            while not len(times) or times[-1] < lead + seconds:
                waits = self._of_unit(k).rvs(int(rate * (lead + seconds)) + 50, random_state=draw)
                times = np.append(times, (times[-1] if len(times) else 0.0) + np.cumsum(waits))
            times = times - lead
            trains.append(times[(times > 0) & (times <= seconds)])
        found = from_spikes(trains, unit=self.units_, t_start=0.0, t_stop=float(seconds))
        return found.assign_attrs(source="simulated from a fitted RenewalProcess")

    def _report_table(self) -> Table:
        head = [f"{self.kind} intervals, {format_number(self.duration_)} s"]
        return parameters_table(self.parameters_, "Renewal process", head=head)

    def _methods_sentence(self) -> str:
        name = "gamma" if self.kind == "gamma" else "inverse Gaussian"
        return (
            f"Intervals between the spikes of {len(self.units_)} units were modelled as "
            f"independent, of {name} distribution"
        )

    def _after_load(self, content: SavedContent) -> None:
        self.units_ = self.sources_ = self.parameters_["unit"].values
        self.features_ = []
        self.n_features_in_ = len(self.units_)


def _waits(bins: BinnedSpikes, unit: int) -> _Waits:
    times, run = bins.times[unit], bins.run[bins.rows[unit]]
    same = run[1:] == run[:-1]
    ends = np.append(np.flatnonzero(np.diff(bins.run)), bins.n_rows - 1)
    last = np.append(np.flatnonzero(~same), len(times) - 1) if len(times) else np.empty(0, int)
    cut = bins.stamps[ends[run[last]]] - times[last] if len(times) else np.empty(0)
    waits = np.diff(times)[same]
    # No law of continuous time has two spikes at once: half a bin, as of two in a bin of counts.
    return _Waits(np.where(waits < _AT_ONCE, bins.bin_size / 2, waits), np.maximum(cut, 0.0))


def _first_waits(bins: BinnedSpikes, unit: int) -> tuple[Array, float]:
    """Time to the first spike of each run that has one; and that of all runs, silent ones too."""
    begins = np.flatnonzero(np.diff(bins.run, prepend=-1))
    ends = np.append(begins[1:], bins.n_rows) - 1
    times, rows = bins.times[unit], bins.rows[unit]
    at = np.searchsorted(rows, begins)
    some = (at < len(rows)) & (rows[np.minimum(at, max(len(rows) - 1, 0))] <= ends) if len(
        rows
    ) else np.zeros(len(begins), bool)  # fmt: skip
    fired = times[at[some]] - bins.starts[begins[some]]
    silent = (bins.stamps[ends] - bins.starts[begins])[~some]
    return fired, float(fired.sum() + silent.sum())
