"""The clock of a recording, read off a position and its velocity."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurornn._core.checks import check_number, check_numbers
from neurornn._core.errors import DataError, ShapeError, UnitWarning
from neurornn._core.warning import warn_user

#: Steps of position and velocity agree where they differ by less than this share of a usual step.
_AGREES = 0.02
#: Least share of the steps that must agree.
_MOST = 0.8


class InferredClock(NamedTuple):
    """What position and velocity say of the clock.

    Attributes
    ----------
    dt : s, from row to row.
    joins : (join,), rows that begin a new trial: position did not come there by the velocity.
    agreement : share of the other steps in which position and velocity agree.
    rule : ``"forward"`` where ``x[k + 1] - x[k] = v[k] dt``, ``"backward"`` where it is
        ``v[k + 1] dt``, ``"central"`` where it is their mean.
    """

    dt: float
    joins: NDArray[np.int64]
    agreement: float
    rule: str


def infer_clock(position: Any, velocity: Any, *, dt: float | None = None) -> InferredClock:
    """Read the time step, and where trials were joined, off a position and its velocity.

    Parameters
    ----------
    position : (time,) or (time, axis).
    velocity : the same, in the unit of the position per s.
    dt : s, as metadata state it; a clear word where position and velocity say another one.

    Returns
    -------
    InferredClock

    Raises
    ------
    ShapeError, DataError
        Arrays of two shapes; a velocity that is not that of the position.

    Warns
    -----
    UnitWarning
        The step that was stated is another one.

    Examples
    --------
    >>> x = np.cumsum(np.ones(100)) * 0.05
    >>> infer_clock(x, np.ones(100)).dt
    0.05
    """
    x = check_numbers(position, "position", missing=True)
    v = check_numbers(velocity, "velocity", missing=True)
    if x.shape != v.shape or x.ndim not in (1, 2) or len(x) < 10:
        raise ShapeError(
            f"position has shape {x.shape} and velocity {v.shape}",
            "The same shape, (time,) or (time, axis), of 10 rows or more was needed",
            "Pass both on the same rows",
        )
    x, v = x.reshape(len(x), -1), v.reshape(len(v), -1)
    step = np.diff(x, axis=0)
    best: InferredClock | None = None
    for rule, speed in (
        ("forward", v[:-1]), ("backward", v[1:]), ("central", (v[:-1] + v[1:]) / 2)
    ):  # fmt: skip
        known = np.isfinite(step) & np.isfinite(speed) & (np.abs(speed) > 1e-12)
        if known.sum() < 10:
            continue
        # The ratio that most steps share.
        found = float(np.median(step[known] / speed[known]))
        if not found > 0:
            continue
        usual = float(np.median(np.abs(step[known])))
        away = np.abs(step - speed * found)
        agrees = np.all(~(away > _AGREES * usual + 1e-9), axis=1)
        near = np.abs(step[agrees]) > 0
        if near.any():
            chosen = np.asarray(agrees)[:, None] & known
            found = float((step[chosen] * speed[chosen]).sum() / (speed[chosen] ** 2).sum())
        clock = InferredClock(found, np.flatnonzero(~agrees) + 1, float(agrees.mean()), rule)
        if best is None or clock.agreement > best.agreement:
            best = clock
    if best is None or best.agreement < _MOST:
        share = 0.0 if best is None else best.agreement
        raise DataError(
            f"Position and velocity agree on a time step in {100 * share:.3g} % of the rows",
            f"{100 * _MOST:g} % or more were needed",
            "Is the velocity that of this position, unsmoothed, in its unit per s?",
        )
    if dt is not None:
        stated = check_number(dt, "dt", "s")
        if abs(best.dt / stated - 1) > 0.02:
            warn_user(
                f"dt is stated as {stated:g} s, and position and velocity say {best.dt:.4g} s. "
                "One of the two is wrong: check where the recording was binned.",
                UnitWarning,
            )
    return best
