"""Run a case by its name: the same seed, the same numbers."""

import logging
import os
import zlib
from typing import Any

import numpy as np

from tests.hostile.arrays import KINDS, LAYOUTS, SCALARS
from tests.hostile.doors import Case, doors
from tests.hostile.outcomes import Outcome, attempt

_DOORS: dict[str, Any] = {}


def quiet() -> None:
    """One thread, no windows, no log."""
    import torch

    os.environ.setdefault("MPLBACKEND", "Agg")
    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)


def seed_of(key: str) -> int:
    """The seed of a case is its name."""
    return zlib.crc32(key.encode())


def sampled(found: list[Any], share: float, salt: str = "") -> list[Any]:
    """A seeded share of the cases, the same every time."""
    return [c for c in found if seed_of(salt + c.key) % 10_000 < round(10_000 * share)]


def run_case(case: Case) -> Outcome:
    """Make the hostile argument and call the door with it."""
    if not _DOORS:
        _DOORS.update(doors())
    door = _DOORS[case.door]
    if case.is_array:
        base = door.arrays[case.argument]
        rng = np.random.default_rng(seed_of(case.key))
        try:
            value = KINDS[case.kind](base, rng)
        except Exception as error:
            return Outcome("our error", f"no such array can be made here: {error}")
        if isinstance(base, list) and isinstance(value, np.ndarray) and "list" not in case.kind:
            value = [value, *base[1:]]
    else:
        value = SCALARS[case.kind]
    # Where labels or other things are asked for, a plain array of good numbers is refused.
    plain = case.is_array and isinstance(base, np.ndarray) and case.argument not in _NO_ARRAYS
    return attempt(
        lambda: door.call(**{case.argument: value}), valid=plain and case.kind in LAYOUTS
    )


#: Arguments whose good value stands here only for its shape, and labels that are no floats.
_NO_ARRAYS = {"fits", "success", "units", "n_units"}


def run_config(case: Any) -> Outcome:
    """Write the file and run ``neurornn fit`` on it."""
    from tests.hostile.configs import run

    return run(case)
