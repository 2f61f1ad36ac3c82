"""The networks behind `MutationModel`: what every residue in place of another costs."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neurornn.data.residue_scales import RESIDUES, SCALES
from neurornn.sequences.residue_network import (
    EDGE,
    ResidueNetwork,
    residue_codes,
    residue_features,
)

#: Residues over which the ends of a chain are felt.
_ENDS = (4.0, 12.0)
#: Residues of a usual domain, so that lengths are near 1.
_USUAL = 60.0
#: Share of the residues that a step of the training looks at, and the peak of the learning rate.
_SHARE, _PEAK = 0.25, 3e-3
#: Weight that keeps the weights small, see `train_costs`.
_DECAY = 1.0


#: Scales of amino acids beside those of `data.residue_scales`, over ACDEFGHIKLMNPQRSTVWY: helix,
#: kcal/mol (Pace & Scholtz 1998, doi:10.1016/S0006-3495(98)77529-0); strand, kcal/mol (Minor & Kim
#: 1994, doi:10.1038/367660a0; at most -3 for proline); hydrophobicity by consensus (Eisenberg
#: et al. 1984, doi:10.1016/0022-2836(84)90309-7) and of octanol (Fauchere & Pliska 1983);
#: aromatic; branched at the beta carbon; proline; glycine.
_FINER = (
    (
        0,
        0.68,
        0.69,
        0.4,
        0.54,
        1,
        0.61,
        0.41,
        0.26,
        0.21,
        0.24,
        0.65,
        3.16,
        0.39,
        0.21,
        0.5,
        0.66,
        0.61,
        0.49,
        0.53,
    ),
    (
        0,
        0.52,
        -0.94,
        0.01,
        0.86,
        -1.2,
        -0.02,
        1,
        0.27,
        0.51,
        0.72,
        -0.08,
        -3,
        0.23,
        0.45,
        0.7,
        1.1,
        0.82,
        0.54,
        0.96,
    ),
    (
        0.62,
        0.29,
        -0.9,
        -0.74,
        1.19,
        0.48,
        -0.4,
        1.38,
        -1.5,
        1.06,
        0.64,
        -0.78,
        0.12,
        -0.85,
        -2.53,
        -0.18,
        -0.05,
        1.08,
        0.81,
        0.26,
    ),
    (
        0.31,
        1.54,
        -0.77,
        -0.64,
        1.79,
        0,
        0.13,
        1.8,
        -0.99,
        1.7,
        1.23,
        -0.6,
        0.72,
        -0.22,
        -1.01,
        -0.04,
        0.26,
        1.22,
        2.25,
        0.96,
    ),
    tuple(a in "FHWY" for a in RESIDUES),
    tuple(a in "ITV" for a in RESIDUES),
    tuple(a == "P" for a in RESIDUES),
    tuple(a == "G" for a in RESIDUES),
)  # fmt: skip
_COARSE = ("hydropathy", "volume", "charge")


def _scales() -> NDArray[np.float64]:
    """Scales of each amino acid, (letter, scale), standardised; zeros for what is not known."""
    rows = [*(SCALES[n] for n in _COARSE), *_FINER]
    table = np.array(rows, dtype=float).T
    # Flags stay as they are.
    n = len(_COARSE) + 4
    table[:, :n] = (table[:, :n] - table[:, :n].mean(0)) / table[:, :n].std(0)
    return np.vstack([table, np.zeros(table.shape[1])])


#: Row of every amino acid, and of what is none: itself, then its scales.
LETTERS = np.hstack([np.vstack([np.eye(EDGE), np.zeros((1, EDGE))]), _scales()])


class Variants(NamedTuple):
    """Variants as substitutions: one entry for each changed residue.

    Attributes
    ----------
    row : (substitution,), of the residue in the features of all proteins.
    letter : (substitution,), code of what stands there afterwards.
    variant : (substitution,), number of the variant.
    protein : (variant,), number of its protein.
    n_changed : (variant,).
    """

    row: NDArray[np.int64]
    letter: NDArray[np.int64]
    variant: NDArray[np.int64]
    protein: NDArray[np.int64]
    n_changed: NDArray[np.int64]


class CostNetwork(nn.Module):
    """Cost of each of the 20 amino acids at a residue.

    Parameters
    ----------
    n_features : of a residue, see `protein_features`.
    n_dense : units of the first layer. n_factors : directions in which amino acids differ.
    dropout : of the features and of the first layer.

    Notes
    -----
    The cost of an amino acid is the product of what its letter and its scales say, and of what the
    place says, along a few directions. That keeps 20 outputs from being learned one by one.
    """

    def __init__(
        self, n_features: int, n_dense: int = 256, n_factors: int = 32, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.settings = {
            "n_features": n_features, "n_dense": n_dense, "n_factors": n_factors,
            "dropout": dropout,
        }  # fmt: skip
        scales = LETTERS[:EDGE, EDGE:]
        self.register_buffer("centre", torch.zeros(n_features))
        self.register_buffer("spread", torch.ones(n_features))
        self.register_buffer("scales", torch.from_numpy(scales.astype(np.float32)))
        self.place = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(n_features, n_dense), nn.GELU(),
            nn.Dropout(dropout), nn.Linear(n_dense, n_factors),
        )  # fmt: skip
        self.letters = nn.Parameter(0.1 * torch.randn(EDGE, n_factors))
        self.of_scales = nn.Linear(scales.shape[1], n_factors, bias=False)
        self.level = nn.Parameter(torch.zeros(EDGE))

    def forward(self, features: Tensor) -> Tensor:
        """Return the costs, (residue, 20), in standard deviations within a protein.

        Parameters
        ----------
        features : (residue, feature).
        """
        place = self.place((features - self.centre) / self.spread)
        costs: Tensor = place @ (self.letters + self.of_scales(self.scales)).T + self.level
        return costs


def protein_features(
    network: ResidueNetwork, sequence: str, embedding: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """What is known of each residue of a protein from its sequence, (residue, feature).

    Parameters
    ----------
    network : reads the residues before and behind. sequence : letters.
    embedding : (residue, number), what a user's own model says; it comes last.
    """
    codes = residue_codes(sequence)[1:-1]
    own = LETTERS[codes]
    n = len(codes)
    place = np.arange(n)
    ends = [np.exp(-d / scale) for scale in _ENDS for d in (place, n - 1 - place)]
    whole = [*own[:, EDGE:].mean(0), n / _USUAL]
    parts = [
        residue_features(network, sequence), own, np.stack(ends, 1), np.tile(whole, (n, 1)),
        *([] if embedding is None else [embedding]),
    ]  # fmt: skip
    return np.hstack(parts).astype(np.float32)


def train_costs(
    features: NDArray[np.float32], variants: Variants, values: NDArray[np.float64],
    weights: NDArray[np.float64], *, n_steps: int = 300, seed: int = 0,
    settings: dict[str, Any] | None = None,
) -> tuple[CostNetwork, NDArray[np.float64]]:  # fmt: skip
    """Train one network on variants of many proteins.

    Parameters
    ----------
    features : (residue, feature), of all proteins. variants : see `Variants`.
    values : (variant,), changes of free energy within the protein: ranks, or divided by their
        spread.
    weights : (protein,). n_steps : of the training. seed : of weights and order.
    settings : of the network.

    Returns
    -------
    The network, and its loss over the steps.

    Notes
    -----
    The mean of each protein is taken off its values: what a protein loses on average says how
    stable it is, and how far a measurement reaches.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = CostNetwork(features.shape[1], **(settings or {}))
        used = np.unique(variants.row)
        network.centre.copy_(torch.from_numpy(features[used].mean(0)))  # type: ignore[operator]
        network.spread.copy_(torch.from_numpy(features[used].std(0) + 1e-3))  # type: ignore[operator]
        optimiser = torch.optim.AdamW(network.parameters(), _PEAK, weight_decay=_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _PEAK, total_steps=n_steps)
        draw = np.random.default_rng(seed)
        here = np.unique(variants.variant)
        protein = variants.protein
        count = np.bincount(protein[here], minlength=len(weights))
        mean = np.bincount(protein[here], weights=values[here], minlength=len(weights))
        x = torch.from_numpy(features)
        t = torch.from_numpy((values - (mean / np.maximum(count, 1))[protein]).astype(np.float32))
        w = torch.from_numpy(weights[protein].astype(np.float32))
        # The first residue that a variant changes decides whether a step looks at it.
        anchor = np.zeros(len(values), dtype=np.int64)
        anchor[variants.variant[::-1]] = variants.row[::-1]
        loss_of = np.zeros(n_steps)
        network.train()
        for step in range(n_steps):
            drawn = np.zeros(len(features), dtype=bool)
            drawn[draw.choice(used, max(1, round(_SHARE * len(used))), replace=False)] = True
            mine = np.flatnonzero(drawn[anchor[variants.variant]])
            rows, back = np.unique(variants.row[mine], return_inverse=True)
            mutants, which = np.unique(variants.variant[mine], return_inverse=True)
            if not len(mutants):
                continue
            cost = network(x[rows])[back, variants.letter[mine]]
            total = torch.zeros(len(mutants)).index_add(0, torch.from_numpy(which), cost)
            each = nn.functional.huber_loss(total, t[mutants], reduction="none")
            loss = (each * w[mutants]).sum() / w[mutants].sum()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            loss_of[step] = float(loss.detach())
        network.load_state_dict({k: v.half().float() for k, v in network.state_dict().items()})
    return network.eval(), loss_of


