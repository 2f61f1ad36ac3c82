"""A variable that nobody measured, read from a network's state, beside its inputs and controls."""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import (
    check_confidence_level,
    check_count,
    check_numbers,
    check_rng,
)
from neurornn._core.confidence import to_dataset
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn._core.jobs import one_thread, progress_bar
from neurornn._core.quantities import Quantity
from neurornn._core.report import Table
from neurornn._core.rng import RNG, derived_seed, generator, seed_of
from neurornn._core.units import format_quantity
from neurornn.compare import belief_scores as scores
from neurornn.compare.belief_features import states_on
from neurornn.compare.belief_readers import Split, read_linear, read_nonlinear
from neurornn.io.shell import Result
from neurornn.models.base import RecurrentModel
from neurornn.training.batches import as_training_data
from neurornn.training.many import redrawn

Array = NDArray[np.float64]
#: Of the network's own row, and of the controls that are no window of inputs.
NETWORK, UNTRAINED, SHUFFLED = "network", "untrained", "shuffled"
#: Windows that are needed: halves, of which one is split again, and an interval over the other.
_LEAST = 6


class HiddenReadout(Result):
    """How much of a hidden variable is read from a network's state; made by `hidden_variable`.

    Attributes
    ----------
    parameters : Dataset over ``source`` and ``variable``
        ``linear_r2`` and ``nonlinear_r2`` on windows held out; over ``source`` ``p_value``.
    reading : Dataset over ``trial`` (window held out), ``time`` and ``variable``
        ``true`` and, over ``source``, ``read``, linearly and by the first network, in the
        variable's own unit; NaN where nothing is scored.
    settings : how it was made.
    """

    _tables: ClassVar[Sequence[str]] = ("parameters", "reading")
    _papers: ClassVar[tuple[str, ...]] = ("hoerl_1970", "phipson_2010")
    _packages: ClassVar[tuple[str, ...]] = ("numpy", "torch")
    reading: xr.Dataset
    _quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            name="linear_r2", units="1", long_name="R2, read linearly",
            method="ridge regression, windows held out", dims=("source", "variable"),
            reason="it does not change in the windows held out",
        ),
        Quantity(
            name="nonlinear_r2", units="1", long_name="R2, read by a network",
            method="one hidden layer, windows held out", dims=("source", "variable"),
            reason="not asked for: nonlinear=False",
        ),
        Quantity(
            name="p_value", units="1", long_name="p of reading as well as the network",
            method="signs of differences of errors flipped, window by window",
            dims=("source",), reason="a probability",
        ),
    )  # fmt: skip

    def _report_table(self) -> Table:
        t, s = self.parameters, self.settings
        rows = []
        for source in t["source"].values.tolist():
            p = float(t["p_value"].sel(source=source))
            for variable in t["variable"].values.tolist():
                at = t.sel(source=source, variable=variable)
                cells = [
                    format_quantity(float(at[n]), "1", *at[f"{n}_ci"].values)
                    for n in ("linear_r2", "nonlinear_r2")
                ]
                rows.append([source, variable, *cells, "" if np.isnan(p) else f"{p:.2g}"])
        missing = [q.name for q in self._quantities if t[f"{q.name}_ci"].isnull().any()]
        return Table(
            title="Hidden variable read from the state",
            columns=["source", "variable", "linear_r2", "nonlinear_r2", "p"],
            rows=rows,
            head=[
                f"{s['n_networks']} networks ({s['model']}), {s['n_windows']} windows, "
                f"{s['n_held_out']} of them held out"
            ],
            notes=[f"no interval of {n}: {t[f'{n}_ci'].attrs['reason']}" for n in missing],
        )

    def __repr__(self) -> str:
        found = self.parameters["linear_r2"].sel(source=NETWORK).values
        return (
            f"HiddenReadout({self.settings['model']}, R2 {found.min():.3g} to {found.max():.3g})"
        )

    def _methods_sentence(self) -> str:
        s = self.settings
        return (
            f"A variable that the networks never saw was read from the states of "
            f"{s['n_networks']} networks ({s['model']}) on {s['n_held_out']} of {s['n_windows']} "
            "windows, held out, beside windows of the inputs, an untrained network, and the "
            "variable of other windows"
        )


class _Frames(NamedTuple):
    """Windows as lists: inputs (row, input), what is hidden (row, variable), rows that count."""

    inputs: list[Array]
    hidden: list[Array]
    used: list[NDArray[np.bool_]]
    names: list[str]
    units: str


