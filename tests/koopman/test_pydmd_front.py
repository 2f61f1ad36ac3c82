"""PyDMD's classes: known eigenvalues come back in s and Hz, whatever unit a class returns."""

import logging

import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError, UnitError
from neurornn.koopman.pydmd_methods import as_modes, per_difference, per_step
from neurornn.simulate import simulate_oscillators

TAU, FREQUENCY = np.array([2.0, 1.5, 0.8]), np.array([0.0, 0.8, 2.2])
#: Clocks: a class that returns something per step, or a difference, is right on one at most.
CLOCKS = (0.02, 0.05)


def oscillators(dt=0.02, noise_sd=1e-6, rng=0, **settings):
    """Five eigenvalues in 16 units; a little noise, so that no rank is too high."""
    return simulate_oscillators(dt=dt, noise_sd=noise_sd, rng=rng, **settings)


def waves(dt, n_steps=200):
    """The same kind of states in closed form, with their derivatives."""
    shape = np.random.default_rng(1).standard_normal((3, 6, 2)) @ [1, 1j]
    shape[0] = shape[0].real
    rates = -1 / TAU + 2j * np.pi * FREQUENCY
    run = np.exp(rates * dt * np.arange(n_steps)[:, None])
    return (run @ shape).real, ((run * rates) @ shape).real


def driven(dt, n_steps=300, lag=1):
    """Three eigenvalues, driven by two inputs that are held from frame to frame."""
    rng = np.random.default_rng(0)
    a, w = np.exp(-dt / 2.0), np.exp((-1 / 1.5 + 2j * np.pi * 0.8) * dt)
    step = np.array([[a, 0, 0], [0, w.real, -w.imag], [0, w.imag, w.real]])
    weight, mix = rng.standard_normal((3, 2)), rng.standard_normal((3, 8))
    inputs = rng.standard_normal((n_steps, 2)) / np.sqrt(lag)
    x = np.ones((n_steps, 3))
    for t in range(n_steps - lag):
        x[t + lag] = np.linalg.matrix_power(step, lag) @ x[t] + weight @ inputs[t]
    return x @ mix, inputs


def is_true(result, tau=TAU, frequency=FREQUENCY, rtol=1e-4):
    """Whether a table holds the truth, slowest first: 1e-4 is far above noise of 1e-6."""
    table = result.parameters
    assert (table["status"] == "ok").all()
    np.testing.assert_allclose(table["time_constant"], tau, rtol=rtol)
    np.testing.assert_allclose(table["frequency"], frequency, rtol=rtol, atol=1e-9)
    np.testing.assert_allclose(table["rate"], -1 / np.asarray(tau), rtol=rtol)
    return True


# Units ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dt", CLOCKS)
@pytest.mark.parametrize(
    ("method", "name", "options"),
    [
        ("exact", "DMD", {}),
        ("exact", "DMD", {"tlsq_rank": 8, "exact": False}),
        ("bop", "BOPDMD", {"num_trials": 3}),
        ("bop", "BOPDMD", {"num_trials": 0}),
        ("hankel", "HankelDMD", {}),
        ("hankel", "HankelDMD", {"d": 4}),
        ("lando", "LANDO", {}),
    ],
)
def test_known_eigenvalues_and_sizes_come_back_on_every_clock(method, name, options, dt):
    run = oscillators(dt)
    found = nr.koopman.dmd(run["series"], method=method, rank=5, **options)
    assert is_true(found)
    assert type(found.estimator).__name__ == name
    # What a mode adds to the first frame: the length of its shape, both members of a pair.
    size = np.linalg.norm(run["mode_shape"].values @ [1, 1j], axis=1)
    np.testing.assert_allclose(found.parameters["amplitude"], size, rtol=1e-4)
    # Shapes are those of the truth, up to a turn of the complex plane, here none.
    shape = found.shapes.values @ [1, 1j]
    np.testing.assert_allclose(
        shape, run["mode_shape"].values @ [1, 1j] / size[:, None], atol=1e-4
    )
    both = np.sort_complex(
        np.concatenate(
            [-1 / TAU + 2j * np.pi * FREQUENCY, -1 / TAU[1:] - 2j * np.pi * FREQUENCY[1:]]
        )
    )
    np.testing.assert_allclose(np.sort_complex(found.eigenvalues), both, rtol=1e-4)


