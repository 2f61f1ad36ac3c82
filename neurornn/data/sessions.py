"""Several sessions in one fit: what they share is learned from all, the rest from each alone."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_positive
from neurornn._core.errors import DataError, KindError, ShapeError, UnitError
from neurornn.data.recording import TIME_CONVENTION

#: Clocks are one where their steps agree to this share, as in `nr.fit`.
_SAME_CLOCK = 0.01


class _Session(NamedTuple):
    """Windows of one session as plain arrays."""

    inputs: NDArray[np.float64]
    targets: NDArray[np.float64]
    mask: NDArray[np.bool_]
    input_labels: list[str]
    output_labels: list[str]


def join_sessions(
    sessions: Mapping[str, xr.Dataset],
    *,
    share_inputs: bool = False,
    share_outputs: bool = False,
    offset: bool = True,
) -> xr.Dataset:
    """Lay the windows of several sessions out so that one fit shares a network among them.

    Recurrent weights and time constants are then learned from all sessions, input weights,
    read-out and bias from each alone.

    Parameters
    ----------
    sessions : name -> Dataset
        Windows as made by `nr.data.windows`: ``inputs (trial, time, input)``, ``targets (trial,
        time, output)``, ``mask (trial, time)`` or ``(trial, time, output)`` if any, and ``dt`` in
        the attrs or a time axis, s. Numbers of trials, steps, inputs and outputs may differ.
    share_inputs : the inputs are the same variables, in the same order, in every session.
        They then keep their columns, and the network its input weights, for all.
    share_outputs : the outputs are the same variables, in the same order, in every session.
    offset : give each session an input of its own that is 1 in its trials and 0 in all others.
        Its weights are what the session adds to the bias.

    Returns
    -------
    Dataset
        ``inputs (trial, time, input)``, 0 in the columns of other sessions; ``targets (trial,
        time, output)`` and ``mask`` of the same shape, False in the columns of other sessions,
        after the end of a shorter trial, and where a target is NaN. Trials stand in the order of
        the sessions. Coordinates: ``session (trial)``; ``input_session (input)`` and
        ``output_session (output)``, empty for what all sessions share; ``input`` and ``output``
        are labels such as ``"monday 3"``. Attrs that all sessions agree on are kept, ``dt`` (s)
        among them, and ``start (trial)`` (s) where every session has it.

    Raises
    ------
    KindError, ShapeError, DataError
        Something that is no set of windows; inputs or outputs that cannot be shared; NaN inputs.
    UnitError
        Sessions on different clocks, or in different units of time.

    See Also
    --------
    windows : cuts one recording.

    Notes
    -----
    With inputs x_s side by side the drive is ``U x = sum_s U_s x_s``; all but one term are 0, so
    that ``U_s`` is the read-in of session s. The mask does the same for the read-out. Such read-in
    and read-out layers per session join recordings of different cells to one dynamical system
    (Pandarinath et al. 2018, Nature Methods 15:805, doi:10.1038/s41592-018-0109-9).

    The offsets of all sessions and the bias of the network trade against one another, a constant
    moved from the one to the others; time constants have no part in it.

    Examples
    --------
    >>> import neurornn as nr
    >>> monday = nr.simulate.simulate_rate_trials(3, 5, 0.5, 0.01, n_inputs=2, rng=0)
    >>> tuesday = nr.simulate.simulate_rate_trials(4, 2, 0.3, 0.01, n_inputs=2, rng=1)
    >>> both = join_sessions({"monday": monday, "tuesday": tuesday}, share_inputs=True)
    >>> dict(both["targets"].sizes)
    {'trial': 7, 'time': 50, 'output': 7}
    >>> both["input"].values.tolist()
    ['0', '1', 'monday offset', 'tuesday offset']

    The read-out of one session is a choice of rows:

    >>> model = nr.models.LeakyRNN(4, 6, 7, dt=0.01, rng=0)
    >>> model.output_weight[(both["output_session"] == "tuesday").values].shape
    torch.Size([4, 6])
    """
    names, parts = _as_sessions(sessions)
    dt = _shared_clock(dict(zip(names, sessions.values(), strict=True)))
    for shared, role in ((share_inputs, "input"), (share_outputs, "output")):
        if shared:
            _check_shared(names, [getattr(p, f"{role}_labels") for p in parts], role)
    columns, n_inputs = _columns([p.inputs.shape[2] for p in parts], share_inputs)
    rows, n_outputs = _columns([p.targets.shape[2] for p in parts], share_outputs)
    n_trials = sum(len(p.inputs) for p in parts)
    n_steps = max(p.inputs.shape[1] for p in parts)
    x = np.zeros((n_trials, n_steps, n_inputs + (len(parts) if offset else 0)))
    y = np.zeros((n_trials, n_steps, n_outputs))
    mask = np.zeros(y.shape, dtype=bool)
    first = 0
    for k, part in enumerate(parts):
        here = (slice(first, first + len(part.inputs)), slice(0, part.inputs.shape[1]))
        x[(*here, columns[k])] = part.inputs
        y[(*here, rows[k])] = part.targets
        mask[(*here, rows[k])] = part.mask
        if offset:
            x[(*here, n_inputs + k)] = 1.0
        first += len(part.inputs)
    of_input, inputs = _labels(names, [p.input_labels for p in parts], share_inputs)
    of_output, outputs = _labels(names, [p.output_labels for p in parts], share_outputs)
    if offset:
        of_input, inputs = [*of_input, *names], [*inputs, *(f"{n} offset" for n in names)]
    given = list(sessions.values())
    joined = xr.Dataset(
        {
            "inputs": (("trial", "time", "input"), x, _agreed([g["inputs"].attrs for g in given])),
            "targets": (
                ("trial", "time", "output"),
                y,
                _agreed([g["targets"].attrs for g in given]),
            ),
            "mask": (("trial", "time", "output"), mask),
        },
        coords={
            "time": (
                "time",
                (np.arange(n_steps) + 1) * dt,
                {"units": "s", "convention": TIME_CONVENTION},
            ),
            "session": ("trial", np.repeat(names, [len(p.inputs) for p in parts])),
            "input": ("input", np.array(inputs, dtype=str)),
            "output": ("output", np.array(outputs, dtype=str)),
            "input_session": ("input", np.array(of_input, dtype=str)),
            "output_session": ("output", np.array(of_output, dtype=str)),
        },
        attrs={**_agreed([g.attrs for g in given]), "dt": dt},
    )
    if all("start" in g and g["start"].dims == ("trial",) for g in given):
        starts = np.concatenate([g["start"].values for g in given])
        joined["start"] = ("trial", starts, dict(given[0]["start"].attrs))
    return joined


def _as_sessions(sessions: Mapping[str, xr.Dataset]) -> tuple[list[str], list[_Session]]:
    if not isinstance(sessions, Mapping):
        raise KindError(
            f"sessions is a {type(sessions).__name__}",
            "A dict of name -> windows was needed",
            'For example join_sessions({"monday": windows_a, "tuesday": windows_b})',
        )
    names = [str(name) for name in sessions]
    if not names or len(set(names)) < len(names) or "" in names:
        raise DataError(
            f"{len(names)} sessions came, named {names}",
            "At least one session, each with a name of its own, was needed",
            'For example {"monday": windows_a, "tuesday": windows_b}',
        )
    return names, [_as_session(n, w) for n, w in zip(names, sessions.values(), strict=True)]


def _as_session(name: str, given: Any) -> _Session:
    if not isinstance(given, xr.Dataset) or not {"inputs", "targets"} <= set(given.data_vars):
        raise KindError(
            f"Session {name!r} is a {type(given).__name__} without inputs and targets",
            "Windows with inputs and targets were needed",
            "Cut the recording with nr.data.windows(recording, inputs=..., targets=...)",
        )
    arrays = {}
    for what, last in (("inputs", "input"), ("targets", "output")):
        variable = given[what]
        if set(variable.dims) != {"trial", "time", last}:
            raise ShapeError(
                f"The {what} of session {name!r} have axes {tuple(map(str, variable.dims))}",
                f"(trial, time, {last}) were needed",
                "Cut the recording with nr.data.windows",
            )
        arrays[what] = np.asarray(variable.transpose("trial", "time", last).values, dtype=float)
    x, y = arrays["inputs"], arrays["targets"]
    if y.size == 0:
        raise ShapeError(
            f"The targets of session {name!r} have shape {y.shape}",
            "At least one trial, one step and one output were needed",
            "Leave the session out",
        )
    if np.isnan(x).any():
        raise DataError(
            f"The inputs of session {name!r} hold {int(np.isnan(x).sum())} NaN",
            "Inputs without NaN were needed",
            "Fill them and mask the frames; nr.data.windows does both",
        )
    mask = ~np.isnan(y)
    if "mask" in given:
        stated = given["mask"]
        if not {"trial", "time"} <= set(stated.dims) <= {"trial", "time", "output"}:
            raise ShapeError(
                f"The mask of session {name!r} has axes {tuple(map(str, stated.dims))}",
                "(trial, time) or (trial, time, output) were needed",
                "Make it with nr.data.windows",
            )
        # By name, not by position: a mask may lack the outputs, or have its axes turned.
        spread = stated.fillna(0).astype(bool).broadcast_like(given["targets"])
        mask &= spread.transpose("trial", "time", "output").values
    return _Session(
        x, np.nan_to_num(y, nan=0.0), mask, _names(given, "input"), _names(given, "output")
    )


def _names(given: xr.Dataset, axis: str) -> list[str]:
    labels = given[axis].values if axis in given.coords else np.arange(given.sizes[axis])
    return [str(label) for label in labels]


def _shared_clock(sessions: Mapping[str, xr.Dataset]) -> float:
    """Step of the one clock that all sessions run on, s."""
    steps = {}
    for name, given in sessions.items():
        dt = given.attrs.get("dt")
        if dt is None and "time" in given.coords and given.sizes["time"] > 1:
            dt = float(np.median(np.diff(given["time"].values)))
        if dt is None:
            raise UnitError(
                f"Session {name!r} has neither dt in its attrs nor times",
                "The length of a step in s was needed",
                "Set it: windows.attrs['dt'] = 0.01",
            )
        steps[name] = check_positive(float(dt), f"dt of session {name!r}", "s")
    first, *others = steps
    for name in others:
        if abs(steps[name] / steps[first] - 1) > _SAME_CLOCK:
            raise UnitError(
                f"Session {first!r} has dt = {steps[first]:g} s and session {name!r} "
                f"{steps[name]:g} s",
                f"One clock was needed, the same to {100 * _SAME_CLOCK:g} %",
                "Bring the recordings onto one clock with nr.data.resample_to before the windows "
                "are cut, or bin the spikes with one bin_size",
            )
    for key, error in (("time_unit", UnitError), ("horizon", DataError)):
        stated = {n: given.attrs[key] for n, given in sessions.items() if key in given.attrs}
        if len(set(stated.values())) > 1:
            raise error(
                f"The sessions have {key} {stated}",
                f"One {key} was needed",
                f"Cut all windows with the same {key}",
            )
    return steps[first]


def _check_shared(names: list[str], labels: list[list[str]], role: str) -> None:
    for name, found in zip(names[1:], labels[1:], strict=True):
        if found != labels[0]:
            raise ShapeError(
                f"Session {names[0]!r} has {len(labels[0])} {role}s {_few(labels[0])} and session "
                f"{name!r} {len(found)} {_few(found)}",
                f"The same {role}s in the same order were needed with share_{role}s=True",
                f"Select and order them, or leave share_{role}s out",
            )


def _few(labels: list[str]) -> str:
    return f"({', '.join(labels[:4])}{', ...' if len(labels) > 4 else ''})"


def _columns(sizes: list[int], shared: bool) -> tuple[list[slice], int]:
    """Columns of each session, and how many there are."""
    if shared:
        return [slice(0, sizes[0])] * len(sizes), sizes[0]
    ends = np.cumsum([0, *sizes])
    return [slice(int(a), int(b)) for a, b in pairwise(ends)], int(ends[-1])


def _labels(
    names: list[str], labels: list[list[str]], shared: bool
) -> tuple[list[str], list[str]]:
    """Session of each column, empty where all share it, and its label."""
    if shared:
        return [""] * len(labels[0]), labels[0]
    of = [name for name, own in zip(names, labels, strict=True) for _ in own]
    return of, [f"{n} {x}" for n, own in zip(names, labels, strict=True) for x in own]


def _agreed(attrs: list[dict[Any, Any]]) -> dict[Any, Any]:
    """Attributes that all have, with the same value."""
    return {
        key: value
        for key, value in attrs[0].items()
        if all(key in other and np.array_equal(other[key], value) for other in attrs[1:])
    }
