"""One printer for every result: text, HTML, LaTeX row, methods sentence."""

import html
import importlib.metadata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
import xarray as xr

from neurornn._core.papers import cited
from neurornn._core.status import Status, remedies_of
from neurornn._core.units import format_number, format_quantity

#: Rows a table shows before it is cut in the middle.
MAX_ROWS = 40
#: Values along another axis than the table's that are listed below it.
MAX_ASIDE = 8


@dataclass(frozen=True, kw_only=True)
class Table:
    """A titled table with notes below it, printed the same way wherever it appears."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    head: Sequence[str] = field(default_factory=tuple)
    notes: Sequence[str] = field(default_factory=tuple)

    def to_text(self) -> str:
        """Plain text with aligned columns."""
        rows = _shorten(self.rows)
        widths = [
            max(len(str(r[i])) for r in [self.columns, *rows]) for i in range(len(self.columns))
        ]
        line = "  ".join("-" * w for w in widths)

        def join(row: Sequence[str]) -> str:
            return "  ".join(str(c).ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()

        body = [join(self.columns), line, *map(join, rows)] if self.columns else []
        return "\n".join(
            [self.title, *self.head, "", *body, *([""] if self.notes else []), *self.notes]
        )

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        return self.to_html()

    def to_html(self) -> str:
        """The same as an HTML fragment."""
        cells = "".join(f"<th>{html.escape(str(c))}</th>" for c in self.columns)
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(str(c))}</td>" for c in r) + "</tr>"
            for r in _shorten(self.rows)
        )
        head = "".join(f"<div>{html.escape(h)}</div>" for h in self.head)
        notes = "".join(f"<div><small>{html.escape(n)}</small></div>" for n in self.notes)
        return (
            f"<div><b>{html.escape(self.title)}</b>{head}<table><thead><tr>{cells}</tr></thead>"
            f"<tbody>{rows}</tbody></table>{notes}</div>"
        )


def _shorten(rows: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    if len(rows) <= MAX_ROWS:
        return list(rows)
    half = MAX_ROWS // 2
    gap = [f"... {len(rows) - 2 * half} more"] + [""] * (len(rows[0]) - 1)
    return [*rows[:half], gap, *rows[-half:]]


def parameter_names(parameters: xr.Dataset) -> list[str]:
    """Names of the quantities in a table of parameters: those that have a ``_ci`` beside them."""
    return [str(n) for n in parameters.data_vars if f"{n}_ci" in parameters.data_vars]


def parameters_table(
    parameters: xr.Dataset,
    title: str,
    *,
    head: Sequence[str] = (),
    notes: Sequence[str] = (),
    extra: xr.Dataset | None = None,
) -> Table:
    """Lay out a table of parameters: one row per unit, one column per quantity.

    Parameters
    ----------
    parameters : the table of a result.
    extra : more variables on the same dims, printed as columns of their own (a truth, say).
    """
    names = parameter_names(parameters)
    dims = parameters[names[0]].dims if names else ()
    aside: list[str] = []
    if len(dims) > 1:
        columns, rows = _long_rows(parameters, names)
    else:
        main = [n for n in names if parameters[n].dims == dims]
        others = [n for n in names if n not in main]
        columns, rows = _wide_rows(parameters, main, dims, extra)
        # What lies along another axis (the noise of an output, say) stands below the table.
        aside = [
            f"{n}, {of}: {value}" if of else f"{n}: {value}"
            for n, of, value in _long_rows(parameters, others)[1]
        ]
        if len(aside) > MAX_ASIDE:
            aside = [*aside[:MAX_ASIDE], f"... {len(aside) - MAX_ASIDE} more"]
    told = []
    if "status" in parameters:
        told = [f"{code}: {text}" for code, text in remedies_of(parameters["status"]).items()]
    missing: dict[str, list[str]] = {}
    for n in names:
        reason = str(parameters[f"{n}_ci"].attrs.get("reason", ""))
        if reason and np.isnan(parameters[f"{n}_ci"].values).any():
            missing.setdefault(reason, []).append(n)
    reasons = [f"no interval of {', '.join(of)}: {why}" for why, of in missing.items()]
    reasons = [*aside, *reasons]
    return Table(
        title=title, columns=columns, rows=rows, head=[*head, *told], notes=[*reasons, *notes]
    )


def _wide_rows(
    parameters: xr.Dataset, names: list[str], dims: tuple[Any, ...], extra: xr.Dataset | None
) -> tuple[list[str], list[list[str]]]:
    index = [str(d) for d in dims]
    columns = index + [_heading(parameters[n]) for n in names]
    others = [] if extra is None else [str(n) for n in extra.data_vars]
    columns += [] if extra is None else [_heading(extra[n]) for n in others]
    with_status = "status" in parameters and parameters["status"].dims == dims
    columns += ["status"] if with_status else []
    rows = []
    for k in range(parameters.sizes[dims[0]] if dims else 1):
        pick = {dims[0]: k} if dims else {}
        row = [str(_label(parameters, dims[0], k))] if dims else []
        for n in names:
            low, high = parameters[f"{n}_ci"].isel(pick).values
            row.append(format_quantity(float(parameters[n].isel(pick)), "1", low, high))
        row += [] if extra is None else [format_number(float(extra[n].isel(pick))) for n in others]
        row += [str(parameters["status"].isel(pick).values)] if with_status else []
        rows.append(row)
    return columns, rows


def _long_rows(parameters: xr.Dataset, names: list[str]) -> tuple[list[str], list[list[str]]]:
    rows = []
    for n, label, where in entries(parameters, names):
        unit = str(parameters[n].attrs.get("units", "1"))
        low, high = parameters[f"{n}_ci"].values[where]
        text = format_quantity(float(parameters[n].values[where]), unit, low, high)
        rows.append([n, label, text])
    return ["parameter", "of", "value [interval]"], rows


def entries(
    parameters: xr.Dataset, names: Iterable[str]
) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Every value of some quantities: its quantity, the labels of its axes, its position."""
    for n in names:
        dims = parameters[n].dims
        for where in np.ndindex(parameters[n].shape):
            of = (f"{d} {_label(parameters, d, i)}" for d, i in zip(dims, where, strict=True))
            yield n, ", ".join(of), where


