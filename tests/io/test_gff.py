"""GFF3 and GTF: rows, parts, phases, origin, stop codons, bad rows, and the way back."""

import gzip

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurornn._core.errors import FileFormatError, FileWriteError, KindError, NameUnknownError
from neurornn.data import SequenceSet, extract, features_from_records, pick_features
from neurornn.io import open as open_file
from neurornn.io import read_gff, write_gff3
from neurornn.io.gff_rows import attributes_of

HEAD = "##gff-version 3\n"


def rows(*lines):
    return "".join("\t".join(line.split("|")) + "\n" for line in lines)


def opened(tmp_path, text, name="a.gff3", **options):
    (tmp_path / name).write_text(text)
    return open_file(tmp_path / name, **options)


def parts(features):
    return list(
        zip(
            features["part_start"].values.tolist(),
            features["part_end"].values.tolist(),
            strict=True,
        )
    )


def test_rows_by_hand(tmp_path):
    f = opened(
        tmp_path,
        HEAD + "# a comment\n\n##sequence-region chr1 1 900\n"
        + rows(
            "chr1|RefSeq|gene|11|40|.|-|.|ID=gene1;Name=abcA;gene_biotype=protein_coding",
            "chr1|RefSeq|CDS|11|40|.|-|2|ID=cds1;Parent=gene1;locus_tag=T_1;product=a%2C b%3B c;"
            "transl_table=4;partial=true;end_range=40,.",
            "chr 2|.|pseudogene|1|3|0.5|.|.|ID=p;pseudo=true",
            "chr1|.|CDS|1|9|.|+|0|ID=x;exception=ribosomal slippage;partial=10",
            "chr1|.|region|1|900|.|?|.",
        ).replace("chr 2", "chr%202"),
    )  # fmt: skip
    assert isinstance(f, xr.Dataset) and f.attrs["format"] == "GFF3"
    assert f["contig"].values.tolist() == ["chr1", "chr1", "chr 2", "chr1", "chr1"]
    assert f["type"].values.tolist() == ["gene", "CDS", "pseudogene", "CDS", "region"]
    assert f["start"].values.tolist() == [10, 10, 0, 0, 0]
    assert f["end"].values.tolist() == [40, 40, 3, 9, 900]
    assert f["strand"].values.tolist() == [-1, -1, 0, 1, 0]
    assert f["phase"].values.tolist() == [0, 2, 0, 0, 0]
    assert f["name"].values.tolist() == ["gene1", "T_1", "p", "x", ""]
    assert f["gene"].values.tolist() == ["abcA", "abcA", "", "", ""]
    assert f["product"].values[1] == "a, b; c"
    assert f["genetic_code"].values.tolist() == [0, 4, 0, 0, 0]
    assert f["is_pseudo"].values.tolist() == [False, False, True, False, False]
    assert f["translation_exception"].values.tolist() == [False, False, False, True, False]
    # The upper end is where a reverse strand begins; Prodigal says 1 for the left side.
    assert f["is_partial_5"].values.tolist() == [False, True, False, True, False]
    assert f["is_partial_3"].values.tolist() == [False] * 5
    assert np.isnan(f["score"].values[0]) and f["score"].values[2] == 0.5


