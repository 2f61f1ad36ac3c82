"""GenBank files: features across the origin, on both strands, partial, and damaged files."""

import gzip
import sys
import textwrap

import pytest
from Bio import SeqIO

from neurornn._core.errors import DataError, FileFormatError, MissingDependencyError
from neurornn.data import extract, pick_features, translate
from neurornn.io import open as open_file
from neurornn.io import read_genbank

#: 60 letters; those across the origin spell ATG AAA CCC GGG TAA: 51..60 and 1..5.
LETTERS = "GGTAAcgcgtttacgtcgatcgatcttacattagcgcgatcgatcaggatATGAAACCCG".upper()


def record(features, *, letters=LETTERS, topology="circular", name="TEST_1", molecule="DNA",
           unit="bp", length=None):  # fmt: skip
    table = textwrap.indent("\n".join(features), "     ")
    rows = [
        f"{at + 1:>9} " + " ".join(letters[at : at + 60][k : k + 10] for k in range(0, 60, 10))
        for at in range(0, len(letters), 60)
    ]
    return (
        f"LOCUS       {name:<16} {length or len(letters):>11} {unit}    {molecule:<6}  "
        f"{topology:<8} BCT 01-JAN-2020\nDEFINITION  test.\nACCESSION   {name}\n"
        f"VERSION     {name}.1\nSOURCE      Testus minor\n  ORGANISM  Testus minor\n"
        f"            Bacteria.\nFEATURES             Location/Qualifiers\n{table}\nORIGIN\n"
        + "\n".join(row.rstrip().lower() for row in rows)
        + "\n//\n"
    )


def feature(kind, place, **qualifiers):
    lines = [f"{kind:<16}{place}"]
    for key, value in qualifiers.items():
        said = f"/{key}" if value is True else f'/{key}="{value}"'
        lines.append(" " * 16 + (said if not isinstance(value, int) or value is True
                                 else f"/{key}={value}"))  # fmt: skip
    return "\n".join(lines)


def opened(tmp_path, text, name="a.gb"):
    (tmp_path / name).write_text(text)
    return open_file(tmp_path / name)


def test_a_record_by_hand(tmp_path):
    made = opened(
        tmp_path,
        record(
            [
                feature("source", "1..60", organism="Testus minor"),
                feature("gene", "complement(10..20)", locus_tag="T_1", gene="abc", pseudo=True),
                feature("CDS", "51..56", locus_tag="T_2", codon_start=2, transl_table=4,
                        product="a protein, with a comma"),
                feature("CDS", "<1..>6", protein_id="P.1", ribosomal_slippage=True),
                feature("CDS", "complement(<1..9)", gene="left"),
                feature("CDS", "complement(1..>9)"),
            ]
        ),
    )  # fmt: skip
    assert repr(made) == (
        "SequenceSet(1 dna sequences of 60 bp; groups organism; circular; 6 features)"
    )
    assert made.names.tolist() == ["TEST_1.1"] and made[0] == LETTERS
    assert made.groups["organism"].tolist() == ["Testus minor"]
    f = made.features
    assert f["type"].values.tolist() == ["source", "gene"] + ["CDS"] * 4
    assert f["start"].values.tolist() == [0, 9, 50, 0, 0, 0]
    assert f["end"].values.tolist() == [60, 20, 56, 6, 9, 9]
    assert f["strand"].values.tolist() == [1, -1, 1, 1, -1, -1]
    assert f["phase"].values.tolist() == [0, 0, 1, 0, 0, 0]
    assert f["genetic_code"].values.tolist() == [0, 0, 4, 0, 0, 0]
    assert f["name"].values.tolist() == ["", "T_1", "T_2", "P.1", "left", ""]
    assert f["gene"].values.tolist() == ["", "abc", "", "", "left", ""]
    assert f["product"].values[2] == "a protein, with a comma"
    assert f["is_pseudo"].values.tolist() == [False, True] + [False] * 4
    assert f["translation_exception"].values.tolist() == [False] * 3 + [True] + [False] * 2
    # The lower end of a gene on the reverse strand is where its reading ends.
    assert f["is_partial_5"].values.tolist() == [False, False, False, True, False, True]
    assert f["is_partial_3"].values.tolist() == [False, False, False, True, True, False]


