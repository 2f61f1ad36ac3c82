"""Torch models whose parameters are physical: leaky and Elman networks, and plain accounts.

A model is built from physical arguments, called on ``(trial, time, input)`` and fitted by
`nr.fit`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "accounts": ["LinearStateSpace", "Memoryless"],
        "base": ["ModelOutput", "RecurrentModel"],
        "bounded": ["LogBounded"],
        "leaky": ["LeakyRNN"],
        "observation": ["CalciumRNN"],
        "vanilla": ["VanillaRNN"],
    },
)