@pytest.mark.parametrize(
    ("sign", "order", "phase"),
    [("+", [(0, 4), (9, 20), (29, 31)], 1), ("-", [(29, 31), (9, 20), (0, 4)], 2)],
)
@pytest.mark.parametrize("shuffled", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_rows_of_one_id_are_one_feature_whatever_their_order(
    tmp_path, sign, order, phase, shuffled
):
    lines = [
        f"c|.|CDS|1|4|.|{sign}|1|ID=a;Parent=m",
        f"c|.|CDS|10|20|.|{sign}|0|ID=a;Parent=m",
        f"c|.|CDS|30|31|.|{sign}|2|ID=a;Parent=m",
    ]
    f = opened(tmp_path, HEAD + rows(*[lines[k] for k in shuffled]))
    assert f.sizes["feature"] == 1 and parts(f) == order
    assert (int(f["start"][0]), int(f["end"][0])) == (0, 31)
    # The phase is that of the row that is read first.
    assert int(f["phase"][0]) == phase


def test_rows_without_id_go_by_their_parent(tmp_path):
    text = HEAD + rows(
        "c|.|mRNA|1|50|.|+|.|ID=m", "c|.|CDS|1|4|.|+|0|Parent=m", "c|.|exon|1|9|.|+|.|Parent=m",
        "c|.|CDS|10|20|.|+|2|Parent=m", "c|.|exon|10|50|.|+|.|Parent=m",
    )  # fmt: skip
    f = opened(tmp_path, text)
    assert f["type"].values.tolist() == ["mRNA", "CDS", "exon", "exon"]
    assert parts(pick_features(f)) == [(0, 4), (9, 20)]


def test_rows_with_ids_of_their_own_are_told_and_can_be_joined(tmp_path):
    text = HEAD + rows("c|.|CDS|1|4|.|-|0|ID=a.1;Parent=m", "c|.|CDS|10|20|.|-|2|ID=a.2;Parent=m")
    with pytest.warns(UserWarning, match=r"1 parents of a\.gff3.*'m' for one.*join=\"parent\""):
        assert opened(tmp_path, text).sizes["feature"] == 2
    assert parts(opened(tmp_path, text, join="parent")) == [(9, 20), (0, 4)]
    # Two products of one gene overlap, and are two.
    both = text.replace("10\t20", "1\t20")
    assert opened(tmp_path, both).sizes["feature"] == 2
    with pytest.raises(NameUnknownError, match="join is"):
        read_gff(tmp_path / "a.gff3", join="gene")


def test_across_the_origin(tmp_path):
    region = "c|.|region|1|60|.|+|.|ID=c:1..60;Is_circular=true"
    text = HEAD + rows(region, "c|.|CDS|51|65|.|-|0|ID=a", "c|.|CDS|51|60|.|+|2|ID=b",
                       "c|.|CDS|1|5|.|+|1|ID=b", "c|.|CDS|1|5|.|-|1|ID=d",
                       "c|.|CDS|51|60|.|-|2|ID=d")  # fmt: skip
    f = pick_features(opened(tmp_path, text))
    # One row that goes beyond the end, or two rows that meet at the origin.
    assert f["start"].values.tolist() == [50, 50, 50] and f["end"].values.tolist() == [65] * 3
    assert f["part_count"].values.tolist() == [1, 1, 1]
    assert f["phase"].values.tolist() == [0, 2, 1]
    letters = "GGTAA" + "C" * 45 + "ATGAAACCCG"
    (tmp_path / "c.fa").write_text(f">c\n{letters}\n")
    genome = open_file(tmp_path / "c.fa", annotation=tmp_path / "a.gff3")
    assert genome.circular.tolist() == [True]
    assert extract(genome, pick_features(genome, strand=1))[0] == "ATGAAACCCGGGTAA"
    linear = text.replace(";Is_circular=true", "")
    (tmp_path / "b.gff3").write_text(linear)
    with pytest.raises(ValueError, match=r"CDS a .*ends at 65, and c has 60 bp and is linear"):
        open_file(tmp_path / "c.fa", annotation=tmp_path / "b.gff3")
    by_hand = open_file(tmp_path / "c.fa", annotation=tmp_path / "b.gff3", circular=["c"])
    assert by_hand.circular.tolist() == [True]


def test_sequences_inside_the_file(tmp_path):
    text = HEAD + rows("c|.|CDS|2|4|.|-|0|ID=a")
    text += "##FASTA\n>c some words\nACGTACG\nAC\n>d\nGG\n"
    genome = opened(tmp_path, text)
    assert isinstance(genome, SequenceSet) and genome.names.tolist() == ["c", "d"]
    assert extract(genome)[0] == "ACG"
    # Without the directive, as some programs leave it out.
    assert list(opened(tmp_path, text.replace("##FASTA\n", ""))) == ["ACGTACGAC", "GG"]
    with pytest.raises(NameUnknownError, match="Features lie on 1 contigs"):
        opened(tmp_path, text.replace(">c ", ">other "))
    (tmp_path / "z.gff.gz").write_bytes(gzip.compress(text.replace("\n", "\r\n").encode()))
    assert list(open_file(tmp_path / "z.gff.gz")) == ["ACGTACGAC", "GG"]


def test_trans_spliced_rows_keep_their_order(tmp_path):
    said = "ID=a;exception=trans-splicing"
    text = HEAD + rows(f"c|.|CDS|30|40|.|+|0|{said};part=2", f"c|.|CDS|50|60|.|-|0|{said};part=1",
                       f"c|.|CDS|1|9|.|+|0|{said};part=3")  # fmt: skip
    f = opened(tmp_path, text)
    assert parts(f) == [(49, 60), (29, 40), (0, 9)] and int(f["strand"][0]) == 0
    assert f["part_strand"].values.tolist() == [-1, 1, 1]
    # The letters are those of the parts: nothing is an exception of translation.
    assert not f["translation_exception"].values[0]


GTF = (
    'c|.|transcript|1|40|.|{s}|.|gene_id "g1"; transcript_id "t1"; gene_name "abc";',
    'c|.|exon|1|20|.|{s}|.|gene_id "g1"; transcript_id "t1"; exon_number "1"; exon_id "e; 1";',
    'c|.|CDS|{cds1}|.|{s}|0|gene_id "g1"; transcript_id "t1"; gene_name "abc"; tag "basic";',
    'c|.|CDS|{cds2}|.|{s}|2|gene_id "g1"; transcript_id "t1"; gene_name "abc"; tag "basic";',
    'c|.|stop_codon|{stop}|.|{s}|0|gene_id "g1"; transcript_id "t1";',
)


@pytest.mark.parametrize(
    ("sign", "first", "second", "stop", "read"),
    [
        ("+", "3|20", "30|35", "36|38", [(2, 20), (29, 38)]),
        ("-", "6|20", "30|35", "3|5", [(29, 35), (2, 20)]),
        # In an exon of its own, and one that the coding sequence has already.
        ("+", "3|20", "30|35", "39|41", [(2, 20), (29, 35), (38, 41)]),
        ("+", "3|20", "30|38", "36|38", [(2, 20), (29, 38)]),
        ("-", "3|20", "30|35", "3|5", [(29, 35), (2, 20)]),
    ],
)
def test_the_stop_codon_of_gtf_is_added(tmp_path, sign, first, second, stop, read):
    text = rows(*[line.format(s=sign, cds1=first, cds2=second, stop=stop) for line in GTF])
    f = opened(tmp_path, "#!genome-build x\n" + text, "a.gtf")
    assert f.attrs["format"] == "GTF"
    cds = pick_features(f)
    assert cds.sizes["feature"] == 1 and parts(cds) == read
    assert cds["name"].values.tolist() == ["t1"] and cds["gene"].values.tolist() == ["abc"]
    assert int(cds["phase"][0]) == (0 if sign == "+" else 2)
    assert f["name"].values[f["type"].values == "exon"].tolist() == ["e; 1"]
    assert pick_features(f, "stop_codon").sizes["feature"] == 1


def test_a_split_stop_codon_and_what_else_gtf_says(tmp_path):
    lines = [
        'c|.|CDS|3|20|.|+|1|gene_id "g"; transcript_id "t"; tag "cds_start_NF"; tag "x"; level 2;',
        'c|.|stop_codon|21|22|.|+|0|gene_id "g"; transcript_id "t";',
        'c|.|stop_codon|30|30|.|+|1|gene_id "g"; transcript_id "t";',
        'c|.|CDS|3|20|.|-|0|gene_id "p"; transcript_id "u"; gene_type "unitary_pseudogene"',
    ]
    f = pick_features(opened(tmp_path, rows(*lines), "a.gtf"))
    assert parts(f) == [(2, 22), (29, 30), (2, 20)]
    assert f["is_partial_5"].values.tolist() == [True, False]
    assert f["is_pseudo"].values.tolist() == [False, True]
    assert f["phase"].values.tolist() == [1, 0] and f["gene"].values.tolist() == ["g", "p"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("c|.|CDS|1|9|.|+", "Line 3 of a.gff3 has 7 columns"),
        ("c|.|CDS|x|9|.|+|0|ID=a", "Line 3 of a.gff3 starts at 'x' and ends at '9'"),
        ("c|.|CDS|9|1|.|+|0|ID=a", "Line 3 of a.gff3 starts at 9 and ends at 1"),
        ("c|.|CDS|0|9|.|+|0|ID=a", "starts at 0"),
        ("c|.|CDS|1|9|.|1|0|ID=a", "strand '1'"),
        ("c|.|CDS|1|9|.|+|3|ID=a", "phase '3'"),
        ("c|.|CDS|1|9|.|+|0|ID=a;Note", "'Note' without value"),
        ("c|.|CDS|1|9|.|+|0|what is this?", "attributes that cannot be read"),
        ("c|.|CDS|1|9|.|+|0|ID=a;transl_table=x", "genetic code 'x'"),
    ],
)
def test_bad_rows_are_told_with_their_line(tmp_path, line, words):
    with pytest.raises(FileFormatError, match=words):
        opened(tmp_path, HEAD + rows("c|.|gene|1|9|.|+|.|ID=g", line))


