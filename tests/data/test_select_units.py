"""Units and their spikes are selected together, or not at all."""

import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import DataError, NameUnknownError


@pytest.fixture
def recording():
    trains = [np.array([0.1, 0.2]), np.array([0.3]), np.array([0.4, 0.5, 0.6])]
    return nr.data.from_spikes(trains, unit=["a", "b", "c"], t_stop=1.0)


def test_units_come_with_their_own_spikes_in_the_order_asked_for(recording):
    chosen = nr.data.select_units(recording, ["c", "a"])
    assert [t.tolist() for t in nr.data.spike_trains(chosen)] == [[0.4, 0.5, 0.6], [0.1, 0.2]]
    assert chosen["spike_count"].values.tolist() == [3, 2]
    assert nr.data.bin_spikes(chosen, 0.5).sum("time").values.tolist() == [3, 2]


def test_a_mask_does_the_same(recording):
    by_mask = nr.data.select_units(recording, np.array([True, False, True]))
    assert by_mask.identical(nr.data.select_units(recording, ["a", "c"]))


@pytest.mark.parametrize("where", [[1], [1, 0], [0, 2]])
def test_isel_leaves_the_spikes_behind_and_is_refused(recording, where):
    with pytest.raises(DataError, match="select_units"):
        nr.data.spike_trains(recording.isel(unit=where))
    with pytest.raises(DataError, match="select_units"):
        nr.data.bin_spikes(recording.isel(unit=where), 0.1)


def test_an_unknown_label_is_refused(recording):
    with pytest.raises(NameUnknownError, match="unit 'd'"):
        nr.data.select_units(recording, ["d"])
