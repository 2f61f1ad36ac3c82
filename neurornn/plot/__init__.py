"""Pictures of labelled tables: xarray in, an optional ax, the ax comes back.

This room knows no model and never imports torch.
"""

from neurornn._core.rooms import room

__getattr__, __dir__, __all__ = room(
    __name__,
    {
        "beliefs": ["belief_course", "belief_sources"],
        "bifurcations": ["bifurcation"],
        "curves": ["history", "trace"],
        "ddg_maps": ["ddg_calibration", "ddg_map"],
        "decoding": [
            "confusion",
            "cursor_paths",
            "decoded_traces",
            "dropping_curve",
            "latency",
        ],
        "estimates": ["league_scores", "timescales"],
        "files": ["write_figure"],
        "forgetting": ["foreseen_forgetting", "forgetting_matrix"],
        "exon_tracks": ["gene_structures"],
        "gene_tracks": [
            "calibration",
            "coding_potential",
            "genes",
            "start_codons",
            "start_logo",
            "start_profile",
        ],
        "hidden_readings": ["hidden_course", "hidden_sources"],
        "linear_modes": [
            "conserved",
            "eigenfunction",
            "forecast_fan",
            "mode_shapes",
            "spectrum",
        ],
        "mutations": ["logo_heights", "mutation_map", "sequence_logo"],
        "pages": ["Page"],
        "populations": ["autocorrelation", "latent_planes", "single_trial_rates"],
        "portraits": ["energy_landscape", "phase_portrait"],
        "regimes": ["training_regimes"],
        "residuals": ["mean_event", "residual_checks"],
        "spectra": ["eigenvalues"],
        "spike_trains": [
            "lag_histogram",
            "psth",
            "raster",
            "spike_filter",
            "time_rescaling",
            "tuning_curve",
        ],
        "splice_pictures": ["acceptor_candidates", "pairing_accuracy"],
        "stability": ["audit_scores", "predicted_by_group"],
    },
)
