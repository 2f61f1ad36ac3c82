"""Features: parts in reading order, across the origin, on both strands, by hand and property."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError
from neurornn.data import SequenceSet, extract, features_from_records, pick_features
from neurornn.data.contigs import matched_names
from neurornn.data.feature_tables import take_features
from neurornn.data.origin import read_across, sorted_parts

PAIRS = str.maketrans("ACGT", "TGCA")


def genome(*sequences, circular=False, features=()):
    names = [f"c{k}" for k in range(len(sequences))]
    made = SequenceSet.from_sequences(names, sequences, circular=circular)
    return made.with_features(features_from_records(features)) if features else made


# ------------------------------------------------------------------ the table


def test_columns_and_what_they_are_where_nothing_is_said():
    table = features_from_records([{"contig": "c", "start": 3, "end": 9}])
    one = {name: table[name].values.tolist() for name in table}
    assert one == {
        "contig": ["c"], "type": ["CDS"], "start": [3], "end": [9], "strand": [1], "phase": [0],
        "is_partial_5": [False], "is_partial_3": [False], "is_pseudo": [False],
        "genetic_code": [0], "name": [""], "gene": [""], "product": [""],
        "translation_exception": [False], "part_count": [1], "part_start": [3], "part_end": [9],
        "part_strand": [1],
    }  # fmt: skip
    kinds = {"start": np.int64, "strand": np.int8, "phase": np.int8, "genetic_code": np.int16}
    assert all(table[name].dtype == kind for name, kind in kinds.items())
    assert table["is_pseudo"].dtype == bool and table["start"].attrs["units"] == "bp"
    empty = features_from_records([])
    assert dict(empty.sizes) == {"feature": 0, "part": 0} and empty["contig"].dtype.kind == "U"


def test_start_and_end_are_those_of_the_parts():
    table = features_from_records(
        [{"contig": "c", "parts": [(60, 90), (10, 40)], "strand": -1}, {"contig": "c", "start": 1,
          "end": 2, "strand": 0}]
    )  # fmt: skip
    assert table["start"].values.tolist() == [10, 1] and table["end"].values.tolist() == [90, 2]
    assert table["part_count"].values.tolist() == [2, 1]
    assert table["part_start"].values.tolist() == [60, 10, 1]
    # What is on no strand is read forward.
    assert table["part_strand"].values.tolist() == [-1, -1, 1]


def test_features_are_taken_with_their_parts_in_any_order():
    records = [
        {"contig": "c", "parts": [(0, 1), (2, 3), (4, 5)], "name": "three"},
        {"contig": "c", "parts": [(6, 7)], "name": "one"},
        {"contig": "c", "parts": [(8, 9), (10, 11)], "name": "two"},
    ]
    table = features_from_records(records)
    for rows in ([2, 0], [1], [], slice(1, None), np.array([True, False, True]), [2, 2]):
        taken = take_features(table, rows)
        wanted = [records[k] for k in np.arange(3)[rows]]
        assert taken.identical(features_from_records(wanted)), rows


def test_features_are_picked():
    records = [
        {"contig": "a", "start": 0, "end": 3, "type": "gene"},
        {"contig": "a", "start": 0, "end": 3, "strand": -1},
        {"contig": "b", "start": 1, "end": 4},
    ]
    table = features_from_records(records)
    assert pick_features(table)["contig"].values.tolist() == ["a", "b"]
    assert pick_features(table, None).sizes["feature"] == 3
    assert pick_features(table, ["gene", "CDS"], "a").sizes["feature"] == 2
    assert pick_features(table, "CDS", "a", -1).sizes["feature"] == 1
    assert pick_features(table, strand=1)["contig"].values.tolist() == ["b"]
    with pytest.raises(NameUnknownError, match=r"the type 'CSD'.*'CDS'"):
        pick_features(table, "CSD")
    with pytest.raises(NameUnknownError, match="It is called 'a' here"):
        pick_features(table, contig="chra")
    assert pick_features(features_from_records([])).sizes["feature"] == 0


@pytest.mark.parametrize(
    ("record", "error", "words"),
    [
        ({"contig": "c"}, DataError, "neither parts nor start and end"),
        ({"contig": "c", "start": 9, "end": 3}, DataError, "starts at 9 and ends at 3"),
        ({"contig": "c", "parts": [(3, 1)]}, DataError, "not before the start"),
        ({"contig": "c", "start": 1, "stop": 3}, NameUnknownError, "'stop'.*end, strand"),
        ({"contig": "c", "start": 1.5, "end": 3}, DataError, "lies at 1.5 to 3"),
        ({"contig": "c", "start": "1", "end": "9"}, DataError, "by int"),
        ({"contig": "c", "start": 1, "end": 9, "strand": "+"}, DataError, "Write 1 for"),
        (
            {"contig": "c", "start": 1, "end": 9, "strand": 2},
            DataError,
            "strand of a feature is 2",
        ),
        ({"contig": "c", "parts": [(1, 9, 3)]}, DataError, "strand of a feature is 3"),
        ({"contig": "c", "start": 1, "end": 9, "phase": 3}, DataError, "phase of a feature is 3"),
    ],
)
def test_records_that_are_no_features(record, error, words):
    with pytest.raises(error, match=words):
        features_from_records([record])


def test_what_is_no_table_of_features_is_refused():
    with pytest.raises(KindError, match="A list came as features"):
        genome("ACGT").with_features([{"contig": "c0"}])
    table = features_from_records([{"contig": "c0", "start": 0, "end": 2}])
    with pytest.raises(ShapeError, match="no phase"):
        genome("ACGT").with_features(table.drop_vars("phase"))
    many = features_from_records([{"contig": "c0", "parts": [(0, 1), (2, 3)]}] * 2)
    with pytest.raises(ShapeError, match="count 2 parts and have 4"):
        genome("ACGT").with_features(many.isel(feature=[0]))


# ------------------------------------------------------------------ across the origin


@pytest.mark.parametrize(
    ("parts", "length", "read"),
    [
        ([(90, 100, 1), (0, 20, 1)], 100, [(90, 120, 1)]),
        # biopython: the parts of complement(join(91..100,1..20)) as they are read.
        ([(0, 20, -1), (90, 100, -1)], 100, [(90, 120, -1)]),
        # An intron over the origin, and one behind it.
        ([(80, 90, 1), (5, 20, 1)], 100, [(80, 90, 1), (105, 120, 1)]),
        ([(5, 20, -1), (80, 90, -1)], 100, [(105, 120, -1), (80, 90, -1)]),
        ([(90, 100, 1), (0, 20, 1), (30, 40, 1)], 100, [(90, 120, 1), (130, 140, 1)]),
        # A step back of the ribosome is no turn.
        ([(10, 30, 1), (29, 60, 1)], 100, [(10, 30, 1), (29, 60, 1)]),
        ([(29, 60, -1), (10, 30, -1)], 100, [(29, 60, -1), (10, 30, -1)]),
        # Far from both ends: parts in an unusual order.
        ([(50, 60, 1), (20, 30, 1)], 100, [(50, 60, 1), (20, 30, 1)]),
        ([(20, 30, 1), (90, 95, -1)], 100, [(20, 30, 1), (90, 95, -1)]),
        ([(40, 60, 1)], 100, [(40, 60, 1)]),
    ],
)  # fmt: skip
def test_parts_across_the_origin(parts, length, read):
    assert read_across(parts, length) == read


def test_parts_in_any_order_are_sorted_as_they_are_read():
    assert sorted_parts([(5, 9, 1), (1, 3, 1)], None) == [(1, 3, 1), (5, 9, 1)]
    assert sorted_parts([(1, 3, -1), (5, 9, -1)], None) == [(5, 9, -1), (1, 3, -1)]
    three = [(0, 20, 1), (40, 50, 1), (90, 100, 1)]
    assert sorted_parts(three, 100) == [(90, 120, 1), (140, 150, 1)]
    assert sorted_parts(three, None) == three
    back = [(p[0], p[1], -1) for p in three]
    assert sorted_parts(back, 100) == [(140, 150, -1), (90, 120, -1)]
    # One that goes beyond the end, and what lies before and behind it.
    assert sorted_parts([(30, 40, 1), (80, 85, 1), (90, 120, 1)], 100) == [
        (80, 85, 1), (90, 120, 1), (130, 140, 1),
    ]  # fmt: skip
    assert sorted_parts([(130, 140, -1), (90, 120, -1)], 100) == [(130, 140, -1), (90, 120, -1)]
    assert sorted_parts([(0, 100, 1)], 100) == [(0, 100, 1)]
    assert sorted_parts([(10, 20, 1), (40, 60, 1)], 100) == [(10, 20, 1), (40, 60, 1)]


def test_letters_of_features_by_hand():
    #         0         1
    #         0123456789012
    letters = "AACCGGTTACGTA"
    made = genome(letters, circular=True)
    features = features_from_records(
        [
            {"contig": "c0", "start": 2, "end": 6, "name": "plain"},
            {"contig": "c0", "start": 2, "end": 6, "strand": -1},
            {"contig": "c0", "parts": [(2, 4), (6, 9)]},
            {"contig": "c0", "parts": [(6, 9), (2, 4)], "strand": -1},
            {"contig": "c0", "start": 11, "end": 15},
            {"contig": "c0", "start": 11, "end": 15, "strand": -1},
            {"contig": "c0", "parts": [(14, 17), (9, 12)], "strand": -1},
            {"contig": "c0", "parts": [(0, 3, 1), (8, 11, -1)], "strand": 0},
        ]
    )
    assert list(extract(made, features)) == [
        "CCGG", "CCGG", "CCTTA", "TAAGG", "TAAA", "TTTA", "GGT" + "ACG", "AAC" + "CGT",
    ]  # fmt: skip
    names = extract(made, features).names.tolist()
    assert names[:2] == ["plain", "c0:2-6, -"]
    assert len(extract(made, features_from_records([]))) == 0


@settings(deadline=None)
@given(st.data())
def test_extraction_is_reading_along_a_turned_text(data):
    length = data.draw(st.integers(5, 40))
    letters = data.draw(st.text("ACGT", min_size=length, max_size=length))
    start = data.draw(st.integers(0, length - 1))
    end = data.draw(st.integers(start, start + length))
    strand = data.draw(st.sampled_from([1, -1]))
    twice = (letters + letters)[start:end]
    wanted = twice if strand > 0 else twice[::-1].translate(PAIRS)
    records = [{"contig": "c0", "start": start, "end": end, "strand": strand}]
    made = genome(letters, circular=True, features=records)
    assert extract(made)[0] == wanted
    # On the other strand the same feature reads the same.
    turned = made.reverse_complement()
    assert extract(turned)[0] == wanted
    table = turned.features
    # A feature without letters at 0 comes to lie at the end.
    assert 0 <= int(table["start"][0]) < length + (start == end)
    assert int(table["strand"][0]) == -strand
    back = turned.reverse_complement().features
    # A whole turn that starts at 0 may come back as one that does.
    assert back.identical(made.features)


def test_phase_partial_ends_and_parts_keep_their_reading_on_the_other_strand():
    record = {"contig": "c0", "parts": [(1, 4), (6, 9)], "phase": 2, "is_partial_5": True}
    made = genome("AACCGGTTACG", features=[record])
    turned = made.reverse_complement().features
    assert turned["part_start"].values.tolist() == [7, 2]
    assert turned["part_end"].values.tolist() == [10, 5]
    assert (int(turned["phase"][0]), bool(turned["is_partial_5"][0])) == (2, True)
    assert (int(turned["start"][0]), int(turned["end"][0])) == (2, 10)


# ------------------------------------------------------------------ sets of sequences


def test_features_follow_their_sequences():
    records = [
        {"contig": "c0", "start": 0, "end": 3, "name": "x"},
        {"contig": "c1", "start": 1, "end": 4, "name": "y"},
    ]
    made = genome("ACGTA", "GGTTA", circular=[True, False], features=records)
    part = made[[1]]
    assert part.features["name"].values.tolist() == ["y"] and part.circular.tolist() == [False]
    assert made[::-1].circular.tolist() == [False, True]
    assert made[::-1].features.sizes["feature"] == 2
    assert repr(made) == "SequenceSet(2 dna sequences of 5 bp; 1 circular; 2 features)"
    assert repr(made[:1]) == "SequenceSet(1 dna sequences of 5 bp; circular; 1 features)"
    assert made.with_features(None).features is None


def test_of_a_slice_the_features_that_lie_whole_in_it_are_kept():
    records = [
        {"contig": "c0", "start": 2, "end": 5, "name": "inside"},
        {"contig": "c0", "start": 1, "end": 5, "name": "before"},
        {"contig": "c0", "start": 4, "end": 9, "name": "behind"},
        {"contig": "c0", "start": 8, "end": 12, "name": "across"},
    ]
    made = genome("ACGTACGTAC", circular=True, features=records)
    cut = made.slice(2, 8)
    assert cut.features["name"].values.tolist() == ["inside"] and not cut.circular[0]
    assert cut.features["part_start"].values.tolist() == [0]
    assert extract(cut)[0] == extract(made)[0]
    whole = made.slice(0, 10)
    assert whole.circular[0] and whole.features.sizes["feature"] == 4


def test_intervals_are_fetched_inside_the_sequence_only():
    made = genome("ACGTACGTAC", "GGTT", circular=[True, False])
    assert made.fetch("c0", 2, 5) == "GTA" and made.fetch("c0") == "ACGTACGTAC"
    assert made.fetch("c1", 4, 4) == "" and made.fetch("c1", 1, as_bytes=True).tolist() == [
        71, 84, 84,
    ]  # fmt: skip
    assert made.fetch("c0", 8, 12) == "ACAC" and made.fetch("c0", 3, 13) == "TACGTACACG"
    for name, start, stop in (("c1", 0, 5), ("c1", -1, 2), ("c1", 3, 2), ("c0", 8, 19),
                              ("c0", 10, 11)):  # fmt: skip
        with pytest.raises(ShapeError, match=f"Positions {start} to {stop} of {name} came"):
            made.fetch(name, start, stop)
    with pytest.raises(ShapeError, match=r"Stop at 4.*circular=True"):
        made.fetch("c1", 2, 5)


def test_another_spelling_of_a_contig_is_told():
    made = SequenceSet.from_sequences(["1", "MT", "NC_0001.2"], ["AC", "GT", "TT"])
    for asked, known in (("chr1", "1"), ("chrM", "MT"), ("NC_0001", "NC_0001.2")):
        with pytest.raises(NameUnknownError, match=f"The file calls it '{known}': pass that"):
            made.fetch(asked, 0, 1)
        with pytest.raises(NameUnknownError, match=f"'{known}'"):
            made[asked]
    # Two that could be meant are no match.
    assert matched_names(["chr1"], ["1", "Chr1"]) == {}
    assert matched_names(["1", "2"], ["chr1", "2"]) == {"1": "chr1"}


@pytest.mark.parametrize(
    ("record", "circular", "error", "words"),
    [
        ({"contig": "c0", "start": 2, "end": 11, "name": "g"}, False, DataError,
         r"CDS g \(c0:2-11, \+\) ends at 11, and c0 has 10 bp and is linear.*circular=True"),
        ({"contig": "c0", "start": 2, "end": 13}, True, DataError, "ends at 13, and c0 has 10 bp"),
        ({"contig": "c0", "start": 10, "end": 12}, True, DataError, "a start inside it"),
        ({"contig": "c0", "start": -1, "end": 2}, False, DataError, "c0:-1-2"),
        ({"contig": "c0", "start": 1, "end": 4, "parts": [(1, 5)]}, False, DataError,
         "A part of .* lies outside"),
        ({"contig": "chrc0", "start": 1, "end": 4}, False, NameUnknownError,
         r"call it 'c0'.*contig_names=\{'chrc0': 'c0'\}"),
        ({"contig": "other", "start": 1, "end": 4}, False, NameUnknownError,
         "Is it the annotation of these"),
    ],
)  # fmt: skip
def test_features_that_do_not_lie_on_the_sequences(record, circular, error, words):
    made = SequenceSet.from_sequences(["c0"], ["ACGTACGTAC"], circular=circular)
    with pytest.raises(error, match=words):
        made.with_features(features_from_records([record]))
    with pytest.raises(error, match=words):
        extract(made, features_from_records([record]))


def test_names_that_occur_twice_cannot_have_features():
    table = features_from_records([{"contig": "a", "start": 0, "end": 1}])
    with pytest.raises(DataError, match="several are called 'a'"):
        SequenceSet.from_sequences(["a", "a"], ["AC", "GT"], features=table)


def test_other_refusals():
    protein = SequenceSet.from_sequences(["p"], ["MK"], "protein")
    with pytest.raises(KindError, match="asked of proteins"):
        extract(protein, features_from_records([]))
    with pytest.raises(KindError, match="NoneType came as features"):
        extract(genome("ACGT"))
    with pytest.raises(ShapeError, match="circular has shape"):
        SequenceSet.from_sequences(["a"], ["AC"], circular=[True, False])
    with pytest.raises(ShapeError, match="One bool for each"):
        SequenceSet.from_sequences(["a"], ["AC"], circular=["a"])
    assert isinstance(genome("ACGT", features=[{"contig": "c0", "start": 0, "end": 1}]).features,
                      xr.Dataset)  # fmt: skip
