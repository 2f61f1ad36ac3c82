"""What is told of modes: the table of time constants and frequencies, shapes, and the fit."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.confidence import Estimate, delta_interval, normal_quantile, to_dataset
from neurornn._core.quantities import OF_DATA, Quantity
from neurornn._core.status import Status
from neurornn.koopman.exponentials import Array, eigenvalues_of
from neurornn.koopman.mode_fit import ModeFit

_METHOD = "maximum likelihood of white noise; interval from its curvature"
QUANTITIES = (
    Quantity(
        name="time_constant", units="s", dims=("mode",), long_name="time constant of the mode",
        method=f"{_METHOD}, formed on the rate",
        reason="no time constant where the mode grows",
    ),
    Quantity(
        name="frequency", units="Hz", dims=("mode",), long_name="frequency of the mode",
        method=_METHOD, reason="a mode with a real eigenvalue does not swing",
    ),
    Quantity(
        name="amplitude", units=OF_DATA, dims=("mode",), long_name="size of the mode at the start",
        method=_METHOD,
    ),
    Quantity(
        name="rate", units="1/s", dims=("mode",), long_name="growth rate of the mode",
        method=_METHOD,
    ),
)  # fmt: skip
GROWS, NOT_RESOLVED, SLOW = "growing", "not_resolvable", "slower_than_recording"
MORE = "more_than_modes"
NOT_CLOSED, SHRUNK = "not_closed", "shrunk_by_noise"
#: Correlation of neighbouring residuals above which modes and white noise are not all there is.
MORE_THAN_NOISE = 0.2
REMEDIES = {
    GROWS: (
        "The mode grows, beyond what noise would make of one that stays. Check for a drift, or "
        "fit with stable=True."
    ),
    NOT_RESOLVED: (
        "The mode is gone within a frame, or turns by more than half of what frames can tell: "
        "another one may look the same. Record faster, or lower the rank."
    ),
    SLOW: (
        "The data do not tell this mode from one that stays for ever: its time constant is at "
        "least the lower bound. Record for longer."
    ),
    MORE: (
        "What the modes leave is no noise: neighbouring frames are alike in it. Intervals are "
        "widened for that, but do not cover what a wrong model adds. Raise the rank, or cut into "
        "trials."
    ),
    NOT_CLOSED: (
        "What a step leaves of this function is still known two steps later: the functions do not "
        "move linearly among themselves, and its rate is that of no mode. Add functions (degree, "
        "another dictionary) or n_delays; do not read its time constant."
    ),
    SHRUNK: (
        "Noise of the frames makes this eigenvalue too small, and invents a decay. Pass "
        "measurement_noise='instruments', or 'trajectories' for few functions."
    ),
    str(Status.NOT_CONVERGED): (
        "The search for the eigenvalues did not come to rest: the likelihood hardly tells them "
        "apart. Pass a lower rank."
    ),
}
#: Share of the Nyquist frequency up to which a frequency is told.
_NYQUIST = 0.95


def table_of_modes(
    fit: ModeFit,
    dt: float,
    longest: float,
    confidence_level: float,
    units: str,
    *,
    intervals: bool,
    bootstrapped: bool,
) -> xr.Dataset:
    """Lay out the modes, a conjugate pair as one, the slowest first."""
    values = eigenvalues_of(fit.rates)
    rows = _order(values)
    rate_sd, turn_ci = _standard_errors(fit, values, confidence_level)
    rate = values.real[rows]
    q = normal_quantile(confidence_level)
    low, high = rate - q * rate_sd[rows], rate + q * rate_sd[rows]
    tau, tau_ci = time_constants(rate, low, high)
    frequency = values.imag[rows] / (2 * np.pi)
    status = np.full(len(rows), str(Status.OK), dtype=object)
    if fit.correlation > MORE_THAN_NOISE:
        status[:] = MORE
    status[high >= 0] = SLOW
    status[low > 0] = GROWS
    status[(np.isfinite(tau) & (tau < dt)) | (frequency > _NYQUIST / (2 * dt))] = NOT_RESOLVED
    if not fit.settled:
        status[:] = str(Status.NOT_CONVERGED)
    amplitude = fit.amplitude[rows]
    amplitude_ci = delta_interval(amplitude, fit.amplitude_sd[rows], confidence_level)
    shown = {
        "time_constant": (tau, tau_ci),
        "frequency": (frequency, turn_ci[rows]),
        "amplitude": (amplitude, amplitude_ci),
        "rate": (rate, np.stack([low, high], -1)),
    }
    changes: dict[str, Any] = {}
    if bootstrapped:
        changes["method"] = "maximum likelihood of white noise; interval from a block bootstrap"
    if not intervals:
        changes["reason"] = "intervals='none'"
    estimates: list[Estimate] = []
    for quantity in QUANTITIES:
        value, ci = shown[quantity.name]
        own = {} if quantity.units != OF_DATA else {"units": units}
        estimates.append(quantity.of(value, ci if intervals else None, **own, **changes))
    return to_dataset(
        estimates, confidence_level=confidence_level, coords={"mode": np.arange(len(rows))},
        status=status.astype(str), status_dims=("mode",), remedies=REMEDIES,
    )  # fmt: skip


def time_constants(rate: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """Time constants with their intervals, which are formed on the rate; NaN where a mode grows.

    Parameters
    ----------
    rate, low, high : (mode,), 1/s, with bounds; NaN where there are none.
    """
    with np.errstate(divide="ignore"):
        tau = np.where(rate < 0, -1 / rate, np.nan)
        tau_low = np.where(low < 0, -1 / low, np.nan)
        # Where the rate may be 0 the time constant has no upper end.
        tau_high = np.where(high < 0, -1 / high, np.inf)
    tau_ci = np.stack([tau_low, tau_high], -1)
    tau_ci[~(rate < 0) | np.isnan(low)] = np.nan
    return tau, tau_ci


def _standard_errors(
    fit: ModeFit, values: NDArray[np.complex128], confidence_level: float
) -> tuple[Array, Array]:
    """Standard error of the real part of each eigenvalue, and the interval of its frequency."""
    r = len(values)
    rate_sd, turn = np.zeros(r), np.full((r, 2), np.nan)
    q = normal_quantile(confidence_level)
    cov = fit.covariance
    for b in range(r // 2):
        i, k = 2 * b, 2 * b + 1
        w = fit.rates[k]
        if w > 0:
            rate_sd[[i, k]] = np.sqrt(cov[i, i])
            ends = w + q * np.sqrt(cov[k, k]) * np.array([-1.0, 1.0])
            turn[[i, k]] = np.sqrt(np.maximum(ends, 0.0)) / (2 * np.pi)
            continue
        # Two real ones: a +- sqrt(-w).
        by_w = -1 / (2 * np.sqrt(max(-w, 1e-300)))
        for m, sign in ((i, 1.0), (k, -1.0)):
            slope = np.array([1.0, sign * by_w])
            rate_sd[m] = np.sqrt(max(slope @ cov[np.ix_([i, k], [i, k])] @ slope, 0.0))
    if r % 2:
        rate_sd[-1] = np.sqrt(cov[-1, -1])
    return rate_sd, turn


def complex_sizes(fit: ModeFit) -> NDArray[np.complex128]:
    """Contribution of each eigenvalue to each unit at the start, (trajectory, rank, unit).

    A pair's is that of its upper member, of which the real part is what is seen.
    """
    b, rates = fit.coefficients, fit.rates
    found = b.astype(complex)
    for p in range(len(rates) // 2):
        i, k = 2 * p, 2 * p + 1
        w = rates[k]
        if w > 0:
            found[:, i] = b[:, i] - 1j * b[:, k] / np.sqrt(w)
            found[:, k] = found[:, i].conj()
        else:
            q = np.sqrt(max(-w, 1e-300))
            found[:, i], found[:, k] = (b[:, i] + b[:, k] / q) / 2, (b[:, i] - b[:, k] / q) / 2
    return found


def _order(values: NDArray[np.complex128]) -> list[int]:
    """Upper members of pairs and real ones, the slowest first."""
    rows = [k for k, v in enumerate(values) if v.imag >= 0]
    return sorted(rows, key=lambda k: (-values[k].real, values[k].imag))


def _shapes(fit: ModeFit) -> Array:
    """What each mode looks like, of length 1, in the order of the table, (mode, unit, part)."""
    rows = _order(eigenvalues_of(fit.rates))
    sizes = complex_sizes(fit)[:, rows]
    strongest = np.argmax(np.sum(np.abs(sizes) ** 2, axis=2), axis=0)
    shape = sizes[strongest, np.arange(len(rows))]
    shape = shape / np.maximum(np.linalg.norm(shape, axis=1, keepdims=True), 1e-300)
    return np.stack([shape.real, shape.imag], -1)


def fit_table(fit: ModeFit, labels: NDArray[Any], last: Array) -> xr.Dataset:
    """What forecasts and intervals are made of, for a file."""
    return xr.Dataset(
        {
            "rates": ("eigenvalue", fit.rates),
            "covariance": (("eigenvalue", "eigenvalue_"), fit.covariance),
            "coefficients": (("trajectory", "eigenvalue", "unit"), fit.coefficients),
            "slopes": (("trajectory", "eigenvalue", "unit", "eigenvalue_"), fit.slopes),
            "inverses": (("trajectory", "eigenvalue", "eigenvalue_"), fit.inverses),
            "noise_sd": ("unit", fit.noise, {"long_name": "sd of the noise of a frame"}),
            "shape": (("mode", "unit", "part"), _shapes(fit), {"long_name": "shape of the mode"}),
            "duration": ("trajectory", last, {"units": "s"}),
        },
        coords={"unit": labels, "part": ["real", "imaginary"]},
    )
