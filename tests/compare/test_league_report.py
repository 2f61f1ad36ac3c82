"""A league as it is printed, word by word, from a table that is made by hand."""

import numpy as np
import pytest

from neurornn._core.confidence import Estimate, to_dataset
from neurornn._core.status import Status
from neurornn.compare.table import League

DIMS = ("model", "horizon")


def league(**settings):
    r2, gain = np.array([[0.5, 0.25], [np.nan, -0.5]]), np.array([[1.5, 0.125], [np.nan, 0.0]])
    estimates = [
        Estimate(name="r2", value=r2, ci=np.stack([r2 - 0.1, r2 + 0.1], -1), units="1",
                 long_name="R2", method="m", dims=DIMS),
        Estimate(name="log_likelihood", value=gain, ci=np.stack([gain - 0.5, gain + 0.5], -1),
                 units="nats", long_name="gain", method="m", dims=DIMS),
    ]  # fmt: skip
    table = to_dataset(
        estimates, confidence_level=0.9, coords={"model": ["net", "flat"], "horizon": [1, 10]},
        status=["ok", "diverged"], status_dims=("model",),
    )  # fmt: skip
    table["r2_seed_sd"] = (DIMS, [[0.0125, 0.02], [np.nan, 0.0]], {"units": "1"})
    table["n_weights"] = ("model", [120, 3], {"units": "1"})
    said = {"fractions": [0.7, 0.15, 0.15], "n_seeds": 3, "confidence_level": 0.9, "n_blocks": 12,
            "dt": 0.05, "time_unit": "s", **settings}  # fmt: skip
    return League(table, said)


def test_the_table_has_a_row_for_each_model_and_three_columns_for_each_horizon():
    lines = league().report().splitlines()
    assert lines[:6] == [
        "League",
        # A table without its comparisons, as a hand may make it.
        "At horizon 1 (0.05 s): net is best, R2 0.500 [0.400, 0.600]; no other model took part.",
        "At horizon 10 (0.5 s): net is best, R2 0.250 [0.150, 0.350]; its lead of 0.750 over "
        "the next model, flat, has no interval; no linear model took part.",
        "same split [0.7, 0.15, 0.15], 3 seeds; test scores, 90 % intervals over 12 blocks and "
        "seeds",
        "one horizon step is 0.05 s; log-likelihood in nats per value above the training mean "
        "(the row 'mean')",
        f"diverged: {Status.DIVERGED.remedy}",
    ]
    body = [[c for c in line.split("  ") if c.strip()] for line in lines[7:]]
    assert [c.strip() for c in body[0]] == [
        "model", "weights", "R2, horizon 1 (0.05 s)", "sd over seeds",
        "log-likelihood, horizon 1 (0.05 s)", "R2, horizon 10 (0.5 s)", "sd over seeds",
        "log-likelihood, horizon 10 (0.5 s)", "status",
    ]  # fmt: skip
    net, flat = (" ".join(line.split()) for line in lines[9:11])
    assert net == (
        "net 120 0.500 [0.400, 0.600] 0.013 1.50 [1.00, 2.00] 0.250 [0.150, 0.350] 0.020 0.125 "
        "[-0.375, 0.625] ok"
    )
    assert flat.startswith("flat 3 ") and flat.endswith("diverged")
    assert len(lines) == 11


def test_what_was_chosen_is_said():
    lines = league(chosen={"ridge": {"n_lags": 12, "power": 0.5}}).report().splitlines()
    assert lines[5] == "ridge, chosen on the validation part: n_lags 12, power 0.5"


def test_a_row_of_latex_for_each_score_model_and_horizon():
    rows = league().to_latex().splitlines()
    assert len(rows) == 8
    assert rows[0] == r"r2, net, horizon 1 & 0.500 & [0.400, 0.600] & 1 \\ % interval"
    assert rows[1] == r"r2, net, horizon 10 & 0.250 & [0.150, 0.350] & 1 \\ % interval"
    assert rows[3] == (
        r"r2, flat, horizon 10 & -0.500 & [-0.600, -0.400] & 1 \\ % interval; diverged"
    )
    assert rows[4] == (
        r"log\_likelihood, net, horizon 1 & 1.50 & [1.00, 2.00] & nats \\ % interval"
    )


def test_name_status_and_methods():
    made = league()
    assert repr(made) == "League of net, flat"
    assert made.status.values.tolist() == ["ok", "diverged"]
    assert made._methods_sentence() == (
        "Models were compared on one split [0.7, 0.15, 0.15] with 3 seeds each; no setting was "
        "chosen on the test part"
    )


@pytest.mark.parametrize(("max_epochs", "patience"), [(33, 6), (24, 5), (60, 12)])
def test_a_fit_may_stand_still_for_a_fifth_of_its_epochs(monkeypatch, max_epochs, patience):
    import neurornn as nr
    from neurornn.compare import played as module

    asked = []

    class Seen(Exception):
        pass

    def told(entry, task, seed, settings):
        asked.append(settings)
        raise Seen

    monkeypatch.setattr(module, "fitted", told)
    x = np.random.default_rng(0).normal(size=(12, 20, 1))
    # Its own, raised as soon as the settings are seen.
    with pytest.raises(Seen):
        nr.compare.league((x, x), ["memoryless"], max_epochs=max_epochs)
    assert asked == [{"objective": "gaussian", "max_epochs": max_epochs, "patience": patience,
                      "tolerance": 1e-6}]  # fmt: skip


def test_settings_that_leave_nothing_to_compare_are_named():
    import neurornn as nr
    from neurornn._core.errors import DataError, KindError

    x = np.random.default_rng(0).normal(size=(12, 20, 1))
    for recipes, more, kind, said in (
        ("ridge", {}, KindError, "recipes is a str"),
        (["ridge"], {"horizons": "ten"}, KindError, "horizons is a str"),
        (["ridge"], {"horizons": (-1,)}, DataError, "A horizon is -1"),
        (["ridge"], {"horizons": []}, DataError, "horizons is empty"),
    ):
        with pytest.raises(kind, match=said):
            nr.compare.league((x, x), recipes, **more)
    long = nr.data.from_traces(np.random.default_rng(0).normal(size=(600, 1)), sampling_rate=20.0)
    with pytest.raises(DataError, match=r"horizons is \(0,\)\. Horizons of at least 1 frames"):
        nr.compare.league(long["dff"], ["ridge"], horizons=(0,), duration=1.0)
    with pytest.raises(KindError, match="A forecast of counts from their own past"):
        nr.compare.league(long["dff"], ["ridge"], objective="poisson", duration=1.0)
