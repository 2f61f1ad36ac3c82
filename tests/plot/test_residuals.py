"""Mean events, residual checks and published ranges: what is drawn is what is in the table."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.confidence import Estimate, to_dataset
from neurornn._core.errors import KindError, ShapeError


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def event_table(n_events=7):
    """A kernel of 0.5 s with a mean that lies 0.1 above it."""
    lag = np.arange(-3, 20) / 30
    kernel = np.where(lag >= 0, np.exp(-np.maximum(lag, 0) / 0.5), 0.0)
    if not n_events:
        kernel = np.full_like(kernel, np.nan)
    bounds = ["lower", "upper"]
    return xr.Dataset(
        {
            "mean": ("lag", kernel + 0.1, {"units": "mV"}),
            "mean_ci": (("lag", "ci_bound"), np.stack([kernel, kernel + 0.2], 1)),
            "kernel": ("lag", kernel),
            "kernel_ci": (("lag", "ci_bound"), np.stack([0.9 * kernel, 1.1 * kernel], 1)),
        },
        coords={"lag": lag, "ci_bound": bounds},
        attrs={
            "unit": "c7",
            "n_events": n_events,
            "tau_decay": 0.5,
            "tau_decay_ci": np.array([0.4, 0.6]),
        },
    )


@pytest.fixture(scope="module")
def checks():
    rec = nr.simulate.simulate_calcium(1, 120.0, 30.0, tau_decay=0.5, snr=10, missing=0.02, rng=0)
    return nr.calcium.residual_table(
        nr.calcium.Kinetics(tau_rise=False).fit(rec["dff"]), rec["dff"]
    )


def test_mean_event_draws_mean_kernel_and_both_bands():
    table = event_table()
    _, mine = plt.subplots()
    ax = nr.plot.mean_event(table, ax=mine)
    assert ax is mine
    lines = {line.get_label(): line.get_ydata() for line in ax.lines}
    assert np.array_equal(lines["mean event"], table["mean"])
    told = next(name for name in lines if name.startswith("kernel"))
    assert "0.500" in told and "[0.400, 0.600] s" in told
    assert np.array_equal(lines[told], table["kernel"])
    assert len(ax.collections) == 2
    assert "(s)" in ax.get_xlabel() and "(mV)" in ax.get_ylabel()
    assert ax.get_title(loc="left") == "unit c7: mean of 7 events"


def test_mean_event_takes_bounds_in_any_order():
    flipped = event_table().transpose("ci_bound", "lag")
    ax = nr.plot.mean_event(flipped)
    top = ax.collections[0].get_paths()[0].vertices[:, 1].max()
    assert top == pytest.approx(float(flipped["mean_ci"].max()))


def test_a_cell_without_events_is_said_to_have_none():
    ax = nr.plot.mean_event(event_table(0))
    assert [t.get_text() for t in ax.texts] == ["no events"]


def test_residual_checks_draw_five_panels(checks):
    axes = nr.plot.residual_checks(checks)
    over_time, quantiles, correlation, around, fitted = axes
    mean = next(line for line in over_time.lines if line.get_label() == "running mean")
    assert np.array_equal(mean.get_ydata(), checks["running_mean"])
    assert np.array_equal(quantiles.lines[-1].get_ydata(), checks["quantile"])
    assert np.array_equal(correlation.lines[-1].get_ydata(), checks["autocorrelation"])
    assert np.array_equal(around.lines[-1].get_ydata(), checks["event_residual"])
    assert np.array_equal(fitted.lines[-1].get_ydata(), checks["fitted_residual"])
    for ax in axes:
        assert ax.get_xlabel() and ax.get_ylabel()
        assert "of limit" in ax.get_title(loc="left")


def test_a_failed_check_colours_its_title(checks):
    passed = checks["passed"].copy()
    passed[:] = [True, True, False, True, True]
    axes = nr.plot.residual_checks(checks.assign(passed=passed))
    colours = [ax._left_title.get_color() for ax in axes]
    assert [c != "black" for c in colours] == [False, False, True, False, False]


def test_residual_checks_draw_into_the_axes_given(checks):
    figure, mine = plt.subplots(1, 5)
    axes = nr.plot.residual_checks(checks, axes=mine)
    assert list(axes) == list(mine) and plt.get_fignums() == [figure.number]
    with pytest.raises(ShapeError, match="5 axes"):
        nr.plot.residual_checks(checks, axes=mine[:3])


@pytest.mark.parametrize("table", [xr.Dataset({"tau": 1.0}), "table"])
def test_another_table_is_refused(table):
    with pytest.raises(KindError, match="event_average"):
        nr.plot.mean_event(table)
    with pytest.raises(KindError, match="residual_table"):
        nr.plot.residual_checks(table)


def population(n, labels=None):
    tau = np.linspace(0.2, 2.0, n)
    return to_dataset(
        [
            Estimate(
                name="tau_decay",
                value=tau,
                ci=np.stack([0.9 * tau, 1.2 * tau], 1),
                units="s",
                long_name="tau",
                method="made up",
                dims=("unit",),
            )
        ],
        confidence_level=0.95,
        coords={"unit": np.arange(n) if labels is None else labels},
    )


def test_kinds_of_ranges_are_told_apart():
    expected = {"sensor": [(1.8, 1.8)], "in vivo": [(0.4, 0.8), (1.1, 1.9)], "default": (0.7, 0.7)}
    ax = nr.plot.timescales(population(5), expected=expected)
    handles, labels = ax.get_legend_handles_labels()
    assert labels == ["sensor", "in vivo", "default", "ok"]
    # A single number is a line at its value, a range an area; each kind has its colour.
    assert handles[0].get_ydata() == [1.8, 1.8] and handles[2].get_ydata() == [0.7, 0.7]
    spans = sorted((p.get_y(), p.get_y() + p.get_height()) for p in ax.patches)
    assert spans == [pytest.approx((0.4, 0.8)), pytest.approx((1.1, 1.9))]
    assert handles[0].get_color() != handles[2].get_color()


def test_a_plain_range_is_still_one_band():
    ax = nr.plot.timescales(population(5), expected=(0.5, 0.7))
    assert [p.get_label() for p in ax.patches] == ["expected"]


@pytest.mark.parametrize("expected", [(0.5, 0.7, 0.9), {"sensor": 0.5}])
def test_what_is_no_range_is_refused(expected):
    with pytest.raises(ShapeError, match="lower, upper"):
        nr.plot.timescales(population(5), expected=expected)


def test_labels_of_many_units_do_not_overlap():
    ax = nr.plot.timescales(population(12, [f"cell_{k}" for k in range(12)]))
    assert {t.get_rotation() for t in ax.get_xticklabels()} == {90}
    assert {t.get_rotation() for t in nr.plot.timescales(population(5)).get_xticklabels()} == {0}


def test_panels_of_a_new_figure_do_not_lie_on_one_another(checks):
    taken = []
    for ax in nr.plot.residual_checks(checks):
        spec = ax.get_subplotspec()
        taken += [(r, c) for r in spec.rowspan for c in spec.colspan]
    assert sorted(taken) == [(r, c) for r in range(2) for c in range(3)]


def test_panels_hold_their_bands_ranges_and_legends(checks):
    over_time, quantiles, correlation, _, fitted = nr.plot.residual_checks(checks)
    mean, sd = checks["running_mean"].values, checks["running_sd"].values
    lines = [line.get_ydata() for line in over_time.lines]
    assert np.array_equal(lines[0], checks["residual"], equal_nan=True)
    assert np.array_equal(lines[2], mean - sd) and np.array_equal(lines[3], mean + sd)
    assert over_time.get_ylim() == (-5, 5)
    assert over_time.get_xlim() == (checks["time"].values[0], checks["time"].values[-1])
    for ax, texts in (
        (over_time, ["running mean", "± running sd"]),
        (correlation, ["white noise"]),
    ):
        assert [t.get_text() for t in ax.get_legend().get_texts()] == texts
    band = quantiles.collections[0].get_paths()[0].vertices[:, 1]
    ends = checks["normal_quantile_ci"].values
    assert (band.min(), band.max()) == (pytest.approx(ends.min()), pytest.approx(ends.max()))
    limit = checks["white_limit"].values
    band = correlation.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (pytest.approx(-limit.max()), pytest.approx(limit.max()))
    bars = correlation.collections[1].get_segments()
    assert [b[1][1] for b in bars] == checks["autocorrelation"].values.tolist()
    assert correlation.get_xlim()[0] == 0
    spans = [(s[0][1], s[1][1]) for s in fitted.collections[0].get_segments()]
    ends = checks["fitted_residual_ci"].transpose(..., "ci_bound").values
    assert np.array_equal(
        np.array(spans)[np.isfinite(ends).all(1)], ends[np.isfinite(ends).all(1)]
    )
