"""Recurrent point processes: they learn a past, look at it alone, and speak as the others do."""

import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.errors import DataError, NameUnknownError
from neurornn.spikes import PointProcess, RecurrentPointProcess, time_rescaling


@pytest.fixture(scope="module")
def recordings():
    return [nr.simulate.simulate_spike_trains(2, 40.0, rate=[40.0, 60.0], rng=k) for k in (0, 1)]


@pytest.fixture(scope="module")
def network(recordings):
    return RecurrentPointProcess(
        cell="gru", n_hidden=8, bin_size=0.002, window=0.5, learning_rate=0.01, rng=0
    ).fit(recordings[0])


@pytest.mark.slow
def test_it_learns_the_past_of_two_units(network, recordings):
    bits = network.bits_per_spike(recordings[1]).values
    best = PointProcess(bin_size=0.002).fit(recordings[0]).bits_per_spike(recordings[1]).values
    # Of what the exact model of the neuron reads, counts of 2 ms and 40 s of training leave half.
    assert (bits > 0.5 * best).all()
    low, high = network.parameters_["held_out_bits_ci"].values.T
    assert ((low < bits) & (bits < high)).all()
    check = time_rescaling(network, recordings[1])
    blind = time_rescaling(
        PointProcess(history=None, bin_size=0.002).fit(recordings[0]), recordings[1]
    )
    assert (check.statistic.values < 0.6 * blind.statistic.values).all()


def test_rates_know_the_past_alone(network, recordings):
    changed = recordings[0].copy(deep=True)
    times = changed["spike_times"].values
    late = times > 20.0
    changed["spike_times"].values[late] = np.where(late, 60.0 - times, times)[late]
    for k in range(2):
        own = changed["spike_unit"].values == k
        changed["spike_times"].values[own] = np.sort(changed["spike_times"].values[own])
    one, other = network.rates(recordings[0]), network.rates(changed)
    early = one["time"].values <= 20.0
    assert np.array_equal(one.values[early], other.values[early])
    assert not np.allclose(one.values[~early], other.values[~early])


def test_a_run_begins_at_rest(network, recordings):
    rec = nr.data.set_intervals(recordings[0], [0.0, 20.002], [20.0, 40.0])
    alone = nr.data.set_intervals(recordings[0], [20.002], [40.0])
    assert np.allclose(network.rates(rec).values[10_000:], network.rates(alone).values, rtol=1e-5)


@pytest.mark.slow
def test_simulated_spikes_are_those_of_the_network(network, recordings):
    drawn = network.simulate(8.0, rng=0)
    rates = network.rates(drawn)
    n = drawn["spike_count"].values
    # Given its own past each count is what the network says: the sum is a martingale.
    assert (np.abs(rates.values.sum(axis=0) * 0.002 - n) < 4 * np.sqrt(n)).all()
    share = n / 8.0 / (recordings[0]["spike_count"].values / 40.0)
    assert ((share > 0.7) & (share < 1.3)).all()
    check = time_rescaling(network, drawn)
    assert (check.p_value.values > 0.01).all()


@pytest.mark.parametrize("shown", ["as it is", "filtered"])
@pytest.mark.slow
def test_spikes_are_simulated_from_the_inputs_they_are_read_from(shown, recordings):
    wave = np.sin(np.arange(20_000) / 60)
    model = RecurrentPointProcess(
        n_hidden=3, bin_size=0.002, history=0.02, n_history=2, max_epochs=2, rng=0,
        stimulus_duration=None if shown == "as it is" else 0.05, n_stimulus=2,
    ).fit(recordings[0], stimulus=wave)  # fmt: skip
    drawn = model.simulate(4.0, rng=0)
    n = drawn["spike_count"].values
    mean = model.rates(drawn, stimulus=wave[:2000]).values.sum(axis=0) * 0.002
    assert (np.abs(mean - n) < 4 * np.sqrt(n)).all()


