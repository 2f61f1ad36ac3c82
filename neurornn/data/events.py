"""Time windows around events: what a trial, a PSTH or an average is cut from."""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import check_numbers
from neurornn._core.errors import DataError, NameUnknownError, ShapeError, UnitError, nearest
from neurornn._core.units import symbol


class EventWindows(NamedTuple):
    """Windows around events, one a trial.

    Attributes
    ----------
    ranges : (trial, 2), s, on the clock of the recording.
    times : (trial,), s, of the events.
    before : s, from the start of a window to its event.
    n_missing : events that are NaN, and were left out.
    """

    ranges: NDArray[np.float64]
    times: NDArray[np.float64]
    before: float
    n_missing: int


def event_windows(
    recording: Any, events: str | ArrayLike, window: tuple[float, float]
) -> EventWindows:
    """Return the time ranges around events.

    Parameters
    ----------
    recording : Dataset that holds `events` where these are a name; anything else where they are
        times.
    events : (event,), s; or the name of a variable with the times, such as ``"start"`` for the
        intervals of a recording.
    window : (from, to), s, around each event; from below to.

    Returns
    -------
    EventWindows

    Raises
    ------
    NameUnknownError, ShapeError, UnitError, DataError
        No such variable; times that are no list of numbers, or in no s; an empty window.

    Examples
    --------
    >>> import neurornn as nr
    >>> rec = nr.data.from_spikes([[0.5, 1.5]], t_start=0.0, t_stop=3.0)
    >>> event_windows(rec, [1.0, 2.0], (-0.5, 0.5)).ranges.tolist()
    [[0.5, 1.5], [1.5, 2.5]]
    """
    ends = check_numbers(window, "window", missing=False)
    if ends.shape != (2,) or not ends[0] < ends[1]:
        raise DataError(
            f"window is {tuple(np.ravel(ends).tolist())}",
            "Two times in s, from below to, were needed",
            "Pass window=(-0.2, 0.8)",
        )
    name = "events"
    given: Any = events
    if isinstance(events, str):
        name = events
        if not isinstance(recording, xr.Dataset) or events not in recording.variables:
            listed = list(map(str, getattr(recording, "variables", {})))
            raise NameUnknownError(
                f"The recording has no {events!r}; it holds {', '.join(listed) or 'no variables'}",
                "The name of a variable with times of events in s, or the times, was needed",
                nearest(events, listed),
            )
        given = recording[events]
        unit = symbol(str(given.attrs.get("units", "s")))
        if unit not in ("s", ""):
            raise UnitError(
                f"{events} is in {unit}", "Times of events in s were needed",
                f"Convert it: recording[{events!r}] * factor, with attrs units 's'",
            )  # fmt: skip
    times = check_numbers(given, name, missing=True)
    if times.ndim != 1:
        raise ShapeError(
            f"{name} has shape {times.shape}", "One time for each event, (event,), was needed",
            "Select one kind of event",
        )  # fmt: skip
    known = times[np.isfinite(times)]
    if not len(known):
        raise DataError(f"{name} holds no time", "At least one event was needed", "Check it")
    # A stamp from the package quantities, or pandas, may count in ns or in frames.
    if len(known) > 1 and isinstance(recording, xr.Dataset) and "stop" in recording:
        last = float(recording["stop"].max())
        if known.min() > last:
            raise UnitError(
                f"{name} begins at {known.min():g} s, and the recording ends at {last:g} s",
                "Times on the clock of the recording, in s, were needed",
                "Are these ms, or frames? Divide them by 1000, or by the sampling rate",
            )
    ranges = known[:, None] + ends
    return EventWindows(ranges, known, float(-ends[0]), len(times) - len(known))
