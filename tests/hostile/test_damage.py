"""Damaged files open or are refused with an error of ours; saved results never come back changed.

A small seeded sample of each reader; ``python -m tests.hostile.damage`` runs 800 of each.
"""

import pytest

from neurornn._core.errors import ThreePartError
from tests.hostile import blows, damage, outcomes
from tests.hostile.outcomes import Outcome
from tests.hostile.runs import quiet
from tests.hostile.samples import readers
from tests.hostile.workers import run_all

#: Readers whose samples take fits, or which the plain ones stand for here.
SLOW = [name for name in readers() if name.startswith("saved ") and "plain" not in name]
QUICK = [name for name in readers() if name not in SLOW]

# The libraries warn about damage, each in its own way.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def _one_thread():
    quiet()


@pytest.mark.parametrize("reader", QUICK)
def test_a_sample_of_damaged_files(reader):
    found = {c: damage.run_case(c) for c in damage.cases(8, f"{reader} #")}
    assert len(found) == 8
    assert damage.failures(found) == []


@pytest.mark.parametrize("reader", QUICK)
def test_every_sample_is_valid(reader, tmp_path):
    """Else a reader that refuses all would pass for one that knows damage."""
    for k, sample in enumerate(readers()[reader]):
        _, path = damage.valid(reader, k, tmp_path / str(k))
        if sample.refused:
            said = "which is not read yet|units seem to lie in the rows"
            with pytest.raises(ThreePartError, match=said):
                damage.read(sample, path)
        else:
            damage.read(sample, path)


def test_each_kind_of_failure_is_told(monkeypatch):
    """The measure itself: a foreign error, a hang, memory, and values that changed."""
    case = damage.Case("saved plain.nc", 0)
    assert damage.run_case(case).kind in outcomes.GOOD

    def raises(error):
        def read(sample, path):
            raise error

        return read

    for error, kind in ((ValueError("x"), outcomes.FOREIGN), (MemoryError(), outcomes.GREEDY)):
        monkeypatch.setattr(damage, "read", raises(error))
        assert damage.run_case(case).kind == kind
    monkeypatch.setattr(damage, "read", lambda sample, path: None)
    monkeypatch.setattr(damage, "_same", lambda found, right: False)
    found = {case: damage.run_case(case)}
    assert found[case].kind == damage.UNNOTICED
    assert damage.failures(found)[0].startswith("saved plain.nc #000 -> unnoticed change: [")
    assert "saved plain.nc                 1          -          -" in damage.told(found)
    assert damage.failures({case: Outcome(outcomes.SLOW)}) != []


def test_the_same_case_is_damaged_in_the_same_way(tmp_path):
    case = damage.Case("tables, wide", 3)
    (_, one, said), (_, two, again) = (damage.damaged(case, tmp_path / name) for name in "ab")
    assert said == again
    assert one.read_bytes() == two.read_bytes()


def test_every_kind_of_damage_is_done_to_something(tmp_path):
    done = set()
    for reader in QUICK:
        for k in range(len(readers()[reader])):
            folder = tmp_path / reader / str(k)
            damage.valid(reader, k, folder)
            done |= set(blows.kinds_for(folder))
    assert done == {*blows.OF_FILES, *blows.OF_FOLDERS}


@pytest.mark.slow
@pytest.mark.parametrize("reader", list(readers()))
def test_all_damaged_files(reader):
    wanted = damage.cases(only=f"{reader} #")
    found = run_all(wanted, damage.run_case, 2, damage.PATIENCE, damage.prepare)
    assert len(found) == len(wanted)
    assert damage.failures(found) == []
