"""Fitting torch models: the loop, objectives, intervals from the curvature, and the result."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "batches": ["TrainingData", "as_training_data"],
        "curvature": ["physical_intervals"],
        "loop": ["fit"],
        "objectives": ["OBJECTIVES", "Objective"],
        "result": ["FitResult"],
    },
)
