"""What comes to PyDMD's classes, looked at before they do."""

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from neurornn._core.checks import check_choice, check_count, check_number, check_numbers
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn._core.units import counted
from neurornn.data.samples import Samples
from neurornn.koopman.pydmd_methods import Array, Method
from neurornn.koopman.trajectories import as_trajectories

#: Frames that any method needs.
_LEAST = 4


def check_options(cls: type, known: Method, options: dict[str, Any]) -> dict[str, Any]:
    """Options that the class knows; the rank has a name of its own."""
    names = [n for n in inspect.signature(cls).parameters if n != "svd_rank"]
    for name in options:
        if name == "svd_rank":
            raise KindError(
                "svd_rank came", "The rank was needed under its own name", "Pass rank=5"
            )
        check_choice(name, f"an option of {known.cls}", names)
    return options


def rank_of(rank: Any, method: str, options: Mapping[str, Any]) -> float:
    """Rank as PyDMD takes it: 0 for its threshold."""
    if isinstance(rank, str):
        check_choice(rank, "rank", ("auto",))
        return 0
    if "dmd" in options and method == "multiresolution":
        raise KindError(
            f"rank={rank} came with dmd={type(options['dmd']).__name__}",
            "One of them was needed: the object has a rank of its own",
            "Leave rank out",
        )
    if 0 < check_number(rank, "rank") < 1:
        return float(rank)
    return check_count(rank, "rank")


def check_frames(samples: Samples, known: Method) -> None:
    """Refuse what the class does not take: several trajectories, missing frames, hardly any."""
    n = len(samples.stretches)
    if n > 1 and not known.several:
        raise DataError(
            f"{n} trajectories came: trials, or stretches between gaps of the clock",
            f"One trajectory was needed: {known.cls} of PyDMD takes no more",
            "Pass one of them, or use fit_modes, which takes all; method='exact' does too",
        )
    bad = np.asarray(~np.isfinite(samples.values).all(axis=1))
    if bad.any():
        raise DataError(
            f"{int(bad.sum())} of {len(bad)} frames hold NaN",
            "Complete frames were needed: PyDMD takes no others",
            "Use fit_modes, which leaves them out, or leave out the units that are often missing",
        )
    longest = max(s.stop - s.start for s in samples.stretches)
    if longest < _LEAST:
        raise DataError(
            f"The longest trajectory has {counted(longest, 'frame')}",
            f"At least {_LEAST} frames were needed",
            "Record for longer; check that time is the first axis",
        )


def check_rank(
    samples: Samples, rank: float, method: str, known: Method, options: Mapping[str, Any]
) -> int:
    """Refuse a rank above that of what the class decomposes; return that rank."""
    delays = check_count(options.get(known.delays, 1), known.delays or "delays")
    for name in ("lag", "num_chaos"):
        check_count(options.get(name, 1), name)
    reach = (delays - 1) * int(options.get("lag", 1)) if method == "havok" else delays - 1
    if samples.n_rows - reach < _LEAST:
        raise DataError(
            f"{known.delays}={delays} came for {counted(samples.n_rows, 'frame')}",
            f"{_LEAST} frames more than the delays reach were needed",
            f"Pass a lower {known.delays}, or record for longer",
        )
    if method == "multiresolution":
        # Windows hold what slower ones left: each has a rank of its own.
        laid = samples.values
        most = min(laid.shape[0] - 1, laid.shape[1])
    else:
        laid = np.concatenate([_delayed(samples.values[s], delays, reach)
                               for s in samples.stretches])  # fmt: skip
        most = int(np.linalg.matrix_rank(laid))
    if rank >= 1 and rank > most:
        raise DataError(
            f"rank is {rank:g}, and the data have rank {most}: {counted(len(laid), 'frame')} of "
            f"{counted(laid.shape[1], 'number')}",
            f"A rank of at most {most} was needed",
            f"Pass rank={most} or less"
            + ("" if known.delays else ", or method='hankel', which lays delays side by side"),
        )
    return most


def _delayed(values: Array, delays: int, reach: int) -> Array:
    """Frames laid side by side, those that have a next one: (frame, unit * delay)."""
    n = len(values) - reach
    step = reach // (delays - 1) if delays > 1 else 0
    laid = [values[k * step : k * step + n] for k in range(delays)]
    return np.concatenate(laid, axis=1) if delays > 1 else values[:-1]


def inputs_of(inputs: Any, samples: Samples, method: str) -> Array | None:
    """Inputs of every frame, (input, time)."""
    if inputs is None and method == "control":
        raise DataError(
            "method='control' came without inputs",
            "What drives the system was needed, (time, input)",
            "Pass inputs=u, or method='exact'",
        )
    if inputs is None:
        return None
    if method != "control":
        raise DataError(
            f"inputs came with method={method!r}",
            "A method that takes inputs was needed",
            "Pass method='control', or leave them out",
        )
    driven = as_trajectories(inputs, samples.dt, "inputs")
    if not np.array_equal(driven.run, samples.run) or not np.isfinite(driven.values).all():
        raise ShapeError(
            f"The inputs have {int(driven.usable.sum())} complete frames, the states "
            f"{samples.n_rows}",
            "An input for every frame was needed",
            "Bring the inputs onto the frames of the states",
        )
    return np.asarray(driven.values, dtype=np.float64).T


def derivatives_of(derivatives: Any, samples: Samples, method: str) -> Array | None:
    """Derivatives of the only trajectory, (unit, time)."""
    if derivatives is None:
        return None
    x = check_numbers(derivatives, "derivatives", missing=False)
    x = x[0] if x.ndim == 3 and len(x) == 1 else x
    if method != "lando" or x.shape != samples.values.shape:
        raise ShapeError(
            f"derivatives of shape {x.shape} came with method={method!r} and states of shape "
            f"{samples.values.shape}",
            "method='lando' and a derivative for every number of one trajectory were needed",
            "Leave them out, or bring them to the shape of the states",
        )
    if len(samples.stretches) > 1:
        raise DataError(
            f"derivatives came with {len(samples.stretches)} trajectories",
            "One trajectory was needed",
            "Pass one of them",
        )
    return np.asarray(x, dtype=np.float64).T


def fixed_point_of(point: Any, samples: Samples, method: str, options: Mapping[str, Any]) -> Array:
    """State around which a model is linearised, (unit,)."""
    n = samples.values.shape[1]
    curved = options.get("kernel_metric", "linear") != "linear" or options.get("kernel_function")
    if point is None:
        if method == "lando" and curved:
            raise DataError(
                "A kernel that is not linear came without fixed_point",
                "The state was needed around which the model is linearised, (unit,)",
                "Pass fixed_point=states.mean(0), or a point of nr.dynamics.find_fixed_points",
            )
        return np.zeros(n)
    x = check_numbers(point, "fixed_point", missing=False)
    if method != "lando" or x.shape != (n,):
        raise ShapeError(
            f"fixed_point of shape {x.shape} came with method={method!r}",
            f"method='lando' and shape ({n},) were needed",
            "Leave it out, or pass one number for each unit",
        )
    return np.asarray(x, dtype=np.float64)


def plain_option(value: Any) -> Any:
    """What a file can keep of an option."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple | set | frozenset):
        return (
            sorted(map(str, value)) if isinstance(value, set) else [plain_option(v) for v in value]
        )
    if isinstance(value, dict):
        return {str(k): plain_option(v) for k, v in value.items()}
    return f"a {type(value).__name__}"
