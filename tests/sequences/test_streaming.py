"""A model along letters: piece by piece as in one, lanes as alone, both ways, as torch has it."""

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError
from neurornn.models.base import RecurrentModel
from neurornn.models.recurrence import plain_torch
from neurornn.sequences import stream

SIZES = {"dt": 1.0, "time_unit": "bp", "rng": 1}
#: Sums of some dozen numbers below 1 in another order: some roundings of single precision.
SINGLE = 3e-6
#: The same in double precision.
DOUBLE = 1e-14

MODELS = {
    "LSTM": lambda: nr.models.LSTM(4, 33, 3, **SIZES),
    "deep LSTM": lambda: nr.models.LSTM(4, 16, 2, n_layers=3, **SIZES),
    "GRU": lambda: nr.models.GRU(4, 33, 3, **SIZES),
    "deep GRU": lambda: nr.models.GRU(4, 20, 2, n_layers=2, **SIZES),
    "GRU both ways": lambda: nr.models.GRU(4, 12, 2, bidirectional=True, **SIZES),
    "LSTM both ways": lambda: nr.models.LSTM(4, 12, 2, bidirectional=True, **SIZES),
    "leaky": lambda: nr.models.LeakyRNN(4, 17, 2, tau=10.0, **SIZES),
    "leaky from the first letter": lambda: shaken(
        nr.models.LeakyRNN(4, 9, 2, tau=10.0, initial_state="input", **SIZES)
    ),
    "leaky, Dale, three areas": lambda: nr.models.LeakyRNN(
        4, 9, 2, tau=[5.0, 20.0, 80.0], tau_groups=[*"aaabbbccc"], excitatory=0.7,
        regions=[*"xxxyyyzzz"], region_connections=np.tri(3), **SIZES,
    ),
    "current": lambda: nr.models.LeakyRNN(
        4, 17, 2, tau=10.0, form="current", nonlinearity="sigmoid", substeps=3, **SIZES
    ),
    "current, its states": lambda: nr.models.LeakyRNN(
        4, 7, 7, tau=10.0, form="current", readout="states", rank=2, **SIZES
    ),
    "integrators": lambda: nr.models.LeakyRNN(
        4, 5, 2, tau=10.0, recurrent=False, step="euler", nonlinearity="softplus", **SIZES
    ),
    "Elman": lambda: nr.models.VanillaRNN(4, 20, 2, nonlinearity="relu", **SIZES),
    "tied": lambda: nr.models.ReverseComplementTied(4, 12, 3, swapped=[(0, 2)], rng=1),
    "state space": lambda: nr.models.LinearStateSpace(4, 5, 2, **SIZES),
    "convolution": lambda: nr.models.CausalCNN(4, 2, context=30.0, **SIZES),
    "history": lambda: nr.models.LinearHistory(4, 2, dt=1.0, context=5.0, time_unit="bp"),
    "no memory": lambda: nr.models.Memoryless(4, 2, **SIZES),
}  # fmt: skip


def shaken(model):
    """Give every weight that starts at 0 a value, so that it counts."""
    torch.manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn_like(p) * (p == 0))
    return model


def letters(rng, n, chances=(0.24, 0.24, 0.24, 0.24, 0.03, 0.01)):
    """Random letters, some of them N and R."""
    return "".join(rng.choice(list("ACGTNR"), n, p=chances))


def one_hot(text, dtype=np.float64, **more):
    """(trial, time, input) of one sequence."""
    found = nr.data.SequenceSet.from_sequences(["a"], [text]).one_hot(dtype=dtype, **more)
    return found.transpose("sequence", "position", "base").values


@pytest.mark.parametrize("name", MODELS)
def test_stream_is_the_model_on_the_whole_sequence(name, rng):
    text = letters(rng, 700)
    model = shaken(MODELS[name]()).double().eval()
    with torch.no_grad(), plain_torch():
        whole = model(one_hot(text))
    found = stream(model, text, chunk_size=90, states=True)
    assert found["outputs"].dtype == np.float64
    np.testing.assert_allclose(found["outputs"], whole.output[0], rtol=0, atol=DOUBLE)
    if "LSTM both ways" in name:
        # The model shows what it reads, the stream also the cells, each to go on from.
        assert found.sizes["state"] == 2 * whole.states.shape[2]
    else:
        np.testing.assert_allclose(found["states"], whole.states[0], rtol=0, atol=DOUBLE)
    single = MODELS[name]().eval()
    with torch.no_grad():
        expected = single(one_hot(text, np.float32)).output[0]
    outputs = stream(single, text)
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=SINGLE)


