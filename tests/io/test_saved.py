import errno
import json
import os
import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.errors import (
    FileFormatError,
    FileMissingError,
    FileWriteError,
    KindError,
    NameUnknownError,
    ThreePartError,
)
from neurornn.io import Saved, SavedContent, headers, load, read_saved, write_saved


class Thing(Saved):
    def __init__(self, settings, table):
        self.settings, self.table = settings, table

    def _to_saved(self) -> dict[str, Any]:
        return {"settings": self.settings, "tables": {"parameters": self.table}, "weights": None}

    @classmethod
    def _from_saved(cls, content: SavedContent):
        return cls(content.settings, content.tables["parameters"])


@pytest.fixture
def table():
    return xr.Dataset(
        {
            "tau": ("unit", [0.5, np.nan], {"units": "s", "method": None}),
            "tau_ci": (("unit", "ci_bound"), [[0.4, 0.6], [np.nan, np.nan]], {"units": "s"}),
            # The word, unlike the symbol, tempts xarray to make timedeltas of the numbers.
            "lag": ("unit", [1.0, 2.0], {"units": "seconds"}),
            "status": ("unit", np.array(["converged", "no_events"])),
        },
        coords={"unit": ["a", "b"], "ci_bound": ["lower", "upper"]},
        attrs={"ci_prob": 0.95},
    )


SETTINGS = {
    "n": 3,
    "bounds": [0.1, float("inf")],
    "none": None,
    "deep": {"x": float("-inf"), "y": True},
}


@pytest.mark.parametrize("name", ["thing", "thing.nc"])
def test_an_object_comes_back(tmp_path, table, name):
    Thing(SETTINGS, table).save(tmp_path / name)
    with pytest.raises(NameUnknownError, match=r"load\(path, classes=\[...\]\)"):
        load(tmp_path / name)
    again = load(tmp_path / name, classes=[Thing])
    assert isinstance(again, Thing)
    assert again.settings == SETTINGS
    xr.testing.assert_identical(again.table, table)
    assert nr.load is load


def test_weights_come_back_bit_for_bit(tmp_path, rng, table):
    weights = {
        "w": rng.standard_normal((4, 3)).astype(np.float32),
        "turned": rng.standard_normal((4, 3)).T,
        "n": np.arange(3),
    }
    write_saved(
        tmp_path / "m", kind="FitResult", settings={}, tables={"t": table}, weights=weights
    )
    content = read_saved(tmp_path / "m")
    assert content.kind == "FitResult"
    assert content.format == 1
    assert content.versions["neurornn"] == nr.__version__
    for key, value in weights.items():
        np.testing.assert_array_equal(content.weights[key], value)
        assert content.weights[key].dtype == value.dtype


def test_only_known_kinds_of_file_are_written(tmp_path, table):
    write_saved(
        tmp_path / "m",
        kind="FitResult",
        settings={},
        tables={"t": table},
        weights={"w": np.eye(2)},
    )
    files = sorted(str(p.relative_to(tmp_path / "m")) for p in (tmp_path / "m").rglob("*.*"))
    assert files == ["settings.json", os.path.join("tables", "t.nc"), "weights.safetensors"]
    json.loads((tmp_path / "m" / "settings.json").read_text(), parse_constant=pytest.fail)


def test_numpy_values_and_tuples_become_plain(tmp_path):
    settings = {"a": np.float64(1.5), "b": np.arange(3), "c": (1, 2), "d": np.bool_(True)}
    write_saved(tmp_path / "m", kind="Kinetics", settings=settings)
    assert read_saved(tmp_path / "m").settings == {
        "a": 1.5,
        "b": [0, 1, 2],
        "c": [1, 2],
        "d": True,
    }


def test_an_older_one_is_replaced_whole(tmp_path, table):
    for version, tables in ((1, {"old": table}), (2, {"new": table})):
        write_saved(tmp_path / "m", kind="Kinetics", settings={"v": version}, tables=tables)
    assert read_saved(tmp_path / "m").settings == {"v": 2}
    assert [p.name for p in (tmp_path / "m" / "tables").iterdir()] == ["new.nc"]
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_objects_are_not_pickled(tmp_path):
    with pytest.raises(KindError, match=r"settings\.a\[1\] is a function"):
        write_saved(
            tmp_path / "m",
            kind="Kinetics",
            settings={"a": [1, print.__class__, len][:1] + [lambda: 1]},
        )
    with pytest.raises(KindError, match="dtype object"):
        write_saved(tmp_path / "m", kind="K", settings={}, weights={"w": np.array([None])})
    assert not list(tmp_path.iterdir())


