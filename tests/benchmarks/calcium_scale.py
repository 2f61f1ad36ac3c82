"""A population too large for memory: cells on disk in a Zarr store, read chunk by chunk.

Settings fixed before our numbers were looked at. The fit runs in a process of its own, from its
start to its end, with ``n_jobs=2``; memory is that of this process and all its children, pages
they share counted once (PSS), sampled ten times a second.

``python -m tests.benchmarks.calcium_scale STORE`` is that process.
"""

import json
import subprocess
import sys
import tempfile
import time as clock
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr

import neurornn as nr
from tests.benchmarks import latin_square

N_CELLS = 10_000
N_FRAMES = 30_000
SAMPLING_RATE = 30.0
#: Distinct traces without noise; each is used again with fresh noise.
DISTINCT = 200
CHUNK_SIZE = 50
N_JOBS = 2
SAMPLES_PER_S = 10
MINUTES, GIGABYTES = 25.0, 2.0
COLUMNS = [
    "cells", "store GB", "written s", "minutes", "CPU minutes", "peak GB", "median error %",
    "for 10,000: minutes", "10,000 x trivial: minutes",
]  # fmt: skip


def write_store(path: Path, n_cells: int) -> np.ndarray:
    """Write the traces, float32; return the true constants of all cells (s)."""
    import dask.array

    kinds = latin_square.cells()
    n = min(DISTINCT, n_cells)
    factors = [kinds[k % len(kinds)] for k in range(n)]
    clean = nr.simulate.simulate_calcium(
        n,
        N_FRAMES / SAMPLING_RATE,
        SAMPLING_RATE,
        tau_decay=[c.tau for c in factors],
        tau_rise=[c.rise for c in factors],
        rate=[c.rate for c in factors],
        size_cv=0.15,
        rng=0,
    )
    calcium = clean["calcium"].values.astype(np.float32)
    noise_sd = np.array([1 / c.snr for c in factors], dtype=np.float32)
    which = np.arange(n_cells) % n
    whole = xr.Dataset(
        {
            "dff": (
                ("time", "unit"),
                dask.array.zeros((N_FRAMES, n_cells), np.float32, chunks=(N_FRAMES, CHUNK_SIZE)),
                {"units": "1", "sampling_rate": SAMPLING_RATE},
            )
        },
        coords={"time": clean["time"], "unit": np.arange(n_cells)},
    )
    # Noise does not shrink: packing it would only cost time.
    plain = {"dff": {"compressors": None}}
    whole.to_zarr(path, compute=False, encoding=plain, consolidated=False)
    rng = np.random.default_rng(1)
    for first in range(0, n_cells, CHUNK_SIZE):
        own = which[first : first + CHUNK_SIZE]
        noise = rng.standard_normal((N_FRAMES, len(own)), dtype=np.float32)
        values = calcium[:, own] + noise_sd[own] * noise
        part = xr.Dataset({"dff": (("time", "unit"), values)})
        place = {"time": slice(None), "unit": slice(first, first + len(own))}
        part.to_zarr(path, region=place, consolidated=False)
    return np.array([c.tau for c in factors])[which]


def fit_store(path: Path) -> None:
    """Open the store lazily, fit, and print what was found as JSON."""
    recording = nr.open(path, chunks={})
    begin = clock.perf_counter()
    kinetics = nr.calcium.Kinetics(n_jobs=N_JOBS, chunk_size=CHUNK_SIZE).fit(recording["dff"])
    seconds = clock.perf_counter() - begin
    tau = kinetics.parameters_["tau_decay"].values
    print(json.dumps({"tau": tau.tolist(), "seconds": seconds}))


def watched(command: list[str]) -> tuple[float, float, float, str]:
    """Run a command: wall time (s), CPU time (s) and peak memory (bytes) of its tree, output."""
    import psutil

    begin = clock.perf_counter()
    peak = 0.0
    cpu: dict[int, float] = {}
    with tempfile.TemporaryFile("w+") as out:
        child = subprocess.Popen(command, stdout=out)
        root = psutil.Process(child.pid)
        while child.poll() is None:
            total = 0.0
            try:
                tree = [root, *root.children(recursive=True)]
            except psutil.Error:
                break
            for process in tree:
                try:
                    info = process.memory_full_info()
                    times = process.cpu_times()
                except psutil.Error:
                    continue
                total += getattr(info, "pss", info.uss)
                cpu[process.pid] = times.user + times.system
            peak = max(peak, total)
            clock.sleep(1 / SAMPLES_PER_S)
        if child.wait() != 0:
            raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}")
        wall = clock.perf_counter() - begin
        out.seek(0)
        return wall, sum(cpu.values()), peak, out.read()


def _trivial_minutes(path: Path) -> float:
    """Minutes for all cells of the trivial baseline, the slope of the autocovariance."""
    from neurornn.calcium.alternation import first_tau
    from neurornn.calcium.trace_model import Settings

    values = nr.open(path, chunks={})["dff"][:, :CHUNK_SIZE].values.astype(float)
    settings = Settings(1 / SAMPLING_RATE, 4.0, (0.005, 20.0), 60.0, 0.95)
    begin = clock.perf_counter()
    for k in range(values.shape[1]):
        first_tau(np.ascontiguousarray(values[:, k]), np.array([[0, N_FRAMES]]), settings)
    return (clock.perf_counter() - begin) / values.shape[1] * N_CELLS / 60


def rows(n_cells: int = N_CELLS) -> Iterator[list[str]]:
    """One row; with fewer cells the time of all is extrapolated, the memory is not."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "population.zarr"
        begin = clock.perf_counter()
        true = write_store(store, n_cells)
        written = clock.perf_counter() - begin
        size = sum(p.stat().st_size for p in store.rglob("*") if p.is_file())
        wall, cpu, peak, text = watched(
            [sys.executable, "-m", "tests.benchmarks.calcium_scale", str(store)]
        )
        trivial = _trivial_minutes(store)
    found = json.loads(text)
    error = np.abs(np.array(found["tau"], dtype=float) / true - 1)
    # Starting up takes the same time for any number of cells.
    scaled = (wall + found["seconds"] * (N_CELLS / n_cells - 1)) / 60
    passed = scaled <= MINUTES and peak < GIGABYTES * 1e9
    said = "met" if passed and n_cells >= N_CELLS else "met so far" if passed else "missed"
    yield [
        f"{N_FRAMES} frames, n_jobs={N_JOBS}; gate <= {MINUTES:g} min, < {GIGABYTES:g} GB: {said}",
        str(n_cells),
        f"{size / 1e9:.2f}",
        f"{written:.0f}",
        f"{wall / 60:.1f}",
        f"{cpu / 60:.1f}",
        f"{peak / 1e9:.2f}",
        f"{100 * np.nanmedian(error):.2f}",
        f"{scaled:.0f}",
        f"{trivial:.2f}",
    ]


if __name__ == "__main__":
    fit_store(Path(sys.argv[1]))
