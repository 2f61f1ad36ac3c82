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
    "sequences.BacterialGenes",
    "sequences.stream",
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


def test_import_is_light():
    # What makes an import slow is what it brings along: of the package nothing but itself.
    code = (
        "import sys; before = set(sys.modules); import neurornn;"
        "print(*sorted({m.split('.')[0] for m in set(sys.modules) - before}"
        " - set(sys.stdlib_module_names)))"
    )
    assert set(fresh(code).split()) <= {"neurornn", "lazy_loader", "packaging"}


def test_rooms_are_free_of_torch_and_kinetics_runs_without_it():
    """In one interpreter, module after module: the first that brings torch is named."""
    modules = [m for m in submodules() if m.split(".")[1] in TORCH_FREE]
    assert {m.split(".")[1] for m in modules} == set(TORCH_FREE)
    code = (
        "import importlib, sys, neurornn as nr\n"
        f"for name in {modules!r}:\n"
        "    importlib.import_module(name)\n"
        "    if 'torch' in sys.modules: sys.exit(f'{name} imports torch')\n"
        "r = nr.simulate.simulate_calcium(1, 60., rng=0)\n"
        "nr.calcium.Kinetics().fit(r['dff']).report()\n"
        "print('torch' in sys.modules)"
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
    modules = submodules()
    shared = {}
    for name in modules:
        # A function may come out at any package above the module that it stands in.
        above = name.rsplit(".", 1)[0]
        packages = [above, above.rsplit(".", 1)[0]]
        tree = ast.parse(Path(importlib.import_module(name).__file__).read_text())
        for node in tree.body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef):
                continue
            hidden = [f"{p}.{node.name}" for p in packages if f"{p}.{node.name}" in modules]
            if hidden:
                shared[f"{name}.{node.name}"] = hidden
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
