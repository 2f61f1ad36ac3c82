"""The door to all fits: check what came, train a copy, freeze the result."""

import os
from collections.abc import Callable
from typing import Any

from neurornn._core.checks import check_count
from neurornn._core.errors import KindError
from neurornn._core.old_names import renamed
from neurornn._core.rng import RNG
from neurornn.models.base import RecurrentModel
from neurornn.training.batches import as_training_data, check_same_labels
from neurornn.training.checkpoint import check_folder
from neurornn.training.many import fit_seeds
from neurornn.training.one import Callback, check_callback, fit_one, prepared
from neurornn.training.result import FitResult
from neurornn.training.settings import MOST_SEEDS, OLD_NAMES, FitSettings


@renamed("resume", **OLD_NAMES)
def fit(
    model: RecurrentModel,
    data: Any,
    *,
    validation: Any = None,
    max_epochs: int = 300,
    rng: RNG = 0,
    objective: str = "gaussian",
    optimizer: str = "auto",
    learning_rate: float | None = None,
    batch_size: int | None = None,
    schedule: str = "cosine",
    warmup_epochs: int = 0,
    clip_norm: float | None = 1.0,
    weight_decay: float = 0.0,
    patience: int = 30,
    tolerance: float = 1e-8,
    truncation: float | None = None,
    segment_duration: float | str | None = "auto",
    teacher_forcing: float = 0.0,
    forcing_interval: float | None = None,
    n_seeds: int = 1,
    n_jobs: int = 1,
    client: Any = None,
    refine: bool = True,
    confidence_level: float = 0.95,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 10,
    progress: bool | Callable[[int, int], None] = False,
    callback: Callback | None = None,
    intervals: bool = True,
    strict: bool = False,
) -> FitResult:
    """Fit a model and read its time constants with intervals.

    Parameters
    ----------
    model : RecurrentModel
        Not changed; a copy is trained.
    data : windows from `nr.data.windows`, ``(inputs, targets)`` or ``(inputs, targets, mask)`` of
        (trial, time, ...), or lists with (time, ...) of each trial where lengths differ, or a
        DataArray (time, unit), whose next frame is then predicted.
        The mask is False where a target does not count; a target that is NaN does not either.
        Inputs may be None for a model with ``n_input=0``.
        For a `models.CalciumRNN` the inputs are the stimulus, or None, and the targets the
        fluorescence, NaN where a frame is missing.
    validation : the same, or None
        Watched for early stopping; its best weights are kept.
    max_epochs : passes over the data; for L-BFGS ten iterations each.
    rng : int, Generator or None
        For the order of the trials; the same seed gives the same bits.
    objective : ``"gaussian"``, ``"poisson"`` (output: log rate), ``"bernoulli"`` (log odds) or
        ``"categorical"`` (one-hot targets; outputs: log odds up to a constant).

    Other Parameters
    ----------------
    optimizer : ``"auto"``, ``"lbfgs"``, ``"adam"``
        Auto takes L-BFGS (float64, all data at once) for small models without noise, dropout,
        truncation or teacher forcing, Adam otherwise.
    learning_rate : of Adam at the start. Default 0.01.
    batch_size : trials per step of Adam; by default 32, or all where there are fewer.
    schedule : ``"cosine"`` (the learning rate falls to 1 %), ``"plateau"`` (it falls to 30 %
        whenever the loss has stood still for 30 % of the patience) or ``"constant"``.
    warmup_epochs : epochs over which the learning rate rises to its start.
    clip_norm : largest norm of a gradient of Adam; None for no limit.
    weight_decay : as in AdamW; not of physical parameters.
    patience : epochs without a better validation loss after which the fit stops.
    tolerance : relative change of the loss over an epoch at which L-BFGS has converged.
    truncation : s
        Truncated backpropagation: a step of the optimiser for every such stretch of time, the
        state carried on, the gradient not. Short memories are favoured: its gradient is not exact.
        Dropout draws anew for each stretch.
    segment_duration : s, ``"auto"`` or None
        Hold the states of such a stretch at a time and run forward twice: the gradient is exact,
        memory no longer grows with the length of a trial. Auto: where states take over 250 MB.
    teacher_forcing : share of the output error taken out of the state at each correction, for
        data of chaotic systems; 0 for none. See `training.passes.run_forced`.
    forcing_interval : s, between corrections; by default every step.
    n_seeds : fits from so many draws of the initial weights (the model's own class and settings);
        the best is returned, by validation loss where there is one, with all in ``result.seeds``.
    n_jobs, client : processes, or a ``dask.distributed.Client``, for the seeds.
    refine : go on to the maximum of the likelihood in whitened coordinates, where the model has
        physical parameters, there is no validation part and data are many: intervals hold there.
    confidence_level : of the intervals.
    checkpoint : folder of its own for checkpoints, each whole or absent. The same call goes on
        from the one that is there; the result is that of a run that was never interrupted, bit
        for bit.
    checkpoint_every : epochs.
    progress : show progress bars in a terminal or a notebook, of the epochs and of the last
        stretch, or a callable ``(epoch, max_epochs)``.
    callback : called as ``callback(epoch, model, row)`` after every epoch, or, where it has a
        number ``every``, after every so many epochs and the last, with a copy of the model as it
        then is and ``row``, its loss and validation loss. The fit stays the same, bit for bit. See
        `dynamics.DynamicsMonitor`. A `training.RegimeGuard` alone may change the fit: it slows or
        stops one that leaves a healthy regime.
    intervals : form intervals; without them the parameters come with NaN and the reason.
    strict : raise instead of warning where the fit did not converge.

    Returns
    -------
    FitResult

    Raises
    ------
    KindError, ShapeError, UnitError, DataError
        Data that do not fit the model.
    ResumeError
        A checkpoint of another fit or another version is in the folder.
    FileWriteError
        The folder of checkpoints holds anything else, or cannot be written.

    Warns
    -----
    ConvergenceWarning
        Where the status is not ok or stopped_early.
    AxisWarning
        Where arrays look like (time, trial, ...).

    References
    ----------
    Kingma & Ba 2015, ICLR, arXiv:1412.6980; Liu & Nocedal 1989, Mathematical Programming 45:503,
    doi:10.1007/BF01589116.
    """
    if not isinstance(model, RecurrentModel):
        raise KindError(
            f"model is a {type(model).__name__}",
            "A model from nr.models was needed",
            "For example nr.models.LeakyRNN(n_input=2, n_hidden=64, n_output=2, dt=0.01)",
        )
    settings = FitSettings(
        optimizer=optimizer, objective=objective, max_epochs=max_epochs, rng=rng,
        learning_rate=learning_rate, batch_size=batch_size, clip_norm=clip_norm,
        weight_decay=weight_decay, patience=patience, tolerance=tolerance, schedule=schedule,
        warmup_epochs=warmup_epochs, truncation=truncation, segment_duration=segment_duration,
        teacher_forcing=teacher_forcing, forcing_interval=forcing_interval, refine=refine,
        confidence_level=confidence_level, intervals=intervals,
    )  # fmt: skip
    n_seeds = check_count(n_seeds, "n_seeds", most=MOST_SEEDS)
    checkpoint_every = check_count(checkpoint_every, "checkpoint_every")
    check_callback(callback, n_seeds)
    if model.looks_ahead and hasattr(data, "dims") and "trial" not in data.dims:
        raise KindError(
            f"A series came for a {type(model).__name__}, which looks ahead",
            "A model that sees the past alone was needed to predict a series from itself",
            "Set bidirectional=False",
        )
    if checkpoint is not None and n_seeds == 1:
        check_folder(checkpoint)
    train = as_training_data(data, model)
    watch = None if validation is None else as_training_data(validation, model, "validation")
    if validation is not None:
        check_same_labels(data, validation, "validation")
    if n_seeds == 1:
        return fit_one(
            model,
            train,
            watch,
            settings,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            progress=progress,
            callback=callback,
            strict=strict,
        )
    settings, _ = prepared(model, train, watch, settings)
    return fit_seeds(
        model,
        train,
        watch,
        settings.as_dict(),
        n_seeds=int(n_seeds),
        n_jobs=n_jobs,
        client=client,
        checkpoint=checkpoint,
        progress=progress,
        strict=strict,
    )
