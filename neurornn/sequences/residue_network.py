"""What stands at a residue, read from what stands before and behind it: a small language model."""

from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neurornn._core.errors import DataError
from neurornn.data.alphabets import ALPHABETS

#: Weights that come with the package, beside this file.
SHIPPED = "residue_network.safetensors"
_KIND = ALPHABETS["protein"]
#: Code of what is no amino acid, and of what lies beyond the ends.
EDGE = len(_KIND.bases)
#: Residues of a window in training, of which the first and the last are read only.
_WINDOW, _BATCH, _PEAK = 96, 128, 3e-3
_STEP = _WINDOW - 2


class ResidueNetwork(nn.Module):
    """Probabilities of the 20 amino acids at a residue, given all others.

    Parameters
    ----------
    n_hidden : units of each direction. n_embedding : numbers that stand for a residue.
    n_dense : units of the layer that joins both directions.

    Notes
    -----
    One LSTM runs from the N-terminus and stops before the residue, another from the C-terminus and
    stops behind it. The residue itself is not read, so that one pass serves every mutant of it.
    """

    def __init__(self, n_hidden: int = 96, n_embedding: int = 24, n_dense: int = 128) -> None:
        super().__init__()
        self.settings = {"n_hidden": n_hidden, "n_embedding": n_embedding, "n_dense": n_dense}
        self.embedding = nn.Embedding(EDGE + 1, n_embedding)
        self.forwards = nn.LSTM(n_embedding, n_hidden, batch_first=True)
        self.backwards = nn.LSTM(n_embedding, n_hidden, batch_first=True)
        self.join = nn.Sequential(nn.Linear(2 * n_hidden, n_dense), nn.GELU(), nn.Dropout(0.1))
        self.output = nn.Linear(n_dense, EDGE)

    def states(self, codes: Tensor) -> Tensor:
        """States before and behind each residue, (sequence, residue, 2 * n_hidden).

        Parameters
        ----------
        codes : (sequence, residue + 2), with `EDGE` at both ends.
        """
        x = self.embedding(codes)
        before = self.forwards(x)[0][:, :-2]
        behind = self.backwards(x.flip(1))[0].flip(1)[:, 2:]
        return torch.cat([before, behind], dim=-1)

    def forward(self, codes: Tensor) -> Tensor:
        """Return log odds up to a constant, (sequence, residue, 20).

        Parameters
        ----------
        codes : (sequence, residue + 2), with `EDGE` at both ends.
        """
        found: Tensor = self.output(self.join(self.states(codes)))
        return found


def residue_codes(sequence: str) -> NDArray[np.int64]:
    """Codes of a protein with `EDGE` at both ends, (residue + 2,); ambiguous letters are `EDGE`.

    Parameters
    ----------
    sequence : letters of a protein, in either case.

    Raises
    ------
    DataError
        A letter that stands for no residue: a gap, a stop, a digit.
    """
    letters = np.frombuffer(sequence.encode("latin-1", "replace"), dtype=np.uint8)
    codes = _KIND.code(letters).astype(np.int64)
    stops = np.flatnonzero([_KIND.order[c] == "*" for c in codes])
    if len(stops):
        raise DataError(
            f"The sequence has a stop (*) at residue {stops[0] + 1} of {len(codes)}",
            "The residues of one protein were needed",
            "Cut it before the stop",
        )
    codes[codes > EDGE] = EDGE
    return np.concatenate([[EDGE], codes, [EDGE]])


@torch.no_grad()
def residue_features(network: ResidueNetwork, sequence: str) -> NDArray[np.float32]:
    """States and log probabilities of every residue, (residue, 2 * n_hidden + 20).

    Parameters
    ----------
    network : trained. sequence : letters of a protein.
    """
    codes = torch.from_numpy(residue_codes(sequence))[None]
    states = network.states(codes)
    chance = torch.log_softmax(network.output(network.join(states)), dim=-1)
    return np.asarray(torch.cat([states, chance], dim=-1)[0].numpy())


