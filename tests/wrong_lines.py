"""Every small change of a file that may be a wrong line, for `python -m tests.mutation`.

A change is a field of a node of the syntax tree and what it is replaced by. Nothing is drawn that
no test could notice, or that only changes words: docstrings, annotations, decorators, imports,
assertions, messages of errors and warnings, ``__repr__``, ``__all__``, and what `SILENT` names.
"""

import ast
from collections.abc import Iterator
from typing import Any, NamedTuple

BOUNDARY = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
REVERSE = {
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Div, ast.Mod: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
OTHER_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
#: Keywords whose values change nothing that is told: how a mark looks; what `zip` checks of us;
#: whose line a warning names; whether numpy copies; what is done with infinities.
SILENT = {
    "strict", "stacklevel", "copy", "lw", "ms", "alpha", "zorder", "fontsize", "frameon", "color",
    "figsize", "rotation", "ls", "bbox_to_anchor", "loc", "cmap", "layout", "ec", "fc", "hatch",
    "dpi", "va", "ha", "invalid", "divide", "over", "repr", "linewidths", "size", "s", "aspect",
}  # fmt: skip
#: Calls whose arguments are words, warnings that are put off, classes, where ticks stand, or a
#: seed, for which another is as good.
WORDS = {
    "warn", "filterwarnings", "simplefilter", "errstate", "getLogger", "nearest", "TypeVar",
    "debug", "info", "new_axes", "isinstance", "set_visible", "tight_layout", "ljust",
    "LogLocator", "MaxNLocator", "derived_seed",
}  # fmt: skip
#: Calls to which the order of two arguments is the same; of a fingerprint it only matters that it
#: is the same one every time.
EITHER_WAY = {
    "min", "max", "minimum", "maximum", "array_equal", "logical_and", "logical_or", "suppress",
    "fingerprint",
}  # fmt: skip
#: A dict with one of these holds attributes of a table.
ATTRS = {"units", "long_name", "method", "reason", "ci_prob"}
#: Names for how marks look.
LOOKS = {"dot", "line", "steps", "crowded", "narrow", "dark"}
UNSEEN = {"__repr__", "__all__", "_repr_html_", "__dir__", "__getattr__", "__sklearn_tags__"}


class Change(NamedTuple):
    """One wrong line: `field` of `node` becomes `new`.

    Attributes
    ----------
    kind : of change.
    node, field, new : where, and what is put there.
    lines : first and last line that must run for it to matter.
    inner, outer : the part that is changed, and the statement around it.
    scope : function whose body uses it, where it is run at import; None where the whole file may.
    at_import : whether it runs when the file is imported.
    """

    kind: str
    node: ast.AST
    field: str
    new: Any
    inner: ast.AST
    outer: ast.stmt
    scope: ast.AST | None
    at_import: bool


def _called(node: ast.AST) -> str:
    function = getattr(node, "func", None)
    return str(getattr(function, "attr", getattr(function, "id", "")))


def _is_text(node: ast.AST) -> bool:
    text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return text or isinstance(node, ast.JoinedStr | ast.List | ast.Tuple | ast.ListComp)


def _is_rounding(node: ast.AST) -> bool:
    """A factor on what is left for rounding errors, or a number that is that itself."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, float) and 0 < node.value <= 1e-6
    sides = (node.left, node.right) if isinstance(node, ast.BinOp) else ()
    names = [getattr(side, "id", "") for side in sides]
    slack = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult)
    return any(map(_is_rounding, sides)) or (slack and any("SLACK" in n for n in names))


def _swapped(items: list[Any], k: int, new: Any) -> list[Any]:
    return [*items[:k], new, *items[k + 1 :]]


def _renamed(key: ast.AST) -> Any:
    if isinstance(key, ast.Constant) and isinstance(key.value, str):
        return ast.Constant(key.value + "_")
    return None


def _of_node(node: Any) -> Iterator[tuple[str, str, Any]]:
    """Changes of one node: (kind, field, what is put there)."""
    match node:
        case ast.Compare():
            for k, op in enumerate(node.ops):
                for kind, table in (("boundary", BOUNDARY), ("comparison", REVERSE)):
                    if type(op) in table:
                        yield kind, "ops", _swapped(node.ops, k, table[type(op)]())
        case ast.BinOp() | ast.AugAssign() if type(node.op) in ARITHMETIC:
            sides = [getattr(node, n, None) for n in ("left", "right", "value")]
            if not any(_is_text(s) for s in sides if s is not None):
                yield "arithmetic", "op", ARITHMETIC[type(node.op)]()
        case ast.UnaryOp(op=ast.USub()):
            yield "sign", "op", ast.UAdd()
        case ast.UnaryOp(op=ast.Invert() as op):
            yield "negation", "operand", ast.UnaryOp(op, node.operand)
        case ast.BoolOp():
            yield "logic", "op", ast.And() if isinstance(node.op, ast.Or) else ast.Or()
        case ast.Constant(value=bool()):
            yield "boolean", "value", not node.value
        case ast.Constant(value=int() | float()):
            yield "number", "value", {0: 1, 1: 0}.get(node.value, node.value + 1)
        case ast.If() | ast.While() | ast.IfExp():
            test = node.test
            if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
                yield "condition", "test", test.operand
            elif not (isinstance(test, ast.Compare) and len(test.ops) == 1):
                yield "condition", "test", ast.UnaryOp(ast.Not(), test)
        case ast.comprehension(ifs=[test, *_]):
            yield "condition", "ifs", _swapped(node.ifs, 0, ast.UnaryOp(ast.Not(), test))
        case ast.Call():
            positional = node.args[:2]
            name = _called(node)
            plain = not any(isinstance(a, ast.Starred) for a in positional)
            if plain and name not in EITHER_WAY and len({ast.unparse(a) for a in positional}) == 2:
                yield "arguments", "args", [*positional[::-1], *node.args[2:]]
            if name in OTHER_NAMES:
                new = OTHER_NAMES[name]
                function = (
                    ast.Attribute(node.func.value, new, ast.Load())
                    if isinstance(node.func, ast.Attribute)
                    else ast.Name(new, ast.Load())
                )
                yield "function", "func", function
            of = getattr(getattr(node.func, "value", None), "attr", "")
            if name == "get" and of == "attrs" and (key := _renamed(node.args[0])):
                yield "key", "args", [key, *node.args[1:]]
        case ast.Return(value=value) if value is not None:
            if not (isinstance(value, ast.Constant) and value.value is None):
                yield "return", "value", ast.Constant(None)
        case ast.Subscript():
            k = node.slice.operand if isinstance(node.slice, ast.UnaryOp) else node.slice
            if isinstance(k, ast.Constant) and isinstance(k.value, int) and k.value:
                yield "index", "slice", ast.Constant(0)
            if getattr(node.value, "attr", "") == "attrs" and (key := _renamed(node.slice)):
                yield "key", "slice", key
        case ast.Slice():
            for field in ("lower", "upper", "step"):
                if getattr(node, field) is not None:
                    yield "slice", field, None
        case ast.Dict() if {getattr(k, "value", "") for k in node.keys} & ATTRS:
            for k, name in enumerate(node.keys):
                if name is not None and (key := _renamed(name)):
                    yield "key", "keys", _swapped(node.keys, k, key)


def _deletions(node: Any, known: set[str]) -> Iterator[tuple[str, list[Any], ast.stmt]]:
    """Statements of the bodies of a node that may be left out: (field, body without, statement).

    A name that is given for the first time is left alone: without it everything breaks.
    """
    for field in ("body", "orelse", "finalbody"):
        body = getattr(node, field, None)
        for k, s in enumerate(body if isinstance(body, list) else []):
            plain = isinstance(s, ast.Raise | ast.AugAssign | ast.Continue | ast.Break)
            call = isinstance(s, ast.Expr) and isinstance(s.value, ast.Call)
            again = isinstance(s, ast.Assign) and all(
                isinstance(t, ast.Attribute | ast.Subscript)
                or (isinstance(t, ast.Name) and t.id in known)
                for t in s.targets
            )
            if plain or call or again:
                yield field, _swapped(body, k, ast.copy_location(ast.Pass(), s)), s
            if isinstance(s, ast.Assign):
                known |= {t.id for t in s.targets if isinstance(t, ast.Name)}


def changes(tree: ast.Module) -> Iterator[Change]:
    """All changes of a file, in the order of its lines."""
    yield from _inside(tree, None, None, True, set())


def _inside(
    node: Any, outer: ast.stmt | None, scope: ast.AST | None, at_import: bool, known: set[str]
) -> Iterator[Change]:
    name = getattr(node, "name", "")
    if name in UNSEEN or isinstance(node, ast.Assert | ast.Raise | ast.Import | ast.ImportFrom):
        return
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    if isinstance(node, ast.Assign):
        names = {n.id for n in ast.walk(node.targets[0]) if isinstance(n, ast.Name)}
        # A type variable is for the type checker alone.
        if names & (UNSEEN | LOOKS) or _called(node.value) == "TypeVar":
            return
    if isinstance(node, ast.If) and "sys.platform" in ast.unparse(node.test):
        # Another system is not to be had here.
        return
    if (isinstance(node, ast.keyword) and node.arg in SILENT) or _is_rounding(node):
        return
    if isinstance(node, ast.stmt):
        outer = node
    if isinstance(node, ast.FunctionDef | ast.Lambda):
        # Defaults are read at import and matter where the function is run.
        for default in [*node.args.defaults, *filter(None, node.args.kw_defaults)]:
            yield from _inside(default, outer, node, True, known)
        scope, at_import = node, False
        known = {a.arg for a in ast.walk(node.args) if isinstance(a, ast.arg)}
    elif outer is not None:
        for kind, field, new in _of_node(node):
            inner = getattr(node, field)
            whole = isinstance(inner, list) or not hasattr(inner, "lineno")
            inner = (node if hasattr(node, "lineno") else outer) if whole else inner
            yield Change(kind, node, field, new, inner, outer, scope, at_import)
    for field, body, statement in _deletions(node, known):
        yield Change("deletion", node, field, body, statement, statement, scope, at_import)
    silent = {"annotation", "returns", "decorator_list", "args", "bases", "ctx", "op", "ops"}
    if isinstance(node, ast.Call):
        if _called(node) in WORDS or _called(node).endswith(("Error", "Warning")):
            return
        silent = {"func"} if isinstance(node.func, ast.Name) else set()
    for field, value in ast.iter_fields(node):
        if field in silent:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _inside(child, outer, scope, at_import, known)


def written(tree: ast.Module, change: Change) -> tuple[str, str, str]:
    """The file with a change in it, and the changed line before and after."""
    before = ast.unparse(tree).splitlines()
    old = getattr(change.node, change.field)
    setattr(change.node, change.field, change.new)
    ast.fix_missing_locations(tree)
    text = ast.unparse(tree)
    setattr(change.node, change.field, old)
    after = text.splitlines()
    k = next(k for k in range(len(before)) if before[k : k + 1] != after[k : k + 1])
    was, now = before[k].strip(), after[k].strip() if k < len(after) else ""
    start = max(0, next((j for j, (a, b) in enumerate(zip(was, now)) if a != b), 0) - 60)  # noqa: B905
    return text, was[start : start + 140], now[start : start + 140]
