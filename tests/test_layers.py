"""The house: imports run downward, and the torch-free rooms never reach torch, at any remove."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import neurornn

ROOT = Path(__file__).parent.parent
LINT = Path(sys.executable).with_name("lint-imports")


def run(root: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(LINT), "--no-cache"], cwd=root, capture_output=True, text=True, timeout=120
    )


@pytest.mark.skipif(not LINT.exists(), reason="import-linter is not installed")
def test_imports_run_downward():
    done = run(ROOT)
    assert done.returncode == 0, done.stdout
    assert "2 kept" in done.stdout


def test_no_modules_import_one_another_in_a_circle():
    """Not at the top of a file, not in a function, and not for types alone."""
    root = Path(neurornn.__file__).parent
    modules = {
        ".".join(("neurornn", *p.relative_to(root).with_suffix("").parts)): p
        for p in root.rglob("*.py")
        if p.name != "__init__.py"
    }
    needs = {}
    for name, path in modules.items():
        found = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                found |= {node.module, *(f"{node.module}.{a.name}" for a in node.names)}
            elif isinstance(node, ast.Import):
                found |= {a.name for a in node.names}
        needs[name] = found & set(modules) - {name}
    left = dict(needs)
    while left:
        free = [n for n, of in left.items() if not of & set(left)]
        assert free, f"in circles, or above one: {sorted(left)}"
        for name in free:
            del left[name]
