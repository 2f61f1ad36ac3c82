"""Settings that estimators of several networks share, checked in one place."""

from typing import Any

from neurornn._core.checks import (
    check_confidence_level,
    check_count,
    check_number,
    check_positive,
    check_rng,
)
from neurornn._core.errors import DataError


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
