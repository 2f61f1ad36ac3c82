"""A wind turbine: power ahead, a twist that nobody measured, and the slowest oscillation.

Fixed before the method was written, and not changed since.

Recordings: `simulate_turbine(14400.0, 0.1, mean_wind=12.0)`, all else its defaults (turbulence
intensity 0.14, no measurement noise), rng 0 to 4: five recordings, one for each seed of the
networks. Blocks of 60, 15 and 25 % in the order of time, 60 s apart: to train, to choose by, to
test on. Windows of 120 s, of which 30 s are warm-up and not scored. Everybody sees wind, pitch and
rotor speed, in units of their sd in the training part; power is what is foretold, 1 and 10 s
ahead, and nobody but persistence sees it.

Baselines: persistence; the power curve of industry, means of the power ahead in bins of 0.5 m/s of
the present wind; a perceptron of the present inputs (32 units), memoryless too; a linear state
space of 8 states; ridge regression on the last 1, 3 or 6 s, length and penalty by the validation
part; a Kalman filter that knows the plant, linearised at 10, 11, 12 or 13 m/s, with a process
noise for what is not linear, both by the validation part, and the wind as a process of first
order, its memory from the training part at a lag of 10 s: its own forecast with slope and offset
from the training part, and, as a second row, a ridge regression on its state.

Error: root mean square over the scored frames of the test part. "Better" is the mean over seeds of
the difference to the network, over the sd of that difference: the gate is 2.

Twist of the shaft: `compare.hidden_variable`, on the test windows of each seed.

Slowest oscillation: that of the speed loop, at 13 m/s; of the plant from its linearised
equations. The torsion of the shaft, at 1.8 Hz, is faster and stands beside. Of a network: mean of
five, interval of Hartung and Knapp on the logarithms.

The network: a leaky RNN of 64 units that foretells power 1 and 10 s ahead and the change of pitch
and rotor speed over the next frame. With these fed back, in a constant wind, it is a plant of its
own; pushed a hundredth of an sd from its rest, it swings as linearised there. Its slowest
oscillation is the one with most energy (amplitude squared times time constant) of `fit_modes` on
that decay. Size, weights of the targets, epochs and decay of weights were chosen on validation
parts of recordings with rng 100 to 102.
"""

import time
import warnings

import numpy as np
import torch
from scipy.linalg import expm

import neurornn as nr
from neurornn._core.confidence import random_effects
from neurornn._kernels.filtering import kalman_gain, kalman_mean
from neurornn.data.moments import Histories, lagged_moments, ridge_weights

SEEDS = (0, 1, 2, 3, 4)
DURATION, DT, MEAN_WIND, OPERATING = 14400.0, 0.1, 12.0, 13.0
FRACTIONS, GAP, WINDOW, WARMUP = (0.6, 0.15, 0.25), 60.0, 120.0, 30.0
INPUTS, AHEAD = ("wind", "pitch", "rotor_speed"), (1.0, 10.0)
LAGS, PENALTIES = (10, 30, 60), (1e-6, 1e-4, 1e-2, 1.0)
N_PERCEPTRON, N_LINEAR = 32, 8
N_HIDDEN, N_EPOCHS, BATCH, WEIGHT_DECAY = 64, 400, 4, 0.01
CHANGES = ("pitch", "rotor_speed")
#: What each target weighs, as a factor of its sd.
SCALES = {"power_1": 4.0, "power_10": 0.7, "d_pitch": 6.0, "d_rotor_speed": 6.0}
COLUMNS = ["who", "mean", "[95 %]", "seeds", "network better by, sd", "s a seed"]
PLANT_WINDS, PLANT_NOISE = (10.0, 11.0, 12.0, 13.0), (1e-10, 1e-6, 1e-4, 1e-2)


def recording(seed):
    """A recording in units of its training part's sd, with the power ahead beside."""
    raw = nr.simulate.simulate_turbine(DURATION, DT, mean_wind=MEAN_WIND, rng=seed)
    return scaled(raw)


