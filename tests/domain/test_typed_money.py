"""Typed amounts: every accepted text has one reading; a text with two is refused, and the error names both."""

import re

import pytest
from babel.numbers import get_currency_precision
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidValue
from domain.money import MAX_AMOUNT_MICROS
from domain.typed_money import decimals_of, parse_money, typed_units
from runtime.formats import exact_money
from tests.domain.facts import QUICK

UNIT = 1_000_000
CURRENCIES = st.sampled_from(["USD", "EUR", "JPY", "KWD", "CLF", "INR"])


@pytest.mark.parametrize(
    ("text", "currency", "micros"),
    [
        ("0", "USD", 0),
        ("1500", "USD", 1_500 * UNIT),
        ("1.50", "USD", 1_500_000),
        ("1,50", "EUR", 1_500_000),
        ("1.5", "USD", 1_500_000),
        ("0.01", "USD", 10_000),
        ("1500.00", "JPY", 1_500 * UNIT),
        ("1.5", "KWD", 1_500_000),
        ("1.2340", "KWD", 1_234_000),
        ("1,500.234", "KWD", 1_500_234_000),
        ("1,500.00", "USD", 1_500 * UNIT),
        ("1.500,00", "EUR", 1_500 * UNIT),
        ("1 500,00", "EUR", 1_500 * UNIT),
        ("1\u00a0500", "EUR", 1_500 * UNIT),
        ("1\u202f500,5", "EUR", 1_500_500_000),
        ("1'500.00", "CHF", 1_500 * UNIT),
        ("1’500.00", "CHF", 1_500 * UNIT),
        ("1,234,567", "USD", 1_234_567 * UNIT),
        ("1.234.567,89", "EUR", 1_234_567_890_000),
        ("  7\t", "USD", 7 * UNIT),
        ("$7,900.00", "USD", 7_900 * UNIT),
        ("$ 7900", "USD", 7_900 * UNIT),
        ("7900 €", "EUR", 7_900 * UNIT),
        ("EUR 7900", "EUR", 7_900 * UNIT),
        ("7900 usd", "USD", 7_900 * UNIT),
        ("CA$7900", "CAD", 7_900 * UNIT),
        ("-5", "USD", -5 * UNIT),
        ("1000000000", "USD", MAX_AMOUNT_MICROS),
    ],
)
def test_unambiguous_amount_is_read(text: str, currency: str, micros: int) -> None:
    assert parse_money(text, currency) == micros


@pytest.mark.parametrize(
    ("text", "currency", "readings_named"),
    [
        ("1.500", "USD", "1.500 can be 1,500.00 or 1.50: write 1500 or 1.50"),
        ("1,500", "USD", "1,500 can be 1,500.00 or 1.50: write 1500 or 1.50"),
        ("12.345", "USD", "12.345 can be 12,345.00 or 12.345: write 12345"),
        ("1.500", "JPY", "1.500 can be 1,500 or 1.5: write 1500"),
        ("1.500", "KWD", "1.500 can be 1,500.000 or 1.500: write 1500 or 1.50"),
        ("1,234", "KWD", "1,234 can be 1,234.000 or 1.234: write 1234 or 1.2340"),
        ("$1.500", "USD", "$1.500 can be 1,500.00 or 1.50"),
        ("0.500", "KWD", "0.500 can be 500.000 or 0.500"),
        ("1234.567", "USD", "can be 1,234,567.00 or 1,234.567"),
    ],
)
def test_a_lone_separator_before_three_digits_is_refused_with_both_readings(
    text: str, currency: str, readings_named: str
) -> None:
    with pytest.raises(InvalidValue, match="can be") as refused:
        parse_money(text, currency)
    assert readings_named in refused.value.message


