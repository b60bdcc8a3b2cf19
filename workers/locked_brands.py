"""The brands that this process found locked. Their spend goes apart: tried now and then by one thread, else put off."""

import random
import threading
import time
from dataclasses import dataclass
from typing import Final

SHORTEST_PAUSE_SECONDS: Final = 0.25
LONGEST_PAUSE_SECONDS: Final = 3.0
SHORTEST_DELAY_SECONDS: Final = 1.0
LONGEST_DELAY_SECONDS: Final = 10.0
BETWEEN_MESSAGES_SECONDS: Final = 0.04
"""However many messages of a brand wait, one comes back at a time: to look at them again must not become the work."""

LEAST_BOUND_SECONDS: Final = 2.0
GREATEST_BOUND_SECONDS: Final = 60.0
"""But none waits, after the next turn, for longer than the brand is locked already: a brief lock ends soon."""

FORGOTTEN_AFTER_SECONDS: Final = 60.0
PAUSE_PER_TRY: Final = 2
LEAST_JITTER, MOST_JITTER = 0.8, 1.2


@dataclass
class _Locked:
    since: float
    next_try: float
    last_comes_back: float = 0.0


class LockedBrands:
    """Remembers since when a brand is locked, and gives one thread at a time the turn to try it again.

    The turns grow rarer the longer it lasts, and leave a try's own time twice to other work.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._found: dict[int, _Locked] = {}

    def known(self) -> frozenset[int]:
        """The brands that were locked when they were last tried. Long after that, others may have found them free."""
        with self._guard:
            if self._found:
                lately = time.monotonic() - FORGOTTEN_AFTER_SECONDS
                self._found = {brand_id: found for brand_id, found in self._found.items() if found.next_try > lately}
            return frozenset(self._found)

    def is_put_off(self, brand_id: int) -> bool:
        """Whether it is nobody's turn yet to try the brand again."""
        with self._guard:
            found = self._found.get(brand_id)
            return found is not None and time.monotonic() < found.next_try

    def takes_turn(self, brand_id: int) -> bool:
        """Whether the caller may try the brand; nobody else may until the pause is over."""
        with self._guard:
            found = self._found.get(brand_id)
            now = time.monotonic()
            if found is None or now >= found.next_try:
                if found is not None:
                    found.next_try = now + _pause(now - found.since)
                return True
            return False

    def found_locked(self, brand_id: int, tried_seconds: float) -> None:
        """A try failed after so many seconds."""
        with self._guard:
            now = time.monotonic()
            found = self._found.setdefault(brand_id, _Locked(now - tried_seconds, now))
            found.next_try = now + max(_pause(now - found.since), PAUSE_PER_TRY * tried_seconds)

    def found_free(self, brand_id: int) -> None:
        """A try was committed."""
        with self._guard:
            self._found.pop(brand_id, None)

    def delay_ms(self, brand_id: int | None) -> int:
        """For how long to put off a message of the brand: until after the next turn, and after those put off before.

        Where so many were put off that this takes it past the bound, it comes back about then, with others.
        """
        jitter = random.uniform(LEAST_JITTER, MOST_JITTER)  # noqa: S311 - no secret
        with self._guard:
            found = None if brand_id is None else self._found.get(brand_id)
            if found is None:
                return int(1000 * SHORTEST_DELAY_SECONDS * jitter)
            now = time.monotonic()
            lasted, turn_in = now - found.since, max(found.next_try - now, 0)
            delay = max(min(max(lasted / 2, SHORTEST_DELAY_SECONDS), LONGEST_DELAY_SECONDS), turn_in)
            bound = min(turn_in + max(lasted, LEAST_BOUND_SECONDS), GREATEST_BOUND_SECONDS)
            comes_back = max(now + delay * jitter, found.last_comes_back + BETWEEN_MESSAGES_SECONDS)
            if comes_back > now + bound:
                return int(1000 * bound * random.uniform(LEAST_JITTER, 1))  # noqa: S311 - the same
            found.last_comes_back = comes_back
            return int(1000 * (comes_back - now))

    def forget(self) -> None:
        """Forgets all of them: for another database."""
        with self._guard:
            self._found.clear()


def _pause(lasted: float) -> float:
    return min(max(lasted / 2, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)


locked_brands: Final = LockedBrands()
"""The process's own. Another process finds out for itself."""
