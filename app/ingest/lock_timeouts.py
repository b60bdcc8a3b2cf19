"""Lock timeouts of transactions that count spend, in proportion to the recent duration of such transactions."""

import threading
from typing import Final

from db.repository.ledger.counting import LockTimeouts
from runtime.settings import settings

SMOOTHING: Final = 0.2
"""Weight of the newest transaction in the running mean."""

TRANSACTIONS_BEHIND: Final = 20
"""Timeout for counters, in multiples of a transaction's mean duration.

Locks of counters are mostly held by this service's other transactions.
"""

TRANSACTIONS_FOR_A_BRAND: Final = 4
"""Timeout for a brand's row, in multiples of a transaction's mean duration: edits and ticks lock it for less."""

LEAST_OWN_MS: Final = 3_000
LONGEST_BRANDS_MS: Final = 5_000
LEAST_DIVISOR: Final = 4
"""Divisor: a transaction that has already waited for counters still waits 1/4 of the timeout for brands."""


class CommitPace:
    """The running mean duration of this process's commits of spend, and the lock timeouts that follow from it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self.mean_seconds = 0.0

    def add(self, seconds: float) -> None:
        """Adds the duration of a committed transaction to the mean, including its waits for locks."""
        with self._guard:
            self.mean_seconds += SMOOTHING * (seconds - self.mean_seconds)

    def lock_timeouts(self) -> LockTimeouts:
        """The lock timeouts of the next transaction: longer on a slow or busy machine, within the settings' bounds."""
        mean_ms = 1000 * self.mean_seconds
        read = settings()
        brands_ms = max(read.ingest_lock_timeout_ms, min(int(TRANSACTIONS_FOR_A_BRAND * mean_ms), LONGEST_BRANDS_MS))
        own_ms = min(max(LEAST_OWN_MS, int(TRANSACTIONS_BEHIND * mean_ms)), read.lock_timeout_ms)
        brands_ms = min(brands_ms, own_ms)
        return LockTimeouts(own_ms=own_ms, brands_ms=brands_ms, least_brands_ms=max(brands_ms // LEAST_DIVISOR, 1))
