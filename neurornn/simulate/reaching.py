"""Centre-out reaches and the motor cortical neurons that go with them."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.signal import lfilter

from neurornn._core.checks import check_bin_size, check_count, check_positive
from neurornn._core.errors import DataError, ShapeError
from neurornn._core.rng import RNG, generator
from neurornn.data.spike_table import count_attrs, time_attrs

#: Peak speed of a minimum-jerk reach over its mean speed.
PEAK_TO_MEAN = 1.875
#: Slow courses of excitability that all units share, each unit in its own mixture.
N_DRIFTS = 20


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What the rate of each unit depends on.

    Attributes
    ----------
    baseline_rate : (unit,), Hz, at rest at the centre.
    preferred_direction : (unit,), rad.
    modulation_depth : (unit,), Hz, added at `reference_speed` along the preferred direction.
    speed_gain : (unit,), Hz, added at `reference_speed` in any direction.
    position_gain : (unit,), Hz, added at `reference_distance` along `position_direction`.
    position_direction : (unit,), rad.
    lag : (unit,), s, by which spikes precede the movement.
    reference_speed : cm/s.
    reference_distance : cm.
    """

    baseline_rate: NDArray[np.float64]
    preferred_direction: NDArray[np.float64]
    modulation_depth: NDArray[np.float64]
    speed_gain: NDArray[np.float64]
    position_gain: NDArray[np.float64]
    position_direction: NDArray[np.float64]
    lag: NDArray[np.float64]
    reference_speed: float
    reference_distance: float

    def unit_rate(
        self, unit: int, position: NDArray[np.float64], velocity: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Rate of one unit (time,), Hz, from (time, axis) in cm and cm/s; never below 0."""
        along = _directions(self.preferred_direction[unit])
        beside = _directions(self.position_direction[unit])
        rate = (
            self.baseline_rate[unit]
            + (
                self.modulation_depth[unit] * (velocity @ along)
                + self.speed_gain[unit] * np.linalg.norm(velocity, axis=1)
            )
            / self.reference_speed
        )
        rate = rate + self.position_gain[unit] * (position @ beside) / self.reference_distance
        return np.maximum(rate, 0.0)


@dataclass(frozen=True, kw_only=True)
class Reaches:
    """Minimum-jerk reaches that follow one another; between them the hand rests.

    Attributes
    ----------
    onset, duration : (reach,), s.
    start, stop : (reach, axis), cm.
    cue : (reach,), s, when the target of the reach appears.
    trial : (reach,).
    end : s, end of the last hold.
    """

    onset: NDArray[np.float64]
    duration: NDArray[np.float64]
    start: NDArray[np.float64]
    stop: NDArray[np.float64]
    cue: NDArray[np.float64]
    trial: NDArray[np.int64]
    end: float

    def position(self, time: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where the hand is, (time, axis), cm."""
        k = np.maximum(np.searchsorted(self.onset, time, side="right") - 1, 0)
        phase = np.clip((time - self.onset[k]) / self.duration[k], 0.0, 1.0)
        travelled = phase**3 * (10 - 15 * phase + 6 * phase**2)
        return self.start[k] + travelled[:, None] * (self.stop - self.start)[k]

    def current(self, time: NDArray[np.float64]) -> NDArray[np.int64]:
        """Which reach is cued at each time, (time,)."""
        return np.maximum(np.searchsorted(self.cue, time, side="left") - 1, 0)


def simulate_reaches(
    n_trials: int = 200,
    n_units: int = 60,
    *,
    bin_size: float = 0.02,
    n_targets: int = 8,
    distance: float = 8.0,
    movement_time: float = 0.45,
    reaction_time: float = 0.25,
    hold_time: float = 0.3,
    timing_cv: float = 0.15,
    baseline_rate: ArrayLike | None = None,
    modulation_depth: ArrayLike | None = None,
    lag_range: tuple[float, float] = (0.02, 0.12),
    drift: float = 0.0,
    drift_time: float = 200.0,
    rng: RNG = None,
) -> xr.Dataset:
    r"""Simulate reaches from the centre to a target and back, and the spikes of motor cortex.

    Parameters
    ----------
    n_trials : trials, each a reach out and a reach back.
    n_units : neurons.
    bin_size : s, of the counts.
    n_targets : on a circle around the centre, dealt out evenly in random order.
    distance : cm, from the centre to a target.
    movement_time : s, mean duration of a reach.
    reaction_time : s, mean time from the appearance of a target to the start of the reach.
    hold_time : s, mean rest at the end of a reach, before the next target appears.

    Other Parameters
    ----------------
    timing_cv : coefficient of variation of those three times from reach to reach (log-normal).
    baseline_rate : Hz, scalar or (unit,)
        By default log-normal with median 12 and an sd of 0.4 in the logarithm.
    modulation_depth : Hz, scalar or (unit,)
        Added at the mean peak speed in the preferred direction; by default 0.3 to 0.9 of the
        baseline rate. Speed alone adds up to half of it, position up to a tenth.
    lag_range : (lowest, highest), s
        Spikes precede the movement by a lag drawn evenly from this range for each unit.
    drift : sd of the logarithm of a slow change of each unit's excitability
        A mixture of slow courses that all units share. At 1 a linear decoder of velocity scores
        an R2 of about 0.65 on randomly chosen bins and 0.2 to 0.4 on the last fifth; at 0.5 the
        random split flatters it by about 0.06, and at 0 by nothing.
    drift_time : s, correlation time of those courses.
    rng : int, Generator or None.

    Returns
    -------
    Dataset
        What is recorded: ``counts (time, unit)``, ``position (time, axis)`` (cm, at the end of the
        bin), ``velocity (time, axis)`` (cm/s, mean of the bin), ``target (time, axis)`` (cm),
        ``trial (time)``. And the truth: ``rate (time, unit)`` (Hz), ``log_gain (time, unit)``
        (of the drift), and over ``unit`` ``preferred_direction_true`` (rad),
        ``baseline_rate_true``, ``modulation_depth_true``, ``speed_gain_true``,
        ``position_gain_true`` (Hz), ``position_direction_true`` (rad), ``lag_true`` (s).

    Raises
    ------
    DataError, ShapeError, KindError
        A time, size or rate that is not above 0, a lag range that runs backwards, a drift below 0.

    Notes
    -----
    A reach covers the share :math:`10 s^3 - 15 s^4 + 6 s^5` of its way at the share *s* of its
    time, which has the least jerk; its peak speed is 1.875 times the mean (Flash & Hogan 1985).
    Unit *i* fires Poisson spikes at the rate

    .. math::
        g_i(t) \left[ b_i + d_i \, \frac{v \cos(\theta - \theta_i)}{v_0} + s_i \frac{v}{v_0}
        + p_i \, \frac{x \cos(\phi - \phi_i)}{x_0} \right]_+

    where *v*, *x* and the angles :math:`\theta`, :math:`\phi` of velocity and position are those
    at ``t + lag_i``: cosine tuning to direction (Georgopoulos et al. 1982) scaled by speed, and
    speed on its own (Moran & Schwartz 1999).

    References
    ----------
    Georgopoulos et al. 1982, J Neurosci 2:1527, doi:10.1523/JNEUROSCI.02-11-01527.1982;
    Flash & Hogan 1985, J Neurosci 5:1688, doi:10.1523/JNEUROSCI.05-07-01688.1985;
    Moran & Schwartz 1999, J Neurophysiol 82:2676, doi:10.1152/jn.1999.82.5.2676.

    Examples
    --------
    >>> session = simulate_reaches(10, 5, rng=0)
    >>> session["counts"].dims, session["velocity"].attrs["units"]
    (('time', 'unit'), 'cm/s')
    """
    rng = generator(rng)
    width = check_bin_size(bin_size)
    n_units = check_count(n_units, "n_units")
    reaches = draw_reaches(
        n_trials, n_targets, distance, movement_time, reaction_time, hold_time, timing_cv, rng
    )
    low, high = (float(x) for x in lag_range)
    if not (np.isfinite([low, high]).all() and low <= high):
        raise DataError(
            f"lag_range is ({low:g}, {high:g}) s",
            "The lowest and the highest lag in s, in this order, were needed",
            "Pass lag_range=(0.02, 0.12)",
        )
    baseline = per_unit(
        baseline_rate, 12 * np.exp(0.4 * rng.standard_normal(n_units)), "baseline_rate"
    )
    share = rng.uniform(0.3, 0.9, n_units)
    depth = per_unit(modulation_depth, baseline * share, "modulation_depth")
    tuning = Tuning(
        baseline_rate=baseline,
        preferred_direction=rng.uniform(-np.pi, np.pi, n_units),
        modulation_depth=depth,
        speed_gain=depth * rng.uniform(0.0, 0.5, n_units),
        position_gain=depth * rng.uniform(0.0, 0.1, n_units),
        position_direction=rng.uniform(-np.pi, np.pi, n_units),
        lag=rng.uniform(low, high, n_units),
        reference_speed=PEAK_TO_MEAN * distance / movement_time,
        reference_distance=distance,
    )
    session = record(reaches, tuning, width, drift, drift_time, rng)
    return session.assign_attrs(source="simulated by neurornn.simulate.simulate_reaches")


def draw_reaches(
    n_trials: int,
    n_targets: int,
    distance: float,
    movement_time: float,
    reaction_time: float,
    hold_time: float,
    timing_cv: float,
    rng: np.random.Generator,
) -> Reaches:
    """Draw the times and places of reaches from the centre and back."""
    n_trials, n_targets = check_count(n_trials, "n_trials"), check_count(n_targets, "n_targets")
    distance = check_positive(distance, "distance", "cm")
    means = [
        check_positive(value, name, "s")
        for value, name in (
            (reaction_time, "reaction_time"),
            (movement_time, "movement_time"),
            (hold_time, "hold_time"),
        )
    ]
    if not 0 <= timing_cv < 1:
        raise DataError(
            f"timing_cv is {timing_cv}",
            "A coefficient of variation of at least 0 and below 1 was needed",
            "Pass timing_cv=0.15",
        )
    spread = np.sqrt(np.log1p(timing_cv**2))
    # Log-normal with the mean asked for, (reach, time).
    times = np.array(means) * np.exp(
        spread * rng.standard_normal((2 * n_trials, 3)) - spread**2 / 2
    )
    rounds = -(-n_trials // n_targets)
    order = np.concatenate([rng.permutation(n_targets) for _ in range(rounds)])[:n_trials]
    targets = distance * _directions(2 * np.pi * order / n_targets)
    centre = np.zeros_like(targets)
    ends = np.cumsum(times.sum(axis=1))
    cue = np.concatenate([[0.0], ends[:-1]])
    return Reaches(
        onset=cue + times[:, 0],
        duration=times[:, 1],
        start=np.stack([centre, targets], axis=1).reshape(-1, 2),
        stop=np.stack([targets, centre], axis=1).reshape(-1, 2),
        cue=cue,
        trial=np.repeat(np.arange(n_trials), 2),
        end=float(ends[-1]),
    )


def record(
    reaches: Reaches,
    tuning: Tuning,
    bin_size: float,
    drift: float,
    drift_time: float,
    rng: np.random.Generator,
) -> xr.Dataset:
    """Record reaches and the spikes of tuned neurons in bins, with the truth beside them."""
    if not (np.isfinite(drift) and drift >= 0):
        raise DataError(
            f"drift is {drift}",
            "An sd of the logarithm of excitability, 0 or more, was needed",
            "Pass drift=1.0 for a strong drift, 0 for none",
        )
    n_bins = int(reaches.end / bin_size + 1e-9)
    n_units = len(tuning.baseline_rate)
    edges = np.arange(n_bins + 1, dtype=np.float64) * bin_size
    time = edges[1:]
    rate = np.empty((n_bins, n_units))
    for unit, lag in enumerate(tuning.lag):
        moved = reaches.position(edges + lag)
        rate[:, unit] = tuning.unit_rate(unit, moved[1:], np.diff(moved, axis=0) / bin_size)
    log_gain = np.zeros_like(rate)
    if drift > 0:
        tau = check_positive(drift_time, "drift_time", "s")
        log_gain = drift * _slow_courses(n_bins, n_units, np.exp(-bin_size / tau), rng)
    rate *= np.exp(log_gain)
    place = reaches.position(edges)
    cued = reaches.current(time)
    per_bin = {
        "counts": ("unit", rng.poisson(rate * bin_size), count_attrs(bin_size)),
        "position": ("axis", place[1:], {"units": "cm", "long_name": "position of the hand"}),
        "velocity": (
            "axis",
            np.diff(place, axis=0) / bin_size,
            {"units": "cm/s", "long_name": "velocity of the hand"},
        ),
        "target": ("axis", reaches.stop[cued], {"units": "cm", "long_name": "target"}),
        "rate": ("unit", rate, {"units": "Hz", "long_name": "true rate"}),
        "log_gain": ("unit", log_gain, {"units": "1", "long_name": "log of excitability"}),
    }
    session = xr.Dataset(
        {name: (("time", dim), values, attrs) for name, (dim, values, attrs) in per_bin.items()},
        coords={
            "time": ("time", time, time_attrs("time")),
            "unit": np.arange(n_units),
            "axis": ["x", "y"],
        },
    )
    session["trial"] = ("time", reaches.trial[cued], {"long_name": "number of the trial"})
    return session.assign(tuning_truth(tuning))


def tuning_truth(tuning: Tuning) -> dict[str, tuple[str, NDArray[np.float64], dict[str, str]]]:
    """Lay out the tuning as variables over ``unit``."""
    units = {
        "baseline_rate": "Hz",
        "preferred_direction": "rad",
        "modulation_depth": "Hz",
        "speed_gain": "Hz",
        "position_gain": "Hz",
        "position_direction": "rad",
        "lag": "s",
    }
    return {
        f"{name}_true": (
            "unit",
            getattr(tuning, name),
            {"units": unit, "long_name": name.replace("_", " ")},
        )
        for name, unit in units.items()
    }


def per_unit(
    given: ArrayLike | None, default: NDArray[np.float64], name: str
) -> NDArray[np.float64]:
    """Return one value per unit in Hz: those given, or the default."""
    if given is None:
        return default
    values = np.asarray(given, dtype=float)
    if values.shape not in ((), default.shape):
        raise ShapeError(
            f"{name} has shape {values.shape} for {len(default)} units",
            "One number, or one for each unit, was needed",
            f"Pass {name} as a scalar or an array ({len(default)},)",
        )
    if not (np.isfinite(values).all() and np.all(values >= 0)):
        raise DataError(
            f"{name} holds {values.min():g}",
            "Finite rates in Hz, 0 or more, were needed",
            f"Check {name}",
        )
    return np.array(np.broadcast_to(values, default.shape))


def _directions(angle: ArrayLike) -> NDArray[np.float64]:
    """Unit vectors (..., axis) of angles in rad."""
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def _slow_courses(
    n_bins: int, n_units: int, keep: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Mixtures (time, unit) of shared Ornstein-Uhlenbeck courses; variance 1 at every time."""
    noise = rng.standard_normal((n_bins, N_DRIFTS))
    noise[1:] *= np.sqrt(1 - keep**2)
    courses = lfilter([1.0], [1.0, -keep], noise, axis=0)
    mixture = rng.standard_normal((N_DRIFTS, n_units))
    return np.asarray(courses @ (mixture / np.linalg.norm(mixture, axis=0)))
