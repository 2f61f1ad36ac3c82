"""The plant of a wind turbine: constants, controller, steady states and what is linear there."""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from neurornn._kernels import turbine_steps as step

Array = NDArray[np.float64]

#: Of the reference turbine; see `simulate_turbine`. Units in the names of `turbine_truth`.
RADIUS, DENSITY = 63.0, 1.225
ROTOR_INERTIA, HUB_INERTIA = 38_759_228.0, 115_926.0
GENERATOR_INERTIA, GEARBOX_RATIO = 534.116, 97.0
SHAFT_STIFFNESS, SHAFT_DAMPING = 867_637_000.0, 6_215_000.0
RATED_TORQUE, RATED_SPEED = 43_093.55, 12.1 * 2 * np.pi / 60
RATED_WIND, EFFICIENCY = 11.4, 0.944
#: Frequencies of its first drive-train torsion with the generator held, and of its first
#: edgewise mode, Hz: they decide how much of the rotor hangs on the blades' spring.
HELD_FREQUENCY, EDGE_FREQUENCY, EDGE_DAMPING = 0.6205, 1.0793, 0.00477465
#: Speed loop: frequency in rad/s and damping that the pitch gains are designed for.
LOOP_FREQUENCY, LOOP_DAMPING = 0.6, 0.7
#: Wind that the formula of the power coefficient is good for, m/s: above it takes so little power
#: whatever the pitch that the speed loop loses its damping, and gusts may stop the rotor.
WEAKEST, STRONGEST = 4.0, 20.0
#: Winds over which the slope of the power is averaged for the gains of the pitch, m/s.
_SCHEDULE = (12.0, 18.0)


class SteadyState(NamedTuple):
    """A turbine at rest in a constant wind: its state, and power in W."""

    state: Array
    power: float


def generator_inertia() -> float:
    """Inertia of the generator as the slow shaft feels it, kg m2."""
    return GENERATOR_INERTIA * GEARBOX_RATIO**2


def rotor_parts() -> tuple[float, float, float]:
    """Inertia of what hangs on the blades' spring, of what sits on the shaft, and that spring.

    Returns
    -------
    blades, hub : kg m2. stiffness : N m/rad.

    Notes
    -----
    With the hub held the blades swing at the edgewise frequency w: ``k = f J w^2``. With the
    generator held, blades and hub swing at the torsional frequency v, which fixes the share f:
    ``(k_s + k - (1 - f) J v^2) (k - f J v^2) = k^2``.
    """
    edge, held = ((2 * np.pi * f) ** 2 for f in (EDGE_FREQUENCY, HELD_FREQUENCY))
    rest = SHAFT_STIFFNESS / ROTOR_INERTIA - held
    share = rest / (edge**2 / (edge - held) - edge - held)
    blades = share * ROTOR_INERTIA
    return blades, ROTOR_INERTIA - blades, blades * edge


def best_operation() -> tuple[float, float]:
    """Largest power coefficient at pitch 0, and its tip-speed ratio."""
    found = optimize.minimize_scalar(
        lambda r: -step.power_coefficient(r, 0.0), bounds=(4.0, 12.0), method="bounded",
        options={"xatol": 1e-10},
    )  # fmt: skip
    return -float(found.fun), float(found.x)


def aerodynamic_power(speed: float, wind: float, pitch: float) -> float:
    """Power that the rotor takes from the wind, W."""
    share = step.power_coefficient(speed * RADIUS / wind, pitch)
    return float(0.5 * DENSITY * np.pi * RADIUS**2 * wind**3 * share)


def pitch_at_rated(wind: float) -> float:
    """Pitch at which the rotor takes rated power at rated speed, rad; 0 below rated wind."""
    rated = RATED_TORQUE * GEARBOX_RATIO * RATED_SPEED
    if aerodynamic_power(RATED_SPEED, wind, 0.0) <= rated:
        return 0.0
    found = optimize.brentq(
        lambda b: aerodynamic_power(RATED_SPEED, wind, b) - rated, 0.0, 0.6, xtol=1e-14
    )
    return float(found)


def power_slope(speed: float, wind: float, pitch: float) -> float:
    """Change of the rotor's power with the pitch, W/rad."""
    h = 1e-5
    up, down = (aerodynamic_power(speed, wind, pitch + s) for s in (h, -h))
    return (up - down) / (2 * h)


