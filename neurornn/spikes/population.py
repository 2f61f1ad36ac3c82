"""What all models of a population share: counts in, rates and latents out in the same form."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from neurornn._core.checks import check_bin_size
from neurornn._core.errors import DataError
from neurornn._core.jobs import one_thread
from neurornn.data.binning import bin_spikes
from neurornn.data.foreign import is_trains
from neurornn.data.labelled import as_labelled
from neurornn.data.rows import is_list_of_trials
from neurornn.data.samples import Samples
from neurornn.io.shell import Estimator, keep_names
from neurornn.spikes.binned import count_rows

Array = NDArray[np.float64]


class Population(NamedTuple):
    """Counts of a population as rows, and the form that they came in.

    Attributes
    ----------
    samples : values are counts (row, unit), NaN where none was observed.
    unit : (unit,), labels.
    bin_size : s.
    named : whether units came with labels.
    given : what came, or the counts of what came; `give_back` returns results in its form.
    """

    samples: Samples
    unit: NDArray[Any]
    bin_size: float
    named: bool
    given: Any

    @property
    def counts(self) -> Array:
        """Counts, (row, unit), NaN where none was observed and where a mask leaves the row out."""
        rows = self.samples
        if rows.mask is None:
            return rows.values
        return np.where(rows.mask[:, None], rows.values, np.nan)

    @property
    def edges(self) -> NDArray[np.int64]:
        """First row of each gapless run, and the number of rows, (run + 1,)."""
        return np.append(self.samples.blocks[:, 0], self.samples.n_rows)

    def name(self, estimator: Any) -> None:
        """Leave with an estimator what it was fitted on: units, bins, features."""
        estimator.units_ = self.unit
        estimator.n_features_in_ = len(self.unit)
        estimator.fitted_bin_size_ = float(self.bin_size)
        keep_names(estimator, self.unit if self.named else None)

    @property
    def trials(self) -> list[slice]:
        """Rows of each gapless run."""
        return self.samples.stretches

    def give_back(
        self, values: Array, dim: str, labels: Sequence[Any] | NDArray[Any], name: str,
        attrs: dict[str, Any],
    ) -> Any:  # fmt: skip
        """Return (row, thing) in the form of what came: DataArray, or a list of one per trial."""
        given = self.given
        if isinstance(given, list):
            lengths = [len(trial) for trial in given]
            parts = np.split(values, np.cumsum(lengths)[:-1])
            return [
                self._labelled(part, one, dim, labels, name, attrs)
                for part, one in zip(parts, given, strict=True)
            ]
        return self._labelled(values, given, dim, labels, name, attrs)

    def _labelled(
        self, values: Array, like: Any, dim: str, labels: Any, name: str, attrs: dict[str, Any]
    ) -> xr.DataArray:
        shape = np.shape(like)
        about = attrs | {"bin_size": self.bin_size}
        if len(shape) == 3:
            values = values.reshape(*shape[:2], -1)
        dims = ("trial", "time", dim)[-values.ndim :]
        if not isinstance(like, xr.DataArray):
            time = self.bin_size * np.arange(1.0, values.shape[-2] + 1)
            coords: dict[str, Any] = {"time": ("time", time, {"units": "s"})}
        else:
            coords = {
                str(k): v for k, v in like.coords.items()
                if set(map(str, v.dims)) <= set(dims[:-1])
            }  # fmt: skip
        return xr.DataArray(
            values, dims=dims, coords=coords | {dim: np.asarray(labels)}, name=name, attrs=about
        )


def take_population(X: Any, bin_size: float | None = None) -> Population:
    """Bring a recording, spike trains or counts to rows.

    Parameters
    ----------
    X : counts, DataArray (time, unit) or (trial, time, unit) with ``bin_size`` (s) in its attrs,
        bare arrays of these shapes, a list of (time, unit) of any lengths; or a recording or
        spike trains, which are counted in bins of `bin_size`.
    bin_size : s; None takes that of the counts, and is needed for everything else.

    Raises
    ------
    KindError, ShapeError, DataError, UnitError
        What is no counts, or has no bin size or two.
    """
    width = None if bin_size is None else check_bin_size(bin_size)
    if isinstance(X, Population):
        return X
    ragged = isinstance(X, list | tuple) and len(X) and all(np.ndim(s) == 1 for s in X)
    if isinstance(X, xr.Dataset | dict) or is_trains(X) or ragged:
        if width is None:
            raise DataError(
                "Spike times came without a bin size",
                "bin_size in s was needed to count them",
                "Pass bin_size=0.02 for bins of 20 ms, or counts from data.bin_spikes",
            )
        X = bin_spikes(X, bin_size=width)
    if is_list_of_trials(X):
        X = [as_labelled(trial, bins=True) for trial in X]
    elif not isinstance(X, xr.DataArray | np.ndarray):
        X = as_labelled(X, bins=True)
    rows, named, found = count_rows(X, width)
    # What counts say of their bins is looked at as a setting is.
    width = check_bin_size(found) if width is None else width
    unit = rows.unit if named is None else np.asarray(named)
    return Population(rows, unit, width, named is not None, X)


class PopulationAccount(Estimator):
    """Base of models of what a population does: `rates` and `latents` of counts.

    A subclass fits, keeps ``units_`` and ``fitted_bin_size_``, and gives `_infer`. Units that are
    NaN throughout are not observed: their rates are what the other units tell of them.
    """

    bin_size: float | None
    #: Labels of the units that were fitted, and the size of their bins, s.
    units_: NDArray[Any]
    fitted_bin_size_: float

    def _infer(self, population: Population) -> tuple[Array, Array]:
        """Rates, Hz, (row, unit) of all fitted units, and latents (row, latent)."""
        raise NotImplementedError

    def _taken(self, X: Any) -> Population:
        """Counts in the order of the units of the fit; NaN for units that did not come."""
        check_is_fitted(self, "parameters_")
        population = take_population(X, self.fitted_bin_size_)
        fitted, came = self.units_.tolist(), population.unit.tolist()
        strange = [u for u in came if u not in fitted]
        if strange or not len(came):
            raise DataError(
                f"Units {', '.join(map(repr, strange[:5]))} were not in the fit",
                f"Units among the {len(fitted)} of the fit were needed",
                "Select the units of the fit: counts.sel(unit=model.units_)",
            )
        if came == fitted:
            return population
        values = np.full((population.samples.n_rows, len(fitted)), np.nan)
        values[:, [fitted.index(u) for u in came]] = population.samples.values
        rows = population.samples._replace(values=values, unit=self.units_)
        return population._replace(samples=rows, unit=self.units_)

    def rates(self, X: Any) -> Any:
        """Return the rates of all units of the fit, given all that was observed.

        Parameters
        ----------
        X : counts or spikes as for `fit`; a unit that is left out, or NaN throughout, is told from
            the others.

        Returns
        -------
        DataArray (time, unit) or (trial, time, unit), Hz; a list of them for a list of trials.

        Raises
        ------
        NotFittedError, DataError, ShapeError
            Other bins or units than those of the fit.
        """
        population = self._taken(X)
        with one_thread():
            found, _ = self._infer(population)
        return population.give_back(
            found, "unit", self.units_, "rate",
            {"units": "Hz", "long_name": "rate given the population"},
        )  # fmt: skip

    def latents(self, X: Any) -> Any:
        """Return the latent variables, given all that was observed.

        Parameters
        ----------
        X : counts or spikes as for `fit`.

        Returns
        -------
        DataArray (time, latent) or (trial, time, latent); a list of them for a list of trials.

        Raises
        ------
        NotFittedError, DataError, ShapeError
            Other bins or units than those of the fit.
        """
        population = self._taken(X)
        with one_thread():
            _, found = self._infer(population)
        return population.give_back(
            found, "latent", np.arange(found.shape[1]), "latent",
            {"units": "1", "long_name": "latent variables"},
        )  # fmt: skip
