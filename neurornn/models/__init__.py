"""Torch models whose parameters are physical: leaky, gated, Elman networks, plain accounts.

A model is built from physical arguments, called on ``(trial, time, input)`` and fitted by
`nr.fit`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "accounts": ["LinearStateSpace", "Memoryless", "MemorylessMLP"],
        "attention": ["CausalTransformer"],
        "base": ["ModelOutput", "RecurrentModel"],
        "bounded": ["LogBounded"],
        "context": ["CausalCNN"],
        "dropout": ["SequenceDropout", "UnitDropout"],
        "gated": ["GRU", "LSTM"],
        "leaky": ["LeakyRNN"],
        "observation": ["CalciumRNN"],
        "ridge": ["LinearHistory"],
        "vanilla": ["VanillaRNN"],
    },
)
