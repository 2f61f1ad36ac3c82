"""How far apart a donor and its acceptor may lie: accuracy of cells against the distance."""

import os
import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_choice, check_confidence_level, check_count, check_rng
from neurornn._core.confidence import CI_BOUND, delta_interval
from neurornn._core.errors import ConvergenceWarning, DataError
from neurornn._core.jobs import Chunk, run_chunks
from neurornn._core.rng import RNG, derived_seed, seed_of
from neurornn.models import GRU, LSTM, CausalCNN, CausalTransformer, VanillaRNN
from neurornn.models.base import RecurrentModel
from neurornn.simulate.splice_pairs import SHORTEST, simulate_splice_pairs
from neurornn.training.gradients import gradient_flow
from neurornn.training.loop import fit

CELLS = ("cnn", "vanilla", "lstm", "gru", "bidirectional", "transformer")
N_KINDS = 4
#: bp behind the first acceptor by which the last one and the window have ended.
_BEHIND = 40
#: bp that the CNN sees, and the longest distance to which a Transformer is trained.
CNN_CONTEXT, TRANSFORMER_DISTANCE = 256, 300
#: A Transformer whose window is longer needs over 2 GB for one sequence.
_LONGEST_WINDOW = 4200
#: Units of a cell, vanilla ones more: they have no gates.
_N_HIDDEN, _N_VANILLA = 32, 64
#: bp, the shortest length constant of a start; the longest is twice the longest distance.
_SHORTEST_TAU = 2.0
#: At the shortest distance: sequences, passes at most, loss at which it is learned, rate of Adam.
_FIRST, _FIRST_EPOCHS, _LEARNED, _FIRST_RATE = 8192, 16, 0.02, 5e-3
#: At every other distance: letters that are read, fewest and most sequences.
_LETTERS, _FEWEST, _MOST = 4_000_000, 64, 8192
#: Rate of Adam up to a distance, and from there on.
_RATE, _SLOW_RATE, _NEAR = 2e-3, 5e-4, 1000
_VANILLA_RATE = 1e-3
_TEST, _TEST_FAR, _FAR = 512, 256, 5000
#: After so many distances at which it does not pair, a network is tested and no longer trained.
_GIVEN_UP = 2
#: Trials of which the gradient is followed: the fewest with an interval.
_FOLLOWED = 6
#: bp to which it is followed in any case.
_FURTHER = 2000
_NOT_TRAINED = "not trained so far: see seconds_per_step for its cost"


