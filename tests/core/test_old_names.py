"""Old names of arguments: they do what the new ones do, and say so once."""

import copy
import inspect
import json
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import Ridge

import neurornn as nr
from neurornn._core.errors import ConvergenceWarning, DataError
from neurornn._core.old_names import new_names, renamed
from neurornn.io.saved import SavedContent

SERIES = np.random.default_rng(0).normal(size=(200, 3))
WIN = nr.simulate.simulate_rate_trials(2, 4, 0.5, 0.01, rng=0)


def said(call, told):
    """Result of a call that warns once, of what is told, at the line of the caller."""
    with pytest.warns(FutureWarning, match=told) as caught:
        found = call()
    assert len(caught) == 1
    assert caught[0].filename == __file__
    return found


def linear():
    return nr.models.Memoryless(16, 2, dt=0.01, rng=0)


def quiet(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return call()


RECORDING = nr.data.from_traces(SERIES, sampling_rate=10.0)
#: What is called by the old name, and by the new one; what the warning tells.
PAIRS = {
    "data.from_traces": (
        lambda: nr.data.from_traces(SERIES, sampling_rate=10.0, units="a.u."),
        lambda: nr.data.from_traces(SERIES, sampling_rate=10.0, value_unit="a.u."),
        "units= of from_traces is now called value_unit=",
    ),
    "data.windows": (
        lambda: nr.data.windows(
            RECORDING, inputs="dff", targets="dff", duration=2.0, split=(0.5, 0.5)
        )[1],
        lambda: nr.data.windows(
            RECORDING, inputs="dff", targets="dff", duration=2.0, fractions=(0.5, 0.5)
        )[1],
        "split= of windows is now called fractions=",
    ),
    "data.cross_score": (
        lambda: nr.data.cross_score(Ridge(), SERIES, SERIES[:, 0],
                                    window=2),
        lambda: nr.data.cross_score(Ridge(), SERIES, SERIES[:, 0],
                                    n_lags=2),
        "window= of cross_score is now called n_lags=",
    ),
    "training.follow": (
        lambda: nr.training.follow(
            nr.models.LeakyRNN(0, 4, 3, dt=0.1, tau=0.5, rng=0), (None, SERIES[None]), share=0.5
        ).output,
        lambda: nr.training.follow(
            nr.models.LeakyRNN(0, 4, 3, dt=0.1, tau=0.5, rng=0), (None, SERIES[None]),
            teacher_forcing=0.5,
        ).output,
        "share= of follow is now called teacher_forcing=",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_the_old_name_does_what_the_new_one_does(name):
    old, new, told = PAIRS[name]
    found, wanted = said(old, told), new()
    if hasattr(wanted, "identical"):
        assert found.identical(wanted)
    else:
        assert np.array_equal(found.detach(), wanted.detach())


def test_a_splitter_takes_the_gap_by_both_names():
    old = said(lambda: nr.data.BlockedSplit(4, gap=3), "gap= of BlockedSplit.*gap_rows=")
    assert old.gap_rows == 3
    assert repr(old) == "BlockedSplit(gap_rows=3, n_splits=4, purge=0)"


@pytest.mark.parametrize("name", ["KalmanFilter", "PlaceDecoder", "RecurrentClassifier"])
def test_decoders_take_and_give_settings_by_their_old_names(name):
    cls = getattr(nr.decode, name)
    assert "watch" not in inspect.signature(cls).parameters
    with pytest.warns(FutureWarning) as caught:
        decoder = cls(bin_size=0.05, watch=False, stand_in="mean")
    assert [str(w.message).split(";")[0] for w in caught] == [
        f"watch= of {name} is now called monitor_units=",
        f"stand_in= of {name} is now called impute=",
    ]
    assert decoder.get_params()["monitor_units"] is False
    assert said(lambda: decoder.watch, "watch of a .* is now called monitor_units") is False
    said(lambda: decoder.set_params(watch=True), "watch")
    assert decoder.monitor_units is True
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert clone(decoder).impute == "mean"
        with pytest.raises(AttributeError, match="no attribute 'wacth'"):
            _ = decoder.wacth


def test_one_of_two_names_is_asked_for():
    with pytest.raises(DataError, match="rise= and tau_rise= came for Kinetics"):
        nr.calcium.Kinetics(rise=0.05, tau_rise=0.05)


def test_an_estimator_of_a_user_keeps_arguments_of_its_own(tmp_path):
    class Mine(nr.decode.KalmanFilter):
        def __init__(self, bin_size=None, *, watch="by night"):
            super().__init__(bin_size)
            self.watch = watch

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Mine(0.05).watch == "by night"
        assert Mine(0.05).set_params(watch="by day").watch == "by day"
        # Nor does a file of such a class lose it.
        Mine(0.05).fit(np.round(SERIES**2), SERIES[:, :2]).save(tmp_path / "mine")
        assert nr.load(tmp_path / "mine", classes=[Mine]).watch == "by night"


def test_options_of_a_fit_go_on_working():
    def fits(**options):
        return quiet(
            lambda: nr.fit(linear(), WIN, optimizer="adam", max_epochs=4, rng=0, **options)
        )

    old = said(lambda: fits(warmup=2), "warmup= of fit is now called warmup_epochs=")
    assert old.history.identical(fits(warmup_epochs=2).history)
    assert not old.history.identical(fits().history)
    again = said(lambda: fits(resume=True), "resume= of fit has no meaning any more")
    assert again.history.identical(fits().history)


@pytest.mark.slow
def test_options_of_many_fits_and_of_a_league_go_on_working():
    def many(options, **more):
        jobs = [(linear(), WIN, {"optimizer": "adam", "max_epochs": 3, **options})]
        return quiet(lambda: nr.training.fit_many(jobs, **more))[0]

    old = said(lambda: many({"warmup": 2}), "warmup= of nr.fit")
    assert old.history.identical(many({"warmup_epochs": 2}).history)

    def table(options):
        return nr.compare.league(
            RECORDING["dff"], [nr.models.LeakyRNN(3, 4, 3, dt=0.1, tau=0.5, rng=0)], n_seeds=1,
            duration=1.0, max_epochs=2, fit_options={"optimizer": "adam", **options},
        ).parameters  # fmt: skip

    with pytest.warns(FutureWarning, match="warmup= of nr.fit"):
        old = quiet(lambda: table({"warmup": 2}))
    assert old.identical(quiet(lambda: table({"warmup_epochs": 2})))


def test_folders_of_checkpoints_go_by_their_old_name(tmp_path):
    traces = nr.simulate.simulate_calcium(2, 60.0, 20.0, tau_decay=0.5, rng=0)["dff"]
    said(
        lambda: nr.calcium.Kinetics(chunk_size=1).fit(traces, partial=tmp_path / "tau"),
        "partial= of Kinetics.fit is now called checkpoint=",
    )
    assert len(list((tmp_path / "tau").glob("chunk-*"))) == 2


def test_files_with_the_old_names_open(tmp_path):
    traces = nr.simulate.simulate_calcium(2, 60.0, 20.0, tau_decay=0.5, rng=0)["dff"]
    kinetics = nr.calcium.Kinetics(tau_rise=0.05).fit(traces)
    content = kinetics._to_saved()
    content["settings"]["init"]["rise"] = content["settings"]["init"].pop("tau_rise")
    old = nr.calcium.Kinetics._from_saved(_content("Kinetics", content))
    assert old.tau_rise == 0.05
    league = quiet(
        lambda: nr.compare.league(RECORDING["dff"], ["memoryless", "persistence"], duration=1.0)
    )
    content = copy.deepcopy(league._to_saved())
    content["tables"]["parameters"] = content["tables"]["parameters"].rename(model="account")
    content["settings"]["split"] = content["settings"].pop("fractions")
    old = nr.compare.League._from_saved(_content("League", content))
    assert old.parameters.identical(league.parameters)
    assert old.report() == league.report()


def _content(kind, content):
    settings = json.loads(json.dumps(content["settings"]))
    return SavedContent(kind=kind, settings=settings, tables=content["tables"])


def test_new_names_pass_over_what_is_gone_and_warn():
    with pytest.warns(FutureWarning) as caught:
        found = new_names({"a": 1, "b": 2, "c": 3}, {"a": "x"}, "here", gone=("c",))
    assert found == {"x": 1, "b": 2}
    assert [str(w.message) for w in caught] == [
        "a= of here is now called x=; the old name goes in the release after the next.",
        "c= of here has no meaning any more; leave it out.",
    ]


def test_what_is_renamed_keeps_its_signature_and_docstring():
    @renamed(old="new")
    def double(new):
        """Twice."""
        return 2 * new

    assert str(inspect.signature(double)) == "(new)"
    assert double.__doc__ == "Twice."
    assert double(3) == double(new=3) == said(lambda: double(old=3), "old= of") == 6