@pytest.mark.parametrize(
    ("text", "currency", "both"),
    [
        ("€5", "USD", ("EUR", "USD")),
        ("5 £", "USD", ("GBP", "USD")),
        ("$5", "CAD", ("USD", "CAD")),
        ("EUR 5", "USD", ("EUR", "USD")),
        ("5 jpy", "USD", ("JPY", "USD")),
        ("€1.500", "USD", ("EUR", "USD")),
    ],
)
def test_another_currency_is_refused_and_both_are_named(text: str, currency: str, both: tuple[str, str]) -> None:
    with pytest.raises(InvalidValue, match="the brand's currency") as refused:
        parse_money(text, currency)
    assert all(code in refused.value.message for code in both)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "$", "-", ".", "abc", "1e3", "1E3", "1e-3", "0x10", "1_000", "1/2", "--1", "+5", "5-", "(5)", "5.",
        ".5", "1,,500", "1.500.00", "1,50,000", "1,5000.00", "12,34,567", "1,500,00.5", "1.5.5", "1,5,5", "0,500.00",
        "1 500 00", "1 50", "1,500.00,00", "1500,000.00", "1\n500", "１５００", "٣", "1½", "5%", "5 5 USD",
        "$5 USD", "USD$5",
        "NaN", "Infinity", "5kr", "9" * 41, "1,500 .00", "US5D", "$-", "$$5",
    ],
)  # fmt: skip
def test_text_that_is_not_an_amount_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="is not a number"):
        parse_money(text, "USD")


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        ("0.0001", "USD"),
        ("1.2345", "USD"),
        ("1500.5", "JPY"),
        ("1,500.001", "USD"),
        ("1.00001", "CLF"),
        ("0.0000001", "KWD"),
    ],
)
def test_amount_finer_than_the_smallest_unit_is_refused(text: str, currency: str) -> None:
    with pytest.raises(InvalidValue, match=f"finer than the smallest unit of {currency}"):
        parse_money(text, currency)


def test_amount_over_a_billion_units_is_refused() -> None:
    for text in ("1000000000.01", "9" * 40):
        with pytest.raises(InvalidValue, match="over a billion units"):
            parse_money(text, "USD")


def readings(text: str) -> set[tuple[str, str]]:
    """All readings of a bare number, as (digits before the decimal mark without separators, digits after it)."""
    found = set()
    for place in range(len(text) + 1):
        whole, mark, fraction = text[:place], text[place : place + 1], text[place + 1 :]
        if mark and (mark not in ".," or not fraction.isdecimal()):
            continue
        for group in ("", *".,' "):
            parts = whole.split(group) if group else [whole]
            is_whole = all(part.isdecimal() for part in parts) and (not group or group != mark)
            if is_whole and (not group or (len(parts) > 1 and all(len(part) == 3 for part in parts[1:]))):
                found.add(("".join(parts).lstrip("0"), fraction.rstrip("0")))
    return found


@QUICK
@given(st.text("0123456789.,' ", max_size=14), CURRENCIES)
def test_every_accepted_text_has_exactly_one_reading(text: str, currency: str) -> None:
    try:
        micros = parse_money(text, currency)
    except InvalidValue:
        return
    ((whole, fraction),) = readings(text.strip())
    assert micros == int(whole or "0") * UNIT + int(fraction.ljust(6, "0"))
    assert micros % 10 ** (6 - decimals_of(currency)) == 0


@QUICK
@given(st.text(max_size=20) | st.text("0123456789.,-+eE$€ '_", max_size=20), CURRENCIES)
def test_any_text_is_micros_within_range_or_refused(text: str, currency: str) -> None:
    try:
        micros = parse_money(text, currency)
    except InvalidValue:
        return
    assert type(micros) is int
    assert abs(micros) <= MAX_AMOUNT_MICROS


@QUICK
@given(st.integers(0, MAX_AMOUNT_MICROS), CURRENCIES)
def test_typed_units_are_read_back(micros: int, currency: str) -> None:
    micros -= micros % 10 ** (6 - decimals_of(currency))
    assert parse_money(typed_units(micros, currency), currency) == micros


@QUICK
@given(st.integers(0, MAX_AMOUNT_MICROS), CURRENCIES)
def test_amount_as_shown_on_pages_is_read_back_or_ambiguous(micros: int, currency: str) -> None:
    micros -= micros % 10 ** (6 - decimals_of(currency))
    shown = exact_money(micros, currency)
    bare = shown.strip("$€¥₹KWDCLF\u00a0")
    if re.fullmatch(r"\d+[.,]\d{3}", bare):
        with pytest.raises(InvalidValue, match="can be"):
            parse_money(shown, currency)
    else:
        assert parse_money(shown, currency) == micros


def test_decimals_of_currencies_match_iso_4217() -> None:
    assert [decimals_of(code) for code in ("USD", "JPY", "KWD", "CLF")] == [2, 0, 3, 4]
    for code in ("EUR", "GBP", "INR", "BRL", "KRW", "VND", "BHD", "TND", "CHF", "SEK", "CLP", "MXN"):
        assert decimals_of(code) == get_currency_precision(code)
