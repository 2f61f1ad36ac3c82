"""Interrupted fits and lost workers cost time, never numbers."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import neurornn as nr

#: Enough that a fast machine has not finished them before it can be interrupted.
N_CELLS = 40


def recording():
    return nr.simulate.simulate_calcium(N_CELLS, 150.0, 30.0, tau_decay=0.5, snr=8.0, rng=3)["dff"]


@pytest.fixture(scope="module")
def traces():
    return recording()


@pytest.fixture(scope="module")
def undisturbed(traces):
    return nr.calcium.Kinetics(chunk_size=1).fit(traces)


def same_bits(a, b):
    return (
        a.parameters_.identical(b.parameters_)
        and a.events_.identical(b.events_)
        and np.array_equal(a.calcium_.values, b.calcium_.values)
        and np.array_equal(a.baseline_.values, b.baseline_.values)
    )


def finished(folder):
    return sorted(p.name for p in folder.glob("chunk-*.npz"))


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def group_is_gone(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals to a group are a Unix matter")
def test_ctrl_c_costs_the_running_chunks_alone(tmp_path, traces, undisturbed):
    script = textwrap.dedent(
        """
        import signal
        import neurornn as nr
        # A shell that starts jobs in the background may have them ignore Ctrl-C.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        dff = nr.simulate.simulate_calcium(40, 150.0, 30.0, tau_decay=0.5, snr=8.0, rng=3)["dff"]
        nr.calcium.Kinetics(chunk_size=1, n_jobs=2).fit(dff, checkpoint="p")
        """
    )
    # A group of its own: Ctrl-C in a terminal reaches the workers as well.
    run = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    folder = tmp_path / "p"
    try:
        assert wait_for(lambda: len(finished(folder)) >= 3, 60), run.poll()
        before = finished(folder)
        os.killpg(run.pid, signal.SIGINT)
        _, said = run.communicate(timeout=30)
    finally:
        if run.poll() is None:
            run.kill()
            run.communicate()
    assert run.returncode != 0
    assert "KeyboardInterrupt" in said
    assert wait_for(lambda: group_is_gone(run.pid), 20), "a worker is left behind"

    kept = finished(folder)
    # What was finished stays, and the run was indeed cut short.
    assert set(before) <= set(kept)
    assert len(kept) < N_CELLS
    # Nothing half-written: only whole chunks and the manifest.
    assert sorted(p.name for p in folder.iterdir()) == [*kept, "manifest.json"]

    done = []
    again = nr.calcium.Kinetics(chunk_size=1, progress=lambda k, n: done.append(k)).fit(
        traces, checkpoint=folder
    )
    # Only the missing ones are fitted.
    assert done == list(range(len(kept) + 1, N_CELLS + 1))
    assert same_bits(again, undisturbed)


# The scheduler takes note of a worker that vanished in log lines, not in warnings; the cluster's
# own threads may warn that a connection broke.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.slow  # starting and restarting worker processes takes 10 s
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is a Unix matter")
def test_a_killed_worker_changes_no_bit(traces, undisturbed):
    distributed = pytest.importorskip("distributed")
    killed = []
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):

        def kill_one(done, total):
            if not killed:
                workers = client.run(os.getpid)
                address, pid = sorted(workers.items())[0]
                # It has cells in hand: otherwise nothing would be lost.
                assert client.processing()[address]
                os.kill(pid, signal.SIGKILL)
                killed.append(done)

        kinetics = nr.calcium.Kinetics(chunk_size=1, progress=kill_one).fit(traces, client=client)
    # In the middle of the run.
    assert killed == [1]
    assert same_bits(kinetics, undisturbed)
