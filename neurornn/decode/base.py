"""What all decoders share: checks, preparation, held-out errors, prediction, the stream."""

import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from neurornn._core.checks import check_bin_size, check_positive
from neurornn._core.confidence import growing_halfwidth, to_dataset
from neurornn._core.errors import (
    DataError,
    UnitWarning,
)
from neurornn._core.old_names import warn_renamed
from neurornn._core.quantities import OF_DATA, Quantity
from neurornn._core.report import Table, parameters_table
from neurornn._core.status import Status
from neurornn._core.warning import warn_user
from neurornn._kernels.streaming import POWERS
from neurornn.data.rows import is_list_of_trials, n_dims
from neurornn.data.samples import Samples
from neurornn.data.splitters import BlockedSplit
from neurornn.decode.inputs import (
    as_bins,
    same_units,
    stated_widths,
)
from neurornn.decode.machines import make_machine
from neurornn.decode.preparation import (
    WATCH_TAU,
    Preparation,
    features_of,
    learn_preparation,
)
from neurornn.decode.saved_parts import parts_of, settings_of, tables_of
from neurornn.decode.setting_checks import alike, check_enough_bins, check_settings, is_number
from neurornn.decode.stream import Stream, size_of
from neurornn.decode.stretches import Learned, Stretch
from neurornn.io.saved import SavedContent
from neurornn.io.shell import Estimator, keep_names

#: Why a score has no interval.
SCORE = "a score of blocks, not an estimate"
#: A gap in a stream of up to so many s is stepped over; after a longer one it starts anew.
MAX_GAP = 5.0


