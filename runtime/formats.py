"""Formats of money and times for people."""

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


def instant(moment: datetime) -> str:
    """Formats a time in UTC to the second: 2026-06-17 12:00:00 UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def wall_clock(moment: datetime, zone: ZoneInfo) -> str:
    """Formats a time in a brand's time zone: Wed 2026-06-17 08:00 EDT."""
    return f"{moment.astimezone(zone):%a %Y-%m-%d %H:%M %Z}"


def duration(seconds: float) -> str:
    """Formats a length of time: 1.2 s, 45 s, 14 min, 2 h 05 min, 3 days."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes < 2_880 else f"{minutes // 1_440} days"


def escape_surrogates(text: str) -> str:
    """Replaces lone surrogates, which UTF-8 cannot encode, by their JSON escape such as \\ud800."""
    return text.encode("utf-8", "backslashreplace").decode()
