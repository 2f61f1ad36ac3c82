"""Genes of a genome, as GFF3, proteins and a table."""

import os
from pathlib import Path
from typing import Any

from neurornn.cli._door import add_opening, add_option, opened
from neurornn.cli._said import Said, as_plain

HELP = "genes of a genome, each with its probability; of bacteria the genetic code is told"
#: Pictures of genes.
FIGURES = ("genes.png", "start_codons.png")
#: Of the genes of bacteria that are listed.
LEAST_PROBABILITY = 0.2
#: What is said of the score against an annotation.
SCORES = {
    "BacterialGenes": ("sensitivity", "precision", "exact_starts"),
    "GeneStructure": ("exon_sensitivity", "exon_precision", "gene_sensitivity"),
}


def add_arguments(parser: Any) -> None:
    """Add the file, where the results go, and the settings of `BacterialGenes`."""
    add_opening(parser)
    for name, said in (
        ("out", "GFF3 file"), ("proteins", "FASTA file of the proteins"),
        ("csv", "table as CSV"), ("figures", "folder"),
    ):  # fmt: skip
        add_option(parser, name, str, said)
    add_option(
        parser, "genetic_code", str, "number of NCBI, or auto: told from the genome", "auto"
    )
    add_option(
        parser,
        "min_probability",
        float,
        "of the genes that are listed, of bacteria",
        LEAST_PROBABILITY,
    )
    add_option(
        parser, "weights", str,
        "folder of a saved GeneStructure, for eukaryotes, or BacterialGenes; by default the "
        "shipped one for bacteria",
    )  # fmt: skip
    add_option(parser, "progress", bool, "show a bar", True)


def run(a: Any) -> Said:
    """Find genes, and write what was asked for."""
    import xarray as xr

    import neurornn as nr
    from neurornn._core.errors import KindError

    _check_places(a)
    genome = opened(a)
    if isinstance(genome, xr.Dataset) and {"feature", "variant"} & set(genome.dims):
        raise KindError(
            f"{Path(a.file).name} holds a table without letters",
            "A genome was needed: FASTA, GenBank or 2bit",
            f"Pass the sequences, and this as --annotation {Path(a.file).name}",
        )
    if not isinstance(genome, nr.data.SequenceSet):
        raise KindError(
            f"{Path(a.file).name} holds a recording",
            "A genome was needed: FASTA, GenBank or 2bit",
            "For recordings there are neurornn kinetics, spikes and decode",
        )
    code = a.genetic_code if a.genetic_code == "auto" else _number(a.genetic_code)
    model = nr.sequences.BacterialGenes() if a.weights is None else nr.load(a.weights)
    kind = type(model).__name__
    if kind not in SCORES:
        raise KindError(
            f"{a.weights} holds a {kind}",
            "A saved BacterialGenes or GeneStructure was needed",
            "Leave --weights out for the bacterial genes that come with the package",
        )
    model.set_params(progress=bool(a.progress))
    if kind == "BacterialGenes":
        model.set_params(genetic_code=code, min_probability=a.min_probability)
    else:
        if a.min_probability != LEAST_PROBABILITY:
            raise KindError(
                "--min_probability came with a GeneStructure",
                "It is a setting of bacterial genes; those with introns are the most probable "
                "structure as it is",
                "Leave it out, and select by the probabilities of the table",
            )
        if code != "auto":
            model.set_params(genetic_code=code)
    genes = model.predict(genome)
    said = [genes.report()]
    result = {"genes": as_plain(genes.parameters), "settings": as_plain(genes.settings)}
    if genome.features is not None and "CDS" in genome.features["type"].values:
        score = genes.score_against(genome)
        result["scores"] = as_plain(score)
        for name in SCORES[kind]:
            low, high = score[f"{name}_ci"].values
            said.append(
                f"{name.replace('_', ' ')} against the annotation: {float(score[name]):.4f} "
                f"[{low:.4f}, {high:.4f}]"
            )
    if a.out:
        genes.to_gff3(a.out)
        said.append(f"\ngenes: {a.out}")
    if a.proteins:
        genes.proteins(a.proteins)
        said.append(f"proteins: {a.proteins}")
    if a.csv:
        genes.to_csv(a.csv)
        said.append(f"table: {a.csv}")
    if a.figures and len(genes):
        drawn = (
            [nr.plot.genes(genes), nr.plot.start_codons(genes)]
            if kind == "BacterialGenes"
            else [nr.plot.gene_structures(genes)]
        )
        for ax, name in zip(drawn, FIGURES, strict=False):
            path = nr.plot.write_figure(ax.figure, Path(a.figures) / name)
            said.append(f"figure: {path}")
    return Said("\n".join(said), result)


def _number(text: str) -> int:
    from neurornn._core.errors import NameUnknownError

    try:
        return int(text)
    except ValueError:
        raise NameUnknownError(
            f"The genetic code is {text!r}",
            "A number of NCBI, or auto, was needed",
            "Pass --genetic_code 11 for most bacteria, 4 for Mycoplasma",
        ) from None


def _check_places(a: Any) -> None:
    """Refuse places that hold something else, before anything is done."""
    from neurornn._core.targets import check_apart, check_container, check_target
    from neurornn.plot.files import not_a_figure
    from neurornn.sequences.genes import not_our_gff3, not_our_proteins

    places = []
    ours_are = (not_our_gff3, not_our_proteins, not_a_table)
    for path, ours in zip((a.out, a.proteins, a.csv), ours_are, strict=True):
        if path is not None:
            check_target(path, ours=ours, inputs=[a.file])
            places.append(path)
    if a.figures is not None:
        check_container(a.figures)
        for name in FIGURES:
            path = os.path.join(a.figures, name)
            check_target(path, ours=not_a_figure, inputs=[a.file])
            places.append(path)
    check_apart(places)


def not_a_table(path: Path) -> str | None:
    """Say why a CSV file may not be replaced; None where it is a table of genes."""
    with path.open("rb") as file:
        head = file.readline()
    ours = b"probability" in head and b"start_codon" in head
    return None if ours else "is not a table of genes"
