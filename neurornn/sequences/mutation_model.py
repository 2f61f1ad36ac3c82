"""What a mutation does to the stability of a protein, from its sequence alone."""

from collections.abc import Collection, Mapping, Sequence
from importlib.resources import files
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from neurornn._core.checks import (
    check_confidence_level,
    check_count,
    check_labels,
    check_numbers,
    check_rng,
)
from neurornn._core.confidence import Estimate, to_dataset
from neurornn._core.errors import DataError, ShapeError
from neurornn._core.jobs import one_thread, progress_bar
from neurornn._core.quantities import Quantity
from neurornn._core.report import Table, parameters_table
from neurornn._core.rng import RNG, generator
from neurornn.data.residue_scales import RESIDUES
from neurornn.data.sequence_sets import SequenceSet
from neurornn.data.substitutions import mutant_sequence, place_substitutions
from neurornn.io.mutation_tables import SIGN
from neurornn.io.saved import SavedContent, load
from neurornn.io.shell import Estimator
from neurornn.sequences.mutation_agreement import mean_within, spearman_within
from neurornn.sequences.mutation_input import (
    Embeddings,
    as_variants,
    embedding_of,
    embedding_width,
    one_protein,
    protein_letters,
    variant_columns,
)

#: Folder of the model that comes with the package.
SHIPPED = "mutation_model"
#: Variants below which nothing can be learned, and folds in which every network is tested.
_LEAST, _FOLDS = 100, 3
_CONFORMAL = "conformal, families held out"


