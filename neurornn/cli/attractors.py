"""Name what a network that was fitted and saved comes to, and how long a memory in it lasts."""

from typing import Any

from neurornn.cli._fits import add_fit, check_places
from neurornn.cli._said import Said, as_plain

#: Runs that are drawn in a portrait, and their steps.
_N_RUNS, _N_STEPS = 16, 200

HELP = "name what a saved fit comes to: points, a line, a ring, a cycle, chaos"


def add_arguments(parser: Any) -> None:
    """Add the fit, the input, and what is written."""
    add_fit(parser)
    parser.add_argument("--out", type=str, help="folder or .nc file for the attractors")
    parser.add_argument("--figures", type=str, help="folder for a phase portrait")


def run(a: Any) -> Said:
    """Run trajectories, name what they come to, and write what was asked for."""
    import neurornn as nr

    picture = check_places(a, "Attractor", "phase_portrait.png")
    fit = nr.load(a.fit)
    options = {} if picture is None else _of_portrait(fit, a)
    found = nr.dynamics.classify_attractor(fit, inputs=a.inputs, rng=a.seed)
    said = [found.report()]
    if a.out:
        found.save(a.out)
        said.append(f"\nsaved: {a.out}")
    if picture is not None:
        # A portrait is read by its points; nothing else here asks for them.
        points = nr.dynamics.find_fixed_points(fit, a.inputs, rng=a.seed)
        nr.plot.write_figure(nr.plot.phase_portrait(fit, points, **options).figure, picture)
        said.append(f"figure: {picture}")
    told = {"kind": found.kind, "reason": found.settings["reason"]}
    return Said("\n".join(said), {**told, "attractors": as_plain(found.parameters)})


def _of_portrait(fit: Any, a: Any) -> dict[str, Any]:
    """Runs that span the plane of the picture, of a network of more than two states."""
    import numpy as np

    from neurornn._core.errors import ShapeError
    from neurornn.dynamics.maps import as_map

    cell = as_map(fit, a.inputs).cell
    if cell.n_state < 2:
        raise ShapeError(
            "--figures came with a network of one state",
            "At least two were needed for the plane of a phase portrait",
            "Leave --figures out",
        )
    if cell.n_state == 2:
        return {}
    # Too few points lie in no plane, or in any.
    runs = [cell.spread(np.random.default_rng(a.seed), _N_RUNS)]
    for _ in range(_N_STEPS):
        runs.append(cell.step(runs[-1]))
    return {"trajectories": np.stack(runs, 1)}
