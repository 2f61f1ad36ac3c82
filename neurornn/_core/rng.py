"""Random numbers: everything random takes ``rng`` (int, Generator or None), as in SPEC 7."""

from typing import TypeAlias

import numpy as np

RNG: TypeAlias = int | np.random.Generator | np.random.SeedSequence | None


def generator(rng: RNG = None) -> np.random.Generator:
    """Return a NumPy generator; an int gives the same stream every time.

    Parameters
    ----------
    rng : int, Generator, SeedSequence or None
        None draws fresh entropy from the machine.
    """
    return np.random.default_rng(rng)


def derived_seed(rng: int, *path: int) -> int:
    """Return a seed for one step of a longer job, the same whatever ran before it.

    A job that resumes in the middle draws the same numbers as one that never stopped,
    because nothing about the generator has to be carried over.

    Parameters
    ----------
    rng : the seed of the whole job.
    path : where in the job this step stands, for example ``(epoch, batch)``.
    """
    return int(np.random.SeedSequence([rng, *path]).generate_state(1, np.uint64)[0] >> 1)


def seed_of(rng: RNG) -> int:
    """Return an int seed: the one given, or one drawn from the generator given."""
    if isinstance(rng, int | np.integer):
        return int(rng)
    return int(generator(rng).integers(2**31 - 1))
