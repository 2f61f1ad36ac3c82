"""A model tied over strands: an exact mirror, fitted, saved and loaded like the others."""

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn._core.errors import ConvergenceWarning, DataError, KindError, NameUnknownError
from neurornn.models.recurrence import plain_torch
from neurornn.sequences import stream

SWAPPED = [(0, 2)]
MIRRORED = [2, 1, 0]
CELLS = {
    "LSTM": {"n_layers": 2},
    "GRU": {},
    "LeakyRNN": {"tau": 20.0, "initial_state": "input", "form": "current"},
    "VanillaRNN": {"nonlinearity": "relu"},
}


def tied(cell, kind="float32", **more):
    model = nr.models.ReverseComplementTied(
        4, 21, 3, cell=cell, cell_options=CELLS[cell], swapped=SWAPPED, rng=0, **more
    )
    torch.manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            # Biases and first states of 0 would hide that they are mirrored too.
            p.add_(0.2 * torch.randn_like(p) * (p == 0))
    return model.to(getattr(torch, kind)).eval()


def contigs(rng, lengths=(1, 2, 77, 1030)):
    texts = ["".join(rng.choice(list("ACGTNRYM"), n)) for n in lengths]
    return nr.data.SequenceSet.from_sequences([f"c{k}" for k in range(len(lengths))], texts)


def hot(sequences, k):
    """(trial, time, input) of one of them."""
    found = sequences.one_hot([k], ambiguous="fractions")
    return torch.from_numpy(found.transpose("sequence", "position", "base").values.copy())


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("cell", CELLS)
def test_output_on_the_other_strand_is_the_mirror_to_the_last_bit(cell, kind, rng):
    model, here = tied(cell, kind), contigs(rng)
    there = here.reverse_complement()
    for k, name in enumerate(here.names):
        for plainly in (False, True):
            with torch.no_grad():
                if plainly:
                    with plain_torch():
                        one, other = model(hot(here, k)).output, model(hot(there, k)).output
                else:
                    one, other = model(hot(here, k)).output, model(hot(there, k)).output
            assert torch.equal(other.flip(1)[..., MIRRORED], one), (name, plainly)
            assert not len(here[k]) > 9 or not torch.allclose(other.flip(1), one, atol=1e-3)
    for manner in ("zeros", "fractions"):
        one = stream(model, here, ambiguous=manner, chunk_size=100, lanes=3)
        other = stream(model, there, ambiguous=manner)
        for name in here.names:
            assert np.array_equal(other[name].values[::-1][:, MIRRORED], one[name].values), name


def test_output_is_the_mean_of_one_network_on_both_strands(rng):
    """Written out once more, for one network and one sequence."""
    model, here = tied("GRU", "float64"), contigs(rng, (60,))
    x = hot(here, 0).double()
    strand = model.strand
    with torch.no_grad():
        ahead = strand(x).output[0]
        back = strand(hot(here.reverse_complement(), 0).double()).output[0]
        found, alone = model(x), strand(x)
    expected = (ahead + back.flip(0)[:, MIRRORED]) / 2
    # The same sums, but for the order in which a library takes them.
    np.testing.assert_allclose(found.output[0], expected, rtol=0, atol=1e-14)
    assert found.states.shape == (1, 60, 42)
    np.testing.assert_allclose(found.states[0, :, :21], alone.states[0], rtol=0, atol=1e-14)


def test_both_strands_count_at_every_position(rng):
    model, here = tied("LSTM"), contigs(rng, (200,))
    whole = stream(model, here[0])
    for changed in (0, 199):
        letters = list(here[0])
        letters[changed] = "A" if letters[changed] == "C" else "C"
        moved = np.abs(stream(model, "".join(letters)).values - whole.values).max(axis=1)
        near = slice(0, 5) if changed == 0 else slice(195, 200)
        assert (moved[near] > 0).all()


@pytest.mark.parametrize("cell", CELLS)
def test_settings_make_it_again(cell):
    model = tied(cell)
    twin = type(model)(**model.settings)
    twin.load_state_dict(model.state_dict())
    x = torch.eye(4)[None, [0, 1, 2, 3, 3, 1]]
    assert torch.equal(twin.eval()(x).output, model(x).output)
    assert twin.mirrored == MIRRORED and twin.settings == model.settings


