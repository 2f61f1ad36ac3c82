"""Do two accounts of the same system have the same time scales? Their eigenvalues compared."""

import copy
from itertools import permutations
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from neurornn._core.checks import check_choice, check_confidence_level, check_count
from neurornn._core.confidence import delta_interval, draws_interval, normal_quantile, to_dataset
from neurornn._core.errors import DataError, KindError
from neurornn._core.quantities import Quantity
from neurornn._core.report import Table, parameters_table
from neurornn._core.rng import RNG, generator
from neurornn._core.status import Status, remedies_of
from neurornn._core.units import counted
from neurornn.dynamics.fixed_points import find_fixed_points
from neurornn.dynamics.point_table import FixedPoints
from neurornn.io.shell import TableResult
from neurornn.koopman.edmd import EDMD
from neurornn.koopman.modes import Modes
from neurornn.models.base import RecurrentModel
from neurornn.training.result import FitResult

Array = NDArray[np.float64]

#: All orders of up to so many modes are looked at; of more, some at random.
_ALL_ORDERS, _ORDERS = 6, 2000
_NO_ERRORS = "neither spectrum has standard errors"


class _Spectrum(NamedTuple):
    """Rates (1/s) and frequencies (Hz) of modes, pairs as one, with standard errors and status."""

    rate: Array
    frequency: Array
    rate_se: Array
    frequency_se: Array
    status: NDArray[Any]
    said: str
    remedies: dict[str, str]


class SpectraComparison(TableResult):
    """Two spectra beside one another; made by `spectra`.

    Attributes
    ----------
    parameters : Dataset over ``mode``, matched so that they agree best
        ``time_constant`` and ``time_constant_other`` (s), ``frequency`` and ``frequency_other``
        (Hz), each with its interval where its account gives one; ``difference``, between the two
        eigenvalues over their mean size. For the whole: ``distance``, the mean of these;
        ``ceiling``, what standard errors alone make of a distance of 0; ``p_value`` of the
        hypothesis that both are the same; ``chance``, share of the orders in which modes could be
        matched that agree as well. ``status (mode)`` is that of the first account's mode, or of
        the second's where the first's is ok.
    settings : how it was made.
    """

    _papers: ClassVar[tuple[str, ...]] = ("kuhn_1955",)
    _packages: ClassVar[tuple[str, ...]] = ("numpy", "scipy")
    _quantities: ClassVar[tuple[Quantity, ...]] = (
        *(
            Quantity(
                name=f"{name}{which}", units=unit, dims=("mode",), long_name=f"{said}{of}",
                method="as its account gave it; interval from its standard error",
                reason="the account gives no standard error, or the mode grows or does not swing",
            )
            for name, unit, said in (
                ("time_constant", "s", "time constant"), ("frequency", "Hz", "frequency"),
            )
            for which, of in (("", " of the first"), ("_other", " of the second"))
        ),
        Quantity(
            name="difference", units="1", dims=("mode",),
            long_name="difference of the eigenvalues over their mean size",
            method="modulus of the difference of matched eigenvalues",
            reason="judged as a whole, by the distance",
        ),
        Quantity(
            name="distance", units="1", long_name="mean difference of matched eigenvalues",
            method="optimal assignment", reason="judged against the ceiling",
        ),
        Quantity(
            name="ceiling", units="1", long_name="distance that standard errors alone make",
            method="median over draws of both around their common mean; quantiles of them",
            reason=_NO_ERRORS,
        ),
        Quantity(
            name="p_value", units="1", long_name="probability of so large a distance by noise",
            method="share of such draws that are as far apart", reason="a probability",
        ),
        Quantity(
            name="chance", units="1", long_name="probability of so small a distance by chance",
            method="share of all orders of the second spectrum that agree as well",
            reason="a probability",
        ),
    )  # fmt: skip

    @property
    def distance(self) -> float:
        """Mean difference of matched eigenvalues over their size."""
        return float(self.parameters["distance"])

    @property
    def p_value(self) -> float:
        """Probability of so large a distance if both spectra were the same."""
        return float(self.parameters["p_value"])

    @property
    def verdict(self) -> str:
        """What the numbers say, in words, and how many rows rest on modes that are not ok."""
        status = self.status.values
        bad = sorted(set(status[status != Status.OK].tolist()))
        if not bad:
            return self._judged()
        n = int(np.sum(status != Status.OK))
        return f"{self._judged()}; not ok: {n} of {counted(len(status), 'row')} ({', '.join(bad)})"

    def _judged(self) -> str:
        p, chance = self.p_value, float(self.parameters["chance"])
        if np.isnan(p):
            return "no standard errors came: nothing says whether the difference is noise"
        if p < self.settings["alpha"]:
            return "the time scales differ beyond noise"
        if chance > 0.05:
            return "the difference is within noise, but other orders agree as well: few modes"
        return "the same time scales, as far as noise can tell"

    def _report_table(self) -> Table:
        s = self.settings
        head = [
            self.verdict,
            f"first: {s['first']}; second: {s['second']}; {s['n_matched']} modes matched, "
            f"{s['n_left_out']} left over",
        ]
        return parameters_table(self.parameters, "Spectra compared", head=head)

    def __repr__(self) -> str:
        return f"SpectraComparison(distance {self.distance:.3g}, p {self.p_value:.2g})"

    def _methods_sentence(self) -> str:
        s = self.settings
        return (
            f"Eigenvalues of {s['first']} and of {s['second']} were matched by optimal assignment "
            f"({s['n_matched']} modes) and compared with {s['n_draws']} draws from their standard "
            "errors"
        )


