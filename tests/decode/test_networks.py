"""The networks of a recurrent decoder as models: they say what the decoder says."""

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

import neurornn as nr
from neurornn.decode.machines import from_gate_blocks, gate_blocks, make_machine


def data(n=300, n_units=5):
    rng = np.random.default_rng(0)
    counts = rng.poisson(1.0, (n, n_units)).astype(float)
    return counts, np.column_stack([counts[:, 0] - counts[:, 1], 3 + 0.5 * counts[:, 2]])


def said(machine, features):
    out = []
    running = make_machine(machine.kind, machine.arrays, machine.settings)
    running.reset()
    for row in features:
        running.step(row, row, np.zeros(len(row), np.int8), True)
        out.append(running.out.copy())
    return np.array(out)


@pytest.mark.parametrize(
    ("cell", "more"),
    [("leaky", {}), ("gru", {}), ("lstm", {}), ("lstm", {"separate": True})],
)
def test_the_networks_say_what_the_decoder_says(cell, more):
    counts, goal = data()
    decoder = nr.decode.RecurrentDecoder(
        cell, bin_size=0.05, n_hidden=6, n_seeds=2, max_epochs=1, rng=0, **more
    ).fit(counts, goal)
    models = decoder.networks()
    assert len(models) == (4 if more else 2)
    assert all(m.dt == 0.05 and m.n_hidden == 6 for m in models)
    features = decoder._machine.arrays["origin"] + np.random.default_rng(1).standard_normal(
        (40, 5)
    )
    wanted = said(decoder._machine, features)
    fed = torch.as_tensor(features - decoder._machine.arrays["origin"])[None].float()
    with torch.no_grad():
        each = np.stack([m(fed).output[0].numpy() for m in models])
    # The mean over seeds; with networks of their own each output is read from its own alone.
    # Single precision through 40 bins.
    if more:
        each = each.reshape(2, 2, 40, 2).sum(axis=1)
    np.testing.assert_allclose(each.mean(axis=0), wanted, atol=1e-4)
    points = nr.dynamics.find_fixed_points(models[0], n_starts=64, max_starts=128)
    assert points.settings["time_unit"] == "s" and points.settings["dt"] == 0.05


def test_a_classifier_has_networks_too_and_an_unfitted_one_none():
    counts, goal = data()
    classes = (goal[:, 0] > 0).astype(int)
    decoder = nr.decode.RecurrentClassifier(
        bin_size=0.05, n_hidden=4, n_seeds=1, max_epochs=1, rng=0
    ).fit(counts, classes)
    (model,) = decoder.networks()
    assert model.n_output == 2 and type(model).__name__ == "GRU"
    with pytest.raises(NotFittedError):
        nr.decode.RecurrentDecoder(bin_size=0.05).networks()


def test_gates_are_laid_out_and_back():
    weight = np.random.default_rng(0).standard_normal((12, 5)).astype(np.float32)
    blocks = gate_blocks(weight, 3)
    np.testing.assert_array_equal(from_gate_blocks(blocks, 3, 4), weight)
    np.testing.assert_array_equal(
        from_gate_blocks(gate_blocks(weight[:, 0], 3), 3, 4), weight[:, 0]
    )
