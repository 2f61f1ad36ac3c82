"""One shell of what is fitted: estimators and results declare, and the shell tells and saves.

A class says which tables it holds, what else it keeps, which papers it stands on, and what its
quantities are; save, load, the status, the report, the tables for a file and the methods text are
the same for all.
"""

import inspect
import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from neurornn._core.checks import check_choice
from neurornn._core.confidence import CI_BOUND
from neurornn._core.old_names import new_names, renamed, warn_renamed
from neurornn._core.quantities import Quantity
from neurornn._core.report import Reported, entries, parameter_names
from neurornn.io.saved import Saved, SavedContent


class Declaring:
    """Base of what declares the numbers that its table tells, each once, in ``_quantities``."""

    _quantities: ClassVar[tuple[Quantity, ...]] = ()

    @classmethod
    def quantity(cls, name: str) -> Quantity:
        """Return what is declared of a quantity.

        Parameters
        ----------
        name : of the quantity.

        Raises
        ------
        NameUnknownError
            None of that name is declared; the nearest is offered.
        """
        known = [q.name for q in cls._quantities]
        return cls._quantities[known.index(check_choice(name, "quantity", known))]


class Result(Declaring, Reported, Saved):
    """Base of what a function returns: a table of parameters, and how it was made.

    Parameters
    ----------
    parameters : the table.
    settings : plain values: how it was made.
    **tables : further tables, by the names in ``_tables`` of the class.

    Attributes
    ----------
    parameters, settings : as they were given.
    """

    #: Tables that it holds, and a file of it; the first is the one that is reported.
    _tables: ClassVar[Sequence[str]] = ("parameters",)
    #: The table that `to_dataset` gives.
    _whole: ClassVar[str] = "parameters"
    parameters: xr.Dataset
    settings: Mapping[str, Any]

    def __init__(
        self, parameters: xr.Dataset, settings: Mapping[str, Any], **tables: xr.Dataset
    ) -> None:
        self.parameters = parameters
        self.settings = dict(settings)
        for name in self._tables[1:]:
            setattr(self, name, tables[name])

    def to_dataset(self) -> xr.Dataset:
        """Return the table, with the settings in its attrs."""
        plain = {k: v for k, v in self.settings.items() if isinstance(v, str | int | float)}
        table: xr.Dataset = getattr(self, self._whole)
        return table.assign_attrs(plain)

    def to_csv(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the table of parameters to a CSV file, one row per unit, or per value.

        Parameters
        ----------
        path : of the file.
        overwrite : replace a file that is there.
        """
        _write_table(self.parameters, path, overwrite)

    def _to_saved(self) -> dict[str, Any]:
        return {
            "settings": self.settings,
            "tables": {name: getattr(self, name) for name in self._tables},
            "weights": None,
        }

    @classmethod
    def _from_saved(cls, content: SavedContent) -> Self:
        tables = {name: content.tables[name] for name in cls._tables}
        return cls(tables.pop("parameters"), content.settings, **tables)


class TableResult(Result):
    """Base of results with a status for every entry of the table that is reported."""

    @property
    def status(self) -> xr.DataArray:
        """Status of every entry of the table that is reported."""
        return self.parameters["status"]


class Estimator(Declaring, Reported, Saved, BaseEstimator):
    """Base of estimators after scikit-learn: settings in ``__init__``, learned values end in _.

    A subclass declares

    - ``_quantities``: the numbers that its table tells, each once;
    - ``_tables``: name in a file -> attribute that holds a Dataset;
    - ``_kept``: name in a file -> attribute that holds a plain value, or an array of numbers;
    - ``_papers``, ``_packages``: what the methods text cites;
    - ``_renamed``: old name of an argument -> its name today. Old names work for two releases.

    What is not kept but follows from the rest is made again in ``_after_load``.
    """

    #: The first is the table that is reported.
    _tables: ClassVar[Mapping[str, str]] = {"parameters": "parameters_"}
    _kept: ClassVar[Mapping[str, str]] = {}
    _renamed: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls._renamed and "__init__" in vars(cls):
            setattr(cls, "__init__", renamed(**cls._old_names())(cls.__init__))  # noqa: B010

    @classmethod
    def _old_names(cls) -> dict[str, str]:
        """Old name -> name today; a class that has an argument of the old name means its own."""
        own = inspect.signature(cls.__init__).parameters
        return {k: v for k, v in cls._renamed.items() if k not in own}

    def __getattr__(self, name: str) -> Any:
        """Setting by the name that it had."""
        today = type(self)._renamed.get(name)
        if today is None or today not in vars(self):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        warn_renamed(name, today, f"a {type(self).__name__}")
        return vars(self)[today]

    def set_params(self, **params: Any) -> Self:
        """Set arguments of ``__init__``, as in scikit-learn.

        Parameters
        ----------
        **params : name -> value.
        """
        found = new_names(params, self._old_names(), type(self).__name__)
        changed: Self = super().set_params(**found)
        return changed

    @property
    def status_(self) -> xr.DataArray:
        """Status of every entry of the table."""
        return self._parameters_dataset()["status"]

    def to_csv(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the reported table to a CSV file, one row per unit, or per value.

        Parameters
        ----------
        path : of the file.
        overwrite : replace a file that is there.
        """
        _write_table(self._parameters_dataset(), path, overwrite)

    def report(self) -> str:
        """Return the table of parameters with intervals and remedies as text.

        Raises
        ------
        NotFittedError
        """
        check_is_fitted(self, self._main_table())
        return super().report()

    def methods_text(self) -> str:
        """Return a sentence for the methods section, with versions and the papers to cite.

        Raises
        ------
        NotFittedError
        """
        check_is_fitted(self, self._main_table())
        return super().methods_text()

    def _main_table(self) -> str:
        return next(iter(self._tables.values()))

    def _parameters_dataset(self) -> xr.Dataset:
        check_is_fitted(self, self._main_table())
        table: xr.Dataset = getattr(self, self._main_table())
        return table

    def _settings_to_save(self) -> dict[str, Any]:
        """Arguments of ``__init__`` as they are saved."""
        return dict(self.get_params(deep=False))

    def _to_saved(self) -> dict[str, Any]:
        check_is_fitted(self, self._main_table())
        kept = {name: getattr(self, attribute) for name, attribute in self._kept.items()}
        return {
            "settings": {"init": self._settings_to_save(), **kept},
            "tables": {name: getattr(self, where) for name, where in self._tables.items()},
            "weights": None,
        }

    @classmethod
    def _from_saved(cls, content: SavedContent) -> Self:
        # A file of an older version has the names of its time.
        old = cls._old_names()
        given = {old.get(k, k): v for k, v in content.settings["init"].items()}
        usual = cls().get_params(deep=False) if _has_defaults(cls) else {}
        for name, value in given.items():
            # JSON knows lists alone.
            if isinstance(value, list) and isinstance(usual.get(name), tuple):
                given[name] = tuple(value)
        self = cls(**given)
        for name, where in cls._tables.items():
            setattr(self, where, content.tables[name])
        for name, where in cls._kept.items():
            value = content.settings[name]
            setattr(self, where, np.asarray(value) if isinstance(value, list) else value)
        self._after_load(content)
        return self

    def _after_load(self, content: SavedContent) -> None:
        """Make again what is not kept in a file."""


def keep_names(estimator: Any, labels: Any) -> None:
    """Set ``feature_names_in_`` as scikit-learn does: where all labels are text, and else not."""
    names = [] if labels is None else np.asarray(labels).tolist()
    if names and all(isinstance(n, str) for n in names):
        estimator.feature_names_in_ = np.array(names, dtype=object)
    elif hasattr(estimator, "feature_names_in_"):
        del estimator.feature_names_in_


def _has_defaults(cls: type[BaseEstimator]) -> bool:
    """Whether a class can be made without an argument."""
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    return all(
        p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters
    )


def _write_table(table: xr.Dataset, path: str | os.PathLike[str], overwrite: bool) -> None:
    from neurornn.io.delimited import write_csv

    flat = table.drop_dims(["parameter", "parameter_"], errors="ignore")
    dims = {d for v in flat.data_vars.values() for d in v.dims} - {CI_BOUND}
    write_csv(flat if len(dims) < 2 else tidy(flat), path, overwrite=overwrite)


def tidy(table: xr.Dataset) -> xr.Dataset:
    """Return a table as rows, one for each value of each quantity, whatever its axes are.

    Parameters
    ----------
    table : of parameters, each quantity beside its interval.

    Returns
    -------
    Dataset over ``row``: ``quantity``, ``of`` (labels of the axes), ``value``, ``lower``,
    ``upper``, ``units``, and ``status``, empty where a quantity has none.
    """
    columns: dict[str, list[Any]] = {
        k: [] for k in ("quantity", "of", "value", "lower", "upper", "units", "status")
    }
    for name, of, where in entries(table, parameter_names(table)):
        values = table[name]
        judged = "status" in table and table["status"].dims == values.dims
        row = (
            name, of, values.values[where], *table[f"{name}_ci"].values[where],
            values.attrs.get("units", "1"),
            str(table["status"].values[where]) if judged else "",
        )  # fmt: skip
        for column, value in zip(columns.values(), row, strict=True):
            column.append(value)
    return xr.Dataset({k: ("row", np.array(v)) for k, v in columns.items()})
