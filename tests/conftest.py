"""Fixtures for all rooms: random numbers, real recordings, quiet threads and pictures."""

import gc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

#: Files whose tests look at the same fitted decoders, and at the same results.
SHARED_FITS = (
    *(
        f"tests/decode/test_{name}.py"
        for name in ("decoders", "hard_days", "robustness", "stream")
    ),
    "tests/contracts/",
)

# Before anything imports matplotlib: no window is ever opened.
os.environ.setdefault("MPLBACKEND", "Agg")
# Before anything imports torch: last digits of a fit depend on the number of threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same in every run."""
    return np.random.default_rng(20260101)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real recordings; the test skips where there is none."""
    named = os.environ.get("NEURORNN_DATA_DIR")
    if not named:
        pytest.skip("NEURORNN_DATA_DIR is not set, so there are no real recordings")
    folder = Path(named)
    if not folder.is_dir():
        pytest.skip(f"NEURORNN_DATA_DIR names {folder}, which is not there")
    return folder


@pytest.fixture(scope="session")
def realdata(data_dir: Path) -> Callable[[str], Path]:
    """Give the path of a real file by its name below the data folder, or skip."""

    def find(name: str) -> Path:
        path = data_dir / name
        if not path.exists():
            pytest.skip(f"{name} is not in the data folder {data_dir}")
        return path

    return find


@pytest.fixture(autouse=True)
def _one_thread_per_test() -> None:
    """Keep torch from taking all cores, only where a test has imported it already."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[Any]:
    """Look for no rubbish while tests are collected, and later only among what they make.

    A million objects are made here that live to the end of the run. Looking through them again and
    again was a quarter of the time that collection took.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give all tests of a file to one worker, which then builds their shared fits once.

    The tests of decoders share the fits of decode/conftest.py over files, and those of contracts
    the results of contracts/results.py. xdist_group cannot say this: xdist 3.8 writes the name of
    a group where pytest 9 no longer reads it.
    """
    from xdist.scheduler import LoadScopeScheduling

    class OneWorkerForAFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            return file.rpartition("/")[0] if file.startswith(SHARED_FITS) else file

    return OneWorkerForAFile(config, log)


@pytest.fixture(scope="session", autouse=True)
def _kernels_are_compiled_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let one worker compile a kernel; the others wait for it and read it from numba's cache.

    Numba keeps its cache for all processes, but two that need a kernel at the same time both
    compile it, which was a seventh of all the time that the tests took.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ or sys.platform == "win32":
        return
    import fcntl

    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.dispatcher import Dispatcher

    # Above the folder of this worker lies that of the whole run.
    locks = tmp_path_factory.getbasetemp().parent / "kernels"
    locks.mkdir(exist_ok=True)
    compile_kernel = Dispatcher.compile

    def compile_or_wait(self: Dispatcher, signature: object) -> object:
        # Numba's own lock first: of the threads of a process one at a time waits here. Kernels
        # that call others hold theirs meanwhile; none calls itself by way of another.
        name = f"{self.py_func.__module__}.{self.py_func.__qualname__}"
        with global_compiler_lock, open(locks / name, "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return compile_kernel(self, signature)

    Dispatcher.compile = compile_or_wait
