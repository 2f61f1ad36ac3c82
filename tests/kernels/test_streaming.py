"""One bin of a decoder: features, the watch, linear maps and networks against plain NumPy, torch.

Networks run through `NetworkMachine`, as in a stream; arrays of weights come from torch models.
"""

import numpy as np
import pytest
from scipy.stats import poisson

from neurornn._kernels.network_steps import mean_of_members
from neurornn._kernels.streaming import (
    LARGEST_SIZE,
    POWERS,
    USUAL_SIZE,
    lagged_step,
    poisson_evidence,
    survey_units,
    transform_counts,
)
from neurornn.decode.machines import (
    KalmanMachine,
    LinearMachine,
    NetworkMachine,
    steady_covariance,
)
from neurornn.decode.preparation import Preparation, features_of, learn_preparation


def preparation(n, *, limits=(1e9, 1e9, 1e9), covariance=None, **changed):
    """A preparation of `n` units with mean 2 and sd 3."""
    settings = {
        "power": 1.0, "lowest": 0.0, "smoothing": 0.0, "pace": 0.0, "watch_pace": 0.01,
        "stand_in": "expected",
    } | changed  # fmt: skip
    arrays = {
        "centre": np.full(n, 2.0),
        "scale": np.full(n, 3.0),
        "covariance": np.eye(n) if covariance is None else covariance,
        "limits": np.repeat(np.array(limits, float)[:, None], n, axis=1),
    }
    return Preparation(arrays, settings)


def feed(prepared, row):
    """Features of one bin."""
    prepared.counts[:] = row
    prepared.step()
    return prepared.features.copy()


@pytest.mark.parametrize("power", POWERS)
def test_powers_of_counts(power):
    counts = np.arange(30.0)
    out = np.empty(30)
    transform_counts(counts, power, out)
    # A root and a product round once each.
    np.testing.assert_allclose(out, counts**power, rtol=3e-16)


def test_features_are_z_scores_and_what_is_no_count_is_the_mean():
    prepared = preparation(6)
    prepared.counts[:] = [0, 2, 5, np.nan, -1, np.inf]
    n_changed, n_invalid = prepared.step()
    np.testing.assert_allclose(prepared.features, [-2 / 3, 0, 1, 0, 0, 0], rtol=1e-15)
    assert (n_changed, n_invalid) == (0, 2)
    assert np.isnan(prepared.counts[3:]).all()


def test_any_number_is_a_feature_but_infinity():
    prepared = preparation(3, lowest=-np.inf)
    prepared.counts[:] = [-7, -np.inf, 1e30]
    assert prepared.step()[1] == 1
    np.testing.assert_allclose(prepared.features, [-3, 0, 1e30 / 3], rtol=1e-15)


def test_a_unit_without_variance_says_nothing():
    prepared = preparation(2)
    arrays = prepared.arrays | {"scale": np.array([0.0, 3.0])}
    assert feed(Preparation(arrays, prepared.settings), [50, 5]).tolist() == [0.0, 1.0]


def test_smoothing_is_an_exponential_average(rng):
    rows = rng.poisson(3.0, (50, 4)).astype(float)
    prepared = preparation(4, smoothing=0.7)
    smooth = np.zeros(4)
    for row in rows:
        smooth = 0.7 * smooth + 0.3 * (row - 2) / 3
        np.testing.assert_allclose(feed(prepared, row), smooth, atol=1e-15)
    np.testing.assert_allclose(features_of(prepared, rows)[-1], smooth, atol=1e-14)


def test_mean_and_variance_are_followed(rng):
    rows = rng.poisson(9.0, (400, 3)).astype(float)
    rows[::5, 1] = np.nan
    prepared = preparation(3, pace=0.02)
    centre, variance = np.full(3, 2.0), np.full(3, 9.0)
    for row in rows:
        away = row - centre
        expected = np.nan_to_num(away / np.sqrt(variance))
        known = np.isfinite(row)
        centre[known] += 0.02 * away[known]
        variance[known] += 0.02 * (away[known] ** 2 - variance[known])
        np.testing.assert_allclose(feed(prepared, row), expected, rtol=1e-11, atol=1e-12)
    # Poisson of mean 9 has variance 9; 50 bins count, so the mean moves by 3 / sqrt(2 * 50).
    assert prepared.state["centre"] == pytest.approx(9, abs=1.5)