def spectra(
    a: Any,
    b: Any,
    *,
    n_modes: int | None = None,
    point: int = 0,
    inputs: Any = None,
    driven: Any = None,
    driven_modes: str = "states",
    rank: int | str = "auto",
    alpha: float = 0.05,
    n_draws: int = 2000,
    confidence_level: float = 0.95,
    rng: RNG = 0,
) -> SpectraComparison:
    """Compare the time scales of two accounts: a network and its data, or two recordings.

    Parameters
    ----------
    a, b : `koopman.Modes` or `EDMD`, fitted; `dynamics.FixedPoints`; or a `FitResult` or model,
        which is linearised at its stable fixed points, or driven where `driven` is given.
    n_modes : how many of the slowest of each take part; by default as many as the smaller has.
    point : which of the stable points, where an account has several.
    inputs : (input,), under which a model is linearised.
    driven : (time, input), (trial, time, input), or windows, with which a model is driven
        Modes are then fitted to what it does, as to a recording.
    driven_modes : ``"states"``, those of the hidden states; ``"outputs"``, those of the outputs.
    rank : of these modes, pairs twice; by default the one of lowest information criterion.
    alpha : level of the verdict.
    n_draws : draws from the standard errors.
    confidence_level : of the intervals.
    rng : int, Generator or None.

    Returns
    -------
    SpectraComparison

    Raises
    ------
    KindError, DataError
        Something without eigenvalues in 1/s; a network without a stable fixed point; inputs to
        drive a network where there is none, or of another size.

    Notes
    -----
    A pair counts as one mode, by its upper member. Modes are matched so that the sum of
    ``2 |x - y| / (|x| + |y|)`` over eigenvalues in 1/s is least (Kuhn 1955). Draws of both around
    the mean that their standard errors favour say what noise makes of equal spectra; the share of
    them that is as far apart is the p-value. That of all orders of the second spectrum which agree
    as well says how much the matching itself can do: it is coarse for few modes.

    A network at a fixed point has the time scales of its own weights there. Driven, it also shows
    those of what drives it, as a recording does: drive it with the inputs of the recording that it
    is compared with. The status of a row is that of its accounts: `more_than_modes`, say, where
    what moves a network is no sum of few modes.

    References
    ----------
    Kuhn 1955, Naval Research Logistics 2:83, doi:10.1002/nav.3800020109.

    Examples
    --------
    >>> from neurornn.koopman import fit_modes
    >>> from neurornn.simulate import simulate_oscillators
    >>> one, two = (
    ...     fit_modes(simulate_oscillators(noise_sd=0.1, rng=k)["series"], rank=5) for k in (0, 1)
    ... )
    >>> spectra(one, two).p_value > 0.001
    True
    """
    level = check_confidence_level(confidence_level)
    n_draws = check_count(n_draws, "n_draws")
    draw = generator(rng)
    check_choice(driven_modes, "driven_modes", ("states", "outputs"))
    accounts = {"a": a, "b": b}
    if driven is not None:
        accounts = _driven(accounts, driven, inputs, driven_modes, rank)
    first, second = (_spectrum_of(x, name, point, inputs) for name, x in accounts.items())
    n = min(len(first.rate), len(second.rate))
    if n_modes is not None:
        n = min(n, check_count(n_modes, "n_modes"))
    if not n:
        raise DataError(
            "One of the spectra has no mode",
            "At least one mode in each was needed",
            "Look at their reports",
        )
    left_out = len(first.rate) + len(second.rate) - 2 * n
    first, second = _slowest(first, n), _slowest(second, n)
    x, y = _values(first.rate, first.frequency), _values(second.rate, second.frequency)
    order = _matched(x, y)
    y, second = y[order], _taken(second, order)
    each = _differences(x, y)
    distance = float(each.mean())
    some = np.any(first.rate_se > 0) or np.any(second.rate_se > 0)
    drawn = _drawn(first, second, n_draws, draw) if some else np.array([])
    p = float((1 + np.sum(drawn >= distance)) / (1 + len(drawn))) if some else float("nan")
    of = SpectraComparison.quantity
    estimates = []
    for which, s in (("", first), ("_other", second)):
        estimates += [
            of(f"time_constant{which}").of(*_taus(s, level)),
            of(f"frequency{which}").of(s.frequency, _around(s.frequency, s.frequency_se, level)),
        ]
    estimates += [
        of("difference").of(each),
        of("distance").of(distance),
        of("ceiling").of(np.median(drawn), draws_interval(drawn, level))
        if some
        else of("ceiling").of(np.nan),
        of("p_value").of(p, reason="a probability" if some else _NO_ERRORS),
        of("chance").of(_chance(x, y, distance, draw)),
    ]
    table = to_dataset(
        estimates, confidence_level=level, coords={"mode": np.arange(n)},
        status=np.where(first.status != Status.OK, first.status, second.status),
        status_dims=("mode",), remedies=second.remedies | first.remedies,
    )  # fmt: skip
    settings = {
        "first": first.said, "second": second.said, "n_matched": n, "n_left_out": int(left_out),
        "n_draws": n_draws, "alpha": float(alpha), "confidence_level": level,
    }  # fmt: skip
    return SpectraComparison(table, settings)


