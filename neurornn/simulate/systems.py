"""Standard systems of differential equations, whose attractors and exponents are known."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import check_positive
from neurornn._core.errors import DataError, NameUnknownError, ShapeError, nearest
from neurornn._core.rng import RNG, generator

Array = NDArray[np.float64]


class System(NamedTuple):
    """A system of differential equations.

    Attributes
    ----------
    flow : (state (axis,), parameters) -> time derivative (axis,).
    parameters : name -> usual value.
    start : (axis,), a point from which the attractor is reached.
    axes : names of the variables.
    settle : time until the attractor is reached, in the system's own unit of time.
    source : where the equations stand.
    """

    flow: Callable[[Array, Mapping[str, float]], Array]
    parameters: dict[str, float]
    start: tuple[float, ...]
    axes: tuple[str, ...]
    settle: float
    source: str


#: A state further out than this has left for good.
_FAR = 1e6


def _lorenz(s: Array, p: Mapping[str, float]) -> Array:
    x, y, z = s
    return np.array([p["sigma"] * (y - x), x * (p["rho"] - z) - y, x * y - p["beta"] * z])


def _rossler(s: Array, p: Mapping[str, float]) -> Array:
    x, y, z = s
    return np.array([-y - z, x + p["a"] * y, p["b"] + z * (x - p["c"])])


def _van_der_pol(s: Array, p: Mapping[str, float]) -> Array:
    x, v = s
    return np.array([v, p["mu"] * (1 - x * x) * v - x])


def _duffing(s: Array, p: Mapping[str, float]) -> Array:
    x, v = s
    return np.array([v, -p["delta"] * v - p["alpha"] * x - p["beta"] * x**3])


def _fitzhugh_nagumo(s: Array, p: Mapping[str, float]) -> Array:
    v, w = s
    return np.array([v - v**3 / 3 - w + p["current"], p["epsilon"] * (v + p["a"] - p["b"] * w)])


def _lotka_volterra(s: Array, p: Mapping[str, float]) -> Array:
    prey, predator = s
    return np.array(
        [
            p["alpha"] * prey - p["beta"] * prey * predator,
            p["delta"] * prey * predator - p["gamma"] * predator,
        ]
    )


def _pendulum(s: Array, p: Mapping[str, float]) -> Array:
    angle, speed = s
    return np.array([speed, -p["damping"] * speed - p["stiffness"] * np.sin(angle)])


def _harmonic(s: Array, p: Mapping[str, float]) -> Array:
    x, v = s
    return np.array([v, -p["damping"] * v - p["stiffness"] * x])


def _slow_manifold(s: Array, p: Mapping[str, float]) -> Array:
    x, y = s
    return np.array([p["mu"] * x, p["lambda_"] * (y - x * x)])


def _rigid_body(s: Array, p: Mapping[str, float]) -> Array:
    a, b, c = s
    i1, i2, i3 = p["inertia_1"], p["inertia_2"], p["inertia_3"]
    return np.array([(i2 - i3) / i1 * b * c, (i3 - i1) / i2 * c * a, (i1 - i2) / i3 * a * b])


#: The systems that go by name.
SYSTEMS = {
    "lorenz": System(
        _lorenz,
        {"sigma": 10.0, "rho": 28.0, "beta": 8 / 3},
        (1.0, 1.0, 20.0),
        ("x", "y", "z"),
        20.0,
        "Lorenz 1963, J. Atmos. Sci. 20:130, doi:10.1175/1520-0469(1963)020<0130:DNF>2.0.CO;2",
    ),
    "rossler": System(
        _rossler,
        {"a": 0.2, "b": 0.2, "c": 5.7},
        (1.0, 1.0, 0.0),
        ("x", "y", "z"),
        100.0,
        "Rossler 1976, Physics Letters A 57:397, doi:10.1016/0375-9601(76)90101-8",
    ),
    "van_der_pol": System(
        _van_der_pol,
        {"mu": 1.0},
        (2.0, 0.0),
        ("x", "v"),
        50.0,
        "van der Pol 1926, Phil. Mag. 2:978, doi:10.1080/14786442608564127",
    ),
    "duffing": System(
        _duffing,
        {"delta": 0.0, "alpha": -1.0, "beta": 1.0},
        (1.2, 0.0),
        ("x", "v"),
        0.0,
        "Guckenheimer & Holmes 1983, doi:10.1007/978-1-4612-1140-2",
    ),
    "fitzhugh_nagumo": System(
        _fitzhugh_nagumo,
        {"current": 0.5, "epsilon": 0.08, "a": 0.7, "b": 0.8},
        (0.0, 0.0),
        ("v", "w"),
        200.0,
        "FitzHugh 1961, Biophysical Journal 1:445, doi:10.1016/S0006-3495(61)86902-6",
    ),
    "lotka_volterra": System(
        _lotka_volterra,
        {"alpha": 1.0, "beta": 1.0, "delta": 1.0, "gamma": 1.0},
        (1.5, 1.0),
        ("prey", "predator"),
        0.0,
        "Lotka 1925, Elements of Physical Biology; Volterra 1926, doi:10.1038/118558a0",
    ),
    "pendulum": System(
        _pendulum,
        {"damping": 0.0, "stiffness": 1.0},
        (1.5, 0.0),
        ("angle", "speed"),
        0.0,
        "Strogatz 1994, Nonlinear Dynamics and Chaos, ISBN 978-0738204536",
    ),
    "harmonic": System(
        _harmonic,
        {"damping": 0.0, "stiffness": 1.0},
        (1.0, 0.0),
        ("x", "v"),
        0.0,
        "Strogatz 1994, Nonlinear Dynamics and Chaos, ISBN 978-0738204536",
    ),
    "slow_manifold": System(
        _slow_manifold,
        {"mu": -0.05, "lambda_": -1.0},
        (1.0, 1.0),
        ("x", "y"),
        0.0,
        "Brunton, Brunton, Proctor & Kutz 2016, PLoS ONE 11:e0150171, "
        "doi:10.1371/journal.pone.0150171",
    ),
    "rigid_body": System(
        _rigid_body,
        {"inertia_1": 1.0, "inertia_2": 2.0, "inertia_3": 3.0},
        (1.0, 1.0, 1.0),
        ("a", "b", "c"),
        0.0,
        "Marsden & Ratiu 1999, Introduction to Mechanics and Symmetry, "
        "doi:10.1007/978-0-387-21792-5",
    ),
}


def simulate_system(
    name: str,
    duration: float = 100.0,
    dt: float = 0.01,
    *,
    n_trials: int = 1,
    start: ArrayLike | None = None,
    settle: float | None = None,
    spread: float = 0.1,
    noise_sd: float = 0.0,
    rng: RNG = None,
    **parameters: float,
) -> xr.Dataset:
    """Simulate a standard system from its attractor.

    Parameters
    ----------
    name : key of `SYSTEMS`: ``"lorenz"``, ``"rossler"``, ``"van_der_pol"``, ``"duffing"``,
        ``"fitzhugh_nagumo"``, ``"lotka_volterra"``, ``"pendulum"``, ``"harmonic"``,
        ``"slow_manifold"`` or ``"rigid_body"``.
    duration : s, of a trial; the system's own unit of time is taken as a second.
    dt : s, between observations.
    n_trials : trials.
    start : (axis,) or (trial, axis)
        State before the first observation; by default a Gaussian cloud around the system's own
        start, run for `settle`.
    settle : s, left out before the first observation; by default the system's own, and 0 where
        `start` is given.
    spread : sd of that cloud.
    noise_sd : sd of the observation noise over the sd of each variable.
    parameters : of the system, by name.

    Returns
    -------
    Dataset
        ``series (trial, time, axis)`` as observed, ``states`` the same without noise.

    Raises
    ------
    NameUnknownError, DataError, ShapeError
        A system or a parameter that is not known; a start that does not fit.

    Notes
    -----
    Integrated by an explicit Runge-Kutta method of order 8 (Hairer, Norsett & Wanner 1993,
    doi:10.1007/978-3-540-78862-1) with a relative tolerance of 1e-9.

    Examples
    --------
    >>> simulate_system("lorenz", 5.0, 0.01, rng=0)["series"].sizes["time"]
    500
    """
    from scipy.integrate import solve_ivp

    if name not in SYSTEMS:
        raise NameUnknownError(
            f"The system is {name!r}", "A known system was needed", nearest(name, SYSTEMS)
        )
    system = SYSTEMS[name]
    for key in parameters:
        if key not in system.parameters:
            raise NameUnknownError(
                f"{key!r} is no parameter of {name}",
                f"One of {', '.join(system.parameters)} was needed",
                nearest(key, system.parameters),
            )
    values: dict[str, float] = {**system.parameters, **parameters}
    draw = generator(rng)
    check_positive(dt, "dt", "s")
    n_steps = round(check_positive(duration, "duration", "s") / dt)
    n_axes = len(system.axes)
    if start is None:
        first = np.array(system.start) + spread * draw.standard_normal((n_trials, n_axes))
        wait = system.settle if settle is None else float(settle)
    else:
        given = np.asarray(start, dtype=float)
        if given.shape not in ((n_axes,), (n_trials, n_axes)):
            raise ShapeError(
                f"start has shape {given.shape}",
                f"({n_axes},) or ({n_trials}, {n_axes}) was needed for {', '.join(system.axes)}",
                "Give one state, or one for each trial",
            )
        first = np.broadcast_to(given, (n_trials, n_axes))
        wait = 0.0 if settle is None else float(settle)
    time = (np.arange(n_steps) + 1) * dt
    states = np.empty((n_trials, n_steps, n_axes))

    def flow(_: float, s: Array) -> Array:
        return system.flow(s, values)

    def escape(_: float, s: Array) -> float:
        return float(_FAR - np.abs(s).max())

    # Ends the integration: solve_ivp reads it from the function.
    escape.terminal = True  # type: ignore[attr-defined]
    for k in range(n_trials):
        found: Any = solve_ivp(
            flow,
            (0.0, wait + time[-1]),
            first[k],
            method="DOP853",
            t_eval=wait + time,
            rtol=1e-9,
            atol=1e-9,
            events=escape,
        )
        if not found.success or found.y.shape[1] != n_steps or not np.isfinite(found.y).all():
            raise DataError(
                f"The integration of {name} ended early: {found.message}",
                "Parameters for which the system stays finite were needed",
                "Check the parameters and the start",
            )
        states[k] = found.y.T
    noise = noise_sd * states.std((0, 1)) * draw.standard_normal(states.shape)
    dims = ("trial", "time", "axis")
    return xr.Dataset(
        {"series": (dims, states + noise), "states": (dims, states)},
        coords={"time": ("time", time, {"units": "s"}), "axis": list(system.axes)},
        attrs={"dt": dt, "system": name, "source": system.source, **values},
    )
