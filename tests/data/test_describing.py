"""What a recording says of itself: axes, units, rates, gaps, and what is missing."""

import numpy as np

import neurornn as nr
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
