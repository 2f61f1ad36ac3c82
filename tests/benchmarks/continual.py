"""Lifelong learning: what remedies keep of earlier tasks, and whether forgetting can be foreseen.

Fixed before the methods were written, and not changed since.

Tasks, in this order and in the reverse: delayed match (delay .3-.8 s, test .4 s, decision .5 s),
context-dependent integration (coherences .2 and .5), a memory of an angle that is asked for (delay
.3-.8 s), Ready-Set-Go (.4-.8 s, gain 1); steps of 20 ms; channels of all tasks brought to one
width, and one channel that names the task. 512 trials of each are learned, 256 others are scored.
Network: LeakyRNN of 96 units, tau .1 s that is learned. 60 epochs of Adam in batches of 32 for
each task, learning rate .003. Seeds 0 to 4, every one counts. Score: R2; kept: score at the end
over the score of a network of the same first weights that learned this task alone, as long. The
trivial baseline: an untrained network. Replay keeps 32 trials of each task. Settings of the
remedies (weight of the penalty, strength of the projection) were chosen with seeds 100 and above,
on trials that are in neither set.

Overlap: every seed without a remedy, the first order; 200 steps of the optimiser, evenly spread
over the three later tasks, the first earlier task. The overlap is formed before the step from
trials that were learned; what is forgotten is measured across the step on the trials that are
scored. Spearman correlation for each seed; beside it the cosine of the gradients and the share of
the step in the sensitive subspace, alone.

Decoding: contdata95, velocity from 95 units in bins of 100 ms, four quarters in time. From one
quarter to the next a fifth of the units (19 of 95, drawn anew with rng 7) are replaced: those
columns are permuted among themselves, so that each holds another cell. The last fifth of each
quarter is scored, the rest is learned, in windows of 2 s, of which the first .5 s do not count.
LeakyRNN of 64 units, tau .1 s; 30 epochs, batches of 32, learning rate .003; counts as square
roots; velocities over their sd in the first quarter. Seeds 0 to 4. Loss: R2 on the first quarter
just after it was learned, minus that after the last. Baseline: a network that is never trained
again (what it makes of the last quarter says why one trains).

Speed: LeakyRNN of 64 units, 2 tasks of the first set, batches of 32; steps of the second task
with each remedy and without, interleaved in one process, one thread, 7 rounds of 40 steps, median
over rounds of the ratio to the plain steps of the same round.
"""

import time
import warnings
from functools import cache

import numpy as np
import torch
from scipy import stats

import neurornn as nr
from neurornn._core.confidence import bootstrap_interval
from neurornn._core.errors import ConvergenceWarning
from neurornn.training.batches import as_training_data
from neurornn.training.continual_remedies import remedy_named, remember
from neurornn.training.objectives import objective_named
from neurornn.training.one import prepared
from neurornn.training.result import r2_where
from neurornn.training.run import Run
from neurornn.training.settings import FitSettings
from tests.benchmarks.decoding import contdata

SEEDS = (0, 1, 2, 3, 4)
N_TRAIN, N_TEST = 512, 256
N_HIDDEN, TAU = 96, 0.1
TRAINING = {"max_epochs": 60, "batch_size": 32, "learning_rate": 0.003}
N_KEPT = 32
N_STEPS = 200
SPEED_ROUNDS, SPEED_STEPS = 7, 40
DECODING = {"max_epochs": 30, "batch_size": 32, "learning_rate": 0.003}

REMEDIES = ("none", "ewc", "projection", "replay")
NAMES = ("delayed match", "context", "angle", "Ready-Set-Go")
TASK_COLUMNS = [
    "kept of earlier tasks, of learned alone (mean)", "sd over seeds", "[interval]", "worst task",
    "last task, of learned alone", "R2 alone", "R2 untrained", "gate", "s a seed",
]  # fmt: skip
OVERLAP_COLUMNS = [
    "steps",
    "Spearman, overlap",
    "cosine alone",
    "share in the subspace alone",
    "gate",
]
DECODING_COLUMNS = [
    "R2 of quarter 1, when learned", "after quarter 4", "lost", "sd", "of what plain loses",
    "R2 of quarter 4", "gate",
]  # fmt: skip
SPEED_COLUMNS = ["ms a step", "over plain (median)", "least to most", "gate"]
OPTIONS = {"penalty": 600.0, "projection": 3e-3, "n_kept": N_KEPT}


