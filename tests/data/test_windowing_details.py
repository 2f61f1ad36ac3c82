"""Windows and samples to the frame: defaults, labels, attributes, and what is refused."""

import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError, SplitError
from neurornn.data.moments import Moments, ridge_weights
from neurornn.data.rows import as_samples, n_dims
from neurornn.data.samples import (
    Samples,
    blocks_of,
    check_fractions,
    cut_points,
    history,
    joined,
    parts_in_order,
    runs_of,
    whole_windows,
    window_edges,
)
from neurornn.data.series import as_series

DT = 0.1


def recording(n=100, **more):
    time = (np.arange(n) + 1) * DT
    values = np.arange(2.0 * n).reshape(n, 2)
    attrs = {"sampling_rate": 1 / DT, "units": "mV"}
    made = xr.Dataset({"x": (("time", "unit"), values, attrs)}, coords={"time": time})
    return made.assign(more)


def test_a_quarter_of_a_window_warms_up_and_trials_start_at_rest():
    found = nr.data.windows(recording(), inputs="x", targets="x", duration=2.0)
    # 20 frames, of which 5 warm up: windows begin every 15.
    assert found["start"].values == pytest.approx(np.arange(0, 10, 1.5)[:7])
    assert found.attrs == {"dt": pytest.approx(DT), "warmup": pytest.approx(0.5), "horizon": 0}
    assert found["mask"].values[0, :, 0].tolist() == [False] * 5 + [True] * 15
    assert found["time"].values == pytest.approx(np.arange(1, 21) * DT)
    assert found["inputs"].attrs["units"] == "mV" and found["targets"].attrs["units"] == "mV"
    assert found["mask"].attrs == {"long_name": "True where the target is scored"}
    assert found["start"].attrs == {"units": "s", "long_name": "start on the recording's clock"}
    assert found["time"].attrs["long_name"] == "time since the start of the window"
    trials = nr.data.set_intervals(recording(), [0.0, 4.0], [3.0, 9.0])
    found = nr.data.windows(trials, inputs="x", targets="x", duration=5.0, trials=True)
    assert found["start"].values == pytest.approx([0.0, 4.0]) and found.attrs["warmup"] == 0.0
    assert found["mask"].values[:, :, 0].sum(axis=1).tolist() == [30, 50]
    assert found["inputs"].values[1, 0].tolist() == [80.0, 81.0]
    # Of a trial that is longer than a window the rest is left.
    short = nr.data.windows(trials, inputs="x", targets="x", duration=2.0, trials=True)
    assert short["mask"].values[:, :, 0].sum(axis=1).tolist() == [20, 20]


def test_several_variables_stand_side_by_side_under_their_names():
    time = recording()["time"]
    one = xr.DataArray(np.zeros(100), dims="time", coords={"time": time}, name="speed")
    both = recording().assign(speed=one, y=recording()["x"] + 1)
    found = nr.data.windows(both, inputs=["x", "speed"], targets="x", duration=2.0)
    # Labels that stand twice get the names of their variables.
    assert found["input"].values.tolist() == ["x 0", "x 1", "speed 0"]
    assert "units" not in found["inputs"].attrs
    found = nr.data.windows(both, inputs=["x", "y"], targets=["speed"], duration=2.0)
    assert found["input"].values.tolist() == ["x 0", "x 1", "y 0", "y 1"]
    assert found["output"].values.tolist() == ["0"]
    named = both.assign_coords(unit=["a", "b"])
    found = nr.data.windows(named, inputs=["x", "speed"], targets="x", duration=2.0)
    assert found["input"].values.tolist() == ["a", "b", "0"]


def test_intervals_and_spikes_are_inputs_on_the_frames():
    rec = nr.data.set_intervals(recording(20), [0.0], [2.0])
    rec = nr.data.add_spikes(rec, [[0.05, 0.1], [1.95]])
    rec["start"][:], rec["stop"][:] = 0.5, 1.5
    found = nr.data.windows(rec, inputs=["interval", "spikes"], targets="x", duration=2.0,
                            warmup=0.0)  # fmt: skip
    # What was recorded is (0.5, 1.5]: ten frames of one window.
    assert found["inputs"].values[0, :, 0].tolist() == [1.0] * 10
    whole = nr.data.windows(
        rec.drop_dims("interval"), inputs="spikes", targets="x", duration=2.0, warmup=0.0
    )
    assert np.argwhere(whole["inputs"].values[0]).tolist() == [[0, 0], [19, 1]]
    assert whole["inputs"].values[0, 0, 0] == 2.0


