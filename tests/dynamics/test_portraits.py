"""Portraits of networks: what is drawn is the step of the model, and its points as they are."""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.quiver import Quiver

import neurornn as nr
from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError
from neurornn.dynamics.maps import as_map
from neurornn.dynamics.portrait import flow_field
from neurornn.plot.style import EVENT, FIT


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def two_bits():
    """Two units that hold a bit each, and an input that pushes the first."""
    model = nr.models.LeakyRNN(1, 2, 1, dt=0.01, tau=0.3)
    with torch.no_grad():
        model.recurrent_weight.copy_(torch.tensor([[2.0, 0.1], [0.0, 1.9]]))
        model.input_weight.copy_(torch.tensor([[0.2], [0.0]]))
        model.bias.zero_()
    return model, nr.dynamics.find_fixed_points(model, rng=0)


@pytest.fixture(scope="module")
def five_units():
    """Five units, of which the first two hold a bit each, and the others forget."""
    model = nr.models.VanillaRNN(2, 5, 1, dt=0.02)
    w = 0.2 * np.eye(5)
    w[0, 0], w[1, 1], w[2, 0] = 2.0, 1.8, 0.5
    with torch.no_grad():
        model.recurrent_weight.copy_(torch.tensor(w))
        model.bias.zero_()
    return model, nr.dynamics.find_fixed_points(model, rng=0)


def step_by_torch(model, states, inputs=None):
    """One step as the model itself takes it."""
    given = np.zeros(model.n_input) if inputs is None else np.asarray(inputs, dtype=float)
    rows = torch.tensor(np.tile(given, (len(states), 1, 1)), dtype=torch.float32)
    with torch.no_grad():
        return model.scan(rows.swapaxes(0, 1).reshape(len(states), 1, -1),
                          torch.tensor(states, dtype=torch.float32))[1].numpy()  # fmt: skip


# --- the field


@pytest.mark.parametrize("inputs", [None, [1.5]])
def test_the_field_is_the_step_of_the_model(two_bits, inputs):
    field = flow_field(two_bits[0], inputs=inputs, limits=((-1, 2), (-0.5, 0.5)), n_grid=7)
    np.testing.assert_allclose(field["axis_1"], np.linspace(-1, 2, 7))
    np.testing.assert_allclose(field["axis_2"], np.linspace(-0.5, 0.5, 7))
    for i in range(7):
        for j in range(7):
            h = np.array([[field["axis_1"].values[j], field["axis_2"].values[i]]])
            step = (step_by_torch(two_bits[0], h, inputs) - h)[0]
            # The model itself steps in single precision.
            np.testing.assert_allclose(field["step"].values[i, j], step, atol=2e-7)
            assert float(field["q"][i, j]) == pytest.approx(0.5 * (step**2).sum(), abs=1e-6)
            assert float(field["off_plane"][i, j]) == 0.0
    assert not field.attrs["is_slice"] and field.attrs["dt"] == 0.01
    assert field.attrs["inputs"] == ([0.0] if inputs is None else inputs)


def test_a_slice_shows_what_lies_in_it_and_says_what_leaves_it(five_units, rng):
    model, _ = five_units
    plane, origin = rng.standard_normal((2, 5)), rng.standard_normal(5)
    field = flow_field(model, plane=plane, origin=origin, limits=((-1, 1), (-2, 2)), n_grid=5)
    a, b = field["plane"].values
    np.testing.assert_allclose([a @ a, b @ b, a @ b], [1, 1, 0], atol=1e-12)
    # The first direction stays, and the second is not turned round.
    np.testing.assert_allclose(a, plane[0] / np.linalg.norm(plane[0]))
    assert np.linalg.matrix_rank(np.stack([a, b, plane[1]]), tol=1e-9) == 2 and b @ plane[1] > 0
    for i, y in enumerate(field["axis_2"].values):
        for j, x in enumerate(field["axis_1"].values):
            h = origin + x * a + y * b
            step = (step_by_torch(model, h[None]) - h)[0]
            np.testing.assert_allclose(field["step"].values[i, j], [step @ a, step @ b], atol=1e-6)
            assert float(field["q"][i, j]) == pytest.approx(0.5 * step @ step, rel=1e-5)
            rest = step - (step @ a) * a - (step @ b) * b
            share = np.linalg.norm(rest) / np.linalg.norm(step)
            assert float(field["off_plane"][i, j]) == pytest.approx(share, abs=1e-5)
    assert field.attrs["is_slice"] and field.attrs["axes"] == "given"


