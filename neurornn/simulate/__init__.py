"""Systems with a known truth: calcium, rate networks, sequences, reaches, a user of a cursor.

Every simulator returns an `xarray.Dataset` that holds what an experimenter would record and,
beside it, the truth.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "calcium": ["calcium_kernel", "simulate_calcium"],
        "cursor_user": ["CursorUser"],
        "rate": ["simulate_rate_network", "simulate_rate_trials"],
        "reaching": ["simulate_reaches"],
        "systems": ["SYSTEMS", "simulate_system"],
        "dna": ["simulate_dna_memory"],
    },
)
