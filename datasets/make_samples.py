"""Make the bundled samples: small simulated recordings with a known truth, and their cards.

Run ``python datasets/make_samples.py`` from the project's folder, with names to make only those.
The same versions give the same numbers; the cards carry the checksum of the files as written.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np

import neurornn as nr

HERE = Path(__file__).parent

CARD = """\
name = "{name}"
title = "{title}"
source = "simulated by datasets/make_samples.py"
licence = "BSD-3-Clause, as the package"
doi = ""
cite = "the neurornn package"
species = "none (simulated)"
units = "{units}"
note = "{note}"
simulated = true

[files."{file}"]
sha256 = "{sha256}"
"""


def calcium():
    """Six cells without a rise time, 30 frames a second, three minutes."""
    recording = nr.simulate.simulate_calcium(
        6,
        180.0,
        30.0,
        tau_decay=[0.3, 0.5, 0.5, 0.8, 1.2, 1.8],
        rate=[0.8, 0.5, 1.0, 0.5, 0.4, 0.3],
        snr=[8.0, 10.0, 6.0, 12.0, 15.0, 20.0],
        size_cv=0.1,
        baseline=0.2,
        drift=0.1,
        indicator="simulated",
        rng=1,
    )
    return recording.drop_vars(["calcium", "spike_size"])


def fluorescence():
    """Eight cells in camera counts, dark level 100: they bleach, one is silent, one faint."""
    decays = np.array([0.58, 0.64, 0.66, 0.70, 0.72, 0.78, 0.70, 0.70])
    recording = nr.simulate.simulate_calcium(
        8,
        240.0,
        30.0,
        tau_decay=decays,
        # 1 - exp(-t / 0.03) beside the decay.
        tau_rise=1 / (1 / 0.03 + 1 / decays),
        rate=[0.5, 0.4, 0.6, 0.3, 0.5, 0.4, 0.004, 0.4],
        snr=[12.0, 9.0, 15.0, 8.0, 10.0, 18.0, 12.0, 0.7],
        amplitude=0.3,
        size_cv=0.2,
        indicator="GCaMP6f",
        rng=5,
    )
    seconds = recording["time"].values[:, None]
    resting = np.array([820, 640, 1100, 560, 700, 930, 780, 610]) * np.exp(-seconds / 1500.0)
    change = recording["dff"].values
    change[:, 7] *= 0.2
    counts = 100.0 + resting * (1.0 + change)
    out = recording[["tau_decay_true", "tau_rise_true"]]
    out["fluorescence"] = recording["dff"].copy(data=np.round(counts).astype(np.uint16))
    out["fluorescence"].attrs.update(units="counts", long_name="fluorescence")
    out.attrs["source"] = "simulated by datasets/make_samples.py"
    return out


def spikes():
    """Spikes of twelve cells driven by a slow latent rate of 0.2 s, in 20 ms bins."""
    rng = np.random.default_rng(2)
    dt, tau, n_bins, n_units = 0.02, 0.2, 5000, 12
    keep = np.exp(-dt / tau)
    stimulus = np.zeros(n_bins)
    # A stimulus that jumps about once a second and is held.
    value = 0.0
    for k in range(n_bins):
        if rng.random() < dt:
            value = rng.standard_normal()
        stimulus[k] = value
    state = np.zeros(n_bins)
    for k in range(1, n_bins):
        state[k] = keep * state[k - 1] + (1 - keep) * stimulus[k]
    gain = rng.normal(0.0, 0.6, n_units)
    counts = rng.poisson(dt * 8.0 * np.exp(gain[None, :] * state[:, None]))
    # Spikes are put at random inside their bins, so that the file holds spike times.
    trains = []
    for j in range(n_units):
        bins = np.repeat(np.arange(n_bins), counts[:, j])
        trains.append(np.sort((bins + 1 - rng.random(len(bins))) * dt))
    recording = nr.data.from_spikes(trains, t_start=0.0, t_stop=n_bins * dt)
    recording = recording.assign_coords(
        time=("time", (np.arange(n_bins) + 1) * dt, {"units": "s"})
    )
    recording["stimulus"] = ("time", stimulus, {"units": "1", "sampling_rate": 1 / dt})
    recording["tau_true"] = ((), tau, {"units": "s"})
    recording.attrs["source"] = "simulated by datasets/make_samples.py"
    return recording


def dna():
    """Sixty sequences of 300 bp and a signal that forgets with a length constant of 25 bp."""
    return nr.simulate.simulate_dna_memory(60, 300, length_constant=25.0, rng=3).drop_vars(
        "one_hot"
    )


def proteins():
    """Five species of 120 proteins; those that are richest in what stabilises are the coldest."""
    return nr.simulate.simulate_proteins(600, 5, rng=4)


SAMPLES = {
    "sample_calcium": (calcium, "1", "Six simulated cells, tau 0.3 to 1.8 s, with their spikes"),
    "sample_fluorescence": (
        fluorescence,
        "counts",
        "Eight simulated cells in camera counts, GCaMP6f",
    ),
    "sample_spikes": (spikes, "s", "Twelve simulated units that follow a stimulus with tau 0.2 s"),
    "sample_dna": (dna, "bp", "Simulated DNA and a signal with a length constant of 25 bp"),
    "sample_proteins": (proteins, "degC", "Simulated proteins whose species hide an effect"),
}


def main():
    """Write the samples that are named, or all, and their cards."""
    for name in sys.argv[1:] or SAMPLES:
        make, units, title = SAMPLES[name]
        table = make()
        for variable in table.data_vars:
            # Single precision is far finer than the noise, and halves the file.
            if table[variable].dtype == np.float64 and "time" in table[variable].dims:
                table[variable] = table[variable].astype(np.float32)
        path = HERE / f"{name}.nc"
        nr.io.write_netcdf(table, path, overwrite=True)
        text = CARD.format(
            name=name,
            title=title,
            units=units,
            note=make.__doc__.strip(),
            file=path.name,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        (HERE / f"{name}.toml").write_text(text)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
