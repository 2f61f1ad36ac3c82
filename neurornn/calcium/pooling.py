"""Time constants that several recordings of a cell, or several cells of a group, share."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import check_confidence_level
from neurornn._core.confidence import (
    Estimate,
    normal_quantile,
    random_effects,
    to_dataset,
)
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn._core.status import Status

_CONSTANTS = {"tau_decay": "time constant of the decay", "tau_rise": "time constant of the rise"}
_POOLED = "random effects over sessions on the logarithm"
_SHARED = "empirical Bayes: a log-normal population learned from the cells"


def pool_sessions(
    fits: Sequence[Any], *, name: str = "tau_decay", confidence_level: float = 0.95
) -> xr.Dataset:
    """Pool several sessions of the same cells into one time constant per cell.

    Parameters
    ----------
    fits : fitted `Kinetics`, or their ``parameters_``, one per session
        Cells are matched by the labels on ``unit``; a cell may be absent from a session, and a
        session whose status is not ok does not count.
    name : ``"tau_decay"`` or ``"tau_rise"``.
    confidence_level : of the intervals.

    Returns
    -------
    Dataset over ``unit``
        The time constant (s) that the sessions share, ``between_sd`` (1; sd of its logarithm from
        session to session), each with ``_ci``; ``n_sessions``; ``status``.

    Raises
    ------
    KindError, DataError
        There are fewer than two sessions, or one of them is not a table of kinetics.

    Notes
    -----
    A mixed-effects model on the logarithm: every session has its own time constant around the
    cell's, and its own error. Trials that were recorded one after the other need no pooling: join
    them with gaps (`neurornn.data.join_trials`) and fit once.

    See Also
    --------
    share_kinetics : cells of one group, one recording.

    Examples
    --------
    >>> import neurornn as nr
    >>> days = [
    ...     nr.simulate.simulate_calcium(2, 120.0, 20.0, tau_decay=0.5, snr=10, rng=day)["dff"]
    ...     for day in range(3)
    ... ]
    >>> fits = [nr.calcium.Kinetics().fit(day) for day in days]
    >>> pooled = nr.calcium.pool_sessions(fits)
    >>> bool((abs(pooled["tau_decay"] - 0.5) < 0.03).all())
    True
    """
    confidence_level = check_confidence_level(confidence_level)
    if isinstance(fits, str | bytes) or not isinstance(fits, Sequence):
        raise KindError(
            f"fits is a {type(fits).__name__}",
            "A list of fits, one for each session, was needed",
            "Pass [kinetics_of_monday, kinetics_of_tuesday]",
        )
    tables = [_table(f) for f in fits]
    if len(tables) < 2:
        raise DataError(
            f"{len(tables)} session came",
            "At least two sessions of the same cells were needed",
            "One session needs no pooling: its intervals are in parameters_",
        )
    for table in tables:
        if len(set(table["unit"].values.tolist())) < table.sizes["unit"]:
            raise DataError(
                "A session has two cells of the same label",
                "Labels on unit that tell the cells apart were needed",
                "Set them: fit.parameters_.assign_coords(unit=...)",
            )
    labels: list[Any] = []
    for table in tables:
        labels += [u for u in table["unit"].values.tolist() if u not in labels]
    parts: list[list[tuple[float, float]]] = [[] for _ in labels]
    for table in tables:
        x, variance = _logarithms(table, name)
        for u, value, v in zip(table["unit"].values.tolist(), x, variance, strict=True):
            if np.isfinite(v):
                parts[labels.index(u)].append((value, v))
    rows = []
    for part in parts:
        values, variances = np.array(part).reshape(-1, 2).T
        rows.append(random_effects(values, variances, confidence_level))
    counts = np.array([len(p) for p in parts])
    status = np.where(counts > 1, str(Status.OK), str(Status.TOO_FEW_SESSIONS))
    common: dict[str, Any] = {"method": _POOLED, "dims": ("unit",)}
    out = to_dataset(
        [
            Estimate(
                name=name,
                value=np.exp([r.mean for r in rows]),
                ci=np.exp([r.ci for r in rows]),
                units="s",
                long_name=f"{_CONSTANTS[name]}, shared by the sessions",
                reason="fewer than two sessions are ok",
                **common,
            ),
            Estimate(
                name="between_sd",
                value=[r.between_sd for r in rows],
                ci=[r.between_sd_ci for r in rows],
                units="1",
                long_name=f"sd of log {name} from session to session",
                reason="fewer than two sessions are ok",
                **common,
            ),
        ],
        confidence_level=confidence_level,
        coords={"unit": ("unit", np.array(labels))},
        status=status,
        status_dims=("unit",),
    )
    out["n_sessions"] = ("unit", counts, {"units": "1", "long_name": "sessions that are ok"})
    return out


def share_kinetics(
    kinetics: Any,
    *,
    groups: ArrayLike | None = None,
    name: str = "tau_decay",
    confidence_level: float = 0.95,
) -> xr.Dataset:
    """Let the cells of a group lend one another what is known about their time constant.

    Parameters
    ----------
    kinetics : fitted `Kinetics`, or its ``parameters_``.
    groups : (unit,), labels
        Cells of the same indicator and type; by default all are one group.
    name : ``"tau_decay"`` or ``"tau_rise"``.
    confidence_level : of the intervals.

    Returns
    -------
    Dataset
        Over ``unit``: the time constant (s) given all cells of the group, with ``_ci``, and
        ``status``; over ``group``: ``population`` (s; the median of the population) and
        ``between_sd`` (1; sd of the logarithm over cells) with ``_ci``, and ``n_cells`` that are
        ok. A cell that is not ok has the population's value and the width of the population.

    Raises
    ------
    KindError, ShapeError

    Notes
    -----
    Empirical Bayes: the logarithms of the time constants of a group are normal around its median;
    median and sd are learned from the cells. A cell known well keeps its own value, one known
    badly moves towards the median. The individual estimates stay what they are in
    ``parameters_``: report these where cells are compared with one another.

    See Also
    --------
    pool_sessions : one cell, several sessions.

    References
    ----------
    Morris 1983, JASA 78:47, doi:10.1080/01621459.1983.10477920.

    Examples
    --------
    >>> import neurornn as nr
    >>> rec = nr.simulate.simulate_calcium(5, 60.0, 20.0, tau_decay=0.5, snr=6, rng=0)
    >>> kin = nr.calcium.Kinetics().fit(rec["dff"])
    >>> shared = nr.calcium.share_kinetics(kin)
    >>> round(float(shared["population"][0]), 1)
    0.5
    """
    table = _table(kinetics)
    n = table.sizes["unit"]
    which = np.zeros(n, dtype=int) if groups is None else np.asarray(groups)
    if which.shape != (n,):
        raise ShapeError(
            f"groups has shape {which.shape}",
            f"One label for each of the {n} units was needed",
            "Pass a list in the order of kinetics.parameters_['unit']",
        )
    x, variance = _logarithms(table, name)
    known = np.isfinite(variance)
    names = list(dict.fromkeys(which.tolist()))
    value, sd = np.full(n, np.nan), np.full(n, np.nan)
    fits = []
    for g in names:
        inside = which == g
        fit = random_effects(x[inside & known], variance[inside & known], confidence_level)
        fits.append(fit)
        value[inside & known], sd[inside & known] = fit.shrunk, fit.shrunk_sd
        if np.isfinite(fit.between_sd):
            half = (fit.ci[1] - fit.ci[0]) / 2 / normal_quantile(confidence_level)
            value[inside & ~known] = fit.mean
            sd[inside & ~known] = np.hypot(fit.between_sd, half)
    reach = normal_quantile(confidence_level) * sd
    common: dict[str, Any] = {"method": _SHARED}
    few = "the group has fewer than two cells that are ok"
    counts = [int(np.sum(known & (which == g))) for g in names]
    out = to_dataset(
        [
            Estimate(
                name=name,
                value=np.exp(value),
                ci=np.exp(np.stack([value - reach, value + reach], axis=-1)),
                units="s",
                long_name=f"{_CONSTANTS[name]}, given the cells of the group",
                reason=few,
                dims=("unit",),
                **common,
            ),
            Estimate(
                name="population",
                value=np.exp([f.mean for f in fits]),
                ci=np.exp([f.ci for f in fits]),
                units="s",
                long_name=f"median {name} of the group",
                reason=few,
                dims=("group",),
                **common,
            ),
            Estimate(
                name="between_sd",
                value=[f.between_sd for f in fits],
                ci=[f.between_sd_ci for f in fits],
                units="1",
                long_name=f"sd of log {name} from cell to cell",
                reason=few,
                dims=("group",),
                **common,
            ),
        ],
        confidence_level=confidence_level,
        coords={"unit": ("unit", table["unit"].values), "group": ("group", np.array(names))},
        status=table["status"].values,
        status_dims=("unit",),
    )
    out["n_cells"] = ("group", counts, {"units": "1", "long_name": "cells that are ok"})
    return out


def _table(fit: Any) -> xr.Dataset:
    table = fit if isinstance(fit, xr.Dataset) else getattr(fit, "parameters_", None)
    if not isinstance(table, xr.Dataset) or "tau_decay_ci" not in table:
        raise KindError(
            f"A {type(fit).__name__} came",
            "A fitted Kinetics, or its parameters_, was needed",
            "Call fit before: kin = Kinetics().fit(trace)",
        )
    return table


def _logarithms(table: xr.Dataset, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Logarithms of a time constant and the variances of their errors; NaN where not ok."""
    if name not in _CONSTANTS:
        raise DataError(
            f"name is {name!r}",
            f"One of {', '.join(_CONSTANTS)} was needed",
            'Pass name="tau_decay"',
        )
    ci = table[f"{name}_ci"]
    level = float(ci.attrs.get("ci_prob", 0.95))
    low, high = np.log(ci.transpose("unit", "ci_bound").values.T)
    sd = (high - low) / (2 * normal_quantile(level))
    ok = (table["status"].values == str(Status.OK)) & np.isfinite(sd)
    return np.log(table[name].values), np.where(ok, sd**2, np.nan)
