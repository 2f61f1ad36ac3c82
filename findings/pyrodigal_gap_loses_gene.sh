#!/usr/bin/env bash
# pyrodigal 3.7.1: a gene with a run of N in it is one gene through the run, or, with mask=True, no gene at all.
#
# One would expect a gap of a scaffold to end a gene as a contig's end does, and mask=True ("prevent genes from running
# across regions containing unknown nucleotides") to give two partial genes. It gives none: either half is found where it
# is handed over as a contig of its own.
#
# Seen: sixty genes of biased codons, each with AGGAGG before its start, 120 bp of one of them replaced by N. By default
# one gene of 756 bp with both ends; with mask=True nothing there; of the two pieces a partial gene each. Fails if that
# changes. What neurornn does about it: BacterialGenes ends a contig at 30 and more unknown letters, and lists both halves
# as partial (tests/sequences/test_open_frames.py); shorter runs are read through.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install --quiet pyrodigal==3.7.1
venv/bin/python - <<'PY'
import random
import warnings
from importlib.metadata import version

import pyrodigal

warnings.filterwarnings("ignore", message="sequence should be at least 100000 characters")
random.seed(3)
triplets = [a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT"]
usage = {t: random.gammavariate(0.5, 1) for t in triplets if t not in ("TAA", "TAG", "TGA")}
genome, genes = "", []
for _ in range(60):
    genome += "".join(random.choices("ACGT", k=60)) + "AGGAGG" + "".join(random.choices("ACGT", k=6))
    gene = "ATG" + "".join(random.choices(list(usage), list(usage.values()), k=250)) + "TAA"
    genes.append((len(genome), len(genome) + len(gene)))
    genome += gene
start, end = genes[30]
gap = start + 360
gapped = genome[:gap] + "N" * 120 + genome[gap + 120 :]


def found(letters, offset=0, **options):
    finder = pyrodigal.GeneFinder(**options)
    finder.train(genome.encode(), translation_table=11)
    return [
        (g.begin - 1 + offset, g.end + offset, g.partial_begin or g.partial_end)
        for g in finder.find_genes(letters.encode())
        if g.end + offset > start and g.begin - 1 + offset < end
    ]


print("pyrodigal", version("pyrodigal"), "- the gene lies at", (start, end), "and the gap at", (gap, gap + 120))
through, masked = found(gapped), found(gapped, mask=True)
halves = found(gapped[:gap]) + found(gapped[gap + 120 :], gap + 120)
print("by default", through, "- with mask=True", masked, "- of the two pieces", halves)
assert through == [(start, end, False)], "changed: the gap is read through no longer"
assert masked == [], "changed: with mask=True something is found"
assert halves == [(start, gap, True), (gap + 120, end, True)], "changed: partial genes of the pieces"
print("as described")
PY
