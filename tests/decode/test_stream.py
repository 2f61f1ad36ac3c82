"""The stream: equal to the batch, saved and restored, robust to clocks and to what comes in.

`bench` runs through every decoder of the table in conftest.py.
"""

import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import xarray as xr
from scipy.io import loadmat
from scipy.stats import poisson
from sklearn.metrics import r2_score

import neurornn as nr
from neurornn._core.errors import DataError, FileFormatError, KindError, ShapeError

BIN_SIZE = 0.05


def by_hand(stream, rows):
    """Outputs of a stream, bin by bin into fresh arrays."""
    return np.array([stream.step(row) for row in rows])


# Equal to the batch.


def test_stream_is_predict_bit_for_bit(bench):
    counts = bench.data.fresh_counts[:500]
    assert np.array_equal(
        by_hand(bench.decoder.stream(), counts), bench.outputs(bench.decoder, counts)
    )


def test_stream_over_trials_is_predict_over_trials(bench):
    counts = bench.data.fresh_counts[:150]
    stream, found = bench.decoder.stream(), []
    for k in range(3):
        if k:
            stream.reset()
        found.append(by_hand(stream, counts[50 * k : 50 * (k + 1)]))
    trials = np.arange(3).repeat(50)
    expected = bench.outputs(bench.decoder, counts, trials=trials)
    assert np.array_equal(np.concatenate(found), expected)


def lagged(z, weights, n_lags):
    """Sum over lags of z[t - l] W[l], the present bin first, by whole columns."""
    out = np.zeros((len(z), weights.shape[2]))
    for k in range(n_lags):
        out[k:] += z[: len(z) - k] @ weights[k]
    return out


def batch_of(bench, counts):
    """The decoder applied to a whole recording at once, without its kernels."""
    machine, prepared = bench.decoder._machine, bench.decoder._preparation
    a, s = machine.arrays, prepared.settings
    z = (counts ** s["power"] - prepared.arrays["centre"]) / prepared.arrays["scale"]
    if machine.kind == "posterior":
        p, out = a["prior"], []
        n = len(p)
        moves = np.zeros((n, n))
        for k in range(n):
            near = slice(a["starts"][k], a["starts"][k + 1])
            moves[k, a["sources"][near]] = a["chances"][near]
        jump = machine.settings["jump"]
        for row in counts:
            like = poisson.logpmf(row[:, None], a["expected"]).sum(axis=0)
            p = ((1 - jump) * moves @ p + jump / n) * np.exp(like - like.max())
            p /= p.sum()
            mode = machine.settings["estimate"] == "mode"
            out.append(a["values"][p.argmax()] if mode else p @ a["values"])
        return np.array(out)
    n_out = len(a["transition"]) if machine.kind == "kalman" else machine.n_outputs
    n_lags = len(a["weights"]) // n_out
    weights = a["weights"].reshape(n_lags, n_out, -1).transpose(0, 2, 1)
    drive = lagged(z, weights, n_lags)
    if machine.kind == "linear":
        drive = drive + a["bias"]
        if a["coefficients"].size:
            drive = np.clip(drive, *a["bounds"]) / a["size"]
            terms = (drive[:, None] ** a["exponents"]).prod(axis=2)
            drive = terms @ a["coefficients"].T
        return drive
    # Kalman in covariance form: H' R^-1 y is what a state of information form needs.
    t, info = a["transition"], a["information"]
    x = a["first_mean"]
    s = a["steady"] if machine.settings["steady_state"] else a["first_covariance"]
    out = []
    for k, seen in enumerate(drive):
        x, ahead = t @ x + a["offset"], t @ s @ t.T + a["process"]
        # Before the first bin, that is in the first `lag` bins, nothing was seen.
        begun = k >= machine.settings.get("lag", 0)
        s = np.linalg.inv(np.linalg.inv(ahead) + begun * info)
        x = s @ (np.linalg.solve(ahead, x) + begun * (seen - a["baseline"]))
        out.append(a["read"] @ x + a["bias"])
    return np.array(out)


