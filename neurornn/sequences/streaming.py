"""A recurrent model along whole chromosomes: piece by piece, the state carried on."""

import os
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_choice, check_count
from neurornn._core.errors import DataError, NameUnknownError, nearest
from neurornn._core.jobs import progress_bar
from neurornn._core.targets import check_target
from neurornn.data.sequence_sets import SequenceSet
from neurornn.sequences.contig_letters import ContigLetters
from neurornn.sequences.letter_networks import LetterNetwork
from neurornn.sequences.stream_places import COLUMNS, Table, file_kind, tables
from neurornn.sequences.stream_plan import Leg, Plan, check_letters, planned

Array = NDArray[Any]

#: Lanes by default: from here on the products are bound by arithmetic and no more is gained.
_LANES = 8
#: Bytes of outputs and states that wait in memory to be written.
_WAITING = 2 * 2**20


def stream(
    model: Any,
    sequences: SequenceSet | str,
    *,
    chunk_size: int = 100_000,
    bidirectional: bool = False,
    lanes: int | Literal["auto"] = "auto",
    outputs: Sequence[Any] | None = None,
    states: bool = False,
    ambiguous: Literal["zeros", "fractions"] = "zeros",
    out: Any = None,
    overwrite: bool = False,
    progress: bool | Callable[[int, int], None] = False,
) -> Any:
    """Run a recurrent model along DNA, its state carried from chunk to chunk.

    Parameters
    ----------
    model : a model of `nr.models` or a fit of one; or `StreamWeights`, which need no torch
        With ``bidirectional=True`` also a pair (forward, backward). A model without a compiled
        loop runs through its own equations.
    sequences : SequenceSet of one contig or more, or the letters of one
        ``genome["chr1"]`` gives them. N and other ambiguous letters are allowed, lower case is
        read as upper case.
    chunk_size : bp
        That go through at a time; the result does not depend on it. Fewer do where outputs and
        states would take more than 2 MiB.
    bidirectional : run a second time, from the far end to the beginning of the same strand
        Outputs of both stand side by side, as ``forward ...`` and ``backward ...``.
    lanes : contigs that go through together and share each weight that is loaded
        The result does not depend on it; ``"auto"`` is up to 8.

    Other Parameters
    ----------------
    outputs : labels of those that are kept, in this order; all by default.
    states : return the states as well, each one to go on from.
    ambiguous : ``"zeros"`` leaves N and other ambiguous letters without input; ``"fractions"``
        shares 1 among the bases they stand for. As in training: see `SequenceSet.one_hot`.
    out : array (row, output), or the path of a ``.nc`` or ``.npy`` file
        Written chunk by chunk, contigs one after the other; the result then looks into it. By
        default it is kept in memory.
    overwrite : replace the file where it stands.
    progress : show a bar in a terminal or a notebook, or a callable ``(done, total)``.

    Returns
    -------
    DataArray (position, output)
        Of one contig; positions count from 0, in bp, and have no labels, so that
        ``.sel(position=slice(a, b))`` is half-open. With ``states=True`` a Dataset with
        ``outputs`` and ``states (position, state)``.
    dict of them by contig
        Of several, whose lengths differ.

    Raises
    ------
    KindError, ShapeError, DataError
        No model, or one that cannot run piece by piece; inputs that are not the letters; a letter
        outside the alphabet, with its contig and position; names that occur twice.
    FileWriteError
        Something else stands at `out`.

    Notes
    -----
    The outputs are those of ``model(one_hot)`` on the whole contig, up to rounding, and the same
    to the last bit for every `chunk_size`, every number of lanes, and with or without torch. A
    contig begins at the model's own start, a circular one too. Memory is that of a chunk and of
    the states: with `out` a file, a genome of any length fits.

    Of a bidirectional GRU or LSTM of one layer, and of a `ReverseComplementTied`, both ways are
    run one after the other.

    Examples
    --------
    >>> import neurornn as nr
    >>> model = nr.models.LSTM(4, 8, 2, dt=1.0, time_unit="bp", rng=0)
    >>> found = stream(model, "ACGTNNACGTACGGT", chunk_size=4)
    >>> found.dims, found.shape
    (('position', 'output'), (15, 2))
    """
    contigs = ContigLetters(sequences)
    plan = planned(model, bidirectional)
    kind = contigs.kind
    check_letters(plan, contigs)
    fractions = check_choice(ambiguous, "ambiguous", ["zeros", "fractions"]) == "fractions"
    kept = _kept(outputs, plan.outputs)
    chunk = check_count(chunk_size, "chunk_size")
    n_lanes = _LANES if lanes == "auto" else check_count(lanes, "lanes")
    n_lanes = max(1, min(n_lanes, len(contigs)))
    networks = [
        leg.make(kind, fractions, kept, 1 if leg.one_lane else n_lanes) for leg in plan.legs
    ]
    widths = {"outputs": len(kept)}
    if states:
        widths["states"] = sum(n.n_state for n in networks)
    is_file = isinstance(out, str | os.PathLike)
    if is_file:
        file_kind(out, widths)
        check_target(out, overwrite=overwrite)
    labelled = _labelled(plan, kept, contigs, networks if states else [], ambiguous)
    along = "position" if len(contigs) == 1 else "row"
    inside = contigs.inside(fractions) if plan.skips_ends else contigs.whole()
    total = len(networks) * -(-int(contigs.lengths.sum()) // chunk)
    place = (out, labelled, along, plan.dtype, widths, int(contigs.lengths.sum()), overwrite)
    with (
        tables(*place) as written,
        progress_bar(total, 0, progress, "chunks") as tick,
    ):
        begun: set[int] = set()
        first_state = 0
        for leg, network in zip(plan.legs, networks, strict=True):
            job = _Job(contigs, inside, written, tick, chunk, n_lanes, states)
            # Nobody asked for what a leg without columns says.
            if network.columns or states:
                add = begun.issuperset(network.columns)
                job.run(leg, network, add=add, first_state=first_state)
            job.finish()
            begun.update(network.columns)
            first_state += network.n_state
        if not is_file:
            whole = {name: table.rows for name, table in written.items()}
    if is_file:
        whole = _reopened(out, widths)
    return _result(whole, labelled, along, contigs, states)


class _Job:
    """One leg over all contigs."""

    def __init__(
        self,
        contigs: ContigLetters,
        inside: list[tuple[int, int]],
        written: dict[str, Table],
        tick: Callable[[], None],
        chunk: int,
        n_lanes: int,
        states: bool,
    ) -> None:
        self.contigs, self.inside, self.written, self.tick = contigs, inside, written, tick
        self.chunk, self.n_lanes, self.states = chunk, n_lanes, states
        self._done = self._ticks = 0

    def run(self, leg: Leg, network: LetterNetwork, *, add: bool, first_state: int) -> None:
        """Take the network along every contig and write what it says."""
        chunk, n_lanes = self._sizes(leg, network)
        # The longest first, so that at the end no lane is left alone for long.
        waiting = np.argsort(-self.contigs.lengths, kind="stable")[::-1].tolist()
        running: dict[int, tuple[int, int]] = {}
        columns = list(range(first_state, first_state + network.n_state))
        while waiting or running:
            for lane in range(n_lanes):
                while lane not in running and waiting:
                    contig = waiting.pop()
                    self._rest(contig, network, add)
                    first, stop = self.inside[contig]
                    if stop > first:
                        running[lane] = (contig, 0)
                        a = stop - 1 if leg.backward else first
                        network.begin(lane, int(self.contigs.codes(contig, a, a + 1)[0]))
            lanes = sorted(running)
            if not lanes:
                return
            left = [self._left(*running[lane]) for lane in lanes]
            n = min(chunk, *left)
            ranges = [self._range(*running[lane], n, leg.backward) for lane in lanes]
            codes = np.empty((n, len(lanes)), np.uint8)
            for j, place in enumerate(ranges):
                read = self.contigs.codes(*place)
                codes[:, j] = read[::-1] if leg.backward else read
            found, kept = network.advance(codes, lanes, self.states)
            way = -1 if leg.backward else 1
            for j, (contig, start, _) in enumerate(ranges):
                row = int(self.contigs.offsets[contig]) + start
                self.written["outputs"].put(row, found[::way, j], network.columns, add)
                if self.states:
                    self.written["states"].put(row, kept[::way, j], columns, False)
                lane = lanes[j]
                done = running[lane][1] + n
                running[lane] = (contig, done)
                if not self._left(contig, done):
                    del running[lane]
                self._count(n)

    def _sizes(self, leg: Leg, network: LetterNetwork) -> tuple[int, int]:
        """Letters that go through at a time, and lanes."""
        n_lanes = 1 if leg.one_lane else self.n_lanes
        a_row = len(network.columns) + (network.n_state if self.states else 0)
        item = self.written["outputs"].rows.dtype.itemsize
        chunk = min(self.chunk, _WAITING // max(1, a_row * item * n_lanes))
        # A network with a grid is always cut at the same letters.
        return max(chunk // network.grid, 1) * network.grid, n_lanes

    def _left(self, contig: int, done: int) -> int:
        first, stop = self.inside[contig]
        return stop - first - done

    def _range(self, contig: int, done: int, n: int, backward: bool) -> tuple[int, int, int]:
        first, stop = self.inside[contig]
        start = stop - done - n if backward else first + done
        return contig, start, start + n

    def _rest(self, contig: int, network: LetterNetwork, add: bool) -> None:
        """Write what the outputs are at letters that are not read."""
        (first, stop), length = self.inside[contig], int(self.contigs.lengths[contig])
        for a, b in ((0, first), (stop, length)):
            for start in range(a, b, self.chunk):
                n = min(self.chunk, b - start)
                values = np.broadcast_to(network.at_rest, (n, len(network.columns)))
                row = int(self.contigs.offsets[contig]) + start
                self.written["outputs"].put(row, values, network.columns, add)

    def _count(self, n: int) -> None:
        self._done += n
        while self._ticks < self._done // self.chunk:
            self._ticks += 1
            self.tick()

    def finish(self) -> None:
        """Count what is left: the last chunk, and letters that were not read."""
        while self._ticks < -(-int(self.contigs.lengths.sum()) // self.chunk):
            self._ticks += 1
            self.tick()


def _kept(outputs: Sequence[Any] | None, labels: tuple[Any, ...]) -> list[int]:
    """Columns of the outputs that were asked for."""
    if outputs is None:
        return list(range(len(labels)))
    asked = [outputs] if isinstance(outputs, str | int) else list(outputs)
    for one in asked:
        if one not in labels:
            raise NameUnknownError(
                f"outputs holds {one!r}",
                f"Labels of the {len(labels)} outputs were needed",
                nearest(str(one), map(str, labels)),
            )
    if not asked or len(set(asked)) < len(asked):
        raise DataError(
            f"outputs is {asked}",
            "Different labels, at least one, were needed",
            "Leave it out for all of them",
        )
    return [labels.index(one) for one in asked]


def _labelled(
    plan: Plan,
    kept: list[int],
    contigs: ContigLetters,
    networks: Sequence[LetterNetwork],
    ambiguous: str,
) -> xr.Dataset:
    """Labels and attrs of the result, without its large variables."""
    coords: dict[str, Any] = {"output": [plan.outputs[k] for k in kept]}
    if len(networks) > 1:
        ways = ["backward" if leg.backward else "forward" for leg in plan.legs]
        coords["direction"] = ("state", np.repeat(ways, [n.n_state for n in networks]))
    if len(contigs) > 1:
        coords["contig"] = contigs.names
    found = xr.Dataset(
        coords=coords,
        attrs={
            "long_name": f"output of a {plan.source}",
            "position": "0-based, half-open",
            "position_units": contigs.kind.units,
            "ambiguous": ambiguous,
        },
    )
    if len(contigs) > 1:
        # The contiguous ragged array of the CF conventions.
        found["row_size"] = ("contig", contigs.lengths, {"sample_dimension": "row"})
    return found


def _reopened(out: Any, widths: dict[str, int]) -> dict[str, Any]:
    """Variables of a file that was written, read from disk as they are asked for."""
    if file_kind(out, widths) == ".npy":
        return {"outputs": np.load(os.path.expanduser(out), mmap_mode="r")}
    file = xr.open_dataset(os.path.expanduser(out), engine="h5netcdf", decode_timedelta=False)
    return {name: file[name].variable for name in widths}


def _result(
    whole: dict[str, Any], labelled: xr.Dataset, along: str, contigs: ContigLetters, states: bool
) -> Any:
    """One table for one contig, a dict for several; views of what was written."""
    coords = {k: v for k, v in labelled.coords.items() if k in ("output", "direction")}

    def of(contig: int) -> Any:
        first = int(contigs.offsets[contig])
        rows = slice(first, first + int(contigs.lengths[contig]))
        made = {}
        for name, values in whole.items():
            if isinstance(values, xr.Variable):
                # Still on disk: xarray reads a slice of it when it is asked for.
                part: Any = values.isel({along: rows})._data
            else:
                part = values[rows]
            made[name] = xr.Variable(("position", COLUMNS[name]), part, labelled.attrs)
        if states:
            return xr.Dataset(made, coords=coords, attrs=labelled.attrs)
        own = {k: v for k, v in coords.items() if k == "output"}
        return xr.DataArray(made["outputs"], coords=own, name="outputs")

    if len(contigs) == 1:
        return of(0)
    return {str(name): of(k) for k, name in enumerate(contigs.names)}