def _tasks(n, seed, reverse=False):
    """The four tasks, of one width, by name."""
    s = nr.simulate
    given = [
        s.delayed_match(n, delay=(0.3, 0.8), decision=0.5, test=0.4, rng=seed),
        s.context_integration(n, coherences=(0.2, 0.5), rng=seed + 1),
        s.ring_memory(n, delay=(0.3, 0.8), report="response", rng=seed + 2),
        s.ready_set_go(n, dt=0.02, interval=(0.4, 0.8), gains=(1.0,), rng=seed + 3),
    ]
    pairs = list(zip(NAMES, nr.training.cue_tasks(given), strict=True))
    return dict(reversed(pairs) if reverse else pairs)


def _model(tasks, n_hidden=N_HIDDEN, n_output=2, seed=SEEDS[0]):
    n_input = next(iter(tasks.values()))["inputs"].shape[2]
    return nr.models.LeakyRNN(n_input, n_hidden, n_output, dt=0.02, tau=TAU, rng=seed)


@cache
def _run(remedy, reverse):
    train, test = (_tasks(n, k, reverse) for n, k in ((N_TRAIN, 1000), (N_TEST, 2000)))
    begin = time.process_time()
    plain = remedy == "none"
    with warnings.catch_warnings():
        # The status says it, and the scores count.
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = nr.training.fit_sequence(
            _model(train), train, test=test, remedy=remedy, rng=0, n_seeds=len(SEEDS),
            alone=plain, n_overlap=-(-N_STEPS // 3) if plain and not reverse else 0,
            **OPTIONS, **TRAINING,
        )  # fmt: skip
    return found, (time.process_time() - begin) / len(SEEDS)


def _untrained(reverse):
    tasks = _tasks(N_TEST, 2000, reverse)
    model, found = _model(tasks).double().eval(), []
    for task in tasks.values():
        data = as_training_data(task, model)
        with torch.no_grad():
            found.append(r2_where(model(data.inputs).output, data.targets, data.mask))
    return found


def task_rows():
    """Every remedy, in both orders."""
    for reverse in (False, True):
        alone = _run("none", reverse)[0].seeds["alone"].values
        base = _untrained(reverse)
        for remedy in REMEDIES:
            found, seconds = _run(remedy, reverse)
            share = found.seeds["score"].values[:, -1] / alone
            earlier = share[:, :-1].mean(axis=1)
            low, high = bootstrap_interval(earlier, rng=0)
            yield [
                f"{remedy}, {'reverse' if reverse else 'first'} order",
                f"{100 * earlier.mean():.1f} %",
                f"{100 * earlier.std(ddof=1):.1f}",
                f"[{100 * low:.1f}, {100 * high:.1f}]",
                f"{100 * share[:, :-1].min():.1f} %",
                f"{100 * share[:, -1].mean():.1f} %",
                f"{alone.mean():.3f}",
                f"{np.mean(base):.3f}",
                "" if remedy == "none" else "best >= 90 % (goal 97 %)",
                f"{seconds:.0f}" + (" (with tasks alone)" if remedy == "none" else ""),
            ]


def overlap_rows():
    """What steps cost the first task, foreseen; one row for each seed."""
    found = _run("none", False)[0].overlap
    for k in SEEDS:
        at = found.isel(seed=k, task=0)
        lost = at["forgetting"].values[1:].ravel()[:N_STEPS]
        cells = []
        for name, sign in (("overlap", 1), ("cosine", -1), ("share", 1)):
            before = sign * at[name].values[1:].ravel()[:N_STEPS]
            cells.append(f"{stats.spearmanr(before, lost).statistic:.3f}")
        yield [f"seed {k}", str(len(lost)), *cells, ">= .7 (goal .9)"]


def _quarters():
    """Windows learned and scored of each quarter, units replaced from one to the next."""
    counts, velocity, *_ = contdata()
    rng, order = np.random.default_rng(7), np.arange(counts.shape[1])
    quarters = np.array_split(np.arange(len(counts)), 4)
    sd = velocity[quarters[0]].std(axis=0)
    learned, scored = {}, {}
    for k, at in enumerate(quarters):
        if k:
            some = rng.permutation(len(order))[: round(0.2 * len(order))]
            order[some] = order[np.roll(some, 1)]
        n = len(at) // 20
        x, y = (
            v[at][: 20 * n].reshape(n, 20, -1) for v in (np.sqrt(counts[:, order]), velocity / sd)
        )
        mask = np.zeros((n, 20), dtype=bool)
        mask[:, 5:] = True
        cut = n - n // 5
        learned[f"quarter {k + 1}"] = (x[:cut], y[:cut], mask[:cut])
        scored[f"quarter {k + 1}"] = (x[cut:], y[cut:], mask[cut:])
    return learned, scored


def decoding_rows():
    """What is lost of the first quarter."""
    learned, scored = _quarters()
    first = next(iter(learned.values()))
    plain = None
    for remedy in REMEDIES:
        model = nr.models.LeakyRNN(first[0].shape[2], 64, 2, dt=0.1, tau=TAU, rng=SEEDS[0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = nr.training.fit_sequence(
                model, learned, test=scored, remedy=remedy, rng=0, n_seeds=len(SEEDS),
                n_overlap=0, **OPTIONS, **DECODING,
            )  # fmt: skip
        score = found.seeds["score"].values
        lost = score[:, 0, 0] - score[:, -1, 0]
        if plain is None:
            plain = lost.mean()
            never = _never_again(found, scored)
        yield [
            remedy, f"{score[:, 0, 0].mean():.3f}", f"{score[:, -1, 0].mean():.3f}",
            f"{lost.mean():.3f} {_bounds_of(lost)}", f"{lost.std(ddof=1):.3f}",
            f"{lost.mean() / plain:.2f}", f"{score[:, -1, -1].mean():.3f}",
            "" if remedy == "none" else "best <= .5 (goal .25)",
        ]  # fmt: skip
    yield ["never trained again", f"{score[:, 0, 0].mean():.3f}", "", "0", "", "0", never, ""]


def _bounds_of(values):
    low, high = bootstrap_interval(values, rng=0)
    return f"[{low:.3f}, {high:.3f}]"


def _never_again(found, scored):
    scores = []
    for k in SEEDS:
        model = found.model_after("quarter 1", seed=k)
        data = as_training_data(scored["quarter 4"], model)
        with torch.no_grad():
            guess = model(data.inputs.float()).output.double()
        scores.append(r2_where(guess, data.targets, data.mask))
    return f"{np.mean(scores):.3f}"


def speed_rows():
    """Steps of the second task with each remedy and without, interleaved."""
    tasks = list(_tasks(N_TRAIN, 1000).values())[:2]
    model = nr.models.LeakyRNN(tasks[0]["inputs"].shape[2], 64, 2, dt=0.02, tau=TAU, rng=0)
    goal = objective_named("gaussian")
    first, second = (as_training_data(t, model) for t in tasks)
    fit = FitSettings(optimizer="adam", segment_duration=None, batch_size=32, max_epochs=60)
    fit, passes = prepared(model, second, None, fit)
    runs = {}
    for remedy in REMEDIES:
        memory = remember(remedy, {}, model, first.to(torch.float32), goal, OPTIONS, 0)
        hooks = remedy_named(remedy, memory, model, OPTIONS, 0)
        runs[remedy] = Run(model, second, None, goal, passes, fit, hooks)
    batches = torch.arange(len(second.inputs)).split(32)

    def steps(run, n):
        begin = time.perf_counter()
        for k in range(n):
            list(run._steps(run.train.pick(batches[k % len(batches)])))
        return 1000 * (time.perf_counter() - begin) / n

    for run in runs.values():
        steps(run, 5)
    took = np.array([
        [steps(run, SPEED_STEPS) for run in runs.values()] for _ in range(SPEED_ROUNDS)
    ])  # fmt: skip
    ratio = took / took[:, :1]
    gates = {"ewc": "<= 1.15 (goal 1.1)", "projection": "<= 1.3 (goal 1.1)"}
    for k, remedy in enumerate(REMEDIES):
        yield [
            remedy, f"{np.median(took[:, k]):.2f}", f"{np.median(ratio[:, k]):.3f}",
            f"{ratio[:, k].min():.3f} to {ratio[:, k].max():.3f}", gates.get(remedy, ""),
        ]  # fmt: skip
