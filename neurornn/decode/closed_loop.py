"""A decoder in the loop with a user: trials, their scores, and what the user meant to do."""

from typing import Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import (
    check_bin_size,
    check_confidence_level,
    check_count,
    check_number,
    check_numbers,
    check_positive,
    check_rng,
)
from neurornn._core.confidence import Estimate, binomial_interval, median_interval, to_dataset
from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError, nearest
from neurornn._core.rng import RNG, generator
from neurornn.data.spike_table import count_attrs, time_attrs
from neurornn.decode.scores import fitts_bit_rate

#: A trial longer than an hour, s, is one in ms.
LONGEST_TRIAL = 3600.0
#: Pause between trials on the common clock, s; nothing is recorded in it.
PAUSE = 1.0


class _Stream(Protocol):
    """A decoder, one bin at a time."""

    def step(self, counts: NDArray[np.int64]) -> Any:
        """Take the counts (unit,) of one bin and return the velocity (axis,), cm/s."""

    def reset(self) -> Any:
        """Forget the bins so far."""


class _User(Protocol):
    """Who drives the cursor, for example `neurornn.simulate.CursorUser`."""

    bin_size: float

    def reset(self, target: ArrayLike, position: ArrayLike) -> None:
        """Begin a trial."""

    def counts(self, cursor_position: ArrayLike, cursor_velocity: ArrayLike) -> NDArray[np.int64]:
        """Spikes (unit,) of one bin."""


