"""Spikes drawn from a recurrent network, each bin from what it drew before."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn.data.recording import from_spikes
from neurornn.simulate.spikes import check_runaway
from neurornn.spikes.bases import raised_cosines
from neurornn.spikes.binned import BinnedSpikes

Array = NDArray[np.float64]


def draw_from_network(
    model: Any, shown: Array | None, n_rows: int, draw: np.random.Generator
) -> xr.Dataset:
    """Draw spikes of the fitted units of a `RecurrentPointProcess`; see its `simulate`.

    Parameters
    ----------
    model : fitted.
    shown : (row, feature), the stimulus; None for none.
    n_rows : bins.
    draw : random numbers.
    """
    import torch

    width, n = float(model.bin_size), len(model.sources_)
    place = [model.sources_.tolist().index(u) for u in model.units_.tolist()]
    stamps = np.asarray(width * np.arange(1.0, n_rows + 1))
    silent = BinnedSpikes(
        [np.empty(0, np.int64)] * n, [np.empty(0)] * n, stamps - width, stamps,
        np.zeros(n_rows, np.int64), model.sources_, width, True,
    )  # fmt: skip
    # What goes in, but for the spikes that are still to come: those of the last bin stand last,
    # and before them the past through its bumps.
    x = model._inputs(silent, shown)
    as_it_is = 0 if shown is None or model.stimulus_duration is not None else shown.shape[1]
    taps = np.zeros((0, 0))
    if model.history and model.feedback:
        taps = raised_cosines(model.n_history, model.history, width).values
    n_past = n * taps.shape[1]
    first = x.shape[1] - n - as_it_is - n_past
    network, one = model._network, model.distribution_ == "bernoulli"
    kind = next(network.parameters()).dtype
    centre, scale = model.scale_["centre"].values, model.scale_["scale"].values
    counts = np.zeros((n_rows, n))
    state, most = None, int(2000 * n * n_rows * width) + 1000
    total = 0.0
    with torch.no_grad():
        for k in range(n_rows):
            if k and model.feedback:
                x[k, x.shape[1] - n :] = counts[k - 1]
            if len(taps):
                seen = counts[max(k - len(taps), 0) : k][::-1]
                x[k, first : first + n_past] = (seen.T @ taps[: len(seen)]).ravel()
            found = network(torch.tensor((x[k] - centre) / scale, dtype=kind)[None, None], state)
            state = found.states[:, -1]
            out = found.output[0, 0].double().numpy()
            if one:
                counts[k, place] = draw.random(len(place)) < 1 / (1 + np.exp(-out))
            else:
                counts[k, place] = draw.poisson(np.exp(np.minimum(out, 20.0)))
            total += counts[k].sum()
            if total > most:
                break
    check_runaway(int(total), n, n_rows * width)
    trains = []
    for j in place:
        rows = np.repeat(np.arange(n_rows), counts[:, j].astype(int))
        trains.append(np.sort((rows + draw.random(len(rows))) * width))
    drawn = from_spikes(trains, unit=model.units_, t_start=0.0, t_stop=n_rows * width)
    return drawn.assign_attrs(source="simulated from a fitted RecurrentPointProcess")
