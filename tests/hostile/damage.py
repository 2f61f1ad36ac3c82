"""Damaged files at every reader: ``python -m tests.hostile.damage [--only TEXT] [--n 800]``.

A valid file or folder of each kind is damaged in one or two places and read, values and all. The
seed of a case is its name, so ``--only "NWB #017"`` runs that one again. A row for each reader
says how many opened (which is right where a damaged value cannot be told from a good one), how
many were refused with an error of ours, and what failed.
"""

import argparse
import contextlib
import io
import shutil
import sys
import tempfile
import time
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

import neurornn as nr
from tests.hostile import blows, flips, outcomes
from tests.hostile.outcomes import Outcome, attempt
from tests.hostile.runs import seed_of
from tests.hostile.samples import Sample, readers
from tests.hostile.workers import run_all

#: Inputs of each reader.
N_INPUTS = 800
#: CPU time, s, above which a case is listed, though it ends.
LONG = 10.0
#: Wall-clock seconds after which compiled code is taken for stuck.
PATIENCE = 90.0
UNNOTICED, LISTED = "unnoticed change", "over 10 s"
#: What `sources.explained` says of a MemoryError.
_MEMORY = "asks for more memory than there is"
_COLUMNS = {
    "opened": outcomes.RIGHT, "refused": outcomes.REFUSED, "foreign": outcomes.FOREIGN,
    "hang": outcomes.SLOW, "greedy": outcomes.GREEDY, "unnoticed": UNNOTICED, "> 10 s": LISTED,
}  # fmt: skip


class Case(NamedTuple):
    """One damaged input, by its reader and its number."""

    reader: str
    number: int

    @property
    def key(self) -> str:
        return f"{self.reader} #{self.number:03d}"


def cases(n: int = N_INPUTS, only: str = "") -> list[Case]:
    """List the cases of all readers."""
    found = [Case(reader, k) for reader in readers() for k in range(n)]
    return [case for case in found if only in case.key]


@cache
def _made(reader: str, number: int) -> tempfile.TemporaryDirectory[str]:
    """Write a valid sample, once in this process."""
    held = tempfile.TemporaryDirectory(prefix="neurornn-valid-")
    rng = np.random.default_rng(seed_of(f"{reader} {number}"))
    readers()[reader][number].make(Path(held.name), rng)
    return held


def valid(reader: str, number: int, folder: Path) -> tuple[Sample, Path]:
    """Copy a valid sample into a folder that is not there yet: the sample, and what to open."""
    sample = readers()[reader][number]
    shutil.copytree(_made(reader, number).name, folder)
    return sample, folder / sample.name


def damaged(case: Case, folder: Path) -> tuple[Sample, Path, str]:
    """Write the input of a case into a folder: the sample, what to open, what was damaged."""
    rng = np.random.default_rng(seed_of(case.key))
    samples = readers()[case.reader]
    sample, path = valid(case.reader, case.number % len(samples), folder)
    kinds = blows.kinds_for(folder)
    chosen = [kinds[case.number // len(samples) % len(kinds)]]
    if rng.random() < 0.2:
        chosen.append(kinds[int(rng.integers(len(kinds)))])
    chosen.sort(key=lambda kind: not blows.is_well_formed(kind))
    return sample, path, " and ".join(blows.strike(folder, kind, rng) for kind in chosen)


def read(sample: Sample, path: Path) -> Any:
    """Open what a sample names, and make use of all that comes."""
    with contextlib.redirect_stdout(io.StringIO()):
        found = sample.read(path) if sample.read else nr.open(path, **sample.options)
        _ = repr(found)
        if isinstance(found, xr.Dataset):
            with found:
                for variable in found.variables.values():
                    _ = variable.values
                _ = found._repr_html_()
    return found


@cache
def _right(reader: str, number: int) -> Any:
    with tempfile.TemporaryDirectory() as place:
        return read(*valid(reader, number, Path(place) / "it"))


def _same(found: Any, right: Any) -> bool:
    if isinstance(found, xr.Dataset):
        return bool(found.identical(right))
    return flips.same(found, right)


def run_case(case: Case) -> Outcome:
    """Damage, read, and say what became of it."""
    unlike: list[str] = []
    with tempfile.TemporaryDirectory(prefix="neurornn-damaged-") as place:
        sample, path, said = damaged(case, Path(place) / "it")
        number = case.number % len(readers()[case.reader])
        is_sealed = sample.sealed and not (sample.open_to_others and "HDF5:" in said)
        right = _right(case.reader, number) if is_sealed else None

        def call() -> None:
            found = read(sample, path)
            if is_sealed and not _same(found, right):
                unlike.append("other values came back")

        began = time.process_time()
        outcome = attempt(call)
        seconds = time.process_time() - began
    kind, text = outcome
    if kind == outcomes.RIGHT and unlike:
        kind, text = UNNOTICED, unlike[0]
    if _MEMORY in text:
        kind = outcomes.GREEDY
    if kind in outcomes.GOOD and seconds > LONG:
        kind, text = LISTED, f"{seconds:.0f} s. {text}"
    return Outcome(kind, f"[{said}] {text}")


def prepare(wanted: list[Case]) -> None:
    """Write the samples that cases damage, which may take longer than any case."""
    samples = readers()
    for reader in dict.fromkeys(case.reader for case in wanted):
        for number in range(len(samples[reader])):
            _made(reader, number)


def failures(found: dict[Case, Outcome]) -> list[str]:
    """Name the cases that fail, with what was done to the file and what came of it."""
    good = (*outcomes.GOOD, LISTED)
    return [f"{c.key} -> {o.kind}: {o.text}" for c, o in found.items() if o.kind not in good]


def told(found: dict[Case, Outcome]) -> str:
    """Return the table of all readers."""
    rows: dict[str, Counter[str]] = {}
    for case, outcome in found.items():
        rows.setdefault(case.reader, Counter())[outcome.kind] += 1
    rows["all"] = sum(rows.values(), Counter())
    lines = [f"{'reader':24}" + f"{'n':>8}" + "".join(f"{c:>11}" for c in _COLUMNS)]
    for name, row in rows.items():
        cells = "".join(f"{row[kind] or '-':>11}" for kind in _COLUMNS.values())
        lines.append(f"{name:24}{row.total():>8}{cells}")
    return "\n".join(lines)


def main() -> int:
    """Run all cases, or those whose name holds a text."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.damage")
    parser.add_argument("--only", default="", help="a text in the name of the case")
    parser.add_argument("--n", type=int, default=N_INPUTS, help="inputs of each reader")
    parser.add_argument("--workers", type=int, default=2)
    a = parser.parse_args()
    wanted = cases(a.n, a.only)
    found = run_all(wanted, run_case, a.workers, PATIENCE, prepare)
    bad = failures(found)
    print(told(found))
    print(f"\n{len(bad)} of {len(found)} fail")
    print("\n".join(f"  {line}" for line in bad))
    for case, outcome in found.items():
        if outcome.kind == LISTED:
            print(f"  {case.key} took long: {outcome.text}")
    if len(found) < len(wanted) or not wanted:
        print(f"  {len(wanted) - len(found)} of {len(wanted)} cases did not run")
    return int(bool(bad) or not found or len(found) < len(wanted))


if __name__ == "__main__":
    sys.exit(main())
