"""Every result tells what its own arrays hold, in every form and on every clock.

Numbers are written a second time by `reading`, tables are laid out a second time here, and nothing
of the package formats anything for these tests.
"""

import csv
import importlib.metadata
import math
import re
import statistics

import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.errors import FileFormatError
from neurornn._core.report import parameters_table
from neurornn._core.status import Status
from tests.contracts.reading import number, quantity, read_html, read_text
from tests.contracts.results import (
    COUNTED,
    LEVEL,
    OTHER_LEVEL,
    REPORTED,
    RESULTS,
    TABLES,
    counts_and_targets,
    quantities,
    result_of,
    table_of,
    takes,
)

#: What does not keep its promise yet: (contract, result) -> why. The entry goes when it does.
KNOWN: dict[tuple[str, str], str] = {}
#: Quantities that a report leaves out by intention.
LEFT_OUT = {"Kinetics": {"baseline"}}


def left_out(result):
    """Quantities of a table that its report does not show; times of a rise where there is none."""
    hidden = LEFT_OUT.get(type(result).__name__, set())
    if (
        type(result).__name__ == "Kinetics"
        and not np.isfinite(result.parameters_["tau_rise"]).any()
    ):
        hidden = hidden | {"time_to_peak", "half_rise"}
    return hidden


#: Reports that no file keeps: they are made again in a moment.
NO_FILE = ("Plan", "Plan by events", "AuditReport", "leakage report")
#: Results that write no CSV of their own; `nr.io.write_csv` takes their tables.
NO_CSV = (*NO_FILE, *(n for n in REPORTED if n.endswith("FitResult")))
#: What is not a matter of the clock alone, and how far it then moves.
OTHER_CLOCKS = {
    # Knots of the baseline are 60 s apart, whatever the frames: they cost a per cent of the width.
    "Plan by events": 0.02,
    # Half a second at the mean rate is added to every target, whatever the bins.
    "TargetDecoder": 0.1,
    # Where the optimiser stops: variances to some parts in ten thousand.
    "leaky FitResult": 1e-3,
}
#: Parts of a league are 1 s apart, whatever the frames: other frames are scored.
NOT_SLOWED = ("League",)
#: Powers of seconds in the units that are about time.
SECONDS = {"s": 1, "Hz": -1, "1/s": -1, "bit/s": -1, "s^2": 2}


def every(contract, names=RESULTS, *variants, needs=None):
    """Parametrise a contract over results; what is known to fail is expected to.

    Parameters
    ----------
    variants : settings of results beside the usual ones, for those that take them.
    needs : a setting that a result must take.
    """
    marked = []
    for name in names:
        if needs is not None and not takes(name, needs):
            continue
        why = KNOWN.get((contract, name))
        marks = () if why is None else pytest.mark.xfail(reason=why, strict=True)
        for given in ({}, *variants):
            if all(takes(name, setting) for setting in given):
                label = "-".join([name, *(f"{k} {v:g}" for k, v in given.items())])
                value = (name, given) if variants else (name,)
                marked.append(pytest.param(*value, marks=marks, id=label))
    return pytest.mark.parametrize("name, given" if variants else "name", marked)


LOWER, SLOWER = {"level": OTHER_LEVEL}, {"slow": 2.0}
WITH_TABLE = [*REPORTED, *TABLES]
DECODERS = [n for n in REPORTED if n.split()[0].endswith(("Filter", "Decoder", "Cascade", "fier"))]


def text_of(result):
    if isinstance(result, xr.Dataset):
        return parameters_table(result, "Scores").to_text()
    return result.report()


def page_of(result):
    if isinstance(result, xr.Dataset):
        return parameters_table(result, "Scores").to_html()
    return result._repr_html_()


def unit_of(variable):
    return variable.attrs["units"]


def ends(table, name):
    """Bounds of a quantity with the bound as the last axis."""
    return table[f"{name}_ci"].transpose(..., "ci_bound").values


def labels_of(table, dim):
    values = table[dim].values if dim in table.coords else np.arange(table.sizes[dim])
    return [str(v) for v in values]


# Layouts, told a second time. Each gives (columns, rows, notes that must stand below).


def told(table, name, where, unit=None):
    low, high = ends(table, name)[where]
    return quantity(table[name].values[where], low, high, unit or "1")


def long_rows(table, names):
    rows = []
    for name in names:
        dims = table[name].dims
        for where in np.ndindex(table[name].shape):
            of = ", ".join(
                f"{d} {labels_of(table, d)[k]}" for d, k in zip(dims, where, strict=True)
            )
            rows.append([name, of, told(table, name, where, unit_of(table[name]))])
    return rows


def plain_layout(result):
    """One row a unit and a column a quantity, or a row for each entry of a table of more axes."""
    table = table_of(result)
    names = [n for n in quantities(table) if n not in left_out(result)]
    dims = table[names[0]].dims
    if len(dims) > 1:
        return ["parameter", "of", "value [interval]"], long_rows(table, names), []
    main = [n for n in names if table[n].dims == dims]
    with_status = "status" in table and table["status"].dims == dims
    columns = [str(d) for d in dims]
    columns += [n if unit_of(table[n]) == "1" else f"{n} ({unit_of(table[n])})" for n in main]
    columns += ["status"] if with_status else []
    rows = []
    for k in range(table.sizes[dims[0]] if dims else 1):
        where = (k,) if dims else ()
        row = [labels_of(table, dims[0])[k]] if dims else []
        row += [told(table, n, where) for n in main]
        row += [str(table["status"].values[where])] if with_status else []
        rows.append(row)
    notes = [
        f"{n}, {of}: {text}" if of else f"{n}: {text}"
        for n, of, text in long_rows(table, [n for n in names if n not in main])
    ]
    return columns, rows, notes