def memory_against_distance(
    cells: Sequence[str] = CELLS,
    distances: Sequence[int] = (12, 30, 100, 300, 1000, 3000, 10_000),
    *,
    n_seeds: int = 3,
    letters: int = _LETTERS,
    confidence_level: float = 0.95,
    n_jobs: int = 1,
    client: Any = None,
    progress: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    rng: RNG = 0,
) -> xr.Dataset:
    """Train cells to pair donors with acceptors further and further away.

    Parameters
    ----------
    cells : some of ``"cnn"``, ``"vanilla"``, ``"lstm"``, ``"gru"``, ``"bidirectional"`` (GRU both
        ways) and ``"transformer"``.
    distances : bp, ascending, between a donor and its first acceptor.
    n_seeds : networks of each cell.
    letters : that a network reads in training at each distance.
    confidence_level : of the interval over seeds.
    n_jobs, client : processes, or a ``dask.distributed.Client``, over cells and seeds.
    progress : show a bar.
    checkpoint : folder of its own in which finished networks are kept; the same call goes on from
        there.
    rng : int, Generator or None

    Returns
    -------
    Dataset over ``cell``, ``distance`` and ``seed``
        ``accuracy (cell, distance)``, share of new sequences whose right acceptor has the largest
        score, the mean over seeds, with ``accuracy_sd`` and ``accuracy_ci``; ``accuracy_seeds``
        with ``seed``; ``reach (cell)``, bp, the distance at which the mean accuracy falls to
        half-way between chance and 1, infinite where it does not; ``horizon_seeds (cell, seed)``,
        bp, see Notes, and ``horizon (cell)``, their median; ``seconds_per_step (cell, distance)``,
        s of processor time for one sequence forward and back; and ``chance``.

    Raises
    ------
    NameUnknownError, DataError
        An unknown cell, distances that do not ascend.
    ResumeError
        The folder holds results of another call.

    Notes
    -----
    Sequences are those of `simulate.simulate_splice_pairs`: four acceptors, one of the donor's
    kind. A network reads them letter by letter and says at each AG whether it is the right one;
    the largest score of a sequence counts. It learns at 6 bp first, and goes on at each distance
    from what it knew at the one before (a curriculum), with the same number of letters for all
    cells; after two distances at which it does not pair better than half-way between chance and 1
    it is tested further, and no longer trained. Gated cells start with length constants spread
    evenly over decades up to twice the longest distance (Tallec & Ollivier 2018). The CNN sees 256
    bp. A Transformer is trained up to 300 bp; beyond, what a step of it costs is measured and
    nothing else.

    The horizon is that of `training.gradient_flow`, followed from right behind the donor: the lag
    at which the product of Jacobians has fallen to 1/e. It is taken of each network as it was when
    it last paired better than half-way, and followed over the distance of that, at least over
    twice as much up to 2000 bp; infinite beyond. Of a model with a window it is the window. It
    tells how far an error can teach. What a state has latched on to it may keep for longer: there
    the gradient is 0, and the accuracy is not (Bengio et al. 1994).

    References
    ----------
    Bengio, Simard & Frasconi 1994, doi:10.1109/72.279181 (latching against learning); Hochreiter &
    Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735; Tallec & Ollivier 2018, arXiv:1804.11188
    (starts); Bengio et al. 2009, ICML, doi:10.1145/1553374.1553380 (curriculum).

    Examples
    --------
    >>> table = memory_against_distance(("cnn",), (12, 300), n_seeds=1, letters=2_000)
    >>> table["accuracy"].dims, float(table["horizon"][0]) == 256
    (('cell', 'distance'), True)
    """
    cells = [check_choice(c, "cell", CELLS) for c in cells]
    places = [check_count(d, "distance", SHORTEST) for d in distances]
    if not cells or not places or len(set(cells)) < len(cells) or (np.diff(places) <= 0).any():
        raise DataError(
            f"cells are {cells} and distances {places}",
            "One or more cells, each once, and ascending distances were needed",
            "For example cells=('vanilla', 'lstm'), distances=(30, 300)",
        )
    n_seeds = check_count(n_seeds, "n_seeds", most=1000)
    letters = check_count(letters, "letters")
    check_confidence_level(confidence_level)
    root = seed_of(check_rng(rng))
    chunks = [
        (cell, derived_seed(root, CELLS.index(cell), k) % 2**30)
        for cell in cells
        for k in range(n_seeds)
    ]
    found = run_chunks(
        _learn, chunks, shared=(tuple(places), letters), n_jobs=n_jobs, client=client,
        progress=progress, label="networks", checkpoint=checkpoint,
    )  # fmt: skip
    stacked = {
        name: np.stack([f[name] for f in found]).reshape(len(cells), n_seeds, -1)
        for name in ("accuracy", "horizon", "seconds")
    }
    return _table(cells, places, stacked, float(confidence_level))