class _Driven(NamedTuple):
    """Modes of what a network did, and how that came about."""

    modes: Modes
    said: str


def _driven(
    accounts: dict[str, Any], driven: Any, inputs: Any, what: str, rank: int | str
) -> dict[str, Any]:
    """Put in the place of each network the modes of what it does under inputs."""
    networks = {k: x for k, x in accounts.items() if isinstance(x, FitResult | RecurrentModel)}
    if not networks or inputs is not None:
        raise DataError(
            "driven came " + ("without a network" if not networks else "together with inputs"),
            "A FitResult or a model among a and b was needed, and inputs to drive it with alone",
            "Leave driven out to compare accounts as they are, or to linearise under inputs",
        )
    found = dict(accounts)
    for name, network in networks.items():
        model = network.model if isinstance(network, FitResult) else network
        found[name] = _modes_of_driven(model, driven, what, rank)
    return found


def _modes_of_driven(model: RecurrentModel, driven: Any, what: str, rank: int | str) -> _Driven:
    until: Array | None = None
    if isinstance(driven, xr.Dataset) and "inputs" in driven:
        if "mask" in driven:
            scored = np.asarray(np.any(driven["mask"].values, axis=2))
            until = np.asarray(scored.shape[1] - scored[:, ::-1].argmax(axis=1))
        driven = driven["inputs"]
    if getattr(driven, "ndim", 3) == 2:
        driven = driven.expand_dims("trial") if isinstance(driven, xr.DataArray) else driven[None]
        if isinstance(driven, xr.DataArray):
            driven = driven.transpose("trial", "time", ...)
    still = copy.deepcopy(model).eval()
    with torch.no_grad():
        out = still(driven)
    values = (out.states if what == "states" else out.output).double().cpu().numpy()
    # Behind the end of a trial there is padding alone.
    trials = [x[: None if until is None else int(until[k])] for k, x in enumerate(values)]
    rows = np.concatenate(trials)
    # Units that never move hold no mode.
    moving = np.ptp(rows, axis=0) > 0
    if not moving.any():
        raise DataError(
            f"The {what} of a {type(model).__name__} stay where they are under these inputs",
            "Something that moves was needed",
            "Drive it with inputs that change",
        )
    modes = Modes(rank=rank, dt=model.dt).fit([x[:, moving] for x in trials])
    said = (
        f"a {type(model).__name__} driven for {counted(len(trials), 'trial')}, modes of "
        f"{int(moving.sum())} {what}"
    )
    return _Driven(modes, said)


