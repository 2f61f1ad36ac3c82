"""Maps of mutations: each cell where it belongs, measured beside predicted; calibration."""

import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.errors import ShapeError

AMINO = "ACDEFGHIKLMNPQRSTVWY"
WILD = "MKT"


@pytest.fixture
def table():
    costs = np.arange(60.0).reshape(3, 20) / 10
    for k, letter in enumerate(WILD):
        costs[k, AMINO.index(letter)] = 0
    return xr.Dataset(
        {
            "ddg": (
                ("position", "residue"),
                costs,
                {"units": "kcal/mol", "long_name": "change of folding free energy"},
            ),
            "wild_type": ("position", list(WILD)),
        },
        {"position": [1, 2, 3], "residue": list(AMINO)},
    )


def cell(ax, position, residue, half=None):
    """Value that is drawn where the axes say that a residue at a position is."""
    image = ax.images[0]
    values = np.ma.filled(image.get_array(), np.nan)
    left, right, bottom, top = image.get_extent()
    x = position + (0.0 if half is None else -0.25 if half == "left" else 0.25)
    labels = [t.get_text() for t in ax.get_yticklabels()]
    y = ax.get_yticks()[labels.index(residue)]
    column = int((x - left) / (right - left) * values.shape[1])
    row = int((y - top) / (bottom - top) * values.shape[0])
    return float(values[row, column])


def test_every_cell_is_that_of_its_residue_and_position(table):
    ax = nr.plot.ddg_map(table)
    for position in (1, 2, 3):
        for residue in AMINO:
            said = float(table["ddg"].sel(position=position, residue=residue))
            assert cell(ax, position, residue) == said
    (dots,) = ax.lines
    labels = [t.get_text() for t in ax.get_yticklabels()]
    assert [labels[int(y)] for y in dots.get_ydata()] == list(WILD)
    assert dots.get_xdata().tolist() == [1, 2, 3]
    assert "kcal/mol" in ax.figure.axes[-1].get_ylabel()


def test_measured_stands_on_the_right_of_predicted(table):
    measured = xr.Dataset(
        {
            "ddg": ("variant", [2.5, -1.0, 9.0]),
            "mutation": ("variant", ["K2A", "T3W", "M1A:K2R"]),
        }
    )
    ax = nr.plot.ddg_map(table, measured)
    assert cell(ax, 2, "A", "right") == 2.5
    assert cell(ax, 2, "A", "left") == float(table["ddg"].sel(position=2, residue="A"))
    assert cell(ax, 3, "W", "right") == -1.0
    assert np.isnan(cell(ax, 1, "A", "right"))
    assert "stretched" not in ax.figure.axes[-1].get_ylabel()
    with pytest.raises(ShapeError, match="K9A was measured"):
        nr.plot.ddg_map(table, measured.assign(mutation=("variant", ["K9A", "T3W", "WT"])))


def test_fitness_is_turned_and_stretched(table):
    fit = xr.Dataset({"fitness": ("variant", [3.0, 1.0]), "mutation": ("variant", ["K2A", "K2W"])})
    ax = nr.plot.ddg_map(table, fit)
    assert cell(ax, 2, "A", "right") < cell(ax, 2, "W", "right")
    both = [float(table["ddg"].sel(position=2, residue=r)) for r in "AW"]
    drawn = [cell(ax, 2, r, "right") for r in "AW"]
    assert np.mean(drawn) == pytest.approx(np.mean(both))
    assert np.std(drawn) == pytest.approx(np.std(both))
    assert "stretched" in ax.figure.axes[-1].get_ylabel()


def test_calibration_shows_means_of_tenths():
    draw = np.random.default_rng(0)
    predicted = np.sort(draw.random(200))
    measured = predicted + 0.3 * draw.standard_normal(200)
    held = xr.Dataset(
        {
            "predicted": ("variant", predicted, {"units": "kcal/mol"}),
            "measured": ("variant", measured, {"units": "kcal/mol"}),
        }
    )
    ax = nr.plot.ddg_calibration(held)
    means = ax.lines[0]
    assert means.get_xdata() == pytest.approx(predicted.reshape(10, 20).mean(1))
    assert means.get_ydata() == pytest.approx(measured.reshape(10, 20).mean(1))
    (bars,) = ax.collections
    first = bars.get_segments()[0]
    assert first[:, 1] == pytest.approx(np.quantile(measured[:20], [0.1, 0.9]))
    with pytest.raises(ShapeError, match=r"model\.held_out_"):
        nr.plot.ddg_calibration(xr.Dataset())
