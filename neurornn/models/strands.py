"""A model that reads both strands of DNA with the same weights: its output mirrors exactly."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from neurornn._core.checks import check_choice
from neurornn._core.errors import DataError, KindError
from neurornn._core.rng import RNG
from neurornn.models.base import PhysicalParameter, RecurrentModel
from neurornn.models.bounded import LogBounded
from neurornn.models.gated import GRU, LSTM
from neurornn.models.leaky import LeakyRNN
from neurornn.models.vanilla import VanillaRNN

_CELLS: dict[str, Any] = {
    "LSTM": LSTM,
    "GRU": GRU,
    "LeakyRNN": LeakyRNN,
    "VanillaRNN": VanillaRNN,
}


class ReverseComplementTied(RecurrentModel):
    """One recurrent network along both strands; on the other strand the output is its mirror.

    Parameters
    ----------
    n_input : letters, in an order whose reverse is their complement: 4 for ACGT.
    n_hidden, n_output : sizes; the hidden units are those of one strand.
    dt : bp, length of a step.
    cell : ``"LSTM"``, ``"GRU"``, ``"LeakyRNN"`` or ``"VanillaRNN"``.
    cell_options : arguments of that model by name, for example ``{"n_layers": 2}``
        Not ``bidirectional``: this model reads both ways by itself. A leaky network starts with
        length constants of ten steps, where `tau` is not among them.
    swapped : pairs of outputs
        That change places on the other strand, such as ``[(0, 1)]`` for "a gene on the plus
        strand" and "a gene on the minus strand". All others are the same on both.

    Other Parameters
    ----------------
    time_unit : ``"bp"``.
    rng : int, Generator or None
        For the initial weights.

    Attributes
    ----------
    strand : the network that runs along each of them.
    mirrored : for each output the one that it is on the other strand.

    Raises
    ------
    DataError, KindError
        Pairs that are none, or a cell that reads both ways by itself.

    Notes
    -----
    With r(x) what the network reads along a sequence x, R its reverse complement and P the
    exchange of the swapped outputs, the output is ``(r(x) + P R r(R x)) / 2``. A sum of two
    numbers does not depend on their order, so that the output on R x is that on x, turned about
    and exchanged, to the last bit. The same symmetry as in Shrikumar, Greenside & Kundaje 2017,
    doi:10.1101/103663, and Mallet & Vert 2021, doi:10.1101/2021.06.03.446953, here with the
    weights of a network that carries a state.

    A letter without an input (N) is read as unknown, at the ends of a sequence too: sequences that
    were filled up with zeros are read as sequences with a run of N.

    Examples
    --------
    >>> model = ReverseComplementTied(4, 8, 2, swapped=[(0, 1)], rng=0)
    >>> x = torch.eye(4)[torch.tensor([[0, 0, 1, 3, 2, 1]])]
    >>> here, there = model(x).output, model(x.flip(1, 2)).output
    >>> torch.equal(there.flip(1)[..., [1, 0]], here)
    True
    """

    looks_ahead = True

    def __init__(
        self,
        n_input: int,
        n_hidden: int,
        n_output: int,
        *,
        dt: float = 1.0,
        cell: str = "LSTM",
        cell_options: Mapping[str, Any] | None = None,
        swapped: Sequence[Sequence[int]] = (),
        time_unit: str = "bp",
        rng: RNG = 0,
    ) -> None:
        super().__init__(n_input, n_hidden, n_output, dt=dt, time_unit=time_unit)
        self.cell = check_choice(cell, "cell", list(_CELLS))
        self.swapped = _pairs(swapped, self.n_output)
        self.mirrored = list(range(self.n_output))
        for one, other in self.swapped:
            self.mirrored[one], self.mirrored[other] = other, one
        options = dict(cell_options or {})
        if options.get("bidirectional"):
            raise DataError(
                "cell_options holds bidirectional=True",
                "A cell that reads one way was needed: both strands are read already",
                "Leave it out",
            )
        if self.cell == "LeakyRNN":
            options.setdefault("tau", 10 * self.dt)
        self.strand: Any = _CELLS[self.cell](
            self.n_input, n_hidden, n_output, dt=dt, time_unit=time_unit, rng=rng, **options
        )

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments that make an equal model, without its weights."""
        shared = super().settings
        options = {k: v for k, v in self.strand.settings.items() if k not in shared}
        return {
            **shared,
            "cell": self.cell,
            "cell_options": options,
            "swapped": [list(pair) for pair in self.swapped],
        }

    @property
    def physical_parameters(self) -> list[PhysicalParameter]:
        """Those of the network, which both strands share."""
        found: list[PhysicalParameter] = self.strand.physical_parameters
        return [p._replace(unbounded=f"strand.{p.unbounded}") for p in found]

    @property
    def labels(self) -> dict[str, list[Any]]:
        """Labels of the axes of the physical parameters and of the outputs."""
        found: dict[str, list[Any]] = self.strand.labels
        return found

    @property
    def is_random(self) -> bool:
        """True where a run in training mode draws random numbers."""
        return bool(self.strand.is_random)

    @property
    def bounds(self) -> LogBounded:
        """Map between a length constant and its unbounded twin."""
        found: LogBounded = self.strand.bounds
        return found

    @property
    def tau(self) -> Tensor:
        """Length constants of a leaky network, (hidden,), in the time unit."""
        found: Tensor = self.strand.tau
        return found

    @property
    def output_bias(self) -> Tensor:
        """Bias of the read-out, (output,); that of a swapped pair counts by its mean."""
        found: Tensor = self.strand.output_bias
        return found

    def prepare(self, inputs: Tensor) -> None:
        """Take start values from the data of a first fit, where the network does."""
        self.strand.prepare(inputs)

    def with_dt(self, dt: float) -> Self:
        """Return the same model on another clock; length constants keep their values.

        Parameters
        ----------
        dt : length of a step of the new one, in `time_unit`.

        Raises
        ------
        KindError
            The network has no length constant that could stay as it is.
        """
        self.strand.with_dt(dt)
        return super().with_dt(dt)

    def start(self, n_trials: int) -> Tensor:
        """No state goes on from step to step: (trial, 0)."""
        return next(self.parameters()).new_zeros(n_trials, 0)

    def scan(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Run along both strands.

        Parameters
        ----------
        inputs : (trial, time, input)
        state : (trial, 0)

        Returns
        -------
        states : (trial, time, 2 x state)
            At each position the state of the network that came to it along the sequence, then of
            the one that came along the other strand. Nothing can go on from them.
        last : (trial, 0)

        Raises
        ------
        DataError
            A state came.
        """
        if state.shape[-1]:
            raise DataError(
                f"A state of {state.shape[-1]} numbers came to a {type(self).__name__}",
                "No state was needed: one half of the model runs from the end of the inputs",
                "Run it on whole sequences; nr.sequences.stream does so piece by piece",
            )
        other = inputs.flip(1, 2)
        ahead, _ = self.strand.scan(inputs, self.strand.start_from(inputs))
        back, _ = self.strand.scan(other, self.strand.start_from(other))
        return torch.cat([ahead, back.flip(1)], 2), state

    def read(self, states: Tensor, inputs: Tensor) -> Tensor:
        """Mean of what the network reads on both strands."""
        ahead, back = states.chunk(2, 2)
        # Both as the network left them: the last bit of a product can depend on the row.
        here = self.strand.read(ahead.contiguous(), inputs)
        there = self.strand.read(back.flip(1).contiguous(), inputs.flip(1, 2))
        return (here + there.flip(1)[..., self.mirrored]) / 2


def _pairs(swapped: Any, n_output: int) -> list[tuple[int, int]]:
    """Check pairs of outputs: each within the outputs, and none twice."""
    try:
        pairs = [(int(a), int(b)) for a, b in swapped]
    except (TypeError, ValueError):
        raise KindError(
            f"swapped is {swapped!r}",
            "Pairs of outputs were needed",
            "Pass for example swapped=[(0, 1)]",
        ) from None
    named = [k for pair in pairs for k in pair]
    if len(set(named)) < len(named) or any(not 0 <= k < n_output for k in named):
        raise DataError(
            f"swapped is {pairs} for {n_output} outputs",
            f"Each output from 0 to {n_output - 1} in at most one pair was needed",
            "Leave out what is the same on both strands",
        )
    return pairs
