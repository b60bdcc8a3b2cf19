"""The messages that a worker process works on, in memory that its master can read after the process died."""

import mmap
import threading
from collections.abc import Sequence
from typing import Final

KILL_AFTER_SECONDS: Final = 2.0
"""How long past its shutdown limit a process may live before it is killed."""

SLOT_BYTES: Final = 4_096
LENGTH_BYTES: Final = 2
"""Room for the ids of a bundle, a line each, and before them how many bytes they are."""


class InFlightBoard:
    """One slot a thread, shared by the two sides of a fork; a write costs no more than one to memory."""

    def __init__(self, threads: int) -> None:
        self._memory = mmap.mmap(-1, threads * SLOT_BYTES)
        self._free = list(range(threads))
        self._mine = threading.local()

    def write(self, message_ids: Sequence[str]) -> None:
        """Notes what this thread works on now, if anything. A thread beyond the slots is not noted."""
        slot = self._slot()
        if slot is None:
            return
        text = "\n".join(message_ids).encode()[: SLOT_BYTES - LENGTH_BYTES]
        start = slot * SLOT_BYTES
        noted = len(text).to_bytes(LENGTH_BYTES, "big") + text
        self._memory[start : start + len(noted)] = noted

    def read(self) -> list[str]:
        """What was worked on."""
        slots = (self._memory[start : start + SLOT_BYTES] for start in range(0, len(self._memory), SLOT_BYTES))
        return [message_id for slot in slots for message_id in _noted(slot)]

    def close(self) -> None:
        """Gives the memory back."""
        self._memory.close()

    def _slot(self) -> int | None:
        if not hasattr(self._mine, "slot"):
            self._mine.slot = self._free.pop() if self._free else None
        slot: int | None = self._mine.slot
        return slot


def _noted(slot: bytes) -> list[str]:
    length = int.from_bytes(slot[:LENGTH_BYTES], "big")
    return slot[LENGTH_BYTES : LENGTH_BYTES + length].decode("utf-8", "replace").split("\n") if length else []
