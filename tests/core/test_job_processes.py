"""Processes that work side by side."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_processes_that_did_something_light_do_not_pass_for_leaking(tmp_path):
    (tmp_path / "work_of_two_kinds.py").write_text(
        "import time\n"
        "import numpy as np\n"
        "kept = []\n"
        "def light(k):\n"
        "    return {'k': np.array(k)}\n"
        "def heavy(k):\n"
        "    # As a library that is loaded once; joblib looks at the memory once a second.\n"
        "    time.sleep(0.6)\n"
        "    kept or kept.append(np.ones(50_000_000))\n"
        "    return {'k': np.array(k)}\n"
    )
    (tmp_path / "use_them.py").write_text(
        "import warnings\n"
        "import work_of_two_kinds as work\n"
        "from neurornn._core.jobs import run_chunks\n"
        "warnings.simplefilter('error')\n"
        "chunks = [(k,) for k in range(4)]\n"
        "run_chunks(work.light, chunks, n_jobs=2)\n"
        "import time; time.sleep(1.2)\n"
        "print([int(r['k']) for r in run_chunks(work.heavy, chunks, n_jobs=2)])\n"
    )
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    ran = subprocess.run(
        [sys.executable, "use_them.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env=os.environ | {"PYTHONPATH": path}, check=True,
    )  # fmt: skip
    assert ran.stdout.strip() == "[0, 1, 2, 3]"
