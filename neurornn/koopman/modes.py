"""Modes of a linear system with intervals: time constants, frequencies and sizes."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from neurornn._core.checks import (
    check_choice,
    check_confidence_level,
    check_count,
    check_positive,
)
from neurornn._core.confidence import normal_quantile
from neurornn._core.errors import ConvergenceWarning, DataError, ShapeError
from neurornn._core.jobs import one_thread
from neurornn._core.quantities import Quantity
from neurornn._core.report import Table, parameters_table
from neurornn._core.rng import RNG
from neurornn._core.units import counted, format_number
from neurornn._core.warning import warn_user
from neurornn.data.samples import Samples
from neurornn.io.saved import SavedContent
from neurornn.io.shell import Estimator, keep_names
from neurornn.koopman.exponentials import eigenvalues_of, functions_of, slopes_of
from neurornn.koopman.mode_bootstrap import bootstrapped
from neurornn.koopman.mode_fit import (
    MAX_RANK,
    ModeFit,
    axes_of,
    fit_rank,
    trajectories_of,
)
from neurornn.koopman.mode_table import (
    MORE_THAN_NOISE,
    QUANTITIES,
    fit_table,
    table_of_modes,
)
from neurornn.koopman.trajectories import as_trajectories

Array = NDArray[np.float64]
#: Growth of a forecast beyond which it is refused.
_EXPLODES = 1e6


class Modes(Estimator):
    """Modes of a linear system that states follow: optimised DMD with standard errors.

    Parameters
    ----------
    rank : number of eigenvalues, conjugates counted twice; ``"auto"`` takes the lowest Bayesian
        information criterion.
    dt : s, between frames; where the data have a clock of their own, it may be left out.
    n_delays : frames that are laid side by side for the start of the search; ``"auto"`` tries
        some and keeps the fit of highest likelihood. The fit itself is of the frames as they are.
    stable : keep every mode from growing.
    intervals : ``"analytic"``, from the curvature of the likelihood; ``"bootstrap"``, from fits to
        blocks of residuals laid anew on the fit, slower, as a check; ``"none"``.
    n_bootstrap : such fits.
    confidence_level : of the intervals.
    rng : int, Generator or None; of the bootstrap alone.

    Attributes
    ----------
    parameters_ : Dataset over ``mode``, a conjugate pair as one
        ``time_constant`` (s), ``frequency`` (Hz), ``amplitude`` (unit of the data; its length over
        units at the start of a trajectory, root mean square over trajectories) and ``rate`` (1/s,
        the real part of the eigenvalue), each with its interval; ``status``. The slowest is first.
    shapes_ : DataArray (mode, unit, part)
        Real and imaginary part of what each mode looks like, of length 1.
    eigenvalues_ : (rank,), complex, 1/s.
    rank_, dt_, units_ : rank that was taken, clock, labels.
    noise_sd_ : DataArray over ``unit``, sd of what the modes leave of a frame.
    criteria_ : rank -> criterion, where the rank was chosen.

    Notes
    -----
    The model is ``x_j(t) = sum_k a_jk shape_k exp(lambda_k t)`` plus white noise: trajectories
    share the eigenvalues and what the modes look like, and differ in their sizes. Everything but
    the eigenvalues and shapes is eliminated (variable projection, Golub & Pereyra 1973), the rest
    climbed from dynamic mode decomposition of delayed frames; with one trajectory this is
    optimised DMD (Askham & Kutz 2018). Frames in which a unit is missing are left out, nothing is
    filled in, and no gap of a clock is bridged. Standard errors are those of maximum likelihood,
    with the covariance of the residuals between units; where residuals of neighbouring frames are
    alike, they are widened by the power of such noise at the frequency of the mode. The unit is
    taken along the principal axes of as many as the rank.

    A recording driven by noise is no sum of few exponentials over its whole length: cut it into
    trials, or fit a `LinearStateSpace` by `nr.fit`.

    References
    ----------
    Askham & Kutz 2018, SIAM J. Appl. Dyn. Syst. 17:380, doi:10.1137/M1124176. Golub & Pereyra
    1973, SIAM J. Numer. Anal. 10:413, doi:10.1137/0710036. Schwarz 1978, Ann. Statist. 6:461,
    doi:10.1214/aos/1176344136.

    Examples
    --------
    >>> from neurornn.simulate import simulate_oscillators
    >>> run = simulate_oscillators(noise_sd=0.05, rng=0)
    >>> modes = Modes(rank=5).fit(run["series"])
    >>> modes.parameters_["time_constant"].values.round(2)
    array([2. , 1.5, 0.8])
    """

    _quantities: ClassVar[tuple[Quantity, ...]] = QUANTITIES
    _tables: ClassVar[Mapping[str, str]] = {"parameters": "parameters_", "fit": "_inner"}
    _kept: ClassVar[Mapping[str, str]] = {
        "rank": "rank_", "dt": "dt_", "n_delays": "n_delays_", "settled": "settled_",
        "explained": "explained_", "correlation": "correlation_", "n_frames": "n_frames_",
        "n_left_out": "n_left_out_", "n_features": "n_features_in_", "criteria": "criteria_",
        "data_units": "data_units_",
    }  # fmt: skip
    _papers: ClassVar[tuple[str, ...]] = ("askham_2018", "golub_1973")
    _packages: ClassVar[tuple[str, ...]] = ("numpy", "scipy")

    def __init__(
        self,
        rank: int | str = "auto",
        *,
        dt: float | None = None,
        n_delays: int | str = "auto",
        stable: bool = False,
        intervals: str = "analytic",
        n_bootstrap: int = 200,
        confidence_level: float = 0.95,
        rng: RNG = 0,
    ) -> None:
        self.rank = rank
        self.dt = dt
        self.n_delays = n_delays
        self.stable = stable
        self.intervals = intervals
        self.n_bootstrap = n_bootstrap
        self.confidence_level = confidence_level
        self.rng = rng

    def fit(self, X: Any, y: None = None) -> Self:
        """Fit the modes.

        Parameters
        ----------
        X : (time, unit), (trial, time, unit), a list of arrays (time, unit), or a DataArray
            NaN marks what is missing.
        y : not used.

        Returns
        -------
        self

        Raises
        ------
        KindError, ShapeError, UnitError, DataError
            Data without a clock or sampled unevenly, units that are constant or missing, a rank
            above what the data hold, too few frames.

        Warns
        -----
        ConvergenceWarning
            The search did not come to rest.
        """
        check_confidence_level(self.confidence_level)
        check_choice(self.intervals, "intervals", ("analytic", "bootstrap", "none"))
        delays = self.n_delays
        n_delays = None if delays == "auto" else check_count(delays, "n_delays")
        samples = as_trajectories(X, self.dt)
        with one_thread():
            fit = self._fit(samples, n_delays)
        if not fit.settled:
            warn_user(
                "The search for the eigenvalues did not come to rest. Pass a lower rank.",
                ConvergenceWarning,
            )
        return self

    def _fit(self, samples: Samples, n_delays: int | None) -> ModeFit:
        auto = isinstance(self.rank, str)
        if auto:
            check_choice(self.rank, "rank", ("auto",))
        most = MAX_RANK if auto else check_count(self.rank, "rank")
        axes = axes_of(samples, min(most, samples.values.shape[1]))
        trajectories = trajectories_of(samples, axes)
        if not trajectories:
            raise DataError(
                f"No trajectory has two complete frames ({int(axes.usable.sum())} of "
                f"{len(axes.usable)} frames are complete)",
                "Trajectories of more frames than the rank were needed",
                "Leave out the units that are often missing",
            )
        found: dict[int, ModeFit] = {}
        options: dict[str, Any] = {"n_delays": n_delays, "stable": bool(self.stable)}
        if auto:
            for rank in range(1, most + 1):
                try:
                    found[rank] = fit_rank(samples, axes, trajectories, rank, **options)
                except DataError:
                    if not found:
                        raise
                    break
                best = min(found, key=lambda r: found[r].criterion)
                # A pair may be worth it where one of it is not.
                if rank - best >= 3:
                    break
        else:
            found[most] = fit_rank(samples, axes, trajectories, most, **options)
        rank = min(found, key=lambda r: found[r].criterion)
        fit = found[rank]
        if self.intervals == "bootstrap":
            n_draws = check_count(self.n_bootstrap, "n_bootstrap")
            fit = bootstrapped(
                samples, axes, trajectories, fit, n_draws=n_draws, stable=bool(self.stable),
                rng=self.rng,
            )  # fmt: skip
        self.rank_, self.dt_ = int(rank), float(samples.dt)
        self.criteria_ = {str(k): float(f.criterion) for k, f in found.items()} if auto else {}
        self.n_delays_, self.settled_ = int(fit.n_delays), bool(fit.settled)
        self.explained_, self.correlation_ = float(fit.explained), float(fit.correlation)
        self.n_frames_ = int(sum(len(t.rows) for t in trajectories))
        self.n_left_out_ = int(len(axes.usable) - self.n_frames_)
        self.n_features_in_ = int(samples.values.shape[1])
        self.data_units_ = samples.units or "1"
        self.units_ = samples.unit
        keep_names(self, samples.unit if samples.units_named else None)
        last = np.array([t.rows[-1] for t in trajectories]) * samples.dt
        self._inner = fit_table(fit, samples.unit, last)
        self.parameters_ = table_of_modes(
            fit, self.dt_, float(last.max()), self.confidence_level, self.data_units_,
            intervals=self.intervals != "none", bootstrapped=self.intervals == "bootstrap",
        )  # fmt: skip
        return fit

    @property
    def eigenvalues_(self) -> NDArray[np.complex128]:
        """Eigenvalues, (rank,), 1/s, conjugates beside one another."""
        check_is_fitted(self, "parameters_")
        return eigenvalues_of(self._inner["rates"].values)

    @property
    def shapes_(self) -> xr.DataArray:
        """What each mode looks like, (mode, unit, part), of length 1."""
        check_is_fitted(self, "parameters_")
        return self._inner["shape"]

    @property
    def noise_sd_(self) -> xr.DataArray:
        """Sd of what the modes leave of a frame, (unit,)."""
        check_is_fitted(self, "parameters_")
        return self._inner["noise_sd"]

    def reconstruct(self) -> xr.DataArray:
        """Return what the modes say of the frames of the fit, (trajectory, time, unit).

        NaN after the last frame of a trajectory; without ``trajectory`` where there is one alone.
        """
        last = self._inner["duration"].values
        time = np.arange(0.0, round(last.max() / self.dt_) + 1) * self.dt_
        values, _ = self._at(time[None] + 0 * last[:, None], spread=False)
        values = np.where((time <= last[:, None] + self.dt_ / 2)[..., None], values, np.nan)
        return self._labelled(values, time, "s from the first frame")

    def forecast(self, duration: float) -> xr.Dataset:
        """Carry every trajectory on from its last frame.

        Parameters
        ----------
        duration : s.

        Returns
        -------
        Dataset
            ``forecast (trajectory, time, unit)``, and ``forecast_ci`` in which the next frame lies
            with the confidence level, noise included; without ``trajectory`` where there is one
            alone. ``time`` is s from the last frame.

        Raises
        ------
        DataError
            A mode that grows would carry the forecast out of all bounds.
        """
        check_is_fitted(self, "parameters_")
        steps = max(round(check_positive(duration, "duration", "s") / self.dt_), 1)
        ahead = np.arange(1.0, steps + 1) * self.dt_
        grows = float(self.eigenvalues_.real.max()) * ahead[-1]
        if grows > np.log(_EXPLODES):
            raise DataError(
                f"A mode grows by a factor of {np.exp(min(grows, 700.0)):.2g} in {ahead[-1]:g} s",
                f"A forecast that stays within a factor of {_EXPLODES:g} was needed",
                "Fit with stable=True, or forecast for a shorter time",
            )
        values, sd = self._at(self._inner["duration"].values[:, None] + ahead, spread=True)
        half = normal_quantile(self.confidence_level) * np.sqrt(
            sd**2 + self._inner["noise_sd"].values ** 2
        )
        mean = self._labelled(values, ahead, "s from the last frame")
        bounds = self._labelled(
            np.stack([values - half, values + half], -1), ahead, "s from the last frame"
        )
        bounds.attrs |= {"ci_kind": "prediction", "ci_prob": float(self.confidence_level)}
        return xr.Dataset({"forecast": mean, "forecast_ci": bounds})

    def _at(self, times: Array, *, spread: bool) -> tuple[Array, Array]:
        """Values, and their standard errors without noise, at times of each trajectory."""
        fit, rank = self._inner, self.rank_
        rates, covariance = fit["rates"].values, fit["covariance"].values
        values, sds = [], []
        noise = fit["noise_sd"].values
        for j, own in enumerate(times):
            functions = functions_of(own, rates)
            b = fit["coefficients"].values[j]
            basis = functions[:, :rank]
            values.append(basis @ b)
            if not spread:
                continue
            moved = np.einsum("ti,iur->tur", basis, fit["slopes"].values[j])
            moved += np.einsum("tf,rfu->tur", functions, slopes_of(b, rank))
            of_rates = np.einsum("tur,rq,tuq->tu", moved, covariance, moved)
            of_sizes = np.einsum("ti,ij,tj->t", basis, fit["inverses"].values[j], basis)
            sds.append(np.sqrt(np.maximum(of_rates + of_sizes[:, None] * noise**2, 0.0)))
        return np.stack(values), np.stack(sds) if spread else np.empty(0)

    def _labelled(self, values: Array, time: Array, said: str) -> xr.DataArray:
        dims: tuple[str, ...] = ("trajectory", "time", "unit", "ci_bound")[: values.ndim]
        coords: dict[str, Any] = {
            "time": ("time", time, {"units": "s", "long_name": said}), "unit": self.units_
        }  # fmt: skip
        if values.ndim == 4:
            coords["ci_bound"] = ["lower", "upper"]
        found = xr.DataArray(values, dims=dims, coords=coords, attrs={"units": self.data_units_})
        return found.isel(trajectory=0) if len(values) == 1 else found

    def continue_from(self, history: Any, n_steps: int) -> Array:
        """Carry a stretch of frames on: its sizes by least squares, then the modes.

        Parameters
        ----------
        history : (frame, unit) or (stretch, frame, unit), complete, at the clock of the fit.
        n_steps : frames after the last one.

        Returns
        -------
        (stretch, n_steps, unit), or (n_steps, unit) for one stretch.
        """
        check_is_fitted(self, "parameters_")
        past = np.asarray(history, dtype=float)
        one = past.ndim == 2
        past = past[None] if one else past
        if past.ndim != 3 or past.shape[2] != self.n_features_in_:
            raise ShapeError(
                f"The history has shape {np.shape(history)}",
                f"(frame, {self.n_features_in_}) or (stretch, frame, {self.n_features_in_}) "
                "was needed",
                "Pass the units of the fit, in their order",
            )
        n = past.shape[1]
        found = past.reshape(len(past), -1) @ self.continuation(n, n_steps)
        found = found.reshape(len(past), n_steps, -1)
        return found[0] if one else found

    def continuation(self, n_frames: int, n_steps: int) -> Array:
        """Linear map that carries so many frames on by so many: (frame * unit, step * unit).

        Parameters
        ----------
        n_frames : of the history, oldest first.
        n_steps : after it.
        """
        check_is_fitted(self, "parameters_")
        upper, looks = self._looks()
        steps = np.arange(n_frames + n_steps) - (n_frames - 1)
        waves = np.exp(np.outer(steps * self.dt_, upper))
        columns = waves[:, None, :] * looks.T
        both = np.concatenate([columns.real, -columns.imag], axis=-1)
        swings = np.concatenate([np.ones(len(upper), bool), upper.imag != 0])
        both = both[..., swings]
        before = both[:n_frames].reshape(-1, both.shape[-1])
        after = both[n_frames:].reshape(-1, both.shape[-1])
        return np.asarray(np.linalg.pinv(before, 1e-10).T @ after.T)

    def _looks(self) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
        table = self.parameters_
        upper = table["rate"].values + 2j * np.pi * table["frequency"].values
        parts = self._inner["shape"].values
        return upper, parts[..., 0] + 1j * parts[..., 1]

    def _report_table(self) -> Table:
        n = self._inner.sizes["trajectory"]
        head = [
            f"rank {self.rank_}"
            + (" by the Bayesian information criterion" if self.criteria_ else "")
            + f" of {counted(self.n_features_in_, 'unit')}; {counted(self.n_frames_, 'frame')} of "
            f"{format_number(self.dt_)} s in {'1 trajectory' if n == 1 else f'{n} trajectories'}"
            + (f", {self.n_left_out_} left out as incomplete" if self.n_left_out_ else "")
            + f"; the modes explain {100 * self.explained_:.4g} % of the power"
        ]
        if self.correlation_ > MORE_THAN_NOISE:
            head.append(
                f"Neighbouring frames share {self.correlation_:.2g} of what the modes leave"
            )
        return parameters_table(self.parameters_, "Modes", head=head)

    def _methods_sentence(self) -> str:
        how = {
            "analytic": "standard errors from the curvature of the likelihood",
            "bootstrap": "intervals from fits to blocks of residuals",
            "none": "no intervals",
        }[self.intervals]
        return (
            f"{counted(self.parameters_.sizes['mode'], 'mode')} (rank {self.rank_}"
            + (", by the Bayesian information criterion" if self.criteria_ else "")
            + f") were fitted to {self.n_features_in_} units by optimised dynamic mode "
            f"decomposition with variable projection, {how}"
        )

    def _papers_used(self) -> list[str]:
        return [*self._papers, *(["schwarz_1978"] if self.criteria_ else [])]

    def _after_load(self, content: SavedContent) -> None:
        self.units_ = self._inner["unit"].values
        keep_names(self, self.units_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def fit_modes(states: Any, dt: float | None = None, **settings: Any) -> Modes:
    """Fit modes with intervals to states: time constants in s and frequencies in Hz.

    Parameters
    ----------
    states : (time, unit), (trial, time, unit), a list of arrays (time, unit), or a variable of a
        recording.
    dt : s, between frames; a DataArray may bring it.
    **settings : of `Modes`: ``rank``, ``n_delays``, ``stable``, ``intervals``, ...

    Returns
    -------
    Modes
        Fitted.

    Raises
    ------
    KindError, ShapeError, UnitError, DataError
        See `Modes.fit`.

    See Also
    --------
    dmd : the methods of PyDMD behind one front.

    Examples
    --------
    >>> from neurornn.simulate import simulate_oscillators
    >>> run = simulate_oscillators(noise_sd=0.05, rng=0)
    >>> modes = fit_modes(run["series"], rank=5)
    >>> bool(modes.parameters_["status"].values[0] == "ok")
    True
    """
    return Modes(dt=dt, **settings).fit(states)
