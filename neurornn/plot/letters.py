"""Letters as shapes, stretched to a width and a height: what logos are made of."""

from typing import Any

from neurornn.plot.style import DATA, EVENT, FIT, RANGES

_VERMILION, _GREEN, _PINK, _YELLOW = RANGES
#: Colours of bases: A, C, G, T and U.
_BASES = {"A": _GREEN, "C": FIT, "G": _YELLOW, "T": EVENT, "U": EVENT}
#: Colours of amino acids by what they are: charged, polar, hydrophobic, and the others.
_ACIDS = {"DE": EVENT, "KRH": FIT, "STNQ": _GREEN, "AVILMFWY": DATA, "CGP": _PINK}


def colour_of(letter: str, n_letters: int) -> str:
    """Colour of a letter, by its base or by what the amino acid is.

    Parameters
    ----------
    letter : upper case. n_letters : of the alphabet, 4 or 20.
    """
    if n_letters == 4:
        return _BASES.get(letter, DATA)
    return next((colour for group, colour in _ACIDS.items() if letter in group), DATA)


def draw_letter(
    ax: Any, letter: str, x: float, y: float, width: float, height: float, colour: str
) -> None:
    """Draw a letter that fills a box.

    Parameters
    ----------
    ax : matplotlib axes.
    letter : one of them.
    x, y : left and lower edge of the box. width, height : of it; a height below 0 turns the
        letter upside down, below `y`.
    colour : of the letter.
    """
    from matplotlib.patches import PathPatch
    from matplotlib.textpath import TextPath
    from matplotlib.transforms import Affine2D

    path = TextPath((0, 0), letter, size=1)
    box = path.get_extents()
    move = (
        Affine2D()
        .translate(-box.x0, -box.y0)
        .scale(width / box.width, height / box.height)
        .translate(x, y)
    )
    ax.add_patch(PathPatch(path.transformed(move), facecolor=colour, lw=0))
