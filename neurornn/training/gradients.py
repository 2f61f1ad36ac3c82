"""Gradients through time: how far back an error at one step can teach the network."""

from typing import Any

import numpy as np
import torch
import xarray as xr

from neurornn._core.checks import check_positive
from neurornn._core.confidence import median_interval
from neurornn._core.errors import DataError, KindError
from neurornn._core.report import Table
from neurornn._core.units import format_quantity
from neurornn.io.shell import Result
from neurornn.models.base import RecurrentModel
from neurornn.training.batches import TrainingData, as_training_data

#: A gradient that falls by this much over the lags looked at has vanished; that grows by the
#: inverse, exploded. Single precision keeps seven digits of a sum.
VANISHED, EXPLODED = 1e-3, 1e3
#: Share of its start to which a gradient has fallen at the memory horizon.
HORIZON = float(np.exp(-1))
_REMEDIES = {
    "healthy": "Errors at the longest lag looked at still teach the first step.",
    "vanishing": (
        "An error cannot teach what happened longer ago than the horizon. Start from longer time "
        "constants (tau=), or a wider tau_bounds; give units self-connections; shorten the task; "
        "or use LSTM with tau= of the order of the task."
    ),
    "exploding": (
        "A small change grows without bound: steps of the optimiser become random. Lower "
        "clip_norm or the learning rate, start from smaller recurrent weights, truncate the "
        "gradient (truncation=), or, for data of a chaotic system, use teacher_forcing."
    ),
}


class GradientFlow(Result):
    """How gradients travel back through time; made by `gradient_flow`.

    Attributes
    ----------
    parameters : Dataset over ``lag`` (s) and ``trial``
        ``norm (trial, lag)``, the spectral norm of the product of Jacobians over that lag, the
        median over the steps looked at; ``horizon`` with ``horizon_ci``, s, the lag at which the
        norm first falls below 1/e, the median over trials; ``growth_rate`` with ``_ci``, 1/s, the
        mean exponential rate; ``smallest (trial, lag)``, the least singular value.
    status : ``"healthy"``, ``"vanishing"`` or ``"exploding"``; `remedy` says what to change.
    settings : how it was made.
    """

    _papers = ("pascanu_2013", "bengio_1994")
    _packages = ("numpy", "torch")

    @property
    def status(self) -> str:
        """Verdict: healthy, vanishing or exploding."""
        return str(self.settings["verdict"])

    @property
    def remedy(self) -> str:
        """What the verdict means and what to change."""
        return _REMEDIES[self.status]

    def _report_table(self) -> Table:
        t, unit = self.parameters, self.settings["time_unit"]
        rows = []
        for lag in np.unique(np.geomspace(1, t.sizes["lag"], 8).astype(int)) - 1:
            norm = t["norm"].values[:, lag]
            low, high = np.quantile(norm, [0.25, 0.75])
            rows.append(
                [
                    f"{float(t['lag'][lag]):.4g} {unit}",
                    *(f"{v:.3g}" for v in (np.median(norm), low, high)),
                ]
            )
        quantities = []
        for name in ("horizon", "growth_rate"):
            one, attrs = float(t[name]), t[name].attrs
            if np.isfinite(one):
                said = format_quantity(one, attrs["units"], *t[f"{name}_ci"].values)
                said += f" ({attrs['reason']})" if attrs.get("reason") else ""
            else:
                said = f"beyond {float(t['lag'][-1]):.4g} {unit}, the longest lag looked at"
            quantities.append(f"{attrs['long_name']}: {said}")
        return Table(
            title="Gradients through time",
            columns=["lag", "norm (median)", "lower quartile", "upper quartile"],
            rows=rows,
            head=[f"status: {self.status}. {self.remedy}", *quantities],
        )

    def __repr__(self) -> str:
        return f"GradientFlow({self.status}, horizon={float(self.parameters['horizon']):.3g})"

    def _methods_sentence(self) -> str:
        return (
            "The reach of gradients through time was measured as the spectral norm of products of "
            f"the Jacobians of the state over lags up to {self.settings['max_lag']:g} "
            f"{self.settings['time_unit']}"
        )


