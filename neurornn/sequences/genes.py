"""Genes that were found: the table, proteins, files, and the score against an annotation."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_confidence_level
from neurornn._core.confidence import binomial_interval, to_dataset
from neurornn._core.errors import DataError, KindError
from neurornn._core.files import atomic_path
from neurornn._core.quantities import Quantity
from neurornn._core.report import Table, parameters_table
from neurornn._core.targets import check_target
from neurornn.data.contigs import matched_names
from neurornn.data.features import extract, features_from_records
from neurornn.data.genetic_codes import translate
from neurornn.data.sequence_sets import SequenceSet
from neurornn.io.shell import TableResult
from neurornn.sequences.gene_annotation import whole_genes

_NO_INTERVAL = "a probability has no interval"
_PLACE = ("contig", "start", "end", "strand")
#: Probability from which genes are counted as sure in the report.
_SURE = 0.9
#: Share of the letters below which, and letters from which, genes are too few to be believed.
_FEWEST, _LONG = 0.4, 20_000
_SPARSE = (
    "Genes cover less than 40 % of the letters; of most bacterial genomes they cover far more. "
    "Is this bacterial DNA, and the genetic code right? In letters without genes some are seen "
    "all the same, with probabilities that do not hold."
)
#: Letters of a line of a FASTA file.
_LINE = 60
#: Heading of a protein that was written here.
_HEADING = re.compile(rb">\S+ \S+:\d+-\d+\([+-]\) probability=[01]\.\d{3}\r?\n?")
#: Types of rows of GFF3 that was written here.
_TYPES = (b"gene", b"mRNA", b"CDS")
#: Attributes of a gene in GFF3 that was written here.
_ATTRIBUTES = {
    b"ID", b"Parent", b"locus_tag", b"gene", b"transl_table", b"partial", b"start_range",
    b"end_range",
}  # fmt: skip


class Contigs(NamedTuple):
    """Contigs without their letters."""

    names: NDArray[np.str_]
    lengths: NDArray[np.int64]
    circular: NDArray[np.bool_]


class Genes(TableResult):
    """Genes of a genome, each with the probability that it is one.

    Made by `BacterialGenes.predict`.

    Attributes
    ----------
    table : Dataset over ``gene``
        ``contig``; ``start`` and ``end`` (bp, 0-based half-open on the forward strand; a gene
        across the origin of a circular contig ends beyond its length); ``strand`` (1 or -1);
        ``start_codon``, ``""`` where it was not seen; ``probability`` that a gene ends at this
        stop, and ``start_probability`` that it begins here, given that; ``is_partial``,
        ``is_partial_5`` and ``is_partial_3``, in the direction of reading.
    contigs : Dataset over ``contig``: ``length`` (bp), ``n_genes`` and ``is_circular``.
    settings : how they were found; ``genetic_code`` and ``genetic_code_probability``.
    """

    _tables: ClassVar[Sequence[str]] = ("parameters", "contigs")
    _packages: ClassVar[tuple[str, ...]] = ("numpy", "numba")
    _quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            name="probability", units="1", dims=("gene",), reason=_NO_INTERVAL,
            long_name="probability that a gene ends at this stop",
            method="sums over all sets of genes that can stand beside one another",
        ),
        Quantity(
            name="start_probability", units="1", dims=("gene",), reason=_NO_INTERVAL,
            long_name="probability of the start, given the gene",
            method="sums over all sets of genes that can stand beside one another",
        ),
    )  # fmt: skip
    contigs: xr.Dataset
    _genome: SequenceSet | None = None

    @property
    def table(self) -> xr.Dataset:
        """The genes, one row for each, in the order of the contigs."""
        return self.parameters.drop_vars(
            [*(f"{q.name}_ci" for q in self._quantities), "ci_bound", "status"], errors="ignore"
        )

    @property
    def covered(self) -> float:
        """Share of the letters that lie in a gene, those in two counted once."""
        t, total = self.parameters, int(self.contigs["length"].sum())
        inside = 0
        for name in np.unique(t["contig"].values):
            mine = t["contig"].values == name
            start, end = t["start"].values[mine], t["end"].values[mine]
            order = np.argsort(start, kind="stable")
            reached = np.maximum.accumulate(np.r_[0, end[order]])[:-1]
            inside += int(np.maximum(end[order] - np.maximum(start[order], reached), 0).sum())
        return inside / total if total else 0.0

    def __len__(self) -> int:
        return int(self.parameters.sizes["gene"])

    def __repr__(self) -> str:
        s = self.settings
        return (
            f"Genes({len(self)} on {self.contigs.sizes['contig']} contigs, genetic code "
            f"{s['genetic_code']})"
        )

    @property
    def features(self) -> xr.Dataset:
        """The genes as features of type CDS, as `neurornn.data` and GFF3 have them."""
        t = self.parameters
        columns = {
            name: t[name].values
            for name in ("contig", "start", "end", "strand", "is_partial_5", "is_partial_3")
        }
        names = t["gene"].values
        code = int(self.settings["genetic_code"])
        records = [
            {"name": str(names[k]), "type": "CDS", "genetic_code": code}
            | {c: v[k] for c, v in columns.items()}
            for k in range(len(self))
        ]
        found = features_from_records(records)
        return found.assign(score=("feature", t["probability"].values))

    def to_gff3(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the genes as GFF3; the score is the probability.

        Lengths of the contigs are written, and which of them are circular.

        Parameters
        ----------
        path : file.
        overwrite : replace whatever file stands there; GFF3 that was written here is replaced
            without, unless something was added to it.
        """
        from neurornn.io.gff_writer import write_gff3

        target = check_target(path, ours=not_our_gff3, overwrite=overwrite)
        columns = ("contig", "length", "is_circular")
        placed = Contigs(*(self.contigs[name].values for name in columns))
        return write_gff3(self.features, target, sequences=placed, overwrite=True)

    def sequences(self, genome: SequenceSet) -> SequenceSet:
        """Return the genes' letters, in the direction of reading.

        Parameters
        ----------
        genome : that they were found on.

        Raises
        ------
        KindError, DataError
            Another genome: other contigs, or other letters where genes start.
        """
        self._check_genome(genome)
        letters = extract(genome, self.features)
        codons = self.parameters["start_codon"].values
        for k in np.flatnonzero(codons != ""):
            there = letters[k][:3].upper().replace("U", "T")
            if there != codons[k]:
                raise DataError(
                    f"{self.parameters['gene'].values[k]} starts with {codons[k]}, and the genome "
                    f"has {there} there",
                    "The genome that the genes were found on was needed",
                    "Is it another version, or its reverse complement? Pass the one that went "
                    "into predict",
                )
        return letters

    def proteins(
        self,
        path: str | os.PathLike[str] | None = None,
        genome: SequenceSet | None = None,
        *,
        overwrite: bool = False,
    ) -> SequenceSet:
        """Translate the genes; the first codon of a whole one is methionine, the stop is left out.

        Parameters
        ----------
        path : FASTA file to be written; None for none.
        genome : that they were found on; by default that of `predict`, which a saved result does
            not hold.
        overwrite : replace whatever file stands there; proteins that were written here are
            replaced without.
        """
        source = self._genome if genome is None else genome
        if source is None:
            raise DataError(
                "Proteins were asked of genes without their genome",
                "The sequences were needed: a saved result does not hold them",
                "Pass genome=nr.open(...), the one that they were found on",
            )
        letters, code = self.sequences(source), int(self.settings["genetic_code"])
        begins = ~self.parameters["is_partial_5"].values
        ends = ~self.parameters["is_partial_3"].values
        found = []
        for k, dna in enumerate(letters):
            protein = translate(dna[: len(dna) - 3 * bool(ends[k])], code)
            found.append("M" + protein[1:] if begins[k] else protein)
        names = [str(g) for g in self.parameters["gene"].values]
        proteins = SequenceSet.from_sequences(names, found, "protein")
        if path is not None:
            self._write_fasta(proteins, path, overwrite)
        return proteins

    def _write_fasta(
        self, proteins: SequenceSet, path: str | os.PathLike[str], overwrite: bool
    ) -> None:
        t = self.parameters
        with (
            atomic_path(path, overwrite=overwrite, ours=not_our_proteins) as scratch,
            scratch.open("w", encoding="utf-8", newline="\n") as file,
        ):
            for k, letters in enumerate(proteins):
                contig, strand = str(t["contig"].values[k]), int(t["strand"].values[k])
                first, last = int(t["start"].values[k]) + 1, int(t["end"].values[k])
                place = f"{_one_word(contig)}:{first}-{last}"
                sign = "+" if strand > 0 else "-"
                file.write(
                    f">{_one_word(str(proteins.names[k]))} {place}({sign}) "
                    f"probability={float(t['probability'].values[k]):.3f}\n"
                )
                file.writelines(
                    f"{letters[a : a + _LINE]}\n" for a in range(0, len(letters), _LINE)
                )

    def score_against(self, genome: SequenceSet, confidence_level: float = 0.95) -> xr.Dataset:
        """Compare with an annotation.

        Parameters
        ----------
        genome : with coding sequences among its features.
        confidence_level : of the intervals.

        Returns
        -------
        Dataset
            ``sensitivity``, share of annotated genes whose stop was found; ``precision``, share
            of the genes found whose stop is annotated; ``exact_starts``, share of those found
            whose start is the annotated one too; each with its interval (Wilson), and ``n_genes``,
            ``n_annotated``.

        Notes
        -----
        Annotated genes are whole coding sequences of one part and 90 bp or more, no pseudogenes.
        A gene found where a pseudogene or a spliced gene is annotated counts as wrong. Partial
        genes are left out on both sides.
        """
        self._check_genome(genome)
        level = check_confidence_level(confidence_level)
        known = whole_genes(genome.features)
        t = self.parameters
        whole = ~t["is_partial"].values
        found = dict(self._keys([t[v].values[whole] for v in _PLACE], genome))
        true = dict(self._keys([known[v].values for v in _PLACE], genome))
        hits = [k for k in found if k in true]
        exact = sum(found[k] == true[k] for k in hits)
        estimates = []
        for name, n, of, what in (
            ("sensitivity", len(hits), len(true), "annotated genes whose stop was found"),
            ("precision", len(hits), len(found), "genes found whose stop is annotated"),
            (
                "exact_starts",
                exact,
                len(hits),
                "genes with the right stop that have the right start",
            ),
        ):
            value = n / of if of else np.nan
            estimates.append(
                Quantity(
                    name=name, units="1", long_name=f"share of {what}",
                    method=f"{n} of {of}; Wilson", reason="there are none",
                ).of(value, binomial_interval(n, of, level))
            )  # fmt: skip
        table = to_dataset(estimates, confidence_level=level)
        return table.assign(
            n_genes=((), len(found), {"units": "1"}), n_annotated=((), len(true), {"units": "1"})
        )

    def is_right(self, genome: SequenceSet) -> NDArray[np.int8]:
        """Whether each gene's stop is annotated: 1 or 0, and -1 for partial genes, (gene,).

        Parameters
        ----------
        genome : with coding sequences among its features.
        """
        self._check_genome(genome)
        known, t = whole_genes(genome.features), self.parameters
        true = dict(self._keys([known[v].values for v in _PLACE], genome))
        found = self._keys([t[v].values for v in _PLACE], genome)
        right = np.array([key in true for key, _ in found], dtype=np.int8)
        return np.where(t["is_partial"].values, np.int8(-1), right)

    @staticmethod
    def _keys(
        places: Sequence[NDArray[Any]], genome: SequenceSet
    ) -> list[tuple[tuple[str, int, int], int]]:
        """(contig, strand, stop) and start, in the direction of reading, round the origin too."""
        size = dict(zip(genome.names.tolist(), genome.lengths.tolist(), strict=True))
        out = []
        for c, a, b, s in zip(*places, strict=True):
            n = size.get(str(c), 0) or 1
            stop, begin = (b - 1, a) if s > 0 else (a, b - 1)
            out.append(((str(c), int(s), int(stop) % n), int(begin) % n))
        return out

    def _check_genome(self, genome: Any) -> None:
        if not isinstance(genome, SequenceSet):
            raise KindError(
                f"A {type(genome).__name__} came as a genome",
                "The SequenceSet that the genes were found on was needed",
                "Open it with nr.open",
            )
        mine = dict(
            zip(
                self.contigs["contig"].values.tolist(), self.contigs["length"].values.tolist(),
                strict=True,
            )
        )  # fmt: skip
        given = dict(zip(genome.names.tolist(), genome.lengths.tolist(), strict=True))
        other = [k for k, n in mine.items() if given.get(k) != n]
        if other:
            name, size = other[0], mine[other[0]]
            theirs = matched_names([name], given).get(name)
            remedy = "Pass the one that went into predict"
            if theirs is not None and given[theirs] == size:
                remedy = (
                    f"This one calls it {theirs!r}. Open its annotation beside the sequences that "
                    'went into predict: nr.open("genome.fa", annotation="genome.gff3", '
                    'contig_names="match")'
                )
            raise DataError(
                f"The genome has no {name!r} of {size} bp, as the genes have",
                "The genome that the genes were found on was needed",
                remedy,
            )

    def _report_table(self) -> Table:
        t, s = self.parameters, self.settings
        codons, count = np.unique(t["start_codon"].values, return_counts=True)
        order = np.argsort(-count, kind="stable")
        starts = ", ".join(f"{codons[k] or 'not seen'} {count[k]}" for k in order)
        n, size = self.contigs.sizes["contig"], int(self.contigs["length"].sum())
        sure = int((t["probability"].values >= _SURE).sum())
        head = [
            f"{len(self)} genes on {n} contig{'s' * (n != 1)} of {size} bp; genetic code "
            f"{s['genetic_code']} ({s['genetic_code_from']}); {s['engine']}",
            f"{sure} with a probability of {_SURE:g} and more; "
            f"{float(t['probability'].sum()):.1f} expected to be right; "
            f"{int(t['is_partial'].values.sum())} partial",
            f"starts: {starts}" if starts else "no gene was found",
        ]
        share = self.covered
        head.append(f"they cover {100 * share:.0f} % of the letters")
        notes = [_SPARSE] if share < _FEWEST and size >= _LONG else []
        return parameters_table(t, "Genes", head=head, notes=notes)

    def _papers_used(self) -> Sequence[str]:
        return ("borodovsky_1993", "delcher_1999", "hyatt_2010")

    def _methods_sentence(self) -> str:
        s = self.settings
        return (
            f"Genes were found ({len(self)}, genetic code {s['genetic_code']}) by a recurrent "
            f"network of {s['n_hidden']} leaky units that reads open frames from the stop "
            "upstream, adapted to the bare sequence, with probabilities from sums over all sets "
            f"of genes; those of probability {s['min_probability']:g} and more are listed"
        )


