"""Who sees a progress bar, and what a data set that is here does not import."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from neurornn._core.jobs import progress_bar


@pytest.mark.parametrize(
    ("shell", "shown"),
    [(SimpleNamespace(kernel=1), True), (SimpleNamespace(), False), (None, False)],
)
def test_a_notebook_shows_bars_and_a_script_without_a_terminal_does_not(monkeypatch, shell, shown):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    bar = progress_bar(3, 0, True, "cells")
    with bar as tick:
        tick()
        assert (bar.bar is not None) is shown
        assert not shown or (bar.bar.n, bar.bar.total, bar.bar.desc) == (1, 3, "cells")


@pytest.mark.slow
def test_a_sample_is_found_without_what_downloads():
    """Pooch warns in a notebook without ipywidgets, of bars that nobody has asked for."""
    code = "import sys, neurornn as nr; nr.fetch('sample_calcium'); print('pooch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
