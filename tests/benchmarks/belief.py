"""Hidden state as belief: tasks whose exact belief is known, and what networks make of them.

Fixed before the methods were written, and not changed since.

Tasks, each with the package's own default settings: the tiger (listening right in 85 of 100, -1 a
step, 10 and -100, discount 0.95), foraging on two patches that deplete and grow again unseen, and
sepsis with four hidden levels of severity, two treatments, vitals and labs that are often missing.

Networks: GRU of 32 units for tiger and foraging, of 48 for sepsis, trained by `fit_policy` with
its defaults, rng 0 to 4 (seed of the weights the same number). Every seed counts: none is left out
for having learned badly. Settings of `fit_policy` were chosen with rng 100 and above.

Return: mean discounted return of 4,000 episodes that nobody trained on, each action the most
probable one; against the optimum of the belief process, solved on a grid, which bounds the
optimum from above. Beside it: the best of all constant actions, and for sepsis policies of the
same size on the last observation and on a window of 5.

Belief: `compare.belief` on 300 episodes played by the policy, drawn anew, split in two halves by
episode; ridge regression and a network of one hidden layer to log odds of the exact belief, cut at
probabilities of 0.001; windows of 1, 5 and 20 observations, an LSTM that learned to predict, an
untrained network of the same size, and one trained on episodes whose steps were shuffled.

Speed: sepsis, 1,000 episodes at once, against a loop over one environment in plain Python and
NumPy with the exact belief, written as gymnasium's tutorials write one, and against a loop over
`SepsisTask` itself, interleaved in one process, one thread; median of 5 repeats.
"""

import time

import numpy as np

import neurornn as nr
from neurornn.training.policy_play import drawn_seeds

SEEDS = (0, 1, 2, 3, 4)
N_EPISODES = 4000
N_READ = 300
HIDDEN = {"tiger": 32, "foraging": 32, "sepsis": 48}
SPEED_ENVS, SPEED_REPEATS = 1000, 5

TASKS = {"tiger": "TigerTask", "foraging": "ForagingTask", "sepsis": "SepsisTask"}
TASK_COLUMNS = [
    "seeds", "optimum, from above", "best constant action", "return, % of the optimum (mean)",
    "(worst seed)", "R2 of log odds, linear (mean)", "(worst seed)", "window of 1", "window of 5",
    "window of 20", "LSTM observer", "untrained", "p", "shuffled time", "p", "s a seed",
]  # fmt: skip
SEPSIS_COLUMNS = [
    "question", "AUROC, exact", "read from the state", "difference", "window of 1", "window of 5",
    "window of 20", "LSTM observer", "untrained", "p", "shuffled time", "p", "R2 of log odds",
    "error of calibration",
    "the same of the exact belief", "R2 of the next observation", "what history adds to it",
]  # fmt: skip
POLICY_COLUMNS = ["seeds", "return (mean)", "% of the optimum (mean)", "(worst seed)", "s a seed"]
SPEED_COLUMNS = ["us for a step of an episode", "against the loop in Python", "against SepsisTask"]


def network(task, n_hidden, seed):
    """The network of a policy."""
    return nr.models.GRU(
        **nr.training.policy_sizes(task), n_hidden=n_hidden, dt=task.dt,
        time_unit=task.time_unit, rng=seed,
    )  # fmt: skip


def trained(model, task, seed):
    """Policy, and CPU time in s."""
    begin = time.process_time()
    found = nr.training.fit_policy(model, task, rng=seed, n_evaluation=N_EPISODES)
    return found, time.process_time() - begin


def constant_returns(task):
    """Mean return of each constant action on episodes of their own, expected given the belief."""
    found = []
    for action in range(task.n_actions):
        run = task.many(N_EPISODES)
        run.reset(drawn_seeds(77, action, n=N_EPISODES))
        total, factor = np.zeros(N_EPISODES), 1.0
        taken = np.full(N_EPISODES, action)
        while run.active.any():
            expected = task.expected_reward(run.belief, taken)
            total += factor * np.where(run.active, expected, 0.0)
            run.step(taken)
            factor *= task.discount
        found.append(float(total.mean()))
    return found


