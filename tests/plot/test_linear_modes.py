"""Pictures of linear modes show the numbers that they are given."""

import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import ShapeError
from neurornn.simulate import simulate_oscillators, simulate_system


@pytest.fixture(scope="module")
def run():
    return simulate_oscillators(noise_sd=0.2, rng=0)


@pytest.fixture(scope="module")
def modes(run):
    return nr.koopman.fit_modes(run["series"], rank=5)


@pytest.fixture(scope="module")
def laws():
    draw = np.random.default_rng(0)
    swings = simulate_system(
        "pendulum", 8.0, 0.1, n_trials=20, start=draw.uniform(-1.5, 1.5, (20, 2)), noise_sd=0.05,
        rng=0,
    )  # fmt: skip
    return nr.koopman.conserved_quantities(swings["series"], degree=2), swings


def test_a_spectrum_has_points_intervals_and_truth(run, modes):
    ax = nr.plot.spectrum(modes, truth=run)
    table = modes.parameters_
    box = ax.containers[0]
    x, y = box[0].get_data()
    np.testing.assert_array_equal(x, table["rate"])
    np.testing.assert_array_equal(y, table["frequency"])
    across = np.array([s[:, 0] for s in box[2][0].get_segments()])
    np.testing.assert_allclose(across, table["rate_ci"])
    up = np.array([s[:, 1] for s in box[2][1].get_segments()])
    # A mode that does not swing has no interval of its frequency.
    np.testing.assert_allclose(up[1:], table["frequency_ci"][1:])
    np.testing.assert_array_equal(up[0], 0)
    truth = next(line for line in ax.lines if line.get_label() == "truth").get_data()
    np.testing.assert_allclose(truth[0], -1 / run["time_constant"].values)
    np.testing.assert_allclose(truth[1], run["frequency"].values)
    # Every line stands where its label says, and 0 is bold.
    for text in ax.texts:
        tau = float(text.get_text().removesuffix(" s"))
        assert text.get_position()[0] == pytest.approx(-1 / tau)
        at = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == ":"]
        assert any(x == pytest.approx(-1 / tau) for x in at)
    assert any(line.get_linewidth() == 1.5 and set(line.get_xdata()) == {0} for line in ax.lines)


def test_modes_that_are_not_ok_are_open(modes):
    table = modes.parameters_.copy(deep=True)
    table["status"][1] = "growing"
    filled, empty = nr.plot.spectrum(table).containers
    assert filled[0].get_data()[0].tolist() == table["rate"].values[[0, 2]].tolist()
    assert empty[0].get_data()[0].tolist() == [table["rate"].values[1]]
    assert empty[0].get_markerfacecolor() == "none"
    with pytest.raises(ShapeError, match=r"rate .* and frequency"):
        nr.plot.spectrum(table[["amplitude"]])


def test_shapes_are_bars(modes):
    ax = nr.plot.mode_shapes(modes, n_modes=2)
    shapes = modes.shapes_.values @ np.array([1, 1j])
    bars = [[b.get_height() for b in c] for c in ax.containers]
    slow = shapes[0].real
    np.testing.assert_allclose(bars[0], 0.42 * slow / np.abs(slow).max(), atol=1e-12)
    size = np.abs(shapes[1])
    np.testing.assert_allclose(bars[1], 0.42 * size / size.max(), atol=1e-12)
    tau = modes.parameters_["time_constant"].values
    labels = [t.get_text() for t in ax.get_yticklabels()]
    assert labels[0] == f"{tau[0]:.3g} s"
    assert labels[1].startswith(f"{tau[1]:.3g} s, 0.8")


def test_a_law_over_the_plane_and_along_trajectories(laws):
    found, swings = laws
    ax = nr.plot.eigenfunction(found, x=(-2, 2), y=(-1, 1), n=21)
    mesh = ax.collections[0]
    grid = np.stack(np.meshgrid(np.linspace(-2, 2, 21), np.linspace(-1, 1, 21)), -1)
    np.testing.assert_allclose(
        np.asarray(mesh.get_array()).ravel(), found.evaluate(grid).values[..., 0].ravel()
    )
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("angle", "speed")
    ax = nr.plot.conserved(found, swings["series"])
    values = found.evaluate(swings["series"]).values[..., 0]
    drawn = np.array([line.get_ydata() for line in ax.lines])
    assert drawn.shape == values.shape
    np.testing.assert_allclose(np.sort(drawn.mean(1)), np.sort(values.mean(1)))
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), swings["time"])
    assert f"p = {found.p_value.values[0]:.2g}" in ax.get_title()
    with pytest.raises(ShapeError, match="law 3 of 1"):
        nr.plot.eigenfunction(found, 3)
    with pytest.raises(ShapeError, match=r"x\[None\]"):
        nr.plot.conserved(found, swings["series"].isel(trial=0))


def test_an_eigenfunction_over_the_plane():
    draw = np.random.default_rng(0)
    run = simulate_system(
        "slow_manifold", 5.0, 0.1, n_trials=20, start=draw.uniform(-1.5, 1.5, (20, 2)), rng=0
    )
    edmd = nr.koopman.EDMD(degree=2).fit(run["series"])
    ax = nr.plot.eigenfunction(edmd, 0, n=11)
    grid = np.stack(np.meshgrid(np.linspace(-2, 2, 11), np.linspace(-2, 2, 11)), -1)
    np.testing.assert_allclose(
        np.asarray(ax.collections[0].get_array()).ravel(),
        edmd.eigenfunctions(grid).values[..., 0].real.ravel(),
    )
    three = nr.koopman.EDMD(degree=1, dt=0.1).fit(draw.standard_normal((50, 3)).cumsum(0))
    with pytest.raises(ShapeError, match="3 variables"):
        nr.plot.eigenfunction(three)


def test_a_forecast_with_its_band(run):
    x = run["series"].values[0]
    modes = nr.koopman.fit_modes(x[:120], dt=0.02, rank=5)
    ahead = modes.forecast(1.0)
    ax = nr.plot.forecast_fan(ahead, past=x[100:120], truth=x[120:], unit=3)
    lines = {line.get_label(): line.get_data() for line in ax.lines}
    np.testing.assert_array_equal(lines["forecast"][1], ahead["forecast"].values[:, 3])
    np.testing.assert_allclose(lines["before"][0], 0.02 * np.arange(-19, 1))
    np.testing.assert_array_equal(lines["before"][1], x[100:120, 3])
    np.testing.assert_array_equal(lines["what came"][1], x[120:170, 3])
    np.testing.assert_allclose(lines["what came"][0][0], 0.02)
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    low, high = ahead["forecast_ci"].values[:, 3].T
    assert band.min() == pytest.approx(low.min())
    assert band.max() == pytest.approx(high.max())
    two = nr.koopman.fit_modes(np.stack([x[:100], x[50:150]]), dt=0.02, rank=3).forecast(0.2)
    with pytest.raises(ShapeError, match=r"isel\(trajectory=0\)"):
        nr.plot.forecast_fan(two)


def test_a_spectrum_of_pydmd(run):
    found = nr.koopman.dmd(run["series"], method="exact", rank=5)
    ax = nr.plot.spectrum(found)
    drawn = np.concatenate([c[0].get_data()[0] for c in ax.containers])
    np.testing.assert_allclose(np.sort(drawn), np.sort(found.parameters["rate"].values))
