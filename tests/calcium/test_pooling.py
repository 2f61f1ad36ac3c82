"""Shared time constants: random effects over sessions, empirical Bayes over cells."""

import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.confidence import random_effects
from neurornn._core.errors import DataError, KindError, ShapeError


def table(values, log_sd, unit=None, status=None):
    """A table of kinetics as `Kinetics` writes it, with given estimates."""
    values, log_sd = np.asarray(values, float), np.broadcast_to(log_sd, len(values))
    ci = values[:, None] * np.exp(1.959964 * log_sd[:, None] * np.array([-1, 1]))
    unit = np.arange(len(values)) if unit is None else unit
    status = ["ok"] * len(values) if status is None else status
    return xr.Dataset(
        {
            "tau_decay": ("unit", values),
            "tau_decay_ci": (("unit", "ci_bound"), ci, {"ci_prob": 0.95}),
            "status": ("unit", status),
        },
        coords={"unit": unit},
    )


def test_equal_estimates_pool_by_their_precision():
    # Without any spread between groups: the weighted mean; its interval with the known variances.
    x, v = np.array([1.0, 1.0, 1.0]), np.array([0.1, 0.2, 0.4])
    fit = random_effects(x, v)
    assert fit.mean == pytest.approx(1.0)
    assert fit.between_sd == 0.0 and fit.between_sd_ci[0] == 0.0
    assert (fit.ci[1] - fit.ci[0]) / 2 == pytest.approx(4.302653 / np.sqrt(1 / v @ np.ones(3)))
    assert fit.shrunk == pytest.approx([1.0, 1.0, 1.0])


def test_random_effects_agree_with_statsmodels():
    meta = pytest.importorskip("statsmodels.stats.meta_analysis")
    rng = np.random.default_rng(0)
    v = rng.uniform(0.01, 0.05, 12)
    x = rng.normal(0.3, np.sqrt(0.04 + v))
    theirs = meta.combine_effects(x, v, method_re="iterated", use_t=True)
    ours = random_effects(x, v)
    # Their fixed point and our root are the same estimator, iterated to 1e-5 and to rounding.
    assert ours.between_sd**2 == pytest.approx(theirs.tau2, rel=1e-3)
    assert ours.mean == pytest.approx(theirs.mean_effect_re, rel=1e-4)


@pytest.mark.parametrize("between", [0.0, 0.1, 0.3])
def test_coverage_of_mean_spread_and_members(between):
    rng = np.random.default_rng(1)
    hits = {"mean": [], "sd": [], "member": []}
    for _ in range(300):
        truth = rng.normal(np.log(0.5), between, 8)
        v = rng.uniform(0.02, 0.15, 8) ** 2
        fit = random_effects(rng.normal(truth, np.sqrt(v)), v)
        hits["mean"].append(fit.ci[0] <= np.log(0.5) <= fit.ci[1])
        hits["sd"].append(fit.between_sd_ci[0] <= between <= fit.between_sd_ci[1])
        hits["member"].append(np.mean(np.abs(fit.shrunk - truth) <= 1.96 * fit.shrunk_sd))
    # 300 draws: three binomial standard errors of 0.95 are 0.038. Empirical Bayes with eight
    # members is a little off either way; at a spread of 0 all intervals are wide.
    assert np.mean(hits["mean"]) > 0.91
    assert np.mean(hits["sd"]) > 0.91
    assert np.mean(hits["member"]) > 0.90


def test_sessions_of_simulated_cells_share_their_time_constant():
    days = [
        nr.simulate.simulate_calcium(3, 120.0, 30.0, tau_decay=[0.3, 0.6, 1.0], snr=6, rng=day)
        for day in range(4)
    ]
    fits = [nr.calcium.Kinetics().fit(day["dff"]) for day in days]
    pooled = nr.calcium.pool_sessions(fits)
    # Four sessions of about 3 % each.
    assert pooled["tau_decay"].values == pytest.approx([0.3, 0.6, 1.0], rel=0.06)
    assert (pooled["n_sessions"] == 4).all() and (pooled["status"] == "ok").all()
    low, high = pooled["tau_decay_ci"].values.T
    assert ((low < pooled["tau_decay"]) & (pooled["tau_decay"] < high)).all()
    # One true constant: the spread between sessions is compatible with none.
    assert (pooled["between_sd_ci"].isel(ci_bound=0) < 0.05).all()


def test_cells_are_matched_by_label_and_bad_sessions_do_not_count():
    first = table([0.5, 0.8], 0.05, unit=["a", "b"])
    second = table([0.8, 0.52], 0.05, unit=["b", "a"], status=["too_noisy", "ok"])
    pooled = nr.calcium.pool_sessions([first, second])
    assert list(pooled["unit"].values) == ["a", "b"]
    assert float(pooled["tau_decay"][0]) == pytest.approx(np.sqrt(0.5 * 0.52))
    assert list(pooled["n_sessions"].values) == [2, 1]
    assert list(pooled["status"].values) == ["ok", "too_few_sessions"]
    assert np.isnan(pooled["tau_decay_ci"][1]).all()


def test_a_badly_known_cell_moves_to_its_group_and_a_well_known_one_stays():
    values = [0.5, 0.52, 0.48, 0.5, 0.51, 0.9, 0.505]
    sd = np.array([0.01, 0.01, 0.01, 0.01, 0.01, 0.5, 0.01])
    shared = nr.calcium.share_kinetics(table(values, sd))
    assert float(shared["tau_decay"][0]) == pytest.approx(0.5, rel=0.01)
    assert float(shared["tau_decay"][5]) == pytest.approx(0.5, rel=0.05)
    width = np.log(shared["tau_decay_ci"]).diff("ci_bound").values.ravel()
    assert width[5] < 2 * 1.96 * 0.5 / 2


def test_groups_keep_to_themselves_and_bad_cells_get_the_population():
    values = [0.5, 0.51, 0.49, 2.0, 2.02, 1.98, 7.0]
    status = ["ok"] * 6 + ["too_noisy"]
    groups = ["6f"] * 3 + ["6s"] * 4
    shared = nr.calcium.share_kinetics(table(values, 0.02, status=status), groups=groups)
    assert list(shared["group"].values) == ["6f", "6s"]
    assert shared["population"].values == pytest.approx([0.5, 2.0], rel=0.01)
    assert list(shared["n_cells"].values) == [3, 3]
    assert float(shared["tau_decay"][6]) == pytest.approx(2.0, rel=0.01)
    assert shared["status"][6] == "too_noisy"


def test_bad_input_says_what_to_do():
    good = table([0.5, 0.6], 0.05)
    with pytest.raises(DataError, match="two sessions"):
        nr.calcium.pool_sessions([good])
    with pytest.raises(DataError, match="same label"):
        nr.calcium.pool_sessions([good, table([0.5, 0.6], 0.05, unit=["a", "a"])])
    with pytest.raises(DataError, match="confidence_level"):
        nr.calcium.pool_sessions([good, good], confidence_level=95)
    with pytest.raises(KindError, match="fitted Kinetics"):
        nr.calcium.pool_sessions([good, nr.calcium.Kinetics()])
    with pytest.raises(ShapeError, match="groups"):
        nr.calcium.share_kinetics(good, groups=["a"])
    with pytest.raises(DataError, match="tau_decay"):
        nr.calcium.share_kinetics(good, name="tau")