@pytest.mark.parametrize("dt", CLOCKS)
def test_lando_is_read_per_second_where_derivatives_come(dt):
    states, slopes = waves(dt)
    rng = np.random.default_rng(0)
    noisy = states + 1e-7 * rng.standard_normal(states.shape)
    given = {"method": "lando", "rank": 5}
    assert is_true(nr.koopman.dmd(noisy, dt, derivatives=slopes, **given))
    assert is_true(nr.koopman.dmd(noisy, dt, **given))


@pytest.mark.parametrize("dt", CLOCKS)
def test_havok_is_read_through_its_central_differences(dt):
    # Slow decay: its derivatives of the first and last frame are of another kind.
    tau, frequency = np.array([30.0, 20.0]), np.array([0.8, 2.2])
    run = oscillators(dt, duration=60.0, time_constants=tau, frequencies=frequency)
    found = nr.koopman.dmd(run["series"], method="havok", rank=4)
    table = found.parameters
    # The first and last frame have another derivative, which costs up to 13 % of the decay here.
    # Slopes read as they are put 2.2 Hz off by (w dt)^2 / 6, 1.3 and 7.6 %, and tau by 4 and 30 %.
    np.testing.assert_allclose(table["frequency"], frequency, rtol=2e-3)
    np.testing.assert_allclose(table["time_constant"], tau, rtol=0.15)
    assert table["amplitude"].isnull().all()
    assert "forced" in table["amplitude_ci"].attrs["reason"]
    assert "linear part" in found.settings["eigenvalues"]
    assert len(found.estimator.eigs) == 4 and found.estimator.r == 5
    # Frames side by side look like the truth, up to a turn.
    truth = run["mode_shape"].values @ [1, 1j]
    truth /= np.linalg.norm(truth, axis=1, keepdims=True)
    alike = np.abs(np.sum(truth.conj() * (found.shapes.values @ [1, 1j]), axis=1))
    np.testing.assert_allclose(alike, 1.0, atol=1e-3)


def test_a_frequency_near_a_quarter_of_the_sampling_rate_is_not_resolved_by_havok():
    run = oscillators(0.02, duration=40.0, time_constants=[20.0], frequencies=[12.3])
    found = nr.koopman.dmd(run["series"], method="havok", rank=2)
    assert found.status.values.tolist() == ["not_resolvable"]
    assert (nr.koopman.dmd(run["series"], rank=2).status == "ok").all()


def test_havok_takes_operators_of_other_classes_in_their_units():
    import pydmd

    tau, frequency = np.array([30.0, 20.0]), np.array([0.8, 2.2])
    run = oscillators(0.05, duration=60.0, time_constants=tau, frequencies=frequency)
    inner = pydmd.DMD(svd_rank=-1)
    found = nr.koopman.dmd(run["series"], method="havok", rank=4, dmd=inner)
    np.testing.assert_allclose(found.parameters["frequency"], frequency, rtol=2e-3)
    waves_alone = oscillators(0.05, duration=10.0, time_constants=[5.0], frequencies=[0.8])
    inner = pydmd.BOPDMD(svd_rank=3, num_trials=0)
    found = nr.koopman.dmd(waves_alone["series"], method="havok", rank=2, dmd=inner)
    assert "per second" in found.settings["eigenvalues"]
    # A third coordinate of noise leaks a little: still far from the 8 % of the sine.
    np.testing.assert_allclose(found.parameters["frequency"][0], 0.8, rtol=0.02)