def _label(table: xr.Dataset, dim: Any, k: int) -> Any:
    return table[dim].values[k] if dim in table.coords else k


def _heading(variable: xr.DataArray) -> str:
    unit = str(variable.attrs.get("units", "1"))
    return f"{variable.name} ({unit})" if unit not in ("1", "") else str(variable.name)


def latex_row(name: str, value: float, lower: float, upper: float, unit: str, remark: str) -> str:
    r"""One row of a LaTeX table: name, value, interval or ``--``, unit, and a comment.

    Examples
    --------
    >>> print(latex_row("tau_decay", 0.5, 0.4, 0.7, "s", "interval"))
    tau\_decay & 0.500 & [0.400, 0.700] & s \\ % interval
    """
    known = not (np.isnan(lower) or np.isnan(upper))
    span = f"[{format_number(lower)}, {format_number(upper)}]" if known else "--"
    for sign in "_%&#":
        name = name.replace(sign, rf"\{sign}")
    return rf"{name} & {format_number(value)} & {span} & {unit} \\ % {remark}"


def versions(*packages: str) -> dict[str, str]:
    """Versions of the packages named, and of neurornn itself."""
    found = {}
    for name in ("neurornn", *packages):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found


class Reported:
    """What every estimator and result can say about itself.

    A class that mixes this in has ``_report_table() -> Table``, a table of parameters under
    ``parameters_`` or ``parameters``, and may define ``_methods_sentence`` and ``_citations``.
    """

    def _report_table(self) -> Table:
        table = self._parameters_dataset()
        return parameters_table(table, type(self).__name__)

    def _parameters_dataset(self) -> xr.Dataset:
        table = getattr(self, "parameters_", None)
        return getattr(self, "parameters") if table is None else table  # noqa: B009

    def report(self) -> str:
        """Return the table of parameters with intervals and remedies as text.

        Returns
        -------
        str : bad convergence first, then one row per unit, then why an interval is missing.
        """
        return self._report_table().to_text()

    def _repr_html_(self) -> str:
        try:
            return self._report_table().to_html()
        except (AttributeError, KeyError):
            return f"<pre>{html.escape(repr(self))}</pre>"

    def to_latex(self) -> str:
        """Return one LaTeX row per quantity: name, median over units, interval, unit.

        For a table with one unit the interval is that of the value; for several it is the
        interquartile range over the units whose status is ok, and says so.
        """
        table = self._parameters_dataset()
        lines = []
        for n in parameter_names(table):
            values = np.atleast_1d(table[n].values).ravel()
            bounds = table[f"{n}_ci"].values.reshape(-1, 2)
            if "status" in table and table["status"].dims == table[n].dims:
                ok = np.atleast_1d(table["status"].values).ravel() == str(Status.OK)
                values, bounds = values[ok], bounds[ok]
            finite = np.isfinite(values)
            values, bounds = values[finite], bounds[finite]
            if not len(values):
                continue
            if len(values) == 1:
                middle, kind = values[0], "interval"
                low, high = bounds[0]
            else:
                low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
                kind = f"quartiles of {len(values)}"
            unit = str(table[n].attrs.get("units", "1"))
            lines.append(latex_row(n, middle, low, high, unit, kind))
        return "\n".join(lines)

    #: Keys of `papers.PAPERS`, or how a paper is cited.
    _papers: ClassVar[tuple[str, ...]] = ()
    #: Packages whose versions the methods text states.
    _packages: ClassVar[tuple[str, ...]] = ("numpy", "scipy")

    def _methods_sentence(self) -> str:
        return f"{type(self).__name__} was fitted"

    def _papers_used(self) -> Sequence[str]:
        """Papers of this object, where they depend on how it was made."""
        return self._papers

    def _citations(self) -> list[str]:
        return cited(self._papers_used())

    def methods_text(self) -> str:
        """Return a sentence for the methods section, with versions and the papers to cite."""
        used = versions(*self._packages)
        text = f"{self._methods_sentence().rstrip('.')} (" + ", ".join(
            f"{k} {v}" for k, v in used.items()
        )
        found = self._citations()
        return text + ")." + (" Methods: " + "; ".join(found) + "." if found else "")


class _Cites(Protocol):
    """Whatever says which papers it stands on."""

    def _citations(self) -> list[str]: ...


def cite(result: _Cites) -> str:
    """Return the papers behind the methods that a result used, one per line.

    Parameters
    ----------
    result : any estimator or result of this package.
    """
    own = "neurornn " + versions()["neurornn"]
    return "\n".join([own, *result._citations()])
