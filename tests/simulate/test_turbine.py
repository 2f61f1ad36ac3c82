"""The turbine rests, swings and is blown about as its equations say."""

import numpy as np
import pytest
from scipy import linalg

import neurornn as nr
from neurornn._core.errors import DataError, KindError
from neurornn._kernels import turbine_steps as step
from neurornn.simulate import turbine_plant as plant
from neurornn.simulate.turbine import kaimal_spectrum, turbulent_wind

CALM = {"turbulence_intensity": 0.0}


@pytest.fixture(scope="module")
def hour():
    return nr.simulate.simulate_turbine(3600.0, mean_wind=14.0, rng=0)


def test_constants_are_those_of_the_reference_turbine():
    p = plant.parameters()
    assert p[step.J_BLADES] + p[step.J_HUB] == pytest.approx(38_759_228.0)
    # Of the reference turbine: 43,784,725 kg m2 in all, as the slow shaft feels it.
    assert plant.ROTOR_INERTIA + plant.generator_inertia() == pytest.approx(43_784_725, rel=1e-6)
    # 43,093.55 N m at 1,173.7 rpm, less 5.6 % of losses, are 5 MW.
    assert p[step.RATED_POWER] * plant.EFFICIENCY == pytest.approx(5e6, rel=1e-6)


def test_frequencies_of_the_parts_are_those_they_were_made_from():
    """Undamped, from the matrices of masses and springs alone."""
    p = plant.parameters()
    kb, ks = p[step.K_BLADES], p[step.K_SHAFT]
    # Hub held: the blades on their spring.
    assert np.sqrt(kb / p[step.J_BLADES]) / (2 * np.pi) == pytest.approx(1.0793)
    # Generator held: blades and hub on two springs.
    mass = np.diag([p[step.J_BLADES], p[step.J_HUB]])
    spring = np.array([[kb, -kb], [-kb, kb + ks]])
    lowest = np.sqrt(linalg.eigvalsh(spring, mass)[0]) / (2 * np.pi)
    assert lowest == pytest.approx(0.6205)
    # Free at both ends: the torsion that is found with damping, control and wind is near it.
    mass = np.diag([p[step.J_BLADES], p[step.J_HUB], p[step.J_GENERATOR]])
    spring = np.array([[kb, -kb, 0], [-kb, kb + ks, -ks], [0, -ks, ks]])
    free = np.sqrt(linalg.eigvalsh(spring, mass)[1]) / (2 * np.pi)
    found = nr.simulate.turbine_modes(14.0)["frequency"].values[1]
    assert found == pytest.approx(free, rel=0.02)


def test_a_constant_wind_leaves_it_at_rest_with_static_twists():
    run = nr.simulate.simulate_turbine(30.0, mean_wind=14.0, **CALM)
    last = run.isel(time=-1)
    assert float(last["power"]) == pytest.approx(5e6, rel=1e-6)
    assert float(last["rotor_speed"]) == pytest.approx(12.1 * 2 * np.pi / 60, rel=1e-9)
    torque = plant.RATED_TORQUE * plant.GEARBOX_RATIO
    assert float(last["shaft_twist"]) == pytest.approx(torque / plant.SHAFT_STIFFNESS, rel=1e-6)
    stiffness = run.attrs["blade_stiffness_N_m_per_rad"]
    assert float(last["blade_twist"]) == pytest.approx(torque / stiffness, rel=1e-6)
    assert float(last["load"]) == pytest.approx(torque / 3, rel=1e-6)
    # Energy: what the rotor takes from the wind leaves through the generator.
    taken = plant.aerodynamic_power(float(last["rotor_speed"]), 14.0, float(last["pitch"]))
    assert taken * plant.EFFICIENCY == pytest.approx(5e6, rel=1e-6)


@pytest.mark.parametrize(("wind", "share"), [(8.0, 8**3), (10.0, 10**3)])
def test_below_rated_power_grows_with_the_cube_of_the_wind(wind, share):
    most, ratio = plant.best_operation()
    rest = plant.steady_state(wind)
    assert rest.state[step.HUB] * plant.RADIUS / wind == pytest.approx(ratio, rel=1e-6)
    whole = 0.5 * plant.DENSITY * np.pi * plant.RADIUS**2 * share
    assert rest.power == pytest.approx(plant.EFFICIENCY * whole * most, rel=1e-6)


def test_the_best_tip_speed_ratio_is_that_of_the_formula():
    # Of Slootweg's formula at pitch 0; published as about 0.44 near 7.
    most, ratio = plant.best_operation()
    assert most == pytest.approx(0.4412, abs=1e-4) and ratio == pytest.approx(6.91, abs=0.01)
    assert step.power_coefficient(7.0, np.radians(5)) < step.power_coefficient(7.0, 0.0)


