"""What an EDMD takes and tells: states with their delays, eigenvalues in order, the map kept."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.errors import DataError
from neurornn.data.samples import Samples, history
from neurornn.koopman.lifted import Lifted

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


def labels_of(samples: Samples, delays: int) -> list[str]:
    """Names of the variables of a state, the newest frame first."""
    names = [str(u) for u in samples.unit]
    if not samples.units_named:
        names = [f"x{k}" for k in range(samples.values.shape[1])]
    return [n if d == 0 else f"{n}[-{d}]" for d in range(delays) for n in names]


def parts_of(
    samples: Samples, driven: Samples | None, delays: int
) -> tuple[list[Array], list[Array] | None]:
    """States of every trajectory, the newest frame first, and its inputs."""
    parts, fed = [], []
    n = samples.values.shape[1]
    for stretch in samples.stretches:
        x = np.asarray(samples.values[stretch], dtype=np.float64)
        if samples.mask is not None:
            x = np.where(samples.mask[stretch][:, None], x, np.nan)
        if len(x) < delays + 1:
            continue
        laid = history(x, delays)[delays - 1 :]
        parts.append(laid.reshape(len(laid), delays, n)[:, ::-1].reshape(len(laid), -1))
        if driven is not None:
            fed.append(np.asarray(driven.values[stretch], dtype=np.float64)[delays - 1 :])
    if not parts:
        raise DataError(
            f"No trajectory has {delays + 1} frames",
            f"Trajectories longer than n_delays = {delays} were needed",
            "Pass fewer n_delays, or record for longer",
        )
    return parts, fed if driven is not None else None


def sorted_map(transition: Array) -> tuple[Complex, Complex]:
    """Eigenvalues of a step and their functions' weights (term, eigenvalue), the slowest first."""
    values, vectors = np.linalg.eig(transition)
    order = np.lexsort((-values.imag, -np.round(np.abs(values), 12)))
    return values[order].astype(complex), vectors[:, order].astype(complex)


def shown_modes(values: Complex) -> NDArray[np.intp]:
    """Members that stand for their pair; without the constant, whose eigenvalue is 1."""
    keep = values.imag >= 0
    constant = int(np.argmin(np.abs(values - 1)))
    if abs(values[constant] - 1) < 1e-8:
        keep[constant] = False
    return np.flatnonzero(keep & (np.abs(values) > 0))


def rates_of_steps(values: Complex, dt: float) -> Complex:
    """Eigenvalues of a step as rates, 1/s."""
    with np.errstate(divide="ignore"):
        size = np.log(np.maximum(np.abs(values), 1e-300))
    return np.asarray((size + 1j * np.angle(values)) / dt, dtype=np.complex128)


def told_modes(rates: Complex) -> dict[str, Array]:
    """Time constants (s; NaN where a mode grows), frequencies (Hz) and rates (1/s)."""
    with np.errstate(divide="ignore"):
        tau = np.where(rates.real < 0, -1 / np.minimum(rates.real, -1e-300), np.nan)
    return {"time_constant": tau, "frequency": rates.imag / (2 * np.pi), "rate": rates.real}


def matched_rates(transition: Array, rates: Complex, dt: float) -> Complex:
    """Eigenvalues of a drawn map, each the nearest that is left to one of the fit."""
    found = list(rates_of_steps(sorted_map(transition)[0], dt))
    out = np.full(len(rates), np.nan + 0j)
    for k, rate in enumerate(rates):
        if not found:
            break
        best = int(np.argmin(np.abs(np.array(found) - rate)))
        out[k] = found.pop(best)
    return out


def map_table(found: Lifted, names: list[str], labels: list[str]) -> xr.Dataset:
    """Lay the map out for a file."""
    variables: dict[str, Any] = {
        "transition": (("term", "term_"), found.transition),
        "readout": (("term", "unit"), found.readout[:, : len(labels)]),
    }
    if found.input_weight is not None:
        variables["input_weight"] = (("input", "term_"), found.input_weight)
    return xr.Dataset(variables, coords={"term": names, "term_": names, "unit": labels})
