"""The step of a network on a plane of its states, with its fixed points: what a portrait shows."""

from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import check_count, check_number, check_numbers
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn.dynamics.maps import StateMap, as_map

Array = NDArray[np.float64]

#: Places along each side of the plane.
N_GRID = 61
#: Room around what is shown, as a share of it.
_MARGIN = 0.2
#: Half the side of a plane on which there is nothing, for states without bounds.
_HALF_SIDE = 1.5
#: Directions whose spread is a smaller share of the first one's make no plane.
_FLAT = 1e-6


def flow_field(
    model: Any,
    points: Any = None,
    *,
    inputs: Any = None,
    plane: ArrayLike | None = None,
    origin: ArrayLike | None = None,
    trajectories: Any = None,
    limits: Any = None,
    n_grid: int = N_GRID,
    n_hidden: int | None = None,
    dt: float | None = None,
) -> xr.Dataset:
    """Compute the step ``F(h) - h`` of a network on a plane of its states.

    Parameters
    ----------
    model : what `find_fixed_points` takes.
    points : FixedPoints, its table, or states (point, hidden), which are laid onto the plane; by
        default none.
    inputs : (input,), held constant; by default that of the points, or else 0.
    plane : (2, hidden), the two directions of the plane
        They are made orthonormal, the first one stays. By default the two states of a network of
        two, and of a larger one the first two principal components of `trajectories`, or else of
        the points.
    origin : (hidden,), a state on the plane; by default the mean of what the plane was made from,
        or 0.
    trajectories : (time, hidden) or (trial, time, hidden), laid onto the plane too.
    limits : ((left, right), (bottom, top)), along the two directions from the origin; by default
        around what is shown.

    Other Parameters
    ----------------
    n_grid : places along each side.
    n_hidden : size of the state of a function.
    dt : s, length of a step of what has no clock.

    Returns
    -------
    Dataset
        ``step (axis_2, axis_1, direction)``, ``F(h) - h`` along the two directions; ``q (axis_2,
        axis_1)``, half its squared length in the whole space, as in `FixedPoints`; ``off_plane
        (axis_2, axis_1)``, the share of its length that leaves the plane; for points their
        ``place (point, direction)``, ``distance (point)`` from the plane, ``n_unstable (point)``,
        ``kind (point)``, and for saddles ``unstable_direction`` and ``stable_direction (point,
        direction)``, of the fastest mode that grows and of the slowest that decays, unit vectors
        of the whole space as they lie in the plane, NaN where that mode turns; ``trajectory
        (trial, time, direction)``; ``plane (direction, hidden)`` and ``origin (hidden)``.
        In attrs ``is_slice``, where there are more than two states.

    Raises
    ------
    KindError, ShapeError, DataError
        A model that cannot be read, a plane or states of another size, a plane that is a line,
        points of another input.

    Examples
    --------
    >>> field = flow_field(lambda h: np.tanh(2 * h), n_hidden=2, limits=((-1, 1), (-1, 1)))
    >>> dict(field["q"].sizes)
    {'axis_2': 61, 'axis_1': 61}
    """
    n_grid = check_count(n_grid, "n_grid", least=2)
    states, held = _states_of(points)
    if n_hidden is None and states is not None and not isinstance(model, StateMap):
        n_hidden = states.shape[1]
    if not isinstance(model, StateMap):
        model = as_map(model, held if inputs is None else inputs, n_hidden=n_hidden, dt=dt)
    elif inputs is not None:
        model = model.under(inputs)
    cell, n_state = model.cell, model.cell.n_state
    if held is not None and not np.allclose(held, model.inputs):
        raise DataError(
            f"The points are those of the input {held.tolist()}, and inputs is "
            f"{model.inputs.tolist()}",
            "The points of the input that is drawn were needed: others are not fixed under it",
            "Leave inputs out, or find the points with find_fixed_points(model, inputs)",
        )
    runs = None if trajectories is None else _rows_of(trajectories, "trajectories", n_state)
    states = np.zeros((0, n_state)) if states is None else states
    _check_width(states, "points", n_state)
    shown = states if runs is None else runs.reshape(-1, n_state)
    axes, center, share = _plane_of(plane, origin, shown, n_state)
    place = (states - center) @ axes.T
    run = None if runs is None else (runs - center) @ axes.T
    edges = _limits_of(limits, [place] if run is None else [place, run.reshape(-1, 2)], cell)
    along = [np.linspace(*edge, n_grid) for edge in edges]
    grid = np.stack(np.meshgrid(*along), axis=2)
    at = center + grid.reshape(-1, 2) @ axes
    away = cell.step(at) - at
    on_plane = away @ axes.T
    length = np.linalg.norm(away, axis=1)
    left = np.linalg.norm(away - on_plane @ axes, axis=1)
    off = np.divide(left, length, out=np.zeros_like(left), where=length > 0)
    side = (n_grid, n_grid)
    grid_dims, one = ("axis_2", "axis_1"), {"units": "1"}
    found = xr.Dataset(
        {
            "step": ((*grid_dims, "direction"), on_plane.reshape(*side, 2),
                     {**one, "long_name": "F(h) - h along the plane"}),
            "q": (grid_dims, (0.5 * length**2).reshape(side),
                  {**one, "long_name": "half the squared step"}),
            "off_plane": (grid_dims, off.reshape(side),
                          {**one, "long_name": "share of the step that leaves the plane"}),
            "place": (("point", "direction"), place, one),
            "distance": ("point", np.linalg.norm(states - center - place @ axes, axis=1), one),
            **_kinds(cell, states, axes),
            "plane": (("direction", "hidden"), axes, one),
            "origin": ("hidden", center, one),
        },
        coords={"axis_1": along[0], "axis_2": along[1], "direction": [1, 2],
                "point": np.arange(len(states)), "hidden": np.arange(n_state)},
        attrs={"model": model.name, "dt": model.dt, "time_unit": model.time_unit,
               "inputs": model.inputs.tolist(), "is_slice": n_state > 2, **share},
    )  # fmt: skip
    if run is not None:
        found["trajectory"] = (("trial", "time", "direction"), run, one)
    return found