# Networks are compared with torch in test_decoders.py; one decoder follows its units and
# smooths them, which is compared with a recursion in tests/kernels/test_streaming.py.
@pytest.mark.parametrize(
    "name",
    ["wiener", "ridge", "cascade", "kalman", "kalman lags", "steady kalman", "place", "target"],
)
def test_stream_is_an_independent_batch(bench_of, name):
    bench = bench_of(name)
    counts = bench.data.fresh_counts[:2000]
    plain = bench.make(monitor_units=False).fit(bench.data.counts, bench.data.targets)
    expected = batch_of(bench._replace(decoder=plain), counts)
    # 1e-6 is what was asked for; double precision of outputs of size 10 to 100 gives 1e-10, two
    # inverses in every bin of the Kalman filter, with 1e-9 of process noise, some 1e-7.
    np.testing.assert_allclose(plain.stream().run(counts), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["ridge", "gru"])
def test_a_long_run_does_not_drift_from_the_batch(bench_of, name):
    bench = bench_of(name)
    plain = bench.make(monitor_units=False).fit(bench.data.counts, bench.data.targets)
    stream = plain.stream()
    rows = bench.data.fresh_counts
    for _ in range(5):
        stream.run(rows)
    stream.run(rows[:-200])
    # Nothing of the first 15 000 bins is left after 2800: the same outputs as without them.
    late, fresh = stream.run(rows[-200:]), plain.predict(rows)[-200:]
    np.testing.assert_allclose(late, fresh, atol=1e-6)


# Saved and restored.


# Of every kind of machine and of what a preparation may keep beside it.
@pytest.mark.parametrize(
    "name",
    ["ridge", "smooth ridge", "cascade", "kalman lags", "place", "target", "leaky", "gru", "lstm"],
)
def test_saved_in_the_middle_and_restored(bench_of, name, tmp_path):
    bench = bench_of(name)
    # A folder for some and one file for the others.
    file = "mid" if bench.name in ("ridge", "place", "lstm") else "mid.nc"
    rows = bench.data.fresh_counts[:300].copy()
    rows[40:200, 2] = 0
    stream = bench.decoder.stream()
    for k, row in enumerate(rows[:150]):
        stream.step(row, index=k)
    stream.step(rows[150], index=155)
    stream.save(tmp_path / file)
    again, restored = nr.load(tmp_path / file), bench.decoder.stream(state=tmp_path / file)
    for other in (again, restored):
        assert np.array_equal(other.output, stream.output)
        # A bin that was taken before it was saved is not taken again after.
        late = other.copy()
        assert np.array_equal(late.step(rows[0], index=155), stream.output)
        assert late.counters["duplicated"] == 1
    expected = by_hand(stream, rows[150:])
    for other in (again, restored):
        assert np.array_equal(by_hand(other, rows[150:]), expected)
        assert other.counters == stream.counters
        # Chances of labels have none, NaN.
        assert np.array_equal(other.interval, stream.interval, equal_nan=True)
        assert (other.units == stream.units).all()
        assert other.report() == stream.report()
    # And the decoder itself saved and loaded takes the state up; what it keeps is asked for in
    # test_decoders.py, here one of each kind of machine is enough.
    if bench.name not in ("ridge", "kalman lags", "place", "lstm"):
        return
    bench.decoder.save(tmp_path / "decoder")
    loaded = nr.load(tmp_path / "decoder").stream(state=tmp_path / file)
    assert np.array_equal(by_hand(loaded, rows[150:]), expected)


SCRIPT = """
import sys
from pathlib import Path
import numpy as np
import neurornn as nr
for folder in map(Path, sys.argv[1:]):
    stream = nr.load(folder / "mid.nc")
    out = np.array([stream.step(row) for row in np.load(folder / "rows.npy")])
    np.save(folder / "out.npy", out)
    stream.save(folder / "after.nc")
assert not any(name.startswith(("torch", "neurornn.models")) for name in sys.modules)
"""


