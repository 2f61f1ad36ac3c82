"""The network of a sequential autoencoder: encoder, generator in seconds, Poisson read-out."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from neurornn.models.base import random_weights
from neurornn.models.gated import GRU
from neurornn.models.leaky import LeakyRNN

#: Log rates, per bin, are held between these: a spike in 10 million bins, and 150 in one.
LOG_RATE = (-16.0, 5.0)
#: Log variances of the posterior are held between these.
_LOG_VARIANCE = (-12.0, 4.0)
#: Time constant from which the prior of inferred inputs starts, bins.
_INPUT_TAU = 10.0


class Posterior(NamedTuple):
    """What the encoder tells of trials: normal laws, independent over variables.

    Attributes
    ----------
    mean, log_variance : (trial, initial), of the variables that set the start of the generator.
    inputs, log_input_variance : (trial, time, input), of inferred inputs; None without.
    """

    mean: Tensor
    log_variance: Tensor
    inputs: Tensor | None = None
    log_input_variance: Tensor | None = None

    def drawn(self, noise: tuple[Tensor, Tensor | None] | None) -> tuple[Tensor, Tensor | None]:
        """Variables from standard normal noise of their shapes, or their means."""
        if noise is None:
            return self.mean, self.inputs
        start = self.mean + torch.exp(0.5 * self.log_variance) * noise[0]
        if self.inputs is None or self.log_input_variance is None or noise[1] is None:
            return start, self.inputs
        return start, self.inputs + torch.exp(0.5 * self.log_input_variance) * noise[1]


class AutoencoderNetwork(nn.Module):
    """Encoder, generator and read-outs.

    Parameters
    ----------
    n_units : units of each session.
    dt : s, a bin.
    n_latent : factors, from which the log rates of all units are read.
    n_initial : variables that set the start of the generator.
    n_encoder : hidden units of each direction of the encoder.
    n_hidden : hidden units of the generator.
    n_inputs : inferred inputs; 0 for a generator that runs by itself.
    generator : ``"leaky"`` or ``"gru"``.
    tau : (shortest, longest), s, time constants at which the generator starts.
    seed : of the initial weights.

    Notes
    -----
    With several sessions each has a linear read-in to the encoder, of as many columns as the
    largest session has units, and a linear read-out from the factors; with one the encoder sees
    its units themselves.
    """

    def __init__(
        self,
        n_units: Sequence[int],
        *,
        dt: float,
        n_latent: int,
        n_initial: int,
        n_encoder: int,
        n_hidden: int,
        n_inputs: int,
        generator: str,
        tau: Sequence[float],
        seed: int,
    ) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {
            "n_units": [int(n) for n in n_units], "dt": float(dt), "n_latent": n_latent,
            "n_initial": n_initial, "n_encoder": n_encoder, "n_hidden": n_hidden,
            "n_inputs": n_inputs, "generator": generator, "tau": [float(t) for t in tau],
            "seed": seed,
        }  # fmt: skip
        self.n_inputs = n_inputs
        draw = torch.Generator().manual_seed(seed)
        seeds = torch.randint(2**31 - 1, (3,), generator=draw).tolist()
        widest = max(n_units)
        self.ahead = GRU(widest, n_encoder, 2 * n_initial, dt=dt, rng=seeds[0])
        self.behind = GRU(widest, n_encoder, 2 * n_initial, dt=dt, rng=seeds[1])
        taus = np.geomspace(tau[0], tau[1], n_hidden)
        self.generator: LeakyRNN | GRU
        if generator == "leaky":
            self.generator = LeakyRNN(
                n_inputs, n_hidden, n_latent, dt=dt, tau=taus, rng=seeds[2], form="current",
                tau_bounds=(min(dt / 10, tau[0] / 2), max(1e3 * dt, 10 * tau[1])),
            )  # fmt: skip
        else:
            self.generator = GRU(n_inputs, n_hidden, n_latent, dt=dt, tau=taus, rng=seeds[2])
        # The read-outs have an offset for every unit: one for every factor would do nothing.
        self.generator.output_bias.requires_grad_(False)
        self.start_weight = nn.Parameter(random_weights(n_hidden, n_initial, 1.0, draw))
        self.start_bias = nn.Parameter(torch.zeros(n_hidden))
        several = len(n_units) > 1
        self.read_in = nn.ParameterList(
            [random_weights(widest, n, 1.0, draw) for n in n_units] if several else []
        )
        self.read_out = nn.ParameterList([random_weights(n, n_latent, 1.0, draw) for n in n_units])
        self.offset = nn.ParameterList([torch.zeros(n) for n in n_units])
        # Scale of what goes in: not trained, but kept with the weights.
        for k, n in enumerate(n_units):
            self.register_buffer(f"centre_{k}", torch.zeros(n))
            self.register_buffer(f"scale_{k}", torch.ones(n))
        if n_inputs:
            self.input_weight = nn.Parameter(
                random_weights(2 * n_inputs, 2 * n_encoder, 1.0, draw)
            )
            self.input_bias = nn.Parameter(torch.zeros(2 * n_inputs))
            self.log_input_tau = nn.Parameter(torch.full((n_inputs,), np.log(_INPUT_TAU * dt)))
            self.log_input_sd = nn.Parameter(torch.full((n_inputs,), np.log(0.3)))

    def set_level(self, session: int, mean: np.ndarray) -> None:
        """Centre and scale the counts of a session, and start its rates at their mean.

        Parameters
        ----------
        mean : (unit,), spikes per bin, above 0.
        """
        level = torch.as_tensor(mean, dtype=torch.float32)
        with torch.no_grad():
            self.get_buffer(f"centre_{session}").copy_(level)
            # The sd of a Poisson count.
            self.get_buffer(f"scale_{session}").copy_(torch.sqrt(level))
            self.offset[session].copy_(torch.log(level))

    def standard(self, counts: Tensor, session: int) -> Tensor:
        """Counts (trial, time, unit) as the encoder takes them, before what is not seen is 0."""
        centre, scale = (self.get_buffer(f"{n}_{session}") for n in ("centre", "scale"))
        return (counts - centre) / scale

    def encode(self, seen: Tensor, session: int, lengths: Tensor | None = None) -> Posterior:
        """Posterior of trials.

        Parameters
        ----------
        seen : (trial, time, unit), standard counts, 0 where none is seen.
        lengths : (trial,), bins of each trial, those behind are padding; None for all.
        """
        x = nn.functional.linear(seen, self.read_in[session]) if len(self.read_in) else seen
        n = len(x)
        forward, _ = self.ahead.scan(x, self.ahead.start(n))
        backward, _ = self.behind.scan(turned(x, lengths), self.behind.start(n))
        trial, end = torch.arange(n), x.shape[1] - 1 if lengths is None else lengths - 1
        last = (forward[trial, end, None], backward[trial, end, None])
        told = self.ahead.read(last[0], x) + self.behind.read(last[1], x)
        mean, spread = told[:, 0].chunk(2, 1)
        found = Posterior(mean, spread.clamp(*_LOG_VARIANCE))
        if not self.n_inputs:
            return found
        both = torch.cat([forward, turned(backward, lengths)], 2)
        told = nn.functional.linear(both, self.input_weight, self.input_bias)
        inputs, spread = told.chunk(2, 2)
        # Around the prior's variance: an input that is not told is as the prior has it.
        spread = (spread + 2 * self.log_input_sd).clamp(*_LOG_VARIANCE)
        return found._replace(inputs=inputs, log_input_variance=spread)

    def generate(
        self, start: Tensor, inputs: Tensor | None, n_steps: int
    ) -> tuple[Tensor, Tensor]:
        """Run the generator: factors (trial, time, latent) and states (trial, time, hidden).

        Parameters
        ----------
        start : (trial, initial)
        inputs : (trial, time, input), or None.
        """
        state = nn.functional.linear(start, self.start_weight, self.start_bias)
        fed = start.new_zeros(len(start), n_steps, 0) if inputs is None else inputs
        states, _ = self.generator.scan(fed, state)
        return self.generator.read(states, fed), states

    def log_rates(self, factors: Tensor, session: int) -> Tensor:
        """Log of the spikes expected in a bin, (trial, time, unit)."""
        found = nn.functional.linear(factors, self.read_out[session], self.offset[session])
        return found.clamp(*LOG_RATE)

    def divergence(self, told: Posterior, lengths: Tensor | None = None) -> Tensor:
        """How far posteriors are from the prior, nats, (trial,).

        Notes
        -----
        Kullback-Leibler divergence: from a standard normal for the start, and from a first-order
        autoregression with the time constants of the inputs for these.
        """
        v = told.log_variance
        found = 0.5 * (told.mean**2 + torch.exp(v) - 1 - v).sum(1)
        if told.inputs is None or told.log_input_variance is None:
            return found
        keep = torch.exp(-self.generator.dt / torch.exp(self.log_input_tau))
        stationary = torch.exp(2 * self.log_input_sd)
        u, v = told.inputs, told.log_input_variance
        share = torch.cat([torch.zeros_like(keep)[None], keep.expand(u.shape[1] - 1, -1)])
        variance = stationary * (1 - share**2)
        before, wide = torch.zeros_like(u), torch.zeros_like(v)
        before[:, 1:], wide[:, 1:] = u[:, :-1], torch.exp(v[:, :-1])
        square = (u - share * before) ** 2 + torch.exp(v) + share**2 * wide
        each = 0.5 * (square / variance - 1 - v + torch.log(variance)).sum(2)
        if lengths is not None:
            each = each * (torch.arange(u.shape[1]) < lengths[:, None])
        return found + each.sum(1)

    def time_constants(self, states: Tensor, inputs: Tensor | None) -> np.ndarray:
        """Time constant of every hidden unit of the generator, s, (hidden,).

        Parameters
        ----------
        states : (trial, time, hidden), before each step, over which gates are read.
        """
        if isinstance(self.generator, LeakyRNN):
            return np.asarray(self.generator.tau.detach().double().numpy())
        layer: Any = self.generator.layers[0]
        n = self.generator.n_hidden
        with torch.no_grad():
            bias = (layer.bias_ih_l0 + layer.bias_hh_l0)[n : 2 * n]
            drive = states @ layer.weight_hh_l0[n : 2 * n].T + bias
            if inputs is not None:
                drive = drive + inputs @ layer.weight_ih_l0[n : 2 * n].T
            rate = nn.functional.softplus(-drive.double()) / self.generator.dt
            return np.asarray(1 / rate.reshape(-1, n).median(0).values.numpy())


def turned(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Turn trials (trial, time, ...) round in time, each in its own length; padding stays."""
    if lengths is None:
        return x.flip(1)
    step = torch.arange(x.shape[1])
    index = torch.where(step < lengths[:, None], lengths[:, None] - 1 - step, step)
    return x.gather(1, index[:, :, None].expand(-1, -1, x.shape[2]))