def hidden_variable(
    result: Any,
    windows: Any,
    hidden: Any,
    *,
    input_windows: Sequence[int] = (1, 20),
    nonlinear: bool = True,
    n_permutations: int = 999,
    confidence_level: float = 0.95,
    rng: RNG = 0,
    progress: bool = False,
) -> HiddenReadout:
    """Read a variable that nobody measured from the state of a fitted network.

    Parameters
    ----------
    result : FitResult or recurrent model, or several of one kind: intervals over networks too.
    windows : of `nr.data.windows`, or ``(inputs, targets)``, that the network was not fitted to.
    hidden : DataArray ``(time,)`` or ``(time, variable)`` on the recording's clock, matched to the
        windows' frames by time, or an array ``(trial, time)`` or ``(trial, time, variable)``.
        NaN where it is not known.
    input_windows : lengths, in frames, of windows of the inputs that are read in its place.

    Other Parameters
    ----------------
    nonlinear : read by a network of one hidden layer too.
    n_permutations : of the test; the smallest p-value is 1 / (n_permutations + 1).
    confidence_level : of the intervals, over windows and networks.
    rng : int, Generator or None.
    progress : show a bar.

    Returns
    -------
    HiddenReadout

    Raises
    ------
    KindError, ShapeError, DataError
        No network with a state, a hidden variable of other windows or another clock, or one that
        does not change, too few windows.

    Notes
    -----
    Half of the windows fit the read-out, half test it. Windows that were cut from a recording keep
    their order, the later half to test on, so that no neighbours part; trials are drawn. Every
    source goes through the same read-outs: the state of the network; the present inputs, and the
    last 20; the state of an untrained network of the same build, whose time constants are kept;
    and the state of the network against the hidden variable of other windows, which nothing can
    tell, so that its R2 is near 0 or below.

    What a window of the inputs tells needs no network. Look at ``nonlinear_r2`` of the inputs: a
    state that is read linearly may hold nothing but a nonlinear map of what came in. `p_value` is
    that of the hypothesis that a source reads as well as the network, linearly, from the errors of
    each window held out with their signs flipped at random.

    Examples
    --------
    >>> import numpy as np
    >>> import neurornn as nr
    >>> draw = np.random.default_rng(0)
    >>> x = draw.standard_normal((12, 80, 1))
    >>> slow = np.zeros((12, 80))
    >>> for t in range(1, 80):
    ...     slow[:, t] = 0.9 * slow[:, t - 1] + x[:, t, 0]
    >>> model = nr.models.LeakyRNN(1, 8, 1, dt=0.1, nonlinearity="linear", rng=0)
    >>> table = hidden_variable(model, (x, x), slow, nonlinear=False)
    >>> table.parameters["source"].values.tolist()
    ['network', 'inputs', 'inputs, window of 20', 'untrained', 'shuffled']
    """
    given = list(result) if isinstance(result, list | tuple) else [result]
    models = [getattr(r, "model", r) for r in given]
    _check_models(models)
    lengths = _lengths(input_windows)
    level, seed = check_confidence_level(confidence_level), seed_of(check_rng(rng))
    n_permutations = check_count(n_permutations, "n_permutations", most=100_000)
    frames = _frames_of(windows, hidden, models[0])
    n, draw = len(frames.inputs), generator(derived_seed(seed, 10**6))
    in_order = isinstance(windows, xr.Dataset) and "start" in windows
    split = Split(n, None if in_order else draw)
    # The variable in units of its spread: some are of the order of 1e-12.
    known = np.concatenate([frames.hidden[k][frames.used[k]] for k in split.train])
    if not len(known) or not np.all(known.std(axis=0) > 0):
        raise DataError(
            "hidden does not change in the windows that the read-out is fitted to",
            "A variable that changes was needed",
            "Check the selection of windows; a constant is known without a network",
        )
    middle, spread = known.mean(axis=0), known.std(axis=0)
    goal = [np.where(u[:, None], (h - middle) / spread, 0.0)
            for h, u in zip(frames.hidden, frames.used, strict=True)]  # fmt: skip
    each, readings, sources = [], [], []
    with one_thread(), progress_bar(len(models), 0, progress, "networks") as tick:
        for k, model in enumerate(models):
            own = derived_seed(seed, k)
            found = _read(model, frames, goal, split, lengths, nonlinear, own)
            each.append(found)
            sources = list(found)
            if k == 0:
                readings = [found[s][2] for s in sources]
            tick()
    linear, bent = (
        np.stack([np.stack([e[s][i] for s in sources], axis=1) for e in each]) for i in (0, 1)
    )
    declared = {q.name: q for q in HiddenReadout._quantities}
    estimates = [
        declared[name].of(*scores.with_interval(sums, scores.r2_of, level, draw))
        for name, sums in (("linear_r2", linear), ("nonlinear_r2", bent))
    ]
    p = scores.chances_against_first(linear, n_permutations, draw)
    estimates.append(declared["p_value"].of(p))
    table = to_dataset(
        estimates, confidence_level=level,
        coords={"source": np.array(sources), "variable": np.array(frames.names)},
    )  # fmt: skip
    settings = {
        "model": type(models[0]).__name__, "n_networks": len(models), "n_windows": n,
        "n_held_out": len(split.test), "input_windows": lengths,
        "n_permutations": n_permutations, "confidence_level": level, "rng": seed,
    }  # fmt: skip
    first = models[0]
    scale = {"middle": middle, "spread": spread, "dt": first.dt, "time_unit": first.time_unit}
    reading = _reading(frames, split, sources, readings, scale)
    return HiddenReadout(table, settings, reading=reading)


