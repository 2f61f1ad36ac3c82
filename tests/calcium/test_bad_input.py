"""What goes into Kinetics wrong: refused in three parts, warned of, or one cell's own trouble."""

import errno
import os
import tempfile

import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.errors import (
    DataError,
    FileFormatError,
    FileWriteError,
    KindError,
    ShapeError,
    ThreePartError,
    UnitError,
)
from neurornn._core.status import Status
from neurornn.calcium.clipping import is_clipped
from neurornn.calcium.html_page import write_html
from neurornn.data.series import wrapped_around

RATE = 30.0


@pytest.fixture(scope="module")
def recording():
    return nr.simulate.simulate_calcium(3, 90.0, RATE, tau_decay=0.5, rate=0.8, rng=12)


@pytest.fixture(scope="module")
def traces(recording):
    return recording["dff"]


@pytest.fixture(scope="module")
def fitted(traces):
    return nr.calcium.Kinetics(chunk_size=1).fit(traces)


def three_parts(error):
    assert isinstance(error, ThreePartError)
    assert all(len(part) > 10 for part in (error.came, error.needed, error.remedy))


def same_numbers(a, b):
    # Bits, not nearly: the numbers that reach the fit are the same.
    return a.parameters_.equals(b.parameters_) and a.events_.equals(b.events_)


# --- the clock ---


def doubled(traces):
    stamps = traces["time"].values.copy()
    stamps[100] = stamps[99]
    return traces.assign_coords(time=stamps)


CLOCKS = {
    "frame numbers": (
        lambda x: (x.drop_attrs().assign_coords(time=np.arange(x.sizes["time"])), {}),
        UnitError,
        "Are these frame numbers",
    ),
    "frame numbers beside a rate": (
        lambda x: (x.assign_coords(time=np.arange(x.sizes["time"])), {}),
        UnitError,
        r"30 Hz \(attrs\) and 1 Hz \(time axis\)",
    ),
    "ms": (
        lambda x: (x.assign_coords(time=1000 * x["time"]), {}),
        UnitError,
        "Are these ms",
    ),
    "a doubled stamp": (lambda x: (doubled(x), {}), DataError, "drop the doubled frames"),
    "times of day in single precision": (
        lambda x: (x.assign_coords(time=(x["time"] + 1.7e9).astype(np.float32)), {}),
        DataError,
        "double precision",
    ),
    "a rate that contradicts the clock": (
        lambda x: (x.drop_attrs(), {"sampling_rate": 15.0}),
        UnitError,
        r"15 Hz \(sampling_rate=\) and 30 Hz \(time axis\)",
    ),
    "a rate that contradicts the attrs": (
        lambda x: (x.drop_vars("time"), {"sampling_rate": 15.0}),
        UnitError,
        r"15 Hz \(sampling_rate=\) and 30 Hz \(attrs\)",
    ),
}


@pytest.mark.parametrize("name", CLOCKS)
def test_a_wrong_clock_is_refused(traces, name):
    make, kind, words = CLOCKS[name]
    data, options = make(traces)
    with pytest.raises(kind, match=words) as caught:
        nr.calcium.Kinetics().fit(data, **options)
    three_parts(caught.value)


def test_one_frame_in_a_second_is_accepted_where_it_is_stated():
    slow = nr.simulate.simulate_calcium(1, 600.0, 1.0, tau_decay=5.0, rate=0.03, rng=1)["dff"]
    assert nr.calcium.Kinetics().fit(slow).sampling_rate_ == 1.0


# --- the numbers ---


def test_fill_values_are_refused(traces):
    filled = traces.copy(deep=True)
    # What netCDF puts where nothing was written.
    filled[50:60, 1] = 9.96921e36
    with pytest.raises(DataError, match="fill values") as caught:
        nr.calcium.Kinetics().fit(filled)
    three_parts(caught.value)


def test_masked_frames_are_missing_frames(traces):
    missing = traces.values.copy()
    lost = np.random.default_rng(0).random(missing.shape) < 0.1
    missing[lost] = np.nan
    # Under the mask lies nonsense, as it does in files.
    masked = np.ma.masked_array(np.where(lost, -999.0, traces.values), mask=lost)
    a, b = (nr.calcium.Kinetics().fit(x, sampling_rate=RATE) for x in (missing, masked))
    assert same_numbers(a, b)


