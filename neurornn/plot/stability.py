"""Pictures of melting points and audits: observed against predicted by group, scores as bars."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from neurornn._core.checks import check_labels, check_numbers
from neurornn._core.errors import KindError, ShapeError
from neurornn.data.audit_report import AuditReport
from neurornn.plot.style import DATA, EVENT, FIT, RANGES, new_axes

_COLOURS = (FIT, EVENT, *RANGES[1:], "#56b4e9")
#: Groups that have a colour of their own.
_MOST_GROUPS = 8
#: Scores of an audit that are drawn, in their order, with what they are called.
_BARS = (
    ("label_only", "{} alone", "group"),
    ("length_only", "length alone", None),
    ("places_random", "letters at fixed places, random split", None),
    ("features_random", "composition or columns, random split", None),
    ("features_held_out", "composition or columns, {} held out", "held_out"),
    ("predictions", "predictions", None),
    ("predictions_within", "predictions, within {}", "within"),
)


def predicted_by_group(
    predicted: ArrayLike, observed: ArrayLike, groups: ArrayLike, *, ax: Any = None
) -> Any:
    """Draw what was observed against what was predicted, a colour for each group.

    Parameters
    ----------
    predicted, observed : (row,), for example normal scores and melting points (degC).
    groups : (row,), labels such as species; eight at most. The legend tells the Spearman
        correlation within each, and a line through its points its trend.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes

    Raises
    ------
    ShapeError
        Lengths that differ, or more groups than colours.
    """
    x, y = (check_numbers(v, n) for v, n in ((predicted, "predicted"), (observed, "observed")))
    labels = check_labels(groups, "groups")
    names = np.unique(labels)
    if not x.shape == y.shape == labels.shape or x.ndim != 1 or not 0 < len(names) <= _MOST_GROUPS:
        raise ShapeError(
            f"predicted has shape {x.shape}, observed {y.shape}, groups {labels.shape} with "
            f"{len(names)} labels",
            f"One number of each and one label for each row, of {_MOST_GROUPS} groups at most, "
            "was needed",
            "Select the same rows of all of them, or fewer groups",
        )
    ax = new_axes(ax, (5.5, 4.2))
    for k, name in enumerate(names):
        own = (labels == name) & np.isfinite(x) & np.isfinite(y)
        colour = _COLOURS[k % len(_COLOURS)]
        text = str(name)
        if own.sum() > 2 and np.ptp(x[own]) > 1e-9 and np.ptp(y[own]) > 0:
            rho = np.corrcoef(rankdata(x[own]), rankdata(y[own]))[0, 1]
            text += f" ({rho:.2f})"
            slope, start = np.polyfit(x[own], y[own], 1)
            ends = np.array([x[own].min(), x[own].max()])
            ax.plot(ends, start + slope * ends, color=colour, lw=2)
        ax.plot(x[own], y[own], ".", color=colour, ms=3, alpha=0.5, label=text)
    ax.set_xlabel("predicted")
    ax.set_ylabel("observed")
    ax.legend(
        frameon=False, fontsize=8, markerscale=3, title="group (Spearman within)",
        title_fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5),
    )  # fmt: skip
    return ax


def audit_scores(report: AuditReport, *, metric: str | None = None, ax: Any = None) -> Any:
    """Draw the scores of an audit as bars: what a label alone reaches beside features and models.

    Parameters
    ----------
    report : of `data.audit` with targets.
    metric : ``"spearman"``, ``"r2"`` or ``"accuracy"``; by default the first of these that the
        report has.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes

    Raises
    ------
    KindError, ShapeError
        No report, or one without scores.
    """
    if not isinstance(report, AuditReport):
        raise KindError(
            f"A {type(report).__name__} came",
            "An AuditReport was needed",
            "Pass nr.data.audit(X, y)",
        )
    table = report.parameters
    metrics = ("spearman", "r2", "accuracy") if metric is None else (metric,)
    chosen = next((m for m in metrics if f"features_random_{m}" in table
                   or f"label_only_{m}" in table), None)  # fmt: skip
    if chosen is None:
        raise ShapeError(
            "The report has no " + " or ".join(metrics),
            "Scores were needed",
            "Pass targets to the audit: nr.data.audit(X, y)",
        )
    texts, values, bounds, colours = [], [], [], []
    for name, text, dim in _BARS:
        key = f"{name}_{chosen}"
        if key not in table:
            continue
        for where in table[dim].values.tolist() if dim else [None]:
            pick = {} if dim is None else {dim: where}
            texts.append(text.format(where))
            values.append(float(table[key].sel(pick)))
            bounds.append(table[f"{key}_ci"].sel(pick).values)
            colours.append(DATA if "alone" in text else EVENT if "random" in text else FIT)
    ax = new_axes(ax, (6.0, 0.6 + 0.4 * len(texts)))
    place, value = np.arange(len(texts)), np.array(values)
    ends = np.abs(np.array(bounds) - value[:, None]).T
    ax.barh(place, value, color=colours, height=0.6)
    known = np.isfinite(ends).all(axis=0)
    ax.errorbar(value[known], place[known], xerr=ends[:, known], fmt="none", color="black", lw=1)
    if "majority" in table and chosen == "accuracy":
        ax.axvline(float(table["majority"]), color=DATA, ls="--", lw=1)
    ax.axvline(0, color="black", lw=0.8)
    ax.set_yticks(place, texts)
    ax.invert_yaxis()
    ax.set_xlabel({"spearman": "Spearman correlation", "r2": "R2"}.get(chosen, chosen))
    return ax
