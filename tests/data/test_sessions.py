"""Several sessions in one fit: the layout, what it means for a network, and what is refused."""

import warnings

import numpy as np
import pytest
import torch
import xarray as xr

import neurornn as nr
from neurornn._core.errors import ConvergenceWarning, DataError, KindError, ShapeError, UnitError
from neurornn.training.batches import as_training_data
from neurornn.training.objectives import masked_mean

TAU = np.array([0.05, 0.25])
WEIGHTS = np.array([[0.0, 0.5], [-0.5, 0.0]])


def windows(n_trials, n_steps, n_inputs, n_outputs, rng, **attrs):
    rng = np.random.default_rng(rng)
    return xr.Dataset(
        {
            "inputs": (
                ("trial", "time", "input"),
                rng.standard_normal((n_trials, n_steps, n_inputs)),
            ),
            "targets": (
                ("trial", "time", "output"),
                rng.standard_normal((n_trials, n_steps, n_outputs)),
            ),
        },
        attrs={"dt": 0.01, **attrs},
    )


A, B = windows(3, 20, 2, 3, 0), windows(2, 15, 1, 4, 1)


def test_every_session_has_columns_of_its_own():
    both = nr.data.join_sessions({"monday": A, "tuesday": B})
    assert dict(both.sizes) == {"trial": 5, "time": 20, "input": 5, "output": 7}
    assert both["session"].values.tolist() == ["monday"] * 3 + ["tuesday"] * 2
    assert both["input"].values.tolist() == [
        "monday 0", "monday 1", "tuesday 0", "monday offset", "tuesday offset",
    ]  # fmt: skip
    # Cut out again by the coordinates, each session is what it was.
    for name, given in (("monday", A), ("tuesday", B)):
        part = both.isel(
            trial=both["session"] == name,
            input=both["input_session"] == name,
            output=both["output_session"] == name,
            time=slice(0, given.sizes["time"]),
        )
        assert np.array_equal(part["inputs"][..., :-1], given["inputs"])
        assert (part["inputs"][..., -1] == 1).all()
        assert np.array_equal(part["targets"], given["targets"]) and part["mask"].all()
    # Nothing of another session, and nothing after the end of a shorter trial, counts.
    assert int(both["mask"].sum()) == A["targets"].size + B["targets"].size
    assert float(abs(both["inputs"]).sum()) == pytest.approx(
        float(abs(A["inputs"]).sum() + abs(B["inputs"]).sum()) + 3 * 20 + 2 * 15
    )
    assert both.attrs["dt"] == 0.01
    np.testing.assert_allclose(both["time"], 0.01 * np.arange(1, 21))


def test_masks_go_by_the_names_of_their_axes():
    given = A.isel(time=slice(0, 3))
    seen = np.ones((3, 3), bool)
    seen[1, 2] = False  # trial 1, step 2; as many trials as steps
    holes = given["targets"].copy()
    holes[0, 0, 1] = np.nan
    for mask in (
        xr.DataArray(seen, dims=("trial", "time")),
        xr.DataArray(seen.T, dims=("time", "trial")),
        xr.DataArray(np.stack([seen] * 3), dims=("output", "trial", "time")),
    ):
        one = nr.data.join_sessions({"a": given.assign(mask=mask, targets=holes)})
        want = np.repeat(seen[..., None], 3, -1)
        want[0, 0, 1] = False
        assert np.array_equal(one["mask"], want)
    turned = given.transpose("time", "output", "input", "trial")
    assert nr.data.join_sessions({"a": turned}).identical(nr.data.join_sessions({"a": given}))


def test_windows_of_recordings_keep_their_labels_starts_and_warm_up():
    cut = {
        name: nr.data.windows(
            nr.simulate.simulate_calcium(n, 40.0, 20.0, rng=n),
            inputs="spikes", targets="dff", duration=10.0,
        )
        for name, n in (("monday", 2), ("tuesday", 3))
    }  # fmt: skip
    both = nr.data.join_sessions(cut, offset=False)
    assert both["output"].values.tolist()[1:3] == ["monday 1", "tuesday 0"]
    assert both.attrs["warmup"] == cut["monday"].attrs["warmup"]
    assert np.array_equal(both["start"][: cut["monday"].sizes["trial"]], cut["monday"]["start"])
    wanted = sum(int(w["mask"].sum()) for w in cut.values())
    assert int(both["mask"].sum()) == wanted


