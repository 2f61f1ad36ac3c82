"""Models of a population in several sessions, each with units of its own."""

import copy
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from neurornn._core.checks import check_choice
from neurornn._core.confidence import CI_BOUND
from neurornn._core.errors import DataError, KindError
from neurornn._core.jobs import one_thread
from neurornn.spikes.population import Population, PopulationAccount, take_population

Array = NDArray[np.float64]

#: What the one session is called where no name came.
ONE = "session"


class SessionAccount(PopulationAccount):
    """Base of models of what populations do in several sessions, and how sure of it they are.

    A subclass keeps ``session_units_``, labels of the units by session, and ``sessions_``, and
    gives `_tell`.
    """

    confidence_level: float
    session_units_: dict[str, list[Any]]
    #: Names of the sessions, empty where counts came without.
    sessions_: list[str]

    def _tell(self, population: Population, confidence_level: float | None) -> Any:
        """Tell ``counts (row, unit)`` per bin and ``factors``, ``interval (row, unit, 2)``."""
        raise NotImplementedError

    def _infer(self, population: Population) -> tuple[Array, Array]:
        told = self._tell(population, None)
        return told.counts / self.fitted_bin_size_, told.factors

    def _take_all(self, given: Mapping[str, Any]) -> dict[str, Population]:
        found: dict[str, Population] = {}
        width = self.bin_size
        for name, counts in given.items():
            found[name] = take_population(counts, width)
            # The first one says for all: another size is refused there.
            width = found[name].bin_size
        return found

    def _session(self) -> int:
        """Number of the session at hand."""
        name = getattr(self, "_session_name", None)
        return 0 if name is None else list(self.session_units_).index(name)

    def _of_session(self, values: xr.DataArray) -> Array:
        """Values (unit,) of the table that are of the session at hand."""
        sizes = [len(u) for u in self.session_units_.values()]
        first = sum(sizes[: self._session()])
        return np.asarray(values.values[first : first + sizes[self._session()]])

    def _in(self, session: str | None) -> Self:
        """Give this model as that of one session."""
        check_is_fitted(self, "parameters_")
        known = self.sessions_
        if session is None and len(known) > 1:
            raise DataError(
                f"The model was fitted to {len(known)} sessions and none was named",
                f"One of {', '.join(map(repr, known[:5]))} was needed",
                f"Pass session={known[0]!r}",
            )
        if session is None or not known:
            if session is not None:
                raise DataError(
                    f"session={session!r} came to a model of counts without a session",
                    "No session was needed", "Leave it out, or fit a dict of counts by session",
                )  # fmt: skip
            return self
        check_choice(session, "session", known)
        one = copy.copy(self)
        one._session_name = session
        one.units_ = np.asarray(self.session_units_[session])
        return one

    def rates(self, X: Any, *, session: str | None = None, return_interval: bool = False) -> Any:
        """Return the rates of all units of the fit, given all that was observed.

        Parameters
        ----------
        X : counts or spikes as for `fit`, of one session; a unit that is left out, or NaN
            throughout, is told from the others.
        session : its name, for a model of several sessions.
        return_interval : return a Dataset with an interval beside each rate.

        Returns
        -------
        DataArray (time, unit) or (trial, time, unit), Hz; a list of them for a list of trials.
        With `return_interval` Datasets with ``rate`` and ``rate_ci``: where the rate of this trial
        lies by the posterior, the weights being as they are.

        Raises
        ------
        NotFittedError, DataError, ShapeError, NameUnknownError
            Other bins or units than those of the fit; no session, or an unknown one.
        """
        one = self._in(session)
        if not return_interval:
            return super(SessionAccount, one).rates(X)
        population = one._taken(X)
        with one_thread():
            told = one._tell(population, self.confidence_level)
        about = {"units": "Hz", "long_name": "rate given the population"}
        parts = [
            population.give_back(
                values / self.fitted_bin_size_, "unit", one.units_, "rate", about
            )
            for values in (told.counts, told.interval[..., 0], told.interval[..., 1])
        ]  # fmt: skip
        if isinstance(parts[0], list):
            return [self._with_interval(*three) for three in zip(*parts, strict=True)]
        return self._with_interval(*parts)

    def _with_interval(
        self, rate: xr.DataArray, lower: xr.DataArray, upper: xr.DataArray
    ) -> xr.Dataset:
        bounds = xr.concat([lower, upper], xr.Variable(CI_BOUND, ["lower", "upper"]))
        about = {
            "ci_kind": "credible", "ci_prob": float(self.confidence_level),
            "method": "quantiles of draws from the posterior of the encoder",
        }  # fmt: skip
        bounds = bounds.transpose(*rate.dims, CI_BOUND).assign_attrs(**rate.attrs, **about)
        return xr.Dataset({"rate": rate, "rate_ci": bounds})

    def latents(self, X: Any, *, session: str | None = None) -> Any:
        """Return the factors from which the log rates are read.

        Parameters
        ----------
        X : counts or spikes as for `fit`, of one session.
        session : its name, for a model of several sessions.

        Returns
        -------
        DataArray (time, latent) or (trial, time, latent); a list of them for a list of trials.

        Raises
        ------
        NotFittedError, DataError, ShapeError, NameUnknownError
            Other bins or units than those of the fit; no session, or an unknown one.
        """
        return super(SessionAccount, self._in(session)).latents(X)


def are_sessions(X: Any) -> bool:
    """Whether X is a dict of counts by session; a dict of spike trains by unit is none."""
    if not isinstance(X, dict) or not X:
        return False
    found = [not isinstance(v, list | tuple) and np.ndim(v) == 1 for v in X.values()]
    if any(found) or all(isinstance(v, list | tuple) and _flat(v) for v in X.values()):
        return False
    strange = [k for k in X if not isinstance(k, str)]
    if strange:
        raise KindError(
            f"A session is named {strange[0]!r}, a {type(strange[0]).__name__}",
            "Names of sessions as text were needed", f"Pass {{{str(strange[0])!r}: counts, ...}}",
        )  # fmt: skip
    return True


def _flat(values: Any) -> bool:
    return all(np.ndim(v) == 0 for v in values)


def joined_labels(labels: list[Any]) -> NDArray[Any]:
    """Labels of all sessions in one array: text where they are of two kinds."""
    found = [np.asarray(x) for x in labels]
    kinds = {x.dtype.kind for x in found}
    return np.concatenate([x.astype(str) for x in found] if len(kinds) > 1 else found)
