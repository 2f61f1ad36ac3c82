"""Audits of public sets: the leaks and confounders that other people measured."""

import csv
import gzip
from collections.abc import Iterator

import numpy as np

import neurornn as nr
from neurornn._core.errors import FileMissingError

COLUMNS = ["measured", "gate"]


def uci():
    """Sequences, labels of the UCI splice set."""
    path = nr.fetch("splice_uci")
    file = path if path.is_file() else next(path.glob("*.data"))
    rows = [[c.strip() for c in line.split(",")] for line in file.read_text().splitlines() if line]
    return [r[2] for r in rows], np.array([r[0] for r in rows])


def hs3d(site):
    """Training and test sequences of one kind of splice site."""
    folder = nr.fetch("splice_hs3d")
    out = []
    for part in ("Train", "Test"):
        letters = []
        for label in ("Positive", "Negative"):
            with gzip.open(folder / f"{part}.{site}.{label}.txt.gz", "rt") as file:
                letters += [s.strip() for s in file if not s.startswith(">") and s.strip()]
        out.append(letters)
    return out


def meltome():
    """Melting points and species."""
    path = nr.fetch("meltome")
    file = path if path.is_file() else next(path.rglob("lysate.csv.gz"))
    with gzip.open(file, "rt") as handle:
        rows = list(csv.DictReader(handle))
    return np.array([float(r["Tm"]) for r in rows]), np.array([r["species"] for r in rows])


def linear_track():
    """Counts in bins of 200 ms and position of the rat while it was on the track."""
    recording = nr.open(nr.fetch("linear_track_ca1"))
    counts = nr.data.bin_spikes(recording, 0.2)
    position = nr.data.resample_to(recording["position"], recording["sample_time"], counts["time"])
    on_track = counts["time"].values <= counts["time"].values[0] + 970
    seen = on_track & np.isfinite(position.values).all(axis=1)
    return counts.values[seen], position.values[seen]


def rows() -> Iterator[list[str]]:
    """One row per gate."""
    for name, make in (
        ("UCI splice set: duplicate sequences", _uci),
        ("HS3D donor: test sharing a 40-mer with training", lambda: _hs3d("Donor")),
        ("HS3D acceptor: the same", lambda: _hs3d("Acceptor")),
        ("meltome: species alone, Spearman", lambda: _meltome("spearman")),
        ("meltome: species alone, R2", lambda: _meltome("r2")),
        ("linear track: R2 that a random split adds", _track),
    ):
        try:
            yield [name, *make()]
        except FileMissingError:
            yield [name, "not here", ""]


def _value(report, *words: str) -> float:
    """Find the one quantity of a report whose name has all the words."""
    names = [str(n) for n in report.parameters.data_vars if all(w in str(n) for w in words)]
    names = [n for n in names if not n.endswith("_ci")]
    return float(np.ravel(report.parameters[names[0]].values)[0])


def _uci() -> list[str]:
    sequences, labels = uci()
    return [f"{_value(nr.data.audit(sequences, labels), 'duplicate_rows'):.0f}", "185"]


def _hs3d(site: str) -> list[str]:
    train, test = hs3d(site)
    report = nr.data.audit(train, test=test, kmer=40)
    gate = {"Donor": "18.6 %", "Acceptor": "23.3 %"}[site]
    return [f"{100 * _value(report, 'test_shared_kmer'):.1f} %", gate]


def _meltome(score: str) -> list[str]:
    tm, species = meltome()
    report = nr.data.audit(None, tm, groups={"species": species})
    gate = {"spearman": ".679 +- .02", "r2": ".785"}[score]
    return [f"{_value(report, 'label_only', score):.3f}", gate]


def _track() -> list[str]:
    counts, position = linear_track()
    report = nr.data.leakage_report(counts, position, n_lags=10)
    return [f"{_value(report, 'inflation'):.3f}", ">= .5"]
