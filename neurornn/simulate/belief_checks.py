"""What a decision process is made of, checked: rows of probabilities, names, actions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurornn._core.checks import check_labels, check_numbers
from neurornn._core.errors import DataError, KindError, ShapeError

Array = NDArray[np.float64]
#: A sum of probabilities may be off by rounding, and by no more.
ROUNDING = 1e-8


def corners_of(resolution: int, n_states: int) -> int:
    """Corners of the grid that cuts the edges of a simplex into so many parts."""
    total = 1
    for k in range(1, n_states):
        total = total * (resolution + k) // k
    return total


def process_array(
    values: Any, name: str, ndim: int, shape: tuple[int, ...] | None = None
) -> Array:
    """Return an array of finite numbers of so many axes, or of a shape, or raise."""
    found = np.ascontiguousarray(check_numbers(values, name, missing=False), dtype=float)
    if found.ndim != ndim or not found.size or (shape is not None and found.shape != shape):
        wanted = f"shape {shape}" if shape is not None else f"{ndim} axes"
        raise ShapeError(
            f"{name} has shape {found.shape}", f"An array of {wanted} was needed",
            f"Check {name}",
        )  # fmt: skip
    return found


def check_distribution(values: Array, name: str, axes: tuple[str, ...]) -> None:
    """Raise where a row is no probability distribution."""
    sums = values.sum(axis=-1)
    bad = ~(np.abs(sums - 1.0) <= ROUNDING) | (values < 0).any(axis=-1)
    if not bad.any():
        return
    where = tuple(int(k) for k in np.argwhere(bad)[0])
    label = ", ".join(f"{a} {k}" for a, k in zip(axes, where, strict=True))
    row = values[where]
    raise DataError(
        f"{name}{f' ({label})' if label else ''} sums to {row.sum():.6g}, its least entry is "
        f"{row.min():.3g}",
        "Probabilities of at least 0 that sum to 1 along the last axis were needed",
        "Check the order of the axes, or divide each row by its sum",
    )


def checked_names(names: Sequence[str], n: int, what: str) -> tuple[str, ...]:
    """Return names, one for each of n things, or none at all."""
    given = tuple(str(v) for v in check_labels(list(names), what)) if len(names) else ()
    if given and len(given) != n:
        raise ShapeError(
            f"{what} has {len(given)} names", f"{n} were needed", "Leave it out, or name each"
        )
    return given


def checked_action(action: Any, n: int, names: tuple[str, ...]) -> int:
    """Return the number of an action, or raise and say which there are."""
    plain = action.item() if isinstance(action, np.ndarray) and action.size == 1 else action
    said = ", ".join(f"{k} {v}" for k, v in enumerate(names)) if names else f"0 to {n - 1}"
    if not isinstance(plain, int | np.integer) or isinstance(plain, bool):
        raise KindError(
            f"The action is {plain!r}",
            "The number of an action was needed",
            f"Pass one of: {said}",
        )
    if not 0 <= plain < n:
        raise DataError(
            f"The action is {plain}", f"A number from 0 to {n - 1} was needed",
            f"Pass one of: {said}",
        )  # fmt: skip
    return int(plain)
