"""Regimes in one picture: closed forms of discounts and solvers, and the numbers of the table."""

import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.errors import DataError, NameUnknownError, ShapeError
from neurornn.plot.regimes import amplification, discount_horizon


@pytest.fixture
def table():
    exponent = np.array([-20.0, -5.0, 30.0])
    return xr.Dataset(
        {
            "exponent": ("epoch", exponent),
            "exponent_ci": (("epoch", "ci_bound"), exponent[:, None] + np.array([-1.0, 1.0])),
            "horizon": ("epoch", [0.05, 0.2, np.inf]),
            "regime": ("epoch", ["vanishing", "ok", "exploding"]),
            "action": ("epoch", ["", "", "stopped"]),
        },
        coords={"epoch": [5, 10, 15]},
        attrs={"dt": 0.01, "time_unit": "s", "exponent_bound": 17.0, "reach": 0.1},
    )


def test_a_discount_looks_so_many_steps_ahead():
    assert discount_horizon(0.0) == 1 and discount_horizon(0.99) == pytest.approx(100)
    # The mean of the lags 1, 2, ... each weighted by gamma less than the one before.
    k = np.arange(1, 2000)
    assert discount_horizon(0.9) == pytest.approx((k * 0.9**k).sum() / (0.9**k).sum())


def test_borders_of_stability_of_solvers():
    assert amplification("euler", -2.0) == pytest.approx(1) and amplification("euler", -1) == 0
    # The real border of the classical method of order 4.
    assert amplification("rk4", -2.7852935634) == pytest.approx(1, abs=1e-9)
    # On the imaginary axis Euler always grows, and the method of order 4 up to sqrt(8) does not.
    assert amplification("euler", 0.5j) == pytest.approx(np.sqrt(1.25))
    assert amplification("rk4", np.sqrt(8) * 1j) == pytest.approx(1)


def test_amplification_is_that_of_steps_that_were_taken():
    """One step of each method by hand on y' = l y, l complex."""
    h, rate = 0.3, -1.5 + 2j

    def slope(y):
        return rate * y

    k1 = slope(1.0)
    k2 = slope(1 + h / 2 * k1)
    k3 = slope(1 + h / 2 * k2)
    k4 = slope(1 + h * k3)
    stepped = 1 + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    assert amplification("rk4", h * rate) == pytest.approx(abs(stepped), rel=1e-12)
    assert amplification("euler", h * rate) == pytest.approx(abs(1 + h * k1), rel=1e-12)
    # To the order of the method it is the growth of the equation itself.
    assert amplification("rk4", 0.01 * rate) == pytest.approx(abs(np.exp(0.01 * rate)), rel=1e-9)


def test_lines_stand_at_their_numbers(table):
    upper, lower = nr.plot.training_regimes(
        table, discount=0.9, solver={"euler": -0.5, "rk4": -3.0}
    )
    up, low = ({x.get_label(): x.get_ydata() for x in ax.lines} for ax in (upper, lower))
    np.testing.assert_allclose(up["network"], np.exp([-0.2, -0.05, 0.3]))
    assert up["bound"][0] == pytest.approx(np.exp(0.17))
    assert up["discount 0.9"][0] == 0.9 and up["euler, hλ = -0.5"][0] == 0.5
    # 1 - 3 + 9/2 - 27/6 + 81/24, beyond the border: no horizon.
    assert up["rk4, hλ = -3"][0] == pytest.approx(1.375)
    assert low["discount 0.9"][0] == pytest.approx(0.1)
    assert low["euler, hλ = -0.5"][0] == pytest.approx(0.02)
    assert "rk4, hλ = -3" not in low and low["asked for by the task"][0] == 0.1
    np.testing.assert_array_equal(low["gradients"], [0.05, 0.2, np.inf])
    stopped = next(x for x in upper.lines if x.get_label() == "stopped")
    assert stopped.get_xdata().tolist() == [15]
    assert lower.get_ylabel() == "horizon (s)"


def test_what_is_no_such_table_is_refused(table):
    for bad in (xr.Dataset(), table.isel(epoch=slice(0)), table.drop_vars("horizon")):
        with pytest.raises(ShapeError, match="RegimeGuard"):
            nr.plot.training_regimes(bad)
    with pytest.raises(DataError, match="discount"):
        nr.plot.training_regimes(table, discount=1.0)
    with pytest.raises(NameUnknownError, match="rk4"):
        nr.plot.training_regimes(table, solver={"rk5": -1})
    with pytest.raises(DataError, match="z is nan"):
        amplification("euler", np.nan)
