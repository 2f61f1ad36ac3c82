"""Bacterial genes from a bare genome, each with its probability."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from neurornn._core.checks import check_count, check_number, check_positive, check_rng
from neurornn._core.confidence import to_dataset
from neurornn._core.errors import DataError, KindError, NameUnknownError
from neurornn._core.jobs import one_thread, progress_bar
from neurornn._core.quantities import Quantity
from neurornn._core.report import Table, parameters_table
from neurornn._core.rng import RNG, generator
from neurornn._core.status import Status
from neurornn._kernels.open_frames import NO_START
from neurornn.data.contigs import contig_row
from neurornn.data.features import pick_features
from neurornn.data.genetic_codes import genetic_code
from neurornn.data.sequence_sets import SequenceSet
from neurornn.io.saved import SavedContent
from neurornn.io.shell import Estimator
from neurornn.sequences.code_choice import choose_code
from neurornn.sequences.contig_layout import ContigLayout, lay_out
from neurornn.sequences.gene_annotation import whole_genes
from neurornn.sequences.gene_network import GeneNetwork, load_network
from neurornn.sequences.gene_paths import Sure, probabilities, usual_links
from neurornn.sequences.genes import Genes
from neurornn.sequences.genome_adapting import adapt
from neurornn.sequences.open_frames import START_CODONS, OpenFrames, frames_of

#: Stands in tables whose quantities have no intervals.
_LEVEL = 0.95
#: Letters of a genome by which its code is told.
_TOLD_BY = 300_000
#: Status of genes that a contig's end cuts, and of those whose place others claim.
PARTIAL, CONTESTED = "partial", "contested"
REMEDIES = {
    PARTIAL: "The contig ends within the gene. A longer assembly shows the rest.",
    CONTESTED: (
        "Less probable than not: listed because a gene that is missed costs more than one too "
        "many. Raise min_probability to leave such genes out."
    ),
}


class BacterialGenes(Estimator):
    """Genes of bacteria, found by a recurrent network along open frames.

    Parameters
    ----------
    genetic_code : number of NCBI, for example 11 or 4; ``"auto"`` tells 11, 4 and 25 from the
        sequence.
    min_probability : of the genes that are listed. By default one in five: with probabilities
        that hold, that is where missing a gene counts twice as much as listing a wrong one (the
        best threshold for the F2 score).
    n_hidden : units of the network, in `fit`.
    max_epochs : passes over all frames of the genomes, in `fit`.
    learning_rate : of Adam at the start; it falls along a cosine.
    rng : int, Generator or None: first weights and the order of the frames, in `fit`.
    progress : show a bar.

    Attributes
    ----------
    parameters_ : Dataset
        ``tau (hidden)``, bp, length constants of the units of the network.
    history_ : Dataset over ``epoch``: ``loss``, nats per frame.
    genomes_ : names of what it was trained on.

    Notes
    -----
    `predict` needs no `fit`: the network that comes with the package was trained on three genomes
    (see `neurornn.sequences.make_bacterial_genes`), and weights that were tested on a genome never
    saw it. What is particular to a genome is learned from its bare sequence first: how its genes
    use pairs of codons, in two classes, and what lies around its starts. Along each open frame,
    from the stop upstream, a network of leaky units reads the amino acids and the log odds of the
    pairs of codons, in all six frames; what it reads is added up, and with what tells the start
    gives the log odds of every candidate against no gene. Genes that can stand beside one another
    form a semi-Markov chain, whose sums give probabilities.

    Contigs may be drafts: genes that their ends cut are found and called partial; a run of 30 and
    more unknown letters ends a contig. Genes across the origin of circular contigs are found. The
    reverse complement of a genome has the mirror image of its genes, exactly.

    Selenocysteine, frameshifts and introns are not looked for.

    References
    ----------
    Borodovsky & McIninch 1993, doi:10.1016/0097-8485(93)85004-V (genes as Markov chains); Delcher
    et al. 1999, doi:10.1093/nar/27.23.4636 (long frames first); Hyatt et al. 2010,
    doi:10.1186/1471-2105-11-119 (starts, and one path through both strands).

    Examples
    --------
    >>> from neurornn.simulate import simulate_genome
    >>> genome = simulate_genome(12_000, rng=0)
    >>> genes = BacterialGenes().predict(genome)
    >>> genes.settings["genetic_code"], len(genes) > 5
    (11, True)
    """

    _quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            name="tau", units="bp", dims=("hidden",),
            long_name="length constant of a hidden unit", method="trained",
            reason="the training ends early and has no curvature to read",
        ),
    )  # fmt: skip
    _tables: ClassVar[Mapping[str, str]] = {"parameters": "parameters_", "history": "history_"}
    _kept: ClassVar[Mapping[str, str]] = {"genomes": "genomes_"}
    _papers: ClassVar[tuple[str, ...]] = (
        "borodovsky_1993", "delcher_1999", "hyatt_2010", "kingma_2015",
    )  # fmt: skip
    _packages: ClassVar[tuple[str, ...]] = ("numpy", "numba", "torch")

    def __init__(
        self,
        *,
        genetic_code: int | str = "auto",
        min_probability: float = 0.2,
        n_hidden: int = 32,
        max_epochs: int = 14,
        learning_rate: float = 3e-3,
        rng: RNG = 0,
        progress: bool = False,
    ) -> None:
        self.genetic_code = genetic_code
        self.min_probability = min_probability
        self.n_hidden = n_hidden
        self.max_epochs = max_epochs
        self.learning_rate = learning_rate
        self.rng = rng
        self.progress = progress

    def fit(self, X: SequenceSet | Sequence[SequenceSet], y: None = None) -> Self:
        """Train a network on genomes whose genes are known.

        Parameters
        ----------
        X : one genome or several, with coding sequences among their features. The genetic code of
            each is the one that most of its features state, else that of the setting, else 11.
        y : not used.

        Returns
        -------
        self

        Raises
        ------
        KindError, DataError
            No genomes, or one without coding sequences.
        """
        from neurornn.sequences.gene_training import lesson, train_network, typical_usage

        several = isinstance(X, Iterable) and not isinstance(X, SequenceSet | str)
        genomes: list[Any] = list(X) if several else [X]
        for genome in genomes:
            _check_genome(genome)
        if not genomes:
            raise DataError(
                "No genomes came", "At least one with its genes was needed", "Pass a list of them"
            )
        self._check()
        lessons = []
        for genome in genomes:
            whole_genes(genome.features)
            frames = frames_of(lay_out(genome), self._stated_code(genome))
            lessons.append(lesson(frames, adapt(frames), genome.features))
        seed = int(generator(self.rng).integers(2**31 - 1))
        with one_thread(), progress_bar(int(self.max_epochs), 0, self.progress, "epochs") as tick:
            reader, history = train_network(
                lessons, n_hidden=int(self.n_hidden), max_epochs=int(self.max_epochs),
                learning_rate=float(self.learning_rate), seed=seed, tick=tick,
            )  # fmt: skip
        self.genomes_ = [f"{g.names[0]} ({int(g.lengths.sum())} bp)" for g in genomes]
        self._network: GeneNetwork = reader.arrays(
            typical_usage(lessons), {"genomes": self.genomes_, "loss": history[-1]}
        )
        self.history_ = xr.Dataset(
            {"loss": ("epoch", np.array(history), {"units": "1", "long_name": "nats per frame"})},
            coords={"epoch": np.arange(1, len(history) + 1)},
        )
        self._tabulate()
        return self

    def _tabulate(self) -> None:
        tau = np.asarray(self._network.tau, dtype=float)
        self.parameters_ = to_dataset(
            [self.quantity("tau").of(tau)], confidence_level=_LEVEL,
            status=[str(Status.OK)] * len(tau), status_dims=("hidden",),
        )  # fmt: skip

    def predict(self, X: SequenceSet) -> Genes:
        """Find the genes of a genome.

        Parameters
        ----------
        X : DNA of one contig or many.

        Returns
        -------
        Genes

        Raises
        ------
        KindError, DataError
            Proteins, no sequence, contigs of one name, or nothing but unknown letters.
        """
        self._check()
        layout = lay_out(X)
        network = self._the_network()
        code, chance = self._code_of(layout, network)
        with progress_bar(3, 0, self.progress, "steps") as tick:
            frames = frames_of(layout, code)
            adapted = adapt(frames, network.typical)
            tick()
            scores = network.scores(frames, adapted)
            tick()
            sure = probabilities(frames, scores, usual_links())
            rows = _listed(frames, sure, float(self.min_probability))
            tick()
        genes = _as_genes(frames, sure, rows, {
            "genetic_code": code,
            "genetic_code_from": "told from the sequence" if chance else "as given",
            "genetic_code_probability": chance.get(code, float("nan")),
            "min_probability": float(self.min_probability), "n_hidden": len(network.tau),
            "engine": "recurrent network" + (", shipped" if self._is_shipped else ", fitted"),
        })  # fmt: skip
        genes._genome = X
        return genes

    def coding_potential(
        self, X: SequenceSet, *, contig: str | None = None, n_codons: int = 31
    ) -> xr.Dataset:
        """What the network reads along the six frames of a contig.

        Parameters
        ----------
        X : DNA of one contig or many; what is particular to the genome is learned from all.
        contig : which one; by default the first.
        n_codons : over which a mean is taken.

        Returns
        -------
        Dataset
            ``potential (frame, position)``, nats per codon, mean over `n_codons` around each
            codon; NaN outside open frames. Frames are -3 to 3 without 0, the sign that of the
            strand; a codon stands at its first letter in the direction of reading. Letters
            between the codons of a frame are NaN.
        """
        self._check()
        n_codons = check_count(n_codons, "n_codons")
        layout = lay_out(X)
        name = str(X.names[0]) if contig is None else str(contig)
        row = contig_row(np.asarray(X.names), name)
        network = self._the_network()
        code, _ = self._code_of(layout, network)
        frames = frames_of(layout, code)
        read = network.readings(frames, adapt(frames, network.typical))
        first, size = int(layout.first[row]), int(layout.length[row])
        here = slice(first, first + size)
        forward = read[0][here]
        # As it lies on the forward strand of the layout.
        reverse = read[1][::-1][here]
        if layout.turned[row]:
            forward, reverse = reverse[::-1], forward[::-1]
        out = np.full((6, size), np.nan)
        for k in range(3):
            out[3 + k, k::3] = _running_mean(forward[k::3], n_codons)
            out[2 - k, ::-1][k::3] = _running_mean(reverse[::-1][k::3], n_codons)
        about = {"units": "1", "long_name": "log odds of coding, nats per codon"}
        where = {"units": "bp", "long_name": "first letter of the codon, 0-based"}
        return xr.Dataset(
            {"potential": (("frame", "position"), out, about)},
            coords={
                "frame": [-3, -2, -1, 1, 2, 3], "position": ("position", np.arange(size), where)
            },
            attrs={"contig": name},
        )  # fmt: skip

    def score(self, X: SequenceSet, y: None = None) -> float:
        """Share of the annotated genes of a genome whose stop is found.

        Parameters
        ----------
        X : genome with coding sequences. y : not used.
        """
        return float(self.predict(X).score_against(X)["sensitivity"])

    @property
    def _is_shipped(self) -> bool:
        return not hasattr(self, "_network")

    def _the_network(self) -> GeneNetwork:
        return load_network() if self._is_shipped else self._network

    def _code_of(
        self, layout: ContigLayout, network: GeneNetwork
    ) -> tuple[int, Mapping[int, float]]:
        if self.genetic_code != "auto":
            return int(self.genetic_code), {}
        found = choose_code(layout.part(_TOLD_BY), network.typical)
        return found.code, found.probability

    def _stated_code(self, genome: SequenceSet) -> int:
        if self.genetic_code != "auto":
            return int(self.genetic_code)
        stated = np.zeros(0, np.int64)
        if genome.features is not None:
            stated = pick_features(genome.features, "CDS")["genetic_code"].values
        codes, count = np.unique(stated[stated > 0], return_counts=True)
        return int(codes[np.argmax(count)]) if len(codes) else 11

    def _check(self) -> None:
        check_count(self.n_hidden, "n_hidden")
        check_count(self.max_epochs, "max_epochs")
        check_positive(self.learning_rate, "learning_rate")
        check_number(self.min_probability, "min_probability", least=0, most=1)
        check_rng(self.rng)
        if self.genetic_code == "auto":
            return
        if isinstance(self.genetic_code, str):
            raise NameUnknownError(
                f"genetic_code is {self.genetic_code!r}",
                "A number of NCBI or 'auto' was needed",
                "Pass 11 for most bacteria, 4 for Mycoplasma",
            )
        genetic_code(self.genetic_code)

    def _report_table(self) -> Table:
        check_is_fitted(self, "parameters_")
        head = [f"trained on {', '.join(self.genomes_)}; {len(self.history_['loss'])} epochs"]
        return parameters_table(self.parameters_, "Network of BacterialGenes", head=head)

    def _methods_sentence(self) -> str:
        return (
            f"A network of {len(self.parameters_['tau'])} leaky units was trained to tell genes "
            f"and their starts from other open frames on {', '.join(self.genomes_)}"
        )

    def _to_saved(self) -> dict[str, Any]:
        return {**super()._to_saved(), "weights": self._network.arrays()}

    def _after_load(self, content: SavedContent) -> None:
        self.genomes_ = [str(g) for g in content.settings["genomes"]]
        self._network = GeneNetwork.from_arrays(
            {k: np.asarray(v) for k, v in (content.weights or {}).items()},
            {"genomes": self.genomes_},
        )


def _check_genome(genome: Any) -> None:
    if not isinstance(genome, SequenceSet):
        raise KindError(
            f"A {type(genome).__name__} came as a genome",
            "SequenceSets with coding sequences were needed",
            'Open them: nr.open("genome.gbk")',
        )


def _running_mean(values: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Mean over `n` values around each, of those that are there."""
    known = np.isfinite(values)
    weight = np.ones(min(n, max(len(values), 1)))
    if not len(values):
        return values
    total = np.convolve(np.where(known, values, 0.0), weight, "same")
    count = np.convolve(known.astype(float), weight, "same")
    return np.where(known, total / np.maximum(count, 1), np.nan)