def test_saved_streams_run_where_torch_cannot_be_imported(bench_of, tmp_path):
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "torch.py").write_text("raise ImportError('there is no torch here')")
    streams = {}
    for name in ("ridge", "cascade", "kalman", "place", "target", "leaky", "gru", "lstm",
                 "classifier"):  # fmt: skip
        bench, folder = bench_of(name), tmp_path / name
        streams[name] = bench.decoder.stream()
        streams[name].run(bench.data.fresh_counts[:100])
        streams[name].save(folder / "mid.nc")
        np.save(folder / "rows.npy", bench.data.fresh_counts[100:200])
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "path")}
    given = [str(tmp_path / name) for name in streams]
    subprocess.run(
        [sys.executable, "-c", SCRIPT, *given], check=True, env=environment, timeout=120
    )
    for name, stream in streams.items():
        rows = bench_of(name).data.fresh_counts
        found = np.load(tmp_path / name / "out.npy")
        assert np.array_equal(found, by_hand(stream, rows[100:200])), name
        after = nr.load(tmp_path / name / "after.nc")
        assert np.array_equal(after.step(rows[0]), stream.step(rows[0])), name


def test_a_copy_goes_its_own_way(bench):
    rows = bench.data.fresh_counts
    stream = bench.decoder.stream()
    stream.run(rows[:20])
    twin = stream.copy()
    twin.run(rows[20:40])
    assert np.array_equal(
        by_hand(stream, rows[20:40]), bench.outputs(bench.decoder, rows[:40])[20:]
    )


def test_states_of_others_are_refused(bench_of, tmp_path):
    bench = bench_of("ridge")
    bench.decoder.stream().save(tmp_path / "state.nc")
    bench.decoder.save(tmp_path / "decoder.nc")
    with pytest.raises(FileFormatError, match="another RidgeDecoder"):
        bench.make(n_lags=2).fit(bench.data.counts, bench.data.targets).stream(
            state=tmp_path / "state.nc"
        )
    with pytest.raises(FileFormatError, match="another RidgeDecoder"):
        bench_of("kalman").decoder.stream(state=tmp_path / "state.nc")
    with pytest.raises(FileFormatError, match="holds a RidgeDecoder"):
        bench.decoder.stream(state=tmp_path / "decoder.nc")
    # The same weights, other units left out of the watch: another key as well.
    with pytest.raises(FileFormatError, match="another RidgeDecoder"):
        bench.make(monitor_units=False).fit(bench.data.counts, bench.data.targets).stream(
            state=tmp_path / "state.nc"
        )


# A step.


def test_a_step_writes_into_the_buffer(bench):
    rows = bench.data.fresh_counts[:5]
    expected = bench.outputs(bench.decoder, rows)
    stream = bench.decoder.stream()
    buffer = np.zeros(stream.n_outputs)
    fresh = []
    for row in rows:
        assert stream.step(row, out=buffer) is buffer
        fresh.append(buffer.copy())
    assert np.array_equal(fresh, expected)
    # Without a buffer every answer is an array of its own.
    stream.reset(units=True)
    first = stream.step(rows[0])
    second = stream.step(rows[1])
    assert np.array_equal(first, expected[0]) and np.array_equal(second, expected[1])
    small = np.zeros(stream.n_outputs, np.float32)
    stream.step(rows[2], out=small)
    assert np.array_equal(small, expected[2].astype(np.float32))


@pytest.mark.parametrize(
    "name", ["smooth ridge", "cascade", "kalman", "place", "target", "leaky", "gru", "lstm",
             "classifier"],
)  # fmt: skip
def test_five_thousand_steps_leave_no_memory_behind(bench_of, name):
    bench = bench_of(name)
    rows = bench.data.fresh_counts[:500].copy()
    rows[100:130, 3] = np.nan
    stream = bench.decoder.stream()
    buffer = np.zeros(stream.n_outputs)

    def run(n_steps):
        for t in range(n_steps):
            stream.step(rows[t % 500], buffer, index=None if t % 2 else stream._next + 1)

    run(500)
    tracemalloc.start()
    try:
        run(500)
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        run(5_000)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A number that is kept grows by no more than its digits; one float a step would be 120 kB.
    assert after - before < 512
    # Within a step no array of a size with the units is made, but for one verdict that changes.
    assert peak - before < 100_000


