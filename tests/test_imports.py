"""What an import costs and brings: fresh interpreters, promised names, torch-free rooms."""

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import neurornn as nr

ROOT = Path(nr.__file__).parent
TORCH_FREE = ("_core", "_kernels", "data", "io", "plot", "simulate", "calcium", "koopman")
PROMISED = (
    "open",
    "load",
    "fit",
    "cite",
    "fetch",
    "data.split_blocks",
    "data.windows",
    "data.bin_spikes",
    "data.audit",
    "data.from_pynapple",
    "data.to_pynapple",
    "data.from_neo",
    "data.SequenceSet",
    "calcium.Kinetics",
    "models.LeakyRNN",
    "models.VanillaRNN",
    "compare.league",
    "plot.timescales",
    "plot.trace",
    "plot.history",
    "simulate.simulate_calcium",
)


def fresh(code: str) -> str:
    """Run code in a fresh interpreter and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def submodules():
    return sorted(m.name for m in pkgutil.walk_packages([str(ROOT)], "neurornn."))


def test_import_is_fast_and_light():
    code = (
        "import time; t = time.perf_counter(); import neurornn; t = time.perf_counter() - t;"
        "import sys; heavy = [m for m in ('torch', 'pynwb', 'matplotlib', 'xarray', 'numba',"
        " 'scipy', 'sklearn', 'pandas') if m in sys.modules]; print(t, heavy)"
    )
    # The least of three: another process on the machine can only lengthen an import.
    took, heavy = [], ""
    for _ in range(3):
        seconds, _, heavy = fresh(code).partition(" ")
        took.append(float(seconds))
    assert heavy == "[]"
    assert min(took) < 0.1


@pytest.mark.parametrize("room", TORCH_FREE)
def test_room_is_free_of_torch(room):
    modules = [m for m in submodules() if m.split(".")[1] == room]
    code = "import importlib, sys\n"
    code += "\n".join(f"importlib.import_module({m!r})" for m in modules)
    code += "\nprint('torch' in sys.modules)"
    assert fresh(code) == "False"


def test_kinetics_runs_without_torch():
    code = (
        "import sys, neurornn as nr; r = nr.simulate.simulate_calcium(1, 60., rng=0);"
        "nr.calcium.Kinetics().fit(r['dff']).report(); print('torch' in sys.modules)"
    )
    assert fresh(code) == "False"


@pytest.mark.parametrize("name", PROMISED)
def test_promised_name(name):
    thing = nr
    for part in name.split("."):
        thing = getattr(thing, part)
    assert callable(thing)
    assert inspect.getdoc(thing)


def test_every_submodule_imports():
    for name in submodules():
        importlib.import_module(name)


def test_no_public_name_is_shared_with_a_module():
    modules = {name.rsplit(".", 1)[1] for name in submodules()}
    shared = {}
    for name in submodules():
        tree = ast.parse(Path(importlib.import_module(name).__file__).read_text())
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name in modules:
                shared[f"{name}.{node.name}"] = node.name
    assert not shared, f"importing the module would hide the function: {shared}"


def test_every_public_name_of_a_room_resolves_and_is_documented():
    for room in sorted({m.split(".")[1] for m in submodules()}):
        module = importlib.import_module(f"neurornn.{room}")
        for name in getattr(module, "__all__", []):
            thing = getattr(module, name)
            assert inspect.getdoc(thing), f"neurornn.{room}.{name} has no docstring"


def test_stub_names_every_lazy_attribute():
    for name in nr.__all__:
        getattr(nr, name)
    assert set(nr.__all__) >= {"open", "fit", "load", "calcium", "models", "data"}


def test_all_rooms_say_what_belongs_there():
    for init in ROOT.glob("*/__init__.py"):
        assert ast.get_docstring(ast.parse(init.read_text())), init


def test_no_drawers_for_leftovers():
    names = {p.stem for p in ROOT.rglob("*.py")}
    assert not names & {"utils", "helpers", "misc", "common", "tools"}


def test_nothing_is_pickled():
    # The one restricted unpickler: no name of that module but its base class may be used.
    restricted = ROOT / "io" / "suite2p.py"
    used = {
        node.attr
        for node in ast.walk(ast.parse(restricted.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "pickle"
    }
    assert used == {"Unpickler"}
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if path == restricted and ast.unparse(node) == "import pickle":
                continue
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [a.name for a in node.names] + [getattr(node, "module", "") or ""]
                assert not {"pickle", "cPickle", "dill", "shelve"} & set(names), path
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert isinstance(node.value, ast.Constant), path
                assert node.value.value is False, path
