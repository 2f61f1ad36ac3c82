"""Find a data set, download it where it is not here yet, check it, and print where it lies."""

from typing import Any

from neurornn.cli._said import Said

HELP = "fetch a data set and print its path"


def add_arguments(parser: Any) -> None:
    """Add the name of the data set."""
    parser.add_argument("name", type=str, help="see neurornn datasets")


def run(a: Any) -> Said:
    """Fetch it."""
    import neurornn as nr

    path = str(nr.fetch(a.name))
    return Said(path, {"name": a.name, "path": path})