def test_points_are_laid_onto_the_plane_with_their_kind_and_directions(two_bits):
    model, points = two_bits
    field = flow_field(model, points)
    np.testing.assert_allclose(field["place"], points.states)
    np.testing.assert_allclose(field["distance"], 0.0, atol=1e-12)
    n = points.parameters["n_unstable"].values
    np.testing.assert_array_equal(field["n_unstable"], n)
    assert field["kind"].values.tolist() == [["stable", "saddle", "unstable"][k] for k in n]
    jacobian = as_map(model).cell.step_and_jacobian(points.states.values)[1]
    for k in range(9):
        ways = field["unstable_direction"].values[k], field["stable_direction"].values[k]
        if n[k] != 1:
            assert np.isnan(ways).all()
            continue
        for way, grows in zip(ways, (True, False), strict=True):
            along = jacobian[k] @ way
            value = along @ way
            # An eigenvector: not turned, only longer or shorter.
            np.testing.assert_allclose(along, value * way, atol=1e-9)
            assert np.linalg.norm(way) == pytest.approx(1.0) and (value > 1) == grows
    # All that the network can come to lies in the picture.
    for axis in ("axis_1", "axis_2"):
        assert field[axis].min() < -1 and field[axis].max() > 1


def test_saddles_of_a_slice_lead_along_their_fastest_and_slowest_modes(five_units):
    model, points = five_units
    field = flow_field(model, points, plane=np.eye(5)[:2], origin=np.zeros(5))
    np.testing.assert_allclose(field["place"], points.states.values[:, :2], atol=1e-12)
    off = np.linalg.norm(points.states.values[:, 2:], axis=1)
    np.testing.assert_allclose(field["distance"], off, atol=1e-12)
    jacobian = as_map(model).cell.step_and_jacobian(points.states.values)[1]
    n_saddles = 0
    for k in range(len(points.states)):
        values, vectors = np.linalg.eig(jacobian[k])
        if not 0 < (np.abs(values) > 1).sum() < 5:
            continue
        n_saddles += 1
        # The leading mode, and the slowest of those that decay: the next one down.
        order = np.argsort(-np.abs(values))
        decaying = next(j for j in order if abs(values[j]) < 1)
        for name, j in (("unstable_direction", order[0]), ("stable_direction", decaying)):
            found, wanted = field[name].values[k], vectors[:2, j].real
            np.testing.assert_allclose(np.abs(found), np.abs(wanted), atol=1e-9)
    assert n_saddles >= 4


def test_a_saddle_that_turns_has_no_line_to_be_drawn():
    turn = 1.2 * np.array([[np.cos(1), -np.sin(1), 0], [np.sin(1), np.cos(1), 0], [0, 0, 0.25]])
    field = flow_field(lambda h: h @ turn.T, np.zeros((1, 3)), plane=np.eye(3)[:2])
    assert field["kind"].values.tolist() == ["saddle"]
    assert np.isnan(field["unstable_direction"].values).all()
    assert np.isfinite(field["stable_direction"].values).all()


