"""The table of a league from made-up scores: every entry and interval by the same sums by hand."""

import numpy as np
import pytest

from neurornn._core.confidence import bootstrap_interval
from neurornn._core.rng import derived_seed
from neurornn.compare.scores import score_table

#: Squared error, squared deviation, log-likelihood, that of the mean, number of values.
N_QUANTITIES = 5


def made(seed, n_seeds, n_horizons=2, n_blocks=6, error=1.0):
    rng = np.random.default_rng(seed)
    rows = np.empty((n_seeds, n_horizons, n_blocks, N_QUANTITIES))
    rows[..., 0] = error * rng.uniform(1, 2, rows.shape[:-1])
    # What belongs to the data is the same for all.
    rows[..., 1] = 4 + np.arange(n_blocks)
    rows[..., 2] = -10 * error + rng.normal(size=rows.shape[:-1])
    rows[..., 3] = -20.0
    rows[..., 4] = 8.0
    return rows


def table_of(scored, level=0.9, rng=3):
    status, weights = dict.fromkeys(scored, "ok"), {n: 10 + k for k, n in enumerate(scored)}
    n_horizons = next(iter(scored.values())).shape[1]
    return score_table(scored, status, weights, (1, 10)[:n_horizons], level, rng)


def resampled(parts, statistic, level, seed):
    """Interval over blocks, the same for all, and over the seeds of each."""
    draw = np.random.default_rng(derived_seed(seed, 1))

    def of(picked):
        return statistic(*[
            p[draw.integers(len(p), size=len(p))[:, None], picked].reshape(-1, N_QUANTITIES)
            for p in parts
        ])  # fmt: skip

    blocks = np.arange(parts[0].shape[1])
    return bootstrap_interval(blocks, of, confidence_level=level, rng=seed)


def r2(rows):
    return 1 - rows[:, 0].sum() / rows[:, 1].sum()


def gain(rows):
    return (rows[:, 2] - rows[:, 3]).sum() / rows[:, 4].sum()


@pytest.mark.slow
def test_every_entry_is_that_of_its_rows():
    scored = {"good": made(0, 3, error=0.5), "bad": made(1, 3), "solved": made(2, 1, error=0.7)}
    table = table_of(scored)
    seed = derived_seed(3, 7)
    for i, rows in enumerate(scored.values()):
        for j in range(2):
            flat = rows[:, j].reshape(-1, N_QUANTITIES)
            best = scored["good"][:, j]
            # The same sums in another order.
            assert table["r2"].values[i, j] == pytest.approx(r2(flat), abs=1e-12)
            assert table["log_likelihood"].values[i, j] == pytest.approx(gain(flat), abs=1e-12)
            behind = r2(best.reshape(-1, N_QUANTITIES)) - r2(flat)
            assert table["r2_behind_best"].values[i, j] == pytest.approx(behind, abs=1e-12)
            for name, parts, of in (
                ("r2", [rows[:, j]], r2),
                ("log_likelihood", [rows[:, j]], gain),
                ("r2_behind_best", [best, rows[:, j]], lambda a, b: r2(a) - r2(b)),
            ):
                expected = resampled(parts, of, 0.9, seed)
                if name == "r2_behind_best" and i == 0:
                    expected = (0.0, 0.0)
                found = table[f"{name}_ci"].values[i, j]
                assert found == pytest.approx(expected, abs=1e-12), (name, i, j)
            each = [r2(s) for s in rows[:, j]]
            sd = np.std(each, ddof=1) if len(each) > 1 else np.nan
            assert table["r2_seed_sd"].values[i, j] == pytest.approx(sd, abs=1e-12, nan_ok=True)
    assert table["n_weights"].values.tolist() == [10, 11, 12]
    assert table["n_weights"].attrs == {"units": "1", "long_name": "weights that are fitted"}
    assert table["r2_seed_sd"].attrs == {
        "units": "1", "long_name": "sd of R2 over seeds", "reason": "fewer than 2 seeds",
    }  # fmt: skip
    assert table["r2"].attrs["units"] == "1" and table["log_likelihood"].attrs["units"] == "nats"
    assert table["r2"].attrs["method"] == (
        "test part of one split; percentile bootstrap over test blocks and seeds"
    )
    assert table["r2_ci"].attrs["ci_prob"] == 0.9
    assert table["r2_ci"].attrs["reason"] == "fewer than 3 test blocks"
    assert table["horizon"].values.tolist() == [1, 10]
    assert table["status"].values.tolist() == ["ok"] * 3


def test_blocks_without_a_scored_value_at_a_horizon_are_left_out():
    rows = made(0, 2)
    rows[:, 1, [0, 3]] = 0.0
    table = table_of({"one": rows})
    kept = table_of({"one": rows[:, 1:, [1, 2, 4, 5]]})
    assert table["r2"].values[0, 1] == kept["r2"].values[0, 0]
    assert np.array_equal(table["r2_ci"].values[0, 1], kept["r2_ci"].values[0, 0])
    none = rows.copy()
    none[:, 1] = 0.0
    table = table_of({"one": none, "two": none})
    for name in ("r2", "log_likelihood", "r2_behind_best", "r2_seed_sd"):
        assert np.isnan(table[name].values[:, 1]).all()
        assert np.isfinite(table[name].values[:, 0]).all()
    assert np.isnan(table["r2_ci"].values[:, 1]).all()


def test_equal_seeds_have_no_spread_and_a_broken_model_is_behind_nobody():
    same = np.repeat(made(0, 1), 3, axis=0)
    broken = made(1, 3)
    broken[..., 0] = np.nan
    table = table_of({"same": same, "broken": broken})
    assert table["r2_seed_sd"].values[0].tolist() == [0.0, 0.0]
    assert table["r2_behind_best"].values[0].tolist() == [0.0, 0.0]
    assert np.isnan(table["r2_behind_best"].values[1]).all()
