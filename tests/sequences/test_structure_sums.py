"""Sums over gene structures against all structures of short sequences, written out one by one."""

import itertools

import numpy as np
import pytest

from neurornn._kernels.gene_structures import LengthScores
from neurornn.data import SequenceSet
from neurornn.sequences.structure_model import best, exon_chances, sums, weighted
from neurornn.sequences.structure_model import evidence as evidence_of
from neurornn.sequences.structure_statistics import Statistics
from neurornn.sequences.structure_strands import SITES, Structure, stretch_of, structure_fault
from neurornn.sequences.structure_training import _features_of, _length_score

LEAST_INTRON = 6
N_LETTERS = 110


def statistics(seed):
    """Statistics of no species: everything that can differ does."""
    draw = np.random.default_rng(seed)
    widths = {"start": 21, "donor": 13, "acceptor": 34, "stop": 15}
    return Statistics(
        letters=draw.gamma(1.0, 400.0, (5, 1024, 4)),
        sites={k: draw.gamma(2.0, 5.0, (w, 4, 4)) for k, w in widths.items()},
        others={k: np.full((w, 4, 4), 10.0) for k, w in widths.items()},
        exons=draw.normal(0, 1, (4, 3001)), introns=draw.normal(0, 1, 3001),
    )  # fmt: skip


def case(seed, n_letters=N_LETTERS, longest=None):
    """A short sequence that holds many structures, its scores and its lengths."""
    draw = np.random.default_rng(seed)
    words = ["ATG", "GT", "AG", "TAA", "TGA", "CAG", "GCA", "CTT", "CAT", "TTA", "CT", "AC"]
    letters = ""
    while len(letters) < n_letters:
        letters += str(draw.choice(words))
    genome = SequenceSet.from_sequences(["c"], [letters[:n_letters]])
    stretch = stretch_of(genome, 1)
    found = evidence_of(
        stretch, statistics(seed),
        tuple({k: s.places[k] for k in SITES} for s in stretch.strands),
    )  # fmt: skip
    weights = np.random.default_rng(seed + 1).normal(0, 0.3, 13)
    lengths = statistics(seed).lengths(LEAST_INTRON)
    if longest is not None:
        lengths = LengthScores(
            lengths.exon, lengths.intron[: longest + 1], 0.07, lengths.least_exon, LEAST_INTRON
        )
    return stretch, found, weights, lengths


def all_genes(strand, k):
    """Every legal gene of a strand, by trying all its sites."""
    p = strand.places
    out = []

    def go(exons, a):
        for b in p["stop"]:
            _try([*exons, (a, b)])
        for d in p["donor"]:
            if d >= a + 3:
                for e in p["acceptor"]:
                    if e >= d + LEAST_INTRON:
                        go([*exons, (a, d)], e)

    def _try(exons):
        parts = np.array(exons, np.int64)
        if (parts[:, 1] - parts[:, 0] >= 3).all() and not structure_fault(
            strand, parts, 1, 3, LEAST_INTRON
        ):
            out.append(Structure("", k, parts))

    for a in p["start"]:
        go([], int(a))
    return out


def all_structures(stretch, found):
    """Every row of genes that do not overlap, the empty one too."""
    size = stretch.size

    def place(gene):
        left, right = int(gene.exons[0, 0]), int(gene.exons[-1, 1])
        return (left, right) if gene.strand == 0 else (size - right, size - left)

    genes = sorted((g for k in (0, 1) for g in all_genes(found.strands[k], k)), key=place)
    rows = [[]]
    for gene in genes:
        rows += [[*row, gene] for row in rows if not row or place(row[-1])[1] <= place(gene)[0]]
    return rows


def value(row, found, weights, lengths):
    total = float(_features_of(found, row) @ weights) if row else 0.0
    return total + _length_score(row, lengths)


@pytest.fixture(scope="module", params=[2, 5, 19, 38])
def written_out(request):
    stretch, found, weights, lengths = case(request.param)
    rows = all_structures(stretch, found)
    scores = np.array([value(row, found, weights, lengths) for row in rows])
    return stretch, found, weights, lengths, rows, scores


