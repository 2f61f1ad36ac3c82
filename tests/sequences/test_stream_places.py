"""Where outputs go: memory, an array, files that are whole or not there, weights without torch."""

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
import xarray as xr

import neurornn as nr
from neurornn._core.errors import (
    DataError,
    FileFormatError,
    FileWriteError,
    KindError,
    ShapeError,
)
from neurornn.sequences import StreamWeights, stream

SIZES = {"dt": 1.0, "time_unit": "bp", "rng": 2}
MODEL = nr.models.LSTM(4, 10, 3, **SIZES)
TIED = nr.models.ReverseComplementTied(
    4, 8, 3, cell="GRU", cell_options={"n_layers": 2}, swapped=[(0, 1)], rng=0
)


@pytest.fixture
def contigs(rng):
    texts = ["".join(rng.choice(list("ACGTN"), n)) for n in (230, 0, 77, 1)]
    return nr.data.SequenceSet.from_sequences(["a", "b", "c", "d"], texts)


@pytest.mark.parametrize("model", [MODEL, TIED], ids=["one way", "tied"])
@pytest.mark.parametrize("name", ["o.nc", "o.npy"])
def test_files_hold_what_memory_holds(name, model, contigs, tmp_path):
    kept = stream(model, contigs)
    found = stream(model, contigs, out=tmp_path / name, chunk_size=30, lanes=2)
    assert list(found) == ["a", "b", "c", "d"]
    for k in kept:
        assert found[k].identical(kept[k]), k
    alone = stream(model, contigs["a"], out=tmp_path / f"one_{name}", chunk_size=30)
    assert alone.identical(kept["a"])
    assert [p.name for p in tmp_path.iterdir()].count(name) == 1


def test_netcdf_is_a_ragged_array_that_says_what_it_is(contigs, tmp_path):
    kept = stream(MODEL, contigs, states=True, bidirectional=True)
    stream(MODEL, contigs, states=True, bidirectional=True, out=tmp_path / "o.nc")
    with xr.open_dataset(tmp_path / "o.nc", engine="h5netcdf") as file:
        assert file["row_size"].values.tolist() == [230, 0, 77, 1]
        assert file["row_size"].attrs["sample_dimension"] == "row"
        assert file["contig"].values.tolist() == ["a", "b", "c", "d"]
        assert file.attrs["position"] == "0-based, half-open"
        assert file.attrs["position_units"] == "bp"
        for name in ("outputs", "states"):
            assert np.array_equal(file[name][230:307], kept["c"][name]), name
        assert file["direction"].values.tolist() == kept["a"]["direction"].values.tolist()


def test_positions_are_half_open(contigs):
    found = stream(MODEL, contigs["a"])
    part = found.sel(position=slice(10, 20))
    assert part.sizes["position"] == 10 and np.array_equal(part, found[10:20])


def test_an_array_of_ones_own_is_filled(contigs, tmp_path):
    kept = stream(MODEL, contigs)
    whole = np.concatenate([kept[k] for k in kept])
    for out in (
        np.full((308, 3), np.nan, np.float32),
        np.memmap(tmp_path / "m", np.float32, "w+", shape=(308, 3)),
    ):
        found = stream(MODEL, contigs, out=out)
        assert np.array_equal(out, whole)
        assert np.shares_memory(found["c"].values, out)
    tied = np.full((308, 3), np.nan, np.float32)
    stream(TIED, contigs, out=tied)
    assert np.array_equal(tied, np.concatenate(list(stream(TIED, contigs).values())))


@pytest.mark.parametrize(
    ("out", "more", "error", "words"),
    [
        (np.empty((4, 2), np.float32), {}, ShapeError, ["(4, 2)", "(308, 3)"]),
        (np.empty((308, 3)), {}, ShapeError, ["float64", "float32"]),
        (np.empty((308, 3), np.float32), {"states": True}, DataError, ["states=True"]),
        ([1.0], {}, KindError, ["list", "np.empty"]),
        ("o.txt", {}, FileFormatError, [".nc or .npy"]),
        ("o.npy", {"states": True}, DataError, ["one array"]),
    ],
)  # fmt: skip
def test_a_place_that_does_not_fit(out, more, error, words, contigs):
    with pytest.raises(error) as said:
        stream(MODEL, contigs, out=out, **more)
    assert all(w in str(said.value) for w in words), said.value