def league_layout(result):
    table, runs, dt = result.parameters, result.runs, result.settings["dt"]
    columns, rows = ["model", "weights"], []
    for h in table["horizon"].values:
        said = f"horizon {h} ({h * dt:.4g} s)"
        columns += [f"R2, {said}", "sd over seeds", f"log-likelihood, {said}"]
        columns += [f"bits per spike, {said}"] if "bits_per_spike" in table else []
    columns += ["valid time (s)", "spectrum distance", "state divergence (nats)"]
    for i, name in enumerate(table["model"].values):
        row = [name, str(table["n_weights"].values[i])]
        for j in range(table.sizes["horizon"]):
            row += [
                told(table, "r2", (i, j)),
                number(table["r2_seed_sd"].values[i, j], 2),
                told(table, "log_likelihood", (i, j)),
            ]
            row += [told(table, "bits_per_spike", (i, j))] if "bits_per_spike" in table else []
        row.append(told(runs, "valid_time", (i,)))
        more = ("spectrum_distance", "state_divergence")
        row += [number(runs[n].values[i]) for n in more]
        rows.append([*row, table["status"].values[i]])
    return [*columns, "status"], rows, []


def flow_layout(result):
    table, rows = result.parameters, []
    unit = unit_of(table["lag"])
    shown = [row[0] for row in read_text(result.report()).rows]
    # Which lags are shown is the report's choice: from the first to the last, each once.
    at = [int(np.argmin(np.abs(table["lag"].values - float(s.split()[0])))) for s in shown]
    assert at[0] == 0 and at[-1] == table.sizes["lag"] - 1 and at == sorted(set(at))
    for k in at:
        norm = table["norm"].values[:, k].tolist()
        low, middle, high = statistics.quantiles(norm, n=4, method="inclusive")
        lag = f"{table['lag'].values[k]:.4g} {unit}"
        rows.append([lag, *(f"{v:.3g}" for v in (middle, low, high))])
    return ["lag", "norm (median)", "lower quartile", "upper quartile"], rows, []


def points_layout(result):
    table, rows = result.parameters, []
    values = table["eigenvalue_real"].values + 1j * table["eigenvalue_imag"].values
    unit, dt = unit_of(table["time_constant"]), result.settings["dt"]
    for k, modes in enumerate(values):
        n = int((abs(modes) > 1).sum())
        kind = {0: "stable", len(modes): "unstable"}.get(n, f"saddle, {n} unstable")
        tau = -dt / math.log(abs(modes[0]))
        slow = f"{'grows' if tau < 0 else 'decays'} with {number(abs(tau))} {unit}"
        proof = f"alone within {number(table['isolation_radius'].values[k], 2)}"
        rows.append([str(k), kind, slow, proof, table["status"].values[k]])
    return ["point", "kind", "leading mode", "certificate", "status"], rows, []


def attractor_layout(result):
    table, rows = result.parameters, []
    unit, per = unit_of(table["lifetime"]), unit_of(table["drift"])
    for k in range(table.sizes["attractor"]):
        row = table.isel(attractor=k)
        rows.append([
            str(row["kind"].values), str(int(row["dimension"])),
            f"{100 * float(row['share']):.0f} %", f"{number(float(row['lifetime']))} {unit}",
            f"{number(float(row['drift']))} {per}", f"{number(float(row['across']))} {unit}",
            "-", str(row["status"].values),
        ])  # fmt: skip
    columns = ["kind", "dimension", "share", "lifetime", "drift", "across", "period", "status"]
    return columns, rows, []


def diagram_layout(result):
    table, rows = result.parameters, []
    unit = unit_of(table["frequency"])
    for k in range(table.sizes["bifurcation"]):
        turning = float(table["frequency"][k])
        rows.append([
            table["kind"].values[k], number(float(table["value"][k]), 6),
            f"{number(turning)} {unit}" if turning else "-", table["status"].values[k],
        ])  # fmt: skip
    return ["kind", "at", "frequency", "status"], rows, []


def plan_layout(result):
    rows = [
        [number(t), number(t * result.settings["rate"]), f"{number(100 * w)} %"]
        for t, w in zip(result.widths["duration"].values, result.widths.values, strict=True)
    ]
    return ["duration (s)", "events", "width of the interval"], rows, []


def audit_layout(result):
    table, rows = result.parameters, []
    for name in quantities(table):
        for where in np.ndindex(table[name].shape):
            of = ", ".join(
                labels_of(table, d)[k] for d, k in zip(table[name].dims, where, strict=True)
            )
            whole = table[name].attrs.get("kind") == "count"
            text = str(int(table[name].values[where])) if whole else told(table, name, where)
            rows.append([table[name].attrs["long_name"], of, text])
    return ["quantity", "of", "value [interval]"], rows, list(result.findings)


def belief_layout(result):
    table, rows = result.parameters, []
    names = ("linear_r2", "nonlinear_r2", "auroc", "calibration_error")
    sources, questions = (table[d].values.tolist() for d in ("source", "question"))
    for i, source in enumerate(sources):
        for j, question in enumerate(questions):
            p = float(table["p_value"].values[i])
            told_p = "" if math.isnan(p) else f"{p:.2g}"
            cells = [told(table, n, (i, j)) for n in names]
            rows.append([source, question, *cells, told_p])
    notes = []
    for name in ("exact_auroc", "exact_calibration_error", "future_r2", "history_gain"):
        labels = labels_of(table, table[name].dims[0])
        each = [f"{label} {told(table, name, (k,))}" for k, label in enumerate(labels)]
        notes.append(f"{table[name].attrs['long_name']}: {'; '.join(each)}")
    last = table["exact_future_r2"]
    notes.append(f"{last.attrs['long_name']}: {told(table, 'exact_future_r2', ())}")
    return ["source", "question", *names, "p"], rows, notes


