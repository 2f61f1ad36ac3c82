"""The time constant of one set of counts: is there one, where is the top, how wide is it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from neurornn._core.confidence import delta_interval, profile_interval
from neurornn._core.status import Status
from neurornn.spikes.count_moments import (
    Tried,
    first_loadings,
    locked_rate,
    merged,
    naive_time_constants,
    try_time_constants,
)
from neurornn.spikes.latent_likelihood import Climb, CountRows, OneLatent
from neurornn.spikes.unit_fit import FEWEST

Array = NDArray[np.float64]

NO_DYNAMICS = "no_dynamics"
STIMULUS_LOCKED = "stimulus_locked"
TOO_SLOW = "too_slow"
TOO_FAST = "too_fast"
TOO_WEAK = "too_weak"
NO_TOP = "no_top"
#: An interval over more than this, one end over the other, tells nothing.
VAGUE = 1000.0
REMEDIES = {
    TOO_WEAK: (
        "A latent is too weak for its time constant to be told: ask for fewer, or record for "
        "longer."
    ),
    NO_TOP: (
        "The climb did not come to a top that is curved on all sides: fewer time constants, no "
        "oscillation, or a longer recording."
    ),
    NO_DYNAMICS: (
        "The counts vary no more, and no longer, than those of constant rates. Record for longer, "
        "or pool units."
    ),
    STIMULUS_LOCKED: (
        "The rate follows the time in the trial, the same in every trial, and nothing is left of "
        "it beyond: it is locked to what was shown, and says nothing of the network's own memory."
    ),
    TOO_SLOW: (
        "The rate drifts slower than the recording, or the trials, can tell: only a lower bound "
        "is known. Record longer stretches."
    ),
    TOO_FAST: (
        "The rate varies as fast as the bins: only an upper bound is known. Count in smaller bins."
    ),
}

#: A time constant is claimed below these chances of as much without dynamics.
_LEVEL, _LEVEL_OWN = 0.04, 0.01
_LEVEL_UNIT = 0.05
_LEVEL_LOCKED = 0.02
#: Rows are added up until so much of a time constant lies in one, and no further.
_MOST_RATIO, _MOST_REST = 0.3, 0.03
#: The same for a first look.
_ROUGH_REST = 0.3
#: The same where counts tell so little of the latent within a time constant.
_MOST_RATIO_OF_FEW, _FEW_TOLD = 0.4, 10.0
#: A row this short against the time constant is alike whether the latent moves within it.
_ALIKE = 0.05
#: But where counts tell more than this of the latent in a time constant, unless rows are very
#: fine.
_MUCH_TOLD, _FINEST = 30.0, 0.003
#: Likelihoods closer than this, nats, do not say which.
_CLOSE = 2.0
#: A shared latent that gives less than this for each unit, nats, is held against own ones.
_DOUBTFUL = 60.0
#: A climb from a few starts where counts tell little of the latent, nats.
_WEAK = 20.0


class Found(NamedTuple):
    """A time constant and what belongs to it; NaN where the status is not ok.

    Attributes
    ----------
    tau, tau_ci : s.
    amplitude, amplitude_ci : sd of the log rate.
    loading : (unit,).
    chance : of as much without dynamics.
    naive_tau : s, of the usual way.
    variance : of tau, s2; NaN where units have latents of their own.
    status : code.
    value : log-likelihood above that of constant rates, nats.
    shared : units share the latent; else each has its own, of one time constant.
    rows : counts of the units that were fitted, with what is known of their rates beforehand.
    kept : (unit,), which those are.
    """

    tau: float
    tau_ci: tuple[float, float]
    amplitude: float
    amplitude_ci: tuple[float, float]
    loading: Array
    chance: float
    naive_tau: float
    variance: float
    status: str
    value: float = float("nan")
    shared: bool = True
    rows: CountRows | None = None
    kept: NDArray[np.bool_] | None = None


def fit_one(rows: CountRows, *, level: float, rng: np.random.Generator) -> Found:
    """Find the time constant that units share, or that of one unit.

    Parameters
    ----------
    rows : counts; runs that begin alike are trials.
    level : confidence level.
    rng : for the tests against counts without dynamics.
    """
    active = rows.counts.sum(axis=0) >= FEWEST
    if not active.any():
        some = rows.counts.sum() > 0
        return _none(rows, str(Status.TOO_FEW_EVENTS if some else Status.NO_DATA))
    kept = _of_units(rows, active)
    each = naive_time_constants(kept)
    usual = float(np.median(each[np.isfinite(each)])) if np.isfinite(each).any() else float("nan")
    locked, kept = _with_locked_rate(kept, rng)
    tried = try_time_constants(kept, rng)
    alone = kept.n_units == 1
    chance, shared = _chance(tried, alone)
    if chance >= (_LEVEL_UNIT if alone else _LEVEL):
        code = STIMULUS_LOCKED if locked else NO_DYNAMICS
        return _none(rows, code, usual)._replace(chance=chance, rows=kept, kept=active)
    if not shared and not alone:
        found = _fit_private(kept, tried, level)
    else:
        found = _fit_shared(kept, tried, level, usual)
        # Units with latents of their own covary by chance more than units without: both accounts
        # have the same numbers to choose, and the likelihood says which it is.
        if not alone and tried.p_own.min() < _LEVEL_OWN and found.value < _DOUBTFUL * kept.n_units:
            private = _fit_private(kept, tried, level)
            if private.value > found.value:
                found = private
    loading = np.zeros(rows.n_units)
    loading[active] = found.loading
    return found._replace(loading=loading, chance=chance, naive_tau=usual, rows=kept, kept=active)


def _none(rows: CountRows, status: str, usual: float = float("nan")) -> Found:
    nothing = float("nan")
    return Found(
        nothing, (nothing, nothing), nothing, (nothing, nothing), np.zeros(rows.n_units), nothing,
        usual, nothing, status,
    )  # fmt: skip


def _of_units(rows: CountRows, keep: NDArray[np.bool_]) -> CountRows:
    return rows._replace(
        counts=rows.counts[:, keep], known=rows.known[:, keep], offset=rows.offset[:, keep],
        lost=None if rows.lost is None else rows.lost[:, keep],
    )  # fmt: skip


def _with_locked_rate(rows: CountRows, rng: np.random.Generator) -> tuple[bool, CountRows]:
    """Take the rate as known beforehand where it follows the time in the trial."""
    chance, profile = locked_rate(rows, rng)
    if chance > _LEVEL_LOCKED:
        return False, rows
    within = np.concatenate([np.arange(n) for n in np.diff(rows.edges)])
    # A pattern for each time in the trial and each set of units that was observed at it.
    both, pattern = np.unique(
        np.stack([rows.pattern, within], axis=1), axis=0, return_inverse=True
    )
    return True, rows._replace(
        pattern=pattern.ravel(), known=rows.known[both[:, 0]], offset=np.log(profile)[both[:, 1]]
    )


def _chance(tried: Tried, alone: bool) -> tuple[float, bool]:
    """Chance of as much without dynamics, and whether units share what there is."""
    if alone:
        return float(tried.p_own[0]), True
    if tried.p_shared < _LEVEL:
        return tried.p_shared, True
    # Of the smallest of many: Sidak.
    least = float(1 - (1 - tried.p_own.min()) ** len(tried.p_own))
    own = min(1.0, least * _LEVEL / _LEVEL_OWN)
    return min(own, tried.p_shared), False


def _limits(rows: CountRows) -> tuple[float, float]:
    """Bounds of log tau."""
    longest = int(np.diff(rows.edges).max()) * rows.dt
    return float(np.log(rows.dt / 5)), float(np.log(max(20 * longest, 10 * rows.dt)))


def _n_merged(rows: CountRows, log_tau: float, loading: Array, *, rest: float) -> int:
    """How many rows may become one without a loss."""
    if rows.apart:
        return 1
    ratio = rows.dt / float(np.exp(log_tau))
    told = float(loading**2 @ rows.counts.sum(axis=0)) / len(rows.counts)
    shortest = int(np.diff(rows.edges).min())
    most = _MOST_RATIO if told / ratio > _FEW_TOLD else _MOST_RATIO_OF_FEW
    n = 1
    while (
        (n + 1) * ratio <= most
        and (n + 1) ** 2 * told * ratio / 6 <= rest
        and shortest >= 8 * (n + 1)
    ):
        n += 1
    return n


def _levels(rows: CountRows) -> Array:
    return np.asarray(
        np.log(np.maximum(rows.counts.sum(axis=0), 0.5) / np.maximum(rows.exposure, 1e-12))
    )


def _fit_shared(rows: CountRows, tried: Tried, level: float, usual: float) -> Found:
    limits = _limits(rows)
    index = int(tried.best_own[0]) if rows.n_units == 1 else tried.best
    loading = first_loadings(tried.shared)
    # A first look in rows as coarse as the moments allow.
    start = float(np.log(tried.tau[index]))
    if rows.n_units == 1 and np.isfinite(usual):
        # Time constants are tried far apart; the usual one is nearer.
        start = float(np.log(usual))
    rough = merged(rows, _n_merged(rows, start, loading, rest=_ROUGH_REST))
    model = OneLatent(rough)
    top = model.climb(start, _levels(rough), loading, bounds=limits)
    nothing = model.value(start, _levels(rough), 0 * loading, slope=False)[0]
    if top.value - nothing < _WEAK:
        others = [
            model.climb(np.log(t), _levels(rough), loading, bounds=limits)
            for t in (tried.tau[0] * 2, tried.tau[-1])
        ]
        top = max([top, *others], key=lambda c: c.value)
    fine = merged(rows, _n_merged(rows, top.log_tau, top.loading, rest=_MOST_REST))
    ratio = rows.dt / float(np.exp(top.log_tau))
    told = float(top.loading**2 @ rows.counts.sum(axis=0)) / len(rows.counts)
    strong = told > _MUCH_TOLD * ratio and ratio > _FINEST
    if strong:
        # So much is told that it matters how the latent moves within a bin.
        fine = rows
    # Rows much alike tell the same.
    if 0.6 < rough.dt / fine.dt < 1.01 and fine.dt > rows.dt:
        fine = rough
    tops, models = [], []
    both = fine.dt == rows.dt and (strong or ratio > _ALIKE)
    for within in (True, False) if both else (True,):
        own = OneLatent(fine, within=within)
        models.append(model if fine is rough and within else own)
        tops.append(
            top if fine is rough and within
            else own.climb(top.log_tau, _levels(fine), top.loading, bounds=limits)
        )  # fmt: skip
    order = np.argsort([-t.value for t in tops])
    best, model = tops[order[0]], models[order[0]]
    found = _read(model, best, level, limits)
    if len(tops) > 1 and tops[order[0]].value - tops[order[1]].value < _CLOSE:
        other = _read(models[order[1]], tops[order[1]], level, limits)
        # Neither is ruled out: a mean by their likelihoods, and an interval that holds both.
        share = 1 / (1 + np.exp(tops[order[1]].value - tops[order[0]].value))
        found = found._replace(
            tau=float(found.tau**share * other.tau ** (1 - share)),
            tau_ci=(
                float(np.minimum(found.tau_ci[0], other.tau_ci[0])),
                float(np.maximum(found.tau_ci[1], other.tau_ci[1])),
            ),
            # What one of the two does not bound is not bounded.
            status=other.status if found.status == Status.OK else found.status,
        )
    model.set_grid(best.log_tau, 0 * best.loading)
    nothing = model.value(best.log_tau, _levels(fine), 0 * best.loading, slope=False)[0]
    return found._replace(value=best.value - nothing)


def _read(model: OneLatent, top: Climb, level: float, limits: tuple[float, float]) -> Found:
    """Interval, covariance and status of a maximum."""
    n = model.rows.n_units
    amplitude = float(np.sqrt(np.mean(top.loading**2)))
    wanted = np.zeros((2 * n + 1, 2))
    wanted[0, 0] = 1.0
    wanted[1 + n :, 1] = top.loading / max(float(np.sum(top.loading**2)), 1e-12)
    tau = float(np.exp(top.log_tau))
    solved = model.solve_information(top, wanted)
    covariance = wanted.T @ solved
    nan = float("nan")
    inside = limits[0] + 0.01 < top.log_tau < limits[1] - 0.01
    good = bool(np.isfinite(covariance).all() and (np.diag(covariance) > 0).all())
    tau_ci = (nan, nan)
    amplitude_ci = (nan, nan)
    if good:
        error = float(np.sqrt(covariance[0, 0]))
        if inside:
            ridge = model.deviance_along(top, solved[:, 0] / solved[0, 0])
            low, high = profile_interval(
                ridge, top.log_tau, step=min(error, 1.0), lower=limits[0], upper=limits[1],
                confidence_level=level,
            )  # fmt: skip
            tau_ci = (float(np.exp(low)), float(np.exp(high)))
        low, high = delta_interval(
            amplitude, amplitude * np.sqrt(covariance[1, 1]), level, log=True
        )
        amplitude_ci = (float(low), float(high))
    status = _status(top, tau_ci, limits, good)
    if status == Status.OK and tau_ci[1] > model.rows.duration:
        status = TOO_SLOW
    return Found(
        tau, tau_ci, amplitude, amplitude_ci, top.loading, nan, nan,
        tau**2 * float(covariance[0, 0]) if good else nan, status,
    )  # fmt: skip


def _status(
    top: Climb, tau_ci: tuple[float, float], limits: tuple[float, float], good: bool
) -> str:
    if top.log_tau >= limits[1] - 0.01 or (good and np.isnan(tau_ci[1])):
        return TOO_SLOW
    if top.log_tau <= limits[0] + 0.01 or (good and np.isnan(tau_ci[0])):
        return TOO_FAST
    return str(Status.OK if top.done and good else NO_TOP)


def _fit_private(rows: CountRows, tried: Tried, level: float, start: float | None = None) -> Found:
    """One time constant of units that share no latent: the product of their likelihoods."""
    limits = _limits(rows)
    if start is None:
        # A look in rows that the shortest of the units' own allows, and again from what it says.
        first = float(np.log(tried.tau[tried.best_own].min()))
        rough = _fit_private(rows, tried, level, first)
        start = float(np.log(rough.tau))
    loading = np.sqrt(np.maximum(tried.own, 0.04))
    coarse = merged(rows, _n_merged(rows, start, loading, rest=_ROUGH_REST))
    models = [OneLatent(_of_units(coarse, np.arange(rows.n_units) == k))
              for k in range(rows.n_units)]  # fmt: skip
    levels = _levels(coarse)
    tops: dict[float, list[Climb]] = {}

    def deviance(log_tau: float) -> float:
        key = float(log_tau)
        if key not in tops:
            near = min(tops, key=lambda t: abs(t - key)) if tops else None
            tops[key] = [
                m.climb(
                    key, levels[[k]] if near is None else tops[near][k].level,
                    loading[[k]] if near is None else tops[near][k].loading,
                    bounds=limits, fixed=True,
                )
                for k, m in enumerate(models)
            ]  # fmt: skip
        return -2 * sum(t.value for t in tops[key])

    wide = [start + d for d in (-1.5, -0.75, 0.0, 0.75, 1.5)]
    middle = min((t for t in wide if limits[0] < t < limits[1]), key=deviance)
    best = minimize_scalar(
        deviance, bounds=(max(middle - 0.8, limits[0]), min(middle + 0.8, limits[1])),
        method="bounded", options={"xatol": 1e-3},
    ).x  # fmt: skip
    low, high = profile_interval(
        deviance, float(best), step=0.1, lower=limits[0], upper=limits[1], confidence_level=level
    )
    own = np.array([float(t.loading[0]) for t in tops[float(best)]])
    nan = float("nan")
    tau = float(np.exp(best))
    ci = (float(np.exp(low)), float(np.exp(high)))
    status = TOO_SLOW if np.isnan(high) else TOO_FAST if np.isnan(low) else str(Status.OK)
    none = sum(
        m.value(float(best), levels[[k]], np.zeros(1), slope=False)[0]
        for k, m in enumerate(models)
    )
    return Found(
        tau, ci, float(np.sqrt(np.mean(own**2))), (nan, nan), own, nan, nan,
        nan, status, -deviance(float(best)) / 2 - none, False,
    )  # fmt: skip
