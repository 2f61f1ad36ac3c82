"""The cells of one chunk: fitted one by one, returned as arrays that files and processes carry."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurornn._core.confidence import median_interval
from neurornn.calcium.decay_fit import fit_trace
from neurornn.calcium.trace_model import Settings


def fit_cells(
    values: NDArray[np.float64],
    first_unit: int,
    time: NDArray[np.float64],
    blocks: NDArray[np.int64],
    settings: Settings,
) -> dict[str, NDArray[Any]]:
    """Fit the cells of one chunk; everything that comes back is an array."""
    columns = "status tau tau_ci rise rise_ci covariance noise_sd dof mean_baseline"
    columns += " amplitude amplitude_ci n_events"
    rows: dict[str, list[Any]] = {k: [] for k in columns.split()}
    events: dict[str, list[NDArray[Any]]] = {
        k: [] for k in ("event_frame", "event_size", "event_unit", "event_delay")
    }
    calcium, baseline = np.zeros_like(values), np.zeros_like(values)
    for k in range(values.shape[1]):
        fit = fit_trace(values[:, k], time, blocks, settings)
        sizes = fit.sizes[fit.is_event]
        rows["status"].append(str(fit.status))
        rows["tau"].append(fit.kernel.tau)
        rows["tau_ci"].append(fit.tau_ci)
        rows["rise"].append(fit.kernel.rise if fit.rise_resolved else np.nan)
        rows["rise_ci"].append(fit.rise_ci)
        rows["covariance"].append(fit.covariance)
        rows["noise_sd"].append(fit.noise_sd)
        rows["dof"].append(fit.dof)
        rows["mean_baseline"].append(float(np.mean(fit.baseline)))
        rows["amplitude"].append(float(np.median(sizes)) if len(sizes) else np.nan)
        rows["amplitude_ci"].append(median_interval(sizes, settings.confidence_level))
        rows["n_events"].append(len(sizes))
        events["event_frame"].append(fit.starts[fit.is_event])
        events["event_size"].append(sizes)
        events["event_unit"].append(np.full(len(sizes), first_unit + k, np.int64))
        events["event_delay"].append(fit.delays[fit.is_event])
        calcium[:, k] = fit.calcium
        baseline[:, k] = fit.baseline
    out: dict[str, NDArray[Any]] = {n: np.asarray(v) for n, v in rows.items()}
    out.update({n: np.concatenate(v) for n, v in events.items()})
    out["calcium"], out["baseline_trace"] = calcium, baseline
    return out
