"""No damaged input becomes a quiet number or somebody else's error."""

from collections import Counter

import pytest

from tests.hostile import configs, doors
from tests.hostile.outcomes import GOOD
from tests.hostile.runs import quiet, run_case, run_config, sampled


@pytest.fixture(autouse=True)
def _one_thread():
    quiet()


def failures(found, run):
    """Cases that fail; a good share must be refused, or the harness itself is broken."""
    outcomes = {case.key: run(case) for case in found}
    refused = Counter(o.kind for o in outcomes.values())["our error"]
    assert refused > len(outcomes) // 4, f"only {refused} of {len(outcomes)} are refused"
    return [f"{k}: {o.kind}: {o.text}" for k, o in outcomes.items() if o.kind not in GOOD]


#: Networks take seconds to fit: the whole run has them.
SLOW_DOORS = ("decode.Recurrent", "data.leakage_report", "decode.neuron_dropping")


def quick_cases():
    return [c for c in doors.cases() if not c.door.startswith(SLOW_DOORS)]


def test_a_sample_of_hostile_arrays_and_numbers():
    # 1.5 % of 11,000 cases take some seconds; the whole run has them all.
    found = sampled(quick_cases(), 0.015)
    assert len(found) > 100
    assert failures(found, run_case) == []


def test_a_sample_of_wrong_configurations():
    found = sampled(list(configs.cases()), 0.05)
    assert len(found) > 25
    assert failures(found, run_config) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "room",
    [
        "data.",
        "calcium.",
        "models.",
        "fit",
        "compare.",
        "decode.",
        "plot.",
    ],
)
def test_every_hostile_array_and_number(room):
    assert failures([c for c in doors.cases() if c.door.startswith(room)], run_case) == []


@pytest.mark.slow
def test_every_wrong_configuration():
    assert failures(list(configs.cases()), run_config) == []
