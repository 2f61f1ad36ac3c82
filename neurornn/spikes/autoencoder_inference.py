"""What a trained autoencoder tells of counts: rates, factors, draws, and what is held out."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import xlogy

from neurornn._core.confidence import delta_interval, draws_interval
from neurornn.spikes.autoencoder_network import AutoencoderNetwork, Posterior
from neurornn.spikes.autoencoder_training import FOLDS, Trials, encoded
from neurornn.spikes.autoencoder_windows import Cut, cut_for_inference, observed
from neurornn.spikes.population_score import bits_of, likelihood_sums

Array = NDArray[np.float64]

#: Numbers of all draws of a batch that are held at a time.
_HELD = 2e7
#: Windows that go side by side at most.
_SIDE_BY_SIDE = 64
#: Blocks of what is held out, for the interval of its score.
_BLOCKS = 10


class Noise(NamedTuple):
    """The same standard normal numbers for every trial, in pairs of opposite sign.

    What is told of a trial then does not hang on which other trials came with it.

    Attributes
    ----------
    start : (draw, initial)
    inputs : (draw, time, input), or None.
    """

    start: torch.Tensor
    inputs: torch.Tensor | None

    @classmethod
    def of(cls, network: AutoencoderNetwork, n_draws: int, n_steps: int, seed: int) -> "Noise":
        """Draw it."""
        draw = torch.Generator().manual_seed(seed)
        half = torch.randn((n_draws + 1) // 2, network.settings["n_initial"], generator=draw)
        start = torch.cat([half, -half])[:n_draws]
        if not network.n_inputs:
            return cls(start, None)
        half = torch.randn(n_steps, (n_draws + 1) // 2, network.n_inputs, generator=draw)
        return cls(start, torch.cat([half, -half], 1)[:, :n_draws].transpose(0, 1))

    def draws(self) -> Iterator[Any]:
        """One after the other."""
        for k, start in enumerate(self.start):
            yield start, None if self.inputs is None else self.inputs[k]


class Told(NamedTuple):
    """What is told of rows.

    Attributes
    ----------
    counts : (row, unit), spikes expected in each bin.
    factors : (row, latent)
    interval : (row, unit, 2) of the expected spikes; None where none was asked for.
    """

    counts: Array
    factors: Array
    interval: Array | None


@torch.no_grad()
def tell(
    network: AutoencoderNetwork, counts: Array, blocks: NDArray[np.int64], session: int, *,
    n_window: int, n_draws: int, seed: int, confidence_level: float | None = None,
) -> Told:  # fmt: skip
    """Expected counts and factors of rows, as means over draws from the posterior.

    Parameters
    ----------
    counts : (row, unit), NaN where none was observed.
    blocks : (trial, 2), first and one-past-last row.
    n_window : rows of a window.
    n_draws : from the posterior; 1 for its mean alone.
    confidence_level : of an interval, formed of the draws; None for none.
    """
    n_rows, n_units = counts.shape
    windows, seen = cut_for_inference(blocks, observed(counts), n_window)
    longest = int(windows.lengths.max())
    noise = Noise.of(network, n_draws, longest, seed)
    many = 1 if confidence_level is None else n_draws
    size = max(1, min(_SIDE_BY_SIDE, int(_HELD / many / longest / n_units)))
    n_latent = network.settings["n_latent"]
    rates = np.zeros((len(windows.edges), longest, n_units))
    factors = np.zeros((len(windows.edges), longest, n_latent))
    bounds = np.zeros((*rates.shape, 2)) if confidence_level is not None else None
    for first in range(0, len(windows.edges), size):
        part = slice(first, first + size)
        trials = Trials.of(Cut(windows.edges[part]).of(counts), seen[part], session)
        n_steps = trials.counts.shape[1]
        told = encoded(network, trials, None)
        drawn = []
        for start, inputs in noise.draws() if n_draws > 1 else [(None, None)]:
            given = _alike(start, inputs, told, n_steps)
            found, _ = network.generate(*told.drawn(given), n_steps)
            rate = torch.exp(network.log_rates(found, session)).double().numpy()
            rates[part, :n_steps] += rate / n_draws
            factors[part, :n_steps] += found.double().numpy() / n_draws
            if bounds is not None:
                drawn.append(rate)
        if bounds is not None and confidence_level is not None:
            bounds[part, :n_steps] = draws_interval(np.stack(drawn), confidence_level)
    flat = None if bounds is None else windows.join(bounds.reshape(*bounds.shape[:2], -1), n_rows)
    return Told(
        windows.join(rates, n_rows), windows.join(factors, n_rows),
        None if flat is None else flat.reshape(n_rows, n_units, 2),
    )  # fmt: skip


def _alike(
    start: torch.Tensor | None, inputs: torch.Tensor | None, told: Posterior, n_steps: int
) -> Any:
    """One draw for all trials of a batch."""
    if start is None:
        return None
    n = len(told.mean)
    fed = None if inputs is None else inputs[None, :n_steps].expand(n, -1, -1)
    return start[None].expand(n, -1), fed


class HeldOut(NamedTuple):
    """Score of trials that were not trained on, from counts that were not seen.

    Attributes
    ----------
    bits : (unit,), bits per spike above a constant rate.
    interval : (unit, 2)
    n_spikes : (unit,)
    """

    bits: Array
    interval: Array
    n_spikes: Array


@torch.no_grad()
def score_held_out(
    network: AutoencoderNetwork, trials: Trials, *, seed: int, confidence_level: float
) -> HeldOut:
    """Bits per spike of each unit: every count is masked once and told from the others."""
    expected = told_apart(network, trials, seed)
    counts = trials.counts.double().numpy()
    if trials.known is not None:
        counts = np.where(trials.known.numpy(), counts, np.nan)
    n_units = counts.shape[2]
    n_blocks = min(_BLOCKS, len(counts))
    block = np.concatenate(
        [
            np.full(len(b), k)
            for k, b in enumerate(np.array_split(np.arange(len(counts)), n_blocks))
        ]
    )
    sums = likelihood_sums(
        expected.reshape(-1, n_units),
        counts.reshape(-1, n_units),
        np.repeat(block, counts.shape[1]),
        n_blocks,
    )
    fit, n, bins = np.moveaxis(sums, 1, 0)
    value, spikes = bits_of(sums.sum(axis=0), each=True), n.sum(axis=0)
    interval = np.full((n_units, 2), np.nan)
    if n_blocks > 1:
        rate = spikes / np.maximum(bins.sum(axis=0), 1)
        # Each block against the mean rate of all, as bits per spike of all.
        gain = (fit - xlogy(n, rate) + bins * rate) / np.maximum(spikes, 1) / np.log(2)
        error = gain.std(axis=0, ddof=1) * np.sqrt(n_blocks)
        for k in np.flatnonzero(np.isfinite(value)).tolist():
            interval[k] = delta_interval(value[k], error[k], confidence_level, dof=n_blocks - 1)
    return HeldOut(value, interval, spikes)


@torch.no_grad()
def told_apart(network: AutoencoderNetwork, trials: Trials, seed: int) -> Array:
    """Expected counts, (trial, time, unit), each told from counts among which it is not."""
    draw = torch.Generator().manual_seed(seed)
    fold = torch.randint(FOLDS, trials.counts.shape, generator=draw)
    known = torch.ones_like(fold, dtype=torch.bool) if trials.known is None else trials.known
    expected = torch.zeros_like(trials.counts)
    for k in range(FOLDS):
        kept = known & (fold != k)
        told = encoded(network, trials, kept, 1 - 1 / FOLDS)
        factors, _ = network.generate(*told.drawn(None), trials.counts.shape[1])
        rate = torch.exp(network.log_rates(factors, trials.session))
        expected = torch.where(fold == k, rate, expected)
    return np.asarray(expected.double().numpy())


@torch.no_grad()
def time_constants(network: AutoencoderNetwork, trials: Trials) -> Array:
    """Time constants of the hidden units of the generator, s; of gates over these trials."""
    told = encoded(network, trials, None)
    start, inputs = told.drawn(None)
    _, states = network.generate(start, inputs, trials.counts.shape[1])
    return network.time_constants(states, inputs)
