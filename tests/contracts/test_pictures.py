"""What a picture shows is what the table holds: every mark under its own name."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import neurornn as nr
from tests.contracts.reading import number, quantity
from tests.contracts.results import (
    counts_and_targets,
    quantities,
    result_of,
    table_of,
    traces,
)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def labels_on(axis):
    return [t.get_text() for t in axis]


def segments(ax):
    return [s for c in ax.collections for s in getattr(c, "get_segments", list)()]


#: Results with quantities that are times, each along one axis.
TIMED = [
    "Kinetics",
    "Kinetics with a held rise",
    "pooled sessions",
    "shared kinetics",
    "leaky FitResult",
    "truncated FitResult",
    "calcium FitResult",
    "bootstrapped",
]


@pytest.mark.parametrize("name", TIMED)
def test_time_constants_are_drawn_in_order_each_with_its_own_interval_truth_and_colour(name):
    result = result_of(name)
    table = table_of(result)
    timed = [n for n in quantities(table) if table[n].attrs["units"] in ("s", "frame")]
    assert timed
    for quantity_ in timed:
        values, ci = np.ravel(table[quantity_]), table[f"{quantity_}_ci"].values.reshape(-1, 2)
        if not np.isfinite(values).any():
            continue
        dims = table[quantity_].dims
        coords = table[dims[0]].values if dims and dims[0] in table.coords else range(len(values))
        cells = [str(c) for c in coords]
        own_status = "status" in table and table["status"].dims == dims
        status = np.ravel(table["status"]).tolist() if own_status else ["ok"] * len(values)
        truth = values * np.linspace(0.8, 1.3, len(values))
        ax = nr.plot.timescales(result, name=quantity_, truth=truth)
        shown = labels_on(ax.get_xticklabels())
        finite = np.flatnonzero(np.isfinite(values))
        assert shown == [cells[k] for k in finite[np.argsort(values[finite], kind="stable")]]
        assert ax.get_ylabel() == f"{quantity_} ({table[quantity_].attrs['units']})"
        seen = {}
        for line in ax.lines:
            kind = line.get_label().split(",")[0]
            seen[kind] = {shown[round(x)]: y for x, y in zip(*line.get_data(), strict=True)}
        expected = {"ok": {}, "other status": {}, "truth": {}}
        for k in finite:
            kind = "ok" if status[k] == "ok" else "other status"
            expected[kind][cells[k]] = values[k]
            expected["truth"][cells[k]] = truth[k]
        assert seen == {kind: marks for kind, marks in expected.items() if marks}
        assert labels_on(ax.get_legend().get_texts()) == [x.get_label() for x in ax.lines]
        spans = {shown[round(s[0][0])]: (s[0][1], s[1][1]) for s in segments(ax)}
        known = [k for k in finite if np.isfinite(ci[k]).all()]
        assert spans == {cells[k]: tuple(ci[k]) for k in known}
        plt.close(ax.figure)


@pytest.mark.parametrize("name", TIMED[:2])
def test_traces_show_data_fit_and_events_of_their_own_cell(name):
    kinetics = result_of(name)
    dff = traces().sel(unit=kinetics.parameters_["unit"].values)
    fitted, events = kinetics.denoised(), kinetics.events_
    for k, label in enumerate(dff["unit"].values):
        ax = nr.plot.trace(dff, fit=fitted, events=events, unit=label, t_start=10.0, t_stop=50.0)
        shown = (dff["time"].values >= 10) & (dff["time"].values <= 50)
        lines = {line.get_label(): line.get_ydata() for line in ax.lines}
        assert np.array_equal(lines["data"], dff.values[shown, k], equal_nan=True)
        assert np.array_equal(lines["fit"], fitted.values[shown, k], equal_nan=True)
        own = events["event_time"].values[events["event_unit"].values == k]
        assert [s[0][0] for s in segments(ax)] == own[(own >= 10) & (own <= 50)].tolist()
        assert ax.get_title(loc="left") == f"unit {label}" and ax.get_ylabel() == "dff (mV)"
        plt.close(ax.figure)


def test_a_mean_event_names_the_time_constants_of_its_cell():
    kinetics = result_of("Kinetics")
    table = kinetics.parameters_
    for k in np.flatnonzero(table["status"].values == "ok"):
        unit = table["unit"].values[k]
        ax = nr.plot.mean_event(nr.calcium.event_average(kinetics, traces(), unit))
        told = labels_on(ax.get_legend().get_texts())[1].replace("\n", " ")
        low, high = table["tau_decay_ci"].values[k]
        assert f"decay {quantity(table['tau_decay'].values[k], low, high, 's')}" in told
        n_events = int((kinetics.events_["event_unit"].values == k).sum())
        title = ax.get_title(loc="left")
        assert title.startswith(f"unit {unit}: mean of ")
        # Events at the edges of the recording are left out of a mean.
        assert n_events - 3 <= int(title.split()[-2]) <= n_events
        plt.close(ax.figure)


@pytest.mark.parametrize("score", ["r2", "r2_behind_best", "log_likelihood"])
def test_league_bars_and_their_intervals_are_those_of_account_and_horizon(score):
    table = result_of("League").parameters
    ax = nr.plot.league_scores(table, score=score)
    names = labels_on(ax.get_xticklabels())
    assert names == list(table["model"].values)
    assert [c.get_label() for c in ax.containers] == ["horizon 1", "horizon 4"]
    for group, lines in zip(ax.containers, ax.collections, strict=True):
        own = table.sel(horizon=int(group.get_label().split()[1]))
        spans = {round(s[0][0]): (s[0][1], s[1][1]) for s in lines.get_segments()}
        for bar in group:
            k = round(bar.get_x() + bar.get_width() / 2)
            assert bar.get_height() == float(own[score].sel(model=names[k]))
            assert spans[k] == tuple(own[f"{score}_ci"].sel(model=names[k]).values)


def test_the_axis_of_a_score_with_a_unit_names_it():
    ax = nr.plot.league_scores(result_of("League").parameters, score="log_likelihood")
    assert "nats" in ax.get_ylabel()


@pytest.mark.parametrize("name", ["leaky FitResult", "truncated FitResult", "gated FitResult"])
def test_the_course_of_a_fit_is_its_history(name):
    result = result_of(name)
    ax = nr.plot.history(result)
    lines = {line.get_label(): line for line in ax.lines}
    assert np.array_equal(lines["training"].get_ydata(), result.history["loss"])
    assert np.array_equal(lines["training"].get_xdata(), result.history["epoch"])
    watched = result.history["validation_loss"].values
    assert ("validation" in lines) == bool(np.isfinite(watched).any())
    if "validation" in lines:
        assert np.array_equal(lines["validation"].get_ydata(), watched)
        best = int(np.argmin(watched))
        assert lines["best"].get_xdata().tolist() == [result.history["epoch"].values[best]]


@pytest.mark.parametrize(
    "name", ["WienerFilter", "WienerCascade", "KalmanFilter", "RecurrentDecoder"]
)
def test_decoded_traces_and_bands_are_what_was_decoded(name):
    counts, true = counts_and_targets()
    decoded, interval = result_of(name).predict(counts[:80], return_interval=True)
    axes = nr.plot.decoded_traces(true[:80].rename("velocity"), decoded, interval)
    for k, (ax, label) in enumerate(zip(axes, true["output"].values, strict=True)):
        assert ax.get_ylabel() == f"velocity {label} (cm/s)"
        lines = {line.get_label(): line.get_ydata() for line in ax.lines}
        assert np.array_equal(lines["true"], true.values[:80, k])
        assert np.array_equal(lines["decoded"], decoded.values[:, k])
        band = ax.collections[0].get_paths()[0].vertices
        for row, stamp in enumerate(counts["time"].values[:80]):
            at = band[np.isclose(band[:, 0], stamp), 1]
            assert (at.min(), at.max()) == tuple(interval.values[row, k])


def test_a_confusion_writes_its_counts_where_true_and_decoded_meet():
    table = result_of("target scores")["confusion"]
    ax = nr.plot.confusion(table)
    columns, rows = labels_on(ax.get_xticklabels()), labels_on(ax.get_yticklabels())
    written = {}
    for text in ax.texts:
        x, y = text.get_position()
        written[rows[round(y)], columns[round(x)]] = int(text.get_text())
    expected = {
        (str(t), str(p)): int(table.sel(true_target=t, predicted_target=p))
        for t in table["true_target"].values
        for p in table["predicted_target"].values
    }
    assert written == {where: n for where, n in expected.items() if n}


def test_a_dropping_curve_goes_through_the_means_of_its_draws():
    table = result_of("neuron dropping")
    lines = {line.get_label(): line for line in nr.plot.dropping_curve(table).lines}
    assert lines["mean"].get_xdata().tolist() == table["n_units"].values.tolist()
    # The mean of the same four numbers.
    assert lines["mean"].get_ydata() == pytest.approx(table["score_mean"].values, rel=1e-12)


def test_latencies_in_seconds_are_drawn_in_microseconds():
    table = result_of("Stream").latency(n_steps=1200)
    ax = nr.plot.latency(table)
    for line, name in zip(ax.lines, ("p50", "p99", "p99_9"), strict=True):
        assert line.get_xdata()[0] == pytest.approx(1e6 * float(table[name]), rel=1e-9)
        shown = line.get_label().split()
        # Three digits.
        assert float(shown[1]) == pytest.approx(1e6 * float(table[name]), rel=6e-3)
        assert shown[2] == "µs"


def test_the_page_of_a_fit_gives_the_cells_and_the_numbers_of_its_table(tmp_path):
    kinetics = result_of("Kinetics")
    path = kinetics.write_html(tmp_path / "page.html", traces())
    text, table = path.read_text(), kinetics.parameters_
    for k in range(table.sizes["unit"]):
        low, high = table["tau_decay_ci"].values[k]
        assert f"<td>{quantity(table['tau_decay'].values[k], low, high)}</td>" in text
    ok = table["status"].values == "ok"
    assert f"{len(ok)} cells, {ok.sum()} ok" in text
    middle = float(np.median(table["tau_decay"].values[ok]))
    assert number(middle) in text
