"""Looks up time zones by their stored names. Callers skip brands of zones that zoneinfo does not know."""

from collections.abc import Iterable
from datetime import date, datetime
from zoneinfo import ZoneInfo

import structlog

from domain.errors import InvalidValue
from domain.periods import local_day
from domain.zones import time_zone

log = structlog.get_logger()


def readable_zones(names: Iterable[str]) -> dict[str, ZoneInfo]:
    """The time zones that exist, by name. Logs each unknown name as an error and leaves it out."""
    zones = {}
    for name in names:
        try:
            zones[name] = time_zone(name)
        except InvalidValue:
            log.error("time_zone.unknown", time_zone=name)
    return zones


def local_days(names: Iterable[str], at: datetime) -> dict[str, date]:
    """The local day at `at` in each zone, by zone name. Unknown zones are logged and left out."""
    return {name: local_day(at, zone) for name, zone in readable_zones(names).items()}
