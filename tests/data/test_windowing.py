"""The door to models: what is damaged or far away never becomes a quiet number."""

import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.errors import DataError, KindError, ShapeError, SplitError, UnitError

DT = 0.05
SERIES = np.random.default_rng(0).standard_normal((400, 2))


def recording(values=SERIES, pause=0.0):
    time = (np.arange(len(values)) + 1) * DT
    time[len(values) // 2 :] += pause
    attrs = {"sampling_rate": 1 / DT}
    return xr.Dataset({"x": (("time", "unit"), values, attrs)}, coords={"time": time})


def cut(values=SERIES, pause=0.0, **more):
    settings = {"inputs": "x", "targets": "x", "duration": 2.0, **more}
    return nr.data.windows(recording(values, pause), **settings)


@pytest.mark.parametrize("odd", [np.inf, -np.inf, 9.969209968386869e36, 1e300])
def test_infinite_and_fill_values_are_refused(odd):
    values = SERIES.copy()
    values[7, 1] = odd
    with pytest.raises(DataError, match=r"x holds .*(infinite|fill values)"):
        cut(values)


def test_what_is_missing_is_masked_and_nothing_else_is():
    values = SERIES.copy()
    values[60, 1] = np.nan
    found = cut(values, horizon=1, warmup=0.0)
    assert np.isfinite(found["inputs"]).all() and np.isfinite(found["targets"]).all()
    # As a target one value is lost, as an input all targets of its frame.
    assert int((~found["mask"]).sum() - (~cut(horizon=1, warmup=0.0)["mask"]).sum()) == 3


@pytest.mark.parametrize("gap", [1e6, 30 * 86400.0, 1e10])
def test_a_gap_of_days_costs_nothing(gap):
    near, far = cut(pause=10.0), cut(pause=gap)
    assert near["inputs"].shape == far["inputs"].shape
    assert np.array_equal(near["inputs"], far["inputs"])
    parts = nr.data.split_blocks(recording(pause=gap), (0.5, 0.5), gap=1.0)
    assert [p.sizes["time"] for p in parts] == [190, 190]


@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        ({"horizon": -1}, DataError, "horizon is -1. A whole number of at least 0"),
        ({"horizon": 1.5}, DataError, "horizon is 1.5"),
        ({"horizon": "next"}, KindError, "horizon is 'next'"),
        ({"horizon": 10**6}, DataError, "No stretch"),
        ({"warmup": np.nan}, DataError, "warmup is nan"),
        ({"warmup": "1"}, KindError, "warmup is '1', a str"),
        ({"warmup": -1.0}, DataError, "warmup is -1"),
        ({"duration": [2.0]}, KindError, "duration is .* a list"),
        ({"duration": True}, KindError, "duration is True"),
        ({"gap": None}, KindError, "gap is None"),
        ({"gap": -1.0, "fractions": (0.5, 0.5)}, SplitError, "A gap of 0 s or more"),
        ({"fractions": 0.5}, SplitError, "fractions is"),
        ({"fractions": "half"}, KindError, "fractions is a str"),
        ({"fractions": (0.5, np.nan)}, SplitError, "sum nan"),
        ({"trials": "yes"}, KindError, "trials is a str"),
        ({"inputs": SERIES}, KindError, "inputs holds a ndarray"),
        ({"inputs": ["x", None]}, KindError, "inputs holds a NoneType"),
        (
            {"targets": xr.DataArray(SERIES, dims=("time", "unit"))},
            ShapeError,
            "without time stamps",
        ),
    ],
)
def test_wrong_settings_say_what_was_needed(settings, kind, words):
    with pytest.raises(kind, match=words):
        cut(**settings)


def test_a_window_longer_than_the_recording_is_the_recording():
    assert cut(duration=1e300, warmup=0.0).sizes["time"] == len(SERIES)


@pytest.mark.parametrize(
    ("rate", "kind", "words"),
    [("fast", KindError, "'fast'"), (0.0, DataError, "is 0"), (np.nan, DataError, "nan"),
     (1e12, UnitError, "at most")],
)  # fmt: skip
def test_a_rate_in_the_attributes_that_is_none_is_refused(rate, kind, words):
    table = recording()
    table["x"].attrs["sampling_rate"] = rate
    with pytest.raises(kind, match=words):
        nr.data.windows(table, inputs="x", targets="x", duration=2.0)


def test_time_that_stands_still_or_runs_back_is_refused():
    for stamps in (np.zeros(400), np.arange(400)[::-1] * DT):
        with pytest.raises(DataError, match=r"does not increase|median step"):
            nr.data.windows(
                recording().assign_coords(time=stamps), inputs="x", targets="x", duration=2.0
            )


