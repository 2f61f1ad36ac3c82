#!/usr/bin/env bash
# neo 0.14.6: slow channels of a Plexon .plx lose their start, their pauses and their last block, and the gain is off.
#
# Each block of a slow channel carries its time, as spikes and events do, and the header states the bits of slow and
# of spike samples apart. One would expect field potentials on the clock of the events, in mV. neo starts them at 0 s,
# joins blocks across pauses, leaves the last block 0 when all is read, and scales by the bits of the spike samples.
#
# Seen: 1 kHz, blocks from 0.25 to 0.45 s and, after a pause, from 1.05 to 1.25 s; 16 bits, and 12 for spikes. The
# event at 1.05 s is right; the pulse recorded with it is at 0.2 s; the last 100 samples of 400 are 0; a sample that
# stands for 0.0153 mV is 0.244, without a unit. Fails if that changes. What neurornn does about it: it reads .plx
# files itself, with the times and gains that they state.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install --quiet neo==0.14.6 numpy==2.4.6
venv/bin/python - <<'PY'
import struct
from pathlib import Path

import neo
import numpy as np

CLOCK = 40000


def block(kind, tick, channel, samples=()):
    head = struct.pack("<HHIHHHH", kind, 0, tick, channel, 0, int(len(samples) > 0), len(samples))
    return head + np.asarray(samples, "<i2").tobytes()


# Version 106; one spike channel, one of events, one slow one of 1 kHz with gains of 10 and 1000.
header = struct.pack("<4si128s4i2i6i2i", b"PLEX", 106, b"", CLOCK, 1, 1, 1, 32, 8, 2024, 5, 6, 10, 0, 0, 0, CLOCK)
header += struct.pack("<d4B3H", 1.25 * CLOCK, 1, 1, 12, 16, 3000, 5000, 1000)
header = header.ljust(256, b"\0") + bytes(4 * (650 + 650 + 512))
header += struct.pack("<32s32s5i", b"sig001", b"", 1, 0, 0, 0, 1).ljust(1020, b"\0")
header += struct.pack("<32si", b"Event01", 1).ljust(296, b"\0")
header += struct.pack("<32s5i", b"AD01", 0, 1000, 10, 1, 1000).ljust(296, b"\0")
level = np.full(100, 1000)
pulse = np.concatenate([[2000], level[1:]])
blocks = [block(5, 10000, 0, level), block(5, 14000, 0, level)]
blocks += [block(4, 42000, 1), block(5, 42000, 0, pulse), block(5, 46000, 0, level)]
Path("session.plx").write_bytes(header + b"".join(blocks))

segment = neo.io.PlexonIO("session.plx").read_segment()
signal = segment.analogsignals[0]
x = signal.magnitude[:, 0]
event, at = float(segment.events[0].times[0]), float(signal.times[np.argmax(x)])
true = 1000 * 5000 / (2**15 * 10 * 1000)
print(f"neo {neo.__version__}\nevent at {event} s, pulse at {at} s, first sample at {signal.t_start}")
print(f"first value {x[0]:.4g} {signal.units}, stated {true:.4g} mV; last block: {np.unique(x[300:])}")
assert event == 1.05
assert float(signal.t_start) == 0 and round(at, 9) == 0.2, "changed: slow channels are on the clock"
assert x.shape == (400,) and np.all(x[:200] > 0) and not x[300:].any(), "changed: the last block is read"
assert np.isclose(x[0], 16 * true), "changed: another gain"
print("as described")
PY
