"""The linear model: modes with intervals, PyDMD fronts, conserved quantities, forecasts.

This room never imports torch.
"""

from neurornn._core.rooms import room

__getattr__, __dir__, __all__ = room(
    __name__, planned=["fit_modes", "dmd", "EDMD", "Modes", "conserved_quantities"]
)
