"""Hard days on a rig: long pauses, stray packets, absurd counts, sparse units, odd labels.

`bench_of` gives the decoders of conftest.py.
"""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from sklearn.model_selection import GridSearchCV

import neurornn as nr
from neurornn._core.checks import check_count
from neurornn._core.errors import DataError, KindError, ThreePartError, UnitWarning
from neurornn.decode.preparation import FILL_RIDGE, Preparation, learn_preparation
from neurornn.decode.stream import Stream

BIN_SIZE = 0.05


def walk(rng, n):
    """A smooth walk in two directions, of variance about 1, (time, 2)."""
    x = np.zeros((n, 2))
    for t in range(1, n):
        x[t] = 0.95 * x[t - 1] + 0.3 * rng.standard_normal(2)
    return x


# Units that come and go.


def test_a_unit_comes_back_after_a_long_pause_though_it_is_followed(rng):
    x = walk(rng, 12_000)
    counts = rng.poisson(BIN_SIZE * 10 * np.exp(0.5 * x @ rng.standard_normal((2, 20))))
    counts = counts.astype(float)
    # Two minutes without a spike, in training, so that they are believed, and after.
    counts[3000:5400, 4] = counts[8500:10_900, 4] = 0.0
    decoder = nr.decode.RidgeDecoder(BIN_SIZE, n_lags=3, adaptation_tau=10.0)
    stream = decoder.fit(counts[:8000], x[:8000]).stream()
    stream.run(counts[8000:10_900])
    assert stream.units.values[4] == "live"
    # Within 30 s, three time constants of the following and six of the watch.
    stream.run(counts[10_900:11_500])
    assert stream.units.values[4] == "live"
    state, trained = stream._preparation.state, stream._preparation.arrays["scale"]
    # Its sd is again that of its counts, to what the walk changes within 10 s.
    assert 0.4 < 1 / state["inverse"][4] / trained[4] < 2.5


def test_sparse_units_are_not_taken_for_dead_and_active_ones_are_found_as_before(rng):
    counts = rng.poisson(0.4 * BIN_SIZE, (600, 200)).astype(float)
    counts[:, 0] = rng.poisson(10 * BIN_SIZE, 600)
    decoder = nr.decode.RidgeDecoder(BIN_SIZE, n_lags=1)
    stream = decoder.fit(counts, rng.standard_normal((600, 2))).stream()
    rows = rng.poisson(0.4 * BIN_SIZE, (12_000, 200)).astype(float)
    rows[:, 0] = rng.poisson(10 * BIN_SIZE, 12_000)
    stream.run(rows)
    # One in a million of the silences, some 200 for each of 200 units, were the rates known;
    # those of 12 spikes are known to a third, which lets a few through.
    assert stream.counters["changed_units"] < 30
    rows[:, 0] = 0.0
    stream.run(rows[:60])
    # Longest silence of 10 Hz in 30 s: some 15 bins, by 1.5, and ten.
    assert stream.units.values[0] == "silent"


def test_the_fill_is_made_once_a_second_and_a_unit_waits_at_its_mean():
    n = 4
    arrays = {
        "centre": np.full(n, 2.0), "scale": np.ones(n), "covariance": np.full((n, n), 0.9),
        "limits": np.repeat([[5.0], [1e9], [1e9], [1e9]], n, axis=1),
    }  # fmt: skip
    settings = {
        "power": 1.0, "lowest": 0.0, "smoothing": 0.0, "pace": 0.0, "watch_pace": 0.01,
        "stand_in": "expected",
    }  # fmt: skip
    # Of 5 s a bin is 1 %: 20 bins are a second.
    prepared, made = Preparation(arrays, settings), []
    make = prepared._make_fill
    prepared._make_fill = lambda missing: (made.append(t), make(missing))
    found = np.zeros((60, n))
    for t in range(60):
        # Unit 0 is silent from the first bin on, unit 1 from the fifth.
        prepared.counts[:] = [0, 0 if t >= 4 else 3, 3, 3]
        prepared.step()
        found[t] = prepared.features
        if t == 12:
            twin = Preparation(arrays, settings)
            twin.restore({k: v.copy() for k, v in prepared.state.items()})
    # The sixth silent bin is one too many, for unit 0 at once and for unit 1 after the second.
    assert made == [5, 25]
    assert (found[5:, 0] > 0).all()
    assert (found[9:25, 1] == 0).all() and (found[25:, 1] > 0).all()
    # A state that was saved while a unit waited goes on in the same way.
    for t in range(13, 60):
        twin.counts[:] = [0, 0, 3, 3]
        twin.step()
        assert np.array_equal(twin.features, found[t])


