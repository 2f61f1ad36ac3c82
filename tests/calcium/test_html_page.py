"""The page of a recording: whole in one file, honest about what it shows, strict in its input."""

import base64
from html.parser import HTMLParser

import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import (
    DataError,
    FileWriteError,
    KindError,
    NameUnknownError,
    ShapeError,
)
from neurornn.calcium.html_page import MAX_DRAWN, write_html


class Page(HTMLParser):
    """What a page holds; fails where tags do not close in order."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.links, self.images, self.heads, self.words = [], [], [], [], []
        self._open = []
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in ("img", "meta"):
            self._open.append(tag)
        for name, value in attrs:
            if name in ("src", "href"):
                (self.images if value.startswith("data:") else self.links).append(value)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)
        if self._open and self._open[-1] == "h3":
            self.heads.append(data)

    @property
    def said(self):
        return " ".join(self.words)


@pytest.fixture(scope="module")
def recording():
    """Eight cells: one dead, one that never changes, one without events, one with two spikes."""
    rec = nr.simulate.simulate_calcium(
        8,
        150.0,
        30.0,
        tau_decay=np.geomspace(0.3, 1.0, 8),
        snr=10,
        missing=0.01,
        rng=1,
        indicator="GCaMP6s",
    )
    dff = rec["dff"].copy()
    dff[:, 3], dff[:, 4] = np.nan, 1.0
    dff[:, 5] = np.random.default_rng(0).normal(size=len(dff))
    return dff


@pytest.fixture(scope="module")
def kinetics(recording):
    return nr.calcium.Kinetics(tau_rise=False).fit(recording)


@pytest.fixture(scope="module")
def page(recording, kinetics, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    assert write_html(kinetics, recording, path, title="Fish <1> & co") == path
    return Page(path)


@pytest.mark.slow
def test_the_file_needs_nothing_else(page):
    assert not page.links
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert "@import" not in page.text and "url(" not in page.text
    for image in page.images:
        head, data = image.split(",")
        assert head == "data:image/png;base64"
        assert base64.b64decode(data)[:8] == b"\x89PNG\r\n\x1a\n"
    assert len(page.text) < 2e6


def test_summary_table_methods_versions_and_citations_stand_in_it(page, kinetics):
    said = page.said
    assert "8 cells, 5 ok" in said
    assert "indicator GCaMP6s; 30 Hz; 150 s" in said
    ok = kinetics.parameters_["tau_decay"].where(kinetics.parameters_["status"] == "ok")
    assert f"median tau_decay {float(ok.median()):.3f} s" in said
    assert kinetics._repr_html_() in page.text
    assert "in_vivo_kernel" in said
    assert kinetics.methods_text() in said
    assert f"neurornn {nr.__version__}" in said and "matplotlib" in said
    for line in nr.cite(kinetics).split("\n"):
        assert line in said


def test_titles_are_escaped(page):
    assert "Fish &lt;1&gt; &amp; co" in page.text and "Fish <1>" not in page.text


def test_every_kind_of_cell_is_drawn_and_says_why(page, kinetics):
    heads = page.heads
    status = kinetics.parameters_["status"].values
    for code in sorted(set(status) - {"ok"}):
        assert sum(code in h for h in heads) == 1, heads
        assert nr.calcium.kinetics.Status(code).remedy in page.said
    bounds = kinetics.parameters_["tau_decay_ci"].values
    width = (bounds[:, 1] - bounds[:, 0]) / kinetics.parameters_["tau_decay"].values
    best = int(np.nanargmin(np.where(status == "ok", width, np.nan)))
    assert any(h.startswith(f"Unit {best}:") and "narrowest" in h for h in heads)
    assert f"Drawn: {len(heads)} of 8 cells" in page.said
    # One picture of all cells, and one of each cell that has a trace to draw.
    drawable = [h for h in heads if "no_data" not in h and "constant" not in h]
    assert len(page.images) == 1 + len(drawable)
    assert "Nothing to draw" in page.said


def test_units_asked_for_are_drawn_and_no_more_than_twelve(recording, kinetics, tmp_path):
    path = write_html(kinetics, recording, tmp_path / "a.html", units=[5, 0])
    assert [h.split(":")[0] for h in Page(path).heads] == ["Unit 5", "Unit 0"]
    many = write_html(kinetics, recording, tmp_path / "b.html", units=[3] * 30)
    assert len(Page(many).heads) == MAX_DRAWN
    assert f"{MAX_DRAWN} of the 30 asked for" in Page(many).said


def test_an_indicator_without_constants_is_said_to_have_none(recording, tmp_path):
    other = recording.isel(unit=[0, 1]).assign_attrs(indicator="Fluo-<x>")
    kinetics = nr.calcium.Kinetics(tau_rise=False).fit(other)
    page = Page(write_html(kinetics, other, tmp_path / "a.html", units=[]))
    assert "There are no constants of 'Fluo-<x>'" in page.said


def test_no_cell_ok_still_makes_a_page(rng, tmp_path):
    noise = rng.normal(size=(600, 2))
    kinetics = nr.calcium.Kinetics(penalty=8.0).fit(noise, sampling_rate=30.0)
    page = Page(write_html(kinetics, noise, tmp_path / "a.html"))
    assert "2 cells, 0 ok" in page.said and "median tau_decay" not in page.said


@pytest.mark.slow
def test_thousands_of_cells_stay_small(tmp_path):
    rec = nr.simulate.simulate_calcium(10, 60.0, 20.0, tau_decay=0.5, snr=10, rng=0)
    trace = rec["dff"].isel(unit=np.arange(1000) % 10).assign_coords(unit=np.arange(1000))
    kinetics = nr.calcium.Kinetics(tau_rise=False).fit(trace.isel(unit=slice(10)))
    many = repeated(kinetics, 100)
    path = write_html(many, trace, tmp_path / "a.html")
    assert path.stat().st_size < 5e6
    assert "The table shows 40 of 1000 cells" in Page(path).said


@pytest.mark.slow
def test_of_a_recording_on_disk_only_the_cells_drawn_are_read(kinetics, recording, tmp_path):
    nr.io.write_netcdf(recording.to_dataset(name="dff"), tmp_path / "r.nc")
    trace = nr.open(tmp_path / "r.nc", chunks={"unit": 1})["dff"]
    read = []

    def noted(block, block_id=None):
        read.append(block_id)
        return block

    values = trace.data.map_blocks(noted, dtype=trace.dtype, meta=trace.data._meta)
    trace = trace.copy(data=values)
    write_html(kinetics, trace, tmp_path / "a.html", units=[recording["unit"].values[1]])
    write_html(kinetics, recording, tmp_path / "b.html", units=[recording["unit"].values[1]])
    assert {b[trace.dims.index("unit")] for b in read if b} == {1}
    assert (tmp_path / "a.html").read_text() == (tmp_path / "b.html").read_text()


def repeated(kinetics, times):
    """The same fit with its cells repeated: fitting a thousand would take minutes."""

    class Many:
        def __getattr__(self, name):
            return getattr(kinetics, name)

    many = Many()
    n = kinetics.parameters_.sizes["unit"]
    pick, labels = np.tile(np.arange(n), times), np.arange(n * times)
    many.parameters_ = kinetics.parameters_.isel(unit=pick).assign_coords(unit=labels)
    many.drawn = lambda name, units: kinetics.drawn(name, pick[units]).assign_coords(
        unit=labels[units]
    )
    return many


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (lambda y: y[:-5], ShapeError, "trace has 4495 frames of 8 units"),
        (lambda y: y.isel(unit=[0, 1]), ShapeError, "trace has 4500 frames of 2 units"),
        (lambda y: 3 * y, DataError, "The fit misses the trace of unit 6"),
        (lambda y: y.to_dataset(name="dff"), KindError, "A whole recording came"),
    ],
)
def test_a_trace_that_was_not_fitted_is_refused(
    recording, kinetics, change, error, said, tmp_path
):
    with pytest.raises(error, match=said):
        write_html(kinetics, change(recording), tmp_path / "a.html")
    assert list(tmp_path.iterdir()) == []


def test_bad_paths_and_units_are_refused(recording, kinetics, tmp_path):
    with pytest.raises(FileWriteError, match="is an empty folder, and a file is written"):
        write_html(kinetics, recording, tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileWriteError, match="part of the path is a file"):
        write_html(kinetics, recording, tmp_path / "file" / "a.html", units=[])
    with pytest.raises(NameUnknownError, match="99"):
        write_html(kinetics, recording, tmp_path / "a.html", units=[99])
    with pytest.raises(KindError, match=r"units=\[3\]"):
        write_html(kinetics, recording, tmp_path / "a.html", units=3)
    with pytest.raises(KindError, match="fitted"):
        write_html(nr.calcium.Kinetics(), recording, tmp_path / "a.html")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
