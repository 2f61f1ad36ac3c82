"""Real cells with known spikes: how many spikes the events of a cell are taken for.

Settings fixed before the method was written. The cells of ``real_tau`` (at least 20 spikes,
brought to 30 frames a second), kinetics found blind with the defaults. Inferred: the posterior
mean numbers of spikes of all events of a cell, summed; recorded: its spikes inside the recorded
stretches. Score: the median over cells of the absolute logarithm of inferred over recorded, for
all cells and for those whose quantum is called ok. The trivial rule calls every event one spike.
"""

from collections.abc import Iterator

import numpy as np

import neurornn as nr
from tests.benchmarks.real_tau import cells

#: Exponent of size against number of spikes for indicators made of GCaMP or GECO: the lower end
#: of the Hill coefficients of 2 to 3 (Chen et al. 2013, doi:10.1038/nature12354). Dyes have one
#: binding site and keep 1.
HILL = 2.0
PROTEINS = ("08", "09", "11", "14", "21", "30", "32")
COLUMNS = [
    "cells", "recorded/events", "quanta ok %", "ratio quanta", "|log| quanta", "|log| events",
    "|log| Hill", "ok: |log| quanta", "ok: |log| events",
]  # fmt: skip


def totals(name, time, values, rate, spikes) -> tuple[float, float, float, float, bool]:
    """Spikes recorded, events, spikes by quanta, by quanta with the Hill exponent; ok or not."""
    recording = nr.data.from_traces(values, time=time, sampling_rate=rate)
    seen = sum(np.sum((spikes > a) & (spikes <= b)) for a, b in nr.data.support(recording))
    kinetics = nr.calcium.Kinetics().fit(recording["dff"])
    linear = nr.calcium.estimate_quantum(kinetics)
    exponent = HILL if name.rsplit("DS", 1)[-1][:2] in PROTEINS else 1.0
    curved = nr.calcium.estimate_quantum(kinetics, exponent=exponent)
    counts = [
        float(np.nansum(nr.calcium.count_spikes(kinetics, quanta)["event_spikes"].values))
        for quanta in (linear, curved)
    ]
    ok = linear["status"].item() == "ok"
    return float(seen), float(kinetics.events_.sizes["event"]), *counts, ok


def rows(limit: int | None = None) -> Iterator[list[str]]:
    """One row per set and one for all."""
    found: dict[str, list[tuple[float, float, float, float, bool]]] = {}
    for name, time, values, rate, spikes in cells(limit):
        found.setdefault(name, []).append(totals(name, time, values, rate, spikes))
    for name, group in [*found.items(), ("all", [c for g in found.values() for c in g])]:
        table = np.array(group)
        # A cell without an event counts as one spike, so that its ratio is finite.
        spikes, events, linear, curved = np.maximum(table[:, :4].T, 1.0)
        ok = table[:, 4] > 0
        off = [np.abs(np.log(x / spikes)) for x in (linear, events, curved)]
        yield [
            name,
            str(len(group)),
            f"{np.median(spikes / events):.2f}",
            f"{100 * ok.mean():.0f}",
            f"{np.median(linear / spikes):.2f}",
            *(f"{np.median(o):.2f}" for o in off),
            *(f"{np.median(o[ok]):.2f}" if ok.any() else "-" for o in off[:2]),
        ]
