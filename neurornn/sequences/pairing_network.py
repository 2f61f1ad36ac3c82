"""The network that pairs a donor with its acceptor: candidates of a window compete."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neurornn.models.base import ModelOutput, RecurrentModel
from neurornn.models.gated import GRU

#: bp that a step of the recurrent layers takes: neighbours are pooled.
POOL = 2
#: bp, from which length constants start, evenly over decades: of a motif, and of a long intron.
_SHORTEST_TAU, _LONGEST_TAU = 3.0, 300.0
#: Widths of the convolutions, of letters and of pairs, and how far apart those pairs are.
_WIDTH, _PAIRS, _APART = 11, 7, 3
#: Share of the windows of which either layer is not read, while training.
_ALONE = 0.3
#: Log probability of what is no candidate.
_NONE = -1e9
#: Windows that are read at a time.
CHUNK = 256
#: What the last input says of a place: outside the window, inside, a candidate.
OUTSIDE, INSIDE, CANDIDATE = 0.0, 1.0, 2.0


class PairReader(RecurrentModel):
    """Log probability of every candidate of a window to be the acceptor of its donor.

    Parameters
    ----------
    n_input : 5: four letters, and 0 outside the window, 1 inside, 2 at the A of a candidate's AG.
    n_hidden : units of each direction. n_output : 1.
    dt : bp, 1.
    carry : join what is carried along the window; False reads the letters around each AG alone.
    n_channels : of both convolutions. n_dense : units of the layer that joins what was read.
    dropout : of what comes to that layer. letter_dropout : of the letters, while training.
    time_unit : ``"bp"``. rng : of the first weights.

    Notes
    -----
    A convolution sees 5 bp on either side of each letter; the second one, on the maxima of pairs
    of letters, 23 bp. One gated layer runs from the donor downstream, one from the end of the
    window upstream; the score of a candidate is read off both states and both convolutions at its
    AG. A softmax over the candidates of a window makes them
    compete: only their differences count, so that whatever raises all of them, a base composition
    say, does not.

    The output at a candidate is its log probability. Under the Poisson objective the expected
    counts of a window, its probabilities, sum to 1, so that the loss of a window is 1 minus the
    log probability of the right one: the likelihood of a choice.
    """

    looks_ahead = True

    def __init__(
        self,
        n_input: int,
        n_hidden: int,
        n_output: int = 1,
        *,
        dt: float = 1.0,
        carry: bool = True,
        n_channels: int = 32,
        n_dense: int = 48,
        dropout: float = 0.3,
        letter_dropout: float = 0.1,
        time_unit: str = "bp",
        rng: int = 0,
    ) -> None:
        super().__init__(n_input, n_hidden, n_output, dt=dt, time_unit=time_unit)
        self.carry, self.n_channels, self.n_dense = carry, n_channels, n_dense
        self.letter_dropout = letter_dropout
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(rng)
            self.first = nn.Conv1d(n_input - 1, n_channels, _WIDTH, padding=_WIDTH // 2)
            self.second = nn.Conv1d(
                n_channels, n_channels, _PAIRS, padding=_PAIRS // 2 * _APART, dilation=_APART
            )
            self.join = nn.Linear(2 * n_channels, n_dense)
            self.out = nn.Linear(n_dense, n_output)
        self.drop = nn.Dropout(dropout)
        if carry:
            tau = np.geomspace(_SHORTEST_TAU, _LONGEST_TAU, n_hidden)
            self.downstream, self.upstream = (
                GRU(
                    n_channels,
                    n_hidden,
                    n_dense,
                    dt=POOL * dt,
                    tau=tau,
                    time_unit=time_unit,
                    rng=k,
                )
                for k in (2 * rng, 2 * rng + 1)
            )

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments that make an equal model, without its weights."""
        return {
            **super().settings, "carry": self.carry, "n_channels": self.n_channels,
            "n_dense": self.n_dense, "dropout": self.drop.p, "letter_dropout": self.letter_dropout,
        }  # fmt: skip

    @property
    def is_random(self) -> bool:
        """True where a run in training mode draws random numbers."""
        return super().is_random or self.letter_dropout > 0

    def start(self, n_trials: int) -> Tensor:
        """No state goes on from step to step: (trial, 0)."""
        return self.out.weight.new_zeros(n_trials, 0)

    def forward(self, inputs: Any, state: Tensor | None = None) -> ModelOutput:
        """Run on windows.

        Parameters
        ----------
        inputs : (trial, time, input), see above. state : not used.

        Returns
        -------
        ModelOutput with the log probability of each candidate, and -1e9 at every other place.
        """
        x = self.as_inputs(inputs)
        pieces = [x] if torch.is_grad_enabled() else x.split(CHUNK)
        output = torch.cat([self.log_probabilities(piece) for piece in pieces])
        return ModelOutput(output[..., None], x[..., :0])

    def log_probabilities(self, x: Tensor) -> Tensor:
        """Log probabilities, (trial, time), of inputs (trial, time, input)."""
        trial, place = (x[..., -1] == CANDIDATE).nonzero(as_tuple=True)
        letters, pairs = self.features(x)
        near = torch.cat([letters[trial, :, place], pairs[trial, place // POOL]], 1)
        read = self.join(self.drop(near))
        if self.carry:
            layers = (self.downstream, self.upstream)
            for layer, states in zip(layers, self.states(pairs, self.last(x)), strict=True):
                here = self.drop(states[trial, place // POOL])
                if self.training:
                    # Of some windows nothing is carried: letters must be able to tell alone.
                    carried = torch.rand(len(x), 1, dtype=x.dtype) >= _ALONE
                    here = here * carried[trial]
                read = read + nn.functional.linear(here, layer.output_weight, layer.output_bias)
        score = self.out(torch.relu(read))[:, 0]
        scores = x.new_full(x.shape[:2], _NONE).index_put((trial, place), score)
        return torch.log_softmax(scores, 1)

    def features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the convolutions find at letters and at pairs.

        Parameters
        ----------
        x : (trial, time, input).

        Returns
        -------
        (trial, channel, time) and (trial, pair, channel)
        """
        letters = x[..., :-1]
        if self.training and self.letter_dropout:
            letters = letters * (torch.rand_like(letters[..., :1]) >= self.letter_dropout)
        # Nothing is found outside the window, however long the longest of the batch is.
        inside = (x[..., -1] != OUTSIDE)[:, None].to(x.dtype)
        near = torch.relu(self.first(letters.transpose(1, 2))) * inside
        pairs, within = (nn.functional.max_pool1d(v, POOL, ceil_mode=True) for v in (near, inside))
        pairs = torch.relu(self.second(pairs)) * within
        return near, pairs.transpose(1, 2).contiguous()

    def last(self, x: Tensor) -> Tensor:
        """Last pair of each window, (trial,)."""
        inside = x[..., -1] != OUTSIDE
        return torch.arange(x.shape[1]).mul(inside).amax(1) // POOL

    def states(self, pairs: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """States at every pair of letters, (trial, pair, hidden), carried either way.

        Parameters
        ----------
        pairs : (trial, pair, channel). last : (trial,), pair with which each window ends.
        """
        down, _ = self.downstream.scan(pairs, self.downstream.start(len(pairs)))
        # The other layer starts at each window's own end, not at that of the longest.
        back = ((last[:, None] - torch.arange(pairs.shape[1])) % pairs.shape[1])[..., None]
        turned = pairs.gather(1, back.expand(-1, -1, pairs.shape[2]))
        up, _ = self.upstream.scan(turned, self.upstream.start(len(pairs)))
        return down, up.gather(1, back.expand(-1, -1, up.shape[2]))

    def length_constants(self, x: Tensor) -> NDArray[np.float64]:
        """Median length constant of each unit's gate over windows, bp, (direction, hidden)."""
        with torch.no_grad():
            _, pairs = self.features(x)
        return np.stack(
            [
                layer.timescales(half)["gate_time_constant"].values
                for layer, half in ((self.downstream, pairs), (self.upstream, pairs.flip(1)))
            ]
        )
