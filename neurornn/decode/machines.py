"""The running part of a decoder: fixed arrays, a state, and one step a bin. NumPy and numba alone.

A machine knows nothing of fitting or of torch, so a saved stream runs where torch is not
installed. All arrays of the state are made once; a step writes into them.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurornn._kernels.filtering import kalman_gain, posterior_step
from neurornn._kernels.network_steps import gru_bin, leaky_bin, lstm_bin
from neurornn._kernels.recurrent_functions import FUNCTIONS
from neurornn._kernels.recurrent_product import GROUPS_OF, LANES, padded
from neurornn._kernels.streaming import (
    kalman_bin,
    linear_bin,
    mark_left_out,
    poisson_evidence,
    read_state,
)

Arrays = dict[str, NDArray[Any]]


class Machine:
    """One kind of decoder at work.

    Parameters
    ----------
    arrays : name -> what does not change.
    settings : plain values.

    Attributes
    ----------
    state : name -> what is carried from bin to bin; copied, it is the whole memory.
    out : (output,), the output of the last bin, in the unit of the targets.
    """

    kind = ""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> None:
        # Writable, if by a copy: numba compiles a kernel anew for arrays that are read-only.
        self.arrays = {
            k: np.require(np.ascontiguousarray(v), requirements="W") for k, v in arrays.items()
        }
        self.settings = dict(settings)
        self.state: Arrays = {}
        self.out = np.zeros(self.n_outputs)
        self._prepare()
        self.reset()

    @property
    def n_outputs(self) -> int:
        """Numbers that come out of a step."""
        return len(self.arrays["bias"])

    def _prepare(self) -> None:
        """Make the state and the scratch."""
        raise NotImplementedError

    def reset(self) -> None:
        """Go back to the state before the first bin."""
        raise NotImplementedError

    def step(
        self, features: NDArray[Any], counts: NDArray[Any], verdict: NDArray[Any], seen: bool
    ) -> None:
        """Take one bin; the output stands in `out`.

        Parameters
        ----------
        features : (unit,), standardised. counts : (unit,), as they came.
        verdict : (unit,), which units are live.
        seen : False where the bin was not recorded.
        """
        raise NotImplementedError

    def spread(self, out: NDArray[Any]) -> None:
        """Write the machine's own idea of the sd of its output to out, (output,); 1 by default."""
        out[:] = 1.0

    def take_up(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that was saved; what an older file does not know is 0."""
        for name, values in self.state.items():
            values[...] = state.get(name, 0)


class LinearMachine(Machine):
    """Wiener filter, ridge, and the cascade: a linear map of the last bins, then polynomials."""

    kind = "linear"

    def _prepare(self) -> None:
        n_lags = len(self.arrays["weights"]) // self.n_outputs
        self.state = {"pending": np.zeros((n_lags, self.n_outputs))}
        names = ("weights", "bias", "coefficients", "exponents", "size", "bounds")
        fixed: tuple[Any, ...] = tuple(self.arrays[k] for k in names)
        degree = int(self.arrays["exponents"].max(initial=0))
        scratch = (np.zeros(self.n_outputs), np.zeros((self.n_outputs, degree + 1)))
        self._given = (*fixed, self.state["pending"], *scratch, self.out)

    def reset(self) -> None:
        """Forget the bins that came."""
        self.state["pending"][:] = 0.0
        self.out[:] = self.arrays["bias"]

    def step(
        self, features: NDArray[Any], counts: NDArray[Any], verdict: NDArray[Any], seen: bool
    ) -> None:
        """Take one bin."""
        kernel: Any = linear_bin
        kernel(features, *self._given)


class KalmanMachine(Machine):
    """A state that moves linearly and is seen through the features of the last bins.

    Where the precision R^-1 of all features is known, a unit that is not live is left out of the
    observation: its rows are taken out of H and R, and no stand-in counts. With the precision P
    and ``W = P H`` these are ``W - P[:, out] P[out, out]^-1 W[out]``, the inverse of a part of R
    by its Schur complement: a system of the size of what is left out.
    """

    kind = "kalman"

    @property
    def n_outputs(self) -> int:
        """Numbers that come out of a step."""
        return len(self.arrays["read"])

    def _prepare(self) -> None:
        a = self.arrays
        n, n_units = len(a["transition"]), a["weights"].shape[1]
        lag = int(self.settings.get("lag", 0))
        matrices, vectors = np.zeros((9, n, n)), np.zeros((6, n))
        for k, name in enumerate(("transition", "process", "information")):
            matrices[k] = a[name]
        matrices[4], vectors[0], vectors[5] = a["steady"], a["offset"], a["baseline"]
        self.state = {
            "mean": vectors[1],
            "covariance": matrices[5],
            "settled": np.zeros(1, np.int64),
            "recorded": np.zeros(lag + 1, np.int64),
            "pending": np.zeros((len(a["weights"]) // n, n)),
            "left_out": np.zeros(n_units, np.int64),
            # What the observations of the last bins are worth, the oldest first: one counts
            # `lag` bins after it was made.
            "information_by_bin": np.zeros((lag + 1, n, n)),
            "baseline_by_bin": np.zeros((lag + 1, n)),
        }
        self._matrices, self._vectors = matrices, vectors
        self._steady, self._whole = a["steady"], True
        self._weights = a["weights"].copy()
        self._information, self._baseline = a["information"], a["baseline"]
        self._n_history = len(a["weights"]) // n - lag
        self._leaves_out = "precision" in a
        # A history holds the bins before: a unit missing in one of them is stood in for there.
        self._by_bin = self._n_history == 1 and not self.settings.get("smoothed", False)
        self._moves = 0
        self._given = (
            self._weights, self.state["pending"], matrices, vectors, self.state["settled"],
            self.state["recorded"], a["read"], a["bias"], self.out,
        )  # fmt: skip
        self._steady_spread = np.zeros(self.n_outputs)
        self._stated(self._steady, self._steady_spread)

    def reset(self) -> None:
        """Start from the state that is known before anything is seen."""
        self.state["mean"][:] = self.arrays["first_mean"]
        self.state["pending"][:] = 0.0
        self.state["information_by_bin"][:] = self._information
        self.state["baseline_by_bin"][:] = self._baseline
        self._moves = 0
        self._turn_to(self._information, self._baseline)
        steady = bool(self.settings["steady_state"])
        if not steady:
            self.state["covariance"][:] = self.arrays["first_covariance"]
        self.state["settled"][0] = 2 if steady else 0
        # Before the first bin nothing was recorded.
        self.state["recorded"][:] = 0
        read_state(self.state["mean"], self.arrays["read"], self.arrays["bias"], self.out)

    def step(
        self, features: NDArray[Any], counts: NDArray[Any], verdict: NDArray[Any], seen: bool
    ) -> None:
        """Take one bin."""
        check: Any = mark_left_out
        if (
            seen
            and self._leaves_out
            and check(features, counts, verdict, self._by_bin, self.state["left_out"])
        ):
            self._leave_out()
            self._moves = len(self.state["recorded"])
        if self._moves:
            self._move_on()
        kernel: Any = kalman_bin
        kernel(features, *self._given, seen)

    def _leave_out(self) -> None:
        """Make weights, information and baseline anew, without the units that are left out."""
        a, n_history = self.arrays, self._n_history
        k, n = len(a["transition"]), a["weights"].shape[1]
        self._whole = not self.state["left_out"].any()
        if self._whole:
            self._weights[:] = a["weights"]
            self._information, self._baseline = a["information"], a["baseline"]
            return
        # Weights stand by lag, the present bin first; features the oldest bin first.
        by_lag = a["weights"].reshape(-1, k, n)[-n_history:][::-1]
        evidence = by_lag.transpose(0, 2, 1).reshape(-1, k)
        out = np.flatnonzero(np.tile(self.state["left_out"], n_history))
        precision = a["precision"]
        lost = np.linalg.solve(precision[np.ix_(out, out)], evidence[out])
        kept = evidence - precision[:, out] @ lost
        kept[out] = 0.0
        information = a["information"] - evidence[out].T @ lost
        self._information = (information + information.T) / 2
        self._baseline = kept.T @ a["origin"]
        back = kept.reshape(n_history, n, k)[::-1].transpose(0, 2, 1)
        self._weights[-n_history * k :] = back.reshape(-1, n)

    def _move_on(self) -> None:
        """Let the observation that counts in this bin be worth what it was when it was made."""
        informed, baselines = self.state["information_by_bin"], self.state["baseline_by_bin"]
        informed[:-1], baselines[:-1] = informed[1:].copy(), baselines[1:].copy()
        informed[-1], baselines[-1] = self._information, self._baseline
        self._moves -= 1
        self._turn_to(informed[0], baselines[0])

    def _turn_to(self, information: NDArray[Any], baseline: NDArray[Any]) -> None:
        """Let observations be worth so much from here on."""
        self._vectors[5] = baseline
        whole = information is self.arrays["information"] or np.array_equal(
            information, self.arrays["information"]
        )
        changed = not np.array_equal(information, self._matrices[2])
        self._matrices[2] = information
        # In the long run the covariance comes to another one, which is known only when it is asked
        # for; until then it is followed bin by bin.
        self._matrices[4] = self._steady if whole else np.nan
        if bool(self.settings["steady_state"]):
            if changed and not whole:
                a = self.arrays
                steady = steady_covariance(a["transition"], a["process"], information)
                self.state["covariance"][:] = steady
            elif whole:
                self.state["covariance"][:] = self._steady
        elif changed:
            self.state["settled"][0] = 0

    def take_up(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that was saved."""
        super().take_up(state)
        if self._leaves_out:
            self._leave_out()
        if "information_by_bin" not in state:
            # A file of before units were left out.
            self.state["information_by_bin"][:] = self._information
            self.state["baseline_by_bin"][:] = self._baseline
        self._moves = len(self.state["recorded"])
        covariance, settled = self.state["covariance"].copy(), self.state["settled"].copy()
        self._turn_to(self.state["information_by_bin"][0], self.state["baseline_by_bin"][0])
        self.state["covariance"][:], self.state["settled"][:] = covariance, settled

    def spread(self, out: NDArray[Any]) -> None:
        """Write the sd of the output that the filter itself states."""
        if self.state["settled"][0] and self._matrices[4, 0, 0] == self._matrices[4, 0, 0]:
            out[:] = self._steady_spread
        else:
            self._stated(self.state["covariance"], out)

    def _stated(self, covariance: NDArray[Any], out: NDArray[Any]) -> None:
        read = self.arrays["read"]
        np.einsum("oi,ij,oj->o", read, covariance, read, out=out)
        np.sqrt(np.maximum(out, 1e-300, out=out), out=out)


class PosteriorMachine(Machine):
    """A discrete state (a place, a target) with a movement prior, seen through Poisson counts."""

    kind = "posterior"

    @property
    def n_outputs(self) -> int:
        """Numbers that come out of a step."""
        return self.arrays["values"].shape[1]

    def _prepare(self) -> None:
        n = len(self.arrays["prior"])
        self.state = {"posterior": np.zeros(n), "log_likelihood": np.zeros(1)}
        self._evidence, self._ahead = np.zeros(n), np.zeros(n)
        self._jump = float(self.settings["jump"])

    def reset(self) -> None:
        """Start from the prior."""
        self.state["posterior"][:] = self.arrays["prior"]
        self.state["log_likelihood"][0] = 0.0
        self._read()

    def _read(self) -> None:
        posterior, values = self.state["posterior"], self.arrays["values"]
        if self.settings["estimate"] == "mode":
            self.out[:] = values[posterior.argmax()]
        else:
            np.dot(posterior, values, out=self.out)

    def step(
        self, features: NDArray[Any], counts: NDArray[Any], verdict: NDArray[Any], seen: bool
    ) -> None:
        """Take one bin."""
        a = self.arrays
        if seen:
            poisson_evidence(counts, verdict, a["log_rates"], a["expected"], self._evidence)
        else:
            self._evidence[:] = 0.0
        self.state["log_likelihood"][0] = posterior_step(
            a["starts"], a["sources"], a["chances"], self._jump, self._evidence,
            self.state["posterior"],
            self._ahead,
        )  # fmt: skip
        self._read()

    def spread(self, out: NDArray[Any]) -> None:
        """Write the sd of the posterior about the output."""
        values = self.arrays["values"]
        np.dot(self.state["posterior"], (values - self.out) ** 2, out=out)
        least = float(self.settings.get("least_spread", 0.0))
        np.sqrt(np.maximum(out, max(least**2, 1e-12), out=out), out=out)


class NetworkMachine(Machine):
    """Recurrent networks (GRU, LSTM, leaky) side by side; the output is their mean."""

    kind = "network"

    @property
    def n_outputs(self) -> int:
        """Numbers that come out of a step."""
        return self.arrays["out_weight"].shape[1]

    def _prepare(self) -> None:
        a = self.arrays
        n_members, _, n = a["out_weight"].shape
        n_inputs, width = a["input_weight"].shape[1:]
        self.state = {"hidden": np.zeros((n_members, 1, n), np.float32)}
        seen, index = np.zeros(n_inputs, np.float32), np.zeros(n_inputs, np.int64)
        fed = np.zeros((3, width), np.float32)
        columns, hidden = LANES * GROUPS_OF[32], self.state["hidden"]
        cell = self.settings["cell"]
        names: tuple[str, ...] = ("input_weight", "hidden_weight", "input_bias", "hidden_bias")
        self._kernel: Any = lstm_bin
        if cell == "lstm":
            self.state["cell"] = np.zeros((n_members, 1, n), np.float32)
            names = names[:2] + ("bias",)
            work: tuple[Any, ...] = (columns, seen, index, hidden, self.state["cell"], fed)
        elif cell == "gru":
            work = (columns, seen, index, hidden, fed)
            self._kernel = gru_bin
        else:
            names = names[:2] + ("bias", "alpha")
            kind, current = FUNCTIONS[self.settings["nonlinearity"]], self.settings["current"]
            work = (
                kind, bool(current), int(self.settings["substeps"]), columns, seen, index, hidden,
                np.zeros_like(hidden), fed,
            )  # fmt: skip
            self._kernel = leaky_bin
        fixed = tuple(a[k] for k in ("origin", *names, "out_weight", "out_bias"))
        self.state["variance"] = self._variance = np.zeros(self.n_outputs)
        n_own = int(self.settings.get("n_own", 1))
        self._given = (*fixed, *work, n_own, self.out, self._variance)

    def reset(self) -> None:
        """Start from the state before the first step, zeros."""
        for values in self.state.values():
            values[:] = 0.0
        n_own = int(self.settings.get("n_own", 1))
        # Of members that read one output each, the others' biases are 0.
        self.out[:] = n_own * self.arrays["out_bias"].mean(axis=0)

    def step(
        self, features: NDArray[Any], counts: NDArray[Any], verdict: NDArray[Any], seen: bool
    ) -> None:
        """Take one bin."""
        self._kernel(features, *self._given)

    def spread(self, out: NDArray[Any]) -> None:
        """Write the root of the usual error's square and the variance over networks to out."""
        np.multiply(self.arrays["floor"], self.arrays["floor"], out=out)
        np.add(out, self._variance, out=out)
        np.sqrt(out, out=out)


class ChanceMachine(NetworkMachine):
    """Networks whose output is one score per class, turned into chances."""

    kind = "chances"

    def step(
        self, features: NDArray[Any], counts: NDArray[Any], verdict: NDArray[Any], seen: bool
    ) -> None:
        """Take one bin."""
        super().step(features, counts, verdict, seen)
        self._to_chances()

    def reset(self) -> None:
        """Start from the state before the first step, zeros."""
        super().reset()
        self._to_chances()

    def _to_chances(self) -> None:
        np.subtract(self.out, self.out.max(), out=self.out)
        np.exp(self.out, out=self.out)
        np.divide(self.out, self.out.sum(), out=self.out)


MACHINES = {
    m.kind: m
    for m in (LinearMachine, KalmanMachine, PosteriorMachine, NetworkMachine, ChanceMachine)
}


def make_machine(
    kind: str, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]
) -> Machine:
    """Make the machine of a kind."""
    return MACHINES[kind](arrays, settings)


