"""Extended dynamic mode decomposition: a linear map between functions of the states."""

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
    check_number,
    check_numbers,
    check_positive,
)
from neurornn._core.errors import DataError, ShapeError
from neurornn._core.jobs import one_thread
from neurornn._core.quantities import Quantity
from neurornn._core.report import Table, parameters_table
from neurornn._core.rng import RNG, generator
from neurornn._core.units import format_number
from neurornn.io.saved import SavedContent
from neurornn.io.shell import Estimator, keep_names
from neurornn.koopman.closure import closure_of, pieces_of
from neurornn.koopman.dictionaries import Dictionary, make_dictionary
from neurornn.koopman.edmd_parts import (
    labels_of,
    map_table,
    parts_of,
    rates_of_steps,
    shown_modes,
    sorted_map,
)
from neurornn.koopman.edmd_table import QUANTITIES, table_of_map
from neurornn.koopman.lifted import lifted_map
from neurornn.koopman.trajectories import as_trajectories

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

#: Ways to treat the noise of a frame.
NOISES = ("ignored", "instruments", "trajectories")
#: A forecast further out than so many times the largest state of the fit has left for good.
_FAR = 100.0
_HOW = {
    "ignored": "least squares from frame to frame",
    "instruments": "least squares with the frame before as instrument",
    "trajectories": "maximum likelihood along whole trajectories",
}


