"""What the steps of an audit write into: estimates, findings, and what was found."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.confidence import Estimate, binomial_interval, to_dataset
from neurornn.data.audit_report import AuditStatus
from neurornn.data.baselines import Folds, Metric, pooled_score

WORDS: dict[Metric, str] = {
    "r2": "R2",
    "spearman": "Spearman correlation",
    "accuracy": "accuracy",
}


@dataclass(kw_only=True)
class Prediction:
    """Out-of-fold predictions of `y`, with the folds they came from."""

    y: NDArray[Any]
    predicted: NDArray[Any]
    folds: Folds

    def score(self, metric: Metric) -> float:
        """Return the score pooled over all rows."""
        return pooled_score(self.y, self.predicted, self.folds, metric)[0]


@dataclass(kw_only=True)
class Ledger:
    """The state of an audit.

    Attributes
    ----------
    estimates : entries of the table to come. coords : its coordinates.
    findings : plain sentences. found : what they amount to.
    confounders : (strength, name) of each label that tells about the target.
    clusters : (row,), rows that must stay together, where looked for.
    within : score of predictions within the labels of a group, and its interval.
    """

    confidence_level: float
    rng: np.random.Generator
    estimates: list[Estimate] = field(default_factory=list)
    coords: dict[Any, Any] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    found: list[AuditStatus] = field(default_factory=list)
    confounders: list[tuple[float, str]] = field(default_factory=list)
    clusters: NDArray[np.int64] | None = None
    within: list[tuple[float, tuple[float, float]]] = field(default_factory=list)

    def finding(self, text: str, status: AuditStatus | None = None) -> None:
        """Write a sentence down, and what it amounts to."""
        self.findings.append(text)
        if status is not None:
            self.found.append(status)

    def count(self, name: str, value: int, long_name: str) -> None:
        """Add a count; it is exact and has no interval."""
        self.estimates.append(
            Estimate(name=name, value=float(value), units="1", long_name=long_name,
                     method="counted", reason="a count is exact", attrs={"kind": "count"})
        )  # fmt: skip

    def fraction(self, name: str, hits: int, total: int, long_name: str) -> None:
        """Add a share of rows with its Wilson interval."""
        ci = binomial_interval(hits, total, self.confidence_level)
        self.estimates.append(
            Estimate(name=name, value=hits / max(total, 1), ci=ci, units="1",
                     long_name=f"share of {long_name}", method="Wilson interval")
        )  # fmt: skip

    def exact(self, name: str, value: Any, long_name: str, dims: tuple[str, ...] = ()) -> None:
        """Add a share that needs no interval."""
        self.estimates.append(
            Estimate(name=name, value=value, dims=dims, units="1", long_name=long_name,
                     method="counted", reason="it is exact")
        )  # fmt: skip

    def scores(
        self,
        name: str,
        results: Sequence[Prediction],
        metrics: Sequence[Metric],
        source: str,
        dims: tuple[str, ...] = (),
    ) -> None:
        """Add every metric of some predictions: one number, or one per entry of `dims`."""
        for metric in metrics:
            pairs = [
                pooled_score(r.y, r.predicted, r.folds, metric,
                             confidence_level=self.confidence_level, rng=self.rng)
                for r in results
            ]  # fmt: skip
            values, bounds = [v for v, _ in pairs], [ci for _, ci in pairs]
            n_folds = max(len(r.folds) for r in results)
            self.estimates.append(
                Estimate(
                    name=f"{name}_{metric}",
                    value=values if dims else values[0],
                    ci=bounds if dims else bounds[0],
                    dims=dims,
                    units="1",
                    long_name=f"{WORDS[metric]} {source}",
                    method=f"out of fold, pooled; bootstrap over at most {n_folds} folds",
                    reason="fewer than 3 folds",
                )
            )

    def table(self) -> xr.Dataset:
        """Return the table of parameters."""
        return to_dataset(
            self.estimates, confidence_level=self.confidence_level, coords=self.coords
        )