def test_a_silent_unit_is_found_one_bin_after_the_limit_and_taken_back_at_once():
    prepared = preparation(2, limits=(5, 1e9, 1e9))
    verdicts = []
    for _ in range(8):
        feed(prepared, [0, 1])
        verdicts.append(prepared.state["verdict"].tolist())
    assert verdicts == [[0, 0]] * 5 + [[1, 0]] * 3
    feed(prepared, [1, 1])
    assert prepared.state["verdict"].tolist() == [0, 0]


def test_a_stuck_unit_is_found_and_zeros_do_not_stick():
    prepared = preparation(2, limits=(1e9, 4, 1e9))
    verdicts = []
    for _ in range(8):
        feed(prepared, [7, 0])
        verdicts.append(int(prepared.state["verdict"][0]))
    # The first bin is no repetition: five repetitions are one more than the limit.
    assert verdicts == [0] * 5 + [2] * 3
    assert prepared.state["verdict"][1] == 0
    feed(prepared, [6, 0])
    assert prepared.state["verdict"][0] == 0


def test_a_noisy_unit_is_found_by_its_running_mean():
    prepared = preparation(1, limits=(1e9, 1e9, 2.0), watch_pace=0.1)
    recent, found = USUAL_SIZE, []
    for t in range(20):
        feed(prepared, [17 + t % 2])
        recent += 0.1 * (abs(15 + t % 2) / 3 - recent)
        found.append(recent > 2.0)
        assert (prepared.state["verdict"][0] == 3) == found[-1]
    assert 0 < sum(found) < 20


def test_one_absurd_count_is_forgotten():
    prepared = preparation(1, limits=(1e9, 1e9, 2.0), watch_pace=0.01)
    feed(prepared, [1e300])
    assert prepared.state["verdict"][0] == 3 and prepared.features[0] == 0
    for t in range(1000):
        feed(prepared, [2 + t % 2])
    # From 1 % of the cap to 2 in ln(10 / 2) / 0.01 bins.
    assert prepared.state["verdict"][0] == 0
    assert LARGEST_SIZE * 0.01 * np.exp(-1000 * 0.01) < 2


def test_missing_bins_are_no_silence():
    prepared = preparation(1, limits=(3, 3, 1e9))
    for row in [0, 0, np.nan, np.nan, np.nan, np.nan, 0]:
        feed(prepared, [row])
        assert prepared.state["verdict"][0] == 0
    feed(prepared, [0])
    assert prepared.state["verdict"][0] == 1


def test_a_unit_that_is_not_recorded_for_eleven_bins_is_stood_in_for():
    prepared = preparation(2, limits=(50, 50, 1e9), covariance=np.full((2, 2), 0.9))
    verdicts = []
    for _ in range(12):
        feed(prepared, [np.nan, 5])
        verdicts.append(int(prepared.state["verdict"][0]))
    assert verdicts == [0] * 10 + [1] * 2
    assert prepared.features[0] == pytest.approx(0.9 / 0.95)
    feed(prepared, [0, 5])
    assert prepared.state["verdict"].tolist() == [0, 0]


def test_a_unit_that_is_out_is_expected_from_the_others(rng):
    root = rng.standard_normal((4, 6))
    root /= np.linalg.norm(root, axis=1)[:, None]
    covariance = root @ root.T
    prepared = preparation(4, covariance=covariance)
    prepared.drop(np.array([False, True, False, True]))
    z = rng.standard_normal(4)
    found = feed(prepared, 2 + 3 * z + 20)
    z = z + 20 / 3
    live = [0, 2]
    # Conditional mean of jointly normal numbers, with the ridge of 0.05.
    among = covariance[np.ix_(live, live)] + 0.05 * np.eye(2)
    expected = covariance[np.ix_([1, 3], live)] @ np.linalg.solve(among, z[live])
    np.testing.assert_allclose(found[[1, 3]], expected, rtol=1e-12)
    np.testing.assert_allclose(found[live], z[live], rtol=1e-12)
    prepared.drop(np.zeros(4, bool))
    np.testing.assert_allclose(feed(prepared, 2 + 3 * z), z, rtol=1e-12)