def _rows_of(values: Any, name: str, n_state: int | None = None) -> Array:
    """States along the last axis; of trajectories (trial, time, hidden)."""
    values = getattr(values, "states", values)
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    if isinstance(values, xr.DataArray):
        values = values.values
    rows = np.asarray(check_numbers(values, name, missing=False), dtype=float)
    if name == "trajectories" and rows.ndim == 2:
        rows = rows[None]
    if rows.ndim != (3 if name == "trajectories" else 2):
        raise ShapeError(
            f"{name} has shape {np.shape(values)}",
            "States along the last axis were needed, (point, hidden) or (trial, time, hidden)",
            "Pass for example trajectories=model(inputs).states",
        )
    if n_state is not None:
        _check_width(rows, name, n_state)
    return rows


def _check_width(rows: Array, name: str, n_state: int) -> None:
    if rows.shape[-1] != n_state:
        raise ShapeError(
            f"{name} has shape {rows.shape}",
            f"States of {n_state} numbers along the last axis were needed",
            "Pass what belongs to this model; the state of an LSTM is h and c side by side",
        )


def _states_of(points: Any) -> tuple[Array | None, Array | None]:
    """States of points, and the input they belong to where it is known."""
    if points is None:
        return None, None
    table = getattr(points, "parameters", points)
    held = getattr(points, "settings", {}).get("inputs") or None
    if isinstance(table, xr.Dataset):
        if "state" not in table:
            raise KindError(
                f"points is a Dataset with {', '.join(map(str, table.data_vars))}",
                "Fixed points, a table with state (point, hidden), or states were needed",
                "Find them with nr.dynamics.find_fixed_points",
            )
        table = table["state"].transpose("point", "hidden")
    return _rows_of(table, "points"), None if held is None else np.asarray(held, dtype=float)


