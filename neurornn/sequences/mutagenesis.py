"""Saturation mutagenesis in silico: what every letter at every position changes in a score."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import check_choice, check_confidence_level, check_labels
from neurornn._core.confidence import Estimate, to_dataset
from neurornn._core.errors import DataError
from neurornn._core.jobs import one_thread, progress_bar
from neurornn.data.alphabets import ALPHABETS
from neurornn.data.sequence_sets import SequenceSet
from neurornn.sequences.mutation_scores import one_sequence, over_networks, scorer_of

#: What the sign of an effect says, in words.
SIGN = "score of the mutant minus score of the wild type: above 0 the mutant scores higher"


def mutate_all(
    model: Any,
    sequence: SequenceSet | str,
    *,
    positions: ArrayLike | None = None,
    read: str | int | None = None,
    output: int | str | None = None,
    alphabet: str | None = None,
    ambiguous: str = "zeros",
    confidence_level: float = 0.95,
    batch_size: int | None = None,
    reuse: bool | None = None,
    progress: bool | Callable[[int, int], None] = False,
) -> xr.Dataset:
    """Put every other letter at every position of a sequence, and score each mutant.

    Parameters
    ----------
    model : a model of `nr.models`, a fit of one, a fitted `SpliceSites` or another estimator that
        takes letters, or a function of one-hot arrays (sequence, position, letter), float32, that
        gives (sequence,)
        A list of them, several seeds for example, gives intervals; so do the networks of
        `SpliceSites`.
    sequence : the letters, or a SequenceSet of one sequence.
    positions : (position,), 0-based, those that are changed; all by default.
    read : ``"last"``, ``"mean"`` or a position: where the output of a model of `nr.models` is read
        By default the last step, of a model that looks ahead the mean over all.
    output : number or label of the output that is read, where a model has several.
    alphabet : of letters that come as a string: ``"dna"`` (default), ``"rna"`` or ``"protein"``.

    Other Parameters
    ----------------
    ambiguous : ``"zeros"`` leaves N and other ambiguous letters without input, ``"fractions"``
        shares 1 among what they stand for; as in training, see `SequenceSet.one_hot`.
    confidence_level : of the intervals.
    batch_size : sequences that go through together; by default 32, and 256 of a function or an
        estimator.
    reuse : whether a mutant begins in the state that the sequence has before the mutation
        By default wherever that is known to give the same: one-way LSTM, GRU, LeakyRNN and
        VanillaRNN, `ReverseComplementTied`, and bidirectional layers alone. True asks it of a
        model of your own, all of whose memory must be in its states.
    progress : show a bar, or a callable ``(done, total)``.

    Returns
    -------
    Dataset over ``position`` and ``letter``
        ``effect``, the change of the score, 0 for the letter that stands there, with its interval
        over networks; ``wild_type_score``; ``wild_type (position)``, the letters; and
        ``is_wild_type (position, letter)``. Of several networks also ``effect_of_network
        (network, position, letter)``. Attributes of ``effect`` state the unit and the sign.

    Raises
    ------
    KindError, DataError, ShapeError, NameUnknownError
        No model or sequence, a model of another alphabet, an output, place or position that is
        none, a letter outside the alphabet.

    Notes
    -----
    A network that carries a state has seen nothing of a mutation before its position. All mutants
    of 1 kb therefore cost about half as much as from the first letter on. Read at one place they
    give the same numbers to the last bit where batches are equally large, and the same mean up
    to rounding. Of networks that are run from both ends the two parts are added up.

    A position whose letter is not known (N) has the effect of every letter against not known.

    References
    ----------
    Zhou & Troyanskaya 2015, doi:10.1038/nmeth.3547 (mutagenesis in silico); Nair et al. 2022,
    doi:10.1093/bioinformatics/btac135 (what a mutation cannot change is not computed again).

    Examples
    --------
    >>> import neurornn as nr
    >>> model = nr.models.LSTM(4, 8, 1, dt=1.0, time_unit="bp", rng=0)
    >>> table = mutate_all(model, "ACGTTGCA")
    >>> table["effect"].dims, table["effect"].shape, "".join(table["wild_type"].values)
    (('position', 'letter'), (8, 4), 'ACGTTGCA')
    >>> float(table["effect"].sel(position=0, letter="A"))
    0.0
    """
    level = check_confidence_level(confidence_level)
    check_choice(ambiguous, "ambiguous", ("zeros", "fractions"))
    one = one_sequence(sequence, alphabet)
    kind = ALPHABETS[one.alphabet]
    scorer = scorer_of(model, read, output, batch_size, reuse, one.alphabet)
    length = int(one.lengths[0])
    scorer.check(kind, length)
    at = _positions(positions, length)
    codes = one.codes()[0]
    wild = np.asarray(one.one_hot(layout="base_last", ambiguous=ambiguous).values[0])  # type: ignore[arg-type]
    read_at = at
    if scorer.seen is not None:
        # Letters that are not read change nothing, not even a rounding.
        read_at = at[(at >= scorer.seen[0]) & (at < scorer.seen[1])]
    where, letter = _mutants(codes, read_at, len(kind.bases))
    rows = np.eye(len(kind.bases), dtype=wild.dtype)[letter]
    place, networks = scorer.place(length), scorer.networks
    scores, itself = np.empty((len(networks), len(where))), np.empty(len(networks))
    total = sum(-(-len(where) // n.batch_size) for n in networks)
    with one_thread(), progress_bar(total, 0, progress, "batches of mutants") as tick:
        for k, network in enumerate(networks):
            itself[k], scores[k] = network.mutants(wild, where, rows, place, tick)
    effect = np.zeros((len(networks), length, len(kind.bases)))
    effect[:, where, letter] = scores - itself[:, None]
    known = codes < len(kind.bases)
    is_wild = (np.arange(len(kind.bases)) == codes[:, None]) & known[:, None]
    texts = np.array([kind.order[c] for c in codes])
    mean, ci, said = over_networks(effect[:, at], level)
    mean_itself, ci_itself, _ = over_networks(itself, level)
    of, dims = scorer.long_name, ("position", "letter")
    table = to_dataset(
        [
            Estimate(
                name="effect", value=mean, ci=ci, units=scorer.units, dims=dims,
                long_name=f"change of {of}", attrs={"sign": SIGN}, **said,
            ),
            Estimate(
                name="wild_type_score", value=mean_itself, ci=ci_itself, units=scorer.units,
                long_name=f"{of} of the wild type", **said,
            ),
        ],
        confidence_level=level, coords={"letter": list(kind.bases)},
    )  # fmt: skip
    more: dict[str, Any] = {
        "wild_type": ("position", texts[at], {"long_name": "letter of the wild type"}),
        "is_wild_type": (dims, is_wild[at]),
    }
    if len(networks) > 1:
        attrs = {**table["effect"].attrs, "method": "each network by itself"}
        more["effect_of_network"] = (("network", *dims), effect[:, at], attrs)
    place_attrs = {"units": kind.units, "long_name": "position, counted from 0"}
    return table.assign(more).assign_coords(position=("position", at, place_attrs)).assign_attrs(
        alphabet=one.alphabet, name=str(one.names[0]), n_networks=len(networks),
        read=str(scorer.read), ambiguous=ambiguous,
    )  # fmt: skip


def _positions(positions: ArrayLike | None, length: int) -> NDArray[np.int64]:
    if positions is None:
        return np.arange(length)
    at = np.atleast_1d(check_labels(positions, "positions"))
    whole = at.dtype.kind in "iu" and at.ndim == 1 and len(at) > 0
    if not whole or at.min() < 0 or at.max() >= length or len(np.unique(at)) < len(at):
        raise DataError(
            f"positions is {np.array2string(at, threshold=6)}",
            f"Whole numbers from 0 to {length - 1}, each once, were needed",
            "Leave positions out for all of them",
        )
    return np.asarray(np.sort(at), dtype=np.int64)


def _mutants(
    codes: NDArray[np.uint8], at: NDArray[np.int64], n_letters: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Position and letter of every mutant, in the order of the positions."""
    where = np.repeat(at, n_letters)
    letter = np.tile(np.arange(n_letters), len(at))
    other = letter != codes[where]
    return where[other], letter[other]
