"""Systems with a known truth: calcium, rate networks, sequences, reaches, a user of a cursor.

Every simulator returns an `xarray.Dataset` that holds what an experimenter would record and,
beside it, the truth.
"""

from neurornn._core.rooms import room

__getattr__, __dir__, __all__ = room(
    __name__,
    {
        "calcium": ["calcium_kernel", "simulate_calcium"],
        "cursor_user": ["CursorUser"],
        "rate": ["simulate_rate_network", "simulate_rate_trials"],
        "reaching": ["simulate_reaches"],
        "systems": ["SYSTEMS", "simulate_system"],
        "tasks": ["flip_flop"],
        "dna": ["simulate_dna_memory"],
    },
)