@pytest.mark.parametrize("dt", CLOCKS)
@pytest.mark.parametrize("lag", [1, 2])
def test_control_undoes_what_drives_the_states(dt, lag):
    states, inputs = driven(dt, lag=lag)
    found = nr.koopman.dmd(states, dt, method="control", rank=3, inputs=inputs, lag=lag)
    # No noise: what is left is rounding.
    assert is_true(found, TAU[:2], FREQUENCY[:2], rtol=1e-8)
    # Without the inputs the modes are others.
    plain = nr.koopman.dmd(states, dt, rank=3).parameters["rate"].values[:2]
    assert np.abs(plain - [-1 / 2, -1 / 1.5]).max() > 1e-3


@pytest.mark.parametrize("dt", CLOCKS)
def test_windows_of_a_multiresolution_analysis_share_the_clock(dt):
    run = oscillators(dt)
    found = nr.koopman.dmd(run["series"], method="multiresolution", rank=5)
    table = found.parameters
    for tau, frequency in zip(TAU[:2], FREQUENCY[:2], strict=True):
        own = np.isclose(table["frequency"], frequency, rtol=1e-3, atol=1e-6)
        assert own.any()
        np.testing.assert_allclose(table["time_constant"][own], tau, rtol=1e-3)
        # The size is that at the start of the window.
        size = table["amplitude"][own] * np.exp(table["t_start"][own] / tau)
        np.testing.assert_allclose(size, size[0], rtol=1e-3)
    assert table["level"].values.tolist() == [0, 2, 2, 2, 2]
    assert sorted(table["t_start"].values.round(9).tolist()) == [0, 0, 1, 2, 3]


def test_conversions_undo_what_exponentials_go_through():
    rates = np.array([-0.5, -2 + 30j, 0.3 + 5j])
    np.testing.assert_allclose(per_step(np.exp(rates * 0.02), 0.02), rates)
    slopes = (np.exp(rates * 0.02) - np.exp(-rates * 0.02)) / 0.04
    np.testing.assert_allclose(per_difference(slopes, 0.02), rates)


# What else is told -----------------------------------------------------------------------------


def test_several_trajectories_where_the_class_takes_them():
    run = oscillators(n_trials=4)
    for method in ("exact", "lando"):
        found = nr.koopman.dmd(run["series"], method=method, rank=5)
        assert is_true(found)
        assert found.settings["n_trajectories"] == 4
    own = nr.koopman.fit_modes(run["series"], rank=5).parameters_
    # Both take the root mean square over trajectories.
    np.testing.assert_allclose(found.parameters["amplitude"], own["amplitude"], rtol=1e-3)
    trials = [run["series"].values[0], run["series"].values[1][:150]]
    assert is_true(nr.koopman.dmd(trials, 0.02, rank=5))


def test_the_size_is_that_of_the_first_frame_wherever_pydmd_takes_it():
    run = oscillators()
    first = nr.koopman.dmd(run["series"], rank=5).parameters["amplitude"]
    for opt in (True, 40):
        later = nr.koopman.dmd(run["series"], rank=5, opt=opt).parameters["amplitude"]
        np.testing.assert_allclose(later, first, rtol=1e-4)


@pytest.mark.parametrize("trial_size", [0.5, 0.9, 54])
def test_intervals_of_bags_are_those_of_the_likelihood(trial_size):
    run = simulate_oscillators(
        5, 3.0, 0.05, time_constants=TAU[:2], frequencies=FREQUENCY[:2], noise_sd=0.05, rng=1
    )
    bags = nr.koopman.dmd(
        run["series"], method="bop", rank=3, trial_size=trial_size, num_trials=60
    ).parameters
    own = nr.koopman.fit_modes(run["series"], rank=3).parameters_
    widths = []
    for name in ("rate", "frequency", "amplitude", "time_constant"):
        theirs, ours = (np.ptp(t[f"{name}_ci"].values, axis=1) for t in (bags, own))
        known = np.isfinite(ours)
        assert np.array_equal(known, np.isfinite(theirs))
        widths.append(theirs[known] / ours[known])
    # 60 bags tell an sd to 10 %, residuals of 60 frames more; uncorrected, bags of .9 are .33.
    assert 0.75 < np.median(np.concatenate(widths)) < 1.35
    assert "without replacement" in bags["rate"].attrs["method"]
    assert "1 / share - 1" in bags["rate"].attrs["method"]


