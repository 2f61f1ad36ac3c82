"""Every argument of every public name stands in its docstring."""

import inspect
import re

import pytest

import neurornn as nr

ROOMS = (
    "calcium", "compare", "data", "decode", "io", "models", "plot", "simulate", "training",
)  # fmt: skip
#: Arguments that scikit-learn's interface asks for, and that do nothing.
IGNORED = {"y"}


def public():
    """Name and thing of every function, class, and public method of a class of the rooms."""
    for room in ROOMS:
        module = getattr(nr, room)
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isfunction(thing):
                yield f"{room}.{name}", thing, inspect.getdoc(thing)
            elif inspect.isclass(thing) and thing.__module__.startswith("neurornn"):
                yield f"{room}.{name}", thing, inspect.getdoc(thing)
                for part, method in vars(thing).items():
                    if inspect.isfunction(method) and not part.startswith("_"):
                        # An override is described where its method is.
                        docs = [inspect.getdoc(vars(c)[part]) for c in thing.__mro__
                                if part in vars(c)]  # fmt: skip
                        yield f"{room}.{name}.{part}", method, "\n".join(d or "" for d in docs)


def arguments_of(thing):
    """Names of the arguments that a user passes."""
    call = thing.__init__ if inspect.isclass(thing) else thing
    if inspect.isclass(thing) and "__init__" not in vars(thing):
        return []
    found = inspect.signature(call).parameters.values()
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in found if p.name not in ("self", "cls") and p.kind not in kinds]


@pytest.mark.parametrize(
    ("thing", "said"), [pytest.param(t, d, id=n) for n, t, d in public()]
)  # fmt: skip
def test_every_argument_is_described(thing, said):
    said = said or ""
    if "the arguments are ignored" in said:
        return
    # "As for `WienerFilter`", "those of `WienerFilter`": what stands there counts.
    for name in re.findall(r"(?:[Aa]s for|[Aa]s in|those of) `(\w+)`", said):
        for room in ROOMS:
            if name in getattr(nr, room).__all__:
                said += inspect.getdoc(getattr(getattr(nr, room), name)) or ""
    missing = [
        name
        for name in arguments_of(thing)
        if name not in IGNORED and not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", said)
    ]
    assert not missing, f"no word about {', '.join(missing)}"
