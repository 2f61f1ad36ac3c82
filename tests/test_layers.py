"""The house: imports run downward, and the torch-free rooms never reach torch, at any remove."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LINT = Path(sys.executable).with_name("lint-imports")


def run(root: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(LINT), "--no-cache"], cwd=root, capture_output=True, text=True, timeout=120
    )


@pytest.mark.skipif(not LINT.exists(), reason="import-linter is not installed")
def test_imports_run_downward():
    done = run(ROOT)
    assert done.returncode == 0, done.stdout
    assert "2 kept" in done.stdout
