"""Many fits: seeds of one model, sessions, settings; in processes or on a Dask cluster."""

import inspect
import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from neurornn._core.errors import ConvergenceWarning, DataError, KindError
from neurornn._core.files import fingerprint
from neurornn._core.jobs import run_chunks
from neurornn._core.old_names import new_names, renamed
from neurornn._core.rng import derived_seed
from neurornn._core.status import Status
from neurornn._core.warning import warn_user
from neurornn.io.headers import plain, unplain
from neurornn.io.saved import Saved, SavedContent
from neurornn.models.base import RecurrentModel
from neurornn.models.rebuild import check_rebuilds, dtype_of, rebuilt, weights_of
from neurornn.training.batches import TrainingData, as_training_data
from neurornn.training.one import fit_one
from neurornn.training.result import FitResult
from neurornn.training.settings import OLD_NAMES, FitSettings

Packed = dict[str, NDArray[Any]]
#: Marks a packed fit that failed: another try may do better (memory, a lost worker).
_FAILED = "failed"
#: Options of `nr.fit` that a fit among many does not have, and what stands for none.
_AT_THE_DOOR = {
    "n_seeds": 1, "checkpoint": None, "checkpoint_every": 10, "strict": False,
    "callback": None,
}  # fmt: skip


@renamed(partial="checkpoint")
def fit_many(
    jobs: Sequence[tuple[RecurrentModel, Any] | tuple[RecurrentModel, Any, Mapping[str, Any]]],
    *,
    n_jobs: int = 1,
    client: Any = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool | Callable[[int, int], None] = False,
    **options: Any,
) -> list[FitResult]:
    """Fit many models: sessions, settings, hyperparameters.

    Parameters
    ----------
    jobs : of each fit the model, the data, and options of `nr.fit` of its own, if any.
    n_jobs : processes on this machine; -1 for one per core.
    client : ``dask.distributed.Client``
        The fits then run on its workers; models travel as settings and safetensors bytes.
    checkpoint : folder
        Keeps finished fits until you delete it; the same call goes on from there, and tries those
        that failed again.
    progress : show a bar in a terminal or a notebook, or a callable ``(done, total)``.
    options : of `nr.fit`, for all.

    Returns
    -------
    list of FitResult, in the order of `jobs`
        A fit that failed has status ``failed``, the weights it began with, and the reason in
        ``provenance["error"]``; the others go on.

    Raises
    ------
    KindError
        A job that is not a model with data.

    Examples
    --------
    >>> import neurornn as nr
    >>> win = nr.simulate.simulate_rate_trials(2, 4, 0.5, 0.01, rng=0)
    >>> model = nr.models.Memoryless(16, 2, dt=0.01)
    >>> [str(r.status) for r in fit_many([(model, win), (model, win, {"weight_decay": 0.1})])]
    ['ok', 'ok']
    """
    chunks = []
    for k, job in enumerate(jobs):
        if not isinstance(job, tuple | list) or len(job) not in (2, 3):
            raise KindError(
                f"Job {k} is a {type(job).__name__}",
                "A tuple (model, data) or (model, data, options) was needed",
                "For example fit_many([(model, windows), (model, other_windows)])",
            )
        model, data = job[0], job[1]
        own = {**options, **(dict(job[2]) if len(job) == 3 else {})}
        own = new_names(own, OLD_NAMES, "nr.fit", gone=("resume",))
        watch = own.pop("validation", None)
        for name, usual in _AT_THE_DOOR.items():
            if own.pop(name, usual) != usual:
                raise KindError(
                    f"{name} came for job {k}",
                    "Options of a single fit were needed",
                    "Leave it out: fit_many keeps what is finished in checkpoint=, says how each "
                    "fit ended in its status, and takes a job for each seed",
                )
        parts = {"train": as_training_data(data, model, f"data of job {k}")}
        if watch is not None:
            parts["watch"] = as_training_data(watch, model, f"validation of job {k}")
        # Classes travel beside the bytes: a user's own is not to be found by its name.
        given = (pack_model(model), _pack_data(parts), json.dumps(plain(own)))
        chunks.append((*given, type(model)))
    done = run_chunks(
        _fit_packed, chunks, n_jobs=n_jobs, client=client, checkpoint=checkpoint,
        progress=progress, label="fits", key=fingerprint([list(c[:3]) for c in chunks]),
        keep=lambda packed: _FAILED not in packed,
    )  # fmt: skip
    return [unpack_result(d, c[3]) for d, c in zip(done, chunks, strict=True)]


