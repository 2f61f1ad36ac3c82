import hashlib

import pytest

import neurornn as nr
from neurornn._core.errors import FileFormatError, FileMissingError, NameUnknownError
from neurornn.io import fetch, list_datasets, read_card, registry

CARD = """
name = "{name}"
title = "A set for tests"
source = "https://example.org/set"
licence = "MIT"
folder = "below/{name}"
"""


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """Cards, data folder and cache of a test, with nothing real in reach."""
    cards, data, cache = (tmp_path / n for n in ("cards", "data", "cache"))
    for folder in (cards, data, cache):
        folder.mkdir()
    monkeypatch.setattr(registry, "cards_folder", lambda: cards)
    monkeypatch.setattr(registry, "_cache", lambda: cache)
    monkeypatch.setenv("NEURORNN_DATA_DIR", str(data))
    monkeypatch.setattr(registry, "_checked", {})

    def refuse(*args, **kwargs):
        pytest.fail("a test reached for the network")

    monkeypatch.setattr("pooch.retrieve", refuse)

    def add(name, files, url=None, write=True):
        text = CARD.format(name=name)
        for file, content in files.items():
            text += f'[files."{file}"]\nsha256 = "{hashlib.sha256(content).hexdigest()}"\n'
            text += f'url = "{url}/{file}"\n' if url else ""
            if write:
                target = data / "below" / name / file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
        (cards / f"{name}.toml").write_text(text)
        return data / "below" / name

    add.cards, add.data, add.cache = cards, data, cache
    return add


def test_one_file_gives_its_path_and_several_their_folder(shelf):
    one = shelf("one", {"a.npz": b"1"})
    two = shelf("two", {"a.npz": b"1", "deep/b.npz": b"2"})
    assert fetch("one") == one / "a.npz"
    assert fetch("two") == two
    assert nr.fetch is fetch


def test_an_unknown_name_offers_the_nearest(shelf):
    shelf("linear_track", {"a": b"1"})
    with pytest.raises(NameUnknownError, match="Did you mean 'linear_track'"):
        fetch("linear_trak")


def test_another_file_under_the_name_is_refused(shelf):
    folder = shelf("one", {"a.npz": b"1"})
    (folder / "a.npz").write_bytes(b"2")
    with pytest.raises(FileFormatError, match="sha256"):
        fetch("one")


def test_each_file_is_hashed_once_and_again_when_it_changes(shelf, monkeypatch):
    folder = shelf("one", {"a.npz": b"1"})
    calls = []
    real = hashlib.sha256
    monkeypatch.setattr(registry.hashlib, "sha256", lambda *a: calls.append(1) or real(*a))
    fetch("one")
    fetch("one")
    assert len(calls) == 1
    (folder / "a.npz").write_bytes(b"changed")
    with pytest.raises(FileFormatError, match=r"a\.npz has sha256 .*The file of 'one' has sha256"):
        fetch("one")


def test_a_set_without_an_address_says_where_to_get_it(shelf):
    shelf("one", {"a.npz": b"1"}, write=False)
    with pytest.raises(
        FileMissingError, match=r"example\.org/set.*set NEURORNN_DATA_DIR"
    ) as caught:
        fetch("one")
    assert "below/one" in str(caught.value)


def test_a_public_file_is_downloaded_with_its_checksum(shelf, monkeypatch):
    shelf("one", {"a.npz": b"1"}, url="https://example.org", write=False)
    asked = {}

    def retrieve(url, known_hash, fname, path):
        asked.update(url=url, known_hash=known_hash)
        path.mkdir(parents=True)
        (path / fname).write_bytes(b"1")
        return str(path / fname)

    monkeypatch.setattr("pooch.retrieve", retrieve)
    assert fetch("one").read_bytes() == b"1"
    digest = hashlib.sha256(b"1").hexdigest()
    assert asked == {"url": "https://example.org/a.npz", "known_hash": f"sha256:{digest}"}
    monkeypatch.undo()


def test_a_failed_download_is_explained(shelf, monkeypatch):
    shelf("one", {"a.npz": b"1"}, url="https://example.org", write=False)

    def retrieve(*args, **kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.setattr("pooch.retrieve", retrieve)
    with pytest.raises(FileMissingError, match="no route to host"):
        fetch("one")


def test_a_simulated_sample_lies_beside_its_card(shelf, monkeypatch):
    digest = hashlib.sha256(b"sim").hexdigest()
    (shelf.cards / "sample.npz").write_bytes(b"sim")
    (shelf.cards / "sample_x.toml").write_text(
        CARD.format(name="sample_x").replace("folder", "note")
        + f'file = "sample.npz"\nsha256 = "{digest}"\nsimulated = true\n'
    )
    monkeypatch.delenv("NEURORNN_DATA_DIR")
    assert fetch("sample_x") == shelf.cards / "sample.npz"
    assert read_card("sample_x").simulated


def test_a_broken_card_is_explained(shelf):
    (shelf.cards / "bad.toml").write_text("name = \n")
    with pytest.raises(FileFormatError, match=r"bad\.toml"):
        list_datasets()


def test_the_list_says_what_is_here(shelf):
    shelf("here", {"a": b"1"})
    shelf("away", {"a": b"1"}, write=False)
    rows = {row[0]: row[-1] for row in list_datasets().rows}
    assert rows == {"here": "yes", "away": "no"}


def test_the_real_cards_are_complete():
    rows = list_datasets().rows
    assert len(rows) >= 20
    for name in (row[0] for row in rows):
        card = read_card(name)
        assert name == card.name
        assert card.title
        assert card.licence
        assert card.files
        for entry in card.files.values():
            assert len(entry["sha256"]) == 64
        if not card.simulated:
            assert card.source.startswith("https://")
            assert card.cite
            assert card.species
            assert card.units


@pytest.mark.realdata
def test_every_real_set_that_is_here_is_the_right_one(data_dir):
    names = [r[0] for r in list_datasets().rows if r[-1] == "yes"]
    if not names:
        pytest.skip(f"no data set of the registry is in {data_dir}")
    for name in names:
        assert fetch(name).exists()
