"""One-hot arrays in every manner, the conventions of other programs, and the way back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError
from neurornn.data import SequenceSet, from_one_hot
from neurornn.data.alphabets import ALPHABETS
from neurornn.data.one_hot import SMALL

IUPAC = "ACGTRYSWKMBDHVN"
STANDS = {**{b: b for b in "ACGT"}, **ALPHABETS["dna"].ambiguous}


def make(*sequences, alphabet="dna"):
    return SequenceSet.from_sequences(
        [f"s{k}" for k in range(len(sequences))], sequences, alphabet
    )


@settings(deadline=None)
@given(st.lists(st.text(IUPAC, min_size=9, max_size=9), min_size=1, max_size=4),
       st.permutations("ACGT"), st.sampled_from(["base_first", "base_last"]),
       st.sampled_from([np.float16, np.float32, np.float64]))  # fmt: skip
def test_all_iupac_letters_come_back_from_fractions(sequences, order, layout, dtype):
    made = make(*sequences)
    hot = made.one_hot(dtype=dtype, order="".join(order), layout=layout, unknown="fractions")
    assert list(from_one_hot(hot)) == sequences
    # As a bare array, with what the DataArray said of itself.
    bare = from_one_hot(hot.values, order="".join(order), layout=layout)
    assert list(bare) == sequences


def test_the_fifteen_letters_each_have_a_column_of_their_own():
    hot = make(IUPAC).one_hot(unknown="fractions").values[0]
    for k, letter in enumerate(IUPAC):
        shares = [1 / len(STANDS[letter]) if b in STANDS[letter] else 0 for b in "ACGT"]
        assert hot[:, k] == pytest.approx(shares)
    assert len({tuple(column) for column in hot.T}) == 15


def test_every_manner_by_hand():
    made = make("AcRn")
    eye = np.eye(4)

    def columns(**how):
        return made.one_hot(**how).values[0].T.tolist()

    zeros = [0] * 4
    assert columns() == [eye[0].tolist(), eye[1].tolist(), zeros, zeros]
    assert columns(unknown="quarter") == [eye[0].tolist(), eye[1].tolist(), [0.25] * 4, [0.25] * 4]
    assert columns(unknown="fractions")[2] == [0.5, 0, 0.5, 0]
    assert columns(unknown="channel") == [
        [1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1],
    ]  # fmt: skip
    assert columns(soft_mask="channel") == [
        [1, 0, 0, 0, 0], [0, 1, 0, 0, 1], [0] * 5, [0, 0, 0, 0, 1],
    ]  # fmt: skip
    assert columns(soft_mask="unknown", unknown="quarter")[1] == [0.25] * 4
    assert columns(soft_mask="unknown")[1] == zeros
    both = made.one_hot(soft_mask="channel", unknown="channel", order="TGCA")
    assert both["base"].values.tolist() == ["T", "G", "C", "A", "unknown", "mask"]
    assert both.values[0].T.tolist() == [
        [0, 0, 0, 1, 0, 0], [0, 0, 1, 0, 0, 1], [0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 1, 1],
    ]  # fmt: skip
    last = made.one_hot(layout="base_last")
    assert last.dims == ("sequence", "position", "base")
    assert np.array_equal(last.values.swapaxes(1, 2), made.one_hot().values)
    assert both.attrs["soft_mask"] == "channel" and both.attrs["ambiguous"] == "channel"


def test_masked_letters_come_back_from_their_channel():
    made = make("AcgTnR", "NNaaTT")
    hot = made.one_hot(soft_mask="channel", unknown="fractions")
    assert list(from_one_hot(hot)) == ["AcgTnR", "NNaaTT"]
    kept = made.one_hot(soft_mask="channel", unknown="channel")
    # The channel does not say which of several bases a letter stood for.
    assert list(from_one_hot(kept)) == ["AcgTnN", "NNaaTT"]


def test_letters_behind_the_end_are_padding():
    hot = make("ACGTT", "AR").one_hot(pad=True, unknown="quarter")
    assert hot.values[1, :, 2:].sum() == 0 and hot.values[1, :, 1].tolist() == [0.25] * 4
    assert list(from_one_hot(hot)) == ["ACGTT", "AN"]
    # Unknown letters that must not come are no padding.
    with pytest.raises(DataError, match="'R' came in s1, position 1"):
        make("ACGTT", "AR").one_hot(pad=True, unknown="error")


@pytest.mark.parametrize(
    ("convention", "letters", "wanted", "dtype"),
    [
        # N and what else is not known: none, a quarter of each, none, and a third as .33.
        ("spliceai", "ACGTNR", [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0] * 4,
                                [0] * 4], np.float32),
        ("selene", "ACGTNR", [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0.25] * 4,
                              [0.25] * 4], np.float32),
        ("tangermeme", "ACGTN", [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0] * 4],
         np.int8),
        ("helixer", "ACGTNRB", [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [0.25] * 4,
                                [0, 0.5, 0, 0.5], [0.33, 0, 0.33, 0.33]], np.float32),
    ],
)  # fmt: skip
def test_conventions_of_other_programs(convention, letters, wanted, dtype):
    hot = make(letters, letters.lower()).one_hot(convention=convention)
    assert hot.dtype == dtype
    if convention == "tangermeme":
        assert hot.dims == ("sequence", "base", "position")
        hot = hot.transpose("sequence", "position", "base")
    assert hot.dims == ("sequence", "position", "base")
    assert hot.values[0] == pytest.approx(np.array(wanted))
    assert np.array_equal(hot.values[0], hot.values[1])


def test_a_convention_can_be_changed_and_refuses_what_it_does_not_take():
    made = make("ACRN")
    with pytest.raises(DataError, match=r"'R' came in s0, position 2.*One of ACGTN was needed"):
        made.one_hot(convention="tangermeme")
    hot = made.one_hot(convention="tangermeme", unknown="zeros", dtype=np.float32)
    assert hot.dtype == np.float32 and hot.values[0, :, 2].sum() == 0
    assert made.one_hot(convention="helixer", order="ACGT")["base"].values.tolist() == list("ACGT")
    assert made.one_hot(convention="selene", ambiguous="fractions").values[0, 2, 0] == 0.5
    helixer = make(IUPAC).one_hot(convention="helixer")
    assert list(from_one_hot(helixer)) == [IUPAC]
    with pytest.raises(KindError, match="asked of rna"):
        make("ACGU", alphabet="rna").one_hot(convention="selene")
    with pytest.raises(NameUnknownError, match="'spliceai'"):
        made.one_hot(convention="spliceia")


@pytest.mark.parametrize("layout", ["base_first", "base_last"])
@pytest.mark.parametrize("how", [{}, {"unknown": "fractions"}, {"unknown": "channel"},
                                 {"soft_mask": "unknown"}, {"soft_mask": "channel"},
                                 {"order": "TACG"}])  # fmt: skip
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_compiled_loops_are_the_table(layout, how, dtype, rng):
    letters = np.frombuffer((IUPAC + "acgtacgtn" + "ACGT" * 20).encode(), np.uint8)
    # Long enough for the loops, and not a multiple of their blocks.
    long = letters[rng.integers(0, len(letters), SMALL + 77)]
    short = [long[k : k + 1000] for k in range(0, len(long), 1000)]
    made = SequenceSet(long, [0], [len(long)], ["c"])
    hot = made.one_hot(dtype=dtype, layout=layout, **how)
    parts = [
        SequenceSet(p.copy(), [0], [len(p)], ["c"]).one_hot(dtype=dtype, layout=layout, **how)
        for p in short
    ]
    axis = hot.dims.index("position")
    assert np.array_equal(hot.values, np.concatenate([p.values for p in parts], axis=axis))
    assert hot.dtype == dtype


@pytest.mark.parametrize("layout", ["base_first", "base_last"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32, np.int64, bool])
def test_whole_numbers_and_several_sequences(layout, dtype, rng):
    letters = np.frombuffer(b"ACGTNacgt", np.uint8)[rng.integers(0, 9, 2 * SMALL)]
    made = SequenceSet(letters, [0, SMALL], [SMALL, 2 * SMALL], ["a", "b"])
    hot = made.one_hot(dtype=dtype, layout=layout)
    wanted = (letters & 0xDF).reshape(2, SMALL, 1) == np.frombuffer(b"ACGT", np.uint8)
    got = hot.transpose("sequence", "position", "base").values
    assert hot.dtype == dtype and np.array_equal(got, wanted)


@pytest.mark.parametrize("layout", ["base_first", "base_last"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
def test_a_strange_letter_in_a_long_text_is_found(layout, dtype):
    letters = np.full(SMALL + 5, ord("A"), np.uint8)
    letters[SMALL + 1] = ord("!")
    made = SequenceSet(letters, [0], [len(letters)], ["chr"])
    with pytest.raises(DataError, match=f"'!' came in chr, position {SMALL + 1}"):
        made.one_hot(dtype=dtype, layout=layout)
    letters[SMALL + 1] = 0
    with pytest.raises(DataError, match=f"position {SMALL + 1}"):
        made.one_hot(dtype=dtype, layout=layout)
    letters[SMALL + 1] = ord("y")
    with pytest.raises(DataError, match=f"'y' came in chr, position {SMALL + 1}, which"
                       .replace(", which", "")):  # fmt: skip
        made.one_hot(dtype=dtype, layout=layout, unknown="error")
    made.one_hot(dtype=dtype, layout=layout)


def test_proteins_and_rna():
    chain = make("MKXBU*", alphabet="protein")
    hot = chain.one_hot(unknown="fractions")
    assert from_one_hot(hot)[0] == "MKXBXX"
    assert chain.one_hot(unknown="quarter").values[0, :, 2] == pytest.approx(np.full(20, 0.05))
    assert make("ACGU", alphabet="rna").one_hot(order="UGCA").values[0, 0].tolist() == [0, 0, 0, 1]
    back = from_one_hot(make("ACGURN", alphabet="rna").one_hot(unknown="fractions"))
    assert (back[0], back.alphabet) == ("ACGURN", "rna")
    # Twenty channels in the loops.
    long = SequenceSet(np.full(SMALL, ord("W"), np.uint8), [0], [SMALL], ["p"], "protein")
    assert long.one_hot().values[0, "ACDEFGHIKLMNPQRSTVWY".index("W")].all()
    assert long.one_hot(dtype=np.uint8).values.sum() == SMALL


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({"order": "ACG"}, DataError, "Each of ACGT once"),
        ({"order": 4}, KindError, "bases as text"),
        ({"order": "ACGU"}, DataError, "Each of ACGT once"),
        ({"layout": "channels_last"}, NameUnknownError, "base_last"),
        ({"unknown": "zero"}, NameUnknownError, "'zeros'"),
        ({"unknown": "n_or_error"}, NameUnknownError, "One of"),
        ({"soft_mask": "drop"}, NameUnknownError, "One of"),
        ({"unknown": "quarter", "dtype": np.uint8}, KindError, "float"),
        ({"convention": "helixer", "dtype": np.int8}, KindError, "float"),
    ],
)  # fmt: skip
def test_manners_that_are_not_known(how, error, words):
    with pytest.raises(error, match=words):
        make("ACGT").one_hot(**how)


@pytest.mark.parametrize(
    ("array", "how", "error", "words"),
    [
        (np.array([[0.7], [0.3], [0], [0]]), {}, DataError, r"Position 0 .* holds \[0.7"),
        (np.array([[-1.0], [0], [0], [0]]), {}, DataError, "Position 0"),
        (np.eye(4)[:3], {}, ShapeError, "3 channels came"),
        (np.zeros(4), {}, ShapeError, "1-D array came"),
        (np.eye(4), {"order": "ACGU"}, ShapeError, "One for each of ACGT"),
        (np.zeros((1, 9, 4)), {}, ShapeError, "base_last"),
        (np.eye(20)[:, :1] + np.eye(20)[:, 1:2], {"alphabet": "protein"}, DataError, "Position 0"),
    ],
)  # fmt: skip
def test_arrays_that_are_no_letters(array, how, error, words):
    with pytest.raises(error, match=words):
        from_one_hot(array, **how)


def test_names_and_one_sequence():
    one = from_one_hot(np.eye(4), names=["x"], lengths=[3])
    assert one["x"] == "ACG"
    assert from_one_hot(np.zeros((4, 0))).lengths.tolist() == [0]
    assert from_one_hot(np.eye(4)[:, ::-1], layout="base_last").names.tolist() == ["sequence 0"]


@pytest.mark.parametrize("layout", ["base_first", "base_last"])
def test_a_long_masked_stretch_of_bases_alone(layout):
    made = SequenceSet(np.full(SMALL, ord("g"), np.uint8), [0], [SMALL], ["c"])
    assert made.one_hot(layout=layout).values.sum() == SMALL
    assert made.one_hot(layout=layout, soft_mask="unknown").values.sum() == 0
    with_mask = made.one_hot(layout=layout, soft_mask="channel")
    assert with_mask.sel(base="mask").values.all() and with_mask.sel(base="G").values.all()
