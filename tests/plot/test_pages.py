"""The HTML page, part by part: what is said is written as it was said, in the order of saying."""

import base64
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import FileWriteError
from neurornn._core.report import Table, cite, versions
from neurornn.plot.pages import Page, not_a_page


def body_of(page):
    """What stands between the title and the end, line by line."""
    text = page.to_html()
    head, _, rest = text.partition("\n<body>\n")
    assert head.startswith('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">')
    assert rest.endswith("\n</body></html>\n")
    return rest.removesuffix("\n</body></html>\n").split("\n")


def test_every_part_is_set_as_asked_for_and_escaped():
    page = Page("A < B")
    page.heading("Cells & more")
    page.heading("Deeper", level=3)
    page.text("1 < 2")
    page.text("bold", bold=True)
    page.text("small", small=True)
    page.text("both", bold=True, small=True)
    page.listed(["a & b", "c"])
    page.listed(["d"], failed=True)
    page.table("<table></table>")
    table = Table(title="T", columns=["x"], rows=[["1"]])
    page.table(table)
    assert body_of(page) == [
        "<h1>A &lt; B</h1>",
        "<h2>Cells &amp; more</h2>",
        "<h3>Deeper</h3>",
        "<p>1 &lt; 2</p>",
        "<p><b>bold</b></p>",
        '<p class="small">small</p>',
        '<p class="small"><b>both</b></p>',
        "<ul><li>a &amp; b</li><li>c</li></ul>",
        '<ul class="failed"><li>d</li></ul>',
        '<div class="wide"><table></table></div>',
        f'<div class="wide">{table.to_html()}</div>',
    ]
    assert "<title>A &lt; B</title>" in page.to_html()
    assert '<meta name="generator" content="neurornn">' in page.to_html()


def test_a_figure_is_a_png_of_a_hundred_dots_per_inch_with_its_description():
    figure = plt.figure(figsize=(3.0, 2.0))
    page = Page("x")
    page.figure(figure, 'a "b"')
    plt.close(figure)
    (image,) = body_of(page)[1:]
    found = re.fullmatch(r'<img alt="a &quot;b&quot;" src="data:image/png;base64,(\S+)">', image)
    data = base64.b64decode(found[1])
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    # The header of a PNG holds width and height at bytes 16 and 20.
    assert np.frombuffer(data[16:24], dtype=">u4").tolist() == [300, 200]


def test_the_methods_are_those_of_the_result_with_versions_and_papers():
    report = nr.data.audit(np.arange(12.0).reshape(6, 2))
    page = Page("x")
    page.methods(report, ["numpy", "no-such-package"])
    known = versions("numpy")
    assert body_of(page)[1:] == [
        "<h2>Methods</h2>",
        f"<p>{report.methods_text()}</p>",
        f'<p class="small">neurornn {known["neurornn"]}, numpy {known["numpy"]}, '
        "no-such-package unknown</p>",
        "<h2>To cite</h2>",
        "<ul>" + "".join(f"<li>{line}</li>" for line in cite(report).split("\n")) + "</ul>",
    ]


def test_a_page_replaces_a_page_and_nothing_else(tmp_path):
    path = tmp_path / "page.html"
    assert Page("one").write(str(path)) == path
    assert path.read_text(encoding="utf-8") == Page("one").to_html()
    assert not_a_page(path) is None
    assert Page("two").write(path) == path
    assert path.read_text(encoding="utf-8") == Page("two").to_html()
    path.write_text("mine", encoding="utf-8")
    assert not_a_page(path) == "is a file that neurornn did not write"
    with pytest.raises(FileWriteError, match="did not write"):
        Page("three").write(path)
    assert path.read_text(encoding="utf-8") == "mine"
    Page("three").write(path, overwrite=True)
    assert not_a_page(path) is None


def test_what_says_who_wrote_it_after_the_first_thousand_bytes_is_not_ours(tmp_path):
    path = tmp_path / "page.html"
    mark = b'content="neurornn"'
    path.write_bytes(b" " * (1000 - len(mark)) + mark)
    assert not_a_page(path) is None
    path.write_bytes(b" " * (1001 - len(mark)) + mark)
    assert not_a_page(path) is not None
