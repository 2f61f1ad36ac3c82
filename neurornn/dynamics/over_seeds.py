"""Points of one network found again in fits of other seeds, and what their time constants are."""

import copy
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn._core.rng import derived_seed
from neurornn._core.status import Status
from neurornn.dynamics.fixed_points import points_of
from neurornn.dynamics.maps import as_map
from neurornn.models.base import RecurrentModel
from neurornn.training.many import fit_many, redrawn
from neurornn.training.settings import FitSettings

Array = NDArray[np.float64]

#: Networks of which an interval can be formed, and the share of the size of the outputs below
#: which two of them are one.
LEAST, SAME = 3, 1e-6
#: How a fit ended that counts.
_ENDED = (Status.OK, Status.STOPPED_EARLY)


class OverSeeds(NamedTuple):
    """Modes of the points of a fit in the networks of several seeds.

    Attributes
    ----------
    rate, turn : (seed, point, mode), growth and frequency per unit of time; NaN where the network
        has no such point.
    n_left_out : fits that failed or did not converge.
    unclear : (point,), whether another point of the fit has the same output, so that they cannot
        be told apart in another network.
    """

    rate: Array
    turn: Array
    n_left_out: int
    unclear: NDArray[np.bool_]


def fits_again(result: Any, data: Any, n_jobs: int) -> list[Any]:
    """Fit the seeds of a result again: it holds their numbers, and not their networks.

    Parameters
    ----------
    result : FitResult of ``nr.fit(n_seeds=...)``.
    data : what it was fitted to.
    n_jobs : processes.

    Raises
    ------
    KindError, DataError
        A result of one seed, no data, a fit that a validation part has stopped.
    """
    if result.seeds is None:
        raise KindError(
            "seeds=True came with the fit of one seed",
            "A result of nr.fit(..., n_seeds=...) was needed, or the fits themselves",
            "Pass seeds=nr.training.fit_many([(model, data), ...]) of models with rng=0, 1, ...",
        )
    if data is None:
        raise DataError(
            "seeds=True came without data",
            "What the result was fitted to was needed: its seeds are fitted again",
            "Pass data, or the fits themselves as seeds=",
        )
    if np.isfinite(result.history["validation_loss"].values).any():
        raise DataError(
            "The result was chosen on a validation part, which it does not hold",
            "Fits that were stopped as it was were needed",
            "Pass them: seeds=nr.training.fit_many([(model, data), ...], validation=...)",
        )
    best = int(np.nanargmin(result.seeds["loss"].values))
    known = {f.name for f in fields(FitSettings)}
    options = {n: v for n, v in result.settings.items() if n in known}
    jobs = []
    for k in range(result.seeds.sizes["seed"]):
        if k != best:
            # As `nr.fit` draws them; the first seed has the weights that came, which are gone.
            seed = derived_seed(options["rng"], 500, k)
            jobs.append((redrawn(result.model, seed), data, {**options, "rng": seed}))
    return fit_many(jobs, n_jobs=n_jobs)


