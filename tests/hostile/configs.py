"""Wrong values in the YAML file of ``neurornn fit``: each must end in one sentence, status 1."""

import contextlib
import io
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.hostile.outcomes import FOREIGN, QUIET, REFUSED, RIGHT, Outcome, attempt

#: Values as they would be typed, by what is wrong with them.
VALUES = {
    "NaN": ".nan", "inf": ".inf", "-inf": "-.inf", "0": "0", "-1": "-1", "-0.5": "-0.5",
    "huge": "1.0e+300", "huge whole": "1" + "0" * 30, "tiny": "1.0e-300", "text": "fast",
    "null": "null", "empty": "", "true": "true", "list": "[1, 2]", "empty list": "[]",
    "dict": "{a: 1}", "list of dicts": "[{a: 1}]", "date": "2020-01-01", "empty text": "''",
    "bytes": "!!binary aGVsbG8=", "set": "!!set {a, b}", "nested": "[[1, [2, 3]], 4]",
    "odd name": "'\\0'",
}  # fmt: skip

#: part -> key -> a good value.
KEYS = {
    "data": {"file": "one.nc", "units": "[0]", "sampling_rate": "20.0"},
    "windows": {
        "inputs": "spikes", "targets": "dff", "duration": "5.0", "warmup": "1.0", "horizon": "1",
        "fractions": "[0.7, 0.3]", "gap": "1.0", "trials": "false", "bin_size": "0.05",
    },
    "model": {
        "name": "LeakyRNN", "n_hidden": "1", "nonlinearity": "linear", "tau": "1.0", "dt": "0.05",
        "tau_bounds": "[0.01, 5.0]", "rng": "0",
    },
    "fit": {
        "max_epochs": "1", "rng": "0", "learning_rate": "0.01", "optimizer": "adam",
        "batch_size": "2", "patience": "3", "tolerance": "1.0e-8", "n_seeds": "1",
        "confidence_level": "0.9", "clip_norm": "1.0", "schedule": "cosine", "refine": "false",
    },
    "out": {"": "fitted"},
}  # fmt: skip
#: Keys that a good file has.
BASE = {
    "data": ("file",), "windows": ("inputs", "targets", "duration"),
    "model": ("name", "n_hidden", "nonlinearity", "tau"),
    "fit": ("max_epochs", "rng", "optimizer", "refine"),
}  # fmt: skip

WHOLE = {
    "a number": "3\n", "a list": "[1, 2]\n", "text": "hello\n", "nothing": "", "null": "null\n",
    "two documents": "a: 1\n---\nb: 2\n", "a tab": "data:\n\tfile: x\n", "a colon": "a: b: c\n",
    "not UTF-8": "data: \udcff\n", "NUL": "data: \x00\n", "unknown tag": "data: !weird 3\n",
    "python object": "data: !!python/object/apply:os.getcwd []\n", "deep": "[" * 3000,
    "anchor unknown": "data: *nowhere\n", "anchor of itself": "data: &a [*a]\n",
    "a key twice": "GOOD\nfit: {max_epochs: 2}\n",
    "a key twice inside": "GOOD_WITH fit: {max_epochs: 1, max_epochs: 2}\n",
    "a misspelt key": "GOOD\nfits: {max_epochs: 2}\n", "an unknown key": "GOOD\nzebra: 3\n",
    "a number for a key": "GOOD\n3: 4\n", "a list for a key": "GOOD\n? [1, 2]\n: 4\n",
    "null for a key": "GOOD\nnull: 4\n", "true for a key": "GOOD\ntrue: 4\n",
    "merge": "GOOD_WITH base: &b {max_epochs: 1}\nfit: {<<: *b}\n",
    "key of a key": "GOOD_WITH fit: {[1]: 2}\n", "number key inside": "GOOD_WITH fit: {3: 2}\n",
}  # fmt: skip


@dataclass(frozen=True)
class Config:
    """One wrong file."""

    part: str
    argument: str
    kind: str

    @property
    def key(self) -> str:
        return f"{self.part} | {self.argument} | {self.kind}"

    def text(self) -> str:
        """The file."""
        if self.part == "whole":
            text = WHOLE[self.kind]
            if text.startswith("GOOD_WITH "):
                kept = [r for r in _good().splitlines() if not r.startswith("fit:")]
                return "\n".join(kept) + "\n" + text.removeprefix("GOOD_WITH ")
            return text.replace("GOOD", _good().strip())
        value = VALUES[self.kind]
        return _good(self.part, self.argument, value)


def _good(part: str = "", key: str = "", value: str = "") -> str:
    rows = []
    for name, keys in BASE.items():
        if name == part and not key:
            rows.append(f"{name}: {value}")
            continue
        inside = {k: KEYS[name][k] for k in keys}
        if name == part:
            inside[key] = value
        rows.append(f"{name}: {{{', '.join(f'{k}: {v}' for k, v in inside.items())}}}")
    if part == "out":
        rows.append(f"out: {value}")
    return "\n".join(rows) + "\n"


def cases() -> Iterator[Config]:
    """Every key with every wrong value, every part with a wrong value, and wrong files."""
    for part, keys in KEYS.items():
        for key in keys:
            for kind in VALUES:
                yield Config(part, key, kind)
        if part != "out":
            for kind in VALUES:
                yield Config(part, "", kind)
    for kind in WHOLE:
        yield Config("whole", "", kind)


@cache
def _folder() -> Path:
    import neurornn as nr

    folder = Path(tempfile.mkdtemp(prefix="hostile"))
    one = nr.simulate.simulate_calcium(1, 30.0, 20.0, tau_decay=0.5, snr=20, rng=0)
    nr.io.write_netcdf(one, folder / "one.nc")
    return folder


def run(case: Config) -> Outcome:
    """Run the command on the file, in a folder of its own."""
    from neurornn.cli import main

    path = _folder() / "config.yaml"
    path.write_text(case.text(), encoding="utf-8", errors="surrogateescape")
    said, status = io.StringIO(), []

    def call() -> None:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            status.append(main(["fit", str(path)]))

    outcome = attempt(call)
    if outcome.kind != RIGHT:
        # Whatever left the command, it was no sentence.
        return outcome if outcome.kind != REFUSED else Outcome(FOREIGN, "left the command")
    text = said.getvalue().strip()
    if status == [1]:
        words = text.startswith("neurornn fit: ") and text.count(".") + text.count("?") >= 3
        return Outcome(REFUSED if words else FOREIGN, text[:200])
    if status != [0]:
        return Outcome(FOREIGN, f"status {status}: {text[:200]}")
    odd = [w for w in ("nan", " inf") if w in text.split("status: ")[0].lower()]
    return Outcome(QUIET, text[:200]) if odd else Outcome(RIGHT)