def _said(value, ci, digits=3):
    low, high = np.ravel(ci)
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _row(name, policies, seconds, task, table):
    shares = np.array([p.mean_return / p.ceiling for p in policies])
    t = table.parameters
    each = t["linear_r2"].min("question")
    worst = [
        float(nr.compare.belief(p.model, task, n_episodes=N_READ, nonlinear=False, rng=50 + k)
              .parameters["linear_r2"].sel(source="network").min())
        for k, p in enumerate(policies)
    ]  # fmt: skip
    cells = [
        str(len(policies)),
        f"{policies[0].ceiling:.3f}",
        f"{max(constant_returns(task)):.3f}",
    ]
    cells += [f"{100 * shares.mean():.1f}", f"{100 * shares.min():.1f}"]
    cells += [f"{float(each.sel(source='network')):.3f}", f"{min(worst):.3f}"]
    cells += [
        f"{float(each.sel(source=s)):.3f}"
        for s in ("window of 1", "window of 5", "window of 20", "LSTM observer")
    ]
    for source in ("untrained", "shuffled time"):
        cells += [
            f"{float(each.sel(source=source)):.3f}",
            f"{float(t['p_value'].sel(source=source)):.2g}",
        ]
    return [name, *cells, f"{np.mean(seconds):.0f}"]


def _solved(name, seeds=SEEDS):
    task = getattr(nr.simulate, TASKS[name])(rng=0)
    found = [trained(network(task, HIDDEN[name], k), task, k) for k in seeds]
    policies, seconds = zip(*found, strict=True)
    table = nr.compare.belief(
        [p.model for p in policies], task, n_episodes=N_READ, nonlinear=name == "sepsis", rng=0
    )
    return task, policies, seconds, table


def task_rows():
    """Tiger and foraging: return and belief, over seeds."""
    for name in ("tiger", "foraging"):
        task, policies, seconds, table = _solved(name)
        yield _row(name, policies, seconds, task, table)


def sepsis_rows():
    """Sepsis: what is read of the severity, and what the policies gain."""
    task, policies, seconds, table = _solved("sepsis")
    yield from _sepsis_questions(table)
    yield from _policy_rows(task, policies, seconds)


def _sepsis_questions(table):
    t = table.parameters
    for question in t["question"].values.tolist():
        at = t.sel(question=question)
        own = at.sel(source="network")
        exact, read = float(at["exact_auroc"]), float(own["auroc"])
        cells = [_said(exact, at["exact_auroc_ci"]), _said(read, own["auroc_ci"])]
        cells += [f"{exact - read:.3f}"]
        cells += [
            f"{float(at['auroc'].sel(source=s)):.3f}"
            for s in ("window of 1", "window of 5", "window of 20", "LSTM observer")
        ]
        for s in ("untrained", "shuffled time"):
            cells += [f"{float(at['auroc'].sel(source=s)):.3f}"]
            cells += [f"{float(t['p_value'].sel(source=s)):.2g}"]
        cells += [_said(float(own["linear_r2"]), own["linear_r2_ci"])]
        cells += [f"{float(own['calibration_error']):.3f}"]
        cells += [f"{float(at['exact_calibration_error']):.3f}"]
        cells += [f"{float(own['future_r2']):.4f} of {float(t['exact_future_r2']):.4f}"]
        cells += [_said(float(own["history_gain"]), own["history_gain_ci"], 4)]
        yield ["belief", question, *cells]


def _policy_rows(task, policies, seconds):
    width = len(SEPSIS_COLUMNS) - 4

    def row(name, found, cpu):
        got = np.array([p.mean_return for p in found])
        share = 100 * got / found[0].ceiling
        said = f"{len(found)} seeds: return {got.mean():.3f} of {found[0].ceiling:.3f}"
        return [
            name, said, f"{share.mean():.1f} %", f"worst {share.min():.1f} %",
            f"{np.mean(cpu):.0f} s a seed", *[""] * width,
        ]  # fmt: skip

    yield row("policy, GRU", policies, seconds)
    sizes = nr.training.policy_sizes(task)
    clock = {"dt": task.dt, "time_unit": task.time_unit}
    kinds = {
        "policy, last observation": lambda k: nr.models.MemorylessMLP(
            **sizes, n_hidden=HIDDEN["sepsis"], rng=k, **clock
        ),
        "policy, window of 5": lambda k: nr.models.CausalCNN(
            **sizes, n_hidden=HIDDEN["sepsis"], context=5 * task.dt, rng=k, **clock
        ),
    }
    for name, made in kinds.items():
        found = [trained(made(k), task, k) for k in SEEDS]
        yield row(name, *zip(*found, strict=True))
    yield ["constant actions", f"best {max(constant_returns(task)):.3f}", *[""] * (width + 3)]


