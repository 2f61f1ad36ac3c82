"""Genes of exons and introns, legal without exception, each with its probability."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from neurornn._core.checks import check_count, check_number, check_rng
from neurornn._core.confidence import to_dataset
from neurornn._core.errors import DataError, KindError
from neurornn._core.jobs import one_thread, progress_bar
from neurornn._core.quantities import Quantity
from neurornn._core.report import Table, parameters_table
from neurornn._core.rng import RNG, generator
from neurornn._core.status import Status
from neurornn.data.genetic_codes import genetic_code
from neurornn.data.sequence_sets import SequenceSet
from neurornn.io.saved import SavedContent
from neurornn.io.shell import Estimator
from neurornn.sequences.bacterial_genes import CONTESTED
from neurornn.sequences.contig_layout import check_contigs, no_letters
from neurornn.sequences.spliced_genes import SplicedGenes
from neurornn.sequences.structure_adapting import Round, adapted, as_structures
from neurornn.sequences.structure_annotation import lessons_of
from neurornn.sequences.structure_model import (
    WEIGHTS,
    StructureModel,
    best,
    evidence,
    exon_chances,
    sums,
    weighted,
)
from neurornn.sequences.structure_statistics import LEAST_INTRON
from neurornn.sequences.structure_strands import OVERLAP, Stretch, stretches_of
from neurornn.sequences.structure_training import train

#: Stands in tables whose quantities have no intervals.
_LEVEL = 0.95
REMEDIES = {
    CONTESTED: "Less probable than not: another structure, or none, may stand here.",
}
_NATS = {"units": "1", "long_name": "nats per gene"}
_Found = dict[str, Any]


class GeneStructure(Estimator):
    """Genes of eukaryotes: exons and introns on both strands, learned from one genome.

    Parameters
    ----------
    genetic_code : number of NCBI.
    adapt : learn what is particular to the genome of `predict` from its bare sequence first.
    min_intron : bp, of the introns that are allowed.
    max_rounds : of that learning, at most.
    max_iterations : of the weights, in `fit`, at most.
    rng : int, Generator or None: how contigs are dealt into the parts of `fit`.
    progress : show a bar.

    Attributes
    ----------
    parameters_ : Dataset
        ``weight (feature)``, what each piece of evidence counts.
    history_ : Dataset over ``iteration``: ``loss``, nats per gene.
    excluded_ : Dataset over ``gene``: coding sequences that could not be learned from, and why.
    genomes_ : names of what it was trained on. n_genes_ : that it learned from.

    Notes
    -----
    A structure is a row of genes on both strands that do not overlap. Each letter, by the five
    before it, is evidence for a place in a codon or for an intron; the letters around ATG, GT or
    GC, AG and a stop are evidence for the site; lengths of exons and introns have densities.
    What each counts is trained so that the known structures are the most probable of all legal
    ones (a semi-Markov conditional random field), with statistics of other parts of the genome
    than the one they are read on. Sums over all legal structures, in time linear in the genome,
    give probabilities; the best structure is found exactly.

    Legal means: ATG to a stop, no stop in the frame before that, not even in a codon that an
    intron splits, introns from GT or GC to AG and of `min_intron` bp or more, coding parts of 3 bp
    or more, and neither within a run of 30 unknown letters. There is no other output. Of each
    gene one isoform is given, the most probable. A gene that a contig's end cuts is not given;
    start and stop codons that an intron splits are not looked for, nor introns that begin and end
    with other letters. Untranslated exons count as lying between genes.

    With `adapt` (the default) a model serves other species: what tells genes is carried over to
    the composition of the genome, whose own letters, sites and lengths are then counted in rounds
    of EM, without any known gene. Genomes of many genes are needed for that, some 100 kb at
    least. Probabilities order exons, but hold less well there than their values say.

    References
    ----------
    Burge & Karlin 1997, doi:10.1006/jmbi.1997.0951 (structures as semi-Markov chains); Sarawagi &
    Cohen 2004, NIPS 17 (semi-Markov fields); Bernal et al. 2007,
    doi:10.1371/journal.pcbi.0030054 (their training for genes); Lomsadze et al. 2005,
    doi:10.1093/nar/gki937 (learning from a bare genome).

    Examples
    --------
    >>> from neurornn.simulate import simulate_spliced_genome
    >>> genome = simulate_spliced_genome(60_000, rng=0)
    >>> model = GeneStructure(max_iterations=5).fit(genome)
    >>> genes = model.predict(simulate_spliced_genome(60_000, rng=1))
    >>> len(genes) > 5
    True
    """

    _quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            name="weight", units="1", dims=("feature",),
            long_name="what a piece of evidence counts", method="conditional likelihood",
            reason="neighbouring letters are not independent; no interval would hold",
        ),
    )  # fmt: skip
    _tables: ClassVar[Mapping[str, str]] = {
        "parameters": "parameters_", "history": "history_", "excluded": "excluded_",
    }  # fmt: skip
    _kept: ClassVar[Mapping[str, str]] = {"genomes": "genomes_", "n_genes": "n_genes_"}
    _papers: ClassVar[tuple[str, ...]] = ("sarawagi_2004", "bernal_2007", "lomsadze_2005")
    _packages: ClassVar[tuple[str, ...]] = ("numpy", "scipy", "numba")

    def __init__(
        self,
        *,
        genetic_code: int = 1,
        adapt: bool = True,
        min_intron: int = LEAST_INTRON,
        max_rounds: int = 8,
        max_iterations: int = 40,
        rng: RNG = 0,
        progress: bool = False,
    ) -> None:
        self.genetic_code = genetic_code
        self.adapt = adapt
        self.min_intron = min_intron
        self.max_rounds = max_rounds
        self.max_iterations = max_iterations
        self.rng = rng
        self.progress = progress

    def fit(
        self,
        X: SequenceSet | str | os.PathLike[str] | Sequence[SequenceSet],
        y: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Learn from genomes whose genes are known.

        Parameters
        ----------
        X : one genome or several, with coding sequences among their features; or a file of
            sequences.
        y : the file of its annotation, GFF3 or GTF, where X is a file.

        Returns
        -------
        self

        Raises
        ------
        KindError, DataError
            No genomes, or one without coding sequences; an annotation of other letters.

        Notes
        -----
        Of a gene with several isoforms the longest coding sequence is learned. Coding sequences
        that are not legal are left out, and listed in `excluded_`.
        """
        self._check()
        genomes = _opened(X, y)
        draw = generator(self.rng)
        lessons, excluded = [], []
        for genome in genomes:
            mine, left = lessons_of(genome, self.genetic_code, self.min_intron, draw)
            lessons += mine
            excluded += left
        names = [f"{g.names[0]} ({int(g.lengths.sum())} bp)" for g in genomes]
        n = int(self.max_iterations)
        with one_thread(), progress_bar(n, 0, self.progress, "iterations") as tick:
            self._model, history = train(
                lessons, least_intron=self.min_intron, max_iterations=n, tick=tick, names=names
            )
        self.genomes_ = names
        self.n_genes_ = sum(len(x.structures) for x in lessons)
        self.history_ = xr.Dataset(
            {"loss": ("iteration", np.array(history), _NATS)},
            coords={"iteration": np.arange(1, len(history) + 1)},
        )  # fmt: skip
        self.excluded_ = xr.Dataset(
            {"reason": ("gene", np.array([why for _, why in excluded], dtype=str))},
            coords={"gene": np.array([name for name, _ in excluded], dtype=str)},
        )
        self._tabulate()
        return self

    def _tabulate(self) -> None:
        self.parameters_ = to_dataset(
            [self.quantity("weight").of(self._model.weights)], confidence_level=_LEVEL,
            coords={"feature": list(WEIGHTS)}, status=[str(Status.OK)] * len(WEIGHTS),
            status_dims=("feature",),
        )  # fmt: skip

    def predict(self, X: SequenceSet | str | os.PathLike[str]) -> SplicedGenes:
        """Find the genes of a genome.

        Parameters
        ----------
        X : DNA of one contig or many, or a file of it. Its features are not looked at.

        Returns
        -------
        SplicedGenes

        Raises
        ------
        NotFittedError
        KindError, DataError
            Proteins, no sequence, contigs of one name, or nothing but unknown letters.
        """
        check_is_fitted(self, "parameters_")
        self._check()
        genome = _opened(X, None)[0]
        check_contigs(genome)
        if not (genome.flat_codes() < 4).any():
            raise no_letters(genome.names, genome.lengths)

        def stretches() -> Iterator[Stretch]:
            return stretches_of(genome, self.genetic_code)

        rounds: list[Round] = []
        model, most = self._model, int(self.max_rounds) if self.adapt else 0
        with one_thread(), progress_bar(most + 1, 0, self.progress, "rounds") as tick:
            if most:
                model, rounds = adapted(
                    model, stretches, least_intron=self.min_intron, max_rounds=most, tick=tick
                )
            found = _joined(list(self._genes_of(stretches(), model)))
            tick()
        genes = _as_genes(genome, found, {
            "genetic_code": int(self.genetic_code), "n_rounds": len(rounds),
            "min_intron": int(self.min_intron), "trained_on": ", ".join(self.genomes_),
            "engine": "legal structures"
            + (f", adapted in {len(rounds)} rounds" if rounds else ", not adapted"),
        })  # fmt: skip
        genes._genome = genome
        return genes

    def _genes_of(
        self, stretches: Iterator[Stretch], model: StructureModel
    ) -> Iterator[tuple[Stretch, list[_Found]]]:
        lengths = model.statistics.lengths(self.min_intron)
        for stretch in stretches:
            scores = weighted(evidence(stretch, model.statistics), model.weights)
            summed = sums(scores, lengths)
            found = []
            for gene in as_structures(best(scores, lengths)):
                chance, stop, whole = exon_chances(
                    scores[gene.strand], lengths, summed, gene.strand, gene.exons
                )
                placed = [stretch.placed(gene.strand, int(a), int(b)) for a, b in gene.exons]
                found.append({
                    "contig": placed[0][0], "strand": placed[0][3],
                    "parts": [(p[1], p[2]) for p in placed], "chance": chance, "stop": stop,
                    "whole": whole,
                })  # fmt: skip
            yield stretch, found

    def score(self, X: SequenceSet, y: None = None) -> float:
        """Share of the annotated coding parts of a genome that are found, both ends right.

        Parameters
        ----------
        X : genome with coding sequences. y : not used.
        """
        return float(self.predict(X).score_against(X)["exon_sensitivity"])

    def _check(self) -> None:
        genetic_code(self.genetic_code)
        check_count(self.min_intron, "min_intron")
        check_count(self.max_rounds, "max_rounds")
        check_count(self.max_iterations, "max_iterations")
        check_rng(self.rng)
        check_number(self.min_intron, "min_intron", least=4)

    def _report_table(self) -> Table:
        n = self.excluded_.sizes["gene"]
        head = [
            f"trained on {', '.join(self.genomes_)}: {self.n_genes_} genes; "
            f"{n} coding sequences left out",
            f"{float(self.history_['loss'].min()):.2f} nats per gene after "
            f"{self.history_.sizes['iteration']} iterations",
        ]
        return parameters_table(self.parameters_, "GeneStructure", head=head)

    def _methods_sentence(self) -> str:
        return (
            f"A semi-Markov conditional random field over legal gene structures was trained on "
            f"{self.n_genes_} genes of {', '.join(self.genomes_)}"
        )

    def _to_saved(self) -> dict[str, Any]:
        return {**super()._to_saved(), "weights": self._model.arrays()}

    def _after_load(self, content: SavedContent) -> None:
        self.genomes_ = [str(g) for g in content.settings["genomes"]]
        self._model = StructureModel.from_arrays(
            {k: np.asarray(v) for k, v in (content.weights or {}).items()},
            {"genomes": self.genomes_},
        )


