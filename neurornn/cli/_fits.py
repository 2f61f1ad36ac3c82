"""What the commands on a saved fit share: their options, and where they may write."""

from pathlib import Path
from typing import Any


def add_fit(parser: Any, *, inputs: bool = True) -> None:
    """Add the fit, its constant input, and the seed.

    Parameters
    ----------
    parser : of the command.
    inputs : whether one input is held.
    """
    parser.add_argument("fit", type=str, help="folder that save() has written")
    if inputs:
        parser.add_argument(
            "--inputs", type=float, nargs="+", help="one constant value an input; 0"
        )
    parser.add_argument("--seed", type=int, default=0, help="of the starts")


def check_places(a: Any, kind: str, figure: str | None = None) -> Path | None:
    """Check ``--out`` and ``--figures`` before work is spent; return the path of the picture.

    Parameters
    ----------
    a : the parsed arguments, with ``fit``, ``out`` and, where there is a `figure`, ``figures``.
    kind : class of the result, of which an older one may be replaced.
    figure : name of the picture.

    Raises
    ------
    KindError, FileWriteError
        A place that cannot be written, that holds what is not ours, or two in one.
    """
    from neurornn._core.targets import check_apart, check_container, check_target
    from neurornn.io.replaceable import check_save_target
    from neurornn.plot.files import not_a_figure

    places: list[Any] = []
    picture = None
    if a.out:
        check_save_target(a.out, kind, inputs=[a.fit])
        places.append(a.out)
    if figure is not None and a.figures:
        check_container(a.figures)
        picture = Path(a.figures) / figure
        check_target(picture, ours=not_a_figure, inputs=[a.fit])
        places.append(picture)
    check_apart(places)
    return picture
