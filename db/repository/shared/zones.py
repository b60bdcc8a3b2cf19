"""Time zones as rows name them: one that zoneinfo does not know stops its own brand, never the others."""

from collections.abc import Iterable
from datetime import date, datetime
from zoneinfo import ZoneInfo

import structlog

from domain.errors import InvalidValue
from domain.periods import local_day, time_zone

log = structlog.get_logger()


def readable_zones(names: Iterable[str]) -> dict[str, ZoneInfo]:
    """The zones among `names` that exist; the others are logged and left out."""
    zones = {}
    for name in names:
        try:
            zones[name] = time_zone(name)
        except InvalidValue:
            log.error("time_zone.unknown", time_zone=name)
    return zones


def local_days(names: Iterable[str], at: datetime) -> dict[str, date]:
    """The day of `at` in each of the zones that exist."""
    return {name: local_day(at, zone) for name, zone in readable_zones(names).items()}