def test_where_no_interval_is_formed_the_reason_stands():
    run = oscillators(noise_sd=0.02)
    for options, part in (
        ({}, "no standard error"),
        ({"method": "bop", "num_trials": 0}, "no bags were drawn"),
        ({"method": "bop", "num_trials": 2, "trial_size": 200}, "every bag holds all frames"),
    ):
        table = nr.koopman.dmd(run["series"], rank=5, **options).parameters
        assert table["rate_ci"].isnull().all()
        assert part in table["rate_ci"].attrs["reason"]


def test_what_grows_what_stays_and_what_no_frame_tells():
    step = np.arange(200)[:, None]
    weights = np.random.default_rng(0).standard_normal((3, 4))
    x = 1.01**step * weights[0] + weights[1] + (-0.98) ** step * weights[2]
    table = nr.koopman.dmd(x, 0.05, rank=3).parameters
    assert table["status"].values.tolist() == [
        "growing",
        "slower_than_recording",
        "not_resolvable",
    ]
    # A factor below 0 turns by half a turn in every frame: the Nyquist frequency.
    np.testing.assert_allclose(table["frequency"], [0, 0, 10.0], atol=1e-6)
    assert np.isnan(table["time_constant"].values[0])
    found = nr.koopman.dmd(x, 0.05, rank=3)
    assert "growing: " in found.report() and len(found.eigenvalues) == 4


def test_conjugates_are_laid_together_and_others_marked():
    values = np.array([-1 + 5j, -2.0, -1.001 - 5j, -3 - 7j])
    looks = np.array([[1 + 1j, 2, 1 - 1j, 1j]])
    sd = np.array([0.2, 0.3, 0.4, 0.1])
    modes = as_modes(values, lambda v: v, looks, sd, sd)
    np.testing.assert_allclose(modes.rates, [-1.0005 + 5j, -2, -3 + 7j])
    np.testing.assert_allclose(modes.looks[:, 0], [2 + 2j, 2, -1j])
    assert modes.paired.tolist() == [True, True, False]
    # The spread of a complex number is shared by its two parts; of a real one it has one.
    np.testing.assert_allclose(modes.rate_sd, [0.3 / np.sqrt(2), 0.3, 0.1 / np.sqrt(2)])
    np.testing.assert_allclose(modes.turn_sd, [0.3 / np.sqrt(2), np.nan, 0.1 / np.sqrt(2)])
    np.testing.assert_allclose(modes.size_sd, [0.6, 0.3, 0.1])


def test_a_conjugate_that_is_far_is_none():
    modes = as_modes(np.array([-1 + 5j, -1 - 6j]), lambda v: v, np.ones((1, 2)), np.ones(2))
    np.testing.assert_allclose(modes.rates, [-1 + 5j, -1 + 6j])
    assert modes.paired.tolist() == [False, False]
    np.testing.assert_allclose(modes.rate_sd, np.sqrt([0.5, 0.5]))


def test_the_rank_that_pydmd_takes_by_itself_is_told():
    run = oscillators(noise_sd=0.05)
    found = nr.koopman.dmd(run["series"])
    assert found.settings["n_eigenvalues"] == found.estimator.modes.shape[1]
    assert f"{found.settings['n_eigenvalues']} eigenvalues of 16 units" in found.report()
    share = nr.koopman.dmd(run["series"], rank=0.5)
    assert share.settings["n_eigenvalues"] < 5