def test_weights_do_not_fit_into_one_file(tmp_path):
    with pytest.raises(KindError, match="1 weights"):
        write_saved(tmp_path / "m.nc", kind="FitResult", settings={}, weights={"w": np.eye(2)})


@pytest.mark.parametrize("name", ["../out", "a/b", ""])
def test_a_table_cannot_leave_the_folder(tmp_path, table, name):
    with pytest.raises(NameUnknownError, match="table"):
        write_saved(tmp_path / "m", kind="Kinetics", settings={}, tables={name: table})


def test_a_table_name_in_the_file_cannot_leave_the_folder(tmp_path, table):
    write_saved(tmp_path / "m", kind="Kinetics", settings={}, tables={"t": table})
    header = json.loads((tmp_path / "m" / "settings.json").read_text())
    header["tables"] = ["../../elsewhere"]
    (tmp_path / "m" / "settings.json").write_text(json.dumps(header))
    with pytest.raises(FileFormatError, match="table"):
        read_saved(tmp_path / "m")


@pytest.mark.parametrize("name", ["m", "m.nc"])
def test_an_unknown_kind_imports_nothing(tmp_path, name):
    write_saved(tmp_path / name, kind="os:system", settings={})
    with pytest.raises(NameUnknownError, match="'os:system'"):
        load(tmp_path / name)


def test_a_newer_format_asks_for_an_update(tmp_path, monkeypatch):
    monkeypatch.setattr(headers, "FORMAT", 2)
    write_saved(tmp_path / "m", kind="Kinetics", settings={})
    monkeypatch.setattr(headers, "FORMAT", 1)
    with pytest.raises(FileFormatError, match=r"format 2.*pip install --upgrade neurornn"):
        load(tmp_path / "m")


def test_other_things_are_not_saved_results(tmp_path, rng):
    with pytest.raises(FileMissingError, match=r"There is no file .*nothing"):
        load(tmp_path / "nothing")
    with pytest.raises(FileFormatError, match=r"nr\.open"):
        load(tmp_path)
    nr.io.write_netcdf(nr.data.from_traces(rng.random(9), sampling_rate=10), tmp_path / "r.nc")
    with pytest.raises(FileFormatError, match=r"nr\.open"):
        load(tmp_path / "r.nc")


def test_damage_is_always_explained(tmp_path, rng, table):
    target = tmp_path / "m"
    write_saved(
        target, kind="FitResult", settings=SETTINGS, tables={"t": table}, weights={"w": np.eye(9)}
    )
    for file in ("settings.json", "tables/t.nc", "weights.safetensors"):
        whole = (target / file).read_bytes()
        for share in (0.0, 0.3, 0.9):
            (target / file).write_bytes(whole[: int(share * len(whole))])
            with pytest.raises(ThreePartError, match=r"damaged|empty \(0 bytes\)"):
                read_saved(target)
        (target / file).unlink()
        if file != "weights.safetensors":
            said = r"m is not a saved result|There is no file .*t\.nc"
            with pytest.raises(ThreePartError, match=said):
                read_saved(target)
        (target / file).write_bytes(whole)
    assert read_saved(target).settings == SETTINGS