@pytest.mark.parametrize("warmup", [0.0, DT, 0.5, 1.95])
def test_no_frame_of_the_warm_up_is_scored_and_every_later_one_is(warmup):
    found = cut(warmup=warmup)
    n = round(warmup / DT)
    assert found.attrs["warmup"] == pytest.approx(n * DT, abs=1e-12)
    mask, start = found["mask"].values, found["start"].values
    assert not mask[:, :n].any()
    # From the first frame after it on; the last window of a stretch may be shorter.
    assert mask[:-1, n:].all()
    length = round((len(SERIES) * DT - start[-1]) / DT)
    assert mask[-1, n:length].all() and not mask[-1, length:].any()


def test_each_frame_after_the_first_warm_up_is_scored_in_one_window():
    found = cut(warmup=0.5)
    n_scored = np.zeros(len(SERIES), dtype=int)
    for mask, start in zip(found["mask"].values, found["start"].values, strict=True):
        first = round(start / DT)
        rows = first + np.flatnonzero(mask.all(axis=1))
        n_scored[rows] += 1
    # 0.5 s are 10 frames.
    assert not n_scored[:10].any() and (n_scored[10:] == 1).all()


def test_a_missing_input_is_nought_and_its_frame_is_not_scored():
    values = SERIES.copy()
    lost = [(45, 0), (200, 1)]
    for place in lost:
        values[place] = np.nan
    record = recording(SERIES)
    record["given"] = (("time", "unit"), values, {"sampling_rate": 1 / DT})
    found = nr.data.windows(record, inputs="given", targets="x", duration=2.0, warmup=0.0)
    whole = cut(warmup=0.0)
    # Windows of 40 frames without overlap: frame k stands in window k // 40.
    assert found["mask"].shape == (10, 40, 2)
    unscored = {(int(w), int(k)) for w, k, _ in np.argwhere(~found["mask"].values)}
    assert unscored == {(frame // 40, frame % 40) for frame, _ in lost}
    for frame, unit in lost:
        # All targets of the frame, the other unit's too.
        assert not found["mask"].values[frame // 40, frame % 40].any()
        assert found["inputs"].values[frame // 40, frame % 40, unit] == 0.0
    assert np.array_equal(found["targets"], whole["targets"])


def test_a_horizon_moves_the_targets_and_not_the_mask_of_the_inputs():
    values = SERIES.copy()
    values[45, 0] = np.nan
    found = cut(values, horizon=3, warmup=0.0)
    inputs, targets, mask = (found[n].values for n in ("inputs", "targets", "mask"))
    for w, start in enumerate(found["start"].values):
        first = round(start / DT)
        for k in range(min(40, len(SERIES) - 3 - first)):
            assert np.array_equal(inputs[w, k], np.nan_to_num(values[first + k]))
            assert np.array_equal(targets[w, k], np.nan_to_num(values[first + k + 3]))
            expected = ~np.isnan(values[first + k + 3]) & ~np.isnan(values[first + k]).any()
            assert np.array_equal(mask[w, k], expected)


@pytest.mark.parametrize("labels", [["a", "b"], None])
def test_inputs_and_targets_keep_the_labels_of_their_units(labels):
    given = recording() if labels is None else recording().assign_coords(unit=labels)
    found = nr.data.windows(given, inputs="x", targets="x", duration=2.0)
    for dim in ("input", "output"):
        assert found[dim].values.tolist() == (labels or ["0", "1"])


def test_spikes_for_targets_are_counted_in_bins():
    trains = [np.arange(0.02, 10, 0.1), np.arange(0.03, 10, 0.2)]
    given = nr.data.from_spikes(trains, t_stop=10.0)
    found = nr.data.windows(
        given, inputs=recording()["x"], targets="spikes", duration=1.0, bin_size=0.1, warmup=0.0
    )
    counts = found["targets"].values
    assert counts[..., 0].mean() == 1.0 and counts[..., 1].mean() == 0.5


def test_behaviour_on_a_clock_of_its_own_comes_onto_the_frames():
    when = np.arange(0, 2500) / 100
    wheel = xr.Dataset(
        {"speed": ("wheel", 3 * when), "wheel_time": ("wheel", when, {"units": "s"})}
    )
    both = recording().merge(wheel)
    found = nr.data.windows(both, inputs="speed", targets="x", duration=2.0, warmup=0.0)
    stamps = found["start"].values[:, None] + found["time"].values
    # A line is kept by linear interpolation.
    np.testing.assert_allclose(found["inputs"].values[..., 0], 3 * stamps, atol=1e-9)
    with pytest.raises(KindError, match="speed is on its own clock"):
        nr.data.windows(both, inputs="x", targets="speed", duration=2.0)


def test_a_recording_without_a_frame_has_no_stretch():
    empty = recording().isel(time=slice(0, 0))
    assert nr.data.support(empty).shape == (0, 2)
