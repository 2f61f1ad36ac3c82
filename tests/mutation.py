"""How many wrong lines do the tests notice? Random ones, each in a copy of the repository.

``python -m tests.mutation --n 200 --seed 0`` draws 200 changes of what tells numbers, runs the
tests that run the changed line, the quickest first, and prints those that no test noticed.
``--places _core,plot/style.py`` draws from some files, ``--workers 2`` tries two at a time. Which
test runs which line is recorded in ``--cache``, beside a copy of the package and of the tests: the
first time for all of them, which takes minutes, later for what was changed. It needs ``coverage``
(``pip install coverage``) and a system that forks. Not part of CI.
"""

import argparse
import ast
import collections
import contextlib
import gc
import importlib
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.wrong_lines import Change, changes, written

ROOT = Path(__file__).parents[1]
#: Where wrong lines are drawn: name -> files below the package.
PLACES = {
    "_core": ("_core/*.py",),
    "data": ("data/*.py",),
    "results": (
        "io/shell.py", "training/table.py", "training/result.py", "compare/table.py",
        "compare/scores.py", "decode/scores.py", "calcium/kinetics.py", "calcium/planning.py",
        "calcium/kinetics_tables.py",
    ),
    "pictures": ("plot/*.py",),
}  # fmt: skip
#: Of long files the functions that tell what was found; the rest is about finding it.
PARTS = {"calcium/kinetics.py": {"_report_table", "_methods_sentence"}}
#: Tests that are recorded: what else there is runs these lines on the way to something else, or in
#: processes of its own, where nothing is recorded. Of training and decoding those that tell.
TESTS = (
    "tests/core", "tests/data", "tests/plot", "tests/contracts", "tests/compare", "tests/simulate",
    "tests/io", "tests/calcium", "tests/decode/test_scores.py",
    "tests/decode/test_score_details.py", "tests/decode/test_dropping.py",
    "tests/decode/test_closed_loop.py", "tests/decode/test_left_out.py",
    "tests/decode/test_moments.py",
    "tests/training/test_counts.py", "tests/training/test_gradients.py",
    "tests/training/test_how_it_ended.py", "tests/training/test_predict.py",
    "tests/training/test_settings.py", "tests/training/test_told_details.py",
    "tests/training/test_trials.py", "tests/hostile/test_hostile.py",
    "tests/hostile/test_saving.py", "tests/test_cli.py", "tests/test_cli_config.py",
    "tests/test_cli_door.py", "tests/test_spine.py",
    "neurornn/_core", "neurornn/data", "neurornn/plot", "neurornn/decode/scores.py",
    "neurornn/calcium/planning.py",
)  # fmt: skip
#: Modules that every child needs and that do not know the package: imported once.
WARM = (
    "coverage", "pytest", "numpy", "scipy.stats", "scipy.optimize", "scipy.signal", "pandas",
    "xarray", "h5py", "h5netcdf", "sklearn.linear_model", "joblib", "dask.array", "numba",
    "torch.func", "safetensors.numpy", "matplotlib.pyplot", "hypothesis.extra.numpy",
)  # fmt: skip
#: A test that takes so many s more than ten times what it took before is caught in a loop.
STUCK = 30.0


