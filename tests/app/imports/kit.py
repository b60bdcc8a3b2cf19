"""Shared by tests of the reader: a text or bytes read as a file, and totals as units."""

import io
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from app.imports.answers import Question, Reading, ReadOptions, Refused
from app.imports.reading import read_file

MODIFIED_AT = datetime(2026, 11, 29, 8, tzinfo=UTC)


def read(content: str | bytes, platform: str | None = "meta_ads", name: str = "export.csv", **options: Any) -> Reading:
    """The content read as a file that was changed at MODIFIED_AT."""
    data = content if isinstance(content, bytes) else content.encode()
    return read_file(io.BytesIO(data), name, ReadOptions(platform=platform, **options), MODIFIED_AT)


def units(reading: Reading) -> dict[tuple[str, str], Decimal]:
    """Totals in units by campaign and ISO day."""
    return {(campaign, str(day)): Decimal(micros) / 10**6 for (campaign, day), micros in reading.totals.items()}


def expected(totals: Mapping[tuple[str, str], str]) -> dict[tuple[str, str], Decimal]:
    """Totals as they are written in tests."""
    return {key: Decimal(amount) for key, amount in totals.items()}


def refusal(content: str | bytes, platform: str | None = "meta_ads", **options: Any) -> str:
    """The words with which a file is refused or asked about."""
    try:
        reading = read(content, platform, **options)
    except (Refused, Question) as error:
        return str(error)
    raise AssertionError(f"was read: {units(reading)}")


def question(content: str | bytes, platform: str | None = "meta_ads", **options: Any) -> Question:
    """The question that a file leads to."""
    try:
        reading = read(content, platform, **options)
    except Question as asked:
        return asked
    raise AssertionError(f"was read: {units(reading)}")


def day(text: str) -> date:
    """An ISO day."""
    return date.fromisoformat(text)
