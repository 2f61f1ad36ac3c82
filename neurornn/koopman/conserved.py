"""Quantities that are conserved along trajectories: found, tested, written down."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import (
    check_confidence_level,
    check_count,
    check_number,
    check_numbers,
)
from neurornn._core.confidence import delta_interval, to_dataset
from neurornn._core.errors import DataError
from neurornn._core.jobs import one_thread
from neurornn._core.quantities import Quantity
from neurornn._core.report import Table, parameters_table
from neurornn._core.rng import RNG, generator
from neurornn._core.status import Status
from neurornn.io.saved import SavedContent
from neurornn.io.shell import TableResult
from neurornn.koopman.dictionaries import Dictionary, make_dictionary
from neurornn.koopman.law_choice import (
    complete_trajectories,
    distinct,
    next_law,
    subspace_of,
)
from neurornn.koopman.law_search import (
    HeldOut,
    Scatters,
    scatters_of,
)
from neurornn.koopman.smoothing import smoothed
from neurornn.koopman.trajectories import as_trajectories

Array = NDArray[np.float64]

#: Most laws that are looked for.
_MAX_LAWS = 6
NOT_CONSERVED = "not_conserved"
_REMEDIES = {
    NOT_CONSERVED: (
        "The best candidate moves along trajectories by more than the tolerance, or may: nothing "
        "is claimed to be conserved. Bring more trajectories from different starts, less noise, "
        "or another dictionary."
    )
}


class ConservedQuantities(TableResult):
    """Functions of the states that stay along trajectories; made by `conserved_quantities`.

    Attributes
    ----------
    parameters : Dataset over ``law``
        ``p_value``, of the hypothesis that the quantity moves by the tolerance or more;
        ``variation``, root mean square of what it moves within a trajectory over its sd, with its
        interval; ``drift``, mean change from the first to the last frame over its sd, with its
        interval; ``status``, ``"ok"`` where it is conserved, ``"not_conserved"`` for the best
        candidate where none is.
    settings : how it was made.
    weights : Dataset, ``weight (law, term)`` and ``subspace (direction, term)``.
    """

    _tables: ClassVar[Sequence[str]] = ("parameters", "weights")
    _papers: ClassVar[tuple[str, ...]] = ("savitzky_1964", "berger_1996")
    _packages: ClassVar[tuple[str, ...]] = ("numpy", "scipy")
    _quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            name="p_value", units="1", dims=("law",),
            long_name="probability of so small a change if it moved by the tolerance",
            method="intersection-union test of variation and drift on trajectories held out from "
            "the choice", reason="a probability",
        ),
        Quantity(
            name="variation", units="1", dims=("law",),
            long_name="change within a trajectory over the sd of the quantity",
            method="root mean square, noise removed; Student's t over trajectories held out",
        ),
        Quantity(
            name="drift", units="1", dims=("law",),
            long_name="change along a trajectory over the sd of the quantity",
            method="mean slope times duration; Student's t over trajectories held out",
        ),
    )  # fmt: skip
    weights: xr.Dataset

    def __init__(
        self,
        parameters: xr.Dataset,
        settings: Mapping[str, Any],
        *,
        weights: xr.Dataset,
        dictionary: Dictionary | None = None,
    ) -> None:
        super().__init__(parameters, settings, weights=weights)
        self._dictionary = dictionary or Dictionary.from_settings(settings["dictionary"])

    @property
    def n_laws(self) -> int:
        """Number of independent quantities that are conserved."""
        return int((self.parameters["status"].values == str(Status.OK)).sum())

    @property
    def p_value(self) -> xr.DataArray:
        """P-value of every law, (law,)."""
        return self.parameters["p_value"]

    @property
    def variables(self) -> list[str]:
        """Names of the variables."""
        return list(self._dictionary.labels)

    @property
    def expression(self) -> list[str]:
        """Every law written down, its largest weight 1."""
        return [_written(w, self._dictionary) for w in self.weights["weight"].values]

    @property
    def subspace(self) -> xr.DataArray:
        """Combinations of the dictionary that stay, (direction, term): laws and functions of them.

        Directions are of scatter 1 over the states of the fit.
        """
        return self.weights["subspace"]

    def evaluate(self, states: Any) -> xr.DataArray:
        """Return the laws at states.

        Parameters
        ----------
        states : (..., variable), the variables of the fit in their order.

        Returns
        -------
        (..., law), without unit; with the dims of the states where they have any.
        """
        dims = [str(d) for d in getattr(states, "dims", ())]
        x = check_numbers(states, "states")
        values = self._dictionary(x) @ self.weights["weight"].values.T
        names = dims[:-1] if len(dims) == x.ndim else [f"dim_{k}" for k in range(x.ndim - 1)]
        coords = {}
        if len(dims) == x.ndim:
            coords = {d: states[d].values for d in dims[:-1] if d in states.coords}
        return xr.DataArray(values, dims=[*names, "law"], coords=coords, attrs={"units": "1"})

    def along(self, rollouts: Any, confidence_level: float | None = None) -> xr.Dataset:
        """Say how far the laws move along other trajectories, the free runs of a network say.

        Parameters
        ----------
        rollouts : (trial, time, variable), or a list of arrays (time, variable), without noise.
        confidence_level : of the intervals, by default that of the fit.

        Returns
        -------
        Dataset over ``law``
            ``variation`` and ``drift`` over the sd of the law in the data of the fit, each with
            its interval over trajectories; NaN where there is one alone.

        Raises
        ------
        DataError
            Trajectories that are not finite.
        """
        level = confidence_level or float(self.settings["confidence_level"])
        samples = as_trajectories(rollouts, None, "rollouts", timeless=True)
        if not np.isfinite(samples.values).all():
            raise DataError(
                "The rollouts hold NaN or infinite values",
                "Trajectories that stay finite were needed",
                "Leave out those that diverged, and say how many",
            )
        values = self.evaluate(samples.values).values
        moved, slopes = [], []
        for stretch in samples.stretches:
            own = values[stretch]
            t = np.linspace(-0.5, 0.5, len(own))
            moved.append(np.mean((own - own.mean(axis=0)) ** 2, axis=0))
            slopes.append(t @ own / (t @ t))
        a, d = np.array(moved), np.array(slopes)
        n = len(a)
        # Laws have sd 1 over the states of the fit.
        spread = [np.std(x, axis=0, ddof=min(1, n - 1)) / np.sqrt(n) for x in (a, d)]
        if n == 1:
            spread = [s + np.nan for s in spread]
        mean = d.mean(axis=0)
        estimates = [
            self.quantity("variation").of(*_rooted(a.mean(axis=0), spread[0], level, n)),
            self.quantity("drift").of(
                mean, delta_interval(mean, spread[1], level, dof=max(n - 1, 1))
            ),
        ]
        return to_dataset(
            estimates, confidence_level=level, coords={"law": self.parameters["law"].values}
        )

    def _report_table(self) -> Table:
        s = self.settings
        n = self.n_laws
        head = [
            f"{n} {'quantity' if n == 1 else 'quantities'} conserved"
            if n
            else "nothing is found to be conserved",
            f"{s['n_trajectories']} trajectories of {s['n_variables']} variables, "
            f"{s['n_terms']} functions; conserved: moves by less than {100 * s['tolerance']:g} % "
            f"of its sd along a trajectory, at a level of {s['alpha']:g}",
        ]
        names = self.parameters["law"].values.tolist()
        said = [f"{k}: {e}" for k, e in zip(names, self.expression, strict=True)]
        return parameters_table(self.parameters, "Conserved quantities", head=head, notes=said)

    def __repr__(self) -> str:
        laws = "; ".join(self.expression[: self.n_laws]) or "none"
        return f"ConservedQuantities({self.n_laws}: {laws})"

    def _methods_sentence(self) -> str:
        s = self.settings
        return (
            f"Conserved quantities were sought among combinations of {s['n_terms']} functions of "
            f"{s['n_variables']} variables along {s['n_trajectories']} smoothed trajectories, as "
            "those with the least change within trajectories over their scatter, noise removed; "
            "each was chosen on half of the trajectories and tested on the others, both ways "
            f"(equivalence test, tolerance {s['tolerance']:g} of an sd)"
        )

    def _to_saved(self) -> dict[str, Any]:
        # Refuses where the dictionary is a function of the user.
        self._dictionary.to_settings()
        return super()._to_saved()

    @classmethod
    def _from_saved(cls, content: SavedContent) -> Self:
        return cls(
            content.tables["parameters"], content.settings, weights=content.tables["weights"]
        )


def conserved_quantities(
    trajectories: Any,
    dt: float | None = None,
    *,
    dictionary: Any = "auto",
    degree: int = 4,
    tolerance: float = 0.07,
    alpha: float = 0.05,
    max_laws: int = _MAX_LAWS,
    confidence_level: float = 0.95,
    rng: RNG = 0,
) -> ConservedQuantities:
    """Find functions of the states that trajectories keep, with a test, and write them down.

    Parameters
    ----------
    trajectories : (trial, time, variable), a list of arrays (time, variable), or a DataArray
        At least 8, from starts that differ; noise of each frame is allowed for. NaN marks frames
        that are missing.
    dt : s, between frames; only their order and evenness matter here.
    dictionary : ``"auto"`` (polynomials, sine and cosine of every variable, logarithm of those
        that are positive), one or several of ``"polynomial"``, ``"trigonometric"``, ``"log"``,
        ``"radial"``, or a function of states (..., variable) -> (..., value). Without constants.
    degree : of the polynomials.
    tolerance : what counts as conserved: the root mean square of what a quantity moves within a
        trajectory, over its sd over all states, and a trend that makes as much of it.
    alpha : level of the test.
    max_laws : most that are looked for; never as many as there are variables.
    confidence_level : of the intervals.
    rng : int, Generator or None; which half of the trajectories chooses first.

    Returns
    -------
    ConservedQuantities

    Raises
    ------
    KindError, ShapeError, UnitError, DataError
        Too few or too short trajectories, data sampled unevenly, a dictionary that is not known.

    Notes
    -----
    Trajectories are smoothed by local polynomials whose reach is cross-validated (Savitzky & Golay
    1964). A function with weights w moves within trajectories by ``w' W w`` (what is left of the
    noise subtracted) and scatters by ``w' B w``; the least ratio is an eigenvalue. The simplest
    set of functions whose ratio is as low as that of any, to a standard error, is kept. Half of
    the trajectories choose it, the others judge it, and the other way round. The hypothesis is
    that the quantity is *not* conserved: that it varies, or drifts, by the tolerance or more; it
    is rejected where both are smaller beyond chance (intersection-union test, Berger & Hsu 1996),
    which holds its level for data that conserve nothing. Laws after the first must scatter by what
    polynomials of those before do not explain.

    A quantity that is conserved to the tolerance over the length of these trajectories may drift
    over longer ones; one that takes the same value in all of them is a constant to any method.

    References
    ----------
    Berger & Hsu 1996, Statistical Science 11:283, doi:10.1214/ss/1032280304.

    Examples
    --------
    >>> from neurornn.simulate import simulate_system
    >>> run = simulate_system("pendulum", 10.0, 0.1, n_trials=40, spread=0.6, noise_sd=0.05, rng=0)
    >>> laws = conserved_quantities(run["series"])
    >>> laws.n_laws
    1
    """
    check_confidence_level(confidence_level)
    for name, share in (("tolerance", tolerance), ("alpha", alpha)):
        if not 0 < check_number(share, name) < 1:
            raise DataError(
                f"{name} is {share}",
                "A number between 0 and 1 was needed",
                f"Pass {name}=0.05",
            )
    samples = as_trajectories(trajectories, dt, "trajectories", timeless=True)
    parts, times, labels = complete_trajectories(samples)
    with one_thread():
        smooth = smoothed(parts, times)
        states = np.concatenate([s.values for s in smooth])
        made = make_dictionary(
            dictionary, states, labels, degree=degree, constant=False, rng=generator(rng)
        )
        made = distinct(made, states)
        scatters = scatters_of(smooth, made)
        n = len(parts)
        order = generator(rng).permutation(n)
        halves = [np.sort(order[: n // 2]), np.sort(order[n // 2 :])]
        laws: list[tuple[Array, HeldOut, float]] = []
        # More would leave trajectories no line to move along.
        most = min(check_count(max_laws, "max_laws"), max(len(labels) - 1, 1))
        for _ in range(most):
            known = [w for w, *_ in laws]
            found, held, p = next_law(scatters, halves, known, made.degrees, tolerance)
            if found is None or (laws and p > alpha):
                break
            laws.append((found, held, p))
            if p > alpha:
                break
        subspace = subspace_of(scatters, tolerance)
    settings = {
        "n_trajectories": n,
        "n_frames": int(sum(map(len, parts))),
        "n_variables": len(labels),
        "tolerance": float(tolerance),
        "alpha": float(alpha),
        "confidence_level": float(confidence_level),
        "dt": float(samples.dt),
    }
    return _told(laws, subspace, made, scatters, settings)


def _rooted(mean: Array, se: Array, level: float, n: int) -> tuple[Array, Array]:
    """Root of a mean square and its interval, never below 0."""
    ends = delta_interval(mean, se, level, dof=max(n - 1, 1))
    return np.sqrt(np.maximum(mean, 0.0)), np.sqrt(np.maximum(ends, 0.0))


def _told(
    laws: list[tuple[Array, HeldOut, float]],
    subspace: Array,
    made: Dictionary,
    scatters: Scatters,
    settings: dict[str, Any],
) -> ConservedQuantities:
    level, n = settings["confidence_level"], settings["n_trajectories"] // 2
    held = [h for _, h, _ in laws]
    ratio, ratio_se = (np.array([getattr(h, k) for h in held]) for k in ("ratio", "ratio_se"))
    drift, drift_se = (np.array([getattr(h, k) for h in held]) for k in ("drift", "drift_se"))
    p = np.array([x for *_, x in laws])
    of = ConservedQuantities.quantity
    status = np.where(p <= settings["alpha"], str(Status.OK), NOT_CONSERVED)
    table = to_dataset(
        [
            of("p_value").of(p),
            of("variation").of(*_rooted(ratio, ratio_se, level, n)),
            of("drift").of(drift, delta_interval(drift, drift_se, level, dof=max(n - 1, 1))),
        ],
        confidence_level=level,
        coords={"law": np.arange(len(laws))},
        status=status,
        status_dims=("law",),
        remedies=_REMEDIES,
    )
    weights = xr.Dataset(
        {
            "weight": (("law", "term"), np.array([w for w, *_ in laws]).reshape(-1, len(made))),
            "subspace": (("direction", "term"), subspace),
        },
        coords={"law": np.arange(len(laws)), "term": made.names},
    )
    if made.given is None:
        settings["dictionary"] = made.to_settings()
    settings["n_terms"] = len(made)
    return ConservedQuantities(table, settings, weights=weights, dictionary=made)


def _written(weights: Array, dictionary: Dictionary) -> str:
    """A law as text, the largest of its weights 1."""
    used = np.flatnonzero(weights)
    if not len(used):
        return "0"
    scaled = weights / weights[used[np.argmax(np.abs(weights[used]))]]
    names, text = dictionary.names, ""
    for k in used:
        size = f"{abs(scaled[k]):.3g}"
        factor = "" if size == "1" else f"{size} "
        sign = "-" if scaled[k] < 0 else "+"
        begin = f" {sign} " if text else sign.strip("+")
        text += f"{begin}{factor}{names[k]}"
    return text
