"""Conserved quantities: found where they are, refused where they are not, told as they are."""

import numpy as np
import pytest
from scipy import stats

import neurornn as nr
from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError
from neurornn.koopman import conserved
from neurornn.koopman.dictionaries import make_dictionary
from neurornn.koopman.law_choice import _p_value, next_law
from neurornn.koopman.law_search import HeldOut, judge, least_moving, scatters_of
from neurornn.koopman.smoothing import smoothed
from neurornn.simulate import simulate_system


def trajectories(name, seed, n=40, noise=0.05, duration=10.0, **parameters):
    draw = np.random.default_rng([seed, 3])
    if name == "lotka_volterra":
        start = draw.uniform(0.4, 1.8, (n, 2))
    elif name == "rigid_body":
        start = draw.uniform(0.3, 1.5, (n, 3)) * draw.choice([-1, 1], (n, 3))
    else:
        start = draw.uniform(-1.5, 1.5, (n, 2))
    return simulate_system(
        name, duration, 0.1, n_trials=n, start=start, noise_sd=noise, rng=draw, **parameters
    )


ENERGY = {
    "pendulum": lambda s: s[..., 1] ** 2 / 2 - np.cos(s[..., 0]),
    "duffing": lambda s: s[..., 1] ** 2 / 2 - s[..., 0] ** 2 / 2 + s[..., 0] ** 4 / 4,
    "lotka_volterra": lambda s: (s - np.log(s)).sum(-1),
    "harmonic": lambda s: (s**2).sum(-1),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ENERGY)
def test_the_law_is_found_and_written_down(name):
    run = trajectories(name, 0)
    laws = nr.koopman.conserved_quantities(run["series"])
    assert laws.n_laws == 1
    assert laws.p_value.values[0] < 0.01
    new = trajectories(name, 1, noise=0.0)["states"].values
    found = laws.evaluate(new).values[..., 0]
    # One dictionary for all: the noise leaves a few parts in a thousand of the variance.
    assert abs(np.corrcoef(found.ravel(), ENERGY[name](new).ravel())[0, 1]) > 0.998
    terms = {
        "pendulum": {"speed^2", "cos(angle)"},
        "duffing": {"x^2", "v^2", "x^4"},
        "lotka_volterra": {"prey", "predator", "log(prey)", "log(predator)"},
        "harmonic": {"x^2", "v^2"},
    }[name]
    used = laws.weights["term"].values[laws.weights["weight"].values[0] != 0]
    assert set(used) == terms
    assert all(t in laws.expression[0] for t in terms)
    # Of sd 1 over the states of the fit.
    assert laws.evaluate(run["states"].values).values.std() == pytest.approx(1, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "loss"), [("pendulum", {"damping": 0.0223}), ("harmonic", {"damping": 0.0223})]
)
def test_nothing_is_claimed_of_what_is_lost(name, loss):
    # exp(-.0223 * 10) = .8: a fifth of the energy is lost along a trajectory.
    for seed in range(3):
        laws = nr.koopman.conserved_quantities(trajectories(name, seed, **loss)["series"])
        assert laws.n_laws == 0
        assert laws.parameters["status"].values.tolist() == ["not_conserved"]
        assert "nothing is found to be conserved" in laws.report()


@pytest.mark.parametrize("name", ["van_der_pol", "lorenz"])
@pytest.mark.slow
def test_systems_that_conserve_nothing(name):
    run = simulate_system(
        name, 10.0, 0.1 if name == "van_der_pol" else 0.02, n_trials=20, spread=1.0, settle=0.0,
        noise_sd=0.05, rng=0,
    )  # fmt: skip
    assert nr.koopman.conserved_quantities(run["series"], degree=3).n_laws == 0


@pytest.mark.slow
def test_two_laws_of_a_rigid_body():
    laws = nr.koopman.conserved_quantities(trajectories("rigid_body", 0)["series"])
    assert laws.n_laws == 2
    new = trajectories("rigid_body", 1, noise=0.0)["states"].values
    both = laws.evaluate(new).values.reshape(-1, 2)
    columns = [np.ones(len(both)), *both.T, *(both**2).T, both[:, 0] * both[:, 1]]
    basis = np.linalg.qr(np.stack(columns, 1))[0]
    inertia = np.array([1.0, 2.0, 3.0])
    for true in ((new**2 * inertia).sum(-1).ravel(), (new**2 * inertia**2).sum(-1).ravel()):
        true = true - true.mean()
        left = true - basis @ (basis.T @ true)
        # Energy and momentum are functions of the two.
        assert left @ left / (true @ true) < 0.01
    assert "2 quantities conserved" in laws.report()