def test_the_sd_and_the_interval_are_those_of_the_errors(bench_of):
    for name in ("ridge", "kalman", "place", "gru"):
        bench = bench_of(name)
        counts, targets = bench.data.fresh_counts, bench.data.fresh_targets
        stream = bench.decoder.stream()
        scaled = []
        for row, y in zip(counts, targets, strict=True):
            out = stream.step(row)
            scaled.append((out - y) / stream.sd)
            low, high = stream.interval.T
            assert (low <= out).all() and (out <= high).all()
        # Root mean square 1 where the sd is right; 600 independent errors, and the training's.
        assert np.sqrt(np.mean(np.square(scaled))) == pytest.approx(1, abs=0.15)


# Clocks.


def test_bins_that_were_skipped_are_stepped_over(bench):
    rows = bench.data.fresh_counts[:40]
    told, counted = bench.decoder.stream(), bench.decoder.stream()
    for k in [*range(10), *range(14, 20)]:
        last = told.step(rows[k], index=k)
    for k in range(20):
        other = counted.step(None if 10 <= k < 14 else rows[k])
    assert np.array_equal(last, other)
    wanted = {"bins": 20, "missing": 4, "late": 0, "duplicated": 0, "restarts": 0}
    for stream in (told, counted):
        assert {k: stream.counters[k] for k in wanted} == wanted


def test_bins_that_come_twice_or_late_are_not_taken(bench):
    rows = bench.data.fresh_counts[:40]
    stream, plain = bench.decoder.stream(), bench.decoder.stream()
    buffer = np.zeros(stream.n_outputs)
    for k in range(10):
        stream.step(rows[k], index=k)
    expected = by_hand(plain, rows[:10])[-1]
    for index in (9, 9, 8, 3):
        assert np.array_equal(stream.step(rows[20], index=index), expected)
    assert np.array_equal(stream.step(rows[20], buffer, index=0), expected)
    assert np.array_equal(buffer, expected)
    c = stream.counters
    assert (c["duplicated"], c["late"], c["bins"], c["missing"]) == (2, 3, 10, 0)
    # It goes on as if nothing had been.
    assert np.array_equal(stream.step(rows[10], index=10), plain.step(rows[10]))


def test_a_bin_without_a_number_is_the_next_one(bench_of):
    stream = bench_of("ridge").decoder.stream()
    rows = bench_of("ridge").data.fresh_counts
    for k, index in enumerate([7, None, None, 10]):
        stream.step(rows[k], index=index)
    assert stream.counters["missing"] == 0
    stream.step(None)
    stream.step(rows[5], index=12)
    assert stream.counters["missing"] == 1 and stream.counters["bins"] == 6


def test_the_first_number_may_be_any(bench_of):
    bench = bench_of("gru")
    stream = bench.decoder.stream()
    found = [
        stream.step(row, index=10**9 + k) for k, row in enumerate(bench.data.fresh_counts[:9])
    ]
    assert np.array_equal(found, bench.decoder.predict(bench.data.fresh_counts[:9]))


@pytest.mark.parametrize("index", [10 + 102, 10**12, -1])
def test_after_a_long_gap_or_a_clock_set_back_it_starts_anew(bench, index):
    # 5 s are 100 bins: 101 are too many. -1 stands for a clock that begins again.
    rows = bench.data.fresh_counts[:60]
    stream = bench.decoder.stream()
    first = 500 if index < 0 else 0
    for k in range(10):
        stream.step(rows[k], index=first + k)
    index = max(index, 0)
    # The first bin on another clock may carry a stray number: the second is believed.
    assert np.array_equal(stream.step(rows[19], index=index), stream.output)
    found = [stream.step(rows[20 + k], index=index + 1 + k) for k in range(10)]
    fresh = bench.decoder.stream()
    fresh.run(rows[:10])
    fresh.reset()
    assert np.array_equal(found, by_hand(fresh, rows[20:30]))
    assert stream.counters["restarts"] == 1 and stream.counters["bins"] == 20
    # Over more than a day of 50 ms nobody knows what was missed.
    assert stream.counters["missing"] == (0 if first else min(index - 10, 1_728_000))
    assert stream.counters["late"] == 1


