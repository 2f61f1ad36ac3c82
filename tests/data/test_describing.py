"""What a recording says of itself: axes, units, rates, gaps, and what is missing."""

import numpy as np

import neurornn as nr
from neurornn.data import SequenceSet, features_from_records
from neurornn.data.describing import describe


def test_a_table_of_a_recording_gives_axes_rates_gaps_and_ranges():
    time = (np.arange(40) + 1) * 0.1
    time[20:] += 3.0
    values = np.linspace(-1, 3, 80).reshape(40, 2)
    values[:4] = np.nan
    made = nr.data.from_traces(values, time=time, indicator="GCaMP6f")
    made = made.assign_attrs(animal="m1", depth=120, places=[1, 2])
    table = describe(made, "mine")
    assert table.title == "mine" and list(table.head) == ["animal: m1", "depth: 120"]
    (row,) = table.rows
    assert list(row[:4]) == ["dff", "time 40, unit 2", "float64", "1"]
    low = np.nanmin(values)
    assert row[4] == (f"10.0 Hz, 4.00 s, 2 stretches, GCaMP6f, 10.0 % missing, {low:.3f} to 3.00")


def test_whole_numbers_and_what_is_missing_throughout_have_no_range():
    counts = nr.data.bin_spikes([[0.1, 0.4], [0.3]], 0.2).to_dataset(name="counts")
    assert describe(counts).rows[0][2:] == ["int64", "1", "5.00 Hz, 0.400 s"]
    empty = nr.data.from_traces(np.full((10, 1), np.nan), sampling_rate=10.0)
    assert describe(empty).rows[0][4] == "10.0 Hz, 1.00 s, 100.0 % missing"


def test_sequences_are_laid_out_with_lengths_letters_and_features():
    features = features_from_records(
        [
            {"contig": "ring", "start": 0, "end": 6},
            {"contig": "ring", "start": 1, "end": 3, "type": "gene"},
        ]
    )
    genome = SequenceSet.from_sequences(
        ["line", "ring"], ["ACGTN", "GGCCAA"], features=features, circular=[False, True]
    )
    table = describe(genome, "mine.gbk")
    assert table.rows[0] == ["line", "5", "bp", "0", "50.0 % G and C, 1 unknown"]
    assert table.rows[1] == ["ring", "6", "bp", "2", "circular, 66.7 % G and C"]
    assert table.head[0] == "2 dna sequences of 11 bp in all"
    assert table.head[1] == "features: CDS 1, gene 1"
    letters = ["A" * (k + 1) for k in range(30)]
    many = SequenceSet.from_sequences([f"c{k}" for k in range(30)], letters)
    told = describe(many)
    assert len(told.rows) == 20 and told.rows[0][0] == "c10"
    assert told.notes == ["10 shorter ones are not shown"]
    assert describe(SequenceSet.from_sequences(["p"], ["MKV"], "protein")).rows[0][1:3] == [
        "3",
        "aa",
    ]
