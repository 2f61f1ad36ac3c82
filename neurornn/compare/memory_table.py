"""The table of memory: accuracy against lag, horizons, and what a step costs."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.confidence import Estimate, bootstrap_interval, to_dataset
from neurornn._core.quantities import Quantity
from neurornn._core.report import Table
from neurornn._core.rng import derived_seed
from neurornn._core.units import format_number, format_quantity
from neurornn.compare.memory_cells import N_KINDS
from neurornn.io.shell import Result

#: Accuracy at which a lag is solved.
SOLVED = 0.99
_COST = "processor time of one step of one trial, forward and back"
_HOW = "mean over seeds; interval by bootstrap over seeds"
_FEW = "fewer than 3 seeds, or the cell was not trained at this lag"


class MemoryTable(Result):
    """Result of `memory`; made by the library only.

    Attributes
    ----------
    parameters : Dataset over ``cell`` and ``lag`` (steps)
        ``accuracy``, share of new trials answered right, with ``accuracy_ci`` over seeds; chance
        is 1/4. ``reach (cell)``, s, the lag at which the mean accuracy falls to half-way between
        chance and 1: infinite where it does not, NaN where longer lags were not trained, 0 where
        it never was above. ``horizon_before``
        and ``horizon_after (cell, lag)``, s, medians over seeds, infinite where the gradient is
        above 1/e up to 2.5 lags. ``n_weights (cell)``.
    seeds : Dataset over ``cell``, ``lag`` and ``seed``: accuracy, horizons, rounds of training;
        and ``cost``, s of processor time for one step of one trial, forward and back, which is
        measured and differs from run to run.
    settings : how it was made.
    """

    _tables: ClassVar[Sequence[str]] = ("parameters", "seeds")
    seeds: xr.Dataset
    _papers = ("bengio_1994", "hochreiter_1997", "tallec_2018")
    _packages = ("numpy", "torch")
    _quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            name="accuracy", units="1", long_name="share of new trials answered right",
            method=_HOW, dims=("cell", "lag"),
        ),
    )  # fmt: skip

    def _report_table(self) -> Table:
        t, cost = self.parameters, _nanmedian(self.seeds["cost"].values)
        rows = []
        for k, cell in enumerate(t["cell"].values):
            cells = []
            for j in range(t.sizes["lag"]):
                low, high = t["accuracy_ci"].values[k, j]
                cells.append(format_quantity(float(t["accuracy"].values[k, j]), "1", low, high))
            rows.append([
                str(cell), *cells, f"{float(t['reach'].values[k]):.3g}", f"{cost[k]:.3g}",
                str(int(t["n_weights"].values[k])),
            ])  # fmt: skip
        lags = [f"{n} steps" for n in t["lag"].values]
        s = self.settings
        return Table(
            title="Memory: accuracy against lag",
            columns=["cell", *lags, "reach (s)", "cost (s)", "weights"],
            rows=rows,
            head=[
                f"{s['n_seeds']} seeds, {s['start']} start; chance {1 / N_KINDS:g}; a step is "
                f"{format_number(s['dt'])} s",
            ],
            notes=[
                "reach: lag of half-way between chance and 1",
                *(f"{cell}: {self._horizons(k)}" for k, cell in enumerate(t["cell"].values)),
            ],
        )

    def _horizons(self, k: int) -> str:
        before, after = (
            ", ".join(f"{v:.3g}" for v in self.parameters[n].values[k])
            for n in ("horizon_before", "horizon_after")
        )
        return f"horizon before training {before} s, after {after} s"

    def __repr__(self) -> str:
        t = self.parameters
        reach = ", ".join(
            f"{c} {float(v):.3g} s"
            for c, v in zip(t["cell"].values, t["reach"].values, strict=True)
        )
        return f"MemoryTable({reach})"

    def _methods_sentence(self) -> str:
        s = self.settings
        return (
            f"{', '.join(map(str, self.parameters['cell'].values))} of about {s['n_weights']} "
            f"weights ({s['start']} start, {s['n_seeds']} seeds) were trained with neurornn to "
            f"tell a cue after lags of up to {int(self.parameters['lag'].values[-1])} steps"
        )


def laid_out(
    cells: Sequence[str],
    lags: Sequence[int],
    found: Mapping[str, NDArray[np.float64]],
    settings: Mapping[str, Any],
) -> MemoryTable:
    """Lay out what networks did.

    Parameters
    ----------
    cells, lags : names, steps.
    found : ``accuracy``, ``before``, ``after``, ``rounds``, ``seconds`` and ``weights``, each
        (cell, lag, seed).
    settings : of the call.
    """
    level, dt = settings["confidence_level"], settings["dt"]
    accuracy = found["accuracy"]
    ci = np.full((*accuracy.shape[:2], 2), np.nan)
    for where in np.ndindex(accuracy.shape[:2]):
        if np.isfinite(accuracy[where]).all():
            ci[where] = bootstrap_interval(
                accuracy[where], confidence_level=level, rng=derived_seed(settings["rng"], 9)
            )
    mean = accuracy.mean(2)
    reach = np.array([reach_of(row, lags) for row in mean]) * dt
    estimates = [
        MemoryTable.quantity("accuracy").of(mean, ci, reason=_FEW),
        *(
            Estimate(
                name=name, value=value, units=units, long_name=told, method=how, dims=dims,
                reason="a median over seeds" if "horizon" in name else "not an estimate",
            )
            for name, value, units, told, how, dims in (
                ("reach", reach, "s", "lag of half-way between chance and 1",
                 "mean accuracy, between two lags in log steps", ("cell",)),
                ("horizon_before", np.median(found["before"], 2), "s",
                 "lag at which gradients fall to 1/e, before training", "median over seeds",
                 ("cell", "lag")),
                ("horizon_after", np.median(found["after"], 2), "s",
                 "lag at which gradients fall to 1/e, after training", "median over seeds",
                 ("cell", "lag")),
                ("n_weights", np.nanmax(found["weights"], (1, 2)), "1", "weights of a network",
                 "counted", ("cell",)),
            )
        ),
    ]  # fmt: skip
    coords: dict[Hashable, Any] = {"cell": list(cells), "lag": list(lags)}
    table = to_dataset(estimates, confidence_level=level, coords=coords)
    dims = ("cell", "lag", "seed")
    seeds = xr.Dataset(
        {
            "accuracy": (dims, accuracy, {"units": "1"}),
            "horizon_before": (dims, found["before"], {"units": "s"}),
            "horizon_after": (dims, found["after"], {"units": "s"}),
            "rounds": (dims, found["rounds"], {"units": "1"}),
            "cost": (dims, found["seconds"], {"units": "s", "long_name": _COST}),
        },
        coords={**coords, "seed": np.arange(accuracy.shape[2])},
    )
    return MemoryTable(table, settings, seeds=seeds)


def _nanmedian(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([
        np.median(row[np.isfinite(row)]) if np.isfinite(row).any() else np.nan for row in values
    ])  # fmt: skip


def reach_of(accuracy: NDArray[np.float64], lags: Sequence[int]) -> float:
    """Lag in steps at which accuracy falls to half-way between chance and 1.

    Parameters
    ----------
    accuracy : (lag,); lags that were not trained are NaN, and left out.
    lags : ascending.

    Returns
    -------
    float
        Between two lags on a scale of log steps; infinite where accuracy stays above up to the
        last lag, NaN where it does up to lags that were not trained; 0 where it is below at the
        first.
    """
    half = 0.5 * (1 + 1 / N_KINDS)
    known = [(n, a) for n, a in zip(lags, accuracy, strict=True) if np.isfinite(a)]
    for k, (lag, a) in enumerate(known):
        if a < half:
            if not k:
                return 0.0
            before, above = known[k - 1]
            share = (above - half) / (above - a)
            return float(before * (lag / before) ** share)
    return float("inf") if np.isfinite(accuracy[-1]) else float("nan")