@pytest.mark.parametrize("wind", [9.0, 14.0])
def test_a_small_push_decays_as_the_eigenvalues_say(wind):
    """The nonlinear run against the matrix exponential of the linearised plant."""
    of_state, _, _ = plant.linearised(wind)
    rest = plant.steady_state(wind).state
    push = 1e-6 * np.array([1.0, -0.5, 0.3, 0.01, 0.02, 0.2, 0.0, 0.0])
    p, n = plant.parameters(), 50
    run = step.run_turbine(rest + push, np.full(n + 1, wind), 0.01, 10, p)
    exact = np.array([linalg.expm(of_state * 0.1 * (k + 1)) @ push for k in range(n)])
    if wind < plant.RATED_WIND:
        # Pitch and integral rest at their end, a kink: the push must leave them there.
        exact[:, [step.INTEGRAL, step.PITCH]] = 0.0
    # Second order in the push, 1e-6, and the Runge-Kutta error of the 6.5 Hz mode, 1e-4 of it.
    assert np.allclose(run - rest, exact, atol=3e-3 * np.abs(exact).max())


def test_modes_are_the_eigenvalues_and_the_slowest_swings_first():
    modes = nr.simulate.turbine_modes(13.0)
    values = np.linalg.eigvals(modes["state_matrix"].values)
    at = -1 / modes["time_constant"].values + 2j * np.pi * modes["frequency"].values
    assert all(np.abs(values - v).min() < 1e-9 for v in at)
    swings = modes["frequency"].values
    swings = swings[swings > 0]
    assert np.all(np.diff(swings) > 0) and 0.1 < swings[0] < 0.2
    run = nr.simulate.simulate_turbine(1.0, mean_wind=13.0)
    assert run.attrs["speed_loop_frequency_Hz"] == pytest.approx(swings[0])
    assert run.attrs["torsion_frequency_Hz"] == pytest.approx(swings[1])
    # A stiff rotor without filter and actuator would have the damping it was designed for.
    p = plant.parameters()
    slope = -plant.power_slope(plant.RATED_SPEED, 14.0, plant.pitch_at_rated(14.0))
    inertia = plant.ROTOR_INERTIA + plant.generator_inertia()
    pull = slope / (inertia * plant.RATED_SPEED)
    natural = np.sqrt(pull * p[step.INTEGRAL_GAIN])
    # The slope is averaged over winds; at 14 m/s it is 5 % steeper.
    assert natural == pytest.approx(0.6, rel=0.05)
    assert pull * p[step.PROPORTIONAL] / (2 * natural) == pytest.approx(0.7, rel=0.05)


def test_the_wind_has_its_mean_its_variance_and_kaimals_slope():
    n, dt, sd = 2**16, 0.1, 1.96
    draws = np.stack(
        [turbulent_wind(n, dt, 14.0, sd, 340.2, np.random.default_rng(k)) for k in range(8)]
    )
    # 8 runs of 6,554 s, a correlation time of about 10 s: 2,600 times apart.
    assert draws.mean() == pytest.approx(14.0, abs=4 * sd / np.sqrt(2600))
    assert draws.var() == pytest.approx(sd**2, rel=4 * np.sqrt(2 / 2600))
    power = np.mean(np.abs(np.fft.rfft(draws - 14.0)) ** 2, axis=0) * 2 * dt / n
    frequency = np.fft.rfftfreq(n, dt)
    middle = (frequency > 0.3) & (frequency < 3)
    slope = np.polyfit(np.log(frequency[middle]), np.log(power[middle]), 1)[0]
    assert slope == pytest.approx(-5 / 3, abs=0.05)
    low = (frequency > 0.005) & (frequency < 0.5)
    told = kaimal_spectrum(frequency[low], 14.0, sd, 340.2)
    # Thousands of frequencies; the scaling to the variance shifts all by a few per cent.
    assert np.mean(power[low] / told) == pytest.approx(1.0, abs=0.05)


def test_the_recording_is_turbulent_and_holds_together(hour):
    assert hour["wind"].values.std() == pytest.approx(0.14 * 14.0, rel=0.2)
    assert hour.sizes["time"] == 36_000 and float(hour["time"][0]) == pytest.approx(0.1)
    assert hour["rotor_speed"].attrs["sampling_rate"] == pytest.approx(10.0)
    # Over 5 s, nine swings of the shaft: twist is the torque that brakes and speeds up the
    # generator, over the stiffness.
    torque = hour["power"].values / plant.EFFICIENCY / hour["rotor_speed"].values
    growth = np.gradient(hour["rotor_speed"].values, 0.1)
    whole = torque + plant.generator_inertia() * growth
    pieces = (whole / plant.SHAFT_STIFFNESS, hour["shaft_twist"].values)
    guess, true = (v.reshape(-1, 50).mean(axis=1) for v in pieces)
    assert np.corrcoef(guess, true)[0, 1] > 0.999
    assert abs(guess.mean() / true.mean() - 1) < 0.001