def _check_models(models: list[Any]) -> None:
    same = all(isinstance(m, RecurrentModel) and type(m) is type(models[0]) for m in models)
    if not models or not same or not models[0].n_hidden:
        came = ", ".join(type(m).__name__ for m in models) or "nothing"
        raise KindError(
            f"result is {came}",
            "A fit of a network with a state, or several of one kind, was needed",
            "For example nr.fit(nr.models.LeakyRNN(...), windows)",
        )
    sizes = {(m.n_input, m.n_output, m.dt) for m in models}
    if len(sizes) > 1:
        raise ShapeError(
            f"The networks have (inputs, outputs, dt) of {sorted(sizes)}",
            "Networks of the same inputs, outputs and clock were needed",
            "Compare networks of different builds one by one",
        )


def _lengths(input_windows: Any) -> list[int]:
    if not isinstance(input_windows, list | tuple | range | np.ndarray) or not np.ndim(
        input_windows
    ):
        raise KindError(
            f"input_windows is a {type(input_windows).__name__}",
            "A list of whole numbers of frames was needed",
            "Pass input_windows=(1, 20)",
        )
    return [check_count(w, "input_windows", most=1000) for w in input_windows]


def _frames_of(windows: Any, hidden: Any, model: RecurrentModel) -> _Frames:
    data = as_training_data(windows, model, "windows")
    inputs, mask = data.inputs.numpy(), data.mask.any(dim=2).numpy()
    n, n_time = mask.shape
    if n < _LEAST:
        raise DataError(
            f"windows holds {n} windows", f"At least {_LEAST} were needed: half are held out",
            "Cut shorter windows",
        )  # fmt: skip
    names, units = ["hidden"], "1"
    if isinstance(hidden, xr.DataArray):
        units = str(hidden.attrs.get("units", "1"))
        names = [str(hidden.name or "hidden")]
    if isinstance(hidden, xr.DataArray) and "trial" not in hidden.dims:
        values, labels = _by_clock(hidden, windows, n_time, model.dt)
        names = labels or names
    else:
        values = check_numbers(hidden, "hidden", missing=True)
        values = values[..., None] if values.ndim == 2 else values
        if values.ndim != 3 or values.shape[:2] != (n, n_time):
            raise ShapeError(
                f"hidden has shape {values.shape}",
                f"(trial, time) of {(n, n_time)}, as the windows have, was needed",
                "Pass a DataArray over time to have it matched by its clock",
            )
        if isinstance(hidden, xr.DataArray) and hidden.ndim == 3:
            names = [str(v) for v in hidden[hidden.dims[2]].values]
        elif values.shape[2] > 1:
            names = [f"hidden {k}" for k in range(values.shape[2])]
    used = mask & np.isfinite(values).all(axis=2)
    empty = np.flatnonzero(~used.any(axis=1))
    if len(empty):
        raise DataError(
            f"{len(empty)} of {n} windows have no frame at which hidden is known, the first is "
            f"number {empty[0]}",
            "A value at some frame of each window was needed",
            "Check the clocks of both, and leave those windows out",
        )
    return _Frames(list(inputs), list(values), list(used), names, units)


