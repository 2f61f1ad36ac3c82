"""Make the notebooks of the tutorials: their text, what it prints, and its pictures.

``python docs/make_notebooks.py`` runs every ``tutorials/*.md`` in an empty folder and writes the
notebook beside it; ``python docs/make_notebooks.py tutorials/01*.md`` runs some. Edit the text,
not the notebooks. Nothing of the machine is kept: no times, no paths, no random names of cells.
"""

import base64
import io
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import jupytext
from nbclient import NotebookClient
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent


def main(pages: list[str]) -> None:
    """Run the pages, all by default, and write the notebooks."""
    # A backend that draws to files, as tests set it, would keep pictures out of the notebooks.
    os.environ.pop("MPLBACKEND", None)
    for page in [Path(p) for p in pages] or sorted((ROOT / "tutorials").glob("[0-9]*.md")):
        print(page.name, flush=True)
        notebook = made(page)
        jupytext.write(notebook, page.with_suffix(".ipynb"), fmt="ipynb")


def made(page: Path) -> Any:
    """Return the notebook of a page, as it runs here."""
    notebook = jupytext.read(page)
    for k, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{k:02d}"
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook, timeout=600, kernel_name="python3", record_timing=False,
            resources={"metadata": {"path": folder}},
        )  # fmt: skip
        client.execute()
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            picture = output.get("data", {}).get("image/png")
            if picture is not None:
                output["data"]["image/png"] = smaller(picture)
    notebook.metadata.pop("language_info", None)
    return notebook


def smaller(picture: str) -> str:
    """Return a PNG in 256 colours, a third of the size."""
    given = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    out = io.BytesIO()
    given.quantize(256).save(out, "PNG", optimize=True)
    return base64.b64encode(out.getvalue()).decode()


if __name__ == "__main__":
    main(sys.argv[1:])
