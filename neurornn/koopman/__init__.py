"""The linear model: modes with intervals, PyDMD fronts, conserved quantities, forecasts.

This room never imports torch.
"""

from neurornn._core.rooms import room

__getattr__, __dir__, __all__ = room(
    __name__,
    {
        "modes": ["Modes", "fit_modes"],
        "edmd": ["EDMD"],
        "conserved": ["ConservedQuantities", "conserved_quantities"],
        "pydmd_front": ["DMDResult", "dmd"],
    },
)
