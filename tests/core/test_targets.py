"""What may be replaced by a result, and what must not be touched."""

import os

import pytest

from neurornn._core.errors import FileWriteError, KindError
from neurornn._core.files import atomic_path, replace_any, standing
from neurornn._core.targets import check_apart, check_container, check_own_folder, check_target


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A folder of work with a note, a folder of notes and links to both."""
    work = tmp_path / "lab"
    (work / "notes").mkdir(parents=True)
    (work / "notes" / "monday.md").write_text("electrode 3 broke")
    (work / "letter.txt").write_text("Dear Santiago")
    (work / "to_notes").symlink_to("notes")
    (work / "to_letter").symlink_to("letter.txt")
    (work / "ring").symlink_to("ring")
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(work.parent))
    return work


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (".", "names no file or folder of its own"),
        ("..", "names no file or folder of its own"),
        ("notes/..", "names no file or folder of its own"),
        ("notes/.", "names no file or folder of its own"),
        ("", "'' is an empty name"),
        ("  ", "is an empty name"),
        ("/", "names no file or folder of its own"),
        ("///", "names no file or folder of its own"),
        ("~", "which holds everything else"),
        ("a\0b", "NUL"),
        ("x" * 300, "name of 300 bytes, and at most 255"),
        ("é" * 200, "name of 400 bytes"),
        ("y" * 300 + "/fit", "name of 300 bytes"),
        ("ring", "a link that leads nowhere|is a file"),
        ("letter.txt/fit", "part of the path is a file, .*letter.txt"),
        ("/dev/null", "is a device|is a file"),
        ("\udcff\ud800", "cannot be spelt"),
    ],
)
@pytest.mark.parametrize("folder", [False, True])
def test_names_that_are_no_place_are_refused(lab, path, words, folder):
    with pytest.raises(FileWriteError, match=words):
        check_target(path, folder=folder, ours=replace_any, overwrite=True)


@pytest.mark.parametrize("path", [None, 3, b"fit", ["fit"], object()])
def test_things_that_are_no_path_are_refused(path):
    with pytest.raises(KindError, match="as text was needed"):
        check_target(path)


def test_the_folder_of_work_and_all_above_it_are_refused_by_any_name(lab):
    for path in (lab, lab.parent, str(lab) + "/", lab / "notes" / ".." / ".." / "lab"):
        with pytest.raises(FileWriteError, match=r"the folder you work in|everything else"):
            check_target(path, folder=True, ours=replace_any)


def test_folders_never_replace_files_nor_files_folders(lab):
    with pytest.raises(FileWriteError, match=r"is a folder with monday\.md, and a file"):
        check_target("notes", ours=replace_any, overwrite=True)
    with pytest.raises(FileWriteError, match="is a file, and a folder is written"):
        check_target("letter.txt", folder=True, ours=replace_any)
    with pytest.raises(FileWriteError, match="a single file is written"):
        check_target("new/")


def test_only_what_is_ours_is_replaced_and_files_where_asked(lab):
    with pytest.raises(FileWriteError, match=r"is there already.*overwrite=True"):
        check_target("letter.txt")
    with pytest.raises(FileWriteError, match="is someone's"):
        check_target("letter.txt", ours=lambda path: "is someone's")
    assert check_target("letter.txt", overwrite=True) == lab / "letter.txt"
    assert check_target("letter.txt", ours=replace_any) == lab / "letter.txt"
    # A folder of somebody else's is never replaced, whatever is asked.
    with pytest.raises(FileWriteError, match="is there already"):
        check_target("notes", folder=True, overwrite=True)


def test_inputs_and_what_holds_them_are_never_replaced(lab):
    for target, folder in (("letter.txt", False), ("to_letter", False), ("notes", True)):
        with pytest.raises(FileWriteError, match="which is read, or holds it"):
            check_target(
                target,
                folder=folder,
                ours=replace_any,
                overwrite=True,
                inputs=[lab / "letter.txt", lab / "notes" / "monday.md"],
            )
    (lab / "twin.txt").hardlink_to(lab / "letter.txt")
    with pytest.raises(FileWriteError, match="which is read"):
        check_target("twin.txt", overwrite=True, inputs=["letter.txt"])


def test_links_are_followed_and_stay(lab):
    assert check_target("to_letter", overwrite=True) == lab / "letter.txt"
    with atomic_path("to_letter", overwrite=True) as path:
        path.write_text("new")
    assert (lab / "to_letter").is_symlink()
    assert (lab / "letter.txt").read_text() == "new"
    with pytest.raises(FileWriteError, match="is there already"):
        check_target("to_notes", folder=True)
    (lab / "later").symlink_to(lab / "notes" / "later.txt")
    with atomic_path("later") as path:
        path.write_text("made")
    assert (lab / "notes" / "later.txt").read_text() == "made"


def test_the_home_folder_is_spelt_by_a_tilde(lab):
    with atomic_path("~/x.txt") as path:
        path.write_text("x")
    assert (lab.parent / "x.txt").read_text() == "x"
    assert not (lab / "~").exists()


def test_a_name_that_just_fits_is_written(lab):
    name = "x" * 255
    with atomic_path(name) as path:
        path.write_text("x")
    assert (lab / name).read_text() == "x"


def test_a_refusal_writes_nothing(lab):
    before = sorted(os.listdir(lab))
    for path, folder, said in (
        ("notes", True, "a folder of yours is never replaced"),
        ("letter.txt", False, "a file of yours is never replaced"),
        (".", True, r"^\. names no file or folder of its own"),
    ):
        with pytest.raises(FileWriteError, match=said), atomic_path(path, folder=folder):
            pytest.fail("the block ran")
    assert sorted(os.listdir(lab)) == before


def test_two_results_are_not_written_to_one_place(lab):
    check_apart(["a.nc", "a.nc.partial", "b/c.png", "b/d.png"])
    for places in (["a.nc", "./a.nc"], ["fit", "fit/tau.png"], ["notes/x", "to_notes/x"]):
        with pytest.raises(FileWriteError, match="to one place"):
            check_apart(places)


def test_a_folder_of_intermediate_results_holds_nothing_else(lab):
    check_own_folder("new", lambda name: False)
    with pytest.raises(FileWriteError, match=r"notes holds monday\.md besides intermediate"):
        check_own_folder("notes", lambda name: False)
    check_own_folder("notes", lambda name: name == "monday.md")
    (lab / "notes" / ".neurornn-123-abc").mkdir()
    (lab / "notes" / ".DS_Store").write_text("")
    check_own_folder("notes", lambda name: name == "monday.md")
    with pytest.raises(FileWriteError, match="part of the path is a file"):
        check_own_folder("letter.txt", lambda name: True)
    with pytest.raises(FileWriteError, match="the folder you work in"):
        check_own_folder(lab, lambda name: True)


def test_the_root_and_no_name_hold_no_results(lab):
    check_container(".")
    check_container("notes")
    for folder, said in (
        ("", "^'' is no name of a folder"),
        (" ", "^' ' is no name of a folder"),
        ("/", "which holds everything else"),
        ("a\0b", "cannot be followed: embedded null byte"),
        (None, "^None is no name of a folder"),
    ):
        with pytest.raises(FileWriteError, match=said):
            check_container(folder)


def test_something_put_into_a_folder_while_it_is_replaced_is_kept(lab, monkeypatch):
    """The last look is taken at what has already been set aside."""
    looks = []

    def ours(path):
        looks.append(path)
        return "holds a note" if len(looks) > 2 else None

    (lab / "fit").mkdir()
    (lab / "fit" / "note").write_text("mine")
    with (
        pytest.warns(UserWarning, match=r"holds a note and was kept as .*fit\.kept-"),
        atomic_path("fit", folder=True, ours=ours) as path,
    ):
        (path / "new").write_text("new")
    assert os.listdir(lab / "fit") == ["new"]
    (kept,) = lab.glob("fit.kept-*")
    assert (kept / "note").read_text() == "mine"


@pytest.mark.parametrize("exchange", [True, False])
def test_a_copy_that_was_set_aside_is_found_and_put_back(lab, monkeypatch, exchange):
    """As a writer leaves it that is killed between two renames."""
    from neurornn._core import files

    if not exchange:
        monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    scratch = files._Scratch(lab / "fit")
    scratch.make()
    old = scratch.place_for_old()
    old.mkdir()
    (old / "x").write_text("old")
    scratch.__del__()
    assert standing("fit") == old
    files.clear_scratch(lab / "fit")
    assert (lab / "fit" / "x").read_text() == "old"
    assert not scratch.folder.exists()
    with atomic_path("fit", folder=True, ours=replace_any) as path:
        (path / "x").write_text("new")
    assert (standing("fit") / "x").read_text() == "new"
    assert not list(lab.glob(".neurornn-*"))
    assert standing("nowhere") is None


def test_scratch_of_a_living_writer_is_left_alone(lab):
    with atomic_path("a.txt", ours=replace_any) as first:
        first.write_text("first")
        with atomic_path("a.txt", ours=replace_any) as second:
            second.write_text("second")
        assert (lab / "a.txt").read_text() == "second"
        assert first.exists()
    assert (lab / "a.txt").read_text() == "first"
    assert not list(lab.glob(".neurornn-*"))


def test_what_came_into_the_way_meanwhile_is_not_replaced(lab):
    with (
        pytest.raises(FileWriteError, match=r"mine\.txt is there already"),
        atomic_path("mine.txt") as path,
    ):
        path.write_text("result")
        (lab / "mine.txt").write_text("written by hand in the meantime")
    assert (lab / "mine.txt").read_text() == "written by hand in the meantime"


def test_the_system_exchanges_folders_in_one_step(lab):
    """On Linux the target is never absent, which a reader in another process would see."""
    from neurornn._core import files

    for name in ("a", "b"):
        (lab / name).mkdir()
        (lab / name / name).write_text(name)
    if not files._exchange(lab / "a", lab / "b"):
        pytest.skip("this system cannot exchange two folders")
    assert os.listdir(lab / "a") == ["b"]
    with pytest.raises(FileNotFoundError, match=r"No such file or directory: .*nowhere"):
        files._exchange(lab / "a", lab / "nowhere")


def test_a_folder_is_told_by_three_of_its_names():
    from neurornn._core.targets import shortened

    assert shortened(["a", "b", "c"]) == "a, b, c"
    assert shortened(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert shortened([]) == ""
