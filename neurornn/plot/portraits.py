"""Phase portraits and energy landscapes: what a network does on a plane of its states."""

import importlib
from typing import Any

import numpy as np
import xarray as xr

from neurornn._core.checks import check_choice, check_positive
from neurornn._core.errors import KindError
from neurornn.plot.style import DATA, EVENT, FIT, RANGES, new_axes

#: Where the field is computed that is drawn here. This room knows no model: whoever passes one
#: has loaded what is above, which is looked up by name as classes of saved results are.
_FIELDS = "neurornn.dynamics.portrait"
#: Arrows along each side, and the length of the line through a saddle as a share of the plane.
_ARROWS, _LINE = 21, 0.09
#: Points farther from the plane than this share of its size are drawn faint.
_NEAR = 0.05
#: Lines through a saddle.
_LEADS = (
    ("unstable_direction", EVENT, "saddle: leads away"),
    ("stable_direction", FIT, "saddle: leads there"),
)
#: How much of a marker is black.
_FILLED = {"stable": "full", "saddle": "left", "unstable": "none"}


def phase_portrait(
    model: Any,
    points: Any = None,
    *,
    kind: str = "streamlines",
    nullclines: bool | None = None,
    title: str | None = None,
    ax: Any = None,
    **options: Any,
) -> Any:
    """Draw where a network goes from every state of a plane, with its fixed points.

    Parameters
    ----------
    model : what `dynamics.find_fixed_points` takes, or a field that was computed before by
        ``nr.dynamics.portrait.flow_field``
        Of a network with two states the whole plane is drawn, of a larger one a slice, which is
        said above and beside it: arrows show the part of the step that lies in the slice.
    points : FixedPoints, or states (point, hidden)
        Stable ones are filled, unstable ones open, saddles half filled with a line along the mode
        that grows fastest (vermilion) and the one that decays slowest (blue). Those that lie off a
        slice are faint.
    kind : ``"streamlines"`` of the step, or ``"arrows"``, the step itself to a common scale.
    nullclines : draw where the step along each axis is 0; by default where there are two states.
    title : by default names the model, a slice, and an input that is not 0.
    ax : matplotlib axes; by default new ones.
    options : ``inputs``, ``plane``, ``origin``, ``trajectories``, ``limits``, ``n_grid``,
        ``n_hidden``, ``dt`` of ``nr.dynamics.portrait.flow_field``, for example
        ``inputs=[1.0]``, ``plane=np.stack([first, second])``, ``trajectories=model(x).states``.

    Returns
    -------
    the axes

    Raises
    ------
    KindError, ShapeError, DataError, NameUnknownError
        What `flow_field` refuses; a kind of another name.

    Examples
    --------
    >>> import numpy as np
    >>> switch = lambda h: np.tanh(2 * h)
    >>> ax = phase_portrait(switch, n_hidden=2, limits=((-1, 1), (-1, 1)))
    >>> ax.get_xlabel()
    'state of unit 0'
    """
    check_choice(kind, "kind", ("streamlines", "arrows"))
    field = _field_of(model, points, options)
    ax = new_axes(ax, (4.6, 4.4))
    x, y = field["axis_1"].values, field["axis_2"].values
    # First what the legend names first; what lies above is said by zorder.
    _draw_points(ax, field, lines=True)
    _draw_runs(ax, field)
    u, v = np.moveaxis(field["step"].transpose("axis_2", "axis_1", "direction").values, 2, 0)
    if kind == "streamlines":
        ax.streamplot(x, y, u, v, color=DATA, linewidth=0.7, arrowsize=0.7, density=1.1, zorder=1)
    else:
        every = max(1, round(len(x) / _ARROWS))
        # Whole rows and columns, as many left out at either end.
        some = slice((len(x) - 1) % every // 2, None, every)
        ax.quiver(x[some], y[some], u[some, some], v[some, some], color=DATA, angles="xy",
                  width=0.0035, zorder=1)  # fmt: skip
    if nullclines or (nullclines is None and not field.attrs["is_slice"]):
        form = "unit {0} stands still" if field.attrs["axes"] == "states" else "none along {1}"
        for k, (step, colour) in enumerate(((u, RANGES[1]), (v, RANGES[2]))):
            if step.min() < 0 < step.max():
                ax.contour(x, y, step, levels=[0.0], colors=[colour], linewidths=1.2, zorder=2)
                ax.plot([], [], color=colour, lw=1.2, label=form.format(k, k + 1))
    return _framed(ax, field, title)


def energy_landscape(
    model: Any,
    points: Any = None,
    *,
    decades: float = 4.0,
    title: str | None = None,
    ax: Any = None,
    **options: Any,
) -> Any:
    """Draw how slow a network is at every state of a plane: its wells are fixed or slow points.

    Parameters
    ----------
    model, points, title, ax, options : as for `phase_portrait`.
    decades : colours cover so many powers of 10 of q below the largest on the plane; what is
        slower still has the darkest.

    Returns
    -------
    the axes

    Raises
    ------
    KindError, ShapeError, DataError
        What `flow_field` refuses; decades not above 0.

    Notes
    -----
    Drawn is ``log10 q``, ``q = |F(h) - h|^2 / 2`` of the whole step, on a slice too (Sussillo &
    Barak 2013, Neural Computation 25:626, doi:10.1162/NECO_a_00409). It is no energy that the
    network goes down: a saddle is a well as well.

    Examples
    --------
    >>> import numpy as np
    >>> switch = lambda h: np.tanh(2 * h)
    >>> ax = energy_landscape(switch, n_hidden=2, limits=((-1, 1), (-1, 1)))
    >>> ax.get_title(loc="left")
    '<lambda>'
    """
    decades = check_positive(decades, "decades")
    if not isinstance(model, xr.Dataset):
        # Wells are narrow.
        options = {"n_grid": 121, **options}
    field = _field_of(model, points, options)
    ax = new_axes(ax, (5.4, 4.4))
    q = field["q"].transpose("axis_2", "axis_1").values
    x, y = field["axis_1"].values, field["axis_2"].values
    with np.errstate(divide="ignore"):
        depth = np.log10(q)
    seen = depth[np.isfinite(depth)]
    top = float(seen.max()) if seen.size else 0.0
    low = max(float(seen.min()), top - decades) if seen.size else top - decades
    # One value everywhere still has a colour.
    low = low if low < top else top - 1.0
    shown = np.clip(depth, low, top)
    image = ax.pcolormesh(x, y, shown, cmap="viridis", vmin=low, vmax=top, shading="gouraud",
                          rasterized=True, zorder=0)  # fmt: skip
    ax.contour(x, y, shown, levels=np.arange(np.ceil(low), top), colors="white", linewidths=0.4,
               linestyles="solid",
               alpha=0.6, zorder=1)  # fmt: skip
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.85, pad=0.03)
    bar.set_label(r"$\log_{10} q$, $q = |F(h) - h|^2 / 2$")
    _draw_points(ax, field, lines=False)
    _draw_runs(ax, field)
    return _framed(ax, field, title)


