"""How many spikes an event stands for, from the distribution of event sizes alone."""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import special, stats

from neurornn._core.checks import check_positive
from neurornn._core.confidence import Estimate, profile_interval, to_dataset
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn._core.status import Status
from neurornn.calcium.size_mixture import Mixture, Sizes, lowest_mode, prior_weights

Array = NDArray[np.float64]

#: Fewer events than this do not show modes.
MIN_EVENTS = 20
#: Autocorrelation of the residual from which small events must be feared to have been left out. In
#: simulated cells it is above 0.3 where they were, and below 0.02 where not.
_LEFT_OUT = 0.15
_METHOD = "mixture over the number of spikes of an event, maximum likelihood"
_LOOSE = "no mixture was fitted; the median size of the lowest mode"
_FEW = f"fewer than {MIN_EVENTS} events"
_ONE_MODE = "one broad mode describes the sizes as well"
_OTHER = "another quantum describes the sizes as well"
_BOUND = "the likelihood does not bound the quantum"
_LEFT = "the residual is autocorrelated: small events may have been left out, and counts be low"
_NO_FIT = "the status of the kinetics is not ok"


def estimate_quantum(
    kinetics: Any,
    *,
    max_spikes: int = 8,
    exponent: float = 1.0,
    confidence_level: float = 0.95,
) -> xr.Dataset:
    """Size of the response to one spike, told from the modes of the event sizes of a cell.

    Parameters
    ----------
    kinetics : fitted `Kinetics`.
    max_spikes : most spikes of one event that are told apart.
    exponent : of size against number of spikes: an event of n spikes has ``quantum * n**exponent``
        on average. 1 for a linear indicator; proteins that bind cooperatively lie above.
    confidence_level : of the intervals.

    Returns
    -------
    Dataset over ``unit``
        ``quantum`` (unit of the trace), with ``_ci``; ``size_cv`` (1; coefficient of variation of
        the response to one spike); ``mean_spikes`` (1; of an event, a priori); ``n_events``;
        ``status``, and ``reason`` in words where it is not ok. Then ``quantum`` has no interval
        and is the median size of the lowest mode, but for two cases: where small events may have
        been left out it is that of the mixture, and where two quanta fit alike the better one,
        with an interval that holds both.

    Raises
    ------
    KindError, DataError

    Notes
    -----
    Spikes that follow one another within a frame, or closer than the noise lets them be told
    apart, are one event. An event of n spikes has a size that is normal around ``q n^h`` with
    variance ``n (cv q h n^(h-1))^2`` plus that of the measurement: a size is a free jump between
    two decays, so ``noise_sd^2 (1 - g^2)`` with ``g = exp(-dt / tau_decay)`` if both are long,
    more if they are not; and without a resolved rise the place within the frame is unknown. A
    truncated geometric law, ``P(n) ~ r^(n-1)``, says how often n occurs, and one event in a
    hundred may have any size. Since its weights only decrease, half of the true quantum, with
    every event an even number, fits worse. The interval is the profile likelihood's. The mixture
    must beat one normal, log-normal or gamma mode by the Bayesian information criterion, or the
    quantum is called not identifiable.

    What this cannot know: events do not say what a spike is. Where single spikes never occur
    alone, or are too small to be found, the smallest mode is taken for one spike and the quantum
    is too large by a factor that nothing in the trace reveals: the status is ok all the same.
    `Kinetics` leaves out events below half of the typical one where sizes are broad: if more than
    about a fourth of the events are bursts, single spikes go missing. That leaves the residual
    autocorrelated; above 0.15 the status says not_identifiable, and the counts are low. Sizes that
    depend on the history (saturation, facilitation), and a wrong `exponent`, shift the quantum.

    On 71 real cells with recorded spikes, 30 frames a second, the modes are not seen: the status
    is ok in one of them. Totals are about a fourth of the recorded spikes (median), little better
    than the fifth that every event as one spike gives: nearly half of the spikes have no event
    within 0.1 s, and sizes of bursts form no modes. An exponent of 2, as of Hill curves, makes it
    worse. Where the status is not ok, do not read the numbers as counts
    (``python -m tests.benchmarks spike_counts``).

    See Also
    --------
    count_spikes : what the events of these cells then stand for.

    References
    ----------
    Del Castillo & Katz 1954, J. Physiol. 124:560, doi:10.1113/jphysiol.1954.sp005129 (quanta from
    the modes of sizes); Deneux et al. 2016, Nature Communications 7:12190,
    doi:10.1038/ncomms12190 (amplitude of a spike from isolated events); Schwarz 1978,
    Ann. Stat. 6:461, doi:10.1214/aos/1176344136.

    Examples
    --------
    >>> import numpy as np
    >>> import neurornn as nr
    >>> rng = np.random.default_rng(0)
    >>> bursts = np.repeat(np.arange(1.0, 300.0, 1.5), rng.geometric(0.8, 200))
    >>> rec = nr.simulate.simulate_calcium(1, 300.0, spike_times=[bursts], snr=15, rng=rng)
    >>> kin = nr.calcium.Kinetics().fit(rec["dff"])
    >>> quanta = nr.calcium.estimate_quantum(kin)
    >>> bool(abs(quanta["quantum"][0] - 1.0) < 0.05)
    True
    """
    events, table = _tables(kinetics)
    if isinstance(max_spikes, bool) or int(max_spikes) != max_spikes or max_spikes < 2:
        raise DataError(
            f"max_spikes is {max_spikes}",
            "A whole number of at least 2 was needed",
            "Pass for example max_spikes=8",
        )
    if not 0 < confidence_level < 1:
        raise DataError(
            f"confidence_level is {confidence_level}",
            "A probability between 0 and 1 was needed",
            "Pass for example confidence_level=0.95",
        )
    exponent = check_positive(exponent, "exponent")
    cells = [_sizes_of(kinetics, k) for k in range(table.sizes["unit"])]
    found = [
        _quantum(cell, int(max_spikes), exponent, confidence_level, str(status))
        for cell, status in zip(cells, table["status"].values, strict=True)
    ]
    units = str(events["event_size"].attrs.get("units", "1"))
    common: dict[str, Any] = {"method": _METHOD, "dims": ("unit",)}
    out = to_dataset(
        [
            Estimate(
                name="quantum",
                value=[f.quantum for f in found],
                ci=[f.ci for f in found],
                units=units,
                of_data=True,
                long_name="size of the response to one spike",
                reason="the status is not ok",
                **common,
            ),
            Estimate(
                name="size_cv",
                value=[f.cv for f in found],
                units="1",
                long_name="coefficient of variation of the response to one spike",
                **common,
            ),
            Estimate(
                name="mean_spikes",
                value=[f.mean_spikes(int(max_spikes)) for f in found],
                units="1",
                long_name="mean number of spikes of an event, a priori",
                **common,
            ),
        ],
        confidence_level=confidence_level,
        coords={"unit": ("unit", table["unit"].values)},
        status=[f.status for f in found],
        status_dims=("unit",),
    )
    out["reason"] = ("unit", np.array([f.reason for f in found], dtype=str))
    out["prior_ratio"] = (
        "unit",
        np.array([f.ratio for f in found]),
        {"units": "1", "long_name": "how often n + 1 spikes occur over how often n do"},
    )
    attrs = {"units": "1", "long_name": "events"}
    out["n_events"] = ("unit", np.array([len(c.size) for c in cells]), attrs)
    return out.assign_attrs(exponent=exponent, max_spikes=int(max_spikes))


