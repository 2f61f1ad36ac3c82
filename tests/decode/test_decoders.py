"""Every decoder: a known truth comes back, second opinions agree, what must not matter does not.

`bench` runs through every decoder of the table in conftest.py.
"""

import numpy as np
import pytest
import xarray as xr
from scipy.signal import lfilter
from scipy.stats import poisson
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

import neurornn as nr
from neurornn.data import BlockedSplit

BIN_SIZE = 0.05


# What each decoder must reach on fresh bins of its simulation: some 0.03 below what it does reach
# (R2, share of right labels), which is several times what another seed of the data moves it.
REACHED = {
    "wiener": 0.80, "ridge": 0.86, "smooth ridge": 0.65, "cascade": 0.86, "kalman": 0.76,
    "kalman lags": 0.85, "steady kalman": 0.86, "place": 0.88, "place mode": 0.86, "target": 0.92,
    "leaky": 0.70, "gru": 0.78, "lstm": 0.72, "classifier": 0.87,
}  # fmt: skip


def test_the_truth_comes_back(bench):
    score = bench.decoder.score(bench.data.fresh_counts, bench.data.fresh_targets)
    assert score > REACHED[bench.name]
    # What was said of held-out blocks of the training holds for fresh bins.
    p = bench.decoder.scores_
    told = float(p["accuracy"]) if bench.labelled else float(p["r2"].mean())
    # Filters are scored on all bins in turn, networks on a twentieth: two or so stretches, each
    # with a handful of independent movements.
    nets = bench.name in ("leaky", "gru", "lstm", "classifier")
    assert score == pytest.approx(told, abs=0.25 if nets else 0.13)


@pytest.mark.parametrize("name", [n for n in REACHED if n not in ("target", "classifier")])
def test_predictive_intervals_cover(bench_of, name):
    bench = bench_of(name)
    given, interval = bench.decoder.predict(bench.data.fresh_counts, return_interval=True)
    low, high = interval[..., 0], interval[..., 1]
    np.testing.assert_allclose((low + high) / 2, given, rtol=1e-9, atol=1e-9)
    y = bench.data.fresh_targets
    # Two outputs, 3000 bins, of which neighbours within about 10 are alike: 600 errors, sd 1.2 %,
    # and as much for the level of the training.
    assert 0.86 < ((y >= low) & (y <= high)).mean() < 0.94
    # The sd of the stream is that of its errors: of two outputs over 3000 bins.
    rms = np.sqrt(np.mean((y - given) ** 2, axis=0))
    assert np.all(np.abs(bench.decoder.scores_["rmse"] / rms - 1) < 0.3)


def test_intervals_of_one_level_are_wider_than_of_another(bench_of):
    bench = bench_of("ridge")
    width = []
    for level in (0.5, 0.9, 0.99):
        d = bench.make(confidence_level=level).fit(bench.data.counts, bench.data.targets)
        width.append(np.ptp(d.predict(bench.data.fresh_counts[:1], return_interval=True)[1]))
    # Errors are about normal, 0.67, 1.64 and 2.58 sd, with heavier tails on average over rates.
    assert width[1] / width[0] == pytest.approx(1.645 / 0.674, rel=0.2)
    assert width[2] / width[1] == pytest.approx(2.576 / 1.645, rel=0.2)


# Second opinions.


def histories(features, n_lags):
    """The last bins side by side, oldest first; what lies before the first is 0."""
    padded = np.concatenate([np.zeros((n_lags - 1, features.shape[1])), features])
    return np.hstack([padded[k : k + len(features)] for k in range(n_lags)])


@pytest.mark.parametrize("name", ["wiener", "ridge"])
def test_linear_decoders_are_sklearns_on_the_same_histories(bench_of, name):
    bench = bench_of(name)
    decoder, n_lags = bench.decoder, bench.decoder.n_lags
    values = bench.data.counts ** decoder.chosen_["power"]
    fresh = bench.data.fresh_counts ** decoder.chosen_["power"]
    mean, sd = values.mean(axis=0), values.std(axis=0)
    x, z = (histories((v - mean) / sd, n_lags) for v in (values, fresh))
    model = LinearRegression()
    if name == "ridge":
        model = Ridge(alpha=decoder.chosen_["penalty"] * len(x), solver="cholesky")
    expected = model.fit(x, bench.data.targets).predict(z)
    # Normal equations against a singular value decomposition: 1e-16 times the squared condition;
    # the 1e-9 that stands for no penalty moves a prediction of size 10 by some 1e-7.
    np.testing.assert_allclose(decoder.predict(bench.data.fresh_counts), expected, atol=1e-6)


