"""``neurornn mutations``: what is said and written is what the library finds."""

import json

import numpy as np
import pandas as pd
import pytest

import neurornn as nr
from neurornn.cli import main

PROTEIN = "MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEGIPPDQQRLIFAGKQLEDGRTLSDYNIQKESTLHLVLRLRGG"


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "protein.fa"
    path.write_text(f">ubiquitin\n{PROTEIN}\n")
    return path


def test_the_table_and_what_is_said_are_the_library_s(fasta, tmp_path, capsys):
    out, figure = tmp_path / "table.csv", tmp_path / "map.png"
    assert main(["mutations", str(fasta), "--out", str(out), "--figure", str(figure)]) == 0
    said = capsys.readouterr().out
    table = nr.sequences.MutationModel.shipped().mutate_all(PROTEIN)
    written = pd.read_csv(out)
    assert len(written) == 19 * len(PROTEIN)
    for row in written.iloc[[0, 700, -1]].itertuples(index=False):
        text, position, value, low, high = row
        assert PROTEIN[position - 1] == text[0] and int(text[1:-1]) == position
        cell = table.sel(position=position, residue=text[-1])
        assert value == pytest.approx(float(cell["ddg"]))
        assert [low, high] == pytest.approx(cell["ddg_ci"].values.tolist())
    worst = written.loc[written["ddg (kcal/mol)"].idxmax(), "mutation"]
    assert said.index(f"  {worst} ") > said.index("worst:")
    assert said.index(f"  {worst} ") < said.index("best:")
    assert "less stable" in said and figure.stat().st_size > 10_000
    # Its own table and picture are replaced; a file of somebody else is not.
    assert main(["mutations", str(fasta), "--out", str(out), "--figure", str(figure)]) == 0
    for option, name in (("--out", "notes.csv"), ("--figure", "notes.png")):
        (tmp_path / name).write_text("mine\n")
        assert main(["mutations", str(fasta), option, str(tmp_path / name)]) == 1
        assert (tmp_path / name).read_text() == "mine\n"


def test_measured_variants_need_a_sign(fasta, tmp_path, capsys):
    scan = tmp_path / "scan.csv"
    texts = ["I3A", "V5A", "K6A", "L15A", "V17A", "I30A", "K33A", "L43A", "K48A", "L50A", "K63A"]
    values = np.arange(11.0)
    pd.DataFrame({"mutation": texts, "ddg": values}).to_csv(scan, index=False)
    assert main(["mutations", str(fasta), "--measured", str(scan)]) == 1
    assert "--positive" in capsys.readouterr().err
    told = []
    for positive in ("destabilising", "stabilising"):
        options = ["--measured", str(scan), "--positive", positive, "--json"]
        assert main(["mutations", str(fasta), *options]) == 0
        told.append(json.loads(capsys.readouterr().out)["agreement"]["spearman"]["values"][0])
    measured = nr.io.read_mutations(scan, PROTEIN, value="ddg", positive="destabilising")
    model = nr.sequences.MutationModel.shipped()
    ours = nr.sequences.agreement(model.predict(measured), measured)
    assert told[0] == pytest.approx(float(ours["spearman"][0])) == pytest.approx(-told[1])