def gradient_flow(
    model: RecurrentModel,
    data: Any,
    *,
    max_lag: float | None = None,
    n_starts: int = 4,
    max_trials: int = 16,
    confidence_level: float = 0.95,
) -> GradientFlow:
    """Measure how far back in time gradients of a model reach on its data.

    Parameters
    ----------
    model : with a state that carries all there is from step to step; not changed.
    data : as for `nr.fit`, or inputs alone (trial, time, input).
    max_lag : in the model's time unit; by default as long as the trials allow.
    n_starts : steps of each trial, evenly spread, from which gradients are followed.
    max_trials : the first so many trials are looked at.
    confidence_level : of the intervals, over trials.

    Returns
    -------
    GradientFlow

    Raises
    ------
    KindError, DataError
        A model without a state, trials of a single step.

    Notes
    -----
    ``d h_{t+k} / d h_t`` is the product of the Jacobians of k steps. Its norm bounds what an error
    k steps on can teach step t (Bengio et al. 1994; Pascanu et al. 2013). It is also the
    amplification factor of the solver that the step is of the equation, stable where it stays
    below 1, and, written ``gamma^k`` with ``gamma = exp(-dt / tau)`` for a single unit, the
    discount that reinforcement learning puts on a reward k steps away: a time constant is a
    horizon in all three.

    Examples
    --------
    >>> import neurornn as nr
    >>> one = nr.models.LeakyRNN(1, 1, 1, dt=0.01, tau=0.2, recurrent=False)
    >>> flow = gradient_flow(one, torch.zeros(3, 100, 1))
    >>> round(float(flow.parameters["horizon"]), 2), flow.status
    (0.2, 'healthy')
    """
    check_has_state(model)
    if int(n_starts) < 1 or int(max_trials) < 1:
        raise DataError(
            f"n_starts is {n_starts} and max_trials {max_trials}",
            "At least one of each was needed",
            "Leave them at their defaults",
        )
    x = _inputs(model, data)[:max_trials]
    if not bool(torch.isfinite(x).all()):
        raise DataError("The inputs hold NaN", "Finite inputs were needed", "Fill or cut them")
    n_steps = x.shape[1]
    dt, unit = model.dt, model.time_unit
    if n_steps < 3:
        raise DataError(
            f"The trials have {n_steps} steps",
            "At least 3 were needed",
            "Pass longer trials",
        )
    wanted = (
        n_steps // 2 if max_lag is None else round(check_positive(max_lag, "max_lag", unit) / dt)
    )
    n_lags = max(1, min(wanted, n_steps - 1))
    was_training = model.training
    model.eval()
    try:
        norm, smallest = _products(model, x, n_lags, n_starts)
    finally:
        model.train(was_training)
    table = _summary(norm, smallest, dt, unit, confidence_level)
    middle = np.median(norm[:, -1])
    # The verdict speaks of the lags looked at.
    peak = np.median(norm.max(1))
    verdict = "exploding" if peak > EXPLODED else "vanishing" if middle < VANISHED else "healthy"
    settings = {
        "model": type(model).__name__,
        "dt": dt,
        "time_unit": unit,
        "max_lag": n_lags * dt,
        "n_starts": int(n_starts),
        "confidence_level": float(confidence_level),
        "verdict": verdict,
    }
    return GradientFlow(table, settings)


def check_has_state(model: RecurrentModel) -> None:
    """Raise where a model has no state that gradients could travel through."""
    if not model.n_hidden or model.looks_ahead or model.observes_targets:
        raise KindError(
            f"{type(model).__name__} has no state that is carried from step to step",
            "A recurrent model was needed",
            "For example nr.models.LeakyRNN, VanillaRNN, GRU or LSTM",
        )


def _inputs(model: RecurrentModel, data: Any) -> torch.Tensor:
    if isinstance(data, TrainingData):
        return data.inputs.to(next(model.parameters()).dtype)
    plain = isinstance(data, torch.Tensor | np.ndarray) or (
        isinstance(data, xr.DataArray) and {"trial", "time", "input"} <= set(map(str, data.dims))
    )
    return model.as_inputs(data if plain else as_training_data(data, model).inputs)