@lru_cache(maxsize=1)
def parameters() -> Array:
    """Parameters of the compiled steps, (parameter,)."""
    p = np.zeros(step.N_PARAMETERS)
    blades, hub, stiffness = rotor_parts()
    generator = generator_inertia()
    p[step.RADIUS], p[step.DENSITY] = RADIUS, DENSITY
    p[step.J_BLADES], p[step.J_HUB], p[step.J_GENERATOR] = blades, hub, generator
    p[step.K_BLADES], p[step.K_SHAFT] = stiffness, SHAFT_STIFFNESS
    p[step.C_BLADES] = 2 * EDGE_DAMPING * np.sqrt(stiffness * blades)
    p[step.C_SHAFT] = SHAFT_DAMPING
    most, ratio = best_operation()
    p[step.OPTIMUM_GAIN] = 0.5 * DENSITY * np.pi * RADIUS**5 * most / ratio**3
    p[step.RATED_SPEED] = RATED_SPEED
    p[step.RATED_POWER] = RATED_TORQUE * GEARBOX_RATIO * RATED_SPEED
    # The line rises to rated power at 99 % of rated speed, with a slip of 10 %.
    p[step.SYNCHRONOUS] = 0.99 * RATED_SPEED / 1.1
    p[step.SLIP_GAIN] = p[step.RATED_POWER] / (0.99 * RATED_SPEED) / (
        0.99 * RATED_SPEED - p[step.SYNCHRONOUS]
    )  # fmt: skip
    p[step.FILTER_TIME] = 1 / (2 * np.pi * 0.25)
    p[step.PITCH_TIME] = 0.2
    p[step.PITCH_RATE], p[step.PITCH_MOST] = np.radians(8.0), np.radians(90.0)
    winds = np.linspace(*_SCHEDULE, 25)
    slope = np.mean([-power_slope(RATED_SPEED, u, pitch_at_rated(u)) for u in winds])
    inertia = ROTOR_INERTIA + generator
    p[step.PROPORTIONAL] = 2 * inertia * RATED_SPEED * LOOP_DAMPING * LOOP_FREQUENCY / slope
    p[step.INTEGRAL_GAIN] = inertia * RATED_SPEED * LOOP_FREQUENCY**2 / slope
    p.setflags(write=False)
    return p


def steady_state(wind: float) -> SteadyState:
    """State in which a constant wind leaves the turbine.

    Parameters
    ----------
    wind : m/s.
    """
    p = parameters()
    pitch, speed = pitch_at_rated(wind), RATED_SPEED
    if pitch == 0.0:
        found = optimize.brentq(
            lambda s: aerodynamic_power(s, wind, 0.0) / s - step.generator_torque(s, p),
            4.0 * wind / RADIUS, RATED_SPEED, xtol=1e-14,
        )  # fmt: skip
        speed = float(found)
    torque = step.generator_torque(speed, p)
    x = np.zeros(step.N_STATE)
    x[[step.BLADES, step.HUB, step.GENERATOR, step.SEEN]] = speed
    x[step.BLADE_TWIST], x[step.SHAFT_TWIST] = torque / p[step.K_BLADES], torque / SHAFT_STIFFNESS
    x[step.INTEGRAL] = x[step.PITCH] = pitch
    return SteadyState(x, EFFICIENCY * torque * speed)


def outputs(x: Array) -> dict[str, Array]:
    """What is recorded and what is hidden, of states (..., state)."""
    p = parameters()
    flat = np.reshape(x, (-1, step.N_STATE))
    torque = np.array([step.generator_torque(s, p) for s in flat[:, step.SEEN]])
    torque = torque.reshape(x.shape[:-1])
    bend = p[step.K_BLADES] * x[..., step.BLADE_TWIST] + p[step.C_BLADES] * (
        x[..., step.BLADES] - x[..., step.HUB]
    )
    return {
        "pitch": x[..., step.PITCH],
        "rotor_speed": x[..., step.HUB],
        "power": EFFICIENCY * torque * x[..., step.GENERATOR],
        "load": bend / 3,
        "shaft_twist": x[..., step.SHAFT_TWIST],
        "blade_twist": x[..., step.BLADE_TWIST],
    }


def linearised(wind: float) -> tuple[Array, Array, Array]:
    """Rates and outputs as linear functions near the steady state in a constant wind.

    Parameters
    ----------
    wind : m/s.

    Returns
    -------
    of_state : (state, state), 1/s. of_wind : (state,). seen : (output, state), in the order of
    `outputs`.
    """
    p, x = parameters(), steady_state(wind).state
    n = step.N_STATE

    def change(y: Array, u: float) -> Array:
        out = np.empty(n)
        step.rates(y, u, p, out)
        return out

    def sides(function: Any, k: int) -> Array:
        # Twists are a few milliradians, all else of the order of 1.
        h = 1e-7 * np.eye(n)[k]
        return np.asarray((function(x + h) - function(x - h)) / 2e-7)

    def told(y: Array) -> Array:
        return np.array(list(outputs(y).values()))

    of_state = np.stack([sides(lambda y: change(y, wind), k) for k in range(n)], axis=1)
    of_wind = (change(x, wind + 1e-6) - change(x, wind - 1e-6)) / 2e-6
    seen = np.stack([sides(told, k) for k in range(n)], axis=1)
    return of_state, of_wind, seen
