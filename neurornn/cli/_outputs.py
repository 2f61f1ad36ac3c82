"""Where a command writes: fit, table and figures, all looked at before the work begins."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from neurornn.cli._door import add_option


def add_outputs(parser: Any) -> None:
    """Add the options of a fit, a table and figures."""
    for name, said in (
        ("out", "file .nc or folder"), ("csv", "table as CSV"), ("figures", "folder"),
    ):  # fmt: skip
        add_option(parser, name, str, said)


def check_outputs(
    a: Any, kind: str, figures: Sequence[str], table: Callable[[Path], str | None]
) -> None:
    """Refuse places that hold something else, or that are the same, before anything is done.

    Parameters
    ----------
    a : arguments, with ``file``, ``out``, ``csv`` and ``figures``.
    kind : class of the fit.
    figures : names of the pictures.
    table : why a file may not be replaced by a table; None where it may.

    Raises
    ------
    FileExistsError
        A file or a folder of somebody else stands there.
    """
    from neurornn._core.targets import check_apart, check_container, check_target
    from neurornn.io.replaceable import check_save_target
    from neurornn.plot.files import not_a_figure

    places = []
    if a.figures is not None:
        check_container(a.figures)
        for name in figures:
            path = os.path.join(a.figures, name)
            check_target(path, ours=not_a_figure, inputs=[a.file])
            places.append(path)
    if a.csv is not None:
        check_target(a.csv, ours=table, inputs=[a.file])
        places.append(a.csv)
    if a.out is not None:
        check_save_target(a.out, kind, inputs=[a.file])
        places.append(a.out)
    check_apart(places)
