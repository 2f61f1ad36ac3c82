"""Fits that are killed with kill -9 at random moments and run again, told by their last bits.

``python -m tests.training.killed FOLDER N WHAT...`` starts one interpreter, in which every run is
a process of its own (a fork), and prints what each ended with.
"""

import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import neurornn as nr

KINDS = ("fit", "fit with truncation", "kinetics")


def bits(what: str, folder: Path, progress: Callable[[int, int], None] | None = None) -> str:
    """Run a fit to its end, taking up what lies in the folder: all its numbers as text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = _kinetics(folder, progress) if what == "kinetics" else _fit(what, folder, progress)
    return found.astype(np.float64).tobytes().hex()


def _fit(what, folder, progress):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 30, 2))
    y = np.cumsum(x, 1)[..., :1] * 0.1
    model = nr.models.LeakyRNN(2, 8, 1, dt=0.01, tau=0.1, dropout=0.2, rng=0)
    # Every part of the state counts: Adam's moments, the warm-up, the masks of dropout, and the
    # plateau, which is met several times: three epochs without a better loss lower the rate.
    result = nr.fit(
        model, (x, y), rng=1, optimizer="adam", max_epochs=15, batch_size=2,
        schedule="plateau", patience=10, warmup_epochs=3, refine=False, intervals=False,
        truncation=0.2 if "truncation" in what else None,
        checkpoint=folder, checkpoint_every=1, progress=progress,
    )  # fmt: skip
    weights = [p.detach().numpy().ravel() for p in result.model.parameters()]
    return np.concatenate([*weights, result.history["loss"].values])


def _kinetics(folder, progress):
    rec = nr.simulate.simulate_calcium(8, 30.0, 30.0, rate=1.0, rng=0)
    kinetics = nr.calcium.Kinetics(chunk_size=1, progress=progress).fit(
        rec["dff"], checkpoint=folder
    )
    tables = kinetics.parameters_
    return np.concatenate([tables[k].values.ravel() for k in ("tau_decay", "tau_decay_ci")])


def _start(what: str, folder: Path) -> tuple[int, int]:
    """Fork a run that writes a line after every step and its bits at the end: pid, pipe."""
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        return pid, read
    try:
        os.close(read)

        def slow(done, total):
            os.write(write, f"{done}\n".encode())
            # So that the kill, some steps later, meets a run that is still going on.
            time.sleep(0.01)

        said = bits(what, folder, slow)
        os.write(write, f"END {said}\n".encode())
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def killed_run(what: str, folder: Path, seed: int) -> int:
    """Kill a run once or twice at random moments after some progress: how often it had begun."""
    rng, killed = np.random.default_rng(seed), 0
    for _ in range(int(rng.integers(1, 3))):
        pid, pipe = _start(what, folder)
        with os.fdopen(pipe) as said:
            for _ in range(int(rng.integers(1, 6))):
                if said.readline().startswith("END"):
                    break
            time.sleep(float(rng.uniform(0, 0.02)))
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        killed += os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    return killed


def end(what: str, folder: Path) -> str:
    """Run again to the end in a process of its own."""
    pid, pipe = _start(what, folder)
    with os.fdopen(pipe) as said:
        lines = said.read().splitlines()
    _, status = os.waitpid(pid, 0)
    if status:
        raise SystemExit(f"{what}: a run that was taken up ended with {status}")
    return lines[-1].removeprefix("END ")


def main() -> None:
    """Print how often a run was killed, and what it ended with; the last one is left cut short."""
    torch.set_num_threads(1)
    # Modules and kernels are loaded once, for all forks, by fits of other data.
    rng = np.random.default_rng(9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x = rng.standard_normal((4, 9, 2))
        nr.fit(nr.models.LeakyRNN(2, 1, 2, dt=0.01, rng=9), (x, x), max_epochs=1, refine=False)
        nr.calcium.Kinetics().fit(rng.standard_normal((600, 1)), sampling_rate=30.0)
    folder, n = Path(sys.argv[1]), int(sys.argv[2])
    for what in sys.argv[3:]:
        for k in range(n):
            place = folder / what / f"run{k}"
            killed = killed_run(what, place, k)
            print(what, killed, end(what, place) if k < n - 1 else "", sep="\t", flush=True)


if __name__ == "__main__":
    main()