def test_traces_on_dask_give_the_same_numbers(traces, fitted):
    pytest.importorskip("dask.array")
    lazy = traces.chunk({"time": 500, "unit": 2})
    assert lazy.chunks is not None
    assert same_numbers(nr.calcium.Kinetics(chunk_size=1).fit(lazy), fitted)


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32])
def test_whole_numbers_are_fitted_as_floats(traces, dtype):
    # In int16 a product or a difference of these would run over.
    counts = np.round(9000 + 5000 * traces.values).astype(dtype)
    a, b = (nr.calcium.Kinetics().fit(x, sampling_rate=RATE) for x in (counts, counts * 1.0))
    assert same_numbers(a, b)
    assert set(a.status_.values) == {"ok"}


def test_whole_numbers_that_wrapped_around_are_told(traces):
    scaled = 20000 * traces.values
    top = np.iinfo(np.int16).max
    assert [bool(over) for over in (scaled > top).any(axis=0)] == [True] * 3
    scaled[:, 2] /= 10
    wrapped = scaled.astype(np.int64).astype(np.int16)
    with pytest.warns(UserWarning, match=r"int16, and 2 of 3 units \(units 0, 1\).*wrap around"):
        nr.calcium.Kinetics().fit(wrapped, sampling_rate=RATE)


def test_wrapping_is_told_from_large_events():
    rise = np.zeros((100, 1))
    rise[50:] = 60000.0
    assert not wrapped_around(rise, np.dtype(np.uint16)).any()
    rise[60:] = 0.0
    # One event that fills the range rises and falls over more than half of it: no way to tell.
    assert wrapped_around(rise, np.dtype(np.uint16)).all()
    assert not wrapped_around(rise, np.dtype(np.int32)).any()
    assert not wrapped_around(rise, np.dtype(np.float32)).any()


# --- clipped traces ---


def test_a_clipped_trace_is_told_from_a_whole_one(traces):
    whole = traces.values[:, 0]
    # A limit at half an event: each spends 0.7 of a decay time above it.
    assert is_clipped(np.minimum(whole, 0.5))
    assert not is_clipped(whole)
    assert is_clipped(np.round(np.minimum(200 * whole, 100)))
    assert is_clipped(np.where(np.arange(len(whole)) % 7 == 0, np.nan, np.minimum(whole, 0.5)))


@pytest.mark.parametrize("scale", [1e-3, -0.5, 1e6])
def test_only_the_top_counts_and_no_scale(traces, scale):
    cut = np.minimum(traces.values[:, 0], 0.5)
    assert is_clipped(scale * cut + 3) == (scale > 0)


@pytest.mark.parametrize(
    ("n_top", "n", "clipped"),
    [(9, 500, False), (10, 500, True), (10, 1000, False), (11, 1000, True)],
)
def test_more_than_one_percent_and_at_least_ten(n_top, n, clipped):
    trace = np.arange(float(n))
    trace[-n_top:] = n
    assert is_clipped(trace) is clipped


def test_a_coarse_scale_a_constant_and_nothing_are_not_clipped(rng):
    # Five grey levels, one frame in five at each.
    assert not is_clipped(rng.integers(0, 5, 2000))
    # A silent cell in a coarse scale: few frames one level up, most at the lower one.
    assert not is_clipped((rng.random(2000) < 0.05).astype(float))
    assert not is_clipped(np.ones(100))
    assert not is_clipped(np.full(100, np.nan))
    assert not is_clipped([])


def test_a_clipped_cell_has_a_status_of_its_own(traces):
    cut = traces.copy(deep=True)
    cut[:, 1] = np.minimum(cut[:, 1], 0.5)
    kinetics = nr.calcium.Kinetics().fit(cut)
    assert list(kinetics.status_.values) == ["ok", "clipped", "ok"]
    assert np.isnan(kinetics.parameters_["tau_decay_ci"][1]).all()
    assert Status.CLIPPED.remedy in kinetics.report()


