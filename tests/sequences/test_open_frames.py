import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neurornn as nr
from neurornn._kernels.gene_paths import best_path, sums_before
from neurornn._kernels.start_sites import N_SPACINGS, pairing_classes
from neurornn.sequences.contig_layout import GAP, lay_out
from neurornn.sequences.gene_paths import probabilities, usual_links
from neurornn.sequences.genome_adapting import OTHER_STRAND, log_odds
from neurornn.sequences.open_frames import frames_of
from neurornn.sequences.start_model import MOTIF

STOPS = {11: {"TAA", "TAG", "TGA"}, 4: {"TAA", "TAG"}}
PAIRS = str.maketrans("ACGTN", "TGCAN")
FEW = settings(max_examples=40, deadline=None)


def genome(*pieces, **more):
    names = [f"c{k}" for k in range(len(pieces))]
    return nr.data.SequenceSet.from_sequences(names, pieces, **more)


def by_hand(letters, code, shortest=90, cut=60):
    """(start, end, strand, start seen, stop seen) of all candidates, from their definition."""
    found = set()
    for strand in (1, -1):
        text = letters if strand > 0 else letters.translate(PAIRS)[::-1]
        n = len(text)
        for shift in range(3):
            codons = [(k, text[k : k + 3]) for k in range(shift, n - 2, 3)]
            stops = [-1, *(j for j, (_, c) in enumerate(codons) if c in STOPS[code]), len(codons)]
            for a, b in itertools.pairwise(stops):
                has_stop = b < len(codons)
                if b - a < 2:
                    continue
                end = codons[b][0] + 3 if has_stop else codons[-1][0] + 3
                least = shortest if has_stop else cut
                for j in range(a + 1, b):
                    k, codon = codons[j]
                    if codon in ("ATG", "GTG", "TTG") and end - k >= least:
                        found.add((k, end, strand, True, has_stop))
                k = codons[a + 1][0]
                if a == -1 and end - k >= cut:
                    found.add((k, end, strand, False, has_stop))
    return {
        (k, e, s, x, y) if s > 0 else (len(letters) - e, len(letters) - k, s, x, y)
        for k, e, s, x, y in found
    }


def found_in(frames):
    layout = frames.layout
    _, start, end, strand = layout.places(frames.left, frames.right, frames.strand)
    seen = frames.start_kind < 4
    return set(
        zip(
            start.tolist(), end.tolist(), strand.tolist(), seen.tolist(),
            frames.has_stop.tolist(), strict=True,
        )
    )  # fmt: skip


@FEW
@given(st.integers(0, 10_000), st.integers(0, 700), st.sampled_from([11, 4]))
def test_candidates_are_those_of_the_definition(seed, n, code):
    rng = np.random.default_rng(seed)
    # Few stops, so that frames are long; N now and then, never 30 in a row.
    letters = "".join(rng.choice(list("ACGTN"), n, p=[0.2, 0.27, 0.3, 0.2, 0.03]))
    if not set(letters) & set("ACGT"):
        return
    frames = frames_of(lay_out(genome(letters)), code)
    assert found_in(frames) == by_hand(letters, code)


def test_long_runs_of_unknown_letters_and_contigs_end_frames():
    gene = "ATG" + "GCT" * 60 + "TAA"
    whole = frames_of(lay_out(genome(gene)), 11)
    assert (0, len(gene), 1, True, True) in found_in(whole)
    middle = gene[:90] + "N" * 30 + gene[90:]
    found = found_in(frames_of(lay_out(genome(middle)), 11))
    # On either side of the gap the gene is partial, and nothing goes across.
    assert (0, 90, 1, True, False) in found
    assert (120, len(middle), 1, False, True) in found
    assert not any(a < 90 and b > 120 for a, b, *_ in found)
    short = gene[:90] + "N" * 29 + "N" + gene[90:]
    assert found_in(frames_of(lay_out(genome(short)), 11)) == found
    bridged = gene[:90] + "N" * 27 + gene[90:]
    assert any(
        a < 90 and b > 117 for a, b, *_ in found_in(frames_of(lay_out(genome(bridged)), 11))
    )


def test_a_genome_and_its_other_strand_are_laid_out_alike():
    rng = np.random.default_rng(3)
    pieces = ["".join(rng.choice(list("ACGTN"), n)) for n in (400, 90, 251)]
    one = lay_out(genome(*pieces))
    other = lay_out(genome(*pieces).reverse_complement())
    assert np.array_equal(one.letters[0], other.letters[0])
    assert (one.turned != other.turned).all()
    assert np.array_equal(one.letters[1], np.array([3, 2, 1, 0, 4, 5])[one.letters[0][::-1]])


def test_places_lead_back_to_the_letters():
    rng = np.random.default_rng(4)
    pieces = ["".join(rng.choice(list("ACGT"), n)) for n in (600, 500)]
    source = genome(*pieces)
    frames = frames_of(lay_out(source), 11)
    row, start, end, strand = frames.layout.places(frames.left, frames.right, frames.strand)
    for k in range(len(row)):
        text = pieces[row[k]][start[k] : end[k]]
        text = text if strand[k] > 0 else text.translate(PAIRS)[::-1]
        if frames.start_kind[k] < 4:
            assert text[:3] == ("ATG", "GTG", "TTG")[frames.start_kind[k] - 1]
        if frames.has_stop[k]:
            assert text[-3:] in STOPS[11]
    assert frames.layout.first.tolist() == [GAP, 2 * GAP + 600]
    # The last codon is the one before the stop, where there is one; steps count upstream of it.
    last, end = frames.frames[frames.frame, 0], frames.frames[frames.frame, 1]
    assert np.array_equal(end - last, np.where(frames.has_stop, 6, 3))
    assert np.array_equal(frames.start + 3 * frames.step, last)