def test_without_expectation_the_mean_stands_in():
    prepared = preparation(3, stand_in="mean", covariance=np.ones((3, 3)))
    prepared.drop(np.array([True, False, False]))
    assert feed(prepared, [5, 5, 8]).tolist() == [0.0, 1.0, 2.0]


def test_limits_are_the_longest_runs_of_the_training(rng):
    counts = rng.poisson(0.7, (500, 5)).astype(float)
    counts[rng.random((500, 5)) < 0.1] = np.nan
    counts[100:140, 2] = 0.0
    centre, inverse, pace = np.full(5, 0.7), np.full(5, 1.2), 0.02
    limits = np.zeros((3, 5))
    survey_units(counts, 1.0, centre, inverse, pace, limits)
    for i in range(5):
        seen = counts[:, i][np.isfinite(counts[:, i])]
        silent = same = 0
        longest, recent, last = [0, 0, 0.0], USUAL_SIZE, None
        for c in seen:
            silent = silent + 1 if c == 0 else 0
            same = same + 1 if c != 0 and c == last else 0
            last = c
            recent += pace * (abs(c - 0.7) * 1.2 - recent)
            longest = [max(a, b) for a, b in zip(longest, (silent, same, recent), strict=True)]
        np.testing.assert_allclose(limits[:, i], longest, rtol=1e-13)
    assert limits[0, 2] >= 40


@pytest.mark.parametrize("power", POWERS)
def test_learned_means_and_covariances(rng, power):
    counts = rng.poisson(2.0, (300, 4)).astype(float)
    counts[:20, 1] = np.nan
    counts[:, 3] = 0
    prepared = learn_preparation(
        counts, power=power, lowest=0.0, smoothing=0.0, pace=0.0, watch_pace=0.01, stand_in="mean"
    )
    values = counts**power
    np.testing.assert_allclose(prepared.arrays["centre"], np.nanmean(values, 0), rtol=1e-13)
    np.testing.assert_allclose(prepared.arrays["scale"], np.nanstd(values, 0), atol=1e-13)
    np.testing.assert_allclose(prepared.arrays["covariance"][:1, :1], [[1.0]], rtol=1e-12)
    z = features_of(prepared, counts)
    assert np.abs(z.mean(axis=0)).max() < 1e-12 and (z[:, 3] == 0).all()


@pytest.mark.parametrize(("n_lags", "n_out"), [(1, 1), (1, 3), (4, 2), (7, 1)])
def test_the_lagged_map_is_that_of_a_history_matrix(rng, n_lags, n_out):
    x = rng.standard_normal((40, 6))
    weights = rng.standard_normal((n_lags, 6, n_out))
    pending, out = np.zeros((n_lags, n_out)), np.empty(n_out)
    flat = np.ascontiguousarray(weights.transpose(0, 2, 1).reshape(-1, 6))
    for t in range(40):
        lagged_step(x[t], flat, pending, out)
        expected = sum(x[t - k] @ weights[k] for k in range(min(n_lags, t + 1)))
        # Sums of up to 42 terms in another order.
        np.testing.assert_allclose(out, expected, atol=1e-13)


