"""Dropping units: the curve of a known code, the block held out, refusals."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression, Ridge

import neurornn as nr
from neurornn._core.errors import ThreePartError
from neurornn._core.report import parameters_table


def test_the_curve_of_equal_units_is_the_closed_form(rng):
    # Each unit is the target plus noise of 3 times its variance: n of them explain n / (n + 3).
    target = rng.standard_normal(20000)
    counts = target[:, None] + np.sqrt(3.0) * rng.standard_normal((20000, 12))
    table = nr.decode.neuron_dropping(
        LinearRegression(), counts, target, n_units=[1, 3, 12], n_draws=4, rng=0
    )
    expected = np.array([1, 3, 12]) / (np.array([1, 3, 12]) + 3)
    # 4000 test rows: 1 - R2 is a mean square known to sqrt(2 / 4000) = 2.2 %, and so is the
    # variance it is divided by; four times sqrt(2) of that, of at most 0.75.
    assert pytest.approx(np.tile(expected, (4, 1)), abs=0.095) == table["score"].values.T
    assert table["score_mean"].values == pytest.approx(table["score"].values.mean(1))


def test_the_default_sizes_run_from_one_to_all_and_all_is_one_set():
    session = nr.simulate.simulate_reaches(20, 30, rng=0)
    table = nr.decode.neuron_dropping(
        Ridge(), session["counts"], session["velocity"], n_draws=3, rng=1
    )
    sizes = table["n_units"].values
    assert sizes[0] == 1 and sizes[-1] == 30 and np.all(np.diff(sizes) > 0)
    assert table["score"].dims == ("n_units", "draw")
    # Every draw of all units is the same set.
    assert np.ptp(table["score"].values[-1]) == 0 and np.ptp(table["score"].values[1]) > 0
    assert table["score_mean"][-1] > table["score_mean"][0]
    assert "n_units" in parameters_table(table, "Dropping").to_text()
    again = nr.decode.neuron_dropping(
        Ridge(), session["counts"].values, session["velocity"].values, n_draws=3, rng=1
    )
    # Arrays and DataArrays are the same numbers, added up in another order.
    assert again["score"].values == pytest.approx(table["score"].values, abs=1e-9)


class Witness(BaseEstimator):
    """Keeps what it was given; the score is the first time of the test rows."""

    seen = []  # noqa: RUF012

    def fit(self, counts, targets):
        Witness.seen.append((counts.copy(), targets.copy()))
        return self

    def score(self, counts, targets):
        Witness.seen.append((counts.copy(), targets.copy()))
        return float(targets[0])


def test_the_last_block_is_held_out_and_sets_grow():
    Witness.seen = []
    # Each unit carries its own number, each row its own time.
    counts = np.tile(np.arange(8), (1000, 1))
    table = nr.decode.neuron_dropping(
        Witness(), counts, np.arange(1000), n_units=[2, 5], n_draws=2, gap_rows=30, rng=0
    )
    assert int(table["n_train"]) == 770 and int(table["n_test"]) == 200
    sets = []
    for (train, times), (test, later) in zip(Witness.seen[::2], Witness.seen[1::2], strict=True):
        assert times.tolist() == list(range(770)) and later.tolist() == list(range(800, 1000))
        assert np.array_equal(train[0], test[0])
        sets.append(set(train[0].tolist()))
    assert [len(s) for s in sets] == [2, 5, 2, 5]
    assert sets[0] < sets[1] and sets[2] < sets[3] and sets[1] != sets[3]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x, y: nr.decode.neuron_dropping(object(), x, y), "decoder is a object"),
        (lambda x, y: nr.decode.neuron_dropping(Ridge(), x, y[:-1]), "targets \\(199,\\)"),
        (
            lambda x, y: nr.decode.neuron_dropping(Ridge(), x[:, 0], y),
            "counts has shape \\(200,\\)",
        ),
        (lambda x, y: nr.decode.neuron_dropping(Ridge(), x, y, n_units=[6]), "n_units is \\[6\\]"),
        (
            lambda x, y: nr.decode.neuron_dropping(Ridge(), x, y, n_units=[0, 2]),
            "n_units is \\[0, 2\\]",
        ),
        (
            lambda x, y: nr.decode.neuron_dropping(Ridge(), x, y, n_units=[1.5]),
            "n_units is \\[1\\.5\\]",
        ),
        (lambda x, y: nr.decode.neuron_dropping(Ridge(), x, y, n_draws=0), "n_draws is 0"),
        (
            lambda x, y: nr.decode.neuron_dropping(Ridge(), x, y, gap_rows=1000),
            "1000 purged on each side",
        ),
    ],
)
def test_bad_calls_are_refused_in_three_parts(call, words):
    with pytest.raises(ThreePartError, match=words):
        call(np.zeros((200, 5)), np.zeros(200))
