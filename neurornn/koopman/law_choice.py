"""Which function is a law: chosen on one half of the trajectories, judged on the other."""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from neurornn._core.errors import DataError
from neurornn.data.samples import Samples
from neurornn.koopman.dictionaries import Dictionary
from neurornn.koopman.law_search import (
    HeldOut,
    Scatters,
    judge,
    least_moving,
    not_negative,
    supports,
    without,
)

Array = NDArray[np.float64]

#: Fewest trajectories and frames of one: half of them choose, half of them judge.
MIN_TRAJECTORIES, MIN_FRAMES = 8, 10
#: Share of the scatter of a function that must be its own beside the laws found before.
_OWN_SHARE = 0.1
#: A difference so many times smaller than the tolerance is none.
_FAR_BELOW = 10.0


def complete_trajectories(samples: Samples) -> tuple[list[Array], list[Array], list[str]]:
    """Complete frames of each trajectory that has enough, their times in steps, and labels.

    Raises
    ------
    DataError
        Too few trajectories.
    """
    parts, times = [], []
    for stretch in samples.stretches:
        keep = samples.usable[stretch]
        if keep.sum() >= MIN_FRAMES:
            parts.append(np.asarray(samples.values[stretch][keep], dtype=np.float64))
            times.append(np.rint(samples.clock[stretch][keep] / samples.dt))
    n_all = len(samples.stretches)
    if len(parts) < MIN_TRAJECTORIES:
        raise DataError(
            f"{n_all} {'trajectory' if n_all == 1 else 'trajectories'} came, "
            f"{len(parts)} of them of {MIN_FRAMES} complete frames or more",
            f"At least {MIN_TRAJECTORIES} from starts that differ were needed: in one trajectory "
            "alone every quantity may be a constant",
            "Cut nothing: record, or simulate, from more starts",
        )
    labels = [str(u) for u in samples.unit] if samples.units_named else []
    if not labels:
        labels = [f"x{k}" for k in range(samples.values.shape[1])]
    return parts, times, labels


def distinct(made: Dictionary, states: Array) -> Dictionary:
    """Leave out functions that are not finite, or do not change."""
    with np.errstate(all="ignore"):
        values = made(states)
    finite = np.flatnonzero(np.isfinite(values).all(axis=0))
    kept = values[:, finite]
    chosen = finite[kept.std(axis=0) > 1e-10 * np.abs(kept).max(axis=0)]
    if not len(chosen):
        raise DataError(
            "No function of the dictionary changes over the states",
            "Functions that are finite and change were needed",
            "Check the scale of the variables",
        )
    return made.pick([int(k) for k in chosen])


def next_law(
    scatters: Scatters,
    halves: list[NDArray[np.intp]],
    laws: list[Array],
    degrees: Array,
    tolerance: float,
) -> tuple[Array | None, HeldOut, float]:
    """Choose on one half, judge on the other, both ways; then fit the better choice on all.

    Returns
    -------
    weights (term,) of scatter 1, or None; how it was judged; its p-value, for the better of two.
    """
    best: tuple[float, list[int], HeldOut] | None = None
    for first, second in (halves, halves[::-1]):
        own = scatters.pick(first)
        whole = own.total if laws else None
        chosen = _simplest(_beside(own, laws, tolerance), degrees, tolerance, whole)
        if chosen is None:
            continue
        support, weights = chosen
        others = _beside(scatters.pick(second), laws, tolerance)
        held = judge(others.pick(np.arange(len(second)), support), weights)
        p = _p_value(held, tolerance, len(second))
        if best is None or (p, held.ratio) < (best[0], best[2].ratio):
            best = (p, support, held)
    if best is None:
        return None, HeldOut(np.inf, np.inf, np.inf, np.inf), 1.0
    p, support, held = best
    everything = _beside(scatters, laws, tolerance)
    part = everything.pick(np.arange(len(everything.values)), support)
    full = np.zeros(len(degrees))
    whole = scatters.total[np.ix_(support, support)] if laws else None
    full[support] = least_moving(_movement(part, whole), part.total)[1][:, 0]
    values = np.concatenate(scatters.values) @ full
    return full / max(float(values.std()), 1e-300), held, min(1.0, 2 * p)


def _simplest(
    scatters: Scatters, degrees: Array, tolerance: float, beside: Array | None
) -> tuple[list[int], Array] | None:
    """The fewest functions, a combination of which moves as little as any, to its error.

    Parameters
    ----------
    beside : (term, term), scatter of the functions before the laws found were taken from them.
    """
    within, total = _movement(scatters, beside), scatters.total
    every = np.arange(len(scatters.values))
    found = []
    for support in supports(within, total, degrees):
        part = np.ix_(support, support)
        weights = least_moving(within[part], total[part])[1][:, 0]
        held = judge(scatters.pick(every, support), weights)
        if np.isfinite(held.ratio):
            found.append((support, weights, held))
    if not found:
        return None
    best = min((f[2] for f in found), key=lambda h: h.ratio)
    # Below 0 is noise that was fitted, and no better than 0.
    most = max(best.ratio, 0.0) + 2 * best.ratio_se + tolerance**2 / _FAR_BELOW
    good = [f for f in found if f[2].ratio <= most]
    support, weights, _ = min(good, key=lambda f: (len(f[0]), degrees[f[0]].sum()))
    return support, weights


def _movement(scatters: Scatters, whole: Array | None) -> Array:
    """Movement of the functions; beside other laws a law itself scatters by nothing.

    What noise leaves below 0 would then be divided by nothing.
    """
    within = scatters.within.sum(axis=0)
    return within if whole is None else not_negative(within, whole)


def _beside(scatters: Scatters, laws: list[Array], tolerance: float) -> Scatters:
    """Scatters beside the laws found before.

    A small share of its whole scatter counts as movement of a function, so that what is left of a
    function of a law is none.
    """
    if not laws:
        return scatters
    mean = np.concatenate(scatters.values).mean(axis=0)
    whole = np.stack([(v - mean).T @ (v - mean) for v in scatters.values])
    left = without(scatters, laws)
    return Scatters(left.values, scatters.within + tolerance**2 * _OWN_SHARE * whole)


def _p_value(held: HeldOut, tolerance: float, n: int) -> float:
    """Probability of so little variation and drift if one of them were at the tolerance."""
    dof = max(n - 1, 1)
    # A trend that makes up all of the tolerated variation: a ramp's is its height / sqrt(12).
    most = np.sqrt(12) * tolerance
    with np.errstate(invalid="ignore", divide="ignore"):
        scores = np.array(
            [
                (tolerance**2 - held.ratio) / held.ratio_se,
                (most - held.drift) / held.drift_se,
                (most + held.drift) / held.drift_se,
            ]
        )
    if not np.isfinite(scores).all():
        return 1.0
    return float(stats.t.sf(scores.min(), dof))


def subspace_of(scatters: Scatters, tolerance: float) -> Array:
    """Combinations of all functions that move by less than the tolerance, (direction, term)."""
    ratios, weights = least_moving(scatters.within.sum(axis=0), scatters.total)
    n_rows = sum(len(v) for v in scatters.values)
    return np.asarray(weights[:, ratios < tolerance**2].T * np.sqrt(n_rows))
