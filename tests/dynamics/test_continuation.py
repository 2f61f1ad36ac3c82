"""Continuation: folds, crossings and cycles whose place is known, counts, and what is told."""

import copy
import warnings

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn._core.errors import ConvergenceWarning, KindError, NameUnknownError, ShapeError
from neurornn.dynamics.maps import as_map
from neurornn.dynamics.tracing import Family, corrected, located, trace

follow = nr.dynamics.continue_fixed_points
#: Where tanh(2 h + u) touches h: slope 1 there, so that tanh^2 = 1/2.
FOLD = np.sqrt(2.0) - np.arctanh(np.sqrt(0.5))


def kinds(diagram):
    return list(
        zip(diagram.bifurcations["kind"].values, diagram.bifurcations["value"].values, strict=True)
    )


def test_folds_of_a_unit_that_excites_itself():
    diagram = follow(lambda h, u: np.tanh(2 * h + u), parameter=(-1.0, 1.0), n_hidden=1)
    (first, low), (second, high) = kinds(diagram)
    assert first == second == "fold"
    # The parameter is flat to first order at a fold: its place is as good as rounding.
    assert abs(low + FOLD) < 1e-10 and abs(high - FOLD) < 1e-10
    value, n = diagram.points["value"].values, diagram.points["n_points"].values
    np.testing.assert_array_equal(n, np.where(np.abs(value) < FOLD, 3, 1))
    np.testing.assert_array_equal(diagram.points["index_sum"], 1)
    np.testing.assert_array_equal(diagram.points["n_stable"], np.where(np.abs(value) < FOLD, 2, 1))
    states = diagram.points["state"].values[:, :, 0]
    off = np.tanh(2 * states + value) - states
    assert np.nanmax(np.abs(off)) < 1e-12
    slope = 2 * (1 - states**2)
    np.testing.assert_allclose(diagram.points["leading_real"].values, slope, atol=1e-9)
    unstable = np.where(np.isnan(states), -1, slope > 1)
    np.testing.assert_array_equal(diagram.points["n_unstable"].values, unstable)
    state = diagram.bifurcations["state"].values[:, 0]
    np.testing.assert_allclose(np.sort(np.abs(state)), np.sqrt(0.5), atol=1e-6)


@pytest.mark.slow
def test_a_pitchfork_and_its_branches():
    diagram = follow(lambda h, g: np.tanh(g * h), parameter=(0.5, 2.0), n_hidden=1, n_values=32)
    ((kind, value),) = kinds(diagram)
    assert kind == "pitchfork" and abs(value - 1.0) < 1e-8
    g, h = diagram.points["value"].values, diagram.points["state"].values[:, :, 0]
    np.testing.assert_array_equal(diagram.points["n_points"], np.where(g > 1, 3, 1))
    upper = h[np.argmax(h[:, -1])]
    there = g > 1.0
    # On the branch g = artanh(h) / h.
    np.testing.assert_allclose(np.arctanh(upper[there]) / upper[there], g[there], rtol=1e-9)
    assert np.isnan(upper[~there]).all()


@pytest.mark.slow
def test_branches_are_taken_up_where_no_search_shows_them():
    """The arms are born at 1 and are followed though the ends are all that is searched."""
    step = lambda h, g: np.tanh(g * h)  # noqa: E731
    search = {"n_starts": 1, "max_starts": 1, "max_seconds": 1e-9}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        diagram = follow(step, parameter=(0.5, 2.0), n_hidden=1, n_searches=2, search=search)
    assert diagram.points["n_points"].values[[0, -1]].tolist() == [1, 3]


def test_curves_that_cross():
    """h (1 + r - h): the points 0 and r change their stability at r = 0."""
    diagram = follow(lambda h, r: h * (1 + r - h), parameter=(-0.5, 0.5), n_hidden=1, n_values=50)
    ((kind, value),) = kinds(diagram)
    assert kind == "transcritical" and abs(value) < 1e-8
    r = diagram.points["value"].values
    states = np.sort(diagram.points["state"].values[:, :, 0], axis=0)
    found = np.sort(np.stack([r, 0 * r]), axis=0)
    for k in range(len(r)):
        here = states[~np.isnan(states[:, k]), k]
        np.testing.assert_allclose(here, found[:, k], atol=1e-9)


