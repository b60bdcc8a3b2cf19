"""The only clock. Real time, except on the embedded servers, where SPENDGATE_CLOCK_START and _SPEED drive it."""

import json
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

from runtime.settings import settings


@dataclass(frozen=True, slots=True)
class DrivenClock:
    """Shows `starts_at` when real time is `anchor` (seconds since 1970), and runs `speed` times as fast from there."""

    starts_at: datetime
    speed: float
    anchor: float

    def at(self, real_seconds: float) -> datetime:
        return self.starts_at + timedelta(seconds=(real_seconds - self.anchor) * self.speed)


def now() -> datetime:
    """The present instant, aware, in UTC."""
    clock = _clock()
    if clock is None:
        return datetime.now(UTC)  # noqa: TID251 - the one place that reads it
    return clock.at(_real_seconds())


def _real_seconds() -> float:
    return time.time()  # noqa: TID251 - the one place that reads it


@lru_cache(maxsize=1)
def _clock() -> DrivenClock | None:
    read = settings()
    if not read.clock_is_driven:
        return None
    return _shared(read.home / "clock.json", read.clock_start, read.clock_speed)


def _shared(path: Path, starts_at: datetime | None, speed: float) -> DrivenClock:
    """The clock that every process of this home shares: the first to ask anchors it, the others follow."""
    asked = [starts_at.isoformat() if starts_at else None, speed]
    try:
        kept = json.loads(path.read_text())
    except (OSError, ValueError):
        kept = {}
    if not isinstance(kept, dict) or kept.get("asked") != asked or not kept.keys() >= {"starts_at", "anchor"}:
        real = _real_seconds()
        start = starts_at or datetime.fromtimestamp(real, UTC)
        kept = {"asked": asked, "starts_at": start.isoformat(), "anchor": real}
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(kept))
        fresh.replace(path)
    return DrivenClock(datetime.fromisoformat(kept["starts_at"]), speed, kept["anchor"])


def reset() -> None:
    """Forgets what was read, so that the next `now` reads settings and anchor anew."""
    _clock.cache_clear()
