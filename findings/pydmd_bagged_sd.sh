#!/usr/bin/env bash
# PyDMD 2025.8.1: eigenvalues_std of BOPDMD depends on the size of the bags: .8 of the truth at .6, a third at .9.
#
# One would expect the spread over bags of a bootstrap to be the standard error of the fit, whatever the size of a bag.
# Bags are drawn without replacement, so they share frames with one another and with the whole: their spread is
# sqrt(1 / trial_size - 1) of the standard error (the jackknife that deletes many, Shao & Wu 1989): too small by a factor
# of 1.2 at the default of 0.6, of 3 at 0.9. An interval of 1.96 sd around a real eigenvalue covers .89 or .49 instead of
# .95. amplitudes_std, modes_std and the variance of forecasts are made of the same bags.
#
# Seen: one real eigenvalue and a pair in 5 channels, white noise; the sd over 200 recordings that differ in their noise,
# and the mean eigenvalues_std of 8 recordings with 60 bags each. Fails if that changes. What neurornn does about it:
# koopman.dmd(method="bop") divides by that factor; fit_modes has standard errors without bags, in milliseconds.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install --quiet pydmd==2025.8.1 numpy==2.4.6 scipy==1.17.1
MPLBACKEND=Agg OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 venv/bin/python - <<'PY'
import warnings
from importlib.metadata import version

import numpy as np
from pydmd import BOPDMD

# Noise never lets the residual fall below its default tolerance; every fit says so.
warnings.filterwarnings("ignore", message="Initial trial of Optimized DMD failed to converge")
rng = np.random.default_rng(0)
np.random.seed(0)
rates = np.array([-0.5, -0.7 + 5j])
shape = rng.standard_normal((2, 5, 2)) @ [1, 1j]
shape[0] = shape[0].real
time = np.arange(100) * 0.05
clean = (np.exp(np.outer(time, rates)) @ shape).real


def fitted(**options):
    noisy = clean + 0.05 * rng.standard_normal(clean.shape)
    found = BOPDMD(svd_rank=3, eig_sort="imag", **options).fit(noisy.T, time)
    order = np.argsort(found.eigs.imag)
    return found.eigs[order], found


many = np.array([fitted()[0] for _ in range(200)])
true = many.std(axis=0)
assert np.allclose(many.mean(axis=0), [rates[1].conj(), rates[0], rates[1]], atol=5 * true.max() / np.sqrt(200))
print(f"pydmd {version('pydmd')}: sd of three eigenvalues over 200 recordings: {true.round(4)} /s")
for size in (0.6, 0.9):
    told = np.mean([fitted(num_trials=60, trial_size=size)[1].eigenvalues_std for _ in range(8)], axis=0)
    factor = np.sqrt(1 / size - 1)
    ratio = told / true
    print(f"trial_size {size}: eigenvalues_std {told.round(4)}, {ratio.round(2)} of it; sqrt(1/size - 1) = {factor:.2f}")
    # 200 recordings tell an sd to 5 %, the bags of 8 recordings to as much.
    assert np.allclose(ratio, factor, rtol=0.25), "changed: the spread over bags"
print("as described")
PY
