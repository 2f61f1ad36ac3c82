#!/usr/bin/env bash
# gffutils 0.14: a GFF3 file of a genome on which no gene was found is refused as if it were empty.
#
# A GFF3 file may hold directives alone: the version, and a ##sequence-region for each contig. That is what a gene finder
# writes where it finds nothing, and one would expect a database without features. create_db raises EmptyInputError, "was an
# empty file provided?", so that a loop over many genomes stops at the first one without genes. One feature of any type, a
# region for example, is enough for it to be read.
#
# Seen: such a file, and the same with one region. Fails if that changes. What neurornn does about it: its own reader gives
# a table without rows (tests/io/test_gff.py).
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install --quiet gffutils==0.14
venv/bin/python - <<'PY'
from importlib.metadata import version
from pathlib import Path

import gffutils
from gffutils.exceptions import EmptyInputError

print("gffutils", version("gffutils"))
head = "##gff-version 3\n##sequence-region contig_1 1 5000\n"
Path("none.gff3").write_text(head)
try:
    gffutils.create_db("none.gff3", ":memory:")
except EmptyInputError as error:
    print("directives alone:", error)
else:
    raise SystemExit("changed: a file without features is read")
Path("one.gff3").write_text(head + "contig_1\t.\tregion\t1\t5000\t.\t.\t.\tID=contig_1\n")
table = gffutils.create_db("one.gff3", ":memory:")
print("with one region:", table.count_features_of_type(), "feature,", table.directives)
assert table.count_features_of_type() == 1, "changed: the region"
print("as described")
PY
