"""Sphinx settings. The build needs no network; links to other projects are made on request."""

import importlib
import inspect
import os
import re
from pathlib import Path

import neurornn

project = "neurornn"
author = "The neurornn developers"
copyright = "The neurornn developers"
release = version = neurornn.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build", "api/generated/_*", "**.ipynb_checkpoints"]
# Pages with a notebook header, the tutorials, are run; a failing cell fails the build.
nb_execution_mode = "cache"
nb_execution_timeout = 90
nb_execution_raise_on_error = True
nb_output_stderr = "remove"
# Their kernels draw into the page, whatever the shell says.
os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3

# Links into other projects' references, where there is a network:
#   NEURORNN_DOCS_INTERSPHINX=1 make docs
intersphinx_mapping = {}
if os.environ.get("NEURORNN_DOCS_INTERSPHINX"):
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "xarray": ("https://docs.xarray.dev/en/stable", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
    }

nitpicky = True
nitpick_ignore_regex = [
    # Other projects' names, which only an intersphinx build can resolve.
    (r"py:.*", r"(numpy|np|xarray|xr|torch|pandas|sklearn|matplotlib|collections|pathlib|os)\b.*"),
    (r"py:.*", r"(Tensor|NDArray|ArrayLike|RNG|StrEnum|Path|Any|Self|optional|nn\.Module)"),
    (r"py:class", r".* \| .*"),
    (r"py:class", r"(int|float|str|bool|bytes|dict|list|tuple|object|None|Ellipsis|type|enum.*)"),
    (r"py:.*", r"(typing|abc|numbers|builtins|safetensors|dask)\..*"),
    # Our own, behind the public names: bases and types that are not documented by themselves.
    (r"py:.*", r"neurornn\._(core|kernels)\..*"),
    (r"py:.*", r"neurornn\.[a-z]+\.[a-z_]+\..*"),
]

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autosummary_generate = False
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "pydata_sphinx_theme"
html_title = "neurornn"
html_static_path = ["_static"]
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "neurornn"},
    "show_prev_next": False,
    "navigation_with_keys": False,
    "github_url": "https://github.com/neurornn/neurornn",
}

#: Rooms in the order of the API shelf, each with the question that leads there.
ROOMS = {
    "io": "Open my file",
    "data": "What shape is it, and how do I split it?",
    "calcium": "What is the decay time of my indicator?",
    "spikes": "What do my spike trains say?",
    "models": "What are the equations?",
    "training": "Train it",
    "compare": "Which model wins?",
    "plot": "Draw it",
    "simulate": "Would it find a truth that I know?",
    "decode": "Drive the cursor",
    "dynamics": "What does the fitted network do?",
    "koopman": "Is it linear?",
    "sequences": "And DNA?",
}


def _first_line(thing):
    return (inspect.getdoc(thing) or "").split("\n\n")[0].replace("\n", " ").strip()


def _page(room, question):
    """Return the page of a room, from its lazy public names; None where it has none yet."""
    module = importlib.import_module(f"neurornn.{room}")
    names = sorted(getattr(module, "__all__", []))
    if not names:
        return None
    lines = [f"# {room}: {question.lower()}", "", (inspect.getdoc(module) or ""), ""]
    lines += ["```{eval-rst}", f".. currentmodule:: neurornn.{room}", "", ".. autosummary::", ""]
    lines += [f"   {name}" for name in names]
    for name in names:
        thing = getattr(module, name)
        lines += ["", f".. rubric:: {name}", ""]
        if inspect.isclass(thing):
            lines += [f".. autoclass:: {name}"]
            # Only what is ours: torch.nn.Module alone would bring eighty names.
            own = {
                member: value
                for base in reversed(thing.__mro__)
                if base.__module__.startswith("neurornn")
                for member, value in vars(base).items()
                if not member.startswith("_") and inspect.getdoc(value)
            }
            for member, value in own.items():
                if isinstance(value, property):
                    lines += ["", f"   .. autoproperty:: {name}.{member}"]
                elif inspect.isfunction(value) or isinstance(value, classmethod | staticmethod):
                    lines += ["", f"   .. automethod:: {name}.{member}"]
        elif callable(thing):
            lines += [f".. autofunction:: {name}"]
        else:
            lines += [f".. autodata:: {name}"]
    return "\n".join([*lines, "```", ""])


def write_api_pages(folder):
    """Write one page per room and the list of rooms, only where their content changed."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["| room | question | names |", "|---|---|---|"]
    rooms = []
    for room, question in ROOMS.items():
        text = _page(room, question)
        target = folder / f"{room}.md"
        if text is None:
            target.unlink(missing_ok=True)
            rows.append(f"| `{room}` | {question} | none yet |")
            continue
        rooms.append(room)
        n = len(importlib.import_module(f"neurornn.{room}").__all__)
        rows.append(f"| [`{room}`]({room}.md) | {question} | {n} |")
        if not target.exists() or target.read_text() != text:
            target.write_text(text)
    toc = ["```{toctree}", ":hidden:", "", *rooms, "```"]
    text = "\n".join(["# Rooms", "", *rows, "", *toc, ""])
    index = folder / "rooms.md"
    if not index.exists() or index.read_text() != text:
        index.write_text(text)


write_api_pages(Path(__file__).parent / "api" / "generated")

#: What NumPy's ArrayLike expands to; a reader wants its name.
ARRAY_LIKE = re.compile(r"[\w.~]*_Buffer \| .*?_NestedSequence\[complex \| bytes \| str\]")


def _shorten(app, what, name, obj, options, signature, returns):
    return signature and ARRAY_LIKE.sub("ArrayLike", signature), returns


def _from_here(app, docname, source):
    # docs/tutorials holds symbolic links to tutorials/: links in them start from there, and those
    # to them must not be followed to the file outside.
    if docname.startswith("tutorials/"):
        text = source[0].replace("](../docs/", "](../")
        source[0] = re.sub(r"\[([^\]]+)\]\((\d\d_\w+)\.md\)", r"{doc}`\1 <\2>`", text)


def setup(app):
    """Register what shortens the signatures and turns the links of the tutorials."""
    app.connect("autodoc-process-signature", _shorten)
    app.connect("source-read", _from_here)