def hidden_layout(result):
    table, rows = result.parameters, []
    names = ("linear_r2", "nonlinear_r2")
    sources, variables = (table[d].values.tolist() for d in ("source", "variable"))
    for i, source in enumerate(sources):
        for j, variable in enumerate(variables):
            p = float(table["p_value"].values[i])
            told_p = "" if math.isnan(p) else f"{p:.2g}"
            rows.append([source, variable, *(told(table, n, (i, j)) for n in names), told_p])
    return ["source", "variable", *names, "p"], rows, []


def continual_layout(result):
    table = result.parameters
    tasks = table["task"].values.tolist()
    rows = [
        [after, *("" if j > k else told(table, "score", (k, j)) for j in range(len(tasks)))]
        for k, after in enumerate(tasks)
    ]
    return ["after", *tasks], rows, []


def memory_layout(result):
    table, rows = result.parameters, []
    for k, cell in enumerate(table["cell"].values.tolist()):
        cells = [told(table, "accuracy", (k, j)) for j in range(table.sizes["lag"])]
        costs = result.seeds["cost"].values[k]
        cost = statistics.median(costs[np.isfinite(costs)].tolist())
        reach = f"{float(table['reach'].values[k]):.3g}"
        rows.append([cell, *cells, reach, f"{cost:.3g}", str(int(table["n_weights"].values[k]))])
    lags = [f"{n} steps" for n in table["lag"].values]
    return ["cell", *lags, "reach (s)", "cost (s)", "weights"], rows, []


def stream_layout(result):
    rows = [[k.replace("_", " "), str(v)] for k, v in result.counters.items()]
    verdicts = result.units.values.tolist()
    rows += [[f"units {v}", str(verdicts.count(v))] for v in sorted(set(verdicts))]
    return ["what", "number"], rows, []


#: Results that say what is missing in their own words, see their layouts.
OWN_WORDS = (
    *(n for n in REPORTED if n.startswith("League")), "GradientFlow", "Plan", "Plan by events",
    "AuditReport", "leakage report", "ContinualResult", "MemoryTable",
)  # fmt: skip
#: Classes whose report is laid out in a way of its own.
LAYOUTS = {
    "League": league_layout,
    "GradientFlow": flow_layout,
    "FixedPoints": points_layout,
    "Attractor": attractor_layout,
    "BifurcationDiagram": diagram_layout,
    "Plan": plan_layout,
    "AuditReport": audit_layout,
    "BeliefReadout": belief_layout,
    "HiddenReadout": hidden_layout,
    "ContinualResult": continual_layout,
    "MemoryTable": memory_layout,
    "Stream": stream_layout,
}


def layout_of(result):
    return LAYOUTS.get(type(result).__name__, plain_layout)(result)


@every("page")
def test_the_page_holds_the_cells_of_the_text(name):
    result = result_of(name)
    assert read_text(text_of(result)) == read_html(page_of(result))


@every("cells", RESULTS, LOWER, SLOWER)
def test_every_number_that_is_printed_is_the_one_in_the_table(name, given):
    result = result_of(name, **given)
    columns, rows, notes = layout_of(result)
    printed = read_text(text_of(result))
    assert printed.columns == columns
    assert printed.rows == rows
    assert [line for line in notes if line not in printed.notes] == []


@every("reasons", [n for n in WITH_TABLE if n not in OWN_WORDS])
def test_what_is_missing_or_not_ok_is_said(name):
    result = result_of(name)
    table, printed = table_of(result), read_text(text_of(result))
    for quantity_ in quantities(table):
        reason = table[f"{quantity_}_ci"].attrs.get("reason", "")
        missing = bool(np.isnan(ends(table, quantity_)).any())
        hidden = quantity_ in left_out(result)
        lines = [
            line
            for line in printed.notes
            if line.startswith("no interval of ") and line.endswith(f": {reason}")
        ]
        named = [
            line
            for line in lines
            if quantity_ in line.removeprefix("no interval of ").split(": ")[0].split(", ")
        ]
        assert len(named) == int(missing and bool(reason) and not hidden)
    codes = set(np.ravel(table["status"].values).tolist()) if "status" in table else set()
    for code in codes - {"ok"}:
        own = table["status"].attrs.get(f"remedy_of_{code}")
        remedy = Status(code).remedy if code in Status.__members__.values() else own
        assert printed.head.count(f"{code}: {remedy}") == 1


# What the lines above a table say.


def kinetics_head(result):
    table = result.parameters_
    ok = table["status"].values == "ok"
    level = table["tau_decay_ci"].attrs["ci_prob"]
    middle = statistics.median(table["tau_decay"].values[ok].tolist())
    return [
        f"{ok.sum()} of {len(ok)} cells ok; {result.sampling_rate_:.4g} Hz; "
        f"intervals {100 * level:g} %",
        f"median tau_decay of the ok cells {number(middle)} s",
    ]