@pytest.mark.parametrize("dt", [None, 0.02])
def test_a_cycle_is_born_at_a_hopf_point(dt):
    """A spiral of radius 1 + m - |z|^2 that turns by .3 in a step: m = 0, .3 / (2 pi) a step."""
    turn = torch.tensor([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])

    def step(z, m):
        return (1 + m - (z * z).sum(1, keepdim=True)) * (z @ turn.T)

    diagram = follow(step, parameter=(-0.2, 0.31), n_hidden=2, n_values=30, dt=dt)
    ((kind, value),) = kinds(diagram)
    assert kind == "Hopf" and abs(value) < 1e-9
    wanted = 0.3 / (2 * np.pi) / (dt or 1.0)
    frequency = diagram.bifurcations["frequency"]
    assert frequency.attrs["units"] == ("Hz" if dt else "1")
    np.testing.assert_allclose(frequency.values, [wanted], rtol=1e-8)
    grows = diagram.points["n_unstable"].values[0]
    np.testing.assert_array_equal(grows, np.where(diagram.points["value"] > 0, 2, 0))
    assert f"{wanted:.3g}"[:4] in diagram.report() and "Hopf" in repr(diagram)


@pytest.mark.slow
def test_the_logistic_map_turns_sign_at_three():
    diagram = follow(lambda h, r: r * h * (1 - h), parameter=(0.5, 3.5), n_hidden=1, n_values=31)
    found = dict(kinds(diagram))
    assert set(found) == {"transcritical", "flip"}
    assert abs(found["transcritical"] - 1.0) < 1e-8 and abs(found["flip"] - 3.0) < 1e-9
    flip = diagram.bifurcations.where(diagram.bifurcations["kind"] == "flip", drop=True)
    assert flip["frequency"].values == pytest.approx(0.5)  # every other step


def test_points_that_live_only_in_the_middle_are_found():
    """(s - .5)^2 + h^2 = .1: a ring of points, at neither end of the range."""
    radius = np.sqrt(0.1)
    step = lambda h, s: h + (s - 0.5) ** 2 + h * h - 0.1  # noqa: E731
    diagram = follow(step, parameter=(0.0, 1.0), n_hidden=1)
    (first, low), (second, high) = kinds(diagram)
    assert first == second == "fold"
    assert abs(low - 0.5 + radius) < 1e-9 and abs(high - 0.5 - radius) < 1e-9
    s = diagram.points["value"].values
    inside = np.abs(s - 0.5) < radius
    np.testing.assert_array_equal(diagram.points["n_points"], np.where(inside, 2, 0))
    assert diagram.points.sizes["sheet"] == 2
    assert "only a search inside the range found" in diagram.settings["reason"]


def bits(n=3):
    model = nr.models.VanillaRNN(2, n, 1, dt=0.01)
    rng = np.random.default_rng(0)
    with torch.no_grad():
        weights = 2.0 * np.eye(n) + 0.05 * rng.standard_normal((n, n))
        model.recurrent_weight.copy_(torch.tensor(weights))
        model.bias.zero_()
        model.input_weight.copy_(torch.tensor(rng.standard_normal((n, 2))))
    return model


@pytest.mark.parametrize("make", [
    bits,
    lambda: nr.models.LeakyRNN(2, 4, 1, dt=0.01, tau=0.05, form="current", rng=1),
    lambda: nr.models.GRU(2, 4, 1, dt=0.01, rng=1),
    lambda: nr.models.LSTM(2, 3, 1, dt=0.01, n_layers=2, rng=1),
    lambda: nr.models.LeakyRNN(2, 30, 1, dt=0.01, tau=0.05, rank=2, rng=1),
    lambda: nr.models.LinearStateSpace(2, 4, 1, dt=0.01, rng=1),
    lambda: torch.nn.GRU(2, 4),
], ids=["bits", "current", "gru", "stacked lstm", "low rank", "linear", "torch"])  # fmt: skip
@pytest.mark.slow
def test_the_diagram_holds_the_points_of_each_value(make):
    model = make()
    before = copy.deepcopy(model.state_dict())
    ends = (np.array([-0.5, 0.3]), np.array([1.5, 0.3]))
    diagram = follow(model, ends, n_values=9)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    # Input 0 alone moves, and is its own value.
    np.testing.assert_allclose(diagram.points["value"], np.linspace(-0.5, 1.5, 9))
    assert diagram.settings["parameter"] == "input 0"
    for k in (0, 3, 8):
        u = ends[0] + k / 8 * (ends[1] - ends[0])
        wanted = nr.dynamics.find_fixed_points(model, inputs=u, rng=5)
        there = diagram.points["state"].values[:, k]
        there = there[~np.isnan(there).any(axis=1)]
        assert len(there) == wanted.parameters.sizes["point"]
        away = np.linalg.norm(there[:, None] - wanted.states.values, axis=2)
        assert away.min(axis=0).max() < 1e-7