def test_the_penalty_is_the_best_on_held_out_blocks(bench_of):
    bench = bench_of("ridge")
    power, n = bench.decoder.chosen_["power"], len(bench.data.counts)
    values = bench.data.counts**power
    z = histories((values - values.mean(axis=0)) / values.std(axis=0), 6)
    scores = {}
    from neurornn.decode.wiener import PENALTIES

    for penalty in PENALTIES:
        held_out = np.empty_like(bench.data.targets)
        for k in range(5):
            a, b = n * k // 5, n * (k + 1) // 5
            # 5 bins on either side share a history with the block.
            train = np.concatenate([np.arange(max(0, a - 5)), np.arange(b + 5, n)])
            model = Ridge(alpha=penalty * len(train)).fit(z[train], bench.data.targets[train])
            held_out[a:b] = model.predict(z[a:b])
        scores[penalty] = r2_score(bench.data.targets, held_out)
    assert bench.decoder.chosen_["penalty"] == max(scores, key=scores.get)
    told = float(bench.decoder.scores_["r2"].mean())
    assert told == pytest.approx(max(scores.values()), abs=1e-6)


def test_a_cascade_finds_the_bend(rng):
    x = rng.poisson(3.0, (4000, 10)).astype(float)
    drive = (x - 3) @ rng.standard_normal(10) / np.sqrt(30)
    y = np.tanh(2 * drive)[:, None] + 0.1 * rng.standard_normal((4000, 1))
    # Of the variance of y (about 0.6) the noise is 0.01: what a perfect decoder reaches.
    ceiling = 1 - 0.01 / y[3000:].var()
    settings = {"bin_size": BIN_SIZE, "n_lags": 1, "power": 1.0}
    cascade = nr.decode.WienerCascade(**settings).fit(x[:3000], y[:3000])
    straight = nr.decode.RidgeDecoder(**settings).fit(x[:3000], y[:3000])
    assert cascade.chosen_["degree"] >= 3
    # A polynomial of up to the ninth degree is within 0.1 of a tanh that steep: 0.01 of 0.6.
    assert cascade.score(x[3000:], y[3000:]) > ceiling - 0.04
    assert straight.score(x[3000:], y[3000:]) < ceiling - 0.05


def linear_world(rng, n=6000):
    """A state that moves linearly, seen by 20 noisy numbers: A, H, W, R, states, seen."""
    a = 0.97 * np.array([[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]])
    h, w, r = rng.standard_normal((20, 2)), 0.05 * np.eye(2), np.diag(rng.uniform(2, 6, 20))
    x = np.zeros((n, 2))
    for t in range(1, n):
        x[t] = a @ x[t - 1] + rng.multivariate_normal(np.zeros(2), w)
    return a, h, w, r, x, x @ h.T + rng.multivariate_normal(np.zeros(20), r, n)


def textbook_filter(a, h, w, r, seen, x, s):
    """Means of the state with the full inverse of the innovation in every bin."""
    out = []
    for y in seen:
        x, s = a @ x, a @ s @ a.T + w
        gain = s @ h.T @ np.linalg.inv(h @ s @ h.T + r)
        x, s = x + gain @ (y - h @ x), s - gain @ h @ s
        out.append(x)
    return np.array(out)


def test_kalman_of_known_matrices_is_the_textbook_filter(rng):
    a, h, w, r, _, seen = linear_world(rng, 500)
    baseline, offset = np.arange(20.0), np.array([0.3, -0.1])
    # A constant drive moves the state to (1 - A)^-1 b; the filter knows of it.
    rest = np.linalg.solve(np.eye(2) - a, offset)
    decoder = nr.decode.KalmanFilter.from_matrices(
        transition=a, offset=offset, process=w, observation=h, noise=r, baseline=baseline,
        bin_size=BIN_SIZE,
    )  # fmt: skip
    decoder._preparation.settings["lowest"] = -np.inf
    found = decoder.stream().run(seen + (rest @ h.T) + baseline)
    steady = decoder._machine.arrays["steady"]
    expected = rest + textbook_filter(a, h, w, r, seen, -rest, steady)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_a_fitted_kalman_filter_is_nearly_the_best_one(rng):
    a, h, w, r, x, seen = linear_world(rng)
    best = textbook_filter(a, h, w, r, seen[4000:], np.zeros(2), np.eye(2))
    decoder = nr.decode.KalmanFilter(
        bin_size=BIN_SIZE, lag=0, derivative=False, signal="features"
    ).fit(seen[:4000], x[:4000])
    found = decoder.predict(seen[4000:])
    error, least = (np.mean((p[50:] - x[4050:]) ** 2) for p in (found, best))
    # Some 60 numbers were learned from 4000 bins: 1.5 % of the error at most, doubled.
    assert least <= error < 1.03 * least
    sd = np.sqrt(np.var(x[:4000], axis=0))
    # In units of the sd of each state, as it is kept.
    np.testing.assert_allclose(decoder.transition_ * sd[:, None] / sd, a, atol=0.02)


