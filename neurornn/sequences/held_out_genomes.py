"""Each genome scored by a network that was trained on the others, and what they share."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from sklearn.base import clone

from neurornn._core.checks import check_confidence_level
from neurornn._core.confidence import to_dataset
from neurornn._core.errors import DataError, KindError
from neurornn._core.jobs import progress_bar
from neurornn._core.quantities import Quantity
from neurornn.data.features import extract
from neurornn.data.kmers import sharing
from neurornn.data.sequence_sets import SequenceSet
from neurornn.sequences.bacterial_genes import BacterialGenes
from neurornn.sequences.gene_annotation import whole_genes

#: Letters of a run that two genes share where they are close relatives: by chance one in 4^24.
KMER = 24
_SHARES = ("sensitivity", "precision", "exact_starts")


def score_held_out_genomes(
    genomes: Mapping[str, SequenceSet],
    model: BacterialGenes | None = None,
    *,
    confidence_level: float = 0.95,
    progress: bool = False,
) -> xr.Dataset:
    """Score a gene finder on genomes that it never saw: each in turn is left out of the training.

    Parameters
    ----------
    genomes : name -> genome with its coding sequences; two or more.
    model : settings of the gene finder; by default the usual ones. It is not changed.
    confidence_level : of the intervals.
    progress : show a bar.

    Returns
    -------
    Dataset over ``genome``
        ``n_annotated`` and ``n_related``, genes, and those of them that share a run of 24 letters
        with a gene of another genome, on either strand; then ``sensitivity``, ``precision`` and
        ``exact_starts``, each with its interval, as `Genes.score_against` has them, and
        ``genetic_code``, as it was told.

    Raises
    ------
    KindError, DataError
        No dict of genomes, fewer than two, or one without coding sequences.

    Notes
    -----
    A split by genes would test on relatives of what was trained on; a split by genomes does not,
    unless genomes are themselves related. `n_related` says how far they are.

    Examples
    --------
    >>> from neurornn.simulate import simulate_genome
    >>> genomes = {name: simulate_genome(9000, rng=k) for k, name in enumerate("ab")}
    >>> quick = BacterialGenes(n_hidden=4, max_epochs=1)
    >>> table = score_held_out_genomes(genomes, quick)
    >>> table["n_related"].values.tolist()
    [0, 0]
    """
    if not isinstance(genomes, Mapping):
        raise KindError(
            f"A {type(genomes).__name__} came as genomes",
            "A dict of two or more was needed, name -> genome with its coding sequences",
            'Pass {"ecoli": nr.open("ecoli.gbk"), "bsubtilis": nr.open("bsubtilis.gbk")}',
        )
    if len(genomes) < 2:
        raise DataError(
            f"{len(genomes)} genomes came",
            "At least two were needed: one is left out, and the others are trained on",
            "Pass more, or BacterialGenes().predict(genome).score_against(genome)",
        )
    for name, genome in genomes.items():
        if not isinstance(genome, SequenceSet):
            raise KindError(
                f"A {type(genome).__name__} came as the genome {name!r}",
                "A SequenceSet with coding sequences was needed",
                'Open it first: nr.open("genome.gbk")',
            )
    settings = BacterialGenes() if model is None else model
    if not isinstance(settings, BacterialGenes):
        raise KindError(
            f"A {type(settings).__name__} came as model",
            "A BacterialGenes was needed: its settings are used, and it is not changed",
            "Pass BacterialGenes(max_epochs=8), or leave it out",
        )
    confidence_level = check_confidence_level(confidence_level)
    names = list(genomes)
    genes = {k: extract(g, whole_genes(g.features)) for k, g in genomes.items()}
    counts = [len(genes[k]) for k in names]
    related = [_related(genes, k) for k in names]
    found: dict[str, list[Any]] = {k: [] for k in _SHARES}
    bounds: dict[str, list[Any]] = {k: [] for k in _SHARES}
    codes = []
    with progress_bar(len(names), 0, progress, "genomes") as tick:
        for name in names:
            finder = clone(settings).fit([genomes[k] for k in names if k != name])
            listed = finder.predict(genomes[name])
            codes.append(int(listed.settings["genetic_code"]))
            table = listed.score_against(genomes[name], confidence_level)
            for k in _SHARES:
                found[k].append(float(table[k]))
                bounds[k].append(table[f"{k}_ci"].values)
            tick()
    what = {k: table[k].attrs for k in _SHARES}
    estimates = [
        Quantity(
            name=k, units="1", dims=("genome",), long_name=what[k]["long_name"],
            method="trained on the other genomes; Wilson", reason="there are none",
        ).of(np.array(found[k]), np.array(bounds[k]))
        for k in _SHARES
    ]  # fmt: skip
    out = to_dataset(estimates, confidence_level=confidence_level, coords={"genome": names})
    numbers = {
        "n_annotated": (counts, "annotated genes"),
        "n_related": (related, f"genes that share {KMER} letters with one of another genome"),
        "genetic_code": (codes, "genetic code as it was told"),
    }
    # What was counted stands before what was scored.
    first = {
        k: ("genome", np.array(v), {"units": "1", "long_name": text})
        for k, (v, text) in numbers.items()
    }
    return xr.Dataset(first, coords=out.coords).merge(out)


def _related(genes: Mapping[str, SequenceSet], name: str) -> int:
    """Genes of a genome that share a run of letters with a gene of another, on either strand."""
    mine = genes[name]
    hit = np.zeros(len(mine), bool)
    for other, theirs in genes.items():
        if other != name:
            hit |= sharing(theirs, mine, KMER)
            hit |= sharing(theirs.reverse_complement(), mine, KMER)
    return int(hit.sum())
