"""Decoders on the clock: one step beside other ways to take it, memory, fits, stream and batch."""

import time
import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np
import torch

import neurornn as nr
from neurornn.data.samples import history
from tests.benchmarks.decoding import TRAIN, contdata

COLUMNS = ["ours", "peer", "peer / ours", "gate"]
N_UNITS, N_HIDDEN = 200, 128
#: Steps in a round, rounds of all in turn.
N_STEPS, N_ROUNDS = 2000, 15
LONG, VERY_LONG = 100_000, 1_000_000


def simulated(
    n_bins: int, n_units: int = N_UNITS, mean: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Counts of units tuned to a smooth velocity, about `mean` spikes per bin; and that."""
    rng = np.random.default_rng(0)
    velocity = np.zeros((n_bins, 2))
    shocks = rng.normal(size=velocity.shape)
    for t in range(1, n_bins):
        velocity[t] = 0.95 * velocity[t - 1] + 0.31 * shocks[t]
    weights = 0.4 * rng.normal(size=(2, n_units))
    return rng.poisson(mean * np.exp(velocity @ weights - 0.1)).astype(float), velocity


def _interleaved(*steps: Callable[[int], object]) -> list[np.ndarray]:
    """Median time of one step of each, s, in every round; all take turns."""
    times: list[list[float]] = [[] for _ in steps]
    clock = time.perf_counter
    for _ in range(N_ROUNDS):
        for step, found in zip(steps, times, strict=True):
            taken = np.empty(N_STEPS)
            for t in range(N_STEPS):
                begin = clock()
                step(t)
                taken[t] = clock() - begin
            found.append(float(np.median(taken)))
    return [np.array(t) for t in times]


def _row(name: str, ours: np.ndarray, peer: np.ndarray, gate: str) -> list[str]:
    ratio = np.median(peer / ours)
    return [
        name, f"{1e6 * np.median(ours):.1f} us", f"{1e6 * np.median(peer):.1f} us",
        f"{ratio:.2f}", gate,
    ]  # fmt: skip


def step_rows() -> Iterator[list[str]]:
    """A bin through the whole stream, preparation and watch included, beside bare steps."""
    for mean in (1.0, 0.2):
        yield from _gru_rows(mean)
    yield from _kalman_rows()


def _gru_rows(mean: float) -> Iterator[list[str]]:
    counts, velocity = simulated(N_STEPS, mean=mean)
    decoder = nr.decode.RecurrentDecoder(
        "gru", bin_size=0.05, n_hidden=N_HIDDEN, n_seeds=1, max_epochs=1
    ).fit(counts, velocity)
    stream, out = decoder.stream(), np.zeros(2)
    cell, read = torch.nn.GRUCell(N_UNITS, N_HIDDEN), torch.nn.Linear(N_HIDDEN, 2)
    features = counts.astype(np.float32)
    as_torch = torch.from_numpy(features)[:, None]
    state = {"torch": torch.zeros(1, N_HIDDEN), "numpy": np.zeros(N_HIDDEN, np.float32)}
    w = [p.detach().numpy().T.copy() for p in (cell.weight_ih, cell.weight_hh, read.weight)]
    b = [p.detach().numpy().copy() for p in (cell.bias_ih, cell.bias_hh, read.bias)]

    def by_torch(t: int) -> object:
        with torch.inference_mode():
            state["torch"] = cell(as_torch[t], state["torch"])
            return read(state["torch"])

    def by_numpy(t: int) -> object:
        h, n = state["numpy"], N_HIDDEN
        fed, back = features[t] @ w[0] + b[0], h @ w[1] + b[1]
        gates = 1 / (1 + np.exp(-(fed[: 2 * n] + back[: 2 * n])))
        new = np.tanh(fed[2 * n :] + gates[:n] * back[2 * n :])
        state["numpy"] = new + gates[n:] * (h - new)
        return state["numpy"] @ w[2] + b[2]

    ours, eager, plain = _interleaved(lambda t: stream.step(counts[t], out), by_torch, by_numpy)
    size = f"GRU-{N_HIDDEN}, {N_UNITS} units, {mean:g} spikes a bin"
    yield _row(f"{size}: stream, torch GRUCell eager", ours, eager, ">= 2 (goal 4)")
    yield _row(f"{size}: stream, plain numpy", ours, plain, ">= 1 (goal 2)")


def _matrices(decoder) -> tuple[np.ndarray, ...]:
    return decoder.transition_, decoder.process_, decoder.observation_, decoder.noise_


def _kalman_rows() -> Iterator[list[str]]:
    counts, velocity = simulated(N_STEPS + 2000)
    decoder = nr.decode.KalmanFilter(0.05, lag=0, power=1.0).fit(counts[:2000], velocity[:2000])
    stream, out = decoder.stream(), np.zeros(2)
    arrays, preparation = decoder._machine.arrays, decoder._preparation
    test = counts[2000:]
    z = (test - preparation.arrays["centre"]) / preparation.arrays["scale"]
    a, q, h, r = _matrices(decoder)
    k, b, z = len(a), decoder.offset_, z - decoder.baseline_
    r_inverse = np.linalg.inv(r)
    evidence, information = h.T @ r_inverse, h.T @ r_inverse @ h
    book = {"x": arrays["first_mean"].copy(), "p": arrays["first_covariance"].copy()}
    informed = {name: values.copy() for name, values in book.items()}

    def textbook(t: int) -> object:
        x, p = a @ book["x"] + b, a @ book["p"] @ a.T + q
        gain = p @ h.T @ np.linalg.inv(h @ p @ h.T + r)
        book["x"] = x + gain @ (z[t] - h @ x)
        book["p"] = (np.eye(k) - gain @ h) @ p
        return book["x"]

    def information_form(t: int) -> object:
        x, p = a @ informed["x"] + b, a @ informed["p"] @ a.T + q
        informed["p"] = np.linalg.inv(np.linalg.inv(p) + information)
        informed["x"] = x + informed["p"] @ (evidence @ z[t] - information @ x)
        return informed["x"]

    for t in range(100):
        mine = stream.step(test[t])
        theirs = arrays["read"] @ textbook(t) + arrays["bias"]
        information_form(t)
    apart = np.abs(mine - theirs).max() / np.abs(theirs).max()
    ours, slow, fast = _interleaved(
        lambda t: stream.step(test[t], out), textbook, information_form
    )
    name = f"Kalman, {N_UNITS} units"
    yield _row(f"{name}: stream, textbook update", ours, slow, ">= 50")
    yield _row(f"{name}: stream, information form in numpy", ours, fast, ">= 3")
    yield [f"{name}: after 100 steps apart from the textbook", f"{apart:.1e}", "", "", "the same"]


def decoders(counts: np.ndarray, velocity: np.ndarray) -> dict[str, object]:
    """One fitted decoder of every kind."""
    d, quick = nr.decode, {"n_hidden": 32, "n_seeds": 2, "max_epochs": 1}
    label = _labels(velocity)
    found = {
        "Wiener filter": d.WienerFilter(0.05), "ridge": d.RidgeDecoder(0.05, power=1.0),
        "Wiener cascade": d.WienerCascade(0.05, power=1.0),
        "Kalman": d.KalmanFilter(0.05, power=1.0),
        "Kalman, stacked": d.KalmanFilter(0.05, power=1.0, n_lags=4),
        "place": d.PlaceDecoder(0.05),
        "GRU": d.RecurrentDecoder("gru", bin_size=0.05, **quick),
        "LSTM": d.RecurrentDecoder("lstm", bin_size=0.05, **quick),
        "leaky": d.RecurrentDecoder("leaky", bin_size=0.05, **quick),
    }  # fmt: skip
    labelled = {
        "target": d.TargetDecoder(0.05),
        "GRU of labels": d.RecurrentClassifier("gru", bin_size=0.05, **quick),
    }
    fitted = {name: one.fit(counts, velocity) for name, one in found.items()}
    return fitted | {name: one.fit(counts, label) for name, one in labelled.items()}


BATCH_COLUMNS = ["stream - predict", "without the watch: stream - plain numpy", "gate"]


def batch_rows() -> Iterator[list[str]]:
    """Stream against the prediction of the whole, and against a computation of its own.

    The second is of the same weights by plain numpy in double precision, relative to the largest
    output; it knows no watch over the units.
    """
    counts, velocity = simulated(LONG, n_units=40)
    for name, decoder in decoders(counts[:4000], velocity[:4000]).items():
        apart = np.abs(decoder.stream().run(counts) - _whole(decoder, counts)).max()
        decoder.set_params(monitor_units=False)
        label = decoder.classes_[0] if hasattr(decoder, "classes_") else None
        targets = velocity[:4000] if label is None else _labels(velocity[:4000])
        out = decoder.fit(counts[:4000], targets).stream().run(counts)
        other = _in_batch(decoder, counts)
        far = np.abs(out - other).max() / np.abs(other).max()
        same = "bit for bit" if apart == 0 else f"{apart:.1e}"
        yield [name, same, f"{far:.1e}", "1e-6 (goal bit for bit)"]


def _whole(decoder, counts: np.ndarray) -> np.ndarray:
    labelled = hasattr(decoder, "classes_")
    return decoder.predict_proba(counts) if labelled else decoder.predict(counts)


def _labels(velocity: np.ndarray) -> np.ndarray:
    return np.where(velocity[:, 0] > 0.5, "right", np.where(velocity[:, 0] < -0.5, "left", "no"))


def _in_batch(decoder, counts: np.ndarray) -> np.ndarray:
    """Return the outputs of a decoder from its arrays by plain numpy."""
    machine, prepared = decoder._machine, decoder._preparation
    a = machine.arrays
    z = (counts ** prepared.settings["power"] - prepared.arrays["centre"]) / prepared.arrays[
        "scale"
    ]
    # A feature beyond what training knew is cut; to a likelihood its count is not recorded.
    absurd = np.abs(z) > prepared.arrays["limits"][3]
    z = np.clip(z, -prepared.arrays["limits"][3], prepared.arrays["limits"][3])
    if machine.kind in ("network", "chances"):
        out = _networks(a, machine.settings, z - a["origin"])
        if machine.kind == "network":
            return out
        return np.exp(out) / np.exp(out).sum(axis=1, keepdims=True)
    if machine.kind == "posterior":
        return _posterior(a, machine.settings, counts, ~absurd)
    n_out = len(a["transition"]) if machine.kind == "kalman" else machine.n_outputs
    n_lags = len(a["weights"]) // n_out
    by_lag = a["weights"].reshape(n_lags, n_out, -1).transpose(0, 2, 1)[::-1]
    u = history(z, n_lags) @ by_lag.reshape(-1, n_out)
    if machine.kind == "linear":
        u = u + a["bias"]
        if not a["coefficients"].size:
            return u
        u = np.clip(u, *a["bounds"]) / a["size"]
        return np.prod(u[:, None] ** a["exponents"], axis=2) @ a["coefficients"].T
    return _kalman(a, decoder, u)


def _kalman(a: dict, decoder, evidence: np.ndarray) -> np.ndarray:
    """In covariance form; bins before the first whole history carry no information."""
    x, p, out = a["first_mean"], a["first_covariance"], np.empty((len(evidence), 2))
    lag = decoder.chosen_["lag"]
    for t, seen in enumerate(evidence):
        x, ahead = a["transition"] @ x + a["offset"], a["transition"] @ p @ a["transition"].T
        ahead = ahead + a["process"]
        info = a["information"] if t >= lag else 0 * a["information"]
        if t < 1000:
            p = np.linalg.inv(np.linalg.inv(ahead) + info)
        told = seen - a["baseline"] if t >= lag else 0 * seen
        x = x + p @ (told - info @ x)
        out[t] = a["read"] @ x + a["bias"]
    return out


def _posterior(a: dict, settings: dict, counts: np.ndarray, known: np.ndarray) -> np.ndarray:
    n, jump = len(a["prior"]), settings["jump"]
    moves = np.zeros((n, n))
    for k in range(n):
        near = slice(a["starts"][k], a["starts"][k + 1])
        moves[k, a["sources"][near]] = a["chances"][near]
    likely = (counts * known) @ a["log_rates"] - known @ a["expected"]
    p, out = a["prior"], np.empty((len(counts), a["values"].shape[1]))
    for t, row in enumerate(likely):
        p = ((1 - jump) * moves @ p + jump / n) * np.exp(row - row.max())
        p = p / p.sum()
        out[t] = p @ a["values"]
    return out


def _networks(a: dict, settings: dict, x: np.ndarray) -> np.ndarray:
    def sigmoid(v: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-v))

    n_members, n_out, n = a["out_weight"].shape
    cell, out = settings["cell"], np.zeros((len(x), n_out))
    for m in range(n_members):
        w_in, w = (a[k][m].astype(float) for k in ("input_weight", "hidden_weight"))
        bias = a["input_bias" if cell == "gru" else "bias"][m].astype(float)
        fed, h, c = x @ w_in + bias, np.zeros(n), np.zeros(n)
        width = w.shape[1] // {"gru": 3, "lstm": 4, "leaky": 1}[cell]
        gate = [slice(k * width, k * width + n) for k in range(4)]
        for t, drive in enumerate(fed):
            if cell == "gru":
                back = h @ w + a["hidden_bias"][m]
                r, keep = (sigmoid(drive[g] + back[g]) for g in gate[:2])
                new = np.tanh(drive[gate[2]] + r * back[gate[2]])
                h = new + keep * (h - new)
            elif cell == "lstm":
                v = drive + h @ w
                c = sigmoid(v[gate[1]]) * c + sigmoid(v[gate[0]]) * np.tanh(v[gate[2]])
                h = sigmoid(v[gate[3]]) * np.tanh(c)
            else:
                h = h + a["alpha"][m] * (np.tanh((drive + h @ w)[:n]) - h)
            out[t] += a["out_weight"][m] @ h + a["out_bias"][m]
    return out / (n_members // settings["n_own"])


HEAP_COLUMNS = ["growth of the heap", "gate"]


def heap_rows() -> Iterator[list[str]]:
    """What a million steps leave behind."""
    counts, velocity = simulated(4000)
    d = nr.decode
    for name, decoder in (
        ("GRU", d.RecurrentDecoder("gru", bin_size=0.05, n_hidden=16, n_seeds=1, max_epochs=1)),
        ("Kalman", d.KalmanFilter(0.05, power=1.0)),
        ("ridge", d.RidgeDecoder(0.05, power=1.0)),
    ):
        stream, out = decoder.fit(counts, velocity).stream(), np.zeros(2)
        rows = list(counts)
        # Held in an array: an integer kept from the first reading would itself be growth.
        held = np.zeros(2, np.int64)
        tracemalloc.start()
        for k, n_steps in enumerate((4000, VERY_LONG)):
            for t in range(n_steps):
                stream.step(rows[t % 4000], out)
            held[k] = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        yield [f"{name}, {VERY_LONG} steps", f"{held[1] - held[0]} bytes", "0 bytes"]


FIT_COLUMNS = ["seconds", "plain torch loop, seconds", "ours / torch", "gate"]
FIT_EPOCHS, FIT_ROUNDS = 4, 3


def fit_rows() -> Iterator[list[str]]:
    """Fits of contdata95, one thread; the recurrent one beside torch's GRU in a plain loop."""
    counts, velocity, trial, direction = contdata()
    cut = int(TRAIN * len(counts))
    counts, velocity = counts[:cut], velocity[:cut]
    d = nr.decode
    ours, peer = [], []
    for k in range(FIT_ROUNDS):
        decoder = d.RecurrentDecoder("gru", bin_size=0.1, n_seeds=1, max_epochs=FIT_EPOCHS, rng=k)
        begin = time.perf_counter()
        decoder.fit(counts, velocity)
        ours.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        _plain_loop(counts, velocity, decoder.n_hidden, decoder.window)
        peer.append(time.perf_counter() - begin)
    ratio = np.median(np.array(ours) / np.array(peer))
    yield [
        f"GRU-200, one seed, {FIT_EPOCHS} epochs", f"{np.median(ours):.1f}",
        f"{np.median(peer):.1f}", f"{ratio:.2f}", "<= .7 (goal .4)",
    ]  # fmt: skip
    for name, decoder in (
        ("Wiener filter", d.WienerFilter(0.1)), ("ridge", d.RidgeDecoder(0.1)),
        ("Wiener cascade", d.WienerCascade(0.1, n_lags=15)), ("Kalman", d.KalmanFilter(0.1)),
        ("Kalman, stacked lags", d.KalmanFilter(0.1, n_lags=12)),
        ("place", d.PlaceDecoder(0.1)), ("target", d.TargetDecoder(0.1)),
    ):  # fmt: skip
        targets = direction[trial[:cut]] if name == "target" else velocity
        begin = time.perf_counter()
        decoder.fit(counts, targets)
        yield [name, f"{time.perf_counter() - begin:.1f}", "", "", "< 30 s"]


def _plain_loop(counts: np.ndarray, velocity: np.ndarray, n_hidden: int, window: int) -> None:
    """Train torch's GRU as a script would: the same windows, batches and epochs."""
    torch.manual_seed(0)
    z = np.sqrt(counts)
    z = torch.from_numpy(((z - z.mean(0)) / z.std(0)).astype(np.float32))
    y = torch.from_numpy(((velocity - velocity.mean(0)) / velocity.std(0)).astype(np.float32))
    warm = window // 5
    begins = torch.arange(0, len(z) - window, window - warm)
    # As many windows as the decoder trains on: a tenth of its bins is held out.
    begins = begins[: int(0.9 * len(begins))]
    x = torch.stack([z[b : b + window] for b in begins])
    target = torch.stack([y[b : b + window] for b in begins])
    gru = torch.nn.GRU(z.shape[1], n_hidden, batch_first=True)
    read, drop = torch.nn.Linear(n_hidden, 2), torch.nn.Dropout(0.3)
    weights = [*gru.parameters(), *read.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=3e-3)
    for _ in range(FIT_EPOCHS):
        for rows in torch.randperm(len(x)).split(8):
            guess = read(drop(gru(x[rows])[0]))
            loss = torch.nn.functional.mse_loss(guess[:, warm:], target[rows][:, warm:])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