def test_the_lag_by_which_movement_follows_is_found(rng):
    # Movement that changes from bin to bin and little noise: only the right bin tells it.
    x = lfilter([1.0], [1.0, -0.6], rng.standard_normal((3000, 2)), axis=0)
    seen = x @ rng.standard_normal((2, 20)) + rng.standard_normal((3000, 20))
    for lag in (0, 2, 4):
        moved = np.roll(x, lag, axis=0)
        decoder = nr.decode.KalmanFilter(bin_size=BIN_SIZE, signal="features")
        decoder.fit(seen[10:], moved[10:])
        assert decoder.chosen_["lag"] == lag
        fixed = clone(decoder).set_params(lag=lag).fit(seen[10:], moved[10:])
        np.testing.assert_array_equal(fixed.predict(seen[:50]), decoder.predict(seen[:50]))


@pytest.mark.parametrize("lag", [0, 2])
def test_a_lost_bin_is_lost_when_its_turn_comes(rng, lag):
    x = lfilter([1.0], [1.0, -0.9], rng.standard_normal((4000, 2)), axis=0)
    seen = x @ rng.standard_normal((2, 20)) + rng.standard_normal((4000, 20))
    moved = np.roll(x, lag, axis=0)
    decoder = nr.decode.KalmanFilter(
        bin_size=BIN_SIZE, lag=lag, derivative=False, signal="features"
    ).fit(seen[:3000], moved[:3000])
    lost = rng.random(1000) < 0.2
    stream = decoder.stream()
    rows = zip(seen[3000:], lost, strict=True)
    found = np.array([stream.step(None if gone else row) for row, gone in rows])
    # The filter of its own matrices, with no update where the bin `lag` before was lost.
    p, z = decoder._preparation.arrays, seen[3000:]
    z = (z - p["centre"]) / p["scale"]
    a, w, h, r = decoder.transition_, decoder.process_, decoder.observation_, decoder.noise_
    start, out = decoder._machine.arrays, []
    state, s = start["first_mean"], start["first_covariance"]
    for t in range(1000):
        state, s = a @ state + decoder.offset_, a @ s @ a.T + w
        if t >= lag and not lost[t - lag]:
            gain = s @ h.T @ np.linalg.inv(h @ s @ h.T + r)
            state, s = (
                state + gain @ (z[t - lag] - decoder.baseline_ - h @ state),
                s - gain @ h @ s,
            )
        out.append(start["read"] @ state + start["bias"])
    np.testing.assert_allclose(found, out, rtol=1e-7, atol=1e-8)


def test_a_fixed_gain_stays_fixed_after_lost_bins(rng):
    a, gain, offset = np.array([[0.8, 0.1], [0.0, 0.7]]), rng.random((2, 5)), np.array([1.0, -1])
    decoder = nr.decode.KalmanFilter.from_matrices(
        transition=a, gain=gain, offset=offset, bin_size=BIN_SIZE
    )
    stream, state = decoder.stream(), np.zeros(2)
    for t, u in enumerate(rng.poisson(2.0, (60, 5)).astype(float)):
        lost = t in (10, 11, 30)
        state = a @ state + offset + (0 if lost else gain @ u)
        np.testing.assert_allclose(stream.step(None if lost else u), state, rtol=1e-12)


def test_no_first_state_is_needed(bench_of):
    bench = bench_of("steady kalman")
    start = 1234
    late = bench.decoder.predict(bench.data.fresh_counts[start:])
    whole = bench.decoder.predict(bench.data.fresh_counts)[start:]
    # What was before is forgotten as the filter does, within some 10 bins; 100 are e-10.
    np.testing.assert_allclose(late[100:], whole[100:], atol=0.05)


@pytest.mark.parametrize("estimate", ["mean", "mode"])
def test_place_without_a_prior_is_naive_bayes(bench_of, estimate):
    bench = bench_of("place")
    decoder = bench.make(movement_prior=False, estimate=estimate, monitor_units=False)
    decoder.fit(bench.data.counts, bench.data.targets)
    maps = decoder.maps_
    places = np.column_stack([maps["x_position"], maps["y_position"]])
    counts = bench.data.fresh_counts[:200]
    log_p = poisson.logpmf(counts[:, :, None], BIN_SIZE * maps.values[None]).sum(axis=1)
    p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
    expected = p @ places / p.sum(axis=1, keepdims=True)
    if estimate == "mode":
        expected = places[p.argmax(axis=1)]
    np.testing.assert_allclose(decoder.predict(counts), expected, atol=1e-9)


