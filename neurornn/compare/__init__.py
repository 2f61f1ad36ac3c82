"""One league table: recurrent networks, linear and memoryless models on the same split."""

from neurornn._core.rooms import room

__getattr__, __dir__, __all__ = room(
    __name__,
    {
        "table": ["League", "league"],
        "belief_readout": ["BeliefReadout", "belief"],
        "hidden_reading": ["HiddenReadout", "hidden_variable"],
        "memory_cells": ["cells_of_size"],
        "memory_lags": ["memory"],
        "memory_table": ["MemoryTable"],
        "spectra_compared": ["SpectraComparison", "spectra"],
        "dynamical_similarity": ["DynamicalSimilarity", "similarity"],
    },
)
