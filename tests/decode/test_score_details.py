"""Scores of decoding to the last digit: sums over rows, blocks by hand, and every label."""

import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.confidence import binomial_interval, bootstrap_interval
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn._core.rng import derived_seed


def movement(n=203, seed=0):
    rng = np.random.default_rng(seed)
    true = np.cumsum(rng.normal(size=(n, 2)), axis=0) + [40.0, -7.0]
    return true, true + rng.normal(size=(n, 2))


def cut(rows, n_blocks=20):
    edges = np.round(np.linspace(0, len(rows), n_blocks + 1)).astype(int)
    return np.split(np.asarray(rows), edges[1:-1])


def over_blocks(rows, statistic, level=0.95, seed=0, n_blocks=20):
    blocks = cut(rows, n_blocks)
    return bootstrap_interval(
        np.arange(len(blocks)), lambda k: statistic(np.concatenate([blocks[i] for i in k])),
        confidence_level=level, rng=seed,
    )  # fmt: skip


def r2_of(pair):
    true, told = pair[:, 0], pair[:, 1]
    return 1 - np.sum((true - told) ** 2) / np.sum((true - true.mean()) ** 2)


def test_intervals_resample_twenty_blocks_whole():
    true, told = movement()
    table = nr.decode.movement_scores(true, told)
    for k in range(2):
        pair = np.stack([true[:, k], told[:, k]], axis=1)
        # Sums about the mean of all rows against sums about that of each draw: rounding.
        for name, of in (
            ("r2", r2_of),
            ("correlation", lambda p: np.corrcoef(p.T)[0, 1]),
            ("rmse", lambda p: np.sqrt(np.mean((p[:, 0] - p[:, 1]) ** 2))),
        ):
            assert float(table[name][k]) == pytest.approx(of(pair), abs=1e-10)
            expected = over_blocks(pair, of)
            assert table[f"{name}_ci"].values[k] == pytest.approx(expected, abs=1e-10)
    both = np.concatenate([true, told], axis=1)
    mean = lambda p: (r2_of(p[:, [0, 2]]) + r2_of(p[:, [1, 3]])) / 2  # noqa: E731
    assert float(table["r2_mean"]) == pytest.approx(mean(both), abs=1e-10)
    assert table["r2_mean_ci"].values == pytest.approx(over_blocks(both, mean), abs=1e-10)
    length = np.linalg.norm(true, axis=1)
    inner = np.sum(true * told, axis=1) / length / np.linalg.norm(told, axis=1)
    angle = np.degrees(np.arccos(inner))
    moving = length > 0.1 * np.quantile(length, 0.99)
    assert int(table["n_moving"]) == moving.sum()
    # An arc cosine of angles of degrees loses some digits.
    assert float(table["angular_error"]) == pytest.approx(np.median(angle[moving]), abs=1e-6)
    expected = over_blocks(np.where(moving, angle, np.nan), np.nanmedian, seed=derived_seed(0, 1))
    assert table["angular_error_ci"].values == pytest.approx(expected, abs=1e-6)
    how = "203 rows; percentile bootstrap over 20 blocks"
    told_of = {
        "r2": ("1", "R2"),
        "correlation": ("1", "correlation of true and decoded"),
        "rmse": ("1", "root mean square error"),
        "r2_mean": ("1", "mean R2 over outputs"),
        "angular_error": ("deg", "median angle between true and decoded"),
    }
    for name, (units, long_name) in told_of.items():
        said = table[name].attrs
        assert (said["units"], said["long_name"], said["method"]) == (units, long_name, how)
        assert table[f"{name}_ci"].attrs["ci_prob"] == 0.95
    assert table["output"].values.tolist() == [0, 1]
    assert table["n_rows"].attrs == {"units": "1", "long_name": "rows scored"}
    assert table["n_left_out"].attrs == {"units": "1", "long_name": "rows with NaN"}
    assert table["n_moving"].attrs == {"units": "1", "long_name": "rows above min_speed"}
    assert (int(table["n_rows"]), int(table["n_left_out"])) == (203, 0)


