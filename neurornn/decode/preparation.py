"""From counts to features, and a watch over the units that needs no labels."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._kernels.leaky import leaky_filter
from neurornn._kernels.streaming import (
    DROPPED,
    LIVE,
    NOISY,
    SILENT,
    STUCK,
    USUAL_SIZE,
    fill_in,
    prepare_bin,
    smooth_in,
    survey_units,
)

#: What a number of the watch means.
VERDICTS = {
    LIVE: "live", SILENT: "silent", STUCK: "stuck", NOISY: "noisy", DROPPED: "dropped",
}  # fmt: skip
#: Running mean of the watch for units that become noisy, s.
WATCH_TAU = 5.0
#: A unit is believed up to so many times its longest silence in training, and so many bins more.
SLACK, MORE_BINS = 1.5, 10
#: Ridge on the covariance of the features (of variance 1) that foretells a unit from the others.
FILL_RIDGE = 0.05
#: The fill is made anew at most once in so many s; till then a unit that is lost is at its mean.
FILL_PAUSE = 1.0
#: Chance of a silence of a unit that fires at random, from which on it is no longer believed.
UNLIKELY = 1e-6
#: A feature is cut to so many times the largest size it had in training.
LARGEST_SHARE = 3.0
#: Least sd that is followed, as a share of that of training.
LEAST_SD = 0.25


class Preparation:
    """Counts of a bin to features, with the state that this takes.

    Parameters
    ----------
    arrays : ``centre``, ``scale`` (unit,), ``covariance`` (unit, unit), ``limits`` (4, unit)
        Limits as the first of `prepare_bin`; without the fourth features are not cut.
    settings : ``power``, ``lowest``, ``smoothing``, ``pace``, ``watch_pace``, ``stand_in``.

    Attributes
    ----------
    features : (unit,), of the last bin.
    counts : (unit,), of the last bin, NaN where not recorded.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> None:
        self.arrays = {k: np.ascontiguousarray(v, dtype=float) for k, v in arrays.items()}
        self.settings = dict(settings)
        n = len(self.arrays["centre"])
        self.features, self.counts = np.zeros(n), np.zeros(n)
        self._fill = np.zeros((n, n) if settings["stand_in"] == "expected" else (0, 0))
        self.state: dict[str, NDArray[Any]] = {
            "centre": self.arrays["centre"].copy(),
            "inverse": _inverse(self.arrays["scale"]),
            "smooth": np.zeros(n),
            "watched": np.zeros((5, n)),
            "verdict": np.zeros(n, np.int64),
            # Units that the fill was made for, and bins until it may be made anew.
            "filled": np.zeros(n, np.int64),
            "wait": np.zeros(1, np.int64),
        }
        s = self.settings
        self._wait = 0
        # The watch has `WATCH_TAU` in s and in bins, which is how s are known here.
        per_tau = -float(np.log1p(-float(s["watch_pace"])))
        self._pause = round(FILL_PAUSE / (per_tau * WATCH_TAU)) if per_tau > 0 else 0
        limits = np.full((5, n), np.inf)
        limits[: len(self.arrays["limits"])] = self.arrays["limits"]
        # Features of a unit without information are 0, which is no reason to look for large ones.
        limits[3, self.arrays["scale"] == 0] = np.inf
        with np.errstate(divide="ignore"):
            limits[4] = 1 / (LEAST_SD * self.arrays["scale"])
        self._given = (
            float(s["power"]), float(s["lowest"]), self.state["centre"], self.state["inverse"],
            self.state["smooth"], self.features, self.state["watched"], limits,
            self.state["verdict"], self._fill, float(s["smoothing"]), float(s["pace"]),
            float(s["watch_pace"]),
        )  # fmt: skip
        self.reset()

    def reset(self, *, units: bool = True) -> None:
        """Forget the bins that came; `units` also what is known of the units."""
        self.state["smooth"][:] = 0.0
        if units:
            self.state["centre"][:] = self.arrays["centre"]
            self.state["inverse"][:] = _inverse(self.arrays["scale"])
            self.state["watched"][:] = 0.0
            self.state["watched"][3] = USUAL_SIZE
            self.state["verdict"][:] = LIVE
            self.refill()

    @property
    def typical(self) -> NDArray[np.float64]:
        """Counts whose features are all 0, (unit,)."""
        return np.maximum(self.arrays["centre"], 0.0) ** (1 / self.settings["power"])

    def draw(self, n_bins: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw counts like those of training, each unit by itself, (time, unit)."""
        centre, power = self.arrays["centre"], float(self.settings["power"])
        if self.settings["lowest"] < 0:
            return rng.normal(centre, self.arrays["scale"], (n_bins, len(centre)))
        if power == 0.5:
            rate = centre**2 + self.arrays["scale"] ** 2
        else:
            # A Poisson count of mean m has to the power p a mean of nearly m (m + 1) ** (p - 1):
            # it is so for p of 1 and 2, and for all where m is small or large.
            mean = np.concatenate([[0.0], np.logspace(-6, 5, 1000)])
            rate = np.interp(centre, mean * (mean + 1) ** (power - 1), mean)
        return rng.poisson(rate, (n_bins, len(centre))).astype(float)

    @property
    def silent(self) -> NDArray[np.float64]:
        """Features of a bin without a spike, (unit,), as the stream makes them."""
        return (0.0 - self.arrays["centre"]) * _inverse(self.arrays["scale"])

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take a saved state up."""
        # Older files know nothing of a fill that waits.
        for name, values in self.state.items():
            values[...] = state.get(name, 0)
        if "filled" not in state:
            self.state["filled"][:] = self.state["verdict"] != LIVE
        self._wait = int(self.state["wait"][0])
        self._make_fill(self.state["filled"] != 0)

    def drop(self, units: NDArray[np.bool_]) -> None:
        """Leave units out for good, (unit,); those not named are taken back."""
        verdict = self.state["verdict"]
        verdict[verdict == DROPPED] = LIVE
        verdict[units] = DROPPED
        self.refill()

    def step(self) -> tuple[int, int]:
        """Turn `counts` into `features`; return how many verdicts changed and counts were none."""
        if self._wait:
            self._wait_on()
        n_changed, n_invalid = prepare_bin(self.counts, *self._given)
        if n_changed:
            if not self._wait:
                self.refill()
            fill_in(self.state["verdict"], self._fill, self.features)
            if self.settings["smoothing"] > 0:
                smooth_in(self.settings["smoothing"], self.state["smooth"], self.features)
        return n_changed, n_invalid

    def blank(self) -> None:
        """Stand in for a bin that was not recorded: every feature at its mean."""
        if self._wait:
            self._wait_on()
        self.counts[:] = np.nan
        self.features[:] = 0.0
        if self.settings["smoothing"] > 0:
            smooth_in(self.settings["smoothing"], self.state["smooth"], self.features)

    def _wait_on(self) -> None:
        """Count the bins until the fill may be made anew, and make it where it must be."""
        self._wait -= 1
        self.state["wait"][0] = self._wait
        if not self._wait and np.any((self.state["verdict"] != LIVE) != self.state["filled"]):
            self.refill()

    def refill(self) -> None:
        """Make the map from live units to those that are not anew.

        The expected feature of a unit given those of the others is linear in them where all are
        jointly normal; its weights come from their covariance in training (ridge `FILL_RIDGE`).
        """
        if not len(self._fill):
            return
        missing = self.state["verdict"] != LIVE
        self.state["filled"][:] = missing
        self._wait = self._pause if missing.any() else 0
        self.state["wait"][0] = self._wait
        self._make_fill(missing)

    def _make_fill(self, missing: NDArray[np.bool_]) -> None:
        if not len(self._fill):
            return
        self._fill[:] = 0.0
        if not missing.any():
            return
        known = ~missing & (self.arrays["scale"] > 0)
        covariance = self.arrays["covariance"]
        among = covariance[np.ix_(known, known)]
        among[np.diag_indices_from(among)] += FILL_RIDGE
        weights = np.linalg.solve(among, covariance[np.ix_(known, missing)])
        self._fill[np.ix_(missing, known)] = weights.T

    def first_units(self, n: int) -> "Preparation":
        """Return the preparation of the first n units alone."""
        arrays = {k: v[..., :n] for k, v in self.arrays.items()}
        arrays["covariance"] = arrays["covariance"][:n]
        return Preparation(arrays, self.settings)

    def warm_up(self) -> None:
        """Call what a bin with a lost unit may need, so that its first call is not on a rig."""
        lost = np.arange(len(self.counts)) == 0
        self.drop(lost)
        self.step()
        fill_in(self.state["verdict"], self._fill, self.features)
        smooth_in(0.0, self.state["smooth"], self.features)
        self.blank()

    def report(self, labels: NDArray[Any]) -> xr.DataArray:
        """What the watch says of each unit, (unit,)."""
        words = [VERDICTS[int(v)] for v in self.state["verdict"]]
        return xr.DataArray(words, dims="unit", coords={"unit": labels}, name="verdict")


def learn_preparation(
    counts: NDArray[np.float64],
    *,
    power: float,
    lowest: float,
    smoothing: float,
    pace: float,
    watch_pace: float,
    stand_in: str,
) -> Preparation:
    """Learn means, variances and what the watch believes from the counts of training.

    Parameters
    ----------
    counts : (time, unit), NaN where a unit was not recorded.
    power : of the count, one of `POWERS`.
    lowest : smallest count that is one.
    smoothing : share of the smoothed feature that is kept from bin to bin.
    pace : share of mean and variance that is replaced in a bin.
    watch_pace : share of the watch's running mean that is replaced in a bin; 0 for no watch.
    stand_in : ``"expected"``, from the units that are live, or ``"mean"``.
    """
    values = counts**power
    recorded = np.isfinite(values)
    n = np.maximum(recorded.sum(axis=0), 1)
    centre = np.where(recorded, values, 0.0).sum(axis=0) / n
    away = np.where(recorded, values - centre, 0.0)
    scale = np.sqrt((away**2).sum(axis=0) / n)
    scale[scale <= 1e-9 * np.maximum(np.abs(centre), 1e-9)] = 0.0
    z = np.divide(away, scale, out=np.zeros_like(away), where=scale > 0)
    both = recorded.T.astype(float) @ recorded
    covariance = z.T @ z / np.maximum(both, 1)
    if not recorded.all():
        # Pairs that were recorded in different bins need not fit together.
        size, axes = np.linalg.eigh(covariance)
        if size[0] < 0:
            covariance = (axes * np.maximum(size, 0)) @ axes.T
    limits = np.zeros((4, counts.shape[1]))
    survey_units(np.ascontiguousarray(counts), power, centre, _inverse(scale), watch_pace, limits)
    limits[:2] = SLACK * limits[:2] + MORE_BINS
    limits[2] = SLACK * limits[2] + 1.0
    limits[3] = LARGEST_SHARE * np.abs(z).max(axis=0, initial=0.0)
    # A unit that hardly fires is silent for longer than a short recording shows.
    firing = (recorded & (counts != 0)).sum(axis=0) / n
    with np.errstate(divide="ignore"):
        silence = np.log(UNLIKELY) / np.log1p(-firing)
    limits[0] = np.where(firing > 0, np.maximum(limits[0], silence), limits[0])
    arrays = {"centre": centre, "scale": scale, "covariance": covariance, "limits": limits}
    settings = {
        "power": power, "lowest": lowest, "smoothing": smoothing, "pace": pace,
        "watch_pace": watch_pace, "stand_in": stand_in,
    }  # fmt: skip
    return Preparation(arrays, settings)


def _inverse(scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / scale, 0 for a unit without information."""
    return np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)


def features_of(preparation: Preparation, counts: NDArray[Any]) -> NDArray[np.float64]:
    """Features of a whole stretch, as the training sees them: no watch and no following.

    Parameters
    ----------
    counts : (time, unit), one gapless stretch.

    Returns
    -------
    (time, unit)
    """
    s, scale = preparation.settings, preparation.arrays["scale"]
    away = counts ** s["power"] - preparation.arrays["centre"]
    z = np.divide(away, scale, out=np.zeros(counts.shape), where=scale > 0)
    z[np.isnan(z)] = 0.0
    if s["smoothing"] > 0:
        kept = np.full(z.shape[1], s["smoothing"])
        z = leaky_filter((1 - kept) * z, kept, np.zeros(z.shape[1]))
    return z