@pytest.mark.slow
def test_a_length_constant_is_fitted_on_both_strands_in_bp(tmp_path):
    """A signal that remembers letters on either side, those on the right by their complement."""
    effects = np.array([-1.0, 0.5, 1.0, -0.5])
    sample = nr.simulate.simulate_dna_memory(
        24, 200, length_constant=15.0, base_effects=tuple(effects), noise_sd=0.3, rng=3
    )
    inputs = sample["one_hot"].transpose("sequence", "position", "base").values.astype(float)
    from_right, state = np.zeros((24, 200)), np.zeros(24)
    for k in range(199, -1, -1):
        state = np.exp(-1 / 15.0) * state + inputs[:, k] @ effects[::-1]
        from_right[:, k] = state
    targets = (sample["signal"].values + from_right)[..., None]
    model = nr.models.ReverseComplementTied(
        4, 1, 1, cell="LeakyRNN", cell_options={"nonlinearity": "linear", "tau": 5.0}
    )
    result = nr.fit(model, (inputs, targets), rng=0)
    tau, ci = result.parameters["tau"], result.parameters["tau_ci"].values[0]
    assert tau.attrs["units"] == "bp"
    # One interval at one fixed seed: half as wide again misses the truth 1 time in 300.
    middle, half = ci.mean(), 0.75 * (ci[1] - ci[0])
    assert middle - half < 15.0 < middle + half and half < 2.0
    result.save(tmp_path / "fit")
    again = nr.load(tmp_path / "fit")
    assert again.parameters.identical(result.parameters)
    assert type(again.model) is nr.models.ReverseComplementTied
    text = b"".join(sample["letters"].values[0]).decode()
    assert stream(again, text).identical(stream(result, text))
    with torch.no_grad():
        whole = result.model(inputs[:1].astype(np.float32)).output[0]
    np.testing.assert_allclose(stream(result, text), whole, rtol=1e-5, atol=1e-5)


def test_several_seeds_and_training_leave_it_tied(rng):
    here = contigs(rng, (80, 80, 80, 80))
    there = here.reverse_complement()
    inputs = np.concatenate([hot(here, k).numpy() for k in range(4)]).astype(float)
    targets = rng.integers(0, 2, (4, 80, 3)).astype(float)
    model = tied("GRU")
    with pytest.warns(ConvergenceWarning):
        result = nr.fit(
            model, (inputs, targets), objective="bernoulli", optimizer="adam", refine=False,
            max_epochs=3, n_seeds=2, intervals=False, rng=0,
        )  # fmt: skip
    assert result.seeds.sizes["seed"] == 2
    one, other = stream(result, here["c1"]), stream(result, there["c1"])
    assert np.array_equal(other.values[::-1][:, MIRRORED], one.values)


def test_gradients_are_those_of_plain_torch(rng):
    x = torch.eye(4, dtype=torch.float64)[torch.from_numpy(rng.integers(4, size=(2, 30)))]
    for cell in CELLS:
        model = tied(cell, "float64")
        found = []
        for plainly in (False, True):
            if plainly:
                with plain_torch():
                    loss = model(x).output.square().sum()
            else:
                loss = model(x).output.square().sum()
            found.append(torch.autograd.grad(loss, list(model.parameters()), allow_unused=True))
        for a, b in zip(*found, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                # Products of some hundred numbers of order 1, in another order.
                torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


def test_another_clock_needs_a_length_constant():
    leaky = tied("LeakyRNN").with_dt(0.5)
    assert leaky.dt == leaky.strand.dt == 0.5
    assert torch.equal(leaky.tau, tied("LeakyRNN").tau)
    with pytest.raises(KindError, match="LSTM"):
        tied("LSTM").with_dt(0.5)


@pytest.mark.parametrize(
    ("give", "error", "words"),
    [
        ({"swapped": [(0, 3)]}, DataError, ["(0, 3)", "0 to 2"]),
        ({"swapped": [(0, 1), (1, 2)]}, DataError, ["at most one pair"]),
        ({"swapped": [(1, 1)]}, DataError, ["at most one pair"]),
        ({"swapped": [0, 1]}, KindError, ["Pairs", "swapped=[(0, 1)]"]),
        ({"cell": "GRUU"}, NameUnknownError, ["'GRU'"]),
        ({"cell_options": {"bidirectional": True}}, DataError, ["both strands"]),
    ],
)
def test_what_cannot_be_tied_is_said_in_words(give, error, words):
    with pytest.raises(error) as said:
        nr.models.ReverseComplementTied(4, 3, 3, **give)
    assert all(w in str(said.value) for w in words), said.value


def test_no_state_goes_into_it_and_none_is_read_back():
    model = tied("GRU")
    with pytest.raises(DataError, match="A state of 3 numbers"):
        model(torch.zeros(1, 5, 4), torch.zeros(1, 3))
    with pytest.raises(KindError, match="linear function of its state"):
        model.read_back()
    assert model.looks_ahead and model.start(2).shape == (2, 0)
    assert not model.is_random and "swapped" in repr(model)