def test_a_genome_without_genes_has_a_table_without_rows(tmp_path):
    bare = HEAD + "##sequence-region c 1 9\n"
    assert opened(tmp_path, bare).sizes["feature"] == 0
    (tmp_path / "c.fa").write_text(">c\nACGTACGTA\n")
    genome = open_file(tmp_path / "c.fa", annotation=tmp_path / "a.gff3")
    assert genome.features.sizes["feature"] == 0
    # What is written of it reads back.
    again = write_gff3(genome, tmp_path / "again.gff3")
    assert again.read_text() == bare
    assert open_file(again).sizes["feature"] == 0


def test_files_that_are_no_gff(tmp_path):
    with pytest.raises(FileFormatError, match="holds no row"):
        opened(tmp_path, HEAD)
    (tmp_path / "b.gff3.gz").write_bytes(
        gzip.compress((HEAD + rows("c|.|gene|1|9|.|+|.|ID=g") * 500).encode())[:-20]
    )
    with pytest.raises(FileFormatError, match=r"b\.gff3\.gz"):
        open_file(tmp_path / "b.gff3.gz")
    with pytest.raises(FileFormatError, match="1 columns"):
        opened(tmp_path, "c . gene 1 9 . + . ID=g\n", "c.gff3")


def test_content_tells_the_format_whatever_the_name(tmp_path):
    text = "# made by hand\n" + rows("c|.|gene|1|9|.|+|.|ID=g")
    assert opened(tmp_path, text, "a.txt").sizes["feature"] == 1
    assert opened(tmp_path, HEAD + text, "a").sizes["feature"] == 1


