"""The physical parameters of a fitted model as a labelled table."""

import numpy as np
import torch
import xarray as xr

from neurornn._core.confidence import Estimate, scale_interval, to_dataset
from neurornn._core.status import status_variable
from neurornn.models.base import RecurrentModel
from neurornn.training.curvature import Intervals
from neurornn.training.objectives import Objective

#: Time constants shorter than so many steps move with the clock of the model.
CLOCK_STEPS = 5


def parameter_table(
    model: RecurrentModel,
    intervals: dict[str, Intervals],
    variance: torch.Tensor,
    dof: np.ndarray,
    objective: Objective,
    confidence_level: float,
) -> xr.Dataset:
    """Lay the physical parameters out as a table.

    Parameters
    ----------
    model : fitted.
    intervals : name -> interval of each physical parameter.
    variance : (output,), of the residuals.
    dof : (output,), their degrees of freedom.
    objective, confidence_level : of the fit.

    Returns
    -------
    Dataset
        Each physical parameter beside its ``_ci``; for ``tau`` also ``weight``, ``memory`` and
        ``clock``, ``"unresolved"`` where tau is shorter than `CLOCK_STEPS` steps; ``noise_sd
        (output)`` of a Gaussian fit.
    """
    method = f"maximum {objective.name} likelihood; interval from its Fisher information"
    if model.covariance_weights:
        method = method.replace("maximum", "restricted maximum", 1)
    estimates: list[Estimate] = []
    dims: tuple[str, ...] = ()
    status = None
    covariance = None
    names: list[str] = []
    statuses = {}
    for p in model.physical_parameters:
        found = intervals[p.name]
        value = model.physical_value(p).detach().numpy()
        estimates.append(
            Estimate(
                name=p.name,
                value=value,
                ci=found.ci,
                units=p.units,
                long_name=p.long_name,
                method=method,
                dims=p.dims,
                reason=found.reason,
            )
        )
        if status is None:
            # The first parameter is the one the fit is made for; the others have their own.
            dims, status, names = p.dims, found.status, [p.name]
            covariance = found.variance[..., None, None]
        else:
            statuses[f"{p.name}_status"] = status_variable(p.dims, found.status)
        if p.name != "tau":
            continue
        short = value < CLOCK_STEPS * model.dt
        statuses["clock"] = (
            p.dims,
            np.where(short, "unresolved", "resolved"),
            {"long_name": f"unresolved: shorter than {CLOCK_STEPS} dt, moves with the clock"},
        )
        for name, units, long_name, of in (
            (
                "weight",
                "1",
                "share of the state kept in a step, exp(-dt / tau)",
                lambda t: np.exp(-model.dt / t),
            ),
            ("memory", "frame", "time constant in steps, tau / dt", lambda t: t / model.dt),
        ):
            estimates.append(
                Estimate(
                    name=name,
                    value=of(value),
                    ci=of(found.ci),
                    units=units,
                    long_name=long_name,
                    method=f"from {p.name}",
                    dims=p.dims,
                    reason=found.reason,
                )
            )
    if objective.name == "gaussian":
        noise = np.where(np.isnan(dof), np.nan, np.sqrt(variance.numpy()))
        estimates.append(
            Estimate(
                name="noise_sd",
                value=noise,
                ci=scale_interval(noise, dof, confidence_level),
                units="1",
                long_name="standard deviation of the residuals",
                method="root of the residual mean square; interval from its chi-square law",
                dims=("output",),
                reason="there are no more data than weights",
            )
        )
    table = to_dataset(
        estimates,
        confidence_level=confidence_level,
        coords={k: np.array(v) for k, v in model.labels.items()},
        status=status,
        status_dims=dims,
        covariance=covariance,
        covariance_names=names,
        covariance_dims=dims,
    )
    return table.assign(statuses)