def test_a_gap_of_the_longest_kind_is_stepped_over(bench_of):
    bench = bench_of("ridge")
    stream = bench.decoder.stream()
    stream.step(bench.data.fresh_counts[0], index=0)
    stream.step(bench.data.fresh_counts[1], index=101)
    assert stream.counters["restarts"] == 0 and stream.counters["missing"] == 100


def test_one_corrupt_number_does_not_stop_the_stream(bench_of):
    bench = bench_of("ridge")
    stream = bench.decoder.stream()
    for k in [0, 1, 2, 2**40, 4, 5, 6, 7, 8, 9, 10, 11]:
        out = stream.step(bench.data.fresh_counts[k % 100], index=k)
    # As if that bin had not come: nothing is lost of what came before.
    other = bench.decoder.stream()
    for k in range(12):
        expected = other.step(None if k == 3 else bench.data.fresh_counts[k])
    assert np.array_equal(out, expected)
    c = stream.counters
    assert (c["restarts"], c["late"], c["missing"]) == (0, 1, 1)


@pytest.mark.parametrize("index", [1.5, "7", -3, np.nan, 2**53 + 2, 10**400, 1e300])
def test_what_is_no_number_of_a_bin_is_refused(bench_of, index):
    stream = bench_of("ridge").decoder.stream()
    kind = KindError if isinstance(index, str) else DataError
    with pytest.raises(kind, match="whole number"):
        stream.step(np.zeros(30), index=index)
    assert stream.counters["bins"] == 0


def test_reset_is_the_state_before_the_first_bin(bench):
    rows = bench.data.fresh_counts[:80].copy()
    stream = bench.decoder.stream()
    start = stream.output.copy()
    for k in range(40):
        stream.step(rows[k], index=k)
    stream.reset(units=True)
    assert np.array_equal(stream.output, start)
    found = [stream.step(rows[k], index=k) for k in range(40)]
    assert np.array_equal(found, bench.outputs(bench.decoder, rows[:40]))
    assert stream.counters["bins"] == 80 and stream.counters["late"] == 0
    if bench.labelled:
        stream.reset()
        assert stream.output.sum() == pytest.approx(1, abs=1e-12)


# What comes in.


@pytest.mark.parametrize("value", [-1.0, np.inf, -np.inf])
def test_what_is_no_count_is_counted_and_taken_as_missing(bench, value):
    rows = bench.data.fresh_counts[:60].copy()
    missing = rows.copy()
    rows[20, [3, 5]], missing[20, [3, 5]] = value, np.nan
    stream, other = bench.decoder.stream(), bench.decoder.stream()
    assert np.array_equal(by_hand(stream, rows), by_hand(other, missing))
    assert np.isfinite(stream.output).all()
    assert stream.counters["invalid"] == 2 and other.counters["invalid"] == 0


def test_units_that_were_not_recorded_do_not_spoil_the_rest(bench):
    rows = bench.data.fresh_counts[:400].copy()
    rows[:, 4] = np.nan
    rows[100:110] = np.nan
    found = by_hand(bench.decoder.stream(), rows)
    assert np.isfinite(found).all()
    # The stream must answer; in a recording nothing is known of bins that nobody recorded.
    offline = bench.outputs(bench.decoder, rows)
    seen = np.ones(len(rows), bool)
    seen[100:110] = False
    assert np.array_equal(found[seen], offline[seen])
    assert np.isnan(offline[~seen]).all()


def test_intervals_and_scores_know_nothing_of_bins_that_nobody_recorded(bench_of):
    bench = bench_of("kalman")
    rows, y = bench.data.fresh_counts[:400].copy(), bench.data.fresh_targets[:400]
    rows[100:110] = np.nan
    guess, interval = bench.decoder.predict(rows, return_interval=True)
    assert np.isnan(interval[100:110]).all() and np.isfinite(interval[110:]).all()
    seen = np.isfinite(guess).all(1)
    assert bench.decoder.score(rows, y) == pytest.approx(r2_score(y[seen], guess[seen]))
    with pytest.raises(DataError, match="unit that was recorded"):
        bench.decoder.score(np.full_like(rows, np.nan), y)


