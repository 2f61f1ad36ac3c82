"""Tables as rows: every value with its interval, unit and status; nothing is dropped."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.confidence import Estimate, to_dataset
from neurornn._core.errors import NameUnknownError, UnitError
from neurornn.io.shell import tidy


def table():
    common = {"long_name": "x", "method": "m"}
    return to_dataset(
        [
            Estimate(name="tau", value=[0.5, 2.0], ci=[[0.4, 0.7], [1.0, 3.0]], units="s",
                     dims=("hidden",), **common),
            Estimate(name="noise_sd", value=[0.1], units="1", dims=("output",), **common),
        ],
        confidence_level=0.95,
        coords={"hidden": ["a", "b"], "output": [7]},
        status=["ok", "at_bound"],
        status_dims=("hidden",),
    )  # fmt: skip


def test_rows_hold_value_bounds_unit_and_the_status_of_their_own_axis(tmp_path):
    nr.io.write_csv(tidy(table()), tmp_path / "t.csv")
    rows = pd.read_csv(tmp_path / "t.csv", keep_default_na=False)
    assert rows[["quantity", "of", "units", "status"]].values.tolist() == [
        ["tau", "hidden a", "s", "ok"],
        ["tau", "hidden b", "s", "at_bound"],
        ["noise_sd", "output 7", "1", ""],
    ]
    numbers = rows[["value", "lower", "upper"]].replace("", np.nan).astype(float).values
    np.testing.assert_array_equal(
        numbers, [[0.5, 0.4, 0.7], [2.0, 1.0, 3.0], [0.1, np.nan, np.nan]]
    )


def test_a_table_without_a_quantity_has_no_rows():
    assert tidy(xr.Dataset({"x": (("a", "b"), np.zeros((2, 2)))})).sizes["row"] == 0


def test_a_unit_of_time_that_is_none_is_refused_before_a_fit_is_lost():
    with pytest.raises(UnitError, match="time_unit is 'furlongs'"):
        nr.models.LeakyRNN(2, 2, 1, dt=1.0, tau=5.0, time_unit="furlongs")


def test_a_trace_whose_unit_is_empty_is_fitted():
    dff = nr.simulate.simulate_calcium(1, 40.0, 20.0, snr=10, rng=0)["dff"]
    kinetics = nr.calcium.Kinetics(tau_rise=False).fit(dff.assign_attrs(units=""))
    assert kinetics.parameters_["amplitude"].attrs["units"] == "1"


@pytest.mark.parametrize("of", [nr.compare.SpectraComparison, nr.koopman.EDMD])
def test_results_and_estimators_tell_a_declared_quantity_by_its_name(of):
    for declared in of._quantities:
        assert of.quantity(declared.name) is declared
    with pytest.raises(NameUnknownError, match=r"quantity is 'frequenci'.*'frequency'"):
        of.quantity("frequenci")
