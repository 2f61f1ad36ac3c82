"""Rate networks with known time constants: one long recording, or trials."""

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
    rng : int, Generator or None

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
    f = _function(nonlinearity)
    if tau is None:
        taus = dt * np.exp(rng.uniform(np.log(5), np.log(50), n_units))
    else:
        taus = np.array(np.broadcast_to(np.asarray(tau, dtype=float), n_units))
    weights, into = _random_network(n_units, n_inputs, gain, rng)
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


def _function(name: str) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    if name not in _NONLINEARITIES:
        raise DataError(
            f"nonlinearity is {name!r}",
            "A known nonlinearity was needed",
            nearest(name, _NONLINEARITIES),
        )
    return _NONLINEARITIES[name]


def _random_network(
    n_units: int, n_inputs: int, gain: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Recurrent weights of the spectral radius asked for, none onto itself; input weights."""
    weights = rng.standard_normal((n_units, n_units)) / np.sqrt(n_units)
    np.fill_diagonal(weights, 0.0)
    if n_units > 1:
        weights *= gain / np.abs(np.linalg.eigvals(weights)).max()
    return weights, rng.standard_normal((n_units, n_inputs))


def simulate_rate_trials(
    n_units: int = 64,
    n_trials: int = 200,
    duration: float = 2.0,
    dt: float = 0.005,
    *,
    tau: ArrayLike | None = None,
    tau_range: tuple[float, float] = (0.01, 0.2),
    step: float | None = None,
    hold: float | None = None,
    n_inputs: int = 16,
    gain: float = 0.8,
    nonlinearity: str = "tanh",
    snr: float = np.inf,
    rng: RNG = None,
) -> xr.Dataset:
    """Simulate trials of a driven random rate network whose states are observed with noise.

    Parameters
    ----------
    n_units, n_trials : sizes.
    duration : s, of a trial.
    dt : s, between observations.
    tau : s, scalar or (unit,)
        By default log-normal: two standard deviations to each side reach from one end of
        `tau_range` to the other, and what lies beyond is drawn again.
    tau_range : (lower, upper), s.
    step : s
        Of the simulation; by default dt. A whole number of them makes a dt.
    hold : s
        For which a value of the input is held; by default dt.
    n_inputs : independent Gaussian white inputs of unit variance.
    gain : spectral radius of the recurrent weights.
    nonlinearity : ``"tanh"``, ``"relu"`` or ``"linear"``.
    snr : sd of a unit's state over the sd of its measurement noise.

    Returns
    -------
    Dataset
        Windows as `nr.fit` takes them: ``inputs (trial, time, input)`` and ``targets (trial, time,
        output)``, the noisy states; and the truth: ``states (trial, time, output)``, ``tau_true
        (output)``, ``weights_true (output, output_)``, ``input_weights_true (output, input)``,
        ``noise_sd_true (output)``.

    Raises
    ------
    DataError, UnitError
        A step or hold that does not divide, a nonlinearity that is not known.

    Notes
    -----
    ``h' = h + a (f(W h + U x) - h)``, ``a = 1 - exp(-step / tau)``, from h = 0: the exact step of
    the rate equation for a drive that is constant within a step.

    Examples
    --------
    >>> win = simulate_rate_trials(8, 5, 0.5, 0.01, rng=0)
    >>> dict(win["targets"].sizes)
    {'trial': 5, 'time': 50, 'output': 8}
    """
    rng = generator(rng)
    dt = check_positive(dt, "dt", "s")
    step, hold = dt if step is None else step, dt if hold is None else hold
    within = _whole(dt, step, "dt", "step")
    repeat = _whole(hold, step, "hold", "step")
    f = _function(nonlinearity)
    if tau is None:
        taus = log_normal(tau_range, n_units, rng)
    else:
        taus = np.array(np.broadcast_to(np.asarray(tau, dtype=float), n_units))
    weights, into = _random_network(n_units, n_inputs, gain, rng)
    into /= np.sqrt(max(n_inputs, 1))
    n_steps = round(duration / dt) * within
    values = rng.standard_normal((-(-n_steps // repeat), n_trials, n_inputs))
    a = -np.expm1(-step / taus)
    state = np.zeros((n_trials, n_units))
    states = np.empty((n_steps // within, n_trials, n_units))
    inputs = np.zeros((n_steps // within, n_trials, n_inputs))
    for k in range(n_steps):
        x = values[k // repeat]
        state = state + a * (f(state @ weights.T + x @ into.T) - state)
        inputs[k // within] += x / within
        if (k + 1) % within == 0:
            states[k // within] = state
    noise = states.std((0, 1)) / snr
    observed = states + noise * rng.standard_normal(states.shape)
    dims, units = ("trial", "time", "output"), {"units": "1"}
    return xr.Dataset(
        {
            "inputs": (("trial", "time", "input"), inputs.swapaxes(0, 1).copy(), units),
            "targets": (dims, observed.swapaxes(0, 1).copy(), units),
            "states": (dims, states.swapaxes(0, 1).copy(), units),
            "tau_true": ("output", taus, {"units": "s", "long_name": "time constant"}),
            "weights_true": (("output", "output_"), weights, units),
            "input_weights_true": (("output", "input"), into, units),
            "noise_sd_true": ("output", noise, units),
        },
        coords={"time": ("time", (np.arange(len(states)) + 1) * dt, {"units": "s"})},
        attrs={
            "dt": dt,
            "time_unit": "s",
            "source": "simulated by neurornn.simulate.simulate_rate_trials",
        },
    )


def _whole(long: float, short: float, long_name: str, short_name: str) -> int:
    ratio = long / check_positive(short, short_name, "s")
    # Decimal fractions of a second divide to about 1e-15.
    if ratio < 0.5 or abs(ratio - round(ratio)) > 1e-6:
        raise DataError(
            f"{long_name} is {long:g} s and {short_name} {short:g} s",
            f"A whole number of {short_name}s in a {long_name} was needed",
            f"Choose a {short_name} that divides {long_name}",
        )
    return round(ratio)


def log_normal(
    bounds: tuple[float, float], n: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw log-normal numbers between bounds that are two standard deviations away, (n,)."""
    low, high = np.log(bounds[0]), np.log(bounds[1])
    drawn = np.full(n, np.nan)
    while (out := ~((drawn >= low) & (drawn <= high))).any():
        drawn[out] = rng.normal((low + high) / 2, (high - low) / 4, int(out.sum()))
    return np.exp(drawn)
