#!/usr/bin/env bash
# neo 0.14.6: the last samples of a signal, signal[-n:], are dated before its start, and signal[::2] keeps its rate.
#
# Slices of an AnalogSignal carry their own t_start: signal[3:] of 10 samples at 10 Hz starts at 0.3 s, as it
# should. One would expect the baseline at the end of a trial, signal[-3:], to start at 0.7 s. The number of the
# first sample is not counted from the end, so it starts at -0.3 s. Thinning by signal[::2] leaves the sampling rate
# at 10 Hz, so 1 s of recording lasts 0.5 s; signal[::2, :] does halve the rate. None of them warns.
#
# Seen: t_start -0.3 s; 10 Hz and an end at 0.5 s; with the comma 5 Hz and 1 s. Fails if that changes.
# What neurornn does about it: nothing can be told from the result, as it takes t_start and sampling_rate of a neo
# signal as they stand. Use signal.time_slice, or slice the recording that nr.data.from_neo made of the whole signal.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install --quiet neo==0.14.6 numpy==2.4.6
venv/bin/python - <<'PY'
import neo
import numpy as np
import quantities as pq

signal = neo.AnalogSignal(np.arange(10.0)[:, None], units="mV", sampling_rate=10 * pq.Hz)
forward, end, thin, comma = signal[3:], signal[-3:], signal[::2], signal[::2, :]


def told(x):
    return x.magnitude[:, 0].tolist(), *(round(float(v), 9) for v in (x.t_start, x.sampling_rate, x.t_stop))


print(f"neo {neo.__version__}: samples, t_start (s), rate (Hz), t_stop (s)")
for name, part in (("[3:]", forward), ("[-3:]", end), ("[::2]", thin), ("[::2, :]", comma)):
    print(name, *told(part))
assert told(forward) == ([3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0], 0.3, 10.0, 1.0)
assert told(end) == ([7.0, 8.0, 9.0], -0.3, 10.0, 0.0), "changed: the end of a signal keeps its time"
assert told(thin) == ([0.0, 2.0, 4.0, 6.0, 8.0], 0.0, 10.0, 0.5), "changed: a thinned signal keeps its duration"
assert told(comma) == ([0.0, 2.0, 4.0, 6.0, 8.0], 0.0, 5.0, 1.0)
print("as described")
PY