def test_functions_of_a_law_are_in_its_subspace():
    laws = nr.koopman.conserved_quantities(trajectories("harmonic", 0, noise=0.02)["series"])
    assert laws.n_laws == 1
    x = np.random.default_rng(0).uniform(-1.2, 1.2, (400, 2))
    made = make_dictionary("auto", x, ["x", "v"], degree=4, constant=False)
    names = laws.weights["term"].values.tolist()
    values = made(x)[:, [made.names.index(t) for t in names]]
    inside = values @ laws.subspace.values.T
    inside = np.linalg.qr(np.column_stack([inside, np.ones(400)]))[0]
    energy = (x**2).sum(1)
    for true in (energy, energy**2):
        true = true - true.mean()
        left = true - inside @ (inside.T @ true)
        assert left @ left / (true @ true) < 0.01


def test_without_noise():
    laws = nr.koopman.conserved_quantities(trajectories("harmonic", 0, noise=0.0)["series"])
    assert laws.n_laws == 1
    assert set(laws.weights["term"].values[laws.weights["weight"].values[0] != 0]) == {
        "x^2",
        "v^2",
    }


@pytest.mark.slow
def test_along_other_trajectories():
    laws = nr.koopman.conserved_quantities(trajectories("harmonic", 0)["series"])
    kept = trajectories("harmonic", 1, noise=0.0)["states"]
    lost = trajectories("harmonic", 1, noise=0.0, damping=0.0223)["states"]
    a, b = laws.along(kept), laws.along(lost)
    assert a["variation"].values[0] < 0.03
    # A fifth is lost: of energies of mean 1 over their sd, in the sign of the law.
    energy = ENERGY["harmonic"](lost.values)
    sd = ENERGY["harmonic"](trajectories("harmonic", 0)["states"].values).std()
    t = np.linspace(-0.5, 0.5, energy.shape[1])
    true = np.mean(energy @ t / (t @ t)) / sd
    assert abs(b["drift"].values[0]) == pytest.approx(abs(true), rel=0.05)
    low, high = b["drift_ci"].values[0]
    assert low * high > 0
    with pytest.raises(DataError, match="NaN or infinite"):
        laws.along(np.where(kept.values > 1.4, np.nan, kept.values))


@pytest.mark.slow
def test_what_noise_adds_is_taken_away():
    # Of the true energy, with weights nobody chose: what is left within trajectories is 0.
    ratios, errors = [], []
    for seed in range(20):
        run = trajectories("harmonic", seed, noise=0.1)
        smooth = smoothed(list(run["series"].values), [np.arange(100.0)] * 40)
        made = make_dictionary(lambda x: x**2, smooth[0].values, ["x", "v"], constant=False)
        held = judge(scatters_of(smooth, made), np.array([1.0, 1.0]))
        ratios.append(held.ratio)
        errors.append(held.ratio_se)
    # The mean of 20 and three of its standard errors, and a tenth of what smoothing leaves.
    assert abs(np.mean(ratios)) < 3 * np.std(ratios) / np.sqrt(20) + 5e-4
    # Standard errors say how ratios scatter over data.
    assert np.mean(errors) == pytest.approx(np.std(ratios), rel=0.5)


def test_smoothing_knows_the_noise():
    run = trajectories("pendulum", 0, noise=0.1)
    smooth = smoothed(list(run["series"].values), [np.arange(100.0)] * 40)
    sd = 0.1 * run["states"].values.std((0, 1))
    # 4000 frames: 1 % of scatter, and as much from what the polynomials miss.
    np.testing.assert_allclose(smooth[0].noise_sd, sd, rtol=0.05)
    left = np.stack([s.values for s in smooth]) - run["states"].values
    share = [np.mean(np.sum(w**2, axis=1)) for w in smooth[0].weights]
    np.testing.assert_allclose(left.std((0, 1)), sd * np.sqrt(share), rtol=0.25)
    # A cubic goes through untouched, with frames missing too.
    t = np.delete(np.arange(60.0), [7, 8, 30])
    cubic = np.stack([0.001 * t**3 - t, t**2], 1)
    np.testing.assert_allclose(smoothed([cubic] * 2, [t, t])[0].values, cubic, atol=1e-8)


