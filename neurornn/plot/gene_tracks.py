"""Pictures of genes: along a genome, their starts, and whether their probabilities hold."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import check_count, check_numbers
from neurornn._core.confidence import binomial_interval
from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError, nearest
from neurornn.data.contigs import matched_names
from neurornn.data.feature_tables import lost_contigs
from neurornn.data.sequence_sets import SequenceSet
from neurornn.plot.letters import draw_letter
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
    start, end : bp, what is shown; by default 20,000 from `start`, or to the contig's end.
    annotation : features over ``feature``, or a genome that has them; coding sequences are drawn
        below.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes

    Raises
    ------
    NameUnknownError, DataError, KindError, ShapeError
        No such contig, or one that the annotation calls otherwise; nothing to show; another table.
    """
    table = _table(genes)
    chosen = contig_shown(table, contig)
    size = contig_length(genes, annotation, chosen)
    start, end = range_shown(start, end, size)
    features = coding_of(annotation, chosen)
    ax = new_axes(ax, (9.0, 2.4 if annotation is None else 3.4))
    n = _draw(ax, table, table["contig"].values == chosen, (start, end), 0.0, FIT, size)
    if features is not None:
        coding = (features["type"].values == "CDS") & (features["contig"].values == chosen)
        _draw(ax, features, coding, (start, end), -3.0, DATA, size)
    ax.set_xlim(start / 1e3, end / 1e3)
    ticks, labels = [1.0, 0.0], ["found, +", "found, -"]
    if annotation is not None:
        ticks, labels = [*ticks, -2.0, -3.0], [*labels, "annotated, +", "annotated, -"]
    ax.set_yticks(ticks, labels)
    ax.set_ylim(min(ticks) - 0.7, 1.7)
    ax.set_xlabel(f"position on {chosen} (kb)")
    ax.set_title(f"{n} gene{'s' * (n != 1)} found between {start:,} and {end:,} bp")
    return ax


def contig_shown(table: xr.Dataset, contig: str | None) -> str:
    """The contig that was asked for, or the first with genes."""
    names = np.unique(table["contig"].values).tolist()
    if not names:
        raise DataError(
            "There are no genes",
            "At least one was needed",
            "Is this the genome? For bacteria, lower min_probability",
        )
    chosen = str(table["contig"].values[0]) if contig is None else contig
    if chosen not in names:
        raise NameUnknownError(
            f"No genes lie on {chosen!r}",
            "The name of a contig was needed",
            nearest(chosen, names),
        )
    return chosen


def range_shown(start: int, end: int | None, size: int | None) -> tuple[int, int]:
    """What is shown, bp, of a contig whose length may be known."""
    start = check_count(start, "start", least=0)
    if size is not None and start >= size:
        raise DataError(
            f"start is {start}, and the contig has {size} bp",
            "A start inside the contig was needed",
            "Pass one below its length",
        )
    if end is None:
        return start, start + _WIDTH if size is None else min(start + _WIDTH, size)
    end = check_count(end, "end", least=0)
    if start >= end:
        raise DataError(
            f"{start} to {end} bp came", "start below end was needed", "Swap them, or check"
        )
    return start, end


def contig_length(genes: Any, annotation: Any, contig: str) -> int | None:
    """Length of a contig, bp; None where nothing tells it."""
    about = getattr(genes, "contigs", None)
    if isinstance(about, xr.Dataset):
        known = dict(zip(about["contig"].values.tolist(), about["length"].values, strict=True))
    elif isinstance(annotation, SequenceSet):
        known = dict(zip(annotation.names.tolist(), annotation.lengths, strict=True))
    else:
        known = {}
    return int(known[contig]) if contig in known else None


def coding_of(annotation: Any, contig: str) -> xr.Dataset | None:
    """Features of an annotation, which has to call the contig by its name."""
    if annotation is None:
        return None
    features = annotation.features if isinstance(annotation, SequenceSet) else annotation
    if features is None or not isinstance(features, xr.Dataset) or "type" not in features:
        raise KindError(
            f"A {type(annotation).__name__} without features came as annotation",
            "Features, or a genome that has them, were needed",
            'Open it: nr.open("genes.gff3"), or nr.open("genome.gbk").features',
        )
    names = np.unique(features["contig"].values).tolist()
    if contig not in names and matched_names(names, [contig]):
        raise lost_contigs(list(matched_names(names, [contig])), [contig])
    return features


