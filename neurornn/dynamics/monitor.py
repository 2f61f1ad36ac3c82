"""What a network comes to while it is trained: regime, leading exponent, horizon of gradients."""

import warnings
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from neurornn._core.checks import check_count, check_rng
from neurornn._core.errors import ConvergenceWarning, DataError
from neurornn._core.rng import RNG
from neurornn.dynamics.lyapunov import lyapunov_spectrum
from neurornn.dynamics.maps import as_map
from neurornn.models.base import RecurrentModel
from neurornn.training.gradients import gradient_flow

#: Exponents that tell a point, a cycle and a torus from one another.
_N_EXPONENTS = 3
_NOTHING: dict[str, Any] = {
    "regime": "undecided", "exponent": np.nan, "exponent_ci": [np.nan, np.nan],
    "horizon": np.nan,
}  # fmt: skip


class DynamicsMonitor:
    """Look at the dynamics of a model while `nr.fit` trains it: pass it as ``callback=``.

    Parameters
    ----------
    data : trials on which the horizon is measured, as for `training.gradient_flow`
        By default a trial of `n_steps_back` steps twice over under the constant input.
    every : epochs from one look to the next; the last epoch is looked at too.
    inputs : (input,), held constant for regime and exponent; by default 0.
    n_steps : steps of each trajectory that are measured, after half as many for settling.
    n_trajectories : trajectories, from random starts.
    n_steps_back : how far back gradients are followed, in steps.
    rng : int, Generator or None.

    Attributes
    ----------
    table : Dataset over ``epoch``; see there.
    every : as given.

    Notes
    -----
    These are quick looks: few and short trajectories, with `lyapunov_spectrum` for the three
    largest exponents. Intervals are as wide as that leaves them, and a regime may be undecided.
    For a fit that has ended call `lyapunov_spectrum` itself.

    Examples
    --------
    >>> import neurornn as nr
    >>> win = nr.simulate.simulate_rate_trials(2, 4, 0.5, 0.01, n_inputs=1, rng=0)
    >>> monitor = DynamicsMonitor(every=2)
    >>> model = nr.models.VanillaRNN(1, 4, 2, dt=0.01)
    >>> with warnings.catch_warnings(action="ignore"):
    ...     result = nr.fit(model, win, optimizer="adam", max_epochs=5, callback=monitor)
    >>> monitor.table["epoch"].values.tolist()
    [2, 4, 5]
    """

    def __init__(
        self,
        data: Any = None,
        *,
        every: int = 10,
        inputs: ArrayLike | None = None,
        n_steps: int = 512,
        n_trajectories: int = 4,
        n_steps_back: int = 100,
        rng: RNG = 0,
    ) -> None:
        self.every = check_count(every, "every")
        self.data, self.inputs = data, inputs
        self.n_steps = check_count(n_steps, "n_steps", least=64)
        self.n_trajectories = check_count(n_trajectories, "n_trajectories")
        self.n_steps_back = check_count(n_steps_back, "n_steps_back", least=2)
        self.rng = check_rng(rng)
        self._rows: list[dict[str, Any]] = []
        self._units = ("s", "1/s")

    def __call__(self, epoch: int, model: RecurrentModel, row: dict[str, float]) -> None:
        """Look at a model; `nr.fit` calls this.

        Parameters
        ----------
        epoch : its number. One that does not come after the last begins a new table: a new fit.
        model : as it is now; not changed.
        row : losses.

        Raises
        ------
        KindError, ShapeError
            A model without a state that is carried, inputs or data of another form.
        """
        if self._rows and epoch <= self._rows[-1]["epoch"]:
            self._rows.clear()
        unit = model.time_unit
        self._units = (unit, "1" if unit == "1" else f"1/{unit}")
        try:
            seen = self._look(model)
        except DataError as error:
            # Weights or states without bounds: the fit says so itself, or comes back from there.
            seen = {**_NOTHING, "reason": str(error)}
        self._rows.append({"epoch": int(epoch), **row, **seen})

    def _look(self, model: RecurrentModel) -> dict[str, Any]:
        state_map = as_map(model, self.inputs)
        with warnings.catch_warnings():
            # Trajectories that diverge are nothing to stop for.
            warnings.simplefilter("ignore", ConvergenceWarning)
            spectrum = lyapunov_spectrum(
                model, self.inputs, n_exponents=min(_N_EXPONENTS, state_map.cell.n_state),
                n_steps=self.n_steps, n_transient=self.n_steps // 2,
                n_trajectories=self.n_trajectories, rng=self.rng,
            )  # fmt: skip
        data = self.data
        if data is None:
            data = np.tile(state_map.inputs, (1, 2 * self.n_steps_back, 1))
        flow = gradient_flow(model, data, max_lag=self.n_steps_back * model.dt)
        return {
            "regime": spectrum.regime, "reason": spectrum.reason,
            "exponent": float(spectrum.exponents[0]),
            "exponent_ci": spectrum.parameters["exponent_ci"].values[0].tolist(),
            "horizon": float(flow.parameters["horizon"]),
        }  # fmt: skip

    @property
    def table(self) -> xr.Dataset:
        """What was seen so far, over ``epoch``.

        ``regime`` with ``reason``; ``exponent``, the largest, 1/s, with ``exponent_ci``;
        ``horizon``, s, the lag at which gradients fall below 1/e, infinite where they do not
        within `n_steps_back`; ``loss`` and ``validation_loss``. Where nothing could be measured
        there is NaN, and ``reason`` says why.
        """
        unit, per = self._units

        def column(name: str) -> Any:
            return np.array([r[name] for r in self._rows], dtype=float)

        def words(name: str) -> Any:
            return np.array([r[name] for r in self._rows], dtype=str)

        back = "the data" if self.data is not None else "a constant input"
        return xr.Dataset(
            {
                "regime": ("epoch", words("regime"), {"long_name": "what the network does"}),
                "exponent": ("epoch", column("exponent"),
                             {"units": per, "long_name": "largest Lyapunov exponent"}),
                "exponent_ci": (("epoch", "ci_bound"), column("exponent_ci").reshape(-1, 2),
                                {"units": per, "ci_kind": "confidence", "ci_prob": 0.95}),
                "horizon": ("epoch", column("horizon"),
                            {"units": unit, "long_name": "memory horizon, the lag of 1/e",
                             "method": f"gradients under {back}"}),
                "loss": ("epoch", column("loss"), {"units": "1", "long_name": "training loss"}),
                "validation_loss": ("epoch", column("validation_loss"), {"units": "1"}),
                "reason": ("epoch", words("reason"), {"long_name": "why it is called so"}),
            },
            coords={"epoch": np.array([r["epoch"] for r in self._rows], dtype=int),
                    "ci_bound": ["lower", "upper"]},
        )  # fmt: skip
