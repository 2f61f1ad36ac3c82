"""Writing where things go wrong: every error of the system in words, races, and odd systems."""

import ctypes
import errno
import os
import time

import pytest

from neurornn._core import files, targets
from neurornn._core.errors import DataError, FileWriteError
from neurornn._core.files import atomic_path, fingerprint, has_scratch, replace_any, standing
from neurornn._core.jobs import run_chunks
from neurornn._core.targets import check_target, folder_content, shortened


@pytest.mark.parametrize(
    ("number", "reason", "remedy"),
    [
        (errno.ENOSPC, "the disk is full", "Free some space or choose another folder"),
        (errno.EDQUOT, "the disk quota is used up", "Free some space or choose another folder"),
        (errno.EFBIG, "the file would be too large for this place", "Choose another folder"),
        (errno.EACCES, "permission was denied", "Choose a folder you may write to"),
        (errno.EPERM, "permission was denied", "Choose a folder you may write to"),
        (errno.EROFS, "the file system is read-only", "Choose a folder you may write to"),
        (errno.ENOTDIR, "part of the path is a file", "Choose another folder"),
        (errno.EEXIST, "part of the path is a file", "Choose another folder"),
        (errno.ENAMETOOLONG, "the name is too long", "Choose a shorter name"),
    ],
)
def test_errors_of_the_system_are_told_in_words(tmp_path, number, reason, remedy):
    path = tmp_path / "x.txt"
    with pytest.raises(FileWriteError) as caught, atomic_path(path):
        raise OSError(number, "told by the system")
    assert caught.value.came == f"{path} could not be written: {reason}"
    assert caught.value.remedy == (
        f"{remedy}; nothing half-written was left, and an older file there is untouched"
    )
    assert os.listdir(tmp_path) == []


def test_errors_without_a_number_are_told_as_they_came(tmp_path):
    path = tmp_path / "x.txt"
    for error, reason, remedy in (
        (OSError("something odd"), "something odd", "Look at the path and try again"),
        (OSError("write: No space left on it"), "the disk is full", "Free some space or choose"),
        (OSError(errno.EIO, "No space left"), "[Errno 5] No space left", "Look at the path"),
    ):
        with pytest.raises(FileWriteError) as caught, atomic_path(path):
            raise error
        assert caught.value.came == f"{path} could not be written: {reason}"
        assert caught.value.remedy.startswith(remedy)
    with pytest.raises(FileWriteError, match="mine"), atomic_path(path):
        raise FileWriteError("mine", "needed", "remedy")


class Library:
    """A system that can exchange two folders, and says so."""

    def __init__(self, number):
        self.number = number

    def __call__(self, one, other):
        ctypes.set_errno(self.number)
        return 0 if not self.number else -1


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (0, True),
        *((n, False) for n in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EXDEV)),
        (errno.EACCES, None),
    ],
)
def test_a_system_that_cannot_exchange_two_folders_is_no_error(
    monkeypatch, tmp_path, number, told
):
    monkeypatch.setattr(files, "_exchanger", lambda: Library(number))
    if told is None:
        with pytest.raises(PermissionError):
            files._exchange(tmp_path / "a", tmp_path / "b")
    else:
        assert files._exchange(tmp_path / "a", tmp_path / "b") is told
    monkeypatch.setattr(files, "_exchanger", lambda: None)
    assert files._exchange(tmp_path / "a", tmp_path / "b") is False


def replaced(path, text="new"):
    with atomic_path(path, folder=True, ours=replace_any) as new:
        (new / "file").write_text(text)
    return (path / "file").read_text()


@pytest.mark.parametrize("number", [errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT])
def test_a_swap_that_another_writer_has_spoilt_is_tried_again(monkeypatch, tmp_path, number):
    path = tmp_path / "fit"
    replaced(path, "old")
    calls = []

    def exchange(one, other):
        calls.append(one)
        if len(calls) < 3:
            raise OSError(number, "spoilt")
        return False

    monkeypatch.setattr(files, "_exchange", exchange)
    assert replaced(path) == "new" and len(calls) == 3
    assert os.listdir(tmp_path) == ["fit"]


def test_a_swap_that_cannot_be_is_given_up(monkeypatch, tmp_path):
    path = tmp_path / "fit"
    replaced(path, "old")
    calls = []

    def exchange(one, other):
        calls.append(one)
        raise OSError(errno.EACCES if len(calls) == 1 else errno.ENOTEMPTY, "spoilt")

    monkeypatch.setattr(files, "_exchange", exchange)
    # What no other writer has done is not tried again.
    with pytest.raises(FileWriteError, match="permission was denied"):
        replaced(path)
    assert len(calls) == 1
    with pytest.raises(FileWriteError, match=r"others write to the same place|busy"):
        replaced(path)
    assert len(calls) == 1 + 100
    assert (path / "file").read_text() == "old" and os.listdir(tmp_path) == ["fit"]