def _products(
    model: RecurrentModel, x: torch.Tensor, n_lags: int, n_starts: int
) -> tuple[np.ndarray, np.ndarray]:
    """Largest and least singular value of the products, (trial, lag), the median over starts."""
    with torch.no_grad():
        start = model.start_from(x)
        states, _ = model.scan(x, start)
        before = torch.cat([start[:, None], states[:, :-1]], 1)
    first = np.unique(np.linspace(0, x.shape[1] - 1 - n_lags, n_starts).round().astype(int))

    largest, least = [], []
    for t in first:
        product, top, bottom = None, [], []
        for k in range(n_lags):
            now = _jacobian(model, before[:, t + k + 1], x[:, t + k + 1])
            product = now if product is None else now @ product
            values = torch.linalg.svdvals(product)
            top.append(values[:, 0])
            bottom.append(values[:, -1])
        largest.append(torch.stack(top, 1))
        least.append(torch.stack(bottom, 1))
    return (
        torch.stack(largest).median(0).values.numpy(),
        torch.stack(least).median(0).values.numpy(),
    )


def _jacobian(model: RecurrentModel, state: torch.Tensor, now: torch.Tensor) -> torch.Tensor:
    """Jacobian of one step, (trial, state, state_): a row of each from a copy of the trial."""
    n_trials, n = state.shape
    copies = state.repeat_interleave(n, 0).requires_grad_()
    with torch.enable_grad():
        after = model.scan(now.repeat_interleave(n, 0)[:, None], copies)[1]
        rows = torch.eye(n, dtype=state.dtype).repeat(n_trials, 1)
        (found,) = torch.autograd.grad(after, copies, rows)
    return found.reshape(n_trials, n, n).double()


def _summary(
    norm: np.ndarray, smallest: np.ndarray, dt: float, unit: str, level: float
) -> xr.Dataset:
    lags = (np.arange(norm.shape[1]) + 1) * dt
    below = norm < HORIZON
    reached = below.any(1)
    first = np.where(reached, below.argmax(1), 0)
    horizons = np.full(len(norm), np.inf)
    for k in np.flatnonzero(reached):
        j = first[k]
        # The norm falls about exponentially between two lags.
        a, b = (1.0 if j == 0 else norm[k, j - 1]), norm[k, j]
        share = np.log(a / HORIZON) / np.log(a / max(b, 1e-300))
        horizons[k] = (j + min(max(share, 0.0), 1.0)) * dt
    rates = np.log(np.maximum(norm[:, -1], 1e-300)) / lags[-1]
    table = xr.Dataset(
        {
            "norm": (("trial", "lag"), norm, {"units": "1", "long_name": "norm of the product"}),
            "smallest": (
                ("trial", "lag"),
                smallest,
                {"units": "1", "long_name": "least singular value"},
            ),
        },
        coords={"lag": ("lag", lags, {"units": unit}), "ci_bound": ["lower", "upper"]},
    )
    how = f"median over {len(norm)} trials; interval from their order"
    for name, values, units, long_name in (
        ("horizon", horizons, unit, "memory horizon, the lag of 1/e"),
        ("growth_rate", rates, f"1/{unit}", "mean growth rate of the norm"),
    ):
        attrs = {"units": units, "long_name": long_name, "method": how}
        middle = float(np.median(values))
        ends = np.full(2, np.nan)
        if not np.isfinite(middle):
            attrs["reason"] = (
                f"the norm stays above 1/e up to the longest lag, {lags[-1]:g} {unit}"
            )
        elif len(values) < 6 or not np.isfinite(values).all():
            attrs["reason"] = "fewer than 6 trials, or some that do not reach it"
        else:
            ends = np.asarray(median_interval(values, level), dtype=float)
        table[name] = ((), middle, attrs)
        level_of = {"ci_kind": "confidence", "ci_prob": float(level)}
        table[f"{name}_ci"] = ("ci_bound", ends, {**attrs, **level_of})
    return table
