"""Variants at work: scores of windows or of splice sites, chunk by chunk, and the tables."""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from neurornn._core.checks import check_count, check_number
from neurornn._core.confidence import Estimate, to_dataset
from neurornn._core.files import fingerprint
from neurornn.data.alphabets import ALPHABETS
from neurornn.data.sequence_sets import SequenceSet
from neurornn.sequences.mutation_scores import Scorer, over_networks, scorer_of
from neurornn.sequences.splice_sites import SpliceSites
from neurornn.sequences.variant_sites import changes, sites_around
from neurornn.sequences.variant_windows import (
    Change,
    change_of,
    one_hot_of,
    reverse_complements,
    stretch,
    window_pairs,
)

#: bp of a window by default: odd, so that a single letter stands in its middle.
_WINDOW = 1001
#: Bytes of one-hot windows of a chunk, and the most variants in one.
_CHUNK, _MOST = 2**25, 512
#: What happened to a variant, and what to do.
REMEDIES = {
    "ok": "",
    "symbolic": "No letters stand for the allele (<DEL>, *, a breakend): write them out.",
    "no_alternative": "ALT is '.': there is nothing to compare with.",
    "too_long": "An allele is longer than the window: pass a larger one.",
}
#: Windows that tell one model from another; variants, and bp around them, that tell genomes apart.
_PROBE, _LOOKED_AT, _AROUND = 4, 32, 100


class Calls(NamedTuple):
    """Variants as plain lists, each (variant,).

    Attributes
    ----------
    row : number of the contig. position : bp, 0-based. ref, alt : alleles.
    """

    row: list[int]
    position: list[int]
    ref: list[str]
    alt: list[str]

    def change(self, v: int) -> Change | None:
        """What a variant changes; None where there are no letters to tell.

        Parameters
        ----------
        v : number of the variant.
        """
        if not self.alt[v].isalpha():
            return None
        return change_of(self.row[v], self.position[v], self.ref[v], self.alt[v])