def test_maps_of_place_cells_come_back(bench_of):
    bench = bench_of("place")
    maps = bench.decoder.maps_
    places = np.column_stack([maps["x_position"], maps["y_position"]])
    # The peak of a map lies within the room where its rates are 15 Hz less what smoothing over
    # 8 cm takes from a field of 12 cm: 144 / (144 + 64).
    peaks = maps.values.max(axis=1)
    inside = np.median(peaks)
    assert inside == pytest.approx(0.5 + 15 * 144 / (144 + 64), rel=0.25)
    assert places.min() > 0 and places.max() < 100 and maps.attrs["units"] == "Hz"


def test_the_movement_prior_helps(bench_of):
    bench = bench_of("place")
    alone = bench.make(movement_prior=False).fit(bench.data.counts, bench.data.targets)
    fresh = bench.data.fresh_counts, bench.data.fresh_targets
    assert bench.decoder.score(*fresh) > alone.score(*fresh) + 0.1


def test_targets_without_memory_are_naive_bayes(bench_of):
    bench = bench_of("target")
    decoder = bench.make(switching=1.0, monitor_units=False).fit(
        bench.data.counts, bench.data.targets
    )
    # Counts per bin of each target, with half a second of the unit's mean.
    rates = np.stack(
        [
            (bench.data.counts[bench.data.targets == c].sum(axis=0)
             + 10 * bench.data.counts.mean(axis=0))
            / ((bench.data.targets == c).sum() + 10)
            for c in decoder.classes_
        ]
    )  # fmt: skip
    np.testing.assert_allclose(decoder.rates_.values.T * BIN_SIZE, rates, rtol=1e-12)
    n = len(decoder.classes_)
    counts = bench.data.fresh_counts[:300]
    log_p = poisson.logpmf(counts[:, None], rates[None]).sum(axis=2)
    p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    # A switch goes anywhere but here: with chance 1 the last target is ruled out, which a chance
    # above (n - 1) / n of a jump to any of them does not; it is capped there.
    found = decoder.predict_proba(counts)
    assert n == 4
    np.testing.assert_allclose(found, p, atol=1e-12)


def test_targets_are_found_nearly_as_well_as_can_be(bench_of):
    bench = bench_of("target")
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 4, 300).repeat(20)
    rates = rng.gamma(2.0, 4.0, (4, 20)) * BIN_SIZE
    names = np.array(["left", "none", "right", "up"])
    log_like = poisson.logpmf(bench.data.fresh_counts[:, None], rates[None]).sum(axis=2)
    stay, p, right = 1 - 0.05 * 0.75, np.full(4, 0.25), 0
    for like, code in zip(np.exp(log_like), codes[-len(log_like) :], strict=True):
        p = (stay * p + (1 - stay) / 3 * (1 - p)) * like
        p /= p.sum()
        right += p.argmax() == code
    assert (names[codes[-len(log_like) :]] == bench.data.fresh_targets).all()
    # Rates learned from 1000 bins each; 2000 bins: 2 % is four sd of a share of 95 %.
    best = right / len(log_like)
    assert bench.decoder.score(bench.data.fresh_counts, bench.data.fresh_targets) > best - 0.02
    # 0.05 switches a bin, of which a quarter go nowhere; 200 of them: sd 7 %.
    assert bench.decoder.chosen_["switching"] == pytest.approx(0.05 * 0.75, rel=0.25)


def test_labels_that_never_change_in_a_trial_do_not_lock_a_stream(rng):
    names = np.array(["a", "b"]).repeat(50)
    labels, trials = np.tile(names, 10), np.arange(20).repeat(50)
    rates = np.where(labels[:, None] == "a", [8.0, 1.0], [1.0, 8.0])
    decoder = nr.decode.TargetDecoder(bin_size=BIN_SIZE)
    decoder.fit(rng.poisson(rates * 0.2), labels, trials=trials)
    assert 0 < decoder.chosen_["switching"] < 0.01
    # A thousand bins of one target, then the other, and nobody resets.
    rows = np.concatenate([np.tile([[2.0, 0.0]], (1000, 1)), np.tile([[0.0, 2.0]], (20, 1))])
    found = decoder.stream().run(rows)
    assert found[999].argmax() == 0 and found[-1].argmax() == 1


