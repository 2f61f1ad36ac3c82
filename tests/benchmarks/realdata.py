"""Every real calcium set is opened and fitted; a set that is not here is said to be missing."""

from collections.abc import Iterator

import numpy as np

import neurornn as nr
from neurornn._core.errors import FileMissingError

COLUMNS = ["cells", "ok %", "median tau (s)", "quartiles", "width %", "events/min"]
#: Rates (Hz) that these files do not state.
RATES = {"allen_population": 30.0, "zebrafish_tectum": 2.0}
CALCIUM = (
    "ground_truth_DS01",
    "ground_truth_DS03",
    "ground_truth_DS08",
    "ground_truth_DS09",
    "ground_truth_DS11",
    "ground_truth_DS14",
    "ground_truth_DS21",
    "ground_truth_DS30",
    "ground_truth_DS32",
    "ground_truth_NAOMi",
    "ground_truth_mat",
    "allen_population",
    "zebrafish_tectum",
)


def files_of(name):
    """Paths of the recordings of a set."""
    place = nr.fetch(name)
    return [place] if place.is_file() else sorted(p for p in place.rglob("*") if _known(p))


def _known(path) -> bool:
    return path.suffix in (".npz", ".mat", ".nwb")


def calcium_sets() -> Iterator[list[str]]:
    """One row per set."""
    for name in CALCIUM:
        try:
            files = files_of(name)
        except FileMissingError:
            yield [name, "not here", *[""] * (len(COLUMNS) - 1)]
            continue
        taus, widths, ok, rates = [], [], [], []
        for file in files:
            recording = nr.open(file, sampling_rate=RATES.get(name))
            variable = next(v for v in ("dff", "fluorescence") if v in recording)
            kinetics = nr.calcium.Kinetics().fit(recording[variable])
            table = kinetics.parameters_
            taus += list(table["tau_decay"].values)
            bounds = table["tau_decay_ci"].values
            widths += list((bounds[:, 1] - bounds[:, 0]) / table["tau_decay"].values)
            ok += list(table["status"].values == "ok")
            rates += list(60 * table["event_rate"].values)
        good = np.array(taus)[np.array(ok)]
        low, middle, high = np.quantile(good, [0.25, 0.5, 0.75]) if len(good) else [np.nan] * 3
        yield [
            name,
            str(len(taus)),
            f"{100 * np.mean(ok):.0f}",
            f"{middle:.3g}",
            f"{low:.3g} to {high:.3g}",
            f"{100 * np.nanmedian(widths):.0f}",
            f"{np.nanmedian(rates):.0f}",
        ]
