"""More of what points say: where saddles lead, how pushes grow, and where it is only slow."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import check_count, check_positive, check_rng
from neurornn._core.errors import ShapeError
from neurornn._core.rng import RNG, generator
from neurornn.dynamics.cells import solved
from neurornn.dynamics.fixed_points import starts_of
from neurornn.dynamics.maps import StateMap, as_map
from neurornn.dynamics.point_table import frequency_unit
from neurornn.dynamics.search import CONVERGED, draw_starts, newton, run_forward

Array = NDArray[np.float64]

#: How far from a saddle a state is set down, beside its size.
_ASIDE = 1e-4
#: Damped steps towards a slow point.
_N_DAMPED = 300


def saddle_connections(
    model: Any,
    points: Any,
    inputs: Any = None,
    *,
    max_steps: int = 20_000,
    n_hidden: int | None = None,
    dt: float | None = None,
) -> xr.Dataset:
    """Say between which stable points each saddle lies: where its one unstable direction leads.

    A saddle with one unstable mode is the pass between two basins: pushed one way or the other
    along that mode, the network ends in one of the stable points on its two sides.

    Parameters
    ----------
    model : what `points` were found of.
    points : FixedPoints.
    inputs : (input,), as for the points.
    max_steps : after which a state that came to no stable point is given up.
    n_hidden, dt : for functions, as for the points.

    Returns
    -------
    Dataset over ``saddle`` and ``side``
        ``leads_to (saddle, side)``, number of the stable point to within a hundredth of the way to
        the next point, -1 where it is none of them;
        ``steps (saddle, side)``, how long it took. ``saddle`` holds the numbers of the points.

    Raises
    ------
    KindError, ShapeError
        A model that cannot be read, points of another one.

    Examples
    --------
    >>> import neurornn as nr
    >>> points = nr.dynamics.find_fixed_points(lambda h: np.tanh(2 * h), n_hidden=1)
    >>> table = saddle_connections(lambda h: np.tanh(2 * h), points, n_hidden=1)
    >>> sorted(table["leads_to"].values[0].tolist())
    [0, 1]
    """
    max_steps = check_count(max_steps, "max_steps")
    cell, states = _read(model, points, inputs, n_hidden, dt)
    unstable = points.parameters["n_unstable"].values
    saddles, stable = np.flatnonzero(unstable == 1), np.flatnonzero(unstable == 0)
    leads = np.full((len(saddles), 2), -1)
    taken = np.zeros((len(saddles), 2), dtype=int)
    if len(saddles) and len(stable):
        _, jacobian = cell.step_and_jacobian(states[saddles])
        values, vectors = np.linalg.eig(jacobian)
        k = np.argmax(np.abs(values), axis=1)
        along = vectors[np.arange(len(saddles)), :, k].real
        along /= np.linalg.norm(along, axis=1, keepdims=True)
        size = _ASIDE * (1 + np.linalg.norm(states[saddles], axis=1, keepdims=True))
        h = np.stack([states[saddles] - size * along, states[saddles] + size * along], axis=1)
        h = h.reshape(-1, states.shape[1])
        # Where one mode is very slow nobody can wait for the end: within a hundredth of the way to
        # the next point it is taken to have come.
        apart = np.linalg.norm(states[stable][:, None] - states, axis=2)
        apart[np.arange(len(stable)), stable] = np.inf
        near = np.minimum(0.01 * apart.min(axis=1), 1.0)
        left = np.arange(len(h))
        for step in range(1, max_steps + 1):
            h[left] = cell.step(h[left])
            away = np.linalg.norm(h[left][:, None] - states[stable], axis=2)
            came = (away < near).any(axis=1)
            if came.any():
                leads.reshape(-1)[left[came]] = stable[np.argmin(away[came], axis=1)]
                taken.reshape(-1)[left[came]] = step
                left = left[~came & np.isfinite(h[left]).all(axis=1)]
            if not len(left):
                break
    return xr.Dataset(
        {
            "leads_to": (("saddle", "side"), leads,
                         {"units": "1", "long_name": "stable point at the end, or -1"}),
            "steps": (("saddle", "side"), taken, {"units": "1", "long_name": "steps to it"}),
        },
        coords={"saddle": points.parameters["point"].values[saddles], "side": [0, 1]},
    )  # fmt: skip


def transient_growth(
    model: Any,
    points: Any,
    inputs: Any = None,
    *,
    max_steps: int = 2000,
    n_hidden: int | None = None,
    dt: float | None = None,
) -> xr.Dataset:
    """Say how far a small push away from a stable point grows before it dies out.

    Parameters
    ----------
    model : what `points` were found of.
    points : FixedPoints.
    inputs : (input,), as for the points.
    max_steps : in which the largest growth is looked for.
    n_hidden, dt : for functions, as for the points.

    Returns
    -------
    Dataset over ``point``
        ``growth``, the largest of ``|J^k|`` over k steps, 1 where nothing grows; ``peak``, the
        time until then; ``non_normality``, ``sqrt(|J|_F^2 - sum |eigenvalue|^2) / |J|_F`` (Henrici
        1962, doi:10.1007/BF01386294): 0 where modes do not feed one another. Growth and peak are
        NaN for points that are not stable.

    Raises
    ------
    KindError, ShapeError
        A model that cannot be read, points of another one.

    Notes
    -----
    Eigenvalues say how a push ends; where modes are far from orthogonal it may grow first
    (Trefethen & Embree 2005, Spectra and Pseudospectra).
    """
    max_steps = check_count(max_steps, "max_steps")
    cell, states = _read(model, points, inputs, n_hidden, dt)
    table, n = points.parameters, len(states)
    growth, peak, departure = np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan)
    if n:
        _, jacobian = cell.step_and_jacobian(states)
        whole = np.sum(jacobian**2, axis=(1, 2))
        modes = np.sum(np.abs(np.linalg.eigvals(jacobian)) ** 2, axis=1)
        departure = np.sqrt(np.maximum(whole - modes, 0.0) / np.maximum(whole, 1e-300))
        left = np.flatnonzero(table["n_unstable"].values == 0)
        growth[left], peak[left] = 1.0, 0.0
        power = jacobian[left]
        for step in range(1, max_steps + 1):
            if not len(left):
                break
            size = np.linalg.norm(power, 2, axis=(1, 2))
            more = size > growth[left] * (1 + 1e-12)
            growth[left[more]] = size[more]
            peak[left[more]] = step * points.settings["dt"]
            # What has fallen so far cannot outgrow what it was by the same steps again.
            on = size * growth[left] > 1e-3
            left, power = left[on], jacobian[left[on]] @ power[on]
    unit = points.settings["time_unit"]
    return xr.Dataset(
        {
            "growth": ("point", growth, {"units": "1", "long_name": "largest growth of a push"}),
            "peak": ("point", peak, {"units": unit, "long_name": "time until then"}),
            "non_normality": (
                "point", departure, {"units": "1", "long_name": "departure from normality"},
            ),
        },
        coords={"point": table["point"].values},
    )  # fmt: skip


def find_slow_points(
    model: Any,
    inputs: Any = None,
    *,
    starts: ArrayLike | None = None,
    n_starts: int = 512,
    slower: float = 30.0,
    n_hidden: int | None = None,
    dt: float | None = None,
    rng: RNG = 0,
) -> xr.Dataset:
    """Find states that move least among their neighbours, and yet are no fixed points.

    Just past a fold no fixed point is left, and trajectories still linger where it was. Such slow
    points are local minima of the speed above 0.

    Parameters
    ----------
    model : FitResult, recurrent model of `neurornn.models`, ``torch.nn.RNN``, ``GRU`` or ``LSTM``,
        or a function of states (number, hidden).
    inputs : (input,), held constant; by default 0.
    starts : (start, hidden), states near which to look too.
    n_starts : starts.
    slower : how many times slower than usual a slow point must be; usual is the median speed all
        over what can be reached.
    n_hidden, dt, rng : as for `find_fixed_points`.

    Returns
    -------
    Dataset over ``point``, ``hidden`` and ``mode``
        The slowest first: ``state``, ``speed`` in states per unit of time, ``q`` =
        ``|F(h) - h|^2 / 2``, and ``eigenvalue_real``, ``eigenvalue_imag`` of the step map there.

    Raises
    ------
    KindError, ShapeError, DataError
        As `find_fixed_points`.

    Notes
    -----
    Levenberg-Marquardt steps on ``F(h) - h`` from all starts at once; slow points go back to
    Sussillo & Barak 2013 (doi:10.1162/NECO_a_00409). Points of a slow line or ring are found one
    by one here: `classify_attractor` sees it whole.

    Examples
    --------
    >>> table = find_slow_points(lambda h: np.tanh(2 * h + 0.535), n_hidden=1)
    >>> table["state"].values.round(2).tolist(), table["speed"].values.round(4).tolist()
    ([[-0.71]], [0.0011])
    """
    rng = generator(check_rng(rng))
    n_starts = check_count(n_starts, "n_starts")
    slower = check_positive(slower, "slower")
    state_map = as_map(model, inputs, n_hidden=n_hidden, dt=dt)
    cell = state_map.cell
    source = run_forward(cell, max(n_starts // 4, 1), rng)
    if starts is not None:
        source = np.concatenate([starts_of(starts, cell.n_state), source])
    rows = draw_starts(cell, max(n_starts - len(source), 1), rng, source[:0], source)
    spread = cell.spread(rng, 256)
    usual = float(np.median(np.linalg.norm(cell.step(spread) - spread, axis=1)))
    h, q = _least(cell, np.concatenate([source, rows]))
    speed = np.sqrt(2 * q)
    slow = (q > 100 * CONVERGED) & (speed < usual / slower)
    h, speed = h[slow], speed[slow]
    # A start on its way to a fixed point that it had no time to reach is none.
    there = newton(cell, h) if len(h) else h
    if len(there) and len(h):
        away = np.linalg.norm(h[:, None] - there, axis=2).min(axis=1)
        on = away > 1e-3 * (1 + np.linalg.norm(h, axis=1))
        h, speed = h[on], speed[on]
    kept: list[int] = []
    for k in np.argsort(speed, kind="stable"):
        near = 1e-4 * (1 + np.linalg.norm(h[k]))
        if all(np.linalg.norm(h[k] - h[i]) > near for i in kept):
            kept.append(int(k))
    return _slow_table(state_map, h[kept].reshape(-1, cell.n_state), speed[kept])


def _least(cell: Any, starts: Array) -> tuple[Array, Array]:
    """States at which the speed is least nearby, and half its square there.

    Where a start has not arrived, the speed is infinite.
    """
    h, n = starts.copy(), cell.n_state
    damping = np.full(len(h), 1e-2)
    q, arrived = np.full(len(h), np.inf), np.zeros(len(h), dtype=bool)
    left = np.arange(len(h))
    index = np.arange(n)
    for _ in range(_N_DAMPED):
        f, jacobian = cell.step_and_jacobian(h[left])
        jacobian[:, index, index] -= 1.0
        r = f - h[left]
        q[left] = 0.5 * np.sum(r * r, axis=1)
        downhill = np.einsum("nji,nj->ni", jacobian, r)
        scale = np.linalg.norm(r, axis=1)
        flat = np.linalg.norm(downhill, axis=1) < 1e-9 * np.maximum(scale, 1e-300)
        ended = flat | (q[left] < CONVERGED)
        arrived[left[ended]] = True
        go = ~ended & np.isfinite(q[left])
        left, r, jacobian, downhill = left[go], r[go], jacobian[go], downhill[go]
        if not len(left):
            break
        square = np.einsum("nji,njk->nik", jacobian, jacobian)
        square[:, index, index] += damping[left, None]
        tried = h[left] - solved(square, downhill)
        if cell.box is not None:
            tried = np.clip(tried, *cell.box)
        away = cell.step(tried) - tried
        better = 0.5 * np.sum(away * away, axis=1) < q[left]
        h[left[better]] = tried[better]
        damping[left] = np.where(better, damping[left] / 3, damping[left] * 4)
        left = left[damping[left] < 1e8]
    return h, np.where(arrived, q, np.inf)


def _slow_table(state_map: StateMap, h: Array, speed: Array) -> xr.Dataset:
    cell, one = state_map.cell, {"units": "1"}
    values = np.zeros((0, cell.n_state), dtype=complex)
    if len(h):
        values = cell.eigenvalues(h).astype(complex)
        order = np.argsort(-np.abs(values), axis=1, kind="stable")
        values = np.take_along_axis(values, order, axis=1)
    return xr.Dataset(
        {
            "state": (("point", "hidden"), h, {**one, "long_name": "state of the network"}),
            "speed": ("point", speed / state_map.dt, {
                "units": frequency_unit(state_map.time_unit), "long_name": "speed",
            }),
            "q": ("point", speed**2 / 2, {**one, "long_name": "half the squared step"}),
            "eigenvalue_real": (("point", "mode"), values.real,
                                {**one, "long_name": "real part of the eigenvalue"}),
            "eigenvalue_imag": (("point", "mode"), values.imag,
                                {**one, "long_name": "imaginary part of the eigenvalue"}),
        },
        attrs={"model": state_map.name, "dt": float(state_map.dt),
               "time_unit": state_map.time_unit},
    )  # fmt: skip


def _read(
    model: Any, points: Any, inputs: Any, n_hidden: int | None, dt: float | None
) -> tuple[Any, Array]:
    """The cell of a model, and the states of its points."""
    cell = as_map(model, inputs, n_hidden=n_hidden, dt=dt).cell
    states = np.asarray(points.parameters["state"].values, dtype=float)
    if states.shape[1] != cell.n_state:
        raise ShapeError(
            f"points has states of {states.shape[1]} numbers",
            f"Points of the same model were needed, of {cell.n_state}",
            "Pass what find_fixed_points has found of it",
        )
    moved = cell.step(states) - states
    if len(states) and np.abs(moved).max() > 1e-6:
        raise ShapeError(
            f"points moves by up to {np.abs(moved).max():.2g} in a step of the model",
            "Points of the same model, under the same input, were needed",
            "Pass the inputs= with which they were found",
        )
    return cell, states
