"""Spike trains: point processes, goodness of fit, population time constants, latent dynamics."""

from neurornn._core.rooms import room

__getattr__, __dir__, __all__ = room(
    __name__,
    {
        "account": ["bits_per_spike"],
        "aligned": ["psth", "tuning_curves"],
        "autoencoder": ["SequentialAutoencoder"],
        "bases": ["raised_cosines"],
        "co_smoothing_scores": ["co_smoothing", "forward_prediction", "psth_r2"],
        "few_shot": ["few_shot_co_smoothing"],
        "irregularity": ["autocorrelogram", "dispersion", "interval_histogram"],
        "point_process": ["PointProcess"],
        "poisson_dynamics": ["PoissonDynamics"],
        "population_score": ["PopulationScore"],
        "recurrent": ["RecurrentPointProcess"],
        "renewal": ["RenewalProcess"],
        "rescaling": ["Rescaling", "time_rescaling"],
        "smoothed_rates": ["SmoothedRates"],
        "timescales": ["Timescales"],
    },
)
