"""How a score in a species never seen grows with the number of species in the training."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from sklearn.base import clone

from neurornn._core.checks import check_confidence_level, check_count, check_labels, check_rng
from neurornn._core.confidence import Estimate, bootstrap_interval, to_dataset
from neurornn._core.errors import SplitError
from neurornn._core.jobs import progress_bar
from neurornn._core.rng import RNG, generator
from neurornn.data.sequence_sets import SequenceSet


def species_curve(
    model: Any,
    X: SequenceSet | Sequence[str],
    y: ArrayLike,
    species: ArrayLike,
    *,
    most: int = 3,
    confidence_level: float = 0.95,
    rng: RNG = 0,
    progress: bool = False,
) -> xr.Dataset:
    """Score every species by models that learned from one, two, ... of the others.

    Parameters
    ----------
    model : estimator whose ``fit`` takes ``species``, such as `StabilityModel`; clones are fitted.
    X : (protein,). y : (protein,), degC. species : (protein,), labels of at least two species.

    Other Parameters
    ----------------
    most : sets of species of one size, drawn at random, that a species is scored by at most.
    confidence_level : of the intervals.
    rng : int, Generator or None, for the draw of the sets.
    progress : show a bar, of fits.

    Returns
    -------
    Dataset
        ``score (n_species)``, mean over species of the model's score in a species held out, with
        ``score_ci`` (bootstrap over species, NaN below three); ``score_of (n_species, held_out)``
        and ``n_fits (n_species)``.

    Raises
    ------
    SplitError
        One species alone.

    Notes
    -----
    A curve that rises promises more from more species; one that is flat says that the features do
    not carry over, however many species come.
    """
    labels = check_labels(species, "species")
    targets = np.asarray(y)
    most, draw = check_count(most, "most"), generator(check_rng(rng))
    check_confidence_level(confidence_level)
    names = np.unique(labels)
    if len(names) < 2:
        raise SplitError(
            f"All {len(labels)} proteins are of one species, {names[0]}",
            "At least two were needed: one to learn from, one to be tested on",
            "Add proteins of another species",
        )
    sequences = X if isinstance(X, SequenceSet) else np.asarray(X, dtype=object)
    plan = []
    for held in names:
        rest = [n for n in names if n != held]
        for size in range(1, len(names)):
            sets = list(combinations(rest, size))
            drawn = sorted(draw.permutation(len(sets))[:most].tolist())
            plan.extend((held, size, sets[k]) for k in drawn)
    scores: dict[tuple[str, int], list[float]] = {}
    with progress_bar(len(plan), 0, progress, "fits") as tick:
        for held, size, chosen in plan:
            train, test = np.isin(labels, chosen), labels == held
            one, other = (
                s if isinstance(s, SequenceSet) else s.tolist()
                for s in (sequences[train], sequences[test])
            )
            fitted = clone(model).fit(one, targets[train], species=labels[train])
            scores.setdefault((held, size), []).append(float(fitted.score(other, targets[test])))
            tick()
    sizes = np.arange(1, len(names))
    table = np.array([[np.mean(scores[n, s]) for n in names] for s in sizes])
    bounds = [bootstrap_interval(row, confidence_level=confidence_level, rng=0) for row in table]
    what = str(getattr(model, "score_name", "score of the model"))
    out = to_dataset(
        [Estimate(name="score", value=table.mean(axis=1), ci=bounds, dims=("n_species",),
                  units="1", long_name=what, method="whole species held out; bootstrap over them",
                  reason="fewer than 3 species")],
        confidence_level=confidence_level, coords={"n_species": sizes, "held_out": names},
    )  # fmt: skip
    out["score_of"] = (("n_species", "held_out"), table, {"units": "1", "long_name": what})
    fits = [sum(len(scores[n, s]) for n in names) for s in sizes]
    out["n_fits"] = ("n_species", fits, {"units": "1", "long_name": "fits"})
    return out
