"""Everything a fit needs to go on bit for bit: weights, optimiser, best weights, history."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neurornn._core.errors import FileWriteError, ResumeError
from neurornn._core.files import clear_scratch, has_scratch, standing
from neurornn._core.report import versions
from neurornn._core.targets import check_own_folder, folder_content
from neurornn._core.warning import warn_user
from neurornn.io.saved import read_saved, write_saved

NAME = "checkpoint"


def check_folder(folder: str | os.PathLike[str]) -> None:
    """Raise where a folder for checkpoints holds anything else, or cannot be written.

    Parameters
    ----------
    folder : may be absent.

    Raises
    ------
    KindError, FileWriteError
        See `neurornn._core.targets.check_own_folder`.
    """
    check_own_folder(folder, lambda name: name == NAME)
    place = Path(folder) / NAME
    if place.exists() and not (place / "settings.json").is_file():
        there = folder_content(place) if place.is_dir() else "a file"
        raise FileWriteError(
            f"{place} is {there}, not a checkpoint",
            "A folder for checkpoints that holds nothing else was needed",
            "Pass another folder as checkpoint=",
        )


def stands(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder holds a checkpoint, at its place or set aside by a killed writer."""
    return standing(Path(folder) / NAME) is not None


def write_checkpoint(folder: str | os.PathLike[str], key: str, state: dict[str, Any]) -> None:
    """Write the state of a run atomically: nested dicts and lists of tensors and plain values."""
    tensors: dict[str, np.ndarray] = {}
    skeleton = _take_apart(state, "state", tensors)
    write_saved(
        Path(folder) / NAME,
        kind="Checkpoint",
        settings={"key": key, "state": skeleton},
        tables={},
        weights=tensors,
    )


def read_checkpoint(folder: str | os.PathLike[str], key: str) -> dict[str, Any] | None:
    """Read the state of a run; None where there is none yet.

    Raises
    ------
    ResumeError
        The checkpoint belongs to other data, another model, other settings or another version.

    Warns
    -----
    UserWarning
        A run was stopped here before its first checkpoint was whole.
    """
    path = Path(folder) / NAME
    if standing(path) is None:
        if has_scratch(path):
            warn_user(
                f"{folder} holds no whole checkpoint: an earlier run was stopped while it wrote "
                "its first one. The fit starts at its first epoch.",
                UserWarning,
            )
        return None
    # What a writer has left that was killed after its checkpoint was whole.
    clear_scratch(Path(os.path.realpath(Path(path).expanduser())))
    content = read_saved(path)
    if content.kind != "Checkpoint" or not {"key", "state"} <= set(content.settings):
        raise ResumeError(
            f"{path} is a saved {content.kind}",
            "A checkpoint was needed to resume",
            "Pass another folder as checkpoint=",
        )
    if content.settings["key"] != key:
        raise ResumeError(
            f"{path} belongs to a fit of other data, another model or other settings",
            "The checkpoint of the same call was needed to resume",
            "Pass another folder as checkpoint=, or delete this one",
        )
    written, here = content.versions.get("neurornn"), versions()["neurornn"]
    if written != here:
        raise ResumeError(
            f"{path} was written by neurornn {written}, and this is {here}",
            "A checkpoint of the same version was needed: the fit is to go on bit for bit",
            "Go on with that version, or pass another folder as checkpoint= to start afresh",
        )
    try:
        return _put_together(content.settings["state"], content.weights)
    except KeyError as error:
        raise ResumeError(
            f"{path} lacks {error}",
            "A whole checkpoint of this version was needed",
            "Delete it to start afresh; it was damaged, or written by an earlier version",
        ) from None


def _take_apart(item: Any, path: str, tensors: dict[str, np.ndarray]) -> Any:
    if isinstance(item, torch.Tensor):
        # A view can be strided and share memory; the file needs each array whole.
        tensors[path] = np.array(item.detach().cpu().numpy(), order="C", copy=True)
        # The shape is kept apart: a file format may turn a number into an array of one.
        return {"tensor": path, "shape": list(item.shape)}
    if isinstance(item, dict):
        pairs = [[k, _take_apart(v, f"{path}.{k}", tensors)] for k, v in item.items()]
        return {"dict": pairs}
    if isinstance(item, list | tuple):
        return {"list": [_take_apart(v, f"{path}.{k}", tensors) for k, v in enumerate(item)]}
    if isinstance(item, float):
        # Hexadecimal keeps every bit, infinities and NaN included.
        return {"float": item.hex()}
    return item


def _put_together(item: Any, tensors: dict[str, Any]) -> Any:
    if not isinstance(item, dict):
        return item
    if "tensor" in item:
        return torch.from_numpy(np.array(tensors[item["tensor"]])).reshape(item["shape"])
    if "dict" in item:
        return {k: _put_together(v, tensors) for k, v in item["dict"]}
    if "float" in item:
        return float.fromhex(item["float"])
    return [_put_together(v, tensors) for v in item["list"]]
