"""Whether the times of a pynapple object are the centres of bins, or moments of samples."""

import numpy as np
from numpy.typing import NDArray

from neurornn._core.errors import DataError
from neurornn.data.stamps import rate_of_stamps

#: Times of bins and edges of supports agree to this share of a bin, and this many s.
SHARE, TICK = 1e-6, 2e-9


def bin_width(time: NDArray[np.float64], support: NDArray[np.float64]) -> float | None:
    """Return the width of bins (s) where times are their centres, or None where they are samples.

    Parameters
    ----------
    time : (time,), s.
    support : (range, 2), s.

    Notes
    -----
    pynapple stamps bins at their centres, and lays the first of each range of the support from
    its start: the first time lies half a step behind it. The support of samples begins with the
    first of them, unless it is set otherwise.

    Examples
    --------
    >>> bin_width(np.array([0.5, 1.5, 2.5]), np.array([[0.0, 3.0]]))
    1.0
    """
    parts = [time[(time >= start) & (time <= stop)] for start, stop in support]
    firsts = [(p[0], start) for p, (start, _) in zip(parts, support, strict=True) if len(p)]
    if not firsts:
        return None
    width = 2 * float(firsts[0][0] - firsts[0][1])
    blur = 4 * float(np.spacing(abs(time[-1])))
    slack = SHARE * width + TICK + blur
    if width <= slack or any(abs(first - start - width / 2) > slack for first, start in firsts):
        return None
    steps = np.concatenate([np.diff(p) for p in parts])
    if not len(steps):
        # One bin in each range, which is as wide as the bin.
        wide = support[:, 1] - support[:, 0]
        return width if np.all(np.abs(wide - width) <= slack) else None
    if np.any(np.abs(steps - width) > 1e-3 * width + blur):
        return None
    # Over the whole line: the stamps may be rounded.
    return float(f"{steps.mean():.10g}")


def step_of(time: NDArray[np.float64]) -> float | None:
    """Return the step of evenly spaced times, gaps aside, or None where they are not."""
    if len(time) < 2:
        return None
    steps = np.diff(time)
    middle = float(np.median(steps))
    if not middle > 0:
        return None
    # A step of half as much again is late and no gap, as in `find_blocks`.
    near = steps[steps <= 1.5 * middle]
    blur = 1e-3 * middle + 4 * float(np.spacing(abs(time[-1])))
    return 1 / rate_of_stamps(time) if np.all(np.abs(near - middle) <= blur) else None


def check_samples(
    time: NDArray[np.float64],
    support: NDArray[np.float64],
    values: NDArray[np.float64],
    *,
    whole: bool,
    sure: bool,
) -> None:
    """Raise where times that `bin_width` does not know as centres of bins may yet be that.

    Parameters
    ----------
    time : (time,), s.
    support : (range, 2), s.
    values : of each time.
    whole : they are whole numbers by their type.
    sure : raise for all that may be centres; otherwise for what looks like it.

    Raises
    ------
    DataError
        Asks for a statement.

    Notes
    -----
    What was counted or averaged in bins and cut afterwards bears the support of the cut, and so
    do samples that were cut. Stamps at odd multiples of half a step, counts, and rates that are
    whole numbers of a bin, speak for bins; nothing speaks surely for samples but a support that
    runs from the first of them to the last, or begins one step before the first: a cut through
    bins leaves less than that, and through the middle of one its stamp.
    """
    step = step_of(time)
    if step is None or not len(support):
        return
    half = _near_whole(time[[0, -1]] / step - 0.5)
    cut = _is_cut(time, support, step)
    rates = bool(np.any(values > 0)) and _near_whole(values * step, 1e-6)
    counted = bool(np.all(values >= 0)) and (whole or rates)
    if (sure and (cut or half)) or (cut and (counted or half)):
        what = "Whole numbers" if whole else "Values"
        raise DataError(
            f"{what} came at {time[0]:g}, {time[1]:g}, ... s and a time support from "
            f"{support[0, 0]:g} s: nothing says whether the times are the centres of bins, as "
            "those of count and bin_average, or moments",
            "Values on the support they were counted in, or a statement, were needed",
            "Pass bins=True to nr.data.from_pynapple for counts and means in bins, bins=False for "
            "samples; a decoder takes the variable of that recording",
        )


def _is_cut(time: NDArray[np.float64], support: NDArray[np.float64], step: float) -> bool:
    """Whether a range of the support begins where no uncut samples of this step would."""
    slack = 1e-3 * step
    for start, stop in support:
        inside = time[(time >= start) & (time <= stop)]
        if not len(inside):
            continue
        before = float(inside[0] - start)
        # One that begins on a stamp and ends half a step behind another went through a bin.
        last = abs(float(stop - inside[-1]) - step / 2) <= slack and stop > inside[-1]
        if not (before <= SHARE * step + TICK or abs(before - step) <= slack) or last:
            return True
    return False


def _near_whole(values: NDArray[np.float64], slack: float = 1e-3) -> bool:
    known = values[~np.isnan(values)]
    return bool(np.all(np.abs(known - np.round(known)) <= slack))