@pytest.mark.parametrize(
    ("name", "apart"),
    [("leaky", True), ("gru", False), ("gru", True), ("lstm", False), ("classifier", False)],
)
def test_recurrent_decoders_are_what_torch_makes_of_their_networks(
    bench_of, name, apart, monkeypatch
):
    import torch

    bench = bench_of(name)
    # The watch has no part in this: 600 bins teach it little, and it stands in for units.
    more = {"separate": True} if apart else {}
    decoder = bench.make(max_epochs=2, monitor_units=False, **more)
    kept = []
    original = type(decoder)._machine_of

    def keep(self, models, silent):
        kept.append(list(models))
        return original(self, models, silent)

    monkeypatch.setattr(type(decoder), "_machine_of", keep)
    decoder.fit(bench.data.counts[:600], bench.data.targets[:600])
    models = max(kept, key=len)
    n_apart = bench.data.targets.shape[1] if apart else 1
    assert len(models) == n_apart * decoder.n_seeds and decoder.n_seeds == 2
    roots = np.sqrt(bench.data.counts[:600])
    x = (np.sqrt(bench.data.fresh_counts[:400]) - roots.mean(axis=0)) / roots.std(axis=0)
    with torch.no_grad():
        given = torch.from_numpy(x[None].astype(np.float32))
        each = [m.eval()(given).output[0].double().numpy() for m in models]
        parts = [np.mean(each[k::n_apart], axis=0) for k in range(n_apart)]
        out = np.concatenate(parts, axis=1)
    if bench.labelled:
        expected = np.exp(out) / np.exp(out).sum(axis=1, keepdims=True)
    else:
        y = bench.data.targets[:600]
        expected = out * y.std(axis=0) + y.mean(axis=0)
    # Float32 through 400 steps; outputs of size 10.
    found = bench.outputs(decoder, bench.data.fresh_counts[:400])
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("cell", ["leaky", "gru", "lstm"])
def test_recurrent_decoders_remember_and_memoryless_ones_do_not(rng, cell):
    counts = rng.poisson(1.0, (3000, 12)).astype(float)
    # A leaky sum over a second of what twelve units say now: one bin knows a tenth of it.
    drive = (counts - 1) @ rng.standard_normal(12)
    y = lfilter([1.0], [1.0, -np.exp(-BIN_SIZE / 1.0)], drive)[:, None]
    decoder = nr.decode.RecurrentDecoder(
        cell, bin_size=BIN_SIZE, n_hidden=16, n_seeds=1, max_epochs=60, unit_dropout=0.0,
        dropout=0.0, window=60, learning_rate=1e-2,
    ).fit(counts[:2500], y[:2500])  # fmt: skip
    now = nr.decode.RidgeDecoder(bin_size=BIN_SIZE, n_lags=1).fit(counts[:2500], y[:2500])
    # Of the variance of y, 1 - exp(-2 * 0.05) = 0.095 is of this bin; sixty epochs of 16 units
    # find more than half of the rest.
    assert now.score(counts[2500:], y[2500:]) < 0.2
    assert decoder.score(counts[2500:], y[2500:]) > 0.5
    if cell == "leaky":
        assert decoder.tau_.dims == ("seed", "hidden") and decoder.tau_.attrs["units"] == "s"
        assert 0 < float(decoder.tau_.min()) < float(decoder.tau_.max()) < 100


# What must not matter.

LINEAR = [
    "wiener", "ridge", "smooth ridge", "cascade", "kalman", "kalman lags", "steady kalman",
    "place", "target",
]  # fmt: skip


# The first weights of a network are drawn unit by unit, so another order is another network.
@pytest.mark.parametrize("name", LINEAR)
def test_the_order_of_units_does_not_matter(bench_of, rng, name):
    bench = bench_of(name)
    order = rng.permutation(bench.data.counts.shape[1])
    decoder = bench.make().fit(bench.data.counts[:, order], bench.data.targets)
    fresh = bench.data.fresh_counts[:300]
    # Sums in another order, through solves of condition up to 1e4; outputs of size 10 to 100.
    np.testing.assert_allclose(
        bench.outputs(decoder, fresh[:, order]), bench.outputs(bench.decoder, fresh), atol=1e-7
    )


@pytest.mark.parametrize(
    "name", ["wiener", "ridge", "cascade", "kalman", "kalman lags", "place", "leaky", "gru"]
)
def test_another_unit_of_the_targets_scales_what_comes_out(bench_of, name):
    bench = bench_of(name)
    # By 8, which no float rounds: networks start from the same bits.
    changed = {"cell_size": 40.0, "map_width": 64.0} if name == "place" else {}
    counts, targets, fresh = (x[:1000] for x in bench.data[:3])
    plain = bench.make().fit(counts, targets).predict(fresh, return_interval=True)
    scaled = bench.make(**changed).fit(counts, 8 * targets)
    found = scaled.predict(fresh, return_interval=True)
    for a, b in zip(found, plain, strict=True):
        np.testing.assert_allclose(a, 8 * b, rtol=1e-9, atol=1e-9)


