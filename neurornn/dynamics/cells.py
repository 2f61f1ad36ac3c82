"""One step of a network without torch, in float64: states, Jacobians, and how these can change.

A cell maps states (n, state) to states under a constant input. `jacobian` is exact. `curvature`
bounds the second derivative of every component near a state, from which a certificate of a fixed
point follows; it is None where no bound is known.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Array = NDArray[np.float64]

#: Largest first and second derivatives of what bends.
_TANH2 = 4 / (3 * np.sqrt(3))
_SIGMOID1, _SIGMOID2 = 0.25, 1 / (6 * np.sqrt(3))


class Function(NamedTuple):
    """A nonlinearity: value, first derivative (of the argument and the value), bounds.

    Attributes
    ----------
    value : of the argument.
    slope : derivative, of argument and value.
    bend : largest second derivative; infinite where it has a kink.
    lower, upper : bounds of the value.
    """

    value: Any
    slope: Any
    bend: float
    lower: float
    upper: float


FUNCTIONS = {
    "tanh": Function(np.tanh, lambda a, f: 1 - f * f, _TANH2, -1.0, 1.0),
    "sigmoid": Function(expit, lambda a, f: f * (1 - f), _SIGMOID2, 0.0, 1.0),
    "relu": Function(
        lambda a: np.maximum(a, 0.0), lambda a, f: (a > 0).astype(float), np.inf, 0.0, np.inf
    ),
    "softplus": Function(
        lambda a: np.logaddexp(0.0, a), lambda a, f: expit(a), _SIGMOID1, 0.0, np.inf
    ),
    "linear": Function(lambda a: a, lambda a, f: np.ones_like(a), 0.0, -np.inf, np.inf),
}


class Cell:
    """Base of the cells: the Newton step follows from the Jacobian."""

    n_state: int
    #: Of starts whose q is less no step is taken any more.
    finest = 1e-26
    #: How far states of the network are apart at least whose numbers here are 1 apart.
    reach = 1.0

    def lift(self, h: Array) -> Array:
        """States of the network, where the cell works with fewer numbers."""
        return h

    def smooth_within(self, h: Array) -> Array | None:
        """How far each state is from the next kink, (n,); None where there is none."""
        return None

    def inner(self, h: Array) -> Array:
        """The numbers that the cell works with, of states of the network."""
        return h

    def eigenvalues(self, h: Array) -> Array:
        """Eigenvalues of the step map of the network, (n, mode), in no order."""
        return np.asarray(np.linalg.eigvals(self.step_and_jacobian(h)[1]))

    def step_and_jacobian(self, h: Array) -> tuple[Array, Array]:
        """States after one step, and the derivative of each in the state before it."""
        raise NotImplementedError

    def newton(self, h: Array) -> tuple[Array, Array]:
        """How far a step moves states, and the Newton step to where it would not."""
        f, j = self.step_and_jacobian(h)
        index = np.arange(self.n_state)
        a = np.negative(j, out=j)
        a[:, index, index] += 1.0
        return f - h, solved(a, f - h)


def solved(a: Array, r: Array) -> Array:
    """Solve ``a x = r`` for each of many; nearly so where one is singular."""
    try:
        return np.asarray(np.linalg.solve(a, r[:, :, None])[:, :, 0])
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.solve(a + 1e-9 * np.eye(a.shape[1]), r[:, :, None])[:, :, 0])


class Leaky(Cell):
    """``h' = h + alpha (f(W h + u) - h)``, or in current form ``alpha (W f(h) + u - h)``.

    Parameters
    ----------
    weights : (hidden, hidden); or ``(out, into)``, both (hidden, rank), for ``out into'``.
    drive : (hidden,), what comes in from outside; or (n, hidden), for each of n states.
    alpha : (hidden,), share of the state that is replaced.
    nonlinearity : one of `FUNCTIONS`.
    form : ``"rate"`` or ``"current"``.
    substeps : steps of the equation in one step of the map.
    """

    def __init__(
        self,
        weights: Array | tuple[Array, Array],
        drive: Array,
        alpha: Array,
        nonlinearity: str,
        form: str = "rate",
        substeps: int = 1,
    ) -> None:
        self._given, self.drive, self.alpha = weights, drive, alpha
        self.factors = weights if isinstance(weights, tuple) else None
        self.f, self.form, self.substeps = FUNCTIONS[nonlinearity], form, substeps
        self.nonlinearity = nonlinearity
        self.n_state = drive.shape[-1]

    @cached_property
    def weights(self) -> Array:
        """The matrix, (hidden, hidden); formed when first asked for where factors came."""
        return self._given if self.factors is None else self.factors[0] @ self.factors[1].T

    @cached_property
    def norm(self) -> float:
        """Largest singular value of the weights."""
        if not self.n_state:
            return 0.0
        if self.factors is None:
            return float(np.linalg.norm(self._given, 2))
        out, into = (np.linalg.qr(x, mode="r") for x in self.factors)
        return float(np.linalg.norm(out @ into.T, 2))

    def _sent(self, f: Array) -> Array:
        """What units receive from others in these states, (n, hidden)."""
        if self.factors is None:
            return f @ self._given.T
        return (f @ self.factors[1]) @ self.factors[0].T

    @cached_property
    def box(self) -> tuple[Array, Array] | None:
        """Bounds (state,) that no state leaves; no fixed point lies outside. None where none."""
        lower, upper = self.f.lower, self._highest()
        if upper is None or not np.isfinite(lower) or not (self.alpha <= 1).all():
            return None
        if self.form == "rate":
            return np.full(self.n_state, lower), upper
        ends = self.weights * lower, self.weights * upper
        drive = np.atleast_2d(self.drive)
        return (
            np.minimum(*ends).sum(axis=1) + drive.min(axis=0),
            np.maximum(*ends).sum(axis=1) + drive.max(axis=0),
        )

    def _highest(self) -> Array | None:
        """Bounds (hidden,) of what units send; None where nothing holds them."""
        if np.isfinite(self.f.upper):
            return np.full(self.n_state, self.f.upper)
        offset = {"relu": 0.0, "softplus": np.log(2.0)}.get(self.nonlinearity)
        if offset is None:
            return None
        # f(a) <= max(a, 0) + offset, so that where excitation alone dies out nothing outgrows
        # h = W+ h + u+ + offset.
        excitation = np.maximum(self.weights, 0.0)
        if np.abs(np.linalg.eigvals(excitation)).max(initial=0.0) > 1 - 1e-6:
            return None
        most = np.linalg.solve(
            np.eye(self.n_state) - excitation,
            np.maximum(np.atleast_2d(self.drive).max(axis=0), 0.0) + offset,
        )
        return np.asarray(most * (1 + 1e-9) + 1e-9)

    def one(self, h: Array) -> tuple[Array, Array]:
        """A step of the equation, and the slopes of the units at their arguments."""
        if self.form == "rate":
            a = self._sent(h) + self.drive
            f = self.f.value(a)
            return h + self.alpha * (f - h), self.f.slope(a, f)
        f = self.f.value(h)
        return h + self.alpha * (self._sent(f) + self.drive - h), self.f.slope(h, f)

    def step(self, h: Array) -> Array:
        """States after one step of the map."""
        for _ in range(self.substeps):
            h, _ = self.one(h)
        return h

    def step_and_jacobian(self, h: Array) -> tuple[Array, Array]:
        """States after one step, and the derivative of each in the state before it."""
        whole: Any = None
        for _ in range(self.substeps):
            h, slope = self.one(h)
            if self.form == "rate":
                j = (self.alpha * slope)[:, :, None] * self.weights
            else:
                j = slope[:, None, :] * (self.alpha[:, None] * self.weights)
            index = np.arange(self.n_state)
            j[:, index, index] += 1 - self.alpha
            whole = j if whole is None else j @ whole
        return h, whole

    def smooth_within(self, h: Array) -> Array | None:
        """How far each state is from the next kink, (n,); None where there is none."""
        if self.nonlinearity != "relu":
            return None
        if self.form == "current":
            return np.asarray(np.abs(h).min(axis=1))
        a = np.abs(self._sent(h) + self.drive)
        return np.asarray((a / np.maximum(np.linalg.norm(self.weights, axis=1), 1e-300)).min(1))

    def curvature(self, h: Array, radius: float) -> Array | None:
        """Bound of the norm of the second derivative within a radius of each state, (n,)."""
        if self.substeps > 1:
            return None
        if self.nonlinearity == "relu":
            return np.zeros(len(h))
        size, norm = np.linalg.norm(self.weights, axis=1), self.norm
        if self.form == "rate":
            rows = np.sqrt(np.sum((self.alpha * self.f.bend * size**2) ** 2))
            bound = min(rows, float(np.max(self.alpha * size)) * self.f.bend * norm)
        else:
            bound = float(np.max(self.alpha)) * norm * self.f.bend
        return np.full(len(h), bound)

    def flow_eigenvalues(self, h: Array, tau: Array) -> Array:
        """Eigenvalues of the differential equation, (n, mode), in no order."""
        return np.asarray(np.linalg.eigvals(self.flow(h, tau)))

    def flow(self, h: Array, tau: Array) -> Array:
        """Jacobian of the differential equation, (n, hidden, hidden), per unit of tau."""
        if self.form == "rate":
            a = self._sent(h) + self.drive
            slope = self.f.slope(a, self.f.value(a))
            j = slope[:, :, None] * self.weights
        else:
            slope = self.f.slope(h, self.f.value(h))
            j = slope[:, None, :] * self.weights
        index = np.arange(self.n_state)
        j[:, index, index] -= 1.0
        return j / tau[:, None]

    def spread(self, rng: np.random.Generator, n: int) -> Array:
        """Starts all over the states that can be reached, where these are bounded."""
        if self.box is not None:
            return rng.uniform(*self.box, (n, self.n_state))
        scale = 1.0 + np.linalg.norm(self.weights, axis=1) + np.abs(self.drive)
        return rng.standard_normal((n, self.n_state)) * scale


class Gated(Cell):
    """Layers of torch's GRU, LSTM or plain units, one above the other.

    Parameters
    ----------
    kind : ``"gru"``, ``"lstm"``, ``"tanh"`` or ``"relu"``.
    layers : of each layer ``(weight_ih, weight_hh, bias_ih, bias_hh)`` as torch names them.
    inputs : (input,), what comes in at every step; or (n, input), for each of n states.
    """

    def __init__(
        self, kind: str, layers: Sequence[tuple[Array, Array, Array, Array]], inputs: Array
    ) -> None:
        self.kind, self.layers, self.inputs = kind, list(layers), inputs
        self.n_hidden = self.layers[0][1].shape[1]
        self.n_state = len(self.layers) * self.n_hidden * (2 if kind == "lstm" else 1)

    @property
    def box(self) -> tuple[Array, Array] | None:
        """Bounds (state,) that no state leaves; no fixed point lies outside. None where none."""
        if self.kind == "relu":
            return None
        most = [np.ones(self.n_hidden)] * len(self.layers)
        if self.kind == "lstm":
            x = np.abs(np.atleast_2d(self.inputs)).max(axis=0)
            for w_x, w_h, b_x, b_h in self.layers:
                own = slice(self.n_hidden, 2 * self.n_hidden)
                drive = np.abs(w_x[own]) @ x + np.abs(w_h[own]).sum(axis=1) + b_x[own] + b_h[own]
                # c = f c + i g with f at most this, and |i g| below 1.
                most.append(1.0 + np.exp(np.minimum(drive, 50.0)))
                x = np.ones(self.n_hidden)
        upper = np.concatenate(most)
        return -upper, upper

    def _blocks(self, s: Array) -> list[Array]:
        return np.split(s, self.n_state // self.n_hidden, axis=1)

    def step(self, s: Array) -> Array:
        """States after one step: hidden states of all layers, then the cells."""
        blocks, n = self._blocks(s), len(self.layers)
        x = np.atleast_2d(self.inputs)
        above, cells = [], []
        for k, layer in enumerate(self.layers):
            c = blocks[n + k] if self.kind == "lstm" else None
            x, c = _step(self.kind, layer, x, blocks[k], c)
            above.append(x)
            if c is not None:
                cells.append(c)
        return np.concatenate([*above, *cells], axis=1)

    def step_and_jacobian(self, s: Array) -> tuple[Array, Array]:
        """States after one step, and the derivative of each in the state before it."""
        blocks, n, size = self._blocks(s), len(self.layers), self.n_hidden
        jacobian = np.zeros((len(s), self.n_state, self.n_state))
        x = np.atleast_2d(self.inputs)
        below = None
        above, cells = [], []
        for k, layer in enumerate(self.layers):
            own = slice(k * size, (k + 1) * size)
            c = blocks[n + k] if self.kind == "lstm" else None
            new, new_c, parts = _derivatives(self.kind, layer, x, blocks[k], c)
            jacobian[:, own, own] = parts["hh"]
            if below is not None:
                jacobian[:, own] += parts["hx"] @ below
            if new_c is not None:
                cell = slice((n + k) * size, (n + k + 1) * size)
                jacobian[:, cell, own] = parts["ch"]
                index = np.arange(size)
                jacobian[:, k * size + index, (n + k) * size + index] += parts["hc"]
                jacobian[:, (n + k) * size + index, (n + k) * size + index] += parts["cc"]
                if below is not None:
                    jacobian[:, cell] += parts["cx"] @ below
                cells.append(new_c)
            below = jacobian[:, own]
            above.append(new)
            x = new
        return np.concatenate([*above, *cells], axis=1), jacobian

    def newton(self, s: Array) -> tuple[Array, Array]:
        """How far a step moves states, and the Newton step to where it would not.

        A cell of an LSTM acts on itself and on its own unit alone, so that the cells are taken out
        of the equations: half as many are left.
        """
        if self.kind != "lstm" or len(self.layers) > 1:
            return super().newton(s)
        size = self.n_hidden
        h, c = s[:, :size], s[:, size:]
        x = np.atleast_2d(self.inputs)
        new, later, d = _derivatives("lstm", self.layers[0], x, h, c, below=False)
        assert later is not None
        r_h, r_c = new - h, later - c
        rest = 1.0 - d["cc"]
        weight = d["hc"] / rest
        a = -(d["hh"] + weight[:, :, None] * d["ch"])
        index = np.arange(size)
        a[:, index, index] += 1.0
        d_h = solved(a, r_h + weight * r_c)
        d_c = (r_c + np.einsum("nij,nj->ni", d["ch"], d_h)) / rest
        return np.concatenate([r_h, r_c], 1), np.concatenate([d_h, d_c], 1)

    def curvature(self, s: Array, radius: float) -> Array | None:
        """Bound of the norm of the second derivative within a radius of each state, (n,)."""
        if len(self.layers) > 1 or self.kind == "relu":
            return None
        layer = self.layers[0]
        rows = [np.linalg.norm(w, axis=1) for w in np.split(layer[1], _N_GATES[self.kind])]
        if self.kind == "tanh":
            size = rows[0]
            bound = np.sqrt(np.sum((_TANH2 * size**2) ** 2))
            norm = float(np.linalg.norm(layer[1], 2))
            return np.full(len(s), min(bound, _TANH2 * float(size.max()) * norm))
        h = self._blocks(s)[0]
        if self.kind == "gru":
            r, z, new = rows
            m = np.abs(h @ np.split(layer[1], 3)[2].T + np.split(layer[3], 3)[2]) + new * radius
            first = _SIGMOID1 * r * m + new
            second = _SIGMOID2 * r**2 * m + 2 * _SIGMOID1 * r * new
            bend = _TANH2 * first**2 + second
            far = np.abs(h) + radius + 1.0
            total = bend + _SIGMOID2 * z**2 * far + 2 * _SIGMOID1 * z * (1 + first)
            return np.asarray(np.sqrt(np.sum(total**2, axis=1)))
        i, f, g, o = rows
        c = np.abs(self._blocks(s)[1]) + radius
        first = _SIGMOID1 * f * c + 1.0 + _SIGMOID1 * i + g
        in_c = (
            _SIGMOID2 * f**2 * c + 2 * _SIGMOID1 * f
            + _SIGMOID2 * i**2 + 2 * _SIGMOID1 * i * g + _TANH2 * g**2
        )  # fmt: skip
        in_h = _SIGMOID2 * o**2 + 2 * _SIGMOID1 * o * first + _TANH2 * first**2 + in_c
        return np.asarray(np.sqrt(np.sum(in_c**2 + in_h**2, axis=1)))

    def spread(self, rng: np.random.Generator, n: int) -> Array:
        """Starts all over the states that can be reached."""
        hidden = rng.uniform(-1, 1, (n, len(self.layers) * self.n_hidden))
        if self.kind == "relu":
            return np.abs(hidden) * 2
        if self.kind != "lstm":
            return hidden
        return np.concatenate([hidden, rng.standard_normal(hidden.shape) * 2], axis=1)


_N_GATES = {"gru": 3, "lstm": 4, "tanh": 1, "relu": 1}


def _step(
    kind: str, layer: Any, x: Array, h: Array, c: Array | None
) -> tuple[Array, Array | None]:
    w_x, w_h, b_x, b_h = layer
    a, b = x @ w_x.T + b_x, h @ w_h.T + b_h
    n = h.shape[1]
    if kind == "gru":
        rz = expit(a[:, : 2 * n] + b[:, : 2 * n])
        new = np.tanh(a[:, 2 * n :] + rz[:, :n] * b[:, 2 * n :])
        return new + rz[:, n:] * (h - new), None
    if kind == "lstm":
        assert c is not None
        a = a + b
        gates = expit(a)
        c = gates[:, n : 2 * n] * c + gates[:, :n] * np.tanh(a[:, 2 * n : 3 * n])
        return gates[:, 3 * n :] * np.tanh(c), c
    a = a + b
    return (np.tanh(a) if kind == "tanh" else np.maximum(a, 0.0)), None


def _derivatives(
    kind: str, layer: Any, x: Array, h: Array, c: Array | None, *, below: bool = True
) -> tuple[Array, Array | None, dict[str, Array]]:
    """Step of a layer, and its derivatives: ``"hx"`` of the new h in what comes from below.

    Those of a cell in itself, ``"cc"``, and of h in the cell, ``"hc"``, are diagonals.
    """
    w_x, w_h, b_x, b_h = layer
    a, b = x @ w_x.T + b_x, h @ w_h.T + b_h
    n = h.shape[1]

    def gate(values: Array, k: int) -> Array:
        return values[..., k * n : (k + 1) * n]

    def rows(scales: Array, weight: Array) -> Array:
        """Sum over gates of scale times the rows of its weight."""
        by_gate = weight.reshape(-1, n, weight.shape[1])
        found = scales[:, :n, None] * by_gate[0]
        for k in range(1, scales.shape[1] // n):
            found += gate(scales, k)[:, :, None] * by_gate[k]
        return found

    if kind == "gru":
        rz = expit(a[:, : 2 * n] + b[:, : 2 * n])
        r, z, bn = gate(rz, 0), gate(rz, 1), gate(b, 2)
        new = np.tanh(gate(a, 2) + r * bn)
        to_n = (1 - z) * (1 - new * new)
        to_r, to_z = to_n * bn * r * (1 - r), (h - new) * z * (1 - z)
        found = {"hh": rows(np.concatenate([to_r, to_z, to_n * r], 1), w_h)}
        index = np.arange(n)
        found["hh"][:, index, index] += z
        if below:
            found["hx"] = rows(np.concatenate([to_r, to_z, to_n], 1), w_x)
        return new + z * (h - new), None, found
    if kind == "lstm":
        assert c is not None
        a = a + b
        i, f, o = expit(gate(a, 0)), expit(gate(a, 1)), expit(gate(a, 3))
        g = np.tanh(gate(a, 2))
        later = f * c + i * g
        t = np.tanh(later)
        own = o * (1 - t * t)
        scales = np.concatenate([g * i * (1 - i), c * f * (1 - f), i * (1 - g * g)], 1)
        out = t * o * (1 - o)
        ch = rows(scales, w_h[: 3 * n])
        found = {
            "ch": ch, "cc": f, "hc": own * f,
            "hh": rows(out, w_h[3 * n :]) + own[:, :, None] * ch,
        }  # fmt: skip
        if below:
            cx = rows(scales, w_x[: 3 * n])
            found |= {"cx": cx, "hx": rows(out, w_x[3 * n :]) + own[:, :, None] * cx}
        return o * t, later, found
    a = a + b
    new = np.tanh(a) if kind == "tanh" else np.maximum(a, 0.0)
    slope = 1 - new * new if kind == "tanh" else (a > 0).astype(float)
    return new, None, {"hh": rows(slope, w_h), "hx": rows(slope, w_x)}
