"""The response to one event: a rise and a decay, and the times by which it is told."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq


class Kernel(NamedTuple):
    """Kinetics of a cell: ``exp(-t / tau) (1 - exp(-t / lag))``, and so a double exponential.

    Attributes
    ----------
    tau : s, of the decay.
    lag : s, one over the difference of the rates of rise and decay, which is any number above 0
        and in which a fit searches; 0 for an instant rise.
    """

    tau: float
    lag: float = 0.0

    @classmethod
    def of_rise(cls, tau: float, rise: float) -> "Kernel":
        """Kinetics from the two time constants of ``exp(-t / tau) - exp(-t / rise)`` (s)."""
        return cls(tau, tau * rise / (tau - rise) if rise > 0 else 0.0)

    @property
    def rise(self) -> float:
        """Time constant of the rise, that of the faster exponential (s); 0 for an instant one."""
        return self.tau * self.lag / (self.tau + self.lag) if self.lag > 0 else 0.0

    @property
    def time_to_peak(self) -> float:
        """Time from an event to the peak of the response (s); 0 for an instant rise."""
        return self.lag * float(np.log1p(self.tau / self.lag)) if self.lag > 0 else 0.0

    @property
    def peak(self) -> float:
        """Peak of the response, for a decaying part of size 1."""
        if not self.lag > 0:
            return 1.0
        at = self.time_to_peak
        return float(np.exp(-at / self.tau) * -np.expm1(-at / self.lag))

    @property
    def half_rise(self) -> float:
        """Time from an event to half of the peak (s); 0 for an instant rise."""
        if not self.lag > 0:
            return 0.0
        at, half = self.time_to_peak, 0.5 * self.peak

        def short_of_half(t: float) -> float:
            return float(np.exp(-t / self.tau) * -np.expm1(-t / self.lag)) - half

        return float(brentq(short_of_half, 0.0, at, xtol=1e-12 * at))

    def poles(self, dt: float) -> tuple[float, float, float]:
        """Decay, rise and edge of the cone of one frame, as the projection takes them.

        The second is -1 where there is no rise.
        """
        gamma = float(np.exp(-dt / self.tau))
        if self.lag <= 0:
            return gamma, -1.0, 0.0
        phi = float(np.exp(-dt / self.lag))
        return gamma, gamma * phi, phi