def test_covariance_is_that_of_the_bins_in_which_both_were_recorded(rng):
    common = rng.standard_normal((20_000, 1))
    counts = 3 + common + 0.5 * rng.standard_normal((20_000, 6))
    whole = counts.copy()
    counts[5000:, 2] = np.nan
    given = {
        "power": 1.0, "lowest": -np.inf, "smoothing": 0.0, "pace": 0.0, "watch_pace": 0.01,
        "stand_in": "expected",
    }  # fmt: skip
    found = learn_preparation(counts, **given).arrays["covariance"]
    # 5000 independent bins know a correlation of 0.8 to 0.005; four of these sd.
    np.testing.assert_allclose(found, np.corrcoef(whole.T), atol=0.02)
    assert np.diag(found) == pytest.approx(1, abs=1e-9)
    # Pairs in few and different bins: still a covariance.
    counts[rng.random(counts.shape) < 0.999] = np.nan
    size = np.linalg.eigvalsh(learn_preparation(counts, **given).arrays["covariance"])
    assert size[0] > -1e-9 * size[-1] and FILL_RIDGE > 0


# Counts that are absurd.


@pytest.mark.parametrize("value", [2.0**32 - 1, 1e300])
def test_one_absurd_count_in_short_bins_does_not_carry_the_output_away(rng, value):
    x = np.sin(np.cumsum(0.01 * rng.standard_normal((12_000, 2)), axis=0))
    counts = rng.poisson(0.05 * np.exp(x @ rng.standard_normal((2, 30)))).astype(float)
    for power in (1.0, 2.0):
        decoder = nr.decode.RidgeDecoder(0.005, n_lags=5, power=power).fit(counts, x)
        stream = decoder.stream()
        stream.run(counts[:500])
        plain, row = stream.copy(), counts[500].copy()
        expected = plain.step(row)
        row[3] = value
        out = stream.step(row)
        # Without a limit it was carried away by 1e8.
        assert np.isfinite(out).all() and np.abs(out - expected).max() < 3
        # Five bins on, the last lag, all is as if it had not been.
        np.testing.assert_array_equal(stream.run(counts[501:520])[5:],
                                      plain.run(counts[501:520])[5:])  # fmt: skip


def test_one_absurd_count_is_no_evidence_for_a_place(bench_of):
    bench = bench_of("place")
    rows = bench.data.fresh_counts[:40].copy()
    missing = rows.copy()
    rows[20, 3], missing[20, 3] = 2.0**32 - 1, np.nan
    found, expected = bench.decoder.stream(), bench.decoder.stream()
    assert np.array_equal(found.run(rows[:21]), expected.run(missing[:21]))


# Pickles, copies, states.


@pytest.mark.parametrize("name", ["ridge", "smooth ridge", "kalman", "place", "gru", "lstm"])
@pytest.mark.parametrize(
    "twin_of", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))], ids=["copy", "pickle"]
)
def test_pickles_and_deep_copies_are_whole(bench_of, tmp_path, name, twin_of):
    bench = bench_of(name)
    rows = bench.data.fresh_counts
    stream = bench.decoder.stream()
    stream.run(rows[:7])
    twin = twin_of(stream)
    assert np.array_equal(twin.output, stream.output)
    assert np.array_equal(twin.run(rows[7:30]), stream.run(rows[7:30]))
    assert twin.counters == stream.counters
    twin.save(tmp_path / "twin.nc")
    expected = stream.run(rows[30:60])
    for other in (nr.load(tmp_path / "twin.nc"), twin.copy(), twin):
        assert np.array_equal(other.run(rows[30:60]), expected)
    twin.reset(units=True)
    assert np.array_equal(twin.run(rows[:50]), bench.decoder.stream().run(rows[:50]))


