#!/usr/bin/env bash
# neo 0.14.6: signals and events of an Open Ephys binary recording are on two clocks in one segment.
#
# Since GUI 0.6 a stream has sample_numbers.npy, its own count, and timestamps.npy, seconds that the streams share once
# they are synchronised. neo takes the start of a signal from its first sample number, and the events from the seconds.
# Of two probes that were switched on at different moments the counts differ, so one would expect the same clock for
# all, or a warning. Instead a pulse and the event that it caused lie seconds apart, and so do the two probes.
#
# Seen: probes A and B both start at 2 s, B after 276,000 samples of its own count. A pulse of both at 2.1 s has its
# event at 2.1 s, and is at 2.1 s in A but at 9.3 s in B. Fails if that changes. What neurornn does about it: it reads
# timestamps.npy as well and, where streams were synchronised, puts signals on the clock of the events.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install --quiet neo==0.14.6 numpy==2.4.6
venv/bin/python - <<'PY'
import json
import warnings
from pathlib import Path

import neo
import numpy as np

RATE, PULSE = 30000.0, 3000
home = Path("session/Record Node 101/experiment1/recording1")
values = np.zeros((9000, 1), "<i2")
values[PULSE] = 500
continuous = []
for probe, first in (("ProbeA", 60000), ("ProbeB", 276000)):
    name = f"OneBox-100.{probe}"
    folder = home / "continuous" / name
    folder.mkdir(parents=True)
    values.tofile(folder / "continuous.dat")
    np.save(folder / "sample_numbers.npy", first + np.arange(9000))
    np.save(folder / "timestamps.npy", 2.0 + np.arange(9000) / RATE)
    channel = {"channel_name": "CH1", "bit_volts": 1.0, "units": "uV"}
    entry = {"folder_name": f"{name}/", "sample_rate": RATE, "num_channels": 1, "channels": [channel]}
    continuous.append(entry | {"source_processor_name": "OneBox", "stream_name": probe})
folder = home / "events" / "OneBox-100.ProbeB" / "TTL"
folder.mkdir(parents=True)
np.save(folder / "sample_numbers.npy", 276000 + np.array([PULSE, 2 * PULSE]))
np.save(folder / "timestamps.npy", 2.0 + np.array([PULSE, 2 * PULSE]) / RATE)
np.save(folder / "states.npy", np.array([1, -1], "<i2"))
np.save(folder / "full_words.npy", np.array([1, 0], "<u8"))
events = [{"folder_name": "OneBox-100.ProbeB/TTL/", "channel_name": "TTL", "sample_rate": RATE}]
stated = {"GUI version": "0.6.7", "continuous": continuous, "events": events, "spikes": []}
(home / "structure.oebin").write_text(json.dumps(stated))

with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always", UserWarning)
    segment = neo.io.OpenEphysBinaryIO("session").read_segment()
said = [str(w.message) for w in said if issubclass(w.category, UserWarning)]
pulse = [round(float(s.times[np.argmax(s.magnitude[:, 0])]), 6) for s in segment.analogsignals]
event = [round(float(t), 6) for t in segment.events[0].times]
print(f"neo {neo.__version__}\npulse in A and B: {pulse} s\nits event: {event} s\nwarnings: {said}")
assert pulse == [2.1, 9.3], "changed: signals are on another clock"
assert event == [2.1], "changed: events are on another clock"
assert not said, "changed: neo warns"
print("as described")
PY
