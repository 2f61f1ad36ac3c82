"""Intervals against closed forms and their coverage."""

import numpy as np
import pytest
from scipy import stats

from neurornn._core import confidence as cf
from neurornn._core.errors import DataError


def test_profile_interval_of_a_parabola_is_the_normal_interval():
    low, high = cf.profile_interval(lambda x: ((x - 3.0) / 0.2) ** 2, 3.0, step=0.1)
    # brentq stops at 1e-10; the quantile itself is exact.
    assert (low, high) == pytest.approx((3 - 1.959964 * 0.2, 3 + 1.959964 * 0.2), abs=1e-6)


def test_profile_interval_says_when_a_side_is_open():
    low, high = cf.profile_interval(
        lambda x: 100 * max(0.0, 1 - x) ** 2, 1.5, step=0.1, lower=0.0, upper=50.0
    )
    assert 0 < low < 1
    assert np.isnan(high)


def test_delta_interval_on_the_log_scale_is_lopsided_and_positive():
    low, high = cf.delta_interval(1.0, 2.0, log=True)
    assert 0 < low < 1 < high
    assert low * high == pytest.approx(1.0)
    assert cf.delta_interval(1.0, 0.5, dof=5)[1] > cf.delta_interval(1.0, 0.5)[1]


def test_bootstrap_covers_the_mean():
    rng = np.random.default_rng(0)
    hits = 0
    for k in range(200):
        low, high = cf.bootstrap_interval(rng.exponential(size=60), rng=k, n_resamples=300)
        hits += low <= 1.0 <= high
    # Percentile intervals of a skewed mean cover a little less than .95; sd of 200 trials is .015.
    assert 0.87 <= hits / 200 <= 0.99


def test_bootstrap_of_two_samples_is_no_interval():
    assert np.isnan(cf.bootstrap_interval([1.0, 2.0])).all()


@pytest.mark.parametrize("level", [0.8, 0.9])
def test_conformal_covers_whatever_the_noise(level):
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(400):
        width = cf.conformal_halfwidth(rng.standard_cauchy(50), level)
        covered.append(abs(rng.standard_cauchy()) <= width)
    # Guaranteed at least `level`, at most level + 1/51; binomial sd of 400 draws is .02.
    assert level - 0.06 <= np.mean(covered) <= level + 0.08


def test_conformal_is_infinite_with_too_few_residuals():
    assert cf.conformal_halfwidth([0.1, 0.2], 0.9) == np.inf


def test_scale_interval_covers_the_noise():
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(300):
        sd = rng.standard_normal(20).std(ddof=1)
        low, high = cf.scale_interval(sd, 19)
        hits += low <= 1.0 <= high
    # Exact for Gaussian noise: .95 within three binomial sd of 300 trials.
    assert abs(hits / 300 - 0.95) < 3 * 0.0126


def test_rate_interval_is_garwoods():
    low, high = cf.rate_interval(7, 10.0)
    # Table value for 7 counts: 2.814 to 14.423.
    assert (10 * low, 10 * high) == pytest.approx((2.814, 14.423), abs=2e-3)
    assert cf.rate_interval(0, 10.0)[0] == 0


def test_binomial_interval_is_wilsons():
    low, high = cf.binomial_interval(9, 10)
    z = stats.norm.ppf(0.975)
    centre = (0.9 + z**2 / 20) / (1 + z**2 / 10)
    assert (low + high) / 2 == pytest.approx(centre)


def test_to_dataset_never_turns_a_missing_interval_into_zero():
    table = cf.to_dataset(
        [
            cf.Estimate(
                name="tau", value=[1.0, 2.0], units="s", long_name="x", method="m", dims=("unit",)
            )
        ],
        confidence_level=0.95,
    )
    assert np.isnan(table["tau_ci"]).all()
    assert table["tau_ci"].attrs["reason"]
    assert list(table["ci_bound"].values) == ["lower", "upper"]
    assert table["tau"].attrs["units"] == "s"


def test_level_outside_0_1_is_refused():
    with pytest.raises(DataError, match="between 0 and 1"):
        cf.normal_quantile(95)


