"""Atomic files, and jobs that resume."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from neurornn._core.errors import FileWriteError, ResumeError
from neurornn._core.files import atomic_path, fingerprint, replace_any
from neurornn._core.jobs import chunk_slices, forget_partial, run_chunks
from neurornn._core.rng import derived_seed, generator, seed_of


def square(values, power):
    return {"out": values**power, "pid": np.array([os.getpid()])}


def fail_on_seven(values, power):
    if 7 in values:
        raise RuntimeError("worker lost")
    return {"out": values**power}


CHUNKS = [(np.arange(3 * k, 3 * k + 3),) for k in range(5)]


def test_chunks_come_back_in_order_whatever_runs_them():
    one = run_chunks(square, CHUNKS, shared=(2,))
    two = run_chunks(square, CHUNKS, shared=(2,), n_jobs=2)
    for a, b in zip(one, two, strict=True):
        assert np.array_equal(a["out"], b["out"])
    assert np.array_equal(np.concatenate([r["out"] for r in one]), np.arange(15) ** 2)


def test_a_dask_cluster_gives_the_same(tmp_path):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        many = run_chunks(square, CHUNKS, shared=(3,), client=client)
    assert np.array_equal(np.concatenate([r["out"] for r in many]), np.arange(15) ** 3)


def test_an_interrupted_job_keeps_what_was_done(tmp_path):
    done = []
    with pytest.raises(RuntimeError, match="worker lost"):
        run_chunks(fail_on_seven, CHUNKS, shared=(2,), checkpoint=tmp_path / "p")
    assert len(list((tmp_path / "p").glob("chunk-*.npz"))) == 2
    results = run_chunks(
        square,
        CHUNKS,
        shared=(2,),
        checkpoint=tmp_path / "p",
        progress=lambda k, n: done.append((k, n)),
    )
    # Two chunks were there already, so the count starts at three.
    assert done == [(3, 5), (4, 5), (5, 5)]
    assert np.array_equal(np.concatenate([r["out"] for r in results]), np.arange(15) ** 2)


def test_partial_results_of_other_data_are_refused(tmp_path):
    run_chunks(square, CHUNKS, shared=(2,), checkpoint=tmp_path / "p")
    with pytest.raises(ResumeError, match="other data or settings"):
        run_chunks(square, CHUNKS, shared=(3,), checkpoint=tmp_path / "p")


def test_manifest_is_plain_json(tmp_path):
    run_chunks(square, CHUNKS, shared=(2,), checkpoint=tmp_path / "p")
    assert json.loads((tmp_path / "p" / "manifest.json").read_text())["n_chunks"] == 5


def test_chunks_without_their_manifest_are_not_adopted(tmp_path):
    run_chunks(square, CHUNKS, shared=(2,), checkpoint=tmp_path / "p")
    for name in ("gone", "damaged"):
        manifest = tmp_path / "p" / "manifest.json"
        manifest.unlink() if name == "gone" else manifest.write_text("{")
        with pytest.raises(ResumeError, match=r"without a readable manifest\.json"):
            run_chunks(square, CHUNKS, shared=(2,), checkpoint=tmp_path / "p")
        manifest.write_text("{}")


def test_chunks_of_another_version_are_not_adopted(tmp_path):
    run_chunks(square, CHUNKS, shared=(2,), checkpoint=tmp_path / "p")
    manifest = tmp_path / "p" / "manifest.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**content, "version": "0.0.7"}))
    with pytest.raises(ResumeError, match=r"another version of neurornn, 0\.0\.7"):
        run_chunks(square, CHUNKS, shared=(2,), checkpoint=tmp_path / "p")


def test_a_chunk_of_another_place_or_job_is_computed_again(tmp_path):
    done = []
    for folder, power in (("p", 2), ("q", 3)):
        run_chunks(square, CHUNKS, shared=(power,), checkpoint=tmp_path / folder)
    files = [tmp_path / "p" / f"chunk-{k:06d}.npz" for k in range(3)]
    files[0].write_bytes((tmp_path / "q" / files[0].name).read_bytes())
    files[1].write_bytes(files[2].read_bytes())
    results = run_chunks(
        square, CHUNKS, shared=(2,), checkpoint=tmp_path / "p",
        progress=lambda k, n: done.append(k),
    )  # fmt: skip
    assert done == [4, 5]
    assert np.array_equal(np.concatenate([r["out"] for r in results]), np.arange(15) ** 2)


def test_a_folder_with_anything_else_in_it_is_refused_and_stays(tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "notes.md").write_text("mine")
    with pytest.raises(FileWriteError, match=r"holds notes\.md besides"):
        run_chunks(fail_on_seven, CHUNKS, shared=(2,), checkpoint=tmp_path / "p")
    assert [p.name for p in (tmp_path / "p").iterdir()] == ["notes.md"]


def fail_at_once(values, power):
    raise RuntimeError("worker lost")


def test_a_run_stopped_before_its_first_chunk_removes_only_what_it_made(tmp_path):
    (tmp_path / "given").mkdir()
    for name in ("given", "made"):
        with pytest.raises(RuntimeError, match="worker lost"):
            run_chunks(fail_at_once, CHUNKS, shared=(2,), checkpoint=tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == ["given"]


def test_forgetting_removes_our_own_files_alone(tmp_path):
    run_chunks(square, CHUNKS, shared=(2,), checkpoint=tmp_path / "p")
    (tmp_path / "p" / "chunk-of-mine.npz").write_text("mine")
    forget_partial(tmp_path / "p")
    assert [p.name for p in (tmp_path / "p").iterdir()] == ["chunk-of-mine.npz"]
    # Without a manifest nothing says any more that the folder is ours.
    forget_partial(tmp_path / "p")
    assert (tmp_path / "p").exists()
    (tmp_path / "given").mkdir()
    for name in ("given", "made"):
        run_chunks(square, CHUNKS, shared=(2,), checkpoint=tmp_path / name)
        forget_partial(tmp_path / name)
    assert (tmp_path / "given").exists() and not (tmp_path / "made").exists()


def test_a_manifest_of_somebody_else_stays(tmp_path):
    (tmp_path / "p").mkdir()
    unreadable, foreign = "without a readable manifest", "of another version of neurornn"
    for text, said in (
        ("", unreadable), ("my own list", unreadable), ("null", unreadable),
        ('{"mine": 1}', foreign), ("[1, 2]", foreign),
    ):  # fmt: skip
        (tmp_path / "p" / "manifest.json").write_text(text)
        with pytest.raises(ResumeError, match=said):
            run_chunks(square, CHUNKS, shared=(2,), checkpoint=tmp_path / "p")
        forget_partial(tmp_path / "p")
        assert (tmp_path / "p" / "manifest.json").read_text() == text


def test_a_run_that_is_stopped_takes_nothing_from_another_one_in_its_folder(tmp_path):
    def stop_the_other(done, total):
        # The other run made the manifest, and leaves before it has a chunk.
        (tmp_path / "p" / "manifest.json").unlink(missing_ok=True)

    run_chunks(square, CHUNKS, shared=(2,), checkpoint=tmp_path / "p", progress=stop_the_other)
    done = []
    run_chunks(square, CHUNKS[:5], shared=(2,), checkpoint=tmp_path / "q")
    with pytest.raises(RuntimeError, match="worker lost"):
        run_chunks(fail_at_once, CHUNKS, shared=(3,), checkpoint=tmp_path / "r")
    assert len(list((tmp_path / "p").glob("chunk-*.npz"))) == 5
    # All but the last of them were written beside a manifest.
    (tmp_path / "p" / "chunk-000004.npz").unlink()
    run_chunks(
        square,
        CHUNKS,
        shared=(2,),
        checkpoint=tmp_path / "q",
        progress=lambda k, n: done.append(k),
    )
    assert done == []


def keep_even(result):
    return bool(result["out"][0] % 2 == 0)


def test_what_is_not_worth_keeping_is_computed_again(tmp_path):
    done = []
    for _ in range(2):
        run_chunks(
            square, CHUNKS, shared=(1,), checkpoint=tmp_path / "p", keep=keep_even,
            progress=lambda k, n: done.append(k),
        )  # fmt: skip
    # Chunks begin with 0, 3, 6, 9, 12: three are kept, two are computed again.
    assert done == [1, 2, 3, 4, 5, 4, 5]


def test_chunk_slices_cover_once():
    slices = chunk_slices(10, 4)
    assert [(s.start, s.stop) for s in slices] == [(0, 4), (4, 8), (8, 10)]


def test_a_failed_write_leaves_the_old_file_and_no_trace(tmp_path):
    target = tmp_path / "result.txt"
    target.write_text("old")
    with (
        pytest.raises(RuntimeError, match="in the middle"),
        atomic_path(target, ours=replace_any) as path,
    ):
        path.write_text("half")
        raise RuntimeError("in the middle")
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["result.txt"]


def test_a_folder_is_replaced_whole(tmp_path):
    target = tmp_path / "fit"
    for word in ("first", "second"):
        with atomic_path(target, folder=True, ours=replace_any) as path:
            (path / f"{word}.txt").write_text(word)
    assert [p.name for p in target.iterdir()] == ["second.txt"]


def test_a_full_disk_is_explained(tmp_path):
    code = f"""
