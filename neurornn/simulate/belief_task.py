"""Decisions while the state is hidden, and the exact belief about it; gymnasium's interface."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import check_count, check_number, check_numbers
from neurornn._core.errors import DataError, ShapeError
from neurornn._core.files import fingerprint
from neurornn._core.rng import RNG, derived_seed, seed_of
from neurornn._kernels.belief_steps import begin_discrete, step_discrete
from neurornn.simulate.belief_checks import (
    ROUNDING,
    check_distribution,
    checked_action,
    checked_names,
    corners_of,
    process_array,
)
from neurornn.simulate.belief_optimum import Optimum, solve
from neurornn.simulate.belief_spaces import Box, Discrete

Array = NDArray[np.float64]
#: Corners of the grid on which the optimum is solved, at most, by default.
_CORNERS = 6000


class Moment(NamedTuple):
    """What all episodes are at after a step.

    Attributes
    ----------
    observation : (episode, channel).
    reward : (episode,). terminated, truncated : (episode,).
    """

    observation: Array
    reward: Array
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]


class HiddenTask:
    """What tasks with a hidden state share; a subclass says what is observed.

    Parameters
    ----------
    transition : (action, state, next).
    reward : (action, state, next).
    initial_belief : (state,).
    discount : of a reward one step later.
    n_steps : after which an episode is truncated.
    ending : (state,), states in which an episode ends, and which everybody sees.
    questions : name -> (state,) of 0 and 1: what a belief is read for.
    rng : of the episodes.
    """

    #: Nothing is drawn.
    metadata: Mapping[str, Any] = {"render_modes": []}
    render_mode = None
    spec = None
    #: Length of a step, and its unit.
    dt, time_unit = 1.0, "s"
    action_names: tuple[str, ...] = ()
    state_names: tuple[str, ...] = ()
    n_channels: int

    def __init__(
        self,
        transition: ArrayLike,
        reward: ArrayLike,
        initial_belief: ArrayLike,
        *,
        discount: float,
        n_steps: int,
        ending: ArrayLike | None = None,
        questions: Mapping[str, ArrayLike] | None = None,
        rng: RNG = None,
    ) -> None:
        self.transition = process_array(transition, "transition", 3)
        self.n_actions, self.n_states, n_next = self.transition.shape
        if n_next != self.n_states:
            raise ShapeError(
                f"transition has shape {self.transition.shape}",
                "Shape (action, state, next) with as many next states as states was needed",
                "Order its axes: first the action, then the state before, then the state after",
            )
        check_distribution(self.transition, "transition", ("action", "state"))
        self.reward = process_array(reward, "reward", 3, self.transition.shape)
        self.initial_belief = process_array(initial_belief, "initial_belief", 1, (self.n_states,))
        check_distribution(self.initial_belief, "initial_belief", ())
        self.discount = check_number(discount, "discount", above=0.0, most=1.0)
        self.n_steps = check_count(n_steps, "n_steps", most=100_000)
        given = np.zeros(self.n_states) if ending is None else ending
        self.ending = process_array(given, "ending", 1, (self.n_states,)) > 0
        self._check_endings()
        if questions is None:
            names = self.state_names or tuple(f"state {k}" for k in range(self.n_states))
            questions = {n: np.eye(self.n_states)[k] for k, n in enumerate(names)
                         if not self.ending[k]}  # fmt: skip
        self.questions = {
            str(k): process_array(v, f"questions[{k!r}]", 1, (self.n_states,))
            for k, v in questions.items()
        }
        self.action_space = Discrete(self.n_actions)
        self._seed = seed_of(rng)
        self._episodes = 0
        self._one = self.many(1)
        self._optima: dict[Any, Optimum] = {}

    def _check_endings(self) -> None:
        if self.ending.all() or (self.initial_belief[self.ending] > 0).any():
            raise DataError(
                f"{int(self.ending.sum())} of {self.n_states} states end an episode",
                "An episode that begins in a state that does not end it was needed",
                "Set initial_belief to 0 there",
            )
        for k in np.flatnonzero(self.ending):
            if not np.allclose(self.transition[:, k, k], 1.0, atol=ROUNDING):
                raise DataError(
                    f"State {k} ends an episode and is left with probability "
                    f"{1 - self.transition[:, k, k].min():.3g}",
                    "A transition of 1 from it to itself was needed",
                    f"Set transition[:, {k}] to 0, and transition[:, {k}, {k}] to 1",
                )

    @property
    def unwrapped(self) -> "HiddenTask":
        """The task itself: nothing is wrapped around it."""
        return self

    @property
    def key(self) -> str:
        """Fingerprint of all that makes the task what it is."""
        return fingerprint(
            type(self).__name__, self.transition, self.reward, self.initial_belief, self.ending,
            *self._channel(), self.discount, self.n_steps, self.encode(self._probe()),
        )  # fmt: skip

    def _probe(self) -> Array:
        """Observations whose encoding tells encodings apart."""
        return np.stack([np.full(self.n_channels, v) for v in (1.0, 2.0)])

    def answers(self, belief: ArrayLike) -> Array:
        """Return the probability that each question is answered yes, (..., question).

        Parameters
        ----------
        belief : (..., state).
        """
        masks = np.stack(list(self.questions.values()), axis=1)
        return np.asarray(np.asarray(belief, float) @ masks)

    def expected_reward(self, belief: ArrayLike, action: ArrayLike) -> Array:
        """Return what an action is expected to gain, given the belief.

        Parameters
        ----------
        belief : (..., state), before the action.
        action : (...), whole numbers.
        """
        likelihood, _, bonus = self._channel()
        gain = np.einsum("asn,asn->as", self.transition, self.reward)
        gain += np.einsum("asn,aon,o->as", self.transition, likelihood, bonus)
        rows = gain[np.asarray(action, int)]
        return np.asarray((rows * np.asarray(belief, float)).sum(axis=-1))

    def encode(self, observation: ArrayLike) -> Array:
        """Return an observation as inputs of a network, (..., input); here as it is.

        Parameters
        ----------
        observation : (..., channel).
        """
        return np.asarray(observation, dtype=float)

    @property
    def n_inputs(self) -> int:
        """Numbers into which `encode` turns an observation."""
        return self.encode(np.zeros((1, self.n_channels))).shape[1]

    def many(self, n: int) -> "Episodes":
        """Return `n` episodes that are stepped at once, by compiled loops.

        Parameters
        ----------
        n : episodes.

        Returns
        -------
        Episodes
            Episode k begun with seed s is, bit for bit, that of ``reset(seed=s)`` here.

        Examples
        --------
        >>> import neurornn as nr
        >>> together = nr.simulate.TigerTask(rng=0).many(1000)
        >>> first = together.reset(0)
        >>> together.step(np.zeros(1000, int)).observation.shape
        (1000, 3)
        """
        return Episodes(self, check_count(n, "n", most=10_000_000))

    def reset(
        self, *, seed: int | None = None, options: Any = None
    ) -> tuple[Array, dict[str, Any]]:
        """Begin an episode.

        Parameters
        ----------
        seed : of this episode and those after it; by default the next of those under way.
        options : taken for the sake of the interface; there are none.

        Returns
        -------
        observation : (channel,).
        info : ``belief (state,)``, exact given all that was seen, and ``observation_index`` where
            observations are discrete.
        """
        if seed is not None:
            self._seed, self._episodes = seed_of(seed), 0
        # The first episode of a seed is the seed's own.
        own = self._seed if not self._episodes else derived_seed(self._seed, self._episodes)
        self._episodes += 1
        observation = self._one.reset(np.array([own], np.uint64))
        return observation[0].copy(), self._info()

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Take an action.

        Parameters
        ----------
        action : its number.

        Returns
        -------
        observation, reward, terminated, truncated, info
            As of gymnasium; `info` as of `reset`.

        Raises
        ------
        KindError, DataError
            An action that there is none of, no episode under way.
        """
        a = checked_action(action, self.n_actions, self.action_names)
        moment = self._one.step(np.array([a]))
        return (
            moment.observation[0].copy(), float(moment.reward[0]), bool(moment.terminated[0]),
            bool(moment.truncated[0]), self._info(),
        )  # fmt: skip

    def render(self) -> None:
        """Draw nothing."""

    def close(self) -> None:
        """Nothing is open."""

    def _info(self) -> dict[str, Any]:
        return {"belief": self._one.belief[0].copy()}

    def optimum(self, resolution: int | None = None) -> Optimum:
        """Return the best that can be done on the exact belief, solved on a grid of beliefs.

        Parameters
        ----------
        resolution : parts into which each edge of the simplex of beliefs is cut; by default as
            many as make about 6,000 corners, and at most 1,000.

        Returns
        -------
        Optimum
            ``value``, the expected discounted return, and ``act``, the actions.

        Notes
        -----
        Value iteration backwards from the last step, exact at the corners and linear between
        them. The true value is convex in the belief, so that what lies between is from above:
        `value` bounds the optimum from above and falls towards it as the grid grows finer
        (Lovejoy 1991). A discrete channel in place of measured values bounds it from below.
        """
        live = int((~self.ending).sum())
        if resolution is None:
            resolution = 2
            while resolution < 1000 and corners_of(resolution + 1, live) <= _CORNERS:
                resolution += 1
        key = check_count(resolution, "resolution", most=100_000)
        if key not in self._optima:
            self._optima[key] = solve(
                self.transition, self.reward, self.initial_belief, self.ending, self._channel(),
                self.discount, self.n_steps, key,
            )  # fmt: skip
        return self._optima[key]

    def _space(self) -> Box:
        raise NotImplementedError

    def _channel(self) -> tuple[Array, Array, Array]:
        """Return likelihood (action, observation, state), that of the first one, and bonus."""
        raise NotImplementedError

    def _begin(self, run: "Episodes") -> None:
        raise NotImplementedError

    def _advance(self, run: "Episodes", actions: NDArray[np.int64]) -> None:
        raise NotImplementedError

    def _look(self, run: "Episodes") -> Array:
        raise NotImplementedError


