"""A fit with a rise, or one without: which of the two the data ask for."""

import numpy as np

from neurornn.calcium.alternation import (
    FIRST_NOISE,
    Round,
    alternate,
    first_tau,
    lag_bounds,
    least,
    plain_kernel,
)
from neurornn.calcium.kernel import Kernel
from neurornn.calcium.trace_model import Array, TraceModel

#: A rise of this share of a frame, the shortest that counts, must be expected to gain so much
#: deviance before a fit without one is believed.
_RISE_SHARE = 0.6

_RISE_POWER = 6.0

#: Where it is not, tau is moved part of the way to the fit with one, give or take this share; the
#: part is what the first frames gain by a free time over what they gain where a rise is certain.
_SHIFT_SD = 0.45

_CERTAIN_GAIN = 0.75

#: Decays shorter than this (frames) are looked for from several starts.
_FEW_FRAMES = 6.0

#: Where the steps of most frames show less than this share of the noise that is left, events were
#: taken for noise.
LESS_NOISE = 0.85

#: Deviance by which a rise must improve on none to count as resolved. Where there is none, the
#: free time within a frame takes up what noise would lend to it, and the deviance stays near 0.
RISE_DEVIANCE = 2.71

#: From here on there is no need to try without.
_RISE_CLEAR = 30.0

#: From here on the rise, resolved or not, is modelled, so that it does not lengthen the decay.
_RISE_HINT = 0.5

#: And from here on by event, in log likelihood: what the time within the frame as one more unknown
#: gains where there is no rise is 0.3 to 1.1.
_TIMING_GAIN = 1.2


def fit_kinetics(
    model: TraceModel,
    start: Kernel,
    start_with_rise: Kernel,
    heights: Array | None = None,
    noise: float = FIRST_NOISE,
) -> tuple[Round, bool, float, float]:
    """Fit with a rise, and without one where little speaks for it.

    Returns
    -------
    found : the fit that stands.
    resolved : whether its rise is resolved.
    shift, shift_sd : by how much log tau is likely to be too long for want of a rise that the
        data could not have told, and how sure that is; 0 otherwise.
    """
    if not model.settings.rise:
        return alternate(model, start, heights, noise=noise), False, 0.0, 0.0
    dt = model.settings.dt
    found = alternate(model, start_with_rise, heights, noise=noise)
    gained = deviance_of_rise(model, found)
    if gained > _RISE_CLEAR and found.kernel.tau > 2 * _FEW_FRAMES * dt:
        return found, True, 0.0, 0.0
    plain = alternate(model, start, heights, noise=noise)
    if found.noise < LESS_NOISE * plain.noise and found.kernel.lag < 0.1 * dt:
        # A rise that short is none: a fit without one can be as good, and was only not found.
        filtered, model.every_frame = model.every_frame, True
        instant = plain_kernel(found.kernel.tau, model.settings)
        other = alternate(model, instant, found.heights, noise=found.noise)
        if other.cost < plain.cost:
            plain = other
        else:
            model.every_frame = filtered
    if plain.kernel.tau < _FEW_FRAMES * dt:
        # Few frames tell an event: a fit without a rise can be far from every one with a rise.
        tau = first_tau(model.y, model.blocks, model.settings)
        for factor in (0.7, 1.0, 1.4):
            other = alternate(model, Kernel(factor * tau, 0.3 * dt))
            found = min(found, other, key=lambda f: f.cost)
        gained = deviance_of_rise(model, found)
    return with_or_without(model, plain, found, gained)


def with_or_without(
    model: TraceModel, plain: Round, found: Round, gained: float
) -> tuple[Round, bool, float, float]:
    """Choose between the fit without a rise and the one with; returns what `fit_kinetics` does."""
    # A rise within the frame leaves its trace in the first frame of an event alone: that frame is
    # then fitted badly by a decay that is free in its size only.
    freedom = _freedom(model, plain, found)
    if freedom > -_TIMING_GAIN and (gained > _RISE_HINT or freedom > _TIMING_GAIN):
        return found, gained > RISE_DEVIANCE, 0.0, 0.0
    shift = 0.0
    if _expected_of_rise(model, plain) < _RISE_POWER:
        shift = float(np.clip(np.log(plain.kernel.tau / found.kernel.tau), 0.0, 0.5))
    # As much of it as the first frames speak for: all of it where they would free the time.
    return plain, False, shift * float(np.clip(freedom / _CERTAIN_GAIN, 0, 1)), _SHIFT_SD * shift


def _freedom(model: TraceModel, plain: Round, found: Round) -> float:
    """What the time within the frame, as one more unknown, gains by event in log likelihood.

    Two events in frames next to each other are one with a slow first frame. Where there is a rise
    nearly every event has such a neighbour; in a busy cell as many as fall there by chance, and
    these are no gain. An event costs the same in both fits.
    """
    n_plain, n_found = int(plain.is_event.sum()), int(found.is_event.sum())
    by_chance = min(n_plain**2 / max(model.n_seen, 1), max(n_plain - n_found, 0))
    price = 0.5 * found.threshold**2
    gained = plain.cost - 0.5 * plain.threshold**2 * n_plain + price * (n_plain - by_chance)
    return (gained - found.cost) / max(n_found, 1)


def _expected_of_rise(model: TraceModel, plain: Round) -> float:
    """Deviance by which a short rise, were there one, would be expected to show.

    What a decay with a free size and a free time constant leaves of a response with a rise,
    averaged over when within the frame the event was, times the energy of the events.
    """
    dt = model.settings.dt
    tau, rise = plain.kernel.tau, _RISE_SHARE * dt
    n = int(np.clip(np.ceil(3 * tau / dt), 4, 300))
    i = np.arange(n - 1)
    plane, _ = np.linalg.qr(np.stack([np.exp(-i * dt / tau), i * np.exp(-i * dt / tau)], axis=1))
    left = []
    for phase in (0.1, 0.3, 0.5, 0.7, 0.9):
        lag = (np.arange(n) + phase) * dt
        shape = np.exp(-lag / tau) * -np.expm1(-lag / rise)
        # What the first frame shows may as well be a matter of when within it the event was.
        one = shape[1:]
        rest = one - plane @ (plane.T @ one)
        left.append(float(rest @ rest) / float(shape.max()) ** 2)
    model.heights = plain.heights
    sizes, _ = model.events_seen(plain.kernel, plain.starts)
    # An event that does not stand out by three sd in one frame hardly says in which it began.
    energy = float(np.sum(np.maximum((sizes[plain.is_event] / plain.noise) ** 2 - 9, 0)))
    return energy * float(np.mean(left))


def deviance_of_rise(model: TraceModel, found: Round) -> float:
    """Deviance between the rise that was found and one too short to be seen, events the same."""
    model.heights = found.heights
    floor, _ = lag_bounds(model)
    best, _, dof = model.squares(found.kernel, found.starts)
    low, high = (np.array([np.log(b)]) for b in model.settings.tau_bounds)

    def square(x: Array) -> float:
        return model.squares(Kernel(float(np.exp(x[0])), floor), found.starts)[0]

    without = square(least(square, np.log([found.kernel.tau]), low, high))
    return float(dof * np.log(max(without, best) / best))
