"""What every mutation of a protein does to its stability, as a table."""

from typing import Any

from neurornn.cli._door import add_option
from neurornn.cli._said import Said, as_plain

HELP = "what every mutation of a protein does to its stability, from its sequence"
#: Mutations that are said; the table holds all.
_SHOWN = 10


def add_arguments(parser: Any) -> None:
    """Add the protein, where results go, and what was measured."""
    parser.add_argument("protein", type=str, help="FASTA file of one protein")
    add_option(parser, "out", str, "table, .csv: a row for every mutation")
    add_option(parser, "figure", str, "picture of the table, for example map.png")
    add_option(parser, "model", str, "folder of a saved MutationModel; by default the one shipped")
    add_option(parser, "measured", str, "CSV or TSV of measured variants of this protein")
    add_option(parser, "value", str, "column of what was measured", "ddg")
    add_option(parser, "positive", str, "what a value above 0 says: destabilising, stabilising or "
               "fitter")  # fmt: skip
    add_option(parser, "units", str, "of measured free energies", "kcal/mol")
    add_option(parser, "mutation", str, "column of the mutations", "mutation")
    add_option(parser, "first", str, "number of the first residue in the measured file, or find",
               "1")  # fmt: skip


def run(a: Any) -> Said:
    """Predict, compare with what was measured, and write what was asked for."""
    import neurornn as nr
    from neurornn._core.errors import KindError
    from neurornn._core.targets import check_apart, check_target
    from neurornn._core.units import format_quantity
    from neurornn.io.delimited import write_csv
    from neurornn.plot.files import not_a_figure

    inputs = [p for p in (a.protein, a.measured, a.model) if p is not None]
    if a.figure is not None:
        check_target(a.figure, ours=not_a_figure, inputs=inputs)
    if a.out is not None:
        check_target(a.out, ours=_not_a_table, inputs=inputs)
    check_apart([p for p in (a.out, a.figure) if p is not None])
    model = nr.sequences.MutationModel.shipped() if a.model is None else nr.load(a.model)
    if not isinstance(model, nr.sequences.MutationModel):
        raise KindError(
            f"{a.model} holds a {type(model).__name__}",
            "A saved MutationModel was needed",
            "Leave --model out for the one that is shipped",
        )
    proteins = nr.io.read_fasta(a.protein, alphabet="protein")
    table = model.mutate_all(proteins)
    measured, scores = None, None
    if a.measured is not None:
        if a.positive is None:
            raise KindError(
                "--measured came without --positive",
                "What a value above 0 says was needed: destabilising, stabilising or fitter",
                "Look it up where the measurements come from: files of the field differ",
            )
        measured = nr.io.read_mutations(
            a.measured, proteins[0], value=a.value, positive=a.positive, units=a.units,
            mutation=a.mutation, first=int(a.first) if _is_number(a.first) else a.first,
        )  # fmt: skip
        scores = nr.sequences.agreement(table, measured)
    rows = _rows(table)
    order = rows["ddg"].argsort().values[::-1]
    said = [
        f"{proteins.names[0]}: {table.sizes['position']} residues, {rows.sizes['variant']} "
        f"mutations; {table['ddg'].attrs['sign']}"
    ]
    for title, chosen in (("worst", order[:_SHOWN]), ("best", order[::-1][:_SHOWN])):
        said.append(f"{title}:")
        for k in chosen:
            low, high = rows["ddg_ci"].values[k]
            value = format_quantity(float(rows["ddg"][k]), "kcal/mol", float(low), float(high))
            said.append(f"  {rows['mutation'].values[k]} {value}")
    if scores is not None:
        low, high = scores["spearman"].values[0], scores["spearman_ci"].values[0]
        value = format_quantity(float(low), "1", float(high[0]), float(high[1]))
        n = int(scores["n_variants"].values[0])
        said.append(f"Spearman correlation with {n} measured variants: {value}")
    if a.out is not None:
        write_csv(rows, a.out)
        said.append(f"table: {a.out}")
    if a.figure is not None:
        ax = nr.plot.ddg_map(table, measured)
        nr.plot.write_figure(ax.figure, a.figure)
        said.append(f"figure: {a.figure}")
    plain = as_plain(rows)
    if scores is not None:
        plain = {**plain, "agreement": as_plain(scores)}
    return Said("\n".join(said), plain)


def _is_number(text: str) -> bool:
    return text.lstrip("-").isdecimal()


def _rows(table: Any) -> Any:
    """The table with a row for every mutation that is one."""
    import numpy as np
    import xarray as xr

    wild = table["wild_type"].values
    residues = table["residue"].values
    place, letter = np.nonzero((residues != wild[:, None]) & np.isfinite(table["ddg"].values))
    position = table["position"].values[place]
    texts = [
        f"{wild[p]}{at}{residues[r]}" for p, at, r in zip(place, position, letter, strict=True)
    ]
    bounds = (("variant", "ci_bound"), table["ddg_ci"].values[place, letter])
    return xr.Dataset(
        {
            "mutation": ("variant", np.array(texts, dtype=str)),
            "position": ("variant", position, {"units": "1"}),
            "ddg": ("variant", table["ddg"].values[place, letter], table["ddg"].attrs),
            "ddg_ci": (*bounds, table["ddg_ci"].attrs),
        },
        {"ci_bound": table["ci_bound"].values},
    )


def _not_a_table(path: Any) -> str | None:
    """Say why a file may not be replaced; None where it is a table of mutations."""
    with path.open("rb") as file:
        head = file.readline().decode("utf-8", "replace")
    return (
        None
        if head.startswith(("mutation,position", "mutation\tposition"))
        else ("is not a table of mutations")
    )