def test_level_blocks_and_seed_are_those_asked_for():
    true, told = (x[:, 0] for x in movement(40))
    table = nr.decode.movement_scores(true, told, n_blocks=7, confidence_level=0.5, rng=4)
    pair = np.stack([true, told], axis=1)
    expected = over_blocks(pair, r2_of, 0.5, 4, 7)
    assert table["r2_ci"].values[0] == pytest.approx(expected, abs=1e-10)
    assert table["r2"].attrs["method"] == "40 rows; percentile bootstrap over 7 blocks"
    # Never more blocks than rows.
    few = nr.decode.movement_scores(true[:5], told[:5])
    assert few["rmse"].attrs["method"] == "5 rows; percentile bootstrap over 5 blocks"
    two = nr.decode.movement_scores(true, told, n_blocks=2)
    for name in ("r2", "correlation", "rmse", "r2_mean"):
        assert np.isnan(two[f"{name}_ci"]).all()
        assert two[f"{name}_ci"].attrs["reason"] == "fewer than 3 blocks"
    three = nr.decode.movement_scores(true, told, n_blocks=3)
    assert np.isfinite(three["rmse_ci"]).all()
    assert three["r2_ci"].attrs["reason"] == (
        "a true or a decoded output does not vary, or not in some of the blocks"
    )


def test_what_varies_by_rounding_alone_does_not_vary():
    flat = np.full(40, 0.1)
    flat[::2] = np.nextafter(0.1, 1)
    told = np.linspace(0, 1, 40)
    table = nr.decode.movement_scores(flat, told)
    assert np.isnan(table["r2"]).all() and np.isnan(table["correlation"]).all()
    other = nr.decode.movement_scores(told, flat)
    assert np.isnan(other["correlation"]).all() and np.isfinite(other["r2"]).all()
    # A small movement far from 0 is one.
    far = 1e6 + told
    assert float(nr.decode.movement_scores(far, far)["r2_mean"]) == 1.0


@pytest.mark.slow
def test_an_angle_needs_a_movement_and_a_direction():
    true = np.tile([[3.0, 4.0]], (30, 1))
    true[:10] = [0.0, 2.0]
    told = np.tile([[4.0, 3.0]], (30, 1))
    told[20:] = 0.0
    # Lengths 2 and 5: at 2 none of the first ten is longer.
    table = nr.decode.movement_scores(true, told, min_speed=2.0)
    assert int(table["n_moving"]) == 10 and table["angular_error"].attrs["min_speed"] == 2.0
    # From (3, 4) to (4, 3): an angle whose cosine is 24 / 25.
    expected = np.degrees(np.arccos(0.96))
    assert float(table["angular_error"]) == pytest.approx(expected, abs=1e-9)
    # The ten stand in blocks of their own; the others have no row.
    assert table["angular_error_ci"].values == pytest.approx([expected] * 2, abs=1e-9)
    none = nr.decode.movement_scores(true, told, units="cm/s", min_speed=5.0)
    assert int(none["n_moving"]) == 0 and none["angular_error"].attrs["min_speed"] == 5.0
    said = none["angular_error_ci"].attrs["reason"]
    assert said == "no row moves faster than 5 cm/s"
    alone = nr.decode.movement_scores(true[:, 1], told[:, 1])
    assert alone["angular_error_ci"].attrs["reason"] == "one output has no direction"
    assert int(alone["n_moving"]) == 0 and np.isnan(alone["angular_error"].attrs["min_speed"])
    assert int(nr.decode.movement_scores(true, told, min_speed=0.0)["n_moving"]) == 20
    with pytest.raises(DataError, match="min_speed is -1 1"):
        nr.decode.movement_scores(true, told, min_speed=-1.0)


def test_errors_of_place_have_intervals_of_blocks():
    true, told = movement(101)
    table = nr.decode.place_errors(true, told, n_blocks=9, confidence_level=0.8, rng=2)
    error = np.hypot(*(true - told).T)
    for name, of in (("median", np.median), ("mean", np.mean)):
        one = table[f"{name}_error"]
        assert float(one) == pytest.approx(of(error), abs=1e-12)
        expected = over_blocks(error, of, 0.8, 2, 9)
        assert table[f"{name}_error_ci"].values == pytest.approx(expected, abs=1e-12)
        assert one.attrs["long_name"] == f"{name} distance between true and decoded place"
        assert one.attrs["method"] == "101 rows; percentile bootstrap over 9 blocks"
        assert one.attrs["units"] == "cm"
        assert table[f"{name}_error_ci"].attrs["reason"] == "fewer than 3 blocks"
        assert table[f"{name}_error_ci"].attrs["ci_prob"] == 0.8
    plain = nr.decode.place_errors(true, told)
    expected = over_blocks(error, np.mean)
    assert plain["mean_error_ci"].values == pytest.approx(expected, abs=1e-12)
    assert plain["mean_error_ci"].attrs["ci_prob"] == 0.95
    metres = xr.DataArray(true, dims=("time", "axis"), attrs={"units": "m"})
    assert nr.decode.place_errors(metres, told)["mean_error"].attrs["units"] == "m"
    assert nr.decode.place_errors(metres, told, units="mm")["mean_error"].attrs["units"] == "mm"