def scaled(raw):
    """Inputs and power in units of their sd in the training part; power ahead, NaN at the end."""
    first = raw.isel(time=slice(0, round(FRACTIONS[0] * raw.sizes["time"])))
    table = raw[[*INPUTS, "power", "shaft_twist", "blade_twist"]].copy()
    for name in (*INPUTS, "power"):
        middle, sd = float(first[name].mean()), float(first[name].std())
        table[name] = (raw[name] - middle) / sd
        table[name].attrs = {"sampling_rate": 1 / DT, "middle": middle, "sd": sd}
    for s in AHEAD:
        later = table["power"].shift(time=-round(s / DT))
        later.attrs = {"sampling_rate": 1 / DT}
        table[f"power_{s:g}"] = later
    return table


def parts_of(table, targets):
    """Windows to train, to choose by and to test on."""
    return nr.data.windows(
        table, inputs=list(INPUTS), targets=list(targets), duration=WINDOW, warmup=WARMUP,
        fractions=FRACTIONS, gap=GAP,
    )  # fmt: skip


def flat(part):
    """Inputs (trial, time, input), targets and mask of windows as arrays."""
    return tuple(part[n].values for n in ("inputs", "targets", "mask"))


def rmse(part, guess):
    """Root mean square error of each target over scored frames."""
    _, y, mask = flat(part)
    return np.sqrt([np.mean((y - guess)[..., k][mask[..., k]] ** 2) for k in range(len(AHEAD))])


def persistence(parts):
    """The present power; it needs windows of the power itself."""
    return np.repeat(parts[2]["targets"].values[..., :1], len(AHEAD), axis=2)


def power_curve(parts, table):
    """Mean power ahead in bins of the wind."""
    (x, y, mask), (z, _, _) = flat(parts[0]), flat(parts[2])
    sd = table["wind"].attrs["sd"]
    level = table["wind"].attrs["middle"]
    bins = [np.round((v[..., 0] * sd + level) / 0.5).astype(int) for v in (x, z)]
    out = np.zeros((*z.shape[:2], len(AHEAD)))
    for k in range(len(AHEAD)):
        on = mask[..., k]
        size = np.bincount(bins[0][on], minlength=80)
        total = np.bincount(bins[0][on], y[..., k][on], minlength=80)
        seen = np.flatnonzero(size)
        # A wind that was never seen takes the nearest that was.
        out[..., k] = np.interp(bins[1], seen, total[seen] / size[seen])
    return out


