"""Reads the clock by which Spendgate decides: real time, or on embedded servers a driven clock.

SPENDGATE_CLOCK_START sets the moment that a driven clock shows first, SPENDGATE_CLOCK_SPEED how fast it runs.
"""

import json
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final

from runtime.settings import settings


@dataclass(frozen=True, slots=True)
class DrivenClock:
    """A clock that shows `starts_at` at real time `anchor` (seconds since 1970) and runs `speed` times as fast."""

    starts_at: datetime
    speed: float
    anchor: float

    def at(self, real_seconds: float) -> datetime:
        return self.starts_at + timedelta(seconds=(real_seconds - self.anchor) * self.speed)


class ClockIsOff(Exception):
    """This machine's clock differs too much from Postgres's, so nothing may be decided by it. A retry may succeed."""


class Guard:
    """Says whether this process's clock is off, so that nothing may be decided by it.

    `app.clock_guard` sets `is_off` after comparing the clock with Postgres's.
    """

    is_off = False


guard: Final = Guard()


def now() -> datetime:
    """Returns the current time, to decide by, as an aware datetime in UTC. Raises ClockIsOff if the clock is off."""
    if guard.is_off:
        raise ClockIsOff("this machine's clock differs too much from Postgres's; set both by NTP")
    return read()


def read() -> datetime:
    """Returns the time that the clock shows, in UTC, even if it is off: for logs and the comparison with Postgres."""
    clock = _clock()
    if clock is None:
        return datetime.now(UTC)  # noqa: TID251 - the only place that reads the clock
    return clock.at(_real_seconds())


def passed(real_seconds: float) -> timedelta:
    """Returns the time that passes on this clock in `real_seconds` of real time: `real_seconds` times its speed."""
    return timedelta(seconds=real_seconds * settings().clock_speed)


def _real_seconds() -> float:
    return time.time()  # noqa: TID251 - the only place that reads the clock


@lru_cache(maxsize=1)
def _clock() -> DrivenClock | None:
    read = settings()
    if not read.clock_is_driven:
        return None
    return _shared_clock(read.home / "clock.json", read.clock_start, read.clock_speed)


def _shared_clock(path: Path, starts_at: datetime | None, speed: float) -> DrivenClock:
    """Returns the clock that all processes share through the file `path`.

    The first process with these settings writes the file. `starts_at`: the moment that the clock shows first; None: the
    real time then. `speed`: how many times as fast as real time it runs.
    """
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
    """Clears the cached clock, so that the next reading uses the current settings and the shared file."""
    _clock.cache_clear()
