"""Intervals to the last digit: closed forms, tables, and the same sums by hand."""

import numpy as np
import pytest
from scipy import stats

from neurornn._core import confidence as cf
from neurornn._core.errors import DataError, UnitError

#: Quantiles of the standard normal at 0.975 and 0.9, as in any table of it.
Z95, Z80 = 1.959963984540054, 1.2815515655446004


def test_the_normal_quantile_is_two_sided():
    assert cf.normal_quantile(0.95) == pytest.approx(Z95, abs=1e-12)
    assert cf.normal_quantile(0.8) == pytest.approx(Z80, abs=1e-12)
    for bad in (0, 1, -0.1, 1.1):
        with pytest.raises(DataError, match=f"confidence_level is {bad}"):
            cf.normal_quantile(bad)


def test_a_delta_interval_is_value_and_quantile_times_error():
    found = cf.delta_interval([2.0, -1.0], [0.5, 0.1])
    assert found == pytest.approx(
        np.array([[2 - Z95 / 2, 2 + Z95 / 2], [-1 - Z95 / 10, -1 + Z95 / 10]]), abs=1e-12
    )
    assert cf.delta_interval(2.0, 0.5, 0.8) == pytest.approx([2 - Z80 / 2, 2 + Z80 / 2], abs=1e-12)
    # Student's t at 0.975: 2.570582 with 5 degrees of freedom, 12.706205 with one or less.
    for dof, t in ((5, 2.570582), (1, 12.706205), (0, 12.706205), (0.5, 12.706205)):
        low, high = cf.delta_interval(2.0, 0.5, dof=dof)
        assert (low, high) == pytest.approx((2 - t / 2, 2 + t / 2), abs=1e-6)
    low, high = cf.delta_interval(2.0, 0.5, log=True)
    factor = np.exp(Z95 * 0.25)
    assert (low, high) == pytest.approx((2 / factor, 2 * factor), rel=1e-12)


def test_a_profile_interval_has_its_bounds_on_either_side_to_a_thousandth_of_a_step():
    # A deviance that is steeper on the right: each side has its own standard error.
    def deviance(x):
        return 7.0 + ((x - 3) / (0.2 if x > 3 else 0.5)) ** 2

    for step in (0.05, 0.4):
        low, high = cf.profile_interval(deviance, 3.0, step=step)
        assert (low, high) == pytest.approx((3 - Z95 * 0.5, 3 + Z95 * 0.2), abs=1.1e-3 * step)
    low, high = cf.profile_interval(deviance, 3.0, step=0.2, confidence_level=0.8)
    assert (low, high) == pytest.approx((3 - Z80 * 0.5, 3 + Z80 * 0.2), abs=1e-3)
    # A limit that is reached with the deviance still low leaves the side open; one beyond, not.
    low, high = cf.profile_interval(deviance, 3.0, step=0.2, lower=2.5, upper=3.3)
    assert np.isnan([low, high]).all()
    low, high = cf.profile_interval(deviance, 3.0, step=0.2, lower=1.9, upper=3.5)
    assert (low, high) == pytest.approx((3 - Z95 * 0.5, 3 + Z95 * 0.2), abs=1e-3)


def test_a_profile_is_asked_at_no_point_twice_and_never_beyond_its_limits():
    asked = []

    def deviance(x):
        asked.append(x)
        return (x - 1.0) ** 2

    cf.profile_interval(deviance, 1.0, step=0.01, lower=0.5, upper=10.0)
    assert len(set(asked)) == len(asked)
    assert min(asked) == 0.5 and max(asked) <= 10.0
    # A first step of a hundredth of what is needed: 1.6 as far each time, and a straight line.
    assert len(asked) < 60
    # With a step of one standard error the first step of either side is just beyond the bound.
    asked.clear()
    cf.profile_interval(lambda x: deviance(x) / 0.2**2, 1.0, step=0.2)
    assert [min(asked), max(asked)] == pytest.approx([1 - 1.05 * 0.2 * Z95, 1 + 1.05 * 0.2 * Z95])
    asked.clear()
    cf.profile_interval(lambda x: deviance(x) / 0.2**2, 1.0, step=0.15)
    # A step that was too short is followed by one 1.6 times as far.
    assert max(asked) == pytest.approx(1 + 1.6 * 1.05 * 0.15 * Z95)


