"""Pictures of linear modes: spectra with intervals, shapes, eigenfunctions, laws, forecasts."""

from typing import Any

import numpy as np
import xarray as xr

from neurornn._core.errors import ShapeError
from neurornn.plot.style import DATA, EVENT, FIT, new_axes

#: Time constants, s, of which a line is drawn, as multiples of a power of ten.
_LINES = (1.0, 2.0, 5.0)


def spectrum(modes: Any, *, truth: Any = None, ax: Any = None) -> Any:
    """Draw eigenvalues with their intervals, rate against frequency.

    Parameters
    ----------
    modes : `koopman.Modes` or `EDMD`, fitted, `DMDResult`, or its table
        Lines of equal time constant stand behind; modes that grow lie right of the bold line.
        Modes that are not ok are open.
    truth : table with ``time_constant`` (s) and ``frequency`` (Hz) over ``mode``, for crosses.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes

    Raises
    ------
    ShapeError
        A table without rates and frequencies.
    """
    table = modes
    if not isinstance(modes, xr.Dataset):
        table = modes.parameters_ if hasattr(modes, "parameters_") else modes.parameters
    if not {"rate", "frequency"} <= set(table):
        raise ShapeError(
            f"The table has {', '.join(map(str, table.data_vars)) or 'no variables'}",
            "rate (1/s) and frequency (Hz) were needed",
            "Pass what fit_modes or EDMD().fit returned",
        )
    ax = new_axes(ax, (4.8, 3.6))
    rate, frequency = table["rate"].values, table["frequency"].values
    ok = table["status"].values == "ok"
    for chosen, fill, label in ((ok, FIT, "modes"), (~ok, "none", "modes that are not ok")):
        if not chosen.any():
            continue
        ends = [
            np.abs(table[f"{q}_ci"].values[chosen].T - v[chosen])
            for q, v in (("rate", rate), ("frequency", frequency))
        ]
        ax.errorbar(
            rate[chosen], frequency[chosen], xerr=np.nan_to_num(ends[0]),
            yerr=np.nan_to_num(ends[1]), fmt="o", color=FIT, mfc=fill, ms=5, lw=1.2, label=label,
        )  # fmt: skip
    if truth is not None:
        ax.plot(-1 / truth["time_constant"].values, truth["frequency"].values, "x", color=EVENT,
                ms=8, label="truth")  # fmt: skip
    ax.axvline(0, color="black", lw=1.5)
    # Far modes would press all others into the line.
    low, high = ax.get_xlim()
    high = max(high, -0.05 * low)
    top = max(float(ax.get_ylim()[1]), 1e-3)
    ax.set(xlim=(low, high), ylim=(-0.08 * top, 1.15 * top))
    for tau in _taus(-1 / min(low, -1e-12)):
        if low < -1 / tau < 0.9 * high - 0.02 * (high - low):
            ax.axvline(-1 / tau, color=DATA, lw=0.6, ls=":", zorder=0)
            ax.text(-1 / tau, 1.13 * top, f"{tau:g} s", color=DATA, fontsize="x-small",
                    rotation=90, ha="right", va="top")  # fmt: skip
    ax.set(xlabel="rate (1/s)", ylabel="frequency (Hz)")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False,
              fontsize="small")  # fmt: skip
    return ax


def _taus(shortest: float) -> list[float]:
    """Round time constants from the shortest that is shown to a hundred times as long."""
    first = int(np.floor(np.log10(shortest)))
    every = [m * 10.0**k for k in range(first, first + 3) for m in _LINES]
    return [t for t in every if shortest <= t <= 20 * shortest]


def mode_shapes(modes: Any, *, n_modes: int = 4, ax: Any = None) -> Any:
    """Draw what modes look like: weight and phase of each unit.

    Parameters
    ----------
    modes : `koopman.Modes`, fitted.
    n_modes : how many, the slowest first.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes
    """
    table, shapes = modes.parameters_, modes.shapes_.values
    n = min(n_modes, len(shapes))
    ax = new_axes(ax, (5.6, 0.8 + 0.9 * n))
    values = shapes[:n, :, 0] + 1j * shapes[:n, :, 1]
    labels = []
    for k in range(n):
        size = np.abs(values[k]) / max(float(np.abs(values[k]).max()), 1e-300)
        sign = np.sign(values[k].real)
        swings = float(table["frequency"][k]) > 0
        height = 0.42 * size * (1.0 if swings else sign)
        x = np.arange(len(size))
        if swings:
            # A phase has no sign: it goes round the colours.
            import matplotlib as mpl

            turn = mpl.colormaps["twilight"]((np.angle(values[k]) / (2 * np.pi)) % 1)
            ax.bar(x, height, bottom=-k, color=turn, width=0.9)
        else:
            ax.bar(x, height, bottom=-k, color=np.where(sign > 0, FIT, EVENT), width=0.9)
        ax.axhline(-k, color="black", lw=0.6)
        tau, f = float(table["time_constant"][k]), float(table["frequency"][k])
        said = f"{tau:.3g} s" if np.isfinite(tau) else "grows"
        labels.append(f"{said}, {f:.3g} Hz" if swings else said)
    ax.set(xlabel="unit", yticks=-np.arange(n), yticklabels=labels, ylim=(-n + 0.4, 0.6))
    ax.set_title("weight; colour: sign, or phase where a mode swings", fontsize="small")
    return ax


