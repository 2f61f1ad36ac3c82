"""The hot loops against brute force, closed forms and finite differences."""

import itertools

import numpy as np
import pytest
from scipy.optimize import nnls
from scipy.signal import lfilter

from neurornn._kernels.leaky import leaky_adjoint, leaky_filter
from neurornn._kernels.pools import upward_jumps
from neurornn._kernels.projection import (
    baseline_sums,
    decay_sizes,
    project_decays,
    project_seen,
    refine_starts,
)
from neurornn._kernels.two_pole import filter_response, find_candidates, find_rises


@pytest.mark.parametrize("missing", [True, False])
@pytest.mark.parametrize("rho", [-1.0, 0.3])
def test_projection_is_least_squares(rho, missing):
    rng = np.random.default_rng(0)
    n, gamma, starts = 60, 0.8, np.array([0, 13, 14, 40])
    y = rng.standard_normal(n)
    if missing:
        y[20] = np.nan
    where = np.linspace(0, 2, n)
    knot = np.minimum(where.astype(np.int64), 1)
    fraction = where - knot
    # Every stretch free: no cone, so that the answer is a linear least squares.
    free = np.ones(len(starts), dtype=bool)
    sums = baseline_sums(y, knot, fraction, 3)
    gram, cross, square, lost = project_decays(
        y, starts, free, gamma, rho, rho / gamma, knot, fraction, 3, *sums
    )
    if not np.isnan(y).any():
        tabled = project_seen(y, starts, free, gamma, rho, rho / gamma, knot, fraction, 3, *sums)
        # The same sums, taken in another order.
        for one, other in zip(tabled, (gram, cross, square, lost), strict=True):
            assert one == pytest.approx(other, rel=1e-10, abs=1e-10)
    columns = []
    for a, b in itertools.pairwise([*starts, n]):
        for pole in (gamma, rho) if rho > 0 else (gamma,):
            column = np.zeros(n)
            column[a:b] = pole ** np.arange(b - a)
            columns.append(column)
    design = np.zeros((n, 3))
    design[np.arange(n), knot] = 1 - fraction
    design[np.arange(n), knot + 1] += fraction
    design = np.column_stack([design, *columns])
    seen = ~np.isnan(y)
    solution, _, rank, _ = np.linalg.lstsq(design[seen], y[seen], rcond=1e-10)
    squares = np.sum((y - design @ solution)[seen] ** 2)
    baseline = np.linalg.solve(gram, cross)
    # Normal equations lose half the digits of the direct solution.
    assert square - cross @ baseline == pytest.approx(squares, rel=1e-8)
    assert baseline == pytest.approx(solution[:3], rel=1e-6)
    assert lost + 3 == rank
    flat = y - (1 - fraction) * baseline[knot] - fraction * baseline[knot + 1]
    _, _, trace, parts = decay_sizes(flat, starts, free, gamma, rho, rho / gamma)
    assert parts.sum() == pytest.approx(squares, rel=1e-8)
    assert np.nansum((flat - trace) ** 2) == pytest.approx(squares, rel=1e-8)


def response(n, start, offset, size, gamma, phi):
    """An event `offset` of a frame before the end of frame `start`."""
    i = np.arange(n) - start
    tail = np.where(i >= 0, gamma ** (i + offset) - (gamma * phi) ** (i + offset), 0.0)
    return size * tail


def test_an_event_within_a_frame_lies_inside_its_cone_and_is_found_there():
    n, gamma, phi = 80, 0.93, 0.6
    starts, offsets, sizes = [12, 30, 33], [0.2, 0.7, 0.4], [5.0, 3.0, 4.0]
    y = sum(response(n, *e, gamma, phi) for e in zip(starts, offsets, sizes, strict=True))
    first = np.array([0, *starts])
    free = np.arange(4) == 0
    jumps, rises, trace, _ = decay_sizes(y, first, free, gamma, gamma * phi, phi)
    # No noise: the two sizes give the time within the frame and the size to rounding.
    assert np.log(rises[1:] / jumps[1:]) / np.log(phi) == pytest.approx(offsets, abs=1e-6)
    assert jumps[1:] / gamma ** np.array(offsets) == pytest.approx(sizes, rel=1e-6)
    assert trace == pytest.approx(y, abs=1e-9)
    # Put a frame or two off, they go back.
    moved = refine_starts(y, np.array([0, 14, 29, 34]), free, gamma, gamma * phi, phi, 3, 10)
    assert moved.tolist() == [0, *starts]


