"""Genetic codes and translation, beside biopython and by hand."""

import itertools
import sys
import warnings

import numpy as np
import pytest
from Bio.Data import CodonTable
from Bio.Seq import Seq
from hypothesis import given, settings
from hypothesis import strategies as st

from neurornn._core.errors import DataError, KindError, MissingDependencyError, NameUnknownError
from neurornn.data import genetic_code, translate
from neurornn.data.alphabets import ALPHABETS
from neurornn.data.genetic_codes import CODONS

NUMBERS = sorted(CodonTable.unambiguous_dna_by_id)
#: Codes with codons that are a stop or an amino acid.
DUAL = (27, 28, 31)
STANDS = {**{b: b for b in "ACGT"}, **ALPHABETS["dna"].ambiguous}


def test_codons_lie_in_the_order_of_the_bases():
    for (a, x), (b, y), (c, z) in itertools.product(enumerate("ACGT"), repeat=3):
        assert CODONS[16 * a + 4 * b + c] == x + y + z


def test_the_standard_code_by_hand():
    code = genetic_code(1)
    assert code.amino_acids == "KNKNTTTTRSRSIIMIQHQHPPPPRRRRLLLLEDEDAAAAGGGGVVVV*Y*YSSSS*CWCLFLF"
    assert [CODONS[k] for k in np.flatnonzero(code.stops)] == ["TAA", "TAG", "TGA"]
    assert [CODONS[k] for k in np.flatnonzero(code.starts)] == ["ATG", "CTG", "TTG"]
    assert (code.number, code.name) == (1, "Standard")
    assert not code.stops.flags.writeable
    with pytest.raises(AttributeError):
        code.number = 2


def test_what_makes_the_codes_of_bacteria_differ():
    # TGA is tryptophan of Mycoplasma and glycine of SR1 bacteria.
    tga = CODONS.index("TGA")
    assert [genetic_code(k).amino_acids[tga] for k in (11, 4, 25)] == ["*", "W", "G"]
    same = [genetic_code(k).amino_acids[:tga] + genetic_code(k).amino_acids[tga + 1 :]
            for k in (11, 4, 25)]  # fmt: skip
    assert same[0] == same[1] == same[2]
    assert genetic_code(11).starts.sum() == 7


@pytest.mark.parametrize("number", NUMBERS)
def test_every_codon_of_every_code_is_that_of_biopython(number):
    code, table = genetic_code(number), CodonTable.unambiguous_dna_by_id[number]
    for k, codon in enumerate(CODONS):
        assert code.amino_acids[k] == table.forward_table.get(codon, "*")
        assert code.stops[k] == (codon in table.stop_codons)
        assert code.starts[k] == (codon in table.start_codons)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert translate("".join(CODONS), number) == str(Seq("".join(CODONS)).translate(number))


@pytest.mark.parametrize("number", [1, 4, 11, 25])
def test_ambiguous_codons_are_what_all_their_readings_are(number):
    code = genetic_code(number)
    for codon in itertools.product("ACGTRYSWKMBDHVN", repeat=3):
        readings = {"".join(r) for r in itertools.product(*(STANDS[x] for x in codon))}
        products = {code.amino_acids[CODONS.index(r)] for r in readings}
        wanted = products.pop() if len(products) == 1 else "X"
        assert translate("".join(codon), number) == wanted
        begins = all(code.starts[CODONS.index(r)] for r in readings)
        first = translate("".join(codon), number, first_codon_is_start=True)
        assert first == ("M" if begins else wanted)


def test_translation_by_hand():
    assert translate("ATGAARTGATAA") == "MK**"
    assert translate("ATGAARTGATAA", 4) == "MKW*"
    assert translate("ATGAARTGATAA", to_stop=True) == "MK"
    assert translate("gtgAAATTg", first_codon_is_start=True) == "MKL"
    assert translate("GTGGTG", first_codon_is_start=True) == "MV"
    # GCA does not start in code 11.
    assert translate("GCAGTG", first_codon_is_start=True) == "AV"
    # One or two bases behind the last codon are left out; RNA is read as DNA.
    assert translate("AUGAAAC") == translate("ATGAAACC") == "MK"
    assert translate("") == translate("AT") == "" == translate("TAA", to_stop=True)
    assert translate(np.frombuffer(b"ATGTAR", np.uint8)) == "M*"
    assert translate("NNNATGRAY") == "XMX"


@settings(deadline=None)
@given(st.text("ACGTacgtN", max_size=60), st.sampled_from([1, 2, 4, 11, 25]))
def test_translation_is_that_of_biopython(dna, number):
    whole = dna[: len(dna) // 3 * 3]
    theirs = str(Seq(whole).translate(number))
    # biopython has B, Z and J for some pairs; here every mixture is X.
    assert translate(dna, number) == theirs.translate(str.maketrans("BZJ", "XXX"))
    assert translate(dna, number, to_stop=True) == translate(dna, number).split("*")[0]


@pytest.mark.parametrize("number", DUAL)
def test_codons_that_can_be_both(number):
    code = genetic_code(number)
    both = [c for k, c in enumerate(CODONS) if code.stops[k] and code.amino_acids[k] != "*"]
    assert both
    assert "*" not in translate(both[0], number)
    with pytest.raises(DataError, match=f"genetic code {number}, in which {both[0]} is a stop or"):
        translate(both[0], number, to_stop=True)


@pytest.mark.parametrize(
    ("number", "near"),
    [(7, "are 6 .* and 9"), (0, r"is 1 \("), (34, r"is 33 \("), (18, "are 16 .* and 21")],
)
def test_numbers_without_a_code(number, near):
    with pytest.raises(NameUnknownError, match=f"no genetic code {number}.*Nearest {near}"):
        genetic_code(number)


def test_refusals(monkeypatch):
    with pytest.raises(KindError, match="The number of a code"):
        genetic_code("11")
    with pytest.raises(KindError, match="The number of a code"):
        genetic_code(True)
    with pytest.raises(DataError, match="'-' came at position 3"):
        translate("ATG-AA")
    with pytest.raises(DataError, match=r"'E' came at position 1.*protein"):
        translate("AEL")
    with pytest.raises(DataError, match="'é' came at position 2"):
        translate("ATé")
    with pytest.raises(KindError, match="of int64 came to be translated"):
        translate(np.zeros(3, np.int64))
    genetic_code.cache_clear()
    monkeypatch.setitem(sys.modules, "Bio.Data", None)
    with pytest.raises(MissingDependencyError, match=r"neurornn\[sequences\]"):
        genetic_code(11)
