"""Kill -9 and Ctrl-C before and after every file-system call of a save, a chunk, a checkpoint.

Each case is a process of its own (a fork). After it the old or the new result must load under its
name, a job must go on from its finished chunks, a fit from its checkpoint, and the next save must
leave nothing behind but what it saves. Run by ``python -m tests.hostile.stops``, which prints a
row for each operation: points tried, and at how many of them something was lost. Two arguments
choose every n-th point, and the operations whose names begin so.
"""

import builtins
import contextlib
import functools
import io
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr

from neurornn._core import files
from neurornn._core.jobs import forget_partial, run_chunks
from neurornn.io import netcdf, read_saved, write_csv, write_netcdf, write_saved

CALLS = ("mkdir", "open", "rename", "replace", "rmdir", "unlink", "remove", "fsync", "listdir")
OLD, NEW = 1.0, 2.0
CHUNKS = [(np.arange(3.0 * k, 3 * k + 3),) for k in range(3)]


class Stopper:
    """Counts file-system calls and stops the process at one of them."""

    def __init__(self, at: int, how: str) -> None:
        self.at, self.how, self.count = at, how, 0

    def point(self) -> None:
        self.count += 1
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL if self.how == "kill" else signal.SIGINT)

    def around(self, call: Callable) -> Callable:
        @functools.wraps(call)
        def wrapped(*args, **kwargs):
            self.point()
            try:
                return call(*args, **kwargs)
            finally:
                self.point()

        return wrapped

    def install(self) -> None:
        for name in CALLS:
            setattr(os, name, self.around(getattr(os, name)))
        opened = self.around(builtins.open)
        builtins.open = io.open = opened
        files._exchange = self.around(files._exchange)


def table(value: float) -> xr.Dataset:
    return xr.Dataset({"x": ("t", [value, value]), "name": ("t", ["a", "b"])})


def save(path: Path, value: float) -> None:
    weights = None if path.suffix == ".nc" else {"w": np.full(4, value)}
    write_saved(
        path, kind="Kinetics", settings={"v": value}, tables={"t": table(value)}, weights=weights
    )


def saved_value(path: Path) -> float:
    content = read_saved(path)
    values = {content.settings["v"], *content.tables["t"]["x"].values.tolist()}
    values |= set(content.weights.get("w", np.array([])).tolist())
    assert len(values) == 1, f"parts of two results: {values}"
    return values.pop()


def double(values: np.ndarray) -> dict[str, np.ndarray]:
    return {"out": 2 * values}


def doubled(folder: Path) -> tuple[int, np.ndarray]:
    """Chunks that were taken up, and the whole result."""
    done: list[int] = []
    results = run_chunks(double, CHUNKS, checkpoint=folder, progress=lambda k, n: done.append(k))
    return len(CHUNKS) - len(done), np.concatenate([r["out"] for r in results])


def save_case(name: str, first: bool) -> tuple[Callable, Callable, Callable]:
    """Make a place, change it, and look at it; for a saved folder or file."""

    def prepare(place: Path) -> None:
        if not first:
            save(place / name, OLD)

    def change(place: Path) -> None:
        save(place / name, NEW)

    def look(place: Path) -> str:
        present = files.standing(place / name) is not None
        if not present and not first:
            return "the old result is gone"
        if present and saved_value(place / name) not in ((NEW,) if first else (OLD, NEW)):
            return "what loads is neither the old nor the new result"
        save(place / name, NEW)
        left = sorted(p.name for p in place.iterdir())
        return "" if left == [name] else f"left behind: {left}"

    return prepare, change, look


def plain_case(write: Callable, read: Callable, name: str) -> tuple[Callable, Callable, Callable]:
    def look(place: Path) -> str:
        if read(place / name) not in (OLD, NEW):
            return "neither old nor new"
        write(place / name, NEW)
        left = sorted(p.name for p in place.iterdir())
        return "" if left == [name] else f"left behind: {left}"

    return (
        lambda place: write(place / name, OLD),
        lambda place: write(place / name, NEW),
        look,
    )


def chunk_case() -> tuple[Callable, Callable, Callable]:
    def prepare(place: Path) -> None:
        with contextlib.suppress(RuntimeError):
            run_chunks(_fail_late, CHUNKS, checkpoint=place / "p", key="k")

    def change(place: Path) -> None:
        run_chunks(double, CHUNKS, checkpoint=place / "p", key="k")

    def look(place: Path) -> str:
        done: list[int] = []
        results = run_chunks(
            double, CHUNKS, checkpoint=place / "p", key="k", progress=lambda k, n: done.append(k)
        )
        right = np.concatenate([r["out"] for r in results])
        if len(done) > 2:
            return "a finished chunk was lost"
        if not np.array_equal(right, 2 * np.arange(9.0)):
            return "other numbers"
        left = sorted(p.name for p in (place / "p").iterdir())
        wanted = [f"chunk-{k:06d}.npz" for k in range(3)] + ["manifest.json"]
        # What a killed writer left of a chunk that is finished is cleared by the next writer of
        # that chunk only; it is scratch of ours, and never counted.
        left = [name for name in left if not name.startswith(".neurornn-")]
        return "" if left == wanted else f"left behind: {left}"

    return prepare, change, look