def test_the_plane_is_that_of_most_variance(rng):
    wide = np.linalg.qr(rng.standard_normal((4, 4)))[0][:2]
    runs = 3.0 + (rng.standard_normal((6, 40, 2)) * [2.0, 1.0]) @ wide
    runs += 0.01 * rng.standard_normal(runs.shape)
    field = flow_field(lambda h: 0.5 * h, trajectories=runs, n_hidden=4, n_grid=3)
    # Directions of 240 draws turn by about (sd_1 sd_2) / (var_1 - var_2) / sqrt(240), 0.04.
    np.testing.assert_allclose(np.abs(field["plane"].values @ wide.T), np.eye(2), atol=0.15)
    np.testing.assert_allclose(field["origin"], runs.reshape(-1, 4).mean(0))
    share = runs.reshape(-1, 4).var(0).sum()
    along = field["trajectory"].values.reshape(-1, 2).var(0) / share
    np.testing.assert_allclose(field.attrs["variance_share"], along)
    for k in range(6):
        wanted = (runs[k] - field["origin"].values) @ field["plane"].values.T
        np.testing.assert_allclose(field["trajectory"].values[k], wanted)
    # All of the runs lies in the picture, with a fifth of their extent around them.
    flat = field["trajectory"].values.reshape(-1, 2)
    for j, axis in enumerate(("axis_1", "axis_2")):
        span = np.ptp(flat[:, j])
        assert field[axis].values[0] == pytest.approx(flat[:, j].min() - 0.2 * span)
        assert field[axis].values[-1] == pytest.approx(flat[:, j].max() + 0.2 * span)


def test_directions_are_not_turned_round_from_machine_to_machine(rng):
    for _ in range(10):
        states = rng.standard_normal((9, 4))
        for way in flow_field(lambda h: 0.5 * h, states, n_grid=2)["plane"].values:
            # Its largest weight is positive.
            assert way[np.abs(way).argmax()] > 0


def test_a_field_belongs_to_the_input_of_its_points(two_bits):
    model, _ = two_bits
    pushed = nr.dynamics.find_fixed_points(model, [1.0], rng=0)
    field = flow_field(model, pushed, n_grid=3)
    assert field.attrs["inputs"] == [1.0]
    assert flow_field(model, pushed.states, inputs=[2.0], n_grid=3).attrs["inputs"] == [2.0]
    with pytest.raises(DataError, match=r"those of the input \[1.0\], and inputs is \[2.0\]"):
        flow_field(model, pushed, inputs=[2.0])
    # A model as one step of a map, under its own input or another.
    one = as_map(model, [1.0])
    assert flow_field(one, pushed, n_grid=3)["step"].equals(field["step"])
    assert flow_field(one, inputs=[0.0], n_grid=3).attrs["inputs"] == [0.0]


def test_the_model_is_left_as_it_was(two_bits):
    model, points = two_bits
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.train()
    flow_field(model, points, n_grid=3)
    nr.plot.phase_portrait(model, points, n_grid=5)
    assert model.training and all(p.requires_grad for p in model.parameters())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


# --- what is drawn


def test_arrows_are_the_step_at_their_place(two_bits):
    model, points = two_bits
    ax = nr.plot.phase_portrait(model, points, kind="arrows", limits=((-1, 2), (-1.5, 1)))
    (arrows,) = (c for c in ax.collections if isinstance(c, Quiver))
    at = np.stack([arrows.X, arrows.Y], 1)
    found = np.stack([np.ravel(arrows.U), np.ravel(arrows.V)], 1)
    np.testing.assert_allclose(found, step_by_torch(model, at) - at, atol=2e-7)
    assert len(at) > 200 and arrows.angles == "xy"
    # As much room at either end.
    for j, (low, high) in enumerate(((-1, 2), (-1.5, 1))):
        assert at[:, j].min() - low == pytest.approx(high - at[:, j].max())
    assert ax.get_xlim() == (-1.0, 2.0) and ax.get_ylim() == (-1.5, 1.0)
    assert ax.get_aspect() == 1.0


def test_streamlines_go_where_the_step_goes(two_bits):
    ax = nr.plot.phase_portrait(two_bits[0], two_bits[1])
    lines = max(ax.collections, key=lambda c: len(c.get_segments())
                if hasattr(c, "get_segments") else 0)  # fmt: skip
    pieces = np.array([s[:2] for s in lines.get_segments()])
    pieces = pieces[np.abs(np.diff(pieces, axis=1)).max((1, 2)) > 1e-9]
    way, middle = pieces[:, 1] - pieces[:, 0], pieces.mean(axis=1)
    step = as_map(two_bits[0]).cell.step(middle) - middle
    cosine = (way * step).sum(1) / np.linalg.norm(way, axis=1) / np.linalg.norm(step, axis=1)
    assert np.median(cosine) > 0.999 and (cosine > 0.9).mean() > 0.98


