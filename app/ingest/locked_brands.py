"""The brands whose rows this process found locked by other programs, and the time of each one's next try."""

import random
import threading
import time
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from runtime.backoff import pause_seconds
from runtime.metrics import LOCKED_BRANDS

FIRST_PAUSE_SECONDS: Final = 1.0
"""Backoff in seconds after the first failed try of a locked brand; it doubles to LONGEST_PAUSE_SECONDS."""

LONGEST_PAUSE_SECONDS: Final = 8.0
"""Longest backoff, in seconds, between two tries of a locked brand: each try costs work."""

PAUSE_PER_TRY: Final = 2
"""Least backoff, in multiples of the duration of the last try, so that slow tries take at most a third of the time."""

SPREAD: Final = 1.2
"""Largest random factor of a message's delay; the least is 1, so that it returns once the brand's next try is due."""

LEAST_DELAY_SECONDS: Final = 4.0
"""Shortest delay, in seconds, of a locked brand's messages if another message already returns for its next try."""

LONGEST_DELAY_SECONDS: Final = 60.0
"""Longest delay, in seconds, of a locked brand's messages if another message already returns for its next try.

From LEAST_DELAY_SECONDS up to it, the delay is the time for which the brand has been locked, since each return of a
message costs work. The message that returns for the next try is delayed until that try alone.
"""

STALE_SECONDS: Final = 2 * LONGEST_DELAY_SECONDS
"""Seconds after a due try from which a brand is forgotten.

Its delayed messages have returned by then, so another process has counted them.
"""

DELAYED_IDS_KEPT: Final = 10_000
"""Delayed messages of a brand, the newest, that return at once when it is free; older ones return after their delay."""


@dataclass
class _Locked:
    since: float
    failures: int
    next_try: float
    back_at: float = 0.0
    """The monotonic time at which the message that triggers the next try returns."""

    delayed_ids: deque[str] = field(default_factory=lambda: deque(maxlen=DELAYED_IDS_KEPT))


class LockedBrands:
    """The locked brands of a process. One thread at a time may try each of them again."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locked: dict[int, _Locked] = {}
        self._freed: list[str] = []

    def ids(self) -> frozenset[int]:
        """The ids of the brands that were locked at their last try."""
        with self._guard:
            return frozenset(self._locked)

    def add(self, brand_ids: Iterable[int], tried_seconds: float = 0) -> None:
        """Adds brands that a transaction found locked or slow; brands already present keep their next try.

        `tried_seconds`: the duration of that transaction, if it was slow.
        """
        pause = max(_backoff(1), PAUSE_PER_TRY * tried_seconds)
        now = time.monotonic()
        with self._guard:
            for brand_id in brand_ids:
                self._locked.setdefault(brand_id, _Locked(now, 1, now + pause))
            self._measure()

    def take_due(self, brand_ids: Iterable[int]) -> list[int]:
        """Takes the brands that the caller must try now: free brands, and locked brands whose next try is due.

        Other threads do not get the same locked brands for LONGEST_PAUSE_SECONDS.
        """
        now = time.monotonic()
        with self._guard:
            due = [one for one in sorted(brand_ids) if one not in self._locked or self._locked[one].next_try <= now]
            for brand_id in due:
                if brand_id in self._locked:
                    self._locked[brand_id].next_try = now + LONGEST_PAUSE_SECONDS
        return due

    def mark_still_locked(self, brand_id: int, tried_seconds: float) -> None:
        """Schedules the next try of a brand after a longer pause. `tried_seconds`: the duration of the failed try."""
        with self._guard:
            locked = self._locked.setdefault(brand_id, _Locked(time.monotonic() - tried_seconds, 0, 0.0))
            locked.failures += 1
            locked.next_try = time.monotonic() + max(_backoff(locked.failures), PAUSE_PER_TRY * tried_seconds)

    def mark_free(self, brand_id: int) -> None:
        """Removes a brand after a try was committed."""
        with self._guard:
            freed = self._locked.pop(brand_id, None)
            if freed is not None:
                self._freed.extend(freed.delayed_ids)
                self._measure()

    def delay_ms(self, brand_ids: Collection[int]) -> int:
        """Chooses the delay of a message of these brands, in milliseconds: the shortest of the brands' delays.

        A brand's delay lasts until its next try. If another message already returns for that try, the delay is at least
        as long as the brand has been locked, from LEAST_DELAY_SECONDS to LONGEST_DELAY_SECONDS. The result is at least
        FIRST_PAUSE_SECONDS, times a random factor of 1 to SPREAD. Notes the brands for whose try the message returns.
        """
        now = time.monotonic()
        with self._guard:
            locked = [self._locked[brand_id] for brand_id in brand_ids if brand_id in self._locked]
            seconds = max(min((_delay(one, now) for one in locked), default=0.0), FIRST_PAUSE_SECONDS)
            seconds *= random.uniform(1, SPREAD)  # noqa: S311 - jitter, no secret
            for one in locked:
                if one.next_try <= now + seconds and one.back_at < now:
                    one.back_at = now + seconds
        return int(1000 * seconds)

    def add_delayed(self, brand_ids: Iterable[int], redis_id: str | None) -> None:
        """Stores the id of a delayed message for each of these brands that is locked, for `take_freed`.

        `redis_id` None: stores nothing, because RabbitMQ cannot return a message before its delay ends.
        """
        if redis_id is None:
            return
        with self._guard:
            for brand_id in brand_ids:
                if brand_id in self._locked:
                    self._locked[brand_id].delayed_ids.append(redis_id)

    def take_freed(self) -> list[str]:
        """The ids of delayed messages of brands that became free since the last call, once each.

        Some may be back already.
        """
        with self._guard:
            freed, self._freed = self._freed, []
        return list(dict.fromkeys(freed))

    def forget_stale(self) -> None:
        """Removes brands whose next try has been due for STALE_SECONDS. A process calls it each minute."""
        latest = time.monotonic() - STALE_SECONDS
        with self._guard:
            self._locked = {brand_id: one for brand_id, one in self._locked.items() if one.next_try > latest}
            self._measure()

    def _measure(self) -> None:
        LOCKED_BRANDS.set(len(self._locked))

    def forget(self) -> None:
        """Removes all brands, before another database is used."""
        with self._guard:
            self._locked.clear()
            self._freed.clear()


def _delay(locked: _Locked, now: float) -> float:
    until_try = locked.next_try - now
    if locked.back_at < now:
        return until_try
    return max(until_try, min(max(now - locked.since, LEAST_DELAY_SECONDS), LONGEST_DELAY_SECONDS))


def _backoff(failures: int) -> float:
    return pause_seconds(failures, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)


locked_brands: Final = LockedBrands()
"""The locked brands of this process; each process has its own."""