def count_spikes(kinetics: Any, quanta: xr.Dataset | None = None) -> xr.Dataset:
    """Say of every event how many spikes it stands for.

    Parameters
    ----------
    kinetics : fitted `Kinetics`.
    quanta : what `estimate_quantum` returned for it, by default with the defaults. Write your own
        sizes of one spike into its ``quantum`` where you know them.

    Returns
    -------
    Dataset over ``event``
        ``events_`` with ``event_spikes`` (1; posterior mean of the number) and
        ``event_spikes_sd`` (1; posterior sd, the quantum taken for known). An event whose cell has
        no quantum has NaN.

    Raises
    ------
    KindError, ShapeError

    Notes
    -----
    An event larger than ``max_spikes`` quanta counts by its size over the quantum, to the power of
    one over the exponent. An error of the quantum is common to all events of a cell and not part
    of the sd: where it matters, repeat with the bounds of ``quantum_ci``. Where the status of the
    quantum is not ok the numbers are no better than what is assumed there.

    See Also
    --------
    estimate_quantum : the model, and what it cannot know.

    Examples
    --------
    >>> import neurornn as nr
    >>> rec = nr.simulate.simulate_calcium(1, 200.0, rate=0.3, snr=15, rng=0)
    >>> kin = nr.calcium.Kinetics().fit(rec["dff"])
    >>> spikes = nr.calcium.count_spikes(kin)["event_spikes"]
    >>> bool(abs(float(spikes.sum()) / rec.sizes["spike"] - 1) < 0.1)
    True
    """
    events, table = _tables(kinetics)
    if quanta is None:
        quanta = estimate_quantum(kinetics)
    if not isinstance(quanta, xr.Dataset) or "prior_ratio" not in quanta:
        raise KindError(
            f"A {type(quanta).__name__} came as quanta",
            "The table of estimate_quantum was needed",
            "Call quanta = nr.calcium.estimate_quantum(kinetics)",
        )
    if quanta["unit"].values.tolist() != table["unit"].values.tolist():
        raise ShapeError(
            f"quanta has {quanta.sizes['unit']} units",
            f"The {table.sizes['unit']} units of the kinetics, in their order, were needed",
            "Call nr.calcium.estimate_quantum with the same kinetics",
        )
    exponent, most = float(quanta.attrs["exponent"]), int(quanta.attrs["max_spikes"])
    mean = np.full(events.sizes["event"], np.nan)
    sd = mean.copy()
    for k in range(table.sizes["unit"]):
        cell = _sizes_of(kinetics, k)
        q, cv, ratio = (float(quanta[v][k]) for v in ("quantum", "size_cv", "prior_ratio"))
        if len(cell.size) and q > 0:
            mean[cell.where], sd[cell.where] = Mixture(cell, most, exponent).numbers(q, cv, ratio)
    out = events.copy()
    out["event_spikes"] = (
        "event",
        mean,
        {"units": "1", "long_name": "spikes of the event, posterior mean", "method": _METHOD},
    )
    out["event_spikes_sd"] = (
        "event",
        sd,
        {"units": "1", "long_name": "posterior sd of the spikes, given the quantum"},
    )
    return out


