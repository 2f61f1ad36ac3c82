"""What else a user may do: other forms of the same data, full disks, broken checkpoints."""

import json
import os
import pathlib
import shutil
import warnings

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn._core.errors import ConvergenceWarning, FileFormatError, FileWriteError, UnitError

WIN = nr.simulate.simulate_rate_trials(
    2, 6, 0.5, 0.01, n_inputs=2, tau_range=(0.05, 0.3), snr=10, rng=0
)


def pair(**options):
    return nr.models.LeakyRNN(
        2, 2, 2, dt=0.01, tau=0.1, tau_bounds=(0.01, 2.0), readout="states", rng=0, **options
    )


def quiet(*args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return nr.fit(*args, **options)


def same_weights(a, b):
    return all(
        torch.equal(x, y) for x, y in zip(a.model.parameters(), b.model.parameters(), strict=True)
    )


@pytest.fixture(scope="module")
def plain():
    return quiet(pair(), WIN, max_epochs=3, rng=0)


@pytest.mark.parametrize(
    "turn",
    [
        lambda x, y: (x.values, y.values),
        lambda x, y: (x.transpose("time", "input", "trial"), y.transpose("output", ...)),
        lambda x, y: (torch.tensor(x.values, requires_grad=True), torch.tensor(y.values)),
        lambda x, y: (x.rename(input="unit"), y.rename(output="unit")),
        lambda x, y: (x.values.tolist(), y.values.tolist()),
    ],
    ids=["numpy", "axes turned", "torch", "units", "lists"],
)
def test_the_form_of_the_data_does_not_matter(turn, plain):
    again = quiet(pair(), turn(WIN["inputs"], WIN["targets"]), max_epochs=3, rng=0)
    assert same_weights(again, plain)
    assert again.parameters.identical(plain.parameters)


def test_a_truncation_longer_than_the_trials_is_none():
    options = {"optimizer": "adam", "max_epochs": 4, "batch_size": 2, "rng": 0}
    whole = quiet(pair(), WIN, **options)
    assert same_weights(quiet(pair(), WIN, truncation=5.0, **options), whole)


def test_segments_give_the_validation_loss_of_whole_trials():
    watch = WIN.isel(time=slice(0, 37))
    watch = watch.assign(mask=(("trial", "time"), np.arange(6 * 37).reshape(6, 37) % 3 > 0))
    options = {"optimizer": "adam", "max_epochs": 3, "validation": watch, "rng": 0}
    a, b = (quiet(pair().double(), WIN, segment_duration=s, **options) for s in (None, 0.1))
    # The same sums in another order; Adam grows their rounding a little.
    np.testing.assert_allclose(
        a.history["validation_loss"], b.history["validation_loss"], rtol=1e-8
    )


def test_validation_on_another_clock_is_refused():
    with pytest.raises(UnitError, match="One clock"):
        nr.fit(pair(), WIN, validation=WIN.assign_attrs(dt=0.05))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    quiet(pair(), WIN, optimizer="adam", max_epochs=3, checkpoint=folder)
    return folder


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        ("settings.json", lambda raw: raw[: len(raw) // 2], "The settings of checkpoint are dam"),
        ("settings.json", lambda raw: b"\x00garbage", "The settings of checkpoint are damaged"),
        ("weights.safetensors", lambda raw: raw[: len(raw) // 2], "the file of weights changed"),
        ("weights.safetensors", lambda raw: b"\x00garbage", "the file of weights changed"),
        ("settings.json", lambda raw: _newer(raw), "checkpoint is of format 2"),
    ],
    ids=["settings cut", "settings garbage", "weights cut", "weights garbage", "newer format"],
)
def test_a_damaged_or_newer_checkpoint_is_refused(checkpoint, tmp_path, name, damage, said):
    shutil.copytree(checkpoint, tmp_path / "run")
    file = tmp_path / "run" / "checkpoint" / name
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(FileFormatError, match=said):
        nr.fit(pair(), WIN, optimizer="adam", max_epochs=3, checkpoint=tmp_path / "run")


def _newer(raw):
    header = json.loads(raw)
    return json.dumps({**header, "format": header["format"] + 1}).encode()


def test_a_full_disk_leaves_the_older_checkpoint(tmp_path, monkeypatch):
    options = {"optimizer": "adam", "max_epochs": 6, "checkpoint_every": 2, "rng": 0}
    whole = quiet(pair(), WIN, **options)
    original, calls = pathlib.Path.write_text, []

    def full(self, *args, **kwargs):
        calls.append(self)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return original(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "write_text", full)
        with pytest.raises(FileWriteError, match="disk is full"):
            quiet(pair(), WIN, checkpoint=tmp_path, **options)
    assert os.listdir(tmp_path) == ["checkpoint"]
    # Taken up at epoch 2, where the last whole checkpoint stands.
    seen = []
    again = quiet(
        pair(), WIN, checkpoint=tmp_path, progress=lambda d, t: seen.append(d),
        **options,
    )  # fmt: skip
    assert seen[0] == 3 and same_weights(again, whole)


def test_a_checkpoint_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileWriteError, match="part of the path is a file"):
        quiet(pair(), WIN, optimizer="adam", max_epochs=2, checkpoint=tmp_path / "file")


@pytest.mark.parametrize(
    ("options", "fit"),
    [
        ({"tau_groups": ["PV", "SST"]}, {}),
        ({"regions": ["V1", "LM"], "region_connections": [[1, 1], [0, 1]]}, {}),
        ({"excitatory": [True, False], "rank": 1}, {"n_seeds": 2}),
        ({"initial_state": "input", "substeps": 2, "form": "current"}, {"optimizer": "adam"}),
    ],
    ids=["groups", "regions", "seeds", "adam"],
)
def test_every_kind_of_result_is_loaded_as_it_was_saved(tmp_path, options, fit):
    result = quiet(pair(**options), WIN, max_epochs=3, **fit)
    result.save(tmp_path / "fit")
    again = nr.load(tmp_path / "fit")
    assert again.parameters.identical(result.parameters)
    assert again.history.identical(result.history)
    assert dict(again.settings) == dict(result.settings)
    assert dict(again.provenance) == dict(result.provenance)
    assert again.model.settings == result.model.settings and same_weights(again, result)
    assert (result.seeds is None) == (again.seeds is None)
    for text in ("report", "methods_text", "to_latex", "_repr_html_"):
        assert getattr(again, text)() == getattr(result, text)()


@pytest.mark.slow
def test_gradient_flow_takes_any_form_of_the_inputs_and_leaves_the_model_alone():
    model = pair()
    flows = [
        nr.training.gradient_flow(model, data)
        for data in (WIN, WIN["inputs"], WIN["inputs"].values, (WIN["inputs"], WIN["targets"]))
    ]
    assert all(f.parameters.identical(flows[0].parameters) for f in flows)
    assert next(model.parameters()).dtype == torch.float32
    double = nr.training.gradient_flow(pair().double(), WIN)
    # Single precision, over 25 steps.
    np.testing.assert_allclose(flows[0].parameters["norm"], double.parameters["norm"], rtol=1e-4)