def test_a_copy_that_was_set_aside_is_found_and_put_back(tmp_path):
    path = tmp_path / "fit"
    assert standing(path) is None and not has_scratch(path)
    for k, age in (("a", 100), ("b", 200)):
        kept = tmp_path / f"{files._prefix(path)}{k}" / "old" / "fit"
        kept.mkdir(parents=True)
        os.utime(kept, (age, age))
    # The younger of two.
    assert standing(path).parents[1].name.endswith("b") and has_scratch(path)
    files.clear_scratch(path)
    assert path.exists() and not has_scratch(path) and standing(path) == path
    assert has_scratch(tmp_path / "nowhere" / "fit") is False
    assert files._age_key(tmp_path / "nothing") == 0.0


def test_without_locks_a_scratch_is_left_over_after_a_day(monkeypatch, tmp_path):
    path = tmp_path / "fit"
    monkeypatch.setattr(files, "_lock", lambda folder: None)
    for age, left in ((86_000, True), (87_000, False)):
        scratch = tmp_path / f"{files._prefix(path)}x"
        scratch.mkdir()
        then = time.time() - age
        os.utime(scratch, (then, then))
        files.clear_scratch(path)
        assert scratch.exists() is left
        if left:
            scratch.rmdir()


def test_what_stands_where_nothing_may_be_written(tmp_path):
    for n, text in ((3, "a, b, c"), (4, "a, b, c and 1 more"), (6, "a, b, c and 3 more")):
        assert shortened(list("abcdef"[:n])) == text
    (tmp_path / "empty").mkdir()
    assert folder_content(tmp_path / "empty") == "an empty folder"
    with pytest.raises(FileWriteError, match="is an empty folder, and a file is written"):
        check_target(tmp_path / "empty")
    locked = tmp_path / "locked.txt"
    locked.write_text("x")
    locked.chmod(0o444)
    with pytest.raises(FileWriteError, match="is write-protected, and it is not replaced"):
        check_target(locked, overwrite=True)
    assert targets._limit(tmp_path, "NO_SUCH_LIMIT", 77) == 77
    assert targets._limit(tmp_path, "PC_NAME_MAX", 77) == 255


def test_a_place_that_may_not_be_looked_at_or_written_to(monkeypatch, tmp_path):
    def denied(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(os, "access", lambda *_: False)
        with pytest.raises(FileWriteError, match="x could not be written: permission was denied"):
            check_target(tmp_path / "x")
    with monkeypatch.context() as patched:
        patched.setattr(targets, "_check_room", denied)
        with pytest.raises(FileWriteError, match="x cannot be looked at: Permission denied"):
            check_target(tmp_path / "x")
    with monkeypatch.context() as patched:
        patched.setattr(os.path, "realpath", lambda *_: denied())
        with pytest.raises(PermissionError):
            targets._work_folder()


def test_without_a_folder_to_work_in_nothing_in_it_can_be_lost(monkeypatch):
    def gone(*_):
        raise FileNotFoundError

    monkeypatch.setattr(os.path, "realpath", gone)
    assert str(targets._work_folder()) == "removed"


def test_a_place_holds_itself_and_what_is_below_it(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    for one, other, holds in (
        ("a", "a", True), ("a", "a/b", True), ("a", "ab", False), ("a/b", "a", False),
        ("link", "a", True),
    ):  # fmt: skip
        assert targets._holds(tmp_path / one, tmp_path / other) is holds


def test_no_processes_are_none():
    with pytest.raises(DataError, match=r"n_jobs is 0\. A number of processes was needed, or -1"):
        run_chunks(len, [([1],)], n_jobs=0)


def test_a_fingerprint_is_of_values_types_and_shapes():
    import numpy as np

    base = fingerprint(np.zeros(4), {"a": 1, "b": [2]}, "x")
    assert base == fingerprint(np.zeros(4), {"b": [2], "a": 1}, "x") and len(base) == 32
    others = [
        (np.zeros((2, 2)), {"a": 1, "b": [2]}, "x"),
        (np.zeros(4, np.float32), {"a": 1, "b": [2]}, "x"),
        (np.ones(4), {"a": 1, "b": [2]}, "x"),
        (np.zeros(4), {"a": 2, "b": [2]}, "x"),
        (np.zeros(4), {"a": 1, "b": [2, 3]}, "x"),
        (np.zeros(4), {"a": 1}, "x"),
        (np.zeros(4), {"a": 1, "b": [2]}, "y"),
        (np.zeros(4), {"a": 1.0, "b": [2]}, "x"),
    ]
    found = {base, *(fingerprint(*o) for o in others)}
    assert len(found) == 1 + len(others)
    assert fingerprint([1, 2]) == fingerprint((1, 2)) != fingerprint([[1], 2])
    words = np.array(["a", None], dtype=object)
    assert fingerprint(words) == fingerprint(words.copy()) != fingerprint(words[::-1])