def test_counts_change_by_two_at_folds_and_the_sum_stays():
    diagram = follow(bits(), (np.array([0.0, 0.0]), np.array([1.0, 0.0])))
    assert diagram.completeness == "consistent"
    np.testing.assert_array_equal(diagram.points["index_sum"], 1)
    assert diagram.points["n_points"].values[0] == 27
    value, n = diagram.points["value"].values, diagram.points["n_points"].values
    folds = np.array([at for kind, at in kinds(diagram) if kind == "fold"])
    for k in range(len(value) - 1):
        between = ((folds > value[k]) & (folds < value[k + 1])).sum()
        assert n[k] - n[k + 1] == 2 * between
    # Both inputs move: the value is the share of the way.
    both = follow(bits(), (np.zeros(2), np.array([0.5, 0.2])), n_values=5)
    assert both.settings["parameter"].startswith("the share of the way")
    np.testing.assert_allclose(both.points["value"], np.linspace(0, 1, 5))


def test_what_is_missing_is_looked_for_and_told():
    model = bits()
    poor = {"n_starts": 4, "max_starts": 4}
    ends = (np.array([0.0, 0.0]), np.array([0.02, 0.0]))
    with pytest.warns(
        ConvergenceWarning, match=r"The diagram is incomplete: the index sum is not"
    ):
        diagram = follow(model, ends, n_values=5, n_searches=2, search=poor, rng=1)
    assert diagram.completeness == "incomplete"
    # Rescue searches where the sum is wrong were tried beside the two that were asked for.
    assert diagram.settings["n_searches"] > 2


def test_it_is_reported_saved_and_read(tmp_path):
    diagram = follow(lambda h, u: np.tanh(2 * h + u), parameter=(-1.0, 1.0), n_hidden=1, dt=0.01)
    text = diagram.report()
    assert "201 values of the parameter from -1.00 to 1.00" in text
    assert "1 point at the first, 1 at the last, on 3 sheets" in text
    assert text.count("fold") == 2 and "-0.532840" in text and "0.532840" in text
    assert "index theorem does not apply" in text
    diagram.save(tmp_path / "d")
    back = nr.load(tmp_path / "d")
    assert back.report() == text and repr(back) == repr(diagram)
    assert back.points.equals(diagram.points)
    assert "pseudo-arclength continuation" in diagram.methods_text()
    assert "Keller 1977" in diagram.methods_text()
    flat = diagram.to_dataset()
    assert flat.attrs["completeness"] == "consistent" and flat["state"].shape == (3, 201, 1)


