"""Samples: whatever comes becomes rows with joins, and nothing crosses a join."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from neurornn._core.errors import DataError, ShapeError, SplitError
from neurornn.data.moments import (
    Histories,
    fold_moments,
    lagged_moments,
    ridge_weights,
    two_penalty_weights,
)
from neurornn.data.rows import as_samples, is_list_of_trials
from neurornn.data.samples import Samples, joined, parts_in_order, stacked
from neurornn.data.series import as_series


def made(lengths, n_units=2, n_out=1):
    """Rows that say which run and row they are: value = 100 run + row, target = its negative."""
    rows = [100 * k + np.arange(n)[:, None] + np.zeros(n_units) for k, n in enumerate(lengths)]
    values = np.concatenate(rows)
    return Samples(
        values=values,
        run=np.repeat(np.arange(len(lengths)), lengths),
        unit=np.arange(n_units),
        targets=-values[:, :n_out],
        output=np.arange(n_out),
        time=np.arange(1.0, len(values) + 1),
        sampling_rate=1.0,
    )


def series(time, values=None):
    values = np.sin(np.arange(len(time))[:, None] * [1.0, 2.0]) if values is None else values
    return xr.DataArray(values, dims=("time", "unit"), coords={"time": time})


def test_a_series_a_clock_set_back_trial_labels_and_trial_arrays_find_the_same_joins():
    gap = np.concatenate([np.arange(40), np.arange(60, 100)]) / 10
    back = np.concatenate([np.arange(40), np.arange(40)]) / 10
    values = np.random.default_rng(0).normal(size=(80, 2))
    labels = np.repeat(["first", "second"], 40)
    found = [
        as_samples(series(gap, values)),
        as_samples(series(back, values)),
        as_samples(values, trials=labels),
        as_samples(xr.DataArray(values.reshape(2, 40, 2), dims=("trial", "time", "unit"))),
        as_series(series(gap, values), sampling_rate=10.0),
        joined([as_samples(values[:40]), as_samples(values[40:])]),
    ]
    for samples in found:
        assert samples.blocks.tolist() == [[0, 40], [40, 80]]
        assert samples.stretches == [slice(0, 40), slice(40, 80)]
        assert np.array_equal(samples.values, values)


def test_a_mask_drops_rows_and_a_hole_is_a_join():
    mask = np.array([[True, True, False, True], [True, True, True, False]])
    counts = xr.DataArray(
        np.arange(8.0).reshape(2, 4, 1), dims=("trial", "time", "unit"),
        coords={"mask": (("trial", "time"), mask)},
    )  # fmt: skip
    samples = as_samples(counts)
    assert samples.usable.tolist() == mask.ravel().tolist()
    kept = samples.pick(samples.mask)
    assert kept.values.ravel().tolist() == [0, 1, 3, 4, 5, 6]
    assert kept.blocks.tolist() == [[0, 2], [2, 3], [3, 6]]


def test_what_was_recorded_usable_and_known():
    values = np.array([[1.0, 2.0], [np.nan, 3.0], [np.nan, np.nan]])
    samples = as_samples(values, np.array([0.0, np.nan, 1.0]))
    assert samples.usable.tolist() == [True, False, False]
    assert samples.seen.tolist() == [True, True, False]
    assert samples.scored.tolist() == [True, False, True]
    assert as_samples(values, np.array(["a", "b", "a"])).scored.all()


def test_time_and_rate_travel():
    samples = as_series(series(np.arange(1, 81) / 20))
    assert samples.sampling_rate == pytest.approx(20.0)
    assert samples.dt == pytest.approx(0.05)
    picked = samples.pick(np.arange(80) >= 30)
    assert picked.clock[0] == pytest.approx(31 / 20)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(2, 12), st.data())
def test_every_row_past_a_warm_up_is_scored_once_and_no_window_crosses_a_join(lengths, n, data):
    warm = data.draw(st.integers(0, n - 1))
    horizon = data.draw(st.integers(0, 2))
    samples = made(lengths)
    scorable = [
        100 * k + t + horizon
        for k, length in enumerate(lengths)
        # A run that is hardly longer than the warm-up has no window.
        if length - horizon > warm + 1
        for t in range(warm, length - horizon)
    ]
    if not scorable:
        with pytest.raises(DataError, match="No stretch of the recording is longer"):
            samples.windows(n, warm, horizon)
        return
    cut = samples.windows(n, warm, horizon)
    assert sorted(-cut.targets[cut.mask]) == sorted(map(float, scorable))
    runs = samples.run[cut.edges[:, 0]], samples.run[cut.edges[:, 1] - 1 + horizon]
    assert np.array_equal(*runs)
    # The row of a target is `horizon` after the row of its values.
    rows = cut.mask[..., 0]
    assert np.array_equal(-cut.targets[rows][:, 0], cut.values[rows][:, 0] + horizon)


def test_a_row_without_a_value_or_a_target_is_not_scored():
    samples = made([10])
    samples.values[3, 1] = np.nan
    samples.targets[6] = np.nan
    cut = samples.windows(10)
    assert np.flatnonzero(~cut.mask[0, :, 0]).tolist() == [3, 6]
    assert cut.values[0, 3].tolist() == [3, 0] and cut.targets[0, 6] == 0


def test_parts_in_order_leave_the_gap_out_and_none_empty():
    samples = made([50, 50])
    train, test = samples.split((0.7, 0.3), gap=5)
    assert train.n_rows == 70 and test.n_rows == 25
    assert train.values[-1, 0] == 119 and test.values[0, 0] == 125
    assert train.blocks.tolist() == [[0, 50], [50, 70]]
    with pytest.raises(SplitError, match="4 left out between neighbours"):
        made([10]).split((0.7, 0.3), gap=4)
    # Three things in three parts, however small a fraction is.
    assert [p.tolist() for p in parts_in_order(3, (0.98, 0.01, 0.01))] == [[0], [1], [2]]


def test_lists_are_told_from_arrays_and_their_labels_compared():
    trial = np.zeros((5, 2))
    assert is_list_of_trials([trial, trial[:3]]) and is_list_of_trials((trial,))
    for other in ([], [np.zeros(5)], trial, [[0.0, 1.0], [2.0, 3.0]], [trial, np.zeros(3)]):
        assert not is_list_of_trials(other)
    ab, ba = (
        made([4])._replace(unit=np.array(names), units_named=True)
        for names in (["a", "b"], ["b", "a"])
    )
    with pytest.raises(DataError, match=r"units of trial 1 are \['b', 'a'\]"):
        joined([ab, ba])
    # Without labels nothing is known of them.
    assert joined([ab, made([4])]).unit.tolist() == ["a", "b"]
    assert stacked([np.ones((2, 1)), np.ones((3, 1))])[0].ravel().tolist() == [1, 1, 0]


def test_rows_and_targets_of_different_lengths_are_refused():
    with pytest.raises(ShapeError, match="X has 5 rows and y shape"):
        as_samples(np.zeros((5, 2)), np.zeros(4))
    with pytest.raises(ShapeError, match="trials has shape"):
        as_samples(np.zeros((5, 2)), np.zeros(5), trials=[1, 2])


def lagged(parts, n_lags):
    """Histories row by row, oldest first, zeros before the start, and a 1."""
    rows = []
    for part in parts:
        for t in range(len(part)):
            lags = [part[t - k] if t >= k else np.zeros(part.shape[1]) for k in range(n_lags)]
            rows.append(np.concatenate([*lags[::-1], [1.0]]))
    return np.array(rows)


def parts_of(rng, lengths, n_units=3):
    return [rng.normal(size=(n, n_units)) for n in lengths]


def test_moments_are_sums_over_histories_and_add_up(monkeypatch):
    # Pieces of 7 rows, so that pieces end within runs.
    monkeypatch.setattr("neurornn.data.moments.CHUNK", 7)
    rng = np.random.default_rng(0)
    parts = parts_of(rng, (20, 9, 31))
    y, used = rng.normal(size=(60, 2)), rng.random(60) < 0.7
    sums = lagged_moments(Histories(parts, 4), y, used)
    h = lagged(parts, 4)[used]
    # Sums of 60 products in another order.
    np.testing.assert_allclose(sums.gram, h.T @ h, rtol=0, atol=1e-12)
    np.testing.assert_allclose(sums.cross, h.T @ y[used], rtol=0, atol=1e-12)
    np.testing.assert_allclose(sums.squares, (y[used] ** 2).sum(0), rtol=1e-12)
    folds = [(np.arange(25, 60), np.arange(20)), (np.arange(15), np.arange(20, 60))]
    total, rests = fold_moments(Histories(parts, 4), y, used, folds)
    np.testing.assert_allclose(total.gram, sums.gram, atol=1e-12)
    for (train, _), rest in zip(folds, rests, strict=True):
        inside = np.isin(np.arange(60), train) & used
        alone = lagged_moments(Histories(parts, 4), y, inside)
        assert rest.n_rows == alone.n_rows
        np.testing.assert_allclose(rest.gram, alone.gram, atol=1e-11)
        np.testing.assert_allclose(rest.squares, alone.squares, atol=1e-11)
    # Fewer lags are the last columns.
    short = lagged_moments(Histories(parts, 2), y, used)
    np.testing.assert_allclose(sums.last(6).gram, short.gram, atol=1e-12)


@pytest.mark.parametrize("penalty", [1e-3, 0.3, 10.0])
def test_ridge_is_that_of_scikit_learn_and_its_error_that_of_its_predictions(penalty):
    rng = np.random.default_rng(1)
    parts = parts_of(rng, (80, 120))
    y = 2.0 + np.concatenate(parts)[:, :2] + rng.normal(size=(200, 2))
    used = np.arange(200) % 3 != 0
    histories = Histories(parts, 3)
    weights = ridge_weights(lagged_moments(histories, y, used), penalty)
    h = lagged(parts, 3)
    peer = Ridge(alpha=penalty * used.sum()).fit(h[used, :-1], y[used])
    # The same normal equations by another route, in float64.
    np.testing.assert_allclose(weights[:-1].T, peer.coef_, rtol=1e-8, atol=1e-11)
    np.testing.assert_allclose(weights[-1], peer.intercept_, rtol=1e-8)
    held = lagged_moments(histories, y, ~used)
    away = ((y - h @ weights)[~used] ** 2).sum()
    assert held.squared_error(weights) == pytest.approx(away, rel=1e-10)


def test_two_penalties_minimise_what_they_penalise():
    rng = np.random.default_rng(2)
    parts = parts_of(rng, (90,))
    y = parts[0] + rng.normal(size=(90, 3))
    sums = lagged_moments(Histories(parts, 2), y, np.ones(90, bool))
    own = np.arange(3)[:, None] + 3 * np.arange(2)
    found = list(two_penalty_weights(sums, 2.0, (0.05, 0.5), own))
    h = lagged(parts, 2)
    for penalty, weights in zip((0.05, 0.5), found, strict=True):
        for o in range(3):
            size = np.full(7, 2.0 * 90)
            size[own[o]], size[-1] = penalty * 90, 0.0
            expected = np.linalg.solve(h.T @ h + np.diag(size), h.T @ y[:, o])
            # A correction by a factor of 40 between the penalties costs two digits at most.
            np.testing.assert_allclose(weights[:, o], expected, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("shape", [(2, 5), (2, 5, 1), (2, 5, 3)])
def test_targets_of_trials_become_rows_with_their_bins(shape):
    x = xr.DataArray(np.arange(30.0).reshape(2, 5, 3), dims=("trial", "time", "unit"))
    y = np.arange(np.prod(shape), dtype=float).reshape(shape)
    rows = as_samples(x, y)
    assert np.array_equal(rows.values, x.values.reshape(10, 3))
    assert np.array_equal(np.reshape(rows.targets, (10, -1)), y.reshape(10, -1))
    assert rows.run.tolist() == [0] * 5 + [1] * 5
    with pytest.raises(ShapeError, match=r"\(trial, time\) \(2, 5\)"):
        as_samples(x, y[:, :4])


def test_a_clock_that_is_set_back_is_a_join_from_the_third_row_on():
    def runs(*time):
        x = np.ones((len(time), 1))
        made = xr.DataArray(x, dims=("time", "unit"), coords={"time": list(time)})
        return np.unique(as_samples(made, None).run, return_inverse=True)[1].tolist()

    assert runs(0.1, 0.2, 0.3, 0.1) == [0, 0, 0, 1]
    # The step of three stamps that go forth and back is not known.
    assert runs(0.1, 0.2, 0.1)[2] != 0
    assert runs(0.1, 0.2, 0.3, 0.4, 0.9, 1.0) == [0, 0, 0, 0, 1, 1]
    assert runs(0.1, 0.2, 0.3) == [0, 0, 0] and runs(0.1, 5.0) == [0, 0]


def test_a_window_may_be_as_long_as_the_recording_and_no_longer():
    from neurornn.data.samples import check_window

    assert check_window(5, 5) == 5 and check_window(1, 5) == 1 and check_window(1, 0) == 1
    for window in (0, 6):
        with pytest.raises(SplitError, match=f"window is {window} of 5 rows"):
            check_window(window, 5)


def test_traces_without_a_measured_frame_are_refused():
    with pytest.raises(DataError, match="NaN in every frame of every unit"):
        as_series(np.full((200, 2), np.nan), sampling_rate=20.0)
