"""Tables as pandas, Inscopix, ImageJ and the rigs write them: which columns are cells."""

import warnings

import numpy as np
import pandas as pd
import pytest

import neurornn as nr
from neurornn._core.errors import DataError, FileFormatError, NameUnknownError, UnitError
from neurornn.io.table_columns import clock_unit, may_be_clock

N, RATE = 120, 30.0
TIME = np.arange(N) / RATE
TRACES = np.random.default_rng(0).normal(100, 5, (N, 3)).round(4)
NAMES = ["C00", "C01", "C02"]


@pytest.fixture
def put(tmp_path):
    def write(text, name="a.csv"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


def frame(**more):
    """Make a table with the columns of `more` before the cells."""
    return pd.DataFrame({**more, **dict(zip(NAMES, TRACES.T, strict=True))})


def check(recording, units=NAMES, traces=TRACES):
    np.testing.assert_allclose(recording["fluorescence"], traces)
    assert recording["unit"].values.tolist() == list(units)
    assert recording["fluorescence"].attrs["sampling_rate"] == pytest.approx(RATE, rel=1e-3)


# ------------------------------------------------------------------ pandas


@pytest.mark.parametrize("scale", [1, 10_000])
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("index", [True, False])
def test_what_pandas_writes_by_default(put, n, index, scale):
    values = TRACES[:, :n] * scale
    if scale > 1:
        values = values.astype(int)
    path = put(pd.DataFrame(values).to_csv(index=index))
    check(nr.open(path, sampling_rate=RATE), range(n), values)
    with pytest.raises(UnitError, match="neither a frame rate"):
        nr.open(path)


def test_numbers_that_may_be_names_or_samples(put, rng):
    counts = rng.poisson(1, (N, 3))
    path = put(pd.DataFrame(counts).to_csv(index=False))
    with pytest.raises(FileFormatError, match="names of columns, or a row of numbers"):
        nr.open(path, sampling_rate=RATE)
    check(nr.open(path, sampling_rate=RATE, header=True), range(3), counts)
    path = put(pd.DataFrame(rng.normal(0, 0.1, N)).to_csv(index=False))
    with pytest.raises(FileFormatError, match="names of columns, or a row of numbers"):
        nr.open(path, sampling_rate=RATE)
    assert nr.open(path, sampling_rate=RATE, header=False).sizes["time"] == N + 1
    # Two names above fractions around 0; no two samples are exactly 0 and 1.
    values = rng.normal(0, 0.1, (N, 2)).round(4)
    check(
        nr.open(put(pd.DataFrame(values).to_csv(index=False)), sampling_rate=RATE), [0, 1], values
    )


@pytest.mark.parametrize("header", [True, False])
def test_an_index_of_frame_times_has_no_name(put, header):
    path = put(pd.DataFrame(TRACES, index=TIME).to_csv(header=header))
    check(nr.open(path), range(3))
    with pytest.raises(UnitError, match=r"10 Hz .*30 Hz \(the column without a name\)"):
        nr.open(path, sampling_rate=10)


def test_an_index_of_frame_times_and_separators_at_the_end(put):
    text = pd.DataFrame(TRACES, index=TIME).to_csv()
    check(nr.open(put("".join(f"{line},\n" for line in text.splitlines()))), range(3))


def test_an_index_that_was_read_and_written_again(put):
    text = pd.DataFrame(TRACES, index=TIME).to_csv()
    check(nr.open(put("Unnamed: 0" + text)), range(3))


def test_rows_that_are_counted_without_names(put):
    path = put(pd.DataFrame(TRACES).to_csv(header=False))
    check(nr.open(path, sampling_rate=RATE), range(3))
    # Steps of two are no numbers of rows: it may be a trace.
    text = pd.DataFrame(TRACES, index=2 * np.arange(N)).to_csv(header=False)
    with pytest.raises(UnitError, match=r"Column 1 of a\.csv rises evenly, 0, 2, 4"):
        nr.open(put(text), sampling_rate=RATE)


def test_two_levels_of_names(put):
    columns = pd.MultiIndex.from_tuples([("dff", name) for name in NAMES])
    check(
        nr.open(
            put(pd.DataFrame(TRACES, columns=columns, index=TIME).to_csv()), name="fluorescence"
        )
    )


# ------------------------------------------------------------------ clocks


@pytest.mark.parametrize(
    ("name", "factor"),
    [("sec", 1), ("Zeit", 1), ("Zeit (ms)", 1e3), ("Zeit [s]", 1), ("Zeit_s", 1), ("Zeit in s", 1)]
    + [("Zeitstempel (ms)", 1e3), ("Temps", 1), ("Temps (s)", 1), ("Temps/s", 1), ("tiempo", 1)]
    + [("Tiempo_ms", 1e3), ("tempo (s)", 1), ("Tijd (s)", 1), ("tid", 1), ("czas", 1)]
    + [("時間", 1), ("时间", 1), ("時間(ms)", 1e3), ("時間（秒）", 1), ("시간", 1), ("время", 1)]
    + [("t [s]", 1), ("ms", 1e3), ("CameraTime", 1), ("ComputerTimestamp", 1), ("Zeit (Sek)", 1)],
)
def test_clocks_in_other_languages(put, name, factor):
    path = put(frame(**{name: (TIME * factor).round(5)}).to_csv(index=False))
    recording = nr.open(path)
    check(recording)
    assert list(recording.data_vars) == ["fluorescence"]
    np.testing.assert_allclose(recording["time"], TIME, atol=1e-5)


@pytest.mark.parametrize("name", ["tidal", "temporal", "Zeitlin", "casein", "C時", "unit", "x"])
def test_names_of_no_clock(name):
    assert not may_be_clock(name)


def test_units_of_clocks():
    assert clock_unit("Tiempo (segundos)") == "s"
    assert clock_unit("время (мс)") == "ms"
    assert clock_unit("Temps") is None


def test_semicolons_and_decimal_commas(put):
    text = frame(Zeit=TIME.round(5)).to_csv(index=False, sep=";", decimal=",")
    check(nr.open(put(text)))
    text = frame().to_csv(sep=";", decimal=",")
    check(nr.open(put(text), sampling_rate=RATE))


def test_of_two_clocks_the_one_in_seconds_is_taken(put):
    made = frame(ComputerTimestamp=5e7 + TIME * 1000, SystemTimestamp=TIME.round(5))
    recording = nr.open(put(made.to_csv(index=False)))
    check(recording)
    np.testing.assert_allclose(recording["time"], TIME, atol=1e-5)
    np.testing.assert_allclose(recording["ComputerTimestamp"], 5e7 + TIME * 1000)


def test_a_time_that_is_no_clock_stays_beside(put, rng):
    late = rng.random(N).round(4)
    recording = nr.open(put(frame(ReactionTime=late).to_csv(index=False)), sampling_rate=RATE)
    check(recording)
    np.testing.assert_allclose(recording["ReactionTime"], late)


def test_milliseconds_that_are_not_said_are_refused(put):
    path = put(frame(Zeit=(TIME * 1000).round(3)).to_csv(index=False))
    with pytest.raises(UnitError, match=r"'Zeit' of a\.csv advances by 33.*time_unit=\"ms\""):
        nr.open(path)
    check(nr.open(path, time_unit="ms"))


# ------------------------------------------------------------------ counters and flags


def rig(lights):
    return frame(
        FrameCounter=np.arange(N) + 7,
        Timestamp=1000 + TIME.round(6),
        LedState=lights,
        Stimulation=np.zeros(N, int),
    ).assign(Input0=(np.arange(N) % 40 < 5).astype(int))


def test_counters_and_flags_stand_beside_the_cells(put):
    recording = nr.open(put(rig(np.ones(N, int)).to_csv(index=False)))
    check(recording)
    beside = ["FrameCounter", "LedState", "Stimulation", "Input0"]
    assert list(recording.data_vars) == ["fluorescence", *beside]
    assert recording["FrameCounter"].values[:2].tolist() == [7, 8]
    assert recording["Input0"].values.sum() == 15
    assert all(recording[name].dims == ("time",) for name in beside)


@pytest.mark.parametrize(
    ("column", "values"), [("LedState", (1, 2)), ("Flags", (17, 18)), ("Channel", (415, 470, 560))]
)
def test_lights_that_take_turns(put, column, values):
    lights = np.array(values)[np.arange(N) % len(values)]
    made = frame(time=TIME.round(6), **{column: lights})
    path = put(made.to_csv(index=False))
    with pytest.warns(UserWarning, match=rf"'{column}' of a\.csv takes .* in turn.*rows="):
        nr.open(path)
    one = nr.open(path, rows={column: values[1]})
    np.testing.assert_allclose(one["fluorescence"], TRACES[1 :: len(values)])
    rate = one["fluorescence"].attrs["sampling_rate"]
    assert rate == pytest.approx(RATE / len(values), rel=1e-3)
    assert set(one[column].values) == {values[1]}
    with pytest.raises(DataError, match=f"No row of a.csv has 99 in the column '{column}'"):
        nr.open(path, rows={column: 99})
    with pytest.raises(NameUnknownError, match="rows names the column 'C00'"):
        nr.open(path, rows={"C00": 1})


def test_a_flag_of_any_name_is_told_by_its_values(put, rng):
    made = frame(time=TIME.round(6)).assign(opto=rng.integers(0, 2, N), moves=TRACES[:, 0] > 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recording = nr.open(put(made.to_csv(index=False)))
    check(recording)
    np.testing.assert_array_equal(recording["opto"], made["opto"])
    np.testing.assert_array_equal(recording["moves"], made["moves"])


def test_cells_of_whole_numbers_stay_cells(put, rng):
    raster = pd.DataFrame(rng.integers(0, 2, (N, 3)), columns=NAMES)
    recording = nr.open(put(raster.assign(time=TIME.round(6)).to_csv(index=False)))
    assert recording["unit"].values.tolist() == NAMES
    # One silent cell, and one that fires once, among traces with fractions.
    made = frame(time=TIME.round(6)).assign(C01=0, C02=(np.arange(N) == 5).astype(int))
    recording = nr.open(put(made.to_csv(index=False)))
    assert recording["unit"].values.tolist() == NAMES
    speed = pd.DataFrame({"time": TIME.round(6), "speed": TRACES[:, 0]})
    assert nr.open(put(speed.to_csv(index=False)))["unit"].values.tolist() == ["speed"]


def test_the_measures_of_imagej(put):
    made = pd.DataFrame({"Area1": 50, "Mean1": TRACES[:, 0], "Min1": 1.5, "Max1": 9.5})
    made = made.assign(Area2=60, Mean2=TRACES[:, 1], Min2=1.5, Max2=9.5)
    made.index = pd.Index(np.arange(1, N + 1), name=" ")
    recording = nr.open(put(made.to_csv()), sampling_rate=RATE)
    check(recording, ["Mean1", "Mean2"], TRACES[:, :2])
    assert recording.attrs["not_read"] == "Area1, Min1, Max1, Area2, Min2, Max2"


# ------------------------------------------------------------------ a second line of names


def inscopix(states):
    head = " ,C00,C01,C02\nTime(s)/Cell Status," + ",".join(f" {s}" for s in states) + "\n"
    rows = zip(TIME, TRACES, strict=True)
    return head + "".join(f"{t:.6f},{','.join(map(str, row))}\n" for t, row in rows)


def test_cells_that_inscopix_calls_rejected(put):
    path = put(inscopix(["accepted", "rejected", "undecided"]))
    recording = nr.open(path)
    check(recording, ["C00", "C02"], TRACES[:, [0, 2]])
    assert recording["cell_status"].values.tolist() == ["accepted", "undecided"]
    assert recording.attrs["rejected_cells"] == "C01"
    np.testing.assert_allclose(recording["time"], TIME, atol=1e-5)
    recording = nr.open(path, only_cells=False)
    check(recording)
    assert recording["cell_status"].values.tolist() == ["accepted", "rejected", "undecided"]
    with pytest.raises(DataError, match=r"calls all of its 3 cells rejected.*only_cells=False"):
        nr.open(put(inscopix(["rejected"] * 3)))


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("(ms)", 1e3)])
def test_a_line_of_units(put, unit, factor):
    rows = zip((TIME * factor).round(4), TRACES, strict=True)
    text = f"time,C00,C01,C02\n{unit},a.u.,a.u.,a.u.\n"
    text += "".join(f"{t},{','.join(map(str, row))}\n" for t, row in rows)
    recording = nr.open(put(text))
    np.testing.assert_allclose(recording["time"], TIME, atol=1e-3)
    np.testing.assert_allclose(recording["fluorescence"], TRACES)


