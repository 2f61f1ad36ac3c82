"""Fixed points of several models at once: each as the call with it alone returns it."""

import warnings

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn._core.errors import ConvergenceWarning, DataError, KindError, ShapeError
from neurornn.models.base import RecurrentModel

find = nr.dynamics.find_fixed_points


class Squashed(RecurrentModel):
    """A user's own model: what it was, squashed, with a gain."""

    def __init__(self, n_input, n_hidden, n_output, *, dt, time_unit="s", gain=2.0):
        super().__init__(n_input, n_hidden, n_output, dt=dt, time_unit=time_unit)
        self.gain = gain
        self.shift = torch.nn.Parameter(torch.zeros(n_hidden))

    @property
    def settings(self):
        return {**super().settings, "gain": self.gain}

    def start(self, n_trials):
        return torch.zeros(n_trials, self.n_hidden)

    def scan(self, inputs, state):
        states = []
        for _ in range(inputs.shape[1]):
            state = torch.tanh(self.gain * state + self.shift)
            states.append(state)
        return torch.stack(states, 1), state

    def read(self, states, inputs):
        return states


def networks():
    gru = nr.models.GRU(1, 3, 1, dt=0.01, rng=4)
    bits = nr.models.LeakyRNN(1, 2, 1, dt=0.02, tau=0.3)
    with torch.no_grad():
        bits.recurrent_weight.copy_(torch.tensor([[2.0, 0.1], [0.0, 1.9]]))
        bits.bias.zero_()
    torch.manual_seed(0)
    return [gru, bits, torch.nn.RNN(1, 3, num_layers=2), Squashed(1, 1, 1, dt=0.01)]


def assert_same(first, second):
    assert first.parameters.identical(second.parameters)
    assert first.settings == second.settings
    assert first.report() == second.report()


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.slow
def test_each_is_as_the_call_with_it_alone(n_jobs):
    models = networks()
    before = [{k: v.clone() for k, v in m.state_dict().items()} for m in models]
    options = {"n_starts": 64, "max_starts": 256, "starts": None, "rng": 3, "method": "search"}
    together = find(models, [0.1], n_jobs=n_jobs, **options)
    assert [p.settings["model"] for p in together] == ["GRU", "LeakyRNN", "RNN", "Squashed"]
    assert [p.settings["dt"] for p in together] == [0.01, 0.02, 1.0, 0.01]
    for points, model in zip(together, models, strict=True):
        assert_same(points, find(model, [0.1], **options))
    for model, was in zip(models, before, strict=True):
        assert all(torch.equal(v, was[k]) for k, v in model.state_dict().items())
        assert all(p.requires_grad for p in model.parameters())


def test_starts_and_the_clock_of_layers_go_along():
    torch.manual_seed(1)
    layers = [torch.nn.GRU(1, 2), torch.nn.GRU(1, 2)]
    starts = np.array([[0.3, -0.2]])
    options = {"n_starts": 16, "max_starts": 64, "starts": starts, "dt": 0.05}
    together = find(layers, n_jobs=2, **options)
    assert {p.settings["time_unit"] for p in together} == {"s"}
    for points, layer in zip(together, layers, strict=True):
        assert_same(points, find(layer, **options))


def test_given_states_are_started_from():
    """Two random starts cannot find nine points; from the points themselves all are found."""
    model = networks()[1]
    nine = find(model).states
    (found,) = find([model], starts=nine, n_starts=2, max_starts=9)
    assert nine.sizes["point"] == found.parameters.sizes["point"] == 9


def test_a_generator_is_split():
    """A stream for each, whatever the number of processes; the next call draws others."""
    model = networks()[1]
    options = {"n_starts": 8, "max_starts": 16, "method": "search"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        first = find([model, model], rng=np.random.default_rng(5), **options)
        again = find([model, model], rng=np.random.default_rng(5), n_jobs=2, **options)
        streams = np.random.default_rng(5).spawn(2)
        for one, other, stream in zip(first, again, streams, strict=True):
            assert_same(one, other)
            assert_same(one, find(model, rng=stream, **options))
    # Starts differ, so that the last digits of the points do.
    assert not first[0].states.identical(first[1].states)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_points_that_are_missing_are_told_of_each(n_jobs):
    models = [networks()[1]] * 2
    with pytest.warns(ConvergenceWarning, match="the set is incomplete: the index sum") as told:
        find(models, n_starts=2, max_starts=2, method="search", n_jobs=n_jobs, rng=1)
    assert len(told) == 2


def test_functions_stay_in_this_process():
    functions = [lambda h: np.tanh(2 * h), lambda h: np.tanh(0.5 * h)]
    found = find(functions, n_hidden=1)
    assert [p.parameters.sizes["point"] for p in found] == [3, 1]
    with pytest.raises(KindError, match=r"Model 1 is a function, and n_jobs=2.*Pass n_jobs=1"):
        find([torch.nn.GRU(1, 1), functions[0]], n_hidden=1, n_jobs=2)


def test_what_cannot_be_read_is_told_before_a_search(monkeypatch):
    monkeypatch.setattr(
        "neurornn.dynamics.fixed_points.run_chunks", lambda *a, **o: pytest.fail("searched")
    )
    model = networks()[1]
    with pytest.raises(KindError, match="model is a int"):
        find([model, 3])
    with pytest.raises(ShapeError, match=r"inputs has shape \(2,\)"):
        find([model, model], [0.1, 0.2], n_jobs=2)
    with pytest.raises(ShapeError, match=r"starts has shape \(1, 3\)"):
        find((model,), starts=np.zeros((1, 3)))
    with pytest.raises(KindError, match="n_jobs=2 came with one model"):
        find(model, n_jobs=2)


def test_none_and_no_process():
    assert find([]) == []
    with pytest.raises(DataError, match="n_jobs is 0"):
        find(networks()[:2], n_jobs=0)


def test_progress_counts_models():
    told = []
    find(networks()[1:2] * 3, n_starts=16, progress=lambda done, of: told.append((done, of)))
    assert told == [(1, 3), (2, 3), (3, 3)]
