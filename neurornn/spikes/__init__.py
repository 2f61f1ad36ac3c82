"""Spike trains: point processes, goodness of fit, population time constants, latent dynamics."""

from neurornn._core.rooms import room

__getattr__, __dir__, __all__ = room(
    __name__,
    {
        "account": ["bits_per_spike"],
        "bases": ["raised_cosines"],
        "point_process": ["PointProcess"],
        "recurrent": ["RecurrentPointProcess"],
        "rescaling": ["Rescaling", "time_rescaling"],
    },
    planned=["Timescales"],
)