def test_a_line_of_text_that_is_not_known_is_refused(put):
    text = "time,C00,C01,C02\nmouse,left,right,left\n" + frame(time=TIME).to_csv(
        index=False, header=False
    )
    with pytest.raises(FileFormatError, match=r"Line 2 of a\.csv has 'mouse'"):
        nr.open(put(text))


# ------------------------------------------------------------------ cells in rows, and long tables


@pytest.mark.parametrize("columns", [TIME.round(5), [f"frame_{k}" for k in range(N)]])
@pytest.mark.parametrize("name", [None, "cell"])
def test_cells_in_rows_are_refused_with_what_turns_them(put, columns, name, tmp_path):
    made = pd.DataFrame(TRACES.T, index=pd.Index(NAMES, name=name), columns=columns)
    path = put(made.to_csv())
    with pytest.raises(FileFormatError, match="units seem to lie in the rows") as caught:
        nr.open(path, sampling_rate=RATE)
    call = str(caught.value).split("Transpose it: ")[1].split(";")[0]
    # What the error says is done, word by word.
    eval(call.replace("to_csv(...)", "to_csv(out)"), {"pandas": pd, "path": path, "out": path})
    check(nr.open(path, sampling_rate=RATE))


def test_cells_in_rows_without_a_first_line(put):
    path = put(pd.DataFrame(TRACES.T, index=NAMES).to_csv(header=False))
    with pytest.raises(FileFormatError, match=r"units seem to lie in the rows.*header=None"):
        nr.open(path, sampling_rate=RATE)