def fit_seeds(
    model: RecurrentModel,
    train: TrainingData,
    watch: TrainingData | None,
    settings: Mapping[str, Any],
    *,
    n_seeds: int,
    n_jobs: int = 1,
    client: Any = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool | Callable[[int, int], None] = False,
    strict: bool = False,
) -> FitResult:
    """Fit one model from several draws of its weights; the best result, with all of them beside.

    Parameters
    ----------
    model : class, settings and physical parameters are taken from it; the first seed keeps its
        weights, the others draw theirs.
    train, watch : training and validation data.
    settings : options of `nr.fit`.
    n_seeds, n_jobs, client, checkpoint, progress, strict : as in `nr.fit` and `fit_many`.

    Returns
    -------
    FitResult
        With ``seeds``: a table over ``seed`` of the loss, the validation loss, the status, and
        every physical parameter; mean and sd over seeds in the attrs of each.
    """
    jobs = []
    for k in range(n_seeds):
        seed = derived_seed(settings["rng"], 500, k)
        one = model if k == 0 else redrawn(model, seed)
        options = {**settings, "rng": seed}
        if watch is not None:
            options["validation"] = tuple(watch)
        jobs.append((one, tuple(train), options))
    results = fit_many(
        jobs, n_jobs=n_jobs, client=client, checkpoint=checkpoint, progress=progress
    )
    reached = [_reached(r, watch is not None) for r in results]
    best = results[int(np.nanargmin(reached))] if np.isfinite(reached).any() else results[0]
    if best.status not in (Status.OK, Status.STOPPED_EARLY):
        text = f"The best of {n_seeds} fits ended with status {best.status}. {best.status.remedy}"
        if strict:
            raise DataError(
                text, "A converged fit was asked for (strict=True)", best.status.remedy
            )
        warn_user(text, ConvergenceWarning)
    return best.with_seeds(_seed_table(results, reached, watch is not None))


def redrawn(model: RecurrentModel, seed: int) -> RecurrentModel:
    """Return a model of the same settings with fresh weights.

    Its physical parameters are kept, and weights that are held fixed.
    """
    first = next(model.parameters())
    check_rebuilds(model)
    takes_seed = "rng" in inspect.signature(type(model).__init__).parameters
    with torch.random.fork_rng(devices=[]):
        # A user's own model may draw its weights from the global generator.
        torch.manual_seed(seed)
        own: dict[str, Any] = {**model.settings, **({"rng": seed} if takes_seed else {})}
        fresh = type(model)(**own)
    fresh = fresh.to(first.device, first.dtype)
    with torch.no_grad():
        kept = {p.unbounded for p in model.physical_parameters}
        for name, p in model.named_parameters():
            fresh.get_parameter(name).requires_grad_(p.requires_grad)
            if name in kept or not p.requires_grad:
                fresh.get_parameter(name).copy_(p)
    return fresh


def _reached(result: FitResult, watched: bool) -> float:
    """Loss of the weights that each seed would return."""
    return result.validation_loss if watched else result.loss


def _seed_table(results: Sequence[FitResult], reached: Sequence[float], watched: bool) -> Any:
    what = "validation loss" if watched else "training loss"
    table = xr.Dataset(
        {
            "loss": ("seed", np.array(reached), {"units": "1", "long_name": what}),
            "status": ("seed", [str(r.status) for r in results], {"long_name": "status"}),
        },
        coords={"seed": np.arange(len(results))},
    )
    for p in results[0].model.physical_parameters:
        rows = [r.parameters[p.name] for r in results]
        table[p.name] = (
            ("seed", *rows[0].dims),
            np.stack([r.values for r in rows]),
            {"units": p.units, "long_name": p.long_name},
        )
    for name in table.data_vars:
        values = table[name].values
        if values.dtype.kind == "f":
            each = values.reshape(len(results), -1).mean(1)
            each = each[np.isfinite(each)]
            table[name].attrs["mean"] = float(each.mean()) if len(each) else float("nan")
            table[name].attrs["sd"] = float(each.std(ddof=1)) if len(each) > 1 else float("nan")
    return table


def pack_model(model: RecurrentModel) -> Packed:
    """Model as settings and safetensors bytes, for another process."""
    check_rebuilds(model)
    head = {
        "class": type(model).__name__,
        "settings": plain(model.settings),
        "dtype": dtype_of(model),
        "held": [n for n, p in model.named_parameters() if not p.requires_grad],
    }
    return {
        "head": _bytes(json.dumps(head).encode()),
        "weights": _bytes(save_tensors(weights_of(model))),
    }


