"""Helpers for statements: ILIKE patterns as parameters, result rows as dictionaries."""

from decimal import Decimal
from typing import Any

from sqlalchemy import CursorResult


def containing(words: str) -> str:
    """The ILIKE pattern for texts that contain `words`, with wildcards in them escaped."""
    escaped = words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("\0", "")
    return f"%{escaped}%"


def plain(result: CursorResult[Any]) -> list[dict[str, Any]]:
    """All rows as dictionaries by column name. Numeric values, such as sums of micros, become integers."""
    return [
        {name: int(value) if isinstance(value, Decimal) else value for name, value in row.items()}
        for row in result.mappings()
    ]