def test_a_bootstrap_is_the_quantiles_of_its_draws():
    rows = np.random.default_rng(0).normal(size=(7, 2))
    picks = np.random.default_rng(5).integers(7, size=(999, 7))
    draws = rows[picks].mean(axis=1)[:, 0]
    found = cf.bootstrap_interval(rows, lambda r: r[:, 0].mean(), rng=5)
    assert found == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), abs=1e-12)
    found = cf.bootstrap_interval(rows[:, 0], confidence_level=0.5, n_resamples=99, rng=5)
    few = rows[np.random.default_rng(5).integers(7, size=(99, 7)), 0].mean(axis=1)
    assert found == pytest.approx(tuple(np.quantile(few, [0.25, 0.75])), abs=1e-12)
    assert np.isfinite(cf.bootstrap_interval([1.0, 2.0, 3.0], rng=0)).all()
    assert np.isnan(cf.bootstrap_interval([1.0, 2.0], rng=0)).all()


def test_the_interval_of_a_median_is_that_of_the_binomial_table():
    # Conover, table A3: of 10 samples the 2nd and the 9th hold the median with 97.9 %; of 6 the
    # extremes with 96.9 %; 5 do not reach 95 %.
    assert cf.median_interval(np.arange(10.0)[::-1]) == (1.0, 8.0)
    assert cf.median_interval(np.arange(6.0)) == (0.0, 5.0)
    for few in (5, 0):
        assert np.isnan(cf.median_interval(np.arange(float(few)))).all()
    # At 80 %: P(fewer than 4 of 10 below) = 0.172 > 0.1 >= P(fewer than 3) = 0.0547.
    assert cf.median_interval(np.arange(10.0), 0.8) == (2.0, 7.0)


def test_a_fraction_has_the_interval_of_wilson():
    n, p, z = 20, 0.3, Z95
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert cf.binomial_interval(6, 20) == pytest.approx((middle - half, middle + half), abs=1e-12)
    low, high = cf.binomial_interval(6, 20, 0.8)
    assert middle - half < low < high < middle + half
    assert np.isnan(cf.binomial_interval(0, 0)).all()
    assert cf.binomial_interval(1, 1)[1] == 1.0


def test_the_interval_of_a_spread_is_that_of_chi_square():
    # Chi-square with 10 degrees of freedom: 3.246973 at 0.025, 20.483177 at 0.975.
    low, high = cf.scale_interval(2.0, 10)
    assert (low, high) == pytest.approx(
        (2 * np.sqrt(10 / 20.483177), 2 * np.sqrt(10 / 3.246973)), rel=1e-6
    )
    narrow = cf.scale_interval([2.0, 2.0], [10, 40], 0.8)
    assert narrow.shape == (2, 2) and low < narrow[0, 0] < narrow[1, 0] < 2
    assert narrow[0] == pytest.approx(2 * np.sqrt(10 / stats.chi2.ppf([0.9, 0.1], 10)))


def test_the_interval_of_a_rate_is_that_of_garwood():
    # Table values for 0 counts (0 to 3.689) and for 1 count (0.0253 to 5.572).
    found = cf.rate_interval([0, 1, np.nan], [2.0, 2.0, 2.0])
    assert found[0] == pytest.approx([0, 3.689 / 2], abs=5e-4)
    assert found[1] == pytest.approx([0.0253 / 2, 5.572 / 2], abs=5e-4)
    assert np.isnan(found[2, 1])
    # At 80 %: 10 counts, 6.221 to 15.407.
    assert cf.rate_interval(10, 1.0, 0.8) == pytest.approx([6.221, 15.407], abs=1e-3)


def test_of_two_groups_the_closed_form_of_the_spread_between_them():
    # Two equal errors: Q = d^2 / (2 (v + b2)), which is 1 at b2 = d^2 / 2 - v.
    x, v = np.array([1.0, 3.0]), np.array([0.5, 0.5])
    found = cf.random_effects(x, v)
    assert found.between_sd**2 == pytest.approx(1.5, rel=1e-9)
    assert found.mean == pytest.approx(2.0)
    # The scale is 1 by construction, the variance of the mean 2 / 2 = 1; t with one degree of
    # freedom, 12.706205.
    assert found.ci == pytest.approx((2 - 12.706205, 2 + 12.706205), abs=1e-5)
    # Drawn to the mean by a quarter.
    assert found.shrunk == pytest.approx([1.25, 2.75])
    doubt = 2 * 0.25**2 * 2.0 * (1 / 2.0) * 1.0
    assert found.shrunk_sd == pytest.approx(np.sqrt([0.375 + 0.25**2 + doubt] * 2))
    # Q = 2 / (v + b2) at the quantiles 0.025 and 0.975 of chi-square with one degree of freedom.
    high = 2 / stats.chi2.ppf(0.025, 1) - 0.5
    assert found.between_sd_ci[0] == 0.0
    assert found.between_sd_ci[1] == pytest.approx(np.sqrt(high), rel=1e-6)
    for level in (0.0, 1.0):
        with pytest.raises(DataError, match=f"confidence_level is {level}"):
            cf.random_effects([1.0], [1.0], level)


