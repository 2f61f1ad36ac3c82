"""Stability of proteins within a species, learned so that the species is hard to tell from it."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from sklearn.utils.validation import check_is_fitted

from neurornn._core.checks import (
    check_labels,
    check_number,
    check_numbers,
)
from neurornn._core.confidence import bootstrap_interval, to_dataset
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn._core.jobs import one_thread, progress_bar
from neurornn._core.quantities import Quantity
from neurornn._core.report import Table, parameters_table
from neurornn._core.rng import RNG, generator
from neurornn._core.status import Status
from neurornn._core.warning import warn_user
from neurornn.data.audit_decoding import PROBES, decodability
from neurornn.data.baselines import simple_features
from neurornn.data.kmers import cluster_by_kmers
from neurornn.data.residue_scales import stretches
from neurornn.data.sequence_sets import SequenceSet
from neurornn.io.saved import SavedContent
from neurornn.io.shell import Estimator
from neurornn.sequences.ensemble_settings import check_ensemble, training_history

#: Letters that relatives share and strangers do not.
_KMER = 10
#: Proteins of a species below which nothing can be ranked in it.
_LEAST = 20
#: A median melting point above this is one in kelvin, and below that no melting point, degC.
_KELVIN, _COLDEST = 150.0, 0.0
_RESAMPLES = 100
#: Proteins from which the species is decoded for the report.
_DECODED = 3000
#: Folds and boosted trees of that; the audit takes more.
_FOLDS, _TREES = 3, 8
_ONE = "there is one species"


class StabilityModel(Estimator):
    """Melting points of proteins, ranked within their species rather than told from it.

    Parameters
    ----------
    n_seeds : networks whose predictions are averaged; each is stopped by proteins of its own.
    n_hidden : units of each direction of the recurrent layer.
    n_features : directions that a network's read-out is left with; of as many as there are further
        species, the species are taken out.
    reversal : strength with which the species is driven out of the features; 0 leaves it there.
    max_epochs : passes over the proteins, at most.
    learning_rate : of Adam at the start; it falls along a cosine.
    validation_fraction : of the proteins that are held out of each network.
    confidence_level : of the intervals.
    rng : int, Generator or None: first weights, orders, parts that are held out.
    progress : show a bar.

    Attributes
    ----------
    parameters_ : Dataset
        ``spearman (species)``: correlation within each species of the training, of proteins that
        the network scored had not seen, beside ``spearman_ridge``, a ridge on composition and
        length, ``spearman_pairs``, a ridge on pairs of letters, and ``spearman_trees``, boosted
        trees on composition, with the same target; ``spearman_mean`` over species,
        ``spearman_label`` of the species alone. ``decodable (probe)``: balanced accuracy of the
        species decoded from the features of the networks, ``decodable_composition`` from
        composition and length, ``decodable_chance`` by chance.
    history_ : Dataset over ``network`` and ``epoch``: ``loss``, ``validation_loss``.
    species_ : (species,), of the training.

    Notes
    -----
    Species differ in their melting points and in the letters of their proteins, so that a model of
    all melting points together learns to tell species (Garcia Lopez et al. 2025). Here the target
    is the normal score of a melting point among those of its species, which says nothing about
    the species. A gated recurrent layer reads residues, hydropathy, volume, charge and
    propensities for helix and strand along stretches of 16 residues, in both directions; of its
    mean few features are made, from which the stability is read linearly. A second head that
    tells the
    species from these features is trained against them (Ganin et al. 2016). After the
    training the means of the species are taken out of the features of each network (Belrose et
    al. 2023), so that nothing linear tells species of the training apart.

    Where species differ in the very direction that makes proteins stable, taking the species out
    takes some of that with it; the plain models beside show how much. More species ask for more
    passes: look whether ``history_`` still falls.

    Species of the training are told here with scores of proteins held out at random, relatives
    together. What holds in a species never seen is told by `data.cross_score` with
    ``split="leave-group-out"``, and how it grows with the number of species by `species_curve`.

    Lower case is read as upper case. B, J, O, U, X and Z are read as none, a ``*`` at the end is
    cut off. Gaps, stops inside, melting points in kelvin, and a species of fewer than 20 proteins
    are errors.

    References
    ----------
    Garcia Lopez et al. 2025, doi:10.1002/prot.70019 (melting points and species); Ganin et al.
    2016, JMLR 17(59):1 (features trained against a domain); Belrose et al. 2023, NeurIPS,
    arXiv:2306.03819 (linear erasure); Cho et al. 2014,
    doi:10.3115/v1/D14-1179 (gated units); Jarzab et al. 2020, doi:10.1038/s41592-020-0801-4 (the
    melting points).

    Examples
    --------
    >>> draw = np.random.default_rng(0)
    >>> proteins = ["".join(draw.choice(list("ACDEFGHIKLMNPQRSTVWY"), 60)) for _ in range(80)]
    >>> tm = [40 + p.count("E") for p in proteins]
    >>> model = StabilityModel(n_seeds=1, max_epochs=2, n_hidden=4)
    >>> model = model.fit(proteins, tm, species=["a", "b"] * 40)
    >>> model.predict(proteins[:3]).shape, model.transform(proteins[:3]).shape
    ((3,), (3, 4))
    """

    _quantities: ClassVar[tuple[Quantity, ...]] = (
        *(
            Quantity(
                name=f"spearman{name}", units="1", dims=("species",),
                long_name=f"Spearman correlation within a species{of}",
                method="held-out proteins, bootstrap over proteins",
                reason="fewer than 3 of its proteins were held out",
            )
            for name, of in (
                ("", ""), ("_ridge", " of a ridge on composition and length"),
                ("_pairs", " of a ridge on pairs of letters"),
                ("_trees", " of boosted trees on composition and length"),
            )
        ),
        Quantity(
            name="spearman_mean", units="1",
            long_name="Spearman correlation within a species, mean over species",
            method="held-out proteins, bootstrap over proteins",
        ),
        Quantity(
            name="spearman_label", units="1",
            long_name="mean Spearman correlation within a species of the species alone",
            method="by construction", reason="it says the same of every protein of a species",
        ),
        *(
            Quantity(
                name=f"decodable{name}", units="1", dims=("probe",),
                long_name=f"balanced accuracy of the species decoded from {of}",
                method="logistic regression and boosted trees, stratified folds, out of fold",
                reason=_ONE,
            )
            for name, of in (("", "the features"), ("_composition", "composition and length"))
        ),
        Quantity(
            name="decodable_chance", units="1", long_name="balanced accuracy by chance",
            method="one over the number of species", reason="it is exact",
        ),
    )  # fmt: skip
    _tables: ClassVar[Mapping[str, str]] = {"parameters": "parameters_", "history": "history_"}
    _kept: ClassVar[Mapping[str, str]] = {
        "n_proteins": "n_proteins_", "n_held_out": "n_held_out_", "networks": "_network_settings",
        "species": "species_",
    }  # fmt: skip
    _papers: ClassVar[tuple[str, ...]] = (
        "belrose_2023", "cho_2014", "ganin_2016", "garcia_lopez_2025", "kingma_2015",
    )  # fmt: skip
    _packages: ClassVar[tuple[str, ...]] = ("numpy", "scikit-learn", "torch")
    #: What `score` gives, for tables of cross-validation.
    score_name: ClassVar[str] = "mean Spearman correlation within a group"

    def __init__(
        self,
        *,
        n_seeds: int = 3,
        n_hidden: int = 16,
        n_features: int = 3,
        reversal: float = 1.0,
        max_epochs: int = 12,
        learning_rate: float = 3e-3,
        validation_fraction: float = 0.1,
        confidence_level: float = 0.95,
        rng: RNG = 0,
        progress: bool = False,
    ) -> None:
        self.n_seeds = n_seeds
        self.n_hidden = n_hidden
        self.n_features = n_features
        self.reversal = reversal
        self.max_epochs = max_epochs
        self.learning_rate = learning_rate
        self.validation_fraction = validation_fraction
        self.confidence_level = confidence_level
        self.rng = rng
        self.progress = progress

    def fit(
        self, X: SequenceSet | Sequence[str], y: ArrayLike, *, species: ArrayLike | None = None
    ) -> Self:
        """Train on proteins whose melting points are known.

        Parameters
        ----------
        X : (protein,), letters of amino acids.
        y : (protein,), degC, melting points.
        species : (protein,), labels; by default the group ``species`` of a SequenceSet.

        Returns
        -------
        self

        Raises
        ------
        KindError, ShapeError, DataError
            DNA, gaps, lengths that differ, melting points in kelvin or missing, a species of
            fewer than 20 proteins or of equal melting points.

        Warns
        -----
        UserWarning
            One species came: nothing tells its signature from stability.
        """
        from neurornn.sequences.splice_training import held_out_parts
        from neurornn.sequences.stability_training import learn, scores_within

        self._check()
        proteins = as_proteins(X)
        tm = _as_melting_points(y, len(proteins))
        if species is None and isinstance(X, SequenceSet):
            species = X.groups.get("species")
        labels, number = _as_species(species, tm)
        if len(labels) == 1:
            warn_user(
                f"All {len(proteins)} proteins are of one species: nothing could be driven out of "
                "the features. Pass species=, or test the model on another species"
            )
        target = scores_within(tm, number)
        draw = generator(self.rng)
        seed = int(draw.integers(2**31 - 1))
        parts = held_out_parts(
            cluster_by_kmers(proteins, _KMER), np.zeros(len(tm), np.int64), int(self.n_seeds),
            float(self.validation_fraction), draw,
        )  # fmt: skip
        if min(map(len, parts)) < 2 * len(labels):
            raise DataError(
                f"{min(map(len, parts))} proteins were held out of a network, for {len(labels)} "
                "species",
                "At least two for each species were needed; relatives stay together",
                "Pass more proteins, or a larger validation_fraction",
            )
        x = stretches(proteins)
        with one_thread(), progress_bar(len(parts), 0, self.progress, "networks") as tick:
            found = learn(
                proteins, x, target, number, parts, n_hidden=int(self.n_hidden),
                n_features=int(self.n_features), reversal=float(self.reversal),
                max_epochs=int(self.max_epochs), learning_rate=float(self.learning_rate),
                seed=seed, tick=tick,
            )  # fmt: skip
            self._networks = found.networks
            self._network_settings = found.networks[0].settings
            self._erased = found.erased
            self.species_ = labels
            self.n_proteins_, self.n_held_out_ = len(proteins), len(found.rows)
            self._tabulate(found, target, number, proteins, x)
        self.history_ = training_history(
            found,
            "half squared error of the training, adversary included",
            "half squared error held out",
        )
        return self

    def predict(self, X: SequenceSet | Sequence[str]) -> NDArray[np.float64]:
        """Stability within a species, (protein,): normal score, unit 1.

        Parameters
        ----------
        X : (protein,).

        Notes
        -----
        0 is the middle of a species and 1 one standard deviation above it. Compare proteins of
        one species: how hot that species is, is not told.
        """
        return self._read(X)[0]

    def transform(self, X: SequenceSet | Sequence[str]) -> NDArray[np.float64]:
        """Features that the networks hand to their read-outs, (protein, feature).

        Parameters
        ----------
        X : (protein,).
        """
        return self._read(X)[1]

    def score(
        self, X: SequenceSet | Sequence[str], y: ArrayLike, species: ArrayLike | None = None
    ) -> float:
        """Spearman correlation of melting points and predictions, mean within species.

        Parameters
        ----------
        X : (protein,). y : (protein,), degC.
        species : (protein,); one species by default.
        """
        predicted = self.predict(X)
        tm = _as_melting_points(y, len(predicted))
        number = np.zeros(len(tm), np.int64)
        if species is not None:
            number = np.unique(check_labels(species, "species"), return_inverse=True)[1]
        return within_species(np.stack([predicted, tm, number], axis=1))

    def _read(self, X: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        from neurornn.sequences.stability_training import read

        check_is_fitted(self, "parameters_")
        with one_thread():
            return read(self._networks, stretches(as_proteins(X)), self._erased)

    def _tabulate(
        self, found: Any, target: NDArray[np.float64], number: NDArray[np.int64],
        proteins: SequenceSet, x: NDArray[np.float32],
    ) -> None:  # fmt: skip
        from neurornn.sequences.stability_training import BASELINES, read

        level, draw = float(self.confidence_level), np.random.default_rng(0)
        labels, own = number[found.rows], target[found.rows]

        def scored(rows: Any, predicted: Any) -> tuple[float, tuple[float, float]]:
            table = np.stack([predicted, own, labels], axis=1)[rows]
            if len(table) < 3:
                return np.nan, (np.nan, np.nan)
            return within_species(table), bootstrap_interval(
                table, within_species, confidence_level=level, n_resamples=_RESAMPLES, rng=0
            )

        estimates = []
        accounts = zip(("", *BASELINES), (found.predicted, *found.plain), strict=True)
        for name, predicted in accounts:
            pairs = [scored(labels == k, predicted) for k in range(len(self.species_))]
            quantity = self.quantity(f"spearman_{name}".rstrip("_"))
            estimates.append(quantity.of([v for v, _ in pairs], [ci for _, ci in pairs]))
        everyone = np.ones(len(own), dtype=bool)
        estimates.append(self.quantity("spearman_mean").of(*scored(everyone, found.predicted)))
        estimates.append(self.quantity("spearman_label").of(0.0))
        some = np.sort(draw.permutation(len(x))[:_DECODED])
        sources = {
            "decodable": read(found.networks, x[some], self._erased)[1],
            "decodable_composition": simple_features(proteins[some])[0],
        }
        for name, features in sources.items():
            pairs = [(np.nan, (np.nan, np.nan))] * len(PROBES)
            if len(self.species_) > 1:
                pairs = [
                    decodability(
                        features,
                        number[some],
                        kind,
                        n_splits=_FOLDS,
                        n_trees=_TREES,
                        confidence_level=level,
                    )
                    for kind in PROBES
                ]
            estimates.append(self.quantity(name).of([v for v, _ in pairs], [c for _, c in pairs]))
        estimates.append(self.quantity("decodable_chance").of(1 / len(self.species_)))
        enough = np.bincount(labels, minlength=len(self.species_)) >= 3
        status = [str(Status.OK if k else Status.NO_DATA) for k in enough]
        self.parameters_ = to_dataset(
            estimates, confidence_level=level,
            coords={"species": [str(s) for s in self.species_], "probe": list(PROBES)},
            status=status, status_dims=("species",),
        )  # fmt: skip

    def _check(self) -> None:
        check_ensemble(self, "n_hidden", "n_features")
        check_number(self.reversal, "reversal", least=0)

    def _report_table(self) -> Table:
        check_is_fitted(self, "parameters_")
        n = self.history_.sizes["network"]
        head = [
            f"{self.n_proteins_} proteins of {len(self.species_)} species, "
            f"{n} network{'s' * (n > 1)}; scores are of {self.n_held_out_} "
            "proteins held out, of species that the training knows",
            'A species never seen: nr.data.cross_score(..., split="leave-group-out")',
            *self._doubts(),
        ]
        return parameters_table(self.parameters_, "StabilityModel", head=head)

    def _doubts(self) -> list[str]:
        """Say in which species a plain model predicts as well."""
        from neurornn.sequences.stability_training import BASELINES

        table = self.parameters_
        found = []
        for name in BASELINES:
            as_well = (table[f"spearman_{name}"] >= table["spearman"]).values
            plain = table["species"].values[as_well]
            if len(plain):
                what = self.quantity(f"spearman_{name}").long_name.partition(" of ")[2]
                found.append(f"NO BETTER than {what} in {', '.join(plain)}")
        return found

    def _methods_sentence(self) -> str:
        return (
            f"Melting points of {self.n_proteins_} proteins, as normal scores within "
            f"{len(self.species_)} species, were learned by {self.history_.sizes['network']} "
            "gated recurrent networks trained against telling the species; scores are of "
            f"{self.n_held_out_} proteins held out"
        )

    def _to_saved(self) -> dict[str, Any]:
        from neurornn.sequences.saved_networks import arrays_of

        weights = arrays_of(self._networks)
        for k, map_ in enumerate(self._erased):
            if map_ is not None:
                weights[f"erased.{k}"] = map_
        return {**super()._to_saved(), "weights": weights}

    def _after_load(self, content: SavedContent) -> None:
        from neurornn.sequences.saved_networks import networks_from
        from neurornn.sequences.stability_network import ProteinReader

        n = self.history_.sizes["network"]
        given = dict(content.weights or {})
        maps = [given.pop(f"erased.{k}", None) for k in range(n)]
        self._erased = [None if m is None else np.asarray(m, dtype=np.float64) for m in maps]
        self._networks = networks_from(ProteinReader, self._network_settings, given, n)


def within_species(table: NDArray[np.float64]) -> float:
    """Spearman correlation within a species, mean over species.

    Parameters
    ----------
    table : (protein, 3): prediction, melting point, number of the species. Species of fewer than
        three proteins are left out; constant predictions have 0.
    """
    found = []
    for k in np.unique(table[:, 2]):
        a, b = (rankdata(column) for column in table[table[:, 2] == k, :2].T)
        if len(a) > 2:
            flat = np.ptp(a) == 0 or np.ptp(b) == 0
            found.append(0.0 if flat else float(np.corrcoef(a, b)[0, 1]))
    return float(np.mean(found)) if found else float("nan")


def as_proteins(X: Any) -> SequenceSet:
    """Return proteins without a stop at their end, from a set or from strings."""
    if isinstance(X, str | bytes) or not isinstance(X, SequenceSet | Sequence | np.ndarray):
        raise KindError(
            f"A {type(X).__name__} came as proteins",
            "A SequenceSet or a list of strings was needed",
            "Pass [protein] for a single one",
        )
    if not isinstance(X, SequenceSet):
        texts = [str(s) if isinstance(s, str) else s for s in list(X)]
        if not all(isinstance(s, str) for s in texts):
            raise KindError(
                "Proteins came that are no strings",
                "Letters were needed; they are made into numbers here",
                "Pass a SequenceSet or a list of strings",
            )
        X = SequenceSet.from_sequences(
            [f"protein_{k}" for k in range(len(texts))], texts, "protein"
        )
    if X.alphabet != "protein":
        raise KindError(
            f"{X.alphabet.upper()} came as proteins", "Amino acids were needed",
            "Translate it first: nr.data.translate",
        )  # fmt: skip
    if not len(X):
        raise DataError("No proteins came", "At least one was needed", "Check the selection")
    # Sequences are read again and again: as they lie in the buffer.
    codes, ends = X.flat_codes(), np.cumsum(X.lengths)
    stop = codes == _STOP
    last = np.zeros(len(codes), dtype=bool)
    last[ends[X.lengths > 0] - 1] = True
    at_end = stop & last
    if (stop & ~last).any():
        row = int(np.searchsorted(ends, np.flatnonzero(stop & ~last)[0], side="right"))
        raise DataError(
            f"{X.names[row]} has a stop (*) inside",
            "A protein was needed, with a stop at its end at most",
            "Cut it there, or check the frame that was translated",
        )
    if at_end.any():
        cut = np.zeros(len(X), np.int64)
        cut[np.searchsorted(ends, np.flatnonzero(at_end), side="right")] = 1
        X = SequenceSet(
            X.buffer, X.starts, X.stops - cut, X.names.tolist(), "protein", groups=X.groups,
            labels=X.labels,
        )  # fmt: skip
        codes, ends = X.flat_codes(), np.cumsum(X.lengths)
    owner = np.repeat(np.arange(len(X)), X.lengths)
    known = np.bincount(owner[codes < _N_RESIDUES], minlength=len(X))
    if known.min() == 0:
        row = int(known.argmin())
        raise DataError(
            f"{X.names[row]} has {X.lengths[row]} letters, none of a known amino acid",
            "At least one of the twenty was needed",
            "Leave empty records out: sequences[sequences.lengths > 0]",
        )
    return X


def _as_melting_points(y: Any, n: int) -> NDArray[np.float64]:
    tm = check_numbers(y, "y", missing=False)
    if tm.shape != (n,):
        raise ShapeError(
            f"y has shape {tm.shape} for {n} proteins",
            "One melting point for each protein was needed",
            "Select the same rows of both",
        )
    middle = float(np.median(tm))
    if middle > _KELVIN or middle < _COLDEST:
        raise DataError(
            f"The median of y is {middle:.4g}, which is no melting point in degC",
            f"Numbers between {_COLDEST:g} and {_KELVIN:g} degC were needed",
            "Subtract 273.15 from kelvin" if middle > _KELVIN else "Check the column",
        )
    return tm


def _as_species(species: Any, tm: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Labels of the species, and the number of that of each protein."""
    if species is None:
        species = np.zeros(len(tm), dtype="U7")
        species[:] = "unnamed"
    given = check_labels(species, "species")
    if given.shape != tm.shape:
        raise ShapeError(
            f"species has shape {given.shape} for {len(tm)} proteins",
            "One label for each protein was needed",
            "Select the same rows of both",
        )
    labels, number, size = np.unique(given, return_inverse=True, return_counts=True)
    for k, (label, count) in enumerate(zip(labels, size, strict=True)):
        own = tm[number == k]
        if count < _LEAST or np.ptp(own) == 0:
            what = f"{count} proteins" if count < _LEAST else f"melting points of {own[0]:g} only"
            raise DataError(
                f"Species {label} has {what}",
                f"At least {_LEAST} proteins of different melting points were needed to rank them",
                "Leave it out: species != label",
            )
    return labels, number


_N_RESIDUES = 20
#: Code of a stop.
_STOP = _N_RESIDUES + "BZJXUO*".index("*")
