"""Traces and losses, mark by mark, and what is drawn where there is little to draw."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgb

import neurornn as nr
from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError
from neurornn.plot.style import DATA, EVENT, FIT, shown_range, unit_label


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def traces(values, time=None, **attrs):
    values = np.asarray(values, dtype=float)
    time = np.arange(1, len(values) + 1) / 10 if time is None else time
    dims = ("time", "unit")[: values.ndim]
    return xr.DataArray(values, dims=dims, coords={"time": time}, attrs=attrs, name="dff")


def events(time, size, unit=0):
    unit = np.broadcast_to(unit, len(time))
    return xr.Dataset(
        {"event_time": ("event", time), "event_size": ("event", size),
         "event_unit": ("event", unit)}
    )  # fmt: skip


def test_axes_legend_title_and_colours_of_a_trace():
    data = traces([[0.0, 5], [1, 6], [3, 7], [2, 8]], units="mV")
    ax = nr.plot.trace(data, fit=data, events=events([0.2], [1.0]))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time (s)", "dff (mV)")
    assert ax.get_title(loc="left") == "unit 0"
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["data", "fit", "events"]
    assert [to_rgb(line.get_color()) for line in ax.lines] == [to_rgb(DATA), to_rgb(FIT)]
    assert to_rgb(ax.collections[0].get_color()[0][:3]) == to_rgb(EVENT)
    assert ax.get_xlim() == (0.1, 0.4)
    nameless = traces([0.0, 1, 2]).rename(None)
    ax = nr.plot.trace(nameless, title="mine")
    assert (ax.get_ylabel(), ax.get_title(loc="left")) == ("signal", "mine")
    assert nr.plot.trace(nameless).get_title(loc="left") == "unit "
    assert [s for s in ("top", "right") if ax.spines[s].get_visible()] == []
    assert [s for s in ("left", "bottom") if ax.spines[s].get_visible()] == ["left", "bottom"]


def test_a_line_breaks_at_a_step_longer_than_half_as_much_again():
    time = np.array([1.0, 2, 3, 4.5, 5.5, 7.1, 8.1])
    data = traces(np.arange(7.0), time)
    ax = nr.plot.trace(data, fit=data + 1)
    for line, first in zip(ax.lines, (0.0, 1.0), strict=True):
        seen = line.get_ydata()
        assert np.isnan(seen).tolist() == [False] * 5 + [True, False]
        assert seen[0] == first and line.get_xdata().tolist() == time.tolist()


def test_events_below_a_trace_that_is_flat_or_missing():
    # Height 0.14 of the range, from a fifth of it below the trace; a flat one has a range of 1.
    for values, base in (([2.0, 2, 2], 1.8), ([np.nan] * 3, -0.2)):
        ax = nr.plot.trace(traces(values), events=events([0.1, 0.2], [4.0, 2.0]))
        spans = [(s[0][1], s[1][1]) for s in ax.collections[0].get_segments()]
        expected = [(base, base + 0.14), (base, base + 0.07)]
        assert np.array(spans) == pytest.approx(np.array(expected))
    # Without a size all are as small as the smallest.
    ax = nr.plot.trace(traces([0.0, 1, 2]), events=events([0.1, 0.2], [0.0, 0.0]))
    assert [s[1][1] - s[0][1] for s in ax.collections[0].get_segments()] == pytest.approx(
        [0.14 * 2 * 0.15] * 2
    )
    # None of this unit: nothing is drawn, and nothing breaks.
    none = nr.plot.trace(traces([0.0, 1, 2]), events=events([0.1], [1.0], unit=3))
    assert len(none.collections[0].get_segments()) == 0


def test_a_range_holds_its_ends_and_frames_and_events_in_it():
    data = traces(np.arange(6.0))
    ax = nr.plot.trace(data, events=events([0.19, 0.2, 0.4, 0.41], [1.0, 2, 2, 8]),
                       t_start=0.2, t_stop=0.4)  # fmt: skip
    assert ax.lines[0].get_ydata().tolist() == [1.0, 2.0, 3.0]
    heights = [s[1][1] - s[0][1] for s in ax.collections[0].get_segments()]
    # Heights are relative to the largest event of the unit, drawn or not; the range is 2.
    assert heights == pytest.approx([0.14 * 2 * 0.25] * 2)
    assert ax.get_xlim() == (0.2, 0.4)
    assert nr.plot.trace(data, t_start=0.3, t_stop=0.3).get_xlim() == pytest.approx((0.3, 1.3))
    with pytest.raises(DataError, match=r"No row lies between t_start 0\.21 and t_stop 0\.29"):
        nr.plot.trace(data, t_start=0.21, t_stop=0.29)
    shown, low, high = shown_range(np.array([1.0, 2.0, 3.0]), None, 2.0)
    assert (shown.tolist(), low, high) == ([True, True, False], 1.0, 2.0)
    shown, low, high = shown_range(np.array([1.0, 2.0, 3.0]), 2.0, None)
    assert (shown.tolist(), low, high) == ([False, True, True], 2.0, 3.0)


def test_what_is_no_trace_is_named():
    data = traces([[0.0, 5], [1, 6]])
    for call, kind, said in (
        (lambda: nr.plot.trace(data.values), KindError, "data is a ndarray"),
        (lambda: nr.plot.trace(data.rename(unit="cell")), ShapeError,
         r"data has dims \('time', 'cell'\) and shape \(2, 2\)"),
        (lambda: nr.plot.trace(data[:0]), ShapeError, r"shape \(0, 2\)"),
        (lambda: nr.plot.trace(data.isel(time=0)), ShapeError, r"dims \('unit',\)"),
        (lambda: nr.plot.trace(data, unit=2), NameUnknownError, "There is no unit 2"),
        (lambda: nr.plot.trace(data, fit=data[:1]), ShapeError,
         "fit has 1 frames and data 2, or at other times"),
    ):  # fmt: skip
        with pytest.raises(kind, match=said):
            call()


@pytest.mark.parametrize(("n", "marker"), [(29, "."), (30, "")])
def test_a_short_course_of_losses_has_a_dot_for_each_epoch(n, marker):
    history = xr.Dataset({"loss": ("epoch", np.linspace(2, 1, n))}, {"epoch": np.arange(n)})
    ax = nr.plot.history(SimpleNamespace(history=history))
    (line,) = ax.lines
    assert line.get_marker() == (marker or "None") or line.get_marker() == marker
    assert line.get_xdata().tolist() == list(range(n)) and line.get_label() == "training"
    assert to_rgb(line.get_color()) == to_rgb(DATA)


def test_a_validation_part_is_drawn_where_there_is_one():
    loss = ("epoch", [3.0, 2.0, 1.0])
    none = xr.Dataset({"loss": loss, "validation_loss": ("epoch", [np.nan] * 3)},
                      {"epoch": [5, 6, 7]})  # fmt: skip
    assert [line.get_label() for line in nr.plot.history(none).lines] == ["training"]
    some = none.assign(validation_loss=("epoch", [np.nan, 1.0, 4.0]))
    _, mine = plt.subplots()
    ax = nr.plot.history(some, ax=mine)
    assert ax is mine and ax.get_yscale() == "log"
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [
        "training", "validation", "best",
    ]  # fmt: skip
    assert ax.lines[2].get_xydata().tolist() == [[6.0, 1.0]]
    assert [to_rgb(x.get_color()) for x in ax.lines[1:]] == [to_rgb(FIT), to_rgb(EVENT)]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss")


def test_an_axis_names_the_unit_where_there_is_one():
    for units, label in (("mV", "x (mV)"), ("1", "x"), ("", "x")):
        assert unit_label(xr.DataArray(0, attrs={"units": units}), "x") == label
    assert unit_label(xr.DataArray(0), "x") == "x"
