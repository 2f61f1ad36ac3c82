"""Every writing door at targets that belong to somebody else: not one of their bytes may change.

Each case runs in a folder of its own with files, folders and links of a user in it, all of which
are hashed before and after. A door either writes something new or raises an error of ours. Run
by ``python -m tests.hostile.targets``, which prints a row for each door and lists what failed.
"""

import atexit
import contextlib
import errno
import hashlib
import io
import os
import shutil
import stat
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import xarray as xr

import neurornn as nr
from neurornn import cli
from neurornn._core.errors import ThreePartError
from neurornn._core.jobs import run_chunks

#: Name of a target -> what is passed, below the folder in which the case runs.
#: The first is nobody's, and must be written.
TARGETS: dict[str, Any] = {
    "a new name": "results/made",
    "dot": ".",
    "dots": "..",
    "empty name": "",
    "blank name": "  ",
    "root": "/",
    "home": "~",
    "the folder of work, absolute": lambda here: str(here),
    "the folder above, absolute": lambda here: str(here.parent),
    "the input": "session.nc",
    "the input by a link": "to_session.nc",
    "the folder of the input": lambda here: str(here / "inner" / ".."),
    "notes": "notes",
    "notes, with a slash": "notes/",
    "an empty folder": "vacant",
    "a file": "letter.txt",
    "a recording": "other.nc",
    "a table": "table.csv",
    "a page": "page.html",
    "a picture": "picture.png",
    "a saved result with notes in it": "ours",
    "a link to a folder": "to_notes",
    "a link to a file": "to_letter",
    "a link in a ring": "ring",
    "a pipe": "pipe",
    "a device": "/dev/null",
    "below a file": "letter.txt/fit.nc",
    "a NUL": "a\0b",
    "a name too long": "x" * 300,
    "a number": 3,
    "nothing": None,
    "a place that is read only": "READ-ONLY",
    "a full disk": "FULL",
}


def furnish(here: Path) -> None:
    """Put the things of a user into a folder."""
    shutil.copytree(_things(), here, symlinks=True, dirs_exist_ok=True)
    os.mkfifo(here / "pipe")


@cache
def _things() -> Path:
    here = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, here, ignore_errors=True)
    rng = np.random.default_rng(0)
    traces = _recording()
    # As another program writes them, so that nothing says neurornn.
    traces[["dff"]].drop_attrs().assign_coords(time=traces["time"]).to_netcdf(
        here / "session.nc", engine="h5netcdf"
    )
    shutil.copy(here / "session.nc", here / "other.nc")
    nr.io.write_netcdf(_session(), here / "reaches.nc")
    (here / "letter.txt").write_text("Dear Santiago,\n")
    (here / "table.csv").write_text("unit,depth\n1,200\n")
    (here / "page.html").write_text("<!DOCTYPE html><title>mine</title>")
    (here / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + rng.bytes(100))
    for name in ("notes", "inner", "vacant"):
        (here / name).mkdir()
    (here / "notes" / "monday.md").write_text("the third electrode broke\n")
    _kinetics().save(here / "ours")
    (here / "ours" / "monday.md").write_text("this fit is the good one\n")
    (here / "to_notes").symlink_to("notes")
    (here / "to_letter").symlink_to("letter.txt")
    (here / "to_session.nc").symlink_to("session.nc")
    (here / "ring").symlink_to("ring")
    return here


