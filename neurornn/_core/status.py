"""How a fit ended: a code for programs, a text with a remedy for people."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray


class Status(StrEnum):
    """How the fit of one unit, or of a whole model, ended."""

    OK = "ok"
    NO_DATA = "no_data"
    CONSTANT = "constant"
    CLIPPED = "clipped"
    NOISE_FREE = "noise_free"
    NEGATIVE_GOING = "negative_going"
    BASELINE_NEAR_ZERO = "baseline_near_zero"
    TOO_SHORT = "too_short"
    TOO_FEW_EVENTS = "too_few_events"
    TOO_FEW_SESSIONS = "too_few_sessions"
    TOO_NOISY = "too_noisy"
    EVENTS_OVERLAP = "events_overlap"
    RISE_TOO_LONG = "rise_too_long"
    DECAY_NOT_RESOLVED = "decay_not_resolved"
    NOT_IDENTIFIABLE = "not_identifiable"
    AT_BOUND = "at_bound"
    NOT_CONVERGED = "not_converged"
    STOPPED_EARLY = "stopped_early"
    LEFT_REGIME = "left_regime"
    DEGENERATE = "degenerate"
    DIVERGED = "diverged"
    FAILED = "failed"

    @property
    def remedy(self) -> str:
        """What this means and what to try, in one or two sentences."""
        return _REMEDIES[self]


_REMEDIES = {
    Status.OK: "The fit ended at its optimum.",
    Status.NO_DATA: "Every frame is missing (NaN). Leave the unit out or check the reader.",
    Status.CONSTANT: "The trace never changes. Leave the unit out or check the selection.",
    Status.CLIPPED: "More than 1 % of the frames sit at the largest value. Lower the gain.",
    Status.NOISE_FREE: (
        "The trace has no noise, so no interval means anything: simulated, or denoised before. "
        "Fit the recorded trace."
    ),
    Status.NEGATIVE_GOING: (
        "The transients go down, as of fura-2 or a GRAB sensor that dims. Turn the trace over: "
        "fit(-trace)."
    ),
    Status.BASELINE_NEAR_ZERO: (
        "F0 is no larger than the noise of a frame, and dF/F divides by it. Fit the fluorescence "
        "itself, check offset and neuropil coefficient, or leave the unit out."
    ),
    Status.TOO_SHORT: "Fewer frames than the model has unknowns. Record for longer.",
    Status.TOO_FEW_EVENTS: "Too few events for an interval one can trust. Record for longer.",
    Status.TOO_FEW_SESSIONS: "Fewer than two sessions are ok. Look at the status of each.",
    Status.TOO_NOISY: "The events do not stand out of the noise. Pool cells or average trials.",
    Status.EVENTS_OVERLAP: (
        "Events follow one another too fast to be told apart at this frame rate. Record faster; "
        "do not read rate or decay."
    ),
    Status.RISE_TOO_LONG: (
        "Events rise as long as they decay, so one is not told from the other: bursts, several "
        "cells in one trace, or smoothing. Look at single events; hold the rise (tau_rise=0.05, "
        "in s)."
    ),
    Status.DECAY_NOT_RESOLVED: (
        "The decay is faster than the frames, or slower than the recording. "
        "Record faster, or for longer."
    ),
    Status.NOT_IDENTIFIABLE: (
        "The data do not determine this parameter: another one trades against it. "
        "Fix one of the two."
    ),
    Status.AT_BOUND: "The value lies at its bound. Widen the bounds or check the units.",
    Status.NOT_CONVERGED: (
        "The last epochs still improved the loss. Raise max_epochs, or lower the learning rate "
        "if the history goes up and down."
    ),
    Status.STOPPED_EARLY: "The validation loss stopped improving; the best weights are kept.",
    Status.LEFT_REGIME: (
        "A guard stopped the fit since it left the healthy regime: the table regimes says when, "
        "and whether gradients exploded or vanished. The best weights so far are kept."
    ),
    Status.DEGENERATE: (
        "The point is not alone to first order: it lies on a line or a ring of points, or at a "
        "bifurcation. Look at its leading mode; a small change of the weights may move or undo it."
    ),
    Status.DIVERGED: (
        "The loss became NaN or infinite; the last good weights are kept. "
        "Lower learning_rate, set clip_norm, or check the scale of the data."
    ),
    Status.FAILED: "The fit raised an error; its text stands in the note. Please report it.",
}


#: Before the code in the attrs of a status variable.
_PREFIX = "remedy_of_"


def status_variable(
    dims: Any, codes: ArrayLike, remedies: Mapping[str, str] | None = None
) -> tuple[Any, NDArray[Any], dict[str, str]]:
    """Return codes as a variable of a table that says itself what to do about each.

    Parameters
    ----------
    dims : of the codes.
    codes : of any kind.
    remedies : code -> what it means and what to try, for codes that a room has of its own; by
        default those of `Status`.
    """
    values = np.asarray(codes, dtype=str)
    known = {str(s): s.remedy for s in Status} | dict(remedies or {})
    found = sorted(set(values.ravel().tolist()) - {str(Status.OK)})
    told = {f"{_PREFIX}{code}": known[code] for code in found if code in known}
    return dims, values, {"long_name": "status", **told}


def remedies_of(status: xr.DataArray) -> dict[str, str]:
    """Return what to do about each code of a status variable that is not ok.

    It stands in the attrs; for tables that were written before it did, `Status` knows.
    """
    found = {}
    for code in sorted(set(np.atleast_1d(status.values).ravel().tolist())):
        told = status.attrs.get(f"{_PREFIX}{code}")
        if told is None and code in Status.__members__.values():
            told = Status(code).remedy
        if code != Status.OK:
            found[str(code)] = str(told or "No remedy is known for this code.")
    return found