def test_attributes():
    assert attributes_of(".") == attributes_of(" ") == {}
    assert attributes_of("ID=a=b; Parent=x,y;;") == {"ID": "a=b", "Parent": "x,y"}
    wanted = {"gene_id": "a; b", "tag": "x,y", "n": "3"}
    assert attributes_of('gene_id "a; b"; tag "x"; tag "y"; n 3') == wanted
    # Without spaces, and with an empty value.
    assert attributes_of('gene_id "a"; tag "x"; tag "y"; n 3;') == {**wanted, "gene_id": "a"}
    assert attributes_of('gene_id "a";tag "x";n "";') == {"gene_id": "a", "tag": "x", "n": ""}
    assert attributes_of('gene_id ""; n 1.5') == {"gene_id": "", "n": "1.5"}
    assert attributes_of('a "x;y"; b "z"', kept=frozenset("b")) == {"b": "z"}
    assert attributes_of("a=x;b=z", kept=frozenset("b")) == {"b": "z"}
    for bad in ('gene_id "a', 'gene_id a" b"', "gene_id", 'a "x" "y"; b "z"'):
        with pytest.raises(FileFormatError, match="cannot be read"):
            attributes_of(bad, 3, "a.gtf")


def test_some_types_alone(tmp_path):
    text = HEAD + rows(
        "c|.|gene|1|50|.|+|.|ID=g;Name=abc",
        "c|.|mRNA|1|50|.|+|.|ID=m;Parent=g",
        "c|.|CDS|1|4|.|+|0|ID=a;Parent=m",
        "c|.|exon|1|9|.|+|.|Parent=m",
    )
    f = opened(tmp_path, text, types="CDS")
    # The gene is named by what lies above, although that is not kept.
    assert f["type"].values.tolist() == ["CDS"] and f["gene"].values.tolist() == ["abc"]
    assert opened(tmp_path, text, types=["exon", "gene"]).sizes["feature"] == 2
    gtf = rows(*[line.format(s="+", cds1="3|20", cds2="30|35", stop="36|38") for line in GTF])
    cds = opened(tmp_path, gtf, "a.gtf", types="CDS")
    assert cds.sizes["feature"] == 1 and int(cds["end"][0]) == 38
    assert opened(tmp_path, text, types="tRNA").sizes["feature"] == 0


# ------------------------------------------------------------------ the way back

LETTERS = st.characters(codec="utf-8", exclude_categories=("Cs",))
WORDS = st.text(LETTERS, min_size=1, max_size=12).filter(lambda t: t == t.strip())


