"""Dropout of recorded units: a share of its own for every sequence, nothing scaled up."""

import pytest
import torch

from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn.models import UnitDropout


def test_a_unit_is_there_for_a_whole_sequence_or_not_at_all():
    torch.manual_seed(0)
    x = torch.randn(50, 20, 30) + 5
    y = UnitDropout(0.6)(x)
    kept = y != 0
    assert (kept == kept[:, :1]).all()
    # What is kept is as it was: a lost unit does not make the others louder.
    assert torch.equal(y[kept], x[kept])


def test_shares_are_drawn_anew_between_nothing_and_the_largest():
    torch.manual_seed(0)
    y = UnitDropout(0.6)(torch.ones(4000, 1, 200))
    share = (y == 0).float().mean(dim=(1, 2))
    # Uniform on (0, 0.6): mean 0.3, sd 0.173; 4000 sequences tell them to 0.003 and 0.002. Of
    # 200 units the share itself is known to 0.033, which adds to the sd in squares.
    assert share.mean() == pytest.approx(0.3, abs=0.012)
    assert share.std() == pytest.approx((0.173**2 + 0.03**2) ** 0.5, abs=0.01)
    assert (share < 0.05).any() and (share > 0.5).any() and share.max() < 0.75


def test_nothing_is_dropped_in_evaluation_or_at_no_chance():
    x = torch.randn(3, 4, 5)
    assert torch.equal(UnitDropout(0.9).eval()(x), x)
    assert torch.equal(UnitDropout(0.0)(x), x)


def test_the_same_seed_drops_the_same_units():
    x, drop = torch.ones(8, 2, 40), UnitDropout(0.5)
    torch.manual_seed(3)
    first = drop(x)
    torch.manual_seed(3)
    assert torch.equal(drop(x), first) and not torch.equal(drop(x), first)


def test_what_is_no_chance_or_no_sequence_is_refused():
    for p in (-0.1, 1.0):
        with pytest.raises(DataError, match=f"dropout is {p:g}.*below 1 was needed"):
            UnitDropout(p)
    with pytest.raises(KindError, match="dropout is 'half', a str"):
        UnitDropout("half")
    with pytest.raises(ShapeError, match=r"The features have shape \(4, 5\)"):
        UnitDropout(0.5)(torch.ones(4, 5))
