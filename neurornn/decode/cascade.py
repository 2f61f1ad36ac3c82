"""The Wiener cascade: a linear filter of the last bins, and a polynomial behind it."""

from collections.abc import Iterator, Sequence
from itertools import product
from math import comb
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from neurornn._core.checks import check_count
from neurornn._core.errors import DataError
from neurornn.data.samples import Samples
from neurornn.decode.stretches import Learned
from neurornn.decode.wiener import (
    LinearFit,
    Polynomial,
    RidgeDecoder,
    linear_machine,
    mean_r2,
    terms_of,
)

#: Degrees of the polynomial that are tried.
DEGREES = (1, 2, 3, 4, 5, 6, 7, 8, 9)
#: A joint polynomial is tried where there are so many rows for each of its terms.
MORE_ROWS = 20


#: Powers beyond this have no digits left.
MOST_DEGREE = 30


class WienerCascade(RidgeDecoder):
    """Wiener cascade: a ridge filter, and a polynomial behind it.

    Parameters
    ----------
    degree : of the polynomial, or ``"auto"`` for the best up to 9 on held-out blocks.
    joint : one polynomial of all outputs of the filter together, with their products, instead of
        one for each; None for what is better on held-out blocks.
    bin_size, n_lags, power, signal, smoothing, adaptation_tau, monitor_units, impute, n_folds, \
confidence_level
        As for `WienerFilter`.

    Notes
    -----
    The polynomial is fitted to predictions of blocks that the filter had not seen: on its own
    training data the filter looks better than it is, and the polynomial would be too steep. What
    the filter puts out is kept within the range of those predictions before the polynomial. A
    joint polynomial knows that a fast movement has a direction: a gain that grows with speed is
    none of each axis alone.

    References
    ----------
    Hunter & Korenberg 1986, Biol Cybern 55:135, doi:10.1007/BF00341929; Pohlmeyer et al. 2009,
    PLoS ONE 4:e5924, doi:10.1371/journal.pone.0005924 (for decoding).
    """

    degree: int | str
    joint: bool | None

    def __init__(
        self,
        bin_size: float | None = None,
        *,
        degree: int | str = "auto",
        joint: bool | None = None,
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

    _papers: ClassVar[tuple[str, ...]] = ("hunter_1986", "pohlmeyer_2009")

    def _learn(self, bins: Samples) -> Learned:
        degrees: Sequence[int] = DEGREES
        if not (isinstance(self.degree, str) and self.degree == "auto"):
            degrees = (check_count(self.degree, "degree", most=MOST_DEGREE),)
        y = bins.targets
        assert y is not None
        n_out = y.shape[1]
        found: list[tuple[float, int, bool, LinearFit, NDArray[np.float64]]] = []
        folds = list(self._folds(bins, check_count(self.n_lags, "n_lags")))
        for fit in self._linears(bins):
            for joint in (False, True) if self.joint is None else (bool(self.joint),):
                for degree, held_out in _degrees(fit.held_out, y, folds, degrees, joint):
                    found.append((mean_r2(y, held_out), degree, joint, fit, held_out))
        if not found:
            raise DataError(
                f"A joint polynomial of degree {self.degree} of {n_out} outputs was asked for, "
                f"with {len(y)} bins",
                f"Two outputs or more, and {MORE_ROWS} bins for every term, were needed",
                "Pass joint=None, or a lower degree",
            )
        _, degree, joint, fit, held_out = max(found, key=lambda f: f[0])
        behind = _polynomial(fit.held_out, y, _exponents(n_out, degree, joint))
        chosen = {"power": fit.power, "penalty": fit.penalty, "degree": degree, "joint": joint}
        machine = linear_machine(fit.weights, self.n_lags, behind)
        return Learned(machine, fit.preparation, held_out, np.ones_like(held_out), chosen)


def _degrees(
    linear: NDArray[np.float64],
    y: NDArray[np.float64],
    folds: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]],
    degrees: Sequence[int],
    joint: bool,
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Predictions of every block by polynomials fitted on the others, for every degree.

    Terms are made orthonormal over all blocks once, in the order of their degree, so that a lower
    degree is the beginning of a higher one.
    """
    n_out = y.shape[1]
    kept = [d for d in degrees if not joint or _n_joint(n_out, d) * MORE_ROWS <= len(y)]
    if not kept or (joint and n_out == 1):
        return
    known: NDArray[np.bool_] = np.asarray(
        np.isfinite(linear).all(axis=1) & np.isfinite(y).all(axis=1)
    )
    row = np.cumsum(known) - 1
    bounds = np.stack([linear[known].min(axis=0), linear[known].max(axis=0)])
    size = np.maximum(np.abs(bounds).max(axis=0), 1e-300)
    guesses = {d: np.full_like(linear, np.nan) for d in kept}
    # A joint polynomial has the same terms for every output, the others their own.
    for outputs in [list(range(n_out))] if joint else [[o] for o in range(n_out)]:
        exponents = _exponents(len(outputs), max(kept), joint)
        total = exponents.sum(axis=1)
        order = np.argsort(total, kind="stable")
        of, scale = linear[:, outputs], size[outputs]
        terms = terms_of(of[known], exponents[order], scale, bounds[:, outputs])
        basis, back = np.linalg.qr(terms)
        for train, test in folds:
            used, asked = train[known[train]], test[known[test]]
            q = basis[row[used]]
            gram, cross = q.T @ q, q.T @ y[used][:, outputs]
            # Beyond the range of its own training a polynomial of high degree is anything.
            within = np.stack([of[used].min(axis=0), of[used].max(axis=0)])
            seen = terms_of(of[asked], exponents[order], scale, within)
            for d in kept:
                m = int((total <= d).sum())
                weights = np.linalg.lstsq(gram[:m, :m], cross[:m], rcond=1e-12)[0]
                weights = linalg.solve_triangular(back[:m, :m], weights)
                guesses[d][asked[:, None], outputs] = seen[:, :m] @ weights
    yield from guesses.items()


def _n_joint(n_out: int, degree: int) -> int:
    """Number of terms of a joint polynomial."""
    return comb(n_out + degree, degree)


def _exponents(n_out: int, degree: int, joint: bool) -> NDArray[np.int64]:
    """Exponents of every output in every term, (term, output)."""
    if joint:
        every = product(range(degree + 1), repeat=n_out)
        return np.array([e for e in every if sum(e) <= degree], dtype=np.int64)
    alone = np.eye(n_out, dtype=np.int64)
    powers = [k * alone[o] for o in range(n_out) for k in range(1, degree + 1)]
    return np.array([np.zeros(n_out, np.int64), *powers])


def _polynomial(
    linear: NDArray[np.float64], y: NDArray[np.float64], exponents: NDArray[np.int64]
) -> Polynomial:
    """Least squares polynomial of the filter's outputs.

    An output depends on the terms of its own power where `exponents` has no products.
    """
    known = np.isfinite(linear).all(axis=1) & np.isfinite(y).all(axis=1)
    x, y = linear[known], y[known]
    bounds = np.stack([x.min(axis=0), x.max(axis=0)])
    size = np.maximum(np.abs(bounds).max(axis=0), 1e-300)
    terms = terms_of(x, exponents, size, bounds)
    coefficients = np.zeros((y.shape[1], len(exponents)))
    joint = bool((np.count_nonzero(exponents, axis=1) > 1).any())
    for o in range(y.shape[1]):
        own = np.ones(len(exponents), dtype=bool)
        if not joint:
            own = np.delete(exponents, o, axis=1).sum(axis=1) == 0
        coefficients[o, own] = np.linalg.lstsq(terms[:, own], y[:, o], rcond=None)[0]
    return Polynomial(coefficients, exponents, size, bounds)
