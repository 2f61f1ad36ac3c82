"""How irregular spikes are, and histograms of their intervals and lags beside those of a model."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_confidence_level, check_count, check_positive
from neurornn._core.confidence import Estimate, delta_interval, rate_interval, to_dataset
from neurornn._core.errors import DataError
from neurornn._core.quantities import Quantity
from neurornn._core.rng import RNG, generator
from neurornn._core.status import Status
from neurornn.spikes.account import SpikeAccount
from neurornn.spikes.binned import BinnedSpikes, bin_for_model

Array = NDArray[np.float64]

#: Blocks of the jackknife, and fewest intervals that are told.
_BLOCKS, _FEWEST = 20, 40
#: Bins in which spikes are looked for stretches without a gap, as a share of the window.
_FINE = 0.01

_QUANTITIES = tuple(
    Quantity(
        name=name, units="1", dims=("unit",), long_name=said,
        method=f"{how}; interval by leaving out one of {_BLOCKS} blocks", reason="too few spikes",
    )
    for name, said, how in (
        ("fano_factor", "variance over mean of counts", "counts of windows side by side"),
        ("cv", "coefficient of variation of intervals", "sd over mean"),
        ("cv2", "local coefficient of variation", "Holt et al. 1996"),
        ("lv", "local variation", "Shinomoto et al. 2003"),
    )
)  # fmt: skip


def dispersion(spikes: Any, *, window: float = 0.1, confidence_level: float = 0.95) -> xr.Dataset:
    """Return how irregular the spikes of each unit are, with intervals.

    Parameters
    ----------
    spikes : a recording, or whatever `neurornn.data.from_spikes` takes.
    window : s, in which spikes are counted for the Fano factor.
    confidence_level : of the intervals.

    Returns
    -------
    Dataset over ``unit``
        ``fano_factor`` of counts, ``cv``, ``cv2`` and ``lv`` of intervals within a gapless run,
        all 1 for a Poisson train of constant rate, each with its interval; ``status``.

    Raises
    ------
    KindError, DataError, UnitError

    Notes
    -----
    ``cv2`` and ``lv`` compare neighbouring intervals and hardly see a slow change of the rate,
    which raises ``cv`` and ``fano_factor``.

    References
    ----------
    Holt et al. 1996, J. Neurophysiol. 75:1806, doi:10.1152/jn.1996.75.5.1806;
    Shinomoto, Shima & Tanji 2003, Neural Comput. 15:2823, doi:10.1162/089976603322518759.

    Examples
    --------
    >>> import neurornn as nr
    >>> table = dispersion(nr.simulate.simulate_renewal(duration=200.0, shape=4.0, rng=0))
    >>> bool(abs(table["cv"][0] - 0.5) < 0.05)
    True
    """
    check_confidence_level(confidence_level)
    width = check_positive(window, "window", "s")
    bins = bin_for_model(spikes, width)
    values = {q.name: np.full(len(bins.unit), np.nan) for q in _QUANTITIES}
    bounds = {q.name: np.full((len(bins.unit), 2), np.nan) for q in _QUANTITIES}
    status = []
    for k in range(len(bins.unit)):
        waits, _ = intervals_within(bins, k)
        counts = bins.counts(k)[bins.usable(k)]
        if len(waits) < _FEWEST or len(counts) < _FEWEST:
            status.append(str(Status.TOO_FEW_EVENTS if len(bins.rows[k]) else Status.NO_DATA))
            continue
        status.append(str(Status.OK))
        pairs = np.stack([waits[:-1], waits[1:]], axis=1)
        for name, rows, rule in (
            ("fano_factor", counts, lambda n: n.var(ddof=1) / n.mean()),
            ("cv", waits, lambda w: w.std(ddof=1) / w.mean()),
            ("cv2", pairs, _cv2),
            ("lv", pairs, _lv),
        ):
            value, error = _jackknife(rows, rule)
            values[name][k] = value
            bounds[name][k] = delta_interval(
                value, error, confidence_level, log=True, dof=_BLOCKS - 1
            )
    estimates = [q.of(values[q.name], bounds[q.name]) for q in _QUANTITIES]
    return to_dataset(
        estimates, confidence_level=confidence_level, coords={"unit": bins.unit}, status=status,
        status_dims=("unit",),
    ).assign_attrs(window=width)  # fmt: skip


def _cv2(pairs: Array) -> float:
    return float(np.mean(2 * np.abs(pairs[:, 1] - pairs[:, 0]) / pairs.sum(axis=1)))


def _lv(pairs: Array) -> float:
    return float(np.mean(3 * ((pairs[:, 1] - pairs[:, 0]) / pairs.sum(axis=1)) ** 2))


def _jackknife(rows: Array, rule: Callable[[Array], float]) -> tuple[float, float]:
    """Value of a rule, and its error by leaving out one block of neighbours after another."""
    parts = np.array_split(np.arange(len(rows)), _BLOCKS)
    without = np.array([rule(np.delete(rows, p, axis=0)) for p in parts])
    error = np.sqrt((_BLOCKS - 1) * np.mean((without - without.mean()) ** 2))
    return float(rule(rows)), float(error)


def intervals_within(bins: BinnedSpikes, unit: int) -> tuple[Array, Array]:
    """Intervals between spikes of the same gapless run, s, and when each ends, s."""
    times, run = bins.times[unit], bins.run[bins.rows[unit]]
    same = run[1:] == run[:-1]
    return np.diff(times)[same], times[1:][same]


def interval_histogram(
    spikes: Any,
    *,
    model: SpikeAccount | None = None,
    duration: float = 0.1,
    bin_size: float = 0.001,
    n_draws: int = 5,
    confidence_level: float = 0.95,
    rng: RNG = 0,
) -> xr.Dataset:
    """Return the density of intervals between spikes, beside that of a model.

    Parameters
    ----------
    spikes : a recording, or whatever `neurornn.data.from_spikes` takes.
    model : fitted; intervals of spikes drawn from it, under the stimulus of its fit, stand beside.
    duration : s, longest interval shown.
    bin_size : s.
    n_draws : simulations of the model, each as long as its fit.
    confidence_level : of the intervals of the density.
    rng : for the draws.

    Returns
    -------
    Dataset over (unit, lag)
        ``density``, share of intervals per s, with ``density_ci``; ``model_density``. ``lag`` is
        the middle of each bin, s.

    Raises
    ------
    KindError, DataError, UnitError

    Examples
    --------
    >>> import neurornn as nr
    >>> rec = nr.simulate.simulate_spike_trains(duration=50.0, rng=0)
    >>> table = interval_histogram(rec)
    >>> float(table["density"][0, :3].sum())
    0.0
    """
    width = check_positive(bin_size, "bin_size", "s")
    edges = _lags(duration, width)
    bins = bin_for_model(spikes, width)

    def shares(held: BinnedSpikes) -> tuple[Array, Array]:
        found = [intervals_within(held, k)[0] for k in range(len(held.unit))]
        return (
            np.array([np.histogram(w, edges)[0] for w in found], dtype=float),
            np.array([len(w) for w in found], dtype=float),
        )

    return _beside(bins, model, shares, edges, n_draws, confidence_level, rng, "density",
                   "1/s", "share of intervals per s")  # fmt: skip


def autocorrelogram(
    spikes: Any,
    *,
    model: SpikeAccount | None = None,
    duration: float = 0.1,
    bin_size: float = 0.001,
    n_draws: int = 5,
    confidence_level: float = 0.95,
    rng: RNG = 0,
) -> xr.Dataset:
    """Return the rate so long after a spike, beside that of a model.

    Parameters
    ----------
    spikes : a recording, or whatever `neurornn.data.from_spikes` takes.
    model : fitted; spikes drawn from it, under the stimulus of its fit, stand beside.
    duration : s, longest lag.
    bin_size : s.
    n_draws : simulations of the model, each as long as its fit.
    confidence_level : of the intervals of the rate.
    rng : for the draws.

    Returns
    -------
    Dataset over (unit, lag)
        ``rate``, Hz, with ``rate_ci``; ``model_rate``. ``lag`` is the middle of each bin, s.

    Raises
    ------
    KindError, DataError, UnitError

    Examples
    --------
    >>> import neurornn as nr
    >>> rec = nr.simulate.simulate_poisson(20.0, duration=100.0, rng=0)
    >>> table = autocorrelogram(rec, bin_size=0.01)
    >>> bool(abs(table["rate"].mean() - 20.0) < 3.0)
    True
    """
    width = check_positive(bin_size, "bin_size", "s")
    edges = _lags(duration, width)
    bins = bin_for_model(spikes, width)

    def rates(held: BinnedSpikes) -> tuple[Array, Array]:
        found, seconds = [], []
        for k in range(len(held.unit)):
            times, run = held.times[k], held.run[held.rows[k]]
            # A spike counts where the whole lag lies in its run.
            last = np.array([held.stamps[held.run == r].max() for r in np.unique(held.run)])
            whole = times + edges[-1] <= last[np.searchsorted(np.unique(held.run), run)]
            begin = times[whole]
            at = np.searchsorted(times, begin[:, None] + edges[None], side="right")
            counts = np.diff(at, axis=1).sum(axis=0).astype(float)
            # The spike itself is at lag 0, which no bin holds.
            found.append(counts)
            seconds.append(len(begin) * width)
        return np.array(found), np.array(seconds)

    return _beside(bins, model, rates, edges, n_draws, confidence_level, rng, "rate", "Hz",
                   "rate after a spike")  # fmt: skip


def _lags(duration: float, width: float) -> Array:
    n = round(check_positive(duration, "duration", "s") / width)
    if n < 1:
        raise DataError(
            f"duration is {duration:g} s and a bin {width:g} s", "One bin or more was needed",
            "Pass a longer duration",
        )  # fmt: skip
    return np.asarray(width * np.arange(n + 1))


def _beside(
    bins: BinnedSpikes, model: SpikeAccount | None,
    count: Callable[[BinnedSpikes], tuple[Array, Array]], edges: Array, n_draws: int,
    confidence_level: float, rng: RNG, name: str, units: str, said: str,
) -> xr.Dataset:  # fmt: skip
    """Counts over lags as a rate, and the same of spikes drawn from a model."""
    check_confidence_level(confidence_level)
    counts, exposure = count(bins)
    width = edges[1] - edges[0]
    # Intervals: so many in all; lags: so many s looked at.
    scale = exposure * (width if name == "density" else 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(scale[:, None] > 0, counts / scale[:, None], np.nan)
        ci = rate_interval(counts, np.where(scale > 0, scale, np.nan)[:, None] + 0 * counts,
                           confidence_level)  # fmt: skip
    about = {"units": "s", "long_name": "middle of the bin"}
    table = to_dataset(
        [
            Estimate(
                name=name, value=value, ci=ci, units=units, dims=("unit", "lag"), long_name=said,
                method="counts; Garwood's interval, as if pairs were independent",
                reason="no spikes",
            )
        ],
        confidence_level=confidence_level,
        coords={"unit": bins.unit, "lag": ("lag", (edges[:-1] + edges[1:]) / 2, about)},
    )  # fmt: skip
    if model is None:
        return table
    draw = generator(rng)
    drawn: list[tuple[Array, Array]] = []
    fitted: Sequence[Any] = model.units_.tolist()
    for _ in range(check_count(n_draws, "n_draws")):
        simulated: Any = model
        drawn.append(count(bin_for_model(simulated.simulate(rng=draw), width)))
    total = np.sum([d[0] for d in drawn], axis=0)
    seconds = np.sum([d[1] for d in drawn], axis=0) * (width if name == "density" else 1.0)
    own = np.full(value.shape, np.nan)
    for k, label in enumerate(bins.unit.tolist()):
        if label in fitted:
            own[k] = total[fitted.index(label)] / max(seconds[fitted.index(label)], 1e-300)
    return table.assign(
        {f"model_{name}": (("unit", "lag"), own, {"units": units, "long_name": "of the model"})}
    )
