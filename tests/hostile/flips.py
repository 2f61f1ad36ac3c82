"""Single-bit flips of every kind of saved file: each change of content must be noticed.

Run by ``python -m tests.hostile.flips``, which prints a row for each kind: flips, refused with an
error of ours, harmless (the same content came back), unnoticed, and other errors.
"""

import contextlib
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import neurornn as nr
from neurornn._core.errors import ConvergenceWarning, ThreePartError
from neurornn._core.jobs import run_chunks
from neurornn.io import read_saved, write_saved

#: Flips of each kind of file.
N_FLIPS = 250


def kinds(folder: Path) -> Iterator[tuple[str, Path, Callable[[Path], Any]]]:
    """Save one of each kind below a folder: name, place, how its content is read."""
    recording = nr.open(nr.fetch("sample_calcium"))
    kinetics = nr.calcium.Kinetics().fit(recording["dff"].isel(time=slice(0, 1500), unit=[1, 2]))
    windows = nr.data.windows(
        nr.data.select_units(recording, [1]), inputs="spikes", targets="dff", duration=10.0
    )
    model = nr.models.LeakyRNN(n_input=1, n_hidden=2, n_output=1, dt=1 / 30, tau=0.5)
    session = nr.simulate.simulate_reaches(12, 20, bin_size=0.05, rng=0)
    decoder = nr.decode.KalmanFilter(bin_size=0.05).fit(session["counts"], session["velocity"])
    stream = decoder.stream()
    for counts in session["counts"].values[:20]:
        stream.step(counts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        result = nr.fit(model, windows, max_epochs=2, rng=0, checkpoint=folder / "run")
        league = nr.compare.league(windows, ["linear", "memoryless"], n_seeds=2)
    made = {
        "kinetics.nc": kinetics,
        "kinetics": kinetics,
        "fit": result,
        "league.nc": league,
        "decoder": decoder,
        "decoder.nc": decoder,
        "stream.nc": stream,
        "gradients.nc": nr.training.gradient_flow(result.model, windows),
    }
    for name, thing in made.items():
        with contextlib.suppress(nr.io.saved.KindError):
            thing.save(folder / name)
            yield name, folder / name, _content
    yield "checkpoint", folder / "run" / "checkpoint", _content
    chunks = [(np.arange(50.0),)]
    run_chunks(_double, chunks, checkpoint=folder / "chunks", key="k")
    yield "chunk", folder / "chunks", lambda p: run_chunks(_double, chunks, checkpoint=p, key="k")


def saved_tables(folder: Path) -> Iterator[tuple[str, Path, Callable[[Path], Any]]]:
    """As `kinds`, of files that need no fit."""
    table = xr.Dataset({"x": ("t", np.arange(9.0)), "name": ("t", np.array(list("abcdefghi")))})
    for name in ("plain", "plain.nc"):
        weights = None if name.endswith(".nc") else {"w": np.arange(20.0)}
        write_saved(
            folder / name, kind="Kinetics", settings={"v": 1.5}, tables={"t": table, "u": table},
            weights=weights,
        )  # fmt: skip
        yield name, folder / name, read_saved


def _double(values: np.ndarray) -> dict[str, np.ndarray]:
    return {"out": 2 * values}


def _content(path: Path) -> Any:
    found = read_saved(path)
    nr.load(path) if found.kind != "Checkpoint" else None
    return found


def same(one: Any, other: Any) -> bool:
    """Whether two contents are equal to the bit."""
    if isinstance(one, list):
        return all(np.array_equal(a["out"], b["out"]) for a, b in zip(one, other, strict=True))
    if one.kind != other.kind or repr(one.settings) != repr(other.settings):
        return False
    # safetensors gives weights in an order of its own every time.
    if list(one.tables) != list(other.tables) or set(one.weights) != set(other.weights):
        return False
    for name, table in one.tables.items():
        if not table.identical(other.tables[name]):
            return False
    return all(np.array_equal(w, other.weights[k], equal_nan=True) for k, w in one.weights.items())


def flip(path: Path, rng: np.random.Generator) -> str:
    """Flip one bit of a file, or of one of the files of a folder."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    sizes = np.array([p.stat().st_size for p in files], dtype=float)
    # Half of the flips by size, half of them evenly over the files: small ones matter as much.
    share = sizes / sizes.sum() if rng.random() < 0.5 else np.full(len(files), 1 / len(files))
    file = files[rng.choice(len(files), p=share)]
    raw = bytearray(file.read_bytes())
    at, bit = int(rng.integers(len(raw))), int(rng.integers(8))
    raw[at] ^= 1 << bit
    file.write_bytes(raw)
    return f"{file.name}, byte {at} of {len(raw)}, bit {bit}"


def try_flips(
    path: Path, read: Callable[[Path], Any], n: int, seed: int
) -> tuple[dict[str, int], list[str]]:
    """Flip bits one at a time; count what came of it."""
    rng = np.random.default_rng(seed)
    right = read(path)
    counts = {"refused": 0, "harmless": 0, "unnoticed": 0, "other error": 0}
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(n):
            copy = Path(folder) / path.name
            shutil.copytree(path, copy) if path.is_dir() else shutil.copy(path, copy)
            where = flip(copy, rng)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    outcome = "harmless" if same(right, read(copy)) else "unnoticed"
            except ThreePartError:
                outcome = "refused"
            except Exception as error:
                outcome = "other error"
                where += f": {type(error).__name__}: {error}"
            counts[outcome] += 1
            if outcome in ("unnoticed", "other error"):
                failed.append(f"{path.name}: {outcome}: {where}")
            shutil.rmtree(copy) if copy.is_dir() else copy.unlink()
    return counts, failed


def main(n: int = N_FLIPS) -> int:
    failed = []
    print(f"{n} flips of each, seeds 0, 1, ...")
    with tempfile.TemporaryDirectory() as folder:
        for seed, (name, path, read) in enumerate(kinds(Path(folder))):
            counts, bad = try_flips(path, read, n, seed)
            failed += bad
            print(f"{name}: " + ", ".join(f"{k} {v}" for k, v in counts.items()), flush=True)
    print("\n".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else N_FLIPS))
