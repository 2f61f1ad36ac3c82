"""A time constant stored without bounds and read in seconds within bounds."""

import math

import torch
from torch import Tensor

from neurornn._core.checks import check_number
from neurornn._core.errors import DataError


class LogBounded:
    """Map an unbounded number to ``(lower, upper)``, evenly in the logarithm.

    The optimiser moves an unbounded twin; a reader sees and assigns seconds.

    Parameters
    ----------
    lower, upper : bounds, in the unit of the parameter.

    Notes
    -----
    ``tau = exp(log lower + (log upper - log lower)·sigmoid(x))``. Intervals are formed in x and
    mapped, so they stay inside the bounds.
    """

    def __init__(self, lower: float, upper: float) -> None:
        lower, upper = (
            check_number(x, f"The {which} bound")
            for x, which in ((lower, "lower"), (upper, "upper"))
        )
        if not 0 < lower < upper < math.inf:
            raise DataError(
                f"The bounds are {lower} and {upper}",
                "A lower bound above 0 and a larger, finite upper bound were needed",
                "Pass for example tau_bounds=(0.005, 2.0)",
            )
        self.lower, self.upper = float(lower), float(upper)

    def __call__(self, x: Tensor) -> Tensor:
        """Unbounded number to physical value."""
        low, high = math.log(self.lower), math.log(self.upper)
        return torch.exp(low + (high - low) * torch.sigmoid(x))

    def right_inverse(self, value: Tensor) -> Tensor:
        """Physical value to unbounded number.

        Raises
        ------
        DataError
            A value outside the bounds.
        """
        if not bool(((value > self.lower) & (value < self.upper)).all()):
            raise DataError(
                f"A value of {value.detach().flatten()[:5].tolist()} came",
                f"Values between {self.lower:g} and {self.upper:g} were needed",
                "Widen the bounds (tau_bounds=) or check the unit (s)",
            )
        low, high = math.log(self.lower), math.log(self.upper)
        return torch.logit((torch.log(value) - low) / (high - low))