def test_blocks_of_a_recording_are_cut_before_their_windows():
    parts = nr.data.windows(
        recording(), inputs="x", targets="x", duration=1.0, warmup=0.0, fractions=(0.5, 0.5)
    )
    # Nine seconds for two parts, a second between: 4.5 s each.
    assert [float(p["start"][0]) for p in parts] == pytest.approx([0.0, 5.5])
    assert [int(p["mask"].sum()) for p in parts] == [90, 90]


@pytest.mark.parametrize(
    ("settings", "kind", "said"),
    [
        ({"inputs": "y"}, NameUnknownError, "The recording has no variable 'y'"),
        ({"targets": "interval"}, KindError, "'interval' came as targets"),
        ({"inputs": []}, DataError, "No inputs came"),
        ({"inputs": "flat"}, ShapeError, r"flat has dims \('unit',\)"),
        ({"targets": ["x", "late"]}, ShapeError, r"The targets have \[50, 100\] frames"),
        ({"warmup": 2.0}, DataError, "warmup is 20 and duration 20 frames"),
        ({"recording": 3}, KindError, "recording is a int"),
    ],
)
def test_what_makes_no_windows_is_named(settings, kind, said):
    late = xr.DataArray(np.zeros(50), dims="time", coords={"time": (np.arange(50) + 1) * DT})
    given = {"recording": recording(flat=("unit", [1.0, 2.0])), "inputs": "x", "targets": "x",
             "duration": 2.0, **settings}  # fmt: skip
    if settings.get("targets") == ["x", "late"]:
        given["targets"] = ["x", late]
    with pytest.raises(kind, match=said):
        nr.data.windows(given.pop("recording"), **given)


# ------------------------------------------------------------------ samples


@pytest.mark.parametrize(
    ("start", "stop", "n", "warm", "whole", "edges"),
    [
        (0, 10, 5, 0, False, [(0, 5), (5, 10)]),
        (0, 11, 5, 0, False, [(0, 5), (5, 10), (10, 11)]),
        (2, 12, 5, 2, False, [(2, 7), (5, 10), (8, 12)]),
        (0, 5, 5, 2, False, [(0, 5)]),
        (0, 3, 5, 2, False, []),
        (0, 4, 5, 2, False, [(0, 4)]),
        (0, 6, 5, 2, False, [(0, 5), (3, 6)]),
        (0, 1, 5, 0, False, []),
        (0, 2, 5, 0, False, [(0, 2)]),
        (3, 3, 5, 0, True, []),
        (3, 2, 5, 0, False, []),
        (3, 4, 5, 0, True, [(3, 4)]),
        (3, 20, 5, 0, True, [(3, 8)]),
    ],
)
def test_edges_of_windows_overlap_by_the_warm_up(start, stop, n, warm, whole, edges):
    assert window_edges(start, stop, n, warm, whole=whole) == edges


def test_runs_and_blocks_are_two_views_of_one_thing():
    run = np.array([0, 0, 1, 1, 1, 3])
    assert blocks_of(run).tolist() == [[0, 2], [2, 5], [5, 6]]
    assert runs_of(blocks_of(run)).tolist() == [0, 0, 1, 1, 1, 2]
    assert history(np.array([[1], [2], [3]]), 2).tolist() == [[0, 1], [1, 2], [2, 3]]
    assert history(np.array([[1], [2]]), 1).tolist() == [[1], [2]]
    inside = np.array([True, True, True, False, True, True])
    assert whole_windows(inside, np.zeros(6, int), 2).tolist() == [
        False, True, True, False, False, True,
    ]  # fmt: skip
    assert whole_windows(inside, run, 1).tolist() == inside.tolist()