def test_points_are_filled_open_or_half(two_bits):
    model, points = two_bits
    for draw in (nr.plot.phase_portrait, nr.plot.energy_landscape):
        ax = draw(model, points)
        lines = {line.get_label(): line for line in ax.lines}
        n = points.parameters["n_unstable"].values
        looks = {
            "stable": ("full", "#000000"), "saddle": ("left", "#000000"),
            "unstable": ("full", "#ffffff"),
        }  # fmt: skip
        for k, (name, (fill, colour)) in enumerate(looks.items()):
            mine = lines[name]
            np.testing.assert_allclose(np.stack(mine.get_data(), 1), points.states.values[n == k])
            assert mine.get_fillstyle() == fill and mine.get_marker() == "o"
            assert to_hex(mine.get_markerfacecolor()) == colour
            assert to_hex(mine.get_markeredgecolor()) == "#000000"
            assert mine.get_alpha() == 1.0 and mine.get_linestyle() == "None"
        assert to_hex(lines["saddle"].get_markerfacecoloralt()) == "#ffffff"
        told = [t.get_text() for t in ax.get_legend().get_texts()]
        assert {"stable", "saddle", "unstable"} <= set(told)


def test_saddles_lead_away_and_there(two_bits):
    model, points = two_bits
    ax = nr.plot.phase_portrait(model, points)
    field = flow_field(model, points)
    size = np.hypot(*(np.ptp(field[a].values) for a in ("axis_1", "axis_2")))
    saddles = np.flatnonzero(field["kind"].values == "saddle")
    for name, label, colour in (
        ("unstable_direction", "saddle: leads away", EVENT),
        ("stable_direction", "saddle: leads there", FIT),
    ):
        drawn = [line for line in ax.lines if line.get_label() in (label, "_" + label)]
        assert len(drawn) == len(saddles) == 4
        # Named once.
        assert [line.get_label() for line in drawn].count(label) == 1
        for k, line in zip(saddles, drawn, strict=True):
            ends = np.stack(line.get_data(), 1)
            np.testing.assert_allclose(ends.mean(0), field["place"].values[k], atol=1e-12)
            np.testing.assert_allclose(ends[1] - ends[0], field[name].values[k] * 0.09 * size)
            assert to_hex(line.get_color()) == colour


@pytest.mark.slow
def test_nullclines_lie_where_a_unit_stands_still(two_bits):
    def curves(**options):
        ax = nr.plot.phase_portrait(two_bits[0], **options)
        found = [c for c in ax.collections if type(c).__name__ == "QuadContourSet"]
        return ax, [np.concatenate(c.get_paths()[0].to_polygons(closed_only=False)) for c in found]

    ax, lines = curves()
    assert len(lines) == 2
    told = [t.get_text() for t in ax.get_legend().get_texts()]
    assert told == ["unit 0 stands still", "unit 1 stands still"]
    for unit, places in enumerate(lines):
        step = as_map(two_bits[0]).cell.step(places) - places
        largest = np.abs(flow_field(two_bits[0])["step"].values[..., unit]).max()
        # Interpolated between places of a grid.
        assert np.abs(step[:, unit]).max() < 0.01 * largest
    assert curves(nullclines=False)[1] == []


