"""How long a transaction of spend waits for locks: in proportion to how long such transactions take here lately."""

import threading
from typing import Final

from db.repository.ledger.spend import LockTimeouts
from runtime.settings import settings

SMOOTHING: Final = 0.2
"""Weight of the newest transaction in the running mean."""

TRANSACTIONS_BEHIND: Final = 20
"""A transaction of ours may wait for so many others of ours, which write the same counters, before it gives up."""

TRANSACTIONS_FOR_A_BRAND: Final = 4
"""Other holders of a brand's row, edits and ticks, are quicker than that."""

LEAST_OWN_MS: Final = 3_000
LONGEST_BRANDS_MS: Final = 5_000
LEAST_SHARE: Final = 4
"""A transaction that has waited for its counters already still waits a quarter of the bound for the brands."""


class Pace:
    """The running mean of this process's committed transactions of spend, and the patience that follows from it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self.mean_seconds = 0.0

    def took(self, seconds: float) -> None:
        """A transaction was committed after so many seconds, its waits for locks included."""
        with self._guard:
            self.mean_seconds += SMOOTHING * (seconds - self.mean_seconds)

    def patience(self) -> LockTimeouts:
        """How long the next transaction waits: longer on a slow or busy machine, within the settings' bounds."""
        mean_ms = 1000 * self.mean_seconds
        read = settings()
        brands_ms = max(read.ingest_lock_timeout_ms, min(int(TRANSACTIONS_FOR_A_BRAND * mean_ms), LONGEST_BRANDS_MS))
        own_ms = min(max(LEAST_OWN_MS, int(TRANSACTIONS_BEHIND * mean_ms)), read.lock_timeout_ms)
        brands_ms = min(brands_ms, own_ms)
        return LockTimeouts(own_ms=own_ms, brands_ms=brands_ms, least_brands_ms=max(brands_ms // LEAST_SHARE, 1))
