"""Units that die, stick, get noisy or drift; and data that a decoder refuses.

Simulations and decoders are those of conftest.py.
"""

import numpy as np
import pytest
import scipy.sparse
import xarray as xr

import neurornn as nr
from neurornn._core.errors import DataError, KindError, ThreePartError, UnitWarning

BIN_SIZE = 0.05


def watch(decoder, rows):
    """First bin in which each unit was not live, and the stream at the end."""
    stream, found, changed = decoder.stream(), {}, 0
    for t, row in enumerate(rows):
        stream.step(row)
        if stream.counters["changed_units"] == changed:
            continue
        changed = stream.counters["changed_units"]
        for unit in np.flatnonzero(stream.units.values != "live"):
            found.setdefault(int(unit), t)
    return found, stream


def spoilt(rows, units, how, start):
    """Counts in which some units are lost from a bin on."""
    rows, rng = rows.copy(), np.random.default_rng(9)
    if how == "silent":
        rows[start:, units] = 0
    elif how == "stuck":
        rows[start:, units] = 6
    elif how == "noisy":
        rate = 2 * rows.max(axis=0)[units]
        rows[start:, units] = rng.poisson(rate, (len(rows) - start, len(units)))
    else:
        rows[start:, units] = np.nan
    return rows


# The longest silence of a unit in 150 s of training, times 1.5 and ten: up to 95 bins; the same
# for stays at one count, 30; a running mean over 5 s, 100 bins; and 11 bins without a record.
@pytest.mark.parametrize(
    ("how", "verdict", "within"),
    [("silent", "silent", 95), ("stuck", "stuck", 30), ("noisy", "noisy", 100),
     ("not recorded", "silent", 11)],
)  # fmt: skip
@pytest.mark.parametrize("name", ["ridge", "kalman", "gru"])
def test_lost_units_are_found_and_no_others(bench_of, name, how, verdict, within):
    bench = bench_of(name)
    lost = [3, 11, 20]
    rows = spoilt(bench.data.fresh_counts[:900], lost, how, 500)
    found, stream = watch(bench.decoder, rows)
    assert sorted(found) == lost
    assert all(500 < t <= 500 + within for t in found.values())
    assert (stream.units.values[lost] == verdict).all()
    # They come back: all of them live again after twice the 5 s of the running mean.
    stream.run(bench.data.fresh_counts[900:1100])
    assert (stream.units == "live").all()


def test_a_stationary_recording_gives_hardly_any_false_alarm(bench_of, rng):
    """10 000 bins of the same units as in the training."""
    for name in ("ridge", "target"):
        bench = bench_of(name)
        rows = bench.data.fresh_counts
        # Long stretches in another order: the statistics of each unit stay as they are.
        parts = [rows[a : a + 500] for a in rng.integers(0, len(rows) - 500, 20)]
        found, _ = watch(bench.decoder, np.concatenate(parts))
        # A silence must be 1.5 times the longest in 150 s of training and ten bins: of 30 units
        # at most one.
        assert len(found) <= 1, name


def test_false_alarms_of_place_cells_cost_nothing(bench_of):
    # A place cell falls silent for as long as the animal stays away: some are taken for dead.
    bench = bench_of("place")
    found, _ = watch(bench.decoder, bench.data.fresh_counts)
    assert len(found) <= 6
    blind = bench.make(monitor_units=False).fit(bench.data.counts, bench.data.targets)
    fresh = bench.data.fresh_counts, bench.data.fresh_targets
    assert bench.decoder.score(*fresh) > blind.score(*fresh) - 0.02


