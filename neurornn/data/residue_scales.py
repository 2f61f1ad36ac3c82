"""Physico-chemical scales of amino acids, and proteins read as stretches of residues."""

import numpy as np
from numpy.typing import NDArray

from neurornn.data.alphabets import ALPHABETS
from neurornn.data.sequence_sets import SequenceSet

#: Letters in the order of `data.SequenceSet.codes`.
RESIDUES = ALPHABETS["protein"].bases

#: Scales, each over `RESIDUES` ACDEFGHIKLMNPQRSTVWY: hydropathy (Kyte & Doolittle 1982,
#: doi:10.1016/0022-2836(82)90515-0); volume, cubic angstrom (Zamyatnin 1972,
#: doi:10.1016/0079-6107(72)90005-3); charge at neutral pH; propensities for helix and strand
#: (Chou & Fasman 1978, doi:10.1002/9780470122921.ch2).
SCALES = {
    "hydropathy": (
        1.8, 2.5, -3.5, -3.5, 2.8, -0.4, -3.2, 4.5, -3.9, 3.8,
        1.9, -3.5, -1.6, -3.5, -4.5, -0.8, -0.7, 4.2, -0.9, -1.3,
    ),
    "volume": (
        88.6, 108.5, 111.1, 138.4, 189.9, 60.1, 153.2, 166.7, 168.6, 166.7,
        162.9, 114.1, 112.7, 143.8, 173.4, 89.0, 116.1, 140.0, 227.8, 193.6,
    ),
    "charge": (0, 0, -1, -1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0),
    "helix": (
        1.42, 0.70, 1.01, 1.51, 1.13, 0.57, 1.00, 1.08, 1.16, 1.21,
        1.45, 0.67, 0.57, 1.11, 0.98, 0.77, 0.83, 1.06, 1.08, 0.69,
    ),
    "strand": (
        0.83, 1.19, 0.54, 0.37, 1.38, 0.75, 0.87, 1.60, 0.74, 1.30,
        1.05, 0.89, 0.55, 1.10, 0.93, 0.75, 1.19, 1.70, 1.37, 1.47,
    ),
}  # fmt: skip

#: Residues of a stretch, and stretches of a protein at most: those of longer ones are longer.
STRETCH, MOST_STRETCHES = 16, 48
#: Natural logarithm of a usual length, aa, and its spread among proteins.
_LOG_LENGTH, _LOG_SPREAD = 5.8, 0.7


def residue_table() -> NDArray[np.float64]:
    """Return one row for each residue, (residue, column): itself, then every scale standardised.

    A last row of zeros stands for what is not known.
    """
    scales = np.array(list(SCALES.values())).T
    scales = (scales - scales.mean(axis=0)) / scales.std(axis=0)
    table = np.hstack([np.eye(len(RESIDUES)), scales])
    return np.vstack([table, np.zeros(table.shape[1])])


def stretches(sequences: SequenceSet) -> NDArray[np.float32]:
    """Read proteins as stretches of about 16 residues, (sequence, stretch, column).

    Parameters
    ----------
    sequences : (sequence,), proteins. B, J, O, U, X, Z and ``*`` are read as none.

    Returns
    -------
    Share of each residue in a stretch, mean of each of `SCALES` over it, the logarithm of the
    length (scaled), and 1; all are 0 in stretches beyond the end. There are as many as the
    longest protein has.
    """
    table, codes = residue_table(), sequences.flat_codes()
    rows = np.minimum(codes, len(RESIDUES))
    longest = int(sequences.lengths.max(initial=1))
    n_steps = min(MOST_STRETCHES, max(1, -(-longest // STRETCH)))
    out = np.zeros((len(sequences), n_steps, table.shape[1] + 2), np.float32)
    ends = np.cumsum(sequences.lengths)
    for k, (stop, length) in enumerate(zip(ends, sequences.lengths, strict=True)):
        if length == 0:
            continue
        own = table[rows[stop - length : stop]]
        n = min(MOST_STRETCHES, -(-int(length) // STRETCH))
        edges = np.linspace(0, length, n + 1).round().astype(np.int64)
        out[k, :n, :-2] = np.add.reduceat(own, edges[:-1], axis=0) / np.diff(edges)[:, None]
        out[k, :n, -2] = (np.log(length) - _LOG_LENGTH) / _LOG_SPREAD
        out[k, :n, -1] = 1
    return out
