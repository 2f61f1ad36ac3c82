import numpy as np
import pytest
import torch
import xarray as xr
from scipy import stats

import neurornn as nr
from neurornn._core.errors import (
    ConvergenceWarning,
    DataError,
    KindError,
    NameUnknownError,
    ShapeError,
)
from neurornn.data.sequence_sets import SequenceSet
from neurornn.models.base import RecurrentModel
from neurornn.sequences import mutate_all
from neurornn.sequences.splice_network import SiteReader

LETTERS = "ACGT"
CELL = {"dt": 1.0, "time_unit": "bp"}


def drawn(n, seed=0, letters=LETTERS):
    return "".join(np.random.default_rng(seed).choice(list(letters), n))


def matrix(n, seed=1, n_letters=4):
    """A position weight matrix, (position, letter)."""
    return np.random.default_rng(seed).normal(size=(n, n_letters))


def weighted(pwm):
    return lambda x: (x * pwm).sum(axis=(1, 2))


def by_hand(model, text, read, output=0):
    """Effects by running the model itself on every mutant from the first letter on."""
    hot = SequenceSet.from_sequences(["s"], [text]).one_hot(layout="base_last").values[0]
    mutants = np.repeat(hot[None], 4 * len(text), axis=0)
    for row, (p, k) in zip(mutants, np.ndindex(len(text), 4), strict=True):
        row[p] = np.eye(4)[k]
    with torch.no_grad():
        found = model(np.concatenate([hot[None], mutants])).output[..., output].double().numpy()
    score = found.mean(axis=1) if read == "mean" else found[:, -1 if read == "last" else read]
    return (score[1:] - score[0]).reshape(-1, 4)


ONE_WAY = {
    "LSTM": lambda: nr.models.LSTM(4, 6, 1, **CELL),
    "two layers": lambda: nr.models.LSTM(4, 6, 1, n_layers=2, **CELL),
    "GRU": lambda: nr.models.GRU(4, 6, 1, tau=30.0, **CELL),
    "leaky": lambda: nr.models.LeakyRNN(4, 6, 1, tau=5.0, **CELL),
    "vanilla": lambda: nr.models.VanillaRNN(4, 6, 1, **CELL),
}
BOTH_WAYS = {
    "bidirectional LSTM": lambda: nr.models.LSTM(4, 6, 1, bidirectional=True, **CELL),
    "bidirectional GRU": lambda: nr.models.GRU(4, 6, 1, bidirectional=True, **CELL),
    "two bidirectional layers": lambda: nr.models.GRU(
        4, 3, 1, n_layers=2, bidirectional=True, **CELL
    ),
    "both strands": lambda: nr.models.ReverseComplementTied(4, 6, 1),
}


def test_a_weight_matrix_gives_its_own_differences():
    text, pwm = drawn(12), matrix(12)
    found = mutate_all(weighted(pwm), text)
    codes = np.array([LETTERS.index(c) for c in text])
    expected = pwm - pwm[np.arange(12), codes][:, None]
    # One-hot arrays are float32, and sums of 12 numbers of order 1 are right to some 1e-7.
    np.testing.assert_allclose(found["effect"], expected, atol=1e-6)
    assert (found["effect"].values[np.arange(12), codes] == 0).all()
    assert (found["is_wild_type"].values.argmax(axis=1) == codes).all()
    assert found["is_wild_type"].values.sum() == 12
    assert "".join(found["wild_type"].values) == text
    assert float(found["wild_type_score"]) == pytest.approx(pwm[np.arange(12), codes].sum())
    assert found["letter"].values.tolist() == list(LETTERS)
    assert found["position"].attrs["units"] == "bp" and found["effect"].attrs["units"] == "1"
    assert "minus score of the wild type" in found["effect"].attrs["sign"]


@pytest.mark.parametrize("read", ["last", "mean", 17])
@pytest.mark.parametrize("name", [*ONE_WAY, *BOTH_WAYS])
def test_carried_states_change_nothing(name, read):
    model, text = {**ONE_WAY, **BOTH_WAYS}[name](), drawn(26)
    fast = mutate_all(model, text, read=read, batch_size=7)["effect"].values
    whole = mutate_all(model, text, read=read, batch_size=7, reuse=False)["effect"].values
    if read == "mean":
        # GRU and LSTM: sums of 26 float64 numbers of order .1, added in another order. The others
        # are read in float32, by products of another size.
        bound = 1e-8 if name in ("leaky", "vanilla") else 1e-15
        np.testing.assert_allclose(fast, whole, rtol=0, atol=bound)
    else:
        np.testing.assert_array_equal(fast, whole)
    # Of the model itself, in float32: scores of order 1 are right to some 1e-7.
    np.testing.assert_allclose(fast, by_hand(model, text, read), rtol=0, atol=2e-6)
    assert np.abs(fast).max() > 1e-4


