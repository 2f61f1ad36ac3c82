"""Wrong lines that once passed all tests: put into a copy of the package, each must be found.

``python -m tests.known_mutations`` tries all, ``python -m tests.known_mutations 4 19`` those
numbers. The package itself is never touched.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
#: Where what is told is tested.
TESTS = (
    "tests/core/test_report.py",
    "tests/core/test_units.py",
    "tests/core",
    "tests/data/test_windowing.py",
    "tests/plot",
    "tests/contracts",
    "tests/calcium/test_pooling.py",
    "tests/compare",
    "tests/test_cli.py",
)


class Mutation(NamedTuple):
    """One wrong line: `old` stands once in `file`, and `new` in its place."""

    number: int
    description: str
    file: str
    old: str
    new: str


MUTATIONS = [
    Mutation(
        1, "every printed interval is reversed", "_core/units.py",
        "[{format_number(lower)}, {format_number(upper)}]",
        "[{format_number(upper)}, {format_number(lower)}]",
    ),
    Mutation(
        2, "the truth of the first row stands in all rows", "_core/report.py",
        "format_number(float(extra[n].isel(pick)))",
        "format_number(float(extra[n].values.flat[0]))",
    ),
    Mutation(
        3, "a long table shows its first half twice", "_core/report.py",
        "gap, *rows[-half:]", "gap, *rows[:half]",
    ),
    Mutation(
        3, "a long table shows its second half twice", "_core/report.py",
        "[*rows[:half], gap", "[*rows[-half:], gap",
    ),
    Mutation(
        4, "quartiles of LaTeX are swapped", "_core/report.py",
        "[0.25, 0.5, 0.75]", "[0.75, 0.5, 0.25]",
    ),
    Mutation(
        4, "quartiles of LaTeX are deciles", "_core/report.py",
        "[0.25, 0.5, 0.75]", "[0.1, 0.5, 0.9]",
    ),
    Mutation(
        4, "quartiles of gradients are deciles", "training/gradients.py",
        "np.quantile(norm, [0.25, 0.75])", "np.quantile(norm, [0.1, 0.9])",
    ),
    Mutation(
        5, "LaTeX includes cells that are not ok", "_core/report.py",
        "values, bounds = values[ok], bounds[ok]", "values, bounds = values[ok | True], bounds",
    ),
    Mutation(
        5, "LaTeX of one cell has the interval of another", "_core/report.py",
        "values, bounds = values[ok], bounds[ok]", "values = values[ok]; ok = ok[ok]",
    ),
    Mutation(
        6, "every interval says that it holds with one half", "_core/confidence.py",
        '"ci_prob": float(confidence_level)', '"ci_prob": 0.5',
    ),
    Mutation(
        7, "an error on the log scale is taken for an absolute one", "_core/confidence.py",
        "half = q * stderr / value", "half = q * stderr",
    ),
    Mutation(
        7, "log and plain scale are exchanged", "_core/confidence.py",
        "    if log:\n", "    if not log:\n",
    ),
    Mutation(
        7, "intervals of fits are added to the time constant", "training/curvature.py",
        "[bounds(twin - quantile * spread), bounds(twin + quantile * spread)]",
        "[bounds(twin) - quantile * spread, bounds(twin) + quantile * spread]",
    ),
    Mutation(
        7, "logarithms of the bootstrap are not mapped back", "training/bootstrap.py",
        "ends = np.exp(np.stack(", "ends = np.abs(np.stack(",
    ),
    Mutation(
        7, "bounds of sessions are not put on the log scale", "calcium/pooling.py",
        "low, high = np.log(ci.transpose", "low, high = np.abs(ci.transpose",
    ),
    Mutation(
        7, "the reach of a shared constant is added in s", "calcium/pooling.py",
        "ci=np.exp(np.stack([value - reach, value + reach], axis=-1))",
        "ci=np.exp(value)[:, None] + np.stack([-reach, reach], axis=-1)",
    ),
    Mutation(
        7, "bounds of a decay are left as logarithms", "calcium/decay_intervals.py",
        "(float(np.exp(a)), float(np.exp(b)))", "(float(a), float(b))",
    ),
    Mutation(
        7, "the error of a duration is absolute", "calcium/planning.py",
        "duration * np.exp(-z * stderr)", "duration * (1 - z * stderr)",
    ),
    Mutation(
        8, "snr is the amplitude", "calcium/kinetics_tables.py",
        'column("amplitude") / column("noise_sd")', 'column("amplitude")',
    ),
    Mutation(
        8, "the interval of snr is that of the amplitude", "calcium/kinetics_tables.py",
        'column("amplitude_ci") / column("noise_sd")[:, None]', 'column("amplitude_ci")',
    ),
    Mutation(
        9, "rates are per frame, intervals too", "calcium/kinetics_tables.py",
        'seconds = column("n_seen") / traces.sampling_rate', 'seconds = column("n_seen")',
    ),
    Mutation(
        9, "rates are per frame", "calcium/kinetics_tables.py",
        "np.where(seconds > 0, seconds, np.nan)",
        'np.where(seconds > 0, column("n_seen"), np.nan)',
    ),
    Mutation(
        10, "memory is tau", "training/table.py", "lambda t: t / model.dt", "lambda t: t",
    ),
    Mutation(
        11, "methods do not mention truncated gradients", "training/result.py",
        'if self.settings.get("truncation"):', "if False:",
    ),
    Mutation(
        11, "a fit forgets that its gradients were truncated", "training/loop.py",
        "truncation=truncation, segment_duration", "truncation=None, segment_duration",
    ),
    Mutation(
        12, "the last frame of the warm-up is scored", "data/samples.py",
        "mask[:, :n_warmup] = False", "mask[:, : max(n_warmup - 1, 0)] = False",
    ),
    Mutation(
        12, "the first frame after the warm-up is not scored", "data/samples.py",
        "mask[:, :n_warmup] = False", "mask[:, : n_warmup + (n_warmup > 0)] = False",
    ),
    Mutation(
        13, "frames without input are scored", "data/samples.py",
        "& ~np.isnan(x).any(axis=2, keepdims=True)", "",
    ),
    Mutation(
        13, "frames without any input alone are not scored", "data/samples.py",
        "& ~np.isnan(x).any(axis=2, keepdims=True)", "& ~np.isnan(x).all(axis=2, keepdims=True)",
    ),
    Mutation(
        14, "the status of a model is that of its last seed", "compare/played.py",
        'next((c for c in codes if c not in ("ok", "stopped_early")), "ok")', "codes[-1]",
    ),
    Mutation(
        14, "the status of a model is that of its first seed", "compare/played.py",
        'next((c for c in codes if c not in ("ok", "stopped_early")), "ok")', "codes[0]",
    ),
    Mutation(
        15, "truths are not sorted with their cells", "plot/estimates.py",
        "len(values))[order]", "len(values))[: len(order)]",
    ),
    Mutation(
        15, "labels are not sorted with their cells", "plot/estimates.py",
        "np.atleast_1d(labels)[order]", "np.atleast_1d(labels)[: len(order)]",
    ),
    Mutation(
        15, "intervals are not sorted with their cells", "plot/estimates.py",
        "bounds[order][k]", "bounds[k]",
    ),
    Mutation(
        16, "a trace shows the events of all cells", "plot/curves.py",
        'events["event_unit"].values == position', 'events["event_unit"].values >= 0',
    ),
    Mutation(
        17, "a trace shows the fit of the first cell", "plot/curves.py",
        "_one_unit(fit, unit)[0]", "_one_unit(fit, None)[0]",
    ),
    Mutation(
        18, "bars of a league have the name of another horizon", "plot/estimates.py",
        'label=f"horizon {horizon}"', 'label=f"horizon {horizons[-1 - j]}"',
    ),
    Mutation(
        18, "bars of a league are those of another horizon", "plot/estimates.py",
        "values = table[score].isel(horizon=j).values",
        "values = table[score].isel(horizon=len(horizons) - 1 - j).values",
    ),
    Mutation(
        18, "intervals of a league are those of another horizon", "plot/estimates.py",
        'bounds = table[f"{score}_ci"].isel(horizon=j).values',
        'bounds = table[f"{score}_ci"].isel(horizon=len(horizons) - 1 - j).values',
    ),
    Mutation(
        19, "all figures show the first cell", "cli/kinetics.py", "unit=label,", "unit=labels[0],",
    ),
    Mutation(
        19, "all titles give the first cell's constant", "cli/kinetics.py",
        "row = estimator.parameters_.sel(unit=label)", "row = estimator.parameters_.isel(unit=0)",
    ),
    Mutation(
        19, "traces have the names of other cells", "cli/kinetics.py",
        "trace = trace.assign_coords(unit=labels)",
        "trace = trace.assign_coords(unit=labels[::-1])",
    ),
    Mutation(
        19, "the first cells are drawn, not some from all", "cli/kinetics.py",
        "shown = labels[np.linspace(0, len(labels) - 1, min(6, len(labels))).round().astype(int)]",
        "shown = labels[: min(6, len(labels))]",
    ),
    Mutation(
        19, "the truth of the demo is turned round", "cli/demo.py",
        "truth=truth.values)", "truth=truth.values[::-1])",
    ),
]  # fmt: skip


def place_of(mutation: Mutation, package: Path) -> Path | None:
    """File that holds the right line: the one named, or another of its room it has moved to."""
    room = package / Path(mutation.file).parts[0].removesuffix(".py")
    files = [package / mutation.file, *sorted(room.rglob("*.py"))]
    held = [
        f for f in dict.fromkeys(files) if f.is_file() and mutation.old in f.read_text("utf-8")
    ]
    once = [f for f in held if f.read_text("utf-8").count(mutation.old) == 1]
    return once[0] if once and (len(held) == 1 or once[0] == files[0]) else None


def place(mutation: Mutation, package: Path) -> bool:
    """Put the wrong line into a copy of the package; False where its place is gone."""
    path = place_of(mutation, package)
    if path is None:
        return False
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    return True


def tried(mutation: Mutation | None, tests: list[str], source: Path) -> str:
    """Run tests against a copy of the package with one wrong line, or none: what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "neurornn"
        # With the compiled loops in it: files that do not change keep their time of change.
        shutil.copytree(source, package)
        # The bundled samples lie beside the package.
        (Path(folder) / "datasets").symlink_to(ROOT / "datasets")
        if mutation is not None and not place(mutation, package):
            return "STALE: its place is gone; write it anew"
        environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
        # -P: the folder of work, which holds the right package, is not looked into first.
        command = [sys.executable, "-P", "-m", "pytest", "-x", "-q", "--tb=no", "-rfE"]
        command += ["-p", "no:cacheprovider", "-m", "not slow and not network", *tests]
        where = subprocess.run(
            [sys.executable, "-P", "-c", "import neurornn; print(neurornn.__file__)"],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert where.stdout.startswith(folder), "the tests must see the copy"
        run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    failed = [line for line in run.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if run.returncode == 0:
        return "SURVIVED"
    return f"killed  {failed[0] if failed else run.stdout[-200:] + run.stderr[-200:]}"


def main(arguments: list[str] | None = None) -> int:
    """Try the mutations; the exit status is the number of those that are not killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.known_mutations", description=__doc__)
    parser.add_argument("numbers", nargs="*", type=int, help="by default all")
    parser.add_argument("--tests", nargs="+", default=list(TESTS), help="files, folders or tests")
    parser.add_argument("--source", type=Path, default=ROOT / "neurornn", help="right package")
    given = parser.parse_args(arguments)
    as_it_is = tried(None, given.tests, given.source)
    if as_it_is != "SURVIVED":
        # Whatever is killed then is killed by something else.
        print(f"The right package does not pass these tests: {as_it_is}")
        return 1
    alive = 0
    for mutation in MUTATIONS:
        if given.numbers and mutation.number not in given.numbers:
            continue
        found = tried(mutation, given.tests, given.source)
        alive += not found.startswith("killed")
        print(f"{mutation.number:2d}  {mutation.description}: {found}", flush=True)
    return alive


if __name__ == "__main__":
    sys.exit(main())
