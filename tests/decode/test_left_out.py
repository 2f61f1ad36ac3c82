"""A Kalman filter does without what it lacks; angles and changed settings are refused."""

import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import DataError


def recording(seed=0, n=3000, n_units=40):
    rng = np.random.default_rng(seed)
    velocity = np.zeros((n, 2))
    for t in range(1, n):
        velocity[t] = 0.95 * velocity[t - 1] + 0.3 * rng.standard_normal(2)
    tuning = 0.35 * rng.standard_normal((2, n_units))
    return rng.poisson(np.exp(0.3 + velocity @ tuning)).astype(float), velocity


def textbook(decoder, counts, seen, lag):
    """The filter with the rows of missing units taken out of H and R, in covariance form."""
    a, w, b = decoder.transition_, decoder.process_, decoder.offset_
    h, r, d = decoder.observation_, decoder.noise_, decoder.baseline_
    given, arrays = decoder._preparation.arrays, decoder._machine.arrays
    z = counts ** decoder.chosen_.get("power", 1.0)
    z = (z - given["centre"]) / given["scale"]
    x, s = arrays["first_mean"].copy(), arrays["first_covariance"].copy()
    out, sd = np.empty((len(z), len(arrays["read"]))), []
    for t in range(len(z)):
        x, s = a @ x + b, a @ s @ a.T + w
        live = seen[t - lag] if t >= lag else np.zeros(z.shape[1], bool)
        if live.any():
            hl, rl = h[live], r[np.ix_(live, live)]
            gain = s @ hl.T @ np.linalg.inv(hl @ s @ hl.T + rl)
            x = x + gain @ (z[t - lag][live] - d[live] - hl @ x)
            s = s - gain @ hl @ s
        out[t] = arrays["read"] @ x + arrays["bias"]
        sd.append(np.sqrt(np.diag(arrays["read"] @ s @ arrays["read"].T)))
    return out, np.array(sd)


@pytest.mark.parametrize("lag", [0, 2])
@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.75, 0.9, 1.0])
def test_units_that_are_gone_are_left_out_exactly(lag, share):
    counts, velocity = recording()
    decoder = nr.decode.KalmanFilter(lag=lag).fit(counts[:2000], velocity[:2000])
    fresh, n = counts[2000:], counts.shape[1]
    dead = np.random.default_rng(1).permutation(n)[: round(share * n)]
    seen = np.ones(fresh.shape, bool)
    seen[:, dead] = False
    expected, sd = textbook(decoder, fresh, seen, lag)
    dropped, missing = decoder.stream(), decoder.stream()
    dropped.drop_units(dead)
    found = dropped.run(fresh)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(missing.run(np.where(seen, fresh, np.nan)), expected, atol=1e-8)
    # Where the covariance has settled it is kept: the sd that is stated is the filter's own.
    spread = np.empty(2)
    dropped._machine.spread(spread)
    np.testing.assert_allclose(spread, sd[-1], rtol=1e-6)


def test_bins_in_which_single_units_are_missing():
    counts, velocity = recording(1)
    decoder = nr.decode.KalmanFilter(lag=1, monitor_units=False).fit(
        counts[:2000], velocity[:2000]
    )
    rng = np.random.default_rng(2)
    seen = rng.random(counts[2000:].shape) > 0.3
    expected, _ = textbook(decoder, counts[2000:], seen, 1)
    found = decoder.predict(np.where(seen, counts[2000:], np.nan))
    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_silent_units_are_left_out_once_they_are_known():
    counts, velocity = recording(3)
    decoder = nr.decode.KalmanFilter(lag=0).fit(counts[:2000], velocity[:2000])
    fresh = counts[2000:].copy()
    dead = np.arange(20)
    fresh[:, dead] = 0.0
    seen = np.ones(fresh.shape, bool)
    seen[:, dead] = False
    expected, _ = textbook(decoder, counts[2000:], seen, 0)
    found = decoder.predict(fresh)
    assert np.abs(found[:5] - expected[:5]).max() > 0.01
    # What the zeros said before has long been forgotten: 0.95 ** 500 is 1e-11.
    np.testing.assert_allclose(found[500:], expected[500:], atol=1e-6)


@pytest.mark.slow
def test_interval_of_a_filter_without_half_of_its_units_still_covers():
    covered, narrow = [], []
    for seed in range(4):
        counts, velocity = recording(seed, n=5000)
        decoder = nr.decode.KalmanFilter(lag=0).fit(counts[:3000], velocity[:3000])
        fresh = counts[3000:].copy()
        whole = decoder.predict(fresh, return_interval=True)[1]
        fresh[:, np.random.default_rng(seed).permutation(40)[:30]] = np.nan
        _, bounds = decoder.predict(fresh, return_interval=True)
        inside = (bounds[..., 0] <= velocity[3000:]) & (velocity[3000:] <= bounds[..., 1])
        covered.append(inside.mean())
        narrow.append(np.ptp(whole, axis=-1).mean() / np.ptp(bounds, axis=-1).mean())
    # The gate is .86 to .94 at 90 %; 30 of 40 units gone cost precision, and the interval says so.
    assert 0.86 <= np.mean(covered) <= 0.94
    assert max(narrow) < 0.8


