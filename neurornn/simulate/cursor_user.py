"""A simulated user of a brain-machine interface: an intention and neurons that encode it."""

from collections import deque

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import check_bin_size, check_count, check_positive
from neurornn._core.errors import DataError, ShapeError
from neurornn._core.rng import RNG, generator
from neurornn.simulate.reaching import (
    PEAK_TO_MEAN,
    Tuning,
    draw_reaches,
    per_unit,
    record,
    tuning_truth,
)


class CursorUser:
    """A user who drives a cursor with neurons whose tuning differs from that in training.

    Parameters
    ----------
    n_units : neurons.
    bin_size : s, of the counts and of the loop.
    feedback_delay : s
        The user sees the cursor where it was this long ago; rounded to whole bins.
    top_speed : cm/s, fastest intended speed.
    approach_time : s
        Nearer than ``top_speed * approach_time`` the intended speed is the distance over this
        time, so that the cursor slows down.
    rest_radius : cm
        Nearer to the centre of the target than this the user intends to rest. Keep it below the
        radius of the target, or the user rests before the target is reached.
    context_change : rad
        sd over units of the rotation of the preferred direction from training to closed loop.
    depth_change : sd over units of the logarithm of the ratio of closed-loop to training depth.

    Other Parameters
    ----------------
    foresight : 0 to 1
        Share of the delay that the user makes up for by carrying the cursor on with the velocity
        it sees, as by an internal model of the cursor (Golub et al. 2015). 0: none.
    baseline_rate, modulation_depth : Hz, scalar or (unit,)
        As in `simulate_reaches`; the depth is that at `top_speed` in training.
    rng : int, Generator or None
        Draws the neurons, and then their spikes.

    Attributes
    ----------
    bin_size : s.
    n_units : number of neurons.

    Raises
    ------
    DataError, ShapeError, KindError
        A setting that is not above 0 (or not 0 or more), values that are not one per unit.

    Notes
    -----
    The user aims from the place ``p`` where the cursor is seen at the target ``g``, with the
    velocity ``min(top_speed, |g - p| / approach_time)`` along ``g - p``, and with none within
    `rest_radius`. Unit *i* fires Poisson spikes at ``max(b_i + d_i (u . e_i) / top_speed, 0)``
    for the intended velocity u: cosine tuning (Georgopoulos et al. 1982), without a lag, since no
    limb follows. In `observe` the observed velocity takes the place of u, with the directions and
    depths of the training context. Closing the loop with simulated neurons before an experiment
    follows Cunningham et al. 2011; there a person steered, here a rule does. That tuning differs
    between contexts is known from monkeys (Taylor et al. 2002) and people (Jarosiewicz et al.
    2013); the sizes set here are no measurement of theirs.

    References
    ----------
    Georgopoulos et al. 1982, J Neurosci 2:1527, doi:10.1523/JNEUROSCI.02-11-01527.1982;
    Taylor, Tillery & Schwartz 2002, Science 296:1829, doi:10.1126/science.1070291;
    Cunningham et al. 2011, J Neurophysiol 105:1932, doi:10.1152/jn.00503.2010;
    Gilja et al. 2012, Nat Neurosci 15:1752, doi:10.1038/nn.3265;
    Jarosiewicz et al. 2013, J Neural Eng 10:046012, doi:10.1088/1741-2560/10/4/046012;
    Golub, Yu & Chase 2015, eLife 4:e10015, doi:10.7554/eLife.10015.

    Examples
    --------
    >>> user = CursorUser(5, rng=0)
    >>> training = user.observe(10)
    >>> user.reset(target=[8.0, 0.0], position=[0.0, 0.0])
    >>> counts = user.counts([0.0, 0.0], [0.0, 0.0])
    >>> counts.shape, user.intention.tolist()
    ((5,), [15.0, 0.0])
    """

    def __init__(
        self,
        n_units: int = 60,
        *,
        bin_size: float = 0.02,
        feedback_delay: float = 0.1,
        top_speed: float = 15.0,
        approach_time: float = 0.4,
        rest_radius: float = 0.5,
        context_change: float = 0.5,
        depth_change: float = 0.2,
        foresight: float = 0.0,
        baseline_rate: ArrayLike | None = None,
        modulation_depth: ArrayLike | None = None,
        rng: RNG = None,
    ) -> None:
        self.bin_size = check_bin_size(bin_size)
        self.n_units = check_count(n_units, "n_units")
        self.top_speed = check_positive(top_speed, "top_speed", "cm/s")
        self.approach_time = check_positive(approach_time, "approach_time", "s")
        for name, value, unit in (
            ("feedback_delay", feedback_delay, "s"),
            ("rest_radius", rest_radius, "cm"),
            ("context_change", context_change, "rad"),
            ("depth_change", depth_change, "in the logarithm"),
            ("foresight", foresight, "of the delay"),
        ):
            if not (np.isfinite(value) and value >= 0):
                raise DataError(
                    f"{name} is {value}", f"0 or more ({unit}) was needed", f"Check {name}"
                )
        self.feedback_delay, self.rest_radius = float(feedback_delay), float(rest_radius)
        self.context_change, self.depth_change = float(context_change), float(depth_change)
        self.foresight = float(foresight)
        self._n_delay = round(self.feedback_delay / self.bin_size)
        self._rng = generator(rng)
        n, draw = self.n_units, self._rng
        baseline = per_unit(
            baseline_rate, 12 * np.exp(0.4 * draw.standard_normal(n)), "baseline_rate"
        )
        share = draw.uniform(0.3, 0.9, n)
        none = np.zeros(n)
        self._training = Tuning(
            baseline_rate=baseline,
            preferred_direction=draw.uniform(-np.pi, np.pi, n),
            modulation_depth=per_unit(modulation_depth, baseline * share, "modulation_depth"),
            speed_gain=none,
            position_gain=none,
            position_direction=none,
            lag=none,
            reference_speed=self.top_speed,
            reference_distance=1.0,
        )
        rotation = self.context_change * draw.standard_normal(n)
        scale = np.exp(self.depth_change * draw.standard_normal(n))
        self._direction = self._training.preferred_direction + rotation
        self._depth = self._training.modulation_depth * scale
        # (axis, unit): Hz of each unit per cm/s of intended velocity.
        compass = np.stack([np.cos(self._direction), np.sin(self._direction)])
        self._gain = self._depth * compass / self.top_speed
        self._target: NDArray[np.float64] | None = None
        self._intention = np.zeros(2)
        self._seen: deque[tuple[NDArray[np.float64], NDArray[np.float64]]] = deque(
            maxlen=self._n_delay + 1
        )

    def reset(self, target: ArrayLike, position: ArrayLike) -> None:
        """Begin a trial: a target appears while the cursor rests.

        Parameters
        ----------
        target : (axis,), cm.
        position : (axis,), cm, of the cursor; it is seen there until the delay has passed.
        """
        self._target = _point(target, "target")
        at = _point(position, "position")
        self._seen.clear()
        self._seen.extend([(at, np.zeros(2))] * (self._n_delay + 1))
        self._intention = self._aim()

    def counts(self, cursor_position: ArrayLike, cursor_velocity: ArrayLike) -> NDArray[np.int64]:
        """Take in where the cursor is, intend a velocity, and fire for one bin.

        Parameters
        ----------
        cursor_position : (axis,), cm, at the start of the bin.
        cursor_velocity : (axis,), cm/s.

        Returns
        -------
        array (unit,), int64
            Spikes in the bin.

        Raises
        ------
        DataError
            No target was set with `reset`.
        """
        if self._target is None:
            raise DataError(
                "The user has no target",
                "A target and a position of the cursor were needed before the first bin",
                "Call user.reset(target, position)",
            )
        at = _point(cursor_position, "cursor_position")
        self._seen.append((at, _point(cursor_velocity, "cursor_velocity")))
        self._intention = self._aim()
        rate = np.maximum(self._training.baseline_rate + self._intention @ self._gain, 0.0)
        return self._rng.poisson(rate * self.bin_size)

    def _aim(self) -> NDArray[np.float64]:
        assert self._target is not None
        way = self._target - self.seen_position
        distance = float(np.linalg.norm(way))
        if distance <= self.rest_radius:
            return np.zeros(2)
        return way / distance * min(self.top_speed, distance / self.approach_time)

    @property
    def intention(self) -> NDArray[np.float64]:
        """Velocity that the user intends, (axis,), cm/s."""
        return self._intention.copy()

    @property
    def seen_position(self) -> NDArray[np.float64]:
        """Where the user takes the cursor to be, (axis,), cm."""
        if not self._seen:
            return np.full(2, np.nan)
        position, velocity = self._seen[0]
        return position + self.foresight * self._n_delay * self.bin_size * velocity

    @property
    def truth(self) -> xr.Dataset:
        """Tuning of the neurons over ``unit``.

        That in training as in `observe`, and ``preferred_direction_closed`` (rad) and
        ``modulation_depth_closed`` (Hz), those while the user drives the cursor.
        """
        table = xr.Dataset(tuning_truth(self._training), coords={"unit": np.arange(self.n_units)})
        table["preferred_direction_closed"] = (
            "unit",
            self._direction,
            {"units": "rad", "long_name": "preferred direction in closed loop"},
        )
        table["modulation_depth_closed"] = (
            "unit",
            self._depth,
            {"units": "Hz", "long_name": "modulation depth in closed loop"},
        )
        return table

    def observe(
        self,
        n_trials: int = 80,
        *,
        n_targets: int = 8,
        distance: float = 8.0,
        reaction_time: float = 0.25,
        hold_time: float = 0.3,
        timing_cv: float = 0.15,
        drift: float = 0.0,
        drift_time: float = 200.0,
        rng: RNG = None,
    ) -> xr.Dataset:
        """Record training data in open loop: the user follows reaches it does not control.

        Parameters
        ----------
        n_trials, n_targets, distance, reaction_time, hold_time, timing_cv, drift, drift_time
            As in `simulate_reaches`; the mean reach has `top_speed` at its peak.
        rng : int, Generator or None
            By default the user's own.

        Returns
        -------
        Dataset
            As from `simulate_reaches`, from the same neurons with their tuning in training.
        """
        draw = self._rng if rng is None else generator(rng)
        movement_time = PEAK_TO_MEAN * check_positive(distance, "distance", "cm") / self.top_speed
        reaches = draw_reaches(
            n_trials,
            n_targets,
            distance,
            movement_time,
            reaction_time,
            hold_time,
            timing_cv,
            draw,
        )
        session = record(reaches, self._training, self.bin_size, drift, drift_time, draw)
        return session.assign_attrs(source="simulated by neurornn.simulate.CursorUser")


def _point(value: ArrayLike, name: str) -> NDArray[np.float64]:
    point = np.array(value, dtype=float)
    if point.shape != (2,):
        raise ShapeError(
            f"{name} has shape {point.shape}",
            "A point or velocity (axis,) of 2 axes was needed",
            "Pass (x, y)",
        )
    if not np.isfinite(point).all():
        raise DataError(
            f"{name} is {point.tolist()}",
            "Finite numbers were needed",
            "Does the decoder return NaN? Check its fit and the counts it is given",
        )
    return point