class Windows:
    """Scores of one window for each allele.

    Parameters
    ----------
    scorer : of the model. genome : sequences. calls : variants.
    window, anchor, both, ambiguous : see `variant_effects`; `both` strands.
    """

    def __init__(
        self, scorer: Scorer, genome: SequenceSet, calls: Calls, window: int | None,
        anchor: str, both: bool, ambiguous: str,
    ) -> None:  # fmt: skip
        length = scorer.length or _WINDOW if window is None else check_count(window, "window")
        scorer.check(ALPHABETS["dna"], length)
        self.scorer, self.genome, self.calls = scorer, genome, calls
        self.window, self.anchor, self.both, self.ambiguous = length, anchor, both, ambiguous
        self.place = scorer.place(length)
        self.n_networks = len(scorer.networks)
        self.told = {
            "window": length, "anchor": anchor, "both_strands": str(both),
            "read": str(scorer.read), "ambiguous": ambiguous,
        }  # fmt: skip
        self.chunk = max(1, min(_MOST, _CHUNK // (4 * 4 * 4 * length)))

    def key(self, chunks: Any) -> str:
        """What partial results belong to: variants, letters around some, settings, model.

        Parameters
        ----------
        chunks : first and last variant of each, half-open.
        """
        draw = np.random.default_rng(0)
        probe = np.eye(4, dtype=np.float32)[draw.integers(4, size=(_PROBE, self.window))]
        return fingerprint(_of_calls(self.calls, self.genome), self.told, list(chunks),
                           self._scores(probe))  # fmt: skip

    def _scores(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        found = np.empty((self.n_networks, len(x)))
        for k, network in enumerate(self.scorer.networks):
            found[k] = network.scores(x, self.place, _nothing)
            if self.both:
                other = network.scores(reverse_complements(x), self.place, _nothing)
                found[k] = (found[k] + other) / 2
        return found

    def run(self, first: int, stop: int) -> dict[str, NDArray[Any]]:
        """Scores of some variants, NaN where there is no window.

        Parameters
        ----------
        first, stop : numbers of the variants, half-open.
        """
        windows: list[NDArray[np.uint8]] = []
        owner = []
        for v in range(first, stop):
            change = self.calls.change(v)
            if change is None:
                continue
            for pair in window_pairs(self.genome, change, self.window, self.anchor):
                windows += pair
                owner.append(v - first)
        means = np.full((2, self.n_networks, stop - first), np.nan)
        if windows:
            scores = self._scores(one_hot_of(windows, self.ambiguous))
            count = np.bincount(owner, minlength=stop - first)
            for allele in (0, 1):
                for k in range(self.n_networks):
                    total = np.bincount(owner, scores[k, allele::2], stop - first)
                    with np.errstate(invalid="ignore"):
                        means[allele, k] = np.where(count > 0, total / count, np.nan)
        return {"score_ref": means[0], "score_alt": means[1]}

    def table(self, found: list[dict[str, NDArray[Any]]], level: float) -> xr.Dataset:
        """Effects of all variants.

        Parameters
        ----------
        found : of `run`, chunk by chunk. level : of the intervals.
        """
        scores = {n: _joined(found, n, self.n_networks) for n in ("score_ref", "score_alt")}
        scores["effect"] = scores["score_alt"] - scores["score_ref"]
        of = self.scorer.long_name
        names = {
            "effect": f"change of {of}", "score_ref": f"{of} of the reference",
            "score_alt": f"{of} of the alternative",
        }  # fmt: skip
        sign = "alternative minus reference: above 0 the alternative scores higher"
        estimates = []
        for name, long_name in names.items():
            value, ci, said = _told(scores[name], level)
            attrs = {"sign": sign} if name == "effect" else {}
            estimates.append(
                Estimate(
                    name=name, value=value, ci=ci, units=self.scorer.units, dims=("variant",),
                    long_name=long_name, attrs=attrs, **said,
                )
            )  # fmt: skip
        return to_dataset(
            estimates, confidence_level=level, status=_status(self.calls, self.window),
            status_dims=("variant",), remedies=REMEDIES,
        )  # fmt: skip


class Sites:
    """Gains and losses of the splice sites around each variant.

    Parameters
    ----------
    model : fitted. genome : sequences. calls : variants.
    both, distance, share, batch_size, ambiguous : see `variant_effects`; `both` strands.
    """

    def __init__(
        self, model: SpliceSites, genome: SequenceSet, calls: Calls, both: bool | None,
        distance: int, share: float | None, batch_size: int | None, ambiguous: str,
    ) -> None:  # fmt: skip
        check_is_fitted(model, "parameters_")
        self.model, self.genome, self.calls = model, genome, calls
        self.distance, self.ambiguous = check_count(distance, "distance", 0), ambiguous
        self.strands = (1,) if both is False else (1, -1)
        trained = float(model.parameters_["auprc_constant"])
        expected = trained if share is None else float(share)
        check_number(expected, "share", above=0, below=1)
        self.shift = float(np.log(expected / (1 - expected) * (1 - trained) / trained))
        self.scorer = scorer_of(model, batch_size=batch_size)
        self.n_networks = len(self.scorer.networks)
        self.told = {
            "site": model.site, "distance": self.distance, "share": expected,
            "both_strands": str(both is not False), "ambiguous": ambiguous,
        }  # fmt: skip
        # About an eighth of the letters of both strands and alleles begin a window.
        n_windows = max(1, (2 * self.distance + 10) // 4)
        self.chunk = max(1, min(_MOST, _CHUNK // (16 * n_windows * model.n_positions_)))

    def key(self, chunks: Any) -> str:
        """What partial results belong to: variants, letters around some, settings, model.

        Parameters
        ----------
        chunks : first and last variant of each, half-open.
        """
        draw = np.random.default_rng(0)
        size = (_PROBE, self.model.n_positions_)
        probe = np.eye(4, dtype=np.float32)[draw.integers(4, size=size)]
        scores = [n.scores(probe, None, _nothing) for n in self.scorer.networks]
        return fingerprint(_of_calls(self.calls, self.genome), self.told, list(chunks),
                           np.array(scores))  # fmt: skip

    def run(self, first: int, stop: int) -> dict[str, NDArray[Any]]:
        """Gains and losses of some variants, NaN where there are no letters.

        Parameters
        ----------
        first, stop : numbers of the variants, half-open.
        """
        pairs, has = [], np.zeros(stop - first, bool)
        for v in range(first, stop):
            change = self.calls.change(v)
            if change is not None:
                has[v - first] = True
                place = (self.genome, change, self.model, self.distance, self.strands)
                pairs.append(sites_around(*place))
        told = changes(pairs, self.scorer.networks, self.shift, self.ambiguous)
        found = {}
        for name, values in told.items():
            whole = np.full((*values.shape[:-1], stop - first), np.nan)
            whole[..., has] = values
            found[name] = whole
        return found

    def table(self, found: list[dict[str, NDArray[Any]]], level: float) -> xr.Dataset:
        """Gains and losses of all variants.

        Parameters
        ----------
        found : of `run`, chunk by chunk. level : of the intervals.
        """
        estimates, more = [], {}
        site = self.model.site
        for way, what in (("gain", "rise"), ("loss", "fall")):
            value = _joined(found, f"{way}_change")
            each = _joined(found, f"{way}_network", self.n_networks)
            mean, ci, said = _told(each, level)
            # Around what the model says, which is of the mean of the log odds.
            ci = None if ci is None else np.clip(ci + (value - mean)[..., None], -1, 1)
            said["method"] = f"of the mean log odds; {said['method']} for the interval"
            name = f"largest {what} of the probability of a {site}"
            estimates.append(
                Estimate(name=way, value=value, ci=ci, units="1", dims=("variant",),
                         long_name=name, attrs={"sign": f"a {what} is above 0"}, **said)
            )  # fmt: skip
            for part, units, text in (
                ("position", "bp", "place of it, 0-based"), ("strand", "1", "strand of it"),
                ("odds_ref", "nats", "log odds there with the reference"),
                ("odds_alt", "nats", "log odds there with the alternative"),
            ):  # fmt: skip
                attrs = {"units": units, "long_name": f"{name}: {text}"}
                more[f"{way}_{part}"] = ("variant", _joined(found, f"{way}_{part}"), attrs)
        table = to_dataset(
            estimates, confidence_level=level, status=_status(self.calls, None),
            status_dims=("variant",), remedies=REMEDIES,
        )  # fmt: skip
        return table.assign(more)


def _told(
    values: NDArray[np.float64], level: float
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None, dict[str, Any]]:
    """Mean over networks and its interval; why there is none where the status is not ok."""
    mean, ci, said = over_networks(values, level)
    if ci is not None and np.isnan(mean).any():
        said["reason"] = "an allele that is not scored has no interval: see status"
    return mean, ci, said


def _nothing() -> None:
    """Progress is counted in chunks."""


def _joined(
    found: list[dict[str, NDArray[Any]]], name: str, n_networks: int | None = None
) -> NDArray[np.float64]:
    """One quantity of all chunks, the variants last."""
    empty = np.empty((0,) if n_networks is None else (n_networks, 0))
    return np.concatenate([empty, *(f[name] for f in found)], axis=-1)


def _status(calls: Calls, window: int | None) -> list[str]:
    told = []
    for v, alt in enumerate(calls.alt):
        change = calls.change(v)
        if change is None:
            none = alt == "."
            told.append("no_alternative" if none else "symbolic")
        else:
            longest = max(change.stop - change.start, len(change.new))
            told.append("too_long" if window is not None and longest > window else "ok")
    return told


def _of_calls(calls: Calls, genome: SequenceSet) -> list[Any]:
    """What tells variants and genome from others."""
    some = range(0, len(calls.alt), max(1, len(calls.alt) // _LOOKED_AT))
    around = [
        stretch(genome, calls.row[v], calls.position[v] - _AROUND, calls.position[v] + _AROUND)
        for v in some
    ]
    return [*calls, genome.names, genome.lengths, around]