def test_rated_wind_is_where_the_docstring_says():
    assert plant.pitch_at_rated(11.62) == 0.0 < plant.pitch_at_rated(11.64)
    assert plant.steady_state(11.62).power < 5e6 * 0.999


def test_gusts_do_not_stop_the_rotor():
    """The roughest wind that is taken, an hour of it."""
    run = nr.simulate.simulate_turbine(3600.0, mean_wind=16.0, turbulence_intensity=0.3, rng=1)
    assert float(run["rotor_speed"].min()) > 0.5 and float(run["rotor_speed"].max()) < 1.6
    assert nr.simulate.turbine_modes(20.0)["time_constant"].values.min() > 0


def test_what_is_recorded_obeys_newton_at_its_own_stamps():
    """Inertia times acceleration is the sum of torques, of the hub and of the blades."""
    dt = 0.01
    run = nr.simulate.simulate_turbine(30.0, dt, mean_wind=12.0, rng=0)
    a = run.attrs
    load, speed = 3 * run["load"].values, run["rotor_speed"].values
    twist = run["shaft_twist"].values
    shaft = a["shaft_stiffness_N_m_per_rad"] * twist
    shaft += a["shaft_damping_N_m_s_per_rad"] * np.gradient(twist, dt)
    left, right = a["hub_inertia_kg_m2"] * np.gradient(speed, dt), load - shaft
    # Central differences miss about (6.5 Hz of the hub against its blades times dt)^2 of a swing.
    inside = slice(1, -1)
    assert np.corrcoef(left[inside], right[inside])[0, 1] > 0.99
    assert left[inside].std() == pytest.approx(right[inside].std(), rel=0.05)
    blades = speed + np.gradient(run["blade_twist"].values, dt)
    aero = np.array(
        [plant.aerodynamic_power(*v) / v[0]
         for v in zip(blades, run["wind"].values, run["pitch"].values, strict=True)]
    )  # fmt: skip
    left, right = a["blade_inertia_kg_m2"] * np.gradient(blades, dt), aero - load

    def missed(shift):
        return np.std((left - np.roll(aero, shift) + load)[3:-3])

    # The wind bends at every sample, and central differences average over two.
    assert missed(0) < 0.15 * right.std()
    # A wind that is a frame early or late does worse.
    assert missed(0) < 0.7 * min(missed(1), missed(-1))


def test_a_finer_clock_gives_the_same_motion():
    coarse = nr.simulate.simulate_turbine(5.0, 0.1, mean_wind=12.0, **CALM)
    fine = nr.simulate.simulate_turbine(5.0, 0.02, mean_wind=12.0, **CALM)
    for name in ("rotor_speed", "shaft_twist"):
        assert np.allclose(coarse[name].values, fine[name].values[4::5], rtol=1e-9)


def test_the_seed_decides_and_noise_spares_the_hidden(hour):
    again = nr.simulate.simulate_turbine(60.0, rng=3)
    assert again.identical(nr.simulate.simulate_turbine(60.0, rng=3))
    other = nr.simulate.simulate_turbine(60.0, rng=4)
    assert not np.allclose(again["wind"].values, other["wind"].values)
    noisy = nr.simulate.simulate_turbine(60.0, rng=3, noise=0.1)
    assert np.array_equal(noisy["shaft_twist"].values, again["shaft_twist"].values)
    apart = (noisy["power"] - again["power"]).values.std() / again["power"].values.std()
    assert apart == pytest.approx(0.1, rel=0.15)  # 600 samples: 3 % of sd, five of them


@pytest.mark.parametrize(
    ("given", "kind", "match"),
    [
        ({"duration": 0.0}, DataError, "duration"),
        ({"duration": 60.0, "dt": -0.1}, DataError, "dt"),
        ({"duration": 60.0, "dt": 100.0}, DataError, "dt"),
        ({"duration": 1e12}, DataError, "samples"),
        ({"duration": 60.0, "mean_wind": 40.0}, DataError, "mean_wind is 40"),
        ({"duration": 60.0, "mean_wind": np.nan}, DataError, "mean_wind"),
        ({"duration": 60.0, "turbulence_intensity": 3.0}, DataError, "turbulence_intensity"),
        ({"duration": 60.0, "length_scale": 0.0}, DataError, "length_scale"),
        ({"duration": 60.0, "noise": -0.1}, DataError, "noise"),
        ({"duration": "long"}, KindError, "duration"),
    ],
)
def test_bad_settings_are_refused(given, kind, match):
    with pytest.raises(kind, match=match):
        nr.simulate.simulate_turbine(**given)


def test_a_wind_without_rest_is_refused():
    with pytest.raises(DataError, match="wind is 60"):
        nr.simulate.turbine_modes(60.0)
