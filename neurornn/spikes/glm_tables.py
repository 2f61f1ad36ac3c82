"""Tables of fitted point processes: units, filters, weights."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.confidence import Estimate, delta_interval, to_dataset
from neurornn._core.quantities import Quantity
from neurornn.spikes.design import Layout
from neurornn.spikes.exponential_fit import ExponentialFit

Array = NDArray[np.float64]

REMEDIES = {
    "no_recovery": (
        "No recovery from a spike is seen beside the dead time, or its time constant lies at its "
        "bound. Smaller bins and more spikes would show a short one."
    ),
    "no_adaptation": (
        "No second, slower trace of a spike is seen, or its time constant lies at its bound. "
        "Record for longer, or pass a longer history."
    ),
    "no_past": (
        "Neither recovery nor adaptation is seen: beyond the dead time the unit forgets its "
        "spikes. Is it a single unit? Several in one cluster hide the past of each."
    ),
}
_NO_PAST = "history=None: the model knows no past"
_FREE = "the past is a free filter; pass history_basis='exponential'"


class Fitted(NamedTuple):
    """One fitted unit.

    Attributes
    ----------
    layout : of its columns.
    weights : (column,), of counts per bin.
    covariance : (column, column), or with four more for the past in exponentials.
    past : dead time and exponentials; None where the past is a filter, or nothing.
    status : code.
    penalty : nats.
    drift_weights, drift_covariance, fired, passed : where the filter of drift stands.
    forgetting : s, its window; inf for weights that stay.
    """

    layout: Layout
    weights: Array
    covariance: Array
    past: ExponentialFit | None
    status: str
    penalty: float
    drift_weights: Array = np.empty(0)
    drift_covariance: Array = np.empty((0, 0))
    fired: Array = np.empty(0)
    passed: Array = np.empty(0)
    forgetting: float = np.inf

    @classmethod
    def nothing(cls, layout: Layout, status: str, penalty: float) -> "Fitted":
        """A unit of which nothing is known."""
        n = layout.n_columns
        return cls(layout, np.full(n, np.nan), np.full((n, n), np.nan), None, status, penalty)


def table_of_units(
    fits: Sequence[Fitted], labels: NDArray[Any], quantities: Sequence[Quantity], settings: Any
) -> xr.Dataset:
    """Parameters of all units.

    Parameters
    ----------
    fits : one per unit.
    labels : (unit,).
    quantities : of `PointProcess`, in their order.
    settings : checked.
    """
    level = settings.confidence_level
    n = len(fits)
    values = {q.name: np.full(n, np.nan) for q in quantities}
    bounds = {q.name: np.full((n, 2), np.nan) for q in quantities}
    for k, f in enumerate(fits):
        if not np.isfinite(f.weights).all():
            continue
        sd = np.sqrt(np.maximum(np.diag(f.covariance), 0.0))
        rate = np.exp(f.weights[0]) / settings.bin_size
        values["baseline_rate"][k] = rate
        bounds["baseline_rate"][k] = delta_interval(rate, rate * sd[0], level, log=True)
        if f.past is None:
            continue
        values["refractory_period"][k] = f.past.dead_time
        bounds["refractory_period"][k] = f.past.dead_time_interval
        hidden = {"no_past": (0, 1), "no_recovery": (0,), "no_adaptation": (1,)}
        for m, name in enumerate(("recovery", "adaptation")):
            if m in hidden.get(f.status, ()) or not np.isfinite(sd[len(f.weights) + 2 * m]):
                continue
            at = len(f.weights) + 2 * m
            values[f"gain_{name}"][k] = f.past.gains[m]
            bounds[f"gain_{name}"][k] = delta_interval(f.past.gains[m], sd[at], level)
            tau = f.past.taus[m]
            values[f"tau_{name}"][k] = tau
            bounds[f"tau_{name}"][k] = delta_interval(tau, tau * sd[at + 1], level, log=True)
    missing = "the spikes do not show it, or are too few"
    if settings.history is None:
        missing = _NO_PAST
    elif not settings.exponential:
        missing = _FREE
    estimates: list[Estimate] = []
    for q in quantities:
        reason = missing if q.name != "baseline_rate" else "too few spikes"
        estimates.append(q.of(values[q.name], bounds[q.name], reason=reason))
    kept: dict[str, Any] = {}
    if settings.exponential:
        covariance = np.full((n, 2, 2), np.nan)
        for k, f in enumerate(fits):
            if f.past is not None:
                # By the taus themselves, from their logarithms.
                covariance[k] = np.outer(f.past.taus, f.past.taus) * f.covariance[-3::2, -3::2]
        kept = {
            "covariance": covariance, "covariance_names": ["tau_recovery", "tau_adaptation"],
            "covariance_dims": ("unit",),
        }  # fmt: skip
    return to_dataset(
        estimates,
        confidence_level=settings.confidence_level,
        coords={"unit": labels},
        status=[f.status for f in fits],
        status_dims=("unit",),
        remedies=REMEDIES,
        **kept,
    )


def filters_of(
    fits: Sequence[Fitted], labels: NDArray[Any], units: NDArray[Any], features: list[str],
    bin_size: float, settings: Any,
) -> xr.Dataset:  # fmt: skip
    """Filters of all units, log gains over lags, with their intervals.

    Parameters
    ----------
    fits, labels : one per unit that was fitted.
    units : (source,), labels of all units.
    features : of the stimulus.
    bin_size : s.
    settings : checked.
    """
    level = settings.confidence_level
    n = len(fits)
    coords: dict[Any, Any] = {"unit": labels}
    estimates: list[Estimate] = []
    for kind, axis, names in (
        ("stimulus", "feature", features), ("trial", "", [""]), ("history", "", [""]),
        ("coupling", "source", units.tolist()),
    ):  # fmt: skip
        parts = [p for f in fits for p in f.layout.of(kind)]
        if not parts:
            continue
        lags = len(parts[0].basis)
        value = np.full((n, len(names), lags), np.nan)
        ci = np.full((n, len(names), lags, 2), np.nan)
        for k, f in enumerate(fits):
            for part in f.layout.of(kind):
                at = part.position if axis else 0
                own = f.covariance[part.columns, part.columns]
                mean = part.basis @ f.weights[part.columns]
                sd = np.sqrt(np.maximum(np.einsum("lm,mn,ln->l", part.basis, own, part.basis), 0))
                value[k, at], ci[k, at] = mean, delta_interval(mean, sd, level)
        lag = "trial_time" if kind == "trial" else f"{kind}_lag"
        dims: tuple[str, ...] = ("unit", axis, lag) if axis else ("unit", lag)
        first = 0.0 if kind == "stimulus" else 1.0
        coords[lag] = (
            lag, (np.arange(lags) + first) * bin_size,
            {"units": "s", "long_name": "since the start of the trial" if kind == "trial"
             else "before the bin"},
        )  # fmt: skip
        if axis:
            coords[axis] = names
        estimates.append(
            Estimate(
                name=f"{kind}_filter", value=value if axis else value[:, 0],
                ci=ci if axis else ci[:, 0], units="1", dims=dims,
                long_name=f"log gain by {kind}",
                method="raised cosines; interval from the curvature of the likelihood",
            )
        )  # fmt: skip
    past = [f.past for f in fits]
    if any(p is not None for p in past):
        age = np.arange(1, max(int(np.ceil((settings.history or 0) / bin_size)), 2) + 1) * bin_size
        value = np.full((n, len(age)), np.nan)
        ci = np.full((n, len(age), 2), np.nan)
        for k, f in enumerate(fits):
            if f.past is None:
                continue
            fade = np.exp(-age[:, None] / f.past.taus)
            value[k] = fade @ f.past.gains
            # By gain and by log tau of each.
            slope = np.stack([fade, f.past.gains * fade * age[:, None] / f.past.taus], axis=-1)
            slope = slope.reshape(len(age), 4)
            own = np.nan_to_num(f.covariance[-4:, -4:])
            sd = np.sqrt(np.maximum(np.einsum("lm,mn,ln->l", slope, own, slope), 0))
            dead = age < f.past.dead_time
            ci[k] = delta_interval(value[k], sd, level)
            value[k, dead], ci[k, dead] = -np.inf, -np.inf
        coords["history_lag"] = ("history_lag", age, {"units": "s", "long_name": "since a spike"})
        estimates.append(
            Estimate(
                name="history_filter", value=value, ci=ci, units="1",
                dims=("unit", "history_lag"), long_name="log gain by history",
                method="dead time and two exponentials; delta method",
            )
        )  # fmt: skip
    if not estimates:
        return xr.Dataset(coords={"unit": labels})
    return to_dataset(estimates, confidence_level=settings.confidence_level, coords=coords)


def weights_table(fits: Sequence[Fitted], labels: NDArray[Any], units: NDArray[Any]) -> xr.Dataset:
    """Weights of all units, with what a saved model needs to go on.

    Parameters
    ----------
    fits, labels : one per unit that was fitted.
    units : (source,), labels of all units.
    """
    n, most = len(fits), max(len(f.weights) for f in fits)
    weight = np.full((n, most), np.nan)
    stderr = np.full((n, most), np.nan)
    gain, tau, dead = np.full((n, 2), np.nan), np.full((n, 2), np.nan), np.full(n, np.nan)
    for k, f in enumerate(fits):
        m = len(f.weights)
        weight[k, :m] = f.weights
        stderr[k, :m] = np.sqrt(np.maximum(np.diag(f.covariance)[:m], 0.0))
        if f.past is not None:
            gain[k], tau[k], dead[k] = f.past.gains, f.past.taus, f.past.dead_time
    out = xr.Dataset(
        {
            "weight": (("unit", "term"), weight, {"units": "1"}),
            "stderr": (("unit", "term"), stderr, {"units": "1"}),
            "past_gain": (("unit", "exponential"), gain, {"units": "1"}),
            "past_tau": (("unit", "exponential"), tau, {"units": "s"}),
            "dead_time": ("unit", dead, {"units": "s"}),
            "penalty": ("unit", [f.penalty for f in fits], {"units": "nats"}),
        },
        coords={
            "unit": labels, "source": units,
            "exponential": ["recovery", "adaptation"],
        },
    )  # fmt: skip
    if any(len(f.drift_covariance) for f in fits):
        own, covariance = np.full((n, most), np.nan), np.full((n, most, most), np.nan)
        for k, f in enumerate(fits):
            m = len(f.drift_covariance)
            if not m:
                continue
            own[k, :m], covariance[k, :m, :m] = f.drift_weights, f.drift_covariance
        out = out.assign(
            drift_weight=(("unit", "term"), own),
            forgetting=("unit", [f.forgetting for f in fits], {"units": "s"}),
            drift_covariance=(("unit", "term", "term_"), covariance),
        )
    classes = max(len(f.fired) for f in fits)
    if classes:
        kept = {}
        for name in ("fired", "passed"):
            held = np.ones((n, classes))
            for k, f in enumerate(fits):
                if len(f.fired):
                    held[k] = getattr(f, name)
            kept[name] = (("unit", "class"), held)
        out = out.assign(kept)
    return out