@pytest.mark.parametrize("name", MODELS)
def test_no_bit_depends_on_the_chunks(name, rng):
    text = letters(rng, 9000 if name in ("convolution", "state space") else 900)
    model = MODELS[name]()
    whole = stream(model, text, states=True)
    for chunk in (1, 7, 64, 65, len(text) - 1):
        if chunk < 7 and len(text) > 900:
            continue
        pieces = stream(model, text, chunk_size=chunk, states=True)
        assert pieces.identical(whole), chunk


@pytest.mark.parametrize(("name", "lanes"), [("deep LSTM", 3), ("deep GRU", 2), ("current", 8)])
def test_no_bit_depends_on_the_lanes(name, lanes, rng):
    lengths = (300, 64, 0, 511, 1, 200, 65)
    names = [f"c{k}" for k in range(len(lengths))]
    contigs = nr.data.SequenceSet.from_sequences(names, [letters(rng, n) for n in lengths])
    model = MODELS[name]()
    together = stream(model, contigs, lanes=lanes, chunk_size=50, states=True)
    assert list(together) == names
    for k in names:
        assert together[k].identical(stream(model, contigs[k], states=True)), k
    reverse = stream(model, contigs, lanes=lanes, bidirectional=True)
    for k in names:
        alone = stream(model, contigs[k][::-1])[::-1]
        assert np.array_equal(reverse[k][:, model.n_output :], alone), k


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_stream_is_torchs_own_layer(kind, layers, rng):
    text = letters(rng, 2000)
    model = getattr(nr.models, kind)(4, 24, 3, n_layers=layers, **SIZES)
    layer, read_out = nr.models.to_torch(model)
    with torch.no_grad():
        theirs = read_out(layer(torch.from_numpy(one_hot(text, np.float32)))[0])[0]
    np.testing.assert_allclose(stream(model, text), theirs, rtol=0, atol=SINGLE)


def test_states_are_states_to_go_on_from(rng):
    text = letters(rng, 400)
    for name in ("deep LSTM", "deep GRU", "leaky", "convolution"):
        model = MODELS[name]().double().eval()
        found = stream(model, text, states=True)
        with torch.no_grad():
            state = torch.from_numpy(found["states"].values[249:250].copy())
            rest = model(one_hot(text[250:]), state).output[0]
        np.testing.assert_allclose(found["outputs"][250:], rest, rtol=0, atol=DOUBLE)


def test_both_ways_are_two_models_side_by_side(rng):
    text = letters(rng, 500)
    ahead, back = MODELS["LSTM"](), MODELS["deep GRU"]()
    found = stream((ahead, back), text, bidirectional=True, chunk_size=120, states=True)
    assert found["output"].values.tolist() == [
        "forward 0", "forward 1", "forward 2", "backward 0", "backward 1",
    ]  # fmt: skip
    both = found["outputs"].values
    assert np.array_equal(both[:, :3], stream(ahead, text))
    # The same strand from its far end: letters are turned about and not complemented.
    assert np.array_equal(both[:, 3:], stream(back, text[::-1])[::-1])
    assert found["direction"].values.tolist() == ["forward"] * 66 + ["backward"] * 40
    last = stream(back, text[::-1], states=True)["states"]
    assert np.array_equal(found["states"][:, 66:], last[::-1])
    one = stream(back, text, bidirectional=True)
    assert np.array_equal(one[:, 2:], both[:, 3:])
    some = stream((ahead, back), text, bidirectional=True, outputs=["backward 1", "forward 2"])
    assert np.array_equal(some, both[:, [4, 2]])
    alone = stream((ahead, back), text, bidirectional=True, outputs=["backward 0"])
    assert np.array_equal(alone, both[:, 3:4])
    # A model without a loop stands beside one that has it.
    plain = stream((ahead, MODELS["state space"]()), text, bidirectional=True)
    assert np.array_equal(plain[:, 3:], stream(MODELS["state space"](), text[::-1])[::-1])