def test_polynomials_stay_within_the_range_of_their_data(rng):
    exponents = np.array([[0, 0], [1, 0], [0, 1], [2, 1], [0, 3]])
    arrays = {
        "weights": rng.standard_normal((2, 3)), "bias": np.array([0.3, -0.2]),
        "coefficients": rng.standard_normal((2, 5)), "exponents": exponents,
        "size": np.array([2.0, 0.5]), "bounds": np.array([[-1.0, -0.5], [1.0, 0.5]]),
    }  # fmt: skip
    machine, clipped = LinearMachine(arrays, {}), 0
    for x in rng.standard_normal((60, 3)):
        machine.step(x, x, np.zeros(3, np.int64), True)
        value = arrays["weights"] @ x + arrays["bias"]
        kept = np.clip(value, *arrays["bounds"])
        clipped += int((kept != value).sum())
        p, q = kept / arrays["size"]
        expected = arrays["coefficients"] @ [1, p, q, p**2 * q, q**3]
        np.testing.assert_allclose(machine.out, expected, rtol=1e-12, atol=1e-13)
    assert 20 < clipped < 120


def test_kalman_machine_is_the_textbook_filter(rng):
    n, k = 10, 3
    a = 0.95 * np.linalg.qr(rng.standard_normal((k, k)))[0]
    h, w, first = rng.standard_normal((n, k)), 0.1 * np.eye(k), 2 * np.eye(k)
    r = np.diag(rng.random(n) + 0.5)
    information = h.T @ np.linalg.solve(r, h)
    read, d = rng.standard_normal((2, k)), rng.standard_normal(n)
    arrays = {
        "weights": np.linalg.solve(r, h).T, "transition": a, "offset": np.ones(k), "process": w,
        "information": information, "steady": steady_covariance(a, w, information),
        "first_mean": np.zeros(k), "first_covariance": first, "read": read,
        "bias": np.array([5.0, -5.0]), "baseline": np.linalg.solve(r, h).T @ d,
    }  # fmt: skip
    machine = KalmanMachine(arrays, {"steady_state": False})
    assert machine.out.tolist() == [5.0, -5.0]
    x, s, spread = np.zeros(k), first, np.empty(2)
    settled = []
    for t, u in enumerate(rng.standard_normal((300, n))):
        seen = not 200 <= t < 203
        machine.step(u if seen else np.zeros(n), u, np.zeros(n, np.int64), seen)
        x, s = a @ x + 1, a @ s @ a.T + w
        if seen:
            gain = s @ h.T @ np.linalg.inv(h @ s @ h.T + r)
            x, s = x + gain @ (u - d - h @ x), s - gain @ h @ s
        # Where the gain has settled it is kept: 1e-13 of change in a step.
        np.testing.assert_allclose(machine.out, read @ x + [5, -5], rtol=1e-9, atol=1e-10)
        machine.spread(spread)
        np.testing.assert_allclose(spread, np.sqrt(np.diag(read @ s @ read.T)), rtol=1e-9)
        settled.append(int(machine.state["settled"][0]))
    # The steady gain is taken up, left at the bins that were missing, and taken up again.
    assert settled[199] == 1 and settled[202] == 0 and settled[-1] == 1


def test_poisson_evidence_is_the_likelihood_up_to_a_constant(rng):
    expected = rng.random((5, 4)) * 3 + 0.1
    counts = np.array([0.0, 2, np.nan, 1, 4])
    verdict = np.array([0, 0, 0, 1, 0])
    out = np.empty(4)
    poisson_evidence(counts, verdict, np.log(expected), expected, out)
    used = [0, 1, 4]
    exact = poisson.logpmf(counts[used, None], expected[used]).sum(axis=0)
    np.testing.assert_allclose(out - out[0], exact - exact[0], atol=1e-12)


def test_members_are_averaged(rng):
    hidden = rng.standard_normal((3, 1, 7)).astype(np.float32)
    weights, bias = rng.standard_normal((3, 2, 7)), rng.standard_normal((3, 2))
    out, variance = np.empty(2), np.empty(2)
    mean_of_members(hidden, weights, bias, 1, out, variance)
    each = [w @ h[0] + b for w, h, b in zip(weights, hidden, bias, strict=True)]
    # Sums of 7 products of size 1: some roundings.
    np.testing.assert_allclose(out, np.mean(each, axis=0), atol=1e-13)
    np.testing.assert_allclose(variance, np.var(each, axis=0, ddof=1), atol=1e-12)
    mean_of_members(hidden[:1], weights[:1], bias[:1], 1, out, variance)
    assert (variance == 0).all()