def run_closed_loop(
    stream: _Stream,
    user: _User,
    *,
    targets: ArrayLike | None = None,
    n_trials: int = 80,
    target_radius: float = 1.0,
    hold_time: float = 0.5,
    timeout: float = 5.0,
    start: ArrayLike = (0.0, 0.0),
    rng: RNG = None,
) -> xr.Dataset:
    """Let a user drive a cursor through a decoder, from the centre to one target after another.

    Parameters
    ----------
    stream : decoder with ``step(counts (unit,)) -> velocity (axis,)`` in cm/s and ``reset()``
        For example ``KalmanFilter(...).fit(...).stream()``. It is reset before every trial.
    user : for example `neurornn.simulate.CursorUser`
        Its `bin_size` is the step of the loop. Where it has an ``intention``, that is recorded.
    targets : (target, axis), cm
        Dealt out evenly in random order; by default eight at 8 cm from `start`.
    n_trials : trials.
    target_radius : cm, of the circle in which the cursor must stay.
    hold_time : s, for which it must stay there without a break.
    timeout : s, after which a trial fails.

    Other Parameters
    ----------------
    start : (axis,), cm, where the cursor rests at the start of every trial.
    rng : int, Generator or None; for the order of the targets. The user has its own.

    Returns
    -------
    Dataset
        The trials are its ``interval``s: ``start``, ``stop`` (s), ``success``,
        ``time_to_target`` (s, until the cursor entered the target to stay; without the hold),
        ``dial_in_time`` (s, of it, from the first entry), ``path_efficiency``, ``distance`` (cm,
        at the start, to the centre of the target); NaN for the three where the trial failed.

        The traces stand on one clock with a pause of 1 s between trials: ``counts (time, unit)``,
        ``position`` (cm, at the end of the bin), ``velocity`` (cm/s, as decoded), ``target`` (cm)
        and ``intention`` (cm/s, the truth) over ``(time, axis)``, ``trial (time)`` and
        ``on_target (time)``.

    Raises
    ------
    KindError, ShapeError, DataError
        A stream or user without the methods above; a velocity that is not (axis,) or not finite;
        a target that holds the starting point; times that are shorter than a bin.

    Notes
    -----
    In every bin the user sees the cursor, fires, the stream decodes a velocity, and the cursor
    moves by it times the bin size. Path efficiency is the distance by which the cursor came
    nearer to the target over the length of its path, until it entered to stay: 1 for a straight
    path, and cos(a) for a decoder that turns every velocity by the angle a. Times as in Gilja et
    al. 2012, who count from the appearance of the target and leave the hold out.

    References
    ----------
    Gilja et al. 2012, Nat Neurosci 15:1752, doi:10.1038/nn.3265;
    Cunningham et al. 2011, J Neurophysiol 105:1932, doi:10.1152/jn.00503.2010.
    """
    for name, thing, methods in (
        ("stream", stream, ("step", "reset")),
        ("user", user, ("reset", "counts", "bin_size")),
    ):
        lacking = [m for m in methods if not hasattr(thing, m)]
        if lacking:
            raise KindError(
                f"{name} is a {type(thing).__name__} without {' and '.join(lacking)}",
                f"Something with {', '.join(methods)} was needed",
                "Pass decoder.stream()" if name == "stream" else "Pass simulate.CursorUser()",
            )
    width = check_bin_size(user.bin_size)
    radius = check_positive(target_radius, "target_radius", "cm")
    n_hold, n_most = _bins(hold_time, "hold_time", width), _bins(timeout, "timeout", width)
    home = check_numbers(start, "start", missing=False)
    goals = _as_targets(targets, home, radius)
    rests = float(getattr(user, "rest_radius", 0.0))
    if rests > radius:
        raise DataError(
            f"The user rests within {rests:g} cm of the centre, and the target has a radius of "
            f"{radius:g} cm",
            "A user who rests only inside the target was needed",
            "Make it with CursorUser(rest_radius=...), or choose a larger target_radius",
        )
    n_trials = check_count(n_trials, "n_trials", most=1_000_000)
    rng = generator(check_rng(rng))
    rounds = -(-n_trials // len(goals))
    order = np.concatenate([rng.permutation(len(goals)) for _ in range(rounds)])[:n_trials]
    trials = [_run_trial(stream, user, goals[k], home, radius, n_hold, n_most) for k in order]
    return _as_dataset(trials, goals[order], home, width, radius, n_hold)


def closed_loop_scores(trials: xr.Dataset, *, confidence_level: float = 0.95) -> xr.Dataset:
    """Score closed-loop trials.

    Parameters
    ----------
    trials : Dataset of `run_closed_loop`.
    confidence_level : of the intervals.

    Returns
    -------
    Dataset
        Each with ``_ci``: ``success_rate`` (Wilson); of the successful trials the medians of
        ``time_to_target`` (s), ``dial_in_time`` (s) and ``path_efficiency`` (from their order),
        and the mean ``bit_rate`` (bit/s, see `fitts_bit_rate`; the width is the diameter of the
        target). Also ``n_trials`` and ``n_success``.

    Raises
    ------
    NameUnknownError, DataError
        The Dataset is not one of closed-loop trials.
    """
    _need(trials, ("success", "time_to_target", "dial_in_time", "path_efficiency", "distance"))
    check_confidence_level(confidence_level)
    hit = trials["success"].values.astype(bool)
    n, n_hit = len(hit), int(hit.sum())
    few = "too few successful trials for an interval of the median"
    estimates = [
        Estimate(name="success_rate", value=n_hit / n if n else np.nan,
                 ci=binomial_interval(n_hit, n, confidence_level), units="1",
                 long_name="share of trials acquired in time", method=f"{n} trials; Wilson",
                 reason="no trials"),
    ]  # fmt: skip
    for name in ("time_to_target", "dial_in_time", "path_efficiency"):
        values = trials[name].values[hit]
        estimates.append(
            Estimate(
                name=name,
                value=np.median(values) if n_hit else np.nan,
                ci=median_interval(values, confidence_level),
                units=str(trials[name].attrs["units"]),
                of_data=True,
                long_name=f"median {trials[name].attrs['long_name']}",
                method=f"{n_hit} successful trials; order statistics",
                reason=few,
            )
        )
    table = to_dataset(estimates, confidence_level=confidence_level)
    bits = fitts_bit_rate(
        trials["distance"].values,
        2 * float(trials.attrs["target_radius"]),
        trials["time_to_target"].values,
        hit,
        confidence_level=confidence_level,
    )
    table = table.merge(bits, combine_attrs="override")
    return table.assign_attrs(
        {k: trials.attrs[k] for k in ("target_radius", "hold_time") if k in trials.attrs}
    )


def intended_velocity(traces: xr.Dataset) -> xr.DataArray:
    """Estimate what a user meant while driving a cursor, to fit the decoder once more.

    Parameters
    ----------
    traces : Dataset of `run_closed_loop`, or one with ``position``, ``velocity`` and ``target``
        over ``(time, axis)`` and ``on_target (time)``; ``bin_size`` in the attrs of ``counts``.

    Returns
    -------
    DataArray (time, axis), cm/s
        The decoded velocity turned towards the target from where the cursor was at the start of
        the bin, its speed kept; 0 where the cursor is on the target.

    Raises
    ------
    NameUnknownError, KindError
        A variable is missing.

    Notes
    -----
    The step of ReFIT that replaces the recorded kinematics by intended ones: the user is taken to
    aim straight at the target at all times, and to rest on it (Gilja et al. 2012). Fit the
    decoder to the ``counts`` of the same traces and this velocity.

    References
    ----------
    Gilja et al. 2012, Nat Neurosci 15:1752, doi:10.1038/nn.3265.
    """
    _need(traces, ("counts", "position", "velocity", "target", "on_target"))
    position, velocity, target = (
        traces[name].transpose("time", "axis").values
        for name in ("position", "velocity", "target")
    )
    width = check_bin_size(traces["counts"].attrs["bin_size"])
    way = target - (position - velocity * width)
    distance = np.linalg.norm(way, axis=1, keepdims=True)
    speed = np.linalg.norm(velocity, axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        turned = np.where(distance > 0, way / distance * speed, 0.0)
    turned[traces["on_target"].values.astype(bool)] = 0.0
    out = traces["velocity"].transpose("time", "axis").copy(data=turned)
    out.attrs = {"units": "cm/s", "long_name": "intended velocity", "bin_size": width}
    return out.rename("intended_velocity")


def _run_trial(
    stream: _Stream,
    user: _User,
    goal: NDArray[np.float64],
    home: NDArray[np.float64],
    radius: float,
    n_hold: int,
    n_most: int,
) -> dict[str, list[Any]]:
    """Run one trial, bin by bin; the lists are over bins."""
    traces: dict[str, list[Any]] = {"counts": [], "position": [], "velocity": [], "intention": []}
    inside: list[bool] = []
    user.reset(goal, home)
    stream.reset()
    position, velocity, held = home.copy(), np.zeros_like(home), 0
    for _ in range(n_most):
        counts = user.counts(position, velocity)
        # A copy: a stream may write every step into the same buffer.
        velocity = np.array(stream.step(counts), dtype=float)
        if velocity.shape != home.shape or not np.isfinite(velocity).all():
            raise ShapeError(
                f"The stream returned {velocity.tolist()}, shape {velocity.shape}",
                f"A finite velocity (axis,) of {len(home)} axes in cm/s was needed",
                "Fit the decoder to the velocity alone, for example session['velocity']",
            )
        position = position + velocity * user.bin_size
        traces["counts"].append(np.array(counts))
        traces["position"].append(position)
        traces["velocity"].append(velocity)
        traces["intention"].append(getattr(user, "intention", None))
        inside.append(float(np.linalg.norm(position - goal)) <= radius)
        held = held + 1 if inside[-1] else 0
        if held >= n_hold:
            break
    return {**traces, "on_target": inside}


def _as_dataset(
    trials: list[dict[str, list[Any]]],
    goals: NDArray[np.float64],
    home: NDArray[np.float64],
    width: float,
    radius: float,
    n_hold: int,
) -> xr.Dataset:
    lengths = np.array([len(t["on_target"]) for t in trials])
    begin = np.concatenate([[0.0], np.cumsum(lengths * width + PAUSE)[:-1]])
    steps = np.concatenate([np.arange(n) + 1 for n in lengths])
    time = np.repeat(begin, lengths) + steps * width
    rows = [_trial_row(t, g, home, n_hold) for t, g in zip(trials, goals, strict=True)]
    success, entry, first, efficiency = map(np.array, zip(*rows, strict=True))
    axis = ["x", "y", "z"][: len(home)] if len(home) <= 3 else list(range(len(home)))
    out = xr.Dataset(
        coords={
            "time": ("time", time, time_attrs("time")),
            "unit": np.arange(len(trials[0]["counts"][0])),
            "axis": axis,
        },
        attrs={
            "target_radius": radius,
            "hold_time": n_hold * width,
            "source": "neurornn.decode.run_closed_loop",
        },
    )

    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([np.array(t[name]) for t in trials])

    out["counts"] = (("time", "unit"), joined("counts"), count_attrs(width))
    both = ("time", "axis")
    goal = np.repeat(goals, lengths, axis=0)
    for name, values, units, told in (
        ("position", joined("position"), "cm", "position of the cursor"),
        ("velocity", joined("velocity"), "cm/s", "decoded velocity"),
        ("target", goal, "cm", "target"),
    ):
        out[name] = (both, values, {"units": units, "long_name": told})
    if trials[0]["intention"][0] is not None:
        meant = {"units": "cm/s", "long_name": "velocity the user intended"}
        out["intention"] = (both, joined("intention"), meant)
    numbers = np.repeat(np.arange(len(trials)), lengths)
    out["trial"] = ("time", numbers, {"long_name": "number of the trial"})
    out["on_target"] = ("time", joined("on_target"), {"long_name": "cursor on the target"})
    stop = begin + lengths * width
    distance = np.linalg.norm(goals - home, axis=1)
    for name, values, units, told in (
        ("start", begin, "s", "start of the trial"),
        ("stop", stop, "s", "end of the trial"),
        ("success", success, "1", "target acquired in time"),
        ("time_to_target", entry * width, "s", "time to target"),
        ("dial_in_time", (entry - first) * width, "s", "time from first to last entry"),
        ("path_efficiency", efficiency, "1", "path efficiency"),
        ("distance", distance, "cm", "distance from the start to the target"),
    ):
        out[name] = ("interval", values, {"units": units, "long_name": told})
    return out


def _trial_row(
    trial: dict[str, list[Any]], goal: NDArray[np.float64], home: NDArray[np.float64], n_hold: int
) -> tuple[bool, float, float, float]:
    """Success, bins until the last and the first entry, path efficiency; NaN where it failed."""
    inside = np.array(trial["on_target"])
    if len(inside) < n_hold or not inside[-n_hold:].all():
        return False, np.nan, np.nan, np.nan
    last = len(inside) - n_hold
    path = np.concatenate([[home], trial["position"][: last + 1]])
    length = float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())
    nearer = float(np.linalg.norm(path[0] - goal) - np.linalg.norm(path[-1] - goal))
    return True, last + 1.0, float(np.argmax(inside)) + 1.0, nearer / length


def _as_targets(
    targets: ArrayLike | None, home: NDArray[np.float64], radius: float
) -> NDArray[np.float64]:
    if home.ndim != 1 or not len(home):
        raise ShapeError(
            f"start has shape {home.shape}", "A point (axis,) in cm was needed", "Pass (0.0, 0.0)"
        )
    if targets is None and len(home) != 2:
        raise ShapeError(
            f"start has {len(home)} axes and no targets came",
            "A point (x, y) in cm, or targets with the axes of start, was needed",
            "Pass targets=",
        )
    if targets is None:
        angle = 2 * np.pi * np.arange(8) / 8
        targets = home + 8.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    goals = check_numbers(targets, "targets", missing=False)
    if goals.ndim != 2 or goals.shape[1] != len(home) or not len(goals):
        raise ShapeError(
            f"targets has shape {goals.shape} and start {home.shape}",
            "Targets (target, axis) in cm with the axes of start were needed",
            "Pass [[8, 0], [0, 8], [-8, 0], [0, -8]]",
        )
    near = np.linalg.norm(goals - home, axis=1)
    if not np.all(near > radius):
        raise DataError(
            f"A target lies {near.min():g} cm from the start and has a radius of {radius:g} cm",
            "Targets that do not hold the starting point were needed",
            "Choose a smaller target_radius, or leave the centre out of targets",
        )
    return goals


def _bins(duration: float, name: str, width: float) -> int:
    n = round(check_number(duration, name, "s", above=0, most=LONGEST_TRIAL) / width)
    if n < 1:
        raise DataError(
            f"{name} is {duration:g} s and a bin {width:g} s",
            "At least one bin was needed",
            f"Pass {name} in s, not shorter than a bin",
        )
    return n


def _need(table: Any, names: tuple[str, ...]) -> None:
    if not isinstance(table, xr.Dataset):
        raise KindError(
            f"A {type(table).__name__} came",
            "The Dataset of decode.run_closed_loop was needed",
            "Pass what run_closed_loop returned",
        )
    for name in names:
        if name not in table:
            raise NameUnknownError(
                f"The Dataset has no {name}",
                f"{', '.join(names)} were needed",
                nearest(name, map(str, table.data_vars)),
            )
