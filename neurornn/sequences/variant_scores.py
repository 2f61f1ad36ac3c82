"""What the variants of a VCF file change in the score of a sequence model."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurornn._core.checks import check_choice, check_confidence_level
from neurornn._core.errors import KindError, ShapeError
from neurornn._core.jobs import chunk_slices, forget_partial, run_chunks
from neurornn._core.targets import check_target
from neurornn.data.contigs import contig_rows
from neurornn.data.sequence_sets import SequenceSet
from neurornn.sequences.mutation_scores import scorer_of
from neurornn.sequences.splice_sites import SpliceSites
from neurornn.sequences.variant_jobs import Calls, Sites, Windows
from neurornn.sequences.variant_windows import ANCHORS

#: Of a table that was written here, whatever the model.
_COLUMNS = ("variant", "contig", "position (bp)", "ref", "alt")


def variant_effects(
    model: Any,
    genome: SequenceSet | str | os.PathLike[str],
    variants: xr.Dataset | str | os.PathLike[str],
    *,
    window: int | None = None,
    anchor: str = "left",
    both_strands: bool | None = None,
    distance: int = 50,
    share: float | None = None,
    read: str | int | None = None,
    output: int | str | None = None,
    contig_names: Mapping[str, str] | str | None = "match",
    ambiguous: str = "zeros",
    confidence_level: float = 0.95,
    batch_size: int | None = None,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: bool | Callable[[int, int], None] = False,
) -> xr.Dataset:
    """Score the reference and the alternative of every variant, and tell the difference.

    Parameters
    ----------
    model : as for `mutate_all`: a model of `nr.models`, a fit of one, an estimator, a function of
        one-hot arrays (sequence, position, letter), or a list of them. With a fitted `SpliceSites`
        the sites around each variant are scored instead of one window, see Notes.
    genome : the sequences, or a FASTA or 2bit file; a large one stays on disk.
    variants : VCF file, or the Dataset that `nr.open` gives of one.
    window : bp, length of the windows, 1001 by default; of an estimator that of its training.
    anchor : where both windows are held: ``"left"``, so many letters before the change,
        ``"right"``, so many behind it, or ``"both"``, the mean of the two.
    both_strands : mean of the scores of both strands. With `SpliceSites` sites are looked for on
        both strands unless it is False.
    distance : bp on either side of a variant in which splice sites are scored.
    share : of sites among all places with the two letters; by default as in the training.
    read, output : see `mutate_all`.

    Other Parameters
    ----------------
    contig_names : name in the VCF file -> name of the sequence; ``"match"`` finds other spellings
        (chr1 and 1) and tells them in the attribute ``contig_names``; None takes names as they
        are.
    ambiguous : ``"zeros"`` or ``"fractions"``, see `SequenceSet.one_hot`.
    confidence_level : of the intervals over networks.
    batch_size : windows that go through together.
    out : CSV file, or .tsv, of the table. Chunks that are done are kept in the folder
        ``<out>.partial`` until all are: the same call again goes on where the last one stopped.
    overwrite : replace the file where it stands; a table of variants is replaced without.
    progress : show a bar, or a callable ``(done, total)``.

    Returns
    -------
    Dataset over ``variant``
        One row for each alternative allele, in the order of the file: ``contig``, ``position``
        (bp, 0-based), ``ref``, ``alt``, ``id``, ``kind``, ``record``; ``effect``, the score of the
        alternative minus that of the reference, ``score_ref`` and ``score_alt``, each with an
        interval over networks; ``status``, which is not ``ok`` where an allele has no letters
        (symbolic, ``*``, ``.``) or is longer than the window: then there are no numbers. With
        `SpliceSites` instead ``gain`` and ``loss``, see Notes.

    Raises
    ------
    KindError, ShapeError, DataError, NameUnknownError
        No model, genome or variants; a contig that is not there, or a REF that is not what
        stands there, with the line of the file.
    ResumeError
        ``<out>.partial`` holds results of another model, other variants or settings.
    FileWriteError
        Something else stands at `out`.

    Notes
    -----
    Letters that both alleles share at their ends are left out first. Both windows are of equal
    length and begin at the same letter of the genome (``anchor="left"``): where the alternative
    is shorter, letters from further right come in, where it is longer, the last ones leave. The
    window is laid so that the longer allele stands in its middle. Beyond the ends of a contig
    there is N; a circular contig goes on. Lower case is read as upper case.

    With `SpliceSites` every place with the two letters within `distance` is scored, on the
    reference and on the alternative, as delta scores of Jaganathan et al. 2019 are, but over the
    sites of the model's own kind: ``gain`` is the largest rise of the probability of a site,
    ``loss`` the largest fall, both at least 0. ``gain_position`` is where it is (bp, 0-based, the
    first of the two letters in the direction of reading; NaN where nothing rises),
    ``gain_strand`` its strand (1 or -1, or 0), ``gain_odds_ref`` and ``gain_odds_alt`` the log
    odds there (nats; NaN where the two letters are missing, and then the probability is 0); the
    same for ``loss``. Probabilities hold for the share of sites that is assumed.

    References
    ----------
    Jaganathan et al. 2019, doi:10.1016/j.cell.2018.12.015 (delta scores of splice sites);
    Danecek et al. 2011, doi:10.1093/bioinformatics/btr330 (VCF).

    Examples
    --------
    >>> genome = SequenceSet.from_sequences(["1"], ["ACGTACGTTTACGTAACCGT"])
    >>> calls = xr.Dataset({
    ...     "contig": ("variant", ["1", "1"]), "position": ("variant", [8, 10]),
    ...     "ref": ("variant", ["T", "A"]), "alt": ("variant", ["G", "AGG"]),
    ... })
    >>> def gc(x):
    ...     return x[:, :, 1:3].sum(axis=(1, 2))
    >>> variant_effects(gc, genome, calls, window=7)["effect"].values.tolist()
    [1.0, 2.0]
    """
    level = check_confidence_level(confidence_level)
    check_choice(anchor, "anchor", ANCHORS)
    check_choice(ambiguous, "ambiguous", ("zeros", "fractions"))
    target = None
    if out is not None:
        read_from = [x for x in (genome, variants) if isinstance(x, str | os.PathLike)]
        target = check_target(out, ours=not_a_table, inputs=read_from, overwrite=overwrite)
    letters, calls = _genome(genome), _variants(variants)
    calls, other = _placed(calls, letters, contig_names)
    rows = contig_rows(letters.names, calls["contig"].values)
    columns = [calls[n].values.tolist() for n in ("position", "ref", "alt")]
    plain = Calls(rows.tolist(), *columns)
    job: Sites | Windows
    if isinstance(model, SpliceSites):
        for name, given in (("window", window), ("read", read), ("output", output)):
            if given is not None:
                raise KindError(
                    f"{name} came with a SpliceSites",
                    "It is for models that score one window; sites are read as in the training",
                    f"Leave {name} out; distance says how far from a variant sites are scored",
                )
        job = Sites(model, letters, plain, both_strands, distance, share, batch_size, ambiguous)
    else:
        scorer = scorer_of(model, read, output, batch_size)
        job = Windows(scorer, letters, plain, window, anchor, bool(both_strands), ambiguous)
    chunks = [(s.start, s.stop) for s in chunk_slices(len(rows), job.chunk)]
    partial = None if target is None else f"{target}.partial"
    key = None if partial is None else job.key(chunks)
    found = run_chunks(
        job.run, chunks, progress=progress, label="variants", checkpoint=partial, key=key
    )
    table = job.table(found, level)
    names = ("contig", "position", "ref", "alt", "id", "kind", "record")
    about = {n: calls[n].variable for n in names if n in calls}
    place_attrs = {"units": "bp", "long_name": "first letter of REF, counted from 0"}
    about["position"] = xr.Variable("variant", calls["position"].values, place_attrs)
    told = ", ".join(f"{a} is {b}" for a, b in other.items())
    table = xr.Dataset({**about, **table.data_vars}, {**table.coords}).assign_attrs(
        contig_names=told, n_networks=job.n_networks, **job.told
    )
    table = table.assign_coords(variant=np.arange(len(rows)))
    if target is not None:
        from neurornn.io.delimited import write_csv

        write_csv(table, target, overwrite=True)
        assert partial is not None
        forget_partial(partial)
    return table


def _genome(genome: Any) -> SequenceSet:
    if isinstance(genome, str | os.PathLike):
        from neurornn.io.open_file import open as open_file

        genome = open_file(genome)
    if not isinstance(genome, SequenceSet) or genome.alphabet != "dna":
        kind = getattr(genome, "alphabet", type(genome).__name__)
        raise KindError(
            f"genome holds {kind}",
            "DNA was needed: a SequenceSet, or a FASTA or 2bit file",
            "Pass the reference that the variants were called on",
        )
    return genome


def _variants(variants: Any) -> xr.Dataset:
    if isinstance(variants, str | os.PathLike):
        from neurornn.io.open_file import open as open_file

        variants = open_file(variants)
    wanted = {"contig", "position", "ref", "alt"}
    if not isinstance(variants, xr.Dataset) or not wanted <= set(variants.variables):
        raise KindError(
            f"variants is a {type(variants).__name__} without {', '.join(sorted(wanted))}",
            "A VCF file, or the table that nr.open gives of one, was needed",
            "Pass its path",
        )
    if any(variants[name].dims != ("variant",) for name in wanted):
        raise ShapeError(
            "The columns of variants have other axes than variant",
            "One row for each variant was needed",
            "Pass the table that nr.open gives of a VCF file",
        )
    return variants


def _placed(
    calls: xr.Dataset, genome: SequenceSet, contig_names: Any
) -> tuple[xr.Dataset, dict[str, str]]:
    """Variants under the names of the genome, compared with its letters; names that differ."""
    from neurornn.io.annotation import renamed_contigs
    from neurornn.io.vcf import check_reference

    asked = list(dict.fromkeys(calls["contig"].values.tolist()))
    names = [str(n) for n in genome.names]
    other = renamed_contigs(asked, names, contig_names)
    other = {a: b for a, b in other.items() if a in asked and a != b}
    if other:
        given = [other.get(str(c), str(c)) for c in calls["contig"].values]
        calls = calls.assign(contig=("variant", np.asarray(given, dtype=str)))
    check_reference(calls, genome)
    return calls, other


def not_a_table(path: Path) -> str | None:
    """Say why a file may not be replaced; None where it is a table of variants.

    Parameters
    ----------
    path : of the file.
    """
    with path.open("rb") as file:
        head = file.readline().decode("utf-8", "replace")
    ours = any(head.startswith(mark.join(_COLUMNS)) for mark in (",", "\t"))
    return None if ours else "is not a table of variants"
