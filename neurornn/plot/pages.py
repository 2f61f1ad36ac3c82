"""One self-contained HTML page, for every room that writes a report: text, tables, pictures."""

import base64
import html
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from neurornn._core.files import atomic_path
from neurornn._core.report import Table, cite, versions

#: Stands in the head of every page; a file without it is not replaced.
_GENERATOR = "neurornn"
_DPI = 100
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}
h1{font-size:1.5rem}h2{font-size:1.2rem;margin-top:2.2rem;border-bottom:1px solid #ccc}
h3{font-size:1rem;margin:1.6rem 0 .3rem}img{max-width:100%;height:auto}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem;margin:.5rem 0}
th,td{text-align:left;padding:.15rem .7rem .15rem 0;border-bottom:1px solid #eee;
vertical-align:top}
.failed{color:#b34700}.small{font-size:.85rem;color:#555}
"""


class Told(Protocol):
    """What a page tells the methods of: any estimator or result."""

    def methods_text(self) -> str:
        """Sentence for the methods section."""

    def _citations(self) -> list[str]: ...


class Page:
    """A page under way; parts stand in the order in which they are added.

    Parameters
    ----------
    title : heading of the page.

    Examples
    --------
    >>> page = Page("A recording")
    >>> page.heading("Cells")
    >>> page.text("Every cell is ok.")
    >>> "<h2>Cells</h2>" in page.to_html()
    True
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._parts: list[str] = []

    def heading(self, text: str, *, level: int = 2) -> None:
        """Add a heading.

        Parameters
        ----------
        text : of the heading. level : 1 to 6, as in HTML.
        """
        self._parts.append(f"<h{level}>{html.escape(text)}</h{level}>")

    def text(self, text: str, *, bold: bool = False, small: bool = False) -> None:
        """Add a paragraph.

        Parameters
        ----------
        text : of the paragraph.
        bold, small : how it is set; small for what explains a picture or a table.
        """
        said = html.escape(text)
        kind = ' class="small"' if small else ""
        self._parts.append(f"<p{kind}>{f'<b>{said}</b>' if bold else said}</p>")

    def table(self, table: Table | str) -> None:
        """Add a table; a wide one scrolls by itself.

        Parameters
        ----------
        table : `Table`, or its HTML.
        """
        text = table if isinstance(table, str) else table.to_html()
        self._parts.append(f'<div class="wide">{text}</div>')

    def listed(self, items: Sequence[str], *, failed: bool = False) -> None:
        """Add a list.

        Parameters
        ----------
        items : text of each.
        failed : in the colour of a warning.
        """
        kind = ' class="failed"' if failed else ""
        rows = "".join(f"<li>{html.escape(item)}</li>" for item in items)
        self._parts.append(f"<ul{kind}>{rows}</ul>")

    def figure(self, figure: Any, alt: str) -> None:
        """Add a matplotlib figure.

        Parameters
        ----------
        figure : is drawn into the page as PNG.
        alt : what it shows, in words.
        """
        held = io.BytesIO()
        figure.savefig(held, format="png", dpi=_DPI)
        data = base64.b64encode(held.getvalue()).decode("ascii")
        self._parts.append(f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{data}">')

    def methods(self, result: Told, packages: Sequence[str]) -> None:
        """Add the methods, the versions of some packages, and the papers to cite.

        Parameters
        ----------
        result : any estimator or result.
        packages : whose versions are stated.
        """
        self.heading("Methods")
        self.text(result.methods_text())
        self.text(", ".join(f"{k} {v}" for k, v in versions(*packages).items()), small=True)
        self.heading("To cite")
        self.listed(cite(result).split("\n"))

    def to_html(self) -> str:
        """Return the page as text; it needs no other file, no script and no network."""
        name = html.escape(self.title)
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta name="generator" content="{_GENERATOR}"><title>{name}</title>'
            f"<style>{_STYLE}</style></head>\n<body>\n<h1>{name}</h1>\n"
            + "\n".join(self._parts)
            + "\n</body></html>\n"
        )

    def write(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the page, whole or not at all.

        Parameters
        ----------
        path : for example ``"report.html"``; an older page of ours is replaced.
        overwrite : replace a file there whatever wrote it.

        Raises
        ------
        FileWriteError
            Another file stands there, or the path cannot be written.
        """
        text = self.to_html()
        with atomic_path(path, ours=not_a_page, overwrite=overwrite) as temporary:
            temporary.write_text(text, encoding="utf-8")
        return Path(path)


def not_a_page(path: Path) -> str | None:
    """Say why a file may not be replaced; None where it is a page of ours."""
    with path.open("rb") as file:
        ours = f'content="{_GENERATOR}"'.encode() in file.read(1000)
    return None if ours else "is a file that neurornn did not write"
