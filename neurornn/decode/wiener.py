"""Linear maps of the last bins: Wiener filter, ridge, and the cascade with a polynomial behind."""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurornn._core.checks import check_count
from neurornn._core.errors import DataError
from neurornn.data.moments import Histories, fold_moments, ridge_weights
from neurornn.data.samples import Samples
from neurornn.decode.machines import LinearMachine
from neurornn.decode.movement import MovementDecoder
from neurornn.decode.preparation import Preparation
from neurornn.decode.stretches import Learned, Stretch

#: Penalties per bin and squared weight, of features of variance 1, that are tried.
PENALTIES = (1e-3, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
#: Least squares alone; so small a penalty only tells units apart that always fire together.
NO_PENALTY = (1e-9,)


class LinearFit(NamedTuple):
    """One choice of power and penalty, with its predictions of blocks it had not seen."""

    power: float
    penalty: float
    preparation: Preparation
    weights: NDArray[np.float64]  # (history + 1, output)
    held_out: NDArray[np.float64]  # (time, output)


class Polynomial(NamedTuple):
    """What stands behind the filter in a cascade; see `streaming.linear_bin`."""

    coefficients: NDArray[np.float64]  # (output, term)
    exponents: NDArray[np.int64]  # (term, output)
    size: NDArray[np.float64]  # (output,)
    bounds: NDArray[np.float64]  # (2, output)

    def __call__(self, linear: NDArray[np.float64]) -> NDArray[np.float64]:
        """Value for outputs of the filter, (row, output)."""
        return terms_of(linear, self.exponents, self.size, self.bounds) @ self.coefficients.T


class WienerFilter(MovementDecoder):
    """Wiener filter: least squares on the counts of the last bins.

    Parameters
    ----------
    bin_size : s, width of the bins. By default that which labelled counts state, or else 0.05 with
        a warning.
    n_lags : bins of history, the present one included.
    power : of the counts, ``0.5``, ``1.0``, ``1.5``, ``2.0``, or ``"auto"``
        Expanding powers suit bursts, the square root makes the noise of counts even; ``"auto"``
        takes the best on held-out blocks.
    signal : ``"counts"``, or ``"features"`` for any other numbers, used as they are.
    smoothing : s, time constant of an exponential average over past bins; 0 for none.
    adaptation_tau : s
        Time constant with which mean and variance of each unit are followed after the fit; None
        to keep those of the training.
    monitor_units : find units that fell silent, are stuck or fire as never before.
    impute : what stands for such units: ``"expected"`` from the others, or ``"mean"``.
    n_folds : blocks of time that are held out in turn.
    confidence_level : of the predictive intervals.

    Attributes
    ----------
    scores_ : Dataset over ``output``
        ``r2`` and ``rmse`` (unit of the target) on held-out blocks; ``status``.
    chosen_ : what was chosen on held-out blocks.
    units_, outputs_ : labels of units and outputs.

    See Also
    --------
    RidgeDecoder : the same with a penalty, which it nearly always needs.

    References
    ----------
    Carmena et al. 2003, PLoS Biol 1:e42, doi:10.1371/journal.pbio.0000042.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> velocity = rng.normal(size=(500, 2))
    >>> counts = rng.poisson(np.exp(0.5 * velocity @ rng.normal(size=(2, 20))))
    >>> decoder = WienerFilter(bin_size=0.05, n_lags=2).fit(counts[:400], velocity[:400])
    >>> decoder.score(counts[400:], velocity[400:]) > 0.5
    True
    """

    _penalties: Sequence[float] = NO_PENALTY
    _papers: ClassVar[tuple[str, ...]] = ("carmena_2003",)

    n_lags: int
    power: float | str

    def __init__(
        self,
        bin_size: float | None = None,
        *,
        n_lags: int = 10,
        power: float | str = 1.0,
        signal: str = "counts",
        smoothing: float = 0.0,
        adaptation_tau: float | None = None,
        monitor_units: bool = True,
        impute: str = "expected",
        n_folds: int = 5,
        confidence_level: float = 0.9,
    ) -> None:
        self._keep(locals())

    def _learn(self, bins: Samples) -> Learned:
        best = max(self._linears(bins), key=lambda f: mean_r2(bins.targets, f.held_out))
        machine = linear_machine(best.weights, self.n_lags)
        return Learned(
            machine, best.preparation, best.held_out, np.ones_like(best.held_out),
            {"power": best.power, "penalty": best.penalty},
        )  # fmt: skip

    def _linears(self, bins: Samples) -> list[LinearFit]:
        """Fit with every power, each with the penalty that is best on held-out blocks."""
        check_count(self.n_lags, "n_lags")
        found = []
        for power in self._powers(self.power):
            preparation, stretches = self._prepared(bins, power)
            found.append(_fit_power(self, bins, power, preparation, stretches))
        return found


def _fit_power(
    decoder: WienerFilter,
    bins: Samples,
    power: float,
    preparation: Preparation,
    stretches: Sequence[Stretch],
) -> LinearFit:
    targets = bins.targets
    assert targets is not None
    n_rows, n_lags = len(targets), decoder.n_lags
    known = np.isfinite(targets).all(axis=1)
    histories = Histories([s.features for s in stretches], n_lags)
    folds = list(decoder._folds(bins, n_lags))
    total, rests = fold_moments(histories, targets, known, folds)
    penalties = decoder._penalties
    guesses = np.full((len(penalties), *targets.shape), np.nan)
    for (_, test), rest in zip(folds, rests, strict=True):
        found = [ridge_weights(rest, p) for p in penalties]
        for rows, h in histories.chunks(test):
            for k, w in enumerate(found):
                guesses[k, rows] = h @ w
    scores = [mean_r2(targets, g) for g in guesses]
    best = int(np.argmax(scores))
    if n_rows < 2 or not np.isfinite(scores[best]):
        raise DataError(
            f"{int(known.sum())} bins have a target",
            "Targets in every block of time were needed",
            "Record for longer, or pass fewer n_folds",
        )
    weights = ridge_weights(total, penalties[best])
    return LinearFit(power, penalties[best], preparation, weights, guesses[best])


def linear_machine(
    weights: NDArray[np.float64], n_lags: int, behind: Polynomial | None = None
) -> LinearMachine:
    """Make the running part of a linear map of the last bins.

    Parameters
    ----------
    weights : (history + 1, output), oldest bin first and the constant last, as `ridge_weights`
        gives them.
    n_lags : bins of a history.
    behind : what the output goes through.
    """
    n_out = weights.shape[1]
    by_lag = weights[:-1].reshape(n_lags, -1, n_out)[::-1]
    none = Polynomial(
        coefficients=np.zeros((n_out, 0)),
        exponents=np.zeros((0, n_out), np.int64),
        size=np.ones(n_out),
        bounds=np.zeros((2, n_out)),
    )
    arrays = {
        "weights": by_lag.transpose(0, 2, 1).reshape(-1, by_lag.shape[1]),
        "bias": weights[-1],
        **(none if behind is None else behind)._asdict(),
    }
    return LinearMachine(arrays, {})


def mean_r2(targets: NDArray[Any] | None, guess: NDArray[np.float64]) -> float:
    """Mean R2 over outputs, on rows with both."""
    assert targets is not None
    known = np.isfinite(targets).all(axis=1) & np.isfinite(guess).all(axis=1)
    y, p = targets[known], guess[known]
    if len(y) < 2:
        return float("nan")
    size, away = ((y - y.mean(axis=0)) ** 2).sum(axis=0), ((y - p) ** 2).sum(axis=0)
    # An output that does not change on these rows says nothing of the decoder.
    moves = size > 0
    return float(np.mean(1 - away[moves] / size[moves])) if moves.any() else float("nan")


class RidgeDecoder(WienerFilter):
    """Ridge regression on the last bins; the penalty is chosen on held-out blocks of time.

    Parameters, attributes and examples are those of `WienerFilter`.

    Notes
    -----
    Minimises ``|y - W h|^2 / n + p |W|^2`` over features of variance 1, with p from `PENALTIES`.
    Neighbouring bins are alike, so the blocks that choose p are stretches of time, and the bins
    whose history reaches into a block are left out of its training.

    References
    ----------
    Hoerl & Kennard 1970, Technometrics 12:55, doi:10.1080/00401706.1970.10488634.
    """

    _penalties = PENALTIES
    _papers: ClassVar[tuple[str, ...]] = ("hoerl_1970",)

    def __init__(
        self,
        bin_size: float | None = None,
        *,
        n_lags: int = 10,
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


def terms_of(
    linear: NDArray[np.float64],
    exponents: NDArray[np.int64],
    size: NDArray[np.float64],
    bounds: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Values of the terms, (row, term)."""
    x = np.clip(linear, bounds[0], bounds[1]) / size
    powers = [np.vander(column, exponents.max() + 1, increasing=True) for column in x.T]
    out = powers[0][:, exponents[:, 0]]
    for o in range(1, len(powers)):
        out = out * powers[o][:, exponents[:, o]]
    return out
