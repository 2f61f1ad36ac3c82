"""The one printer: every cell of a table, long tables, missing intervals, LaTeX, methods."""

import html
import importlib.metadata
import statistics

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from neurornn._core.confidence import Estimate, to_dataset
from neurornn._core.report import (
    MAX_ASIDE,
    MAX_ROWS,
    Reported,
    Table,
    cite,
    parameter_names,
    parameters_table,
    versions,
)
from neurornn._core.status import Status
from tests.contracts.reading import number, quantity, read_html, read_text

UNITS = ["a", "b", "c", "d"]
TAU = np.array([0.5, 0.7, 123456.7, np.nan])
TAU_CI = np.array([[0.4, 0.61], [0.65, 0.8], [np.nan, np.nan], [np.nan, np.nan]])
STATUS = ["ok", "ok", "too_noisy", "no_data"]


def estimate(name, value, ci=None, dims=("unit",), **more):
    given = {"units": "s", "long_name": f"long {name}", "method": "made up", **more}
    return Estimate(name=name, value=value, ci=ci, dims=dims, **given)


def cells(*more, tau=TAU, ci=TAU_CI, status=STATUS, labels=UNITS):
    """A table of four cells: two are ok, one has no interval, one no value."""
    return to_dataset(
        [estimate("tau", tau, ci, reason="the status is not ok"), *more],
        confidence_level=0.9,
        coords={"unit": labels},
        status=status,
        status_dims=("unit",),
    )


class Told(Reported):
    """A result around a table."""

    def __init__(self, parameters):
        self.parameters = parameters


def latex_rows(table):
    """LaTeX taken apart: name -> (middle, span, unit, how)."""
    rows = {}
    for line in Told(table).to_latex().splitlines():
        body, kind = line.split(r" \\ % ")
        name, middle, span, unit = body.split(" & ")
        assert name not in rows
        rows[name] = (middle, span, unit, kind)
    return rows


def test_a_row_for_each_unit_and_a_column_for_each_quantity():
    rate = np.array([1.0, 22.2, 0.0, 4.0])
    table = cells(estimate("rate", rate, np.stack([rate / 2, rate * 2], 1), units="Hz"))
    printed = read_text(parameters_table(table, "Cells").to_text())
    assert printed.title == "Cells"
    assert printed.columns == ["unit", "tau (s)", "rate (Hz)", "status"]
    for k, row in enumerate(printed.rows):
        assert row == [
            UNITS[k],
            quantity(TAU[k], *TAU_CI[k]),
            quantity(rate[k], rate[k] / 2, rate[k] * 2),
            STATUS[k],
        ]


def test_the_interval_is_printed_from_lower_to_upper():
    assert "0.500 [0.400, 0.610]" in parameters_table(cells(), "Cells").to_text()


def test_units_without_labels_are_numbered():
    bare = cells().drop_vars("unit")
    assert read_text(parameters_table(bare, "Cells").to_text()).column("unit") == list("0123")


def test_a_truth_stands_in_the_row_of_its_own_unit():
    truth = np.array([0.51, 0.69, 0.9, 1.4])
    extra = xr.Dataset(
        {"truth": ("unit", truth, {"units": "s"}), "depth": ("unit", np.array([10.0, 20, 30, 40]))}
    )
    printed = read_text(parameters_table(cells(), "Cells", extra=extra).to_text())
    assert printed.columns == ["unit", "tau (s)", "truth (s)", "depth", "status"]
    assert printed.column("truth (s)") == [number(v) for v in truth]
    assert printed.column("depth") == ["10.0", "20.0", "30.0", "40.0"]
    assert printed.column("status") == STATUS


def test_what_is_not_ok_is_said_first_with_its_remedy_and_once():
    table = cells(status=["too_noisy", "ok", "too_noisy", "no_data"])
    printed = read_text(parameters_table(table, "Cells", head=["30 Hz"]).to_text())
    assert printed.head == [
        "30 Hz",
        f"no_data: {Status.NO_DATA.remedy}",
        f"too_noisy: {Status.TOO_NOISY.remedy}",
    ]
    fine = cells(status=["ok"] * 4)
    assert read_text(parameters_table(fine, "Cells").to_text()).head == []


