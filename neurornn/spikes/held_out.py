"""Counts of which a part is hidden from a model, and what the model says of that part."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import check_count, check_labels
from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError, nearest
from neurornn.spikes.population import Population, take_population

Array = NDArray[np.float64]


def counts_for(model: Any, counts: Any, method: str = "rates") -> Population:
    """Bring counts to rows, in the bins of a model that can tell them.

    Parameters
    ----------
    model : with a method of that name.
    counts : as models of a population take them.
    method : ``"rates"`` or ``"latents"``.

    Raises
    ------
    KindError, ShapeError, DataError, UnitError
        Another model; no counts.
    """
    if not callable(getattr(model, method, None)):
        raise KindError(
            f"model is a {type(model).__name__} without {method}",
            f"A fitted model of a population, with {method}(counts), was needed",
            "Pass for example nr.spikes.SmoothedRates().fit(counts)",
        )
    return take_population(counts, getattr(model, "fitted_bin_size_", None))


def positions_of(labels: ArrayLike, unit: NDArray[Any], name: str) -> NDArray[np.int64]:
    """Positions of units by their labels, in the order given.

    Parameters
    ----------
    labels : (held,), of units.
    unit : (unit,), labels of all.
    name : of the argument.

    Raises
    ------
    NameUnknownError, DataError
        A unit that is not there, one that came twice, or none.
    """
    wanted = np.atleast_1d(check_labels(labels, name)).ravel().tolist()
    known = unit.tolist()
    for label in wanted:
        if label not in known:
            raise NameUnknownError(
                f"{name} names unit {label!r}, which the counts do not have",
                f"Units among the {len(known)} of the counts were needed",
                nearest(str(label), map(str, known)),
            )
    if not wanted or len(set(wanted)) < len(wanted):
        raise DataError(
            f"{name} holds {len(wanted)} units, {len(set(wanted))} of them different",
            "At least one unit, each once, was needed",
            "Deal units out with data.split_groups(units, units, fractions=(0.75, 0.25))",
        )
    return np.array([known.index(label) for label in wanted], dtype=np.int64)


def two_sides(
    held_in: ArrayLike | None, held_out: ArrayLike, unit: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the units that a model sees, and of those that it is to tell.

    Parameters
    ----------
    held_in, held_out : labels; None for all that are not held out.
    unit : (unit,), labels of all.

    Raises
    ------
    NameUnknownError, DataError
        Units that are not there, or on both sides.
    """
    out = positions_of(held_out, unit, "held_out")
    if held_in is None:
        rest = np.setdiff1d(np.arange(len(unit)), out)
        if not len(rest):
            raise DataError(
                f"All {len(unit)} units are held out",
                "At least one that the model sees was needed", "Hold out fewer units",
            )  # fmt: skip
        return rest, out
    inside = positions_of(held_in, unit, "held_in")
    both = np.intersect1d(inside, out)
    if len(both):
        raise DataError(
            f"{len(both)} units are held in and held out, for example {unit[both[0]]!r}",
            "Each unit on one side was needed", "Take them off one of the two",
        )  # fmt: skip
    return inside, out


def without(population: Population, hidden: NDArray[np.bool_]) -> Any:
    """Counts in the form that they came in, NaN where they are hidden, (row, unit)."""
    given = population.given
    if isinstance(given, list):
        edges = np.cumsum([0, *(len(trial) for trial in given)])
        return [
            _hide(trial, hidden[a:b]) for trial, (a, b) in zip(given, pairwise(edges), strict=True)
        ]
    return _hide(given, hidden)


def _hide(counts: Any, hidden: NDArray[np.bool_]) -> Any:
    values = np.array(counts, dtype=np.float64)
    values[hidden.reshape(values.shape)] = np.nan
    return counts.copy(data=values) if isinstance(counts, xr.DataArray) else values


def told_rates(model: Any, given: Any, population: Population) -> Array:
    """Rates that a model gives, Hz, (row, unit) in the order of the units of the counts.

    Raises
    ------
    ShapeError, DataError
        Rates of other bins, or not of all units.
    """
    found = model.rates(given)
    parts = found if isinstance(found, list) else [found]
    unit = population.unit.tolist()
    rows = []
    for part in parts:
        values = np.asarray(part, dtype=np.float64)
        values = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
        if isinstance(part, xr.DataArray) and "unit" in part.coords:
            have = np.atleast_1d(part["unit"].values).tolist()
            missing = [u for u in unit if u not in have]
            if missing:
                raise DataError(
                    f"The model gives no rates of unit {missing[0]!r} and {len(missing) - 1} more",
                    "Rates of all units that are scored were needed",
                    "Fit the model on all units; those that are held out are hidden from it here",
                )
            values = values[:, [have.index(u) for u in unit]]
        rows.append(values)
    return _whole(np.concatenate(rows), population, (population.samples.n_rows, len(unit)))


def told_latents(model: Any, given: Any, population: Population) -> Array:
    """Latents that a model gives, (row, latent)."""
    found = model.latents(given)
    parts = found if isinstance(found, list) else [found]
    values = np.concatenate(
        [np.reshape(np.asarray(p, float), (-1, np.shape(p)[-1])) for p in parts]
    )
    return _whole(values, population, (population.samples.n_rows, values.shape[1]))


def _whole(values: Array, population: Population, shape: tuple[int, int]) -> Array:
    if values.shape != shape:
        raise ShapeError(
            f"The model gives {values.shape} values for {population.samples.n_rows} bins of "
            f"{len(population.unit)} units",
            "One for each bin and unit was needed",
            "Let the model return the shape of the counts",
        )
    return values


def blocks_of_rows(
    population: Population, n_blocks: int, scored: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], int]:
    """Which block each row is of, and how many there are: trials, or parts of long stretches.

    Parameters
    ----------
    population : counts.
    n_blocks : of a recording of fewer trials.
    scored : (row,), rows that count; a block has at least one.
    """
    trials = population.trials
    cut = trials
    if len(trials) < check_count(n_blocks, "n_blocks", 2):
        size = max(population.samples.n_rows / n_blocks, 1.0)
        cut = []
        for one in trials:
            n = max(round((one.stop - one.start) / size), 1)
            edges = np.linspace(one.start, one.stop, n + 1).round().astype(int)
            cut += [slice(int(a), int(b)) for a, b in pairwise(edges) if b > a]
    return number_blocks(cut, scored)


def number_blocks(
    blocks: Sequence[slice], scored: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], int]:
    """Number of the block of each row, and how many blocks have a row that counts."""
    block = np.zeros(len(scored), dtype=np.int64)
    n = 0
    for rows in blocks:
        block[rows] = n
        n += bool(scored[rows].any())
    return np.minimum(block, max(n - 1, 0)), n
