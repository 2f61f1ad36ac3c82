"""Which acceptor belongs to a donor: every AG behind it is a candidate, and they compete."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from neurornn._core.checks import (
    check_number,
    check_numbers,
)
from neurornn._core.confidence import (
    Estimate,
    bootstrap_interval,
    to_dataset,
)
from neurornn._core.errors import DataError, KindError
from neurornn._core.jobs import one_thread, progress_bar
from neurornn._core.quantities import Quantity
from neurornn._core.report import Table, parameters_table
from neurornn._core.rng import RNG, generator
from neurornn._core.status import Status
from neurornn.data.sequence_sets import SequenceSet
from neurornn.io.saved import SavedContent
from neurornn.io.shell import Estimator
from neurornn.sequences.ensemble_settings import LENGTH_CONSTANT, check_ensemble, training_history

_RESAMPLES = 500
#: Windows from which length constants are read.
_READ = 300


class SplicePairing(Estimator):
    """Which AG behind a donor is its acceptor.

    Parameters
    ----------
    carry : carry a state from the donor, and one from the end of the window, to each candidate;
        False reads the letters around each AG alone, for comparison.
    flank : bp, fewest and most, to which both exons are cut at random while training, so that the
        length of a window does not tell where the intron ends.
    n_seeds : networks whose log probabilities are averaged; each is stopped by genes of its own.
    n_hidden : units of each direction of the recurrent layers. n_channels : of the convolutions.
    letter_dropout : share of the letters that are hidden at random while training
        The more, the less it leans on single letters, which differ from species to species.
    shorten : share of the introns out of whose middle a stretch is taken at random while training
        The more, the less it leans on how long introns are, which differs from species to species.
    max_epochs : passes over the introns, at most.
    learning_rate : of Adam at the start; it falls along a cosine.
    validation_fraction : of the introns that are held out of each network, in whole genes.
    confidence_level : of the intervals.
    rng : int, Generator or None: first weights, orders, crops, parts that are held out.
    progress : show a bar.

    Attributes
    ----------
    parameters_ : Dataset
        ``accuracy``, share of held-out donors whose true acceptor is ranked first by a network
        that had not seen their gene; the same of three rules on the same windows:
        ``accuracy_first``, the first AG that leaves an intron of 40 bp, ``accuracy_end``, the AG
        nearest to the best fixed distance from the end, ``accuracy_chance``, one drawn at random;
        and ``tau (direction)``, bp, median length constants of the recurrent layers, without an
        interval.
    history_ : Dataset over ``network`` and ``epoch``: ``loss``, ``validation_loss``, nats per
        donor.
    n_pairs_, n_held_out_ : introns of the training, and those that gave the scores.
    end_distance_ : bp, the best fixed distance.

    Notes
    -----
    Each AG from 2 bp behind the donor's GT to the end of the window is a candidate. The score of
    one is read off the letters around it, off a state carried from the donor downstream, and off
    one carried from the end of the window upstream (`pairing_network.PairReader`). A softmax over
    the candidates of a window makes scores probabilities: it is the likelihood of a choice
    (McFadden 1974), in which only differences within a window count (Bretschneider et al. 2018
    chose among splice sites so).

    Introns of one gene, and those whose windows share 30 letters, are held out together. The
    window need not hold the acceptor at all; the probabilities are given that it does.

    References
    ----------
    Bretschneider et al. 2018, doi:10.1093/bioinformatics/bty244 (competing splice sites);
    McFadden 1974, in Zarembka (ed.), Frontiers in Econometrics, 105-142 (choice); Cho et al. 2014,
    doi:10.3115/v1/D14-1179 (gated units); Kingma & Ba 2015, arXiv:1412.6980 (Adam).

    Examples
    --------
    >>> draw = np.random.default_rng(0)
    >>> letters = lambda n: "".join(draw.choice(list("ACGT"), n))
    >>> introns = [
    ...     (letters(20), "GTAAGT" + letters(k) + "TTTTTTCAG", letters(20))
    ...     for k in draw.integers(30, 60, 200)
    ... ]
    >>> pairs = SplicePairing(n_seeds=1, n_hidden=4, n_channels=8, max_epochs=4, flank=(10, 20))
    >>> pairs = pairs.set_params(learning_rate=0.02).fit(introns)
    >>> donor = "GTAAGT" + "C" * 20 + "AG" + "C" * 20 + "TTTTTTCAG" + "C" * 10
    >>> int(pairs.rank(donor)["acceptor"][0])
    55
    """

    _quantities: ClassVar[tuple[Quantity, ...]] = (
        LENGTH_CONSTANT,
        Quantity(
            name="accuracy", units="1", long_name="share of donors with the acceptor ranked first",
            method="held-out genes, bootstrap over genes",
        ),
        Quantity(
            name="accuracy_first", units="1",
            long_name="the same of the first AG that leaves an intron of 40 bp",
            method="held-out genes, bootstrap over genes",
        ),
        Quantity(
            name="accuracy_end", units="1",
            long_name="the same of the AG nearest to a fixed distance from the end",
            method="held-out genes, bootstrap over genes",
        ),
        Quantity(
            name="accuracy_chance", units="1", long_name="the same of an AG drawn at random",
            method="held-out genes, bootstrap over genes",
        ),
    )  # fmt: skip
    _tables: ClassVar[Mapping[str, str]] = {"parameters": "parameters_", "history": "history_"}
    _kept: ClassVar[Mapping[str, str]] = {
        "n_pairs": "n_pairs_", "n_held_out": "n_held_out_", "end_distance": "end_distance_",
        "networks": "_network_settings",
    }  # fmt: skip
    _papers: ClassVar[tuple[str, ...]] = ("bretschneider_2018", "cho_2014", "kingma_2015")
    _packages: ClassVar[tuple[str, ...]] = ("numpy", "torch")

    def __init__(
        self,
        *,
        carry: bool = True,
        flank: tuple[int, int] = (10, 50),
        n_seeds: int = 3,
        n_hidden: int = 24,
        n_channels: int = 32,
        letter_dropout: float = 0.25,
        shorten: float = 0.5,
        max_epochs: int = 5,
        learning_rate: float = 4e-3,
        validation_fraction: float = 0.1,
        confidence_level: float = 0.95,
        rng: RNG = 0,
        progress: bool = False,
    ) -> None:
        self.carry = carry
        self.flank = flank
        self.n_seeds = n_seeds
        self.n_hidden = n_hidden
        self.n_channels = n_channels
        self.letter_dropout = letter_dropout
        self.shorten = shorten
        self.max_epochs = max_epochs
        self.learning_rate = learning_rate
        self.validation_fraction = validation_fraction
        self.confidence_level = confidence_level
        self.rng = rng
        self.progress = progress

    def fit(self, X: xr.Dataset | Sequence[tuple[str, str, str]], y: None = None) -> Self:
        """Train on introns whose exons are known.

        Parameters
        ----------
        X : Dataset over ``pair`` with ``upstream_exon``, ``intron``, ``downstream_exon`` and,
            where it is known, ``gene``, as `nr.io.read_exon_intron_exon` makes it; or (exon,
            intron, exon) for each intron, letters of DNA or RNA in the order of reading.
        y : not used; scikit-learn passes it.

        Returns
        -------
        self

        Raises
        ------
        KindError, ShapeError, DataError
            Another form, introns that do not end in AG, too few of them to hold any out.
        """
        from neurornn.sequences.pairing_training import families, learn
        from neurornn.sequences.pairing_windows import as_pairs
        from neurornn.sequences.splice_training import held_out_parts

        flank = self._check()
        pairs = as_pairs(X)
        n = len(pairs.intron)
        draw = generator(self.rng)
        seed = int(draw.integers(2**31 - 1))
        family = families(pairs)
        parts = held_out_parts(
            family, np.ones(n, np.int64), int(self.n_seeds), float(self.validation_fraction), draw
        )
        if min(len(part) for part in parts) < 1 or any(len(part) == n for part in parts):
            raise DataError(
                f"{n} introns came in {family.max() + 1} families of genes",
                f"At least one family to hold out of each of {len(parts)} networks was needed, "
                "and others to learn from",
                "Pass introns of more genes, or a larger validation_fraction",
            )
        with one_thread(), progress_bar(len(parts), 0, self.progress, "networks") as tick:
            found = learn(
                pairs, parts, flank=flank, carry=bool(self.carry), n_hidden=int(self.n_hidden),
                n_channels=int(self.n_channels), letter_dropout=float(self.letter_dropout),
                shorten=float(self.shorten),
                max_epochs=int(self.max_epochs), learning_rate=float(self.learning_rate),
                seed=seed, tick=tick,
            )  # fmt: skip
        self._networks = found.networks
        self._network_settings = found.networks[0].settings
        self.n_pairs_, self.n_held_out_ = n, sum(map(len, parts))
        self.history_ = training_history(
            found, "nats per donor of the training", "nats per donor held out"
        )
        self._tabulate(found, [family[part] for part in parts])
        return self

    def rank(
        self, donor: str, candidates: ArrayLike | None = None, *, upstream_exon: str = ""
    ) -> xr.Dataset:
        """Rank the candidates of one donor, the most probable first.

        Parameters
        ----------
        donor : letters from the donor's GT on, as far as an acceptor may lie, with 10 bp and more
            of what may be exon behind the last candidate.
        candidates : (candidate,), bp from the G of the GT to the A of each AG; None for every AG.
        upstream_exon : letters before the GT, of which 10 bp are read.

        Returns
        -------
        Dataset over ``candidate``
            ``acceptor``, bp from the donor's G to the A; ``intron_length``, bp; ``probability``
            with ``probability_ci`` over the networks; ``rank``, from 1.

        Raises
        ------
        KindError, DataError
            No letters, no AG, a candidate that is none.
        """
        check_is_fitted(self, "parameters_")
        for name, text in (("donor", donor), ("upstream_exon", upstream_exon)):
            if not isinstance(text, str):
                raise KindError(
                    f"{name} is a {type(text).__name__}", "A string of letters was needed",
                    "Pass one donor; score_candidates takes many windows",
                )  # fmt: skip
        before = len(upstream_exon)
        chosen = None
        if candidates is not None:
            chosen = before + check_numbers(candidates, "candidates").reshape(-1)
        table = self.score_candidates([upstream_exon + donor], [before], candidates=chosen)
        order = np.argsort(table["rank"].values, kind="stable")
        return table.isel(candidate=order).drop_vars(["window", "position"])

    def score_candidates(
        self, windows: SequenceSet | Sequence[str], donors: ArrayLike, *,
        candidates: ArrayLike | None = None,
    ) -> xr.Dataset:  # fmt: skip
        """Score every AG behind the donor of each window.

        Parameters
        ----------
        windows : (window,), DNA or RNA of any lengths, strand and order of reading.
        donors : (window,), 0-based, where the GT begins; one number where all are alike.
        candidates : (candidate,), 0-based places of the A of the AGs to compare, for one window.

        Returns
        -------
        Dataset over ``candidate``, window by window, in the order of the letters
            ``window``, its number; ``position``, 0-based, of the A; ``acceptor``, bp from the
            donor's G to the A; ``intron_length``, bp; ``probability`` among the candidates of its
            window, with ``probability_ci`` over the networks; ``rank`` in the window, from 1.

        Raises
        ------
        KindError, ShapeError, DataError
            No windows, a donor outside of its window, a window without an AG behind it.
        """
        from neurornn.sequences.pairing_training import chances, log_probabilities_of
        from neurornn.sequences.pairing_windows import BEFORE, aligned, as_places, as_windows

        check_is_fitted(self, "parameters_")
        given = as_windows(windows)
        places = as_places(donors, given, "donors", 4)
        found = aligned(given, places)
        if candidates is not None:
            self._restrict(found, np.asarray(candidates), places)
        empty = np.flatnonzero(~found.is_candidate.any(axis=1))
        if len(empty):
            raise DataError(
                f"Window {empty[0]} has no AG behind its donor",
                "At least one candidate in every window was needed",
                "Longer windows, or other donors: acceptors that are no AG are not looked for",
            )
        row, place = np.nonzero(found.is_candidate)
        with one_thread():
            each = log_probabilities_of(self._networks, found)[:, row, place]
        probability, ci = chances(each, row, float(self.confidence_level))
        order = np.lexsort((place, -probability, row))
        rank = np.empty(len(row), np.int64)
        first = np.searchsorted(row, np.arange(len(given)))
        rank[order] = np.arange(len(row)) - first[row] + 1
        acceptor = place - BEFORE
        attrs = {"units": "bp"}
        table = to_dataset(
            [
                Estimate(
                    name="probability", value=probability, ci=ci, units="1", dims=("candidate",),
                    long_name="probability among the candidates of the window",
                    method="mean log probability of the networks; Student's t over networks",
                    reason="one network has no spread" if len(self._networks) < 2 else "",
                )
            ],
            confidence_level=float(self.confidence_level),
        )  # fmt: skip
        for name, values, more in (
            ("window", row, {"long_name": "number of the window"}),
            ("position", acceptor + places[row], {**attrs, "long_name": "of the A, 0-based"}),
            ("acceptor", acceptor, {**attrs, "long_name": "from the donor's G to the A"}),
            ("intron_length", acceptor + 2, {**attrs, "long_name": "length of the intron"}),
            ("rank", rank, {"long_name": "rank in the window"}),
        ):
            table[name] = ("candidate", values, more)
        return table

    def predict(
        self, windows: SequenceSet | Sequence[str], donors: ArrayLike
    ) -> NDArray[np.int64]:
        """Position of the most probable acceptor, (window,), 0-based, of the A of its AG.

        Parameters
        ----------
        windows, donors : as in `score_candidates`.
        """
        table = self.score_candidates(windows, donors)
        return np.asarray(table["position"].values[table["rank"].values == 1])

    def score(
        self, windows: SequenceSet | Sequence[str], donors: ArrayLike, acceptors: ArrayLike
    ) -> float:
        """Share of the windows whose true acceptor is ranked first.

        Parameters
        ----------
        windows, donors : as in `score_candidates`.
        acceptors : (window,), 0-based, the A of each true acceptor's AG.
        """
        from neurornn.sequences.pairing_windows import as_places, as_windows

        given = as_windows(windows)
        truth = as_places(acceptors, given, "acceptors", 2)
        return float(np.mean(self.predict(given, donors) == truth))

    def _restrict(self, windows: Any, wanted: NDArray[Any], donors: NDArray[np.int64]) -> None:
        """Leave only some of the candidates of one window."""
        from neurornn.sequences.pairing_windows import BEFORE

        if len(windows.codes) != 1 or wanted.ndim != 1 or not wanted.size:
            raise DataError(
                f"{len(windows.codes)} windows came with candidates of shape {wanted.shape}",
                "The places of one or more candidates of one window were needed",
                "Leave candidates out to compare every AG of many windows",
            )
        place = np.asarray(wanted, dtype=float) - donors[0] + BEFORE
        known = np.flatnonzero(windows.is_candidate[0])
        wrong = np.flatnonzero(~np.isin(place, known))
        if len(wrong):
            raise DataError(
                f"Candidate {wrong[0]}, {place[wrong[0]] - BEFORE:g} bp from the donor, is no AG",
                "Places of the A of an AG that lies behind the donor were needed, counted from 0",
                "Leave candidates out: every AG is found",
            )
        windows.is_candidate[0] = np.isin(np.arange(windows.is_candidate.shape[1]), place)

    def _tabulate(self, found: Any, families: list[NDArray[np.int64]]) -> None:
        import torch

        from neurornn.sequences.pairing_rules import hits

        level = float(self.confidence_level)
        columns, self.end_distance_ = hits(found.windows, found.acceptors, found.log_probabilities)
        family = np.concatenate(families)
        number = np.unique(family, return_inverse=True)[1]
        # One row for each family of genes: how many introns, and how many right.
        sums = np.stack([np.bincount(number, v) for v in (np.ones(len(number)), *columns.T)], 1)
        estimates = []
        names = ("accuracy", "accuracy_first", "accuracy_end", "accuracy_chance")
        for k, name in enumerate(names):
            ci = bootstrap_interval(
                sums[:, [0, k + 1]], lambda r: float(r[:, 1].sum() / r[:, 0].sum()),
                confidence_level=level, n_resamples=_RESAMPLES, rng=0,
            )  # fmt: skip
            estimates.append(self.quantity(name).of(columns[:, k].mean(), ci))
        coords, status_dims = {}, ()
        status: Any = str(Status.OK)
        if self.carry:
            x = torch.from_numpy(found.windows[0].inputs(slice(0, _READ)))
            tau = np.stack([net.eval().length_constants(x) for net in found.networks])
            # Gates that forget nothing have no finite length; medians of rates are finite.
            tau = 1 / np.median(1 / tau, axis=(0, 2))
            estimates.insert(0, self.quantity("tau").of(tau))
            coords, status_dims = {"direction": ["downstream", "upstream"]}, ("direction",)
            status = [status] * 2
        self.parameters_ = to_dataset(
            estimates, confidence_level=level, coords=coords, status=status,
            status_dims=status_dims,
        )  # fmt: skip

    def _check(self) -> tuple[int, int]:
        check_ensemble(self, "n_hidden", "n_channels")
        check_number(self.letter_dropout, "letter_dropout", least=0, below=1)
        check_number(self.shorten, "shorten", least=0, most=1)
        flank = check_numbers(self.flank, "flank")
        if (
            flank.shape != (2,)
            or not 1 <= flank[0] <= flank[1]
            or (flank != np.round(flank)).any()
        ):
            raise DataError(
                f"flank is {self.flank!r}", "Fewest and most bp of exon were needed, 1 or more",
                "Pass (10, 50)",
            )  # fmt: skip
        return int(flank[0]), int(flank[1])

    def _report_table(self) -> Table:
        check_is_fitted(self, "parameters_")
        networks = self.history_.sizes["network"]
        head = [
            f"{self.n_pairs_} introns, {networks} networks; scores of {self.n_held_out_} introns "
            "of genes held out",
            f"fixed distance of accuracy_end: {self.end_distance_} bp",
        ]
        return parameters_table(self.parameters_, "SplicePairing", head=head)

    def _methods_sentence(self) -> str:
        how = (
            "the letters around it and states of gated units carried to it from the donor and "
            "from the end of the window"
            if self.carry
            else "the letters around it"
        )
        return (
            f"The acceptor of each donor was chosen among all AGs behind it by {how}, in "
            f"{self.history_.sizes['network']} networks trained on {self.n_pairs_} introns; "
            f"scores are of {self.n_held_out_} introns of genes held out"
        )

    def _to_saved(self) -> dict[str, Any]:
        from neurornn.sequences.saved_networks import arrays_of

        return {**super()._to_saved(), "weights": arrays_of(self._networks)}

    def _after_load(self, content: SavedContent) -> None:
        from neurornn.sequences.pairing_network import PairReader
        from neurornn.sequences.saved_networks import networks_from

        n = self.history_.sizes["network"]
        self._networks = networks_from(PairReader, self._network_settings, content.weights, n)