def test_the_diagram_is_drawn():
    diagram = follow(lambda h, u: np.tanh(2 * h + u), parameter=(-1.0, 1.0), n_hidden=1)
    ax = nr.plot.bifurcation(diagram)
    drawn = {line.get_label(): line for line in ax.lines}
    value = diagram.points["value"].values
    state = diagram.points["state"].values[:, :, 0]
    stable = diagram.points["n_unstable"].values == 0
    for label, chosen in (("stable", stable), ("unstable", diagram.points["n_unstable"] > 0)):
        lines = [line for line in ax.lines if line.get_gid() == label]
        got = np.concatenate([np.column_stack(line.get_data()) for line in lines])
        got = got[~np.isnan(got[:, 1])]
        wanted = np.column_stack([np.broadcast_to(value, state.shape)[chosen], state[chosen]])
        np.testing.assert_allclose(got[np.lexsort(got.T)], wanted[np.lexsort(wanted.T)])
    folds = drawn["fold"]
    np.testing.assert_allclose(np.sort(folds.get_xdata()), [-FOLD, FOLD], atol=1e-9)
    np.testing.assert_allclose(
        folds.get_ydata(), diagram.bifurcations["state"].values[:, 0], atol=1e-12
    )
    assert ax.get_xlabel() == "the parameter" and ax.get_ylabel() == "state of unit 0"
    with pytest.raises(ShapeError, match="hidden 3 of 1"):
        nr.plot.bifurcation(diagram, hidden=3)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: follow(bits()), KindError, "Neither inputs nor parameter came"),
        (lambda: follow(bits(), (np.zeros(2), np.zeros(2))), KindError, "same values at both"),
        (
            lambda: follow(bits(), (np.zeros(2), np.ones(2)), search={"n_start": 8}),
            NameUnknownError,
            r"search has 'n_start'(.|\n)*method, n_starts, max_starts(.|\n)*mean 'n_starts'",
        ),
        (
            lambda: follow(bits(), (np.zeros(2), np.ones(2)), search={"n_starts": 0}),
            ValueError, "n_starts",
        ),
        (lambda: follow(bits(), (np.zeros(2), np.ones(2)), search=8), KindError, "is a int"),
        (lambda: follow(bits(), (np.zeros(2),)), ShapeError, "Both ends were needed"),
        (lambda: follow(bits(), (np.zeros(3), np.ones(3))), ShapeError, r"shape \(3,\)"),
        (lambda: follow(bits(), parameter=(0, 1)), KindError, "parameter came with a VanillaRNN"),
        (
            lambda: follow(lambda h, u: h, (0, 1), parameter=(0, 1)), KindError,
            "inputs and parameter came",
        ),
        (
            lambda: follow(
                nr.models.VanillaRNN(1, 21, 1, dt=0.01, nonlinearity="relu"), ([0.0], [1.0])
            ),
            KindError, "VanillaRNN has ReLU units in 21 states",
        ),
        (
            lambda: follow(torch.nn.RNN(1, 2, 2, nonlinearity="relu"), ([0.0], [1.0])),
            KindError, "has ReLU units",
        ),
        (
            lambda: follow(
                nr.models.LeakyRNN(1, 2, 1, dt=0.01, tau=0.1, nonlinearity="relu", substeps=2),
                ([0.0], [1.0]),
            ),
            KindError, "without substeps",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_followed_is_refused(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_a_system_without_points_is_told():
    diagram = follow(lambda h, u: h + 1 + u * u, parameter=(-1.0, 1.0), n_hidden=1,
                     search={"n_starts": 8, "max_starts": 16})  # fmt: skip
    assert diagram.completeness == "unknown" and "no search found a point" in diagram.report()
    assert diagram.points.sizes["sheet"] == 0 and diagram.bifurcations.sizes["bifurcation"] == 0


# --- steps along curves ---


def circle():
    """(s - .5)^2 + h^2 = .16 as the fixed points of a map."""
    function = lambda s: lambda h: h + (s[:, None] - 0.5) ** 2 + h * h - 0.16  # noqa: E731

    def cell_at(s):
        def step(h):
            return function(s if len(s) == len(h) else s[:1])(h)

        return as_map(step, n_hidden=1).cell

    return Family(cell_at, 1)


def test_an_arc_stays_on_its_curve_and_ends_at_the_fold():
    family = circle()
    start = np.array([[0.4, 0.5]])
    (arc,) = trace(family, start, np.array([[0.0, 1.0]]))
    assert arc.ended == "fold" and arc.beyond is not None
    radius = np.hypot(arc.x[:, 0], arc.x[:, 1] - 0.5)
    np.testing.assert_allclose(radius, 0.4, atol=1e-9)
    # Tangents of a circle, in the direction of the walk.
    away = np.column_stack([arc.x[:, 0], arc.x[:, 1] - 0.5]) / 0.4
    np.testing.assert_allclose(arc.t, np.column_stack([-away[:, 1], away[:, 0]]), atol=1e-8)
    assert (np.diff(arc.x[:, 1]) > 0).all() and arc.x[-1, 1] < 0.9 < 0.9 + 1e-9
    assert arc.beyond[1][1] < 0
    # Towards the edge of the range the last step ends on it.
    straight = Family(lambda s: as_map(lambda h: 0.5 * h, n_hidden=1).cell, 1)
    (line,) = trace(straight, np.array([[0.0, 0.3]]), np.array([[0.0, -1.0]]))
    assert line.ended == "edge" and line.x[-1, 1] == 0.0


def test_a_sign_is_located_between_two_points():
    family = circle()
    x, t = np.array([[0.4, 0.5]]), np.array([[0.0, 1.0]])
    points, _ = located(family, x, t, np.array([0.3]), lambda p, t: p[:, 1] - 0.62)
    np.testing.assert_allclose(points[0], [np.sqrt(0.16 - 0.12**2), 0.62], atol=1e-10)


def test_a_correction_runs_across_the_given_direction():
    found, arrived = corrected(circle(), np.array([[0.41, 0.5]]), np.array([[0.0, 1.0]]))
    assert arrived[0]
    np.testing.assert_allclose(found[0], [0.4, 0.5], atol=1e-9)
