"""Pictures of populations: how long they remember, their latents, rates on single trials."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import check_labels
from neurornn._core.errors import DataError, NameUnknownError, ShapeError, nearest
from neurornn._core.status import Status
from neurornn._core.units import format_number, format_quantity
from neurornn.plot.style import DATA, EVENT, FIT, new_axes

Array = NDArray[np.float64]

#: Lags up to here, s, are shown in ms.
_SHORT = 2.0
#: Most trials that are drawn as paths.
_MOST_TRIALS = 60


def autocorrelation(
    tau: Any, *, unit: Any = None, parameters: xr.Dataset | None = None, ax: Any = None
) -> Any:
    """Draw how long a population, or a unit, remembers: data, fit, and the usual fit.

    Parameters
    ----------
    tau : a fitted `spikes.Timescales`, or a Dataset over ``lag`` (s)
        ``log_covariance``, log of 1 + the covariance over the product of the means, with
        ``log_covariance_ci``, and where they are known ``fitted`` and ``naive``, an exponential
        fitted to the autocorrelation of counts. Over ``unit`` as well where each was fitted.
    unit : label of a unit, where each was fitted; by default the first.
    parameters : Dataset with ``tau`` (s), its interval, and ``naive_tau``; by default those of
        the estimator.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes

    Raises
    ------
    ShapeError, NameUnknownError
        Another table; no such unit.
    """
    if not isinstance(tau, xr.Dataset):
        parameters = getattr(tau, "parameters_", parameters)
        tau = getattr(tau, "autocorrelation_", None)
    if not isinstance(tau, xr.Dataset) or "log_covariance" not in tau or "lag" not in tau.dims:
        holds = ", ".join(map(str, getattr(tau, "data_vars", {}))) or "no variables"
        raise ShapeError(
            f"The table has {holds}", "log_covariance over lag was needed",
            "Pass a fitted spikes.Timescales, or its autocorrelation_",
        )  # fmt: skip
    title = ""
    if "unit" in tau["log_covariance"].dims:
        label = tau["unit"].values[0] if unit is None else unit
        title = f"unit {label}"
        tau = _selected(tau, "unit", label)
        if parameters is not None and "unit" in parameters.dims:
            parameters = _selected(parameters, "unit", label)
    lag = tau["lag"].values
    scale, said = (1000.0, "ms") if np.nanmax(lag) <= _SHORT else (1.0, "s")
    ax = new_axes(ax, (4.8, 3.4))
    value = tau["log_covariance"].values
    if "log_covariance_ci" in tau:
        low, high = np.moveaxis(tau["log_covariance_ci"].transpose(..., "ci_bound").values, -1, 0)
        ax.vlines(scale * lag, low, high, color=DATA, lw=1)
    ax.plot(scale * lag, value, "o", ms=3.5, color=DATA, label="spikes")
    for name, color, style, text in (
        ("naive", EVENT, "--", "usual fit to counts" + _naive(parameters)),
        ("fitted", FIT, "-", "fit" + _fitted(parameters)),
    ):
        if name in tau and np.isfinite(tau[name].values).any():
            ax.plot(scale * lag, tau[name].values, style, color=color, lw=1.6, label=text)
    ax.axhline(0, color="black", lw=0.8, ls=":")
    ax.set(xlabel=f"lag ({said})", ylabel="log covariance of rates", title=title,
           xlim=(0, scale * float(np.nanmax(lag)) * 1.02))  # fmt: skip
    ax.legend(frameon=False, fontsize="small")
    return ax


def _naive(parameters: xr.Dataset | None) -> str:
    if parameters is None or "naive_tau" not in parameters:
        return ""
    known = np.ravel(parameters["naive_tau"].values)
    known = known[np.isfinite(known)]
    return f": {_time(float(known[0]))}" if len(known) else ""


def _fitted(parameters: xr.Dataset | None) -> str:
    """Time constants with their intervals, in words."""
    if parameters is None or "tau" not in parameters:
        return ""
    values = np.ravel(parameters["tau"].values)
    bounds = np.full((len(values), 2), np.nan)
    if "tau_ci" in parameters:
        bounds = parameters["tau_ci"].transpose(..., "ci_bound").values.reshape(-1, 2)
    told = [_time(v, *b) for v, b in zip(values.tolist(), bounds, strict=True) if np.isfinite(v)]
    status = (
        [str(s) for s in np.unique(parameters["status"].values)] if "status" in parameters else []
    )
    bad = [s for s in status if s != Status.OK]
    return ": " + "; ".join([*told, *bad]) if told or bad else ""


def _time(value: float, low: float = np.nan, high: float = np.nan) -> str:
    """Name a time in ms below 1 s, and in s from there."""
    scale, unit = (1000.0, "ms") if value < 1 else (1.0, "s")
    if not np.isfinite(low):
        return f"{format_number(scale * value)} {unit}"
    return format_quantity(scale * value, unit, scale * low, scale * high)


def latent_planes(
    latents: Any,
    planes: Sequence[tuple[Any, Any]] | None = None,
    *,
    conditions: ArrayLike | None = None,
    truth: Any = None,
    ax: Any = None,
) -> Any:
    """Draw the paths of latent variables in planes of two of them.

    Parameters
    ----------
    latents : (trial, time, latent) or (time, latent), or a list of such trials. Of more than 60
        trials 60 are drawn, evenly spaced.
    planes : pairs of latents, by label; by default neighbours: (0, 1), (1, 2), up to three.
    conditions : (trial,), label of each trial, which gives its colour; by default their order.
    truth : true latents on the same trials and bins, of any number: drawn dashed as far as a
        linear map brings them onto `latents`, whose axes are arbitrary.
    ax : matplotlib axes, as many as planes; by default new ones.

    Returns
    -------
    the axes; an array of them for several planes

    Raises
    ------
    ShapeError, NameUnknownError, DataError
        No such latents; truth or conditions of other trials.
    """
    import matplotlib.pyplot as plt

    trials, names = _paths(latents, "latents")
    if planes is None:
        planes = [(names[k], names[k + 1]) for k in range(min(len(names) - 1, 3))]
    pairs = [tuple(_position(names, one) for one in plane) for plane in planes]
    if not pairs or any(len(p) != 2 for p in pairs):
        raise DataError(
            f"{len(names)} latents and planes {list(planes)!r} came",
            "Two latents or more, and pairs of them, were needed", "Pass planes=[(0, 1)]",
        )  # fmt: skip
    true = None if truth is None else _mapped(_paths(truth, "truth")[0], trials)
    colors, legend = _colours(len(trials), conditions)
    if ax is None:
        _, ax = plt.subplots(
            1, len(pairs), figsize=(3.4 * len(pairs) + 0.4, 3.3), layout="constrained",
            squeeze=False,
        )  # fmt: skip
    flat = np.ravel(np.asarray(ax, dtype=object)).tolist()
    if len(flat) != len(pairs):
        raise ShapeError(
            f"{len(flat)} axes came for {len(pairs)} planes", "One for each was needed",
            "Leave ax out",
        )  # fmt: skip
    n_shown = min(len(trials), _MOST_TRIALS)
    shown = np.linspace(0, len(trials) - 1, n_shown).round().astype(int).tolist()
    thin = 1.2 if len(shown) < 10 else 0.8
    for one, (a, b) in zip(flat, pairs, strict=True):
        new_axes(one, (1, 1))
        for k in shown:
            path = trials[k]
            one.plot(path[:, a], path[:, b], color=colors[k], lw=thin, alpha=0.8)
            one.plot(path[:1, a], path[:1, b], "o", color=colors[k], ms=3)
        for k in shown if true is not None else ():
            own = true[k] if true is not None else path
            one.plot(own[:, a], own[:, b], "--", color="black", lw=0.7, alpha=0.7)
        one.set(xlabel=f"latent {names[a]}", ylabel=f"latent {names[b]}")
    from matplotlib.lines import Line2D

    marks = [Line2D([], [], color=c, label=str(name)) for name, c in legend.items()]
    if true is not None:
        marks.append(Line2D([], [], color="black", ls="--", lw=0.7, label="truth, mapped"))
    if marks:
        flat[-1].legend(handles=marks, frameon=False, fontsize="small")
    return flat[0] if len(flat) == 1 else np.array(flat, dtype=object)


def single_trial_rates(
    rates: Any,
    counts: xr.DataArray,
    *,
    trial: Any = None,
    unit: Any = None,
    truth: xr.DataArray | None = None,
    interval: xr.DataArray | None = None,
    ax: Any = None,
) -> Any:
    """Draw the rate of a unit on single trials above the spikes that it fired.

    Parameters
    ----------
    rates : (trial, time, unit) or (time, unit), Hz; or a Dataset with ``rate`` and ``rate_ci``.
    counts : the same, spikes per bin, with ``bin_size`` (s) in its attrs. A tick for each spike,
        spread over its bin.
    trial : label of a trial, or several, one below the other; by default the first three.
    unit : label of a unit; by default the first.
    truth : true rates, Hz, of the same axes.
    interval : of the rates, with ``ci_bound`` as a further axis.
    ax : matplotlib axes, as many as trials; by default new ones.

    Returns
    -------
    the axes; an array of them for several trials

    Raises
    ------
    ShapeError, NameUnknownError
        Arrays that do not go together; no such unit or trial.
    """
    import matplotlib.pyplot as plt

    if isinstance(rates, xr.Dataset):
        interval = rates["rate_ci"] if interval is None and "rate_ci" in rates else interval
        rates = rates["rate"]
    for name, one in (("rates", rates), ("counts", counts)):
        if not isinstance(one, xr.DataArray) or not {"time", "unit"} <= set(one.dims):
            raise ShapeError(
                f"{name} is a {type(one).__name__} over {getattr(one, 'dims', ())}",
                "A DataArray (trial, time, unit) or (time, unit) was needed",
                "Pass model.rates(counts), and the counts",
            )
    label = rates["unit"].values[0] if unit is None and "unit" in rates.coords else unit
    label = 0 if label is None else label
    several = "trial" in rates.dims
    chosen: list[Any] = [None]
    if several:
        known = _labels(rates, "trial")
        chosen = known[:3] if trial is None else np.ravel(np.asarray(trial)).tolist()
    if ax is None:
        _, ax = plt.subplots(
            len(chosen), 1, figsize=(5.6, 0.8 + 1.6 * len(chosen)), layout="constrained",
            squeeze=False, sharex=True, sharey=True,
        )  # fmt: skip
    flat = np.ravel(np.asarray(ax, dtype=object)).tolist()
    if len(flat) != len(chosen):
        raise ShapeError(
            f"{len(flat)} axes came for {len(chosen)} trials", "One for each was needed",
            "Leave ax out",
        )  # fmt: skip
    width = float(counts.attrs.get("bin_size", rates.attrs.get("bin_size", 1.0)))

    def of(array: Any, which: Any) -> Any:
        found = _selected(array, "unit", label)
        return _selected(found, "trial", which) if several and "trial" in found.dims else found

    top = 0.0
    for one, which in zip(flat, chosen, strict=True):
        new_axes(one, (1, 1))
        rate, seen = of(rates, which), of(counts, which)
        if rate.shape != seen.shape:
            raise ShapeError(
                f"A trial of the rates has {rate.shape} bins, of the counts {seen.shape}",
                "The same bins were needed", "Pass the counts that the rates were told from",
            )  # fmt: skip
        time = (
            rate["time"].values if "time" in rate.coords else width * np.arange(1, len(rate) + 1)
        )
        if interval is not None:
            low, high = of(interval, which).transpose(..., "ci_bound").values.T
            one.fill_between(time, low, high, color=FIT, alpha=0.2, lw=0)
            top = max(top, float(np.nanmax(high)))
        if truth is not None:
            own = of(truth, which)
            one.plot(time, own.values, color=EVENT, lw=1.2, label="true rate")
            top = max(top, float(np.nanmax(own.values)))
        one.plot(time, rate.values, color=FIT, lw=1.5, label="rate")
        top = max(top, float(np.nanmax(rate.values)))
        one.set(
            ylabel="rate (Hz)", title=f"unit {label}" + (f", trial {which}" if several else "")
        )
        one.title.set_fontsize("small")
    for one, which in zip(flat, chosen, strict=True):
        seen, rate = of(counts, which), of(rates, which)
        time = (
            rate["time"].values if "time" in rate.coords else width * np.arange(1, len(rate) + 1)
        )
        one.vlines(_ticks(seen.values, time, width), -0.14 * top, -0.03 * top, color=DATA, lw=1,
                  label="spikes")  # fmt: skip
        one.set(ylim=(-0.17 * top, 1.08 * top))
    flat[0].legend(frameon=False, fontsize="small", ncols=3, loc="upper right")
    flat[-1].set_xlabel("time (s)")
    return flat[0] if len(flat) == 1 else np.array(flat, dtype=object)


def _ticks(counts: NDArray[Any], time: NDArray[Any], width: float) -> Array:
    """Place of each spike, evenly over its bin, which ends at its stamp."""
    n = np.where(np.isfinite(counts), counts, 0).astype(int)
    at = np.repeat(time - width, n)
    first = np.repeat(np.cumsum(n) - n, n)
    return np.asarray(at + width * (np.arange(len(at)) - first + 0.5) / np.repeat(n, n))


def _labels(array: Any, dim: Any) -> list[Any]:
    found: list[Any] = (
        array[dim].values.tolist() if dim in array.coords else list(range(array.sizes[dim]))
    )
    return found


def _selected(array: Any, dim: str, label: Any) -> Any:
    """One entry of an axis by its label, its position where the axis has no labels."""
    known = _labels(array, dim)
    return array.isel({dim: _position(known, label, dim)})


def _position(known: Sequence[Any], label: Any, what: str = "latent") -> int:
    if label not in known:
        raise NameUnknownError(
            f"There is no {what} {label!r}",
            f"One of {', '.join(map(repr, list(known)[:8]))} was needed",
            nearest(str(label), map(str, known)),
        )
    return list(known).index(label)


def _paths(latents: Any, name: str) -> tuple[list[Array], list[Any]]:
    """Trials (time, latent), and the labels of the latents."""
    parts = list(latents) if isinstance(latents, list | tuple) else [latents]
    names: list[Any] = []
    trials: list[Array] = []
    for part in parts:
        values = np.asarray(part, dtype=np.float64)
        if values.ndim not in (2, 3):
            raise ShapeError(
                f"{name} has shape {values.shape}",
                "(trial, time, latent) or (time, latent) was needed",
                "Pass what model.latents(counts) returned",
            )
        own = _labels(part, part.dims[-1]) if isinstance(part, xr.DataArray) else []
        names = names or own or list(range(values.shape[-1]))
        trials += list(values) if values.ndim == 3 else [values]
    return trials, names


def _mapped(truth: list[Array], trials: list[Array]) -> list[Array]:
    """True latents, brought onto others by the linear map that suits them best."""
    if [len(t) for t in truth] != [len(t) for t in trials]:
        raise ShapeError(
            f"truth has {len(truth)} trials of {sum(map(len, truth))} bins, latents {len(trials)} "
            f"of {sum(map(len, trials))}",
            "The same trials and bins were needed", "Select them alike",
        )  # fmt: skip
    x = np.concatenate(truth)
    x = np.column_stack([x, np.ones(len(x))])
    y = np.concatenate(trials)
    known = np.isfinite(x).all(axis=1) & np.isfinite(y).all(axis=1)
    weights = np.linalg.lstsq(x[known], y[known])[0]
    edges = np.cumsum([len(t) for t in trials])[:-1]
    return np.split(x @ weights, edges)


def _colours(n: int, conditions: ArrayLike | None) -> tuple[list[Any], dict[Any, Any]]:
    """Colour of each trial, and those that a legend names."""
    import matplotlib as mpl

    if conditions is None:
        if n == 1:
            return [FIT], {}
        return list(mpl.colormaps["viridis"](np.linspace(0, 0.95, n))), {}
    labels = np.asarray(check_labels(conditions, "conditions"))
    if labels.shape != (n,):
        raise ShapeError(
            f"conditions has shape {labels.shape} for {n} trials",
            "One label for each trial was needed", "Pass the condition of every trial",
        )  # fmt: skip
    names = list(dict.fromkeys(labels.tolist()))
    wheel = mpl.colormaps["tab10" if len(names) <= 10 else "hsv"]
    spread = range(len(names)) if len(names) <= 10 else np.arange(len(names)) / len(names)
    legend = {name: wheel(k) for name, k in zip(names, spread, strict=True)}
    return [legend[c] for c in labels.tolist()], legend
