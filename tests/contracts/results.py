"""Small examples of everything that tells numbers: a new kind of result is one more line below.

A function makes one. Where it takes ``level``, that is the level of its intervals; where it takes
``slow``, the same numbers were recorded so many times slower. Several units, of which some are not
ok or have no interval, tell more than one that is well.
"""

import inspect
import warnings
from functools import cache, lru_cache, partial

import numpy as np
import xarray as xr

import neurornn as nr

LEVEL, OTHER_LEVEL = 0.95, 0.8
DT = 0.05


@lru_cache
def _traces():
    """Six cells at 20 Hz for a minute: four that decay, one of noise alone, one not recorded."""
    tau = np.array([0.9, 0.4, 0.5, 0.6, 0.7, 0.3])
    recording = nr.simulate.simulate_calcium(6, 60.0, 20.0, tau_decay=tau, snr=8, rng=1)
    dff = recording["dff"].copy(deep=True)
    dff[:, 2] = np.nan
    dff[:, 3] = np.random.default_rng(0).normal(size=len(dff))
    return dff.assign_coords(unit=["e", "a", "c", "b", "f", "d"]).assign_attrs(units="mV")


def traces(slow=1.0):
    dff = _traces()
    dff = dff.assign_coords(time=slow * dff["time"])
    given = {"sampling_rate": 20.0 / slow, "frame_delay": slow * dff.attrs["frame_delay"]}
    return dff.assign_attrs(given)


def kinetics(level=LEVEL, slow=1.0):
    return nr.calcium.Kinetics(
        tau_bounds=(0.01 * slow, 8.0 * slow), knot_spacing=30.0 * slow, confidence_level=level
    ).fit(traces(slow))


def held_rise(level=LEVEL, slow=1.0):
    return nr.calcium.Kinetics(
        tau_bounds=(0.01 * slow, 8.0 * slow), tau_rise=0.02 * slow, penalty=3.5, knot_spacing=None,
        confidence_level=level,
    ).fit(traces(slow).isel(unit=[0, 2, 4]))  # fmt: skip


def quanta(level=LEVEL):
    return nr.calcium.estimate_quantum(kinetics(), confidence_level=level)


def _session(values, log_sd, labels, status, slow):
    values = slow * np.asarray(values)
    ci = values[:, None] * np.exp(1.959964 * np.outer(log_sd, [-1, 1]))
    return xr.Dataset(
        {
            "tau_decay": ("unit", values, {"units": "s"}),
            "tau_decay_ci": (("unit", "ci_bound"), ci, {"ci_prob": 0.95}),
            "status": ("unit", status),
        },
        coords={"unit": labels, "ci_bound": ["lower", "upper"]},
    )


def pooled(level=LEVEL, slow=1.0):
    """Three cells, one of them in a single session."""
    days = [
        _session([0.5, 0.9, 0.3], [0.03, 0.1, 0.05], ["x", "y", "z"], ["ok"] * 3, slow),
        _session([1.0, 0.54], [0.08, 0.04], ["y", "x"], ["ok", "ok"], slow),
        _session([0.3, 0.47], [0.1, 0.02], ["z", "x"], ["too_noisy", "ok"], slow),
    ]
    return nr.calcium.pool_sessions(days, confidence_level=level)


def shared(level=LEVEL, slow=1.0):
    """Two groups of cells, and a third of one cell alone."""
    values = [0.5, 0.55, 0.48, 2.0, 2.3, 1.9, 7.0, 1.0]
    status = ["ok"] * 6 + ["too_noisy", "ok"]
    labels = [f"u{k}" for k in range(8)]
    table = _session(values, np.linspace(0.02, 0.1, 8), labels, status, slow)
    groups = ["6f"] * 3 + ["6s"] * 4 + ["alone"]
    return nr.calcium.share_kinetics(table, groups=groups, confidence_level=level)