class EDMD(Estimator):
    """Extended dynamic mode decomposition: functions of the states that move linearly.

    Parameters
    ----------
    dictionary : ``"polynomial"``, ``"trigonometric"``, ``"log"``, ``"radial"``, ``"auto"``,
        several of them, or a function of states (..., variable) -> (..., value). A 1 is added.
    degree : of the polynomials.
    dt : s, between frames; where the data have a clock of their own, it may be left out.
    n_delays : frames that make one state.
    measurement_noise : what is done about noise of the frames, which makes every eigenvalue of
        least squares too small, and so invents a decay: ``"ignored"``; ``"instruments"``, the
        frame before stands in for one whose noise is of its own; ``"trajectories"``, the
        likelihood of whole trajectories, for few functions that close among themselves.
    penalty : of the squared weights per frame, over the mean square of the functions.
    n_centres : bumps of the radial dictionary.
    n_bootstrap : draws of trajectories, or of stretches of a long one, for the intervals; 0 for
        none.
    confidence_level : of the intervals.
    rng : int, Generator or None.

    Attributes
    ----------
    parameters_ : Dataset over ``mode``, a conjugate pair as one
        ``time_constant`` (s), ``frequency`` (Hz) and ``rate`` (1/s), each with its interval;
        ``residual``, what a step leaves over the size of the eigenfunction, and ``missed``, the
        part of that which does not come of noise over the change that the mode makes in a step;
        ``status``: ``not_closed`` where more is missed than a tenth, beyond noise, and
        ``shrunk_by_noise`` where noise of the frames takes as much. The slowest is first; the
        constant function, of eigenvalue 1, is left out.
    transition_ : (term, term), of the functions from one frame to the next: ``f(x') = f(x) @ it``.
    input_weight_ : (input, term), where inputs came.
    readout_ : (term, variable), from functions back to the states.
    dictionary_ : the functions, with ``names``.
    eigenvalues_ : (term,), complex, 1/s.

    Notes
    -----
    Least squares is Williams, Kevrekidis & Rowley 2015. With noise that is independent from frame
    to frame, the expectation of polynomials, sines and exponentials of a noisy state is a linear
    map of those of the state, so that instruments (Soderstrom 2002) and the likelihood leave
    eigenvalues where they are; eigenfunctions are then those of the noisy states.

    Nothing makes the functions close: most do not, and eigenvalues then depend on the dictionary.
    So what a step leaves is looked at (the residual of Colbrook & Townsend 2024). What noise adds
    is new in every step; what is still known two steps later is a function of the state that the
    dictionary lacks.

    Two forecasts come out of one fit and may differ by orders of magnitude: ``linear`` applies the
    map to the functions again and again; ``relifted`` reads the state after every step and takes
    its functions anew. Both are always given.

    References
    ----------
    Williams, Kevrekidis & Rowley 2015, J. Nonlinear Sci. 25:1307, doi:10.1007/s00332-015-9258-5;
    Soderstrom & Stoica 2002, Circuits Syst. Signal Process. 21:1, doi:10.1007/BF01211647;
    Colbrook & Townsend 2024, Comm. Pure Appl. Math. 77:221, doi:10.1002/cpa.22125.

    Examples
    --------
    >>> from neurornn.simulate import simulate_system
    >>> run = simulate_system("slow_manifold", 5.0, 0.1, n_trials=20, spread=0.5, rng=0)
    >>> square = lambda x: np.stack([x[..., 0], x[..., 1], x[..., 0] ** 2], axis=-1)
    >>> edmd = EDMD(dictionary=square).fit(run["series"])
    >>> edmd.parameters_["rate"].values.round(3)
    array([-0.05, -0.1 , -1.  ])
    """

    _quantities: ClassVar[tuple[Quantity, ...]] = QUANTITIES
    _tables: ClassVar[Mapping[str, str]] = {"parameters": "parameters_", "map": "map_"}
    _kept: ClassVar[Mapping[str, str]] = {
        "dt": "dt_", "n_features": "n_features_in_", "n_frames": "n_frames_",
        "largest": "largest_", "n_parts": "n_parts_",
    }  # fmt: skip
    _papers: ClassVar[tuple[str, ...]] = ("williams_2015", "colbrook_2024")
    _packages: ClassVar[tuple[str, ...]] = ("numpy", "scipy")

    def __init__(
        self,
        dictionary: Any = "polynomial",
        *,
        degree: int = 3,
        dt: float | None = None,
        n_delays: int = 1,
        measurement_noise: str = "ignored",
        penalty: float = 1e-10,
        n_centres: int = 50,
        n_bootstrap: int = 0,
        confidence_level: float = 0.95,
        rng: RNG = 0,
    ) -> None:
        self.dictionary = dictionary
        self.degree = degree
        self.dt = dt
        self.n_delays = n_delays
        self.measurement_noise = measurement_noise
        self.penalty = penalty
        self.n_centres = n_centres
        self.n_bootstrap = n_bootstrap
        self.confidence_level = confidence_level
        self.rng = rng

    def fit(self, X: Any, y: None = None, *, inputs: Any = None) -> Self:
        """Fit the map.

        Parameters
        ----------
        X : (time, variable), (trial, time, variable), a list of arrays, or a DataArray
            NaN marks what is missing; pairs of frames that are not complete are left out.
        y : not used.
        inputs : of the shape of X with inputs for variables, held from a frame to the next one.

        Returns
        -------
        self

        Raises
        ------
        KindError, ShapeError, UnitError, DataError
            Data without a clock or sampled unevenly, fewer pairs of frames than functions.
        """
        check_confidence_level(self.confidence_level)
        noise = check_choice(self.measurement_noise, "measurement_noise", NOISES)
        if not check_number(self.penalty, "penalty") >= 0:
            raise DataError(
                f"penalty is {self.penalty}", "A number of 0 or more was needed", "Pass 0"
            )
        delays = check_count(self.n_delays, "n_delays")
        n_draws = check_count(self.n_bootstrap, "n_bootstrap", 0)
        samples = as_trajectories(X, self.dt)
        driven = None if inputs is None else as_trajectories(inputs, samples.dt, "inputs")
        if driven is not None and not np.array_equal(driven.run, samples.run):
            raise ShapeError(
                f"The inputs have {driven.n_rows} frames in {len(driven.stretches)} trajectories, "
                f"the states {samples.n_rows} in {len(samples.stretches)}",
                "An input for every frame was needed",
                "Bring the inputs onto the frames of the states",
            )
        if driven is not None and noise == "trajectories":
            raise DataError(
                "Inputs came with measurement_noise='trajectories'",
                "A system without inputs was needed for the likelihood of whole trajectories",
                "Pass measurement_noise='instruments'",
            )
        parts, fed = parts_of(samples, driven, delays)
        labels = labels_of(samples, delays)
        with one_thread():
            states = np.concatenate(parts)
            states = states[np.isfinite(states).all(axis=1)]
            if not len(states):
                raise DataError(
                    f"No {delays} frames in a row are complete",
                    "Stretches of complete frames were needed",
                    "Pass fewer n_delays, or leave out units that are often missing",
                )
            self.dictionary_ = make_dictionary(
                self.dictionary, states, labels, degree=self.degree, n_centres=self.n_centres,
                rng=generator(self.rng),
            )  # fmt: skip
            lifted = [self.dictionary_(p) for p in parts]
            options: dict[str, Any] = {
                "noise": noise,
                "penalty": float(self.penalty),
                "dt": samples.dt,
            }
            found = lifted_map(lifted, fed, parts, **options)
            draws = self._draws(lifted, fed, parts, n_draws, options)
            steps, weights = sorted_map(found.transition)
            shown = shown_modes(steps)
            closure = closure_of(
                found, steps[shown], weights[:, shown], lifted, fed, noise, self.confidence_level
            )
        self.dt_, self.n_features_in_ = float(samples.dt), int(samples.values.shape[1])
        self.n_frames_, self.n_parts_ = int(found.n_pairs), len(parts)
        self.largest_ = float(np.abs(states).max())
        self.units_ = samples.unit
        keep_names(self, samples.unit if samples.units_named else None)
        self.map_ = map_table(found, self.dictionary_.names, labels[: self.n_features_in_])
        self.parameters_ = table_of_map(
            found.transition, self.dt_, draws, n_draws, closure, self.confidence_level
        )
        return self

    def _draws(
        self,
        lifted: list[Array],
        fed: list[Array] | None,
        parts: list[Array],
        n_draws: int,
        options: dict[str, Any],
    ) -> list[Array]:
        """Maps of trajectories drawn anew; of stretches of them where there are few."""
        if not n_draws:
            return []
        pieces = pieces_of(lifted)
        draw, found = generator(self.rng), []
        for _ in range(n_draws):
            picks = [pieces[k] for k in draw.integers(len(pieces), size=len(pieces))]
            try:
                one = lifted_map(
                    [lifted[k][s] for k, s in picks],
                    None if fed is None else [fed[k][s] for k, s in picks],
                    [parts[k][s] for k, s in picks],
                    **options,
                )
            except (DataError, np.linalg.LinAlgError):
                continue
            found.append(one.transition)
        return found

    @property
    def variables(self) -> list[str]:
        """Names of the variables that one state of the fit has."""
        check_is_fitted(self, "map_")
        return list(self.dictionary_.labels)

    @property
    def transition_(self) -> Array:
        """Map of the functions from one frame to the next, (term, term)."""
        check_is_fitted(self, "map_")
        return np.asarray(self.map_["transition"].values)

    @property
    def readout_(self) -> Array:
        """From functions to states, (term, variable)."""
        check_is_fitted(self, "map_")
        return np.asarray(self.map_["readout"].values)

    @property
    def input_weight_(self) -> Array | None:
        """What an input adds to the functions of the next frame, (input, term)."""
        check_is_fitted(self, "map_")
        return (
            np.asarray(self.map_["input_weight"].values) if "input_weight" in self.map_ else None
        )

    @property
    def eigenvalues_(self) -> Complex:
        """Eigenvalues, (term,), 1/s, the slowest first; the constant's 0 is among them."""
        return rates_of_steps(sorted_map(self.transition_)[0], self.dt_)

    def eigenfunctions(self, states: Any) -> xr.DataArray:
        """Return the eigenfunctions at states.

        Parameters
        ----------
        states : (..., variable), the variables of the fit; with ``n_delays`` above 1
            (..., delay * variable), the newest frame first.

        Returns
        -------
        (..., mode), complex, in the order of `parameters_`; a pair by its upper member. They turn
        and decay as ``exp(eigenvalue * t)`` along trajectories; their size is that of a unit mean
        square over the functions' weights.
        """
        check_is_fitted(self, "map_")
        dims = [str(d) for d in getattr(states, "dims", ())]
        x = check_numbers(states, "states")
        values, vectors = sorted_map(self.transition_)
        chosen = shown_modes(values)
        found = self.dictionary_(x) @ vectors[:, chosen]
        names = dims[:-1] if len(dims) == x.ndim else [f"dim_{k}" for k in range(x.ndim - 1)]
        return xr.DataArray(found, dims=[*names, "mode"], coords={"mode": np.arange(len(chosen))})

    def forecast(self, history: Any, duration: float, *, inputs: Any = None) -> xr.Dataset:
        """Carry states on, in both ways.

        Parameters
        ----------
        history : (variable,), (frame, variable) or (trial, frame, variable)
            What came before; the last ``n_delays`` frames of it count.
        duration : s.
        inputs : (time, input) or (trial, time, input), where the fit had inputs: from the last
            frame of the history on.

        Returns
        -------
        Dataset
            ``linear`` and ``relifted``, each (trial, time, unit), or (time, unit) for one history;
            NaN from where a forecast has left for good. ``time`` is s from the last frame.

        Raises
        ------
        ShapeError, DataError
            A history of other variables, or too short; inputs that are missing.
        """
        check_is_fitted(self, "map_")
        steps = max(round(check_positive(duration, "duration", "s") / self.dt_), 1)
        past = check_numbers(history, "history", missing=False)
        if past.ndim == 1:
            past = past[None]
        one = past.ndim == 2
        past = past[None] if one else past
        n = self.n_features_in_
        if past.ndim != 3 or past.shape[2] != n or past.shape[1] < self.n_delays:
            raise ShapeError(
                f"The history has shape {np.shape(history)}",
                f"At least {self.n_delays} frames of {n} variables, (frame, {n}), were needed",
                "Pass the last frames before the forecast",
            )
        drive = self._drive(inputs, len(past), steps)
        newest = past[:, ::-1][:, : self.n_delays].reshape(len(past), -1)
        found = {
            how: self._run(newest, steps, drive, relift=how == "relifted")
            for how in ("linear", "relifted")
        }
        time = np.arange(1.0, steps + 1) * self.dt_
        coords = {"time": ("time", time, {"units": "s"}), "unit": self.units_}
        table = xr.Dataset(
            {k: (("trial", "time", "unit"), v) for k, v in found.items()}, coords=coords
        )
        return table.isel(trial=0) if one else table

    def _drive(self, inputs: Any, n_trials: int, steps: int) -> Array | None:
        weight = self.input_weight_
        if weight is None:
            if inputs is not None:
                raise DataError(
                    "Inputs came to a fit without inputs",
                    "None were needed",
                    "Leave them out, or fit with inputs",
                )
            return None
        given = np.zeros((0, 0, 0)) if inputs is None else check_numbers(inputs, "inputs")
        given = given[None] if given.ndim == 2 else given
        given = np.broadcast_to(given, (n_trials, *given.shape[1:])) if len(given) == 1 else given
        if given.shape[0] != n_trials or given.shape[1] < steps or given.shape[2] != len(weight):
            raise ShapeError(
                f"The inputs have shape {np.shape(inputs)}",
                f"({n_trials}, {steps} or more, {len(weight)}) was needed",
                "Pass the inputs from the last frame of the history on",
            )
        return np.asarray(given[:, :steps] @ weight)

    def _run(self, newest: Array, steps: int, drive: Array | None, *, relift: bool) -> Array:
        n, far = self.n_features_in_, _FAR * self.largest_
        k, c = self.transition_, self.readout_
        out = np.full((len(newest), steps, n), np.nan)
        state, lifted = newest.copy(), self.dictionary_(newest)
        inside = np.ones(len(newest), dtype=bool)
        with np.errstate(over="ignore", invalid="ignore"):
            for t in range(steps):
                lifted = lifted @ k + (0 if drive is None else drive[:, t])
                found = lifted @ c
                inside &= np.isfinite(found).all(axis=1) & (np.abs(found) < far).all(axis=1)
                if not inside.any():
                    break
                out[inside, t] = found[inside]
                state = np.concatenate([np.where(inside[:, None], found, 0.0), state[:, :-n]], 1)
                if relift:
                    lifted = self.dictionary_(state)
        return out

    def _report_table(self) -> Table:
        head = [
            f"{len(self.dictionary_)} functions of {self.n_features_in_} variables"
            + (f", {self.n_delays} frames a state" if self.n_delays > 1 else "")
            + f"; {self.n_frames_} pairs of frames {format_number(self.dt_)} s apart; "
            + _HOW[self.measurement_noise]
        ]
        return parameters_table(self.parameters_, "EDMD", head=head)

    def _methods_sentence(self) -> str:
        return (
            f"A linear map between {len(self.dictionary_)} functions of {self.n_features_in_} "
            f"variables was fitted by extended dynamic mode decomposition, "
            f"{_HOW[self.measurement_noise]}"
        )

    def _papers_used(self) -> list[str]:
        extra = ["soderstrom_2002"] if self.measurement_noise == "instruments" else []
        return [*self._papers, *extra]

    def _settings_to_save(self) -> dict[str, Any]:
        settings = super()._settings_to_save()
        check_is_fitted(self, "map_")
        # Refuses where the dictionary is a function of the user.
        self.dictionary_.to_settings()
        return settings

    def _to_saved(self) -> dict[str, Any]:
        saved = super()._to_saved()
        saved["settings"]["functions"] = self.dictionary_.to_settings()
        return saved

    def _after_load(self, content: SavedContent) -> None:
        self.dictionary_ = Dictionary.from_settings(content.settings["functions"])
        self.units_ = self.map_["unit"].values
        keep_names(self, self.units_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