def test_why_an_interval_is_missing_stands_below_once_for_all_it_is_true_of():
    table = cells(
        estimate("rise", TAU, TAU_CI, reason="the status is not ok"),
        estimate("size", np.ones(4), reason="nobody asked"),
        # Has all its intervals: its reason is not said.
        estimate("rate", np.ones(4), np.ones((4, 2)), reason="never said"),
    )
    printed = read_text(parameters_table(table, "Cells", notes=["last"]).to_text())
    assert printed.notes == [
        "no interval of tau, rise: the status is not ok",
        "no interval of size: nobody asked",
        "last",
    ]


def test_no_notes_leave_no_blank_line_behind():
    full = np.ones((4, 2))
    text = parameters_table(cells(tau=np.ones(4), ci=full, status=["ok"] * 4), "Cells").to_text()
    assert text.endswith("ok")


def test_a_number_without_axes_is_one_row():
    table = to_dataset(
        [estimate("duration", 3.0, [2.0, 4.0], dims=())], confidence_level=0.95, status="ok"
    )
    printed = read_text(parameters_table(table, "Plan").to_text())
    assert printed.columns == ["duration (s)", "status"]
    assert printed.rows == [["3.00 [2.00, 4.00]", "ok"]]


def test_several_axes_are_laid_out_in_rows_that_name_them():
    value = np.array([[0.1, 0.2, 0.3], [4.0, np.nan, 6.0]])
    ci = np.stack([value - 0.05, value + 0.5], -1)
    table = to_dataset(
        [
            estimate("gain", value, ci, dims=("cell", "day"), units="Hz"),
            estimate("bias", value[:, 0], dims=("cell",), units="1"),
        ],
        confidence_level=0.95,
        coords={"cell": ["x", "y"]},
    )
    printed = read_text(parameters_table(table, "Grid").to_text())
    assert printed.columns == ["parameter", "of", "value [interval]"]
    expected = [
        ["gain", f"cell {c}, day {d}", quantity(value[i, d], *ci[i, d], unit="Hz")]
        for i, c in enumerate("xy")
        for d in range(3)
    ]
    expected += [["bias", f"cell {c}", number(value[i, 0])] for i, c in enumerate("xy")]
    assert printed.rows == expected


def test_what_lies_along_another_axis_stands_below_the_table():
    noise = np.array([0.1, 0.25])
    table = cells(
        estimate("noise", noise, np.stack([noise - 0.01, noise + 0.02], 1), dims=("output",)),
        estimate("loss", 7.0, dims=(), units="nats", reason="a score"),
    ).assign_coords(output=["left", "right"])
    printed = read_text(parameters_table(table, "Cells").to_text())
    assert printed.columns == ["unit", "tau (s)", "status"]
    assert printed.notes[:3] == [
        "noise, output left: 0.100 [0.0900, 0.120] s",
        "noise, output right: 0.250 [0.240, 0.270] s",
        "loss: 7.00 nats",
    ]


@pytest.mark.parametrize("n", [MAX_ASIDE, MAX_ASIDE + 3])
def test_no_more_than_so_many_lines_stand_below(n):
    table = cells(estimate("noise", np.arange(1.0, n + 1), dims=("output",)))
    notes = read_text(parameters_table(table, "Cells").to_text()).notes
    told = [line for line in notes if line.startswith("noise")]
    assert told == [f"noise, output {k}: {number(k + 1)} s" for k in range(MAX_ASIDE)]
    assert (f"... {n - MAX_ASIDE} more" in notes) == (n > MAX_ASIDE)
    assert f"... {n - MAX_ASIDE} more" not in told


def numbered(n):
    return Table(
        title="Long", columns=["row", "square"], rows=[[str(k), str(k * k)] for k in range(n)]
    )


@pytest.mark.parametrize("n", [1, MAX_ROWS - 1, MAX_ROWS])
def test_a_table_that_fits_is_shown_whole(n):
    assert read_text(numbered(n).to_text()).column("row") == [str(k) for k in range(n)]


