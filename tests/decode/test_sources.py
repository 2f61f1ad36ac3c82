"""Units of outputs, and what a stream refuses before the loop begins."""

import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.errors import DataError, ShapeError, UnitError

LABELS = [f"u{k}" for k in range(20)]


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    state = rng.normal(size=(600, 2))
    time = 0.05 * np.arange(1, 601)
    counts = xr.DataArray(
        rng.poisson(np.exp(0.5 * state @ rng.normal(size=(2, 20)))),
        dims=("time", "unit"),
        coords={"time": time, "unit": LABELS},
    )
    targets = xr.DataArray(
        state,
        dims=("time", "output"),
        coords={
            "time": time,
            "output": ["x", "vx"],
            "output_units": ("output", ["cm", "cm/s"]),
        },
    )
    return nr.decode.RidgeDecoder(0.05, n_lags=2, power=1.0).fit(counts, targets), counts, targets


def test_outputs_keep_units_of_their_own(fitted, tmp_path):
    decoder, counts, targets = fitted
    assert "rmse (cm, cm/s)" in decoder.report()
    assert decoder.predict(counts)["output_units"].values.tolist() == ["cm", "cm/s"]
    decoder.save(tmp_path / "decoder")
    again = nr.load(tmp_path / "decoder")
    assert again.predict(counts).identical(decoder.predict(counts))
    assert again.score(counts, targets) == decoder.score(counts, targets)
    wrong = targets.assign_coords(output_units=("output", ["mm", "cm/s"]))
    with pytest.raises(UnitError, match="mm, cm/s, those of the fit in cm, cm/s"):
        decoder.score(counts, wrong)


def test_a_stream_names_what_is_wrong_with_its_source(fitted):
    stream = fitted[0].stream()
    stream.check_source(units=LABELS, bin_size=0.05)
    with pytest.raises(ShapeError, match="19 units"):
        stream.check_source(units=LABELS[:-1])
    with pytest.raises(DataError, match="another order"):
        stream.check_source(units=LABELS[::-1])
    with pytest.raises(DataError, match="u0"):
        stream.check_source(units=["v0", *LABELS[1:]])
    with pytest.raises(UnitError, match=r"0\.02 s .* 0\.05 s"):
        stream.check_source(bin_size=0.02)


def test_a_decoder_says_how_it_was_made_and_cites(fitted):
    decoder = fitted[0]
    text = decoder.methods_text()
    assert "20 units in bins of 0.05 s" in text and "penalty" in text
    assert "Hoerl" in nr.cite(decoder) and "Lei et al. 2018" in nr.cite(decoder)


def test_latencies_of_a_stream_are_drawn_as_they_come(fitted):
    table = fitted[0].stream().latency(n_steps=50)
    ax = nr.plot.latency(table)
    # Seconds in the table, microseconds in the picture.
    drawn = [line.get_xdata()[0] for line in ax.lines]
    assert drawn[0] == pytest.approx(1e6 * float(table["p50"]))