def _learn(cell: str, seed: int, distances: tuple[int, ...], letters: int) -> Chunk:
    """One network through all distances: accuracy and seconds, (distance,); horizon, (1,)."""
    longest = max(distances)
    model = _model(cell, longest, seed)
    far = min(longest, TRANSFORMER_DISTANCE) if cell == "transformer" else longest
    table = {name: np.full(len(distances), np.nan) for name in ("accuracy", "seconds")}
    slower = _VANILLA_RATE / _RATE if cell == "vanilla" else 1.0
    # In proportion where letters are few, so that a small trial stays small.
    first = min(_FIRST, max(_FEWEST, letters // 60))
    for k in range(_FIRST_EPOCHS):
        model, loss = _trained(
            model, SHORTEST, first, slower * _FIRST_RATE, derived_seed(seed, 0, k) % 2**30
        )
        if loss < _LEARNED:
            break
    paired, paired_at, n_lost = model, SHORTEST, 0
    for k, distance in enumerate(distances):
        table["seconds"][k] = _seconds(cell, model, distance, seed)
        if distance > far:
            continue
        n = int(np.clip(letters // (distance + _BEHIND), _FEWEST, _MOST))
        rate = slower * (_RATE if distance <= _NEAR else _SLOW_RATE)
        if n_lost < _GIVEN_UP:
            model, _ = _trained(model, distance, n, rate, derived_seed(seed, 1, k) % 2**30)
        table["accuracy"][k] = accuracy_at(model, distance, derived_seed(seed, 2, k) % 2**30)
        if table["accuracy"][k] >= _half_way():
            paired, paired_at = model, distance
        n_lost = 0 if paired_at == distance else n_lost + 1
    horizon = horizon_at(paired, paired_at, derived_seed(seed, 3) % 2**30)
    return {**table, "horizon": np.array([horizon])}


def _half_way() -> float:
    return 0.5 * (1 + 1 / N_KINDS)


def _model(cell: str, longest: int, seed: int, *, context: int | None = None) -> RecurrentModel:
    common: dict[str, Any] = {"dt": 1.0, "time_unit": "bp", "rng": seed}
    if cell == "cnn":
        return CausalCNN(
            4, 1, n_hidden=_N_HIDDEN, n_layers=4, context=float(CNN_CONTEXT), **common
        )
    if cell == "transformer":
        size = context or min(longest, TRANSFORMER_DISTANCE) + _BEHIND
        return CausalTransformer(4, _N_HIDDEN, 1, context=float(size), **common)
    if cell == "vanilla":
        return VanillaRNN(4, _N_VANILLA, 1, **common)
    tau = np.geomspace(_SHORTEST_TAU, 2.0 * longest, _N_HIDDEN)
    if cell == "bidirectional":
        return GRU(4, _N_HIDDEN, 1, tau=tau, bidirectional=True, **common)
    return (LSTM if cell == "lstm" else GRU)(4, _N_HIDDEN, 1, tau=tau, **common)


def _sequences(n: int, distance: int, seed: int) -> tuple[Any, Any, Any, Any]:
    """Inputs (trial, time, 4), targets at each AG's G, where those are, and which is right."""
    drawn = simulate_splice_pairs(n, distance, n_kinds=N_KINDS, rng=seed)
    x = drawn["one_hot"].values.transpose(0, 2, 1).astype(np.float32)
    read = drawn["acceptor"].values + 1
    right = drawn["right"].values
    targets = np.full((n, x.shape[1], 1), np.nan, np.float32)
    targets[np.arange(n)[:, None], read, 0] = np.arange(N_KINDS) == right[:, None]
    return x, targets, read, right


def _trained(
    model: RecurrentModel, distance: int, n: int, rate: float, seed: int
) -> tuple[RecurrentModel, float]:
    """Train on new sequences, each read once; the model, and its loss on them, nats an AG."""
    x, targets, _, _ = _sequences(n, distance, seed)
    size = 32 if distance < 1000 else 16
    with warnings.catch_warnings():
        # One stretch of a curriculum: it has not converged, and need not.
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = fit(
            model, (x, targets), objective="bernoulli", optimizer="adam", max_epochs=1,
            learning_rate=rate, batch_size=min(size, n),
            schedule="constant", refine=False, intervals=False,
            segment_duration=None, rng=seed,
        )  # fmt: skip
    return found.model, float(found.history["loss"][-1])


def accuracy_at(model: RecurrentModel, distance: int, seed: int, n: int | None = None) -> float:
    """Share of new sequences whose right acceptor has the largest score.

    Parameters
    ----------
    model : with one output, log odds of the right acceptor. distance : bp.
    seed : of the sequences.
    n : how many; by default 512, and 256 from 5000 bp on.
    """
    n = n or (_TEST if distance < _FAR else _TEST_FAR)
    x, _, read, right = _sequences(n, distance, seed)
    hits = 0
    with torch.no_grad():
        for rows in np.array_split(np.arange(n), max(1, n * x.shape[1] // 400_000)):
            out = model(torch.from_numpy(x[rows])).output[..., 0].numpy()
            chosen = np.take_along_axis(out, read[rows], 1).argmax(axis=1)
            hits += int((chosen == right[rows]).sum())
    return hits / n


def horizon_at(model: RecurrentModel, distance: int, seed: int) -> float:
    """Lag at which the gradient has fallen to 1/e behind a donor, bp; infinite where it has not.

    Parameters
    ----------
    model : trained. distance : bp; the gradient is followed so far, and twice as far where that is
        below 2000 bp. seed : of the sequences.
    """
    if hasattr(model, "memory"):
        return float(model.memory())
    if model.looks_ahead:
        return float("nan")
    lag = max(distance, min(2 * distance, _FURTHER))
    drawn = simulate_splice_pairs(_FOLLOWED, lag + 3, n_kinds=N_KINDS, rng=seed)
    x = drawn["one_hot"].values.transpose(0, 2, 1).astype(np.float32)
    # From the state that has read GT and the letter behind it.
    start = drawn["donor"].values + 2
    x = np.stack([row[s : s + lag + 1] for row, s in zip(x, start, strict=True)])
    flow = gradient_flow(model, torch.from_numpy(x), max_lag=float(lag), n_starts=1)
    return float(flow.parameters["horizon"])


def _seconds(cell: str, model: RecurrentModel, distance: int, seed: int) -> float:
    """Processor time of one sequence forward and back, s; the least of three."""
    if cell == "transformer":
        if distance + _BEHIND > _LONGEST_WINDOW:
            return float("nan")
        model = _model(cell, distance, seed, context=distance + _BEHIND)
    x, targets, _, _ = _sequences(1, distance, seed)
    inputs, wanted = torch.from_numpy(x), torch.from_numpy(np.nan_to_num(targets))
    taken = []
    for _ in range(3):
        begin = time.process_time()
        ((model(inputs).output - wanted) ** 2).sum().backward()
        taken.append(time.process_time() - begin)
    model.zero_grad()
    return min(taken)


def _table(
    cells: list[str], places: list[int], found: dict[str, NDArray[np.float64]], level: float
) -> xr.Dataset:
    accuracy = found["accuracy"].transpose(0, 2, 1)
    horizon = found["horizon"][..., 0]
    n = accuracy.shape[2]
    mean = accuracy.mean(axis=2)
    sd = accuracy.std(axis=2, ddof=1) if n > 1 else np.full(mean.shape, np.nan)
    ci = np.clip(delta_interval(mean, sd / np.sqrt(n), level, dof=max(n - 1, 1)), 0, 1)
    reach = np.array([_reach(row, places) for row in mean])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        seconds = np.nanmin(found["seconds"], axis=1)
    share = {"units": "1", "long_name": "share of donors with the right acceptor first"}
    told = {"method": f"mean of {n} seeds", "reason": "" if n > 1 else "one seed has no spread"}
    in_bp = {"units": "bp"}
    return xr.Dataset(
        {
            "accuracy": (("cell", "distance"), mean, {**share, **told, "missing": _NOT_TRAINED}),
            "accuracy_ci": (
                ("cell", "distance", CI_BOUND), ci,
                {**share, **told, "ci_kind": "confidence", "ci_prob": level,
                 "method": "Student's t over seeds"},
            ),
            "accuracy_sd": (("cell", "distance"), sd, {**share, "long_name": "sd over seeds"}),
            "accuracy_seeds": (("cell", "distance", "seed"), accuracy, share),
            "reach": (
                "cell", reach,
                {**in_bp, "long_name": "distance at which the accuracy is half-way to chance"},
            ),
            "horizon": (
                "cell", np.array([_middle(row) for row in horizon]),
                {**in_bp, "long_name": "horizon of the gradient, median over seeds"},
            ),
            "horizon_seeds": (
                ("cell", "seed"), horizon,
                {**in_bp, "long_name": "lag at which the gradient has fallen to 1/e"},
            ),
            "seconds_per_step": (
                ("cell", "distance"), seconds,
                {"units": "s", "long_name": "processor time of one sequence forward and back",
                 "missing": "its window would take over 2 GB"},
            ),
            "chance": ((), 1 / N_KINDS, {"units": "1", "long_name": "accuracy without memory"}),
        },
        coords={
            "cell": cells, "distance": ("distance", places, in_bp), "seed": np.arange(n),
            CI_BOUND: ["lower", "upper"],
        },
        attrs={"source": "neurornn.sequences.memory_against_distance"},
    )  # fmt: skip


def _reach(accuracy: NDArray[np.float64], places: list[int]) -> float:
    """Distance at which the accuracy falls half-way to chance, bp."""
    known = np.flatnonzero(np.isfinite(accuracy))
    below = known[accuracy[known] < _half_way()]
    if not len(below):
        return np.inf if len(known) == len(places) else np.nan
    k = int(below[0])
    if k == 0:
        return float(places[0])
    # Distances are spread over decades.
    share = (accuracy[k - 1] - _half_way()) / (accuracy[k - 1] - accuracy[k])
    return float(places[k - 1] * (places[k] / places[k - 1]) ** share)


def _middle(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else float("nan")
