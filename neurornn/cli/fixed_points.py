"""Find the fixed points of a network that was fitted and saved."""

from typing import Any

from neurornn.cli._fits import add_fit, check_places
from neurornn.cli._said import Said, as_plain

HELP = "find the fixed points of a saved fit"


def add_arguments(parser: Any) -> None:
    """Add the fit, the input, and what is written."""
    add_fit(parser)
    parser.add_argument("--out", type=str, help="folder or .nc file for the points")
    parser.add_argument("--figures", type=str, help="folder for a picture of the eigenvalues")


def run(a: Any) -> Said:
    """Find them, and write what was asked for."""
    import neurornn as nr

    picture = check_places(a, "FixedPoints", "eigenvalues.png")
    points = nr.dynamics.find_fixed_points(nr.load(a.fit), a.inputs, rng=a.seed)
    said = [points.report()]
    if a.out:
        points.save(a.out)
        said.append(f"\nsaved: {a.out}")
    if picture is not None and points.parameters.sizes["point"]:
        nr.plot.write_figure(nr.plot.eigenvalues(points).figure, picture)
        said.append(f"figure: {picture}")
    told = {k: v for k, v in points.settings.items() if k in ("completeness", "reason")}
    return Said("\n".join(said), {**told, "points": as_plain(points.parameters)})
