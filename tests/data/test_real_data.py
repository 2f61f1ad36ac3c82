"""Numbers that others measured on recordings and sequences; needs NEURORNN_DATA_DIR."""

import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io

from neurornn.data import SequenceSet, audit, bin_spikes, from_spikes, leakage_report, resample_to

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(
        not os.environ.get("NEURORNN_DATA_DIR"), reason="NEURORNN_DATA_DIR is not set"
    ),
]


def folder(*parts):
    path = Path(os.environ["NEURORNN_DATA_DIR"], *parts)
    if not path.exists():
        pytest.skip(f"{'/'.join(parts)} is not under NEURORNN_DATA_DIR")
    return path


def test_splice_junctions_hold_185_duplicates():
    path = folder("sequences", "splice_uci", "splice.data")
    rows = [[cell.strip() for cell in line.split(",")] for line in path.read_text().splitlines()]
    report = audit([r[2] for r in rows], np.array([r[0] for r in rows]))
    assert int(report.parameters["duplicate_rows"]) == 185
    # One of the 125 sets of equal sequences is labelled both ways.
    assert int(report.parameters["conflicting_sets"]) == 1
    assert report.split == "clusters"


def read_fasta(*paths):
    lines = [line for p in paths for line in gzip.decompress(p.read_bytes()).decode().split()]
    return [line for line in lines if set(line) <= set("ACGT") and len(line) > 20]


@pytest.mark.parametrize(("kind", "percent"), [("Donor", 18.6), ("Acceptor", 23.3)])
def test_splice_sites_share_40mers_between_train_and_test(kind, percent):
    home = folder("sequences", "splice_hs3d")
    sets = []
    for part in ("Train", "Test"):
        texts = read_fasta(
            *(home / f"{part}.{kind}.{sign}.txt.gz" for sign in ("Positive", "Negative"))
        )
        sets.append(SequenceSet.from_sequences([f"{part}{k}" for k in range(len(texts))], texts))
    report = audit(sets[0], test=sets[1], kmer=40)
    shared = report.parameters["test_shared_kmer"]
    # Published to a tenth of a percent.
    assert round(100 * float(shared), 1) == percent


def test_the_species_alone_predicts_melting_temperatures():
    table = pd.read_csv(folder("sequences", "meltome", "lysate.csv.gz"))
    report = audit(y=table["Tm"].to_numpy(), groups={"species": table["species"].to_numpy()})
    found = report.parameters.sel(group="species")
    # Random folds move both by less than 0.001; the reference was measured with one seed.
    assert float(found["label_only_spearman"]) == pytest.approx(0.679, abs=0.005)
    assert float(found["label_only_r2"]) == pytest.approx(0.785, abs=0.005)
    assert report.split == "species"


def linear_track():
    """Spike times (s) of the 31 units with spikes, and the position (px) on its own clock (s)."""
    home = folder("spikes", "linear_track_ca1")
    trains = []

    def collect(cell):
        if cell.dtype == object:
            for inner in cell.ravel():
                collect(inner)
        elif cell.dtype.names and "time" in cell.dtype.names and cell.size:
            trains.append(np.ravel(cell["time"].flat[0]).astype(float))

    collect(scipy.io.loadmat(home / "spikes.mat")["spikes"])
    raw = (home / "trajectory.videoPositionTracking").read_bytes()
    end = b"<End settings>\n"
    fields = [("time", "<u4"), ("xy", "<u2", 2), ("led2", "<u2", 2)]
    track = np.frombuffer(raw[raw.index(end) + len(end) :], dtype=fields)
    return [t for t in trains if len(t)], track["time"] / 30_000, track["xy"].astype(float)


@pytest.mark.slow
def test_a_random_split_makes_a_useless_decoder_look_good():
    trains, clock, xy = linear_track()
    assert len(trains) == 31
    # The rat runs for about 970 s and is then taken off the track.
    rec = from_spikes(trains, t_start=clock[0], t_stop=clock[0] + 970)
    counts = bin_spikes(rec, 0.2)
    position = resample_to(xy, clock, counts["time"])
    table = leakage_report(counts, position, n_lags=10).parameters
    assert float(table["inflation"]) >= 0.5
    assert float(table["inflation_last_block"]) >= 0.5
    # Reference: a Wiener filter reaches +0.479 under a random split (one draw of 15 %).
    assert float(table["score_random"]) == pytest.approx(0.479, abs=0.06)
    assert float(table["score_last_block"]) < 0
