"""The folder of checkpoints: what may be in it, and what a stopped writer leaves."""

import json
import warnings

import pytest

import neurornn as nr
from neurornn._core import files
from neurornn._core.errors import ConvergenceWarning, FileWriteError, KindError, ResumeError
from neurornn.io.headers import _own_checksum
from neurornn.training.checkpoint import NAME, read_checkpoint, write_checkpoint

WIN = nr.simulate.simulate_rate_trials(2, 4, 0.5, 0.01, rng=0)


def fit(**options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return nr.fit(
            nr.models.Memoryless(16, 2, dt=0.01), WIN, optimizer="adam", max_epochs=3, **options
        )


@pytest.mark.parametrize("options", [{}, {"n_seeds": 2}])
def test_a_folder_with_anything_else_in_it_is_refused_before_the_fit(tmp_path, options):
    (tmp_path / "notes.md").write_text("mine")
    with pytest.raises(FileWriteError, match=r"holds notes\.md besides intermediate results"):
        fit(checkpoint=tmp_path, **options)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.md"]
    with pytest.raises(KindError, match="The place to write to is 3"):
        fit(checkpoint=3, **options)
    with pytest.raises(FileWriteError, match="an empty name"):
        fit(checkpoint="", **options)


def test_a_checkpoint_that_was_set_aside_is_taken_up(tmp_path):
    """As a kill between two renames leaves it where two folders cannot be exchanged."""
    whole = fit()
    seen = []
    fit(checkpoint=tmp_path / "run", checkpoint_every=1)
    scratch = files._Scratch(tmp_path / "run" / NAME)
    scratch.make()
    (tmp_path / "run" / NAME).rename(scratch.place_for_old())
    scratch.__del__()
    assert not (tmp_path / "run" / NAME).exists()
    again = fit(checkpoint=tmp_path / "run", progress=lambda k, n: seen.append(k))
    assert seen == []
    assert again.history["loss"].values.tolist() == whole.history["loss"].values.tolist()


def test_a_fit_does_not_start_again_in_silence(tmp_path):
    """Killed while it wrote its first checkpoint: the scratch is left, and nothing else."""
    (tmp_path / "run").mkdir()
    scratch = files._Scratch(tmp_path / "run" / NAME)
    scratch.make()
    scratch.__del__()
    with pytest.warns(UserWarning, match="holds no whole checkpoint.*starts at its first epoch"):
        fit(checkpoint=tmp_path / "run")
    assert [p.name for p in (tmp_path / "run").iterdir()] == [NAME]


def test_a_checkpoint_of_another_version_is_refused(tmp_path):
    write_checkpoint(tmp_path, "key", {"epoch": 3})
    settings = tmp_path / NAME / "settings.json"
    header = json.loads(settings.read_text())
    header["versions"]["neurornn"] = "0.0.7"
    header["checksum"] = _own_checksum(header)
    settings.write_text(json.dumps(header))
    with pytest.raises(ResumeError, match=r"written by neurornn 0\.0\.7"):
        read_checkpoint(tmp_path, "key")


def test_a_folder_of_that_name_that_is_no_checkpoint_is_called_so(tmp_path):
    (tmp_path / "run" / NAME).mkdir(parents=True)
    (tmp_path / "run" / NAME / "mine.txt").write_text("mine")
    with pytest.raises(FileWriteError, match=r"a folder with mine\.txt, not a checkpoint"):
        fit(checkpoint=tmp_path / "run")
    assert (tmp_path / "run" / NAME / "mine.txt").read_text() == "mine"


def test_scratch_of_a_writer_killed_after_its_last_checkpoint_is_cleared(tmp_path):
    fit(checkpoint=tmp_path / "run")
    scratch = files._Scratch(tmp_path / "run" / NAME)
    scratch.make()
    scratch.__del__()
    fit(checkpoint=tmp_path / "run")
    assert [p.name for p in (tmp_path / "run").iterdir()] == [NAME]


def test_a_fit_that_failed_is_tried_again(tmp_path, monkeypatch):
    from neurornn.training import fit_many, one

    jobs = [(nr.models.Memoryless(16, 2, dt=0.01), WIN)]
    options = {"optimizer": "adam", "max_epochs": 2, "checkpoint": tmp_path / "p"}
    with monkeypatch.context() as patch:
        patch.setattr(one, "make_passes", lambda *a, **k: (_ for _ in ()).throw(MemoryError()))
        assert str(fit_many(jobs, **options)[0].status) == "failed"
    assert str(fit_many(jobs, **options)[0].status) == "not_converged"