def test_later_counts_change_nothing_before(bench):
    counts = bench.data.fresh_counts[:200].copy()
    before = bench.outputs(bench.decoder, counts)
    counts[120:] = counts[120:][::-1] + 1
    after = bench.outputs(bench.decoder, counts)
    assert np.array_equal(before[:120], after[:120])
    assert not np.array_equal(before[120:], after[120:])


def test_predictions_leave_decoder_and_counts_as_they_were(bench):
    counts = bench.data.fresh_counts[:100].copy()
    first = bench.outputs(bench.decoder, counts)
    assert np.array_equal(counts, bench.data.fresh_counts[:100])
    assert np.array_equal(first, bench.outputs(bench.decoder, counts))


def forms(counts, targets):
    """The same ten trials of 60 bins in every form: (counts, targets, given, inverse)."""
    cut = [slice(60 * k, 60 * (k + 1)) for k in range(10)]
    labels = np.arange(10).repeat(60)
    y = targets.reshape(10, 60, *targets.shape[1:])
    padded = np.full((10, 70, counts.shape[1]), 99.0)
    padded[:, :60] = counts.reshape(10, 60, -1)
    wide = np.concatenate([y, y[:, :10]], axis=1)
    mask = np.zeros((10, 70), bool)
    mask[:, :60] = True
    grid = xr.DataArray(
        padded, dims=("trial", "time", "unit"), coords={"mask": (("trial", "time"), mask)}
    )
    time = (np.arange(600) + 1) * BIN_SIZE + 3.0 * labels
    gaps = xr.DataArray(counts, dims=("time", "unit"), coords={"time": time})
    # Three trials on one clock, then the clock begins again.
    again = gaps.assign_coords(time=np.where(labels < 3, time, time - 12.0))
    return {
        "labels": (counts, targets, {"trials": labels}),
        "names": (counts, targets, {"trials": labels.astype(str)}),
        "list": ([counts[s] for s in cut], [targets[s] for s in cut], {}),
        "list of DataArrays": ([gaps[s] for s in cut], [targets[s] for s in cut], {}),
        "array": (counts.reshape(10, 60, -1), y, {}),
        "masked": (grid, wide, {}),
        "gaps": (gaps, targets, {}),
        "clock set back": (again, targets, {}),
    }


@pytest.mark.parametrize("name", ["ridge", "kalman", "place", "target", "gru"])
def test_trials_in_any_form_are_the_same(bench_of, name):
    bench = bench_of(name)
    changed = {"max_epochs": 1} if name == "gru" else {}
    given = forms(bench.data.counts[:600], bench.data.targets[:600])
    fresh = forms(bench.data.fresh_counts[:600], bench.data.fresh_targets[:600])
    x, y, how = given["labels"]
    decoder = bench.make(**changed).fit(x, y, **how)
    expected = bench.outputs(decoder, fresh["labels"][0], **fresh["labels"][2])
    score = decoder.score(fresh["labels"][0], fresh["labels"][1], **fresh["labels"][2])
    joined = bench.outputs(decoder, fresh["labels"][0])
    # A decoder with a memory starts anew in each trial.
    assert np.array_equal(joined[:60], expected[:60]) and not np.array_equal(joined, expected)
    for form, (x, y, how) in given.items():
        other = bench.make(**changed).fit(x, y, **how)
        a, b, how = fresh[form]
        assert np.array_equal(bench.outputs(other, a, **how), expected), form
        assert other.score(a, b, **how) == score, form


def test_a_hole_in_a_mask_is_a_join(bench_of):
    bench = bench_of("ridge")
    counts = bench.data.fresh_counts[:100]
    mask = np.ones((1, 100), bool)
    mask[0, 50:53] = False
    grid = xr.DataArray(
        counts[None], dims=("trial", "time", "unit"), coords={"mask": (("trial", "time"), mask)}
    )
    found = bench.decoder.predict(grid)
    expected = bench.decoder.predict([counts[:50], counts[53:]])
    assert np.array_equal(found, expected)


def test_masked_bins_on_a_time_axis_are_left_out(bench_of):
    bench = bench_of("ridge")
    time = (1 + np.arange(100)) * BIN_SIZE
    mask = np.arange(100) % 50 > 4
    counts = xr.DataArray(
        bench.data.fresh_counts[:100], dims=("time", "unit"),
        coords={"time": time, "mask": ("time", mask)},
    )  # fmt: skip
    found = bench.decoder.predict(counts)
    assert np.array_equal(found["time"].values, time[mask])


