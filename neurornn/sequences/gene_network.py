"""The network that reads open frames, as plain arrays: shipped, and run without torch."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurornn._core.errors import FileFormatError
from neurornn._kernels.frame_network import N_READINGS, run_network
from neurornn._kernels.open_frames import N_PAIRS
from neurornn._kernels.recurrent_product import GROUPS_OF, LANES, widened
from neurornn.sequences.genome_adapting import Adapted, TypicalUsage
from neurornn.sequences.open_frames import OpenFrames, code_tables
from neurornn.sequences.start_model import N_FEATURES

Single = NDArray[np.float32]

#: Log odds of a pair of codons are held between these.
BOUND = 4.0
#: Rows of the residues: 20 amino acids, and one for what is not known.
N_RESIDUES = 21
#: bp from one codon to the next.
CODON = 3.0
SHIPPED = "bacterial_genes.safetensors"
#: Arrays of a file that are not attributes as they are.
_MADE = ("level", "typical_pairs")


@dataclass(frozen=True, kw_only=True)
class GeneNetwork:
    """A leaky network along open frames, from the stop upstream.

    Parameters
    ----------
    residue_input : (21, hidden), input weights of amino acids, with the bias.
    reading_input : (8, hidden), of log odds of pairs of codons.
    across : (hidden, hidden_), weight from the row to the column.
    tau : (hidden,), bp, length constants.
    read : (hidden,), residue_read : (21,), reading_read : (8,), weights of the sum over codons.
    start_read : (8,), of what tells a start. level : log odds of a gene before it is read.
    typical : usage of pairs of codons in the genomes that it was trained on.
    about : where it comes from.
    """

    residue_input: Single
    reading_input: Single
    across: Single
    tau: Single
    read: Single
    residue_read: Single
    reading_read: Single
    start_read: Single
    level: float
    typical: TypicalUsage
    about: dict[str, Any]

    def scores(self, frames: OpenFrames, adapted: Adapted) -> NDArray[np.float64]:
        """Log odds of every candidate against no gene at its stop, (candidate,).

        Parameters
        ----------
        frames : the candidates. adapted : what was learned from their genome.
        """
        out = adapted.features @ self.start_read.astype(np.float64) + self.level
        for strand, total, _ in self._run(frames, adapted, each=False):
            _, part = frames.of_strand(strand)
            out[part] += total
        return np.asarray(out)

    def readings(
        self, frames: OpenFrames, adapted: Adapted
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What is read at each codon, by its first letter on its strand; NaN outside open frames.

        Parameters
        ----------
        frames, adapted : as for `scores`.

        Returns
        -------
        forward, reverse : (position,), nats. Codons of one frame are three letters apart.
        """
        one, other = (each for *_, each in self._run(frames, adapted, each=True))
        return one, other

    def _run(
        self, frames: OpenFrames, adapted: Adapted, *, each: bool
    ) -> Iterator[tuple[int, NDArray[np.float64], NDArray[np.float64]]]:
        """Strand, sums up to its candidates, and what is read at each codon."""
        _, _, residue = code_tables(frames.code)
        alpha = (-np.expm1(-CODON / self.tau.astype(np.float64))).astype(np.float32)
        tables = adapted.tables.astype(np.float32)
        for strand in (0, 1):
            rows, part = frames.of_strand(strand)
            total = np.zeros(len(frames.step[part]))
            read = np.full(frames.layout.size if each else 0, np.nan)
            run_network(
                frames.layout.codons[strand], residue, tables, np.float32(BOUND), rows,
                frames.step[part], widened(self.residue_input), widened(self.reading_input),
                widened(self.across), alpha, self.read, self.residue_read, self.reading_read,
                LANES * GROUPS_OF[32], total, read,
            )  # fmt: skip
            yield strand, total, read

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all arrays by name, as they are saved."""
        names = (
            "residue_input", "reading_input", "across", "tau", "read", "residue_read",
            "reading_read", "start_read",
        )  # fmt: skip
        found = {name: np.ascontiguousarray(getattr(self, name)) for name in names}
        return {
            **found,
            "level": np.array([self.level], np.float32),
            "typical_pairs": self.typical.pairs.astype(np.float32),
            "typical_gc": self.typical.gc.astype(np.float32),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]], about: dict[str, Any]) -> "GeneNetwork":
        """Make a network of the arrays of `arrays`.

        Raises
        ------
        FileFormatError
            Arrays are missing, or of shapes that do not fit.
        """
        wanted = {
            "residue_input", "reading_input", "across", "tau", "read", "residue_read",
            "reading_read", "start_read", "typical_pairs", "typical_gc", "level",
        }  # fmt: skip
        n = len(arrays.get("tau", ()))
        shapes = {
            "residue_input": (N_RESIDUES, n), "reading_input": (N_READINGS, n), "across": (n, n),
            "read": (n,), "residue_read": (N_RESIDUES,), "reading_read": (N_READINGS,),
            "start_read": (N_FEATURES,), "level": (1,),
            "typical_pairs": (len(arrays.get("typical_gc", ())), N_PAIRS),
        }  # fmt: skip
        if set(arrays) != wanted or any(arrays[k].shape != v for k, v in shapes.items()):
            raise FileFormatError(
                f"Arrays {', '.join(sorted(arrays)) or 'of no name'} came as a gene network",
                f"{', '.join(sorted(wanted))} were needed, for one number of hidden units",
                "Use the file that came with the package, or save a fitted BacterialGenes",
            )
        return cls(
            **{k: v for k, v in arrays.items() if k in shapes and k not in _MADE},
            tau=arrays["tau"], level=float(arrays["level"][0]), about=about,
            typical=TypicalUsage(
                arrays["typical_pairs"].astype(np.float64), arrays["typical_gc"].astype(np.float64)
            ),
        )  # fmt: skip


def load_network(path: str | os.PathLike[str] | None = None) -> GeneNetwork:
    """Load a network; by default the one that comes with the package.

    Parameters
    ----------
    path : of a safetensors file.
    """
    from safetensors import safe_open

    source = Path(str(resources.files("neurornn.sequences") / SHIPPED if path is None else path))
    with safe_open(source, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        about = json.loads((file.metadata() or {}).get("about", "{}"))
    return GeneNetwork.from_arrays(arrays, about)


def save_network(network: GeneNetwork, path: str | os.PathLike[str]) -> None:
    """Write a network as it is shipped, in the form that `load_network` reads.

    Parameters
    ----------
    path : of a safetensors file; what stands there is replaced.
    """
    from safetensors.numpy import save_file

    save_file(network.arrays(), path, metadata={"about": json.dumps(network.about)})