import resource
from neurornn._core.files import atomic_path
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with atomic_path({str(tmp_path / "big.bin")!r}) as path:
        path.write_bytes(b"x" * 100000)
except OSError as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("FileWriteError"), done.stdout + done.stderr
    assert "nothing half-written was left" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_of_a_folder_is_explained(tmp_path):
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(FileWriteError, match="part of the path is a file"),
        atomic_path(tmp_path / "file" / "inner.txt") as path,
    ):
        path.write_text("y")


def test_fingerprint_sees_values_shapes_and_types():
    a = np.arange(6.0)
    assert fingerprint(a) == fingerprint(a.copy())
    others = [fingerprint(x) for x in (a.reshape(2, 3), a.astype(np.float32), a + 1e-12, [a], {})]
    assert len({fingerprint(a), *others}) == 6


def test_derived_seeds_do_not_depend_on_what_ran_before():
    assert derived_seed(5, 3, 1) == derived_seed(5, 3, 1) != derived_seed(5, 1, 3)
    assert seed_of(7) == 7
    assert generator(3).integers(100) == generator(3).integers(100)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a call of Linux")
def test_two_folders_are_exchanged_in_one_step(tmp_path):
    from neurornn._core.files import _exchange

    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    if not _exchange(tmp_path / "one", tmp_path / "other"):
        pytest.skip("this file system cannot")
    assert (tmp_path / "one/other").exists() and (tmp_path / "other/one").exists()
    with pytest.raises(FileNotFoundError, match=r"No such file or directory: .*nothing"):
        _exchange(tmp_path / "one", tmp_path / "nothing")