def by_fit(model, parts, **settings):
    """Outputs of a model that `nr.fit` trained, on the test windows, and the fit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = nr.fit(
            model, parts[0], validation=parts[1], refine=False, intervals=False, optimizer="adam",
            **settings,
        )  # fmt: skip
    return found.predict(parts[2]).values, found


def ridge_on(parts, features, n_lags):
    """Ridge regression of the targets on lagged features, lists of (row, feature) by part."""
    best, moments, n_out = None, [], len(AHEAD)
    for part, given in zip(parts[:2], features[:2], strict=True):
        _, y, mask = flat(part)
        moments.append(
            lagged_moments(
                Histories(given, n_lags), y[..., :n_out].reshape(-1, n_out),
                mask[..., :n_out].all(axis=2).ravel(),
            )
        )  # fmt: skip
    for penalty in PENALTIES:
        weights = ridge_weights(moments[0], penalty)
        error = moments[1].squared_error(weights) / moments[1].n_rows
        if best is None or error < best[0]:
            best = (error, weights)
    rows = Histories(features[2], n_lags)
    n = sum(len(v) for v in features[2])
    out = np.empty((n, n_out))
    for at, h in rows.chunks(np.arange(n)):
        out[at] = h @ best[1]
    return best[0], out.reshape(*parts[2]["targets"].shape[:2], n_out)


def linear_history(parts):
    """Ridge regression on the last seconds of the inputs."""
    given = [list(flat(p)[0]) for p in parts]
    return min((ridge_on(parts, given, lags) for lags in LAGS), key=lambda f: f[0])[1]


class Plant:
    """The plant, linearised and in steps of a frame, with the wind as its last state."""

    def __init__(self, table, at_wind, noise):
        """Take the scales of a recording, a wind to linearise at, and variances per frame."""
        modes = nr.simulate.turbine_modes(at_wind)
        a, b = modes["state_matrix"].values, modes["wind_vector"].values
        wind = table["wind"].values[: round(FRACTIONS[0] * table.sizes["time"])]
        lag = round(AHEAD[1] / DT)
        memory = -AHEAD[1] / np.log(np.mean(wind[lag:] * wind[:-lag]) / np.mean(wind**2))
        n = len(a)
        whole = np.zeros((n + 1, n + 1))
        whole[:n, :n], whole[:n, n], whole[n, n] = a, b, -1 / memory
        self.step = expm(whole * DT)
        sd = table["wind"].attrs["sd"]
        # In parts of what each state is, or of 0.1 rad of the pitch, which may rest at 0.
        size = np.maximum(np.abs(modes["steady_state"].values), [0, 0, 0, 0, 0, 0, 0.1, 0.1])
        self.noise = np.diag(np.r_[noise * size**2, sd**2 * (1 - np.exp(-2 * DT / memory))])
        at = [modes["output"].values.tolist().index(v) for v in INPUTS[1:]]
        seen = np.zeros((3, n + 1))
        seen[0, n] = 1.0
        seen[1:, :n] = modes["output_matrix"].values[at]
        self.sd = np.array([table[v].attrs["sd"] for v in INPUTS])
        middle = np.array([table[v].attrs["middle"] for v in INPUTS])
        rest = np.r_[at_wind, modes["steady_output"].values[at]]
        self.shift = middle - rest
        error = (0.01 * self.sd) ** 2
        self.evidence = seen.T / error
        self.information = self.evidence @ seen
        self.covariance, _ = kalman_gain(self.step, self.noise, self.information, 1e-12)
        power = modes["output"].values.tolist().index("power")
        self.power = np.r_[modes["output_matrix"].values[power], 0.0]

    def states(self, inputs):
        """Filtered states (time, state) of one window of scaled inputs."""
        x, out = np.zeros(len(self.step)), np.empty((len(inputs), len(self.step)))
        work, none = np.empty((2, len(x))), np.zeros(len(x))
        for t, row in enumerate((inputs * self.sd + self.shift) @ self.evidence.T):
            kalman_mean(self.step, none, self.covariance, self.information, row, x, work)
            out[t] = x
        return out


def kalman(parts, table):
    """Two rows: the filter's own forecast, and a regression on its state."""
    found = []
    for wind in PLANT_WINDS:
        for noise in PLANT_NOISE:
            plant = Plant(table, wind, noise)
            states = [[plant.states(x) for x in flat(p)[0]] for p in parts]
            spread = np.concatenate(states[0]).std(axis=0) + 1e-12
            error, by_state = ridge_on(parts, [[s / spread for s in p] for p in states], 1)
            found.append((*_own_forecast(parts, plant, states), error, by_state))
    return min(found, key=lambda f: f[0])[1], min(found, key=lambda f: f[2])[3]


def _own_forecast(parts, plant, states):
    """Validation error of the filter's forecast, and the forecast on the test windows."""
    out, error = np.empty((*flat(parts[2])[1].shape[:2], len(AHEAD))), 0.0
    for k, s in enumerate(AHEAD):
        ahead = plant.power @ np.linalg.matrix_power(plant.step, round(s / DT))
        train, choose, test = (np.stack(p) @ ahead for p in states)
        on = flat(parts[0])[2][..., k]
        slope, level = np.polyfit(train[on], flat(parts[0])[1][..., k][on], 1)
        _, y, mask = flat(parts[1])
        error += np.mean((slope * choose + level - y[..., k])[mask[..., k]] ** 2)
        out[..., k] = slope * test + level
    return error, out


