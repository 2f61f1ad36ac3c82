"""Train the network that is shipped, ``python -m neurornn.sequences.make_bacterial_genes FOLDER``.

FOLDER holds the three genomes of the registry; the weights are written beside this file. With
``--without NAME`` a genome is left out, and the weights are written to the path behind it: that is
how the network is tested on a genome that it never saw.
"""

import argparse
from pathlib import Path

import neurornn as nr
from neurornn.sequences.bacterial_genes import BacterialGenes
from neurornn.sequences.gene_network import SHIPPED, save_network

#: Name -> file. Escherichia coli K-12, Streptococcus pyogenes M1, Mycoplasma mycoides.
GENOMES = {
    "ecoli": "NC_000913.gbk.gz",
    "spyogenes": "streptococcus_pyogenes_M1_GAS.gb.gz",
    "mmycoides": "mycoplasma_mycoides_GCF_000023685.gbff.gz",
}


def main() -> None:
    """Train on all genomes, or on all but one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--without", choices=list(GENOMES))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name(SHIPPED))
    given = parser.parse_args()
    if given.without and given.out == Path(__file__).with_name(SHIPPED):
        parser.error("--without needs --out: the shipped weights are those of all genomes")
    paths = [given.folder / f for name, f in GENOMES.items() if name != given.without]
    model = BacterialGenes(progress=True).fit([nr.open(path) for path in paths])
    save_network(model._network, given.out)
    print(model.report())


if __name__ == "__main__":
    main()
