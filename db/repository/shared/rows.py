"""What statements are given and give: patterns for a search, and rows as plain dictionaries."""

from decimal import Decimal
from typing import Any

from sqlalchemy import CursorResult


def containing(words: str) -> str:
    """The pattern (for ILIKE) of a text that contains the words, whatever characters they are made of."""
    escaped = words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("\0", "")
    return f"%{escaped}%"


def plain(result: CursorResult[Any]) -> list[dict[str, Any]]:
    """All rows by column name; sums of micros, which Postgres gives as numeric, become integers again."""
    return [
        {name: int(value) if isinstance(value, Decimal) else value for name, value in row.items()}
        for row in result.mappings()
    ]