def test_outside_the_cone_the_better_edge_is_taken():
    n, gamma, phi = 60, 0.9, 0.5
    # An instant rise: q would be 0, below the cone, so that q = phi p holds instead.
    y = np.where(np.arange(n) >= 20, gamma ** (np.arange(n) - 20.0), 0.0)
    jumps, rises, _, squares = decay_sizes(
        y, np.array([0, 20]), np.array([True, False]), gamma, gamma * phi, phi
    )
    assert rises[1] == pytest.approx(phi * jumps[1])
    assert squares[1] > 0.01


@pytest.mark.parametrize("seed", range(30))
def test_partition_is_the_exact_optimum(seed):
    rng = np.random.default_rng(seed)
    n, gamma, penalty = 9, 0.8, rng.choice([0.5, 2.0, 6.0])
    rho = -1.0 if seed % 2 else 0.4
    y = 2 * rng.standard_normal(n)
    is_candidate = rng.random(n) < (0.6 if seed % 3 == 0 else 1.1)
    allowed = [k for k in range(1, n) if is_candidate[k]]
    best, answer = np.inf, None
    for m in range(n):
        for cuts in itertools.combinations(allowed, m):
            cost = penalty * m
            for a, b in itertools.pairwise([0, *cuts, n]):
                i = np.arange(b - a)
                design = np.stack([gamma**i, rho**i], axis=1)[:, : 2 if rho > 0 else 1]
                left = y[a:b] - design @ np.linalg.lstsq(design, y[a:b], rcond=1e-10)[0]
                cost += 0.5 * left @ left
            if cost < best - 1e-9:
                best, answer = cost, cuts
    found = find_rises(y, is_candidate, gamma, rho, penalty)
    assert tuple(found) == answer


def test_filter_response_is_a_correlation():
    rng = np.random.default_rng(5)
    y, f = rng.standard_normal(50), rng.standard_normal(7)
    y[30] = np.nan
    score = filter_response(y, f, 2)
    for t in range(2, 46):
        assert score[t] == pytest.approx(f @ y[t - 2 : t + 5], nan_ok=True)
    assert np.isneginf(score[:2]).all() and np.isneginf(score[46:]).all()


def test_candidates_stand_at_the_peaks_of_the_response():
    y = np.zeros(60)
    y[[20, 40]] = 5.0, 2.0
    spike = np.array([[0.0, 0.0, 1.0, 0.0]])
    found = find_candidates(y, spike, np.array([2]), np.array([4]), 2.5)
    assert np.flatnonzero(found).tolist() == [19, 20, 21]


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


@pytest.mark.parametrize("seed", range(12))
def test_upward_jumps_are_non_negative_least_squares(seed):
    rng = np.random.default_rng(seed)
    n, gamma = 30, rng.choice([0.5, 0.9, 0.99])
    y = rng.standard_normal(n) + 3 * (rng.random(n) < 0.2)
    if seed % 3 == 0:
        y[[4, 5, 20]] = np.nan
    seen = ~np.isnan(y)
    design = np.tril(gamma ** np.maximum(np.subtract.outer(np.arange(n), np.arange(n)), 0))
    best, norm = nnls(design[seen], y[seen])
    jumps = upward_jumps(y, gamma)
    assert (jumps >= -1e-12).all()
    # Both are exact; a jump inside a missing stretch may be split in many ways, the fit may not.
    assert np.linalg.norm((y - design @ jumps)[seen]) == pytest.approx(norm, rel=1e-9)
    if seen.all():
        assert jumps == pytest.approx(best, abs=1e-8)
