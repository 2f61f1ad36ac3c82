import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError
from neurornn.data import SequenceSet
from neurornn.data.alphabets import ALPHABETS

DNA = st.text("ACGTRYSWKMBDHVNacgtn", max_size=40)
#: The complement of each IUPAC letter, from the bases it stands for.
STANDS = {"A": "A", "C": "C", "G": "G", "T": "T", **ALPHABETS["dna"].ambiguous}


def make(*sequences, alphabet="dna", **kwargs):
    names = [f"s{k}" for k in range(len(sequences))]
    return SequenceSet.from_sequences(names, sequences, alphabet, **kwargs)


@given(st.lists(DNA, min_size=1, max_size=5))
def test_reverse_complement_is_an_involution(sequences):
    given_set = make(*sequences)
    once = given_set.reverse_complement()
    assert list(once.reverse_complement()) == sequences
    assert [len(s) for s in once] == [len(s) for s in sequences]


@pytest.mark.parametrize("letter", STANDS)
def test_the_complement_of_an_ambiguous_letter_stands_for_the_complements(letter):
    turned = make(letter).reverse_complement()[0]
    pairs = str.maketrans("ACGT", "TGCA")
    assert set(STANDS[turned]) == set(STANDS[letter].translate(pairs))
    assert make(letter.lower()).reverse_complement()[0] == turned.lower()


def test_reverse_complement_by_hand_and_of_a_slice():
    genes = make("AACGT", "GGGTTNR", labels={"y": [1, 2]})
    turned = genes.reverse_complement()
    assert list(turned) == ["ACGTT", "YNAACCC"]
    assert turned.labels["y"].tolist() == [1, 2]
    assert list(genes[::-1].reverse_complement()) == ["YNAACCC", "ACGTT"]
    assert list(genes.slice(1, 3).reverse_complement()) == ["GT", "CC"]
    assert make("ACGU", alphabet="rna").reverse_complement()[0] == "ACGU"


def test_codes_and_one_hot_by_hand():
    genes = make("acGT", "NRTA")
    assert genes.codes().tolist()[0] == [0, 1, 2, 3]
    hot = genes.one_hot()
    assert hot.dims == ("sequence", "base", "position")
    assert hot["base"].values.tolist() == list("ACGT")
    assert hot.dtype == np.float32
    assert np.array_equal(hot.values[0], np.eye(4))
    assert hot.values[1].tolist() == [[0, 0, 0, 1], [0] * 4, [0] * 4, [0, 0, 1, 0]]
    shared = genes.one_hot(ambiguous="fractions")
    assert shared.values[1, :, 0].tolist() == [0.25] * 4
    assert shared.values[1, :, 1].tolist() == [0.5, 0, 0.5, 0]
    assert genes.one_hot([1], dtype=np.uint8)["sequence"].values.tolist() == ["s1"]


@given(st.lists(st.text("ACGTN", min_size=7, max_size=7), min_size=1, max_size=5))
def test_one_hot_reversed_on_both_axes_is_the_other_strand(sequences):
    genes = make(*sequences)
    # A and T, C and G lie opposite in ACGT, so that two flips make the reverse complement.
    flipped = genes.one_hot().values[:, ::-1, ::-1]
    assert np.array_equal(flipped, genes.reverse_complement().one_hot().values)


def test_ragged_sequences_are_not_padded_silently():
    genes = make("ACGT", "AC")
    with pytest.raises(ShapeError, match="pad=True"):
        genes.codes()
    assert genes.codes(pad=True).tolist() == [[0, 1, 2, 3], [0, 1, 255, 255]]
    hot = genes.one_hot(pad=True)
    assert hot.values[1, :, 2:].sum() == 0
    assert hot["length"].values.tolist() == [4, 2]
    assert genes.slice(0, 2).one_hot().shape == (2, 4, 2)
    with pytest.raises(ShapeError, match="shortest"):
        genes.slice(0, 3)


def test_slices_share_the_buffer_and_carry_labels():
    genes = make("ACGT", "CCCC", "GGTT", labels={"y": [0, 1, 2]}, groups={"species": list("aab")})
    part = genes[[2, 0]]
    assert part.buffer is genes.buffer
    assert list(part) == ["GGTT", "ACGT"]
    assert part.labels["y"].tolist() == [2, 0]
    assert part.groups["species"].tolist() == ["b", "a"]
    assert list(genes[genes.labels["y"] > 0]) == ["CCCC", "GGTT"]
    assert genes["s1"] == "CCCC"
    assert genes[-1] == "GGTT"
    assert genes[1:].slice(1, 3).codes().tolist() == [[1, 1], [2, 3]]