def shipped_network() -> ResidueNetwork:
    """Return the network that comes with the package."""
    from safetensors.numpy import load

    data = files("neurornn.sequences").joinpath(SHIPPED).read_bytes()
    return network_of(load(data))


def network_of(arrays: dict[str, NDArray[Any]]) -> ResidueNetwork:
    """Make a network of its weights.

    Parameters
    ----------
    arrays : name -> values, as `network_arrays` gives them.
    """
    n_embedding = arrays["embedding.weight"].shape[1]
    n_dense, twice = arrays["join.0.weight"].shape
    network = ResidueNetwork(twice // 2, n_embedding, n_dense)
    network.load_state_dict({k: torch.as_tensor(v.astype(np.float32)) for k, v in arrays.items()})
    return network.eval()


def network_arrays(network: ResidueNetwork) -> dict[str, NDArray[Any]]:
    """Return weights in half precision, which is enough for what they tell.

    Parameters
    ----------
    network : trained.
    """
    return {k: v.numpy().astype(np.float16) for k, v in network.state_dict().items()}


def train_residues(
    proteins: Sequence[str], *, n_hidden: int = 96, max_epochs: int = 5, n_held_out: int = 700,
    rng: int = 0, tell: Callable[[int, float], None] = lambda epoch, loss: None,
) -> ResidueNetwork:  # fmt: skip
    """Train a network on proteins without labels.

    Parameters
    ----------
    proteins : letters. n_hidden : units of each direction. max_epochs : passes over all.
    n_held_out : proteins that are not trained on. rng : seed.
    tell : takes the number of the pass and the loss on what was held out, nats per residue.
    """
    draw = np.random.default_rng(rng)
    order = draw.permutation(len(proteins))
    coded = [residue_codes(proteins[k]) for k in order]
    held, rest = _windows(coded[:n_held_out], draw), coded[n_held_out:]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng)
        network = ResidueNetwork(n_hidden)
        optimiser = torch.optim.AdamW(network.parameters(), _PEAK, weight_decay=1e-2)
        n_steps = max_epochs * (len(_windows(rest, np.random.default_rng(rng))) // _BATCH + 2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _PEAK, total_steps=n_steps)
        for epoch in range(max_epochs):
            windows = _windows(rest, draw)
            windows = windows[draw.permutation(len(windows))]
            network.train()
            for start in range(0, len(windows) - _BATCH, _BATCH):
                loss = _loss(network, windows[start : start + _BATCH])
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimiser.step()
                if schedule.last_epoch < n_steps - 1:
                    schedule.step()
            network.eval()
            with torch.no_grad():
                parts = [
                    float(_loss(network, held[a : a + _BATCH])) * len(held[a : a + _BATCH])
                    for a in range(0, len(held), _BATCH)
                ]
            tell(epoch, sum(parts) / len(held))
    return network.eval()


def _loss(network: ResidueNetwork, windows: NDArray[np.int64]) -> Tensor:
    codes = torch.from_numpy(windows)
    wanted = codes[:, 1:-1]
    known = wanted < EDGE
    return nn.functional.cross_entropy(network(codes)[known], wanted[known])


def _windows(coded: Sequence[NDArray[np.int64]], draw: np.random.Generator) -> NDArray[np.int64]:
    """Windows of proteins, which begin elsewhere in every pass; short ones have room behind."""
    found = []
    for codes in coded:
        offset = int(draw.integers(_WINDOW // 2)) if len(codes) > _WINDOW else 0
        for start in range(-offset, len(codes) - 10, _STEP):
            window = np.full(_WINDOW, EDGE)
            first, stop = max(start, 0), min(start + _WINDOW, len(codes))
            window[first - start : stop - start] = codes[first:stop]
            found.append(window)
    return np.array(found)
