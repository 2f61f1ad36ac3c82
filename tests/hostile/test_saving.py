"""Nothing the user had is lost: hostile targets, stops at every call, flipped bits."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile import flips, targets

ROOT = Path(__file__).parents[2]
#: Doors that need no fit; the others write through the same functions.
QUICK = ("io.write_saved", "io.write_csv", "io.write_netcdf", "run_chunks(checkpoint=)")


@pytest.mark.parametrize("door", QUICK)
def test_no_byte_of_a_bystander_changes(door):
    assert [f"{t}: {said}" for t in targets.TARGETS if (said := targets.run_case(door, t))] == []


def test_a_changed_byte_of_a_bystander_is_noticed(tmp_path):
    """The measure itself: a note that is rewritten, a link and a file that are gone."""
    (tmp_path / "note").write_text("a")
    (tmp_path / "gone").write_text("b")
    (tmp_path / "link").symlink_to("note")
    before = targets.snapshot(tmp_path)
    (tmp_path / "note").write_text("c")
    (tmp_path / "gone").unlink()
    (tmp_path / "link").unlink()
    after = targets.snapshot(tmp_path)
    assert {k for k, v in before.items() if after.get(k) != v} == {"note", "gone", "link"}


def stopped_at(every, only=""):
    """In a process without threads, which can be forked."""
    return subprocess.run(
        [sys.executable, "-m", "tests.hostile.stops", str(every), only],
        cwd=ROOT, capture_output=True, text=True, timeout=1200, check=False,
    )  # fmt: skip


def test_a_stop_at_some_calls_loses_nothing():
    done = stopped_at(every=47, only="folder, again")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 lost" in done.stdout


def test_flipped_bits_of_some_files_are_noticed(tmp_path):
    made = {name: (path, read) for name, path, read in flips.saved_tables(tmp_path)}
    for seed, (path, read) in enumerate(made.values()):
        counts, failed = flips.try_flips(path, read, 40, seed)
        assert failed == []
        # Nearly every byte of these files matters.
        assert counts["refused"] > 20


@pytest.mark.slow
def test_no_byte_of_a_bystander_changes_at_any_door():
    assert targets.main() == 0


@pytest.mark.slow
def test_a_stop_at_every_call_loses_nothing():
    done = stopped_at(every=1)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_flipped_bits_of_every_kind_are_noticed():
    assert flips.main() == 0
