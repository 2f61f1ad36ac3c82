"""The tutorials: text and notebook in step, what they print stored, every one runs alone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "tutorials").glob("[0-9]*.md"))
NAMES = [page.stem for page in PAGES]

# A source archive holds the tests but not the notebooks.
pytestmark = pytest.mark.skipif(
    not (ROOT / "tutorials").is_dir(), reason="there is no folder tutorials here"
)


def cells(path):
    import jupytext

    return [(c.cell_type, c.source.strip()) for c in jupytext.read(path).cells]


def test_every_page_has_its_notebook_and_its_place_in_the_documentation():
    assert NAMES
    assert sorted(p.stem for p in (ROOT / "tutorials").glob("*.ipynb")) == NAMES
    index = (ROOT / "docs/tutorials/index.md").read_text(encoding="utf-8")
    for page in PAGES:
        assert (ROOT / "docs/tutorials" / page.name).resolve() == page
        assert f"({page.name})" in index


@pytest.mark.parametrize("name", NAMES)
def test_notebook_and_text_are_in_step(name):
    page, notebook = (ROOT / "tutorials" / f"{name}{end}" for end in (".md", ".ipynb"))
    # Otherwise: make tutorials.
    assert cells(notebook) == cells(page)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_stored_is_of_one_whole_run_and_tells_nothing_of_the_machine(name):
    import jupytext

    path = ROOT / "tutorials" / f"{name}.ipynb"
    code = [c for c in jupytext.read(path).cells if c.cell_type == "code"]
    assert [c.execution_count for c in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    # Neither errors nor warnings; every notebook has a picture.
    assert all(o.output_type != "error" and o.get("name") != "stderr" for o in outputs)
    assert any("image/png" in o.get("data", {}) for o in outputs)
    text = path.read_text(encoding="utf-8")
    assert "site-packages" not in text and "iopub" not in text
    assert str(Path.home()) not in text and str(ROOT) not in text
    # A reader downloads it in a moment.
    assert len(text) < 1_000_000


@pytest.mark.parametrize("name", NAMES)
def test_a_page_ends_with_what_to_try_and_its_links_lead_somewhere(name):
    import re

    page = ROOT / "tutorials" / f"{name}.md"
    text = page.read_text(encoding="utf-8")
    assert "## What to try next" in cells(page)[-1][1]
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / target).is_file(), target


@pytest.mark.notebook
@pytest.mark.parametrize("name", NAMES)
def test_it_runs_anywhere_within_its_time(name, tmp_path):
    # In a folder of its own, so that nothing of the checkout is needed and nothing is left there.
    shutil.copy(ROOT / "tutorials" / f"{name}.ipynb", tmp_path)
    command = [sys.executable, "-m", "pytest", "--nbmake", "--nbmake-kernel=python3", "-q"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "-c", os.devnull, f"{name}.ipynb"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        # 90 s on two free cores are allowed; they take about 15, so that a busy machine has room.
        timeout=90,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "1 passed" in done.stdout
    assert [p.name for p in tmp_path.iterdir()] == [f"{name}.ipynb"]