@pytest.mark.parametrize("name", ["gru", "kalman"])
def test_the_sd_right_after_a_state_is_taken_up_is_that_of_before(bench_of, tmp_path, name):
    bench = bench_of(name)
    stream = bench.decoder.stream()
    stream.run(bench.data.fresh_counts[:50])
    stream.save(tmp_path / "state.nc")
    for other in (
        stream.copy(), nr.load(tmp_path / "state.nc"),
        bench.decoder.stream(state=tmp_path / "state.nc"),
    ):  # fmt: skip
        assert np.array_equal(other.sd, stream.sd)
        assert np.array_equal(other.interval, stream.interval)


# Clocks.


@pytest.mark.parametrize("stray", [3, 2**40])
def test_a_stray_packet_restarts_nothing(bench_of, stray):
    bench = bench_of("kalman")
    rows = bench.data.fresh_counts
    stream, plain = bench.decoder.stream(), bench.decoder.stream()
    for k in range(200):
        stream.step(rows[k], index=1300 + k)
        plain.step(rows[k])
    assert np.array_equal(stream.step(rows[500], index=stray), plain.output)
    assert np.array_equal(stream.copy().step(rows[200], index=1500), plain.step(rows[200]))
    c = stream.counters
    assert (c["late"], c["restarts"], c["missing"]) == (1, 0, 0)
    # Another stray number later is not the second on its clock.
    stream.step(rows[200], index=1500)
    stream.step(rows[201], index=stray + 1)
    assert stream.counters["restarts"] == 0


def test_a_stray_number_is_remembered_in_a_saved_state(bench_of, tmp_path):
    bench = bench_of("ridge")
    stream = bench.decoder.stream()
    stream.step(bench.data.fresh_counts[0], index=1000)
    stream.step(bench.data.fresh_counts[1], index=3)
    stream.save(tmp_path / "state.nc")
    for other in (stream.copy(), nr.load(tmp_path / "state.nc")):
        other.step(bench.data.fresh_counts[2], index=4)
        assert other.counters["restarts"] == 1


def test_a_duplicate_is_one_in_bins_of_ten_seconds(rng):
    counts = rng.poisson(20.0, (300, 5)).astype(float)
    with pytest.warns(UnitWarning):
        decoder = nr.decode.RidgeDecoder(10.0, n_lags=1).fit(counts, counts[:, :2])
    stream = decoder.stream()
    for index in (0, 1, 1, 2):
        stream.step(counts[0], index=index)
    c = stream.counters
    assert (c["duplicated"], c["restarts"], c["bins"]) == (1, 0, 3)


# Latency and the first steps.


@pytest.mark.parametrize("signal", ["counts", "features"])
def test_latency_is_timed_on_bins_like_those_of_training(monkeypatch, rng, signal):
    counts = rng.poisson(rng.uniform(0.05, 3, 12), (2000, 12)).astype(float)
    given = counts if signal == "counts" else counts - 1.5
    power = 0.5 if signal == "counts" else 1.0
    decoder = nr.decode.RidgeDecoder(BIN_SIZE, n_lags=1, signal=signal, power=power)
    stream = decoder.fit(given, rng.standard_normal((2000, 2))).stream()
    fed, step = [], Stream.step
    twins = []

    def spy(self, row, *others, **named):
        fed.append(np.array(row))
        twins.append(self)
        return step(self, row, *others, **named)

    monkeypatch.setattr(Stream, "step", spy)
    stream.latency(n_steps=1500)
    assert (twins[-1].units == "live").all()
    # The 1000 rows that are drawn know a mean to 0.03 sd, the training to as much.
    sd = given.std(axis=0)
    assert np.abs((np.mean(fed, axis=0) - given.mean(axis=0)) / sd).max() < 0.2
    assert (np.std(fed, axis=0) > 0.5 * sd).all()


@pytest.mark.parametrize("power", [0.5, 1.0, 1.5, 2.0])
def test_drawn_counts_have_the_rates_of_training(rng, power):
    rates = np.array([0.0, 0.02, 0.3, 1.0, 5.0, 40.0])
    given = {
        "lowest": 0.0, "smoothing": 0.0, "pace": 0.0, "watch_pace": 0.01, "stand_in": "mean",
    }  # fmt: skip
    prepared = learn_preparation(rng.poisson(rates, (20_000, 6)).astype(float), power=power,
                                 **given)  # fmt: skip
    drawn = prepared.draw(20_000, rng)
    # 400 spikes of the sparsest tell 5 %, twice; the formula for 1.5 is off by up to 10 %.
    np.testing.assert_allclose(drawn.mean(axis=0), rates, rtol=0.25)


