"""How much of the exact belief a network's state holds, beside windows, an observer, controls."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from neurornn._core.checks import check_confidence_level, check_count
from neurornn._core.confidence import to_dataset
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn._core.jobs import one_thread, progress_bar
from neurornn._core.quantities import Quantity
from neurornn._core.report import Table
from neurornn._core.rng import RNG, derived_seed, generator, seed_of
from neurornn._core.units import format_quantity
from neurornn.compare import belief_scores as scores
from neurornn.compare.belief_features import (
    Steps,
    episodes_of,
    log_odds,
    observer,
    shuffled,
    states_on,
    steps_of,
    with_action,
)
from neurornn.compare.belief_readers import Split, read_linear, read_nonlinear
from neurornn.data.samples import history
from neurornn.io.shell import Result
from neurornn.models.base import RecurrentModel
from neurornn.simulate.belief_task import HiddenTask
from neurornn.training.many import redrawn

#: Why there is no interval of what needs steps of both kinds.
_ONE_KIND = "the hidden state is the same at all steps of some draws of episodes: play more"
_RESAMPLED = "drawn episodes are told less well than those they are drawn from"
_NO_CHANGE = "no observation changes"
#: Of the network's own row, and of those that are no window.
NETWORK, OBSERVER, UNTRAINED, SHUFFLED, COPIED = (
    "network", "LSTM observer", "untrained", "shuffled time", "copied in order",
)  # fmt: skip


class BeliefReadout(Result):
    """How much of the exact belief is read from a network's state; made by `belief`.

    Attributes
    ----------
    parameters : Dataset over ``source`` and ``question``
        ``linear_r2`` and ``nonlinear_r2``, of the log odds of the exact belief; ``auroc`` and
        ``calibration_error`` of the belief that is read out linearly, against the hidden state
        itself; over ``question`` ``exact_auroc`` and ``exact_calibration_error``, of the exact
        belief; over ``source`` ``future_r2``, of the next observation, ``history_gain``, what past
        observations add to that, and ``p_value``; ``exact_future_r2``.
    calibration : Dataset over ``reader`` (network, exact), ``question`` and ``bin``: ``said``,
        ``was`` and ``n``.
    settings : how it was made.
    """

    _tables: ClassVar[Sequence[str]] = ("parameters", "calibration")
    _papers: ClassVar[tuple[str, ...]] = ("kaelbling_1998", "hoerl_1970", "phipson_2010")
    _packages: ClassVar[tuple[str, ...]] = ("numpy", "torch")
    calibration: xr.Dataset
    _quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            name="linear_r2", units="1", long_name="R2 of log odds, read linearly",
            method="ridge regression, episodes held out", dims=("source", "question"),
            reason="the belief never changes",
        ),
        Quantity(
            name="nonlinear_r2", units="1", long_name="R2 of log odds, read by a network",
            method="one hidden layer, episodes held out", dims=("source", "question"),
            reason="not asked for: nonlinear=False",
        ),
        Quantity(
            name="auroc", units="1", long_name="AUROC of the belief read out linearly",
            method="against the hidden state", dims=("source", "question"), reason=_ONE_KIND,
        ),
        Quantity(
            name="calibration_error", units="1", long_name="error of the belief read out",
            method="mean distance of share from probability over ten bins",
            dims=("source", "question"), reason=_RESAMPLED,
        ),
        Quantity(
            name="exact_auroc", units="1", long_name="AUROC of the exact belief",
            method="against the hidden state", dims=("question",), reason=_ONE_KIND,
        ),
        Quantity(
            name="exact_calibration_error", units="1", long_name="error of the exact belief",
            method="what chance leaves on so many episodes", dims=("question",),
            reason=_RESAMPLED,
        ),
        Quantity(
            name="future_r2", units="1", long_name="R2 of the next observation",
            method="ridge regression on source, belief read out, and action", dims=("source",),
            reason=_NO_CHANGE,
        ),
        Quantity(
            name="history_gain", units="1", long_name="what past observations add to it",
            method="difference of R2, the belief of a window beside", dims=("source",),
            reason=_NO_CHANGE,
        ),
        Quantity(
            name="p_value", units="1", long_name="p of reading as well as the network",
            method="signs of differences of errors flipped, episode by episode",
            dims=("source",), reason="a probability",
        ),
        Quantity(
            name="exact_future_r2", units="1", long_name="R2 of it from the exact belief",
            method="ridge regression on belief and action", reason=_NO_CHANGE,
        ),
    )  # fmt: skip

    def _report_table(self) -> Table:
        t, s = self.parameters, self.settings
        rows = []
        for source in t["source"].values.tolist():
            one = t.sel(source=source)
            for question in t["question"].values.tolist():
                at = one.sel(question=question)
                cells = [
                    format_quantity(float(at[n]), "1", *at[f"{n}_ci"].values)
                    for n in ("linear_r2", "nonlinear_r2", "auroc", "calibration_error")
                ]
                p = float(one["p_value"])
                rows.append([source, question, *cells, "" if np.isnan(p) else f"{p:.2g}"])
        head = [
            f"{s['task']}; {s['n_networks']} networks ({s['model']}), {s['n_episodes']} episodes "
            f"of each, half of them held out",
        ]
        notes = []
        for name in (
            "exact_auroc", "exact_calibration_error", "future_r2", "history_gain",
            "exact_future_r2",
        ):  # fmt: skip
            flat, of = np.atleast_1d(t[name].values), t[name].dims
            ends = t[f"{name}_ci"].values.reshape(-1, 2)
            labels = t[of[0]].values.tolist() if of else [""]
            each = [
                f"{k} {format_quantity(float(v), '1', *ci)}".strip()
                for k, v, ci in zip(labels, flat, ends, strict=True)
            ]
            notes.append(f"{t[name].attrs['long_name']}: {'; '.join(each)}")
        missing = [q.name for q in self._quantities if t[f"{q.name}_ci"].isnull().any()]
        notes += [f"no interval of {n}: {t[f'{n}_ci'].attrs['reason']}" for n in missing]
        return Table(
            title="Belief read from the state",
            columns=["source", "question", "linear_r2", "nonlinear_r2", "auroc",
                     "calibration_error", "p"],
            rows=rows, head=head, notes=notes,
        )  # fmt: skip

    def __repr__(self) -> str:
        found = self.parameters["linear_r2"].sel(source=NETWORK).values
        return f"BeliefReadout({self.settings['task']}, R2 {found.min():.3g} to {found.max():.3g})"

    def _methods_sentence(self) -> str:
        s = self.settings
        return (
            f"The exact belief of {s['task']} was read from the states of {s['n_networks']} "
            f"networks on {s['n_episodes']} episodes each, half of them held out, beside windows "
            "of observations, an LSTM trained to predict, and controls"
        )


def belief(
    model: RecurrentModel | Sequence[RecurrentModel],
    task: HiddenTask,
    *,
    n_episodes: int = 300,
    windows: Sequence[int] = (1, 5, 20),
    n_training: int = 600,
    n_permutations: int = 999,
    nonlinear: bool = True,
    confidence_level: float = 0.95,
    rng: RNG = 0,
    progress: bool = False,
) -> BeliefReadout:
    """Compare the state of a network that acts with the exact belief about what is hidden.

    Parameters
    ----------
    model : of a policy, ``fit_policy(...).model``, or several of one kind: intervals over seeds.
    task : of `nr.simulate`, whose exact belief is known.
    n_episodes : that each network plays; half are held out to test on.
    windows : lengths of windows of observations and actions that are read in its place.

    Other Parameters
    ----------------
    n_training : further episodes, on which observer and controls are trained.
    n_permutations : of the test; the smallest p-value is 1 / (n_permutations + 1).
    nonlinear : read by a network of one hidden layer too.
    confidence_level : of the intervals, over episodes and networks.
    rng : int, Generator or None.
    progress : show a bar.

    Returns
    -------
    BeliefReadout

    Raises
    ------
    KindError, ShapeError, DataError
        Another task, a network of other sizes, too few episodes.

    Notes
    -----
    Every source is asked for the log odds of the exact belief, cut at probabilities of 0.001, on
    the same episodes: the state of the network; the last 1, 5 and 20 observations with the actions
    before them; the state of an LSTM of as many units that learned to predict the next one; an
    untrained network of the same kind; one that was taught the policy's outputs on episodes
    whose steps were shuffled, and one that was taught them in order. Actions come from the policy
    and carry some of what it knows into every window.

    A state is sufficient where the past adds nothing to it: ``history_gain`` is the R2 of the next
    observation from state, belief read out and action, with the belief that is read from the
    longest window beside, less that without. `p_value` is that of the hypothesis that the source
    reads the belief as well as the network, linearly, from the errors of each held-out episode
    with their signs flipped at random.

    A high R2 by itself says little: the states of an untrained network hold much of the recent
    past already, and a ridge regression finds it. What training has added is the difference.

    Examples
    --------
    >>> import neurornn as nr
    >>> task = nr.simulate.TigerTask(n_steps=8, rng=0)
    >>> model = nr.models.GRU(**nr.training.policy_sizes(task), n_hidden=4, dt=1.0)
    >>> table = belief(
    ...     model, task, n_episodes=20, windows=(1,), n_training=20, nonlinear=False
    ... )
    >>> table.parameters["source"].values.tolist()
    ['network', 'window of 1', 'LSTM observer', 'untrained', 'shuffled time', 'copied in order']
    """
    models = [model] if isinstance(model, RecurrentModel) else list(model)
    _check(models, task)
    n_episodes = check_count(n_episodes, "n_episodes", 12, 100_000)
    n_training = check_count(n_training, "n_training", 10, 100_000)
    lengths = [check_count(w, "windows", most=1000) for w in windows]
    if not lengths:
        raise DataError(
            "windows is empty", "At least one length was needed", "Pass windows=(1, 5, 20)"
        )
    level, seed = check_confidence_level(confidence_level), seed_of(rng)
    n_permutations = check_count(n_permutations, "n_permutations", most=100_000)
    with one_thread(), progress_bar(len(models), 0, progress, "networks") as tick:
        each = []
        for k, one in enumerate(models):
            own = derived_seed(seed, k)
            each.append(_read(one, task, n_episodes, n_training, lengths, nonlinear, own))
            tick()
    draw = generator(derived_seed(seed, 10**6))
    settings = {
        "task": type(task).__name__, "model": type(models[0]).__name__, "n_networks": len(models),
        "n_episodes": n_episodes, "n_training": n_training, "windows": lengths,
        "n_permutations": n_permutations, "confidence_level": level, "rng": seed,
    }  # fmt: skip
    table, calibration = _tables(each, list(task.questions), n_permutations, level, draw)
    return BeliefReadout(table, settings, calibration=calibration)


def _check(models: list[Any], task: Any) -> None:
    if not isinstance(task, HiddenTask):
        raise KindError(
            f"task is a {type(task).__name__}",
            "A task whose exact belief is known was needed",
            "Pass one of nr.simulate: TigerTask, ForagingTask, SepsisTask, or a BeliefTask",
        )
    if not models or not all(isinstance(m, RecurrentModel) for m in models):
        came = ", ".join(type(m).__name__ for m in models) or "nothing"
        raise KindError(
            f"model is {came}",
            "The network of a policy, or a list of some, was needed",
            "Pass fit_policy(...).model",
        )
    n_input, n_output = task.n_inputs + task.n_actions, task.n_actions + 1
    for m in models:
        if (m.n_input, m.n_output) != (n_input, n_output) or type(m) is not type(models[0]):
            raise ShapeError(
                f"A {type(m).__name__} with {m.n_input} inputs and {m.n_output} outputs came",
                f"Networks of one kind with {n_input} and {n_output}, as fit_policy takes them, "
                "were needed",
                "Build them with **nr.training.policy_sizes(task)",
            )


def _read(
    model: RecurrentModel, task: HiddenTask, n_episodes: int, n_training: int, lengths: list[int],
    nonlinear: bool, seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Sums of every score, episode by episode, of one network."""
    test = steps_of(episodes_of(model, task, n_episodes, seed, 1), task)
    more = steps_of(episodes_of(model, task, n_training, seed, 2), task)
    split = Split(n_episodes, generator(derived_seed(seed, 3)))
    goal = [log_odds(a) for a in test.answers]
    features: dict[str, tuple[list[Any], int]] = {NETWORK: (states_on(model, test.inputs), 1)}
    features |= {f"window of {w}": (test.inputs, w) for w in lengths}
    watcher = observer(model, task, more, derived_seed(seed, 4))
    seen = with_action(test.inputs, test.actions, task.n_actions)
    features[OBSERVER] = (states_on(watcher, seen), 1)
    fresh = redrawn(model, derived_seed(seed, 5))
    features[UNTRAINED] = (states_on(fresh, test.inputs), 1)
    for name, in_order in ((SHUFFLED, False), (COPIED, True)):
        taught = shuffled(model, more, derived_seed(seed, 6), in_order)
        features[name] = (states_on(taught, test.inputs), 1)
    # What the longest window says, in one number a question: many would only add noise.
    longest = read_linear(test.inputs, goal, split, max(lengths))
    found: dict[str, Any] = {"sources": list(features)}
    kept = [k for k in split.test if len(goal[k])]
    parts: dict[str, list[Any]] = {
        n: [] for n in ("linear", "nonlinear", "rank", "calibration", "future", "with_past")
    }
    for x, w in features.values():
        read = read_linear(x, goal, split, w)
        parts["linear"].append([scores.error_sums(goal[k], read[k]) for k in kept])
        other = [np.full_like(r, np.nan) for r in read]
        if nonlinear:
            other = read_nonlinear(x, goal, split, w, derived_seed(seed, 7))
        parts["nonlinear"].append([scores.error_sums(goal[k], other[k]) for k in kept])
        said = [1 / (1 + np.exp(-r)) for r in read]
        parts["rank"].append([_each(scores.rank_sums, said[k], test.truth[k]) for k in kept])
        parts["calibration"].append(
            [_each(scores.calibration_sums, said[k], test.truth[k]) for k in kept]
        )
        own = [np.column_stack([v, s]) for v, s in zip(_windows(x, w), said, strict=True)]
        ahead = _future(own, test, task, split, None)
        past = _future(own, test, task, split, longest)
        parts["future"].append(ahead)
        parts["with_past"].append(past)
    found |= {n: np.array(v).swapaxes(0, 1) for n, v in parts.items()}
    found["exact_future"] = np.array(_future(test.belief, test, task, split, None))
    found["exact_rank"] = np.array(
        [_each(scores.rank_sums, test.answers[k], test.truth[k]) for k in kept]
    )
    found["exact_calibration"] = np.array(
        [_each(scores.calibration_sums, test.answers[k], test.truth[k]) for k in kept]
    )
    return found