def test_n_at_the_ends_is_padding_to_a_model_that_looks_both_ways_alone(rng):
    text = "NNNN" + letters(rng, 120) + "N" * 70
    for name in ("GRU both ways", "LSTM both ways", "LSTM", "tied"):
        model = MODELS[name]().double()
        for given, dtype in ((text, "zeros"), (text, "fractions"), ("NNNNN", "zeros")):
            with torch.no_grad():
                whole = model(one_hot(given, ambiguous=dtype)).output[0]
            found = stream(model, given, ambiguous=dtype, chunk_size=30)
            np.testing.assert_allclose(found, whole, rtol=0, atol=DOUBLE)


def test_ambiguous_letters_and_case(rng):
    model = MODELS["GRU"]().double()
    text = letters(rng, 90, (0.2, 0.2, 0.2, 0.1, 0.1, 0.2)) + "YSWKMBDHVN"
    for manner in ("zeros", "fractions"):
        with torch.no_grad():
            whole = model(one_hot(text, ambiguous=manner)).output[0]
        found = stream(model, text, ambiguous=manner)
        np.testing.assert_allclose(found, whole, rtol=0, atol=DOUBLE)
        assert found.attrs["ambiguous"] == manner
    assert np.array_equal(stream(model, text.lower()), stream(model, text))
    assert not np.array_equal(stream(model, "ANA"), stream(model, "AAA"))


def test_rna_and_proteins():
    model = MODELS["LSTM"]()
    rna = nr.data.SequenceSet.from_sequences(["r"], ["ACGUU"], "rna")
    assert np.array_equal(stream(model, rna), stream(model, "ACGTT"))
    peptide = nr.data.SequenceSet.from_sequences(["p"], ["MKV*X"], "protein")
    found = stream(nr.models.GRU(20, 3, 1, dt=1.0, time_unit="aa"), peptide)
    assert found.shape == (5, 1) and found.attrs["position_units"] == "aa"
    tied = nr.models.ReverseComplementTied(20, 3, 1, time_unit="aa")
    with pytest.raises(KindError, match="reverse complement"):
        stream(tied, peptide)


class Whole(RecurrentModel):
    """A model of a user's own, with a coefficient that says how the letters count."""

    def __init__(self, n_input, n_hidden, n_output, *, dt, time_unit="bp"):
        super().__init__(n_input, n_hidden, n_output, dt=dt, time_unit=time_unit)
        self.model = torch.nn.Linear(n_input, n_hidden).requires_grad_(False)

    def scan(self, inputs, state):
        steps = []
        for x in self.model(inputs).unbind(1):
            state = 0.9 * state + x
            steps.append(state)
        return torch.stack(steps, 1), state

    def read(self, states, inputs):
        return states[..., : self.n_output]


class Doubled(nr.models.GRU):
    """A GRU that is derived from, and computes something else."""

    def read(self, states, inputs):
        return 2 * super().read(states, inputs)

    def _read_top(self, top):
        return 2 * super()._read_top(top)


@pytest.mark.parametrize("cls", [Whole, Doubled])
def test_a_model_of_ones_own_runs_by_its_own_equations(cls, rng):
    text = letters(rng, 5000)
    torch.manual_seed(0)
    model = cls(4, 6, 2, dt=1.0, time_unit="bp").train()
    found = stream(model, text, chunk_size=1000)
    assert model.training
    with torch.no_grad():
        whole = model(one_hot(text, np.float32)).output[0]
    np.testing.assert_allclose(found, whole, rtol=0, atol=SINGLE)
    assert np.array_equal(found, stream(model, text))