def _opened(X: Any, y: Any) -> list[SequenceSet]:
    """Genomes of what came: files are opened."""
    from neurornn.io.open_file import open as open_file

    if isinstance(X, str | os.PathLike):
        keywords = {} if y is None else {"annotation": y}
        X = open_file(Path(X), **keywords)
    elif y is not None:
        raise KindError(
            f"An annotation came with a {type(X).__name__}",
            "A file of sequences was needed beside a file of its annotation",
            'Pass both as files, or open them together: nr.open("genome.fa", annotation=...)',
        )
    genomes = [X] if isinstance(X, SequenceSet) else X
    if not isinstance(genomes, list | tuple):
        genomes = [genomes]
    for genome in genomes:
        if not isinstance(genome, SequenceSet):
            raise KindError(
                f"A {type(genome).__name__} came as a genome",
                "A SequenceSet of DNA was needed",
                'Open it: nr.open("genome.fa", annotation="genes.gff3")',
            )
    if not genomes:
        raise DataError(
            "No genomes came", "At least one was needed", "Pass a SequenceSet, or a list of them"
        )
    return list(genomes)


def _joined(found: list[tuple[Stretch, list[_Found]]]) -> list[_Found]:
    """Genes of all stretches; where two overlap, each has those on its side of a free place."""
    out: list[_Found] = []
    pending: list[_Found] = []
    for stretch, genes in found:
        if not stretch.is_first:
            low = stretch.offset
            cut = _free_place([*pending, *genes], low, low + OVERLAP)
            out += [g for g in pending if _ends(g)[1] <= cut]
            genes = [g for g in genes if _ends(g)[0] >= cut]
        pending = genes
        if stretch.is_last:
            out += pending
            pending = []
    return out