def test_a_saved_stream_goes_on_without_the_units_it_had_lost(tmp_path):
    counts, velocity = recording(4)
    decoder = nr.decode.KalmanFilter(lag=2).fit(counts[:2000], velocity[:2000])
    fresh = counts[2000:2200].copy()
    fresh[60:, :15] = np.nan
    stream = decoder.stream()
    stream.run(fresh[:100])
    stream.save(tmp_path / "stream")
    again = nr.load(tmp_path / "stream")
    np.testing.assert_array_equal(again.run(fresh[100:]), stream.run(fresh[100:]))


@pytest.mark.parametrize("steady", [False, True])
def test_a_steady_gain_knows_which_units_it_has(steady):
    counts, velocity = recording(5)
    decoder = nr.decode.KalmanFilter(lag=0, steady_state=steady).fit(
        counts[:2000], velocity[:2000]
    )
    stream = decoder.stream()
    stream.drop_units(np.arange(30))
    live = np.arange(40) >= 30
    expected, _ = textbook(decoder, counts[2000:], np.tile(live, (1000, 1)), 0)
    # From the steady gain the first bins differ; 300 bins later nothing of them is left.
    np.testing.assert_allclose(stream.run(counts[2000:])[300:], expected[300:], atol=1e-6)


def test_matrices_leave_units_out_and_take_features():
    rng = np.random.default_rng(6)
    a, w = 0.9 * np.eye(2), 0.2 * np.eye(2)
    h = rng.standard_normal((4, 2))
    r = np.diag([0.3, 0.5, 0.2, 0.4])
    made = nr.decode.KalmanFilter.from_matrices(
        transition=a, process=w, observation=h, noise=r, bin_size=0.05, signal="features"
    )
    x = np.zeros((400, 2))
    for t in range(1, 400):
        x[t] = a @ x[t - 1] + rng.multivariate_normal(np.zeros(2), w)
    z = x @ h.T + rng.standard_normal((400, 4)) * np.sqrt(np.diag(r))
    assert (z < 0).any()
    lost = np.where(np.isin(np.arange(4), [1, 3]), np.nan, z)
    expected = nr.decode.KalmanFilter.from_matrices(
        transition=a, process=w, observation=h[[0, 2]], noise=r[np.ix_([0, 2], [0, 2])],
        bin_size=0.05, signal="features",
    ).predict(z[:, [0, 2]])  # fmt: skip
    found = made.predict(lost)
    np.testing.assert_allclose(found[150:], expected[150:], atol=1e-7)
    with pytest.raises(DataError, match="negative"):
        nr.decode.KalmanFilter.from_matrices(
            transition=a, process=w, observation=h, noise=r, bin_size=0.05
        ).predict(z)


@pytest.mark.parametrize(
    ("name", "value"), [("signal", "features"), ("power", 0.5), ("lag", 3), ("bin_size", 0.1)]
)
def test_a_setting_changed_after_the_fit_is_refused(tmp_path, name, value):
    counts, velocity = recording(7)
    decoder = nr.decode.KalmanFilter(lag=0, power=1.0).fit(counts, velocity)
    before = getattr(decoder, name)
    decoder.set_params(**{name: value})
    for call in (
        lambda: decoder.predict(counts),
        lambda: decoder.stream(),
        lambda: decoder.score(counts, velocity),
        lambda: decoder.save(tmp_path / "decoder"),
    ):
        with pytest.raises(DataError, match=f"{name} was"):
            call()
    decoder.set_params(**{name: before})
    decoder.save(tmp_path / "decoder")
    again = nr.load(tmp_path / "decoder")
    again.set_params(**{name: value})
    with pytest.raises(DataError, match="Fit again"):
        again.predict(counts)
    # Another fit takes the new setting up.
    decoder.set_params(confidence_level=0.8).fit(counts, velocity).predict(counts)


@pytest.mark.parametrize("turn", [2 * np.pi, 360.0])
def test_an_angle_that_goes_round_is_refused(turn):
    counts, velocity = recording(8)
    angle = np.cumsum(0.2 * velocity[:, 0] + 0.05) * turn / (2 * np.pi)
    wrapped = (angle % turn)[:, None]
    for decoder in (nr.decode.WienerFilter(), nr.decode.PlaceDecoder(bin_size=0.05)):
        with pytest.raises(DataError, match=r"np\.cos"):
            decoder.fit(counts, wrapped)
    circle = np.column_stack([np.cos(angle), np.sin(angle)])
    nr.decode.WienerFilter(n_lags=2).fit(counts, circle)
    # A line that is no angle is none: the same numbers without the jumps, or far from a turn.
    nr.decode.WienerFilter(n_lags=2).fit(counts, np.abs(wrapped / turn - 0.5) * turn)
