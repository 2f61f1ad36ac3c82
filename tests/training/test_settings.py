"""Settings of a fit: checked once, frozen, settled for data, and the same by whatever door."""

import dataclasses

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn._core.errors import DataError, ThreePartError
from neurornn.training.batches import as_training_data
from neurornn.training.one import fit_one
from neurornn.training.settings import FitSettings


def model(**more):
    return nr.models.LeakyRNN(2, 3, 1, dt=0.01, tau=0.05, **more)


def data(n_trials=40):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n_trials, 25, 2))
    return x, np.cumsum(x, axis=1)[..., :1]


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"max_epochs": 0}, "max_epochs"),
        ({"max_epochs": 2.5}, "max_epochs"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"clip_norm": -1.0}, "clip_norm"),
        ({"weight_decay": -0.1}, "weight_decay"),
        ({"patience": None}, "patience"),
        ({"tolerance": float("nan")}, "tolerance"),
        ({"warmup_epochs": -1}, "warmup_epochs"),
        ({"truncation": 0.0}, "truncation"),
        ({"teacher_forcing": -0.1}, "teacher_forcing"),
        ({"optimizer": "adma"}, "'adam'"),
        ({"schedule": "cosin"}, "'cosine'"),
        ({"objective": "gausian"}, "gaussian"),
        ({"confidence_level": 95}, "confidence_level"),
    ],
)
def test_what_cannot_be_is_refused_where_settings_are_made_and_at_the_door(wrong, match):
    for make in (lambda: FitSettings(**wrong), lambda: nr.fit(model(), data(), **wrong)):
        with pytest.raises(ThreePartError, match=match):
            make()


def test_they_cannot_be_changed_afterwards():
    with pytest.raises(dataclasses.FrozenInstanceError, match="max_epochs"):
        FitSettings().max_epochs = 3


def test_what_was_left_open_is_settled_by_model_and_data():
    settled = FitSettings().for_data(model(), 40)
    assert (settled.optimizer, settled.batch_size, settled.learning_rate) == ("lbfgs", 32, 0.01)
    # 500 weights at most; 40 units have over 1600. Fewer trials than a batch go in together.
    large = nr.models.LeakyRNN(2, 40, 1, dt=0.01, tau=0.05)
    settled = FitSettings().for_data(large, 8)
    assert (settled.optimizer, settled.batch_size) == ("adam", 8)
    assert FitSettings(truncation=0.1).for_data(model(), 40).optimizer == "adam"
    assert FitSettings(learning_rate=0.3, batch_size=5).for_data(model(), 8).learning_rate == 0.3
    with pytest.raises(DataError, match="batch_size is 9 and there are 8 trials"):
        FitSettings(batch_size=9).for_data(model(), 8)
    with pytest.raises(DataError, match="'lbfgs' with noise, dropout, truncation"):
        FitSettings(optimizer="lbfgs", truncation=0.1).for_data(model(), 8)
    fixed = model()
    for p in fixed.parameters():
        p.requires_grad_(False)
    with pytest.raises(DataError, match="0 weights of the model are free"):
        FitSettings().for_data(fixed, 8)


@pytest.mark.filterwarnings("ignore::neurornn._core.errors.ConvergenceWarning")
@pytest.mark.slow
def test_a_fit_of_tensors_is_the_fit_at_the_door_bit_for_bit():
    options = {"max_epochs": 3, "rng": 5, "optimizer": "adam", "learning_rate": 0.02}
    door = nr.fit(model(), data(), **options)
    inside = fit_one(model(), as_training_data(data(), model()), None, FitSettings(**options))
    for a, b in zip(door.model.parameters(), inside.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert door.parameters.identical(inside.parameters)
    assert door.settings == inside.settings
    # Every setting is told with the result, those that were settled by the data as well.
    assert set(door.settings) == {f.name for f in dataclasses.fields(FitSettings)}
    assert door.settings["batch_size"] == 32