class MutationModel(Estimator):
    """Changes of folding free energy of proteins by substitutions, in kcal/mol.

    Parameters
    ----------
    n_seeds : networks whose predictions are averaged.
    n_steps : of the training of each network.
    confidence_level : of the intervals of predictions, and of the scores in the table.
    rng : int, Generator or None: first weights, orders.
    progress : show a bar.

    Attributes
    ----------
    parameters_ : Dataset
        ``spearman``, correlation of predicted and measured values within a protein whose family no
        network had seen, mean over proteins, beside ``spearman_ridge``, a ridge on one-hot letters
        of the mutation and five residues on either side, and ``spearman_pair``, the mean of each
        pair of residues; ``spearman_all`` over all variants at once; ``scale``,
        ``tree_scale`` and ``offset`` that turn the output of networks and trees into kcal/mol.
    halfwidth_, growth_ : of the interval of a prediction, kcal/mol and per kcal/mol: give or take
        ``halfwidth_ * (1 + growth_ * abs(prediction))``.
    history_ : Dataset over ``network`` and ``step``: ``loss``.
    held_out_ : Dataset over ``variant``: ``predicted`` by networks that had not seen its family,
        and ``measured``.
    has_families_ : whether whole families were held out; of one family whole residues are, and
        variants where fewer than ten residues vary.

    Notes
    -----
    Two LSTM that were trained on three proteomes without labels, to tell a residue from those
    before and behind it, stop at the mutated residue (`residue_network`). From their states, the
    residue itself, and how far the ends are, small networks learn what every other residue costs
    there, along a few directions in which amino acids differ; boosted trees learn the same from
    scales of the residues around, their moments, and what the LSTM expect there. The target is
    the rank of a variant within its protein, where all have one substitution: which are worse than
    others. Three numbers, from variants whose families were held out, then weigh both by how they
    tell these ranks, and turn them into kcal/mol. Costs of several substitutions add up.

    A cost is counted from the natural sequence, which has none: G(x) is the sum of the costs of
    the residues in which x differs from it, and the change from one variant to another is the
    difference of their G. That is a function of state, so that f(a, b) = -f(b, a) to the last bit,
    and changes around a circle sum to 0; see `difference`. Which of two sequences is the natural
    one cannot be read from them. Where nobody says, the mean of both ways is antisymmetric too,
    and worse: ``reference="both"``.

    Intervals are conformal: residuals of variants whose families were held out, wider where a
    larger change is predicted. They hold for proteins like those of the training.

    Ambiguous residues (B, J, O, U, X, Z) are read as not known; gaps, stops, and mutations of such
    residues are errors. Signs and units are those of `io.read_mutations`: above 0 is destabilised,
    kcal/mol.

    References
    ----------
    Tsuboyama et al. 2023, doi:10.1038/s41586-023-06328-6 (mega-scale measurements); Hermans et al.
    2024, doi:10.1101/2024.05.28.596203 (families); Pucci et al. 2018,
    doi:10.1093/bioinformatics/bty348 (antisymmetry, Ssym); Hochreiter & Schmidhuber 1997,
    doi:10.1162/neco.1997.9.8.1735 (LSTM); Lei et al. 2018, doi:10.1080/01621459.2017.1307116
    (conformal intervals).

    Examples
    --------
    >>> model = MutationModel.shipped()
    >>> protein = "MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEGIPPDQQRLIFAGKQLEDGRTLSDYNIQKESTLHLVLRLRGG"
    >>> costs = model.predict(protein, ["I3A", "K63R", "I3A:K63R"])
    >>> bool(costs[0] > costs[1]), bool(np.isclose(costs[2], costs[:2].sum()))
    (True, True)
    """

    _quantities: ClassVar[tuple[Quantity, ...]] = (
        *(
            Quantity(
                name=f"spearman{name}", units="1", long_name=f"Spearman correlation {of}",
                method="families held out, bootstrap over families",
                reason="fewer than three families",
            )
            for name, of in (
                ("", "within a protein"), ("_ridge", "within a protein, ridge"),
                ("_pair", "within a protein, mean of the pair of residues"),
                ("_all", "of all variants at once"),
            )
        ),
        Quantity(
            name="scale", units="kcal/mol", method="least squares, families held out",
            long_name="kcal/mol of a cost of 1", reason="three numbers from thousands of variants",
        ),
        Quantity(
            name="tree_scale", units="kcal/mol", method="least squares, families held out",
            long_name="kcal/mol of a cost of 1 of the trees",
            reason="three numbers from thousands of variants",
        ),
        Quantity(
            name="offset", units="kcal/mol", method="least squares, families held out",
            long_name="kcal/mol of any substitution",
            reason="three numbers from thousands of variants",
        ),
    )  # fmt: skip
    _tables: ClassVar[Mapping[str, str]] = {
        "parameters": "parameters_", "history": "history_", "held_out": "held_out_",
    }  # fmt: skip
    _kept: ClassVar[Mapping[str, str]] = {
        "n_variants": "n_variants_", "n_proteins": "n_proteins_", "n_families": "n_families_",
        "has_families": "has_families_", "networks": "_network_settings",
        "n_embedded": "_n_embedded", "halfwidth": "halfwidth_", "growth": "growth_",
    }  # fmt: skip
    _papers: ClassVar[tuple[str, ...]] = ("hochreiter_1997", "lei_2018", "tsuboyama_2023")
    _packages: ClassVar[tuple[str, ...]] = ("numpy", "scikit-learn", "scipy", "torch")

    def __init__(
        self,
        *,
        n_seeds: int = 5,
        n_steps: int = 300,
        confidence_level: float = 0.9,
        rng: RNG = 0,
        progress: bool = False,
    ) -> None:
        self.n_seeds = n_seeds
        self.n_steps = n_steps
        self.confidence_level = confidence_level
        self.rng = rng
        self.progress = progress

    @classmethod
    def shipped(cls) -> Self:
        """Return the model that comes with the package, trained on all of mega-scale at hand.

        ``python -m neurornn.sequences.make_mutation_model`` made it.
        """
        found = load(str(files("neurornn.sequences").joinpath(SHIPPED)))
        assert isinstance(found, cls)
        return found

    def fit(
        self,
        wild_types: Any,
        mutations: Sequence[str] | None = None,
        ddg: ArrayLike | None = None,
        *,
        family: ArrayLike | None = None,
        embeddings: Embeddings | None = None,
    ) -> Self:
        """Learn from measured variants.

        Parameters
        ----------
        wild_types : (variant,), letters of the protein of each variant, or those of the one
            protein, or the table of `io.read_mutations`, which holds all three.
        mutations : (variant,), such as ``"A123G"`` or ``"A1G:L2C"``, counted from 1.
        ddg : (variant,), kcal/mol, above 0 where the variant is less stable.
        family : (variant,), labels of relatives that are held out together; by default proteins
            that share no stretch of ten residues are strangers.
        embeddings : wild type -> (residue, number), what another model says of each residue, such
            as a protein language model; `predict` then needs it as well.

        Returns
        -------
        self

        Raises
        ------
        DataError, ShapeError, KindError
            Columns of different lengths, fewer than 100 variants, a substitution that does not fit
            its sequence, values that are not finite or do not vary, embeddings that do not fit.
        """
        from neurornn.sequences.mutation_training import learn
        from neurornn.sequences.mutation_trees import place_columns

        check_count(self.n_seeds, "n_seeds")
        check_count(self.n_steps, "n_steps", 10)
        check_confidence_level(self.confidence_level)
        check_rng(self.rng)
        if isinstance(wild_types, xr.Dataset):
            mutations, ddg, wild_types = variant_columns(wild_types, mutations, ddg)
        sequences, texts = as_variants(wild_types, mutations)
        values = check_numbers(ddg, "ddg")
        labels = None if family is None else check_labels(family, "family")
        for name, column in (("ddg", values), ("family", labels)):
            if column is not None and column.shape != (len(texts),):
                raise ShapeError(
                    f"{name} has shape {column.shape} for {len(texts)} variants",
                    "One value for each variant was needed",
                    "Pass the columns of one table",
                )
        if len(texts) < _LEAST or np.ptp(values) == 0:
            raise DataError(
                f"{len(texts)} variants came, with values from {values.min():g} to "
                f"{values.max():g}" if len(texts) else "No variants came",
                f"At least {_LEAST} variants whose values differ were needed",
                "Use MutationModel.shipped(), which needs none, or add variants",
            )  # fmt: skip
        placed = [place_substitutions(s, t) for s, t in zip(sequences, texts, strict=True)]
        self._n_embedded = embedding_width(embeddings)
        total = int(self.n_seeds) + _FOLDS
        with one_thread(), progress_bar(total, 0, self.progress, "networks") as tick:
            found = learn(
                sequences, placed, values, labels, n_seeds=int(self.n_seeds), n_folds=_FOLDS,
                n_steps=int(self.n_steps), level=float(self.confidence_level),
                seed=int(generator(self.rng).integers(2**31 - 1)), tick=tick,
                features=lambda s: self._features(s, embeddings),
                columns=lambda s: place_columns(self._reader, s),
            )  # fmt: skip
        self._networks, self._network_settings = found.networks, found.networks[0].settings
        self._trees = found.trees
        self.has_families_ = found.has_families
        self.halfwidth_, self.growth_ = found.halfwidth, found.growth
        self.n_variants_, self.n_proteins_ = len(texts), len(set(sequences))
        self.n_families_ = len(np.unique(found.family))
        self._tabulate(found, np.array(sequences), values)
        return self

    def predict(
        self,
        wild_types: Any,
        mutations: Sequence[str] | None = None,
        *,
        reference: str | Sequence[str] = "wild_type",
        embeddings: Embeddings | None = None,
    ) -> NDArray[np.float64]:
        """Change of folding free energy of each variant, (variant,), kcal/mol.

        Parameters
        ----------
        wild_types, mutations : see `fit`.
        reference : the sequence that costs are counted from: ``"wild_type"``, ``"both"`` (see
            `difference`), or (variant,) letters of the natural protein where `wild_types` are
            variants of it.
        embeddings : wild type -> (residue, number), where `fit` had them.

        Raises
        ------
        DataError, KindError, ShapeError
            See `fit`.
        """
        if isinstance(wild_types, xr.Dataset):
            mutations, _, wild_types = variant_columns(wild_types, mutations, None)
        sequences, texts = as_variants(wild_types, mutations)
        mutants = [mutant_sequence(s, t) for s, t in zip(sequences, texts, strict=True)]
        if isinstance(reference, str) and reference == "wild_type":
            reference = sequences
        return self.difference(sequences, mutants, reference=reference, embeddings=embeddings)

    def difference(
        self,
        first: Sequence[str],
        second: Sequence[str],
        *,
        reference: str | Sequence[str] = "both",
        embeddings: Embeddings | None = None,
    ) -> NDArray[np.float64]:
        """Change of folding free energy from one sequence to another, (pair,), kcal/mol.

        Parameters
        ----------
        first, second : (pair,), letters of two variants of a protein, of one length.
        reference : (pair,), letters of the natural protein, or ``"both"``: the mean of what is
            found with either of the two as the natural one.
        embeddings : reference -> (residue, number), where `fit` had them.

        Notes
        -----
        ``difference(a, b) == -difference(b, a)`` to the last bit, whatever the reference. With a
        reference, ``difference(a, b) + difference(b, c) == difference(a, c)`` up to rounding.
        """
        check_is_fitted(self, "parameters_")
        one, other = protein_letters(first, "first"), protein_letters(second, "second")
        if isinstance(reference, str) and reference != "both":
            reference = [reference] * len(one)
        given = None if isinstance(reference, str) else protein_letters(reference, "reference")
        for name, column in (("second", other), ("reference", given)):
            if column is not None and len(column) != len(one):
                raise ShapeError(
                    f"{len(one)} sequences came as first and {len(column)} as {name}",
                    "As many of one as of the other were needed",
                    "Pass pairs of sequences",
                )
        triples = [
            (a, b, (a, b) if given is None else (given[k],))
            for k, (a, b) in enumerate(zip(one, other, strict=True))
        ]
        changed: dict[str, set[int]] = {}
        for a, b, natural in triples:
            _check_lengths(a, b, *natural)
            for n in natural:
                places = changed.setdefault(n, set())
                places.update(i for x in (a, b) for i in range(len(n)) if x[i] != n[i])
        with one_thread():
            tables = {n: self._table(n, embeddings, changed[n]) for n in changed}
        return np.array([_change(a, b, natural, tables) for a, b, natural in triples])

    def predict_interval(
        self,
        wild_types: Any,
        mutations: Sequence[str] | None = None,
        *,
        embeddings: Embeddings | None = None,
    ) -> NDArray[np.float64]:
        """Interval of each prediction, (variant, 2), kcal/mol.

        Parameters
        ----------
        wild_types, mutations, embeddings : see `predict`.
        """
        value = self.predict(wild_types, mutations, embeddings=embeddings)
        return np.stack([value - self._halfwidth(value), value + self._halfwidth(value)], axis=-1)

    def mutate_all(
        self, sequence: SequenceSet | str, *, embedding: NDArray[Any] | None = None
    ) -> xr.Dataset:
        """Put every other residue at every place of a protein.

        Parameters
        ----------
        sequence : letters of the protein, or a SequenceSet of one.
        embedding : (residue, number), where `fit` had them.

        Returns
        -------
        Dataset over ``position`` and ``residue``
            ``ddg`` with its interval, kcal/mol, 0 for the residue that stands there;
            ``wild_type (position)``. Positions count from 1, as in ``A123G``. Where the residue
            of the protein is not known there is no number.

        Notes
        -----
        One pass along the sequence in either direction, whatever the number of mutants: what is
        read at a residue does not hang on the residue.
        """
        check_is_fitted(self, "parameters_")
        text = one_protein(sequence)
        with one_thread():
            table = self._table(text, None if embedding is None else {text: embedding})
        known = np.array([letter in RESIDUES for letter in text])
        table = np.where(known[:, None], table, np.nan)
        half = self._halfwidth(table)
        dims = ("position", "residue")
        made = to_dataset(
            [
                Estimate(
                    name="ddg", value=table, ci=np.stack([table - half, table + half], axis=-1),
                    units="kcal/mol", dims=dims, long_name="change of folding free energy",
                    method=_CONFORMAL, attrs={"sign": SIGN},
                )
            ],
            confidence_level=float(self.confidence_level), coords={"residue": list(RESIDUES)},
        )  # fmt: skip
        place = {"units": "1", "long_name": "residue, counted from 1"}
        return made.assign(wild_type=("position", np.array(list(text)))).assign_coords(
            position=("position", np.arange(1, len(text) + 1), place)
        )

    def _table(
        self, sequence: str, embeddings: Embeddings | None, places: Collection[int] | None = None
    ) -> NDArray[np.float64]:
        """Cost of every residue, at some places or all, kcal/mol; 0 of the one that is there."""
        from neurornn.sequences.mutation_network import costs_of

        table = self.parameters_
        places = range(len(sequence)) if places is None else sorted(places)
        where = np.array(places, dtype=int)
        found = np.full((len(sequence), len(RESIDUES)), np.nan)
        # Networks see the whole sequence always: products of fewer rows may round otherwise.
        costs = costs_of(self._networks, self._features(sequence, embeddings))[where]
        found[where] = float(table["offset"]) + float(table["scale"]) * costs
        if self._trees is not None:
            found[where] += float(table["tree_scale"]) * self._branches(sequence, where)
        for i, letter in enumerate(sequence):
            if letter in RESIDUES:
                found[i, RESIDUES.index(letter)] = 0
        return found

    def _branches(self, sequence: str, where: NDArray[np.int64]) -> NDArray[np.float64]:
        """What the trees say of every residue at some places, (place, 20)."""
        from neurornn.sequences.mutation_trees import mutant_rows, place_columns
        from neurornn.sequences.residue_network import residue_codes

        wild, k = residue_codes(sequence)[1:-1][where], len(RESIDUES)
        columns = np.repeat(place_columns(self._reader, sequence)[where], k, axis=0)
        rows = mutant_rows(columns, np.tile(np.arange(k), len(where)), np.repeat(wild, k))
        return np.asarray(self._trees.predict(rows)).reshape(len(where), k)

    def _features(self, sequence: str, embeddings: Embeddings | None) -> NDArray[np.float32]:
        from neurornn.sequences.mutation_network import protein_features

        embedding = None
        if self._n_embedded or embeddings is not None:
            embedding = embedding_of(embeddings, sequence, self._n_embedded)
        return protein_features(self._reader, sequence, embedding)

    @property
    def _reader(self) -> Any:
        """The network that reads what stands before and behind a residue."""
        from neurornn.sequences.residue_network import shipped_network

        if "_read_by" not in self.__dict__:
            self._read_by = shipped_network()
        return self._read_by

    def _halfwidth(self, value: NDArray[np.float64]) -> NDArray[np.float64]:
        # Of what changes nothing 0 is known, and not predicted.
        wide = self.halfwidth_ * (1 + self.growth_ * np.abs(value))
        return np.where(value == 0, 0.0, wide)

    def _tabulate(self, found: Any, proteins: NDArray[Any], values: NDArray[np.float64]) -> None:
        level = float(self.confidence_level)
        estimates = []
        for name, predicted in (
            ("spearman", found.held_out), ("spearman_ridge", found.ridge),
            ("spearman_pair", found.pair),
        ):  # fmt: skip
            rho, group = spearman_within(proteins, found.family, values, predicted)
            mean, ci = mean_within(rho, group, level)
            estimates.append(self.quantity(name).of(mean, ci))
        whole, _ = spearman_within(
            np.zeros(len(values)), np.zeros(len(values)), values, found.held_out
        )
        estimates.append(
            self.quantity("spearman_all").of(
                float(whole[0]), None, reason="proteins, and not variants, are the sample"
            )
        )
        for name in ("scale", "tree_scale", "offset"):
            told = self.quantity(name)
            estimates.append(told.of(getattr(found, name)))
        self.parameters_ = to_dataset(estimates, confidence_level=level)
        self.history_ = xr.Dataset(
            {
                "loss": (
                    ("network", "step"), found.loss,
                    {"units": "1", "long_name": "Huber loss within proteins"},
                )
            },
            coords={"network": np.arange(len(found.loss)), "step": np.arange(1, self.n_steps + 1)},
        )  # fmt: skip
        said = {"units": "kcal/mol", "sign": SIGN}
        self.held_out_ = xr.Dataset(
            {
                "predicted": (
                    "variant", found.held_out,
                    {**said, "long_name": "change by networks that had not seen the family"},
                ),
                "measured": ("variant", values, {**said, "long_name": "measured change"}),
                "family": ("variant", np.asarray(found.family)),
            }
        )  # fmt: skip

    def _report_table(self) -> Table:
        check_is_fitted(self, "parameters_")
        held = (
            "scores and intervals are of families held out"
            if self.has_families_
            else "one family: scores and intervals are of residues held out of it (of variants, "
            "where fewer than ten residues vary), not of others"
        )
        head = [
            f"{self.n_variants_} variants of {self.n_proteins_} proteins in {self.n_families_} "
            f"families; {len(self._networks)} networks",
            held,
            *self._doubts(),
            SIGN,
            f"{100 * self.confidence_level:g} % interval of a prediction: give or take "
            f"{self.halfwidth_:.3g} kcal/mol, times 1 + {self.growth_:.3g} for each kcal/mol",
        ]
        return parameters_table(self.parameters_, "MutationModel", head=head)

    def _doubts(self) -> list[str]:
        """Say where nothing was learned that holds in what was held out."""
        value, low = float(self.parameters_["spearman"]), self.parameters_["spearman_ci"].values[0]
        if (value if np.isnan(low) else low) > 0:
            return []
        return ["IN WHAT WAS HELD OUT PREDICTIONS ARE NO BETTER THAN CHANCE: do not use them"]

    def _methods_sentence(self) -> str:
        held = "families" if self.has_families_ else "residues or variants"
        return (
            "Changes of folding free energy were predicted from sequence by two LSTM read before "
            f"and behind the mutated residue and {len(self._networks)} networks trained on "
            f"{self.n_variants_} variants of {self.n_proteins_} proteins; intervals are "
            f"conformal, from {held} held out"
        )

    def _to_saved(self) -> dict[str, Any]:
        from neurornn.sequences.residue_network import network_arrays
        from neurornn.sequences.saved_networks import arrays_of

        # Weights were rounded to half precision after the training.
        arrays = {
            k: v.astype(np.float16) if not k.endswith(("centre", "spread", "scales")) else v
            for k, v in arrays_of(self._networks).items()
        }
        reader = {f"reader.{k}": v for k, v in network_arrays(self._reader).items()}
        trees = {} if self._trees is None else self._trees._asdict()
        grown = {f"trees.{name}": values for name, values in trees.items()}
        return {**super()._to_saved(), "weights": {**arrays, **reader, **grown}}

    def _after_load(self, content: SavedContent) -> None:
        from neurornn.sequences.mutation_network import CostNetwork
        from neurornn.sequences.mutation_trees import Trees
        from neurornn.sequences.residue_network import network_of
        from neurornn.sequences.saved_networks import networks_from

        weights = {k: np.asarray(v) for k, v in (content.weights or {}).items()}
        reader = {k.partition(".")[2]: v for k, v in weights.items() if k.startswith("reader.")}
        trees = {k.partition(".")[2]: v for k, v in weights.items() if k.startswith("trees.")}
        own = {k: v.astype(np.float32) for k, v in weights.items() if k[0].isdecimal()}
        n = len({k.partition(".")[0] for k in own})
        self._trees = Trees(**trees) if trees else None
        self._networks = networks_from(CostNetwork, self._network_settings, own, n)
        self._read_by = network_of(reader)


