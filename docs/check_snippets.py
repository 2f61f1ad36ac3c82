"""Run the snippets of the README and of the pages, and compare what they print.

Run ``python docs/check_snippets.py`` from the project's folder. The python and bash blocks of a
page run in order in one empty folder, python blocks in one session; a text block that follows a
block must be exactly what that block printed. Blocks marked sh are not run. With ``--write`` the
text blocks are brought up to date instead; pages may be named: ``--write README.md``. With
``--near`` the words must be the same and numbers may differ by a third of themselves: another
processor rounds otherwise, and a search then takes a step more.
"""

import contextlib
import difflib
import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: With --near, numbers may differ by so large a share, or by so much where they are small.
SHARE, LITTLE = 0.3, 0.02
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w])")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run_python(code, session):
    """Run a python block; returns what it printed."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(code, "<snippet>", "exec"), session)
    return said.getvalue()


def run_bash(code):
    """Run a bash block; returns what it printed, errors included."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PATH": path, "MPLBACKEND": "Agg", "NEURORNN": str(ROOT)},
    )
    if done.returncode:
        raise RuntimeError(f"{code}\n{done.stdout}")
    return done.stdout


def near(page, printed):
    """Whether two texts have the same words, and numbers that are nearly the same."""
    words, numbers = [], []
    for text in (page, printed):
        # Columns are as wide as their numbers.
        text = re.sub(r"-{2,}", "--", text)
        words.append(NUMBER.sub("#", text).split())
        numbers.append([float(n) for n in NUMBER.findall(text)])
    if words[0] != words[1]:
        return False
    return all(
        abs(a - b) <= max(SHARE * max(abs(a), abs(b)), LITTLE)
        for a, b in zip(*numbers, strict=True)
    )


def check(page, nearly=False):
    """Run the blocks of a page; returns their number, the differences, and the page as printed."""
    session, said, wrong, n_run = {}, None, [], 0
    text, renewed, done = page.read_text(encoding="utf-8"), "", 0
    for block in BLOCK.finditer(text):
        kind, body = block[1], block[2]
        if kind == "yaml":
            name = re.match(r"# (\S+)\n", body)
            if name:
                Path(name[1]).write_text(body)
        elif kind == "python":
            said, n_run = run_python(body, session), n_run + 1
        elif kind == "bash":
            said, n_run = run_bash(body), n_run + 1
        elif kind == "text" and said is not None:
            a, b = ([line.rstrip() for line in t.strip().splitlines()] for t in (body, said))
            if not (nearly and near(body, said)):
                wrong += difflib.unified_diff(a, b, "page", "printed", lineterm="")
            renewed += text[done : block.start(2)] + "\n".join(b) + "\n"
            said, done = None, block.end(2)
    return n_run, wrong, renewed + text[done:]


def main():
    """Check every page; returns the exit status."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    write, nearly = "--write" in sys.argv, "--near" in sys.argv
    named = [Path(a).resolve() for a in sys.argv[1:] if a not in ("--write", "--near")]
    pages = named or [
        ROOT / "README.md",
        *sorted((ROOT / "docs").glob("*/*.md")),
        ROOT / "docs/index.md",
    ]
    failed = False
    start = Path.cwd()
    for page in pages:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                n_run, wrong, renewed = check(page, nearly)
            finally:
                os.chdir(start)
        print(f"{page.relative_to(ROOT)}: {n_run} blocks", *wrong, sep="\n")
        if wrong and write:
            page.write_text(renewed, encoding="utf-8")
        failed = failed or (bool(wrong) and not write)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
