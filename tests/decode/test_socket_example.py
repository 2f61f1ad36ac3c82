"""The page on decoding over a socket: its very code, in processes of its own, over loopback."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import neurornn as nr

PAGE = Path(__file__).resolve().parents[2] / "docs/howto/decode_over_a_socket.md"

# A source archive holds the tests but not the pages.
pytestmark = [
    pytest.mark.skipif(not PAGE.is_file(), reason="there is no such page here"),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder with the scripts of the page, named by their first line, after a run of all."""
    folder = tmp_path_factory.mktemp("socket")
    blocks = re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    for name, code in blocks:
        (folder / name).write_text(code)
    assert [name for name, _ in blocks] == ["fit.py", "sender.py", "receiver.py"]
    run = {"cwd": folder, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    fitted = subprocess.run([sys.executable, "fit.py"], timeout=120, **run)
    assert fitted.returncode == 0, fitted.stderr
    receiver = subprocess.Popen([sys.executable, "receiver.py"], **run)
    try:
        port = receiver.stdout.readline().split()[-1]
        sent = subprocess.run([sys.executable, "sender.py", port, "0.001"], timeout=60, **run)
        assert sent.returncode == 0, sent.stderr
        said, wrong = receiver.communicate(timeout=60)
    finally:
        receiver.kill()
    assert receiver.returncode == 0, wrong
    (folder / "counters.json").write_text(said.splitlines()[-1])
    return folder


def test_what_was_lost_doubled_and_late_is_counted_without_torch(folder):
    counters = json.loads((folder / "counters.json").read_text())
    rig = np.load(folder / "rig.npy")
    assert counters["missing"] == 2  # bin 50, and bin 120 until it came too late
    assert counters["duplicated"] == 1
    assert counters["late"] == 1
    assert counters["bins"] == len(rig)
    assert counters["refused"] == counters["invalid"] == 0
    assert counters["torch"] is False


def test_decoded_over_the_socket_is_decoded_here(folder):
    decoded = {int(k): v for k, v in json.loads((folder / "decoded.json").read_text()).items()}
    rig, expected = np.load(folder / "rig.npy"), np.load(folder / "expected.npy")
    assert sorted(decoded) == [k for k in range(len(rig)) if k != 50]
    # JSON keeps all digits of a float: bit for bit up to the bin that was lost.
    assert np.array_equal([decoded[k] for k in range(50)], expected[:50])
    # Beyond it: the same stream, fed here in the order in which the page sends.
    stream = nr.load(folder / "stream.nc")
    for k in range(len(rig)):
        if k in (50, 120):
            continue
        here = stream.step(rig[k], index=k)
        assert np.array_equal(decoded[k], here), k
    # The last bin that was given for 120 is the output that stood when it came: that of 121.
    assert decoded[120] == decoded[121]


def test_the_saved_state_goes_on(folder):
    stream = nr.load(folder / "after.nc")
    rig = np.load(folder / "rig.npy")
    assert stream.counters["bins"] == len(rig)
    before = stream.output.copy()
    assert np.array_equal(stream.step(rig[-1], index=len(rig) - 1), before)
    assert stream.counters["duplicated"] == 2
