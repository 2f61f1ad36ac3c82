import matplotlib.pyplot as plt
import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn.data.sequence_sets import SequenceSet

LETTERS = "ACGT"


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def effects(text="TATGA", seed=0):
    pwm = np.random.default_rng(seed).normal(size=(len(text), 4))
    return nr.sequences.mutate_all(lambda x: (x * pwm).sum(axis=(1, 2)), text)


def boxes(ax):
    """Left, lower, right and upper edge of every letter, and its colour."""
    found = []
    for p in ax.patches:
        box = p.get_path().get_extents(p.get_patch_transform())
        found.append((box.x0, box.y0, box.x1, box.y1, p.get_facecolor()))
    return found


def test_the_map_shows_every_effect_and_marks_the_wild_type():
    table = effects()
    ax = nr.plot.mutation_map(table)
    shown = ax.images[0].get_array()
    np.testing.assert_allclose(shown, table["effect"].values.T)
    low, high = ax.images[0].get_clim()
    assert -low == high == pytest.approx(np.abs(table["effect"].values).max())
    written = {(t.get_position(), t.get_text()) for t in ax.texts}
    assert written == {((k, LETTERS.index(c)), c) for k, c in enumerate("TATGA")}
    assert [t.get_text() for t in ax.get_yticklabels()] == list(LETTERS)
    assert ax.get_xlabel() == "position (bp)"
    # A table turned about is the same picture.
    other = nr.plot.mutation_map(table.transpose("letter", "position", ...), limit=0.5)
    np.testing.assert_allclose(other.images[0].get_array(), shown)
    assert other.images[0].get_clim() == (-0.5, 0.5)
    with pytest.raises(DataError, match="limit is 0"):
        nr.plot.mutation_map(table, limit=0)


def test_many_positions_have_points_and_their_own_numbers():
    text = "".join(np.random.default_rng(0).choice(list(LETTERS), 200))
    table = nr.sequences.mutate_all(lambda x: x[:, :, 0].sum(axis=1), text)
    ax = nr.plot.mutation_map(table.isel(position=slice(20, 190)))
    assert not ax.texts and len(ax.lines[0].get_xdata()) == 170
    assert ax.get_xticklabels()[0].get_text() == "20"


def test_information_is_that_of_the_shares():
    found = nr.plot.logo_heights(["AAC", "ACC", "AGN", "ATN"], correct=False)
    # All alike: two bits; all different: none; two letters that are known: all alike.
    np.testing.assert_allclose(found["information"], [2, 0, 2], atol=1e-12)
    assert found["n"].values.tolist() == [4, 4, 2]
    np.testing.assert_allclose(found["height"].values[0], [2, 0, 0, 0], atol=1e-12)
    assert found["height"].attrs["units"] == "bits"
    corrected = nr.plot.logo_heights(["AAC", "ACC", "AGN", "ATN"])
    # (4 - 1) / (2 ln 2 n), by hand.
    off = 3 / (2 * np.log(2)) / np.array([4, 4, 2])
    np.testing.assert_allclose(corrected["information"], np.array([2, 0, 2]) - off)
    assert (corrected["height"].values[1] == 0).all()


def test_the_correction_takes_off_what_chance_shows():
    draw = np.random.default_rng(0)
    # 400 positions of random letters, 20 sequences: no information on average.
    texts = ["".join(row) for row in draw.choice(list(LETTERS), (20, 400))]
    plain = nr.plot.logo_heights(texts, correct=False)["information"].values
    found = nr.plot.logo_heights(texts)["information"].values
    # The standard error of the mean is about .1 / 20; the series is cut after its first term.
    assert abs(found.mean()) < 0.02 < 0.08 < plain.mean()
    proteins = SequenceSet.from_sequences(["a", "b"], ["MK", "MR"], alphabet="protein")
    found = nr.plot.logo_heights(proteins, correct=False)["information"]
    np.testing.assert_allclose(found, np.log2(20) - np.array([0, 1]))


def test_letters_are_as_high_as_their_bits_and_the_largest_is_on_top():
    ax = nr.plot.sequence_logo(["GA", "GA", "GA", "GT"], correct=False)
    information = 2 + 0.75 * np.log2(0.75) + 0.25 * np.log2(0.25)
    found = boxes(ax)
    assert len(found) == 3
    for box, (x, low, high) in zip(
        found,
        [(0, 0, 2), (1, 0, information / 4), (1, information / 4, information)],
        strict=True,
    ):
        assert box[:4] == pytest.approx((x - 0.45, low, x + 0.45, high))
    assert found[1][4] != found[2][4]
    assert ax.get_ylabel() == "bits" and ax.get_ylim() == (0, 2)


def test_the_logo_of_effects_is_what_other_letters_take_away():
    table = effects("GATT")
    ax = nr.plot.sequence_logo(table)
    for k, (_, low, _, high, _) in enumerate(boxes(ax)):
        other = table["effect"].values[k][~table["is_wild_type"].values[k]]
        fall = -other.mean()
        assert (low, high) == pytest.approx((min(fall, 0), max(fall, 0)))
    assert len(boxes(ax)) == 4 and "fall of the score" in ax.get_ylabel()


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ShapeError, match="mutate_all"):
        nr.plot.mutation_map(effects()["effect"])
    with pytest.raises(KindError, match="A str came"):
        nr.plot.sequence_logo("ACGT")
    with pytest.raises(DataError, match="known letter at position 1"):
        nr.plot.logo_heights(["AN", "AN"])
    with pytest.raises(ShapeError, match="The table holds share"):
        nr.plot.sequence_logo(nr.plot.logo_heights(["AC"])[["share"]])
    with pytest.raises(ShapeError, match="one length"):
        nr.plot.logo_heights(["AC", "ACG"])
