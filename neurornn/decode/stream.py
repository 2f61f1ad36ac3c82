"""A decoder on the rig: one bin in, one output out, nothing allocated, nothing forgotten."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import LONGEST_BIN, check_count, check_numbers
from neurornn._core.errors import DataError, FileFormatError, ShapeError
from neurornn._core.files import fingerprint
from neurornn._core.report import Table
from neurornn.decode.inputs import check_bin_width, check_unit_labels
from neurornn.decode.machines import Machine, make_machine
from neurornn.decode.one_bin import as_row, check_labels, wrong_buffer, wrong_counts
from neurornn.decode.preparation import Preparation
from neurornn.decode.saved_parts import as_arrays, as_table, parts_of, settings_of, tables_of
from neurornn.io.headers import plain
from neurornn.io.saved import Saved, read_saved

COUNTERS = ("bins", "missing", "late", "duplicated", "invalid", "changed_units", "restarts")
#: Tables of what changes from bin to bin.
_MEMORY = ("machine_state", "preparation_state", "stream_state")
#: Number of a bin on a clock that counts; more are stamps in ns or a broken clock.
MOST_BINS = 2**53
#: Kinds of streams of which one has run in this process: their first step is not slow.
_WARM: set[tuple[str, ...]] = set()


class Stream(Saved):
    """A decoder that takes one bin at a time; made by ``decoder.stream()`` or `nr.load`.

    Parameters
    ----------
    machine : the running part.
    preparation : counts to features.
    description : plain values that name units, outputs, bin size and errors.

    Attributes
    ----------
    output : (output,), of the last bin; a view that the next step overwrites.
    counters : dict
        ``bins`` that the decoder stepped through, and what went wrong: ``missing`` bins, stepped
        over or skipped; ``late`` and ``duplicated`` bins that were not taken, a bin with a stray
        number among the late ones; ``invalid`` counts (negative, infinite) taken as missing;
        ``changed_units`` verdicts of the watch; ``restarts`` after a long gap or a clock that was
        set back.

    Notes
    -----
    ``predict`` of the decoder runs this same stream over the recording, so that the two agree bit
    for bit. A step writes into arrays that were made at the start. Only a bin in which the watch
    finds a unit dead takes longer (a linear system of the size of the units is solved, at most
    once in a second; a unit that is found in between stands at its mean till then).

    Examples
    --------
    >>> import neurornn as nr
    >>> rng = np.random.default_rng(0)
    >>> velocity = rng.normal(size=(500, 2))
    >>> counts = rng.poisson(np.exp(0.5 * velocity @ rng.normal(size=(2, 20))))
    >>> decoder = nr.decode.RidgeDecoder(bin_size=0.05, n_lags=1).fit(counts, velocity)
    >>> stream = decoder.stream()
    >>> bool((stream.step(counts[0]) == decoder.predict(counts[:1])[0]).all())
    True
    """

    def __init__(
        self, machine: Machine, preparation: Preparation, description: Mapping[str, Any]
    ) -> None:
        self._machine, self._preparation = machine, preparation
        self.description = dict(description)
        self.bin_size = float(description["bin_size"])
        self.n_units = len(preparation.counts)
        self.n_outputs = len(machine.out)
        self._rms = np.asarray(description["error_rms"], dtype=float)
        self._reach = np.asarray(description["reach"], dtype=float)
        self._growth = np.asarray(description["growth"], dtype=float)
        self._usual = np.asarray(description["usual"], dtype=float)
        self._sd = np.zeros(self.n_outputs)
        self._counted = [0] * len(COUNTERS)
        # Number of the bin that is awaited; -1 where none has come with a number.
        self._next = -1
        # Number that was on no clock that is known; -1 where the last one was.
        self._stray = -1
        self.output = machine.out
        self._out_shape = machine.out.shape
        self._warm_up()

    def _warm_up(self) -> None:
        """Run what a step may need once in a process: it is loaded when it is first called."""
        p, machine = self._preparation, self._machine
        how = (str(machine.settings.get("cell")), str(p.settings["stand_in"]))
        kind = (machine.kind, *how, str(p.settings["smoothing"] > 0))
        if kind in _WARM:
            return
        _WARM.add(kind)
        twin = self.copy()
        p.first_units(4).warm_up()
        twin.step(p.typical)
        twin.step(None)
        _ = twin.sd

    def step(
        self,
        counts: ArrayLike | None,
        out: NDArray[Any] | None = None,
        *,
        index: int | None = None,
    ) -> NDArray[Any]:
        """Take the counts of one bin and return the decoded output.

        Parameters
        ----------
        counts : (unit,)
            NaN where a unit was not recorded; None where the whole bin is missing.
        out : (output,), floats
            Written and returned; without it a fresh array is made.
        index : number of the bin on the rig's clock; without it the bin is the next one
            Bins that were skipped are stepped over as missing; one that comes twice or too late is
            counted, not taken, and the last output is returned. After a gap of more than 5 s, or
            where the clock was set back by more, the decoder starts anew with the second bin on
            the new clock; the first, which may be a stray number, is counted as late.

        Returns
        -------
        (output,), in the unit of the targets.

        Raises
        ------
        ShapeError, KindError, DataError
            Other units than the decoder was fitted on, or a buffer that does not fit. The stream
            is as it was before.
        """
        p = self._preparation
        if counts is not None:
            row = counts
            if type(row) is not np.ndarray or row.dtype.kind not in "fiub":
                row = as_row(counts, self.description["units"])
            if row.shape != p.counts.shape or row.dtype.kind not in "fiub":
                raise wrong_counts(counts, self.n_units)
        if out is not None and (
            not isinstance(out, np.ndarray)
            or out.shape != self._out_shape
            or out.dtype.kind != "f"
        ):
            raise wrong_buffer(out, self.n_outputs)
        if index is not None:
            if not self._in_turn(index):
                return self._give(out)
        elif self._next >= 0:
            self._next += 1
        if counts is None:
            self._skip()
            return self._give(out)
        np.copyto(p.counts, row, casting="unsafe")
        n_changed, n_invalid = p.step()
        self._machine.step(p.features, p.counts, p.state["verdict"], True)
        self._counted[0] += 1
        if n_changed or n_invalid:
            self._counted[4] += n_invalid
            self._counted[5] += n_changed
        return self._give(out)

    def _give(self, out: NDArray[Any] | None) -> NDArray[Any]:
        if out is None:
            return self.output.copy()
        np.copyto(out, self.output)
        return out

    def _skip(self) -> None:
        p = self._preparation
        p.blank()
        self._machine.step(p.features, p.counts, p.state["verdict"], False)
        self._counted[0] += 1
        self._counted[1] += 1

    def _in_turn(self, index: int) -> bool:
        """Step over bins that were skipped; False where this one was already passed."""
        if type(index) not in (int, np.int64) or not 0 <= index <= MOST_BINS:
            check_count(index, "index", 0, MOST_BINS)
        awaited = self._next
        if awaited >= 0:
            longest = max(round(self.description["max_gap"] / self.bin_size), 1)
            gap = int(index) - awaited
            if -longest <= gap < 0:
                self._counted[3 if gap == -1 else 2] += 1
                return False
            if 0 <= gap <= longest:
                for _ in range(gap):
                    self._skip()
            elif self._stray < 0 or not 1 <= int(index) - self._stray <= longest:
                self._stray = int(index)
                self._counted[2] += 1
                return False
            else:
                # A clock that was set back would leave every bin to come too late.
                # Over a jump of more than a day nobody knows what was missed.
                self._counted[1] += min(max(gap - 1, 0), round(LONGEST_BIN / self.bin_size))
                self._counted[6] += 1
                self._machine.reset()
                self._preparation.reset(units=False)
        self._next, self._stray = int(index) + 1, -1
        return True

    def run(self, counts: ArrayLike) -> NDArray[np.float64]:
        """Take many bins, one after the other.

        Parameters
        ----------
        counts : (time, unit)

        Returns
        -------
        (time, output)
        """
        if isinstance(counts, xr.DataArray):
            check_labels(counts, self.description["units"])
            counts = counts.transpose("time", ...) if "time" in counts.dims else counts
        rows = check_numbers(counts, "counts")
        if rows.ndim != 2 or rows.shape[1] != self.n_units:
            raise ShapeError(
                f"counts has shape {rows.shape}",
                f"The counts of many bins of the {self.n_units} units of the fit, (time, "
                f"{self.n_units}), were needed",
                "Give every unit a place, NaN where it was not recorded; step(counts) takes one "
                "bin",
            )
        out = np.empty((len(rows), self.n_outputs))
        for row, target in zip(rows, out, strict=True):
            self.step(row, target)
        return out

    @property
    def sd(self) -> NDArray[np.float64]:
        """Sd of the error of the last output, (output,), in the unit of the targets.

        Root mean square of the error on held-out blocks, in proportion to what the decoder itself
        thinks of its error (Kalman, place, networks that disagree) and to how the errors of those
        blocks grew with the size of the output. NaN for the probabilities of labels, which have
        none.
        """
        return self._rms * self._spread()

    def _spread(self) -> NDArray[np.float64]:
        """What errors are measured in at this output: the machine's own idea, and its size."""
        self._machine.spread(self._sd)
        size = size_of(self.output[None], *self._usual)[0]
        return self._sd * (1 + self._growth * size)

    @property
    def interval(self) -> NDArray[np.float64]:
        """Predictive interval of the last output, (output, 2), conformal on held-out blocks.

        NaN for the probabilities of labels.
        """
        half = self._reach * self._spread()
        return np.stack([self.output - half, self.output + half], axis=1)

    @property
    def counters(self) -> dict[str, int]:
        """What came, by name."""
        return dict(zip(COUNTERS, self._counted, strict=True))

    @property
    def units(self) -> xr.DataArray:
        """What the watch says of a unit: live, silent or not recorded, stuck, noisy, dropped."""
        return self._preparation.report(np.asarray(self.description["units"]))

    def drop_units(self, units: ArrayLike) -> None:
        """Leave units out from now on, by their labels; an empty list takes all back.

        Raises
        ------
        DataError
            A label that the decoder does not know.
        """
        labels = np.asarray(self.description["units"])
        wanted = np.atleast_1d(np.asarray(units))
        unknown = [u for u in wanted.tolist() if u not in labels.tolist()]
        if unknown:
            raise DataError(
                f"Units {unknown} were to be dropped",
                f"Units of the decoder were needed, {labels[0]} to {labels[-1]}",
                "Look at stream.units",
            )
        self._preparation.drop(np.isin(labels, wanted))

    def check_source(
        self, *, units: ArrayLike | None = None, bin_size: float | None = None
    ) -> None:
        """Refuse a source of counts that is not the one of the fit; ask once, before the loop.

        Parameters
        ----------
        units : (unit,), labels of the units in the order in which their counts will come.
        bin_size : s, of the bins that will come.

        Raises
        ------
        ShapeError, DataError, UnitError
            Other units, another order, or bins of another width; the message says which.
        """
        if bin_size is not None:
            check_bin_width(bin_size, self.bin_size, "of the source")
        if units is not None:
            labels = np.atleast_1d(np.asarray(units))
            check_unit_labels(np.asarray(self.description["units"]), len(labels), labels)

    def reset(self, *, units: bool = False) -> None:
        """Go back to the state before the first bin, as at the start of a trial.

        Parameters
        ----------
        units : also forget what the watch has found, and means and variances that were followed.
        """
        self._machine.reset()
        self._preparation.reset(units=units)
        self._next = self._stray = -1

    def latency(self, counts: ArrayLike | None = None, *, n_steps: int = 100_000) -> xr.Dataset:
        """Time steps of a copy of this stream.

        Parameters
        ----------
        counts : (time, unit)
            What is fed, over and over; by default counts that are drawn as often as in training.
        n_steps : steps that are timed.

        Returns
        -------
        Dataset
            ``latency (step)`` and ``p50``, ``p99``, ``p99_9``, ``maximum``, all in s. On a machine
            that does other things the last two are those of its scheduler.
        """
        twin = self.copy()
        if counts is None:
            rows = self._preparation.draw(min(n_steps, 1000), np.random.default_rng(0))
        else:
            rows = np.asarray(counts, dtype=float)
        out, taken = np.zeros(self.n_outputs), np.zeros(n_steps)
        clock = time.perf_counter
        for t in range(min(n_steps, 100)):
            twin.step(rows[t % len(rows)], out)
        for t in range(n_steps):
            row = rows[t % len(rows)]
            begin = clock()
            twin.step(row, out)
            taken[t] = clock() - begin
        attrs = {"units": "s", "long_name": "time of one step"}
        table = xr.Dataset({"latency": ("step", taken, attrs)})
        for name, share in (("p50", 0.5), ("p99", 0.99), ("p99_9", 0.999), ("maximum", 1.0)):
            table[name] = ((), float(np.quantile(taken, share)), attrs)
        return table

    def copy(self) -> Self:
        """Return a stream in the same state that goes its own way."""
        twin = type(self)(
            make_machine(self._machine.kind, self._machine.arrays, self._machine.settings),
            Preparation(self._preparation.arrays, self._preparation.settings),
            self.description,
        )
        twin._take_up(*self._memory())
        return twin

    def __getstate__(self) -> dict[str, Any]:
        # Arrays of the state are parts of others, which a plain pickle would take apart.
        machine, prepared = self._machine, self._preparation
        return {
            "machine": (machine.kind, machine.arrays, machine.settings),
            "preparation": (prepared.arrays, prepared.settings),
            "description": self.description,
            "memory": self._memory(),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        machine, prepared = make_machine(*state["machine"]), Preparation(*state["preparation"])
        Stream.__init__(self, machine, prepared, state["description"])
        self._take_up(*state["memory"])

    def _memory(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        own = {
            "counted": np.array(self._counted, np.int64),
            "next": np.array([self._next, self._stray], np.int64),
            "out": self._machine.out,
        }
        return self._machine.state, self._preparation.state, own

    def _take_up(
        self, machine: Mapping[str, Any], prepared: Mapping[str, Any], own: Mapping[str, Any]
    ) -> None:
        self._machine.take_up(machine)
        self._preparation.restore(prepared)
        self._counted = [int(n) for n in own["counted"]]
        self._next = int(own["next"][0])
        self._stray = int(own["next"][1]) if len(own["next"]) > 1 else -1
        self._machine.out[...] = own["out"]

    @property
    def key(self) -> str:
        """Fingerprint of all that does not change: two streams with one key decode alike."""
        return fingerprint(
            self._machine.kind, self._machine.arrays, plain(self._machine.settings),
            self._preparation.arrays, plain(self._preparation.settings),
        )  # fmt: skip

    def restore(self, path: str | os.PathLike[str]) -> None:
        """Go on from a state that ``save`` has written.

        Parameters
        ----------
        path : of the file or folder.

        Raises
        ------
        FileFormatError
            The file holds the state of another decoder.
        """
        content = read_saved(path)
        if content.kind != "Stream" or content.settings["key"] != self.key:
            raise FileFormatError(
                f"{Path(path).name} holds {_what(content)}",
                "A state of this very decoder was needed",
                "Load the decoder it belongs to, or the whole stream with nr.load",
            )
        self._take_up(*_memory_of(content))

    def _to_saved(self) -> dict[str, Any]:
        memory = zip(_MEMORY, self._memory(), strict=True)
        return {
            "settings": {
                **settings_of(self._machine, self._preparation),
                "description": self.description,
                "key": self.key,
            },
            "tables": {
                **tables_of(self._machine, self._preparation),
                **{name: as_table(arrays) for name, arrays in memory},
            },
        }

    @classmethod
    def _from_saved(cls, content: Any) -> Self:
        machine, preparation = parts_of(content.settings, content.tables)
        self = cls(machine, preparation, content.settings["description"])
        self._take_up(*_memory_of(content))
        return self

    def report(self) -> str:
        """Return what came and what became of the units, as text."""
        return self._table().to_text()

    def _repr_html_(self) -> str:
        return self._table().to_html()

    def _table(self) -> Table:
        verdicts = self.units.values
        rows = [[name.replace("_", " "), str(n)] for name, n in self.counters.items()]
        rows += [[f"units {w}", str(int((verdicts == w).sum()))] for w in np.unique(verdicts)]
        d = self.description
        return Table(
            title=f"Stream of a {d['decoder']}",
            columns=["what", "number"],
            rows=rows,
            head=[f"{self.n_units} units, {self.n_outputs} outputs, bins of {self.bin_size:g} s"],
        )

    def __repr__(self) -> str:
        return (
            f"Stream({self.description['decoder']}, {self.n_units} units, "
            f"{self.n_outputs} outputs, bin_size={self.bin_size:g} s)"
        )


def size_of(
    outputs: NDArray[np.float64], centre: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How far outputs (row, output) are from the usual ones, in sd: (row,)."""
    return np.asarray(np.sqrt(np.mean(((outputs - centre) / scale) ** 2, axis=1)))


def _what(content: Any) -> str:
    if content.kind != "Stream":
        return f"a {content.kind}"
    return f"the stream of another {content.settings['description']['decoder']}"


def _memory_of(content: Any) -> tuple[dict[str, Any], ...]:
    return tuple(as_arrays(content.tables[n]) for n in _MEMORY)
