"""Rows as plain dictionaries: sums of micros, which Postgres gives as numeric, become integers again."""

from decimal import Decimal
from typing import Any

from sqlalchemy import CursorResult


def plain(result: CursorResult[Any]) -> list[dict[str, Any]]:
    """All rows by column name."""
    return [
        {name: int(value) if isinstance(value, Decimal) else value for name, value in row.items()}
        for row in result.mappings()
    ]
