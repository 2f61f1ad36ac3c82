"""Systems with a known truth: calcium, rate networks, sequences, reaches, tasks, users of cursors.

Every simulator returns an `xarray.Dataset` that holds what an experimenter would record and,
beside it, the truth.
"""

from neurornn._core.rooms import room

__getattr__, __dir__, __all__ = room(
    __name__,
    {
        "calcium": ["calcium_kernel", "simulate_calcium"],
        "cursor_user": ["CursorUser"],
        "emg": ["simulate_emg"],
        "gait": ["simulate_gait"],
        "oscillators": ["simulate_oscillators"],
        "rate": ["simulate_rate_network", "simulate_rate_trials"],
        "reaching": ["simulate_reaches"],
        "systems": ["SYSTEMS", "simulate_system"],
        "turbine": ["simulate_turbine", "turbine_modes"],
        "tasks": ["flip_flop", "ready_set_go", "sine_generator"],
        "integration_tasks": ["context_integration", "line_integrator"],
        "memory_tasks": ["delayed_match", "parametric_memory", "ring_memory"],
        "environments": ["from_environment"],
        "belief_task": ["BeliefTask"],
        "belief_classics": ["ForagingTask", "TigerTask"],
        "belief_sepsis": ["SepsisTask"],
        "dna": ["simulate_dna_memory"],
        "genomes": ["simulate_genome"],
        "proteins": ["simulate_proteins"],
        "spliced_genomes": ["simulate_spliced_genome"],
        "splice_pairs": ["simulate_splice_pairs"],
        "latents": ["simulate_latent_population", "simulate_lorenz_population"],
        "populations": [
            "simulate_flip_flop_spikes",
            "simulate_hierarchy",
            "simulate_low_rank_spikes",
        ],
        "spikes": ["simulate_poisson", "simulate_renewal", "simulate_spike_trains"],
    },
)
