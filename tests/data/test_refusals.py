"""What the room of data refuses, each by the words that say what came."""

import numpy as np
import pytest
import xarray as xr
from sklearn.linear_model import Ridge

import neurornn as nr
from neurornn._core.errors import (
    DataError,
    KindError,
    NameUnknownError,
    ShapeError,
    SplitError,
    UnitError,
)
from neurornn.data import rows

TIME = np.arange(1, 201) / 20


def traces(n=2, **more):
    values = np.random.default_rng(0).normal(size=(200, n))
    return nr.data.from_traces(values, time=TIME, **more)


def overlapping():
    return nr.data.from_spikes([[0.5, 1.5]], t_stop=4.0).assign(
        start=("interval", [0.0, 1.0]), stop=("interval", [2.0, 3.0])
    )


def cut(**more):
    return nr.data.windows(
        traces(), **{"inputs": "dff", "targets": "dff", "duration": 1.0, **more}
    )


CASES = {
    "values of three axes": (
        lambda: nr.data.from_traces(np.zeros((2, 3, 4)), sampling_rate=20.0), ShapeError,
        r"values has shape \(2, 3, 4\)"),
    "fewer stamps than frames": (
        lambda: nr.data.from_traces(np.zeros((5, 1)), time=[0.1, 0.2]), ShapeError,
        "time has 2 stamps and values 5 frames"),
    "no rate": (lambda: nr.data.from_traces(np.zeros((5, 1))), UnitError, "Neither a sampling"),
    "labels for other units": (
        lambda: nr.data.from_traces(np.zeros((5, 2)), sampling_rate=20.0, unit=["a"]), ShapeError,
        r"unit has shape \(1,\) for 2 units"),
    "trains for other units": (
        lambda: nr.data.recording.add_spikes(traces(), [[1.0]]), ShapeError,
        "1 spike trains came for 2 units"),
    "no spikes to bin": (
        lambda: nr.data.bin_spikes(traces(), 0.1), NameUnknownError, "holds dff"),
    "units of a recording without them": (
        lambda: nr.data.select_units(traces().isel(unit=0), [0]), ShapeError, "has axes time"),
    "units of two axes": (
        lambda: nr.data.select_units(traces(), [[0]]), ShapeError, r"units has shape \(1, 1\)"),
    "a mask of another length": (
        lambda: nr.data.select_units(traces(), np.array([True])), ShapeError,
        "for 2 units"),
    "no trials to join": (lambda: nr.data.join_trials([]), DataError, "No trials came"),
    "trials that are none": (lambda: nr.data.join_trials(traces()), KindError, "trials is a"),
    "a trial without frames": (
        lambda: nr.data.join_trials([traces(), 3]), KindError, "Trial 1 is a int"),
    "bins of two kinds": (
        lambda: nr.data.bin_spikes([[0.5]], 0.1, time=TIME, trials=[[0, 1]]), KindError,
        "Both time= and trials= came"),
    "one stamp": (
        lambda: nr.data.bin_spikes([[0.5]], time=[0.1]), DataError, "time has 1 stamps"),
    "bins of intervals that overlap": (
        lambda: nr.data.bin_spikes(overlapping(), 0.1), DataError, "overlap"),
    "parts of intervals that overlap": (
        lambda: nr.data.split_blocks(overlapping(), (0.5, 0.5)), SplitError, "overlap"),
    "a trial shorter than a bin": (
        lambda: nr.data.bin_spikes([[0.5]], 0.3, trials=[[0, 1], [1, 1.2]]), DataError,
        r"Trial 1 is 0\.2 s long, a bin 0\.3 s"),
    "trials of no recording": (
        lambda: nr.data.split_trials(3, (0.5, 0.5)), KindError, "recording is a int"),
    "groups of no rows": (
        lambda: nr.data.split_groups(3, [1, 2], (0.5, 0.5)), KindError, "data is a int"),
    "a stretch of no recording": (
        lambda: nr.data.support([1.0]), KindError, "recording is a list"),
    "a stretch of no axes": (
        lambda: nr.data.support(xr.Dataset({"a": ("x", [1.0])})), DataError, "has axes x"),
    "windows of no recording": (
        lambda: nr.data.windows(3, inputs="a", targets="b", duration=1.0), KindError, "is a int"),
    "a warm-up as long as a window": (
        lambda: cut(warmup=1.0), DataError, "warmup is 20 and duration 20 frames"),
    "no inputs": (lambda: cut(inputs=[]), DataError, "No inputs came"),
    "a variable that is not there": (
        lambda: cut(inputs="dfff"), NameUnknownError, "no variable 'dfff'"),
    "intervals for targets": (
        lambda: cut(targets="interval"), KindError, "'interval' came as targets"),
    "a variable without time": (
        lambda: cut(inputs=xr.DataArray(np.ones(3), dims="x", name="x")), ShapeError,
        r"x has dims \('x',\)"),
    "a window longer than what there is": (
        lambda: nr.data.cross_score(Ridge(), np.ones((9, 1)), np.arange(9.0), n_lags=10),
        SplitError, "n_lags is 10 of 9 rows"),
    "a single row": (
        lambda: rows.as_samples(np.float64(3.0), None), ShapeError, r"X has shape \(\)"),
    "targets of words for a regression": (
        lambda: nr.data.cross_score(Ridge(), np.zeros((40, 1)), np.array(["a", "b"] * 20)),
        KindError, "y holds words"),
    "targets of three axes": (
        lambda: nr.data.audit(np.zeros((8, 2)), np.zeros((8, 2, 2))), ShapeError, "y has shape"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_in_three_parts(case):
    call, kind, words = CASES[case]
    with pytest.raises(kind, match=words) as caught:
        call()
    error = caught.value
    assert all(len(part) > 5 for part in (error.came, error.needed, error.remedy))