FIRST = """
import sys
import numpy as np
import neurornn as nr

def loaded():
    # Modules, and what every kernel was compiled for or taken from the cache for.
    kernels = {(name, key, signature)
               for name, module in list(sys.modules.items()) if name.startswith("neurornn.")
               for key, thing in vars(module).items()
               for signature in getattr(thing, "overloads", ())}
    return set(sys.modules) | kernels

for path in sys.argv[1:]:
    stream, row = nr.load(path).stream(), np.ones(30)
    before = loaded()
    assert any(isinstance(one, tuple) for one in before)
    stream.step(row)
    stream.step(None)
    stream.drop_units([3])
    stream.step(row)
    print(path, sorted(map(str, loaded() - before)))
"""


@pytest.mark.slow
def test_the_first_steps_of_a_process_load_and_compile_nothing(bench_of, tmp_path):
    # A step takes microseconds where nothing is loaded; loading takes 20 to 260 ms.
    names = ("ridge", "kalman", "gru")
    for name in names:
        bench_of(name).decoder.save(tmp_path / name)
    ran = subprocess.run(
        [sys.executable, "-c", FIRST, *names],
        check=True, capture_output=True, text=True, timeout=120, cwd=tmp_path,
    )  # fmt: skip
    assert ran.stdout.splitlines() == [f"{name} []" for name in names]


# Labels.


def frame(values, columns):
    """A table with named columns, if pandas is there, which comes with xarray."""
    return pytest.importorskip("pandas").DataFrame(values, columns=columns)


def test_columns_of_a_table_are_labels(rng, tmp_path):
    x = walk(rng, 600)
    counts = rng.poisson(np.exp(0.5 * x @ rng.standard_normal((2, 4)))).astype(float)
    named = frame(counts, ["a", "b", "c", "d"])
    decoder = nr.decode.RidgeDecoder(BIN_SIZE, n_lags=1).fit(named, frame(x, ["vx", "vy"]))
    assert decoder.units_.tolist() == ["a", "b", "c", "d"]
    assert decoder.outputs_.tolist() == ["vx", "vy"]
    assert np.array_equal(decoder.predict(named), decoder.predict(counts))
    turned = named[["b", "a", "c", "d"]]
    for call in (lambda: decoder.predict(turned), lambda: decoder.score(turned, x)):
        with pytest.raises(DataError, match="another order"):
            call()
    plain = nr.decode.RidgeDecoder(BIN_SIZE, n_lags=1).fit(counts, x)
    assert np.array_equal(plain.predict(frame(counts, None)), plain.predict(counts))
    decoder.save(tmp_path / "decoder")
    with pytest.raises(DataError, match="another order"):
        nr.load(tmp_path / "decoder").predict(turned)


KEPT = {
    "text": ["a", "b", "c"], "objects": np.array(["a", "b", "c"], object), "int": [7, 3, 5],
    "int32": np.array([7, 3, 5], np.int32), "float": [0.5, 1.5, 2.5],
    "int objects": np.array([7, 3, 5], object),
}  # fmt: skip


@pytest.mark.parametrize("kind", KEPT)
def test_labels_of_units_come_back(rng, tmp_path, kind):
    counts = rng.poisson(1.0, (300, 3)).astype(float)
    given = xr.DataArray(counts, dims=("time", "unit"), coords={"unit": KEPT[kind]})
    targets = xr.DataArray(counts, dims=("time", "output"), coords={"output": KEPT[kind]})
    decoder = nr.decode.RidgeDecoder(BIN_SIZE, n_lags=1).fit(given, targets)
    decoder.save(tmp_path / "decoder")
    again = nr.load(tmp_path / "decoder")
    for name in ("units_", "outputs_"):
        assert getattr(again, name).tolist() == list(KEPT[kind])
        assert getattr(again, name).dtype.kind == getattr(decoder, name).dtype.kind
    assert np.array_equal(again.predict(given), decoder.predict(given))


