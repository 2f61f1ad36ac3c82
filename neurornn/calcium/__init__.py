"""Time constants, events and rates from fluorescence.

This room never imports torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
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
