"""The hot loops against brute force, closed forms and finite differences."""

import itertools

import numpy as np
import pytest
from scipy.optimize import nnls
from scipy.signal import lfilter

from neurornn._kernels.leaky import leaky_adjoint, leaky_filter
from neurornn._kernels.projection import decay_sizes, project_decays
from neurornn._kernels.segmentation import find_jumps


def brute_force(y, gamma, penalty):
    """Least cost over every set of jumps; sizes by non-negative least squares."""
    n, best = len(y), np.inf
    seen = ~np.isnan(y)
    for m in range(n):
        for jumps in itertools.combinations(range(1, n), m):
            columns = np.zeros((n, m + 1))
            for c, s in enumerate((0, *jumps)):
                columns[s:, c] = gamma ** np.arange(n - s)
            _, norm = nnls(columns[seen], y[seen])
            best = min(best, 0.5 * norm**2 + penalty * m)
    return best


@pytest.mark.parametrize("seed", range(40))
def test_segmentation_is_the_exact_optimum(seed):
    rng = np.random.default_rng(seed)
    gamma, penalty = rng.choice([0.3, 0.7, 0.95]), rng.choice([0.1, 0.5, 2.0, 8.0])
    y = 2 * rng.standard_normal(8) + 4 * (rng.random(8) < 0.3)
    if seed % 4 == 0:
        y[rng.integers(1, 8)] = np.nan
    jumps, cost = find_jumps(y, gamma, penalty)
    # Both are exact; nnls and the programme differ by rounding, the floor of 1e-6 enters squared.
    assert cost == pytest.approx(brute_force(y, gamma, penalty), rel=1e-7, abs=1e-7)
    assert np.all(np.diff(jumps) > 0)


def test_segmentation_finds_the_events_of_a_clean_trace():
    events = np.array([10, 50, 51, 200, 400])
    drive = np.zeros((3000, 1))
    drive[events, 0] = 30.0
    y = leaky_filter(drive, np.array([0.9]), np.zeros(1))[:, 0]
    jumps, cost = find_jumps(y, 0.9, 8.0)
    assert jumps.tolist() == events.tolist()
    # Perfect fit: only the penalties remain. A silence of 2600 frames must not break the sums.
    assert cost == pytest.approx(8.0 * len(events), abs=1e-6)


def test_projection_is_least_squares():
    rng = np.random.default_rng(0)
    n, gamma, starts = 60, 0.8, np.array([0, 13, 14, 40])
    y = rng.standard_normal(n)
    y[20] = np.nan
    where = np.linspace(0, 2, n)
    knot = np.minimum(where.astype(np.int64), 1)
    fraction = where - knot
    gram, cross, square = project_decays(y, starts, gamma, knot, fraction, 3)
    design = np.zeros((n, 3 + len(starts)))
    design[np.arange(n), knot] = 1 - fraction
    design[np.arange(n), knot + 1] += fraction
    for c, (a, b) in enumerate(itertools.pairwise([*starts, n])):
        design[a:b, 3 + c] = gamma ** np.arange(b - a)
    seen = ~np.isnan(y)
    solution, squares, _, _ = np.linalg.lstsq(design[seen], y[seen])
    baseline = np.linalg.solve(gram, cross)
    # Normal equations lose half the digits of the direct solution.
    assert square - cross @ baseline == pytest.approx(squares[0], rel=1e-8)
    assert baseline == pytest.approx(solution[:3], rel=1e-6)
    flat = y - (1 - fraction) * baseline[knot] - fraction * baseline[knot + 1]
    sizes, trace, parts = decay_sizes(flat, starts, gamma)
    assert sizes == pytest.approx(solution[3:], rel=1e-6)
    assert parts.sum() == pytest.approx(squares[0], rel=1e-8)
    assert np.nansum((flat - trace) ** 2) == pytest.approx(squares[0], rel=1e-8)


def test_leaky_filter_is_scipys():
    rng = np.random.default_rng(1)
    drive = rng.standard_normal((500, 3))
    gamma = np.array([0.2, 0.9, 0.999])
    ours = leaky_filter(drive, gamma, np.zeros(3))
    for j, g in enumerate(gamma):
        # The same sums in the same order up to the fused multiply-add.
        assert ours[:, j] == pytest.approx(
            lfilter([1], [1, -g], drive[:, j]), rel=1e-10, abs=1e-12
        )


def test_leaky_adjoint_is_the_gradient():
    rng = np.random.default_rng(2)
    drive, gamma, start = (
        rng.standard_normal((20, 2)),
        np.array([0.5, 0.9]),
        rng.standard_normal(2),
    )
    weight = rng.standard_normal((20, 2))

    def value(d, g, s):
        return float((weight * leaky_filter(d, g, s)).sum())

    states = leaky_filter(drive, gamma, start)
    grads = leaky_adjoint(weight, states, gamma, start)
    h = 1e-6
    for k, grad in enumerate(grads):
        for where in np.ndindex(grad.shape):
            args = [drive.copy(), gamma.copy(), start.copy()]
            args[k][where] += h
            up = value(*args)
            args[k][where] -= 2 * h
            # Central differences in float64: error of the order of h squared plus rounding / h.
            assert grad[where] == pytest.approx((up - value(*args)) / (2 * h), rel=1e-6, abs=1e-7)
