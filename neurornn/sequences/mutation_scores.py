"""What scores a sequence: models, fits, ensembles, estimators and plain functions, alike."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from neurornn._core.checks import check_choice, check_count
from neurornn._core.confidence import delta_interval
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn.data.alphabets import Alphabet
from neurornn.data.one_hot_reading import from_one_hot
from neurornn.data.sequence_sets import SequenceSet
from neurornn.sequences.mutation_batches import Array, Batches

_SEVERAL = "Student's t over networks"
_ALONE = "one network came, and one tells nothing of the spread; pass a list of several seeds"


class Scorer(NamedTuple):
    """Networks that score one-hot sequences, and what their scores are.

    Attributes
    ----------
    networks : see `mutation_reuse.Network`.
    units, long_name : of a score.
    read : ``"last"``, ``"mean"`` or a position; ``"all"`` where the model reads in its own way.
    n_letters : letters of a one-hot row, or None where it is not known.
    length : positions of a sequence, or None for any.
    seen : first and last position that are read, half-open, or None for all.
    """

    networks: Sequence[Any]
    units: str
    long_name: str
    read: str | int
    n_letters: int | None = None
    length: int | None = None
    seen: tuple[int, int] | None = None

    def place(self, length: int) -> int | None:
        """Position that is read of a sequence, None for the mean over all.

        Raises
        ------
        DataError
            The position is beyond the sequence.
        """
        if self.read in ("mean", "all"):
            return None
        place = length - 1 if self.read == "last" else int(self.read)
        if not 0 <= place < length:
            raise DataError(
                f"read is {place}, and the sequence has {length} letters",
                "A position inside the sequence, counted from 0, was needed",
                'Pass read="last" for the last one',
            )
        return place

    def check(self, kind: Alphabet, length: int) -> None:
        """Raise where sequences of this alphabet and length are not what the networks read."""
        if self.n_letters is not None and self.n_letters != len(kind.bases):
            raise ShapeError(
                f"The model has {self.n_letters} inputs, and {kind.name} has {len(kind.bases)} "
                "letters",
                f"One input for each of {kind.bases} was needed",
                "Pass alphabet= if these are letters of another kind, or another model",
            )
        if self.length is not None and length != self.length:
            raise ShapeError(
                f"The sequence has {length} {kind.units}",
                f"{self.length} {kind.units} were needed, as in the training",
                "Cut the sequence to the window that the model reads",
            )


def scorer_of(
    model: Any, read: str | int | None = None, output: int | str | None = None,
    batch_size: int | None = None, reuse: bool | None = None, alphabet: str = "dna",
) -> Scorer:  # fmt: skip
    """Return what scores sequences by a model.

    Parameters
    ----------
    model, read, output, batch_size, reuse : see `mutate_all`.
    alphabet : of the sequences, for estimators that take letters.

    Raises
    ------
    KindError, DataError, ShapeError, NameUnknownError
        No model, models that read in different ways, an output or a place that is none.
    """
    if batch_size is not None:
        check_count(batch_size, "batch_size")
    several = isinstance(model, list | tuple)
    members = list(model) if several else [model]
    if not members:
        raise DataError("An empty list came as model", "At least one was needed", "Pass a model")
    made = [_one(m, read, output, batch_size, reuse, alphabet) for m in members]
    if len({(s.units, s.read, s.n_letters, s.length) for s in made}) > 1:
        raise KindError(
            f"The {len(made)} models differ in what they read or what they tell",
            "Networks of one kind were needed, such as several seeds of one fit",
            "Pass them one by one",
        )
    return made[0]._replace(networks=[n for s in made for n in s.networks])


def _one(
    model: Any, read: str | int | None, output: int | str | None, batch_size: int | None,
    reuse: bool | None, alphabet: str,
) -> Scorer:  # fmt: skip
    fitted = getattr(model, "model", None)
    for module in (model, fitted):
        if _is_module(module):
            return _of_module(module, read, output, batch_size, reuse)
    for name, given in (("read", read), ("output", output), ("reuse", reuse)):
        if given is not None:
            raise KindError(
                f"{name} came with a {type(model).__name__}",
                "It is for models of nr.models; this one reads in its own way",
                f"Leave {name} out",
            )
    size = 256 if batch_size is None else batch_size
    from neurornn.sequences.splice_sites import SpliceSites

    if isinstance(model, SpliceSites):
        return _of_sites(model, size)
    for name in ("decision_function", "predict"):
        if hasattr(model, name):
            if isinstance(model, BaseEstimator):
                check_is_fitted(model)
            return _of_estimator(model, name, size, alphabet)
    if not callable(model):
        raise KindError(
            f"model is a {type(model).__name__}",
            "A model of nr.models, a fit of one, a fitted estimator, a function of one-hot arrays "
            "(sequence, position, letter), or a list of them was needed",
            "A layer of torch becomes a model by nr.models.from_torch",
        )
    return Scorer(_batches([model], size), "1", "score", "all")


def _is_module(model: Any) -> bool:
    """Whether it is a module of torch, without loading torch to find out."""
    return any(c.__module__.startswith("torch.nn.") for c in type(model).__mro__)


def _of_module(
    model: Any, read: str | int | None, output: int | str | None, batch_size: int | None,
    reuse: bool | None,
) -> Scorer:  # fmt: skip
    from neurornn.models.base import RecurrentModel
    from neurornn.sequences.mutation_reuse import network_of

    if not isinstance(model, RecurrentModel):
        raise KindError(
            f"model is a torch module of kind {type(model).__name__}",
            "A model of nr.models was needed, or a function of one-hot arrays",
            "Pass nr.models.from_torch(layer, read_out, dt=1.0, time_unit='bp'), or lambda x: "
            "net(torch.from_numpy(x)).detach().numpy()",
        )
    if read is None:
        read = "mean" if model.looks_ahead else "last"
    if isinstance(read, str):
        check_choice(read, "read", ("last", "mean"))
    else:
        read = check_count(read, "read", 0)
    column = _output_of(model, output)
    network = network_of(model, column, batch_size, reuse)
    named = model.labels.get("output", [])
    label = str(named[column]) if len(named) > column else str(column)
    return Scorer([network], "1", f"output {label}", read, model.n_input)


def _output_of(model: Any, output: int | str | None) -> int:
    labels = list(model.labels.get("output", range(model.n_output)))
    if output is None:
        if model.n_output > 1:
            raise DataError(
                f"The model has {model.n_output} outputs",
                "The one whose change is asked for was needed",
                f"Pass output={labels[0]!r}, for example",
            )
        return 0
    if isinstance(output, str):
        return [str(v) for v in labels].index(
            check_choice(output, "output", [str(v) for v in labels])
        )
    return check_count(output, "output", 0, model.n_output - 1)


def _batches(functions: Sequence[Callable[[Array], Any]], size: int) -> list[Any]:
    return [Batches(_checked(f), size) for f in functions]


def _checked(function: Callable[[Array], Any]) -> Callable[[Array, int | None], Any]:
    """A user's function, whose answer is looked at."""

    def scores(x: Array, _: int | None) -> NDArray[np.float64]:
        found = np.asarray(function(x), dtype=np.float64)
        if found.shape == (len(x), 1):
            found = found[:, 0]
        if found.shape != (len(x),):
            raise ShapeError(
                f"The function gave shape {found.shape} for {len(x)} sequences",
                "One score for each sequence was needed",
                "Return the output that is asked for: shape (sequence,)",
            )
        return found

    return scores