@given(st.integers(MAX_ROWS + 1, 5 * MAX_ROWS))
@settings(max_examples=20)
def test_a_long_table_shows_its_start_and_its_end_and_counts_the_rest(n):
    for printed in (read_text(numbered(n).to_text()), read_html(numbered(n).to_html())):
        rows, half = printed.rows, MAX_ROWS // 2
        assert rows[:half] == [[str(k), str(k * k)] for k in range(half)]
        assert rows[half] == [f"... {n - 2 * half} more", ""]
        assert rows[half + 1 :] == [[str(k), str(k * k)] for k in range(n - half, n)]


def test_a_long_table_of_units_shows_the_last_ones_too():
    n = 3 * MAX_ROWS
    tau = np.linspace(0.1, 0.9, n)
    table = cells(
        tau=tau, ci=np.stack([tau / 2, 2 * tau], 1), status=["ok"] * n, labels=np.arange(n)
    )
    printed = read_text(parameters_table(table, "Cells").to_text())
    shown = {row[0]: row[1] for row in printed.rows if row[0].isdigit()}
    assert sorted(map(int, shown)) == [*range(MAX_ROWS // 2), *range(n - MAX_ROWS // 2, n)]
    for label, text in shown.items():
        k = int(label)
        assert text == quantity(tau[k], tau[k] / 2, 2 * tau[k])


printable = st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S")), min_size=1)


@given(st.lists(st.tuples(printable, printable), min_size=1, max_size=8), printable, printable)
def test_html_holds_the_same_cells_as_the_text(rows, title, note):
    # A first cell of dashes alone would be taken for the rule by the reader of this test.
    rows = [(f"u{a}", f"v{b}") for a, b in rows]
    table = Table(
        title=f"t{title}", columns=["one", "two"], rows=rows, head=[f"h{note}"], notes=[f"n{note}"]
    )
    text, page = read_text(table.to_text()), read_html(table.to_html())
    assert text == page
    assert page.rows == [list(row) for row in rows]
    assert table._repr_html_() == table.to_html() and str(table) == table.to_text()


def test_columns_are_as_wide_as_their_widest_cell():
    table = Table(title="T", columns=["a", "long name"], rows=[["wide cell", "x"], ["", "yy"]])
    assert table.to_text().splitlines() == [
        "T",
        "",
        "a          long name",
        "---------  ---------",
        "wide cell  x",
        "           yy",
    ]


def test_marks_of_html_are_text():
    page = Table(title="<b>", columns=["a & b"], rows=[["<script>"]], notes=["x < y"]).to_html()
    for raw in ("<b>", "a & b", "<script>", "x < y"):
        assert html.escape(raw) in page
    assert "<script>" not in page


def test_quantities_are_those_with_an_interval_beside_them():
    table = cells(estimate("rate", np.ones(4)))
    table["count"] = ("unit", np.arange(4))
    assert parameter_names(table) == ["tau", "rate"]


def test_latex_gives_median_and_quartiles_over_the_units_that_are_ok():
    tau = np.array([0.1, 0.2, 0.4, 0.8, 1.6, 100.0, 200.0])
    status = ["ok"] * 5 + ["too_noisy", "at_bound"]
    table = cells(tau=tau, ci=np.stack([tau / 2, 2 * tau], 1), status=status, labels=np.arange(7))
    low, middle, high = statistics.quantiles(tau[:5], n=4, method="inclusive")
    expected = (number(middle), f"[{number(low)}, {number(high)}]", "s", "quartiles of 5")
    assert latex_rows(table)["tau"] == expected
    # By hand: of five values the second, third and fourth.
    assert expected[:2] == ("0.400", "[0.200, 0.800]")


@given(
    arrays(float, st.integers(2, 30), elements=st.floats(1e-3, 1e3)),
    st.randoms(use_true_random=False),
)
@settings(max_examples=50)
def test_latex_agrees_with_the_quartiles_of_the_standard_library(tau, draw):
    status = np.array([draw.choice(["ok", "ok", "no_data"]) for _ in tau])
    status[:2] = "ok"
    table = cells(tau=tau, ci=np.stack([tau, tau], 1), status=status, labels=np.arange(len(tau)))
    good = [float(v) for v, s in zip(tau, status, strict=True) if s == "ok"]
    low, middle, high = statistics.quantiles(good, n=4, method="inclusive")
    told, span, _, how = latex_rows(table)["tau"]
    assert how == f"quartiles of {len(good)}"
    # Two ways to interpolate differ by a rounding error, which may turn the third digit.
    shown = [float(told), *map(float, span.strip("[]").split(", "))]
    assert shown == pytest.approx([middle, low, high], rel=6e-3)
    assert shown[1] <= shown[0] <= shown[2]


def test_latex_of_a_single_unit_that_is_ok_has_its_own_interval():
    table = cells(status=["too_noisy", "ok", "too_noisy", "no_data"])
    assert latex_rows(table)["tau"] == ("0.700", "[0.650, 0.800]", "s", "interval")


def test_latex_leaves_out_what_has_no_value_and_marks_what_has_no_interval():
    table = cells(
        estimate("rise_time", np.array([0.1, np.nan, 0.3, np.nan]), units="ms"),
        estimate("nothing", np.full(4, np.nan)),
        status=["ok", "ok", "too_noisy", "no_data"],
    )
    rows = latex_rows(table)
    # One value is left of the two that are ok, without an interval.
    assert rows[r"rise\_time"] == ("0.100", "--", "ms", "interval")
    assert "nothing" not in rows


def test_latex_of_a_table_without_a_status_takes_all_units():
    table = cells(tau=np.array([1.0, 2.0, 3.0, 4.0])).drop_vars("status")
    assert latex_rows(table)["tau"] == ("2.50", "[1.75, 3.25]", "s", "quartiles of 4")


def test_a_status_of_other_axes_does_not_choose():
    table = cells(estimate("noise", np.array([1.0, 3.0]), dims=("output",), units="1"))
    assert latex_rows(table)["noise"] == ("2.00", "[1.50, 2.50]", "1", "quartiles of 2")


def test_versions_are_those_installed():
    found = versions("numpy", "no-such-package")
    assert found == {
        "neurornn": importlib.metadata.version("neurornn"),
        "numpy": importlib.metadata.version("numpy"),
        "no-such-package": "unknown",
    }


class Cited(Told):
    """One that says what it did, and from whom."""

    def _methods_sentence(self):
        return "Cells were fitted."

    def _citations(self):
        return ["First 1999, doi:1", "Second 2001, doi:2"]


def test_methods_give_the_versions_and_the_papers():
    used = ", ".join(
        f"{k} {importlib.metadata.version(k)}" for k in ("neurornn", "numpy", "scipy")
    )
    told = Cited(cells()).methods_text()
    assert told == f"Cells were fitted ({used}). Methods: First 1999, doi:1; Second 2001, doi:2."
    assert Told(cells()).methods_text() == f"Told was fitted ({used})."


def test_cite_lists_the_package_and_the_papers():
    assert cite(Cited(cells())).splitlines() == [
        f"neurornn {importlib.metadata.version('neurornn')}",
        "First 1999, doi:1",
        "Second 2001, doi:2",
    ]


def test_a_report_is_the_table_in_text_and_in_html():
    told = Told(cells())
    assert read_text(told.report()) == read_html(told._repr_html_())
    assert read_text(told.report()).title == "Told"


def test_an_estimator_reports_what_it_learned():
    class Fitted(Reported):
        parameters = "settings of another kind"
        parameters_ = cells()

    assert read_text(Fitted().report()).column("unit") == UNITS


def test_before_a_fit_the_page_shows_the_object_itself():
    class Unfitted(Reported):
        def __repr__(self):
            return "Unfitted(<settings>)"

    assert Unfitted()._repr_html_() == "<pre>Unfitted(&lt;settings&gt;)</pre>"


@given(st.floats(0.01, 0.99))
@settings(max_examples=10)
def test_every_interval_carries_the_level_asked_for(level):
    table = to_dataset(
        [estimate("tau", TAU, TAU_CI), estimate("rate", TAU)], confidence_level=level
    )
    for name in ("tau", "rate"):
        attrs = table[f"{name}_ci"].attrs
        assert attrs["ci_prob"] == level and attrs["ci_kind"] == "confidence"
        assert attrs["units"] == "s" and attrs["method"] == "made up"
        assert attrs["long_name"] == f"interval of long {name}"
        assert table[name].attrs["long_name"] == f"long {name}"