def test_labels_and_their_score_where_nobody_recorded(bench_of):
    bench = bench_of("target")
    rows, labels = bench.data.fresh_counts[:400].copy(), bench.data.fresh_targets[:400]
    rows[100:110] = np.nan
    chosen, chances = bench.decoder.predict(rows), bench.decoder.predict_proba(rows)
    seen = np.isfinite(chances).all(1)
    assert np.flatnonzero(~seen).tolist() == list(range(100, 110))
    assert (chosen[100:110] == chosen[99]).mean() > 0.5
    assert bench.decoder.score(rows, labels) == np.mean((chosen == labels)[seen])


def test_a_bin_of_nothing_is_near_a_missing_one(bench_of):
    # All units unknown: a posterior and a filter go on as they would.
    for name in ("place", "target"):
        bench = bench_of(name)
        a, b = bench.decoder.stream(), bench.decoder.stream()
        for stream in (a, b):
            stream.run(bench.data.fresh_counts[:20])
        unknown = np.full(bench.data.counts.shape[1], np.nan)
        assert np.array_equal(a.step(unknown), b.step(None))


FORMS = {
    "list": list,
    "tuple": tuple,
    "int": lambda row: row.astype(np.int64),
    "uint8": lambda row: row.astype(np.uint8),
    "float32": lambda row: row.astype(np.float32),
    "object": lambda row: row.astype(object),
    "DataArray": lambda row: xr.DataArray(row, dims="unit"),
    "masked": lambda row: np.ma.masked_array(row),
    "strided": lambda row: np.repeat(row, 2)[::2],
}


@pytest.mark.parametrize("form", FORMS)
def test_counts_come_in_any_form(bench_of, form):
    bench = bench_of("gru")
    row = bench.data.fresh_counts[0]
    expected = bench.decoder.stream().step(row)
    assert np.array_equal(bench.decoder.stream().step(FORMS[form](row)), expected)


def test_masked_counts_are_missing_ones(bench_of):
    bench = bench_of("ridge")
    row = bench.data.fresh_counts[0]
    unknown = row.copy()
    unknown[3] = np.nan
    found = bench.decoder.stream().step(np.ma.masked_array(row, mask=np.arange(30) == 3))
    assert np.array_equal(found, bench.decoder.stream().step(unknown))


@pytest.mark.parametrize(
    ("counts", "error"),
    [
        (np.zeros(29), ShapeError),
        (np.zeros((1, 30)), ShapeError),
        (np.zeros((30, 30)), ShapeError),
        (5.0, KindError),
        ("words", KindError),
        (["a"] * 30, KindError),
        (np.full(30, "1"), KindError),
        (np.zeros(30, complex), KindError),
        ([[1, 2], [3]], ShapeError),
        ({"u0": 1}, KindError),
    ],
)
def test_a_step_refuses_and_stays_as_it_was(bench_of, counts, error):
    bench = bench_of("kalman")
    rows = bench.data.fresh_counts[:12]
    stream = bench.decoder.stream()
    stream.run(rows[:10])
    with pytest.raises(error) as caught:
        stream.step(counts, index=3)
    assert "30" in str(caught.value)
    assert stream.counters["bins"] == 10
    assert np.array_equal(stream.step(rows[10]), bench.decoder.predict(rows[:11])[-1])


@pytest.mark.parametrize(
    "out", [np.zeros(3), np.zeros((5, 2)), np.zeros(2, int), [0.0, 0.0], np.zeros((2, 1))]
)
def test_a_buffer_that_does_not_fit_is_refused(bench_of, out):
    bench = bench_of("ridge")
    stream = bench.decoder.stream()
    with pytest.raises(ShapeError, match="floats"):
        stream.step(bench.data.fresh_counts[0], out)
    assert stream.counters["bins"] == 0


def test_units_in_another_order_are_refused(bench_of):
    bench = bench_of("ridge")
    rows = xr.DataArray(
        bench.data.fresh_counts[:5], dims=("time", "unit"), coords={"unit": np.arange(30)}
    )
    stream = bench.decoder.stream()
    assert np.array_equal(stream.run(rows), bench.decoder.predict(rows).values)
    for turned in (rows[:, ::-1], rows.assign_coords(unit=np.arange(30) + 1)):
        with pytest.raises(DataError, match="order"):
            stream.step(turned[0])
        with pytest.raises(DataError, match="order"):
            stream.run(turned)
    for wrong in (np.zeros(30), np.zeros((2, 3, 30)), np.zeros((30, 5))):
        with pytest.raises(ShapeError, match="many bins"):
            stream.run(wrong)


