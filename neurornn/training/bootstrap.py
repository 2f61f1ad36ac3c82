"""Intervals of physical parameters by parametric bootstrap: draw data from the fit, fit again."""

import copy
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import xarray as xr

from neurornn._core.confidence import normal_quantile
from neurornn._core.errors import DataError, KindError
from neurornn._core.old_names import renamed
from neurornn._core.rng import derived_seed
from neurornn._core.status import Status
from neurornn.training.batches import as_training_data
from neurornn.training.many import fit_many
from neurornn.training.objectives import draw_targets, objective_named
from neurornn.training.result import FitResult

#: Refits that must have ended well for an interval to be given.
MIN_DRAWS = 20


#: Settings of the fit that a draw does not take over; ``warmup`` is in results of older versions.
_NOT_AGAIN = ("rng", "intervals", "warmup_epochs", "warmup", "n_seeds", "checkpoint_every")


@renamed(partial="checkpoint")
def bootstrap_intervals(
    result: FitResult,
    data: Any,
    *,
    n_draws: int = 100,
    confidence_level: float | None = None,
    rng: int = 0,
    n_jobs: int = 1,
    client: Any = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool | Callable[[int, int], None] = False,
    **options: Any,
) -> xr.Dataset:
    """Form intervals of the physical parameters by parametric bootstrap.

    Parameters
    ----------
    result : of `nr.fit`.
    data : what it was fitted to; inputs and mask are used, targets are drawn.
    n_draws : refits.
    confidence_level : by default that of the fit.
    rng : seed of the draws.
    n_jobs, client, checkpoint, progress : as in `training.fit_many`.
    options : of `nr.fit` for the refits, which start from the fitted weights.

    Returns
    -------
    Dataset
        Each physical parameter beside its ``_ci``, formed in the logarithm as the estimate give or
        take normal quantiles of the spread of the refits about it, and ``_bias``, the mean of the
        refits over the estimate, less 1; ``n_draws`` in the attrs is the number of refits that
        ended well.

    Raises
    ------
    DataError
        Fewer than `MIN_DRAWS` refits ended well.

    Notes
    -----
    Targets are the fitted mean plus noise of the fitted distribution (Efron & Tibshirani 1993, An
    Introduction to the Bootstrap, chapter 6). It makes no use of the curvature of the likelihood,
    and so has no limit on the number of weights; where the model itself is wrong it is as
    optimistic as the model.
    """
    if result.model.observes_targets:
        raise KindError(
            f"The model is a {type(result.model).__name__}, whose inputs hold its own targets",
            "A model of inputs that are known was needed",
            "Use the intervals of the fit",
        )
    if n_draws < MIN_DRAWS:
        raise DataError(
            f"n_draws is {n_draws}", f"At least {MIN_DRAWS} refits were needed", "Pass n_draws=100"
        )
    model = copy.deepcopy(result.model)
    given = as_training_data(data, model)
    objective = objective_named(result.settings["objective"])
    variance = torch.ones(model.n_output, dtype=torch.float64)
    if "noise_sd" in result.parameters:
        variance = torch.tensor(result.parameters["noise_sd"].values.copy()) ** 2
    with torch.no_grad():
        output = model.double().eval()(given.inputs).output
    model = model.to(next(result.model.parameters()).dtype)
    wanted = {key: value for key, value in result.settings.items() if key not in _NOT_AGAIN}
    wanted.update({**options, "intervals": False})
    jobs = []
    for k in range(n_draws):
        draw = torch.Generator().manual_seed(derived_seed(rng, k))
        targets = draw_targets(objective, output, variance, draw)
        jobs.append((model, (given.inputs, targets, given.mask), {"rng": derived_seed(rng, k, 1)}))
    fits = fit_many(
        jobs, n_jobs=n_jobs, client=client, checkpoint=checkpoint, progress=progress, **wanted
    )
    good = [f for f in fits if f.status in (Status.OK, Status.STOPPED_EARLY)]
    if len(good) < MIN_DRAWS:
        raise DataError(
            f"{len(good)} of {n_draws} refits ended well",
            f"At least {MIN_DRAWS} were needed",
            "Raise max_epochs, or n_draws",
        )
    level = result.settings["confidence_level"] if confidence_level is None else confidence_level
    quantile = normal_quantile(level)
    table = xr.Dataset(attrs={"n_draws": len(good), "ci_prob": level})
    for p in result.model.physical_parameters:
        estimate = result.parameters[p.name]
        draws = np.log(np.stack([f.parameters[p.name].values for f in good]))
        centre = np.log(estimate.values)
        spread = draws.std(0, ddof=1)
        ends = np.exp(np.stack([centre - quantile * spread, centre + quantile * spread], -1))
        bias = np.expm1(draws.mean(0) - centre)
        attrs = {"units": p.units, "long_name": p.long_name, "method": "parametric bootstrap"}
        table[p.name] = (estimate.dims, estimate.values, attrs)
        level_of = {"ci_kind": "confidence", "ci_prob": float(level)}
        table[f"{p.name}_ci"] = ((*estimate.dims, "ci_bound"), ends, {**attrs, **level_of})
        table[f"{p.name}_bias"] = (estimate.dims, bias, {"units": "1", "long_name": "bias"})
    return table.assign_coords(ci_bound=["lower", "upper"])
