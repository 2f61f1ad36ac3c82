"""Does the model fit? Spikes in time stretched by the rate are a Poisson process of rate 1."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import special, stats

from neurornn._core.checks import (
    check_bin_size,
    check_choice,
    check_confidence_level,
    check_numbers,
)
from neurornn._core.confidence import to_dataset
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn._core.jobs import one_thread
from neurornn._core.quantities import Quantity
from neurornn._core.report import Table, parameters_table
from neurornn._core.rng import RNG, generator
from neurornn._core.status import Status
from neurornn.io.shell import TableResult
from neurornn.spikes.account import SpikeAccount, stretched_intervals
from neurornn.spikes.binned import BinnedSpikes, bin_for_model
from neurornn.spikes.crowd import FEWEST_TESTED, Crowd

Array = NDArray[np.float64]

#: Level of the tests that say what is missing; the KS test alone decides at the level asked for.
_LEVEL = 0.01
#: Blocks of time whose spikes are counted against what was expected, fewest spikes of one.
_N_BLOCKS, _FEWEST_IN_BLOCK = 10, 20
_SHORT = 0.25

REMEDIES = {
    "refractoriness": (
        "Fewer short intervals came than the model expects: it fires where the cell cannot. Pass "
        "history=, or a history with a dead time (history_basis='exponential')."
    ),
    "bursts": (
        "More short intervals came than the model expects: the cell fires in bursts. Pass "
        "history_basis='raised_cosine' with more n_history, smaller bins, renewal=True, or a "
        "RecurrentPointProcess."
    ),
    "adaptation": (
        "Neighbouring intervals are not independent once time is stretched: what earlier spikes "
        "leave is missing. Pass a longer history, or a RecurrentPointProcess."
    ),
    "drift": (
        "The unit fires more than expected in some parts of the recording and less in others. "
        "Pass forgetting= (s), fit shorter stretches, or check whether the sorting drifts."
    ),
    "common_input": (
        "Units fire together more, or less, than the model expects. Pass coupling=True, or the "
        "input that they share as a stimulus."
    ),
    "does_not_fit": (
        "The intervals are not those of the model, in no way that has a name here. Look at "
        "nr.plot.time_rescaling."
    ),
}
_SAID = {
    "refractoriness": "refractoriness is missing (too few short intervals)",
    "bursts": "bursts are missing (too many short intervals)",
    "adaptation": "memory over several spikes, such as adaptation, is missing",
    "drift": "drift over the recording is missing",
    "common_input": "common input or coupling is missing",
    "does_not_fit": "the intervals differ from the model in no way that has a name here",
}


class Rescaling(TableResult):
    """Test of a model of spikes by time rescaling; made by `time_rescaling`.

    Attributes
    ----------
    parameters : Dataset over ``unit``
        ``statistic``, largest distance of the distribution of rescaled intervals from the uniform
        one; ``band``, what it stays below in 95 % of tests if the model holds; ``p_value``;
        ``serial_correlation``, of neighbouring intervals, with its interval; ``drift_p_value``,
        ``n_intervals``; ``status``, ``"ok"`` or what is missing first.
    settings : how it was made.
    intervals : Dataset, ``rescaled (interval)``, rescaled intervals as quantiles, uniform from 0
        to 1 if the model holds, in the order of time, and ``interval_unit``, the position of
        their unit.
    population : Dataset over ``test``: ``ground``, all spikes as one train, and ``marks``, which
        unit fired: ``population_statistic``, ``population_band``, ``population_p_value``; and
        ``together (unit, unit_)``, how much more often two units fired together than expected, in
        standard deviations.
    """

    _tables: ClassVar[Sequence[str]] = ("parameters", "intervals", "population")
    _papers: ClassVar[tuple[str, ...]] = ("brown_2002", "haslinger_2010", "gerhard_2011")
    _packages: ClassVar[tuple[str, ...]] = ("numpy", "scipy")
    _quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            name="statistic", units="1", dims=("unit",),
            long_name="Kolmogorov-Smirnov distance of rescaled intervals",
            method="time rescaling, corrected for bins", reason="the statistic of a test",
        ),
        Quantity(
            name="p_value", units="1", dims=("unit",),
            long_name="probability of so large a distance if the model holds",
            method="Kolmogorov-Smirnov test", reason="a probability",
        ),
        Quantity(
            name="serial_correlation", units="1", dims=("unit",),
            long_name="correlation of neighbouring rescaled intervals as normal scores",
            method="Fisher's z", reason="too few intervals",
        ),
        Quantity(
            name="drift_p_value", units="1", dims=("unit",),
            long_name="probability of so uneven a count over the recording if the model holds",
            method="chi-square over blocks of stretched time", reason="a probability",
        ),
    )  # fmt: skip
    intervals: xr.Dataset
    population: xr.Dataset

    @property
    def statistic(self) -> xr.DataArray:
        """Largest distance from the uniform distribution, (unit,)."""
        return self.parameters["statistic"]

    @property
    def band(self) -> xr.DataArray:
        """What the statistic stays below if the model holds, (unit,)."""
        return self.parameters["band"]

    @property
    def p_value(self) -> xr.DataArray:
        """P-value of the Kolmogorov-Smirnov test, (unit,)."""
        return self.parameters["p_value"]

    @property
    def missing(self) -> list[list[str]]:
        """What the model misses of each unit, by name; empty where it fits."""
        return [[m for m in str(v).split(", ") if m] for v in self.parameters["missing"].values]

    @property
    def verdict(self) -> list[str]:
        """What the test says of each unit, in words."""
        said = []
        for k, found in enumerate(self.missing):
            one = self.parameters.isel(unit=k)
            name = f"unit {one['unit'].values}"
            if not np.isfinite(one["statistic"]):
                said.append(f"{name}: too few intervals to tell")
                continue
            inside = float(one["statistic"]) <= float(one["band"])
            numbers = (
                f"KS {float(one['statistic']):.3g} "
                f"{'inside' if inside else 'outside'} the band of {float(one['band']):.3g}"
            )
            what = "the model fits" if not found else "; ".join(_SAID[m] for m in found)
            said.append(f"{name}: {numbers}; {what}")
        return said

    def __repr__(self) -> str:
        return "\n".join(self.verdict)

    def _report_table(self) -> Table:
        head = list(self.verdict[:10])
        if "population_p_value" in self.population:
            p = self.population["population_p_value"].values
            head.append(f"All units as one train: p {p[0]:.2g}; which unit fires: p {p[1]:.2g}")
        return parameters_table(self.parameters, "Time rescaling", head=head)

    def _methods_sentence(self) -> str:
        return (
            "Goodness of fit was tested by time rescaling, corrected for bins of "
            f"{self.settings['bin_size']:g} s, with Kolmogorov-Smirnov tests on "
            f"{int(self.parameters['n_intervals'].sum())} intervals"
        )


def time_rescaling(
    model: Any,
    X: Any,
    *,
    stimulus: Any = None,
    bin_size: float | None = None,
    distribution: str = "poisson",
    confidence_level: float = 0.95,
    rng: RNG = 0,
) -> Rescaling:
    """Test whether spikes are those of a model.

    Parameters
    ----------
    model : a fitted `PointProcess` or another model of spikes of this room; or rates in Hz,
        (time, unit), one row for each bin, given all that was fired before the bin.
    X : a recording, or counts, as for the fit; better not those of the fit.
    stimulus : (row,) or (row, feature), where it does not come with X.
    bin_size : s, of rates that come as an array.
    distribution : of counts under rates that come as an array: ``"poisson"``; ``"bernoulli"``,
        one spike at most, with probability ``1 - exp(-rate * bin_size)``; or ``"probability"``,
        one spike at most, with probability ``rate * bin_size``.
    confidence_level : of the band.
    rng : where in its bin a spike falls is drawn, but for models of exact time.

    Returns
    -------
    Rescaling
        A table with statistic, band, p-value and what is missing; ``verdict`` says it in words.

    Raises
    ------
    KindError, ShapeError, DataError
        No fitted model; rates that do not go with the counts.

    Notes
    -----
    The integral of the rate from one spike to the next is exponential with mean 1 if the model
    holds (Brown et al. 2002). In bins it is not: a spike is drawn a place in its bin, as the model
    has it (Haslinger et al. 2010; with Poisson counts, several spikes of one bin lie evenly over
    it). The units together are tested as one train with the rates added up, and by which unit
    fired (Gerhard et al. 2011). Names of what is missing come from tests at level 0.01: sign of
    the distance among short intervals, neighbouring intervals, counts over the recording, and
    pairs of units within 10 ms.

    References
    ----------
    Brown et al. 2002, Neural Comput. 14:325, doi:10.1162/08997660252741149;
    Haslinger, Pipa & Brown 2010, Neural Comput. 22:2477, doi:10.1162/NECO_a_00015;
    Gerhard, Haslinger & Pipa 2011, Neural Comput. 23:1452, doi:10.1162/NECO_a_00126.

    Examples
    --------
    >>> from neurornn.simulate import simulate_spike_trains
    >>> from neurornn.spikes import PointProcess
    >>> train, test = (simulate_spike_trains(duration=100.0, rng=k) for k in (0, 1))
    >>> time_rescaling(PointProcess(history=None).fit(train), test).missing[0][0]
    'refractoriness'
    >>> time_rescaling(PointProcess().fit(train), test).missing
    [[]]
    """
    check_confidence_level(confidence_level)
    draw = generator(rng)
    given: list[Array] = []
    if isinstance(model, SpikeAccount):
        bins, shown = model._take(X, stimulus, fitted=True)
        positions = model._positions(bins)
    else:
        bins, given = _given(model, X, bin_size, distribution)
        positions = list(range(len(bins.unit)))
    crowd = Crowd(bins, positions)
    intervals: list[Array] = []
    with one_thread():
        # Unit by unit: the expected counts of all of a long recording would not be held.
        for k, position in enumerate(positions):
            if isinstance(model, SpikeAccount):
                intervals.append(model._rescaled(bins, shown, k, draw))
                mean = model._mean_counts(bins, shown, k)
            else:
                mean = given[k]
                intervals.append(
                    stretched_intervals(
                        _hazard(mean, distribution), bins.rows[position],
                        bernoulli=distribution != "poisson", rng=draw,
                    )
                )  # fmt: skip
            crowd.add(k, np.where(bins.usable(position), mean, 0.0))
    labels = bins.unit[positions]
    tests = [_look(z, confidence_level) for z in intervals]
    together = crowd.together()
    pair = stats.norm.isf(_LEVEL / max(len(positions) * (len(positions) - 1), 1))
    joint = [bool(np.nanmax(np.abs(row), initial=0.0) > pair) for row in together]
    missing = [_missing(t, 1 - confidence_level, j) for t, j in zip(tests, joint, strict=True)]
    table = _table(tests, missing, labels, confidence_level)
    flat = np.concatenate([-np.expm1(-z) for z in intervals] or [np.empty(0)])
    owner = np.repeat(np.arange(len(intervals)), [len(z) for z in intervals])
    about = {"long_name": "rescaled interval as a quantile", "units": "1"}
    told = xr.Dataset(
        {"rescaled": ("interval", flat, about), "interval_unit": ("interval", owner)},
        coords={"unit": labels},
    )
    settings = {
        "bin_size": float(bins.bin_size), "confidence_level": float(confidence_level),
        "duration": float(bins.duration), "model": type(model).__name__,
    }  # fmt: skip
    return Rescaling(
        table, settings, intervals=told,
        population=crowd.told(together, labels, confidence_level, draw),
    )  # fmt: skip


def _hazard(mean: Array, distribution: str) -> Array:
    if distribution != "probability":
        return mean
    return np.asarray(-np.log1p(-np.minimum(mean, 1 - 1e-12)))


def _given(
    rates: Any, X: Any, bin_size: float | None, distribution: str
) -> tuple[BinnedSpikes, list[Array]]:
    """Spikes and expected counts, from rates that came as an array."""
    check_choice(distribution, "distribution", ("poisson", "bernoulli", "probability"))
    if not isinstance(rates, np.ndarray | xr.DataArray | list):
        raise KindError(
            f"model is a {type(rates).__name__}",
            "A fitted model of spikes, or rates in Hz (time, unit), was needed",
            "Fit nr.spikes.PointProcess first",
        )
    width = bin_size
    if width is None and isinstance(rates, xr.DataArray):
        width = rates.attrs.get("bin_size")
    if width is None:
        raise KindError(
            "Rates came without bin_size", "The bins of the rates, in s, were needed",
            "Pass bin_size=0.001",
        )  # fmt: skip
    bins = bin_for_model(X, check_bin_size(width))
    values = check_numbers(rates, "rates", missing=False)
    values = values.reshape(len(values), -1)
    if values.shape != (bins.n_rows, len(bins.unit)):
        raise ShapeError(
            f"rates has shape {values.shape} for {bins.n_rows} bins of {len(bins.unit)} units",
            "One rate for each bin and unit was needed",
            "Bring rates and spikes onto the same bins",
        )
    if np.any(values < 0):
        raise DataError(
            f"rates goes down to {values.min():g} Hz", "Rates of 0 or more were needed",
            "Check the sign",
        )  # fmt: skip
    return bins, list((values * width).T)


class _Test(NamedTuple):
    """What is found of one unit."""

    n: int
    statistic: float = np.nan
    band: float = np.nan
    p_value: float = np.nan
    serial: float = np.nan
    serial_ci: tuple[float, float] = (np.nan, np.nan)
    short: float = 0.0
    drift_p: float = np.nan


def _look(z: Array, confidence_level: float) -> _Test:
    n = len(z)
    if n < FEWEST_TESTED or not np.isfinite(z).all():
        return _Test(n)
    u = np.sort(-np.expm1(-z))
    found = stats.kstest(u, "uniform")
    scores = special.ndtri(np.clip(-np.expm1(-z), 1e-12, 1 - 1e-12))
    serial = float(np.corrcoef(scores[:-1], scores[1:])[0, 1])
    half = stats.norm.ppf((1 + confidence_level) / 2) / np.sqrt(max(n - 4, 1))
    centre = np.arctanh(np.clip(serial, -1 + 1e-12, 1 - 1e-12))
    # Share of short intervals against what is expected, in standard deviations.
    short = (np.mean(u < _SHORT) - _SHORT) / np.sqrt(_SHORT * (1 - _SHORT) / n)
    return _Test(
        n, float(found.statistic), float(stats.kstwo.ppf(confidence_level, n)),
        float(found.pvalue), serial,
        (float(np.tanh(centre - half)), float(np.tanh(centre + half))), float(short), _drift(z),
    )  # fmt: skip


def _drift(z: Array) -> float:
    """P-value of the counts in equal parts of stretched time."""
    total = float(z.sum())
    n_blocks = min(_N_BLOCKS, int(total // _FEWEST_IN_BLOCK))
    if n_blocks < 2:
        return float("nan")
    at = np.cumsum(z)
    # The last spike ends the stretch: it is not one of those that fall anywhere.
    counts = np.histogram(at[:-1], bins=n_blocks, range=(0.0, total))[0]
    # Under the model each count has mean and variance of its share of stretched time.
    expected = total / n_blocks
    return float(stats.chi2.sf(np.sum((counts - expected) ** 2) / expected, n_blocks))


def _missing(test: _Test, level: float, joint: bool) -> list[str]:
    if not np.isfinite(test.statistic):
        return []
    found = []
    bound = stats.norm.isf(_LEVEL / 2)
    if test.p_value < level:
        if test.short < -bound:
            found.append("refractoriness")
        elif test.short > bound:
            found.append("bursts")
    if 2 * stats.norm.sf(abs(np.arctanh(test.serial)) * np.sqrt(test.n - 4)) < _LEVEL:
        found.append("adaptation")
    if test.drift_p < _LEVEL:
        found.append("drift")
    if joint:
        found.append("common_input")
    if test.p_value < level and not found:
        found.append("does_not_fit")
    return found


def _table(
    tests: list[_Test], missing: list[list[str]], labels: NDArray[Any], confidence_level: float
) -> xr.Dataset:
    of: Mapping[str, Any] = {
        "statistic": [t.statistic for t in tests],
        "p_value": [t.p_value for t in tests], "serial_correlation": [t.serial for t in tests],
        "drift_p_value": [t.drift_p for t in tests],
    }  # fmt: skip
    estimates = [
        q.of(
            np.array(of[q.name]),
            np.array([t.serial_ci for t in tests]) if q.name == "serial_correlation" else None,
        )
        for q in Rescaling._quantities
    ]
    status = [
        str(Status.TOO_FEW_EVENTS) if not np.isfinite(t.statistic) else m[0] if m else "ok"
        for t, m in zip(tests, missing, strict=True)
    ]
    table = to_dataset(
        estimates, confidence_level=confidence_level, coords={"unit": labels}, status=status,
        status_dims=("unit",), remedies=REMEDIES,
    )  # fmt: skip
    return table.assign(
        band=(
            "unit",
            [t.band for t in tests],
            {"units": "1", "long_name": "distance that a model that holds stays below"},
        ),
        n_intervals=("unit", [t.n for t in tests], {"units": "1", "long_name": "intervals"}),
        missing=("unit", np.array([", ".join(m) for m in missing], dtype=str)),
    )
