"""The rise of the double exponential: its forms, its likelihood, its intervals, and old files."""

import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.errors import DataError
from neurornn._kernels import event_times
from neurornn.calcium import kinetics_tables
from neurornn.calcium.alternation import best_starts
from neurornn.calcium.fitted_traces import FittedTraces, poles, stretches
from neurornn.calcium.kernel import Kernel
from neurornn.calcium.rise_choice import fit_kinetics
from neurornn.calcium.rise_estimate import estimate_rise
from neurornn.calcium.trace_model import Settings, TraceModel

TAU, RISE, DT = 0.5, 0.07, 1 / 30


def double_exponential(t, tau=TAU, rise=RISE):
    """The field's form, scaled to a peak of 1 by search."""
    fine = np.linspace(0, 2 * tau, 200_001)
    peak = (np.exp(-fine / tau) - np.exp(-fine / rise)).max()
    return np.where(t >= 0, (np.exp(-t / tau) - np.exp(-t / rise)) / peak, 0.0)


def test_the_response_is_the_double_exponential_of_the_field():
    t = np.linspace(-0.1, 2, 500)
    found = nr.simulate.calcium_kernel(t, TAU, RISE)
    # The peak is read off a grid of 5 us: exact to 1e-9.
    assert found == pytest.approx(double_exponential(t), abs=1e-8)
    for decay, rise in ((0.5, 0.5), (0.5, 0.6)):
        with pytest.raises(DataError, match=r"shorter than the decay.*1 / \(1 / s"):
            nr.simulate.calcium_kernel(t, decay, rise)
    with pytest.raises(DataError, match=r"tau_rise is 0\.6 s and tau_decay 0\.3 s"):
        nr.simulate.simulate_calcium(2, 10.0, 30.0, tau_decay=[1.0, 0.3], tau_rise=0.6)


def test_a_kernel_tells_its_rise_its_peak_and_half_of_it():
    kernel = Kernel.of_rise(TAU, RISE)
    assert kernel.rise == pytest.approx(RISE, rel=1e-14)
    # (1 - exp(-t / s)) exp(-t / tau) is the same curve with 1 / s = 1 / rise - 1 / tau.
    assert 1 / kernel.lag == pytest.approx(1 / RISE - 1 / TAU, rel=1e-14)
    t = np.linspace(0, 1, 1_000_001)
    shape = double_exponential(t)
    # A grid of 1 us.
    assert kernel.time_to_peak == pytest.approx(t[np.argmax(shape)], abs=2e-6)
    assert kernel.half_rise == pytest.approx(t[np.argmax(shape >= 0.5)], abs=2e-6)
    raw = np.exp(-t / TAU) - np.exp(-t / RISE)
    assert kernel.peak == pytest.approx(raw.max(), rel=1e-9)
    none = Kernel.of_rise(TAU, 0.0)
    assert (none.lag, none.rise, none.time_to_peak, none.half_rise, none.peak) == (0, 0, 0, 0, 1)
    gamma, rho, _ = kernel.poles(DT)
    assert (gamma, rho) == pytest.approx((np.exp(-DT / TAU), np.exp(-DT / RISE)), rel=1e-14)


def by_hand(y, k, begin, end, noise, share, size, carried, lost=()):
    """Log likelihood of a stretch, by dense least squares over every time of one event or two."""
    kernel = Kernel.of_rise(TAU, RISE)
    frames = np.arange(begin, end)
    seen = ~np.isin(frames, lost)
    left = np.where(seen, y[begin:end] - carried, 0.0)

    def column(frame, moment):
        lag = (frames - frame + moment) * DT
        on = (frames >= frame) & seen
        return np.where(on, np.exp(-lag / TAU) * -np.expm1(-lag / kernel.lag), 0.0)

    def at_frame_end(frame, moment):
        # In units of what decays from the end of its frame on.
        return column(frame, moment) / np.exp(-moment * DT / TAU)

    def gain(columns):
        design = np.stack(columns, 1)
        sizes, *_ = np.linalg.lstsq(design, left, rcond=None)
        if (sizes <= 0).any():
            return None
        after = left - design @ sizes
        return (left @ left - after @ after) / (2 * noise**2)

    ones, two = ((np.arange(n) + 0.5) / n for n in (event_times._MOMENTS, event_times._OF_TWO))
    first = range(begin, k + event_times.AFTER + 1)
    weights = []
    for p in first:
        for u in ones:
            one = gain([at_frame_end(p, u)])
            weights.append((0.0 if one is None else one) - np.log(len(ones)))
    for p in first:
        for q in range(p + 1, min(p + event_times.APART, end - 2) + 1):
            for u in two:
                for v in two:
                    a, b = at_frame_end(p, u), at_frame_end(q, v)
                    both = gain([a, b])
                    if both is None:
                        continue
                    own = b @ b - (a @ b) ** 2 / (a @ a)
                    width = np.sqrt(2 * np.pi) * noise / (size * np.sqrt(own))
                    weights.append(
                        both + np.log(share) + min(np.log(width), 0) - 2 * np.log(len(two))
                    )
    return -left @ left / (2 * noise**2) + np.logaddexp.reduce(weights)


