"""Pictures in files: written whole, closed, and replacing their like alone."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from neurornn._core.errors import FileWriteError
from neurornn.plot.files import not_a_figure, write_figure


def drawn():
    return plt.figure(figsize=(2.0, 1.0))


def size_of(path):
    """Width and height in dots: bytes 16 to 24 of a PNG."""
    return np.frombuffer(path.read_bytes()[16:24], dtype=">u4").tolist()


def test_a_figure_is_written_closed_and_replaced_by_its_like(tmp_path):
    path = tmp_path / "a.png"
    before = plt.get_fignums()
    assert write_figure(drawn(), str(path)) == path
    assert plt.get_fignums() == before
    # 120 dots per inch.
    assert size_of(path) == [240, 120] and not_a_figure(path) is None
    write_figure(drawn(), path, dpi=50)
    assert size_of(path) == [100, 50]
    other = drawn()
    other.savefig(tmp_path / "b.png")
    plt.close(other)
    said = "is a file that neurornn did not write"
    assert not_a_figure(tmp_path / "b.png") == said
    (tmp_path / "c.txt").write_bytes(b"Software\x00neurornn")
    assert not_a_figure(tmp_path / "c.txt") == said
    with pytest.raises(FileWriteError, match=said):
        write_figure(drawn(), tmp_path / "b.png")
    plt.close("all")
    write_figure(drawn(), tmp_path / "b.png", overwrite=True)
    assert not_a_figure(tmp_path / "b.png") is None