def _plane_of(
    plane: Any, origin: Any, shown: Array, n_state: int
) -> tuple[Array, Array, dict[str, Any]]:
    """Two orthonormal directions, a state between them, and how the axes came about."""
    center = None
    if origin is not None:
        center = np.asarray(check_numbers(origin, "origin", missing=False), dtype=float)
        if center.shape != (n_state,):
            raise ShapeError(
                f"origin has shape {center.shape}",
                f"One state, ({n_state},), was needed",
                "Pass for example origin=points.states[0]",
            )
    if n_state < 2:
        raise ShapeError(
            "The network has one state",
            "At least two were needed for a plane",
            "Draw its step against its state as a curve",
        )
    if plane is None and n_state == 2:
        center = np.zeros(2) if center is None else center
        return np.eye(2), center, {"axes": "states"}
    mean = shown.mean(axis=0) if len(shown) else np.zeros(n_state)
    center = mean if center is None else center
    if plane is not None:
        given = np.asarray(check_numbers(plane, "plane", missing=False), dtype=float)
        if given.shape != (2, n_state):
            raise ShapeError(
                f"plane has shape {given.shape}",
                f"Two directions of {n_state} numbers, (2, {n_state}), were needed",
                "Stack two directions: plane=np.stack([first, second])",
            )
        if not np.linalg.norm(given[0]):
            raise _no_plane("The first direction of plane is 0")
        first = given[0] / np.linalg.norm(given[0])
        second = given[1] - (given[1] @ first) * first
        if np.linalg.norm(second) <= _FLAT * np.linalg.norm(given[1]):
            raise _no_plane("The two directions of plane lie on one line")
        return np.stack([first, second / np.linalg.norm(second)]), center, {"axes": "given"}
    if len(shown) < 3:
        raise _no_plane(f"{len(shown)} states came, from which a plane was to be made")
    _, size, axes = np.linalg.svd(shown - mean, full_matrices=False)
    if size[1] <= _FLAT * size[0]:
        raise _no_plane(f"The {len(shown)} states that came lie on one line")
    # The largest weight of each direction is positive: the same picture on every machine.
    sign = np.sign(np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1))[:2]
    share = (size**2 / (size**2).sum())[:2]
    return axes[:2] * sign, center, {"axes": "principal", "variance_share": share.tolist()}


def _no_plane(came: str) -> DataError:
    return DataError(
        came,
        "Two directions were needed",
        "Pass plane=, (2, hidden), or trajectories=model(inputs).states",
    )


def _limits_of(limits: Any, shown: list[Array], cell: Any) -> list[tuple[float, float]]:
    """Ends of the plane along both directions."""
    if limits is not None:
        try:
            pairs = [tuple(pair) for pair in limits]
        except TypeError:
            pairs = []
        if len(pairs) != 2 or any(len(p) != 2 for p in pairs):
            raise KindError(
                f"limits is {limits!r}"[:80],
                "Two pairs, ((left, right), (bottom, top)), were needed",
                "Pass for example limits=((-1, 1), (-1, 1))",
            )
        edges = [
            (check_number(low, f"limits[{k}][0]"), check_number(high, f"limits[{k}][1]"))
            for k, (low, high) in enumerate(pairs)
        ]
        if any(low >= high for low, high in edges):
            raise DataError(
                f"limits is {edges}",
                "A lower and a larger upper end of each side were needed",
                "Check the order: ((left, right), (bottom, top))",
            )
        return edges
    rows = np.concatenate(shown)
    if cell.n_state == 2 and cell.box is not None:
        # All states that the network can come to.
        rows = np.concatenate([rows, np.stack(cell.box)])
    if not len(rows):
        return [(-_HALF_SIDE, _HALF_SIDE)] * 2
    low, high = rows.min(axis=0), rows.max(axis=0)
    # One point, or points on a line, still have a plane around them.
    span = np.maximum(high - low, max(float((high - low).max()) / 4, _FLAT))
    if float((high - low).max()) < _FLAT:
        span = np.full(2, _HALF_SIDE)
    middle, half = (low + high) / 2, span * (0.5 + _MARGIN)
    return [(float(m - s), float(m + s)) for m, s in zip(middle, half, strict=True)]


def _kinds(cell: Any, states: Array, axes: Array) -> dict[str, Any]:
    """What each point is, and where saddles lead to."""
    grows, decays = np.full((2, len(states), 2), np.nan)
    n_unstable = np.zeros(len(states), dtype=np.int64)
    if len(states):
        values, vectors = np.linalg.eig(cell.step_and_jacobian(states)[1])
        size = np.abs(values)
        n_unstable = (size > 1).sum(axis=1)
        for k in np.flatnonzero((n_unstable > 0) & (n_unstable < states.shape[1])):
            stays = np.where(size[k] > 1, -np.inf, size[k])
            for into, mode in ((grows, size[k].argmax()), (decays, stays.argmax())):
                # A mode that turns has a plane of its own, and no direction.
                if not abs(np.imag(values[k, mode])) > 0:
                    into[k] = axes @ np.real(vectors[k, :, mode])
    n = states.shape[1]
    kind = np.where(n_unstable == 0, "stable", np.where(n_unstable == n, "unstable", "saddle"))
    one = {"units": "1"}
    return {
        "n_unstable": ("point", n_unstable, {**one, "long_name": "modes that grow"}),
        "kind": ("point", kind.astype(str)),
        "unstable_direction": (("point", "direction"), grows, one),
        "stable_direction": (("point", "direction"), decays, one),
    }