class Episodes:
    """Episodes of one task that are stepped at once; made by ``task.many(n)``.

    Attributes
    ----------
    state : (episode,), hidden. belief : (episode, state), exact.
    active : (episode,), bool: under way.
    n_taken : steps since the last reset.
    """

    def __init__(self, task: HiddenTask, n: int) -> None:
        self.task, self.n = task, n
        self.streams = np.zeros(n, np.uint64)
        self.state, self.belief = np.zeros(n, np.int64), np.zeros((n, task.n_states))
        self.index, self.values = np.zeros(n, np.int64), np.full((n, task.n_channels), np.nan)
        self.gained, self.ended = np.zeros(n), np.zeros(n, bool)
        self.active = np.zeros(n, bool)
        self.n_taken = 0

    def reset(self, seeds: int | ArrayLike = 0) -> Array:
        """Begin all anew.

        Parameters
        ----------
        seeds : (episode,), one for each, or one number, from which they are drawn.

        Returns
        -------
        (episode, channel), the first observations.
        """
        if np.ndim(seeds) == 0:
            seeds = np.random.SeedSequence(int(seeds)).generate_state(self.n, np.uint64)  # type: ignore[arg-type]
        given = np.asarray(seeds)
        if given.shape != (self.n,) or given.dtype.kind not in "iu":
            raise ShapeError(
                f"seeds has shape {given.shape} and dtype {given.dtype}",
                f"One whole number for each of {self.n} episodes was needed",
                "Pass one number, from which all are drawn",
            )
        self.streams[:] = given.astype(np.uint64)
        self.n_taken = 0
        self.active[:] = True
        self.ended[:] = False
        self.task._begin(self)
        return self.task._look(self)

    def step(self, actions: ArrayLike) -> Moment:
        """Take one action in every episode; those that have ended stay as they are.

        Parameters
        ----------
        actions : (episode,), whole numbers.

        Raises
        ------
        KindError, DataError, ShapeError
            Actions that there are none of, no episode under way.
        """
        given = np.asarray(actions)
        if given.shape != (self.n,) or given.dtype.kind not in "iu":
            raise ShapeError(
                f"actions has shape {given.shape} and dtype {given.dtype}",
                f"One whole number for each of {self.n} episodes was needed",
                "Pass an array of integers",
            )
        if given.min() < 0 or given.max() >= self.task.n_actions:
            bad = given[(given < 0) | (given >= self.task.n_actions)][0]
            checked_action(bad, self.task.n_actions, self.task.action_names)
        if not self.active.any():
            raise DataError(
                "No episode is under way",
                "A reset was needed: before the first step, and after an episode has ended",
                "Call reset() first",
            )
        self.task._advance(self, given.astype(np.int64, copy=False))
        self.n_taken += 1
        terminated = self.active & self.ended
        truncated = self.active & ~self.ended & (self.n_taken >= self.task.n_steps)
        self.active &= ~(terminated | truncated)
        return Moment(self.task._look(self), self.gained.copy(), terminated, truncated)