@lru_cache
def _filtered():
    """Three filters of a series, mixed into two outputs with noise."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((10, 120, 1))
    parts = np.zeros((10, 120, 3))
    for k, steps in enumerate((3.0, 8.0, 40.0)):
        for t in range(120):
            before = parts[:, t - 1, k] if t else 0.0
            parts[:, t, k] = before + (1 - np.exp(-1 / steps)) * (x[:, t, 0] - before)
    y = 4 * parts @ np.array([[1.0, 0.5], [-1.0, 0.8], [1.0, 2.0]])
    return x, y + 0.1 * rng.standard_normal(y.shape)


def _leaky(slow=1.0, **settings):
    given = {
        "tau": slow * DT * np.array([2.5, 7.0, 15.0]),
        "tau_bounds": (slow * 0.02, slow * 1.2),
    }
    return nr.models.LeakyRNN(
        1, 3, 2, nonlinearity="linear", recurrent=False, dt=slow * DT, **{**given, **settings}
    )


def leaky(level=LEVEL, slow=1.0):
    """Two time constants with intervals and one at its bound."""
    return nr.fit(_leaky(slow), _filtered(), rng=0, confidence_level=level)


def truncated(level=LEVEL, slow=1.0):
    x, y = _filtered()
    return nr.fit(
        _leaky(slow), (x[:8], y[:8]), validation=(x[8:], y[8:]), truncation=slow * 20 * DT,
        optimizer="adam", max_epochs=3, rng=0, confidence_level=level,
    )  # fmt: skip


def gated(level=LEVEL, slow=1.0):
    """No time constants; the noise of two outputs, from the best of two seeds."""
    model = nr.models.GRU(1, 3, 2, dt=slow * DT, tau=slow * 0.2)
    return nr.fit(
        model, _filtered(), rng=0, n_seeds=2, max_epochs=6, refine=False, confidence_level=level
    )


def calcium_rnn(level=LEVEL, slow=1.0):
    # Arrays: windows of a recording have a length in seconds.
    dff = traces(slow).isel(unit=[0, 1], time=slice(0, 500)).values[None]
    pair = (dff, dff)
    bounds = {"tau_decay_bounds": (0.03 * slow, 5.0 * slow)}
    model = nr.models.CalciumRNN(2, dt=slow * DT, tau_decay=0.4 * slow, tau_rise=None, **bounds)
    return nr.fit(model, pair, rng=0, max_epochs=40, refine=False, confidence_level=level)


def bootstrapped(level=LEVEL):
    x, y = _filtered()
    model = nr.models.LeakyRNN(1, 1, 1, nonlinearity="linear", recurrent=False, dt=DT, tau=0.2)
    pair = (x[:4, :60], y[:4, :60, :1])
    found = nr.fit(model, pair, rng=0, refine=False, intervals=False)
    return nr.training.bootstrap_intervals(found, pair, n_draws=20, rng=0, confidence_level=level)


def gradient_flow(level=LEVEL, slow=1.0):
    """Eight trials whose saturation differs, so that their horizons do."""
    model = nr.models.LeakyRNN(
        1,
        2,
        1,
        dt=slow * DT,
        tau=slow * np.array([0.15, 0.4]),
        rng=1,
        tau_bounds=(slow * 0.02, slow),
    )
    x = np.linspace(0.0, 3.0, 8)[:, None, None] * _filtered()[0][:8, :50]
    return nr.training.gradient_flow(model, x, confidence_level=level)


def _walk(n=700):
    rng = np.random.default_rng(3)
    y = np.zeros((n, 2))
    for k in range(1, n):
        y[k] = np.array([0.9, 0.6]) * y[k - 1] + rng.standard_normal(2)
    return y


def league(level=LEVEL, slow=1.0):
    """A model that did not converge among those that cannot fail."""
    series = nr.data.from_traces(_walk(), sampling_rate=20.0 / slow)["dff"]
    model = nr.models.LeakyRNN(
        2, 2, 2, dt=slow * DT, tau=slow * 0.2, tau_bounds=(slow * 0.02, slow * 2)
    )
    return nr.compare.league(
        series, [model, "ridge", "persistence"], horizons=(1, 4), duration=slow * 2.0, n_seeds=2,
        max_epochs=2, confidence_level=level,
    )  # fmt: skip


def league_of_counts(level=LEVEL):
    """A model that knows the past a bin ahead alone, and one that expects less than nothing."""
    draw, counts = np.random.default_rng(4), np.zeros((1200, 2), dtype=int)
    for k in range(1, 1200):
        counts[k] = draw.poisson(np.where(counts[k - 1] > 0, 0.05, 0.4))
    data = xr.DataArray(
        counts, dims=("time", "unit"), coords={"time": DT * np.arange(1.0, 1201)}, name="counts",
        attrs={"bin_size": DT},
    )  # fmt: skip
    glm = nr.spikes.PointProcess(history_basis="raised_cosine", n_history=2)
    return nr.compare.league(
        data, [glm, "ridge", "persistence"], horizons=(1, 4), duration=2.0, n_seeds=2,
        max_epochs=2, confidence_level=level,
    )  # fmt: skip


@lru_cache
def _spikes():
    """Counts of ten units that say where a hand is and how fast it moves."""
    rng = np.random.default_rng(1)
    velocity = np.zeros((900, 2))
    for k in range(1, 900):
        velocity[k] = 0.95 * velocity[k - 1] + 0.31 * rng.standard_normal(2)
    rates = np.exp(np.log(0.6) + 0.6 * velocity @ rng.standard_normal((2, 10)))
    return rng.poisson(rates).astype(float), 10 * velocity


def _binned(values, slow, dim, labels, **attrs):
    time = slow * DT * (np.arange(len(values)) + 1)
    coords = {"time": time, dim: labels}
    return xr.DataArray(values, dims=("time", dim), coords=coords, attrs=attrs)


def counts_and_targets(slow=1.0, labelled=False):
    counts, velocity = _spikes()
    given = _binned(counts, slow, "unit", [f"n{k}" for k in range(10)], bin_size=slow * DT)
    if labelled:
        return given, np.where(
            velocity[:, 0] > 5, "right", np.where(velocity[:, 0] < -5, "left", "none")
        )
    return given, _binned(velocity, slow, "output", ["x", "y"], units="cm/s")


def _decoder(kind, level, slow, labelled=False, **settings):
    made = getattr(nr.decode, kind)(confidence_level=level, **settings)
    return made.fit(*counts_and_targets(slow, labelled))


def wiener(level=LEVEL, slow=1.0):
    return _decoder("WienerFilter", level, slow, n_lags=3)


def ridge(level=LEVEL, slow=1.0):
    return _decoder("RidgeDecoder", level, slow, n_lags=3)


def cascade(level=LEVEL, slow=1.0):
    return _decoder("WienerCascade", level, slow, n_lags=2, degree=3)


def kalman(level=LEVEL, slow=1.0):
    return _decoder("KalmanFilter", level, slow, lag=1)


def given_kalman():
    """Matrices that somebody else made: outputs that were never scored."""
    return nr.decode.KalmanFilter.from_matrices(
        transition=0.9 * np.eye(2), gain=np.random.default_rng(0).normal(size=(2, 10)),
        bin_size=DT, value_unit="cm/s",
    )  # fmt: skip


def place(level=LEVEL, slow=1.0):
    return _decoder("PlaceDecoder", level, slow, cell_size=6.0, map_width=8.0)


def target(level=LEVEL, slow=1.0):
    return _decoder("TargetDecoder", level, slow, labelled=True)


_SMALL = {"n_hidden": 5, "n_seeds": 2, "max_epochs": 2, "window": 30}


def recurrent(level=LEVEL, slow=1.0):
    return _decoder("RecurrentDecoder", level, slow, cell="leaky", tau=slow * 0.2, **_SMALL)


def classifier(level=LEVEL):
    return _decoder("RecurrentClassifier", level, 1.0, labelled=True, **_SMALL)


def stream():
    """After some bins, one of them missing, one with a broken count, one that came twice."""
    counts = counts_and_targets()[0].values
    running = kalman().stream()
    for k in range(20):
        running.step(None if k == 7 else counts[k], index=k)
    broken = counts[20].copy()
    broken[3] = -1.0
    running.step(broken, index=20)
    running.step(counts[20], index=20)
    running.drop_units(["n4", "n9"])
    return running


def plan(level=LEVEL):
    return nr.calcium.plan(
        tau=0.5, rate=0.3, snr=4.0, sampling_rate=15.0, relative_width=0.2, confidence_level=level
    )


def plan_by_events(level=LEVEL, slow=1.0):
    """Limited by the number of events: the frames, not the baseline, set the time."""
    return nr.calcium.plan(
        tau=0.4 * slow, rate=0.2 / slow, snr=20.0, sampling_rate=10.0 / slow, relative_width=0.9,
        confidence_level=level,
    )  # fmt: skip


def audit(level=LEVEL):
    rng = np.random.default_rng(0)
    animal = np.repeat(["m1", "m2", "m3", "m4"], 30)
    x = rng.normal(size=(120, 3))
    x[5], x[9] = x[0], x[1]
    y = 2.0 * np.repeat([0.0, 1.0, 2.0, 3.0], 30) + x[:, 0] + rng.normal(size=120)
    return nr.data.audit(
        x, y, groups={"animal": animal, "coin": rng.integers(0, 2, 120)}, confidence_level=level
    )


def leakage(level=LEVEL):
    x = _walk(400)
    return nr.data.leakage_report(x, np.cumsum(x[:, 0]) / 20, n_lags=3, confidence_level=level)


def movement(level=LEVEL):
    """Two outputs, the second of which never moves and has neither R2 nor interval."""
    counts, true = counts_and_targets()
    guess = kalman().predict(counts).values.copy()
    guess[:, 1] = 0.0
    return nr.decode.movement_scores(true, guess, confidence_level=level)


def places(level=LEVEL):
    counts, true = counts_and_targets()
    guess = kalman().predict(counts)
    return nr.decode.place_errors(true, guess, units="cm", confidence_level=level)


def bits(level=LEVEL, slow=1.0):
    took = slow * np.array([1.0, 2.0, 0.7, 1.4, np.nan, 1.1])
    return nr.decode.fitts_bit_rate(6.0, 2.0, took, np.isfinite(took), confidence_level=level)


def targets(level=LEVEL):
    true = np.repeat(["left", "up", "right"], 9)
    return nr.decode.target_scores(true, np.roll(true, 4), confidence_level=level)


def closed_loop(level=LEVEL, slow=1.0):
    """Twelve trials, four without success."""
    rng = np.random.default_rng(0)
    hit = np.arange(12) % 3 != 0
    seconds = {"units": "s"}
    trials = xr.Dataset(
        {
            "success": ("trial", hit),
            "time_to_target": (
                "trial",
                slow * rng.uniform(0.5, 3, 12),
                {**seconds, "long_name": "t"},
            ),
            "dial_in_time": (
                "trial",
                slow * rng.uniform(0.1, 1, 12),
                {**seconds, "long_name": "d"},
            ),
            "path_efficiency": (
                "trial",
                rng.uniform(0.5, 1, 12),
                {"units": "1", "long_name": "p"},
            ),
            "distance": ("trial", np.full(12, 8.0), {"units": "cm"}),
        },
        attrs={"target_radius": 1.5},
    )
    return nr.decode.closed_loop_scores(trials, confidence_level=level)


def dropping(level=LEVEL):
    counts, goal = counts_and_targets()
    decoder = nr.decode.RidgeDecoder(n_lags=1, power=1.0, bin_size=DT)
    return nr.decode.neuron_dropping(
        decoder, counts, goal, n_units=[2, 6, 10], n_draws=4, rng=0, confidence_level=level
    )


def crossed(level=LEVEL):
    from sklearn.linear_model import Ridge

    x = _walk(300)
    return nr.data.cross_score(Ridge(), x, x[:, 0], n_splits=5, n_lags=2, confidence_level=level)


def modes(level=LEVEL, slow=1.0):
    """One mode that decays, a pair that swings and stays, and one that is gone in a frame."""
    rng = np.random.default_rng(0)
    step = np.arange(240)[:, None]
    weights = rng.standard_normal((3, 5))
    x = np.exp(-step / 40) * weights[0] + np.cos(0.3 * step) * weights[1]
    x = x + 30 * np.exp(-step / 0.4) * weights[2] + 0.05 * rng.standard_normal(x.shape)
    series = xr.DataArray(
        x, dims=("time", "unit"), coords={"time": slow * DT * (np.arange(240) + 1)},
        attrs={"units": "mV"},
    )  # fmt: skip
    return nr.koopman.fit_modes(series, rank=4, confidence_level=level)


def _swinging(slow):
    """A mode that decays and a pair, in five units."""
    run = nr.simulate.simulate_oscillators(
        5, 3.0, DT, time_constants=[2.0, 1.5], frequencies=[0.0, 0.8], noise_sd=0.05, rng=1
    )
    return _binned(run["series"].values.reshape(60, 5), slow, "unit", list("ebacd"), units="mV")


def bagged(level=LEVEL, slow=1.0):
    """A class of PyDMD with standard errors, of the pair and of the mode that decays."""
    return nr.koopman.dmd(
        _swinging(slow), method="bop", rank=3, num_trials=12, confidence_level=level
    )


def windowed(slow=1.0):
    """A class of PyDMD without intervals, and with windows."""
    return nr.koopman.dmd(_swinging(slow), method="multiresolution", rank=3, max_level=1,
                          max_cycles=2)  # fmt: skip


def edmd(level=LEVEL, slow=1.0):
    """Two rates and a pair, over stretches of one trajectory drawn anew."""
    rng = np.random.default_rng(0)
    matrix = np.array([[0.95, 0.0, 0.0], [0.0, 0.8, -0.3], [0.0, 0.3, 0.8]])
    x = np.zeros((400, 3))
    for t in range(1, 400):
        x[t] = matrix @ x[t - 1] + rng.standard_normal(3)
    return nr.koopman.EDMD(degree=1, dt=slow * DT, n_bootstrap=60, confidence_level=level).fit(x)


def laws(level=LEVEL):
    """One quantity that is conserved, of a harmonic oscillator."""
    run = nr.simulate.simulate_system(
        "harmonic", 8.0, 0.1, n_trials=20, spread=0.7, noise_sd=0.05, rng=0
    )
    return nr.koopman.conserved_quantities(run["series"], degree=2, confidence_level=level)


def similar(level=LEVEL):
    """Two sessions of one linear system: trials of a few units."""
    run = nr.simulate.simulate_oscillators(4, 2.0, 0.05, n_trials=16, noise_sd=0.2, rng=0)
    x = run["series"].values
    return nr.compare.similarity(
        x[:8], x[8:], rank=4, n_delays=2, n_permutations=19, confidence_level=level
    )


def compared(level=LEVEL, slow=1.0):
    """Spectra of two recordings, one of which has a mode that the other has not."""
    two = [
        nr.koopman.fit_modes(
            nr.simulate.simulate_oscillators(5, noise_sd=0.1, rng=k)["series"].values,
            dt=0.02 * slow, rank=rank,
        )
        for k, rank in ((0, 5), (1, 3))
    ]  # fmt: skip
    return nr.compare.spectra(*two, n_draws=200, confidence_level=level)


@lru_cache
def _three_units():
    """Three units for a minute: one with a past, one without, and one that hardly fires."""
    rec = nr.simulate.simulate_spike_trains(
        3, 60.0, rate=[40.0, 20.0, 0.1], recovery=[-4.0, 0.0, 0.0], adaptation=[-0.6, 0.0, 0.0],
        rng=3,
    )  # fmt: skip
    times, owner = rec["spike_times"].values, rec["spike_unit"].values
    return {name: times[owner == k] for k, name in enumerate("bca")}


def three_trains(slow=1.0):
    trains = {name: slow * t for name, t in _three_units().items()}
    return nr.data.from_spikes(trains, t_start=0.0, t_stop=60.0 * slow)


def point_process(level=LEVEL, slow=1.0):
    return nr.spikes.PointProcess(
        history=0.2 * slow, bin_size=0.001 * slow, confidence_level=level
    ).fit(three_trains(slow))


def free_history(level=LEVEL):
    """A past in free filters, coupling, and a stimulus."""
    shown = np.sin(np.arange(60_000) / 300)
    return nr.spikes.PointProcess(
        history=0.05, history_basis="raised_cosine", coupling=["b"], n_stimulus=3,
        unit=["b", "c"], forgetting=20.0, renewal=True, confidence_level=level,
    ).fit(three_trains(), stimulus=shown)  # fmt: skip


def rescaled(level=LEVEL):
    """A Poisson account of units of which one has a past, and one is too quiet to tell."""
    model = nr.spikes.PointProcess(history=None).fit(three_trains())
    return nr.spikes.time_rescaling(model, three_trains(), confidence_level=level)


@lru_cache
def _populated():
    """Counts of six units that share a latent, of which one hardly fires."""
    rec = nr.simulate.simulate_latent_population(
        6, 1.0, tau=0.3, rate=[20.0, 15.0, 25.0, 0.05, 20.0, 15.0], n_trials=16, bin_size=DT, rng=5
    )
    return rec["counts"].assign_coords(unit=["c", "a", "f", "e", "b", "d"])


def populated(slow=1.0):
    counts = _populated()
    return counts.assign_coords(time=slow * counts["time"]).assign_attrs(bin_size=slow * DT)


def smoothed_rates(level=LEVEL, slow=1.0):
    return nr.spikes.SmoothedRates(confidence_level=level).fit(populated(slow))


def co_smoothed(level=LEVEL):
    """Units that are told from others, one of which fires no spike."""
    counts = populated()
    model = nr.spikes.SmoothedRates().fit(counts)
    return nr.spikes.co_smoothing(
        model, counts[:12], ["c", "a"], ["e", "f", "b"], confidence_level=level
    )


def few_shots(level=LEVEL):
    """Read-outs from one trial, which tell nothing, and from ten."""
    counts = populated()
    model = nr.spikes.SmoothedRates().fit(counts)
    return nr.spikes.few_shot_co_smoothing(
        model, counts, None, ["d", "f"], n_shots=(1, 10), n_draws=4, confidence_level=level
    )


def matched_psths(level=LEVEL):
    counts = populated()
    rates = nr.spikes.SmoothedRates().fit(counts).rates(counts)
    return nr.spikes.psth_r2(rates, counts, np.arange(16) % 3, confidence_level=level)


def autoencoder(level=LEVEL, slow=1.0):
    return nr.spikes.SequentialAutoencoder(
        2, n_hidden=4, n_encoder=4, n_initial=2, window=slow, max_epochs=3, kl_epochs=1,
        n_draws=2, confidence_level=level,
    ).fit(populated(slow))  # fmt: skip


def timescales(level=LEVEL, slow=1.0):
    """Units alone, one of which hardly fires."""
    return nr.spikes.Timescales(confidence_level=level).fit(populated(slow))


def pooled_timescales(level=LEVEL, slow=1.0):
    return nr.spikes.Timescales(2, pooled=True, confidence_level=level).fit(populated(slow))


def poisson_dynamics(level=LEVEL, slow=1.0):
    return nr.spikes.PoissonDynamics(2, confidence_level=level).fit(populated(slow))


def fixed_points(slow=1.0):
    """Two bits that hold themselves: nine points, four of them stable."""
    import torch

    model = nr.models.LeakyRNN(1, 2, 1, dt=slow * DT, tau=slow * 0.3, step="euler")
    with torch.no_grad():
        model.recurrent_weight.copy_(torch.tensor([[2.0, 0.1], [0.0, 1.9]]))
        model.bias.zero_()
    return nr.dynamics.find_fixed_points(model, rng=0)


def diagram(slow=1.0):
    """A spiral that becomes a cycle: a Hopf point with its frequency."""
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])

    def spiral(z, m):
        return (1 + m - (z * z).sum(1, keepdims=True)) * (z @ turn.T)

    return nr.dynamics.continue_fixed_points(
        spiral, parameter=(-0.2, 0.31), n_hidden=2, n_values=6, n_searches=2, dt=slow * DT
    )


def attractor(slow=1.0):
    """A leak in one of three directions: a line with a lifetime."""
    turned = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    matrix = turned @ np.diag([0.999, 0.8, 0.7]) @ turned.T
    return nr.dynamics.classify_attractor(
        lambda h: h @ matrix.T, n_hidden=3, dt=slow * DT, n_trajectories=64, n_steps=300
    )


def basins(level=LEVEL, slow=1.0):
    """Two bits that hold themselves: which quarter of the states each ends in."""
    import torch

    model = nr.models.LeakyRNN(1, 2, 1, dt=slow * DT, tau=slow * 0.3, step="euler")
    with torch.no_grad():
        model.recurrent_weight.copy_(torch.tensor([[2.0, 0.1], [0.0, 1.9]]))
        model.bias.zero_()
    return nr.dynamics.basins(model, n_states=200, confidence_level=level, rng=0)


def lyapunov(level=LEVEL, slow=1.0):
    """Two units that turn: exponents of a limit cycle, one of them 0."""
    import torch

    model = nr.models.LeakyRNN(1, 2, 1, dt=slow * DT, tau=slow * 0.3, step="euler")
    with torch.no_grad():
        model.recurrent_weight.copy_(torch.tensor([[2.0, -1.5], [1.5, 2.0]]))
        model.bias.zero_()
    return nr.dynamics.lyapunov_spectrum(model, n_steps=256, rng=0, confidence_level=level)


def gene_finder():
    genomes = [nr.simulate.simulate_genome(9000, rng=k) for k in (1, 2)]
    return nr.sequences.BacterialGenes(n_hidden=4, max_epochs=1).fit(genomes)


def genes():
    genome = nr.simulate.simulate_genome(9000, n_contigs=2, rng=1)
    return nr.sequences.BacterialGenes().predict(genome)


def structure_model():
    genome = nr.simulate.simulate_spliced_genome(30_000, n_contigs=2, rng=0)
    return nr.sequences.GeneStructure(max_iterations=2).fit(genome)


def spliced_genes():
    genome = nr.simulate.simulate_spliced_genome(15_000, n_contigs=2, rng=1)
    return structure_model().set_params(max_rounds=1).predict(genome)


def splice_sites(level=LEVEL):
    """Donors whose letters leave some doubt, of two networks."""
    draw = np.random.default_rng(0)
    letters = draw.choice(list("ACGT"), (240, 24))
    letters[:, 10:12] = list("GT")
    doubtful = draw.random((120, 4)) < 0.6
    letters[:120, 12:16][doubtful] = np.tile(list("AAGT"), (120, 1))[doubtful]
    windows = ["".join(row) for row in letters]
    model = nr.sequences.SpliceSites(
        "donor", n_seeds=2, n_hidden=3, n_channels=6, max_epochs=2, confidence_level=level
    )
    return model.fit(windows, np.repeat([1, 0], 120))


def splice_pairs(level=LEVEL):
    """Introns whose acceptors leave some doubt, of two networks."""
    draw = np.random.default_rng(0)
    introns = []
    for size in draw.integers(20, 60, 160):
        up, middle, down = ("".join(draw.choice(list("ACGT"), n)) for n in (12, size, 20))
        introns.append((up, f"GTAAGT{middle}TCTCAG", down))
    model = nr.sequences.SplicePairing(
        n_seeds=2, n_hidden=3, n_channels=6, max_epochs=2, flank=(10, 20), confidence_level=level
    )
    return model.fit(introns)


def policy(level=LEVEL):
    """A policy that has hardly begun, of a network with time constants."""
    task = nr.simulate.TigerTask(n_steps=6, rng=0)
    model = nr.models.LeakyRNN(**nr.training.policy_sizes(task), n_hidden=3, dt=DT, tau=0.4, rng=0)
    return nr.training.fit_policy(
        model, task, n_iterations=2, n_episodes=8, n_evaluation=20, confidence_level=level
    )


def belief_readout(level=LEVEL):
    """Two networks that nobody trained, on a task with two questions."""
    task = nr.simulate.ForagingTask(n_steps=8, rng=0)
    sizes = nr.training.policy_sizes(task)
    models = [nr.models.GRU(**sizes, n_hidden=3, dt=DT, rng=k) for k in range(2)]
    return nr.compare.belief(
        models, task, n_episodes=14, n_training=10, windows=(1, 3), nonlinear=False,
        n_permutations=18, confidence_level=level,
    )  # fmt: skip


def hidden_readout(level=LEVEL):
    """Two networks that nobody trained, and two variables that they never saw."""
    draw = np.random.default_rng(0)
    x = draw.standard_normal((8, 12, 2))
    models = [nr.models.LeakyRNN(2, 3, 1, dt=DT, tau=0.4, rng=k) for k in range(2)]
    return nr.compare.hidden_variable(
        models, (x, x[..., :1]), np.cumsum(x, axis=1), input_windows=(1, 3), nonlinear=False,
        n_permutations=18, confidence_level=level,
    )  # fmt: skip


def continual(level=LEVEL):
    """Three networks that hardly learn two tasks, and networks that learn one alone."""
    tasks = {}
    for k, name in enumerate(("integral", "sum")):
        made = nr.simulate.line_integrator(8, 0.5, DT, rng=k)
        tasks[name] = (made["inputs"].values, (1 + k) * made["targets"].values)
    model = nr.models.LeakyRNN(1, 3, 1, dt=DT, tau=0.4, rng=0)
    return nr.training.fit_sequence(
        model, tasks, remedy="projection", n_seeds=3, max_epochs=2, n_overlap=3, alone=True,
        confidence_level=level,
    )  # fmt: skip


def memory_table(level=LEVEL):
    """Two cells that hardly learn, and one that is not trained at the longer lag."""
    return nr.compare.memory(
        ["leaky", "transformer"], lags=(3, 150), n_seeds=3, n_weights=60, max_rounds=1,
        horizons=False, confidence_level=level,
    )  # fmt: skip


def mutation_model(level=LEVEL):
    """Variants of a made-up law in six proteins, of two networks."""
    draw = np.random.default_rng(0)
    amino = "ACDEFGHIKLMNPQRSTVWY"
    wild, mutation, ddg = [], [], []
    for _ in range(6):
        protein = "".join(draw.choice(list(amino), 14))
        for k, letter in enumerate(protein):
            for to in (c for c in draw.choice(list(amino), 4, replace=False) if c != letter):
                wild.append(protein)
                mutation.append(f"{letter}{k + 1}{to}")
                ddg.append(float(letter in "FILMVWY") + draw.standard_normal())
    model = nr.sequences.MutationModel(n_seeds=2, n_steps=10, confidence_level=level)
    return model.fit(wild, mutation, ddg)


def stability(level=LEVEL):
    """Proteins of two species, of two networks."""
    table = nr.simulate.simulate_proteins(100, 2, length=40, rng=0)
    model = nr.sequences.StabilityModel(
        n_seeds=2, n_hidden=3, n_features=2, max_epochs=2, confidence_level=level
    )
    letters = table["letters"].values.tolist()
    return model.fit(letters, table["tm"].values, species=table["species"].values)


def mutated(level=LEVEL):
    """Every mutant of seven letters, by three matrices that differ a little."""
    draw = np.random.default_rng(0)
    first = draw.normal(size=(7, 4))
    models = [partial(weighed, first + 0.1 * draw.normal(size=(7, 4))) for _ in range(3)]
    return nr.sequences.mutate_all(models, "GATTACA", confidence_level=level)


def variants(level=LEVEL):
    """Three variants, one of them without letters."""
    calls = xr.Dataset({
        "contig": ("variant", ["1", "1", "1"]), "position": ("variant", [4, 8, 9]),
        "ref": ("variant", ["A", "CAT", "A"]), "alt": ("variant", ["G", "C", "*"]),
    })  # fmt: skip
    genome = nr.data.SequenceSet.from_sequences(["1"], ["GATTACAGCATTACCA"])
    draw = np.random.default_rng(1)
    models = [partial(weighed, draw.normal(size=(7, 4)) + 1) for _ in range(3)]
    return nr.sequences.variant_effects(models, genome, calls, window=7, confidence_level=level)


def weighed(matrix, x):
    """Sum of the entries of a matrix at the letters."""
    return (x * matrix).sum(axis=(1, 2))


#: Results that report themselves: name -> what makes one.
REPORTED = {
    "Kinetics": kinetics,
    "Kinetics with a held rise": held_rise,
    "leaky FitResult": leaky,
    "truncated FitResult": truncated,
    "gated FitResult": gated,
    "calcium FitResult": calcium_rnn,
    "GradientFlow": gradient_flow,
    "FixedPoints": fixed_points,
    "Attractor": attractor,
    "Basins": basins,
    "BifurcationDiagram": diagram,
    "LyapunovSpectrum": lyapunov,
    "League": league,
    "League of counts": league_of_counts,
    "WienerFilter": wiener,
    "RidgeDecoder": ridge,
    "WienerCascade": cascade,
    "KalmanFilter": kalman,
    "KalmanFilter of matrices": given_kalman,
    "PlaceDecoder": place,
    "TargetDecoder": target,
    "RecurrentDecoder": recurrent,
    "RecurrentClassifier": classifier,
    "Plan": plan,
    "Plan by events": plan_by_events,
    "AuditReport": audit,
    "leakage report": leakage,
    "Modes": modes,
    "DMDResult": bagged,
    "DMDResult of windows": windowed,
    "EDMD": edmd,
    "ConservedQuantities": laws,
    "DynamicalSimilarity": similar,
    "SpectraComparison": compared,
    "PointProcess": point_process,
    "PointProcess of free filters": free_history,
    "Rescaling": rescaled,
    "SequentialAutoencoder": autoencoder,
    "SmoothedRates": smoothed_rates,
    "Timescales": timescales,
    "Timescales of a population": pooled_timescales,
    "PoissonDynamics": poisson_dynamics,
    "PopulationScore of co-smoothing": co_smoothed,
    "PopulationScore of few shots": few_shots,
    "PopulationScore of PSTHs": matched_psths,
    "BacterialGenes": gene_finder,
    "Genes": genes,
    "GeneStructure": structure_model,
    "SplicedGenes": spliced_genes,
    "SpliceSites": splice_sites,
    "SplicePairing": splice_pairs,
    "MutationModel": mutation_model,
    "StabilityModel": stability,
    "PolicyResult": policy,
    "BeliefReadout": belief_readout,
    "HiddenReadout": hidden_readout,
    "ContinualResult": continual,
    "MemoryTable": memory_table,
}
#: Plain tables, printed by `parameters_table`: name -> what makes one.
TABLES = {
    "quanta": quanta,
    "pooled sessions": pooled,
    "shared kinetics": shared,
    "bootstrapped": bootstrapped,
    "movement scores": movement,
    "place errors": places,
    "bit rate": bits,
    "target scores": targets,
    "closed-loop scores": closed_loop,
    "neuron dropping": dropping,
    "cross scores": crossed,
    "mutations": mutated,
    "variants": variants,
}
#: What reports without a table of parameters.
COUNTED = {"Stream": stream}
RESULTS = {**REPORTED, **TABLES, **COUNTED}


def takes(name, setting):
    """Whether a kind of result has a level, or a clock."""
    return setting in inspect.signature(RESULTS[name]).parameters


@cache
def result_of(name, **settings):
    """One result, made once in a process. Nobody changes it."""
    with warnings.catch_warnings():
        # Some are to end badly; their status says it.
        warnings.simplefilter("ignore")
        return RESULTS[name](**settings)


def table_of(result):
    """Its table of parameters: values, each beside its interval; None where it has none."""
    if isinstance(result, xr.Dataset):
        return result
    for name in ("scores_", "parameters_", "parameters"):
        found = getattr(result, name, None)
        if found is not None:
            return found
    return None


def quantities(table):
    """Names of the values that have an interval beside them."""
    return [] if table is None else [str(n) for n in table if f"{n}_ci" in table]
