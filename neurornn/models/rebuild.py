"""A model as plain settings and arrays, for a file or another process, and made again of them."""

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neurornn import models
from neurornn._core.errors import FileFormatError, KindError, NameUnknownError, nearest
from neurornn.models.base import RecurrentModel


def model_classes() -> dict[str, type[RecurrentModel]]:
    """Return the models of this package: name -> class, from the public names of the room."""
    found = {}
    for name in dir(models):
        thing = getattr(models, name)
        if inspect.isclass(thing) and issubclass(thing, RecurrentModel) and thing.__doc__:
            found[name] = thing
    found.pop("RecurrentModel", None)
    return found


def weights_of(model: RecurrentModel) -> dict[str, NDArray[Any]]:
    """Return weights and buffers of a model: name -> array."""
    return {
        k: np.ascontiguousarray(v.detach().cpu().numpy()) for k, v in model.state_dict().items()
    }


def dtype_of(model: RecurrentModel) -> str:
    """Return the type of the weights, for example ``"float32"``."""
    return str(next(model.parameters()).dtype).removeprefix("torch.")


def check_rebuilds(model: RecurrentModel) -> None:
    """Refuse a model that its settings do not make again: a file of it could not be read.

    Raises
    ------
    KindError, NameUnknownError
    """
    cls = type(model)
    own = model_classes().get(cls.__name__)
    if own is cls:
        return
    if own is not None:
        raise NameUnknownError(
            f"This {cls.__name__} is of {cls.__module__}, and neurornn has a class of that name",
            "A name of its own was needed: load() would take it for the package's",
            "Give your class another name",
        )
    try:
        with torch.random.fork_rng(devices=[]):
            twin = cls(**model.settings)
        shapes = [{k: tuple(v.shape) for k, v in m.state_dict().items()} for m in (model, twin)]
        problem = "" if shapes[0] == shapes[1] else f"its weights would be {shapes[1]}"
    except Exception as error:  # Whatever a user's own class raises.
        problem = f"{type(error).__name__}: {error}"
    if problem:
        raise KindError(
            f"The settings of your {cls.__name__} do not make it again: {problem}",
            "A property `settings` with every argument of __init__ was needed, of plain values",
            "Extend it: return {**super().settings, 'mine': self.mine}",
        )


def rebuilt(
    class_name: str,
    settings: Mapping[str, Any],
    weights: Mapping[str, Any],
    dtype: str = "float32",
    classes: Mapping[str, type] | None = None,
) -> RecurrentModel:
    """Build a model from the plain settings and arrays that a file or another process holds.

    Parameters
    ----------
    class_name : of this package, or of `classes`.
    classes : name -> class, that a user admits.

    Raises
    ------
    FileFormatError
        A class that is neither.
    """
    known = {**model_classes(), **(classes or {})}
    if class_name not in known:
        raise FileFormatError(
            f"The file names a model of class {class_name!r}",
            "A class of this package was needed, or one of yours that is passed along",
            f"Pass it: nr.load(path, classes=[{class_name}]). " + nearest(class_name, known),
        )
    with torch.random.fork_rng(devices=[]):
        # Weights that are drawn here are replaced: nothing is taken from the user's generator.
        model = known[class_name](**settings)
    model = model.to(getattr(torch, dtype))
    model.load_state_dict({k: torch.as_tensor(np.asarray(v)) for k, v in weights.items()})
    found: RecurrentModel = model.eval()
    return found
