"""Fixed points as they are told: a table, a report, a methods sentence."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.confidence import to_dataset
from neurornn._core.quantities import OF_DATA, Quantity
from neurornn._core.report import Table
from neurornn._core.status import Status, remedies_of
from neurornn._core.units import counted, format_number
from neurornn.dynamics.maps import StateMap
from neurornn.dynamics.search import Found
from neurornn.io.shell import TableResult

Array = NDArray[np.float64]

#: Step map and equation are said to differ where their time constants do by this share.
DIFFER = 0.05
_COMPLETENESS = {
    "proved": "no point is missing",
    "consistent": "nothing speaks against the set being whole, which is no proof",
    "incomplete": "points are missing",
    "unknown": "it cannot be told whether points are missing",
}
_NO_INTERVAL = "a property of these weights; their own uncertainty is not carried over"


class FixedPoints(TableResult):
    """States that a network leaves where they are; made by `find_fixed_points`.

    Attributes
    ----------
    parameters : Dataset over ``point``, ``hidden`` and ``mode``
        ``state (point, hidden)``; ``eigenvalue_real`` and ``eigenvalue_imag (point, mode)`` of the
        step map, the leading mode first; ``time_constant (point, mode)``, how long the mode takes
        to fall by a factor e, negative where it grows, and ``frequency``; ``n_unstable (point)``,
        ``index``, ``q``, half the squared step ``|F(h) - h|^2 / 2``; ``certified`` and
        ``isolation_radius``, within which there is no other point; ``ode_time_constant``, of the
        differential equation, where the map is the step of one; ``status (point)``.
    settings : how it was made; ``completeness`` with ``reason``.
    """

    _papers = ("sussillo_2013", "kantorovich_1948")
    _packages = ("numpy", "scipy")
    _quantities = (
        Quantity(
            name="time_constant", units=OF_DATA, dims=("point", "mode"), reason=_NO_INTERVAL,
            long_name="time constant of the mode", method="-dt / log|eigenvalue| of the step map",
        ),
        Quantity(
            name="frequency", units=OF_DATA, dims=("point", "mode"), reason=_NO_INTERVAL,
            long_name="frequency of the mode", method="angle of the eigenvalue / (2 pi dt)",
        ),
    )  # fmt: skip

    @property
    def states(self) -> xr.DataArray:
        """The points, (point, hidden)."""
        return self.parameters["state"]

    @property
    def is_stable(self) -> xr.DataArray:
        """Whether every mode of a point decays, (point,)."""
        return (self.parameters["n_unstable"] == 0).rename("is_stable")

    @property
    def eigenvalues(self) -> xr.DataArray:
        """Eigenvalues of the Jacobian of the step map, (point, mode), complex."""
        p = self.parameters
        return (p["eigenvalue_real"] + 1j * p["eigenvalue_imag"]).rename("eigenvalue")

    @property
    def timescales(self) -> xr.Dataset:
        """Time constant and frequency of every mode of every point."""
        names = ["time_constant", "frequency", "ode_time_constant"]
        return self.parameters[[n for n in names if n in self.parameters]]

    @property
    def certificates(self) -> xr.Dataset:
        """Whether each point was shown to exist and to be alone, and within which radius."""
        return self.parameters[["certified", "isolation_radius", "q"]]

    @property
    def completeness(self) -> str:
        """``"proved"``, ``"consistent"``, ``"incomplete"`` or ``"unknown"``."""
        return str(self.settings["completeness"])

    def _report_table(self) -> Table:
        t, s = self.parameters, self.settings
        unit, per = s["time_unit"], frequency_unit(s["time_unit"])
        rows = []
        for k in range(t.sizes["point"]):
            n = int(t["n_unstable"][k])
            kind = "stable" if n == 0 else f"saddle, {n} unstable"
            kind = "unstable" if n == t.sizes["mode"] else kind
            slow, turning = float(t["time_constant"][k, 0]), float(t["frequency"][k, 0])
            shown = "grows" if slow < 0 else "decays"
            shown = f"{shown} with {_told(abs(slow), unit)}"
            ends = np.sort(np.abs(t["time_constant_ci"].values[k, 0]))
            if not np.isnan(ends).any():
                shown += f" [{', '.join(format_number(float(e)) for e in ends)}]"
            if float(t["eigenvalue_real"][k, 0]) < 0 and t["eigenvalue_imag"][k, 0] == 0:
                shown += ", turning sign in every step"
            elif turning > 0:
                shown += f", {format_number(turning)} {per}"
            proof = "no"
            if bool(t["certified"][k]):
                proof = f"alone within {format_number(float(t['isolation_radius'][k]), 2)}"
            rows.append([str(k), kind, shown, proof, str(t["status"].values[k])])
        n_stable = int(self.is_stable.sum())
        head = [
            f"{counted(t.sizes['point'], 'point')}, {n_stable} stable, of {s['model']} "
            f"({t.sizes['hidden']} states; a step is {_told(s['dt'], unit)})",
            f"completeness: {self.completeness} ({_COMPLETENESS[self.completeness]}); "
            f"{s['reason']}",
        ]
        told = [f"{code}: {text}" for code, text in remedies_of(t["status"]).items()]
        missing = s.get("no_intervals", _NO_INTERVAL)
        notes = [f"no interval of time_constant, frequency: {missing}"] if missing else []
        if "intervals" in s:
            level = 100 * t["time_constant_ci"].attrs["ci_prob"]
            kind = s.get("intervals_are", "quantiles over")
            notes.append(f"{level:g} % intervals: {kind} {s['intervals']}.")
        if t.sizes["mode"] < t.sizes["hidden"]:
            notes.append(
                f"Of {t.sizes['hidden']} modes the {t.sizes['mode']} leading ones were formed."
            )
        if s["faster_than_clock"]:
            notes.append(
                f"{s['faster_than_clock']} modes turn sign in every step: they are faster than "
                "the clock resolves."
            )
        if s["differ"]:
            notes.append(
                f"Step map and differential equation differ by more than {100 * DIFFER:g} % in "
                f"the leading mode of {s['differ']} points: it depends on dt. See "
                "ode_time_constant."
            )
        return Table(
            title="Fixed points",
            columns=["point", "kind", "leading mode", "certificate", "status"],
            rows=rows,
            head=[*head, *told],
            notes=notes,
        )

    def __repr__(self) -> str:
        return (
            f"FixedPoints({self.parameters.sizes['point']} points, {int(self.is_stable.sum())} "
            f"stable, {self.completeness})"
        )

    def _methods_sentence(self) -> str:
        s = self.settings
        how = f"damped Newton steps in double precision from {s['n_starts']} starts"
        if not s["n_starts"]:
            how = "exact enumeration of the linear pieces of the network"
        n, n_certified = self.parameters.sizes["point"], int(self.parameters["certified"].sum())
        return (
            f"Fixed points of the network were found by {how}, {n_certified} of {n} certified by "
            "the Newton-Kantorovich theorem, and read by the eigenvalues of their Jacobians; the "
            f"set is {s['completeness']} ({s['reason']})"
            + (
                f"; intervals are {s.get('intervals_are', 'quantiles over')} {s['intervals']}"
                if "intervals" in s
                else ""
            )
        )


def told_points(
    state_map: StateMap,
    cell: Any,
    found: Found,
    completeness: str,
    reason: str,
    n_starts: int,
) -> FixedPoints:
    """Form the table of points that were found, which may be in fewer numbers than states have.

    Parameters
    ----------
    state_map : the map that is reported on.
    cell : in whose numbers the points were found.
    found : the points.
    completeness, reason : what is said of those missed.
    n_starts : starts of the search; 0 where there was none.
    """
    dt, unit, n_units = state_map.dt, state_map.time_unit, state_map.cell.n_state
    states = np.asarray(cell.lift(found.states)).reshape(-1, n_units)
    q = found.q
    if cell is not state_map.cell:
        q = 0.5 * np.sum((state_map.cell.step(states) - states) ** 2, axis=1)
    values = cell.eigenvalues(found.states) if len(states) else np.zeros((0, n_units))
    size = np.abs(values)
    # Stable points first, the leading mode of each first.
    order = np.argsort(-size, axis=1, kind="stable")
    values = np.take_along_axis(values, order, axis=1).astype(complex)
    n_unstable = (np.abs(values) > 1).sum(axis=1)
    rank = np.lexsort((*states.T[::-1], n_unstable)) if len(values) else np.zeros(0, int)
    values, n_unstable = values[rank], n_unstable[rank]
    with np.errstate(divide="ignore"):
        tau = -dt / np.log(np.abs(values))
    frequency = np.abs(np.angle(values)) / (2 * np.pi * dt)
    status = np.where(found.degenerate[rank], str(Status.DEGENERATE), str(Status.OK))
    status[np.isnan(values).any(axis=1)] = str(Status.FAILED)
    told = {"time_constant": (tau, unit), "frequency": (frequency, frequency_unit(unit))}
    table = to_dataset(
        [q.of(told[q.name][0], units=told[q.name][1]) for q in FixedPoints._quantities],
        confidence_level=0.95,
        coords={"point": np.arange(len(values)), "mode": np.arange(values.shape[1]),
                "hidden": np.arange(n_units)},
        status=status,
        status_dims=("point",),
    )  # fmt: skip
    beside: dict[str, Any] = {
        "state": (("point", "hidden"), states[rank], "state of the network"),
        "eigenvalue_real": (("point", "mode"), values.real, "real part of the eigenvalue"),
        "eigenvalue_imag": (("point", "mode"), values.imag, "imaginary part of the eigenvalue"),
        "n_unstable": ("point", n_unstable, "modes that grow"),
        "index": ("point", found.index[rank], "sign of det(1 - J)"),
        "q": ("point", q[rank], "half the squared step"),
        "certified": ("point", found.certified[rank], "shown to exist, and to be alone"),
        "isolation_radius": ("point", found.radius[rank] * cell.reach, "no other point within"),
    }
    table = table.assign(
        {n: (dims, v, {"units": "1", "long_name": told}) for n, (dims, v, told) in beside.items()}
    )
    differ = 0
    if state_map.tau is not None:
        ode = cell.flow_eigenvalues(found.states[rank], state_map.tau)
        slow = np.take_along_axis(-1 / ode.real, np.argsort(-ode.real, axis=1), axis=1)
        table["ode_time_constant"] = (
            ("point", "mode"), slow,
            {"units": unit, "long_name": "time constant of the differential equation"},
        )  # fmt: skip
        differ = int((np.abs(slow[:, :1] / tau[:, :1] - 1) > DIFFER).sum())
    settings = {
        "model": state_map.name, "dt": float(dt), "time_unit": unit,
        "inputs": state_map.inputs.tolist(), "n_starts": int(n_starts),
        "completeness": completeness, "reason": reason, "index_sum": int(found.index.sum()),
        "differ": differ,
        "faster_than_clock": int(((values.real < 0) & (values.imag == 0)).sum()),
    }  # fmt: skip
    return FixedPoints(table, settings)


def frequency_unit(unit: str) -> str:
    """Unit of a frequency where time has a unit."""
    return {"s": "Hz", "1": "1"}.get(unit, f"1/{unit}")


def _told(value: float, unit: str) -> str:
    if not np.isfinite(value) or value > 1e6:
        return "no end that can be told"
    return f"{format_number(value)} {'steps' if unit == '1' else unit}"
