"""Time constants, events and rates from fluorescence.

This room never imports torch.
"""

from neurornn._core.rooms import room

__getattr__, __dir__, __all__ = room(
    __name__,
    {
        "kinetics": ["Kinetics"],
        "checks": ["published_ranges", "residual_table"],
        "event_averages": ["event_average"],
        "preparation": ["dff", "subtract_neuropil"],
        "saturation": ["hill_fluorescence", "linearise"],
        "indicators": ["Constant", "Indicator", "indicator", "list_indicators"],
        "planning": ["Plan", "plan"],
        "pooling": ["pool_sessions", "share_kinetics"],
        "quanta": ["count_spikes", "estimate_quantum"],
    },
)