def test_agreeing_estimates_are_no_surer_than_their_errors():
    # All equal: Q is 0, and the mean has the variance of known errors, 1 / 4.
    found = cf.random_effects([2.0] * 4, [1.0] * 4)
    t = stats.t.ppf(0.975, 3)
    assert found.ci == pytest.approx((2 - t / 2, 2 + t / 2), rel=1e-9)
    assert found.shrunk_sd == pytest.approx([0.5] * 4)


def test_a_conformal_halfwidth_is_the_residual_of_its_rank():
    # Nine residuals: the rank is the tenth part of 10 upwards, ceil(10 * 0.9) = 9, the largest.
    errors = np.array([-9.0, 1, 2, 3, -4, 5, 6, 7, 8])
    assert cf.conformal_halfwidth(errors) == 9.0
    assert cf.conformal_halfwidth(errors, 0.5) == 5.0
    assert cf.conformal_halfwidth(errors, 0.51) == 6.0
    assert cf.conformal_halfwidth(errors[:8]) == np.inf
    assert cf.conformal_halfwidth(errors.reshape(3, 3), 0.5) == 5.0


def test_errors_on_a_line_grow_as_it_says():
    size = np.arange(20.0)
    growth, half = cf.growing_halfwidth((2 + size / 2) * np.tile([1, -1], 10), size)
    # |error| = 2 (1 + size / 4), to the rounding of a least-squares line.
    assert (growth, half) == pytest.approx((0.25, 2.0), rel=1e-9)
    # A falling line does not shrink the width; through 0 a tenth of the mean is kept.
    assert cf.growing_halfwidth(20 - size, size)[0] == 0.0
    growth, _ = cf.growing_halfwidth(size, size)
    assert growth == pytest.approx(1 / (0.1 * size.mean()), rel=1e-9)
    assert cf.growing_halfwidth([1.0, 2.0], [0.0, 1.0]) == (0.0, np.inf)
    assert cf.growing_halfwidth([1.0, 2.0, 3.0], [0.0, 1.0, 2.0], 0.5)[0] == pytest.approx(1.0)
    assert cf.growing_halfwidth([1.0, 2.0, 3.0], [1.0, 1.0, 1.0], 0.5) == (0.0, 2.0)


def test_a_table_carries_value_interval_unit_reason_status_and_covariance():
    estimates = [
        cf.Estimate(name="tau", value=[1.0, 2.0], ci=[[0.5, 1.5], [1.0, 3.0]], units="s",
                    long_name="decay", method="fit", dims=("unit",), attrs={"kind": "x"}),
        cf.Estimate(name="n", value=3.0, units="1", long_name="count", method="counted",
                    reason="a count is exact"),
        cf.Estimate(name="m", value=3.0, units="dff", of_data=True, long_name="m", method="told"),
    ]  # fmt: skip
    table = cf.to_dataset(
        estimates, confidence_level=0.8, coords={"unit": ["a", "b"]}, status=["ok", "ok"],
        status_dims=("unit",), covariance=np.eye(2)[None].repeat(2, 0),
        covariance_names=["tau", "n"], covariance_dims=("unit",),
    )  # fmt: skip
    assert list(table.data_vars) == [
        "tau", "tau_ci", "n", "n_ci", "m", "m_ci", "status", "covariance",
    ]  # fmt: skip
    assert table["tau"].attrs == {
        "units": "s", "long_name": "decay", "method": "fit", "kind": "x",
    }  # fmt: skip
    assert table["tau_ci"].attrs == {
        "units": "s", "long_name": "interval of decay", "method": "fit",
        "ci_kind": "confidence", "ci_prob": 0.8, "reason": "",
    }  # fmt: skip
    assert table["tau_ci"].dims == ("unit", "ci_bound")
    assert table["tau_ci"].values.tolist() == [[0.5, 1.5], [1.0, 3.0]]
    assert table["n_ci"].attrs["reason"] == "a count is exact"
    assert table["m_ci"].attrs["reason"] == "no interval is formed for this quantity"
    assert table["n_ci"].shape == (2,) and np.isnan(table["n_ci"]).all()
    assert table["covariance"].dims == ("unit", "parameter", "parameter_")
    assert table["covariance"].attrs == {
        "long_name": "covariance of the parameters named on its axes", "units": "mixed",
    }  # fmt: skip
    assert (
        table["parameter"].values.tolist() == table["parameter_"].values.tolist() == ["tau", "n"]
    )
    bare = cf.to_dataset(estimates[1:2], confidence_level=0.95)
    assert "status" not in bare and "covariance" not in bare
    with pytest.raises(UnitError, match="furlong"):
        cf.Estimate(name="x", value=1.0, units="furlong", long_name="x", method="x")
