"""Linear systems driven by white noise, sampled exactly."""

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

Array = NDArray[np.float64]


def stationary_covariance(jacobian: Array, noise: Array) -> Array:
    """Covariance of ``dx = jacobian x dt + noise dW`` in its stationary state, (state, state).

    Parameters
    ----------
    jacobian : (state, state), 1/s, all eigenvalues with a negative real part.
    noise : (state, source), per root of a second.
    """
    found = linalg.solve_continuous_lyapunov(jacobian, -noise @ noise.T)
    return np.asarray((found + found.T) / 2)


def sampled_paths(
    jacobian: Array,
    noise: Array,
    dt: float,
    n_steps: int,
    n_trials: int,
    draw: np.random.Generator,
) -> Array:
    """Draw stationary paths of ``dx = jacobian x dt + noise dW``, (trial, step, state).

    Parameters
    ----------
    jacobian, noise : as for `stationary_covariance`.
    dt : s, between samples, which are exact at any.
    n_steps, n_trials : sizes.
    draw : of the noise.
    """
    whole = stationary_covariance(jacobian, noise)
    step = linalg.expm(jacobian * dt)
    first, more = _root(whole), _root(whole - step @ whole @ step.T)
    state = draw.standard_normal((n_trials, len(jacobian))) @ first.T
    out = np.empty((n_trials, n_steps, len(jacobian)))
    for k in range(n_steps):
        if k:
            state = state @ step.T + draw.standard_normal(state.shape) @ more.T
        out[:, k] = state
    return out


def _root(covariance: Array) -> Array:
    """A matrix whose product with its transpose is the covariance."""
    values, axes = linalg.eigh((covariance + covariance.T) / 2)
    return np.asarray(axes * np.sqrt(np.maximum(values, 0.0)))
