"""Trials as they come: lists of unequal lengths, and arrays whose first axis is time."""

import warnings

import numpy as np
import pytest
import torch
import xarray as xr

import neurornn as nr
from neurornn._core.errors import AxisWarning, DataError, ShapeError, UnitError
from neurornn.training.batches import as_training_data

#: Fits are cut short here: whether they converge is not asked.
pytestmark = pytest.mark.filterwarnings("ignore::neurornn._core.errors.ConvergenceWarning")

LENGTHS = (40, 70, 55, 61)


def trials(seed=0):
    rng = np.random.default_rng(seed)
    x = [rng.standard_normal((n, 2)) for n in LENGTHS]
    return x, [np.cumsum(v[:, :1], 0) * 0.1 for v in x]


def model(kind="LeakyRNN", **options):
    return getattr(nr.models, kind)(2, 4, 1, dt=0.01, rng=0, **options)


def test_a_list_is_the_padded_array_with_its_mask():
    x, y = trials()
    data = as_training_data((x, y), model())
    assert data.inputs.shape == (4, 70, 2) and data.targets.shape == (4, 70, 1)
    for k, n in enumerate(LENGTHS):
        assert np.array_equal(data.inputs[k, :n], x[k])
        assert np.array_equal(data.targets[k, :n], y[k])
        assert data.mask[k, :n].all() and not data.mask[k, n:].any()


@pytest.mark.parametrize("kind", ["LeakyRNN", "GRU"])
def test_a_fit_to_a_list_is_that_to_padding_of_any_kind(kind):
    x, y = trials()
    options = {"bidirectional": True} if kind == "GRU" else {}
    whole = np.full((4, 70, 2), 7.0), np.full((4, 70, 1), -3.0), np.zeros((4, 70), bool)
    for k, n in enumerate(LENGTHS):
        whole[0][k, :n], whole[1][k, :n], whole[2][k, :n] = x[k], y[k], True
    fits = [
        nr.fit(model(kind, **options), d, max_epochs=5, optimizer="adam", intervals=False,
               refine=False, rng=0)
        for d in ((x, y), whole)
    ]  # fmt: skip
    assert np.allclose(fits[0].history["loss"], fits[1].history["loss"], rtol=1e-6)


def test_a_list_of_masks_counts_each_trial_for_itself():
    x, y = trials()
    seen = [np.arange(n) > 9 for n in LENGTHS]
    data = as_training_data((x, y, seen), model())
    assert data.mask.sum(1).flatten().tolist() == [n - 10 for n in LENGTHS]
    with pytest.raises(ShapeError, match=r"mask of trial 2"):
        as_training_data((x, y, [*seen[:2], seen[0], seen[3]]), model())


def test_a_list_of_labelled_trials_is_on_the_clock_of_the_model():
    x, y = trials()
    at = [np.arange(n) * 0.02 for n in LENGTHS]
    x = [
        xr.DataArray(v.T, dims=("input", "time"), coords={"time": t})
        for v, t in zip(x, at, strict=True)
    ]
    with pytest.raises(UnitError, match=r"steps of 0\.02"):
        as_training_data((x, y), model())
    slow = nr.models.LeakyRNN(2, 4, 1, dt=0.02, rng=0)
    assert np.array_equal(as_training_data((x, y), slow).inputs[1], x[1].values.T)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x, y: (x[:3], y), r"inputs are 3 trials.*list of 4"),
        (lambda x, y: (x, [*y[:3], y[0]]), r"Trial 3 of data has 61 steps of inputs and 40"),
        (lambda x, y: ([*x[:3], x[3][:, :1]], y), r"inputs have 1, 2 columns"),
        (lambda x, y: (x, np.zeros((4, 70, 1))), r"targets are no list"),
    ],
)
def test_lists_that_do_not_fit_are_told_apart(change, said):
    with pytest.raises(ShapeError, match=said):
        as_training_data(change(*trials()), model())


def smooth(n_trials, n_steps, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n_trials, n_steps, 2))
    y, state = np.zeros((n_trials, n_steps, 1)), np.zeros((n_trials, 1))
    for k in range(n_steps):
        state = 0.9 * state + x[:, k, :1]
        y[:, k] = state
    return x, y


