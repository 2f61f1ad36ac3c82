"""Pictures of what mutations change, and logos of aligned sequences or of effects."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn.data.alphabets import ALPHABETS
from neurornn.data.sequence_sets import SequenceSet
from neurornn.plot.letters import colour_of, draw_letter
from neurornn.plot.style import new_axes, unit_label

#: Positions up to which every letter of the wild type is written, and letters above which none is.
_WRITTEN = 160
#: Width of a letter against that of its place.
_WIDE = 0.9
#: Share of the largest height below which a letter is not drawn.
_LEAST = 1e-3


def _table(table: Any) -> xr.Dataset:
    wanted = {"effect", "wild_type", "is_wild_type"}
    if not isinstance(table, xr.Dataset) or not wanted <= set(table.variables):
        raise ShapeError(
            f"A {type(table).__name__} came without effect, wild_type and is_wild_type",
            "The table of sequences.mutate_all was needed, over position and letter",
            "Pass nr.sequences.mutate_all(model, sequence)",
        )
    return table


def mutation_map(table: xr.Dataset, *, limit: float | None = None, ax: Any = None) -> Any:
    """Draw what every letter at every position changes, as a map.

    Parameters
    ----------
    table : of `sequences.mutate_all`.
    limit : effect at which the colours end, on both sides of 0; the largest by default.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes
        Red where the mutant scores higher, blue where it scores lower. The wild type is written
        in its cells; of more than 160 positions a point stands there.

    Raises
    ------
    ShapeError, DataError
        Another table, or a limit that is none.
    """
    t = _table(table)
    effect = t["effect"].transpose("letter", "position")
    letters = [str(c) for c in t["letter"].values]
    at = t["position"].values
    top = float(np.nanmax(np.abs(effect.values))) if limit is None else float(limit)
    if limit is not None and not (np.isfinite(top) and top > 0):
        raise DataError(
            f"limit is {limit!r}", "A number above 0 was needed", "Leave it out for the largest"
        )
    ax = new_axes(ax, (min(max(3.0, 0.16 * len(at) + 1.5), 16.0), 0.16 * len(letters) + 1.4))
    span = top if top > 0 else 1.0
    image = ax.imshow(
        effect.values, cmap="RdBu_r", vmin=-span, vmax=span, aspect="auto",
        interpolation="nearest",
    )  # fmt: skip
    rows, columns = np.nonzero(t["is_wild_type"].transpose("letter", "position").values)
    if len(at) <= _WRITTEN:
        for row, column in zip(rows, columns, strict=True):
            ax.text(column, row, letters[row], ha="center", va="center", fontsize=7)
    else:
        ax.plot(columns, rows, ".", color="#222222", ms=2)
    ax.set_yticks(range(len(letters)), letters)
    step = max(1, -(-len(at) // 12))
    ticks = np.arange(0, len(at), step)
    ax.set_xticks(ticks, [str(at[k]) for k in ticks])
    ax.set_xlabel(unit_label(t["position"], "position"))
    bar = ax.figure.colorbar(image, ax=ax, pad=0.01)
    bar.set_label(unit_label(t["effect"], t["effect"].attrs.get("long_name", "effect")))
    return ax


def sequence_logo(data: Any, *, correct: bool = True, ax: Any = None) -> Any:
    """Draw aligned sequences, or the effects of mutations, as a logo.

    Parameters
    ----------
    data : SequenceSet or list of strings of one length, or the table of `sequences.mutate_all`
        Of sequences the heights are bits, see `logo_heights`. Of effects the letter of the wild
        type is as high as the other letters lower the score on average, and stands below 0 where
        they raise it.
    correct : take from the bits of sequences what a small sample shows by chance.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes
        The largest letter on top.

    References
    ----------
    Schneider & Stephens 1990, doi:10.1093/nar/18.20.6097.
    """
    if isinstance(data, xr.Dataset) and "effect" in data:
        t = _table(data)
        other = t["effect"].where(~t["is_wild_type"]).mean("letter")
        height = (-other).where(t["is_wild_type"], 0.0).transpose("position", "letter")
        label = unit_label(t["effect"], "mean fall of the score")
    else:
        t = data if isinstance(data, xr.Dataset) else logo_heights(data, correct=correct)
        if "height" not in t:
            raise ShapeError(
                f"The table holds {', '.join(map(str, t.data_vars)) or 'nothing'}",
                "The table of mutate_all or of logo_heights, or sequences, was needed",
                "Pass nr.plot.logo_heights(sequences)",
            )
        height, label = t["height"], "bits"
    values, letters = height.values, [str(c) for c in height["letter"].values]
    at = height["position"].values
    ax = new_axes(ax, (min(max(3.0, 0.22 * len(at) + 1.0), 16.0), 2.4))
    least = _LEAST * float(np.abs(values).max(initial=0.0))
    for k in range(len(at)):
        up = down = 0.0
        for j in np.argsort(np.abs(values[k]), kind="stable"):
            size = float(values[k, j])
            if abs(size) <= least:
                continue
            foot = up if size > 0 else down
            left = float(at[k]) - _WIDE / 2
            colour = colour_of(letters[j], len(letters))
            draw_letter(ax, letters[j], left, foot, _WIDE, size, colour)
            if size > 0:
                up += size
            else:
                down += size
    low, high = (
        float(np.minimum(values, 0).sum(1).min()),
        float(np.maximum(values, 0).sum(1).max()),
    )
    ax.set_xlim(float(at[0]) - 0.6, float(at[-1]) + 0.6)
    if label == "bits":
        low, high = 0.0, float(np.log2(len(letters)))
    if high > low:
        ax.set_ylim(1.05 * low if low < 0 else 0.0, 1.05 * high if label != "bits" else high)
    if low < 0:
        ax.axhline(0.0, color="#222222", lw=0.6)
    ax.set_xlabel(unit_label(height["position"], "position"))
    ax.set_ylabel(label)
    return ax


def logo_heights(sequences: SequenceSet | Sequence[str], *, correct: bool = True) -> xr.Dataset:
    """Heights of letters in the logo of aligned sequences, bits.

    Parameters
    ----------
    sequences : SequenceSet or list of strings, of one length; strings are taken for DNA.
    correct : take off the bits that so few sequences show by chance, as below.

    Returns
    -------
    Dataset over ``position`` and ``letter``
        ``share (position, letter)``; ``information (position)``, bits, which can fall below 0 with
        the correction; ``height (position, letter)``, bits, share times information, 0 where that
        is below 0; ``n (position)``, letters that were counted: those that are known.

    Raises
    ------
    KindError, ShapeError, DataError
        No sequences, of several lengths, or a position without a letter that is known.

    Notes
    -----
    With shares f of s letters, the information is ``log2(s) - (H + e(n))``, where
    ``H = -sum f log2 f`` and ``e(n) = (s - 1) / (2 ln 2 n)`` is the mean by which the entropy of n
    letters falls short (Schneider & Stephens 1990, doi:10.1093/nar/18.20.6097; the term is that of
    Miller 1955 and Basharin 1959).

    Examples
    --------
    >>> found = logo_heights(["ACG", "ACT", "ACG", "ACT"], correct=False)
    >>> found["information"].values.tolist()
    [2.0, 2.0, 1.0]
    """
    if not isinstance(sequences, SequenceSet):
        texts = list(sequences) if isinstance(sequences, Sequence | np.ndarray) else []
        if isinstance(sequences, str) or not texts or not all(isinstance(s, str) for s in texts):
            raise KindError(
                f"A {type(sequences).__name__} came as sequences",
                "A SequenceSet or a list of strings of one length was needed",
                "Pass [sequence] for a single one",
            )
        names = [f"sequence {k}" for k in range(len(texts))]
        sequences = SequenceSet.from_sequences(names, texts)
    if not len(sequences):
        raise DataError("No sequences came", "At least one was needed", "Check the selection")
    kind, codes = ALPHABETS[sequences.alphabet], sequences.codes()
    s = len(kind.bases)
    count = (codes[:, :, None] == np.arange(s)).sum(axis=0)
    n = count.sum(axis=1)
    if not n.all():
        raise DataError(
            f"No sequence has a known letter at position {int(np.argmin(n))}",
            "One known letter at every position was needed",
            "Leave that position out",
        )
    share = count / n[:, None]
    entropy = -(share * np.log2(np.where(share > 0, share, 1.0))).sum(axis=1)
    information = np.log2(s) - entropy
    if correct:
        information = information - (s - 1) / (2 * np.log(2) * n)
    bits = {"units": "bits"}
    return xr.Dataset(
        {
            "height": (
                ("position", "letter"), share * np.maximum(information, 0)[:, None],
                {**bits, "long_name": "height of a letter"},
            ),
            "share": (("position", "letter"), share, {"units": "1"}),
            "information": ("position", information, {**bits, "long_name": "information"}),
            "n": ("position", n, {"units": "1", "long_name": "letters counted"}),
        },
        coords={
            "position": ("position", np.arange(codes.shape[1]), {"units": kind.units}),
            "letter": list(kind.bases),
        },
    )  # fmt: skip