@st.composite
def genomes(draw):
    length = draw(st.integers(30, 60))
    circular = draw(st.booleans())
    strand = draw(st.sampled_from([1, -1]))
    edges = draw(st.lists(st.integers(0, length), min_size=2, max_size=6, unique=True))
    edges = sorted(edges)[: len(edges) // 2 * 2]
    pieces = list(zip(edges[::2], edges[1::2], strict=True))
    if circular:
        shift = draw(st.integers(0, length - 1))
        pieces = [(a + shift, b + shift) for a, b in pieces]
        turn = pieces[0][0] // length * length
        pieces = [(a - turn, b - turn) for a, b in pieces]
    record = {
        "contig": "c", "parts": pieces[::strand], "strand": strand,
        "phase": draw(st.integers(0, 2)), "name": draw(WORDS), "gene": draw(WORDS),
        "product": draw(WORDS), "genetic_code": draw(st.sampled_from([0, 4, 11])),
        **{k: draw(st.booleans()) for k in ("is_partial_5", "is_partial_3", "is_pseudo",
                                           "translation_exception")},
    }  # fmt: skip
    letters = draw(st.text("ACGT", min_size=length, max_size=length))
    return letters, circular, record


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(genomes())
def test_features_come_back_from_gff3(tmp_path, made):
    letters, circular, record = made
    table = features_from_records([record])
    genome = SequenceSet.from_sequences(["c"], [letters], circular=circular, features=table)
    path = write_gff3(genome, tmp_path / "x.gff3", overwrite=True)
    back = pick_features(open_file(path))
    # Rows say where a feature lies, and which of them are one; a cut within one row is not kept.
    with_letters = genome.with_features(back)
    assert extract(with_letters)[0] == extract(genome)[0]
    for name in table:
        if table[name].dims == ("feature",) and name != "part_count":
            assert back[name].values.tolist() == table[name].values.tolist(), name


def test_phases_of_rows_go_on_from_one_to_the_next(tmp_path):
    records = [
        {"contig": "c", "parts": [(30, 41), (10, 20)], "strand": -1, "phase": 1, "name": "a"},
        {"contig": "c", "parts": [(0, 2), (5, 6), (8, 20)], "name": "b"},
    ]
    path = write_gff3(features_from_records(records), tmp_path / "a.gff3", program="test")
    cells = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    assert [(c[1], c[3], c[4], c[6], c[7]) for c in cells] == [
        ("test", "31", "41", "-", "1"), ("test", "11", "20", "-", "2"),
        ("test", "1", "2", "+", "0"), ("test", "6", "6", "+", "1"), ("test", "9", "20", "+", "0"),
    ]  # fmt: skip


def test_names_that_repeat_get_ids_of_their_own(tmp_path):
    records = [{"contig": "c", "start": k, "end": k + 3, "name": n, "type": t}
               for k, (n, t) in enumerate([("a", "gene"), ("a", "CDS"), ("a", "CDS"), ("", "CDS"),
                                           ("", "CDS"), ("a-2", "CDS")])]  # fmt: skip
    back = open_file(write_gff3(features_from_records(records), tmp_path / "a.gff3"))
    assert back.sizes["feature"] == 6
    assert back["name"].values.tolist()[:3] == ["a", "a", "a"]
    assert back["start"].values.tolist() == [0, 1, 2, 3, 4, 5]


def test_a_contig_whose_name_would_make_its_row_a_comment(tmp_path):
    records = [{"contig": name, "start": 0, "end": 9} for name in ("#1", "##FASTA", ">1")]
    back = open_file(write_gff3(features_from_records(records), tmp_path / "a.gff3"))
    assert back["contig"].values.tolist() == ["#1", "##FASTA", ">1"]


def test_a_trans_spliced_gene_comes_back(tmp_path):
    records = [
        {"contig": "c", "parts": [(49, 60, -1), (29, 40, 1), (0, 9, 1)], "strand": 0},
        {"contig": "c", "parts": [(29, 40), (0, 9)], "strand": 1, "name": "odd"},
    ]
    table = features_from_records(records)
    back = open_file(write_gff3(table, tmp_path / "a.gff3"))
    assert parts(back) == parts(table)
    assert back["part_strand"].values.tolist() == table["part_strand"].values.tolist()
    assert not back["translation_exception"].values.any()


def test_scores_and_what_must_not_be_replaced(tmp_path):
    table = features_from_records([{"contig": "c", "start": 0, "end": 3}])
    table["score"] = ("feature", [0.25])
    path = write_gff3(table, tmp_path / "a.gff3")
    assert open_file(path)["score"].values.tolist() == [0.25]
    theirs = tmp_path / "theirs.gff3"
    theirs.write_text(HEAD + "# by hand\n")
    with pytest.raises(FileWriteError, match=r"theirs\.gff3"):
        write_gff3(table, theirs)
    assert theirs.read_text() == HEAD + "# by hand\n"
    write_gff3(table, theirs, overwrite=True)
    assert open_file(theirs).sizes["feature"] == 1
    with pytest.raises(KindError, match="without features"):
        write_gff3(SequenceSet.from_sequences(["a"], ["ACGT"]), tmp_path / "b.gff3")
    far = SequenceSet.from_sequences(["c"], ["AC"])
    with pytest.raises(ValueError, match="ends at 3, and c has 2 bp"):
        write_gff3(table, tmp_path / "b.gff3", sequences=far)