class Watch:
    """Plugin of pytest: picks and orders the tests, and writes down what happens.

    Parameters
    ----------
    log : file, a line for every start, end and failure of a test.
    chosen : ids of tests in the order in which they are to run; None for all.
    recorder : coverage whose context is the test under way.
    """

    def __init__(self, log: Path, chosen: Sequence[str] | None = None, recorder: Any = None):
        self.log, self.chosen, self.recorder = log.open("a"), chosen, recorder

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        if self.chosen is not None:
            found = {item.nodeid: item for item in items}
            items[:] = [found[t] for t in self.chosen if t in found]

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        if self.recorder is not None:
            self.recorder.switch_context(nodeid)
        self.say("start", nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        word = "failed" if report.failed else "skipped" if report.skipped else report.when
        self.say(word, report.nodeid, report.duration)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.say("failed", report.nodeid or "collection")

    def say(self, word: str, nodeid: str, seconds: float = 0.0) -> None:
        self.log.write(f"{json.dumps([word, nodeid, round(seconds, 4)])}\n")
        self.log.flush()


class Map(NamedTuple):
    """What was recorded: seconds of each test that passed, and which of them ran which line."""

    base: Path
    seconds: dict[str, float]
    lines: dict[str, dict[int, list[str]]]


def start(root: Path, log: Path, chosen: Sequence[str] | None, record: Sequence[str] = ()) -> int:
    """Run tests of a copy of the repository in a child process; its id."""
    log.unlink(missing_ok=True)
    pid = os.fork()
    if pid:
        return pid
    status = 99
    try:
        os.setsid()
        with open(log.with_suffix(".out"), "w") as out:
            os.dup2(out.fileno(), 1), os.dup2(out.fileno(), 2)
        os.chdir(root)
        scratch = log.with_suffix(".tmp")
        os.environ.update(
            PYTHONPATH=str(root), PYTHONSAFEPATH="1", PYTHONDONTWRITEBYTECODE="1",
            HYPOTHESIS_STORAGE_DIRECTORY=f"{scratch}.hypothesis", MPLBACKEND="Agg",
        )  # fmt: skip
        sys.dont_write_bytecode = not record
        sys.path[:] = [str(root), *(p for p in sys.path if Path(p or ".").resolve() != ROOT)]
        for name in [n for n in sys.modules if n.split(".")[0] in ("tests", "neurornn")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        recorder = None
        if record:
            import coverage

            recorder = coverage.Coverage(
                data_file=str(root.parent / ".coverage"), source=[str(root / "neurornn")],
                config_file=False,
            )  # fmt: skip
            recorder.load()
            recorder.start()
        import neurornn

        assert Path(neurornn.__file__).is_relative_to(root), "the tests must see the copy"
        import pytest

        files = record or list(dict.fromkeys(t.split("::")[0] for t in chosen or ()))
        options = ["-p", "no:cacheprovider", "-q", "--tb=short", "--hypothesis-seed=0"]
        options += ["-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning"]
        options += ["-m", "not slow and not network and not realdata and not gpu"]
        options += [f"--rootdir={root}", f"--basetemp={scratch}", *([] if record else ["-x"])]
        status = int(pytest.main([*options, *files], plugins=[Watch(log, chosen, recorder)]))
        if recorder is not None:
            recorder.stop()
            recorder.save()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(status)


def heard(log: Path) -> list[list[Any]]:
    """What the tests of a child have said so far."""
    text = log.read_text() if log.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def copied(source: Path, target: Path) -> None:
    """Copy of the repository; what is large and only read is linked."""
    for name in ("neurornn", "tests"):
        # With compiled loops and modules in it, which know the time of their source.
        shutil.copytree(source / name, target / name)
    for name in ("pyproject.toml", "README.md", "CITATION.cff", "Makefile"):
        if (source / name).exists():
            shutil.copy2(source / name, target / name)
    for name in ("datasets", "docs", "tutorials"):
        if (ROOT / name).exists():
            (target / name).symlink_to(ROOT / name)


def recorded(cache: Path, fresh: bool, frozen: bool) -> Map:
    """Which test runs which line, from the cache as far as it still holds."""
    base, known = cache / "base", cache / "tests.json"
    if fresh or not known.exists():
        shutil.rmtree(cache, ignore_errors=True)
        cache.mkdir(parents=True)
        copied(ROOT, base)
        return _record(cache, {}, list(TESTS))
    seconds = json.loads(known.read_text())
    found = Map(base, seconds, _lines_of(cache, seconds))
    if frozen:
        return found
    changed = {
        str(f.relative_to(ROOT)) for name in ("neurornn", "tests")
        for f in (ROOT / name).rglob("*.py") if not _same(f, base / f.relative_to(ROOT))
    }  # fmt: skip
    for name in changed:
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, base / name)
    ours = {n for n in changed if n.startswith("neurornn/")}
    of_lines = [found.lines.get(n.removeprefix("neurornn/"), {}) for n in ours]
    again = {t.split("::")[0] for lines in of_lines for of in lines.values() for t in of}
    again |= {n for n in changed - ours if n.startswith(TESTS) and "/test_" in n}
    again = {n for n in again if (ROOT / n).exists()}
    if not again:
        return found
    data = _data_of(cache)
    data.purge_files([str(base / n) for n in ours])
    data.write()
    return _record(cache, {k: v for k, v in seconds.items() if k.split("::")[0] not in again},
                   sorted(again))  # fmt: skip


def _record(cache: Path, seconds: dict[str, float], tests: list[str]) -> Map:
    """Run tests and keep which lines each ran; those that fail are not counted on."""
    began, log = time.monotonic(), cache / "record.log"
    print(f"recording {len(tests)} files and folders of tests", flush=True)
    os.waitpid(start(cache / "base", log, None, tests), 0)
    spent: collections.Counter[str] = collections.Counter()
    bad = set()
    for word, nodeid, took in heard(log):
        spent[nodeid] += took
        bad |= {nodeid} if word in ("failed", "skipped") else set()
    took = time.monotonic() - began
    print(f"{len(spent)} tests, {len(bad)} failed or were skipped, {took:.0f} s", flush=True)
    seconds = {**seconds, **{k: v for k, v in spent.items() if k not in bad}}
    (cache / "tests.json").write_text(json.dumps(seconds))
    return Map(cache / "base", seconds, _lines_of(cache, seconds))


def _data_of(cache: Path) -> Any:
    import coverage

    data = coverage.CoverageData(str(cache / ".coverage"))
    data.read()
    return data


def _lines_of(cache: Path, seconds: dict[str, float]) -> dict[str, dict[int, list[str]]]:
    data, package = _data_of(cache), cache / "base/neurornn"
    return {
        str(Path(f).relative_to(package)): {
            k: [c for c in of if c in seconds] for k, of in data.contexts_by_lineno(f).items()
        }
        for f in data.measured_files()
    }


def _same(file: Path, other: Path) -> bool:
    return other.exists() and other.read_bytes() == file.read_bytes()


def covering(found: Map, file: str, tree: ast.Module, change: Change) -> list[str]:
    """Tests that run a changed line, then those that share what was made by it; quick ones first.

    What is kept for several tests (a fixture, a cache) was made in the first of them alone: tests
    of the same file, and of the contracts those of the same result, may look at it too. What a
    file of tests makes while it is imported belongs to none of them: make it in a function.
    """
    lines = found.lines.get(file, {})

    def run_by(node: ast.AST) -> set[str]:
        span = range(node.lineno, (node.end_lineno or node.lineno) + 1)  # type: ignore[attr-defined]
        return {t for k in span for t in lines.get(k, ())}

    if change.at_import:
        bodies = [change.scope] if change.scope is not None else [
            n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.Lambda)
        ]  # fmt: skip
        direct = {t for b in bodies for t in run_by(b)}
    else:
        simple = not hasattr(change.outer, "body")
        direct = run_by(change.inner) or (run_by(change.outer) if simple else set())

    def shared(test: str) -> tuple[str, str]:
        place, _, row = test.partition("[")
        where = "contracts" if place.startswith("tests/contracts") else place.split("::")[0]
        return where, re.split(r"[-\]]", row)[0] if where == "contracts" else ""

    groups = {shared(t) for t in direct}
    beside = {t for t in found.seconds if t not in direct and shared(t) in groups}
    return [*_ordered(direct, file, found.seconds), *_ordered(beside, file, found.seconds)]


