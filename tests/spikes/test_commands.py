"""`neurornn spikes`: what it prints, writes and refuses."""

import json

import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn.cli import main
from neurornn.cli.spikes import FIGURES
from neurornn.spikes import PointProcess, time_rescaling

QUIET = ["--progress", "false"]


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """Two units under a stimulus: the file, and the recording that was written to it."""
    rng = np.random.default_rng(5)
    recording = nr.simulate.simulate_spike_trains(
        2, 60.0, rate=[30.0, 20.0], stimulus=np.repeat(rng.standard_normal(6000), 10),
        stimulus_filter=np.full(30, 0.02), rng=rng,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("session") / "session.nc"
    recording.to_netcdf(path, engine="h5netcdf")
    return path, recording


@pytest.fixture(scope="module")
def halves(session):
    """What is fitted, and what is tested."""
    return nr.data.split_blocks(session[1], fractions=(0.7, 0.3), gap=0.0)


def bits(model, test):
    values = zip(model.units_.tolist(), model.bits_per_spike(test).values, strict=True)
    return "bits per spike on it: " + ", ".join(f"{u}: {v:.3g}" for u, v in values)


def test_it_prints_and_writes_what_the_library_finds(session, halves, tmp_path, capsys):
    path, _ = session
    train, test = halves
    out, csv, figures = tmp_path / "spikes.nc", tmp_path / "spikes.csv", tmp_path / "figs"
    code = main([
        "spikes", str(path), "--out", str(out), "--csv", str(csv), "--figures", str(figures),
        *QUIET,
    ])  # fmt: skip
    said = capsys.readouterr().out
    assert code == 0
    ours = PointProcess(progress=False).fit(train)
    check = time_rescaling(ours, test)
    assert ours.report() in said
    assert "Tested on the last 30 % of the time" in said
    assert check.report() in said
    assert bits(ours, test) in said
    for place in (out, csv, *(figures / name for name in FIGURES)):
        assert str(place) in said
    assert nr.load(out).report() == ours.report()
    ours.to_csv(tmp_path / "ours.csv")
    assert csv.read_text() == (tmp_path / "ours.csv").read_text()
    assert csv.read_text().startswith("unit,baseline_rate (Hz),")
    assert {f.name for f in figures.iterdir()} == set(FIGURES)
    assert all(f.stat().st_size > 1000 for f in figures.iterdir())


def test_its_own_files_may_be_written_anew(session, halves, tmp_path, capsys):
    path, _ = session
    out, csv, figures = tmp_path / "model", tmp_path / "spikes.csv", tmp_path / "figs"
    places = ["--out", str(out), "--csv", str(csv), "--figures", str(figures), *QUIET]
    assert main(["spikes", str(path), "--history", "0", *places]) == 0
    first = {p: p.read_bytes() for p in (csv, figures / "rescaling.png")}
    # A model without a past has no filter to draw.
    assert {f.name for f in figures.iterdir()} == set(FIGURES) - {"history.png"}
    assert main(["spikes", str(path), *places]) == 0
    assert all(p.read_bytes() != before for p, before in first.items())
    assert (figures / "history.png").exists()
    kept = nr.load(out)
    assert kept.history == 0.2
    assert kept.report() == PointProcess().fit(halves[0]).report()
    capsys.readouterr()


def test_settings_reach_the_model(session, halves, tmp_path, capsys):
    path, _ = session
    train, test = halves
    for options, settings in (
        (["--history", "0"], {"history": None}),
        (["--history", "0.05", "--bin_size", "0.002"], {"history": 0.05, "bin_size": 0.002}),
        (
            ["--stimulus", "stimulus", "--history-basis", "raised_cosine", "--coupling", "true"],
            {"stimulus": "stimulus", "history_basis": "raised_cosine", "coupling": True},
        ),
        (
            ["--history_basis", "raised_cosine", "--forgetting", "20"],
            {"history_basis": "raised_cosine", "forgetting": 20.0},
        ),
    ):
        out = tmp_path / f"model{len(list(tmp_path.iterdir()))}"
        assert main(["spikes", str(path), "--out", str(out), *options, *QUIET]) == 0
        said = capsys.readouterr().out
        ours = PointProcess(**settings).fit(train)
        assert ours.report() in said
        assert time_rescaling(ours, test).report() in said
        assert bits(ours, test) in said
        kept = nr.load(out)
        for name, value in settings.items():
            assert getattr(kept, name) == value, name


def test_a_poisson_account_is_told_what_it_lacks(session, capsys):
    path, _ = session
    assert main(["spikes", str(path), "--history", "0", *QUIET]) == 0
    said = capsys.readouterr().out
    assert "past: none (Poisson)" in said
    assert "refractoriness is missing (too few short intervals)" in said
    assert "history=None: the model knows no past" in said


def test_plain_values_hold_table_test_and_verdict(session, halves, capsys):
    path, _ = session
    train, test = halves
    assert main(["spikes", str(path), "--json", *QUIET]) == 0
    told = json.loads(capsys.readouterr().out)
    ours = PointProcess().fit(train)
    check = time_rescaling(ours, test)
    for name in ("refractory_period", "tau_recovery", "tau_adaptation", "tau_recovery_ci"):
        assert told[name]["units"] == "s"
        # A number that is none is null.
        values = np.array(told[name]["values"], dtype=float)
        np.testing.assert_allclose(values, ours.parameters_[name].values)
    assert told["status"]["values"] == ours.parameters_["status"].values.tolist()
    np.testing.assert_allclose(
        told["time_rescaling"]["statistic"]["values"], check.statistic.values
    )
    np.testing.assert_allclose(told["time_rescaling"]["band"]["values"], check.band.values)
    np.testing.assert_allclose(told["bits_per_spike"]["values"], ours.bits_per_spike(test).values)
    assert told["verdict"] == check.verdict


def test_units_with_too_few_spikes_are_told_and_not_drawn(tmp_path, capsys):
    busy = nr.simulate.simulate_spike_trains(1, 40.0, rng=1)["spike_times"].values
    recording = nr.data.from_spikes(
        [[1.0, 30.0], busy], unit=["quiet", "busy"], t_start=0.0, t_stop=40.0
    )
    path, figures = tmp_path / "two.nc", tmp_path / "figs"
    nr.io.write_netcdf(recording, path)
    assert main(["spikes", str(path), "--figures", str(figures), *QUIET]) == 0
    said = capsys.readouterr().out
    assert "too_few_events" in said
    assert "unit quiet: too few intervals to tell" in said
    assert {f.name for f in figures.iterdir()} == set(FIGURES)
    silent = nr.data.from_spikes([[1.0, 30.0], [2.0]], t_start=0.0, t_stop=40.0)
    path, figures = tmp_path / "silent.nc", tmp_path / "none"
    nr.io.write_netcdf(silent, path)
    assert main(["spikes", str(path), "--figures", str(figures), *QUIET]) == 0
    # Of no unit is there a model to draw: the spikes are.
    assert [f.name for f in figures.iterdir()] == ["raster.png"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--stimulus", "stimulsu"], "Did you mean 'stimulus'?"),
        (["--bin_size", "0"], "bin_size is 0"),
        (["--history", "-0.2"], "history is -0.2"),
        (["--history_basis", "exponentials"], "exponential"),
        (["--forgetting", "20"], "--history-basis 'raised_cosine'"),
    ],
)
def test_settings_that_are_refused(session, capsys, options, words):
    path, _ = session
    assert main(["spikes", str(path), *options, *QUIET]) == 1
    caught = capsys.readouterr()
    assert words in caught.err
    assert caught.err.startswith("neurornn spikes: ")
    assert not caught.out