def test_there_is_something_to_sum_over(written_out):
    *_, rows, _ = written_out
    assert len(rows) > 20
    assert any(len(g.exons) > 1 for row in rows for g in row)
    assert {g.strand for row in rows for g in row} == {0, 1}


def test_the_sum_is_that_over_all_structures(written_out):
    _, found, weights, lengths, _, scores = written_out
    summed = sums(weighted(found, weights), lengths)
    # Logs of some thousand terms in double precision.
    assert summed.whole == pytest.approx(float(np.logaddexp.reduce(scores)), abs=1e-9)
    # And from the other end.
    assert summed.back.between[-1] == pytest.approx(summed.whole, abs=1e-9)


def test_the_best_is_the_best_of_all(written_out):
    _, found, weights, lengths, rows, scores = written_out
    exons = best(weighted(found, weights), lengths)
    true = rows[int(np.argmax(scores))]
    wanted = {(g.strand, int(a), int(b)) for g in true for a, b in g.exons}
    assert {tuple(int(v) for v in row[1:4]) for row in exons} == wanted


def test_probabilities_are_those_of_all_structures(written_out):
    _, found, weights, lengths, rows, scores = written_out
    summed = sums(weighted(found, weights), lengths)
    chance = np.exp(scores - np.logaddexp.reduce(scores))
    for k, strand in enumerate(found.strands):
        n = len(strand.letters)
        coding, intron = np.zeros((3, n)), np.zeros(n)
        sites = {name: dict.fromkeys(strand.places[name].tolist(), 0.0) for name in SITES}
        for row, p in zip(rows, chance, strict=True):
            for gene in row:
                if gene.strand != k:
                    continue
                done = 0
                for a, b in gene.exons:
                    for q in range(a, b):
                        coding[(q - a + done) % 3, q] += p
                    done += b - a
                for (_, d), (a, _) in itertools.pairwise(gene.exons.tolist()):
                    intron[d:a] += p
                    sites["donor"][d] += p
                    sites["acceptor"][a] += p
                sites["start"][int(gene.exons[0, 0])] += p
                sites["stop"][int(gene.exons[-1, 1])] += p
        said = summed.said[k]
        np.testing.assert_allclose(said.coding, coding, atol=1e-9)
        np.testing.assert_allclose(said.intron, intron, atol=1e-9)
        np.testing.assert_allclose(said.start, list(sites["start"].values()), atol=1e-9)
        np.testing.assert_allclose(said.stop, list(sites["stop"].values()), atol=1e-9)
        for name, found_there in (("donor", said.donor), ("acceptor", said.acceptor)):
            np.testing.assert_allclose(
                found_there.sum(axis=1), list(sites[name].values()), atol=1e-9
            )


def test_what_is_said_of_one_gene_is_its_share_of_all(written_out):
    _, found, weights, lengths, rows, scores = written_out
    scored = weighted(found, weights)
    summed = sums(scored, lengths)
    chance = np.exp(scores - np.logaddexp.reduce(scores))
    long_ones = [g for row in rows if len(row) == 1 for g in row if len(g.exons) > 1][:5]
    assert long_ones
    for gene in long_ones:
        exons, stop, whole = exon_chances(
            scored[gene.strand], lengths, summed, gene.strand, gene.exons
        )

        def parts(other, gene=gene):
            # A coding part is the same where its frame is.
            done, out = 0, []
            for a, b in other.exons.tolist():
                out.append((other.strand, a, b, done % 3) if other.strand == gene.strand else None)
                done += b - a
            return out

        for j, key in enumerate(parts(gene)):
            share = sum(
                p
                for row, p in zip(rows, chance, strict=True)
                if any(key in parts(g) and _kind(g, key) == _kind(gene, key) for g in row)
            )
            assert exons[j] == pytest.approx(share, abs=1e-9)
        ends = sum(
            p
            for row, p in zip(rows, chance, strict=True)
            if any(g.strand == gene.strand and g.exons[-1, 1] == gene.exons[-1, 1] for g in row)
        )
        assert stop == pytest.approx(ends, abs=1e-9)
        same = sum(
            p
            for row, p in zip(rows, chance, strict=True)
            if any(g.strand == gene.strand and np.array_equal(g.exons, gene.exons) for g in row)
        )
        assert whole == pytest.approx(same, abs=1e-9)


