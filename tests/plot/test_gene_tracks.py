import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError


def table(**changes):
    columns = {
        "contig": np.array(["a", "a", "a", "b"]), "start": np.array([100, 1000, 30_000, 5]),
        "end": np.array([700, 1600, 30_300, 305]), "strand": np.array([1, -1, 1, -1]),
        "probability": np.array([1.0, 0.4, 0.9, 0.8]),
        "start_codon": np.array(["ATG", "GTG", "ATG", ""]),
    } | changes  # fmt: skip
    return xr.Dataset({k: ("gene", v) for k, v in columns.items()})


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def test_arrows_lie_where_the_genes_do_and_point_where_they_are_read():
    ax = nr.plot.genes(table())
    shapes = [p.get_xy()[:-1] for p in ax.patches]
    assert len(shapes) == 2
    forward, reverse = shapes
    assert forward[:, 0].min() == pytest.approx(0.1) and forward[:, 0].max() == pytest.approx(0.7)
    # The point lies at half the height of its row.
    assert forward[np.argmax(forward[:, 0]), 1] == pytest.approx(1.0)
    assert reverse[np.argmin(reverse[:, 0]), 1] == pytest.approx(0.0)
    assert ax.patches[0].get_alpha() > ax.patches[1].get_alpha()
    assert "2 genes" in ax.get_title() and "a" in ax.get_xlabel()
    assert len(nr.plot.genes(table(), start=29_000, end=31_000).patches) == 1
    assert len(nr.plot.genes(table(), contig="b").patches) == 1


def test_annotated_genes_are_drawn_below():
    annotation = table().drop_vars(["probability", "start_codon"]).rename(gene="feature")
    annotation["type"] = ("feature", np.array(["CDS", "tRNA", "CDS", "CDS"]))
    ax = nr.plot.genes(table(), annotation=annotation)
    heights = sorted(float(p.get_xy()[:, 1].mean()) for p in ax.patches)
    assert len(heights) == 3 and heights[0] < -1.5


def test_starts_are_counted():
    ax = nr.plot.start_codons(table())
    shown = {
        t.get_text(): p.get_height() for t, p in zip(ax.get_xticklabels(), ax.patches, strict=True)
    }
    assert shown == {"ATG": 2, "GTG": 1, "not seen": 1}


def test_profile_of_starts_by_hand():
    letters = "CCGGAATGAAACCCTTTCATTCCGG"
    #          .....123          CAT is ATG on the other strand, read from position 20 down.
    genome = nr.data.SequenceSet.from_sequences(["a"], [letters])
    one = table(
        contig=np.array(["a", "a"]), start=np.array([5, 9]), end=np.array([14, 20]),
        strand=np.array([1, -1]), probability=np.ones(2), start_codon=np.array(["ATG", "ATG"]),
    )  # fmt: skip
    share = nr.plot.start_profile(genome, one, before=5, after=3)
    assert share["place"].values.tolist() == list(range(-5, 3))
    assert share["n"].values.tolist() == [2] * 8
    text = ["".join("ACGT"[j] for j in np.flatnonzero(row)) for row in share["share"].values]
    # CCGGA ATG and CCGGA ATG: the two are mirror images of each other.
    assert text == list("CCGGAATG")
    ax = nr.plot.start_logo(genome, one, before=5, after=3)
    tallest = max(p.get_extents().y1 for p in ax.patches)
    assert len(ax.patches) == 8 and tallest > 0


