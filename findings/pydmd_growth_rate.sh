#!/usr/bin/env bash
# PyDMD 2025.8.1: growth_rate of DMD is above 0 for modes that decay: it is Re(eigenvalue) / dt, without the logarithm.
#
# An eigenvalue of DMD is the factor by which a mode changes from frame to frame. `frequency` takes its logarithm, as it
# should. One would expect `growth_rate`, beside it and called the Floquet values, to do so too: -0.5 /s for a mode that
# decays with a time constant of 2 s. It is the real part of the factor over dt, so nearly all modes of data sampled fast
# enough seem to grow by a factor e in every frame, and a mode that turns by more than a quarter of a turn a frame seems
# to decay, whatever it does. HankelDMD and other classes on DMDBase inherit it.
#
# Seen at 50 frames per s, without noise: rates -0.5 and -2 /s are told as 49.5 and 44.7 /s, frequencies are right.
# Fails if that changes. What neurornn does about it: koopman.dmd takes the eigenvalues of the object, with the
# logarithm, and its table has rate and time_constant. Plots made of growth_rate should be made again.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install --quiet pydmd==2025.8.1 numpy==2.4.6 scipy==1.17.1
MPLBACKEND=Agg venv/bin/python - <<'PY'
from importlib.metadata import version

import numpy as np
from pydmd import DMD

dt = 0.02
rates = np.array([-0.5, -2 + 6j * np.pi])
shape = np.random.default_rng(0).standard_normal((2, 3, 2)) @ [1, 1j]
shape[0] = shape[0].real
time = np.arange(200) * dt
states = (np.exp(np.outer(time, rates)) @ shape).real

dmd = DMD(svd_rank=3).fit(states.T)
for clock in (dmd.original_time, dmd.dmd_time):
    clock["dt"] = dt
order = np.argsort(np.abs(dmd.frequency))
told, frequency, eigenvalues = (x[order] for x in (dmd.growth_rate, dmd.frequency, dmd.eigs))
with_log = np.log(eigenvalues).real / dt
print(f"pydmd {version('pydmd')}: states of 3 channels at {1 / dt:g} per s, rates -0.5 and -2 /s, frequencies 0 and 3 Hz")
print("frequency (Hz)", frequency.round(3))
print("growth_rate", told.round(2))
print("log|eigenvalue| / dt (1/s)", with_log.round(3))
assert np.allclose(np.abs(frequency), [0, 3, 3]) and np.allclose(with_log, [-0.5, -2, -2])
assert np.allclose(told, eigenvalues.real / dt) and (told > 40).all(), "changed: growth_rate"
print("as described")
PY
