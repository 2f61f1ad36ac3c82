"""Pictures of genes of exons and introns: every box where its exon is, on its strand."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.patches import Rectangle

import neurornn as nr
from neurornn._core.errors import NameUnknownError, ShapeError


@pytest.fixture(scope="module")
def genome():
    return nr.simulate.simulate_spliced_genome(24_000, n_contigs=2, rng=3)


@pytest.fixture(scope="module")
def genes(genome):
    model = nr.sequences.GeneStructure(max_iterations=3, adapt=False).fit(genome)
    return model.predict(genome)


def boxes(ax):
    return sorted(
        (round(1e3 * p.get_x()), round(1e3 * (p.get_x() + p.get_width())),
         round(p.get_y() + p.get_height() / 2, 6))
        for p in ax.patches if isinstance(p, Rectangle)
    )  # fmt: skip


@pytest.mark.parametrize("row", [0, 1])
def test_boxes_lie_where_exons_are(genes, genome, row):
    contig = str(genome.names[row])
    ax = nr.plot.gene_structures(genes, contig=contig, annotation=genome)
    e = genes.exons
    assert set(e["strand"].values.tolist()) == {-1, 1}
    mine = [
        (int(a), int(b), 1.0 if s > 0 else 0.0)
        for c, a, b, s in zip(
            *(e[k].values for k in ("contig", "start", "end", "strand")), strict=True
        )
        if c == contig
    ]
    f = genome.features
    owner = np.repeat(np.arange(f.sizes["feature"]), f["part_count"].values)
    known = [
        (int(f["part_start"][j]), int(f["part_end"][j]), -1.5 if f["strand"][k] > 0 else -2.5)
        for j, k in enumerate(owner)
        if str(f["contig"].values[k]) == contig
    ]
    assert boxes(ax) == sorted(mine + known)
    n = int((genes.table["contig"] == contig).sum())
    assert ax.get_title().startswith(f"{n} gene")
    assert ax.get_title().endswith("found between 0 and 12,000 bp")
    plt.close("all")


def test_introns_join_the_exons_of_one_gene(genes):
    contig = str(genes.table["contig"].values[0])
    ax = nr.plot.gene_structures(genes, contig=contig)
    lines = sorted(
        tuple(np.round(1e3 * line.get_xdata()).astype(int)) for line in ax.lines
        if len(line.get_xdata()) == 2
    )  # fmt: skip
    t = genes.table.isel(gene=np.flatnonzero(genes.table["contig"].values == contig))
    wanted = zip(t["start"].values.tolist(), t["end"].values.tolist(), strict=True)
    assert lines == sorted(wanted)
    # The head of an arrow stands where reading stops.
    heads = {round(1e3 * float(x.get_xdata()[0])) for x in ax.lines if len(x.get_xdata()) == 1}
    stops = np.where(t["strand"].values > 0, t["end"].values, t["start"].values)
    assert heads == set(stops.tolist())
    plt.close("all")


def test_the_surer_the_darker(genes):
    exons = genes.exons.assign(probability=("exon", np.linspace(0, 1, genes.exons.sizes["exon"])))
    made = nr.sequences.SplicedGenes(
        genes.parameters, genes.settings, contigs=genes.contigs, exons=exons
    )
    contig = str(exons["contig"].values[0])
    ax = nr.plot.gene_structures(made, contig=contig)
    alphas = [p.get_alpha() for p in ax.patches]
    assert max(alphas) > min(alphas) + 0.2
    plt.close("all")


def test_only_what_is_asked_for_is_drawn(genes):
    t = genes.table
    contig, start, end = (t[k].values[0] for k in ("contig", "start", "end"))
    ax = nr.plot.gene_structures(genes, contig=str(contig), start=int(start), end=int(end))
    assert len(ax.patches) == int(t["n_exons"].values[0])
    assert ax.get_title().startswith("1 gene found")
    plt.close("all")


def test_other_tables_and_contigs_are_refused(genes):
    with pytest.raises(ShapeError, match="coding parts"):
        nr.plot.gene_structures(genes.table)
    with pytest.raises(NameUnknownError, match="contig"):
        nr.plot.gene_structures(genes, contig="contig_9")