def fit_head(result):
    n_weights = sum(v.numel() for v in result.model.state_dict().values())
    if type(result.model).__name__ == "CalciumRNN":
        n_weights = sum(p.numel() for p in result.model.parameters())
    epochs = result.history.sizes["epoch"]
    said = f"loss {number(result.loss)}"
    watched = result.history["validation_loss"].values
    if np.isfinite(watched).any():
        # The weights of the best epoch are those that are returned.
        said += f", on the validation part {number(np.nanmin(watched))}"
    lines = [
        f"{type(result.model).__name__} with {n_weights} weights; {epochs} epochs of "
        f"{result.settings['optimizer']}; {said}"
    ]
    if result.seeds is not None:
        losses = result.seeds["loss"].values.tolist()
        lines.append(
            f"the best of {len(losses)} seeds; {result.seeds['loss'].attrs['long_name']}: mean "
            f"{number(statistics.fmean(losses))}, sd {number(statistics.stdev(losses))}"
        )
    if "clock" in result.parameters:
        tau = result.parameters["tau"].values
        short = int((tau < 5 * result.model.dt).sum())
        if short:
            lines.append(
                f"{short} of {len(tau)} time constants are shorter than 5 dt and move with the "
                "clock: raise substeps, or record faster"
            )
    return lines


def league_head(result):
    s, level = result.settings, result.parameters["r2_ci"].attrs["ci_prob"]
    return [
        *result.verdict.splitlines(),
        f"same split {s['fractions']}, {s['n_seeds']} seeds; test scores, {100 * level:g} % "
        f"intervals over {s['n_blocks']} blocks and seeds",
        f"one horizon step is {s['dt']:.4g} s; log-likelihood in nats per value above the "
        "training mean (the row 'mean')",
        "ridge, chosen on the validation part: "
        + ", ".join(f"{k} {v:g}" for k, v in s["chosen"]["ridge"].items()),
        *(f"{name}: {words}" for name, words in s["recipes"].items()),
        *bits_head(s.get("floors")),
    ]


def bits_head(floors):
    """What counts are scored in: the least expected counts of all seeds and horizons."""
    if floors is None:
        return []
    parts = []
    for name, of_seeds in floors.items():
        known = sorted({share for seed in of_seeds for share in seed if share is not None})
        parts.append(f"{name} {known[0]:g}" + (f" to {known[-1]:g}" if known[1:] else ""))
    return [
        "bits per spike: Poisson log-likelihood of expected counts above a constant rate",
        "least expected count, chosen on the validation part as a share of the unit's training "
        f"mean (0 is 1e-9 of a spike): {', '.join(parts)}",
    ]


def flow_head(result):
    table = result.parameters
    return [
        f"memory horizon, the lag of 1/e: {told(table, 'horizon', (), unit_of(table['horizon']))}",
        f"mean growth rate of the norm: {told(table, 'growth_rate', (), '1/s')}",
    ]


def spectrum_head(result):
    s, level = result.settings, result.parameters["exponent_ci"].attrs["ci_prob"]
    step, run, before = (number(k * s["dt"]) for k in (1, s["n_steps"], s["n_transient"]))
    return [
        f"{result.regime}: {result.reason}",
        f"LeakyRNN (2 states; a step is {step} s), without input; "
        f"{result.parameters.sizes['trajectory']} trajectories of {run} s after {before} s; "
        f"intervals {100 * level:g} %",
    ]


def basins_head(result):
    s, p = result.settings, result.parameters
    level = p["share_ci"].attrs["ci_prob"]
    n_proved, n_near = int(p["n_proved"].sum()), int(p["n_near"].sum())
    return [
        f"{int(p['n_states'].sum())} states all over of LeakyRNN (2 states; a step is "
        f"{number(s['dt'])} s), each followed for up to 20000 steps; intervals {100 * level:g} %",
        f"{n_proved + n_near} came to a stable point: {n_proved} proved, {n_near} merely near it",
    ]


def plan_head(result):
    s, table = result.settings, result.parameters
    level = table["duration_ci"].attrs["ci_prob"]
    return [
        f"record {told(table, 'duration', (), 's')} per cell for a {100 * level:g} % interval "
        f"{number(100 * result.relative_width)} % wide in all (about "
        f"{number(float(table['duration']) * s['rate'])} events)",
        f"tau {s['tau']:g} s, rise {s['tau_rise']:g} s, {s['rate']:g} Hz, SNR {s['snr']:g}, "
        f"{s['sampling_rate']:g} frames per s",
    ]


def stream_head(result):
    return [
        f"{result.units.size} units, {len(result.output)} outputs, bins of {result.bin_size:g} s"
    ]


HEADS = {
    "Kinetics": kinetics_head,
    "FitResult": fit_head,
    "League": league_head,
    "GradientFlow": flow_head,
    "Basins": basins_head,
    "LyapunovSpectrum": spectrum_head,
    "Plan": plan_head,
    "Stream": stream_head,
}


HEADED = [n for n in RESULTS if any(kind in n for kind in HEADS)]


@every("head", HEADED, LOWER, SLOWER)
def test_the_lines_above_the_table_give_its_numbers(name, given):
    result = result_of(name, **given)
    head = read_text(text_of(result)).head
    assert [line for line in HEADS[type(result).__name__](result) if line not in head] == []


@every("decoder title", DECODERS, SLOWER)
def test_a_decoder_names_its_units_its_bins_and_what_was_chosen(name, given):
    result = result_of(name, **given)
    printed = read_text(result.report())
    width = counts_and_targets(**given)[0].attrs["bin_size"]
    assert printed.title == f"{type(result).__name__}: 10 units, bins of {width:g} s"
    chosen = {k: f"{v:.3g}" if isinstance(v, float) else str(v) for k, v in result.chosen_.items()}
    said = [line for line in printed.notes if line.endswith(tuple(chosen.values()))]
    if not chosen:
        # Matrices that somebody else made: nothing was chosen.
        assert name == "KalmanFilter of matrices" and len(printed.notes) == 1
        return
    pairs = dict(re.findall(r"(\w+) ([\w.+-]+)(?:, |$)", said[0].split(": ", 1)[1]))
    assert pairs == chosen


