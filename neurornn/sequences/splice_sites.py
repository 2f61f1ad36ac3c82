"""Splice sites told from decoys that carry the same two letters, each with its probability."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import average_precision_score
from sklearn.utils.validation import check_is_fitted

from neurornn._core.checks import (
    check_choice,
    check_count,
    check_labels,
    check_number,
)
from neurornn._core.confidence import bootstrap_interval, to_dataset
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn._core.jobs import one_thread, progress_bar
from neurornn._core.quantities import Quantity
from neurornn._core.report import Table, parameters_table
from neurornn._core.rng import RNG, generator
from neurornn._core.status import Status
from neurornn.data.kmers import cluster_by_kmers
from neurornn.data.sequence_sets import SequenceSet
from neurornn.io.saved import SavedContent
from neurornn.io.shell import Estimator
from neurornn.sequences.ensemble_settings import LENGTH_CONSTANT, check_ensemble, training_history

#: The two letters of a site, first letter first.
LETTERS = {"donor": "GT", "acceptor": "AG"}
#: Share of the sites that carry them at the place of the site; the rest has other or unknown ones.
_MOST = 0.98
#: Fewer windows tell nothing about a species.
_LEAST = 100
_UNKNOWN = "the labels of the windows that it adapted to are not known"
#: Letters of a stretch that near copies share and strangers do not.
_KMER = 30
_RESAMPLES, _FEWER = 500, 200
#: Windows from which length constants are read.
_READ = 500


class SpliceSites(Estimator):
    """Donors or acceptors told from decoys by the letters around them.

    Parameters
    ----------
    site : ``"donor"`` (GT, where an intron begins) or ``"acceptor"`` (AG, where it ends).
    position : 0-based, where the two letters begin in a window; None finds the place at which the
        sites of the training carry them.
    reach : bp on either side of the site that are read.
    n_seeds : networks whose log odds are averaged; each is stopped by windows of its own.
    n_hidden : units of each direction of the recurrent layer. n_channels : of the convolutions.
    max_epochs : passes over the windows, at most.
    learning_rate : of Adam at the start; it falls along a cosine.
    validation_fraction : of the windows that are held out of each network.
    confidence_level : of the intervals.
    rng : int, Generator or None: first weights, orders, parts that are held out.
    progress : show a bar.

    Attributes
    ----------
    parameters_ : Dataset
        ``tau (direction)``, bp: length constants of the recurrent layer, without an interval;
        ``temperature``; ``auprc``, area under precision and recall of windows that the network
        scored had not seen, ``auprc_logistic``, that of a logistic regression on the same windows,
        and ``auprc_constant``, that of a constant, which is the share of sites.
    history_ : Dataset over ``network`` and ``epoch``: ``loss``, ``validation_loss``, nats per
        window.
    position_, n_positions_ : place of the site in a window, and length of a window, bp.
    is_adapted_ : whether the labels were its own guesses, see `adapt`.
    classes_ : 0, decoy, and 1, site.

    Notes
    -----
    Where a letter stands counts for more than which letters there are. A convolution is therefore
    followed by a recurrent layer in two directions whose states are read where they meet, at the
    site, and by a layer that sees the convolution place by place (`splice_network.SiteReader`).
    An average over all steps, or attention over them, loses the place, and with it to a logistic
    regression.

    Windows that share 30 of the letters that are read count as copies and are held out together;
    of a window that was held out, the log odds come from the one network that did not see it.
    Those give the scores and the temperature by which log odds are divided (Guo et al. 2017);
    the same windows ended the training of that network. The mean of the networks
    is, if anything, better than each of them. A letter that is not known is read as none.

    References
    ----------
    Cho et al. 2014, doi:10.3115/v1/D14-1179 (gated units); Guo et al. 2017, ICML, PMLR 70:1321,
    arXiv:1706.04599 (temperature); Saito & Rehmsmeier 2015, doi:10.1371/journal.pone.0118432
    (precision and recall); Jaganathan et al. 2019, doi:10.1016/j.cell.2018.12.015 (convolutions
    over splice sites); Yarowsky 1995, doi:10.3115/981658.981684 (self-training, in `adapt`).

    Examples
    --------
    >>> draw = np.random.default_rng(0)
    >>> around = ["".join(draw.choice(list("ACGT"), 20)) for _ in range(400)]
    >>> sites = [s[:8] + "AGGTAAGT" + s[16:] for s in around[:200]]
    >>> decoys = [s[:10] + "GT" + s[12:] for s in around[200:]]
    >>> model = SpliceSites("donor", n_seeds=1, max_epochs=4, n_channels=8, n_hidden=4)
    >>> model = model.fit(sites + decoys, [1] * 200 + [0] * 200)
    >>> model.position_, bool(model.predict_proba(sites[:1])[0, 1] > 0.5)
    (10, True)
    """

    _quantities: ClassVar[tuple[Quantity, ...]] = (
        LENGTH_CONSTANT,
        Quantity(
            name="temperature", units="1", long_name="temperature of the log odds",
            method="likelihood of held-out windows, bootstrap over windows",
        ),
        Quantity(
            name="auprc", units="1", long_name="area under precision and recall",
            method="held-out windows, bootstrap over windows",
        ),
        Quantity(
            name="auprc_logistic", units="1",
            long_name="area under precision and recall of a logistic regression",
            method="held-out windows, bootstrap over windows",
        ),
        Quantity(
            name="auprc_constant", units="1",
            long_name="area under precision and recall of a constant: the share of sites",
            method="held-out windows, bootstrap over windows",
        ),
    )  # fmt: skip
    _tables: ClassVar[Mapping[str, str]] = {"parameters": "parameters_", "history": "history_"}
    _kept: ClassVar[Mapping[str, str]] = {
        "position": "position_", "n_positions": "n_positions_", "n_windows": "n_windows_",
        "n_held_out": "n_held_out_", "networks": "_network_settings", "alphabet": "alphabet_",
        "is_adapted": "is_adapted_",
    }  # fmt: skip
    _papers: ClassVar[tuple[str, ...]] = ("cho_2014", "guo_2017", "kingma_2015", "saito_2015")
    _packages: ClassVar[tuple[str, ...]] = ("numpy", "scikit-learn", "torch")

    def __init__(
        self,
        site: str = "donor",
        *,
        position: int | None = None,
        reach: int = 70,
        n_seeds: int = 5,
        n_hidden: int = 16,
        n_channels: int = 48,
        max_epochs: int = 15,
        learning_rate: float = 1e-3,
        validation_fraction: float = 0.1,
        confidence_level: float = 0.95,
        rng: RNG = 0,
        progress: bool = False,
    ) -> None:
        self.site = site
        self.position = position
        self.reach = reach
        self.n_seeds = n_seeds
        self.n_hidden = n_hidden
        self.n_channels = n_channels
        self.max_epochs = max_epochs
        self.learning_rate = learning_rate
        self.validation_fraction = validation_fraction
        self.confidence_level = confidence_level
        self.rng = rng
        self.progress = progress

    def fit(self, X: SequenceSet | Sequence[str], y: ArrayLike) -> Self:
        """Train on windows whose labels are known.

        Parameters
        ----------
        X : (window,), DNA or RNA of one length, the site at one place of all of them.
        y : (window,), 1 for a site and 0 for a decoy.

        Returns
        -------
        self

        Raises
        ------
        KindError, ShapeError, DataError
            Proteins, windows of several lengths, labels that are not 0 or 1 or of one class, a
            place where the sites do not carry the two letters.
        """
        self._check()
        windows = _as_windows(X)
        labels = _as_labels(y, len(windows))
        self.position_ = self._place(windows, labels)
        self.n_positions_ = int(windows.lengths[0])
        self.n_windows_, self.alphabet_ = len(windows), windows.alphabet
        self.is_adapted_ = False
        found = self._learn(windows, labels)
        self._tabulate(found, labels[found.rows].astype(float), self._encode(windows))
        self.classes_ = np.array([0, 1])
        return self

    def adapt(
        self, X: SequenceSet | Sequence[str], *, share: float | None = None
    ) -> "SpliceSites":
        """Return a model that has learned another species from bare windows, without labels.

        Parameters
        ----------
        X : (window,), sites and decoys of the other species, of the length of the training, in
            any order.
        share : of sites among them; by default that of the training.

        Returns
        -------
        A new model. It has no scores, since nothing is known of these windows, and its temperature
        is that of this one.

        Raises
        ------
        KindError, ShapeError, DataError
            Windows of another length, too few of them, or a share that is none.

        Notes
        -----
        Sites of the other species whose letters are much like those of the first are told at
        once. What else sets them apart tells the next ones (self-training). Six rounds of logistic
        regressions on the surest 80 % of the windows give labels, from which networks are trained
        as in `fit`. That works where the first guess is right about most windows; test the result
        on some windows whose labels are known.
        """
        from neurornn.sequences.splice_training import own_labels

        check_is_fitted(self, "parameters_")
        windows = self._of_that_length(X)
        if len(windows) < _LEAST:
            raise DataError(
                f"{len(windows)} windows came to learn a species from",
                f"At least {_LEAST} were needed, better thousands",
                "Pass every window of a genome with the two letters, and the share of sites",
            )
        expected = float(self._share if share is None else share)
        check_number(expected, "share", above=0, below=1)
        odds = self.decision_function(windows)
        new = type(self)(**self.get_params(deep=False))
        for name in ("position_", "n_positions_", "alphabet_"):
            setattr(new, name, getattr(self, name))
        rows, labels = own_labels(self._encode(windows), odds, expected)
        chosen = windows[rows]
        new.n_windows_, new.is_adapted_ = len(chosen), True
        found = new._learn(chosen, labels)
        new._tabulate(
            found, labels[found.rows].astype(float), new._encode(chosen),
            temperature=float(self.parameters_["temperature"]), share=expected,
        )  # fmt: skip
        new.classes_ = np.array([0, 1])
        return new

    def locate(self, X: SequenceSet | Sequence[str], y: ArrayLike) -> int:
        """Find where the sites of some windows begin, 0-based.

        Parameters
        ----------
        X : (window,), of one length. y : (window,), 1 for a site and 0 for a decoy.

        Returns
        -------
        The place at which most sites, and at least 98 % of them, carry the two letters; of equal
        ones that nearest to the middle.

        Raises
        ------
        DataError
            There is none.
        """
        windows = _as_windows(X)
        return self._locate(windows, _as_labels(y, len(windows)))

    def decision_function(self, X: SequenceSet | Sequence[str]) -> NDArray[np.float64]:
        """Log odds of a site, (window,), nats.

        Parameters
        ----------
        X : (window,), of the length of the training, the site at the same place.
        """
        from neurornn.sequences.splice_training import log_odds_of

        check_is_fitted(self, "parameters_")
        windows = self._of_that_length(X)
        with one_thread():
            found = log_odds_of(self._networks, self._encode(windows))
        return found / float(self.parameters_["temperature"])

    def predict_proba(self, X: SequenceSet | Sequence[str]) -> NDArray[np.float64]:
        """Probability of a decoy and of a site, (window, class).

        Parameters
        ----------
        X : (window,), of the length of the training, the site at the same place.

        Notes
        -----
        They hold where sites are as frequent as in the training. In a genome they are not: add
        the log of the ratio of the odds to `decision_function`.
        """
        chance = 1 / (1 + np.exp(-self.decision_function(X)))
        return np.stack([1 - chance, chance], axis=1)

    def predict(self, X: SequenceSet | Sequence[str]) -> NDArray[np.int64]:
        """1 where a site is more probable than not, else 0, (window,).

        Parameters
        ----------
        X : (window,), of the length of the training.
        """
        return (self.decision_function(X) > 0).astype(np.int64)

    def score(self, X: SequenceSet | Sequence[str], y: ArrayLike) -> float:
        """Area under precision and recall.

        Parameters
        ----------
        X : (window,), of the length of the training. y : (window,), 1 for a site, 0 for a decoy.
        """
        labels = _as_labels(y, len(_as_windows(X)))
        return float(average_precision_score(labels, self.decision_function(X)))

    def _learn(self, windows: SequenceSet, labels: NDArray[np.int64]) -> Any:
        """Train the networks; set them and the history."""
        from neurornn.sequences.splice_training import held_out_parts, learn

        first, stop = self._edges()
        x = self._encode(windows)
        draw = generator(self.rng)
        seed = int(draw.integers(2**31 - 1))
        clusters = cluster_by_kmers(windows.slice(first, stop), min(_KMER, stop - first))
        parts = held_out_parts(
            clusters, labels, int(self.n_seeds), float(self.validation_fraction), draw
        )
        for part in parts:
            inside = len(np.unique(labels[part]))
            rest = len(np.unique(np.delete(labels, part)))
            if min(inside, rest) < 2:
                raise DataError(
                    f"{len(part)} of {len(labels)} windows were held out of a network, and leave "
                    "one class without a window",
                    "Sites and decoys were needed in both parts; near copies stay together",
                    "Pass more windows, or leave copies of the same few out",
                )
        with one_thread(), progress_bar(len(parts), 0, self.progress, "networks") as tick:
            found = learn(
                x, labels, parts, site=self.position_ - first, n_hidden=int(self.n_hidden),
                n_channels=int(self.n_channels), max_epochs=int(self.max_epochs),
                learning_rate=float(self.learning_rate), seed=seed, tick=tick,
            )  # fmt: skip
        self._networks = found.networks
        self._network_settings = found.networks[0].settings
        self.n_held_out_ = len(found.rows)
        self.history_ = training_history(
            found, "nats per window of the training", "nats per window held out"
        )
        return found

    def _of_that_length(self, X: Any) -> SequenceSet:
        """Windows as long as those of the training."""
        windows = _as_windows(X)
        if int(windows.lengths[0]) != self.n_positions_:
            raise ShapeError(
                f"The windows are {windows.lengths[0]} bp long",
                f"Windows of {self.n_positions_} bp, the site at position {self.position_}, were "
                "needed: those of the training are",
                "Cut them as those of the training were cut",
            )
        return windows

    def _tabulate(
        self, found: Any, labels: NDArray[np.float64], x: NDArray[np.float32], *,
        temperature: float | None = None, share: float = float("nan"),
    ) -> None:  # fmt: skip
        import torch

        from neurornn.sequences.splice_training import temperature_of

        level = float(self.confidence_level)
        some = torch.from_numpy(x[:: max(1, len(x) // _READ)])
        tau = np.stack([net.length_constants(some) for net in found.networks])
        # Gates that forget nothing have no finite length; medians of rates are finite.
        tau = 1 / np.median(1 / tau, axis=(0, 2))

        def with_interval(name: str, columns: list[Any], statistic: Any, n: int) -> Any:
            table = np.stack([*columns, labels], axis=1)
            ci = bootstrap_interval(table, statistic, confidence_level=level, n_resamples=n, rng=0)
            return self.quantity(name).of(statistic(table), ci)

        def area(rows: NDArray[np.float64]) -> float:
            if not rows[:, -1].any():
                # A resample of few windows without a site.
                return 0.0
            return float(average_precision_score(rows[:, -1], rows[:, 0]))

        if temperature is None:
            rest = [
                with_interval(
                    "temperature", [found.log_odds],
                    lambda r: temperature_of(r[:, 0], r[:, 1]), _FEWER,
                ),
                with_interval("auprc", [found.log_odds], area, _RESAMPLES),
                with_interval("auprc_logistic", [found.logistic], area, _RESAMPLES),
                with_interval("auprc_constant", [], lambda r: float(r.mean()), _RESAMPLES),
            ]  # fmt: skip
        else:
            nan = float("nan")
            given = (temperature, nan, nan, share)
            names = ("temperature", "auprc", "auprc_logistic", "auprc_constant")
            rest = [
                self.quantity(name).of(value, method="adapted", reason=_UNKNOWN)
                for name, value in zip(names, given, strict=True)
            ]
        self.parameters_ = to_dataset(
            [self.quantity("tau").of(tau), *rest],
            confidence_level=level, coords={"direction": ["upstream", "downstream"]},
            status=[str(Status.OK)] * 2, status_dims=("direction",),
        )  # fmt: skip

    @property
    def _share(self) -> float:
        return float(self.parameters_["auprc_constant"])

    def _place(self, windows: SequenceSet, labels: NDArray[np.int64]) -> int:
        length = int(windows.lengths[0])
        if self.position is None:
            return self._locate(windows, labels)
        place = check_count(self.position, "position", 0)
        carried = self._carried(windows, labels)
        if place > length - 2 or carried[place] < 0.5:
            share = "nothing" if place > length - 2 else f"{100 * carried[place]:.0f} % of sites"
            raise DataError(
                f"At position {place} of windows of {length} bp {share} carry "
                f"{LETTERS[self.site]}",
                "The place where a site begins, counted from 0, was needed",
                "Leave position out to have it found, or check which kind of site this is",
            )
        return int(place)

    def _locate(self, windows: SequenceSet, labels: NDArray[np.int64]) -> int:
        carried = self._carried(windows, labels)
        middle = (len(carried) - 1) / 2
        order = np.lexsort((np.abs(np.arange(len(carried)) - middle), -np.round(carried, 3)))
        best = int(order[0])
        if carried[best] < _MOST:
            raise DataError(
                f"No place carries {LETTERS[self.site]} in {100 * _MOST:.0f} % of the "
                f"{int(labels.sum())} sites; {best} is the best, in {100 * carried[best]:.0f} %",
                f"Windows with the {self.site} at one place of all of them were needed",
                "Align the windows, check which kind of site this is, or pass position",
            )
        return best

    def _carried(self, windows: SequenceSet, labels: NDArray[np.int64]) -> NDArray[np.float64]:
        """Share of the sites that carry the two letters at each place, (position,)."""
        check_choice(self.site, "site", LETTERS)
        one, other = ("ACGT".index(c) for c in LETTERS[self.site])
        codes = windows.codes()[labels == 1]
        hit = (codes[:, :-1] == one) & (codes[:, 1:] == other)
        return np.asarray(hit.mean(axis=0))

    def _edges(self) -> tuple[int, int]:
        """First and last position, half-open, that the networks read; they work on pairs."""
        first = max(self.position_ - int(self.reach), 0)
        first += (self.position_ - first) % 2
        return first, min(self.position_ + 2 + int(self.reach), self.n_positions_)

    def _encode(self, windows: SequenceSet) -> NDArray[np.float32]:
        first, stop = self._edges()
        return np.asarray(windows.slice(first, stop).one_hot(layout="base_last").values)

    def _check(self) -> None:
        check_choice(self.site, "site", LETTERS)
        check_count(self.reach, "reach", 4)
        check_ensemble(self, "n_hidden", "n_channels")

    def _report_table(self) -> Table:
        check_is_fitted(self, "parameters_")
        networks = self.history_.sizes["network"]
        head = [
            f"{self.site}s at position {self.position_} of windows of {self.n_positions_} bp; "
            f"{self.n_windows_} windows, {networks} networks",
        ]
        if self.is_adapted_:
            head.append("adapted to windows whose labels are not known: test it on some that are")
        return parameters_table(self.parameters_, "SpliceSites", head=head)

    def _papers_used(self) -> Sequence[str]:
        return (*self._papers, *(("yarowsky_1995",) if self.is_adapted_ else ()))

    def _methods_sentence(self) -> str:
        what = (
            f"labels are its own guesses (adapted); {self.n_held_out_} windows held out stopped it"
            if self.is_adapted_
            else f"scores and temperature are of {self.n_held_out_} windows held out"
        )
        return (
            f"Splice {self.site}s were told from decoys by convolutions and gated units in two "
            f"directions, read at the site, in {self.history_.sizes['network']} networks trained "
            f"on {self.n_windows_} windows; {what}"
        )

    def _to_saved(self) -> dict[str, Any]:
        from neurornn.sequences.saved_networks import arrays_of

        return {**super()._to_saved(), "weights": arrays_of(self._networks)}

    def _after_load(self, content: SavedContent) -> None:
        from neurornn.sequences.saved_networks import networks_from
        from neurornn.sequences.splice_network import SiteReader

        n = self.history_.sizes["network"]
        self._networks = networks_from(SiteReader, self._network_settings, content.weights, n)
        self.classes_ = np.array([0, 1])


def _as_windows(X: Any) -> SequenceSet:
    """Windows of one length, DNA or RNA, from a set or from strings."""
    if isinstance(X, str | bytes) or not isinstance(X, SequenceSet | Sequence | np.ndarray):
        raise KindError(
            f"A {type(X).__name__} came as windows",
            "A SequenceSet or a list of strings was needed",
            "Pass [window] for a single one",
        )
    if not isinstance(X, SequenceSet):
        texts = list(X)
        if not all(isinstance(s, str) for s in texts):
            raise KindError(
                "Windows came that are no strings",
                "Letters were needed; they are made into numbers here",
                "Pass a SequenceSet or a list of strings",
            )
        X = SequenceSet.from_sequences([f"window_{k}" for k in range(len(texts))], texts)
    if X.alphabet == "protein":
        raise KindError(
            "Proteins came as windows", "DNA or RNA was needed", "Pass the letters of the gene"
        )
    if not len(X):
        raise DataError("No windows came", "At least one was needed", "Check the selection")
    low, high = int(X.lengths.min()), int(X.lengths.max())
    if low < high or high < 2:
        raise ShapeError(
            f"The windows are {low} to {high} bp long",
            "Windows of one length, with the site at one place, were needed",
            "Cut as many letters on either side of every site",
        )
    return X


def _as_labels(y: Any, n: int) -> NDArray[np.int64]:
    """Labels 0 and 1, both of them there."""
    labels = check_labels(y, "y")
    if labels.shape != (n,):
        raise ShapeError(
            f"y has shape {labels.shape} for {n} windows",
            "One label for each window was needed",
            "Pass 1 for each site and 0 for each decoy, in the order of the windows",
        )
    if labels.dtype.kind not in "biuf" or not np.isin(labels, (0, 1)).all():
        seen = ", ".join(repr(v) for v in np.unique(labels)[:4].tolist())
        raise DataError(
            f"y holds {seen}", "1 for a site and 0 for a decoy was needed", "Pass y == 'site', say"
        )
    count = np.bincount(labels.astype(np.int64), minlength=2)
    if count.min() == 0:
        raise DataError(
            f"All {n} windows are {'sites' if count[1] else 'decoys'}",
            "Sites and decoys were needed",
            f"Add windows with the same two letters that are {'no site' if count[1] else 'sites'}",
        )
    return labels.astype(np.int64)
