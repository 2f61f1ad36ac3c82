"""CONTRIBUTING says how to add six things; what it says is put into a copy of the package."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import neurornn

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "CONTRIBUTING.md").read_text(encoding="utf-8")
#: Path and body of every block of code that begins with the file it is for.
BLOCKS = re.findall(r"```py\n# (neurornn/\S+\.py)\n(.*?)```", TEXT, flags=re.S)

USED = """
import warnings
import numpy as np
import neurornn as nr
from neurornn.cli import main

assert nr.__file__.startswith(HERE), nr.__file__
warnings.simplefilter("ignore")
rng = np.random.default_rng(0)

# A reader: told by its first bytes.
with open("cells.txt", "w") as file:
    file.write("#traces 25\\n")
    for row in 2 * rng.normal(size=(400, 3)):
        file.write(" ".join(map(str, row)) + "\\n")
recording = nr.open("cells.txt")
assert recording["dff"].shape == (400, 3) and nr.data.sampling_rate_of(recording["dff"]) == 25

# An estimator: the truth inside its interval, told and saved like any other.
noise = nr.calcium.NoiseLevel().fit(recording["dff"])
low, high = noise.parameters_["noise_sd_ci"].values.T
assert ((low < 2) & (2 < high)).all()
assert "noise_sd" in noise.report() and "noise" in noise.to_latex() and noise._repr_html_()
noise.save("noise.nc")
noise.to_csv("noise.csv")
again = nr.load("noise.nc")
assert again.report() == noise.report() and again.sampling_rate_ == 25

# A picture.
ax = nr.plot.noise_levels(noise.parameters_)
assert ax.get_ylabel() == "noise_sd"

# A command, with every option of nr.open.
assert main(["noise", "cells.txt", "--json"]) == 0

# A cell: seeds, league, saved and loaded without naming its class.
x = rng.normal(size=(12, 40, 2))
y = np.zeros((12, 40, 1))
for t in range(40):
    y[:, t] = 0.9 * y[:, t - 1] + x[:, t] @ [[1.0], [0.5]] if t else x[:, t] @ [[1.0], [0.5]]
cell = nr.models.SharedDecay(2, 1, 1, dt=0.01)
result = nr.fit(cell, (x, y), max_epochs=30, n_seeds=2, rng=0)
assert result.score((x, y)) > 0.999
result.save("fit")
assert nr.load("fit").report() == result.report()
table = nr.compare.league((x, y), [cell, "memoryless"], n_seeds=1, max_epochs=5)
assert "SharedDecay" in table.report()

# A decoder: scored, streamed, saved, and by its name on the command line.
velocity = np.cumsum(rng.normal(size=(900, 2)), axis=0) * 0.1
counts = rng.poisson(np.exp(0.3 * velocity @ rng.normal(size=(2, 20))))
decoder = nr.decode.PresentBin(bin_size=0.05).fit(counts[:700], velocity[:700])
decoded = decoder.predict(counts[700:])
assert float(decoder.scores_["r2"].mean()) > 0.3
stream = decoder.stream()
assert all(np.array_equal(stream.step(c), d) for c, d in zip(counts[700:], decoded))
decoder.save("decoder")
assert np.array_equal(nr.load("decoder").predict(counts[700:]), decoded)
from neurornn.cli.decode import decoder_named
assert decoder_named("PresentBin") == ("PresentBin", {})
print("used")
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the package with what CONTRIBUTING adds, and the number of lines elsewhere."""
    folder = tmp_path_factory.mktemp("copy")
    source = Path(neurornn.__file__).parent
    shutil.copytree(source, folder / "neurornn", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "datasets", folder / "datasets")
    # Nothing is added to the kernels: where they stand they are compiled already.
    path = folder / "neurornn" / "_kernels" / "__init__.py"
    path.write_text(f"__path__ = [{str(source / '_kernels')!r}]\n", "utf-8")
    lines = 0
    for name, body in BLOCKS:
        path = folder / name
        if not path.exists():
            path.write_text(body, encoding="utf-8")
            continue
        # One line, into the table of names: the first that is open at the end of a line.
        assert body.count("\n") == 1, f"more than one line for {name}"
        text = path.read_text(encoding="utf-8")
        table = re.search(r"^(    \{|_READERS.*\{)\n", text, flags=re.M)
        assert table, f"no table of names in {name}"
        path.write_text(text[: table.end()] + "    " + body + text[table.end() :], "utf-8")
        lines += 1
    return folder, lines


def test_each_is_one_file_and_at_most_one_line_elsewhere(copy):
    files = [name for name, _ in BLOCKS if not (ROOT / name).exists()]
    assert sorted(Path(f).parent.name for f in files) == sorted(
        ["models", "io", "decode", "calcium", "plot", "cli"]
    )
    assert copy[1] == len(BLOCKS) - len(files) <= len(files)


@pytest.mark.slow
def test_all_six_are_used_in_a_copy_of_the_package(copy, tmp_path):
    code = f"HERE = {str(copy[0])!r}\n" + USED
    # The copy comes before the installed package; -P keeps the working folder out of the path.
    script = tmp_path / "used.py"
    script.write_text(f"import sys\nsys.path.insert(0, {str(copy[0])!r})\n" + code, "utf-8")
    done = subprocess.run(
        [sys.executable, "-P", str(script)], cwd=tmp_path, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip().endswith("used")