def _windows(x: list[Any], w: int) -> list[Any]:
    return [history(v, w) for v in x] if w > 1 else x


def _each(score: Any, said: Any, truth: Any) -> Any:
    return np.stack([score(said[:, q], truth[:, q]) for q in range(said.shape[1])])


def _future(
    features: list[Any], test: Steps, task: HiddenTask, split: Split, past: list[Any] | None
) -> list[Any]:
    """Sums of errors of the next observation, (channel, 4) of each held-out episode."""
    x, y = [], []
    for k, rows in enumerate(features):
        taken = np.eye(task.n_actions)[test.actions[k]]
        own = np.column_stack([rows, np.ones(len(rows))])
        if past is not None:
            own = np.column_stack([own, past[k], 1 / (1 + np.exp(-past[k]))])
        # What follows depends on the action: features of each action by themselves.
        both = (taken[:, :, None] * own[:, None, :]).reshape(len(rows), -1)
        x.append(both[:-1])
        y.append(test.inputs[k][1:, : task.n_inputs])
    read = read_linear(x, y, split)
    return [scores.error_sums(y[k], read[k]) for k in split.test]


def _pooled_r2(sums: Any) -> Any:
    """R2 of all channels that change, each in units of its own spread; sums (..., channel, 4)."""
    r2 = scores.r2_of(sums)
    n = sums[..., 3]
    spread = sums[..., 2] / n - (sums[..., 1] / n) ** 2
    moves = spread > 1e-9
    total = np.where(moves, r2, 0.0).sum(axis=-1)
    count = moves.sum(axis=-1)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def _tables(
    each: list[dict[str, Any]], questions: list[str], n_permutations: int, level: float,
    draw: np.random.Generator,
) -> tuple[xr.Dataset, xr.Dataset]:  # fmt: skip
    sources = each[0]["sources"]

    def sums(name: str) -> Any:
        return np.stack([e[name] for e in each])

    def score(name: str, of: Any) -> Any:
        return scores.with_interval(sums(name), of, level, draw)

    declared = {q.name: q for q in BeliefReadout._quantities}
    estimates = []
    for name, part, of in (
        ("linear_r2", "linear", scores.r2_of), ("nonlinear_r2", "nonlinear", scores.r2_of),
        ("auroc", "rank", scores.auroc_of),
        ("calibration_error", "calibration", scores.calibration_error_of),
        ("exact_auroc", "exact_rank", scores.auroc_of),
        ("exact_calibration_error", "exact_calibration", scores.calibration_error_of),
        ("future_r2", "future", _pooled_r2), ("exact_future_r2", "exact_future", _pooled_r2),
    ):  # fmt: skip
        value, ci = score(part, of)
        # A mean of distances grows with every resampling: its draws lie above it.
        ci = None if of is scores.calibration_error_of else ci
        estimates.append(declared[name].of(value, ci))
    two = np.stack([sums("with_past"), sums("future")], axis=2)
    gain, ci = scores.with_interval(
        two, lambda s: _pooled_r2(s[0]) - _pooled_r2(s[1]), level, draw
    )
    estimates.append(declared["history_gain"].of(gain, ci))
    p = scores.chances_against_first(sums("linear"), n_permutations, draw)
    estimates.append(declared["p_value"].of(p))
    order = [q.name for q in BeliefReadout._quantities]
    estimates.sort(key=lambda e: order.index(e.name))
    table = to_dataset(
        estimates, confidence_level=level,
        coords={"source": np.array(sources), "question": np.array(questions)},
    )  # fmt: skip
    both = np.stack(
        [sums("calibration")[:, :, 0].sum(axis=(0, 1)), sums("exact_calibration").sum(axis=(0, 1))]
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        said, was = both[..., 0] / both[..., 2], both[..., 1] / both[..., 2]
    dims = ("reader", "question", "bin")
    calibration = xr.Dataset(
        {
            "said": (dims, said, {"units": "1", "long_name": "mean probability"}),
            "was": (dims, was, {"units": "1", "long_name": "share that was so"}),
            "n": (dims, both[..., 2], {"units": "1", "long_name": "steps"}),
        },
        coords={"reader": ["network", "exact belief"], "question": np.array(questions)},
    )
    return table, calibration
