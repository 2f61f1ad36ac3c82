"""Saturation mutagenesis of one window: each pass alone beside the best batched naive pass.

A window of random letters (seed 0), every other letter at every position: 3000 mutants of 1000 bp.
Networks have 64 units and first weights from seed 0. The gate holds for `LSTM` read at the last
step, with torch's own start and with length constants of 5 to 2000 bp at the start, evenly over
decades, so that no mutant is forgotten before the end. What has no gate stands beside: a mean over
all steps, a window of 250 bp, a GRU, a bidirectional LSTM, both strands with tied weights.

The naive pass makes the mutants batch by batch and runs each batch from the first letter on,
without gradients: through the model itself, and for LSTM and GRU also through torch's own layer
with the same weights. Every batch size of `BATCHES` is tried in both ways, and the fastest (CPU
time of one pass) is the peer. Then peer and ours take turns, `N_ROUNDS` times, in one process and
one thread; the ratio is the median over rounds, with its interval from the order of the rounds.

Identical means: the scores of all mutants equal those of the naive pass through the same layer in
the same batch size, read from the last states in the same way, to the last bit. The largest
difference from ``model(x).output`` of the model itself, in float32, stands beside.

tangermeme's saturation mutagenesis gets the same network as a torch module in batches of 32 and
takes its turn where it is installed.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import neurornn as nr
from neurornn._core.confidence import median_interval

COLUMNS = [
    "mutants", "naive pass (s)", "batch", "ours (s)", "times faster", "interval", "gate", "goal",
    "scores that differ", "from model(x)",
]  # fmt: skip
SEED, LENGTH, N_HIDDEN, N_ROUNDS = 0, 1000, 64, 9
BATCHES = (16, 24, 32, 48, 64, 96, 128, 256)
LONG = np.geomspace(5, 2000, N_HIDDEN)
GATE, GOAL = ">= 1.6", "1.9"
#: Model, read-out, length of the window, and whether the gate holds.
CASES: dict[str, tuple[Callable[[], Any], str, int, bool]] = {
    "LSTM-64": (partial(nr.models.LSTM, 4, N_HIDDEN, 1), "last", LENGTH, True),
    "LSTM-64, long memory": (
        partial(nr.models.LSTM, 4, N_HIDDEN, 1, tau=LONG), "last", LENGTH, True
    ),
    "LSTM-64, mean of all steps": (
        partial(nr.models.LSTM, 4, N_HIDDEN, 1, tau=LONG), "mean", LENGTH, False
    ),
    "LSTM-64, 250 bp": (partial(nr.models.LSTM, 4, N_HIDDEN, 1, tau=LONG), "last", 250, False),
    "GRU-64": (partial(nr.models.GRU, 4, N_HIDDEN, 1), "last", LENGTH, False),
    "bidirectional LSTM-64, mean": (
        partial(nr.models.LSTM, 4, N_HIDDEN, 1, bidirectional=True), "mean", LENGTH, False
    ),
    "both strands, LSTM-64, mean": (
        partial(nr.models.ReverseComplementTied, 4, N_HIDDEN, 1), "mean", LENGTH, False
    ),
}  # fmt: skip


def _window(length: int) -> tuple[str, NDArray[np.float32], NDArray[np.int64]]:
    """Letters, their one-hot rows and codes."""
    codes = np.random.default_rng(SEED).integers(4, size=length)
    return "".join("ACGT"[c] for c in codes), np.eye(4, dtype=np.float32)[codes], codes


def _read(output: torch.Tensor, read: str) -> torch.Tensor:
    return output[:, -1] if read == "last" else output.double().mean(1)


def naive(
    run: Callable[[torch.Tensor], torch.Tensor], wild: NDArray[np.float32],
    codes: NDArray[np.int64], size: int,
) -> NDArray[np.float64]:  # fmt: skip
    """Score of every mutant, letters in the order ACGT without that of the wild type."""
    where = np.repeat(np.arange(len(codes)), 4)
    letter = np.tile(np.arange(4), len(codes))
    other = letter != codes[where]
    where, letter = where[other], letter[other]
    whole, eye, found = torch.from_numpy(wild), torch.eye(4), []
    with torch.no_grad():
        for a in range(0, len(where), size):
            b = min(a + size, len(where))
            x = whole.repeat(b - a, 1, 1)
            x[np.arange(b - a), where[a:b]] = eye[letter[a:b]]
            found.append(run(x)[:, 0].double())
    return torch.cat(found).numpy()


def _peers(model: Any, read: str) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    """Naive runs of the same network."""
    runs = {"model": lambda x: _read(model(x).output, read)}
    if not isinstance(model, nr.models.ReverseComplementTied):
        layer, output = nr.models.to_torch(model)
        if read == "last":
            runs["torch"] = lambda x: output(layer(x)[0][:, -1])
        else:
            runs["torch"] = lambda x: _read(output(layer(x)[0]), read)
    return runs


def _timed(function: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.process_time()
    found = function()
    return time.process_time() - begin, found


def _changed(table: Any, codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Scores of the mutants, in the order of `naive`."""
    scores = table["effect"].values + float(table["wild_type_score"])
    return np.asarray(scores[np.arange(4) != codes[:, None]])