def _by_clock(
    hidden: xr.DataArray, windows: Any, n_time: int, dt: float
) -> tuple[Array, list[str]]:
    """Values at the frames of windows, (trial, time, variable), NaN where there is none."""
    if not (isinstance(windows, xr.Dataset) and "start" in windows and "time" in hidden.dims):
        raise KindError(
            f"hidden is a DataArray over {', '.join(map(str, hidden.dims))}",
            "Windows of nr.data.windows, which know their place on the recording's clock, and a "
            "variable over time were needed",
            "Pass hidden as an array (trial, time)",
        )
    flat = hidden.transpose("time", ...)
    values = np.asarray(flat.values, dtype=float).reshape(flat.sizes["time"], -1)
    labels = [str(v) for v in flat[flat.dims[1]].values] if flat.ndim == 2 else []
    clock = np.asarray(flat["time"].values, dtype=float)
    asked = windows["start"].values[:, None] + dt * (np.arange(n_time) + 1)
    at = np.clip(np.searchsorted(clock, asked - dt / 2), 0, len(clock) - 1)
    near = np.abs(clock[at] - asked) < 0.1 * dt
    if not near.any():
        raise DataError(
            f"hidden runs from {clock[0]:g} to {clock[-1]:g} s and has no value at the frames of "
            f"the windows, {asked.min():g} to {asked.max():g} s",
            "A variable sampled at the same times was needed",
            "Bring it onto the recording's clock, for example hidden.interp(time=recording.time)",
        )
    return np.where(near[..., None], values[at], np.nan), labels


def _read(
    model: RecurrentModel, frames: _Frames, goal: list[Array], split: Split, lengths: list[int],
    nonlinear: bool, seed: int,
) -> dict[str, tuple[Array, Array, list[Array]]]:  # fmt: skip
    """Sums of both read-outs, window by window, and what was read, of each source."""
    own = states_on(model, frames.inputs)
    features: dict[str, tuple[list[Array], int]] = {NETWORK: (own, 1)}
    # A network that runs by itself has no inputs to read.
    for w in lengths if model.n_input else []:
        features["inputs" if w == 1 else f"inputs, window of {w}"] = (frames.inputs, w)
    fresh = redrawn(model, derived_seed(seed, 1))
    features[UNTRAINED] = (states_on(fresh, frames.inputs), 1)
    features[SHUFFLED] = (own, 1)
    # Windows change places within their half, far enough for a slow variable to have moved on.
    other = np.arange(len(goal))
    for part in (split.train, split.test):
        other[part] = np.roll(part, len(part) // 2)
    found = {}
    for name, (x, w) in features.items():
        y, used = goal, frames.used
        if name == SHUFFLED:
            y = [goal[k] for k in other]
            used = [frames.used[k] & frames.used[j] for k, j in enumerate(other)]
        read = read_linear(x, y, split, w, used)
        bent = [np.full_like(r, np.nan) for r in read]
        if nonlinear:
            bent = read_nonlinear(x, y, split, w, derived_seed(seed, 2), used)
        sums, more = (
            np.stack([scores.error_sums(y[k][used[k]], r[k][used[k]]) for k in split.test])
            for r in (read, bent)
        )
        found[name] = sums, more, read
    return found


def _reading(
    frames: _Frames, split: Split, sources: list[str], readings: list[list[Array]],
    scale: dict[str, Any],
) -> xr.Dataset:  # fmt: skip
    used = np.stack([frames.used[k] for k in split.test])[..., None]
    true = np.where(used, np.stack([frames.hidden[k] for k in split.test]), np.nan)
    read = np.stack([np.stack([r[k] for k in split.test]) for r in readings])
    read = np.where(used, read * scale["spread"] + scale["middle"], np.nan)
    attrs = {"units": frames.units}
    dims = ("trial", "time", "variable")
    return xr.Dataset(
        {
            "true": (dims, true, {**attrs, "long_name": "hidden variable"}),
            "read": (("source", *dims), read, {**attrs, "long_name": "read linearly"}),
        },
        coords={
            "source": np.array(sources), "variable": np.array(frames.names),
            "trial": split.test,
            "time": (
                "time", scale["dt"] * (np.arange(used.shape[1]) + 1),
                {"units": scale["time_unit"]},
            ),
        },
    )  # fmt: skip