@pytest.mark.parametrize("name", ["m", "m.nc"])
def test_a_full_disk_leaves_the_old_one(tmp_path, table, monkeypatch, name):
    write_saved(tmp_path / name, kind="Kinetics", settings={"v": 1}, tables={"t": table})

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileWriteError, match="disk is full"):
        write_saved(tmp_path / name, kind="Kinetics", settings={"v": 2}, tables={"t": table})
    monkeypatch.undo()
    assert read_saved(tmp_path / name).settings == {"v": 1}
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are a Unix matter")
def test_running_out_of_room_in_the_middle_leaves_nothing_half_written(tmp_path):
    """In a process whose files cannot grow beyond 100 kB, so that real writes fail."""
    script = textwrap.dedent(
        """
        import resource, sys
        import numpy as np, xarray as xr
        from neurornn._core.errors import FileWriteError
        from neurornn.io import read_saved, write_csv, write_netcdf, write_saved
        small = xr.Dataset({"x": ("t", [1.0])})
        big = xr.Dataset({"x": ("t", np.random.default_rng(0).random(100_000))})
        for name in ("m", "m.nc"):
            write_saved(name, kind="Kinetics", settings={"v": 1}, tables={"t": small})
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        attempts = (
            lambda: write_saved("m", kind="K", settings={}, tables={"t": big}),
            lambda: write_saved("m.nc", kind="K", settings={}, tables={"t": big}),
            lambda: write_saved("w", kind="K", settings={}, weights={"w": big["x"].values}),
            lambda: write_netcdf(big, "r.nc"),
            lambda: write_csv(big["x"], "r.csv"),
        )
        for attempt in attempts:
            try:
                attempt()
            except FileWriteError as error:
                assert "could not be written" in str(error)
            else:
                sys.exit("a write beyond the limit went through")
        assert read_saved("m").settings == read_saved("m.nc").settings == {"v": 1}
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "m.nc"]


# --- what is damaged, what may be replaced ---


def sealed(tmp_path, table, name="m"):
    other = table[["tau"]] * 2
    write_saved(
        tmp_path / name,
        kind="Kinetics",
        settings=SETTINGS,
        tables={"parameters": table, "history": other},
        weights={"w": np.eye(3)} if name == "m" else None,
    )
    return tmp_path / name


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("settings.json", "its settings changed after it was saved"),
        ("tables/history.nc", "the table history changed"),
        ("tables/parameters.nc", "the table parameters changed"),
        ("weights.safetensors", "the file of weights changed"),
    ],
)
def test_a_changed_part_of_a_folder_is_named(tmp_path, table, file, words):
    path = sealed(tmp_path, table) / file
    raw = path.read_bytes()
    old, new = (b'"n": 3', b'"n": 4') if file == "settings.json" else (raw[-9:-1], b"changed!")
    path.write_bytes(raw.replace(old, new))
    assert path.read_bytes() != raw
    with pytest.raises(FileFormatError, match=f"m is damaged: {words}"):
        read_saved(tmp_path / "m")


def test_a_changed_table_of_a_file_is_named(tmp_path, table):
    path = sealed(tmp_path, table, "m.nc")
    raw = path.read_bytes()
    # tau of the table parameters is .5, of history 1; the last copy of it is the one in use.
    at = raw.rindex(np.float64(0.5).tobytes())
    path.write_bytes(raw[:at] + np.float64(0.7).tobytes() + raw[at + 8 :])
    with pytest.raises(FileFormatError, match=r"m\.nc is damaged: the table parameters changed"):
        read_saved(path)
    path.write_bytes(raw[:-5])
    with pytest.raises(FileFormatError, match="is damaged: its end changed"):
        read_saved(path)
    path.write_bytes(raw.replace(b"json:", b"jsox:"))
    with pytest.raises(FileFormatError, match="its settings, labels or text"):
        read_saved(path)


def test_netcdf_programs_read_a_sealed_file(tmp_path, table):
    path = sealed(tmp_path, table, "m.nc")
    with xr.open_dataset(path, group="parameters", engine="h5netcdf") as found:
        np.testing.assert_array_equal(found["tau"], table["tau"])


def test_files_from_before_there_were_checksums_are_read(tmp_path, table):
    path = sealed(tmp_path, table)
    header = json.loads((path / "settings.json").read_text())
    old = {k: v for k, v in header.items() if not k.startswith("checksum")}
    (path / "settings.json").write_text(json.dumps(old))
    content = read_saved(path)
    assert content.settings == SETTINGS
    np.testing.assert_array_equal(content.weights["w"], np.eye(3))


def test_a_file_beside_a_saved_result_is_never_lost(tmp_path, table):
    path = sealed(tmp_path, table)
    (path / "tables" / "notes.md").write_text("the good one")
    with pytest.raises(FileWriteError, match=r"holds tables/notes\.md besides a saved result"):
        sealed(tmp_path, table)
    (path / "tables" / "notes.md").unlink()
    (path / ".DS_Store").write_text("litter of a desktop")
    sealed(tmp_path, table)


@pytest.mark.parametrize("name", ["notes", "m.nc", "vacant"])
def test_only_a_saved_result_is_replaced(tmp_path, rng, table, name):
    (tmp_path / "vacant").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "monday.md").write_text("mine")
    nr.io.write_netcdf(nr.data.from_traces(rng.random(9), sampling_rate=10), tmp_path / "m.nc")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(FileWriteError, match="nothing was touched"):
        write_saved(tmp_path / name, kind="Kinetics", settings={}, tables={"t": table})
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert (tmp_path / "vacant").is_dir()


def test_one_of_two_writers_wins_whole_and_no_reader_meets_a_gap(tmp_path):
    """In processes of their own, with and without an exchange in one step."""
    script = textwrap.dedent(
        """
        import os, sys, traceback
        import numpy as np, xarray as xr
        from neurornn._core import files
        from neurornn.io import read_saved, write_saved

        def write(path, value):
            table = xr.Dataset({"x": ("t", [value] * 50)})
            write_saved(path, kind="Kinetics", settings={"v": value}, tables={"t": table},
                        weights={"w": np.full(50, value)})

        def read(path):
            found = read_saved(path)
            values = {found.settings["v"], *found.tables["t"]["x"].values, *found.weights["w"]}
            assert len(values) == 1, values

        for exchange in ("exchange", "two renames"):
            if exchange == "two renames":
                files._exchange = lambda one, other: False
            path = os.path.join(sys.argv[1], exchange, "m")
            write(path, 9.0)
            running = []
            for value in (1.0, 2.0, 0.0):
                running.append(os.fork())
                if running[-1] == 0:
                    try:
                        for k in range(40):
                            write(path, value) if value else read(path)
                    except BaseException:
                        traceback.print_exc()
                        os._exit(1)
                    os._exit(0)
            print(*[os.waitpid(pid, 0)[1] for pid in running], flush=True)
        """
    )
    # Processes of their own, but forks: each would take seconds to import the package.
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.stdout.split("\n")[:2] == ["0 0 0"] * 2, done.stdout + done.stderr
    for exchange in ("exchange", "two renames"):
        place = tmp_path / exchange
        assert read_saved(place / "m").settings["v"] in (1.0, 2.0)
        assert [p.name for p in place.iterdir()] == ["m"]


def test_a_saved_result_of_another_kind_stays(tmp_path, table):
    write_saved(tmp_path / "m", kind="Kinetics", settings={}, tables={"parameters": table})
    with pytest.raises(FileWriteError, match="is a saved Kinetics, not a Thing"):
        Thing({}, table).save(tmp_path / "m")
    Thing({}, table).save(tmp_path / "t")
    Thing({"v": 2}, table).save(tmp_path / "t")
    assert load(tmp_path / "t", classes=Thing).settings == {"v": 2}


@pytest.mark.parametrize("name", ["m", "m.nc"])
def test_what_was_added_to_a_saved_result_stays(tmp_path, table, name):
    import h5py

    path = sealed(tmp_path, table, name)
    inside = path / "tables" / "history.nc" if name == "m" else path
    with h5py.File(inside, "r+") as file:
        file["my notes"] = [1, 2]
    with pytest.raises(FileWriteError, match="is a saved result that is no longer as it was"):
        sealed(tmp_path, table, name)
    with h5py.File(inside) as file:
        assert "my notes" in file


def test_weights_of_somebody_else_in_a_saved_folder_stay(tmp_path, table):
    write_saved(tmp_path / "m", kind="Kinetics", settings={}, tables={"t": table})
    (tmp_path / "m" / "weights.safetensors").write_text("mine")
    with pytest.raises(FileWriteError, match=r"holds weights\.safetensors besides"):
        write_saved(tmp_path / "m", kind="Kinetics", settings={}, tables={"t": table})


@pytest.mark.parametrize("path", [None, 3, b"m", "a\0b"])
def test_things_that_are_no_path_are_not_loaded(path):
    with pytest.raises(KindError, match=r"The path of a folder or \.nc file"):
        load(path)


def test_a_class_of_the_name_of_one_of_the_packages_is_not_saved_as_that(tmp_path, table):
    class League(Thing):
        pass

    with pytest.raises(NameUnknownError, match="neurornn has a class of that name"):
        League({}, table).save(tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_what_is_no_class_or_does_not_save_itself_is_not_admitted(tmp_path, table):
    Thing({}, table).save(tmp_path / "m")
    with pytest.raises(KindError, match="classes holds 'Thing'"):
        load(tmp_path / "m", classes=["Thing"])
    with pytest.raises(KindError, match="A class that saves itself was needed"):
        load(tmp_path / "m", classes=[type("Thing", (), {})])


def test_every_kind_is_a_public_name_of_a_room_that_saves_itself():
    from neurornn.io.saved import _kinds, saved_classes

    kinds = _kinds()
    assert {"Kinetics", "FitResult", "League", "GradientFlow", "KalmanFilter", "Stream"} <= set(
        kinds
    )
    # Public, but nothing that is saved.
    assert not {"Plan", "Indicator", "TrainingData", "Objective"} & set(kinds)
    for name in kinds:
        assert saved_classes()[name]().__name__ == name
