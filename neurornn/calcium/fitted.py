"""What looks at a fit of kinetics takes: its tables and its drawings, not the estimator."""

from typing import Any, Protocol

import xarray as xr

from neurornn._core.report import Table


class FittedKinetics(Protocol):
    """Fitted kinetics, as rates, checks, averages and pages see them; `Kinetics` is one."""

    parameters_: xr.Dataset
    events_: xr.Dataset
    segments_: xr.Dataset
    sampling_rate_: float
    indicator_: Any
    confidence_level: float
    chunk_size: int
    _frame_delay: float

    def drawn(self, name: str, units: Any = None) -> xr.DataArray:
        """``"calcium"`` or ``"baseline"`` of some units, by their positions, (time, unit)."""

    def compare_to(self, indicator: str | None = None) -> Table:
        """Set the time constants beside the published ones."""

    def methods_text(self) -> str:
        """Sentence for the methods section."""

    def _citations(self) -> list[str]: ...

    def _repr_html_(self) -> str: ...