def test_what_stands_there_stays_unless_it_is_said(contigs, tmp_path):
    place = tmp_path / "o.npy"
    place.write_text("mine")
    with pytest.raises(FileWriteError, match="is there already"):
        stream(MODEL, contigs, out=place)
    assert place.read_text() == "mine"
    wrong = nr.data.SequenceSet(np.frombuffer(b"ACGTAC?T", np.uint8), [0], [8], ["x"])
    with pytest.raises(DataError, match="position 6"):
        stream(MODEL, wrong, out=place, overwrite=True, chunk_size=2)
    # Half of it had been written, elsewhere.
    assert place.read_text() == "mine" and len(list(tmp_path.iterdir())) == 1
    stream(MODEL, contigs, out=place, overwrite=True)
    assert np.load(place).shape == (308, 3)


def test_a_full_disk_is_said_before_anything_is_written(contigs, tmp_path, monkeypatch):
    import shutil

    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    for name in ("o.nc", "o.npy"):
        with pytest.raises(FileWriteError):
            stream(MODEL, contigs, out=tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: nr.models.LSTM(4, 10, 3, n_layers=2, **SIZES),
        lambda: nr.models.GRU(4, 5, 2, bidirectional=True, **SIZES),
        lambda: nr.models.LeakyRNN(
            4, 7, 2, tau=8.0, form="current", initial_state="input", substeps=2, **SIZES
        ),
        lambda: nr.models.VanillaRNN(4, 7, 2, nonlinearity="relu", **SIZES),
        lambda: TIED,
    ],
    ids=["LSTM", "GRU", "leaky", "Elman", "tied"],
)
def test_weights_are_saved_and_loaded(make, kind, contigs, tmp_path):
    model = copy.deepcopy(make()).to(getattr(torch, kind))
    weights = StreamWeights.of(model)
    weights.save(tmp_path / "w")
    again = nr.load(tmp_path / "w")
    assert again.outputs == weights.outputs and again.source == type(model).__name__
    assert again.dtype == kind and again.time_unit == "bp"
    kept, found = stream(model, contigs), stream(again, contigs)
    for k in kept:
        assert found[k].identical(kept[k])
    assert StreamWeights.of(weights) is weights


def test_weights_are_copies():
    model = nr.models.GRU(4, 5, 2, **SIZES)
    weights = StreamWeights.of(model)
    before = stream(weights, "ACGT")
    with torch.no_grad():
        model.output_weight.zero_()
    assert stream(weights, "ACGT").identical(before)


def test_a_model_without_a_loop_has_no_weights_to_take():
    with pytest.raises(KindError, match="CausalCNN"):
        StreamWeights.of(nr.models.CausalCNN(4, 1, dt=1.0, context=3.0, time_unit="bp"))


def test_weights_of_an_unknown_cell_are_refused(tmp_path):
    from neurornn.io.saved import write_saved

    weights = StreamWeights.of(MODEL)._to_saved()
    weights["settings"]["runs"][0]["cell"] = "xlstm"
    write_saved(tmp_path / "w", kind="StreamWeights", **weights)
    with pytest.raises(FileFormatError, match="'xlstm'"):
        nr.load(tmp_path / "w")


@pytest.mark.slow
def test_torch_is_not_needed(contigs, tmp_path):
    for name, model in (("lstm", MODEL), ("tied", TIED)):
        StreamWeights.of(model).save(tmp_path / name)
        np.save(tmp_path / f"{name}.npy", stream(model, contigs["a"]).values)
    (tmp_path / "letters").write_text(contigs["a"])
    code = f"""
import sys, numpy as np, neurornn as nr
import neurornn.sequences
genome = nr.data.SequenceSet({str(tmp_path / "letters")!r}, [0], [230], ["a"])
for name in ("lstm", "tied"):
    weights = nr.load({str(tmp_path)!r} + "/" + name)
    found = nr.sequences.stream(weights, genome, out={str(tmp_path)!r} + f"/{{name}}.nc")
    assert np.array_equal(found, np.load({str(tmp_path)!r} + f"/{{name}}.npy"))
print("torch" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "False"
