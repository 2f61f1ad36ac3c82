"""Genetic codes of NCBI, 1 to 33, and translation."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from neurornn._core.errors import (
    DataError,
    KindError,
    MissingDependencyError,
    NameUnknownError,
)
from neurornn.data.alphabets import ALPHABETS

_BASES = "ACGT"
#: Codons in the order of the tables: index 16 a + 4 b + c with A = 0, C = 1, G = 2, T = 3.
CODONS = tuple(a + b + c for a in _BASES for b in _BASES for c in _BASES)
#: A letter that stands for bases is a set of bits, A = 1, C = 2, G = 4, T = 8; 0 is no letter.
_SETS = np.zeros(256, dtype=np.uint8)
for _letter, _stands in {
    **{base: base for base in _BASES},
    "U": "T",
    **ALPHABETS["dna"].ambiguous,
}.items():
    _bits = sum(1 << _BASES.index(base) for base in _stands)
    _SETS[[ord(_letter), ord(_letter.lower())]] = _bits


@dataclass(frozen=True, kw_only=True)
class GeneticCode:
    """One genetic code.

    Parameters
    ----------
    number, name : of NCBI.
    amino_acids : 64 letters in the order of `CODONS`; ``*`` is a stop. A codon that can be both,
        as in codes 27, 28 and 31, has its amino acid here and counts among the stops too.
    starts, stops : (codon,), bool.
    """

    number: int
    name: str
    amino_acids: str
    starts: NDArray[np.bool_] = field(repr=False, compare=False)
    stops: NDArray[np.bool_] = field(repr=False, compare=False)


@lru_cache(maxsize=40)
def genetic_code(number: int) -> GeneticCode:
    """Return a genetic code by its number.

    Parameters
    ----------
    number : of NCBI (``transl_table``): 1 standard, 4 Mycoplasma, 11 bacteria, 25 SR1.

    Raises
    ------
    NameUnknownError
        No code has this number; the nearest ones are told.
    MissingDependencyError
        biopython is not installed.

    Examples
    --------
    >>> code = genetic_code(4)
    >>> code.name, code.amino_acids[CODONS.index("TGA")], int(code.stops.sum())
    ('Mold Mitochondrial', 'W', 2)
    """
    try:
        from Bio.Data import CodonTable
    except ImportError as error:
        raise MissingDependencyError(
            "Genetic codes were asked for and biopython is not installed",
            "The extra `sequences` was needed",
            'Install it: pip install "neurornn[sequences]"',
        ) from error
    tables = CodonTable.unambiguous_dna_by_id
    if isinstance(number, bool) or not isinstance(number, int | np.integer):
        raise KindError(
            f"The genetic code is {number!r}",
            "The number of a code was needed",
            "Pass 11 for bacteria, 1 for most nuclear genes, 4 for Mycoplasma",
        )
    if number not in tables:
        known = sorted(tables)
        near = [k for k in known if k < number][-1:] + [k for k in known if k > number][:1]
        raise NameUnknownError(
            f"There is no genetic code {number}",
            f"One of NCBI's was needed: {', '.join(map(str, known))}",
            f"Nearest {'are' if len(near) > 1 else 'is'} "
            + " and ".join(f"{k} ({tables[k].names[0]})" for k in near),
        )
    table = tables[int(number)]
    flags = {
        "starts": np.isin(CODONS, table.start_codons),
        "stops": np.isin(CODONS, table.stop_codons),
    }
    for flag in flags.values():
        flag.setflags(write=False)
    return GeneticCode(
        number=int(number),
        name=table.names[0],
        amino_acids="".join(table.forward_table.get(codon, "*") for codon in CODONS),
        **flags,
    )


@lru_cache(maxsize=40)
def _readings(number: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Letter of the product, and whether it starts, for each three sets of bases: (4096,)."""
    code = genetic_code(number)
    letters = np.frombuffer(code.amino_acids.encode("ascii"), dtype=np.uint8).reshape(4, 4, 4)
    starts = code.starts.reshape(4, 4, 4)
    members = [[k for k in range(4) if bits >> k & 1] for bits in range(16)]
    product = np.full((16, 16, 16), ord("X"), dtype=np.uint8)
    begins = np.zeros((16, 16, 16), dtype=bool)
    for a in range(1, 16):
        for b in range(1, 16):
            for c in range(1, 16):
                where = np.ix_(members[a], members[b], members[c])
                read = letters[where]
                if (read == read.flat[0]).all():
                    product[a, b, c] = read.flat[0]
                begins[a, b, c] = bool(starts[where].all())
    return product.reshape(-1), begins.reshape(-1)


