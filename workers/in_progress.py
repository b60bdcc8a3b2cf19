"""What a worker process works on, in memory that its master reads when it has died."""

import mmap
import threading
from typing import Final

SLOT_BYTES: Final = 64
"""Room for one id, its length before it."""


class Board:
    """One slot a thread, shared by the two sides of a fork; a write costs no more than one to memory."""

    def __init__(self, threads: int) -> None:
        self._memory = mmap.mmap(-1, threads * SLOT_BYTES)
        self._free = list(range(threads))
        self._mine = threading.local()

    def write(self, message_id: str | None) -> None:
        """Notes what this thread works on now; None for nothing. A thread beyond the slots is not noted."""
        slot = self._slot()
        if slot is None:
            return
        text = (message_id or "").encode()[: SLOT_BYTES - 1]
        start = slot * SLOT_BYTES
        self._memory[start : start + 1 + len(text)] = bytes((len(text),)) + text

    def read(self) -> list[str]:
        """What was worked on."""
        slots = (self._memory[start : start + SLOT_BYTES] for start in range(0, len(self._memory), SLOT_BYTES))
        return [slot[1 : 1 + slot[0]].decode("utf-8", "replace") for slot in slots if slot[0]]

    def close(self) -> None:
        """Gives the memory back."""
        self._memory.close()

    def _slot(self) -> int | None:
        if not hasattr(self._mine, "slot"):
            self._mine.slot = self._free.pop() if self._free else None
        slot: int | None = self._mine.slot
        return slot
