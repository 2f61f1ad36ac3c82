"""Cycles of step maps of flows: periods and Floquet multipliers against a fine integration.

Fixed before the method was tuned. *van der Pol*, mu .5, 1 and 2, as the step map of the classical
Runge-Kutta method of order 4 with dt .01 and .05, from (2, 0); the reference is scipy's DOP853 on
the variational equation, rtol 1e-12, from one crossing of the plane ``y = 0`` to the next. *Sine
generator*: LeakyRNN of 64 units, tau .05 s, dt .01 s, rng 0, trained by ``nr.fit`` with Adam (rate
.003, 400 epochs, clip_norm 1, no intervals) on 128 trials of 2 s of
``nr.simulate.sine_generator(n_levels=11, frequency=(1, 5), rng=0)``; levels 1, 6 and 11 of the
input, from the state after 20 s of the model. The frequency is held against the one that was asked
for, and period and multipliers against DOP853 on the differential equation of the network, which
its own step map, of dt = tau / 5, does not follow exactly; and against the same network with a dt
ten times as fine.
"""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

import neurornn as nr
from neurornn.dynamics.cycles import cycle_through
from neurornn.dynamics.maps import StateMap, as_map

COLUMNS = [
    "period, s", "reference, s", "off", "leading multipliers", "reference ", "off ", "residual",
]  # fmt: skip
LEVELS = (1, 6, 11)


def van_der_pol(mu: float, h: np.ndarray) -> np.ndarray:
    """Speed of states (n, 2)."""
    x, y = h[:, 0], h[:, 1]
    return np.stack([y, mu * (1 - x**2) * y - x], axis=1)


def runge_kutta(speed: Callable[[Any], Any], dt: float) -> Callable[[Any], Any]:
    """A step of the method of order 4."""

    def step(h: Any) -> Any:
        h = np.asarray(h)
        a = speed(h)
        b = speed(h + dt / 2 * a)
        c = speed(h + dt / 2 * b)
        return h + dt / 6 * (a + 2 * b + 2 * c + speed(h + dt * c))

    return step


def integrated(
    speed: Callable[[np.ndarray], np.ndarray],
    slope: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    turn: float,
) -> tuple[float, np.ndarray]:
    """Period and multipliers by the variational equation, from a state near the cycle.

    Parameters
    ----------
    speed, slope : of a state (state,): its speed, and the Jacobian of this.
    start : (state,).
    turn : s, about a period.
    """
    n = len(start)
    tight = {"rtol": 1e-12, "atol": 1e-13, "method": "DOP853"}
    here = solve_ivp(lambda t, h: speed(h), (0, 30 * turn), start, **tight).y[:, -1]
    normal = speed(here)

    def crossing(t: float, z: np.ndarray) -> float:
        return float(normal @ (z[:n] - here))

    crossing.direction = 1.0  # type: ignore[attr-defined]

    def both(t: float, z: np.ndarray) -> np.ndarray:
        return np.append(speed(z[:n]), (slope(z[:n]) @ z[n:].reshape(n, n)).ravel())

    begin = np.append(here, np.eye(n).ravel())
    end = solve_ivp(both, (0, 1.5 * turn), begin, events=crossing, **tight)
    # The start lies in the plane itself; a curve may cross it elsewhere too.
    at = np.argmin([
        np.linalg.norm(z[:n] - here) if t > 0.5 * turn else np.inf
        for t, z in zip(end.t_events[0], end.y_events[0], strict=True)
    ])  # fmt: skip
    values = np.linalg.eigvals(end.y_events[0][at][n:].reshape(n, n))
    return float(end.t_events[0][at]), values[np.argsort(-np.abs(values))]


def _row(name: str, cycle: Any, dt: float, period: float, wanted: np.ndarray | None) -> list[str]:
    if cycle is None:
        return [name, "none found", f"{period:.8f}", *[""] * 5]
    found = cycle.period * dt
    told = [name, f"{found:.8f}", f"{period:.8f}", f"{abs(found / period - 1):.1e}"]
    shown = np.round(cycle.multipliers[:3], 8)
    told.append(", ".join(f"{v:.4g}" for v in np.real_if_close(shown)))
    if wanted is None:
        return [*told, "", "", f"{cycle.residual:.0e}"]
    n = min(3, len(wanted))
    off = np.abs(np.abs(cycle.multipliers[:n]) - np.abs(wanted[:n])).max()
    there = ", ".join(f"{v:.4g}" for v in np.real_if_close(np.round(wanted[:n], 8)))
    return [*told, there, f"{off:.1e}", f"{cycle.residual:.0e}"]


