"""Fitting torch models: the loop, objectives, intervals from the curvature, and the result."""

from neurornn._core.rooms import room

__getattr__, __dir__, __all__ = room(
    __name__,
    {
        "batches": ["TrainingData", "as_training_data"],
        "bootstrap": ["bootstrap_intervals"],
        "continual": ["fit_sequence"],
        "continual_cues": ["cue_tasks"],
        "continual_result": ["ContinualResult"],
        "curvature": ["physical_intervals"],
        "draws": ["weight_draws"],
        "gradients": ["GradientFlow", "gradient_flow"],
        "loop": ["fit"],
        "many": ["fit_many"],
        "objectives": ["OBJECTIVES", "Objective"],
        "passes": ["follow"],
        "policy": ["fit_policy", "policy_sizes"],
        "policy_result": ["PolicyResult"],
        "regimes": ["RegimeGuard"],
        "result": ["FitResult"],
    },
)
