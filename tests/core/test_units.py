"""Numbers with their units: digits, intervals in their order, symbols and words, seconds."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurornn._core.units import (
    SYMBOLS,
    format_number,
    format_quantity,
    seconds_per,
    symbol,
)
from tests.contracts.reading import number, quantity


def ordinary(least=1e-12, most=1e12):
    """Numbers of either sign with at most 12 digits: no rounding error away from a power of 10."""
    size = st.floats(math.log10(least), math.log10(most)).map(lambda p: float(f"{10**p:.11e}"))
    return st.builds(lambda x, down: -x if down else x, size, st.booleans())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.49873, "0.499"),
        (12345.6, "12346"),
        (99.96, "100.0"),
        (-0.0123456, "-0.0123"),
        (3.0, "3.00"),
        (0.0, "0"),
        (-0.0, "0"),
        (float("nan"), "-"),
        (float("inf"), "inf"),
        (float("-inf"), "-inf"),
        (1e-4, "0.000100"),
        (0.99e-4, "9.90e-05"),
        (999999.0, "999999"),
        (1e6, "1.00e+06"),
        (9.999e7, "1.00e+08"),
    ],
)
def test_a_number_has_three_digits_and_no_longer_form_than_needed(value, text):
    assert format_number(value) == text == number(value)


def test_other_numbers_of_digits():
    assert [format_number(math.pi, d) for d in (1, 2, 5)] == ["3", "3.1", "3.1416"]
    assert format_number(1e-7, 2) == "1.0e-07"


@given(ordinary())
def test_a_number_read_back_is_the_number_to_its_third_digit(value):
    exponent = math.floor(math.log10(abs(value)))
    read = float(format_number(value))
    # Half of the last digit shown; one part in a million of it for the float that is read.
    assert abs(read - value) <= 0.5 * 10.0 ** min(exponent - 2, 0 if exponent < 6 else 99) * (
        1 + 1e-6
    )
    assert format_number(value) == number(value)


@given(ordinary(), ordinary(), ordinary(), st.sampled_from(SYMBOLS))
def test_a_quantity_gives_value_then_lower_then_upper_then_unit(value, a, b, unit):
    low, high = sorted((a, b))
    text = format_quantity(value, unit, low, high)
    assert text == quantity(value, low, high, unit)
    # In the order they came in, told by other means than a formatter.
    inner = text[text.index("[") + 1 : text.index("]")].split(", ")
    assert float(inner[0]) <= float(inner[1])


def test_an_interval_is_never_turned_round():
    assert format_quantity(0.5, "s", 0.48, 0.521) == "0.500 [0.480, 0.521] s"
    # Nor sorted: what came in the wrong order is seen.
    assert format_quantity(0.5, "s", 0.521, 0.48) == "0.500 [0.521, 0.480] s"


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        ((None, None), "0.500 s"),
        ((0.4, None), "0.500 s"),
        ((math.nan, math.nan), "0.500 s"),
        # Half an interval is none.
        ((0.4, math.nan), "0.500 s"),
        ((math.nan, 0.6), "0.500 s"),
        ((0.0, math.inf), "0.500 [0, inf] s"),
    ],
)
def test_what_is_missing_of_an_interval(bounds, text):
    assert format_quantity(0.5, "s", *bounds) == text


@pytest.mark.parametrize("unit", ["1", ""])
def test_a_pure_number_has_no_unit(unit):
    assert format_quantity(0.5, unit, 0.4, 0.6) == "0.500 [0.400, 0.600]"
    assert format_quantity(0.5, unit) == "0.500"


def test_a_missing_value_keeps_its_unit():
    assert format_quantity(math.nan, "Hz", math.nan, math.nan) == "- Hz"


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("seconds", "s"),
        ("Second", "s"),
        (" sec ", "s"),
        ("milliseconds", "ms"),
        ("MSEC", "ms"),
        ("hertz", "Hz"),
        ("HZ", "Hz"),
        ("bp", "bp"),
        (" cm/s", "cm/s"),
        ("furlong", "furlong"),
    ],
)
def test_words_become_symbols_and_others_stay(word, expected):
    assert symbol(word) == expected


@given(st.sampled_from(SYMBOLS))
def test_symbols_are_their_own_symbol(unit):
    assert symbol(unit) == unit


@pytest.mark.parametrize(
    ("unit", "seconds"),
    [
        ("s", 1.0),
        ("seconds", 1.0),
        ("ms", 1e-3),
        ("milliseconds", 1e-3),
        ("us", 1e-6),
        ("min", 60.0),
        ("Hz", None),
        ("bp", None),
        ("1", None),
        ("", None),
    ],
)
def test_seconds_in_a_unit_of_time_and_none_in_another(unit, seconds):
    assert seconds_per(unit) == seconds
