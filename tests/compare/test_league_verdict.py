"""What a league says in words, from tables made by hand."""

import numpy as np
import pytest
import xarray as xr

from neurornn.compare.verdicts import verdict

CLOCK = {"dt": 0.1, "time_unit": "s"}


def made(*horizons):
    """A table from one mapping of model -> (R2, half-width, interval behind the best) each."""
    names = list(horizons[0])
    r2 = np.array([[h[n][0] for h in horizons] for n in names])
    half = np.array([[h[n][1] for h in horizons] for n in names])
    behind = np.array([[h[n][2] for h in horizons] for n in names])
    dims = ("model", "horizon")
    return xr.Dataset(
        {
            "r2": (dims, r2),
            "r2_ci": ((*dims, "ci_bound"), np.stack([r2 - half, r2 + half], -1)),
            "r2_behind_best": (dims, np.nanmax(r2, 0) - r2),
            "r2_behind_best_ci": ((*dims, "ci_bound"), behind),
        },
        {"model": names, "horizon": [1, 10][: len(horizons)]},
    )


NONE = (np.nan, np.nan)


def test_a_lead_that_is_more_than_noise_is_told_of_the_next_and_of_the_simpler_ones():
    table = made({
        "GRU": (0.9, 0.02, (0, 0)), "EDMD (relifted)": (0.8, 0.02, (0.05, 0.15)),
        "linear": (0.5, 0.1, (0.3, 0.5)), "ridge": (0.6, 0.1, (-0.01, 0.6)),
        "memoryless": (0.2, 0.1, (0.6, 0.8)), "mean": (0.0, 0.0, (0.88, 0.92)),
    })  # fmt: skip
    assert verdict(table, CLOCK) == (
        "At horizon 1 (0.1 s): GRU is best, R2 0.900 [0.880, 0.920]; its lead of 0.100 [0.0500, "
        "0.150] over the next model, EDMD (relifted), is more than noise; its lead of 0.300 "
        "[-0.0100, 0.600] over the best linear model, ridge, is noise; its lead of 0.700 [0.600, "
        "0.800] over memoryless is more than noise."
    )


def test_each_horizon_has_its_own_winner():
    near = {"GRU": (0.9, 0.02, (0, 0)), "ridge": (0.89, 0.02, (-0.01, 0.03)),
            "mean": (0.0, 0.0, (0.88, 0.92))}  # fmt: skip
    far = {"GRU": (0.3, 0.02, (0.1, 0.2)), "ridge": (0.45, 0.02, (0, 0)),
           "mean": (0.0, 0.0, (0.4, 0.5))}  # fmt: skip
    first, second = verdict(made(near, far), CLOCK).splitlines()
    assert "GRU is best" in first
    assert "over the next and best linear model, ridge, is noise." in first
    # A linear winner is not told from linear ones.
    assert second == (
        "At horizon 10 (1 s): ridge is best, R2 0.450 [0.430, 0.470]; its lead of 0.150 [0.100, "
        "0.200] over the next model, GRU, is more than noise."
    )


def test_an_interval_that_ends_at_0_is_noise_and_one_that_does_not_is_none():
    for low, said in ((0.0, "is noise"), (1e-3, "is more than noise")):
        table = made({"GRU": (0.9, 0.1, (0, 0)), "ridge": (0.8, 0.1, (low, 0.2))})
        assert verdict(table, CLOCK).endswith(
            f"over the next and best linear model, ridge, {said}."
        )


def test_nobody_wins_where_the_best_is_not_above_the_mean():
    table = made({"GRU": (0.05, 0.06, (0, 0)), "mean": (0.0, 0.0, (-0.01, 0.11))})
    assert verdict(table, CLOCK) == (
        "At horizon 1 (0.1 s): no model is better than the training mean beyond noise (GRU leads "
        "with R2 0.0500)."
    )
    table = made({"GRU": (-0.2, 0.06, (0.1, 0.3)), "mean": (0.0, 0.0, (0, 0))})
    assert verdict(table, CLOCK).endswith(
        "no model is better than the training mean beyond noise."
    )


def test_too_few_blocks_leave_the_lead_open():
    table = made({"GRU": (0.5, np.nan, NONE), "ridge": (0.4, np.nan, NONE)})
    assert verdict(table, CLOCK) == (
        "At horizon 1 (0.1 s): GRU has the highest R2, 0.500; too few test blocks to say whether "
        "its lead is noise."
    )


