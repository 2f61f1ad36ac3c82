"""Tables as pandas, R, NumPy, MATLAB and spreadsheets write them, and rows that go astray."""

import numpy as np
import pandas as pd
import pytest

import neurornn as nr
from neurornn._core.errors import FileFormatError, UnitError

TIME = np.arange(60) / 30
TRACES = np.random.default_rng(0).normal(size=(60, 3)).round(4)
FRAME = pd.DataFrame(TRACES, columns=list("abc"))
TIMED = FRAME.assign(time=TIME)[["time", "a", "b", "c"]]


@pytest.fixture
def put(tmp_path):
    def write(content, name="a.csv"):
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write


def r_table(separator, decimal=".", corner=None):
    """What R writes: quoted names, and quoted numbers before the rows."""
    head = separator.join(f'"{c}"' for c in TIMED.columns)
    lines = [head if corner is None else f'"{corner}"{separator}{head}']
    for k, row in enumerate(TIMED.to_numpy()):
        cells = [f"{v:.6g}".replace(".", decimal) for v in row]
        lines.append(separator.join([f'"{k + 1}"', *cells]))
    return "\n".join(lines) + "\n"


def savetxt(array, path, **options):
    np.savetxt(path, array, **options)
    return path


@pytest.mark.parametrize(
    "content",
    [
        TIMED.to_csv(),
        TIMED.to_csv(index=False),
        TIMED.set_index("time").to_csv(),
        FRAME.set_index(TIME).to_csv(),
        TIMED.to_csv(index=False, sep=";", decimal=","),
        TIMED.to_csv(index=False, sep="\t", decimal=","),
        "sep=;\n" + TIMED.to_csv(index=False, sep=";", decimal=","),
        "sep=,\n" + TIMED.to_csv(index=False),
        TIMED.to_csv(index=False, lineterminator="\r\n").encode("utf-8-sig"),
        TIMED.to_csv(index=False, lineterminator="\r\r\n"),
        TIMED.to_csv(index=False) + ",,,\n,,,\n",
        r_table(" "),
        r_table("\t"),
        r_table(" ", ","),
        r_table("\t", ","),
        r_table(",", corner=""),
        r_table(";", ",", corner=""),
    ],
)
def test_what_other_programs_write_with_times(put, content):
    recording = nr.open(put(content))
    assert recording["unit"].values.tolist() == ["a", "b", "c"]
    assert recording["fluorescence"].attrs["sampling_rate"] == pytest.approx(30, rel=1e-4)
    np.testing.assert_allclose(recording["fluorescence"], TRACES, atol=1e-5)
    with pytest.raises(UnitError, match="10 Hz"):
        nr.open(put(content), sampling_rate=10)


@pytest.mark.parametrize(
    "content",
    [
        FRAME.to_csv(),
        FRAME.to_csv(index=False),
        FRAME.to_csv(index=False, header=False),
        FRAME.to_csv(index=False, lineterminator="\r\r\n"),
        pd.DataFrame(TRACES).to_csv(),
        pd.DataFrame(TRACES).to_csv(index=False),
        "Var1,Var2,Var3\n" + FRAME.to_csv(index=False, header=False),
        FRAME.to_csv(index=False, header=False, sep=";", decimal=","),
    ],
)
def test_what_other_programs_write_without_times(put, content):
    recording = nr.open(put(content), sampling_rate=30)
    np.testing.assert_allclose(recording["fluorescence"], TRACES)


def test_the_header_that_numpy_writes_as_a_comment(tmp_path):
    path = savetxt(TRACES, tmp_path / "a.csv", delimiter=",", header="a,b,c")
    assert nr.open(path, sampling_rate=30)["unit"].values.tolist() == ["a", "b", "c"]
    both = np.c_[TIME, TRACES]
    for options in ({"header": "time a b c"}, {"header": "time,a,b,c", "delimiter": ","}):
        path = savetxt(both, tmp_path / "a.txt", **options)
        assert nr.open(path)["fluorescence"].attrs["sampling_rate"] == pytest.approx(30)
    path = savetxt(both, tmp_path / "a.txt", header="not a list of names")
    recording = nr.open(path)
    assert recording["unit"].values.tolist() == list(range(TRACES.shape[1]))
    assert recording["fluorescence"].attrs["sampling_rate"] == pytest.approx(30)
    path = savetxt(TRACES[:, 0], tmp_path / "a.txt", header="dff")
    assert nr.open(path, sampling_rate=30)["unit"].values.tolist() == [0]


