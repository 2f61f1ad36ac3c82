"""What is read from features of each step: by ridge regression, and by a small network."""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from neurornn._core.errors import ConvergenceWarning
from neurornn.data.moments import Histories, lagged_moments, ridge_weights
from neurornn.data.samples import history
from neurornn.models.baselines import MemorylessMLP
from neurornn.training.loop import fit

Array = NDArray[np.float64]
#: Penalties per row and squared weight, of features scaled to an sd of 1.
PENALTIES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0)
#: Hidden units, epochs and patience of the network that reads.
_UNITS, _EPOCHS, _PATIENCE = 32, 60, 12
#: Rows that stand for a trial: the network has no memory.
_PIECE = 8


class Split:
    """Episodes by their part: to fit, to choose by, to test on.

    Parameters
    ----------
    n : episodes, or windows.
    draw : for the parts; None for the order they came in, the last to test on. Half are held out.
    """

    def __init__(self, n: int, draw: np.random.Generator | None) -> None:
        order = np.arange(n)[::-1] if draw is None else draw.permutation(n)
        half = n // 2
        self.test = np.sort(order[:half])
        train = order[half:]
        third = max(len(train) // 3, 1)
        self.choose, self.fit = np.sort(train[:third]), np.sort(train[third:])
        self.train = np.sort(train)


def read_linear(
    parts: list[Array], targets: list[Array], split: Split, n_lags: int = 1,
    used: Sequence[NDArray[np.bool_]] | None = None,
) -> list[Array]:  # fmt: skip
    """Predict targets from features by ridge regression, every row of every episode.

    Parameters
    ----------
    parts : of each episode, (row, feature). targets : likewise, (row, target).
    split : who fits and who chooses the penalty; it is then fitted to both.
    n_lags : rows that are read together, those before the first row being 0.
    used : of each episode, (row,), False where a target is not to be learned from.

    Returns
    -------
    list of (row, target), of each episode
    """
    known = np.concatenate([parts[k] for k in split.train])
    middle, spread = known.mean(0), known.std(0)
    spread[spread < 1e-9] = 1.0
    scaled = [(p - middle) / spread for p in parts]
    rows = Histories(scaled, n_lags)
    y = np.concatenate(targets)
    of = np.repeat(np.arange(len(parts)), [len(p) for p in parts])
    on = np.concatenate(used) if used is not None else np.ones(len(y), dtype=bool)
    fitted, chosen = (
        lagged_moments(rows, y, np.isin(of, part) & on) for part in (split.fit, split.choose)
    )
    errors = [chosen.squared_error(ridge_weights(fitted, p)) for p in PENALTIES]
    weights = ridge_weights(fitted.plus(chosen), PENALTIES[int(np.argmin(errors))])
    found = np.empty_like(y)
    for at, h in rows.chunks(np.arange(len(y))):
        found[at] = h @ weights
    return np.split(found, np.cumsum([len(p) for p in parts])[:-1])


def read_nonlinear(
    parts: list[Array], targets: list[Array], split: Split, n_lags: int = 1, seed: int = 0,
    used: Sequence[NDArray[np.bool_]] | None = None,
) -> list[Array]:  # fmt: skip
    """Predict targets from features by a network of one hidden layer; as `read_linear`."""
    on = used if used is not None else [np.ones(len(p), dtype=bool) for p in parts]
    known = np.concatenate([parts[k] for k in split.train])
    goal = np.concatenate([targets[k][on[k]] for k in split.train])
    scales = [(v.mean(0), np.where(v.std(0) < 1e-9, 1.0, v.std(0))) for v in (known, goal)]
    (middle, spread), (level, size) = scales
    x = [history((p - middle) / spread, n_lags).astype(np.float32) for p in parts]
    y = [((t - level) / size).astype(np.float32) for t in targets]
    model = MemorylessMLP(x[0].shape[1], y[0].shape[1], dt=1.0, n_hidden=_UNITS, rng=seed)
    given, watched = (
        tuple(_pieces(np.concatenate([v[k][on[k]] for k in part])) for v in (x, y))
        for part in (split.fit, split.choose)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = fit(
            model, given, validation=watched, max_epochs=_EPOCHS, patience=_PATIENCE, rng=seed,
            optimizer="adam", refine=False, intervals=False,
        ).model  # fmt: skip
    lengths = [len(p) for p in parts]
    with torch.no_grad():
        rows = torch.from_numpy(np.concatenate(x)[None])
        read = found(rows).output[0].double().numpy()
    return np.split(read * size + level, np.cumsum(lengths)[:-1])


def _pieces(rows: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Cut rows into short pieces, of which many make a step of the optimiser."""
    return [rows[k : k + _PIECE] for k in range(0, len(rows), _PIECE)]