# --- the wrong thing ---


def test_a_recording_of_spikes_is_told(recording):
    with pytest.raises(KindError, match=r'for example recording\["dff"\]'):
        nr.calcium.Kinetics().fit(recording)
    spikes = nr.data.from_spikes([[0.5, 1.0], [0.2]], t_start=0.0, t_stop=2.0)
    with pytest.raises(KindError, match="is this a recording of spikes") as caught:
        nr.calcium.Kinetics().fit(spikes)
    three_parts(caught.value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_an_nwb_file_with_a_movie_alone_says_what_it_holds(tmp_path):
    from datetime import UTC, datetime

    pynwb = pytest.importorskip("pynwb")
    file = pynwb.NWBFile(
        session_description="a test", identifier="x", session_start_time=datetime.now(UTC)
    )
    movie = pynwb.image.ImageSeries(name="plane_1", data=np.zeros((9, 4, 4)), unit="n", rate=30.0)
    file.add_acquisition(movie)
    with pynwb.NWBHDF5IO(str(tmp_path / "movie.nwb"), "w") as io:
        io.write(file)
    with pytest.raises(FileFormatError, match=r"It holds: plane_1; .*extract first") as caught:
        nr.open(tmp_path / "movie.nwb")
    three_parts(caught.value)


# --- the disk ---


@pytest.mark.parametrize("what", ["kinetics.nc", "kinetics", "report.html"])
def test_no_permission_to_write_is_told_and_the_old_file_stays(
    traces, fitted, tmp_path, monkeypatch, what
):
    def write():
        if what.endswith(".html"):
            write_html(fitted, traces, tmp_path / what)
        else:
            fitted.save(tmp_path / what)

    def contents():
        return {
            p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()
        }

    write()
    before = contents()

    # Tests may run as root, who may write everywhere, so the answer of the system is replaced.
    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with pytest.raises(FileWriteError, match="permission was denied") as caught:
        write()
    three_parts(caught.value)
    assert contents() == before


def test_a_disk_that_fills_up_during_a_run_keeps_what_was_finished(
    traces, fitted, tmp_path, monkeypatch
):
    calls = []
    sync = os.fsync

    def full(descriptor):
        calls.append(descriptor)
        # The manifest and the first chunk still fit.
        if len(calls) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    folder = tmp_path / "p"
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileWriteError, match="disk is full") as caught:
        nr.calcium.Kinetics(chunk_size=1).fit(traces, checkpoint=folder)
    three_parts(caught.value)
    monkeypatch.undo()
    assert sorted(p.name for p in folder.iterdir()) == ["chunk-000000.npz", "manifest.json"]
    done = []
    again = nr.calcium.Kinetics(chunk_size=1, progress=lambda k, n: done.append(k)).fit(
        traces, checkpoint=folder
    )
    assert done == [2, 3]
    assert same_numbers(again, fitted)


def test_a_file_in_place_of_the_folder_for_chunks(traces, tmp_path):
    (tmp_path / "p").write_text("mine")
    with pytest.raises(FileWriteError, match="part of the path is a file"):
        nr.calcium.Kinetics().fit(traces, checkpoint=tmp_path / "p")
    assert (tmp_path / "p").read_text() == "mine"


def test_a_variable_without_a_clock_uses_the_stated_rate(traces, fitted):
    attrs = {"sampling_rate": RATE, "frame_delay": traces.attrs["frame_delay"]}
    bare = xr.DataArray(traces.values, dims=("time", "unit"), attrs=attrs)
    assert same_numbers(nr.calcium.Kinetics(chunk_size=1).fit(bare), fitted)


# --- cells that ask too much of the arithmetic ---


@pytest.mark.parametrize("sampling_rate", [1.0, 5.0, 7.0])
@pytest.mark.parametrize("seed", [3, 4])
def test_noise_at_a_low_frame_rate_is_judged_not_raised(sampling_rate, seed):
    noise = np.random.default_rng(seed).standard_normal((300, 1))
    kinetics = nr.calcium.Kinetics().fit(noise, sampling_rate=sampling_rate)
    assert kinetics.status_.item() != "ok"


