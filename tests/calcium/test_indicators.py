"""The table of indicators: names, kinds kept apart, and populations compared with it."""

import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import DataError, KindError, NameUnknownError
from neurornn.calcium.indicators import KINDS, compare_with_literature


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("GCaMP6f", "GCaMP6f"),
        ("gcamp6f", "GCaMP6f"),
        ("6s", "GCaMP6s"),
        ("jGCaMP8s", "jGCaMP8s"),
        ("GCaMP-8S", "jGCaMP8s"),
        ("jgcamp 7f", "jGCaMP7f"),
        ("ogb1", "OGB-1"),
    ],
)
def test_names_in_any_spelling(spelling, name):
    assert nr.calcium.indicator(spelling).name == name


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(NameUnknownError, match="Did you mean 'jGCaMP8"):
        nr.calcium.indicator("jGCaMP8x")
    with pytest.raises(NameUnknownError, match="Known names: GCaMP3"):
        nr.calcium.indicator("Fluo-4")
    with pytest.raises(KindError, match="name is 6"):
        nr.calcium.indicator(6)


def test_every_constant_is_of_one_kind_with_a_source():
    names = {row[0] for row in nr.calcium.list_indicators().rows}
    assert len(names) == 10
    for name in names:
        found = nr.calcium.indicator(name)
        assert found.constants
        for kind in KINDS:
            for constant in getattr(found, kind):
                assert constant.kind == kind and constant.source and constant.unit == "s"
                low, high = constant.bounds()
                assert 0 < low <= high < 5
                if constant.value is not None:
                    assert low <= constant.value <= high


def test_the_table_shows_every_row():
    table = nr.calcium.list_indicators()
    assert "more" not in [row[0].split(" ")[-1] for row in table.rows]
    assert "..." not in table.to_text()
    assert all(kind in table.to_text() for kind in KINDS)


def test_kinds_differ_several_fold():
    # The reason for the three kinds: the same indicator, five times apart.
    found = nr.calcium.indicator("jGCaMP8f")
    assert found.in_vivo_kernel[0].value / found.sensor[0].value > 5
    assert found.pipeline_default == ()
    assert "in_vivo_kernel" in found.report() and "<table>" in found._repr_html_()


def test_a_half_decay_becomes_a_time_constant():
    constant = nr.calcium.indicator("GCaMP3").in_vivo_kernel[0]
    assert constant.quantity == "half_decay"
    assert constant.tau_bounds()[0] == pytest.approx(0.52 / np.log(2))
    assert nr.calcium.indicator("6f").sensor[1].tau_bounds() is None


@pytest.fixture(scope="module")
def kinetics():
    recording = nr.simulate.simulate_calcium(
        3, 120.0, 30.0, tau_decay=[0.58, 0.6, 0.62], snr=10, rng=1, indicator="jGCaMP8s"
    )
    return nr.calcium.Kinetics(tau_rise=False).fit(recording["dff"])


def test_a_population_is_compared_kind_by_kind(kinetics):
    table = kinetics.compare_to()
    said = {row[0]: row for row in table.rows}
    assert said["sensor"][2].startswith("above") and said["sensor"][3] == "0 of 3"
    assert said["in_vivo_kernel"][2] == "within" and said["in_vivo_kernel"][3] == "3 of 3"
    assert said["pipeline_default"][2].startswith("below")
    assert "compare it with in_vivo_kernel" in table.to_text()
    assert kinetics.compare_to("GCaMP6f").title.endswith("GCaMP6f")


def test_a_kind_without_a_number_is_said(kinetics):
    assert "pipeline_default: none" in kinetics.compare_to("jGCaMP8f").to_text()


def test_a_single_number_is_met_by_the_intervals(kinetics):
    p = kinetics.parameters_.copy(deep=True)
    p["tau_decay"][:] = 0.71
    p["tau_decay_ci"][:] = [0.65, 0.75]
    said = {row[0]: row for row in compare_with_literature(p, "8s").rows}
    assert said["pipeline_default"][2] == "within"


def test_no_cell_is_ok_and_no_indicator_is_stated(kinetics):
    p = kinetics.parameters_.copy(deep=True)
    p["status"] = ("unit", ["too_noisy"] * 3)
    assert {row[2] for row in compare_with_literature(p, "8s").rows} == {"-"}
    with pytest.raises(DataError, match="No indicator"):
        compare_with_literature(p, None)
