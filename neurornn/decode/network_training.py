"""Training the networks of a recurrent decoder in torch, and their weights as arrays."""

import contextlib
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_count, check_number
from neurornn._core.errors import ConvergenceWarning, DataError, NameUnknownError, nearest
from neurornn._core.jobs import progress_bar
from neurornn._core.rng import derived_seed, seed_of
from neurornn._core.targets import check_own_folder
from neurornn._kernels.recurrent_product import widened
from neurornn.data.samples import Samples
from neurornn.decode.machines import Machine, from_gate_blocks, gate_blocks
from neurornn.decode.stretches import Learned, Stretch, cut, run_machine

CELLS = ("leaky", "gru", "lstm")
#: Share of a training window that only warms the state up.
WARM_UP = 0.2
#: Stretches of the training data over which the held-out bins are spread.
N_HELD_OUT = 4
#: Passes over the data, and
#: steps of the optimiser that a fit is given at least, where the data are short.
EPOCHS = 40
LEAST_STEPS = 2000
#: Windows in a step of the optimiser.
BATCH = 8
#: Folders of checkpoints, one a network.
_FOLDER = re.compile(r"seed_\d+_part_\d+")


def _check(decoder: Any) -> None:
    if not isinstance(decoder.cell, str) or decoder.cell not in CELLS:
        raise NameUnknownError(
            f"cell is {decoder.cell!r}", f"One of {', '.join(CELLS)} was needed",
            nearest(str(decoder.cell), CELLS),
        )  # fmt: skip
    for name, most in (("n_hidden", 100_000), ("n_seeds", 1000), ("window", 1_000_000)):
        check_count(getattr(decoder, name), name, most=most)
    for name in ("dropout", "unit_dropout"):
        check_number(getattr(decoder, name), name, least=0.0, below=1.0)
    check_number(decoder.validation_fraction, "validation_fraction", above=0.0, below=0.5)


class Trained(NamedTuple):
    """What the networks learned.

    Attributes
    ----------
    learned : what every decoder learns.
    seed_scores : (seed,), of each seed alone on the held-out bins.
    tau : (seed, hidden), s, of leaky units.
    """

    learned: Learned
    seed_scores: xr.DataArray
    tau: xr.DataArray | None