def test_unknown_targets_are_left_out(bench_of):
    for name in ("ridge", "kalman", "place", "gru"):
        bench = bench_of(name)
        counts, targets = bench.data.counts[:1500], bench.data.targets[:1500].copy()
        whole = bench.make(**({"max_epochs": 2} if name == "gru" else {}))
        targets[600:700] = np.nan
        decoder = clone(whole).fit(counts, targets)
        fresh = bench.data.fresh_counts[:1000], bench.data.fresh_targets[:1000].copy()
        fresh[1][::7] = np.nan
        score = decoder.score(*fresh)
        if name != "gru":
            # A fifteenth of the data less; another start would move a network by more.
            full = whole.fit(counts, bench.data.targets[:1500])
            assert score == pytest.approx(full.score(*fresh), abs=0.05)
        known = np.isfinite(fresh[1]).all(axis=1)
        by_hand = r2_score(fresh[1][known], decoder.predict(fresh[0])[known])
        assert score == pytest.approx(by_hand, abs=1e-12)


def test_one_output_comes_back_as_it_was_given(bench_of):
    bench = bench_of("ridge")
    counts, targets = bench.data.counts[:500], bench.data.targets[:500]
    one = bench.make().fit(counts, targets[:, 0])
    column = bench.make().fit(counts, targets[:, :1])
    assert one.predict(counts).shape == (500,) and column.predict(counts).shape == (500, 1)
    assert np.array_equal(one.predict(counts), column.predict(counts)[:, 0])


def test_labels_travel_with_the_numbers(bench_of):
    bench = bench_of("ridge")
    time = (1 + np.arange(500)) * BIN_SIZE
    counts = xr.DataArray(
        bench.data.counts[:500], dims=("time", "unit"),
        coords={"time": time, "unit": [f"u{k}" for k in range(30)]},
        attrs={"bin_size": BIN_SIZE},
    )  # fmt: skip
    velocity = xr.DataArray(
        bench.data.targets[:500], dims=("time", "axis"),
        coords={"time": time, "axis": ["x", "y"]}, attrs={"units": "cm/s"},
    )  # fmt: skip
    decoder = bench.make().fit(counts, velocity)
    found, interval = decoder.predict(counts, return_interval=True)
    assert found.dims == ("time", "output") and found["output"].values.tolist() == ["x", "y"]
    assert found.attrs["units"] == "cm/s" and np.array_equal(found["time"], time)
    assert interval["ci_bound"].values.tolist() == ["lower", "upper"]
    assert decoder.scores_["rmse"].attrs["units"] == "cm/s"
    assert decoder.units_.tolist()[:2] == ["u0", "u1"]
    other = counts.transpose("unit", "time")
    assert np.array_equal(decoder.predict(other), found)


# scikit-learn.


def test_settings_are_kept_untouched(bench):
    decoder = bench.make()
    assert clone(decoder).get_params() == decoder.get_params()
    assert decoder.set_params(monitor_units=False).monitor_units is False
    assert clone(bench.decoder).get_params() == bench.decoder.get_params()
    assert not hasattr(clone(bench.decoder), "scores_")


def test_the_old_name_of_the_scores_warns_and_still_holds_them(bench_of):
    decoder = bench_of("ridge").decoder
    with pytest.warns(FutureWarning, match="parameters_ of a RidgeDecoder is now called scores_"):
        assert decoder.parameters_ is decoder.scores_


def test_in_a_pipeline_and_a_grid_search(bench_of):
    bench = bench_of("ridge")
    counts, targets = bench.data.counts, bench.data.targets
    roots = FunctionTransformer(np.sqrt)
    decoder = nr.decode.RidgeDecoder(bin_size=BIN_SIZE, n_lags=6, signal="features")
    pipe = make_pipeline(roots, decoder).fit(counts, targets)
    inside = nr.decode.RidgeDecoder(bin_size=BIN_SIZE, n_lags=6, power=0.5).fit(counts, targets)
    fresh = bench.data.fresh_counts, bench.data.fresh_targets
    # A root by ** and one by sqrt.
    assert pipe.score(*fresh) == pytest.approx(inside.score(*fresh), abs=1e-9)
    search = GridSearchCV(pipe, {"ridgedecoder__n_lags": [1, 6]}, cv=BlockedSplit(3, purge=6)).fit(
        counts, targets
    )
    assert search.best_params_ == {"ridgedecoder__n_lags": 6}
    assert search.best_score_ > 0.8


