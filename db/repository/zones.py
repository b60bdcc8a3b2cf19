"""Time zones as rows name them: one that zoneinfo does not know stops its own brand, never the others."""

from collections.abc import Iterable
from zoneinfo import ZoneInfo

import structlog

from domain.errors import InvalidValue
from domain.periods import time_zone

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
