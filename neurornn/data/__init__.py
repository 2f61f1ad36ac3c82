"""What a recording or a set of sequences is, and the one door from it to a model.

Recordings are `xarray.Dataset`s; this room checks, cuts, bins, splits and audits them.
"""

from neurornn._core.rooms import room

__getattr__, __dir__, __all__ = room(
    __name__,
    {
        "audit_report": ["AuditReport"],
        "auditing": ["audit"],
        "binning": ["bin_spikes"],
        "cross_scoring": ["cross_score"],
        "describing": ["describe"],
        "events": ["event_windows"],
        "features": ["extract", "features_from_records", "pick_features"],
        "genetic_codes": ["GeneticCode", "genetic_code", "translate"],
        "inferred_clock": ["infer_clock"],
        "intervals": ["intersect", "restrict", "support"],
        "kmers": ["cluster_by_kmers"],
        "leakage": ["leakage_report"],
        "neo_objects": ["from_neo"],
        "one_hot_reading": ["from_one_hot"],
        "pynapple_objects": ["from_pynapple", "to_pynapple"],
        "recording": [
            "add_spikes",
            "from_spikes",
            "from_traces",
            "join_trials",
            "sampling_rate_of",
            "select_units",
            "set_intervals",
            "spike_trains",
        ],
        "resampling": ["resample_to"],
        "sequence_sets": ["SequenceSet"],
        "sessions": ["join_sessions"],
        "splitters": ["BlockedSplit", "RandomSplit"],
        "splitting": ["check_windows", "split_blocks", "split_groups", "split_trials"],
        "substitutions": ["mutant_sequence"],
        "windowing": ["windows"],
    },
)
