"""What decoders of numbers share: velocity, position, force."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from neurornn._core.errors import DataError, ShapeError, UnitError
from neurornn.data.samples import Samples
from neurornn.decode.angles import refuse_angles
from neurornn.decode.base import Decoder


class MovementDecoder(Decoder):
    """Base of decoders of numbers: velocity, position, force."""

    _estimator_type = "regressor"

    def _check_enough(self, bins: Samples) -> None:
        super()._check_enough(bins)
        refuse_angles(bins)

    def score(self, counts: Any, targets: Any, *, trials: ArrayLike | None = None) -> float:
        """Return R2, the mean over outputs, on bins with counts and targets that are known.

        Raises
        ------
        UnitError
            The targets are in another unit than those of the fit.
        """
        from sklearn.metrics import r2_score

        check_is_fitted(self, "scores_")
        if targets is None:
            raise DataError(
                "targets is None",
                "Targets of the bins were needed for a score",
                "Pass them, or take predict",
            )
        bins = self._bins_of(counts, trials, targets)
        out, _ = self._run(bins, False)
        assert bins.targets is not None
        if bins.targets.shape[1] != out.shape[1]:
            raise ShapeError(
                f"The targets have {bins.targets.shape[1]} outputs, the decoder {out.shape[1]}",
                "The outputs of the fit were needed, in their order",
                "Pass (time, output) as at the fit",
            )
        labelled = bins.outputs_named and np.asarray(bins.output).dtype.kind in "USO"
        if labelled and not np.array_equal(bins.output, self.outputs_):
            raise DataError(
                f"The outputs of the targets are {bins.output.tolist()}, those of the fit "
                f"{np.asarray(self.outputs_).tolist()}",
                "The outputs of the fit were needed, in their order",
                "Select and order them alike, for example targets.sel(output=decoder.outputs_)",
            )
        if bins.units and self.target_units_ and bins.units != self.target_units_:
            raise UnitError(
                f"The targets are in {bins.units}, those of the fit in {self.target_units_}",
                "Targets in the unit of the fit were needed",
                "Convert them, and set attrs['units']",
            )
        known = np.isfinite(bins.targets).all(axis=1) & bins.seen
        if not known.any():
            raise DataError(
                "No bin has a unit that was recorded and a target that is known",
                "At least two bins with counts and targets were needed for a score",
                "Check the targets for NaN",
            )
        return float(r2_score(bins.targets[known], out[known]))

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import RegressorTags

        tags = super().__sklearn_tags__()
        tags.estimator_type = "regressor"
        tags.regressor_tags = RegressorTags()
        return tags