@pytest.mark.parametrize("name", ONE_WAY)
def test_what_comes_after_the_place_that_is_read_changes_nothing(name):
    effect = mutate_all(ONE_WAY[name](), drawn(30), read=11)["effect"].values
    assert (effect[12:] == 0).all()
    assert (np.abs(effect[:12]).max(axis=1) > 0).all()


@pytest.mark.parametrize("batch_size", [1, 3, 32, 200])
def test_batches_of_any_size_agree(batch_size):
    model, text = ONE_WAY["GRU"](), drawn(25)
    one, other = (mutate_all(model, text, batch_size=n)["effect"].values for n in (batch_size, 13))
    # The compiled loops sum each row alone.
    np.testing.assert_array_equal(one, other)
    lstm = ONE_WAY["LSTM"]()
    one, other = (mutate_all(lstm, text, batch_size=n)["effect"].values for n in (batch_size, 13))
    # Torch's products depend on the number of rows, in the last bits of float32.
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def test_the_other_strand_is_a_mirror():
    model, text = BOTH_WAYS["both strands"](), drawn(31)
    turned = text[::-1].translate(str.maketrans(LETTERS, LETTERS[::-1]))
    here, there = (mutate_all(model, s, read=15)["effect"].values for s in (text, turned))
    np.testing.assert_array_equal(here, there[::-1, ::-1])
    plain = ONE_WAY["LSTM"]()
    here, there = (mutate_all(plain, s, read=15)["effect"].values for s in (text, turned))
    assert np.abs(here - there[::-1, ::-1]).max() > 1e-3


