"""The mixture of the sizes of events: so many spikes each, one size of a spike, and its spread."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

Array = NDArray[np.float64]

#: Share of events that may have any size: what merged, tails of another, movement.
_STRAY = 0.01
#: Where the parameters are searched: spread of one spike, and the ratio of the prior.
_CVS = np.array([0.03, 0.06, 0.12, 0.2, 0.3, 0.45])
_RATIOS = np.array([0.02, 0.1, 0.25, 0.4, 0.55, 0.7, 0.8])
_CV_BOUNDS = (0.005, 0.6)
_RATIO_BOUNDS = (1e-4, 0.9)
#: Step of the first search of the logarithm of the quantum: below the spread of one spike.
_STEP = 0.03
#: Maxima of the first search that are followed, and by how much deviance they may lag behind.
_FOLLOWED, _LAG = 4, 30.0
#: Sizes below this multiple of the lowest peak of their density belong to the lowest mode.
_MODE_REACH = 1.4


class Sizes(NamedTuple):
    """Event sizes of a cell, the variances of their measurement, and where they stand.

    ``timing`` is the relative variance that an unknown place within the frame adds,
    ``autocorrelation`` that of what the kinetics leave of the trace.
    """

    size: Array
    variance: Array
    timing: float
    autocorrelation: float
    where: NDArray[np.int64]


def prior_weights(ratio: float, max_spikes: int) -> Array:
    """How often an event has 1, 2, ... spikes, (number,): a truncated geometric law."""
    powers = ratio ** np.arange(max_spikes)
    return np.asarray(powers / powers.sum())


class Mixture:
    """Likelihood of event sizes under a quantum, its spread and the ratio of the prior."""

    def __init__(self, cell: Sizes, max_spikes: int, exponent: float) -> None:
        self.cell, self.exponent, self.max_spikes = cell, exponent, max_spikes
        n = np.arange(1.0, max_spikes + 1)
        self._mean = n**exponent
        self._spread = n * (exponent * n ** (exponent - 1)) ** 2
        self._timing = cell.timing * self._mean**2
        self._stray = _STRAY / (1.5 * float(cell.size.max()))

    def densities(self, q: float, cv: float) -> Array:
        """Density of every size for every number of spikes, (event, number)."""
        relative = self._spread * cv**2 + self._timing
        variance = q**2 * relative + self.cell.variance[:, None]
        z2 = (self.cell.size[:, None] - q * self._mean) ** 2 / variance
        return np.asarray(np.exp(-0.5 * z2) / np.sqrt(2 * np.pi * variance))

    def deviance(self, densities: Array, weights: Array) -> Array:
        """Minus twice the log-likelihood for one, or several columns of, weights."""
        mixed = (1 - _STRAY) * densities @ weights + self._stray
        return np.asarray(-2 * np.log(mixed).sum(axis=0))

    def at(self, x: Any) -> float:
        """Deviance at the logarithms of quantum and cv and the logit of the ratio."""
        ratio = float(special.expit(x[2]))
        weights = prior_weights(ratio, self.max_spikes)
        return float(self.deviance(self.densities(np.exp(x[0]), np.exp(x[1])), weights))

    def search(self, low: float, high: float) -> list[Array]:
        """Maxima of the likelihood over a grid with logarithms of the quantum between two."""
        grid = np.linspace(low, high, max(int((high - low) / _STEP) + 2, 3))
        weights = np.stack([prior_weights(r, self.max_spikes) for r in _RATIOS], axis=1)
        table = np.array(
            [[self.deviance(self.densities(q, cv), weights) for cv in _CVS] for q in np.exp(grid)]
        )
        least = table.min(axis=(1, 2))
        edge = np.concatenate([[np.inf], least, [np.inf]])
        dips = np.flatnonzero((least <= edge[:-2]) & (least <= edge[2:]))
        dips = dips[np.argsort(least[dips])][:_FOLLOWED]
        starts = []
        for i in dips[least[dips] < least.min() + _LAG]:
            a, b = np.unravel_index(int(table[i].argmin()), table[i].shape)
            starts.append(np.array([grid[i], np.log(_CVS[a]), special.logit(_RATIOS[b])]))
        return starts

    def best(self, start: Array, bounds: tuple[float, float]) -> tuple[Array, float]:
        """Follow the likelihood to its maximum: parameters and deviance."""
        box = [bounds, *_BOX]
        fit = optimize.minimize(
            self.at, start, method="Nelder-Mead", bounds=box,
            options={"xatol": 1e-4, "fatol": 1e-3, "initial_simplex": _simplex(start, box)},
        )  # fmt: skip
        return fit.x, float(fit.fun)

    def given(self, log_q: float, start: Array) -> tuple[Array, float]:
        """Best cv and ratio for a quantum: their transforms and the deviance."""
        fit = optimize.minimize(
            lambda x: self.at((log_q, *x)), start, method="Nelder-Mead", bounds=_BOX,
            options={"xatol": 1e-3, "fatol": 1e-4, "initial_simplex": _simplex(start, _BOX)},
        )  # fmt: skip
        return fit.x, float(fit.fun)

    def one_mode(self) -> float:
        """Least deviance of one mode: normal with the errors known, log-normal, gamma."""
        size = self.cell.size

        def normal(x: Any) -> float:
            density = self.densities(float(np.exp(x[0])), float(np.exp(x[1])))[:, :1]
            return float(self.deviance(density, np.ones(1)))

        start = np.array([np.log(size.mean()), np.log(max(size.std() / size.mean(), 0.01))])
        tried = [float(optimize.minimize(normal, start, method="Nelder-Mead").fun)]
        logs = np.log(size)
        sd = max(float(logs.std()), 1e-6)
        # Closed form and nearly efficient (Ye & Chen 2017, doi:10.1080/00031305.2016.1209129).
        scale = max(float(np.mean(size * logs) - size.mean() * logs.mean()), 1e-9)
        laws = [
            stats.lognorm.pdf(size, sd, scale=np.exp(logs.mean())),
            stats.gamma.pdf(size, size.mean() / scale, scale=scale),
        ]
        tried += [float(self.deviance(law[:, None], np.ones(1))) for law in laws]
        return min(tried)

    def numbers(self, q: float, cv: float, ratio: float) -> tuple[Array, Array]:
        """Posterior mean and sd of the number of spikes of every event."""
        n = np.arange(1.0, self.max_spikes + 1)
        by_size = np.maximum((self.cell.size / q) ** (1 / self.exponent), 1.0)
        number = np.column_stack([np.broadcast_to(n, (len(by_size), len(n))), by_size])
        known = (1 - _STRAY) * self.densities(q, cv) * prior_weights(ratio, self.max_spikes)
        share = np.column_stack([known, np.full(len(by_size), self._stray)])
        share /= share.sum(axis=1, keepdims=True)
        mean = (share * number).sum(axis=1)
        return mean, np.sqrt((share * (number - mean[:, None]) ** 2).sum(axis=1))


_BOX = [
    (float(np.log(_CV_BOUNDS[0])), float(np.log(_CV_BOUNDS[1]))),
    (float(special.logit(_RATIO_BOUNDS[0])), float(special.logit(_RATIO_BOUNDS[1]))),
]


def _simplex(start: Array, box: list[tuple[float, float]]) -> Array:
    """Corners around a start, inside the box: steps of a hundredth in q and of halves else."""
    steps = [0.01, 0.3, 0.5][-len(start) :]
    corners = np.tile(start, (len(start) + 1, 1))
    for i, (step, (_, high)) in enumerate(zip(steps, box, strict=True)):
        corners[i + 1, i] += step if corners[i, i] + step < high else -step
    return corners


def lowest_mode(size: Array) -> float:
    """Median of the sizes around the lowest peak of their density that counts."""
    logs = np.log(size)
    spread = float(logs.std())
    if len(size) < 5 or spread < 1e-6:
        return float(np.median(size))
    place = np.linspace(logs.min(), logs.max(), 200)
    density = stats.gaussian_kde(logs)(place)
    edge = np.concatenate([[0.0], density, [0.0]])
    peaks = (density >= edge[:-2]) & (density >= edge[2:]) & (density > 0.3 * density.max())
    peak = float(place[np.flatnonzero(peaks)[0]])
    return float(np.median(size[np.abs(logs - peak) < np.log(_MODE_REACH)]))
