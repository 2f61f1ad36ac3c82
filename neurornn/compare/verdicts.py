"""What a league table says, in words: who is best, and whether that is more than noise."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from neurornn._core.units import format_number, format_quantity

#: Rows of linear models of the states, without their number; an EDMD is linear in functions.
LINEAR = ("linear", "ridge", "modes", "Modes", "LinearStateSpace", "LinearHistory")
#: Rows of models that know the present alone.
MEMORYLESS = ("memoryless", "Memoryless", "MemorylessMLP")
#: The training mean.
MEAN = "mean"


def verdict(table: xr.Dataset, settings: Mapping[str, Any]) -> str:
    """Say who wins, one line for each horizon.

    Parameters
    ----------
    table : of a league: ``r2``, ``r2_behind_best``, each with ``_ci``, over model and horizon;
        of counts also ``bits_per_spike`` and ``bits_behind_best``, which then decide.
    settings : of it; ``dt`` and ``time_unit`` say what a horizon is.
    """
    return "\n".join(
        f"At {horizon_told(int(h), settings)}: {_at(table.isel(horizon=j))}"
        for j, h in enumerate(table["horizon"].values)
    )


def horizon_told(frames: int, settings: Mapping[str, Any]) -> str:
    """Say a horizon in frames and, where the clock is one of time, in its unit.

    Examples
    --------
    >>> horizon_told(10, {"dt": 0.05, "time_unit": "s"})
    'horizon 10 (0.5 s)'
    """
    unit = str(settings.get("time_unit", "steps"))
    if unit == "steps":
        return f"horizon {frames}"
    return f"horizon {frames} ({frames * float(settings['dt']):.4g} {unit})"


def bits_told(floors: Mapping[str, Any]) -> list[str]:
    """Say what bits per spike are, and what stands in for an expected count of 0 or less.

    Parameters
    ----------
    floors : model -> shares of the training mean, (seed, horizon); None where it does not reach.

    Examples
    --------
    >>> bits_told({"ridge": [[0.1, 0.3]], "GRU": [[0.0, 0.0]]})[1].split(": ")[1]
    'ridge 0.1 to 0.3, GRU 0'
    """
    found = ["bits per spike: Poisson log-likelihood of expected counts above a constant rate"]
    parts = []
    for name, shares in floors.items():
        known = [f for seed in shares for f in seed if f is not None]
        if not known:
            continue
        low, high = min(known), max(known)
        parts.append(f"{name} {low:g}" + (f" to {high:g}" if high > low else ""))
    if parts:
        found.append(
            "least expected count, chosen on the validation part as a share of the unit's "
            f"training mean (0 is 1e-9 of a spike): {', '.join(parts)}"
        )
    return found


class _Score(NamedTuple):
    """A score that decides, and how it is told."""

    name: str
    behind: str
    label: str
    told: str  # with a place for the number
    null: str


_R2 = _Score("r2", "r2_behind_best", "R2", "R2 {}", "the training mean")
_BITS = _Score(
    "bits_per_spike", "bits_behind_best", "bits per spike", "{} bits per spike", "a constant rate"
)


def _at(table: xr.Dataset) -> str:
    """From the table at one horizon."""
    if "bits_per_spike" not in table or not np.isfinite(table["bits_per_spike"].values).any():
        return _decided(table, _R2)
    said = _decided(table, _BITS)
    by_r2, by_bits = (_leader(table, score) for score in (_R2, _BITS))
    if by_r2 is None or by_bits is None or by_r2 in (by_bits, MEAN):
        return said
    if not _pair(table, "r2_behind_best_ci", by_bits)[0] > 0:
        # Its lead in R2 is noise.
        return said
    low, high = _pair(table, "r2_ci", by_r2)
    r2 = format_quantity(float(table["r2"].sel(model=by_r2)), "1", low, high)
    return f"{said[:-1]}; in R2 {by_r2} leads by more than noise, with {r2}."


def _leader(table: xr.Dataset, score: _Score) -> str | None:
    """The model with the highest score, the first of equals."""
    values = table[score.name].values
    if not np.isfinite(values).any():
        return None
    return str(table["model"].values[int(np.nanargmax(values))])


def _decided(table: xr.Dataset, score: _Score) -> str:
    """Who is best by one score."""
    values = table[score.name].values.tolist()
    all_ = dict(zip(map(str, table["model"].values), values, strict=True))
    known = {n: v for n, v in all_.items() if np.isfinite(v)}
    if not known:
        return "nothing was scored."
    # Of equals, the first; the mean wins only where nobody is level with it.
    order = sorted(known, key=lambda n: (-known[n], n == MEAN))
    best = order[0]
    low, high = _pair(table, f"{score.name}_ci", best)
    if best == MEAN or low <= 0:
        number = score.told.format(format_number(known[best]))
        lead = "" if best == MEAN else f" ({best} leads with {number})"
        return f"no model is better than {score.null} beyond noise{lead}."
    plain = format_quantity(known[best], "1", low, high)
    number = score.told.format(plain)
    others = [n for n in order[1:] if n != MEAN]
    if np.isnan(low):
        return (
            f"{best} has the highest {score.label}, {plain}; too few test blocks to say whether "
            "its lead is noise."
        )
    if not others:
        return f"{best} is best, {number}; no other model took part."
    kinds = ((LINEAR, "best linear"), (MEMORYLESS, "memoryless"))
    also = "".join(
        f" and {what}" for names, what in kinds if _kind(others[0]) in names and what != others[0]
    )
    told = [_against(table, score, best, others[0], f"the next{also} model")]
    for names, what in kinds:
        kin = [n for n in others if _kind(n) in names]
        # Told already, or nothing to be told from.
        if _kind(best) in names or (kin and kin[0] == others[0]):
            continue
        if kin:
            told.append(_against(table, score, best, kin[0], f"the {what} model"))
        elif names is LINEAR:
            told.append("no linear model took part")
    return f"{best} is best, {number}; " + "; ".join(told) + "."


def _kind(name: str) -> str:
    """The name without the number of a second of its kind."""
    head, _, number = name.rpartition(" ")
    return head if number.isdigit() else name


def _pair(table: xr.Dataset, name: str, model: str) -> tuple[float, float]:
    low, high = table[name].sel(model=model).values
    return float(low), float(high)


def _against(table: xr.Dataset, score: _Score, best: str, other: str, what: str) -> str:
    """Say how far another is behind, and whether that is noise."""
    gap = float(table[score.name].sel(model=best) - table[score.name].sel(model=other))
    low = high = np.nan
    if score.behind in table:
        low, high = _pair(table, f"{score.behind}_ci", other)
    # Its name says already what it is.
    role = other if what == f"the {other} model" else f"{what}, {other},"
    if np.isnan(low):
        return f"its lead of {format_number(gap)} over {role} has no interval"
    said = format_quantity(gap, "1", low, high)
    if low <= 0 <= high:
        return f"its lead of {said} over {role} is noise"
    return f"its lead of {said} over {role} is more than noise"
