"""How the score of a decoder grows with the number of units."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from neurornn._core.checks import (
    check_confidence_level,
    check_count,
    check_labels,
    check_rng,
    check_rows,
)
from neurornn._core.confidence import Estimate, bootstrap_interval, to_dataset
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn._core.old_names import renamed
from neurornn._core.rng import RNG, generator
from neurornn.data.splitters import BlockedSplit


@renamed(gap="gap_rows")
def neuron_dropping(
    decoder: Any,
    counts: Any,
    targets: Any,
    *,
    n_units: Sequence[int] | None = None,
    n_draws: int = 10,
    n_blocks: int = 5,
    gap_rows: int = 50,
    confidence_level: float = 0.95,
    rng: RNG = None,
) -> xr.Dataset:
    """Refit a decoder on random subsets of units and score it on a later block.

    Parameters
    ----------
    decoder : scikit-learn estimator, for example ``decode.KalmanFilter(bin_size=0.02)``
        A clone is fitted for each subset; its own ``score`` is the score (R2 for regression).
    counts : (time, unit), array or DataArray; handed on as the same kind.
    targets : as many rows.
    n_units : how many units to keep; by default 8 numbers from 1 to all, evenly spaced in the
        logarithm.
    n_draws : random orders of the units.

    Other Parameters
    ----------------
    n_blocks : the last of so many blocks of time is held out; the rest is for training.
    gap_rows : dropped between training and the block held out. At least the decoder's history.
    confidence_level : of the interval of the mean.
    rng : int, Generator or None; for the draws.

    Returns
    -------
    Dataset
        ``score (n_units, draw)``; ``score_mean (n_units)`` with ``score_mean_ci``, a bootstrap
        over draws; ``n_train`` and ``n_test`` (rows).

    Raises
    ------
    ShapeError, DataError, KindError, SplitError
        Unequal rows; more units asked for than there are; no estimator; too few rows.

    Notes
    -----
    Within a draw the units are added in one random order, so that each larger set holds the
    smaller ones and the curve of a draw is not broken by chance. The draws share the session: the
    interval is about the choice of units, not about other sessions. With all units there is one
    set, whose score stands in every draw, and no interval.

    References
    ----------
    Wessberg et al. 2000, Nature 408:361, doi:10.1038/35042582 (neuron dropping).

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from neurornn.simulate import simulate_reaches
    >>> session = simulate_reaches(20, 10, rng=0)
    >>> table = neuron_dropping(
    ...     Ridge(), session["counts"], session["velocity"], n_units=[2, 10], n_draws=3, rng=0
    ... )
    >>> table["score"].dims, bool(table["score_mean"][1] > table["score_mean"][0])
    (('n_units', 'draw'), True)
    """
    if not (hasattr(decoder, "fit") and hasattr(decoder, "score")):
        raise KindError(
            f"decoder is a {type(decoder).__name__}",
            "An estimator with fit(counts, targets) and score(counts, targets) was needed",
            "Pass the decoder itself, not its stream",
        )
    spikes, goals = _rows(counts, "counts"), _rows(targets, "targets")
    if np.ndim(spikes) != 2 or len(spikes) != len(goals):
        raise ShapeError(
            f"counts has shape {np.shape(spikes)} and targets {np.shape(goals)}",
            "counts (time, unit) and as many rows of targets were needed",
            "Bring the targets onto the bins of the counts with data.resample_to",
        )
    total = spikes.shape[1]
    sizes = _sizes(n_units, total)
    n_draws = check_count(n_draws, "n_draws", most=1_000_000)
    check_confidence_level(confidence_level)
    gap_rows = check_count(gap_rows, "gap_rows", 0)
    train, test = list(BlockedSplit(n_blocks, gap_rows=gap_rows).split(np.empty(len(spikes))))[-1]
    rng = generator(check_rng(rng))
    score = np.empty((len(sizes), n_draws))
    for draw in range(n_draws):
        order = rng.permutation(total)
        for k, size in enumerate(sizes):
            if size == total and draw:
                score[k, draw] = score[k, 0]
                continue
            units = np.sort(order[:size])
            with threadpool_limits(1):
                fitted = clone(decoder).fit(_pick(spikes, train, units), _pick(goals, train))
                score[k, draw] = fitted.score(_pick(spikes, test, units), _pick(goals, test))
    seed = int(rng.integers(2**31 - 1))
    # All units are one set: its score stands in every draw, and has no spread.
    ci = [
        bootstrap_interval(
            s[:1] if size == total else s, confidence_level=confidence_level, rng=seed
        )
        for s, size in zip(score, sizes, strict=True)
    ]
    how = (
        f"mean over {n_draws} draws of units; trained on {len(train)} rows, scored on the last "
        f"{len(test)}; percentile bootstrap over draws"
    )
    table = to_dataset(
        [
            Estimate(name="score_mean", value=score.mean(axis=1), ci=ci, units="1",
                     long_name="mean score", method=how, dims=("n_units",),
                     reason="fewer than 3 draws, or all units, which are one set"),
        ],
        confidence_level=confidence_level,
        coords={"n_units": sizes, "draw": np.arange(n_draws)},
    )  # fmt: skip
    table["score"] = (
        ("n_units", "draw"),
        score,
        {"units": "1", "long_name": f"score of {type(decoder).__name__}"},
    )
    table["n_units"].attrs.update(units="1", long_name="number of units")
    table["n_train"] = ((), len(train), {"units": "1", "long_name": "rows"})
    table["n_test"] = ((), len(test), {"units": "1", "long_name": "rows"})
    return table


def _sizes(n_units: Sequence[int] | None, total: int) -> NDArray[np.int64]:
    if n_units is None:
        return np.unique(np.geomspace(1, total, 8).round().astype(np.int64))
    sizes = np.unique(np.atleast_1d(check_labels(n_units, "n_units")))
    if sizes.dtype.kind not in "iu" or not len(sizes) or sizes[0] < 1 or sizes[-1] > total:
        raise DataError(
            f"n_units is {sizes.tolist()} for a recording of {total} units",
            f"Whole numbers from 1 to {total} were needed",
            "Leave n_units out for 8 numbers evenly spaced in the logarithm",
        )
    return sizes.astype(np.int64)


def _rows(data: Any, name: str) -> Any:
    """The data with rows of time first: a DataArray as it is, anything else as an array."""
    if not isinstance(data, xr.DataArray):
        return check_rows(data, name)
    if "time" not in data.dims:
        raise ShapeError(
            f"{name} has dims {tuple(map(str, data.dims))}",
            "A time axis was needed",
            "Pass one variable (time, ...) of the recording",
        )
    return data.transpose("time", ...)


def _pick(data: Any, rows: NDArray[np.intp], units: NDArray[np.intp] | None = None) -> Any:
    if isinstance(data, xr.DataArray):
        part = data.isel(time=rows)
        return part if units is None else part.isel({part.dims[1]: units})
    return data[rows] if units is None else data[np.ix_(rows, units)]
