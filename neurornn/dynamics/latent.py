"""The fixed points of a large network, looked for where only a few numbers are unknown."""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigvals
from scipy.sparse.linalg import ArpackError, LinearOperator, eigs
from scipy.special import expit

from neurornn.dynamics.cells import Cell, Gated, Leaky

Array = NDArray[np.float64]

#: Units up to which all eigenvalues are formed, where units differ in their time constant.
MOST_DENSE = 1000
#: Numbers that a block of starts may hold at a time.
_BLOCK = 500_000


class LowRank(Cell):
    """A leaky network whose weights are ``out into'``, by its few inner sums alone.

    Parameters
    ----------
    full : the network, with `factors`.

    Notes
    -----
    A fixed point of the rate form is ``h = f(out k + u)`` with ``k = into' h``, so that k solves
    ``k = into' f(out k + u)``: as many equations as the rank (Mastrogiuseppe & Ostojic 2018,
    doi:10.1016/j.neuron.2018.07.003). In the current form the same k makes ``h = out k + u``. The
    columns of `out` are made orthogonal, of length ``sqrt(hidden)``; ``det(1 - J)`` has the same
    sign in k as in h.
    """

    def __init__(self, full: Leaky) -> None:
        assert full.factors is not None
        self.full = full
        q, r = np.linalg.qr(full.factors[0])
        self.wide = float(np.sqrt(full.n_state))
        self.out, self.into = q * self.wide, full.factors[1] @ r.T / self.wide
        self.n_state = q.shape[1]
        self.drive, self.f = full.drive, full.f
        self.damping = float(np.mean(full.alpha))
        # What the units move by is up to `wide` times what the sums do.
        self.finest = Cell.finest / full.n_state
        rank = self.n_state
        # Products of the two factors, from which the Jacobian is one matrix product.
        self._both = (self.into[:, :, None] * self.out[:, None, :]).reshape(-1, rank * rank)

    @cached_property
    def box(self) -> tuple[Array, Array] | None:
        """Bounds (rank,) that no inner sum leaves; None where the units are not bounded."""
        f = self.f
        if not np.isfinite([f.lower, f.upper]).all():
            return None
        ends = self.into * f.lower, self.into * f.upper
        return np.minimum(*ends).sum(axis=0), np.maximum(*ends).sum(axis=0)

    def _parts(self, k: Array, slopes: bool) -> tuple[Array, Array | None]:
        """The map ``into' f(out k + u)``, and its Jacobian; some starts at a time."""
        rank = self.n_state
        new, jacobian = np.empty_like(k), np.empty((len(k), rank, rank)) if slopes else None
        size = max(_BLOCK // self.full.n_state, 1)
        for first in range(0, len(k), size):
            some = slice(first, first + size)
            a = k[some] @ self.out.T
            a += self.drive if self.drive.ndim == 1 else self.drive[some]
            f = self.f.value(a)
            new[some] = f @ self.into
            if jacobian is not None:
                jacobian[some] = (self.f.slope(a, f) @ self._both).reshape(-1, rank, rank)
        return new, jacobian

    def step(self, k: Array) -> Array:
        """Inner sums after one step."""
        return k + self.damping * (self._parts(k, False)[0] - k)

    def step_and_jacobian(self, k: Array) -> tuple[Array, Array]:
        """Inner sums after one step, and the derivative of each in those before it."""
        new, jacobian = self._parts(k, True)
        assert jacobian is not None
        jacobian *= self.damping
        index = np.arange(self.n_state)
        jacobian[:, index, index] += 1 - self.damping
        return k + self.damping * (new - k), jacobian

    @cached_property
    def _bend(self) -> float:
        by_sum = [
            np.linalg.norm((self.out * np.abs(self.into[:, [j]])).T @ self.out, 2)
            for j in range(self.n_state)
        ]
        return float(self.f.bend * self.damping * np.linalg.norm(by_sum))

    def smooth_within(self, k: Array) -> Array | None:
        """How far each state is from the next kink, (n,); None where there is none."""
        if self.full.nonlinearity != "relu":
            return None
        a = np.abs(k @ self.out.T + self.drive)
        return np.asarray((a / np.maximum(np.linalg.norm(self.out, axis=1), 1e-300)).min(axis=1))

    def curvature(self, k: Array, radius: float) -> Array | None:
        """Bound of the norm of the second derivative within a radius of each state, (n,)."""
        if self.full.nonlinearity == "relu":
            return np.zeros(len(k))
        return None if not np.isfinite(self.f.bend) else np.full(len(k), self._bend)

    def spread(self, rng: np.random.Generator, n: int) -> Array:
        """Starts all over the sums that can be reached, where these are bounded."""
        if self.box is not None:
            return rng.uniform(*self.box, (n, self.n_state)) * rng.choice([0.3, 1.0], (n, 1))
        scale = 1.0 + np.linalg.norm(self.into, axis=0)
        return rng.standard_normal((n, self.n_state)) * scale

    def lift(self, k: Array) -> Array:
        """States of the network that belong to inner sums, (n, hidden)."""
        a = k @ self.out.T + self.drive
        return np.asarray(self.f.value(a) if self.full.form == "rate" else a)

    def inner(self, h: Array) -> Array:
        """Inner sums of states of the network."""
        f = h if self.full.form == "rate" else self.f.value(h)
        return np.asarray(f @ self.into)

    @property
    def reach(self) -> float:
        """How far states are apart at least whose inner sums are 1 apart."""
        if self.full.form == "current":
            return self.wide
        return self.wide / max(self.full.norm, 1e-300)

    def eigenvalues(self, k: Array) -> Array:
        """Eigenvalues of the step map of the network, (n, mode), in no order."""
        alpha = self.full.alpha
        return self._spectra(k, 1 - alpha, alpha, "LM")

    def flow_eigenvalues(self, k: Array, tau: Array) -> Array:
        """Eigenvalues of the differential equation, (n, mode), in no order."""
        return self._spectra(k, -1 / tau, 1 / tau, "LR")

    def _spectra(self, k: Array, own: Array, gain: Array, which: str) -> Array:
        """Eigenvalues of ``diag(own) + diag(gain) f' out into'``.

        Where all units have one time constant those are ``own + gain x`` with x the eigenvalues of
        ``into' f' out``, and own for all other modes. Else all are formed in a network of up to
        `MOST_DENSE` units, and a few leading ones in a larger one.
        """
        n, rank = len(own), self.n_state
        if np.ptp(own) <= 1e-12 * np.abs(own).max():
            jacobian = self._parts(k, True)[1]
            assert jacobian is not None
            few = own[0] + gain[0] * np.linalg.eigvals(jacobian)
            rest = np.full((len(k), n - rank), own[0], dtype=complex)
            return np.concatenate([few, rest], axis=1)
        a = k @ self.out.T + self.drive
        slopes = self.f.slope(a, self.f.value(a))
        found = []
        for slope in slopes:
            left, right = self._sides(slope, gain)
            if n <= MOST_DENSE:
                found.append(eigvals(np.diag(own) + left @ right.T))
                continue
            product = LinearOperator(
                (n, n), matvec=lambda x, a=left, b=right: own * x.ravel() + a @ (b.T @ x.ravel())
            )
            start = np.ones(n) / np.sqrt(n)
            try:
                found.append(
                    eigs(product, k=rank + 4, which=which, v0=start, return_eigenvectors=False)
                )
            except ArpackError:
                found.append(np.full(rank + 4, np.nan, dtype=complex))
        return np.array(found)

    def _sides(self, slope: Array, gain: Array) -> tuple[Array, Array]:
        if self.full.form == "rate":
            return (gain * slope)[:, None] * self.out, self.into
        return gain[:, None] * self.out, slope[:, None] * self.into


class HiddenAlone(Cell):
    """One layer of an LSTM by its hidden state alone, in which the cells have come to rest.

    Parameters
    ----------
    full : the layer.

    Notes
    -----
    At a fixed point ``c = i g / (1 - f)`` follows from h, so that h solves ``h = o tanh(c)``: half
    as many unknowns. What h moves by in that map is all that the layer moves by in a step.
    """

    def __init__(self, full: Gated) -> None:
        self.full, self.n_state = full, full.n_hidden
        w_x, w_h, b_x, b_h = full.layers[0]
        self.weights, self.drive = w_h, w_x @ full.inputs + b_x + b_h
        self.box = -np.ones(self.n_state), np.ones(self.n_state)

    def _gates(self, h: Array) -> tuple[Array, Array, Array, Array, Array]:
        a = h @ self.weights.T + self.drive
        n = self.n_state
        i, o = expit(a[:, :n]), expit(a[:, 3 * n :])
        # 1 - f without the loss of digits that a gate near 1 would bring.
        return i, a[:, n : 2 * n], np.tanh(a[:, 2 * n : 3 * n]), o, expit(-a[:, n : 2 * n])

    def step(self, h: Array) -> Array:
        """Hidden states after one step from cells at rest."""
        i, _, g, o, rest = self._gates(h)
        return np.asarray(o * np.tanh(i * g / rest))

    def step_and_jacobian(self, h: Array) -> tuple[Array, Array]:
        """Hidden states after one step, and the derivative of each in those before it."""
        n = self.n_state
        i, _, g, o, rest = self._gates(h)
        c = i * g / rest
        t = np.tanh(c)
        own = o * (1 - t * t)
        # The logarithm of 1 / (1 - f) grows with what drives the gate at the rate f.
        scales = (own * c * (1 - i), own * c * (1 - rest), own * i * (1 - g * g) / rest,
                  t * o * (1 - o))  # fmt: skip
        jacobian = scales[0][:, :, None] * self.weights[:n]
        for k in (1, 2, 3):
            jacobian += scales[k][:, :, None] * self.weights[k * n : (k + 1) * n]
        return o * t, jacobian

    def lift(self, h: Array) -> Array:
        """States of the layer, (n, state): hidden states and the cells that belong to them."""
        i, _, g, _, rest = self._gates(h)
        return np.concatenate([h, i * g / rest], axis=1)

    def inner(self, s: Array) -> Array:
        """Hidden states of states of the layer."""
        return s[:, : self.n_state]


def in_few_numbers(cell: Any) -> LowRank | None:
    """The same network by its inner sums, where its weights have a low rank."""
    if not isinstance(cell, Leaky) or cell.factors is None or cell.substeps > 1:
        return None
    # As many sums as units, or nearly, are no easier.
    return LowRank(cell) if 2 * cell.factors[0].shape[1] <= cell.n_state else None


def searched_in(cell: Any) -> Any:
    """What Newton steps run in: the cell itself, or fewer of its numbers."""
    if isinstance(cell, Gated) and cell.kind == "lstm" and len(cell.layers) == 1:
        return HiddenAlone(cell)
    return cell