def modes_over_seeds(
    states: Array,
    n_unstable: NDArray[np.int64],
    result: Any,
    seeds: Any,
    inputs: Array | None,
    n_modes: int,
    rng: np.random.Generator,
) -> OverSeeds:
    """Find the points of a fit again in the networks of other seeds, and read their modes.

    Parameters
    ----------
    states : (point, state), of the fit.
    n_unstable : (point,), modes that grow.
    result : FitResult, which counts as one of the seeds.
    seeds : FitResults or models.
    inputs : (input,), held constant.
    n_modes : leading modes that are read.
    rng : for the searches.

    Notes
    -----
    Units of two networks have nothing in common; what the networks say has. A point is taken to be
    that of the fit where its output is nearer than half the way to that of the next point of the
    fit, as many modes grow, and no second point is there.
    """
    models = _models_of(seeds, result)
    own = _outputs(result.model, states, inputs)
    away = np.linalg.norm(own[:, None] - own, axis=2)
    np.fill_diagonal(away, np.inf)
    nearest = away.min(axis=1, initial=np.inf)
    unclear = nearest <= SAME * (1 + np.abs(own).max(initial=0.0))
    networks = [result.model, *[m for m, good in models if good]]
    shape = (len(networks), len(states), n_modes)
    rate, turn = np.full(shape, np.nan), np.full(shape, np.nan)
    for k, model in enumerate(networks):
        whole = as_map(model, inputs)
        if k:
            table = points_of(whole, rng, quiet=True, prove=False).parameters
            there, grow = table["state"].values, table["n_unstable"].values
            said = _outputs(model, there, inputs)
            fits = np.linalg.norm(own[:, None] - said, axis=2) < nearest[:, None] / 2
            fits &= n_unstable[:, None] == grow
            found = np.flatnonzero(fits.sum(axis=1) == 1)
            there = there[fits[found].argmax(axis=1)] if len(found) else states[:0]
        else:
            found, there = np.arange(len(states)), states
        if not len(found):
            continue
        values = whole.cell.eigenvalues(there).astype(complex)
        order = np.argsort(-np.abs(values), axis=1, kind="stable")
        values = np.take_along_axis(values, order, axis=1)[:, :n_modes]
        with np.errstate(divide="ignore"):
            rate[k, found, : values.shape[1]] = np.log(np.abs(values)) / whole.dt
        turn[k, found, : values.shape[1]] = np.abs(np.angle(values)) / (2 * np.pi * whole.dt)
    return OverSeeds(rate, turn, sum(not good for _, good in models), unclear)


def _models_of(seeds: Any, result: Any) -> list[tuple[RecurrentModel, bool]]:
    """The other networks, and whether their fits count."""
    if not isinstance(seeds, Sequence) or isinstance(seeds, str):
        raise KindError(
            f"seeds is a {type(seeds).__name__}",
            "Fits of other seeds were needed, in a list, or True",
            "Pass seeds=nr.training.fit_many([(model, data), ...]) of models with rng=0, 1, ...",
        )
    own, found = result.model, []
    for k, one in enumerate(seeds):
        model = getattr(one, "model", one)
        if not isinstance(model, RecurrentModel):
            raise KindError(
                f"seeds[{k}] is a {type(one).__name__}",
                "A FitResult or a model was needed",
                "Pass what nr.training.fit_many returned",
            )
        wide = (model.n_input, model.n_output, model.dt)
        if wide != (own.n_input, own.n_output, own.dt):
            raise ShapeError(
                f"seeds[{k}] has {model.n_input} inputs, {model.n_output} outputs and a step of "
                f"{model.dt:g}",
                f"Fits of the same task were needed: {own.n_input}, {own.n_output} and {own.dt:g}",
                "Points are told to be one by their outputs under the same input",
            )
        if not _is_same(model, own):
            found.append((model, getattr(one, "status", Status.OK) in _ENDED))
    return found


def _is_same(model: RecurrentModel, other: RecurrentModel) -> bool:
    """Whether two networks have the same weights: one fit, which counts once."""
    mine, theirs = model.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(
        mine[k].shape == theirs[k].shape and bool((mine[k].cpu() == theirs[k].cpu()).all())
        for k in mine
    )


def _outputs(model: RecurrentModel, states: Array, inputs: Array | None) -> Array:
    """What a network says in each of its fixed points, (point, output)."""
    if not len(states):
        return np.zeros((0, model.n_output))
    twin = copy.deepcopy(model).cpu().double().eval().requires_grad_(False)
    u = np.zeros(model.n_input) if inputs is None else inputs
    rows = torch.from_numpy(np.tile(np.asarray(u, dtype=float), (len(states), 1, 1)))
    return np.asarray(twin(rows, torch.from_numpy(np.array(states))).output[:, 0].numpy())