def _one_word(name: str) -> str:
    """Name as the first word of a heading: what would end the word is percent-encoded."""
    return re.sub(r"\s", lambda found: "".join(f"%{b:02X}" for b in found[0].encode()), name)


def not_our_proteins(path: Path) -> str | None:
    """Say why a file may not be replaced; None where it holds proteins that were written here."""
    other = "is not a file of proteins of genes that were found"
    with path.open("rb") as file:
        for number, line in enumerate(file):
            if line.startswith(b">") and not _HEADING.fullmatch(line):
                return other
            if number == 0 and not line.startswith(b">"):
                return other
    return None


def not_our_gff3(path: Path) -> str | None:
    """Say why a file may not be replaced; None where it is GFF3 that was written here."""
    with path.open("rb") as file:
        first = file.readline(1 << 16)
        ours = not first or (first.startswith(b"##gff-version") and all(map(_is_our_row, file)))
    return None if ours else "is not GFF3 of genes that were found, or something was added to it"


def _is_our_row(line: bytes) -> bool:
    if line.startswith(b"##sequence-region "):
        return True
    cells = line.rstrip(b"\r\n").split(b"\t")
    if len(cells) != 9 or cells[1] != b"neurornn":
        return False
    said = {pair.partition(b"=")[0] for pair in cells[8].split(b";")}
    if cells[2] == b"region":
        return said == {b"ID", b"Is_circular"}
    # The probability stands in column 6, and no other program's remarks in column 9.
    return cells[2] in _TYPES and cells[5] != b"." and said <= _ATTRIBUTES
