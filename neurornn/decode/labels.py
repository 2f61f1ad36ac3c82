"""What decoders of labels share: probabilities of classes, recall, accuracy and log loss."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from neurornn._core.errors import DataError
from neurornn._core.quantities import Quantity
from neurornn.data.samples import Samples
from neurornn.decode.base import SCORE, Decoder
from neurornn.decode.stretches import Learned
from neurornn.io.saved import SavedContent


class LabelDecoder(ClassifierMixin, Decoder):
    """Base of decoders of labels; the outputs of a stream are probabilities, one per class.

    A probability has no error of its own: ``sd`` and ``interval`` of such a stream are NaN.
    """

    _labelled = True
    _quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            name="recall", units="1", long_name="share of the bins of a class that are found",
            dims=("output",), reason=SCORE,
        ),
        Quantity(name="accuracy", units="1", long_name="share of right labels", reason=SCORE),
        Quantity(
            name="log_loss", units="nats", reason=SCORE,
            long_name="mean of -log probability of the true class",
        ),
    )  # fmt: skip

    def _begin(self, bins: Samples, one: bool) -> None:
        super()._begin(bins, one)
        labels = bins.targets
        assert labels is not None
        if labels.ndim != 1:
            labels = labels.reshape(len(labels), -1)
            if labels.shape[1] != 1:
                raise DataError(
                    f"targets has shape {labels.shape}",
                    "One label for each bin was needed",
                    "Pass (time,) labels",
                )
            labels = labels[:, 0]
        if labels.dtype.kind == "f" and np.any(labels != np.round(labels)):
            raise DataError(
                f"Unknown label type: the targets are numbers such as {labels[0]:g}",
                "Labels of classes were needed, text or whole numbers",
                "For numbers take a KalmanFilter or a RecurrentDecoder",
            )
        self.classes_, self._codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            only = self.classes_.tolist()[0]
            raise DataError(
                f"All {len(labels)} bins carry one label, {only!r}: only one class",
                "At least two classes were needed",
                "Add another target, or bins without intention under a label of their own",
            )
        self.outputs_ = self.classes_

    def predict(
        self, counts: Any, *, trials: ArrayLike | None = None, return_interval: bool = False
    ) -> Any:
        """Return the label with the highest probability in every bin, (time,).

        Where no unit was recorded it is that of the bin before, as in the stream: a label cannot
        be missing. `predict_proba` is NaN there.

        Parameters
        ----------
        counts : as for `fit`.
        trials : (time,), label of the trial of each bin.
        return_interval : not for labels.
        """
        if return_interval:
            raise DataError(
                "An interval of a label was asked for",
                "return_interval=False was needed",
                "Take the probabilities from predict_proba",
            )
        check_is_fitted(self, "scores_")
        chances, _ = self._run(self._bins_of(counts, trials), False)
        return self.classes_[chances.argmax(axis=1)]

    def predict_proba(
        self, counts: Any, *, trials: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """Return the probability of every class in every bin, (time, class).

        NaN where no unit was recorded.
        """
        check_is_fitted(self, "scores_")
        bins = self._bins_of(counts, trials)
        chances, _ = self._run(bins, False)
        chances[~bins.seen] = np.nan
        return chances

    def score(self, counts: Any, targets: Any, *, trials: ArrayLike | None = None) -> float:
        """Return the share of bins with the right label, of those in which a unit was recorded."""
        check_is_fitted(self, "scores_")
        bins = self._bins_of(counts, trials, targets)
        chosen = self.classes_[self._run(bins, False)[0].argmax(axis=1)]
        right, seen = chosen == np.asarray(bins.targets).ravel(), bins.seen
        if not seen.any():
            raise DataError(
                "No bin has a unit that was recorded",
                "At least one bin with counts was needed for a score",
                "Check the counts for NaN",
            )
        return float(np.mean(right[seen]))

    def _account(self, bins: Samples, learned: Learned) -> None:
        known = np.isfinite(learned.held_out).all(axis=1)
        chances, codes = learned.held_out[known], self._codes[known]
        right = chances.argmax(axis=1) == codes
        loss = -np.log(np.maximum(chances[np.arange(len(codes)), codes], 1e-12))
        n = len(self.classes_)
        own = [right[codes == k].mean() if (codes == k).any() else np.nan for k in range(n)]
        self._rms, self._reach = np.full(n, np.nan), np.full(n, np.nan)
        self._growth, self._usual = np.zeros(n), np.stack([np.zeros(n), np.ones(n)])
        self.chosen_ = learned.chosen
        found = {
            "recall": np.array(own),
            "accuracy": float(right.mean()) if len(right) else np.nan,
            "log_loss": float(loss.mean()) if len(loss) else np.nan,
        }
        self._tell_scores(found, {"output": [str(c) for c in self.classes_]})

    def _after_load(self, content: SavedContent) -> None:
        super()._after_load(content)
        self.classes_ = self.outputs_
        # Older files hold numbers here.
        self._rms, self._reach = (np.full(len(self.classes_), np.nan) for _ in range(2))