def snapshot(folder: Path) -> dict[str, str]:
    """Kind and content of everything below a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            said = f"link to {os.readlink(path)}"
        elif stat.S_ISREG(mode):
            said = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            said = f"kind {stat.S_IFMT(mode):o}"
        found[path.relative_to(folder).as_posix()] = said
    return found


@cache
def _recording() -> Any:
    recording = nr.data.select_units(nr.open(nr.fetch("sample_calcium")), [1])
    return nr.data.restrict(recording, 0.0, 30.0)


@cache
def _kinetics() -> Any:
    return nr.calcium.Kinetics().fit(_recording()["dff"])


@cache
def _windows() -> Any:
    return nr.data.windows(_recording(), inputs="spikes", targets="dff", duration=10.0)


@cache
def _result() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nr.fit(_model(), _windows(), max_epochs=1, optimizer="adam", intervals=False)


def _model() -> Any:
    return nr.models.LeakyRNN(n_input=1, n_hidden=1, n_output=1, dt=1 / 30, tau=0.5)


@cache
def _session() -> Any:
    return nr.simulate.simulate_reaches(8, 10, bin_size=0.05, rng=0)


@cache
def _decoder() -> Any:
    session = _session()
    return nr.decode.RidgeDecoder(bin_size=0.05).fit(session["counts"], session["velocity"])


def _double(values: np.ndarray) -> dict[str, np.ndarray]:
    return {"out": 2 * values}


def _figure(path: Any) -> None:
    ax = nr.plot.timescales(_kinetics().parameters_)
    nr.plot.write_figure(ax.figure, path)


def _fit(**options: Any) -> None:
    nr.fit(_model(), _windows(), max_epochs=1, optimizer="adam", intervals=False, **options)


def _policy(**options: Any) -> None:
    task = nr.simulate.TigerTask(n_steps=3, rng=0)
    model = nr.models.GRU(**nr.training.policy_sizes(task), n_hidden=2, dt=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nr.training.fit_policy(
            model, task, n_iterations=1, n_episodes=2, n_evaluation=3, **options
        )


def _sequence(**options: Any) -> None:
    x = np.random.default_rng(0).normal(size=(6, 5, 1))
    model = nr.models.VanillaRNN(1, 2, 1, dt=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nr.training.fit_sequence(
            model, [(x, x), (x, -x)], n_seeds=1, max_epochs=1, n_overlap=0, **options
        )


def _fit_config(key: str) -> Callable[[Any], None]:
    """Write a configuration beside the recording and fit it."""

    def write(target: Any) -> None:
        config = {
            "data": {"file": "session.nc"},
            "windows": {"inputs": "dff", "targets": "dff", "duration": 5.0},
            "model": {"name": "Memoryless"},
            "fit": {"max_epochs": 1, "optimizer": "adam", "intervals": False},
        }
        if key == "out":
            config["out"] = target
        else:
            config["fit"]["checkpoint"] = target
        import yaml

        with tempfile.NamedTemporaryFile("w", suffix=".yaml", dir=".", delete=False) as file:
            file.write(yaml.safe_dump(config))
        try:
            _command(["fit", file.name])
        finally:
            os.unlink(file.name)

    return write


def _command(arguments: list[Any]) -> None:
    """Run a command; its words for an error of ours become that error again."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            status = cli.main([str(a) for a in arguments])
        except SystemExit as end:
            # The parser's own refusal of an argument.
            status = int(end.code or 0)
    if status:
        assert "Traceback" not in said.getvalue(), said.getvalue()
        raise ThreePartError("the command", "said", said.getvalue())


def _kinetics_command(option: str) -> Callable[[Any], None]:
    return lambda t: _command(["kinetics", "session.nc", option, t, "--no_progress"])


@cache
def _genome() -> Any:
    return nr.simulate.simulate_genome(6_000, rng=0)


@cache
def _genes() -> Any:
    return nr.sequences.BacterialGenes().predict(_genome())


@cache
def _spliced() -> Any:
    genome = nr.simulate.simulate_spliced_genome(20_000, rng=0)
    model = nr.sequences.GeneStructure(max_iterations=1, max_rounds=1)
    return model.fit(genome).predict(genome)


def _genes_command(option: str) -> Callable[[Any], None]:
    def write(target: Any) -> None:
        genome = _genome()
        with tempfile.NamedTemporaryFile("w", suffix=".fa", dir=".", delete=False) as file:
            file.write(f">{genome.names[0]}\n{genome[0]}\n")
        try:
            _command(["genes", file.name, option, target, "--progress", "false"])
        finally:
            os.unlink(file.name)

    return write


def _mutations_command(option: str) -> Callable[[Any], None]:
    def write(target: Any) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".fa", dir=".", delete=False) as file:
            file.write(">p\nMKTAYIAKQR\n")
        try:
            _command(["mutations", file.name, option, target])
        finally:
            os.unlink(file.name)

    return write


def _variants(target: Any) -> None:
    genome, places = _genome(), [100, 200]
    calls = xr.Dataset({
        "contig": ("variant", [str(genome.names[0])] * 2), "position": ("variant", places),
        "ref": ("variant", [genome[0][p] for p in places]), "alt": ("variant", ["<A>", "AC"]),
    })  # fmt: skip
    out = "" if target is None else target
    nr.sequences.variant_effects(_guanines, genome, calls, window=9, out=out)


def _guanines(x: Any) -> Any:
    return x[:, :, 2].sum(axis=1)