def test_what_diverged_is_passed_over():
    table = made({
        "EDMD (linear)": (np.nan, np.nan, NONE), "GRU": (0.5, 0.1, (0, 0)),
        "memoryless": (0.4, 0.1, (0.05, 0.2)),
    })  # fmt: skip
    told = verdict(table, CLOCK)
    assert "EDMD" not in told and "GRU is best" in told
    assert "over the next model, memoryless, is more than noise" in told
    assert told.endswith("no linear model took part.")
    table["r2"][:] = np.nan
    assert verdict(table, CLOCK) == "At horizon 1 (0.1 s): nothing was scored."


@pytest.mark.parametrize("name", ["ridge", "linear 2", "modes", "Modes 3", "LinearStateSpace"])
def test_a_second_of_its_kind_is_linear_too(name):
    table = made({"GRU": (0.9, 0.1, (0, 0)), name: (0.8, 0.1, (0.01, 0.2))})
    assert f"the next and best linear model, {name}," in verdict(table, CLOCK)


def test_an_edmd_is_no_linear_model_of_the_states():
    table = made({"GRU": (0.9, 0.1, (0, 0)), "EDMD (linear)": (0.8, 0.1, (0.01, 0.2))})
    assert "no linear model took part" in verdict(table, CLOCK)


def test_a_memoryless_model_of_another_name_is_said_to_be_one():
    table = made({"GRU": (0.9, 0.1, (0, 0)), "MemorylessMLP": (0.8, 0.1, (0.01, 0.2))})
    assert "over the next and memoryless model, MemorylessMLP, is" in verdict(table, CLOCK)


def of_counts(r2, bits, behind, r2_behind=(0.05, 0.15)):
    """A table of counts: R2, then bits with their half-width, and intervals behind the best."""
    table = made({n: (v, 0.01, r2_behind) for n, v in r2.items()})
    names = list(r2)
    value = np.array([[bits[n][0]] for n in names])
    half = np.array([[bits[n][1]] for n in names])
    dims = ("model", "horizon")
    table["bits_per_spike"] = (dims, value)
    table["bits_per_spike_ci"] = ((*dims, "ci_bound"), np.stack([value - half, value + half], -1))
    table["bits_behind_best_ci"] = ((*dims, "ci_bound"), np.array([[behind[n]] for n in names]))
    table["bits_behind_best"] = (
        dims,
        np.max(value, initial=-np.inf, where=~np.isnan(value)) - value,
    )
    return table


def test_of_counts_bits_decide_and_another_leader_in_r2_is_named():
    r2 = {"PointProcess": 0.1, "ridge": 0.2, "memoryless": 0.05, "mean": 0.0}
    bits = {"PointProcess": (0.5, 0.1), "ridge": (0.3, 0.1), "memoryless": (0.2, 0.1),
            "mean": (-0.01, 0.01)}  # fmt: skip
    behind = {"PointProcess": (0, 0), "ridge": (0.1, 0.3), "memoryless": (-0.1, 0.6),
              "mean": (0.4, 0.6)}  # fmt: skip
    assert verdict(of_counts(r2, bits, behind), CLOCK) == (
        "At horizon 1 (0.1 s): PointProcess is best, 0.500 [0.400, 0.600] bits per spike; its "
        "lead of 0.200 [0.100, 0.300] over the next and best linear model, ridge, is more than "
        "noise; its lead of 0.300 [-0.100, 0.600] over memoryless is noise; in R2 ridge leads "
        "by more than noise, with 0.200 [0.190, 0.210]."
    )
    noise = verdict(of_counts(r2, bits, behind, (-0.05, 0.25)), CLOCK)
    assert noise.endswith("over memoryless is noise.")
    # The same model leads in both.
    same = verdict(of_counts({**r2, "ridge": 0.02}, bits, behind), CLOCK)
    assert same.endswith("over memoryless is noise.")
    # A model that does not reach a horizon is in no comparison of it.
    none = {**bits, "PointProcess": (np.nan, np.nan)}
    far = verdict(of_counts({**r2, "PointProcess": np.nan}, none, behind), CLOCK)
    assert "ridge is best, 0.300" in far and "PointProcess" not in far


def test_of_counts_none_that_beats_a_constant_rate_and_none_that_was_scored():
    r2 = {"ridge": 0.2, "mean": 0.0}
    behind = {"ridge": (0, 0), "mean": (-0.1, 0.3)}
    told = verdict(of_counts(r2, {"ridge": (0.05, 0.1), "mean": (-0.1, 0.1)}, behind), CLOCK)
    assert (
        "no model is better than a constant rate beyond noise (ridge leads with 0.0500 bits"
        in (told)
    )
    # No spike was scored: R2 is all there is.
    none = {"ridge": (np.nan, np.nan), "mean": (np.nan, np.nan)}
    assert "ridge is best, R2 0.200" in verdict(of_counts(r2, none, behind), CLOCK)