def test_sums_over_pairs_of_codons_by_hand():
    rng = np.random.default_rng(5)
    letters = "".join(rng.choice(list("ACGT"), 900, p=[0.2, 0.3, 0.3, 0.2]))
    frames = frames_of(lay_out(genome(letters)), 11)
    table = rng.standard_normal(4096)
    total = frames.add_up(table)
    count = frames.pairs_within(np.arange(len(total)) == 3)
    number = {"A": 0, "C": 1, "G": 2, "T": 3}
    for k in range(len(total)):
        strand = frames.strand[k]
        codes = frames.layout.letters[strand]
        text = "".join(
            "ACGT"[c] for c in codes[frames.start[k] : frames.frames[frames.frame[k], 0] + 3]
        )
        pairs = [
            sum(number[x] * 4 ** (5 - j) for j, x in enumerate(text[i : i + 6]))
            for i in range(0, len(text) - 5, 3)
        ]
        # Sums of some hundred numbers of about 1.
        assert total[k] == pytest.approx(table[pairs].sum(), abs=1e-9)
        if k == 3:
            assert count.sum() == len(pairs)
            assert np.array_equal(count, np.bincount(pairs, minlength=4096))


def test_a_pair_and_the_one_on_the_other_strand():
    number = lambda text: sum("ACGT".index(x) * 4 ** (5 - j) for j, x in enumerate(text))  # noqa: E731
    assert OTHER_STRAND[number("ATGGCC")] == number("GGCCAT")
    assert np.array_equal(OTHER_STRAND[OTHER_STRAND], np.arange(4096))
    assert log_odds(np.ones(4096), np.full(4096, 7.0)) == pytest.approx(0)


def _cases(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 9))
    left = rng.integers(0, 900, n)
    right = left + rng.integers(60, 500, n)
    strand = rng.integers(0, 2, n)
    order = np.lexsort((left, right))
    score = rng.normal(0.5, 2, n)
    return left[order], right[order], strand[order], score


def _sets(left, right, strand, score, links):
    """Every allowed set of candidates with its log weight, from the definition."""
    n = len(left)
    for chosen in itertools.chain.from_iterable(
        itertools.combinations(range(n), k) for k in range(n + 1)
    ):
        total = sum(score[k] for k in chosen)
        for i, j in itertools.pairwise(chosen):
            distance = left[j] - right[i]
            if left[i] >= left[j] or right[i] >= right[j] or distance < -200:
                total = -np.inf
            elif distance <= links.shape[1] - 201:
                kind = 0 if strand[i] == strand[j] else 1 if strand[i] == 0 else 2
                total += links[kind, distance + 200]
        if total > -np.inf:
            yield chosen, total


@pytest.mark.parametrize("seed", range(30))
def test_the_best_set_and_all_sums_are_those_of_every_set(seed):
    left, right, strand, score = _cases(seed)
    links = usual_links()
    every = list(_sets(left, right, strand, score, links))
    best = max(total for _, total in every)
    chosen = best_path(left, right, strand, score, links)
    mine = [t for c, t in every if c == tuple(np.flatnonzero(chosen))]
    # Sums of ten numbers in another order.
    assert mine and mine[0] == pytest.approx(best, abs=1e-9)
    _, whole = sums_before(left, right, strand, score, links)
    weights = np.array([t for _, t in every])
    assert whole == pytest.approx(np.logaddexp.reduce(weights), abs=1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_probabilities_are_shares_of_the_sets(seed):
    rng = np.random.default_rng(seed)
    letters = "".join(rng.choice(list("ACGT"), 700, p=[0.2, 0.3, 0.3, 0.2]))
    frames = frames_of(lay_out(genome(letters)), 11)
    score = np.full(len(frames.start), -np.inf)
    few = rng.choice(len(score), min(10, len(score)), replace=False)
    # Below -7 a candidate is left out.
    score[few] = np.maximum(rng.normal(0, 2, len(few)), -6)
    links = usual_links()
    sure = probabilities(frames, score, links)
    k = frames.order[np.isfinite(score[frames.order])]
    every = list(_sets(frames.left[k], frames.right[k], frames.strand[k], score[k], links))
    weights = np.exp([t for _, t in every])
    for i, candidate in enumerate(k):
        share = sum(w for (c, _), w in zip(every, weights, strict=True) if i in c) / weights.sum()
        # Sums of a thousand weights in another order.
        assert sure.candidate[candidate] == pytest.approx(share, abs=1e-9)
    assert np.allclose(sure.frame, np.bincount(frames.frame, sure.candidate, len(frames.frames)))


def _pairing(text):
    letters = np.array(["ACGTN".index(x) for x in text], np.uint8)
    out = np.zeros(1, np.int64)
    pairing_classes(
        letters,
        np.array([text.index("atg")]) if "atg" in text else np.array([len(text)]),
        MOTIF,
        out,
    )
    return int(out[0])


def test_pairing_with_the_ribosome_by_hand():
    # The motif's last letter but two lies `spacing` before the start.
    whole = "CCCC" + "TAAGGAGG" + "CCCCC"
    kind = _pairing(whole)
    assert (kind - 1) // N_SPACINGS + 3 == 8
    # GG ends five letters before: the next letter of the motif would stand at the first of them.
    assert (kind - 1) % N_SPACINGS + 1 == 5
    nearer = _pairing("CCCC" + "TAAGGAGG" + "CCC")
    assert (kind - nearer) == 2
    assert _pairing("CCCCCCCCCCCCCCCCC") == 0
    four = _pairing("CCCCCC" + "GGAG" + "CCCCCCC")
    assert (four - 1) // N_SPACINGS + 3 == 4