class PlainSepsis:
    """The same process as gymnasium's tutorials write one: one patient, NumPy, exact belief."""

    def __init__(self, task):
        self.transition, self.means, self.sds = task.transition, task._means, task._sds
        self.presence, self.initial = task._presence, task.initial_belief
        self.n_steps = task.n_steps

    def reset(self, seed=None):
        self.rng = np.random.default_rng(seed)
        self.state = self.rng.choice(6, p=self.initial)
        self.belief, self.t = self.initial.copy(), 0
        return self._observe(), {"belief": self.belief.copy()}

    def step(self, action):
        before = self.state
        self.state = self.rng.choice(6, p=self.transition[action, before])
        self.t += 1
        if self.state >= 4:
            reward = -1.0 if self.state == 4 else 1.0
            return np.full(6, np.nan), reward, True, False, {"belief": np.eye(6)[self.state]}
        self.belief = self.belief @ self.transition[action]
        self.belief[4:] = 0.0
        seen = self._observe()
        return seen, 0.0, False, self.t >= self.n_steps, {"belief": self.belief.copy()}

    def _observe(self):
        there = self.rng.random(2) < self.presence[:, self.state]
        self.belief *= np.where(there[:, None], self.presence, 1 - self.presence).prod(axis=0)
        values = self.rng.normal(self.means[self.state], self.sds)
        known = np.repeat(there, 3)
        away = (values - self.means) / self.sds
        self.belief *= np.exp(-0.5 * (away**2 * known).sum(axis=1))
        self.belief /= self.belief.sum()
        return np.where(known, np.where(np.arange(6) < 3, values, np.exp(values)), np.nan)


def _looped(env, actions, seeds):
    """Seconds a step of a loop over one environment."""
    n, begin = 0, time.perf_counter()
    for row, seed in zip(actions, seeds, strict=True):
        env.reset(seed=int(seed))
        for action in row:
            *_, terminated, truncated, _ = env.step(int(action))
            n += 1
            if terminated or truncated:
                break
    return (time.perf_counter() - begin) / n


def _at_once(task, actions, seed):
    """Seconds a step of an episode under way, resets and belief included."""
    run = task.many(SPEED_ENVS)
    n, begin = 0, time.perf_counter()
    run.reset(seed)
    for row in actions.T:
        n += int(run.active.sum())
        run.step(row)
        if not run.active.any():
            break
    return (time.perf_counter() - begin) / n


def speed_rows():
    """Steps of the sepsis task, three ways in turn."""
    task = nr.simulate.SepsisTask(rng=0)
    plain, own = PlainSepsis(task), nr.simulate.SepsisTask(rng=0)
    draw = np.random.default_rng(0)
    actions = draw.integers(task.n_actions, size=(SPEED_ENVS, task.n_steps))
    _at_once(task, actions, 0)
    took = {"plain Python and NumPy": [], "SepsisTask": [], "1,000 SepsisTask at once": []}
    for k in range(SPEED_REPEATS):
        seeds = draw.integers(2**31, size=100)
        for found, value in zip(
            took.values(),
            (_looped(plain, actions[:100], seeds), _looped(own, actions[:100], seeds),
             _at_once(task, actions, k)),
            strict=True,
        ):  # fmt: skip
            found.append(value)
    middle = {name: float(np.median(v)) for name, v in took.items()}
    first, second = (middle[n] for n in ("plain Python and NumPy", "SepsisTask"))
    for name, value in middle.items():
        yield [name, f"{1e6 * value:.3g}", f"{first / value:.0f}x", f"{second / value:.0f}x"]
