"""Seeds: the same place in a job draws the same numbers, another place others."""

import numpy as np
import pytest

from neurornn._core.rng import derived_seed, generator, seed_of


def test_a_seed_is_kept_and_a_generator_gives_one():
    assert seed_of(7) == seed_of(np.int64(7)) == 7 and isinstance(seed_of(np.int64(7)), int)
    drawn = [seed_of(np.random.default_rng(0)) for _ in range(2)]
    assert drawn[0] == drawn[1] == int(np.random.default_rng(0).integers(2**31 - 1))
    rng = np.random.default_rng(0)
    assert 0 <= seed_of(rng) < 2**31 and seed_of(rng) != drawn[0]
    # None is another seed each time: of ten no two in 2e9 are the same but by bad luck.
    assert len({seed_of(None) for _ in range(10)}) == 10


def test_a_step_of_a_job_has_its_own_seed():
    seeds = {derived_seed(0), derived_seed(0, 1), derived_seed(0, 1, 2), derived_seed(1, 1)}
    assert len(seeds) == 4 and all(0 <= s < 2**63 for s in seeds)
    assert derived_seed(3, 4) == derived_seed(3, 4)


def test_a_generator_is_used_as_it_is():
    rng = np.random.default_rng(0)
    assert generator(rng) is rng
    assert generator(5).integers(100) == np.random.default_rng(5).integers(100)
    with pytest.raises((TypeError, ValueError)):
        generator("five")