def test_least_moving_is_the_least_ratio():
    draw = np.random.default_rng(0)
    a, b = (m @ m.T for m in draw.standard_normal((2, 4, 9)))
    ratios, weights = least_moving(a, b)
    w = weights[:, 0]
    assert w @ a @ w / (w @ b @ w) == pytest.approx(ratios[0], rel=1e-6)
    others = draw.standard_normal((500, 4))
    assert (np.einsum("ik,kl,il->i", others, a - ratios[0] * b, others) > -1e-6).all()


@pytest.mark.slow
def test_given_functions_and_files(tmp_path):
    run = trajectories("pendulum", 0)
    own = nr.koopman.conserved_quantities(
        run["series"], dictionary=lambda x: np.stack([x[..., 1] ** 2, np.cos(x[..., 0])], -1)
    )
    assert own.n_laws == 1
    assert own.expression == [own.expression[0].replace("speed", "f0")]
    with pytest.raises(KindError, match="function, which no file keeps"):
        own.save(tmp_path / "own")
    laws = nr.koopman.conserved_quantities(run["series"])
    laws.save(tmp_path / "laws")
    again = nr.load(tmp_path / "laws")
    assert again.report() == laws.report()
    assert again.expression == laws.expression
    np.testing.assert_array_equal(again.evaluate(run["states"]), laws.evaluate(run["states"]))
    assert laws.evaluate(run["states"]).dims == ("trial", "time", "law")


def test_bad_input():
    run = trajectories("harmonic", 0, n=9)
    find = nr.koopman.conserved_quantities
    with pytest.raises(DataError, match=r"1 trajectory came.*At least 8"):
        find(run["series"].isel(trial=0))
    with pytest.raises(DataError, match=r"9 trajectories came, 0 of them of 10 complete frames"):
        find(run["series"].isel(time=slice(0, 5)))
    with pytest.raises(NameUnknownError, match="dictionary is 'polynomials'"):
        find(run["series"], dictionary="polynomials")
    with pytest.raises(DataError, match=r"tolerance is 0"):
        find(run["series"], tolerance=0)
    with pytest.raises(DataError, match=r"up to degree 80 are .* functions"):
        find(run["series"], degree=80)
    laws = find(run["series"])
    with pytest.raises(ShapeError, match="The states have 3 variables"):
        laws.evaluate(np.zeros((4, 3)))


def test_the_p_value_is_of_both_directions_and_of_the_better_of_two():
    tolerance, n = 0.1, 21
    # Within trajectories nothing moves; a drift of half of what is tolerated, .1 sqrt(12).
    most = np.sqrt(12) * tolerance
    for drift in (most / 2, -most / 2):
        held = HeldOut(0.0, 1e-6, drift, most / 8)
        assert _p_value(held, tolerance, n) == pytest.approx(stats.t.sf(4.0, 20))
    # The variation is judged by its own error.
    held = HeldOut(0.004, 0.002, 0.0, 1e-6)
    assert _p_value(held, tolerance, n) == pytest.approx(stats.t.sf(3.0, 20))
    assert _p_value(HeldOut(np.inf, np.inf, np.inf, np.inf), tolerance, n) == 1.0
    run = trajectories("harmonic", 0, n=20, noise=0.1)
    smooth = smoothed(list(run["series"].values), [np.arange(100.0)] * 20)
    made = make_dictionary("polynomial", smooth[0].values, ["x", "v"], degree=2, constant=False)
    halves = [np.arange(10), np.arange(10, 20)]
    _, held, p = next_law(scatters_of(smooth, made), halves, [], made.degrees, 0.07)
    # Of two that were tried the better one is told: twice its p.
    assert p == pytest.approx(2 * _p_value(held, 0.07, 10))


def test_the_table_tells_what_was_judged(monkeypatch):
    judged = HeldOut(0.0009, 0.0002, 0.05, 0.01)
    monkeypatch.setattr(
        conserved, "next_law", lambda *_: (np.array([1.0, 0.0, 0.5, 0.0, 0.0]), judged, 0.004)
    )
    laws = conserved.conserved_quantities(
        trajectories("harmonic", 0, n=20)["series"], dictionary="polynomial", degree=2
    )
    table, t = laws.parameters, stats.t.ppf(0.975, 9)
    assert table["p_value"].values.tolist() == [0.004]
    assert table["variation"].values[0] == pytest.approx(0.03)
    np.testing.assert_allclose(
        table["variation_ci"].values[0], np.sqrt(0.0009 + t * 0.0002 * np.array([-1, 1]))
    )
    assert table["drift"].values[0] == pytest.approx(0.05)
    np.testing.assert_allclose(table["drift_ci"].values[0], 0.05 + t * 0.01 * np.array([-1, 1]))
    assert laws.expression == ["x + 0.5 x^2"]
