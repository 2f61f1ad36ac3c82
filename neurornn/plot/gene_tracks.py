"""Pictures of genes: along a genome, their starts, and whether their probabilities hold."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.confidence import binomial_interval
from neurornn._core.errors import DataError, NameUnknownError, ShapeError, nearest
from neurornn.plot.style import DATA, EVENT, FIT, new_axes

#: Half the height of a gene, and how long its point is against the width of the picture.
_HALF, _POINT = 0.32, 0.012
#: bp that are shown where none are asked for.
_WIDTH = 20_000
#: Fewest genes of a point of the calibration.
_FEWEST = 10


def _table(genes: Any) -> xr.Dataset:
    table = getattr(genes, "table", genes)
    wanted = {"contig", "start", "end", "strand", "probability"}
    if not isinstance(table, xr.Dataset) or not wanted <= set(table.variables):
        holds = ", ".join(map(str, getattr(table, "data_vars", {}))) or "no variables"
        raise ShapeError(
            f"The table has {holds}",
            "contig, start, end, strand and probability over gene were needed",
            "Pass the result of sequences.BacterialGenes().predict(genome), or its table",
        )
    return table


def genes(
    genes: Any,
    *,
    contig: str | None = None,
    start: int = 0,
    end: int | None = None,
    annotation: xr.Dataset | None = None,
    ax: Any = None,
) -> Any:
    """Draw genes of both strands along a contig, beside those of an annotation.

    Parameters
    ----------
    genes : `sequences.Genes`, or their table. The more probable, the darker.
    contig : which one; by default the first with genes.
    start, end : bp, what is shown; by default the first 20,000.
    annotation : features over ``feature``, of which coding sequences are drawn below.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes

    Raises
    ------
    NameUnknownError, DataError, ShapeError
        No such contig; nothing to show; another table.
    """
    table = _table(genes)
    names = np.unique(table["contig"].values).tolist()
    if not names:
        raise DataError("There are no genes", "At least one was needed", "Lower min_probability")
    chosen = str(table["contig"].values[0]) if contig is None else contig
    if chosen not in names:
        raise NameUnknownError(
            f"No genes lie on {chosen!r}",
            "The name of a contig was needed",
            nearest(chosen, names),
        )
    end = start + _WIDTH if end is None else end
    if not 0 <= start < end:
        raise DataError(
            f"{start} to {end} bp came", "start below end was needed", "Swap them, or check"
        )
    ax = new_axes(ax, (9.0, 2.4 if annotation is None else 3.4))
    n = _draw(ax, table, table["contig"].values == chosen, (start, end), 0.0, FIT)
    if annotation is not None:
        coding = (annotation["type"].values == "CDS") & (annotation["contig"].values == chosen)
        _draw(ax, annotation, coding, (start, end), -3.0, DATA)
    ax.set_xlim(start / 1e3, end / 1e3)
    ticks, labels = [1.0, 0.0], ["found, +", "found, -"]
    if annotation is not None:
        ticks, labels = [*ticks, -2.0, -3.0], [*labels, "annotated, +", "annotated, -"]
    ax.set_yticks(ticks, labels)
    ax.set_ylim(min(ticks) - 0.7, 1.7)
    ax.set_xlabel(f"position on {chosen} (kb)")
    ax.set_title(f"{n} genes found between {start:,} and {end:,} bp")
    return ax


def _draw(
    ax: Any, table: xr.Dataset, rows: NDArray[np.bool_], shown: tuple[int, int], level: float,
    colour: Any,
) -> int:  # fmt: skip
    """Draw arrows in the direction of reading; return how many."""
    from matplotlib.patches import Polygon

    point = _POINT * (shown[1] - shown[0]) / 1e3
    n = 0
    for k in np.flatnonzero(rows):
        a, b = float(table["start"].values[k]) / 1e3, float(table["end"].values[k]) / 1e3
        if b * 1e3 <= shown[0] or a * 1e3 >= shown[1]:
            continue
        strand = int(table["strand"].values[k])
        y, tip = level + (1.0 if strand > 0 else 0.0), min(point, b - a)
        neck = b - tip if strand > 0 else a + tip
        outline = (
            [(a, y - _HALF), (neck, y - _HALF), (b, y), (neck, y + _HALF), (a, y + _HALF)]
            if strand > 0
            else [(b, y - _HALF), (neck, y - _HALF), (a, y), (neck, y + _HALF), (b, y + _HALF)]
        )
        sure = float(table["probability"].values[k]) if "probability" in table else 1.0
        ax.add_patch(
            Polygon(outline, facecolor=colour, alpha=0.2 + 0.75 * sure, edgecolor=colour, lw=0.6)
        )
        n += 1
    return n


def coding_potential(
    table: xr.Dataset, *, start: int = 0, end: int | None = None, genes: Any = None, ax: Any = None
) -> Any:
    """Draw what a network reads in the six frames, the reverse strand below.

    Parameters
    ----------
    table : of `sequences.BacterialGenes.coding_potential`.
    start, end : bp, what is shown; by default the first 20,000.
    genes : `sequences.Genes`, or their table, drawn as bars in the colour of their strand.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes
    """
    if not isinstance(table, xr.Dataset) or "potential" not in table:
        holds = ", ".join(map(str, getattr(table, "data_vars", {}))) or "no variables"
        raise ShapeError(
            f"The table has {holds}",
            "potential over frame and position was needed",
            "Pass sequences.BacterialGenes().coding_potential(genome)",
        )
    end = min(start + _WIDTH, table.sizes["position"]) if end is None else end
    if not 0 <= start < end:
        raise DataError(
            f"{start} to {end} bp came", "start below end was needed", "Swap them, or check"
        )
    shown = table.isel(position=slice(start, end))
    ax = new_axes(ax, (9.0, 3.6))
    top = float(np.nanmax(np.abs(shown["potential"].values), initial=0.1))
    for number in shown["frame"].values:
        values = shown["potential"].sel(frame=number).values
        known = np.flatnonzero(np.isfinite(values))
        # A break where a frame ends: codons are three letters apart.
        broken = np.where(np.diff(known, prepend=known[:1]) > 3, np.nan, values[known])
        lift = (2.2 * top) * (1 if number > 0 else -1)
        colour = FIT if number > 0 else EVENT
        line = (start + known) / 1e3, broken + lift
        ax.plot(*line, color=colour, lw=0.8, alpha=0.4 + 0.2 * abs(int(number)))
    if genes is not None:
        found = _table(genes)
        for k in np.flatnonzero(found["contig"].values == table.attrs.get("contig")):
            sign = int(found["strand"].values[k])
            ax.plot(
                [float(found["start"].values[k]) / 1e3, float(found["end"].values[k]) / 1e3],
                [0.35 * top * sign] * 2, lw=5, solid_capstyle="butt",
                color=FIT if sign > 0 else EVENT,
            )  # fmt: skip
    ticks = [-2.2 * top, 2.2 * top]
    for level in (0, *ticks):
        ax.axhline(level, color="#cccccc", lw=0.6, zorder=0)
    ax.set_xlim(start / 1e3, end / 1e3)
    ax.set_yticks(ticks, ["- strand", "+ strand"])
    ax.set_ylim(-3.4 * top, 3.4 * top)
    ax.set_xlabel(f"position on {table.attrs.get('contig', 'the contig')} (kb)")
    ax.set_title(f"coding potential, {top:.1f} nats per codon from line to edge")
    return ax


def start_codons(genes: Any, *, ax: Any = None) -> Any:
    """Draw how many genes begin with each codon.

    Parameters
    ----------
    genes : `sequences.Genes`, or their table.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes
    """
    table = _table(genes)
    codons, count = np.unique(table["start_codon"].values, return_counts=True)
    order = np.argsort(-count)
    ax = new_axes(ax, (4.2, 3.2))
    names = [str(c) or "not seen" for c in codons[order]]
    bars = ax.bar(names, count[order], color=FIT)
    ax.bar_label(bars)
    ax.set_ylabel("genes")
    ax.set_xlabel("start codon")
    return ax


def start_logo(
    sequences: Any, genes: Any, *, before: int = 20, after: int = 6, ax: Any = None
) -> Any:
    """Draw the letters around starts as a logo: heights are bits, in the order of their shares.

    Parameters
    ----------
    sequences : SequenceSet that the genes lie on.
    genes : `sequences.Genes`, or their table. Genes whose start was not seen are left out.
    before, after : bp that are shown before the start and from it on.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes

    Notes
    -----
    Information of Schneider & Stephens 1990 (doi:10.1093/nar/18.20.6097) against equal shares.
    """
    from matplotlib.patches import PathPatch
    from matplotlib.textpath import TextPath
    from matplotlib.transforms import Affine2D

    share = start_profile(sequences, genes, before=before, after=after)
    known = share["share"].values
    bits = 2 + (known * np.log2(np.maximum(known, 1e-12))).sum(1)
    ax = new_axes(ax, (8.0, 2.6))
    colours = dict(zip("ACGT", (FIT, DATA, EVENT, "#777777"), strict=True))
    for k, place in enumerate(share["place"].values):
        foot = 0.0
        for j in np.argsort(known[k]):
            height = known[k, j] * bits[k]
            if height < 0.002:
                continue
            letter = "ACGT"[j]
            path = TextPath((0, 0), letter, size=1)
            box = path.get_extents()
            move = (
                Affine2D()
                .translate(-box.x0, -box.y0)
                .scale(0.9 / box.width, height / box.height)
                .translate(place + 0.05, foot)
            )
            ax.add_patch(PathPatch(path.transformed(move), facecolor=colours[letter], lw=0))
            foot += height
    ax.set_xlim(-before, after)
    ax.set_ylim(0, 2)
    ax.set_xlabel("position from the start codon (bp)")
    ax.set_ylabel("bits")
    return ax


def start_profile(sequences: Any, genes: Any, *, before: int = 20, after: int = 6) -> xr.Dataset:
    """Share of each letter around the starts of genes.

    Parameters
    ----------
    sequences, genes, before, after : as for `start_logo`.

    Returns
    -------
    Dataset: ``share (place, base)``, and ``n``, the letters that were counted, over ``place``.
    """
    table = _table(genes)
    size = dict(zip(sequences.names.tolist(), sequences.lengths.tolist(), strict=True))
    texts = {str(c): sequences[str(c)].upper() for c in np.unique(table["contig"].values)}
    count = np.zeros((before + after, 4))
    pairs = str.maketrans("ACGT", "TGCA")
    seen = table["start_codon"].values != ""
    for k in np.flatnonzero(seen):
        name, strand = str(table["contig"].values[k]), int(table["strand"].values[k])
        n = size[name]
        begin = int(table["start" if strand > 0 else "end"].values[k])
        places = (
            begin + np.arange(-before, after)
            if strand > 0
            else begin - 1 - np.arange(-before, after)
        )
        for row, q in enumerate(places):
            if not 0 <= q % n == q:
                continue
            letter = texts[name][q]
            j = "ACGT".find(letter if strand > 0 else letter.translate(pairs))
            if j >= 0:
                count[row, j] += 1
    total = count.sum(1)
    return xr.Dataset(
        {
            "share": (("place", "base"), count / np.maximum(total, 1)[:, None], {"units": "1"}),
            "n": ("place", total),
        },
        coords={
            "place": ("place", np.arange(-before, after), {"units": "bp"}),
            "base": list("ACGT"),
        },
    )


def calibration(
    probability: ArrayLike, right: ArrayLike, *, n_bins: int = 10, ax: Any = None
) -> Any:
    """Draw how often what is called at a probability is right.

    Parameters
    ----------
    probability : (call,). right : (call,), 1 or 0; other values are left out.
    n_bins : of equal width.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes
    """
    p, r = np.asarray(probability, float), np.asarray(right)
    if p.shape != r.shape or p.ndim != 1:
        raise ShapeError(
            f"probability has shape {p.shape}, right {r.shape}",
            "One of each for every call was needed",
            "Pass genes.table['probability'] and genes.is_right(genome)",
        )
    p, r = p[(r == 0) | (r == 1)], r[(r == 0) | (r == 1)]
    ax = new_axes(ax, (4.2, 3.2))
    ax.plot([0, 1], [0, 1], color="#999999", lw=1, ls="--")
    at = np.minimum((p * n_bins).astype(int), n_bins - 1)
    for k in range(n_bins):
        n = int((at == k).sum())
        if n < _FEWEST:
            continue
        hits = int(r[at == k].sum())
        low, high = binomial_interval(hits, n)
        x, y = float(p[at == k].mean()), hits / n
        ax.errorbar(x, y, [[y - low], [high - y]], fmt="o", color=FIT, capsize=3)
        ax.annotate(str(n), (x, y), textcoords="offset points", xytext=(6, -10), fontsize=8)
    ax.set_xlabel("probability")
    ax.set_ylabel("share that is right")
    ax.set_xlim(0, 1.02)
    ax.set_ylim(0, 1.05)
    return ax
