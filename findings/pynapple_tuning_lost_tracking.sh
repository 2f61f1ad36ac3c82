#!/usr/bin/env bash
# pynapple 0.11.4: where tracking was lost, tuning curves give its spikes to the places before and after the loss.
#
# Frames of poor tracking are taken out by a mask, `position[likelihood > 0.9]`. One would expect the spikes fired
# meanwhile to be left out too. The mask keeps the time support, so `compute_tuning_curves` gives each of them to the
# nearest frame that is left, however far away, and takes the frame rate from the mean step, the loss included. The
# place where the animal was lost becomes a place field; all others fire too little.
#
# Seen: a cell at a steady 10 Hz, position lost from 20 to 80 of 100 s: 19, 4, 4, 4 and 19 Hz on a track of 5 bins.
# With NaN and dropna(), which does part the time support, it is 10 Hz throughout. Fails if that changes. What
# neurornn does about it: resample_to interpolates across no long pause, and its decoder of place leaves the bins out.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install --quiet pynapple==0.11.4 numpy==2.4.6
venv/bin/python - <<'PY'
import numpy as np
import pynapple as nap

time = np.arange(5000) / 50
track = np.tile(np.linspace(0, 1, 50), 100)
likelihood = np.where((time >= 20) & (time <= 80), 0.1, 1.0)
cell = nap.TsGroup({0: nap.Ts(np.arange(0.001, 100, 0.1))}, time_support=nap.IntervalSet(0, 100))

masked = nap.Tsd(time, track)[likelihood > 0.9]
dropped = nap.Tsd(time, np.where(likelihood > 0.9, track, np.nan)).dropna()
by_mask = nap.compute_tuning_curves(cell, masked, bins=5)
by_drop = nap.compute_tuning_curves(cell, dropped, bins=5)

print(f"pynapple {nap.__version__}")
for name, curve in (("mask", by_mask), ("dropna", by_drop)):
    print(f"{name}: {curve.values[0].round(1)} Hz, frames at {curve.attrs['fs']:.1f} Hz")
assert np.array_equal(masked.t, dropped.t)
assert np.allclose(by_mask.values[0], [19, 4, 4, 4, 19], atol=0.5), "changed: other rates with a mask"
assert np.allclose(by_drop.values[0], 10, atol=0.5), "changed: other rates with dropna"
print("as described")
PY
