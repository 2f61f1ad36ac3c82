"""Follow the fixed points of a network that was fitted and saved as its input moves."""

from typing import Any

from neurornn.cli._fits import add_fit, check_places
from neurornn.cli._said import Said, as_plain

HELP = "follow the fixed points of a saved fit from one input to another"


def add_arguments(parser: Any) -> None:
    """Add the fit, both inputs, and what is written."""
    add_fit(parser, inputs=False)
    for name, end in (("--from", "first"), ("--to", "last")):
        told = f"the {end} input, one value an input"
        parser.add_argument(name, type=float, nargs="+", required=True, help=told)
    told = "inputs at which points are told"
    # An attribute `values` would hide behind a method of the arguments.
    parser.add_argument("--values", dest="n_values", type=int, default=201, help=told)
    parser.add_argument("--out", type=str, help="folder or .nc file for the diagram")
    parser.add_argument("--figures", type=str, help="folder for a picture of the diagram")


def run(a: Any) -> Said:
    """Follow them, and write what was asked for."""
    import neurornn as nr

    picture = check_places(a, "BifurcationDiagram", "bifurcation.png")
    found = nr.dynamics.continue_fixed_points(
        nr.load(a.fit), (a["from"], a["to"]), n_values=a.n_values, rng=a.seed
    )
    said = [found.report()]
    if a.out:
        found.save(a.out)
        said.append(f"\nsaved: {a.out}")
    if picture is not None:
        nr.plot.write_figure(nr.plot.bifurcation(found).figure, picture)
        said.append(f"figure: {picture}")
    told = {k: found.settings[k] for k in ("parameter", "completeness", "reason")}
    tables = {"bifurcations": found.parameters, "points": found.points}
    return Said("\n".join(said), {**told, **{k: as_plain(t) for k, t in tables.items()}})