@pytest.mark.parametrize(
    "name", ["ridge", "cascade", "leaky", pytest.param("gru", marks=pytest.mark.slow)]
)
def test_expected_stand_ins_beat_the_mean_and_the_mean_beats_nothing(bench_of, name):
    bench = bench_of(name)
    dead = np.random.default_rng(5).permutation(30)[:12]
    rows = spoilt(bench.data.fresh_counts, dead, "silent", 0)
    score = {}
    for how, changed in {"mean": {"impute": "mean"}, "nothing": {"monitor_units": False}}.items():
        decoder = bench.make(**changed).fit(bench.data.counts, bench.data.targets)
        score[how] = decoder.score(rows, bench.data.fresh_targets)
    # "expected" is what the decoders of the table have.
    assert bench.decoder.impute == "expected"
    score["expected"] = bench.decoder.score(rows, bench.data.fresh_targets)
    whole = bench.decoder.score(bench.data.fresh_counts, bench.data.fresh_targets)
    # With 12 of 30 units gone; each step is some 0.02 to 0.2 of R2 (networks that were trained
    # with units dropped at their mean gain least) and 3000 bins of the same recording tell 0.01.
    assert whole > score["expected"] > score["mean"] + 0.01
    assert score["mean"] > score["nothing"] + 0.05
    # Not recorded is as good as silent, and found sooner.
    missing = spoilt(bench.data.fresh_counts, dead, "not recorded", 0)
    assert bench.decoder.score(missing, bench.data.fresh_targets) > score["expected"] - 0.01


