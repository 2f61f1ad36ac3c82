"""Scores: closed forms, intervals that cover, rows left out, refusals."""

import numpy as np
import pytest
import xarray as xr
from scipy.signal import lfilter
from scipy.stats import pearsonr
from sklearn.metrics import r2_score

import neurornn as nr
from neurornn._core.confidence import binomial_interval
from neurornn._core.errors import ThreePartError
from neurornn._core.report import parameters_table


def walk(rng, n=4000):
    """A velocity (time, output) in cm/s that is smooth over some 20 bins."""
    t = np.arange(n)
    return 10 * np.stack([np.cos(t / 13.7), np.sin(t / 17.3)], axis=1)


def test_r2_and_correlation_of_a_known_noise(rng):
    true = walk(rng)
    noise_sd = 5.0
    table = nr.decode.movement_scores(
        true, true + noise_sd * rng.standard_normal(true.shape), units="cm/s"
    )
    # Variance of the movement 10^2 / 2, of the noise 25: R2 = 1 - 25 / 50, correlation
    # 1 / sqrt(1 + 25 / 50). 4000 rows: the mean square of the noise is known to sqrt(2 / 4000)
    # = 2.2 %, R2 therefore to 0.011; four of them, and the waves are whole to a per cent.
    assert table["r2"].values == pytest.approx([0.5, 0.5], abs=0.05)
    assert table["correlation"].values == pytest.approx(np.full(2, 1.5**-0.5), abs=0.02)
    assert table["rmse"].values == pytest.approx([5.0, 5.0], rel=0.045)
    assert table["rmse"].attrs["units"] == "cm/s" and table["r2"].attrs["units"] == "1"


