"""Trials of tasks: phases of a length in s, and what came of them as windows for `nr.fit`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_number, check_positive
from neurornn._core.errors import DataError, KindError, UnitWarning
from neurornn._core.warning import warn_user

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: A duration in s, or the (shortest, longest) between which each trial draws its own.
Duration = float | tuple[float, float]
#: A phase longer than this, s, may have been meant in ms.
_LONG = 60.0


class Phases:
    """Which steps of each trial belong to which phase.

    Every phase is a whole number of steps, the nearest to its length in s, so that a phase of one
    length has as many steps in every trial. Step k stands for ``(k dt, (k + 1) dt]``.

    Parameters
    ----------
    n_trials : trials.
    dt : s, of a step.
    rng : draws what has a range, before anything that depends on dt.
    may_vanish : names of the phases that may have no step.
    durations : s, of each phase in their order, by name; a pair is a range.

    Raises
    ------
    KindError, DataError
        A duration that is none, a range upside down, a phase shorter than half a step.

    Warns
    -----
    UnitWarning
        Durations that look like ms.
    """

    def __init__(
        self,
        n_trials: int,
        dt: float,
        rng: np.random.Generator,
        may_vanish: Sequence[str] = ("fixation", "delay"),
        **durations: Duration,
    ) -> None:
        self.names, self.dt = list(durations), dt
        steps, longest = [], 0
        for name, given in durations.items():
            low, high = duration_range(given, name)
            drawn = np.full(n_trials, low) if low == high else rng.uniform(low, high, n_trials)
            if name not in may_vanish:
                check_lasts(low, name, dt)
            steps.append(np.rint(drawn / dt).astype(np.int64))
            # The longest that could be drawn: every draw has arrays of one size.
            longest += int(np.rint(high / dt))
        self.edges = np.cumsum([np.zeros(n_trials, np.int64), *steps], axis=0)
        self.n_steps = max(longest, 1)

    def during(self, *names: str) -> Mask:
        """Steps of one or several phases, (trial, time)."""
        step = np.arange(self.n_steps)
        found = np.zeros((self.edges.shape[1], self.n_steps), dtype=bool)
        for name in names:
            k = self.names.index(name)
            found |= (step >= self.edges[k][:, None]) & (step < self.edges[k + 1][:, None])
        return found

    def length(self, name: str) -> Array:
        """Length of a phase as it became, (trial,), s."""
        k = self.names.index(name)
        return np.asarray((self.edges[k + 1] - self.edges[k]) * self.dt)


def duration_range(given: Any, name: str) -> tuple[float, float]:
    """Return the shortest and the longest a duration can be, s; a number is both.

    Raises
    ------
    KindError, DataError
        Neither a number nor a pair, below 0, upside down.

    Warns
    -----
    UnitWarning
        Where it looks like ms.
    """
    if isinstance(given, tuple | list):
        if len(given) != 2:
            raise KindError(
                f"{name} holds {len(given)} numbers",
                "A duration in s, or the shortest and the longest, was needed",
                f"Pass for example {name}=(0.5, 1.5)",
            )
        low, high = (check_number(v, f"{name}[{k}]", "s", least=0.0) for k, v in enumerate(given))
        if low > high:
            raise DataError(
                f"{name} is ({low:g}, {high:g}) s",
                "A shortest and a longest duration were needed",
                "Check the order: shortest, then longest",
            )
    else:
        low = high = check_number(given, name, "s", least=0.0)
    if high > _LONG:
        warn_user(f"{name} is {high:g} s. Are these ms? Then pass {high / 1000:g}.", UnitWarning)
    return low, high


def check_lasts(duration: float, name: str, dt: float) -> None:
    """Raise `DataError` where a phase that must be there would have no step."""
    if np.rint(duration / dt) < 1:
        raise DataError(
            f"{name} is {duration:g} s and dt {dt:g} s",
            f"At least one step of {name} was needed",
            f"Pass a longer {name} or a shorter dt",
        )


def task_steps(duration: float, dt: float) -> int:
    """Return the number of steps of a trial of a length in s, at least one."""
    low, _ = duration_range(check_positive(duration, "duration", "s"), "duration")
    check_lasts(low, "duration", dt)
    return round(low / dt)


def noise(shape: tuple[int, ...], sd: float, dt: float, rng: np.random.Generator) -> Array:
    """White noise whose integral over a second has the sd given, whatever dt is.

    Parameters
    ----------
    shape : of the noise.
    sd : of the integral over a second; per step it is ``sd / sqrt(dt)``.
    dt : s.
    rng : drawn from only where there is noise.
    """
    return rng.standard_normal(shape) * (sd / np.sqrt(dt)) if sd else np.zeros(shape)


def task_windows(
    inputs: Mapping[str, Array],
    targets: Mapping[str, Array],
    counts: Mask | None,
    dt: float,
    truth: Mapping[str, tuple[Any, str, str]],
    **attrs: Any,
) -> xr.Dataset:
    """Lay out a task as windows for `nr.fit`.

    Parameters
    ----------
    inputs, targets : (trial, time) of each channel, by name.
    counts : (trial, time), True where the targets are scored; None for everywhere. A target that
        does not count is 0.
    dt : s.
    truth : what each trial was made from, by name: (trial,), its unit, and what it is.
    attrs : what is known of the task, its source first of all.
    """
    made = {
        "inputs": (("trial", "time", "input"), np.stack(list(inputs.values()), 2), {"units": "1"}),
    }
    given = np.stack(list(targets.values()), 2)
    if counts is not None:
        given = np.where(counts[..., None], given, 0.0)
    made["targets"] = (("trial", "time", "output"), given, {"units": "1"})
    if counts is not None:
        made["mask"] = (
            ("trial", "time", "output"), np.repeat(counts[..., None], given.shape[2], 2),
            {"long_name": "True where the target is scored"},
        )  # fmt: skip
    time = (np.arange(given.shape[1]) + 1) * dt
    return xr.Dataset(
        {
            **made,
            **{k: ("trial", v, {"units": u, "long_name": told})
               for k, (v, u, told) in truth.items()},
        },
        coords={
            "time": ("time", time, {"units": "s"}),
            "input": list(inputs), "output": list(targets),
        },
        attrs={"dt": dt, "time_unit": "s", **attrs},
    )  # fmt: skip
