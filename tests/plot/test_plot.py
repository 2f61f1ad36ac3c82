"""Pictures: what is drawn is what is in the table; the axes come back; gaps stay gaps."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.confidence import Estimate, to_dataset
from neurornn._core.errors import ThreePartError


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def table(n=5, **options):
    tau = np.linspace(0.2, 2.0, n)[::-1]
    return to_dataset(
        [
            Estimate(
                name="tau",
                value=tau,
                ci=np.stack([0.9 * tau, 1.2 * tau], 1),
                units="s",
                long_name="tau",
                method="made up",
                dims=("hidden",),
            )
        ],
        confidence_level=0.95,
        coords={"hidden": np.arange(n)},
        **options,
    )


def test_timescales_are_sorted_and_on_a_log_axis():
    ax = nr.plot.timescales(table(), truth=1.0, expected=(0.5, 0.7))
    points = ax.lines[0].get_ydata()
    assert np.all(np.diff(points) > 0) and len(points) == 5
    assert ax.get_yscale() == "log"
    assert "(s)" in ax.get_ylabel()
    # Labels follow the sorting.
    assert [t.get_text() for t in ax.get_xticklabels()] == ["4", "3", "2", "1", "0"]


def test_timescales_marks_what_is_not_ok():
    status = ["ok", "ok", "too_noisy", "ok", "ok"]
    ax = nr.plot.timescales(table(status=status, status_dims=("hidden",)))
    assert sorted(len(line.get_xdata()) for line in ax.lines) == [1, 4]


def test_trace_draws_into_the_axes_given_and_breaks_at_gaps():
    rec = nr.simulate.simulate_calcium(2, 10.0, 30.0, n_trials=2, rng=0)
    _, mine = plt.subplots()
    ax = nr.plot.trace(rec["dff"], unit=1, ax=mine)
    assert ax is mine
    drawn = ax.lines[0].get_ydata()
    assert np.isnan(drawn).sum() == 1 and np.isnan(drawn[300])
    assert "unit 1" in ax.get_title(loc="left")


def test_history_marks_the_best_epoch():
    history = xr.Dataset(
        {"loss": ("epoch", [3.0, 2.0, 1.0]), "validation_loss": ("epoch", [3.0, 1.5, 2.0])},
        coords={"epoch": [1, 2, 3]},
    )
    ax = nr.plot.history(history)
    assert ax.lines[-1].get_xdata().tolist() == [2]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: nr.plot.timescales(table(), name="tu"), "The table has no quantity 'tu'"),
        (
            lambda: nr.plot.trace(nr.simulate.simulate_calcium(1, 10.0, rng=0)["dff"], unit=9),
            "There is no unit 9",
        ),
        (
            lambda: nr.plot.trace(nr.simulate.simulate_calcium(1, 10.0, rng=0)["tau_decay_true"]),
            r"data has dims \('unit',\)",
        ),
        (lambda: nr.plot.trace(np.zeros(10)), "data is a ndarray"),
    ],
)
def test_bad_calls_are_refused_in_three_parts(call, said):
    with pytest.raises(ThreePartError, match=said):
        call()


def shuffled(n=6):
    """Cells in no order, of which one has no value, one no interval, one another status."""
    tau = np.array([0.9, 0.2, np.nan, 1.7, 0.5, 0.35])[:n]
    ci = np.stack([0.8 * tau, 1.3 * tau], 1)
    ci[3] = np.nan
    made = to_dataset(
        [
            Estimate(
                name="tau_decay",
                value=tau,
                ci=ci,
                units="s",
                long_name="tau",
                method="made up",
                dims=("unit",),
            )
        ],
        confidence_level=0.95,
        coords={"unit": ["u0", "u1", "u2", "u3", "u4", "u5"][:n]},
        status=["ok", "ok", "no_data", "ok", "too_noisy", "ok"][:n],
        status_dims=("unit",),
    )
    return made, tau, ci


def test_each_cell_has_its_own_label_interval_and_truth_whatever_the_order():
    parameters, tau, ci = shuffled()
    truth = np.array([1.0, 0.25, 0.3, 1.5, 0.45, 0.4])
    ax = nr.plot.timescales(parameters, truth=truth)
    labels = [t.get_text() for t in ax.get_xticklabels()]
    assert labels == ["u1", "u5", "u4", "u0", "u3"]
    lines = {line.get_label(): line for line in ax.lines}
    # Where each cell stands is told by its label; what is drawn there must be its own.
    seen = {}
    for name, line in lines.items():
        for x, y in zip(*line.get_data(), strict=True):
            seen.setdefault(name.split(",")[0], {})[labels[round(x)]] = y
    cell = {name: k for k, name in enumerate(parameters["unit"].values)}
    assert seen["ok"] == {u: tau[cell[u]] for u in ("u1", "u5", "u0", "u3")}
    assert seen["other status"] == {"u4": tau[4]}
    assert seen["truth"] == {u: truth[cell[u]] for u in labels}
    spans = {}
    for collection in ax.collections:
        for (x, low), (_, high) in collection.get_segments():
            spans[labels[round(x)]] = (low, high)
    assert spans == {u: tuple(ci[cell[u]]) for u in ("u0", "u1", "u4", "u5")}


def test_one_truth_for_all_is_drawn_at_every_cell():
    ax = nr.plot.timescales(shuffled()[0], truth=0.7)
    crosses = next(line for line in ax.lines if line.get_label() == "truth")
    assert crosses.get_ydata().tolist() == [0.7] * 5


def test_trace_draws_data_fit_and_events_of_the_unit_that_is_named():
    time = (np.arange(100) + 1) * 0.1
    values = np.arange(100)[:, None] * np.array([1.0, 10.0, 100.0])
    coords = {"time": time, "unit": ["a", "b", "c"]}
    data = xr.DataArray(values, dims=("time", "unit"), coords=coords, name="dff")
    fit = data + 0.5
    events = xr.Dataset(
        {
            "event_time": ("event", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
            "event_size": ("event", [1.0, 2.0, 4.0, 50.0, 60.0, 70.0]),
            "event_unit": ("event", [1, 1, 1, 0, 2, 2]),
        }
    )
    for k, label in enumerate("abc"):
        ax = nr.plot.trace(data, fit=fit, events=events, unit=label)
        lines = {line.get_label(): line for line in ax.lines}
        assert np.array_equal(lines["data"].get_ydata(), values[:, k])
        assert np.array_equal(lines["fit"].get_ydata(), values[:, k] + 0.5)
        assert ax.get_title(loc="left") == f"unit {label}"
        (ticks,) = ax.collections
        own = events["event_unit"].values == k
        segments = ticks.get_segments()
        assert [s[0][0] for s in segments] == events["event_time"].values[own].tolist()
        # Heights are in proportion to the sizes among the events of this unit.
        height = np.array([s[1][1] - s[0][1] for s in segments])
        size = events["event_size"].values[own]
        assert height / height.max() == pytest.approx(np.maximum(size / size.max(), 0.15))
        assert len({s[0][1] for s in segments}) == 1


def test_trace_shows_the_events_of_the_range_alone():
    rec = nr.simulate.simulate_calcium(2, 20.0, 30.0, rng=0)
    kinetics = nr.calcium.Kinetics().fit(rec["dff"])
    ax = nr.plot.trace(rec["dff"], events=kinetics.events_, unit=1, t_start=5.0, t_stop=15.0)
    mine = kinetics.events_["event_unit"].values == 1
    when = kinetics.events_["event_time"].values[mine]
    shown = [s[0][0] for s in ax.collections[0].get_segments()]
    assert shown == when[(when >= 5) & (when <= 15)].tolist() and len(shown) < len(when)
    # A frame at its stamp or between it and the next.
    assert ax.lines[0].get_xdata()[[0, -1]] == pytest.approx([5.0, 15.0], abs=1 / 30)


def scores():
    r2 = np.array([[0.9, 0.5], [0.7, -0.2], [0.0, 0.0]])
    ci = np.stack([r2 - 0.1, r2 + 0.05], -1)
    ci[2] = np.nan
    return xr.Dataset(
        {
            "r2": (("model", "horizon"), r2, {"long_name": "R2"}),
            "r2_ci": (("model", "horizon", "ci_bound"), ci),
        },
        coords={
            "model": ["RNN", "linear", "mean"],
            "horizon": [1, 10],
            "ci_bound": ["lower", "upper"],
        },
    )


def test_league_bars_stand_under_the_name_of_their_horizon_and_over_their_account():
    table = scores()
    ax = nr.plot.league_scores(table)
    names = [t.get_text() for t in ax.get_xticklabels()]
    assert names == ["RNN", "linear", "mean"]
    groups = {c.get_label(): list(c) for c in ax.containers}
    assert list(groups) == ["horizon 1", "horizon 10"]
    for label, bars in groups.items():
        for bar in bars:
            model = names[round(bar.get_x() + bar.get_width() / 2)]
            value = table["r2"].sel(model=model, horizon=int(label.split()[1]))
            assert bar.get_height() == float(value)
    # Nearer horizons stand to the left.
    left = {label: bars[0].get_x() for label, bars in groups.items()}
    assert left["horizon 1"] < left["horizon 10"]


def test_league_intervals_stand_on_their_own_bars():
    table = scores()
    ax = nr.plot.league_scores(table)
    bars = {bar.get_x() + bar.get_width() / 2: bar for group in ax.containers for bar in group}
    seen = 0
    for horizon, collection in zip(table["horizon"].values, ax.collections, strict=True):
        for (x, low), (_, high) in collection.get_segments():
            # The same sum of floats up to rounding.
            bar = bars[min(bars, key=lambda place: abs(place - x))]
            model = table["model"].values[round(x)]
            assert (low, high) == tuple(table["r2_ci"].sel(model=model, horizon=horizon))
            assert low < bar.get_height() < high
            seen += 1
    # The mean has no interval.
    assert seen == 4


def test_history_draws_both_losses():
    loss, watched = [3.0, 2.0, 1.0], [3.5, 1.5, 2.0]
    table = xr.Dataset(
        {"loss": ("epoch", loss), "validation_loss": ("epoch", watched)},
        coords={"epoch": [1, 2, 3]},
    )
    lines = {line.get_label(): line for line in nr.plot.history(table).lines}
    assert list(lines["training"].get_ydata()) == loss
    assert list(lines["validation"].get_ydata()) == watched
    assert (list(lines["best"].get_xdata()), list(lines["best"].get_ydata())) == ([2], [1.5])


def test_a_trace_without_a_name_is_that_of_the_first_unit():
    values = np.arange(30.0).reshape(10, 3)
    coords = {"time": (np.arange(10) + 1) * 0.1, "unit": ["p", "q", "r"]}
    ax = nr.plot.trace(xr.DataArray(values, dims=("time", "unit"), coords=coords))
    assert ax.get_title(loc="left") == "unit p"
    assert np.array_equal(ax.lines[0].get_ydata(), values[:, 0])
    alone = nr.plot.trace(xr.DataArray(values[:, 1], dims="time", coords={"time": coords["time"]}))
    assert np.array_equal(alone.lines[0].get_ydata(), values[:, 1])


def test_a_course_of_losses_is_logarithmic_where_all_are_above_0():
    for least, scale in ((0.1, "log"), (-0.1, "linear"), (0.0, "linear")):
        loss = ("epoch", np.array([3.0, 1.0, least]))
        ax = nr.plot.history(xr.Dataset({"loss": loss}, coords={"epoch": [0, 1, 2]}))
        assert ax.get_yscale() == scale
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss")
        assert [t.get_text() for t in ax.get_legend().get_texts()] == ["training"]


def test_a_fit_of_other_frames_is_refused_and_a_single_frame_is_drawn():
    data = xr.DataArray(np.arange(5.0), dims="time", coords={"time": np.arange(1, 6) / 10})
    for other in (data[:4], data.assign_coords(time=np.arange(2, 7) / 10)):
        with pytest.raises(ThreePartError, match=f"fit has {len(other)} frames and data 5"):
            nr.plot.trace(data, fit=other)
    assert nr.plot.trace(data[:1], fit=data[:1]).lines[1].get_ydata().tolist() == [0.0]


def test_events_stand_below_the_trace_as_high_as_they_are_large():
    values = np.array([0.0, 4.0, 1.0, 2.0, 0.0])
    data = xr.DataArray(values, dims="time", coords={"time": np.arange(1, 6) / 10})
    events = xr.Dataset(
        {
            "event_time": ("event", [0.15, 0.25, 0.35]),
            "event_size": ("event", [2.0, 1.0, 0.01]),
            "event_unit": ("event", [0, 0, 0]),
        }
    )
    ax = nr.plot.trace(data, events=events)
    spans = [(s[0][0], s[0][1], s[1][1] - s[0][1]) for s in ax.collections[0].get_segments()]
    # A fifth of the range below it; the largest 0.14 of the range, none below 0.15 of that.
    expected = [(0.15, -0.8, 0.56), (0.25, -0.8, 0.28), (0.35, -0.8, 0.084)]
    assert np.array(spans) == pytest.approx(np.array(expected))
    assert ax.get_xlim() == (0.1, 0.5)


def test_a_trace_without_a_clock_is_drawn_over_the_number_of_the_frame():
    ax = nr.plot.trace(xr.DataArray(np.arange(4.0) + 2, dims="time", name="dff"))
    assert ax.lines[0].get_xydata().tolist() == [[0, 2], [1, 3], [2, 4], [3, 5]]


def test_the_axis_of_time_constants_is_that_of_the_units():
    assert nr.plot.timescales(table()).get_xlabel() == "hidden"
    assert nr.plot.timescales(table(31)).get_xlabel() == "hidden, sorted"
