"""Pictures of decoding, mark by mark: where each lies, what it is called, which colour it has."""

import colorsys

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgb
from matplotlib.patches import Circle

import neurornn as nr
from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError
from neurornn.plot.style import DATA, EVENT, FIT


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def texts(of):
    return [t.get_text() for t in of]


def output(n=20, gap=None, name="velocity", **more):
    time = (np.arange(n) + 1) * 0.1
    if gap is not None:
        time[gap:] += 5.0
    values = np.stack([np.arange(n) * 1.0, 10 - np.arange(n) * 2.0], axis=1)
    coords = {"time": time, "output": ["x", "y"], **more}
    return xr.DataArray(values, dims=("time", "output"), coords=coords, name=name)


def test_lines_break_before_the_first_frame_after_a_gap_and_nowhere_else():
    axes = nr.plot.decoded_traces(output(gap=12), output(gap=12) + 1)
    for k, ax in enumerate(axes):
        for line, more in zip(ax.lines, (0, 1), strict=True):
            seen = line.get_ydata()
            assert np.flatnonzero(np.isnan(seen)).tolist() == [12]
            known = ~np.isnan(seen)
            assert np.array_equal(seen[known], output().values[known, k] + more)
        assert texts([ax.yaxis.label]) == [f"velocity {'xy'[k]}"]
        assert [to_rgb(line.get_color()) for line in ax.lines] == [to_rgb(DATA), to_rgb(FIT)]
    assert axes[0].get_xlabel() == "" and axes[1].get_xlabel() == "time (s)"
    assert axes[0].get_xlim() == pytest.approx((0.1, 7.0))


def test_labels_are_those_of_the_outputs_or_numbers():
    plain = output().values
    assert [a.get_ylabel() for a in nr.plot.decoded_traces(plain, plain)] == [
        "output 0",
        "output 1",
    ]
    one = output()[:, 0].drop_vars("output").rename("speed").assign_attrs(units="cm/s")
    (ax,) = nr.plot.decoded_traces(one, one.values)
    assert ax.get_ylabel() == "speed (cm/s)"
    nameless = output(name=None).assign_attrs(units="1")
    assert [a.get_ylabel() for a in nr.plot.decoded_traces(nameless, nameless)] == ["x", "y"]
    turned = output().transpose("output", "time")
    lines = nr.plot.decoded_traces(turned, turned)[1].lines
    assert np.array_equal(lines[0].get_ydata(), plain[:, 1])
    (alone,) = nr.plot.decoded_traces(
        plain[:, 0], plain[:, 0], np.stack([plain[:, 0]] * 2, axis=-1)
    )
    assert len(alone.collections) == 1 and alone.get_xlabel() == "row"


def test_what_does_not_go_together_is_refused():
    good, few = output(), output(19)
    for call, kind, said in (
        (
            lambda: nr.plot.decoded_traces(good, few),
            ShapeError,
            r"true has \(time, output\) \(20, 2\) and predicted \(19, 2\)",
        ),
        (
            lambda: nr.plot.decoded_traces(np.zeros((2, 2, 2)), np.zeros((2, 2, 2))),
            ShapeError,
            r"true has shape \(2, 2, 2\)",
        ),
        (
            lambda: nr.plot.decoded_traces(np.zeros((0, 2)), np.zeros((0, 2))),
            ShapeError,
            r"true has shape \(0, 2\)",
        ),
        (
            lambda: nr.plot.decoded_traces(good, good, np.zeros((20, 2))),
            ShapeError,
            r"interval has shape \(20, 2\)",
        ),
        (
            lambda: nr.plot.decoded_traces(good, good, ax=plt.subplots(1, 3)[1]),
            ShapeError,
            "3 axes came for 2 outputs",
        ),
        (
            lambda: nr.plot.decoded_traces(good, good, t_start=7.0),
            DataError,
            "No row lies between t_start 7.0",
        ),
        (lambda: nr.plot.confusion(np.ones((2, 3))), ShapeError, r"matrix has shape \(2, 3\)"),
        (lambda: nr.plot.confusion(np.ones(3)), ShapeError, r"matrix has shape \(3,\)"),
        (lambda: nr.plot.confusion(np.zeros((0, 0))), ShapeError, r"matrix has shape \(0, 0\)"),
        (lambda: nr.plot.confusion([[1, 0], [-1, 2]]), DataError, "matrix holds -1"),
        (lambda: nr.plot.latency([]), DataError, "0 latencies came"),
        (lambda: nr.plot.latency([1.0, 0.0]), DataError, "2 latencies came, 1 of them not"),
        (lambda: nr.plot.latency([1.0, np.nan]), DataError, "2 latencies came, 1 of them not"),
        (lambda: nr.plot.latency(xr.Dataset({"p50": 1.0})), KindError, "A table with p50 came"),
        (
            lambda: nr.plot.dropping_curve(xr.Dataset({"r2": 1.0})),
            KindError,
            "table is a Dataset without score",
        ),
        (lambda: nr.plot.dropping_curve("table"), KindError, "table is a str without score"),
        (
            lambda: nr.plot.cursor_paths(reaches().drop_vars("trial")),
            NameUnknownError,
            "traces has no trial",
        ),
        (
            lambda: nr.plot.cursor_paths(reaches().isel(axis=[0])),
            ShapeError,
            "position has 1 axes of space",
        ),
    ):
        with pytest.raises(kind, match=said):
            call()


