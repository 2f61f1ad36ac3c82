"""Kalman and forward recursions against textbook forms written out here."""

from itertools import pairwise, product

import numpy as np
import pytest
from scipy.linalg import solve_discrete_are

from neurornn._kernels.filtering import (
    kalman_covariance,
    kalman_gain,
    kalman_mean,
    posterior_step,
    solve_in_place,
)


@pytest.fixture
def model(rng):
    """Three states, seen by twelve units: A, b, W, H, R."""
    a = 0.9 * np.linalg.qr(rng.standard_normal((3, 3)))[0]
    root = rng.standard_normal((3, 3))
    noise = rng.standard_normal((12, 12))
    return {
        "a": a,
        "b": rng.standard_normal(3),
        "w": root @ root.T + 0.1 * np.eye(3),
        "h": rng.standard_normal((12, 3)),
        "r": noise @ noise.T + 0.5 * np.eye(12),
    }


def textbook(model, seen, x, s):
    """Predict, then update with the full inverse of the innovation (Joseph form)."""
    a, h = model["a"], model["h"]
    x, s = a @ x + model["b"], a @ s @ a.T + model["w"]
    if seen is not None:
        gain = s @ h.T @ np.linalg.inv(h @ s @ h.T + model["r"])
        x = x + gain @ (seen - h @ x)
        rest = np.eye(len(x)) - gain @ h
        s = rest @ s @ rest.T + gain @ model["r"] @ gain.T
    return x, s


@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_linear_systems_are_solved(rng, n):
    a, b = rng.standard_normal((n, n)), rng.standard_normal((n, 3))
    # Without the exchange of rows a zero in the corner would divide by zero.
    a[0, 0] = 0.0 if n > 1 else 2.0
    expected = np.linalg.solve(a, b)
    solve_in_place(a, b)
    # 1e-16 times a condition number of some 1000.
    np.testing.assert_allclose(b, expected, rtol=1e-10, atol=1e-12)


def test_one_hundred_steps_are_those_of_the_textbook(model, rng):
    r_inverse = np.linalg.inv(model["r"])
    information = model["h"].T @ r_inverse @ model["h"]
    x, s = rng.standard_normal(3), 4 * np.eye(3)
    state, covariance = x.copy(), s.copy()
    for t in range(100):
        # Every seventh bin is not recorded.
        y = None if t % 7 == 3 else rng.standard_normal(12)
        x, s = textbook(model, y, x, s)
        seen = information if y is not None else np.zeros((3, 3))
        evidence = np.zeros(3) if y is None else model["h"].T @ r_inverse @ y
        kalman_covariance(model["a"], model["w"], seen, covariance, np.empty((3, 3, 3)))
        kalman_mean(
            model["a"], model["b"], covariance, seen, evidence, state, np.empty((2, 3))
        )  # fmt: skip
        # The two forms lose some 1e-16 times the condition of R (1000) in a step.
        np.testing.assert_allclose(covariance, s, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(state, x, rtol=1e-9, atol=1e-11)
        assert (covariance == covariance.T).all()


def test_change_of_the_covariance_is_relative_to_its_largest_entry(model):
    covariance, before = 4 * np.eye(3), 4 * np.eye(3)
    change = kalman_covariance(
        model["a"], model["w"], np.eye(3), covariance, np.empty((3, 3, 3))
    )  # fmt: skip
    expected = np.abs(covariance - before).max() / np.abs(covariance).max()
    assert change == pytest.approx(expected, rel=1e-14)


def test_steady_covariance_solves_the_riccati_equation(model):
    a, w, h, r = (model[k] for k in "awhr")
    ahead = solve_discrete_are(a.T, h.T, w, r)
    expected = ahead - ahead @ h.T @ np.linalg.inv(h @ ahead @ h.T + r) @ h @ ahead
    found, n_steps = kalman_gain(a, w, h.T @ np.linalg.solve(r, h))
    # scipy's solver is good to some 1e-12 here.
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    assert n_steps < 1000


def test_steady_covariance_of_a_state_that_is_hardly_seen():
    # A random walk with q = 1e-6, r = 1: s (s + q) = q, s = about 1e-3, reached in 1 / s steps.
    found, n_steps = kalman_gain(np.eye(1), 1e-6 * np.eye(1), np.eye(1))
    q = 1e-6
    assert found[0, 0] == pytest.approx((-q + np.sqrt(q**2 + 4 * q)) / 2, rel=1e-9)
    assert 1000 < n_steps < 100_000


def as_links(chances):
    """Sparse rows of a matrix of chances (to, from)."""
    links = [np.flatnonzero(row) for row in chances]
    starts = np.concatenate([[0], np.cumsum([len(k) for k in links])])
    return starts, np.concatenate(links), np.concatenate(
        [row[k] for row, k in zip(chances, links, strict=True)]
    )  # fmt: skip


@pytest.mark.parametrize("jump", [0.0, 0.2, 1.0])
def test_forward_recursion_is_the_sum_over_all_paths(rng, jump):
    chances = rng.random((3, 3)) * np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1]])
    chances /= chances.sum(axis=0)
    step = (1 - jump) * chances + jump / 3
    prior, likelihoods = np.array([0.7, 0.2, 0.1]), rng.random((6, 3))
    posterior, total = prior.copy(), 0.0
    for like in likelihoods:
        total += posterior_step(*as_links(chances), jump, np.log(like), posterior, np.empty(3))
    weight = np.zeros(3)
    for path in product(range(3), repeat=7):
        p = prior[path[0]]
        for t, (j, k) in enumerate(pairwise(path)):
            p *= step[k, j] * likelihoods[t, k]
        weight[path[-1]] += p
    # Six steps of a few roundings each.
    np.testing.assert_allclose(posterior, weight / weight.sum(), rtol=1e-13)
    assert total == pytest.approx(np.log(weight.sum()), abs=1e-13)


def test_forward_recursion_survives_what_no_float_can_hold():
    posterior = np.array([0.5, 0.5, 0.0])
    # exp(-5000) is 0; state 2 is by far the likeliest but cannot be reached.
    value = posterior_step(
        *as_links(np.eye(3)), 0.0, np.array([-5000.0, -5001.0, 0.0]), posterior, np.empty(3)
    )
    e = np.exp(-1.0)
    np.testing.assert_allclose(posterior, [1 / (1 + e), e / (1 + e), 0], rtol=1e-14)
    assert value == pytest.approx(-5000 + np.log((1 + e) / 2), abs=1e-9)
