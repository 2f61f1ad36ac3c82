"""Panels of a fit and tables of time constants and scores: labels, limits and bands by hand."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgb

import neurornn as nr
from neurornn._core.confidence import Estimate, to_dataset
from neurornn._core.errors import KindError, NameUnknownError, ShapeError
from neurornn.plot.style import DATA, EVENT, FIT, RANGES


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


BOUNDS = ["lower", "upper"]


def residuals(**changes):
    """A table of residuals, small enough to be known by heart."""
    time = np.arange(1.0, 7.0)
    made = xr.Dataset(
        {
            "residual": ("time", [0.5, -1, 2, 0, 1, -0.5]),
            "running_mean": ("window_time", [0.1, 0.2, 0.3]),
            "running_sd": ("window_time", [1.0, 1.1, 0.9]),
            "quantile": ("probability", [-1.1, 0.1, 1.2]),
            "normal_quantile": ("probability", [-1.0, 0.0, 1.0]),
            "normal_quantile_ci": (("probability", "ci_bound"), [[-2, 0], [-1, 1], [0, 2.0]]),
            "autocorrelation": ("delay", [0.4, -0.2]),
            "white_limit": ("delay", [0.3, 0.3]),
            "event_residual": ("lag", [0.5, 0.25, 0.0]),
            "event_residual_ci": (("lag", "ci_bound"), [[0, 1], [0, 0.5], [-1, 1.0]]),
            "fitted_residual": ("fitted_value", [0.1, 0.2]),
            "fitted_residual_ci": (("fitted_value", "ci_bound"), [[0, 0.2], [0.1, 0.3]]),
            "value": ("check", [0.5, 1.5, 0.25, 0.0, 3.0]),
            "limit": ("check", [1.0, 1.0, 0.5, 2.0, 1.0]),
            "passed": ("check", [True, False, True, True, False]),
        },
        coords={
            "time": time, "window_time": [1.5, 3.5, 5.5], "delay": [0.5, 1.0],
            "lag": [-0.1, 0.0, 0.1],
            "fitted_value": ("fitted_value", [1.0, 2.0], {"units": "mV"}), "ci_bound": BOUNDS,
            "check": ["steadiness", "normality", "autocorrelation", "around_events", "curvature"],
        },
    )  # fmt: skip
    return made.assign(changes)


def test_every_panel_has_its_labels_and_the_verdict_of_its_check():
    axes = nr.plot.residual_checks(residuals())
    assert [(ax.get_xlabel(), ax.get_ylabel()) for ax in axes] == [
        ("time (s)", "residual (noise sd)"),
        ("normal quantile", "residual (noise sd)"),
        ("lag (s)", "autocorrelation"),
        ("time since the event (s)", "mean residual (noise sd)"),
        ("fitted calcium (mV)", "mean residual (noise sd)"),
    ]
    assert [ax.get_title(loc="left") for ax in axes] == [
        "over time: 0.5 of limit",
        "distribution: 1.5 of limit",
        "autocorrelation: 0.5 of limit",
        "around events: 0 of limit",
        "against fit: 3 of limit",
    ]
    colours = [ax._left_title.get_color() for ax in axes]
    assert colours == ["black", EVENT, "black", "black", EVENT]
    plain = nr.plot.residual_checks(residuals().drop_vars("passed"))
    assert plain[0].get_title(loc="left") == "over time"
    odd = nr.plot.residual_checks(
        residuals(value=("check", [np.nan] * 5), limit=("check", [1.0, 0, 1, 1, 1]))
    )
    assert [ax.get_title(loc="left") for ax in odd[:2]] == ["over time", "distribution"]
    other = nr.plot.residual_checks(residuals().isel(check=[1]))
    assert other[0].get_title(loc="left") == "over time"


def test_lines_of_the_panels_are_the_columns_of_the_table():
    table = residuals()
    over_time, quantiles, correlation, around, fitted = nr.plot.residual_checks(table)
    assert [line.get_xydata().tolist() for line in over_time.lines[1:]] == [
        [[1.5, 0.1], [3.5, 0.2], [5.5, 0.3]],
        [[1.5, 0.1 - 1.0], [3.5, 0.2 - 1.1], [5.5, 0.3 - 0.9]],
        [[1.5, 1.1], [3.5, 0.2 + 1.1], [5.5, 0.3 + 0.9]],
    ]
    assert [to_rgb(x.get_color()) for x in over_time.lines] == [
        to_rgb(c) for c in (DATA, FIT, EVENT, EVENT)
    ]
    assert {line.get_marker() for line in over_time.lines[1:]} == {"None"}
    # Fewer than three windows are no line: they are dots.
    few = nr.plot.residual_checks(table.isel(window_time=slice(0, 2)))[0]
    assert {line.get_marker() for line in few.lines[1:]} == {"o"}
    assert [line.get_xydata().tolist() for line in quantiles.lines] == [
        [[-1, -1], [0, 0], [1, 1]], [[-1, -1.1], [0, 0.1], [1, 1.2]],
    ]  # fmt: skip
    # A quarter of the height is left for the legend, above what is drawn.
    low, high = correlation.get_ylim()
    before = low + (high - low) / 1.25
    assert before == pytest.approx(0.4, abs=0.05) and low == pytest.approx(-0.3, abs=0.05)
    assert correlation.get_xlim()[0] == 0.0
    assert correlation.lines[0].get_ydata() == [0, 0]
    assert around.lines[0].get_ydata() == [0, 0] and around.lines[1].get_xdata() == [0, 0]
    assert around.lines[2].get_xydata().tolist() == [[-0.1, 0.5], [0, 0.25], [0.1, 0.0]]
    band = around.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (-1.0, 1.0)
    assert fitted.lines[0].get_ydata() == [0, 0]
    assert fitted.lines[1].get_xydata().tolist() == [[1.0, 0.1], [2.0, 0.2]]
    nothing = residuals(event_residual=("lag", [np.nan] * 3))
    silent = nr.plot.residual_checks(nothing)[3]
    assert [t.get_text() for t in silent.texts] == ["no events"] and len(silent.lines) == 1
    assert silent.texts[0].get_position() == (0.5, 0.5)


def mean_table(**attrs):
    return xr.Dataset(
        {
            "mean": ("lag", [0.0, 1.0], {"units": "mV"}),
            "mean_ci": (("lag", "ci_bound"), [[-1, 1], [0, 2.0]]),
            "kernel": ("lag", [0.0, 0.5]),
            "kernel_ci": (("lag", "ci_bound"), [[np.nan] * 2] * 2),
        },
        coords={"lag": [0.0, 0.1], "ci_bound": BOUNDS},
        attrs={"unit": 3, "n_events": 2, **attrs},
    )


def test_a_mean_event_names_its_kernel_scale_and_unit():
    table = mean_table(tau_decay=0.5, tau_decay_ci=(0.4, 0.6), tau_rise=0.05, scaled=True)
    ax = nr.plot.mean_event(table)
    assert ax.lines[2].get_label() == "kernel\ndecay 0.500\n[0.400, 0.600] s\nrise 0.0500 s"
    assert ax.get_ylabel() == "per unit of event size (mV)"
    assert ax.get_xlabel() == "time since the event (s)"
    assert ax.get_title(loc="left") == "unit 3: mean of 2 events"
    # No band where there are no bounds.
    assert len(ax.collections) == 1
    assert [to_rgb(x.get_color()) for x in ax.lines[1:]] == [to_rgb(DATA), to_rgb(FIT)]
    bare = nr.plot.mean_event(mean_table(tau_decay=np.nan), title="mine")
    assert bare.lines[2].get_label() == "kernel" and bare.get_title(loc="left") == "mine"
    assert bare.get_ylabel() == "mean event (mV)"
    with pytest.raises(KindError, match=r"table is \['tau'\]\. A Dataset with mean, mean_ci"):
        nr.plot.mean_event(xr.Dataset({"tau": 1.0}))
    with pytest.raises(KindError, match="table is str"):
        nr.plot.mean_event("x")


def test_panels_are_five():
    figure = plt.figure()
    with pytest.raises(ShapeError, match="4 axes came"):
        nr.plot.residual_checks(residuals(), axes=figure.subplots(2, 2))
    axes = nr.plot.residual_checks(residuals(), axes=list(plt.figure().subplots(1, 5)))
    assert len(axes) == 5 and axes.dtype == object
    new = nr.plot.residual_checks(residuals())
    assert {ax.get_gridspec().get_geometry() for ax in new} == {(2, 3)}


def test_axes_that_are_given_lose_their_upper_and_right_lines():
    _, mine = plt.subplots(2, 1)
    true = np.arange(8.0).reshape(4, 2)
    for ax in nr.plot.decoded_traces(true, true, ax=mine):
        shown = {name for name, line in ax.spines.items() if line.get_visible()}
        assert shown == {"left", "bottom"}


# ------------------------------------------------------------------ time constants and scores


def constants(values, ci=None, name="tau", status=None, dims=("unit",), units="s"):
    values = np.asarray(values, dtype=float)
    estimate = Estimate(name=name, value=values, ci=ci, units=units, long_name="x", method="x",
                        dims=dims)  # fmt: skip
    more = {} if status is None else {"status": status, "status_dims": dims}
    return to_dataset([estimate], confidence_level=0.95, **more)


def test_time_constants_are_named_in_the_order_of_what_they_are():
    rows = [
        Estimate(name=n, value=[v, 2 * v], units=u, long_name=n, method="x", dims=("unit",))
        for n, v, u in (
            ("time_constant", 1.0, "s"),
            ("tau", 2.0, "frame"),
            ("tau_decay", 3.0, "s"),
        )
    ]
    for k, label in ((3, "tau_decay (s)"), (2, "tau (frame)"), (1, "time_constant (s)")):
        table = to_dataset(rows[:k], confidence_level=0.95)
        ax = nr.plot.timescales(table)
        assert ax.get_ylabel() == label
        assert ax.lines[0].get_ydata().tolist() == [float(k), 2.0 * k]
    assert nr.plot.timescales(table, name="time_constant").get_ylabel() == "time_constant (s)"
    with pytest.raises(NameUnknownError, match="The table has no quantity 'tau_decai'"):
        nr.plot.timescales(table, name="tau_decai")
    with pytest.raises(NameUnknownError, match="no quantity None"):
        nr.plot.timescales(xr.Dataset({"x": 1.0}))


def test_time_constants_over_steps_are_their_median_and_90_percent():
    # Eleven steps: the median is the sixth; 5 and 95 % lie between the first and the last two.
    values = 2.0 ** np.arange(11)[:, None] * [1.0, 3.0]
    gates = xr.DataArray(
        values[None], dims=("trial", "time", "hidden"), attrs={"units": "s", "long_name": "tau"}
    )
    ax = nr.plot.timescales(gates)
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("time_constant (s)", "hidden")
    assert ax.lines[0].get_ydata() == pytest.approx([32.0, 96.0])
    spans = [(s[0][1], s[1][1]) for s in ax.collections[0].get_segments()]
    # Half-way between the first two and the last two.
    assert spans == [(1.5, 768.0), (4.5, 2304.0)]
    assert nr.plot.timescales(gates.assign_attrs(units="1")).get_ylabel() == "time_constant"
    with pytest.raises(ShapeError, match="An array over hidden came"):
        nr.plot.timescales(gates[0, 0])


def test_ranges_take_their_colours_in_turn_and_the_third_is_hatched():
    expected = {k: [(0.1 * k + 0.1, 0.1 * k + 0.2)] for k in range(5)}
    ax = nr.plot.timescales(constants([0.5, 0.7]), expected=expected)
    patches = ax.patches
    assert [to_rgb(p.get_edgecolor()[:3]) for p in patches] == [
        to_rgb(RANGES[k % 4]) for k in range(5)
    ]
    assert [p.get_hatch() for p in patches] == [None, None, "////", "////", "////"]
    assert [p.get_label() for p in patches] == ["0", "1", "2", "3", "4"]
    twice = nr.plot.timescales(constants([0.5, 0.7]), expected=[(0.1, 0.2), (0.3, 0.4)])
    # One entry in the legend for both.
    assert [p.get_label() for p in twice.patches] == ["expected", "_nolegend_"]
    assert [t.get_text() for t in twice.get_legend().get_texts()] == [
        "expected", "ok, without interval",
    ]  # fmt: skip
    for bad in ((0.1, 0.2, 0.3), [[[0.1, 0.2]]]):
        with pytest.raises(ShapeError, match="expected holds"):
            nr.plot.timescales(constants([0.5]), expected=bad)


@pytest.mark.parametrize(("n_ranges", "beside"), [(2, False), (3, True)])
def test_more_than_three_entries_of_a_legend_stand_beside_the_axes(n_ranges, beside):
    expected = {k: (0.1 * k + 0.1, 0.1 * k + 0.2) for k in range(n_ranges)}
    ax = nr.plot.timescales(constants([0.5, 0.7]), expected=expected)
    # Ranges, and the dots of the units.
    assert len(ax.get_legend().get_texts()) == n_ranges + 1
    anchor = ax.get_legend().get_bbox_to_anchor().transformed(ax.transAxes.inverted())
    assert (anchor.x0 == pytest.approx(1.0)) == beside


def test_numbers_on_the_axis_of_few_decades_are_plain_and_enough():
    def marked(values):
        ax = nr.plot.timescales(constants(values))
        ax.figure.canvas.draw()
        low, high = ax.get_ylim()
        return [t.get_text() for t in ax.get_yticklabels() if low <= t.get_position()[1] <= high]

    # Less than a factor of two: five steps at most, as on a line.
    assert 2 <= len(marked([0.5, 0.55])) <= 6
    assert "0.5" in marked([0.3, 1.0]) and "0.7" in marked([0.3, 1.0])
    some = marked([0.1, 5.0])
    assert "0.2" in some and "0.5" in some and "0.3" not in some
    # More than 300 times: powers of ten.
    wide = marked([0.01, 50.0])
    assert "0.2" not in wide and any("10" in text for text in wide)


def test_names_of_up_to_thirty_units_are_written_upright_where_they_fit():
    thirty = nr.plot.timescales(constants(np.linspace(1, 2, 30)))
    assert len(thirty.get_xticklabels()) == 30 and thirty.get_xlabel() == "unit"
    many = nr.plot.timescales(constants(np.linspace(1, 2, 31)))
    assert many.get_xlabel() == "unit, sorted"
    for size, turned in ((8, 0), (9, 90)):
        # Five names with a space each: 45 letters fit, 50 do not.
        table = constants(np.arange(1.0, 6)).assign_coords(unit=["x" * size] * 5)
        ax = nr.plot.timescales(table)
        assert {t.get_rotation() for t in ax.get_xticklabels()} == {turned}


def test_scores_stand_in_groups_around_their_name():
    models = ["a", "b"]
    table = xr.Dataset(
        {
            "r2": (("model", "horizon"), [[0.5, 0.25, 0.1], [0.4, 0.2, -0.1]], {"units": "1"}),
            "r2_ci": (("model", "horizon", "ci_bound"), np.full((2, 3, 2), np.nan)),
        },
        coords={"model": models, "horizon": [1, 5, 10], "ci_bound": BOUNDS},
    )
    ax = nr.plot.league_scores(table)
    for j, group in enumerate(ax.containers):
        for i, bar in enumerate(group):
            # Three bars share 0.8, with the middle one on the name.
            middle = bar.get_x() + bar.get_width() / 2
            assert middle == pytest.approx(i + (j - 1) * 0.8 / 3)
            assert bar.get_width() == pytest.approx(0.92 * 0.8 / 3)
            assert bar.get_height() == float(table["r2"][i, j])
    assert ax.get_ylabel() == "r2"
    assert [t.get_text() for t in ax.get_xticklabels()] == models
    assert ax.get_xticks().tolist() == [0, 1]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [
        "horizon 1", "horizon 5", "horizon 10",
    ]  # fmt: skip
    assert ax.lines[0].get_ydata() == [0, 0]
