"""Gates of the foundation: the seeds' own example, with spikes given and without."""

from collections.abc import Iterator

import numpy as np

import neurornn as nr
from neurornn._core.confidence import binomial_interval
from tests.benchmarks.settings import RATES, SAMPLING_RATE, SEEDS, SNRS, TAU, one_cell


def summary(errors, covered, widths, n_ok, n) -> list[str]:
    """Scores of one row, yield and width beside them; what is not ok counts as a miss."""
    low, high = binomial_interval(int(np.sum(covered)), n)
    return [
        f"{100 * n_ok / n:.0f}",
        f"{100 * np.median(np.abs(errors)):.2f}",
        f"{100 * np.median(errors):+.2f}",
        f"{np.sum(covered) / n:.3f} [{low:.2f}, {high:.2f}]",
        f"{100 * np.nanmedian(widths):.1f}",
    ]


COLUMNS = ["yield %", "median error %", "bias %", "coverage", "width %"]


def spikes_given(seeds=SEEDS) -> Iterator[list[str]]:
    """Rows of the one-unit linear LeakyRNN that is told the spikes."""
    pooled: list[tuple[float, bool, float, bool]] = []
    correlations = []
    for rate in RATES:
        for snr in SNRS:
            rows = []
            for seed in seeds:
                recording = one_cell(seed, rate=rate, snr=snr)
                windows = nr.data.windows(recording, inputs="spikes", targets="dff", duration=20.0)
                model = nr.models.LeakyRNN(
                    n_input=1,
                    n_hidden=1,
                    n_output=1,
                    nonlinearity="linear",
                    dt=1 / SAMPLING_RATE,
                    tau=1.0,
                )
                result = nr.fit(model, windows, rng=0)
                tau = float(result.parameters["tau"][0])
                low, high = result.parameters["tau_ci"].values[0]
                ok = str(result.status) == "ok" and bool(np.isfinite(low))
                rows.append((tau / TAU - 1, low <= TAU <= high, (high - low) / TAU, ok))
                memory = float(result.parameters["memory"][0])
                weight = float(result.parameters["weight"][0])
                assert abs(memory * weight ** (memory) - memory * np.exp(-1)) < 1e-3
                whole = nr.data.windows(
                    recording, inputs="spikes", targets="calcium", duration=300.0, warmup=5.0
                )
                states = result.model(whole["inputs"]).states.detach().numpy()[0, :, 0]
                seen = whole["mask"].values[0, :, 0]
                true = whole["targets"].values[0, :, 0]
                correlations.append(abs(np.corrcoef(states[seen], true[seen])[0, 1]))
            pooled += rows
            e, c, w, ok = map(np.array, zip(*rows, strict=True))
            yield [f"{rate:g} Hz, SNR {snr:g}", *summary(e, c & ok, w, ok.sum(), len(rows))]
    e, c, w, ok = map(np.array, zip(*pooled, strict=True))
    yield ["all", *summary(e, c & ok, w, ok.sum(), len(pooled))]
    yield [
        f"hidden state against true calcium: least correlation of {len(correlations)} "
        f"{min(correlations):.4f}",
        *[""] * len(COLUMNS),
    ]
    start = abs(1.0 / TAU - 1)
    yield [
        f"trivial baseline: the start value 1 s, error {100 * start:.0f} %",
        *[""] * len(COLUMNS),
    ]


def spikes_unknown(seeds=SEEDS) -> Iterator[list[str]]:
    """Rows of Kinetics, and of the LeakyRNN that is given the events Kinetics found."""
    pooled: list[tuple[float, bool, float, bool]] = []
    differences, literature = [], []
    for rate in RATES:
        for snr in SNRS:
            rows = []
            for seed in seeds:
                recording = one_cell(seed, rate=rate, snr=snr)
                kinetics = nr.calcium.Kinetics().fit(recording["dff"])
                tau = float(kinetics.parameters_["tau_decay"][0])
                low, high = kinetics.parameters_["tau_decay_ci"].values[0]
                ok = str(kinetics.status_.values[0]) == "ok"
                rows.append((tau / TAU - 1, low <= TAU <= high, (high - low) / TAU, ok))
                literature.append(_autocovariance(recording))
                if seed < 10:
                    differences.append(rnn_on_events(recording, kinetics) / tau - 1)
            pooled += rows
            e, c, w, ok = map(np.array, zip(*rows, strict=True))
            yield [f"{rate:g} Hz, SNR {snr:g}", *summary(e, c & ok, w, ok.sum(), len(rows))]
    e, c, w, ok = map(np.array, zip(*pooled, strict=True))
    yield ["all", *summary(e, c & ok, w, ok.sum(), len(pooled))]
    yield [
        "LeakyRNN given the events, against Kinetics: median difference of "
        f"{len(differences)} {100 * np.median(np.abs(differences)):.2f} %",
        *[""] * len(COLUMNS),
    ]
    yield [
        "trivial baseline: slope of the autocovariance, median error "
        f"{100 * np.median(np.abs(literature)):.1f} %",
        *[""] * len(COLUMNS),
    ]


def rnn_on_events(recording, kinetics) -> float:
    """Tau (s) of a one-unit linear network whose input is the events with their sizes."""
    frames = np.zeros((recording.sizes["time"], 1))
    tau = float(kinetics.parameters_["tau_decay"][0])
    # Sizes stand for the middle of a frame; the network adds them at its end.
    frames[kinetics.events_["event_frame"].values, 0] = kinetics.events_[
        "event_size"
    ].values * np.exp(-0.5 / SAMPLING_RATE / tau)
    recording = recording.assign(
        events=(("time", "unit"), frames, {"sampling_rate": SAMPLING_RATE}),
        flat=recording["dff"] - kinetics.baseline_.values,
    )
    recording["flat"].attrs["sampling_rate"] = SAMPLING_RATE
    windows = nr.data.windows(recording, inputs="events", targets="flat", duration=20.0)
    model = nr.models.LeakyRNN(1, 1, 1, nonlinearity="linear", dt=1 / SAMPLING_RATE, tau=1.0)
    return float(nr.fit(model, windows, rng=0).parameters["tau"][0])


def _autocovariance(recording) -> float:
    from neurornn.calcium.alternation import first_tau
    from neurornn.calcium.trace_model import Settings

    y = recording["dff"].values[:, 0]
    settings = Settings(1 / SAMPLING_RATE, 4.0, (0.005, 20.0), 60.0, 0.95)
    return first_tau(y, np.array([[0, len(y)]]), settings) / TAU - 1