def _draw(
    ax: Any, table: xr.Dataset, rows: NDArray[np.bool_], shown: tuple[int, int], level: float,
    colour: Any, size: int | None,
) -> int:  # fmt: skip
    """Draw arrows in the direction of reading; return how many genes."""
    from matplotlib.patches import Polygon

    point = _POINT * (shown[1] - shown[0]) / 1e3
    n = 0
    for k in np.flatnonzero(rows):
        first, last = int(table["start"].values[k]), int(table["end"].values[k])
        # Across the origin of a ring: what lies behind it is drawn at the beginning too.
        turns = (0, size) if size is not None and last > size else (0,)
        places = [(first - t, last - t) for t in turns]
        places = [(a, b) for a, b in places if b > shown[0] and a < shown[1]]
        strand = int(table["strand"].values[k])
        y = level + (1.0 if strand > 0 else 0.0)
        sure = float(table["probability"].values[k]) if "probability" in table else 1.0
        for a, b in np.array(places, float).reshape(-1, 2) / 1e3:
            tip = min(point, b - a)
            neck = b - tip if strand > 0 else a + tip
            outline = (
                [(a, y - _HALF), (neck, y - _HALF), (b, y), (neck, y + _HALF), (a, y + _HALF)]
                if strand > 0
                else [(b, y - _HALF), (neck, y - _HALF), (a, y), (neck, y + _HALF), (b, y + _HALF)]
            )
            alpha = 0.2 + 0.75 * sure
            ax.add_patch(Polygon(outline, facecolor=colour, alpha=alpha, edgecolor=colour, lw=0.6))
        n += bool(places)
    return n


def coding_potential(
    table: xr.Dataset, *, start: int = 0, end: int | None = None, genes: Any = None, ax: Any = None
) -> Any:
    """Draw what a network reads in the six frames, the reverse strand below.

    Parameters
    ----------
    table : of `sequences.BacterialGenes.coding_potential`.
    start, end : bp, what is shown; by default 20,000 from `start`, or to the contig's end.
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
    start, end = range_shown(start, end, table.sizes["position"])
    end = min(end, table.sizes["position"])
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
    before, after : bp that are shown before the start and from it on; one of them may be 0.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes

    Notes
    -----
    Information of Schneider & Stephens 1990 (doi:10.1093/nar/18.20.6097) against equal shares.
    """
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
            draw_letter(ax, letter, place + 0.05, foot, 0.9, height, colours[letter])
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
        Places beyond the end of a contig are not counted; those of a circular one lie behind its
        origin.
    """
    table = _table(genes)
    if not isinstance(sequences, SequenceSet):
        raise KindError(
            f"A {type(sequences).__name__} came as sequences",
            "The SequenceSet that the genes lie on was needed",
            "Open it with nr.open",
        )
    before, after = check_count(before, "before", 0), check_count(after, "after", 0)
    if not before + after:
        raise DataError(
            "before and after are 0", "One place or more was needed", "Raise one of them"
        )
    size = dict(zip(sequences.names.tolist(), sequences.lengths.tolist(), strict=True))
    turns = dict(zip(sequences.names.tolist(), sequences.circular.tolist(), strict=True))
    texts = {
        str(c): sequences[str(c)].upper().replace("U", "T")
        for c in np.unique(table["contig"].values)
    }
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
            if not (0 <= q < n or turns[name]):
                continue
            letter = texts[name][q % n]
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
    probability : (call,); what is missing is left out. right : (call,), 1 or 0; other values are
        left out.
    n_bins : of equal width; those of fewer than ten calls are left out.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes
    """
    n_bins = check_count(n_bins, "n_bins")
    p, r = check_numbers(probability, "probability", missing=True), np.asarray(right)
    if p.shape != r.shape or p.ndim != 1:
        raise ShapeError(
            f"probability has shape {p.shape}, right {r.shape}",
            "One of each for every call was needed",
            "Pass genes.table['probability'] and genes.is_right(genome)",
        )
    if ((p < 0) | (p > 1)).any():
        raise DataError(
            f"probability goes from {np.nanmin(p):g} to {np.nanmax(p):g}",
            "Numbers of 0 to 1 were needed",
            "Are these log odds, or per cent?",
        )
    counted = ((r == 0) | (r == 1)) & np.isfinite(p)
    p, r = p[counted], r[counted]
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
