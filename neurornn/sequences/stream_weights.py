"""Weights of a recurrent model as plain arrays, with which a stream runs where torch is not."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from neurornn._core.errors import FileFormatError, KindError
from neurornn.io.saved import Saved, SavedContent
from neurornn.sequences.network_runs import GATES, NetworkRun


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamWeights(Saved):
    """What a stream needs of a model: arrays and a few plain values, no torch.

    Made by ``StreamWeights.of(model)``; saved by ``save`` and read by `nr.load`, neither of which
    loads torch.

    Attributes
    ----------
    runs : networks that go along the sequence, one or two.
    outputs : labels of the columns of the result.
    n_input : letters that have an input of their own.
    time_unit : of a step, ``"bp"``.
    skips_ends : letters without an input at either end are read by no run, as a bidirectional GRU
        or LSTM takes them for padding.
    source : what the weights were taken from.

    Examples
    --------
    >>> import neurornn as nr
    >>> model = nr.models.GRU(4, 8, 2, dt=1.0, time_unit="bp", rng=0)
    >>> weights = StreamWeights.of(model)
    >>> weights.n_outputs, weights.runs[0].cell, weights.runs[0].n_state
    (2, 'gru', 8)
    """

    runs: tuple[NetworkRun, ...]
    outputs: tuple[Any, ...]
    n_input: int
    time_unit: str = "bp"
    skips_ends: bool = False
    source: str = ""

    @property
    def n_outputs(self) -> int:
        """Columns of the result."""
        return len(self.outputs)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Precision of the weights, and of all that is computed."""
        return self.runs[0].arrays["input_weight"].dtype

    @classmethod
    def of(cls, model: Any) -> Self:
        """Take the weights out of a model.

        Parameters
        ----------
        model : LeakyRNN, VanillaRNN, GRU, LSTM, ReverseComplementTied, or a fit of one
            Bidirectional GRU and LSTM of one layer become two runs.

        Raises
        ------
        KindError
            A model that has no compiled loop; `stream` runs it through its own equations.
        DataError
            Several layers that each look ahead: the second would need the whole first.
        """
        if isinstance(model, cls):
            return model
        from neurornn.sequences.model_runs import has_runs, runs_of

        model = fitted(model)
        if not has_runs(model):
            raise KindError(
                f"A {type(model).__name__} came",
                "A LeakyRNN, VanillaRNN, GRU, LSTM or ReverseComplementTied was needed",
                "Pass the model itself to stream: it then runs through its own equations",
            )
        outputs = tuple(model.labels["output"])
        return cls(
            runs=runs_of(model),
            outputs=outputs,
            n_input=model.n_input,
            time_unit=model.time_unit,
            skips_ends=bool(getattr(model, "bidirectional", False)),
            source=type(model).__name__,
        )

    def _to_saved(self) -> dict[str, Any]:
        runs, arrays = [], {}
        for k, run in enumerate(self.runs):
            runs.append(
                {
                    "cell": run.cell,
                    "columns": list(run.columns),
                    "backward": run.backward,
                    "complement": run.complement,
                    "settings": dict(run.settings),
                }
            )
            arrays.update({f"run_{k}.{name}": values for name, values in run.arrays.items()})
        settings = {
            "runs": runs,
            "outputs": list(self.outputs),
            "n_input": self.n_input,
            "time_unit": self.time_unit,
            "skips_ends": self.skips_ends,
            "source": self.source,
        }
        return {"settings": settings, "weights": arrays}

    @classmethod
    def _from_saved(cls, content: SavedContent) -> Self:
        given, runs = content.settings, []
        for k, one in enumerate(given["runs"]):
            begin = f"run_{k}."
            arrays = {
                name.removeprefix(begin): values
                for name, values in content.weights.items()
                if name.startswith(begin)
            }
            if one["cell"] not in GATES or "input_weight" not in arrays:
                raise FileFormatError(
                    f"Run {k} is of the cell {one['cell']!r} with {sorted(arrays)}",
                    f"One of {', '.join(GATES)} with its weights was needed",
                    "Was the file written by a later version? Then update neurornn",
                )
            columns = tuple(int(c) for c in one["columns"])
            runs.append(NetworkRun(**{**one, "arrays": arrays, "columns": columns}))
        return cls(
            runs=tuple(runs),
            outputs=tuple(given["outputs"]),
            n_input=int(given["n_input"]),
            time_unit=str(given["time_unit"]),
            skips_ends=bool(given["skips_ends"]),
            source=str(given["source"]),
        )


def fitted(model: Any) -> Any:
    """Return the model of a fit, or the model itself."""
    return model if hasattr(model, "scan") else getattr(model, "model", model)
