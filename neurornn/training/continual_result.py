"""What learning tasks in sequence returns: what is left of each, and what each step cost."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import stats

from neurornn._core.checks import check_choice
from neurornn._core.confidence import bootstrap_interval, to_dataset
from neurornn._core.errors import DataError
from neurornn._core.quantities import Quantity
from neurornn._core.report import Table
from neurornn._core.rng import derived_seed
from neurornn._core.status import Status
from neurornn._core.units import format_number, format_quantity
from neurornn.io.saved import SavedContent
from neurornn.io.shell import Result
from neurornn.models.base import RecurrentModel
from neurornn.models.rebuild import check_rebuilds, dtype_of, rebuilt, weights_of
from neurornn.training.continual_overlap import MEASURED

_NOT_YET = "the task had not been learned yet"
_FEW = "fewer than 3 seeds"
_TOLD = {
    "overlap": ("1", "change of the loss that was to be expected, formed before the step"),
    "forgetting": ("1", "change of the loss across the step, on the trials that are scored"),
    "cosine": ("1", "cosine of the gradients of the new task and of the earlier one"),
    "share": ("1", "share of the step in the sensitive subspace of the earlier task"),
}
_SAID = {
    "none": "without a remedy",
    "ewc": "with elastic weight consolidation",
    "projection": "with steps projected away from the activity of earlier tasks",
    "replay": "with trials of earlier tasks replayed",
}


class ContinualResult(Result):
    """Result of `fit_sequence`; made by the library only.

    Parameters
    ----------
    parameters, settings, **tables : see Attributes.
    stages : of each seed, the network after each task, in order.

    Attributes
    ----------
    parameters : Dataset over ``after`` and ``task``
        ``score``, R2 on trials of the task that were not learned, after task ``after`` was; and
        ``kept``, that over the score just after the task itself was learned. Means over seeds,
        each beside its ``_ci``. NaN where the task had not been learned yet. Where tasks were also
        learned alone, ``alone (task)``, the score of such a network, and ``kept_of_alone``.
    seeds : Dataset over ``seed``, ``after`` and ``task``: ``score`` and ``kept`` of each network;
        ``status`` and ``loss`` over ``seed`` and ``after``, at the end of each task.
    overlap : Dataset over ``seed``, ``after``, ``moment`` and ``task``
        At steps of the optimiser spread over the learning of task ``after``, for each earlier
        task: ``overlap``, the change of its loss that is to be expected of the step, and
        ``forgetting``, the change that came; ``cosine`` of both tasks' gradients; ``share`` of the
        step in the sensitive subspace; ``step``, its number.
    models : the network of each seed after the last task.
    settings : how it was made.
    """

    _tables: ClassVar[Sequence[str]] = ("parameters", "seeds", "overlap")
    seeds: xr.Dataset
    overlap: xr.Dataset
    _packages = ("numpy", "torch")
    _quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            name="score", units="1", long_name="R2 on trials that were not learned",
            method="mean over seeds; interval by bootstrap over seeds", dims=("after", "task"),
        ),
        Quantity(
            name="kept", units="1", long_name="score over the score when just learned",
            method="mean over seeds; interval by bootstrap over seeds", dims=("after", "task"),
        ),
        Quantity(
            name="alone", units="1", long_name="R2 of a network that learned this task alone",
            method="mean over seeds; interval by bootstrap over seeds", dims=("task",),
        ),
        Quantity(
            name="kept_of_alone", units="1",
            long_name="score over the score of a network that learned this task alone",
            method="mean over seeds; interval by bootstrap over seeds", dims=("after", "task"),
        ),
    )  # fmt: skip

    def __init__(
        self,
        parameters: xr.Dataset,
        settings: Mapping[str, Any],
        *,
        stages: Sequence[Sequence[RecurrentModel]],
        **tables: xr.Dataset,
    ) -> None:
        super().__init__(parameters, settings, **tables)
        self._stages = [list(of_seed) for of_seed in stages]

    @property
    def forgetting(self) -> xr.Dataset:
        """What is left of each task after each: the table of parameters."""
        return self.parameters

    @property
    def models(self) -> list[RecurrentModel]:
        """Network of each seed after the last task."""
        return [of_seed[-1] for of_seed in self._stages]

    @property
    def model(self) -> RecurrentModel:
        """Network of the first seed after the last task."""
        return self._stages[0][-1]

    def model_after(self, task: str, seed: int = 0) -> RecurrentModel:
        """Return the network as it was after a task.

        Parameters
        ----------
        task : its name.
        seed : number of the seed.

        Raises
        ------
        NameUnknownError, DataError
            No task of that name, no such seed.
        """
        names = [str(n) for n in self.parameters["task"].values]
        k = names.index(check_choice(task, "task", names))
        if seed not in range(len(self._stages)):
            raise DataError(
                f"seed is {seed}",
                f"A seed from 0 to {len(self._stages) - 1} was needed",
                "run.seeds lists them",
            )
        return self._stages[seed][k]

    @property
    def status(self) -> Status:
        """The worst of all: diverged, not converged where a loss still fell, or ok."""
        found = set(self.seeds["status"].values.ravel().tolist())
        for bad in (Status.DIVERGED, Status.NOT_CONVERGED):
            if str(bad) in found:
                return bad
        return Status.OK

    def foreseen(self) -> dict[str, float]:
        """Return how well each quantity, known before a step, ranks what the step cost.

        Returns
        -------
        dict
            Spearman correlation of ``overlap``, ``cosine`` (with its sign turned) and ``share``
            with ``forgetting``, all steps and earlier tasks of a seed together, mean over seeds;
            NaN where no steps were looked at.
        """
        found = {}
        for name, sign in (("overlap", 1.0), ("cosine", -1.0), ("share", 1.0)):
            each = []
            for k in range(self.overlap.sizes["seed"]):
                at = self.overlap.isel(seed=k)
                x, y = (sign * at[name].values.ravel(), at["forgetting"].values.ravel())
                both = np.isfinite(x) & np.isfinite(y)
                if both.sum() > 2:
                    each.append(float(stats.spearmanr(x[both], y[both]).statistic))
            found[name] = float(np.mean(each)) if each else float("nan")
        return found

    def _report_table(self) -> Table:
        t = self.parameters
        names = [str(n) for n in t["task"].values]
        rows = []
        for k, name in enumerate(names):
            cells = []
            for j in range(len(names)):
                low, high = t["score_ci"].values[k, j]
                cells.append(
                    "" if j > k else format_quantity(float(t["score"][k, j]), "1", low, high)
                )
            rows.append([name, *cells])
        s = self.settings
        head = [
            f"status: {self.status}. {self._how_it_ended()}",
            f"{s['model']} with {sum(p.numel() for p in self.model.parameters())} weights, "
            f"{_SAID[s['remedy']]}; {s['n_seeds']} seeds; {s['max_epochs']} epochs for each task",
        ]
        if len(names) > 1:
            last = t["kept"].values[-1, :-1]
            head.append(
                f"kept of earlier tasks at the end: {format_number(float(np.mean(last)))} of the "
                f"score when just learned, least {format_number(float(np.min(last)))}"
            )
        if "alone" in t:
            of = t["kept_of_alone"].values[-1]
            head.append(
                f"of networks that learned one task alone: {format_number(float(np.mean(of)))}, "
                f"least {format_number(float(np.min(of)))}"
            )
        rank = self.foreseen()["overlap"]
        notes = []
        if np.isfinite(rank):
            n = int(np.isfinite(self.overlap["overlap"].isel(seed=0).values).sum())
            notes.append(
                f"what a step cost an earlier task was foreseen with rank correlation {rank:.2f} "
                f"({n} steps and tasks of a seed)"
            )
        if s["n_seeds"] < 3:
            notes.append(f"no intervals: {_FEW}")
        return Table(
            title="Tasks in sequence: R2 on trials not learned",
            columns=["after", *names], rows=rows, head=head, notes=notes,
        )  # fmt: skip

    def _how_it_ended(self) -> str:
        if self.status is Status.OK:
            return "The loss of every task settled."
        still = int((self.seeds["status"] == str(self.status)).sum())
        of = f"{still} of {self.seeds['status'].size} fits of a task"
        if self.status is Status.DIVERGED:
            return f"{of} diverged. Lower learning_rate."
        return f"In {of} the loss still fell. More max_epochs may learn them better."

    def __repr__(self) -> str:
        last = self.parameters["kept"].values[-1, :-1]
        return (
            f"ContinualResult({self.settings['model']}, remedy={self.settings['remedy']!r}, "
            f"{self.parameters.sizes['task']} tasks, kept={np.mean(last):.3g})"
        )

    def _methods_sentence(self) -> str:
        s = self.settings
        n_tasks = self.parameters.sizes["task"]
        return (
            f"{s['n_seeds']} networks ({s['model']}) learned {n_tasks} tasks "
            f"one after the other with neurornn by Adam, {s['max_epochs']} epochs each, "
            f"{_SAID[s['remedy']]}; scores are of trials that were not learned"
        )

    def _papers_used(self) -> list[str]:
        own = {"ewc": ["kirkpatrick_2017"], "projection": ["duncker_2020"]}
        return ["paszke_2019", "kingma_2015", *own.get(self.settings["remedy"], [])]

    def _to_saved(self) -> dict[str, Any]:
        first = self._stages[0][0]
        check_rebuilds(first)
        weights = {
            f"{k}/{j}/{name}": values
            for k, of_seed in enumerate(self._stages)
            for j, model in enumerate(of_seed)
            for name, values in weights_of(model).items()
        }
        how = {
            "class": type(first).__name__,
            "settings": first.settings,
            "dtype": dtype_of(first),
            "n": [len(self._stages), len(self._stages[0])],
        }
        settings = {"made": self.settings, "network": how}
        return {**super()._to_saved(), "settings": settings, "weights": weights}

    @classmethod
    def _from_saved(cls, content: SavedContent) -> Self:
        how = content.settings["network"]
        n_seeds, n_tasks = how["n"]
        stages = []
        for k in range(n_seeds):
            of_seed = []
            for j in range(n_tasks):
                prefix = f"{k}/{j}/"
                own = {n: w for n, w in content.weights.items() if n.startswith(prefix)}
                own = {n.removeprefix(prefix): w for n, w in own.items()}
                of_seed.append(
                    rebuilt(how["class"], how["settings"], own, how["dtype"], content.classes)
                )
            stages.append(of_seed)
        tables = {name: content.tables[name] for name in cls._tables}
        return cls(tables.pop("parameters"), content.settings["made"], stages=stages, **tables)


def continual_tables(
    scores: NDArray[np.float64],
    alone: NDArray[np.float64] | None,
    names: Sequence[str],
    level: float,
    seed: int,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Lay out scores: over seeds with intervals, and of each seed.

    Parameters
    ----------
    scores : (seed, after, task), NaN where a task had not been learned.
    alone : (seed, task), or None.
    names : of the tasks.
    level : of the intervals.
    seed : of the bootstrap.
    """
    # A score of nothing at all has no share that could be kept.
    when = np.diagonal(scores, axis1=1, axis2=2)
    kept = scores / np.where(when > 0, when, np.nan)[:, None, :]
    score_of, kept_of, alone_of, share_of = ContinualResult._quantities
    reason = _NOT_YET if len(scores) >= 3 else f"{_FEW}, or {_NOT_YET}"
    estimates = [
        q.of(values.mean(0), _intervals(values, level, seed), reason=reason)
        for q, values in ((score_of, scores), (kept_of, kept))
    ]
    if alone is not None:
        share = scores / np.where(alone > 0, alone, np.nan)[:, None, :]
        estimates += [
            alone_of.of(alone.mean(0), _intervals(alone, level, seed), reason=_FEW),
            share_of.of(share.mean(0), _intervals(share, level, seed), reason=reason),
        ]
    labels = list(names)
    table = to_dataset(estimates, confidence_level=level, coords={"after": labels, "task": labels})
    dims = ("seed", "after", "task")
    seeds = xr.Dataset(
        {"score": (dims, scores, {"units": "1"}), "kept": (dims, kept, {"units": "1"})},
        coords={"seed": np.arange(len(scores)), "after": labels, "task": labels},
    )
    return table, seeds


