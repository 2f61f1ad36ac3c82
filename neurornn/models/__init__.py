"""Torch models whose parameters are physical: leaky, gated, Elman networks, plain models.

A model is built from physical arguments, called on ``(trial, time, input)`` and fitted by
`nr.fit`.
"""

from neurornn._core.rooms import room

__getattr__, __dir__, __all__ = room(
    __name__,
    {
        "baselines": ["LinearStateSpace", "Memoryless", "MemorylessMLP"],
        "attention": ["CausalTransformer"],
        "base": ["ModelOutput", "RecurrentModel"],
        "bounded": ["LogBounded"],
        "context": ["CausalCNN"],
        "dropout": ["SequenceDropout", "UnitDropout"],
        "gated": ["GRU", "LSTM"],
        "leaky": ["LeakyRNN"],
        "observation": ["CalciumRNN"],
        "ridge": ["LinearHistory"],
        "strands": ["ReverseComplementTied"],
        "torch_layers": ["from_torch", "to_torch"],
        "vanilla": ["VanillaRNN"],
    },
)