def _ordered(tests: Iterable[str], file: str, seconds: dict[str, float]) -> list[str]:
    """Tests of the file's own subject first, then file by file, each from the quickest on."""
    own = Path(file).stem.strip("_")
    files = collections.defaultdict(list)
    for t in tests:
        files[t.split("::")[0]].append(t)

    def cost(name: str) -> tuple[bool, float, str]:
        return own not in Path(name).stem, sum(seconds[t] for t in files[name]), name

    inside = {n: sorted(of, key=lambda t: (seconds[t], t)) for n, of in files.items()}
    return [t for n in sorted(files, key=cost) for t in inside[n]]


def drawn(base: Path, places: Sequence[str], n: int, seed: int) -> list[Any]:
    """Some of all changes of the files, in random order: (file, tree, change)."""
    asked = [name for place in places for name in place.split(",")]
    names = [p for name in asked for p in PLACES.get(name, (name,))]
    package, found = base / "neurornn", []
    paths = {f for name in names for f in package.glob(name) if f.stem != "__init__"}
    for path in sorted(paths):
        file, tree = str(path.relative_to(package)), ast.parse(path.read_text(encoding="utf-8"))
        part = PARTS.get(file)
        found += [
            (file, tree, c) for c in changes(tree)
            if part is None or getattr(c.scope, "name", "") in part
        ]  # fmt: skip
    print(f"{len(found)} changes to draw from, in {len({f for f, _, _ in found})} files")
    return random.Random(seed).sample(found, min(n, len(found)))