def test_grid_search_of_labels(bench_of):
    bench = bench_of("target")
    search = GridSearchCV(
        bench.make(), {"switching": [0.03, 1.0]}, cv=BlockedSplit(3), scoring="accuracy"
    ).fit(bench.data.counts, bench.data.targets)
    assert search.best_params_ == {"switching": 0.03}


# Counts come as whole numbers only, which random test data are not: features are taken instead.
SMALL = {"cell": "gru", "bin_size": BIN_SIZE, "n_hidden": 4, "n_seeds": 1, "max_epochs": 1}
CHECKED = [
    nr.decode.WienerFilter(n_lags=1, n_folds=2, signal="features"),
    nr.decode.RidgeDecoder(n_lags=2, n_folds=2, signal="features"),
    nr.decode.WienerCascade(n_lags=1, n_folds=2, signal="features", degree=2),
    nr.decode.KalmanFilter(lag=0, signal="features", derivative=False),
    nr.decode.RecurrentDecoder(**SMALL, n_folds=2, signal="features"),
    nr.decode.RecurrentClassifier(**SMALL, n_folds=2, signal="features"),
]

ROWS_BY_ROW = "a bin is read with those before it: a part alone is not that part of the whole"


def expected_failures(estimator):
    """What cannot hold for decoders, and why."""
    named = "the arguments are called counts and targets"
    failures = {"check_fit_score_takes_y": named, "check_n_features_in_after_fitting": named}
    if getattr(estimator, "n_lags", 2) > 1 or isinstance(estimator, nr.decode.KalmanFilter):
        for name in ("subset", "sample_order"):
            failures[f"check_methods_{name}_invariance"] = ROWS_BY_ROW
    if isinstance(estimator, nr.decode.RecurrentDecoder | nr.decode.RecurrentClassifier):
        for kind in ("regressors", "classifiers"):
            failures[f"check_{kind}_train"] = "one epoch of four units is no decoder yet"
    if isinstance(estimator, nr.decode.RecurrentClassifier):
        failures["check_supervised_y_2d"] = "a column of labels is as good as a row of them"
    return failures


@parametrize_with_checks(CHECKED, expected_failed_checks=expected_failures)
def test_sklearns_own_checks(estimator, check):
    check(estimator)


# Saving.


def test_saved_and_loaded_is_the_same(bench, tmp_path):
    # By turns a folder and one file: every kind of machine is kept in both.
    file = ("decoder", "decoder.nc")[list(REACHED).index(bench.name) % 2]
    bench.decoder.save(tmp_path / file)
    again = nr.load(tmp_path / file)
    counts = bench.data.fresh_counts[:300]
    assert np.array_equal(bench.outputs(again, counts), bench.outputs(bench.decoder, counts))
    assert again.get_params() == bench.decoder.get_params()
    assert again.report() == bench.decoder.report()
    assert again.scores_.identical(bench.decoder.scores_)
    assert again.stream().key == bench.decoder.stream().key
    if not bench.labelled:
        pair = [d.predict(counts, return_interval=True)[1] for d in (again, bench.decoder)]
        assert np.array_equal(*pair)
        pair = [d.stream().sd for d in (again, bench.decoder)]
        assert np.array_equal(*pair)
    else:
        assert np.array_equal(again.classes_, bench.decoder.classes_)
        fresh = counts, bench.data.fresh_targets[:300]
        assert again.score(*fresh) == bench.decoder.score(*fresh)


def test_errors_that_are_unknown_stay_unknown(tmp_path):
    decoder = nr.decode.KalmanFilter.from_matrices(
        transition=0.9 * np.eye(2), gain=np.ones((2, 3)), bin_size=BIN_SIZE, value_unit="cm/s"
    )
    decoder.save(tmp_path / "known")
    again = nr.load(tmp_path / "known")
    for d in (decoder, again):
        stream = d.stream()
        assert np.isnan(stream.sd).all() and np.isinf(stream.interval).all()
        assert d.target_units_ == "cm/s" and np.isnan(d.scores_["r2"]).all()


def test_reports_say_what_was_chosen(bench):
    text = bench.decoder.report()
    # What came from held-out blocks, from the labels, or from neither.
    nets = bench.name in ("leaky", "gru", "lstm", "classifier")
    how = "set by the schedule" if nets else "chosen on held-out blocks"
    how = "the training labels" if bench.name == "target" else how
    assert type(bench.decoder).__name__ in text and how in text
    assert "<table" in bench.decoder._repr_html_()
    assert "neurornn" in bench.decoder.methods_text()
