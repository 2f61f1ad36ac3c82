"""The networks of an ensemble as arrays of one file, and back."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def arrays_of(networks: Sequence[nn.Module]) -> dict[str, NDArray[Any]]:
    """Return the weights of networks, each under its number.

    Parameters
    ----------
    networks : in their order.
    """
    return {
        f"{k}.{name}": value.detach().numpy()
        for k, network in enumerate(networks)
        for name, value in network.state_dict().items()
    }


def networks_from(
    kind: type[Network],
    settings: Mapping[str, Any],
    arrays: Mapping[str, ArrayLike] | None,
    n_networks: int,
) -> list[Network]:
    """Make networks of the arrays of `arrays_of`, ready to predict.

    Parameters
    ----------
    kind : class of the networks. settings : that make each, alike.
    arrays : of a file. n_networks : how many it holds.
    """
    made = []
    for k in range(n_networks):
        network = kind(**settings)
        network.load_state_dict({
            name.partition(".")[2]: torch.as_tensor(np.asarray(value))
            for name, value in (arrays or {}).items()
            if name.partition(".")[0] == str(k)
        })  # fmt: skip
        made.append(network.eval())
    return made