def test_files_of_others_are_not_replaced(session, tmp_path, capsys):
    path, recording = session
    mine = tmp_path / "notes.csv"
    mine.write_text("unit,my own notes\n")
    assert main(["spikes", str(path), "--csv", str(mine)]) == 1
    assert "is not a table of point processes" in capsys.readouterr().err
    assert mine.read_text() == "unit,my own notes\n"
    folder = tmp_path / "figs"
    folder.mkdir()
    (folder / "raster.png").write_text("a drawing of mine")
    assert main(["spikes", str(path), "--figures", str(folder)]) == 1
    assert (folder / "raster.png").read_text() == "a drawing of mine"
    assert [f.name for f in folder.iterdir()] == ["raster.png"]
    # Nothing is fitted, or written, before all places are known to be free.
    free = tmp_path / "free.csv"
    assert main(["spikes", str(path), "--csv", str(free), "--figures", str(folder)]) == 1
    assert not free.exists()
    assert main(["spikes", str(path), "--out", str(mine)]) == 1
    assert mine.read_text() == "unit,my own notes\n"
    assert main(["spikes", str(path), "--out", str(path)]) == 1
    assert main(["spikes", str(path), "--csv", str(free), "--out", str(free)]) == 1
    assert not free.exists()
    capsys.readouterr()
    with xr.open_dataset(path, engine="h5netcdf") as kept:
        xr.testing.assert_identical(kept.load(), recording)


def test_files_that_hold_no_spikes(tmp_path, capsys):
    assert main(["spikes", str(tmp_path / "nowhere.nc")]) == 1
    assert "There is no file" in capsys.readouterr().err
    traces = nr.data.from_traces(
        np.random.default_rng(0).normal(size=(300, 2)), sampling_rate=30.0
    )
    path = tmp_path / "traces.nc"
    nr.io.write_netcdf(traces, path)
    assert main(["spikes", str(path), *QUIET]) == 1
    assert "spike" in capsys.readouterr().err
