"""A wind turbine in turbulent wind: what a farm records, and the twists that nobody measures."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_number, check_positive, check_rng
from neurornn._core.errors import DataError
from neurornn._core.rng import RNG, generator
from neurornn._kernels import turbine_steps as step
from neurornn.simulate import turbine_plant as plant

Array = NDArray[np.float64]

#: Variable -> unit and long name. The last two are hidden.
_VARIABLES = {
    "wind": ("m/s", "wind over the rotor"),
    "pitch": ("rad", "pitch of the blades"),
    "rotor_speed": ("rad/s", "speed of the hub"),
    "power": ("W", "electrical power"),
    "load": ("N m", "bending moment at the root of a blade, in the plane of the rotor"),
    "shaft_twist": ("rad", "twist of the shaft between hub and generator"),
    "blade_twist": ("rad", "angle by which the blades lag behind the hub"),
}
RECORDED = ("wind", "pitch", "rotor_speed", "power", "load")
_STATES = (
    "blade_speed", "hub_speed", "generator_speed", "blade_twist", "shaft_twist", "seen_speed",
    "integral", "pitch",
)  # fmt: skip
#: Longest step of the integration, s, and what runs before the recording begins.
_STEP, _BEFORE = 0.01, 120.0
#: Samples at most.
_MOST = 5_000_000


def kaimal_spectrum(
    frequency: NDArray[np.floating[Any]], mean_wind: float, sd: float, length_scale: float
) -> Array:
    """Power of turbulence at each frequency, one-sided, m2/s.

    Parameters
    ----------
    frequency : Hz. mean_wind, sd : m/s. length_scale : m.
    """
    pace = length_scale / mean_wind
    return np.asarray(4 * sd**2 * pace / (1 + 6 * frequency * pace) ** (5 / 3))


def turbulent_wind(
    n: int, dt: float, mean_wind: float, sd: float, length_scale: float,
    draw: np.random.Generator,
) -> Array:  # fmt: skip
    """Draw a Gaussian wind with Kaimal's spectrum, (sample,), m/s.

    Parameters
    ----------
    n : samples. dt : s. mean_wind, sd : m/s. length_scale : m. draw : random numbers.
    """
    # Twice as long as is used, so that the end knows nothing of the beginning.
    size = 2 * max(n, round(8 * length_scale / mean_wind / dt))
    frequency = np.fft.rfftfreq(size, dt)[1:]
    power = kaimal_spectrum(frequency, mean_wind, 1.0, length_scale)
    # What the spectrum has below the first frequency and above the last goes to the others.
    power /= power.sum()
    part = draw.standard_normal((2, len(power)))
    wave = 0.5 * size * np.sqrt(power) * (part[0] - 1j * part[1])
    # The last frequency is a cosine alone.
    wave[-1] = size * np.sqrt(power[-1]) * part[0, -1]
    return np.asarray(mean_wind + sd * np.fft.irfft(np.concatenate([[0.0], wave]), size)[:n])


def turbine_modes(wind: float = 14.0) -> xr.Dataset:
    """Linearise the turbine of `simulate_turbine`, controller included, in a constant wind.

    Parameters
    ----------
    wind : m/s.

    Returns
    -------
    Dataset
        Over ``mode``, oscillations as one, the slowest oscillation first and what does not
        oscillate last: ``frequency`` (Hz), ``time_constant`` (s), after which it is down to 1/e.
        ``state_matrix (state, state_)``, ``wind_vector (state)`` and
        ``output_matrix (output, state)`` of the rates and outputs; ``steady_state (state)`` and
        ``steady_output (output)``.

    Raises
    ------
    DataError
        A wind in which the turbine stands still, or that is too strong for its formula.

    Examples
    --------
    >>> modes = turbine_modes(14.0)
    >>> modes["frequency"].values[:2].round(2), modes["time_constant"].values[:2].round(1)
    (array([0.13, 1.79]), array([3.7, 2.9]))
    """
    wind = check_number(wind, "wind", "m/s", least=plant.WEAKEST, most=plant.STRONGEST)
    of_state, of_wind, seen = plant.linearised(wind)
    values = np.linalg.eigvals(of_state)
    # A pitch that rests at its end leaves the integral where it is: no mode of the motion.
    values = values[(values.imag >= 0) & (np.abs(values) > 1e-6)]
    values = values[np.lexsort((-values.real, values.imag, values.imag == 0))]
    rest = plant.steady_state(wind)
    told = {n: float(v) for n, v in plant.outputs(rest.state).items()}
    return xr.Dataset(
        {
            "frequency": (
                "mode", values.imag / (2 * np.pi), {"units": "Hz", "long_name": "frequency"},
            ),
            "time_constant": (
                "mode", -1 / values.real, {"units": "s", "long_name": "decay to 1/e"},
            ),
            "state_matrix": (("state", "state_"), of_state),
            "wind_vector": ("state", of_wind),
            "output_matrix": (("output", "state"), seen),
            "steady_state": ("state", rest.state),
            "steady_output": ("output", np.array(list(told.values()))),
        },
        coords={"state": list(_STATES), "state_": list(_STATES), "output": list(told)},
        attrs={"wind": wind},
    )  # fmt: skip


def simulate_turbine(
    duration: float,
    dt: float = 0.1,
    *,
    mean_wind: float = 14.0,
    turbulence_intensity: float = 0.14,
    length_scale: float = 340.2,
    noise: float = 0.0,
    rng: RNG = 0,
) -> xr.Dataset:
    """Simulate a 5 MW wind turbine in turbulent wind, with the twists of its shaft and blades.

    Parameters
    ----------
    duration : s.
    dt : s, between samples, 0.001 to 10. The turbine is integrated in steps of 0.01 s or less.
    mean_wind : m/s, 5 to 16. Rated power needs 11.63.
    turbulence_intensity : sd of the wind over its mean, up to 0.3; 0 for a constant wind.
    length_scale : m, of Kaimal's spectrum; by default 8.1 times 42 m, as IEC 61400-1 has it for
        hubs above 60 m.
    noise : sd of white measurement noise of every recorded variable, as a share of its own sd.
    rng : int, Generator or None.

    Returns
    -------
    Dataset over ``time``
        Recorded: ``wind`` (m/s), ``pitch`` (rad), ``rotor_speed`` (rad/s, of the hub), ``power``
        (W), ``load`` (N m, bending moment at a blade's root, in the plane of the rotor and without
        weight). Hidden, and never noisy: ``shaft_twist`` and ``blade_twist`` (rad). The attrs hold
        the truth: constants of the plant, and ``<mode>_frequency`` (Hz) and
        ``<mode>_time_constant`` (s) of ``speed_loop`` and ``torsion``, linearised at the mean
        wind; see `turbine_modes`.

    Raises
    ------
    DataError
        Sizes that cannot be, a mean wind outside the formula's range.

    Notes
    -----
    Inertias, shaft, gearbox, ratings and the filter of the speed are those of the NREL 5 MW
    reference turbine (Jonkman et al. 2009). Blades hang on the hub by a spring, in the plane of
    the rotor; their share of the inertia and the spring follow from two frequencies of that
    turbine, 0.62 Hz of the drive train with the generator held and 1.08 Hz of the edgewise
    blades. The aerodynamic torque is that of a power coefficient (Slootweg et al. 2003), fitted to
    other turbines: rated wind is 11.63 m/s where the reference has 11.4. The generator follows
    the best tip-speed ratio below rated speed and keeps its power constant above; a
    proportional-integral controller of the filtered speed turns the blades, its gains from 0.6
    rad/s and a damping of 0.7 for a stiff rotor, as in the reference, through an actuator of 0.2 s
    and 8 degrees per second. The filter and the actuator leave less damping than that: the speed
    loop is the slowest oscillation of the whole.

    One wind blows over the whole rotor, straight between samples, kept between 4 and 20 m/s,
    beyond which the formula does not hold. Weight, tower, flapping and yaw are left out.

    References
    ----------
    Jonkman, Butterfield, Musial & Scott 2009, NREL/TP-500-38060, doi:10.2172/947422. Slootweg, de
    Haan, Polinder & Kling 2003, IEEE Trans. Power Syst. 18:144, doi:10.1109/TPWRS.2002.807113.
    Kaimal et al. 1972, Q. J. R. Meteorol. Soc. 98:563, doi:10.1002/qj.49709841707.

    Examples
    --------
    >>> turbine = simulate_turbine(60.0, rng=0)
    >>> turbine.sizes["time"], turbine["shaft_twist"].attrs["units"]
    (600, 'rad')
    """
    dt = check_number(dt, "dt", "s", least=0.001, most=10.0)
    length = check_positive(duration, "duration", "s")
    mean_wind = check_number(mean_wind, "mean_wind", "m/s", least=5.0, most=16.0)
    length_scale = check_number(length_scale, "length_scale", "m", above=0.0, most=5000.0)
    strength = check_number(turbulence_intensity, "turbulence_intensity", least=0.0, most=0.3)
    noise = check_number(noise, "noise", least=0.0, most=10.0)
    if not 1 <= round(min(length / dt, 2.0 * _MOST)) <= _MOST:
        raise DataError(
            f"duration is {length:g} s and dt {dt:g} s",
            f"1 to {_MOST} samples were needed",
            "Pass duration=3600.0 and dt=0.1 for an hour",
        )
    n, draw = round(length / dt), generator(check_rng(rng))
    before = int(np.ceil(_BEFORE / dt))
    wind = turbulent_wind(
        n + before + 1, dt, mean_wind, strength * mean_wind, length_scale, draw
    )  # fmt: skip
    wind = np.clip(wind, plant.WEAKEST, plant.STRONGEST)
    inner = int(np.ceil(dt / _STEP - 1e-9))
    start = plant.steady_state(float(wind[0])).state
    states = step.run_turbine(start, wind, dt / inner, inner, plant.parameters())[before:]
    values = {"wind": wind[before + 1 :], **plant.outputs(states)}
    for name in RECORDED:
        own = draw.standard_normal(n)
        if noise:
            values[name] = values[name] + noise * values[name].std() * own
    table = xr.Dataset(
        {
            name: ("time", values[name], {
                "units": units, "long_name": said, "sampling_rate": 1 / dt,
                "recorded": int(name in RECORDED),
            })
            for name, (units, said) in _VARIABLES.items()
        },
        coords={"time": ("time", (np.arange(n) + 1) * dt, {"units": "s"})},
    )  # fmt: skip
    table.attrs = {
        "dt": dt, "mean_wind": mean_wind, "turbulence_intensity": strength,
        "length_scale": length_scale, "noise": noise, **_truth(mean_wind),
    }  # fmt: skip
    return table


def _truth(wind: float) -> dict[str, Any]:
    """Constants of the plant and its oscillations in a constant wind, units in the names."""
    p, modes = plant.parameters(), turbine_modes(wind)
    found = {
        "blade_inertia_kg_m2": float(p[step.J_BLADES]),
        "hub_inertia_kg_m2": float(p[step.J_HUB]),
        "generator_inertia_kg_m2": float(p[step.J_GENERATOR]),
        "blade_stiffness_N_m_per_rad": float(p[step.K_BLADES]),
        "blade_damping_N_m_s_per_rad": float(p[step.C_BLADES]),
        "shaft_stiffness_N_m_per_rad": float(p[step.K_SHAFT]),
        "shaft_damping_N_m_s_per_rad": float(p[step.C_SHAFT]),
        "gearbox_ratio": plant.GEARBOX_RATIO,
        "rated_power_W": plant.EFFICIENCY * float(p[step.RATED_POWER]),
    }
    frequency, tau = modes["frequency"].values, modes["time_constant"].values
    # Below rated speed the pitch rests, and the loop does not swing.
    near = {"speed_loop": (0.05, 0.5), "torsion": (1.0, 3.0)}
    for name, (low, high) in near.items():
        at = np.flatnonzero((frequency > low) & (frequency < high))
        found[f"{name}_frequency_Hz"] = float(frequency[at[0]]) if len(at) else np.nan
        found[f"{name}_time_constant_s"] = float(tau[at[0]]) if len(at) else np.nan
    return found