@pytest.mark.parametrize(
    ("place", "start", "end", "strand", "parts"),
    [
        ("join(51..60,1..5)", 50, 65, 1, [(50, 65)]),
        ("complement(join(51..60,1..5))", 50, 65, -1, [(50, 65)]),
        # The other notation of the same place.
        ("join(complement(1..5),complement(51..60))", 50, 65, -1, [(50, 65)]),
        ("complement(join(10..12,20..25))", 9, 25, -1, [(19, 25), (9, 12)]),
        ("join(complement(20..25),complement(10..12))", 9, 25, -1, [(19, 25), (9, 12)]),
        ("join(50..55,59..60,1..2,4..9)", 49, 69, 1, [(49, 55), (58, 62), (63, 69)]),
        ("complement(join(50..55,59..60,1..2))", 49, 62, -1, [(58, 62), (49, 55)]),
        # A slip of the ribosome, back and forth.
        ("join(10..20,20..30)", 9, 30, 1, [(9, 20), (19, 30)]),
        ("complement(join(10..20,22..30))", 9, 30, -1, [(21, 30), (9, 20)]),
        # Joined over both strands.
        ("join(10..12,complement(20..25))", 9, 25, 0, [(9, 12), (19, 25)]),
        ("order(30..31,10..11)", 9, 31, 1, [(29, 31), (9, 11)]),
    ],
)  # fmt: skip
def test_places_of_several_parts(tmp_path, place, start, end, strand, parts):
    made = opened(tmp_path, record([feature("CDS", place, locus_tag="x")]))
    f = made.features
    assert (int(f["start"][0]), int(f["end"][0]), int(f["strand"][0])) == (start, end, strand)
    found = list(zip(f["part_start"].values.tolist(), f["part_end"].values.tolist(), strict=True))
    assert found == parts
    # A second opinion on what is read.
    theirs = SeqIO.read(tmp_path / "a.gb", "genbank")
    assert extract(made)[0] == str(theirs.features[0].extract(theirs.seq))


def test_a_gene_over_the_origin_is_translated(tmp_path):
    made = opened(tmp_path, record([feature("CDS", "join(51..60,1..5)")]))
    assert extract(made)[0] == "ATGAAACCCGGGTAA" and translate(extract(made)[0]) == "MKPG*"
    turned = made.reverse_complement()
    assert extract(turned)[0] == "ATGAAACCCGGGTAA"
    assert turned.fetch("TEST_1.1", 0, 5) == "CGGGT"


def test_on_a_linear_record_nothing_crosses_the_origin(tmp_path):
    text = record([feature("CDS", "join(51..60,1..5)")], topology="linear")
    made = opened(tmp_path, text)
    assert not made.circular[0]
    assert (int(made.features["start"][0]), int(made.features["end"][0])) == (0, 60)
    # Read in the order that is written all the same.
    assert extract(made)[0] == "ATGAAACCCGGGTAA"


def test_several_records_gzipped_with_mixed_line_ends(tmp_path):
    text = record([feature("CDS", "1..6")]) + record(
        [feature("CDS", "4..9")], name="TEST_2", letters="ACGTACGTAC", topology="linear"
    )
    lines = text.split("\n")
    mixed = "".join(line + ("\r\n" if k % 2 else "\n") for k, line in enumerate(lines))
    (tmp_path / "a.gbff.gz").write_bytes(gzip.compress(mixed.encode()))
    made = open_file(tmp_path / "a.gbff.gz")
    assert made.names.tolist() == ["TEST_1.1", "TEST_2.1"]
    assert made.circular.tolist() == [True, False] and made[1] == "ACGTACGTAC"
    assert made[[1]].features["start"].values.tolist() == [3]
    assert pick_features(made, contig="TEST_1.1").sizes["feature"] == 1