def test_dropout_and_noise_are_off_and_the_model_stays_as_it_was(rng):
    text = letters(rng, 60)
    model = nr.models.LeakyRNN(4, 8, 2, tau=10.0, noise_sd=1.0, dropout=0.5, **SIZES).train()
    quiet = nr.models.LeakyRNN(4, 8, 2, tau=10.0, **SIZES)
    before, seed = model.state_dict(), torch.get_rng_state()
    assert np.array_equal(stream(model, text), stream(quiet, text))
    assert model.training and torch.equal(seed, torch.get_rng_state())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_progress_counts_to_the_end(rng):
    seen = []
    stream(
        MODELS["LSTM"](), letters(rng, 1000), chunk_size=100, bidirectional=True,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert seen == [(k, 20) for k in range(1, 21)]
    seen.clear()
    contigs = nr.data.SequenceSet.from_sequences(["a", "b"], ["NNNN" + letters(rng, 205), "N"])
    stream(
        MODELS["GRU both ways"](), contigs, chunk_size=100,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert seen == [(k, 6) for k in range(1, 7)]


def test_a_fit_is_streamed_by_its_model():
    sample = nr.simulate.simulate_dna_memory(8, 60, rng=0)
    inputs = sample["one_hot"].transpose("sequence", "position", "base").values.astype(float)
    model = nr.models.LeakyRNN(4, 1, 1, nonlinearity="linear", tau=10.0, dt=1.0, time_unit="bp")
    result = nr.fit(model, (inputs, sample["signal"].values[..., None]), rng=0)
    text = b"".join(sample["letters"].values[3]).decode()
    expected = result.predict(inputs)[3]
    found = stream(result, text)
    # Signals are some units large, in the precision of the fit.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert found.attrs["long_name"] == "output of a LeakyRNN"


@pytest.mark.parametrize(
    ("give", "error", "words"),
    [
        ({"sequences": "ACGTXA"}, DataError, ["'X'", "position 4"]),
        ({"sequences": "chr1.fa"}, KindError, ["nr.open"]),
        ({"sequences": ["ACGT"]}, KindError, ["list", "from_sequences"]),
        ({"sequences": "AC\u00e4"}, DataError, ["position 2", "encoding"]),
        ({"model": torch.nn.LSTM(4, 3)}, KindError, ["torch", "from_torch"]),
        ({"model": nr.models.GRU(5, 3, 1, dt=1.0)}, ShapeError, ["5 inputs", "ACGT"]),
        ({"model": nr.models.CalciumRNN(4, dt=0.1)}, DataError, ["observes"]),
        ({"model": MODELS["tied"](), "bidirectional": True}, DataError, ["both ways"]),
        ({"model": (MODELS["GRU"](), MODELS["GRU"]())}, KindError, ["pair"]),
        (
            {"model": (MODELS["GRU"](), MODELS["GRU"]().double()), "bidirectional": True},
            ShapeError, ["float64", "model.double()"],
        ),
        (
            {"model": nr.models.LSTM(4, 3, 1, n_layers=2, bidirectional=True, dt=1.0)},
            DataError, ["2 layers", "n_layers=1"],
        ),
        ({"outputs": ["3"]}, NameUnknownError, ["'3'", "0, 1, 2"]),
        ({"outputs": []}, DataError, ["at least one"]),
        ({"outputs": [1, 1]}, DataError, ["Different"]),
        ({"chunk_size": 0}, DataError, ["chunk_size"]),
        ({"lanes": 0}, DataError, ["lanes"]),
        ({"ambiguous": "zero"}, NameUnknownError, ["'zeros'"]),
    ],
)  # fmt: skip
def test_what_cannot_be_streamed_is_said_in_words(give, error, words):
    given = {"model": MODELS["GRU"](), "sequences": "ACGT", **give}
    with pytest.raises(error) as said:
        stream(given.pop("model"), given.pop("sequences"), **given)
    assert all(w in str(said.value) for w in words), said.value


def test_names_that_occur_twice_and_a_wrong_letter_in_a_later_chunk():
    twice = nr.data.SequenceSet.from_sequences(["a", "a"], ["AC", "GT"])
    with pytest.raises(DataError, match="same name"):
        stream(MODELS["GRU"](), twice)
    letters_ = np.frombuffer(b"ACGTACGT?CG", np.uint8)
    wrong = nr.data.SequenceSet(letters_, [0, 3], [3, 11], ["a", "b"])
    with pytest.raises(DataError, match="'\\?' came in b, position 5"):
        stream(MODELS["GRU"](), wrong, chunk_size=2)