def _listed(frames: OpenFrames, sure: Sure, least: float) -> NDArray[np.int64]:
    """Best start of each frame that is listed, in order; of two that cannot both stand, one."""
    best = np.zeros(len(frames.frames), np.int64)
    # No gene goes round a ring more than once.
    fits = frames.layout.is_within(frames.left, frames.right)
    chance = np.where(fits, sure.candidate, -1.0)
    order = np.lexsort((-np.arange(len(frames.start)), chance, frames.frame))
    best[frames.frame[order]] = order
    rows = best[(sure.frame >= max(least, 1e-9))]
    rows = rows[fits[rows] & frames.layout.is_counted(frames.left[rows], frames.right[rows])]
    rows = rows[np.lexsort((frames.right[rows], frames.left[rows]))]
    return _without_conflicts(frames, sure, rows)


def _without_conflicts(
    frames: OpenFrames, sure: Sure, rows: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Leave out what lies within a gene of more probability, or shares most of its length."""
    left, right = frames.left[rows], frames.right[rows]
    chance = sure.frame[frames.frame[rows]]
    out = np.zeros(len(rows), bool)
    for k in range(len(rows)):
        j = k + 1
        while j < len(rows) and left[j] < right[k]:
            shared = min(right[k], right[j]) - left[j]
            if 2 * shared > min(right[k] - left[k], right[j] - left[j]):
                out[j if (chance[k], -k) >= (chance[j], -j) else k] = True
            j += 1
    return rows[~out]


def _as_genes(
    frames: OpenFrames, sure: Sure, rows: NDArray[np.int64], settings: dict[str, Any]
) -> Genes:
    layout = frames.layout
    contig, start, end, strand = layout.places(
        frames.left[rows], frames.right[rows], frames.strand[rows]
    )
    order = np.lexsort((end, start, contig))
    rows, contig, strand = rows[order], contig[order], strand[order]
    start, end = start[order], end[order]
    kind = frames.start_kind[rows]
    codons = np.array(["", *START_CODONS, ""], dtype=object)[kind].astype(str)
    no_start, no_stop = kind == NO_START, ~frames.has_stop[rows]
    chance = sure.frame[frames.frame[rows]]
    status = np.where(chance < 0.5, CONTESTED, str(Status.OK))
    status = np.where(no_start | no_stop, PARTIAL, status)
    n = np.bincount(contig, minlength=len(layout.names))
    number = np.arange(len(rows)) - np.r_[0, np.cumsum(n)][contig] + 1
    names = [f"{layout.names[c]}_{k}" for c, k in zip(contig, number, strict=True)]
    quantity = Genes.quantity
    table = to_dataset(
        [
            quantity("probability").of(chance),
            quantity("start_probability").of(
                np.minimum(sure.candidate[rows] / np.maximum(chance, 1e-12), 1.0)
            ),
        ],
        confidence_level=_LEVEL, coords={"gene": names},
        status=status.tolist(), status_dims=("gene",), remedies=REMEDIES,
    )  # fmt: skip
    where = "on the forward strand, 0-based"
    first = {"units": "bp", "long_name": f"first position {where}"}
    behind = {"units": "bp", "long_name": f"position after the last one {where}"}
    way = {"units": "1", "long_name": "1 forward, -1 reverse"}
    columns: dict[str, Any] = {
        "contig": ("gene", layout.names[contig].astype(str)),
        "start": ("gene", start, first),
        "end": ("gene", end, behind),
        "strand": ("gene", strand, way),
        "start_codon": ("gene", codons),
        "is_partial": ("gene", no_start | no_stop),
        "is_partial_5": ("gene", no_start),
        "is_partial_3": ("gene", no_stop),
    }
    contigs = xr.Dataset(
        {
            "length": ("contig", layout.length, {"units": "bp", "long_name": "length"}),
            "n_genes": ("contig", n, {"units": "1", "long_name": "genes that are listed"}),
            "is_circular": ("contig", layout.extra > 0),
        },
        coords={"contig": layout.names.astype(str)},
    )
    return Genes(table.assign(columns), settings, contigs=contigs)