def verdict_of(pid: int, log: Path, seconds: dict[str, float], budget: float, began: float) -> str:
    """What became of a child: empty while it runs."""
    gone, status = os.waitpid(pid, os.WNOHANG)
    now = time.time()
    idle = now - (log.stat().st_mtime if log.exists() else began)
    if not gone and idle < STUCK and now - began < budget:
        return ""
    said = heard(log)
    failed = [nodeid for word, nodeid, _ in said if word == "failed"]
    done = sum(word == "teardown" for word, *_ in said)
    under_way = said[-1][1] if said else "the imports"
    if gone and os.waitstatus_to_exitcode(status) == 0:
        verdict = f"survived {done} tests"
    elif gone:
        verdict = f"killed by {(failed or ['itself'])[0]}"
    elif idle > STUCK + 10 * seconds.get(under_way, 0.0):
        verdict = f"timeout in {under_way}"
    elif now - began > budget and not failed:
        verdict = f"survived {done} tests, {budget:.0f} s of them"
    else:
        return ""
    with contextlib.suppress(ProcessLookupError):
        # What the tests have started and left.
        os.killpg(pid, signal.SIGKILL)
    if not gone:
        os.waitpid(pid, 0)
    return verdict


def tried(found: Map, work: list[Any], n_workers: int, budget: float, cache: Path) -> list[Any]:
    """Try changes, so many at a time: [file, line, kind, before, after, verdict, seconds]."""
    waiting, running, results = list(work)[::-1], {}, []
    slots = [cache / f"slot{k}" for k in range(n_workers)]
    (cache / "results.jsonl").unlink(missing_ok=True)
    for slot in slots:
        shutil.rmtree(slot, ignore_errors=True)
        slot.mkdir()
        copied(found.base, slot)
    while waiting or running:
        while waiting and slots:
            file, tree, change = waiting.pop()
            text, before, after = written(tree, change)
            told = (file, change.inner.lineno, change.kind, before, after)  # type: ignore[attr-defined]
            tests = covering(found, file, tree, change)
            if not tests:
                results.append([*told, "no test covers it", 0.0])
                print(f"no test covers: {told[0]}:{told[1]} {told[2]}\n  - {before}", flush=True)
                continue
            slot = slots.pop()
            place = slot / "neurornn" / file
            place.write_text(text, encoding="utf-8")
            for old in place.parent.glob(f"__pycache__/{place.stem}.*.pyc"):
                old.unlink()
            log = slot.with_suffix(".log")
            running[start(slot, log, tests)] = slot, log, told, time.time()
        time.sleep(0.02)
        for pid, (slot, log, told, began) in list(running.items()):
            verdict = verdict_of(pid, log, found.seconds, budget, began)
            if not verdict:
                continue
            del running[pid]
            slots.append(slot)
            shutil.copy2(found.base / "neurornn" / told[0], slot / "neurornn" / told[0])
            results.append([*told, verdict, time.time() - began])
            with (cache / "results.jsonl").open("a") as said:
                said.write(f"{json.dumps(results[-1])}\n")
            if not verdict.startswith("killed"):
                file, line, kind, before, after = told
                print(f"{verdict}: {file}:{line} {kind}\n  - {before}\n  + {after}", flush=True)
    return results


def main(arguments: list[str] | None = None) -> int:
    """Draw, try, and say what no test noticed; the exit status is the number of those."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--n", type=int, default=200, help="changes to draw")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--places", nargs="+", default=list(PLACES), help="names, or files")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--budget", type=float, default=120.0, help="s for each change")
    parser.add_argument("--fresh", action="store_true", help="record the tests anew")
    parser.add_argument("--frozen", action="store_true", help="package and tests as recorded")
    parser.add_argument(
        "--cache", type=Path, default=Path(tempfile.gettempdir()) / "neurornn-mutation"
    )
    given = parser.parse_args(arguments)
    for name in WARM:
        importlib.import_module(name)
    sys.modules["torch"].set_num_threads(1)
    gc.freeze()
    began = time.time()
    found = recorded(given.cache, given.fresh, given.frozen)
    work = drawn(found.base, given.places, given.n, given.seed)
    results = tried(found, work, given.workers, given.budget, given.cache)
    known = sorted({r[5].removeprefix("killed by ") for r in results} & set(found.seconds))
    if known:
        # Whoever fails on the right package too has killed nothing.
        log = given.cache / "right.log"
        os.waitpid(start(found.base, log, known), 0)
        for nodeid in [n for word, n, _ in heard(log) if word == "failed"]:
            print(f"fails on the right package too: {nodeid}")
    counts = collections.Counter(r[5].split()[0] for r in results)
    caught = counts["killed"] + counts["timeout"]
    rate = 100 * caught / max(len(results), 1)
    print(
        f"{caught} of {len(results)} noticed ({rate:.1f} %), {counts['timeout']} by a time limit; "
        f"{counts['survived']} survived, {counts['no']} run by no test; "
        f"{time.time() - began:.0f} s"
    )
    return min(len(results) - caught, 255)


if __name__ == "__main__":
    sys.exit(main())