def _spectrum_of(account: Any, name: str, point: int, inputs: Any) -> _Spectrum:
    if isinstance(account, _Driven):
        return _spectrum_of(account.modes, name, point, inputs)._replace(said=account.said)
    if isinstance(account, Modes | EDMD):
        table = account.parameters_
        z = normal_quantile(float(table["rate_ci"].attrs["ci_prob"]))
        ends = [np.nan_to_num(np.diff(table[f"{q}_ci"].values)[:, 0]) for q in _TOLD]
        return _Spectrum(
            table["rate"].values, table["frequency"].values, ends[0] / (2 * z), ends[1] / (2 * z),
            table["status"].values, f"{type(account).__name__} of {account.n_features_in_} units",
            remedies_of(table["status"]),
        )  # fmt: skip
    if isinstance(account, FitResult | RecurrentModel):
        return _spectrum_of(find_fixed_points(account, inputs, rng=0), name, point, inputs)
    if not isinstance(account, FixedPoints):
        raise KindError(
            f"{name} is a {type(account).__name__}",
            "Fitted Modes or EDMD, FixedPoints, a FitResult or a model was needed",
            "Fit the data first: nr.koopman.fit_modes(states, dt=...)",
        )
    stable = np.flatnonzero(account.parameters["n_unstable"].values == 0)
    if point >= len(stable):
        raise DataError(
            f"{name} has {len(stable)} stable fixed points, and point {point} was asked for",
            "A stable fixed point to linearise at was needed",
            "Fit modes to its free runs instead: nr.koopman.fit_modes(states, dt=...)",
        )
    row, dt = account.parameters.isel(point=stable[point]), float(account.settings["dt"])
    steps = row["eigenvalue_real"].values + 1j * row["eigenvalue_imag"].values
    steps = steps[(steps.imag >= 0) & (np.abs(steps) > 0)]
    rate = np.log(np.abs(steps)) / dt
    none = np.zeros(len(rate))
    return _Spectrum(
        rate, np.angle(steps) / (2 * np.pi * dt), none, none,
        np.full(len(rate), str(row["status"].values)),
        f"a {account.settings['model']} linearised at a stable point",
        remedies_of(account.parameters["status"]),
    )  # fmt: skip


_TOLD = ("rate", "frequency")


def _slowest(s: _Spectrum, n: int) -> _Spectrum:
    return _taken(s, np.argsort(-s.rate)[:n])


def _taken(s: _Spectrum, which: NDArray[np.intp]) -> _Spectrum:
    fields = ("rate", "frequency", "rate_se", "frequency_se", "status")
    return s._replace(**{name: getattr(s, name)[which] for name in fields})


def _values(rate: Array, frequency: Array) -> NDArray[np.complex128]:
    return np.asarray(rate + 2j * np.pi * frequency)


def _differences(x: NDArray[np.complex128], y: NDArray[np.complex128]) -> Array:
    return np.asarray(2 * np.abs(x - y) / np.maximum(np.abs(x) + np.abs(y), 1e-300))


def _matched(x: NDArray[np.complex128], y: NDArray[np.complex128]) -> NDArray[np.intp]:
    return np.asarray(linear_sum_assignment(_differences(x[:, None], y[None]))[1])


def _drawn(a: _Spectrum, b: _Spectrum, n: int, draw: np.random.Generator) -> Array:
    """Distances of pairs of spectra that differ by their standard errors alone."""
    found = []
    common = []
    for x, y, sx, sy in ((a.rate, b.rate, a.rate_se, b.rate_se),
                         (a.frequency, b.frequency, a.frequency_se, b.frequency_se)):  # fmt: skip
        # What has no error is taken as it is.
        wx, wy = 1 / np.maximum(sx, 1e-12) ** 2, 1 / np.maximum(sy, 1e-12) ** 2
        common.append((wx * x + wy * y) / (wx + wy))
    for _ in range(n):
        pair = []
        for s in (a, b):
            rate = common[0] + s.rate_se * draw.standard_normal(len(s.rate))
            turn = common[1] + s.frequency_se * draw.standard_normal(len(s.rate))
            pair.append(_values(rate, turn))
        found.append(_differences(pair[0], pair[1][_matched(*pair)]).mean())
    return np.array(found)


def _chance(
    x: NDArray[np.complex128], y: NDArray[np.complex128], distance: float,
    draw: np.random.Generator,
) -> float:  # fmt: skip
    n = len(x)
    if n <= _ALL_ORDERS:
        orders = np.array(list(permutations(range(n))))
    else:
        orders = np.array([np.arange(n), *(draw.permutation(n) for _ in range(_ORDERS))])
    return float(np.mean(_differences(x, y[orders]).mean(axis=1) <= distance + 1e-12))


def _taus(s: _Spectrum, level: float) -> tuple[Array, Array]:
    z = normal_quantile(level)
    low, high = s.rate - z * s.rate_se, s.rate + z * s.rate_se
    with np.errstate(divide="ignore"):
        tau = np.where(s.rate < 0, -1 / s.rate, np.nan)
        ends = np.stack(
            [np.where(low < 0, -1 / low, np.nan), np.where(high < 0, -1 / high, np.inf)], -1
        )
    ends[(s.rate >= 0) | (s.rate_se == 0)] = np.nan
    return tau, ends


def _around(value: Array, se: Array, level: float) -> Array:
    ends = delta_interval(value, se, level)
    ends[se == 0] = np.nan
    return ends
