"""Figures into files, whole or not at all."""

import os
from pathlib import Path
from typing import Any

from neurornn._core.files import atomic_path

#: Stands in every PNG file we write; one without it is not replaced.
_SOFTWARE = "neurornn"


def write_figure(
    figure: Any, path: str | os.PathLike[str], *, dpi: int = 120, overwrite: bool = False
) -> Path:
    """Write a figure as PNG and close it.

    Parameters
    ----------
    figure : matplotlib Figure, for example ``ax.figure``.
    path : where it goes. A picture that this function has written is replaced.
    dpi : dots per inch.
    overwrite : replace a file there whatever it holds.

    Returns
    -------
    path of the file

    Raises
    ------
    FileWriteError
        Another file stands there; disk full or no permission; it is untouched.
    """
    import matplotlib.pyplot as plt

    with atomic_path(path, ours=not_a_figure, overwrite=overwrite) as temporary:
        figure.savefig(temporary, dpi=dpi, format="png", metadata={"Software": _SOFTWARE})
    plt.close(figure)
    return Path(path)


def not_a_figure(path: Path) -> str | None:
    """Say why a file may not be replaced; None where `write_figure` has made it."""
    with path.open("rb") as file:
        head = file.read(1000)
    ours = head.startswith(b"\x89PNG") and b"Software\x00" + _SOFTWARE.encode() in head
    return None if ours else "is a file that neurornn did not write"
