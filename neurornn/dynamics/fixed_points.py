"""Fixed points of a network, each with its certificate, and what can be said of those missed."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import (
    check_choice,
    check_count,
    check_numbers,
    check_positive,
    check_rng,
)
from neurornn._core.errors import ConvergenceWarning, DataError, KindError, ShapeError
from neurornn._core.jobs import Chunk, progress_bar, run_chunks
from neurornn._core.rng import RNG, generator
from neurornn._core.warning import warn_user
from neurornn.dynamics.cover import SECONDS, covered
from neurornn.dynamics.enumeration import (
    MOST_BRANCHED,
    branched,
    enumerated,
    is_branchable,
    is_enumerable,
)
from neurornn.dynamics.latent import MOST_DENSE, in_few_numbers
from neurornn.dynamics.maps import StateMap, as_map
from neurornn.dynamics.point_table import FixedPoints, told_points
from neurornn.dynamics.search import (
    Budget,
    Found,
    certified,
    draw_starts,
    merged,
    newton,
    run_forward,
)
from neurornn.models.base import RecurrentModel
from neurornn.training.many import pack_model, pack_result, unpack_content, unpack_model

Array = NDArray[np.float64]

#: Starts of a search at first, which double until nothing new comes, and at most.
N_STARTS, MAX_STARTS = 512, 65_536
#: s that branch and bound may take before a search is made instead.
BRANCHED = 20.0
#: How often boxes may show a point that was missed, and begin again.
_COVERS = 40


@overload
def find_fixed_points(
    model: list[Any] | tuple[Any, ...], inputs: Any = None, **options: Any
) -> list[FixedPoints]: ...


@overload
def find_fixed_points(model: Any, inputs: Any = None, **options: Any) -> FixedPoints: ...


def find_fixed_points(
    model: Any,
    inputs: Any = None,
    *,
    starts: ArrayLike | None = None,
    n_starts: int = N_STARTS,
    max_starts: int = MAX_STARTS,
    max_seconds: float | None = 60.0,
    method: str = "auto",
    n_hidden: int | None = None,
    dt: float | None = None,
    rng: RNG = 0,
    n_jobs: int = 1,
    progress: bool | Callable[[int, int], None] = False,
) -> FixedPoints | list[FixedPoints]:
    """Find the states that a network leaves where they are, and say what may be missing.

    Parameters
    ----------
    model : FitResult, recurrent model of `neurornn.models`, ``torch.nn.RNN``, ``GRU`` or ``LSTM``
        (stacked too), or a function
        A function takes states (number, hidden), as a tensor or an array, to those a step later.
        What is passed is not changed. Or a list of these, each searched with the same arguments.
    inputs : (input,), held constant; by default 0.
    starts : (start, hidden), states near which to look too, for example of a run of the model.
    n_starts : starts of the first search; their number doubles until nothing new is found.
    max_starts : at most, in all.
    max_seconds : s, of wall time, after which no further search begins; None for no limit.
    method : ``"auto"``, ``"enumerate"`` or ``"search"``
        Linear pieces of a network are solved one by one where there are few enough of them, or
        must be, or are not: all others are searched. With ``"search"`` nothing is proved.

    Other Parameters
    ----------------
    n_hidden : size of the state of a function.
    dt : s, length of a step of a function or a layer of torch; without it time is in steps.
    rng : int, Generator or None
        An int is that of every model of a list; a Generator is split, a stream for each.
    n_jobs : processes for a list of models; -1 for one per core. A function stays in this one.
    progress : show a bar in a terminal or a notebook, or a callable ``(starts, max_starts)``; of a
        list ``(models, all)``.

    Returns
    -------
    FixedPoints
        Of a list of models a list in its order, each as the call with that model alone returns it.

    Raises
    ------
    KindError, ShapeError, DataError
        A model or inputs that cannot be read, weights that are not finite.

    Warns
    -----
    ConvergenceWarning
        Nothing was found, or the search ended while points still came.

    Notes
    -----
    A point is returned where ``|F(h) - h|^2 / 2 < 1e-24``; what is only slow is none. Networks
    that are linear in pieces (ReLU, up to 20 units) are enumerated, and by branch and bound up to
    40 where that ends in time, which proves the set whole.
    Networks of a low rank are searched in as many numbers as that, an LSTM in its hidden state.
    Leaky and plain units with tanh or sigmoid and one layer of a GRU, of up to 8 units (or of that
    rank), are then covered with boxes, each shown in interval arithmetic to hold no further point
    (Krawczyk 1969, doi:10.1007/BF02234767). Where that ends within 2 s it proves the set whole, of
    the weights and the drive as double precision has them, and without a word about rounding: all
    bounds are rounded outward.
    Where nothing is proved the index theorem helps: where a ball of states is mapped into itself,
    as by tanh, GRU and LSTM, the signs of ``det(1 - J)`` over all points add up to 1 (Brouwer). A
    sum that is another says that points are missing; 1 does not prove that none is.

    Examples
    --------
    >>> import neurornn as nr
    >>> switch = lambda h: np.tanh(2 * h)
    >>> points = find_fixed_points(switch, n_hidden=1)
    >>> np.sort(points.states.values[:, 0]).round(3)
    array([-0.958,  0.   ,  0.958])
    >>> points.is_stable.values.tolist().count(True)
    2
    """
    options = search_options(
        method=method, n_starts=n_starts, max_starts=max_starts, max_seconds=max_seconds
    )
    rng = check_rng(rng)
    if isinstance(model, list | tuple):
        read = {"inputs": inputs, "n_hidden": n_hidden, "dt": dt}
        return _of_many(model, read, starts, rng, options, n_jobs, progress)
    if n_jobs != 1:
        raise KindError(
            f"n_jobs={n_jobs} came with one model",
            "A list of models was needed: one search is one process",
            "Pass [model, another], or leave n_jobs out",
        )
    state_map = as_map(model, inputs, n_hidden=n_hidden, dt=dt)
    given = None if starts is None else starts_of(starts, state_map.cell.n_state)
    with progress_bar(options["max_starts"], 0, progress, "starts") as tick:
        return points_of(state_map, generator(rng), given=given, tick=tick, **options)


def search_options(
    *,
    method: str = "auto",
    n_starts: int = N_STARTS,
    max_starts: int = MAX_STARTS,
    max_seconds: float | None = 60.0,
) -> dict[str, Any]:
    """Check what says how long and in which way `find_fixed_points` searches; see there."""
    n_starts = check_count(n_starts, "n_starts")
    if max_seconds is not None:
        max_seconds = check_positive(max_seconds, "max_seconds", "s")
    return {
        "method": check_choice(method, "method", ("auto", "enumerate", "search")),
        "n_starts": n_starts,
        "max_starts": max(check_count(max_starts, "max_starts"), n_starts),
        "max_seconds": max_seconds,
    }


def _of_many(
    models: Sequence[Any],
    read: Mapping[str, Any],
    starts: Any,
    rng: RNG,
    options: Mapping[str, Any],
    n_jobs: int,
    progress: bool | Callable[[int, int], None],
) -> list[FixedPoints]:
    """The points of each model, in processes where more than one was asked for."""
    n_jobs = check_count(n_jobs, "n_jobs", least=-1_000_000)
    draws = rng.spawn(len(models)) if isinstance(rng, np.random.Generator) else [rng] * len(models)
    chunks = []
    for k, (model, draw) in enumerate(zip(models, draws, strict=True)):
        # What cannot be read is told before any of them is searched.
        state_map = as_map(model, **read)
        given = None if starts is None else starts_of(starts, state_map.cell.n_state)
        own = getattr(model, "model", model)
        if isinstance(own, RecurrentModel) and n_jobs != 1:
            # Settings and weights travel; a user's own class is not to be found by its name.
            chunks.append((pack_model(own), type(own), draw, given))
        elif isinstance(own, torch.nn.Module) or n_jobs == 1:
            chunks.append((own, None, draw, given))
        else:
            raise KindError(
                f"Model {k} is a function, and n_jobs={n_jobs}",
                "Models or layers of torch were needed, which can be sent to another process",
                "Pass n_jobs=1",
            )
    done = run_chunks(
        _search_one, chunks, shared=(dict(read), dict(options)), n_jobs=n_jobs, progress=progress,
        label="models",
    )  # fmt: skip
    found = [FixedPoints._from_saved(unpack_content(d, "FixedPoints")) for d in done]
    for points in found:
        _warn_of(points)
    return found


def _search_one(
    model: Any, cls: Any, rng: RNG, given: Any, read: Mapping[str, Any], options: Mapping[str, Any]
) -> Chunk:
    """The points of one model of a list, packed, on a worker. What is missing is told later."""
    own = model if cls is None else unpack_model(model, cls)
    found = points_of(as_map(own, **read), generator(rng), given=given, quiet=True, **options)
    return pack_result(found)


def points_of(
    state_map: StateMap,
    rng: np.random.Generator,
    *,
    given: Array | None = None,
    n_starts: int = N_STARTS,
    max_starts: int = MAX_STARTS,
    max_seconds: float | None = 60.0,
    method: str = "auto",
    tick: Callable[[], None] = lambda: None,
    quiet: bool = False,
    prove: bool = True,
) -> FixedPoints:
    """Find the fixed points of a map; see `find_fixed_points`.

    Parameters
    ----------
    state_map : the map.
    rng : what is drawn from.
    given : (start, state), states near which to look too.
    n_starts, max_starts, max_seconds, method : as there.
    tick : called for each start.
    quiet : do not warn where points are missing.
    prove : try to show of a small network that none is, where nothing else was asked for.
    """
    whole = state_map.cell
    cell = in_few_numbers(whole) or whole
    if method == "enumerate" and not (is_enumerable(whole) or is_branchable(whole)):
        raise KindError(
            f'method="enumerate" came with {state_map.name}',
            f"A ReLU network of up to {MOST_BRANCHED} units, or a linear one, was needed",
            'Pass method="auto" or "search"',
        )
    if method != "search" and is_enumerable(whole) and whole.n_state <= MOST_DENSE:
        states, n_lines = enumerated(whole)
        n_pieces = 2**whole.n_state if whole.nonlinearity == "relu" else 1
        told = ("proved", f"all {n_pieces} linear pieces were solved", 0)
        if n_lines:
            why = f"{n_lines} of {n_pieces} linear pieces hold a whole line of points, or may"
            told = ("unknown", f"{why}: these cannot be counted", 0)
        return _result(state_map, whole, certified(whole, states), *told, quiet=quiet)
    if method != "search" and is_branchable(whole):
        limit = max_seconds
        if method == "auto":
            limit = BRANCHED if max_seconds is None else min(BRANCHED, max_seconds / 2)
        exact = branched(whole, limit)
        if exact is not None:
            states, n_lines, n_steps = exact
            told = ("proved", f"branch and bound left out or solved all pieces in {n_steps} steps",
                    0)  # fmt: skip
            if n_lines:
                why = f"{n_lines} linear pieces hold a whole line of points, or may"
                told = ("unknown", f"{why}: these cannot be counted", 0)
            return _result(state_map, whole, certified(whole, states), *told, quiet=quiet)
        if method == "enumerate":
            raise DataError(
                f"Branch and bound did not end within max_seconds={max_seconds:g}",
                "More time was needed to prove the set whole",
                'Raise max_seconds, or pass method="search"',
            )
    if given is not None:
        given = np.asarray(cell.inner(given))
    found, told = _searched(cell, rng, n_starts, max_starts, max_seconds, given, tick)
    if method == "auto" and prove:
        found, told = _proved(cell, found, told, max_seconds)
    return _result(state_map, cell, found, *told, quiet=quiet)


def starts_of(starts: Any, n_state: int) -> Array:
    """States to start from, as they were given, (start, state)."""
    if isinstance(starts, torch.Tensor):
        starts = starts.detach().cpu().numpy()
    values = starts.values if isinstance(starts, xr.DataArray) else starts
    array = np.asarray(check_numbers(values, "starts", missing=False), dtype=float)
    if array.shape[-1:] != (n_state,):
        raise ShapeError(
            f"starts has shape {array.shape}",
            f"States of {n_state} numbers along the last axis were needed",
            "Pass model(inputs).states, or leave it out; the state of an LSTM is h and c side by "
            "side",
        )
    return array.reshape(-1, n_state)


def _searched(
    cell: Any,
    rng: np.random.Generator,
    n_starts: int,
    max_starts: int,
    max_seconds: float | None,
    given: Array | None,
    tick: Callable[[], None],
) -> tuple[Found, tuple[str, str, int]]:
    """Search with ever more starts until nothing new comes and no sign of more is left."""
    budget = Budget(max_starts, max_seconds)
    source = np.zeros((0, cell.n_state)) if given is None else given[:max_starts]
    found, total, wanted, new = certified(cell, source[:0]), 0, n_starts, 0
    while True:
        before = len(found.states)
        ran = run_forward(cell, max(wanted // 4, 1), rng)
        found = _with(cell, found, np.concatenate([source, ran]) if not total else ran)
        source = source if given is not None else ran
        rows = draw_starts(cell, wanted - wanted // 4, rng, found.states, source)
        found = _with(cell, found, rows)
        for _ in range(wanted):
            tick()
        new = len(found.states) - before
        first, total = total == 0, total + wanted
        last = wanted
        enough = not first and new == 0 and _index_speaks(cell, found) is None
        if enough or budget.is_over(total):
            break
        # So many degenerate points are a line or a ring, on which there is always one more.
        if int(found.degenerate.sum()) > 200:
            break
        wanted = min(total, max_starts - total)
    return found, (*_completeness(cell, found, total, last, new), total)


def _proved(
    cell: Any, found: Found, told: tuple[str, str, int], max_seconds: float | None
) -> tuple[Found, tuple[str, str, int]]:
    """What was found, with what boxes find beside it, and whether they show that this is all."""
    seconds = SECONDS if max_seconds is None else min(SECONDS, max_seconds)
    before, began = len(found.states), time.monotonic()
    for _ in range(_COVERS):
        seen = covered(cell, found.states, seconds - (time.monotonic() - began))
        if seen is None:
            return found, told
        if seen.proved:
            why = (
                f"{seen.n_boxes} boxes that cover all states hold no other, in interval arithmetic"
            )
            return found, ("proved", why, told[2])
        more = merged(cell, seen.missed, found) if len(seen.missed) else found
        if len(more.states) == len(found.states):
            break
        found = more
    n_more = len(found.states) - before
    if n_more:
        why = f"boxes showed {n_more} points that the search had missed, and did not end in time"
        told = ("unknown", why, told[2])
    return found, told


def _with(cell: Any, found: Found, starts: Array) -> Found:
    """What was found, and what is found from more starts."""
    new = newton(cell, starts, found)
    return merged(cell, new, found) if len(new) else found


def _index_speaks(cell: Any, found: Found) -> str | None:
    """What the index theorem says against the set being whole; None where nothing."""
    if cell.box is None or not len(found.states) or found.degenerate.any():
        return None
    total = int(found.index.sum())
    return None if total == 1 else f"the index sum is {total:+d} and must be +1"


def _completeness(cell: Any, found: Found, total: int, n_last: int, new: int) -> tuple[str, str]:
    speaks, first = _index_speaks(cell, found), n_last == total
    last = f"the last {n_last} of {total} starts"
    if not len(found.states):
        return "unknown", f"no start of {total} converged"
    if speaks is not None:
        return "incomplete", speaks
    if found.degenerate.any():
        n = int(found.degenerate.sum())
        return "unknown", (
            f"{n} points are degenerate: part of a line or ring of points, or at a bifurcation, "
            "where points cannot be counted"
        )
    if new and not first:
        return "incomplete", f"{last} still found {new} new points"
    if first:
        return "unknown", f"there was room for one search of {total} starts alone"
    if 2 * n_last < total:
        return "unknown", f"{last} found nothing new, and were fewer than those before"
    if cell.box is None:
        return "consistent", f"{last} found nothing new; the index theorem does not apply"
    return "consistent", f"the index sum is +1, and {last} found nothing new"


def _result(*given: Any, quiet: bool) -> FixedPoints:
    """The table, with a warning where points are missing."""
    points = told_points(*given)
    if not quiet:
        _warn_of(points)
    return points


def _warn_of(points: FixedPoints) -> None:
    n = points.parameters.sizes["point"]
    if points.completeness == "incomplete" or not n:
        advice = "Pass starts= from a run of the model, or a larger max_starts or max_seconds."
        if points.completeness == "proved":
            advice = "There is none: look at what it comes to with classify_attractor."
        warn_user(
            f"{n} fixed points were found and the set is {points.completeness}: "
            f"{points.settings['reason']}. {advice}",
            ConvergenceWarning,
        )
