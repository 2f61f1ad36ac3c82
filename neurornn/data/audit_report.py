"""What an audit of data says: a table, findings in plain words, and the split to use."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.report import Reported, Table, parameter_names
from neurornn._core.units import format_quantity

#: A difference of R2 or accuracy that is worth a finding.
NOTABLE = 0.05


class AuditStatus(StrEnum):
    """What an audit found: a code for programs, `meaning` for people."""

    CLEAN = "clean"
    COPIES = "copies"
    CONFOUNDED = "confounded"
    LEAKS = "leaks"

    @property
    def meaning(self) -> str:
        """What this means for a score."""
        return _MEANINGS[self]


_MEANINGS = {
    AuditStatus.CLEAN: "No copies, confounders or leaks were found by these checks.",
    AuditStatus.COPIES: "Rows repeat one another, whole or in part: a random split tests on them.",
    AuditStatus.CONFOUNDED: "A label predicts the target: a pooled score measures the label.",
    AuditStatus.LEAKS: "A random split scores higher than an honest one: report the honest score.",
}


@dataclass(frozen=True, kw_only=True)
class AuditReport(Reported):
    """The outcome of `audit` or `leakage_report`.

    Attributes
    ----------
    title : what was audited, with its size.
    parameters : each quantity beside its interval.
    status : the gravest thing that was found; `statuses` holds all.
    findings : plain sentences, each with its numbers.
    split : the split to use, in one word (``"random"``, ``"blocked"``, or the name of a group).
    honest_split : the same as a sentence: which call, and why.
    clusters : (row,), rows that must stay together (copies, shared k-mers), or None.
    settings : the arguments that matter.
    """

    title: str
    parameters: xr.Dataset
    status: AuditStatus
    statuses: tuple[AuditStatus, ...] = ()
    findings: tuple[str, ...] = ()
    split: str = "random"
    honest_split: str = ""
    clusters: NDArray[np.int64] | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    def _report_table(self) -> Table:
        rows = []
        for name in parameter_names(self.parameters):
            value, bounds = self.parameters[name], self.parameters[f"{name}_ci"].values
            for where in np.ndindex(value.shape):
                label = ", ".join(
                    str(value[d].values[i]) for d, i in zip(value.dims, where, strict=True)
                )
                number = float(value.values[where])
                if value.attrs.get("kind") == "count":
                    text = f"{number:.0f}"
                else:
                    text = format_quantity(number, str(value.attrs["units"]), *bounds[where])
                rows.append([str(value.attrs["long_name"]), label, text])
        return Table(
            title=self.title,
            columns=["quantity", "of", "value [interval]"],
            rows=rows,
            head=[f"{s}: {s.meaning}" for s in self.statuses or (self.status,)],
            notes=[*self.findings, f"Honest split: {self.honest_split}"],
        )

    def __str__(self) -> str:
        return self.report()

    def __repr__(self) -> str:
        found = ", ".join(self.statuses or (self.status,))
        return f"AuditReport({self.title}: {found}; split {self.split})"

    def _methods_sentence(self) -> str:
        return f"Data were audited for copies, confounders and leakage ({self.title.lower()})"