@pytest.mark.parametrize("name", ["place", "target"])
def test_lost_units_are_left_out_of_a_likelihood(bench_of, name):
    bench = bench_of(name)
    n = bench.data.counts.shape[1]
    dead = np.random.default_rng(5).permutation(n)[: n * 2 // 5]
    rows = spoilt(bench.data.fresh_counts, dead, "silent", 0)
    blind = bench.make(monitor_units=False).fit(bench.data.counts, bench.data.targets)
    fresh = bench.data.fresh_targets
    # A silent unit says: not in my field, which misleads as long as it is believed.
    assert bench.decoder.score(rows, fresh) > blind.score(rows, fresh) + 0.02


@pytest.mark.parametrize("name", ["ridge", "kalman", "gru"])
def test_slow_drift_of_the_units_is_followed(bench_of, name):
    bench = bench_of(name)
    rng = np.random.default_rng(7)
    # The rate of each unit goes up or down by a factor of 7 in 100 s and stays there.
    share = np.minimum(np.linspace(0, 1.5, 3000), 1)[:, None]
    gain = np.exp(2 * share * rng.choice([-1, 1], 30))
    counts = bench.data.fresh_counts.astype(int)
    rows = rng.binomial(counts, np.minimum(gain, 1)) + rng.poisson(
        np.maximum(gain - 1, 0) * counts
    )
    late = slice(2000, None)
    score = {}
    for tau in (None, 20.0):
        decoder = bench.make(adaptation_tau=tau).fit(bench.data.counts, bench.data.targets)
        found = decoder.predict(rows.astype(float))[late]
        away = np.sum((found - bench.data.fresh_targets[late]) ** 2, axis=0)
        y = bench.data.fresh_targets[late]
        score[tau] = np.mean(1 - away / np.sum((y - y.mean(axis=0)) ** 2, axis=0))
    # Movement has a memory of a second, so that 20 s are long for it and short for the drift.
    assert score[20.0] > score[None] + 0.05


def test_following_costs_little_where_nothing_drifts(bench_of):
    bench = bench_of("ridge")
    slow = bench.make(adaptation_tau=200.0).fit(bench.data.counts, bench.data.targets)
    fresh = bench.data.fresh_counts, bench.data.fresh_targets
    assert slow.score(*fresh) > bench.decoder.score(*fresh) - 0.03


# Refusals.


@pytest.fixture
def small():
    """300 bins of counts, velocity and labels."""
    rng = np.random.default_rng(0)
    t = np.arange(300)
    velocity = np.stack([np.cos(t / 13), np.sin(t / 17)], axis=1)
    counts = rng.poisson(np.exp(0.5 * velocity @ rng.standard_normal((2, 8)) + 0.3))
    return counts.astype(float), velocity, np.where(velocity[:, 0] > 0, "right", "left")


KINDS = {
    "RidgeDecoder": {"n_lags": 2},
    "WienerCascade": {"n_lags": 2},
    "KalmanFilter": {},
    "PlaceDecoder": {},
    "TargetDecoder": {},
    "RecurrentDecoder": {"n_hidden": 4, "n_seeds": 1, "max_epochs": 1},
    "RecurrentClassifier": {"n_hidden": 4, "n_seeds": 1, "max_epochs": 1},
}


@pytest.fixture(params=list(KINDS))
def kind(request, small):
    """A way to fit each class, and the targets that it takes: (make, targets, labelled)."""
    labelled = request.param in ("TargetDecoder", "RecurrentClassifier")

    def make(**changed):
        given = {"bin_size": BIN_SIZE, **KINDS[request.param], **changed}
        return getattr(nr.decode, request.param)(**given)

    return make, small[2 if labelled else 1], labelled


def changed(counts, value):
    counts = counts.copy()
    counts[7, 3] = value
    return counts


BAD_COUNTS = {
    "rates": (lambda c: c * 0.3, "rates"),
    "z-scores": (lambda c: c - c.mean(axis=0), "negative"),
    "negative": (lambda c: changed(c, -1), "negative"),
    "infinite": (lambda c: changed(c, np.inf), "infinite"),
    "empty": (lambda c: c[:0], "empty"),
    "no units": (lambda c: c[:, :0], "empty"),
    "silence": (np.zeros_like, "No unit ever changes"),
    "nothing recorded": (lambda c: c * np.nan, "No unit ever changes"),
    "constant": (np.ones_like, "No unit ever changes"),
    "text": (lambda c: c.astype(str), "text"),
    "words": (lambda c: np.full(c.shape, "spike", object), "Numbers were needed"),
    "complex": (lambda c: c + 1j, "omplex"),
    "sparse": (scipy.sparse.csr_matrix, "sparse"),
    "one dimension": (lambda c: c[:, 0], "time, unit"),
    "four dimensions": (lambda c: c[None, None], "time, unit"),
    "a number": (lambda c: 5.0, "shape"),
    "None": (lambda c: None, "None|object|shape"),
    "a dict": (lambda c: {"counts": c}, "one variable"),
    "a Dataset": (lambda c: xr.Dataset({"counts": (("time", "unit"), c)}), "one variable"),
    "ragged": (lambda c: [c[0], c[1][:3]], "one array per trial"),
    "one bin less": (lambda c: c[1:], "bin|row"),
    "trials of other units": (lambda c: [c[:150], c[150:, 1:]], "same units"),
}


@pytest.mark.parametrize("what", BAD_COUNTS)
def test_counts_that_are_none_are_refused(kind, small, what):
    make, targets, _ = kind
    change, words = BAD_COUNTS[what]
    bad = change(small[0])
    y = [targets[:150], targets[150:]] if what.startswith("trials") else targets
    with pytest.raises(ThreePartError, match=words) as caught:
        make().fit(bad, y)
    assert len(caught.value.args) >= 1 and str(caught.value).count(".") >= 3


def gap(targets, k):
    targets = targets.copy()
    targets[k] = np.nan
    return targets


BAD_TARGETS = {
    "None": (lambda y: None, "targets is None"),
    "constant": (lambda y: np.ones_like(y), "never changes"),
    "one output constant": (lambda y: y * [1, 0], "Output 1"),
    "infinite": (lambda y: np.where(y > 0.99, np.inf, y), "inf"),
    "text": (lambda y: np.full(len(y), "left"), "TargetDecoder"),
    "all unknown": (lambda y: y * np.nan, "were needed"),
    "shorter": (lambda y: y[:-1], "row|bin"),
    "three dimensions": (lambda y: y[:, :, None], "row|bin"),
    "complex": (lambda y: y + 1j, "omplex"),
}


@pytest.mark.parametrize("what", BAD_TARGETS)
@pytest.mark.parametrize("name", ["RidgeDecoder", "KalmanFilter", "RecurrentDecoder"])
def test_targets_that_are_none_are_refused(small, name, what):
    change, words = BAD_TARGETS[what]
    decoder = getattr(nr.decode, name)(bin_size=BIN_SIZE, **KINDS[name])
    with pytest.raises(ThreePartError, match=words):
        decoder.fit(small[0], change(small[1]))


BAD_LABELS = {
    "one class": (lambda y: np.full(len(y), "left"), "one class"),
    "numbers": (lambda y: np.linspace(0, 1, len(y)), "label"),
    "NaN": (lambda y: np.where(y == "left", 0.0, np.nan), "missing"),
    "None among them": (lambda y: np.where(y == "left", y, None), "missing"),
    "two columns": (lambda y: np.stack([y, y], axis=1), "label"),
    "shorter": (lambda y: y[1:], "row|bin"),
}


@pytest.mark.parametrize("what", BAD_LABELS)
@pytest.mark.parametrize("name", ["TargetDecoder", "RecurrentClassifier"])
def test_labels_that_are_none_are_refused(small, name, what):
    change, words = BAD_LABELS[what]
    decoder = getattr(nr.decode, name)(bin_size=BIN_SIZE, **KINDS[name])
    with pytest.raises(ThreePartError, match=words):
        decoder.fit(small[0], change(small[2]))


@pytest.mark.parametrize("n", [1, 4, 9])
def test_too_short_a_recording_is_refused(kind, small, n):
    make, targets, labelled = kind
    said = f"{n} bins carry one label" if labelled else f"{n} bins with counts and targets came"
    with pytest.raises(ThreePartError, match="No unit ever changes" if n == 1 else said):
        make().fit(small[0][:n], targets[:n])


def test_a_unit_that_was_never_recorded_or_never_fired_does_no_harm(kind, small):
    make, targets, labelled = kind
    counts = small[0].copy()
    counts[:, 2], counts[:, 5] = np.nan, 0
    decoder = make().fit(counts, targets)
    rows = small[0][:50]
    assert np.isfinite(decoder.predict_proba(rows) if labelled else decoder.predict(rows)).all()
    if type(decoder).__name__ in ("RidgeDecoder", "KalmanFilter"):
        # They say nothing now, whatever they say later.
        other = rows.copy()
        other[:, [2, 5]] = 3
        np.testing.assert_allclose(decoder.predict(other), decoder.predict(rows), atol=1e-12)


SETTINGS = {
    "bin_size": (0, -0.1, "50 ms", np.nan),
    "n_folds": (0, 2.5, "five"),
    "confidence_level": (0, 1, 1.5, -0.5, "high", np.nan),
    "smoothing": (-1, "x", np.nan, np.inf),
    "adaptation_tau": (0, -1, "x", np.nan),
    "signal": ("rates", None),
    "impute": ("zero", None),
    "power": (3, "sqrt", -0.5),
    "n_lags": (0, -3, 1.5, 5000, "ten"),
    "lag": (-1, 1.5, "two", 5000),
    "degree": (0, 2.5, "two"),
    "cell_size": (-1, 0, 1e9, "x"),
    "map_width": (-1, 0, "x"),
    "estimate": ("median",),
    "switching": (-0.1, 1.5, "often"),
    "cell": ("rnn", None),
    "n_hidden": (0, 2.5),
    "n_seeds": (0,),
    "window": (0,),
    "max_epochs": (0, "many"),
    "validation_fraction": (0, 0.6, "x"),
    "dropout": (-0.1, 1.0),
    "unit_dropout": (-0.1, 1.0),
    "learning_rate": (-1.0, 0.0),
    "tau": (-1.0, 0.0),
}


def test_bad_settings_are_refused_by_name(kind, small):
    make, targets, _ = kind
    known = make().get_params()
    n_tried = 0
    for name, values in SETTINGS.items():
        for value in values if name in known else ():
            decoder = make(**{name: value})
            with pytest.raises(ThreePartError) as caught:
                decoder.fit(small[0], targets)
            assert name.split("_")[0] in str(caught.value), (name, value, str(caught.value))
            n_tried += 1
    assert n_tried > 20


def test_milliseconds_are_suspected(small):
    with pytest.warns(UnitWarning, match="ms"):
        nr.decode.RidgeDecoder(bin_size=50.0, n_lags=1).fit(*small[:2])


def labelled_counts(counts, bin_size=BIN_SIZE, **attrs):
    return xr.DataArray(
        counts, dims=("time", "unit"),
        coords={"time": bin_size * (1 + np.arange(len(counts))), "unit": np.arange(8) + 40},
        attrs=attrs,
    )  # fmt: skip


def test_other_units_another_order_and_another_clock_are_refused(kind, small):
    make, targets, _ = kind
    counts = labelled_counts(small[0])
    decoder = make().fit(counts, targets)
    decoder.predict(counts)
    refused = {
        "8 units": small[0][:, :7],
        "another order": counts[:, ::-1],
        r"Units \[40\]": counts.assign_coords(unit=np.arange(8) + 41),
        "0.1 s": counts.assign_coords(time=counts["time"] * 2),
        "0.02 s": counts.assign_attrs(bin_size=0.02),
        # attrs that stayed when every other bin was taken.
        r"time stamps": counts[::2].assign_attrs(bin_size=BIN_SIZE),
        "datetime64": counts.assign_coords(
            time=np.datetime64("2026-01-01", "ns") + 50_000_000 * np.arange(300)
        ),
        "not finite": counts.assign_coords(time=np.where(np.arange(300) == 3, np.nan, 1.0)),
    }
    for words, wrong in refused.items():
        with pytest.raises(ThreePartError, match=words):
            decoder.predict(wrong)
    with pytest.raises(ThreePartError, match=r"50|0.05"):
        make(bin_size=0.02).fit(counts, targets)


def test_targets_on_another_clock_are_refused(kind, small):
    make, targets, _ = kind
    counts = labelled_counts(small[0])
    time = counts["time"].values
    dims = ("time", "output")[: targets.ndim]
    y = xr.DataArray(targets, dims=dims, coords={"time": time + 3 * BIN_SIZE})
    with pytest.raises(ThreePartError, match=r"0\.15 s"):
        make().fit(counts, y)
    # Stamps that differ by rounding, or by a part of a bin, are the same bins.
    make().fit(counts, y.assign_coords(time=time + 0.2 * BIN_SIZE))


def test_scores_in_another_unit_or_of_other_outputs_are_refused(small):
    counts, velocity, _ = small
    y = xr.DataArray(velocity, dims=("time", "output"), attrs={"units": "cm/s"})
    decoder = nr.decode.RidgeDecoder(bin_size=BIN_SIZE, n_lags=2).fit(counts, y)
    for units in ("mm/s", "s", "ms"):
        with pytest.raises(ThreePartError, match="cm/s"):
            decoder.score(counts, y.assign_attrs(units=units))
    plain = decoder.score(counts, velocity)
    assert decoder.score(counts, y) == plain == decoder.score(counts, y.assign_attrs(units=""))
    with pytest.raises(ThreePartError, match="1 outputs"):
        decoder.score(counts, velocity[:, :1])


def test_trials_that_do_not_fit_are_refused(small):
    counts, velocity, _ = small
    decoder = nr.decode.RidgeDecoder(bin_size=BIN_SIZE, n_lags=2)
    two, lengths = [counts[:150], counts[150:]], [velocity[:149], velocity[149:]]
    labelled = labelled_counts(counts)
    cases = [
        (two, lengths, {}, "differ in length"),
        (two, velocity, {}, "list"),
        (two, [velocity], {}, "1 of targets"),
        (two, [velocity[:150], velocity[150:]], {"trials": np.zeros(300)}, "trials="),
        (counts, velocity, {"trials": np.zeros(299)}, "trials has shape"),
        ([labelled[:150], labelled[150:, ::-1]], [velocity[:150], velocity[150:]], {}, "units"),
        ([], [], {}, "empty|shape"),
    ]
    for x, y, given, words in cases:
        with pytest.raises(ThreePartError, match=words):
            decoder.fit(x, y, **given)


def test_what_was_never_fitted_says_so(kind, small, tmp_path):
    from sklearn.exceptions import NotFittedError

    make, targets, _ = kind
    for call in (
        lambda d: d.predict(small[0]),
        lambda d: d.score(small[0], targets),
        lambda d: d.stream(),
        lambda d: d.save(tmp_path / "unfitted"),
    ):
        decoder = make()
        said = f"This {type(decoder).__name__} instance is not fitted yet"
        with pytest.raises(NotFittedError, match=said):
            call(decoder)


def test_known_matrices_that_do_not_fit_are_refused():
    make = nr.decode.KalmanFilter.from_matrices
    a, gain = np.eye(2) * 0.9, np.ones((2, 5))
    model = {"process": np.eye(2), "observation": gain.T, "noise": np.eye(5)}
    make(transition=a, bin_size=BIN_SIZE, **model)
    neither = "Neither a gain nor process, observation and noise came"
    for given, said in (
        ({}, neither),
        ({"process": np.eye(2)}, neither),
        ({"gain": gain.T}, r"gain or observation \(5, 2\)"),
        ({"gain": gain, "offset": np.zeros(3)}, r"offset \(3,\)"),
        ({"gain": gain, "baseline": np.zeros(4)}, r"baseline has shape \(4,\)"),
        ({**model, "noise": np.eye(4)}, r"noise has shape \(4, 4\)"),
        ({**model, "noise": np.zeros((5, 5))}, "noise has no inverse"),
        ({**model, "process": np.eye(3)}, r"process has shape \(3, 3\)"),
        ({**model, "observation": gain}, r"gain or observation \(2, 5\)"),
    ):
        with pytest.raises(ThreePartError, match=said):
            make(transition=a, bin_size=BIN_SIZE, **given)
    with pytest.raises(ThreePartError, match=r"transition has shape \(2, 3\)"):
        make(transition=np.ones((2, 3)), gain=gain, bin_size=BIN_SIZE)
    with pytest.raises(ThreePartError, match="bin_size is 0"):
        make(transition=a, gain=gain, bin_size=0.0)


# --- one rule for infinite and fill values ---

ODD = {"inf": np.inf, "-inf": -np.inf, "netCDF": 9.969209968386869e36, "1e300": 1e300}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_no_score_is_made_of_an_infinite_or_a_fill_value(odd):
    true = np.random.default_rng(0).standard_normal((100, 2))
    for score in (nr.decode.movement_scores, nr.decode.place_errors):
        for side in (0, 1):
            pair = [true.copy(), 0.9 * true]
            pair[side][7, 1] = odd
            with pytest.raises(DataError, match=r"(true|predicted) holds .*(infinite|fill)"):
                score(*pair)


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_no_decoder_is_fitted_to_an_infinite_or_a_fill_value(odd):
    rng = np.random.default_rng(1)
    place = np.sin(np.arange(300) / 9)[:, None]
    counts = rng.poisson(np.exp(place @ rng.standard_normal((1, 5)))).astype(float)
    decoder = nr.decode.RidgeDecoder(0.05, n_lags=1).fit(counts, place)
    for what in ("counts", "targets"):
        given = {"counts": counts.copy(), "targets": place.copy()}
        given[what][7, 0] = odd
        with pytest.raises(DataError, match=r"(infinite|fill|negative)"):
            nr.decode.RidgeDecoder(0.05, n_lags=1).fit(**given)
        with pytest.raises(DataError, match=r"(infinite|fill|negative)"):
            decoder.score(**given)
    bad = counts.copy()
    bad[7, 0] = odd
    with pytest.raises(DataError, match=r"(infinite|fill|negative)"):
        decoder.predict(bad)
    # A stream goes on: what came is no count, and nothing of it stays.
    stream, other = decoder.stream(), decoder.stream()
    missing = counts.copy()
    missing[7, 0] = np.nan
    for k in range(200):
        out, expected = stream.step(bad[k]), other.step(missing[k])
        assert np.isfinite(out).all()
    assert np.allclose(out, expected)


def test_a_position_far_away_makes_no_room_of_a_billion_cells():
    rng = np.random.default_rng(2)
    place = 50 + 50 * np.sin(np.arange(400) / 9)[:, None] * [1.0, 0.5]
    counts = rng.poisson(1.0, (400, 4))
    place[11] = 1e12
    with pytest.raises(DataError, match=r"cell_size is 2 in a room of 1e\+12.*cells"):
        nr.decode.PlaceDecoder(0.1, cell_size=2.0).fit(counts, place)


@pytest.mark.parametrize("width", [1e-300, 1e300, [1.0, 2.0], "wide"])
def test_a_width_of_maps_is_a_number_between_cells_and_room(width):
    place = np.sin(np.arange(200) / 9)[:, None]
    counts = np.random.default_rng(3).poisson(1.0, (200, 3))
    with pytest.raises((DataError, KindError), match="map_width is"):
        nr.decode.PlaceDecoder(0.1, map_width=width).fit(counts, place)


@pytest.mark.parametrize("index", [2**60, 10**30])
def test_a_clock_beyond_all_bins_is_refused_and_the_stream_is_as_it_was(index):
    place = np.sin(np.arange(300) / 9)[:, None]
    counts = np.random.default_rng(4).poisson(1.0 + place**2 @ np.ones((1, 3)))
    stream = nr.decode.RidgeDecoder(0.05, n_lags=1).fit(counts, place).stream()
    stream.step(counts[0], index=0)
    with pytest.raises(DataError, match=f"index is {index}"):
        stream.step(counts[1], index=index)
    assert np.isfinite(stream.copy().step(counts[1], index=1)).all()
    assert stream.counters["bins"] == 1 and stream.counters["late"] == 0
