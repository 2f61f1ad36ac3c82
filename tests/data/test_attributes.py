"""What the makers of recordings say of every array, on the array itself."""

import numpy as np
import pytest
import xarray as xr

import neurornn as nr

RNG = np.random.default_rng(0)
TRACES = nr.data.from_traces(RNG.normal(size=(200, 3)), sampling_rate=20.0)
SPIKES = nr.data.from_spikes([np.sort(RNG.uniform(0, 10, 50)) for _ in range(3)], t_stop=10.0)
TRIALS = nr.data.set_intervals(SPIKES, [0, 3, 6], [2, 5, 8])

MADE = {
    "traces": TRACES,
    "spikes": SPIKES,
    "trials": TRIALS,
    "bins": nr.data.bin_spikes(SPIKES, 0.1).to_dataset(name="counts"),
    "bins of trials": nr.data.bin_spikes(TRIALS, 0.1, trials=True).to_dataset(name="counts"),
    "joined": nr.data.join_trials([TRACES, TRACES]),
    "windows": nr.data.windows(TRACES, inputs="dff", targets="dff", duration=1.0),
}
#: The user's own arrays, and labels.
THEIRS = ("dff", "inputs", "targets", "unit", "trial", "input", "output", "spike_unit")


@pytest.mark.parametrize("made", MADE)
def test_times_are_in_seconds_and_everything_says_what_it_is(made):
    for name, variable in MADE[made].variables.items():
        if name in ("time", "start", "stop", "spike_times", "clock_offset"):
            assert variable.attrs["units"] == "s", name
        if name not in THEIRS:
            assert variable.attrs["long_name"], name
        if name in ("dff", "counts", "inputs", "targets"):
            assert variable.attrs["units"] == "1"
        if name == "counts":
            assert variable.attrs["bin_size"] == 0.1
        if name in ("dff", "inputs", "targets"):
            # The nearest float: 1 over the median step of the clock.
            assert variable.attrs["sampling_rate"] == pytest.approx(20.0)
        if name == "time":
            assert "((k-1)*dt, k*dt]" in variable.attrs["convention"]


def test_what_was_resampled_says_how():
    for method in ("linear", "mean"):
        made = nr.data.resample_to(
            TRACES["dff"], TRACES["time"], np.arange(1, 50) / 10, method=method
        )
        assert made.attrs["units"] == "1" and method in made.attrs["method"]
        assert made["time"].attrs["units"] == "s" and isinstance(made, xr.DataArray)
