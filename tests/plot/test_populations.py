"""Pictures of populations show the tables and arrays that they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgba

import neurornn as nr
from neurornn._core.errors import DataError, NameUnknownError, ShapeError
from neurornn.plot.style import DATA, EVENT, FIT


@pytest.fixture(autouse=True)
def _closed():
    """Close the pictures of a test."""
    yield
    plt.close("all")


def remembered(tau=(0.21,), units=None, longest=0.3):
    """An autocorrelation and the table of parameters beside it."""
    rng = np.random.default_rng(0)
    lag = np.linspace(0.02, longest, 15)
    shape = (15,) if units is None else (len(units), 15)
    dims = ("lag",) if units is None else ("unit", "lag")
    value = rng.uniform(0.1, 0.5, shape)
    coords = {"lag": ("lag", lag, {"units": "s"}), "ci_bound": ["lower", "upper"]}
    if units is not None:
        coords["unit"] = units
    table = xr.Dataset(
        {
            "log_covariance": (dims, value, {"units": "1"}),
            "log_covariance_ci": (
                (*dims, "ci_bound"), np.stack([value - 0.03, value + 0.05], axis=-1)
            ),
            "fitted": (dims, value + 0.01),
            "naive": (dims, value - 0.02),
        },
        coords=coords,
    )  # fmt: skip
    first = () if units is None else ("unit",)
    tau = np.array(np.broadcast_to(tau, (*value.shape[:-1], len(tau))))
    parameters = xr.Dataset(
        {
            "tau": ((*first, "timescale"), tau, {"units": "s"}),
            "tau_ci": (
                (*first, "timescale", "ci_bound"), np.stack([0.9 * tau, 1.2 * tau], axis=-1)
            ),
            "naive_tau": (first, 0.5 * tau[..., 0]),
            "status": (first, np.full(value.shape[:-1], "ok")),
        },
        coords={k: v for k, v in coords.items() if k != "lag"},
    )  # fmt: skip
    return table, parameters


class Fitted:
    """What an estimator shows: two tables."""

    def __init__(self, table, parameters):
        self.autocorrelation_, self.parameters_ = table, parameters


def named(ax):
    return {line.get_label(): line for line in ax.lines}


# ------------------------------------------------------------------ autocorrelation


def test_an_autocorrelation_is_drawn_to_the_point():
    table, parameters = remembered()
    ax = nr.plot.autocorrelation(Fitted(table, parameters))
    lines = named(ax)
    names = ("spikes", "usual fit to counts: 105 ms", "fit: 210 [189, 252] ms")
    assert set(names) <= set(lines)
    lag = 1000 * table["lag"].values
    for name, variable, color in zip(
        names, ("log_covariance", "naive", "fitted"), (DATA, EVENT, FIT), strict=True
    ):
        np.testing.assert_array_equal(lines[name].get_xdata(), lag)
        np.testing.assert_array_equal(lines[name].get_ydata(), table[variable])
        assert to_rgba(lines[name].get_color()) == to_rgba(color)
    bars = np.array(ax.collections[0].get_segments())
    np.testing.assert_array_equal(bars[:, :, 0], np.stack([lag, lag], axis=1))
    np.testing.assert_array_equal(bars[:, :, 1], table["log_covariance_ci"])
    assert ax.get_xlabel() == "lag (ms)"
    assert [t.get_text() for t in ax.get_legend().get_texts()] == list(names)
    # The table alone, without names for the curves.
    alone = named(nr.plot.autocorrelation(table))
    assert {"spikes", "usual fit to counts", "fit"} <= set(alone)


def test_slow_populations_are_drawn_in_seconds():
    table, parameters = remembered(tau=(1.5,), longest=6.0)
    ax = nr.plot.autocorrelation(table, parameters=parameters)
    assert ax.get_xlabel() == "lag (s)"
    np.testing.assert_array_equal(named(ax)["spikes"].get_xdata(), table["lag"])
    assert "fit: 1.50 [1.35, 1.80] s" in named(ax)
    # Just below a second, in ms again.
    assert "usual fit to counts: 750 ms" in named(ax)


def test_several_time_constants_and_what_is_wrong_stand_in_the_legend():
    table, parameters = remembered(tau=(0.05, 0.3))
    parameters["status"] = "not_identifiable"
    ax = nr.plot.autocorrelation(Fitted(table, parameters))
    texts = [t.get_text() for t in ax.get_legend().get_texts()]
    assert texts[-1] == "fit: 50.0 [45.0, 60.0] ms; 300 [270, 360] ms; not_identifiable"
    parameters["tau"][:] = np.nan
    parameters["naive_tau"] = np.nan
    ax = nr.plot.autocorrelation(Fitted(table, parameters))
    texts = [t.get_text() for t in ax.get_legend().get_texts()]
    assert texts == ["spikes", "usual fit to counts", "fit: not_identifiable"]


def test_each_unit_has_its_own_autocorrelation():
    table, parameters = remembered(units=["b", "a", "c"])
    parameters["tau"][:] = [[0.1], [0.2], [0.3]]
    for label, k in (("a", 1), ("c", 2), (None, 0)):
        ax = nr.plot.autocorrelation(Fitted(table, parameters), unit=label)
        np.testing.assert_array_equal(
            named(ax)["spikes"].get_ydata(), table["log_covariance"].values[k]
        )
        assert ax.get_title() == f"unit {label or 'b'}"
        assert any(f"fit: {100 * (k + 1)} " in name for name in named(ax))
    with pytest.raises(NameUnknownError, match="no unit 'd'"):
        nr.plot.autocorrelation(Fitted(table, parameters), unit="d")
    with pytest.raises(ShapeError, match="log_covariance over lag"):
        nr.plot.autocorrelation(parameters)


# ------------------------------------------------------------------ planes


def paths(n_trials=4, n_time=12, n_latent=3, seed=0):
    z = np.random.default_rng(seed).normal(size=(n_trials, n_time, n_latent)).cumsum(axis=1)
    return xr.DataArray(z, dims=("trial", "time", "latent"), coords={"latent": range(n_latent)})


def test_paths_lie_in_the_planes_asked_for():
    z = paths()
    axes = nr.plot.latent_planes(z, planes=[(2, 0), (1, 2)])
    for ax, (a, b) in zip(axes, [(2, 0), (1, 2)], strict=True):
        assert ax.get_xlabel() == f"latent {a}"
        assert ax.get_ylabel() == f"latent {b}"
        ways, starts = ax.lines[::2], ax.lines[1::2]
        assert len(ways) == 4
        for k, (way, start) in enumerate(zip(ways, starts, strict=True)):
            np.testing.assert_array_equal(way.get_xdata(), z.values[k, :, a])
            np.testing.assert_array_equal(way.get_ydata(), z.values[k, :, b])
            assert start.get_xdata()[0] == z.values[k, 0, a]
            assert start.get_ydata()[0] == z.values[k, 0, b]
    assert len(nr.plot.latent_planes(z)) == 2
    # One plane, one trial, and a list of trials of other lengths.
    ax = nr.plot.latent_planes(z[0], planes=[(0, 1)])
    assert len(ax.lines) == 2
    assert to_rgba(ax.lines[0].get_color()) == to_rgba(FIT)
    ax = nr.plot.latent_planes([z[0], z[1, :5]], planes=[(0, 1)])
    assert len(ax.lines[2].get_xdata()) == 5


def test_conditions_give_the_colours_and_the_legend():
    z = paths()
    ax = nr.plot.latent_planes(z, planes=[(0, 1)], conditions=["left", "right", "left", "up"])
    colors = [to_rgba(line.get_color()) for line in ax.lines[::2]]
    assert colors[0] == colors[2]
    assert len(set(colors)) == 3
    legend = ax.get_legend()
    assert [t.get_text() for t in legend.get_texts()] == ["left", "right", "up"]
    marks = [to_rgba(h.get_color()) for h in legend.legend_handles]
    assert marks == [colors[0], colors[1], colors[3]]
    with pytest.raises(ShapeError, match="for 4 trials"):
        nr.plot.latent_planes(z, conditions=["a"])


def test_truth_is_mapped_onto_the_latents():
    truth = paths(seed=1)
    turn = np.random.default_rng(2).normal(size=(3, 3))
    z = truth.copy(data=truth.values @ turn + [1.0, -2.0, 0.5])
    ax = nr.plot.latent_planes(z, planes=[(0, 2)], truth=truth)
    dashed = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert len(dashed) == 4
    for k, line in enumerate(dashed):
        # A linear map brings it there whole.
        np.testing.assert_allclose(line.get_xdata(), z.values[k, :, 0], atol=1e-9)
        np.testing.assert_allclose(line.get_ydata(), z.values[k, :, 2], atol=1e-9)
    assert ax.get_legend().get_texts()[-1].get_text() == "truth, mapped"
    with pytest.raises(ShapeError, match="The same trials and bins"):
        nr.plot.latent_planes(z, truth=truth[:2])


def test_many_trials_are_thinned_out_and_wrong_planes_refused():
    z = paths(n_trials=200, n_time=3)
    ax = nr.plot.latent_planes(z, planes=[(0, 1)])
    assert len(ax.lines) == 2 * 60
    np.testing.assert_array_equal(ax.lines[-2].get_xdata(), z.values[-1, :, 0])
    with pytest.raises(NameUnknownError, match="no latent 7"):
        nr.plot.latent_planes(z, planes=[(0, 7)])
    with pytest.raises(DataError, match="Two latents or more"):
        nr.plot.latent_planes(z[..., :1])
    with pytest.raises(ShapeError, match="for 2 planes"):
        nr.plot.latent_planes(z, ax=plt.figure().subplots())


# ------------------------------------------------------------------ single trials


def trials():
    rng = np.random.default_rng(3)
    dims = ("trial", "time", "unit")
    coords = {
        "trial": [10, 20, 30, 40], "time": 0.02 * np.arange(1, 26), "unit": ["x", "y"],
    }  # fmt: skip
    counts = xr.DataArray(
        rng.poisson(0.5, (4, 25, 2)), dims=dims, coords=coords, attrs={"bin_size": 0.02}
    )
    rates = counts.copy(data=rng.uniform(5, 50, counts.shape)).assign_attrs(units="Hz")
    return rates, counts


def test_rates_of_a_trial_stand_above_its_spikes():
    rates, counts = trials()
    truth = rates + 3.0
    interval = xr.concat([rates - 4, rates + 6], "ci_bound").assign_coords(
        ci_bound=["lower", "upper"]
    )
    axes = nr.plot.single_trial_rates(
        rates, counts, trial=[30, 10], unit="y", truth=truth, interval=interval
    )
    for ax, k in zip(axes, (2, 0), strict=True):
        lines = named(ax)
        np.testing.assert_array_equal(lines["rate"].get_xdata(), rates["time"])
        np.testing.assert_array_equal(lines["rate"].get_ydata(), rates.values[k, :, 1])
        np.testing.assert_array_equal(lines["true rate"].get_ydata(), truth.values[k, :, 1])
        assert ax.get_ylabel() == "rate (Hz)"
        assert ax.get_title() == f"unit y, trial {(10, 20, 30)[k]}"
        band = ax.collections[0].get_paths()[0].vertices[:, 1]
        edges = np.concatenate([rates.values[k, :, 1] - 4, rates.values[k, :, 1] + 6])
        assert set(np.round(band, 9)) == set(np.round(edges, 9))
        # Each spike has a tick in its bin, which ends at its stamp.
        ticks = np.array([s[0][0] for s in ax.collections[1].get_segments()])
        own = counts.values[k, :, 1]
        assert len(ticks) == own.sum()
        inside = np.ceil(ticks / 0.02 - 1e-9).astype(int) - 1
        np.testing.assert_array_equal(np.bincount(inside, minlength=25), own)
        assert len(np.unique(ticks)) == len(ticks)
    assert axes[-1].get_xlabel() == "time (s)"
    assert [t.get_text() for t in axes[0].get_legend().get_texts()] == [
        "true rate", "rate", "spikes",
    ]  # fmt: skip


def test_defaults_are_the_first_trials_of_the_first_unit():
    rates, counts = trials()
    axes = nr.plot.single_trial_rates(rates, counts)
    assert [ax.get_title() for ax in axes] == [f"unit x, trial {k}" for k in (10, 20, 30)]
    np.testing.assert_array_equal(named(axes[1])["rate"].get_ydata(), rates.values[1, :, 0])
    # A long recording has one picture; a Dataset brings its interval.
    table = xr.Dataset(
        {
            "rate": rates[0],
            "rate_ci": xr.concat([rates[0] - 1, rates[0] + 1], "ci_bound").assign_coords(
                ci_bound=["lower", "upper"]
            ),
        }
    )
    ax = nr.plot.single_trial_rates(table, counts[0], unit="y")
    assert ax.get_title() == "unit y"
    assert len(ax.collections) == 2
    np.testing.assert_array_equal(named(ax)["rate"].get_ydata(), rates.values[0, :, 1])


def test_what_does_not_go_together_is_refused():
    rates, counts = trials()
    with pytest.raises(NameUnknownError, match="no unit 'z'"):
        nr.plot.single_trial_rates(rates, counts, unit="z")
    with pytest.raises(NameUnknownError, match="no trial 11"):
        nr.plot.single_trial_rates(rates, counts, trial=11)
    with pytest.raises(ShapeError, match="The same bins"):
        nr.plot.single_trial_rates(rates, counts[:, :5])
    with pytest.raises(ShapeError, match="counts is a ndarray"):
        nr.plot.single_trial_rates(rates, counts.values)
