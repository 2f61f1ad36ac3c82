"""The settings of a fit: checked once, frozen, and the same wherever a fit is asked for."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from neurornn._core.checks import (
    check_confidence_level,
    check_count,
    check_number,
    check_rng,
)
from neurornn._core.errors import DataError, nearest
from neurornn._core.rng import RNG, seed_of
from neurornn.models.base import RecurrentModel
from neurornn.training.objectives import objective_named

#: Models with at most so many weights are fitted by L-BFGS on all data at once.
LBFGS_MAX_PARAMETERS = 500
#: Trials per step of Adam, where there are so many.
BATCH_SIZE = 32
#: Where Adam starts.
LEARNING_RATE = 0.01
OPTIMIZERS = ("auto", "lbfgs", "adam")
SCHEDULES = ("cosine", "plateau", "constant")
#: More than these are a mistake: a number in the wrong place.
MOST_EPOCHS, MOST_SEEDS = 10_000_000, 10_000
#: Settings that are a number; those with a bound lie above it, the others are 0 or more.
_NUMBERS: dict[str, float | None] = {
    "learning_rate": 0.0,
    "clip_norm": 0.0,
    "weight_decay": None,
    "patience": 0.0,
    "tolerance": None,
    "warmup_epochs": None,
    "truncation": 0.0,
    "forcing_interval": 0.0,
    "teacher_forcing": None,
    "segment_duration": 0.0,
}
#: Old name of an option of `nr.fit` -> its name today.
OLD_NAMES = {"warmup": "warmup_epochs"}
#: These have no meaning without a number.
_NEEDED = ("patience", "tolerance", "warmup_epochs", "teacher_forcing")


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How one model is fitted; every argument is that of `nr.fit`.

    Raises
    ------
    DataError, NameUnknownError, KindError
        A number that cannot be, or a name that is not known.
    """

    optimizer: str = "auto"
    objective: str = "gaussian"
    max_epochs: int = 300
    rng: RNG = 0
    learning_rate: float | None = None
    batch_size: int | None = None
    clip_norm: float | None = 1.0
    weight_decay: float | None = 0.0
    patience: int = 30
    tolerance: float = 1e-8
    schedule: str = "cosine"
    warmup_epochs: int = 0
    truncation: float | None = None
    segment_duration: float | str | None = "auto"
    teacher_forcing: float = 0.0
    forcing_interval: float | None = None
    refine: bool = True
    confidence_level: float = 0.95
    intervals: bool = True

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "max_epochs", int(check_count(self.max_epochs, "max_epochs", most=MOST_EPOCHS)))
        put(self, "confidence_level", float(check_confidence_level(self.confidence_level)))
        put(self, "rng", seed_of(check_rng(self.rng)))
        if self.weight_decay is None:
            put(self, "weight_decay", 0.0)
        for name, above in _NUMBERS.items():
            value = getattr(self, name)
            if name == "segment_duration" and isinstance(value, str):
                continue
            if value is not None or name in _NEEDED:
                least, over = (0.0, -np.inf) if above is None else (-np.inf, above)
                most = 1e38 if name == "learning_rate" else np.inf
                check_number(value, name, least=least, above=over, most=most)
        for name, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
            value = getattr(self, name)
            if not isinstance(value, str) or value not in known:
                raise DataError(
                    f"{name} is {value!r}",
                    f"One of {', '.join(map(repr, known))} was needed",
                    f"Check the spelling: {nearest(str(value), known)}",
                )
        objective_named(self.objective)
        for name in ("weight_decay", "tolerance", "teacher_forcing"):
            put(self, name, float(getattr(self, name)))
        for name in ("patience", "warmup_epochs"):
            put(self, name, int(getattr(self, name)))
        for name in ("refine", "intervals"):
            put(self, name, bool(getattr(self, name)))

    def for_data(self, model: RecurrentModel, n_trials: int) -> "FitSettings":
        """Return the same with what was left open settled: the optimiser, the batch, the rate.

        Raises
        ------
        DataError
            A batch larger than the data, a model without a free weight, L-BFGS on a loss that
            is drawn.
        """
        size = self.batch_size
        if size is not None and not 1 <= check_count(size, "batch_size", 0) <= n_trials:
            raise DataError(
                f"batch_size is {size} and there are {n_trials} trials",
                f"A number from 1 to {n_trials} was needed",
                "Leave it out: at most 32 trials go into a step",
            )
        n_weights = sum(p.numel() for p in model.parameters() if p.requires_grad)
        whole = self.truncation is None and not self.teacher_forcing and not model.is_random
        optimizer = self.optimizer
        if optimizer == "auto":
            optimizer = "lbfgs" if n_weights <= LBFGS_MAX_PARAMETERS and whole else "adam"
        if n_weights == 0:
            raise DataError(
                f"{n_weights} weights of the model are free",
                "At least one was needed",
                "Build the model with learn_tau=True",
            )
        if optimizer == "lbfgs" and not whole:
            raise DataError(
                "optimizer is 'lbfgs' with noise, dropout, truncation or teacher forcing",
                "The same loss at every evaluation was needed by L-BFGS",
                "Pass optimizer='adam'",
            )
        return replace(
            self,
            optimizer=optimizer,
            learning_rate=float(self.rate),
            batch_size=min(BATCH_SIZE, n_trials) if size is None else int(size),
        )

    @property
    def seed(self) -> int:
        """Seed of everything that is drawn."""
        assert isinstance(self.rng, int)
        return self.rng

    @property
    def rate(self) -> float:
        """Learning rate that Adam starts at."""
        return LEARNING_RATE if self.learning_rate is None else self.learning_rate

    def as_dict(self) -> dict[str, Any]:
        """Return them as plain values."""
        return asdict(self)
