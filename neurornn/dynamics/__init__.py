"""What a fitted model does: fixed points, attractors with names, Lyapunov spectra, regimes."""

from neurornn._core.rooms import room

__getattr__, __dir__, __all__ = room(
    __name__,
    {"fixed_points": ["FixedPoints", "find_fixed_points"]},
    planned=["continue_fixed_points", "lyapunov_spectrum", "classify_attractor"],
)
