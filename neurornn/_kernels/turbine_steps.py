"""A wind turbine in time: aerodynamic torque, flexible drive train, controller, actuator."""

import math

import numpy as np
from numba import njit

#: Places in the state: speeds of blades, hub and generator, twists of blades and shaft, the
#: generator's speed as the controller sees it, integral of the controller, pitch.
BLADES, HUB, GENERATOR, BLADE_TWIST, SHAFT_TWIST, SEEN, INTEGRAL, PITCH = range(8)
N_STATE = 8
#: Places in the parameters.
(
    RADIUS, DENSITY, J_BLADES, J_HUB, J_GENERATOR, K_BLADES, K_SHAFT, C_BLADES, C_SHAFT,
    OPTIMUM_GAIN, SYNCHRONOUS, SLIP_GAIN, RATED_SPEED, RATED_POWER, FILTER_TIME, PITCH_TIME,
    PITCH_RATE, PROPORTIONAL, INTEGRAL_GAIN, PITCH_MOST,
) = range(20)  # fmt: skip
N_PARAMETERS = 20


@njit(cache=True, nogil=True)
def power_coefficient(ratio, pitch):
    """Share of the wind's power that the rotor takes.

    Parameters
    ----------
    ratio : tip speed over wind speed.
    pitch : rad.
    """
    b = max(pitch, 0.0) * 180.0 / math.pi
    inverse = 1.0 / (ratio - 0.02 * b) - 0.003 / (b**3 + 1.0)
    return 0.73 * (151.0 * inverse - 0.58 * b - 0.002 * b**2.14 - 13.2) * math.exp(-18.4 * inverse)


@njit(cache=True, nogil=True)
def generator_torque(speed, p):
    """Torque of the generator on the slow shaft, N m, at a speed that the controller sees, rad/s.

    Notes
    -----
    The lesser of the best tip-speed ratio's ``K speed^2`` and a steep line up to rated, then
    constant power.
    """
    if speed <= 0.0:
        return 0.0
    best = p[OPTIMUM_GAIN] * speed * speed
    line = p[SLIP_GAIN] * (speed - p[SYNCHRONOUS])
    return min(max(best, line), p[RATED_POWER] / speed)


@njit(cache=True, nogil=True)
def rates(x, wind, p, out):
    """Write the time derivative of a state.

    Parameters
    ----------
    x, out : (state,). wind : m/s. p : (parameter,).
    """
    ratio = x[BLADES] * p[RADIUS] / wind
    taken = power_coefficient(ratio, x[PITCH])
    whole = 0.5 * p[DENSITY] * math.pi * p[RADIUS] ** 2 * wind**3
    aero = whole * taken / x[BLADES]
    bend = p[K_BLADES] * x[BLADE_TWIST] + p[C_BLADES] * (x[BLADES] - x[HUB])
    shaft = p[K_SHAFT] * x[SHAFT_TWIST] + p[C_SHAFT] * (x[HUB] - x[GENERATOR])
    out[BLADES] = (aero - bend) / p[J_BLADES]
    out[HUB] = (bend - shaft) / p[J_HUB]
    out[GENERATOR] = (shaft - generator_torque(x[SEEN], p)) / p[J_GENERATOR]
    out[BLADE_TWIST] = x[BLADES] - x[HUB]
    out[SHAFT_TWIST] = x[HUB] - x[GENERATOR]
    out[SEEN] = (x[GENERATOR] - x[SEEN]) / p[FILTER_TIME]
    error = x[SEEN] - p[RATED_SPEED]
    asked = min(max(p[PROPORTIONAL] * error + x[INTEGRAL], 0.0), p[PITCH_MOST])
    growth = p[INTEGRAL_GAIN] * error
    # The integral stops at the ends of the pitch, or it would wind up in weak wind.
    if (x[INTEGRAL] <= 0.0 and growth < 0.0) or (x[INTEGRAL] >= p[PITCH_MOST] and growth > 0.0):
        growth = 0.0
    out[INTEGRAL] = growth
    turn = (asked - x[PITCH]) / p[PITCH_TIME]
    out[PITCH] = min(max(turn, -p[PITCH_RATE]), p[PITCH_RATE])


@njit(cache=True, nogil=True)
def run_turbine(start, wind, step, n_inner, p):
    """Integrate by Runge and Kutta's fourth-order method, the wind straight between its samples.

    Parameters
    ----------
    start : (state,). wind : (sample + 1,), m/s, the first at the start.
    step : s, of the integration. n_inner : steps in a sample. p : (parameter,).

    Returns
    -------
    (sample, state)
    """
    n = len(wind) - 1
    out = np.empty((n, N_STATE))
    x = start.copy()
    k1, k2, k3, k4 = np.empty(N_STATE), np.empty(N_STATE), np.empty(N_STATE), np.empty(N_STATE)
    y = np.empty(N_STATE)
    for t in range(n):
        slope = (wind[t + 1] - wind[t]) / n_inner
        for j in range(n_inner):
            w = wind[t] + slope * j
            rates(x, w, p, k1)
            for i in range(N_STATE):
                y[i] = x[i] + 0.5 * step * k1[i]
            rates(y, w + 0.5 * slope, p, k2)
            for i in range(N_STATE):
                y[i] = x[i] + 0.5 * step * k2[i]
            rates(y, w + 0.5 * slope, p, k3)
            for i in range(N_STATE):
                y[i] = x[i] + step * k3[i]
            rates(y, w + slope, p, k4)
            for i in range(N_STATE):
                x[i] += step / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i])
            x[INTEGRAL] = min(max(x[INTEGRAL], 0.0), p[PITCH_MOST])
        out[t] = x
    return out
