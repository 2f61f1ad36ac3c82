"""A course of sepsis whose severity is hidden behind vitals and labs that are often missing."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from neurornn._core.checks import check_number
from neurornn._core.rng import RNG
from neurornn._kernels.belief_steps import begin_measured, step_measured
from neurornn.simulate.belief_spaces import Box
from neurornn.simulate.belief_task import Array, Episodes, HiddenTask

#: Per 4 h and treatment: from each level to the four levels, to death, to discharge.
_COURSE = {
    "none": [
        [0.78, 0.07, 0.00, 0.00, 0.00, 0.15],
        [0.10, 0.76, 0.14, 0.00, 0.00, 0.00],
        [0.00, 0.08, 0.76, 0.14, 0.02, 0.00],
        [0.00, 0.00, 0.04, 0.84, 0.12, 0.00],
    ],
    "fluids": [
        [0.77, 0.15, 0.00, 0.00, 0.00, 0.08],
        [0.22, 0.71, 0.07, 0.00, 0.00, 0.00],
        [0.00, 0.18, 0.72, 0.09, 0.01, 0.00],
        [0.00, 0.00, 0.06, 0.83, 0.11, 0.00],
    ],
    "vasopressor": [
        [0.74, 0.18, 0.00, 0.00, 0.00, 0.08],
        [0.05, 0.74, 0.21, 0.00, 0.00, 0.00],
        [0.00, 0.06, 0.76, 0.16, 0.02, 0.00],
        [0.00, 0.00, 0.15, 0.79, 0.06, 0.00],
    ],
    "both": [
        [0.72, 0.23, 0.00, 0.00, 0.00, 0.05],
        [0.10, 0.74, 0.16, 0.00, 0.00, 0.00],
        [0.00, 0.14, 0.74, 0.10, 0.02, 0.00],
        [0.00, 0.00, 0.20, 0.75, 0.05, 0.00],
    ],
}
#: Name, unit, mean at level 0 and shift with each level, sd; the last three in logs.
_CHANNELS = (
    ("heart rate", "1/min", 86.0, 5.0, 14.0),
    ("mean arterial pressure", "mmHg", 83.0, -4.0, 11.0),
    ("respiratory rate", "1/min", 18.0, 1.5, 4.5),
    ("lactate", "mmol/l", np.log(1.3), 0.30, 0.40),
    ("creatinine", "mg/dl", np.log(1.0), 0.20, 0.50),
    ("leukocytes", "1e9/l", np.log(10.0), 0.10, 0.40),
)
_N_VITALS = 3
#: Probability that the vitals, and the labs, of a step are there, at each level.
_PRESENCE = ((0.75, 0.75, 0.75, 0.80), (0.15, 0.20, 0.30, 0.45))
_ADMITTED = (0.15, 0.45, 0.30, 0.10)
#: Cuts of the evidence for which the optimum is solved.
_N_CUTS = 20


class SepsisTask(HiddenTask):
    """A patient with sepsis: fluids and vasopressors every 4 h, while the severity is hidden.

    Parameters
    ----------
    missing : share of the measurements that are taken away beside those that are missing anyway.
    discount : of what happens one step later.
    n_steps : of 4 h, after which an episode is truncated.
    rng : int, Generator or None, of the patients.

    Attributes
    ----------
    transition : (action, state, next). initial_belief : (state,).
    channel_names, channel_units : of an observation.
    questions : ``"organ failure or shock"`` and ``"shock"``.

    Raises
    ------
    DataError, KindError
        Shares that are none.

    Notes
    -----
    No data of patients: a stated model, its orders of magnitude after the literature. Hidden are
    four levels, recovering, sepsis, organ failure, shock; death and discharge end an episode and
    are seen, worth -1 and 1. Treatments are none, fluids, a vasopressor, or both, the two kinds of
    Komorowski et al. 2018 (Nature Medicine 24:1716, doi:10.1038/s41591-018-0213-5), whose steps of
    4 h and discount of 0.99 are taken over. Fluids help in sepsis and organ failure, vasopressors
    in shock; either delays a patient who recovers. Under the best treatment about one patient in
    ten dies who is admitted with sepsis, and above 40 % of those admitted in shock, the orders of
    magnitude in Singer et al. 2016 (JAMA 315:801, doi:10.1001/jama.2016.0287).

    Vitals (heart rate, mean arterial pressure, respiratory rate) come together or not at all, and
    so do labs (lactate, creatinine, leukocytes), which are drawn more often from patients who are
    worse: that they were drawn is evidence too. Values are normal around a mean that moves by a
    fixed amount with each level, labs in their logs. What was not measured is NaN.

    `encode` gives a network ``(value - mean) / sd`` of each channel, labs in logs, with the mean
    and the sd among admitted patients, and 0 where the value is missing; beside it, 1 for vitals
    that are there and 1 for labs.

    Examples
    --------
    >>> task = SepsisTask(rng=0)
    >>> observation, info = task.reset()
    >>> observation.shape, task.encode(observation).shape, info["belief"].shape
    ((6,), (8,), (6,))
    """

    dt, time_unit = 4.0, "h"
    action_names = tuple(_COURSE)
    state_names = ("recovering", "sepsis", "organ failure", "shock", "died", "discharged")
    channel_names = tuple(c[0] for c in _CHANNELS)
    channel_units = tuple(c[1] for c in _CHANNELS)
    n_channels = len(_CHANNELS)

    def __init__(
        self,
        *,
        missing: float = 0.0,
        discount: float = 0.99,
        n_steps: int = 60,
        rng: RNG = None,
    ) -> None:
        kept = 1.0 - check_number(missing, "missing", least=0.0, below=1.0)
        n, n_live = 6, 4
        move = np.zeros((len(_COURSE), n, n))
        move[:, :n_live] = list(_COURSE.values())
        move[:, 4, 4] = move[:, 5, 5] = 1.0
        reward = np.zeros(move.shape)
        reward[:, :n_live, 4], reward[:, :n_live, 5] = -1.0, 1.0
        first, shift, self._sds = np.array([c[2:] for c in _CHANNELS], float).T
        level = np.array([0.0, 1.0, 2.0, 3.0, 0.0, 0.0])
        self._means = np.ascontiguousarray(first + level[:, None] * shift)
        self._is_log = np.arange(len(_CHANNELS)) >= _N_VITALS
        self._groups = self._is_log.astype(np.int64)
        self._presence = np.zeros((2, n))
        self._presence[:, :n_live] = kept * np.array(_PRESENCE)
        super().__init__(
            move, reward, [*_ADMITTED, 0.0, 0.0], discount=discount, n_steps=n_steps,
            ending=[0, 0, 0, 0, 1, 1],
            questions={
                "organ failure or shock": [0.0, 0.0, 1.0, 1.0, 0.0, 0.0],
                "shock": [0.0, 0.0, 0.0, 1.0, 0.0, 0.0],
            },
            rng=rng,
        )  # fmt: skip
        chances = self.initial_belief
        self._middle = chances @ self._means
        self._spread = np.sqrt(self._sds**2 + chances @ (self._means - self._middle) ** 2)
        low = np.where(self._is_log, 0.0, -np.inf)
        self.observation_space = Box(low, np.full(len(low), np.inf))

    def encode(self, observation: ArrayLike) -> Array:
        """Return observations as inputs of a network, (..., 8); see the notes of the class.

        Parameters
        ----------
        observation : (..., 6), NaN where nothing was measured.
        """
        values = np.array(observation, dtype=float)
        labs = values[..., _N_VITALS:]
        with np.errstate(divide="ignore", invalid="ignore"):
            values[..., _N_VITALS:] = np.log(labs)
        there = np.isfinite(values)
        scaled = np.where(there, (np.where(there, values, 0.0) - self._middle) / self._spread, 0.0)
        flags = np.stack([there[..., 0], there[..., _N_VITALS]], axis=-1)
        return np.concatenate([scaled, flags.astype(float)], axis=-1)

    def _measurements(self) -> tuple[NDArray[np.generic], ...]:
        return (
            self._means, self._sds, self._groups, self._presence, self._is_log, self.ending,
        )  # fmt: skip

    def _begin(self, run: Episodes) -> None:
        begin_measured(
            run.streams, self.initial_belief, *self._measurements(), run.state, run.belief,
            run.values,
        )  # fmt: skip

    def _advance(self, run: Episodes, actions: NDArray[np.int64]) -> None:
        step_measured(
            actions, run.streams, run.active, self.transition, self.reward,
            *self._measurements(), run.state, run.belief, run.values, run.gained, run.ended,
        )  # fmt: skip

    def _look(self, run: Episodes) -> Array:
        return run.values.copy()

    def _channel(self) -> tuple[Array, Array, Array]:
        """Measured values as a discrete channel: which group is there, and the evidence in cuts.

        Means move in proportion to the level, so that of the values z = sum (x - m) d / sd^2 says
        all there is to know: normal around w times the level with variance w = sum d^2 / sd^2.
        """
        level = np.array([0.0, 1.0, 2.0, 3.0, 0.0, 0.0])
        shift = self._means[1] - self._means[0]
        rows = []
        for vitals in (False, True):
            for labs in (False, True):
                there = np.where(self._is_log, labs, vitals)
                chance = np.ones(self.n_states)
                for p, has in zip(self._presence, (vitals, labs), strict=True):
                    chance = chance * (p if has else 1 - p)
                w = float(((shift / self._sds) ** 2)[there].sum())
                if w == 0:
                    rows.append(chance)
                    continue
                reach = 2.5 * np.sqrt(w)
                cuts = np.linspace(-reach, 3 * w + reach, _N_CUTS - 1)
                below = norm.cdf((cuts[:, None] - w * level) / np.sqrt(w))
                below = np.concatenate([np.zeros((1, 6)), below, np.ones((1, 6))])
                rows.extend(chance * np.diff(below, axis=0))
        seen = np.array(rows)
        return np.repeat(seen[None], self.n_actions, axis=0), seen, np.zeros(len(seen))
