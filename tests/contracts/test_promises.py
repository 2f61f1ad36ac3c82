"""Single numbers and sentences that no table shows, and those that are still told wrongly."""

import warnings

import numpy as np
import pytest

import neurornn as nr
from neurornn._core.confidence import Estimate, to_dataset
from neurornn._core.report import Reported
from neurornn._core.status import Status
from tests.contracts.results import result_of

X = np.random.default_rng(0).standard_normal((6, 60, 1))


def fitted(time_unit="s", **settings):
    model = nr.models.LeakyRNN(
        1, 1, 1, nonlinearity="linear", dt=0.1, tau=1.0, time_unit=time_unit
    )
    with warnings.catch_warnings():
        # An epoch or two are no fit; the sentences are what is looked at.
        warnings.simplefilter("ignore")
        return nr.fit(
            model, (X, np.cumsum(X, 1)), rng=0, max_epochs=2, intervals=False, refine=False,
            **{"optimizer": "adam", **settings},
        )  # fmt: skip


def test_methods_say_how_gradients_went_back_and_only_then():
    plain = fitted().methods_text()
    assert (
        "truncated" not in plain and "teacher forcing" not in plain and "validation" not in plain
    )
    assert "gradients truncated at 1.5 s" in fitted(truncation=1.5).methods_text()
    assert "gradients truncated at 2 s" in fitted(truncation=2.0).methods_text()
    assert "under teacher forcing (0.25)" in fitted(teacher_forcing=0.25).methods_text()
    assert "the best of 2 seeds" in fitted(n_seeds=2).methods_text()
    assert "by Adam to a gaussian likelihood" in plain
    assert "by L-BFGS" in fitted(optimizer="lbfgs").methods_text()


def test_truncation_is_told_after_loading_too(tmp_path):
    result = fitted(truncation=1.5)
    result.save(tmp_path / "fit")
    assert nr.load(tmp_path / "fit").methods_text() == result.methods_text()


def test_truncation_is_told_in_the_unit_of_the_model():
    assert "gradients truncated at 1.5 bp" in fitted("bp", truncation=1.5).methods_text()


def test_a_fit_that_ran_to_its_last_epoch_was_not_stopped():
    result = fitted(validation=(X, np.cumsum(X, 1)))
    assert result.history.sizes["epoch"] == 2 and str(result.status) == "not_converged"
    assert "stopped by" not in result.methods_text()


def two_axes():
    """As many outputs as cells: axes that have the same length by chance."""

    def estimate(name, value, dim):
        value = np.asarray(value)
        return Estimate(
            name=name, value=value, ci=np.stack([0.9 * value, 1.1 * value], 1), units="s",
            long_name=name, method="made up", dims=(dim,),
        )  # fmt: skip

    return to_dataset(
        [estimate("tau", [0.5, 0.7], "hidden"), estimate("lag", [0.1, 0.3], "output")],
        confidence_level=0.95,
        status=["ok", "at_bound"],
        status_dims=("hidden",),
    )


class _Told(Reported):
    parameters = two_axes()


def test_latex_leaves_out_no_output_because_of_a_cell():
    lag = next(line for line in _Told().to_latex().splitlines() if line.startswith("lag"))
    assert lag == r"lag & 0.200 & [0.150, 0.250] & s \\ % quartiles of 2"


def test_a_picture_greys_no_output_because_of_a_cell():
    import matplotlib.pyplot as plt

    ax = nr.plot.timescales(two_axes(), name="lag")
    try:
        assert [line.get_label() for line in ax.lines] == ["ok"]
    finally:
        plt.close("all")


def test_latex_of_a_league_has_a_row_for_each_account():
    league = result_of("League")
    text = league.to_latex()
    assert all(name in text for name in league.parameters["model"].values)


def test_what_never_moves_has_no_correlation():
    true = np.random.default_rng(0).standard_normal((400, 1)) + 0.3
    table = nr.decode.movement_scores(true, np.full((400, 1), 0.1))
    assert np.isnan(table["correlation"]).all() and np.isnan(table["correlation_ci"]).all()


def test_all_units_are_one_draw_and_have_no_interval():
    table = result_of("neuron dropping")
    assert np.isnan(table["score_mean_ci"].sel(n_units=10)).all()


