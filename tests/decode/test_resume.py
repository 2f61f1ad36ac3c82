"""A recurrent decoder whose fit was stopped goes on where it was."""

import numpy as np
import pytest

import neurornn as nr


class Stopped(Exception):
    """What a user's interrupt does."""


def test_a_stopped_fit_goes_on_to_the_same_bits(tmp_path):
    rng = np.random.default_rng(0)
    velocity = rng.normal(size=(400, 2))
    counts = rng.poisson(np.exp(0.5 * velocity @ rng.normal(size=(2, 15))))
    settings = {
        "bin_size": 0.05, "n_hidden": 8, "n_seeds": 2, "max_epochs": 12, "window": 20,
        "separate": True, "rng": 3,
    }  # fmt: skip
    whole = nr.decode.RecurrentDecoder("gru", **settings).fit(counts, velocity)
    seen = []

    def stop(done, total):
        seen.append((done, total))
        # In the second of four networks, past a checkpoint (every tenth epoch).
        if done == 23:
            raise Stopped

    folder = tmp_path / "kept"
    # Raised by the callback above, without words.
    with pytest.raises(Stopped):
        nr.decode.RecurrentDecoder("gru", checkpoint=folder, progress=stop, **settings).fit(
            counts, velocity
        )
    assert seen[-1] == (23, 48)
    again = nr.decode.RecurrentDecoder("gru", checkpoint=folder, **settings).fit(counts, velocity)
    assert (again.predict(counts) == whole.predict(counts)).all()
    assert (again.seed_scores_ == whole.seed_scores_).all()