def test_times_of_an_event_are_averaged_over(monkeypatch):
    """Against every time by hand, without the short cuts for what hardly counts."""
    monkeypatch.setattr(event_times, "_FAINT", -1e9)
    monkeypatch.setattr(event_times, "_NOTHING", -1e9)
    rng = np.random.default_rng(3)
    noise, share, size = 0.3, 0.05, 2.0
    n, starts, free = 60, np.array([0, 20]), np.array([True, False])
    time = (np.arange(n) + 1) * DT
    y = 2 * nr.simulate.calcium_kernel(time - 20.4 * DT, TAU, RISE)
    y += nr.simulate.calcium_kernel(time - 22.6 * DT, TAU, RISE) + noise * rng.standard_normal(n)
    poles = Kernel.of_rise(TAU, RISE).poles(DT)
    plain = [f.py_func for f in (event_times._weigh, event_times._gain_of_two)]
    monkeypatch.setattr(event_times, "_weigh", plain[0])
    monkeypatch.setattr(event_times, "_gain_of_two", plain[1])
    found = event_times.marginal_likelihoods.py_func(y, starts, free, *poles, noise, share, size)
    from neurornn._kernels.projection import fit_stretch, stretch_sums

    gamma, rho, phi = poles
    slow, fast, _, _ = fit_stretch(stretch_sums(y, 0, 20, gamma, rho), rho, phi, 0.0, 0.0, True)
    begin = 20 - event_times.BEFORE
    lag = np.arange(begin, n)
    carried = slow * gamma**lag - fast * rho**lag
    expected = by_hand(y, 20, begin, n, noise, share, size, carried)
    # Sums of some hundred weights.
    assert found[1] == pytest.approx(expected, rel=1e-9)
    before = y[:begin] - slow * gamma ** np.arange(begin) + fast * rho ** np.arange(begin)
    assert found[0] == pytest.approx(-before @ before / (2 * noise**2), rel=1e-9)
    # A missing frame says nothing: neither the data nor any response has it.
    y[25] = np.nan
    seen = event_times.marginal_likelihoods.py_func(y, starts, free, *poles, noise, share, size)
    expected = by_hand(np.nan_to_num(y), 20, begin, n, noise, share, size, carried, lost=[25])
    assert seen[1] == pytest.approx(expected, rel=1e-9)


def test_what_hardly_counts_hardly_counts():
    """Short cuts against the whole: pairs that are unlikely in the middle of their frames."""
    rec = nr.simulate.simulate_calcium(1, 60.0, 30.0, tau_rise=RISE, rate=1.0, snr=5, rng=0)
    y = rec["dff"].values[:, 0]
    starts = np.unique(np.concatenate([[0], np.ceil(rec["spike_times"].values * 30) - 1]))
    starts = starts.astype(np.int64)
    starts = starts[np.append(True, np.diff(starts) > 1)]
    free = np.arange(len(starts)) == 0
    poles = Kernel.of_rise(TAU, RISE).poles(DT)
    given = y, starts, free, *poles, 0.2, 0.03, 1.3
    quick = event_times.marginal_likelihoods(*given)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_times, "_FAINT", -1e9)
        patch.setattr(event_times, "_NOTHING", -1e9)
        for name in ("_weigh", "_gain_of_two"):
            patch.setattr(event_times, name, getattr(event_times, name).py_func)
        whole = event_times.marginal_likelihoods.py_func(*given)
    # A pair at exp(-4) of the best weight, off by a factor of its own, in each of the stretches.
    assert np.abs(quick - whole).max() < 0.1


