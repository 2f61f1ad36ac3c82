"""Genes of exons and introns that were found: tables, files, score against an annotation."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_confidence_level
from neurornn._core.confidence import bootstrap_interval, to_dataset
from neurornn._core.quantities import Quantity
from neurornn._core.report import Table, parameters_table
from neurornn._core.targets import check_target
from neurornn.data.features import features_from_records
from neurornn.data.sequence_sets import SequenceSet
from neurornn.sequences.genes import Contigs, Genes, not_our_gff3
from neurornn.sequences.structure_annotation import annotated_isoforms, exon_keys

_NO_INTERVAL = "a probability has no interval"
_RESAMPLES = 500
#: Probability from which exons are counted as sure in the report.
_SURE = 0.9
#: Genes below which there is too little to adapt to.
_ENOUGH = 20
_FEW = (
    f"Fewer than {_ENOUGH} genes: too little for a model to adapt to. Compare with adapt=False, "
    "or pass more of the genome."
)
_Key = tuple[str, int, int, int]


class SplicedGenes(Genes):
    """Genes of exons and introns, each with the probability that it is one.

    Made by `GeneStructure.predict`. Every gene is legal: it begins with ATG, ends with a stop, has
    none in its frame before that, across introns too, and its introns run from GT or GC to AG.

    Attributes
    ----------
    table : Dataset over ``gene``
        As that of `Genes`, with ``n_exons``; ``probability`` that a gene ends at this stop, and
        ``structure_probability`` that it has just these coding parts.
    exons : Dataset over ``exon``
        ``gene``; ``contig``; ``start`` and ``end`` of the coding part (bp, 0-based half-open on
        the forward strand), ``strand``, ``phase`` (letters before the first whole codon), and
        ``probability``, in the order of reading.
    contigs : Dataset over ``contig``: ``length`` (bp) and ``n_genes``.
    settings : how they were found.
    """

    _tables: ClassVar[Sequence[str]] = ("parameters", "contigs", "exons")
    _quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            name="probability", units="1", dims=("gene",), reason=_NO_INTERVAL,
            long_name="probability that a gene ends at this stop",
            method="sums over all legal structures",
        ),
        Quantity(
            name="structure_probability", units="1", dims=("gene",), reason=_NO_INTERVAL,
            long_name="probability that a gene has just these coding parts",
            method="sums over all legal structures",
        ),
    )  # fmt: skip
    exons: xr.Dataset

    def __repr__(self) -> str:
        n = self.exons.sizes["exon"]
        return f"SplicedGenes({len(self)} of {n} exons, {self.contigs.sizes['contig']} contigs)"

    def _records(self, *types: str) -> list[dict[str, Any]]:
        """Genes as records of features, of each of some types."""
        t, e = self.parameters, self.exons
        at = np.r_[0, np.cumsum(t["n_exons"].values)]
        parts = np.stack([e["start"].values, e["end"].values], axis=1).tolist()
        names = [str(g) for g in t["gene"].values]
        code = int(self.settings["genetic_code"])
        out = []
        for k, name in enumerate(names):
            for kind in types:
                record = {
                    "contig": str(t["contig"].values[k]), "type": kind, "name": name, "gene": name,
                    "strand": int(t["strand"].values[k]), "start": int(t["start"].values[k]),
                    "end": int(t["end"].values[k]),
                }  # fmt: skip
                if kind == "CDS":
                    own = parts[at[k] : at[k + 1]]
                    record |= {"parts": [tuple(p) for p in own], "genetic_code": code}
                out.append(record)
        return out

    @property
    def features(self) -> xr.Dataset:
        """The genes as features of type CDS, with their parts in the order of reading."""
        found = features_from_records(self._records("CDS"))
        return found.assign(score=("feature", self.parameters["probability"].values))

    def to_gff3(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the genes as GFF3: gene, mRNA and CDS of each; the score is the probability.

        Parameters
        ----------
        path : file.
        overwrite : replace whatever file stands there; GFF3 that was written here is replaced
            without, unless something was added to it.
        """
        from neurornn.io.gff_writer import write_gff3

        target = check_target(path, ours=not_our_gff3, overwrite=overwrite)
        types = ("gene", "mRNA", "CDS")
        table = features_from_records(self._records(*types))
        names = np.repeat(self.parameters["gene"].values.astype(str), len(types))
        kinds = table["type"].values
        above = np.where(kinds == "mRNA", "gene-", "mrna-").astype(object) + names.astype(object)
        table = table.assign(
            score=("feature", np.repeat(self.parameters["probability"].values, len(types))),
            parent=("feature", np.where(kinds == "gene", "", above).astype(str)),
        )
        placed = Contigs(
            self.contigs["contig"].values, self.contigs["length"].values,
            np.zeros(self.contigs.sizes["contig"], bool),
        )  # fmt: skip
        return write_gff3(table, target, sequences=placed, overwrite=True)

    def score_against(self, genome: SequenceSet, confidence_level: float = 0.95) -> xr.Dataset:
        """Compare with an annotation, exon by exon and letter by letter.

        Parameters
        ----------
        genome : with coding sequences among its features.
        confidence_level : of the intervals.

        Returns
        -------
        Dataset
            ``exon_sensitivity``, share of the annotated coding parts that were found, both ends
            and the strand right, and ``exon_precision``, share of those found that are annotated;
            ``letter_sensitivity`` and ``letter_precision``, the same of coding letters on their
            strand; ``gene_sensitivity``, share of the annotated genes of which one isoform was
            found whole, and ``gene_precision``; each with its interval (bootstrap over genes), and
            ``n_exons``, ``n_annotated_exons``, ``n_genes``, ``n_annotated``.

        Notes
        -----
        Coding parts of all isoforms are annotated, those of several once. Pseudogenes and partial
        genes are left out of the annotation, and what is found there is wrong. The stop belongs to
        a coding part; annotations that end before it are read as if they had it.
        """
        self._check_genome(genome)
        level = check_confidence_level(confidence_level)
        code = int(self.settings["genetic_code"])
        isoforms = annotated_isoforms(genome, code)
        known = exon_keys(isoforms)
        found = self._keys_of_exons()
        mine = {key for keys in found.values() for key in keys}
        of_gene: dict[str, set[_Key]] = {}
        for key, genes in known.items():
            # An exon of two genes counts once.
            of_gene.setdefault(min(genes), set()).add(key)
        whole = {
            frozenset((x.contig, x.strand, int(a), int(b)) for a, b in x.parts): x.gene
            for x in isoforms
        }
        found_whole = {whole[s] for k in found.values() if (s := frozenset(k)) in whole}
        true_letters = _letters(known, genome)
        my_letters = _letters(mine, genome)
        rows = {
            "exon_sensitivity": [
                (sum(k in mine for k in keys), len(keys)) for keys in of_gene.values()
            ],
            "exon_precision": [
                (sum(k in known for k in keys), len(keys)) for keys in found.values()
            ],
            "letter_sensitivity": [
                _covered(keys, my_letters) for keys in of_gene.values()
            ],
            "letter_precision": [_covered(keys, true_letters) for keys in found.values()],
            "gene_sensitivity": [
                (int(g in found_whole), 1) for g in dict.fromkeys(x.gene for x in isoforms)
            ],
            "gene_precision": [(int(frozenset(k) in whole), 1) for k in found.values()],
        }  # fmt: skip
        estimates = []
        for name, counted in rows.items():
            counts = np.array(counted, float).reshape(-1, 2)
            value = _share(counts)
            what = "annotated" if name.endswith("sensitivity") else "found"
            level_of = name.split("_")[0]
            interval = bootstrap_interval(
                counts, _share, confidence_level=level, n_resamples=_RESAMPLES, rng=0
            )
            estimates.append(
                Quantity(
                    name=name, units="1", reason="there are too few genes",
                    long_name=f"share of the {level_of}s {what} that are right",
                    method="bootstrap over genes",
                ).of(value, interval)
            )  # fmt: skip
        table = to_dataset(estimates, confidence_level=level)
        numbers = {
            "n_exons": len(mine), "n_annotated_exons": len(known), "n_genes": len(self),
            "n_annotated": len({x.gene for x in isoforms}),
        }  # fmt: skip
        return table.assign({k: ((), v, {"units": "1"}) for k, v in numbers.items()})

    def is_right(self, genome: SequenceSet) -> NDArray[np.int8]:
        """Whether each exon is annotated, both ends and the strand: 1 or 0, (exon,).

        Parameters
        ----------
        genome : with coding sequences among its features.
        """
        self._check_genome(genome)
        known = exon_keys(annotated_isoforms(genome, int(self.settings["genetic_code"])))
        return np.array([key in known for key in self._exon_list()], dtype=np.int8)

    def _exon_list(self) -> list[_Key]:
        columns = (self.exons[k].values for k in ("contig", "strand", "start", "end"))
        return [(str(c), int(s), int(a), int(b)) for c, s, a, b in zip(*columns, strict=True)]

    def _keys_of_exons(self) -> dict[str, list[_Key]]:
        out: dict[str, list[_Key]] = {str(g): [] for g in self.parameters["gene"].values}
        for gene, key in zip(self.exons["gene"].values, self._exon_list(), strict=True):
            out[str(gene)].append(key)
        return out

    def _report_table(self) -> Table:
        t, e, s = self.parameters, self.exons, self.settings
        n, size = self.contigs.sizes["contig"], int(self.contigs["length"].sum())
        many = int((t["n_exons"].values > 1).sum())
        chance = e["probability"].values
        coding = int((e["end"].values - e["start"].values).sum())
        head = [
            f"{len(self)} genes of {e.sizes['exon']} exons on {n} contig{'s' * (n != 1)} of "
            f"{size} bp; {s['engine']}",
            f"{many} with introns; {int((chance >= _SURE).sum())} exons with a probability of "
            f"{_SURE:g} and more; {float(chance.sum()):.1f} expected to be right",
            f"coding: {100 * coding / max(size, 1):.1f} % of the letters",
        ]
        notes = [_FEW] if s["n_rounds"] and len(self) < _ENOUGH else []
        return parameters_table(t, "Genes", head=head, notes=notes)

    def _papers_used(self) -> Sequence[str]:
        return ("sarawagi_2004", "bernal_2007", "lomsadze_2005")

    def _methods_sentence(self) -> str:
        s = self.settings
        how = (
            f"adapted to the bare sequence in {s['n_rounds']} rounds"
            if s["n_rounds"]
            else "not adapted to the sequence"
        )
        return (
            f"Genes of exons and introns were found ({len(self)}, genetic code "
            f"{s['genetic_code']}) as the most probable of all legal structures under a "
            f"semi-Markov conditional random field trained on {s['trained_on']}, {how}"
        )


def _share(counts: NDArray[np.float64]) -> float:
    total = float(counts[:, 1].sum()) if len(counts) else 0.0
    return float(counts[:, 0].sum()) / total if total else float("nan")


def _letters(keys: Any, genome: SequenceSet) -> dict[tuple[str, int], NDArray[np.bool_]]:
    """Coding letters by contig and strand."""
    size = dict(zip(genome.names.tolist(), genome.lengths.tolist(), strict=True))
    out: dict[tuple[str, int], NDArray[np.bool_]] = {}
    for contig, strand, a, b in keys:
        at = (contig, strand)
        if at not in out:
            out[at] = np.zeros(int(size[contig]), bool)
        out[at][a:b] = True
    return out


def _covered(keys: Any, letters: dict[tuple[str, int], NDArray[np.bool_]]) -> tuple[int, int]:
    """How many of the letters of some exons are coding elsewhere, and how many there are."""
    hit = total = 0
    for contig, strand, a, b in keys:
        there = letters.get((contig, strand))
        total += b - a
        hit += 0 if there is None else int(there[a:b].sum())
    return hit, total