# LaTeX.


def latex(name, value, low, high, unit, remark):
    span = "--" if np.isnan(low) or np.isnan(high) else f"[{number(low)}, {number(high)}]"
    title = name.replace("_", r"\_")
    return rf"{title} & {number(value)} & {span} & {unit} \\ % {remark}"


@every("latex", [n for n in REPORTED if n.startswith("League")])
def test_latex_of_a_league_has_a_row_for_each_score_account_and_horizon(name):
    result, expected = result_of(name), []
    table = result.parameters
    for score in quantities(table):
        for i, model in enumerate(table["model"].values):
            status = table["status"].values[i]
            remark = "interval" if status == "ok" else f"interval; {status}"
            for j, horizon in enumerate(table["horizon"].values):
                value, span = table[score].values[i, j], ends(table, score)[i, j]
                title = f"{score}, {model}, horizon {horizon}"
                expected.append(latex(title, value, *span, unit_of(table[score]), remark))
    assert result.to_latex().splitlines() == expected


@every("latex", [n for n in REPORTED if not n.startswith("League")])
def test_latex_rows_are_medians_and_quartiles_over_what_is_ok(name):
    result = result_of(name)
    table, expected = table_of(result), []
    for quantity_ in quantities(table):
        values, bounds = np.ravel(table[quantity_].values), ends(table, quantity_).reshape(-1, 2)
        keep = np.isfinite(values)
        if "status" in table and table["status"].dims == table[quantity_].dims:
            keep &= np.ravel(table["status"].values) == "ok"
        values, bounds = values[keep].tolist(), bounds[keep].tolist()
        if not values:
            continue
        if len(values) == 1:
            middle, (low, high), how = values[0], bounds[0], "interval"
        else:
            low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
            how = f"quartiles of {len(values)}"
        expected.append(latex(quantity_, middle, low, high, unit_of(table[quantity_]), how))
    assert result.to_latex().splitlines() == expected


# CSV.


