"""Pictures of regimes: a network under training beside a discount and a solver, as one number."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurornn._core.checks import check_choice, check_number
from neurornn._core.errors import DataError, ShapeError
from neurornn.plot.style import DATA, EVENT, FIT, RANGES, new_axes

#: Coefficients of the stability function of a solver, in powers of z.
_SOLVERS = {"euler": (1.0, 1.0), "rk4": (1.0, 1.0, 1 / 2, 1 / 6, 1 / 24)}


def training_regimes(
    table: xr.Dataset,
    *,
    discount: float | None = None,
    solver: Mapping[str, complex] | None = None,
    axes: Any = None,
) -> Any:
    """Draw growth per step and memory horizon along training, beside what is alike elsewhere.

    Parameters
    ----------
    table : ``result.regimes`` of a fit with a `training.RegimeGuard`, over ``epoch``.
    discount : gamma of a discounted return, between 0 and 1; None for none.
    solver : ``"euler"`` or ``"rk4"`` -> h times the leading eigenvalue of the equation that is
        solved with steps of h; None for none.
    axes : two matplotlib axes, of the factor and of the horizon; by default new ones.

    Returns
    -------
    the two axes

    Raises
    ------
    ShapeError, DataError, NameUnknownError
        Another table, a discount that is none, a solver that is not known.

    Notes
    -----
    Above: the factor by which a small change grows in one step. That of a network is
    ``exp(exponent * dt)``; that of a solver ``|R(z)|``, with ``R(z) = 1 + z`` for Euler's method
    and ``1 + z + z^2/2 + z^3/6 + z^4/24`` for the classical method of Runge and Kutta; that of a
    reward one step later is gamma. Above 1 all of them run away. Below: the horizon in time, that
    of gradients, and ``dt / (1 - factor)`` of the others, the mean lag of what counts where each
    step counts by the factor less. Filled circles: a fit that was slowed; a cross: stopped.

    References
    ----------
    Hairer & Wanner 1996, Solving Ordinary Differential Equations II, chapter IV.2; Sutton & Barto
    2018, Reinforcement Learning, chapter 3.3.
    """
    wanted = {"exponent", "horizon", "regime", "action"}
    fits = isinstance(table, xr.Dataset) and wanted <= set(table) and "dt" in table.attrs
    if not fits or not table.sizes["epoch"]:
        raise ShapeError(
            f"The table is a {type(table).__name__} without looks at exponent and horizon",
            "Regimes along training were needed",
            "Pass result.regimes of nr.fit(..., callback=nr.training.RegimeGuard())",
        )
    dt, unit = float(table.attrs["dt"]), str(table.attrs["time_unit"])
    others: dict[str, float] = {}
    if discount is not None:
        others[f"discount {discount:g}"] = check_number(discount, "discount", above=0.0, below=1.0)
    for name, z in (solver or {}).items():
        others[f"{name}, h\u03bb = {_shown(z)}"] = amplification(name, z)
    if axes is None:
        import matplotlib.pyplot as plt

        _, axes = plt.subplots(2, 1, figsize=(5.2, 4.8), sharex=True, layout="constrained")
    upper, lower = (new_axes(ax, (5.2, 2.4)) for ax in axes)
    epoch = table["epoch"].values
    factor = np.exp(table["exponent"].values * dt)
    upper.fill_between(
        epoch, *np.exp(table["exponent_ci"].values.T * dt), color=FIT, alpha=0.2, lw=0
    )
    upper.plot(epoch, factor, color=FIT, marker=".", ms=3, label="network")
    upper.axhline(1.0, color=DATA, lw=1)
    bound = float(table.attrs["exponent_bound"])
    upper.axhline(np.exp(bound * dt), color=EVENT, lw=1, ls=":", label="bound")
    lower.plot(epoch, table["horizon"].values, color=FIT, marker=".", ms=3, label="gradients")
    reach = float(table.attrs["reach"])
    if np.isfinite(reach):
        lower.axhline(reach, color=EVENT, lw=1, ls=":", label="asked for by the task")
    for k, (name, value) in enumerate(others.items()):
        colour = RANGES[1 + k % (len(RANGES) - 1)]
        upper.axhline(value, color=colour, lw=1.2, ls="--", label=name)
        if value < 1:
            lower.axhline(discount_horizon(value) * dt, color=colour, lw=1.2, ls="--", label=name)
    for action, marker in (("slowed", "o"), ("stopped", "X")):
        at = table["action"].values == action
        upper.plot(
            epoch[at], factor[at], marker, color=EVENT, ms=6, label=action if at.any() else None
        )
    upper.set_ylabel("growth per step")
    lower.set_ylabel(f"horizon ({unit})")
    lower.set_yscale("log")
    lower.set_xlabel("epoch")
    for ax in (upper, lower):
        ax.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return axes


def discount_horizon(discount: float) -> float:
    """Return how many steps ahead a discounted return looks on average, 1 / (1 - gamma).

    Parameters
    ----------
    discount : gamma, from 0 on and below 1.

    Raises
    ------
    DataError
        Another number.
    """
    return 1 / (1 - check_number(discount, "discount", least=0.0, below=1.0))


def amplification(solver: str, z: complex) -> float:
    """Return the factor, the modulus of R(z), by which one step of a solver multiplies a mode.

    Parameters
    ----------
    solver : ``"euler"`` or ``"rk4"``.
    z : step times eigenvalue, without unit; may be complex.

    Raises
    ------
    NameUnknownError, DataError
        A solver that is not known, a number that is not finite.
    """
    coefficients = _SOLVERS[check_choice(solver, "solver", _SOLVERS)]
    if not np.isfinite(z):
        raise DataError(f"z is {z}", "A finite number was needed", "Pass step times eigenvalue")
    return float(abs(sum(c * complex(z) ** k for k, c in enumerate(coefficients))))


def _shown(z: complex) -> str:
    z = complex(z)
    return f"{z.real:g}" if z.imag == 0 else f"{z.real:g}{z.imag:+g}i"