def baselines(table, seed):
    """Errors of everybody but the network, {name: (1 s, 10 s)}, in kW."""
    names = [f"power_{s:g}" for s in AHEAD]
    parts = parts_of(table, names)
    perceptron = nr.models.MemorylessMLP(3, 2, dt=DT, n_hidden=N_PERCEPTRON, rng=seed)
    linear = nr.models.LinearStateSpace(3, N_LINEAR, 2, dt=DT, rng=seed)
    with_power = parts_of(table, ["power"])
    own, by_state = kalman(parts, table)
    guesses = {
        "persistence": persistence(with_power),
        "power curve": power_curve(parts, table),
        "perceptron of the present": by_fit(perceptron, parts, max_epochs=150, rng=seed)[0],
        "linear state space": by_fit(linear, parts, max_epochs=60, rng=seed)[0],
        "linear history": linear_history(parts),
        "Kalman filter of the plant": own,
        "regression on its state": by_state,
    }
    sd = table["power"].attrs["sd"] / 1e3
    return {name: rmse(parts[2], guess) * sd for name, guess in guesses.items()}


class Fitted:
    """A network that was trained on one recording, its windows, and its time."""

    def __init__(self, table, seed):
        """Train it."""
        begin = time.process_time()
        table = table.copy()
        first = slice(0, round(FRACTIONS[0] * table.sizes["time"]))
        self.change = []
        for name in CHANGES:
            change = table[name].shift(time=-1) - table[name]
            table[f"d_{name}"] = change / float(change[first].std())
            self.change.append(float(change[first].std()) / SCALES[f"d_{name}"])
        for name, factor in SCALES.items():
            table[name] = factor * table[name]
            table[name].attrs = {"sampling_rate": 1 / DT}
        self.parts = parts_of(table, SCALES)
        self.wind = table["wind"].attrs
        model = nr.models.LeakyRNN(
            len(INPUTS), N_HIDDEN, len(SCALES), dt=DT, tau=0.3, tau_bounds=(0.02, 60.0), rng=seed
        )
        guess, self.result = by_fit(
            model, self.parts, max_epochs=N_EPOCHS, patience=N_EPOCHS, learning_rate=0.01,
            batch_size=BATCH, weight_decay=WEIGHT_DECAY, rng=seed,
        )  # fmt: skip
        self.guess = guess[..., : len(AHEAD)] / [SCALES[f"power_{s:g}"] for s in AHEAD]
        self.seconds = time.process_time() - begin

    def closed(self, wind):
        """Return a frame of network, pitch and rotor speed in a constant wind, m/s."""
        model, n = self.result.model.double(), N_HIDDEN
        change = torch.tensor(self.change, dtype=torch.float64)
        u = (wind - self.wind["middle"]) / self.wind["sd"]

        def step(z):
            seen = torch.cat([torch.full_like(z[:, :1], u), z[:, n:]], dim=1)[:, None]
            states, _ = model.scan(seen, z[:, :n])
            return torch.cat(
                [states[:, 0], z[:, n:] + change * model.read(states, seen)[:, 0, len(AHEAD) :]], 1
            )

        return step

    def modes(self, wind, n_rest=3000, n_steps=250, n_pushes=8):
        """Modes of the decay from small pushes, by `nr.koopman.fit_modes`."""
        step, n = self.closed(wind), N_HIDDEN
        push = 0.01 * np.random.default_rng(0).standard_normal((n_pushes, len(CHANGES)))
        with torch.no_grad():
            rest = torch.zeros(1, n + len(CHANGES), dtype=torch.float64)
            for _ in range(n_rest):
                rest = step(rest)
            z, runs = rest.repeat(n_pushes, 1), []
            z[:, n:] += torch.from_numpy(push)
            for _ in range(n_steps):
                z = step(z)
                runs.append((z[:, n:] - rest[:, n:]).numpy())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Half a second for what the push does to the network's own units.
            return nr.koopman.fit_modes(np.stack(runs, axis=1)[:, 5:], dt=DT).parameters_