def test_nothing_outside_is_changed_and_what_pydmd_says_is_kept(capsys):
    run = oscillators(noise_sd=0.02)
    before = run["series"].values.copy()
    state = np.random.get_state()  # noqa: NPY002
    handlers = logging.root.handlers[:]
    given = {"method": "bop", "rank": 5, "num_trials": 3}
    one, two, other = (nr.koopman.dmd(run["series"], rng=rng, **given) for rng in (0, 0, 1))
    windows = nr.koopman.dmd(run["series"], method="multiresolution", rank=5, max_level=9)
    assert np.array_equal(state[1], np.random.get_state()[1])  # noqa: NPY002
    assert logging.root.handlers == handlers
    assert np.array_equal(run["series"].values, before)
    assert capsys.readouterr().out == ""
    assert one.parameters.identical(two.parameters)
    assert not one.parameters.identical(other.parameters)
    assert any("failed to converge" in said for said in one.settings["said"])
    assert any("Too many levels" in said for said in windows.settings["said"])
    assert "PyDMD says: Too many levels" in windows.report()


def test_saved_without_the_object_of_pydmd(tmp_path):
    run = oscillators(noise_sd=0.02)
    found = nr.koopman.dmd(
        run["series"], method="bop", rank=5, num_trials=3, eig_constraints={"stable"},
        mode_prox=lambda b: b,
    )  # fmt: skip
    assert found.settings["options"]["mode_prox"] == "a function"
    found.save(tmp_path / "found")
    again = nr.load(tmp_path / "found")
    assert again.estimator is None and found.estimator is not None
    assert again.parameters.identical(found.parameters)
    assert again.shapes.identical(found.shapes)
    assert again.settings == found.settings
    assert np.array_equal(again.eigenvalues, found.eigenvalues)
    assert "pydmd" in again.methods_text() and "Shao & Wu" in again.methods_text()
    assert "Shao" not in nr.cite(nr.koopman.dmd(run["series"], rank=5))


def test_labels_and_units_of_the_data_travel():
    run = oscillators(noise_sd=0.02)
    x = xr.DataArray(
        run["series"].values.reshape(200, 16), dims=("time", "unit"),
        coords={"unit": [f"u{k}" for k in range(16)]},
        attrs={"units": "mV", "sampling_rate": 50.0},
    )  # fmt: skip
    found = nr.koopman.dmd(x, rank=5)
    assert found.parameters["amplitude"].attrs["units"] == "mV"
    assert found.shapes["unit"].values.tolist() == x["unit"].values.tolist()
    np.testing.assert_allclose(found.parameters["frequency"], FREQUENCY, atol=0.05)


# Bad input -------------------------------------------------------------------------------------

X = np.random.default_rng(0).standard_normal((60, 4))


def with_gap():
    time = np.r_[np.arange(30), np.arange(40, 70)] * 0.02
    return xr.DataArray(X, dims=("time", "unit"), coords={"time": time})