def reaches(success=(True, False, True)):
    """Three trials: to the right, up, and back to the centre."""
    position = np.array([[1.0, 0], [7, 0], [0, 2], [0, 6], [0, 3], [0, 0]])
    target = np.repeat([[8.0, 0.0], [0.0, 8.0], [0.0, 0.0]], 2, axis=0)
    return xr.Dataset(
        {
            "position": (("time", "axis"), position, {"units": "cm"}),
            "target": (("time", "axis"), target),
            "trial": ("time", [0, 0, 1, 1, 2, 2]),
            "success": ("interval", list(success)),
        },
        coords={"axis": ["x", "y"]},
        attrs={"target_radius": 1.5},
    )


def test_each_path_goes_with_its_target_in_its_colour():
    ax = nr.plot.cursor_paths(reaches())
    # Hue by direction, 0.8 of full brightness; the centre is grey.
    hues = {(8.0, 0.0): 0.0, (0.0, 8.0): 0.25}
    for circle in (p for p in ax.patches if isinstance(p, Circle)):
        assert circle.radius == 1.5
        seen, place = to_rgb(circle.get_edgecolor()[:3]), tuple(circle.center)
        if place == (0.0, 0.0):
            assert seen == to_rgb(DATA)
            continue
        hue, _, bright = colorsys.rgb_to_hsv(*seen)
        # The map has 256 colours.
        assert abs((hue - hues[place] + 0.5) % 1 - 0.5) < 0.01
        assert bright == pytest.approx(0.8, abs=0.01)
    assert len(ax.patches) == 3
    paths = [line.get_xydata().tolist() for line in ax.lines]
    assert paths == [[[1, 0], [7, 0]], [[0, 2], [0, 6]], [[0, 3], [0, 0]]]
    assert [line.get_linestyle() for line in ax.lines] == ["-", "--", "-"]
    edges = {tuple(p.center): to_rgb(p.get_edgecolor()[:3]) for p in ax.patches}
    goals = [(8.0, 0.0), (0.0, 8.0), (0.0, 0.0)]
    assert [to_rgb(line.get_color()) for line in ax.lines] == [edges[g] for g in goals]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x (cm)", "y (cm)")
    assert ax.get_title(loc="left") == "dashed: 1 failed" and ax.get_aspect() == 1.0


def test_paths_break_where_the_trial_or_the_target_changes():
    one = reaches().assign(trial=("time", [4] * 6)).drop_vars("success")
    assert [len(line.get_xdata()) for line in nr.plot.cursor_paths(one).lines] == [2, 2, 2]
    same = reaches().assign(target=(("time", "axis"), np.tile([8.0, 0.0], (6, 1))))
    ax = nr.plot.cursor_paths(same.transpose("axis", ...))
    assert [len(line.get_xdata()) for line in ax.lines] == [2, 2, 2] and len(ax.patches) == 1
    unlabelled = reaches((True,) * 3).drop_vars("axis")
    ax = nr.plot.cursor_paths(unlabelled)
    assert (ax.get_xlabel(), ax.get_title(loc="left")) == ("x (cm)", "")
    del unlabelled.attrs["target_radius"]
    # A twentieth of the reach.
    assert nr.plot.cursor_paths(unlabelled).patches[0].radius == pytest.approx(0.4)


