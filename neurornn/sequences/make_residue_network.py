"""Train the network that is shipped, ``python -m neurornn.sequences.make_residue_network FOLDER``.

FOLDER holds the three proteomes of the set ``meltome`` of the registry (Escherichia coli, Bacillus
subtilis, yeast). No measured value is read. The weights are written beside this file.
"""

import argparse
from pathlib import Path

import torch
from safetensors.numpy import save_file

import neurornn as nr
from neurornn.sequences.residue_network import SHIPPED, network_arrays, train_residues

PROTEOMES = ("bsubtilis_224308", "ecoli_83333", "yeast_559292")


def main() -> None:
    """Train on all proteins of the three species."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name(SHIPPED))
    parser.add_argument("--n_hidden", type=int, default=96)
    parser.add_argument("--max_epochs", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    proteins = [
        letters
        for name in PROTEOMES
        for letters in nr.io.read_fasta(given.folder / f"{name}.fasta.gz", alphabet="protein")
    ]
    network = train_residues(
        proteins, n_hidden=given.n_hidden, max_epochs=given.max_epochs,
        tell=lambda k, loss: print(f"pass {k + 1}: {loss:.4f} nats per residue", flush=True),
    )  # fmt: skip
    save_file(network_arrays(network), given.out)


if __name__ == "__main__":
    main()
