"""Fixtures for all rooms: random numbers, real recordings, quiet threads and pictures."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

# Before anything imports matplotlib: no window is ever opened.
os.environ.setdefault("MPLBACKEND", "Agg")


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