class BeliefTask(HiddenTask):
    """A decision process with discrete hidden states and discrete observations.

    Parameters
    ----------
    transition : (action, state, next), probabilities.
    emission : (action, state, observation), probabilities of what is observed, where `state` is
        the one after the step.
    reward : (action, state, next), or (action, state).
    initial_belief : (state,).

    Other Parameters
    ----------------
    first_emission : (state, observation), of the first observation, before any action; by default
        the last observation, which then should stand for nothing.
    observation_reward : (observation,), gained with an observation beside `reward`.
    discount : of a reward one step later.
    n_steps : after which an episode is truncated.
    ending : (state,), of 0 and 1: states that end an episode, seen by everybody.
    questions : name -> (state,) of 0 and 1: what a belief is read for, see `nr.compare.belief`; by
        default each state.
    action_names, observation_names : of the numbers.
    rng : int, Generator or None, of the episodes.

    Attributes
    ----------
    transition, emission, reward, initial_belief, discount, n_steps : as given.
    observation_space, action_space : in the manner of gymnasium: one-hot vectors, and numbers.
    questions : name -> (state,).

    Raises
    ------
    ShapeError, DataError, KindError
        Sizes that do not fit, rows that do not sum to 1, rewards that are NaN.

    Notes
    -----
    The belief after action a and observation o is
    ``b'(s') ~ emission[a, s', o] * sum_s b(s) transition[a, s, s']`` (Kaelbling, Littman &
    Cassandra 1998, Artificial Intelligence 101:99, doi:10.1016/S0004-3702(98)00023-X).

    Examples
    --------
    >>> coin = BeliefTask(
    ...     transition=[[[0.9, 0.1], [0.1, 0.9]]],
    ...     emission=[[[0.8, 0.2], [0.2, 0.8]]],
    ...     reward=[[0.0, 1.0]],
    ...     initial_belief=[0.5, 0.5],
    ...     first_emission=[[0.5, 0.5], [0.5, 0.5]],
    ...     rng=0,
    ... )
    >>> observation, info = coin.reset()
    >>> info["belief"].tolist()
    [0.5, 0.5]
    """

    def __init__(
        self,
        transition: ArrayLike,
        emission: ArrayLike,
        reward: ArrayLike,
        initial_belief: ArrayLike,
        *,
        first_emission: ArrayLike | None = None,
        observation_reward: ArrayLike | None = None,
        discount: float = 0.95,
        n_steps: int = 100,
        ending: ArrayLike | None = None,
        questions: Mapping[str, ArrayLike] | None = None,
        action_names: Sequence[str] = (),
        observation_names: Sequence[str] = (),
        rng: RNG = None,
    ) -> None:
        move = process_array(transition, "transition", 3)
        self.emission = process_array(emission, "emission", 3)
        self.n_observations = self.n_channels = self.emission.shape[2]
        if self.emission.shape[:2] != move.shape[:2]:
            raise ShapeError(
                f"emission has shape {self.emission.shape} and transition {move.shape}",
                "The same actions and states in both were needed",
                "Order the axes of emission: action, state after the step, observation",
            )
        check_distribution(self.emission, "emission", ("action", "state"))
        first = np.zeros((move.shape[1], self.n_observations))
        first[:, -1] = 1.0
        if first_emission is not None:
            first = process_array(first_emission, "first_emission", 2, first.shape)
        check_distribution(first, "first_emission", ("state",))
        self.first_emission = first
        none = np.zeros(self.n_observations)
        self.observation_reward = (
            none if observation_reward is None
            else process_array(observation_reward, "observation_reward", 1, none.shape)
        )  # fmt: skip
        self.action_names = checked_names(action_names, move.shape[0], "action_names")
        self.observation_names = checked_names(
            observation_names, self.n_observations, "observation_names"
        )
        gain = np.asarray(check_numbers(reward, "reward", missing=False), float)
        if gain.ndim == 2:
            gain = np.repeat(gain[:, :, None], move.shape[1], axis=2)
        super().__init__(
            move, gain, initial_belief, discount=discount, n_steps=n_steps, ending=ending,
            questions=questions, rng=rng,
        )  # fmt: skip
        self.observation_space = Box(none, none + 1.0)

    def _channel(self) -> tuple[Array, Array, Array]:
        seen = self.emission.transpose(0, 2, 1)
        return seen, self.first_emission.T, self.observation_reward

    def _begin(self, run: Episodes) -> None:
        begin_discrete(
            run.streams, self.initial_belief, self.first_emission, self.ending, run.state,
            run.belief, run.index,
        )  # fmt: skip

    def _advance(self, run: Episodes, actions: NDArray[np.int64]) -> None:
        step_discrete(
            actions, run.streams, run.active, self.transition, self.emission, self.reward,
            self.observation_reward, self.ending, run.state, run.belief, run.index, run.gained,
            run.ended,
        )  # fmt: skip

    def _look(self, run: Episodes) -> Array:
        found = np.zeros((run.n, self.n_observations))
        found[np.arange(run.n), run.index] = 1.0
        return found

    def _info(self) -> dict[str, Any]:
        return {**super()._info(), "observation_index": int(self._one.index[0])}
