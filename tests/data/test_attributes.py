"""What the makers of recordings say of every array, on the array itself."""

import numpy as np
import pytest
import xarray as xr

import neurornn as nr

MADE = ("traces", "spikes", "trials", "bins", "bins of trials", "joined", "windows")


def made_of(kind):
    """One of `MADE`; in a test, so that it is known which lines a test runs."""
    rng = np.random.default_rng(0)
    traces = nr.data.from_traces(rng.normal(size=(200, 3)), sampling_rate=20.0)
    trains = [np.sort(rng.uniform(0, 10, 50)) for _ in range(3)]
    spikes = nr.data.from_spikes(trains, t_stop=10.0)
    trials = nr.data.set_intervals(spikes, [0, 3, 6], [2, 5, 8])
    if kind == "bins":
        return nr.data.bin_spikes(spikes, 0.1).to_dataset(name="counts")
    if kind == "bins of trials":
        return nr.data.bin_spikes(trials, 0.1, trials=True).to_dataset(name="counts")
    if kind == "joined":
        return nr.data.join_trials([traces, traces])
    if kind == "windows":
        return nr.data.windows(traces, inputs="dff", targets="dff", duration=1.0)
    return {"traces": traces, "spikes": spikes, "trials": trials}[kind]


#: The user's own arrays, and labels.
THEIRS = ("dff", "inputs", "targets", "unit", "trial", "input", "output", "spike_unit")


@pytest.mark.parametrize("kind", MADE)
def test_times_are_in_seconds_and_everything_says_what_it_is(kind):
    for name, variable in made_of(kind).variables.items():
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
    traces = made_of("traces")
    for method in ("linear", "mean"):
        made = nr.data.resample_to(
            traces["dff"], traces["time"], np.arange(1, 50) / 10, method=method
        )
        assert made.attrs["units"] == "1" and method in made.attrs["method"]
        assert made["time"].attrs["units"] == "s" and isinstance(made, xr.DataArray)