class _Quantum(NamedTuple):
    """What is found for one cell."""

    quantum: float
    ci: tuple[float, float]
    cv: float
    ratio: float
    status: str
    reason: str

    def mean_spikes(self, max_spikes: int) -> float:
        """Mean of the prior."""
        n = np.arange(1, max_spikes + 1)
        return float(n @ prior_weights(self.ratio, max_spikes))


def _tables(kinetics: Any) -> tuple[xr.Dataset, xr.Dataset]:
    events, table = (getattr(kinetics, v, None) for v in ("events_", "parameters_"))
    if not isinstance(events, xr.Dataset) or not isinstance(table, xr.Dataset):
        raise KindError(
            f"A {type(kinetics).__name__} came",
            "A fitted Kinetics was needed",
            "Call fit before: kin = Kinetics().fit(trace)",
        )
    return events, table


def _sizes_of(kinetics: Any, unit: int) -> Sizes:
    """Event sizes of a cell; what a jump between two decays is known to, event by event."""
    events, table, starts = kinetics.events_, kinetics.parameters_, kinetics.segments_
    # Events and starts stand in the order of their units.
    where = np.arange(*np.searchsorted(events["event_unit"].values, [unit, unit + 1]))
    size = events["event_size"].values[where].astype(float)
    tau = float(table["tau_decay"][unit])
    step = 1 / kinetics.sampling_rate_ / tau if tau > 0 else np.nan
    usable = np.isfinite(step) & np.isfinite(size) & (size > 0)
    where, size = where[usable], size[usable]
    frame = events["event_frame"].values[where]
    own = slice(*np.searchsorted(starts["segment_unit"].values, [unit, unit + 1]))
    begins = np.sort(starts["segment_frame"].values[own])
    begins = np.concatenate([[0], begins, [starts.sizes["time"]]])
    before = np.maximum(frame - begins[np.searchsorted(begins, frame) - 1], 1)
    after = begins[np.searchsorted(begins, frame, side="right")] - frame
    # Variance of the height of a decay seen for so many frames, at its start and at its end.
    one = -np.expm1(-2 * step) * float(table["noise_sd"][unit]) ** 2
    at_start = one / -np.expm1(-2 * step * after)
    at_end = one * np.exp(-2 * step * before) / -np.expm1(-2 * step * before)
    resolved = float(starts["kernel_rise"][unit]) > 0
    timing = 0.0 if resolved else step**2 / 12
    autocorrelation = float(table["residual_autocorrelation"][unit])
    return Sizes(size, at_start + at_end, timing, autocorrelation, where)


