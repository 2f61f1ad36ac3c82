"""Find the fixed points of a network that was fitted and saved."""

from typing import Any

from neurornn.cli._said import Said, as_plain

HELP = "find the fixed points of a saved fit"


def add_arguments(parser: Any) -> None:
    """Add the fit, the input, and what is written."""
    parser.add_argument("fit", type=str, help="folder that save() has written")
    parser.add_argument("--inputs", type=float, nargs="+", help="one constant value an input; 0")
    parser.add_argument("--out", type=str, help="folder or .nc file for the points")
    parser.add_argument("--figures", type=str, help="folder for a picture of the eigenvalues")
    parser.add_argument("--seed", type=int, default=0, help="of the starts")


def run(a: Any) -> Said:
    """Find them, and write what was asked for."""
    from pathlib import Path

    import neurornn as nr
    from neurornn._core.targets import check_apart, check_container, check_target
    from neurornn.io.replaceable import check_save_target
    from neurornn.plot.files import not_a_figure

    # Before the search: a place that cannot be written is told at once.
    places: list[Any] = []
    if a.out:
        check_save_target(a.out, "FixedPoints", inputs=[a.fit])
        places.append(a.out)
    if a.figures:
        check_container(a.figures)
        places.append(Path(a.figures) / "eigenvalues.png")
        check_target(places[-1], ours=not_a_figure, inputs=[a.fit])
    check_apart(places)
    points = nr.dynamics.find_fixed_points(nr.load(a.fit), a.inputs, rng=a.seed)
    said = [points.report()]
    if a.out:
        points.save(a.out)
        said.append(f"\nsaved: {a.out}")
    if a.figures and points.parameters.sizes["point"]:
        path = Path(a.figures) / "eigenvalues.png"
        nr.plot.write_figure(nr.plot.eigenvalues(points).figure, path)
        said.append(f"figure: {path}")
    told = {k: v for k, v in points.settings.items() if k in ("completeness", "reason")}
    return Said("\n".join(said), {**told, "points": as_plain(points.parameters)})
