"""The table of an EDMD: rates with intervals, whether the functions close, and the status."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.confidence import Estimate, draws_interval, to_dataset
from neurornn._core.quantities import Quantity
from neurornn._core.status import Status
from neurornn.koopman.closure import TOO_FEW, Closure
from neurornn.koopman.edmd_parts import (
    matched_rates,
    rates_of_steps,
    shown_modes,
    sorted_map,
    told_modes,
)
from neurornn.koopman.mode_table import (
    GROWS,
    NOT_CLOSED,
    NOT_RESOLVED,
    REMEDIES,
    SHRUNK,
    SLOW,
)

Array = NDArray[np.float64]

_METHOD = "eigenvalue of the map of functions; interval over trajectories drawn anew"
QUANTITIES = (
    *(
        Quantity(name=name, units=units, dims=("mode",), long_name=said, method=_METHOD)
        for name, units, said in (
            ("time_constant", "s", "time constant of the eigenfunction"),
            ("frequency", "Hz", "frequency of the eigenfunction"),
            ("rate", "1/s", "growth rate of the eigenfunction"),
        )
    ),
    Quantity(
        name="residual", units="1", dims=("mode",),
        long_name="what a step leaves of the eigenfunction, over its size",
        method="root mean squares over the steps of the fit, less what any map meets",
        reason="noise leaves something too: it is judged by what is missed",
    ),
    Quantity(
        name="missed", units="1", dims=("mode",),
        long_name="what a step leaves and noise does not make, over the change of the mode",
        method="covariance of what is left two steps apart; interval over stretches",
    ),
)  # fmt: skip


def table_of_map(
    transition: Array,
    dt: float,
    draws: list[Array],
    n_draws: int,
    closure: Closure | None,
    confidence_level: float,
) -> xr.Dataset:
    """Lay out the modes of a map.

    Parameters
    ----------
    transition : (term, term), of a step.
    dt : s, of a step.
    draws : maps of trajectories drawn anew, as many of the `n_draws` as there is one for.
    closure : what steps leave; None where there are too few.
    confidence_level : of the intervals.
    """
    values = sorted_map(transition)[0]
    chosen = values[shown_modes(values)]
    rates = rates_of_steps(chosen, dt)
    shown = told_modes(rates)
    ends: dict[str, Array] = {}
    reason = "n_bootstrap=0" if not n_draws else "fewer than half of the draws had a map"
    if len(draws) >= max(n_draws / 2, 20):
        matched = np.array([matched_rates(t, rates, dt) for t in draws])
        drawn = {k: np.array([told_modes(m)[k] for m in matched]) for k in shown}
        drawn["time_constant"] = -1 / drawn["rate"]
        ci = draws_interval(drawn["rate"], confidence_level)
        ends = {k: draws_interval(v, confidence_level) for k, v in drawn.items()}
        # An interval of the rate that holds 0 leaves the time constant without an upper end.
        with np.errstate(divide="ignore"):
            low = np.where(ci[:, 0] < 0, -1 / ci[:, 0], np.nan)
            high = np.where(ci[:, 1] < 0, -1 / ci[:, 1], np.inf)
        ends["time_constant"] = np.stack([low, high], -1)
        # That of a mode that swings in no draw is no interval of width 0.
        ends["frequency"][(ends["frequency"] == 0).all(axis=1)] = np.nan
        reason = "a mode with a real eigenvalue does not swing"
    status = _status(rates, dt, ends.get("rate"))
    reasons = dict.fromkeys(shown, reason)
    if closure is not None:
        shown |= {"residual": closure.residual, "missed": closure.missed}
        ends["missed"] = closure.missed_ci
        fast = status == NOT_RESOLVED
        status[closure.is_shrunk & ~fast] = SHRUNK
        status[closure.is_open & ~fast] = NOT_CLOSED
    else:
        shown |= dict.fromkeys(("residual", "missed"), np.full(len(rates), np.nan))
        reasons |= dict.fromkeys(("residual", "missed"), TOO_FEW)
    estimates: list[Estimate] = [
        q.of(
            shown[q.name],
            ends.get(q.name),
            **({"reason": r} if (r := reasons.get(q.name)) else {}),
        )
        for q in QUANTITIES
    ]
    return to_dataset(
        estimates, confidence_level=confidence_level,
        coords={"mode": np.arange(len(rates))}, status=status.astype(str),
        status_dims=("mode",), remedies=REMEDIES,
    )  # fmt: skip


def _status(rates: NDArray[np.complex128], dt: float, ci: Array | None) -> NDArray[np.object_]:
    """What the rates say by themselves, and their intervals (mode, 2) where there are some."""
    status = np.full(len(rates), str(Status.OK), dtype=object)
    status[rates.real >= 0] = GROWS
    if ci is not None:
        status[ci[:, 1] >= 0] = SLOW
        status[ci[:, 0] > 0] = GROWS
    else:
        # Without an interval nothing says that it grows beyond rounding.
        status[np.abs(rates.real) * dt < 1e-9] = SLOW
    status[(rates.real < 0) & (-1 / np.minimum(rates.real, -1e-300) < dt)] = NOT_RESOLVED
    return status
