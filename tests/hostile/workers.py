"""Cases in processes of their own: one that dies or hangs is a result like another."""

import multiprocessing
import sys
import time
from typing import Any

from tests.hostile import outcomes
from tests.hostile.outcomes import Outcome

#: Wall-clock seconds after which a process is taken for stuck in compiled code.
PATIENCE = 180.0


def _work(keys: list[Any], run: Any, queue: Any, prepare: Any) -> None:
    from tests.hostile.runs import quiet

    quiet()
    if prepare is not None:
        prepare(keys)
    for key in keys:
        queue.put(("began", key, None))
        queue.put(("ended", key, run(key)))
    queue.put(("done", None, None))


def run_all(
    keys: list[Any], run: Any, n_workers: int, patience: float = PATIENCE, prepare: Any = None
) -> dict[Any, Outcome]:
    """Run cases in processes of their own, so that one that dies is a result like another.

    Parameters
    ----------
    keys : the cases.
    run : of a case, its outcome.
    n_workers : processes.
    patience : s, for one case.
    prepare : is called in each process with its cases, outside of their time.
    """
    context = multiprocessing.get_context("spawn")
    found: dict[Any, Outcome] = {}
    todo = [keys[k::n_workers] for k in range(n_workers)]
    workers: list[Any] = [None] * n_workers
    began: list[Any] = [None] * n_workers
    while any(todo) or any(w is not None for w in workers):
        for k in range(n_workers):
            if workers[k] is None and todo[k]:
                queue = context.Queue()
                process = context.Process(
                    target=_work, args=(todo[k], run, queue, prepare), daemon=True
                )
                process.start()
                workers[k], began[k] = (process, queue), None
            if workers[k] is None:
                continue
            process, queue = workers[k]
            alive = process.is_alive()
            while not queue.empty():
                what, key, outcome = queue.get()
                if what == "began":
                    began[k] = (key, time.monotonic())
                elif what == "ended":
                    found[key] = outcome
                    todo[k] = todo[k][1:]
                    began[k] = None
                else:
                    process.join()
            stuck = began[k] is not None and time.monotonic() - began[k][1] > patience
            if stuck:
                process.kill()
            if not alive or stuck:
                if began[k] is not None and queue.empty():
                    key = began[k][0]
                    found[key] = Outcome(
                        outcomes.SLOW if stuck else outcomes.FOREIGN,
                        "stuck" if stuck else f"the process died, status {process.exitcode}",
                    )
                    todo[k] = todo[k][1:]
                elif not alive and began[k] is None and todo[k] and process.exitcode:
                    print(f"a worker ended with status {process.exitcode}", file=sys.stderr)
                    todo[k] = []
                workers[k] = None
        time.sleep(0.02)
    return found
