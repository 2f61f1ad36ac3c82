"""Splice sites that a variant makes stronger or weaker, within some letters of it."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurornn.data.alphabets import ALPHABETS
from neurornn.data.sequence_sets import SequenceSet
from neurornn.sequences.splice_sites import LETTERS
from neurornn.sequences.variant_windows import Change, Letters, one_hot_of, stretch

#: Key of a site: its strand, and the place of its first letter in the direction of reading.
Site = tuple[int, int]
#: What is told of the largest gain and of the largest loss.
TOLD = ("change", "position", "strand", "odds_ref", "odds_alt")


class Sites(NamedTuple):
    """Sites of some letters, and the windows in which they are read.

    Attributes
    ----------
    keys : strand and place on the reference, of each site.
    windows : (position,) each, in the direction of reading.
    """

    keys: list[Site]
    windows: list[Letters]


def sites_around(
    genome: SequenceSet, change: Change, model: Any, distance: int, strands: tuple[int, ...]
) -> tuple[Sites, Sites]:
    """Sites within some letters of a variant, with the reference and with the alternative.

    Parameters
    ----------
    genome : sequences. change : of `change_of`. model : a fitted `SpliceSites`.
    distance : bp from the letters that change. strands : 1, -1 or both.

    Notes
    -----
    A place of the alternative is told where the same letter has it on the reference; what is
    inserted counts as the letter that it replaces, or the one before which it stands.
    """
    row, start, stop, new = change
    reach = distance + int(model.n_positions_)
    begin, end = start - reach, stop + reach
    reference = stretch(genome, row, begin, end)
    alternative = np.concatenate([reference[:reach], new, reference[len(reference) - reach :]])
    places = np.arange(begin, end)
    inside = start + np.minimum(np.arange(len(new)), max(stop - start - 1, 0))
    moved = np.concatenate([places[:reach], inside, places[len(places) - reach :]])
    near = (start - distance, max(stop - 1, start) + distance)
    return tuple(  # type: ignore[return-value]
        _sites(letters, where, near, model, strands)
        for letters, where in ((reference, places), (alternative, moved))
    )


def _sites(
    letters: Letters, places: NDArray[np.int64], near: tuple[int, int], model: Any,
    strands: tuple[int, ...],
) -> Sites:  # fmt: skip
    found = Sites([], [])
    complement = ALPHABETS["dna"].complement
    one, other = (ord(c) for c in LETTERS[model.site])
    for strand in strands:
        read, where = letters, places
        if strand < 0:
            read, where = complement[letters[::-1]], places[::-1]  # type: ignore[index]
        upper = read & 0xDF
        first = model.position_
        hits = np.flatnonzero((upper[:-1] == one) & (upper[1:] == other))
        for k in hits:
            place, a = int(where[k]), int(k) - first
            if near[0] <= place <= near[1] and a >= 0 and a + model.n_positions_ <= len(read):
                found.keys.append((strand, place))
                found.windows.append(read[a : a + model.n_positions_])
    return found


def changes(
    pairs: list[tuple[Sites, Sites]], networks: Any, shift: float, ambiguous: str
) -> dict[str, NDArray[np.float64]]:
    """Largest gain and largest loss of the probability of a site, for each variant.

    Parameters
    ----------
    pairs : of `sites_around`, for each variant.
    networks : of a `Scorer`, whose scores are log odds.
    shift : of all log odds, nats: what sites are rarer or more frequent than in the training.
    ambiguous : see `SequenceSet.one_hot`.

    Returns
    -------
    ``gain_...`` and ``loss_...`` of `TOLD`, (variant,): the change of the probability, its place
    (NaN where nothing gains, or loses), its strand, and the log odds there with the reference and
    with the alternative, NaN where the two letters are not there. ``gain_network`` and
    ``loss_network``, (network, variant), what each network says of the same site.
    """
    rows: dict[bytes, int] = {}
    kept: list[Letters] = []
    for sites in (s for pair in pairs for s in pair):
        for window in sites.windows:
            # Windows without the variant come twice, and neighbouring variants share them.
            if rows.setdefault(window.tobytes(), len(kept)) == len(kept):
                kept.append(window)
    odds = np.empty((len(networks), len(kept)))
    if kept:
        hot = one_hot_of(kept, ambiguous)
        for k, network in enumerate(networks):
            odds[k] = network.scores(hot, None, lambda: None) + shift
    told = {
        f"{way}_{name}": np.full(len(pairs), np.nan) for way in ("gain", "loss") for name in TOLD
    }
    for way in ("gain", "loss"):
        told[f"{way}_change"][:] = told[f"{way}_strand"][:] = 0
        told[f"{way}_network"] = np.zeros((len(networks), len(pairs)))
    for v, pair in enumerate(pairs):
        here, there = ({} for _ in pair)  # type: dict[Site, int], dict[Site, int]
        for table, sites in zip((here, there), pair, strict=True):
            for key, window in zip(sites.keys, sites.windows, strict=True):
                row = rows[window.tobytes()]
                # Of several letters that are inserted at one place the best counts.
                if key not in table or odds[:, row].mean() > odds[:, table[key]].mean():
                    table[key] = row
        keys = sorted({*here, *there}, key=lambda s: (s[1], -s[0]))
        if not keys:
            continue
        none = np.full(len(networks), -np.inf)
        ref = np.array([odds[:, here[s]] if s in here else none for s in keys]).T
        alt = np.array([odds[:, there[s]] if s in there else none for s in keys]).T
        delta = _chance(alt.mean(axis=0)) - _chance(ref.mean(axis=0))
        for way, sign in (("gain", 1), ("loss", -1)):
            best = int(np.argmax(sign * delta))
            if sign * delta[best] <= 0:
                continue
            means = [float(x[:, best].mean()) for x in (ref, alt)]
            means = [m if np.isfinite(m) else float("nan") for m in means]
            values = (abs(delta[best]), keys[best][1], keys[best][0], *means)
            for name, value in zip(TOLD, values, strict=True):
                told[f"{way}_{name}"][v] = value
            each = _chance(alt[:, best]) - _chance(ref[:, best])
            told[f"{way}_network"][:, v] = sign * each
    return told


def _chance(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of log odds."""
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-odds)))
