"""Proteins whose melting points follow a physical effect, and a species that hides it."""

import numpy as np
import xarray as xr

from neurornn._core.checks import check_count, check_number, check_positive
from neurornn._core.rng import RNG, generator

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
#: Residues that raise and that lower the melting point in the simulation.
RAISE, LOWER = "EKR", "NQS"
#: Spread of the log frequencies of residues among species, and of one among proteins.
_SPECIES_SPREAD, _PROTEIN_SPREAD = 0.3, 0.35
#: How far the mean effect of a species counts against its own melting point, sd of the effect.
_AGAINST = 0.1


def simulate_proteins(
    n_proteins: int = 600,
    n_species: int = 5,
    *,
    length: int = 120,
    effect: float = 3.0,
    species_spread: float = 6.0,
    noise_sd: float = 3.0,
    rng: RNG = None,
) -> xr.Dataset:
    """Simulate proteins of several species and their melting points.

    Parameters
    ----------
    n_proteins, n_species : all together; species have equal numbers, as far as they go.
    length : aa, mean; proteins have 0.5 to 1.5 times that.
    effect : degC, by which one standard deviation of the physical score raises a melting point.
    species_spread : degC, standard deviation of the mean melting points of species.
    noise_sd : degC, of a measurement.
    rng : int, Generator or None

    Returns
    -------
    Dataset over ``protein``
        ``letters``, ``species``, ``tm`` (degC), and the truth: ``stability_true`` (degC), what the
        letters of a protein add within its species.

    Notes
    -----
    The physical score is the share of E, K and R less that of N, Q and S; it acts alike in all
    species. Species have frequencies of residues of their own, and those that are rich in E, K
    and R are colder: a model of all melting points together learns to tell species, and ranks
    proteins of a new one together with the others the wrong way round.

    Examples
    --------
    >>> proteins = simulate_proteins(10, 2, rng=0)
    >>> proteins["tm"].attrs["units"], sorted(set(proteins["species"].values.tolist()))
    ('degC', ['species 1', 'species 2'])
    """
    n, k = check_count(n_proteins, "n_proteins", 2), check_count(n_species, "n_species")
    mean_length = check_count(length, "length", 10)
    check_number(effect, "effect")
    check_number(species_spread, "species_spread", least=0)
    check_positive(noise_sd, "noise_sd", "degC")
    draw = generator(rng)
    sign = np.array([(r in RAISE) - 1.0 * (r in LOWER) for r in RESIDUES])
    # Scores of species lie evenly apart, the coldest has most of what raises.
    place = np.linspace(-1, 1, k) if k > 1 else np.zeros(1)
    lean = _AGAINST * _PROTEIN_SPREAD * 2 * place
    logits = draw.normal(0, _SPECIES_SPREAD, (k, len(RESIDUES))) * (sign == 0)
    logits = logits + lean[:, None] * sign
    base = 50.0 - species_spread * place / (place.std() or 1.0)
    species = np.arange(n) % k
    own = draw.normal(0, _PROTEIN_SPREAD, n)
    letters, score = [], np.empty(n)
    for j in range(n):
        chance = np.exp(logits[species[j]] + own[j] * sign)
        size = int(mean_length * draw.uniform(0.5, 1.5))
        codes = draw.choice(len(RESIDUES), size, p=chance / chance.sum())
        letters.append("".join(RESIDUES[c] for c in codes))
        score[j] = sign[codes].mean()
    within = score - np.array([score[species == s].mean() for s in range(k)])[species]
    stability = effect * within / within.std()
    tm = base[species] + stability + draw.normal(0, noise_sd, n)
    return xr.Dataset(
        {
            "letters": ("protein", np.array(letters)),
            "species": ("protein", np.array([f"species {s + 1}" for s in species])),
            "tm": ("protein", tm, {"units": "degC", "long_name": "melting point"}),
            "stability_true": (
                "protein",
                stability,
                {"units": "degC", "long_name": "what the letters add within a species"},
            ),
        },
        attrs={"source": "simulated"},
    )
