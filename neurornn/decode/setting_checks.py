"""Settings that all decoders share, and bins enough for them: refused with words."""

from typing import Any, Protocol

import numpy as np

from neurornn._core.checks import check_bin_size, check_count
from neurornn._core.errors import DataError, NameUnknownError, nearest
from neurornn.data.samples import Samples

SIGNALS = ("counts", "features")
IMPUTATIONS = ("expected", "mean")


class SharedSettings(Protocol):
    """Settings of every decoder."""

    bin_size: float | None
    signal: str
    smoothing: float
    adaptation_tau: float | None
    impute: str
    n_folds: int
    confidence_level: float


def check_settings(settings: SharedSettings) -> None:
    """Refuse settings that no decoder can be fitted with."""
    if settings.bin_size is not None:
        check_bin_size(settings.bin_size)
    check_count(settings.n_folds, "n_folds")
    for name, value, known in (
        ("signal", settings.signal, SIGNALS), ("impute", settings.impute, IMPUTATIONS),
    ):  # fmt: skip
        if not isinstance(value, str) or value not in known:
            raise NameUnknownError(
                f"{name} is {value!r}", f"One of {', '.join(known)} was needed",
                nearest(str(value), known),
            )  # fmt: skip
    smoothing, tau = settings.smoothing, settings.adaptation_tau
    if not (is_number(smoothing) and smoothing >= 0) or not (
        tau is None or (is_number(tau) and tau > 0)
    ):
        raise DataError(
            f"smoothing is {smoothing!r} s and adaptation_tau {tau!r} s",
            "Times in s of at least 0 were needed, adaptation_tau above 0 or None",
            "Leave them at their defaults",
        )
    level = settings.confidence_level
    if not (is_number(level) and 0 < level < 1):
        raise DataError(
            f"confidence_level is {level!r}", "A share above 0 and below 1 was needed",
            "Pass 0.9 for intervals that cover 90 of 100",
        )  # fmt: skip


def check_enough_bins(bins: Samples, span: float, n_folds: int, *, labelled: bool) -> None:
    """Refuse bins in which nothing happens, or too few of them.

    Parameters
    ----------
    span : bins that the lags of the decoder reach over.
    labelled : the targets are labels of classes.
    """
    y = bins.targets
    assert y is not None
    recorded = np.isfinite(bins.values)
    low = np.where(recorded, bins.values, np.inf).min(axis=0)
    if not np.any(np.where(recorded, bins.values, -np.inf).max(axis=0) > low):
        raise DataError(
            f"No unit ever changes its count, n_samples={len(bins.values)} bins came",
            "At least one unit that fires at times was needed",
            "Check the units and the bin size",
        )
    if 2 * span > len(bins.values) > 0:
        raise DataError(
            f"n_lags and lag span {span} bins, n_samples={len(bins.values)} bins came",
            f"At least {2 * span} bins were needed",
            "Record for longer, or pass fewer n_lags",
        )
    if labelled:
        return
    known = np.isfinite(y).all(axis=1)
    if known.sum() < 2 * n_folds:
        raise DataError(
            f"{int(known.sum())} bins with counts and targets came, n_samples={int(known.sum())}",
            f"At least {2 * n_folds} were needed for {n_folds} blocks",
            "Record for longer, or pass fewer n_folds",
        )
    flat = np.ptp(y[known], axis=0) == 0
    if flat.any():
        raise DataError(
            f"Output {bins.output[flat][0]} of the targets never changes",
            "Targets that change over time were needed",
            "Leave that output out, or check the selection",
        )


def alike(a: Any, b: Any) -> bool:
    """Whether two settings are the same value of the same kind; 1 and 1.0 are."""
    try:
        return type(a) in (type(b), int, float, bool) and bool(np.all(a == b))
    except (TypeError, ValueError):
        return False


def is_number(value: Any) -> bool:
    """Whether a setting is one finite number, neither a truth value nor a duration."""
    plain = isinstance(value, int | float | np.integer | np.floating)
    return plain and not isinstance(value, bool | np.timedelta64) and -1e30 < value < 1e30


def only_counts(decoder: SharedSettings) -> None:
    """Refuse settings that change the counts, for a decoder whose likelihood is Poisson."""
    if decoder.signal != "counts" or decoder.smoothing or decoder.adaptation_tau is not None:
        raise DataError(
            f"signal is {decoder.signal!r}, smoothing {decoder.smoothing} and adaptation_tau "
            f"{decoder.adaptation_tau}",
            "Counts as they are were needed: their likelihood is Poisson",
            "Leave these settings at their defaults",
        )
