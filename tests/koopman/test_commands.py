"""`neurornn modes`: what it prints, writes and refuses."""

import json

import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn.cli import main
from neurornn.simulate import simulate_oscillators


@pytest.fixture
def file(tmp_path):
    run = simulate_oscillators(n_units=6, noise_sd=0.1, rng=0)
    series = run["series"].isel(trial=0).rename("dff").drop_vars("part", errors="ignore")
    path = tmp_path / "session.nc"
    xr.Dataset({"dff": series}).to_netcdf(path, engine="h5netcdf")
    return path, series


def test_it_prints_and_writes_what_the_library_finds(file, tmp_path, capsys):
    path, series = file
    out, csv, figures = tmp_path / "modes", tmp_path / "modes.csv", tmp_path / "figs"
    code = main([
        "modes", str(path), "--variable", "dff", "--rank", "5", "--out", str(out), "--csv",
        str(csv), "--figures", str(figures),
    ])  # fmt: skip
    said = capsys.readouterr().out
    assert not code
    ours = nr.koopman.fit_modes(series, rank=5)
    assert ours.report() in said
    assert nr.load(out).report() == ours.report()
    assert csv.read_text().startswith("mode,time_constant (s)")
    assert {f.name for f in figures.iterdir()} == {"spectrum.png", "shapes.png", "forecast.png"}
    # Its own files may be written anew.
    again = ["modes", str(path), "--rank", "5", "--csv", str(csv), "--figures", str(figures)]
    assert not main(again)
    capsys.readouterr()


def test_trials_of_a_length_and_plain_values(file, capsys):
    path, series = file
    assert not main(["modes", str(path), "--rank", "5", "--duration", "1.0", "--json"])
    told = json.loads(capsys.readouterr().out)
    trials = [series.isel(time=slice(k, k + 50)) for k in range(0, 200, 50)]
    ours = nr.koopman.fit_modes(trials, rank=5).parameters_
    assert "time_constant" in str(told)
    flat = json.dumps(told)
    assert f"{float(ours['time_constant'][0]):.6g}"[:6] in flat


def test_a_trial_ends_with_the_gap_that_it_meets(file, tmp_path, capsys):
    """A pause of a second after frame 70: trials of 50 frames start anew behind it."""
    _, series = file
    late = np.where(np.arange(200) < 70, 0.0, 1.0)
    gapped = series.assign_coords(time=series["time"].values + late)
    path = tmp_path / "gapped.nc"
    xr.Dataset({"dff": gapped}).to_netcdf(path, engine="h5netcdf")
    assert not main(["modes", str(path), "--rank", "5", "--duration", "1.0"])
    said = capsys.readouterr().out
    edges = [(0, 50), (50, 70), (70, 120), (120, 170), (170, 200)]
    ours = nr.koopman.fit_modes([gapped.isel(time=slice(a, b)) for a, b in edges], rank=5)
    assert ours.report() in said and "in 5 trajectories" in said


def test_what_is_refused(file, tmp_path, capsys):
    path, _ = file
    mine = tmp_path / "notes.csv"
    mine.write_text("mine")
    assert main(["modes", str(path), "--csv", str(mine)])
    assert mine.read_text() == "mine"
    assert main(["modes", str(path), "--variable", "dfff"])
    assert "dff" in capsys.readouterr().err
    assert main(["modes", str(path), "--duration", "0.02"])
    assert "Trials of two frames" in capsys.readouterr().err
    assert np.isfinite(xr.open_dataset(path, engine="h5netcdf")["dff"].values).all()
