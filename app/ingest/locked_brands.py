"""The brands whose rows this process found locked by other programs: when each is tried again."""

import random
import threading
import time
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 8.0
GROWTH: Final = 3
"""The pause before a locked brand is tried again grows from the first to the longest: each try moves its spend."""

PAUSE_PER_TRY: Final = 2
"""A try that takes long is repeated at most a third of the time."""

JITTER: Final = (0.8, 1.2)

LEAST_DELAY_SECONDS: Final = 4.0
LONGEST_DELAY_SECONDS: Final = 60.0
"""Between them a message of a locked brand is delayed for as long as the brand is locked already: to move it costs
work too. One message at a time comes back sooner, for the next try."""

POSTPONED_REMEMBERED: Final = 10_000
"""Messages of a brand, the newest, which come back at once when it is free. Others come back at their time."""


@dataclass
class _Locked:
    since: float
    failures: int
    next_try: float
    back_at: float = 0.0
    """When the message comes back that has the next try."""

    postponed: deque[str] = field(default_factory=lambda: deque(maxlen=POSTPONED_REMEMBERED))


class LockedBrands:
    """Remembers locked brands, and gives one thread at a time the turn to try each of them again."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locked: dict[int, _Locked] = {}
        self._freed: list[str] = []

    def known(self) -> frozenset[int]:
        """The brands that were locked when they were last tried."""
        with self._guard:
            return frozenset(self._locked)

    def found(self, brand_ids: Iterable[int], tried_seconds: float = 0) -> None:
        """Adds brands that a transaction found locked or slow; those known already keep their next try."""
        pause = max(_pause(1), PAUSE_PER_TRY * tried_seconds)
        now = time.monotonic()
        with self._guard:
            for brand_id in brand_ids:
                self._locked.setdefault(brand_id, _Locked(now, 1, now + pause))

    def take_turns(self, brand_ids: Iterable[int]) -> list[int]:
        """The brands that the caller must try now. No other thread gets the same turn."""
        now = time.monotonic()
        with self._guard:
            due = [one for one in sorted(brand_ids) if one not in self._locked or self._locked[one].next_try <= now]
            for brand_id in due:
                if brand_id in self._locked:
                    self._locked[brand_id].next_try = now + LONGEST_PAUSE_SECONDS
        return due

    def still_locked(self, brand_id: int, tried_seconds: float) -> None:
        """A turn failed after so many seconds: the next one comes after a longer pause."""
        with self._guard:
            locked = self._locked.setdefault(brand_id, _Locked(time.monotonic() - tried_seconds, 0, 0.0))
            locked.failures += 1
            locked.next_try = time.monotonic() + max(_pause(locked.failures), PAUSE_PER_TRY * tried_seconds)

    def free(self, brand_id: int) -> None:
        """A turn was committed."""
        with self._guard:
            freed = self._locked.pop(brand_id, None)
            if freed is not None:
                self._freed.extend(freed.postponed)

    def delay_ms(self, brand_ids: Collection[int]) -> int:
        """Milliseconds for which to delay a message of these brands: until the first of them is due to be tried again.

        Where another message comes back for that try, for as long as the brand is locked already; never less than
        FIRST_PAUSE_SECONDS.
        """
        now = time.monotonic()
        with self._guard:
            locked = [self._locked[brand_id] for brand_id in brand_ids if brand_id in self._locked]
            seconds = max(min((_delay(one, now) for one in locked), default=0.0), FIRST_PAUSE_SECONDS)
            seconds *= random.uniform(1, JITTER[1])  # noqa: S311 - jitter, no secret
            for one in locked:
                if one.next_try <= now + seconds and one.back_at < now:
                    one.back_at = now + seconds
        return int(1000 * seconds)

    def postponed(self, brand_ids: Iterable[int], redis_id: str | None) -> None:
        """Notes a delayed message of these brands, for `take_freed`; None: RabbitMQ cannot bring it back sooner."""
        if redis_id is None:
            return
        with self._guard:
            for brand_id in brand_ids:
                if brand_id in self._locked:
                    self._locked[brand_id].postponed.append(redis_id)

    def take_freed(self) -> list[str]:
        """The noted messages of brands that are free since the last call, whether they came back meanwhile or not."""
        with self._guard:
            freed, self._freed = self._freed, []
        return freed

    def forget(self) -> None:
        """Forgets all of them: for another database."""
        with self._guard:
            self._locked.clear()
            self._freed.clear()


def _delay(locked: _Locked, now: float) -> float:
    until_try = locked.next_try - now
    if locked.back_at < now:
        return until_try
    return max(until_try, min(max(now - locked.since, LEAST_DELAY_SECONDS), LONGEST_DELAY_SECONDS))


def _pause(failures: int) -> float:
    steps = min(failures - 1, 10)
    return min(FIRST_PAUSE_SECONDS * float(GROWTH**steps), LONGEST_PAUSE_SECONDS) * random.uniform(*JITTER)  # noqa: S311 - jitter, no secret


locked_brands: Final = LockedBrands()
"""Those of this process. Another process finds out for itself."""
