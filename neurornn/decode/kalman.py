"""Kalman filter: the outputs move as they did in training, and the units see them."""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import check_bin_size, check_count
from neurornn._core.errors import DataError, ShapeError
from neurornn._core.old_names import renamed
from neurornn.data.moments import Histories, Moments, fold_moments, lagged_moments
from neurornn.data.samples import Samples
from neurornn.decode.machines import KalmanMachine, steady_covariance
from neurornn.decode.movement import MovementDecoder
from neurornn.decode.preparation import Preparation
from neurornn.decode.stretches import Learned, Stretch, cut, run_machine
from neurornn.decode.wiener import mean_r2
from neurornn.io.saved import SavedContent

#: Lags that are tried, bins: by how much movement may follow the counts.
LAGS = (0, 1, 2, 3, 4)


class _Motion(NamedTuple):
    """How the state moves, ``x' = A x + b + noise``; and its mean and covariance."""

    transition: NDArray[np.float64]
    offset: NDArray[np.float64]
    process: NDArray[np.float64]
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


class _Model(NamedTuple):
    """A filter, with H, R and d of the features it sees: ``z = d + H x + noise``."""

    machine: KalmanMachine
    observation: NDArray[np.float64]
    noise: NDArray[np.float64]
    baseline: NDArray[np.float64]