def test_without_feedback_it_is_a_psth():
    rng = np.random.default_rng(0)
    time = np.arange(50) * 0.01
    rate = 0.1 + 0.5 * np.exp(-((time - 0.2) ** 2) / 0.005)
    counts = rng.poisson(rate[None, :, None], (80, 50, 1)).astype(float)
    labelled = xr.DataArray(counts, dims=("trial", "time", "unit"))
    model = RecurrentPointProcess(
        cell="gru", n_hidden=8, bin_size=0.01, feedback=False, distribution="poisson",
        window=0.5, learning_rate=0.02, rng=0,
    ).fit(labelled)  # fmt: skip
    found = model.rates(labelled).values.reshape(80, 50) * 0.01
    assert np.ptp(found, axis=0).max() < 1e-6
    # 80 trials know a rate of .3 to 20 % in each bin; the network ties bins together.
    assert np.corrcoef(found[0], rate)[0, 1] > 0.95
    assert found[0].mean() == pytest.approx(rate.mean(), rel=0.1)


def test_trials_are_held_out_whole():
    rng = np.random.default_rng(1)
    counts = xr.DataArray(rng.poisson(0.3, (40, 30, 1)), dims=("trial", "time", "unit"))
    model = RecurrentPointProcess(n_hidden=2, bin_size=0.01, max_epochs=1)
    bins = nr.spikes.binned.bin_for_model(counts, 0.01)
    held = model._held_out(bins).reshape(40, 30)
    assert (held.all(axis=1) == held.any(axis=1)).all()
    assert 0.1 < held.mean() < 0.2


def test_time_constants_of_leaky_units_are_told_in_seconds(recordings):
    model = RecurrentPointProcess(n_hidden=3, bin_size=0.002, max_epochs=2).fit(recordings[0])
    tau = model.parameters_["tau"]
    assert tau.attrs["units"] == "s"
    assert (tau.values > 0.0002).all()
    assert "no curvature" in model.report()


def test_saved_and_loaded_it_goes_on(network, recordings, tmp_path):
    network.save(tmp_path / "network")
    again = nr.load(tmp_path / "network")
    assert np.array_equal(again.rates(recordings[1]).values, network.rates(recordings[1]).values)
    assert again.simulate(1.0, rng=3).equals(network.simulate(1.0, rng=3))


def test_the_same_seed_gives_the_same_network(recordings):
    def once():
        model = RecurrentPointProcess(n_hidden=2, bin_size=0.005, max_epochs=2, rng=4)
        return model.fit(recordings[0]).rates(recordings[0]).values

    assert np.array_equal(once(), once())


def test_what_does_not_fit_is_refused(recordings):
    with pytest.raises(NameUnknownError, match="cell"):
        RecurrentPointProcess(cell="leeky").fit(recordings[0])
    with pytest.raises(DataError, match="20 or more of one unit"):
        RecurrentPointProcess().fit(nr.data.from_spikes([[1.0, 2.0]], t_start=0.0, t_stop=3.0))
    with pytest.raises(DataError, match="came with cell='vanilla'"):
        RecurrentPointProcess(cell="vanilla", dropout=0.2).fit(recordings[0])
    with pytest.raises(DataError, match="validation_fraction"):
        RecurrentPointProcess(validation_fraction=0.9).fit(recordings[0])


@pytest.mark.parametrize("cell", ["leaky", "gru", "lstm", "vanilla"])
def test_every_cell_carries_its_state_from_bin_to_bin(cell, recordings):
    model = RecurrentPointProcess(cell=cell, n_hidden=3, bin_size=0.005, max_epochs=2, rng=0)
    model.fit(recordings[0])
    drawn = model.simulate(4.0, rng=2)
    # What was drawn step by step, run through at once, is as likely as what the network says.
    mean = model.rates(drawn).values.sum(axis=0) * 0.005
    n = drawn["spike_count"].values
    assert (np.abs(mean - n) < 4 * np.sqrt(n)).all()
    assert (time_rescaling(model, drawn).p_value.values > 0.001).all()
