"""A guard that watches the regime of a network while it is trained, and stops or slows the fit."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from neurornn._core.checks import check_choice, check_count, check_number, check_positive
from neurornn._core.confidence import median_interval
from neurornn._core.errors import DataError, KindError
from neurornn._core.status import remedies_of, status_variable
from neurornn._core.units import format_number
from neurornn.models.base import RecurrentModel
from neurornn.training.batches import TrainingData
from neurornn.training.gradients import EXPLODED, check_has_state, gradient_flow

ACTIONS = ("stop", "slow", "tell")
#: A slowed fit goes on at this share of its learning rate.
SLOWER = 0.3
#: Steps between two norms of a product of Jacobians: few, so that nothing under- or overflows.
_STRETCH = 8
_LEVEL = 0.95
_TINY = 1e-300
#: Trials along which the horizon is followed.
_FOLLOWED = 6
_REGIMES = {
    "exploding": (
        "Small changes of the state grow beyond the bound: gradients explode. Lower the learning "
        "rate or clip_norm, start from smaller recurrent weights, or use teacher_forcing for data "
        "of a chaotic system."
    ),
    "vanishing": (
        "Gradients no longer reach as far back as the task asks. Lower the learning rate, start "
        "from longer time constants (tau=, tau_range=), or use LSTM or GRU."
    ),
    "undecided": "States or weights were not finite, so nothing could be measured.",
}


class RegimeGuard:
    """Watch the regime of a model while `nr.fit` trains it: pass it as ``callback=``.

    Parameters
    ----------
    reach : s, how far back gradients have to reach for the task; None where nothing is asked.
    action : what is done about a fit that left the healthy regime: ``"stop"``, ``"slow"`` (its
        learning rate falls to 30 %, at each look that finds it so) or ``"tell"``.
    exponent_bound : 1/s, above which the leading exponent is called exploding
        By default the one at which a change grows a thousandfold within a trial.
    every : epochs from one look to the next; the last epoch is looked at too.
    patience : looks in a row that must agree before anything is done.
    n_steps : steps of each trajectory along which the exponent is averaged.
    n_trajectories : trajectories.

    Attributes
    ----------
    table : Dataset over ``epoch``; see there. It stands in ``result.regimes`` as well.

    Notes
    -----
    The leading Lyapunov exponent is that of the network driven by its inputs: trials are read one
    after the other, the state carried on, and a random direction is taken back along them by
    products with the Jacobians of the step, with its norm taken out every few steps (Benettin et
    al. 1980; products taken backward have the same exponents). The horizon is that of
    `gradient_flow` on the first trials.

    *Exploding* is a median exponent above the bound. *Vanishing* is a horizon below `reach`. Many
    networks start with a short horizon and learn a longer one: a fit is stopped or slowed for
    vanishing only where it was healthy before. A fit for which nothing is done is the same as one
    without a guard, bit for bit. A guard takes part in checkpoints.

    References
    ----------
    Benettin et al. 1980, Meccanica 15:9, doi:10.1007/BF02128236; Pascanu, Mikolov & Bengio 2013,
    ICML, arXiv:1211.5063.

    Examples
    --------
    >>> import warnings
    >>> import neurornn as nr
    >>> x = np.random.default_rng(0).standard_normal((8, 40, 1))
    >>> guard = RegimeGuard(action="tell", every=2, n_steps=80)
    >>> model = nr.models.GRU(1, 6, 1, dt=0.01, rng=0)
    >>> with warnings.catch_warnings(action="ignore"):
    ...     result = nr.fit(model, (x, x), optimizer="adam", max_epochs=4, callback=guard)
    >>> result.regimes["epoch"].values.tolist(), str(result.regimes["regime"].values[-1])
    ([2, 4], 'ok')
    """

    def __init__(
        self,
        *,
        reach: float | None = None,
        action: str = "stop",
        exponent_bound: float | None = None,
        every: int = 5,
        patience: int = 2,
        n_steps: int = 400,
        n_trajectories: int = 8,
    ) -> None:
        self.reach = None if reach is None else check_positive(reach, "reach", "s")
        self.action = check_choice(action, "action", ACTIONS)
        self.exponent_bound = (
            None if exponent_bound is None else check_number(exponent_bound, "exponent_bound")
        )
        self.every = check_count(every, "every")
        self.patience = check_count(patience, "patience")
        self.n_steps = check_count(n_steps, "n_steps", least=_STRETCH)
        self.n_trajectories = check_count(n_trajectories, "n_trajectories")
        self._rows: list[dict[str, Any]] = []
        self._inputs: Tensor | None = None
        self._bound, self._dt, self._unit = np.nan, np.nan, "s"

    @property
    def settings(self) -> dict[str, Any]:
        """Its arguments, as plain values."""
        names = (
            "reach", "action", "exponent_bound", "every", "patience", "n_steps", "n_trajectories",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def begin(self, model: RecurrentModel, train: TrainingData, optimizer: str) -> None:
        """Take the inputs of a fit, and start a new table; `nr.fit` calls this.

        Parameters
        ----------
        model : that is to be trained.
        train : its training data.
        optimizer : of the fit.

        Raises
        ------
        KindError, DataError
            A model without a state that is carried; L-BFGS, which has no rate to be lowered;
            inputs that are not finite, or a `reach` longer than the trials.
        """
        check_has_state(model)
        n_steps, dt = train.inputs.shape[1], model.dt
        if self.action == "slow" and optimizer == "lbfgs":
            raise KindError(
                "action='slow' came for a fit by L-BFGS",
                "A learning rate was needed that can be lowered",
                "Pass optimizer='adam', or action='stop'",
            )
        if n_steps < 3 or (self.reach is not None and self.reach > (n_steps - 1) * dt):
            raise DataError(
                f"The trials are {n_steps} steps of {dt:g} {model.time_unit} long, reach is "
                f"{self.reach}",
                "Trials of at least 3 steps, and longer than reach, were needed",
                "Pass longer trials, or a shorter reach",
            )
        if not bool(torch.isfinite(train.inputs).all()):
            raise DataError("The inputs hold NaN", "Finite inputs were needed", "Fill or cut them")
        self._rows, self._inputs = [], train.inputs.detach().cpu().double()
        self._dt, self._unit = dt, model.time_unit
        usual = float(np.log(EXPLODED)) / (n_steps * dt)
        self._bound = usual if self.exponent_bound is None else self.exponent_bound

    def __call__(
        self, epoch: int, model: RecurrentModel, row: dict[str, float], *, ended: bool = False
    ) -> str:
        """Look at a model and say what is to be done; `nr.fit` calls this.

        Parameters
        ----------
        epoch : its number.
        model : as it is now; not changed.
        row : losses, and ``learning_rate``.
        ended : the fit is over: it is looked at, and nothing is done.

        Returns
        -------
        ``""`` for nothing, ``"slowed"`` or ``"stopped"``.

        Raises
        ------
        KindError
            It was not begun.
        """
        if self._inputs is None:
            raise KindError(
                "The guard has no data",
                "The inputs of a fit were needed",
                "Pass it to nr.fit as callback=",
            )
        seen = {"epoch": int(epoch), **self._look(model), "action": ""}
        seen["learning_rate"] = float(row.get("learning_rate", np.nan))
        self._rows.append(seen)
        if self.action != "tell" and not ended and self._left():
            seen["action"] = "stopped" if self.action == "stop" else "slowed"
        return str(seen["action"])

    def _look(self, model: RecurrentModel) -> dict[str, Any]:
        assert self._inputs is not None
        one = copy.deepcopy(model).cpu().double().eval()
        nothing = {"regime": "undecided", "exponent": np.nan, "horizon": np.nan}
        nothing["exponent_ci"] = [np.nan, np.nan]
        if not all(bool(p.isfinite().all()) for p in one.parameters()):
            return nothing
        rates = driven_exponents(one, self._inputs, self.n_steps, self.n_trajectories)
        if not np.isfinite(rates).all():
            return nothing
        n_trial = self._inputs.shape[1] * self._dt
        # Somewhat further than what is asked, so that a horizon beyond it can be told.
        far = n_trial / 2 if self.reach is None else 1.25 * self.reach
        flow = gradient_flow(
            one, self._inputs[:_FOLLOWED], max_lag=far, n_starts=2, max_trials=_FOLLOWED
        )
        exponent = float(np.median(rates))
        ends = median_interval(rates, _LEVEL) if len(rates) >= 6 else (np.nan, np.nan)
        horizon = float(flow.parameters["horizon"])
        regime = "ok"
        if exponent > self._bound:
            regime = "exploding"
        elif self.reach is not None and horizon < self.reach:
            regime = "vanishing"
        return {
            "regime": regime, "exponent": exponent, "exponent_ci": [float(e) for e in ends],
            "horizon": horizon,
        }  # fmt: skip

    def _left(self) -> bool:
        """Whether the last looks agree that the healthy regime was left."""
        regimes = [r["regime"] for r in self._rows]
        last = regimes[-self.patience :]
        if len(last) < self.patience or len(set(last)) > 1:
            return False
        return last[0] == "exploding" or (last[0] == "vanishing" and "ok" in regimes)

    @property
    def state(self) -> list[dict[str, Any]]:
        """What a checkpoint keeps of it."""
        return copy.deepcopy(self._rows)

    @state.setter
    def state(self, rows: list[dict[str, Any]]) -> None:
        self._rows = copy.deepcopy(rows)

    @property
    def table(self) -> xr.Dataset:
        """What was seen, a row for each look.

        Returns
        -------
        Dataset over ``epoch``
            ``regime``, ``"ok"``, ``"exploding"``, ``"vanishing"`` or ``"undecided"``, with
            remedies; ``exponent``, the leading one, 1/s, the median over trajectories, with
            ``exponent_ci``; ``horizon``, s, infinite where gradients stay above 1/e as far as was
            looked; ``learning_rate``; ``action``, what was done. In its attrs ``dt``,
            ``exponent_bound`` and ``reach``.
        """

        def column(name: str, dtype: type) -> NDArray[Any]:
            return np.array([r[name] for r in self._rows], dtype=dtype)

        per = "1" if self._unit == "1" else f"1/{self._unit}"
        dims, values, attrs = status_variable("epoch", column("regime", str), _REGIMES)
        attrs["long_name"] = "regime of the network"
        exponent = {"units": per, "long_name": "leading Lyapunov exponent under the inputs"}
        ci = {**exponent, "ci_kind": "confidence", "ci_prob": _LEVEL}
        return xr.Dataset(
            {
                "regime": (dims, values, attrs),
                "exponent": ("epoch", column("exponent", float), exponent),
                "exponent_ci": (("epoch", "ci_bound"),
                                column("exponent_ci", float).reshape(-1, 2), ci),
                "horizon": ("epoch", column("horizon", float),
                            {"units": self._unit, "long_name": "memory horizon, the lag of 1/e"}),
                "learning_rate": ("epoch", column("learning_rate", float),
                                  {"units": "1", "long_name": "learning rate"}),
                "action": ("epoch", column("action", str), {"long_name": "what was done"}),
            },
            coords={"epoch": column("epoch", int), "ci_bound": ["lower", "upper"]},
            attrs={
                "dt": self._dt, "time_unit": self._unit, "exponent_bound": float(self._bound),
                "reach": np.nan if self.reach is None else self.reach,
            },
        )  # fmt: skip


def driven_exponents(
    model: RecurrentModel, inputs: Tensor, n_steps: int, n_trajectories: int
) -> NDArray[np.float64]:
    """Return the leading Lyapunov exponent of a model that is driven by trials in a row.

    Parameters
    ----------
    model : in float64, in evaluation mode.
    inputs : (trial, time, input), float64.
    n_steps : along which it is averaged, after half as many for the state to settle and as many
        for the direction.
    n_trajectories : each reads other trials first.

    Returns
    -------
    (trajectory,), per time unit of the model; NaN where a state was not finite.
    """
    settle = n_steps // 2
    n_all = 2 * settle + n_steps
    n_all += -n_all % _STRETCH
    n_trials, n_time = inputs.shape[:2]
    n_rows = -(-n_all // n_time)
    order = (np.arange(n_trajectories)[:, None] + n_trajectories * np.arange(n_rows)) % n_trials
    drive = inputs[torch.from_numpy(order)].reshape(n_trajectories, n_rows * n_time, -1)
    stretches = drive[:, :n_all].split(_STRETCH, 1)
    starts: list[Tensor] = []
    with torch.no_grad():
        state = model.start_from(drive[:, :1])
        for part in stretches:
            starts.append(state)
            _, state = model.scan(part, state)
    nothing = np.full(n_trajectories, np.nan)
    if not bool(state.isfinite().all()):
        return nothing
    draw = np.random.default_rng(0).standard_normal(state.shape)
    back = _unit(torch.from_numpy(draw))[0]
    grown = np.zeros(n_trajectories)
    counted, align = 0, settle // _STRETCH
    for k in range(len(stretches) - 1, -(-settle // _STRETCH) - 1, -1):
        back, norm = _unit(_taken_back(model, stretches[k], starts[k], back))
        if k < len(stretches) - align:
            grown += np.log(np.maximum(norm, _TINY))
            counted += _STRETCH
    if not np.isfinite(grown).all():
        return nothing
    return np.asarray(grown / (counted * model.dt))


def _taken_back(model: RecurrentModel, part: Tensor, start: Tensor, back: Tensor) -> Tensor:
    """Product of a direction with the Jacobian of a stretch, from the left."""
    with torch.enable_grad():
        first = start.detach().requires_grad_()
        _, end = model.scan(part, first)
        (found,) = torch.autograd.grad(end, first, back)
    return found


def _unit(direction: Tensor) -> tuple[Tensor, NDArray[np.float64]]:
    norm = direction.norm(dim=1, keepdim=True)
    return direction / norm.clamp(min=_TINY), norm[:, 0].numpy()


def regimes_told(table: xr.Dataset) -> Sequence[str]:
    """Return what a report says of the table of a guard, line by line."""
    if not table.sizes["epoch"]:
        return ["regimes: the fit was never looked at"]
    last, unit = table.isel(epoch=-1), table.attrs["time_unit"]
    said = f"{format_number(float(last['exponent']))} {table['exponent'].attrs['units']}"
    horizon = float(last["horizon"])
    far = f"{format_number(horizon)} {unit}" if np.isfinite(horizon) else "beyond what was looked"
    lines = [
        f"regime at the end: {last['regime'].item()}; leading exponent {said}, horizon {far} "
        f"({table.sizes['epoch']} looks)"
    ]
    for action in ("slowed", "stopped"):
        when = table["epoch"].values[table["action"].values == action].tolist()
        if when:
            lines.append(f"{action} after epoch {', '.join(map(str, when))}")
    told = remedies_of(table["regime"])
    seen = table["regime"].values
    for code, remedy in told.items():
        first = int(table["epoch"].values[seen == code][0])
        n = int((seen == code).sum())
        lines.append(f"{code} at {n} looks, first after epoch {first}: {remedy}")
    return lines