def rows() -> Iterator[list[str]]:
    """One row per network, and one of tangermeme's pass where it is installed."""
    for name, (make, read, length, gated) in CASES.items():
        model = make(dt=1.0, time_unit="bp", rng=SEED)
        text, wild, codes = _window(length)
        peers = _peers(model, read)
        ours = partial(nr.sequences.mutate_all, model, text, read=read)
        ours()
        tried = {
            (key, size): _timed(partial(naive, run, wild, codes, size))[0]
            for key, run in peers.items()
            for size in BATCHES
        }
        best = min(tried, key=tried.__getitem__)
        times: list[tuple[float, float]] = []
        for _ in range(N_ROUNDS):
            slow, _scores = _timed(partial(naive, peers[best[0]], wild, codes, best[1]))
            fast, table = _timed(ours)
            times.append((slow, fast))
        slow, fast = (np.array(t) for t in zip(*times, strict=True))
        low, high = median_interval(slow / fast)
        same = _changed(nr.sequences.mutate_all(model, text, read=read, reuse=False), codes)
        differ = int((_changed(table, codes) != same).sum())
        away = np.abs(_changed(table, codes) - naive(peers["model"], wild, codes, 32)).max()
        yield [
            name, str(3 * length), f"{np.median(slow):.2f} ({best[0]})", str(best[1]),
            f"{np.median(fast):.2f}", f"{np.median(slow / fast):.2f}", f"{low:.2f}-{high:.2f}",
            GATE if gated else "-", GOAL if gated else "-", str(differ), f"{away:.1e}",
        ]  # fmt: skip
        if name == "LSTM-64":
            yield from _tangermeme(model, text, wild, codes, ours)


def _tangermeme(
    model: Any, text: str, wild: NDArray[np.float32], codes: NDArray[np.int64],
    ours: Callable[[], Any],
) -> Iterator[list[str]]:  # fmt: skip
    """The same network through tangermeme's saturation mutagenesis."""
    try:
        from tangermeme.saturation_mutagenesis import saturation_mutagenesis
    except ImportError:
        return
    layer, output = nr.models.to_torch(model)

    class Reading(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.output = layer, output

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.output(self.layer(x.transpose(1, 2))[0][:, -1])
            return found

    module, x = Reading(), torch.from_numpy(wild.T[None].copy())
    run = partial(saturation_mutagenesis, module, x, batch_size=32, raw_outputs=True, device="cpu")
    run()
    times = []
    for _ in range(N_ROUNDS):
        slow, raw = _timed(run)
        fast, table = _timed(ours)
        times.append((slow, fast))
    slow, fast = (np.array(t) for t in zip(*times, strict=True))
    low, high = median_interval(slow / fast)
    # (sequence, letter, position, output)
    theirs = raw.y_hat.numpy()[0, ..., 0].T - float(raw.y0.numpy().ravel()[0])
    away = np.abs(theirs - table["effect"].values)[np.arange(4) != codes[:, None]].max()
    yield [
        "LSTM-64, tangermeme as the peer", str(3 * len(text)), f"{np.median(slow):.2f}", "32",
        f"{np.median(fast):.2f}", f"{np.median(slow / fast):.2f}", f"{low:.2f}-{high:.2f}", "-",
        "-", "-", f"{away:.1e}",
    ]  # fmt: skip