class Decoder(Estimator):
    """Base of all decoders. A subclass has `_learn`, and its settings in ``__init__``.

    Settings that all share: ``bin_size``, ``signal``, ``smoothing``, ``adaptation_tau``,
    ``monitor_units``, ``impute``, ``n_folds``, ``confidence_level``.
    """

    #: What the method is from, for `cite`.
    _papers: ClassVar[tuple[str, ...]] = ()
    _kept: ClassVar[Mapping[str, str]] = {
        "bin_size": "bin_size_",
        "chosen": "chosen_",
        "units": "units_",
        "outputs": "outputs_",
        "target_units": "target_units_",
        "one_output": "_one_output",
        "error_rms": "_rms",
        "reach": "_reach",
        "growth": "_growth",
        "usual": "_usual",
    }
    _tables: ClassVar[Mapping[str, str]] = {"parameters": "scores_"}
    _quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            name="r2", units="1", long_name="R2 on held-out blocks", dims=("output",), reason=SCORE
        ),
        Quantity(
            name="rmse", units=OF_DATA, long_name="root mean square error", dims=("output",),
            reason=SCORE,
        ),
    )  # fmt: skip
    #: How what stands in ``chosen_`` came about.
    _settled = "chosen on held-out blocks"
    #: The targets are labels of classes.
    _labelled = False
    #: Width of the bins, s, where neither the user nor the counts name one.
    _usual_width = 0.05
    #: Whether a power of the counts may be taken for a feature.
    _takes_powers = True
    _renamed: ClassVar[Mapping[str, str]] = {"watch": "monitor_units", "stand_in": "impute"}

    bin_size: float | None
    signal: str
    smoothing: float
    adaptation_tau: float | None
    monitor_units: bool
    impute: str
    n_folds: int
    confidence_level: float

    def _keep(self, given: Mapping[str, Any]) -> None:
        """Keep the arguments of ``__init__``, as scikit-learn wants them: ``locals()`` of it."""
        for name, value in given.items():
            if name not in ("self", "__class__"):
                setattr(self, name, value)

    def fit(self, counts: Any, targets: Any, *, trials: ArrayLike | None = None) -> Self:
        """Fit the decoder.

        Parameters
        ----------
        counts : (time, unit) or (trial, time, unit), array or DataArray; or a list of (time, unit)
            Spikes per bin; NaN where a unit was not recorded. A gap in the ``time`` of a DataArray
            is a join: no history crosses it.
        targets : (time, output) or (trial, time, output), or a list
            In any unit; NaN where unknown. A DataArray's ``attrs["units"]``, or its coordinate
            ``output_units (output)`` where outputs differ, is kept and later asked for.
        trials : (time,), label of the trial of each bin; a change is a join.

        Returns
        -------
        self

        Raises
        ------
        KindError, ShapeError, UnitError, DataError
            Each says what came, what was needed and what to do.

        Warns
        -----
        UnitWarning
            Neither ``bin_size`` nor the counts say how wide the bins are.
        """
        self._check_settings()
        self.bin_size_ = self._width_of(counts, targets)
        if targets is None:
            raise DataError(
                "targets is None; the decoder requires y to be passed, but the target y is None",
                "What is to be decoded was needed, (time, output)",
                "Pass for example the velocity of the hand",
            )
        bins = as_bins(
            counts, targets, trials=trials, bin_size=self.bin_size_, signal=self.signal,
            labelled=self._labelled,
        )  # fmt: skip
        self._check_enough(bins)
        pair = (counts[0], targets[0]) if is_list_of_trials(counts) else (counts, targets)
        one = not self._labelled and n_dims(pair[1]) == n_dims(pair[0]) - 1
        self._begin(bins, one)
        # Many products of matrices of middling size: threads of a library would wait for another.
        with threadpool_limits(1):
            learned = self._learn(bins)
        self._machine, self._preparation = learned.machine, learned.preparation
        self._account(bins, learned)
        return self

    def _width_of(self, counts: Any, targets: Any) -> float:
        """Width of the bins, s: as was asked for, as the data say, or the usual one."""
        if self.bin_size is not None:
            return check_positive(self.bin_size, "bin_size", "s")
        for part in (counts, targets):
            # Trains are counted in the bins of the targets.
            stated = stated_widths(part[0] if is_list_of_trials(part) else part)
            if stated:
                return check_bin_size(stated[0][1])
        warn_user(
            f"Nobody said how wide the bins are: they were taken for {self._usual_width:g} s. "
            f"Pass bin_size= in s, {self._usual_width:g} too, or counts of nr.data.bin_spikes.",
            UnitWarning,
        )
        return self._usual_width

    def _check_settings(self) -> None:
        check_settings(self)

    def _check_enough(self, bins: Samples) -> None:
        given = [getattr(self, name, 0) for name in ("n_lags", "lag")]
        span = sum(n for n in given if is_number(n))
        check_enough_bins(bins, span, self.n_folds, labelled=self._labelled)

    def _begin(self, bins: Samples, one: bool) -> None:
        self.n_features_in_ = bins.values.shape[1]
        self.units_, self.outputs_ = bins.unit, bins.output
        keep_names(self, bins.unit if bins.units_named else None)
        self.target_units_ = bins.units
        self._one_output = one
        self._remember_settings()

    def _remember_settings(self) -> None:
        """Keep the settings of the fit beside those that a user may change afterwards."""
        self._settings_of_fit = dict(self.get_params(deep=False))

    def _check_unchanged(self) -> None:
        """Refuse a setting that was changed after the fit: half of it would count."""
        for name, before in self._settings_of_fit.items():
            now = getattr(self, name)
            if now is not before and not alike(now, before):
                raise DataError(
                    f"{name} was {before!r} at the fit and is {now!r} now",
                    "The settings of the fit were needed: they shaped what was learned",
                    f"Fit again, or set it back: set_params({name}={before!r})",
                )

    def _held_out_how(self) -> str:
        """Where the scores of the table are from."""
        return f"held-out blocks of the training data, {self.n_folds} folds"

    def _output_coords(self) -> dict[Hashable, Any]:
        """Labels of the outputs, and their units where they differ."""
        coords: dict[Hashable, Any] = {"output": self.outputs_}
        each = self.target_units_.split(", ")
        if len(each) > 1:
            coords["output_units"] = ("output", each)
        return coords

    # What subclasses use.

    def _learn(self, bins: Samples) -> Learned:
        """Choose on held-out blocks, then fit on everything."""
        raise NotImplementedError

    def _prepared(self, bins: Samples, power: float = 1.0) -> tuple[Preparation, list[Stretch]]:
        """Learn the preparation and apply it stretch by stretch."""
        preparation = learn_preparation(
            bins.values,
            power=power if self.signal == "counts" else 1.0,
            lowest=0.0 if self.signal == "counts" else -np.inf,
            smoothing=float(np.exp(-self.bin_size_ / self.smoothing)) if self.smoothing else 0.0,
            pace=0.0 if self.adaptation_tau is None else self._share(self.adaptation_tau),
            watch_pace=self._share(WATCH_TAU) if self.monitor_units else 0.0,
            stand_in=self.impute,
        )
        assert bins.targets is not None
        return preparation, [
            Stretch(features_of(preparation, bins.values[s]), bins.values[s], bins.targets[s])
            for s in bins.stretches
        ]

    def _share(self, tau: float) -> float:
        """Share of a running mean that is replaced in a bin."""
        return float(-np.expm1(-self.bin_size_ / tau))

    def _powers(self, power: float | str) -> Sequence[float]:
        """Powers of the counts to try."""
        if isinstance(power, str) and power == "auto":
            return POWERS if self.signal == "counts" else (1.0,)
        if not is_number(power) or power not in POWERS:
            raise DataError(
                f"power is {power!r}",
                f"One of {', '.join(map(str, POWERS))} or 'auto' was needed",
                "0.5 takes the square root of the counts",
            )
        return (float(power),)

    def _folds(self, bins: Samples, purge: int) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Rows of training and of test of every block of time."""
        return BlockedSplit(self.n_folds, purge=purge).split(bins.values)

    def _account(self, bins: Samples, learned: Learned) -> None:
        """Errors on held-out blocks: the table, and the reach of the intervals."""
        y, guess = bins.targets, learned.held_out
        assert y is not None
        n_out = guess.shape[1]
        scaled, error = np.full(n_out, np.nan), np.full(n_out, np.nan)
        reach, r2, growth = np.full(n_out, np.inf), np.full(n_out, np.nan), np.zeros(n_out)
        both = np.isfinite(guess).all(axis=1)
        usual = np.stack([np.zeros(n_out), np.ones(n_out)])
        if both.any():
            usual[0] = guess[both].mean(axis=0)
            usual[1] = np.maximum(guess[both].std(axis=0), 1e-300)
        size = size_of(guess, *usual)
        for o in range(n_out):
            known = both & np.isfinite(y[:, o])
            away = y[known, o] - guess[known, o]
            unit = away / learned.spread[known, o]
            if not len(away):
                continue
            growth[o], reach[o] = growing_halfwidth(unit, size[known], self.confidence_level)
            scaled[o] = np.sqrt(np.mean((unit / (1 + growth[o] * size[known])) ** 2))
            error[o] = np.sqrt(np.mean(away**2))
            # An output that does not move on these bins has no R2.
            moved = np.sum((y[known, o] - y[known, o].mean()) ** 2)
            r2[o] = 1 - np.sum(away**2) / moved if moved > 0 else np.nan
        self._growth, self._usual = growth, usual
        self._rms, self._reach, self.chosen_ = scaled, reach, learned.chosen
        self._tell_scores({"r2": r2, "rmse": error}, self._output_coords())

    def _tell_scores(self, found: Mapping[str, Any], coords: Mapping[Hashable, Any]) -> None:
        """Make the table of what was declared."""
        how, units = self._held_out_how(), self.target_units_ or "1"
        self.scores_ = to_dataset(
            [q.of(found[q.name], units=units, method=how) for q in self._quantities],
            confidence_level=self.confidence_level,
            coords=dict(coords),
            status=[str(Status.OK)] * len(coords["output"]),
            status_dims=("output",),
        )

    def __getattr__(self, name: str) -> Any:
        """Old name of `scores_`: what it holds are scores, not estimates of parameters."""
        if name != "parameters_" or "scores_" not in vars(self):
            return super().__getattr__(name)
        warn_renamed(name, "scores_", f"a {type(self).__name__}")
        return self.scores_

    # What a user calls.

    def stream(self, state: str | os.PathLike[str] | None = None) -> Stream:
        """Return a stream that decodes bin by bin.

        Parameters
        ----------
        state : path
            What ``stream.save`` has written: go on from there, bit for bit.

        Raises
        ------
        FileFormatError
            The state belongs to another decoder.
        """
        check_is_fitted(self, "scores_")
        self._check_unchanged()
        stream = Stream(
            make_machine(self._machine.kind, self._machine.arrays, self._machine.settings),
            Preparation(self._preparation.arrays, self._preparation.settings),
            {
                "decoder": type(self).__name__,
                "bin_size": self.bin_size_,
                "units": np.asarray(self.units_).tolist(),
                "outputs": np.asarray(self.outputs_).tolist(),
                "target_units": self.target_units_,
                "error_rms": self._rms.tolist(),
                "reach": self._reach.tolist(),
                "growth": self._growth.tolist(),
                "usual": self._usual.tolist(),
                "max_gap": MAX_GAP,
            },
        )
        if state is not None:
            stream.restore(state)
        return stream

    def predict(
        self, counts: Any, *, trials: ArrayLike | None = None, return_interval: bool = False
    ) -> Any:
        """Decode a recording, as the stream would; NaN in bins in which no unit was recorded.

        The stream, which must answer in every bin, goes on through these from what it has seen.

        Parameters
        ----------
        counts : as for `fit`.
        trials : (time,), label of the trial of each bin; the decoder starts anew in each.
        return_interval : also return the predictive interval at `confidence_level`.

        Returns
        -------
        (time, output) of all bins in order, or a DataArray on the time axis of `counts`.
        interval : the same with a last axis of 2, where asked for.

        Raises
        ------
        ShapeError, DataError, UnitError
            Other units, another order of them, or another bin size than at the fit.
        """
        check_is_fitted(self, "scores_")
        bins = self._bins_of(counts, trials)
        out, interval = self._run(bins, return_interval)
        out[~bins.seen] = np.nan
        if return_interval:
            interval[~bins.seen] = np.nan
        given = self._finish(out, counts)
        if not return_interval:
            return given
        return given, self._finish(interval, counts)

    def _bins_of(self, counts: Any, trials: ArrayLike | None, targets: Any = None) -> Samples:
        self._check_unchanged()
        bins = as_bins(
            counts, targets, trials=trials, bin_size=self.bin_size_, signal=self.signal,
            labelled=self._labelled,
        )  # fmt: skip
        labelled = isinstance(counts, xr.DataArray) and "unit" in counts.coords
        same_units(self.units_, bins, labelled)
        return bins

    def _run(self, bins: Samples, with_interval: bool) -> tuple[NDArray[Any], NDArray[Any]]:
        stream = self.stream()
        out = np.empty((len(bins.values), stream.n_outputs))
        interval = np.empty((*out.shape, 2) if with_interval else (0,))
        for k, stretch in enumerate(bins.stretches):
            if k:
                stream.reset()
            if not with_interval:
                out[stretch] = stream.run(bins.values[stretch])
                continue
            for t in range(stretch.start, stretch.stop):
                stream.step(bins.values[t], out[t])
                interval[t] = stream.interval
        return out, interval

    def _finish(self, values: NDArray[Any], counts: Any) -> Any:
        """Give an answer the axes of the question."""
        if isinstance(counts, xr.DataArray) and "trial" not in counts.dims:
            dims: tuple[str, ...] = ("time", "output")
            coords = self._output_coords()
            if "time" in counts.coords:
                coords["time"] = counts["time"].values
                if "mask" in counts.coords:
                    coords["time"] = coords["time"][np.asarray(counts["mask"].values, bool)]
            if values.ndim == 3:
                dims, coords = (*dims, "ci_bound"), {**coords, "ci_bound": ["lower", "upper"]}
            attrs = {"units": self.target_units_} if self.target_units_ else {}
            return xr.DataArray(values, dims=dims, coords=coords, attrs=attrs)
        return values[:, 0] if self._one_output else values

    def _report_table(self) -> Table:
        chosen = ", ".join(f"{k} {_short(v)}" for k, v in self.chosen_.items())
        notes = [f"{self._settled}: {chosen}"] if chosen else []
        return parameters_table(
            self.scores_,
            f"{type(self).__name__}: {self.n_features_in_} units, bins of {self.bin_size_:g} s",
            notes=notes,
        )

    def _methods_sentence(self) -> str:
        chosen = ", ".join(f"{k} {_short(v)}" for k, v in self.chosen_.items())
        held = f", {self._settled}: {chosen}" if chosen else ""
        said = (
            f"A {type(self).__name__} decoded from {self.n_features_in_} units in bins of "
            f"{self.bin_size_:g} s{held}"
        )
        if self._has_intervals():
            said += (
                f"; {100 * self.confidence_level:g} % predictive intervals are conformal on "
                "held-out blocks of time"
            )
        return said

    def _has_intervals(self) -> bool:
        """Labels have no predictive intervals, nor do matrices that were given."""
        return bool(np.isfinite(self._reach).any())

    def _papers_used(self) -> list[str]:
        return [*self._papers, *(["lei_2018"] if self._has_intervals() else [])]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.positive_only = self.signal == "counts"
        tags.target_tags.multi_output = not self._labelled
        tags.target_tags.required = True
        return tags

    def _to_saved(self) -> dict[str, Any]:
        saved = super()._to_saved()
        self._check_unchanged()
        saved["settings"] |= settings_of(self._machine, self._preparation)
        saved["tables"] |= tables_of(self._machine, self._preparation)
        return saved

    @classmethod
    def _from_saved(cls, content: SavedContent) -> Self:
        # Older files know the width of the bins from the settings alone.
        content.settings.setdefault("bin_size", content.settings["init"]["bin_size"])
        return super()._from_saved(content)

    def _after_load(self, content: SavedContent) -> None:
        self._machine, self._preparation = parts_of(content.settings, content.tables)
        self.n_features_in_ = len(self.units_)
        # Labels of text came with the data; others may be mere positions.
        keep_names(self, self.units_)
        self._remember_settings()


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