class KalmanFilter(MovementDecoder):
    """Kalman filter: outputs that move linearly, seen through the counts.

    Parameters
    ----------
    bin_size : s, width of the bins. By default that which labelled counts state, or else 0.05 with
        a warning.
    lag : bins by which the outputs follow the counts, or ``"auto"`` for the best of 0 to 4 on
        held-out blocks (0 where ``n_lags`` is above 1).
    n_lags : bins of history that are taken for one observation; 1 is the usual filter.
    derivative : let the state hold the change of every output too.
    steady_state : use the gain of the long run from the first bin on, and after missing bins too.
    power, signal, smoothing, adaptation_tau, monitor_units, impute, n_folds, confidence_level
        As for `WienerFilter`.

    Attributes
    ----------
    scores_ : Dataset over ``output``
        ``r2`` and ``rmse`` (unit of the target) on held-out blocks; ``status``.
    chosen_ : what was chosen on held-out blocks.
    transition_, process_ : (state, state), A and W of standardised outputs (and their changes).
    observation_, noise_ : (feature, state), (feature, feature), H and R; features are the units,
        for several lags the oldest bin first.
    offset_, baseline_ : (state,), (feature,), b and d.

    Notes
    -----
    ``x_t = A x_{t-1} + b + w``, ``z_{t-lag} = d + H x_t + v``, with x the standardised outputs and
    z the features. No true first state is needed: the filter starts from the mean and covariance
    of the outputs. The update is in information form, of the size of the state however many units
    there are, and once the covariance is steady a bin costs a few small products. A unit that was
    lost, is missing in a bin or was dropped is left out: its rows are taken out of H and R, and
    the interval widens by what it said. ``impute`` counts only where that cannot be done: for
    bins missing from a history (``n_lags`` above 1, ``smoothing``), and for a bare gain. For a
    velocity filter pass the velocity as targets, for position and velocity pass both; for ReFIT
    pass the targets made by `intended_velocity`.

    References
    ----------
    Kalman 1960, J Basic Eng 82:35, doi:10.1115/1.3662552; Wu et al. 2006, Neural Comput 18:80,
    doi:10.1162/089976606774841585 (for decoding, with the lag); Malik et al. 2011, IEEE Trans
    Neural Syst Rehabil Eng 19:25, doi:10.1109/TNSRE.2010.2092443 (steady state).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> velocity = rng.normal(size=(2000, 2))
    >>> for t in range(1, 2000): velocity[t] += 0.9 * velocity[t - 1]
    >>> counts = rng.poisson(np.exp(0.3 * velocity @ rng.normal(size=(2, 20))))
    >>> decoder = KalmanFilter(bin_size=0.05, lag=0).fit(counts[:1500], velocity[:1500])
    >>> decoder.score(counts[1500:], velocity[1500:]) > 0.7
    True
    """

    lag: int | str
    n_lags: int
    derivative: bool
    steady_state: bool
    power: float | str

    def __init__(
        self,
        bin_size: float | None = None,
        *,
        lag: int | str = "auto",
        n_lags: int = 1,
        derivative: bool = True,
        steady_state: bool = False,
        power: float | str = "auto",
        signal: str = "counts",
        smoothing: float = 0.0,
        adaptation_tau: float | None = None,
        monitor_units: bool = True,
        impute: str = "expected",
        n_folds: int = 5,
        confidence_level: float = 0.9,
    ) -> None:
        self._keep(locals())

    @classmethod
    @renamed(units="value_unit")
    def from_matrices(
        cls,
        *,
        transition: ArrayLike,
        offset: ArrayLike | None = None,
        gain: ArrayLike | None = None,
        process: ArrayLike | None = None,
        observation: ArrayLike | None = None,
        noise: ArrayLike | None = None,
        baseline: ArrayLike | None = None,
        bin_size: float,
        value_unit: str = "",
        signal: str = "counts",
    ) -> Self:
        """Make a decoder of matrices that are known, for example one that ran on a rig.

        Parameters
        ----------
        transition : (state, state), A. offset : (state,), b.
        gain : (state, unit)
            Steady gain K: ``x_t = A x_{t-1} + K u_t + b``, with u the counts. Or else
        process, observation, noise : (state, state), (unit, state), (unit, unit)
        baseline : (unit,)
            ``x_t = A x_{t-1} + b + w``, ``u_t = H x_t + d + v``: W, H, R and d.
        bin_size : s.
        value_unit : of the state.
        signal : ``"counts"``, or ``"features"`` where the matrices were made for any numbers:
            z-scored counts, rates, band power.

        Returns
        -------
        A fitted decoder whose outputs are the states. It has seen no data: its errors are NaN.

        Raises
        ------
        ShapeError, DataError
            Sizes that do not fit, or neither a gain nor a model.
        """
        self = cls(
            check_bin_size(bin_size),
            monitor_units=False,
            power=1.0,
            lag=0,
            derivative=False,
            signal=signal,
            steady_state=gain is not None,
        )
        self._check_settings()
        self.bin_size_ = self._width_of(None, None)
        # Copies: what the caller does to the arrays later is not ours.
        a = np.atleast_2d(np.array(transition, dtype=float))
        k = len(a)
        seen = gain if gain is not None else observation
        if seen is None or (gain is None and (process is None or noise is None)):
            raise DataError(
                "Neither a gain nor process, observation and noise came",
                "One of the two was needed",
                "Pass gain= for a filter in its steady state",
            )
        across = np.array(seen, dtype=float)
        across = across if gain is not None else across.T
        b = np.zeros(k) if offset is None else np.array(offset, dtype=float)
        if a.shape != (k, k) or across.ndim != 2 or len(across) != k or b.shape != (k,):
            raise ShapeError(
                f"transition has shape {a.shape}, offset {b.shape}, gain or observation "
                f"{np.shape(seen)}",
                "(state, state), (state,) and (state, unit), or (unit, state), were needed",
                "Transpose what is the wrong way round",
            )
        n = across.shape[1]
        d = np.zeros(n) if baseline is None else np.array(baseline, dtype=float)
        shapes: dict[str, tuple[Any, Any]] = {"baseline": (d.shape, (n,))}
        if gain is None:
            shapes["process"] = (np.asarray(process).shape, (k, k))
            shapes["noise"] = (np.asarray(noise).shape, (n, n))
        for name, (came, needed) in shapes.items():
            if came != needed:
                raise ShapeError(
                    f"{name} has shape {came}",
                    f"Shape {needed} was needed, for {k} states and {n} units",
                    "Check which dimension is which",
                )
        settings = {"steady_state": gain is not None}
        if gain is not None:
            arrays = {"weights": across, "information": np.zeros((k, k)), "process": np.eye(k)}
            steady, r = np.eye(k), np.full((n, n), np.nan)
        else:
            r = np.array(noise, dtype=float)
            try:
                evidence = np.linalg.solve(r, across.T)
            except np.linalg.LinAlgError:
                raise DataError(
                    "noise has no inverse",
                    "A covariance of noise in every unit and every mixture of them was needed",
                    "Leave out units without noise, or add a small number to the diagonal",
                ) from None
            w = np.array(process, dtype=float)
            arrays = {
                "precision": np.linalg.inv(r),
                "origin": np.zeros(n),
                "weights": evidence.T,
                "information": across @ evidence,
                "process": w,
            }
            steady = steady_covariance(a, w, arrays["information"])
        arrays |= {
            "transition": a, "offset": b, "baseline": np.zeros(k), "steady": steady,
            "first_mean": np.zeros(k), "first_covariance": steady, "read": np.eye(k),
            "bias": np.zeros(k),
        }  # fmt: skip
        quiet = {
            "power": 1.0, "lowest": 0.0 if signal == "counts" else -np.inf, "smoothing": 0.0,
            "pace": 0.0, "watch_pace": 0.0, "stand_in": "mean",
        }  # fmt: skip
        plain = {
            "centre": d, "scale": np.ones(n), "covariance": np.eye(n),
            "limits": np.full((3, n), np.inf),
        }  # fmt: skip
        labels = np.arange(k)
        empty = Samples(
            values=np.zeros((0, n)), run=np.zeros(0, np.int64), unit=np.arange(n),
            targets=np.zeros((0, k)), output=labels, units=value_unit,
        )  # fmt: skip
        self._begin(empty, False)
        self._machine, self._preparation = (
            KalmanMachine(arrays, settings), Preparation(plain, quiet),
        )  # fmt: skip
        none = np.zeros((0, k))
        self._account(empty, Learned(self._machine, self._preparation, none, none, {}))
        self.transition_, self.process_ = a, arrays["process"]
        self.observation_, self.noise_ = across.T, r
        self.offset_, self.baseline_ = b, d
        return self

    def _to_saved(self) -> dict[str, Any]:
        saved = super()._to_saved()
        saved["tables"]["observation"] = xr.Dataset(
            {"h": (("feature", "state"), self.observation_),
             "r": (("feature", "feature_"), self.noise_),
             "d": ("feature", self.baseline_)}
        )  # fmt: skip
        return saved

    def _after_load(self, content: SavedContent) -> None:
        super()._after_load(content)
        arrays, seen = self._machine.arrays, content.tables["observation"]
        self.transition_, self.process_ = arrays["transition"], arrays["process"]
        self.observation_, self.noise_ = seen["h"].values, seen["r"].values
        self.offset_, self.baseline_ = arrays["offset"], seen["d"].values

    _papers: ClassVar[tuple[str, ...]] = ("kalman_1960", "wu_2006")

    def _learn(self, bins: Samples) -> Learned:
        check_count(self.n_lags, "n_lags")
        lags: Sequence[int] = LAGS if self.n_lags == 1 else (0,)
        if not (isinstance(self.lag, str) and self.lag == "auto"):
            if isinstance(self.lag, bool | str | np.timedelta64) or not (
                isinstance(self.lag, int | np.integer) and self.lag >= 0
            ):
                raise DataError(
                    f"lag is {self.lag!r}", "A whole number of bins, 0 or more, or 'auto' was "
                    "needed", "A filter cannot wait for counts to come: 0 or more",
                )  # fmt: skip
            lags = (int(self.lag),)
        best: tuple[float, Any] | None = None
        for power in self._powers(self.power):
            preparation, stretches = self._prepared(bins, power)
            for lag, held_out, spread in self._tried(bins, stretches, lags):
                score = mean_r2(bins.targets, held_out)
                if best is None or not score <= best[0]:
                    best = (score, (power, lag, preparation, stretches, held_out, spread))
        assert best is not None
        power, lag, preparation, stretches, held_out, spread = best[1]
        fit = _KalmanFit(self, bins, stretches, lag + self.n_lags)
        machine, observation, noise, baseline = fit.model(
            fit.total(), np.arange(len(bins.values)), lag
        )
        self.transition_, self.process_ = machine.arrays["transition"], machine.arrays["process"]
        self.observation_, self.noise_ = observation, noise
        self.offset_, self.baseline_ = machine.arrays["offset"], baseline
        return Learned(machine, preparation, held_out, spread, {"power": power, "lag": lag})

    def _tried(self, bins: Samples, stretches: Sequence[Stretch], lags: Sequence[int]) -> Any:
        """Predictions of blocks that were held out, for every lag."""
        fit = _KalmanFit(self, bins, stretches, max(lags) + self.n_lags)
        shape = (len(bins.values), bins.targets.shape[1])  # type: ignore[union-attr]
        found = {lag: (np.full(shape, np.nan), np.ones(shape)) for lag in lags}
        folds = list(self._folds(bins, max(lags) + self.n_lags))
        _, rests = fold_moments(fit.histories, np.nan_to_num(fit.states), fit.whole, folds)
        for (train, test), sums in zip(folds, rests, strict=True):
            for lag in lags:
                machine = fit.model(sums, train, lag).machine
                held_out, spread = found[lag]
                held_out[test], spread[test] = run_machine(machine, cut(stretches, test))
        for lag, (held_out, spread) in found.items():
            yield lag, held_out, spread