def _intervals(values: NDArray[np.float64], level: float, seed: int) -> NDArray[np.float64]:
    """Interval of the mean over seeds of every entry; NaN where any is."""
    found = np.full((*values.shape[1:], 2), np.nan)
    for where in np.ndindex(values.shape[1:]):
        each = values[(slice(None), *where)]
        if np.isfinite(each).all():
            found[where] = bootstrap_interval(
                each, confidence_level=level, rng=derived_seed(seed, 31)
            )
    return found


def overlap_table(
    measured: Mapping[tuple[int, int], tuple[NDArray[Any], NDArray[Any]]],
    n_seeds: int,
    names: Sequence[str],
) -> xr.Dataset:
    """Lay out what was measured at steps.

    Parameters
    ----------
    measured : (seed, task that was learned) -> table (step, task, column), numbers of the steps.
    n_seeds : networks.
    names : of the tasks.
    """
    most = max((len(steps) for _, steps in measured.values()), default=0)
    n = len(names)
    values = np.full((len(MEASURED), n_seeds, n, most, n), np.nan)
    number = np.full((n, most), -1)
    for (seed, task), (table, steps) in measured.items():
        if len(steps):
            values[:, seed, task, : len(steps), : table.shape[1]] = table.transpose(2, 0, 1)
            number[task, : len(steps)] = steps
    dims = ("seed", "after", "moment", "task")
    return xr.Dataset(
        {
            **{
                name: (dims, values[k], {"units": _TOLD[name][0], "long_name": _TOLD[name][1]})
                for k, name in enumerate(MEASURED)
            },
            "step": (("after", "moment"), number, {"long_name": "step of the optimiser"}),
        },
        coords={"seed": np.arange(n_seeds), "after": list(names), "task": list(names)},
    )
