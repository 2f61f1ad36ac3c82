"""Measure how fast neighbours part in a network that was fitted and saved, and name its regime."""

from typing import Any

from neurornn.cli._fits import add_fit, check_places
from neurornn.cli._said import Said, as_plain

HELP = "measure the Lyapunov exponents of a saved fit: rest, rhythm or chaos"


def add_arguments(parser: Any) -> None:
    """Add the fit, the input, how many exponents, and what is written."""
    add_fit(parser)
    parser.add_argument("--exponents", type=int, help="how many, the largest first; all")
    parser.add_argument("--out", type=str, help="folder or .nc file for the spectrum")


def run(a: Any) -> Said:
    """Measure them, and write what was asked for."""
    import neurornn as nr

    check_places(a, "LyapunovSpectrum")
    found = nr.dynamics.lyapunov_spectrum(
        nr.load(a.fit), a.inputs, n_exponents=a.exponents, rng=a.seed
    )
    said = [found.report()]
    if a.out:
        found.save(a.out)
        said.append(f"\nsaved: {a.out}")
    told = {"regime": found.regime, "reason": found.reason}
    return Said("\n".join(said), {**told, "exponents": as_plain(found.parameters)})
