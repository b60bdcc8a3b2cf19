"""Money: exact micros from texts, rounding and formatting."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidValue
from domain.money import MAX_AMOUNT_MICROS, exact_micros, format_units, whole_micros
from tests.domain.facts import QUICK

amounts = st.integers(-MAX_AMOUNT_MICROS, MAX_AMOUNT_MICROS)


def read_micros(text: str) -> int:
    return whole_micros(exact_micros(text))


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("0", 0),
        ("12.5", 12_500_000),
        ("12.50", 12_500_000),
        ("0.000001", 1),
        (".5", 500_000),
        ("5.", 5_000_000),
        ("+3", 3_000_000),
        ("-3.25", -3_250_000),
        ("  7\t", 7_000_000),
        ("1e3", 1_000_000_000),
        ("1.00000000000", 1_000_000),
    ],
)
def test_one_unit_is_read_as_a_million_micros(text: str, micros: int) -> None:
    assert read_micros(text) == micros


@pytest.mark.parametrize(
    "text", ["1,234.50", "$1,234.50", "€ 1,234.50", "£\u00a01,234.50", "1,234.50\u202f€", "+1,234.5"]
)
def test_currency_signs_and_thousands_separators_are_ignored(text: str) -> None:
    assert read_micros(text) == 1_234_500_000


def test_millions_have_two_commas() -> None:
    assert read_micros("-1,234,567.89") == -1_234_567_890_000


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "$",
        "-",
        ".",
        "abc",
        "12 50",
        "1,23",
        "1,2345",
        ",123",
        "1,234,5",
        "12,50",
        "0x10",
        "1_000",
        "1/2",
        "--1",
    ],
)
def test_text_that_is_not_a_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="number"):
        read_micros(text)


@pytest.mark.parametrize("text", ["NaN", "-nan", "sNaN", "Infinity", "-inf", "$inf"])
def test_infinite_number_and_nan_are_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="finite"):
        read_micros(text)


@pytest.mark.parametrize("text", ["1\x00", "\x00", "\ud800", "1\ud800", "一"])
def test_odd_characters_are_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        read_micros(text)


def test_error_names_the_field_and_quotes_the_text() -> None:
    with pytest.raises(InvalidValue) as refusal:
        read_micros("ten")
    assert (refusal.value.field, refusal.value.message) == ("amount", "'ten' is not a number")
    assert str(refusal.value) == "amount: 'ten' is not a number"


def test_a_billion_units_is_the_largest_accepted_amount() -> None:
    assert read_micros("1,000,000,000") == MAX_AMOUNT_MICROS
    assert read_micros("-1000000000") == -MAX_AMOUNT_MICROS


@pytest.mark.parametrize(
    "text", ["1000000000.000001", "-1000000000.000001", "9" * 16, "1e16", "1e999999999", "9" * 500]
)
def test_a_micro_over_a_billion_units_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="over a billion"):
        read_micros(text)


def test_an_amount_of_over_40_decimals_is_refused() -> None:
    with pytest.raises(InvalidValue, match="over 40 decimals"):
        read_micros("1e-99999999999")


def test_sums_are_rounded_once_after_adding() -> None:
    parts = [exact_micros("0.0000004")] * 5
    assert whole_micros(sum(parts, Decimal(0))) == 2
    assert [whole_micros(part) for part in parts] == [0] * 5


@pytest.mark.parametrize(
    ("exact", "micros"), [("0.5", 0), ("1.5", 2), ("2.5", 2), ("-0.5", 0), ("-1.5", -2), ("0.51", 1)]
)
def test_half_a_micro_rounds_to_even(exact: str, micros: int) -> None:
    assert whole_micros(Decimal(exact)) == micros


def test_rounding_up_over_a_billion_units_is_refused() -> None:
    assert whole_micros(MAX_AMOUNT_MICROS + Decimal("0.5")) == MAX_AMOUNT_MICROS
    with pytest.raises(InvalidValue, match="over a billion"):
        whole_micros(MAX_AMOUNT_MICROS + Decimal("0.51"))


def test_amounts_given_in_micros_are_not_scaled() -> None:
    assert exact_micros("1250000", micros_per_unit=1) == 1_250_000


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "0.00"),
        (1, "0.000001"),
        (-1, "-0.000001"),
        (100_000, "0.10"),
        (125_000, "0.125"),
        (12_500_000, "12.50"),
        (-12_345_600, "-12.3456"),
        (MAX_AMOUNT_MICROS, "1000000000.00"),
    ],
)
def test_micros_are_formatted_exactly_with_at_least_two_decimals(micros: int, text: str) -> None:
    assert format_units(micros) == text


@QUICK
@given(amounts)
def test_formatted_units_are_read_back_exactly(micros: int) -> None:
    assert read_micros(format_units(micros)) == micros


@QUICK
@given(amounts)
def test_thousands_separators_do_not_change_the_amount(micros: int) -> None:
    units, rest = divmod(abs(micros), 1_000_000)
    sign = "-" if micros < 0 else ""
    assert read_micros(f"${sign}{units:,}.{rest:06d}") == micros


@QUICK
@given(st.lists(amounts, max_size=20))
def test_sums_are_exact(amounts_micros: list[int]) -> None:
    written = [exact_micros(format_units(micros)) for micros in amounts_micros]
    assert sum(written) == sum(amounts_micros)


@QUICK
@given(st.text() | st.text("0123456789.,-+eE$ _") | st.from_regex(r"-?[0-9]{0,30}\.[0-9]{0,40}", fullmatch=True))
def test_any_text_is_micros_within_range_or_refused(text: str) -> None:
    try:
        micros = read_micros(text)
    except InvalidValue:
        return
    assert type(micros) is int
    assert abs(micros) <= MAX_AMOUNT_MICROS
