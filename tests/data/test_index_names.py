"""Names of an index, one by one: what they say of its unit, and what they leave open."""

import pytest

from neurornn._core.errors import UnitError
from neurornn.data.index_names import seconds_of_name

#: Name -> seconds in a step of it, of whole numbers and of others; None numbers rows.
KNOWN = {
    "": (None, 1.0),
    "neuron": (None, 1.0),
    "time": (1.0, 1.0),
    "Time": (1.0, 1.0),
    "t": (1.0, 1.0),
    "timestamps": (1.0, 1.0),
    "time stamp": (1.0, 1.0),
    "elapsed": (1.0, 1.0),
    "s": (1.0, 1.0),
    "sec": (1.0, 1.0),
    "seconds": (1.0, 1.0),
    "secs": (1.0, 1.0),
    "time (s)": (1.0, 1.0),
    "time_ms": (1e-3, 1e-3),
    "time [ms]": (1e-3, 1e-3),
    "timeMs": (1e-3, 1e-3),
    "timems": (1e-3, 1e-3),
    "t_ms": (1e-3, 1e-3),
    "tms": (1e-3, 1e-3),
    "ms": (1e-3, 1e-3),
    "msecs": (1e-3, 1e-3),
    "milliseconds": (1e-3, 1e-3),
    "time_us": (1e-6, 1e-6),
    "time (\u00b5s)": (1e-6, 1e-6),
    "time (\u03bcs)": (1e-6, 1e-6),
    "timestamp_us": (1e-6, 1e-6),
    "timestampus": (1e-6, 1e-6),
    "usec": (1e-6, 1e-6),
    "microseconds": (1e-6, 1e-6),
    "time_ns": (1e-9, 1e-9),
    "nanoseconds": (1e-9, 1e-9),
    "minutes": (60.0, 60.0),
    "time_min": (60.0, 60.0),
    "mins": (60.0, 60.0),
    "hours": (3600.0, 3600.0),
    "time in h": (3600.0, 3600.0),
    # Words beside the time change nothing of its unit.
    "time since onset": (1.0, 1.0),
    "time from trial start in ms": (1e-3, 1e-3),
    "frame time": (1.0, 1.0),
    # Whole numbers under such words count rows.
    "time bin": (None, "asked"),
    "time_step": (None, "asked"),
    "timepoint": (None, 1.0),
    "bin": (None, 1.0),
    "index": (None, 1.0),
    "frame": (None, "asked"),
    "frames": (None, "asked"),
    "sample": (None, "asked"),
    "trial": (None, 1.0),
    # A unit of which nobody knows the seconds, or that comes with a word that may change it.
    "ticks": ("asked", "asked"),
    "days": ("asked", "asked"),
    "time_days": ("asked", "asked"),
    "time_hz": ("asked", "asked"),
    "latency ms": ("asked", "asked"),
    "latency days": ("asked", "asked"),
    "days latency": (None, 1.0),
    "ms time": ("asked", "asked"),
    "reaction time": ("asked", "asked"),
    "reaction s": (None, 1.0),
    "time_ms_bin": (None, "asked"),
    # A capital or a mark parts words, a digit does not.
    "TIME": (1.0, 1.0),
    "time_2": ("asked", "asked"),
}


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("title", KNOWN)
def test_a_name_says_its_unit_or_is_asked_about(title, whole):
    expected = KNOWN[title][0 if whole else 1]
    if expected == "asked":
        with pytest.raises(UnitError) as caught:
            seconds_of_name(title, whole)
        assert caught.value.came == (
            f"The index of the DataFrame is called {title!r}, in a unit that is not known"
        )
    else:
        assert seconds_of_name(title, whole) == expected
