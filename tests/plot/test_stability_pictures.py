import matplotlib.pyplot as plt
import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import KindError, ShapeError


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_every_group_has_points_a_trend_and_its_correlation(rng):
    groups = np.repeat(["a", "b"], 40)
    x = rng.normal(size=80)
    axes = nr.plot.predicted_by_group(x, np.where(groups == "a", 3 * x, -x), groups)
    texts = [t.get_text() for t in axes.get_legend().get_texts()]
    # Each group by itself: one rises, the other falls, to the last rank.
    assert texts == ["a (1.00)", "b (-1.00)"]
    trend, points = axes.lines[0], axes.lines[1]
    assert np.array_equal(points.get_xdata(), x[:40])
    slope = np.diff(trend.get_ydata()) / np.diff(trend.get_xdata())
    assert slope == pytest.approx(3)


def test_a_group_without_spread_has_no_trend():
    axes = nr.plot.predicted_by_group([1.0] * 6, np.arange(6.0), ["a"] * 6)
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["a"]


def test_scores_of_an_audit_are_bars_beside_the_label(rng):
    species = np.repeat(np.arange(5), 40)
    y = 3.0 * species + rng.normal(size=200)
    x = rng.normal(size=(200, 2))
    report = nr.data.audit(x, y, groups={"species": species}, predictions=y)
    axes = nr.plot.audit_scores(report)
    texts = [t.get_text() for t in axes.get_yticklabels()]
    assert texts[0] == "species alone" and texts[-1] == "predictions, within species"
    widths = [p.get_width() for p in axes.patches]
    alone = float(report.parameters["label_only_spearman"].sel(group="species"))
    assert widths[0] == pytest.approx(alone) and widths[-1] == pytest.approx(1)
    assert axes.get_xlabel() == "Spearman correlation"
    assert nr.plot.audit_scores(report, metric="r2").get_xlabel() == "R2"


def test_what_is_no_report_is_told(rng):
    with pytest.raises(KindError, match="AuditReport"):
        nr.plot.audit_scores({})
    with pytest.raises(ShapeError, match="has no"):
        nr.plot.audit_scores(nr.data.audit(rng.normal(size=(20, 2))))
    with pytest.raises(ShapeError, match="9 labels"):
        nr.plot.predicted_by_group(np.arange(9.0), np.arange(9.0), list("abcdefghi"))
