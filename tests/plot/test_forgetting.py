"""Pictures of lifelong learning show the numbers of their tables."""

import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.errors import ShapeError


@pytest.fixture
def table():
    kept = np.array([[1.0, np.nan], [0.25, 1.0]])
    dims = ("after", "task")
    return xr.Dataset(
        {"kept": (dims, kept, {"long_name": "what is left"}), "score": (dims, 0.5 * kept)},
        coords={"after": ["a", "b"], "task": ["a", "b"]},
    )


def test_a_row_is_what_is_left_after_a_task(table):
    ax = nr.plot.forgetting_matrix(table)
    written = {t.get_position(): t.get_text() for t in ax.texts}
    # x is the task, y what was learned last; nothing stands above the diagonal.
    assert written == {(0, 0): "1.00", (0, 1): "0.25", (1, 1): "1.00"}
    assert ax.get_xlabel() == "task"
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"]
    assert ax.get_title() == "what is left"
    ax = nr.plot.forgetting_matrix(table, quantity="score")
    assert {t.get_text() for t in ax.texts} == {"0.50", "0.12"}


def test_dots_stand_at_what_was_expected_and_what_came():
    values = np.full((2, 2, 3, 2), np.nan)
    values[1, 1, :, 0] = [0.1, -0.2, 0.3]
    dims = ("seed", "after", "moment", "task")
    table = xr.Dataset(
        {"overlap": (dims, values), "forgetting": (dims, 2 * values)},
        coords={"seed": [0, 1], "after": ["a", "b"], "task": ["a", "b"]},
    )
    ax = nr.plot.foreseen_forgetting(table, seed=1)
    dots = ax.collections[0].get_offsets()
    assert np.allclose(dots, [[0.1, 0.2], [-0.2, -0.4], [0.3, 0.6]])
    assert len(ax.collections) == 1
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["a"]
    assert not nr.plot.foreseen_forgetting(table, seed=0).collections
    with pytest.raises(ShapeError, match="One of"):
        nr.plot.foreseen_forgetting(table, seed=2)


def test_other_tables_are_refused(table):
    with pytest.raises(ShapeError, match="fit_sequence"):
        nr.plot.forgetting_matrix(xr.Dataset())
    with pytest.raises(ShapeError, match="without lost"):
        nr.plot.forgetting_matrix(table, quantity="lost")
    with pytest.raises(ShapeError, match="overlap"):
        nr.plot.foreseen_forgetting(table)
