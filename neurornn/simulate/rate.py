"""Rate networks with known time constants."""

from collections.abc import Callable

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import check_positive
from neurornn._core.errors import DataError, nearest
from neurornn._core.rng import RNG, generator
from neurornn.data.recording import from_traces

_NONLINEARITIES: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0.0),
    "linear": lambda x: x,
}


def simulate_rate_network(
    n_units: int = 20,
    duration: float = 100.0,
    dt: float = 0.01,
    *,
    tau: ArrayLike | None = None,
    gain: float = 0.8,
    nonlinearity: str = "tanh",
    n_inputs: int = 2,
    input_time: float = 0.2,
    noise_sd: float = 0.0,
    rng: RNG = None,
) -> xr.Dataset:
    """Simulate a driven random rate network with a time constant per unit.

    Parameters
    ----------
    n_units : units.
    duration : s.
    dt : s.
    tau : s, scalar or (unit,)
        By default log-uniform between 5·dt and 50·dt.
    gain : spectral radius of the recurrent weights.
    nonlinearity : ``"tanh"``, ``"relu"`` or ``"linear"``.
    n_inputs : independent Ornstein-Uhlenbeck inputs of unit variance.
    input_time : s, their correlation time.
    noise_sd : sd of the observation noise.

    Returns
    -------
    Dataset
        ``rates (time, unit)`` as observed, ``stimulus (time, channel)``, and the truth:
        ``states (time, unit)``, ``tau_true (unit)``, ``weights_true (unit, unit_)``.

    Notes
    -----
    ``h_k = (1 - a) h_{k-1} + a f(W h_{k-1} + U x_k)``, ``a = 1 - exp(-dt / tau)``: the exact step
    of the rate equation for a drive that is constant within a bin.
    """
    rng = generator(rng)
    dt = check_positive(dt, "dt", "s")
    if nonlinearity not in _NONLINEARITIES:
        raise DataError(
            f"nonlinearity is {nonlinearity!r}",
            "A known nonlinearity was needed",
            nearest(nonlinearity, _NONLINEARITIES),
        )
    f = _NONLINEARITIES[nonlinearity]
    if tau is None:
        taus = dt * np.exp(rng.uniform(np.log(5), np.log(50), n_units))
    else:
        taus = np.array(np.broadcast_to(np.asarray(tau, dtype=float), n_units))
    weights = rng.standard_normal((n_units, n_units)) / np.sqrt(n_units)
    np.fill_diagonal(weights, 0.0)
    if n_units > 1:
        weights *= gain / np.abs(np.linalg.eigvals(weights)).max()
    into = rng.standard_normal((n_units, n_inputs))
    n_steps = round(duration / dt)
    a = -np.expm1(-dt / taus)
    keep = np.exp(-dt / input_time)
    drive = rng.standard_normal((n_steps, n_inputs))
    stimulus = np.empty((n_steps, n_inputs))
    x = rng.standard_normal(n_inputs)
    h = np.zeros(n_units)
    states = np.empty((n_steps, n_units))
    for k in range(n_steps):
        x = keep * x + np.sqrt(1 - keep**2) * drive[k]
        stimulus[k] = x
        h = (1 - a) * h + a * f(weights @ h + into @ x)
        states[k] = h
    observed = states + noise_sd * rng.standard_normal(states.shape)
    recording = from_traces(observed, time=(np.arange(n_steps) + 1) * dt, name="rates")
    recording["stimulus"] = (
        ("time", "channel"),
        stimulus,
        {"units": "1", "sampling_rate": 1 / dt},
    )
    recording["states"] = (("time", "unit"), states, {"units": "1", "sampling_rate": 1 / dt})
    recording["tau_true"] = ("unit", taus, {"units": "s"})
    recording["weights_true"] = (("unit", "unit_"), weights, {"units": "1"})
    recording.attrs["source"] = "simulated by neurornn.simulate.simulate_rate_network"
    return recording
