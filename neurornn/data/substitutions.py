"""Substitutions in proteins as text, such as A123G: read, checked, applied."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from neurornn._core.errors import DataError
from neurornn.data.alphabets import ALPHABETS

#: Letters that a substitution can name.
AMINO_ACIDS = ALPHABETS["protein"].bases
_THREE = {
    "ALA": "A", "ARG": "R", "ASN": "N", "ASP": "D", "CYS": "C", "GLN": "Q", "GLU": "E", "GLY": "G",
    "HIS": "H", "ILE": "I", "LEU": "L", "LYS": "K", "MET": "M", "PHE": "F", "PRO": "P", "SER": "S",
    "THR": "T", "TRP": "W", "TYR": "Y", "VAL": "V",
}  # fmt: skip
#: With or without the letter of a chain behind the first residue.
_SHORT = re.compile(r"([A-Z])[A-Z]?(-?\d+)([A-Z])")
_LONG = re.compile(r"([A-Z]{3})(-?\d+)([A-Z]{3})")
_SEPARATORS = re.compile(r"[\s:;,/+&]+")
_WILD = ("", "WT", "_WT", "WILDTYPE", "WILD-TYPE", "WILD_TYPE", "P.=")


class Substitution(NamedTuple):
    """One residue in place of another.

    Attributes
    ----------
    wild, mutant : letters. number : as it is written, in the numbering of the file.
    """

    wild: str
    number: int
    mutant: str

    def __str__(self) -> str:
        return f"{self.wild}{self.number}{self.mutant}"


def read_substitutions(text: str) -> tuple[Substitution, ...]:
    """Read the substitutions of one variant.

    Parameters
    ----------
    text : such as ``"A123G"``, ``"p.Ala123Gly"``, with a chain ``"AB123G"``, several ``"A1G:L2C"``
        separated by one of ``: ; , / + &`` or blanks, or ``"WT"``. Case does not matter.

    Raises
    ------
    DataError
        Insertions, deletions, stops, letters that are no amino acid, one place twice.

    Examples
    --------
    >>> [str(s) for s in read_substitutions("p.Ala123Gly:l5w")]
    ['A123G', 'L5W']
    """
    plain = str(text).strip()
    if plain.upper() in _WILD:
        return ()
    found = tuple(_one(part, plain) for part in _SEPARATORS.split(plain) if part)
    numbers = [s.number for s in found]
    if len(set(numbers)) < len(numbers):
        raise DataError(
            f"{plain[:60]!r} changes one place twice",
            "Each place once was needed",
            "Name the residue that stands there in the end: A1G, and not A1C:C1G",
        )
    return found


def _one(part: str, whole: str) -> Substitution:
    name = part.upper().removeprefix("P.").strip("()[]")
    match = _LONG.fullmatch(name)
    if match is not None and match[1] in _THREE and match[3] in _THREE:
        return Substitution(_THREE[match[1]], int(match[2]), _THREE[match[3]])
    match = _SHORT.fullmatch(name)
    if match is not None and match[1] in AMINO_ACIDS and match[3] in AMINO_ACIDS:
        return Substitution(match[1], int(match[2]), match[3])
    raise DataError(
        f"{part[:40]!r} in {whole[:60]!r} is no substitution",
        f"One of the 20 amino acids ({AMINO_ACIDS}), a number, and another one were needed, as in "
        "A123G or p.Ala123Gly",
        "Leave out insertions, deletions, stops, and residues such as X or B",
    )


def place_substitutions(
    wild_type: str, text: str, *, first: int = 1, name: str = "the wild type"
) -> tuple[tuple[int, str], ...]:
    """Return where each substitution is in the sequence, 0-based, and what stands there after it.

    Parameters
    ----------
    wild_type : letters. text : see `read_substitutions`.
    first : number that the first letter of `wild_type` has in the text.
    name : of the wild type, for messages.

    Raises
    ------
    DataError
        A place outside the sequence, or another residue there than the text says.
    """
    found = []
    for s in read_substitutions(text):
        at = s.number - first
        if not 0 <= at < len(wild_type):
            raise DataError(
                f"{s} is at residue {s.number}, and {name} has residues {first} to "
                f"{first + len(wild_type) - 1}",
                "A residue of the sequence was needed",
                "Pass first=, the number of its first letter",
            )
        if wild_type[at].upper() != s.wild:
            raise DataError(
                f"{s} says {s.wild} at residue {s.number}, and {name} has {wild_type[at]} there",
                "The residue that stands there was needed",
                "Pass first=, the number of the first letter, if numbering starts elsewhere; "
                "or is it another protein?",
            )
        found.append((at, s.mutant))
    return tuple(found)


def mutant_sequence(wild_type: str, text: str, *, first: int = 1) -> str:
    """Return the sequence of a variant.

    Parameters
    ----------
    wild_type : letters of the protein.
    text : ``"A123G"``, several as ``"A1G:L2C"``; see the notes.
    first : number that the first letter of `wild_type` has in the text.

    Raises
    ------
    DataError
        A text that is no substitution, a place outside, another residue there than the text says.

    Notes
    -----
    Read are ``A123G``, ``p.Ala123Gly``, ``AB123G`` with a chain B, and ``WT``; several are
    separated by ``: ; , / + &`` or blanks.

    Examples
    --------
    >>> mutant_sequence("MKTAY", "K2R:A4G")
    'MRTGY'
    """
    letters = list(wild_type)
    for at, letter in place_substitutions(wild_type, text, first=first):
        letters[at] = letter
    return "".join(letters)


def matching_start(wild_type: str, texts: Sequence[str]) -> int | None:
    """Return the number of the first letter at which all substitutions fit, if there is just one.

    Parameters
    ----------
    wild_type : letters. texts : of the variants of this protein.
    """
    wanted = {(s.number, s.wild) for t in texts for s in read_substitutions(t)}
    if not wanted:
        return None
    numbers = [n for n, _ in wanted]
    upper = wild_type.upper()
    starts = range(max(numbers) - len(upper) + 1, min(numbers) + 1)
    fitting = [f for f in starts if all(upper[n - f] == letter for n, letter in wanted)]
    return fitting[0] if len(fitting) == 1 else None