@pytest.mark.parametrize(("cell", "value"), [("cell", "value"), ("variable", "value")])
@pytest.mark.parametrize("order", ["time", "cell"])
@pytest.mark.parametrize("index", [True, False])
def test_long_tables(put, cell, value, order, index):
    long = frame(time=TIME.round(5)).melt("time", var_name=cell, value_name=value)
    long = long.sort_values(["time", cell] if order == "time" else [cell, "time"])
    recording = nr.open(put(long.to_csv(index=index)))
    check(recording)
    assert recording.attrs["format"] == "text table (long)"


def test_long_tables_of_numbered_cells_and_frames(put):
    long = frame(frame=np.arange(N)).melt("frame", var_name="roi", value_name="dff")
    long["roi"] = long["roi"].str[1:].astype(int)
    long["neuropil"] = long["dff"] / 2
    path = put(long.to_csv(index=False))
    with pytest.raises(UnitError, match="120 frames of 3 cells"):
        nr.open(path)
    recording = nr.open(path, sampling_rate=RATE)
    np.testing.assert_allclose(recording["dff"], TRACES)
    np.testing.assert_allclose(recording["neuropil"], TRACES / 2)
    assert recording["unit"].values.tolist() == [0, 1, 2]


def test_long_tables_with_holes(put):
    long = frame(time=TIME.round(5)).melt("time", var_name="cell", value_name="value")
    recording = nr.open(put(long.drop(index=[3]).to_csv(index=False)))
    assert np.argwhere(np.isnan(recording["fluorescence"].values)).tolist() == [[3, 0]]
    twice = pd.concat([long, long.iloc[[5]]])
    with pytest.raises(DataError, match="is the second of cell C00 at time"):
        nr.open(put(twice.to_csv(index=False)))
    long.loc[long["cell"] == "C01", "time"] += 0.0123
    long.loc[long["cell"] == "C02", "time"] += 0.0217
    with pytest.raises(DataError, match=r"3 cells of a\.csv have 360 different times"):
        nr.open(put(long.to_csv(index=False)))


def test_a_workbook_is_named(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as archive:
        archive.writestr("[Content_Types].xml", "")
        archive.writestr("xl/workbook.xml", "")
    with pytest.raises(FileFormatError, match=r"workbook of Excel.*read_excel"):
        nr.open(tmp_path / "a.xlsx")
