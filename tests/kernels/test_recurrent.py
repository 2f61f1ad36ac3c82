"""The pieces of the compiled recurrence: products in registers, and nonlinearities of a row."""

import numpy as np
import pytest
from numba import njit

from neurornn._kernels.recurrent import Drive, leaky_recurrence
from neurornn._kernels.recurrent_functions import FUNCTIONS, function_row, slope_row
from neurornn._kernels.recurrent_product import GROUPS_OF, LANES, add_product, padded, widened


@njit
def run_function(kind, x, out):
    function_row(kind, x, out)


@njit
def run_slope(kind, a, out):
    slope_row(kind, a, out)


EXACT = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "linear": lambda x: x,
    "sigmoid": lambda x: np.where(x < 0, np.exp(x), 1) / (1 + np.exp(-abs(x))),
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-abs(x))),
}


# Five units in the last place: exponent, series, sum and quotient round once each.
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 3e-7), (np.float64, 1e-15)])
@pytest.mark.parametrize("nonlinearity", FUNCTIONS)
def test_nonlinearities_are_right_to_a_few_roundings(nonlinearity, dtype, tolerance):
    tiny = np.geomspace(1e-30, 1, 2000)
    x = np.concatenate([np.linspace(-40, 40, 20_001), tiny, -tiny]).astype(dtype)
    value = np.empty_like(x)
    run_function(FUNCTIONS[nonlinearity], x, value)
    # Extended precision: its own rounding is out of sight.
    exact = EXACT[nonlinearity](x.astype(np.longdouble))
    far = np.abs(value - exact)
    assert np.all(far <= tolerance * np.abs(exact))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("nonlinearity", FUNCTIONS)
def test_nonlinearities_at_the_ends_of_the_line(nonlinearity, dtype):
    x = np.array([np.nan, np.inf, -np.inf, 1e4, -1e4, 0], dtype)
    value = np.empty_like(x)
    run_function(FUNCTIONS[nonlinearity], x, value)
    top = {"tanh": [1, 1], "sigmoid": [1, 1]}.get(nonlinearity, [np.inf, 1e4])
    low = {"tanh": [-1, -1], "linear": [-np.inf, -1e4]}.get(nonlinearity, [0, 0])
    zero = {"sigmoid": 0.5, "softplus": np.log(2)}.get(nonlinearity, 0)
    expected = np.array([np.nan, top[0], low[0], top[1], low[1], zero])
    # Below the smallest normal number a sigmoid and a softplus stop falling.
    np.testing.assert_allclose(value, expected, rtol=3e-7, atol=1e-37)


@pytest.mark.parametrize("nonlinearity", FUNCTIONS)
def test_slopes_are_differences_of_the_functions(nonlinearity):
    x = np.linspace(-5.003, 5.001, 400)
    h = 1e-6
    value, above, below, slope = (np.empty_like(x) for _ in range(4))
    for points, out in ((x, value), (x + h, above), (x - h, below)):
        run_function(FUNCTIONS[nonlinearity], points, out)
    run_slope(FUNCTIONS[nonlinearity], value, slope)
    # A rounding of 1e-16 over a step of 1e-6, and the third derivative times its square.
    np.testing.assert_allclose(slope, (above - below) / (2 * h), atol=5e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 5), (4, 7, 16), (9, 33, 70), (6, 64, 128)])
def test_products_of_all_sizes(shape, dtype):
    n_rows, n_summed, n_columns = shape
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((n_rows, n_summed)), rng.standard_normal((n_summed, n_columns))
    a, b = a.astype(dtype), b.astype(dtype)
    out = np.full((n_rows, padded(n_columns)), 0.5, dtype)
    turned = np.ascontiguousarray(a.T).T
    columns = LANES * GROUPS_OF[8 * a.itemsize]
    add_product(a, widened(b), out, columns)
    # Roundings of a sum of at most 64 numbers of size one.
    tolerance = 100 * np.finfo(dtype).eps
    np.testing.assert_allclose(out[:, :n_columns], 0.5 + a @ b, atol=tolerance)
    assert np.all(out[:, n_columns:] == 0.5)
    again = np.full_like(out, 0.5)
    add_product(turned, widened(b), again, columns)
    assert np.array_equal(again, out)


def test_a_trial_does_not_depend_on_those_beside_it():
    rng = np.random.default_rng(0)
    drive = rng.standard_normal((30, 7, 20)).astype(np.float32)
    weights = (rng.standard_normal((20, 20)) / 4).astype(np.float32)
    alpha, start = np.full(20, 0.2, np.float32), rng.standard_normal((7, 20)).astype(np.float32)
    states, _ = leaky_recurrence(Drive(drive), weights, alpha, start, "tanh")
    one = np.ascontiguousarray(drive[:, 5:6])
    alone, _ = leaky_recurrence(Drive(one), weights, alpha, start[5:6], "tanh")
    assert np.array_equal(alone[:, 0], states[:, 5])
