"""Formats of money, times and lists for people."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from babel.numbers import format_currency

LOCALE: Final = "en_US"
_MICROS_PER_UNIT: Final = 1_000_000


def exact_money(micros: int, currency: str) -> str:
    """Formats micros in the usual form of the currency with all decimals: $1,234.50, $0.000001."""
    return str(format_currency(Decimal(micros) / _MICROS_PER_UNIT, currency, locale=LOCALE, decimal_quantization=False))


def rounded_money(micros: int, currency: str) -> str:
    """Formats micros in the usual form of the currency, rounded to its usual decimals."""
    return str(format_currency(Decimal(micros) / _MICROS_PER_UNIT, currency, locale=LOCALE))


def first_of(names: Sequence[str], most: int, separator: str = ", ") -> str:
    """Lists the first `most` names, and says how many there are besides: a, b and 3 more."""
    more = len(names) - most
    return separator.join(names[:most]) + (f" and {more} more" if more > 0 else "")


def instant(moment: datetime) -> str:
    """Formats a time in UTC to the second: 2026-06-17 12:00:00 UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def wall_clock(moment: datetime, zone: ZoneInfo) -> str:
    """Formats a time in a brand's time zone: Wed 2026-06-17 08:00 EDT."""
    return f"{moment.astimezone(zone):%a %Y-%m-%d %H:%M %Z}"


def duration(seconds: float) -> str:
    """Formats a length of time in its largest units: 1.2 s, 40 s, 12 min, 3 h 20 min or 2 d 4 h."""
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f}".removesuffix(".0") + " s"
    if seconds < 7200:
        return f"{seconds // 60:.0f} min"
    days, rest = divmod(int(seconds), 86_400)
    return f"{days} d {rest // 3600} h" if days else f"{rest // 3600} h {rest % 3600 // 60} min"
