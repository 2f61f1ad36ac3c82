"""Scores of populations beside nlb_tools.

*Definitions*: a Lorenz population (30 units, 10 Hz mean, sd of the log rate .8, bins of 10 ms, 400
trials of 1 s, stream 26), `SmoothedRates` fitted on the first 320. The last 80 are scored by this
package from the model and by nlb_tools 0.0.4 from the same arrays: co-smoothing of the last ten
units, forward prediction of the last .2 s, PSTH R2 over four conditions without smoothing. Gate:
1e-10. Where nlb_tools is not installed its formulas are written down again. It pins old versions
of what it does not need for scoring, and brings a package named tests: ``pip install --no-deps
--target DIR nlb_tools``, remove ``DIR/tests``, and set ``PYTHONPATH=DIR``.

*Few shots*: spikes of the 3-bit flip-flop network (40 units, 160 trials of 3 s, bins of 20 ms,
stream 32, five seeds), `PoissonDynamics` of three latents and of eight, fitted on the first 100
trials; ten units of the last 60 are told from the others. Read-outs are learned from 4 and from 8
trials. Told apart: the intervals (95 %) at 4 trials do not touch.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.special import gammaln
from sklearn.metrics import r2_score

import neurornn as nr

FEW_COLUMNS = [
    "co-smoothing: 3 latents", "8 latents", "4 trials: 3 latents", "8 latents",
    "8 trials: 3 latents", "8 latents", "told apart",
]  # fmt: skip
COLUMNS = ["ours", "peer", "difference", "interval (95 %)", "peer is"]


def rows() -> Iterator[list[str]]:
    """One row a score."""
    draw = np.random.default_rng([0, 26])
    rec = nr.simulate.simulate_lorenz_population(rng=draw)
    counts = rec["counts"]
    train, test = counts[:320], counts[320:]
    held_out = counts["unit"].values[20:]
    model = nr.spikes.SmoothedRates().fit(train)
    bits, eval_psth, peer = _peer()
    seen = test.values.astype(float)

    found = nr.spikes.co_smoothing(model, test, None, held_out)
    told = model.rates(test.astype(float).where(test["unit"] < 20)).values[..., 20:]
    yield _row("co-smoothing, bits per spike", found, "bits_per_spike",
               bits(0.01 * told, seen[..., 20:].copy()), peer)  # fmt: skip

    ahead = nr.spikes.forward_prediction(model, test, 0.2)
    hidden = test.astype(float)
    hidden[:, 80:] = np.nan
    told = model.rates(hidden).values[:, 80:]
    yield _row("forward prediction, bits per spike", ahead, "bits_per_spike",
               bits(0.01 * told, seen[:, 80:].copy()), peer)  # fmt: skip

    label = np.arange(80) % 4
    rates = model.rates(test)
    match = nr.spikes.psth_r2(rates, test, label, smoothing=0.0)
    groups = [np.flatnonzero(label == k) for k in range(4)]
    psths = np.stack([seen[g].mean(axis=0) for g in groups])
    yield _row("PSTH R2", match, "psth_r2", eval_psth(psths, 0.01 * rates.values, groups), peer)


def _row(name: str, ours: Any, quantity: str, theirs: float, peer: str) -> list[str]:
    value = float(ours.parameters[quantity])
    low, high = ours.parameters[f"{quantity}_ci"].values
    return [
        name, f"{value:.12f}", f"{theirs:.12f}", f"{abs(value - theirs):.1e}",
        f"{low:.3f} to {high:.3f}", peer,
    ]  # fmt: skip


def _peer() -> tuple[Any, Any, str]:
    """Bits per spike, match to PSTHs, and whose they are."""
    try:
        from nlb_tools.evaluation import bits_per_spike, eval_psth
    except ImportError:
        return _bits, _psth, "written down again"
    return bits_per_spike, eval_psth, "nlb_tools"


def _bits(rates: np.ndarray, counts: np.ndarray) -> float:
    null = np.broadcast_to(counts.mean(axis=(0, 1)), counts.shape)
    lost = [float(np.sum(r - counts * np.log(r) + gammaln(counts + 1))) for r in (rates, null)]
    return float((lost[1] - lost[0]) / counts.sum() / np.log(2))


def _psth(psth: np.ndarray, rates: np.ndarray, groups: list[np.ndarray]) -> float:
    return float(
        r2_score(np.vstack(list(psth)), np.vstack([rates[g].mean(axis=0) for g in groups]))
    )


def few_shot_rows() -> Iterator[list[str]]:
    """Right size and too many latents on the spikes of a flip-flop network, five seeds."""
    for seed in range(5):
        draw = np.random.default_rng([seed, 32])
        counts = nr.simulate.simulate_flip_flop_spikes(
            40, 3.0, n_trials=160, bin_size=0.02, rng=draw
        )["counts"]  # fmt: skip
        train, test = counts[:100], counts[100:]
        held_out = counts["unit"].values[30:]
        found = {}
        for n in (3, 8):
            model = nr.spikes.PoissonDynamics(n, rotations=False, intervals=False).fit(train)
            plain = nr.spikes.co_smoothing(model, test, None, held_out)
            few = nr.spikes.few_shot_co_smoothing(model, test, None, held_out, n_shots=(4, 8))
            found[n] = float(plain.bits_per_spike), few.bits_per_spike, few.parameters
        right, many = found[3], found[8]
        ends = (p["bits_per_spike_ci"].values[0] for p in (right[2], many[2]))
        (low, _), (_, high) = ends
        yield [
            f"seed {seed}", f"{right[0]:.3f}", f"{many[0]:.3f}", f"{right[1][0]:.3f}",
            f"{many[1][0]:.3f}", f"{right[1][1]:.3f}", f"{many[1][1]:.3f}",
            "yes" if low > high else "no",
        ]  # fmt: skip
