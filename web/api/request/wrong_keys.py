"""Throttles wrong API keys by the sender's address, without a database query."""

import hashlib
import threading
from time import monotonic
from typing import Final, TypeVar

from web import rates

KNOWN_SECONDS: Final = 600
"""Seconds for which a valid key is exempt from the throttle, although others at its address send wrong keys."""

MAX_KEPT: Final = 10_000
"""Addresses, and as many keys, that are kept in memory; the oldest are forgotten first."""

Name = TypeVar("Name")


class Throttle:
    """Remembers in this process which addresses must wait and which keys were valid; counts wrong keys in Redis."""

    def __init__(self) -> None:
        self._waits_until: dict[str, float] = {}
        self._good_until: dict[bytes, float] = {}
        self._lock = threading.Lock()

    def wait_seconds(self, address: str, key: str) -> int:
        """Seconds that the address must wait before this key is looked up; 0: none."""
        with self._lock:
            if self._good_until.get(_digest(key), 0) > monotonic():
                return 0
            left = self._waits_until.get(address, 0) - monotonic()
        return max(1, round(left)) if left > 0 else 0

    def note_good(self, key: str) -> None:
        """Exempts a valid key from the throttle for KNOWN_SECONDS."""
        self._note(self._good_until, _digest(key), KNOWN_SECONDS)

    def note_wrong(self, address: str, key: str) -> int:
        """Counts an invalid key; returns the seconds that its address must wait, 0 if none."""
        with self._lock:
            self._good_until.pop(_digest(key), None)
        status = rates.hit(rates.WRONG_KEYS_FROM_ADDRESS, address)
        if status.allowed:
            return 0
        self._note(self._waits_until, address, status.resets_in_seconds)
        return status.resets_in_seconds

    def _note(self, until: dict[Name, float], name: Name, seconds: float) -> None:
        with self._lock:
            until.pop(name, None)
            while len(until) >= MAX_KEPT:
                del until[next(iter(until))]
            until[name] = monotonic() + seconds


throttle = Throttle()


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
