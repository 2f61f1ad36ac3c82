"""Time constants of gated networks: each unit at its median over steps."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import xarray as xr

import neurornn as nr
from neurornn._core.errors import ShapeError


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_units_of_a_gated_network_are_drawn_at_their_median_with_the_range_of_steps():
    model = nr.models.GRU(2, 5, 1, dt=0.01, tau=[0.02, 0.5, 0.1, 1.0, 0.05], rng=0)
    gates = model.gate_time_constants(torch.randn(3, 60, 2, generator=torch.Generator()))
    ax = nr.plot.timescales(gates)
    values = gates.values.reshape(-1, 5)
    middle = np.median(values, axis=0)
    order = np.argsort(middle)
    (points,) = (line for line in ax.lines if line.get_marker() == "o")
    assert points.get_ydata() == pytest.approx(middle[order])
    bars = np.array([segment[:, 1] for segment in ax.collections[0].get_segments()])
    assert bars == pytest.approx(np.quantile(values, [0.05, 0.95], axis=0).T[order])
    assert [t.get_text() for t in ax.get_xticklabels()] == [str(k) for k in order]
    assert "s" in ax.get_ylabel() and ax.get_yscale() == "log"


def test_gates_that_never_forget_leave_the_others_their_quantiles():
    gates = xr.DataArray([[[1.0, np.inf], [3.0, 2.0]]], dims=("trial", "time", "hidden"),
                         attrs={"units": "s"})  # fmt: skip
    ax = nr.plot.timescales(gates)
    assert ax.lines[0].get_ydata() == pytest.approx([2.0, 2.0])


def test_an_array_without_steps_is_refused():
    with pytest.raises(ShapeError, match="An array over unit came"):
        nr.plot.timescales(xr.DataArray([1.0], dims="unit"))
