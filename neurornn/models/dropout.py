"""Dropout for sequences: what is dropped stays dropped from the first step to the last."""

import torch
from torch import Tensor, nn

from neurornn._core.checks import check_number
from neurornn._core.errors import ShapeError


def dropout_mask(n_trials: int, n_features: int, p: float, like: Tensor) -> Tensor:
    """Draw which features of each trial are kept, scaled so that the mean stays.

    Parameters
    ----------
    n_trials, n_features : sizes.
    p : probability of a feature to be dropped, at least 0 and below 1.
    like : gives dtype and device.

    Returns
    -------
    (trial, feature), 0 where dropped and ``1 / (1 - p)`` where kept; from torch's global
    generator. Multiply the features of every step of a trial by its row.
    """
    kept = torch.rand(n_trials, n_features, dtype=like.dtype, device=like.device) >= p
    return kept.to(like.dtype) / (1 - p)


class SequenceDropout(nn.Dropout):
    """Dropout with one mask for a whole sequence.

    Parameters
    ----------
    p : probability of a feature to be dropped, at least 0 and below 1.

    Raises
    ------
    DataError
        A probability that is not in that range.

    Notes
    -----
    The features of a trial are dropped together at all steps, which makes a sample from an
    approximate posterior over the weights; a new mask in every step would be noise on the state
    instead (Gal & Ghahramani 2016, NeurIPS 29, arXiv:1512.05287). Masks come from torch's global
    generator, in training mode only; in evaluation nothing is dropped.

    Examples
    --------
    >>> drop = SequenceDropout(0.5)
    >>> x = drop(torch.ones(4, 100, 8))
    >>> bool((x == x[:, :1]).all()), sorted(set(x.flatten().tolist()))
    (True, [0.0, 2.0])
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(check_number(p, "dropout", least=0.0, below=1.0))

    def forward(self, x: Tensor) -> Tensor:
        """Drop features of x (trial, time, feature)."""
        if x.ndim != 3:
            raise ShapeError(
                f"The features have shape {tuple(x.shape)}",
                "Shape (trial, time, feature) was needed",
                "Add the missing axis: x[None] for one trial",
            )
        if not self.training or self.p == 0:
            return x
        return x * dropout_mask(x.shape[0], x.shape[2], self.p, x)[:, None]


class UnitDropout(SequenceDropout):
    """Silence a share of the inputs that itself is drawn anew for every sequence.

    Parameters
    ----------
    p : largest share, at least 0 and below 1; each sequence draws its own between 0 and `p`.

    Notes
    -----
    What is dropped stands at 0, the mean of a standardised input, and what is kept is not scaled
    up: a decoder trained so has met recordings that lost few units and recordings that lost many,
    and reads both. Masks come from torch's global generator, in training mode only.

    References
    ----------
    Sussillo et al. 2016, Nat Commun 7:13749, doi:10.1038/ncomms13749 (decoders made robust by
    perturbed training data); Keshtkaran & Pandarinath 2019, NeurIPS 32, arXiv:1908.07896
    (coordinated dropout).

    Examples
    --------
    >>> x = UnitDropout(0.5)(torch.ones(4, 100, 8))
    >>> bool((x == x[:, :1]).all()), sorted(set(x.flatten().tolist()))
    (True, [0.0, 1.0])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Drop features of x (trial, time, feature)."""
        if not self.training or self.p == 0 or x.ndim != 3:
            return super().forward(x)
        share = self.p * torch.rand(len(x), 1, dtype=x.dtype, device=x.device)
        kept = torch.rand(len(x), x.shape[2], dtype=x.dtype, device=x.device) >= share
        return x * kept[:, None]
