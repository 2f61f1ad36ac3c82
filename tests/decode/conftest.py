"""Simulations with a known truth, and every decoder fitted once on one of them."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pytest

import neurornn as nr

BIN_SIZE = 0.05


class Simulation(NamedTuple):
    """Counts and what they stand for, for the fit and fresh ones for the test."""

    counts: np.ndarray
    targets: np.ndarray
    fresh_counts: np.ndarray
    fresh_targets: np.ndarray


def _split(counts, targets, n_fresh):
    return Simulation(counts[:-n_fresh], targets[:-n_fresh], counts[-n_fresh:], targets[-n_fresh:])


def _walk(rng, n, memory):
    """Two independent AR(1) walks of variance 1."""
    x = rng.standard_normal((n, 2))
    for t in range(1, n):
        x[t] = memory * x[t - 1] + np.sqrt(1 - memory**2) * x[t]
    return x


def _reach():
    """Velocity in cm/s; 30 Poisson units of log rates linear in it, 12 Hz on average."""
    rng = np.random.default_rng(1)
    x = _walk(rng, 6000, 0.95)
    rates = np.exp(np.log(10) + 0.6 * x @ rng.standard_normal((2, 30)))
    return _split(rng.poisson(BIN_SIZE * rates).astype(float), 10 * x, 3000)


def _track():
    """Position in cm in a room of a metre; 40 place cells, sd 12 cm, 15 Hz at the peak."""
    rng = np.random.default_rng(2)
    x = 50 + 45 * np.sin(np.cumsum(_walk(rng, 6000, 0.99) * 0.06, axis=0))
    fields = rng.uniform(0, 100, (40, 2))
    away = ((x[:, None] - fields) ** 2).sum(axis=-1)
    rates = 0.5 + 15 * np.exp(-away / (2 * 12**2))
    return _split(rng.poisson(BIN_SIZE * rates).astype(float), x, 3000)


def _choice():
    """One of three targets or none, for a second on average; 20 Poisson units."""
    rng = np.random.default_rng(3)
    names = np.array(["left", "none", "right", "up"])
    codes = rng.integers(0, 4, 300).repeat(20)
    rates = rng.gamma(2.0, 4.0, (4, 20))
    return _split(rng.poisson(BIN_SIZE * rates[codes]).astype(float), names[codes], 2000)


SIMULATIONS: dict[str, Callable[[], Simulation]] = {
    "reach": lru_cache(_reach),
    "track": lru_cache(_track),
    "choice": lru_cache(_choice),
}

_SMALL = {"bin_size": BIN_SIZE, "n_hidden": 12, "n_seeds": 2, "max_epochs": 10, "window": 40}
#: Name -> simulation, class, settings.
DECODERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "wiener": ("reach", "WienerFilter", {"bin_size": BIN_SIZE, "n_lags": 4}),
    "ridge": ("reach", "RidgeDecoder", {"bin_size": BIN_SIZE, "n_lags": 6}),
    "smooth ridge": (
        "reach", "RidgeDecoder",
        {"bin_size": BIN_SIZE, "n_lags": 3, "smoothing": 0.1, "adaptation_tau": 20.0,
         "power": 1.5},
    ),
    "cascade": ("reach", "WienerCascade", {"bin_size": BIN_SIZE, "n_lags": 4}),
    "kalman": ("reach", "KalmanFilter", {"bin_size": BIN_SIZE, "lag": 1}),
    "kalman lags": ("reach", "KalmanFilter", {"bin_size": BIN_SIZE, "n_lags": 3, "power": 0.5}),
    "steady kalman": (
        "reach", "KalmanFilter",
        {"bin_size": BIN_SIZE, "lag": 0, "steady_state": True, "derivative": False},
    ),
    "place": ("track", "PlaceDecoder", {"bin_size": BIN_SIZE, "cell_size": 5.0,
                                        "map_width": 8.0}),
    "place mode": (
        "track", "PlaceDecoder",
        {"bin_size": BIN_SIZE, "cell_size": 5.0, "map_width": 8.0, "estimate": "mode"},
    ),
    "target": ("choice", "TargetDecoder", {"bin_size": BIN_SIZE}),
    "leaky": ("reach", "RecurrentDecoder", {"cell": "leaky", **_SMALL}),
    "gru": ("reach", "RecurrentDecoder", {"cell": "gru", **_SMALL}),
    "lstm": ("reach", "RecurrentDecoder", {"cell": "lstm", **_SMALL}),
    "classifier": ("choice", "RecurrentClassifier", {"cell": "gru", **_SMALL}),
}  # fmt: skip


def make_decoder(name: str, **changed: Any) -> Any:
    """An unfitted decoder of the table."""
    _, kind, settings = DECODERS[name]
    return getattr(nr.decode, kind)(**{**settings, **changed})


@lru_cache
def fitted_decoder(name: str) -> Any:
    """A decoder of the table, fitted on its simulation. Nobody changes it."""
    given = SIMULATIONS[DECODERS[name][0]]()
    return make_decoder(name).fit(given.counts, given.targets)


class Bench(NamedTuple):
    """A decoder of the table with its simulation."""

    name: str
    decoder: Any
    data: Simulation
    labelled: bool

    def make(self, **changed: Any) -> Any:
        """The same decoder, unfitted."""
        return make_decoder(self.name, **changed)

    def outputs(self, decoder: Any, counts: Any, **given: Any) -> np.ndarray:
        """Numbers that a decoder gives: chances where it is one of labels."""
        found = decoder.predict_proba if self.labelled else decoder.predict
        return np.asarray(found(counts, **given))


@pytest.fixture(params=list(DECODERS))
def bench(request: pytest.FixtureRequest) -> Bench:
    """Every decoder in turn."""
    return _bench(request.param)


def _bench(name: str) -> Bench:
    data = SIMULATIONS[DECODERS[name][0]]()
    labelled = DECODERS[name][0] == "choice"
    return Bench(name, fitted_decoder(name), data, labelled)


@pytest.fixture
def bench_of() -> Callable[[str], Bench]:
    """One decoder by its name."""
    return _bench


@pytest.fixture
def simulation() -> Callable[[str], Simulation]:
    """One simulation by its name: reach, track, choice."""
    return lambda name: SIMULATIONS[name]()
