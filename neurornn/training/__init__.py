"""Fitting torch models: the loop, objectives, intervals from the curvature, and the result."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "batches": ["TrainingData", "as_training_data"],
        "bootstrap": ["bootstrap_intervals"],
        "curvature": ["physical_intervals"],
        "gradients": ["GradientFlow", "gradient_flow"],
        "loop": ["fit"],
        "many": ["fit_many"],
        "objectives": ["OBJECTIVES", "Objective"],
        "passes": ["follow"],
        "result": ["FitResult"],
    },
)
