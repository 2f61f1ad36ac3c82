"""A population that is seen through its calcium: rates, shared kinetics, fluorescence."""

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from neurornn._core.checks import check_count
from neurornn._core.errors import DataError
from neurornn._core.rng import RNG
from neurornn.models.base import MOST_UNITS, PhysicalParameter, RecurrentModel
from neurornn.models.bounded import LogBounded
from neurornn.models.leaky import LeakyRNN
from neurornn.models.observer import Observer, observe_plainly
from neurornn.models.recurrence import kernels_run

#: Share by which the rates of rise and decay differ at least.
_APART = 1e-3

#: Shot noise over measurement noise to start from where no data were seen: SNR 5 at 1 Hz, in 1/s.
_START_RATIO = 25.0


class CalciumRNN(RecurrentModel):
    """Population whose fluorescence shares one decay and one rise time, in seconds.

    A leaky network turns the known stimulus into the rates of all cells; calcium follows the
    rates and is corrected, frame by frame, by what was observed. The output is the fluorescence
    expected in each frame from the stimulus and all earlier frames.

    Parameters
    ----------
    n_units : cells.
    n_stimulus : channels of the stimulus; 0 where there is none.
    n_hidden : units of the latent network; 0 for cells of constant rate.
    dt : s, length of a frame.
    tau_decay : s, to start from.
    tau_rise : s, to start from; None for an instant rise. Shorter than the decay.

    Other Parameters
    ----------------
    tau_decay_bounds : (lower, upper), s
        By default dt/10 and 10000·dt.
    tau_rise_bounds : (lower, upper), s
        By default dt/50 and 1000·dt.
    learn_tau_decay, learn_tau_rise : learn it, or hold it fixed.
    tau : s, of the latent units, to start from.
    tau_bounds : (lower, upper), s, of the latent units; by default dt/10 and 10000·dt.
    time_unit : ``"s"``.
    rng : int, Generator or None
        For the initial weights.

    Attributes
    ----------
    tau_decay, tau_rise : s; can be read and assigned.
    tau : (hidden,), s, of the latent units.
    baseline, amplitude : (unit,), in the unit of the fluorescence.

    Notes
    -----
    With ``gamma = exp(-dt / tau_decay)`` and ``rho = exp(-dt / tau_rise)`` the two poles of the
    response ``exp(-t / tau_decay) - exp(-t / tau_rise)`` to a spike, scaled to a peak of 1, each
    cell has ::

        c_k = gamma c_{k-1} + g e_{k-1} + A B r_k        F_k = b + c_k - d_k + e_k
        d_k = rho   d_{k-1} + h e_{k-1} + A D r_k        e_k: what frame k adds to the prediction

    where ``r_k = softplus(...)`` is the rate (Hz) that the latent network gives, held constant
    within a frame, A the amplitude, b the baseline, and B, D the exact integrals of the two
    exponentials over a frame. The gains g and h are not free: they are those of the
    steady-state Kalman filter for spikes that arrive at random and white measurement noise, which
    leaves one number per cell, the ratio of the two. This is the innovations form of the
    prediction-error method (Ljung 1999); without the correction the irregular spikes would count
    as coloured noise. A missing frame (NaN) is not filled in: it corrects nothing.
    The gains after it stay those of the steady state, so that tau_rise comes out short, by several
    per cent where a fifth of the frames is lost; tau_decay does not.

    The response is the same with decay and rise exchanged: should a fit end with a tau_rise above
    tau_decay, the longer one is the decay.

    A fit takes out to first order how the many weights of the rates shorten tau_decay (restricted
    maximum likelihood), for models of at most 1500 weights.

    Rate and amplitude are determined only as far as the stimulus moves the rate; baseline and
    constant rate are one number, and so there is no rate where there is no stimulus. Slow rate
    changes that the stimulus does not explain make tau_decay too long, because the model takes
    spikes to be independent given the rate; `nr.calcium.Kinetics` does not assume so.

    References
    ----------
    Ljung 1999, System Identification: Theory for the User, 2nd ed., ISBN 978-0136566953;
    Anderson & Moore 1979, Optimal Filtering, ISBN 978-0136381228 (steady-state Kalman filter);
    Vogelstein et al. 2010, J. Neurophysiol. 104:3691, doi:10.1152/jn.01073.2009 (calcium).

    Examples
    --------
    >>> import neurornn as nr
    >>> rec = nr.simulate.simulate_calcium(5, 100.0, 30.0, tau_decay=0.5, tau_rise=0.05, rng=0)
    >>> model = nr.models.CalciumRNN(n_units=5, dt=1 / 30)
    >>> found = nr.fit(model, rec["dff"]).parameters
    >>> bool(found["tau_decay_ci"][0] < 0.5 < found["tau_decay_ci"][1])
    True
    """

    observes_targets = True
    covariance_weights = ("unbounded_tau_decay", "unbounded_tau_rise", "log_shot_noise")

    level: Tensor
    spread: Tensor
    prepared: Tensor
    log_amplitude: nn.Parameter

    def __init__(
        self,
        n_units: int,
        n_stimulus: int = 0,
        n_hidden: int = 0,
        *,
        dt: float,
        tau_decay: float = 0.5,
        tau_rise: float | None = 0.05,
        tau_decay_bounds: tuple[float, float] | None = None,
        tau_rise_bounds: tuple[float, float] | None = None,
        learn_tau_decay: bool = True,
        learn_tau_rise: bool = True,
        tau: ArrayLike = 0.2,
        tau_bounds: tuple[float, float] | None = None,
        time_unit: str = "s",
        rng: RNG = 0,
    ) -> None:
        n_units = check_count(n_units, "n_units", most=MOST_UNITS)
        n_stimulus = check_count(n_stimulus, "n_stimulus", 0, MOST_UNITS)
        n_hidden = check_count(n_hidden, "n_hidden", 0, MOST_UNITS)
        if (n_stimulus == 0) != (n_hidden == 0):
            raise DataError(
                f"n_stimulus is {n_stimulus} and n_hidden {n_hidden}",
                "A stimulus with latent units to pass it on, or neither, was needed",
                "Pass for example n_stimulus=2, n_hidden=8, or leave both out",
            )
        super().__init__(int(n_stimulus) + n_units, n_hidden, n_units, dt=dt, time_unit=time_unit)
        self.n_units, self.n_stimulus = self.n_output, int(n_stimulus)
        self.learn_tau_decay, self.learn_tau_rise = bool(learn_tau_decay), bool(learn_tau_rise)
        self.decay_bounds = LogBounded(*(tau_decay_bounds or (self.dt / 10, 1e4 * self.dt)))
        self.rise_bounds = LogBounded(*(tau_rise_bounds or (self.dt / 50, 1e3 * self.dt)))
        self.has_rise = tau_rise is not None and tau_rise != 0
        self.unbounded_tau_decay = _unbounded(self.decay_bounds, tau_decay, self.learn_tau_decay)
        if self.has_rise:
            self.unbounded_tau_rise = _unbounded(self.rise_bounds, tau_rise, self.learn_tau_rise)
        self.scaled_baseline = nn.Parameter(torch.zeros(self.n_units))
        self.log_shot_noise = nn.Parameter(torch.full((self.n_units,), np.log(_START_RATIO)))
        # Level and spread of each cell and whether they were taken from data: `prepare`.
        self.register_buffer("level", torch.zeros(self.n_units))
        self.register_buffer("spread", torch.ones(self.n_units))
        self.register_buffer("prepared", torch.zeros(1))
        # Weights without it are of a version whose rise had another form.
        self.register_buffer("double_exponential", torch.ones(1))
        if self.n_hidden:
            self.latent = LeakyRNN(
                self.n_stimulus,
                self.n_hidden,
                self.n_units,
                dt=dt,
                tau=tau,
                tau_bounds=tau_bounds,
                time_unit=time_unit,
                rng=rng,
            )
            self.log_amplitude = nn.Parameter(torch.zeros(self.n_units))

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *arguments: Any
    ) -> None:
        """Take in weights; a rise s of (1 - exp(-t / s)) exp(-t / tau_decay) is converted."""
        if f"{prefix}double_exponential" not in state_dict:
            state_dict[f"{prefix}double_exponential"] = torch.ones(1)
            twin = state_dict.get(f"{prefix}unbounded_tau_rise")
            if twin is not None:
                decay = self.decay_bounds(state_dict[f"{prefix}unbounded_tau_decay"].double())
                rise = 1 / (1 / self.rise_bounds(twin.double()) + 1 / decay)
                rise = torch.clamp(rise, min=self.rise_bounds.lower * (1 + 1e-6))
                new = self.rise_bounds.right_inverse(rise)
                state_dict[f"{prefix}unbounded_tau_rise"] = new.to(twin.dtype)
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments that make an equal model, without its weights."""
        d, r = self.decay_bounds, self.rise_bounds
        found: dict[str, Any] = {
            "n_units": self.n_units,
            "n_stimulus": self.n_stimulus,
            "n_hidden": self.n_hidden,
            "dt": self.dt,
            "time_unit": self.time_unit,
            "tau_decay": float(np.sqrt(d.lower * d.upper)),
            "tau_rise": float(np.sqrt(r.lower * r.upper)) if self.has_rise else None,
            "tau_decay_bounds": [d.lower, d.upper],
            "tau_rise_bounds": [r.lower, r.upper],
            "learn_tau_decay": self.learn_tau_decay,
            "learn_tau_rise": self.learn_tau_rise,
        }
        if self.n_hidden:
            found["tau"] = self.latent.settings["tau"]
            found["tau_bounds"] = self.latent.settings["tau_bounds"]
        return found

    @property
    def physical_parameters(self) -> list[PhysicalParameter]:
        """Decay and rise time of the population, time constants of the latent units."""
        unit = self.time_unit
        found = [
            PhysicalParameter(
                "tau_decay", "unbounded_tau_decay", unit, "decay time", "decay_bounds", ()
            )
        ]
        if self.has_rise:
            found.append(
                PhysicalParameter(
                    "tau_rise", "unbounded_tau_rise", unit, "rise time", "rise_bounds", ()
                )
            )
        if self.n_hidden:
            found.append(
                PhysicalParameter(
                    "tau", "latent.unbounded_tau", unit, "time constant", "latent_bounds"
                )
            )
        return found

    @property
    def tau_decay(self) -> Tensor:
        """Decay time shared by all cells; assign to set it."""
        return self.decay_bounds(self.unbounded_tau_decay)

    @tau_decay.setter
    def tau_decay(self, value: float) -> None:
        with torch.no_grad():
            given = torch.as_tensor(value, dtype=torch.float64)
            self.unbounded_tau_decay.copy_(self.decay_bounds.right_inverse(given))

    @property
    def tau_rise(self) -> Tensor:
        """Rise time shared by all cells, 0 for an instant rise; assign to set it."""
        if not self.has_rise:
            return torch.zeros_like(self.unbounded_tau_decay)
        return self.rise_bounds(self.unbounded_tau_rise)

    @tau_rise.setter
    def tau_rise(self, value: float) -> None:
        if not self.has_rise:
            raise DataError(
                f"tau_rise was set to {value} in a model with an instant rise",
                "A model with a rise was needed",
                "Build the model with tau_rise=0.05",
            )
        with torch.no_grad():
            given = torch.as_tensor(value, dtype=torch.float64)
            self.unbounded_tau_rise.copy_(self.rise_bounds.right_inverse(given))

    @property
    def tau(self) -> Tensor:
        """Time constants of the latent units, (hidden,)."""
        return self.latent.tau

    @property
    def latent_bounds(self) -> LogBounded:
        """Bounds of the latent time constants."""
        return self.latent.bounds

    @property
    def baseline(self) -> Tensor:
        """Fluorescence at rate 0 where there is a stimulus, mean fluorescence otherwise."""
        return self.level + self.spread * self.scaled_baseline

    @property
    def amplitude(self) -> Tensor:
        """Peak of the response to one spike, (unit,); not determined without a stimulus."""
        if not self.n_hidden:
            return torch.full_like(self.spread, torch.nan)
        return self.spread * torch.exp(self.log_amplitude)

    def prepare(self, inputs: Tensor) -> None:
        """Take level, spread and noise of every cell from the data of the first fit."""
        if bool(self.prepared):
            return
        seen = inputs[..., self.n_stimulus :].reshape(-1, self.n_units)
        steps = inputs[..., self.n_stimulus :].diff(dim=1).reshape(-1, self.n_units)
        with torch.no_grad():
            level = torch.nanmean(seen, 0)
            variance = torch.nanmean((seen - level) ** 2, 0)
            # Most differences of neighbours hold noise alone; 0.6745 is the normal quartile.
            noise = (torch.nanmedian(steps.abs(), 0).values / 0.6745) ** 2 / 2
            # A cell seen in every second frame has no neighbours: half of what varies is noise.
            noise = torch.where(torch.isfinite(noise), noise, 0.5 * variance)
            usable = torch.isfinite(variance) & (variance > 0)
            signal = torch.maximum(variance - noise, 0.05 * variance)
            # A train of rate r and size A has variance A^2 r tau / 2.
            ratio = 2 * signal / self.tau_decay / torch.maximum(noise, 1e-3 * variance)
            self.level.copy_(torch.where(usable, level, 0.0))
            self.spread.copy_(torch.where(usable, variance, 1.0).sqrt())
            self.log_shot_noise.copy_(torch.log(torch.where(usable, ratio, _START_RATIO)))
            if self.n_hidden:
                # The mean response to the rate at the start, softplus(0), is taken off the level.
                _, into, _ = self._response()
                at_rest = (into[0] / -torch.expm1(-self.dt / self.tau_decay)) - (
                    into[1] / -torch.expm1(-self.dt * self._second_rate())
                )
                self.scaled_baseline.copy_((-np.log(2) * at_rest).expand(self.n_units))
            self.prepared.fill_(1.0)

    def _second_rate(self) -> Tensor:
        """Rate of the fast pole, 1/s."""
        slow, fast = 1 / self.tau_decay, 1 / self.tau_rise
        # The response is the same with the two exchanged; equal poles have another form.
        too_near = (fast / slow - 1).abs() < _APART
        return torch.where(too_near, (1 + _APART) * slow, fast)

    def _response(self) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor]:
        """Poles (2,), what a rate of 1 Hz adds to each state in a frame, peak."""
        decay = self.tau_decay
        gamma = torch.exp(-self.dt / decay)
        slow = -torch.expm1(-self.dt / decay) * decay
        if not self.has_rise:
            zero = torch.zeros_like(decay)
            return torch.stack([gamma, zero]), (slow, zero), torch.ones_like(decay)
        fast = self._second_rate()
        # Below 0 where the two are exchanged: then so is the sign of the response.
        lag = 1 / (fast - 1 / decay)
        top = lag * torch.log1p(decay / lag)
        peak = torch.exp(-top / decay) * -torch.expm1(-top / lag)
        rho = torch.exp(-self.dt * fast)
        return (
            torch.stack([gamma, rho]),
            (slow / peak, -torch.expm1(-self.dt * fast) / fast / peak),
            peak,
        )

    def gains(self) -> tuple[Tensor, Tensor]:
        """Gains of the two calcium states on the innovation, each (unit,).

        Those of the steady-state Kalman predictor. The spectrum of the fluorescence is that of a
        moving average of order 2 behind the two poles; its invertible factor is found in closed
        form, and the gains are what turns one into the other.
        """
        (gamma, rho), _, peak = self._response()
        dtype = gamma.dtype
        # Where decays are long against a frame the spectra cancel to the last digits of float32.
        gamma, rho, peak = gamma.double(), rho.double(), peak.double()
        shot = torch.exp(self.log_shot_noise.double()) / peak**2
        a = 1 / self.tau_decay.double()

        def together(rate: Tensor) -> Tensor:
            return -torch.expm1(-self.dt * rate) / rate * shot

        slow = together(2 * a)
        if self.has_rise:
            b = self._second_rate().double()
            both, fast = together(a + b), together(2 * b)
        else:
            both = fast = torch.zeros_like(slow)
        # Autocovariance of (1 - gamma L)(1 - rho L) F at lags 0, 1 and 2, noise variance 1.
        total, product = gamma + rho, gamma * rho
        r0 = 1 + total**2 + product**2 + slow * (1 + rho**2) + fast * (1 + gamma**2)
        r0 = r0 - 2 * both * (1 + product)
        r1 = -total * (1 + product) - rho * slow - gamma * fast + both * total
        r2 = product
        half = ((r0 - 2 * r2) + torch.sqrt((r0 + 2 * r2) ** 2 - 4 * r1**2)) / 2
        scale = 2 / (half + torch.sqrt(half**2 - 4 * r2**2))
        last = r2 * scale
        first = -r1 * scale / (1 + last)
        apart = gamma - rho
        slow_gain = (gamma**2 - first * gamma + last) / apart
        fast_gain = (rho**2 - first * rho + last) / apart
        return slow_gain.to(dtype), fast_gain.to(dtype)

    @torch.no_grad()
    def recolour(self, innovations: Tensor, inputs: Tensor) -> Tensor:
        """Return the series that `whiten` turns into these; missing frames as in inputs."""
        seen = (~torch.isnan(inputs[..., self.n_stimulus :])).to(innovations.dtype)
        (gamma, rho), _, _ = self._response()
        n, none = self.n_units, torch.zeros_like(self.spread)
        columns = (gamma.expand(n), rho.expand(n), none, none, *self.gains())
        rest = self.start(innovations.shape[1])[:, :n]
        out = torch.empty_like(innovations)
        for k, one in enumerate(innovations * seen):
            before = nn.functional.pad(one, (0, 0, 1, 0))[:, :-1]
            nothing = torch.zeros_like(one)
            out[k] = one + Observer.apply(nothing, nothing, before, *columns, rest, rest)[0]
        return out

    @torch.no_grad()
    def whiten(self, series: Tensor, inputs: Tensor) -> Tensor:
        """Take from every series what its own past lets expect; missing frames as in inputs."""
        n = self.n_units
        seen = (~torch.isnan(inputs[..., self.n_stimulus :])).to(series.dtype)
        (gamma, rho), _, _ = self._response()
        none = torch.zeros_like(self.spread)
        columns = (gamma.expand(n), rho.expand(n), *self.gains(), none, none)
        rest = self.start(series.shape[1])[:, :n]
        out = torch.empty_like(series)
        for k, one in enumerate(series):
            expected = Observer.apply(one, seen, torch.zeros_like(one), *columns, rest, rest)[0]
            out[k] = one - expected
        return out

    def start(self, n_trials: int) -> Tensor:
        """State before the first frame: no drive and no calcium, (trial, state)."""
        size = self.n_hidden + 3 * self.n_units
        return self.unbounded_tau_decay.new_zeros(n_trials, size)

    def forward(self, inputs: Any, state: Tensor | None = None) -> Any:
        """Predict each frame from the frames before it.

        Parameters
        ----------
        inputs : (trial, time, stimulus and unit)
            The stimulus and then the fluorescence; NaN marks a missing frame of a cell.
        state : (trial, state)
            State before the first frame; by default the network is silent and calcium is where the
            first rate would hold it.

        Returns
        -------
        ModelOutput
            ``output (trial, time, unit)``, the expected fluorescence; ``states``: the latent
            units, the two calcium states carried to the next frame, and the expected fluorescence
            above the baseline.
        """
        x = self.as_inputs(inputs)
        return super().forward(x, self._settled(x) if state is None else state)

    def _settled(self, x: Tensor) -> Tensor:
        """Start where the rate of the first frame would hold it; at 0 without latent units."""
        start = self.start(len(x))
        if not self.n_hidden:
            return start
        (gamma, rho), into, _ = self._response()
        hidden = start[:, : self.n_hidden]
        _, first = self.latent.scan(x[:, :1, : self.n_stimulus], hidden)
        rate = self._rates(first[:, None])[:, 0] * self.amplitude
        return torch.cat(
            [
                hidden,
                rate * (into[0] * gamma / (1 - gamma)),
                rate * (into[1] * rho / (1 - rho)),
                start[:, -self.n_units :],
            ],
            1,
        )

    def _rates(self, latent: Tensor) -> Tensor:
        """Rates, Hz, from latent states."""
        return nn.functional.softplus(self.latent.read(latent, latent))

    def scan(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Run over time; the state holds latent units, calcium, and the last prediction."""
        n, h = self.n_units, self.n_hidden
        flu = inputs[..., self.n_stimulus :]
        seen = ~torch.isnan(flu)
        above = torch.where(seen, torch.nan_to_num(flu) - self.baseline, 0.0)
        poles, into, _ = self._response()
        gain_c, gain_d = self.gains()
        if h:
            latent, _ = self.latent.scan(inputs[..., : self.n_stimulus], state[:, :h])
            rate, amplitude = self._rates(latent), self.amplitude
        else:
            latent, rate = inputs[..., :0], torch.zeros_like(above)
            amplitude = torch.zeros_like(self.spread)
        parameters = (
            poles[0].expand(n),
            poles[1].expand(n),
            gain_c,
            gain_d,
            amplitude * into[0],
            amplitude * into[1],
        )
        a, b = state[:, h : h + n], state[:, h + n : h + 2 * n]
        run = Observer.apply if kernels_run(above) else observe_plainly
        expected, slow, fast = run(above, seen.to(above.dtype), rate, *parameters, a, b)
        states = torch.cat([latent, slow, fast, expected], 2)
        return states, states[:, -1]

    def read(self, states: Tensor, inputs: Tensor) -> Tensor:
        """Expected fluorescence."""
        return self.baseline + states[..., -self.n_units :]


def _unbounded(bounds: LogBounded, value: Any, learn: bool) -> nn.Parameter:
    given = torch.tensor(float(value), dtype=torch.float64)
    return nn.Parameter(bounds.right_inverse(given).float(), requires_grad=learn)