@torch.no_grad()
def costs_of(
    networks: Sequence[CostNetwork], features: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Mean costs over networks, (residue, 20).

    Parameters
    ----------
    networks : trained alike. features : (residue, feature), of one protein.
    """
    x = torch.from_numpy(features)
    return np.mean([n(x).double().numpy() for n in networks], axis=0)


def read_variants(
    sequences: Sequence[str], placed: Sequence[tuple[tuple[int, str], ...]], starts: dict[str, int]
) -> Variants:
    """Variants as rows of features, of proteins that stand one behind the other.

    Parameters
    ----------
    sequences : (variant,), wild types.
    placed : (variant,), places and letters, see `data.substitutions.place_substitutions`.
    starts : wild type -> row of its first residue.
    """
    number = {s: k for k, s in enumerate(starts)}
    look = {a: k for k, a in enumerate(RESIDUES)}
    row, letter, variant = [], [], []
    for k, (sequence, changes) in enumerate(zip(sequences, placed, strict=True)):
        for at, to in changes:
            row.append(starts[sequence] + at)
            letter.append(look[to])
            variant.append(k)
    return Variants(
        np.array(row, dtype=np.int64), np.array(letter, dtype=np.int64),
        np.array(variant, dtype=np.int64),
        np.array([number[s] for s in sequences], dtype=np.int64),
        np.array([len(p) for p in placed], dtype=np.int64),
    )  # fmt: skip


def take_variants(variants: Variants, keep: NDArray[np.bool_]) -> Variants:
    """Return some variants; the others have no substitutions left, and no number is changed.

    Parameters
    ----------
    variants : all. keep : (variant,).
    """
    chosen = keep[variants.variant]
    return variants._replace(
        row=variants.row[chosen], letter=variants.letter[chosen], variant=variants.variant[chosen]
    )
