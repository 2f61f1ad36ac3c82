"""Systems with a known truth: calcium, rate networks, sequences; spikes, tasks and more follow.

Every simulator returns an `xarray.Dataset` that holds what an experimenter would record and,
beside it, the truth.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "calcium": ["calcium_kernel", "simulate_calcium"],
        "rate": ["simulate_rate_network", "simulate_rate_trials"],
        "systems": ["SYSTEMS", "simulate_system"],
        "dna": ["simulate_dna_memory"],
    },
)