def test_what_one_part_lacks_all_of_them_lack():
    full = as_samples(np.ones((2, 1)), np.zeros(2))._replace(time=np.arange(2.0))
    bare = as_samples(np.ones((3, 1)))
    for parts in ([full, bare], [bare, full]):
        both = joined(parts)
        assert both.targets is None and both.time is None and both.mask is None
        assert both.run.tolist() in ([0, 0, 1, 1, 1], [0, 0, 0, 1, 1])
    assert joined([full, full]).time.tolist() == [0.0, 1.0, 0.0, 1.0]
    with pytest.raises(DataError, match="The unit of the targets of trial 1 are cm, those of the"):
        joined([full, full._replace(units="cm")])


def test_fractions_and_cuts():
    assert check_fractions((0.5, 0.5 + 9e-7)).sum() == pytest.approx(1.0, abs=1e-15)
    for bad, said in (
        ((0.5, 0.5 + 2e-6), r"fractions is \(0\.5, 0\.500002\), 2 with sum 1"),
        ((1.0,), "1 with sum 1"),
        ((1.0, 0.0), "2 with sum 1"),
        ((1.5, -0.5), "2 with sum 1"),
    ):
        with pytest.raises(SplitError, match=said):
            check_fractions(bad)
    assert cut_points(10, np.array([0.7, 0.15, 0.15]), "x").tolist() == [7, 8]
    assert cut_points(3, np.array([0.01, 0.01, 0.98]), "x").tolist() == [1, 2]
    assert cut_points(3, np.array([0.98, 0.01, 0.01]), "x").tolist() == [1, 2]
    assert cut_points(6, np.array([0.9, 0.05, 0.05]), "x").tolist() == [4, 5]
    with pytest.raises(SplitError, match="2 trials came for 3 parts"):
        cut_points(2, np.array([0.4, 0.3, 0.3]), "trials")
    assert [p.tolist() for p in parts_in_order(8, (0.5, 0.5), 2)] == [[0, 1, 2, 3], [6, 7]]
    with pytest.raises(SplitError, match="4 rows came for 2 parts, 2 left out"):
        parts_in_order(4, (0.5, 0.5), 2)


def test_rows_of_what_has_one_dimension_or_none():
    assert as_samples([1.0, 2.0]).values.tolist() == [[1.0], [2.0]]
    assert as_samples([1.0, 2.0]).targets is None
    assert as_samples(np.zeros((3, 1)), np.zeros((3, 2))).output.tolist() == [0, 1]
    assert (n_dims([[1], [2]]), n_dims(3), n_dims([[1], [2, 3]]), n_dims(object())) == (2, 0, 0, 0)
    with pytest.raises(ShapeError, match=r"X has shape \(0, 2\)"):
        as_samples(np.zeros((0, 2)))
    with pytest.raises(ShapeError, match=r"X has shape \(2, 2\) and y \(0,\)"):
        as_samples(np.zeros((2, 2)), np.zeros(0))
    labels = as_samples(np.zeros((5, 1)), trials=["a", "a", "b", "a", "a"])
    assert labels.run.tolist() == [0, 0, 1, 2, 2]
    plain = Samples(np.zeros((2, 1)), np.zeros(2, int), np.arange(1))
    assert (plain.units, plain.time_unit, plain.units_named, plain.outputs_named) == (
        "", "s", False, False,
    )  # fmt: skip
    assert np.isnan(plain.sampling_rate)


def test_one_trace_has_one_unit():
    data = xr.DataArray(
        np.arange(9.0), dims="time", coords={"time": np.arange(1, 10) / 10, "unit": "c"}
    )
    made = as_series(data)
    assert made.values.shape == (9, 1) and made.unit.tolist() == ["c"]


def test_weights_of_histories_that_are_one_another():
    # Two equal columns and no penalty: no inverse, and the least of all solutions.
    h = np.array([[1.0, 1, 1], [2, 2, 1], [4, 4, 1]])
    y = np.array([[1.0], [2], [4]])
    sums = Moments(h.T @ h, h.T @ y, 3, (y**2).sum(0))
    weights = ridge_weights(sums, 0.0)
    # Rounding decides which way it is solved; either way the rows are explained.
    assert h @ weights == pytest.approx(y, abs=1e-5)
    broken = Moments(np.array([[-1.0, 0], [0, 1.0]]), np.array([[1.0], [1.0]]), 1, np.ones(1))
    assert ridge_weights(broken, 0.0) == pytest.approx(np.array([[-1.0], [1.0]]))
