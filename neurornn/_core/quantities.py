"""Quantities: what a class declares about the numbers that it will tell."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import ArrayLike

from neurornn._core.confidence import Estimate
from neurornn._core.errors import UnitError
from neurornn._core.units import check_unit

#: The unit is that of the data: of the trace, or of the targets of a decoder.
OF_DATA = "of the data"


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A number that a class tells, declared once: its name, its unit, and how it is obtained.

    Parameters
    ----------
    name : its name in the table.
    units : symbol, for example ``"s"``; `OF_DATA` where it is that of what was fitted.
    long_name : what it is, for people.
    method : how value and interval are obtained.
    dims : names of the axes.
    reason : why the interval is missing, where it is.

    Raises
    ------
    UnitError
        A unit that is none of the package's symbols, nor made of them.

    Examples
    --------
    >>> import numpy as np
    >>> tau = Quantity(name="tau", units="s", long_name="time constant", dims=("unit",))
    >>> tau.of(np.array([0.5])).units
    's'
    """

    name: str
    units: str
    long_name: str
    method: str = ""
    dims: tuple[str, ...] = ()
    reason: str = ""
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.units != OF_DATA:
            check_unit(self.units, self.name)

    def of(
        self, value: ArrayLike, ci: ArrayLike | None = None, *, units: str = "", **changes: Any
    ) -> Estimate:
        """Return the estimate of this quantity for a table.

        Parameters
        ----------
        value, ci : over `dims`, and over `dims` and two bounds.
        units : unit of the data, where this quantity has that.
        changes : of ``method``, ``dims``, ``reason``, ``long_name`` or ``attrs`` for this table.
        """
        if self.units == OF_DATA and not units:
            raise UnitError(
                f"{self.name} came without the unit of the data",
                "A symbol was needed, 1 for a number without a unit",
                "Set attrs['units'] of what is fitted",
            )
        fields = {
            "long_name": self.long_name, "method": self.method, "dims": self.dims,
            "reason": self.reason, "attrs": self.attrs, **changes,
        }  # fmt: skip
        own = self.units != OF_DATA
        return Estimate(
            name=self.name, value=value, ci=ci, units=self.units if own else units,
            of_data=not own, **fields,
        )  # fmt: skip