def generator() -> Any:
    """A network that has learned to make sines."""
    model = nr.models.LeakyRNN(1, 64, 1, dt=0.01, tau=0.05, rng=0)
    task = nr.simulate.sine_generator(128, 2.0, 0.01, frequency=(1, 5), n_levels=11, rng=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nr.fit(
            model, task, optimizer="adam", learning_rate=0.003, max_epochs=400, clip_norm=1.0,
            rng=0, intervals=False, refine=False,
        ).model  # fmt: skip


def settled(state_map: StateMap, seconds: float) -> np.ndarray:
    """The state after so long a time from 0, (state,)."""
    h = np.zeros((1, state_map.cell.n_state))
    for _ in range(round(seconds / state_map.dt)):
        h = state_map.cell.step(h)
    return np.asarray(h[0])


def long_run(cycle: Any, state_map: StateMap, n_steps: int = 50_000) -> float:
    """Mean time between crossings of a plane, by straight lines between steps, s."""
    h = cycle.states[:1]
    here, normal = cycle.states[0], cycle.states[1] - cycle.states[0]
    times, last = [], np.inf
    for k in range(n_steps):
        h = state_map.cell.step(h)
        along = float(normal @ (h[0] - here))
        near = np.linalg.norm(h[0] - here) < 0.5 * np.linalg.norm(np.ptp(cycle.states, axis=0))
        if last < 0 <= along and near:
            times.append(k - along / (along - last))
        last = along
    return (times[-1] - times[0]) / (len(times) - 1) * state_map.dt


def finer(state_map: StateMap, share: int) -> StateMap:
    """The same leaky network with a shorter step."""
    from neurornn.dynamics.cells import Leaky

    cell, dt = state_map.cell, state_map.dt / share
    alpha = -np.expm1(-dt / state_map.tau)
    own = Leaky(cell.weights, cell.drive, alpha, cell.nonlinearity, cell.form)
    return state_map._replace(cell=own, dt=dt)


def rows() -> Iterator[list[str]]:
    """One row a system."""
    for mu in (0.5, 1.0, 2.0):

        def slope(h: np.ndarray, mu: float = mu) -> np.ndarray:
            return np.array([[0, 1], [-2 * mu * h[0] * h[1] - 1, mu * (1 - h[0] ** 2)]])

        period, wanted = integrated(
            lambda h, mu=mu: van_der_pol(mu, h[None])[0], slope, np.array([2.0, 0.0]), 7.0
        )
        for dt in (0.01, 0.05):
            step = runge_kutta(lambda h, mu=mu: van_der_pol(mu, h), dt)
            cycle = cycle_through(as_map(step, n_hidden=2, dt=dt), np.array([2.0, 0.0]))
            yield _row(f"van der Pol, mu {mu:g}, dt {dt:g}", cycle, dt, period, wanted)
    model = generator()
    for level in LEVELS:
        state_map = as_map(model, [level / 11 + 0.25])
        hertz = 1 + 4 * (level - 1) / 10
        start = settled(state_map, 20.0)
        cycle = cycle_through(state_map, start)
        name = f"sine generator, {hertz:g} Hz"
        yield _row(f"{name}: asked for", cycle, state_map.dt, 1 / hertz, None)
        if cycle is None:
            continue
        fine = finer(state_map, 10)
        yield _row(
            f"{name}: mean of its own run", cycle, state_map.dt, long_run(cycle, state_map), None
        )
        fine_cycle = cycle_through(fine, settled(fine, 20.0))
        if fine_cycle is None:
            yield [f"{name}: a tenth of the step", "", "no cycle there", *[""] * 5]
            continue
        yield _row(
            f"{name}: a tenth of the step", cycle, state_map.dt, fine_cycle.period * fine.dt,
            fine_cycle.multipliers,
        )  # fmt: skip
        cell, tau = state_map.cell, state_map.tau

        def speed(h: np.ndarray, c: Any = cell, t: Any = tau) -> np.ndarray:
            return np.asarray((c.f.value(h @ c.weights.T + c.drive) - h) / t)

        stepped = as_map(runge_kutta(speed, 0.01), n_hidden=64, dt=0.01)
        around = cycle_through(stepped, fine_cycle.states[0])
        period, wanted = integrated(
            speed, lambda h, c=cell, t=tau: c.flow(h[None], t)[0], fine_cycle.states[0],
            fine_cycle.period * fine.dt,
        )  # fmt: skip
        yield _row(f"{name}: its equation, Runge-Kutta", around, 0.01, period, wanted)
