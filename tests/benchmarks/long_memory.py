"""Peak memory and exactness of the gradient over 100,000 steps, each way in a fresh process."""

import json
import subprocess
import sys
from collections.abc import Iterator

STEPS, TRIALS, HIDDEN, N_INPUT, SEGMENT = 100_000, 8, 64, 2, 1000
COLUMNS = [
    "MB over base", "gate", "seconds", "float32 gradient off by", "float64 against whole", "gate",
]  # fmt: skip

SCRIPT = """
import json, resource, sys, time
import numpy as np, torch
torch.set_num_threads(1)
import neurornn as nr
from neurornn.training.batches import TrainingData
from neurornn.training.passes import segment_gradient
how, folder, kind = sys.argv[1], sys.argv[7], getattr(torch, sys.argv[8])
steps, trials, hidden, n_input, segment = map(int, sys.argv[2:7])
model = nr.models.LeakyRNN(n_input, hidden, 1, dt=0.001, tau=0.05, rng=0).to(kind)
draw = torch.Generator().manual_seed(0)

def summed(output, data):
    return torch.where(data.mask, 0.5 * (output - data.targets) ** 2, 0.0).sum()

def gradient(data):
    if how == "segments":
        segment_gradient(model, data, summed, segment)
    else:
        summed(model(data.inputs).output, data).backward()

def data_of(n):
    x = torch.randn(trials, n, n_input, generator=draw)
    y = torch.randn(trials, n, 1, generator=draw)
    return TrainingData(x.to(kind), y.to(kind), torch.ones(trials, n, 1, dtype=torch.bool))

gradient(data_of(20))  # compiled, pools filled
model.zero_grad()
data = data_of(steps)
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
begin = time.perf_counter()
gradient(data)
took = time.perf_counter() - begin
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = torch.cat([p.grad.flatten() for p in model.parameters()])
np.save(f"{folder}/{how}-{sys.argv[8]}.npy", found.numpy())
print(json.dumps({"mb": (peak - base) / 1024, "s": took}))
"""


def rows() -> Iterator[list[str]]:
    """Exact segments, and all states held."""
    import tempfile

    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        found, gradients = {}, {}
        for kind in ("float32", "float64"):
            for how in ("segments", "whole"):
                arguments = [str(n) for n in (STEPS, TRIALS, HIDDEN, N_INPUT, SEGMENT)]
                done = subprocess.run(
                    [sys.executable, "-c", SCRIPT, how, *arguments, folder, kind],
                    capture_output=True, text=True, check=True,
                )  # fmt: skip
                found[how, kind] = json.loads(done.stdout)
                gradients[how, kind] = np.load(f"{folder}/{how}-{kind}.npy").astype(float)
        truth = gradients["whole", "float64"]

        def off(how: str, kind: str) -> str:
            # Relative to the whole vector: single entries may pass through 0.
            found = gradients[how, kind] - truth
            return f"{np.linalg.norm(found) / np.linalg.norm(truth):.1e}"

        for how, name in (("segments", f"segments of {SEGMENT} steps"), ("whole", "all states")):
            mine = how == "segments"
            yield [
                name,
                f"{found[how, 'float32']['mb']:.0f}",
                "<= 100" if mine else "",
                f"{found[how, 'float32']['s']:.1f}",
                off(how, "float32"),
                off(how, "float64") if mine else "",
                "<= 1e-6" if mine else "",
            ]
