#!/usr/bin/env bash
# NeuralRNN 0.4.0: GolubFixedPointFinder searches from no negative state, whatever states it is given.
#
# A tanh network of two units holds a bit in each and rests at -0.958 or 0.958. One would expect the finder, given a run
# that ends at (-0.958, -0.958), to find that point: every start lies on the way to it. But where `init_states` come,
# noise is added and what is below zero is set to zero, as if states were rates; the docstring speaks of the noise alone.
# So nearly all starts of that run are (0, 0), and the origin alone is found, which the run left at once. The same run
# with the signs of all states turned round, of a network that is its own mirror image, finds (0.958, 0.958).
# Where no candidate passes tol_q, the best one comes back as a FixedPoint, with is_stable, like all others.
#
# Seen: (0, 0) alone from the run, and from its last 20 states, all at rest; (0.958, 0.958) from its mirror image. After 3
# iterations from (0.6, 0.6) one "stable" point at which no point is, q a million times above tol_q. Fails if that
# changes. What neurornn does about it: starts are used as they come, and a state is a point only where q < 1e-24.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
# torch by the exact version: the plain name may pull gigabytes of CUDA.
venv/bin/pip install --quiet torch==2.13.0 numpy==2.4.6 scipy==1.17.1 matplotlib==3.11.2 tqdm==4.70.1 \
    gymnasium==1.4.0 safetensors==0.8.0
venv/bin/pip install --quiet --no-deps neuralrnn==0.4.0
MPLBACKEND=Agg venv/bin/python - <<'PY'
import neuralrnn
import numpy as np
import torch
from neuralrnn.analysis.fixed_points import GolubFixedPointFinder
from neuralrnn.models.ctrnn.configuration_ctrnn import CTRNNConfig
from neuralrnn.models.ctrnn.modeling_ctrnn import CTRNNModel

model = CTRNNModel(CTRNNConfig(input_dim=1, latent_dim=2, output_dim=1, alpha=0.2, activation="tanh"))
with torch.no_grad():
    model.h2h.weight.copy_(2 * torch.eye(2))
    for bias in (model.h2h.bias, model.input2h.bias):
        bias.zero_()
none = torch.zeros(1)


def run(start, n=100):
    states = [torch.tensor([start])]
    with torch.no_grad():
        for _ in range(n):
            states.append(model.recurrence(none[None], states[-1]))
    return torch.cat(states).numpy()


def found(states, **options):
    finder = GolubFixedPointFinder(n_candidates=50, seed=0, **options)
    points = finder.find(model, task_input=none, init_states=states)
    return [([round(float(x), 2) + 0.0 for x in p.z], "stable" if p.is_stable else "unstable") for p in points], points


below = run([-0.3, -0.2])
print(f"neuralrnn {neuralrnn.__version__}, torch {torch.__version__}")
print("the run ends at", below[-1].round(3))
told = [found(states)[0] for states in (below, below[-20:], -below)]
for name, points in zip(("the run", "its last 20 states", "its mirror image"), told):
    print(f"from {name}:", *points)
early, (only,) = found(np.full((50, 2), 0.6), n_iters=3, noise_scale=0.0)
q = 0.5 * only.speed**2
print(f"after 3 iterations: {early}, q = {q:.1e}")

assert np.allclose(below[-1], -0.9575, atol=1e-3) and (below < 0).all()
assert told[0] == told[1] == [([0.0, 0.0], "unstable")], "changed: other points from a run below zero"
assert ([0.96, 0.96], "stable") in told[2]
assert len(early) == 1 and early[0][1] == "stable" and q > 1e5 * 1e-9, "changed: what passes no tolerance"
print("as described")
PY
