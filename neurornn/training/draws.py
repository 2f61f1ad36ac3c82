"""Networks whose weights are drawn around those of a fit, as far as the data leave them open."""

import copy
from collections.abc import Iterator
from typing import Any

import torch

from neurornn._core.checks import check_count, check_rng
from neurornn._core.errors import DataError
from neurornn._core.rng import RNG, generator
from neurornn.models.base import RecurrentModel
from neurornn.training.batches import as_training_data
from neurornn.training.curvature import MAX_PARAMETERS, by_jacobian, information, pseudo_inverse
from neurornn.training.inference import noise_of
from neurornn.training.objectives import objective_named


def weight_draws(
    result: Any, data: Any, n_draws: int = 100, *, rng: RNG = 0
) -> Iterator[RecurrentModel]:
    """Draw networks around a fit: what the data do not settle differs from one to the next.

    Parameters
    ----------
    result : FitResult.
    data : what it was fitted to, as for `nr.fit`.
    n_draws : networks.
    rng : int, Generator or None.

    Yields
    ------
    RecurrentModel
        In float64, on the processor; the model of the result stays as it is.

    Raises
    ------
    DataError
        More weights than the information is formed for, no more data than weights.

    Notes
    -----
    Weights are normal around the maximum of the likelihood with the pseudo-inverse of the Fisher
    information as covariance, widened where scores scatter more over trials than the likelihood
    says (White 1982, doi:10.2307/1912526). Directions without information, along which weights
    trade against one another and nothing that can be seen changes, are left as they are.
    """
    n_draws = check_count(n_draws, "n_draws")
    draw = generator(check_rng(rng))
    model = copy.deepcopy(result.model).cpu().double().eval()
    given = as_training_data(data, model)
    objective = objective_named(result.settings["objective"])
    weights = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}
    n_weights = sum(p.numel() for p in weights.values())
    if not by_jacobian(model, given, n_weights):
        raise DataError(
            f"The model has {n_weights} weights",
            f"At most {MAX_PARAMETERS} were needed, and not too long a recording: their "
            "information is formed whole",
            "Fit from several seeds, or nr.training.bootstrap_intervals, and compare",
        )
    variance, _ = noise_of(model, given, objective)
    if not bool(variance.isfinite().all()):
        raise DataError(
            f"The data have no more values than the model weights, {n_weights}",
            "More data than weights were needed to know how well these are known",
            "Fit a smaller model",
        )
    fisher, meat, _ = information(model, weights, given, objective, variance)
    covariance, _ = pseudo_inverse(fisher)
    plain = covariance.diagonal()
    wide = (covariance @ meat @ covariance).diagonal()
    known = plain > 1e-12 * plain.max()
    widened = float(torch.clamp((wide[known] / plain[known]).mean(), min=1.0))
    values, vectors = torch.linalg.eigh(covariance)
    root = vectors * torch.sqrt(torch.clamp(values, min=0.0) * widened)
    for _ in range(n_draws):
        step = root @ torch.from_numpy(draw.standard_normal(n_weights))
        drawn, first = copy.deepcopy(model), 0
        with torch.no_grad():
            for name, p in drawn.named_parameters():
                if name in weights:
                    p.add_(step[first : first + p.numel()].reshape(p.shape))
                    first += p.numel()
        yield drawn.requires_grad_(False)