def test_knots_closer_than_the_frames_tell_and_data_in_the_tail_alone(traces):
    fitted = nr.calcium.Kinetics(knot_spacing=0.3).fit(traces.isel(time=slice(0, 600)))
    assert fitted.status_.shape == (traces.sizes["unit"],)
    late = np.full((7200, 1), np.nan)
    late[6000:, 0] = np.resize(traces.values[:, 0], 1200)
    nr.calcium.Kinetics().fit(late, sampling_rate=30.0)


def test_a_trace_without_noise_is_fitted():
    rec = nr.simulate.simulate_calcium(1, 60.0, 30.0, tau_decay=0.5, snr=1e12, rng=0)
    kinetics = nr.calcium.Kinetics().fit(rec["dff"])
    # Without noise only the merging of spikes within a frame is left.
    assert kinetics.parameters_["tau_decay"].item() == pytest.approx(0.5, rel=0.01)


def test_a_memory_map_the_wrong_way_round_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).standard_normal((25, 300)))
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    with pytest.raises(ShapeError, match="Time along the first axis"):
        nr.calcium.Kinetics().fit(mapped, sampling_rate=30.0)


# --- gaps of days, knots closer than frames, numbers that are none ---


@pytest.mark.parametrize("gap", [1e6, 30 * 86400.0, 1e9])
def test_a_gap_of_days_costs_no_knots(traces, gap):
    part = traces.isel(time=slice(0, 3000))
    time = part["time"].values.copy()
    time[1500:] += gap
    kinetics = nr.calcium.Kinetics().fit(part.assign_coords(time=time))
    time[1500:] += 601.0 - gap
    near = nr.calcium.Kinetics().fit(part.assign_coords(time=time))
    a, b = (k.parameters_["tau_decay"].values for k in (kinetics, near))
    # The baseline of the pause is nobody's: ten minutes of it or a month are the same.
    assert a == pytest.approx(b, rel=1e-3) and np.isfinite(a).all()
    assert kinetics.denoised().shape == part.shape


@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        ({"knot_spacing": 1e-6}, UnitError, "knot_spacing is 1e-06 s, and a frame 0.03"),
        ({"knot_spacing": "60"}, KindError, "knot_spacing is '60', a str"),
        ({"knot_spacing": np.nan}, DataError, "knot_spacing is nan"),
        ({"tau_bounds": 3.0}, KindError, "tau_bounds is 3.0. A lower and an upper bound"),
        ({"tau_bounds": (2.0, 1.0)}, DataError, r"tau_bounds is \(2, 1\)"),
        ({"penalty": True}, KindError, "penalty is True"),
        ({"confidence_level": "95 %"}, KindError, "confidence_level is '95 %'"),
        ({"chunk_size": 0.5}, DataError, "chunk_size is 0.5"),
        ({"tau_rise": 1j}, KindError, "tau_rise is 1j"),
    ],
)
def test_settings_that_are_none_are_told(traces, settings, kind, words):
    with pytest.raises(kind, match=words):
        nr.calcium.Kinetics(**settings).fit(traces)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: nr.calcium.dff(x, percentile="8"), "percentile is '8'"),
        (lambda x: nr.calcium.dff(x, offset=None), "offset is None"),
        (lambda x: nr.calcium.subtract_neuropil(x, x, [0.7]), r"coefficient is \[0.7\]"),
        (lambda x: nr.calcium.plan(tau=0.5, rate=1e9, snr=5, sampling_rate=30), "rate is 1e"),
        (lambda x: nr.calcium.plan(tau=0.5, rate=1, snr=1e300, sampling_rate=30), "snr is 1e"),
        (lambda x: nr.calcium.pool_sessions(3.0), "fits is a float"),
        (
            lambda x: nr.calcium.linearise(
                x, hill=1e9, dissociation=300, dynamic_range=30, resting=50
            ),
            "hill is 1e",
        ),
    ],
)
def test_other_doors_refuse_numbers_that_are_none(traces, call, words):
    with pytest.raises((DataError, KindError, UnitError), match=words) as caught:
        call(traces + 10.0)
    three_parts(caught.value)