def train_networks(
    decoder: Any, bins: Samples, targets: NDArray[np.float64], objective: str
) -> Trained:
    """Train a network from every seed; see `RecurrentDecoder`. The decoder is not changed."""
    import torch

    from neurornn.training.batches import as_training_data
    from neurornn.training.one import fit_one
    from neurornn.training.settings import FitSettings

    _check(decoder)
    power, *others = decoder._powers(decoder.power)
    if others:
        raise DataError(
            f"power is {decoder.power!r}",
            "One of 0.5, 1.0, 1.5 and 2.0 was needed: networks are not trained once per power",
            "Leave it at 0.5, the square root",
        )
    preparation, stretches = decoder._prepared(bins, power)
    stretches = _with_targets(stretches, targets)
    train, test = held_out_rows(np.asarray(np.isfinite(targets).all(axis=1)), decoder)
    data = _windows(cut(stretches, train), decoder.window)
    seed = seed_of(decoder.rng)
    n_steps = -(-len(data[0]) // BATCH)
    n_epochs = max(EPOCHS, -(-LEAST_STEPS // n_steps))
    if not (isinstance(decoder.max_epochs, str) and decoder.max_epochs == "auto"):
        n_epochs = check_count(decoder.max_epochs, "max_epochs")
    # One network for all outputs, or one for each.
    n_out = targets.shape[1]
    parts = [[o] for o in range(n_out)] if decoder._apart else [list(range(n_out))]
    bar = progress_bar(decoder.n_seeds * len(parts) * n_epochs, 0, decoder.progress, "training")
    models: list[Any] = []
    scores: list[float] = []
    if decoder.checkpoint is not None:
        check_own_folder(decoder.checkpoint, lambda name: _FOLDER.fullmatch(name) is not None)
    n_threads = torch.get_num_threads()
    # On matrices this small threads cost more than they bring.
    torch.set_num_threads(1)
    with bar as tick, contextlib.ExitStack() as last:
        last.callback(torch.set_num_threads, n_threads)
        for k in range(decoder.n_seeds):
            for p, outputs in enumerate(parts):
                own = derived_seed(seed, k, *([p] if len(parts) > 1 else [])) % (2**31)
                folder = None
                if decoder.checkpoint is not None:
                    folder = Path(decoder.checkpoint) / f"seed_{k}_part_{p}"
                with warnings.catch_warnings():
                    # The schedule ends the training; its worth is measured on held-out bins.
                    warnings.simplefilter("ignore", ConvergenceWarning)
                    settings = FitSettings(
                        max_epochs=n_epochs,
                        optimizer="adam",
                        objective=objective,
                        learning_rate=decoder.learning_rate,
                        weight_decay=decoder.weight_decay,
                        batch_size=min(BATCH, len(data[0])),
                        rng=own,
                        refine=False,
                        intervals=False,
                    )
                    model = _model(decoder, bins, len(outputs), own)
                    picked = (data[0], data[1][..., outputs], data[2][..., outputs])
                    result = fit_one(
                        model,
                        as_training_data(picked, model),
                        None,
                        settings,
                        checkpoint=folder,
                        progress=lambda done, total: tick(),
                    )
                models.append(result.model)
            machine = decoder._machine_of(models[-len(parts) :], preparation.silent)
            alone = _predicted(machine, stretches, test)[0]
            scores.append(decoder._score_of(bins, alone))
    machine = decoder._machine_of(models, preparation.silent)
    held_out, _ = _predicted(machine, stretches, test)
    # Where the networks disagree by more than they usually err, the interval is wider.
    away = np.ones(1)
    if bins.targets is not None and objective == "gaussian":
        away = held_out[test] - bins.targets[test]
    machine.arrays["floor"][:] = np.sqrt(np.nanmean(np.square(away), axis=0))
    held_out, spread = _predicted(machine, stretches, test)
    told = {"units": "1", "long_name": "score on held-out bins"}
    tau = None
    if decoder.cell == "leaky":
        values = np.stack([m.tau.detach().double().numpy() for m in models])
        values = values.reshape(decoder.n_seeds, -1)
        tau = xr.DataArray(values, dims=("seed", "hidden"), attrs={"units": "s"})
    return Trained(
        Learned(machine, preparation, held_out, spread, {"epochs": n_epochs}),
        xr.DataArray(scores, dims="seed", attrs=told),
        tau,
    )


def _with_targets(stretches: Sequence[Stretch], targets: NDArray[np.float64]) -> list[Stretch]:
    out, begin = [], 0
    for s in stretches:
        end = begin + len(s.features)
        out.append(Stretch(s.features, s.counts, targets[begin:end]))
        begin = end
    return out


def held_out_rows(
    known: NDArray[np.bool_], decoder: Any
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of training and rows held out, which lie in stretches over all rows with a target.

    Nothing is chosen on what is held out: the schedule ends the training. Weights that were best
    there would look better than they are, and of few bins they are best by chance.
    """
    rows = np.flatnonzero(known)
    n = len(rows)
    parts = min(N_HELD_OUT, max(1, int(n * decoder.validation_fraction) // decoder.window))
    length = max(2, round(n * decoder.validation_fraction / parts))
    held = np.zeros(len(known), dtype=bool)
    for k in range(parts):
        end = round(n * (k + 1) / parts)
        held[rows[max(0, end - length)] : rows[end - 1] + 1] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def _windows(
    stretches: Sequence[Stretch], window: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
    """Cut (window, bin, ...) with a mask; what only warms up, is padding or unknown is masked."""
    longest = max(len(s.features) for s in stretches)
    size = min(window, longest)
    warm = int(WARM_UP * size)
    inputs, targets, masks = [], [], []
    for s in stretches:
        n = len(s.features)
        begins = range(0, max(n - warm, 1), max(size - warm, 1))
        for a in begins:
            x = np.zeros((size, s.features.shape[1]))
            y = np.zeros((size, s.targets.shape[1]))
            m = np.zeros(y.shape, bool)
            b = min(a + size, n)
            x[: b - a], y[: b - a] = s.features[a:b], s.targets[a:b]
            m[: b - a] = np.isfinite(s.targets[a:b])
            if a:
                m[:warm] = False
            if m.any():
                inputs.append(x)
                targets.append(np.nan_to_num(y))
                masks.append(m)
    if not inputs:
        raise DataError(
            "No training window holds a bin with a target",
            "Targets that are known were needed",
            "Check the targets for NaN",
        )
    return np.stack(inputs), np.stack(targets), np.stack(masks)


def _model(decoder: Any, bins: Samples, n_output: int, seed: int) -> Any:
    from neurornn import models

    n_input, n, dt = bins.values.shape[1], decoder.n_hidden, decoder.bin_size_
    common = {"dt": dt, "dropout": decoder.dropout, "rng": seed}
    if decoder.cell == "leaky":
        tau = decoder.tau
        if tau is None:
            tau = np.geomspace(dt, max(1.0, 20 * dt), n)
        model = models.LeakyRNN(n_input, n, n_output, tau=tau, **common)
    else:
        kind = models.GRU if decoder.cell == "gru" else models.LSTM
        model = kind(n_input, n, n_output, tau=decoder.tau, **common)
    model.input_dropout = models.UnitDropout(decoder.unit_dropout)
    return model


def _predicted(
    machine: Machine, stretches: Sequence[Stretch], rows: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Outputs and spreads on some rows; NaN, and 1, elsewhere."""
    out = np.full((sum(len(s.features) for s in stretches), machine.n_outputs), np.nan)
    spread = np.ones_like(out)
    out[rows], spread[rows] = run_machine(machine, cut(stretches, rows))
    return out, spread


def machine_arrays(
    models: Sequence[Any],
    scale: NDArray[np.float64],
    centre: NDArray[np.float64],
    silent: NDArray[np.float64] | None = None,
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Weights of trained networks for the machine, read-out in the unit of the target.

    Parameters
    ----------
    models : trained alike.
    scale, centre : (output,), sd and mean of the targets.
    silent : (unit,), features of a bin without a spike
        What the network is fed then is part of the bias, so that the rows of the weights of
        silent units need not be read.
    """
    kind = type(models[0]).__name__
    parts = [_leaky_arrays(m) if kind == "LeakyRNN" else _gated_arrays(m) for m in models]
    origin = np.zeros(models[0].n_input) if silent is None else silent
    for part in parts:
        bias = part["input_bias" if "input_bias" in part else "bias"]
        bias += (origin @ part["input_weight"].astype(np.float64)).astype(np.float32)
    arrays: dict[str, NDArray[Any]] = {
        name: np.stack([p[name] for p in parts]) for name in parts[0]
    }
    arrays["origin"] = origin
    n_out, n_read = len(scale), models[0].n_output
    arrays["out_weight"] = np.zeros((len(models), n_out, models[0].n_hidden))
    arrays["out_bias"] = np.zeros((len(models), n_out))
    for k, m in enumerate(models):
        outputs = slice(None) if n_read == n_out else [k % n_out]
        weight, bias = (p.detach().double().numpy() for p in (m.output_weight, m.output_bias))
        arrays["out_weight"][k, outputs] = weight * scale[outputs, None]
        arrays["out_bias"][k, outputs] = bias * scale[outputs] + centre[outputs]
    arrays["floor"] = np.ones(n_out)
    settings: dict[str, Any] = {
        "cell": {"GRU": "gru", "LSTM": "lstm"}.get(kind, "leaky"),
        "n_own": 1 if n_read == n_out else n_out,
    }
    if kind == "LeakyRNN":
        settings |= {
            "nonlinearity": models[0].nonlinearity,
            "current": models[0].form == "current",
            "substeps": models[0].substeps,
        }
    return arrays, settings


def _gated_arrays(model: Any) -> dict[str, NDArray[np.float32]]:
    layer = model.layers[0]
    w = {n: getattr(layer, f"{n}_l0").detach().float().numpy()
         for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}  # fmt: skip
    n_gates = 3 if type(model).__name__ == "GRU" else 4
    arrays = {
        "input_weight": gate_blocks(w["weight_ih"], n_gates),
        "hidden_weight": gate_blocks(w["weight_hh"], n_gates),
    }
    if n_gates == 3:
        arrays["input_bias"] = gate_blocks(w["bias_ih"], 3)
        arrays["hidden_bias"] = gate_blocks(w["bias_hh"], 3)
    else:
        arrays["bias"] = gate_blocks(w["bias_ih"] + w["bias_hh"], 4)
    return arrays


def _leaky_arrays(model: Any) -> dict[str, NDArray[np.float32]]:
    weights = model.weights()
    n = model.n_hidden
    across = np.zeros((n, n), np.float32)
    if weights is not None:
        across = weights.detach().float().numpy()
    return {
        "input_weight": widened(
            np.ascontiguousarray(model.input_weight.detach().float().numpy().T)
        ),
        "hidden_weight": widened(np.ascontiguousarray(across.T)),
        "bias": widened(model.bias.detach().float().numpy()[None])[0],
        "alpha": model.alpha().detach().float().numpy(),
    }


def models_of(machine: Machine, dt: float) -> list[Any]:
    """The networks of a machine as models again, in the unit of the target.

    Parameters
    ----------
    machine : of a recurrent decoder.
    dt : s, of a bin.

    Returns
    -------
    list of LeakyRNN, GRU or LSTM
        An input of 0 is a bin in which no unit fires.
    """
    import torch

    from neurornn import models

    arrays, cell = machine.arrays, machine.settings["cell"]
    n_networks, n_output, n_hidden = arrays["out_weight"].shape
    found = []
    for k in range(n_networks):
        inward, across = (
            np.asarray(arrays[name][k]) for name in ("input_weight", "hidden_weight")
        )
        n_input = inward.shape[0]
        made: Any
        values: dict[str, Any]
        if cell == "leaky":
            s = machine.settings
            alpha = np.asarray(arrays["alpha"][k], dtype=float)
            step = dt / s["substeps"]
            made = models.LeakyRNN(
                n_input, n_hidden, n_output, dt=dt, tau=-step / np.log1p(-alpha),
                nonlinearity=s["nonlinearity"], form="current" if s["current"] else "rate",
                substeps=s["substeps"], tau_bounds=(1e-9, 1e9),
            )  # fmt: skip
            values = {
                "input_weight": inward[:, :n_hidden].T,
                "recurrent_weight": across[:, :n_hidden].T,
                "bias": arrays["bias"][k][:n_hidden],
            }
        else:
            n_gates = 3 if cell == "gru" else 4
            made = (models.GRU if cell == "gru" else models.LSTM)(
                n_input, n_hidden, n_output, dt=dt
            )
            values = {
                "layers.0.weight_ih_l0": from_gate_blocks(inward, n_gates, n_hidden),
                "layers.0.weight_hh_l0": from_gate_blocks(across, n_gates, n_hidden),
            }
            biases = ["input_bias", "hidden_bias"] if cell == "gru" else ["bias"]
            for to, name in zip(("bias_ih_l0", "bias_hh_l0"), [*biases, None], strict=False):
                flat = np.zeros(n_gates * n_hidden)
                if name is not None:
                    flat = from_gate_blocks(np.asarray(arrays[name][k]), n_gates, n_hidden)
                values[f"layers.0.{to}"] = flat
        values |= {"output_weight": arrays["out_weight"][k], "output_bias": arrays["out_bias"][k]}
        weights = made.state_dict()
        weights |= {n: torch.as_tensor(np.ascontiguousarray(v)).float() for n, v in values.items()}
        made.load_state_dict(weights)
        found.append(made.eval())
    return found
