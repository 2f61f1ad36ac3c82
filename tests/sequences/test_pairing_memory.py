import numpy as np
import pytest
import torch
import xarray as xr

import neurornn as nr
from neurornn._core.errors import DataError, NameUnknownError, ResumeError, ShapeError
from neurornn.models.base import ModelOutput
from neurornn.sequences import memory_against_distance
from neurornn.sequences import pairing_memory as memory

FEW = {"distances": (8, 20), "n_seeds": 2, "letters": 6000}


BRIEF = {"_TEST": 40, "_FIRST_EPOCHS": 2, "_FIRST": 64}
FULL = {name: getattr(memory, name) for name in BRIEF}


@pytest.fixture(scope="module")
def brief():
    """Fewer passes and fewer test sequences: what is tested is the table, not what is learned."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in BRIEF.items():
            patch.setattr(memory, name, value)
        yield


@pytest.fixture(scope="module")
def small(brief):
    return memory_against_distance(("gru", "cnn"), **FEW)


@pytest.mark.slow
def test_the_table_is_labelled(small):
    assert small["accuracy"].dims == ("cell", "distance")
    assert small["accuracy_seeds"].dims == ("cell", "distance", "seed")
    assert float(small["chance"]) == 0.25
    np.testing.assert_allclose(small["accuracy"], small["accuracy_seeds"].mean("seed"))
    np.testing.assert_allclose(small["accuracy_sd"], small["accuracy_seeds"].std("seed", ddof=1))
    low, high = small["accuracy_ci"].transpose("ci_bound", ...).values
    assert (low <= small["accuracy"].values).all() and (high >= small["accuracy"].values).all()
    assert small["horizon"].attrs["units"] == small["distance"].attrs["units"] == "bp"
    assert (small["seconds_per_step"] > 0).all()
    # What a model with a window can know of is its window.
    assert (small["horizon_seeds"].sel(cell="cnn") == 256).all()


@pytest.mark.slow
def test_the_same_call_gives_the_same_bits_and_goes_on_where_it_stopped(brief, small, tmp_path):
    folder = tmp_path / "partial"
    kept = memory_against_distance(("gru", "cnn"), **FEW, checkpoint=folder)
    for name in ("accuracy_seeds", "horizon_seeds"):
        np.testing.assert_array_equal(kept[name], small[name])
    files = sorted(folder.glob("chunk-*.npz"))
    assert len(files) == 4
    files[0].unlink()
    begun = files[-1].stat().st_mtime_ns
    again = memory_against_distance(("gru", "cnn"), **FEW, checkpoint=folder)
    # One is made again, the others stay.
    np.testing.assert_array_equal(again["accuracy_seeds"], small["accuracy_seeds"])
    assert files[0].exists() and files[-1].stat().st_mtime_ns == begun
    with pytest.raises(ResumeError):
        memory_against_distance(("gru", "cnn"), **{**FEW, "letters": 7000}, checkpoint=folder)


def test_accuracy_is_that_of_what_a_model_says():
    def said(inputs, truth):
        """Log odds at each AG: 1 where the letter before it is that behind the GT."""
        letters = inputs.argmax(-1).numpy()
        out = np.zeros((*letters.shape, 1), np.float32)
        for k, row in enumerate(letters):
            text = "".join("ACGT"[c] for c in row)
            kind = text[text.index("GT") + 2]
            for j in range(1, len(text)):
                if text[j - 1 : j + 1] == "AG" and (text[j - 2] == kind) is truth:
                    out[k, j] = 1
        return ModelOutput(torch.from_numpy(out), inputs[..., :0])

    assert memory.accuracy_at(lambda x: said(x, True), 30, 0, n=40) == 1
    assert memory.accuracy_at(lambda x: said(x, False), 30, 0, n=40) == 0
    constant = memory.accuracy_at(
        lambda x: ModelOutput(torch.zeros(*x.shape[:2], 1), x[..., :0]), 30, 0, n=400
    )
    # The first of four is right by chance; of 400 draws that moves by .02.
    assert abs(constant - 0.25) < 0.09


def test_the_horizon_of_a_leak_is_its_length_constant():
    leak = nr.models.LeakyRNN(4, 1, 1, dt=1.0, tau=20.0, recurrent=False, time_unit="bp",
                              nonlinearity="linear")  # fmt: skip
    # Interpolated between lags: exact to a hundredth.
    assert memory.horizon_at(leak, 50, 0) == pytest.approx(20, abs=0.2)
    assert memory.horizon_at(leak, 8, 0) == np.inf
    window = nr.models.CausalCNN(4, 1, dt=1.0, context=30.0, time_unit="bp")
    assert memory.horizon_at(window, 8, 0) == 30


def test_the_reach_is_read_half_way_on_a_logarithmic_axis():
    nan, places = np.nan, [10, 100, 1000]
    # Half-way between .25 and 1, so half a decade.
    assert memory._reach(np.array([1.0, 1.0, 0.25]), places) == pytest.approx(100 * np.sqrt(10))
    assert memory._reach(np.array([1.0, 0.9, 0.8]), places) == np.inf
    assert memory._reach(np.array([0.3, 0.9, 0.8]), places) == 10
    assert np.isnan(memory._reach(np.array([1.0, nan, nan]), places))


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"cells": ("gruu",)}, NameUnknownError, "gru"),
        ({"cells": ("gru", "gru")}, DataError, "each once"),
        ({"cells": ()}, DataError, "One or more cells"),
        ({"distances": (30, 20)}, DataError, "ascending"),
        ({"distances": (3,)}, DataError, "distance is 3"),
        ({"n_seeds": 0}, DataError, "n_seeds is 0"),
    ],
)
def test_wrong_arguments_are_explained(arguments, error, text):
    with pytest.raises(error, match=text):
        memory_against_distance(**{"cells": ("gru",), **FEW, **arguments})


@pytest.mark.slow
def test_gated_cells_carry_a_donor_where_a_window_and_a_plain_state_do_not(monkeypatch):
    for name, value in FULL.items():
        monkeypatch.setattr(memory, name, value)
    table = memory_against_distance(("cnn", "vanilla", "gru"), (12, 100, 600), n_seeds=2,
                                    letters=2_000_000)  # fmt: skip
    accuracy = table["accuracy"]
    # 512 sequences a seed: a standard error of .02 at chance, and of .01 near 1.
    assert float(accuracy.sel(cell="gru", distance=600)) > 0.9
    assert float(accuracy.sel(cell="cnn", distance=100)) > 0.9
    assert float(accuracy.sel(cell="cnn", distance=600)) < 0.32
    assert float(accuracy.sel(cell="vanilla", distance=12)) > 0.9
    assert float(accuracy.sel(cell="vanilla", distance=600)) < 0.5


def test_both_pictures_show_what_the_tables_hold(small):
    ax = nr.plot.pairing_accuracy(small)
    lines = {line.get_label(): line for line in ax.get_lines()}
    for cell in ("gru", "cnn"):
        np.testing.assert_allclose(lines[cell].get_xdata(), small["distance"])
        np.testing.assert_allclose(lines[cell].get_ydata(), small["accuracy"].sel(cell=cell))
    assert ax.get_xscale() == "log" and "bp" in ax.get_xlabel()
    # The horizon of the CNN is marked at its window.
    assert any(np.allclose(line.get_xdata(), 256) for line in ax.get_lines())
    ranked = xr.Dataset(
        {
            "acceptor": ("candidate", [40, 12]),
            "probability": ("candidate", [0.9, 0.1]),
            "probability_ci": (("candidate", "ci_bound"), [[0.8, 0.95], [0.05, 0.2]]),
        }
    )
    ax = nr.plot.acceptor_candidates(ranked, acceptor=40)
    points = [line for line in ax.get_lines() if line.get_marker() == "o"]
    np.testing.assert_array_equal(points[0].get_xydata(), [[40, 0.9], [12, 0.1]])
    for draw in (nr.plot.pairing_accuracy, nr.plot.acceptor_candidates):
        with pytest.raises(ShapeError, match="were needed"):
            draw(xr.Dataset({"x": 1}))