def test_a_landscape_is_log_q_between_its_limits(two_bits):
    model, points = two_bits
    options = {"limits": ((-1.2, 1.3), (-1.0, 1.1)), "n_grid": 31}
    field = flow_field(model, points, **options)
    wanted = np.log10(field["q"].values)
    for decades, low in ((20.0, wanted.min()), (1.5, wanted.max() - 1.5)):
        ax = nr.plot.energy_landscape(model, points, decades=decades, **options)
        image = next(c for c in ax.collections if type(c).__name__ == "QuadMesh")
        np.testing.assert_allclose(
            np.ma.filled(image.get_array(), np.nan).reshape(31, 31), np.clip(wanted, low, None)
        )
        assert image.get_clim() == pytest.approx((low, wanted.max()))
        corners = image.get_coordinates()
        np.testing.assert_allclose(corners[0, :, 0], field["axis_1"])
        np.testing.assert_allclose(corners[:, 0, 1], field["axis_2"])
        assert image.colorbar.ax.get_ylabel() == r"$\log_{10} q$, $q = |F(h) - h|^2 / 2$"


def test_a_landscape_with_a_place_that_does_not_move_has_finite_colours():
    ax = nr.plot.energy_landscape(
        lambda h: 0.5 * h, n_hidden=2, limits=((-1, 1), (-1, 1)), n_grid=5
    )
    image = next(c for c in ax.collections if type(c).__name__ == "QuadMesh")
    values = np.ma.filled(image.get_array(), np.nan).reshape(5, 5)
    # The middle is a fixed point: it has the darkest colour.
    assert values[2, 2] == values[np.isfinite(values)].min() and np.isfinite(values).all()
    ax = nr.plot.energy_landscape(lambda h: h + 0.0, n_hidden=2)
    image = next(c for c in ax.collections if type(c).__name__ == "QuadMesh")
    assert np.isfinite(image.get_clim()).all()


@pytest.mark.slow
def test_axes_and_title_say_what_is_drawn(two_bits, five_units, rng):
    ax = nr.plot.phase_portrait(two_bits[0])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("state of unit 0", "state of unit 1")
    assert ax.get_title(loc="left") == "LeakyRNN"
    ax = nr.plot.energy_landscape(two_bits[0], inputs=[0.25])
    assert ax.get_title(loc="left") == "LeakyRNN, input 0.25"
    model, points = five_units
    ax = nr.plot.phase_portrait(model, points)
    share = flow_field(model, points).attrs["variance_share"]
    for label, k in ((ax.get_xlabel(), 0), (ax.get_ylabel(), 1)):
        assert label == f"principal component {k + 1} ({100 * share[k]:.0f} % of the variance)"
    assert ax.get_title(loc="left") == "VanillaRNN: slice through 5 states"
    # No nullclines of a slice, unless they are asked for.
    told = [t.get_text() for t in ax.get_legend().get_texts()]
    assert not any("none along" in t for t in told)
    ax = nr.plot.phase_portrait(
        model, points, plane=np.eye(5)[:2], nullclines=True, title="mine", inputs=[0.0, 0.0]
    )
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("along direction 1", "along direction 2")
    assert ax.get_title(loc="left") == "mine"
    told = [t.get_text() for t in ax.get_legend().get_texts()]
    assert {"none along 1", "none along 2"} <= set(told)


def test_points_off_the_slice_are_faint(five_units):
    model, points = five_units
    states = points.states.values[points.is_stable.values][:1]
    away = states + np.array([[0, 0, 0, 0, 2.0]])
    ax = nr.plot.phase_portrait(
        model, np.concatenate([states, away]), plane=np.eye(5)[:2], origin=states[0],
        limits=((-2, 2), (-2, 2)),
    )  # fmt: skip
    lines = {line.get_label(): line for line in ax.lines}
    assert lines["stable"].get_alpha() == 1.0
    assert len(lines["stable"].get_xdata()) == 1
    (faint,) = (v for k, v in lines.items() if k.endswith(", off the slice"))
    assert faint.get_alpha() < 0.5 and len(faint.get_xdata()) == 1


def test_runs_of_the_model_lie_on_the_plane(five_units):
    model, points = five_units
    with torch.no_grad():
        runs = model(torch.randn(3, 20, 2, generator=torch.Generator().manual_seed(0)))
    ax = nr.plot.phase_portrait(model, points, trajectories=runs.states)
    field = flow_field(model, points, trajectories=runs)
    drawn = [line for line in ax.lines if len(line.get_xdata()) == 20]
    assert len(drawn) == 3
    for line, run in zip(drawn, field["trajectory"].values, strict=True):
        np.testing.assert_allclose(np.stack(line.get_data(), 1), run)
    told = [t.get_text() for t in ax.get_legend().get_texts()]
    assert told.count("trajectories") == 1