def test_the_method_of_a_noise_is_not_that_of_a_time_constant():
    method = result_of("leaky FitResult").parameters["noise_sd"].attrs["method"]
    assert "Fisher" not in method


def test_a_plan_simulates_enough_trains_and_no_more_frames_than_it_can(monkeypatch):
    from neurornn.calcium import planning

    made = []

    def information(tau, rise, rate, dt, n_frames, rng):
        made.append(n_frames)
        return 1e3

    monkeypatch.setattr(planning, "_information", information)

    def trains(rate, sampling_rate):
        made.clear()
        nr.calcium.plan(tau=0.5, rate=rate, snr=5.0, sampling_rate=sampling_rate)
        # Ten minutes each.
        assert set(made) == {round(600 * sampling_rate)}
        return len(made)

    # 6000 events, at 600 s and 0.2 Hz 120 a train.
    assert trains(0.2, 10.0) == 50
    # 3 million frames, at 100 Hz 60,000 a train, before as many events.
    assert trains(0.05, 100.0) == 50
    # At least 8, at most 200.
    assert trains(5.0, 10.0) == 8
    assert trains(0.01, 10.0) == 200


def test_an_interval_of_one_time_constant_is_enough_for_its_method_to_be_told():
    from dataclasses import replace

    model = nr.models.CalciumRNN(2, dt=0.05, tau_decay=0.5, tau_rise=0.06)
    one = result_of("calcium FitResult")
    known, unknown = ([0.4, 0.6], [np.nan, np.nan])
    for decay, rise, told in ((known, unknown, True), (unknown, unknown, False)):
        table = to_dataset(
            [
                Estimate(name=n, value=0.5, ci=ci, units="s", long_name=n, method="made up")
                for n, ci in (("tau_decay", decay), ("tau_rise", rise))
            ],
            confidence_level=0.95,
        )
        said = replace(one, model=model, parameters=table).methods_text()
        assert ("Fisher information" in said) == told


def test_nothing_is_told_before_a_fit():
    from sklearn.exceptions import NotFittedError

    for made in (nr.calcium.Kinetics(), nr.decode.RidgeDecoder(bin_size=0.05)):
        for ask in (made.report, made.to_latex, made.methods_text):
            said = f"This {type(made).__name__} instance is not fitted yet"
            with pytest.raises(NotFittedError, match=said):
                ask()


def test_names_of_features_are_kept_where_all_are_words():
    from neurornn.io.shell import keep_names

    kept = nr.calcium.Kinetics()
    keep_names(kept, None)
    assert not hasattr(kept, "feature_names_in_")
    keep_names(kept, np.array(["a", "b"]))
    assert kept.feature_names_in_.tolist() == ["a", "b"]
    for other in (None, [1, 2], np.array(["a", 2], dtype=object), []):
        kept.feature_names_in_ = np.array(["a"], dtype=object)
        keep_names(kept, other)
        assert not hasattr(kept, "feature_names_in_")


def test_each_time_constant_of_a_fit_has_a_status_of_its_own():
    from tests.contracts.results import traces

    dff = traces().isel(unit=[0, 1], time=slice(0, 300)).values[None]
    model = nr.models.CalciumRNN(2, dt=0.05, tau_decay=0.4, tau_rise=0.06)
    with warnings.catch_warnings():
        # Two epochs are no fit.
        warnings.simplefilter("ignore")
        table = nr.fit(model, (dff, dff), rng=0, max_epochs=2, refine=False).parameters
    for name in ("status", "tau_rise_status"):
        assert table[name].dims == table["tau_decay"].dims and table[name].attrs["long_name"]
        assert {str(v) for v in np.ravel(table[name])} <= {str(s) for s in Status}


def test_what_a_fit_of_traces_keeps_beside_its_table_has_units():
    kinetics = result_of("Kinetics")
    for kept in (kinetics.segments_, kinetics.events_):
        for name, variable in kept.variables.items():
            if variable.dtype.kind == "f":
                unit = "s" if name in ("kernel_rise", "time") or "time" in str(name) else None
                assert variable.attrs.get("units") == (unit or variable.attrs["units"]), name
    sizes = {kinetics.segments_[n].attrs["units"] for n in ("decaying", "rising", "knot_height")}
    assert sizes == {"mV"}