def swing(modes, least, most):
    """Frequency, time constant and their variances on a log scale, of the strongest oscillation.

    Parameters
    ----------
    modes : table of `fit_modes`. least, most : Hz, between which it is looked for.
    """
    tau, frequency = modes["time_constant"].values, modes["frequency"].values
    energy = modes["amplitude"].values ** 2 * tau
    at = int(np.argmax(np.where((frequency > least) & (frequency < most), energy, -1.0)))
    values, variances = [], []
    for name in ("frequency", "time_constant"):
        values.append(float(modes[name][at]))
        low, high = np.log(np.maximum(modes[f"{name}_ci"].values[at], 1e-9))
        variances.append(np.nan_to_num(((high - low) / 3.92) ** 2, nan=1e-8) + 1e-8)
    return values, variances


def rows():
    """Power ahead, then the twist, then the oscillations."""
    errors, twists, found, seconds = [], [], [], []
    for seed in SEEDS:
        table = recording(seed)
        mine = Fitted(table, seed)
        kw = table["power"].attrs["sd"] / 1e3
        errors.append({"network": rmse_of(mine) * kw, **baselines(table, seed)})
        twists.append(
            nr.compare.hidden_variable(
                mine.result, mine.parts[2], table[["shaft_twist", "blade_twist"]].to_dataarray(),
                rng=seed,
            ).parameters
        )  # fmt: skip
        modes = mine.modes(OPERATING)
        found.append([swing(modes, 0.01, np.inf), swing(modes, 1.0, np.inf)])
        seconds.append(mine.seconds)
    for k, s in enumerate(AHEAD):
        own = np.array([e["network"][k] for e in errors])
        for name in errors[0]:
            each = np.array([e[name][k] for e in errors])
            apart = each - own
            better = "" if name == "network" else f"{apart.mean() / apart.std(ddof=1):.1f}"
            yield [
                f"error of the power {s:g} s ahead (kW)", name, f"{each.mean():.1f}", "",
                " ".join(f"{v:.1f}" for v in each), better,
                f"{np.mean(seconds):.0f}" if name == "network" else "",
            ]  # fmt: skip
    for variable in twists[0]["variable"].values:
        for source in twists[0]["source"].values:
            for name in ("linear_r2", "nonlinear_r2"):
                at = [t.sel(variable=variable, source=source) for t in twists]
                each = np.array([float(t[name]) for t in at])
                low, high = np.mean([t[f"{name}_ci"].values for t in at], axis=0)
                yield [
                    f"R2 of {variable}, {name.removesuffix('_r2')}", source, f"{each.mean():.3f}",
                    f"[{low:.3f}, {high:.3f}]", " ".join(f"{v:.3f}" for v in each), "", "",
                ]  # fmt: skip
    truth = nr.simulate.turbine_modes(OPERATING)
    for k, what in enumerate(("speed loop (slowest)", "torsion of the shaft")):
        for j, name in enumerate(("frequency", "time_constant")):
            each = np.array([f[k][0][j] for f in found])
            pooled = random_effects(np.log(each), [f[k][1][j] for f in found])
            exact = float(truth[name].values[k])
            mean, (low, high) = np.exp(pooled.mean), np.exp(pooled.ci)
            units = truth[name].attrs["units"]
            yield [
                f"{name.replace('_', ' ')} of the {what} ({units})",
                f"network; plant {exact:.4f}, off by {100 * (mean / exact - 1):+.1f} %",
                f"{mean:.4f}", f"[{low:.4f}, {high:.4f}]",
                " ".join(f"{v:.4f}" for v in each),
                "covers" if low <= exact <= high else "does not cover", "",
            ]  # fmt: skip


def rmse_of(mine):
    """Errors of the power of a fitted network, in parts of the training part's sd."""
    _, y, mask = flat(mine.parts[2])
    factors = [SCALES[f"power_{s:g}"] for s in AHEAD]
    return np.array(
        [
            np.sqrt(np.mean((y[..., k] / f - mine.guess[..., k])[mask[..., k]] ** 2))
            for k, f in enumerate(factors)
        ]
    )