def translate(
    dna: str | NDArray[np.uint8],
    code: int = 11,
    *,
    first_codon_is_start: bool = False,
    to_stop: bool = False,
) -> str:
    """Translate DNA or RNA into amino acids.

    Parameters
    ----------
    dna : string, or (position,) ASCII bytes
        From the first base of the first codon; either case, T or U, IUPAC letters. One or two
        bases at the end that make no codon are left out.
    code : number of the genetic code.
    first_codon_is_start : bool
        Read the first codon as M where the code starts there: GTG and TTG of bacteria.
    to_stop : bool
        End before the first stop codon.

    Returns
    -------
    str
        One letter for each codon: ``*`` is a stop, X a codon whose readings differ. In codes 27,
        28 and 31 a codon that can be a stop or an amino acid is read as the amino acid.

    Raises
    ------
    DataError
        A letter that is no nucleotide, gaps included; or `to_stop` with a code whose stops can be
        amino acids too.

    Examples
    --------
    >>> translate("GTGAARTGATAA"), translate("GTGAARTGATAA", 4, first_codon_is_start=True)
    ('VK**', 'MKW*')
    """
    letters = _bytes_of(dna)
    table = genetic_code(code)
    sets = np.take(_SETS, letters)
    if sets.size and not sets.all():
        first = int(np.argmin(sets != 0))
        raise DataError(
            f"{chr(int(letters[first]))!r} came at position {first}, which is no nucleotide",
            "A, C, G, T or U and the letters that stand for several of them were needed",
            "Remove the gaps of an alignment; a protein is translated already",
        )
    dual = table.stops & (np.frombuffer(table.amino_acids.encode(), dtype=np.uint8) != ord("*"))
    if to_stop and dual.any():
        some = CODONS[int(np.argmax(dual))]
        raise DataError(
            f"to_stop came with genetic code {code}, in which {some} is a stop or an amino acid",
            "A code that tells the two apart was needed",
            "Translate without to_stop, and end where the annotation does",
        )
    n = len(sets) // 3
    sets = sets[: 3 * n].astype(np.uint16)
    index = (sets[0::3] << 8) | (sets[1::3] << 4) | sets[2::3]
    product, begins = _readings(table.number)
    read = np.take(product, index)
    if first_codon_is_start and n and begins[index[0]]:
        read[0] = ord("M")
    if to_stop:
        stops = np.flatnonzero(read == ord("*"))
        read = read[: stops[0]] if len(stops) else read
    return read.tobytes().decode("ascii")


def _bytes_of(dna: str | NDArray[np.uint8]) -> NDArray[np.uint8]:
    if isinstance(dna, str):
        try:
            return np.frombuffer(dna.encode("ascii"), dtype=np.uint8)
        except UnicodeEncodeError as error:
            raise DataError(
                f"{dna[error.start]!r} came at position {error.start}, which is no nucleotide",
                "ASCII letters were needed",
                "Was the file read with the wrong encoding?",
            ) from None
    letters = np.asarray(dna)
    if letters.dtype != np.uint8 or letters.ndim != 1:
        raise KindError(
            f"A {type(dna).__name__} of {letters.dtype} came to be translated",
            "A string, or a 1-D array of ASCII bytes (uint8), was needed",
            "Pass sequences[name], or sequences.fetch(name, start, stop)",
        )
    return letters
