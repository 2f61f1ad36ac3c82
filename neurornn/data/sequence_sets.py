"""Sets of DNA, RNA or protein sequences: bytes that stay on disk until a model asks for them."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol, overload

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, DTypeLike, NDArray

from neurornn._core.checks import check_choice
from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError, nearest
from neurornn.data.alphabets import ALPHABETS, Alphabet
from neurornn.data.contigs import contig_row, contig_rows
from neurornn.data.feature_tables import (
    check_columns,
    check_places,
    move_features,
    take_features,
    turn_features,
)
from neurornn.data.one_hot import (
    LAYOUTS,
    channels_of,
    chosen_encoding,
    encode,
    encoding_table,
    refused_letter,
)

#: Code of a position beyond the end of a shorter sequence.
PADDING = 255


class Letters(Protocol):
    """Letters that are read when they are asked for: an array, or a file that answers like one.

    Slices give (byte,) uint8, ``ndim`` is 1.
    """

    dtype: np.dtype
    ndim: int

    def __len__(self) -> int: ...
    def __getitem__(self, key: slice, /) -> NDArray[np.uint8]: ...


class SequenceSet:
    """Named sequences in one byte buffer, sliced without copying.

    Positions are 0-based and half-open. Lower case (soft-masked) letters are kept in the buffer
    and read as upper case; letters outside IUPAC raise as soon as they are coded.

    Parameters
    ----------
    buffer : (byte,), uint8, or a path
        ASCII letters of all sequences, without line breaks. A path is memory-mapped, so that a
        genome costs no memory until it is read; so is a file that `neurornn.io.open` leaves on
        disk, whose letters come through `fetch`, `letters` and ``[name]`` as those of an array do.
    starts, stops : (sequence,)
        Where each sequence lies in the buffer, half-open.
    names : one for each sequence.
    alphabet : ``"dna"``, ``"rna"`` or ``"protein"``.
    labels : name -> (sequence,), what is to be predicted.
    groups : name -> (sequence,), what must not be split between train and test: species, family.
    features : Dataset over ``feature``, see `neurornn.data.features_from_records`
        Genes, coding sequences and others. They go with their sequences into a subset, and onto
        the other strand; of `slice` those that lie whole inside it are kept.
    circular : (sequence,) bool, or one for all
        Whether the end goes on at the beginning; false by default, and after `slice`.

    Examples
    --------
    >>> genes = SequenceSet.from_sequences(["a", "b"], ["ACGTN", "ttga"])
    >>> genes[1], genes.reverse_complement()[1], genes.lengths.tolist()
    ('ttga', 'tcaa', [5, 4])
    >>> genes.slice(0, 4).codes().tolist()
    [[0, 1, 2, 3], [3, 3, 2, 0]]
    """

    def __init__(
        self,
        buffer: NDArray[np.uint8] | Letters | str | os.PathLike[str],
        starts: ArrayLike,
        stops: ArrayLike,
        names: Sequence[str],
        alphabet: str = "dna",
        *,
        labels: Mapping[str, ArrayLike] | None = None,
        groups: Mapping[str, ArrayLike] | None = None,
        features: xr.Dataset | None = None,
        circular: ArrayLike | None = None,
    ) -> None:
        if isinstance(buffer, str | os.PathLike):
            buffer = np.memmap(buffer, dtype=np.uint8, mode="r")
        if buffer.dtype != np.uint8 or buffer.ndim != 1:
            raise KindError(
                f"buffer is {buffer.ndim}-D of {buffer.dtype}",
                "A 1-D array of uint8, one ASCII letter per byte, was needed",
                "Use SequenceSet.from_sequences(names, sequences) for strings",
            )
        if alphabet not in ALPHABETS:
            raise NameUnknownError(
                f"alphabet is {alphabet!r}",
                "A known alphabet was needed",
                nearest(alphabet, ALPHABETS),
            )
        self.buffer: Any = buffer
        self.starts = np.asarray(starts, dtype=np.int64).reshape(-1)
        self.stops = np.asarray(stops, dtype=np.int64).reshape(-1)
        self.names = np.asarray(names, dtype=str).reshape(-1)
        self.alphabet = alphabet
        n = len(self.names)
        inside = self.starts.shape == self.stops.shape == (n,) and bool(
            np.all((self.starts >= 0) & (self.starts <= self.stops) & (self.stops <= len(buffer)))
        )
        if not inside:
            raise ShapeError(
                f"{n} names, {len(self.starts)} starts and {len(self.stops)} stops came for a "
                f"buffer of {len(buffer)} bytes",
                "One start and one stop inside the buffer for each name were needed",
                "Check the index of the file: 0-based, half-open, in bytes",
            )
        self.labels = _columns(labels, n, "labels")
        self.groups = _columns(groups, n, "groups")
        self.circular = _flags(circular, n)
        self.features = None if features is None else check_columns(features)
        if self.features is not None:
            twice = [name for name, k in Counter(self.names.tolist()).items() if k > 1]
            if twice:
                raise DataError(
                    f"Features came for sequences of which several are called {twice[0]!r}",
                    "A name of its own for each sequence was needed: features go by name",
                    "Rename the sequences, or leave features out",
                )
            check_places(self.features, self.names, self.lengths, self.circular)

    @classmethod
    def from_sequences(
        cls,
        names: Sequence[str],
        sequences: Sequence[str],
        alphabet: str = "dna",
        *,
        labels: Mapping[str, ArrayLike] | None = None,
        groups: Mapping[str, ArrayLike] | None = None,
        features: xr.Dataset | None = None,
        circular: ArrayLike | None = None,
    ) -> "SequenceSet":
        """Make a set from strings; every letter is checked here.

        Parameters
        ----------
        names, sequences : as many of each.
        alphabet : ``"dna"``, ``"rna"`` or ``"protein"``.
        labels, groups : name -> (sequence,).
        features : Dataset over ``feature``.
        circular : (sequence,) bool, or one for all.
        """
        if isinstance(sequences, str) or isinstance(names, str):
            raise KindError(
                "One string came for names or sequences",
                "A list of names and a list of sequences were needed",
                "Pass [name] and [sequence] for a single one",
            )
        try:
            raw = [str(s).encode("ascii") for s in sequences]
        except UnicodeEncodeError as error:
            raise DataError(
                f"A sequence holds {error.object[error.start]!r}",
                "ASCII letters were needed",
                "Was the file read with the wrong encoding or the wrong column?",
            ) from None
        edges = np.concatenate([[0], np.cumsum([len(s) for s in raw])]).astype(np.int64)
        buffer = np.frombuffer(b"".join(raw), dtype=np.uint8)
        new = cls(
            buffer,
            edges[:-1],
            edges[1:],
            names,
            alphabet,
            labels=labels,
            groups=groups,
            features=features,
            circular=circular,
        )
        new.flat_codes()
        return new

    @property
    def _kind(self) -> Alphabet:
        return ALPHABETS[self.alphabet]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(sequence,), bp or aa."""
        return self.stops - self.starts

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        text = f"{len(self)} {self.alphabet} sequences"
        if len(self):
            low, high = self.lengths.min(), self.lengths.max()
            text += f" of {low}{f' to {high}' if low < high else ''} {self._kind.units}"
        for what, columns in (("labels", self.labels), ("groups", self.groups)):
            text += f"; {what} {', '.join(columns)}" if columns else ""
        if self.circular.any():
            n = int(self.circular.sum())
            text += "; circular" if n == len(self) else f"; {n} circular"
        if self.features is not None:
            text += f"; {self.features.sizes['feature']} features"
        return f"SequenceSet({text})"

    def __iter__(self) -> Iterator[str]:
        return (self[k] for k in range(len(self)))

    @overload
    def __getitem__(self, key: int | str | np.integer) -> str: ...
    @overload
    def __getitem__(self, key: slice | Sequence[int] | NDArray[Any]) -> "SequenceSet": ...
    def __getitem__(self, key: Any) -> "str | SequenceSet":
        """Return one sequence as a string (number or name), or a subset, its letters uncopied."""
        if isinstance(key, str):
            key = contig_row(self.names, key)
        if isinstance(key, int | np.integer):
            return bytes(self.buffer[self.starts[key] : self.stops[key]]).decode("ascii")
        rows = np.arange(len(self))[key]
        return self._with(self.buffer, self.starts[rows], self.stops[rows], rows)

    def _with(
        self,
        buffer: NDArray[np.uint8],
        starts: NDArray[np.int64],
        stops: NDArray[np.int64],
        rows: NDArray[np.int64] | None = None,
    ) -> "SequenceSet":
        pick: Any = slice(None) if rows is None else rows
        new = SequenceSet(
            buffer,
            starts,
            stops,
            self.names[pick],
            self.alphabet,
            labels={k: v[pick] for k, v in self.labels.items()},
            groups={k: v[pick] for k, v in self.groups.items()},
            circular=self.circular[pick],
        )
        # Looked at when they came; here they only follow their sequences.
        if self.features is not None:
            kept = np.isin(self.features["contig"].values, new.names)
            new.features = self.features if kept.all() else take_features(self.features, kept)
        return new

    def slice(self, start: int, stop: int) -> "SequenceSet":
        """Return positions ``start`` to ``stop`` (0-based, half-open) of every sequence, uncopied.

        Raises
        ------
        ShapeError
            A sequence is shorter than `stop`; nothing is cut silently.
        """
        if not 0 <= start <= stop or (len(self) and stop > self.lengths.min()):
            shortest = int(self.lengths.min()) if len(self) else 0
            raise ShapeError(
                f"Positions {start} to {stop} came; the shortest sequence has {shortest}",
                "A half-open range inside every sequence was needed",
                "Select longer sequences first: sequences[sequences.lengths >= stop]",
            )
        new = self._with(self.buffer, self.starts + start, self.starts + stop)
        new.circular = self.circular & (self.lengths == stop - start)
        if new.features is not None:
            inside = (new.features["start"].values >= start) & (new.features["end"].values <= stop)
            # What is still circular is still whole, with what lies across its origin.
            inside |= new.circular[contig_rows(new.names, new.features["contig"].values)]
            new.features = move_features(
                take_features(new.features, inside), lambda a, b, _: (a - start, b - start)
            )
        return new

    def bytes_of(self, row: int, start: int = 0, stop: int | None = None) -> NDArray[np.uint8]:
        """Return the ASCII bytes of a stretch of one sequence, (position,); uncopied where it can.

        Parameters
        ----------
        row : number of the sequence.
        start, stop : bp or aa, 0-based and half-open; to the end by default. On a circular
            sequence `stop` may lie up to one turn beyond `start`: reading goes on at the origin.

        Raises
        ------
        ShapeError
            The stretch goes beyond the end.
        """
        length = int(self.lengths[row])
        stop = length if stop is None else stop
        turns = bool(self.circular[row])
        most = start + length if turns and 0 <= start < length else length
        if not 0 <= start <= stop <= most:
            raise ShapeError(
                f"Positions {start} to {stop} of {self.names[row]} came, which has {length} "
                f"{self._kind.units}",
                "A half-open range inside the sequence, counted from 0, was needed",
                f"Stop at {length}, or pad what is missing yourself"
                + ("" if turns else "; if it is circular, make the set with circular=True"),
            )
        first = int(self.starts[row])
        if stop <= length:
            return self.buffer[first + start : first + stop]
        before = self.buffer[first + start : first + length]
        return np.concatenate([before, self.buffer[first : first + stop - length]])

    @overload
    def fetch(self, name: str, start: int = ..., stop: int | None = ...) -> str: ...
    @overload
    def fetch(
        self, name: str, start: int = ..., stop: int | None = ..., *, as_bytes: Literal[True]
    ) -> NDArray[np.uint8]: ...
    def fetch(
        self, name: str, start: int = 0, stop: int | None = None, *, as_bytes: bool = False
    ) -> "str | NDArray[np.uint8]":
        """Return the letters of an interval of one sequence; no others are read from disk.

        Parameters
        ----------
        name : of the sequence.
        start, stop : bp or aa, 0-based and half-open; to the end by default. On a circular
            sequence `stop` may lie up to one turn beyond `start`.
        as_bytes : bool
            Give (position,) ASCII bytes instead of a string.

        Raises
        ------
        NameUnknownError
            No sequence has the name; the same contig under another spelling is offered.
        ShapeError
            The interval goes beyond the end.

        Examples
        --------
        >>> SequenceSet.from_sequences(["chr1"], ["ACGTTT"]).fetch("chr1", 1, 4)
        'CGT'
        """
        letters = self.bytes_of(contig_row(self.names, name), start, stop)
        return letters if as_bytes else letters.tobytes().decode("ascii")

    def with_features(
        self, features: xr.Dataset | None, circular: ArrayLike | None = None
    ) -> "SequenceSet":
        """Return the same sequences with other features, their letters uncopied.

        Parameters
        ----------
        features : Dataset over ``feature``, or None.
        circular : (sequence,) bool, or one for all; by default as they are.
        """
        return SequenceSet(
            self.buffer,
            self.starts,
            self.stops,
            self.names.tolist(),
            self.alphabet,
            labels=self.labels,
            groups=self.groups,
            features=features,
            circular=self.circular if circular is None else circular,
        )

    def letters(self, indices: Any = None, *, pad: bool = False) -> NDArray[np.uint8]:
        """Return the ASCII bytes as stored, (sequence, position).

        Parameters
        ----------
        indices : which sequences; all by default.
        pad : bool
            Fill shorter sequences with 0 at their end; otherwise they must be equally long.
        """
        chosen = self if indices is None else self[np.atleast_1d(np.arange(len(self))[indices])]
        n, size = len(chosen), chosen.lengths
        width = int(size.max()) if n else 0
        if n and size.min() < width and not pad:
            raise ShapeError(
                f"The sequences are {size.min()} to {width} long",
                "Sequences of one length were needed for an array (sequence, position)",
                "Cut them with .slice(start, stop), or pass pad=True and use .lengths",
            )
        if n and size.min() == width and np.all(np.diff(chosen.starts) == width):
            return chosen.buffer[chosen.starts[0] : chosen.stops[-1]].reshape(n, width)
        out = np.zeros((n, width), dtype=np.uint8)
        for k in range(n):
            out[k, : size[k]] = chosen.buffer[chosen.starts[k] : chosen.stops[k]]
        return out

    def flat(self) -> NDArray[np.uint8]:
        """Return all bytes one sequence after the other, (byte,); a view where they lie so."""
        if not len(self):
            return np.empty(0, dtype=np.uint8)
        if np.array_equal(self.starts[1:], self.stops[:-1]):
            return self.buffer[self.starts[0] : self.stops[-1]]
        return np.concatenate(
            [self.buffer[a:b] for a, b in zip(self.starts, self.stops, strict=True)]
        )

    def codes(self, indices: Any = None, *, pad: bool = False) -> NDArray[np.uint8]:
        """Return letters as numbers, (sequence, position).

        0 to 3 are ACGT (ACGU), 0 to 19 the amino acids in the order of their letters; ambiguous
        letters follow (``ALPHABETS[...].order``), positions beyond the end are 255.

        Parameters
        ----------
        indices, pad : as in `letters`.
        """
        raw = self.letters(indices, pad=pad)
        names = self.names if indices is None else np.atleast_1d(self.names[indices])

        def locate(offset: int) -> str:
            row, position = divmod(offset, raw.shape[1])
            return f" in {names[row]}, position {position}"

        return self._kind.code(raw.reshape(-1), locate, pad=pad).reshape(raw.shape)

    def flat_codes(self) -> NDArray[np.uint8]:
        """Return the numbers of all letters one after the other, (letter,), as in `codes`."""

        def locate(offset: int) -> str:
            ends = np.cumsum(self.lengths)
            row = int(np.searchsorted(ends, offset, side="right"))
            return f" in {self.names[row]}, position {offset - int(ends[row] - self.lengths[row])}"

        return self._kind.code(self.flat(), locate)

    def one_hot(
        self,
        indices: Any = None,
        dtype: DTypeLike | None = None,
        *,
        ambiguous: Literal["zeros", "fractions"] = "zeros",
        pad: bool = False,
        convention: str | None = None,
        order: str | None = None,
        layout: str | None = None,
        unknown: str | None = None,
        soft_mask: str | None = None,
    ) -> xr.DataArray:
        """Return the one-hot array a model takes.

        Parameters
        ----------
        indices : which sequences; all by default.
        dtype : of the array; float32 by default.
        ambiguous : ``"zeros"`` leaves N and the other ambiguous letters empty (the input says
            "unknown"); ``"fractions"`` shares 1 among the bases they stand for: N gives 0.25 each.
        pad : bool
            Accept unequal lengths; positions beyond the end are zeros, see ``length``.
        convention : ``"spliceai"``, ``"selene"``, ``"tangermeme"`` or ``"helixer"``
            What that program takes; what is said below changes it.
        order : ``"ACGT"`` by default, or another order of these letters.
        layout : ``"base_first"``, (sequence, base, position), by default, or ``"base_last"``,
            (sequence, position, base).
        unknown : in place of `ambiguous`: ``"zeros"``; ``"quarter"``, an equal share of all bases;
            ``"fractions"``; ``"channel"``, a channel ``unknown`` behind the bases; ``"error"``.
        soft_mask : lower case is read as upper case (``"keep"``, the default), as N
            (``"unknown"``), or gets a channel ``mask`` behind the others (``"channel"``).

        Returns
        -------
        DataArray (sequence, base, position), or (sequence, position, base)
            Bases in the order ACGT (ACGU; amino acids by letter), or in `order`.

        Raises
        ------
        DataError
            A letter outside the alphabet, or one that `unknown` refuses, with its place.

        See Also
        --------
        neurornn.data.from_one_hot : the way back.
        """
        check_choice(ambiguous, "ambiguous", ("zeros", "fractions"))
        if unknown is None and (convention is None or ambiguous != "zeros"):
            unknown = ambiguous
        encoding = chosen_encoding(
            self._kind,
            convention,
            order=order,
            layout=layout,
            unknown=unknown,
            soft_mask=soft_mask,
            dtype=dtype,
        )
        rows = np.atleast_1d(np.arange(len(self))[slice(None) if indices is None else indices])
        raw = self.letters(rows, pad=pad)
        table, odd = encoding_table(self.alphabet, encoding, pad)
        out, is_odd = encode(raw, table, odd, encoding)
        if is_odd:
            self.codes(rows, pad=pad)
            raise refused_letter(raw, odd, self.names[rows].tolist(), encoding)
        return xr.DataArray(
            out,
            dims=LAYOUTS[encoding.layout],
            coords={
                "sequence": self.names[rows],
                "base": channels_of(encoding),
                "length": ("sequence", self.lengths[rows], {"units": self._kind.units}),
            },
            name="one_hot",
            attrs={
                "units": "1",
                "alphabet": self.alphabet,
                "ambiguous": encoding.unknown,
                **({"soft_mask": encoding.soft_mask} if encoding.soft_mask != "keep" else {}),
                "convention": "position is 0-based, half-open",
            },
        )

    def reverse_complement(self) -> "SequenceSet":
        """Return the other strand, IUPAC letters and case included; twice gives the set again."""
        table = self._kind.complement
        if table is None:
            raise KindError(
                "reverse_complement was asked of proteins",
                "DNA or RNA was needed",
                "Use the nucleotide sequences",
            )
        edges = np.concatenate([[0], np.cumsum(self.lengths)]).astype(np.int64)
        # All sequences turned in one go: the whole text backwards holds them in backward order.
        turned = np.take(table, self.flat()[::-1])
        new = self._with(turned, edges[-1] - edges[1:], edges[-1] - edges[:-1])
        if new.features is not None:
            new.features = turn_features(new.features, self.names, self.lengths)
        return new


def _columns(table: Mapping[str, ArrayLike] | None, n: int, what: str) -> dict[str, NDArray[Any]]:
    columns = {str(k): np.asarray(v) for k, v in (table or {}).items()}
    for name, column in columns.items():
        if column.shape[:1] != (n,):
            raise ShapeError(
                f"{what}[{name!r}] has shape {column.shape} for {n} sequences",
                "One value for each sequence was needed",
                "Select the same rows of both",
            )
    return columns


def _flags(circular: ArrayLike | None, n: int) -> NDArray[np.bool_]:
    flags = np.asarray(False if circular is None else circular)
    if flags.dtype != np.bool_ or flags.shape not in ((), (n,)):
        raise ShapeError(
            f"circular has shape {flags.shape} and type {flags.dtype} for {n} sequences",
            "One bool for each sequence, or one for all, was needed",
            "Pass circular=True, or a list of True and False",
        )
    return np.broadcast_to(flags, (n,)).copy()