def _check_lengths(first: str, second: str, *natural: str) -> None:
    if len({len(first), len(second), *(len(n) for n in natural)}) > 1:
        raise ShapeError(
            f"Sequences of {len(first)}, {len(second)} and {len(natural[0])} residues came",
            "Variants of one length were needed: substitutions alone are known",
            "Leave insertions and deletions out",
        )


def _change(
    a: str, b: str, natural: Sequence[str], tables: Mapping[str, NDArray[np.float64]]
) -> float:
    """Change from one sequence to another, the mean over what may be the natural one."""
    changes = []
    for n in natural:
        energy = [
            sum(_cell(tables[n], i, n[i], x[i]) for i in range(len(n)) if x[i] != n[i])
            for x in (a, b)
        ]
        changes.append(energy[1] - energy[0])
    # Halves are exact, and so is the change of sign: (p + q) / 2 and (-q + -p) / 2.
    return float(sum(changes) / len(changes))


def _cell(table: NDArray[np.float64], at: int, wild: str, letter: str) -> float:
    """Cost of a change at one place; both residues must be known."""
    if wild not in RESIDUES or letter not in RESIDUES:
        raise DataError(
            f"Residue {at + 1} changes from {wild!r} to {letter!r}",
            f"Two of the 20 amino acids ({RESIDUES}) were needed",
            "Leave variants with unknown residues out",
        )
    return float(table[at, RESIDUES.index(letter)])