def test_a_halfwidth_that_grows_with_what_is_predicted_covers_large_and_small_alike():
    rng = np.random.default_rng(5)
    size = rng.uniform(0, 4, 40_000)
    errors = rng.normal(size=40_000) * (1 + 2 * size)
    growth, half = cf.growing_halfwidth(errors[:20_000], size[:20_000], 0.9)
    # Known by construction; a line through 20,000 errors of sd up to 9 tells it to some per cent.
    assert growth == pytest.approx(2.0, rel=0.15)
    # 1.645 sd of a normal error, to the error of its quantile and of the growth.
    assert half == pytest.approx(1.645, rel=0.1)
    inside = np.abs(errors[20_000:]) <= half * (1 + growth * size[20_000:])
    for low in (0, 1, 2, 3):
        here = (size[20_000:] >= low) & (size[20_000:] < low + 1)
        # 5000 errors in each: 90 % to 0.4 %, and what the growth is off by.
        assert inside[here].mean() == pytest.approx(0.9, abs=0.03)
    assert cf.growing_halfwidth(np.ones(100), np.zeros(100), 0.9) == (0.0, 1.0)
    assert cf.growing_halfwidth(np.ones(3), np.ones(3), 0.9)[1] == np.inf


def test_a_table_prints_as_a_table():
    from neurornn._core.report import Table

    table = Table(title="Cells", columns=["unit", "tau"], rows=[["0", "0.5"], ["1", "0.6"]])
    assert str(table) == table.to_text()
    assert f"{table}".splitlines() == [
        "Cells",
        "",
        "unit  tau",
        "----  ---",
        "0     0.5",
        "1     0.6",
    ]
    assert table._repr_html_() == table.to_html()


def test_random_effects_are_the_published_formulas():
    from scipy import optimize

    x = np.array([1.0, 1.4, 0.7, 2.2, 1.1, 1.9])
    v = np.array([0.02, 0.05, 0.01, 0.04, 0.09, 0.03])
    for level in (0.95, 0.8):
        found = cf.random_effects(x, v, level)

        def q_of(b2):
            weights = 1 / (v + b2)
            return np.sum(weights * (x - np.average(x, weights=weights)) ** 2)

        # Paule and Mandel: Q is what it is expected to be; Viechtbauer: the quantiles of its law.
        tail = (1 - level) / 2
        b2, low, high = (
            optimize.brentq(lambda b, q=q: q_of(b) - q, 0, 100)
            for q in (5, stats.chi2.ppf(1 - tail, 5), stats.chi2.ppf(tail, 5))
        )
        assert found.between_sd == pytest.approx(np.sqrt(b2), rel=1e-6)
        assert found.between_sd_ci == pytest.approx((np.sqrt(low), np.sqrt(high)), rel=1e-6)
        w = 1 / (v + b2)
        mean = np.average(x, weights=w)
        # Hartung and Knapp, never narrower than with known variances.
        scale = max(np.sum(w * (x - mean) ** 2) / 5, 1)
        reach = stats.t.ppf(1 - tail, 5) * np.sqrt(scale / w.sum())
        assert found.mean == pytest.approx(mean, rel=1e-6)
        assert found.ci == pytest.approx((mean - reach, mean + reach), rel=1e-6)
        # Morris: each is drawn to the mean by the share of its error.
        share = v / (v + b2)
        assert found.shrunk == pytest.approx((1 - share) * x + share * mean, rel=1e-6)
        usual = np.average(v + b2, weights=w)
        doubt = 2 / 3 * share**2 * usual * w * (x - mean) ** 2
        variance = (1 - share) * v + share**2 * scale / w.sum() + doubt
        assert found.shrunk_sd == pytest.approx(np.sqrt(variance), rel=1e-6)


def test_estimates_that_agree_have_nothing_between_them():
    found = cf.random_effects([1.0, 1.01, 0.99], [0.1, 0.2, 0.1])
    assert found.between_sd == 0.0 and found.between_sd_ci[0] == 0.0
    assert found.shrunk == pytest.approx(np.full(3, found.mean))
    one = cf.random_effects([2.0], [0.04])
    assert (one.mean, one.shrunk.tolist(), one.shrunk_sd.tolist()) == (2.0, [2.0], [0.2])
    assert np.isnan([*one.ci, one.between_sd, *one.between_sd_ci]).all()
    none = cf.random_effects([], [])
    assert np.isnan(none.mean) and not len(none.shrunk)
