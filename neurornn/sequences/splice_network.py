"""The network of splice sites: convolutions, and two recurrent layers that meet at the site."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neurornn.models.base import ModelOutput, RecurrentModel
from neurornn.models.gated import GRU

#: bp that a step of the recurrent layers takes: neighbours are pooled.
POOL = 2
#: bp, from which length constants start, evenly over decades.
_SHORTEST_TAU, _LONGEST_TAU = 3.0, 60.0
#: Windows that are read at a time.
CHUNK = 512


class SiteReader(RecurrentModel):
    """Log odds of a splice site at one place of a window.

    Parameters
    ----------
    n_input : 4, letters. n_hidden : units of each direction. n_output : 1.
    dt : bp, 1.
    site : of the window, where the site begins; even.
    length : bp, of a window.
    n_channels : of both convolutions. n_dense : units of the layer that joins what was read.
    dropout : of what comes to that layer.
    time_unit : ``"bp"``. rng : of the first weights.

    Notes
    -----
    Two convolutions, of 9 letters and of 5 pairs, with the maximum of each pair of letters taken
    between them. One gated layer runs from the upstream end of the window and stops at the site,
    one from the downstream end, and stops there too: what is read of both is the state at the
    site, as in a bidirectional layer, at half its cost. The layer that joins the two states also
    sees the convolutions at every place, so that a letter counts by where it stands.
    """

    looks_ahead = True

    def __init__(
        self,
        n_input: int,
        n_hidden: int,
        n_output: int = 1,
        *,
        dt: float = 1.0,
        site: int,
        length: int,
        n_channels: int = 48,
        n_dense: int = 64,
        dropout: float = 0.3,
        time_unit: str = "bp",
        rng: int = 0,
    ) -> None:
        super().__init__(n_input, n_hidden, n_output, dt=dt, time_unit=time_unit)
        self.site, self.length, self.n_channels, self.n_dense = site, length, n_channels, n_dense
        tau = np.geomspace(_SHORTEST_TAU, _LONGEST_TAU, n_hidden)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(rng)
            self.first = nn.Conv1d(n_input, n_channels, 9, padding=4)
            self.second = nn.Conv1d(n_channels, n_channels, 5, padding=2)
            self.join = nn.Linear(n_channels * -(-length // POOL), n_dense)
            self.out = nn.Linear(n_dense, n_output)
        self.upstream, self.downstream = (
            GRU(n_channels, n_hidden, n_dense, dt=POOL * dt, tau=tau, time_unit=time_unit, rng=k)
            for k in (2 * rng, 2 * rng + 1)
        )
        self.drop = nn.Dropout(dropout)

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments that make an equal model, without its weights."""
        return {
            **super().settings, "site": self.site, "length": self.length,
            "n_channels": self.n_channels, "n_dense": self.n_dense, "dropout": self.drop.p,
        }  # fmt: skip

    def start(self, n_trials: int) -> Tensor:
        """No state goes on from step to step: (trial, 0)."""
        return self.out.weight.new_zeros(n_trials, 0)

    def forward(self, inputs: Any, state: Tensor | None = None) -> ModelOutput:
        """Run on windows.

        Parameters
        ----------
        inputs : (trial, time, input), one-hot windows. state : not used.

        Returns
        -------
        ModelOutput with the log odds at the site, and 0 at every other place.
        """
        x = self.as_inputs(inputs)
        pieces = [x] if torch.is_grad_enabled() else x.split(CHUNK)
        found = torch.cat([self.log_odds(piece) for piece in pieces])
        output = x.new_zeros(*x.shape[:2], self.n_output)
        output[:, self.site] = found
        return ModelOutput(output, x[..., :0])

    def log_odds(self, x: Tensor) -> Tensor:
        """Log odds of a site, (trial, output), of one-hot windows (trial, time, input)."""
        features = self.features(x)
        flat = self.drop(features.flatten(1))
        here = self.join(flat)
        for layer, half in zip(
            (self.upstream, self.downstream), self.halves(features), strict=True
        ):
            _, last = layer.scan(half, layer.start(len(half)))
            here = here + layer.read(self.drop(last)[:, None], half)[:, 0]
        found: Tensor = self.out(torch.relu(here))
        return found

    def features(self, x: Tensor) -> Tensor:
        """What the convolutions find in windows (trial, time, input): (trial, pair, channel)."""
        found = torch.relu(self.first(x.transpose(1, 2)))
        found = nn.functional.max_pool1d(found, POOL, ceil_mode=True)
        return torch.relu(self.second(found)).transpose(1, 2).contiguous()

    def halves(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Pairs from the upstream end to the site, and from the downstream end to the site."""
        pair = self.site // POOL
        return features[:, : pair + 1].contiguous(), features[:, pair:].flip(1).contiguous()

    def length_constants(self, x: Tensor) -> NDArray[np.float64]:
        """Median length constant of each unit's gate over windows, bp, (direction, hidden)."""
        with torch.no_grad():
            halves = self.halves(self.features(x))
        layers = (self.upstream, self.downstream)
        return np.stack(
            [
                layer.timescales(half)["gate_time_constant"].values
                for layer, half in zip(layers, halves, strict=True)
            ]
        )