def _kind(gene, key):
    at = [(gene.strand, a, b) for a, b in gene.exons.tolist()].index(key[:3])
    return at == 0, at == len(gene.exons) - 1


def test_introns_beyond_the_table_fall_evenly():
    # Introns beyond 12 bp are scored by the last entry and the slope, in the sums as in each.
    stretch, found, weights, lengths = case(5, longest=12)
    rows = all_structures(stretch, found)
    longest = max(
        int((g.exons[1:, 0] - g.exons[:-1, 1]).max(initial=0)) for row in rows for g in row
    )
    assert longest > 14
    scores = np.array([value(row, found, weights, lengths) for row in rows])
    summed = sums(weighted(found, weights), lengths)
    assert summed.whole == pytest.approx(float(np.logaddexp.reduce(scores)), abs=1e-9)
    exons = best(weighted(found, weights), lengths)
    true = rows[int(np.argmax(scores))]
    wanted = {(g.strand, int(a), int(b)) for g in true for a, b in g.exons}
    assert {tuple(int(v) for v in row[1:4]) for row in exons} == wanted


def test_nothing_crosses_letters_that_are_not_there():
    # A gene whose only intron holds a gap of a scaffold.
    gene = "ATGGCAGTAAGT" + "N" * 40 + "TTTTTCAGGCATAA"
    whole = SequenceSet.from_sequences(["c"], ["CC" + gene + "CC"])
    stretch = stretch_of(whole, 1)
    found = evidence_of(
        stretch, statistics(0),
        tuple({k: s.places[k] for k in SITES} for s in stretch.strands),
    )  # fmt: skip
    weights = np.zeros(13)
    weights[[5, 7, 10, 12]] = 10.0
    assert len(best(weighted(found, weights), statistics(0).lengths(LEAST_INTRON))) == 0
    filled = SequenceSet.from_sequences(["c"], ["CC" + gene.replace("N", "C") + "CC"])
    stretch = stretch_of(filled, 1)
    found = evidence_of(
        stretch, statistics(0),
        tuple({k: s.places[k] for k in SITES} for s in stretch.strands),
    )  # fmt: skip
    assert len(best(weighted(found, weights), statistics(0).lengths(LEAST_INTRON))) > 0


@pytest.mark.parametrize(
    ("before", "behind", "is_legal"),
    [("T", "AA", False), ("T", "AG", False), ("T", "GA", False), ("T", "GG", True),
     ("TA", "A", False), ("TA", "G", False), ("TG", "A", False), ("TG", "G", True),
     ("CA", "A", True)],
)  # fmt: skip
def test_no_intron_splits_a_stop(before, behind, is_legal):
    middle = (before + behind).ljust(3, "C")[len(before) :]
    letters = "ATGGCC" + before + "GTCCCCCCAG" + middle + "GCCTAA"
    stretch = stretch_of(SequenceSet.from_sequences(["c"], [letters]), 1)
    row = 1 if stretch.layout.turned[0] else 0
    genes = all_genes(stretch.strands[row], row)
    wanted = [
        g
        for g in genes
        if len(g.exons) == 2
        and g.exons[0, 1] - g.exons[0, 0] == 6 + len(before)
        and g.exons[1, 0] - g.exons[0, 1] == 10
    ]
    assert bool(wanted) == is_legal
    keep = tuple({k: s.places[k] for k in SITES} for s in stretch.strands)
    found = evidence_of(stretch, statistics(0), keep)
    weights = np.zeros(13)
    # An intron is worth more than anything else.
    weights[[7, 10]] = 50.0
    exons = best(weighted(found, weights), statistics(0).lengths(LEAST_INTRON))
    mine = [(int(a), int(b)) for _, s, a, b, _ in exons if s == row]
    split = [(int(a), int(b)) for g in wanted for a, b in g.exons]
    assert (set(split) <= set(mine)) if is_legal else not _has_gap(mine, 6 + len(before), 10)


def _has_gap(parts, first, gap):
    """Whether parts of one gene are so far apart."""
    ordered = sorted(parts)
    return any(b - a == first and c - b == gap for (a, b), (c, _) in itertools.pairwise(ordered))
