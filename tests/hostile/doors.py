"""The public doors that take arrays or numbers, each with good arguments and a way to call it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import xarray as xr

import neurornn as nr

#: Bins, units and outputs of the small data.
N, UNITS, DT = 240, 4, 0.05


@dataclass(frozen=True, kw_only=True)
class Door:
    """One public door.

    Attributes
    ----------
    call : takes the arguments by name, returns the arrays that it vouches for.
    arrays, numbers : good arguments; each is replaced by hostile ones in its turn.
    """

    call: Callable[..., Any]
    arrays: dict[str, Any] = field(default_factory=dict)
    numbers: dict[str, Any] = field(default_factory=dict)


class Small:
    """Good data, small."""

    def __init__(self) -> None:
        rng = np.random.default_rng(7)
        self.time = (np.arange(N) + 1) * DT
        self.velocity = np.stack([np.sin(self.time), np.cos(1.3 * self.time)], axis=1)
        self.weights = rng.normal(size=(2, UNITS))
        self.counts = rng.poisson(np.exp(0.5 * self.velocity @ self.weights)).astype(float)
        self.labels = np.where(self.velocity[:, 0] > 0, 1, 0)
        noise = rng.normal(size=(N, UNITS))
        self.series = np.zeros((N, UNITS))
        for k in range(1, N):
            self.series[k] = 0.9 * self.series[k - 1] + noise[k]
        self.spikes = [np.sort(rng.uniform(0, N * DT, 60)) for _ in range(UNITS)]
        self.x = self.velocity.reshape(6, 40, 2)
        self.y = (self.velocity @ rng.normal(size=(2, 1))).reshape(6, 40, 1)
        self.y += 0.1 * rng.normal(size=self.y.shape)
        self.table = nr.simulate.simulate_calcium(2, 40.0, 20.0, tau_decay=0.5, snr=20, rng=0)

    def recording(self, values: Any = None, **more: Any) -> xr.Dataset:
        values = self.series if values is None else values
        table = nr.data.from_traces(values, sampling_rate=1 / DT, **more)
        return nr.data.add_spikes(table, self.spikes)


@cache
def small() -> Small:
    return Small()


def _given(values: Any) -> xr.Dataset:
    """A recording as a reader that trusts its file would make it."""
    if isinstance(values, xr.DataArray) and "time" in values.dims:
        return xr.Dataset({"x": values})
    kept = isinstance(values, np.ndarray) and values.ndim in (1, 2)
    if not kept or values.dtype.kind in "mM":
        # No Dataset can hold it.
        return nr.data.from_traces(values, sampling_rate=1 / DT, name="x")
    array = np.asarray(values)
    time = (np.arange(len(array)) + 1) * DT
    dims = ("time", "unit") if array.ndim == 2 else ("time",)
    return xr.Dataset({"x": (dims, array, {"sampling_rate": 1 / DT})}, coords={"time": time})


def _finite_or_missing(values: Any) -> np.ndarray:
    """What may be NaN, for missing, but not infinite nor a fill value."""
    array = np.asarray(values, dtype=float)
    return array[~np.isnan(array)]


def _ok_rows(table: xr.Dataset, names: tuple[str, ...], dim: str) -> list[Any]:
    ok = table["status"].values == "ok"
    return [_finite_or_missing(table[n].values[ok]) for n in names]


def _of_windows(cut: xr.Dataset) -> list[Any]:
    mask = cut["mask"].values
    return [cut["inputs"].values, cut["targets"].values[mask], cut["start"].values / 1e13]


def _of_fit(result: Any) -> list[Any]:
    if result.status not in ("ok", "stopped_early"):
        return []
    values = [_finite_or_missing(v) for v in result.parameters.data_vars.values()
              if v.dtype.kind == "f"]  # fmt: skip
    weights = [p.detach().double().numpy().ravel() for p in result.model.parameters()]
    return [*values, *weights, result.history["loss"].values]


def _of_league(found: Any) -> list[Any]:
    ok = np.isin(found.status.values, ("ok", "stopped_early"))
    table = found.parameters
    return [table["r2"].values[ok], table["log_likelihood"].values[ok]]


def _windowed(**given: Any) -> list[Any]:
    settings = {"inputs": "x", "targets": "x", "duration": 3.0, **given}
    values = settings.pop("values", small().series)
    cut = nr.data.windows(_given(values), **settings)
    return _of_windows(cut if isinstance(cut, xr.Dataset) else cut[0])


def _fitted(**given: Any) -> list[Any]:
    s = small()
    settings = {"inputs": s.x, "targets": s.y, "max_epochs": 2, "tau": 0.2, "dt": DT, **given}
    own = ("n_hidden", "tau", "dt")
    model = nr.models.LeakyRNN(
        n_input=2, n_output=1, nonlinearity="linear",
        **{"n_hidden": 2, **{k: settings.pop(k) for k in own if k in settings}},
    )  # fmt: skip
    x, y, mask = settings.pop("inputs"), settings.pop("targets"), settings.pop("mask", None)
    data = (x, y) if mask is None else (x, y, mask)
    return _of_fit(nr.fit(model, data, refine=False, **settings))


def _forecast(**given: Any) -> list[Any]:
    settings = {"series": _labelled_series(), **given}
    model = nr.models.LinearStateSpace(UNITS, 2, UNITS, dt=DT)
    return _of_fit(nr.fit(model, settings["series"], max_epochs=1, intervals=False))


@cache
def _labelled_series() -> xr.DataArray:
    return nr.data.from_traces(small().series, sampling_rate=1 / DT)["dff"]


def _league(**given: Any) -> list[Any]:
    settings = {
        "data": _labelled_series(), "recipes": ["ridge", "persistence", "memoryless"],
        "duration": 1.0, "n_seeds": 1, "max_epochs": 1, "horizons": (1,), **given,
    }  # fmt: skip
    return _of_league(nr.compare.league(settings.pop("data"), settings.pop("recipes"), **settings))


def _hidden(**given: Any) -> list[Any]:
    data = {"inputs": small().x, "targets": small().y, "hidden": small().y[..., 0], **given}
    windows, hidden = (data.pop("inputs"), data.pop("targets")), data.pop("hidden")
    model = nr.models.VanillaRNN(2, 2, 1, dt=DT, rng=0)
    found = nr.compare.hidden_variable(model, windows, hidden, nonlinear=False, **data)
    return [found.parameters["linear_r2"]]


def _turned(**settings: Any) -> list[Any]:
    made = nr.simulate.simulate_turbine(**{"duration": 5.0, **settings})
    return [made[name] for name in made]


def _walked(**settings: Any) -> list[Any]:
    given = {"n_trials": 2, "duration": 1.5, "dt": 0.05, "memory": 0.5, **settings}
    made = nr.simulate.simulate_gait(**given)
    return [made[name] for name in ("inputs", "targets", "linear_r2")]


def _flexed(**settings: Any) -> list[Any]:
    given = {"n_trials": 2, "duration": 1.0, "dt": 0.02, "memory": 0.2, **settings}
    made = nr.simulate.simulate_emg(**given)
    return [made[name] for name in ("inputs", "targets", "linear_r2")]


def _league_of_pairs(**given: Any) -> list[Any]:
    rng = np.random.default_rng(0)
    settings = {"inputs": np.tile(small().x, (2, 1, 1)), "targets": np.tile(small().y, (2, 1, 1))}
    settings["targets"] = settings["targets"] + 0.1 * rng.normal(size=settings["targets"].shape)
    settings |= given
    data = (settings["inputs"], settings["targets"])
    return _of_league(nr.compare.league(data, ["ridge"], n_seeds=1, max_epochs=1, horizons=(0,)))


DECODERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "RidgeDecoder": (nr.decode.RidgeDecoder, {"n_lags": 2, "power": 1.0}),
    "WienerFilter": (nr.decode.WienerFilter, {"n_lags": 2}),
    "WienerCascade": (nr.decode.WienerCascade, {"n_lags": 2, "power": 1.0, "degree": 2}),
    "KalmanFilter": (nr.decode.KalmanFilter, {"lag": 0, "power": 1.0}),
    "PlaceDecoder": (nr.decode.PlaceDecoder, {"cell_size": 0.4, "map_width": 0.5}),
    "TargetDecoder": (nr.decode.TargetDecoder, {}),
    "RecurrentDecoder": (
        nr.decode.RecurrentDecoder,
        {"n_hidden": 4, "n_seeds": 1, "max_epochs": 1, "window": 10},
    ),
    "RecurrentClassifier": (
        nr.decode.RecurrentClassifier,
        {"n_hidden": 4, "n_seeds": 1, "max_epochs": 1, "window": 10},
    ),
}


def _goal(name: str) -> np.ndarray:
    return small().labels if name in ("TargetDecoder", "RecurrentClassifier") else small().velocity


def _made(name: str, **settings: Any) -> Any:
    make, own = DECODERS[name]
    folds = {} if name.startswith("Recurrent") else {"n_folds": 2}
    return make(**{"bin_size": DT, **folds, **own, **settings})


@cache
def ready(name: str) -> Any:
    """A fitted decoder of small data."""
    return _made(name).fit(small().counts, _goal(name))


def _decoder_fit(name: str) -> Callable[..., Any]:
    def call(**given: Any) -> list[Any]:
        settings = {"counts": small().counts, "targets": _goal(name), **given}
        counts, targets = settings.pop("counts"), settings.pop("targets")
        decoder = _made(name, **settings).fit(counts, targets)
        told = np.asarray(decoder.stream().run(small().counts)) if _same(counts) else []
        table = decoder.scores_
        ok = bool((table["status"] == "ok").all())
        values = [_finite_or_missing(v) for v in table.data_vars.values() if v.dtype.kind == "f"]
        return [told, *values] if ok else []

    return call


def _same(counts: Any) -> bool:
    return np.shape(counts) == (N, UNITS)


def _decoder_predict(name: str) -> Callable[..., Any]:
    def call(*, counts: Any) -> list[Any]:
        told = ready(name).predict(counts)
        return [] if np.asarray(told).dtype.kind in "US" else [told]

    return call


def _decoder_score(name: str) -> Callable[..., Any]:
    def call(**given: Any) -> list[Any]:
        s = {"counts": small().counts, "targets": _goal(name), **given}
        return [_finite_or_missing(ready(name).score(s["counts"], s["targets"]))]

    return call


def _stream_step(name: str) -> Callable[..., Any]:
    def call(**given: Any) -> list[Any]:
        stream = ready(name).stream()
        told = []
        stream.step(small().counts[0], index=0)
        settings = {"counts": small().counts[1], "index": 1, **given}
        told.append(stream.step(settings["counts"], index=settings["index"]))
        # Whatever came, what follows must be as good as before.
        told += [stream.step(c) for c in small().counts[2:12]]
        return told

    return call


def _stream_run(name: str) -> Callable[..., Any]:
    return lambda counts: [ready(name).stream().run(counts)]


def _kinetics(**given: Any) -> list[Any]:
    settings = {"fluorescence": small().table["dff"], "sampling_rate": None, **given}
    values, rate = settings.pop("fluorescence"), settings.pop("sampling_rate")
    if rate is None and "fluorescence" in given and not isinstance(values, xr.DataArray):
        rate = 20.0
    fitted = nr.calcium.Kinetics(**settings).fit(values, sampling_rate=rate)
    return _ok_rows(fitted.parameters_, ("tau_decay", "noise_sd", "tau_decay_ci"), "unit")


@cache
def _fluorescence() -> np.ndarray:
    return 100 + 20 * small().table["dff"].values


def _binned(**given: Any) -> list[Any]:
    settings = {"spikes": small().spikes, "bin_size": DT, **given}
    if "time" in given:
        settings.pop("bin_size")
    return [nr.data.bin_spikes(settings.pop("spikes"), **settings)]


def _resampled(**given: Any) -> list[Any]:
    s = small()
    settings = {
        "variable": s.velocity, "clock": s.time, "time": s.time[10:50] + 0.01, **given,
    }  # fmt: skip
    found = nr.data.resample_to(
        settings.pop("variable"), settings.pop("clock"), settings.pop("time"), **settings
    )
    return [_finite_or_missing(found)]


def _audited(**given: Any) -> list[Any]:
    s = small()
    settings = {"X": s.counts, "y": s.velocity[:, 0], **given}
    report = nr.data.audit(settings.pop("X"), settings.pop("y"), n_splits=2, **settings)
    return _scores(report)


def _scores(report: Any) -> list[Any]:
    """Scores of linear fits: a count of 1e19 honestly scores -1e38."""
    values = [v for v in report.parameters.data_vars.values() if v.dtype.kind == "f"]
    return [_finite_or_missing(v) / 1e15 for v in values]


def _leaked(**given: Any) -> list[Any]:
    s = small()
    settings = {"X": s.counts, "y": s.velocity, "window": 3, "n_splits": 2, **given}
    report = nr.data.leakage_report(settings.pop("X"), settings.pop("y"), **settings)
    return _scores(report)


def _crossed(**given: Any) -> list[Any]:
    from sklearn.linear_model import Ridge

    s = small()
    settings = {"X": s.counts, "y": s.velocity, "n_splits": 2, "window": 2, **given}
    found = nr.data.cross_score(Ridge(), settings.pop("X"), settings.pop("y"), **settings)
    return [found["score"] / 1e15]


def _split(**given: Any) -> list[Any]:
    settings = {"recording": _labelled_series(), "fractions": (0.5, 0.5), "gap": 1.0, **given}
    parts = nr.data.split_blocks(settings["recording"], settings["fractions"], gap=settings["gap"])
    return [[len(p["time"]) for p in parts]]


def _joined(**given: Any) -> list[Any]:
    trials = given.pop("trials", [small().recording(), small().recording()])
    return [nr.data.join_trials(trials, **given)["time"].values / 1e6]


def _with_intervals(**given: Any) -> list[Any]:
    settings = {"start": [1.0, 4.0], "stop": [3.0, 6.0], **given}
    table = nr.data.set_intervals(small().recording(), settings["start"], settings["stop"])
    return [table["start"], table["stop"]]


def _restricted(**given: Any) -> list[Any]:
    settings = {"start": [1.0, 4.0], "stop": [3.0, 6.0], **given}
    table = nr.data.restrict(small().recording(), settings["start"], settings["stop"])
    return [table["start"], table["stop"]] if "start" in table else []


def _moved(**given: Any) -> list[Any]:
    settings = {"true": small().velocity, "predicted": 0.9 * small().velocity, **given}
    table = nr.decode.movement_scores(settings.pop("true"), settings.pop("predicted"), **settings)
    # A prediction of 1e19 honestly scores -1e38.
    table["r2"] = table["r2"] / 1e15
    return [_finite_or_missing(table[n]) for n in ("r2", "rmse", "correlation", "angular_error")]


def _placed(**given: Any) -> list[Any]:
    settings = {"true": small().velocity, "predicted": 0.9 * small().velocity, **given}
    table = nr.decode.place_errors(settings.pop("true"), settings.pop("predicted"), **settings)
    return [table["median_error"], table["mean_error"]]


def _named(**given: Any) -> list[Any]:
    settings = {"true": small().labels, "predicted": small().labels[::-1], **given}
    return [nr.decode.target_scores(settings["true"], settings["predicted"])["accuracy"]]


def _fitts(**given: Any) -> list[Any]:
    settings = {
        "distance": np.full(8, 6.0), "width": np.full(8, 2.0),
        "time_to_target": np.linspace(1, 2, 8), "success": np.arange(8) % 2 == 0, **given,
    }  # fmt: skip
    return [_finite_or_missing(nr.decode.fitts_bit_rate(**settings)["bit_rate"])]


def _looped(**given: Any) -> list[Any]:
    user = nr.simulate.CursorUser(UNITS, bin_size=DT, rng=0)
    settings = {"n_trials": 2, "timeout": 1.0, "hold_time": 0.2, "rng": 0, **given}
    trials = nr.decode.run_closed_loop(ready("RidgeDecoder").stream(), user, **settings)
    return [trials["position"], trials["velocity"], trials["counts"]]


def _dropped(**given: Any) -> list[Any]:
    s = small()
    settings = {"counts": s.counts, "targets": s.velocity, "n_units": [1, 2], **given}
    found = nr.decode.neuron_dropping(
        _made("RidgeDecoder"), settings.pop("counts"), settings.pop("targets"),
        **{"n_draws": 2, "n_blocks": 2, "gap": 2, "rng": 0, **settings},
    )  # fmt: skip
    return [_finite_or_missing(found["score"])]


def _ran(name: str) -> Callable[..., Any]:
    def call(*, inputs: Any) -> list[Any]:
        sizes = {"n_input": 2, "n_output": 1, "dt": DT}
        more = {
            "LeakyRNN": {"n_hidden": 3, "tau": 0.2}, "GRU": {"n_hidden": 3},
            "LSTM": {"n_hidden": 3}, "VanillaRNN": {"n_hidden": 3},
            "LinearHistory": {"context": 0.2}, "CausalCNN": {"context": 0.2, "n_hidden": 3},
            "CausalTransformer": {"n_hidden": 4, "context": 0.2, "n_heads": 2},
        }  # fmt: skip
        out = getattr(nr.models, name)(**sizes, **more.get(name, {}))(inputs)
        return [out.output.detach().double().numpy()]

    return call


def _observed(**given: Any) -> list[Any]:
    model = nr.models.CalciumRNN(2, dt=DT)
    y = given.get("fluorescence", small().x)
    return _of_fit(nr.fit(model, (None, y), max_epochs=1, refine=False, intervals=False))


def _shown(draw: Callable[..., Any]) -> Callable[..., Any]:
    def call(**given: Any) -> list[Any]:
        import matplotlib.pyplot as plt

        try:
            ax = draw(**given)
            axes = np.ravel(np.asarray(ax, dtype=object))
            axes[0].figure.canvas.draw()
        finally:
            plt.close("all")
        return []

    return call


def _draw_decoded(**given: Any) -> Any:
    s = {"true": small().velocity, "predicted": small().velocity, **given}
    return nr.plot.decoded_traces(s.pop("true"), s.pop("predicted"), **s)


def _draw_trace(**given: Any) -> Any:
    return nr.plot.trace(**{"data": _labelled_series(), **given})


def _planned(**given: Any) -> list[Any]:
    settings = {"tau": 0.5, "rate": 0.5, "snr": 10.0, "sampling_rate": 30.0, **given}
    plan = nr.calcium.plan(**settings)
    return [] if plan.status != "ok" else [plan.duration, plan.relative_width]


def _linear(**given: Any) -> list[Any]:
    settings = {
        "trace": 0.1 + np.abs(small().table["dff"].values), "hill": 2.0, "dissociation": 0.3,
        "dynamic_range": 50.0, "resting": 0.05, "sampling_rate": 20.0, **given,
    }  # fmt: skip
    return [_finite_or_missing(nr.calcium.linearise(settings.pop("trace"), **settings))]


def _model(name: str, **own: Any) -> Callable[..., Any]:
    def call(**given: Any) -> list[Any]:
        settings = {"n_input": 2, "n_output": 1, "dt": DT, **own, **given}
        model = getattr(nr.models, name)(**settings)
        return [model(small().x).output.detach().double().numpy()]

    return call


def _calcium_door(name: str) -> Callable[..., Any]:
    def call(**given: Any) -> list[Any]:
        settings = {"sampling_rate": 20.0, **given}
        if name == "dff":
            values = settings.pop("fluorescence", _fluorescence())
            return [_finite_or_missing(nr.calcium.dff(values, **settings))]
        a = settings.pop("fluorescence", _fluorescence())
        b = settings.pop("neuropil", _fluorescence()[:, ::-1])
        return [_finite_or_missing(nr.calcium.subtract_neuropil(a, b, **settings))]

    return call


def doors() -> dict[str, Door]:
    """All doors, by name."""
    s = small()
    found = {
        "data.from_traces": Door(
            call=lambda values=s.series, **k: [
                [nr.data.from_traces(values, **{"sampling_rate": 20.0, **k})["dff"].ndim]
            ],
            arrays={"values": s.series, "time": s.time, "unit": np.arange(UNITS)},
            numbers={"sampling_rate": 20.0},
        ),
        "data.from_spikes": Door(
            call=lambda spike_times=s.spikes, **k: [
                nr.data.from_spikes(spike_times, **k)["spike_times"].values / 1e6
            ],
            arrays={"spike_times": s.spikes, "unit": np.arange(UNITS)},
            numbers={"t_start": 0.0, "t_stop": 20.0},
        ),
        "data.windows": Door(
            call=_windowed,
            arrays={"values": s.series, "targets": _labelled_series(),
                    "inputs": _labelled_series()},
            numbers={"duration": 3.0, "warmup": 0.5, "horizon": 1, "gap": 1.0,
                     "fractions": (0.5, 0.5), "trials": False, "bin_size": DT},
        ),
        "data.bin_spikes": Door(
            call=_binned,
            arrays={"spikes": s.spikes, "time": s.time, "trials": np.array([[0.0, 2], [3, 5]])},
            numbers={"bin_size": DT, "t_start": 0.0, "t_stop": 5.0},
        ),
        "data.resample_to": Door(
            call=_resampled,
            arrays={"variable": s.velocity, "clock": s.time, "time": s.time},
            numbers={"max_gap": 1.0, "method": "linear"},
        ),
        "data.split_blocks": Door(
            call=_split,
            arrays={"recording": _labelled_series(), "fractions": np.array([0.5, 0.5])},
            numbers={"gap": 1.0},
        ),
        "data.split_groups": Door(
            call=lambda data=s.counts, groups=s.labels, **k: [
                [len(p) for p in nr.data.split_groups(data, groups, (0.5, 0.5), **k)]
            ],
            arrays={"data": s.counts, "groups": s.labels}, numbers={"rng": 0},
        ),
        "data.join_trials": Door(
            call=_joined, arrays={"trials": [s.series]}, numbers={"gap": 1.0},
        ),
        "data.set_intervals": Door(
            call=_with_intervals,
            arrays={"start": np.array([1.0, 4.0]), "stop": np.array([3.0, 6.0])},
            numbers={"start": 0.0},
        ),
        "data.restrict": Door(
            call=_restricted,
            arrays={"start": np.array([1.0, 4.0]), "stop": np.array([3.0, 6.0])},
            numbers={"start": 1.0, "stop": 2.0},
        ),
        "data.intersect": Door(
            call=lambda a=((0, 1.0), (2, 3)), b=((0.5, 2.5),): [nr.data.intersect(a, b)],
            arrays={"a": np.array([[0.0, 1], [2, 3]]), "b": np.array([[0.5, 2.5]])},
        ),
        "data.check_windows": Door(
            call=lambda start=(0.5,), stop=(0.7,), stretches=((0, 1.0),): nr.data.check_windows(
                start, stop, stretches
            ),
            arrays={"start": np.array([0.5]), "stop": np.array([0.7]),
                    "stretches": np.array([[0.0, 1], [2, 3]])},
        ),
        "data.select_units": Door(
            call=lambda units: [[nr.data.select_units(s.recording(), units).sizes["unit"]]],
            arrays={"units": np.array([0, 2])},
        ),
        "data.audit": Door(
            call=_audited, arrays={"X": s.counts, "y": s.velocity[:, 0]},
            numbers={"n_splits": 2} and {"confidence_level": 0.9},
        ),
        "data.leakage_report": Door(
            call=_leaked, arrays={"X": s.counts, "y": s.velocity},
            numbers={"window": 3, "gap": 2, "test_fraction": 0.2, "n_splits": 2,
                     "confidence_level": 0.9},
        ),
        "data.cross_score": Door(
            call=_crossed, arrays={"X": s.counts, "y": s.velocity, "trials": s.labels},
            numbers={"n_splits": 2, "gap": 1, "window": 2, "confidence_level": 0.9},
        ),
        "calcium.Kinetics": Door(
            call=_kinetics,
            arrays={"fluorescence": s.table["dff"]},
            numbers={"sampling_rate": 20.0, "penalty": 3.0, "knot_spacing": 60.0, "tau_rise": 0.05,
                     "confidence_level": 0.9, "n_jobs": 1, "chunk_size": 8,
                     "tau_bounds": (0.01, 5.0)},
        ),
        "calcium.dff": Door(
            call=_calcium_door("dff"), arrays={"fluorescence": _fluorescence()},
            numbers={"sampling_rate": 20.0, "window": 20.0, "percentile": 8.0, "offset": 0.0},
        ),
        "calcium.subtract_neuropil": Door(
            call=_calcium_door("neuropil"),
            arrays={"fluorescence": _fluorescence(), "neuropil": _fluorescence()},
            numbers={"sampling_rate": 20.0, "coefficient": 0.7},
        ),
        "calcium.linearise": Door(
            call=_linear, arrays={"trace": 0.1 + np.abs(s.table["dff"].values)},
            numbers={"sampling_rate": 20.0, "hill": 2.0, "dissociation": 0.3,
                     "dynamic_range": 50.0, "resting": 0.05},
        ),
        "calcium.plan": Door(
            call=_planned,
            numbers={"tau": 0.5, "rate": 0.5, "snr": 10.0, "sampling_rate": 30.0, "tau_rise": 0.01,
                     "relative_width": 0.05, "confidence_level": 0.95},
        ),
        "calcium.pool_sessions": Door(
            call=lambda fits: [_finite_or_missing(nr.calcium.pool_sessions(fits)["tau_decay"])],
            arrays={"fits": s.series},
        ),
        "fit": Door(
            call=_fitted,
            arrays={"inputs": s.x, "targets": s.y, "mask": np.ones(s.y.shape, bool)},
            numbers={"max_epochs": 1, "learning_rate": 0.01, "batch_size": 2, "warmup": 1,
                     "clip_norm": 1.0, "weight_decay": 0.0, "patience": 3, "tolerance": 1e-8,
                     "truncation": 1.0, "segment_duration": 1.0, "teacher_forcing": 0.1,
                     "forcing_interval": 0.5, "n_seeds": 1, "confidence_level": 0.9,
                     "optimizer": "adam", "schedule": "cosine", "objective": "gaussian",
                     "checkpoint_every": 10, "tau": 0.2, "dt": DT, "n_hidden": 2, "rng": 0},
        ),
        "fit of a series": Door(call=_forecast, arrays={"series": _labelled_series()}),
        "fit of fluorescence": Door(call=_observed, arrays={"fluorescence": s.x}),
        "compare.league": Door(
            call=_league, arrays={"data": _labelled_series()},
            numbers={"duration": 1.0, "n_seeds": 1, "max_epochs": 1, "confidence_level": 0.9,
                     "horizons": (1,), "fractions": (0.7, 0.15, 0.15),
                     "recipes": ["ridge"], "rng": 0},
        ),
        "compare.league of pairs": Door(
            call=_league_of_pairs,
            arrays={"inputs": np.tile(s.x, (2, 1, 1)), "targets": np.tile(s.y, (2, 1, 1))},
        ),
        "compare.hidden_variable": Door(
            call=_hidden,
            arrays={"inputs": s.x, "targets": s.y, "hidden": s.y[..., 0]},
            numbers={"input_windows": (1,), "n_permutations": 9, "confidence_level": 0.9,
                     "rng": 0},
        ),
        "simulate.simulate_turbine": Door(
            call=_turned,
            numbers={"duration": 5.0, "dt": 0.1, "mean_wind": 12.0, "turbulence_intensity": 0.1,
                     "length_scale": 300.0, "noise": 0.1, "rng": 0},
        ),
        "simulate.simulate_gait": Door(
            call=_walked,
            numbers={"n_trials": 2, "duration": 1.5, "dt": 0.05, "memory": 0.5, "stride": 1.0,
                     "phase_drift": 0.3, "noise_sd": 0.02, "rng": 0},
        ),
        "simulate.simulate_emg": Door(
            call=_flexed,
            numbers={"n_trials": 2, "duration": 1.0, "dt": 0.02, "memory": 0.2, "burst": 0.1,
                     "pause": 0.2, "rest": 0.1, "rng": 0},
        ),
        "simulate.turbine_modes": Door(
            call=lambda wind: [nr.simulate.turbine_modes(wind)["frequency"]],
            numbers={"wind": 12.0},
        ),
        "decode.movement_scores": Door(
            call=_moved, arrays={"true": s.velocity, "predicted": s.velocity},
            numbers={"min_speed": 0.1, "n_blocks": 5, "confidence_level": 0.9},
        ),
        "decode.place_errors": Door(
            call=_placed, arrays={"true": s.velocity, "predicted": s.velocity},
            numbers={"n_blocks": 5, "confidence_level": 0.9},
        ),
        "decode.target_scores": Door(
            call=_named, arrays={"true": s.labels, "predicted": s.labels}
        ),
        "decode.fitts_bit_rate": Door(
            call=_fitts,
            arrays={"distance": np.full(8, 6.0), "width": np.full(8, 2.0),
                    "time_to_target": np.linspace(1, 2, 8), "success": np.arange(8) % 2 == 0},
            numbers={"distance": 6.0, "width": 2.0, "confidence_level": 0.9},
        ),
        "decode.run_closed_loop": Door(
            call=_looped,
            arrays={"targets": np.array([[8.0, 0], [0, 8]]), "start": np.zeros(2)},
            numbers={"n_trials": 2, "target_radius": 1.0, "hold_time": 0.2, "timeout": 1.0},
        ),
        "decode.neuron_dropping": Door(
            call=_dropped, arrays={"counts": s.counts, "targets": s.velocity,
                                   "n_units": np.array([1, 2])},
            numbers={"n_draws": 2, "n_blocks": 2, "gap": 2, "confidence_level": 0.9},
        ),
        "plot.decoded_traces": Door(
            call=_shown(_draw_decoded),
            arrays={"true": s.velocity, "predicted": s.velocity,
                    "interval": np.stack([s.velocity] * 2, -1)},
            numbers={"t_start": 0.0, "t_stop": 5.0},
        ),
        "plot.trace": Door(
            call=_shown(_draw_trace), arrays={"data": _labelled_series()},
            numbers={"t_start": 0.0, "t_stop": 5.0},
        ),
        "plot.confusion": Door(
            call=_shown(lambda matrix: nr.plot.confusion(matrix)), arrays={"matrix": np.eye(3)}
        ),
        "plot.latency": Door(
            call=_shown(lambda us: nr.plot.latency(us)), arrays={"us": np.linspace(1, 9, 200)}
        ),
    }  # fmt: skip
    for name in ("LeakyRNN", "GRU", "LSTM", "LinearHistory", "CausalCNN", "CausalTransformer",
                 "Memoryless", "VanillaRNN"):  # fmt: skip
        found[f"models.{name}"] = Door(call=_ran(name), arrays={"inputs": s.x})
    found["models.LeakyRNN, settings"] = Door(
        call=_model("LeakyRNN", n_hidden=2, tau=0.2),
        arrays={"tau": np.array([0.2, 0.3]), "connections": np.ones((2, 2))},
        numbers={"n_hidden": 2, "n_input": 2, "n_output": 1, "dt": DT, "tau": 0.2,
                 "tau_bounds": (0.01, 1.0), "rng": 0, "nonlinearity": "tanh"},
    )  # fmt: skip
    found["models.GRU, settings"] = Door(
        call=_model("GRU", n_hidden=2), arrays={"tau": np.array([0.2, 0.3])},
        numbers={"n_hidden": 2, "n_layers": 1, "tau": 0.2, "dropout": 0.1, "dt": DT},
    )  # fmt: skip
    found["models.CausalTransformer, settings"] = Door(
        call=_model("CausalTransformer", n_hidden=4, context=0.2, n_heads=2),
        numbers={"n_hidden": 4, "context": 0.2, "n_heads": 2, "n_layers": 1, "dropout": 0.1},
    )
    shared = {"bin_size": DT, "smoothing": 0.1, "adaptation_tau": 5.0, "confidence_level": 0.9}
    for name, (_, own) in DECODERS.items():
        numbers = {k: v for k, v in own.items() if k != "separate"}
        if not name.startswith("Recurrent"):
            numbers |= {"n_folds": 2}
        if name not in ("PlaceDecoder", "TargetDecoder"):
            numbers |= {"power": 1.0}
        if name.startswith("Recurrent"):
            numbers |= {"learning_rate": 0.01, "dropout": 0.1, "weight_decay": 0.0}
        found[f"decode.{name}.fit"] = Door(
            call=_decoder_fit(name), arrays={"counts": s.counts, "targets": _goal(name)},
            numbers={**shared, **numbers},
        )  # fmt: skip
        found[f"decode.{name}.predict"] = Door(
            call=_decoder_predict(name), arrays={"counts": s.counts}
        )
        found[f"decode.{name}.step"] = Door(
            call=_stream_step(name), arrays={"counts": s.counts[1]},
            numbers={"index": 1, "counts": 0.0},
        )  # fmt: skip
        if name in ("KalmanFilter", "TargetDecoder", "RecurrentDecoder"):
            found[f"decode.{name}.score"] = Door(
                call=_decoder_score(name), arrays={"counts": s.counts, "targets": _goal(name)}
            )
            found[f"decode.{name}.run"] = Door(call=_stream_run(name), arrays={"counts": s.counts})
    return found


@dataclass(frozen=True)
class Case:
    """One hostile call; `key` names it, and its seed is made from it."""

    door: str
    argument: str
    kind: str
    is_array: bool

    @property
    def key(self) -> str:
        return f"{self.door} | {self.argument} | {self.kind}"


def cases() -> Iterator[Case]:
    """Every door, every argument, every kind."""
    from tests.hostile.arrays import KINDS, SCALARS

    for name, door in doors().items():
        for argument in door.arrays:
            for kind in KINDS:
                yield Case(name, argument, kind, True)
        for argument in door.numbers:
            for kind in SCALARS:
                yield Case(name, argument, kind, False)