@pytest.mark.parametrize(
    "cell", ["#N/A", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#NULL!"]
)
def test_cells_that_a_spreadsheet_could_not_compute_are_missing_values(put, cell):
    one = nr.open(put(f"dff\n0.1\n{cell}\n0.3\n{cell}\n0.5\n"), sampling_rate=30)["dff"]
    np.testing.assert_array_equal(one.values[:, 0], [0.1, np.nan, 0.3, np.nan, 0.5])
    two = nr.open(put(f"a,b\n{cell},{cell}\n{cell},0.2\n0.3,{cell}\n0.5,0.6\n"), sampling_rate=30)
    expected = [[np.nan, np.nan], [np.nan, 0.2], [0.3, np.nan], [0.5, 0.6]]
    np.testing.assert_array_equal(two["fluorescence"], expected)


def test_comments_inside_a_table(put):
    body = "a,b\n0.1,0.2\n# the light went on\n0.3,0.4\n"
    assert nr.open(put(body), sampling_rate=30).sizes["time"] == 2
    for row in ("#0.3,0.4", "# ,0.4"):
        with pytest.raises(FileFormatError, match=r"Line 3 of a.csv is a row behind a #"):
            nr.open(put(f"a,b\n0.1,0.2\n{row}\n0.5,0.6\n"), sampling_rate=30)
    with pytest.raises(FileFormatError, match=r"Line 3 of a.csv is a row behind a #"):
        nr.open(put("a\n0.1\n# 0.2\n0.3\n"), sampling_rate=30)


def test_blank_rows_inside_a_table(put):
    with pytest.raises(FileFormatError, match=r"Line 3 of a.csv is blank, one of 1 inside"):
        nr.open(put("a,b\n0.1,0.2\n\n0.3,0.4\n"), sampling_rate=30)
    with pytest.raises(FileFormatError, match=r"Line 4 of a.csv is blank, one of 2.*separators"):
        nr.open(put("a,b\n1,2\n3,4.5\n\n5,6\n\n7,8\n"), sampling_rate=30)
    # Where the times stand beside them no later frame is shifted.
    lost = nr.open(put("time,a,b\n0.1,1,2\n\n0.3,3,4\n0.4,5,9\n0.5,5,9\n"))
    np.testing.assert_allclose(lost["time"], [0.1, 0.3, 0.4, 0.5])
    assert nr.open(put("\na,b\n1,2\n3,4.5\n\n\n"), sampling_rate=30).sizes["time"] == 2


@pytest.mark.parametrize(
    "content",
    [
        pd.DataFrame(TRACES.T).to_csv(),
        pd.DataFrame(TRACES.T).to_csv(index=False),
        pd.DataFrame(TRACES.T, columns=TIME).to_csv(),
        pd.DataFrame(TRACES.T, columns=TIME.round(4)).to_csv(index=False),
        pd.DataFrame(TRACES.T, index=list("abc"), columns=TIME).to_csv(index=False),
    ],
)
def test_units_in_rows_are_refused(put, content):
    with pytest.raises(
        FileFormatError, match=r"[34] rows of 60 columns and .* evenly.*Transpose it"
    ):
        nr.open(put(content), sampling_rate=30)


def test_units_in_rows_without_names_are_refused(put):
    content = pd.DataFrame(TRACES.T).to_csv(index=False, header=False)
    with pytest.raises(FileFormatError, match=r"3 rows of 60 columns without names.*Transpose it"):
        nr.open(put(content), sampling_rate=30)


def test_few_frames_of_many_units(put):
    names = [f"u{k}" for k in range(60)]
    named = pd.DataFrame(TRACES.T, columns=names).to_csv(index=False)
    assert nr.open(put(named), sampling_rate=30).sizes == {"time": 3, "unit": 60}
    counted = pd.DataFrame(TRACES.T).to_csv()
    assert nr.open(put(counted), sampling_rate=30, header=True).sizes == {"time": 3, "unit": 60}