def _quantum(cell: Sizes, max_spikes: int, exponent: float, level: float, status: str) -> _Quantum:
    nan = (float("nan"), float("nan"))
    if not len(cell.size):
        code = str(Status.TOO_FEW_EVENTS) if status == Status.OK else status
        return _Quantum(np.nan, nan, np.nan, np.nan, code, _FEW)
    mixture = Mixture(cell, max_spikes, exponent)

    def loose(code: str, reason: str) -> _Quantum:
        q = lowest_mode(cell.size)
        x, _ = mixture.given(float(np.log(q)), np.array([np.log(0.3), special.logit(0.25)]))
        cv, ratio = float(np.exp(x[0])), float(special.expit(x[1]))
        return _Quantum(q, nan, cv, ratio, code, f"{reason}: {_LOOSE}")

    if status != Status.OK:
        return loose(status, _NO_FIT)
    if len(cell.size) < MIN_EVENTS:
        return loose(str(Status.TOO_FEW_EVENTS), _FEW)
    # The smallest events are about one spike, whatever their spread.
    low, high = np.log(np.quantile(cell.size, [0.05, 0.5])) + np.log([0.6, 1.5])
    bounds = float(low), float(high)
    fits = sorted((mixture.best(s, bounds) for s in mixture.search(*bounds)), key=lambda f: f[1])
    x, least = fits[0]
    unclear = str(Status.NOT_IDENTIFIABLE)
    if mixture.one_mode() - least < np.log(len(cell.size)):
        return loose(unclear, _ONE_MODE)
    last = x[1:].copy()

    def profile(log_q: float) -> float:
        nonlocal last
        found, value = mixture.given(log_q, last)
        if np.isfinite(value):
            last = found
        return value

    cv, ratio = float(np.exp(x[1])), float(special.expit(x[2]))
    if cell.autocorrelation > _LEFT_OUT:
        return _Quantum(float(np.exp(x[0])), nan, cv, ratio, unclear, _LEFT)
    step = max(cv, 0.05) / np.sqrt(len(cell.size))
    a, b = profile_interval(
        profile, float(x[0]), step=step, lower=low, upper=high, confidence_level=level
    )
    if not (np.isfinite(a) and np.isfinite(b)):
        return loose(unclear, _BOUND)
    reach = float(stats.chi2.ppf(level, 1))
    rivals = [float(f[0][0]) for f in fits[1:] if f[1] < least + reach]
    rivals = [r for r in rivals if not a <= r <= b]
    ci = float(np.exp(min([a, *rivals]))), float(np.exp(max([b, *rivals])))
    code, reason = (unclear, _OTHER) if rivals else (str(Status.OK), "")
    return _Quantum(float(np.exp(x[0])), ci, cv, ratio, code, reason)
