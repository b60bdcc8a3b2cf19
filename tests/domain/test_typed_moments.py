"""Times of options, forms and bodies are read by one rule."""

from datetime import UTC, datetime

import pytest

from domain.errors import InvalidValue
from domain.typed_moments import parse_moment

NINE = datetime(2026, 11, 30, 9, tzinfo=UTC)

ODD = [
    ("2026-11-30T24:00:00Z", "must be written as 00:00 of the next day"),
    ("2026-11-30T23:59:60Z", "is a leap second"),
    ("2026-11-30T09:00", "has no UTC offset"),
    ("0001-01-01T00:00+14:00", "is outside the years 1 to 9999"),
    ("9999-12-31T23:59:59-12:00", "is outside the years 1 to 9999"),
    ("yesterday", "is not an ISO 8601 time"),
    ("2026-11-30T09:00Z\0", "expected an ISO 8601 string"),
    ("\ud800", "expected an ISO 8601 string"),
    ("", "is not an ISO 8601 time"),
]
"""Texts that are no times, each with words of the refusal."""


@pytest.mark.parametrize("text", ["2026-11-30T09:00:00Z", "2026-11-30T09:00:00z", "2026-11-30T10:00+01:00"])
def test_moment_is_read_in_utc(text: str) -> None:
    assert parse_moment("as of", text) == NINE
    assert parse_moment("as of", text).tzinfo is UTC


@pytest.mark.parametrize(("text", "words"), ODD)
def test_odd_time_is_refused_by_its_field(text: str, words: str) -> None:
    with pytest.raises(InvalidValue, match=words) as refused:
        parse_moment("as of", text)
    assert refused.value.field == "as of"
    assert "as of" not in refused.value.message