def forget_case() -> tuple[Callable, Callable, Callable]:
    """Finished chunks that are being removed: what is left is taken up, not refused."""
    _, change, look = chunk_case()

    def look_again(place: Path) -> str:
        said = look(place)
        return "" if "finished chunk" in said else said

    return change, lambda place: forget_partial(place / "p"), look_again


def _fail_late(values: np.ndarray) -> dict[str, np.ndarray]:
    if values[0] > 0:
        raise RuntimeError("stopped")
    return double(values)


def checkpoint_case() -> tuple[Callable, Callable, Callable]:
    import torch

    from neurornn.training.checkpoint import read_checkpoint, write_checkpoint

    def write(place: Path, value: float) -> None:
        write_checkpoint(place / "run", "key", {"epoch": value, "w": torch.full((3,), value)})

    def look(place: Path) -> str:
        state = read_checkpoint(place / "run", "key")
        if state is None:
            return "starts at epoch 0"
        if state["epoch"] not in (OLD, NEW) or not bool((state["w"] == state["epoch"]).all()):
            return "neither old nor new"
        write(place, NEW)
        left = sorted(p.name for p in (place / "run").iterdir())
        return "" if left == ["checkpoint"] else f"left behind: {left}"

    return lambda place: write(place, OLD), lambda place: write(place, NEW), look


def cases() -> dict[str, tuple[Callable, Callable, Callable]]:
    def write_table(path: Path, value: float) -> None:
        write_csv(table(value), path)

    def read_table(path: Path) -> float:
        return float(path.read_text().splitlines()[1].split(",")[0])

    def write_nc(path: Path, value: float) -> None:
        write_netcdf(table(value), path)

    def read_nc(path: Path) -> float:
        return float(netcdf.read_netcdf(path)["x"][0])

    return {
        "folder, first": save_case("fit", True),
        "folder, again": save_case("fit", False),
        "file, first": save_case("fit.nc", True),
        "file, again": save_case("fit.nc", False),
        "csv": plain_case(write_table, read_table, "t.csv"),
        "netcdf": plain_case(write_nc, read_nc, "t.nc"),
        "chunks": chunk_case(),
        "chunks, forgotten": forget_case(),
        "checkpoint": checkpoint_case(),
    }


def stopped(change: Callable, place: Path, at: int, how: str, exchange: bool) -> bool:
    """Run a change in a fork that is stopped at a call; whether it got that far."""
    child = os.fork()
    if child == 0:
        code = 0
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if not exchange:
                files._exchange = lambda one, other: False
            stopper = Stopper(at, how)
            stopper.install()
            change(place)
            code = 7 if stopper.count < at else 0
        except KeyboardInterrupt:
            code = 0
        except BaseException:
            code = 1
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return not (os.WIFEXITED(status) and os.WEXITSTATUS(status) == 7)


def count_points(change: Callable, place: Path, exchange: bool) -> int:
    """Number of points at which an undisturbed run could be stopped."""
    low, high = 1, 4096
    while low < high:
        middle = (low + high) // 2
        shutil.copytree(place, place.with_name("count"), symlinks=True)
        if stopped(change, place.with_name("count"), middle, "kill", exchange):
            low = middle + 1
        else:
            high = middle
        shutil.rmtree(place.with_name("count"))
    return low - 1


def try_all(name: str, how: str, exchange: bool, every: int = 1) -> tuple[int, list[str]]:
    """Stop an operation at its calls; the number of points, and what was lost at which."""
    prepare, change, look = cases()[name]
    lost = []
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder) / "template"
        template.mkdir()
        prepare(template)
        n = count_points(change, template, exchange)
        for at in range(1, n + 1, every):
            place = Path(folder) / "place"
            shutil.copytree(template, place, symlinks=True)
            stopped(change, place, at, how, exchange)
            # A process that is killed cannot clear up; one that is interrupted does.
            left = [p.name for p in place.rglob(".neurornn-*")] if how == "interrupt" else []
            try:
                said = look(place) or (f"left behind: {left}" if left else "")
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
            if said:
                lost.append(f"{name}, {how}, point {at} of {n}: {said}")
            shutil.rmtree(place)
    return len(range(1, n + 1, every)), lost


def main(every: int = 1, only: str = "") -> int:
    began, total, lost = time.perf_counter(), 0, []
    with tempfile.TemporaryDirectory() as folder:
        # What is imported and compiled on first use is none of the calls.
        save(Path(folder) / "fit", OLD)
        saved_value(Path(folder) / "fit")
    print("operation, swap, stop: points, lost")
    for exchange in (True, False):
        for name in (c for c in cases() if c.startswith(only)):
            for how in ("kill", "interrupt"):
                n, failed = try_all(name, how, exchange, every)
                total, lost = total + n, lost + failed
                swap = "exchange" if exchange else "two renames"
                print(f"{name}, {swap}, {how}: {n}, {len(failed)}", flush=True)
    print(f"all: {total} points, {len(lost)} lost, {time.perf_counter() - began:.0f} s")
    print("\n".join(lost))
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main(int((sys.argv[1:] or ["1"])[0]), (sys.argv[2:] or [""])[0]))
