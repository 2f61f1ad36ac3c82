"""One league table: recurrent networks, linear and memoryless models on the same split."""

from neurornn._core.rooms import room

__getattr__, __dir__, __all__ = room(
    __name__,
    {
        "table": ["League", "league"],
        "belief_readout": ["BeliefReadout", "belief"],
        "spectra_compared": ["SpectraComparison", "spectra"],
        "dynamical_similarity": ["DynamicalSimilarity", "similarity"],
    },
)