def unpack_model(
    packed: Mapping[str, NDArray[Any]], cls: type[RecurrentModel] | None = None
) -> RecurrentModel:
    """Model from what `pack_model` made.

    Parameters
    ----------
    cls : its class, where that is a user's own.
    """
    head = json.loads(packed["head"].tobytes(), object_hook=unplain)
    weights = load_tensors(packed["weights"].tobytes())
    admitted = {} if cls is None else {cls.__name__: cls}
    model = rebuilt(head["class"], head["settings"], weights, head["dtype"], admitted)
    for name in head["held"]:
        model.get_parameter(name).requires_grad_(False)
    return model


def _pack_data(parts: Mapping[str, TrainingData]) -> Packed:
    return {
        f"{name}_{field}": getattr(part, field).numpy()
        for name, part in parts.items()
        for field in TrainingData._fields
    }


def _fit_packed(model: Packed, data: Packed, options: str, cls: type[RecurrentModel]) -> Packed:
    """One fit, on a worker."""
    ready = unpack_model(model, cls).train()
    given = json.loads(options, object_hook=unplain)
    parts = {
        name: TrainingData(
            *(torch.from_numpy(np.array(data[f"{name}_{f}"])) for f in TrainingData._fields)
        )
        for name in ("train", "watch")
        if f"{name}_inputs" in data
    }
    with warnings.catch_warnings():
        # The status says it.
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            result = fit_one(ready, parts["train"], parts.get("watch"), FitSettings(**given))
        except Exception as error:  # One bad job must not take the others along.
            return _failed(ready, given, error)
    return pack_result(result)


def _failed(model: RecurrentModel, settings: dict[str, Any], error: Exception) -> Packed:
    nothing = np.array([np.nan])
    result = FitResult(
        model=model.eval(),
        parameters=xr.Dataset(
            {
                p.name: (p.dims, model.physical_value(p).detach().numpy() * np.nan)
                for p in model.physical_parameters
            }
        ),
        history=xr.Dataset({"loss": ("epoch", nothing), "validation_loss": ("epoch", nothing)}),
        status=Status.FAILED,
        settings={"optimizer": "", "objective": "", "confidence_level": np.nan, **settings},
        provenance={"error": f"{type(error).__name__}: {error}"},
    )
    return {**pack_result(result), _FAILED: np.array(True)}


def pack_result(result: Saved) -> Packed:
    """A result as arrays, for another process; what has no weights packs none."""
    saved = result._to_saved()
    packed = {"weights": _bytes(save_tensors(saved["weights"] or {}))}
    tables: dict[str, Any] = {}
    for name, table in saved["tables"].items():
        # Arrays as they are: a file in memory would need locks of the cluster.
        tables[name] = {"attrs": plain(table.attrs), "variables": {}}
        for key, variable in table.variables.items():
            packed[f"{name}/{key}"] = variable.values
            tables[name]["variables"][key] = [list(variable.dims), plain(variable.attrs)]
        tables[name]["coords"] = list(table.coords)
    head = {"settings": plain(saved["settings"]), "tables": tables}
    packed["head"] = _bytes(json.dumps(head).encode())
    return packed


def unpack_result(
    packed: Mapping[str, NDArray[Any]], cls: type[RecurrentModel] | None = None
) -> FitResult:
    """Result of a fit in another process; `cls` is the class of its model."""
    content = unpack_content(packed, "FitResult", {} if cls is None else {cls.__name__: cls})
    return FitResult._from_saved(content)


def unpack_content(
    packed: Mapping[str, NDArray[Any]], kind: str, classes: Mapping[str, type] | None = None
) -> SavedContent:
    """What `pack_result` packed, as a class makes a result of it.

    Parameters
    ----------
    packed : arrays.
    kind : name of the class.
    classes : a user's own, by name.
    """
    head = json.loads(packed["head"].tobytes(), object_hook=unplain)
    tables = {}
    for name, kept in head["tables"].items():
        variables = {
            key: (dims, packed[f"{name}/{key}"], attrs)
            for key, (dims, attrs) in kept["variables"].items()
        }
        table = xr.Dataset(variables, attrs=kept["attrs"])
        tables[name] = table.set_coords(kept["coords"])
    return SavedContent(
        kind=kind,
        settings=head["settings"],
        tables=tables,
        weights=load_tensors(packed["weights"].tobytes()),
        classes={} if classes is None else classes,
    )


def _bytes(raw: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(raw, dtype=np.uint8)