class _KalmanFit:
    """Moments of states and histories, from which filters of any part and lag are made."""

    def __init__(
        self, decoder: KalmanFilter, bins: Samples, stretches: Sequence[Stretch], n_lags: int
    ) -> None:
        assert bins.targets is not None
        self.decoder, self.n_lags, self.targets = decoder, n_lags, bins.targets
        self.known = np.isfinite(bins.targets).all(axis=1)
        self.centre = np.nanmean(bins.targets, axis=0)
        self.scale = np.nanstd(bins.targets, axis=0)
        parts = []
        for s in bins.stretches:
            x = (bins.targets[s] - self.centre) / self.scale
            if decoder.derivative:
                change = np.diff(x, axis=0, prepend=x[:1])
                x = np.column_stack([x, change])
            parts.append(x)
        states = np.concatenate(parts)
        if decoder.derivative:
            n = len(self.centre)
            sd = np.nanstd(states[:, n:], axis=0)
            states[:, n:] /= np.where(sd > 0, sd, 1.0)
        self.states = states
        self.known &= np.isfinite(states).all(axis=1)
        joins = np.concatenate([[True], np.diff(bins.run) != 0])
        #: Rows whose state follows that of the row before.
        self.follows = self.known & ~joins & np.concatenate([[False], self.known[:-1]])
        self.histories = Histories([s.features for s in stretches], n_lags)
        since = np.concatenate([np.arange(len(t.features)) for t in stretches])
        #: Rows whose history is whole: before the first bin of a stretch nothing was observed.
        self.whole = self.known & (since >= n_lags - 1)
        if not self.whole.any():
            raise DataError(
                f"The longest stretch has {int(since.max()) + 1} bins",
                f"At least {n_lags} bins with a target, for the lag and n_lags, were needed",
                "Pass a smaller lag or n_lags",
            )

    def total(self) -> Moments:
        """Moments of all rows."""
        return lagged_moments(self.histories, np.nan_to_num(self.states), self.whole)

    def motion(self, rows: NDArray[np.intp]) -> _Motion:
        """How the state moves, from some of the rows."""
        used = np.zeros(len(self.states), dtype=bool)
        used[rows] = True
        to = np.flatnonzero(self.follows & used & np.concatenate([[False], used[:-1]]))
        if len(to) <= self.states.shape[1]:
            raise DataError(
                f"{len(to)} bins have a known target in the bin before",
                f"More than {self.states.shape[1]} were needed to learn how the outputs move",
                "Record for longer, or mask fewer bins",
            )
        before, after = self.states[to - 1], self.states[to]
        found = np.linalg.lstsq(np.column_stack([before, np.ones(len(to))]), after, rcond=None)[0]
        transition, offset = found[:-1].T, found[-1]
        left = after - before @ transition.T - offset
        spread = self.states[self.known & used]
        # The least process noise keeps a state that is a difference of another one well behaved.
        process = left.T @ left / len(left) + 1e-9 * np.eye(left.shape[1])
        first = np.atleast_2d(np.cov(spread.T))
        return _Motion(transition, offset, process, spread.mean(axis=0), first)

    def model(self, sums: Moments, rows: NDArray[np.intp], lag: int) -> _Model:
        """Make the filter of some rows and a lag."""
        motion = self.motion(rows)
        k = self.states.shape[1]
        n_units = self.histories.parts[0].shape[1]
        # Histories run from the oldest bin: the last n_lags blocks before the lag are observed.
        last = (self.n_lags - lag) * n_units
        seen = np.arange(last - self.decoder.n_lags * n_units, last)
        n = sums.n_rows
        mean_h = sums.gram[-1, seen] / n
        mean_x = sums.cross[-1] / n
        among = sums.gram[np.ix_(seen, seen)] / n - np.outer(mean_h, mean_h)
        across = sums.cross[seen] / n - np.outer(mean_h, mean_x)
        states = self._state_moment(rows) - np.outer(mean_x, mean_x)
        observation = np.linalg.solve(states + 1e-12 * np.eye(k), across.T).T
        noise = among - observation @ states @ observation.T
        # As much of the off-diagonal is taken back as there are unknowns for each bin.
        back = min(1.0, len(seen) / max(n, 1))
        diagonal = np.maximum(np.diag(noise), 1e-6)
        noise = (1 - back) * noise
        noise[np.diag_indices_from(noise)] = diagonal * (1 + 1e-9)
        evidence = np.linalg.solve(noise, observation)
        by_lag = evidence.reshape(self.decoder.n_lags, n_units, k)[::-1]
        weights = np.concatenate([np.zeros((lag, n_units, k)), by_lag])
        information = observation.T @ evidence
        steady = steady_covariance(motion.transition, motion.process, information)
        n_out = len(self.centre)
        read = np.zeros((n_out, k))
        read[:, :n_out] = np.diag(self.scale)
        arrays = {
            "weights": weights.transpose(0, 2, 1).reshape(-1, n_units),
            # To leave units out: R^-1 of all features, and what they are where the state is 0.
            "precision": np.linalg.inv(noise),
            "origin": mean_h - observation @ mean_x,
            "transition": motion.transition,
            "offset": motion.offset,
            # What the features are where the state is 0.
            "baseline": evidence.T @ (mean_h - observation @ mean_x),
            "process": motion.process,
            "information": information,
            "steady": steady,
            "first_mean": motion.mean,
            "first_covariance": motion.covariance,
            "read": read,
            "bias": self.centre,
        }
        settings = {
            "steady_state": bool(self.decoder.steady_state),
            "lag": int(lag),
            "smoothed": self.decoder.smoothing > 0,
        }
        machine = KalmanMachine(arrays, settings)
        h = np.asarray(observation, dtype=np.float64)
        return _Model(machine, h, noise, mean_h - h @ mean_x)

    def _state_moment(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        used = np.zeros(len(self.states), dtype=bool)
        used[rows] = True
        x = self.states[used & self.whole]
        return x.T @ x / max(len(x), 1)