def _of_sites(model: Any, size: int) -> Scorer:
    """Log odds of each network of a `SpliceSites`."""
    import torch

    check_is_fitted(model, "parameters_")
    first, stop = model._edges()
    temperature = float(model.parameters_["temperature"])

    def of(network: Any) -> Callable[[Array], Any]:
        def scores(x: Array) -> NDArray[np.float64]:
            with torch.no_grad():
                seen = torch.from_numpy(np.ascontiguousarray(x[:, first:stop]))
                odds = network.eval().log_odds(seen.float())[:, 0]
            return np.asarray(odds.double().numpy()) / temperature

        return scores

    networks = _batches([of(n) for n in model._networks], size)
    said = f"log odds of a {model.site}"
    return Scorer(networks, "nats", said, "all", 4, model.n_positions_, (first, stop))


def _of_estimator(model: Any, name: str, size: int, alphabet: str) -> Scorer:
    """Scores of an estimator that takes letters."""

    def scores(x: Array) -> Any:
        texts = from_one_hot(x, alphabet=alphabet, layout="base_last")
        return getattr(model, name)(texts)

    return Scorer(_batches([scores], size), "1", f"{name} of {type(model).__name__}", "all")


def over_networks(
    values: NDArray[np.float64], confidence_level: float
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None, dict[str, Any]]:
    """Mean over networks, its interval, and how it was obtained.

    Parameters
    ----------
    values : (network, ...).
    confidence_level : of the interval.

    Returns
    -------
    mean : (...). ci : (..., 2), or None of one network. said : ``method`` and ``reason``.
    """
    n = len(values)
    mean = values.mean(axis=0)
    if n < 2:
        return mean, None, {"method": "one network", "reason": _ALONE}
    stderr = values.std(axis=0, ddof=1) / np.sqrt(n)
    ci = delta_interval(mean, stderr, confidence_level, dof=n - 1)
    return mean, ci, {"method": f"mean over {n} networks, {_SEVERAL}", "reason": ""}


def one_sequence(sequence: Any, alphabet: str | None) -> SequenceSet:
    """One sequence as a set, from a string or a set of one.

    Parameters
    ----------
    sequence : str or SequenceSet. alphabet : of a string; DNA by default.
    """
    if isinstance(sequence, SequenceSet):
        if alphabet is not None and alphabet != sequence.alphabet:
            raise KindError(
                f"alphabet is {alphabet!r} for a set of {sequence.alphabet}",
                "The alphabet of the set was needed, or none",
                "Leave alphabet out",
            )
        if len(sequence) != 1:
            raise ShapeError(
                f"{len(sequence)} sequences came", "One was needed", "Pass sequences[[k]]"
            )
        return sequence
    if not isinstance(sequence, str):
        raise KindError(
            f"sequence is a {type(sequence).__name__}",
            "The letters as a string, or a SequenceSet of one sequence, was needed",
            "Pass genome['chr1'][start:stop], for example",
        )
    if not sequence:
        raise DataError("An empty sequence came", "At least one letter was needed", "Pass letters")
    return SequenceSet.from_sequences(["sequence"], [sequence], alphabet or "dna")