def test_members_may_read_one_output_each(rng):
    hidden = rng.standard_normal((6, 1, 7)).astype(np.float32)
    weights, bias = rng.standard_normal((6, 2, 7)), rng.standard_normal((6, 2))
    out, variance = np.empty(2), np.empty(2)
    mean_of_members(hidden, weights, bias, 2, out, variance)
    for o in range(2):
        each = [weights[m, o] @ hidden[m, 0] + bias[m, o] for m in range(o, 6, 2)]
        np.testing.assert_allclose(out[o], np.mean(each), atol=1e-13)
        np.testing.assert_allclose(variance[o], np.var(each, ddof=1), atol=1e-12)


def machine_of(models, n_output):
    """The machine of torch models, and its outputs for features (time, input)."""
    from neurornn.decode.network_training import machine_arrays

    machine = NetworkMachine(*machine_arrays(models, np.ones(n_output), np.zeros(n_output)))

    def run(x):
        nothing = np.zeros(x.shape[1], np.int64)
        out = []
        for row in x:
            machine.step(row, row, nothing, True)
            out.append(machine.out.copy())
        return np.array(out)

    return machine, run


def torch_outputs(models, x):
    import torch

    given = torch.from_numpy(x.astype(np.float32))[None]
    with torch.no_grad():
        return np.mean([m.eval()(given).output[0].double().numpy() for m in models], axis=0)


# Widths that are and are not whole vectors of 16 float32, and inputs from few to many.
@pytest.mark.parametrize(("n_input", "n_hidden"), [(3, 5), (33, 16), (8, 50)])
@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_gated_networks_are_those_of_torch(rng, kind, n_input, n_hidden):
    import torch

    import neurornn as nr

    models = [getattr(nr.models, kind)(n_input, n_hidden, 2, dt=0.05, rng=k) for k in range(2)]
    x = rng.standard_normal((60, n_input))
    machine, run = machine_of(models, 2)
    # 1e-7 a rounding, some dozens of them in a product, and the state carries them on.
    np.testing.assert_allclose(run(x), torch_outputs(models, x), atol=3e-6)
    # And against torch's own cell, without our model in between.
    layer = models[0].layers[0]
    cell = getattr(torch.nn, f"{kind}Cell")(n_input, n_hidden)
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        getattr(cell, name).data = getattr(layer, f"{name}_l0").detach()
    state = None
    for row in x:
        state = cell(torch.from_numpy(row.astype(np.float32))[None], state)
    hidden = state if kind == "GRU" else state[0]
    np.testing.assert_allclose(
        machine.state["hidden"][0, 0], hidden[0].detach().numpy(), atol=1e-6
    )
    machine.reset()
    np.testing.assert_allclose(run(x), torch_outputs(models, x), atol=3e-6)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu", "linear", "sigmoid", "softplus"])
@pytest.mark.parametrize(("form", "substeps"), [("rate", 1), ("current", 1), ("rate", 3)])
def test_leaky_networks_are_those_of_the_model(rng, nonlinearity, form, substeps):
    import neurornn as nr

    tau = np.geomspace(0.05, 1.0, 10)
    models = [
        nr.models.LeakyRNN(
            4, 10, 2, dt=0.05, tau=tau, nonlinearity=nonlinearity, form=form, substeps=substeps,
            rng=k,
        )
        for k in range(2)
    ]  # fmt: skip
    x = rng.standard_normal((60, 4))
    run = machine_of(models, 2)[1]
    expected = torch_outputs(models, x)
    # Float32: 1e-7 of the size of the output, times the dozens of terms and steps behind it.
    np.testing.assert_allclose(run(x), expected, atol=3e-6 * max(1, np.abs(expected).max()))


def test_a_leaky_network_without_connections(rng):
    import neurornn as nr

    model = nr.models.LeakyRNN(3, 6, 1, dt=0.05, tau=0.2, recurrent=False, rng=0)
    x = rng.standard_normal((40, 3))
    np.testing.assert_allclose(machine_of([model], 1)[1](x), torch_outputs([model], x), atol=3e-6)
