"""The cells of one chunk: fitted one by one, returned as arrays that files and processes carry."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurornn._core.checks import find_blocks
from neurornn._core.confidence import median_interval
from neurornn._core.status import Status
from neurornn._core.warning import warn_user
from neurornn._kernels.projection import draw_decays
from neurornn.calcium.decay_fit import TraceFit, fit_trace, nothing_fitted
from neurornn.calcium.kernel import Kernel
from neurornn.calcium.rise_estimate import RiseEstimate
from neurornn.calcium.trace_model import Settings, knots_of
from neurornn.calcium.trace_source import read_chunk

#: What is kept of every start of a stretch.
_PER_START = ("frame", "unit", "jump", "rise", "size", "delay", "probability", "is_event")


def fit_cells(
    values: Any,
    first_unit: int,
    time: NDArray[np.float64],
    blocks: NDArray[np.int64],
    settings: Settings,
) -> dict[str, NDArray[Any]]:
    """Fit the cells of one chunk; everything that comes back is an array."""
    values = read_chunk(values)
    n_knots = knots_of(time, settings.knot_spacing, blocks)[2]
    columns = "status tau tau_ci rise rise_ci kernel_rise covariance noise_sd dof heights"
    columns += " time_to_peak time_to_peak_ci half_rise half_rise_ci"
    columns += " amplitude amplitude_ci n_events n_seen autocorrelation"
    rows: dict[str, list[Any]] = {k: [] for k in columns.split()}
    starts: dict[str, list[NDArray[Any]]] = {k: [] for k in _PER_START}
    for k in range(values.shape[1]):
        fit = _fit_or_fail(np.ascontiguousarray(values[:, k]), time, blocks, settings)
        sizes = fit.sizes[fit.is_single]
        rows["status"].append(str(fit.status))
        rows["tau"].append(fit.kernel.tau)
        rows["tau_ci"].append(fit.tau_ci)
        told = fit.rise
        if settings.held_rise > 0 and np.isfinite(fit.kernel.tau):
            told = RiseEstimate(fit.kernel)
        for name in ("rise", "time_to_peak", "half_rise"):
            rows[name].append(np.nan if told is None else getattr(told.kernel, name))
            nothing = (np.nan, np.nan)
            rows[f"{name}_ci"].append(nothing if told is None else getattr(told, f"{name}_ci"))
        rows["kernel_rise"].append(fit.kernel.rise)
        rows["covariance"].append(fit.covariance)
        rows["noise_sd"].append(fit.noise_sd)
        rows["dof"].append(fit.dof)
        rows["heights"].append(np.broadcast_to(fit.heights, n_knots))
        rows["amplitude"].append(float(np.median(sizes)) if len(sizes) else np.nan)
        rows["amplitude_ci"].append(
            (np.nan, np.nan)
            if np.isnan(fit.n_events.least)
            else median_interval(sizes, settings.confidence_level)
        )
        rows["n_events"].append(fit.n_events)
        rows["n_seen"].append(int(np.sum(~np.isnan(values[:, k]))))
        rows["autocorrelation"].append(fit.autocorrelation)
        starts["frame"].append(fit.starts)
        starts["unit"].append(np.full(len(fit.starts), first_unit + k, np.int64))
        starts["jump"].append(fit.jumps)
        starts["rise"].append(fit.rises)
        starts["size"].append(fit.sizes)
        starts["delay"].append(fit.delays)
        starts["probability"].append(fit.probabilities)
        starts["is_event"].append(fit.is_event)
    out: dict[str, NDArray[Any]] = {n: np.asarray(v) for n, v in rows.items()}
    out.update({f"start_{n}": np.concatenate(v) for n, v in starts.items()})
    return out


def _fit_or_fail(
    y: NDArray[np.float64],
    time: NDArray[np.float64],
    blocks: NDArray[np.int64],
    settings: Settings,
) -> TraceFit:
    """Fit one trace; a cell on which the arithmetic breaks down does not take the others along."""
    try:
        return fit_trace(y, time, blocks, settings)
    except (ArithmeticError, ValueError, np.linalg.LinAlgError) as error:
        warn_user(
            f"The fit of a cell broke down ({type(error).__name__}: {error}): status failed",
            RuntimeWarning,
        )
        return nothing_fitted(Status.FAILED, float(np.nanmedian(y)))


def draw_calcium(
    n: int,
    blocks: NDArray[np.int64],
    frames: NDArray[np.int64],
    jumps: NDArray[np.float64],
    rises: NDArray[np.float64],
    kernel: Kernel,
    dt: float,
) -> NDArray[np.float64]:
    """Calcium of one cell from its starts, (n,)."""
    if not len(frames):
        return np.zeros(n)
    gamma, rho, _ = kernel.poles(dt)
    is_free = np.isin(frames, blocks[:, 0])
    return draw_decays(n, frames, jumps, rises, is_free, gamma, rho)


def _knots(
    time: NDArray[np.float64], spacing: float, dt: float, n_heights: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], int]:
    """Knots of so many heights: a fit saved by 0.1 had one baseline through all gaps."""
    found = knots_of(time, spacing, find_blocks(time, dt))
    return found if found[2] == n_heights else knots_of(time, spacing)


def mean_baseline(
    time: NDArray[np.float64], heights: NDArray[np.float64], spacing: float, dt: float
) -> NDArray[np.float64]:
    """Mean over the frames of the baselines of several cells, (unit,)."""
    knot, fraction, n_knots = _knots(time, spacing, dt, heights.shape[1])
    weights = np.bincount(knot, 1 - fraction, n_knots + 1)
    weights += np.bincount(np.minimum(knot + 1, n_knots - 1), fraction, n_knots + 1)
    # One cell after the other, so that the sum does not depend on who else is there.
    return np.array([np.sum(h * weights[:n_knots]) for h in heights]) / len(time)


def draw_baseline(
    time: NDArray[np.float64], heights: NDArray[np.float64], spacing: float, dt: float
) -> NDArray[np.float64]:
    """Baselines of several cells from their knots, (time, unit).

    Parameters
    ----------
    heights : (unit, knot)
    """
    knot, fraction, n_knots = _knots(time, spacing, dt, heights.shape[1])
    after = np.minimum(knot + 1, n_knots - 1)
    return (1 - fraction)[:, None] * heights.T[knot] + fraction[:, None] * heights.T[after]
