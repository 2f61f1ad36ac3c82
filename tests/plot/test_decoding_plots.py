"""Pictures of decoding: what is drawn is what is in the table; the axes come back."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.patches import Circle

import neurornn as nr
from neurornn._core.errors import ThreePartError


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def velocity(n=100, gap=False):
    time = (np.arange(n) + 1) * 0.02
    if gap:
        time[n // 2 :] += 1.0
    return xr.DataArray(
        np.stack([np.sin(time), np.cos(time)], axis=1),
        dims=("time", "axis"),
        coords={"time": time, "axis": ["x", "y"]},
        name="velocity",
        attrs={"units": "cm/s"},
    )


def paths():
    """Two trials from the centre, to the right and up; the second failed."""
    position = np.array([[1.0, 0], [4, 0], [8, 0], [0, 1], [0, 3]])
    target = np.array([[8.0, 0]] * 3 + [[0, 8.0]] * 2)
    return xr.Dataset(
        {
            "position": (("time", "axis"), position, {"units": "cm"}),
            "target": (("time", "axis"), target),
            "trial": ("time", [0, 0, 0, 1, 1]),
            "success": ("interval", [True, False]),
        },
        coords={"axis": ["x", "y"]},
        attrs={"target_radius": 1.0},
    )


def dropping():
    score = np.array([[0.1, 0.3], [0.5, 0.7]])
    return xr.Dataset(
        {"score": (("n_units", "draw"), score, {"long_name": "R2"})}, coords={"n_units": [5, 50]}
    )


def test_traces_one_axes_per_output_with_units_and_band():
    true = velocity()
    predicted = 0.5 * true
    band = np.stack([predicted.values - 1, predicted.values + 1], axis=-1)
    axes = nr.plot.decoded_traces(true, predicted, band)
    assert [ax.get_ylabel() for ax in axes] == ["velocity x (cm/s)", "velocity y (cm/s)"]
    assert axes[-1].get_xlabel() == "time (s)"
    for k, ax in enumerate(axes):
        assert np.array_equal(ax.lines[0].get_ydata(), true.values[:, k])
        assert np.array_equal(ax.lines[1].get_ydata(), predicted.values[:, k])
        drawn = ax.collections[0].get_paths()[0].vertices[:, 1]
        # Drawn from the lower to the upper bound.
        assert drawn.min() == band[:, k].min() and drawn.max() == band[:, k].max()


def test_traces_show_the_range_asked_for_and_break_at_gaps():
    axes = nr.plot.decoded_traces(velocity(), velocity(), t_start=0.5, t_stop=1.0)
    shown = axes[0].lines[0].get_xdata()
    # Stamps are multiples of 0.02 s.
    assert shown[0] == pytest.approx(0.5) and shown[-1] == pytest.approx(1.0)
    axes = nr.plot.decoded_traces(velocity(gap=True), velocity(gap=True))
    assert np.flatnonzero(np.isnan(axes[0].lines[0].get_ydata())).tolist() == [50]


def test_traces_of_an_array_into_given_axes():
    _, mine = plt.subplots()
    axes = nr.plot.decoded_traces(np.arange(5.0), np.ones(5), np.tile([0.0, 2.0], (5, 1)), ax=mine)
    assert axes[0] is mine and mine.get_xlabel() == "row"
    assert mine.lines[0].get_xdata().tolist() == [0, 1, 2, 3, 4]


def test_paths_have_the_colour_of_their_target_and_failures_are_dashed():
    ax = nr.plot.cursor_paths(paths())
    circles = {tuple(c.center): c for c in ax.patches if isinstance(c, Circle)}
    assert set(circles) == {(8.0, 0.0), (0.0, 8.0)}
    assert all(c.radius == 1.0 for c in circles.values())
    right, up = ax.lines
    assert right.get_xdata().tolist() == [1, 4, 8] and up.get_ydata().tolist() == [1, 3]
    assert circles[8.0, 0.0].get_edgecolor()[:3] == pytest.approx(right.get_color())
    assert circles[0.0, 8.0].get_edgecolor()[:3] == pytest.approx(up.get_color())
    assert right.get_linestyle() == "-" and up.get_linestyle() == "--"
    assert "1 failed" in ax.get_title(loc="left") and ax.get_xlabel() == "x (cm)"


def test_paths_of_a_session_and_of_the_loop():
    ax = nr.plot.cursor_paths(nr.simulate.simulate_reaches(8, 2, rng=0))
    # Out and back for each trial; eight targets and the centre.
    assert len(ax.lines) == 16 and len(ax.patches) == 9


def test_confusion_writes_the_counts_and_colours_the_shares():
    table = nr.decode.target_scores(["a", "a", "a", "b"], ["a", "a", "b", "b"])
    ax = nr.plot.confusion(table["confusion"])
    assert np.asarray(ax.images[0].get_array()) == pytest.approx(
        np.array([[2 / 3, 1 / 3], [0, 1]])
    )
    written = {t.get_position(): t.get_text() for t in ax.texts}
    # (column, row): predicted, true.
    assert written == {(0, 0): "2", (1, 0): "1", (1, 1): "1"}
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"]
    assert ax.get_xlabel() == "predicted target" and ax.get_ylabel() == "true target"
    # A class that was never shown has no shares, and no division by 0.
    nr.plot.confusion(np.array([[3, 1], [0, 0]]))


def test_dropping_curve_has_the_mean_and_the_draws():
    ax = nr.plot.dropping_curve(dropping())
    draws, mean = ax.lines
    assert draws.get_ydata().tolist() == [0.1, 0.3, 0.5, 0.7]
    assert mean.get_xdata().tolist() == [5, 50]
    assert mean.get_ydata() == pytest.approx([0.2, 0.6])
    assert ax.get_xscale() == "log" and ax.get_ylabel() == "R2"
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    # 80 % of two draws: a tenth of the way in from both.
    assert band.min() == pytest.approx(0.12) and band.max() == pytest.approx(0.68)


def test_latency_marks_its_percentiles(rng):
    took = np.exp(rng.normal(3.0, 0.2, 5000))
    ax = nr.plot.latency(took)
    marked = [line.get_xdata()[0] for line in ax.lines]
    assert marked == pytest.approx(np.percentile(took, [50, 99, 99.9]))
    assert ax.get_xscale() == "log" and "µs" in ax.get_xlabel()
    assert sum(p.get_height() for p in ax.patches) == 5000
    # A thousandth of a few hundred steps is no step.
    assert len(nr.plot.latency(took[:300]).lines) == 2
    # All alike: a bar and three lines.
    assert sum(p.get_height() for p in nr.plot.latency(np.full(2000, 7.0)).patches) == 2000


@pytest.mark.parametrize("draw", [nr.plot.cursor_paths, nr.plot.dropping_curve])
def test_pictures_are_drawn_into_the_axes_given(draw):
    _, mine = plt.subplots()
    assert draw(paths() if draw is nr.plot.cursor_paths else dropping(), mine) is mine


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: nr.plot.decoded_traces(velocity(), velocity(90)),
            r"true has \(time, output\) \(100, 2\) and predicted \(90, 2\)",
        ),
        (
            lambda: nr.plot.decoded_traces(velocity(), velocity(), np.zeros((100, 2))),
            r"interval has shape \(100, 2\)",
        ),
        (
            lambda: nr.plot.decoded_traces(velocity(), velocity(), t_start=50.0),
            "No row lies between t_start 50.0",
        ),
        (
            lambda: nr.plot.decoded_traces(velocity(), velocity(), ax=plt.subplots()[1]),
            "1 axes came for 2 outputs",
        ),
        (lambda: nr.plot.cursor_paths(np.zeros((5, 2))), "traces is a ndarray"),
        (lambda: nr.plot.cursor_paths(paths().drop_vars("target")), "traces has no target"),
        (lambda: nr.plot.confusion(np.zeros((2, 3))), r"matrix has shape \(2, 3\)"),
        (lambda: nr.plot.confusion(np.array([[1, -1], [0, 1]])), "matrix holds -1"),
        (lambda: nr.plot.dropping_curve(xr.Dataset()), "table is a Dataset without score"),
        (lambda: nr.plot.latency([]), "0 latencies came"),
        (lambda: nr.plot.latency([1.0, -2.0]), "2 latencies came, 1 of them not above 0"),
    ],
)
def test_bad_calls_are_refused_in_three_parts(call, said):
    with pytest.raises(ThreePartError, match=said):
        call()


def test_a_target_at_the_centre_alone_is_grey_and_has_a_size():
    centre = paths().assign(target=(("time", "axis"), np.zeros((5, 2))))
    del centre.attrs["target_radius"]
    ax = nr.plot.cursor_paths(centre)
    (circle,) = [p for p in ax.patches if isinstance(p, Circle)]
    # A twentieth of the reach, and of 1 where there is none.
    assert circle.radius == 0.05
    assert {line.get_color() for line in ax.lines} == {nr.plot.style.DATA}


def test_a_single_row_is_drawn():
    (panel,) = nr.plot.decoded_traces(np.array([2.0]), np.array([3.0]))
    assert [line.get_ydata().tolist() for line in panel.lines] == [[2.0], [3.0]]
    assert panel.get_xlim() == (0.0, 1.0) and panel.get_xlabel() == "row"


def test_new_axes_are_open_to_the_right_and_above():
    ax = nr.plot.dropping_curve(dropping())
    shown = {side: spine.get_visible() for side, spine in ax.spines.items()}
    assert shown == {"left": True, "bottom": True, "top": False, "right": False}
    assert ax.get_xscale() == "log" and (ax.get_xlabel(), ax.get_ylabel()) == ("units", "R2")
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["80 % of the draws", "mean"]


def test_outputs_stand_one_below_the_other_on_one_clock():
    axes = nr.plot.decoded_traces(velocity(), velocity())
    boxes = [ax.get_position() for ax in axes]
    assert boxes[0].y0 > boxes[1].y1 and boxes[0].x0 == pytest.approx(boxes[1].x0, abs=0.05)
    assert axes[0].get_shared_x_axes().joined(axes[0], axes[1])


def test_bounds_come_with_their_axes_in_any_order_and_everything_is_in_the_legend():
    true = velocity()
    bounds = xr.concat([true - 0.1, true + 0.3], "ci_bound")
    assert bounds.dims == ("ci_bound", "time", "axis")
    for given in (
        bounds,
        bounds.transpose("axis", "ci_bound", "time"),
        bounds.values.T.swapaxes(0, 1),
    ):
        axes = nr.plot.decoded_traces(true, true, given)
        for k, ax in enumerate(axes):
            band = ax.collections[0].get_paths()[0].vertices[:, 1]
            values = true.values[:, k]
            assert (band.min(), band.max()) == pytest.approx(
                (values.min() - 0.1, values.max() + 0.3)
            )
        legend = axes[0].get_legend().get_texts()
        assert [t.get_text() for t in legend] == ["interval", "true", "decoded"]
        plt.close("all")
