"""Pictures of beliefs show the numbers of their tables."""

import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.errors import ShapeError


@pytest.fixture
def sources():
    r2 = np.array([[0.9, 0.8], [0.5, 0.4], [0.7, 0.6]])
    dims = ("source", "question")
    return xr.Dataset(
        {
            "linear_r2": (dims, r2),
            "linear_r2_ci": ((*dims, "ci_bound"), np.stack([r2 - 0.05, r2 + 0.02], axis=-1)),
            "nonlinear_r2": (dims, r2 + 0.01),
        },
        coords={"source": ["network", "window of 1", "untrained"], "question": ["shock", "bad"]},
    )


def test_sources_stand_at_their_r2(sources):
    ax = nr.plot.belief_sources(sources, question="bad")
    dots = ax.collections[1].get_offsets()
    assert np.allclose(dots[:, 0], [0.8, 0.4, 0.6])
    # The first on top, each beside its name.
    names = dict(zip(ax.get_yticks(), [t.get_text() for t in ax.get_yticklabels()], strict=True))
    assert [names[y] for y in dots[:, 1]] == ["network", "window of 1", "untrained"]
    lines = [s[:, 0] for s in ax.collections[0].get_segments()]
    assert np.allclose(lines, [[0.75, 0.82], [0.35, 0.42], [0.55, 0.62]])
    assert "'bad'" in ax.get_xlabel()


def test_a_course_shows_both_beliefs():
    dims = ("time", "question")
    exact = np.linspace(0, 1, 6)[:, None]
    table = xr.Dataset(
        {"exact": (dims, exact), "read": (dims, exact**2), "truth": (dims, exact > 0.5)},
        coords={"time": ("time", 4.0 * np.arange(6), {"units": "h"}), "question": ["shock"]},
    )
    ax = nr.plot.belief_course(table)
    assert np.allclose(ax.lines[0].get_ydata(), exact[:, 0])
    assert np.allclose(ax.lines[1].get_ydata(), exact[:, 0] ** 2)
    assert ax.get_xlabel() == "time (h)"
    with pytest.raises(ShapeError, match="One of shock"):
        nr.plot.belief_course(table, question="sepsis")


def test_other_tables_are_refused(sources):
    with pytest.raises(ShapeError, match="belief"):
        nr.plot.belief_sources(xr.Dataset())
    with pytest.raises(ShapeError, match="One of shock, bad"):
        nr.plot.belief_sources(sources, question="good")
    with pytest.raises(ShapeError, match="exact, read and truth"):
        nr.plot.belief_course(sources)