def _ends(gene: _Found) -> tuple[int, int]:
    return min(p[0] for p in gene["parts"]), max(p[1] for p in gene["parts"])


def _free_place(genes: list[_Found], low: int, high: int) -> int:
    """Place in a range that no gene crosses, next to its middle; the middle if there is none."""
    free = np.ones(high - low + 1, bool)
    for gene in genes:
        a, b = _ends(gene)
        free[max(a + 1 - low, 0) : max(b - low, 0)] = False
    places = np.flatnonzero(free)
    middle = (high - low) // 2
    if not len(places):
        return low + middle
    return low + int(places[np.argmin(np.abs(places - middle))])


def _as_genes(genome: SequenceSet, found: list[_Found], settings: dict[str, Any]) -> SplicedGenes:
    row = {str(name): k for k, name in enumerate(genome.names)}
    found = sorted(found, key=lambda g: (row[g["contig"]], *_ends(g)))
    contig = np.array([row[g["contig"]] for g in found], np.int64)
    n = np.bincount(contig, minlength=len(genome))
    number = np.arange(len(found)) - np.r_[0, np.cumsum(n)][contig] + 1
    names = [f"{g['contig']}_{k}" for g, k in zip(found, number, strict=True)]
    stop = np.array([g["stop"] for g in found], float)
    quantity = SplicedGenes.quantity
    table = to_dataset(
        [
            quantity("probability").of(stop),
            quantity("structure_probability").of(np.array([g["whole"] for g in found], float)),
        ],
        confidence_level=_LEVEL, coords={"gene": names},
        status=np.where(stop < 0.5, CONTESTED, str(Status.OK)).tolist(), status_dims=("gene",),
        remedies=REMEDIES,
    )  # fmt: skip
    where = "on the forward strand, 0-based"
    first = {"units": "bp", "long_name": f"first position {where}"}
    behind = {"units": "bp", "long_name": f"position after the last one {where}"}
    way = {"units": "1", "long_name": "1 forward, -1 reverse"}
    ends = np.array([_ends(g) for g in found], np.int64).reshape(-1, 2)
    strand = np.array([g["strand"] for g in found], np.int8)
    counts = np.array([len(g["parts"]) for g in found], np.int64)
    nothing = np.zeros(len(found), bool)
    columns: dict[str, Any] = {
        "contig": ("gene", genome.names[contig].astype(str)),
        "start": ("gene", ends[:, 0], first),
        "end": ("gene", ends[:, 1], behind),
        "strand": ("gene", strand, way),
        "n_exons": ("gene", counts, {"units": "1", "long_name": "coding parts"}),
        "start_codon": ("gene", np.full(len(found), "ATG")),
        "is_partial": ("gene", nothing),
        "is_partial_5": ("gene", nothing),
        "is_partial_3": ("gene", nothing),
    }
    parts = np.array([p for g in found for p in g["parts"]], np.int64).reshape(-1, 2)
    owner = np.repeat(np.arange(len(found)), counts)
    exons = xr.Dataset(
        {
            "gene": ("exon", np.array(names, dtype=str)[owner]),
            "contig": ("exon", genome.names[contig].astype(str)[owner]),
            "start": ("exon", parts[:, 0], first),
            "end": ("exon", parts[:, 1], behind),
            "strand": ("exon", strand[owner], way),
            "phase": ("exon", _phases(found), {
                "units": "bp", "long_name": "letters before the first whole codon"
            }),
            "probability": ("exon", _flat([g["chance"] for g in found]), {
                "units": "1", "long_name": "probability that a coding part lies just here"
            }),
        }
    )  # fmt: skip
    contigs = xr.Dataset(
        {
            "length": ("contig", genome.lengths, {"units": "bp", "long_name": "length"}),
            "n_genes": ("contig", n, {"units": "1", "long_name": "genes that are listed"}),
            "is_circular": ("contig", np.zeros(len(genome), bool)),
        },
        coords={"contig": genome.names.astype(str)},
    )
    return SplicedGenes(table.assign(columns), settings, contigs=contigs, exons=exons)


def _phases(found: list[_Found]) -> NDArray[np.int64]:
    out = []
    for gene in found:
        done = np.r_[0, np.cumsum([b - a for a, b in gene["parts"]])[:-1]]
        out.append(-done % 3)
    return _flat(out).astype(np.int64)


def _flat(arrays: list[Any]) -> NDArray[Any]:
    return np.concatenate([np.zeros(0), *arrays])