def test_other_molecules(tmp_path):
    protein = record([feature("Protein", "1..4")], letters="MKLV", unit="aa", molecule="",
                     topology="linear")  # fmt: skip
    assert opened(tmp_path, protein).alphabet == "protein"
    rna = record([], letters="ACGUAC", molecule="RNA", topology="linear")
    assert opened(tmp_path, rna).alphabet == "rna"
    # RNA is mostly written with T.
    assert opened(tmp_path, rna.replace("acguac", "acgtac")).alphabet == "dna"
    with pytest.raises(DataError, match="holds dna and rna"):
        opened(tmp_path, record([]) + rna.replace("TEST_1", "TEST_3"))


def test_features_of_other_records_are_left_out_and_told(tmp_path):
    text = record([feature("CDS", "join(J00194.1:1..5,1..6)", locus_tag="far"),
                   feature("CDS", "1..6", locus_tag="near")])  # fmt: skip
    with pytest.warns(UserWarning, match=r"1 features of a\.gb are left out, CDS far"):
        made = opened(tmp_path, text)
    assert made.features["name"].values.tolist() == ["near"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t[: t.index("ORIGIN") + 30], "line"),
        (lambda t: t[: t.index("FEATURES") + 60], "line"),
        (lambda t: t.replace("ORIGIN", "CONTIG      join(X:1..60)\nORIGIN").replace(
            LETTERS.lower()[:10], ""), "LOCUS line"),
        (lambda t: t + t, "several records called 'TEST_1.1'"),
        (lambda t: "LOCUS \n", "holds no record"),
        (lambda t: t.replace("atgaaa", "atgxaa"), "position 5"),
    ],
)  # fmt: skip
def test_damaged_files_are_explained(tmp_path, change, words):
    text = record([feature("CDS", "1..6", locus_tag="x")])
    rows = text.replace(" ", " ")
    with pytest.raises((FileFormatError, DataError), match=words):
        opened(tmp_path, change(rows))


def test_a_reading_frame_that_is_none(tmp_path):
    text = record([feature("CDS", "1..9", codon_start=5)])
    with pytest.raises(FileFormatError, match=r"The CDS of TEST_1\.1 .* /codon_start is 5"):
        opened(tmp_path, text)


def test_a_feature_that_ends_before_it_starts_is_read_across_the_origin(tmp_path):
    with pytest.warns(UserWarning, match=r"end before they start, 51\.\.5 for one") as said:
        made = opened(tmp_path, record([feature("CDS", "51..5", locus_tag="over")]))
    # It is there, so nothing is said to be left out.
    assert len(said) == 1
    assert extract(made)[0] == "ATGAAACCCGGGTAA"


def test_a_record_without_letters(tmp_path):
    text = record([feature("CDS", "1..6")])
    bare = text[: text.index("ORIGIN")] + "CONTIG      join(AB1:1..60)\n//\n"
    with pytest.raises(FileFormatError, match=r"'TEST_1.1' of a\.gb has no letters.*gbwithparts"):
        opened(tmp_path, bare)


def test_a_length_that_is_not_what_locus_says(tmp_path):
    with pytest.raises(FileFormatError, match="not as long as its LOCUS line says"):
        opened(tmp_path, record([], length=70))


def test_a_cut_gzip_and_a_nul_byte(tmp_path):
    text = record([feature("CDS", "1..6")]) * 1
    (tmp_path / "a.gb.gz").write_bytes(gzip.compress(text.encode())[:-30])
    with pytest.raises(FileFormatError, match=r"a\.gb\.gz"):
        read_genbank(tmp_path / "a.gb.gz")
    with pytest.raises(FileFormatError, match=r"Line 4 of a\.gb holds a NUL byte"):
        opened(tmp_path, text.replace("VERSION", "VER\x00SION"))


def test_a_feature_beyond_the_end(tmp_path):
    with pytest.raises(DataError, match=r"CDS x .*ends at 99, and TEST_1.1 has 60 bp"):
        opened(tmp_path, record([feature("CDS", "30..99", locus_tag="x")], topology="linear"))


def test_without_biopython_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.gb").write_text(record([]))
    monkeypatch.setitem(sys.modules, "Bio", None)
    with pytest.raises(MissingDependencyError, match=r"neurornn\[sequences\]"):
        read_genbank(tmp_path / "a.gb")