def test_a_file_is_mapped_and_not_read(tmp_path):
    path = tmp_path / "genome.bin"
    path.write_bytes(b"ACGTACGTNN")
    genome = SequenceSet(path, [0, 4], [4, 10], ["one", "two"])
    assert isinstance(genome.buffer, np.memmap)
    assert genome.slice(0, 3)["two"] == "ACG"
    assert isinstance(genome[1:].buffer, np.memmap)
    assert genome.codes([0]).tolist() == [[0, 1, 2, 3]]


def test_proteins():
    chains = make("MKX*", "ACDU", alphabet="protein")
    hot = chains.one_hot(ambiguous="fractions")
    assert hot.sizes["base"] == 20
    # X is any of 20, a stop and selenocysteine have no row of their own.
    assert hot.values[0].sum(axis=0) == pytest.approx([1, 1, 1, 0])
    assert hot.values[1, :, 3].sum() == 0
    with pytest.raises(KindError, match="nucleotide"):
        chains.reverse_complement()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: make("ACGT", "ACJT"), DataError, "'J' came in s1, position 2"),
        (lambda: make("ACGU"), DataError, "alphabet='rna'"),
        (lambda: make("AC-T"), DataError, "gaps"),
        (lambda: make("AC\nT"), DataError, "line breaks"),
        (lambda: make("ACGé"), DataError, "encoding"),
        (lambda: make("A", alphabet="dma"), NameUnknownError, "'dna'"),
        (lambda: make("A")["s7"], NameUnknownError, "s0"),
        (lambda: SequenceSet.from_sequences("a", "ACGT"), KindError, r"\[name\]"),
        (lambda: make("A", "C", labels={"y": [1]}), ShapeError, "each sequence"),
        (lambda: SequenceSet(np.zeros(3, np.uint8), [0], [4], ["a"]), ShapeError, "inside"),
        (lambda: SequenceSet(np.zeros(3), [0], [3], ["a"]), KindError, "uint8"),
        (lambda: make("N").one_hot(dtype=np.uint8, ambiguous="fractions"), KindError, "float"),
        (lambda: make("N").one_hot(ambiguous="fraction"), NameUnknownError, "'fractions'"),
    ],
)
def test_mistakes_say_what_to_do(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_letters_of_a_mapped_file_are_checked_when_they_are_read(tmp_path):
    path = tmp_path / "bad.bin"
    path.write_bytes(b"ACGTAC!T")
    genome = SequenceSet(path, [0, 4], [4, 8], ["good", "bad"])
    assert genome.codes([0]).shape == (1, 4)
    with pytest.raises(DataError, match="'!' came in bad, position 2"):
        genome.codes()
    with pytest.raises(DataError, match="'!' came in bad, position 2"):
        genome.flat_codes()


def test_the_package_prints_a_set_in_one_line():
    genes = make("ACGT", "AC", groups={"species": ["a", "b"]})
    assert repr(genes) == "SequenceSet(2 dna sequences of 2 to 4 bp; groups species)"
    assert repr(make("ACGT")) == "SequenceSet(1 dna sequences of 4 bp)"
    assert repr(make()) == "SequenceSet(0 dna sequences)"


def test_coding_runs_through_narrow_arrays_and_calls_nothing_for_a_letter():
    letters = np.frombuffer(b"ACGT", np.uint8)[np.random.default_rng(0).integers(0, 4, 1_000_000)]
    genome = SequenceSet(letters, [0], [len(letters)], ["chromosome"])
    genome.codes()
    events = []
    tracemalloc.start()
    sys.setprofile(lambda frame, event, arg: events.append(event))
    try:
        genome.codes()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        sys.setprofile(None)
        tracemalloc.stop()
    # A look-up through indices of 8 bytes is six times as slow as one through the letters.
    assert len(events) < 1000 and peak < 4 * len(letters)


def test_sequences_that_lie_side_by_side_are_not_copied():
    together = make("ACGT", "GG", "TTA")
    assert np.shares_memory(together.flat(), together.buffer)
    assert bytes(together.flat()) == b"ACGTGGTTA"
    assert bytes(together[[2, 0]].flat()) == b"TTAACGT"
    assert bytes(together[1:].flat()) == b"GGTTA" and bytes(together[:2].flat()) == b"ACGTGG"
