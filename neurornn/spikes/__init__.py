"""Spike trains: point processes, goodness of fit, population time constants, latent dynamics."""

from neurornn._core.rooms import room

__getattr__, __dir__, __all__ = room(
    __name__,
    {
        "account": ["bits_per_spike"],
        "aligned": ["psth", "tuning_curves"],
        "bases": ["raised_cosines"],
        "irregularity": ["autocorrelogram", "dispersion", "interval_histogram"],
        "point_process": ["PointProcess"],
        "recurrent": ["RecurrentPointProcess"],
        "renewal": ["RenewalProcess"],
        "rescaling": ["Rescaling", "time_rescaling"],
    },
    planned=["Timescales"],
)
