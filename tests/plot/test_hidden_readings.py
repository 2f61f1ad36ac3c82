"""Pictures of a hidden variable show the numbers of their tables."""

import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.errors import DataError, ShapeError

SOURCES = ["network", "inputs", "shuffled"]


@pytest.fixture
def scores():
    r2 = np.array([[0.9, 0.8], [0.5, 0.4], [-3.0, 0.0]])
    dims = ("source", "variable")
    return xr.Dataset(
        {
            "linear_r2": (dims, r2),
            "linear_r2_ci": ((*dims, "ci_bound"), np.stack([r2 - 0.05, r2 + 0.02], axis=-1)),
            "nonlinear_r2": (dims, r2 + 0.01),
        },
        coords={"source": SOURCES, "variable": ["shaft_twist", "other"]},
    )


@pytest.fixture
def reading():
    draw = np.random.default_rng(0)
    dims = ("trial", "time", "variable")
    time = ("time", 0.5 * np.arange(10), {"units": "s"})
    return xr.Dataset(
        {
            "true": (dims, draw.normal(size=(2, 10, 2)), {"units": "rad"}),
            "read": (("source", *dims), draw.normal(size=(3, 2, 10, 2)), {"units": "rad"}),
        },
        coords={
            "source": SOURCES, "variable": ["shaft_twist", "other"], "trial": [5, 6], "time": time,
        },
    )  # fmt: skip


def test_sources_stand_at_their_r2(scores):
    ax = nr.plot.hidden_sources(scores, variable="other")
    dots = ax.collections[1].get_offsets()
    assert np.allclose(dots[:, 0], [0.8, 0.4, 0.0])
    names = dict(zip(ax.get_yticks(), [t.get_text() for t in ax.get_yticklabels()], strict=True))
    assert [names[y] for y in dots[:, 1]] == SOURCES
    assert ax.get_xlabel() == "R2 of 'other'"
    # What is far below 0 squeezes nothing.
    low, high = nr.plot.hidden_sources(scores).get_xlim()
    assert low == -0.25 and high > 0.9


def test_the_course_shows_truth_and_readings_of_one_window(reading):
    ax = nr.plot.hidden_course(reading, variable="other", trial=1, t_start=1.0, t_stop=3.0)
    truth, state, inputs = ax.lines
    at = slice(2, 7)
    assert np.allclose(truth.get_xdata(), [1, 1.5, 2, 2.5, 3])
    assert np.allclose(truth.get_ydata(), reading["true"].values[1, at, 1])
    assert np.allclose(state.get_ydata(), reading["read"].values[0, 1, at, 1])
    assert np.allclose(inputs.get_ydata(), reading["read"].values[1, 1, at, 1])
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [
        "truth", "read from the state", "inputs",
    ]  # fmt: skip
    assert ax.get_xlabel() == "time (s)" and ax.get_ylabel() == "other (rad)"
    colours = {line.get_color() for line in ax.lines}
    assert len(colours) == 3


def test_other_tables_are_refused(scores, reading):
    with pytest.raises(ShapeError, match="hidden variable"):
        nr.plot.hidden_sources(xr.Dataset())
    with pytest.raises(ShapeError, match="One of shaft_twist, other"):
        nr.plot.hidden_sources(scores, variable="torque")
    with pytest.raises(ShapeError, match=r"\.reading"):
        nr.plot.hidden_course(scores)
    with pytest.raises(ShapeError, match="Some of network"):
        nr.plot.hidden_course(reading, sources=("untrained",))
    with pytest.raises(ShapeError, match="trial from 0 to 1"):
        nr.plot.hidden_course(reading, trial=2)
    with pytest.raises(DataError, match="No row lies"):
        nr.plot.hidden_course(reading, t_start=50.0)
