#!/usr/bin/env bash
# pynapple 0.11.4: bins that do not fit an epoch make the rate drop at its end, or leave spikes out.
#
# `count(bin_size, epochs)` lays bins from the start of each epoch. Where they do not fit, one would expect the
# partial bin to be left out, or marked. If half of it or more lies in the epoch it is counted and stamped as a whole
# bin: rates from count / bin_size fall at the end of every trial. If it is less than half, it is left out with its
# spikes. A spike exactly on the end of the last whole bin is inside the epoch, which is closed, but in no bin; NumPy's
# histogram has it in the last. There is no warning, and the number of bins does not tell which of these happened.
#
# Seen: a steady 100 Hz in bins of 0.25 s is 100, 100, 100, 60 Hz in an epoch of 0.9 s, and 10 of 110 spikes are
# missing in one of 1.1 s. Of spikes at 1 and 5 s in (0, 5), both kept by restrict, bins of 1 s hold one. Fails if
# that changes. What neurornn does about it: bin_spikes drops partial bins and says how many spikes fell into no bin
# (attrs spikes_outside); a spike on the end counts by default, as bins are (a, b]. In counts that pynapple made, the
# bin that reaches beyond the support becomes NaN.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install --quiet pynapple==0.11.4 numpy==2.4.6
venv/bin/python - <<'PY'
import numpy as np
import pynapple as nap

steady = nap.Ts(np.arange(0.005, 2, 0.01))
rate, missing = {}, {}
for end in (0.9, 1.1):
    epoch = nap.IntervalSet(0, end)
    counts = steady.count(0.25, epoch).values
    rate[end] = (counts / 0.25).tolist()
    missing[end] = len(steady.restrict(epoch)) - int(counts.sum())
epoch = nap.IntervalSet(0, 5)
kept = nap.Ts(np.array([1.0, 5.0])).restrict(epoch)
counts = kept.count(1.0, epoch).values.tolist()

print(f"pynapple {nap.__version__}\nrates: {rate}\nspikes in no bin: {missing}")
print(f"spikes kept: {kept.t.tolist()}, counts: {counts}")
assert rate[0.9] == [100.0, 100.0, 100.0, 60.0], "changed: a partial bin is no longer counted as a whole one"
assert missing == {0.9: 0, 1.1: 10}, "changed: the spikes of a short rest are counted"
assert kept.t.tolist() == [1.0, 5.0]
assert counts == [0, 1, 0, 0, 0], "changed: a spike on the end of the epoch is counted"
assert np.histogram(kept.t, np.arange(6))[0].tolist() == [0, 1, 0, 0, 1]
print("as described")
PY
