"""What a league table says, in words: who is best, and whether that is more than noise."""

from collections.abc import Mapping
from typing import Any

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
    table : of a league: ``r2``, ``r2_behind_best``, each with ``_ci``, over model and horizon.
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


def _at(table: xr.Dataset) -> str:
    """From the table at one horizon."""
    r2 = dict(zip(map(str, table["model"].values), table["r2"].values.tolist(), strict=True))
    known = {n: v for n, v in r2.items() if np.isfinite(v)}
    if not known:
        return "nothing was scored."
    # Of equals, the first; the mean wins only where nobody is level with it.
    order = sorted(known, key=lambda n: (-known[n], n == MEAN))
    best = order[0]
    low, high = _pair(table, "r2_ci", best)
    if best == MEAN or low <= 0:
        lead = "" if best == MEAN else f" ({best} leads with R2 {format_number(known[best])})"
        return f"no model is better than the training mean beyond noise{lead}."
    score = format_quantity(known[best], "1", low, high)
    others = [n for n in order[1:] if n != MEAN]
    if np.isnan(low):
        return (
            f"{best} has the highest R2, {score}; too few test blocks to say whether its lead is "
            "noise."
        )
    if not others:
        return f"{best} is best, R2 {score}; no other model took part."
    kinds = ((LINEAR, "best linear"), (MEMORYLESS, "memoryless"))
    also = "".join(
        f" and {what}" for names, what in kinds if _kind(others[0]) in names and what != others[0]
    )
    told = [_against(table, best, others[0], f"the next{also} model")]
    for names, what in kinds:
        kin = [n for n in others if _kind(n) in names]
        # Told already, or nothing to be told from.
        if _kind(best) in names or (kin and kin[0] == others[0]):
            continue
        if kin:
            told.append(_against(table, best, kin[0], f"the {what} model"))
        elif names is LINEAR:
            told.append("no linear model took part")
    return f"{best} is best, R2 {score}; " + "; ".join(told) + "."


def _kind(name: str) -> str:
    """The name without the number of a second of its kind."""
    head, _, number = name.rpartition(" ")
    return head if number.isdigit() else name


def _pair(table: xr.Dataset, name: str, model: str) -> tuple[float, float]:
    low, high = table[name].sel(model=model).values
    return float(low), float(high)


def _against(table: xr.Dataset, best: str, other: str, what: str) -> str:
    """Say how far another is behind, and whether that is noise."""
    gap = float(table["r2"].sel(model=best) - table["r2"].sel(model=other))
    low = high = np.nan
    if "r2_behind_best" in table:
        low, high = _pair(table, "r2_behind_best_ci", other)
    # Its name says already what it is.
    role = other if what == f"the {other} model" else f"{what}, {other},"
    if np.isnan(low):
        return f"its lead of {format_number(gap)} over {role} has no interval"
    said = format_quantity(gap, "1", low, high)
    if low <= 0 <= high:
        return f"its lead of {said} over {role} is noise"
    return f"its lead of {said} over {role} is more than noise"