def eigenfunction(
    edmd: Any, mode: int = 0, *, x: Any = (-2.0, 2.0), y: Any = (-2.0, 2.0), n: int = 101,
    ax: Any = None,
) -> Any:  # fmt: skip
    """Draw an eigenfunction, or a law, over the plane of two variables with its level sets.

    Parameters
    ----------
    edmd : `koopman.EDMD`, fitted, or `koopman.ConservedQuantities`, of two variables.
    mode : number of the eigenfunction or law.
    x, y : limits of the two variables.
    n : points to a side.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes

    Raises
    ------
    ShapeError
        Other than two variables, or no mode of that number.
    """
    law = hasattr(edmd, "evaluate")
    labels = list(edmd.variables)
    if len(labels) != 2:
        raise ShapeError(
            f"The fit has {len(labels)} variables",
            "Two were needed to draw a plane",
            "Evaluate it on a plane of your own, and draw it with xarray",
        )
    across, up = np.linspace(x[0], x[1], n), np.linspace(y[0], y[1], n)
    grid = np.stack(np.meshgrid(across, up, indexing="xy"), axis=-1)
    values = edmd.evaluate(grid) if law else edmd.eigenfunctions(grid)
    dim = "law" if law else "mode"
    if not 0 <= mode < values.sizes[dim]:
        raise ShapeError(
            f"{dim} {mode} of {values.sizes[dim]} was asked for",
            f"A number from 0 to {values.sizes[dim] - 1} was needed",
            "Look at the report",
        )
    shown = values.values[..., mode].real
    ax = new_axes(ax, (4.4, 3.6))
    limit = float(np.nanpercentile(np.abs(shown - np.nanmedian(shown)), 95)) or 1.0
    middle = float(np.nanmedian(shown))
    image = ax.pcolormesh(
        across, up, shown, cmap="coolwarm", shading="auto", vmin=middle - limit,
        vmax=middle + limit, rasterized=True,
    )  # fmt: skip
    levels = np.unique(np.nanpercentile(shown, np.linspace(5, 95, 13)))
    if len(levels) > 1:
        ax.contour(across, up, shown, levels, colors="black", linewidths=0.6)
    ax.set(xlabel=labels[0], ylabel=labels[1])
    ax.figure.colorbar(image, ax=ax, label=f"{'law' if law else 'eigenfunction'} {mode}")
    return ax


def conserved(laws: Any, trajectories: Any, *, law: int = 0, ax: Any = None) -> Any:
    """Draw a law along trajectories: flat where it is kept.

    Parameters
    ----------
    laws : `koopman.ConservedQuantities`.
    trajectories : (trial, time, variable), with ``time`` where it has one.
    law : number of it.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes
    """
    values = laws.evaluate(trajectories).values
    if values.ndim != 3 or not 0 <= law < values.shape[2]:
        raise ShapeError(
            f"The law is {law} and its values have shape {values.shape}",
            "Trajectories (trial, time, variable) and a law from 0 were needed",
            "Pass x[None] for one trajectory",
        )
    labelled = isinstance(trajectories, xr.DataArray) and "time" in trajectories.coords
    time = trajectories["time"].values if labelled else np.arange(values.shape[1])
    ax = new_axes(ax, (5.6, 3.2))
    order = np.argsort(np.nanmean(values[:, :, law], axis=1))
    for place, k in enumerate(order):
        shade = 0.15 + 0.7 * place / max(len(order) - 1, 1)
        ax.plot(time, values[k, :, law], color=str(shade) if len(order) > 1 else FIT, lw=0.9)
    p = float(laws.parameters["p_value"][law])
    ax.set(xlabel="time (s)" if labelled else "frame", ylabel="value (sd of the fit)")
    ax.set_title(f"{_short(laws.expression[law])}\np = {p:.2g}", fontsize="small")
    return ax


def _short(text: str, most: int = 70) -> str:
    return text if len(text) <= most else text[: most - 4] + " ..."


def forecast_fan(
    forecast: Any, *, unit: int = 0, past: Any = None, truth: Any = None, ax: Any = None
) -> Any:
    """Draw a forecast with the interval in which the next frames lie.

    Parameters
    ----------
    forecast : what `Modes.forecast` or `EDMD.forecast` gave, for one trajectory.
    unit : number of the unit.
    past : (time, unit), frames before the forecast, at the same clock.
    truth : (time, unit), frames that came.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes

    Raises
    ------
    ShapeError
        Forecasts of several trajectories.
    """
    dims = set(map(str, forecast.dims))
    if dims & {"trajectory", "trial"}:
        raise ShapeError(
            f"The forecast has dims {sorted(dims)}",
            "That of one trajectory was needed",
            "Select one: forecast.isel(trajectory=0)",
        )
    ax = new_axes(ax, (5.6, 3.2))
    time = forecast["time"].values
    dt = float(time[0])
    if past is not None:
        values = np.asarray(past)[:, unit]
        ax.plot(dt * (np.arange(len(values)) - len(values) + 1), values, color=DATA, lw=1,
                label="before")  # fmt: skip
    if truth is not None:
        values = np.asarray(truth)[: len(time), unit]
        ax.plot(time[: len(values)], values, color="black", lw=1, label="what came")
    colours = {"forecast": FIT, "linear": FIT, "relifted": EVENT}
    for name, colour in colours.items():
        if name not in forecast:
            continue
        ax.plot(time, forecast[name].values[:, unit], color=colour, lw=1.5, label=name)
        if f"{name}_ci" in forecast:
            low, high = forecast[f"{name}_ci"].values[:, unit].T
            ax.fill_between(time, low, high, color=colour, alpha=0.25, lw=0)
    ax.axvline(0, color="black", lw=0.8)
    units = forecast[next(n for n in colours if n in forecast)].attrs.get("units", "1")
    name = f"unit {forecast['unit'].values[unit]}"
    ax.set(
        xlabel="time from the last frame (s)",
        ylabel=name if units in ("", "1") else f"{name} ({units})",
    )
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False,
              fontsize="small")  # fmt: skip
    return ax