LOST = {
    "mixed": np.array(["a", 1, 2.0], object), "bytes": np.array([b"a", b"b", b"c"]),
    "dates": np.array(["2020-01-01", "2020-01-02", "2020-01-03"], "datetime64[ns]"),
    "pairs": [("a", 1), ("a", 2), ("b", 1)],
}  # fmt: skip


@pytest.mark.parametrize("kind", LOST)
def test_labels_that_no_file_keeps_are_refused_at_the_fit(rng, kind):
    counts = rng.poisson(1.0, (300, 3)).astype(float)
    if kind == "pairs":
        labels = pytest.importorskip("pandas").MultiIndex.from_tuples(LOST[kind])
        given = frame(counts, labels)
    else:
        labels = LOST[kind]
        given = xr.DataArray(counts, dims=("time", "unit"), coords={"unit": labels})
        with pytest.raises(ThreePartError, match="labels of targets"):
            nr.decode.TargetDecoder(BIN_SIZE).fit(counts, np.tile(labels, 100))
    with pytest.raises(ThreePartError, match="labels of unit"):
        nr.decode.RidgeDecoder(BIN_SIZE, n_lags=1).fit(given, counts)


@pytest.mark.parametrize(
    "labels", [["a", "b", "c"], [7, 3, 5], [True, False, True], [1.0, 2.0, 4.0]]
)
def test_classes_and_maps_come_back(bench_of, rng, tmp_path, labels):
    counts = rng.poisson(1.0, (300, 3)).astype(float)
    decoder = nr.decode.TargetDecoder(BIN_SIZE).fit(counts, np.repeat(np.array(labels), 100))
    decoder.save(tmp_path / "decoder")
    again = nr.load(tmp_path / "decoder")
    assert np.array_equal(again.classes_, decoder.classes_)
    assert again.classes_.dtype == decoder.classes_.dtype
    xr.testing.assert_identical(again.rates_, decoder.rates_)
    place = bench_of("place").decoder
    place.save(tmp_path / "place")
    xr.testing.assert_identical(nr.load(tmp_path / "place").maps_, place.maps_)


@pytest.mark.parametrize("name", ["target", "classifier"])
def test_chances_have_neither_sd_nor_interval(bench_of, tmp_path, name):
    bench = bench_of(name)
    bench.decoder.save(tmp_path / "decoder")
    for decoder in (bench.decoder, nr.load(tmp_path / "decoder")):
        stream = decoder.stream()
        stream.run(bench.data.fresh_counts[:5])
        assert np.isnan(stream.sd).all() and stream.sd.shape == (4,)
        assert np.isnan(stream.interval).all() and stream.interval.shape == (4, 2)


def test_a_unit_that_never_fired_does_not_vote(bench_of):
    bench = bench_of("place")
    counts = bench.data.counts.copy()
    counts[:, 5] = 0.0
    decoder = bench.make(monitor_units=False).fit(counts, bench.data.targets)
    assert np.ptp(decoder.maps_.values[5]) == 0
    rows = bench.data.fresh_counts[:300].copy()
    rows[:, 5] = 0.0
    silent = decoder.predict(rows)
    rows[:, 5] = 4.0
    # The same up to the rounding of log-likelihoods of some hundred.
    np.testing.assert_allclose(decoder.predict(rows), silent, atol=1e-6)


# Settings.


@pytest.mark.parametrize("value", [2, 2.0, np.int64(2), np.int8(2), np.float32(2)])
def test_a_count_may_be_any_whole_number(value):
    assert check_count(value, "n") == 2 and type(check_count(value, "n")) is int


@pytest.mark.parametrize("value", [True, np.True_, 0, 1.5, np.nan, np.inf, "2", None])
def test_what_is_no_count_is_refused(value):
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    with pytest.raises(DataError if is_number else KindError, match="whole number"):
        check_count(value, "n")


def test_a_search_over_whole_numbers_of_numpy(rng):
    x = walk(rng, 400)
    counts = rng.poisson(np.exp(0.5 * x @ rng.standard_normal((2, 6)))).astype(float)
    decoder = nr.decode.RidgeDecoder(BIN_SIZE)
    found = GridSearchCV(decoder, {"n_lags": np.arange(1, 3)}, cv=2).fit(counts, x)
    assert found.best_params_["n_lags"] in (1, 2)
