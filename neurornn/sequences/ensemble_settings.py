"""What estimators of several networks share: settings, checked, and the table of their losses."""

from typing import Any

import numpy as np
import xarray as xr

from neurornn._core.checks import (
    check_confidence_level,
    check_count,
    check_number,
    check_positive,
    check_rng,
)
from neurornn._core.errors import DataError
from neurornn._core.quantities import Quantity

#: Of gated units that read letters.
LENGTH_CONSTANT = Quantity(
    name="tau", units="bp", dims=("direction",),
    long_name="median length constant of the gates of a direction", method="trained",
    reason="the training ends early and has no curvature to read",
)  # fmt: skip


def check_ensemble(estimator: Any, *counts: str) -> None:
    """Raise where settings of an ensemble cannot be.

    Parameters
    ----------
    estimator : with ``n_seeds``, ``max_epochs``, ``learning_rate``, ``validation_fraction``,
        ``confidence_level`` and ``rng``. Each network stops by a part of its own, so that
        ``n_seeds * validation_fraction`` is at most 1.
    *counts : names of further settings that are counts.

    Raises
    ------
    DataError, KindError
        A setting that cannot be.
    """
    for name in ("n_seeds", *counts, "max_epochs"):
        check_count(getattr(estimator, name), name)
    check_positive(estimator.learning_rate, "learning_rate")
    check_number(estimator.validation_fraction, "validation_fraction", above=0, most=0.5)
    check_confidence_level(estimator.confidence_level)
    check_rng(estimator.rng)
    if estimator.n_seeds * estimator.validation_fraction > 1 + 1e-9:
        raise DataError(
            f"n_seeds is {estimator.n_seeds} and validation_fraction "
            f"{estimator.validation_fraction:g}",
            "Parts that do not overlap were needed: a product of at most 1",
            f"Pass validation_fraction={1 / estimator.n_seeds:.3g}",
        )


def training_history(found: Any, trained: str, held_out: str) -> xr.Dataset:
    """Losses of every network over the epochs.

    Parameters
    ----------
    found : with ``loss`` and ``validation_loss``, (network, epoch), NaN after the last epoch.
    trained, held_out : what the two losses are, in words.
    """
    n_networks, n_epochs = np.shape(found.loss)
    return xr.Dataset(
        {
            name: (("network", "epoch"), values, {"units": "1", "long_name": text})
            for name, values, text in (
                ("loss", found.loss, trained),
                ("validation_loss", found.validation_loss, held_out),
            )
        },
        coords={"network": np.arange(n_networks), "epoch": np.arange(1, n_epochs + 1)},
    )