def test_scores_agree_with_sklearn_and_scipy(rng):
    true = walk(rng, 700) + [3.0, -40.0]
    predicted = 0.8 * true + 2.0 + rng.standard_normal(true.shape)
    table = nr.decode.movement_scores(true, predicted)
    # The same sums in another order.
    assert table["r2"].values == pytest.approx(
        r2_score(true, predicted, multioutput="raw_values"), abs=1e-12
    )
    assert float(table["r2_mean"]) == pytest.approx(r2_score(true, predicted), abs=1e-12)
    for k in range(2):
        expected = pearsonr(true[:, k], predicted[:, k]).statistic
        assert float(table["correlation"][k]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("angle", [0.0, 1e-6, 30.0, 90.0, 180.0])
def test_angular_error_of_a_rotation_is_the_rotation(rng, angle):
    true = walk(rng, 500)
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    table = nr.decode.movement_scores(true, 0.3 * true @ np.array([[c, s], [-s, c]]))
    # Rounding of unit vectors, 1e-16 rad, not of an arc cosine near 1, which would be 1e-8.
    assert float(table["angular_error"]) == pytest.approx(angle, abs=1e-12)
    assert table["angular_error"].attrs["units"] == "deg"


def test_slow_rows_are_not_in_the_angular_error():
    true = np.concatenate([np.tile([10.0, 0.0], (30, 1)), np.tile([0.4, 0.0], (70, 1))])
    predicted = np.concatenate([np.tile([5.0, 0.0], (30, 1)), np.tile([0.0, 1.0], (70, 1))])
    table = nr.decode.movement_scores(true, predicted)
    assert float(table["angular_error"]) == 0 and int(table["n_moving"]) == 30
    assert table["angular_error"].attrs["min_speed"] == pytest.approx(1.0)
    # With a lower threshold most rows are off by a right angle.
    table = nr.decode.movement_scores(true, predicted, min_speed=0.1)
    assert float(table["angular_error"]) == pytest.approx(90.0) and int(table["n_moving"]) == 100
    # A decoder that says nothing has no direction, and no interval of it.
    table = nr.decode.movement_scores(true, np.zeros_like(true))
    assert np.isnan(table["angular_error"]) and int(table["n_moving"]) == 0
    assert table["angular_error_ci"].attrs["reason"]


def slow_noise(rng, n, keep):
    """Noise of variance 1 that keeps a share `keep` from row to row, (row, 2)."""
    drawn = rng.standard_normal((n + 200, 2))
    return np.sqrt(1 - keep**2) * lfilter([1.0], [1.0, -keep], drawn, axis=0)[200:]


@pytest.mark.slow
def test_the_blocked_interval_covers_the_true_score():
    # Movement and error both last for about 20 rows; the true R2 is 0.5.
    rng, n_sessions, hits = np.random.default_rng(0), 40, 0
    for _ in range(n_sessions):
        true, noise = slow_noise(rng, 3000, 0.95).T
        table = nr.decode.movement_scores(true, true + np.sqrt(0.5) * noise, rng=1)
        low, high = table["r2_ci"].values[0]
        hits += low <= 0.5 <= high
    # 95 % asked; a percentile bootstrap of 20 blocks is known to fall a few per cent short, and
    # 40 sessions scatter by 4 %: 80 % is 3 sd below 93 %.
    assert hits / n_sessions > 0.8


def test_blocks_are_what_makes_the_interval_wide_enough():
    true, noise = slow_noise(np.random.default_rng(1), 3000, 0.95).T
    width = {}
    for n_blocks in (20, 3000):
        table = nr.decode.movement_scores(true, true + noise, n_blocks=n_blocks)
        width[n_blocks] = float(np.diff(table["rmse_ci"].values[0])[0])
    # The mean square of such noise has the variance of (1 - k^2) / (1 + k^2) as many independent
    # rows, k = 0.95: single rows look sqrt(19.5) = 4.4 times too certain. The width over 20 blocks
    # is itself known to 16 %: half of 4.4 is 3 of those.
    assert width[20] / width[3000] > 2.2


def test_rows_with_nan_are_left_out_and_counted(rng):
    true, predicted = walk(rng, 300), walk(rng, 300) + rng.standard_normal((300, 2))
    true[5, 1], predicted[7, 0], predicted[9] = np.nan, np.nan, np.nan
    table = nr.decode.movement_scores(true, predicted)
    keep = np.delete(np.arange(300), [5, 7, 9])
    other = nr.decode.movement_scores(true[keep], predicted[keep])
    assert int(table["n_left_out"]) == 3 and int(table["n_rows"]) == 297
    assert np.array_equal(table["r2"], other["r2"])
    place = nr.decode.place_errors(true, predicted)
    assert int(place["n_left_out"]) == 3


def test_labels_units_and_intervals_travel_into_the_report():
    session = nr.simulate.simulate_reaches(10, 2, rng=0)
    velocity = session["velocity"]
    off = velocity + np.random.default_rng(0).normal(0, 2, velocity.shape)
    table = nr.decode.movement_scores(velocity, off)
    assert table["output"].values.tolist() == ["x", "y"]
    text = parameters_table(table, "Scores").to_text()
    assert "rmse (cm/s)" in text and "angular_error: " in text and " deg" in text
    for name in ("r2", "correlation", "rmse", "r2_mean", "angular_error"):
        low, high = np.moveaxis(table[f"{name}_ci"].values, -1, 0)
        assert np.all((low <= table[name].values) & (table[name].values <= high))


def test_one_output_and_a_constant_output(rng):
    true = walk(rng, 200)[:, 0]
    table = nr.decode.movement_scores(true, true)
    assert table["r2"].values.tolist() == [1.0] and np.isnan(table["angular_error"])
    assert "one output" in table["angular_error_ci"].attrs["reason"]
    table = nr.decode.movement_scores(np.ones(100), rng.standard_normal(100))
    assert np.isnan(table["r2"]).all() and "does not vary" in table["r2_ci"].attrs["reason"]


def test_the_same_seed_gives_the_same_interval(rng):
    true = walk(rng, 400)
    predicted = true + rng.standard_normal(true.shape)
    assert nr.decode.movement_scores(true, predicted).identical(
        nr.decode.movement_scores(true, predicted)
    )


def test_place_errors_by_hand(rng):
    true = rng.uniform(0, 100, (400, 2))
    step = np.tile([[3.0, 4.0], [6.0, 8.0], [0.0, 1.0], [0.0, 2.0]], (100, 1))
    table = nr.decode.place_errors(true, true + step)
    # Distances 5, 10, 1, 2: median 3.5, mean 4.5, the same in every block.
    assert float(table["median_error"]) == pytest.approx(3.5)
    assert float(table["mean_error"]) == pytest.approx(4.5)
    assert table["mean_error_ci"].values == pytest.approx([4.5, 4.5])
    assert table["mean_error"].attrs["units"] == "cm"
    # Along a track.
    assert float(nr.decode.place_errors(true[:, 0], true[:, 0] - 7)["mean_error"]) == (
        pytest.approx(7.0)
    )


def test_fitts_bit_rate_by_hand():
    table = nr.decode.fitts_bit_rate(
        [7.0, 14.0, 7.0, 30.0], 2.0, [0.5, 1.5, np.nan, 9.0], [True, True, False, False]
    )
    # log2(7 / 2 + 1) / 0.5 and log2(14 / 2 + 1) / 1.5 = 2; failed trials are not in it.
    assert float(table["bit_rate"]) == pytest.approx((np.log2(4.5) / 0.5 + 2.0) / 2)
    assert float(table["difficulty"]) == pytest.approx((np.log2(4.5) + 3.0) / 2)
    assert table["bit_rate"].attrs["units"] == "bit/s"
    assert int(table["n_success"]) == 2 and int(table["n_trials"]) == 4
    assert np.isnan(table["bit_rate_ci"]).all() and table["bit_rate_ci"].attrs["reason"]
    nothing = nr.decode.fitts_bit_rate(7.0, 2.0, [np.nan], [False])
    assert np.isnan(nothing["bit_rate"])


def test_target_scores_by_hand():
    true = ["left", "left", "up", "right", None, "up"]
    predicted = ["left", "up", "up", "right", "up", None]
    table = nr.decode.target_scores(true, predicted)
    assert float(table["accuracy"]) == 0.75 and int(table["n_left_out"]) == 2
    assert table["accuracy_ci"].values == pytest.approx(binomial_interval(3, 4))
    matrix = table["confusion"]
    assert matrix.dims == ("true_target", "predicted_target")
    assert int(matrix.sel(true_target="left", predicted_target="up")) == 1
    assert int(matrix.sel(true_target="up", predicted_target="left")) == 0
    assert int(matrix.sum()) == 4 and float(table["chance"]) == 0.5
    numbers = nr.decode.target_scores([0.0, 1.0, np.nan], [0.0, 0.0, 1.0])
    assert float(numbers["accuracy"]) == 0.5 and int(numbers["n_left_out"]) == 1


def shifted(true, seconds):
    return true.assign_coords(time=true["time"] + seconds)


LABELLED = xr.DataArray(
    np.arange(40.0).reshape(20, 2), dims=("time", "axis"), coords={"time": np.arange(20) * 0.02}
)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: nr.decode.movement_scores(np.zeros((9, 2)), np.zeros((8, 2))),
            "predicted \\(8, 2\\)",
        ),
        (
            lambda: nr.decode.movement_scores(np.zeros((9, 2)), np.zeros((9, 3))),
            "predicted \\(9, 3\\)",
        ),
        (
            lambda: nr.decode.movement_scores(np.zeros((9, 2, 2)), np.zeros((9, 2, 2))),
            "true has shape \\(9, 2, 2\\)",
        ),
        (
            lambda: nr.decode.movement_scores(np.full((9, 2), np.nan), np.zeros((9, 2))),
            "0 of 9 rows are without NaN",
        ),
        (
            lambda: nr.decode.movement_scores(["a", "b"], ["a", "b"]),
            "true is a list that is not an array of real numbers",
        ),
        (
            lambda: nr.decode.movement_scores(LABELLED, shifted(LABELLED, 0.02)),
            "differ by up to 0.02 s",
        ),
        (lambda: nr.decode.movement_scores(LABELLED, LABELLED, min_speed=-1.0), "min_speed is -1"),
        (lambda: nr.decode.movement_scores(LABELLED, LABELLED, n_blocks=0), "n_blocks is 0"),
        (lambda: nr.decode.place_errors(np.zeros(3), np.zeros(4)), "predicted \\(4, 1\\)"),
        (
            lambda: nr.decode.fitts_bit_rate(7.0, 2.0, [1.0, 2.0], [True]),
            "time_to_target has shape \\(2,\\)",
        ),
        (
            lambda: nr.decode.fitts_bit_rate(7.0, 2.0, [np.nan], [True]),
            "time_to_target of a successful trial is nan",
        ),
        (
            lambda: nr.decode.fitts_bit_rate(7.0, 0.0, [1.0], [True]),
            "width of a successful trial is 0",
        ),
        (
            lambda: nr.decode.fitts_bit_rate(7.0, 2.0, [1.0], [0.5]),
            "success has shape .* type float64",
        ),
        (
            lambda: nr.decode.target_scores([0, 1], [0]),
            "true has shape \\(2,\\) and predicted \\(1,\\)",
        ),
        (lambda: nr.decode.target_scores([0, 1], ["a", "b"]), "true holds int64 and predicted"),
        (lambda: nr.decode.target_scores([np.nan], [1.0]), "1 trials came, all without a label"),
    ],
)
def test_bad_calls_are_refused_in_three_parts(call, words):
    with pytest.raises(ThreePartError, match=words):
        call()


def test_clocks_that_agree_to_less_than_half_a_bin_are_one_clock():
    table = nr.decode.movement_scores(LABELLED, shifted(LABELLED, 0.005))
    assert float(table["r2_mean"]) == 1.0
