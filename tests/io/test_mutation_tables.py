"""Tables of measured variants: notations, signs, units, numbering, and what does not fit."""

import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import DataError, FileFormatError, NameUnknownError

WILD = "MKTAYIAKQR"


def write(tmp_path, text, name="scan.csv"):
    (tmp_path / name).write_text(text)
    return tmp_path / name


@pytest.mark.parametrize(
    ("positive", "units", "ours"),
    [
        ("destabilising", "kcal/mol", [1.5, -0.5]),
        ("stabilising", "kcal/mol", [-1.5, 0.5]),
        ("destabilising", "kJ/mol", [1.5 / 4.184, -0.5 / 4.184]),
    ],
)
def test_sign_and_unit_are_ours_whatever_those_of_the_file(tmp_path, positive, units, ours):
    path = write(tmp_path, "mutation,ddG\nM1A,1.5\nK2R,-0.5\n")
    table = nr.io.read_mutations(path, WILD, value="ddG", positive=positive, units=units)
    assert table["ddg"].values == pytest.approx(ours)
    assert table["ddg"].attrs["units"] == "kcal/mol"
    assert "less stable" in table["ddg"].attrs["sign"]


def test_every_notation_is_one(tmp_path):
    texts = ["p.Met1Ala", "M1A", "m1a", "MA1A", "K2R:A4G", "A4G K2R", "WT", "p.="]
    path = write(tmp_path, "mutation\tv\n" + "".join(f"{t}\t1\n" for t in texts), "scan.tsv")
    table = nr.io.read_mutations(path, WILD, value="v", positive="fitter")
    assert table["mutation"].values.tolist() == [*["M1A"] * 4, *["K2R:A4G"] * 2, "WT", "WT"]
    assert table["n_mutations"].values.tolist() == [1, 1, 1, 1, 2, 2, 0, 0]
    assert table["fitness"].values.tolist() == [1.0] * 8 and "ddg" not in table


def test_numbering_that_starts_elsewhere(tmp_path):
    path = write(tmp_path, "mutation,v\nM101A,1\nY105W,2\n")
    with pytest.raises(DataError, match=r"Line 2 of scan.csv.*With first=101 all 2 variants"):
        nr.io.read_mutations(path, WILD, value="v", positive="destabilising")
    for first in (101, "find", {"protein": 101}):
        table = nr.io.read_mutations(path, WILD, value="v", positive="stabilising", first=first)
        assert table["mutation"].values.tolist() == ["M1A", "Y5W"]
    with pytest.raises(NameUnknownError, match=r"first= names the protein 'protien'.*protein"):
        nr.io.read_mutations(path, WILD, value="v", positive="stabilising", first={"protien": 101})
    path = write(tmp_path, "mutation,v\nA4G,1\n")
    with pytest.raises(DataError, match="in one way alone"):
        nr.io.read_mutations(path, WILD, value="v", positive="stabilising", first="find")


def test_proteins_by_name_and_by_column(tmp_path):
    path = write(tmp_path, "id,mutation,v,seq\na,M1A,1,MKT\nb,G2A,,AGA\nb,A1G,3,AGA\n")
    options = {"value": "v", "positive": "destabilising", "protein": "id"}
    for wild in ({"a": "MKT", "b": "AGA"}, "seq"):
        table = nr.io.read_mutations(path, wild, **options)
        assert table["wild_type"].values.tolist() == ["MKT", "AGA"]
        assert table["protein"].values.tolist() == ["a", "b"]
        assert table["line"].values.tolist() == [2, 4]
        assert table.attrs["rows_without_value"] == 1
    with pytest.raises(NameUnknownError, match="Line 3 names the protein 'b'"):
        nr.io.read_mutations(write(tmp_path, "id,mutation,v\na,M1A,1\nb,A1G,2\n"), {"a": "MKT"},
                             **options)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("mutation,w\nM1A,1\n", NameUnknownError, "no column 'v'"),
        ("mutation,v\nM1A,high\n", FileFormatError, "Line 2 .* 'high'"),
        ("mutation,v\nM1A\n", FileFormatError, "1 cells"),
        ("mutation,v\nM1del,1\n", DataError, "no substitution"),
        ("mutation,v\nM1A,80\nK2R,-60\n", DataError, "kJ/mol"),
        ("", FileFormatError, "empty"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, text, error, said):
    path = write(tmp_path, text)
    with pytest.raises(error, match=said):
        nr.io.read_mutations(path, WILD, value="v", positive="destabilising")


@pytest.mark.realdata
def test_signs_of_real_files_say_destabilised_on_average():
    from tests.benchmarks import protein_mutations as pm

    try:
        data, _ = pm.megascale()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    # Most mutations destabilise; a file read with the wrong sign would say the opposite.
    assert data.ddg.mean() > 0.5
    for name in ("Ssym", "S2647", "FireProt test"):
        points, found, _ = pm.point_mutants(name)
        assert points.ddg.mean() > 0.5 and found.mean() > 0.98
    direct, _, inverse = pm.point_mutants("Ssym")
    assert np.allclose(direct.ddg, -inverse.ddg)
