import re

import numpy as np
import pytest
from scipy import stats
from sklearn.ensemble import RandomForestClassifier

from neurornn._core.errors import DataError
from neurornn.simulate import simulate_splice_pairs


@pytest.mark.parametrize(("distance", "n_kinds"), [(6, 4), (40, 4), (300, 2), (50, 3)])
def test_the_letters_hold_the_truth_and_no_other_site(distance, n_kinds):
    task = simulate_splice_pairs(200, distance, n_kinds=n_kinds, rng=0)
    texts = [row.tobytes().decode() for row in task["letters"].values]
    for k, text in enumerate(texts):
        one = task.isel(sequence=k)
        donor, places = int(one["donor"]), one["acceptor"].values
        assert [m.start() for m in re.finditer("GT", text)] == [donor]
        assert [m.start() for m in re.finditer("AG", text)] == places.tolist()
        assert places[0] - donor == distance
        assert text[donor + 2] == "ACGT"[int(one["kind"])]
        letters = [text[p - 1] for p in places]
        assert letters == ["ACGT"[j] for j in one["acceptor_kind"].values]
        assert sorted(letters) == list("ACGT"[:n_kinds])
        right = int(one["right"])
        assert letters[right] == text[donor + 2]
        assert int(one["distance_true"]) == places[right] - donor
    assert (task["one_hot"].values.sum(axis=1) == 1).all()
    assert (task["one_hot"].values.argmax(axis=1) == [["ACGT".index(c) for c in t] for t in texts]
            ).all()  # fmt: skip


def test_neither_place_nor_rank_nor_letters_near_an_acceptor_tell_the_right_one():
    task = simulate_splice_pairs(4000, 30, rng=1)
    right = task["right"].values
    assert stats.chisquare(np.bincount(right)).pvalue > 0.01
    # A learner of another kind, given all but the donor: places, kinds, the letters near them.
    behind = task["one_hot"].values[:, :, 30:].reshape(4000, -1)
    known = np.concatenate([behind, task["acceptor"].values, task["acceptor_kind"].values], axis=1)
    forest = RandomForestClassifier(60, random_state=0, min_samples_leaf=5)
    forest.fit(known[:2000], right[:2000])
    # Chance is .25; of 2000 draws it moves by .01, and the bound is four of these.
    assert abs(forest.score(known[2000:], right[2000:]) - 0.25) < 0.04
    # With the kind of the donor beside, it is a matter of looking up.
    rule = np.argmax(task["acceptor_kind"].values == task["kind"].values[:, None], axis=1)
    assert (rule == right).all()


def test_the_same_seed_gives_the_same_sequences_and_another_one_others():
    one, same, other = (simulate_splice_pairs(5, 100, rng=k)["letters"].values for k in (0, 0, 1))
    assert (one == same).all() and (one != other).any()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"distance": 5}, "distance is 5"),
        ({"n_kinds": 1}, "n_kinds is 1"),
        ({"n_kinds": 5}, "n_kinds is 5"),
        ({"n_sequences": 0}, "n_sequences is 0"),
    ],
)
def test_wrong_settings_are_explained(settings, text):
    with pytest.raises(DataError, match=text):
        simulate_splice_pairs(**{"n_sequences": 3, "distance": 50, **settings})
