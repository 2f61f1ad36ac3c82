#!/usr/bin/env bash
# nstat-toolbox 0.6.0: Analysis.ksdiscrete rescales every interval one bin early, so that a model which holds is rejected.
#
# With discrete probabilities p and q = -log(1 - p), an interval from a spike in bin i to the next in bin j is rescaled to
# q[i+1] + ... + q[j-1] and, of bin j, -log(1 - r p[j]), r uniform (Haslinger, Pipa & Brown 2010). ksdiscrete counts bins
# from 0 and slices as if they were counted from 1: q[i] + ... + q[j-2] and a share of bin j-1. Where p changes from bin
# to bin, which is what a refractory period or a fast stimulus makes it do, these are the probabilities of other bins.
# Where p is 0 in the bin before a spike it raises ZeroDivisionError. computeKSStats calls the same function.
#
# Seen: one interval by hand, three ways; and 200,000 bins drawn from their own probabilities, which are high in every
# fifth bin: ksdiscrete rejects them at once, nstat's own corrected_rescaled on the same arrays does not. Fails if that
# changes. What neurornn does about it: spikes.time_rescaling takes the bins after a spike up to that of the next.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install --quiet nstat-toolbox==0.6.0 numpy==2.4.6 scipy==1.17.1
MPLBACKEND=Agg OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 venv/bin/python - <<'PY'
from importlib.metadata import version

import numpy as np
from nstat.analysis import Analysis
from nstat.extras.spatial.marked_gof import corrected_rescaled
from scipy import stats

print(f"nstat-toolbox {version('nstat-toolbox')}")


class Fixed:
    """Gives the same share of a bin each time."""

    def uniform(self):
        return 0.5


def by_formula(p, i, j, r):
    return -np.log(1 - p[i + 1 : j]).sum() - np.log(1 - r * p[j])


# Spikes in bins 1 and 4; the bin after a spike cannot fire.
p = np.array([0.1, 0.5, 0.0, 0.2, 0.4, 0.0])
spikes = np.array([0, 1, 0, 0, 1, 0])
told = Analysis.ksdiscrete(p, spikes, "spiketrain", random_values=[0.5])[0][0]
same = Analysis.ksdiscrete(p, [1, 4], "spikeind", random_values=[0.5])[0][0]
other = -np.log(corrected_rescaled(np.flatnonzero(spikes), p, Fixed())[1])
early = by_formula(np.concatenate([[0.0], p]), 1, 4, 0.5)
print(f"by the formula {by_formula(p, 1, 4, 0.5):.4f}, corrected_rescaled {other:.4f}, ksdiscrete {told:.4f}")
print(f"by the formula with all bins one later, which is what ksdiscrete does: {early:.4f}")
assert np.isclose(other, by_formula(p, 1, 4, 0.5)), "changed: corrected_rescaled"
assert np.isclose(told, early) and np.isclose(same, early), "changed: ksdiscrete takes other bins"
assert not np.isclose(told, other), "changed: both agree"

try:
    Analysis.ksdiscrete([0.1, 0.5, 0.0, 0.4], [0, 1, 0, 1], "spiketrain", random_values=[0.5])
except ZeroDivisionError as error:
    print(f"p of 0 in the bin before a spike: {type(error).__name__}: {error}")
else:
    raise AssertionError("changed: a p of 0 before a spike is taken")

rng = np.random.default_rng(0)
p = np.where(np.arange(200_000) % 5 == 0, 0.3, 0.01)
spikes = rng.random(len(p)) < p
draws = rng.random(spikes.sum() - 1)
z = Analysis.ksdiscrete(p, spikes.astype(float), "spiketrain", random_values=draws)[0]
u = corrected_rescaled(np.flatnonzero(spikes), p, rng)[1:]
found = {"ksdiscrete": stats.kstest(z, "expon"), "corrected_rescaled": stats.kstest(u, "uniform")}
for name, test in found.items():
    print(f"{name}: {spikes.sum()} spikes drawn from p itself, KS {test.statistic:.3f}, p-value {test.pvalue:.2g}")
assert found["ksdiscrete"].pvalue < 1e-100, "changed: ksdiscrete no longer rejects"
assert found["corrected_rescaled"].pvalue > 0.01, "changed: corrected_rescaled rejects"
print("as described")
PY
