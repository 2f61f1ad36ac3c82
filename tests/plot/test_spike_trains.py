"""Pictures of spike trains show the numbers that they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba

import neurornn as nr
from neurornn._core.errors import NameUnknownError, ShapeError
from neurornn.plot.style import FIT
from neurornn.spikes import (
    PointProcess,
    autocorrelogram,
    interval_histogram,
    psth,
    time_rescaling,
    tuning_curves,
)


@pytest.fixture(autouse=True)
def _closed():
    """Close the pictures of a test."""
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def recording():
    """Three units of different rates, under labels that are no positions."""
    found = nr.simulate.simulate_spike_trains(3, 60.0, rate=[15.0, 40.0, 25.0], rng=0)
    trains = [found["spike_times"].values[found["spike_unit"].values == k] for k in range(3)]
    return nr.data.from_spikes(trains, unit=[11, 12, 13], t_start=0.0, t_stop=60.0)


@pytest.fixture(scope="module")
def model(recording):
    return PointProcess().fit(recording)


def train_of(recording, position):
    return recording["spike_times"].values[recording["spike_unit"].values == position]


def band_of(collection, low, high):
    """The vertices of a band: its lower edge there and its upper edge back."""
    vertices = collection.get_paths()[0].vertices[:, 1]
    assert set(np.round(vertices, 9)) == set(np.round(np.concatenate([low, high]), 9))


def at(collection, x):
    """Lower and upper edge of a band at a place."""
    vertices = collection.get_paths()[0].vertices
    own = vertices[np.abs(vertices[:, 0] - x) < 1e-9, 1]
    return own.min(), own.max()


# ------------------------------------------------------------------ raster


def test_a_raster_has_a_tick_for_every_spike(recording):
    ax = nr.plot.raster(recording, start=5.0, duration=7.0)
    for k, row in enumerate(ax.collections):
        times = train_of(recording, k)
        inside = times[(times >= 5.0) & (times < 12.0)]
        segments = np.array(row.get_segments())
        np.testing.assert_array_equal(segments[:, 0, 0], inside)
        assert np.unique(segments[:, :, 1]) == pytest.approx([k - 0.4, k + 0.4])
    assert len(ax.collections) == 3
    # The first unit is on top, each beside its label.
    assert ax.yaxis_inverted()
    assert ax.get_yticks().tolist() == [0, 1, 2]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["11", "12", "13"]
    assert ax.get_xlim() == (5.0, 12.0)
    assert nr.plot.raster(recording).get_xlim() == (0.0, 10.0)
    late = nr.data.split_blocks(recording, fractions=(0.5, 0.5), gap=0.0)[1]
    assert nr.plot.raster(late).get_xlim() == (30.0, 40.0)


@pytest.mark.slow
def test_rates_stand_in_the_row_of_their_unit_and_grow_upward(recording, model):
    rates = model.rates(recording).isel(unit=[2, 0])
    ax = nr.plot.raster(recording, rates=rates, start=1.0, duration=2.0)
    clock = rates["time"].values
    shown = (clock >= 1.0) & (clock < 3.0)
    own = rates.values[shown]
    assert len(ax.lines) == 2
    for line, column, row in zip(ax.lines, own.T, (2, 0), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), clock[shown])
        # The axis points down: 0 Hz at the foot of the row, the tallest rate of all at its head.
        np.testing.assert_allclose(line.get_ydata(), row + 0.4 - 0.8 * column / own.max())
        assert line.get_ydata().min() >= row - 0.4 - 1e-9
    assert ax.get_legend().get_texts()[0].get_text() == f"rate (tallest: {own.max():.3g} Hz)"
    assert len(ax.get_legend().get_texts()) == 1
    # A rate of a unit that is not drawn leaves the legend to the next.
    strange = rates.assign_coords(unit=[99, 11])
    ax = nr.plot.raster(recording, rates=strange, start=1.0, duration=2.0)
    assert len(ax.lines) == 1
    assert len(ax.get_legend().get_texts()) == 1


def test_a_raster_needs_spikes(recording, model):
    with pytest.raises(ShapeError, match="spike_times and spike_unit were needed"):
        nr.plot.raster(model.parameters_)
    with pytest.raises(ShapeError, match="has no variables"):
        nr.plot.raster(recording[[]])


# ------------------------------------------------------------------ rates around events


def test_a_psth_is_drawn_from_bin_to_bin(recording):
    table = psth(recording, np.arange(1.0, 59.0), window=(-0.1, 0.3), bin_size=0.1)
    ax = nr.plot.psth(table)
    curves = ax.lines[:3]
    assert [c.get_label() for c in curves] == ["11", "12", "13"]
    for k, (curve, band) in enumerate(zip(curves, ax.collections, strict=True)):
        x, y = curve.get_data()
        # "pre": a value holds from the stamp before it to its own, which ends the bin.
        assert curve.get_drawstyle() == "steps-pre"
        np.testing.assert_allclose(x, [-0.1, 0.0, 0.1, 0.2, 0.3], atol=1e-12)
        np.testing.assert_array_equal(y[1:], table["rate"].values[:, k])
        assert y[0] == y[1]
        low, high = np.moveaxis(table["rate_ci"].values[:, k], -1, 0)
        band_of(band, low, high)
        assert to_rgba(curve.get_color())[:3] == tuple(band.get_facecolor()[0][:3])
    assert ax.lines[3].get_xdata() == [0, 0]
    assert ax.get_xlim() == pytest.approx((-0.1, 0.3))
    assert ax.get_ylim()[0] == 0.0
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["11", "12", "13"]
    one = nr.plot.psth(table, unit=12)
    np.testing.assert_array_equal(one.lines[0].get_ydata()[1:], table["rate"].values[:, 1])
    assert one.get_legend() is None
    # A table of one unit alone, which has lost the axis.
    alone = nr.plot.psth(table.isel(unit=2))
    np.testing.assert_array_equal(alone.lines[0].get_ydata()[1:], table["rate"].values[:, 2])


def test_of_many_units_the_first_eight_are_drawn():
    many = nr.simulate.simulate_poisson(np.full((5000, 10), 20.0), rng=0)
    table = psth(many, np.arange(1.0, 4.0), window=(0.0, 0.5), bin_size=0.25)
    assert len(nr.plot.psth(table).lines) == 9


def test_another_table_or_unit_is_refused(recording, model):
    table = psth(recording, [1.0, 2.0], window=(0.0, 0.2), bin_size=0.1)
    with pytest.raises(NameUnknownError, match=r"no unit 14.*One of 11, 12, 13"):
        nr.plot.psth(table, unit=14)
    # Positions are no labels.
    with pytest.raises(NameUnknownError, match="no unit 0"):
        nr.plot.psth(table, unit=0)
    lags = autocorrelogram(recording, duration=0.02)
    with pytest.raises(ShapeError, match=r"A rate over time .*spikes\.psth"):
        nr.plot.psth(lags)
    with pytest.raises(ShapeError, match="lag was needed"):
        nr.plot.lag_histogram(table)
    with pytest.raises(ShapeError, match="rate was needed"):
        nr.plot.psth(model.parameters_)
    with pytest.raises(ShapeError, match="no variables"):
        nr.plot.psth(None)
    with pytest.raises(ShapeError, match="occupancy was needed"):
        nr.plot.tuning_curve(table)
    with pytest.raises(ShapeError, match="statistic was needed"):
        nr.plot.time_rescaling(model)
    with pytest.raises(ShapeError, match="stimulus_filter was needed"):
        nr.plot.spike_filter(model, "stimulus")
    with pytest.raises(NameUnknownError, match="no unit 0"):
        nr.plot.spike_filter(model, unit=0)


# ------------------------------------------------------------------ histograms


@pytest.mark.parametrize(
    ("make", "name"), [(interval_histogram, "density"), (autocorrelogram, "rate")]
)
def test_a_histogram_has_bars_intervals_and_the_curve_of_a_model(recording, model, make, name):
    table = make(recording, model=model, duration=0.04, bin_size=0.002, n_draws=1)
    for unit, position in ((None, 0), (13, 2)):
        ax = nr.plot.lag_histogram(table, unit=unit)
        one = table.isel(unit=position)
        bars = ax.containers[0]
        np.testing.assert_allclose([b.get_height() for b in bars], one[name])
        np.testing.assert_allclose([b.get_width() for b in bars], 2.0)
        middle = [b.get_x() + b.get_width() / 2 for b in bars]
        np.testing.assert_allclose(middle, 1000 * one["lag"])
        segments = np.array(next(c for c in ax.collections).get_segments())
        np.testing.assert_allclose(segments[:, :, 1], one[f"{name}_ci"])
        np.testing.assert_allclose(segments[:, 0, 0], 1000 * one["lag"])
        np.testing.assert_array_equal(ax.lines[0].get_ydata(), one[f"model_{name}"])
        np.testing.assert_allclose(ax.lines[0].get_xdata(), 1000 * one["lag"])
        assert ax.get_xlim() == pytest.approx((0.0, 40.0))
        assert ax.get_title() == f"unit {one['unit'].values}"
    said = {"density": ("interval between spikes (ms)", "density (1/s)"),
            "rate": ("time after a spike (ms)", "rate (Hz)")}[name]  # fmt: skip
    assert (ax.get_xlabel(), ax.get_ylabel()) == said
    bare = nr.plot.lag_histogram(make(recording, duration=0.04, bin_size=0.002))
    assert not bare.lines
    assert bare.get_legend() is None


# ------------------------------------------------------------------ filters


def test_a_history_is_drawn_as_a_gain(model):
    for unit, position in ((None, 0), (12, 1)):
        ax = nr.plot.spike_filter(model, unit=unit)
        one = model.filters_.isel(unit=position)
        x, y = ax.lines[0].get_data()
        np.testing.assert_allclose(x, 1000 * one["history_lag"])
        np.testing.assert_allclose(y, np.exp(one["history_filter"]))
        # Nothing is fired within the dead time; 1 is no effect.
        dead = float(model.parameters_["refractory_period"][position])
        assert (y[x < 1000 * dead - 1e-9] == 0).all()
        assert set(ax.lines[1].get_ydata()) == {1}
        for k in (20, 80, 150):
            low, high = np.exp(one["history_filter_ci"].values[k])
            assert at(ax.collections[0], x[k]) == pytest.approx((low, high))
        assert ax.get_title() == f"unit {one['unit'].values}"
        assert ax.get_xlabel() == "time since a spike (ms)"
    from_table = nr.plot.spike_filter(model.filters_, unit=12)
    np.testing.assert_array_equal(from_table.lines[0].get_ydata(), ax.lines[0].get_ydata())


def test_filters_of_sources_and_features_are_told_apart(recording):
    shown = np.repeat(np.random.default_rng(0).standard_normal((600, 2)), 100, axis=0)
    fitted = PointProcess(
        coupling=True, history_basis="raised_cosine", stimulus_duration=0.05,
        coupling_duration=0.05,
    ).fit(recording, stimulus=shown)  # fmt: skip
    ax = nr.plot.spike_filter(fitted, "coupling", unit=12)
    one = fitted.filters_.sel(unit=12)
    # A unit has no filter from itself.
    labels = [line.get_label() for line in ax.lines[:-1]]
    assert labels == ["11", "13"]
    for line in ax.lines[:-1]:
        row = one["source"].values.astype(str).tolist().index(line.get_label())
        np.testing.assert_allclose(line.get_ydata(), np.exp(one["coupling_filter"][row]))
        np.testing.assert_allclose(line.get_xdata(), 1000 * one["coupling_lag"])
    assert ax.get_legend().get_title().get_text() == "source"
    ax = nr.plot.spike_filter(fitted, "stimulus", unit=13)
    for k, line in enumerate(ax.lines[:-1]):
        np.testing.assert_allclose(
            line.get_ydata(), np.exp(fitted.filters_["stimulus_filter"].values[2, k])
        )
    assert len(ax.lines) == 3
    assert ax.lines[0].get_xdata()[0] == 0.0
    assert ax.get_xlabel() == "time before the bin (ms)"


def test_a_bound_that_is_not_determined_is_left_off_the_picture(model):
    table = model.filters_.copy(deep=True)
    table["history_filter_ci"][0, 50, 1] = 40.0
    ax = nr.plot.spike_filter(table)
    assert ax.get_ylim()[1] < 20
    # The band is cut in two there; the line goes on.
    parts = [p.vertices[:, 0] for p in ax.collections[0].get_paths()]
    lag = 1000 * table["history_lag"].values
    assert [(p.min(), p.max()) for p in parts] == [
        (pytest.approx(lag[0]), pytest.approx(lag[49])),
        (pytest.approx(lag[51]), pytest.approx(lag[-1])),
    ]
    gain = np.exp(table["history_filter"].values[0])
    np.testing.assert_allclose(ax.lines[0].get_ydata(), gain)


# ------------------------------------------------------------------ test of fit


def test_the_curve_of_a_test_is_the_sorted_intervals(recording, model):
    blind = PointProcess(history=None).fit(recording)
    for check, sure in ((time_rescaling(model, recording), True),
                        (time_rescaling(blind, recording), False)):  # fmt: skip
        ax = nr.plot.time_rescaling(check)
        owner = check.intervals["interval_unit"].values
        for k, line in enumerate(ax.lines[:3]):
            u = np.sort(check.intervals["rescaled"].values[owner == k])
            x, y = line.get_data()
            np.testing.assert_array_equal(x[::2], u)
            np.testing.assert_array_equal(x[1::2], u)
            n = len(u)
            np.testing.assert_allclose(y[::2], np.arange(n) / n - u)
            np.testing.assert_allclose(y[1::2], np.arange(1, n + 1) / n - u)
            statistic = float(check.statistic[k])
            # The largest distance that is drawn is the statistic of the test.
            assert np.abs(y).max() == pytest.approx(statistic)
            outside = statistic > float(check.band[k])
            expected = f"{11 + k}: {statistic:.3g}" + (" (outside)" if outside else "")
            assert line.get_label() == expected
            if not sure:
                # Fewer short intervals came than a model without a past expects.
                assert outside
                assert y[np.abs(y).argmax()] < 0
        box = ax.patches[0].get_bbox() if hasattr(ax.patches[0], "get_bbox") else None
        widest = float(check.band.max())
        assert (box.y0, box.y1) == pytest.approx((-widest, widest))
        assert ax.get_xlim() == (0.0, 1.0)
        one = nr.plot.time_rescaling(check, unit=13)
        np.testing.assert_array_equal(
            one.lines[0].get_xdata()[::2],
            np.sort(check.intervals["rescaled"].values[owner == 2]),
        )
        box = one.patches[0].get_bbox()
        assert box.y1 == pytest.approx(float(check.band[2]))
        assert to_rgba(one.lines[0].get_color()) == to_rgba(FIT)
    with pytest.raises(NameUnknownError, match="no unit 2"):
        nr.plot.time_rescaling(check, unit=2)


def test_units_without_intervals_have_no_curve(recording, model):
    few = nr.data.from_spikes(
        [np.arange(5.0, 15), train_of(recording, 1), train_of(recording, 2)], unit=[11, 12, 13],
        t_start=0.0, t_stop=60.0,
    )  # fmt: skip
    silent = nr.data.from_spikes(
        [[], train_of(recording, 1), []], unit=[11, 12, 13], t_start=0.0, t_stop=60.0
    )
    check = time_rescaling(model, silent)
    ax = nr.plot.time_rescaling(check)
    assert [line.get_label()[:3] for line in ax.lines[:-1]] == ["12:"]
    box = ax.patches[0].get_bbox()
    assert box.y1 == pytest.approx(float(check.band[1]))
    ax = nr.plot.time_rescaling(time_rescaling(model, few))
    assert ax.lines[0].get_label() == "11: too few to tell"
    assert ax.lines[1].get_label().startswith("12: 0.")


# ------------------------------------------------------------------ tuning curves


def test_a_tuning_curve_over_one_axis_and_over_two(recording):
    draw = np.random.default_rng(0)
    where = np.repeat(draw.uniform(0, 1, (300, 2)) * [1.0, 3.0], 10, axis=0)
    table = tuning_curves(recording, where[:, 0], bins=5)
    ax = nr.plot.tuning_curve(table, unit=12)
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), table["bin"])
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), table["rate"].values[1])
    low, high = np.moveaxis(table["rate_ci"].values[1], -1, 0)
    band_of(ax.collections[0], low, high)
    assert (ax.get_ylabel(), ax.get_title()) == ("rate (Hz)", "unit 12")
    table = tuning_curves(recording, where, bins=[[0, 0.2, 0.4, 1], [0, 1, 2, 3]])
    ax = nr.plot.tuning_curve(table, unit=13)
    mesh = ax.collections[0]
    # The first axis of the variable lies along x.
    np.testing.assert_array_equal(np.asarray(mesh.get_array()), table["rate"].values[2].T)
    assert ax.get_ylim() == pytest.approx((0, 3))
    assert ax.figure.axes[1].get_ylabel() == "rate (Hz)"


def test_axes_that_are_given_are_drawn_on(recording, model):
    table = psth(recording, [1.0, 2.0], window=(0.0, 0.2), bin_size=0.1)
    check = time_rescaling(model, recording)
    hist = interval_histogram(recording, duration=0.02)
    curve = tuning_curves(recording, np.arange(3000.0), bins=3)
    _, axes = plt.subplots(6)
    for ax, draw, what in zip(
        axes,
        (nr.plot.raster, nr.plot.psth, nr.plot.lag_histogram, nr.plot.spike_filter,
         nr.plot.time_rescaling, nr.plot.tuning_curve),
        (recording, table, hist, model, check, curve), strict=True,
    ):  # fmt: skip
        assert draw(what, ax=ax) is ax
        assert ax.has_data()