def test_calibration_shows_shares_of_what_is_right():
    chance = np.repeat([0.25, 0.95], 40)
    right = np.r_[np.ones(10), np.zeros(30), np.ones(38), np.zeros(2)].astype(int)
    ax = nr.plot.calibration(chance, np.where(np.arange(80) == 0, -1, right))
    points = [
        (line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines if line.get_marker() == "o"
    ]
    assert np.allclose(points, [(0.25, 9 / 39), (0.95, 0.95)])


def test_wrong_tables_are_explained():
    with pytest.raises(ShapeError, match="BacterialGenes"):
        nr.plot.genes(xr.Dataset({"x": ("gene", [1])}))
    with pytest.raises(NameUnknownError, match="contig"):
        nr.plot.genes(table(), contig="A")
    with pytest.raises(DataError, match="below end"):
        nr.plot.genes(table(), start=100, end=50)
    with pytest.raises(ShapeError, match="One of each"):
        nr.plot.calibration([0.1, 0.2], [1])
    with pytest.raises(DataError, match="0 to 1"):
        nr.plot.calibration([-3.0, 4.0], [0, 1])
    with pytest.raises(DataError, match="n_bins"):
        nr.plot.calibration([0.1], [1], n_bins=0)
    with pytest.raises(KindError, match="start"):
        nr.plot.genes(table(), start="a")
    with pytest.raises(KindError, match="annotation"):
        nr.plot.genes(table(), annotation="genes.gff3")
    with pytest.raises(KindError, match="SequenceSet"):
        nr.plot.start_logo("genome.fa", table())
    genome = nr.data.SequenceSet.from_sequences(["a", "b"], ["ACGT" * 9000] * 2)
    for wrong in ({"before": -1}, {"after": 2.5}, {"before": 0, "after": 0}):
        with pytest.raises(DataError, match=r"before|after"):
            nr.plot.start_profile(genome, table(), **wrong)


def test_an_annotation_of_other_names_is_not_drawn_as_none():
    named = table(contig=np.full(4, "chr1"))
    other = named.assign(contig=("gene", np.full(4, "1")), type=("gene", np.full(4, "CDS")))
    with pytest.raises(NameUnknownError, match="'chr1'"):
        nr.plot.genes(named, annotation=other.rename(gene="feature"))


def test_a_ring_is_drawn_to_its_end_and_round_its_origin():
    letters = "ATGAAATAACCGG" + "C" * 60 + "GGAGGCCTTT"
    size = len(letters)
    genome = nr.data.SequenceSet.from_sequences(["a"], [letters], circular=True)
    ring = table(
        contig=np.array(["a", "a"]), start=np.array([0, size - 8]), end=np.array([9, size + 5]),
        strand=np.array([1, -1]), probability=np.ones(2), start_codon=np.array(["ATG", "TTT"]),
    )  # fmt: skip
    found = nr.sequences.Genes(
        ring, {}, contigs=xr.Dataset({"length": ("contig", [size])}, coords={"contig": ["a"]})
    )
    ax = nr.plot.genes(found)
    assert np.allclose(ax.get_xlim(), (0, size / 1000))
    # The one across the origin has a piece at either end, and counts once.
    assert len(ax.patches) == 3 and "2 genes" in ax.get_title()
    ends = sorted(float(p.get_xy()[:, 0].max()) * 1000 for p in ax.patches)
    assert np.allclose(ends, (5, 9, size + 5))
    with pytest.raises(DataError, match="83 bp"):
        nr.plot.genes(found, start=size)
    share = nr.plot.start_profile(genome, ring, before=10, after=3)
    # Both have all their letters, what lies before the origin too.
    assert share["n"].values.tolist() == [2] * 13
    first = nr.plot.start_profile(genome, ring.isel(gene=[0]), before=10, after=3)["share"].values
    assert "".join("ACGT"[j] for j in first.argmax(1)) == "GGAGGCCTTTATG"


def test_starts_of_rna_are_counted_like_those_of_dna():
    one = table().isel(gene=[0])
    letters = "ACGT" * 200
    dna = nr.data.SequenceSet.from_sequences(["a"], [letters])
    rna = nr.data.SequenceSet.from_sequences(["a"], [letters.replace("T", "U")], "rna")
    assert nr.plot.start_profile(rna, one).equals(nr.plot.start_profile(dna, one))
