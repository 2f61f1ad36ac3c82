#!/usr/bin/env bash
# PyDMD 2025.8.1: the eigenvalues of HAVOK put 20 Hz, sampled at 50 per s, at 4.7 Hz; they are sines of the truth.
#
# HAVOK is given the time between frames, and `eigs` are per second. One would expect a pure tone to come back at its
# frequency. Derivatives are central differences of two frames, so a mode exp(rate t) comes back as sinh(rate dt) / dt: a
# frequency f as sin(2 pi f dt) / (2 pi dt), 6 % too low at a tenth of the sampling rate, a third too low at a fifth. No
# frequency above 1 / (2 pi dt) can be told at all, and above a quarter of the sampling rate the order turns round: 20 Hz
# and 5 Hz read the same, with no warning. Decays shrink by the cosine, so a time constant comes out too long.
#
# Seen: tones of 1 to 20 Hz at 50 per s, 40 s, hardly any noise, 20 delays, rank 3 of which one is the forcing.
# Fails if that changes. What neurornn does about it: koopman.dmd(method="havok") takes asinh(eigenvalue dt) / dt, which
# is exact up to a quarter of the sampling rate, and marks modes near that as not_resolvable.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install --quiet pydmd==2025.8.1 numpy==2.4.6 scipy==1.17.1
MPLBACKEND=Agg venv/bin/python - <<'PY'
from importlib.metadata import version

import numpy as np
from pydmd import HAVOK

dt = 0.02
time = np.arange(2000) * dt
noise = 1e-6 * np.random.default_rng(0).standard_normal(len(time))
told = {}
print(f"pydmd {version('pydmd')}, {1 / dt:g} samples per s: true frequency, that of eigs, sine of the true one (Hz)")
for true in (1.0, 5.0, 10.0, 20.0):
    havok = HAVOK(svd_rank=3, delays=20).fit(np.cos(2 * np.pi * true * time) + noise, dt)
    told[true] = np.abs(havok.eigs.imag).max() / (2 * np.pi)
    sine = np.sin(2 * np.pi * true * dt) / (2 * np.pi * dt)
    print(f"{true:5.1f} {told[true]:7.3f} {sine:7.3f}")
    # The first and the last frame have a derivative of another kind.
    assert np.isclose(told[true], sine, rtol=5e-3), "changed: eigs are other functions of the frequency"
assert abs(told[5.0] - told[20.0]) < 0.05, "changed: 5 and 20 Hz are told apart"
print("as described")
PY
