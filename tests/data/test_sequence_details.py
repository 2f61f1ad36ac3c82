"""Sequences and splitters at their edges: defaults, attributes and messages in full."""

import numpy as np
import pytest
import xarray as xr

from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError, SplitError
from neurornn.data import BlockedSplit, RandomSplit, SequenceSet, from_spikes
from neurornn.data.alphabets import ALPHABETS
from neurornn.data.clocked import _stamped_alike, with_clocks
from neurornn.data.kmers import hash_kmers, kmer_counts
from tests.data.doubles import IntervalSet, Ts, Tsd, TsGroup


def make(*sequences, alphabet="dna", **more):
    names = [f"s{k}" for k in range(len(sequences))]
    return SequenceSet.from_sequences(names, sequences, alphabet, **more)


def test_what_a_one_hot_array_says_of_itself():
    hot = make("ACG", "TTN").one_hot()
    assert hot.attrs == {
        "units": "1", "alphabet": "dna", "ambiguous": "zeros",
        "convention": "position is 0-based, half-open",
    }  # fmt: skip
    assert hot.name == "one_hot" and hot["length"].attrs == {"units": "bp"}
    assert hot["sequence"].values.tolist() == ["s0", "s1"]
    part = make("ACG", "TTN", "GGG").one_hot([2, 0], pad=True, ambiguous="fractions")
    assert part["sequence"].values.tolist() == ["s2", "s0"]
    assert part.values[0].sum(axis=1).tolist() == [0, 0, 3, 0]
    assert part.attrs["ambiguous"] == "fractions"
    protein = make("MK", alphabet="protein").one_hot(0)
    assert protein.sizes["base"] == 20 and protein["length"].attrs == {"units": "aa"}
    assert make("MK", alphabet="protein").one_hot().values[0].argmax(axis=0).tolist() == [10, 8]
    assert make("N").one_hot(dtype=np.float64, ambiguous="fractions").dtype == np.float64
    assert make("A").one_hot(dtype=np.uint8).dtype == np.uint8


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: make("ACGT").slice(-1, 2), ShapeError, "Positions -1 to 2 came; the shortest"),
        (lambda: make("ACGT").slice(3, 2), ShapeError, "Positions 3 to 2 came"),
        (lambda: make("ACGT", "AC").slice(0, 3), ShapeError,
         "Positions 0 to 3 came; the shortest sequence has 2"),
        (lambda: make("ACGT", "AC").letters(), ShapeError, "The sequences are 2 to 4 long"),
        (lambda: make("ACGT", "ACQT").one_hot(), DataError,
         "'Q' came in s1, position 2, which is no dna letter.*Is this protein"),
        (lambda: SequenceSet(np.frombuffer(b"ACGTAXGT", np.uint8), [4, 0], [8, 4],
                             ["b", "a"]).codes([1, 0]), DataError, "'X' came in b, position 1"),
        (lambda: make("AC GT"), DataError, "strips headers and line breaks"),
        (lambda: make("AC5T"), DataError, "was a header or another column read"),
        (lambda: make("AC.T"), DataError, "Remove the gaps of the alignment first"),
        (lambda: SequenceSet(np.zeros((2, 2), np.uint8), [0], [1], ["a"]), KindError,
         "buffer is 2-D of uint8"),
        (lambda: SequenceSet(np.zeros(4, np.uint8), [0, 1], [2], ["a"]), ShapeError,
         "1 names, 2 starts and 1 stops came for a buffer of 4 bytes"),
        (lambda: SequenceSet(np.zeros(4, np.uint8), [-1], [2], ["a"]), ShapeError, "buffer of 4"),
        (lambda: SequenceSet(np.zeros(4, np.uint8), [3], [2], ["a"]), ShapeError, "buffer of 4"),
        (lambda: make("A", groups={"g": [1, 2]}), ShapeError,
         r"groups\['g'\] has shape \(2,\) for 1 sequences"),
        (lambda: make("A", "C")["x"], NameUnknownError, "There is no sequence 'x' among 2"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_sequences_is_said_in_full(call, error, said):
    with pytest.raises(error, match=said):
        call()


def test_slices_at_the_very_ends():
    genes = make("ACGT", "ACG")
    assert list(genes.slice(0, 3)) == ["ACG", "ACG"] and list(genes.slice(3, 3)) == ["", ""]
    assert len(make().slice(0, 9)) == 0
    assert SequenceSet(np.zeros(4, np.uint8), [4, 0], [4, 4], ["a", "b"]).lengths.tolist() == [
        0,
        4,
    ]
    equal = make("ACGT", "TTTT")
    assert np.shares_memory(equal.letters(), equal.buffer)
    assert bytes(equal.letters([1, 0]).ravel()) == b"TTTTACGT"
    assert make("AC", "A").letters(pad=True).tolist() == [[65, 67], [65, 0]]
    assert repr(make("AC", "A", labels={"y": [1, 2]}, groups={"g": [1, 1], "h": [1, 2]})) == (
        "SequenceSet(2 dna sequences of 1 to 2 bp; labels y; groups g, h)"
    )
    assert repr(make("MK", alphabet="protein")) == "SequenceSet(1 protein sequences of 2 aa)"


def test_the_letters_of_the_alphabets():
    assert ALPHABETS["dna"].order == "ACGTRYSWKMBDHVN"
    assert ALPHABETS["rna"].order == "ACGURYSWKMBDHVN"
    assert ALPHABETS["protein"].order == "ACDEFGHIKLMNPQRSTVWYBZJXUO*"
    shares = ALPHABETS["dna"].one_hot_rows(True)
    assert shares[:, ALPHABETS["dna"].order.index("B")].tolist() == [0, 1 / 3, 1 / 3, 1 / 3]
    assert ALPHABETS["dna"].one_hot_rows(False)[:, 4:].sum() == 0
    assert ALPHABETS["protein"].complement is None
    assert make("acguRY", alphabet="rna").reverse_complement()[0] == "RYacgu"


def test_words_of_a_length_that_no_sequence_has():
    short = make("ACG")
    assert len(hash_kmers(short, 4).hashes) == len(hash_kmers(short, 4).owner) == 0
    assert len(hash_kmers(short, 3).hashes) == 1
    assert kmer_counts(short, 4).shape == (1, 256) and kmer_counts(short, 4).sum() == 0
    assert kmer_counts(short, 3).sum() == 1
    # ACG is 0 * 16 + 1 * 4 + 2.
    assert kmer_counts(short, 3)[0, 6] == 1.0
    assert hash_kmers(make("ACGT", "ACG"), 3).owner.tolist() == [0, 0, 1]
    hashes = hash_kmers(make("ACGT", "ACG"), 3).hashes
    assert hashes[0] == hashes[2] != hashes[1]


# ------------------------------------------------------------------ splitters


def test_splitters_have_five_folds_without_a_gap_by_default():
    folds = list(BlockedSplit().split(np.zeros(10)))
    assert [test.tolist() for _, test in folds] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert folds[1][0].tolist() == [0, 1, 4, 5, 6, 7, 8, 9]
    assert (BlockedSplit().get_n_splits(), RandomSplit().get_n_splits()) == (5, 5)
    # One row of a window is no window.
    alone = list(BlockedSplit(5, 0, 1).split(list(range(10))))
    assert alone[1][0].tolist() == folds[1][0].tolist()
    wide = list(BlockedSplit(5, 1, 3).split(np.zeros(10)))
    assert wide[2][0].tolist() == [0, 9]
    fold = np.random.default_rng(3).permutation(np.arange(7) % 3)
    found = [test.tolist() for _, test in RandomSplit(3, 3).split(np.zeros(7))]
    assert found == [np.flatnonzero(fold == k).tolist() for k in range(3)]
    for call, said in (
        (lambda: list(BlockedSplit(3).split(np.zeros(2))), "2 rows came for 3 blocks"),
        (lambda: list(BlockedSplit(2, 5).split(np.zeros(10))),
         "10 rows came for 2 blocks, 5 purged on each side"),
        (lambda: list(RandomSplit(3).split(np.zeros(2))), "2 rows came for 3 folds"),
        (lambda: list(RandomSplit(1).split(np.zeros(2))), "2 rows came for 1 folds"),
        (lambda: list(RandomSplit(0).split(np.zeros(2))), "2 rows came for 0 folds"),
    ):  # fmt: skip
        with pytest.raises(SplitError, match=said):
            call()
    assert len(list(BlockedSplit(2, 4).split(np.zeros(10)))) == 2
    assert len(list(BlockedSplit(2).split(np.zeros(2)))) == 2
    assert len(list(RandomSplit(2).split(np.zeros(2)))) == 2


# ------------------------------------------------------------------ two things on one clock


def test_counts_and_targets_come_onto_one_clock():
    support = IntervalSet(0, 0.4)
    group = TsGroup({5: Ts([0.05, 0.15, 0.3])}, support)
    stamped = Tsd([0.1, 0.2, 0.3, 0.4], [1.0, 2, 3, 4], IntervalSet(0.1, 0.4))
    x, y = with_clocks(group, stamped, bin_size=0.1)
    assert x.values[:, 0].tolist() == [1, 1, 1, 0] and x["unit"].values.tolist() == [5]
    assert x["time"].values.tolist() == y["time"].values.tolist() == [0.1, 0.2, 0.3, 0.4]
    # Counts and targets at the centres of bins move to their ends together.
    centres = np.array([0.05, 0.15, 0.25, 0.35])
    counts = Tsd(centres, [[1], [0], [2], [1]], support)
    x, y = with_clocks(counts, Tsd(centres, np.zeros((4, 2)), support), bin_size=0.1)
    assert x["time"].values == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert y["time"].values.tolist() == x["time"].values.tolist() and y.dims == ("time", "output")
    apart = Tsd(centres + 2e-9, np.zeros(4), IntervalSet(0.05 + 2e-9, 0.35 + 2e-9))
    _, y = with_clocks(counts, apart, bin_size=0.1)
    assert y["time"].values.tolist() == apart.t.tolist()
    plain = np.arange(4.0)
    x, y = with_clocks(group, plain, bin_size=0.1)
    assert y is plain and len(x) == 4
    x, y = with_clocks(group, None, bin_size=0.1)
    assert y is None and len(x) == 4
    known = xr.DataArray(np.zeros(2), dims="time", coords={"time": [0.2, 0.3]})
    assert with_clocks(group, known, bin_size=0.1)[0].values[:, 0].tolist() == [1, 1]
    arrays = (np.zeros((4, 1)), plain)
    assert with_clocks(*arrays, bin_size=0.1) == arrays
    with pytest.raises(DataError, match=r"Spike trains came that fill 4 bins of 0\.1 s, and 3"):
        with_clocks(group, np.zeros(3), bin_size=0.1)


def test_stamps_are_alike_to_a_nanosecond():
    one = Tsd([0.1, 0.2], [1.0, 2.0])
    for other, alike in (
        (Tsd([0.1, 0.2 + 9e-10], [1.0, 2.0]), True),
        (Tsd([0.1, 0.2 + 2e-9], [1.0, 2.0]), False),
        (Tsd([0.1], [1.0]), False),
        (np.zeros(2), False),
        (Ts([0.1, 0.2]), False),
    ):
        assert _stamped_alike(one, other) is alike
        assert _stamped_alike(other, one) is alike


def test_a_recording_of_spikes_is_no_list_of_trains():
    rec = from_spikes([[0.5]])
    assert with_clocks(rec, None, bin_size=0.1)[0] is rec
