"""Two decisions under uncertainty with a known optimum: the tiger, and foraging on two patches."""

import numpy as np

from neurornn._core.checks import check_number
from neurornn._core.rng import RNG
from neurornn.simulate.belief_task import BeliefTask


class TigerTask(BeliefTask):
    """The tiger: listen until it is clear enough behind which door it is, then open the other.

    Parameters
    ----------
    accuracy : probability that listening tells the right side.
    cost : of listening.
    treasure : gained behind the door without the tiger.
    tiger : gained behind the other, below 0.
    discount : of a reward one step later.
    n_steps : after which an episode is truncated.
    rng : int, Generator or None, of the episodes.

    Raises
    ------
    DataError, KindError
        Probabilities that are none.

    Notes
    -----
    Hidden: where the tiger is, left or right. Actions: listen, open left, open right. Observed:
    a growl left, a growl right, or nothing. Listening leaves the tiger where it is; once a door
    has been opened it is put behind either again, and nothing is heard. The belief depends on the
    number of growls left less growls right, k: its log odds are ``k log(p / (1 - p))``. With a
    discount of 0.95 the best is to open at k = 2, worth 19.37 without an end (Cassandra, Kaelbling
    & Littman 1994, AAAI-94, 1023; Kaelbling, Littman & Cassandra 1998, Artificial Intelligence
    101:99, doi:10.1016/S0004-3702(98)00023-X).

    Examples
    --------
    >>> task = TigerTask(rng=0)
    >>> observation, info = task.reset()
    >>> observation, reward, terminated, truncated, info = task.step(0)
    >>> reward, sorted(info["belief"].round(2).tolist())
    (-1.0, [0.15, 0.85])
    """

    state_names = ("left", "right")

    def __init__(
        self,
        *,
        accuracy: float = 0.85,
        cost: float = 1.0,
        treasure: float = 10.0,
        tiger: float = -100.0,
        discount: float = 0.95,
        n_steps: int = 60,
        rng: RNG = None,
    ) -> None:
        p = check_number(accuracy, "accuracy", least=0.5, below=1.0)
        cost = check_number(cost, "cost", least=0.0)
        treasure, tiger = check_number(treasure, "treasure"), check_number(tiger, "tiger")
        stay, anew = np.eye(2), np.full((2, 2), 0.5)
        silent = np.array([[0.0, 0.0, 1.0]] * 2)
        heard = np.array([[p, 1 - p, 0.0], [1 - p, p, 0.0]])
        super().__init__(
            [stay, anew, anew],
            [heard, silent, silent],
            [[-cost, -cost], [tiger, treasure], [treasure, tiger]],
            [0.5, 0.5],
            first_emission=silent,
            discount=discount,
            n_steps=n_steps,
            questions={"left": [1.0, 0.0]},
            action_names=("listen", "open left", "open right"),
            observation_names=("growl left", "growl right", "nothing"),
            rng=rng,
        )


class ForagingTask(BeliefTask):
    """Foraging on two patches whose quality nobody sees: stay, or go and look at the other.

    Parameters
    ----------
    rich, poor : probability of food in a step on a rich patch, and on a poor one.
    deplete : probability that a rich patch becomes poor in a step in which it is foraged on.
    regrow : probability that a poor patch becomes rich in a step in which it is left alone.
    fade : probability that a rich patch becomes poor in a step in which it is left alone.
    discount : of a reward one step later.
    n_steps : after which an episode is truncated.
    rng : int, Generator or None, of the episodes.

    Raises
    ------
    DataError, KindError
        Probabilities that are none.

    Notes
    -----
    Hidden: whether each patch is rich, four states. Actions: forage on patch A, on patch B.
    Observed, and gained: food or none, from the quality after the step. Nothing is seen of the
    patch that is left alone, whose belief drifts on towards rich. Two restless arms
    (Whittle 1988, Journal of Applied Probability 25A:287, doi:10.2307/3214163).

    Examples
    --------
    >>> task = ForagingTask(rng=0)
    >>> observation, info = task.reset()
    >>> task.answers(info["belief"]).round(2).tolist()
    [0.5, 0.5]
    """

    state_names = ("poor, poor", "poor, rich", "rich, poor", "rich, rich")

    def __init__(
        self,
        *,
        rich: float = 0.6,
        poor: float = 0.1,
        deplete: float = 0.05,
        regrow: float = 0.05,
        fade: float = 0.02,
        discount: float = 0.95,
        n_steps: int = 60,
        rng: RNG = None,
    ) -> None:
        rates = {"rich": rich, "poor": poor, "deplete": deplete, "regrow": regrow, "fade": fade}
        rich, poor, deplete, regrow, fade = (
            check_number(v, name, least=0.0, most=1.0) for name, v in rates.items()
        )
        # (before, after), poor first.
        foraged = np.array([[1.0, 0.0], [deplete, 1 - deplete]])
        alone = np.array([[1 - regrow, regrow], [fade, 1 - fade]])
        food = np.array([poor, rich])
        each = [
            np.column_stack([1 - f, f, np.zeros(4)]) for f in (food.repeat(2), np.tile(food, 2))
        ]
        super().__init__(
            [np.kron(foraged, alone), np.kron(alone, foraged)],
            each,
            np.zeros((2, 4)),
            np.full(4, 0.25),
            observation_reward=[0.0, 1.0, 0.0],
            discount=discount,
            n_steps=n_steps,
            questions={"A is rich": [0.0, 0.0, 1.0, 1.0], "B is rich": [0.0, 1.0, 0.0, 1.0]},
            action_names=("forage on A", "forage on B"),
            observation_names=("no food", "food", "nothing yet"),
            rng=rng,
        )
