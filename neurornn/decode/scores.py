"""How well a decoder does, each score with its interval: movement, place, targets, bits per s."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import (
    check_confidence_level,
    check_finite_or_missing,
    check_labels,
    check_number,
    check_numbers,
    check_rng,
)
from neurornn._core.confidence import (
    Estimate,
    binomial_interval,
    bootstrap_interval,
    to_dataset,
)
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn._core.rng import RNG, derived_seed, seed_of
from neurornn.decode.pairs import Pair, as_pair

#: Share of the fastest true speed (its 99th percentile) from which a direction is scored.
_MOVING = 0.1
#: What varies by less than this share of its size has rounding errors alone.
_ROUNDING = 1e-12


def movement_scores(
    true: Any,
    predicted: Any,
    *,
    units: str | None = None,
    min_speed: float | None = None,
    n_blocks: int = 20,
    confidence_level: float = 0.95,
    rng: RNG = 0,
) -> xr.Dataset:
    """Score a decoded movement against the true one.

    Parameters
    ----------
    true : (time,) or (time, output), array or DataArray
        Rows with NaN in either are left out and counted.
    predicted : as many rows and outputs.
    units : of the outputs; by default the ``units`` of `true`, else ``"1"``.
    min_speed : unit of the outputs
        The angle between the true and the decoded vector is scored only where the true one is
        longer. By default a tenth of the 99th percentile of its length. Give velocities where
        you want to read the angular error: between positions it says little.

    Other Parameters
    ----------------
    n_blocks : consecutive blocks that the bootstrap resamples whole
        Neighbouring bins are alike; a block must be much longer than the movement's memory.
    confidence_level : of the intervals.
    rng : int, Generator or None; of the bootstrap.

    Returns
    -------
    Dataset
        Each with ``_ci``: ``r2 (output)``, ``correlation (output)``, ``rmse (output)`` (in
        `units`), ``r2_mean`` (mean over outputs), ``angular_error`` (deg, median over the rows
        that move). Also ``n_rows``, ``n_left_out`` (NaN), ``n_moving`` and, in the attrs of
        ``angular_error``, ``min_speed``.

    Raises
    ------
    ShapeError
        Rows or outputs, or the time stamps of two DataArrays, do not agree.
    DataError
        Fewer than two whole rows, or no block can be formed.

    Notes
    -----
    ``R2 = 1 - sum (y - y')^2 / sum (y - mean y)^2`` with the mean of the rows that are scored; it
    is below 0 for a decoder worse than that mean. Vectors of length 0 have no direction: rows
    where the decoder says exactly 0 are not in the angular error. The intervals are percentile
    intervals over resampled blocks (Efron & Tibshirani 1993).

    Examples
    --------
    >>> t = np.linspace(0, 40, 2000)
    >>> true = np.stack([np.cos(t), np.sin(t)], axis=1)
    >>> table = movement_scores(true, 0.5 * true, units="cm/s")
    >>> float(table["r2_mean"].round(2)), float(table["angular_error"].round(6))
    (0.75, 0.0)
    """
    pair = as_pair(true, predicted, units, n_blocks)
    level, seed = check_confidence_level(confidence_level), seed_of(check_rng(rng))
    y, p = _about_mean(pair.true), _about_mean(pair.predicted)
    away = (pair.true - pair.predicted) ** 2
    terms = np.stack([np.ones_like(y), y, p, y * y, p * p, y * p, away], axis=-1)
    sums = np.array([b.sum(axis=0) for b in pair.blocks(terms)])  # (block, output, term)

    def scored(
        statistic: Callable[[NDArray[Any]], NDArray[Any]],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        value = np.atleast_1d(statistic(sums))
        ci = [
            bootstrap_interval(
                sums, partial(_entry, k, statistic), confidence_level=level, rng=seed
            )
            for k in range(len(value))
        ]
        return value, np.array(ci)

    r2, r2_ci = scored(_r2)
    mean, mean_ci = scored(lambda rows: _r2(rows).mean())
    corr, corr_ci = scored(_correlation)
    rmse, rmse_ci = scored(lambda rows: np.sqrt(rows[..., 6].sum(0) / rows[..., 0].sum(0)))
    angle, angle_ci, n_moving, limit, no_angle = _angular(pair, min_speed, level, seed)
    how = f"{len(pair.true)} rows; percentile bootstrap over {len(pair.edges) - 1} blocks"
    why = "fewer than 3 blocks"
    varies = "a true or a decoded output does not vary, or not in some of the blocks"
    still = why if len(sums) < 3 else varies
    dims = ("output",)
    table = to_dataset(
        [
            Estimate(name="r2", value=r2, ci=r2_ci, units="1", long_name="R2", method=how,
                     dims=dims, reason=still),
            Estimate(name="correlation", value=corr, ci=corr_ci, units="1",
                     long_name="correlation of true and decoded", method=how, dims=dims,
                     reason=still),
            Estimate(name="rmse", value=rmse, ci=rmse_ci, units=pair.units, of_data=True,
                     long_name="root mean square error", method=how, dims=dims, reason=why),
            Estimate(name="r2_mean", value=mean[0], ci=mean_ci[0], units="1",
                     long_name="mean R2 over outputs", method=how, reason=still),
            Estimate(name="angular_error", value=angle, ci=angle_ci, units="deg",
                     long_name="median angle between true and decoded", method=how,
                     reason=no_angle or why, attrs={"min_speed": limit}),
        ],
        confidence_level=level,
        coords={"output": pair.output},
    )  # fmt: skip
    table = _counted(table, pair)
    table["n_moving"] = ((), n_moving, {"units": "1", "long_name": "rows above min_speed"})
    return table


def place_errors(
    true: Any,
    predicted: Any,
    *,
    units: str | None = None,
    n_blocks: int = 20,
    confidence_level: float = 0.95,
    rng: RNG = 0,
) -> xr.Dataset:
    """Distance between the true and the decoded place.

    Parameters
    ----------
    true : (time,) on a track or (time, axis), array or DataArray
        Rows with NaN in either are left out and counted.
    predicted : as many rows and axes.
    units : by default the ``units`` of `true`, else ``"cm"``.
    n_blocks, confidence_level, rng : as in `movement_scores`.

    Returns
    -------
    Dataset
        ``median_error`` and ``mean_error`` with ``_ci``, ``n_rows`` and ``n_left_out``.

    Raises
    ------
    ShapeError, DataError
        As in `movement_scores`.

    Examples
    --------
    >>> table = place_errors(np.zeros((60, 2)), np.tile([3.0, 4.0], (60, 1)))
    >>> float(table["median_error"]), table["median_error"].attrs["units"]
    (5.0, 'cm')
    """
    pair = as_pair(true, predicted, units, n_blocks, default="cm")
    error = np.linalg.norm(pair.true - pair.predicted, axis=1)
    blocks = pair.blocks(error)
    how = f"{len(error)} rows; percentile bootstrap over {len(blocks)} blocks"
    seed = seed_of(check_rng(rng))
    check_confidence_level(confidence_level)
    estimates = [
        Estimate(
            name=f"{name}_error",
            value=of(error),
            ci=_over_blocks(blocks, of, confidence_level, seed),
            units=pair.units,
            of_data=True,
            long_name=f"{name} distance between true and decoded place",
            method=how,
            reason="fewer than 3 blocks",
        )
        for name, of in (("median", np.median), ("mean", np.mean))
    ]
    return _counted(to_dataset(estimates, confidence_level=confidence_level), pair)


def fitts_bit_rate(
    distance: ArrayLike,
    width: ArrayLike,
    time_to_target: ArrayLike,
    success: ArrayLike,
    *,
    confidence_level: float = 0.95,
    rng: RNG = 0,
) -> xr.Dataset:
    """Rate of information of target acquisition, in bit/s.

    Parameters
    ----------
    distance : (trial,) or number, cm, from the start to the centre of the target.
    width : (trial,) or number, cm, diameter of the target.
    time_to_target : (trial,), s; not read where the trial failed.
    success : (trial,), bool.
    confidence_level : of the interval.
    rng : int, Generator or None; of the bootstrap over trials.

    Returns
    -------
    Dataset
        ``bit_rate`` (bit/s) and ``difficulty`` (bit, mean index of difficulty of the successful
        trials), with ``bit_rate_ci``; ``n_trials`` and ``n_success``.

    Raises
    ------
    ShapeError, DataError
        Unequal lengths; a successful trial without a time above 0; a distance or width not above
        0.

    Notes
    -----
    Per successful trial ``log2(D / W + 1) / time``, Shannon's form of the index of difficulty
    (MacKenzie 1992) over the time; then the mean. Failed trials are not in it, as in the reports
    of cursor control (Simeral et al. 2011, Gilja et al. 2012): always read it beside the success
    rate. Compare rates only between runs with the same D and W: cursors driven by noisy decoders
    do not follow Fitts's law (Willett et al. 2017).

    References
    ----------
    MacKenzie 1992, Hum Comput Interact 7:91, doi:10.1207/s15327051hci0701_3;
    Simeral et al. 2011, J Neural Eng 8:025027, doi:10.1088/1741-2560/8/2/025027;
    Gilja et al. 2012, Nat Neurosci 15:1752, doi:10.1038/nn.3265;
    Willett et al. 2017, J Neural Eng 14:026010, doi:10.1088/1741-2552/aa5990.

    Examples
    --------
    >>> rate = fitts_bit_rate(6.0, 2.0, [1.0, 2.0, np.nan], [True, True, False])
    >>> float(rate["bit_rate"])
    1.5
    """
    check_confidence_level(confidence_level)
    hit = np.atleast_1d(check_labels(success, "success"))
    if hit.ndim != 1 or hit.dtype.kind not in "biu" or not np.isin(hit, (0, 1)).all():
        raise KindError(
            f"success has shape {hit.shape} and type {hit.dtype}",
            "True or False for each trial was needed",
            "Pass success as a boolean array (trial,)",
        )
    hit = hit.astype(bool)
    values = {}
    for name, given in (
        ("distance", distance),
        ("width", width),
        ("time_to_target", time_to_target),
    ):
        array = check_numbers(given, name)
        if array.shape not in ((), hit.shape):
            raise ShapeError(
                f"{name} has shape {array.shape} and success {hit.shape}",
                "One value for each trial was needed",
                "Select the same trials of all",
            )
        used = np.broadcast_to(array, hit.shape)[hit]
        if not np.all(np.isfinite(used) & (used > 0)):
            raise DataError(
                f"{name} of a successful trial is {used[~(np.isfinite(used) & (used > 0))][0]:g}",
                "A finite number above 0 for each successful trial was needed",
                "A target around the start is no trial: leave it out",
            )
        values[name] = used
    difficulty = np.log2(values["distance"] / values["width"] + 1)
    rates = difficulty / values["time_to_target"]
    check_finite_or_missing(rates, "The rate of a trial, log2(distance / width + 1) / time,")
    known = len(rates) > 0
    ci = bootstrap_interval(rates, confidence_level=confidence_level, rng=rng)
    how = f"mean over {len(rates)} successful of {len(hit)} trials; bootstrap over trials"
    table = to_dataset(
        [
            Estimate(name="bit_rate", value=rates.mean() if known else np.nan, ci=ci,
                     units="bit/s", long_name="Fitts bit rate", method=how,
                     reason="fewer than 3 successful trials"),
        ],
        confidence_level=confidence_level,
    )  # fmt: skip
    table["difficulty"] = (
        (),
        difficulty.mean() if known else np.nan,
        {"units": "bit", "long_name": "mean index of difficulty"},
    )
    table["n_trials"] = ((), len(hit), {"units": "1", "long_name": "trials"})
    table["n_success"] = ((), int(hit.sum()), {"units": "1", "long_name": "successful trials"})
    return table


def target_scores(true: Any, predicted: Any, *, confidence_level: float = 0.95) -> xr.Dataset:
    """Score decoded targets (classes): accuracy and which was taken for which.

    Parameters
    ----------
    true : (trial,), label of the target, numbers or words
        Trials where either label is NaN or None are left out and counted.
    predicted : as many labels.
    confidence_level : of the interval.

    Returns
    -------
    Dataset
        ``accuracy`` with ``accuracy_ci`` (Wilson); ``confusion (true_target, predicted_target)``,
        number of trials; ``n_trials``, ``n_left_out``, and ``chance``, the accuracy of naming
        always the most frequent target.

    Raises
    ------
    ShapeError, KindError, DataError
        Unequal lengths, labels of two kinds, no trial.

    Examples
    --------
    >>> table = target_scores([0, 0, 1, 1], [0, 1, 1, 1])
    >>> float(table["accuracy"]), table["confusion"].values.tolist()
    (0.75, [[1, 1], [0, 2]])
    """
    check_confidence_level(confidence_level)
    labels, given = (
        check_labels(x, name, missing=True)
        for x, name in ((true, "true"), (predicted, "predicted"))
    )
    if labels.ndim != 1 or labels.shape != given.shape:
        raise ShapeError(
            f"true has shape {labels.shape} and predicted {given.shape}",
            "One label for each trial in both, (trial,), was needed",
            "Turn probabilities into labels with argmax, and select the same trials",
        )
    missing = np.zeros(len(labels), dtype=bool)
    for side in (labels, given):
        if side.dtype.kind == "f":
            missing |= np.isnan(side)
        elif side.dtype.kind == "O":
            missing |= np.array([x is None or x != x for x in side], dtype=bool)
    labels, given = labels[~missing], given[~missing]
    if not len(labels):
        raise DataError(
            f"{len(missing)} trials came, all without a label",
            "At least one trial with both labels was needed",
            "Check the selection",
        )
    try:
        names = sorted(set(labels.tolist()) | set(given.tolist()))
    except TypeError:
        raise KindError(
            f"true holds {labels.dtype} and predicted {given.dtype} labels",
            "Labels of one kind in both were needed",
            "Name the targets in both by numbers, or in both by words",
        ) from None
    place = {name: k for k, name in enumerate(names)}
    confusion = np.zeros((len(names), len(names)), dtype=np.int64)
    pairs = [(place[a], place[b]) for a, b in zip(labels.tolist(), given.tolist(), strict=True)]
    np.add.at(confusion, tuple(np.array(pairs).T), 1)
    n, n_right = len(labels), int(np.trace(confusion))
    table = to_dataset(
        [
            Estimate(name="accuracy", value=n_right / n,
                     ci=binomial_interval(n_right, n, confidence_level), units="1",
                     long_name="share of trials decoded right", method=f"{n} trials; Wilson"),
        ],
        confidence_level=confidence_level,
        coords={"true_target": names, "predicted_target": names},
    )  # fmt: skip
    table["confusion"] = (
        ("true_target", "predicted_target"),
        confusion,
        {"units": "1", "long_name": "trials"},
    )
    most = confusion.sum(axis=1).max() / n
    table["chance"] = ((), most, {"units": "1", "long_name": "share of the most frequent target"})
    table["n_trials"] = ((), n, {"units": "1", "long_name": "trials with both labels"})
    table["n_left_out"] = ((), int(missing.sum()), {"units": "1", "long_name": "without a label"})
    return table


def _entry(k: int, statistic: Callable[[NDArray[Any]], NDArray[Any]], rows: NDArray[Any]) -> float:
    return float(np.atleast_1d(statistic(rows))[k])


def _about_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Deviations from the mean, whose squares add up without loss; 0 where all is rounding."""
    away = values - values.mean(axis=0)
    away[:, np.ptp(values, axis=0) <= _ROUNDING * np.abs(values).max(axis=0)] = 0.0
    return away


def _spread(
    n: NDArray[np.float64], x: NDArray[np.float64], xx: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sum of squares about the mean, from sums; 0 where no more than rounding is left of it."""
    spread = xx - x * x / n
    return np.where(spread > _ROUNDING * xx, spread, 0.0)


def _r2(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    n, y, _, yy, _, _, ee = np.moveaxis(rows.sum(axis=0), -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = _spread(n, y, yy)
        return np.where(spread > 0, 1 - ee / spread, np.nan)


def _correlation(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    n, y, p, yy, pp, yp, _ = np.moveaxis(rows.sum(axis=0), -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = _spread(n, y, yy) * _spread(n, p, pp)
        return np.where(scale > 0, (yp - y * p / n) / np.sqrt(scale), np.nan)


def _angular(
    pair: Pair, min_speed: float | None, level: float, seed: int
) -> tuple[float, tuple[float, float], int, float, str]:
    """Median angle in deg, its interval, rows that count, the limit, and why there is none."""
    nothing = (np.nan, (np.nan, np.nan))
    if pair.true.shape[1] < 2:
        return *nothing, 0, np.nan, "one output has no direction"
    length = np.linalg.norm(pair.true, axis=1)
    limit = (
        _MOVING * float(np.quantile(length, 0.99))
        if min_speed is None
        else check_number(min_speed, "min_speed", pair.units)
    )
    if not (np.isfinite(limit) and limit >= 0):
        raise DataError(
            f"min_speed is {limit:g} {pair.units}",
            "A speed of 0 or more was needed",
            "Leave it out for a tenth of the fastest speed",
        )
    told = np.linalg.norm(pair.predicted, axis=1)
    moving = (length > limit) & (told > 0)
    if not moving.any():
        return *nothing, 0, limit, f"no row moves faster than {limit:g} {pair.units}"
    angle = np.full(len(length), np.nan)
    a = pair.true[moving] / length[moving, None]
    b = pair.predicted[moving] / told[moving, None]
    # Exact for small and for straight angles, in any number of outputs (Kahan).
    angle[moving] = np.degrees(
        2 * np.arctan2(np.linalg.norm(a - b, axis=1), np.linalg.norm(a + b, axis=1))
    )
    blocks = [x for block in pair.blocks(angle) if len(x := block[~np.isnan(block)])]
    ci = _over_blocks(blocks, np.median, level, derived_seed(seed, 1))
    return float(np.nanmedian(angle)), ci, int(moving.sum()), limit, ""


def _over_blocks(
    blocks: list[NDArray[np.float64]],
    statistic: Callable[[NDArray[np.float64]], Any],
    level: float,
    seed: int,
) -> tuple[float, float]:
    """Interval of a statistic of rows, whole blocks of which are resampled."""
    return bootstrap_interval(
        np.arange(len(blocks)),
        lambda picks: statistic(np.concatenate([blocks[k] for k in picks])),
        confidence_level=level,
        rng=seed,
    )


def _counted(table: xr.Dataset, pair: Pair) -> xr.Dataset:
    table["n_rows"] = ((), len(pair.true), {"units": "1", "long_name": "rows scored"})
    table["n_left_out"] = ((), pair.n_left_out, {"units": "1", "long_name": "rows with NaN"})
    return table
