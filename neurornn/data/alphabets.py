"""The letters of DNA, RNA and proteins (IUPAC), as look-up tables over bytes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from neurornn._core.errors import DataError

_UNKNOWN = 254
_PADDING = 255


@dataclass(frozen=True, kw_only=True)
class Alphabet:
    """One kind of sequence.

    Parameters
    ----------
    name : ``"dna"``, ``"rna"`` or ``"protein"``.
    bases : the letters that have a row of their own in a one-hot array, in its order.
    ambiguous : letter -> the bases it may stand for; no bases for a stop.
    pairs : two strings that complement each other letter by letter, or empty.
    units : symbol of a length.
    """

    name: str
    bases: str
    ambiguous: dict[str, str]
    pairs: tuple[str, str] = ("", "")
    units: str = "bp"

    @property
    def order(self) -> str:
        """All letters; the place of a letter is its code."""
        return self.bases + "".join(self.ambiguous)

    @cached_property
    def lookup(self) -> bytes:
        """Code of every byte; 254 where it is no letter of the alphabet."""
        table = np.full(256, _UNKNOWN, dtype=np.uint8)
        for code, letter in enumerate(self.order):
            table[[ord(letter), ord(letter.lower())]] = code
        return table.tobytes()

    @cached_property
    def complement(self) -> NDArray[np.uint8] | None:
        """Complement of every byte, case kept; None for proteins."""
        if not self.pairs[0]:
            return None
        table = np.arange(256, dtype=np.uint8)
        for one, other in zip(*self.pairs, strict=True):
            for a, b in ((one, other), (other, one)):
                table[ord(a)], table[ord(a.lower())] = ord(b), ord(b.lower())
        return table

    def one_hot_rows(self, fractions: bool) -> NDArray[np.float64]:
        """Return (base, 256): the share of each base for each code; padding and unknown are 0."""
        rows = np.zeros((len(self.bases), 256))
        rows[np.arange(len(self.bases)), np.arange(len(self.bases))] = 1.0
        if fractions:
            for letter, stands_for in self.ambiguous.items():
                for base in stands_for:
                    rows[self.bases.index(base), self.order.index(letter)] = 1 / len(stands_for)
        return rows

    def code(
        self,
        letters: NDArray[np.uint8],
        locate: Callable[[int], str] = lambda _: "",
        *,
        pad: bool = False,
    ) -> NDArray[np.uint8]:
        """Return the code of every letter.

        Parameters
        ----------
        letters : (byte,), uint8.
        locate : offset -> words that say where it lies, for the message.
        pad : bool
            Bytes of 0 are padding and become 255.

        Raises
        ------
        DataError
            A letter outside the alphabet.
        """
        table = self.lookup
        if pad:
            table = bytes([_PADDING]) + table[1:]
        # bytes.translate is the fastest look-up there is for bytes, NumPy's own included.
        codes = np.frombuffer(letters.tobytes().translate(table), dtype=np.uint8)
        # A maximum costs a tenth of the comparison with 254; padding asks for the exact test.
        if codes.size and (np.any(codes == _UNKNOWN) if pad else codes.max() == _UNKNOWN):
            first = int(np.argmax(codes == _UNKNOWN))
            letter = chr(int(letters[first]))
            raise DataError(
                f"{letter!r} came{locate(first)}, which is no {self.name} letter",
                f"One of {self.order} (either case) was needed",
                self._remedy(letter.upper()),
            )
        return codes

    def _remedy(self, letter: str) -> str:
        for other in ALPHABETS.values():
            if other is not self and letter in other.order:
                return f"Is this {other.name}? Then pass alphabet={other.name!r}"
        if letter in "-.":
            return "Remove the gaps of the alignment first"
        if letter in "\n\r\t >":
            return "Read the file with nr.open, which strips headers and line breaks"
        return "Check the file: was a header or another column read as sequence?"


_AMBIGUOUS = {
    "R": "AG", "Y": "CT", "S": "CG", "W": "AT", "K": "GT", "M": "AC",
    "B": "CGT", "D": "AGT", "H": "ACT", "V": "ACG", "N": "ACGT",
}  # fmt: skip
_AMINO = "ACDEFGHIKLMNPQRSTVWY"

#: The three alphabets by name.
ALPHABETS = {
    "dna": Alphabet(
        name="dna", bases="ACGT", ambiguous=_AMBIGUOUS, pairs=("ACRKBDSWN", "TGYMVHSWN")
    ),
    "rna": Alphabet(
        name="rna",
        bases="ACGU",
        ambiguous={k: v.replace("T", "U") for k, v in _AMBIGUOUS.items()},
        pairs=("ACRKBDSWN", "UGYMVHSWN"),
    ),
    "protein": Alphabet(
        name="protein",
        bases=_AMINO,
        # U (selenocysteine) and O (pyrrolysine) are amino acids without a row: read as unknown.
        ambiguous={"B": "DN", "Z": "EQ", "J": "IL", "X": _AMINO, "U": "", "O": "", "*": ""},
        units="aa",
    ),
}
