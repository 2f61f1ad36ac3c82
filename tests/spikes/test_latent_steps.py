"""Steps of several rows against one row at a time: the same likelihood, and the same slope."""

import numpy as np
import pytest

import neurornn as nr
from neurornn.spikes.latent_likelihood import OneLatent
from neurornn.spikes.latent_steps import steps_of
from neurornn.spikes.timescale_records import as_rows


def _rows(n_units, rate, *, gaps=False, dt=0.02, duration=120.0):
    counts = nr.simulate.simulate_latent_population(
        n_units, duration, tau=0.1, rate=rate, bin_size=dt, rng=3
    )["counts"].values.astype(float)  # fmt: skip
    if gaps:
        counts[100:300, 0] = np.nan
        counts[1000:1100] = np.nan
    third = len(counts) // 3
    return as_rows(counts, np.array([0, third, third + 7, len(counts)]), dt)


@pytest.mark.parametrize(
    ("n_units", "rate", "gaps", "dt"),
    [(1, 5.0, False, 0.02), (1, 2.0, True, 0.02), (1, 15.0, False, 0.02), (3, 3.0, True, 0.005)],
)
@pytest.mark.parametrize("within", [True, False])
def test_rows_together_are_rows_one_by_one(n_units, rate, gaps, dt, within):
    rows = _rows(n_units, rate, gaps=gaps, dt=dt)
    model = OneLatent(rows, within=within)
    assert model.steps.most > 1
    at = (np.log(0.08), np.log(rows.counts.mean(axis=0)), np.full(n_units, 0.7))
    model.set_grid(at[0], at[2])
    assert model.n_nodes == 1
    together, slope = model.value(*at)
    model.steps, model._last = model.single, None
    alone, other = model.value(*at)
    # The same sums in another order; the slope by tau is a difference over 2e-4.
    assert together == pytest.approx(alone, rel=1e-11)
    assert slope == pytest.approx(other, abs=1e-5)


def test_what_was_asked_last_is_answered_only_for_the_same_question():
    rows = _rows(1, 5.0)
    model = OneLatent(rows)
    at = [np.log(0.1), np.log(rows.counts.mean(axis=0)), np.array([0.7])]
    model.set_grid(at[0], at[2])
    value, _ = model.value(*at, slope=False)
    again, slope = model.value(*at)
    assert again == value
    assert len(slope) == 3
    for k, moved in enumerate((at[0] + 0.1, at[1] + 0.1, at[2] + 0.1)):
        other = [*at[:k], moved, *at[k + 1 :]]
        assert model.value(*other)[0] != value
    slope[:] = 0.0
    assert model.value(*at)[1].any()


def test_steps_hold_every_row_once():
    rows = _rows(1, 4.0, gaps=True)
    walked = (rows.counts, rows.edges, rows.pattern, len(rows.known))
    steps = steps_of(*walked)
    # Steps end where runs and patterns do, and at every spike.
    lengths = np.diff(np.concatenate([[-1], steps.last]))
    assert lengths.sum() == len(rows.counts)
    assert lengths.max() <= steps.most
    assert set(rows.edges[1:] - 1) <= set(steps.last)
    assert set(np.flatnonzero(rows.counts.any(axis=1))) <= set(steps.last)
    assert set(np.flatnonzero(np.diff(rows.pattern))) <= set(steps.last)
    assert steps.last[steps.edges[1:] - 1].tolist() == (rows.edges[1:] - 1).tolist()
    assert np.sort(steps.place).tolist() == list(range(len(steps.last)))


def test_numbers_of_one_unit_in_a_table_of_their_own_only_while_they_are_few():
    draw = np.random.default_rng(0)
    counts = draw.poisson(40, (3000, 1)) * (draw.random((3000, 1)) < 0.2).astype(float)
    walked = (np.array([0, 3000]), np.zeros(3000, dtype=np.int64), 1)
    steps = steps_of(counts, *walked)
    assert len(steps.counts) == 0
    assert steps.most > 1
    steps = steps_of(np.minimum(counts, 5), *walked)
    assert steps.counts.tolist() == [5.0]
    # Nor in a few rows, where matrices would take longer than they save.
    assert steps_of(counts[:30], np.array([0, 30]), np.zeros(30, dtype=np.int64), 1).most == 1
