"""How well predicted mutations agree with measured ones, protein by protein."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.stats import spearmanr

from neurornn._core.checks import check_confidence_level, check_numbers
from neurornn._core.confidence import Estimate, bootstrap_interval, to_dataset
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn.data.substitutions import read_substitutions

#: Variants of a protein below which its correlation is not formed.
LEAST = 10
_RESAMPLES = 500
_FEW = f"fewer than {LEAST} variants, or values that do not vary"


def spearman_within(
    protein: NDArray[Any], group: NDArray[Any], measured: NDArray[Any], predicted: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Spearman's correlation of each protein with variants enough, and its group.

    Parameters
    ----------
    protein, group, measured, predicted : (variant,).
    """
    names, which = np.unique(protein, return_inverse=True)
    order = np.argsort(which, kind="stable")
    found, of = [], []
    for rows in np.split(order, np.searchsorted(which[order], np.arange(1, len(names)))):
        if len(rows) >= LEAST and np.ptp(measured[rows]) > 0:
            flat = np.ptp(predicted[rows]) == 0
            found.append(0.0 if flat else spearmanr(measured[rows], predicted[rows]).statistic)
            of.append(group[rows[0]])
    return np.array(found, dtype=float), np.array(of)


def mean_within(
    rho: NDArray[np.float64], group: NDArray[Any], confidence_level: float
) -> tuple[float, NDArray[np.float64] | None]:
    """Mean over proteins, with an interval when whole groups are drawn; None for one group.

    Parameters
    ----------
    rho, group : (protein,). confidence_level : of the interval.
    """
    if not len(rho):
        return float("nan"), None
    names, which = np.unique(group, return_inverse=True)
    sums = np.stack([np.bincount(which), np.bincount(which, weights=rho)], axis=1)
    if len(names) < 3:
        return float(rho.mean()), None
    ci = bootstrap_interval(
        sums, lambda t: float(t[:, 1].sum() / t[:, 0].sum()), confidence_level=confidence_level,
        n_resamples=_RESAMPLES, rng=0,
    )  # fmt: skip
    return float(rho.mean()), ci


def agreement(
    table: xr.Dataset | ArrayLike, measured: xr.Dataset, *, confidence_level: float = 0.95
) -> xr.Dataset:
    """Rank correlation of predicted and measured variants, protein by protein.

    Parameters
    ----------
    table : what `MutationModel.mutate_all` gives for the one protein of `measured`, whose costs
        of several substitutions are added up, or (variant,) predictions of those of `measured`.
    measured : of `io.read_mutations`: ``ddg`` or ``fitness``, with ``mutation`` and ``protein``.
    confidence_level : of the intervals.

    Returns
    -------
    Dataset over ``protein``
        ``spearman`` with an interval from a bootstrap over variants, ``n_variants``; and
        ``spearman_mean`` over proteins with an interval from a bootstrap over proteins. A score
        that is higher for fitter variants is turned first, so that 1 is full agreement.

    Raises
    ------
    KindError, ShapeError, DataError
        No such tables, other numbers of variants, several proteins for one table, a variant that
        is not in the table or another residue than it has.

    Examples
    --------
    >>> predicted = np.arange(12.0)
    >>> measured = xr.Dataset(
    ...     {
    ...         "ddg": ("variant", predicted**3),
    ...         "mutation": ("variant", [f"A{k}G" for k in range(1, 13)]),
    ...         "protein": ("variant", ["p"] * 12),
    ...     }
    ... )
    >>> agreement(predicted, measured)["spearman"].values.tolist()
    [1.0]
    """
    check_confidence_level(confidence_level)
    names = [n for n in ("ddg", "fitness") if isinstance(measured, xr.Dataset) and n in measured]
    if not names or "mutation" not in measured or "protein" not in measured:
        raise KindError(
            f"measured is a {type(measured).__name__}",
            "A table with ddg or fitness, mutation and protein was needed",
            "Pass what nr.io.read_mutations gives",
        )
    value = measured[names[0]].values * (1.0 if names[0] == "ddg" else -1.0)
    protein = measured["protein"].values.astype(str)
    predicted = _predictions(table, measured, protein)
    rows = [np.flatnonzero(protein == name) for name in np.unique(protein)]
    rho = np.full(len(rows), np.nan)
    ci = np.full((len(rows), 2), np.nan)
    for k, mine in enumerate(rows):
        own, _ = spearman_within(protein[mine], protein[mine], value[mine], predicted[mine])
        if len(own):
            rho[k] = own[0]
            ci[k] = bootstrap_interval(
                np.stack([value[mine], predicted[mine]], axis=1), _rank,
                confidence_level=confidence_level, n_resamples=_RESAMPLES, rng=0,
            )  # fmt: skip
    known = np.isfinite(rho)
    mean, mean_ci = mean_within(rho[known], np.flatnonzero(known), confidence_level)
    found = to_dataset(
        [
            Estimate(
                name="spearman", value=rho, ci=ci, units="1", dims=("protein",),
                long_name="Spearman correlation of predicted and measured",
                method="bootstrap over variants", reason="" if known.all() else _FEW,
            ),
            Estimate(
                name="spearman_mean", value=mean, ci=mean_ci, units="1",
                long_name="Spearman correlation, mean over proteins",
                method="bootstrap over proteins",
                reason="" if mean_ci is not None else "fewer than three proteins",
            ),
        ],
        confidence_level=confidence_level,
        coords={"protein": np.unique(protein)},
    )  # fmt: skip
    counts = np.array([len(mine) for mine in rows])
    said = {"units": "1", "long_name": "variants"}
    return found.assign(n_variants=("protein", counts, said))


def _rank(pairs: NDArray[np.float64]) -> float:
    if np.ptp(pairs[:, 0]) == 0 or np.ptp(pairs[:, 1]) == 0:
        return 0.0
    return float(spearmanr(pairs[:, 0], pairs[:, 1]).statistic)


def _predictions(table: Any, measured: xr.Dataset, protein: NDArray[Any]) -> NDArray[np.float64]:
    """Predicted value of every variant that was measured."""
    if not isinstance(table, xr.Dataset):
        values = check_numbers(table, "table")
        if values.shape != protein.shape:
            raise ShapeError(
                f"Predictions of shape {values.shape} came for {len(protein)} variants",
                "One for each variant of measured was needed",
                "Pass model.predict(measured)",
            )
        return values
    if "ddg" not in table or "residue" not in table.dims:
        raise KindError(
            f"A table with {', '.join(map(str, table.data_vars))} came",
            "Costs over position and residue were needed",
            "Pass what MutationModel.mutate_all gives",
        )
    if len(np.unique(protein)) > 1:
        raise DataError(
            f"measured holds {len(np.unique(protein))} proteins, and the table is of one",
            "Variants of that protein were needed",
            "Select them, or pass model.predict(measured)",
        )
    costs = table["ddg"].values
    rows = {int(p): k for k, p in enumerate(table["position"].values)}
    columns = {str(r): k for k, r in enumerate(table["residue"].values)}
    wild = table["wild_type"].values.astype(str)
    found = np.zeros(len(protein))
    for k, text in enumerate(measured["mutation"].values.astype(str)):
        for change in read_substitutions(text):
            row = rows.get(change.number)
            if row is None or wild[row] != change.wild:
                raise DataError(
                    f"{change} of variant {k} does not fit the table",
                    "Residues of the protein of the table, counted from 1, were needed",
                    "Are table and measured of one protein?",
                )
            found[k] += costs[row, columns[change.mutant]]
    return found