@every("csv", WITH_TABLE)
def test_a_csv_file_holds_the_table_with_all_digits(name, tmp_path):
    table = table_of(result_of(name)).drop_dims(["parameter", "parameter_"], errors="ignore")
    dims = {d for d in table.dims if d != "ci_bound"}
    if len(dims) > 1:
        with pytest.raises(FileFormatError, match="A table along one axis was needed"):
            nr.io.write_csv(table, tmp_path / "table.csv")
        return
    nr.io.write_csv(table, tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    seen = set()
    for key, variable in [*table.coords.items(), *table.data_vars.items()]:
        if key == "ci_bound":
            continue
        unit = variable.attrs.get("units", "1")
        mark = "" if unit in ("1", "") else f" ({unit})"
        columns = {f"{key}{mark}": variable}
        if "ci_bound" in variable.dims:
            columns = {f"{key}_{b}{mark}": variable.sel(ci_bound=b) for b in ("lower", "upper")}
        for column, values in columns.items():
            seen.add(column)
            # What has no dimension stands in every row.
            told_ = values.values.tolist() if values.ndim else [values.item()] * len(rows)
            for row, value in zip(rows, told_, strict=True):
                if isinstance(value, float):
                    read = float(row[column] or "nan")
                    assert read == value or (np.isnan(read) and np.isnan(value))
                else:
                    assert row[column] == str(value)
    assert set(rows[0]) == seen


@every("to_csv", [n for n in REPORTED if n not in NO_CSV])
def test_a_result_writes_its_own_table_with_all_digits(name, tmp_path):
    result = result_of(name)
    result.to_csv(tmp_path / "own.csv")
    table = table_of(result).drop_dims(["parameter", "parameter_"], errors="ignore")
    dims = {d for v in table.data_vars.values() for d in v.dims} - {"ci_bound"}
    if len(dims) < 2:
        nr.io.write_csv(table, tmp_path / "table.csv")
        assert (tmp_path / "own.csv").read_bytes() == (tmp_path / "table.csv").read_bytes()
        return
    with (tmp_path / "own.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = []
    for quantity_ in quantities(table):
        for where in np.ndindex(table[quantity_].shape):
            labels = zip(table[quantity_].dims, where, strict=True)
            of = ", ".join(f"{d} {labels_of(table, d)[k]}" for d, k in labels)
            numbers = (table[quantity_].values[where], *ends(table, quantity_)[where])
            expected.append((quantity_, of, *map(float, numbers), unit_of(table[quantity_])))
    for row, (*words, value, low, high, unit) in zip(rows, expected, strict=True):
        assert [row["quantity"], row["of"], row["units"]] == [*words, unit]
        read = [float(row[k] or "nan") for k in ("value", "lower", "upper")]
        assert np.array_equal(read, [value, low, high], equal_nan=True)


# Methods.


def kinetics_stated(result):
    low, high = result.tau_bounds
    penalty = "weighed by their rate" if result.penalty is None else f"{result.penalty:g} noise"
    baseline = "a constant baseline" if result.knot_spacing is None else "a piecewise-linear"
    level = result.parameters_["tau_decay_ci"].attrs["ci_prob"]
    return [f"[{low:g}, {high:g}] s", penalty, baseline, f"{100 * level:g} % intervals"]


def fit_stated(result):
    s, unit = result.settings, result.model.time_unit
    how = {"lbfgs": "by L-BFGS", "adam": "by Adam"}[s["optimizer"]]
    lines = [
        f"A {type(result.model).__name__} (dt = {result.model.dt:g} {unit})",
        f"{how} to a {s['objective']} likelihood",
    ]
    if s["truncation"]:
        lines.append(f"gradients truncated at {s['truncation']:g} {unit}")
    if result.seeds is not None:
        lines.append(f"the best of {result.seeds.sizes['seed']} seeds")
    bounded = [n for n in quantities(result.parameters) if n.startswith("tau")]
    if any(np.isfinite(ends(result.parameters, n)).any() for n in bounded):
        level = result.parameters[f"{bounded[0]}_ci"].attrs["ci_prob"]
        lines.append(f"intervals of time constants ({100 * level:g} %)")
    return lines


def league_stated(result):
    return ["one split [0.7, 0.15, 0.15] with 2 seeds each"]


def flow_stated(result):
    lag = result.parameters["lag"]
    return [f"over lags up to {float(lag[-1]):g} {unit_of(lag)}"]


def points_stated(result):
    s = result.settings
    return [f"from {s['n_starts']} starts", f"the set is {result.completeness} ({s['reason']})"]


def attractor_stated(result):
    s = result.settings
    return [f"{s['n_trajectories']} trajectories were run for {s['n_steps']} steps",
            f"along them: {result.kind} ({s['reason']})"]  # fmt: skip


def diagram_stated(result):
    s = result.settings
    return [
        f"found by Newton steps at {s['n_searches']} values", f"followed over {s['parameter']}",
        f"the diagram is {result.completeness} ({s['reason']})",
    ]  # fmt: skip


def basins_stated(result):
    p = result.parameters
    return [
        f"following {int(p['n_states'].sum())} states all over",
        f"{int(p['n_proved'].sum())} verdicts are proved and {int(p['n_near'].sum())} rest on",
        f"{100 * p['share_ci'].attrs['ci_prob']:g} % Wilson intervals",
    ]


def spectrum_stated(result):
    s, unit = result.settings, result.settings["time_unit"]
    level = result.parameters["exponent_ci"].attrs["ci_prob"]
    return [
        f"along {result.parameters.sizes['trajectory']} trajectories of "
        f"{number(s['n_steps'] * s['dt'])} {unit} each",
        f"after {number(s['n_transient'] * s['dt'])} {unit} that were left out",
        f"{100 * level:g} % intervals",
    ]


def decoder_stated(result):
    level = result.scores_[f"{quantities(result.scores_)[0]}_ci"].attrs["ci_prob"]
    chosen = [
        f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in result.chosen_.items()
    ]
    lines = [
        f"A {type(result).__name__} decoded from {len(result.units_)} units in bins of "
        f"{result.bin_size_:g} s",
        *chosen,
    ]
    running = result.stream()
    running.step(np.ones(len(result.units_)))
    if np.isfinite(running.interval).all():
        lines.append(f"{100 * level:g} % predictive intervals")
    return lines


def plan_stated(result):
    s, level = result.settings, result.parameters["duration_ci"].attrs["ci_prob"]
    return [
        f"a {100 * level:g} % interval",
        f"{number(100 * result.relative_width)} % wide",
        f"a decay of {s['tau']:g} s",
        f"a rise of {s['tau_rise']:g} s" if s["tau_rise"] else "an instant rise",
        f"at {s['rate']:g} Hz",
        f"ratio of {s['snr']:g}",
        f"{s['sampling_rate']:g} frames per s",
        "Cramer-Rao bound",
    ]


def modes_stated(result):
    return [
        f"{result.parameters_.sizes['mode']} modes (rank {result.rank_})",
        f"to {result.n_features_in_} units", "optimised dynamic mode decomposition",
    ]  # fmt: skip


def dmd_stated(result):
    s = result.settings
    n = result.parameters.sizes["mode"]
    return [
        f"{n} modes ({s['n_eigenvalues']} eigenvalues)", f"to {s['n_units']} units",
        f"{s['class']} of PyDMD {importlib.metadata.version('pydmd')}", s["eigenvalues"],
    ]  # fmt: skip


def edmd_stated(result):
    return [
        f"between {len(result.dictionary_)} functions of {result.n_features_in_} variables",
        "extended dynamic mode decomposition",
    ]


def laws_stated(result):
    s = result.settings
    return [
        f"combinations of {s['n_terms']} functions of {s['n_variables']} variables",
        f"{s['n_trajectories']} smoothed trajectories", f"tolerance {s['tolerance']:g} of an sd",
    ]  # fmt: skip


def similar_stated(result):
    s = result.settings
    return [
        f"Linear maps of rank {s['rank']}", f"of {s['n_delays']} delays",
        f"trials changed sides {s['n_permutations']} times",
    ]  # fmt: skip


def compared_stated(result):
    s = result.settings
    return [
        f"of {s['first']} and of {s['second']}", f"{s['n_matched']} modes",
        f"{s['n_draws']} draws",
    ]  # fmt: skip


def point_process_stated(result):
    return [
        f"The spikes of {len(result.units_)} units", "in bins of 0.00100 s"
        if result.history_basis != "exponential" else "dead time and two exponentials",
    ]  # fmt: skip


def rescaling_stated(result):
    n = int(result.parameters["n_intervals"].sum())
    return [f"bins of {result.settings['bin_size']:g} s", f"on {n} intervals"]


def smoothed_stated(result):
    width = float(result.parameters_["width"])
    return [f"bins of {result.fitted_bin_size_:g} s", f"sd of {width:.3g} s"]


def score_stated(result):
    s = result.settings
    said = {
        "co-smoothing": lambda: [f"told from {s['n_held_in']} others", "(co-smoothing)"],
        "few-shot co-smoothing": lambda: [
            f"latents of {s['n_held_in']} others", f"{s['n_draws']} draws"
        ],
        "PSTH R2": lambda: [f"{s['n_conditions']} conditions", f"of {s['smoothing']:g} s"],
    }  # fmt: skip
    return [
        *said[s["score"]](), f"bins of {s['bin_size']:g} s",
        f"{100 * s['confidence_level']:g} % intervals",
    ]  # fmt: skip


def timescales_stated(result):
    what = "shared by" if result.pooled else "of each of"
    return [f"{what} {result.n_units_} units", f"bins of {result.fitted_bin_size_:.4g} s"]


def dynamics_stated(result):
    return [f"{result.n_latent} latents", f"bins of {result.fitted_bin_size_:.4g} s"]


def autoencoder_stated(result):
    return [f"a {result.generator} generator of {result.n_hidden} units", "bins of"]


STATED = {
    "BacterialGenes": lambda result: [f"{result.n_hidden} leaky units", *result.genomes_],
    "Genes": lambda result: [
        f"({len(result)}, genetic code {result.settings['genetic_code']})",
        f"probability {result.settings['min_probability']:g}",
    ],
    "GeneStructure": lambda result: [f"{result.n_genes_} genes of", *result.genomes_],
    "SplicedGenes": lambda result: [
        f"({len(result)}, genetic code {result.settings['genetic_code']})",
        result.settings["trained_on"],
        f"in {result.settings['n_rounds']} rounds",
    ],
    "SpliceSites": lambda result: [
        f"Splice {result.site}s",
        f"{result.n_seeds} networks trained on {result.n_windows_} windows",
        f"{result.n_held_out_} windows held out",
    ],
    "SplicePairing": lambda result: [
        f"{result.n_seeds} networks trained on {result.n_pairs_} introns",
        f"{result.n_held_out_} introns of genes held out",
    ],
    "MutationModel": lambda result: [
        f"{result.n_seeds} networks trained on {result.n_variants_} variants",
        f"of {result.n_proteins_} proteins",
        "families held out",
    ],
    "StabilityModel": lambda result: [
        f"Melting points of {result.n_proteins_} proteins",
        f"within {len(result.species_)} species",
        f"{result.n_seeds} gated recurrent networks",
        f"{result.n_held_out_} proteins held out",
    ],
    "SequentialAutoencoder": autoencoder_stated,
    "Timescales": timescales_stated,
    "PoissonDynamics": dynamics_stated,
    "PopulationScore": score_stated,
    "SmoothedRates": smoothed_stated,
    "PointProcess": point_process_stated,
    "Rescaling": rescaling_stated,
    "SpectraComparison": compared_stated,
    "DynamicalSimilarity": similar_stated,
    "Modes": modes_stated,
    "DMDResult": dmd_stated,
    "EDMD": edmd_stated,
    "ConservedQuantities": laws_stated,
    "Kinetics": kinetics_stated,
    "FitResult": fit_stated,
    "League": league_stated,
    "GradientFlow": flow_stated,
    "FixedPoints": points_stated,
    "Attractor": attractor_stated,
    "BifurcationDiagram": diagram_stated,
    "Basins": basins_stated,
    "LyapunovSpectrum": spectrum_stated,
    "AuditReport": lambda result: [result.title.lower()],
    "PolicyResult": lambda result: [
        type(result.model).__name__,
        f"{result.settings['n_iterations']} iterations of {result.settings['n_episodes']}",
        f"discount {result.settings['discount']:g}",
    ],
    "BeliefReadout": lambda result: [
        result.settings["task"],
        f"{result.settings['n_networks']} networks on {result.settings['n_episodes']} episodes",
    ],
    "HiddenReadout": lambda result: [
        f"{result.settings['n_networks']} networks ({result.settings['model']})",
        f"{result.settings['n_held_out']} of {result.settings['n_windows']} windows",
    ],
    "MemoryTable": lambda result: [
        ", ".join(result.parameters["cell"].values.tolist()),
        f"about {result.settings['n_weights']} weights",
        f"{result.settings['start']} start, {result.settings['n_seeds']} seeds",
    ],
    "ContinualResult": lambda result: [
        result.settings["model"],
        f"{result.settings['n_seeds']} networks",
        f"{result.settings['max_epochs']} epochs each",
    ],
    "Plan": plan_stated,
}


@every("methods", REPORTED, LOWER, SLOWER)
def test_methods_state_versions_papers_and_the_settings_that_were_used(name, given):
    result = result_of(name, **given)
    text = result.methods_text()
    listed = text[text.index(" (neurornn ") + 2 :].split(")")[0]
    used = dict(package.split(" ") for package in listed.split(", "))
    # numpy counts for all, and each class names what else it stands on.
    assert {"neurornn", "numpy"} <= set(used) and len(used) > 2
    assert used == {package: importlib.metadata.version(package) for package in used}
    for line in nr.cite(result).splitlines()[1:]:
        assert line in text
    # The sentence of a class that has none of its own.
    assert not text.startswith(f"{type(result).__name__} was fitted (")
    stated = STATED.get(type(result).__name__, decoder_stated)
    assert [part for part in stated(result) if part not in text] == []


@every("claims", DECODERS)
def test_methods_claim_no_intervals_where_there_are_none(name):
    decoder = result_of(name)
    running = decoder.stream()
    running.step(np.ones(10))
    some = bool(np.isfinite(running.interval).any())
    assert ("predictive intervals" in decoder.methods_text()) == some


# Attributes and levels.


@every("attrs", WITH_TABLE, LOWER)
def test_each_quantity_carries_its_unit_its_meaning_its_method_and_its_level(name, given):
    table = table_of(result_of(name, **given))
    assert quantities(table)
    for quantity_ in quantities(table):
        value, bounds = table[quantity_], table[f"{quantity_}_ci"]
        for attr in ("units", "long_name", "method"):
            assert value.attrs[attr], f"{quantity_} has no {attr}"
        assert bounds.attrs["units"] == value.attrs["units"]
        assert (*value.dims, "ci_bound") == bounds.dims
        if np.isnan(bounds).any():
            assert bounds.attrs["reason"], f"{quantity_} does not say why it has no interval"
        low, high = np.moveaxis(ends(table, quantity_), -1, 0)
        both = np.isfinite(low) & np.isfinite(high)
        assert (low[both] <= high[both]).all()
        assert np.isfinite(value.values[both]).all()
        if takes(name, "level"):
            assert bounds.attrs["ci_prob"] == given.get("level", LEVEL)
    assert table["ci_bound"].values.tolist() == ["lower", "upper"]


@every("numbers", WITH_TABLE)
def test_every_number_beside_them_carries_its_unit_and_its_meaning(name):
    table = table_of(result_of(name))
    for key, variable in table.variables.items():
        if variable.dtype.kind in "fiu" and key not in table.dims:
            assert variable.attrs.get("units"), f"{key} has no unit"
            assert variable.attrs.get("long_name"), f"{key} does not say what it is"


@every("level", needs="level")
def test_a_higher_level_widens_the_intervals_and_moves_no_value(name):
    wide, narrow = result_of(name), result_of(name, level=OTHER_LEVEL)
    if hasattr(wide, "stream"):
        reaches = []
        for decoder in (narrow, wide):
            running = decoder.stream()
            running.step(np.ones(10))
            reaches.append(np.ptp(running.interval, axis=1))
        if np.isfinite(reaches).all():
            assert (reaches[0] < reaches[1]).all()
        return
    a, b = table_of(narrow), table_of(wide)
    if name.startswith("Plan"):
        # More certainty takes longer, unless what takes long is something else.
        longer = float(b["duration"]) / float(a["duration"])
        assert longer > 1.5 if name == "Plan" else longer == 1.0
        return
    widened = False
    for quantity_ in quantities(a):
        # The same computation, up to where a step of an iteration ends.
        np.testing.assert_allclose(b[quantity_].values, a[quantity_].values, rtol=1e-9)
        (low, high), (lower, higher) = (np.moveaxis(ends(t, quantity_), -1, 0) for t in (a, b))
        both = np.isfinite(low + high + lower + higher)
        slack = 1e-9 * np.abs(high - low)[both]
        assert (lower[both] <= low[both] + slack).all()
        assert (high[both] <= higher[both] + slack).all()
        widened |= bool((higher - lower > (high - low) * (1 + 1e-6))[both].any())
        # Nor does a level decide what has an interval, but where order statistics run out.
        assert (np.isfinite(lower) <= np.isfinite(low)).all()
    assert widened


# Time.


def public_arrays(result):
    """Every labelled array that a result shows, by name."""
    if isinstance(result, xr.Dataset):
        return {"table": result}
    found = {}
    for name in dir(result):
        if name.startswith("_") or name.endswith("__"):
            continue
        value = getattr(result, name, None)
        if isinstance(value, xr.DataArray | xr.Dataset):
            found[name] = value
    return found


@every("slow", [n for n in RESULTS if n not in NOT_SLOWED], needs="slow")
def test_a_recording_that_is_twice_as_slow_gives_twice_the_time_and_half_the_rate(name):
    usual, slow = public_arrays(result_of(name)), public_arrays(result_of(name, **SLOWER))
    # The way there is not the same to the bit, and may take a step more.
    usual, slow = ({k: v for k, v in x.items() if k != "history"} for x in (usual, slow))
    assert set(usual) == set(slow) and usual
    checked = set()
    for key, array in usual.items():
        other = slow[key]
        tables = [
            x if isinstance(x, xr.Dataset) else x.to_dataset(name="value") for x in (array, other)
        ]
        assert set(tables[0].variables) == set(tables[1].variables)
        for n, variable in tables[0].variables.items():
            values, theirs = variable.values, tables[1].variables[n].values
            if values.dtype.kind not in "fc":
                assert np.array_equal(values, theirs)
                continue
            unit = variable.attrs.get("units", "1")
            power = SECONDS.get(unit, 0)
            if n == "covariance":
                power = 2
            # Iterations end within 1e-9 of one another; what is trained in float32 within 1e-4.
            np.testing.assert_allclose(
                theirs,
                2.0**power * values,
                rtol=OTHER_CLOCKS.get(name, 1e-4),
                atol=1e-9,
                err_msg=f"{key} {n}",
            )
            checked.add((n, power))
    about_time = any(power for _, power in checked)
    # Scores of decoders, the noise of a gated network and shares are the same on every clock.
    assert about_time or name in DECODERS or name in ("gated FitResult", "Basins")


# Files.


@every("saved", [n for n in [*REPORTED, *COUNTED] if n not in NO_FILE])
def test_saved_and_loaded_it_tells_the_same(name, tmp_path):
    result = result_of(name)
    result.save(tmp_path / "result")
    again = nr.load(tmp_path / "result")
    assert type(again) is type(result)
    assert again.report() == result.report()
    assert again._repr_html_() == result._repr_html_()
    assert repr(again) == repr(result)
    if table_of(result) is not None:
        assert again.methods_text() == result.methods_text()
        assert again.to_latex() == result.to_latex()
        assert table_of(again).identical(table_of(result))