def steady_covariance(
    transition: NDArray[Any], process: NDArray[Any], information: NDArray[Any]
) -> NDArray[np.float64]:
    """Covariance of the state after an observation, in the long run."""
    given = (np.ascontiguousarray(m, dtype=float) for m in (transition, process, information))
    return kalman_gain(*given)[0]


def gate_blocks(weight: NDArray[Any], n_gates: int) -> NDArray[np.float32]:
    """Lay torch's (gate * hidden, input) out as (input, gate * width), gates filled up to `width`.

    A bias (gate * hidden,) becomes (gate * width,).
    """
    n = len(weight) // n_gates
    width = padded(n)
    rows = weight.reshape(n_gates, n, -1)
    blocks = np.zeros((rows.shape[2], n_gates, width), np.float32)
    blocks[:, :, :n] = rows.transpose(2, 0, 1)
    out = blocks.reshape(rows.shape[2], n_gates * width)
    return out[0] if weight.ndim == 1 else out


def from_gate_blocks(blocks: NDArray[Any], n_gates: int, n_hidden: int) -> NDArray[np.float32]:
    """Lay (input, gate * width) out as torch's (gate * hidden, input); a bias as (gate * hidden,).

    Parameters
    ----------
    blocks : as `gate_blocks` makes them.
    n_gates, n_hidden : gates, and units of each.
    """
    by_gate = np.atleast_2d(blocks).reshape(-1 if blocks.ndim == 2 else 1, n_gates,
                                            blocks.shape[-1] // n_gates)  # fmt: skip
    rows = by_gate[:, :, :n_hidden].transpose(1, 2, 0).reshape(n_gates * n_hidden, -1)
    return np.ascontiguousarray(rows[:, 0] if blocks.ndim == 1 else rows, dtype=np.float32)