@pytest.mark.parametrize(
    ("states", "options", "error", "said"),
    [
        (X, {"dt": None}, UnitError, "without a clock"),
        (X, {"method": "exakt"}, NameUnknownError, "Did you mean 'exact'"),
        (X, {"tlsq": 2}, NameUnknownError, "Did you mean 'tlsq_rank'"),
        (X, {"svd_rank": 2}, KindError, "rank=5"),
        (X, {"rank": "best"}, NameUnknownError, "'auto'"),
        (X, {"rank": 0}, DataError, "rank is 0"),
        (X, {"rank": 2.5}, DataError, "rank is 2.5"),
        (X, {"rank": 5}, DataError, "data have rank 4.*method='hankel'"),
        (X, {"rank": 9, "method": "hankel", "d": 2}, DataError, "data have rank 8"),
        (X, {"rank": 9, "method": "havok", "delays": 2}, DataError, "data have rank 8"),
        (X, {"rank": 5, "method": "multiresolution"}, DataError, "data have rank 4"),
        (X[:, :1] @ np.ones((1, 4)), {"rank": 2}, DataError, "data have rank 1"),
        (X, {"method": "hankel", "d": 58}, DataError, "d=58 came for 60 frames"),
        (X, {"method": "havok", "delays": 10, "lag": 7}, DataError, "delays=10 came for 60"),
        (X[:3], {}, DataError, "3 frames"),
        (X * [1, 1, 1, 0], {}, DataError, "constant"),
        (np.where(X > 2, np.nan, X), {}, DataError, "hold NaN.*fit_modes"),
        (with_gap(), {"method": "bop"}, DataError, "gaps.*fit_modes"),
        (X.reshape(2, 30, 4), {"method": "hankel"}, DataError, "2 trajectories.*fit_modes"),
        (X, {"inputs": X[:, :1]}, DataError, "Pass method='control'"),
        (X, {"method": "control"}, DataError, "without inputs"),
        (X, {"method": "control", "inputs": X[:50, :1]}, ShapeError, "50 complete frames"),
        (X, {"derivatives": X}, ShapeError, "method='lando'"),
        (X, {"method": "lando", "derivatives": X[:50]}, ShapeError, "shape"),
        (X, {"method": "lando", "fixed_point": X[0, :3]}, ShapeError, r"\(4,\)"),
        (X, {"method": "lando", "kernel_metric": "rbf"}, DataError, "without fixed_point"),
        (X, {"method": "havok", "structured": True}, DataError, "signs"),
        (X, {"method": "bop", "trial_size": -1.0, "rank": 2}, DataError, "gave up.*trial_size"),
        (X, {"method": "havok", "num_chaos": 0}, DataError, "num_chaos is 0"),
        (X, {"method": "control", "inputs": X, "lag": 1.5}, DataError, "lag is 1.5"),
        (X, {"confidence_level": 1.5}, DataError, "confidence_level"),
    ],
)  # fmt: skip
def test_bad_input_is_explained(states, options, error, said):
    dt = None if isinstance(states, xr.DataArray) else 0.02
    with pytest.raises(error, match=said):
        nr.koopman.dmd(states, **{"dt": dt, **options})


def test_windows_without_a_slow_mode_are_explained():
    run = oscillators(time_constants=[2.0], frequencies=[2.2])
    with pytest.raises(DataError, match="max_cycles"):
        nr.koopman.dmd(run["series"], method="multiresolution", rank=2, max_level=0)


def test_a_rank_of_rounding_is_refused():
    # Without noise PyDMD's threshold lies among singular values that are rounding.
    run = oscillators(noise_sd=0.0)
    with pytest.raises(DataError, match="Pass rank=5"):
        nr.koopman.dmd(run["series"])
    with pytest.raises(KindError, match="Leave rank out"):
        import pydmd

        nr.koopman.dmd(run["series"], method="multiresolution", rank=3, dmd=pydmd.DMD())


def test_a_kernel_that_is_not_linear_is_linearised_where_it_is_said():
    # A logistic map of the state, whose slope at 0 is 0.8: far from there it is another.
    x = np.zeros((120, 2))
    x[::6] = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 2))
    trials = []
    for start in x[::6]:
        states = [start]
        for _ in range(5):
            states.append(np.array([0.8, 0.5]) * states[-1] * (1 - states[-1]))
        trials.append(np.array(states))
    options = {"kernel_metric": "poly", "kernel_params": {"degree": 2, "gamma": 1.0, "coef0": 1.0}}
    found = nr.koopman.dmd(
        trials, 0.1, method="lando", rank=2, fixed_point=np.zeros(2), **options
    )  # fmt: skip
    # The kernel spans squares, so the map is exact: log of the slopes over dt.
    np.testing.assert_allclose(found.parameters["rate"], np.log([0.8, 0.5]) / 0.1, rtol=1e-4)
    far = nr.koopman.dmd(
        trials, 0.1, method="lando", rank=2, fixed_point=np.full(2, 0.2), **options
    )
    np.testing.assert_allclose(far.parameters["rate"], np.log([0.48, 0.3]) / 0.1, rtol=1e-4)