@pytest.mark.parametrize("shape", [(20, 100), (100, 20), (60, 60)])
def test_time_first_is_noticed_and_trial_first_is_not(shape):
    for seed in range(5):
        x, y = smooth(*shape, seed)
        with pytest.warns(AxisWarning, match=r"swapaxes\(0, 1\)"):
            as_training_data((x.swapaxes(0, 1), y.swapaxes(0, 1)), model())
        with warnings.catch_warnings():
            warnings.simplefilter("error", AxisWarning)
            as_training_data((x, y), model())


def test_sorted_trials_and_what_all_trials_share_are_no_time():
    x, y = smooth(40, 30, 0)
    noise = np.random.default_rng(1).standard_normal(y.shape)
    # Trials sorted by condition, in targets that are white in time.
    by_condition = np.sort(np.random.default_rng(2).standard_normal((40, 1, 1)), 0) + noise
    # A response that all trials share, as over a stimulus.
    shared = y[:1] + 0.3 * noise
    labelled = xr.DataArray(y.swapaxes(0, 1), dims=("time", "trial", "output"))
    with warnings.catch_warnings():
        warnings.simplefilter("error", AxisWarning)
        for targets in (by_condition, shared, torch.as_tensor(noise)):
            as_training_data((x, targets), model())
        as_training_data((x, labelled), model())


def named(x, units, start=0.0, dt=0.01):
    time = start + dt * np.arange(1, len(x) + 1)
    return xr.DataArray(x, dims=("time", "unit"), coords={"time": time, "unit": units})


def test_units_of_another_trial_or_of_the_validation_in_another_order_are_refused():
    x, y = trials()
    good = [named(v, ["a", "b"]) for v in x]
    turned = named(x[1][:, ::-1], ["b", "a"])
    with pytest.raises(DataError, match=r"units of data inputs of trial 1 are \['b', 'a'\]"):
        as_training_data(([good[0], turned, *good[2:]], y), model())
    with pytest.raises(DataError, match=r"units of validation inputs are \['b', 'a'\]"):
        nr.fit(model(), (good, y), validation=([turned], y[1:2]))
    assert as_training_data((good, y), model()).inputs.shape == (4, 70, 2)


def test_rows_of_other_times_and_pauses_inside_a_trial_are_refused():
    x, y = trials()
    late = [named(v, ["y"], start=0.15) for v in y]
    with pytest.raises(DataError, match=r"up to 0\.15 s apart"):
        as_training_data(([named(v, ["a", "b"]) for v in x], late), model())
    # The next frame as a target, as in a forecast, is no mistake; the one before is.
    series = named(x[0], ["a", "b"])
    ahead = ([series[:-1]], [series[1:, :1]])
    assert as_training_data(ahead, model()).targets.shape == (1, LENGTHS[0] - 1, 1)
    with pytest.raises(DataError, match=r"up to 0\.01 s apart"):
        as_training_data(([series[1:]], [series[:-1, :1]]), model())
    paused = named(x[0], ["a", "b"])
    time = paused["time"].values.copy()
    time[20:] += 5.0
    with pytest.raises(DataError, match=r"a step of 5\.01 s among steps of 0\.01"):
        as_training_data(([paused.assign_coords(time=time)], y[:1]), model())


def test_an_array_beside_a_list_is_refused_with_the_way_out():
    _, y = trials()
    with pytest.raises(ShapeError, match="inputs are no list"):
        as_training_data((np.zeros((4, 70, 2)), y), model())


def test_a_mask_of_the_users_own_does_not_hide_what_a_look_ahead_reads():
    """The padding of a list is known: inputs under a mask were recorded all the same."""
    x, y = trials()
    seen = [np.ones(n, bool) for n in LENGTHS]
    seen[2][:5] = False
    both = model("GRU", bidirectional=True)
    data = as_training_data((x, y, seen), both)
    assert np.array_equal(data.inputs[2, :5], x[2][:5])
    assert not data.mask[2, :5].any() and not data.inputs[0, 40:].any()