@pytest.mark.slow
def test_a_field_that_was_computed_before_is_drawn_as_it_is(two_bits):
    model, points = two_bits
    field = flow_field(model, points, limits=((-1, 1), (-1, 1)), n_grid=21)
    for draw in (nr.plot.phase_portrait, nr.plot.energy_landscape):
        one, two = draw(field), draw(model, points, limits=((-1, 1), (-1, 1)), n_grid=21)
        assert one.get_title(loc="left") == two.get_title(loc="left")
        assert [line.get_label() for line in one.lines] == [x.get_label() for x in two.lines]
        mine = plt.figure().subplots()
        assert draw(field, ax=mine) is mine


def test_a_fit_and_a_layer_of_torch_are_drawn_too():
    windows = nr.simulate.flip_flop(1, 4, 0.2, rng=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = nr.fit(nr.models.VanillaRNN(1, 2, 1, dt=0.01), windows, max_epochs=1)
    ax = nr.plot.phase_portrait(fit, nr.dynamics.find_fixed_points(fit, rng=0))
    assert ax.get_title(loc="left") == "VanillaRNN"
    ax = nr.plot.energy_landscape(torch.nn.LSTM(1, 2), plane=np.eye(4)[:2])
    assert ax.get_title(loc="left") == "LSTM: slice through 4 states"


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ({"plane": np.eye(5)}, ShapeError, r"plane has shape \(5, 5\)"),
        ({"plane": np.ones((2, 5))}, DataError, "lie on one line"),
        ({"plane": [[0.0] * 5, [1.0] * 5]}, DataError, "The first direction of plane is 0"),
        ({}, DataError, "0 states came, from which a plane"),
        ({"points": np.outer([1, 2, 3], np.ones(5))}, DataError, "The 3 states that came lie on"),
        ({"points": np.ones((3, 4))}, ShapeError, r"points has shape \(3, 4\)"),
        ({"points": np.ones(5)}, ShapeError, r"points has shape \(5,\)"),
        ({"trajectories": np.ones((3, 9, 4))}, ShapeError, r"trajectories has shape \(3, 9, 4\)"),
        ({"plane": np.eye(5)[:2], "origin": [0.0]}, ShapeError, r"origin has shape \(1,\)"),
        ({"plane": np.eye(5)[:2], "limits": (-1, 1)}, KindError, "limits is"),
        ({"plane": np.eye(5)[:2], "limits": ((1, -1), (0, 1))}, DataError, "limits is"),
        ({"plane": np.eye(5)[:2], "n_grid": 1}, DataError, "n_grid is 1"),
        ({"plane": np.eye(5)[:2], "inputs": [1.0]}, ShapeError, r"inputs has shape \(1,\)"),
    ],
)
def test_what_makes_no_plane_is_refused(five_units, given, error, told):
    with pytest.raises(error, match=told):
        nr.plot.phase_portrait(five_units[0], **given)


def test_what_cannot_be_drawn_is_refused(two_bits):
    model, points = two_bits
    field = flow_field(model, points, n_grid=3)
    with pytest.raises(NameUnknownError, match="'arrows'"):
        nr.plot.phase_portrait(model, kind="arrow")
    with pytest.raises(KindError, match="A Dataset came without step, place"):
        nr.plot.phase_portrait(points.parameters)
    with pytest.raises(KindError, match="A Dataset came, and points, limits beside it"):
        nr.plot.energy_landscape(field, points, limits=((0, 1), (0, 1)))
    with pytest.raises(DataError, match="decades is 0"):
        nr.plot.energy_landscape(field, decades=0)
    with pytest.raises(ShapeError, match="The network has one state"):
        nr.plot.phase_portrait(np.tanh, n_hidden=1)
    with pytest.raises(KindError, match="points is a Dataset with step"):
        nr.plot.phase_portrait(model, field)