def test_sharing_all_is_joining_the_trials():
    """The very same arrays, so the very same fit."""
    other = windows(2, 20, 2, 3, 7)
    both = nr.data.join_sessions(
        {"a": A, "b": other}, share_inputs=True, share_outputs=True, offset=False
    )
    plain = xr.concat([A, other], dim="trial")
    assert np.array_equal(both["inputs"], plain["inputs"]) and both["mask"].all()
    assert (both["input_session"] == "").all() and (both["output_session"] == "").all()
    model = nr.models.LeakyRNN(2, 3, 3, dt=0.01, rng=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fits = [
            nr.fit(
                model,
                d,
                optimizer="adam",
                max_epochs=4,
                batch_size=2,
                rng=3,
                refine=False,
                intervals=False,
            )
            for d in (both, plain)
        ]
    for a, b in zip(fits[0].model.parameters(), fits[1].model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_columns_of_zeros_are_a_read_in_and_read_out_for_each_session():
    """Loss and gradients are those of one network run on every session by itself."""
    both = nr.data.join_sessions({"a": A, "b": B})
    model = nr.models.LeakyRNN(5, 4, 7, dt=0.01, tau=0.05, rng=0).double()
    data = as_training_data(both, model)
    loss = (model(data.inputs).output - data.targets) ** 2
    masked_mean(loss, data.mask).backward()
    whole = {n: p.grad.clone() for n, p in model.named_parameters()}
    model.zero_grad()
    total, count = 0.0, 0
    for name, given in (("a", A), ("b", B)):
        into = torch.tensor((both["input_session"] == name).values)
        out = torch.tensor((both["output_session"] == name).values)
        own, *offset = model.input_weight[:, into].split([given.sizes["input"], 1], 1)
        drive = torch.tensor(given["inputs"].values) @ own.T + offset[0][:, 0] + model.bias
        state, error = model.start(len(drive)), 0.0
        alpha, across = model.alpha(), model.weights()
        for k in range(drive.shape[1]):
            state = state + alpha * (torch.tanh(state @ across.T + drive[:, k]) - state)
            read = state @ model.output_weight[out].T + model.output_bias[out]
            error = error + ((read - torch.tensor(given["targets"].values)[:, k]) ** 2).sum()
        total, count = total + error, count + given["targets"].size
    (total / count).backward()
    for n, p in model.named_parameters():
        # The same sums in another order.
        torch.testing.assert_close(p.grad, whole[n], rtol=1e-10, atol=1e-13)


def seen_twice(seed, n_trials=8, n_steps=60, snr=3.0):
    """Two days of one network of two units: other inputs, other cells, another background."""
    rng = np.random.default_rng(seed)
    alpha = -np.expm1(-0.01 / TAU)
    days, truths = {}, {}
    for name, n_inputs, n_outputs, background in (("monday", 2, 3, 0.0), ("tuesday", 3, 4, 0.3)):
        # Cells that see one unit more than the other, as a population does: the time constants of
        # each day are then determined, and what is compared is how well.
        into = np.eye(2, n_inputs) + 0.3 * rng.standard_normal((2, n_inputs))
        out = np.eye(2)[np.arange(n_outputs) % 2] + 0.3 * rng.standard_normal((n_outputs, 2))
        x = rng.standard_normal((n_trials, n_steps, n_inputs))
        state, states = np.zeros((n_trials, 2)), []
        for k in range(n_steps):
            drive = state @ WEIGHTS.T + x[:, k] @ into.T + background
            state = state + alpha * (np.tanh(drive) - state)
            states.append(state)
        y = np.stack(states, 1) @ out.T
        y += y.std((0, 1)) / snr * rng.standard_normal(y.shape)
        days[name] = xr.Dataset(
            {
                "inputs": (("trial", "time", "input"), x),
                "targets": (("trial", "time", "output"), y),
            },
            attrs={"dt": 0.01},
        )
        truths[name] = (into, out, np.full((2, 1), background))
    return days, truths


def fitted(data, truths):
    """Time constants and intervals; the start is the truth, so that the maximum is the one."""
    into, out, background = zip(*truths, strict=True)
    model = nr.models.LeakyRNN(
        data.sizes["input"], 2, data.sizes["output"], dt=0.01, tau=TAU, tau_bounds=(0.005, 2.0),
        self_connections=False,
    )  # fmt: skip
    with torch.no_grad():
        model.recurrent_weight.copy_(torch.tensor(WEIGHTS))
        # A day alone has no offset, it is its bias.
        alone = data.sizes["input"] == into[0].shape[1]
        model.input_weight.copy_(torch.tensor(np.hstack(into if alone else [*into, *background])))
        model.bias.copy_(torch.tensor(background[0][:, 0] if alone else [0.0, 0.0]))
        model.output_weight.copy_(torch.tensor(np.vstack(out)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        result = nr.fit(model, data, max_epochs=30)
    return result.parameters["tau"].values, result.parameters["tau_ci"].values


@pytest.mark.slow
def test_two_days_tell_the_time_constants_better_than_one():
    errors = {"both": [], "monday": [], "tuesday": []}
    widths = {name: [] for name in errors}
    covered = []
    for seed in range(3):
        days, truths = seen_twice(seed)
        for name, data in {"both": nr.data.join_sessions(days), **days}.items():
            tau, ci = fitted(data, truths.values() if name == "both" else [truths[name]])
            errors[name].append(np.log(tau / TAU))
            widths[name].append(np.log(ci[:, 1] / ci[:, 0]))
            if name == "both":
                covered.append((ci[:, 0] < TAU) & (ci[:, 1] > TAU))
    rms = {name: np.sqrt(np.mean(np.square(e))) for name, e in errors.items()}
    # Twice the data: errors fall to 0.7 of one day's. Six of them tell their size to 30 %, and
    # those of a day are part of those of both: not above the better day's.
    assert rms["both"] < min(rms["monday"], rms["tuesday"])
    # The robust widening varies by chance over the few trials of a day.
    typical = {name: np.median(w) for name, w in widths.items()}
    assert typical["both"] < 0.9 * min(typical["monday"], typical["tuesday"])
    # Of six intervals of 95 %, fewer than four hold the truth once in 450.
    assert np.sum(covered) >= 4


@pytest.mark.parametrize(
    ("sessions", "options", "kind", "said"),
    [
        ([A, B], {}, KindError, "dict"),
        ({}, {}, DataError, "At least one session"),
        ({1: A, "1": B}, {}, DataError, "name of its own"),
        ({"a": A, "b": np.zeros(3)}, {}, KindError, "'b' is a ndarray"),
        ({"a": A[["inputs"]]}, {}, KindError, "without inputs and targets"),
        ({"a": A.rename(trial="sweep")}, {}, ShapeError, "sweep"),
        ({"a": A.isel(trial=slice(0, 0))}, {}, ShapeError, "At least one trial"),
        ({"a": A.assign(inputs=A["inputs"] * np.nan)}, {}, DataError, "NaN"),
        ({"a": A.assign(mask=("trial", [True] * 3))}, {}, ShapeError, "mask of session 'a'"),
        ({"a": A, "b": B.assign_attrs(dt=0.02)}, {}, UnitError, "0.01 s .* 0.02 s"),
        ({"a": A, "b": B.assign_attrs(dt=-1.0)}, {}, DataError, "dt of session 'b'"),
        ({"a": B.drop_attrs()}, {}, UnitError, "neither dt"),
        ({"a": A, "b": B}, {"share_inputs": True}, ShapeError, "share_inputs"),
        ({"a": A, "b": B}, {"share_outputs": True}, ShapeError, r"3 outputs \(0, 1, 2\)"),
        (
            {"a": A, "b": A.assign_coords(output=[0, 2, 1])},
            {"share_outputs": True},
            ShapeError,
            "same order",
        ),
        (
            {"a": A.assign_attrs(time_unit="s"), "b": A.assign_attrs(time_unit="bp")},
            {},
            UnitError,
            "time_unit",
        ),
        (
            {"a": A.assign_attrs(horizon=1), "b": A.assign_attrs(horizon=0)},
            {},
            DataError,
            "horizon",
        ),
    ],
)
def test_sessions_that_cannot_be_joined_are_refused(sessions, options, kind, said):
    with pytest.raises(kind, match=said):
        nr.data.join_sessions(sessions, **options)