def test_a_confusion_is_coloured_by_the_share_of_its_row():
    counts = xr.DataArray(
        [[6.0, 4.0, 0.0], [1.0, 9.0, 0.0], [0.0, 0.0, 0.0]],
        dims=("true_target", "predicted_target"),
        coords={"true_target": ["up", "left", "none"]},
    )
    ax = nr.plot.confusion(counts)
    shares = [[0.6, 0.4, 0.0], [0.1, 0.9, 0.0], [0.0, 0.0, 0.0]]
    image = ax.images[0]
    assert image.get_array().tolist() == shares and image.get_clim() == (0, 1)
    # Above 0.55 the cell is dark and its number white.
    told = {t.get_text(): t.get_color() for t in ax.texts}
    assert told == {"6": "white", "4": "black", "1": "black", "9": "white"}
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted target", "true target")
    for axis in (ax.get_xticklabels(), ax.get_yticklabels()):
        assert texts(axis) == ["up", "left", "none"]
    assert [t.get_rotation() for t in ax.get_xticklabels()] == [90.0] * 3
    assert image.colorbar.ax.get_ylabel() == "share of true target"
    assert not any(s.get_visible() for s in ax.spines.values())
    plain = nr.plot.confusion([[2, 0], [1, 1]])
    assert texts(plain.get_xticklabels()) == ["0", "1"] and plain.get_ylabel() == "true"
    assert [t.get_rotation() for t in plain.get_xticklabels()] == [0.0] * 2
    for n, written in ((16, 16), (17, 0)):
        assert len(nr.plot.confusion(np.eye(n)).texts) == written


def test_the_band_of_a_dropping_curve_holds_the_middle_of_the_draws():
    score = np.arange(22.0).reshape(11, 2) ** 2
    table = xr.Dataset({"score": (("draw", "n_units"), score)}, coords={"n_units": [3, 30]})
    ax = nr.plot.dropping_curve(table)
    band = ax.collections[0].get_paths()[0].vertices
    for k, n in enumerate((3, 30)):
        at = band[band[:, 0] == n, 1]
        # The second and the tenth of eleven.
        assert (at.min(), at.max()) == (score[1, k], score[9, k])
    dots, mean = ax.lines
    assert sorted(map(tuple, dots.get_xydata())) == sorted(
        (n, score[j, k]) for k, n in enumerate((3, 30)) for j in range(11)
    )
    assert mean.get_ydata().tolist() == pytest.approx(score.mean(axis=0).tolist())
    assert texts(ax.get_xticklabels()) == ["3", "30"] and ax.get_ylabel() == "score"


@pytest.mark.parametrize(("n", "marks"), [(999, 2), (1000, 3)])
def test_latencies_are_counted_in_equal_steps_of_the_logarithm(n, marks):
    took = np.geomspace(10, 40, n)
    ax = nr.plot.latency(took)
    assert sum(p.get_height() for p in ax.patches) == n
    edges = np.array([p.get_x() for p in ax.patches])
    ratio = edges[1:] / edges[:-1]
    assert ratio == pytest.approx(np.full(len(ratio), ratio[0]))
    assert edges[0] == pytest.approx(10 / 4**0.02)
    assert [line.get_xdata()[0] for line in ax.lines] == pytest.approx(
        np.percentile(took, [50, 99, 99.9][:marks]).tolist()
    )
    assert [line.get_linestyle() for line in ax.lines] == ["-", "--", ":"][:marks]
    assert {to_rgb(line.get_color()) for line in ax.lines} == {to_rgb(EVENT)}
    legend = texts(ax.get_legend().get_texts())
    assert [t.split()[0] for t in legend] == ["p50", "p99", "p99.9"][:marks]
    assert legend[0] == "p50 20 µs" and (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("latency (µs)", "steps")
    # A single step in a bin is seen.
    assert 0 < ax.get_ylim()[0] < 1


def test_equal_latencies_have_a_bin_of_their_own():
    ax = nr.plot.latency([5.0] * 8)
    assert sum(p.get_height() for p in ax.patches) == 8
    assert ax.patches[0].get_x() == pytest.approx(5 / 1.1**0.02)