def _field_of(model: Any, points: Any, options: dict[str, Any]) -> xr.Dataset:
    """The field that came, or that of a model."""
    if not isinstance(model, xr.Dataset):
        made: xr.Dataset = importlib.import_module(_FIELDS).flow_field(model, points, **options)
        return made
    missing = [n for n in ("step", "q", "place") if n not in model]
    given = [*(["points"] if points is not None else []), *options]
    if missing or given:
        raise KindError(
            f"A Dataset came without {', '.join(missing)}"
            if missing
            else f"A Dataset came, and {', '.join(given)} beside it",
            "A field as flow_field makes it, which holds its points and its plane, was needed",
            "Pass these to nr.dynamics.portrait.flow_field, or pass the model here",
        )
    return model


def _draw_runs(ax: Any, field: xr.Dataset) -> None:
    if "trajectory" not in field:
        return
    runs = field["trajectory"].transpose("trial", "time", "direction").values
    for k, run in enumerate(runs):
        label = "trajectories" if k == 0 else None
        ax.plot(run[:, 0], run[:, 1], color=RANGES[3], lw=0.8, alpha=0.8, zorder=3, label=label)


def _draw_points(ax: Any, field: xr.Dataset, lines: bool) -> None:
    place = field["place"].transpose("point", "direction").values
    x, y = field["axis_1"].values, field["axis_2"].values
    size = float(np.hypot(x[-1] - x[0], y[-1] - y[0]))
    faint = field["distance"].values > _NEAR * size
    for kind, filled in _FILLED.items():
        for off in (False, True):
            chosen = (field["kind"].values == kind) & (faint == off)
            if chosen.any():
                label = f"{kind}, off the slice" if off else kind
                # An open one is white inside, so that nothing shines through.
                if filled == "none":
                    look = {"fillstyle": "full", "mfc": "white"}
                else:
                    look = {"fillstyle": filled, "mfc": "black", "mfcalt": "white"}
                ax.plot(*place[chosen].T, "o", ms=7, mec="black", mew=1.1, zorder=5,
                        alpha=0.35 if off else 1.0, label=label, **look)  # fmt: skip
    for name, colour, label in _LEADS if lines else ():
        ways = field[name].transpose("point", "direction").values
        for n, k in enumerate(np.flatnonzero(np.isfinite(ways).all(axis=1))):
            ends = place[k] + np.array([-1, 1])[:, None] * ways[k] * _LINE * size / 2
            ax.plot(*ends.T, color=colour, lw=2.0, zorder=4, alpha=0.35 if faint[k] else 1.0,
                    label=f"_{label}" if n else label)  # fmt: skip


def _framed(ax: Any, field: xr.Dataset, title: str | None) -> Any:
    names = {"states": "state of unit {0}", "given": "along direction {1}"}
    form = names.get(field.attrs["axes"], "principal component {1}")
    labels = [form.format(k, k + 1) for k in range(2)]
    for k, share in enumerate(field.attrs.get("variance_share", [])):
        labels[k] += f" ({100 * share:.0f} % of the variance)"
    if title is None:
        title = str(field.attrs["model"])
        if field.attrs["is_slice"]:
            title += f": slice through {field.sizes['hidden']} states"
        if np.any(field.attrs["inputs"]):
            held = ", ".join(f"{u:.3g}" for u in np.atleast_1d(field.attrs["inputs"]))
            title += f", input {held}"
    x, y = field["axis_1"].values, field["axis_2"].values
    ax.set(xlabel=labels[0], ylabel=labels[1], xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    ax.set_aspect("equal")
    ax.set_title(title, loc="left", fontsize="medium")
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3, frameon=False,
                  fontsize="small", handlelength=1.4, columnspacing=1.2)  # fmt: skip
    return ax
