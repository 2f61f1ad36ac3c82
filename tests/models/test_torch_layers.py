"""Weights of torch's layers in and out: the same outputs, step by step."""

import pytest
import torch
from torch import nn

import neurornn as nr
from neurornn._core.errors import DataError, KindError

LAYERS = {
    "rnn": lambda: nn.RNN(3, 8),
    "relu, batch first": lambda: nn.RNN(3, 8, nonlinearity="relu", batch_first=True),
    "rnn without bias": lambda: nn.RNN(3, 8, bias=False),
    "gru": lambda: nn.GRU(3, 8),
    "stacked gru": lambda: nn.GRU(3, 8, num_layers=2, dropout=0.3),
    "both ways": lambda: nn.GRU(3, 8, bidirectional=True),
    "gru without bias": lambda: nn.GRU(3, 8, bias=False),
    "lstm": lambda: nn.LSTM(3, 8),
    "stacked lstm both ways": lambda: nn.LSTM(3, 8, num_layers=2, bidirectional=True),
    "double": lambda: nn.LSTM(3, 8).double(),
}


@pytest.fixture(params=LAYERS)
def layer(request):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LAYERS[request.param]().eval()


def states_of(layer, x):
    """Outputs of torch's layer, (trial, time, unit)."""
    if layer.batch_first:
        return layer(x)[0]
    return layer(x.transpose(0, 1))[0].transpose(0, 1)


@pytest.fixture
def x(layer):
    draw = torch.Generator().manual_seed(1)
    return torch.randn(4, 30, 3, generator=draw).to(layer.weight_ih_l0.dtype)


@pytest.mark.parametrize("bias", [True, False, None])
def test_a_layer_of_torch_computes_the_same_here(layer, x, bias):
    read = None
    if bias is not None:
        read = nn.Linear(layer.hidden_size * (2 if layer.bidirectional else 1), 2, bias=bias)
        read = read.to(x.dtype)
    model = nr.models.from_torch(layer, read, dt=0.01)
    with torch.no_grad():
        wanted = states_of(layer, x)
        wanted = wanted if read is None else read(wanted)
        # The same sums in another order, in single precision.
        torch.testing.assert_close(model(x).output, wanted, rtol=1e-5, atol=1e-6)
    assert model.dt == 0.01 and next(model.parameters()).dtype == x.dtype


def test_there_and_back_are_the_same_outputs(layer, x):
    model = nr.models.from_torch(layer, dt=0.01)
    again, read = nr.models.to_torch(model)
    assert type(again) is type(layer) and again.batch_first
    with torch.no_grad():
        torch.testing.assert_close(read(again(x)[0]), states_of(layer, x), rtol=1e-5, atol=1e-6)


def test_they_are_copies(layer):
    model = nr.models.from_torch(layer, dt=0.01)
    before = {k: v.clone() for k, v in layer.state_dict().items()}
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1.0)
    assert all(torch.equal(v, before[k]) for k, v in layer.state_dict().items())


def test_what_has_no_twin_is_refused():
    for wrong in (nn.RNN(3, 8, num_layers=2), nn.RNN(3, 8, bidirectional=True),
                  nn.LSTM(3, 8, proj_size=4)):  # fmt: skip
        with pytest.raises(DataError, match="without projections was needed"):
            nr.models.from_torch(wrong, dt=0.01)
    with pytest.raises(KindError, match="layer is a Linear"):
        nr.models.from_torch(nn.Linear(3, 8), dt=0.01)
    with pytest.raises(DataError, match=r"A torch\.nn\.Linear with 8 inputs"):
        nr.models.from_torch(nn.GRU(3, 8), nn.Linear(9, 2), dt=0.01)
    for model in (nr.models.LeakyRNN(3, 8, 2, dt=0.01, tau=0.1),
                  nr.models.VanillaRNN(3, 8, 2, dt=0.01, nonlinearity="linear")):  # fmt: skip
        with pytest.raises(KindError, match="torch has no layer for the others"):
            nr.models.to_torch(model)