def doors() -> dict[str, Callable[[Any], Any]]:
    """Every door that writes: name -> what is done with a target."""
    recording = _recording()
    return {
        "Kinetics.save": lambda t: _kinetics().save(t),
        "FitResult.save": lambda t: _result().save(t),
        "decoder.save": lambda t: _decoder().save(t),
        "Stream.save": lambda t: _decoder().stream().save(t),
        "io.write_saved": lambda t: nr.io.write_saved(t, kind="Kinetics", settings={}),
        "io.write_csv": lambda t: nr.io.write_csv(recording["dff"], t),
        "io.write_netcdf": lambda t: nr.io.write_netcdf(recording, t),
        "io.write_nwb": lambda t: nr.io.write_nwb(
            recording[["dff"]], t, session={"session_start_time": "2026-01-01T12:00:00+00:00"}
        ),
        "write_html": lambda t: _kinetics().write_html(t, recording["dff"]),
        "plot.write_figure": _figure,
        "io.write_gff3": lambda t: nr.io.write_gff3(_genome(), t),
        "Genes.to_gff3": lambda t: _genes().to_gff3(t),
        "SplicedGenes.to_gff3": lambda t: _spliced().to_gff3(t),
        # None is the way to ask for no file.
        "Genes.proteins": lambda t: _genes().proteins("" if t is None else t),
        "genes --out": _genes_command("--out"),
        "genes --proteins": _genes_command("--proteins"),
        "genes --csv": _genes_command("--csv"),
        "genes --figures": _genes_command("--figures"),
        "mutations --out": _mutations_command("--out"),
        "mutations --figure": _mutations_command("--figure"),
        "variant_effects(out=)": _variants,
        "run_chunks(checkpoint=)": lambda t: run_chunks(
            _double, [(np.arange(3.0),)], checkpoint=t or "", key="k"
        ),
        "Kinetics.fit(checkpoint=)": lambda t: nr.calcium.Kinetics().fit(
            recording["dff"], checkpoint="" if t is None else t
        ),
        "nr.fit(checkpoint=)": lambda t: _fit(checkpoint="" if t is None else t),
        "nr.fit(checkpoint=, n_seeds=2)": lambda t: _fit(
            checkpoint="" if t is None else t, n_seeds=2
        ),
        "fit_policy(checkpoint=)": lambda t: _policy(checkpoint="" if t is None else t),
        "fit_policy(checkpoint=, n_seeds=2)": lambda t: _policy(
            checkpoint="" if t is None else t, n_seeds=2
        ),
        "fit_sequence(checkpoint=)": lambda t: _sequence(checkpoint="" if t is None else t),
        "kinetics --out": _kinetics_command("--out"),
        "kinetics --csv": _kinetics_command("--csv"),
        "kinetics --html": _kinetics_command("--html"),
        "kinetics --figures": _kinetics_command("--figures"),
        "fit, out": _fit_config("out"),
        "fit, checkpoint": _fit_config("checkpoint"),
        "decode --out": lambda t: _command(
            ["decode", "reaches.nc", "--target", "velocity", "--decoder", "ridge", "--out", t]
        ),
    }


@contextlib.contextmanager
def _watched(target: Any, root: Path) -> Iterator[Any]:
    """Stubs for a place nobody may write to, a full disk, and for everything outside."""

    def outside(name: str) -> Any:
        call = getattr(os, name) if name != "rmtree" else shutil.rmtree

        def guarded(*args: Any, **kwargs: Any) -> Any:
            for path in args[:2]:
                if isinstance(path, str | os.PathLike) and "dir_fd" not in kwargs:
                    place = os.path.abspath(os.fspath(path))
                    temporary = place.startswith((str(root), tempfile.gettempdir()))
                    assert temporary and place != str(root), f"{name} of {place}"
            return call(*args, **kwargs)

        return guarded

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    def full(*args: Any, **kwargs: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    with contextlib.ExitStack() as stack:
        for name in ("replace", "rename", "unlink", "remove", "rmdir"):
            stack.enter_context(mock.patch.object(os, name, outside(name)))
        stack.enter_context(mock.patch.object(shutil, "rmtree", outside("rmtree")))
        if target == "READ-ONLY":
            stack.enter_context(mock.patch.object(tempfile, "mkdtemp", refuse))
            stack.enter_context(mock.patch.object(os, "access", return_value=False))
        if target == "FULL":
            stack.enter_context(mock.patch.object(os, "fsync", full))
        yield


def run_case(door: str, target: str) -> str:
    """Run one case; empty where it holds, else what went wrong."""
    with tempfile.TemporaryDirectory() as root:
        here = Path(root).resolve() / "lab" / "work"
        here.mkdir(parents=True)
        furnish(here)
        given = TARGETS[target]
        given = given(here) if callable(given) else given
        before, back = snapshot(here.parent), Path.cwd()
        home = mock.patch.dict(os.environ, {"HOME": str(here.parent)})
        os.chdir(here)
        try:
            with home, _watched(given, Path(root)), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                doors()[door](given)
        except ThreePartError as error:
            if target == "a new name":
                return f"refused: {error}"
        except BaseException as error:
            return f"{type(error).__name__}: {error}"
        finally:
            os.chdir(back)
        after = snapshot(here.parent)
        changed = [name for name, said in before.items() if after.get(name) != said]
        if target == "a new name" and len(after) == len(before):
            return "nothing was written"
        left = [name for name in after if "/.neurornn-" in f"/{name}"]
        return f"changed: {changed}" if changed else f"left behind: {left}" if left else ""


def main() -> int:
    failed = []
    names = doors()
    print(f"{len(names)} doors, {len(TARGETS)} targets: failed")
    for door in names:
        bad = [(t, said) for t in TARGETS if (said := run_case(door, t))]
        failed += [f"{door}, {t}: {said}" for t, said in bad]
        print(f"{door}: {len(bad)}", flush=True)
    print(f"all: {len(names) * len(TARGETS)} cases, {len(failed)} failed")
    print("\n".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
