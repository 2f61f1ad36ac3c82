"""A cell of a user's own fits, takes seeds, saves, and loads where its class is passed."""

import numpy as np
import pytest
import torch
from torch import nn

import neurornn as nr
from neurornn._core.errors import FileFormatError, KindError, NameUnknownError
from neurornn.models.base import ModelOutput, RecurrentModel

pytestmark = pytest.mark.filterwarnings("ignore::neurornn._core.errors.ConvergenceWarning")


class Half(RecurrentModel):
    """Keeps a share of its state from step to step."""

    def __init__(self, n_input, n_hidden, n_output, *, dt, share=0.5, time_unit="s", rng=0):
        super().__init__(n_input, n_hidden, n_output, dt=dt, time_unit=time_unit)
        self.share = share
        draw = torch.Generator().manual_seed(rng)
        self.into = nn.Parameter(0.3 * torch.randn(n_hidden, n_input, generator=draw))
        self.out = nn.Parameter(0.3 * torch.randn(n_output, n_hidden, generator=draw))

    @property
    def settings(self):
        return {**super().settings, "share": self.share}

    def start(self, n_trials):
        return self.into.new_zeros(n_trials, self.n_hidden)

    def scan(self, inputs, state):
        states = []
        for t in range(inputs.shape[1]):
            state = self.share * state + torch.tanh(inputs[:, t] @ self.into.T)
            states.append(state)
        return torch.stack(states, 1), state

    def read(self, states, inputs):
        return states @ self.out.T


class Unseeded(Half):
    """Draws its weights from the global generator of torch, as most own models do."""

    def __init__(self, n_input, n_hidden, n_output, *, dt, time_unit="s"):
        super().__init__(n_input, n_hidden, n_output, dt=dt, time_unit=time_unit)
        nn.init.normal_(self.into)

    @property
    def settings(self):
        return RecurrentModel.settings.fget(self)


class Forgetful(Half):
    """Its settings leave `share` out, so that another one would be made of them."""

    def __init__(self, n_input, n_hidden, n_output, *, dt, width, time_unit="s", rng=0):
        super().__init__(n_input, n_hidden * width, n_output, dt=dt, time_unit=time_unit, rng=rng)

    @property
    def settings(self):
        return RecurrentModel.settings.fget(self)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 30, 2))
    return x, np.cumsum(x, axis=1)[..., :1]


def same(a, b):
    return all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


def test_it_fits_saves_and_loads_where_its_class_is_passed(data, tmp_path):
    result = nr.fit(Half(2, 4, 1, dt=0.01, share=0.9), data, max_epochs=3, rng=0)
    result.save(tmp_path / "fit")
    with pytest.raises(FileFormatError, match=r"nr\.load\(path, classes=\[Half\]\)"):
        nr.load(tmp_path / "fit")
    again = nr.load(tmp_path / "fit", classes=[Half])
    assert type(again.model) is Half and again.model.share == 0.9
    assert same(again.model, result.model)
    assert again.report() == result.report()
    assert isinstance(again.model(torch.zeros(1, 5, 2)), ModelOutput)


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_seeds_of_it_are_fitted_in_other_processes_too(data, n_jobs):
    found = nr.fit(
        Half(2, 4, 1, dt=0.01, share=0.9), data, max_epochs=2, n_seeds=2, n_jobs=n_jobs, rng=0
    )
    assert type(found.model) is Half and found.model.share == 0.9
    assert found.seeds.sizes["seed"] == 2
    # The first seed keeps its weights, the second draws its own.
    assert len(set(found.seeds["loss"].values)) == 2


@pytest.mark.slow
def test_seeds_of_one_that_takes_no_seed_differ_and_come_again(data):
    before = torch.random.get_rng_state()
    model = Unseeded(2, 4, 1, dt=0.01)
    torch.random.set_rng_state(before)
    losses = [
        nr.fit(model, data, max_epochs=2, n_seeds=3, rng=0).seeds["loss"].values for _ in range(2)
    ]
    assert len(set(losses[0])) == 3
    assert np.array_equal(*losses)
    # Nothing was drawn from the user's own generator.
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_league_takes_it(data):
    table = nr.compare.league(
        data,
        [Half(2, 4, 1, dt=0.01), "memoryless"],
        n_seeds=1,
        max_epochs=2,
        fractions=(0.4, 0.3, 0.3),
    )
    assert "Half" in table.parameters["model"].values


def test_settings_that_do_not_make_it_again_are_told_before_it_is_lost(data, tmp_path):
    result = nr.fit(Forgetful(2, 2, 1, dt=0.01, width=2), data, max_epochs=2, rng=0)
    with pytest.raises(KindError, match="settings of your Forgetful do not make it again"):
        result.save(tmp_path / "fit")
    with pytest.raises(KindError, match="settings of your Forgetful do not make it again"):
        nr.fit(Forgetful(2, 2, 1, dt=0.01, width=2), data, max_epochs=2, n_seeds=2, rng=0)
    assert not (tmp_path / "fit").exists()


def test_a_cell_by_the_name_of_one_of_the_packages_is_not_saved_as_that(data, tmp_path):
    class LSTM(Half):
        pass

    result = nr.fit(LSTM(2, 4, 1, dt=0.01), data, max_epochs=2, rng=0)
    with pytest.raises(NameUnknownError, match="neurornn has a class of that name"):
        result.save(tmp_path / "fit")