def test_the_rise_is_found_with_its_interval():
    rec = nr.simulate.simulate_calcium(
        8, 300.0, 30.0, tau_decay=TAU, tau_rise=RISE, rate=1.0, snr=8, rng=12
    )
    table = nr.calcium.Kinetics().fit(rec["dff"]).parameters_
    truth = Kernel.of_rise(TAU, RISE)
    for name, value in (
        ("tau_rise", RISE), ("time_to_peak", truth.time_to_peak), ("half_rise", truth.half_rise),
    ):  # fmt: skip
        ci = table[f"{name}_ci"].values
        # Eight at 95 %: three misses happen in 6 of 1000.
        assert ((ci[:, 0] < value) & (value < ci[:, 1])).sum() >= 6
        # The sd of one is 2.5 %, of the median of eight 1.1 %.
        assert np.median(table[name]) == pytest.approx(value, rel=0.035)
        assert ((ci[:, 0] < table[name].values) & (table[name].values < ci[:, 1])).all()
    spread = np.sqrt(table["covariance"].values[:, 1, 1])
    half = np.diff(table["tau_rise_ci"].values, axis=1)[:, 0] / 2
    # The interval is that of the same error, but for its asymmetry.
    assert half == pytest.approx(1.96 * spread, rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize(("rise", "rate", "snr"), [(0.02, 0.5, 10.0), (0.045, 1.0, 10.0)])
def test_intervals_of_the_rise_hold_what_they_promise(rise, rate, snr):
    rec = nr.simulate.simulate_calcium(
        100, 300.0, 30.0, tau_decay=TAU, tau_rise=rise, rate=rate, snr=snr, rng=99
    )
    table = nr.calcium.Kinetics().fit(rec["dff"]).parameters_
    ci = table["tau_rise_ci"].values
    covered = (ci[:, 0] < rise) & (rise < ci[:, 1])
    # .95 of 100 with a sd of .022, less what a prior of second events leaves: .86 is 4 sd below.
    assert covered.mean() >= 0.86
    # A sd of 8 % over 100 traces, and at most 3 % of bias.
    assert np.median(table["tau_rise"]) == pytest.approx(rise, rel=0.05)


def test_a_recording_twice_as_slow_has_twice_the_rise():
    rec = nr.simulate.simulate_calcium(2, 200.0, 30.0, tau_rise=RISE, rate=0.7, snr=10, rng=4)
    y = rec["dff"].values
    quick, slow = (
        nr.calcium.Kinetics(knot_spacing=None, tau_bounds=(0.01 * s, 8.0 * s)).fit(
            y, sampling_rate=30.0 / s
        ).parameters_
        for s in (1, 2)
    )  # fmt: skip
    for name in ("tau_rise", "time_to_peak", "half_rise"):
        # The search ends within 2e-3 of the logarithm.
        np.testing.assert_allclose(slow[name], 2 * quick[name], rtol=4e-3)


def as_of_old(kinetics):
    """Turn a fit into what a version of the other form kept: the same curve."""
    table, segments = kinetics.parameters_, kinetics.segments_
    tau = table["tau_decay"].values

    def lag(rise, tau=tau):
        return tau * rise / (tau - rise)

    rise = table["tau_rise"].values
    covariance = table["covariance"].values
    slopes = np.zeros((len(tau), 2, 2))
    slopes[:, 0, 0] = 1
    slopes[:, 1, 0] = -((lag(rise) / tau) ** 2)
    slopes[:, 1, 1] = (lag(rise) / rise) ** 2
    told = np.isfinite(rise)
    covariance[told] = slopes[told] @ covariance[told] @ slopes[told].transpose(0, 2, 1)
    table["tau_rise"].values = lag(rise)
    table["tau_rise_ci"].values = lag(table["tau_rise_ci"].values, tau[:, None])
    segments["kernel_rise"].values = lag(segments["kernel_rise"].values)
    del segments["kernel_rise"].attrs["form"]
    names = ("time_to_peak", "half_rise")
    kinetics.parameters_ = table.drop_vars([f"{n}{e}" for n in names for e in ("", "_ci")])
    return kinetics


def test_a_file_with_the_other_form_is_read_as_the_same_curve(tmp_path):
    rec = nr.simulate.simulate_calcium(3, 120.0, 30.0, tau_rise=[0, 0.08, 0.08], snr=12, rng=8)
    kinetics = nr.calcium.Kinetics().fit(rec["dff"])
    now, drawn = kinetics.parameters_.copy(deep=True), kinetics.calcium_.values
    as_of_old(kinetics).save(tmp_path / "old")
    loaded = nr.load(tmp_path / "old")
    # There and back again: rounding.
    np.testing.assert_allclose(loaded.calcium_.values, drawn, rtol=1e-9, atol=1e-12)
    for name in ("tau_rise", "tau_rise_ci", "covariance"):
        np.testing.assert_allclose(loaded.parameters_[name], now[name], rtol=1e-9)
    # Those of the drawn response, not of the averaged one: near, without an interval.
    rise = loaded.parameters_["tau_rise"].values
    assert np.isnan(loaded.parameters_["half_rise"].values).tolist() == np.isnan(rise).tolist()
    np.testing.assert_allclose(loaded.parameters_["time_to_peak"], now["time_to_peak"], rtol=0.2)
    assert np.isnan(loaded.parameters_["time_to_peak_ci"]).all()
    loaded.save(tmp_path / "again")
    again = nr.load(tmp_path / "again")
    xr.testing.assert_identical(again.parameters_, loaded.parameters_)
    assert again.segments_["kernel_rise"].attrs["form"] == kinetics_tables.RISE_FORM


def test_a_decay_is_longer_than_a_rise_that_is_held():
    rec = nr.simulate.simulate_calcium(1, 100.0, 30.0, tau_decay=0.1, rate=0.5, snr=10, rng=1)
    table = nr.calcium.Kinetics(tau_rise=0.3).fit(rec["dff"]).parameters_
    assert float(table["tau_decay"][0]) > 0.3 and table["status"].values[0] != "ok"


def test_what_is_left_out_between_events_are_the_two_exponentials():
    """Checks of a fit project its kinetics out of every stretch: nothing of them is left."""
    rec = nr.simulate.simulate_calcium(1, 60.0, 30.0, tau_rise=RISE, rate=0.5, snr=20, rng=6)
    kinetics = nr.calcium.Kinetics().fit(rec["dff"])
    one = FittedTraces(kinetics, rec["dff"]).of(0)
    tau, rise = (float(kinetics.parameters_[n][0]) for n in ("tau_decay", "tau_rise"))
    assert poles(one) == pytest.approx([1 / tau, 1 / rise], rel=1e-12)
    _, _, basis = next(stretches(one, np.ones(len(one.y), bool)))
    lag = np.arange(len(basis)) * DT
    pure = np.exp(-lag / tau) - 0.7 * np.exp(-lag / rise)
    np.testing.assert_allclose(basis @ (basis.T @ pure), pure, atol=1e-10)


@pytest.mark.parametrize("start", [-9.0, -0.5])
def test_a_search_that_strays_stays_between_frames_and_decay(start):
    """Far from a maximum the search may ask for a rise as long as the decay, or for none."""
    rec = nr.simulate.simulate_calcium(1, 120.0, 30.0, tau_rise=RISE, rate=1.0, snr=10, rng=5)
    y = rec["dff"].values[:, 0]
    time, blocks = rec["time"].values, np.array([[0, len(y)]])
    settings = Settings(DT, np.nan, (0.005, 20.0), 60.0, 0.95)
    model = TraceModel(y, time, blocks, settings)
    found, resolved, *_ = fit_kinetics(model, *best_starts(y, time, blocks, settings))
    assert resolved
    model.heights = found.heights
    near = estimate_rise(model, found, 0.01)
    strayed = found._replace(kernel=Kernel.of_rise(found.kernel.tau, float(np.exp(start)) * 0.8))
    far = estimate_rise(model, strayed, 0.01)
    # Either the same maximum, but for a prior of sizes that is that of the strayed kinetics, or
    # none.
    assert far is None or far.kernel.rise == pytest.approx(near.kernel.rise, rel=0.05)
