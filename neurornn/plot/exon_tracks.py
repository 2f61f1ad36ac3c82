"""Genes of exons and introns along a contig, beside those of an annotation."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.errors import ShapeError
from neurornn.plot.gene_tracks import coding_of, contig_length, contig_shown, range_shown
from neurornn.plot.style import DATA, FIT, new_axes

#: Half the height of an exon.
_HALF = 0.3
#: A part: first and last position, strand, probability, and number of its gene.
_Part = tuple[int, int, int, float, int]


def gene_structures(
    genes: Any,
    *,
    contig: str | None = None,
    start: int = 0,
    end: int | None = None,
    annotation: Any = None,
    ax: Any = None,
) -> Any:
    """Draw coding parts as boxes and introns as lines, both strands, beside an annotation.

    Parameters
    ----------
    genes : `sequences.SplicedGenes`. The more probable an exon, the darker.
    contig : which one; by default the first with genes.
    start, end : bp, what is shown; by default 20,000 from `start`, or to the contig's end.
    annotation : features over ``feature``, or a genome that has them; coding sequences of all
        isoforms are drawn below.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes

    Raises
    ------
    NameUnknownError, DataError, KindError, ShapeError
        No such contig, or one that the annotation calls otherwise; nothing to show; genes without
        exons.
    """
    exons = getattr(genes, "exons", None)
    if not isinstance(exons, xr.Dataset):
        raise ShapeError(
            f"A {type(genes).__name__} without exons came",
            "Genes with their coding parts were needed",
            "Pass the result of sequences.GeneStructure().predict(genome); for bacterial genes "
            "there is nr.plot.genes",
        )
    chosen = contig_shown(exons, contig)
    shown = range_shown(start, end, contig_length(genes, annotation, chosen))
    features = coding_of(annotation, chosen)
    ax = new_axes(ax, (9.0, 2.4 if annotation is None else 3.6))
    n = _draw(ax, _found(exons, chosen), shown, 0.0, FIT)
    ticks, labels = [1.0, 0.0], ["found, +", "found, -"]
    if features is not None:
        _draw(ax, _annotated(features, chosen), shown, -2.5, DATA)
        ticks, labels = [*ticks, -1.5, -2.5], [*labels, "annotated, +", "annotated, -"]
    ax.set_xlim(shown[0] / 1e3, shown[1] / 1e3)
    ax.set_yticks(ticks, labels)
    ax.set_ylim(min(ticks) - 0.7, 1.7)
    ax.set_xlabel(f"position on {chosen} (kb)")
    ax.set_title(f"{n} gene{'s' * (n != 1)} found between {shown[0]:,} and {shown[1]:,} bp")
    return ax


def _found(exons: xr.Dataset, contig: str) -> list[_Part]:
    rows = np.flatnonzero(exons["contig"].values == contig)
    _, owner = np.unique(exons["gene"].values[rows], return_inverse=True)
    columns = (exons[k].values[rows] for k in ("start", "end", "strand", "probability"))
    return [
        (int(a), int(b), int(s), float(p), int(g))
        for a, b, s, p, g in zip(*columns, owner, strict=True)
    ]


def _annotated(features: xr.Dataset, contig: str) -> list[_Part]:
    counts = features["part_count"].values
    first = np.r_[0, np.cumsum(counts)]
    wanted = (features["type"].values == "CDS") & (features["contig"].values == contig)
    return [
        (
            int(features["part_start"].values[j]), int(features["part_end"].values[j]),
            int(features["strand"].values[k]), 1.0, int(k),
        )
        for k in np.flatnonzero(wanted)
        for j in range(first[k], first[k + 1])
    ]  # fmt: skip


def _draw(
    ax: Any, parts: list[_Part], shown: tuple[int, int], level: float, colour: Any
) -> int:  # fmt: skip
    """Draw exons and the introns between those of one gene; return how many genes are seen."""
    from matplotlib.patches import Rectangle

    seen = set()
    by_gene: dict[int, list[_Part]] = {}
    for part in parts:
        by_gene.setdefault(part[4], []).append(part)
    for number, own in by_gene.items():
        ends = min(p[0] for p in own), max(p[1] for p in own)
        if ends[1] <= shown[0] or ends[0] >= shown[1]:
            continue
        seen.add(number)
        y = level + (1.0 if own[0][2] > 0 else 0.0)
        ax.plot(np.array(ends) / 1e3, [y, y], color=colour, lw=1.0, zorder=1)
        _arrow(ax, ends, own[0][2], y, shown, colour)
        for a, b, _, sure, _ in own:
            if b <= shown[0] or a >= shown[1]:
                continue
            box = Rectangle(
                (a / 1e3, y - _HALF), (b - a) / 1e3, 2 * _HALF, facecolor=colour,
                alpha=0.25 + 0.75 * sure, edgecolor=colour, lw=0.6, zorder=2,
            )  # fmt: skip
            ax.add_patch(box)
    return len(seen)


def _arrow(
    ax: Any, ends: tuple[int, int], strand: int, y: float, shown: tuple[int, int], colour: Any
) -> None:
    """Mark the end at which reading stops."""
    at: NDArray[np.float64] = np.array([ends[1] if strand > 0 else ends[0]], float) / 1e3
    if shown[0] / 1e3 <= at[0] <= shown[1] / 1e3:
        ax.plot(at, [y], marker=">" if strand > 0 else "<", color=colour, ms=4, zorder=3)
