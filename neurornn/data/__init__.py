"""What a recording or a set of sequences is, and the one door from it to a model.

Recordings are `xarray.Dataset`s; this room checks, cuts, bins, splits and audits them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "auditing": ["audit", "leakage_report"],
        "binning": ["bin_spikes"],
        "intervals": ["intersect", "restrict", "support"],
        "recording": [
            "add_spikes",
            "describe",
            "from_spikes",
            "from_traces",
            "join_trials",
            "sampling_rate_of",
            "set_intervals",
            "spike_trains",
        ],
        "sequence_sets": ["SequenceSet"],
        "splitting": [
            "BlockedSplit",
            "cross_score",
            "split_blocks",
            "split_groups",
            "split_trials",
        ],
        "windowing": ["windows"],
    },
)
