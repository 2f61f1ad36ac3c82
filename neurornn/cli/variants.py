"""Effects of the variants of a VCF file, as a table."""

from typing import Any

from neurornn.cli._door import add_option
from neurornn.cli._said import Said, as_plain

HELP = "what the variants of a VCF file change in the score of a saved model"
#: Rows that are said; the table holds all.
_SHOWN = 10


def add_arguments(parser: Any) -> None:
    """Add the model, the genome, the variants, and the settings of `variant_effects`."""
    parser.add_argument("model", type=str, help="file or folder that save() has written")
    parser.add_argument("genome", type=str, help="FASTA or 2bit file")
    parser.add_argument("variants", type=str, help="VCF file")
    add_option(parser, "out", str, "table, .csv or .tsv")
    add_option(parser, "window", int, "bp; by default 1001, or that of the training")
    add_option(parser, "anchor", str, "where windows are held: left, right or both", "left")
    add_option(parser, "both_strands", bool, "mean of the scores of both strands")
    add_option(parser, "distance", int, "bp around a variant in which splice sites are scored", 50)
    add_option(parser, "share", float, "of sites among all places with the two letters")
    add_option(parser, "output", str, "label of the output that is read, where there are several")
    add_option(parser, "progress", bool, "show a bar", True)


def run(a: Any) -> Said:
    """Score variants, and write the table where one was asked for."""
    import numpy as np

    import neurornn as nr
    from neurornn._core.targets import check_target
    from neurornn.sequences.variant_scores import not_a_table

    if a.out is not None:
        check_target(a.out, ours=not_a_table, inputs=[a.model, a.genome, a.variants])
    table = nr.sequences.variant_effects(
        nr.load(a.model), a.genome, a.variants, window=a.window, anchor=a.anchor,
        both_strands=a.both_strands, distance=a.distance, share=a.share, output=a.output,
        out=a.out, progress=bool(a.progress),
    )  # fmt: skip
    names = ["effect"] if "effect" in table else ["gain", "loss"]
    size = np.max([np.abs(table[n].values) for n in names], axis=0)
    known = np.flatnonzero(np.isfinite(size))
    order = known[np.argsort(-size[known], kind="stable")][:_SHOWN]
    said = [f"{table.sizes['variant']} alleles, {len(known)} scored"]
    if table.attrs["contig_names"]:
        said.append(f"contigs by another name: {table.attrs['contig_names']}")
    units = {n: table[n].attrs["units"] for n in names}
    for k in order:
        row = table.isel(variant=int(k))
        place = f"{row['contig'].item()}:{int(row['position']) + 1}"
        numbers = ", ".join(f"{n} {_shown(row, n, units[n])}" for n in names)
        said.append(f"{place} {row['ref'].item()}>{row['alt'].item()}: {numbers}")
    if len(known) > len(order):
        said.append(f"... {len(known) - len(order)} smaller ones")
    if a.out is not None:
        said.append(f"table: {a.out}")
    return Said("\n".join(said), as_plain(table))


def _shown(row: Any, name: str, units: str) -> str:
    """A number of one variant, with its interval."""
    from neurornn._core.units import format_quantity

    low, high = row[f"{name}_ci"].values
    return format_quantity(float(row[name]), units, float(low), float(high))