def test_rates_of_trials_have_a_bootstrap_over_trials():
    time = np.array([0.5, 1.0, 2.0, np.nan, 4.0])
    hit = [True, True, True, False, True]
    table = nr.decode.fitts_bit_rate([6.0] * 5, [2.0, 2.0, 6.0, 2.0, 2.0], time, hit)
    # log2(6 / 2 + 1) = 2 and log2(6 / 6 + 1) = 1 bit.
    rates = np.array([4.0, 2.0, 0.5, 0.5])
    assert float(table["bit_rate"]) == rates.mean() and float(table["difficulty"]) == 1.75
    assert table["bit_rate_ci"].values.tolist() == list(bootstrap_interval(rates, rng=0))
    assert table["bit_rate"].attrs["method"] == (
        "mean over 4 successful of 5 trials; bootstrap over trials"
    )
    assert table["bit_rate"].attrs["long_name"] == "Fitts bit rate"
    assert table["bit_rate_ci"].attrs["reason"] == "fewer than 3 successful trials"
    assert table["difficulty"].attrs == {"units": "bit", "long_name": "mean index of difficulty"}
    assert table["n_trials"].attrs == {"units": "1", "long_name": "trials"}
    assert table["n_success"].attrs == {"units": "1", "long_name": "successful trials"}
    narrow = nr.decode.fitts_bit_rate(6.0, 2.0, time, hit, confidence_level=0.5, rng=7)
    assert narrow["bit_rate_ci"].attrs["ci_prob"] == 0.5
    expected = bootstrap_interval(2 / time[hit], confidence_level=0.5, rng=7)
    assert narrow["bit_rate_ci"].values == pytest.approx(expected)
    numbers = nr.decode.fitts_bit_rate([6.0] * 5, [2.0, 2.0, 6.0, 2.0, 2.0], time, [1, 1, 1, 0, 1])
    assert numbers.identical(table)
    none = nr.decode.fitts_bit_rate(6.0, 2.0, [np.nan], [False])
    assert np.isnan(none["difficulty"]) and int(none["n_success"]) == 0
    for wrong, kind, said in (
        ({"success": [0, 2]}, KindError, r"success has shape \(2,\) and type int64"),
        ({"success": [[True, False]]}, KindError, r"success has shape \(1, 2\)"),
        ({"distance": [1.0, np.inf]}, DataError, "infinite|distance of a successful trial is inf"),
        ({"width": [1.0, -2.0]}, DataError, "width of a successful trial is -2"),
        ({"distance": [1.0, 1.0, 1.0]}, ShapeError, r"distance has shape \(3,\)"),
    ):
        given = {"distance": 6.0, "width": 2.0, "time_to_target": [1.0, 1.0],
                 "success": [1, 1], **wrong}  # fmt: skip
        with pytest.raises(kind, match=said):
            nr.decode.fitts_bit_rate(*given.values())


def test_targets_are_counted_in_the_order_of_their_names():
    table = nr.decode.target_scores([3, 1, 1, 3, 3], [1, 1, 2, 3, 3], confidence_level=0.8)
    assert table["true_target"].values.tolist() == [1, 2, 3]
    assert table["predicted_target"].values.tolist() == [1, 2, 3]
    assert table["confusion"].values.tolist() == [[1, 1, 0], [0, 0, 0], [1, 0, 2]]
    assert table["confusion"].attrs == {"units": "1", "long_name": "trials"}
    assert float(table["accuracy"]) == 0.6 and float(table["chance"]) == 0.6
    assert table["accuracy_ci"].values.tolist() == list(binomial_interval(3, 5, 0.8))
    assert table["accuracy"].attrs["method"] == "5 trials; Wilson"
    assert table["accuracy"].attrs["long_name"] == "share of trials decoded right"
    assert table["accuracy_ci"].attrs["ci_prob"] == 0.8
    assert table["chance"].attrs == {
        "units": "1", "long_name": "share of the most frequent target",
    }  # fmt: skip
    assert table["n_trials"].attrs == {"units": "1", "long_name": "trials with both labels"}
    assert table["n_left_out"].attrs == {"units": "1", "long_name": "without a label"}
    assert (int(table["n_trials"]), int(table["n_left_out"])) == (5, 0)
    for true, told in (([[1, 2]], [[1, 2]]), ([1, 2], [1])):
        with pytest.raises(ShapeError, match="One label for each trial in both"):
            nr.decode.target_scores(true, told)
