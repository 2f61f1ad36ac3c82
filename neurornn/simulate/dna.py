"""A toy task on DNA whose answer decays with a known length constant in base pairs."""

import numpy as np
import xarray as xr

from neurornn._core.checks import check_positive
from neurornn._core.rng import RNG, generator

BASES = "ACGT"


def simulate_dna_memory(
    n_sequences: int = 64,
    n_positions: int = 400,
    *,
    length_constant: float = 25.0,
    base_effects: tuple[float, float, float, float] = (-1.0, 0.5, 1.0, -0.5),
    noise_sd: float = 0.5,
    rng: RNG = None,
) -> xr.Dataset:
    """Simulate DNA and a signal along it that forgets exponentially, in base pairs.

    Parameters
    ----------
    n_sequences, n_positions : size of the set.
    length_constant : bp, distance over which a base's effect falls to 1/e.
    base_effects : effect of A, C, G and T.
    noise_sd : sd of the noise on the signal.
    rng : int, Generator or None

    Returns
    -------
    Dataset
        ``letters (sequence, position)`` (bytes), ``one_hot (sequence, base, position)``,
        ``signal (sequence, position)``, and the truth ``length_constant_true``.

    Notes
    -----
    ``s_k = exp(-1 / L) s_{k-1} + effect(base_k)``: the same leaky integrator as calcium, with bp
    for seconds.
    """
    rng = generator(rng)
    length_constant = check_positive(length_constant, "length_constant", "bp")
    codes = rng.integers(4, size=(n_sequences, n_positions))
    one_hot = (codes[:, None, :] == np.arange(4)[None, :, None]).astype(np.uint8)
    effects = np.asarray(base_effects, dtype=float)[codes]
    keep = np.exp(-1 / length_constant)
    signal = np.empty(codes.shape)
    state = np.zeros(n_sequences)
    for k in range(n_positions):
        state = keep * state + effects[:, k]
        signal[:, k] = state
    signal += noise_sd * rng.standard_normal(signal.shape)
    letters = np.frombuffer(BASES.encode(), dtype="S1")[codes]
    return xr.Dataset(
        {
            "letters": (("sequence", "position"), letters),
            "one_hot": (("sequence", "base", "position"), one_hot),
            "signal": (("sequence", "position"), signal, {"units": "1"}),
            "length_constant_true": ((), length_constant, {"units": "bp"}),
        },
        coords={
            "base": list(BASES),
            "position": ("position", np.arange(n_positions), {"units": "bp"}),
        },
        attrs={"source": "simulated by neurornn.simulate.simulate_dna_memory"},
    )
