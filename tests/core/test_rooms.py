"""The door of a room: what it gives, and what it says of a name that it has not."""

import pytest

import neurornn as nr
from neurornn._core.rooms import house, room


def test_a_room_gives_its_names_when_they_are_asked_for():
    get, listed, public = room("neurornn.data", {"splitters": ["BlockedSplit"]}, ["later"])
    assert public == ["BlockedSplit"] and listed() == ["BlockedSplit"]
    assert get("BlockedSplit") is nr.data.BlockedSplit
    for name, said in (
        ("later", "nr.data.later is planned and does not stand yet: see Status in the README for "
         "what does"),
        ("BlokedSplit", "nr.data has no 'BlokedSplit'. Did you mean 'BlockedSplit'?"),
        ("laterr", "nr.data has no 'laterr'. Did you mean 'later'?"),
        ("xyz", "nr.data has no 'xyz'. Known names: BlockedSplit, later."),
    ):  # fmt: skip
        with pytest.raises(AttributeError) as caught:
            get(name)
        assert str(caught.value) == said
    # What Python itself asks for is left to it.
    with pytest.raises(AttributeError) as caught:
        get("__wrapped__")
    assert "Did you mean" not in str(caught.value)


def test_a_room_without_names_and_the_house_itself():
    get, listed, public = room("neurornn.sequences")
    assert (public, listed()) == ([], [])
    with pytest.raises(AttributeError, match=r"nr\.sequences has no 'x'\. Known names: none\."):
        get("x")
    get, _, public = house("neurornn", nr.__file__)
    assert "fit" in public and get("fit") is nr.fit
    with pytest.raises(AttributeError) as caught:
        get("fetc")
    assert str(caught.value) == "nr has no 'fetc'. Did you mean 'fetch'?"