def test_some_positions_are_rows_of_all():
    for model in (ONE_WAY["LSTM"](), ONE_WAY["leaky"](), weighted(matrix(30))):
        whole = mutate_all(model, drawn(30))
        some = mutate_all(model, drawn(30), positions=[22, 7, 8])
        assert some["position"].values.tolist() == [7, 8, 22]
        expected = whole["effect"].sel(position=[7, 8, 22]).values
        np.testing.assert_allclose(some["effect"].values, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("text", ["NNACGTNACGTNGN", "ACGTNNNACGTACG"])
@pytest.mark.parametrize("name", [*ONE_WAY, *BOTH_WAYS])
def test_letters_that_are_not_known(name, text):
    model = {**ONE_WAY, **BOTH_WAYS}[name]()
    found = mutate_all(model, text.lower())
    expected = by_hand(model, text, "mean" if model.looks_ahead else "last")
    np.testing.assert_allclose(found["effect"], expected, rtol=0, atol=2e-6)
    unknown = np.array(list(text)) == "N"
    assert not found["is_wild_type"].values[unknown].any()
    assert (found["is_wild_type"].values.sum(axis=1) == ~unknown).all()
    # Every letter against none.
    assert (np.abs(found["effect"].values[unknown]) > 0).all()


def test_shares_of_ambiguous_letters():
    pwm = matrix(3)
    found = mutate_all(weighted(pwm), "ANG", ambiguous="fractions")
    np.testing.assert_allclose(found["effect"].values[1], pwm[1] - pwm[1].mean(), atol=1e-6)
    plain = mutate_all(weighted(pwm), "ANG")
    np.testing.assert_allclose(plain["effect"].values[1], pwm[1], atol=1e-6)


def test_several_networks_give_an_interval():
    text, matrices = drawn(6), [matrix(6, seed) for seed in range(4)]
    found = mutate_all([weighted(m) for m in matrices], text, confidence_level=0.9)
    each = found["effect_of_network"].values
    for m, effect in zip(matrices, each, strict=True):
        np.testing.assert_array_equal(effect, mutate_all(weighted(m), text)["effect"])
    # The interval of a mean of normal numbers, by hand.
    half = stats.t.ppf(0.95, 3) * each.std(axis=0, ddof=1) / 2
    np.testing.assert_allclose(found["effect"], each.mean(axis=0))
    np.testing.assert_allclose(found["effect_ci"].values[..., 0], each.mean(axis=0) - half)
    np.testing.assert_allclose(found["effect_ci"].values[..., 1], each.mean(axis=0) + half)
    assert found["effect_ci"].attrs["ci_prob"] == 0.9
    alone = mutate_all(weighted(matrices[0]), text)
    assert np.isnan(alone["effect_ci"]).all() and "several seeds" in alone["effect_ci"].attrs[
        "reason"
    ]  # fmt: skip
    assert "effect_of_network" not in alone


def untrained_sites(site="donor", place=10, length=24, n_seeds=2):
    """A `SpliceSites` of random networks: what it says is known, and nothing is trained."""
    model = nr.sequences.SpliceSites(site, n_seeds=n_seeds, reach=9)
    model.position_, model.n_positions_, model.alphabet_ = place, length, "dna"
    model.parameters_ = xr.Dataset({"temperature": 0.8, "auprc_constant": 0.5})
    first, stop = model._edges()
    model._networks = [
        SiteReader(4, 3, 1, site=place - first, length=stop - first, n_channels=6, rng=k).eval()
        for k in range(n_seeds)
    ]
    return model


def test_splice_sites_tell_log_odds_of_every_network():
    model, windows = untrained_sites(), [drawn(10) + "GT" + drawn(12, 1)]
    found = mutate_all(model, windows[0])
    assert found["effect"].attrs["units"] == "nats" and found.attrs["n_networks"] == 2
    wild = model.decision_function(windows[:1])[0]
    assert float(found["wild_type_score"]) == pytest.approx(wild, abs=1e-6)
    for p, k in ((12, 3), (13, 2), (3, 0)):
        mutant = windows[0][:p] + LETTERS[k] + windows[0][p + 1 :]
        expected = model.decision_function([mutant])[0] - wild
        assert float(found["effect"][p, k]) == pytest.approx(expected, abs=1e-6)
    assert found["effect_ci"].notnull().all()
    # Letters out of reach are not read: 9 on either side of the two, begun at an even place.
    first, stop = model._edges()
    assert (found["effect"].values[:first] == 0).all()
    assert (found["effect"].values[stop:] == 0).all()
    assert np.abs(found["effect"].values[first:stop]).max() > 0
    with pytest.raises(ShapeError, match="24 bp were needed"):
        mutate_all(model, windows[0][:20])
    with pytest.raises(KindError, match="read came with a SpliceSites"):
        mutate_all(model, windows[0], read="last")


def test_proteins_have_twenty_letters():
    acids = "ACDEFGHIKLMNPQRSTVWY"
    text, pwm = drawn(9, letters=acids), matrix(9, n_letters=20)
    found = mutate_all(weighted(pwm), text, alphabet="protein")
    codes = np.array([acids.index(c) for c in text])
    expected = pwm - pwm[np.arange(9), codes][:, None]
    np.testing.assert_allclose(found["effect"], expected, atol=1e-6)
    assert found["position"].attrs["units"] == "aa"
    network = mutate_all(nr.models.LSTM(20, 4, 1, dt=1.0), text, alphabet="protein")
    assert network["effect"].shape == (9, 20)
    with pytest.raises(ShapeError, match="4 inputs, and protein has 20"):
        mutate_all(ONE_WAY["LSTM"](), text, alphabet="protein")


class Letters:
    """An estimator that takes letters and counts them."""

    fitted_ = True

    def fit(self, X, y=None):
        return self

    def predict(self, X):
        return np.array([s.count("G") - 2.0 * s.count("N") for s in X])


def test_an_estimator_that_takes_letters():
    found = mutate_all(Letters(), "AGN")["effect"].values
    np.testing.assert_array_equal(found, [[0, 0, 1, 0], [-1, -1, 0, -1], [2, 2, 3, 2]])


class Counter(RecurrentModel):
    """A user's model: its state is the number of Gs so far, and the output its square."""

    def __init__(self, n_input=4, n_hidden=1, n_output=1, *, dt=1.0, time_unit="bp"):
        super().__init__(n_input, n_hidden, n_output, dt=dt, time_unit=time_unit)
        self.weight = torch.nn.Parameter(torch.ones(1))

    def scan(self, inputs, state):
        states = state[:, None] + self.weight * inputs[..., 2:3].cumsum(1)
        return states, states[:, -1]

    def read(self, states, inputs):
        return states**2


def test_a_users_model_is_run_whole_unless_it_is_told_otherwise():
    text = "AGGCATG"
    expected = np.array([[0, 0, 7, 0], [-5, -5, 0, -5]])
    for reuse in (None, True, False):
        found = mutate_all(Counter(), text, reuse=reuse)["effect"].values
        np.testing.assert_array_equal(found[:2], expected)


def test_the_model_stays_as_it_is_and_outputs_go_by_name():
    model = nr.models.LSTM(4, 5, 2, dropout=0.5, n_layers=2, **CELL).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    table = mutate_all(model, drawn(20), output=1)
    assert model.training and all(p.requires_grad for p in model.parameters())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    expected = by_hand(model.eval(), drawn(20), "last", output=1)
    np.testing.assert_allclose(table["effect"], expected, rtol=0, atol=2e-6)
    with pytest.raises(DataError, match="The model has 2 outputs"):
        mutate_all(model, drawn(20))
    told = []
    mutate_all(model, drawn(20), output=0, batch_size=16, progress=lambda *at: told.append(at))
    assert told == [(k, 4) for k in (1, 2, 3, 4)]


def test_a_fit_is_its_model():
    x = np.eye(4, dtype=np.float32)[np.random.default_rng(0).integers(4, size=(8, 12))]
    with pytest.warns(ConvergenceWarning):
        fitted = nr.fit(
            ONE_WAY["GRU"](), (x, x[..., :1].cumsum(1)), max_epochs=2, refine=False,
            intervals=False,
        )  # fmt: skip
    one, other = (mutate_all(m, drawn(12))["effect"].values for m in (fitted, fitted.model))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"sequence": ""}, DataError, "empty sequence"),
        ({"sequence": 7}, KindError, "sequence is a int"),
        ({"sequence": "ACGZ"}, DataError, "'Z' came in sequence, position 3"),
        ({"model": []}, DataError, "empty list"),
        ({"model": "LSTM"}, KindError, "model is a str"),
        ({"model": torch.nn.Linear(4, 1)}, KindError, "torch module of kind Linear"),
        ({"model": lambda x: x}, ShapeError, "One score for each sequence"),
        ({"positions": [1, 1]}, DataError, "each once"),
        ({"positions": [9]}, DataError, "from 0 to 7"),
        ({"positions": [0.5]}, DataError, "Whole numbers"),
        ({"read": "first"}, NameUnknownError, "read is 'first'"),
        ({"read": 8}, DataError, "the sequence has 8 letters"),
        ({"output": 1}, DataError, "output is 1"),
        ({"ambiguous": "nearest"}, NameUnknownError, "ambiguous is"),
        ({"batch_size": 0}, DataError, "batch_size is 0"),
    ],
)
def test_what_cannot_be_is_refused(given, error, said):
    usual = {"model": nr.models.LSTM(4, 3, 1, **CELL), "sequence": "ACGTACGT"}
    with pytest.raises(error, match=said):
        mutate_all(**{**usual, **given})


def test_models_of_two_kinds_are_no_ensemble():
    with pytest.raises(KindError, match="differ in what they read"):
        mutate_all([ONE_WAY["LSTM"](), weighted(matrix(8))], drawn(8))


def test_tangermeme_says_the_same():
    peer = pytest.importorskip("tangermeme.saturation_mutagenesis", reason="no tangermeme here")
    model, text = ONE_WAY["LSTM"](), drawn(30)
    layer, output = nr.models.to_torch(model)

    class Last(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.output = layer, output

        def forward(self, x):
            return self.output(self.layer(x.transpose(1, 2).float())[0][:, -1])

    hot = SequenceSet.from_sequences(["s"], [text]).one_hot().values
    raw = peer.saturation_mutagenesis(
        Last(), torch.from_numpy(hot.copy()), raw_outputs=True, device="cpu"
    )
    theirs = raw.y_hat.numpy()[0, ..., 0].T - float(raw.y0.numpy().ravel()[0])
    # Both in float32, scores of order 1.
    ours = mutate_all(model, text)
    other = ~ours["is_wild_type"].values
    np.testing.assert_allclose(ours["effect"].values[other], theirs[other], rtol=0, atol=1e-6)
