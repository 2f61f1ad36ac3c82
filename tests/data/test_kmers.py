import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurornn.data import SequenceSet
from neurornn.data.kmers import cluster_by_kmers, copies, hash_kmers, kmer_counts, sharing

SETS = st.lists(st.text("ACGTN", max_size=14), min_size=1, max_size=6)


def make(sequences):
    return SequenceSet.from_sequences([str(k) for k in range(len(sequences))], sequences)


def kmers_of(sequence, k):
    words = [sequence[i : i + k] for i in range(len(sequence) - k + 1)]
    return {w for w in words if "N" not in w}


@pytest.mark.slow
@given(SETS, SETS, st.integers(1, 7))
@settings(max_examples=200, deadline=None)
def test_sharing_is_what_sets_of_words_say(train, test, k):
    seen = set().union(*(kmers_of(s, k) for s in train))
    expected = [bool(kmers_of(s, k) & seen) for s in test]
    assert sharing(make(train), make(test), k).tolist() == expected


@given(SETS, st.integers(2, 6))
@settings(max_examples=100, deadline=None)
def test_clusters_are_the_connected_sets_of_words(sequences, k):
    label = list(range(len(sequences)))
    for _ in sequences:
        for i, one in enumerate(sequences):
            for j, other in enumerate(sequences):
                if one == other or kmers_of(one, k) & kmers_of(other, k):
                    label[i] = label[j] = min(label[i], label[j])
    found = cluster_by_kmers(make(sequences), k)
    same = np.equal.outer(label, label)
    assert np.array_equal(np.equal.outer(found, found), same)


def test_long_words_hash_by_doubling_as_short_ones():
    # Two sequences that share exactly 40 letters: found at 40, not at 41.
    rng = np.random.default_rng(0)
    word = "".join(rng.choice(list("ACGT"), 40))
    one, other = make(["A" * 9 + word + "C" * 9]), make(["G" * 5 + word + "T" * 5])
    assert sharing(one, other, 40).tolist() == [True]
    assert sharing(one, other, 41).tolist() == [False]
    assert len(hash_kmers(one, 40).hashes) == 58 - 39


def test_case_does_not_make_another_word():
    assert sharing(make(["acgtacgt"]), make(["ACGTACGT"]), 8).all()


def test_kmer_frequencies_by_hand():
    counts = kmer_counts(make(["AACA", "NNNN", "CC"]), 2)
    assert counts.shape == (3, 16)
    # AACA holds AA, AC, CA; nothing is known of NNNN; no word crosses into the next sequence.
    assert counts[0, [0, 1, 4]] == pytest.approx([1 / 3] * 3)
    assert counts[1].sum() == 0
    assert counts[2, 5] == 1
    assert counts.sum() == pytest.approx(2)


def test_copies_of_rows_and_strings():
    assert copies(["b", "a", "b"]).tolist() == [0, 1, 0]
    rows = np.array([[1.0, 0.0], [2.0, 0.0], [1.0, -0.0]])
    number = copies(rows)
    assert number[0] == number[2] != number[1]
