"""Targets that go round a circle, which no line describes."""

import numpy as np

from neurornn._core.errors import DataError
from neurornn.data.samples import Samples

#: Units in which a number is an angle, with its full turn.
TURNS = {
    "rad": 2 * np.pi,
    "radian": 2 * np.pi,
    "radians": 2 * np.pi,
    "deg": 360.0,
    "degree": 360.0,
    "degrees": 360.0,
    "°": 360.0,
}
#: Range of what is taken for an angle without a unit, as a share of the full turn.
_LEAST_RANGE, _MOST_RANGE = 0.9, 1.001
#: Jumps over this share of the turn come from going round, and this many tell.
_JUMP, _FEWEST = 0.8, 3
#: Between them it hardly moves, as a share of the turn.
_STEP = 0.1


def refuse_angles(bins: Samples) -> None:
    """Refuse an output that jumps from one end of a full turn to the other.

    Raises
    ------
    DataError
        With the way out: cosine and sine as two outputs.
    """
    assert bins.targets is not None
    each = bins.units.split(", ")
    n_out = bins.targets.shape[1]
    for o in range(n_out):
        stated = each[o] if len(each) == n_out else each[0]
        values = bins.targets[:, o]
        turns = [TURNS[stated]] if stated in TURNS else [] if stated else [2 * np.pi, 360.0]
        for turn in turns:
            if _goes_round(values, bins.run, turn, stated in TURNS):
                raise DataError(
                    f"Output {bins.output[o]} of the targets jumps from one end of a full turn, "
                    f"{turn:.4g}, to the other: it is an angle",
                    "An output that moves on a line was needed",
                    "Pass cosine and sine, np.column_stack([np.cos(angle), np.sin(angle)]), and "
                    "take np.arctan2 of what comes out; if it is no angle, state its unit in "
                    "attrs['units']",
                )


def _goes_round(values: np.ndarray, run: np.ndarray, turn: float, stated: bool) -> bool:
    known = np.isfinite(values)
    if known.sum() < 10:
        return False
    span = float(np.ptp(values[known]))
    if span > _MOST_RANGE * turn or (not stated and span < _LEAST_RANGE * turn):
        return False
    steps = np.abs(np.diff(values))[np.diff(run) == 0]
    steps = steps[np.isfinite(steps)]
    if not len(steps):
        return False
    return bool(np.sum(steps > _JUMP * turn) >= _FEWEST and np.median(steps) < _STEP * turn)
