"""Pictures: what is drawn is what is in the table; the axes come back; gaps stay gaps."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import neurornn as nr
from neurornn._core.confidence import Estimate, to_dataset
from neurornn._core.errors import ThreePartError


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def table(n=5, **options):
    tau = np.linspace(0.2, 2.0, n)[::-1]
    return to_dataset(
        [
            Estimate(
                name="tau",
                value=tau,
                ci=np.stack([0.9 * tau, 1.2 * tau], 1),
                units="s",
                long_name="tau",
                method="made up",
                dims=("hidden",),
            )
        ],
        confidence_level=0.95,
        coords={"hidden": np.arange(n)},
        **options,
    )


def test_timescales_are_sorted_and_on_a_log_axis():
    ax = nr.plot.timescales(table(), truth=1.0, expected=(0.5, 0.7))
    points = ax.lines[0].get_ydata()
    assert np.all(np.diff(points) > 0) and len(points) == 5
    assert ax.get_yscale() == "log"
    assert "(s)" in ax.get_ylabel()
    # Labels follow the sorting.
    assert [t.get_text() for t in ax.get_xticklabels()] == ["4", "3", "2", "1", "0"]


def test_timescales_marks_what_is_not_ok():
    status = ["ok", "ok", "too_noisy", "ok", "ok"]
    ax = nr.plot.timescales(table(status=status, status_dims=("hidden",)))
    assert sorted(len(line.get_xdata()) for line in ax.lines) == [1, 4]


def test_trace_draws_into_the_axes_given_and_breaks_at_gaps():
    rec = nr.simulate.simulate_calcium(2, 10.0, 30.0, n_trials=2, rng=0)
    _, mine = plt.subplots()
    ax = nr.plot.trace(rec["dff"], unit=1, ax=mine)
    assert ax is mine
    drawn = ax.lines[0].get_ydata()
    assert np.isnan(drawn).sum() == 1 and np.isnan(drawn[300])
    assert "unit 1" in ax.get_title(loc="left")


def test_history_marks_the_best_epoch():
    import xarray as xr

    history = xr.Dataset(
        {"loss": ("epoch", [3.0, 2.0, 1.0]), "validation_loss": ("epoch", [3.0, 1.5, 2.0])},
        coords={"epoch": [1, 2, 3]},
    )
    ax = nr.plot.history(history)
    assert ax.lines[-1].get_xdata().tolist() == [2]


@pytest.mark.parametrize(
    "call",
    [
        lambda: nr.plot.timescales(table(), name="tu"),
        lambda: nr.plot.trace(nr.simulate.simulate_calcium(1, 10.0, rng=0)["dff"], unit=9),
        lambda: nr.plot.trace(nr.simulate.simulate_calcium(1, 10.0, rng=0)["tau_decay_true"]),
    ],
)
def test_bad_calls_are_refused_in_three_parts(call):
    with pytest.raises(ThreePartError):
        call()
