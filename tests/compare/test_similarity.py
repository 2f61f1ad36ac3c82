"""Similarity of dynamics: known rotations come back, p-values are uniform, sizes are told."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import neurornn as nr
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn.compare.alignment import align


def network(seed, n=12):
    return 0.9 * np.random.default_rng(seed).standard_normal((n, n)) / np.sqrt(n)


def session(weights, seed, n_trials=16, n_steps=50):
    """Trials of a noisy tanh network with noise in the recording."""
    draw = np.random.default_rng([seed, 77])
    n = len(weights)
    x = draw.standard_normal((n_trials, n))
    out = np.empty((n_trials, n_steps, n))
    for t in range(n_steps):
        x = x + 0.3 * (np.tanh(x @ weights.T) - x) + 0.1 * draw.standard_normal(x.shape)
        out[:, t] = x
    return out + 0.1 * draw.standard_normal(out.shape)


def test_a_rotation_is_undone():
    draw = np.random.default_rng(0)
    found = []
    for _ in range(20):
        a = draw.standard_normal((5, 5))
        q = np.linalg.qr(draw.standard_normal((5, 5)))[0]
        one = align(a, q @ a @ q.T, rng=draw)
        np.testing.assert_allclose(one.rotation @ one.rotation.T, np.eye(5), atol=1e-12)
        found.append(one.angle)
    # A climb may end on a lower hill: 17 of 20 would be lost to chance once in 1e4 at .98.
    assert np.sum(np.array(found) < 1e-3) >= 17


def test_the_angle_is_that_of_the_matrices():
    a = np.diag([3.0, 1.0])
    b = np.diag([1.0, 3.0])
    # Two axes exchanged are no difference; other eigenvalues are.
    assert align(a, b, rng=np.random.default_rng(0)).angle == pytest.approx(0, abs=1e-6)
    c = np.diag([3.0, -1.0])
    # The best rotation of diagonal matrices pairs sorted eigenvalues: cos = (9 - 1) / 10.
    one = align(a, c, rng=np.random.default_rng(0))
    assert one.angle == pytest.approx(np.arccos(0.8), abs=1e-6)
    assert one.distance == pytest.approx(2.0, abs=1e-6)


@pytest.mark.slow
def test_a_better_angle_than_gradient_descent():
    torch = pytest.importorskip("torch")
    draw = np.random.default_rng(1)
    a, b = draw.standard_normal((2, 4, 4))
    best = np.inf
    for seed in range(6):
        # The peer's way: descent in the Cayley transform of a skew matrix, of either handedness.
        free = torch.tensor(
            np.random.default_rng(seed).standard_normal((4, 4)), requires_grad=True
        )
        flip = torch.eye(4, dtype=torch.float64)
        flip[0, 0] = 1 - 2 * (seed % 2)
        steps = torch.optim.Adam([free], lr=0.02)
        for _ in range(400):
            skew = free - free.T
            eye = torch.eye(4, dtype=torch.float64)
            c = torch.linalg.solve(eye + skew, eye - skew) @ flip
            loss = torch.linalg.norm(c @ torch.tensor(a) @ c.T - torch.tensor(b))
            steps.zero_grad()
            loss.backward()
            steps.step()
        best = min(best, loss.item())
    assert align(a, b, n_starts=20, rng=draw).distance <= best + 1e-4


@pytest.mark.slow
def test_p_values_are_uniform_for_one_network():
    p = []
    for seed in range(40):
        w = network(seed)
        one = nr.compare.similarity(
            session(w, 2 * seed), session(w, 2 * seed + 1), rank=4, n_permutations=39
        )
        p.append(one.p_value)
    # Kolmogorov-Smirnov at 1e-3 over a grid of fortieths.
    assert stats.kstest(p, "uniform").pvalue > 1e-3
    assert min(p) >= 1 / 40


def test_two_networks_are_told_apart():
    for seed in range(5):
        one = nr.compare.similarity(
            session(network(seed), seed), session(network(100 + seed), seed), rank=4,
            n_permutations=99,
        )  # fmt: skip
        assert one.p_value == 0.01
        low, high = one.parameters["ceiling_ci"].values
        assert one.distance > high > low > 0


@pytest.mark.slow
def test_other_units_are_rotated():
    w = network(0)
    x, y = session(w, 0), session(w, 1)
    # The same states read out by other units: other axes, the same dynamics.
    q = np.linalg.qr(np.random.default_rng(0).standard_normal((12, 12)))[0]
    far = session(network(5), 1)
    names = [f"n{k}" for k in range(12)]

    def named(values, prefix):
        return xr.DataArray(
            values, dims=("trial", "time", "unit"),
            coords={"unit": [prefix + n for n in names], "time": np.arange(50) * 0.1},
        )  # fmt: skip

    same = nr.compare.similarity(named(x, "a"), named(y @ q, "b"), rank=4)
    other = nr.compare.similarity(named(x, "a"), named(far @ q, "b"), rank=4)
    assert same.settings["rotated"] and np.isnan(same.p_value)
    assert same.distance < other.distance
    assert same.distance < 2 * same.parameters["ceiling_ci"].values[1]
    assert "other units" in same.report()
    rotation = np.array(same.settings["rotation"])
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(4), atol=1e-10)


def test_files(tmp_path):
    w = network(0)
    one = nr.compare.similarity(session(w, 0), session(w, 1), rank=3, n_permutations=19)
    one.save(tmp_path / "one")
    assert nr.load(tmp_path / "one").report() == one.report()


def test_bad_input():
    w = network(0)
    x, y = session(w, 0), session(w, 1)
    with pytest.raises(DataError, match=r"rank is 99 of 48 delayed units"):
        nr.compare.similarity(x, y, rank=99)
    with pytest.raises(DataError, match=r"b has 1 trials"):
        nr.compare.similarity(x, y[:1])
    with pytest.raises(ShapeError, match=r"a has 12 units and b 5"):
        nr.compare.similarity(x, y[..., :5], align_units=False)
    with pytest.raises(KindError, match=r"align_units is 'yes'"):
        nr.compare.similarity(x, y, align_units="yes")
    few = nr.compare.similarity(x[:3], y[:3], rank=3)
    assert np.isnan(few.p_value)
    assert few.parameters["status"].values == "too_short"


@pytest.mark.slow
def test_one_system_seen_by_other_units_is_tested_by_its_time_scales():
    """20 % and 40 % of noise in 16 and 12 units: maps differ by it, eigenvalues do not."""
    draw = np.random.default_rng(0)

    def seen(tau, trials, n_units, noise):
        run = nr.simulate.simulate_oscillators(
            n_units=5, n_trials=24, noise_sd=0.0, time_constants=(tau, 1.5, 0.8), rng=0
        )["series"].values[trials]
        x = run @ draw.standard_normal((5, n_units))
        return x + noise * x.std() * draw.standard_normal(x.shape)

    a, b, c = (
        seen(tau, part, n, noise)
        for tau, part, n, noise in (
            (2.0, slice(0, 12), 16, 0.2),
            (2.0, slice(12, 24), 12, 0.4),
            (1.4, slice(12, 24), 12, 0.4),
        )
    )
    found = nr.compare.similarity(list(a), list(b), 0.02, rank=5, n_halves=20, n_permutations=1)
    assert np.isnan(found.p_value)
    assert "lie beyond the ceiling; test the time scales instead" in found.report()
    # Which is why the ceiling is no test: the same system lies beyond it.
    assert found.distance > float(found.parameters["ceiling_ci"][1])
    modes = [nr.koopman.fit_modes(x, dt=0.02, rank=5) for x in (a, b, c)]
    assert nr.compare.spectra(modes[0], modes[1], n_draws=300).p_value > 0.01
    assert nr.compare.spectra(modes[0], modes[2], n_draws=300).p_value < 0.01
