"""The Hill curve and the way back."""

import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import DataError, UnitWarning

CURVE = {"hill": 2.3, "dissociation": 300.0, "dynamic_range": 40.0, "resting": 60.0}


def test_the_inverse_undoes_the_curve():
    calcium = np.random.default_rng(0).uniform(-30, 2000, (50, 3))
    bright = nr.calcium.hill_fluorescence(calcium, **CURVE)
    back = nr.calcium.linearise(bright, sampling_rate=10.0, **CURVE)
    # Near saturation the inverse magnifies rounding by some thousands.
    assert back.values == pytest.approx(calcium, rel=1e-9, abs=1e-9)
    assert back.attrs["units"] == "nM"


def test_one_site_far_from_saturation_is_linear():
    # For n = 1 and c << K: dF/F = (R - 1) c / K over F(rest), here within 1 %.
    got = nr.calcium.hill_fluorescence(
        1.0, hill=1.0, dissociation=1e3, dynamic_range=11.0, resting=0.0
    )
    assert got == pytest.approx(10 * 1.0 / 1e3, rel=0.01)


@pytest.mark.slow
def test_the_decay_of_calcium_comes_out_where_that_of_brightness_does_not():
    rec = nr.simulate.simulate_calcium(
        1, 300.0, 30.0, tau_decay=0.5, rate=0.5, snr=1e6, size_cv=0.3, amplitude=80.0, rng=1
    )
    bright = rec["dff"].copy(data=nr.calcium.hill_fluorescence(rec["calcium"].values, **CURVE))
    bright += 0.03 * np.random.default_rng(2).standard_normal(bright.shape)
    # Where the trace is dark the noise goes below what an indicator without calcium shows.
    linear = nr.calcium.linearise(bright, **CURVE)
    straight = nr.calcium.Kinetics().fit(linear).parameters_.isel(unit=0)
    bent = nr.calcium.Kinetics().fit(bright).parameters_.isel(unit=0)
    # 150 events at an SNR of some 30: what is left is noise that the curve has bent. At such sizes
    # brightness goes with a power of calcium, and falls faster than it.
    assert straight["tau_decay"] == pytest.approx(0.5, rel=0.04)
    assert bent["tau_decay"] < 0.45


def test_impossible_brightness_is_missing_and_said():
    trace = np.full((100, 1), 0.5)
    trace[::2] = 1.0
    trace[:5] = 1e3
    with pytest.warns(UnitWarning, match="5.0 % of the frames"):
        out = nr.calcium.linearise(trace, sampling_rate=10.0, **CURVE)
    assert np.isnan(out.values[:5]).all() and not np.isnan(out.values[5:]).any()


def test_constants_are_checked():
    trace = np.random.default_rng(0).standard_normal((50, 1)) * 0.01
    with pytest.raises(DataError, match="dynamic_range"):
        nr.calcium.linearise(trace, sampling_rate=10.0, **{**CURVE, "dynamic_range": 1.0})
    with pytest.warns(UnitWarning) as told:
        nr.calcium.linearise(trace, sampling_rate=10.0, **{**CURVE, "resting": 0.06})
    assert "micromolar" in str(told[0].message)