# Units by hand, latency, text.


@pytest.mark.parametrize("name", ["ridge", "kalman", "place", "gru", "target"])
def test_units_are_dropped_and_taken_back(bench_of, name):
    bench = bench_of(name)
    rows = bench.data.fresh_counts[:200].copy()
    noise = rows.copy()
    noise[:, [2, 7]] = 40 + np.random.default_rng(0).poisson(20, (200, 2))
    stream, other = bench.decoder.stream(), bench.decoder.stream()
    for s in (stream, other):
        s.drop_units([2, 7])
    assert (stream.units[[2, 7]] == "dropped").all() and (stream.units == "live").sum() > 10
    # What a dropped unit says does not matter.
    assert np.array_equal(by_hand(stream, rows), by_hand(other, noise))
    stream.drop_units([])
    stream.reset(units=True)
    assert np.array_equal(by_hand(stream, rows), bench.outputs(bench.decoder, rows))
    with pytest.raises(DataError, match="99"):
        stream.drop_units([2, 99])


def test_latency_is_a_table_and_the_stream_stays_as_it_was(bench_of):
    bench = bench_of("ridge")
    stream = bench.decoder.stream()
    stream.run(bench.data.fresh_counts[:10])
    before = stream.output.copy(), stream.counters
    table = stream.latency(bench.data.fresh_counts[:50], n_steps=500)
    assert np.array_equal(stream.output, before[0]) and stream.counters == before[1]
    assert table["latency"].sizes == {"step": 500} and table["latency"].attrs["units"] == "s"
    steps = table["latency"].values
    for name, share in {"p50": 0.5, "p99": 0.99, "p99_9": 0.999, "maximum": 1.0}.items():
        assert float(table[name]) == np.quantile(steps, share)
        assert table[name].attrs["units"] == "s"
    # A step takes microseconds; a rig wants less than a millisecond, here on a busy machine.
    assert 0 < float(table["p50"]) < 1e-3
    assert float(stream.latency(n_steps=50)["p50"]) > 0


def test_the_report_names_what_came(bench_of):
    stream = bench_of("ridge").decoder.stream()
    stream.step(None)
    assert "missing" in stream.report() and "units live" in stream.report()
    assert "<table" in stream._repr_html_()
    assert repr(stream) == "Stream(RidgeDecoder, 30 units, 2 outputs, bin_size=0.05 s)"


# A decoder that ran on a rig.


@pytest.mark.realdata
@pytest.mark.parametrize("mapping", ["intuitive", "perturbed"])
def test_the_recorded_decoder_of_a_monkey(data_dir, mapping):
    path = nr.fetch("golub_bci")
    recorded = loadmat(path, simplify_cells=True)
    p = recorded["expParams"][f"{mapping}Mapping"]
    decoder = nr.decode.KalmanFilter.from_matrices(
        transition=p["M1"], gain=p["M2"], offset=p["m0"], bin_size=float(p["dt"])
    )
    stream, n_bins = decoder.stream(), 0
    for when in ("beforeLearning", "afterLearning"):
        clouds = recorded[when]["clouds"]
        assert len(clouds["spikes"]) == 8
        for spikes, velocity in zip(clouds["spikes"], clouds[f"vraw_{mapping}"], strict=True):
            found, state = [], np.zeros(2)
            for u in spikes.T:
                stream.reset()
                found.append(stream.step(u))
            # Recorded to about 3e-8, with velocities of some hundred.
            np.testing.assert_allclose(np.array(found), velocity.T, atol=1e-6)
            n_bins += len(found)
            # And with its memory: v[t] = M1 v[t-1] + M2 u[t] + m0.
            stream.reset()
            for u, v in zip(spikes.T, stream.run(spikes.T), strict=True):
                state = p["M1"] @ state + p["M2"] @ u + p["m0"]
                np.testing.assert_allclose(v, state, atol=1e-9)
    assert n_bins > 1000
